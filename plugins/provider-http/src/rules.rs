//! What a definition declares against what its steps do: each contradiction is a problem.

use cutover_api::{Node, Place, Problems, Table, Value};
use cutover_machine::plan::{Lifecycle, ListBy, ReRotate};

use crate::declared::{Declared, Signs};
use crate::generate::Generator;
use crate::manual;
use crate::said::{Slot, slots};

/// The verbs that act on one key.
pub(crate) const KEY_VERBS: [&str; 7] = ["read", "last_used", "probe", "deactivate", "activate", "revoke", "discard"];
/// The steps that mint, by lifecycle.
const MINTS: [(&str, Lifecycle); 3] = [("issue", Lifecycle::Overlap), ("rotate", Lifecycle::Grace), ("set", Lifecycle::Set)];

/// The mint step of a lifecycle. Slots is refused before anything asks.
pub(crate) fn mint_of(lifecycle: Lifecycle) -> &'static str {
    if lifecycle == Lifecycle::Manual {
        return manual::TABLE;
    }
    MINTS.iter().find(|(_, of)| *of == lifecycle).map_or("issue", |(name, _)| *name)
}

/// The lifecycle whose mint step is there: what a definition that does not say its lifecycle is checked as.
pub(crate) fn lifecycle_by_mint(root: &Table) -> Option<Lifecycle> {
    MINTS.iter().find(|(name, _)| inner(root, name).is_some()).map(|(_, of)| *of)
}

/// What the rules look at.
pub(crate) struct Rules<'a> {
    pub(crate) root: &'a Table,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) declared: &'a Declared,
    pub(crate) generator: Option<Generator>,
    pub(crate) outputs: &'a [String],
    pub(crate) problems: &'a Problems,
}

