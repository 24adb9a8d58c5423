//! What other people do: the operator who reads the alerts, and whoever else changes the world.

use cutover_machine::emergency::{Cut, EmergencyOrder};
use cutover_machine::event::{Event, Order};
use cutover_machine::manual::Handed;
use cutover_machine::plan::Lifecycle;
use cutover_machine::state::{Call, Layout, Phase, Why};
use cutover_machine::time::{Span, Stamp};
use cutover_machine::{Effect, decide};

use crate::dice::Dice;
use crate::engine::{Learn, Sim, Turned, key};
use crate::kind::Told;
use crate::oracle::Violation;
use crate::script::{Say, Upset};
use crate::world::keys::{Cause, Key, Maker};
use crate::world::places::Content;
use crate::world::{FOREIGN, Value};

impl Sim {
    /// Something happens.
    pub(crate) fn upset(&mut self, upset: Upset) -> Turned {
        self.tell(|_| format!("{upset:?}"));
        self.oracle.upset(upset);
        let targets = self.world.targets.len();
        let until = |span| self.world.now.plus(span);
        match upset {
            Upset::Person(say) => self.say(say).map(|_| ()),
            Upset::Emergency(order) => self.emergency(order),
            Upset::SetBack(target) => {
                let before = self.record.recorded.get(target % targets).copied().unwrap_or_default();
                self.outside(target % targets, before);
                Ok(())
            }
            Upset::Foreign(target) => {
                self.world.write_foreign(target % targets);
                self.oracle.meddled(target % targets, &self.world);
                Ok(())
            }
            Upset::Backup(target) => {
                let before = self.world.targets[target % targets].before.first().copied();
                self.outside(target % targets, before.unwrap_or_default());
                Ok(())
            }
            Upset::StaleRead(target) => {
                self.world.targets[target % targets].stale = true;
                Ok(())
            }
            Upset::Conflict(target) => {
                self.world.targets[target % targets].conflict = true;
                Ok(())
            }
            Upset::StoreDown(target, span) => {
                let until = until(span);
                self.world.down.stores[target % targets] = until;
                Ok(())
            }
            Upset::HooksDown(span) => {
                self.world.down.hooks = until(span);
                Ok(())
            }
            Upset::VerifiesDown(span) => {
                self.world.down.verifies = until(span);
                Ok(())
            }
            Upset::ProviderDown(span) => {
                self.world.down.provider = until(span);
                Ok(())
            }
            Upset::CredentialDead(span) => {
                self.world.down.credential = until(span);
                Ok(())
            }
            Upset::UsesForgotten => {
                self.world.forget_uses();
                Ok(())
            }
            Upset::HumanKey => {
                self.world.keys.push(Key::new(Maker::Human, self.world.now));
                Ok(())
            }
            Upset::Crash => self.crash(),
            Upset::Down(span) => {
                self.world.pass(self.world.now.plus(span));
                self.heard()?;
                self.crash()
            }
            Upset::Step(step) => {
                self.stepped_at = self.turns;
                self.world.step += step;
                Ok(())
            }
            Upset::Thaw => {
                // Nobody confirms a step before the daemon has seen it.
                if self.turns > self.stepped_at + 1 {
                    self.confirmed_step = self.world.step;
                }
                Ok(())
            }
            Upset::Restore(back) => self.restore(back),
            Upset::Fate(_) => Ok(()),
        }
    }

    fn outside(&mut self, target: usize, content: Content) {
        if content != Content::default() && self.world.targets[target].content != content {
            self.world.meddle(target, content);
            self.oracle.meddled(target, &self.world);
        }
    }

    /// The ledger is put back to what it was so many commits ago, and the daemon started.
    fn restore(&mut self, back: usize) -> Turned {
        let place = self.ledger.len().saturating_sub(1 + back);
        let backup = self.ledger[place].clone();
        self.ledger.push(backup);
        self.oracle.restored();
        self.crash()
    }

    /// A person's order to the rotation under way; whether it was taken.
    pub(crate) fn ordered(&mut self, order: Order, learn: Vec<Learn>) -> Result<bool, Violation> {
        let emergency = matches!(order, Order::Emergency(..));
        if emergency && self.must_be_waited_for() {
            self.parked.get_or_insert(order);
            return Ok(false);
        }
        let now = self.now();
        if let Err(illegal) = decide(Event::Ordered(order.clone()), &self.record.rotation, &self.record.plan, now) {
            self.tell(|_| format!("  refused: {illegal}"));
            return Ok(false);
        }
        self.oracle.ordered(&order, &self.world, &self.record);
        self.step(Event::Ordered(order), learn)?;
        if emergency {
            self.oracle.overruled();
        }
        Ok(true)
    }

    const fn must_be_waited_for(&self) -> bool {
        match &self.record.rotation.call {
            Call::Flying { effect, .. } => !matches!(effect, Effect::Mint | Effect::Replay | Effect::Hook { .. }),
            Call::Ready { .. } => false,
        }
    }

