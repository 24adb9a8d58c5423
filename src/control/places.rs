//! Who may wait and who is answered, so that nobody who floods the socket keeps another from it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Connections whose request has not come yet; with one more the oldest of whoever has most of them goes.
pub(super) const WAITING: usize = 128;
/// Requests that are answered at once.
pub(super) const ANSWERED: usize = 32;
/// Of these, kept free for root and the daemon's own user.
const RESERVED: usize = 8;
/// Of these, for one user who is neither.
const ONE_USER: usize = 8;
/// A request that has come waits so long for a place.
const PATIENCE: Duration = Duration::from_secs(5);

/// The places at one socket.
pub(super) struct Places {
    state: Mutex<State>,
    all: Arc<Semaphore>,
    others: Arc<Semaphore>,
}

#[derive(Default)]
struct State {
    next: u64,
    waiting: VecDeque<Waiting>,
    answered: BTreeMap<u32, usize>,
}

struct Waiting {
    number: u64,
    uid: u32,
    evicted: CancellationToken,
}

/// A connection whose request has not come yet.
pub(super) struct Ticket {
    places: Arc<Places>,
    number: u64,
    evicted: CancellationToken,
}

/// A request that is answered.
pub(super) struct Place {
    places: Arc<Places>,
    uid: u32,
    _permits: [Option<OwnedSemaphorePermit>; 2],
}

impl Places {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            all: Arc::new(Semaphore::new(ANSWERED)),
            others: Arc::new(Semaphore::new(ANSWERED - RESERVED)),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection of this user waits with its request.
    pub(super) fn wait(self: &Arc<Self>, uid: u32) -> Ticket {
        let mut state = self.state();
        let (number, evicted) = (state.next, CancellationToken::new());
        state.next += 1;
        state.waiting.push_back(Waiting { number, uid, evicted: evicted.clone() });
        if state.waiting.len() > WAITING {
            state.evict();
        }
        drop(state);
        Ticket { places: Arc::clone(self), number, evicted }
    }

    /// A place for a request of this user; `None` = too many are answered already. `own`: root or the daemon's own user.
    pub(super) async fn answer(self: &Arc<Self>, uid: u32, own: bool) -> Option<Place> {
        {
            let mut state = self.state();
            let count = state.answered.entry(uid).or_default();
            if !own && *count >= ONE_USER {
                return None;
            }
            *count += 1;
        }
        // From here on the count goes with it.
        let mut place = Place { places: Arc::clone(self), uid, _permits: [None, None] };
        let permits = async {
            let other = if own { None } else { Arc::clone(&self.others).acquire_owned().await.ok() };
            [other, Arc::clone(&self.all).acquire_owned().await.ok()]
        };
        place._permits = tokio::time::timeout(PATIENCE, permits).await.ok()?;
        Some(place)
    }
}

impl State {
    /// The oldest connection of whoever has most of them goes.
    fn evict(&mut self) {
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        for waiting in &self.waiting {
            *counts.entry(waiting.uid).or_default() += 1;
        }
        let Some((most, _)) = counts.into_iter().max_by_key(|(_, count)| *count) else { return };
        let oldest = self.waiting.iter().position(|waiting| waiting.uid == most);
        if let Some(waiting) = oldest.and_then(|at| self.waiting.remove(at)) {
            waiting.evicted.cancel();
        }
    }
}

impl Ticket {
    /// Returns when the connection must go.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.places.state().waiting.retain(|waiting| waiting.number != self.number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.places.state();
        if let Some(count) = state.answered.get_mut(&self.uid) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                state.answered.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ANSWERED, ONE_USER, Places, RESERVED, WAITING};

    #[test]
    fn whoever_has_most_connections_loses_the_oldest() {
        let places = Places::new();
        let quiet = places.wait(7);
        let flood: Vec<_> = (0..1_000).map(|_| places.wait(8)).collect();
        assert!(!quiet.evicted.is_cancelled(), "one connection is kept through the flood of another user");
        let alive = flood.iter().filter(|ticket| !ticket.evicted.is_cancelled()).count();
        assert_eq!(alive, WAITING - 1);
        assert!(!flood[999].evicted.is_cancelled() && flood[0].evicted.is_cancelled());
        drop(flood);
        assert_eq!(places.state().waiting.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_user_never_has_all_places_and_root_always_finds_one() {
        let places = Places::new();
        let mut taken = Vec::new();
        for uid in [10, 11, 12] {
            for _ in 0..ONE_USER {
                taken.push(places.answer(uid, false).await.expect("a place"));
            }
            assert!(places.answer(uid, false).await.is_none());
        }
        assert_eq!(taken.len(), ANSWERED - RESERVED);
        assert!(places.answer(13, false).await.is_none(), "the rest is kept");
        let mut own = Vec::new();
        for _ in 0..RESERVED {
            own.push(places.answer(0, true).await.expect("kept free"));
        }
        assert!(places.answer(0, true).await.is_none());
        drop((taken, own));
        assert!(places.answer(13, false).await.is_some());
        assert!(places.state().answered.is_empty());
    }
}
