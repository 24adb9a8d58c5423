//! Planted bugs, for the simulator: each is a rule of the design left out, and must be found.
//!
//! Without the feature `mutants` nothing of this is left: [`on`] is a constant.

use crate::event::Effect;
use crate::leg::Leg;
use crate::plan::Plan;
use crate::state::Rotation;

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mutant {
    /// A mint without an answer is taken for refused and sent again.
    MintRetried,
    /// After a mint without an answer the refusal of a replay is taken for a proof that no key was made.
    RefusalTrusted,
    /// A mint in doubt is looked up while it can still land.
    LookedTooEarly,
    /// An absent row is believed before the list would show it.
    ListLagIgnored,
    /// An orphan that a look found is left where it is.
    OrphanLeft,
    /// A key that is merely new is taken for an orphan of ours.
    CandidatesDiscarded,
    /// A mint in doubt is repeated without a look.
    MintedUnlooked,
    /// A further mint goes out under the intent of the one before.
    IntentReused,
    /// The mint is sent before its intent is durable.
    MintUnintended,
    /// The revoke is sent before its intent is durable.
    RevokeUnintended,
    /// A mint that was under way when the process ended is forgotten.
    MintForgottenByRestart,
    /// A replay without an answer is not waited for before the look.
    ReplayNotWaitedFor,
    /// The clock that a lost mint started is forgotten with the orphan that is given up.
    ClockOfOrphanForgotten,
    /// That a key exists already takes the grace off the alarms.
    GraceOfExistingForgotten,
    /// A key that is known already is taken for a new one.
    SameKeyTaken,
    /// A new key that the provider refuses is staged.
    RefusedKeyStaged,
    /// A new key that no probe can show is written before its birth would be seen.
    UnbornKeyStaged,
    /// The old key is presented in doubt where that destroys the new one.
    OldPresentedInDoubt,
    /// The grace is not watched.
    GraceUnarmed,
    /// The grace that was asked for counts, not what the provider granted.
    GrantIgnored,
    /// The thresholds of the grace wake nobody.
    ThresholdsSleptOver,
    /// A hold is committed without its alert.
    HeldUntold,
    /// What waits for a person is not told.
    WaitingUntold,
    /// A doubt is committed without its alert.
    DoubtUntold,
    /// A hold is told once and never again.
    NeverToldAgain,
    /// A hold ends by itself and nobody is told.
    RecoveryUntold,
    /// Evidence from before the last write and restart counts.
    EvidenceKept,
    /// The settled layout needs no evidence of its own.
    SettledUnproven,
    /// The old key is ended while a target still holds it.
    SettleSkipped,
    /// A quiet old key is taken for evidence of the new one.
    QuietForEvidence,
    /// The old key is ended although it is used.
    QuietIgnored,
    /// What the provider tells late is taken for what is.
    LagIgnored,
    /// A use of the new key from before the redeploy counts as the consumer's: our own probe's.
    OwnProbeCounted,
    /// One poll that holds is enough.
    HoldForIgnored,
    /// A verify that does not answer holds.
    SilenceHolds,
    /// Polls that were never committed are taken for an unbroken run after a restart.
    RunsSurviveRestart,
    /// The hooks run while a target is not written.
    HooksBeforeWrites,
    /// A write without an answer counts as done.
    WriteUnchecked,
    /// A hook without an answer counts as done.
    HookUnchecked,
    /// The targets are not read before the revoke.
    RevokeUnguarded,
    /// The targets are not read before a hook.
    HookUnguarded,
    /// The targets are not read before the mint.
    MintUnguarded,
    /// Somebody else's value in a target stops nothing.
    DriftIgnored,
    /// A target that was set back is taken for written.
    SetBackIgnored,
    /// A person's `confirm` is taken for the evidence before retire.
    ConfirmReplacesEvidence,
    /// Where nothing shows the old key's use it is ended without asking anybody.
    WordNotAsked,
    /// The old key is revoked because its time is over.
    RevokedByTimer,
    /// The old key is revoked as soon as it is switched off.
    SoakSkipped,
    /// A confirmed revoke is taken for a key that is refused.
    DeadUnproven,
    /// The end of the grace by our clock is taken for the old key's death.
    DeadByOurClock,
    /// A dead key is presented where that is forbidden.
    DeadKeyPresented,
    /// A key that cutover neither made nor was told to adopt is ended.
    NotOursEnded,
    /// `abandon` revokes a key that stands in a target.
    AbandonRevokesStaged,
    /// `abandon` goes back to a key that is being ended.
    AbandonAfterTheEnd,
    /// A clock that has stepped starts and ends keys.
    FrozenIgnored,
    /// The window does not gate the mint.
    WindowIgnored,
    /// Spans are counted across a step of the clock.
    SpansTrusted,
    /// The new key stays in the cut set.
    NewKeyInCutSet,
    /// A key of a lost mint is left out of the cut set.
    LostKeyLeftOut,
    /// An emergency cuts the key in use only.
    KnownLeftOut,
    /// A cut-first emergency does not wait for the new key.
    CutTooEarly,
    /// An emergency that cuts first keeps the new key that stands in the targets already.
    StagedKept,
    /// An emergency that cuts first keeps the key from before, where the rotation is being abandoned.
    AbandonedForKept,
    /// A deploy-first emergency cuts before the new key is in use.
    DeployFirstCutsEarly,
    /// A key that was cut off is called dead unseen.
    CutCalledDead,
    /// An emergency takes the key in use for ours where `abandon` had swapped the roles.
    StagedTakenForOurs,
    /// A deploy-first emergency repeats a mint in doubt.
    DeployFirstEvicts,
    /// What fails is tried again at once.
    HotRetry,
    /// A restart changes the state every time.
    RestartCounts,
}

