//! The mint: sent once, its reply handed over before anything reads it, and read later from what was sealed.

use cutover_api::{Call, Cause, Clock, KeyRef, MintAnswer, Minted, Outcome, RawReply, Secret};
use cutover_http_step::{Http, Judged, Partial, Polled, Reply, Sent, Step, Vars};
use cutover_machine::plan::Lifecycle;

use crate::account::HttpProvider;
use crate::before::{About, set_about};
use crate::login::Age;
use crate::manual;
use crate::record::{Told, parted};
use crate::steps::Loaded;
use crate::values;

/// Why a value that could be read is not taken for a key.
pub(crate) const NO_SUCH_SHAPE: &str = "the value does not look like a key of this provider (declares.secret)";

impl HttpProvider {
    /// Sends the mint, exactly once.
    pub(crate) async fn mint_once(&self, call: Call<'_>, old: Option<KeyRef<'_>>, generated: Option<&Secret>) -> MintAnswer {
        let Some(mint) = &self.definition.steps.mint else { return MintAnswer::Refused(self.lacking(manual::TABLE)) };
        let (http, vars) = match self.ready(mint, call, About::Mint { old, generated }, Age::Fresh).await {
            Ok(ready) => ready,
            Err(refusal) => return MintAnswer::Refused(refusal),
        };
        let clock: &dyn Clock = &*self.surroundings.clock;
        let answer = match mint.step.send(&http, &self.origins, &vars, clock.now()).await {
            Sent::Unsent(refusal) => MintAnswer::Refused(refusal),
            Sent::Unknown(cause, partial) => MintAnswer::Unknown(cause, partial.as_ref().map(sealed_part)),
            Sent::Reply(reply) => self.answered(&mint.step, &reply, &http, &vars, clock).await,
        };
        let said = match &answer {
            MintAnswer::Reply(_) => "reply",
            MintAnswer::Refused(refusal) => refusal.class.label(),
            MintAnswer::Unknown(..) => "unknown",
        };
        tracing::info!(
            definition = self.definition.name(),
            step = mint.step.name(),
            request = mint.step.request(),
            answer = said,
            "mint sent"
        );
        answer
    }

    /// A whole reply: certainly no key only where its class says so and it is no success. Whatever may hold a key is handed over.
    async fn answered(&self, step: &Step, reply: &Reply, http: &Http, vars: &Vars, clock: &dyn Clock) -> MintAnswer {
        let success = (200..300).contains(&reply.status());
        match step.judge(reply, vars) {
            Judged::Done if step.polls() => match step.poll(http, &self.origins, vars, reply, clock).await {
                Polled::Done(reply) => MintAnswer::Reply(RawReply(reply.to_sealed())),
                Polled::Refused(refusal) => MintAnswer::Refused(refusal),
                Polled::Unknown(cause, partial) => {
                    MintAnswer::Unknown(cause, Some(partial.as_ref().map_or_else(|| sealed(reply), sealed_part)))
                }
            },
            Judged::Done => MintAnswer::Reply(sealed(reply)),
            Judged::Refused(_) | Judged::Unknown(_) if success => MintAnswer::Reply(sealed(reply)),
            Judged::Refused(refusal) => MintAnswer::Refused(refusal),
            Judged::Unknown(cause) => MintAnswer::Unknown(cause, Some(sealed(reply))),
        }
    }

    /// Reads a sealed reply: the same reply, the same call and the same old key always give the same key.
    pub(crate) fn read_mint(&self, call: Call<'_>, old: Option<KeyRef<'_>>, raw: &RawReply) -> Outcome<Minted> {
        let Some(Loaded { step, .. }) = &self.definition.steps.mint else {
            return Outcome::Refused(self.lacking(manual::TABLE));
        };
        let unreadable = |hint: &str, status: Option<i32>| {
            Outcome::Unknown(Cause { status, ..Cause::new(step.name(), "unreadable").hint(hint) })
        };
        let Some(reply) = Reply::from_sealed(&raw.0) else { return unreadable("what was sealed is no reply", None) };
        let status = Some(i32::from(reply.status()));
        let mut vars = values::common(&self.definition, &self.base_url, call, &Vec::new());
        set_about(&mut vars, About::Mint { old, generated: None });
        match step.judge(&reply, &vars) {
            Judged::Done => {}
            Judged::Refused(refusal) => return Outcome::Refused(refusal),
            Judged::Unknown(cause) => return Outcome::Unknown(cause),
        }
        let fields = match step.extract(&reply, &vars) {
            Ok(fields) => fields,
            Err(missing) => return unreadable(&missing.to_string(), status),
        };
        let (new, told_of_old, credential) = parted(fields);
        if let Some(wrong) = self.wrong_with(&new, old) {
            return unreadable(wrong, status);
        }
        let Told { mut record, secret, outputs } = new;
        if record.id.is_none() {
            record.id = old.and_then(|old| old.record.id.clone());
        }
        let old = told_of_old.map(|told| told.record);
        Outcome::Done(Minted { record, secret, outputs, old, credential, provider_now: reply.date() })
    }

    /// What makes a reply that could be read one that must not be believed.
    fn wrong_with(&self, new: &Told, old: Option<KeyRef<'_>>) -> Option<&'static str> {
        if new.secret.as_ref().is_some_and(|secret| !self.definition.declared.shape.fits(secret)) {
            return Some(NO_SUCH_SHAPE);
        }
        // Ending the old key by its id would end the new one.
        let verbs = &self.definition.facts().verbs;
        let ended_by_id = (verbs.revoke || verbs.deactivate) && self.definition.lifecycle() != Lifecycle::Set;
        let same_id = new.record.id.is_some() && new.record.id.as_ref() == old.and_then(|old| old.record.id.as_ref());
        (ended_by_id && same_id).then_some("the new key bears the old one's id, by which the old one is to be ended")
    }
}

fn sealed(reply: &Reply) -> RawReply {
    RawReply(reply.to_sealed())
}

fn sealed_part(partial: &Partial) -> RawReply {
    RawReply(partial.to_sealed())
}
