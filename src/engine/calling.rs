//! Makes the calls of one rotation: guard → intent → call → outcome, while alarms still go off and people are still answered.

use std::sync::Arc;

use cutover_api::{Intent, Stamp};
use cutover_machine::event::{Answer, Class, Order};
use cutover_machine::state::Call;
use cutover_machine::{Due, Effect, Event, Span, due};
use tracing::{debug, warn};

use super::effects::{Landed, Performer, again, hook_vars};
use super::ids;
use super::learn::Learn;
use super::run::{Places, Runner, Stop};
use super::survey::{Found, Surveyor, Wrong};

/// What became of a piece of work.
enum Meanwhile<T> {
    /// It is done.
    Done(T),
    /// An emergency came; nobody waits for it any more.
    Overruled,
}

impl<T> Meanwhile<T> {
    fn map<U>(self, with: impl FnOnce(T) -> U) -> Meanwhile<U> {
        match self {
            Self::Done(done) => Meanwhile::Done(with(done)),
            Self::Overruled => Meanwhile::Overruled,
        }
    }
}

impl Runner {
    /// Makes the call that is due: guard, intent, call, outcome.
    pub(super) async fn call(&mut self, effect: Effect) -> Result<(), Stop> {
        // A hook may take minutes and is bounded by the gate: it takes no call's place.
        let asks_provider = !matches!(effect, Effect::Hook { .. } | Effect::Write { .. } | Effect::ReadReply);
        if matches!(effect, Effect::Hook { .. }) {
            self.places = None;
        } else if !self.has_places(asks_provider) {
            // Others may have been before it for long: what is due is looked at anew, and has its places already.
            if !self.take_places(asks_provider).await? || self.due_now() != Due::Call(effect.clone()) {
                return Ok(());
            }
        }
        let called = self.call_in_place(effect, asks_provider).await;
        if !self.acts_on_it() {
            self.places = None;
        }
        called
    }

    fn has_places(&self, asks_provider: bool) -> bool {
        self.places.as_ref().is_some_and(|places| places.account.is_some() || !asks_provider)
    }

    fn due_now(&self) -> Due {
        due(&self.record.machine, &self.snapshot.plan, self.now())
    }

    /// Waits for its places among the calls under way. They are waited for before the intent: from its deadline on a call must not land
    /// any more. `false`: an emergency came instead.
    async fn take_places(&mut self, asks_provider: bool) -> Result<bool, Stop> {
        self.places = None;
        let account = asks_provider.then(|| Arc::clone(&self.plugins.account.limit));
        let all = Arc::clone(&self.shared.in_flight);
        let both = async move {
            // The account's first: those who wait for a slow account keep nobody else waiting.
            let account = match account {
                Some(limit) => Some(limit.acquire_owned().await.ok()?),
                None => None,
            };
            Some(Places { account, _all: all.acquire_owned().await.ok()? })
        };
        match self.meanwhile(both).await? {
            Meanwhile::Overruled => Ok(false),
            Meanwhile::Done(None) => Err(Stop::Shutdown),
            Meanwhile::Done(places) => {
                self.places = places;
                Ok(true)
            }
        }
    }

    /// From a look to the act that stands on it (survey and mint, last look and end of the old key) it keeps its places. So no more
    /// rotations of an account stand there than it takes calls at once, and none waits behind others until what it saw is stale: they
    /// would all look in turn and never act. In an emergency the cuts come before the mints, of all who wait.
    fn acts_on_it(&self) -> bool {
        matches!(self.due_now(), Due::Call(Effect::Mint | Effect::Deactivate | Effect::Revoke))
    }

