//! What is due in retire: how the old key ends, and what is waited for before.

use alloc::vec::Vec;

use crate::due::{Next, Now, Question, watch};
use crate::event::Effect;
use crate::manual;
use crate::mutants::{Mutant, on, timer_ends};
use crate::plan::{Plan, VerifyKind};
use crate::state::{Leg, Phase, Rotation};
use crate::time::{Span, Stamp};

/// How often the targets are looked at while only the provider's clock is waited for.
const IDLE_LOOK: Span = Span::HOUR;
/// What is added to a provider's expiry before it is believed by a clock that was only compared once.
pub(crate) const EXPIRY_MARGIN: Span = Span::minutes(5);

pub(crate) fn retire(rotation: &Rotation, plan: &Plan, now: Now) -> Next {
    let verbs = plan.provider.verbs;
    let retire = &rotation.retire;
    if rotation.emergency.is_some() {
        if rotation.cut_is_over(plan) {
            return Next::Tell;
        }
        // What must be proven first is asked again where it no longer holds.
        if let Some(leg) = rotation.leg.as_ref().filter(|leg| !rotation.cuts_first() && !leg.evidence(plan)) {
            return watch(rotation, leg, plan, now.at);
        }
        let asks = rotation.cut_needs_person(plan);
        let by_clock = rotation.clock_ends_old(plan) && !rotation.old_dead() && retire.revoked_at.is_none();
        return match (asks, by_clock) {
            (true, _) => Next::Ask(Question::ConfirmRetire, Stamp::NEVER),
            (_, true) => await_expiry(rotation, plan, now),
            _ => Next::At(Stamp::NEVER),
        };
    }
    if retire.dead.is_some() {
        return Next::Tell;
    }
    if let Some(revoked_at) = retire.revoked_at {
        return after_revoke(plan, revoked_at, now);
    }
    if rotation.clock_ends_old(plan) {
        return await_expiry(rotation, plan, now);
    }
    let polled = match rotation.leg.as_ref().filter(|_| !retire.unused) {
        None => None,
        Some(leg) => match watch(rotation, leg, plan, now.at) {
            // Polls that are due come before any act, so that the act stands on what is true now.
            Next::Call(effect) => return Next::Call(effect),
            Next::At(at) | Next::Ask(_, at) if !ready_to_end(rotation, leg, plan) => {
                return if asks_person(rotation, leg, plan) { Next::Ask(Question::ConfirmRetire, at) } else { Next::At(at) };
            }
            Next::At(at) | Next::Ask(_, at) => Some(at),
            Next::Tell => Some(Stamp::NEVER),
        },
    };
    if verbs.deactivate && retire.deactivated_at.is_none() {
        return Next::Call(Effect::Deactivate);
    }
    if let Some(deactivated_at) = retire.deactivated_at {
        let soaked = deactivated_at.plus(plan.soak);
        if now.at < soaked && !retire.unused && !on(Mutant::SoakSkipped) {
            return Next::At(soaked.min(polled.unwrap_or(Stamp::NEVER)));
        }
    }
    if verbs.revoke { Next::Call(Effect::Revoke) } else { manual::end(plan, polled) }
}

/// Evidence, and quiet where it can be seen; otherwise a way back (deactivate and soak) or a person's word.
fn ready_to_end(rotation: &Rotation, leg: &Leg, plan: &Plan) -> bool {
    if timer_ends(rotation) {
        return true;
    }
    leg.evidence(plan)
        && quiet_or_unseen(rotation, leg, plan)
        && (!wants_person(rotation, leg, plan) || rotation.retire.confirmed)
}

/// The old key is quiet, or its use cannot be seen and the provider has said so.
pub(crate) fn quiet_or_unseen(rotation: &Rotation, leg: &Leg, plan: &Plan) -> bool {
    if on(Mutant::QuietIgnored) || !rotation.use_exposed(plan) {
        return true;
    }
    // Told no more: only a person knows, who is asked in retire; where the provider's clock ends the old key nobody needs to.
    let asked = rotation.retire.confirmed || rotation.phase == Phase::Settle;
    let said = leg.use_gone && (asked || rotation.clock_ends_old(plan));
    if leg.use_visible { leg.quiet(plan) || said } else { leg.use_answered }
}

/// Only a person can say that the old key may go: nothing shows its use and nothing could be undone, or the evidence was a person's.
fn wants_person(rotation: &Rotation, leg: &Leg, plan: &Plan) -> bool {
    let seen = rotation.use_exposed(plan) && leg.use_visible;
    let by_word = plan.verifies.iter().any(|v| v.kind == VerifyKind::Confirm);
    if on(Mutant::WordNotAsked) {
        return false;
    }
    by_word || leg.use_gone || plan.ended_by_hand() || (!seen && !plan.provider.verbs.deactivate)
}

fn asks_person(rotation: &Rotation, leg: &Leg, plan: &Plan) -> bool {
    !rotation.retire.confirmed
        && leg.evidence(plan)
        && (leg.use_gone || quiet_or_unseen(rotation, leg, plan))
        && wants_person(rotation, leg, plan)
}

/// The provider's clock ends the old key. Until then the targets are looked at now and then.
fn await_expiry(rotation: &Rotation, plan: &Plan, now: Now) -> Next {
    let verbs = plan.provider.verbs;
    let expiry = expiry_by_our_clock(rotation);
    let look = rotation.leg.as_ref().map_or(Stamp::NEVER, |leg| {
        let polls = leg.verifies.iter().map(|v| v.next).chain([leg.use_next]);
        polls.max().unwrap_or(Stamp::NEVER).plus(IDLE_LOOK)
    });
    if now.at < expiry {
        return if look <= now.at {
            Next::Call(Effect::Watch { verifies: Vec::new(), uses: rotation.use_exposed(plan) })
        } else {
            Next::At(expiry.min(look))
        };
    }
    if verbs.probe && plan.provider.declares.negative_probe {
        Next::Call(Effect::ProbeOld)
    } else if verbs.list && rotation.retire.provider_skew.is_none() {
        Next::Call(Effect::ReadClock)
    } else if now.at < expiry.plus(EXPIRY_MARGIN) || now.frozen {
        Next::At(expiry.plus(EXPIRY_MARGIN).max(now.at.plus(Span::MINUTE)))
    } else {
        Next::Tell
    }
}

/// When the old key ends, by our clock: the provider's word, its clock's skew taken out; without a word, the latest it can be.
#[must_use]
pub fn expiry_by_our_clock(rotation: &Rotation) -> Stamp {
    let told = rotation.old.as_ref().and_then(|old| old.expires_at);
    let skew = rotation.retire.provider_skew.unwrap_or(0);
    match told {
        Some(at) => Stamp(at.0.saturating_sub(skew)),
        None => rotation.mint.intent.as_ref().map_or(Stamp::NEVER, |intent| intent.deadline.plus(intent.grace)),
    }
}

fn after_revoke(plan: &Plan, revoked_at: Stamp, now: Now) -> Next {
    if plan.provider.verbs.probe && (plan.provider.declares.negative_probe || on(Mutant::DeadKeyPresented)) {
        return Next::Call(Effect::ProbeOld);
    }
    let settled = revoked_at.plus(plan.provider.declares.settle);
    match now {
        Now { frozen: true, at, .. } => Next::At(at.plus(Span::MINUTE)),
        Now { at, .. } if at < settled => Next::At(settled),
        _ => Next::Tell,
    }
}
