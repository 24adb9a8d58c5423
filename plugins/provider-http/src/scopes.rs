//! Which slots each step may say: the scopes that templates are checked against at load.

use std::collections::{BTreeMap, BTreeSet};

use cutover_api::Table;
use cutover_http_step::{Kind, Known, Scope};

use crate::params::Params;
use crate::rules::inner;

/// The fields every key record has, and their kinds.
const FIELDS: [(&str, Kind); 10] = [
    ("id", Kind::Text),
    ("name", Kind::Text),
    ("prefix", Kind::Text),
    ("hint", Kind::Text),
    ("slot", Kind::Text),
    ("created_at", Kind::Time),
    ("last_used_at", Kind::Time),
    ("expires_at", Kind::Time),
    ("revoked", Kind::Boolean),
    ("inactive", Kind::Boolean),
];

/// Filled whatever the steps read: an id may be adopted, and what is not said to be revoked or inactive is not.
const ALWAYS: [&str; 3] = ["id", "revoked", "inactive"];

/// Whether a key record has this field by itself (`secret` included).
pub(crate) fn is_field(name: &str) -> bool {
    name == "secret" || FIELDS.iter().any(|(field, _)| *field == name)
}

/// What the scopes are made from.
pub(crate) struct Scopes<'a> {
    pub(crate) root: &'a Table,
    pub(crate) params: &'a Params,
    /// The names of several credentials, or `None` for one.
    pub(crate) credentials: Option<&'a [String]>,
    /// The outputs and whether each is secret.
    pub(crate) outputs: &'a BTreeMap<String, bool>,
    pub(crate) generates: bool,
    /// `grace.*` is there in a mint.
    pub(crate) grace: bool,
    /// `lifetime.*` is there in a mint even when a policy asks for none.
    pub(crate) lifetime: bool,
}

impl Scopes<'_> {
    /// For the mint.
    pub(crate) fn mint(&self, name: &str) -> Scope {
        let mut scope = self.common(name);
        self.key(&mut scope, "old");
        if self.generates {
            scope.add("new.secret", Known::secret());
        }
        self.intent(&mut scope, true);
        scope
    }

    /// For a verb that acts on one key.
    pub(crate) fn verb(&self, name: &str) -> Scope {
        let mut scope = self.common(name);
        self.key(&mut scope, "key");
        self.intent(&mut scope, false);
        scope
    }

    /// For `[list]`, `[login]` and helpers, which are about no key.
    pub(crate) fn bare(&self, name: &str) -> Scope {
        let mut scope = self.common(name);
        self.intent(&mut scope, false);
        scope
    }

    /// For a helper that runs before the mint as well as before other verbs, or only before one kind of them.
    pub(crate) fn helper(&self, name: &str, before_mint: bool, before_verb: bool) -> Scope {
        match (before_mint, before_verb) {
            (true, false) => self.mint(name),
            (false, true) => self.verb(name),
            _ => self.bare(name),
        }
    }

    fn common(&self, own: &str) -> Scope {
        let mut scope = Scope::new();
        for name in self.params.0.keys() {
            scope.add(format!("params.{name}"), Known::plain(Kind::Any));
        }
        scope.add("base_url", Known::plain(Kind::Text));
        match self.credentials {
            None => {
                scope.add("credential", Known::secret());
            }
            Some(names) => names.iter().for_each(|name| {
                scope.add(format!("credential.{name}"), Known::secret());
            }),
        }
        if own != "login" {
            self.kept(&mut scope, "login", inner(self.root, "login"));
        }
        for (name, helper) in helpers(self.root).filter(|(name, _)| format!("step.{name}") != own) {
            self.kept(&mut scope, name, Some(helper));
        }
        scope
    }

    fn kept(&self, scope: &mut Scope, name: &str, step: Option<&Table>) {
        let Some(keep) = step.and_then(|step| inner(step, "keep")) else { return };
        for kept in keep.entries.keys() {
            scope.add(format!("steps.{name}.{kept}"), Known::secret());
        }
    }

    fn key(&self, scope: &mut Scope, space: &str) {
        let filled = self.filled();
        for (field, kind) in FIELDS.into_iter().filter(|(field, _)| ALWAYS.contains(field) || filled.contains(field)) {
            scope.add(format!("{space}.{field}"), Known::plain(kind));
        }
        scope.add(format!("{space}.secret"), Known::secret());
        for (name, secret) in self.outputs {
            scope.add(format!("{space}.{name}"), if *secret { Known::secret() } else { Known::plain(Kind::Any) });
        }
        let row = inner(self.root, "list").and_then(|list| inner(list, "row"));
        for fact in row.into_iter().flat_map(|row| row.entries.keys()).filter(|name| !is_field(name)) {
            scope.add(format!("{space}.{fact}"), Known::plain(Kind::Any));
        }
    }

    /// The fields of a key that some step fills.
    fn filled(&self) -> BTreeSet<&str> {
        let row = inner(self.root, "list").and_then(|list| inner(list, "row"));
        let steps = ["issue", "rotate", "set", "read", "last_used"].into_iter().filter_map(|name| inner(self.root, name));
        let extracts = steps.filter_map(|step| inner(step, "extract"));
        let names = row.into_iter().chain(extracts).flat_map(|fields| fields.entries.keys());
        names.map(|name| name.strip_prefix("new.").or_else(|| name.strip_prefix("old.")).unwrap_or(name)).collect()
    }

    /// Only a mint has an intent for certain; what follows it may be asked long after, or without one.
    fn intent(&self, scope: &mut Scope, certain: bool) {
        let known = |kind, certain| if certain { Known::plain(kind) } else { Known::plain(kind).optional() };
        for name in ["id", "uuid", "nonce", "name_suffix"] {
            scope.add(format!("rotation.{name}"), known(Kind::Text, certain));
        }
        scope.add("rotation.year", known(Kind::Integer, certain));
        scope.add("now", known(Kind::Time, certain));
        for (space, certain) in [("grace", certain && self.grace), ("lifetime", certain && self.lifetime)] {
            for unit in ["seconds", "minutes", "hours", "days"] {
                scope.add(format!("{space}.{unit}"), known(Kind::Integer, certain));
            }
            scope.add(format!("{space}.until"), known(Kind::Time, certain));
        }
        scope.add("grace.choice", known(Kind::Any, certain && self.grace));
    }
}

/// The `[step.NAME]` tables.
pub(crate) fn helpers(root: &Table) -> impl Iterator<Item = (&String, &Table)> {
    let all = inner(root, "step");
    all.into_iter().flat_map(|all| all.entries.keys().filter_map(|name| Some((name, inner(all, name)?))))
}
