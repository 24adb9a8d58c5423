//! An emergency: a compromised key is cut off first and the rest repaired afterwards, or the other way round.
//!
//! The *cut set* is every key of the policy that is not proven dead, except the new one. It is durable with the order, and each key of
//! it ends in a statement: dead and how that was proven, alive until when, or not ended and why.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::ending::EXPIRY_MARGIN;
use crate::event::Effect;
use crate::mutants::{Mutant, on};
use crate::plan::{Authority, Plan};
use crate::state::{Key, Phase, Proof, Rotation};
use crate::time::{Span, Stamp};

/// In an emergency nothing waits longer than this for its next try.
pub(crate) const LONGEST_WAIT: Span = Span::MINUTE;

/// Which comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmergencyOrder {
    /// The compromised keys are cut off as soon as there is a new one; what uses them is down until it has read the new one.
    CutFirst,
    /// The new key is brought into use first, without waiting for a window; then every older key is cut off.
    DeployFirst,
}

impl EmergencyOrder {
    /// As it is typed.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::CutFirst => "cut-first",
            Self::DeployFirst => "deploy-first",
        }
    }
}

/// An emergency that a rotation answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emergency {
    /// Which comes first.
    pub order: EmergencyOrder,
    /// When it was ordered.
    pub at: Stamp,
    /// Every older key that is not proven dead when the order came, and every one since; the place is the key's name in effects.
    pub cut: Vec<Cut>,
    /// The cut waits for no new key any more: none could be made at once.
    pub at_once: bool,
    /// A mint whose effect cannot be known was repeated for this order: once.
    pub minted_anew: bool,
    /// Deploy-first: the new key stood in a target when the order came. This rotation is finished, and then that key is replaced too.
    pub staged: bool,
}

/// One key of the cut set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The key. Without an id and a fingerprint: the key of a mint whose reply was lost.
    pub key: Key,
    /// It is ours, so that we may end it.
    pub ours: bool,
    /// Its value is sealed here: it may be presented.
    pub sealed: bool,
    /// Tries to end it that did not succeed, in a row.
    pub tries: u32,
    /// Not to be tried before.
    pub not_before: Stamp,
    /// The provider confirmed its end.
    pub ended_at: Option<Stamp>,
    /// How its death was proven.
    pub dead: Option<Proof>,
    /// A person has said that it is ended.
    pub by_word: bool,
    /// What came back from the last try that did not succeed.
    pub failed: Option<String>,
}

impl Cut {
    /// A key that is to be cut off.
    #[must_use]
    pub const fn new(key: Key, ours: bool) -> Self {
        Self {
            key,
            ours,
            sealed: false,
            tries: 0,
            not_before: Stamp(0),
            ended_at: None,
            dead: None,
            by_word: false,
            failed: None,
        }
    }

    /// It is this key.
    #[must_use]
    pub fn is(&self, key: &Key) -> bool {
        let same_print = !self.key.fingerprint.is_empty() && self.key.fingerprint == key.fingerprint;
        same_print || (self.key.id.is_some() && self.key.id == key.id && self.key.fingerprint.is_empty())
    }

    /// Dead as far as that is proven, or ended by a person's word.
    #[must_use]
    pub const fn settled(&self) -> bool {
        self.dead.is_some() || self.by_word
    }

    /// cutover can end it by the provider's API.
    #[must_use]
    pub const fn can_be_ended(&self, plan: &Plan) -> bool {
        let verbs = plan.provider.verbs;
        let shown = !verbs.revoke_needs_secret || self.sealed;
        self.ours && self.key.id.is_some() && ((verbs.revoke && shown) || verbs.deactivate)
    }

    /// It is neither dead nor will anything be done about it: it is not ours, or nobody can name it, and no clock is known to end it.
    #[must_use]
    pub const fn is_left(&self) -> bool {
        let nameless = self.key.id.is_none() && !self.sealed;
        !self.settled() && self.key.expires_at.is_none() && (!self.ours || nameless)
    }
}

impl Emergency {
    /// An emergency with these keys to cut off.
    #[must_use]
    pub const fn new(order: EmergencyOrder, at: Stamp, cut: Vec<Cut>) -> Self {
        Self { order, at, cut, at_once: false, minted_anew: false, staged: false }
    }
}

impl Rotation {
    /// The compromised keys are cut off before the new one is in use.
    #[must_use]
    pub fn cuts_first(&self) -> bool {
        self.emergency.as_ref().is_some_and(|emergency| emergency.order == EmergencyOrder::CutFirst)
    }

    /// The targets are read right before this call, and it is not made when they hold what they should not. A store that is slow keeps no
    /// emergency from its new key, and nothing keeps a cut-first one from the cut.
    #[must_use]
    pub fn guards(&self, effect: &Effect) -> bool {
        match effect {
            Effect::Mint | Effect::Discard(_) => effect.guarded() && self.emergency.is_none(),
            Effect::Cut(_) => !self.cuts_first(),
            _ => effect.guarded(),
        }
    }

    /// The grace that the next mint asks for: in a cut-first emergency the shortest that the provider knows.
    #[must_use]
    pub fn grace_to_ask(&self, plan: &Plan) -> Span {
        match &plan.provider.declares.grace {
            Some(offer) if self.cuts_first() => offer.shortest(),
            _ => plan.grace,
        }
    }