    async fn call_in_place(&mut self, effect: Effect, asks_provider: bool) -> Result<(), Stop> {
        let shared = Arc::clone(&self.shared);
        let line = Arc::clone(&self.plugins.account);
        let paused = line.paused_until();
        if paused > shared.clock.now() && asks_provider {
            return self.wait(paused).await;
        }
        if asks_provider {
            self.credential = line.provider.credential_mark().await;
        }
        if self.record.machine.guards(&effect) {
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
            Effect::Survey => self.survey().await?,
            Effect::Hook { hook, leg, .. } => self.hook(*hook, *leg, tried).await?,
            _ => self.perform(effect.clone()).await?,
        };
        match landed {
            Meanwhile::Done(landed) => self.step(landed).await,
            Meanwhile::Overruled => Ok(()),
        }
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

    pub(super) fn mint_intent(&self) -> Result<Intent, String> {
        let at = self.shared.clock.now();
        let plan = &self.snapshot.plan;
        let asked = self.record.machine.grace_to_ask(plan);
        let grace = plan.provider_ends_old().then(|| cutover_api::GraceAsked { span: asked, until: at.plus(asked) });
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

    async fn survey(&mut self) -> Result<Meanwhile<Landed>, Stop> {
        let shared = Arc::clone(&self.shared);
        let (snapshot, record, plugins) = (Arc::clone(&self.snapshot), Arc::clone(&self.record), Arc::clone(&self.plugins));
        let policy = self.policy.clone();
        let job = async move {
            let state = shared.policy_state(&policy);
            let current = state.as_ref().and_then(|state| state.current.as_deref().map(|key| (key, state.ours)));
            let channels = shared.channels();
            let surveyor = Surveyor {
                snapshot: &snapshot,
                plugins: &plugins,
                record: &record,
                current,
                channels: &channels,
                ledger: &shared.ledger,
                clock: shared.time(),
            };
            if record.machine.emergency.is_some() { surveyor.survey_in_emergency().await } else { surveyor.survey().await }
        };
        Ok(self.meanwhile(job).await?.map(|found| self.surveyed(found)))
    }

    fn surveyed(&self, found: Result<Found, Wrong>) -> Landed {
        let found = match found {
            Ok(found) => found,
            Err(Wrong { findings, denied: true }) => return Event::Denied(super::cure::lines(&findings)).into(),
            Err(wrong) => return Event::Surveyed(Err(super::cure::lines(&wrong.findings))).into(),
        };
        for note in &found.notes {
            warn!(policy = self.policy, rotation = self.id, note = note.text, "preflight");
        }
        let mut landed = Landed::from(Event::Surveyed(Ok(found.survey)));
        // After a first mint the key in use stays the one that was recorded before it.
        if self.record.machine.mint.intents == 0 {
            let parts = found.values.outputs.into_iter();
            landed.seal.extend(parts.map(|(name, value)| (format!("first.{name}"), value)));
            landed.seal.extend(found.values.secret.map(|secret| (String::from("first"), secret)));
            landed.learn = self.asked(&found.first);
            landed.learn.extend([Learn::First(found.first), Learn::Recorded(found.recorded), Learn::Baseline(found.baseline)]);
        }
        landed
    }

    async fn hook(&mut self, hook: u32, leg: u32, tried: cutover_api::Again) -> Result<Meanwhile<Landed>, Stop> {
        let (plugins, shared) = (Arc::clone(&self.plugins), Arc::clone(&self.shared));
        let vars = hook_vars(&self.id, &self.snapshot, &self.record, leg, hook);
        let job = async move {
            let Some((table, plugin)) = plugins.hooks.get(hook as usize) else {
                return Answer::Unknown(String::from("the plan has no such hook"));
            };
            shared.gate.run(table, plugin.as_ref(), &vars, tried).await
        };
        // On a task of its own: an emergency that overrules it leaves it to end by itself, and its own hooks wait for that in the gate.
        let running = tokio::spawn(job);
        let job = async move { running.await.unwrap_or_else(|error| Answer::Unknown(error.to_string())) };
        Ok(self.meanwhile(job).await?.map(|answer| Event::Hooked(hook, answer).into()))
    }

    /// Makes a call to the provider or a store.
    async fn perform(&mut self, effect: Effect) -> Result<Meanwhile<Landed>, Stop> {
        let line = Arc::clone(&self.plugins.account);
        let job = self.performer_job(move |performer| Box::pin(async move { performer.perform(&effect).await }));
        let landed = self.meanwhile(job).await?;
        self.tell_denied(&line).await;
        if let Meanwhile::Done(landed) = &landed
            && let Some(wait) = throttled(&landed.event)
        {
            line.pause(self.shared.clock.now().plus(wait.min(Span::HOUR)));
        }
        Ok(landed)
    }

    /// Waits for a piece of work, while alarms still go off and a person is still answered. An emergency does not wait for it, unless the
    /// intent of a call is committed that must be waited for.
    async fn meanwhile<T>(&mut self, job: impl Future<Output = T>) -> Result<Meanwhile<T>, Stop> {
        let mut job = std::pin::pin!(job);
        loop {
            let alarm = match self.due_now() {
                Due::Sleep(until) => until,
                Due::Tell if self.flying() => {
                    self.step(Event::Woke.into()).await?;
                    continue;
                }
                _ => Stamp::NEVER,
            };
            let shared = Arc::clone(&self.shared);
            tokio::select! {
                done = &mut job => return Ok(Meanwhile::Done(done)),
                () = shared.clock.sleep_until(alarm) => {}
                Some(ordered) = self.inbox.recv() => {
                    let emergency = matches!(ordered.order, Order::Emergency(..));
                    self.ordered(ordered).await?;
                    if emergency && self.parked.is_none() && !self.flying() {
                        return Ok(Meanwhile::Overruled);
                    }
                }
            }
        }
    }

    /// A call is under way whose end an emergency waits for: one that changes something, other than a mint (which the machine waits for by
    /// itself) and a hook (which goes on by itself).
    pub(super) fn must_be_waited_for(&self) -> bool {
        match &self.record.machine.call {
            Call::Flying { effect, .. } => !matches!(effect, Effect::Mint | Effect::Replay | Effect::Hook { .. }),
            Call::Ready { .. } => false,
        }
    }

    /// Runs a piece of work that owns what it needs, so that the runner stays free meanwhile.
    pub(super) fn performer_job<T, F>(&self, work: F) -> impl Future<Output = T> + use<T, F>
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
        Event::Replied(answer) | Event::Ended(answer) | Event::Discarded(_, answer) | Event::Cut(_, answer) => of(answer),
        Event::Read(answer) => of(answer),
        Event::Found(answer) => of(answer),
        Event::Listed(answer) => of(answer),
        Event::Probed(answer) | Event::ProbedCut(_, answer) => of(answer),
        Event::Clock(answer) => of(answer),
        _ => None,
    }
}
