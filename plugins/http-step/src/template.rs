//! Templates: literal text with typed slots, `{{ path? | filter | filter:argument }}`.

use std::fmt;

use crate::filter::{Filter, printable};
use crate::scope::{Kind, Scope};

/// What is wrong with a template's or a source's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// Where in the text, in bytes.
    pub offset: usize,
    /// What is wrong: what would be right.
    pub message: String,
}

impl TemplateError {
    pub(crate) fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into() }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Why a template could not be rendered. Names the slot, never its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderError {
    /// The slot's path; empty where the whole is meant.
    pub path: String,
    /// What is wrong with its value.
    pub wrong: &'static str,
}

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(self.wrong) } else { write!(f, "{{{{ {} }}}} {}", self.path, self.wrong) }
    }
}

/// One slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The path it takes its value from.
    pub path: String,
    /// It says `?`: without a value the leaf it fills is left out.
    pub optional: bool,
    /// Its filters, in order.
    pub filters: Vec<Filter>,
    /// Where it begins in the text, in bytes.
    pub offset: usize,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(String),
    /// The number of the slot.
    Slot(usize),
}

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
    slots: Vec<Slot>,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut made = Self { text: text.to_owned(), parts: Vec::new(), slots: Vec::new() };
        let mut at = 0;
        while let Some(open) = text[at..].find("{{").map(|n| at + n) {
            if open > at {
                made.parts.push(Part::Literal(text[at..open].to_owned()));
            }
            let Some(close) = text[open + 2..].find("}}").map(|n| open + 2 + n) else {
                return Err(TemplateError::new(open, "a slot is not closed: write {{ path }}"));
            };
            let slot = parse_slot(&text[open + 2..close], open)?;
            made.parts.push(Part::Slot(made.slots.len()));
            made.slots.push(slot);
            at = close + 2;
        }
        if at < text.len() {
            made.parts.push(Part::Literal(text[at..].to_owned()));
        }
        Ok(made)
    }

    /// The text it was read from; shown in logs in place of what it renders to.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Every slot, in order.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The slot, when the whole template is exactly one.
    #[must_use]
    pub fn sole_slot(&self) -> Option<&Slot> {
        match self.parts.as_slice() {
            [Part::Slot(0)] => self.slots.first(),
            _ => None,
        }
    }

    /// The path, when the whole template is exactly one slot without filter and `?`.
    #[must_use]
    pub fn sole_path(&self) -> Option<&str> {
        self.sole_slot().filter(|slot| !slot.optional && slot.filters.is_empty()).map(|slot| slot.path.as_str())
    }

    /// It has no slot.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether anything secret goes into it.
    #[must_use]
    pub fn is_secret(&self, scope: &Scope) -> bool {
        self.slots.iter().any(|slot| scope.is_secret(&slot.path))
    }

    /// Everything that is wrong with it where it must give a text: `fields`, `during`, headers, queries.
    #[must_use]
    pub fn check(&self, scope: &Scope) -> Vec<TemplateError> {
        self.check_as(scope, false, false)
    }

    /// The same for a leaf of a JSON or form body: one slot alone may say `?`, and may be of any kind.
    #[must_use]
    pub fn check_leaf(&self, scope: &Scope) -> Vec<TemplateError> {
        self.check_as(scope, self.sole_slot().is_some(), false)
    }

    /// The same for the path of a request, where `subpath` and `escaped` may stand.
    pub(crate) fn check_path(&self, scope: &Scope) -> Vec<TemplateError> {
        self.check_as(scope, false, true)
    }

    fn check_as(&self, scope: &Scope, leaf: bool, path: bool) -> Vec<TemplateError> {
        self.slots
            .iter()
            .filter_map(|slot| slot.check(scope, leaf, path).err().map(|m| TemplateError::new(slot.offset, m)))
            .collect()
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }
}

impl Slot {
    fn check(&self, scope: &Scope, leaf: bool, path: bool) -> Result<Kind, String> {
        let name = &self.path;
        let Some(known) = scope.get(name) else {
            return Err(format!("unknown path {{{{ {name} }}}}: {}", scope.advice(name)));
        };
        if self.optional && !leaf {
            return Err(format!("{{{{ {name}? }}}}: ? may only stand where one slot alone fills a leaf of json or form"));
        }
        if known.optional && !self.optional {
            let right = if leaf {
                format!("write {{{{ {name}? }}}} to leave the leaf out")
            } else {
                "use a value that is always there".to_owned()
            };
            return Err(format!("{{{{ {name} }}}} may have no value: {right}"));
        }
        let mut kind = known.kind;
        for (n, filter) in self.filters.iter().enumerate() {
            if filter.sources_only() {
                return Err(format!("{{{{ {name} }}}}: filter {filter} reads replies: it may only stand in a source"));
            }
            if filter.path_only() && (!path || n + 1 < self.filters.len()) {
                return Err(format!("{{{{ {name} }}}}: filter {filter} may only stand last in the path of a request"));
            }
            let Some(next) = filter.fits(kind) else {
                return Err(format!("{{{{ {name} }}}}: filter {filter} does not take {}", kind.words()));
            };
            kind = next;
        }
        Ok(kind)
    }
}

fn parse_slot(inner: &str, offset: usize) -> Result<Slot, TemplateError> {
    let mut pieces = inner.split('|');
    let head = pieces.next().unwrap_or("").trim();
    let (path, optional) = match head.strip_suffix('?') {
        Some(path) => (path.trim_end(), true),
        None => (head, false),
    };
    let good = |part: &str| {
        let mut bytes = part.bytes();
        bytes.next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
            && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    if path.is_empty() {
        return Err(TemplateError::new(offset, "a slot names nothing: write {{ path }}"));
    }
    if !path.split('.').all(good) {
        let shown = printable(path);
        return Err(TemplateError::new(
            offset,
            format!("\"{shown}\" is no path: words of letters, digits, _ and -, joined by dots"),
        ));
    }
    let filters = pieces.map(Filter::parse).collect::<Result<_, _>>().map_err(|message| TemplateError::new(offset, message))?;
    Ok(Slot { path: path.to_owned(), optional, filters, offset })
}
