//! One step of a rotation: decided, and made durable together with everything that belongs to it.

use std::sync::Arc;

use cutover_api::{Secret, Stamp};
use cutover_ledger::{Commit, CommitError, RotationWrite, SealWrite};
use cutover_machine::event::Fact;
use cutover_machine::state::Phase;
use cutover_machine::{Event, Span};
use tracing::{info, warn};

use super::effects::Landed;
use super::run::{Runner, Stop};
use super::snapshot::{PolicyState, Record};
use super::values::Values;

impl Runner {
    /// Decides, and makes the result durable together with everything that belongs to it.
    pub(super) async fn step(&mut self, landed: Landed) -> Result<(), Stop> {
        let now = self.now();
        let Landed { event, seal, learn } = landed;
        let polled = matches!(event, Event::Watched(_));
        let step = match cutover_machine::decide(event, &self.record.machine, &self.snapshot.plan, now) {
            Ok(step) => step,
            Err(illegal) => {
                // What was due may not be due any more (a clock, a window, an alarm): nothing is done, and it is looked at anew. A value
                // that was received is kept all the same: it may be the only copy.
                warn!(policy = self.policy, rotation = self.id, reason = illegal.reason, "an event did not fit");
                if !seal.is_empty() {
                    let record = (*self.record).clone();
                    self.commit(record, Vec::new(), seal, now.at).await?;
                }
                return Ok(());
            }
        };
        if step.facts.is_empty() && seal.is_empty() && learn.is_empty() {
            if step.next == self.record.machine {
                return Ok(());
            }
            if polled {
                // Only polls moved on: asking again after a crash costs nothing, a commit for each poll would.
                let mut record = (*self.record).clone();
                record.machine = step.next;
                self.record = Arc::new(record);
                self.publish();
                return Ok(());
            }
        }
        let mut record = (*self.record).clone();
        record.machine = step.next;
        for learned in learn {
            learned.into_record(&mut record);
        }
        self.commit(record, step.facts, seal, now.at).await
    }

    async fn commit(&mut self, record: Record, facts: Vec<Fact>, seal: Vec<(String, Secret)>, at: Stamp) -> Result<(), Stop> {
        let superseded = facts.iter().any(|fact| matches!(fact, Fact::Superseded { .. }));
        // A policy's state is read, changed and written by one at a time.
        let shared = Arc::clone(&self.shared);
        let _one = if facts.iter().any(|fact| matches!(fact, Fact::Cutover | Fact::Closed { .. })) {
            Some(shared.lock_policy(&self.policy).await)
        } else {
            None
        };
        let state = self.policy_after(&record, &facts, at);
        let mut told = false;
        loop {
            let commit = self.transaction(&record, &facts, &seal, state.as_ref(), at).map_err(Stop::Ledger)?;
            told |= !commit.alerts.is_empty();
            match self.shared.ledger.commit(commit).await {
                Ok(()) => break,
                Err(CommitError::Full(detail)) => {
                    // What came back from the call is only in memory now: hold on to it until there is room.
                    warn!(policy = self.policy, rotation = self.id, detail, "no room on disk: waiting for it");
                    self.shared.clock.sleep_until(self.shared.clock.now().plus(Span::seconds(5))).await;
                }
                Err(error @ (CommitError::Conflict { .. } | CommitError::Failed(_))) => {
                    return Err(Stop::Ledger(error.to_string()));
                }
            }
        }
        self.rev += 1;
        self.kept = Some(Arc::clone(&self.snapshot));
        let phase = record.machine.phase;
        for fact in &facts {
            info!(policy = self.policy, rotation = self.id, phase = phase.label(), fact = super::story::label(fact), "step");
        }
        self.record = Arc::new(record);
        if let Some(state) = state {
            self.shared.put_policy_state(&self.policy, state);
        }
        self.shared.learned(&self.policy, &facts);
        self.shared.gauges.count(&facts);
        if superseded {
            self.open_values().await.map_err(Stop::Ledger)?;
        } else if !seal.is_empty() {
            self.values = Arc::new(self.values.with(seal, &self.sealed_names()));
        }
        if phase == Phase::Closed {
            self.values = Arc::new(Values::default());
        }
        self.publish();
        if told {
            self.shared.alerts_waiting();
        }
        Ok(())
    }

