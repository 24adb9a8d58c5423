//! The model behind [`crate::FakeProvider`]: what a provider with these facts does with its keys.

use std::collections::BTreeMap;

use cutover_api::{Call, Class, Intent, KeyRecord, KeyRef, ProviderFacts, Refusal, Secret, Span, Stamp};
use cutover_machine::plan::{Authority, GraceOffer, Lifecycle, ListBy, ReRotate};
use serde_json::json;

use crate::book::{Book, Key, NewKey, Presented};
use crate::dice::Dice;
use crate::fault::Quirks;

/// The names of the two slots of lifecycle `slots`.
pub const FAKE_SLOTS: [&str; 2] = ["primary", "secondary"];

/// Something cutover must never do, seen by the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A dead key was presented although `negative_probe` is forbidden.
    DeadKeyPresented,
    /// A mint was signed with a key that is dead.
    DeadSigner,
    /// A second mint ended a key that was still in use or new, by `drops-older` or `destroys`.
    EvictedLiveKey,
}

pub(crate) struct House {
    pub(crate) facts: ProviderFacts,
    pub(crate) book: Book,
    pub(crate) dice: Dice,
    pub(crate) credential_until: Option<Stamp>,
    pub(crate) last_used_lag: Span,
    pub(crate) shows_dead: bool,
    pub(crate) violations: Vec<Violation>,
    /// Answers of mints by their nonce.
    remembered: BTreeMap<String, (Stamp, String)>,
}

impl House {
    pub(crate) fn new(name: &str, facts: ProviderFacts) -> Self {
        Self {
            facts,
            book: Book::default(),
            dice: Dice::new(name),
            credential_until: None,
            last_used_lag: Span::ZERO,
            shows_dead: false,
            violations: Vec::new(),
            remembered: BTreeMap::new(),
        }
    }

    pub(crate) fn authorized(&mut self, call: Call<'_>, step: &str, now: Stamp) -> Result<(), Refusal> {
        let refused = || Err(Refusal::new(Class::Auth, step).status(401));
        if self.facts.declares.authority == Authority::Own
            && let Some(signer) = call.signer
        {
            return match self.book.present(signer.expose(), now) {
                Presented::Accepted(at) => {
                    self.book.keys[at].use_at(now);
                    Ok(())
                }
                _ => {
                    self.violations.push(Violation::DeadSigner);
                    refused()
                }
            };
        }
        if self.credential_until.is_some_and(|until| now >= until) { refused() } else { Ok(()) }
    }

    /// The place of the key a call is about: by id, else by value.
    pub(crate) fn place(&self, key: KeyRef<'_>) -> Option<usize> {
        let by_id = key.record.id.as_deref().and_then(|id| self.book.by_id(id));
        by_id.or_else(|| key.secret.and_then(|value| self.book.find(value.expose())))
    }

    /// Adds a key; its value is `value` or drawn.
    pub(crate) fn add(&mut self, name: &str, line: Option<u64>, value: Option<&Secret>, quirks: &Quirks, now: Stamp) -> usize {
        let value = match value {
            Some(value) => value.duplicate(),
            None => Secret::new(format!("fake_{}", self.dice.base32().to_ascii_lowercase())),
        };
        let new = NewKey {
            id: format!("k_{}", self.dice.id()),
            name: name.to_owned(),
            owner: String::new(),
            scopes: Vec::new(),
            prefix_chars: 12,
            line,
            expires_at: None,
            delay: quirks.issue_delay,
            keep_plain: true,
        };
        self.book.add(new, &value, now)
    }

