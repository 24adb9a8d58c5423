//! Times as the page shows them.

use cutover_api::Stamp;
use jiff::tz::TimeZone;

use crate::cli::words::{read, short};
use crate::engine::times::{rfc3339, timestamp, words};

/// A point in time, for people and for programs.
pub(super) struct Moment {
    /// RFC 3339.
    pub iso: String,
    /// `2026-11-21 14:05 UTC`.
    pub words: String,
}

/// A point in time in UTC.
pub(super) fn moment(at: Stamp) -> Moment {
    Moment { iso: rfc3339(at), words: words(at) }
}

/// A point in time in a zone; UTC where the zone is not known.
pub(super) fn moment_in(at: Stamp, zone: Option<&String>) -> Moment {
    let zone = zone.filter(|zone| zone.as_str() != "UTC").and_then(|zone| TimeZone::get(zone).ok());
    let words = match zone {
        Some(zone) => timestamp(at).to_zoned(zone).strftime("%Y-%m-%d %H:%M %Z").to_string(),
        None => words(at),
    };
    Moment { iso: rfc3339(at), words }
}

/// A point in time from a status document.
pub(super) fn given(text: Option<&String>) -> Option<Stamp> {
    text.and_then(|text| read(text))
}

/// `in 12d`, `3h ago`.
pub(super) fn distance(at: Stamp, now: Stamp) -> String {
    if at > now { format!("in {}", short(at.since(now))) } else { format!("{} ago", short(now.since(at))) }
}
