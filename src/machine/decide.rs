//! What an event makes of a rotation. Pure and total: an event that does not fit is an [`Illegal`], and nothing changes.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use crate::backoff::next_try;
use crate::due::{DAILY, Due, Now, Question, due, grace_counts, question, stands_still, waiting, waits_until};
use crate::emergency::LONGEST_WAIT;
use crate::event::{Class, Effect, Event, Fact, Illegal, Refused, Step};
use crate::mutants::{Mutant, on};
use crate::plan::{Authority, Lifecycle, Plan, VerifyKind};
use crate::state::{Call, Doubt, End, FORMAT, Grace, Held, Leg, MintIntent, Phase, Proof, Rotation, Why};
use crate::time::{Span, Stamp};

/// Tries of one effect before a person is called.
pub(crate) const TRIES: u32 = 5;

/// The next state after `event`, and what is told of it.
///
/// # Errors
/// The event does not fit the state; nothing has changed.
pub fn decide(event: Event, rotation: &Rotation, plan: &Plan, now: Now) -> Result<Step, Illegal> {
    let mut work = Work::on(rotation, plan, now);
    if rotation.format != FORMAT {
        return Err(work.illegal("written in another format: use the cutover that wrote it"));
    }
    if rotation.phase == Phase::Closed {
        return Err(work.illegal("this rotation is closed"));
    }
    match event {
        Event::Woke => work.woke(),
        Event::Restarted => work.restarted(),
        Event::Intended { effect, deadline } => work.intended(effect, deadline)?,
        Event::Guarded(holdings) => work.guarded(&holdings)?,
        Event::Surveyed(result) => work.surveyed(result)?,
        Event::Denied(detail) => work.denied_survey(detail)?,
        Event::Renewed => work.renewed()?,
        Event::Replied(answer) => work.replied(answer)?,
        Event::Read(answer) => work.read(answer)?,
        Event::Found(answer) => work.found(answer)?,
        Event::Listed(answer) => work.listed(answer)?,
        Event::Discarded(id, answer) => work.discarded(&id, answer)?,
        Event::Probed(answer) => work.probed(answer)?,
        Event::Written(target, answer) => work.written(target, answer)?,
        Event::Foreign(target) => {
            work.landed()?;
            work.hold(Why::Drift { targets: vec![target] });
        }
        Event::Hooked(hook, answer) => work.hooked(hook, answer)?,
        Event::Watched(watched) => work.watched(&watched)?,
        Event::Ended(answer) => work.ended(answer)?,
        Event::Clock(answer) => work.clock(answer)?,
        Event::Cut(place, answer) => work.cut(place, answer)?,
        Event::ProbedCut(place, answer) => work.probed_cut(place, answer)?,
        Event::Ordered(order) => work.ordered(&order)?,
    }
    Ok(Step { next: work.next, facts: work.facts })
}

impl core::fmt::Display for Illegal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "not in phase {}: {}", self.phase.label(), self.reason)
    }
}

/// The step being worked out.
pub(crate) struct Work<'a> {
    pub(crate) next: Rotation,
    pub(crate) facts: Vec<Fact>,
    pub(crate) plan: &'a Plan,
    pub(crate) now: Now,
}

impl<'a> Work<'a> {
    fn on(rotation: &Rotation, plan: &'a Plan, now: Now) -> Self {
        Self { next: rotation.clone(), facts: Vec::new(), plan, now: now.of(rotation) }
    }

    pub(crate) fn illegal(&self, reason: impl ToString) -> Illegal {
        Illegal { phase: self.next.phase, reason: reason.to_string() }
    }

    pub(crate) fn tell(&mut self, fact: Fact) {
        self.facts.push(fact);
    }

    /// The call under way has landed; the next effect starts afresh.
    pub(crate) fn landed(&mut self) -> Result<Effect, Illegal> {
        match core::mem::replace(&mut self.next.call, Call::FRESH) {
            Call::Flying { effect, .. } => Ok(effect),
            ready @ Call::Ready { .. } => {
                self.next.call = ready;
                Err(self.illegal("no call is under way"))
            }
        }
    }

