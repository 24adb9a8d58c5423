//! What monitoring asks the engine: what was counted since the start, which channels are silent, whether the loop still turns.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cutover_api::Stamp;
use cutover_machine::event::Fact;
use cutover_machine::state::End;
use jiff::Zoned;

use super::Engine;
use super::policies;
use crate::alert::Trouble;

/// What happened since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rotations that were started.
    pub started: u64,
    /// Cutovers: there was evidence for a new key.
    pub cutovers: u64,
    /// Mints whose effect was not known at first.
    pub doubts: u64,
    /// Rotations closed: the new key in use, the old one dead.
    pub done: u64,
    /// Rotations closed: the old key was not ours to end.
    pub old_left: u64,
    /// Rotations closed: the first key of a policy.
    pub first: u64,
    /// Rotations closed: given up by a person.
    pub abandoned: u64,
}

/// Counters and marks that the loops leave for whoever looks from outside.
#[derive(Default)]
pub struct Gauges {
    started: AtomicU64,
    cutovers: AtomicU64,
    doubts: AtomicU64,
    closed: [AtomicU64; 4],
    troubles: Mutex<Vec<Trouble>>,
}

impl Gauges {
    /// A rotation was started.
    pub fn started(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what a step told, once it is durable.
    pub fn count(&self, facts: &[Fact]) {
        for fact in facts {
            let counter = match fact {
                Fact::Cutover => &self.cutovers,
                Fact::InDoubt { .. } => &self.doubts,
                Fact::Closed { end: End::Done } => &self.closed[0],
                Fact::Closed { end: End::OldLeft } => &self.closed[1],
                Fact::Closed { end: End::First } => &self.closed[2],
                Fact::Closed { end: End::Abandoned } => &self.closed[3],
                _ => continue,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The channels that accept nothing at present.
    pub fn tell_troubles(&self, troubles: Vec<Trouble>) {
        *self.troubles.lock().unwrap_or_else(PoisonError::into_inner) = troubles;
    }
}

impl Engine {
    /// What happened since the start of the process.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let gauges = &self.shared.gauges;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [done, old_left, first, abandoned] = &gauges.closed;
        Totals {
            started: read(&gauges.started),
            cutovers: read(&gauges.cutovers),
            doubts: read(&gauges.doubts),
            done: read(done),
            old_left: read(old_left),
            first: read(first),
            abandoned: read(abandoned),
        }
    }

    /// The alert channels that accepted nothing when they were last tried.
    #[must_use]
    pub fn troubles(&self) -> Vec<Trouble> {
        self.shared.gauges.troubles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the loop that starts what is due turns: it is woken, and must come round or get on within `patience`. No clock is
    /// compared, so neither suspended time nor a clock step makes a live daemon look dead.
    pub async fn lives(&self, patience: Duration) -> bool {
        if self.shared.stopping() {
            return false;
        }
        let mut turns = self.shared.turns.watch();
        self.shared.wake();
        matches!(tokio::time::timeout(patience, turns.changed()).await, Ok(Ok(())))
    }

    /// The next `limit` dates of a policy in its own zone, window and jitter counted in. Empty for one that is not loaded.
    #[must_use]
    pub fn next_dates(&self, policy: &str, limit: usize) -> Vec<Zoned> {
        let config = self.shared.config();
        let found = config.policies.get(policy).zip(self.shared.policy_state(policy));
        found.map(|(policy, state)| policies::next_dates(policy, &state, limit)).unwrap_or_default()
    }

    /// When the engine was started.
    #[must_use]
    pub fn started_at(&self) -> Stamp {
        self.shared.started_at
    }
}

#[cfg(test)]
mod tests {
    use cutover_machine::event::Fact;
    use cutover_machine::state::End;

    use super::Gauges;

    #[test]
    fn every_end_has_its_counter() {
        let gauges = Gauges::default();
        let closed = |end| Fact::Closed { end };
        gauges.count(&[Fact::Cutover, closed(End::Done), closed(End::Abandoned), closed(End::Abandoned), Fact::Settled]);
        let read = |n: usize| gauges.closed[n].load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!([read(0), read(1), read(2), read(3)], [1, 0, 0, 2]);
        assert_eq!(gauges.cutovers.load(std::sync::atomic::Ordering::Relaxed), 1);
    }
}
