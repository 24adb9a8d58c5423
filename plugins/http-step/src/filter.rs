//! Filters: what a slot or a source does to its value. One set for both; each says where it may stand.

use std::fmt;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use cutover_api::{Span, Stamp};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::scope::Kind;

/// One filter with its argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Lower case.
    Lower,
    /// Upper case.
    Upper,
    /// The first N characters.
    First(usize),
    /// What follows the last occurrence of a text; the whole when it does not occur.
    AfterLast(String),
    /// Whether the value equals a text.
    Is(String),
    /// Base 64 with padding.
    Base64,
    /// Base 64, URL alphabet, no padding.
    Base64Url,
    /// The text that a base 64 text holds (either alphabet, padded or not).
    Base64Decode,
    /// SHA-256 in hex.
    Sha256,
    /// The value as JSON text.
    Json,
    /// A time as RFC 3339, UTC, whole seconds.
    Rfc3339,
    /// A time in seconds since 1970.
    Unix,
    /// A time in milliseconds since 1970.
    UnixMs,
    /// A time's day, UTC; read back it is that day 00:00 UTC.
    Date,
    /// Sources only: so many seconds after the request was sent.
    InSeconds,
    /// Sources only: so many minutes after the request was sent.
    InMinutes,
    /// Sources only: so many hours after the request was sent.
    InHours,
    /// Sources only: so many days after the request was sent.
    InDays,
    /// Refuses all but `[A-Za-z_][A-Za-z0-9_]*`.
    Word,
    /// Path only: keeps `/` between safe segments.
    Subpath,
    /// Path only: writes `/` as `%2F`.
    Escaped,
}

/// A value on its way through filters.
pub(crate) enum Datum {
    /// A text, wiped when dropped.
    Text(Zeroizing<String>),
    /// A number, boolean, array or object.
    Json(Value),
    /// A point in time.
    Time(Stamp),
}

impl Datum {
    /// Takes a JSON value over; its strings become wiped texts.
    pub(crate) fn of(value: Value) -> Self {
        match value {
            Value::String(text) => Self::Text(Zeroizing::new(text)),
            other => Self::Json(other),
        }
    }

    pub(crate) fn text(text: &str) -> Self {
        Self::Text(Zeroizing::new(text.to_owned()))
    }

    /// As text where that is plain: texts, numbers, booleans, times (RFC 3339).
    pub(crate) fn plain(&self) -> Result<Zeroizing<String>, &'static str> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::Json(Value::Number(n)) => Ok(Zeroizing::new(n.to_string())),
            Self::Json(Value::Bool(b)) => Ok(Zeroizing::new(b.to_string())),
            Self::Json(_) => Err("is a list or a table where a text is needed"),
            Self::Time(at) => Ok(Zeroizing::new(rfc3339(*at)?)),
        }
    }
}

