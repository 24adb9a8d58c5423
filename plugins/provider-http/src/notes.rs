//! What the operator should know of a definition although nothing is wrong with it: promises, and what is left to the worst case.

use cutover_api::{Node, Table, Value};

use crate::declared::Declared;
use crate::rules::{inner, row_tells_last_use};
use crate::said::slots;

/// All of them, in words.
pub(crate) fn notes(root: &Table, declared: &Declared) -> Vec<String> {
    let mut notes = Vec::new();
    for (key, said) in [("source", "where its facts come from"), ("checked", "when they were last checked")] {
        if root.get(key).is_none() {
            notes.push(format!("{key} is missing: nobody can tell {said}"));
        }
    }
    notes.extend(declared.worst.iter().map(|said| (*said).to_owned()));
    if declared.facts.negative_probe && root.get("probe").is_none() {
        notes.push("negative_probe is declared, but there is no [probe]".to_owned());
    }
    if declared.facts.last_used.is_none() && (root.get("last_used").is_some() || row_tells_last_use(root)) {
        notes.push("a last use is read, but declares.last_used does not say how exactly: it counts as not exposed".to_owned());
    }
    if inner(root, "login").is_some() && !slots(root).iter().any(|slot| slot.path.starts_with("steps.login.")) {
        notes.push("[login] is there, but nothing says steps.login.*".to_owned());
    }
    if declared.lifetime.is_none() && slots(root).iter().any(|slot| slot.path.starts_with("lifetime.")) {
        notes.push("lifetime.* is said, but declares.lifetime is not there: no lifetime is ever asked for".to_owned());
    }
    promises(root, "", &mut notes);
    for key in ["accepted", "refused"] {
        for status in probe_statuses(root, key).into_iter().filter(|status| *status >= 500) {
            notes.push(format!(
                "probe.{key}: {status} is taken for an answer about the key, although the provider may only be out of order"
            ));
        }
    }
    notes
}

fn probe_statuses(root: &Table, key: &str) -> Vec<i64> {
    let found = inner(root, "probe").and_then(|probe| inner(probe, key)).and_then(|found| found.get("status"));
    let Some(Node { value: Value::Array(items), .. }) = found else { return Vec::new() };
    let status = |item: &Node| match item.value {
        Value::Integer(status) => Some(status),
        _ => None,
    };
    items.iter().filter_map(status).collect()
}

/// `on_status` that calls a status certain which by itself tells nothing: a promise that nothing happened.
fn promises(table: &Table, path: &str, notes: &mut Vec<String>) {
    for (key, entry) in &table.entries {
        let Value::Table(inner) = &entry.node.value else { continue };
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if key != "on_status" {
            promises(inner, &path, notes);
            continue;
        }
        for (status, class) in &inner.entries {
            let Value::Text(class) = &class.node.value else { continue };
            let uncertain = status.parse().is_ok_and(|status: u16| status == 408 || !(400..500).contains(&status));
            if uncertain && class != "unknown" {
                notes.push(format!(
                    "{path}: {status} = \"{class}\" is a promise that nothing happened at a status that does not say so"
                ));
            }
        }
    }
}
