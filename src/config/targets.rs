//! `[[policy.x.target]]`: where the application reads the key, and that no two policies write one field.

use std::collections::{BTreeMap, HashMap};

use cutover_api::{Place, Reader};
use cutover_http_step::Scope;

use crate::Target;
use crate::built::{BuiltStore, quoted};
use crate::layers::Layers;
use crate::templates::{self, Named};

/// The targets of one policy.
pub(crate) struct Targets {
    /// Those that are sound.
    pub(crate) sound: Vec<Target>,
    /// `store:path` of all, sound or not, and where each stands.
    pub(crate) names: BTreeMap<String, Place>,
}

/// Who names which field of which path, over all policies.
#[derive(Default)]
pub(crate) struct Claims {
    paths: HashMap<(String, String), Path>,
}

/// The claims on one path.
#[derive(Default)]
struct Path {
    whole: Option<Claim>,
    fields: BTreeMap<String, Claim>,
}

/// Where a field is named.
#[derive(Clone)]
struct Claim {
    place: Place,
    key: String,
}

/// Reads the targets of a policy.
pub(crate) fn read(
    layers: &Layers<'_, '_>,
    scope: &Scope,
    stores: &BTreeMap<String, BuiltStore>,
    claims: &mut Claims,
) -> Targets {
    let mut named = Named::default();
    let mut targets = Targets { sound: Vec::new(), names: BTreeMap::new() };
    let readers = layers.of("target").tables("target");
    let mut whole = true;
    if readers.is_empty() {
        whole = false;
        if layers
            .of("target")
            .table_itself()
            .get("target")
            .is_none_or(|node| matches!(&node.value, cutover_api::Value::Array(_)))
        {
            layers.wrong("target", "missing", "at least one: where the application reads the key, [[policy.NAME.target]]");
        }
    }
    for reader in &readers {
        let before = reader.problems().count();
        let target = target(reader, stores, scope, &mut named, claims, &mut targets.names);
        whole &= reader.problems().count() == before;
        targets.sound.extend(target);
    }
    if !named.new_secret && whole {
        let right = "write {{ new.secret }} in `fields` or `value` of at least one target";
        layers.wrong("target", "no settled field holds the new key", right);
    }
    for (path, (place, key)) in &named.old {
        let new = path.replacen("old.", "new.", 1);
        if !named.readable.contains(&new) {
            let wrong = format!("{{{{ {path} }}}} is never known: no settled field is exactly {{{{ {new} }}}}");
            let right =
                format!("a field of `fields`, or `value`, with the template \"{{{{ {new} }}}}\": the old value is read there");
            layers.own.problems().add(place, key.as_str(), wrong, right);
        }
    }
    targets.sound.shrink_to_fit();
    targets
}

fn target(
    reader: &Reader<'_>,
    stores: &BTreeMap<String, BuiltStore>,
    scope: &Scope,
    named: &mut Named,
    claims: &mut Claims,
    names: &mut BTreeMap<String, Place>,
) -> Option<Target> {
    ["store", "fields", "during", "value"].iter().for_each(|key| reader.known(key));
    let name = reader.require_text("store", "the name of a [store.NAME]");
    let store = name.and_then(|name| stores.get(name));
    if let Some(name) = name.filter(|name| !stores.contains_key(*name)) {
        let known: Vec<_> = stores.keys().collect();
        reader.wrong("store", format!("there is no store \"{}\"", name.escape_debug()), format!("one of {}", quoted(&known)));
    }
    let bare = reader.has("value");
    if bare == reader.has("fields") {
        let right = "one of them: fields = { NAME = \"{{ new.secret }}\" }, or value = \"{{ new.secret }}\" for a bare value";
        let wrong = if bare { "`fields` and `value` are both given" } else { "neither `fields` nor `value` is given" };
        reader.wrong(if bare { "value" } else { "fields" }, wrong, right);
    }
    let settled = templates::layout(reader, if bare { "value" } else { "fields" }, bare, scope, named);
    let during = templates::layout(reader, "during", bare, scope, named);
    if let (Some(settled), Some(during)) = (&settled, &during)
        && settled.new_secret
        && !during.new_secret
    {
        let right = "write {{ new.secret }} in it too: what is to prove itself must be there while both keys live";
        reader.wrong("during", "leaves the new key out", right);
    }
    let spec = match store {
        // Only the store knows which further keys a target has.
        Some(BuiltStore { store: Some(store), .. }) => {
            let spec = store.target(reader);
            reader.finish();
            spec
        }
        _ => None,
    };
    if let (Some(store), Some(name), Some(path)) = (store, name, reader.text("path")) {
        names.entry(format!("{name}:{path}")).or_insert_with(|| reader.table_itself().place.clone());
        claims.claim(&store.identity, path, bare, reader);
    }
    Some(Target { store: name?.to_owned(), spec: spec?, fields: settled?.fields, during: during.map(|layout| layout.fields) })
}

impl Claims {
    /// Notes what a target names; reports what another one named before it.
    fn claim(&mut self, store: &str, path: &str, bare: bool, reader: &Reader<'_>) {
        let claims = self.paths.entry((store.to_owned(), path.to_owned())).or_default();
        let own = |key: &str| {
            let place = reader.table_itself().get(key).map_or(&reader.table_itself().place, |node| &node.place);
            Claim { place: place.clone(), key: reader.path_of(key) }
        };
        let twice = |wrong: String, place: &Place, key: String| {
            reader.problems().add(place, key, wrong, "each field of a path in one target of one policy");
        };
        if bare {
            let mine = own("value");
            if let Some(other) = claims.whole.as_ref().or_else(|| claims.fields.values().next()) {
                twice(
                    format!("\"{path}\" is written already, at {} ({})", other.place, other.key),
                    &mine.place,
                    mine.key.clone(),
                );
            }
            claims.whole.get_or_insert(mine);
            return;
        }
        if let Some(other) = &claims.whole {
            let mine = own("fields");
            twice(format!("\"{path}\" is one bare value already, at {} ({})", other.place, other.key), &mine.place, mine.key);
        }
        let mut mine: BTreeMap<&str, Claim> = BTreeMap::new();
        for layout in ["fields", "during"] {
            let Some(cutover_api::Value::Table(table)) = reader.table_itself().get(layout).map(|node| &node.value) else {
                continue;
            };
            for (field, entry) in &table.entries {
                let key = format!("{}.{field}", reader.path_of(layout));
                mine.entry(field).or_insert_with(|| Claim { place: entry.key.clone(), key });
            }
        }
        for (field, claim) in mine {
            match claims.fields.get(field) {
                Some(other) => {
                    let wrong = format!("field \"{field}\" of \"{path}\" is named already, at {} ({})", other.place, other.key);
                    twice(wrong, &claim.place, claim.key);
                }
                None => drop(claims.fields.insert(field.to_owned(), claim)),
            }
        }
    }
}
