//! What a person decides, in every phase: taken, or refused with the reason.

use alloc::string::String;

use crate::decide::Work;
use crate::event::{Fact, Illegal, Order};
use crate::mutants::{Mutant, on};
use crate::plan::{Lifecycle, VerifyKind};
use crate::state::{Call, Doubt, End, Layout, Phase, RetireState, Why};
use crate::time::Stamp;

impl Work<'_> {
    pub(crate) fn ordered(&mut self, order: &Order) -> Result<(), Illegal> {
        match order {
            Order::Confirm => self.confirm(),
            Order::ConfirmRetire => self.confirm_retire(),
            Order::Resume => self.resume(),
            Order::MintAgain => self.order_mint_again(),
            Order::Abandon => self.abandon(),
            Order::AdoptOld => self.adopt_old(),
            Order::Emergency(order, known) => self.order_emergency(*order, known),
            Order::Submit(handed) => self.submit(handed),
        }
    }

    pub(crate) fn taken(&mut self, order: &str) {
        self.next.asked_at = None;
        self.tell(Fact::Ordered { order: String::from(order) });
    }

    fn confirm(&mut self) -> Result<(), Illegal> {
        if self.next.phase == Phase::Observe && self.next.held.is_some() {
            return Err(self.illegal("it is held: end that first, `cutover status` shows how; nothing was changed"));
        }
        let ready = self.next.phase == Phase::Observe;
        let Some(leg) = self.next.leg.as_mut().filter(|leg| ready && leg.deployed_at.is_some()) else {
            return Err(self.illegal("confirm is for observe, once every redeploy is done; nothing was changed"));
        };
        for (plan, state) in self.plan.verifies.iter().zip(&mut leg.verifies) {
            if plan.kind == VerifyKind::Confirm {
                state.holds = true;
                state.since = Some(self.now.at);
            }
        }
        leg.confirmed = true;
        self.taken("confirm");
        self.leg_moves();
        Ok(())
    }

    fn confirm_retire(&mut self) -> Result<(), Illegal> {
        if self.next.phase == Phase::Retire && self.cut_by_word() {
            self.taken("confirm --retire");
            self.retire_moves();
            return Ok(());
        }
        if self.next.phase != Phase::Retire || self.next.retire.revoked_at.is_some() {
            return Err(self.illegal("confirm --retire is for retire, before the old key is revoked; nothing was changed"));
        }
        if self.next.clock_ends_old(self.plan) && !self.plan.ended_by_hand() {
            return Err(self.illegal("the provider's own clock ends the old key: it ends by itself, there is nothing to confirm; nothing was changed"));
        }
        self.next.retire.confirmed = true;
        self.taken("confirm --retire");
        if self.plan.ended_by_hand() {
            self.ended_by_a_person();
        }
        Ok(())
    }

    fn resume(&mut self) -> Result<(), Illegal> {
        let Some(held) = self.next.held.clone() else {
            return Err(self.illegal("it is not held: there is nothing to resume, it goes on by itself; nothing was changed"));
        };
        if !matches!(self.next.call, Call::Ready { .. }) {
            return Err(self.illegal("a call is under way; wait for its end and say it again; nothing was changed"));
        }
        self.next.held = None;
        self.next.resumed_at = self.now.at;
        self.next.call = Call::FRESH;
        self.next.failures = 0;
        if let Some(leg) = &mut self.next.leg {
            leg.hook_failures = 0;
        }
        for cut in self.next.emergency.iter_mut().flat_map(|emergency| &mut emergency.cut) {
            cut.not_before = self.now.at;
            cut.tries = 0;
        }
        self.taken("resume");
        match held.why {
            Why::Doubt | Why::Candidates(_) => {
                // Every look is made again; only a person's --mint-again sends a mint in doubt.
                let since = self.next.doubt.since;
                self.next.doubt = Doubt { since, ..Doubt::default() };
                self.next.phase = Phase::Doubt;
                self.settle_doubt();
            }
            Why::SameKey => {
                self.next.phase = Phase::Doubt;
                self.settle_doubt();
            }
            Why::Drift { .. } if self.next.leg.as_ref().is_some_and(|leg| leg.hooks_done > 0 || leg.deployed_at.is_some()) => {
                self.leg_again()
            }
            Why::MintRefused(_) => self.next.mint.surveyed_at = Stamp(0),
            _ => self.ask_anew(),
        }
        Ok(())
    }

    /// Everything that was seen is seen anew.
    fn ask_anew(&mut self) {
        let at = self.now.at;
        if let Some(leg) = &mut self.next.leg
            && leg.deployed_at.is_some()
        {
            leg.quiet_from = leg.quiet_from.max(at);
            leg.use_next = at;
            for verify in &mut leg.verifies {
                verify.next = at;
            }
        }
    }

    fn order_mint_again(&mut self) -> Result<(), Illegal> {
        if self.plan.provider.lifecycle == Lifecycle::Manual {
            return Err(
                self.illegal("cutover makes no key here: make another one by hand and `submit` it; nothing was changed")
            );
        }
        let held = matches!(
            self.next.held.as_ref().map(|held| &held.why),
            Some(Why::Doubt | Why::Candidates(_) | Why::SameKey | Why::NewKeyRefused | Why::Look(_))
        );
        let unlooked = self.next.phase == Phase::Doubt
            && matches!(self.next.held.as_ref().map(|held| &held.why), Some(Why::Credential(_)));
        if !(held || unlooked) || !matches!(self.next.phase, Phase::Doubt | Phase::Mint) {
            return Err(self.illegal("resume --mint-again is for a mint held in doubt; nothing was changed"));
        }
        if !matches!(self.next.call, Call::Ready { .. }) {
            return Err(self.illegal("a call is under way; wait for its end and say it again; nothing was changed"));
        }
        self.next.held = None;
        self.next.new = None;
        self.next.mint.accepted = false;
        self.next.failures = 0;
        self.next.resumed_at = self.now.at;
        self.taken("resume --mint-again");
        self.mint_again(true);
        Ok(())
    }

    fn adopt_old(&mut self) -> Result<(), Illegal> {
        if self.next.held.is_none() {
            return Err(self.illegal("adopt is for a policy that is idle or held; nothing was changed"));
        }
        self.next.old_is_ours = true;
        self.taken("adopt");
        Ok(())
    }

    fn abandon(&mut self) -> Result<(), Illegal> {
        if let Call::Flying { effect, .. } = &self.next.call {
            let reason = alloc::format!("{} is under way; wait for its end and say it again", effect.label());
            return Err(self.illegal(reason));
        }
        if self.next.swapped {
            return Err(self.illegal("it is being abandoned already: it goes back by itself; nothing was changed"));
        }
        if self.next.emergency.is_some() {
            return Err(
                self.illegal("it answers an emergency: the key that was in use before is compromised; go on with resume")
            );
        }
        match self.next.phase {
            Phase::Preflight => self.abandoned(),
            // A mint was answered: what it made, and what it ended, is not known.
            Phase::Mint if matches!(self.next.held.as_ref().map(|held| &held.why), Some(Why::SameKey)) => {
                return self.abandon_in_doubt();
            }
            Phase::Mint if self.next.new.is_none() && !self.next.mint.received && !self.next.mint.to_read => {
                if self.next.mint.lost || self.next.mint.clock_runs {
                    return Err(self.illegal("an earlier mint of this rotation may have made a key: go on with resume"));
                }
                self.abandoned();
            }
            Phase::Doubt => return self.abandon_in_doubt(),
            _ => return self.swap(),
        }
        Ok(())
    }

    /// Nothing has happened at the provider.
    fn abandoned(&mut self) {
        self.taken("abandon");
        self.next.held = None;
        self.close(End::Abandoned);
    }

    /// After the look, and an orphan first.
    fn abandon_in_doubt(&mut self) -> Result<(), Illegal> {
        let declares = &self.plan.provider.declares;
        let can_look =
            self.plan.provider.lists() || declares.reread || (self.plan.provider.generates && self.plan.provider.verbs.probe);
        let judged = matches!(self.next.held.as_ref().map(|held| &held.why), Some(Why::Candidates(_)));
        if !can_look || judged || self.plan.provider.lifecycle != Lifecycle::Overlap {
            return Err(self.illegal(
                "whether a key was made cannot be looked up, and giving up would not bring the old key's grace back: \
                 go on with resume, or resume --mint-again",
            ));
        }
        self.taken("abandon");
        self.next.held = None;
        self.next.call = Call::FRESH;
        self.next.phase = Phase::Doubt;
        let since = self.next.doubt.since;
        self.next.doubt = Doubt { since, abandon: true, ..Doubt::default() };
        self.settle_doubt();
        Ok(())
    }

    /// With the new key in hand the roles are swapped, and stage … retire run again for the key that was in use before.
    pub(crate) fn swap(&mut self) -> Result<(), Illegal> {
        let beside = matches!(self.plan.provider.lifecycle, Lifecycle::Overlap | Lifecycle::Manual);
        if !beside || self.next.clock_ends_old(self.plan) {
            return Err(self.illegal("the mint has started the old key's end, which nothing takes back: go on with resume"));
        }
        let retire = &self.next.retire;
        if (retire.ending || self.next.old_dead()) && !on(Mutant::AbandonAfterTheEnd) {
            return Err(self.illegal("the old key is being ended or is dead already: go on with resume"));
        }
        let Some(new) = self.next.new.take() else {
            return Err(self.illegal("the new key is not read yet: resume first"));
        };
        let written =
            self.next.leg.as_ref().is_some_and(|leg| leg.number > 1 || leg.touched) && !on(Mutant::AbandonRevokesStaged);
        if self.next.old.is_none() && written {
            self.next.new = Some(new);
            return Err(self.illegal("this is the policy's first key: there is nothing to go back to"));
        }
        self.taken("abandon");
        self.next.held = None;
        self.next.new = self.next.old.replace(new);
        self.next.old_is_ours = true;
        self.next.old_is_sealed = true;
        self.next.swapped = true;
        self.next.grace = None;
        self.next.cutover_at = None;
        self.next.failures = 0;
        self.next.retire = RetireState { provider_skew: self.next.retire.provider_skew, ..RetireState::default() };
        if written {
            let layout = if self.plan.settles() { Layout::During } else { Layout::Settled };
            self.begin_leg(layout, Phase::Stage);
        } else {
            // No target ever held it: it can be given up at once.
            self.next.leg = None;
            self.next.retire.unused = true;
            self.next.phase = Phase::Retire;
            self.next.call = Call::FRESH;
        }
        Ok(())
    }
}
