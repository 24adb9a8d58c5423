//! `[declares]`: the facts a definition states about its provider. What it does not state is the worst case.

use cutover_api::{Reader, Secret};
use cutover_http_step::Step;
use cutover_machine::plan::{Authority, Declares, Idempotency, LastUsed, Lifecycle, ListBy, NullUse, ReRotate};

use crate::offers::{Grace, Lifetime};

/// Who signs, as a definition may put it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signs {
    /// A credential of the account's own.
    Separate,
    /// The key itself.
    Own,
    /// The key itself when the account has no credential.
    Either,
}

/// What a value of this provider looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    prefix: String,
    min_length: usize,
}

impl Shape {
    /// Whether `value` can be a key of this provider.
    pub(crate) fn fits(&self, value: &Secret) -> bool {
        value.expose().starts_with(&self.prefix) && value.expose().chars().count() >= self.min_length
    }

    /// The least length.
    pub(crate) const fn min_length(&self) -> usize {
        self.min_length
    }

    /// Whether every value begins alike.
    pub(crate) const fn has_prefix(&self) -> bool {
        !self.prefix.is_empty()
    }
}

/// `[declares]`, read.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    /// For the machine.
    pub(crate) facts: Declares,
    /// Who signs.
    pub(crate) signs: Signs,
    /// The graces on offer.
    pub(crate) grace: Option<Grace>,
    /// The lifetimes on offer.
    pub(crate) lifetime: Option<Lifetime>,
    /// The idempotency header, sent with the intent's nonce.
    pub(crate) idempotency_header: Option<String>,
    /// What a value looks like.
    pub(crate) shape: Shape,
    /// What was left to the worst case, in words.
    pub(crate) worst: Vec<&'static str>,
}

impl Declared {
    /// Reads `[declares]`; a definition without it declares nothing.
    pub(crate) fn load(table: &Reader<'_>, lifecycle: Option<Lifecycle>) -> Self {
        let signs = [("separate", Signs::Separate), ("self", Signs::Own), ("either", Signs::Either)];
        let signs = table.choice("authority", &signs).unwrap_or(Signs::Separate);
        let grace = Grace::load(table);
        let idempotency = idempotency(table);
        let mut facts = Declares { grace: grace.as_ref().map(|grace| grace.offer.clone()), ..Declares::default() };
        plain(table, &mut facts);
        facts.idempotency = idempotency.as_ref().map(|(_, facts)| *facts);
        facts.authority = if signs == Signs::Own { Authority::Own } else { Authority::Separate };
        let lifetime = Lifetime::load(table);
        let shape = shape(table);
        table.known("slots");
        table.finish();
        let worst = worst(table, lifecycle);
        Self { facts, signs, grace, lifetime, idempotency_header: idempotency.map(|(header, _)| header), shape, worst }
    }
}

/// Everything that is one word, one number or one span.
fn plain(table: &Reader<'_>, facts: &mut Declares) {
    let re_rotate = [
        ("keeps-all", ReRotate::KeepsAll),
        ("drops-older", ReRotate::DropsOlder),
        ("refused", ReRotate::Refused),
        ("idempotent", ReRotate::Idempotent),
        ("destroys", ReRotate::Destroys),
    ];
    facts.re_rotate = table.choice("re_rotate", &re_rotate).unwrap_or(facts.re_rotate);
    let list = [("by-name", ListBy::Name), ("by-secret", ListBy::Secret), ("by-time", ListBy::Time), ("none", ListBy::None)];
    facts.list = table.choice("list", &list).unwrap_or(facts.list);
    facts.list_lag = table.span("list_lag").unwrap_or(facts.list_lag);
    facts.reread = table.boolean("reread").unwrap_or(facts.reread);
    facts.max_live = table.integer("max_live", 1..=1_000_000).and_then(|n| u32::try_from(n).ok());
    let probe = [("allowed", true), ("forbidden", false)];
    facts.negative_probe = table.choice("negative_probe", &probe).unwrap_or(facts.negative_probe);
    facts.settle = table.span("settle").unwrap_or(facts.settle);
    facts.last_used = last_used(table);
}

fn last_used(declares: &Reader<'_>) -> Option<LastUsed> {
    let table = declares.table("last_used")?;
    for key in ["granularity", "lag"] {
        if !table.has(key) {
            table.wrong(key, "missing", "how exactly, and how late, a use is told: a span");
        }
    }
    let (granularity, lag) = (table.span("granularity"), table.span("lag"));
    let null = table.choice("null", &[("unknown", NullUse::Unknown), ("never", NullUse::Never)]);
    table.finish();
    Some(LastUsed { granularity: granularity?, lag: lag?, null: null.unwrap_or_default() })
}

fn idempotency(declares: &Reader<'_>) -> Option<(String, Idempotency)> {
    let table = declares.table("idempotency")?;
    let header = table.require_text("header", "the name of the header, \"Idempotency-Key\" say");
    if !table.has("window") {
        table.wrong("window", "missing", "how long the provider remembers it: a span");
    }
    let window = table.span("window");
    let replays_errors = table.boolean("replays_errors").unwrap_or(true);
    table.finish();
    let header = header?;
    if !Step::is_header(header) {
        table.wrong("header", format!("\"{header}\" is no header that a definition may set"), "letters, digits and -");
        return None;
    }
    Some((header.to_owned(), Idempotency { window: window?, replays_errors }))
}

fn shape(declares: &Reader<'_>) -> Shape {
    let Some(table) = declares.table("secret") else { return Shape::default() };
    let prefix = table.text("prefix").unwrap_or_default().to_owned();
    let min_length = table.integer("min_length", 1..=65_536).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    table.finish();
    Shape { prefix, min_length }
}

/// What `providers test` says of each key that is not there and whose worst case costs something.
fn worst(table: &Reader<'_>, lifecycle: Option<Lifecycle>) -> Vec<&'static str> {
    let overlap = lifecycle == Some(Lifecycle::Overlap);
    [
        (
            "re_rotate",
            true,
            "re_rotate is not declared: after a lost reply nothing is ever minted again by itself (\"destroys\")",
        ),
        ("list", true, "list is not declared: a key whose reply was lost cannot be found (\"none\")"),
        ("last_used", true, "last_used is not declared: nobody can see whether the old key is still used"),
        (
            "negative_probe",
            true,
            "negative_probe is not declared: a dead key is never presented, so its death is not proven by a probe",
        ),
        ("settle", true, "settle is not declared: a birth or a death of a key is believed only after 5m"),
        (
            "max_live",
            overlap,
            "max_live is not declared: a full account is only noticed when the mint is refused (class \"limit\")",
        ),
        ("secret", true, "secret is not declared: any text in the right place of a reply is taken for a key"),
    ]
    .into_iter()
    .filter(|(key, counts, _)| *counts && !table.has(key))
    .map(|(_, _, said)| said)
    .collect()
}
