//! Drives one rotation: what is due → commit the intent → call → commit the outcome.

use std::sync::Arc;

use cutover_api::{Intent, Stamp};
use cutover_machine::event::{Answer, Class, Order};
use cutover_machine::state::Call;
use cutover_machine::{Due, Effect, Event, Now, Span, due};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, warn};

use super::effects::{Landed, Learn, Performer, again, hook_vars};
use super::ids;
use super::plugins::Plugins;
use super::shared::Shared;
use super::snapshot::{Record, Snapshot};
use super::survey::Surveyor;
use super::values::Values;

/// A person's order to one rotation.
pub struct Ordered {
    /// What.
    pub order: Order,
    /// Who.
    pub actor: String,
    /// Why, if said.
    pub reason: Option<String>,
    /// The plan of the configuration loaded now, for `resume`.
    pub plan: Option<Box<Snapshot>>,
    /// `adopt --from-target`: what stands in the targets now counts as known.
    pub adopt: bool,
    /// Taken, or refused with the reason.
    pub reply: oneshot::Sender<Result<(), String>>,
}

/// Why a runner stops.
#[derive(Debug)]
pub enum Stop {
    /// Nothing is left to do.
    Closed,
    /// The daemon ends; the ledger has everything.
    Shutdown,
    /// The ledger does not take commits: nothing may be done any more.
    Ledger(String),
}

/// Drives one rotation.
pub struct Runner {
    pub(super) shared: Arc<Shared>,
    pub(super) id: String,
    pub(super) policy: String,
    pub(super) rev: u64,
    pub(super) record: Arc<Record>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) plugins: Arc<Plugins>,
    pub(super) values: Arc<Values>,
    pub(super) inbox: mpsc::Receiver<Ordered>,
    pub(super) actor: String,
}

impl Runner {
    /// A runner for a rotation as it stands in the ledger.
    ///
    /// # Errors
    /// The sealed values do not open, or its plugins cannot be built.
    pub async fn open(
        shared: Arc<Shared>,
        id: String,
        rev: u64,
        record: Record,
        snapshot: Snapshot,
        inbox: mpsc::Receiver<Ordered>,
    ) -> Result<Self, String> {
        let plugins = shared.workshop().build(&snapshot)?;
        let mut runner = Self {
            policy: snapshot.policy.clone(),
            actor: record.actor.clone(),
            shared,
            id,
            rev,
            record: Arc::new(record),
            snapshot: Arc::new(snapshot),
            plugins: Arc::new(plugins),
            values: Arc::new(Values::default()),
            inbox,
        };
        runner.open_values().await?;
        Ok(runner)
    }

    pub(super) async fn open_values(&mut self) -> Result<(), String> {
        let outputs = self.plugins.account.provider.outputs();
        let mut names: Vec<String> = outputs.into_iter().filter(|(_, secret)| *secret).map(|(name, _)| name).collect();
        // Parts of the key in use are sealed by name too, as they stood in the targets.
        names.extend(self.snapshot.targets.iter().flat_map(super::values::current_fields).map(|(_, name)| name));
        names.sort();
        names.dedup();
        names.retain(|name| name != "secret");
        let values = Values::open(self.shared.ledger.as_ref(), &self.id, &names).await.map_err(|error| error.to_string())?;
        self.values = Arc::new(values);
        Ok(())
    }

    /// The engine found this row at its start.
    ///
    /// # Errors
    /// Why it stops.
    pub async fn restarted(&mut self) -> Result<(), Stop> {
        self.step(Event::Restarted.into()).await
    }

    pub(super) fn now(&self) -> Now {
        let at = self.shared.clock.now();
        Now { at, window: self.shared.window(&self.policy, at), frozen: self.shared.frozen() }
    }

    /// Drives it until it is closed or the daemon ends.
    pub async fn run(mut self) -> Stop {
        loop {
            if self.shared.stopping() {
                return Stop::Shutdown;
            }
            if let Some(name) = self.shared.renamed(&self.id) {
                self.policy.clone_from(&name);
                let mut snapshot = (*self.snapshot).clone();
                snapshot.policy = name;
                self.snapshot = Arc::new(snapshot);
                self.publish();
            }
            let result = match due(&self.record.machine, &self.snapshot.plan, self.now()) {
                Due::Rest => return Stop::Closed,
                Due::Tell => self.step(Event::Woke.into()).await,
                Due::Call(effect) => self.call(effect).await,
                Due::Sleep(until) | Due::Ask(_, until) => self.wait(until).await,
            };
            if let Err(stop) = result {
                return stop;
            }
        }
    }

