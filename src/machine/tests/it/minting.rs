//! The preflight, the one call that makes a key, and its refusals.

use cutover_machine::event::{Class, Event, Fact, Survey};
use cutover_machine::plan::{Authority, ListBy, Plan};
use cutover_machine::state::{Call, Grace, Key, MintIntent, Phase, Proof, Why};
use cutover_machine::{Due, Effect, Now, Rotation, Span, Stamp};

use super::fixture::{Change, START, Walk, at, held, key, plan, refused, standing, unknown, waits};

fn survey(old: Option<Key>) -> Survey {
    Survey { old_is_sealed: old.is_some(), old, old_is_ours: true }
}

/// Outside of the window nothing is looked at and nothing is minted; in it everything is looked at right before the mint.
#[test]
fn the_window_gates_the_mint() {
    let plan = plan();
    for phase in [Phase::Preflight, Phase::Mint] {
        let mut walk = Walk::from(standing(phase, &plan), &plan);
        let opens = at(3_600).at;
        walk.now = Now { window: opens, ..at(60) };
        assert_eq!(walk.due(), Due::Sleep(opens), "{phase:?}");
        walk.now = Now { at: opens, window: opens, frozen: false };
        assert_eq!(walk.due(), Due::Call(Effect::Survey), "{phase:?}");
    }
    let mut changes: Vec<(&str, Change)> = Vec::new();
    changes.push(("an earlier mint may have made a key", |rotation| rotation.mint.lost = true));
    changes.push(("the old key's clock runs", |rotation| rotation.mint.clock_runs = true));
    changes.push(("the old key is dead", |rotation| rotation.retire.dead = Some(Proof::Refused)));
    for (name, change) in changes {
        let mut rotation = standing(Phase::Mint, &plan);
        change(&mut rotation);
        let walk = Walk { now: Now { window: at(3_600).at, ..at(60) }, ..Walk::from(rotation, &plan) };
        assert_eq!(walk.due(), Due::Call(Effect::Mint), "{name}: nothing waits for a window");
    }
}

/// What was looked at counts for two minutes.
#[test]
fn a_survey_holds_for_two_minutes() {
    let plan = plan();
    let mut walk = Walk::from(standing(Phase::Mint, &plan), &plan);
    assert_eq!(walk.at(Span::minutes(2)).due(), Due::Call(Effect::Mint));
    assert_eq!(walk.at(Span(120_001)).due(), Due::Call(Effect::Survey));
}

/// While the clock has stepped and nobody has confirmed it nothing is begun and no key is ended; what is under way goes on.
#[test]
fn a_clock_that_stepped_freezes_starts() {
    let plan = plan();
    for (phase, surveyed, waits) in
        [(Phase::Preflight, 0, true), (Phase::Mint, 60, true), (Phase::Mint, 0, true), (Phase::Stage, 0, false)]
    {
        let mut rotation = standing(phase, &plan);
        rotation.mint.surveyed_at = at(surveyed).at;
        let walk = Walk { now: Now { frozen: true, ..at(170) }, ..Walk::from(rotation, &plan) };
        let due = walk.due();
        if waits {
            assert_eq!(due, Due::Sleep(at(230).at), "{phase:?}: looked at again in a minute");
        } else {
            assert!(matches!(due, Due::Call(Effect::Write { .. })), "{phase:?}: {due:?}");
        }
    }
}

/// Before the first intent the survey says which key is in use; after it that stays the one that was in use when the rotation began.
#[test]
fn the_survey_names_the_key_in_use_until_a_mint_was_intended() {
    let plan = plan();
    for (intents, old) in [(0, "in-use"), (1, "old")] {
        let mut rotation = standing(Phase::Mint, &plan);
        rotation.mint.intents = intents;
        rotation.mint.surveyed_at = Stamp(0);
        let mut walk = Walk::from(rotation, &plan);
        walk.calls(Effect::Survey).say(Event::Surveyed(Ok(survey(Some(key("in-use"))))));
        assert_eq!(walk.rotation.old, Some(key(old)), "after {intents} intents");
        assert_eq!((walk.rotation.mint.surveyed_at, walk.rotation.old_is_sealed), (START, intents == 0));
        assert_eq!(walk.facts, [Fact::PreflightPassed { first: false }]);
    }
    let mut walk = Walk::from(standing(Phase::Preflight, &plan), &plan);
    walk.calls(Effect::Survey).say(Event::Surveyed(Ok(survey(None))));
    assert_eq!((walk.rotation.phase, &walk.facts[..]), (Phase::Mint, &[Fact::PreflightPassed { first: true }][..]));
}