    /// An emergency, with the keys that the ledger does not know to be dead.
    fn emergency(&mut self, order: EmergencyOrder) -> Turned {
        let rotation = &self.record.rotation;
        let arrived = matches!(rotation.phase, Phase::Observe | Phase::Settle | Phase::Retire) || rotation.held.is_some();
        if rotation.phase == Phase::Closed || (rotation.emergency.is_some() && rotation.is_written() && !arrived) {
            return Ok(());
        }
        let mut known: Vec<Cut> = Vec::new();
        for (value, ours, _) in self.policy.known.iter().filter(|(.., dead)| !dead) {
            known.push(Cut::new(key(*value), *ours));
        }
        if let Some(current) = self.policy.current
            && !self.policy.known.iter().any(|(value, _, dead)| *value == current && !dead)
        {
            known.push(Cut::new(key(current), self.policy.ours));
        }
        self.ordered(Order::Emergency(order, known), Vec::new()).map(|_| ())
    }

    /// A person says this, whether it is wise or not; whether it was taken.
    pub(crate) fn say(&mut self, say: Say) -> Result<bool, Violation> {
        let why = self.record.rotation.held.as_ref().map(|held| held.why.clone());
        match say {
            Say::Confirm => self.ordered(Order::Confirm, Vec::new()),
            Say::ConfirmRetire => self.ordered(Order::ConfirmRetire, Vec::new()),
            Say::Resume => self.ordered(Order::Resume, Vec::new()),
            Say::MintAgain => self.ordered(Order::MintAgain, Vec::new()),
            Say::Abandon => self.ordered(Order::Abandon, Vec::new()),
            Say::Adopt => match why {
                Some(Why::Preflight(_)) => self.adopt(),
                _ => Ok(false),
            },
            Say::AdoptFromTarget => match why {
                Some(Why::Drift { .. }) => {
                    let now = self.world.targets.iter().map(|target| target.content).collect();
                    self.oracle.adopted_targets();
                    self.ordered(Order::Resume, vec![Learn::Recorded(now)])
                }
                _ => Ok(false),
            },
            Say::Submit => self.submit(),
            Say::ResumeChanged => self.resume_changed(),
        }
    }

    /// `adopt`: what stands in the targets is the key in use, and ours.
    fn adopt(&mut self) -> Result<bool, Violation> {
        let there: Vec<Option<Value>> = self.world.targets.iter().map(|target| target.content.key).collect();
        let Some(key) = there[0].filter(|key| *key < FOREIGN && there.iter().all(|other| *other == Some(*key))) else {
            return Ok(false);
        };
        self.policy.current = Some(key);
        self.policy.ours = true;
        if !self.policy.known.iter().any(|(known, ..)| *known == key) {
            self.policy.known.push((key, true, false));
        }
        self.oracle.adopted(key);
        self.commit();
        self.ordered(Order::Resume, Vec::new())
    }

    /// The configuration has other hooks and verifies now, and a person resumes.
    fn resume_changed(&mut self) -> Result<bool, Violation> {
        let order = Event::Ordered(Order::Resume);
        if decide(order, &self.record.rotation, &self.record.plan, self.now()).is_err() {
            return Ok(false);
        }
        let mut plan = self.record.plan.clone();
        let tells = matches!(self.kind.truth.told, Told::Exact | Told::Lagging);
        let seen = tells && self.record.rotation.use_exposed(&plan);
        plan.verifies = crate::kind::verifies(&mut Dice::of(self.turns as u64), seen);
        if plan.verifies.len() != self.record.plan.verifies.len() && self.record.rotation.leg.is_some() {
            plan.verifies = self.record.plan.verifies.clone();
        }
        plan.hooks.truncate(1);
        for hook in &mut plan.hooks {
            hook.repeatable = !hook.repeatable;
        }
        self.record.plan = plan;
        self.record.rotation.deploy_anew(&self.record.plan);
        self.oracle.replanned(&self.record, self.world.now);
        self.ordered(Order::Resume, Vec::new())
    }

    /// `submit`: a key that the person makes for a manual rotation, or the newest one that the provider shows.
    fn submit(&mut self) -> Result<bool, Violation> {
        let manual = self.record.plan.provider.lifecycle == Lifecycle::Manual;
        let waits = manual && self.record.rotation.phase == Phase::Mint && self.record.rotation.new.is_none();
        let value = if waits {
            let value = self.world.reserve(Maker::Hand, None);
            if self.world.refuses_mint(value).is_some() {
                return Ok(false);
            }
            self.world.apply(crate::world::Act::Mint { key: value, grace: self.record.plan.grace });
            value
        } else {
            match self.world.main.filter(|main| Some(*main) != self.record.first && !self.is_known(*main)) {
                Some(main) => main,
                None => return Ok(false),
            }
        };
        let old = self.record.first.and_then(|first| self.world.keys.get(first));
        let ends = old.and_then(|old| old.ended.map(|(at, _)| at).or(old.expires));
        let clocked = self.record.plan.provider_ends_old();
        // The dashboard says in how long, and the person reckons.
        let old_expires_at = ends.filter(|_| clocked).map(|at| Stamp(at.0 + self.world.step));
        let handed = Handed { key: key(value), old_expires_at };
        self.ordered(Order::Submit(handed), vec![Learn::Made(value)])
    }

