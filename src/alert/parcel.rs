//! What goes out together: alerts of one kind with one cause are one message, and overtaken ones none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cutover_api::{Message, Severity, Span, Stamp};
use cutover_ledger::DeliveryRow;
use serde_json::{Value, json};

use super::batch::{over, together};
use super::words::clean;

/// More messages of one kind than this become one, whatever their causes.
pub(super) const FEW: usize = 5;
/// What is told so long after it came about is marked as late: longer than anything is gathered.
const LATE: Span = Span::minutes(45);

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
    /// What it tells of is over: it is told for the record only.
    pub over: bool,
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
            let item =
                Item { alert: row.alert, at: row.at, tries: row.tries, not_before: row.not_before, over: false, message };
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

    pub(super) fn fact(&self, name: &str) -> Option<&str> {
        self.message.facts.get(name)?.as_str()
    }

    fn series(&self) -> Option<(&str, i64)> {
        let series = self.message.facts.get("series")?;
        Some((series.get("name")?.as_str()?, series.get("place")?.as_i64()?))
    }

    /// The grace it tells of ends before this.
    pub(super) fn ends_before(&self, at: Stamp) -> bool {
        self.message.facts.get("grace_end_ms").and_then(Value::as_i64).is_some_and(|end| Stamp(end) < at)
    }

    /// It has waited longer than anything is gathered.
    pub(super) fn is_late(&self, now: Stamp) -> bool {
        now.since(self.at) > LATE
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

/// What comes first on a channel that does not take everything. The two take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// What was tried least: a message that the channel never takes does not keep the others from it.
    LeastTried,
    /// What matters most, then what has waited longest: a stream of lesser news does not keep it from a channel that rarely takes one.
    MostSevere,
}

/// Puts together what is told in one message at `now`, in the order of this turn. What is over by now is one message, and the last.
pub(super) fn parcels(items: Vec<Item>, now: Stamp, turn: Turn) -> Vec<Parcel> {
    let (past, items): (Vec<Item>, Vec<Item>) = items.into_iter().partition(|item| item.over);
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
    let mut parcels: Vec<Parcel> = groups.map(|group| parcel(group, now)).collect();
    parcels.sort_by_key(|parcel| {
        let tries = parcel.items.iter().map(|item| item.tries).min().filter(|_| turn == Turn::LeastTried);
        let at = parcel.items.iter().map(|item| item.at).min();
        (tries, std::cmp::Reverse(parcel.message.severity), at)
    });
    if !past.is_empty() {
        parcels.push(parcel(past, now));
    }
    parcels
}

fn parcel(mut items: Vec<Item>, now: Stamp) -> Parcel {
    items.sort_by(|a, b| (a.at, &a.alert).cmp(&(b.at, &b.alert)));
    let message = match items.as_slice() {
        all if all.iter().all(|item| item.over) => Arc::new(over(all, now)),
        [one] => Arc::clone(&one.message),
        all => Arc::new(together(all)),
    };
    let late = items.iter().all(|item| !item.over && now.since(item.at) > LATE);
    let message = if late { Arc::new(super::batch::late(&message, items[0].at, now)) } else { message };
    Parcel { message, items }
}
