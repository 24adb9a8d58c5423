//! What a rotation does next, derived from its durable state alone.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::doubt::{Look, look};
use crate::emergency::{CutDue, cut_due};
use crate::ending::{quiet_or_unseen, retire};
use crate::event::Effect;
use crate::manual;
use crate::mutants::{Mutant, on};
use crate::plan::{Lifecycle, Plan, VerifyKind};
use crate::state::{Call, Leg, Phase, Rotation, Why};
use crate::time::{Span, Stamp};

/// The time, and what the clock says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The time.
    pub at: Stamp,
    /// When the policy's window is open next: now or earlier = it is open.
    pub window: Stamp,
    /// The clock has stepped and was not confirmed: nothing starts and no key is ended.
    pub frozen: bool,
}

impl Now {
    /// As it is for a rotation: an emergency waits for no window, and what a person has ordered goes on though the clock has stepped.
    #[must_use]
    pub(crate) const fn of(self, rotation: &Rotation) -> Self {
        if rotation.emergency.is_some() { Self { at: self.at, window: self.at, frozen: false } } else { self }
    }

    /// `at`, with the window open and a sane clock.
    #[must_use]
    pub const fn open(at: Stamp) -> Self {
        Self { at, window: at, frozen: false }
    }
}

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "what is due must be done"]
pub enum Due {
    /// Something is to be told or settled by the passing of time: send [`crate::event::Event::Woke`].
    Tell,
    /// Make this call.
    Call(Effect),
    /// Nothing before this time.
    Sleep(Stamp),
    /// A person is needed; nothing before this time.
    Ask(Question, Stamp),
    /// Nothing is left to do.
    Rest,
}

/// What a person is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// It is held.
    Held,
    /// `confirm`: is the new key in use?
    Confirm,
    /// `confirm --retire`: may the old key be ended?
    ConfirmRetire,
    /// Why is there no evidence, a day after the last redeploy?
    NoEvidence,
    /// `submit`: make the new key by hand and hand it in.
    Submit,
}

/// While a survey is younger than this, the mint may follow it.
pub(crate) const SURVEY_HOLDS: Span = Span::minutes(2);
/// `held` is told again after this.
pub(crate) const DAILY: Span = Span::DAY;

/// What is due now.
pub fn due(rotation: &Rotation, plan: &Plan, now: Now) -> Due {
    if rotation.phase == Phase::Closed {
        return Due::Rest;
    }
    let now = now.of(rotation);
    let alarm = alarm(rotation, plan);
    if alarm <= now.at {
        return Due::Tell;
    }
    let not_before = match &rotation.call {
        Call::Flying { .. } => return Due::Sleep(alarm),
        Call::Ready { .. } => waits_until(&rotation.call, now.at).unwrap_or(now.at),
    };
    // Cutting off waits for nothing else.
    let alarm = match cut_due(rotation, plan, now.at) {
        CutDue::Call(effect) => return Due::Call(effect),
        CutDue::Tell => return Due::Tell,
        CutDue::At(wake) => alarm.min(wake),
    };
    let (question, until) = match next(rotation, plan, now) {
        Next::Tell => return Due::Tell,
        Next::Call(effect) => {
            let until = if now.frozen
                && !on(Mutant::FrozenIgnored)
                && (effect.ends_a_key() || effect == Effect::Mint || effect == Effect::Survey)
            {
                now.at.plus(Span::MINUTE)
            } else {
                not_before
            };
            if until <= now.at {
                return Due::Call(effect);
            }
            (None, until)
        }
        Next::At(until) => (None, until),
        Next::Ask(question, until) => (Some(question), until),
    };
    let until = match waiting(rotation, plan, question) {
        Some((_, at)) if at <= now.at => return Due::Tell,
        Some((_, at)) => until.min(alarm).min(at),
        None => until.min(alarm),
    };
    match question.or_else(|| rotation.held.as_ref().map(|_| Question::Held)) {
        Some(question) => Due::Ask(question, until),
        None => Due::Sleep(until),
    }
}

/// What would be done next if no alarm, back-off or frozen clock stood in the way.
pub(crate) enum Next {
    Tell,
    Call(Effect),
    At(Stamp),
    Ask(Question, Stamp),
}

