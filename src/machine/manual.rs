//! Lifecycle `manual`: a person makes the key in the provider's dashboard and hands it in; and `submit` wherever else a person has found
//! the key of a mint in doubt.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::decide::Work;
use crate::due::{Next, Now, Question, SURVEY_HOLDS};
use crate::event::{Effect, Fact, Illegal};
use crate::plan::{Lifecycle, Plan};
use crate::state::{Call, Doubt, Grace, Key, MintIntent, Phase, Proof, Rotation, Why};
use crate::time::Stamp;

/// A key that a person hands in: everything but its value, which is sealed in the same commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handed {
    /// The key.
    pub key: Key,
    /// When the old key ends by the provider's clock, as the provider shows it to the person.
    pub old_expires_at: Option<Stamp>,
}

/// Before the key is there: everything is looked at, then a person is asked, once for all. What they do takes as long as it takes.
pub(crate) fn ask(rotation: &Rotation, now: Now) -> Next {
    let asked = rotation.asked_at.is_some();
    if !asked && now.at.since(rotation.mint.surveyed_at) > SURVEY_HOLDS {
        return Next::Call(Effect::Survey);
    }
    Next::Ask(Question::Submit, Stamp::NEVER)
}

/// The old key may go, and no call ends it: a person does.
pub(crate) fn end(plan: &Plan, polled: Option<Stamp>) -> Next {
    if plan.ended_by_hand() { Next::Ask(Question::ConfirmRetire, polled.unwrap_or(Stamp::NEVER)) } else { Next::Tell }
}

