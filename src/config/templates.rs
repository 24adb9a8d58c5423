//! The templates of `fields`, `during` and `value`.

use std::collections::{BTreeMap, BTreeSet};

use cutover_api::{Problems, Provider, Reader, Value};
use cutover_http_step::{Kind, Known, Scope, Template};

/// What the templates of a policy may name. `provider`: the account, where it is known; without it every fact of a key passes.
pub(crate) fn scope(provider: Option<&dyn Provider>) -> Scope {
    let mut scope = Scope::new();
    for key in ["new", "old"] {
        for name in ["id", "name"] {
            scope.add(format!("{key}.{name}"), Known::plain(Kind::Text));
        }
        scope.add(format!("{key}.secret"), Known::secret());
        scope.add(format!("{key}.expires_at"), Known::plain(Kind::Time));
        match provider {
            Some(provider) => {
                for (name, secret) in provider.outputs() {
                    let known = if secret { Known::secret() } else { Known::plain(Kind::Any) };
                    scope.add(format!("{key}.{name}"), known);
                }
            }
            None => {
                scope.add_all(key, Known::plain(Kind::Any));
            }
        }
    }
    scope.add("policy.name", Known::plain(Kind::Text));
    for name in ["rotation.id", "rotation.uuid"] {
        scope.add(name, Known::plain(Kind::Text));
    }
    scope.add("rotation.year", Known::plain(Kind::Integer));
    scope
}

/// What the templates of one policy name, over all of its targets.
#[derive(Default)]
pub(crate) struct Named {
    /// Paths of new.* that are the whole of a settled field: what stands there is read back as old.*.
    pub(crate) readable: BTreeSet<String>,
    /// Secret paths of old.* and where one says them: the key of the table.
    pub(crate) old: BTreeMap<String, (cutover_api::Place, String)>,
    /// A settled field holds the new secret.
    pub(crate) new_secret: bool,
}

/// One layout of a target as it is typed: its fields' texts, checked.
pub(crate) struct Layout {
    pub(crate) fields: BTreeMap<String, String>,
    /// It holds the new secret.
    pub(crate) new_secret: bool,
}

/// Reads a layout: a table of templates, or for a bare value one template, which becomes the field `""`.
pub(crate) fn layout(target: &Reader<'_>, key: &str, bare: bool, scope: &Scope, named: &mut Named) -> Option<Layout> {
    let mut layout = Layout { fields: BTreeMap::new(), new_secret: false };
    if bare {
        let text = target.text(key)?;
        let place = &target.table_itself().get(key)?.place;
        one(
            &Spot { problems: target.problems(), place, path: target.path_of(key), settled: key == "value" },
            "",
            text,
            scope,
            named,
            &mut layout,
        );
        return Some(layout);
    }
    let table = target.table(key)?;
    if table.table_itself().entries.is_empty() {
        target.wrong(key, "is empty", "at least one field: { NAME = \"{{ new.secret }}\" }");
    }
    for (field, entry) in &table.table_itself().entries {
        let spot = Spot {
            problems: target.problems(),
            place: &entry.node.place,
            path: table.path_of(field),
            settled: key == "fields",
        };
        if field.is_empty() || field.chars().any(char::is_control) {
            spot.wrong("is no name of a field", "a name without control characters");
        }
        match &entry.node.value {
            Value::Text(text) => one(&spot, field, text, scope, named, &mut layout),
            other => spot.wrong(&format!("is {}", other.kind()), "must be a template such as \"{{ new.secret }}\""),
        }
    }
    Some(layout)
}

/// Where a template stands.
struct Spot<'a> {
    problems: &'a Problems,
    place: &'a cutover_api::Place,
    path: String,
    settled: bool,
}

impl Spot<'_> {
    fn wrong(&self, wrong: &str, right: &str) {
        self.problems.add(self.place, self.path.as_str(), wrong, right);
    }
}

fn one(spot: &Spot<'_>, field: &str, text: &str, scope: &Scope, named: &mut Named, layout: &mut Layout) {
    layout.fields.insert(field.to_owned(), text.to_owned());
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(error) => return spot.wrong("is no template", &error.message),
    };
    for error in template.check(scope) {
        spot.wrong("has a slot that cannot be filled", &error.message);
    }
    for slot in template.slots() {
        layout.new_secret |= slot.path == "new.secret";
        if !slot.path.starts_with("old.") || !scope.is_secret(&slot.path) {
            continue;
        }
        if spot.settled {
            let right = "move it to `during`: once settled, a target knows the new key only";
            spot.wrong(&format!("names {{{{ {} }}}}", slot.path), right);
        }
        named.old.entry(slot.path.clone()).or_insert_with(|| (spot.place.clone(), spot.path.clone()));
    }
    if spot.settled {
        named.new_secret |= template.slots().iter().any(|slot| slot.path == "new.secret");
        named.readable.extend(template.sole_path().filter(|path| path.starts_with("new.")).map(str::to_owned));
    }
}