    /// The one call that makes a key; answers with the raw reply.
    pub(crate) fn mint(
        &mut self,
        call: Call<'_>,
        old: Option<KeyRef<'_>>,
        generated: Option<&Secret>,
        quirks: &Quirks,
        now: Stamp,
    ) -> Result<String, Refusal> {
        self.authorized(call, "mint", now)?;
        let Some(intent) = call.intent else {
            return Err(Refusal::new(Class::Refused, "mint").hint("a mint without an intent"));
        };
        if let Some(window) = self.facts.declares.idempotency.map(|idempotency| idempotency.window)
            && let Some((at, raw)) = self.remembered.get(&intent.nonce)
            && now.since(*at) <= window
        {
            return Ok(raw.clone());
        }
        if self.facts.generates != generated.is_some() {
            return Err(Refusal::new(Class::Refused, "mint").hint("a generated value exactly where the facts say so"));
        }
        let old = old.and_then(|key| self.place(key));
        self.admit(old, quirks, now)?;
        let base = call.params.get("base_name").and_then(serde_json::Value::as_str).unwrap_or("fake");
        let name = format!("{base} ({})", intent.name_suffix());
        let line = old.map(|at| self.book.keys[at].line);
        let slot = self.make_room(old, intent, quirks, now);
        let at = self.add(&name, line, generated, quirks, now);
        self.book.keys[at].slot = slot;
        self.book.keys[at].expires_at = intent.lifetime.map(|asked| now.plus(asked.span));
        let raw = self.reply(at, old, now);
        if self.facts.declares.idempotency.is_some() {
            self.remembered.insert(intent.nonce.clone(), (now, raw.clone()));
        }
        Ok(raw)
    }

    /// Whether there may be another key now.
    fn admit(&mut self, old: Option<usize>, quirks: &Quirks, now: Stamp) -> Result<(), Refusal> {
        let refused = |class, status| Err(Refusal::new(class, "mint").status(status));
        if self.facts.lifecycle == Lifecycle::Manual {
            return refused(Class::Refused, 405);
        }
        let declared = self.facts.declares.max_live.filter(|_| self.facts.lifecycle == Lifecycle::Overlap);
        let most = quirks.max_keys.or(declared.and_then(|most| usize::try_from(most).ok()));
        if most.is_some_and(|most| self.book.live(now) >= most) {
            return refused(Class::Limit, 400);
        }
        let Some(old) = old else { return Ok(()) };
        let (line, rotated) = (self.book.keys[old].line, self.book.keys[old].rotated);
        if let Some(status) = quirks.second_rotation.filter(|_| self.book.grace_open(line, now)) {
            let class = if status == 409 { Class::Exists } else { Class::Refused };
            return refused(class, i32::from(status));
        }
        if self.facts.lifecycle != Lifecycle::Overlap
            && self.facts.declares.re_rotate == ReRotate::Refused
            && self.book.grace_open(line, now)
        {
            return refused(Class::Refused, 409);
        }
        if rotated && (quirks.family_revoked || self.destroys()) {
            self.violations.push(Violation::EvictedLiveKey);
            self.book.revoke_line(line, now);
            return refused(Class::Auth, 401);
        }
        Ok(())
    }

    fn destroys(&self) -> bool {
        self.facts.declares.re_rotate == ReRotate::Destroys && self.facts.lifecycle != Lifecycle::Overlap
    }

    /// What a mint does to the keys there are; answers with the new key's slot.
    fn make_room(&mut self, old: Option<usize>, intent: &Intent, quirks: &Quirks, now: Stamp) -> Option<String> {
        match self.facts.lifecycle {
            Lifecycle::Overlap | Lifecycle::Manual => None,
            Lifecycle::Slots => {
                let used = old.and_then(|at| self.book.keys[at].slot.clone());
                let idle = if used.as_deref() == Some(FAKE_SLOTS[0]) { FAKE_SLOTS[1] } else { FAKE_SLOTS[0] };
                self.empty_slot(idle, now);
                Some(idle.to_owned())
            }
            Lifecycle::Grace | Lifecycle::Set => {
                if let Some(old) = old {
                    self.start_grace(old, intent, quirks, now);
                }
                None
            }
        }
    }

    fn start_grace(&mut self, old: usize, intent: &Intent, quirks: &Quirks, now: Stamp) {
        let line = self.book.keys[old].line;
        if self.facts.declares.re_rotate == ReRotate::DropsOlder {
            // One key in use and one before it: a rotation makes the youngest the one before and ends all others.
            let youngest = self.book.keys.iter().rposition(|key| key.line == line).unwrap_or(old);
            for at in (0..self.book.keys.len()).filter(|at| *at != youngest) {
                if self.book.keys[at].line == line && !self.book.keys[at].ended(now) {
                    self.violations.push(Violation::EvictedLiveKey);
                    self.book.keys[at].revoke(now, Span::ZERO);
                }
            }
            self.end_after(youngest, intent, quirks, now);
        } else {
            self.end_after(old, intent, quirks, now);
        }
    }

