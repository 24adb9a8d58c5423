//! What the passing of time alone brings: alarms, reminders, back-offs; and what a restart finds.

use cutover_machine::event::{Event, Fact};
use cutover_machine::plan::{LastUsed, NullUse, Plan, VerifyKind};
use cutover_machine::state::{Call, Grace, Layout, MintIntent, Phase, Proof, VerifyState, Why};
use cutover_machine::{Due, Effect, Question, Rotation, Span, Stamp};

use super::fixture::{Change, HOOK, START, Walk, after, at, held, key, plan, standing, verify, waits};

/// A hold is told once, and again every day, and lasts until somebody decides.
#[test]
fn a_hold_is_told_daily() {
    let plan = plan();
    let why = Why::NewKeyRefused;
    let mut walk = Walk::from(held(Phase::Mint, why.clone(), &plan), &plan);
    let day = START.plus(Span::DAY);
    assert_eq!(walk.at(Span(Span::DAY.0 - 1)).due(), Due::Ask(Question::Held, day));
    assert!(walk.clone().say(Event::Woke).facts.is_empty(), "not yet");
    assert_eq!(walk.at(Span::DAY).due(), Due::Tell);
    walk.say(Event::Woke);
    assert_eq!(walk.facts, [Fact::StillHeld { why, since: START }]);
    assert_eq!(walk.due(), Due::Ask(Question::Held, day.plus(Span::DAY)));
}

/// The thresholds of the grace and its end wake somebody at their time, as long as the old key is what is used.
#[test]
fn the_grace_wakes_at_its_thresholds() {
    let plan = plan();
    let mut rotation = held(Phase::Stage, Why::HookUnknown { hook: 0 }, &plan);
    if let Some(held) = &mut rotation.held {
        held.told_at = START.plus(Span::DAY);
    }
    let mut walk = Walk::from(rotation.clone(), &plan);
    for (percent, minutes) in [(Some(50), 12 * 60), (Some(75), 18 * 60), (Some(90), 21 * 60 + 36), (None, 24 * 60)] {
        let time = Span::minutes(minutes);
        assert_eq!(walk.due(), Due::Ask(Question::Held, START.plus(time)), "it sleeps until then");
        assert_eq!(walk.at(time).due(), Due::Tell);
        let end = START.plus(Span::hours(24));
        walk.say(Event::Woke);
        let told = percent.map_or(Fact::GraceEnded { end }, |percent| Fact::GraceEnding { percent, end });
        assert_eq!(walk.facts, [told]);
    }
    let mut silenced: Vec<(&str, Change)> = Vec::new();
    silenced.push(("no old key", |rotation| rotation.old = None));
    silenced.push(("the consumers have moved", |rotation| rotation.cutover_at = Some(START)));
    silenced.push(("the old key is dead", |rotation| rotation.retire.dead = Some(Proof::Refused)));
    silenced.push(("no grace", |rotation| rotation.grace = None));
    for (name, change) in silenced {
        let mut quiet = rotation.clone();
        change(&mut quiet);
        let mut walk = Walk::from(quiet, &plan);
        assert_eq!(walk.due(), Due::Ask(Question::Held, START.plus(Span::DAY.times(2))), "{name}");
        assert!(walk.at(Span::hours(30)).say(Event::Woke).facts.is_empty(), "{name}");
    }
}

/// A threshold is reckoned from the intent to the end.
#[test]
fn a_threshold_is_a_part_of_the_grace() {
    let grace = Grace { from: START, end: START.plus(Span::hours(10)), told: Vec::new(), ended_told: false };
    assert_eq!([0, 50, 75, 100].map(|percent| grace.at(percent)), [0, 18_000, 27_000, 36_000].map(|s| at(s).at));
}

/// A wait further away than it can have been put was put there by a clock that is set back: what is waited for is done now.
#[test]
fn a_wait_beyond_an_hour_is_none() {
    let plan = plan();
    for (wait, waits) in [(Span::SECOND, true), (Span::HOUR, true), (Span(Span::HOUR.0 + 1), false)] {
        let mut rotation = standing(Phase::Preflight, &plan);
        rotation.call = Call::Ready { tries: 3, not_before: START.plus(wait), after_unknown: false };
        let walk = Walk::from(rotation, &plan);
        let wanted = if waits { Due::Sleep(START.plus(wait)) } else { Due::Call(Effect::Survey) };
        assert_eq!(walk.due(), wanted, "{wait}");
    }
}

