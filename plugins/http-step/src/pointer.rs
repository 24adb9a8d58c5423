//! JSON pointers (RFC 6901) with `[NAME=VALUE]` segments.

use serde_json::Value;

use crate::render::text_of;
use crate::template::{Template, TemplateError};
use crate::vars::Vars;

/// A pointer.
#[derive(Clone, Debug)]
pub(crate) struct Pointer {
    text: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug)]
enum Segment {
    /// A member's name or an element's number.
    Key(String),
    /// The one array element whose member `name` equals the value.
    Select { name: String, value: Template },
}

impl Pointer {
    /// Reads a pointer; `""` is the whole.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut segments = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let offset = text.len() - rest.len();
            let Some(tail) = rest.strip_prefix('/') else {
                return Err(TemplateError::new(offset, "a pointer is empty or begins with /: \"/data/id\""));
            };
            let end = segment_end(tail);
            segments.push(segment(&tail[..end], offset + 1)?);
            rest = &tail[end..];
        }
        Ok(Self { text: text.to_owned(), segments })
    }

    /// As written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The templates of its selectors.
    pub(crate) fn templates(&self) -> impl Iterator<Item = &Template> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Select { value, .. } => Some(value),
            Segment::Key(_) => None,
        })
    }

    /// What stands there; `None` = nothing, or `null`.
    pub(crate) fn find<'a>(&self, root: &'a Value, vars: &Vars) -> Result<Option<&'a Value>, &'static str> {
        let mut at = root;
        for segment in &self.segments {
            let next = match segment {
                Segment::Key(key) => step_into(at, key),
                Segment::Select { name, value } => {
                    let wanted = text_of(value, vars).map_err(|_| "selects by a value that is not there")?;
                    Some(select(at, name, wanted.expose())?)
                }
            };
            match next {
                Some(next) => at = next,
                None => return Ok(None),
            }
        }
        Ok(Some(at).filter(|value| !value.is_null()))
    }
}

/// Where a segment ends: at the next `/` outside a selector.
fn segment_end(tail: &str) -> usize {
    if tail.starts_with('[')
        && let Some(close) =
            tail.match_indices(']').map(|(n, _)| n + 1).find(|n| matches!(tail.as_bytes().get(*n), None | Some(b'/')))
    {
        return close;
    }
    tail.find('/').unwrap_or(tail.len())
}

fn segment(text: &str, offset: usize) -> Result<Segment, TemplateError> {
    if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        let Some((name, value)) = inner.split_once('=') else {
            return Err(TemplateError::new(offset, "a selector is [NAME=VALUE]"));
        };
        if name.is_empty() || name.contains("{{") {
            return Err(TemplateError::new(offset, "a selector names a member: [NAME=VALUE]"));
        }
        return Ok(Segment::Select { name: name.to_owned(), value: Template::parse(value)? });
    }
    if text.contains("{{") {
        return Err(TemplateError::new(offset, "a slot may only stand in a selector: [NAME={{ path }}]"));
    }
    let mut key = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '~') {
            (_, false) => key.push(c),
            (_, true) => match chars.next() {
                Some('0') => key.push('~'),
                Some('1') => key.push('/'),
                _ => return Err(TemplateError::new(offset, "~ is written ~0 and / inside a name ~1")),
            },
        }
    }
    Ok(Segment::Key(key))
}

fn step_into<'a>(at: &'a Value, key: &str) -> Option<&'a Value> {
    match at {
        Value::Object(members) => members.get(key),
        Value::Array(items) => {
            let canonical = key == "0" || (!key.starts_with('0') && !key.is_empty() && key.bytes().all(|b| b.is_ascii_digit()));
            canonical.then(|| key.parse::<usize>().ok()).flatten().and_then(|n| items.get(n))
        }
        _ => None,
    }
}

fn select<'a>(at: &'a Value, name: &str, wanted: &str) -> Result<&'a Value, &'static str> {
    let Value::Array(items) = at else { return Err("selects from what is no array") };
    let equal = |item: &&Value| match item.get(name) {
        Some(Value::String(text)) => text == wanted,
        Some(Value::Number(n)) => n.to_string() == wanted,
        Some(Value::Bool(b)) => b.to_string() == wanted,
        _ => false,
    };
    let mut found = items.iter().filter(equal);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err("selects no element"),
        _ => Err("selects more than one element"),
    }
}
