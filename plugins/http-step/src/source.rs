//! SOURCE: where a value stands in a reply, and what is made of it.

use cutover_api::{Secret, Stamp};
use serde_json::Value;

use crate::extract::{Extracted, Unreadable};
use crate::filter::{Datum, Filter, read_rfc3339};
use crate::page::Page;
use crate::pointer::Pointer;
use crate::reply::Reply;
use crate::scope::Scope;
use crate::template::{Template, TemplateError};
use crate::vars::Vars;

/// The longest plain text that is taken from a reply, in bytes.
const MAX_TEXT: usize = 1024;
/// The longest secret that is taken from a reply, in bytes.
const MAX_SECRET: usize = 64 * 1024;

/// What a source must give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A secret: a non-empty string.
    Secret,
    /// A kept value: a string, number or boolean, as a secret.
    Kept,
    /// An identifier: a text without control characters, or a number, which becomes its decimals. An empty one is no value.
    Id,
    /// A plain text, as [`Shape::Id`], but control characters are replaced: a name somebody gave must not stop a whole list.
    Text,
    /// A point in time. An empty string and times up to 1970, which some providers write for "none", are no value.
    Time,
    /// A point in time, where 0 is no value either: never.
    Expiry,
    /// True or false.
    Boolean,
    /// A text or an array of texts.
    Texts,
    /// Anything.
    Any,
}

impl Shape {
    /// What a FIELD of a key record must be, by its name without `new.` or `old.`; others are [`Shape::Any`].
    #[must_use]
    pub fn of_field(name: &str) -> Self {
        match name {
            "id" | "slot" => Self::Id,
            "name" | "prefix" | "hint" => Self::Text,
            "secret" | "credential" => Self::Secret,
            "expires_at" => Self::Expiry,
            "revoked" | "inactive" => Self::Boolean,
            _ if name.ends_with("_at") => Self::Time,
            _ => Self::Any,
        }
    }
}

/// A pointer, `header:NAME` or `cookie:NAME`, then `?`, then filters.
#[derive(Clone, Debug)]
pub struct Source {
    text: String,
    from: From,
    optional: bool,
    filters: Vec<Filter>,
    shape: Shape,
}

#[derive(Clone, Debug)]
enum From {
    Body(Pointer),
    Header(String),
    Cookie(String),
}

