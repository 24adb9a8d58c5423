//! The engine's double: what is due → the guard → the intent → the call → the outcome, as `src/engine` does it, on virtual time. What is
//! in memory and what is durable are two things here too: a crash leaves what was committed.

use cutover_machine::event::{Event, Fact, Order};
use cutover_machine::plan::{Plan, VerifyKind};
use cutover_machine::state::{Call, Phase};
use cutover_machine::time::{Span, Stamp};
use cutover_machine::{Due, Effect, Now, Rotation, decide, due};

use crate::kind::Kind;
use crate::oracle::{Oracle, Violation};
use crate::script::{Fate, Turn, Upset, When};
use crate::world::places::Content;
use crate::world::{Value, World};

/// A mint's reply as it is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It holds this key.
    Key(usize),
    /// Nobody can read it.
    Garbled,
    /// It names a key that is known already.
    SameKey,
}

/// The durable record of a rotation.
#[derive(Clone, Debug)]
pub struct Record {
    /// The machine's state.
    pub rotation: Rotation,
    /// Its plan.
    pub plan: Plan,
    /// Which rotation of the history.
    pub number: u32,
    /// The key in use when it began.
    pub first: Option<Value>,
    /// The key that was made, or whose value was chosen.
    pub made: Option<Value>,
    /// The sealed reply.
    pub reply: Option<Reply>,
    /// The key of the last intent, for a replay.
    pub asked: Option<Value>,
    /// The nonces of every intent.
    pub nonces: Vec<u32>,
    /// What was listed before the first mint.
    pub baseline: Option<Vec<usize>>,
    /// What stood in every target before.
    pub recorded: Vec<Content>,
}

/// What the ledger knows of the policy.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The key in use.
    pub current: Option<Value>,
    /// It is ours.
    pub ours: bool,
    /// Every key the policy has had: ours, and known to be dead.
    pub known: Vec<(Value, bool, bool)>,
}

/// What is learned with an event.
#[derive(Clone, Debug)]
pub enum Learn {
    /// The key in use, what every target holds, what is listed.
    Survey(Option<Value>, Vec<Content>, Option<Vec<usize>>),
    /// The intent that is committed: its nonce, and the value that is chosen for it.
    Intent(u32, Option<Value>),
    /// The key that the intent asks for.
    Asked(Value),
    /// A reply to be sealed.
    Reply(Reply),
    /// The key that was made.
    Made(Value),
    /// What stands in the targets now counts as known.
    Recorded(Vec<Content>),
    /// Another plan.
    Plan(Box<Plan>),
}

