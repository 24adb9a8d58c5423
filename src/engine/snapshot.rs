//! The plan of one rotation with every table it needs: what is kept in the ledger, so that a reload changes nothing under way.

use std::collections::BTreeMap;

use cutover_api::{KeyRecord, TargetSpec};
use cutover_config::{Config, Policy};
use cutover_machine::plan::{HookPlan, Plan, ProviderFacts, TargetPlan, VerifyPlan};
use cutover_machine::state::Key;
use cutover_machine::{Rotation, Span, Stamp};
use serde::{Deserialize, Serialize};

use super::suspend::Suspension;

/// A plugin's table by kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginTable {
    /// The kind.
    pub kind: String,
    /// Its table as JSON; references to secrets stay references.
    pub table: serde_json::Value,
}

/// One account at a provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// The name of its table.
    pub name: String,
    /// The definition's name.
    pub definition_name: String,
    /// The definition's text as it was when the rotation began.
    pub definition: String,
    /// Its table as JSON.
    pub table: serde_json::Value,
}

/// One target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetTable {
    /// The store's name.
    pub store: String,
    /// The place in it.
    pub spec: TargetSpec,
    /// The settled layout.
    pub fields: BTreeMap<String, String>,
    /// The layout while both keys live.
    pub during: Option<BTreeMap<String, String>>,
}

impl TargetTable {
    /// `store:path`, as people and `covers` name it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}:{}", self.store, self.spec.path)
    }
}

/// One verify.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verify {
    /// Its kind as typed.
    pub kind: String,
    /// Its table as JSON.
    pub table: serde_json::Value,
}

/// Everything one rotation was planned with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The policy's name when it began.
    pub policy: String,
    /// What the machine plans with.
    pub plan: Plan,
    /// The account.
    pub account: Account,
    /// The policy's params.
    pub params: BTreeMap<String, serde_json::Value>,
    /// The lifetime to ask for.
    pub lifetime: Option<Span>,
    /// The policy's zone, for the year in names.
    pub timezone: String,
    /// The id of the key in use before cutover came, if it counts as ours.
    pub adopt: Option<String>,
    /// The stores by name.
    pub stores: BTreeMap<String, PluginTable>,
    /// The targets.
    pub targets: Vec<TargetTable>,
    /// The hooks.
    pub hooks: Vec<PluginTable>,
    /// The verifies.
    pub verifies: Vec<Verify>,
    /// The channels that are told, already chosen.
    pub notify: Vec<String>,
}

impl Snapshot {
    /// Plans a rotation of `policy` with the facts of its provider.
    #[must_use]
    pub fn take(
        config: &Config,
        policy: &Policy,
        definition: String,
        facts: &ProviderFacts,
        support: Option<String>,
    ) -> Option<Self> {
        let provider = config.providers.get(&policy.provider)?;
        let mut stores = BTreeMap::new();
        for target in &policy.targets {
            let store = config.stores.get(&target.store)?;
            stores.insert(target.store.clone(), PluginTable { kind: store.kind.clone(), table: store.table.to_json() });
        }
        let notify = if policy.notify.is_empty() { config.notify.keys().cloned().collect() } else { policy.notify.clone() };
        Some(Self {
            policy: policy.name.clone(),
            plan: plan(policy, facts, support),
            account: Account {
                name: policy.provider.clone(),
                definition_name: provider.definition.clone(),
                definition,
                table: provider.table.to_json(),
            },
            params: policy.params.clone(),
            lifetime: policy.lifetime,
            timezone: policy.schedule.timezone().iana_name().unwrap_or("UTC").to_owned(),
            adopt: policy.adopt.clone(),
            stores,
            targets: policy
                .targets
                .iter()
                .map(|target| TargetTable {
                    store: target.store.clone(),
                    spec: target.spec.clone(),
                    fields: target.fields.clone(),
                    during: target.during.clone(),
                })
                .collect(),
            hooks: policy
                .redeploy
                .iter()
                .map(|hook| PluginTable { kind: hook.kind.clone(), table: hook.table.to_json() })
                .collect(),
            verifies: policy
                .verify
                .iter()
                .map(|verify| Verify { kind: verify.kind_name.clone(), table: verify.table.to_json() })
                .collect(),
            notify,
        })
    }
}

