//! The keys of one account: who is accepted when, and what is remembered of their use.

use std::collections::VecDeque;

use cutover_api::{Fingerprint, Secret, Span, Stamp};

use crate::dice::sha256;

/// Uses nearer to each other than this are remembered as one, so that a consumer that never stops fits in bounded memory.
const GRAIN: Span = Span(250);
/// How many uses of a key are remembered.
const REMEMBERED: usize = 4_096;

/// One key as a test sees it. Never its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyView {
    /// Its id at the double.
    pub id: String,
    /// Its name or label.
    pub name: String,
    /// The first characters, as lists show them.
    pub prefix: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Its slot, where there are slots.
    pub slot: Option<String>,
    /// When it was made.
    pub created_at: Stamp,
    /// Its last successful use, exactly: without the granularity and lag that lists have.
    pub last_used_at: Option<Stamp>,
    /// When it ends by itself.
    pub expires_at: Option<Stamp>,
    /// When it was asked to end.
    pub revoked_at: Option<Stamp>,
    /// It is switched off.
    pub inactive: bool,
    /// It is accepted now.
    pub alive: bool,
    /// Of its value.
    pub fingerprint: Fingerprint,
    /// Successful calls made with it.
    pub used: u64,
    /// Calls made with it and refused because it was not accepted.
    pub refused: u64,
}

/// One key.
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) name: String,
    /// What stays when names change: the agent a token belongs to.
    pub(crate) owner: String,
    pub(crate) prefix: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) slot: Option<String>,
    pub(crate) created_at: Stamp,
    pub(crate) expires_at: Option<Stamp>,
    pub(crate) revoked_at: Option<Stamp>,
    pub(crate) inactive: bool,
    /// The line of rotations it belongs to.
    pub(crate) line: u64,
    /// It was rotated: a younger key of its line was made from it.
    pub(crate) rotated: bool,
    pub(crate) fingerprint: Fingerprint,
    /// Only where the double must know the value: as a signing key, or to show it again.
    pub(crate) plain: Option<Secret>,
    digest: [u8; 32],
    accepted_from: Stamp,
    alternating: bool,
    early_calls: u64,
    dead_from: Option<Stamp>,
    uses: VecDeque<Stamp>,
    used: u64,
    refused: u64,
}

impl Key {
    /// Whether a call made with it now is accepted (a key under an alternating delay counts as not yet).
    pub(crate) fn alive(&self, now: Stamp) -> bool {
        now >= self.accepted_from && !self.ended(now) && !self.inactive
    }

    /// Whether it has ended for good.
    pub(crate) fn ended(&self, now: Stamp) -> bool {
        self.expires_at.is_some_and(|at| now >= at) || self.dead_from.is_some_and(|at| now >= at)
    }

    /// Ends it; it is accepted for `delay` more.
    pub(crate) fn revoke(&mut self, now: Stamp, delay: Span) {
        let dead_from = now.plus(delay);
        self.revoked_at = self.revoked_at.or(Some(now));
        self.dead_from = Some(self.dead_from.map_or(dead_from, |at| at.min(dead_from)));
    }

    /// Remembers a successful use.
    pub(crate) fn use_at(&mut self, now: Stamp) {
        self.used += 1;
        if let [.., before, last] = self.uses.make_contiguous()
            && last.since(*before) < GRAIN
        {
            self.uses.pop_back();
        }
        self.uses.push_back(now);
        if self.uses.len() > REMEMBERED {
            self.uses.pop_front();
        }
    }

    /// Its last use as a list tells it: only uses at least `lag` ago, rounded down to `granularity`.
    pub(crate) fn last_used(&self, now: Stamp, granularity: Span, lag: Span) -> Option<Stamp> {
        let known = now.minus(lag);
        let at = self.uses.iter().copied().filter(|at| *at <= known).max()?;
        let grain = granularity.0.max(1);
        Some(Stamp(at.0.div_euclid(grain) * grain))
    }

