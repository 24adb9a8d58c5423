//! `[[policy.x.verify]]`: what counts as evidence that the new key is in use.

use std::collections::BTreeMap;

use cutover_api::{Place, ProviderFacts, Reader, Span, Table};
use cutover_machine::plan::{Authority, VerifyKind};

use crate::layers::Layers;
use crate::{Kept, Kinds, VerifyTable, built};

/// How often a witness is asked, and the least for a last use.
const EVERY: Span = Span::seconds(30);
/// The longest default for a last use.
const EVERY_AT_MOST: Span = Span::HOUR;
/// The kinds that need no plugin.
const OWN: [&str; 2] = ["last-used", "confirm"];

/// Reads the verifies of a policy; one `confirm` where there is none. `targets`: their names as `store:path`.
pub(crate) fn read(
    layers: &Layers<'_, '_>,
    facts: Option<&ProviderFacts>,
    targets: &BTreeMap<String, Place>,
    kinds: &dyn Kinds,
) -> Vec<VerifyTable> {
    let readers = layers.of("verify").tables("verify");
    let mut all: Vec<_> = readers.iter().filter_map(|reader| verify(reader, facts, targets, kinds)).collect();
    if readers.is_empty() {
        all.push(VerifyTable {
            kind: VerifyKind::Confirm,
            kind_name: "confirm".to_owned(),
            every: EVERY,
            hold_for: Span::ZERO,
            covers: Vec::new(),
            table: Kept::of(&Table::empty()),
        });
    }
    all.shrink_to_fit();
    all
}

fn verify(
    reader: &Reader<'_>,
    facts: Option<&ProviderFacts>,
    targets: &BTreeMap<String, Place>,
    kinds: &dyn Kinds,
) -> Option<VerifyTable> {
    let [_, _, witnesses, _] = kinds.names();
    let mut names = OWN.to_vec();
    names.extend(&witnesses);
    let name = built::kind(reader, &names, "verify")?;
    let covers = built::words(reader, "covers");
    for target in covers.iter().filter(|target| !targets.contains_key(*target)) {
        let known: Vec<_> = targets.keys().collect();
        let wrong = format!("the policy has no target \"{}\"", target.escape_debug());
        reader.wrong("covers", wrong, format!("\"STORE:PATH\" of its targets: {}", built::quoted(&known)));
    }
    let kind = match name {
        "last-used" => VerifyKind::LastUsed,
        "confirm" => VerifyKind::Confirm,
        "consumer" => VerifyKind::Consumer,
        _ => VerifyKind::Command,
    };
    if kind == VerifyKind::Confirm {
        reader.finish();
        return Some(made(kind, name, EVERY, Span::ZERO, covers, reader));
    }
    let every = every(reader);
    let hold_for = reader.span("for").unwrap_or(Span::ZERO);
    let default = if kind == VerifyKind::LastUsed {
        reader.finish();
        last_used(reader, facts)
    } else {
        kinds.witness(name, reader)?;
        EVERY
    };
    Some(made(kind, name, every.unwrap_or(default), hold_for, covers, reader))
}

/// Reports a last use that cannot be evidence; how often it is asked by default.
fn last_used(reader: &Reader<'_>, facts: Option<&ProviderFacts>) -> Span {
    let Some(facts) = facts else { return EVERY };
    let Some(told) = facts.declares.last_used else {
        let right = "another kind: \"consumer\", \"command\" or \"confirm\"";
        reader.wrong("kind", "the provider does not tell when a key was last used", right);
        return EVERY;
    };
    if facts.declares.authority == Authority::Own {
        let right = "another kind: cutover signs with the key itself, and its own calls are no evidence";
        reader.wrong("kind", "the last use would be cutover's own", right);
    }
    told.lag.max(told.granularity).max(EVERY).min(EVERY_AT_MOST)
}

fn made(kind: VerifyKind, name: &str, every: Span, hold_for: Span, covers: Vec<String>, reader: &Reader<'_>) -> VerifyTable {
    let table = Kept::of(&built::without(reader.table_itself(), &["every", "for", "covers"]));
    VerifyTable { kind, kind_name: name.to_owned(), every, hold_for, covers, table }
}

fn every(reader: &Reader<'_>) -> Option<Span> {
    let every = reader.span("every")?;
    if every < Span::SECOND || every > Span::DAY {
        reader.wrong("every", format!("is {every}"), "must be from 1s to 24h");
    }
    Some(every)
}
