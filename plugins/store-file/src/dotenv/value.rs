//! One value: what it means to every dialect at once, and how to write it so.

use zeroize::Zeroizing;

/// How a value is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Not at all.
    Bare,
    /// `'…'`
    Single,
    /// `"…"`
    Double,
}

/// How a value that stands in a file is quoted.
pub(super) fn style(raw: &[u8]) -> Style {
    match (raw.first(), raw.last()) {
        (Some(b'\''), Some(b'\'')) if raw.len() > 1 => Style::Single,
        (Some(b'"'), Some(b'"')) if raw.len() > 1 => Style::Double,
        _ => Style::Bare,
    }
}

/// What a value that stands in a file means.
///
/// # Errors
/// Why dialects disagree about it.
pub(super) fn decode(raw: &[u8]) -> Result<String, &'static str> {
    let text = std::str::from_utf8(raw).map_err(|_| "its value is not UTF-8")?;
    if text.chars().any(|c| c != '\t' && breaks(c)) {
        return Err("its value holds a line end or a control character");
    }
    let style = style(raw);
    let inner = match style {
        Style::Bare => text,
        Style::Single | Style::Double => &text[1..text.len() - 1],
    };
    match style {
        Style::Bare if !bare_reads(inner) => {
            Err("its value has a character that needs quotes, or quotes that do not enclose all of it")
        }
        Style::Single if !single_holds(inner) => Err("its value has a quote or an escaping backslash inside single quotes"),
        Style::Double if !double_holds(inner) => Err("its value has $, ` or a backslash inside double quotes"),
        _ => Ok(inner.to_owned()),
    }
}

/// A value as it is to be written, quoted as `wanted` where that can hold it; `None` when nothing can.
pub(super) fn encode(value: &str, wanted: Style) -> Option<Zeroizing<String>> {
    if value.chars().any(|c| c != '\t' && breaks(c)) {
        return None;
    }
    let style = match wanted {
        Style::Single if single_holds(value) => Style::Single,
        Style::Double if double_holds(value) => Style::Double,
        _ if value.bytes().all(is_safe) => Style::Bare,
        _ if single_holds(value) => Style::Single,
        _ if double_holds(value) => Style::Double,
        _ => return None,
    };
    let quote = match style {
        Style::Bare => "",
        Style::Single => "'",
        Style::Double => "\"",
    };
    let mut out = Zeroizing::new(String::with_capacity(value.len() + 2));
    [quote, value, quote].iter().for_each(|part| out.push_str(part));
    Some(out)
}

/// What some reader takes for the end of a line, or drops.
fn breaks(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// What is written without quotes.
const fn is_safe(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'/' | b':' | b'@' | b'%' | b'+' | b'=' | b',' | b'-')
}

/// What is understood without quotes: more than is written so, as people write it.
fn bare_reads(text: &str) -> bool {
    let plain = text
        .bytes()
        .all(|b| is_safe(b) || b >= 0x80 || matches!(b, b'^' | b'?' | b'*' | b'[' | b']' | b'{' | b'}' | b'!' | b'~'));
    // A shell puts a home directory in place of a tilde at the beginning and behind a colon.
    plain && !text.starts_with('~') && !text.contains(":~") && !text.chars().any(char::is_whitespace)
}

fn single_holds(text: &str) -> bool {
    !text.contains('\'') && !text.contains("\\\\") && !text.ends_with('\\')
}

fn double_holds(text: &str) -> bool {
    !text.contains(['"', '\\', '$', '`'])
}