    fn view(&self, now: Stamp) -> KeyView {
        KeyView {
            id: self.id.clone(),
            name: self.name.clone(),
            prefix: self.prefix.clone(),
            scopes: self.scopes.clone(),
            slot: self.slot.clone(),
            created_at: self.created_at,
            last_used_at: self.uses.iter().copied().max(),
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
            inactive: self.inactive,
            alive: self.alive(now),
            fingerprint: self.fingerprint.clone(),
            used: self.used,
            refused: self.refused,
        }
    }
}

/// What a new key is made of.
pub(crate) struct NewKey {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) prefix_chars: usize,
    pub(crate) line: Option<u64>,
    pub(crate) expires_at: Option<Stamp>,
    pub(crate) delay: Option<(Span, bool)>,
    pub(crate) keep_plain: bool,
}

/// What became of a key that was presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presented {
    /// Accepted: the key at this place.
    Accepted(usize),
    /// Known, but dead, switched off or not yet accepted.
    Refused(usize),
    /// Nobody's.
    Unknown,
}

/// All keys of one account, dead ones included.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) keys: Vec<Key>,
    lines: u64,
}

impl Book {
    /// Adds a key with this value; answers with its place.
    pub(crate) fn add(&mut self, new: NewKey, value: &Secret, now: Stamp) -> usize {
        let line = new.line.unwrap_or_else(|| {
            self.lines += 1;
            self.lines
        });
        let (delay, alternating) = new.delay.unwrap_or((Span::ZERO, false));
        self.keys.push(Key {
            id: new.id,
            name: new.name,
            owner: new.owner,
            prefix: value.expose().chars().take(new.prefix_chars).collect(),
            scopes: new.scopes,
            slot: None,
            created_at: now,
            expires_at: new.expires_at,
            revoked_at: None,
            inactive: false,
            line,
            rotated: false,
            fingerprint: value.fingerprint(),
            plain: new.keep_plain.then(|| value.duplicate()),
            digest: sha256(value.expose().as_bytes()),
            accepted_from: now.plus(delay),
            alternating,
            early_calls: 0,
            dead_from: None,
            uses: VecDeque::new(),
            used: 0,
            refused: 0,
        });
        self.keys.len() - 1
    }

    /// The youngest key with this value.
    pub(crate) fn find(&self, value: &str) -> Option<usize> {
        let digest = sha256(value.as_bytes());
        self.keys.iter().rposition(|key| key.digest == digest)
    }

    /// The key with this id.
    pub(crate) fn by_id(&self, id: &str) -> Option<usize> {
        self.keys.iter().rposition(|key| key.id == id)
    }

    /// Judges a call made with this value and counts it where it is refused. A success is only counted by [`Key::use_at`].
    pub(crate) fn present(&mut self, value: &str, now: Stamp) -> Presented {
        let Some(at) = self.find(value) else { return Presented::Unknown };
        let key = &mut self.keys[at];
        if key.alive(now) {
            return Presented::Accepted(at);
        }
        if key.alternating && !key.ended(now) && !key.inactive {
            key.early_calls += 1;
            if key.early_calls.is_multiple_of(2) {
                return Presented::Accepted(at);
            }
        }
        key.refused += 1;
        Presented::Refused(at)
    }

    /// Whether a call made with this value now would be accepted; counts nothing.
    pub(crate) fn accepts(&self, value: &str, now: Stamp) -> bool {
        self.find(value).is_some_and(|at| self.keys[at].alive(now))
    }

    /// How many keys have not ended, inactive ones included.
    pub(crate) fn live(&self, now: Stamp) -> usize {
        self.keys.iter().filter(|key| !key.ended(now)).count()
    }

    /// Whether a rotated key of this line is still in its grace.
    pub(crate) fn grace_open(&self, line: u64, now: Stamp) -> bool {
        self.keys.iter().any(|key| key.line == line && key.rotated && !key.ended(now))
    }

    /// Ends every key of a line.
    pub(crate) fn revoke_line(&mut self, line: u64, now: Stamp) {
        self.keys.iter_mut().filter(|key| key.line == line).for_each(|key| key.revoke(now, Span::ZERO));
    }

    /// All keys as a test sees them, the eldest first.
    pub(crate) fn views(&self, now: Stamp) -> Vec<KeyView> {
        self.keys.iter().map(|key| key.view(now)).collect()
    }
}
