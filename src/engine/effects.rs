//! Makes the calls of one rotation and says what came of them.

use cutover_api::{
    Again, Class, Clock, HookVars, KeyRecord, KeyRef, MintAnswer, Minted, Outcome, RawReply, Secret, Span, Stamp,
};
use cutover_ledger::Ledger;
use cutover_machine::Effect;
use cutover_machine::event::{Answer, Event, Listed, Minted as MintedFact};
use cutover_machine::plan::ListBy;
use cutover_machine::state::{Call, Key};

use super::answer::{answer, refused};
use super::calls::AccountCall;
use super::learn::Learn;
use super::plugins::Plugins;
use super::snapshot::{Record, Snapshot};
use super::targets::Targets;
use super::values::Values;

/// What a call gave: the event, values to be sealed in the same commit, and what the record learns.
pub struct Landed {
    /// For the machine.
    pub event: Event,
    /// Slot and value.
    pub seal: Vec<(String, Secret)>,
    /// What the record learns.
    pub learn: Vec<Learn>,
}

impl From<Event> for Landed {
    fn from(event: Event) -> Self {
        Self { event, seal: Vec::new(), learn: Vec::new() }
    }
}

/// What a rotation's calls need.
pub struct Performer<'a> {
    /// The rotation's id.
    pub rotation: &'a str,
    /// The plan.
    pub snapshot: &'a Snapshot,
    /// The record.
    pub record: &'a Record,
    /// The plugins.
    pub plugins: &'a Plugins,
    /// The values.
    pub values: &'a Values,
    /// The ledger.
    pub ledger: &'a dyn Ledger,
    /// The time.
    pub clock: &'a dyn Clock,
    /// The fingerprints of every key this policy has had.
    pub known: &'a [String],
}

