//! One poll: the targets, the witnesses that are due, the last uses.

use cutover_api::{Class, KeyRecord, LastUse, Outcome, Refusal, Secret, Sighting, Stamp, WitnessVars};
use cutover_machine::event::{Event, Sight, Use, Uses, Watched};
use cutover_machine::plan::{Authority, NullUse};

use tracing::warn;

use super::effects::Performer;

impl Performer<'_> {
    pub(super) async fn watch(&self, verifies: &[u32], uses: bool) -> Event {
        let began = self.clock.now();
        let targets = self.targets().holdings().await;
        let mut sights = Vec::new();
        for place in verifies {
            if let Some(sight) = self.look(*place).await {
                sights.push((*place, sight));
            }
        }
        let mut skew = None;
        let uses = if uses { self.uses(&mut skew).await } else { None };
        Event::Watched(Watched { began, targets, verifies: sights, uses, skew })
    }

    async fn look(&self, place: u32) -> Option<Sight> {
        let witness = self.plugins.witnesses.get(place as usize)?.as_ref()?;
        let new = self.record.new_key();
        let vars = WitnessVars {
            policy: self.snapshot.policy.clone(),
            rotation: self.rotation.to_owned(),
            key_id: new.id.clone().unwrap_or_default(),
            fingerprint: new.fingerprint.as_ref().map(|print| print.0.clone()).unwrap_or_default(),
        };
        Some(match witness.look(&vars).await {
            Outcome::Done(Sighting::Holds(true)) => Sight::Holds,
            Outcome::Done(Sighting::Holds(false)) => Sight::Not,
            Outcome::Done(Sighting::Names(names)) => self.named(&names, new),
            Outcome::Refused(refusal) => self.unanswered(place, &refusal.to_string()),
            Outcome::Unknown(cause) => self.unanswered(place, &cause.to_string()),
        })
    }

    fn unanswered(&self, place: u32, detail: &str) -> Sight {
        warn!(policy = self.snapshot.policy, rotation = self.rotation, verify = place + 1, detail, "a verify did not answer");
        Sight::Unanswered
    }

    /// Every element must be the new key: by its fingerprint, or by a prefix that no other key of the policy shares.
    fn named(&self, names: &[String], new: &KeyRecord) -> Sight {
        let print = new.fingerprint.as_ref().map(|print| print.0.as_str()).unwrap_or_default();
        let value = self.values.new_key(self.record).secret.as_ref();
        let old = self.values.old_key(self.record).secret.as_ref();
        if all_name(names, print, value, old) { Sight::Holds } else { Sight::Not }
    }

    async fn uses(&self, skew: &mut Option<i64>) -> Option<Uses> {
        let (new, old) = (self.record.new_key(), self.record.old_key());
        if self.snapshot.plan.provider.verbs.last_used {
            return Some(Uses { new: self.last_used(new, true, skew).await?, old: self.last_used(old, false, skew).await? });
        }
        let account = self.account();
        let began = self.clock.now();
        let listing = match self.plugins.account.provider.list(account.call()).await {
            Outcome::Done(listing) => listing,
            Outcome::Refused(refusal) => return self.refused(&refusal),
            Outcome::Unknown(cause) => return self.untold(&cause.to_string()),
        };
        *skew = self.skew(began, listing.provider_now).or(*skew);
        let row = |key: &KeyRecord| {
            let row = listing.rows.iter().find(|row| row.id.is_some() && row.id == key.id);
            match row {
                None => Use::Unknown,
                Some(row) => self.told(row.last_used_at, row.prefix.clone(), *skew),
            }
        };
        Some(Uses { new: row(new), old: row(old) })
    }

    async fn last_used(&self, key: &KeyRecord, new: bool, skew: &mut Option<i64>) -> Option<Use> {
        if key.id.is_none() {
            return Some(Use::Unknown);
        }
        let account = self.account();
        let began = self.clock.now();
        let values = if new { self.values.new_key(self.record) } else { self.values.old_key(self.record) };
        match self.plugins.account.provider.last_used(account.call(), values.key(key)).await {
            Outcome::Done(LastUse { at, from, provider_now }) => {
                *skew = self.skew(began, provider_now).or(*skew);
                Some(self.told(at, from, *skew))
            }
            Outcome::Refused(refusal) if refusal.class == Class::Gone => Some(Use::Unknown),
            Outcome::Refused(refusal) => self.refused(&refusal),
            Outcome::Unknown(cause) => self.untold(&cause.to_string()),
        }
    }

    /// The poll goes on without the answer; that the credential is dead must be told all the same.
    fn refused<T>(&self, refusal: &Refusal) -> Option<T> {
        if refusal.class == Class::Auth && self.snapshot.plan.provider.declares.authority == Authority::Separate {
            self.plugins.account.deny(refusal.to_string());
        }
        self.untold(&refusal.to_string())
    }

    fn untold<T>(&self, detail: &str) -> Option<T> {
        warn!(policy = self.snapshot.policy, rotation = self.rotation, detail, "the last uses could not be asked");
        None
    }

    /// A use as told, by our clock.
    fn told(&self, at: Option<Stamp>, from: Option<String>, skew: Option<i64>) -> Use {
        match (at, self.snapshot.plan.provider.declares.last_used.map(|l| l.null)) {
            (Some(at), _) => Use::At(Stamp(at.0.saturating_sub(skew.unwrap_or(0))), from),
            (None, Some(NullUse::Never)) => Use::Never,
            (None, _) => Use::Unknown,
        }
    }
}

/// Whether every name is this key's: its fingerprint, or a prefix of its value that the `other` key does not share.
pub(super) fn all_name(names: &[String], print: &str, value: Option<&Secret>, other: Option<&Secret>) -> bool {
    let is_it = |name: &String| {
        if !print.is_empty() && (name == print || print.strip_prefix("sha256:") == Some(name.as_str())) {
            return true;
        }
        // Long enough to tell keys apart, and not shared by the other key.
        name.len() >= MIN_PREFIX
            && value.is_some_and(|value| value.expose().starts_with(name.as_str()))
            && other.is_none_or(|other| !other.expose().starts_with(name.as_str()))
    };
    !names.is_empty() && names.iter().all(is_it)
}

/// The shortest prefix of a key that may stand for it.
const MIN_PREFIX: usize = 12;