    /// Tries so far of the present effect.
    pub(crate) const fn tries(&self) -> u32 {
        match self.next.call {
            Call::Ready { tries, .. } => tries,
            Call::Flying { .. } => 0,
        }
    }

    /// The effect did not succeed: it is tried again later. Returns how often it was tried.
    pub(crate) fn again(&mut self, before: u32, asked: Option<Span>, after_unknown: bool) -> u32 {
        let tries = before.saturating_add(1);
        let mut not_before = next_try(self.next.seed, tries, self.now.at, asked);
        if self.next.emergency.is_some() {
            not_before = not_before.min(self.now.at.plus(asked.unwrap_or(LONGEST_WAIT).max(LONGEST_WAIT)));
        }
        if on(Mutant::HotRetry) {
            not_before = self.now.at;
        }
        self.next.call = Call::Ready { tries, not_before, after_unknown };
        tries
    }

    /// A person is needed from now on. The same reason is not told twice.
    pub(crate) fn hold(&mut self, why: Why) {
        if self.next.held.as_ref().is_some_and(|held| held.why.label() == why.label()) {
            if let Some(held) = &mut self.next.held {
                held.why = why;
            }
            return;
        }
        self.next.held = Some(Held { why: why.clone(), since: self.now.at, told_at: self.now.at });
        if !why.retries() {
            self.next.call = Call::FRESH;
        }
        if !on(Mutant::HeldUntold) {
            self.tell(Fact::Held { why });
        }
    }

    /// What it was held for is over by itself.
    pub(crate) fn recovered(&mut self) {
        if let Some(held) = self.next.held.take()
            && !on(Mutant::RecoveryUntold)
        {
            self.tell(Fact::Recovered { why: held.why });
        }
    }

    pub(crate) fn close(&mut self, end: End) {
        self.recovered();
        self.next.phase = Phase::Closed;
        self.next.call = Call::FRESH;
        self.next.end = Some(end);
        self.tell(Fact::Closed { end });
    }

    /// Tells what the passing of time alone brings: thresholds, the daily reminder, decisions that waited for a time.
    fn woke(&mut self) {
        self.grace_told();
        let at = self.now.at;
        if let Some(held) = &mut self.next.held
            && at >= held.told_at.plus(DAILY)
        {
            held.told_at = at;
            let (why, since) = (held.why.clone(), held.since);
            self.tell(Fact::StillHeld { why, since });
        }
        if matches!(self.next.call, Call::Ready { .. })
            && let asked = question(&self.next, self.plan, self.now)
            && let Some((question, due)) = waiting(&self.next, self.plan, asked)
            && due <= at
        {
            match question {
                Question::NoEvidence => self.next.unproven_told_at = Some(at),
                _ => self.next.asked_at = Some(at),
            }
            if !on(Mutant::WaitingUntold) {
                self.tell(Fact::Waiting { question });
            }
        }
        if matches!(self.next.call, Call::Ready { .. }) && !stands_still(&self.next, self.plan) {
            self.time_passed();
        }
        if matches!(self.next.call, Call::Ready { .. }) {
            self.cut_moves();
        }
    }

    fn grace_told(&mut self) {
        if !grace_counts(&self.next) {
            return;
        }
        let at = self.now.at;
        let Some(grace) = &mut self.next.grace else { return };
        let passed: Vec<u8> =
            self.plan.thresholds.iter().copied().filter(|p| !grace.told.contains(p) && grace.at(*p) <= at).collect();
        let end = grace.end;
        let ended = end <= at && !grace.ended_told;
        grace.told.extend(&passed);
        grace.ended_told |= ended;
        // Overtaken thresholds are not told one by one: the last one says it all, and the end says more.
        if ended {
            if on(Mutant::DeadByOurClock) && self.plan.provider_ends_old() {
                self.old_died(Proof::Expired);
            }
            self.tell(Fact::GraceEnded { end });
        } else if let Some(percent) = passed.last() {
            self.tell(Fact::GraceEnding { percent: *percent, end });
        }
    }

    /// Decisions that only waited for a time to pass.
    fn time_passed(&mut self) {
        match self.next.phase {
            Phase::Doubt => self.settle_doubt(),
            Phase::Mint if self.ready_to_stage() => self.stage(),
            Phase::Stage | Phase::Deploy | Phase::Observe | Phase::Settle => self.leg_moves(),
            Phase::Retire => self.retire_moves(),
            _ => {}
        }
    }

