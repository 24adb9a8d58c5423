//! What people order: rotations, and the verbs that decide one under way.

use std::sync::Arc;

use cutover_api::Stamp;
use cutover_config::Selector;
use cutover_ledger::{Commit, HistoryEntry};
use cutover_machine::event::Order;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::run::Ordered;
use super::story::KnownKey;
use super::{Engine, Opening};

/// One rotation that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The policy.
    pub policy: String,
    /// The rotation, if it was started (or is the one under way).
    pub rotation: Option<String>,
    /// Why it was not started.
    pub refused: Option<String>,
}

/// Rotations that are opened at the same time: their commits share disk barriers.
pub(super) struct Openings {
    places: Arc<Semaphore>,
    tasks: Vec<(usize, JoinHandle<Result<String, String>>)>,
}

/// Openings at the same time.
const OPENINGS: usize = 128;

impl Default for Openings {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(OPENINGS)), tasks: Vec::new() }
    }
}

impl Openings {
    /// Opens a rotation; `place` tells it from the others.
    pub(super) fn begin(&mut self, engine: &Engine, place: usize, policy: &str, opening: Opening) {
        let (engine, places, policy) = (engine.clone(), Arc::clone(&self.places), policy.to_owned());
        // Nobody may be waiting any more: what was begun is ended all the same.
        let task = engine.tasks.clone().spawn(async move {
            let _place = places.acquire_owned().await;
            engine.open_rotation(&policy, opening).await
        });
        self.tasks.push((place, task));
    }

    /// Waits for all of them; `turned` is told of each.
    pub(super) async fn all(self, turned: impl Fn()) -> Vec<(usize, Result<String, String>)> {
        let mut all = Vec::with_capacity(self.tasks.len());
        for (place, task) in self.tasks {
            let opened = task.await;
            all.push((
                place,
                opened.unwrap_or_else(|error| Err(format!("its start ended by itself ({error}): look at `status`"))),
            ));
            turned();
        }
        all
    }
}

/// Why an order was not taken. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRefused {
    /// For the person who gave it.
    pub reason: String,
}

impl Engine {
    /// Starts a rotation of every selected policy that has none under way.
    pub async fn rotate(&self, selector: &Selector, actor: &str, reason: Option<&str>) -> Vec<Started> {
        let mut started = Vec::new();
        let mut openings = Openings::default();
        for policy in self.selected(selector) {
            let refused =
                |rotation: Option<String>, why: String| Started { policy: policy.clone(), rotation, refused: Some(why) };
            if let Some(open) = self.open_rotation_of(&policy) {
                let why = "a rotation is under way already: a second one would end the key it has just made".to_owned();
                started.push(refused(Some(open), why));
                continue;
            }
            if self.shared.behind() {
                let why =
                    "the ledger is older than the one that was in use here: look with `cutover keys`, then `cutover resume`";
                started.push(refused(None, why.to_owned()));
                continue;
            }
            if self.shared.frozen() {
                started.push(refused(None, "the clock has stepped: confirm it with `cutover resume` first".to_owned()));
                continue;
            }
            let now = self.shared.clock.now();
            if !self.may_start(now) {
                started.push(refused(None, "max_starts_per_hour is reached: it can be started later".to_owned()));
                continue;
            }
            let opening =
                Opening { actor: actor.to_owned(), reason: reason.map(ToOwned::to_owned), scheduled: false, emergency: None };
            openings.begin(self, started.len(), &policy, opening);
            started.push(Started { policy, rotation: None, refused: None });
        }
        for (place, opened) in openings.all(|| {}).await {
            match opened {
                Ok(id) => started[place].rotation = Some(id),
                Err(detail) => started[place].refused = Some(detail),
            }
        }
        started
    }

    /// The rotation of a policy that is under way.
    #[must_use]
    pub fn open_rotation_of(&self, policy: &str) -> Option<String> {
        if let Some(stuck) = self.shared.stuck_rotation(policy) {
            return Some(stuck);
        }
        self.shared.inbox(policy)?;
        self.shared.view(policy).map(|view| view.rotation).or_else(|| self.shared.policy_state(policy)?.rotation)
    }

