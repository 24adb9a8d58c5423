//! Points and spans of time, in milliseconds. The machine never reads a clock: time is always an argument.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(pub i64);

impl Stamp {
    /// The latest point that can be named; "never" where a wake-up is asked for.
    pub const NEVER: Self = Self(i64::MAX);

    /// This point moved later by `span`, saturating.
    #[must_use]
    pub const fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// This point moved earlier by `span`, saturating.
    #[must_use]
    pub const fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }

    /// How long after `earlier` this point is; zero when it is not later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        let d = self.0.saturating_sub(earlier.0);
        if d > 0 { Span(d) } else { Span(0) }
    }
}

/// A length of time in milliseconds, never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(pub i64);

/// Why a text is not a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotASpan {
    /// No digits, no unit, or something after the last unit.
    Shape,
    /// A unit other than `s m h d w`.
    Unit,
    /// `mo` or `y`: their length depends on the calendar, so only a cadence may use them.
    Calendar,
    /// More than fits (about 292 million years).
    TooLong,
}

impl fmt::Display for NotASpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shape => "not a span such as \"30s\", \"15m\", \"24h\", \"90d\"",
            Self::Unit => "unknown unit: spans use s, m, h, d, w",
            Self::Calendar => "months and years have no fixed length: only `cadence` takes mo and y, use d or w here",
            Self::TooLong => "longer than can be counted",
        })
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// One second.
    pub const SECOND: Self = Self(1_000);
    /// One minute.
    pub const MINUTE: Self = Self(60_000);
    /// One hour.
    pub const HOUR: Self = Self(3_600_000);
    /// One day of 24 hours.
    pub const DAY: Self = Self(86_400_000);

    /// `n` seconds.
    #[must_use]
    pub const fn seconds(n: i64) -> Self {
        Self(n.saturating_mul(1_000))
    }

    /// `n` minutes.
    #[must_use]
    pub const fn minutes(n: i64) -> Self {
        Self(n.saturating_mul(60_000))
    }

    /// `n` hours.
    #[must_use]
    pub const fn hours(n: i64) -> Self {
        Self(n.saturating_mul(3_600_000))
    }

    /// Both spans together, saturating.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// This span `n` times, saturating.
    #[must_use]
    pub const fn times(self, n: i64) -> Self {
        Self(self.0.saturating_mul(n))
    }

    /// `percent` hundredths of this span.
    #[must_use]
    pub const fn percent(self, percent: i64) -> Self {
        Self(self.0.saturating_mul(percent) / 100)
    }

    /// Whole seconds, rounded down.
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0 / 1_000
    }

    /// Reads `30s`, `15m`, `1h30m`, `24h`, `90d`, `2w`. Units have a fixed length: `d` is 24 hours.
    ///
    /// # Errors
    /// Anything else, and `mo` or `y`, which only a cadence can hold.
    pub fn parse(text: &str) -> Result<Self, NotASpan> {
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(NotASpan::Shape);
        }
        let mut total = 0_i64;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let letters = rest.bytes().skip(digits).take_while(u8::is_ascii_alphabetic).count();
            if digits == 0 || letters == 0 {
                return Err(NotASpan::Shape);
            }
            let (number, tail) = rest.split_at(digits);
            let (unit, tail) = tail.split_at(letters);
            let number: i64 = number.parse().map_err(|_| NotASpan::TooLong)?;
            let unit = match unit {
                "s" => Self::SECOND.0,
                "m" => Self::MINUTE.0,
                "h" => Self::HOUR.0,
                "d" => Self::DAY.0,
                "w" => Self::DAY.0 * 7,
                "mo" | "y" => return Err(NotASpan::Calendar),
                _ => return Err(NotASpan::Unit),
            };
            total = number.checked_mul(unit).and_then(|n| total.checked_add(n)).ok_or(NotASpan::TooLong)?;
            rest = tail;
        }
        Ok(Self(total))
    }
}

impl fmt::Display for Span {
    /// At most two units, the larger first: `1d 2h`, `45m`, `0s`. Days only from 48 hours on, so `24h` reads as it is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.max(0);
        if ms < 1_000 {
            return if ms == 0 { f.write_str("0s") } else { write!(f, "{ms}ms") };
        }
        let s = ms / 1_000;
        let (d, h, m, s) = if s >= 172_800 {
            (s / 86_400, s % 86_400 / 3_600, s % 3_600 / 60, s % 60)
        } else {
            (0, s / 3_600, s % 3_600 / 60, s % 60)
        };
        let parts = [(d, "d"), (h, "h"), (m, "m"), (s, "s")];
        let Some(first) = parts.iter().position(|(n, _)| *n > 0) else { return f.write_str("0s") };
        write!(f, "{}{}", parts[first].0, parts[first].1)?;
        match parts.get(first + 1) {
            Some((n, unit)) if *n > 0 => write!(f, " {n}{unit}"),
            _ => Ok(()),
        }
    }
}

/// A span written the way the configuration takes it (`90m`, `24h`), for messages that tell what to type.
#[must_use]
pub fn typed(span: Span) -> String {
    use alloc::format;
    for (unit, name) in [(Span::DAY.0, "d"), (Span::HOUR.0, "h"), (Span::MINUTE.0, "m")] {
        if span.0 > 0 && span.0 % unit == 0 {
            return format!("{}{name}", span.0 / unit);
        }
    }
    format!("{}s", span.0.max(0).saturating_add(999) / 1_000)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::{NotASpan, Span, typed};

    #[test]
    fn spans_read_as_written() {
        assert_eq!(Span::parse("24h"), Ok(Span::hours(24)));
        assert_eq!(Span::parse("1h30m"), Ok(Span::minutes(90)));
        assert_eq!(Span::parse("2w"), Ok(Span(14 * 86_400_000)));
        assert_eq!(Span::parse("0s"), Ok(Span::ZERO));
        assert_eq!(Span::parse("6mo"), Err(NotASpan::Calendar));
        assert_eq!(Span::parse("1y"), Err(NotASpan::Calendar));
        assert_eq!(Span::parse("5"), Err(NotASpan::Shape));
        assert_eq!(Span::parse("-5s"), Err(NotASpan::Shape));
        assert_eq!(Span::parse("5 s"), Err(NotASpan::Shape));
        assert_eq!(Span::parse("5M"), Err(NotASpan::Unit));
        assert_eq!(Span::parse("99999999999999999w"), Err(NotASpan::TooLong));
    }

    #[test]
    fn spans_print_for_people() {
        assert_eq!(Span::hours(24).to_string(), "24h");
        assert_eq!(Span::hours(74).to_string(), "3d 2h");
        assert_eq!(Span::seconds(61).to_string(), "1m 1s");
        assert_eq!(typed(Span::minutes(90)), "90m");
        assert_eq!(typed(Span(1)), "1s");
    }
}
