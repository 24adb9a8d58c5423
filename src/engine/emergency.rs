//! Emergencies: an order is durable with everything it selected, answered policy by policy, and reported until nothing of it is open.
//!
//! What a rotation answers stands in its own record, committed with the order it took: so a crash between an order and its rotations is
//! gone on from what is durable, and nothing is cut or made twice.

use std::collections::{BTreeMap, BTreeSet};

use cutover_api::Stamp;
use cutover_config::Selector;
use cutover_ledger::{Commit, HistoryEntry};
use cutover_machine::Span;
use cutover_machine::emergency::EmergencyOrder;
use serde::{Deserialize, Serialize};
use tracing::error;

use super::beginning::Beginning;
use super::story::alert_row;
use super::{Engine, ids};
use crate::alert::report::{ByHand, PolicyReport, emergency_unset};

/// Rotations that are begun together: one read of their keys, commits that share a disk barrier.
const TOGETHER: usize = 16;
/// Those that go first: their calls must not wait for all that is begun after them.
const AHEAD: usize = 2;
/// What could not be begun is tried again after this.
pub const AGAIN: Span = Span::seconds(2);
/// Orders that are over and still shown.
pub(super) const KEPT: usize = 20;
/// The ledger's name of an order.
const NOTE: &str = "emergency.";

/// One emergency order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its id; later ones sort after earlier ones.
    pub id: String,
    /// When it was given.
    pub at: Stamp,
    /// By whom.
    pub actor: String,
    /// Why, if said.
    pub reason: Option<String>,
    /// Which comes first.
    pub order: EmergencyOrder,
    /// Every policy that was selected when it came.
    pub parts: BTreeMap<String, Part>,
    /// Credentials the same people could read.
    pub by_hand: Vec<ByHand>,
    /// Reports sent.
    pub reports: u32,
    /// When the last one was sent.
    pub told_at: Option<Stamp>,
    /// What it said, to see a change.
    pub told: String,
    /// Everything is accounted for since.
    pub over: Option<Stamp>,
    /// It was found at the start: rotations that answer it may be there already.
    #[serde(skip)]
    pub found: bool,
}

/// One policy of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The rotation that answers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<String>,
    /// Why it is not begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
    /// What is to be said of it for good, once its rotation is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub said: Option<PolicyReport>,
    /// Being begun right now.
    #[serde(skip)]
    pub beginning: bool,
    /// Not to be tried before.
    #[serde(skip)]
    pub not_before: Stamp,
}

/// An order was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmergencyTaken {
    /// Its id, for `status --emergency`.
    pub id: String,
    /// Policies it holds.
    pub policies: usize,
    /// It joined an order that was open.
    pub joined: bool,
}