impl Performer<'_> {
    pub(super) fn targets(&self) -> Targets<'_> {
        Targets {
            rotation: self.rotation,
            snapshot: self.snapshot,
            record: self.record,
            plugins: self.plugins,
            values: self.values,
        }
    }

    pub(super) fn account(&self) -> AccountCall<'_> {
        // Until the mint is done the old key signs where keys sign for themselves, from then on the new one.
        let made = self.values.new_key(self.record).secret.as_ref().filter(|_| self.record.machine.new.is_some());
        AccountCall::of(self.snapshot, self.record, made.or(self.values.old_key(self.record).secret.as_ref()))
    }

    /// Makes one call. A survey is made by [`super::survey::Surveyor`] instead.
    pub async fn perform(&self, effect: &Effect) -> Landed {
        match effect {
            Effect::Mint | Effect::Replay => self.mint().await,
            Effect::ReadReply => self.read_reply().await,
            Effect::ReadNew => self.read_new().await,
            Effect::LookByValue => self.look_by_value().await,
            Effect::LookByList => self.look_by_list().await.into(),
            Effect::Reread => self.reread().await,
            Effect::Discard(id) => self.discard(id).await.into(),
            Effect::ProbeNew => self.probe(true).await.into(),
            Effect::ProbeOld => self.probe(false).await.into(),
            Effect::Write { target, layout } => self.targets().write(*target, *layout).await.into(),
            Effect::Watch { verifies, uses } => self.watch(verifies, *uses).await.into(),
            Effect::Deactivate | Effect::Activate | Effect::Revoke => self.end(effect).await.into(),
            Effect::ReadClock => self.read_clock().await.into(),
            Effect::Cut(place) => Event::Cut(*place, self.cut(*place).await).into(),
            Effect::ProbeCut(place) => Event::ProbedCut(*place, self.probe_cut(*place).await).into(),
            Effect::Hook { hook, .. } => Event::Hooked(*hook, Answer::Unknown(String::from("hooks run in the gate"))).into(),
            Effect::Survey => Event::Surveyed(Err(String::from("a survey is made by the surveyor"))).into(),
        }
    }

    async fn mint(&self) -> Landed {
        let account = self.account();
        let old = self.old();
        let generated = self.values.made.secret.as_ref().filter(|_| self.snapshot.plan.provider.generates);
        match self.plugins.account.provider.mint(account.call(), old, generated).await {
            MintAnswer::Reply(RawReply(raw)) => {
                Landed { event: Event::Replied(Answer::Done(())), seal: vec![(self.reply_slot(), raw)], learn: Vec::new() }
            }
            MintAnswer::Refused(refusal) => Event::Replied(refused(&refusal)).into(),
            MintAnswer::Unknown(cause, partial) => Landed {
                event: Event::Replied(Answer::Unknown(cause.to_string())),
                // A cut reply may hold the whole key: a person can still get it out of the ledger.
                seal: partial.map(|RawReply(raw)| (format!("{}.partial", self.reply_slot()), raw)).into_iter().collect(),
                learn: Vec::new(),
            },
        }
    }

    /// Each intent's reply has a slot of its own: a later one never writes over a reply that could not be read.
    fn reply_slot(&self) -> String {
        reply_slot(self.record)
    }

    fn old(&self) -> Option<KeyRef<'_>> {
        self.record.machine.old.as_ref().map(|_| self.values.first.key(&self.record.first))
    }

    async fn read_reply(&self) -> Landed {
        let raw = match self.ledger.unseal(self.rotation, &self.reply_slot()).await {
            Ok(Some(raw)) => RawReply(raw),
            Ok(None) => return Event::Read(Answer::Unknown(String::from("mint: the sealed reply is gone"))).into(),
            Err(error) => return Event::Read(Answer::Unknown(error.to_string())).into(),
        };
        let account = self.account();
        match self.plugins.account.provider.parse(account.call(), self.old(), &raw) {
            Outcome::Done(minted) => self.minted(minted),
            other => Event::Read(answer(other.map(|_| self.nothing()))).into(),
        }
    }

    /// Stands where an answer needs a value that is never looked at.
    fn nothing(&self) -> MintedFact {
        MintedFact {
            key: Key { id: None, fingerprint: String::new(), expires_at: None },
            to_read: false,
            old_expires_at: None,
            old_id: None,
            fresh: false,
            skew: None,
        }
    }

    /// A new key: its values to be sealed, its record to be learned.
    fn minted(&self, minted: Minted) -> Landed {
        let Minted { mut record, secret, outputs, old, provider_now, credential: _ } = minted;
        if record.id.is_none() {
            record.id.clone_from(&self.record.first.id);
        }
        let generated = self.values.made.secret.as_ref().filter(|_| self.snapshot.plan.provider.generates);
        let print = secret.as_ref().or(generated).map(Secret::fingerprint);
        record.fingerprint.clone_from(&print);
        let to_read = print.is_none();
        let fingerprint = print.map(|print| print.0).unwrap_or_default();
        let fresh = !self.known.contains(&fingerprint)
            && self.record.machine.old.as_ref().is_none_or(|old| old.fingerprint != fingerprint);
        let fact = MintedFact {
            key: Key { id: record.id.clone(), fingerprint, expires_at: record.expires_at },
            to_read,
            old_expires_at: old.as_ref().and_then(|old| old.expires_at),
            old_id: old.as_ref().and_then(|old| old.id.clone()),
            fresh,
            skew: self
                .skew(self.record.intent.as_ref().map_or(self.record.machine.opened_at, |intent| intent.at), provider_now),
        };
        let mut seal: Vec<(String, Secret)> =
            outputs.into_iter().map(|(name, value)| (format!("made.{name}"), value)).collect();
        seal.extend(secret.map(|secret| (String::from("made"), secret)));
        let mut learn = vec![Learn::Made(record)];
        learn.extend(old.map(Learn::OldSaid));
        Landed { event: Event::Read(Answer::Done(fact)), seal, learn }
    }

    async fn read_new(&self) -> Landed {
        let account = self.account();
        let key = self.values.made.key(&self.record.made);
        match self.plugins.account.provider.read(account.call(), key).await {
            Outcome::Done(read) => match read.secret {
                Some(secret) => self.minted(Minted {
                    record: KeyRecord { id: self.record.made.id.clone(), ..merged(&self.record.made, read.record) },
                    secret: Some(secret),
                    outputs: std::collections::BTreeMap::new(),
                    old: None,
                    credential: None,
                    provider_now: read.provider_now,
                }),
                None => Event::Read(Answer::Unknown(String::from("read: the reply holds no secret"))).into(),
            },
            other => Event::Read(answer(other.map(|_| self.nothing()))).into(),
        }
    }

    async fn look_by_value(&self) -> Landed {
        let account = self.account();
        let key = self.values.made.key(&self.record.made);
        let provider = &self.plugins.account.provider;
        if self.snapshot.plan.provider.verbs.read_by_value {
            return match provider.read(account.call(), key).await {
                Outcome::Done(read) => self.found(read.record, None, read.provider_now),
                Outcome::Refused(refusal) if refusal.class == Class::Gone => Event::Found(Answer::Done(None)).into(),
                other => Event::Found(answer(other.map(|_| None))).into(),
            };
        }
        match provider.probe(account.call(), key).await {
            Outcome::Done(verdict) if verdict.accepted => self.found(self.record.made.clone(), None, verdict.provider_now),
            other => Event::Found(answer(other.map(|_| None))).into(),
        }
    }

    /// The key of a lost mint was found after all.
    fn found(&self, record: KeyRecord, secret: Option<Secret>, provider_now: Option<Stamp>) -> Landed {
        let mut landed = self.minted(Minted {
            record,
            secret,
            outputs: std::collections::BTreeMap::new(),
            old: None,
            credential: None,
            provider_now,
        });
        if let Event::Read(Answer::Done(minted)) = landed.event {
            landed.event = Event::Found(Answer::Done(Some(minted)));
        }
        landed
    }

    async fn reread(&self) -> Landed {
        let account = self.account();
        let key = self.values.first.key(&self.record.first);
        match self.plugins.account.provider.read(account.call(), key).await {
            Outcome::Done(read) => {
                let print = read.secret.as_ref().map(Secret::fingerprint);
                match print {
                    None => Event::Found(Answer::Unknown(String::from("read: the reply holds no secret"))).into(),
                    Some(print) if Some(&print) == self.record.first.fingerprint.as_ref() => {
                        Event::Found(Answer::Done(None)).into()
                    }
                    Some(_) => self.found(read.record, read.secret, read.provider_now),
                }
            }
            other => Event::Found(answer(other.map(|_| None))).into(),
        }
    }

    /// Keys of ours by the nonce in their name or by their value; otherwise whatever is new, for a person to judge.
    async fn look_by_list(&self) -> Event {
        let account = self.account();
        let listing = match self.plugins.account.provider.list(account.call()).await {
            Outcome::Done(listing) => listing,
            other => return Event::Listed(answer(other.map(|_| Listed::default()))),
        };
        let now = self.clock.now();
        let mut listed = Listed::default();
        let made = self.values.made.secret.as_ref().map(Secret::fingerprint);
        for row in &listing.rows {
            let Some(id) = &row.id else { continue };
            let dead = row.revoked || row.expires_at.is_some_and(|at| at <= now);
            let in_use = Some(id) == self.record.first.id.as_ref();
            let before = self.record.baseline.as_ref().is_some_and(|ids| ids.contains(id));
            if dead || in_use || before {
                continue;
            }
            let ours = match self.snapshot.plan.provider.declares.list {
                ListBy::Name => {
                    row.name.as_ref().is_some_and(|name| self.record.nonces.iter().any(|nonce| name.contains(nonce.as_str())))
                }
                ListBy::Secret => row.fingerprint.is_some() && row.fingerprint == made,
                ListBy::Time => {
                    listed.candidates.push(id.clone());
                    continue;
                }
                ListBy::None => false,
            };
            if ours && row.last_used_at.is_none() {
                listed.orphans.push(id.clone());
            } else if ours {
                // Somebody uses it: not an orphan, and not ours to take away.
                listed.candidates.push(id.clone());
            }
        }
        Event::Listed(Answer::Done(listed))
    }

    async fn discard(&self, id: &str) -> Event {
        let account = self.account();
        let record = KeyRecord { id: Some(id.to_owned()), ..KeyRecord::default() };
        let key = KeyRef { record: &record, secret: None, outputs: None };
        let provider = &self.plugins.account.provider;
        let outcome = if self.snapshot.plan.provider.verbs.discard {
            provider.discard(account.call(), key).await
        } else {
            if self.snapshot.plan.provider.verbs.deactivate {
                match provider.deactivate(account.call(), key).await {
                    Outcome::Done(()) => {}
                    other => return Event::Discarded(id.to_owned(), answer(other)),
                }
            }
            provider.revoke(account.call(), key).await
        };
        Event::Discarded(id.to_owned(), answer(outcome))
    }

    async fn probe(&self, new: bool) -> Event {
        let account = self.account();
        let key = if new {
            self.values.new_key(self.record).key(self.record.new_key())
        } else {
            self.values.old_key(self.record).key(self.record.old_key())
        };
        Event::Probed(answer(self.plugins.account.provider.probe(account.call(), key).await.map(|seen| seen.accepted)))
    }

    async fn end(&self, effect: &Effect) -> Event {
        let account = self.account();
        let key = self.values.old_key(self.record).key(self.record.old_key());
        let provider = &self.plugins.account.provider;
        Event::Ended(answer(match effect {
            Effect::Deactivate => provider.deactivate(account.call(), key).await,
            Effect::Activate => provider.activate(account.call(), key).await,
            _ => provider.revoke(account.call(), key).await,
        }))
    }

    async fn read_clock(&self) -> Event {
        let account = self.account();
        let began = self.clock.now();
        let outcome = self.plugins.account.provider.list(account.call()).await;
        Event::Clock(answer(outcome.map(|listing| self.skew(began, listing.provider_now))))
    }

    /// The provider's clock minus ours, by a reply to a call that began at `began`. A `Date` between the call's begin and now says nothing
    /// against either clock (it has whole seconds, and a reply may be slow, or be read long after it came): only what lies outside counts.
    pub(super) fn skew(&self, began: Stamp, provider_now: Option<Stamp>) -> Option<i64> {
        let at = provider_now?;
        let (earliest, latest) = (began.minus(ROUNDED), self.clock.now().plus(ROUNDED));
        Some(if at < earliest {
            at.0.saturating_sub(began.0)
        } else if at > latest {
            at.0.saturating_sub(self.clock.now().0)
        } else {
            0
        })
    }
}

