//! One call: guard, intent, call, outcome.

use cutover_machine::Effect;
use cutover_machine::event::{Answer, Class, Event, Listed, Minted, Refused};
use cutover_machine::plan::{Authority, Lifecycle, ListBy};
use cutover_machine::state::Call;
use cutover_machine::time::{Span, Stamp};

use crate::engine::{Learn, Reply, Sim, Turned, key, number};
use crate::script::{Fate, When};
use crate::world::keys::{Cause, Maker};
use crate::world::{Act, Value};

/// How far a call comes.
#[derive(Clone, Debug)]
pub enum Reach {
    /// It is answered.
    Done,
    /// It certainly has no effect.
    Refused(Class),
    /// Nobody knows.
    Unknown,
}

impl Reach {
    /// What comes back.
    pub fn answer<T>(&self, value: T) -> Answer<T> {
        match self {
            Self::Done => Answer::Done(value),
            Self::Unknown => Answer::Unknown("lost".into()),
            Self::Refused(class) => {
                let retry_after = (*class == Class::Throttle).then_some(Span::seconds(20));
                Answer::Refused(Refused { class: *class, retry_after, detail: "no".into() })
            }
        }
    }
}

impl Sim {
    /// Makes the call that is due.
    pub fn call(&mut self, effect: &Effect) -> Turned {
        let label = effect.label();
        let (count, fate) = self.fate(label);
        if self.script.iter().any(|((at, _), fired)| !*fired && *at == When::Call(label, count)) {
            // Something comes right before it: what is due may be something else by then.
            return self.scripted(When::Call(label, count));
        }
        if self.record.rotation.guards(effect) {
            let before = self.record.rotation.clone();
            let holdings = self.holdings();
            self.step(Event::Guarded(holdings), Vec::new())?;
            self.oracle.guarded(effect);
            if self.record.rotation != before {
                return Ok(());
            }
        }
        if fate == Some(Fate::CrashUncommitted) {
            return self.crash();
        }
        if effect.needs_intent() {
            self.intend(effect)?;
            if !self.flying() {
                return Ok(());
            }
        }
        if fate == Some(Fate::CrashBefore) {
            return self.crash();
        }
        self.oracle_sees_call(effect)?;
        self.tell(|sim| format!("calls {label}{}", fate.map_or(String::new(), |fate| format!(", {fate:?} ({:?})", sim.turns))));
        let (event, learn) = self.perform(effect, fate)?;
        self.world.pass(self.world.now.plus(Span(50)));
        self.heard()?;
        let starts = self.starts;
        self.scripted(When::During(label, count))?;
        if starts != self.starts {
            return Ok(());
        }
        if fate == Some(Fate::CrashAfter) {
            return self.crash();
        }
        if self.oracle.take_overruled() && !self.flying() {
            // An emergency does not wait for it.
            return Ok(());
        }
        self.oracle.outcome(effect, &event, &self.world, &self.record)?;
        self.step(event, learn)
    }

    /// After this the call cannot land any more.
    fn deadline(&self, effect: &Effect) -> Stamp {
        let span = match effect {
            Effect::Mint | Effect::Replay => self.record.plan.provider.mint_timeout,
            Effect::Hook { .. } => Span::MINUTE,
            _ => Span::minutes(2),
        };
        self.world.wall().plus(span).plus(Span::seconds(2))
    }

    fn intend(&mut self, effect: &Effect) -> Turned {
        let mut learn = Vec::new();
        if *effect == Effect::Mint {
            self.intents += 1;
            let chosen = self.record.plan.provider.generates && self.record.made.is_none();
            let maker = Maker::Us(self.intents);
            let value = chosen.then(|| self.world.reserve(maker, Some(self.intents)));
            learn.push(Learn::Intent(self.intents, value));
            let asked = if self.record.plan.provider.generates { value.or(self.record.made) } else { None };
            let asked = asked.unwrap_or_else(|| self.world.reserve(maker, Some(self.intents)));
            learn.push(Learn::Asked(asked));
        }
        let deadline = self.deadline(effect);
        self.step(Event::Intended { effect: effect.clone(), deadline }, learn)
    }

    /// The oracle looks at a call before its first byte is sent.
    fn oracle_sees_call(&mut self, effect: &Effect) -> Turned {
        let durable = &self.ledger[self.ledger.len() - 1].0;
        let flies = matches!(&durable.rotation.call, Call::Flying { effect: flying, .. } if flying == effect);
        let now = self.now();
        self.oracle.calls(effect, flies, &self.world, &self.record, now)
    }

