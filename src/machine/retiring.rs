//! The events of retire: the old key is ended, by us or by the provider's clock, and seen dead.

use alloc::string::String;

use crate::decide::{TRIES, Work};
use crate::ending::{EXPIRY_MARGIN, expiry_by_our_clock};
use crate::event::{Answer, Effect, Fact, Illegal};
use crate::mutants::{Mutant, on};
use crate::state::{Call, End, Phase, Proof, Why};
use crate::time::Span;

/// Between two looks at a key that should be dead by now.
const PATIENCE: Span = Span::seconds(30);

impl Work<'_> {
    /// The new key alone stands in the targets and is in use: what is left is the old key.
    pub(crate) fn enter_retire(&mut self) {
        self.next.call = Call::FRESH;
        self.next.failures = 0;
        if self.next.emergency.is_some() {
            self.next.phase = Phase::Retire;
            self.next.asked_at = None;
            self.retire_moves();
        } else if self.next.old.is_none() {
            self.close(End::First);
        } else if self.next.old_dead() {
            self.close(End::Done);
        } else if !self.next.clock_ends_old(self.plan)
            && !self.next.old_is_ours
            && !self.plan.ended_by_hand()
            && !on(Mutant::NotOursEnded)
        {
            self.close(End::OldLeft);
        } else {
            self.next.phase = Phase::Retire;
            self.next.asked_at = None;
        }
    }

    /// Decisions of retire that only waited for a time or a fact.
    pub(crate) fn retire_moves(&mut self) {
        if self.next.phase != Phase::Retire {
            return;
        }
        let probes = self.plan.provider.verbs.probe && self.plan.provider.declares.negative_probe;
        if self.next.emergency.is_some() && self.next.retire.revoked_at.is_some() {
            // How its death is proven is for the cut set.
        } else if let Some(revoked_at) = self.next.retire.revoked_at {
            if !probes && self.plan.ended_by_hand() {
                self.old_is_dead(Proof::Said);
            } else if !probes && !self.now.frozen && self.now.at >= revoked_at.plus(self.plan.provider.declares.settle) {
                self.old_is_dead(Proof::Revoked);
            }
        } else if self.next.clock_ends_old(self.plan)
            && !probes
            && !self.now.frozen
            && self.now.at >= expiry_by_our_clock(&self.next).plus(EXPIRY_MARGIN)
        {
            self.old_is_dead(Proof::Expired);
        }
        if self.next.phase != Phase::Retire {
            return;
        }
        if self.next.emergency.is_some() {
            if self.next.cut_is_over(self.plan) {
                self.close(self.end());
            }
        } else if self.next.retire.dead.is_some() {
            self.close(self.end());
        }
    }

    fn end(&self) -> End {
        let emergency = self.next.emergency.as_ref();
        match emergency {
            Some(_) if self.next.old.is_none() => End::First,
            Some(emergency) if emergency.cut.iter().any(|cut| !cut.settled()) => End::OldLeft,
            _ if self.next.swapped => End::Abandoned,
            _ => End::Done,
        }
    }

    fn old_is_dead(&mut self, proof: Proof) {
        self.old_died(proof);
        if self.next.cut_is_over(self.plan) {
            self.close(self.end());
        }
    }

    pub(crate) fn ended(&mut self, answer: Answer<()>) -> Result<(), Illegal> {
        if !matches!(self.next.call, Call::Flying { effect: Effect::Deactivate | Effect::Activate | Effect::Revoke, .. }) {
            return Err(self.illegal("no key is being ended"));
        }
        let effect = self.landed()?;
        match answer {
            Answer::Done(()) => {
                self.next.failures = 0;
                if self.next.held.as_ref().is_some_and(|held| held.why.retries()) {
                    self.recovered();
                }
                match effect {
                    Effect::Deactivate => {
                        self.next.retire.deactivated_at = Some(self.now.at);
                        self.tell(Fact::Deactivated);
                    }
                    Effect::Activate => {
                        self.next.retire.reactivate = false;
                        self.next.retire.deactivated_at = None;
                        self.next.retire.ending = false;
                        self.tell(Fact::Reactivated);
                    }
                    _ => {
                        self.next.retire.revoked_at = Some(self.now.at);
                        self.tell(Fact::Revoked);
                        if on(Mutant::DeadUnproven) {
                            self.old_is_dead(Proof::Refused);
                            return Ok(());
                        }
                        self.retire_moves();
                    }
                }
            }
            // The call may be repeated freely: what is gone already counts as done.
            Answer::Refused(refused) => {
                let tries = self.again(self.next.failures, refused.retry_after, false);
                self.next.failures = tries;
                if self.is_denied(&refused) {
                    self.hold(Why::Credential(refused.detail));
                } else if tries >= TRIES || refused.class == crate::event::Class::Scope {
                    self.hold(Why::Retire(refused.detail));
                }
            }
            Answer::Unknown(detail) => {
                let tries = self.again(self.next.failures, None, true);
                self.next.failures = tries;
                if tries >= TRIES {
                    self.hold(Why::Retire(detail));
                }
            }
        }
        Ok(())
    }

    /// The old key was presented after its end.
    pub(crate) fn probed_old(&mut self, answer: Answer<bool>) {
        match answer {
            Answer::Done(false) => {
                self.next.failures = 0;
                let proof = Proof::Refused;
                self.old_is_dead(proof);
            }
            Answer::Done(true) => {
                // Death may be seen late: within the settle span this is nothing.
                let end = match self.next.retire.revoked_at {
                    Some(revoked_at) => revoked_at,
                    None => expiry_by_our_clock(&self.next),
                };
                let settled = end.plus(self.plan.provider.declares.settle);
                if self.now.at >= settled.plus(Span::minutes(10)) {
                    let tries = self.again(self.next.failures, None, false);
                    self.next.failures = tries;
                    self.hold(Why::OldStillAccepted);
                } else {
                    let wait = match settled.since(self.now.at) {
                        Span::ZERO => PATIENCE,
                        left => left.min(PATIENCE).max(Span::seconds(1)),
                    };
                    self.next.call = Call::Ready { tries: 0, not_before: self.now.at.plus(wait), after_unknown: false };
                }
            }
            Answer::Refused(refused) => {
                let tries = self.again(self.next.failures, refused.retry_after, false);
                self.next.failures = tries;
                if tries >= 2 * TRIES {
                    self.hold(Why::Look(refused.detail));
                }
            }
            Answer::Unknown(detail) => {
                let tries = self.again(self.next.failures, None, true);
                self.next.failures = tries;
                if tries >= 2 * TRIES {
                    self.hold(Why::Look(detail));
                }
            }
        }
    }

    pub(crate) fn clock(&mut self, answer: Answer<Option<i64>>) -> Result<(), Illegal> {
        if self.next.phase != Phase::Retire {
            return Err(self.illegal("the provider's clock is not needed"));
        }
        match answer {
            Answer::Done(skew) => {
                self.next.call = Call::FRESH;
                // A reply without a date leaves our own clock, with the margin.
                self.next.retire.provider_skew = Some(skew.unwrap_or(0));
                self.retire_moves();
            }
            Answer::Refused(refused) if self.is_denied(&refused) => {
                let tries = self.again(self.next.failures, refused.retry_after, false);
                self.next.failures = tries;
                self.hold(Why::Credential(refused.detail));
            }
            Answer::Refused(refused) => self.clock_unread(refused.retry_after, refused.detail),
            Answer::Unknown(detail) => self.clock_unread(None, detail),
        }
        Ok(())
    }

    fn clock_unread(&mut self, asked: Option<Span>, detail: String) {
        let tries = self.again(self.next.failures, asked, false);
        self.next.failures = tries;
        if tries >= 2 * TRIES {
            self.hold(Why::Look(detail));
        }
    }
}