impl Engine {
    /// Orders an emergency for the selected policies. It is durable when this returns, and begins at once.
    ///
    /// # Errors
    /// Nothing is selected, or the ledger did not take it; nothing has changed.
    pub async fn emergency(
        &self,
        selector: &Selector,
        order: EmergencyOrder,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<EmergencyTaken, String> {
        let selected = self.selected(selector);
        if selected.is_empty() {
            return Err(String::from(cutover_config::NOTHING_SELECTED));
        }
        let by_hand = self.by_hand(selector, &selected);
        self.take(selected, order, actor, reason, by_hand).await
    }

    /// SIGUSR1: the configured emergency. Joins an order that is open. `None`: none is configured; nothing was changed, and that is told.
    ///
    /// # Errors
    /// The ledger did not take it; nothing has changed.
    pub async fn emergency_by_signal(&self) -> Result<Option<EmergencyTaken>, String> {
        let shared = &self.shared;
        let config = shared.config();
        let actor = "signal:USR1";
        let Some(table) = &config.emergency else {
            let now = shared.clock.now();
            let told = emergency_unset(&shared.environment(), actor, now);
            let row = alert_row(&told.message, &[], &shared.channels(), now);
            let history = vec![HistoryEntry::plain(
                now,
                None,
                actor,
                "emergency-refused",
                &serde_json::json!({ "why": "no [emergency]" }),
            )];
            let commit = Commit { alerts: vec![row], history, ..Commit::default() };
            shared.ledger.commit(commit).await.map_err(|error| error.to_string())?;
            shared.alerts_waiting();
            return Ok(None);
        };
        let selected = self.selected(&table.select);
        let order = if table.deploy_first { EmergencyOrder::DeployFirst } else { EmergencyOrder::CutFirst };
        let by_hand = self.by_hand(&table.select, &selected);
        let keeping = shared.keeping_emergencies().await;
        let open = shared.with_emergencies(|runs| runs.values().rev().find(|run| run.over.is_none()).cloned());
        match open {
            Some(run) => self.join(run, selected, by_hand, actor).await.map(Some),
            None => {
                drop(keeping);
                self.take(selected, order, actor, None, by_hand).await.map(Some)
            }
        }
    }

    async fn take(
        &self,
        selected: Vec<String>,
        order: EmergencyOrder,
        actor: &str,
        reason: Option<&str>,
        by_hand: Vec<ByHand>,
    ) -> Result<EmergencyTaken, String> {
        let now = self.shared.clock.now();
        let run = Run {
            id: format!("emg_{:013}_{}", now.0.max(0), ids::random_text(6)?),
            at: now,
            actor: actor.to_owned(),
            reason: reason.map(ToOwned::to_owned),
            order,
            parts: selected.into_iter().map(|policy| (policy, Part::default())).collect(),
            by_hand,
            reports: 0,
            told_at: None,
            told: String::new(),
            over: None,
            found: false,
        };
        let taken = EmergencyTaken { id: run.id.clone(), policies: run.parts.len(), joined: false };
        let facts = serde_json::json!({
            "emergency": run.id, "order": order.label(), "reason": reason, "policies": run.parts.len(),
        });
        let history = vec![HistoryEntry::plain(now, None, actor, "emergency-ordered", &facts)];
        self.keep(&run, history).await?;
        self.shared.with_emergencies(|runs| runs.insert(run.id.clone(), run));
        self.shared.emergency_ordered();
        Ok(taken)
    }

    /// Adds to an order that is open. The caller has the turn to write it.
    async fn join(
        &self,
        mut run: Run,
        selected: Vec<String>,
        by_hand: Vec<ByHand>,
        actor: &str,
    ) -> Result<EmergencyTaken, String> {
        let now = self.shared.clock.now();
        for policy in selected {
            run.parts.entry(policy).or_default();
        }
        for credential in by_hand {
            if !run.by_hand.iter().any(|there| there.table == credential.table) {
                run.by_hand.push(credential);
            }
        }
        let taken = EmergencyTaken { id: run.id.clone(), policies: run.parts.len(), joined: true };
        let facts = serde_json::json!({ "emergency": run.id, "policies": run.parts.len() });
        self.keep(&run, vec![HistoryEntry::plain(now, None, actor, "emergency-joined", &facts)]).await?;
        self.shared.with_emergencies(|runs| {
            if let Some(there) = runs.get_mut(&run.id) {
                for (policy, part) in run.parts {
                    there.parts.entry(policy).or_insert(part);
                }
                there.by_hand = run.by_hand;
            }
        });
        self.shared.emergency_ordered();
        Ok(taken)
    }

    /// Credentials of providers, stores and channels that the people could read whose keys are cut off: those that are named by the
    /// order, otherwise the holders of the selected policies.
    #[must_use]
    pub fn by_hand(&self, selector: &Selector, selected: &[String]) -> Vec<ByHand> {
        let config = self.shared.config();
        let named: BTreeSet<&String> = if selector.holders.is_empty() {
            selected.iter().filter_map(|name| config.policies.get(name)).flat_map(|policy| &policy.holders).collect()
        } else {
            selector.holders.iter().collect()
        };
        let providers = config.providers.iter().map(|(name, table)| (format!("provider.{name}"), &table.holders));
        let stores = config.stores.iter().map(|(name, table)| (format!("store.{name}"), &table.holders));
        let channels = config.notify.iter().map(|(name, table)| (format!("notify.{name}"), &table.holders));
        let all = providers.chain(stores).chain(channels);
        all.filter_map(|(table, holders)| {
            let holders: Vec<String> = holders.iter().filter(|holder| named.contains(holder)).cloned().collect();
            (!holders.is_empty()).then_some(ByHand { table, holders })
        })
        .collect()
    }

    /// The orders found in the ledger at the start.
    pub(super) fn load_emergencies(&self, notes: &[(String, String)]) {
        for (name, text) in notes.iter().filter(|(name, text)| name.starts_with(NOTE) && !text.is_empty()) {
            match serde_json::from_str::<Run>(text) {
                Ok(run) => {
                    let run = Run { found: true, ..run };
                    self.shared.with_emergencies(|runs| runs.insert(run.id.clone(), run));
                }
                Err(error) => error!(name, %error, "an emergency order in the ledger cannot be read"),
            }
        }
    }

    /// Makes an order durable, with what is told of it.
    async fn keep(&self, run: &Run, history: Vec<HistoryEntry>) -> Result<(), String> {
        let commit = Commit { notes: vec![(note(&run.id), written(run)?)], history, ..Commit::default() };
        self.shared.ledger.commit(commit).await.map_err(|error| error.to_string())
    }

    /// Answers the orders until the daemon ends.
    pub(super) async fn emergencies(&self) {
        let shared = &self.shared;
        let mut progress = shared.progress();
        while !shared.stopping() {
            self.begin_all().await;
            let next = self.report_all().await;
            let open = shared.with_emergencies(|runs| runs.values().any(|run| run.over.is_none()));
            let soon = shared.clock.now().plus(AGAIN);
            tokio::select! {
                () = shared.emergency() => {}
                () = shared.clock.sleep_until(if open { soon.min(next) } else { Stamp::NEVER }) => {}
                changed = progress.changed(), if open => if changed.is_ok() {
                    // Many steps at once are looked at once; another order does not wait for them.
                    let _ = tokio::time::timeout(std::time::Duration::from_millis(20), shared.emergency()).await;
                },
                () = shared.shutdown.cancelled() => {}
            }
        }
    }

    /// Begins what is not begun, as wide as it goes. The first are under way before the last are looked at.
    async fn begin_all(&self) {
        let now = self.shared.clock.now();
        let waiting: Vec<(Beginning, Vec<String>)> = self.shared.with_emergencies(|runs| {
            let open = runs.values_mut().filter(|run| run.over.is_none());
            let wanted = open.map(|run| {
                let due = run.parts.iter_mut().filter(|(_, part)| {
                    part.rotation.is_none() && part.said.is_none() && !part.beginning && part.not_before <= now
                });
                let names = due.map(|(name, part)| {
                    part.beginning = true;
                    name.clone()
                });
                let names: Vec<String> = names.collect();
                let (engine, reason, actor) = (self.clone(), run.reason.clone(), run.actor.clone());
                (Beginning { engine, run: run.id.clone(), order: run.order, reason, actor }, names)
            });
            wanted.filter(|(_, names)| !names.is_empty()).collect()
        });
        for (beginning, names) in waiting {
            let (mut rest, mut together) = (&names[..], AHEAD);
            while !rest.is_empty() {
                let (begun, later) = rest.split_at(together.min(rest.len()));
                beginning.begin(begun).await;
                (rest, together) = (later, TOGETHER.min(together * 2));
            }
        }
    }
}

/// The ledger's name of an order's note.
pub(super) fn note(id: &str) -> String {
    format!("{NOTE}{id}")
}

/// An order as its note.
pub(super) fn written(run: &Run) -> Result<String, String> {
    serde_json::to_string(run).map_err(|error| format!("an emergency order cannot be written ({error})"))
}
