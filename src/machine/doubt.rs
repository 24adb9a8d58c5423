//! In doubt: what is looked at, in which order, and what the looks allow.

use alloc::vec::Vec;

use crate::event::Effect;
use crate::mutants::{Mutant, on};
use crate::plan::{Authority, ListBy, Plan, ReRotate};
use crate::state::{Rotation, Why};
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
    if declares.list != ListBy::None && verbs.list && !doubt.listed && !doubt.absent && !on(Mutant::MintedUnlooked) {
        let shown = intent.deadline.plus(declares.list_lag);
        return if now < shown && !on(Mutant::ListLagIgnored) { Look::At(shown) } else { Look::Call(Effect::LookByList) };
    }
    if !doubt.candidates.is_empty() {
        return Look::Hold(candidates(rotation));
    }
    if declares.reread && !doubt.reread && !doubt.absent && !doubt.listed {
        let shown = intent.deadline.plus(declares.settle);
        return if now < shown { Look::At(shown) } else { Look::Call(Effect::Reread) };
    }
    let proven = on(Mutant::MintedUnlooked) || doubt.absent || (doubt.listed && declares.list != ListBy::None);
    let harmless = declares.re_rotate == ReRotate::KeepsAll;
    if (proven && rotation.mint.intents < PROVEN_INTENTS) || (harmless && rotation.mint.intents < HARMLESS_INTENTS) {
        return Look::MintAgain;
    }
    Look::Hold(Why::Doubt)
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
