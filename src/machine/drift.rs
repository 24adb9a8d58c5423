//! What stands in the targets is not what was left there.

use alloc::string::String;
use alloc::vec::Vec;

use crate::decide::{TRIES, Work};
use crate::due::deploy_early;
use crate::event::{Fact, Holding, Illegal};
use crate::mutants::{Mutant, on};
use crate::state::{Call, Leg, Phase, Why};
use crate::time::Stamp;

impl Work<'_> {
    /// The targets were read right before a guarded call: drift holds, a target set back is written again.
    pub(crate) fn guarded(&mut self, holdings: &[Holding]) -> Result<(), Illegal> {
        if !matches!(self.next.call, Call::Ready { .. }) {
            return Err(self.illegal("a call is under way"));
        }
        if self.drifted(holdings) {
            return Ok(());
        }
        let unreadable = holdings.iter().any(|holding| !holding.readable);
        match self.next.phase {
            // A store that is down does not keep an emergency's key from being made.
            Phase::Mint | Phase::Doubt if self.next.emergency.is_some() => {}
            Phase::Mint | Phase::Doubt if unreadable => {
                self.next.mint.surveyed_at = Stamp(0);
                self.again(self.tries(), None, false);
            }
            Phase::Stage | Phase::Deploy | Phase::Settle => {
                self.set_back(holdings);
                // Read back before the hook: what cannot be read is not deployed, unless time is running out.
                let early = self.next.leg.as_ref().is_some_and(|leg| deploy_early(&self.next, leg, self.now.at));
                if unreadable && !early {
                    let unknown = matches!(self.next.call, Call::Ready { after_unknown: true, .. });
                    let tries = self.again(self.tries(), None, unknown);
                    if tries >= TRIES {
                        self.hold_unreadable(holdings);
                    }
                }
            }
            Phase::Retire => {
                self.set_back(holdings);
                if unreadable && self.next.phase == Phase::Retire && self.next.emergency.is_none() {
                    let tries = self.again(self.tries(), None, false);
                    if tries >= TRIES {
                        self.hold_unreadable(holdings);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn hold_unreadable(&mut self, holdings: &[Holding]) {
        let target = holdings.iter().position(|h| !h.readable).and_then(|i| u32::try_from(i).ok());
        self.hold(Why::Store { target: target.unwrap_or(0), detail: String::from("cannot be read back") });
    }

    /// Whether a reachable target holds a foreign value; then it is held.
    pub(crate) fn drifted(&mut self, holdings: &[Holding]) -> bool {
        // An emergency writes over whatever stands in a target that it has not written yet.
        let written = |place: u32| {
            let leg = self.next.leg.as_ref();
            leg.and_then(|leg| leg.written.get(usize::try_from(place).ok()?)).copied().unwrap_or_default()
        };
        let counts = |place: u32| self.next.emergency.is_none() || written(place);
        let foreign = |(place, holding): &(u32, &Holding)| holding.readable && !holding.known && counts(*place);
        let foreign: Vec<u32> = (0_u32..).zip(holdings).filter(foreign).map(|(place, _)| place).collect();
        if foreign.is_empty() || on(Mutant::DriftIgnored) {
            return false;
        }
        self.hold(Why::Drift { targets: foreign });
        true
    }

    /// Targets that no longer hold the leg's layout are written again, and everything after the write starts anew.
    pub(crate) fn set_back(&mut self, holdings: &[Holding]) {
        let Some(leg) = &mut self.next.leg else { return };
        let back: Vec<u32> = (0_u32..)
            .zip(holdings.iter().zip(&leg.written))
            .filter(|(_, (holding, written))| **written && holding.readable && !holding.holds(leg.layout))
            .map(|(i, _)| i)
            .collect();
        if back.is_empty() || on(Mutant::SetBackIgnored) {
            return;
        }
        for target in &back {
            if let Some(written) = leg.written.get_mut(*target as usize) {
                *written = false;
            }
        }
        self.leg_again();
        self.tell(Fact::SetBack { targets: back });
    }

    /// What stands in the targets was not this leg's for a while: whoever has read it since must read again. Written, deployed and observed
    /// like a first leg, window or not: what a person said before counts no more.
    pub(crate) fn leg_again(&mut self) {
        let Some(leg) = &self.next.leg else { return };
        self.next.legs += 1;
        self.next.leg =
            Some(Leg { written: leg.written.clone(), touched: leg.touched, ..Leg::new(leg.layout, self.next.legs, self.plan) });
        if self.next.retire.deactivated_at.is_some() && self.next.retire.revoked_at.is_none() {
            self.next.retire.reactivate = self.plan.provider.verbs.activate;
        }
        self.next.retire.confirmed = false;
        self.next.cutover_at = None;
        self.next.phase = Phase::Stage;
        self.next.call = Call::FRESH;
        self.next.failures = 0;
    }
}
