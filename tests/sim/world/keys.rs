//! The provider: what keys there are, and what ends them.

use cutover_machine::plan::ReRotate;
use cutover_machine::time::{Span, Stamp};

use super::{Happening, Value, World};
use crate::kind::Told;

/// Who made a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// cutover, by the so-many-th intent of the history (0: before it began, or adopted).
    Us(u32),
    /// A person, for cutover: handed in, or to be.
    Hand,
    /// A person, before cutover came; it was not adopted.
    Elder,
    /// A human for purposes of their own.
    Human,
}

/// Why a key ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Our revoke of a rotation's old key.
    Revoked,
    /// Our switching it off.
    SwitchedOff,
    /// Our giving up of an orphan.
    Discarded,
    /// Our cut in an emergency.
    Cut,
    /// The provider's clock.
    Clock,
    /// A mint took its place.
    Evicted,
    /// A person in the dashboard.
    Hand,
}

impl Cause {
    /// A call of ours that was meant to end this key.
    #[must_use]
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::Revoked | Self::SwitchedOff | Self::Discarded | Self::Cut)
    }
}

/// One key.
#[derive(Clone, Debug)]
pub struct Key {
    /// Who made it.
    pub maker: Maker,
    /// It is there; a value that we chose and have not set yet is not.
    pub there: bool,
    /// When it was made.
    pub created: Stamp,
    /// When the provider ends it.
    pub expires: Option<Stamp>,
    /// Switched off.
    pub off: bool,
    /// Ended, and why.
    pub ended: Option<(Stamp, Cause)>,
    /// Its last use.
    pub used: Option<Stamp>,
    /// What the provider tells of it, and since when.
    shown: (Stamp, Option<Stamp>),
    /// The nonce in its name.
    pub nonce: Option<u32>,
}

impl Key {
    /// A key that is there and was never used.
    #[must_use]
    pub const fn new(maker: Maker, created: Stamp) -> Self {
        Self {
            maker,
            there: true,
            created,
            expires: None,
            off: false,
            ended: None,
            used: None,
            shown: (Stamp(0), None),
            nonce: None,
        }
    }
}

impl World {
    /// The provider has not ended it.
    #[must_use]
    pub fn lives(&self, key: Value) -> bool {
        self.keys.get(key).is_some_and(|key| key.there && key.ended.is_none() && !key.off)
    }

    /// A call with this value is accepted.
    #[must_use]
    pub fn accepts(&self, value: Value) -> bool {
        let Some(key) = self.keys.get(value) else { return false };
        let born = key.there && self.now >= key.created.plus(self.truth.birth);
        let seen_dead = key.ended.is_some_and(|(at, _)| self.now >= at.plus(self.truth.death));
        born && !key.off && !seen_dead
    }

    /// A new key's number, before it is there.
    pub fn reserve(&mut self, maker: Maker, nonce: Option<u32>) -> usize {
        self.keys.push(Key { there: false, nonce, ..Key::new(maker, self.now) });
        self.keys.len() - 1
    }

    /// Keys of this integration that are not ended, oldest first.
    fn living(&self) -> Vec<usize> {
        let counts = |key: &usize| {
            let key = &self.keys[*key];
            key.there && key.ended.is_none() && key.maker != Maker::Human
        };
        (0..self.keys.len()).filter(counts).collect()
    }

    /// The main key is new still: another mint is the second one.
    fn is_fresh(&self) -> bool {
        self.main.is_some_and(|main| self.now.since(self.keys[main].created) < Span::hours(24))
    }

    /// How many keys take a place at the provider.
    #[must_use]
    pub fn places_taken(&self) -> usize {
        self.keys.iter().filter(|key| key.there && key.ended.is_none()).count()
    }

    /// Why a mint is refused now; `None`: it is not.
    #[must_use]
    pub fn refuses_mint(&self, key: usize) -> Option<cutover_machine::event::Class> {
        use cutover_machine::event::Class;
        if self.keys[key].there {
            return None;
        }
        if self.cap.is_some_and(|cap| self.places_taken() >= cap as usize) {
            return Some(Class::Limit);
        }
        let crowded = self.living().len() >= 2 && self.is_fresh();
        (self.re_rotate == ReRotate::Refused && crowded).then_some(Class::Refused)
    }

