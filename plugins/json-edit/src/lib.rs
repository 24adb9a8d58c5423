//! Reads and edits single string members of a JSON object without touching anything else.
//!
//! The document is never parsed into a tree and printed again: the text of a member's value is found and replaced, so the order of
//! members, the layout, numbers of any size and the spelling of foreign strings survive byte for byte.

mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use cutover_api::Secret;
use serde::de::IgnoredAny;
use zeroize::{Zeroize, Zeroizing};

use crate::scan::{Member, Object};

/// How the name of a field leads to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Every name is the key of a member of the outermost object.
    TopLevel,
    /// The same, but a name that begins with `/` is a JSON pointer (RFC 6901) through objects that exist.
    Pointers,
}

/// Why a document could not be read or edited. Holds names of fields, never a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// The text is not valid JSON.
    NotJson,
    /// The document is not an object.
    NotAnObject,
    /// The member is there more than once; readers disagree on which one counts.
    Twice(String),
    /// The member is there, but its value is not a string of Unicode text.
    NotText(String),
    /// What the pointer leads through is missing or is not an object.
    NoParent(String),
    /// The name is not a JSON pointer.
    NotAPointer(String),
}

impl fmt::Display for JsonError {
    /// One sentence: what is wrong and what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson => f.write_str("the content is not valid JSON; repair it"),
            Self::NotAnObject => f.write_str("the content is not a JSON object; make it one, or use a bare value"),
            Self::Twice(name) => write!(f, "field {name:?} is there twice; readers disagree on which one counts, remove one"),
            Self::NotText(name) => write!(f, "field {name:?} is not a string; make it one, or name another field"),
            Self::NoParent(name) => write!(f, "the object that should hold field {name:?} is missing; create it"),
            Self::NotAPointer(name) => write!(f, "field name {name:?} is not a JSON pointer; write ~0 for ~ and ~1 for /"),
        }
    }
}

impl std::error::Error for JsonError {}

/// Reads those of the fields that are there.
///
/// # Errors
/// The document or one of these fields cannot be read as text; other members do not matter.
pub fn read(text: &str, fields: &BTreeSet<String>, names: Names) -> Result<BTreeMap<String, Secret>, JsonError> {
    let top = validate(text)?;
    let mut found = BTreeMap::new();
    for name in fields {
        let Place { object, key } = match place(text, top, name, names) {
            Err(JsonError::NoParent(_)) => continue,
            other => other?,
        };
        if let Some(member) = one(text, &object, &key, name)? {
            found.insert(name.clone(), Secret::new(decode(text, member).ok_or_else(|| JsonError::NotText(name.clone()))?));
        }
    }
    Ok(found)
}

/// The same document with these fields set and those removed; every other byte stays what it was.
///
/// # Errors
/// As [`read`]; nothing of the document is changed then.
pub fn edit(
    text: &str,
    set: &BTreeMap<String, &Secret>,
    remove: &BTreeSet<String>,
    names: Names,
) -> Result<Zeroizing<String>, JsonError> {
    let mut text = Zeroizing::new(text.to_owned());
    for name in remove {
        let top = validate(&text)?;
        let Place { object, key } = match place(&text, top, name, names) {
            Err(JsonError::NoParent(_)) => continue,
            other => other?,
        };
        if let Some(member) = one(&text, &object, &key, name)? {
            check_text(&text, member, name)?;
            text = without(&text, &object, &key);
        }
    }
    for (name, value) in set {
        let top = validate(&text)?;
        let Place { object, key } = place(&text, top, name, names)?;
        let value = encode(value.expose());
        text = match one(&text, &object, &key, name)? {
            Some(member) => {
                check_text(&text, member, name)?;
                splice(&text, member.value.start, member.value.end, &[&value])
            }
            None => with(&text, &object, &encode(&key), &value),
        };
    }
    validate(&text)?;
    Ok(text)
}

/// A new document that holds these fields.
///
/// # Errors
/// A name leads into an object, and there is none in a new document.
pub fn create(set: &BTreeMap<String, &Secret>, names: Names) -> Result<Zeroizing<String>, JsonError> {
    edit("{\n}\n", set, &BTreeSet::new(), names)
}

/// Where a field belongs.
struct Place {
    object: Object,
    key: String,
}

/// Checks the whole document and finds where its outermost object begins.
fn validate(text: &str) -> Result<usize, JsonError> {
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| JsonError::NotJson)?;
    let start = scan::skip_space(text.as_bytes(), 0);
    if text.as_bytes().get(start) == Some(&b'{') { Ok(start) } else { Err(JsonError::NotAnObject) }
}

