//! `params`: what a policy tells a definition.

use std::collections::BTreeMap;

use cutover_api::{Node, ParamNeed, Reader, Table, Value};
use cutover_http_step::Template;

use crate::definition::Definition;
use crate::rules::{inner, said_by};
use crate::scopes::helpers;

/// What a definition says of one parameter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Param {
    /// A policy must give it.
    Required,
    /// A policy may give it.
    Optional,
    /// Taken where a policy gives none.
    Default(serde_json::Value),
}

/// The parameters by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(pub(crate) BTreeMap<String, Param>);

impl Params {
    /// Reads `params`.
    pub(crate) fn load(root: &Reader<'_>) -> Self {
        let Some(table) = root.table("params") else { return Self::default() };
        let names: Vec<_> = table.table_itself().entries.keys().cloned().collect();
        let read = names.into_iter().filter_map(|name| Some((name.clone(), param(&table, &name)?)));
        Self(read.collect())
    }

    /// The parameters as the contract names them.
    pub(crate) fn needs(&self) -> Vec<ParamNeed> {
        let need = |(name, param): (&String, &Param)| ParamNeed {
            name: name.clone(),
            required: *param == Param::Required,
            default: if let Param::Default(value) = param { Some(value.clone()) } else { None },
        };
        self.0.iter().map(need).collect()
    }

    /// What a policy gave, with the defaults filled in.
    pub(crate) fn filled(&self, given: &BTreeMap<String, serde_json::Value>) -> BTreeMap<String, serde_json::Value> {
        let filled = self.0.iter().filter_map(|(name, param)| {
            let value = match (given.get(name), param) {
                (Some(value), _) => value.clone(),
                (None, Param::Default(value)) => value.clone(),
                (None, _) => return None,
            };
            Some((name.clone(), value))
        });
        filled.collect()
    }
}

fn param(table: &Reader<'_>, name: &str) -> Option<Param> {
    let right = "\"required\", \"optional\" or { default = VALUE }";
    if !plain_name(name) {
        table.wrong(name, "is no name for a parameter", "letters, digits, _ and -");
        return None;
    }
    match table.node(name).map(|node| &node.value) {
        Some(Value::Text(word)) if word == "required" => Some(Param::Required),
        Some(Value::Text(word)) if word == "optional" => Some(Param::Optional),
        Some(Value::Table(_)) => {
            let inner = table.table(name)?;
            let default = inner.node("default").map(Node::to_json);
            inner.finish();
            if default.is_none() {
                table.wrong(name, "has no default", right);
            }
            default.map(Param::Default)
        }
        Some(Value::Text(word)) => {
            table.wrong(name, format!("\"{word}\" is not known"), right);
            None
        }
        other => {
            table.wrong(name, format!("is {}", other.map_or("nothing", Value::kind)), right);
            None
        }
    }
}

/// What may stand between the dots of a slot: letters, digits, `_` and `-`, beginning with a letter or a digit.
pub(crate) fn plain_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// What the steps ask of the parameters, beyond that they are there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uses {
    /// Optional parameters that a step says without a `?`, and which step.
    plainly: BTreeMap<String, String>,
    /// Parameters that are one segment of a request's path, and in which step.
    segments: BTreeMap<String, String>,
}

impl Uses {
    /// Reads them off every step of a definition.
    pub(crate) fn of(root: &Table, params: &Params) -> Self {
        let mut uses = Self::default();
        let steps = STEPS.iter().filter_map(|name| Some((*name, inner(root, name)?)));
        let helpers = helpers(root).map(|(name, step)| (name.as_str(), step));
        for (name, step) in steps.chain(helpers) {
            for slot in said_by(root, step).into_iter().filter(|slot| !slot.optional) {
                let Some(param) = slot.path.strip_prefix("params.") else { continue };
                if params.0.get(param) == Some(&Param::Optional) {
                    uses.plainly.entry(param.to_owned()).or_insert_with(|| name.to_owned());
                }
            }
            let request = match step.get("request").map(|node| &node.value) {
                Some(Value::Text(text)) => Template::parse(text).ok(),
                _ => None,
            };
            for slot in request.iter().flat_map(Template::slots).filter(|slot| slot.filters.is_empty()) {
                if let Some(param) = slot.path.strip_prefix("params.") {
                    uses.segments.entry(param.to_owned()).or_insert_with(|| name.to_owned());
                }
            }
        }
        uses
    }
}

/// The steps of a definition that are no helpers.
const STEPS: [&str; 13] = [
    "issue",
    "rotate",
    "set",
    "manual",
    "list",
    "login",
    "read",
    "last_used",
    "probe",
    "deactivate",
    "activate",
    "revoke",
    "discard",
];

/// Reads a policy's `params` table against a definition: what is missing, empty, unknown or of no use in a request's path is reported.
/// Returns what the policy gave, the form [`cutover_api::Call::params`] wants; defaults are filled in when a request is rendered.
#[must_use]
pub fn check_params(definition: &Definition, params: &Reader<'_>) -> BTreeMap<String, serde_json::Value> {
    let mut given = BTreeMap::new();
    for (name, param) in &definition.params().0 {
        let plainly = definition.uses().plainly.get(name);
        match (params.node(name), param, plainly) {
            (Some(node), ..) => {
                if let Some(wrong) = wrong_with(&node.value, definition.uses().segments.get(name)) {
                    params.wrong(name, wrong, "a value that fits there, or no such key");
                } else {
                    given.insert(name.clone(), node.to_json());
                }
            }
            (None, Param::Required, _) => {
                params.wrong(name, "missing", format!("definition \"{}\" needs it", definition.name()));
            }
            (None, Param::Optional, Some(step)) => {
                params.wrong(name, "missing", format!("[{step}] of definition \"{}\" cannot go without it", definition.name()));
            }
            (None, ..) => {}
        }
    }
    params.finish();
    given
}

/// What would be found only when the request is made.
fn wrong_with(value: &Value, segment_of: Option<&String>) -> Option<String> {
    if matches!(value, Value::Text(text) if text.is_empty()) {
        return Some("is empty".to_owned());
    }
    let step = segment_of?;
    let fits = match value {
        Value::Text(text) => {
            !matches!(text.as_str(), "." | "..") && !text.contains(|c: char| matches!(c, '/' | '\\') || c.is_control())
        }
        Value::Integer(_) => true,
        _ => false,
    };
    (!fits).then(|| format!("cannot be one segment of the path of [{step}]"))
}
