//! What a step leaves behind beside the state: history, known keys, alerts.

use cutover_api::{KeyRecord, Stamp};
use cutover_ledger::{AlertRow, HistoryEntry, KeyRow};
use cutover_machine::event::Fact;
use cutover_machine::state::Proof;
use serde::{Deserialize, Serialize};

use super::snapshot::{Record, Snapshot};
use crate::alert::{Channels, Matter, message};

/// One rotation at the moment of a step.
#[derive(Clone, Copy)]
pub struct About<'a> {
    /// `[daemon] name`.
    pub environment: &'a str,
    /// The policy.
    pub policy: &'a str,
    /// The rotation.
    pub rotation: &'a str,
    /// Who.
    pub actor: &'a str,
    /// Its plan.
    pub snapshot: &'a Snapshot,
    /// Its record after the step.
    pub record: &'a Record,
    /// When.
    pub at: Stamp,
}

/// A fact's name in history and log: kebab-case of the variant, as it is stored.
#[must_use]
pub fn label(fact: &Fact) -> String {
    match serde_json::to_value(fact) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(serde_json::Value::Object(map)) => map.keys().next().cloned().unwrap_or_default(),
        _ => String::from("fact"),
    }
}

/// The history's entries for a step.
#[must_use]
pub fn history(about: &About<'_>, facts: &[Fact]) -> Vec<HistoryEntry> {
    let entry = |fact: &Fact| {
        let inner = match serde_json::to_value(fact) {
            Ok(serde_json::Value::Object(map)) => map.into_iter().next().map(|(_, inner)| inner),
            _ => None,
        };
        let mut facts = match inner {
            Some(serde_json::Value::Object(map)) => map,
            _ => serde_json::Map::new(),
        };
        name_places(&mut facts, about.snapshot);
        if let Some(reason) = about.record.reason.as_ref().filter(|_| matches!(fact, Fact::Ordered { .. })) {
            facts.insert(String::from("reason"), reason.clone().into());
        }
        HistoryEntry {
            at: about.at,
            policy: Some(about.policy.to_owned()),
            rotation: Some(about.rotation.to_owned()),
            actor: about.actor.to_owned(),
            kind: label(fact),
            facts: serde_json::Value::Object(facts).to_string(),
        }
    };
    facts.iter().map(entry).collect()
}

/// A target's or hook's place in the plan says nothing to a reader years later: its name stands beside it.
fn name_places(facts: &mut serde_json::Map<String, serde_json::Value>, snapshot: &Snapshot) {
    let named = |facts: &serde_json::Map<String, serde_json::Value>, key: &str, names: Vec<String>| {
        let place = usize::try_from(facts.get(key)?.as_u64()?).ok()?;
        names.get(place).cloned()
    };
    let targets = snapshot.targets.iter().map(super::snapshot::TargetTable::name).collect();
    let hooks = snapshot.hooks.iter().map(|hook| hook.kind.clone()).collect();
    let verifies = snapshot.verifies.iter().map(|verify| verify.kind.clone()).collect();
    for (key, names) in [("target", targets), ("hook", hooks), ("verify", verifies)] {
        if let Some(name) = named(facts, key, names) {
            facts.insert(format!("{key}_name"), name.into());
        }
    }
}

/// A key as the ledger knows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KnownKey {
    /// The key.
    pub key: KeyRecord,
    /// Made by cutover or adopted.
    #[serde(default)]
    pub ours: bool,
    /// How its death was proven.
    #[serde(default)]
    pub dead: Option<Proof>,
    /// The rotation that learned of it.
    #[serde(default)]
    pub rotation: Option<String>,
    /// When that was.
    pub at: Stamp,
}

impl KnownKey {
    /// As the ledger takes it.
    #[must_use]
    pub fn row(&self, policy: &str, fingerprint: String) -> KeyRow {
        KeyRow { policy: policy.to_owned(), fingerprint, state: serde_json::to_string(self).unwrap_or_default() }
    }
}