    /// The new key is in hand, read, and accepted where that can be asked.
    fn ready_to_stage(&self) -> bool {
        let mint = &self.next.mint;
        let in_hand = self.next.new.is_some() && !mint.received && !mint.to_read;
        in_hand && waits_until(&self.next.call, self.now.at).is_none() && (mint.accepted || !self.plan.provider.verbs.probe)
    }

    /// Back to the mint with a new intent to come; `lost`: the earlier one may have made a key that nobody knows.
    pub(crate) fn mint_again(&mut self, lost: bool) {
        self.recovered();
        if lost {
            self.lost_key();
        }
        self.next.phase = Phase::Mint;
        self.next.call = Call::FRESH;
        self.next.doubt = Doubt::default();
        self.next.mint.received = false;
        self.next.mint.to_read = false;
        self.next.mint.lost |= lost;
        self.next.mint.surveyed_at = Stamp(0);
        self.grace_back();
    }

    /// No key was made that has started the old one's end: its grace is not counted any more.
    pub(crate) fn grace_back(&mut self) {
        if !self.next.mint.lost && !self.next.mint.clock_runs {
            self.next.grace = None;
        }
    }

    /// A process started and found this row: whatever was under way may or may not have happened.
    fn restarted(&mut self) {
        let flying = match core::mem::replace(&mut self.next.call, Call::FRESH) {
            Call::Flying { effect, deadline, .. } => Some((effect, deadline)),
            Call::Ready { tries, not_before, after_unknown } => {
                // A wait that was computed before a stop is not longer than one step of the table from now.
                let not_before = not_before.min(self.now.at.plus(Span::HOUR));
                self.next.call = Call::Ready { tries, not_before, after_unknown };
                None
            }
        };
        if on(Mutant::RestartCounts) {
            self.next.legs = self.next.legs.saturating_add(1);
        }
        if let Some(leg) = &mut self.next.leg {
            // What was seen before the stop is asked again before anything is done on it.
            for (verify, plan) in leg.verifies.iter_mut().zip(&self.plan.verifies) {
                verify.next = self.now.at;
                // Polls are not committed: whether the run was broken since the last commit is not known.
                if matches!(plan.kind, VerifyKind::Consumer | VerifyKind::Command) && !on(Mutant::RunsSurviveRestart) {
                    (verify.since, verify.holds) = (None, false);
                }
            }
            leg.use_next = self.now.at;
        }
        match flying {
            Some((Effect::Mint, _)) if on(Mutant::MintForgottenByRestart) => {}
            Some((Effect::Mint, deadline)) => self.doubt(String::from("the process ended during the call"), deadline),
            Some((Effect::Replay, deadline)) => {
                self.next.phase = Phase::Doubt;
                self.replay_may_land(deadline);
            }
            Some((Effect::ProbeNew, deadline)) => self.next.mint.probed_at = Some(deadline),
            Some((Effect::Hook { hook, .. }, _)) => self.hook_unknown(hook, "the process ended during the hook"),
            _ => {}
        }
        self.grace_told();
    }

    /// An intent becomes durable; it must be what is due.
    fn intended(&mut self, effect: Effect, deadline: Stamp) -> Result<(), Illegal> {
        if due(&self.next, self.plan, self.now) != Due::Call(effect.clone()) {
            return Err(self.illegal(format!("{} is not due", effect.label())));
        }
        match &effect {
            Effect::Mint => self.mint_intended(deadline),
            Effect::Replay => self.count_grace(self.next.grace_asked(self.plan)),
            Effect::ProbeNew => self.next.mint.probed_at = Some(deadline),
            Effect::LookByValue => self.next.mint.probed_at = Some(deadline),
            Effect::Write { .. } => {
                if let Some(leg) = &mut self.next.leg {
                    leg.touched = true;
                }
            }
            Effect::Deactivate | Effect::Revoke => self.next.retire.ending = true,
            _ => {}
        }
        let since = self.now.at;
        self.next.call = Call::Flying { effect, since, deadline };
        Ok(())
    }

