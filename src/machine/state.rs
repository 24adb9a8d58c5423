//! The durable state of one rotation. It is the truth: effects are derived from it and never queued.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::emergency::Emergency;
use crate::event::Effect;
pub use crate::leg::{Grace, Layout, Leg, VerifyState};
use crate::plan::Plan;
use crate::time::{Span, Stamp};
pub use crate::why::{Held, Why};

/// The format number of [`Rotation`]; another one is refused, never guessed at.
pub const FORMAT: u16 = 1;

/// Where a rotation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Everything is looked at; nothing has happened.
    Preflight,
    /// The one call that makes the new key, until that key is readable and accepted.
    Mint,
    /// Whether the mint had an effect is not known.
    Doubt,
    /// The new key is written to the targets.
    Stage,
    /// The hooks run.
    Deploy,
    /// Evidence is gathered.
    Observe,
    /// The targets are brought to the layout that knows only the new key.
    Settle,
    /// The old key is ended.
    Retire,
    /// Nothing is left to do.
    Closed,
}

impl Phase {
    /// Its name in logs, status and documents.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Mint => "mint",
            Self::Doubt => "doubt",
            Self::Stage => "stage",
            Self::Deploy => "deploy",
            Self::Observe => "observe",
            Self::Settle => "settle",
            Self::Retire => "retire",
            Self::Closed => "closed",
        }
    }
}

/// A key as the machine knows it: never its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The provider's id; some have none.
    pub id: Option<String>,
    /// Its fingerprint.
    pub fingerprint: String,
    /// When the provider ends it, by the provider's clock.
    pub expires_at: Option<Stamp>,
}

/// The call under way, or how the next one is to be tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// Nothing is under way.
    Ready {
        /// Tries of the present effect that did not succeed.
        tries: u32,
        /// Not before this.
        not_before: Stamp,
        /// The last try ended unknown.
        after_unknown: bool,
    },
    /// The intent is committed; the call may have been sent.
    Flying {
        /// What was intended.
        effect: Effect,
        /// When the intent was committed.
        since: Stamp,
        /// After this the call cannot land any more.
        deadline: Stamp,
    },
}

impl Call {
    /// Nothing under way, nothing tried.
    pub const FRESH: Self = Self::Ready { tries: 0, not_before: Stamp(0), after_unknown: false };
}

/// The committed intent to mint that is still open or was the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MintIntent {
    /// When it was committed.
    pub at: Stamp,
    /// When the call cannot land any more.
    pub deadline: Stamp,
    /// The grace it asks for.
    pub grace: Span,
}

/// What became of the mint so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MintState {
    /// The last intent.
    pub intent: Option<MintIntent>,
    /// How many intents there were; each is sent once.
    pub intents: u32,
    /// A raw reply is sealed and waits to be read.
    pub received: bool,
    /// The reply held no secret: `[read]` must follow.
    pub to_read: bool,
    /// When the targets and all else were last surveyed.
    pub surveyed_at: Stamp,
    /// Own probes of the new key ended last at this time: uses up to then may be ours.
    pub probed_at: Option<Stamp>,
    /// The new key was accepted by a probe (or there is none to make).
    pub accepted: bool,
    /// An earlier intent of this rotation ended in doubt: its key may live unseen.
    pub lost: bool,
    /// New keys of this rotation that an emergency has put into its cut set.
    pub superseded: u32,
    /// A key of an earlier intent was found and given up: it was made, so the provider's clock for the old key runs since then.
    #[serde(default)]
    pub clock_runs: bool,
    /// A person said when the provider's clock ends the old key (`submit --old-expires-at`).
    #[serde(default)]
    pub old_end_said: bool,
}

/// How far the looks of a doubt have come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "one flag a look: the looks that were made and settled nothing")]
pub struct Doubt {
    /// Since when.
    pub since: Stamp,
    /// Replayed with the same idempotency key.
    pub replayed: bool,
    /// Looked for the value we chose.
    pub by_value: bool,
    /// Looked at the list.
    pub listed: bool,
    /// Read the secret again.
    pub reread: bool,
    /// A look proved that no key of the lost mint lives.
    pub absent: bool,
    /// Orphans of ours that a look found and that are to be given up, by id.
    pub orphans: Vec<String>,
    /// Keys that may be ours, for a person to judge.
    pub candidates: Vec<String>,
    /// A person asked to close after the look.
    pub abandon: bool,
    /// The clock has stepped: what had to be waited for was reckoned by another one.
    pub stepped: bool,
}

impl Doubt {
    /// A look has shown that the lost mint left no key behind.
    #[must_use]
    pub const fn proven(&self) -> bool {
        self.absent || self.listed
    }
}

/// How far the old key's end has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetireState {
    /// A person's `confirm --retire`.
    pub confirmed: bool,
    /// The key to be ended never stood in a target (`abandon` before any write): no evidence is needed.
    pub unused: bool,
    /// A deactivate or revoke was intended: it may have happened, whatever came back.
    pub ending: bool,
    /// It was deactivated at this time.
    pub deactivated_at: Option<Stamp>,
    /// It turned out to be used while deactivated: to be activated again.
    pub reactivate: bool,
    /// It was revoked at this time.
    pub revoked_at: Option<Stamp>,
    /// How its death was proven.
    pub dead: Option<Proof>,
    /// Provider's clock minus ours as last measured, in milliseconds.
    pub provider_skew: Option<i64>,
}

