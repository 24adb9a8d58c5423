//! What every message has, whatever it is about.

use cutover_api::{Message, Severity, Stamp};
use serde_json::{Map, Value, json};

use super::batch::bounded;
use super::ways::Way;
use super::words::{Letter, rfc3339};

/// A message and the stage it tells: what tells it apart from other messages of its kind about the same rotation.
#[derive(Clone, Debug, PartialEq)]
pub struct Composed {
    /// The stage, the last part of the message's id.
    pub stage: String,
    /// The message.
    pub message: Message,
}

/// A message being written.
pub(super) struct Draft<'a> {
    /// The kind (design.md 7).
    pub kind: &'static str,
    /// The stage.
    pub stage: String,
    /// The stage as far as many policies can share it.
    pub shared_stage: String,
    /// How bad.
    pub severity: Severity,
    /// `[daemon] name`.
    pub environment: &'a str,
    /// The policy, where it is about one.
    pub policy: Option<&'a str>,
    /// The rotation, where it is about one.
    pub rotation: Option<&'a str>,
    /// The subject's loud word.
    pub word: String,
    /// The rest of the subject.
    pub what: String,
    /// The same for many policies; empty = the same words.
    pub shared: String,
    /// What policies must share, beside kind and stage, to be told in one message.
    pub cause: String,
    /// A later message of this series replaces an earlier one that nobody was sent yet.
    pub series: Option<Series>,
    /// The time.
    pub at: Stamp,
}

/// A place in a series of messages.
pub(super) struct Series {
    /// Which series.
    pub name: String,
    /// Later places are higher.
    pub place: i64,
}

impl Draft<'_> {
    /// The message with this text, the ways out that stand in it, and further facts.
    pub(super) fn finish(self, text: Letter, ways: &[Way], more: Value) -> Composed {
        let mut facts = match more {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        facts.insert(String::from("stage"), json!(self.stage));
        facts.insert(String::from("word"), json!(self.word));
        facts.insert(String::from("what"), json!(self.what));
        if !self.shared.is_empty() {
            facts.insert(String::from("shared"), json!(self.shared));
        }
        facts.insert(String::from("cause"), json!(format!("{}/{}/{}", self.kind, self.shared_stage, self.cause)));
        facts.insert(String::from("ways"), json!(ways));
        if let Some(series) = self.series {
            facts.insert(String::from("series"), json!({ "name": series.name, "place": series.place }));
        }
        let about = self.policy.map_or_else(String::new, |policy| format!(" {policy}"));
        let id = [self.policy.unwrap_or("-"), self.rotation.unwrap_or("-"), self.kind, &self.stage].join("/");
        let message = Message {
            id,
            kind: self.kind.to_owned(),
            severity: self.severity,
            environment: self.environment.to_owned(),
            policies: self.policy.map(str::to_owned).into_iter().collect(),
            rotation: self.rotation.map(str::to_owned),
            subject: format!("[cutover {}] {}{about}: {}", self.environment, self.word, self.what),
            text: bounded(text.done()),
            at: rfc3339(self.at),
            facts: Value::Object(facts),
        };
        Composed { stage: self.stage, message }
    }
}

/// Writes the last part: each way out with what it does and costs.
pub(super) fn write_ways(letter: &mut Letter, ways: &[Way]) {
    if ways.is_empty() {
        return;
    }
    letter.part("What you can do");
    for (place, way) in ways.iter().enumerate() {
        if place > 0 {
            letter.gap();
        }
        if way.command.is_empty() {
            letter.say(&way.does);
        } else {
            letter.command(&way.command).note("", &way.does);
        }
        letter.note("Costs:", &way.costs);
    }
}
