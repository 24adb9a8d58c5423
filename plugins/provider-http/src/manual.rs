//! `[manual]`: the mint that a person makes in the provider's dashboard. What they are asked, and which fields they hand in.

use cutover_api::{Call, KeyRef, Problems, Reader, Table};
use cutover_http_step::Template;
use cutover_machine::plan::Lifecycle;

use crate::account::HttpProvider;
use crate::before::{About, set_about};
use crate::rules::inner;
use crate::scopes::Scopes;
use crate::values;

/// The name of its table.
pub(crate) const TABLE: &str = "manual";
/// What is asked is read in a mail by a person: longer is not read.
const LONGEST: usize = 2_000;
/// What can be handed in.
const FIELDS: [&str; 2] = ["secret", "id"];

/// `[manual]`, read.
#[derive(Clone, Debug)]
pub(crate) struct ByHand {
    pub(crate) ask: Template,
}

impl ByHand {
    /// Reads and checks it; `None` when it is not there or does not come out whole, which is reported.
    pub(crate) fn load(root: &Reader<'_>, scopes: &Scopes<'_>) -> Option<Self> {
        let reader = root.table(TABLE)?;
        let fields = reader.texts("fields");
        check_fields(&reader, fields.as_deref());
        let ask = reader.require_text("ask", "what a person does to make the new key: where to click, and what to choose");
        reader.finish();
        let ask = ask?;
        if ask.trim().is_empty() || ask.chars().count() > LONGEST {
            reader.wrong("ask", "is empty, or longer than a mail can show", format!("at most {LONGEST} characters"));
            return None;
        }
        if ask.chars().any(|letter| letter.is_control() && letter != '\n') {
            reader.wrong("ask", "holds a control character", "plain text; only newlines");
            return None;
        }
        let template = match Template::parse(ask) {
            Ok(template) => template,
            Err(error) => {
                reader.wrong("ask", "is no template", error.to_string());
                return None;
            }
        };
        let scope = scopes.mint(TABLE);
        for error in template.check(&scope) {
            reader.wrong("ask", "says what it cannot", error.to_string());
        }
        for slot in template.slots().iter().filter(|slot| scope.is_secret(&slot.path)) {
            let wrong = format!("says {{{{ {} }}}}, which is secret", slot.path);
            reader.wrong("ask", wrong, "nothing secret: it stands in mails and in `cutover status`");
        }
        Some(Self { ask: template })
    }
}

fn check_fields(reader: &Reader<'_>, fields: Option<&[String]>) {
    let right = "[\"secret\"] or [\"secret\", \"id\"]: what `cutover submit` is given";
    let Some(fields) = fields else {
        if !reader.has("fields") {
            reader.wrong("fields", "missing", right);
        }
        return;
    };
    let mut seen = Vec::new();
    for field in fields {
        if !FIELDS.contains(&field.as_str()) || seen.contains(&field) {
            reader.wrong("fields", format!("\"{}\" cannot be handed in, or is named twice", field.escape_debug()), right);
        }
        seen.push(field);
    }
    if !fields.iter().any(|field| field == "secret") {
        reader.wrong("fields", "has no \"secret\"", right);
    }
}

/// Whether `fields` asks for the key's id.
pub(crate) fn asks_for_id(root: &Table) -> bool {
    let fields = inner(root, TABLE).and_then(|table| table.get("fields"));
    let is_id = |node: &cutover_api::Node| matches!(&node.value, cutover_api::Value::Text(text) if text == "id");
    matches!(fields.map(|node| &node.value), Some(cutover_api::Value::Array(items)) if items.iter().any(is_id))
}

/// What only a definition with another lifecycle can have.
pub(crate) fn check(root: &Table, lifecycle: Lifecycle, has: impl Fn(&str) -> bool, problems: &Problems) {
    if lifecycle != Lifecycle::Manual {
        return;
    }
    let at = |key: &str, wrong: &str, right: &str| {
        problems.add(crate::rules::place_of(root, key), key, wrong, right);
    };
    if root.get("generate").is_some() {
        at("generate", "lifecycle \"manual\" sends no value: a person makes the key", "no such key");
    }
    if root.get("outputs").is_some() {
        at("outputs", "lifecycle \"manual\" is handed a secret and an id, and no more", "no such key");
    }
    for name in ["deactivate", "activate", "discard"].into_iter().filter(|name| has(name) && !has("revoke")) {
        at(name, "is there without [revoke]", "[revoke] too, or neither: without it a person ends the old key");
    }
}

impl HttpProvider {
    /// What a person is asked to do; `None` where the mint is a call, or what it says is not known.
    pub(crate) fn asked(&self, call: Call<'_>, old: Option<KeyRef<'_>>) -> Option<String> {
        let by_hand = self.definition.steps.by_hand.as_ref()?;
        let mut vars = values::common(&self.definition, &self.base_url, call, &Vec::new());
        set_about(&mut vars, About::Mint { old, generated: None });
        by_hand.ask.render_text(&vars).ok().map(|text| text.expose().trim().to_owned())
    }
}
