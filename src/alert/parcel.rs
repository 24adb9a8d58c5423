//! What goes out together: alerts of one kind with one cause are one message, and overtaken ones none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cutover_api::{Message, Severity, Stamp};
use cutover_ledger::DeliveryRow;
use serde_json::{Value, json};

use super::words::{Letter, clean, counted};

/// More messages of one kind than this become one, whatever their causes.
const FEW: usize = 5;
/// So many policies are named in one message; the others are counted.
const NAMED: usize = 40;

/// An open delivery with its message read.
#[derive(Clone)]
pub(super) struct Item {
    /// The alert's id in the ledger.
    pub alert: String,
    /// When it came about.
    pub at: Stamp,
    /// How often it was tried.
    pub tries: u32,
    /// Not before this.
    pub not_before: Stamp,
    /// The message.
    pub message: Arc<Message>,
}

/// The messages of what is open, read once: a channel that is down for a day has many looks at them.
#[derive(Default)]
pub(super) struct Read(BTreeMap<String, Arc<Message>>);

impl Read {
    /// Reads the rows. A message that cannot be read is still told, by its alert's id.
    pub(super) fn items(&mut self, rows: Vec<DeliveryRow>, environment: &str) -> Vec<(String, Item)> {
        let mut known = std::mem::take(&mut self.0);
        let item = |row: DeliveryRow| {
            let message = match self.0.get(&row.alert).cloned().or_else(|| known.remove(&row.alert)) {
                Some(message) => message,
                None => Arc::new(serde_json::from_str(&row.message).unwrap_or_else(|_| unreadable(&row, environment))),
            };
            self.0.insert(row.alert.clone(), Arc::clone(&message));
            let item = Item { alert: row.alert, at: row.at, tries: row.tries, not_before: row.not_before, message };
            (row.channel, item)
        };
        rows.into_iter().map(item).collect()
    }
}

impl Item {
    /// What it shares with alerts that are told in the same message.
    pub(super) fn cause(&self) -> String {
        self.fact("cause").map_or_else(|| self.alert.clone(), str::to_owned)
    }

    fn fact(&self, name: &str) -> Option<&str> {
        self.message.facts.get(name)?.as_str()
    }

    fn series(&self) -> Option<(&str, i64)> {
        let series = self.message.facts.get("series")?;
        Some((series.get("name")?.as_str()?, series.get("place")?.as_i64()?))
    }

    /// The provider's clock runs on, and somebody must look before it ends.
    pub(super) fn presses(&self, now: Stamp) -> bool {
        let end = self.message.facts.get("grace_end_ms").and_then(Value::as_i64);
        self.message.severity == Severity::Critical && end.is_some_and(|end| Stamp(end) > now)
    }
}

fn unreadable(row: &DeliveryRow, environment: &str) -> Message {
    let alert = clean(&row.alert);
    Message {
        id: row.alert.clone(),
        kind: String::from("held"),
        severity: Severity::Critical,
        environment: environment.to_owned(),
        policies: Vec::new(),
        rotation: None,
        subject: format!("[cutover {environment}] ALERT {alert}: its text cannot be read"),
        text: format!("  The alert {alert} is in the ledger, and its text cannot be read.\n    cutover status\n"),
        at: super::words::rfc3339(row.at),
        facts: json!({}),
    }
}

/// The alerts that a later one of the same series has overtaken.
pub(super) fn overtaken(items: &[Item]) -> BTreeSet<String> {
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    for (name, place) in items.iter().filter_map(Item::series) {
        let highest = last.entry(name).or_insert(place);
        *highest = place.max(*highest);
    }
    let behind = |item: &&Item| item.series().is_some_and(|(name, place)| last.get(name).is_some_and(|last| place < *last));
    items.iter().filter(behind).map(|item| item.alert.clone()).collect()
}

/// One message and the deliveries it settles.
pub(super) struct Parcel {
    /// The message.
    pub message: Arc<Message>,
    /// What it settles.
    pub items: Vec<Item>,
}

