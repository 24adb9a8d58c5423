//! In doubt: what is looked at, in which order, and what the looks allow.

use alloc::string::String;
use alloc::vec::Vec;

use crate::decide::Work;
use crate::event::{Effect, Fact};
use crate::mutants::{Mutant, on};
use crate::plan::{Authority, Plan, ReRotate};
use crate::state::{Call, Doubt, End, Phase, Rotation, Why};
use crate::time::Stamp;

/// What a doubt asks for next.
pub(crate) enum Look {
    /// Make this look.
    Call(Effect),
    /// Nothing is decided before this.
    At(Stamp),
    /// Another mint is safe.
    MintAgain,
    /// Nothing more can be looked at.
    Hold(Why),
}

/// Mints that a look has proven to have left nothing behind may be repeated so often before a person is asked.
const PROVEN_INTENTS: u32 = 3;
/// Mints that are merely harmless to repeat (`keeps-all`) are repeated once.
const HARMLESS_INTENTS: u32 = 2;

/// The first look that applies (definitions.md 4) and was not made yet.
pub(crate) fn look(rotation: &Rotation, plan: &Plan, now: Stamp) -> Look {
    let declares = &plan.provider.declares;
    let verbs = plan.provider.verbs;
    let doubt = &rotation.doubt;
    let Some(intent) = &rotation.mint.intent else { return Look::MintAgain };
    if now < intent.deadline && !on(Mutant::LookedTooEarly) {
        return Look::At(intent.deadline);
    }
    if let Some(idempotency) = declares.idempotency
        && !doubt.replayed
        && now < intent.at.plus(idempotency.window)
    {
        return Look::Call(Effect::Replay);
    }
    // The old key must not be presented again; where it is also what signs, nothing can be asked.
    if declares.authority == Authority::Own && declares.re_rotate == ReRotate::Destroys {
        return Look::Hold(Why::Doubt);
    }
    if plan.provider.generates && !doubt.by_value && (verbs.read_by_value || verbs.probe) {
        // "Not there" is believed only once a birth would be seen.
        let shown = intent.deadline.plus(declares.settle);
        return if now < shown { Look::At(shown) } else { Look::Call(Effect::LookByValue) };
    }
    if let Some(orphan) = doubt.orphans.first() {
        return if can_discard(plan) { Look::Call(Effect::Discard(orphan.clone())) } else { Look::Hold(candidates(rotation)) };
    }
    if plan.provider.lists() && !doubt.proven() && !on(Mutant::MintedUnlooked) {
        let shown = intent.deadline.plus(declares.list_lag);
        return if now < shown && !on(Mutant::ListLagIgnored) { Look::At(shown) } else { Look::Call(Effect::LookByList) };
    }
    if !doubt.candidates.is_empty() {
        return Look::Hold(candidates(rotation));
    }
    if declares.reread && !doubt.reread && !doubt.proven() {
        let shown = intent.deadline.plus(declares.settle);
        return if now < shown { Look::At(shown) } else { Look::Call(Effect::Reread) };
    }
    let proven = on(Mutant::MintedUnlooked) || doubt.proven();
    let harmless = declares.re_rotate == ReRotate::KeepsAll;
    if (proven && rotation.mint.intents < PROVEN_INTENTS) || (harmless && rotation.mint.intents < HARMLESS_INTENTS) {
        return Look::MintAgain;
    }
    Look::Hold(Why::Doubt)
}

impl Work<'_> {
    /// Enters doubt: nothing is decided before `deadline`.
    pub(crate) fn doubt(&mut self, detail: String, deadline: Stamp) {
        self.next.phase = Phase::Doubt;
        self.next.call = Call::FRESH;
        self.next.doubt = Doubt { since: self.now.at, ..Doubt::default() };
        if let Some(intent) = &mut self.next.mint.intent {
            intent.deadline = deadline;
        }
        if !on(Mutant::DoubtUntold) {
            self.tell(Fact::InDoubt { detail, decide_at: deadline });
        }
        self.cut_at_once();
        self.settle_doubt();
    }

    /// Acts on what the looks allow now; does nothing while a look is still to be made.
    pub(crate) fn settle_doubt(&mut self) {
        if self.doubt_stepped() {
            return;
        }
        match look(&self.next, self.plan, self.now.at) {
            Look::MintAgain if self.next.doubt.abandon => self.close(End::Abandoned),
            Look::MintAgain => {
                let proven = self.next.doubt.proven();
                self.tell(Fact::DoubtSettled {
                    how: String::from(if proven { "no key was made" } else { "the lost key does no harm" }),
                });
                self.mint_again(!proven);
            }
            Look::Hold(_) if self.may_mint_anew() => {
                let candidates = core::mem::take(&mut self.next.doubt.candidates);
                for id in candidates {
                    // Somebody may have made it: it is told, and left to a person.
                    let key = crate::state::Key { id: Some(id), fingerprint: String::new(), expires_at: None };
                    self.gather(&[crate::emergency::Cut::new(key, false)]);
                }
                self.tell(Fact::DoubtSettled {
                    how: String::from("by the emergency's order: the lost key is to be cut off too"),
                });
                self.mint_again(true);
            }
            Look::Hold(why) => self.hold(why),
            Look::Call(_) | Look::At(_) => {}
        }
    }

    /// While the clock is not sane no look is believed; once it is, the call may still be on its way for as long as ever it could. How old
    /// the intent is nobody knows then, so it is not replayed any more.
    fn doubt_stepped(&mut self) -> bool {
        if !self.now.frozen && core::mem::take(&mut self.next.doubt.stepped) {
            let latest = self.now.at.plus(self.plan.provider.mint_timeout);
            self.next.doubt.replayed = true;
            if let Some(intent) = &mut self.next.mint.intent {
                intent.deadline = latest;
            }
        }
        self.next.doubt.stepped |= self.now.frozen;
        self.now.frozen
    }
}

/// Whether a key that has only an id can be given up.
pub(crate) const fn can_discard(plan: &Plan) -> bool {
    let verbs = plan.provider.verbs;
    verbs.discard || (verbs.revoke && !verbs.revoke_needs_secret)
}

fn candidates(rotation: &Rotation) -> Why {
    let all: Vec<_> = rotation.doubt.orphans.iter().chain(&rotation.doubt.candidates).cloned().collect();
    Why::Candidates(all)
}