/// A `Date` has whole seconds.
const ROUNDED: Span = Span::seconds(2);

/// Where the raw reply of the last intent is sealed.
#[must_use]
pub fn reply_slot(record: &Record) -> String {
    format!("reply.{}", record.machine.mint.intents)
}

/// What a hook of this rotation is told.
#[must_use]
pub fn hook_vars(rotation: &str, snapshot: &Snapshot, record: &Record, leg: u32, hook: u32) -> HookVars {
    let new = record.new_key();
    HookVars {
        policy: snapshot.policy.clone(),
        rotation: rotation.to_owned(),
        run: super::ids::derived_uuid(&[rotation, &leg.to_string(), &hook.to_string()]),
        key_id: new.id.clone().unwrap_or_default(),
        fingerprint: new.fingerprint.as_ref().map(|print| print.0.clone()).unwrap_or_default(),
    }
}

/// Which try of a hook this is.
#[must_use]
pub const fn again(call: &Call) -> Again {
    match call {
        Call::Ready { after_unknown: true, .. } => Again::AfterUnknown,
        _ => Again::First,
    }
}

/// What was known of a key, with what a later look adds.
fn merged(known: &KeyRecord, seen: KeyRecord) -> KeyRecord {
    KeyRecord {
        name: seen.name.or_else(|| known.name.clone()),
        prefix: seen.prefix.or_else(|| known.prefix.clone()),
        hint: seen.hint.or_else(|| known.hint.clone()),
        slot: seen.slot.or_else(|| known.slot.clone()),
        created_at: seen.created_at.or(known.created_at),
        expires_at: seen.expires_at.or(known.expires_at),
        facts: if seen.facts.is_empty() { known.facts.clone() } else { seen.facts },
        ..known.clone()
    }
}
