//! How the policies of an emergency are begun: a rotation of their own, or an order to the one under way.

use std::sync::Arc;

use cutover_api::KeyRecord;
use cutover_ledger::KeyRow;
use cutover_machine::emergency::{Cut, EmergencyOrder};
use cutover_machine::event::Order;
use cutover_machine::state::{Key, Phase};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tracing::warn;

use super::emergency::{AGAIN, Part};
use super::run::Ordered;
use super::shared::View;
use super::snapshot::{PolicyState, Record};
use super::story::KnownKey;
use super::{Engine, Opening};

/// Begins policies of one order.
#[derive(Clone)]
pub struct Beginning {
    /// The engine.
    pub engine: Engine,
    /// The order.
    pub run: String,
    /// Which comes first.
    pub order: EmergencyOrder,
    /// Why, if said.
    pub reason: Option<String>,
    /// By whom.
    pub actor: String,
}

impl Beginning {
    /// Begins these; returns when each is under way or has said why not.
    pub async fn begin(&self, names: &[String]) {
        let shared = &self.engine.shared;
        let rows = match shared.ledger.keys_of(names).await {
            Ok(rows) => rows,
            Err(error) => {
                warn!(%error, "the keys of an emergency's policies could not be read: those in use are cut off all the same");
                Vec::new()
            }
        };
        let rows = Arc::new(rows);
        let mut tasks = JoinSet::new();
        for name in names {
            let (task, name, rows) = (self.clone(), name.clone(), Arc::clone(&rows));
            tasks.spawn(async move { task.begin_one(name, &rows).await });
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn begin_one(self, name: String, rows: &[KeyRow]) {
        let shared = &self.engine.shared;
        let one = shared.lock_policy(&name).await;
        let (known, gone) = living(rows, &name, shared.policy_state(&name).as_ref());
        if let Some(rotation) = self.answering(&name).await {
            return self.begun(&name, Ok(rotation));
        }
        if self.engine.open_rotation_of(&name).is_some() {
            drop(one);
            // Whoever waits for an order that waits for a call must not keep the others waiting.
            tokio::spawn(async move {
                let result = self.order_open(&name, known, gone).await;
                self.begun(&name, result);
            });
            return;
        }
        let order = Order::Emergency(self.order, known);
        let opening = Opening {
            actor: self.actor.clone(),
            reason: self.reason.clone(),
            scheduled: false,
            emergency: Some((order, self.run.clone(), gone)),
        };
        let result = self.engine.open_locked(&name, opening).await;
        self.begun(&name, result);
    }

    /// The rotation that answers this order already: after a restart, or by a join.
    async fn answering(&self, name: &str) -> Option<String> {
        let shared = &self.engine.shared;
        let answers = |record: &Record| record.answers.contains(&self.run) && !finished_only(record);
        if let Some(view) = shared.view(name)
            && answers(&view.record)
        {
            return Some(view.rotation);
        }
        let found = shared.with_emergencies(|runs| runs.get(&self.run).is_some_and(|run| run.found));
        let last = shared.policy_state(name).and_then(|state| state.rotation).filter(|_| found)?;
        let row = shared.ledger.rotation(&last).await.ok()??;
        let record: Record = serde_json::from_str(&row.state).ok()?;
        answers(&record).then_some(last)
    }

    /// Gives the order to the rotation under way.
    async fn order_open(&self, name: &str, known: Vec<Cut>, gone: Vec<KeyRecord>) -> Result<String, String> {
        let shared = &self.engine.shared;
        let view = shared.view(name).filter(|view| view.record.machine.phase != Phase::Closed);
        let Some(view) = view else { return Err(String::from("its rotation cannot go on: see the log")) };
        if let Some(earlier) = queued_behind(&view) {
            return Err(earlier);
        }
        let inbox = shared.inbox(name).ok_or("its rotation has just ended")?;
        let (reply, answer) = oneshot::channel();
        let ordered = Ordered {
            order: Order::Emergency(self.order, known),
            actor: self.actor.clone(),
            reason: self.reason.clone(),
            plan: None,
            adopt: false,
            emergency: Some((self.run.clone(), gone)),
            value: None,
            reply,
        };
        inbox.send(ordered).await.map_err(|_| "its rotation has just ended")?;
        answer.await.map_err(|_| "its rotation has just ended")??;
        Ok(view.rotation)
    }

    fn begun(&self, name: &str, result: Result<String, String>) {
        let again = self.engine.shared.clock.now().plus(AGAIN);
        self.engine.shared.with_emergencies(|runs| {
            let Some(part) = runs.get_mut(&self.run).and_then(|run| run.parts.get_mut(name)) else { return };
            part.beginning = false;
            match result {
                Ok(rotation) => *part = Part { rotation: Some(rotation), ..Part::default() },
                Err(why) => {
                    part.waits = Some(why);
                    part.not_before = again;
                }
            }
        });
    }
}

/// A rotation that is finished for an order only: the key it made is replaced in its turn once it is closed.
fn finished_only(record: &Record) -> bool {
    record.machine.phase == Phase::Closed && record.machine.emergency.as_ref().is_some_and(|emergency| emergency.staged)
}

/// Why an order waits: the rotation answers an earlier one, and its new key is on its way into use.
fn queued_behind(view: &View) -> Option<String> {
    let machine = &view.record.machine;
    let arrived = matches!(machine.phase, Phase::Observe | Phase::Settle | Phase::Retire) || machine.held.is_some();
    (machine.emergency.is_some() && machine.is_written() && !arrived).then(|| {
        format!("queued behind rotation {}, which answers an earlier order and is in {}", view.rotation, machine.phase.label())
    })
}

/// The keys of a policy that the ledger does not know to be dead, the one in use included.
fn living(rows: &[KeyRow], policy: &str, state: Option<&PolicyState>) -> (Vec<Cut>, Vec<KeyRecord>) {
    let known = rows.iter().filter(|row| row.policy == policy);
    let known =
        known.filter_map(|row| serde_json::from_str::<KnownKey>(&row.state).ok().map(|known| (known, &row.fingerprint)));
    let mut cuts = Vec::new();
    let mut records = Vec::new();
    for (known, print) in known.filter(|(known, _)| known.dead.is_none()) {
        let key = Key { id: known.key.id.clone(), fingerprint: print.clone(), expires_at: known.key.expires_at };
        cuts.push(Cut::new(key, known.ours));
        records.push(known.key);
    }
    if let Some((current, ours)) = state.and_then(|state| state.current.as_deref().map(|key| (key, state.ours))) {
        let print = current.fingerprint.as_ref().map(|print| print.0.clone()).unwrap_or_default();
        let key = Key { id: current.id.clone(), fingerprint: print, expires_at: current.expires_at };
        match cuts.iter_mut().find(|cut| cut.is(&key)) {
            Some(cut) => cut.ours |= ours,
            None => {
                cuts.push(Cut::new(key, ours));
                records.push(current.clone());
            }
        }
    }
    (cuts, records)
}