/// Puts together what is told in one message, the most pressing first; what failed often comes last, so that it never keeps the others
/// from being tried.
pub(super) fn parcels(items: Vec<Item>) -> Vec<Parcel> {
    let mut by_cause: BTreeMap<(String, String), Vec<Item>> = BTreeMap::new();
    for item in items {
        by_cause.entry((item.message.kind.clone(), item.cause())).or_default().push(item);
    }
    let mut by_kind: BTreeMap<String, Vec<Vec<Item>>> = BTreeMap::new();
    for ((kind, _), group) in by_cause {
        by_kind.entry(kind).or_default().push(group);
    }
    let groups = by_kind
        .into_values()
        .flat_map(|groups| if groups.len() > FEW { vec![groups.into_iter().flatten().collect()] } else { groups });
    let mut parcels: Vec<Parcel> = groups.map(parcel).collect();
    parcels.sort_by_key(|parcel| {
        let tries = parcel.items.iter().map(|item| item.tries).min();
        let at = parcel.items.iter().map(|item| item.at).min();
        (tries, std::cmp::Reverse(parcel.message.severity), at)
    });
    parcels
}

fn parcel(mut items: Vec<Item>) -> Parcel {
    items.sort_by(|a, b| (a.at, &a.alert).cmp(&(b.at, &b.alert)));
    let message = match items.as_slice() {
        [one] => Arc::clone(&one.message),
        all => Arc::new(together(all)),
    };
    Parcel { message, items }
}

/// Many alerts as one message.
fn together(items: &[Item]) -> Message {
    let first = &items[0];
    let mut policies: Vec<String> = items.iter().flat_map(|item| item.message.policies.iter().cloned()).collect();
    policies.sort();
    policies.dedup();
    let severity = items.iter().map(|item| item.message.severity).max().unwrap_or(Severity::Warning);
    let number = if policies.is_empty() { counted(items.len(), "alert") } else { plural(policies.len()) };
    let same_cause = items.iter().all(|item| item.cause() == first.cause());
    let what = match first.fact("what") {
        Some(what) if same_cause => clean(what),
        _ => String::from("several reasons"),
    };
    let word = first.fact("word").map_or_else(|| first.message.kind.to_uppercase(), clean);
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for item in items {
        hash.update(item.alert.as_bytes());
        hash.update(b"\n");
    }
    let members = hex::encode(&hash.finish().as_ref()[..8]);
    Message {
        id: format!("-/-/{}/{}-{members}", first.message.kind, items.len()),
        kind: first.message.kind.clone(),
        severity,
        environment: first.message.environment.clone(),
        policies,
        rotation: None,
        subject: format!("[cutover {}] {word} {number}: {what}", first.message.environment),
        text: text(items, &number, &what, same_cause),
        at: first.message.at.clone(),
        facts: json!({
            "what": what,
            "word": word,
            "cause": if same_cause { first.cause() } else { first.message.kind.clone() },
            "alerts": items.iter().map(|item| item.alert.as_str()).collect::<Vec<_>>(),
        }),
    }
}

fn plural(policies: usize) -> String {
    if policies == 1 { String::from("1 policy") } else { format!("{policies} policies") }
}

fn text(items: &[Item], number: &str, what: &str, same_cause: bool) -> String {
    let mut letter = Letter::default();
    letter.part("What happened");
    if same_cause {
        letter.say(&format!(
            "{number} have the same trouble: {what}. It is told here once; the first of them stands in full below."
        ));
    } else {
        letter.say(&format!("{number} wait for somebody, for several reasons. The first of them stands in full below."));
    }
    letter.part("Each of them, and its first way out");
    for item in items.iter().take(NAMED) {
        entry(&mut letter, item, same_cause);
    }
    if items.len() > NAMED {
        letter.say(&format!("and {} more. All of them:", items.len() - NAMED)).command("cutover status");
    }
    letter.part("The first of them").say(&items[0].message.subject).gap();
    let mut text = letter.done();
    text.push_str(&items[0].message.text);
    text
}

fn entry(letter: &mut Letter, item: &Item, same_cause: bool) {
    let name = match item.message.policies.as_slice() {
        [] => item.message.subject.clone(),
        policies => policies.join(", "),
    };
    let what = item.fact("what").filter(|_| !same_cause).map(|what| format!(": {}", clean(what))).unwrap_or_default();
    let end = item.fact("grace_end").filter(|_| item.message.facts.get("grace_end_ms").is_some_and(Value::is_i64));
    let end = end.map(|end| format!(", grace ends {}", clean(end))).unwrap_or_default();
    letter.entry(&format!("{name}{what}{end}"));
    let ways = item.message.facts.get("ways").and_then(Value::as_array);
    let command =
        ways.and_then(|ways| ways.iter().find_map(|way| way.get("command")?.as_str().filter(|command| !command.is_empty())));
    if let Some(command) = command {
        letter.command(&format!("  {}", clean(command)));
    }
}
