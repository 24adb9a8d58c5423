//! How things stand, for people and programs.

use cutover_api::Stamp;
use cutover_config::{Config, Selector};
use cutover_machine::state::{End, Phase};
use cutover_machine::{Due, Now, Question, due};
use serde::{Deserialize, Serialize};

use super::story::{About, with_matter};
use super::times::rfc3339;
use super::{Engine, Suspended};
use crate::alert::{self, Way};

/// What a policy waits for a person with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldStatus {
    /// Stable label.
    pub why: String,
    /// In words.
    pub detail: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// It is tried again by itself.
    pub retries: bool,
    /// The ways out.
    pub ways: Vec<Way>,
}

/// How one policy stands. Times are RFC 3339, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// Its name.
    pub policy: String,
    /// Its provider's table.
    pub provider: String,
    /// `idle` or the phase of the rotation under way.
    pub phase: String,
    /// The rotation under way, or the last one.
    pub rotation: Option<String>,
    /// How the last rotation since the start ended: `done`, `old-left`, `first`, `abandoned`.
    pub ended: Option<String>,
    /// When cutover's last key came into use.
    pub rotated_at: Option<String>,
    /// How old the key in use is, in seconds, as far as that is known.
    pub age_seconds: Option<i64>,
    /// The key in use: its id.
    pub key_id: Option<String>,
    /// The key in use: its fingerprint.
    pub fingerprint: Option<String>,
    /// The next date.
    pub next_due: Option<String>,
    /// What it waits for, in words.
    pub waits_for: Option<String>,
    /// Until when the old key can be counted on.
    pub grace_end: Option<String>,
    /// How much of the grace has passed, in percent; 100 and more = it is over.
    pub grace_percent: Option<i64>,
    /// Only the provider's clock, or nothing, is left to wait for.
    pub at_rest: bool,
    /// Held.
    pub held: Option<HeldStatus>,
    /// What a person may order now.
    pub ways: Vec<Way>,
    /// Lifecycle `manual`, while the new key is waited for: what a person does to make it.
    #[serde(default)]
    pub ask: Option<String>,
    /// No date starts a rotation.
    #[serde(default)]
    pub suspended: Option<Suspended>,
}

/// How many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Policies in the configuration.
    pub policies: usize,
    /// Rotations under way, held ones among them.
    pub under_way: usize,
    /// Rotations that wait for a person.
    pub held: usize,
}