impl Work<'_> {
    /// A person hands the new key in.
    pub(crate) fn submit(&mut self, handed: &Handed) -> Result<(), Illegal> {
        self.takes_a_key()?;
        self.fits(handed)?;
        self.taken("submit");
        let at = self.now.at;
        if let Some(held) = self.next.held.take() {
            let in_doubt = matches!(held.why, Why::Doubt | Why::Candidates(_) | Why::SameKey | Why::Look(_));
            if in_doubt && self.next.new.is_none() {
                self.tell(Fact::DoubtSettled { how: String::from("a person found the key") });
            }
        }
        self.next.phase = Phase::Mint;
        self.next.call = Call::FRESH;
        self.next.failures = 0;
        self.next.doubt = Doubt::default();
        self.next.mint.received = false;
        self.next.mint.to_read = false;
        self.next.mint.accepted = false;
        self.next.resumed_at = at;
        if self.plan.provider.lifecycle == Lifecycle::Manual {
            self.made_by_hand(handed);
        } else {
            self.found_after_all(handed);
        }
        self.next.new = Some(handed.key.clone());
        self.tell(Fact::Minted {
            id: handed.key.id.clone(),
            fingerprint: handed.key.fingerprint.clone(),
            old_expires_at: handed.old_expires_at,
        });
        if self.ends_at_mint() && !self.next.old_dead() {
            self.old_died(Proof::AtMint);
        }
        self.gather(&[]);
        self.taken_on_trust();
        Ok(())
    }

    /// Where a key may be handed in: a manual rotation that waits for it, and a mint held in doubt.
    fn takes_a_key(&self) -> Result<(), Illegal> {
        if !matches!(self.next.call, Call::Ready { .. }) {
            return Err(self.illegal("a call is under way; wait for its end and say it again"));
        }
        let why = self.next.held.as_ref().map(|held| &held.why);
        let manual = self.plan.provider.lifecycle == Lifecycle::Manual;
        match (self.next.phase, why) {
            (Phase::Doubt, Some(Why::Doubt | Why::Candidates(_) | Why::Look(_))) => Ok(()),
            (Phase::Doubt | Phase::Mint, Some(Why::SameKey)) => Ok(()),
            (Phase::Mint, Some(Why::NewKeyRefused)) if manual => Ok(()),
            (Phase::Mint, _) if manual && self.next.new.is_none() => Ok(()),
            (Phase::Mint, Some(Why::Look(_))) if manual => Ok(()),
            (Phase::Preflight, _) if manual => Err(self.illegal(
                "the preflight has not passed: keep the key, mend what `cutover status` shows, and hand it in when you are asked for it",
            )),
            (Phase::Doubt, _) => {
                Err(self.illegal("it still looks for the key by itself; a key is handed in once it is held in doubt"))
            }
            _ if self.next.new.is_some() => Err(self.illegal(
                "the new key is in hand already; for another one, end this rotation first (`cutover status` shows how)",
            )),
            _ => Err(self.illegal("no key is waited for here: submit is for lifecycle manual, or a mint held in doubt")),
        }
    }

    /// What can be said of it against what is known.
    fn fits(&self, handed: &Handed) -> Result<(), Illegal> {
        let old = self.next.old.as_ref();
        if old.is_some_and(|old| old.fingerprint == handed.key.fingerprint) {
            return Err(self.illegal("that is the key in use, not a new one"));
        }
        if self.next.new.as_ref().is_some_and(|new| new.fingerprint == handed.key.fingerprint) {
            return Err(self.illegal("that is the key that is in hand already; `resume` presents it again"));
        }
        let verbs = self.plan.provider.verbs;
        if verbs.new_id && handed.key.id.is_none() {
            return Err(self.illegal("this provider's keys are known by their id: say --id ID, as the provider shows it"));
        }
        if verbs.new_id && old.is_some_and(|old| old.id.is_some() && old.id == handed.key.id) {
            return Err(self.illegal("that is the id of the old key: say the id of the new one"));
        }
        let manual = self.plan.provider.lifecycle == Lifecycle::Manual;
        if manual && old.is_some() && self.plan.provider_ends_old() && handed.old_expires_at.is_none() {
            return Err(self.illegal(
                "this provider ends the old key by its own clock, which runs since the new one was made: say --old-expires-at TIME, as the \
                 dashboard shows it",
            ));
        }
        Ok(())
    }

    /// `manual`: the hand-in is the mint as far as cutover can know. A first key, refused by the provider, may be followed by another.
    fn made_by_hand(&mut self, handed: &Handed) {
        let at = self.now.at;
        self.next.mint.intents += 1;
        self.next.mint.intent = Some(MintIntent { at, deadline: at, grace: self.plan.grace });
        let Some(old) = &mut self.next.old else { return };
        if let Some(told) = handed.old_expires_at {
            old.expires_at = Some(told);
            self.next.mint.old_end_said = true;
        }
        let end = handed.old_expires_at.unwrap_or_else(|| at.plus(self.plan.grace));
        self.next.grace = Some(Grace { from: at, end: end.max(at), told: Vec::new(), ended_told: false });
    }

    /// The key of a mint in doubt. What a person says of the old key's end may shorten what is counted on; it is never a proof of death
    /// before the time reckoned from the intent.
    fn found_after_all(&mut self, handed: &Handed) {
        self.old_lives_until(handed.old_expires_at, None);
        let reckoned = self.next.mint.intent.as_ref().map(|intent| intent.deadline.plus(intent.grace));
        if let (Some(told), Some(reckoned), Some(old)) = (handed.old_expires_at, reckoned, &mut self.next.old)
            && self.plan.provider_ends_old()
        {
            old.expires_at = Some(told.max(reckoned));
        }
    }

    /// `confirm --retire` where only a person can end the old key: they have ended it. It is seen refused where it may be presented; else
    /// their word is what is recorded.
    pub(crate) fn ended_by_a_person(&mut self) {
        self.next.retire.ending = true;
        self.next.retire.revoked_at = Some(self.now.at);
        self.next.failures = 0;
        self.next.call = Call::FRESH;
        self.tell(Fact::EndedByHand);
        self.retire_moves();
    }
}