/// The keys a step made known, or dead.
#[must_use]
pub fn keys(about: &About<'_>, facts: &[Fact]) -> Vec<KeyRow> {
    let row = |record: &KeyRecord, ours: bool, dead: Option<Proof>| {
        let fingerprint = record.fingerprint.as_ref()?.0.clone();
        let known = KnownKey { key: record.clone(), ours, dead, rotation: Some(about.rotation.to_owned()), at: about.at };
        Some(known.row(about.policy, fingerprint))
    };
    let machine = &about.record.machine;
    let known = facts.iter().filter_map(|fact| match fact {
        Fact::Minted { .. } => row(&about.record.made, true, None),
        Fact::PreflightPassed { first: false } => row(&about.record.first, machine.old_is_ours, None),
        Fact::OldDead { proof } => row(about.record.old_key(), machine.old_is_ours, Some(*proof)),
        Fact::CutDead { id, proof } => {
            let cut = machine.emergency.iter().flat_map(|emergency| &emergency.cut).find(|cut| cut.key.id == *id)?;
            row(about.record.cut_key(&cut.key)?, cut.ours, Some(*proof))
        }
        _ => None,
    });
    known.collect()
}

/// How people find a key at the provider.
#[must_use]
pub fn found_by(record: &KeyRecord) -> String {
    let by = [
        record.name.as_ref().map(|name| format!("\"{name}\"")),
        record.id.as_ref().map(|id| format!("id {id}")),
        record.prefix.as_ref().map(|prefix| format!("{prefix}…")),
        record.fingerprint.as_ref().map(|print| print.0.clone()),
    ];
    let by: Vec<String> = by.into_iter().flatten().take(2).collect();
    by.join(", ")
}

/// The alerts of a step.
#[must_use]
pub fn alerts(about: &About<'_>, facts: &[Fact], channels: &Channels) -> Vec<AlertRow> {
    if facts.is_empty() {
        return Vec::new();
    }
    with_matter(about, |matter| {
        let composed = facts.iter().filter_map(|fact| message(matter, fact));
        composed.map(|composed| alert_row(&composed.message, &about.snapshot.notify, channels, about.at)).collect()
    })
}

/// Puts a step into the words that alerts and status are made of.
pub fn with_matter<T>(about: &About<'_>, tell: impl FnOnce(&Matter<'_>) -> T) -> T {
    let snapshot = about.snapshot;
    let targets: Vec<String> = snapshot.targets.iter().map(super::snapshot::TargetTable::name).collect();
    let hooks: Vec<String> = snapshot.hooks.iter().map(hook_in_words).collect();
    let verifies: Vec<String> = snapshot.verifies.iter().map(|verify| verify.kind.clone()).collect();
    let (old_key, new_key) = (found_by(about.record.old_key()), found_by(about.record.new_key()));
    tell(&Matter {
        environment: about.environment,
        policy: about.policy,
        rotation: about.rotation,
        actor: &about.record.actor,
        at: about.at,
        machine: &about.record.machine,
        plan: &snapshot.plan,
        account: &snapshot.account.name,
        targets: &targets,
        hooks: &hooks,
        verifies: &verifies,
        old_key: &old_key,
        new_key: &new_key,
        ask: about.record.ask.as_deref().unwrap_or_default(),
    })
}

fn hook_in_words(hook: &super::snapshot::PluginTable) -> String {
    let detail = match (hook.table.get("run"), hook.table.get("request")) {
        (Some(serde_json::Value::Array(run)), _) => {
            run.iter().filter_map(serde_json::Value::as_str).collect::<Vec<_>>().join(" ")
        }
        (_, Some(serde_json::Value::String(request))) => request.clone(),
        _ => String::new(),
    };
    format!("{} {detail}", hook.kind).trim().to_owned()
}

/// An alert for the outbox.
#[must_use]
pub fn alert_row(message: &cutover_api::Message, wanted: &[String], channels: &Channels, at: Stamp) -> AlertRow {
    AlertRow {
        id: message.id.clone(),
        at,
        message: serde_json::to_string(message).unwrap_or_default(),
        channels: channels.chosen(wanted, message.severity),
    }
}