    async fn wait(&mut self, until: Stamp) -> Result<(), Stop> {
        let shared = Arc::clone(&self.shared);
        tokio::select! {
            () = shared.clock.sleep_until(until) => Ok(()),
            () = shared.changed() => Ok(()),
            () = shared.shutdown.cancelled() => Err(Stop::Shutdown),
            ordered = self.inbox.recv() => match ordered {
                Some(ordered) => self.ordered(ordered).await,
                None => Err(Stop::Shutdown),
            },
        }
    }

    async fn ordered(&mut self, ordered: Ordered) -> Result<(), Stop> {
        let Ordered { order, actor, reason, plan, adopt, reply } = ordered;
        let event = Event::Ordered(order);
        if let Err(illegal) = cutover_machine::decide(event.clone(), &self.record.machine, &self.snapshot.plan, self.now()) {
            let _ = reply.send(Err(illegal.to_string()));
            return Ok(());
        }
        if let Some(plan) = plan {
            self.replan(*plan);
        }
        let before = std::mem::replace(&mut self.actor, actor);
        let mut landed = Landed::from(event);
        landed.learn.push(Learn::Reason(reason));
        if adopt {
            let recorded = self.performer_job(|performer| Box::pin(async move { performer.targets().recorded().await })).await;
            landed.learn.push(Learn::Recorded(recorded));
        }
        let result = self.step(landed).await;
        self.actor = before;
        let _ = reply.send(result.as_ref().copied().map_err(|stop| format!("{stop:?}")));
        result
    }

    /// `resume`: targets, redeploy, verify and alert of the configuration loaded now; the provider stays as it was planned.
    fn replan(&mut self, now: Snapshot) {
        let mut snapshot = (*self.snapshot).clone();
        let same_targets = snapshot.targets.len() == now.targets.len();
        if !same_targets && self.record.machine.leg.is_some() {
            warn!(
                policy = self.policy,
                rotation = self.id,
                "the targets are others now: the rotation goes on with those it began with"
            );
        } else {
            snapshot.targets = now.targets;
            snapshot.plan.targets = now.plan.targets;
            snapshot.stores = now.stores;
        }
        let same_verifies = snapshot.plan.verifies.len() == now.plan.verifies.len();
        if same_verifies || self.record.machine.leg.is_none() {
            snapshot.verifies = now.verifies;
            snapshot.plan.verifies = now.plan.verifies;
        }
        let anew = snapshot.hooks != now.hooks || snapshot.verifies != self.snapshot.verifies;
        snapshot.hooks = now.hooks;
        snapshot.plan.hooks = now.plan.hooks;
        snapshot.notify = now.notify;
        snapshot.plan.thresholds = now.plan.thresholds;
        match self.shared.workshop().build(&snapshot) {
            Ok(plugins) => {
                if anew {
                    // Other hooks or verifies: what the ones before did or saw says nothing for these.
                    let mut record = (*self.record).clone();
                    record.machine.deploy_anew(&snapshot.plan);
                    self.record = Arc::new(record);
                }
                self.plugins = Arc::new(plugins);
                self.snapshot = Arc::new(snapshot);
            }
            Err(detail) => {
                warn!(policy = self.policy, rotation = self.id, detail, "the new plan cannot be used; the old one stays")
            }
        }
    }