/// Follows the name of a field to the object that holds it, or should.
fn place(text: &str, top: usize, name: &str, names: Names) -> Result<Place, JsonError> {
    let mut object = scan::object(text, top).ok_or(JsonError::NotJson)?;
    let pointer = match (names, name.strip_prefix('/')) {
        (Names::Pointers, Some(pointer)) => pointer,
        _ => return Ok(Place { object, key: name.to_owned() }),
    };
    let mut steps = Vec::new();
    for step in pointer.split('/') {
        steps.push(unescape(step).ok_or_else(|| JsonError::NotAPointer(name.to_owned()))?);
    }
    let key = steps.pop().unwrap_or_default();
    for step in steps {
        let member = one(text, &object, &step, name)?.ok_or_else(|| JsonError::NoParent(name.to_owned()))?;
        object = scan::object(text, member.value.start).ok_or_else(|| JsonError::NoParent(name.to_owned()))?;
    }
    Ok(Place { object, key })
}

/// One step of a JSON pointer, `~0` and `~1` resolved.
fn unescape(step: &str) -> Option<String> {
    let mut out = String::with_capacity(step.len());
    let mut rest = step.chars();
    while let Some(c) = rest.next() {
        match c {
            '~' => match rest.next()? {
                '0' => out.push('~'),
                '1' => out.push('/'),
                _ => return None,
            },
            c => out.push(c),
        }
    }
    Some(out)
}

/// The member with this key, if there is one; `name` is what the caller calls it.
fn one<'a>(text: &str, object: &'a Object, key: &str, name: &str) -> Result<Option<&'a Member>, JsonError> {
    let mut same = object.members.iter().filter(|member| is_key(text, member, key));
    let first = same.next();
    if same.next().is_some() {
        return Err(JsonError::Twice(name.to_owned()));
    }
    Ok(first)
}

fn is_key(text: &str, member: &Member, key: &str) -> bool {
    serde_json::from_str::<String>(&text[member.key.clone()]).is_ok_and(|decoded| decoded == key)
}

/// A member's value, when it is text.
fn decode(text: &str, member: &Member) -> Option<String> {
    serde_json::from_str(&text[member.value.clone()]).ok()
}

/// That a member holds text: anything else may hold more than is ours to replace.
fn check_text(text: &str, member: &Member, name: &str) -> Result<(), JsonError> {
    decode(text, member).map(|mut old| old.zeroize()).ok_or_else(|| JsonError::NotText(name.to_owned()))
}

/// A text as a JSON string, quotes included.
fn encode(value: &str) -> Zeroizing<String> {
    // Six bytes a character is the longest spelling: the buffer never grows, so no copy is left behind unwiped.
    let mut out = Zeroizing::new(String::with_capacity(value.len() * 6 + 2));
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 || u32::from(c) == 0x7f => {
                out.push_str("\\u00");
                for nibble in [u32::from(c) >> 4, u32::from(c) & 15] {
                    out.extend(char::from_digit(nibble, 16));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The text with `start..end` replaced by `parts`.
fn splice(text: &str, start: usize, end: usize, parts: &[&str]) -> Zeroizing<String> {
    let longer: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Zeroizing::new(String::with_capacity(text.len() + longer));
    out.push_str(&text[..start]);
    parts.iter().for_each(|part| out.push_str(part));
    out.push_str(&text[end..]);
    out
}

/// The text with a member added after the last one of `object`, laid out as that one is.
fn with(text: &str, object: &Object, key: &str, value: &str) -> Zeroizing<String> {
    let Some(last) = object.members.last() else { return with_first(text, object, key, value) };
    let before = match object.members.len() {
        1 => object.open + 1,
        n => scan::after_comma(text, object.members[n - 2].value.end),
    };
    let space = &text[before..last.key.start];
    let colon = &text[last.key.end..last.value.start];
    splice(text, last.value.end, last.value.end, &[",", space, key, colon, value])
}

/// The text with the first member of an empty object.
fn with_first(text: &str, object: &Object, key: &str, value: &str) -> Zeroizing<String> {
    let inner = &text[object.open + 1..object.close];
    let Some(line_end) = inner.find('\n') else {
        return splice(text, object.open + 1, object.close, &[key, ": ", value]);
    };
    let break_ = if inner[..line_end].ends_with('\r') { "\r\n" } else { "\n" };
    let outer = &inner[inner.rfind('\n').map_or(0, |at| at + 1)..];
    splice(text, object.open + 1, object.close, &[break_, outer, "  ", key, ": ", value, break_, outer])
}

/// The text without a member, its comma, and the space that belongs to it.
fn without(text: &str, object: &Object, key: &str) -> Zeroizing<String> {
    let members = &object.members;
    let Some(at) = members.iter().position(|member| is_key(text, member, key)) else {
        return Zeroizing::new(text.to_owned());
    };
    let (start, end) = match (at.checked_sub(1).map(|before| &members[before]), members.get(at + 1)) {
        (Some(before), _) => (before.value.end, members[at].value.end),
        (None, Some(next)) => (members[at].key.start, next.key.start),
        (None, None) => (object.open + 1, object.close),
    };
    splice(text, start, end, &[])
}
