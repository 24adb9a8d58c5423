//! The body of a request: built structurally from typed leaves, never pasted from text.

use std::collections::BTreeMap;

use cutover_api::{Node, Place, Reader, Value as Toml};
use serde_json::Value;
use zeroize::{Zeroize, Zeroizing};

use crate::check::{Placed, Spot};
use crate::page::wipe;
use crate::render::encoded;
use crate::template::{RenderError, Template};
use crate::vars::Vars;

/// A body.
#[derive(Clone, Debug, Default)]
pub(crate) enum Body {
    #[default]
    None,
    Json(Leaf),
    Form(Vec<(String, Leaf)>),
    Text(Placed),
}

/// A value of a JSON or form body.
#[derive(Clone, Debug)]
pub(crate) enum Leaf {
    Template(Placed),
    Literal(Value),
    Array(Vec<Leaf>),
    Object(BTreeMap<String, Leaf>),
}

impl Body {
    /// Reads `json`, `form` or `text`; at most one.
    pub(crate) fn load(reader: &Reader<'_>) -> Self {
        let named: Vec<&str> = ["json", "form", "text"].into_iter().filter(|key| reader.node(key).is_some()).collect();
        if let [_, second, ..] = named.as_slice() {
            reader.wrong(second, "is a second body", "write one of json, form, text");
        }
        match named.first() {
            Some(&"json") => reader
                .node("json")
                .and_then(|node| Leaf::load(node, &reader.path_of("json"), reader))
                .map_or(Self::None, Self::Json),
            Some(&"form") => reader.table("form").map_or(Self::None, |table| Self::Form(pairs(&table))),
            Some(_) => {
                let placed = reader.text("text").zip(reader.table_itself().get("text"));
                let placed =
                    placed.and_then(|(text, node)| Placed::load(text, &reader.path_of("text"), &node.place, reader.problems()));
                placed.map_or(Self::None, Self::Text)
            }
            None => Self::None,
        }
    }

    /// A JSON body of one leaf that stands in no file.
    pub(crate) fn json(template: Template) -> Self {
        Self::Json(Leaf::Template(Placed { template, key: "json".to_owned(), place: Place::nowhere() }))
    }

    /// The usual `Content-Type`.
    pub(crate) const fn content_type(&self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Json(_) => Some("application/json"),
            Self::Form(_) => Some("application/x-www-form-urlencoded"),
            Self::Text(_) => Some("text/plain; charset=utf-8"),
        }
    }

    pub(crate) const fn is_form(&self) -> bool {
        matches!(self, Self::Form(_))
    }

    /// Renders it; `extra` replaces or adds one pair of a form.
    pub(crate) fn render(&self, vars: &Vars, extra: Option<(&str, &str)>) -> Result<Option<Zeroizing<Vec<u8>>>, RenderError> {
        Ok(Some(Zeroizing::new(match self {
            Self::None => return Ok(None),
            Self::Text(placed) => placed.template.render_text(vars)?.expose().as_bytes().to_vec(),
            Self::Form(form) => render_pairs(form, vars, extra)?.as_bytes().to_vec(),
            Self::Json(leaf) => {
                let Some(mut value) = leaf.render(vars)? else { return Ok(None) };
                let size = value_size(&value);
                let mut bytes = Vec::with_capacity(size);
                let written = serde_json::to_writer(&mut bytes, &value);
                wipe(&mut value);
                written.map_err(|_| RenderError { path: String::new(), wrong: "the body cannot be written as JSON" })?;
                bytes
            }
        })))
    }

    /// Every template in it.
    pub(crate) fn placed(&self, all: &mut Vec<(Spot, Placed)>) {
        match self {
            Self::None => {}
            Self::Text(placed) => all.push((Spot::Text, placed.clone())),
            Self::Json(leaf) => leaf.placed(all),
            Self::Form(form) => form.iter().for_each(|(_, leaf)| leaf.placed(all)),
        }
    }
}

impl Leaf {
    fn load(node: &Node, key: &str, reader: &Reader<'_>) -> Option<Self> {
        Some(match &node.value {
            Toml::Text(text) => Self::Template(Placed::load(text, key, &node.place, reader.problems())?),
            Toml::Datetime(text) => Self::Literal(text.clone().into()),
            Toml::Integer(n) => Self::Literal((*n).into()),
            Toml::Float(n) => Self::Literal((*n).into()),
            Toml::Boolean(b) => Self::Literal((*b).into()),
            Toml::Array(items) => Self::Array(items.iter().filter_map(|item| Self::load(item, key, reader)).collect()),
            Toml::Table(table) => {
                let mut members = BTreeMap::new();
                for (name, entry) in &table.entries {
                    let path = format!("{key}.{name}");
                    if name.contains("{{") {
                        reader.problems().add(&entry.key, path, "a slot stands in a name", "slots may stand in values only");
                        continue;
                    }
                    members.extend(Self::load(&entry.node, &path, reader).map(|leaf| (name.clone(), leaf)));
                }
                Self::Object(members)
            }
        })
    }