/// One history under way.
pub struct Sim {
    /// The kind of world.
    pub kind: Kind,
    /// The world.
    pub world: World,
    /// What the daemon has in memory.
    pub record: Record,
    /// What the ledger knows of the policy.
    pub policy: Policy,
    /// What is durable: the last is the present one, those before are backups.
    pub ledger: Vec<(Record, Policy)>,
    /// The step of the clock that a person has confirmed.
    pub confirmed_step: i64,
    /// The oracle.
    pub oracle: Oracle,
    /// What goes wrong, and whether it has.
    pub script: Vec<(Turn, bool)>,
    /// Turns of the loop so far.
    pub turns: usize,
    /// What was due at every turn.
    pub boundaries: Vec<Option<Effect>>,
    /// How often each call was made.
    counts: Vec<(&'static str, usize)>,
    /// Intents to mint of the whole history.
    pub intents: u32,
    /// The turn in which the clock stepped last.
    pub stepped_at: usize,
    /// Keys of lost mints that were told of in earlier rotations.
    pub lost_before: usize,
    /// How often the process was started anew.
    pub starts: u32,
    /// An emergency that waits for the end of a call.
    pub parked: Option<Order>,
    /// How often a person has resumed what is held.
    pub resumes: u32,
    /// A longer history keeps its backups.
    keeps: usize,
    /// Told in words.
    pub story: Option<Vec<String>>,
}

/// The end of a turn: go on, or stop for this.
pub type Turned = Result<(), Violation>;

/// Turns after which a history is left alone.
const LONGEST: usize = 6_000;

/// The policy's first rotation begins.
fn opening(kind: &Kind, number: u32, now: Stamp) -> Record {
    Record {
        rotation: Rotation::open(7 + u64::from(number), now),
        plan: kind.plan.clone(),
        number,
        first: None,
        made: None,
        reply: None,
        asked: None,
        nonces: Vec::new(),
        baseline: None,
        recorded: vec![Content::default(); kind.plan.targets.len()],
    }
}

impl Sim {
    /// A history that has not begun.
    #[must_use]
    pub fn new(kind: &Kind, script: &[Turn], told: bool) -> Self {
        let world = World::new(kind);
        let record = opening(kind, 1, world.wall());
        let current = Some(0).filter(|_| kind.truth.ours && !kind.truth.first);
        let known = current.map(|key| (key, true, false)).into_iter().collect();
        let policy = Policy { current, ours: current.is_some(), known };
        let backups = script.iter().map(|(_, upset)| if let Upset::Restore(back) = upset { *back } else { 0 });
        Self {
            keeps: backups.max().unwrap_or(0) + 1,
            ledger: vec![(record.clone(), policy.clone())],
            oracle: Oracle::new(kind),
            script: script.iter().map(|turn| (*turn, false)).collect(),
            kind: kind.clone(),
            world,
            record,
            policy,
            confirmed_step: 0,
            turns: 0,
            boundaries: Vec::new(),
            counts: Vec::new(),
            intents: 0,
            stepped_at: 0,
            lost_before: 0,
            starts: 0,
            parked: None,
            resumes: 0,
            story: told.then(Vec::new),
        }
    }

    /// Nothing is left to do.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.record.rotation.phase == Phase::Closed
    }