/// What fails in an emergency waits a minute at most, or as long as the other side asks.
#[test]
fn an_emergency_waits_a_minute_at_most() {
    use cutover_machine::emergency::{Emergency, EmergencyOrder};
    use cutover_machine::event::{Answer, Class, Refused};
    let plan = plan();
    for (asked, least, most) in [(None, 45, 60), (Some(30), 45, 60), (Some(90), 90, 90)] {
        let mut rotation = standing(Phase::Mint, &plan);
        rotation.failures = 7;
        rotation.emergency = Some(Emergency::new(EmergencyOrder::DeployFirst, START, Vec::new()));
        let mut walk = Walk::from(rotation, &plan);
        let retry_after = asked.map(Span::seconds);
        let refused = Refused { class: Class::Throttle, retry_after, detail: String::from("slow down") };
        walk.calls(Effect::Mint).say(Event::Replied(Answer::Refused(refused)));
        let wait = waits(&walk.rotation).1.since(START);
        assert!(Span::seconds(least) <= wait && wait <= Span::seconds(most), "{asked:?}: {wait}");
    }
}

/// While a call is under way nothing else is due; its alarms are.
#[test]
fn a_call_under_way_sleeps_until_the_next_alarm() {
    let plan = plan();
    let mut rotation = standing(Phase::Stage, &plan);
    let write = Effect::Write { target: 0, layout: Layout::Settled };
    rotation.call = Call::Flying { effect: write, since: START, deadline: at(60).at };
    let mut walk = Walk::from(rotation, &plan);
    assert_eq!(walk.due(), Due::Sleep(after(Span::hours(12)).at));
    assert_eq!(walk.at(Span::hours(12)).due(), Due::Tell);
    walk.say(Event::Woke);
    assert!(matches!(walk.rotation.call, Call::Flying { .. }), "what is under way goes on");
    let closed = Walk::from(standing(Phase::Closed, &plan), &plan);
    assert_eq!(closed.due(), Due::Rest);
}

/// The same hold is not told twice; what it says is kept up to date. Another one is told.
#[test]
fn the_same_hold_is_not_told_twice() {
    let plan = plan();
    let mut walk = Walk::from(standing(Phase::Preflight, &plan), &plan);
    let denied = |detail: &str| Event::Denied(String::from(detail));
    assert_eq!(walk.say(denied("401")).facts, [Fact::Held { why: Why::Credential(String::from("401")) }]);
    walk.at(Span::MINUTE);
    assert!(walk.say(denied("expired")).facts.is_empty());
    assert_eq!(walk.why(), Some(Why::Credential(String::from("expired"))));
    assert_eq!(walk.rotation.held.as_ref().map(|held| (held.since, held.told_at)), Some((START, START)));
    for _ in 0..3 {
        walk.say(Event::Surveyed(Err(String::from("down"))));
    }
    assert_eq!(walk.facts, [Fact::Held { why: Why::Preflight(String::from("down")) }]);
    assert_eq!(walk.rotation.held.as_ref().map(|held| held.since), Some(at(60).at));
}

/// A mint that was under way is in doubt until it cannot land; a replay, a probe and a hook have had their effect as late as they could.
#[test]
fn a_restart_takes_what_was_under_way_for_done_and_not_done() {
    let deadline = at(70).at;
    let restarted = |phase: Phase, effect: Effect, repeatable: bool| {
        let mut plan = plan();
        plan.hooks = vec![cutover_machine::plan::HookPlan { repeatable, ..HOOK }];
        let mut rotation = standing(phase, &plan);
        rotation.mint.intent = Some(MintIntent { at: START, deadline: at(40).at, grace: plan.grace });
        rotation.call = Call::Flying { effect, since: START, deadline };
        let mut walk = Walk::from(rotation, &plan);
        walk.at(Span::seconds(10)).say(Event::Restarted);
        (walk.rotation, walk.facts)
    };
    let (mint, facts) = restarted(Phase::Mint, Effect::Mint, true);
    assert_eq!((mint.phase, mint.call), (Phase::Doubt, Call::FRESH));
    assert_eq!(facts, [Fact::InDoubt { detail: String::from("the process ended during the call"), decide_at: deadline }]);
    assert_eq!(mint.doubt.since, at(10).at);
    let (replay, _) = restarted(Phase::Doubt, Effect::Replay, true);
    assert_eq!(replay.mint.intent.map(|intent| intent.deadline), Some(deadline));
    let (probe, _) = restarted(Phase::Mint, Effect::ProbeNew, true);
    assert_eq!(probe.mint.probed_at, Some(deadline));
    let hook = Effect::Hook { hook: 0, layout: Layout::Settled, leg: 1 };
    let (again, _) = restarted(Phase::Deploy, hook.clone(), true);
    assert_eq!((waits(&again).0, again.held), (1, None));
    let (unknown, _) = restarted(Phase::Deploy, hook, false);
    assert_eq!(unknown.held.map(|held| held.why), Some(Why::HookUnknown { hook: 0 }));
    let (write, facts) = restarted(Phase::Stage, Effect::Write { target: 0, layout: Layout::Settled }, true);
    assert_eq!((write.call, facts), (Call::FRESH, Vec::new()), "it is looked at and repeated");
}