/// How a key's death was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// Presented, and refused.
    Refused,
    /// The provider confirmed the revoke, and its settle span passed; it may not be presented.
    Revoked,
    /// Past its expiry by the provider's own clock.
    Expired,
    /// The mint itself ends it (grace of nothing).
    AtMint,
    /// A person said that they have ended it; nothing else can tell.
    Said,
}

/// How a rotation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// The new key is in use and the old one dead.
    Done,
    /// The new key is in use; the old one was not ours to end.
    OldLeft,
    /// The first key of the policy is in use.
    First,
    /// Given up by a person; the key that was in use before is in use.
    Abandoned,
}

/// One rotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// [`FORMAT`].
    pub format: u16,
    /// Spreads retries of many rotations; drawn from the rotation's id.
    pub seed: u64,
    /// When it was opened.
    pub opened_at: Stamp,
    /// Where it stands.
    pub phase: Phase,
    /// The call under way.
    pub call: Call,
    /// Failures in a row of what is being done, over all targets of a leg and over new intents.
    pub failures: u32,
    /// Waiting for a person.
    pub held: Option<Held>,
    /// When a person was last told of something that only waits for them and is not held.
    pub asked_at: Option<Stamp>,
    /// When a person was last told that there is no evidence, which is no question: one that comes later is told at once all the same.
    #[serde(default)]
    pub unproven_told_at: Option<Stamp>,
    /// When a person last said `resume`: the old key's uses before it are forgiven.
    pub resumed_at: Stamp,
    /// The key in use before; `None` = a first key.
    pub old: Option<Key>,
    /// The old key is ours, so that we may end it.
    pub old_is_ours: bool,
    /// The old key's value is sealed here: it stood in a target that could be read.
    pub old_is_sealed: bool,
    /// The new key.
    pub new: Option<Key>,
    /// Roles are swapped by `abandon`: "new" is the key that was in use before, "old" the one that was made.
    pub swapped: bool,
    /// The mint.
    pub mint: MintState,
    /// The doubt.
    pub doubt: Doubt,
    /// The leg under way, from stage on.
    pub leg: Option<Leg>,
    /// Legs begun.
    pub legs: u32,
    /// The grace, armed with the mint's intent.
    pub grace: Option<Grace>,
    /// Evidence for the new key after all targets and hooks of the first leg.
    pub cutover_at: Option<Stamp>,
    /// The old key's end.
    pub retire: RetireState,
    /// The emergency that it answers.
    pub emergency: Option<Emergency>,
    /// How it ended.
    pub end: Option<End>,
}

impl Rotation {
    /// A rotation that has done nothing yet.
    #[must_use]
    pub fn open(seed: u64, now: Stamp) -> Self {
        Self {
            format: FORMAT,
            seed,
            opened_at: now,
            phase: Phase::Preflight,
            call: Call::FRESH,
            failures: 0,
            held: None,
            asked_at: None,
            unproven_told_at: None,
            resumed_at: now,
            old: None,
            old_is_ours: false,
            old_is_sealed: false,
            new: None,
            swapped: false,
            mint: MintState::default(),
            doubt: Doubt::default(),
            leg: None,
            legs: 0,
            grace: None,
            cutover_at: None,
            retire: RetireState::default(),
            emergency: None,
            end: None,
        }
    }

    /// The old key is dead, as far as that is proven.
    #[must_use]
    pub const fn old_dead(&self) -> bool {
        self.retire.dead.is_some()
    }

    /// The old key's use can be seen at the provider, by this plan.
    #[must_use]
    pub fn use_exposed(&self, plan: &Plan) -> bool {
        let verbs = plan.provider.verbs;
        plan.provider.declares.last_used.is_some()
            && plan.provider.declares.authority == crate::plan::Authority::Separate
            && (verbs.last_used || verbs.list)
            && self.old.as_ref().is_some_and(|old| old.id.is_some())
    }

    /// The old key ends by the provider's clock in this rotation (not where `abandon` swapped the roles: then it is ours to revoke).
    #[must_use]
    pub const fn clock_ends_old(&self, plan: &Plan) -> bool {
        (plan.provider_ends_old() || self.mint.old_end_said) && !self.swapped
    }

    /// Other hooks or verifies from now on: the leg under way is deployed and observed anew. Written targets stay written.
    pub fn deploy_anew(&mut self, plan: &Plan) {
        if let Some(leg) = self.leg.as_mut().filter(|_| self.phase == Phase::Retire) {
            // Deployed it is; what other verifies have seen says nothing for these.
            for (state, verify) in leg.verifies.iter_mut().zip(&plan.verifies) {
                if verify.kind != crate::plan::VerifyKind::Confirm {
                    *state = VerifyState::default();
                }
            }
        } else if let Some(leg) = &mut self.leg {
            let (layout, written, touched, follows) = (leg.layout, leg.written.clone(), leg.touched, leg.follows);
            self.legs += 1;
            *leg = Leg { written, touched, follows, ..Leg::new(layout, self.legs, plan) };
            if self.phase == Phase::Observe {
                self.phase = Phase::Deploy;
            }
        }
    }

    /// How long ago it was opened.
    #[must_use]
    pub const fn age(&self, now: Stamp) -> Span {
        now.since(self.opened_at)
    }
}
