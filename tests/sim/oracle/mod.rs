//! The second oracle. It is told what is sent, what comes back, what people say and what happens in the world, and it asks after each of
//! them whether an invariant is broken. It reads the durable state, but it calls none of the machine's own predicates: what must hold is
//! worked out here a second time, from the design's words.

mod alarms;
mod book;
mod endings;
mod minting;
pub mod rest;
mod sending;

use cutover_machine::emergency::EmergencyOrder;
use cutover_machine::event::{Answer, Event, Fact, Order};
use cutover_machine::time::{Span, Stamp};
use cutover_machine::{Due, Effect, Now, Plan, Step};

use crate::engine::{Record, Turned};
use crate::kind::{Kind, Told};
use crate::script::{Fate, Say, Upset};
use crate::world::{Happening, Value, World};
use alarms::Alarms;
use book::Book;

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which check, by the number of its invariant and its rule.
    pub check: &'static str,
    /// What was seen.
    pub detail: String,
}

impl Violation {
    /// A broken invariant.
    #[must_use]
    pub const fn new(check: &'static str, detail: String) -> Self {
        Self { check, detail }
    }
}

/// Fails with a violation unless `holds`.
pub(crate) fn must(holds: bool, check: &'static str, detail: impl FnOnce() -> String) -> Turned {
    if holds { Ok(()) } else { Err(Violation::new(check, detail())) }
}

/// What nobody can be blamed for any more, because of what was done to this history.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one flag an excuse: each is a limit that the design states")]
pub struct Excuses {
    /// A person said something that was not so.
    pub wrong_word: bool,
    /// A ledger was restored from a backup.
    pub restored: bool,
    /// The clock stepped: spans as it counts them are not spans of the world.
    pub stepped: bool,
    /// By so much a step that nobody is to notice has made spans shorter.
    pub slack: Span,
    /// Uses are told wrongly, or not at all.
    pub blind: bool,
    /// A read showed what stood there before.
    pub stale: bool,
    /// A call said that it was done and was not.
    pub lied: bool,
    /// A mint's reply named another key than it made.
    pub misnamed: bool,
    /// The daemon was down for long.
    pub was_down: bool,
    /// Somebody wrote into a target, and when last.
    pub meddled: Option<Stamp>,
    /// What stood in the targets was adopted.
    pub adopted_targets: bool,
    /// A person ordered a mint in doubt to be repeated.
    pub mint_ordered: bool,
}

impl Excuses {
    /// A step that nobody is to notice takes away from what a call is given to land, and a list to show a key.
    #[must_use]
    pub fn unnoticed_step(&self) -> bool {
        self.slack > Span::ZERO
    }
}

/// The oracle of one history.
#[derive(Clone, Debug)]
pub struct Oracle {
    /// What evidence there is.
    pub book: Book,
    /// What was told, and what must be.
    pub alarms: Alarms,
    /// What nobody is to blame for.
    pub excuses: Excuses,
    /// The emergency that the rotation under way answers.
    pub emergency: Option<EmergencyOrder>,
    /// What stood in the targets when an emergency came that cuts first: whoever knows one of them may know them all.
    compromised: Vec<Value>,
    /// Keys that were adopted, beside those that cutover made.
    adopted: Vec<Value>,
    /// A mint whose effect is not known.
    unresolved: bool,
    /// A look since then has shown what became of it.
    looked: bool,
    /// The intent whose mint was sent last.
    sent: u32,
    /// The targets were read right before this call.
    guarded: bool,
    /// An emergency has come while a call was made.
    overruled: bool,
    /// Something came in the middle of a call: its outcome may not fit any more.
    pub disturbed: bool,
    /// The same call over and over, at one time.
    repeats: (Option<Effect>, Stamp, u32),
    /// The old key was switched off by us at this time.
    switched_off: Option<Stamp>,
    /// The last write or hook was answered: done.
    answered: bool,
    /// A hook that was sent and whose end the daemon does not know: which, for which leg, and whether its answer is on its way.
    open_hook: Option<(u32, u32, bool)>,
    /// The last mint was sent because a person ordered it.
    mint_was_ordered: bool,
    /// A person has ordered a mint in doubt to be repeated, in this rotation or an earlier one.
    ever_ordered: bool,
    /// Candidates and orphans of the last look.
    orphans: usize,
    /// A manual or clocked model's own facts.
    pub told: Told,
}

