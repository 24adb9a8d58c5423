//! Renders templates, each value encoded for the place it goes to.

use cutover_api::Secret;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::filter::{Datum, Filter};
use crate::template::{Part, RenderError, Slot, Template};
use crate::vars::{Var, Vars, whole};

/// Everything but RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Template {
    /// Renders it as a text: slots as they are, no control characters but newline in them. For `fields`, `during`, text bodies.
    ///
    /// # Errors
    /// A slot has no value, or one that does not fit.
    pub fn render_text(&self, vars: &Vars) -> Result<Secret, RenderError> {
        joined(self, vars, |_, text| match text.chars().any(|c| c.is_control() && c != '\n') {
            true => Err("holds control characters"),
            false => Ok(text),
        })
    }

    /// Renders it as a leaf of a JSON body: a sole slot gives its value with its type; `None` = it says `?` and there is no value.
    ///
    /// # Errors
    /// A slot has no value, or one that does not fit.
    pub fn render_leaf(&self, vars: &Vars) -> Result<Option<Value>, RenderError> {
        let Some(slot) = self.sole_slot() else {
            return text_of(self, vars).map(|text| Some(Value::String(text.expose().to_owned())));
        };
        match resolve(slot, vars)? {
            None if slot.optional => Ok(None),
            None => Err(absent(slot)),
            Some(Datum::Json(value)) => Ok(Some(value)),
            Some(datum) => {
                let text = datum.plain().map_err(|wrong| RenderError { path: slot.path.clone(), wrong })?;
                Ok(Some(Value::String(text.as_str().to_owned())))
            }
        }
    }
}

/// The text as it is, for what is never sent as such: literals to compare with, selectors, messages to be signed, keys.
pub(crate) fn text_of(template: &Template, vars: &Vars) -> Result<Secret, RenderError> {
    joined(template, vars, |_, text| Ok(text))
}

/// A header's value: visible ASCII and inner spaces.
pub(crate) fn header_of(template: &Template, vars: &Vars) -> Result<Secret, RenderError> {
    joined(template, vars, |_, text| {
        let good = text.bytes().all(|b| (0x20..0x7f).contains(&b)) && !text.starts_with(' ') && !text.ends_with(' ');
        match (text.is_empty(), good) {
            (true, _) => Err("is empty"),
            (_, false) => Err("holds what no header may hold (only visible ASCII and inner spaces)"),
            _ => Ok(text),
        }
    })
}

/// A path: every slot percent-encoded, and no slot may change which path it is.
pub(crate) fn path_of(template: &Template, vars: &Vars) -> Result<Secret, RenderError> {
    joined(template, vars, |slot, text| {
        let subpath = slot.filters.last() == Some(&Filter::Subpath);
        let escaped = slot.filters.last() == Some(&Filter::Escaped);
        if text.chars().any(|c| c.is_control() || c == '\\') {
            return Err("holds what no path may hold");
        }
        if text.contains('/') && !subpath && !escaped {
            return Err("holds / (filters subpath and escaped take it)");
        }
        if text.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Err("has an empty, \".\" or \"..\" path segment");
        }
        let between = if escaped { "%2F" } else { "/" };
        let segments: Vec<String> = text.split('/').map(encoded).collect();
        Ok(Zeroizing::new(segments.join(between)))
    })
}

/// A query's or form's text, to be encoded by [`encoded`].
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// Joins literals and slots; `encode` makes a slot's text fit the place.
fn joined(
    template: &Template,
    vars: &Vars,
    encode: impl Fn(&Slot, Zeroizing<String>) -> Result<Zeroizing<String>, &'static str>,
) -> Result<Secret, RenderError> {
    let mut values = Vec::with_capacity(template.slots().len());
    for slot in template.slots() {
        let datum = resolve(slot, vars)?.ok_or_else(|| absent(slot))?;
        let fit = datum.plain().and_then(|text| encode(slot, text));
        values.push(fit.map_err(|wrong| RenderError { path: slot.path.clone(), wrong })?);
    }
    let piece = |part: &Part| match part {
        Part::Literal(text) => text.len(),
        Part::Slot(n) => values.get(*n).map_or(0, |value| value.len()),
    };
    // Sized before anything secret is copied in: a buffer that grows leaves copies behind.
    let mut all = String::with_capacity(template.parts().iter().map(piece).sum());
    for part in template.parts() {
        match part {
            Part::Literal(text) => all.push_str(text),
            Part::Slot(n) => all.push_str(values.get(*n).map_or("", |value| value.as_str())),
        }
    }
    Ok(Secret::new(all))
}

/// A slot's value after its filters; `None` = it has none.
fn resolve(slot: &Slot, vars: &Vars) -> Result<Option<Datum>, RenderError> {
    let Some(var) = vars.get(&slot.path) else { return Ok(None) };
    let mut datum = match var {
        Var::Text(text) => Datum::text(text),
        Var::Secret(secret) => Datum::text(secret.expose()),
        Var::Json(value) => Datum::of(value.clone()),
        Var::Time(at) => Datum::Time(*at),
        Var::Span(span) => Datum::Json(whole(*span, cutover_api::Span::SECOND).into()),
    };
    for filter in &slot.filters {
        datum = filter.write(datum).map_err(|wrong| RenderError { path: slot.path.clone(), wrong })?;
    }
    Ok(Some(datum))
}

fn absent(slot: &Slot) -> RenderError {
    RenderError { path: slot.path.clone(), wrong: "has no value" }
}