    /// Its value; `None` = it is left out.
    fn render(&self, vars: &Vars) -> Result<Option<Value>, RenderError> {
        Ok(Some(match self {
            Self::Template(placed) => return placed.template.render_leaf(vars),
            Self::Literal(value) => value.clone(),
            Self::Array(items) => {
                let mut values = Vec::with_capacity(items.len());
                for item in items {
                    values.extend(item.render(vars)?);
                }
                Value::Array(values)
            }
            Self::Object(members) => {
                let mut values = serde_json::Map::new();
                for (name, leaf) in members {
                    if let Some(value) = leaf.render(vars)? {
                        values.insert(name.clone(), value);
                    }
                }
                Value::Object(values)
            }
        }))
    }

    fn placed(&self, all: &mut Vec<(Spot, Placed)>) {
        match self {
            Self::Template(placed) => all.push((Spot::Leaf, placed.clone())),
            Self::Literal(_) => {}
            Self::Array(items) => items.iter().for_each(|item| item.placed(all)),
            Self::Object(members) => members.values().for_each(|leaf| leaf.placed(all)),
        }
    }
}

/// Reads a table of pairs: a form. Tables inside are a problem.
pub(crate) fn pairs(table: &Reader<'_>) -> Vec<(String, Leaf)> {
    let mut pairs = Vec::new();
    for (name, entry) in &table.table_itself().entries {
        let path = table.path_of(name);
        table.known(name);
        match (&entry.node.value, name.contains("{{")) {
            (_, true) => table.problems().add(&entry.key, path, "a slot stands in a name", "slots may stand in values only"),
            (Toml::Table(_), _) => table.wrong(name, "is a table", "must be a string, number, boolean or an array of them"),
            _ => pairs.extend(Leaf::load(&entry.node, &path, table).map(|leaf| (name.clone(), leaf))),
        }
    }
    pairs
}

/// Renders pairs percent-encoded, joined by `&`; an array repeats its name. `extra` replaces the pair of its name, or is added.
pub(crate) fn render_pairs(
    pairs: &[(String, Leaf)],
    vars: &Vars,
    extra: Option<(&str, &str)>,
) -> Result<Zeroizing<String>, RenderError> {
    let mut flat: Vec<Zeroizing<String>> = Vec::new();
    for (name, leaf) in pairs {
        if extra.is_some_and(|(other, _)| other == name) {
            continue;
        }
        let Some(mut value) = leaf.render(vars)? else { continue };
        let scalars = match &value {
            Value::Array(items) => items.iter().map(scalar).collect::<Option<Vec<_>>>(),
            one => scalar(one).map(|text| vec![text]),
        };
        wipe(&mut value);
        let scalars =
            scalars.ok_or_else(|| RenderError { path: name.clone(), wrong: "is a list or a table where a text is needed" })?;
        flat.extend(scalars.iter().map(|text| Zeroizing::new(format!("{}={}", encoded(name), encoded(text)))));
    }
    if let Some((name, value)) = extra {
        flat.push(Zeroizing::new(format!("{}={}", encoded(name), encoded(value))));
    }
    let mut all = String::with_capacity(flat.iter().map(|pair| pair.len() + 1).sum());
    for pair in &flat {
        if !all.is_empty() {
            all.push('&');
        }
        all.push_str(pair);
    }
    flat.iter_mut().for_each(Zeroize::zeroize);
    Ok(Zeroizing::new(all))
}

fn scalar(value: &Value) -> Option<Zeroizing<String>> {
    match value {
        Value::String(text) => Some(Zeroizing::new(text.clone())),
        Value::Number(n) => Some(Zeroizing::new(n.to_string())),
        Value::Bool(b) => Some(Zeroizing::new(b.to_string())),
        _ => None,
    }
}

/// At least as many bytes as the value's JSON takes: a buffer that grows leaves copies of secrets behind.
fn value_size(value: &Value) -> usize {
    match value {
        Value::String(text) => 2 + 6 * text.len(),
        Value::Array(items) => 2 + items.iter().map(|item| 1 + value_size(item)).sum::<usize>(),
        Value::Object(members) => 2 + members.iter().map(|(name, item)| 4 + 6 * name.len() + value_size(item)).sum::<usize>(),
        _ => 32,
    }
}