impl Rules<'_> {
    /// Checks all of them.
    pub(crate) fn check(&self) {
        self.verbs();
        self.new_value();
        self.list();
        self.read();
        self.identity();
        self.grace();
        self.authority();
        self.probe();
        self.outputs();
        manual::check(self.root, self.lifecycle, |name| self.step(name).is_some(), self.problems);
    }

    /// Which verbs there must be, and which there cannot be.
    fn verbs(&self) {
        let mint = mint_of(self.lifecycle);
        if self.step(mint).is_none() {
            self.at_root(mint, "missing", format!("lifecycle \"{}\" mints with [{mint}]", word(self.lifecycle)));
        }
        let strangers = MINTS.map(|(name, _)| name).into_iter().chain(["regenerate", "manual"]).filter(|name| *name != mint);
        for name in strangers.filter(|name| self.root.get(name).is_some()) {
            self.at_root(name, format!("does not belong to lifecycle \"{}\"", word(self.lifecycle)), format!("[{mint}]"));
        }
        if self.lifecycle == Lifecycle::Overlap && self.step("revoke").is_none() {
            self.at_root("revoke", "missing", "lifecycle \"overlap\" ends the old key by [revoke]");
        }
        if self.step("activate").is_some() && self.step("deactivate").is_none() {
            self.at_root("activate", "undoes a [deactivate] that is not there", "both, or neither");
        }
        for name in ["deactivate", "activate", "revoke", "discard"] {
            let Some(step) = self.step(name) else { continue };
            if matches!(self.lifecycle, Lifecycle::Overlap | Lifecycle::Manual)
                && !self.says(step, |path| path.starts_with("key."))
            {
                self.at_step(
                    name,
                    "request",
                    "says nothing of the key",
                    "key.id, key.name or key.secret somewhere in the step",
                );
            }
        }
    }

    /// Where the new value comes from: the mint's reply, our own choice, or a read after it; from exactly one of them.
    fn new_value(&self) {
        if self.lifecycle == Lifecycle::Manual {
            return;
        }
        let mint = mint_of(self.lifecycle);
        if self.lifecycle == Lifecycle::Set && self.root.get("generate").is_none() {
            self.at_root(
                "generate",
                "missing",
                "lifecycle \"set\" sends a value of our own: { \"new.secret\" = \"alphanumeric:40\" }",
            );
        }
        let Some(step) = self.step(mint) else { return };
        let extracted = extracts(step, "new.secret");
        if self.root.get("generate").is_some() {
            if extracted {
                self.at_step(mint, "extract", "takes new.secret from the reply although `generate` makes it", "one of the two");
            }
            if !self.says(step, |path| path == "new.secret") {
                self.at_step(
                    mint,
                    "request",
                    "never sends the value that `generate` makes",
                    "new.secret somewhere in the step",
                );
            }
        } else if !extracted && self.lifecycle != Lifecycle::Set && !self.read_yields_secret() {
            self.at_step(
                mint,
                "extract",
                "nothing yields the new value",
                "\"new.secret\" here, `generate`, or a [read] that extracts secret",
            );
        }
        if let Some(generator) = self.generator {
            let shape = &self.declared.shape;
            if shape.has_prefix() || shape.min_length() > generator.length() {
                self.at_declares(
                    "secret",
                    "a value that `generate` makes does not look like this",
                    "no prefix, and at most its length",
                );
            }
        }
    }

    /// `declares.list` against `[list]` and the mint.
    fn list(&self) {
        let by = self.declared.facts.list;
        let Some(list) = self.step("list") else {
            if by != ListBy::None {
                self.at_declares("list", "there is no [list]", "\"none\", or a [list]");
            }
            return;
        };
        let row =
            |field: &str| matches!(list.get("row"), Some(Node { value: Value::Table(row), .. }) if row.get(field).is_some());
        let mint = mint_of(self.lifecycle);
        match by {
            ListBy::None => {
                self.at_declares(
                    "list",
                    "is \"none\" although there is a [list]",
                    "\"by-name\", \"by-secret\" or \"by-time\": how our own key is found in it",
                );
            }
            ListBy::Name => {
                if !row("name") {
                    self.at_declares("list", "is \"by-name\" but the rows of [list] have no name", "name = POINTER in row");
                }
                let nonce = |path: &str| matches!(path, "rotation.nonce" | "rotation.name_suffix");
                if self.step(mint).is_some_and(|step| !self.says(step, nonce)) {
                    let right = "rotation.nonce or rotation.name_suffix in the name it gives";
                    self.at_declares("list", format!("is \"by-name\" but [{mint}] sends no nonce"), right);
                }
            }
            ListBy::Secret if !row("secret") => {
                self.at_declares("list", "is \"by-secret\" but the rows of [list] have no secret", "secret = POINTER in row");
            }
            ListBy::Time if !row("created_at") => {
                self.at_declares(
                    "list",
                    "is \"by-time\" but the rows of [list] have no created_at",
                    "created_at = POINTER in row",
                );
            }
            ListBy::Secret | ListBy::Time => {}
        }
    }

    /// `reread` and `last_used` against the steps.
    fn read(&self) {
        if self.declared.facts.reread && !self.read_yields_secret() {
            self.at_declares(
                "reread",
                "is true but no [read] extracts secret",
                "false, or secret = POINTER in the extract of [read]",
            );
        }
        if !self.declared.facts.reread && self.read_yields_secret() {
            self.at_declares("reread", "is false although [read] extracts secret", "true");
        }
        if let Some(step) = self.step("last_used")
            && !extracts(step, "last_used_at")
        {
            self.at_step("last_used", "extract", "has no last_used_at", "last_used_at = POINTER");
        }
        if self.declared.facts.last_used.is_some() && !self.tells_last_use() {
            self.at_declares(
                "last_used",
                "neither [last_used] nor a row of [list] tells it",
                "last_used_at = POINTER in one of them",
            );
        }
    }

    /// A key that is ended by its id needs an id of its own, or ending the old one ends the new one.
    fn identity(&self) {
        let mint = mint_of(self.lifecycle);
        let Some(step) = self.step(mint) else { return };
        if names_new_id(self.root, step) || self.lifecycle == Lifecycle::Set {
            return;
        }
        let by_id = |name: &&str| self.step(name).is_some_and(|step| self.says(step, |path| path == "key.id"));
        if let Some(name) = ["revoke", "deactivate", "discard"].into_iter().find(by_id) {
            if self.lifecycle == Lifecycle::Manual {
                let wrong = format!("has no \"id\" although [{name}] ends a key by its id");
                return self.at_step(mint, "fields", wrong, "[\"secret\", \"id\"]");
            }
            let wrong = format!("has no new.id although [{name}] ends a key by its id");
            self.at_step(mint, "extract", wrong, "\"new.id\" = POINTER: otherwise the new key keeps the old one's id");
        }
    }

    /// `declares.grace` and `declares.idempotency`.
    fn grace(&self) {
        let overlap = self.lifecycle == Lifecycle::Overlap;
        let undeclared = self.declares("grace").is_none();
        if undeclared
            && (self.lifecycle == Lifecycle::Grace || (self.lifecycle == Lifecycle::Set && self.step("revoke").is_none()))
        {
            let right = "{ fixed = SPAN }, { choices = [SPAN, …] } or { min, max, unit }; { fixed = \"0s\" } = the old key dies at once";
            self.at_declares("grace", "missing", right);
        }
        if overlap && !undeclared {
            self.at_declares("grace", "lifecycle \"overlap\" asks for no grace", "no such key: [revoke] ends the old key");
        }
        if self.declares("slots").is_some() {
            self.at_declares("slots", "only lifecycle \"slots\" has slots", "no such key");
        }
        if self.declared.facts.re_rotate == ReRotate::Idempotent && self.declares("idempotency").is_none() {
            let right = "idempotency = { header = NAME, window = SPAN, replays_errors = BOOLEAN }";
            self.at_declares("re_rotate", "is \"idempotent\" without an idempotency", right);
        }
    }

    /// Who signs against what the steps say of the credential.
    fn authority(&self) {
        if self.declared.signs == Signs::Separate {
            return;
        }
        if self.root.get("credential").is_some() {
            self.at_declares("authority", "the key signs, but `credential` names several", "one of the two");
        }
        if !slots(self.root).iter().any(|slot| slot.path == "credential") {
            self.at_declares(
                "authority",
                "nothing says {{ credential }}",
                "the key itself signs: [auth] with {{ credential }}",
            );
        }
    }

    /// A probe is made with the key.
    fn probe(&self) {
        let Some(step) = self.step("probe") else { return };
        for key in ["accepted", "refused"] {
            if step.get(key).is_none() {
                self.at_step("probe", key, "missing", "a match: { status = [CODE, …], body = { POINTER = LITERAL } }");
            }
        }
        if !self.says(step, |path| path == "key.secret") {
            self.at_step("probe", "request", "is not made with the key", "key.secret somewhere in the step");
        }
    }

    /// Every output comes from the mint.
    fn outputs(&self) {
        let mint = mint_of(self.lifecycle);
        let Some(step) = self.step(mint) else { return };
        for name in self.outputs.iter().filter(|name| !extracts(step, &format!("new.{name}"))) {
            let place =
                inner(self.root, "outputs").and_then(|outputs| outputs.get(name)).map_or(&self.root.place, |node| &node.place);
            let right = format!("\"new.{name}\" = POINTER in the extract of [{mint}]");
            self.problems.add(place, format!("outputs.{name}"), "nothing yields it", right);
        }
    }

    fn step(&self, name: &str) -> Option<&Table> {
        inner(self.root, name)
    }

    fn says(&self, step: &Table, which: impl Fn(&str) -> bool) -> bool {
        said_by(self.root, step).iter().any(|slot| which(&slot.path))
    }

    fn read_yields_secret(&self) -> bool {
        self.step("read").is_some_and(|read| extracts(read, "secret"))
    }

    fn tells_last_use(&self) -> bool {
        self.step("last_used").is_some() || row_tells_last_use(self.root)
    }

    fn declares(&self, key: &str) -> Option<&Node> {
        inner(self.root, "declares").and_then(|declares| declares.get(key))
    }

    fn at_root(&self, key: &str, wrong: impl Into<String>, right: impl Into<String>) {
        let place = self.root.entries.get(key).map_or(&self.root.place, |entry| &entry.key);
        self.problems.add(place, key, wrong, right);
    }

    fn at_declares(&self, key: &str, wrong: impl Into<String>, right: impl Into<String>) {
        let table = self.root.entries.get("declares").map_or(&self.root.place, |entry| &entry.key);
        let place = self.declares(key).map_or(table, |node| &node.place);
        self.problems.add(place, format!("declares.{key}"), wrong, right);
    }

    fn at_step(&self, step: &str, key: &str, wrong: impl Into<String>, right: impl Into<String>) {
        let table = self.root.entries.get(step).map_or(&self.root.place, |entry| &entry.key);
        let place = self.step(step).and_then(|table| table.get(key)).map_or(table, |node| &node.place);
        self.problems.add(place, format!("{step}.{key}"), wrong, right);
    }
}

