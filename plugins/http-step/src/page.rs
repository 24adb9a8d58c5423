//! A reply's body, parsed within bounds, and wiped when it is dropped.

use serde_json::Value;
use zeroize::Zeroize;

use crate::pointer::Pointer;
use crate::reply::{Form, Reply};
use crate::vars::Vars;

/// How deep a reply may nest.
pub(crate) const MAX_DEPTH: usize = 32;

/// A parsed body beside its reply.
pub(crate) struct Page<'a> {
    pub(crate) reply: &'a Reply,
    content: Content,
}

enum Content {
    Value(Value),
    /// There is no body.
    Nothing,
    Unreadable(&'static str),
}

impl<'a> Page<'a> {
    pub(crate) fn of(reply: &'a Reply, form: Form) -> Self {
        let content = match form {
            Form::None => Content::Nothing,
            _ if reply.body.iter().all(u8::is_ascii_whitespace) => Content::Nothing,
            Form::Text => match std::str::from_utf8(&reply.body) {
                Ok(text) => Content::Value(Value::String(text.trim_end_matches(['\r', '\n']).to_owned())),
                Err(_) => Content::Unreadable("is no text"),
            },
            Form::Json if too_deep(&reply.body) => Content::Unreadable("is nested too deep"),
            Form::Json => match serde_json::from_slice(&reply.body) {
                Ok(value) => Content::Value(value),
                Err(_) => Content::Unreadable("is no JSON"),
            },
        };
        Self { reply, content }
    }

    /// Why the body cannot be read, if it cannot. No body at all can be read: nothing stands in it.
    pub(crate) const fn unreadable(&self) -> Option<&'static str> {
        match self.content {
            Content::Unreadable(why) => Some(why),
            _ => None,
        }
    }

    /// What stands at a pointer; `None` = nothing.
    pub(crate) fn find(&self, pointer: &Pointer, vars: &Vars) -> Result<Option<&Value>, &'static str> {
        match &self.content {
            Content::Value(root) => pointer.find(root, vars),
            Content::Nothing => Ok(None),
            Content::Unreadable(why) => Err(why),
        }
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        if let Content::Value(value) = &mut self.content {
            wipe(value);
        }
    }
}

/// Wipes every string of a value.
pub(crate) fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether brackets nest deeper than is read. Looked at before parsing, so that a parser never sees such a text.
fn too_deep(body: &[u8]) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in body {
        match (quoted, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => quoted = false,
            (true, _) => {}
            (false, b'"') => quoted = true,
            (false, b'{' | b'[') => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            (false, _) => {}
        }
    }
    false
}
