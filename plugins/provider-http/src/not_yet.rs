//! What the format knows and this engine does not do yet. Together with [`cutover_http_step::not_yet`], whose words it uses for what
//! concerns one step, this is the only place that says so.
//!
//! A definition that needs any of this is refused at once: the rest of the engine takes for granted that none of it is there.

use cutover_api::{Node, Problems, Table, Value};

/// Reports what of `root` is not done yet.
pub(crate) fn report(root: &Table, problems: &Problems) {
    let whole = [("kind", "store"), ("lifecycle", "slots")];
    for (key, word) in whole {
        if said(root, key, word) {
            at(root, key, &format!("{key} \"{word}\""), problems);
        }
    }
    if root.get("jwt").is_some() {
        at(root, "jwt", "[jwt]", problems);
    }
}

fn said(table: &Table, key: &str, word: &str) -> bool {
    matches!(table.get(key), Some(Node { value: Value::Text(text), .. }) if text == word)
}

fn at(table: &Table, key: &str, what: &str, problems: &Problems) {
    let place = table.get(key).map_or(&table.place, |node| &node.place);
    let (wrong, right) = cutover_http_step::not_yet(what);
    problems.add(place, key, wrong, right);
}
