//! Finds where the members of an object stand. Works on text that is known to be valid JSON; on anything else it finds nothing.

use std::ops::Range;

/// Where one member stands.
pub struct Member {
    /// Its key, quotes included.
    pub key: Range<usize>,
    /// Its value, without the space around it.
    pub value: Range<usize>,
}

/// Where an object and its members stand.
pub struct Object {
    /// The opening brace.
    pub open: usize,
    /// The closing brace.
    pub close: usize,
    /// The members in order.
    pub members: Vec<Member>,
}

/// The first position from `at` on that is no white space.
pub fn skip_space(text: &[u8], at: usize) -> usize {
    let space = text.get(at..).unwrap_or_default().iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')).count();
    at + space
}

/// The position behind the next comma from `at` on, with nothing but white space before it.
pub fn after_comma(text: &str, at: usize) -> usize {
    let comma = skip_space(text.as_bytes(), at);
    if text.as_bytes().get(comma) == Some(&b',') { comma + 1 } else { at }
}

/// The object whose opening brace stands at `open`.
pub fn object(text: &str, open: usize) -> Option<Object> {
    let bytes = text.as_bytes();
    if bytes.get(open) != Some(&b'{') {
        return None;
    }
    let mut members = Vec::new();
    let mut at = skip_space(bytes, open + 1);
    while bytes.get(at)? != &b'}' {
        let key = at..string_end(bytes, at)?;
        let colon = skip_space(bytes, key.end);
        if bytes.get(colon)? != &b':' {
            return None;
        }
        let start = skip_space(bytes, colon + 1);
        let value = start..value_end(bytes, start)?;
        at = skip_space(bytes, value.end);
        members.push(Member { key, value });
        match bytes.get(at)? {
            b',' => at = skip_space(bytes, at + 1),
            b'}' => {}
            _ => return None,
        }
    }
    Some(Object { open, close: at, members })
}

/// Behind the string that begins at `at`.
fn string_end(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at)? != &b'"' {
        return None;
    }
    let mut at = at + 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Behind the value that begins at `at`.
fn value_end(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' => string_end(text, at),
        b'{' | b'[' => {
            let mut depth = 0_usize;
            let mut at = at;
            loop {
                match text.get(at)? {
                    b'"' => {
                        at = string_end(text, at)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return Some(at);
                }
            }
        }
        _ => {
            let long =
                text.get(at..)?.iter().take_while(|b| !matches!(b, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r')).count();
            (long > 0).then_some(at + long)
        }
    }
}