impl Filter {
    /// Reads `name` or `name:argument`.
    ///
    /// # Errors
    /// What is wrong, in one sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, argument) = match text.split_once(':') {
            Some((name, argument)) => (name.trim(), Some(argument.trim())),
            None => (text.trim(), None),
        };
        let filter = match (name, argument) {
            ("first", Some(n)) => match n.parse() {
                Ok(n) if n > 0 => Self::First(n),
                _ => return Err("first needs a number of characters: first:8".to_owned()),
            },
            ("after_last", Some(mark)) if !mark.is_empty() => Self::AfterLast(mark.to_owned()),
            ("is", Some(value)) => Self::Is(value.to_owned()),
            ("sealed_box", _) => return Err(crate::step::not_yet("filter sealed_box").0),
            ("first" | "after_last", _) => return Err(format!("{name} needs an argument: {name}:…")),
            ("is", None) => return Err("is needs a value: is:ACTIVE".to_owned()),
            (_, Some(_)) if Self::simple(name).is_some() => return Err(format!("{name} takes no argument")),
            (_, _) => match Self::simple(name) {
                Some(filter) => filter,
                None => return Err(format!("unknown filter \"{}\"", printable(name))),
            },
        };
        Ok(filter)
    }

    fn simple(name: &str) -> Option<Self> {
        Some(match name {
            "lower" => Self::Lower,
            "upper" => Self::Upper,
            "base64" => Self::Base64,
            "base64url" => Self::Base64Url,
            "base64decode" => Self::Base64Decode,
            "sha256" => Self::Sha256,
            "json" => Self::Json,
            "rfc3339" => Self::Rfc3339,
            "unix" => Self::Unix,
            "unix_ms" => Self::UnixMs,
            "date" => Self::Date,
            "in_seconds" => Self::InSeconds,
            "in_minutes" => Self::InMinutes,
            "in_hours" => Self::InHours,
            "in_days" => Self::InDays,
            "word" => Self::Word,
            "subpath" => Self::Subpath,
            "escaped" => Self::Escaped,
            _ => return None,
        })
    }

    /// May stand in a source only.
    #[must_use]
    pub const fn sources_only(&self) -> bool {
        matches!(self, Self::InSeconds | Self::InMinutes | Self::InHours | Self::InDays)
    }

    /// May stand in the path of a request only, as the last filter.
    #[must_use]
    pub const fn path_only(&self) -> bool {
        matches!(self, Self::Subpath | Self::Escaped)
    }

    /// The kind that comes out when `kind` goes in, in a template; `None` = it does not fit.
    #[must_use]
    pub fn fits(&self, kind: Kind) -> Option<Kind> {
        match self {
            Self::Rfc3339 | Self::Date => matches!(kind, Kind::Time | Kind::Any).then_some(Kind::Text),
            Self::Unix | Self::UnixMs => matches!(kind, Kind::Time | Kind::Any).then_some(Kind::Integer),
            Self::Is(_) => matches!(kind, Kind::Text | Kind::Integer | Kind::Boolean | Kind::Any).then_some(Kind::Boolean),
            Self::Json => Some(Kind::Text),
            Self::InSeconds | Self::InMinutes | Self::InHours | Self::InDays => None,
            _ => matches!(kind, Kind::Text | Kind::Any).then_some(Kind::Text),
        }
    }

    /// Applies it in a template, where times are written.
    pub(crate) fn write(&self, datum: Datum) -> Result<Datum, &'static str> {
        let Datum::Time(at) = datum else { return self.common(datum) };
        match self {
            Self::Rfc3339 => Ok(Datum::text(&rfc3339(at)?)),
            Self::Unix => Ok(Datum::Json(at.0.div_euclid(1_000).into())),
            Self::UnixMs => Ok(Datum::Json(at.0.into())),
            Self::Date => Ok(Datum::text(&zoned(at)?.date().to_string())),
            Self::Json => Ok(Datum::text(&format!("\"{}\"", rfc3339(at)?))),
            _ => Err("is a time, which this filter does not take"),
        }
    }

    /// Applies it in a source, where times are read. `sent_at`: when the request was sent.
    pub(crate) fn read(&self, datum: Datum, sent_at: Stamp) -> Result<Datum, &'static str> {
        let after = |unit: Span| {
            let n = number(&datum)?;
            let ms = n * unit.0 as f64;
            if !(0.0..9.0e15).contains(&ms) {
                return Err("is no span that can be");
            }
            Ok(Datum::Time(sent_at.plus(Span(ms as i64))))
        };
        match self {
            Self::InSeconds => after(Span::SECOND),
            Self::InMinutes => after(Span::MINUTE),
            Self::InHours => after(Span::HOUR),
            Self::InDays => after(Span::DAY),
            Self::Unix => stamp_of(number(&datum)? * 1_000.0),
            Self::UnixMs => stamp_of(number(&datum)?),
            Self::Rfc3339 => Ok(Datum::Time(read_rfc3339(&datum.plain()?)?)),
            Self::Date => Ok(Datum::Time(read_date(&datum.plain()?)?)),
            _ => self.common(datum),
        }
    }

    /// The filters that do the same in both directions.
    fn common(&self, datum: Datum) -> Result<Datum, &'static str> {
        if let Self::Is(wanted) = self {
            return Ok(Datum::Json(Value::Bool(datum.plain()?.as_str() == wanted)));
        }
        if matches!(self, Self::Json) {
            let text = match &datum {
                Datum::Text(text) => serde_json::to_string(text.as_str()),
                Datum::Json(value) => serde_json::to_string(value),
                Datum::Time(_) => return Err("is a time, which this filter does not take"),
            };
            return text.map(|text| Datum::Text(Zeroizing::new(text))).map_err(|_| "cannot be written as JSON");
        }
        let Datum::Text(text) = datum else { return Err("is no text, which this filter needs") };
        let made = match self {
            Self::Lower => text.to_lowercase(),
            Self::Upper => text.to_uppercase(),
            Self::First(n) => text.chars().take(*n).collect(),
            Self::AfterLast(mark) => text.rsplit_once(mark.as_str()).map_or(text.as_str(), |(_, tail)| tail).to_owned(),
            Self::Base64 => STANDARD.encode(text.as_bytes()),
            Self::Base64Url => URL_SAFE_NO_PAD.encode(text.as_bytes()),
            Self::Base64Decode => return decoded(&text),
            Self::Sha256 => hex::encode(digest::digest(&digest::SHA256, text.as_bytes())),
            Self::Word => {
                let mut chars = text.chars();
                let head = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
                if !head || !chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
                    return Err("is no word ([A-Za-z_][A-Za-z0-9_]*)");
                }
                return Ok(Datum::Text(text));
            }
            // How the path writes the value is decided where it is encoded.
            Self::Subpath | Self::Escaped => return Ok(Datum::Text(text)),
            _ => return Err("is a text, which this filter does not take"),
        };
        Ok(Datum::Text(Zeroizing::new(made)))
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First(n) => write!(f, "first:{n}"),
            Self::AfterLast(mark) => write!(f, "after_last:{mark}"),
            Self::Is(value) => write!(f, "is:{value}"),
            other => f.write_str(match other {
                Self::Lower => "lower",
                Self::Upper => "upper",
                Self::Base64 => "base64",
                Self::Base64Url => "base64url",
                Self::Base64Decode => "base64decode",
                Self::Sha256 => "sha256",
                Self::Json => "json",
                Self::Rfc3339 => "rfc3339",
                Self::Unix => "unix",
                Self::UnixMs => "unix_ms",
                Self::Date => "date",
                Self::InSeconds => "in_seconds",
                Self::InMinutes => "in_minutes",
                Self::InHours => "in_hours",
                Self::InDays => "in_days",
                Self::Word => "word",
                Self::Subpath => "subpath",
                _ => "escaped",
            }),
        }
    }
}