/// A table inside a table.
pub(crate) fn inner<'a>(table: &'a Table, key: &str) -> Option<&'a Table> {
    match table.get(key) {
        Some(Node { value: Value::Table(inner), .. }) => Some(inner),
        _ => None,
    }
}

/// Whether the rows of `[list]` tell a last use.
pub(crate) fn row_tells_last_use(root: &Table) -> bool {
    inner(root, "list").and_then(|list| inner(list, "row")).is_some_and(|row| row.get("last_used_at").is_some())
}

/// Whether the mint tells the new key's id: by its reply, or by the person who makes it.
pub(crate) fn names_new_id(root: &Table, mint: &Table) -> bool {
    extracts(mint, "new.id") || manual::asks_for_id(root)
}

/// Whether a step's `extract` has this field.
pub(crate) fn extracts(step: &Table, field: &str) -> bool {
    inner(step, "extract").is_some_and(|extract| extract.get(field).is_some())
}

/// Every slot a step says, with what it takes from the top level.
pub(crate) fn said_by(root: &Table, step: &Table) -> Vec<Slot> {
    let mut said = slots(step);
    for key in ["auth", "headers", "query"] {
        if step.get(key).is_none()
            && let Some(table) = inner(root, key)
        {
            said.extend(slots(table));
        }
    }
    said
}

/// The word of a lifecycle in a definition.
pub(crate) const fn word(lifecycle: Lifecycle) -> &'static str {
    match lifecycle {
        Lifecycle::Overlap => "overlap",
        Lifecycle::Grace => "grace",
        Lifecycle::Slots => "slots",
        Lifecycle::Set => "set",
        Lifecycle::Manual => "manual",
    }
}

/// The place of a table's own key, for problems about the whole of it.
pub(crate) fn place_of<'a>(root: &'a Table, key: &str) -> &'a Place {
    root.entries.get(key).map_or(&root.place, |entry| &entry.key)
}