fn plan(policy: &Policy, facts: &ProviderFacts, support: Option<String>) -> Plan {
    Plan {
        provider: facts.clone(),
        grace: policy.grace_mapped,
        shortest_grace: policy.grace_mapped,
        quiet: policy.quiet,
        soak: policy.soak,
        thresholds: policy.at.clone(),
        targets: policy
            .targets
            .iter()
            .map(|target| TargetPlan { has_during: target.during.as_ref().is_some_and(|during| *during != target.fields) })
            .collect(),
        hooks: policy.redeploy.iter().map(|hook| HookPlan { timeout: hook.timeout, repeatable: hook.repeatable }).collect(),
        verifies: policy
            .verify
            .iter()
            .map(|verify| VerifyPlan { kind: verify.kind, every: verify.every, hold_for: verify.hold_for })
            .collect(),
        support,
    }
}

/// The durable record of one rotation: the machine's state and what the engine must know beside it. No secret value is in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The machine's state.
    pub machine: Rotation,
    /// Who ordered it.
    pub actor: String,
    /// Why, if said.
    pub reason: Option<String>,
    /// The last committed intent to mint; requests are rendered from it.
    pub intent: Option<cutover_api::Intent>,
    /// The nonces of every intent of this rotation.
    pub nonces: Vec<String>,
    /// The ids that the provider listed before the first mint.
    pub baseline: Option<Vec<String>>,
    /// The key in use when it began.
    pub first: KeyRecord,
    /// The key that was made.
    pub made: KeyRecord,
    /// Per target: field → fingerprint of what stood there before.
    pub recorded: Vec<BTreeMap<String, String>>,
    /// The emergency orders that it answers.
    pub answers: Vec<String>,
    /// Keys of an emergency's cut set that are neither of the two above.
    pub gone: Vec<KeyRecord>,
    /// Lifecycle `manual`: what a person is asked to do to make the new key.
    #[serde(default)]
    pub ask: Option<String>,
}

impl Record {
    /// A rotation that has done nothing yet.
    #[must_use]
    pub fn open(seed: u64, actor: String, reason: Option<String>, now: Stamp) -> Self {
        Self {
            machine: Rotation::open(seed, now),
            actor,
            reason,
            intent: None,
            nonces: Vec::new(),
            baseline: None,
            first: KeyRecord::default(),
            made: KeyRecord::default(),
            recorded: Vec::new(),
            answers: Vec::new(),
            gone: Vec::new(),
            ask: None,
        }
    }

    /// The record of the key that is to be in use.
    #[must_use]
    pub const fn new_key(&self) -> &KeyRecord {
        if self.machine.swapped { &self.first } else { &self.made }
    }

    /// The record of a key of an emergency's cut set.
    #[must_use]
    pub fn cut_key(&self, key: &Key) -> Option<&KeyRecord> {
        let is = |record: &&KeyRecord| {
            let print = record.fingerprint.as_ref().is_some_and(|print| print.0 == key.fingerprint);
            print || (record.id.is_some() && record.id == key.id)
        };
        [&self.first, &self.made].into_iter().chain(&self.gone).find(is)
    }

    /// The record of the key that is to go.
    #[must_use]
    pub const fn old_key(&self) -> &KeyRecord {
        if self.machine.swapped { &self.made } else { &self.first }
    }
}

/// What is known of a policy beside its configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyState {
    /// Provider and params: what tells that a policy was renamed.
    pub identity: String,
    /// The schedule as it was last loaded.
    pub schedule: String,
    /// The name it was first loaded under: dates are drawn from it.
    pub seed: String,
    /// When it was first loaded.
    pub first_loaded: Stamp,
    /// Since when its present schedule counts.
    pub since: Stamp,
    /// The date that is due next, and when to act.
    pub due: Option<(Stamp, Stamp)>,
    /// The key in use, as far as it is recorded.
    pub current: Option<Box<KeyRecord>>,
    /// That key is ours.
    pub ours: bool,
    /// The rotation under way or the last one.
    pub rotation: Option<String>,
    /// When a key of cutover's last came into use.
    pub rotated_at: Option<Stamp>,
    /// The date whose lateness was told.
    pub overdue_told: Option<Stamp>,
    /// No date starts a rotation.
    #[serde(default)]
    pub suspended: Option<Suspension>,
}