impl Oracle {
    /// For a history of this kind.
    #[must_use]
    pub fn new(kind: &Kind) -> Self {
        let adopted = if kind.truth.ours { vec![0] } else { Vec::new() };
        Self {
            book: Book::new(&kind.plan, crate::world::BEGIN),
            alarms: Alarms::default(),
            excuses: Excuses { blind: matches!(kind.truth.told, Told::Lying | Told::Absent), ..Excuses::default() },
            emergency: None,
            compromised: Vec::new(),
            adopted,
            unresolved: false,
            looked: false,
            sent: 0,
            guarded: false,
            overruled: false,
            disturbed: false,
            repeats: (None, Stamp(0), 0),
            switched_off: None,
            answered: false,
            open_hook: None,
            mint_was_ordered: false,
            ever_ordered: false,
            orphans: 0,
            told: kind.truth.told,
        }
    }

    /// Another rotation of the policy begins.
    pub fn opened(&mut self, world: &World) {
        self.book.anew(world.now);
        self.alarms = Alarms::default();
        self.emergency = None;
        self.compromised.clear();
        self.unresolved = false;
        self.looked = false;
        self.sent = 0;
        self.switched_off = None;
        self.excuses.mint_ordered = false;
        self.mint_was_ordered = false;
        self.excuses.was_down = false;
    }

    /// What is scripted happens.
    pub fn upset(&mut self, upset: Upset) {
        self.disturbed = true;
        match upset {
            Upset::Step(step) => {
                self.excuses.stepped = true;
                if step.abs() <= 300_000 {
                    self.excuses.slack = self.excuses.slack.plus(Span(step.abs()));
                }
            }
            Upset::StaleRead(_) => self.excuses.stale = true,
            Upset::UsesForgotten => self.excuses.blind = true,
            Upset::Down(_) => self.excuses.was_down = true,
            Upset::Person(Say::Submit) => self.excuses.wrong_word = true,
            _ => {}
        }
    }

    /// A target was changed by somebody else.
    pub fn meddled(&mut self, _: usize, world: &World) {
        self.excuses.meddled = Some(world.now);
    }

    /// The ledger was restored from a backup.
    pub const fn restored(&mut self) {
        self.excuses.restored = true;
    }

    /// A key was adopted.
    pub fn adopted(&mut self, key: Value) {
        self.adopted.push(key);
    }

    /// What stands in the targets was adopted.
    pub const fn adopted_targets(&mut self) {
        self.excuses.adopted_targets = true;
    }

    /// Other hooks and verifies from now on.
    pub fn replanned(&mut self, record: &Record, now: Stamp) {
        self.book = Book::new(&record.plan, now);
    }

    /// The process died; what was in memory only is gone.
    pub fn crashed(&mut self, record: &Record) {
        self.guarded = false;
        self.overruled = false;
        self.disturbed = true;
        // What was answered and is not committed was not heard.
        self.open_hook = self.open_hook.map(|(hook, leg, _)| (hook, leg, false));
        self.book.forget_polls();
        self.emergency = record.rotation.emergency.as_ref().map(|emergency| emergency.order);
        if self.excuses.restored {
            self.alarms = Alarms::default();
            self.sent = 0;
        }
    }

    /// An emergency was taken.
    pub const fn overruled(&mut self) {
        self.overruled = true;
    }

    /// Whether an emergency was taken since this was asked last.
    pub const fn take_overruled(&mut self) -> bool {
        std::mem::replace(&mut self.overruled, false)
    }

    /// The targets were read right before this call.
    pub const fn guarded(&mut self, _: &Effect) {
        self.guarded = true;
    }

    /// A person's order is taken.
    pub fn ordered(&mut self, order: &Order, world: &World, record: &Record) {
        // A person has looked.
        self.open_hook = None;
        let new = if record.rotation.swapped { record.first } else { record.made };
        let moved = (0..world.apps.len()).all(|app| world.works_with(app).is_some_and(|key| Some(key) == new));
        match order {
            Order::Confirm => {
                self.book.confirmed = Some(world.now);
                self.excuses.wrong_word |= !moved;
            }
            Order::ConfirmRetire => {
                self.book.confirmed_retire = Some(world.now);
                let old = if record.rotation.swapped { record.made } else { record.first };
                let lives = record.plan.ended_by_hand() && old.is_some_and(|old| world.lives(old));
                self.excuses.wrong_word |= !moved || lives;
            }
            Order::MintAgain => {
                self.excuses.mint_ordered = true;
                self.ever_ordered = true;
            }
            Order::Emergency(order, _) => {
                let stricter = *order == EmergencyOrder::CutFirst || self.emergency.is_none() || record.rotation.is_written();
                if stricter {
                    self.emergency = Some(*order);
                }
                if *order == EmergencyOrder::CutFirst {
                    self.compromised.extend(world.targets.iter().flat_map(|target| target.content.values()));
                }
            }
            Order::Submit(handed) => {
                self.unresolved = false;
                self.adopted.extend(crate::engine::number(&handed.key.fingerprint));
            }
            Order::Abandon => self.book.anew(world.now),
            Order::AdoptOld | Order::Resume => {}
        }
    }