    /// Makes the call that is due: guard, intent, call, outcome.
    async fn call(&mut self, effect: Effect) -> Result<(), Stop> {
        let shared = Arc::clone(&self.shared);
        // A hook may take minutes and is bounded by the gate: it takes no call's place. Places are waited for before the intent: from
        // its deadline on a call must not land any more.
        let hook = matches!(effect, Effect::Hook { .. });
        let flight = if hook { None } else { Some(self.meanwhile(shared.in_flight.acquire()).await?) };
        if matches!(flight, Some(Err(_))) {
            return Err(Stop::Shutdown);
        }
        let line = Arc::clone(&self.plugins.account);
        let asks_provider = !matches!(effect, Effect::Hook { .. } | Effect::Write { .. } | Effect::ReadReply);
        let place = if asks_provider { Some(self.meanwhile(line.limit.clone().acquire_owned()).await?) } else { None };
        if matches!(place, Some(Err(_))) {
            return Err(Stop::Shutdown);
        }
        let paused = line.paused_until();
        if paused > shared.clock.now() && asks_provider {
            drop((flight, place));
            return self.wait(paused).await;
        }
        if effect.guarded() {
            let before = Arc::clone(&self.record);
            let holdings = self.performer_job(|performer| Box::pin(async move { performer.targets().holdings().await })).await;
            self.step(Event::Guarded(holdings).into()).await?;
            if before.machine != self.record.machine {
                return Ok(());
            }
        }
        let tried = again(&self.record.machine.call);
        if effect.needs_intent() {
            let deadline = self.deadline(&effect);
            self.intend(&effect, deadline).await?;
            // What was due may not be any more (the guard was slow, a survey went stale): nothing is sent without its intent.
            if !self.flying() {
                return Ok(());
            }
        }
        debug!(policy = self.policy, rotation = self.id, effect = effect.label(), "calling");
        let landed = match &effect {
            Effect::Survey => self.survey().await,
            Effect::Hook { hook, leg, .. } => self.hook(*hook, *leg, tried).await?,
            _ => self.perform(effect.clone()).await?,
        };
        self.step(landed).await
    }

    /// After this a call cannot land any more: the plugins bound every call by its own total deadline.
    fn deadline(&self, effect: &Effect) -> Stamp {
        let plan = &self.snapshot.plan;
        let span = match effect {
            Effect::Mint | Effect::Replay => plan.provider.mint_timeout,
            Effect::Hook { hook, .. } => plan.hooks.get(*hook as usize).map_or(Span::minutes(10), |hook| hook.timeout),
            _ => Span::minutes(2),
        };
        self.shared.clock.now().plus(span).plus(Span::seconds(2))
    }

    /// Commits the intent to make a call.
    async fn intend(&mut self, effect: &Effect, deadline: Stamp) -> Result<(), Stop> {
        let mut landed = Landed::from(Event::Intended { effect: effect.clone(), deadline });
        if *effect == Effect::Mint {
            let intent = self.mint_intent().map_err(Stop::Ledger)?;
            landed.learn.push(Learn::Intent(intent));
            // The value we choose is sealed with the intent; a later intent of this rotation uses the same one.
            if self.snapshot.plan.provider.generates && self.values.made.secret.is_none() {
                let value = self.plugins.account.provider.generate();
                landed.seal.extend(value.map(|value| (String::from("made"), value)));
            }
        }
        self.step(landed).await
    }

    fn mint_intent(&self) -> Result<Intent, String> {
        let at = self.shared.clock.now();
        let plan = &self.snapshot.plan;
        let grace = plan.provider_ends_old().then(|| cutover_api::GraceAsked { span: plan.grace, until: at.plus(plan.grace) });
        let lifetime = self.plugins.account.provider.lifetime(self.snapshot.lifetime);
        Ok(Intent {
            rotation_id: self.id.clone(),
            uuid: ids::derived_uuid(&[&self.id]),
            nonce: ids::random_text(12)?,
            year: super::times::year(at, &self.snapshot.timezone),
            at,
            grace,
            lifetime: lifetime.map(|span| cutover_api::LifetimeAsked { span, until: at.plus(span) }),
        })
    }

    async fn survey(&self) -> Landed {
        let state = self.shared.policy_state(&self.policy);
        let current = state.as_ref().and_then(|state| state.current.as_ref().map(|key| (key, state.ours)));
        let channels = self.shared.channels();
        let surveyor = Surveyor {
            snapshot: &self.snapshot,
            plugins: &self.plugins,
            record: &self.record,
            current,
            channels: &channels,
            ledger: &self.shared.ledger,
            clock: self.shared.time(),
        };
        match surveyor.survey().await {
            Err(wrong) => Event::Surveyed(Err(wrong.join("\n"))).into(),
            Ok(found) => {
                for note in &found.notes {
                    warn!(policy = self.policy, rotation = self.id, note, "preflight");
                }
                let mut landed = Landed::from(Event::Surveyed(Ok(found.survey)));
                // After a first mint the key in use stays the one that was recorded before it.
                if self.record.machine.mint.intents == 0 {
                    let parts = found.values.outputs.into_iter();
                    landed.seal.extend(parts.map(|(name, value)| (format!("first.{name}"), value)));
                    landed.seal.extend(found.values.secret.map(|secret| (String::from("first"), secret)));
                    landed.learn =
                        vec![Learn::First(found.first), Learn::Recorded(found.recorded), Learn::Baseline(found.baseline)];
                }
                landed
            }
        }
    }

