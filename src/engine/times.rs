//! Stamps as people and zones read them.

use cutover_api::Stamp;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A stamp as jiff's timestamp; the ends of time are cut off where jiff's calendar ends.
#[must_use]
pub fn timestamp(at: Stamp) -> Timestamp {
    Timestamp::from_millisecond(at.0).unwrap_or(if at.0 > 0 { Timestamp::MAX } else { Timestamp::MIN })
}

/// Jiff's timestamp as a stamp.
#[must_use]
pub fn stamp(at: Timestamp) -> Stamp {
    Stamp(at.as_millisecond())
}

/// RFC 3339, UTC, whole seconds.
#[must_use]
pub fn rfc3339(at: Stamp) -> String {
    timestamp(at).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// As people read it: `2026-11-21 14:05 UTC`.
#[must_use]
pub fn words(at: Stamp) -> String {
    timestamp(at).strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// The calendar year in a zone.
#[must_use]
pub fn year(at: Stamp, zone: &str) -> i16 {
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    timestamp(at).to_zoned(zone).year()
}

/// A point in time as RFC 3339 tells it.
#[must_use]
pub fn parsed(text: &str) -> Option<Stamp> {
    text.parse::<Timestamp>().ok().map(stamp)
}