    fn is_known(&self, key: Value) -> bool {
        self.policy.known.iter().any(|(known, ..)| *known == key)
    }

    /// A sane operator does what the alert says; `false`: there is nothing more that they can do.
    pub(crate) fn person_acts(&mut self) -> Result<bool, Violation> {
        if self.frozen() {
            self.world.step = self.confirmed_step;
            return Ok(true);
        }
        match self.record.rotation.held.as_ref().map(|held| held.why.clone()) {
            None => self.answers_question(),
            Some(why) => self.mends(&why),
        }
    }

    /// Every application has moved: none would miss the old key.
    fn all_moved(&self) -> bool {
        let old = self.old_key();
        let moved = |app: usize| old.is_none() || self.world.works_with(app) != old;
        (0..self.world.apps.len()).all(moved)
    }

    /// Whoever still uses the old key is found and restarted.
    fn restarts_everything(&mut self) {
        let soon = self.world.now.plus(Span::SECOND);
        for app in &mut self.world.apps {
            app.reload_at = Some(app.reload_at.map_or(soon, |at| at.min(soon)));
        }
        self.world.pass(self.world.now.plus(Span::MINUTE));
    }

    fn answers_question(&mut self) -> Result<bool, Violation> {
        let rotation = &self.record.rotation;
        match rotation.phase {
            Phase::Mint => self.submit(),
            Phase::Observe if self.all_moved() && self.asks_a_person() => self.say(Say::Confirm),
            Phase::Observe | Phase::Retire if !self.all_moved() && self.turns > 200 => {
                self.restarts_everything();
                Ok(true)
            }
            Phase::Retire if rotation.emergency.is_some() || (self.all_moved() && !rotation.retire.confirmed) => {
                self.ends_by_hand();
                self.say(Say::ConfirmRetire)
            }
            _ => Ok(false),
        }
    }

    /// Told that there is no evidence: whoever still uses the old key is found and restarted, and where none does, that is said.
    pub(crate) fn says_without_evidence(&mut self) -> Turned {
        if !self.all_moved() {
            self.restarts_everything();
        } else if self.record.rotation.phase == Phase::Observe {
            self.say(Say::Confirm)?;
        }
        Ok(())
    }

    /// What only a person can end is ended in the dashboard before that is said.
    fn ends_by_hand(&mut self) {
        let by_hand = self.record.plan.ended_by_hand();
        let mut keys: Vec<Option<Value>> = Vec::new();
        if let Some(emergency) = &self.record.rotation.emergency {
            let open = emergency.cut.iter().filter(|cut| cut.dead.is_none());
            keys.extend(open.map(|cut| cut.key.id.as_deref().and_then(crate::engine::number)));
        } else if by_hand {
            keys.push(self.old_key());
        }
        for key in keys.into_iter().flatten().filter(|key| *key < FOREIGN) {
            self.world.end(key, Cause::Hand);
        }
    }

    fn mends(&mut self, why: &Why) -> Result<bool, Violation> {
        if self.resumes >= 6 {
            return Ok(false);
        }
        self.resumes += 1;
        match why {
            Why::Doubt | Why::Candidates(_) | Why::SameKey if self.kind.truth.finds && self.submit()? => return Ok(true),
            Why::Doubt | Why::Candidates(_) | Why::SameKey if self.resumes > 3 => return self.say(Say::MintAgain),
            Why::Drift { .. } => self.puts_back(),
            Why::OldStillUsed { .. } => {
                self.restarts_everything();
            }
            Why::Preflight(_) => self.mends_targets(),
            _ => {}
        }
        self.say(Say::Resume)
    }

    /// Foreign values are taken out of the targets.
    fn puts_back(&mut self) {
        for place in 0..self.world.targets.len() {
            let holding = self.holdings().get(place).copied();
            if holding.is_some_and(|holding| holding.readable && !holding.known) {
                let leg = self.record.rotation.leg.as_ref().map(|leg| leg.layout);
                let to = match leg {
                    Some(Layout::Settled) => Content { key: self.new_key(), ..Content::default() },
                    _ => self.record.recorded[place],
                };
                self.outside(place, to);
            }
        }
    }

    fn mends_targets(&mut self) {
        let Some(current) = self.policy.current else { return };
        for place in 0..self.world.targets.len() {
            self.outside(place, Content { key: Some(current), ..Content::default() });
        }
    }
}