/// A failing preflight is told as a fact at once and to a person after five tries; before the first intent it goes back to the beginning.
#[test]
fn a_preflight_that_fails_is_told_after_five_tries() {
    let plan = plan();
    for (intents, phase) in [(0, Phase::Preflight), (1, Phase::Mint)] {
        let mut rotation = standing(Phase::Mint, &plan);
        rotation.mint.intents = intents;
        rotation.mint.surveyed_at = Stamp(0);
        let mut walk = Walk::from(rotation, &plan);
        for tries in 1..=5 {
            walk.calls(Effect::Survey).say(Event::Surveyed(Err(String::from("down"))));
            assert_eq!((walk.rotation.phase, waits(&walk.rotation).0), (phase, tries));
            let detail = String::from("down");
            let wanted = match tries {
                1 => vec![Fact::PreflightFailed { detail }],
                5 => vec![Fact::Held { why: Why::Preflight(detail) }],
                _ => Vec::new(),
            };
            assert_eq!(walk.facts, wanted, "try {tries}");
            let next = waits(&walk.rotation).1;
            assert_ne!(walk.due(), Due::Call(Effect::Survey), "not at once");
            walk.now = Now::open(next);
        }
        walk.calls(Effect::Survey).say(Event::Surveyed(Ok(survey(Some(key("old"))))));
        assert_eq!(walk.facts.first(), Some(&Fact::Recovered { why: Why::Preflight(String::from("down")) }));
    }
}

/// A dead credential is told at once, whatever else is not well; another one moves it on.
#[test]
fn a_dead_credential_is_told_at_once() {
    let plan = plan();
    for (intents, phase) in [(0, Phase::Preflight), (1, Phase::Mint)] {
        let mut rotation = standing(Phase::Mint, &plan);
        rotation.mint.intents = intents;
        rotation.mint.surveyed_at = Stamp(0);
        let mut walk = Walk::from(rotation, &plan);
        walk.calls(Effect::Survey).say(Event::Denied(String::from("401")));
        assert_eq!((walk.rotation.phase, walk.why()), (phase, Some(Why::Credential(String::from("401")))));
        assert_eq!(waits(&walk.rotation).0, 1);
        assert!(waits(&walk.rotation).1 > START);
        walk.say(Event::Renewed);
        assert_eq!(walk.due(), Due::Call(Effect::Survey));
    }
    for (phase, new) in [(Phase::Stage, true), (Phase::Doubt, false)] {
        let walk = Walk::from(standing(phase, &plan), &plan);
        assert!(walk.tried(Event::Denied(String::from("401"))).is_err() && walk.rotation.new.is_some() == new);
        assert!(walk.tried(Event::Surveyed(Err(String::from("down")))).is_err());
    }
}

/// The intent is durable with its time, its deadline and the grace it asks for; the alarms are armed with it, once.
#[test]
fn the_intent_arms_the_grace() {
    let shorter = Plan { shortest_grace: Span::hours(3), ..plan() };
    let longer = Plan { shortest_grace: Span::hours(30), ..plan() };
    for (plan, grace) in [(plan(), 24), (shorter, 3), (longer, 24)] {
        let mut walk = Walk::from(standing(Phase::Mint, &plan), &plan);
        walk.at(Span::MINUTE).calls(Effect::Mint);
        let intent = MintIntent { at: at(60).at, deadline: at(120).at, grace: Span::hours(24) };
        assert_eq!((walk.rotation.mint.intent.as_ref(), walk.rotation.mint.intents), (Some(&intent), 1));
        let end = at(60).at.plus(Span::hours(grace));
        let armed = Grace { from: at(60).at, end, told: Vec::new(), ended_told: false };
        assert_eq!(walk.rotation.grace, Some(armed));
        assert_eq!(walk.facts, [Fact::MintIntended { intent: 1, old_until: end }]);
    }
    let plan = plan();
    let first = Rotation { old: None, ..standing(Phase::Mint, &plan) };
    let mut walk = Walk::from(first, &plan);
    walk.calls(Effect::Mint);
    assert_eq!(
        (walk.rotation.grace.as_ref(), &walk.facts[..]),
        (None, &[Fact::MintIntended { intent: 1, old_until: Stamp::NEVER }][..])
    );
    // A further intent does not put the alarms off.
    let grace = Grace { from: START, end: at(60).at, told: vec![50], ended_told: false };
    let mut again = Rotation { grace: Some(grace.clone()), ..standing(Phase::Mint, &plan) };
    again.mint.intents = 1;
    let mut walk = Walk::from(again, &plan);
    walk.at(Span::seconds(10)).calls(Effect::Mint);
    assert_eq!((walk.rotation.grace.clone(), walk.rotation.mint.intents), (Some(grace), 2));
}

