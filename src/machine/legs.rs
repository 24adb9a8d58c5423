//! The events of stage, deploy, observe and settle: a layout is written, deployed and watched.

use alloc::string::String;

use crate::decide::{TRIES, Work};
use crate::due::{is_too_far, stands_still};
use crate::ending::quiet_or_unseen;
use crate::event::{Answer, Class, Effect, Fact, Illegal, Sight, Use, Uses, Watched};
use crate::mutants::{Mutant, on};
use crate::plan::{VerifyKind, VerifyPlan};
use crate::state::{Call, Layout, Leg, Phase, VerifyState, Why};
use crate::time::{Span, Stamp};

impl Work<'_> {
    pub(crate) fn written(&mut self, target: u32, answer: Answer<()>) -> Result<(), Illegal> {
        let Call::Flying { effect: Effect::Write { target: flying, layout }, .. } = self.next.call else {
            return Err(self.illegal("no write is under way"));
        };
        if flying != target {
            return Err(self.illegal("another target is being written"));
        }
        self.landed()?;
        let before = self.next.failures;
        let answer = match answer {
            Answer::Unknown(_) if on(Mutant::WriteUnchecked) => Answer::Done(()),
            answer => answer,
        };
        match answer {
            Answer::Done(()) => {
                self.next.failures = 0;
                if let Some(written) = self.next.leg.as_mut().and_then(|leg| leg.written.get_mut(target as usize)) {
                    *written = true;
                }
                self.recovered();
                self.tell(Fact::Written { target, layout });
                self.leg_moves();
            }
            Answer::Refused(refused) => self.write_failed(before, target, refused.class, refused.retry_after, refused.detail),
            Answer::Unknown(detail) => self.write_failed(before, target, Class::Unsent, None, detail),
        }
        Ok(())
    }

    /// The key stays sealed; the write is repeated. `failures` counts the tries over all targets of the leg.
    fn write_failed(&mut self, before: u32, target: u32, class: Class, asked: Option<Span>, detail: String) {
        // A write looks before it writes: it is repeated the same way whatever became of it.
        let tries = self.again(before, asked, false);
        self.next.failures = tries;
        if class == Class::Exists && tries < TRIES {
            // Somebody else wrote in between: read again at once.
            self.next.call = Call::Ready { tries, not_before: self.now.at, after_unknown: false };
        } else if tries >= TRIES || class == Class::Scope {
            self.hold(Why::Store { target, detail });
        }
    }

    pub(crate) fn hooked(&mut self, hook: u32, answer: Answer<()>) -> Result<(), Illegal> {
        let Call::Flying { effect: Effect::Hook { hook: flying, layout, .. }, .. } = self.next.call else {
            return Err(self.illegal("no hook is under way"));
        };
        if flying != hook {
            return Err(self.illegal("another hook is under way"));
        }
        self.landed()?;
        let answer = match answer {
            Answer::Unknown(_) if on(Mutant::HookUnchecked) => Answer::Done(()),
            answer => answer,
        };
        match answer {
            Answer::Done(()) => {
                self.recovered();
                self.tell(Fact::Deployed { hook, layout });
                if let Some(leg) = &mut self.next.leg {
                    leg.hooks_done += 1;
                    leg.hook_failures = 0;
                }
                self.leg_moves();
            }
            Answer::Refused(refused) => {
                self.tell(Fact::HookFailed { hook, detail: refused.detail.clone() });
                self.hook_failed(hook, refused.retry_after, refused.detail, false);
            }
            Answer::Unknown(detail) => {
                self.tell(Fact::HookFailed { hook, detail: detail.clone() });
                self.hook_unknown(hook, &detail);
            }
        }
        Ok(())
    }

    fn hook_failed(&mut self, hook: u32, asked: Option<Span>, detail: String, after_unknown: bool) {
        let before = self.next.leg.as_ref().map_or(0, |leg| leg.hook_failures);
        let tries = self.again(before, asked, after_unknown);
        if let Some(leg) = &mut self.next.leg {
            leg.hook_failures = tries;
        }
        if tries >= TRIES {
            self.hold(Why::Hook { hook, detail });
        }
    }

    /// Whether a hook started is not known: repeated where it may be, else a person must look.
    pub(crate) fn hook_unknown(&mut self, hook: u32, detail: &str) {
        if self.plan.hooks.get(hook as usize).is_some_and(|plan| plan.repeatable) {
            self.hook_failed(hook, None, String::from(detail), true);
        } else {
            self.hold(Why::HookUnknown { hook });
        }
    }

    pub(crate) fn watched(&mut self, watched: &Watched) -> Result<(), Illegal> {
        if !matches!(self.next.phase, Phase::Observe | Phase::Settle | Phase::Retire)
            || !matches!(self.next.call, Call::Ready { .. })
            || stands_still(&self.next, self.plan)
        {
            return Err(self.illegal("nothing is being watched"));
        }
        if self.now.frozen && !on(Mutant::SpansTrusted) {
            self.distrust_spans();
        }
        if watched.skew.is_some() && !self.now.frozen {
            self.next.retire.provider_skew = watched.skew;
        }
        if self.drifted(&watched.targets) {
            self.break_runs(watched);
            return Ok(());
        }
        self.set_back(&watched.targets);
        let Some(mut leg) = self.next.leg.take() else { return Err(self.illegal("no leg is under way")) };
        let stepped = leg.quiet_from == Stamp::NEVER && !self.now.frozen;
        if leg.deployed_at.is_some_and(|at| at > self.now.at || stepped) {
            self.next.leg = Some(leg);
            self.count_anew();
            return Ok(());
        }
        let deployed_at = match leg.deployed_at {
            Some(at) if watched.began >= at => at,
            _ => {
                self.next.leg = Some(leg);
                return Ok(());
            }
        };
        if self.now.frozen && !on(Mutant::SpansTrusted) {
            // Asked again, and not counted before the clock is sane or confirmed.
            for state in &mut leg.verifies {
                state.next = watched.began.plus(Span::MINUTE);
            }
            leg.use_next = watched.began.plus(Span::MINUTE);
            self.next.leg = Some(leg);
            return Ok(());
        }
        self.see_verifies(&mut leg, watched, deployed_at);
        let interval = self.look_interval();
        let asked = leg.use_next <= watched.began && self.next.use_exposed(self.plan);
        if asked && watched.uses.is_none() {
            // Nobody can say what happened since the last look: quiet is to be seen anew.
            leg.quiet_seen_to = None;
        }
        leg.use_next = watched.began.plus(interval);
        if let Some(uses) = &watched.uses {
            self.see_uses(&mut leg, uses, watched.began, deployed_at);
        }
        self.next.leg = Some(leg);
        self.old_still_used(watched);
        if !stands_still(&self.next, self.plan) {
            self.leg_moves();
        }
        Ok(())
    }

    /// The clock has stepped and is believed again: spans are counted from now on. A person's word stays.
    fn count_anew(&mut self) {
        let at = self.now.at;
        if let Some(leg) = &mut self.next.leg {
            (leg.deployed_at, leg.quiet_from, leg.quiet_seen_to, leg.use_next) = (Some(at), at, None, at);
            for (state, verify) in leg.verifies.iter_mut().zip(&self.plan.verifies) {
                if verify.kind != VerifyKind::Confirm {
                    *state = VerifyState { next: at, ..VerifyState::default() };
                }
            }
        }
        self.next.retire.deactivated_at = self.next.retire.deactivated_at.map(|_| at);
    }

    /// What was seen beside a drift counts against the evidence all the same.
    fn break_runs(&mut self, watched: &Watched) {
        let Some(leg) = &mut self.next.leg else { return };
        for (place, _) in watched.verifies.iter().filter(|(_, sight)| *sight != Sight::Holds) {
            if let Some(state) = leg.verifies.get_mut(*place as usize) {
                (state.since, state.holds) = (None, false);
            }
        }
    }

    /// The clock has stepped: no span that is counted across the step is one. Everything is seen anew from the first poll by a clock that is
    /// believed.
    fn distrust_spans(&mut self) {
        if let Some(leg) = &mut self.next.leg {
            leg.quiet_from = Stamp::NEVER;
            leg.quiet_seen_to = None;
        }
        let at = self.now.at;
        self.next.retire.provider_skew = None;
        self.next.retire.deactivated_at = self.next.retire.deactivated_at.map(|_| at);
    }

    /// How often the last uses and the targets are looked at.
    fn look_interval(&self) -> Span {
        match self.plan.provider.declares.last_used {
            Some(last_used) if self.next.use_exposed(self.plan) => {
                last_used.granularity.max(last_used.lag).max(Span::seconds(1)).min(Span::HOUR)
            }
            _ => Span::minutes(5),
        }
    }

    fn see_verifies(&mut self, leg: &mut Leg, watched: &Watched, deployed_at: Stamp) {
        // A probe that is yet to come was made before the clock was set back.
        let own = self.next.mint.probed_at.filter(|at| *at <= self.now.at).unwrap_or(Stamp(0));
        let granularity = self.plan.provider.declares.last_used.map_or(Span::ZERO, |l| l.granularity);
        let after = if on(Mutant::OwnProbeCounted) { Stamp(0) } else { deployed_at.max(own).plus(granularity) };
        let layout = leg.layout;
        for (place, (plan, state)) in (0_u32..).zip(self.plan.verifies.iter().zip(&mut leg.verifies)) {
            let sight = match plan.kind {
                VerifyKind::Confirm => continue,
                VerifyKind::LastUsed => match &watched.uses {
                    _ if state.holds => continue,
                    Some(Uses { new: Use::At(at, _), .. }) if *at > after => Sight::Holds,
                    Some(_) => Sight::Not,
                    // A look at the targets alone says nothing of uses, and puts off no question about them.
                    None if state.next > watched.began && !is_too_far(state.next, watched.began, plan.every) => continue,
                    None => Sight::Unanswered,
                },
                _ => match watched.verifies.iter().find(|(seen, _)| *seen == place) {
                    Some((_, sight)) => *sight,
                    None => continue,
                },
            };
            let held = state.holds;
            see(state, *plan, sight, watched.began);
            if state.holds && !held {
                self.facts.push(Fact::Evidence { verify: place, layout });
            }
        }
    }

    fn see_uses(&mut self, leg: &mut Leg, uses: &Uses, began: Stamp, deployed_at: Stamp) {
        leg.use_answered = true;
        leg.quiet_from = leg.quiet_from.max(deployed_at);
        let was_quiet = leg.quiet(self.plan);
        match &uses.old {
            // What was told before and is not told now is a look that was not answered.
            Use::Unknown if leg.use_visible => {
                leg.quiet_seen_to = None;
                leg.use_gone = true;
                return;
            }
            Use::Unknown => return,
            Use::Never => {}
            Use::At(at, _) => leg.quiet_from = leg.quiet_from.max(*at),
        }
        leg.use_visible = true;
        leg.use_gone = false;
        leg.quiet_seen_to = Some(began);
        if leg.quiet(self.plan) {
            if !was_quiet {
                self.facts.push(Fact::Quiet { since: leg.quiet_from });
            }
        } else if let Some(last_used) = self.plan.provider.declares.last_used {
            // The look that can complete it is not put off to the next round.
            let complete = leg.quiet_from.plus(self.plan.quiet).plus(last_used.lag).plus(last_used.granularity);
            leg.use_next = leg.use_next.min(complete);
        }
    }

    /// The old key is used although everything that was to move has moved: somewhere it is still configured.
    fn old_still_used(&mut self, watched: &Watched) {
        // Whoever uses a compromised key is who it is cut off from.
        if self.next.emergency.is_some() {
            return;
        }
        let Some(leg) = &self.next.leg else { return };
        let Some(deployed_at) = leg.deployed_at else { return };
        let deactivated = self.next.retire.deactivated_at.filter(|_| self.next.retire.revoked_at.is_none());
        let used = match &watched.uses {
            Some(Uses { old: Use::At(at, from), .. }) => Some((*at, from.clone())),
            _ => None,
        };
        let granularity = self.plan.provider.declares.last_used.map_or(Span::ZERO, |l| l.granularity);
        let used_late = used.filter(|(at, _)| {
            // An application that moves late is not held against the old key: it was in use until then.
            let moved = leg.verifies.iter().filter_map(|verify| verify.since).max().unwrap_or(deployed_at);
            let late = *at > deployed_at.max(moved).max(self.next.resumed_at).plus(self.plan.quiet);
            (late && leg.evidence(self.plan)) || deactivated.is_some_and(|off| *at > off.plus(granularity))
        });
        // A consumer that says "not the new key" while the old one is switched off needs it back.
        let says_not = watched.verifies.iter().any(|(_, sight)| *sight == Sight::Not);
        let wanted_back = deactivated.filter(|_| says_not).map(|_| (watched.began, None));
        if let Some((at, from)) = used_late.or(wanted_back) {
            if deactivated.is_some() && self.plan.provider.verbs.activate {
                self.next.retire.reactivate = true;
            }
            self.hold(Why::OldStillUsed { at, from });
        }
    }

    /// Moves on as far as what is known allows.
    pub(crate) fn leg_moves(&mut self) {
        let Some(leg) = &mut self.next.leg else {
            self.stage();
            return;
        };
        let hooks = u32::try_from(self.plan.hooks.len()).unwrap_or(u32::MAX);
        if leg.deployed_at.is_none() {
            if !leg.all_written() {
                if leg.hooks_done >= hooks {
                    // The early deploy is through; when the missing target is written, everything is deployed again.
                    if leg.written.contains(&true) {
                        leg.early = true;
                        // The full deploy is a run of its own, never taken for this one.
                        self.next.legs += 1;
                        leg.number = self.next.legs;
                    }
                    leg.hooks_done = 0;
                }
                return;
            }
            if leg.hooks_done < hooks {
                if self.next.phase == Phase::Stage {
                    self.next.phase = Phase::Deploy;
                }
                return;
            }
            self.deployed();
        }
        self.watch_moves();
    }

    /// Everything is written and every hook done: evidence counts from here.
    fn deployed(&mut self) {
        let at = self.now.at;
        if let Some(leg) = &mut self.next.leg {
            leg.deployed_at = Some(at);
            leg.quiet_from = if self.now.frozen { Stamp::NEVER } else { at };
            leg.use_next = at;
            for verify in leg.verifies.iter_mut().filter(|_| !on(Mutant::EvidenceKept)) {
                *verify = VerifyState { next: at, ..VerifyState::default() };
            }
        }
        if matches!(self.next.phase, Phase::Stage | Phase::Deploy) {
            self.next.phase = Phase::Observe;
        }
    }

    fn watch_moves(&mut self) {
        let Some(leg) = &self.next.leg else { return };
        // A compromised key may never fall quiet.
        let quiet = self.next.emergency.is_some() || quiet_or_unseen(&self.next, leg, self.plan);
        let proven = leg.evidence(self.plan) && quiet;
        let during = leg.layout == Layout::During;
        match self.next.phase {
            Phase::Observe if proven || leg.confirmed => {
                self.recovered();
                self.next.cutover_at = Some(self.now.at);
                self.tell(Fact::Cutover);
                if during && !on(Mutant::SettleSkipped) {
                    self.begin_leg(Layout::Settled, Phase::Settle);
                    if let Some(leg) = &mut self.next.leg {
                        leg.follows = true;
                    }
                } else {
                    self.enter_retire();
                }
            }
            Phase::Settle if proven => {
                self.recovered();
                self.next.cutover_at.get_or_insert(self.now.at);
                self.tell(Fact::Settled);
                self.enter_retire();
            }
            // In retire nothing follows from a poll alone: what it has shown is acted on by what is due.
            _ => {}
        }
    }
}

/// What one sight does to a verify's unbroken run.
fn see(state: &mut VerifyState, plan: VerifyPlan, sight: Sight, began: Stamp) {
    state.next = began.plus(plan.every.max(Span::seconds(1)));
    if sight == Sight::Holds || (on(Mutant::SilenceHolds) && matches!(sight, Sight::Unanswered)) {
        let since = *state.since.get_or_insert(began);
        state.holds = began.since(since) >= plan.hold_for || on(Mutant::HoldForIgnored);
        if !state.holds {
            // The poll that can complete it is not put off to the next round.
            state.next = state.next.min(since.plus(plan.hold_for));
        }
    } else {
        state.since = None;
        state.holds = false;
    }
}