    /// Everything that must be durable together.
    fn transaction(
        &self,
        record: &Record,
        facts: &[Fact],
        seal: &[(String, Secret)],
        state: Option<&PolicyState>,
        at: Stamp,
    ) -> Result<Commit, String> {
        let phase = record.machine.phase;
        let about = super::story::About {
            environment: &self.shared.environment(),
            policy: &self.policy,
            rotation: &self.id,
            actor: &self.actor,
            snapshot: &self.snapshot,
            record,
            at,
        };
        let channels = self.shared.channels();
        let mut erase = Vec::new();
        if facts.iter().any(|fact| matches!(fact, Fact::Superseded { .. })) {
            // What was made before is not what will be made now.
            let names = self.values.made.outputs.keys().map(|name| format!("made.{name}"));
            let slots = names.chain([String::from("made"), super::effects::reply_slot(record)]);
            erase.extend(slots.map(|slot| (self.id.clone(), Some(slot))));
        }
        if phase == Phase::Closed {
            erase.push((self.id.clone(), None));
        } else if record.machine.leg.as_ref().is_some_and(|leg| leg.deployed_at.is_some())
            && self.record.machine.leg.as_ref().is_none_or(|leg| leg.deployed_at.is_none())
        {
            // Parsed, written everywhere and read back: the raw reply has done its work.
            erase.push((self.id.clone(), Some(super::effects::reply_slot(record))));
        }
        Ok(Commit {
            rotation: Some(RotationWrite {
                id: self.id.clone(),
                policy: self.policy.clone(),
                expected: Some(self.rev),
                state: serde_json::to_string(record).map_err(|error| error.to_string())?,
                plan: self.plan_to_write()?,
                phase: phase.label().to_owned(),
                closed: phase == Phase::Closed,
            }),
            policies: state.map(|state| self.shared.policy_write(&self.policy, state)).into_iter().collect(),
            seal: seal
                .iter()
                .map(|(slot, value)| SealWrite { rotation: self.id.clone(), slot: slot.clone(), value: value.duplicate() })
                .collect(),
            erase,
            keys: super::story::keys(&about, facts),
            history: super::story::history(&about, facts),
            alerts: super::story::alerts(&about, facts, &channels),
            ..Commit::default()
        })
    }

    /// The plan, where it is not the one that the ledger has.
    fn plan_to_write(&self) -> Result<Option<String>, String> {
        if self.kept.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, &self.snapshot)) {
            return Ok(None);
        }
        serde_json::to_string(self.snapshot.as_ref()).map(Some).map_err(|error| error.to_string())
    }

    /// What the policy's own state becomes with this step; `None` = as it was.
    fn policy_after(&self, record: &Record, facts: &[Fact], at: Stamp) -> Option<PolicyState> {
        let mut state = self.shared.policy_state(&self.policy)?;
        let before = state.clone();
        for fact in facts {
            match fact {
                Fact::Cutover if !record.machine.swapped => state.rotated_at = Some(at),
                Fact::Closed { .. } => {
                    if let Some(new) = &record.machine.new {
                        let key = record.new_key();
                        state.current = Some(Box::new(cutover_api::KeyRecord {
                            fingerprint: Some(cutover_api::Fingerprint(new.fingerprint.clone())),
                            ..key.clone()
                        }));
                        state.ours = if record.machine.swapped { before.ours } else { true };
                    }
                }
                _ => {}
            }
        }
        (state != before).then_some(state)
    }

    pub(super) fn publish(&self) {
        self.shared.publish(&self.policy, &self.id, &self.record, &self.snapshot);
    }
}