/// A refusal says that certainly no key was made. What helps by itself is tried on, what needs a person is told; the old key's grace is
/// not counted any more, but where a key exists already.
#[test]
fn each_refusal_of_the_mint_has_its_answer() {
    // The class, after so many refusals in a row that it waits for a person, and with what.
    for (class, told, why) in [
        (Class::Auth, 1, "credential"),
        (Class::Unsent, 10, "preflight"),
        (Class::Throttle, 10, "mint-refused"),
        (Class::Scope, 1, "mint-refused"),
        (Class::Limit, 1, "mint-refused"),
        (Class::Gone, 3, "mint-refused"),
        (Class::Refused, 3, "mint-refused"),
    ] {
        let plan = plan();
        let mut walk = Walk::from(standing(Phase::Mint, &plan), &plan);
        for tries in 1..=told {
            walk.rotation.mint.surveyed_at = walk.now.at;
            walk.calls(Effect::Mint).say(Event::Replied(refused(class)));
            assert!(walk.facts.contains(&Fact::MintRefused { detail: format!("{class:?}") }));
            assert_eq!((walk.rotation.grace.as_ref(), walk.rotation.mint.surveyed_at), (None, Stamp(0)), "{class:?}");
            assert_eq!(walk.why().map(|why| why.label()), (tries == told).then_some(why), "{class:?} {tries}");
            let (count, next) = waits(&walk.rotation);
            if tries < told || class == Class::Auth {
                assert_eq!(count, tries, "{class:?}");
                assert!(next > walk.now.at, "{class:?}: not at once");
            }
            walk.now = Now::open(next.max(walk.now.at));
        }
    }
}

/// A provider that signs by the key itself has no credential that could be dead.
#[test]
fn a_refusal_of_the_key_itself_is_no_dead_credential() {
    let mut plan = plan();
    plan.provider.declares.authority = Authority::Own;
    let mut walk = Walk::from(standing(Phase::Mint, &plan), &plan);
    walk.calls(Effect::Mint).say(Event::Replied(refused(Class::Auth)));
    assert_eq!(walk.why(), None);
}

/// That a key exists already, or that there is no room for one, may be the trace of a lost mint: it is looked up. Once.
#[test]
fn what_may_be_the_trace_of_a_lost_mint_is_looked_up() {
    let mut plan = plan();
    (plan.provider.declares.list, plan.provider.verbs.list) = (ListBy::Name, true);
    for (class, failures, doubt) in [(Class::Exists, 0, true), (Class::Limit, 0, true), (Class::Limit, 1, false)] {
        let mut walk = Walk::from(Rotation { failures, ..standing(Phase::Mint, &plan) }, &plan);
        walk.calls(Effect::Mint).say(Event::Replied(refused(class)));
        assert_eq!(walk.rotation.phase == Phase::Doubt, doubt, "{class:?} {failures}");
        assert_eq!(walk.why().is_some(), !doubt);
        assert_eq!(walk.rotation.failures, failures + u32::from(doubt && class == Class::Limit), "once");
        let kept = walk.rotation.grace.is_some();
        assert_eq!(kept, class == Class::Exists, "{class:?}: it may have started the old key's clock");
    }
    for (list, verb, revoke) in
        [(ListBy::Time, true, true), (ListBy::None, true, true), (ListBy::Name, false, true), (ListBy::Name, true, false)]
    {
        (plan.provider.declares.list, plan.provider.verbs.list, plan.provider.verbs.revoke) = (list, verb, revoke);
        let mut walk = Walk::from(standing(Phase::Mint, &plan), &plan);
        walk.calls(Effect::Mint).say(Event::Replied(refused(Class::Limit)));
        assert_eq!(walk.rotation.phase, Phase::Mint, "{list:?} {verb} {revoke}: no orphan could be found and given up");
    }
}

/// Nothing is said of a call that is not under way.
#[test]
fn answers_fit_the_call_under_way() {
    let plan = plan();
    for phase in [Phase::Mint, Phase::Stage, Phase::Observe, Phase::Retire] {
        let mut rotation = standing(phase, &plan);
        rotation.call = Call::FRESH;
        let walk = Walk::from(rotation, &plan);
        for event in [
            Event::Replied(unknown()),
            Event::Read(unknown()),
            Event::Discarded(String::from("x"), unknown()),
            Event::Probed(unknown()),
            Event::Written(0, unknown()),
            Event::Foreign(0),
            Event::Hooked(0, unknown()),
            Event::Ended(unknown()),
            Event::Cut(0, unknown()),
            Event::ProbedCut(0, unknown()),
            Event::Listed(unknown()),
            Event::Renewed,
        ] {
            let told = format!("{event:?} in {phase:?}");
            let illegal = walk.tried(event).expect_err(&told);
            assert_eq!(illegal.to_string(), format!("not in phase {}: {}", phase.label(), illegal.reason));
        }
    }
    assert!(Walk::from(held(Phase::Closed, Why::Doubt, &plan), &plan).tried(Event::Woke).is_err(), "closed");
    let other = Rotation { format: 0, ..standing(Phase::Mint, &plan) };
    assert!(Walk::from(other, &plan).tried(Event::Woke).expect_err("unknown").reason.contains("another format"));
    assert!(
        Walk::from(standing(Phase::Preflight, &plan), &plan)
            .tried(Event::Intended { effect: Effect::Mint, deadline: START })
            .is_err()
    );
}