/// A wait is kept over a restart, an hour at most; the grace that has passed meanwhile is told.
#[test]
fn a_restart_keeps_what_was_waited_for() {
    let plan = plan();
    for (wait, kept) in [(Span::minutes(5), Span::minutes(5)), (Span::DAY, Span::HOUR)] {
        let mut rotation = standing(Phase::Stage, &plan);
        rotation.call = Call::Ready { tries: 3, not_before: START.plus(wait), after_unknown: true };
        let mut walk = Walk::from(rotation, &plan);
        walk.say(Event::Restarted);
        let call = Call::Ready { tries: 3, not_before: START.plus(kept), after_unknown: true };
        assert_eq!(walk.rotation.call, call);
        assert_eq!(walk.at(Span::hours(13)).say(Event::Restarted).facts.len(), 1, "half of the grace is over");
    }
}

/// What was seen is asked again after a restart; runs of polls that were never committed begin anew, a person's word stays.
#[test]
fn a_restart_asks_everything_again() {
    let kinds = [VerifyKind::Consumer, VerifyKind::Command, VerifyKind::LastUsed, VerifyKind::Confirm];
    let plan = Plan { verifies: kinds.map(verify).to_vec(), ..plan() };
    let mut rotation = standing(Phase::Observe, &plan);
    if let Some(leg) = &mut rotation.leg {
        leg.use_next = at(900).at;
        leg.verifies = kinds.iter().map(|_| VerifyState { since: Some(START), holds: true, next: at(900).at }).collect();
    }
    let mut walk = Walk::from(rotation, &plan);
    walk.at(Span::MINUTE).say(Event::Restarted);
    let leg = walk.rotation.leg.as_ref().expect("a leg");
    assert_eq!(leg.use_next, at(60).at);
    let seen: Vec<_> = leg.verifies.iter().map(|state| (state.since.is_some(), state.holds, state.next)).collect();
    let (anew, stays) = ((false, false, at(60).at), (true, true, at(60).at));
    assert_eq!(seen, [anew, anew, stays, stays]);
}

/// After the cutover, and where there is no grace to tell of, evidence that stays away is told a day after `quiet`, and then daily.
#[test]
fn evidence_that_stays_away_is_told() {
    let mut plan = plan();
    plan.provider.declares.negative_probe = true;
    let first = plan.quiet.plus(Span::DAY);
    let told = Fact::Waiting { question: Question::NoEvidence };
    let mut places: Vec<(&str, Phase, Change, bool)> = Vec::new();
    places.push(("settle", Phase::Settle, |_| (), true));
    places.push(("retire", Phase::Retire, |_| (), true));
    places.push(("a first key", Phase::Observe, |rotation| (rotation.old, rotation.grace) = (None, None), true));
    places.push((
        "the grace is watched",
        Phase::Observe,
        |rotation| {
            rotation.grace =
                Some(Grace { from: START, end: after(Span::DAY.times(30)).at, told: Vec::new(), ended_told: false });
        },
        false,
    ));
    places.push((
        "the grace has ended and that was told",
        Phase::Observe,
        |rotation| {
            rotation.grace = Some(Grace { from: START, end: START, told: vec![50, 75, 90], ended_told: true });
        },
        true,
    ));
    places.push(("revoked", Phase::Retire, |rotation| rotation.retire.revoked_at = Some(START), false));
    places.push((
        "held",
        Phase::Settle,
        |rotation| {
            rotation.held = held(Phase::Settle, Why::Drift { targets: vec![0] }, &super::fixture::plan()).held;
        },
        false,
    ));
    for (name, phase, change, tells) in places {
        let mut rotation = standing(phase, &plan);
        change(&mut rotation);
        let mut walk = Walk::from(rotation, &plan);
        for (time, due) in
            [(Span(first.0 - 1), false), (first, true), (first.plus(Span::HOUR), false), (first.plus(Span::DAY), true)]
        {
            walk.at(time).say(Event::Woke);
            assert_eq!(walk.facts.contains(&told), due && tells, "{name} after {time}");
        }
    }
}