    /// How far a call to the provider comes.
    fn reach(&mut self, fate: Option<Fate>) -> Reach {
        match fate {
            Some(Fate::Refused(class)) => return Reach::Refused(class),
            Some(Fate::NeverArrives | Fate::ReplyLost | Fate::LandsLate(_)) => return Reach::Unknown,
            Some(Fate::Slow(span)) => self.world.pass(self.world.now.plus(span)),
            _ => {}
        }
        if self.world.down.provider > self.world.now {
            return Reach::Refused(Class::Unsent);
        }
        if self.record.plan.provider.declares.authority == Authority::Own {
            let signer = self.record.made.filter(|_| self.record.rotation.new.is_some()).or(self.record.first);
            if signer.is_some_and(|signer| !self.world.accepts(signer)) {
                return Reach::Refused(Class::Auth);
            }
        } else if self.world.down.credential > self.world.now {
            return Reach::Refused(Class::Auth);
        }
        Reach::Done
    }

    /// Lets a call have its effect, as far as it comes.
    pub fn act(&mut self, act: Act, reach: &Reach, fate: Option<Fate>) {
        match fate {
            Some(Fate::NeverArrives | Fate::Lies) => {}
            Some(Fate::LandsLate(span)) => self.world.landings.push((self.world.now.plus(span), act)),
            _ if matches!(reach, Reach::Refused(_)) => {}
            _ => self.world.apply(act),
        }
    }

    /// Makes the call in the world and says what came back.
    fn perform(&mut self, effect: &Effect, fate: Option<Fate>) -> Result<(Event, Vec<Learn>), crate::oracle::Violation> {
        let plain = |event| Ok((event, Vec::new()));
        match effect {
            Effect::Survey => Ok(self.survey(fate)),
            Effect::Mint | Effect::Replay => Ok(self.mint(fate)),
            Effect::ReadReply => Ok(self.read_reply(fate)),
            Effect::Write { target, layout } => plain(self.write(*target, *layout, fate)),
            Effect::Hook { hook, .. } => plain(self.hook(*hook, fate)),
            Effect::Watch { verifies, uses } => plain(self.watch(verifies, *uses, fate)),
            _ => {
                let reach = self.reach(fate);
                Ok(self.of_provider(effect, &reach, fate))
            }
        }
    }

    fn of_provider(&mut self, effect: &Effect, reach: &Reach, fate: Option<Fate>) -> (Event, Vec<Learn>) {
        let event = match effect {
            Effect::LookByValue => return self.look_by_value(reach),
            Effect::Reread => return self.reread(reach),
            Effect::LookByList => Event::Listed(reach.answer(self.look_by_list())),
            Effect::Discard(id) => {
                self.end(number(id), Cause::Discarded, reach, fate);
                Event::Discarded(id.clone(), reach.answer(()))
            }
            Effect::ProbeNew => Event::Probed(self.probe(self.new_key(), reach)),
            Effect::ProbeOld => Event::Probed(self.probe(self.old_key(), reach)),
            Effect::Deactivate | Effect::Activate => {
                if let Some(key) = self.old_key() {
                    self.act(Act::Switch { key, off: *effect == Effect::Deactivate }, reach, fate);
                }
                Event::Ended(reach.answer(()))
            }
            Effect::Revoke => {
                self.end(self.old_key(), Cause::Revoked, reach, fate);
                Event::Ended(reach.answer(()))
            }
            Effect::Cut(place) => {
                self.end(self.cut_key(*place), Cause::Cut, reach, fate);
                Event::Cut(*place, reach.answer(()))
            }
            Effect::ProbeCut(place) => Event::ProbedCut(*place, self.probe(self.cut_key(*place), reach)),
            _ => Event::Clock(reach.answer(Some(self.world.skew()))),
        };
        (event, Vec::new())
    }

    fn end(&mut self, key: Option<Value>, cause: Cause, reach: &Reach, fate: Option<Fate>) {
        if let Some(key) = key {
            self.act(Act::End { key, cause }, reach, fate);
        }
    }

    /// The key of the cut set at this place.
    #[must_use]
    pub fn cut_key(&self, place: u32) -> Option<Value> {
        let cut = self.record.rotation.emergency.as_ref()?.cut.get(place as usize)?;
        cut.key.id.as_deref().and_then(number)
    }

