//! What a look asks for, and what it leaves as it is.

use cutover_machine::event::{Event, Fact, Minted, Sight, Use, Uses, Watched};
use cutover_machine::plan::{LastUsed, NullUse, Plan, VerifyKind};
use cutover_machine::state::{Call, Layout, Leg, Phase, VerifyState, Why};
use cutover_machine::{Due, Effect, Now, Question, Rotation, Span};

use super::fixture::{HOOK, START, Walk, after, at, held, holds, minted, plan, standing, verify};

fn told(kind: VerifyKind) -> Plan {
    let mut plan = Plan { verifies: vec![verify(kind)], ..plan() };
    plan.provider.verbs.last_used = true;
    plan.provider.declares.last_used =
        Some(LastUsed { granularity: Span::MINUTE, lag: Span::minutes(10), null: NullUse::Unknown });
    plan
}

fn leg(rotation: &mut Rotation) -> &mut Leg {
    rotation.leg.as_mut().expect("a leg")
}

fn poll(now: Now, verifies: &[(u32, Sight)], uses: Option<Uses>, skew: Option<i64>) -> Event {
    Event::Watched(Watched { began: now.at, targets: vec![holds(Layout::Settled)], verifies: verifies.to_vec(), uses, skew })
}

fn never_used() -> Option<Uses> {
    Some(Uses { new: Use::Never, old: Use::Never })
}

/// A use that was seen once is evidence and is asked for no more; nothing that is told later takes it away.
#[test]
fn a_use_of_the_new_key_is_seen_once() {
    let plan = told(VerifyKind::LastUsed);
    let mut rotation = standing(Phase::Observe, &plan);
    assert_eq!(Walk::from(rotation.clone(), &plan).due(), Due::Call(Effect::Watch { verifies: vec![0], uses: true }));
    let first = Rotation { old: None, grace: None, ..rotation.clone() };
    let asked = Due::Call(Effect::Watch { verifies: vec![0], uses: true });
    assert_eq!(Walk::from(first, &plan).due(), asked, "the new key's uses, where there is no old one");
    leg(&mut rotation).verifies[0] = VerifyState { since: Some(START), holds: true, next: START };
    let mut walk = Walk::from(rotation, &plan);
    assert_eq!(walk.due(), Due::Call(Effect::Watch { verifies: Vec::new(), uses: true }));
    walk.at(Span::HOUR).say(poll(after(Span::HOUR), &[], never_used(), None));
    assert!(leg(&mut walk.rotation).verifies[0].holds);
}

/// A look at other things says nothing of uses: it neither breaks quiet nor puts off the question about them.
#[test]
fn a_look_at_other_things_leaves_the_uses_alone() {
    let plan = told(VerifyKind::LastUsed);
    for (next, kept) in [(at(300), true), (after(Span(Span::HOUR.0 + 60_001)), false)] {
        let mut rotation = standing(Phase::Observe, &plan);
        let state = leg(&mut rotation);
        (state.verifies[0].next, state.use_next, state.quiet_seen_to) = (next.at, at(600).at, Some(START));
        let mut walk = Walk::from(rotation, &plan);
        walk.at(Span::MINUTE).say(poll(at(60), &[], None, None));
        let state = leg(&mut walk.rotation);
        assert_eq!(state.quiet_seen_to, Some(START));
        assert_eq!(state.verifies[0].next, if kept { next.at } else { at(120).at }, "put off by a wrong clock");
    }
}

/// Quiet is told when it is seen, once.
#[test]
fn quiet_is_told_once() {
    let plan = Plan { quiet: Span::ZERO, ..told(VerifyKind::Consumer) };
    let mut walk = Walk::from(standing(Phase::Observe, &plan), &plan);
    for (minutes, times) in [(20, 1), (40, 0), (60, 0)] {
        walk.at(Span::minutes(minutes)).say(poll(after(Span::minutes(minutes)), &[(0, Sight::Not)], never_used(), None));
        assert_eq!(walk.facts.iter().filter(|fact| matches!(fact, Fact::Quiet { .. })).count(), times, "after {minutes} min");
    }
}

/// Where nobody may ask for the uses, the targets are looked at all the same, every five minutes; a person's word is no poll's to give.
#[test]
fn a_lone_confirm_is_waited_for() {
    let mut plan = told(VerifyKind::Confirm);
    plan.provider.verbs.last_used = false;
    plan.verifies[0].hold_for = Span::ZERO;
    let mut walk = Walk::from(standing(Phase::Observe, &plan), &plan);
    walk.rotation.asked_at = Some(START);
    walk.say(poll(at(0), &[(0, Sight::Holds)], None, None));
    assert_eq!(walk.rotation.phase, Phase::Observe);
    assert_eq!(walk.due(), Due::Ask(Question::Confirm, at(300).at));
    for (holds, follows) in [(true, false), (false, true), (true, true)] {
        let mut rotation = walk.rotation.clone();
        (leg(&mut rotation).verifies[0].holds, leg(&mut rotation).follows) = (holds, follows);
        assert_eq!(Walk::from(rotation, &plan).due(), Due::Sleep(at(300).at), "nobody is asked: {holds} {follows}");
    }
}

