//! Reads `run`, `env`, `dir` and `timeout`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cutover_api::{Node, Reader, Span, Value};

use crate::program::Program;

/// How long the group has between the request to end and its end by force.
const KILL_GRACE: Duration = Duration::from_secs(5);

/// The longest `timeout`.
const LONGEST: Span = Span::hours(24);

/// Reads a program; everything that is wrong with it is reported. `step` names it in outcomes.
pub(crate) fn program(reader: &Reader<'_>, step: String, default_timeout: Span) -> Option<Program> {
    let before = reader.problems().count();
    let argv = argv(reader);
    let env = env(reader);
    let dir = dir(reader);
    let timeout = timeout(reader, default_timeout);
    if reader.problems().count() > before {
        return None;
    }
    Some(Program { step, argv: argv?, env, dir, timeout, kill_grace: KILL_GRACE })
}

fn argv(reader: &Reader<'_>) -> Option<Vec<String>> {
    let right = "an array of words, the program's absolute path first: [\"/usr/local/bin/deploy\", \"crm\"]";
    let Some(node) = reader.node("run") else {
        reader.wrong("run", "missing", right);
        return None;
    };
    let Value::Array(items) = &node.value else {
        reader.wrong("run", format!("is {}", node.value.kind()), format!("must be {right}; no shell reads it"));
        return None;
    };
    let words: Vec<String> = items.iter().filter_map(|item| word(reader, item)).collect();
    if words.len() != items.len() {
        return None;
    }
    match words.first() {
        Some(program) if Path::new(program).is_absolute() => Some(words),
        Some(program) => {
            let wrong = format!("\"{program}\" is not an absolute path");
            reader.wrong("run", wrong, "must begin with /: which program runs never depends on a search path");
            None
        }
        None => {
            reader.wrong("run", "is empty", right);
            None
        }
    }
}

/// One word of `run`.
fn word(reader: &Reader<'_>, item: &Node) -> Option<String> {
    let problem = |wrong: String, right: &str| {
        reader.problems().add(&item.place, reader.path_of("run"), wrong, right);
        None
    };
    match &item.value {
        Value::Text(text) if text.contains('\0') => problem("holds a NUL".to_owned(), "must be text a program can be given"),
        Value::Text(text) if text.contains("{{") => problem(
            "holds a template".to_owned(),
            "takes none: the program is told in CUTOVER_POLICY, _ROTATION, _RUN, _KEY_ID and _FINGERPRINT",
        ),
        Value::Text(text) => Some(text.clone()),
        other => problem(
            format!("holds {}", other.kind()),
            "must hold strings only: write numbers in quotes; secrets never go into arguments",
        ),
    }
}

fn env(reader: &Reader<'_>) -> BTreeMap<String, String> {
    let Some(table) = reader.table("env") else { return BTreeMap::new() };
    let mut env = BTreeMap::new();
    for (name, entry) in &table.table_itself().entries {
        if !is_variable(name) {
            table.wrong(name, "is no name of a variable", "must be letters, digits and _, and not begin with a digit");
        } else if name.starts_with("CUTOVER_") {
            table.wrong(name, "is set by cutover itself", "must not begin with CUTOVER_");
        } else if let Some(value) = plain(&table, name, &entry.node.value) {
            env.insert(name.clone(), value);
        }
    }
    env
}

/// A variable's value, which must be plain text: no reference, no template.
fn plain(table: &Reader<'_>, name: &str, value: &Value) -> Option<String> {
    let secret = "secrets never go through the environment: let the program read its own secret from a file or a store";
    match value {
        Value::Table(_) => table.wrong(name, "is a reference to a secret", secret),
        Value::Text(text) if text.contains("{{") => table.wrong(name, "holds a template", secret),
        Value::Text(text) if text.contains('\0') => table.wrong(name, "holds a NUL", "must be plain text"),
        Value::Text(text) => return Some(text.clone()),
        other => table.wrong(name, format!("is {}", other.kind()), "must be a string"),
    }
    None
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn dir(reader: &Reader<'_>) -> PathBuf {
    let Some(dir) = reader.text("dir") else { return PathBuf::from("/") };
    if !Path::new(dir).is_absolute() || dir.contains('\0') {
        reader.wrong("dir", format!("{dir:?} is not an absolute path"), "must begin with /");
    }
    PathBuf::from(dir)
}

fn timeout(reader: &Reader<'_>, default: Span) -> Duration {
    let span = reader.span("timeout").unwrap_or(default);
    if span < Span::SECOND || span > LONGEST {
        reader.wrong("timeout", format!("is {span}"), "must be from 1s to 24h");
    }
    Duration::from_millis(u64::try_from(span.0).unwrap_or_default())
}
