//! What a webhook's templates may name.

use cutover_api::{Message, Node, Reader, Table, Value};
use cutover_http_step::{Kind, Known, Scope, Var, Vars};

/// The texts of an alert, by their names below `alert`.
fn texts(message: &Message) -> [(&'static str, String); 8] {
    [
        ("id", message.id.clone()),
        ("kind", message.kind.clone()),
        ("severity", message.severity.label().to_owned()),
        ("environment", message.environment.clone()),
        ("policy", message.policies.join(", ")),
        ("subject", message.subject.clone()),
        ("text", message.text.clone()),
        ("at", message.at.clone()),
    ]
}

/// The paths.
pub(crate) fn scope(credential: bool) -> Scope {
    let mut scope = Scope::new();
    scope.add("alert", Known::plain(Kind::Any));
    for name in ["id", "kind", "severity", "environment", "policy", "subject", "text", "at"] {
        scope.add(format!("alert.{name}"), Known::plain(Kind::Text));
    }
    scope.add("alert.rotation", Known::plain(Kind::Text).optional());
    for name in ["policies", "facts"] {
        scope.add(format!("alert.{name}"), Known::plain(Kind::Any));
    }
    if credential {
        scope.add("credential", Known::secret());
    }
    scope
}

/// Their values.
pub(crate) fn vars(message: &Message) -> Vars {
    let mut vars = Vars::new();
    for (name, text) in texts(message) {
        vars.set_text(format!("alert.{name}"), text);
    }
    if let Some(rotation) = &message.rotation {
        vars.set_text("alert.rotation", rotation.clone());
    }
    vars.set("alert.policies", Var::Json(message.policies.clone().into()));
    // No facts are an empty object: a template that names them must not stop an alert.
    let facts = if message.facts.is_null() { serde_json::Map::new().into() } else { message.facts.clone() };
    vars.set("alert.facts", Var::Json(facts));
    // A message is plain data; should it ever not become JSON, the call is refused for a slot without a value, never sent empty.
    vars.set("alert", Var::Json(serde_json::to_value(message).unwrap_or_default()));
    vars
}

/// The table with the whole alert as its body, when it has none and its method takes one.
pub(crate) fn with_body(reader: &Reader<'_>) -> Table {
    let mut table = reader.table_itself().clone();
    let method = match table.get("request").map(|node| &node.value) {
        Some(Value::Text(request)) => request.split_whitespace().next().unwrap_or_default(),
        _ => "",
    };
    let takes = ["POST", "PUT", "PATCH"].contains(&method);
    if takes && !["json", "form", "text"].iter().any(|body| reader.has(body)) {
        let place = table.place.clone();
        let node = Node { value: Value::Text("{{ alert }}".to_owned()), place: place.clone() };
        table.entries.insert("json".to_owned(), cutover_api::Entry { key: place, node });
    }
    table
}
