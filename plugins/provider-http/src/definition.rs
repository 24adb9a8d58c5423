//! A definition: one provider as data, read and checked whole.

use cutover_api::{Problem, Problems, ProviderFacts, Reader, Span, Table};
use cutover_http_step::Defaults;
use cutover_machine::plan::{Lifecycle, Verbs};

use crate::declared::{Declared, Signs};
use crate::head::Head;
use crate::manual;
use crate::not_yet;
use crate::notes::notes;
use crate::params::{Params, Uses};
use crate::rules::{Rules, extracts, inner, lifecycle_by_mint, mint_of, names_new_id, said_by};
use crate::said::slots;
use crate::scopes::Scopes;
use crate::steps::Steps;

/// The keys of the top level that are steps.
pub(crate) const STEPS: [&str; 15] = [
    "issue",
    "rotate",
    "set",
    "regenerate",
    "manual",
    "list",
    "login",
    "read",
    "last_used",
    "probe",
    "deactivate",
    "activate",
    "revoke",
    "discard",
    "step",
];

/// One provider as data: what it is, what it declares, and the calls it takes.
///
/// Made by [`Definition::parse`]; a definition that exists is sound.
#[derive(Clone, Debug)]
pub struct Definition {
    head: Head,
    text: String,
    notes: Vec<String>,
    facts: ProviderFacts,
    /// Something says `{{ credential }}` or one of several.
    pub(crate) signs: bool,
    pub(crate) declared: Declared,
    pub(crate) steps: Steps,
    uses: Uses,
}

impl Definition {
    /// Reads and checks a definition. `file` is named in problems, and its stem must be the definition's name.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place. What this version does not do yet begins with `not yet:`.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let table = Table::parse(file, text)?;
        let problems = Problems::default();
        not_yet::report(&table, &problems);
        if problems.count() > 0 {
            return Err(problems.take());
        }
        let root = Reader::new(&table, "", &problems);
        let made = Self::load(&root, file, text);
        let mut found = problems.take();
        found.sort_by(|a, b| (&a.place, &a.key, &a.wrong, &a.right).cmp(&(&b.place, &b.key, &b.wrong, &b.right)));
        found.dedup_by(|a, b| same_fault(a, b));
        match made {
            Some(definition) if found.is_empty() => Ok(definition),
            _ => Err(found),
        }
    }

    fn load(root: &Reader<'_>, file: &str, text: &str) -> Option<Self> {
        let table = root.table_itself();
        root.choice("kind", &[("provider", ())]);
        let head = Head::load(root, file);
        let declared = match root.table("declares") {
            Some(declares) => Declared::load(&declares, head.lifecycle),
            None => Declared::load(&Reader::new(&Table::empty(), "declares", root.problems()), head.lifecycle),
        };
        let secret_outputs = head.outputs.iter().filter(|(_, secret)| **secret).map(|(name, _)| name.clone()).collect();
        let defaults = Defaults::load(root, head.hosts.keys().cloned().collect(), secret_outputs);
        STEPS.iter().for_each(|step| root.known(step));
        let lifecycle = head.lifecycle.or_else(|| lifecycle_by_mint(table));
        let steps = lifecycle.and_then(|lifecycle| checked_steps(root, &head, &declared, &defaults, lifecycle));
        root.finish();
        let (steps, lifecycle, generates) = (steps?, head.lifecycle?, head.generator.is_some());
        let facts = ProviderFacts {
            lifecycle,
            declares: declared.facts.clone(),
            verbs: verbs(table, mint_of(lifecycle), generates),
            generates,
            mint_timeout: steps.mint_timeout(),
        };
        let uses = Uses::of(table, &head.params);
        let signs = slots(table).iter().any(|slot| slot.path == "credential" || slot.path.starts_with("credential."));
        let notes = notes(table, &declared);
        let text = text.to_owned();
        Some(Self { head: head.whole()?, text, notes, facts, signs, declared, steps, uses })
    }

    /// Its name: the file's stem.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.head.name
    }

    /// What it is about, in one line; empty where it does not say.
    #[must_use]
    pub fn about(&self) -> &str {
        &self.head.about
    }

    /// Where its facts come from.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        self.head.source.as_deref()
    }

    /// The day its facts were last checked, as written.
    #[must_use]
    pub fn checked(&self) -> Option<&str> {
        self.head.checked.as_deref()
    }

    /// Whom to ask where the provider's API cannot do it.
    #[must_use]
    pub fn support(&self) -> Option<&str> {
        self.head.support.as_deref()
    }

    /// How it replaces a key.
    #[must_use]
    pub const fn lifecycle(&self) -> Lifecycle {
        self.facts.lifecycle
    }

    /// What the machine plans with. An account that signs with the key itself under `authority = "either"` differs in
    /// `declares.authority`: ask the built provider.
    #[must_use]
    pub const fn facts(&self) -> &ProviderFacts {
        &self.facts
    }

    /// A credential beside the key itself belongs into the account's table.
    #[must_use]
    pub fn wants_credential(&self) -> bool {
        self.signs && self.declared.signs != Signs::Own
    }

    /// The text it was read from: what a plan's snapshot keeps, and [`Definition::parse`] reads back.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What whoever uses it should know although nothing is wrong: promises, and what is left to the worst case.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    /// What stands above its steps.
    pub(crate) const fn head(&self) -> &Head {
        &self.head
    }

    /// The parameters a policy gives.
    #[must_use]
    pub fn param_needs(&self) -> Vec<cutover_api::ParamNeed> {
        self.params().needs()
    }

    /// The parameters by name.
    pub(crate) const fn params(&self) -> &Params {
        &self.head.params
    }

    /// What the steps ask of the parameters.
    pub(crate) const fn uses(&self) -> &Uses {
        &self.uses
    }

    /// `grace.choice` for a span.
    pub(crate) fn grace_choice(&self, span: Span) -> serde_json::Value {
        match &self.declared.grace {
            Some(grace) => grace.choice(span),
            None => cutover_machine::time::typed(span).into(),
        }
    }
}

