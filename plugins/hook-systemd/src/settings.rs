//! Reads `units`, `verb`, `settle` and `timeout`.

use std::time::Duration;

use cutover_api::{Reader, Span};

use crate::unit::{self, Verb};

/// The longest `timeout`, and the longest `settle`.
const LONGEST: [Span; 2] = [Span::hours(24), Span::HOUR];

/// The most units of one hook.
const MOST: usize = 100;

/// What the table says.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The hook's name in outcomes: `redeploy 1`.
    pub(crate) step: String,
    /// The units, in order; never empty.
    pub(crate) units: Vec<String>,
    /// What is done with them.
    pub(crate) verb: Verb,
    /// How long each must stay active.
    pub(crate) settle: Duration,
    /// The deadline of the whole.
    pub(crate) timeout: Duration,
}

/// Reads the table; everything that is wrong with it is reported.
pub(crate) fn read(reader: &Reader<'_>) -> Option<Settings> {
    let before = reader.problems().count();
    let units = units(reader);
    let verb = reader.choice("verb", &Verb::ALL.map(|verb| (verb.word(), verb)));
    let settle = span(reader, "settle", Span::seconds(5), Span::ZERO, LONGEST[1]);
    let timeout = span(reader, "timeout", Span::minutes(5), Span::SECOND, LONGEST[0]);
    let settles = settle.saturating_mul(u32::try_from(units.len()).unwrap_or(u32::MAX));
    if reader.problems().count() == before && timeout <= settles {
        let seconds = settles.as_secs();
        reader.wrong(
            "timeout",
            format!("leaves no time for the jobs: `settle` alone takes {seconds}s for {} units", units.len()),
            "must be longer than `settle` times the units",
        );
    }
    reader.finish();
    (reader.problems().count() == before).then(|| Settings {
        step: reader.step("redeploy"),
        units,
        verb: verb.unwrap_or(Verb::Restart),
        settle,
        timeout,
    })
}

fn units(reader: &Reader<'_>) -> Vec<String> {
    let right = "the names of the units with their endings, in order: [\"crm.service\"]";
    if !reader.has("units") {
        reader.wrong("units", "missing", right);
    }
    let units = reader.texts("units").unwrap_or_default();
    if reader.has("units") && (units.is_empty() || units.len() > MOST) {
        reader.wrong("units", format!("names {} units", units.len()), format!("must be 1 to {MOST}: {right}"));
    }
    for (n, name) in units.iter().enumerate() {
        if let Err(wrong) = unit::check(name) {
            reader.wrong("units", format!("{name:?} {wrong}"), right);
        } else if unit::is_own(name) {
            let wrong = format!("{name:?} is cutover itself");
            reader.wrong("units", wrong, "must be another unit: a hook that ends the daemon is never seen done");
        } else if units[..n].contains(name) {
            reader.wrong("units", format!("{name:?} stands there twice"), right);
        }
    }
    units
}

fn span(reader: &Reader<'_>, key: &str, default: Span, least: Span, most: Span) -> Duration {
    let span = reader.span(key).unwrap_or(default);
    if span < least || span > most {
        reader.wrong(key, format!("is {span}"), format!("must be from {least} to {most}"));
    }
    Duration::from_millis(u64::try_from(span.0).unwrap_or_default())
}
