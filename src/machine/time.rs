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
        let d = if s >= 172_800 { s / 86_400 } else { 0 };
        let parts = [(d, "d"), ((s - d * 86_400) / 3_600, "h"), (s % 3_600 / 60, "m"), (s % 60, "s")];
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

    use super::{NotASpan, Span, Stamp, typed};

    #[test]
    fn spans_read_as_written() {
        let read = [
            ("0s", Span::ZERO),
            ("30s", Span::seconds(30)),
            ("15m", Span::minutes(15)),
            ("24h", Span::hours(24)),
            ("1h30m", Span::minutes(90)),
            (" 90d ", Span::DAY.times(90)),
            ("2w", Span(14 * 86_400_000)),
            ("106751991167d", Span(9_223_372_036_828_800_000)),
        ];
        for (text, span) in read {
            assert_eq!(Span::parse(text), Ok(span), "{text}");
        }
    }

    #[test]
    fn what_is_no_span_says_why() {
        let wrong = [
            ("", NotASpan::Shape),
            ("  ", NotASpan::Shape),
            ("5", NotASpan::Shape),
            ("h", NotASpan::Shape),
            ("-5s", NotASpan::Shape),
            ("5 s", NotASpan::Shape),
            ("5h3", NotASpan::Shape),
            ("5M", NotASpan::Unit),
            ("5ms", NotASpan::Unit),
            ("6mo", NotASpan::Calendar),
            ("1y", NotASpan::Calendar),
            ("99999999999999999w", NotASpan::TooLong),
            ("99999999999999999999s", NotASpan::TooLong),
            ("106751991167d24h", NotASpan::TooLong),
        ];
        for (text, why) in wrong {
            assert_eq!(Span::parse(text), Err(why), "{text:?}");
        }
        for (why, words) in [
            (NotASpan::Shape, "not a span such as"),
            (NotASpan::Unit, "unknown unit"),
            (NotASpan::Calendar, "no fixed length"),
            (NotASpan::TooLong, "longer than can be counted"),
        ] {
            assert!(why.to_string().contains(words), "{why}");
        }
    }

    /// At most two units; days only where hours would be two days or more.
    #[test]
    fn spans_print_for_people() {
        let printed = [
            (Span(-1), "0s"),
            (Span::ZERO, "0s"),
            (Span(999), "999ms"),
            (Span::SECOND, "1s"),
            (Span(59_999), "59s"),
            (Span::seconds(61), "1m 1s"),
            (Span::seconds(3_599), "59m 59s"),
            (Span::minutes(45), "45m"),
            (Span::minutes(125), "2h 5m"),
            (Span::seconds(3_605), "1h"),
            (Span::hours(24), "24h"),
            (Span(Span::hours(48).0 - 1), "47h 59m"),
            (Span::hours(48), "2d"),
            (Span::hours(74), "3d 2h"),
            (Span::minutes(74 * 60 + 5), "3d 2h"),
            (Span::minutes(72 * 60 + 5), "3d"),
        ];
        for (span, text) in printed {
            assert_eq!(span.to_string(), text, "{span:?}");
        }
    }

    /// What a message tells to type is read as at least the same span.
    #[test]
    fn spans_are_typed_as_the_configuration_takes_them() {
        let texts = [
            (Span::ZERO, "0s"),
            (Span(-1), "0s"),
            (Span(1), "1s"),
            (Span(1_001), "2s"),
            (Span::seconds(90), "90s"),
            (Span::minutes(90), "90m"),
            (Span::hours(36), "36h"),
            (Span::DAY.times(2), "2d"),
        ];
        for (span, text) in texts {
            assert_eq!(typed(span), text);
        }
    }

    #[test]
    fn points_and_spans_are_reckoned_without_overflow() {
        let (early, late) = (Stamp(1_000), Stamp(4_500));
        assert_eq!((late.since(early), early.since(late), late.since(late)), (Span(3_500), Span::ZERO, Span::ZERO));
        assert_eq!((early.plus(Span(5)), late.minus(Span(5))), (Stamp(1_005), Stamp(4_495)));
        assert_eq!((Stamp::NEVER.plus(Span::DAY), Stamp(i64::MIN).minus(Span::DAY)), (Stamp::NEVER, Stamp(i64::MIN)));
        assert_eq!(
            (Span(5).plus(Span(6)), Span(5).times(3), Span::hours(24).percent(75)),
            (Span(11), Span(15), Span::hours(18))
        );
        assert_eq!((Span(2_999).as_seconds(), Span(-1).as_seconds()), (2, 0));
    }
}