    async fn hook(&mut self, hook: u32, leg: u32, tried: cutover_api::Again) -> Result<Landed, Stop> {
        let (plugins, shared) = (Arc::clone(&self.plugins), Arc::clone(&self.shared));
        let vars = hook_vars(&self.id, &self.snapshot, &self.record, leg, hook);
        let job = async move {
            let Some((table, plugin)) = plugins.hooks.get(hook as usize) else {
                return Answer::Unknown(String::from("the plan has no such hook"));
            };
            shared.gate.run(table, plugin.as_ref(), &vars, tried).await
        };
        Ok(Event::Hooked(hook, self.meanwhile(job).await?).into())
    }

    /// Makes a call to the provider or a store.
    async fn perform(&mut self, effect: Effect) -> Result<Landed, Stop> {
        let line = Arc::clone(&self.plugins.account);
        let job = self.performer_job(move |performer| Box::pin(async move { performer.perform(&effect).await }));
        let landed = self.meanwhile(job).await?;
        if let Some(wait) = throttled(&landed.event) {
            line.pause(self.shared.clock.now().plus(wait.min(Span::HOUR)));
        }
        Ok(landed)
    }

    /// Waits for a piece of work, while alarms still go off and a person is still answered.
    async fn meanwhile<T>(&mut self, job: impl Future<Output = T>) -> Result<T, Stop> {
        let mut job = std::pin::pin!(job);
        loop {
            let alarm = match due(&self.record.machine, &self.snapshot.plan, self.now()) {
                Due::Sleep(until) => until,
                Due::Tell if self.flying() => {
                    self.step(Event::Woke.into()).await?;
                    continue;
                }
                _ => Stamp::NEVER,
            };
            let shared = Arc::clone(&self.shared);
            tokio::select! {
                done = &mut job => return Ok(done),
                () = shared.clock.sleep_until(alarm) => {}
                Some(ordered) = self.inbox.recv() => self.ordered(ordered).await?,
            }
        }
    }

    /// Runs a piece of work that owns what it needs, so that the runner stays free meanwhile.
    fn performer_job<T, F>(&self, work: F) -> impl Future<Output = T> + use<T, F>
    where
        F: for<'a> FnOnce(&'a Performer<'a>) -> std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>,
    {
        let shared = Arc::clone(&self.shared);
        let (snapshot, record) = (Arc::clone(&self.snapshot), Arc::clone(&self.record));
        let (plugins, values) = (Arc::clone(&self.plugins), Arc::clone(&self.values));
        let (id, known) = (self.id.clone(), self.shared.known_keys(&self.policy));
        async move {
            let performer = Performer {
                rotation: &id,
                snapshot: &snapshot,
                record: &record,
                plugins: &plugins,
                values: &values,
                ledger: shared.ledger.as_ref(),
                clock: shared.time(),
                known: &known,
            };
            work(&performer).await
        }
    }

    /// Whether the intent of a call is committed and its outcome is not.
    fn flying(&self) -> bool {
        matches!(self.record.machine.call, Call::Flying { .. })
    }
}

/// The provider asked to wait for so long.
fn throttled(event: &Event) -> Option<Span> {
    fn of<T>(answer: &Answer<T>) -> Option<Span> {
        match answer {
            Answer::Refused(refused) if refused.class == Class::Throttle => refused.retry_after,
            _ => None,
        }
    }
    match event {
        Event::Replied(answer) | Event::Ended(answer) | Event::Discarded(_, answer) => of(answer),
        Event::Read(answer) => of(answer),
        Event::Found(answer) => of(answer),
        Event::Listed(answer) => of(answer),
        Event::Probed(answer) => of(answer),
        Event::Clock(answer) => of(answer),
        _ => None,
    }
}