/// A time as RFC 3339 in UTC, whole seconds.
pub(crate) fn rfc3339(at: Stamp) -> Result<String, &'static str> {
    let zoned = zoned(at)?;
    Ok(zoned.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn zoned(at: Stamp) -> Result<jiff::Zoned, &'static str> {
    let timestamp = Timestamp::from_millisecond(at.0).map_err(|_| "is no time that can be written")?;
    Ok(timestamp.to_zoned(TimeZone::UTC))
}

/// Reads exactly RFC 3339: a `T`, an offset, nothing else.
pub(crate) fn read_rfc3339(text: &str) -> Result<Stamp, &'static str> {
    const NOT: &str = "is no RFC 3339 time";
    let bytes = text.as_bytes();
    let shape = text.len() <= 40
        && matches!(bytes.get(10), Some(b'T' | b't'))
        && bytes.iter().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b':' | b'T' | b't' | b'Z' | b'z' | b'+' | b'.'));
    if !shape {
        return Err(NOT);
    }
    let timestamp: Timestamp = text.parse().map_err(|_| NOT)?;
    Ok(Stamp(timestamp.as_millisecond()))
}

fn read_date(text: &str) -> Result<Stamp, &'static str> {
    const NOT: &str = "is no date (YYYY-MM-DD)";
    if text.len() != 10 {
        return Err(NOT);
    }
    let date: Date = text.parse().map_err(|_| NOT)?;
    let zoned = date.to_zoned(TimeZone::UTC).map_err(|_| NOT)?;
    Ok(Stamp(zoned.timestamp().as_millisecond()))
}

/// A number, or a text that is one (some providers quote them).
fn number(datum: &Datum) -> Result<f64, &'static str> {
    const NOT: &str = "is no number";
    match datum {
        Datum::Json(Value::Number(n)) => n.as_f64().ok_or(NOT),
        Datum::Text(text) if text.len() <= 32 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.') => {
            text.parse().map_err(|_| NOT)
        }
        _ => Err(NOT),
    }
}

fn stamp_of(ms: f64) -> Result<Datum, &'static str> {
    // Year 9999: what is later is a unit mistaken for another.
    if !(0.0..253_402_300_800_000.0).contains(&ms) {
        return Err("is no time that can be");
    }
    Ok(Datum::Time(Stamp(ms as i64)))
}

fn decoded(text: &str) -> Result<Datum, &'static str> {
    const NOT: &str = "is no base 64 text";
    let standard: Zeroizing<String> = Zeroizing::new(text.trim_end_matches('=').replace('-', "+").replace('_', "/"));
    let bytes = Zeroizing::new(STANDARD_NO_PAD.decode(standard.as_bytes()).map_err(|_| NOT)?);
    let text = std::str::from_utf8(&bytes).map_err(|_| NOT)?;
    Ok(Datum::text(text))
}

/// The beginning of a text from a definition, safe to show.
pub(crate) fn printable(text: &str) -> String {
    text.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Reads the date of an HTTP header.
pub(crate) fn read_http_date(text: &str) -> Option<Stamp> {
    let good = text.len() <= 40 && text.ends_with(" GMT") && text.is_ascii();
    let zoned = good.then(|| jiff::fmt::rfc2822::parse(text).ok()).flatten()?;
    Some(Stamp(zoned.timestamp().as_millisecond()))
}