impl Source {
    /// Reads a source that must give `shape`.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str, shape: Shape) -> Result<Self, TemplateError> {
        let mut pieces = split_outside_slots(text);
        let head = if pieces.is_empty() { "" } else { pieces.remove(0).trim() };
        let (head, optional) = match head.strip_suffix('?') {
            Some(head) => (head.trim_end(), true),
            None => (head, false),
        };
        let named = |name: &str| match is_token(name) {
            true => Ok(name.to_owned()),
            false => Err(TemplateError::new(0, "header: and cookie: take one name: header:Location")),
        };
        let from = if let Some(name) = head.strip_prefix("header:") {
            From::Header(named(name)?)
        } else if let Some(name) = head.strip_prefix("cookie:") {
            From::Cookie(named(name)?)
        } else {
            From::Body(Pointer::parse(head)?)
        };
        let filters =
            pieces.into_iter().map(Filter::parse).collect::<Result<Vec<_>, _>>().map_err(|m| TemplateError::new(0, m))?;
        let source = Self { text: text.to_owned(), from, optional, filters, shape };
        source.fits()?;
        Ok(source)
    }

    /// Whether the last filter gives what is needed.
    fn fits(&self) -> Result<(), TemplateError> {
        let mut time = false;
        let mut boolean = false;
        for filter in &self.filters {
            if filter.path_only() || matches!(filter, Filter::Word) {
                return Err(TemplateError::new(0, format!("filter {filter} writes requests: it may not stand in a source")));
            }
            if time || boolean {
                return Err(TemplateError::new(
                    0,
                    format!("filter {filter} does not take {}", if time { "a time" } else { "true or false" }),
                ));
            }
            time = filter.sources_only() || matches!(filter, Filter::Unix | Filter::UnixMs | Filter::Date | Filter::Rfc3339);
            boolean = matches!(filter, Filter::Is(_));
        }
        let wants_time = matches!(self.shape, Shape::Time | Shape::Expiry);
        if time && !wants_time && self.shape != Shape::Any {
            return Err(TemplateError::new(0, "the filter gives a time, which this value is not"));
        }
        if boolean && !matches!(self.shape, Shape::Boolean | Shape::Any) {
            return Err(TemplateError::new(0, "the filter gives true or false, which this value is not"));
        }
        Ok(())
    }

    /// As written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// It says `?`.
    #[must_use]
    pub const fn is_optional(&self) -> bool {
        self.optional
    }

    /// The same source, whose value may be absent.
    #[must_use]
    pub const fn sparse(mut self) -> Self {
        self.optional = true;
        self
    }

    /// The header it reads, which a reply must therefore keep.
    pub(crate) fn header(&self) -> Option<&str> {
        match &self.from {
            From::Header(name) => Some(name),
            _ => None,
        }
    }

    /// Whether it reads the body, not a header or cookie.
    pub(crate) const fn is_of_body(&self) -> bool {
        matches!(self.from, From::Body(_))
    }

    pub(crate) fn templates(&self) -> Vec<&Template> {
        match &self.from {
            From::Body(pointer) => pointer.templates().collect(),
            _ => Vec::new(),
        }
    }

    /// Everything that is wrong with the slots of its selectors.
    #[must_use]
    pub fn check(&self, scope: &Scope) -> Vec<TemplateError> {
        self.templates().into_iter().flat_map(|template| template.check(scope)).collect()
    }

    /// Reads the value. `None`: it is absent and may be.
    ///
    /// # Errors
    /// It is missing, of the wrong kind, or too long.
    pub fn read(&self, reply: &Reply, vars: &Vars) -> Result<Option<Extracted>, Unreadable> {
        self.read_page(&Page::of(reply, reply.form), vars)
    }

    pub(crate) fn read_page(&self, page: &Page<'_>, vars: &Vars) -> Result<Option<Extracted>, Unreadable> {
        let found = match &self.from {
            From::Header(name) => page.reply.header(name).map(Datum::text),
            From::Cookie(name) => page.reply.cookie(name).map(Datum::text),
            From::Body(pointer) => {
                page.find(pointer, vars).map_err(|wrong| self.wrong(wrong))?.map(|value| Datum::of(value.clone()))
            }
        };
        self.finish(found, page.reply.sent_at)
    }

    /// The same from a row of a list.
    pub(crate) fn read_row(&self, row: &Value, page: &Page<'_>, vars: &Vars) -> Result<Option<Extracted>, Unreadable> {
        match &self.from {
            From::Body(pointer) => {
                let found = pointer.find(row, vars).map_err(|wrong| self.wrong(wrong))?;
                self.finish(found.map(|value| Datum::of(value.clone())), page.reply.sent_at)
            }
            _ => self.read_page(page, vars),
        }
    }

    fn finish(&self, found: Option<Datum>, sent_at: Stamp) -> Result<Option<Extracted>, Unreadable> {
        let told = found.is_some();
        let made = match found.filter(|datum| !self.is_none(datum)) {
            None => None,
            Some(mut datum) => {
                for filter in &self.filters {
                    datum = filter.read(datum, sent_at).map_err(|wrong| self.wrong(wrong))?;
                }
                self.shaped(datum).map_err(|wrong| self.wrong(wrong))?
            }
        };
        // An expiry that is told to be none is an answer: never.
        let never = told && self.shape == Shape::Expiry;
        match made {
            None if !self.optional && !never => Err(self.wrong("is missing")),
            other => Ok(other),
        }
    }

    /// Whether a value stands for "none" here.
    fn is_none(&self, datum: &Datum) -> bool {
        match (self.shape, datum) {
            (Shape::Time | Shape::Expiry, Datum::Text(text)) if text.is_empty() => true,
            (Shape::Id | Shape::Text, Datum::Text(text)) => text.is_empty(),
            (Shape::Secret, Datum::Text(text)) => self.optional && text.is_empty(),
            (Shape::Expiry, Datum::Text(text)) => text.as_str() == "0",
            (Shape::Expiry, Datum::Json(Value::Number(n))) => n.as_f64() == Some(0.0),
            _ => false,
        }
    }

    fn shaped(&self, datum: Datum) -> Result<Option<Extracted>, &'static str> {
        Ok(Some(match (self.shape, datum) {
            (Shape::Time | Shape::Expiry, Datum::Text(text)) => return Ok(real_time(read_rfc3339(&text)?)),
            (Shape::Time | Shape::Expiry, Datum::Time(at)) => return Ok(real_time(at)),
            (Shape::Time | Shape::Expiry, Datum::Json(_)) => return Err("is no time; a number needs a filter such as unix"),
            (Shape::Any, Datum::Time(at)) => Extracted::Time(at),
            (_, Datum::Time(_)) => return Err("is a time"),
            (Shape::Secret, Datum::Text(text)) => secret(&text)?,
            (Shape::Secret, Datum::Json(_)) => return Err("is no string"),
            (Shape::Kept, datum) => secret(&datum.plain()?)?,
            (Shape::Id | Shape::Text, Datum::Json(Value::Bool(_))) => return Err("is no text"),
            (Shape::Id, datum) => Extracted::Text(plain(&datum.plain()?)?),
            (Shape::Text, datum) => Extracted::Text(plain(&shown(&datum.plain()?))?),
            (Shape::Boolean, Datum::Json(Value::Bool(b))) => Extracted::Boolean(b),
            (Shape::Boolean, Datum::Text(text)) if text.as_str() == "true" => Extracted::Boolean(true),
            (Shape::Boolean, Datum::Text(text)) if text.as_str() == "false" => Extracted::Boolean(false),
            (Shape::Boolean, _) => return Err("is neither true nor false"),
            (Shape::Texts, Datum::Text(text)) => Extracted::Texts(vec![plain(&text)?]),
            (Shape::Texts, Datum::Json(Value::Array(items))) => Extracted::Texts(texts(&items)?),
            (Shape::Texts, Datum::Json(_)) => return Err("is neither a text nor an array of texts"),
            (Shape::Any, Datum::Text(text)) => Extracted::Json(Value::String(text.as_str().to_owned())),
            (Shape::Any, Datum::Json(value)) => Extracted::Json(value),
        }))
    }

    fn wrong(&self, wrong: &'static str) -> Unreadable {
        Unreadable { field: String::new(), source: self.text.clone(), wrong }
    }
}