impl Engine {
    /// How many policies and rotations there are, without looking at more than is under way.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let under_way = self.shared.under_way();
        let is_held = |name: &&String| self.shared.view(name).is_some_and(|view| view.record.machine.held.is_some());
        let held = under_way.iter().filter(is_held).count();
        Tally { policies: self.shared.config().policies.len(), under_way: under_way.len(), held }
    }

    /// How the selected policies stand; all of them, where nothing is said. Policies that went but have open work are among them.
    #[must_use]
    pub fn status(&self, selector: &Selector) -> Vec<PolicyStatus> {
        let config = self.shared.config();
        let gone: Vec<String> = self.shared.with_policy_states(|states| {
            states.keys().filter(|name| !config.policies.contains_key(&***name)).map(ToString::to_string).collect()
        });
        let mut names: Vec<&String> = config.policies.keys().collect();
        names.extend(gone.iter().filter(|name| self.shared.inbox(name).is_some()));
        let wanted = |name: &str| match config.policies.get(name) {
            Some(policy) => selector.is_empty() || selector.selects(policy, &config),
            None => selector.is_empty() || selector.all || selector.policies.iter().any(|one| one == name),
        };
        names.into_iter().filter(|name| wanted(name)).map(|name| self.policy_status(name, &config)).collect()
    }

    fn policy_status(&self, name: &str, config: &Config) -> PolicyStatus {
        let now = self.shared.clock.now();
        let state = self.shared.policy_state(name);
        let view = self.shared.view(name);
        let current = state.as_ref().and_then(|state| state.current.as_deref());
        let rotated_at = state.as_ref().and_then(|state| state.rotated_at);
        let born = rotated_at.or_else(|| current.and_then(|key| key.created_at));
        let open = view.as_ref().filter(|view| view.record.machine.phase != Phase::Closed);
        let grace = open.and_then(|view| view.record.machine.grace.as_ref());
        let mut status = PolicyStatus {
            policy: name.to_owned(),
            provider: config.policies.get(name).map(|policy| policy.provider.clone()).unwrap_or_default(),
            phase: open.map_or("idle", |view| view.record.machine.phase.label()).to_owned(),
            rotation: view
                .as_ref()
                .map(|view| view.rotation.clone())
                .or_else(|| state.as_ref().and_then(|state| state.rotation.clone())),
            ended: view.as_ref().and_then(|view| view.record.machine.end).map(|end| ended(end).to_owned()),
            rotated_at: rotated_at.map(rfc3339),
            age_seconds: born.map(|born| now.since(born).as_seconds()),
            key_id: current.and_then(|key| key.id.clone()),
            fingerprint: current.and_then(|key| key.fingerprint.as_ref().map(|print| print.0.clone())),
            next_due: state.as_ref().and_then(|state| state.due).map(|(_, at)| rfc3339(at)),
            waits_for: None,
            grace_end: grace.map(|grace| rfc3339(grace.end)),
            grace_percent: grace.map(|grace| {
                let whole = grace.end.since(grace.from).0.max(1);
                now.since(grace.from).0.saturating_mul(100) / whole
            }),
            at_rest: open.is_none(),
            held: None,
            ways: Vec::new(),
            ask: None,
            suspended: self.suspended_of(name),
        };
        if let Some(view) = open {
            let machine = &view.record.machine;
            let plan = &view.snapshot.plan;
            status.at_rest = machine.phase == Phase::Retire && machine.held.is_none() && machine.clock_ends_old(plan);
            status.waits_for = Some(if self.shared.behind() && machine.emergency.is_none() {
                "a person: the ledger is older than it should be (`cutover keys`, then `cutover resume`)".to_owned()
            } else {
                waits_for(machine, &view.snapshot.plan, now, self.shared.window(name, now))
            });
            let about = About {
                environment: &config.daemon.name,
                policy: name,
                rotation: &view.rotation,
                actor: &view.record.actor,
                snapshot: &view.snapshot,
                record: &view.record,
                at: now,
            };
            status.ask = view.record.ask.clone().filter(|_| machine.new.is_none());
            status.ways = with_matter(&about, alert::ways);
            status.held = machine.held.as_ref().map(|held| {
                with_matter(&about, |matter| HeldStatus {
                    why: held.why.label().to_owned(),
                    detail: alert::why_in_words(matter, &held.why),
                    since: rfc3339(held.since),
                    retries: held.why.retries(),
                    ways: alert::ways(matter),
                })
            });
        }
        status
    }
}

const fn ended(end: End) -> &'static str {
    match end {
        End::Done => "done",
        End::OldLeft => "old-left",
        End::First => "first",
        End::Abandoned => "abandoned",
    }
}

/// What stands where a rotation waits for nothing: a call is made or due.
pub const AT_WORK: &str = "nothing: at work";

/// What a rotation waits for, in words.
fn waits_for(machine: &cutover_machine::Rotation, plan: &cutover_machine::Plan, at: Stamp, window: Stamp) -> String {
    let until = |until: Stamp| {
        if until == Stamp::NEVER { String::new() } else { format!(" (looks again {})", super::times::words(until)) }
    };
    match due(machine, plan, Now { at, window, frozen: false }) {
        Due::Rest => "nothing".to_owned(),
        Due::Tell | Due::Call(_) => AT_WORK.to_owned(),
        Due::Ask(Question::Held, next) => format!("a person: it is held{}", until(next)),
        Due::Ask(Question::Confirm, next) => format!("a person: `cutover confirm`{}", until(next)),
        Due::Ask(Question::NoEvidence, next) => format!("evidence that the new key is in use{}", until(next)),
        Due::Ask(Question::Submit, _) => "a person: make the new key by hand, then `cutover submit`".to_owned(),
        Due::Ask(Question::ConfirmRetire, next) if plan.ended_by_hand() => {
            format!("a person: end the old key by hand, then `cutover confirm --retire`{}", until(next))
        }
        Due::Ask(Question::ConfirmRetire, next) => format!("a person: `cutover confirm --retire`{}", until(next)),
        Due::Sleep(next) => match machine.phase {
            Phase::Preflight if window > at => format!("its window, which opens {}", super::times::words(window)),
            Phase::Preflight | Phase::Mint => format!("the next try{}", until(next)),
            Phase::Doubt => format!("the time when a look can tell{}", until(next)),
            Phase::Stage | Phase::Deploy => format!("the end of a call or the next try{}", until(next)),
            Phase::Observe | Phase::Settle => format!("evidence that the new key is in use{}", until(next)),
            Phase::Retire => format!("the old key's end{}", until(next)),
            Phase::Closed => "nothing".to_owned(),
        },
    }
}