    fn mint_intended(&mut self, deadline: Stamp) {
        let at = self.now.at;
        self.next.phase = Phase::Mint;
        self.next.mint.intents += u32::from(!on(Mutant::IntentReused) || self.next.mint.intents == 0);
        let grace = self.next.grace_to_ask(self.plan);
        self.next.mint.intent = Some(MintIntent { at, deadline, grace });
        self.count_grace(grace);
        self.lost_keys_end_by(deadline, grace);
        let old_until = self.next.grace.as_ref().map_or(Stamp::NEVER, |grace| grace.end);
        self.tell(Fact::MintIntended { intent: self.next.mint.intents, old_until });
    }

    /// A call goes out that may start the old key's end: from now on its grace is counted, where none is yet. A replay may be the first such
    /// call: what it repeats was refused, and its grace given back.
    fn count_grace(&mut self, asked: Span) {
        if self.next.old.is_some() && self.next.grace.is_none() && !on(Mutant::GraceUnarmed) {
            let from = self.now.at;
            let end = from.plus(self.plan.shortest_grace.min(asked));
            self.next.grace = Some(Grace { from, end, told: Vec::new(), ended_told: false });
        }
    }

    /// Begins the first leg with the new key in hand.
    pub(crate) fn stage(&mut self) {
        self.recovered();
        let beside = self.next.old.is_some() && !self.next.old_dead() && !self.next.cuts_first();
        let layout = if beside && self.plan.settles() { crate::state::Layout::During } else { crate::state::Layout::Settled };
        self.begin_leg(layout, Phase::Stage);
    }

    /// Begins a leg.
    pub(crate) fn begin_leg(&mut self, layout: crate::state::Layout, phase: Phase) {
        self.next.legs += 1;
        let kept = self.next.leg.take().filter(|_| on(Mutant::EvidenceKept)).map(|leg| leg.verifies);
        let leg = Leg::new(layout, self.next.legs, self.plan);
        let verifies = kept.unwrap_or_else(|| leg.verifies.clone());
        self.next.leg = Some(Leg { verifies, ..leg });
        self.next.phase = phase;
        self.next.call = Call::FRESH;
        self.next.failures = 0;
        self.next.asked_at = None;
    }

    /// What a refusal of a call that may be repeated means: wait, and after [`TRIES`] tell a person.
    pub(crate) fn refused_again(&mut self, before: u32, refused: &Refused, why: Why) {
        if self.again(before, refused.retry_after, false) >= TRIES || refused.class == Class::Scope {
            self.hold(why);
        }
    }

    /// The same for a call with the account's credential: where that is not accepted everything waits for another one, and a person is
    /// told at once.
    pub(crate) fn account_refused(&mut self, before: u32, refused: &Refused, why: Why) {
        if self.is_denied(refused) {
            self.again(before, refused.retry_after, false);
            self.hold(Why::Credential(refused.detail.clone()));
        } else {
            self.refused_again(before, refused, why);
        }
    }

    /// The account's own credential was not accepted.
    pub(crate) fn is_denied(&self, refused: &Refused) -> bool {
        refused.class == Class::Auth && self.plan.provider.declares.authority == Authority::Separate
    }

    /// Another credential is there: what waits for one is tried now.
    fn renewed(&mut self) -> Result<(), Illegal> {
        let waits = matches!(self.next.held.as_ref().map(|held| &held.why), Some(Why::Credential(_)));
        match &mut self.next.call {
            Call::Ready { not_before, .. } if waits => {
                *not_before = self.now.at;
                Ok(())
            }
            _ => Err(self.illegal("nothing waits for a credential")),
        }
    }

    /// The old key ends at the mint itself.
    pub(crate) fn ends_at_mint(&self) -> bool {
        matches!(self.plan.provider.lifecycle, Lifecycle::Grace | Lifecycle::Set)
            && self.next.grace_asked(self.plan) == Span::ZERO
            && self.next.old.is_some()
    }

    pub(crate) fn old_died(&mut self, proof: Proof) {
        self.next.retire.dead = Some(proof);
        self.tell(Fact::OldDead { proof });
        self.gather(&[]);
    }
}