/// What is no evidence for the new key is taken for it.
pub(crate) fn forged_evidence(leg: &Leg, plan: &Plan) -> bool {
    (on(Mutant::SettledUnproven) && leg.follows && leg.deployed_at.is_some())
        || (on(Mutant::QuietForEvidence) && leg.quiet(plan))
        || (on(Mutant::ConfirmReplacesEvidence) && leg.confirmed)
}

/// A call that needs an intent is made without one.
pub(crate) fn unintended(effect: &Effect) -> bool {
    (on(Mutant::MintUnintended) && *effect == Effect::Mint) || (on(Mutant::RevokeUnintended) && *effect == Effect::Revoke)
}

/// The old key's time is over, and that is taken for a reason to end it.
pub(crate) fn timer_ends(rotation: &Rotation) -> bool {
    on(Mutant::RevokedByTimer) && rotation.grace.as_ref().is_none_or(|grace| !grace.told.is_empty() || grace.ended_told)
}

#[cfg(feature = "mutants")]
mod planted {
    use core::sync::atomic::{AtomicU8, Ordering};

    use super::Mutant;

    /// No mutant has this number.
    const NONE: u8 = u8::MAX;
    static PLANTED: AtomicU8 = AtomicU8::new(NONE);

    impl Mutant {
        /// Every mutant with its bug in words.
        pub const ALL: [(Self, &'static str); 69] = [
            (Self::MintRetried, "A mint without an answer is taken for refused and sent again."),
            (
                Self::RefusalTrusted,
                "After a mint without an answer the refusal of a replay is taken for a proof that no key was made.",
            ),
            (Self::LookedTooEarly, "A mint in doubt is looked up while it can still land."),
            (Self::ListLagIgnored, "An absent row is believed before the list would show it."),
            (Self::OrphanLeft, "An orphan that a look found is left where it is."),
            (Self::CandidatesDiscarded, "A key that is merely new is taken for an orphan of ours."),
            (Self::MintedUnlooked, "A mint in doubt is repeated without a look."),
            (Self::IntentReused, "A further mint goes out under the intent of the one before."),
            (Self::MintUnintended, "The mint is sent before its intent is durable."),
            (Self::RevokeUnintended, "The revoke is sent before its intent is durable."),
            (Self::MintForgottenByRestart, "A mint that was under way when the process ended is forgotten."),
            (Self::ReplayNotWaitedFor, "A replay without an answer is not waited for before the look."),
            (Self::ClockOfOrphanForgotten, "The clock that a lost mint started is forgotten with the orphan that is given up."),
            (Self::GraceOfExistingForgotten, "That a key exists already takes the grace off the alarms."),
            (Self::SameKeyTaken, "A key that is known already is taken for a new one."),
            (Self::RefusedKeyStaged, "A new key that the provider refuses is staged."),
            (Self::UnbornKeyStaged, "A new key that no probe can show is written before its birth would be seen."),
            (Self::OldPresentedInDoubt, "The old key is presented in doubt where that destroys the new one."),
            (Self::GraceUnarmed, "The grace is not watched."),
            (Self::GrantIgnored, "The grace that was asked for counts, not what the provider granted."),
            (Self::ThresholdsSleptOver, "The thresholds of the grace wake nobody."),
            (Self::HeldUntold, "A hold is committed without its alert."),
            (Self::WaitingUntold, "What waits for a person is not told."),
            (Self::DoubtUntold, "A doubt is committed without its alert."),
            (Self::NeverToldAgain, "A hold is told once and never again."),
            (Self::RecoveryUntold, "A hold ends by itself and nobody is told."),
            (Self::EvidenceKept, "Evidence from before the last write and restart counts."),
            (Self::SettledUnproven, "The settled layout needs no evidence of its own."),
            (Self::SettleSkipped, "The old key is ended while a target still holds it."),
            (Self::QuietForEvidence, "A quiet old key is taken for evidence of the new one."),
            (Self::QuietIgnored, "The old key is ended although it is used."),
            (Self::LagIgnored, "What the provider tells late is taken for what is."),
            (Self::OwnProbeCounted, "A use of the new key from before the redeploy counts as the consumer's: our own probe's."),
            (Self::HoldForIgnored, "One poll that holds is enough."),
            (Self::SilenceHolds, "A verify that does not answer holds."),
            (Self::RunsSurviveRestart, "Polls that were never committed are taken for an unbroken run after a restart."),
            (Self::HooksBeforeWrites, "The hooks run while a target is not written."),
            (Self::WriteUnchecked, "A write without an answer counts as done."),
            (Self::HookUnchecked, "A hook without an answer counts as done."),
            (Self::RevokeUnguarded, "The targets are not read before the revoke."),
            (Self::HookUnguarded, "The targets are not read before a hook."),
            (Self::MintUnguarded, "The targets are not read before the mint."),
            (Self::DriftIgnored, "Somebody else's value in a target stops nothing."),
            (Self::SetBackIgnored, "A target that was set back is taken for written."),
            (Self::ConfirmReplacesEvidence, "A person's `confirm` is taken for the evidence before retire."),
            (Self::WordNotAsked, "Where nothing shows the old key's use it is ended without asking anybody."),
            (Self::RevokedByTimer, "The old key is revoked because its time is over."),
            (Self::SoakSkipped, "The old key is revoked as soon as it is switched off."),
            (Self::DeadUnproven, "A confirmed revoke is taken for a key that is refused."),
            (Self::DeadByOurClock, "The end of the grace by our clock is taken for the old key's death."),
            (Self::DeadKeyPresented, "A dead key is presented where that is forbidden."),
            (Self::NotOursEnded, "A key that cutover neither made nor was told to adopt is ended."),
            (Self::AbandonRevokesStaged, "`abandon` revokes a key that stands in a target."),
            (Self::AbandonAfterTheEnd, "`abandon` goes back to a key that is being ended."),
            (Self::FrozenIgnored, "A clock that has stepped starts and ends keys."),
            (Self::WindowIgnored, "The window does not gate the mint."),
            (Self::SpansTrusted, "Spans are counted across a step of the clock."),
            (Self::NewKeyInCutSet, "The new key stays in the cut set."),
            (Self::LostKeyLeftOut, "A key of a lost mint is left out of the cut set."),
            (Self::KnownLeftOut, "An emergency cuts the key in use only."),
            (Self::CutTooEarly, "A cut-first emergency does not wait for the new key."),
            (Self::DeployFirstCutsEarly, "A deploy-first emergency cuts before the new key is in use."),
            (Self::CutCalledDead, "A key that was cut off is called dead unseen."),
            (Self::StagedTakenForOurs, "An emergency takes the key in use for ours where `abandon` had swapped the roles."),
            (Self::StagedKept, "An emergency that cuts first keeps the new key that stands in the targets already."),
            (Self::AbandonedForKept, "An emergency that cuts first during `abandon` keeps the key from before."),
            (Self::DeployFirstEvicts, "A deploy-first emergency repeats a mint in doubt."),
            (Self::HotRetry, "What fails is tried again at once."),
            (Self::RestartCounts, "A restart changes the state every time."),
        ];
    }

    /// Plants a bug in this process, or takes it out again. One at a time.
    pub fn plant(mutant: Option<Mutant>) {
        PLANTED.store(mutant.map_or(NONE, |mutant| mutant as u8), Ordering::SeqCst);
    }

    /// Whether this bug is planted.
    pub(crate) fn on(mutant: Mutant) -> bool {
        PLANTED.load(Ordering::Relaxed) == mutant as u8
    }
}

#[cfg(feature = "mutants")]
pub(crate) use planted::on;
#[cfg(feature = "mutants")]
pub use planted::plant;

/// No bug is planted.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub(crate) fn on(_: Mutant) -> bool {
    false
}