    fn end_after(&mut self, at: usize, intent: &Intent, quirks: &Quirks, now: Stamp) {
        let grace = match &self.facts.declares.grace {
            Some(GraceOffer::Fixed(span)) => *span,
            _ => intent.grace.map_or(Span::ZERO, |asked| asked.span),
        };
        let key = &mut self.book.keys[at];
        key.rotated = true;
        if grace == Span::ZERO {
            key.revoke(now, quirks.revoke_delay.unwrap_or_default());
        } else {
            let ends = now.plus(grace);
            key.expires_at = Some(key.expires_at.map_or(ends, |known| known.min(ends)));
        }
    }

    fn empty_slot(&mut self, slot: &str, now: Stamp) {
        let in_slot = self.book.keys.iter_mut().filter(|key| key.slot.as_deref() == Some(slot) && !key.ended(now));
        in_slot.for_each(|key| key.revoke(now, Span::ZERO));
    }

    fn reply(&self, at: usize, old: Option<usize>, now: Stamp) -> String {
        let key = &self.book.keys[at];
        let mut reply = json!({
            "id": key.id, "name": key.name, "prefix": key.prefix, "slot": key.slot,
            "created_at": key.created_at, "expires_at": key.expires_at, "now": now,
        });
        if !self.facts.generates && !self.facts.verbs.read_after_mint {
            reply["secret"] = key.plain.as_ref().map(Secret::expose).into();
        }
        if let Some(old) = old.map(|at| &self.book.keys[at]) {
            let ends = old.expires_at.or(old.revoked_at);
            reply["old"] = json!({ "id": old.id, "expires_at": ends });
        }
        reply.to_string()
    }

    /// Ends a key. With slots, its slot gets a value that nobody has seen.
    pub(crate) fn revoke(&mut self, at: usize, quirks: &Quirks, now: Stamp) {
        self.book.keys[at].revoke(now, quirks.revoke_delay.unwrap_or_default());
        if let Some(slot) = self.book.keys[at].slot.clone() {
            let unseen = self.add("unseen", Some(self.book.keys[at].line), None, &Quirks::default(), now);
            self.book.keys[unseen].slot = Some(slot);
        }
    }

    /// A call made with a key.
    pub(crate) fn present(&mut self, value: &Secret, probe: bool, now: Stamp) -> bool {
        match self.book.present(value.expose(), now) {
            Presented::Accepted(at) => {
                self.book.keys[at].use_at(now);
                true
            }
            Presented::Refused(at) => {
                if probe && !self.facts.declares.negative_probe && self.book.keys[at].ended(now) {
                    self.violations.push(Violation::DeadKeyPresented);
                }
                false
            }
            Presented::Unknown => false,
        }
    }

    /// One key's last use as the provider tells it.
    pub(crate) fn last_use(&self, key: &Key, quirks: &Quirks, now: Stamp) -> Option<Stamp> {
        if let Some(lie) = quirks.last_used_lie {
            return lie;
        }
        let told = self.facts.declares.last_used?;
        let lag = self.last_used_lag.max(quirks.last_used_lag.unwrap_or_default());
        key.last_used(now, told.granularity, lag)
    }

    pub(crate) fn record(&self, key: &Key, quirks: &Quirks, now: Stamp) -> KeyRecord {
        KeyRecord {
            id: Some(key.id.clone()),
            name: Some(key.name.clone()),
            prefix: Some(key.prefix.clone()),
            hint: None,
            slot: key.slot.clone(),
            created_at: Some(key.created_at),
            last_used_at: self.last_use(key, quirks, now),
            expires_at: key.expires_at,
            revoked: key.revoked_at.is_some(),
            inactive: key.inactive,
            fingerprint: (self.facts.declares.list == ListBy::Secret).then(|| key.fingerprint.clone()),
            facts: BTreeMap::new(),
        }
    }

    pub(crate) fn rows(&self, quirks: &Quirks, now: Stamp) -> Vec<KeyRecord> {
        let lag = quirks.list_lag.unwrap_or_default();
        let shown = self.book.keys.iter().filter(|key| self.shows_dead || !key.ended(now));
        shown.filter(|key| now.since(key.created_at) >= lag).map(|key| self.record(key, quirks, now)).collect()
    }
}