/// A time up to 1970 is how some languages write "none".
fn real_time(at: Stamp) -> Option<Extracted> {
    (at.0 > 0).then_some(Extracted::Time(at))
}

fn secret(text: &str) -> Result<Extracted, &'static str> {
    match text.len() {
        0 => Err("is empty"),
        n if n > MAX_SECRET => Err("is too long"),
        _ => Ok(Extracted::Secret(Secret::new(text.to_owned()))),
    }
}

/// A text whose control characters are replaced.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn plain(text: &str) -> Result<String, &'static str> {
    match text.len() {
        0 => Err("is empty"),
        n if n > MAX_TEXT => Err("is too long"),
        _ if text.chars().any(char::is_control) => Err("holds control characters"),
        _ => Ok(text.to_owned()),
    }
}

fn texts(items: &[Value]) -> Result<Vec<String>, &'static str> {
    if items.is_empty() {
        return Err("is an empty array");
    }
    let text = |item: &Value| item.as_str().ok_or("holds what is no text").and_then(plain);
    items.iter().map(text).collect()
}

/// A name as HTTP has them.
pub(crate) fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Splits at `|`, but not inside `{{ … }}`.
fn split_outside_slots(text: &str) -> Vec<&str> {
    let (mut pieces, mut start, mut at, mut inside) = (Vec::new(), 0, 0, false);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        if text[at..].starts_with("{{") {
            inside = true;
        } else if text[at..].starts_with("}}") {
            inside = false;
        } else if bytes[at] == b'|' && !inside {
            pieces.push(&text[start..at]);
            start = at + 1;
        }
        at += text[at..].chars().next().map_or(1, char::len_utf8);
    }
    pieces.push(&text[start..]);
    pieces
}
