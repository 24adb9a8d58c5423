//! A time as it is typed.

use cutover_api::{Span, Stamp};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::engine::times::stamp;

/// What can be typed.
const RIGHT: &str = "a span from now (\"24h\", \"3d\", \"2w\"), a day (\"2026-12-01\"), or a time (\"2026-12-01T12:00\", \"2026-12-01T12:00:00+01:00\"); UTC unless it says otherwise";

/// A time: a span from `now`, a day (its first moment), or a time of day. UTC, where it names no zone.
///
/// # Errors
/// What would be right.
pub fn parse(text: &str, now: Stamp) -> Result<Stamp, String> {
    let text = text.trim();
    if let Ok(span) = Span::parse(text) {
        return Ok(now.plus(span));
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(stamp(at));
    }
    let civil = text.parse::<Date>().ok().filter(|_| text.len() == 10).map(|day| day.at(0, 0, 0, 0));
    let civil = civil.or_else(|| text.parse::<DateTime>().ok());
    let at = civil.and_then(|civil| TimeZone::UTC.to_timestamp(civil).ok());
    at.map(stamp).ok_or_else(|| format!("\"{}\" is no time: {RIGHT}", text.escape_debug().take(60).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use cutover_api::Stamp;

    use super::parse;
    use crate::engine::times::rfc3339;

    #[test]
    fn spans_days_and_times_are_read() {
        let now = Stamp(1_795_230_300_000);
        for (text, expected) in [
            ("24h", "2026-11-22T03:05:00Z"),
            ("2w", "2026-12-05T03:05:00Z"),
            ("2026-12-01", "2026-12-01T00:00:00Z"),
            ("2026-12-01T12:30", "2026-12-01T12:30:00Z"),
            ("2026-12-01T12:30:05Z", "2026-12-01T12:30:05Z"),
            ("2026-12-01T12:30:00+01:00", "2026-12-01T11:30:00Z"),
            ("2026-04-27T12:34:56.000Z", "2026-04-27T12:34:56Z"),
        ] {
            assert_eq!(parse(text, now).map(rfc3339).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "tomorrow", "3mo", "1y", "2026-13-01", "2026-12-01T25:00", "-3d", "\u{1b}[31m"] {
            let told = parse(text, now).expect_err(text);
            assert!(told.contains("is no time") && !told.contains('\u{1b}'), "{told}");
        }
    }
}
