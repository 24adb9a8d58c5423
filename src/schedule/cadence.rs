//! How often: a calendar span or a cron pattern.

use std::fmt;

use jiff::tz::TimeZone;

use crate::{cron::CronPattern, span::CalendarSpan, zone::Shifts};

/// How often a policy is rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cadence {
    /// Every so often, counted from an anchor.
    Span(CalendarSpan),
    /// Whenever the pattern matches.
    Cron(CronPattern),
}

impl Cadence {
    /// A lower bound of the distance between two dates in `tz`, in milliseconds, clock changes included.
    ///
    /// Waiting for a window and jitter are left aside: they move single dates.
    #[must_use]
    pub fn shortest_ms(&self, tz: &TimeZone) -> i64 {
        let seconds = match self {
            Self::Span(span) if span.follows_calendar() => (span.shortest_seconds() - Shifts::of(tz).forward).max(1),
            Self::Span(span) => span.shortest_seconds(),
            Self::Cron(cron) => cron.shortest_seconds(tz),
        };
        seconds.saturating_mul(1_000)
    }
}

impl fmt::Display for Cadence {
    /// For people: `every 90 days`, `every year`, ``cron `0 3 1 * *` ``.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Span(span) => write!(f, "every {}", span.words()),
            Self::Cron(cron) => write!(f, "cron `{cron}`"),
        }
    }
}
