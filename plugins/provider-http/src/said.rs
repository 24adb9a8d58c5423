//! What the templates of a table say: every slot in it, wherever it stands.
//!
//! The rules of `rules` need only to know which slots a step says; whether a slot is well formed and filled is the step's own check.

use cutover_api::{Node, Place, Table, Value};

/// One slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Its path: `key.id`.
    pub(crate) path: String,
    /// It has a `?`.
    pub(crate) optional: bool,
    /// Where the text stands that holds it.
    pub(crate) place: Place,
    /// The key of that text, from the table on: `auth.bearer`.
    pub(crate) key: String,
}

/// Every slot in `table`.
pub(crate) fn slots(table: &Table) -> Vec<Slot> {
    let mut found = Vec::new();
    in_table(table, "", &mut found);
    found
}

fn in_table(table: &Table, path: &str, found: &mut Vec<Slot>) {
    for (key, entry) in &table.entries {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        in_node(&entry.node, &path, found);
    }
}

fn in_node(node: &Node, path: &str, found: &mut Vec<Slot>) {
    match &node.value {
        Value::Text(text) => in_text(text, &node.place, path, found),
        Value::Table(table) => in_table(table, path, found),
        Value::Array(items) => items.iter().for_each(|item| in_node(item, path, found)),
        _ => {}
    }
}

fn in_text(text: &str, place: &Place, key: &str, found: &mut Vec<Slot>) {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("{{") {
        let Some((slot, tail)) = after.split_once("}}") else { return };
        let path = slot.split('|').next().unwrap_or_default().trim();
        let optional = path.ends_with('?');
        let path = path.trim_end_matches('?').trim_end().to_owned();
        found.push(Slot { path, optional, place: place.clone(), key: key.to_owned() });
        rest = tail;
    }
}

#[cfg(test)]
mod tests {
    use cutover_api::Table;

    use super::slots;

    #[test]
    fn slots_are_found_wherever_they_stand() {
        let text = "request = \"GET /a/{{ key.id }}/{{key.name?|escaped}}\"\n[json]\na = [\"x\", { b = \"{{ params.c }}\" }]\nd = \"{{ open\"\n";
        let table = Table::parse("x", text).expect("TOML");
        let all = slots(&table);
        let said: Vec<_> = all.iter().map(|slot| (slot.path.as_str(), slot.optional, slot.key.as_str())).collect();
        assert_eq!(said, [("params.c", false, "json.a.b"), ("key.id", false, "request"), ("key.name", true, "request")]);
        assert_eq!((all[0].place.line, all[0].place.column), (3, 17));
    }
}
