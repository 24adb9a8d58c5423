//! What every rotation shares: configuration, ledger, clock, channels, what is known of the policies.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use cutover_api::{Clock, Stamp};
use cutover_config::Config;
use cutover_ledger::{Ledger, PolicyWrite};
use cutover_machine::event::Fact;
use tokio::sync::{Notify, RwLockWriteGuard, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::clock::EngineClock;
use super::emergency::Run;
use super::gate::Gate;
use super::gauges::Gauges;
use super::plugins::Workshop;
use super::run::Ordered;
use super::sanity::Mark;
use super::snapshot::{PolicyState, Record, Snapshot};
use super::states::{Lock, Locks, Policies};
use super::times::{stamp, timestamp};
use super::turns::Turns;
use crate::alert::Channels;

/// A rotation as others see it.
#[derive(Clone)]
pub struct View {
    /// Its id.
    pub rotation: String,
    /// Its record.
    pub record: Arc<Record>,
    /// Its plan.
    pub snapshot: Arc<Snapshot>,
}

/// What every rotation shares.
pub struct Shared {
    config: RwLock<Arc<Config>>,
    workshop: RwLock<Arc<Workshop>>,
    channels: RwLock<Channels>,
    /// The ledger.
    pub ledger: Arc<dyn Ledger>,
    /// The clock.
    pub clock: Arc<dyn EngineClock>,
    /// Calls under way.
    pub in_flight: Arc<Semaphore>,
    /// Equal hooks.
    pub gate: Gate,
    /// What monitoring asks for.
    pub gauges: Gauges,
    /// When it was made.
    pub started_at: Stamp,
    /// That the drain loop turns.
    pub turns: Turns,
    /// The daemon ends.
    pub shutdown: CancellationToken,
    policies: Mutex<Policies>,
    known: Mutex<BTreeMap<String, Vec<String>>>,
    views: Mutex<BTreeMap<String, View>>,
    inboxes: Mutex<BTreeMap<String, mpsc::Sender<Ordered>>>,
    names: Mutex<BTreeMap<String, String>>,
    stuck: Mutex<BTreeMap<String, String>>,
    locks: Locks,
    mark: Mutex<(Mark, Option<Stamp>)>,
    thaw: AtomicBool,
    confirmed: Notify,
    wake: Notify,
    ordered: Notify,
    emergencies: Mutex<BTreeMap<String, Run>>,
    keeping: tokio::sync::Mutex<()>,
    alerts: Notify,
    changed: Notify,
    progress: watch::Sender<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Everything shared, with nothing known yet.
    #[must_use]
    pub fn new(
        config: Arc<Config>,
        workshop: Workshop,
        channels: Channels,
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn EngineClock>,
    ) -> Self {
        let mark = Mutex::new((Mark::sane(clock.as_ref()), None));
        let started_at = clock.now();
        Self {
            in_flight: Arc::new(Semaphore::new(config.daemon.max_in_flight.max(1))),
            config: RwLock::new(config),
            workshop: RwLock::new(Arc::new(workshop)),
            channels: RwLock::new(channels),
            ledger,
            clock,
            gate: Gate::default(),
            gauges: Gauges::default(),
            started_at,
            turns: Turns::default(),
            shutdown: CancellationToken::new(),
            policies: Mutex::default(),
            known: Mutex::default(),
            views: Mutex::default(),
            inboxes: Mutex::default(),
            names: Mutex::default(),
            stuck: Mutex::default(),
            locks: Locks::default(),
            mark,
            thaw: AtomicBool::new(false),
            confirmed: Notify::new(),
            wake: Notify::new(),
            ordered: Notify::new(),
            emergencies: Mutex::default(),
            keeping: tokio::sync::Mutex::default(),
            alerts: Notify::new(),
            changed: Notify::new(),
            progress: watch::Sender::new(0),
        }
    }

    /// The clock, for plugins.
    #[must_use]
    pub fn time(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// The configuration loaded now.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The workshop of the catalogue loaded now.
    #[must_use]
    pub fn workshop(&self) -> Arc<Workshop> {
        Arc::clone(&self.workshop.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The channels loaded now.
    #[must_use]
    pub fn channels(&self) -> Channels {
        self.channels.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a new configuration over.
    pub fn reconfigure(&self, config: Arc<Config>, workshop: Workshop, channels: Channels) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        *self.workshop.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(workshop);
        *self.channels.write().unwrap_or_else(PoisonError::into_inner) = channels;
        self.changed.notify_waiters();
        self.wake.notify_one();
    }

    /// `[daemon] name`.
    #[must_use]
    pub fn environment(&self) -> String {
        self.config().daemon.name.clone()
    }

    /// When the policy's window is open next; now, for a policy without a window or one that was removed.
    #[must_use]
    pub fn window(&self, policy: &str, at: Stamp) -> Stamp {
        let config = self.config();
        let Some(policy) = config.policies.get(policy) else { return at };
        let now = timestamp(at);
        if policy.schedule.is_open(now) {
            return at;
        }
        policy.schedule.next_opening(now).map_or(at, stamp)
    }

    /// Nothing starts and no key is ended: the clock has stepped, or the ledger is older than it should be, and no person has answered.
    #[must_use]
    pub fn frozen(&self) -> bool {
        self.clock_frozen() || self.behind()
    }

    /// The clock has stepped and nobody has confirmed it.
    #[must_use]
    pub fn clock_frozen(&self) -> bool {
        let mark = &lock(&self.mark).0;
        mark.told_frozen() || !mark.holds(self.clock.as_ref())
    }

    /// What is known of the clock.
    #[must_use]
    pub fn clock_mark(&self) -> Mark {
        lock(&self.mark).0.clone()
    }

    /// From now on this is known of the clock.
    pub fn mark_clock(&self, mark: Mark) {
        lock(&self.mark).0 = mark;
    }

    /// When it was last written down.
    #[must_use]
    pub fn clock_noted(&self) -> Option<Stamp> {
        lock(&self.mark).1
    }

    /// It was written down.
    pub fn clock_was_noted(&self, at: Stamp) {
        lock(&self.mark).1 = Some(at);
    }

    /// The clock was frozen or thawed: everything is looked at again.
    pub fn clock_moved(&self) {
        self.changed.notify_waiters();
        self.wake.notify_one();
    }

    /// Returns when a person has confirmed the clock.
    pub async fn confirmed(&self) {
        self.confirmed.notified().await;
    }

    /// A person has confirmed the clock as it is now.
    pub fn thaw(&self) {
        self.thaw.store(true, Ordering::SeqCst);
        self.confirmed.notify_one();
    }

    /// Whether a person has confirmed the clock since the last time this was asked.
    pub fn take_thaw(&self) -> bool {
        self.thaw.swap(false, Ordering::SeqCst)
    }

    /// The daemon ends.
    #[must_use]
    pub fn stopping(&self) -> bool {
        self.shutdown.is_cancelled()
    }

    /// Returns when something that every rotation depends on has changed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Returns when the schedule is to be looked at again.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// The schedule is to be looked at again.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Looks at the emergency orders, or changes them; the oldest first by name.
    pub fn with_emergencies<T>(&self, with: impl FnOnce(&mut BTreeMap<String, Run>) -> T) -> T {
        with(&mut lock(&self.emergencies))
    }

    /// The turn to write an emergency order that is there already: held from the look at it until what was written is in memory, too, so
    /// that nobody writes over what somebody else has just added.
    pub async fn keeping_emergencies(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.keeping.lock().await
    }

    /// An emergency was ordered.
    pub fn emergency_ordered(&self) {
        self.ordered.notify_one();
    }

    /// Returns when an emergency was ordered.
    pub async fn emergency(&self) {
        self.ordered.notified().await;
    }

    /// The outbox is to be looked at again.
    pub fn alerts_waiting(&self) {
        self.alerts.notify_one();
    }

    /// Returns when the outbox is to be looked at again.
    pub async fn alerts(&self) {
        self.alerts.notified().await;
    }

    /// Changes with every step of every rotation.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<u64> {
        self.progress.subscribe()
    }

    /// Waits for the lock of a policy: held while its state is read, changed and written, or a rotation of it is opened, one at a time.
    pub async fn lock_policy(&self, policy: &str) -> Lock<'_> {
        self.locks.of(policy).await
    }

    /// Waits for the locks of all policies.
    pub async fn lock_policies(&self) -> RwLockWriteGuard<'_, ()> {
        self.locks.of_all().await
    }

    /// A policy's state.
    #[must_use]
    pub fn policy_state(&self, policy: &str) -> Option<PolicyState> {
        lock(&self.policies).states.get(policy).cloned()
    }

    /// Every policy's state.
    #[must_use]
    pub fn policy_states(&self) -> BTreeMap<String, PolicyState> {
        lock(&self.policies).states.iter().map(|(name, state)| (name.to_string(), state.clone())).collect()
    }

    /// Looks at every policy's state without copying it.
    pub fn with_policy_states<T>(&self, look: impl FnOnce(&BTreeMap<Arc<str>, PolicyState>) -> T) -> T {
        look(&lock(&self.policies).states)
    }

    /// The policies whose date is not after `now`, the eldest date first, and when the next one after it is.
    #[must_use]
    pub fn dates(&self, now: Stamp) -> (Vec<Arc<str>>, Stamp) {
        lock(&self.policies).dates(now)
    }

    /// Keeps a policy's state in memory; the ledger has it already.
    pub fn put_policy_state(&self, policy: &str, state: PolicyState) {
        lock(&self.policies).put(policy, state);
    }

    /// A policy is known under another name from now on.
    pub fn rename(&self, from: &str, to: &str) {
        let mut known = lock(&self.known);
        if let Some(keys) = known.remove(from) {
            known.insert(to.to_owned(), keys);
        }
        drop(known);
        lock(&self.policies).remove(from);
        let view = lock(&self.views).remove(from);
        if let Some(view) = view {
            lock(&self.names).insert(view.rotation.clone(), to.to_owned());
            lock(&self.views).insert(to.to_owned(), view);
        }
        let inbox = lock(&self.inboxes).remove(from);
        if let Some(inbox) = inbox {
            lock(&self.inboxes).insert(to.to_owned(), inbox);
        }
        self.changed.notify_waiters();
    }

    /// The name a rotation's policy has been given since it was last asked.
    #[must_use]
    pub fn renamed(&self, rotation: &str) -> Option<String> {
        lock(&self.names).remove(rotation)
    }

    /// A policy's open rotation cannot go on: nothing else is started for it.
    pub fn stuck(&self, policy: &str, rotation: &str) {
        lock(&self.stuck).insert(policy.to_owned(), rotation.to_owned());
    }

    /// The open rotation of a policy that cannot go on.
    #[must_use]
    pub fn stuck_rotation(&self, policy: &str) -> Option<String> {
        lock(&self.stuck).get(policy).cloned()
    }

    /// A policy's state as the ledger takes it.
    #[must_use]
    pub fn policy_write(&self, policy: &str, state: &PolicyState) -> PolicyWrite {
        PolicyWrite {
            name: policy.to_owned(),
            state: serde_json::to_string(state).unwrap_or_default(),
            due_at: state.due.map(|(_, at)| at),
        }
    }

    /// The fingerprints of every key a policy has had.
    #[must_use]
    pub fn known_keys(&self, policy: &str) -> Vec<String> {
        lock(&self.known).get(policy).cloned().unwrap_or_default()
    }

    /// Remembers a key.
    pub fn know_key(&self, policy: &str, fingerprint: String) {
        lock(&self.known).entry(policy.to_owned()).or_default().push(fingerprint);
    }

    /// Remembers the keys that facts made known.
    pub fn learned(&self, policy: &str, facts: &[Fact]) {
        for fact in facts {
            if let Fact::Minted { fingerprint, .. } = fact {
                self.know_key(policy, fingerprint.clone());
            }
        }
    }

    /// Shows a rotation to others.
    pub fn publish(&self, policy: &str, rotation: &str, record: &Arc<Record>, snapshot: &Arc<Snapshot>) {
        let view = View { rotation: rotation.to_owned(), record: Arc::clone(record), snapshot: Arc::clone(snapshot) };
        lock(&self.views).insert(policy.to_owned(), view);
        self.progress.send_modify(|n| *n += 1);
    }

    /// The rotation of a policy that is under way, or its last one since the start.
    #[must_use]
    pub fn view(&self, policy: &str) -> Option<View> {
        lock(&self.views).get(policy).cloned()
    }

    /// A rotation that is under way or was the last of its policy since the start, whatever the policy is called now.
    #[must_use]
    pub fn view_of(&self, rotation: &str) -> Option<View> {
        lock(&self.views).values().find(|view| view.rotation == rotation).cloned()
    }

    /// Where a policy's rotation takes orders.
    #[must_use]
    pub fn inbox(&self, policy: &str) -> Option<mpsc::Sender<Ordered>> {
        lock(&self.inboxes).get(policy).filter(|inbox| !inbox.is_closed()).cloned()
    }

    /// A policy's rotation takes orders here.
    pub fn open_inbox(&self, policy: &str, inbox: mpsc::Sender<Ordered>) {
        lock(&self.inboxes).insert(policy.to_owned(), inbox);
    }

    /// The policies with a rotation under way.
    #[must_use]
    pub fn under_way(&self) -> Vec<String> {
        let inboxes = lock(&self.inboxes);
        let open = inboxes.iter().filter(|(_, inbox)| !inbox.is_closed()).map(|(policy, _)| policy.clone());
        open.chain(lock(&self.stuck).keys().cloned()).collect()
    }

    /// Whether a policy has a rotation under way.
    #[must_use]
    pub fn is_under_way(&self, policy: &str) -> bool {
        self.inbox(policy).is_some() || self.stuck_rotation(policy).is_some()
    }
}
