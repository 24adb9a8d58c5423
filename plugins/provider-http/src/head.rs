//! What stands above the steps of a definition: who the provider is, where it is, what it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cutover_api::{Reader, Value};
use cutover_http_step::origin;
use cutover_machine::plan::Lifecycle;

use crate::generate::Generator;
use crate::params::{Params, plain_name};
use crate::rules::word;
use crate::scopes::is_field;

/// The top level's plain keys.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) source: Option<String>,
    pub(crate) checked: Option<String>,
    pub(crate) support: Option<String>,
    pub(crate) lifecycle: Option<Lifecycle>,
    /// `None`: `"required"`, the account gives it.
    pub(crate) base_url: Option<String>,
    pub(crate) hosts: BTreeMap<String, String>,
    pub(crate) params: Params,
    /// The names of several credentials, or `None` for one.
    pub(crate) credentials: Option<Vec<String>>,
    /// The further outputs, and whether each is secret.
    pub(crate) outputs: BTreeMap<String, bool>,
    pub(crate) generator: Option<Generator>,
    sound: bool,
}

impl Head {
    /// Reads them and reports what is wrong.
    pub(crate) fn load(root: &Reader<'_>, file: &str) -> Self {
        let (name, base_url) = (name(root, file), base_url(root));
        let sound = name.is_some() && base_url.is_some();
        Self {
            name: name.unwrap_or_default(),
            about: root.text("about").unwrap_or_default().to_owned(),
            source: root.text("source").map(str::to_owned),
            checked: date(root, "checked"),
            support: root.text("support").map(str::to_owned),
            lifecycle: lifecycle(root),
            base_url: base_url.flatten(),
            hosts: hosts(root),
            params: Params::load(root),
            credentials: credentials(root),
            outputs: outputs(root),
            generator: Generator::load(root),
            sound,
        }
    }

    /// The same, when what every definition needs is there.
    pub(crate) fn whole(self) -> Option<Self> {
        self.sound.then_some(self)
    }
}

fn name(root: &Reader<'_>, file: &str) -> Option<String> {
    let name = root.require_text("name", "[a-z0-9-], equal to the file's name")?;
    if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        root.wrong("name", format!("\"{name}\" holds something else than [a-z0-9-]"), "a name such as \"example-keys\"");
        return None;
    }
    let stem = Path::new(file).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if stem != name {
        root.wrong("name", format!("\"{name}\" stands in a file named \"{stem}\""), "the file's name without its ending");
        return None;
    }
    Some(name.to_owned())
}

fn lifecycle(root: &Reader<'_>) -> Option<Lifecycle> {
    if !root.has("lifecycle") {
        root.wrong("lifecycle", "missing", "one of \"overlap\", \"grace\", \"set\", \"manual\"");
    }
    let known = [Lifecycle::Overlap, Lifecycle::Grace, Lifecycle::Set, Lifecycle::Manual].map(|of| (word(of), of));
    root.choice("lifecycle", &known)
}

/// `Some(None)`: the account gives it.
fn base_url(root: &Reader<'_>) -> Option<Option<String>> {
    let text = root.require_text("base_url", "https://…, or \"required\" where each account has its own")?;
    if text == "required" {
        return Some(None);
    }
    checked_origin(root, "base_url", text).map(Some)
}

/// An origin that requests may go to, without a trailing slash; reports what is none.
pub(crate) fn checked_origin(table: &Reader<'_>, key: &str, text: &str) -> Option<String> {
    if text.contains("{{") {
        table.wrong(key, "a slot stands in a host", "a host that is the same for every request");
        return None;
    }
    if let Err(wrong) = origin(text) {
        table.wrong(key, "is no origin", wrong);
        return None;
    }
    Some(text.trim_end_matches('/').to_owned())
}

fn hosts(root: &Reader<'_>) -> BTreeMap<String, String> {
    let Some(table) = root.table("hosts") else { return BTreeMap::new() };
    let mut hosts = BTreeMap::new();
    for name in table.table_itself().entries.keys() {
        let Some(text) = table.text(name) else { continue };
        if !plain_name(name) {
            table.wrong(name, "is no name for a host", "letters, digits, _ and -");
        } else if let Some(origin) = checked_origin(&table, name, text) {
            hosts.insert(name.clone(), origin);
        }
    }
    hosts
}

fn credentials(root: &Reader<'_>) -> Option<Vec<String>> {
    let right = "names such as [\"api_key\", \"app_key\"]; absent where there is one";
    let node = root.node("credential")?;
    let names = match &node.value {
        Value::Array(_) => root.texts("credential")?,
        other => {
            root.wrong("credential", format!("is {}", other.kind()), right);
            return None;
        }
    };
    let mut seen = BTreeSet::new();
    if names.is_empty() || names.iter().any(|name| !plain_name(name) || !seen.insert(name)) {
        root.wrong("credential", "holds no names, a name twice, or something else than letters, digits, _ and -", right);
    }
    Some(names)
}

fn outputs(root: &Reader<'_>) -> BTreeMap<String, bool> {
    let Some(table) = root.table("outputs") else { return BTreeMap::new() };
    let mut outputs = BTreeMap::new();
    for name in table.table_itself().entries.keys() {
        let Some(secret) = table.choice(name, &[("public", false), ("secret", true)]) else { continue };
        if !plain_name(name) || is_field(name) {
            table.wrong(name, "is no name for an output", "letters, digits and _, and no field that every key has");
        } else {
            outputs.insert(name.clone(), secret);
        }
    }
    outputs
}

/// A day, quoted or not.
fn date(root: &Reader<'_>, key: &str) -> Option<String> {
    let text = match root.node(key).map(|node| &node.value) {
        Some(Value::Text(text) | Value::Datetime(text)) => text,
        Some(other) => {
            root.wrong(key, format!("is {}", other.kind()), "a day such as \"2026-11-21\"");
            return None;
        }
        None => return None,
    };
    if text.parse::<jiff::civil::Date>().is_err() {
        root.wrong(key, "is no day", "a day such as \"2026-11-21\"");
        return None;
    }
    Some(text.clone())
}