    /// A person's order to the rotation of a policy. `rotation`: the id the person means; another one under way is refused.
    ///
    /// # Errors
    /// Why it was not taken; nothing has changed.
    pub async fn order(
        &self,
        policy: &str,
        rotation: Option<&str>,
        order: Order,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<String, OrderRefused> {
        let refuse = |reason: String| OrderRefused { reason };
        let (open, inbox) = self.addressed(policy, rotation)?;
        let config = self.shared.config();
        let plan = match (&order, config.policies.get(policy)) {
            (Order::Resume, Some(policy)) => self.snapshot(&config, policy).ok().map(Box::new),
            _ => None,
        };
        let (reply, answer) = oneshot::channel();
        let reason = reason.map(ToOwned::to_owned);
        let ordered =
            Ordered { order, actor: actor.to_owned(), reason, plan, adopt: false, emergency: None, value: None, reply };
        let gone = || refuse(format!("rotation {open} has just ended"));
        inbox.send(ordered).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?.map_err(refuse)?;
        Ok(open)
    }

    /// The rotation of a policy that an order is for, and where it takes orders. `rotation`: the id the person means.
    ///
    /// # Errors
    /// There is none, or it is another.
    pub(super) fn addressed(
        &self,
        policy: &str,
        rotation: Option<&str>,
    ) -> Result<(String, mpsc::Sender<Ordered>), OrderRefused> {
        let refuse = |reason: String| Err(OrderRefused { reason });
        if !self.shared.config().policies.contains_key(policy) && self.shared.policy_state(policy).is_none() {
            return refuse(format!("there is no policy {policy}"));
        }
        let Some(inbox) = self.shared.inbox(policy) else {
            return refuse(format!("policy {policy} has no rotation under way"));
        };
        let open = self.open_rotation_of(policy).unwrap_or_default();
        if let Some(meant) = rotation
            && meant != open
        {
            return refuse(format!("rotation {meant} is not the one under way: that is {open}"));
        }
        Ok((open, inbox))
    }

    /// `adopt`: idle, the key that stands in the targets counts as the one in use and as ours (`id` names it at the provider); held for
    /// drift, what stands there counts as known, and the rotation goes on and writes its own key over it.
    ///
    /// # Errors
    /// Why it was not taken; nothing has changed.
    pub async fn adopt(
        &self,
        policy: &str,
        rotation: Option<&str>,
        id: Option<&str>,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<String, OrderRefused> {
        let refuse = |reason: String| OrderRefused { reason };
        if let Some(inbox) = self.shared.inbox(policy) {
            let open = self.open_rotation_of(policy).unwrap_or_default();
            let held = self.shared.view(policy).and_then(|view| view.record.machine.held.clone()).map(|held| held.why);
            if rotation.is_some_and(|meant| meant != open) {
                return Err(refuse(format!("that rotation is not the one under way: that is {open}")));
            }
            if matches!(held, Some(cutover_machine::state::Why::Preflight(_))) {
                // Nothing has happened yet: as when it is idle, and then the preflight looks again.
                self.adopt_idle(policy, id, actor, reason).await.map_err(refuse)?;
                return self.order(policy, Some(&open), Order::Resume, actor, reason).await;
            }
            if id.is_some() || !matches!(held, Some(cutover_machine::state::Why::Drift { .. })) {
                return Err(refuse(String::from(
                    "adopt is for a policy that is idle or held in preflight, or --from-target for one held for drift",
                )));
            }
            let (reply, answer) = oneshot::channel();
            let reason = reason.map(ToOwned::to_owned);
            let ordered = Ordered {
                order: Order::Resume,
                actor: actor.to_owned(),
                reason,
                plan: None,
                adopt: true,
                emergency: None,
                value: None,
                reply,
            };
            let gone = || refuse(format!("rotation {open} has just ended"));
            inbox.send(ordered).await.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?.map_err(refuse)?;
            return Ok(open);
        }
        self.adopt_idle(policy, id, actor, reason).await.map_err(refuse)?;
        Ok(String::new())
    }

    async fn adopt_idle(&self, name: &str, id: Option<&str>, actor: &str, reason: Option<&str>) -> Result<(), String> {
        let shared = &self.shared;
        let config = shared.config();
        let policy = config.policies.get(name).ok_or_else(|| format!("there is no policy {name}"))?;
        // The id in the file names the key from before cutover, which need not be the one that stands there now.
        let snapshot = super::snapshot::Snapshot { adopt: None, ..self.snapshot(&config, policy)? };
        let plugins = shared.workshop().build(&snapshot)?;
        let now = shared.clock.now();
        let channels = shared.channels();
        let record = super::snapshot::Record::open(0, actor.to_owned(), None, now);
        let surveyor = super::survey::Surveyor {
            snapshot: &snapshot,
            plugins: &plugins,
            record: &record,
            current: None,
            channels: &channels,
            ledger: &shared.ledger,
            clock: shared.time(),
        };
        let mut key = surveyor.key_now().await.map_err(|wrong| super::cure::lines(&wrong))?;
        key.id = id.map(ToOwned::to_owned).or(key.id);
        let facts = serde_json::json!({ "id": key.id, "fingerprint": key.fingerprint, "reason": reason });
        let fingerprint = key.fingerprint.as_ref().map(|print| print.0.clone()).unwrap_or_default();
        let _one = shared.lock_policy(name).await;
        let mut state = shared.policy_state(name).ok_or_else(|| format!("policy {name} is not loaded"))?;
        state.current = Some(Box::new(key.clone()));
        state.ours = true;
        let commit = Commit {
            policies: vec![shared.policy_write(name, &state)],
            keys: vec![KnownKey { key, ours: true, dead: None, rotation: None, at: now }.row(name, fingerprint.clone())],
            history: vec![HistoryEntry::plain(now, Some(name), actor, "adopted", &facts)],
            ..Commit::default()
        };
        shared.ledger.commit(commit).await.map_err(|error| error.to_string())?;
        shared.put_policy_state(name, state);
        shared.know_key(name, fingerprint);
        Ok(())
    }

    /// The selected policies, by name.
    #[must_use]
    pub fn selected(&self, selector: &Selector) -> Vec<String> {
        let config = self.shared.config();
        selector.among(&config).into_iter().map(|policy| policy.name.clone()).collect()
    }

    /// Waits until something has changed in any rotation, or until `until`.
    pub async fn progressed(&self, until: Stamp) {
        let mut progress = self.shared.progress();
        tokio::select! {
            _ = progress.changed() => {}
            () = self.shared.clock.sleep_until(until) => {}
            () = self.shared.shutdown.cancelled() => {}
        }
    }
}