/// What waits for a person without being held, and when that is to be told: at once, then daily. After the cutover no grace alarm goes
/// off any more, so evidence that stays away is told too.
pub(crate) fn waiting(rotation: &Rotation, plan: &Plan, asked: Option<Question>) -> Option<(Question, Stamp)> {
    if let Some(question) = asked.filter(|question| *question != Question::Held) {
        return Some((question, rotation.asked_at.map_or(Stamp(0), |at| at.plus(DAILY))));
    }
    let again = rotation.unproven_told_at.map(|at| at.plus(DAILY));
    // Before it, where there is no grace (a first key) or its end was told, none does either.
    let silent = rotation.phase == Phase::Observe
        && !rotation.grace.as_ref().is_some_and(|grace| !grace.ended_told && grace_counts(rotation));
    let after = (silent || matches!(rotation.phase, Phase::Settle | Phase::Retire))
        && rotation.held.is_none()
        && rotation.emergency.is_none();
    let leg = rotation.leg.as_ref().filter(|_| {
        let waited_for = rotation.phase != Phase::Retire || !rotation.clock_ends_old(plan);
        after && waited_for && rotation.retire.revoked_at.is_none()
    })?;
    let deployed_at = leg.deployed_at.filter(|_| !(leg.evidence(plan) && quiet_or_unseen(rotation, leg, plan)))?;
    let first = deployed_at.plus(plan.quiet).plus(DAILY);
    Some((Question::NoEvidence, again.map_or(first, |again| again.max(first))))
}

/// What a person is asked now.
pub(crate) fn question(rotation: &Rotation, plan: &Plan, now: Now) -> Option<Question> {
    match next(rotation, plan, now) {
        Next::Ask(question, _) => Some(question),
        _ => None,
    }
}

/// The next time at which the passing of time alone must be told.
pub(crate) fn alarm(rotation: &Rotation, plan: &Plan) -> Stamp {
    let mut alarm =
        rotation.held.as_ref().filter(|_| !on(Mutant::NeverToldAgain)).map_or(Stamp::NEVER, |held| held.told_at.plus(DAILY));
    if let Some(grace) = &rotation.grace
        && grace_counts(rotation)
        && !on(Mutant::ThresholdsSleptOver)
    {
        let open = plan.thresholds.iter().filter(|percent| !grace.told.contains(percent));
        for percent in open {
            alarm = alarm.min(grace.at(*percent));
        }
        if !grace.ended_told {
            alarm = alarm.min(grace.end);
        }
    }
    alarm
}

/// The grace still matters: there is an old key, not known dead, and the consumers have not moved.
pub(crate) const fn grace_counts(rotation: &Rotation) -> bool {
    rotation.old.is_some() && rotation.cutover_at.is_none() && !rotation.old_dead()
}

fn next(rotation: &Rotation, plan: &Plan, now: Now) -> Next {
    // Undoing a deactivation that hurts does not wait for a person.
    if rotation.retire.reactivate {
        return Next::Call(Effect::Activate);
    }
    if let Some(held) = rotation.held.as_ref().filter(|_| stands_still(rotation, plan)) {
        return match held.why {
            Why::Doubt => doubt_held(rotation, plan, now),
            _ => Next::Ask(Question::Held, Stamp::NEVER),
        };
    }
    match rotation.phase {
        Phase::Preflight if now.window > now.at && !on(Mutant::WindowIgnored) => Next::At(now.window),
        Phase::Preflight => Next::Call(Effect::Survey),
        Phase::Mint => mint(rotation, plan, now),
        Phase::Doubt if now.frozen && rotation.doubt.stepped => Next::At(now.at.plus(Span::MINUTE)),
        Phase::Doubt if now.frozen || rotation.doubt.stepped => Next::Tell,
        Phase::Doubt => match look(rotation, plan, now.at) {
            Look::Call(effect) => Next::Call(effect),
            Look::At(at) => Next::At(at),
            Look::MintAgain | Look::Hold(_) => Next::Tell,
        },
        Phase::Stage | Phase::Deploy | Phase::Observe | Phase::Settle => match &rotation.leg {
            Some(leg) => leg_next(rotation, leg, plan, now),
            None => Next::Tell,
        },
        Phase::Retire => retire(rotation, plan, now),
        Phase::Closed => Next::At(Stamp::NEVER),
    }
}

/// Held, and nothing is tried by itself. While only the provider's clock ends the old key, it runs on whatever a person does.
pub(crate) fn stands_still(rotation: &Rotation, plan: &Plan) -> bool {
    let Some(held) = &rotation.held else { return false };
    let runs_on =
        rotation.phase == Phase::Retire && rotation.clock_ends_old(plan) && matches!(held.why, Why::OldStillUsed { .. });
    !held.why.retries() && !runs_on
}

fn mint(rotation: &Rotation, plan: &Plan, now: Now) -> Next {
    let mint = &rotation.mint;
    if mint.received {
        Next::Call(Effect::ReadReply)
    } else if mint.to_read {
        Next::Call(Effect::ReadNew)
    } else if rotation.new.is_none() && plan.provider.lifecycle == Lifecycle::Manual {
        manual::ask(rotation, now)
    } else if rotation.new.is_none() {
        // A new intent after a refusal is a mint like the first; after a doubt the old key's time runs, and nothing waits.
        if now.window > now.at && !mint.lost && !mint.clock_runs && !rotation.old_dead() && !on(Mutant::WindowIgnored) {
            return Next::At(now.window);
        }
        if now.at.since(mint.surveyed_at) > SURVEY_HOLDS { Next::Call(Effect::Survey) } else { Next::Call(Effect::Mint) }
    } else if plan.provider.verbs.probe && !mint.accepted {
        Next::Call(Effect::ProbeNew)
    } else {
        // Accepted as far as anybody can tell, and not to be written before its birth would be seen.
        waits_until(&rotation.call, now.at).map_or(Next::Tell, Next::At)
    }
}