    /// A key is made, and what that does to the others.
    pub(super) fn mint(&mut self, key: usize, grace: Span) {
        if self.keys[key].there || self.refuses_mint(key).is_some() {
            return;
        }
        let older = self.living();
        let evicts = self.re_rotate != ReRotate::KeepsAll && self.is_fresh();
        let now = self.now;
        self.keys[key].there = true;
        self.keys[key].created = now;
        if self.clocked {
            for other in &older {
                let replaced = Some(*other) == self.main;
                if replaced || !evicts {
                    let expires = now.plus(self.truth.grants.map_or(grace, |granted| granted.min(grace)));
                    let sooner = self.keys[*other].expires.map_or(expires, |at| at.min(expires));
                    self.keys[*other].expires = Some(sooner);
                    if sooner <= now {
                        self.end(*other, Cause::Evicted);
                    }
                } else {
                    self.end(*other, Cause::Evicted);
                }
            }
        } else if evicts && older.len() >= 2 {
            // A place is needed: the oldest goes, or everything where a second mint destroys.
            let gone = if self.re_rotate == ReRotate::Destroys { older.clone() } else { vec![older[0]] };
            for other in gone {
                self.end(other, Cause::Evicted);
            }
        }
        self.main = Some(key);
    }

    /// A key ends.
    pub fn end(&mut self, key: usize, cause: Cause) {
        if self.keys[key].ended.is_some() || !self.keys[key].there {
            return;
        }
        let takes_down = if self.accepts(key) { self.needing(key) } else { Vec::new() };
        self.keys[key].ended = Some((self.now, cause));
        if self.main == Some(key) {
            // The one before it is the main one again, for as long as it lives.
            self.main = self.living().last().copied();
        }
        self.happened.push(Happening::Ended { key, cause, takes_down });
    }

    /// A key is switched off or on.
    pub(super) fn switch(&mut self, key: usize, off: bool) {
        if off && !self.keys[key].off && self.keys[key].ended.is_none() {
            let takes_down = if self.accepts(key) { self.needing(key) } else { Vec::new() };
            self.happened.push(Happening::Ended { key, cause: Cause::SwitchedOff, takes_down });
        }
        self.keys[key].off = off;
    }

    /// The last use of a key as the provider tells it now, by the provider's clock: `None`, it says nothing of this key;
    /// `Some(None)`, it knows of none.
    pub fn tells(&mut self, key: usize) -> Option<Option<Stamp>> {
        let now = self.now;
        let told = self.truth.told;
        let there = self.keys.get(key).is_some_and(|key| key.there && key.ended.is_none());
        if !there || told == Told::Absent {
            return None;
        }
        let key = &mut self.keys[key];
        let used = match told {
            Told::Lagging => {
                if now.since(key.shown.0) >= Span::minutes(9) {
                    key.shown = (now, key.used);
                }
                key.shown.1
            }
            // It forgets: the latest hours are never told.
            Told::Lying => key.used.filter(|at| now.since(*at) > Span::hours(3)),
            _ => key.used,
        };
        let minute = Span::MINUTE.0;
        Some(used.map(|at| Stamp(at.0 / minute * minute + self.truth.skew)))
    }

    /// It forgets what it knew.
    pub fn forget_uses(&mut self) {
        for key in &mut self.keys {
            key.used = None;
            key.shown = (Stamp(0), None);
        }
    }

    /// The keys that the list shows, oldest first.
    #[must_use]
    pub fn listed(&self) -> Vec<usize> {
        let shown = |key: &usize| {
            let key = &self.keys[*key];
            key.there && key.ended.is_none() && self.now >= key.created.plus(self.truth.listed)
        };
        (0..self.keys.len()).filter(shown).collect()
    }
}