    /// What is due.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn due(&mut self, due: &Due, record: &Record, wall: Stamp) -> Turned {
        self.disturbed = false;
        self.alarms.due(due, record, wall, &self.excuses)
    }

    /// An event did not fit.
    ///
    /// # Errors
    /// Nothing had come in between.
    pub fn misfit(&self, reason: &str) -> Turned {
        must(self.disturbed, "I13 what was due is taken", || reason.to_owned())
    }

    /// A step is about to be committed: its state and what is told of it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn stepped(&mut self, before: &Record, step: &Step, world: &World, now: Now) -> Turned {
        self.alarms.stepped(before, step, world, now, &self.excuses)?;
        self.claims(before, step, world)?;
        let did = |fact: &Fact| matches!(fact, Fact::Written { .. } | Fact::Deployed { .. });
        let told = step.facts.iter().find(|fact| did(fact));
        must(told.is_none() || self.answered, "M8 done is what was answered", || format!("{told:?}"))?;
        let (was, is) = (&before.rotation, &step.next);
        if self.open_hook.is_some_and(|(.., heard)| heard) && was.call != is.call {
            self.open_hook = None;
        }
        if was.swapped != is.swapped || was.mint.superseded != is.mint.superseded {
            self.book.anew(world.now);
            self.unresolved = false;
        }
        Ok(())
    }

    /// A call was made and this came back; the daemon has not seen it yet.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn outcome(&mut self, effect: &Effect, event: &Event, world: &World, record: &Record) -> Turned {
        match event {
            Event::Watched(watched) => self.book.polled(watched, world, &record.plan),
            Event::Written(_, answer) => self.answered = matches!(answer, Answer::Done(())),
            Event::Hooked(_, answer) => {
                self.answered = matches!(answer, Answer::Done(()));
                let heard = !matches!(answer, Answer::Unknown(_));
                self.open_hook = self.open_hook.map(|(hook, leg, _)| (hook, leg, heard));
            }
            Event::Probed(Answer::Done(_)) if *effect == Effect::ProbeNew => self.book.probed = world.now,
            _ => {}
        }
        self.learn_of_mint(event, record);
        Ok(())
    }

    /// A call is about to be sent.
    ///
    /// # Errors
    /// It must not be.
    pub fn calls(&mut self, effect: &Effect, flies: bool, world: &World, record: &Record, now: Now) -> Turned {
        let guarded = std::mem::replace(&mut self.guarded, false);
        self.sending(effect, flies, guarded, world, record, now)?;
        match effect {
            Effect::Mint => self.minting(world, record)?,
            Effect::Write { .. } | Effect::Hook { .. } => self.book.anew(world.now),
            _ => {}
        }
        if let Effect::Hook { hook, leg, .. } = effect {
            self.open_hook = Some((*hook, *leg, false));
        }
        Ok(())
    }

    /// Something happened in the world.
    ///
    /// # Errors
    /// It must not have.
    pub fn heard(&mut self, happening: &Happening, world: &World, record: &Record) -> Turned {
        match happening {
            Happening::Ended { key, cause, takes_down } => self.ended(*key, *cause, takes_down, world, record),
            Happening::Refused { app, with } => self.refused(*app, with, world, record),
            Happening::Written { target } => self.written(*target, world, record),
            Happening::Deployed => Ok(()),
        }
    }

    /// A mint in doubt was repeated by a person's order: what it left is told to that person.
    #[must_use]
    pub const fn ordered_mints(&self) -> bool {
        self.ever_ordered
    }

    /// What a script does to this history's excuses from the outset.
    pub fn fates(&mut self, fates: impl Iterator<Item = Fate>) {
        for fate in fates {
            self.excuses.lied |= fate == Fate::Lies;
            self.excuses.misnamed |= matches!(fate, Fate::SameKey | Fate::Lies);
        }
    }
}

/// Whether the provider tells this plan's old key's uses at all.
pub(crate) fn is_exposed(plan: &Plan, record: &Record) -> bool {
    let separate = plan.provider.declares.authority == cutover_machine::plan::Authority::Separate;
    let named = record.rotation.old.as_ref().is_some_and(|old| old.id.is_some());
    plan.provider.declares.last_used.is_some() && separate && named
}
