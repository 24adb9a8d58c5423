//! An emergency: a compromised key is cut off first and the rest repaired afterwards, or the other way round.
//!
//! The *cut set* is every key of the policy that is not proven dead, except the new one. It is durable with the order, and each key of
//! it ends in a statement: dead and how that was proven, alive until when, or not ended and why.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::decide::Work;
use crate::due::EXPIRY_MARGIN;
use crate::event::{Answer, Effect, Fact, Illegal};
use crate::plan::{Authority, Plan};
use crate::state::{Call, Key, Phase, Proof, RetireState, Rotation};
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
        let by_clock = self.clock_ends_old(plan) && self.old.is_some() && !self.old_dead();
        let cut = self.emergency.iter().flat_map(|emergency| &emergency.cut);
        !by_clock && cut.into_iter().all(|cut| cut.settled() || cut.is_left())
    }

    /// A key of the cut set that only a person can end.
    #[must_use]
    pub fn cut_needs_person(&self, plan: &Plan) -> bool {
        let mut cut = self.emergency.iter().flat_map(|emergency| &emergency.cut);
        cut.any(|cut| {
            let by_clock = cut.key.expires_at.is_some() || self.clock_ends_old(plan);
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
            Some(_) if probes(cut, plan) => Effect::ProbeCut(place),
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
        EmergencyOrder::CutFirst => in_hand || (emergency.at_once && plan.provider.declares.authority == Authority::Separate),
        EmergencyOrder::DeployFirst => {
            rotation.phase == Phase::Retire && rotation.leg.as_ref().is_some_and(|leg| leg.evidence(plan))
        }
    }
}

const fn probes(cut: &Cut, plan: &Plan) -> bool {
    cut.sealed && plan.provider.verbs.probe && plan.provider.declares.negative_probe
}

/// When time alone proves a key's death: its end was confirmed and the provider's settle span is over, or it is past its expiry.
fn settles_at(rotation: &Rotation, cut: &Cut, plan: &Plan) -> Option<Stamp> {
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

impl Work<'_> {
    /// An order to cut the policy's keys off. `known`: every key of the policy that the ledger does not know to be dead.
    pub(crate) fn order_emergency(&mut self, order: EmergencyOrder, known: &[Cut]) -> Result<(), Illegal> {
        let staged = self.next.is_written();
        if let Some(emergency) = self.next.emergency.as_mut().filter(|_| !staged) {
            // Its new key is in no target yet, so it answers this order too; the stricter of the two holds.
            if order == EmergencyOrder::CutFirst {
                emergency.order = order;
            }
            self.gather(known);
            self.emergency_taken(order);
            return Ok(());
        }
        match &self.next.call {
            Call::Flying { effect: Effect::Mint | Effect::Replay | Effect::Hook { .. }, .. } | Call::Ready { .. } => {}
            Call::Flying { effect, .. } => {
                return Err(self.illegal(alloc::format!("{} is under way: the order waits for its end", effect.label())));
            }
        }
        if self.next.swapped && order == EmergencyOrder::DeployFirst {
            return Err(self.illegal("it is being abandoned: the order waits for its end"));
        }
        let before = self.next.emergency.take();
        let kept = before.map(|emergency| emergency.cut).unwrap_or_default();
        let staged_before = staged && order == EmergencyOrder::DeployFirst;
        self.next.emergency = Some(Emergency { staged: staged_before, ..Emergency::new(order, self.now.at, kept) });
        self.next.held = None;
        self.next.resumed_at = self.now.at;
        self.next.failures = 0;
        if !matches!(self.next.call, Call::Flying { effect: Effect::Mint | Effect::Replay, .. }) {
            // A hook that runs goes on by itself; nobody waits for it any more.
            self.next.call = Call::FRESH;
        }
        self.gather(known);
        if self.next.mint.lost {
            self.lost_key();
        }
        self.emergency_taken(order);
        match order {
            EmergencyOrder::CutFirst if staged => self.supersede(),
            EmergencyOrder::CutFirst if self.next.phase == Phase::Doubt => self.settle_doubt(),
            EmergencyOrder::CutFirst if self.next.leg.is_some() => self.stage(),
            _ => {}
        }
        Ok(())
    }

    fn emergency_taken(&mut self, order: EmergencyOrder) {
        self.next.asked_at = None;
        self.tell(Fact::Ordered { order: alloc::format!("rotate --emergency={}", order.label()) });
    }

    /// The key that was staged may be known to whoever has the old one: both are to be cut off, and another is made.
    fn supersede(&mut self) {
        let Some(staged) = self.next.new.take() else { return };
        let roles = core::mem::take(&mut self.next.swapped);
        self.next.old = Some(staged);
        self.next.old_is_ours = true;
        self.next.old_is_sealed = true;
        self.next.leg = None;
        self.next.grace = None;
        self.next.cutover_at = None;
        self.next.retire = RetireState { provider_skew: self.next.retire.provider_skew, ..RetireState::default() };
        self.next.mint.received = false;
        self.next.mint.to_read = false;
        self.next.mint.accepted = false;
        self.next.mint.lost = false;
        self.next.mint.surveyed_at = Stamp(0);
        self.next.mint.superseded += 1;
        self.next.phase = Phase::Mint;
        self.gather(&[]);
        self.tell(Fact::Superseded { swapped: roles });
    }

    /// Brings the cut set up to date: the key in use before is in it, the new one is not, and what is known dead stays known.
    pub(crate) fn gather(&mut self, known: &[Cut]) {
        let dead = self.next.retire.dead;
        let (old, new, ours) = (self.next.old.clone(), self.next.new.clone(), self.next.old_is_ours);
        let sealed = self.next.old_is_sealed;
        let Some(emergency) = &mut self.next.emergency else { return };
        for cut in known {
            if !emergency.cut.iter().any(|there| there.is(&cut.key)) {
                emergency.cut.push(cut.clone());
            }
        }
        if let Some(old) = old {
            let place = emergency.cut.iter().position(|there| there.is(&old));
            let place = place.unwrap_or_else(|| {
                emergency.cut.push(Cut::new(old.clone(), ours));
                emergency.cut.len() - 1
            });
            if let Some(cut) = emergency.cut.get_mut(place) {
                cut.ours |= ours;
                cut.sealed |= sealed;
                cut.key = Key { id: old.id.or_else(|| cut.key.id.take()), ..old };
                // That the mint itself ends it is what the definition says; where it can be seen, it is.
                match dead {
                    Some(Proof::AtMint) if probes(cut, self.plan) => cut.ended_at = cut.ended_at.or(Some(self.now.at)),
                    _ => cut.dead = cut.dead.or(dead),
                }
            }
        }
        emergency.cut.retain(|cut| !new.as_ref().is_some_and(|new| cut.is(new)));
    }

    /// No new key could be made at once: the cut does not wait for one.
    pub(crate) fn cut_at_once(&mut self) {
        if let Some(emergency) = self.next.emergency.as_mut().filter(|emergency| emergency.order == EmergencyOrder::CutFirst) {
            emergency.at_once = true;
        }
    }

    /// A mint whose key nobody can find: it may live unseen.
    pub(crate) fn lost_key(&mut self) {
        if let Some(emergency) = &mut self.next.emergency {
            let key = Key { id: None, fingerprint: String::new(), expires_at: None };
            emergency.cut.push(Cut::new(key, true));
        }
    }

    /// Where the provider's clock ends what a mint replaces, the key of a lost mint is the one that the next mint replaces.
    pub(crate) fn lost_keys_end_by(&mut self, deadline: Stamp, grace: Span) {
        if !self.plan.provider_ends_old() {
            return;
        }
        let cut = self.next.emergency.iter_mut().flat_map(|emergency| &mut emergency.cut);
        for lost in cut.filter(|cut| cut.key.id.is_none() && cut.key.fingerprint.is_empty()) {
            lost.key.expires_at.get_or_insert(deadline.plus(grace));
        }
    }

    /// In a cut-first emergency a mint whose effect cannot be known is repeated once: what it may end is to be cut off anyway.
    pub(crate) fn may_mint_anew(&mut self) -> bool {
        let own = self.plan.provider.declares.authority == Authority::Own;
        match self.next.emergency.as_mut() {
            Some(emergency) if emergency.order == EmergencyOrder::CutFirst && !emergency.minted_anew && !own => {
                emergency.minted_anew = true;
                true
            }
            _ => false,
        }
    }

    /// [`Effect::Cut`] came to an end.
    pub(crate) fn cut(&mut self, place: u32, answer: Answer<()>) -> Result<(), Illegal> {
        self.cut_landed(&Effect::Cut(place))?;
        let (at, seed) = (self.now.at, self.next.seed);
        let Some(cut) = self.cut_at(place) else { return Err(self.illegal("there is no such key to cut off")) };
        match answer {
            Answer::Done(()) => {
                cut.ended_at = Some(at);
                cut.tries = 0;
                cut.not_before = at;
                cut.failed = None;
                let id = cut.key.id.clone();
                if self.old_is(place) {
                    self.next.retire.ending = true;
                    self.next.retire.revoked_at = Some(at);
                }
                self.tell(Fact::Cut { id });
                self.cut_moves();
            }
            Answer::Refused(refused) => {
                cut.retry(seed, at, refused.retry_after, refused.detail);
            }
            Answer::Unknown(detail) => cut.retry(seed, at, None, detail),
        }
        Ok(())
    }

    /// [`Effect::ProbeCut`] came to an end: a key that was cut off was presented.
    pub(crate) fn probed_cut(&mut self, place: u32, answer: Answer<bool>) -> Result<(), Illegal> {
        self.cut_landed(&Effect::ProbeCut(place))?;
        let (at, seed, settle) = (self.now.at, self.next.seed, self.plan.provider.declares.settle);
        let Some(cut) = self.cut_at(place) else { return Err(self.illegal("there is no such key to cut off")) };
        match answer {
            Answer::Done(false) => {
                cut.dead = Some(Proof::Refused);
                cut.failed = None;
                self.cut_died(place, Proof::Refused);
                self.cut_moves();
            }
            Answer::Done(true) => {
                let settled = cut.ended_at.unwrap_or(at).plus(settle);
                if at >= settled {
                    cut.retry(seed, at, None, String::from("it is still accepted although its end was confirmed"));
                } else {
                    cut.not_before = at.plus(settled.since(at).min(Span::seconds(5)).max(Span::seconds(1)));
                }
            }
            Answer::Refused(refused) => cut.retry(seed, at, refused.retry_after, refused.detail),
            Answer::Unknown(detail) => cut.retry(seed, at, None, detail),
        }
        Ok(())
    }

    /// The call is over. What was waited for besides goes on waiting.
    fn cut_landed(&mut self, wanted: &Effect) -> Result<(), Illegal> {
        match &self.next.call {
            Call::Flying { effect, .. } if effect == wanted => {
                self.next.call = Call::FRESH;
                Ok(())
            }
            _ => Err(self.illegal("no key is being cut off")),
        }
    }

    fn cut_at(&mut self, place: u32) -> Option<&mut Cut> {
        self.next.emergency.as_mut()?.cut.get_mut(usize::try_from(place).ok()?)
    }

    fn old_is(&self, place: u32) -> bool {
        let cut = self.next.emergency.as_ref().and_then(|emergency| emergency.cut.get(usize::try_from(place).ok()?));
        cut.zip(self.next.old.as_ref()).is_some_and(|(cut, old)| cut.is(old))
    }

    fn cut_died(&mut self, place: u32, proof: Proof) {
        if self.old_is(place) {
            if self.next.retire.dead.is_none() {
                self.old_died(proof);
            } else {
                self.next.retire.dead = Some(proof);
            }
        } else {
            let id = self.cut_at(place).and_then(|cut| cut.key.id.clone());
            self.tell(Fact::CutDead { id, proof });
        }
    }

    /// What time alone has settled in the cut set, and what follows for the rotation.
    pub(crate) fn cut_moves(&mut self) {
        let Some(emergency) = &self.next.emergency else { return };
        let died: Vec<(u32, Proof)> = (0_u32..)
            .zip(&emergency.cut)
            .filter(|(_, cut)| !cut.settled())
            .filter(|(_, cut)| settles_at(&self.next, cut, self.plan).is_some_and(|at| at <= self.now.at))
            .map(|(place, cut)| (place, if cut.ended_at.is_some() { Proof::Revoked } else { Proof::Expired }))
            .collect();
        for (place, proof) in died {
            if let Some(cut) = self.cut_at(place) {
                cut.dead = Some(proof);
            }
            self.cut_died(place, proof);
        }
        self.retire_moves();
    }

    /// A person says that what cutover cannot end is ended.
    pub(crate) fn cut_by_word(&mut self) -> bool {
        let plan = self.plan;
        let Some(emergency) = &mut self.next.emergency else { return false };
        let mut said = false;
        for cut in emergency.cut.iter_mut().filter(|cut| !cut.settled() && (!cut.can_be_ended(plan) || cut.tries > 0)) {
            cut.by_word = true;
            said = true;
        }
        said
    }
}

impl Cut {
    fn retry(&mut self, seed: u64, at: Stamp, asked: Option<Span>, detail: String) {
        self.tries = self.tries.saturating_add(1);
        let next = crate::backoff::next_try(seed, self.tries, at, asked);
        self.not_before = next.min(at.plus(asked.unwrap_or(LONGEST_WAIT).max(LONGEST_WAIT)));
        self.failed = Some(detail);
    }
}
