//! What is known of the policies, in the order of their dates, and who may change it.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use cutover_api::Stamp;
use tokio::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::snapshot::PolicyState;

/// What is known of every policy, and in what order they are due.
#[derive(Default)]
pub struct Policies {
    /// By name.
    pub states: BTreeMap<Arc<str>, PolicyState>,
    dates: BTreeSet<(Stamp, Arc<str>)>,
}

impl Policies {
    /// Forgets a policy.
    pub fn remove(&mut self, policy: &str) -> Option<PolicyState> {
        let (name, state) = self.states.remove_entry(policy)?;
        if let Some((_, at)) = state.due {
            self.dates.remove(&(at, name));
        }
        Some(state)
    }

    /// Keeps a policy's state.
    pub fn put(&mut self, policy: &str, state: PolicyState) {
        let name = match self.states.get_key_value(policy) {
            Some((name, before)) => {
                let name = Arc::clone(name);
                if let Some((_, at)) = before.due {
                    self.dates.remove(&(at, Arc::clone(&name)));
                }
                name
            }
            None => Arc::from(policy),
        };
        if let Some((_, at)) = state.due {
            self.dates.insert((at, Arc::clone(&name)));
        }
        self.states.insert(name, state);
    }

    /// The policies whose date is not after `now`, the eldest date first, and when the next one after it is.
    #[must_use]
    pub fn dates(&self, now: Stamp) -> (Vec<Arc<str>>, Stamp) {
        let mut due = Vec::new();
        for (at, name) in &self.dates {
            if *at > now {
                return (due, *at);
            }
            due.push(Arc::clone(name));
        }
        (due, Stamp::NEVER)
    }
}

/// Policies that share a lock by chance wait for each other: few enough to cost nothing, many enough that it is rare.
const LOCKS: usize = 256;

/// Who may read, change and write the state of which policy.
pub struct Locks {
    all: RwLock<()>,
    one: Vec<Mutex<()>>,
}

impl Default for Locks {
    fn default() -> Self {
        Self { all: RwLock::default(), one: std::iter::repeat_with(Mutex::default).take(LOCKS).collect() }
    }
}

impl Locks {
    /// Waits for the lock of one policy.
    pub async fn of(&self, policy: &str) -> Lock<'_> {
        let mut hash = DefaultHasher::new();
        policy.hash(&mut hash);
        let place = usize::try_from(hash.finish() % LOCKS as u64).unwrap_or(0);
        let all = self.all.read().await;
        Lock { _all: all, _one: self.one[place].lock().await }
    }

    /// Waits for the locks of all.
    pub async fn of_all(&self) -> RwLockWriteGuard<'_, ()> {
        self.all.write().await
    }
}

/// A lock; it is free again when this is dropped.
pub struct Lock<'a> {
    _all: RwLockReadGuard<'a, ()>,
    _one: MutexGuard<'a, ()>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cutover_api::Stamp;

    use super::super::snapshot::PolicyState;
    use super::{Locks, Policies};

    fn due(at: Option<i64>) -> PolicyState {
        PolicyState {
            identity: String::new(),
            schedule: String::new(),
            seed: String::new(),
            first_loaded: Stamp(0),
            since: Stamp(0),
            due: at.map(|at| (Stamp(at), Stamp(at))),
            current: None,
            ours: false,
            rotation: None,
            rotated_at: None,
            overdue_told: None,
            suspended: None,
        }
    }

    #[test]
    fn dates_follow_every_change_of_a_policy() {
        let mut policies = Policies::default();
        let dates = |policies: &Policies, now| {
            let (due, next) = policies.dates(Stamp(now));
            (due.iter().map(ToString::to_string).collect::<Vec<_>>(), next)
        };
        policies.put("b", due(Some(10)));
        policies.put("a", due(Some(20)));
        policies.put("c", due(None));
        assert_eq!(dates(&policies, 9), (vec![], Stamp(10)));
        assert_eq!(dates(&policies, 20), (vec!["b".to_owned(), "a".to_owned()], Stamp::NEVER));
        policies.put("b", due(Some(30)));
        assert_eq!(dates(&policies, 20), (vec!["a".to_owned()], Stamp(30)));
        policies.put("a", due(None));
        policies.put("c", due(Some(5)));
        assert_eq!(dates(&policies, 20), (vec!["c".to_owned()], Stamp(30)));
        assert!(policies.remove("c").is_some());
        assert_eq!(dates(&policies, 20), (vec![], Stamp(30)));
    }

    #[tokio::test]
    async fn a_policy_waits_for_itself_and_for_all_but_not_for_another() {
        let locks = Locks::default();
        let others: Vec<String> = (0..20).map(|n| format!("policy {n}")).collect();
        let held = locks.of("one").await;
        // With so many locks most others are free.
        let mut free = 0;
        for other in &others {
            free += usize::from(tokio::time::timeout(Duration::from_millis(1), locks.of(other)).await.is_ok());
        }
        assert!(free >= 15, "{free}");
        assert!(tokio::time::timeout(Duration::from_millis(1), locks.of("one")).await.is_err());
        assert!(tokio::time::timeout(Duration::from_millis(1), locks.of_all()).await.is_err());
        drop(held);
        let _all = locks.of_all().await;
        assert!(tokio::time::timeout(Duration::from_millis(1), locks.of("one")).await.is_err());
    }
}
