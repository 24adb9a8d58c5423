//! The events of an emergency: an order comes, keys are cut off and seen dead.

use alloc::string::String;
use alloc::vec::Vec;

use crate::decide::Work;
use crate::emergency::{Cut, Emergency, EmergencyOrder, LONGEST_WAIT, probes, settles_at};
use crate::event::{Answer, Effect, Fact, Illegal};
use crate::mutants::{Mutant, on};
use crate::plan::Authority;
use crate::state::{Call, Key, Phase, Proof, RetireState};
use crate::time::{Span, Stamp};

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
        // While it is abandoned what goes on is the key from before: that one is cut off too.
        let given_up = self.next.swapped && !on(Mutant::AbandonedForKept);
        match order {
            EmergencyOrder::CutFirst if (staged && !on(Mutant::StagedKept)) || given_up => self.supersede(known),
            EmergencyOrder::CutFirst if self.next.leg.is_some() => self.stage(),
            _ => {}
        }
        Ok(())
    }

    fn emergency_taken(&mut self, order: EmergencyOrder) {
        self.next.asked_at = None;
        self.tell(Fact::Ordered { order: alloc::format!("rotate --emergency={}", order.label()) });
    }

    /// The key that was staged may be known to whoever has the old one: both are to be cut off, and another is made. `known`: the keys of
    /// the policy as the order came with them; the staged one is not in the cut set yet.
    fn supersede(&mut self, known: &[Cut]) {
        let Some(staged) = self.next.new.take() else { return };
        let roles = core::mem::take(&mut self.next.swapped);
        // Where `abandon` had swapped the roles it is the key from before, which need not be ours to end.
        let known_as_ours = known.iter().any(|cut| cut.is(&staged) && cut.ours);
        self.next.old_is_ours = on(Mutant::StagedTakenForOurs) || !roles || known_as_ours;
        self.next.old = Some(staged);
        self.next.old_is_sealed = true;
        self.next.leg = None;
        self.next.grace = None;
        self.next.cutover_at = None;
        self.next.retire = RetireState { provider_skew: self.next.retire.provider_skew, ..RetireState::default() };
        self.next.mint.received = false;
        self.next.mint.to_read = false;
        self.next.mint.accepted = false;
        self.next.mint.lost = false;
        self.next.mint.clock_runs = false;
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
        for cut in known.iter().filter(|_| !on(Mutant::KnownLeftOut)) {
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
        emergency.cut.retain(|cut| on(Mutant::NewKeyInCutSet) || !new.as_ref().is_some_and(|new| cut.is(new)));
    }

    /// No new key could be made at once: the cut does not wait for one.
    pub(crate) fn cut_at_once(&mut self) {
        if let Some(emergency) = self.next.emergency.as_mut().filter(|emergency| emergency.order == EmergencyOrder::CutFirst) {
            emergency.at_once = true;
        }
    }

    /// A mint whose key nobody can find: it may live unseen.
    pub(crate) fn lost_key(&mut self) {
        if let Some(emergency) = self.next.emergency.as_mut().filter(|_| !on(Mutant::LostKeyLeftOut)) {
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
            Some(emergency)
                if (emergency.order == EmergencyOrder::CutFirst || on(Mutant::DeployFirstEvicts))
                    && !emergency.minted_anew
                    && !own =>
            {
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
                cut.dead = on(Mutant::CutCalledDead).then_some(Proof::Refused);
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