/// The difference of the clocks is kept from who told it, and not measured by a clock that has stepped.
#[test]
fn the_difference_of_the_clocks_is_kept() {
    let plan = plan();
    let frozen = |now: Now| Now { frozen: true, ..now };
    for (now, told, kept) in
        [(at(60), None, Some(7)), (at(60), Some(9), Some(9)), (frozen(at(60)), None, None), (frozen(at(60)), Some(9), None)]
    {
        let mut rotation = standing(Phase::Observe, &plan);
        rotation.retire.provider_skew = Some(7);
        let mut walk = Walk { now, ..Walk::from(rotation, &plan) };
        walk.say(poll(now, &[], None, told));
        assert_eq!(walk.rotation.retire.provider_skew, kept, "{now:?} {told:?}: none is believed by a clock that has stepped");
    }
    for (now, told, kept) in [(at(60), None, Some(7)), (at(60), Some(9), Some(9)), (frozen(at(60)), Some(9), Some(7))] {
        let mut rotation = standing(Phase::Mint, &plan);
        (rotation.retire.provider_skew, rotation.mint.received) = (Some(7), true);
        let mut walk = Walk { now, ..Walk::from(rotation, &plan) };
        let minted = Minted { skew: told, ..minted() };
        walk.say(Event::Read(cutover_machine::event::Answer::Done(minted)));
        assert_eq!(walk.rotation.retire.provider_skew, kept, "{now:?} {told:?}");
    }
}

/// Nothing that stands still is moved by time, nor what a call is under way for.
#[test]
fn time_moves_nothing_that_stands_still() {
    let mut plan = plan();
    plan.provider.verbs.probe = false;
    let revoked = |mut rotation: Rotation| {
        rotation.retire.revoked_at = Some(START);
        rotation
    };
    let drift = revoked(held(Phase::Retire, Why::Drift { targets: vec![0] }, &plan));
    let mut flying = revoked(standing(Phase::Retire, &plan));
    flying.call = Call::Flying { effect: Effect::Activate, since: START, deadline: at(60).at };
    for (rotation, moves) in [(revoked(standing(Phase::Retire, &plan)), true), (drift, false), (flying, false)] {
        let mut walk = Walk::from(rotation, &plan);
        walk.at(Span::HOUR).say(Event::Woke);
        assert_eq!(walk.rotation.phase == Phase::Closed, moves);
    }
}

/// A new key is staged by time alone only when it is in hand, read, accepted where that can be asked, and born.
#[test]
fn what_is_ready_to_be_staged() {
    let stages = |change: fn(&mut Plan, &mut Rotation)| {
        let mut plan = plan();
        let mut rotation = standing(Phase::Mint, &plan);
        (rotation.new, rotation.mint.accepted) = (Some(super::fixture::key("new")), true);
        change(&mut plan, &mut rotation);
        let mut walk = Walk::from(rotation, &plan);
        let due = walk.due();
        walk.say(Event::Woke);
        let staged = walk.rotation.phase == Phase::Stage;
        assert_eq!(staged, due == Due::Tell, "{due:?}");
        staged
    };
    assert!(stages(|_, _| ()));
    assert!(stages(|plan, rotation| (plan.provider.verbs.probe, rotation.mint.accepted) = (false, false)));
    assert!(!stages(|_, rotation| rotation.mint.accepted = false));
    assert!(!stages(|_, rotation| rotation.new = None));
    assert!(!stages(|_, rotation| rotation.mint.received = true));
    assert!(!stages(|_, rotation| rotation.mint.to_read = true));
    assert!(!stages(|_, rotation| {
        rotation.call = Call::Ready { tries: 0, not_before: at(5).at, after_unknown: false };
    }));
}

/// Written and without a hook there is nothing to do but to see that it is deployed.
#[test]
fn what_needs_no_redeploy_is_deployed_when_written() {
    for (hooks, due) in [(Vec::new(), None), (vec![HOOK], Some(0))] {
        let plan = Plan { hooks, ..plan() };
        let mut rotation = standing(Phase::Observe, &plan);
        rotation.deploy_anew(&plan);
        let mut walk = Walk::from(rotation, &plan);
        if let Some(hook) = due {
            assert_eq!(walk.due(), Due::Call(Effect::Hook { hook, layout: Layout::Settled, leg: 1 }));
            continue;
        }
        assert_eq!(walk.due(), Due::Tell);
        walk.at(Span::MINUTE).say(Event::Woke);
        assert_eq!((walk.rotation.phase, leg(&mut walk.rotation).deployed_at), (Phase::Observe, Some(at(60).at)));
    }
}

/// The end of the grace by our clock is told, and is no key's death.
#[test]
fn the_end_of_the_grace_is_no_death() {
    let mut plan = plan();
    plan.provider.lifecycle = cutover_machine::plan::Lifecycle::Grace;
    let mut walk = Walk::from(standing(Phase::Stage, &plan), &plan);
    walk.at(Span::hours(25)).say(Event::Woke);
    assert_eq!((walk.facts.len(), walk.rotation.retire.dead), (1, None));
    // Nor is a time that passed in a lifecycle where no clock ends it.
    let mut plan = super::fixture::plan();
    plan.provider.verbs.probe = false;
    let mut walk = Walk::from(standing(Phase::Retire, &plan), &plan);
    walk.at(Span::DAY.times(30)).say(Event::Woke);
    assert_eq!((walk.rotation.phase, walk.rotation.retire.dead), (Phase::Retire, None));
}
