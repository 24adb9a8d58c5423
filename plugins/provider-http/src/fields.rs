//! Which fields a step's `extract` may fill.

use std::collections::BTreeMap;

use cutover_api::{Reader, Table};

use crate::rules::inner;
use crate::said::slots;
use crate::scopes::is_field;

/// The mint fills `new.F`, `old.F` and `credential`.
pub(crate) fn mint(root: &Reader<'_>, name: &str, step: &Table, outputs: &BTreeMap<String, bool>) {
    each(root, name, step, |field| match field.split_once('.') {
        Some(("new", field)) => is_field(field) || outputs.contains_key(field),
        Some(("old", field)) => (is_field(field) && field != "secret") || outputs.contains_key(field),
        _ => field == "credential",
    });
    // A reply is read from what was sealed, perhaps by another process: nothing is known then but the configuration, the intent and
    // the old key.
    for part in ["expect", "extract"] {
        let slots = inner(step, part).map(slots).unwrap_or_default();
        let unknown = |path: &str| path == "new.secret" || ["credential", "steps."].iter().any(|space| path.starts_with(space));
        for slot in slots.iter().filter(|slot| unknown(&slot.path)) {
            let wrong = format!("{{{{ {} }}}} is not known when a sealed reply is read", slot.path);
            root.problems().add(
                &slot.place,
                format!("{name}.{part}.{}", slot.key),
                wrong,
                "params, rotation, grace, lifetime or old",
            );
        }
    }
}

/// `[read]` and `[last_used]` fill fields of the key; no other verb fills any.
pub(crate) fn verb(root: &Reader<'_>, name: &str, step: &Table, outputs: &BTreeMap<String, bool>) {
    each(root, name, step, |field| match name {
        "read" => is_field(field) || outputs.contains_key(field),
        "last_used" => is_field(field) && field != "secret",
        _ => false,
    });
}

fn each(root: &Reader<'_>, name: &str, step: &Table, may: impl Fn(&str) -> bool) {
    let Some(extract) = inner(step, "extract") else { return };
    for (field, entry) in extract.entries.iter().filter(|(field, _)| !may(field)) {
        let right = match name {
            "read" => "a field of the key: id, name, secret, expires_at, …, or an output",
            "last_used" => "a field of the key but secret: last_used_at, …",
            "issue" | "rotate" | "set" => {
                "new.FIELD, old.FIELD or credential, where FIELD is id, name, secret, expires_at, … or an output"
            }
            _ => "no extract: nothing reads it here",
        };
        root.problems().add(&entry.key, format!("{name}.extract.{field}"), "is no field that can be filled here", right);
    }
}
