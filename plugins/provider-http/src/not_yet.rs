//! What the format knows and this engine does not do yet, in exactly one place.
//!
//! A definition that needs any of it is refused whole, with problems that begin with `not yet:`; nothing else of it is judged then,
//! because the rest of the engine takes for granted that none of this is there.

use cutover_api::{Node, Place, Problems, Table, Value};

/// Reports everything in `root` that is not done yet.
pub(crate) fn report(root: &Table, problems: &Problems) {
    if said(root, "kind", "store") {
        at(root, "kind", "not yet: kind \"store\"", "a definition of kind \"provider\"", problems);
        return;
    }
    for lifecycle in ["slots", "manual"] {
        if said(root, "lifecycle", lifecycle) {
            let wrong = format!("not yet: lifecycle \"{lifecycle}\"");
            at(root, "lifecycle", &wrong, "one of \"overlap\", \"grace\", \"set\"", problems);
        }
    }
    if root.get("jwt").is_some() {
        at(root, "jwt", "not yet: signed tokens", "a token made elsewhere, as the account's credential", problems);
    }
    inside(root, "", problems);
}

/// `reply = "xml"`, `sigv4` and `poll`, wherever a step or the top level may say them.
fn inside(table: &Table, path: &str, problems: &Problems) {
    for (key, entry) in &table.entries {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let whole = |wrong: &str, right: &str, place: &Place| problems.add(place, path.clone(), wrong, right);
        match (key.as_str(), &entry.node.value) {
            ("reply", Value::Text(kind)) if kind == "xml" => {
                whole("not yet: replies in XML", "\"json\", \"text\" or \"none\"", &entry.node.place);
            }
            ("auth", Value::Table(auth)) if auth.get("sigv4").is_some() => {
                whole("not yet: auth kind sigv4", "bearer, header, basic or hmac", place_of(auth, "sigv4", &entry.node));
            }
            ("poll", Value::Table(_)) if path.contains('.') => {
                whole("not yet: polling for a reply", "a provider that answers at once", &entry.node.place);
            }
            // What stands in these is the provider's own, not the format's.
            ("json" | "form" | "query" | "headers" | "extract" | "keep" | "row" | "params" | "is", _) => {}
            (_, Value::Table(inner)) => inside(inner, &path, problems),
            _ => {}
        }
    }
}

fn said(table: &Table, key: &str, word: &str) -> bool {
    matches!(table.get(key), Some(Node { value: Value::Text(text), .. }) if text == word)
}

fn at(table: &Table, key: &str, wrong: &str, right: &str, problems: &Problems) {
    let place = table.get(key).map_or(&table.place, |node| &node.place);
    problems.add(place, key, wrong, right);
}

fn place_of<'a>(table: &'a Table, key: &str, otherwise: &'a Node) -> &'a Place {
    table.get(key).map_or(&otherwise.place, |node| &node.place)
}