/// What the top level says is checked once for each step that takes it over, and what is known differs between them: the same fault
/// is told once, whatever else would have been known.
fn same_fault(a: &Problem, b: &Problem) -> bool {
    let what = |problem: &Problem| problem.right.split(": ").next().unwrap_or_default().to_owned();
    a.place == b.place && a.key == b.key && a.wrong == b.wrong && what(a) == what(b)
}

/// Checks what is declared against the steps, and loads them.
fn checked_steps(
    root: &Reader<'_>,
    head: &Head,
    declared: &Declared,
    defaults: &Defaults,
    lifecycle: Lifecycle,
) -> Option<Steps> {
    let table = root.table_itself();
    let outputs: Vec<String> = head.outputs.keys().cloned().collect();
    Rules { root: table, lifecycle, declared, generator: head.generator, outputs: &outputs, problems: root.problems() }.check();
    let scopes = Scopes {
        root: table,
        params: &head.params,
        credentials: head.credentials.as_deref(),
        outputs: &head.outputs,
        generates: head.generator.is_some(),
        grace: declared.facts.grace.is_some(),
        lifetime: declared.lifetime.is_some_and(|lifetime| lifetime.rounded(None).is_some()),
    };
    Steps::load(root, defaults, &scopes, mint_of(lifecycle), declared.idempotency_header.as_deref())
}

fn verbs(root: &Table, mint: &str, generates: bool) -> Verbs {
    let has = |name: &str| inner(root, name).is_some();
    let says =
        |name: &str, path: &str| inner(root, name).is_some_and(|step| said_by(root, step).iter().any(|slot| slot.path == path));
    let by_value = says("read", "key.secret");
    Verbs {
        list: has("list"),
        read: has("read") && (!by_value || says("read", "key.id")),
        read_by_value: by_value,
        read_after_mint: !generates
            && mint != manual::TABLE
            && inner(root, mint).is_some_and(|step| !extracts(step, "new.secret")),
        last_used: has("last_used"),
        probe: has("probe"),
        deactivate: has("deactivate"),
        activate: has("activate"),
        revoke: has("revoke"),
        revoke_needs_secret: says("revoke", "key.secret"),
        discard: has("discard"),
        new_id: inner(root, mint).is_some_and(|step| names_new_id(root, step)),
    }
}