    /// The grace that the last mint asked for, or the next one asks for where there was none.
    #[must_use]
    pub fn grace_asked(&self, plan: &Plan) -> Span {
        self.mint.intent.as_ref().map_or_else(|| self.grace_to_ask(plan), |intent| intent.grace)
    }

    /// Every key of the cut set is dead, or has been said to be, or is none that cutover may or can name.
    #[must_use]
    pub fn cut_is_over(&self, plan: &Plan) -> bool {
        let cut = self.emergency.iter().flat_map(|emergency| &emergency.cut);
        let said = |old: &Key| cut.clone().any(|cut| cut.is(old) && cut.settled());
        let by_clock = self.clock_ends_old(plan) && !self.old_dead() && self.old.as_ref().is_some_and(|old| !said(old));
        !by_clock && cut.into_iter().all(|cut| cut.settled() || cut.is_left())
    }

    /// A key of the cut set that only a person can end.
    #[must_use]
    pub fn cut_needs_person(&self, plan: &Plan) -> bool {
        let mut cut = self.emergency.iter().flat_map(|emergency| &emergency.cut);
        cut.any(|cut| {
            // The clock that the mint started is the old key's: of another one without a known end nobody can say when it dies.
            let old = self.old.as_ref().is_some_and(|old| cut.is(old));
            let by_clock = cut.key.expires_at.is_some() || (old && self.clock_ends_old(plan));
            !cut.settled() && !cut.is_left() && ((!cut.can_be_ended(plan) && !by_clock) || cut.tries >= crate::decide::TRIES)
        })
    }

    /// A target holds the new key, or may.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.leg.as_ref().is_some_and(|leg| leg.number > 1 || leg.touched)
    }
}

/// What is next for the cut set.
pub(crate) enum CutDue {
    /// Make this call.
    Call(Effect),
    /// Time alone has settled something.
    Tell,
    /// Nothing before this.
    At(Stamp),
}

/// What is next for the cut set; nothing is cut while the order of things does not allow it.
pub(crate) fn cut_due(rotation: &Rotation, plan: &Plan, now: Stamp) -> CutDue {
    let mut wake = Stamp::NEVER;
    let Some(emergency) = &rotation.emergency else { return CutDue::At(wake) };
    let may = may_cut(rotation, emergency, plan);
    for (place, cut) in (0_u32..).zip(&emergency.cut).filter(|(_, cut)| !cut.settled()) {
        if let Some(at) = settles_at(rotation, cut, plan) {
            if at <= now {
                return CutDue::Tell;
            }
            wake = wake.min(at);
        }
        let effect = match cut.ended_at {
            None if may && cut.can_be_ended(plan) => Effect::Cut(place),
            Some(_) if probes(cut, plan) && may_present(rotation, plan) => Effect::ProbeCut(place),
            _ => continue,
        };
        if cut.not_before <= now {
            return CutDue::Call(effect);
        }
        wake = wake.min(cut.not_before);
    }
    CutDue::At(wake)
}

/// Cut-first: as soon as the new key is in hand, or none could be made at once. Deploy-first: once the new key is proven in use.
fn may_cut(rotation: &Rotation, emergency: &Emergency, plan: &Plan) -> bool {
    let mint = &rotation.mint;
    let in_hand = rotation.new.is_some() && !mint.received && !mint.to_read;
    match emergency.order {
        EmergencyOrder::CutFirst => {
            // A first key that was being given up: none is waited for.
            let unused = rotation.retire.unused;
            on(Mutant::CutTooEarly)
                || in_hand
                || unused
                || (emergency.at_once && plan.provider.declares.authority == Authority::Separate)
        }
        EmergencyOrder::DeployFirst if on(Mutant::DeployFirstCutsEarly) => in_hand,
        EmergencyOrder::DeployFirst => {
            rotation.phase == Phase::Retire && rotation.leg.as_ref().is_some_and(|leg| leg.evidence(plan))
        }
    }
}

/// While a mint is in doubt whose provider ends the new key when an old one is presented, none is.
fn may_present(rotation: &Rotation, plan: &Plan) -> bool {
    rotation.phase != Phase::Doubt || plan.provider.declares.re_rotate != crate::plan::ReRotate::Destroys
}

pub(crate) const fn probes(cut: &Cut, plan: &Plan) -> bool {
    cut.sealed && plan.provider.verbs.probe && plan.provider.declares.negative_probe
}

/// When time alone proves a key's death: its end was confirmed and the provider's settle span is over, or it is past its expiry.
pub(crate) fn settles_at(rotation: &Rotation, cut: &Cut, plan: &Plan) -> Option<Stamp> {
    if let Some(ended_at) = cut.ended_at {
        return (!probes(cut, plan)).then(|| ended_at.plus(plan.provider.declares.settle));
    }
    // The key in use before ends in retire, where its expiry is seen by the provider's own clock or a probe.
    if rotation.old.as_ref().is_some_and(|old| cut.is(old)) {
        return None;
    }
    let skew = rotation.retire.provider_skew.unwrap_or(0);
    cut.key.expires_at.map(|at| Stamp(at.0.saturating_sub(skew)).plus(EXPIRY_MARGIN))
}