    /// A line of the story.
    pub fn tell(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.story.is_some() {
            let line = line(self);
            let at = self.world.wall();
            let since = at.0 - crate::world::BEGIN.0;
            let (days, rest) = (since.div_euclid(86_400_000), since.rem_euclid(86_400_000));
            let (h, m, s) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1_000 % 60);
            let line = format!("{:>4}  day {days} {h:02}:{m:02}:{s:02}  {line}", self.turns);
            self.story.get_or_insert_default().push(line);
        }
    }

    /// The machine's time: the window and the clock as the engine sees them.
    #[must_use]
    pub fn now(&self) -> Now {
        let at = self.world.wall();
        Now { at, window: self.window(at), frozen: self.frozen() }
    }

    /// When the window is open next.
    #[must_use]
    pub fn window(&self, at: Stamp) -> Stamp {
        let Some((from, hours)) = self.kind.truth.closed else { return at };
        let hour = Span::HOUR.0;
        let into = (at.0 - from * hour).rem_euclid(24 * hour);
        if into < hours * hour { Stamp(at.0 - into + hours * hour) } else { at }
    }

    /// The clock has stepped and nobody has confirmed it.
    #[must_use]
    pub const fn frozen(&self) -> bool {
        let off = self.world.step - self.confirmed_step;
        off > 300_000 || off < -300_000
    }

    /// Runs to its end: what is scripted, then a world without faults in which a person does what the alerts say.
    pub fn run(&mut self) -> Turned {
        let mut limit = 900;
        while self.turns < limit.min(LONGEST) {
            self.turns += 1;
            if !self.turn()? {
                break;
            }
            self.heard()?;
            if !self.all_fired() || self.world.is_down() {
                limit = self.turns + 900;
            }
        }
        let before = self.record.rotation.clone();
        if self.turns >= LONGEST {
            return Ok(());
        }
        if self.turns >= limit
            && before.phase != Phase::Closed
            && before.held.is_none()
            && before.asked_at.is_none()
            && before.unproven_told_at.is_none()
            && before.emergency.is_none()
            && !self.oracle.excuses.restored
            && !self.waits_by_a_wrong_clock()
        {
            let still = format!("{:?} {:?} {:?}", before.phase, before.held, before.call);
            return Err(Violation::new("I13 every rotation ends or is held", format!("after {limit} turns: {still}")));
        }
        crate::oracle::rest::at_rest(self)
    }

    /// It waits for a time that was reckoned by a clock that was wrong: when that comes nobody can say.
    #[must_use]
    pub const fn waits_by_a_wrong_clock(&self) -> bool {
        self.confirmed_step != 0 || (self.oracle.excuses.stepped && self.record.plan.provider_ends_old())
    }

    /// The oracle hears what has happened.
    pub fn heard(&mut self) -> Turned {
        for happening in std::mem::take(&mut self.world.happened) {
            let line = format!("    world: {happening:?}");
            self.tell(|_| line);
            self.oracle.heard(&happening, &self.world, &self.record)?;
        }
        Ok(())
    }

    /// One turn of the loop; `false`: nothing is left to do.
    fn turn(&mut self) -> Result<bool, Violation> {
        self.scripted(When::Turn(self.turns))?;
        let next = due(&self.record.rotation, &self.record.plan, self.now());
        self.oracle.due(&next, &self.record, self.world.wall())?;
        self.boundaries.push(match &next {
            Due::Call(effect) => Some(effect.clone()),
            _ => None,
        });
        match next {
            Due::Rest => Ok(self.begin_next()),
            Due::Tell => {
                let before = self.record.rotation.clone();
                self.step(Event::Woke, Vec::new())?;
                if self.all_fired() && self.record.rotation.unproven_told_at == Some(self.world.wall()) {
                    self.says_without_evidence()?;
                }
                if before == self.record.rotation {
                    return Err(Violation::new("I13 time moves it on", String::from("woken, and nothing changed")));
                }
                Ok(true)
            }
            Due::Sleep(until) => self.sleep(until),
            Due::Ask(_, until) => {
                if self.all_fired() && self.person_acts()? {
                    return Ok(true);
                }
                self.wait(until)
            }
            Due::Call(effect) => {
                self.call(&effect)?;
                if let Some(order) = self.parked.take() {
                    self.ordered(order, Vec::new())?;
                }
                Ok(true)
            }
        }
    }

    /// Everything scripted has happened, or can no longer.
    #[must_use]
    pub fn all_fired(&self) -> bool {
        self.script.iter().all(|((when, _), fired)| *fired || !matches!(when, When::Turn(at) if *at > self.turns))
    }

    fn sleep(&mut self, until: Stamp) -> Result<bool, Violation> {
        if until == Stamp::NEVER {
            return Err(Violation::new("I13 never asleep for ever", format!("{:?}", self.record.rotation.phase)));
        }
        self.wait(until)
    }

    /// Waits as the engine does: until then, or until another credential is there, or a while where the wait is long.
    fn wait(&mut self, until: Stamp) -> Result<bool, Violation> {
        let wall = self.world.wall();
        let over = self.world.now > crate::world::BEGIN.plus(Span::DAY.times(60));
        if until == Stamp::NEVER && (self.all_fired() || over) {
            return Ok(false);
        }
        if over && self.all_fired() && self.record.rotation.held.is_some() {
            return Ok(false);
        }
        // While something is still to go wrong, long waits are lived through in parts.
        if self.frozen() && self.all_fired() && self.turns > self.stepped_at + 3 {
            self.tell(|_| String::from("a person sets the clock right"));
            self.world.step = self.confirmed_step;
            self.world.pass(self.world.now.plus(Span::MINUTE));
            return Ok(true);
        }
        let longest = if self.all_fired() { Span::DAY.times(3) } else { Span::hours(2) };
        let until = until.min(wall.plus(longest)).max(wall.plus(Span(1)));
        let waits = matches!(
            self.record.rotation.held.as_ref().map(|held| &held.why),
            Some(cutover_machine::state::Why::Credential(_))
        );
        let dead = self.world.down.credential;
        self.world.pass(Stamp(until.0 - self.world.step).min(if waits && dead > self.world.now { dead } else { Stamp::NEVER }));
        if waits && self.world.down.credential <= self.world.now && decide_is_legal(&self.record, &Event::Renewed, self.now()) {
            self.step(Event::Renewed, Vec::new())?;
        }
        Ok(true)
    }

    /// The next rotation of the policy, a day later; `false`: there is none.
    fn begin_next(&mut self) -> bool {
        if self.record.number >= self.kind.truth.rotations {
            return false;
        }
        let cut = self.record.rotation.emergency.iter().flat_map(|emergency| &emergency.cut);
        let nameless = cut.filter(|cut| cut.key.id.is_none()).count();
        self.lost_before += nameless.max(usize::from(self.record.rotation.mint.lost));
        self.world.pass(self.world.now.plus(Span::DAY));
        self.record = opening(&self.kind, self.record.number + 1, self.world.wall());
        self.tell(|_| String::from("the next rotation begins"));
        self.oracle.opened(&self.world);
        self.commit();
        true
    }

    pub(crate) fn commit(&mut self) {
        if self.keeps == 1 {
            self.ledger.clear();
        } else if self.ledger.len() >= self.keeps {
            self.ledger.remove(0);
        }
        self.ledger.push((self.record.clone(), self.policy.clone()));
    }

    /// The process ends; another one finds what is durable.
    pub fn crash(&mut self) -> Turned {
        self.tell(|_| String::from("the process dies and starts anew"));
        self.parked = None;
        self.starts += 1;
        let (record, policy) = self.ledger[self.ledger.len() - 1].clone();
        self.record = record;
        self.policy = policy;
        self.oracle.crashed(&self.record);
        if self.record.rotation.phase == Phase::Closed {
            return Ok(());
        }
        self.step(Event::Restarted, Vec::new())?;
        let again = decide(Event::Restarted, &self.record.rotation, &self.record.plan, self.now());
        if again.as_ref().map_or(true, |again| again.next != self.record.rotation) {
            return Err(Violation::new("I15 recovery is idempotent", format!("{again:?}")));
        }
        Ok(())
    }

    /// Decides, and makes durable what belongs together.
    pub fn step(&mut self, event: Event, learn: Vec<Learn>) -> Turned {
        let now = self.now();
        let polled = matches!(event, Event::Watched(_));
        self.tell(|_| format!("  {}", crate::story::event(&event)));
        let step = match decide(event, &self.record.rotation, &self.record.plan, now) {
            Ok(step) => step,
            Err(illegal) => {
                self.tell(|_| format!("  which did not fit: {illegal}"));
                for learned in learn {
                    if let Learn::Reply(reply) = learned {
                        self.record.reply = Some(reply);
                        self.commit();
                    }
                }
                return self.oracle.misfit(&illegal.to_string());
            }
        };
        for fact in &step.facts {
            let line = format!("    → {fact:?}");
            self.tell(|_| line);
        }
        self.oracle.stepped(&self.record, &step, &self.world, now)?;
        if step.facts.is_empty() && learn.is_empty() {
            if step.next == self.record.rotation {
                return Ok(());
            }
            if polled {
                // Only polls moved on: a crash forgets them.
                self.record.rotation = step.next;
                return Ok(());
            }
        }
        let before = std::mem::replace(&mut self.record.rotation, step.next);
        self.learn(&before, &step.facts, learn);
        self.commit();
        Ok(())
    }

    fn learn(&mut self, before: &Rotation, facts: &[Fact], learn: Vec<Learn>) {
        for learned in learn {
            let record = &mut self.record;
            match learned {
                Learn::Survey(first, recorded, baseline) => {
                    record.first = first;
                    record.recorded = recorded;
                    record.baseline = baseline;
                }
                Learn::Intent(nonce, chosen) => {
                    record.nonces.push(nonce);
                    record.made = chosen.or(record.made);
                }
                Learn::Asked(key) => record.asked = Some(key),
                Learn::Reply(reply) => record.reply = Some(reply),
                Learn::Made(key) => record.made = Some(key),
                Learn::Recorded(recorded) => record.recorded = recorded,
                Learn::Plan(plan) => record.plan = *plan,
            }
        }
        for fact in facts {
            self.learn_fact(before, fact);
        }
    }

    fn learn_fact(&mut self, before: &Rotation, fact: &Fact) {
        let (swapped, after) = (self.record.rotation.swapped, &self.record.rotation);
        match fact {
            Fact::PreflightPassed { first: false } => {
                let ours = after.old_is_ours;
                if let Some(first) = self.record.first
                    && !self.policy.known.iter().any(|(key, ..)| *key == first)
                {
                    self.policy.known.push((first, ours, false));
                }
            }
            Fact::Minted { .. } => self.policy.known.extend(self.record.made.map(|made| (made, true, false))),
            Fact::OldDead { .. } => {
                let old = if swapped { self.record.made } else { self.record.first };
                self.died(old);
            }
            Fact::CutDead { id, .. } => self.died(id.as_deref().and_then(number)),
            Fact::Superseded { swapped } => {
                let made = self.record.made.take();
                if !*swapped {
                    self.record.first = made;
                }
            }
            Fact::Closed { .. } => {
                if let Some(new) = after.new.as_ref().and_then(|new| number(&new.fingerprint)) {
                    self.policy.current = Some(new);
                    self.policy.ours = if before.swapped { self.policy.ours } else { true };
                }
            }
            _ => {}
        }
    }

    fn died(&mut self, key: Option<Value>) {
        for known in self.policy.known.iter_mut().filter(|known| Some(known.0) == key) {
            known.2 = true;
        }
    }

    /// Whatever is scripted for this moment, other than the fate of a call.
    pub fn scripted(&mut self, when: When) -> Turned {
        while let Some(place) =
            self.script.iter().position(|((at, upset), fired)| !*fired && *at == when && !matches!(upset, Upset::Fate(_)))
        {
            self.script[place].1 = true;
            let (_, upset) = self.script[place].0;
            self.upset(upset)?;
        }
        Ok(())
    }

    /// What is scripted for the call that is made now: its number among its kind, and its fate.
    pub fn fate(&mut self, label: &'static str) -> (usize, Option<Fate>) {
        let count = match self.counts.iter_mut().find(|(known, _)| *known == label) {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                self.counts.push((label, 0));
                0
            }
        };
        let turns = self.turns;
        let mut fate = None;
        for ((at, upset), fired) in &mut self.script {
            let now = *at == When::Call(label, count) || *at == When::Turn(turns);
            if let (true, false, Upset::Fate(one)) = (now, *fired, &upset) {
                *fired = true;
                fate = Some(*one);
            }
        }
        (count, fate)
    }

    /// The intent of a call is committed and its outcome is not.
    #[must_use]
    pub const fn flying(&self) -> bool {
        matches!(self.record.rotation.call, Call::Flying { .. })
    }

    /// The key that is to be in use.
    #[must_use]
    pub const fn new_key(&self) -> Option<Value> {
        if self.record.rotation.swapped { self.record.first } else { self.record.made }
    }

    /// The key that is to go.
    #[must_use]
    pub const fn old_key(&self) -> Option<Value> {
        if self.record.rotation.swapped { self.record.made } else { self.record.first }
    }

    /// The policy has a verify that a person answers.
    #[must_use]
    pub fn asks_a_person(&self) -> bool {
        self.record.plan.verifies.iter().any(|verify| verify.kind == VerifyKind::Confirm)
    }
}

fn decide_is_legal(record: &Record, event: &Event, now: Now) -> bool {
    decide(event.clone(), &record.rotation, &record.plan, now).is_ok()
}

/// The number of a key by its id or fingerprint.
#[must_use]
pub fn number(name: &str) -> Option<Value> {
    name.get(1..)?.parse().ok()
}

/// A key as the machine knows it.
#[must_use]
pub fn key(value: Value) -> cutover_machine::state::Key {
    cutover_machine::state::Key { id: Some(format!("k{value}")), fingerprint: format!("f{value}"), expires_at: None }
}
