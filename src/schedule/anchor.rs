//! Where the dates of a span begin.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use crate::{
    draw::draw,
    problem::quoted,
    span::CalendarSpan,
    zone::{first_instant, plus_seconds, seconds_between},
};

/// The first date of a span; the others are counted from its local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    civil: DateTime,
    at: Timestamp,
}

impl Anchor {
    /// Reads a local time of `tz` (`2026-01-15T03:00:00`), a date (its midnight), or an instant with `Z` or an offset.
    ///
    /// # Errors
    /// What is wrong and what would be right, for anything else and for years outside 1970 to 2999.
    pub fn parse(text: &str, tz: &TimeZone) -> Result<Self, (String, String)> {
        let text = text.trim();
        let bad = |wrong: &str| {
            let right = "a local time such as `2026-01-15T03:00:00`, a date, or an instant such as `2026-01-15T03:00:00Z`";
            (format!("{} {wrong}", quoted(text)), right.to_owned())
        };
        let anchor = if let Ok(at) = text.parse::<Timestamp>() {
            Self::at(at, tz)
        } else {
            let civil: DateTime = text.parse().map_err(|_| bad("is not a point in time"))?;
            let first = first_instant(tz, civil).ok_or_else(|| bad("is beyond the calendar"))?;
            Self { civil, at: first.at }
        };
        if (1970..3000).contains(&anchor.civil.year()) { Ok(anchor) } else { Err(bad("is not in the years 1970 to 2999")) }
    }

    /// The anchor of a policy that names none: when it was first loaded plus a part of the cadence drawn from `seed`, so that
    /// policies loaded together do not fall due together. Later than `loaded_at` by a second at least and one span at most.
    ///
    /// `None` beyond the calendar.
    #[must_use]
    pub fn first_loaded(loaded_at: Timestamp, seed: &str, span: &CalendarSpan, tz: &TimeZone) -> Option<Self> {
        let whole = Timestamp::from_second(loaded_at.as_second()).ok()?;
        let one_span_on = Dated::new(Self::at(whole, tz), *span, tz).nth(1)?;
        let length = seconds_between(whole, one_span_on.at).max(1);
        // The loading time stays out of the draw: a redraw must not follow from a clock that is a second off.
        let part = 1 + draw(seed, "anchor", 0, length - 1);
        Some(Self::at(plus_seconds(whole, part)?, tz))
    }

    fn at(at: Timestamp, tz: &TimeZone) -> Self {
        Self { civil: tz.to_datetime(at), at }
    }

    /// The first date.
    #[must_use]
    pub const fn first(&self) -> Timestamp {
        self.at
    }

    /// The local time that the other dates are counted from.
    #[must_use]
    pub const fn local(&self) -> DateTime {
        self.civil
    }
}

/// The dates of a span: anchor + n × span for n ≥ 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dated<'a> {
    anchor: Anchor,
    span: CalendarSpan,
    tz: &'a TimeZone,
}

impl<'a> Dated<'a> {
    pub(crate) const fn new(anchor: Anchor, span: CalendarSpan, tz: &'a TimeZone) -> Self {
        Self { anchor, span, tz }
    }

    /// Date `n`; `None` before the anchor and beyond the calendar.
    pub(crate) fn nth(&self, n: i64) -> Option<crate::zone::Occurrence> {
        if n < 0 {
            return None;
        }
        let mut date = crate::zone::Occurrence { at: self.anchor.at, in_gap: false };
        if n > 0 && self.span.follows_calendar() {
            let day = self.span.moved(self.anchor.civil.date(), n)?;
            date = first_instant(self.tz, day.to_datetime(self.anchor.civil.time()))?;
        }
        date.at = plus_seconds(date.at, self.span.seconds().checked_mul(n)?)?;
        Some(date)
    }

    /// The number of the first date strictly after `t`.
    pub(crate) fn index_after(&self, t: Timestamp) -> i64 {
        // Months and days differ in length, by less than a whole span: two below the guess is never too far.
        let guess = seconds_between(self.anchor.at, t) / self.span.roughly().max(1);
        let mut n = (guess - 2).max(0);
        let later = |n| self.nth(n).is_none_or(|date| date.at > t);
        while !later(n) {
            n += 1;
        }
        n
    }
}
