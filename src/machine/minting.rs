//! The events of preflight, mint and doubt.

use alloc::string::String;

use crate::decide::{TRIES, Work};
use crate::doubt::can_discard;
use crate::event::{Answer, Class, Effect, Fact, Illegal, Listed, Minted, Refused, Survey};
use crate::mutants::{Mutant, on};
use crate::plan::{Lifecycle, ListBy, Plan};
use crate::state::{Call, Phase, Proof, Why};
use crate::time::{Span, Stamp};

/// Refusals of class `refused` in a row before a person is called.
const REFUSALS: u32 = 3;

impl Work<'_> {
    pub(crate) fn surveyed(&mut self, result: Result<Survey, String>) -> Result<(), Illegal> {
        if !matches!(self.next.phase, Phase::Preflight | Phase::Mint) || self.next.new.is_some() {
            return Err(self.illegal("no survey is due"));
        }
        match result {
            Ok(survey) => {
                // What only the mint shows is over when a mint says so.
                if self.next.failures == 0 {
                    self.recovered();
                }
                self.tell(Fact::PreflightPassed { first: survey.old.is_none() });
                // After a mint in doubt the old key stays the one that was in use when the rotation began.
                if self.next.mint.intents == 0 {
                    self.next.old = survey.old;
                    self.next.old_is_ours = survey.old_is_ours;
                    self.next.old_is_sealed = survey.old_is_sealed;
                }
                self.gather(&[]);
                self.next.mint.surveyed_at = self.now.at;
                self.next.phase = Phase::Mint;
                self.next.call = Call::FRESH;
            }
            Err(detail) => {
                self.cut_at_once();
                let tries = self.again(self.tries(), None, false);
                if self.next.mint.intents == 0 {
                    self.next.phase = Phase::Preflight;
                }
                if tries == 1 {
                    self.tell(Fact::PreflightFailed { detail: detail.clone() });
                }
                if tries >= TRIES {
                    self.hold(Why::Preflight(detail));
                }
            }
        }
        Ok(())
    }

    /// The survey found the account's credential dead.
    pub(crate) fn denied_survey(&mut self, detail: String) -> Result<(), Illegal> {
        if !matches!(self.next.phase, Phase::Preflight | Phase::Mint) || self.next.new.is_some() {
            return Err(self.illegal("no survey is due"));
        }
        self.cut_at_once();
        self.again(self.tries(), None, false);
        if self.next.mint.intents == 0 {
            self.next.phase = Phase::Preflight;
        }
        self.hold(Why::Credential(detail));
        Ok(())
    }

    pub(crate) fn replied(&mut self, answer: Answer<()>) -> Result<(), Illegal> {
        let deadline = match &self.next.call {
            Call::Flying { effect: Effect::Mint | Effect::Replay, deadline, .. } => *deadline,
            _ => return Err(self.illegal("no mint is under way")),
        };
        let replay = self.landed()? == Effect::Replay;
        match answer {
            Answer::Done(()) => {
                self.next.phase = Phase::Mint;
                self.next.mint.received = true;
            }
            // After an unknown outcome a refusal proves nothing about the first call.
            Answer::Refused(_) | Answer::Unknown(_) if replay => {
                if on(Mutant::RefusalTrusted) && matches!(answer, Answer::Refused(_)) {
                    self.mint_again(false);
                    return Ok(());
                }
                if matches!(answer, Answer::Unknown(_)) && !on(Mutant::ReplayNotWaitedFor) {
                    self.replay_may_land(deadline);
                }
                self.next.doubt.replayed = true;
                self.settle_doubt();
            }
            Answer::Refused(refused) => self.mint_refused(&refused),
            Answer::Unknown(detail) if on(Mutant::MintRetried) => {
                self.mint_refused(&Refused { class: Class::Unsent, retry_after: None, detail });
            }
            Answer::Unknown(detail) => self.doubt(detail, deadline),
        }
        Ok(())
    }

    /// A replay whose effect is not known makes the key as well as the first call did: nothing is decided before it cannot land either.
    pub(crate) fn replay_may_land(&mut self, deadline: Stamp) {
        if let Some(intent) = &mut self.next.mint.intent {
            intent.deadline = intent.deadline.max(deadline);
        }
    }

    /// The mint certainly made no key.
    fn mint_refused(&mut self, refused: &Refused) {
        self.tell(Fact::MintRefused { detail: refused.detail.clone() });
        self.cut_at_once();
        // That there is one already may mean that one was made: its clock is counted until a look says otherwise.
        if refused.class != Class::Exists || on(Mutant::GraceOfExistingForgotten) {
            self.grace_back();
        }
        self.next.mint.surveyed_at = Stamp(0);
        match refused.class {
            // What the survey can see by itself (a credential, a line that is down) is left to the survey.
            Class::Auth | Class::Unsent | Class::Throttle => {
                self.next.failures += 1;
                let tries = self.next.failures;
                self.again(tries.saturating_sub(1), refused.retry_after, false);
                if self.is_denied(refused) {
                    self.hold(Why::Credential(refused.detail.clone()));
                } else if tries >= 2 * TRIES {
                    // A credential that is renewed, a line that comes back: that needs no person, so it goes on being tried, hourly.
                    let by_itself = refused.class != Class::Throttle;
                    let detail = refused.detail.clone();
                    self.hold(if by_itself { Why::Preflight(detail) } else { Why::MintRefused(detail) });
                }
            }
            Class::Exists => self.doubt(refused.detail.clone(), self.now.at),
            // The application may be down by now: it is tried on, also where the cut itself makes the room that is missing.
            Class::Limit | Class::Gone | Class::Refused if self.next.cuts_first() && self.next.failures < 2 * TRIES => {
                self.next.failures += 1;
                self.again(self.next.failures.saturating_sub(1), refused.retry_after, false);
            }
            Class::Limit if self.next.failures == 0 && orphans_can_go(self.plan) => {
                self.next.failures += 1;
                self.doubt(refused.detail.clone(), self.now.at);
            }
            Class::Scope | Class::Limit => self.hold(Why::MintRefused(refused.detail.clone())),
            Class::Gone | Class::Refused => {
                self.next.failures += 1;
                let tries = self.next.failures;
                if tries >= REFUSALS {
                    self.hold(Why::MintRefused(refused.detail.clone()));
                } else {
                    self.again(tries.saturating_sub(1), refused.retry_after, false);
                }
            }
        }
    }

    pub(crate) fn read(&mut self, answer: Answer<Minted>) -> Result<(), Illegal> {
        if self.next.phase != Phase::Mint || !(self.next.mint.received || self.next.mint.to_read) {
            return Err(self.illegal("no reply waits to be read"));
        }
        let reply = self.next.mint.received;
        match answer {
            Answer::Done(minted) => self.minted(minted),
            Answer::Refused(refused) if reply => {
                self.next.mint.received = false;
                self.next.call = Call::FRESH;
                self.mint_refused(&refused);
            }
            Answer::Unknown(detail) if reply => {
                // The raw reply stays sealed: a person may still find the key in it.
                self.next.mint.received = false;
                let deadline = self.next.mint.intent.as_ref().map_or(self.now.at, |intent| intent.deadline);
                self.doubt(detail, deadline);
            }
            Answer::Refused(refused) => self.look_refused(self.tries(), &refused),
            Answer::Unknown(detail) => self.look_unknown(self.tries(), detail),
        }
        Ok(())
    }

    /// A new key is in hand (or its id, while the value must still be read).
    fn minted(&mut self, minted: Minted) {
        self.next.mint.received = false;
        self.next.mint.to_read = minted.to_read;
        self.next.phase = Phase::Mint;
        self.next.call = Call::FRESH;
        if !minted.fresh && !minted.to_read && !on(Mutant::SameKeyTaken) {
            self.hold(Why::SameKey);
            return;
        }
        // Measured against a clock that has stepped it says nothing later.
        if minted.skew.is_some() && !self.now.frozen {
            self.next.retire.provider_skew = minted.skew;
        }
        if let Some(old) = &mut self.next.old {
            old.expires_at = minted.old_expires_at.or(old.expires_at);
            old.id = minted.old_id.or_else(|| old.id.take());
        }
        self.old_lives_until(minted.old_expires_at, minted.skew);
        if minted.to_read {
            return;
        }
        self.recovered();
        self.next.failures = 0;
        let (id, fingerprint) = (minted.key.id.clone(), minted.key.fingerprint.clone());
        self.next.new = Some(minted.key);
        self.tell(Fact::Minted { id, fingerprint, old_expires_at: minted.old_expires_at });
        if self.ends_at_mint() && !self.next.old_dead() {
            self.old_died(Proof::AtMint);
        }
        self.gather(&[]);
        self.taken_on_trust();
    }

    /// Nothing can show that the new key is accepted: it is written once its birth would be seen. With the old key dead the application is
    /// down already, and nothing waits. Nor does it where the provider has put the new key in the old one's place: it may use it itself from
    /// that moment on, as Bondi does, which signs its calls with it.
    pub(crate) fn taken_on_trust(&mut self) {
        if self.plan.provider.verbs.probe {
            return;
        }
        self.next.mint.accepted = true;
        let settle = self.plan.provider.declares.settle;
        if on(Mutant::UnbornKeyStaged)
            || settle == Span::ZERO
            || self.next.old.is_none()
            || self.next.old_dead()
            || self.next.cuts_first()
            || self.plan.provider.lifecycle == Lifecycle::Grace
        {
            self.stage();
        } else {
            self.next.call = Call::Ready { tries: 0, not_before: self.now.at.plus(settle), after_unknown: false };
        }
    }

    /// What the provider granted counts, not what was asked for; and the earlier of the two.
    pub(crate) fn old_lives_until(&mut self, told: Option<Stamp>, skew: Option<i64>) {
        let evicted = self.next.mint.lost
            && self.plan.provider_ends_old()
            && self.plan.provider.declares.re_rotate != crate::plan::ReRotate::KeepsAll;
        let Some(grace) = &mut self.next.grace else { return };
        if let Some(told) = told.filter(|_| !on(Mutant::GrantIgnored)) {
            grace.end = grace.end.min(Stamp(told.0.saturating_sub(skew.unwrap_or(0))));
        }
        if evicted {
            // The mint that was lost may have taken the place of the old key: it may be dead already.
            grace.end = grace.end.min(self.now.at);
        }
    }

    pub(crate) fn found(&mut self, answer: Answer<Option<Minted>>) -> Result<(), Illegal> {
        let by_value = match &self.next.call {
            Call::Flying { effect: Effect::LookByValue, .. } => true,
            Call::Ready { .. } if self.next.phase == Phase::Doubt => false,
            _ => return Err(self.illegal("no look is under way")),
        };
        let before = if by_value { self.next.failures } else { self.tries() };
        if by_value {
            self.landed()?;
            self.next.mint.probed_at = Some(self.now.at);
        }
        match answer {
            Answer::Done(Some(minted)) => {
                let abandon = core::mem::take(&mut self.next.doubt.abandon);
                self.tell(Fact::DoubtSettled { how: String::from("the key is there") });
                self.minted(minted);
                if abandon {
                    // What was looked for so that it could be given up is given up.
                    self.swap()?;
                }
            }
            Answer::Done(None) => {
                self.next.call = Call::FRESH;
                self.next.doubt.absent = true;
                if by_value {
                    self.next.doubt.by_value = true;
                } else {
                    self.next.doubt.reread = true;
                }
                self.settle_doubt();
            }
            Answer::Refused(refused) => {
                self.next.failures += u32::from(by_value);
                self.look_refused(before, &refused);
            }
            Answer::Unknown(detail) => {
                self.next.failures += u32::from(by_value);
                self.look_unknown(before, detail);
            }
        }
        Ok(())
    }

    pub(crate) fn listed(&mut self, answer: Answer<Listed>) -> Result<(), Illegal> {
        if self.next.phase != Phase::Doubt {
            return Err(self.illegal("no look at the list is due"));
        }
        match answer {
            Answer::Done(listed) => {
                self.recovered();
                self.next.call = Call::FRESH;
                self.next.doubt.listed = true;
                self.next.doubt.orphans = listed.orphans;
                self.next.doubt.candidates = listed.candidates;
                if on(Mutant::OrphanLeft) {
                    self.next.doubt.orphans.clear();
                }
                if on(Mutant::CandidatesDiscarded) {
                    self.next.doubt.orphans = core::mem::take(&mut self.next.doubt.candidates);
                }
                self.settle_doubt();
            }
            Answer::Refused(refused) => self.look_refused(self.tries(), &refused),
            Answer::Unknown(detail) => self.look_unknown(self.tries(), detail),
        }
        Ok(())
    }

    pub(crate) fn discarded(&mut self, id: &str, answer: Answer<()>) -> Result<(), Illegal> {
        let Call::Flying { effect: Effect::Discard(flying), .. } = &self.next.call else {
            return Err(self.illegal("no key is being given up"));
        };
        if flying != id {
            return Err(self.illegal("another key is being given up"));
        }
        self.landed()?;
        match answer {
            Answer::Done(()) => {
                self.recovered();
                self.next.doubt.orphans.retain(|orphan| orphan != id);
                self.next.mint.clock_runs |= self.plan.provider_ends_old() && !on(Mutant::ClockOfOrphanForgotten);
                self.tell(Fact::OrphanDiscarded { id: String::from(id) });
                self.settle_doubt();
            }
            Answer::Refused(refused) => {
                let before = self.next.failures;
                self.next.failures += 1;
                self.look_refused(before, &refused);
            }
            Answer::Unknown(detail) => self.look_failed(None, detail),
        }
        Ok(())
    }

    pub(crate) fn probed(&mut self, answer: Answer<bool>) -> Result<(), Illegal> {
        let (of_new, since) = match &self.next.call {
            Call::Flying { effect: Effect::ProbeNew, since, .. } => (true, *since),
            Call::Flying { effect: Effect::ProbeOld, since, .. } => (false, *since),
            _ => return Err(self.illegal("no probe is under way")),
        };
        self.landed()?;
        if of_new {
            self.next.mint.probed_at = Some(self.now.at.max(since));
            self.probed_new(answer);
        } else if self.next.phase == Phase::Doubt {
            self.probed_old_in_doubt(answer);
        } else {
            self.probed_old(answer);
        }
        Ok(())
    }

    fn probed_new(&mut self, answer: Answer<bool>) {
        if matches!(answer, Answer::Done(true)) || (on(Mutant::RefusedKeyStaged) && matches!(answer, Answer::Done(_))) {
            self.next.mint.accepted = true;
            self.tell(Fact::Accepted);
            self.stage();
            return;
        }
        // With the old key dead the application is down: waiting for a probe would only keep it down.
        if self.next.old_dead() {
            self.next.mint.accepted = true;
            self.stage();
            return;
        }
        // The call may have landed as late as that.
        let born = self.next.mint.intent.as_ref().map_or(self.now.at, |intent| intent.deadline);
        let settled = born.plus(self.plan.provider.declares.settle);
        match answer {
            Answer::Done(_) if self.now.at >= settled => self.hold(Why::NewKeyRefused),
            Answer::Done(_) => {
                // Refused before the settle span is over means "not yet".
                let wait = settled.since(self.now.at).min(Span::seconds(5));
                self.next.call = Call::Ready { tries: 0, not_before: self.now.at.plus(wait), after_unknown: false };
            }
            Answer::Refused(refused) => {
                let detail = refused.detail.clone();
                self.look_failed(refused.retry_after, detail);
            }
            Answer::Unknown(detail) => self.look_failed(None, detail),
        }
    }

    /// A look is repeated, and a person is told after [`TRIES`]. What needs an intent each time is counted over its intents.
    fn look_refused(&mut self, before: u32, refused: &Refused) {
        self.account_refused(before, refused, Why::Look(refused.detail.clone()));
    }

    fn look_unknown(&mut self, before: u32, detail: String) {
        if self.again(before, None, true) >= TRIES {
            self.hold(Why::Look(detail));
        }
    }

    fn look_failed(&mut self, asked: Option<Span>, detail: String) {
        self.next.failures += 1;
        let tries = self.next.failures;
        self.again(tries.saturating_sub(1), asked, true);
        if tries >= TRIES {
            self.hold(Why::Look(detail));
        }
    }

    /// The new value is lost; is the old key dead? Then another may be minted, once.
    fn probed_old_in_doubt(&mut self, answer: Answer<bool>) {
        match answer {
            Answer::Done(false) => {
                self.old_died(Proof::Refused);
                self.tell(Fact::DoubtSettled { how: String::from("the old key is dead and the new value is lost") });
                self.mint_again(true);
            }
            // A mint that ends the old key at once and had an effect would have left it dead.
            Answer::Done(true) if self.next.grace_asked(self.plan) == Span::ZERO => {
                self.tell(Fact::DoubtSettled { how: String::from("no key was made") });
                self.mint_again(false);
            }
            // It may have been granted a longer grace: another mint could take it away. Look again later.
            Answer::Done(true) => {
                self.again(TRIES + 3, None, false);
            }
            Answer::Refused(refused) => {
                self.again(TRIES, refused.retry_after, false);
            }
            Answer::Unknown(_) => {
                self.again(TRIES, None, true);
            }
        }
    }
}

/// Keys of ours that nobody uses can be found and given up.
const fn orphans_can_go(plan: &Plan) -> bool {
    matches!(plan.provider.declares.list, ListBy::Name | ListBy::Secret) && plan.provider.verbs.list && can_discard(plan)
}
