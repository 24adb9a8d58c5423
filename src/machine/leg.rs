//! One leg: a layout written, deployed and observed; and the grace it must fit into.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::mutants::{Mutant, forged_evidence, on};
use crate::plan::{Plan, VerifyKind};
use crate::time::{Span, Stamp};

/// Which layout a leg brings to the targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// While both keys live.
    During,
    /// Only the new key.
    Settled,
}

impl Layout {
    /// Its name in logs and run ids.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::During => "during",
            Self::Settled => "settled",
        }
    }
}

/// What a verify has shown in this leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyState {
    /// The first poll of the present unbroken run of polls that hold.
    pub since: Option<Stamp>,
    /// Its evidence is complete.
    pub holds: bool,
    /// To be asked again at this time.
    pub next: Stamp,
}

/// One leg: a layout written, deployed and observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// The layout.
    pub layout: Layout,
    /// How many legs this rotation has begun; part of the hooks' run id.
    pub number: u32,
    /// It follows a leg whose evidence was complete: a `confirm` is answered by `confirm --retire` instead.
    pub follows: bool,
    /// Targets that hold the layout, in the plan's order.
    pub written: Vec<bool>,
    /// A write was intended: a target may hold it, whatever came back.
    pub touched: bool,
    /// Hooks done after all writes.
    pub hooks_done: u32,
    /// Failures in a row of the hook that is next.
    pub hook_failures: u32,
    /// Deployed early with a target still missing (at 75 % of the grace).
    pub early: bool,
    /// When the last hook was done (or the last write, without hooks).
    pub deployed_at: Option<Stamp>,
    /// The verifies.
    pub verifies: Vec<VerifyState>,
    /// The old key's last use known, or the deploy: quiet counts from here.
    pub quiet_from: Stamp,
    /// The old key's use can be seen and was not since `quiet_from`, up to this poll.
    pub quiet_seen_to: Option<Stamp>,
    /// The provider told something definite about the old key's use at the last look.
    pub use_visible: bool,
    /// What it told before it does not tell any more: only a person can say that the old key is not used.
    #[serde(default)]
    pub use_gone: bool,
    /// The provider answered at least one look at the uses in this leg.
    pub use_answered: bool,
    /// The next look at the last uses.
    pub use_next: Stamp,
    /// A person's `confirm` let it go on without the evidence.
    pub confirmed: bool,
}

impl Leg {
    /// A leg with nothing done.
    #[must_use]
    pub fn new(layout: Layout, number: u32, plan: &Plan) -> Self {
        Self {
            layout,
            number,
            follows: false,
            written: plan.targets.iter().map(|_| false).collect(),
            touched: false,
            hooks_done: 0,
            hook_failures: 0,
            early: false,
            deployed_at: None,
            verifies: plan.verifies.iter().map(|_| VerifyState::default()).collect(),
            quiet_from: Stamp(0),
            quiet_seen_to: None,
            use_visible: false,
            use_gone: false,
            use_answered: false,
            use_next: Stamp(0),
            confirmed: false,
        }
    }

    /// Every target holds the layout.
    #[must_use]
    pub fn all_written(&self) -> bool {
        self.written.iter().all(|w| *w)
    }

    /// Every verify holds. A `confirm` in a settled leg that follows another is answered by `confirm --retire` instead.
    #[must_use]
    pub fn evidence(&self, plan: &Plan) -> bool {
        if forged_evidence(self, plan) {
            return true;
        }
        self.deployed_at.is_some()
            && plan
                .verifies
                .iter()
                .zip(&self.verifies)
                .all(|(plan, state)| state.holds || (plan.kind == VerifyKind::Confirm && self.follows))
    }

    /// The old key was quiet for the plan's span, seen so with the provider's lag allowed for.
    #[must_use]
    pub fn quiet(&self, plan: &Plan) -> bool {
        let Some(last_used) = plan.provider.declares.last_used else { return false };
        let Some(seen_to) = self.quiet_seen_to else { return false };
        let told_late = if on(Mutant::LagIgnored) { Span::ZERO } else { last_used.lag.plus(last_used.granularity) };
        self.deployed_at.is_some() && seen_to >= self.quiet_from.plus(plan.quiet).plus(told_late)
    }
}

/// The grace: until when the old key can be counted on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grace {
    /// The intent's time.
    pub from: Stamp,
    /// Its end by our clock, the earliest it can be.
    pub end: Stamp,
    /// Thresholds already told, in percent.
    pub told: Vec<u8>,
    /// Its end was told.
    pub ended_told: bool,
}

impl Grace {
    /// When `percent` of it have passed.
    #[must_use]
    pub fn at(&self, percent: u8) -> Stamp {
        self.from.plus(self.end.since(self.from).percent(i64::from(percent)))
    }
}