/// Where the provider's clock ends the old key nothing depends on the evidence any more; nor in an emergency on its being quiet.
#[test]
fn no_evidence_is_waited_for_where_the_clock_ends_the_old_key() {
    let mut plan = plan();
    plan.provider.lifecycle = cutover_machine::plan::Lifecycle::Grace;
    let mut walk = Walk::from(standing(Phase::Retire, &plan), &plan);
    walk.rotation.grace = None;
    walk.at(Span::DAY.times(3)).say(Event::Woke);
    assert!(!walk.facts.contains(&Fact::Waiting { question: Question::NoEvidence }), "{:?}", walk.facts);
}

/// Other hooks or verifies: what is written stays written; the leg is deployed and observed anew, and counted as another one.
#[test]
fn other_hooks_deploy_anew() {
    let plan = Plan { hooks: vec![HOOK], verifies: vec![verify(VerifyKind::Consumer), verify(VerifyKind::Confirm)], ..plan() };
    for (phase, then, legs) in [
        (Phase::Stage, Phase::Stage, 1),
        (Phase::Observe, Phase::Deploy, 1),
        (Phase::Settle, Phase::Settle, 1),
        (Phase::Retire, Phase::Retire, 0),
    ] {
        let mut rotation = standing(phase, &plan);
        let holds = VerifyState { since: Some(START), holds: true, next: START };
        if let Some(leg) = &mut rotation.leg {
            (leg.follows, leg.verifies) = (true, vec![holds, holds]);
        }
        let before = rotation.leg.clone().expect("a leg");
        rotation.deploy_anew(&plan);
        let leg = rotation.leg.expect("a leg");
        assert_eq!((rotation.phase, rotation.legs), (then, legs), "{phase:?}");
        assert_eq!((leg.layout, &leg.written, leg.touched, leg.follows), (before.layout, &before.written, true, true));
        let retires = phase == Phase::Retire;
        assert_eq!((leg.deployed_at.is_some(), leg.hooks_done), (retires, u32::from(retires)), "{phase:?}");
        let seen: Vec<_> = leg.verifies.iter().map(|state| state.holds).collect();
        assert_eq!(seen, [false, retires], "{phase:?}: a person's word stays where it is deployed");
    }
}

/// The use of the old key can be seen where the provider tells it to somebody else than the key itself, by the key's id.
#[test]
fn where_the_old_keys_use_can_be_seen() {
    let mut told = plan();
    told.provider.verbs.last_used = true;
    told.provider.declares.last_used = Some(LastUsed { granularity: Span::MINUTE, lag: Span::MINUTE, null: NullUse::Unknown });
    let seen = |change: fn(&mut Plan, &mut Rotation)| {
        let mut plan = told.clone();
        let mut rotation = standing(Phase::Observe, &plan);
        change(&mut plan, &mut rotation);
        rotation.use_exposed(&plan)
    };
    assert!(seen(|_, _| ()));
    assert!(seen(|plan, _| (plan.provider.verbs.last_used, plan.provider.verbs.list) = (false, true)), "by the list");
    assert!(!seen(|plan, _| plan.provider.verbs.last_used = false));
    assert!(!seen(|plan, _| plan.provider.declares.last_used = None));
    assert!(!seen(|plan, _| plan.provider.declares.authority = cutover_machine::plan::Authority::Own));
    assert!(!seen(|_, rotation| rotation.old = None));
    assert!(!seen(|_, rotation| rotation.old = Some(cutover_machine::state::Key { id: None, ..key("old") })));
    let (open, later) = (standing(Phase::Observe, &told), at(90).at);
    assert_eq!((open.age(later), open.age(Stamp(0))), (Span::seconds(90), Span::ZERO));
    let swapped = Rotation { swapped: true, ..open };
    let mut grace = told.clone();
    grace.provider.lifecycle = cutover_machine::plan::Lifecycle::Grace;
    assert!(!swapped.clock_ends_old(&grace) && standing(Phase::Observe, &grace).clock_ends_old(&grace));
}