    fn probe(&mut self, key: Option<Value>, reach: &Reach) -> Answer<bool> {
        let accepted = key.is_some_and(|key| self.world.accepts(key));
        if let (Reach::Done, Some(key), true) = (reach, key, accepted) {
            self.world.keys[key].used = Some(self.world.now);
        }
        reach.answer(accepted)
    }

    fn mint(&mut self, fate: Option<Fate>) -> (Event, Vec<Learn>) {
        let Some(asked) = self.record.asked else { return (Event::Replied(Answer::Unknown("no key".into())), Vec::new()) };
        let mut reach = self.reach(fate);
        if matches!(reach, Reach::Done)
            && let Some(class) = self.world.refuses_mint(asked)
        {
            reach = Reach::Refused(class);
        }
        let grace = self.record.rotation.mint.intent.as_ref().map_or(self.record.plan.grace, |intent| intent.grace);
        self.act(Act::Mint { key: asked, grace }, &reach, fate);
        let reply = match fate {
            Some(Fate::Garbled | Fate::Lies) => Reply::Garbled,
            Some(Fate::SameKey) => Reply::SameKey,
            _ => Reply::Key(asked),
        };
        let learn = if matches!(reach, Reach::Done) { vec![Learn::Reply(reply)] } else { Vec::new() };
        (Event::Replied(reach.answer(())), learn)
    }

    fn read_reply(&self, fate: Option<Fate>) -> (Event, Vec<Learn>) {
        let reply = match fate {
            Some(Fate::Garbled) => Some(Reply::Garbled),
            Some(Fate::SameKey) => Some(Reply::SameKey),
            _ => self.record.reply,
        };
        match reply {
            Some(Reply::Key(made)) => {
                let event = Event::Read(Answer::Done(self.minted(made)));
                (event, vec![Learn::Made(made)])
            }
            Some(Reply::SameKey) => {
                let same = self.record.first.unwrap_or(0);
                (Event::Read(Answer::Done(Minted { fresh: false, ..self.minted(same) })), Vec::new())
            }
            _ => (Event::Read(Answer::Unknown("not readable".into())), Vec::new()),
        }
    }

    /// What a mint, a look or a re-read tells of a new key, and of the one that it replaces.
    pub fn minted(&self, made: Value) -> Minted {
        let first = self.record.first.and_then(|first| self.world.keys.get(first));
        let clocked = self.record.plan.provider_ends_old() && self.record.plan.provider.lifecycle != Lifecycle::Manual;
        let ends = first.filter(|_| clocked).and_then(|first| first.ended.map(|(at, _)| at).or(first.expires));
        let fresh = !self.policy.known.iter().any(|(known, ..)| *known == made) && Some(made) != self.record.first;
        Minted {
            key: key(made),
            to_read: false,
            old_expires_at: ends.map(|at| Stamp(at.0 + self.world.truth.skew)),
            old_id: None,
            fresh,
            skew: Some(self.world.skew()),
        }
    }

    fn look_by_value(&mut self, reach: &Reach) -> (Event, Vec<Learn>) {
        let made = self.record.made;
        let there = matches!(self.probe(made, &Reach::Done), Answer::Done(true));
        let found = made.filter(|_| there).map(|made| self.minted(made));
        (Event::Found(reach.answer(found)), Vec::new())
    }

    fn reread(&self, reach: &Reach) -> (Event, Vec<Learn>) {
        let newest = self.world.main.filter(|main| Some(*main) != self.record.first);
        let learn = newest.filter(|_| matches!(reach, Reach::Done)).map(Learn::Made).into_iter().collect();
        (Event::Found(reach.answer(newest.map(|made| self.minted(made)))), learn)
    }

    fn look_by_list(&mut self) -> Listed {
        let by = self.record.plan.provider.declares.list;
        let mut listed = Listed::default();
        for row in self.world.listed() {
            let before = self.record.baseline.as_ref().is_some_and(|ids| ids.contains(&row));
            if before || Some(row) == self.record.first {
                continue;
            }
            let id = format!("k{row}");
            let ours = self.world.keys[row].nonce.is_some_and(|nonce| self.record.nonces.contains(&nonce));
            match by {
                ListBy::Time => listed.candidates.push(id),
                ListBy::Name if ours && self.world.tells(row).flatten().is_none() => listed.orphans.push(id),
                ListBy::Name if ours => listed.candidates.push(id),
                _ => {}
            }
        }
        listed
    }
}
