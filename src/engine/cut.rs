//! The calls of an emergency: a key of the cut set is ended, and presented to see it refused.

use cutover_api::{Class, KeyRecord, KeyRef, Outcome, Secret};
use cutover_machine::emergency::Cut;
use cutover_machine::event::{Answer, Event};

use super::answer::answer;
use super::effects::{Landed, Performer};
use super::learn::Learn;
use super::snapshot::Record;
use super::values::Values;

impl Performer<'_> {
    /// The record and, where it is sealed, the value of a key of the cut set.
    async fn cut_key(&self, place: u32) -> Result<(KeyRecord, Option<Secret>), String> {
        let emergency = self.record.machine.emergency.as_ref();
        let cut: &Cut = usize::try_from(place)
            .ok()
            .and_then(|place| emergency?.cut.get(place))
            .ok_or_else(|| String::from("there is no such key in the cut set"))?;
        let record = self.record.cut_key(&cut.key).cloned().unwrap_or_else(|| KeyRecord {
            id: cut.key.id.clone(),
            expires_at: cut.key.expires_at,
            ..KeyRecord::default()
        });
        let is = |known: &KeyRecord| known.fingerprint.as_ref().is_some_and(|print| print.0 == cut.key.fingerprint);
        let secret = if is(&self.record.first) {
            self.values.first.secret.as_ref().map(Secret::duplicate)
        } else if is(&self.record.made) {
            self.values.made.secret.as_ref().map(Secret::duplicate)
        } else {
            let slot = cut_slot(&cut.key.fingerprint);
            self.ledger.unseal(self.rotation, &slot).await.map_err(|error| error.to_string())?
        };
        Ok((record, secret))
    }

    /// Ends one key: reversibly first where the provider wants it so, then for good.
    pub(super) async fn cut(&self, place: u32) -> Answer<()> {
        let (record, secret) = match self.cut_key(place).await {
            Ok(found) => found,
            Err(detail) => return Answer::Unknown(detail),
        };
        let account = self.account();
        let provider = &self.plugins.account.provider;
        let key = || KeyRef { record: &record, secret: secret.as_ref(), outputs: None };
        let verbs = self.snapshot.plan.provider.verbs;
        if verbs.deactivate {
            match provider.deactivate(account.call(), key()).await {
                Outcome::Done(()) => {}
                // Gone is what is wanted; what cannot be switched off may still be revoked.
                Outcome::Refused(refusal) if refusal.class == Class::Gone || verbs.revoke => {}
                other => return answer(other),
            }
        }
        if verbs.revoke { answer(provider.revoke(account.call(), key()).await) } else { Answer::Done(()) }
    }

    /// Presents a key that was cut off.
    pub(super) async fn probe_cut(&self, place: u32) -> Answer<bool> {
        let (record, secret) = match self.cut_key(place).await {
            Ok(found) => found,
            Err(detail) => return Answer::Unknown(detail),
        };
        let account = self.account();
        let key = KeyRef { record: &record, secret: secret.as_ref(), outputs: None };
        answer(self.plugins.account.provider.probe(account.call(), key).await.map(|seen| seen.accepted))
    }
}

/// Where the value of a key of the cut set is sealed that is neither the one from before nor the one that was made.
fn cut_slot(fingerprint: &str) -> String {
    format!("cut.{fingerprint}")
}

/// An order to cut keys off, with what the record learns of them. Where a staged key is superseded, the values move along: the staged one
/// takes the place of the key from before, whose value is kept to see it refused.
pub(super) fn emergency_landed(
    event: Event,
    superseded: Option<bool>,
    run: String,
    gone: Vec<KeyRecord>,
    record: &Record,
    values: &Values,
) -> Landed {
    let mut landed = Landed::from(event);
    landed.learn.extend([Learn::Answers(run), Learn::Gone(gone)]);
    let Some(swapped) = superseded else { return landed };
    landed.learn.push(Learn::Superseded { swapped });
    let (leaves, left) = if swapped { (&record.made, &values.made) } else { (&record.first, &values.first) };
    if let (Some(print), Some(secret)) = (&leaves.fingerprint, &left.secret) {
        landed.seal.push((cut_slot(&print.0), secret.duplicate()));
    }
    if !swapped {
        let parts = values.made.outputs.iter().map(|(name, value)| (format!("first.{name}"), value.duplicate()));
        landed.seal.extend(parts);
        landed.seal.extend(values.made.secret.as_ref().map(|secret| (String::from("first"), secret.duplicate())));
    }
    landed
}
