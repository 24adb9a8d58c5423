//! `params`: what a policy tells a definition.

use std::collections::BTreeMap;

use cutover_api::{Node, ParamNeed, Reader, Value};

use crate::definition::Definition;

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
        let need = |(name, param): (&String, &Param)| ParamNeed { name: name.clone(), required: *param == Param::Required };
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
        table.wrong(name, "is no name for a parameter", "[a-z0-9_], beginning with a letter");
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

/// `[a-z][a-z0-9_]*`: what may stand after a dot in a slot.
pub(crate) fn plain_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Reads a policy's `params` table against a definition: what is missing, empty or unknown is reported. Returns what the policy gave,
/// the form [`cutover_api::Call::params`] wants; defaults are filled in when a request is rendered.
#[must_use]
pub fn check_params(definition: &Definition, params: &Reader<'_>) -> BTreeMap<String, serde_json::Value> {
    let mut given = BTreeMap::new();
    for (name, param) in &definition.params().0 {
        let used_plainly = definition.needs_param(name);
        match params.node(name) {
            Some(Node { value: Value::Text(text), .. }) if text.is_empty() => {
                params.wrong(name, "is empty", "a value, or no such key");
            }
            Some(node) => {
                given.insert(name.clone(), node.to_json());
            }
            None if *param == Param::Required => {
                params.wrong(name, "missing", format!("definition \"{}\" needs it", definition.name()));
            }
            None if *param == Param::Optional && used_plainly.is_some() => {
                let step = used_plainly.unwrap_or_default();
                params.wrong(name, "missing", format!("[{step}] of definition \"{}\" cannot go without it", definition.name()));
            }
            None => {}
        }
    }
    params.finish();
    given
}
