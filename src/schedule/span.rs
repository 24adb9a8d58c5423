//! Spans that follow the calendar: `1y`, `6mo`, `90d`, `12h`.

use std::fmt;
use std::sync::OnceLock;

use jiff::{Span, civil::Date};

const DAY: i64 = 86_400;

/// A span of calendar units and elapsed time, never empty and never negative.
///
/// Years are months and weeks are days; these follow the calendar. Hours, minutes and seconds are elapsed time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CalendarSpan {
    months: i32,
    days: i32,
    seconds: i64,
}

/// Why a text is not a calendar span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadSpan {
    /// No digits, no unit, a sign, or something between the parts.
    Shape,
    /// A unit other than `s m h d w mo y`.
    Unit,
    /// Nothing at all, such as `0d`.
    Empty,
    /// Longer than 1000 years.
    TooLong,
    /// `mo` or `y` where a fixed length is needed.
    Calendar,
}

impl fmt::Display for BadSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shape => "is not a span",
            Self::Unit => "has an unknown unit",
            Self::Empty => "is no time at all",
            Self::TooLong => "is longer than 1000 years",
            Self::Calendar => "has months or years, whose length is not fixed",
        })
    }
}

impl std::error::Error for BadSpan {}

impl CalendarSpan {
    /// Reads `1y`, `6mo`, `2w`, `90d`, `12h`, `30m`, `45s` and combinations such as `1y6mo`. `m` is a minute, `mo` a month.
    ///
    /// # Errors
    /// Anything else, an empty span, and one longer than 1000 years.
    pub fn parse(text: &str) -> Result<Self, BadSpan> {
        let span = Self::parse_or_empty(text)?;
        if span.months == 0 && span.days == 0 && span.seconds == 0 { Err(BadSpan::Empty) } else { Ok(span) }
    }

    /// Reads a span of fixed length into seconds: days have 24 hours, `0s` is allowed.
    pub(crate) fn parse_fixed(text: &str) -> Result<i64, BadSpan> {
        let span = Self::parse_or_empty(text)?;
        if span.months == 0 { Ok(i64::from(span.days) * DAY + span.seconds) } else { Err(BadSpan::Calendar) }
    }