/// Held in doubt: the one thing that can still be settled by itself is that the old key is dead and the new value lost.
fn doubt_held(rotation: &Rotation, plan: &Plan, now: Now) -> Next {
    let held = Next::Ask(Question::Held, Stamp::NEVER);
    let declares = &plan.provider.declares;
    let can_see = plan.provider.verbs.probe
        && declares.negative_probe
        && (declares.re_rotate != crate::plan::ReRotate::Destroys || on(Mutant::OldPresentedInDoubt))
        && plan.provider_ends_old()
        && rotation.old.is_some()
        && rotation.mint.intents < 2;
    let Some(intent) = rotation.mint.intent.as_ref().filter(|_| can_see) else { return held };
    let dead_at = intent.deadline.plus(intent.grace).plus(declares.settle);
    if now.at < dead_at { Next::Ask(Question::Held, dead_at) } else { Next::Call(Effect::ProbeOld) }
}

/// Write, deploy, watch: the same for the layout `during` and the settled one.
fn leg_next(rotation: &Rotation, leg: &Leg, plan: &Plan, now: Now) -> Next {
    if rotation.phase == Phase::Settle && now.window > now.at && leg.deployed_at.is_none() {
        return Next::At(now.window);
    }
    if leg.deployed_at.is_some() {
        return watch(rotation, leg, plan, now.at);
    }
    let missing: Vec<usize> = (0..leg.written.len()).filter(|i| !leg.written[*i]).collect();
    let eager = on(Mutant::HooksBeforeWrites) && leg.written.contains(&true);
    if missing.is_empty() || eager || deploy_early(rotation, leg, now.at) {
        return match u32::try_from(plan.hooks.len()) {
            Ok(hooks) if leg.hooks_done < hooks => {
                Next::Call(Effect::Hook { hook: leg.hooks_done, layout: leg.layout, leg: leg.number })
            }
            _ => Next::Tell,
        };
    }
    // A target that fails must not keep the others waiting: each try takes the next one that is missing.
    let tries = match rotation.call {
        Call::Ready { tries, .. } => tries as usize,
        Call::Flying { .. } => 0,
    };
    let target = u32::try_from(missing[tries % missing.len()]).unwrap_or(0);
    Next::Call(Effect::Write { target, layout: leg.layout })
}

/// At three quarters of the grace what is staged is deployed, so that only what is missing goes down.
pub(crate) fn deploy_early(rotation: &Rotation, leg: &Leg, now: Stamp) -> bool {
    !leg.early
        && leg.written.contains(&true)
        && grace_counts(rotation)
        && rotation.grace.as_ref().is_some_and(|grace| now >= grace.at(75))
}

/// Until when the next try waits, if it does.
pub(crate) fn waits_until(call: &Call, now: Stamp) -> Option<Stamp> {
    match call {
        Call::Ready { not_before, .. } if *not_before > now && !is_too_far(*not_before, now, Span::HOUR) => Some(*not_before),
        _ => None,
    }
}

/// Further away than it can have been put: the clock has been set back since. What is waited for is done now.
pub(crate) fn is_too_far(at: Stamp, now: Stamp, longest: Span) -> bool {
    at.since(now) > longest.max(Span::HOUR)
}

/// The next poll, and what it asks for.
pub(crate) fn watch(rotation: &Rotation, leg: &Leg, plan: &Plan, now: Stamp) -> Next {
    let mut verifies = Vec::new();
    let mut uses = false;
    let mut next = Stamp::NEVER;
    let mut asks = false;
    for ((place, plan), state) in (0_u32..).zip(&plan.verifies).zip(&leg.verifies) {
        match plan.kind {
            VerifyKind::Confirm => asks |= !state.holds && !leg.follows,
            VerifyKind::LastUsed if state.holds => {}
            _ if state.next <= now || is_too_far(state.next, now, plan.every) => {
                uses |= plan.kind == VerifyKind::LastUsed;
                verifies.push(place);
            }
            _ => next = next.min(state.next),
        }
    }
    if rotation.use_exposed(plan) {
        if leg.use_next <= now || is_too_far(leg.use_next, now, Span::HOUR) {
            uses = true;
        } else {
            next = next.min(leg.use_next);
        }
    }
    if !verifies.is_empty() || uses {
        return Next::Call(Effect::Watch { verifies, uses });
    }
    // Nothing to ask (a lone `confirm`): the targets are still looked at, for drift.
    if leg.use_next <= now || is_too_far(leg.use_next, now, Span::HOUR) {
        return Next::Call(Effect::Watch { verifies, uses });
    }
    next = next.min(leg.use_next);
    if asks { Next::Ask(Question::Confirm, next) } else { Next::At(next) }
}