    fn parse_or_empty(text: &str) -> Result<Self, BadSpan> {
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(BadSpan::Shape);
        }
        let (mut months, mut days, mut seconds) = (0_i64, 0_i64, 0_i64);
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let letters = rest.bytes().skip(digits).take_while(u8::is_ascii_alphabetic).count();
            if digits == 0 || letters == 0 {
                return Err(BadSpan::Shape);
            }
            let number: i64 = rest[..digits].parse().map_err(|_| BadSpan::TooLong)?;
            let (sum, factor) = match &rest[digits..digits + letters] {
                "y" => (&mut months, 12),
                "mo" => (&mut months, 1),
                "w" => (&mut days, 7),
                "d" => (&mut days, 1),
                "h" => (&mut seconds, 3_600),
                "m" => (&mut seconds, 60),
                "s" => (&mut seconds, 1),
                _ => return Err(BadSpan::Unit),
            };
            *sum = number.checked_mul(factor).and_then(|n| sum.checked_add(n)).ok_or(BadSpan::TooLong)?;
            rest = &rest[digits + letters..];
        }
        if months > 12_000 || days > 366_000 || seconds > 366_000 * DAY {
            return Err(BadSpan::TooLong);
        }
        let small = |n: i64| i32::try_from(n).map_err(|_| BadSpan::TooLong);
        Ok(Self { months: small(months)?, days: small(days)?, seconds })
    }

    /// Whether it has years, months, weeks or days: units that keep the local time of day.
    #[must_use]
    pub const fn follows_calendar(&self) -> bool {
        self.months != 0 || self.days != 0
    }

    /// The elapsed part in seconds.
    pub(crate) const fn seconds(&self) -> i64 {
        self.seconds
    }

    /// Roughly how long it is, in seconds; exact without months.
    pub(crate) fn roughly(&self) -> i64 {
        // 2 629 746 s: the mean month of the Gregorian calendar's 400 years.
        i64::from(self.months) * 2_629_746 + i64::from(self.days) * DAY + self.seconds
    }

    /// `date` moved by the calendar part of this span, `n` times at once: the day is cut to the month's length only at the end.
    pub(crate) fn moved(&self, date: Date, n: i64) -> Option<Date> {
        let months = i64::from(self.months).checked_mul(n)?;
        let month = i64::from(date.year()).checked_mul(12)?.checked_add(i64::from(date.month()) - 1)?.checked_add(months)?;
        let year = i16::try_from(month.div_euclid(12)).ok()?;
        let first = Date::new(year, i8::try_from(month.rem_euclid(12) + 1).ok()?, 1).ok()?;
        let moved = Date::new(year, first.month(), date.day().min(first.days_in_month())).ok()?;
        moved.checked_add(Span::new().try_days(i64::from(self.days).checked_mul(n)?).ok()?).ok()
    }

    /// A lower bound in seconds of the distance between two dates of this span, clock changes left aside.
    pub(crate) fn shortest_seconds(&self) -> i64 {
        let by_month = if self.months == 0 { 0 } else { self.shortest_days() };
        (by_month + i64::from(self.days)) * DAY + self.seconds
    }

    /// The fewest days that the months of this span ever cover: tried from every month and month end of the years around a leap
    /// year and around a century that has none.
    fn shortest_days(&self) -> i64 {
        // A hundred thousand policies name the same few spans.
        static KNOWN: [OnceLock<i64>; 61] = [const { OnceLock::new() }; 61];
        let known = usize::try_from(self.months).ok().and_then(|months| KNOWN.get(months));
        known.map_or_else(|| self.tried_days(), |known| *known.get_or_init(|| self.tried_days()))
    }

    fn tried_days(&self) -> i64 {
        let month = Self { months: 1, days: 0, seconds: 0 };
        let mut fewest = i64::from(self.months) * 31;
        for year in [2024, 2096] {
            for start in [1, 28, 29, 30, 31].into_iter().filter_map(|day| Date::new(year, 1, day).ok()) {
                for n in 0..60 {
                    // Both counted from `start`, so that a month end comes back where the month allows it.
                    let to = month.moved(start, n + i64::from(self.months));
                    if let Some((from, to)) = month.moved(start, n).zip(to) {
                        fewest = fewest.min(i64::from((to - from).get_days()));
                    }
                }
            }
        }
        fewest
    }

    fn parts(&self) -> [(i64, &'static str, &'static str); 6] {
        let (y, mo) = (i64::from(self.months) / 12, i64::from(self.months) % 12);
        let s = self.seconds;
        let [days, weeks] = if self.days % 7 == 0 { [0, i64::from(self.days) / 7] } else { [i64::from(self.days), 0] };
        let (day, day_short) = if weeks > 0 { ("week", "w") } else { ("day", "d") };
        [
            (y, "y", "year"),
            (mo, "mo", "month"),
            (days + weeks, day_short, day),
            (s / 3_600, "h", "hour"),
            (s % 3_600 / 60, "m", "minute"),
            (s % 60, "s", "second"),
        ]
    }

    /// In words: `year`, `90 days`, `1 year 6 months`; made to follow "every".
    #[must_use]
    pub fn words(&self) -> String {
        let parts: Vec<_> = self.parts().into_iter().filter(|(n, ..)| *n > 0).collect();
        if let [(1, _, word)] = parts.as_slice() {
            return (*word).to_owned();
        }
        let parts: Vec<_> = parts.iter().map(|(n, _, word)| format!("{n} {word}{}", if *n == 1 { "" } else { "s" })).collect();
        parts.join(" ")
    }
}

impl fmt::Display for CalendarSpan {
    /// As the configuration takes it: `1y6mo`, `90d`, `2w`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, unit, _) in self.parts().into_iter().filter(|(n, ..)| *n > 0) {
            write!(f, "{n}{unit}")?;
        }
        Ok(())
    }
}
