//! Stage and deploy: every target is written, then every hook is run; and what is done while something fails or time runs out.

use cutover_machine::event::{Answer, Class, Event, Fact, Refused};
use cutover_machine::plan::{HookPlan, Plan, TargetPlan};
use cutover_machine::state::{Call, Grace, Layout, Leg, Phase, Why};
use cutover_machine::{Due, Effect, Now, Rotation, Span, Stamp};

use super::fixture::{HOOK, START, Walk, after, at, minted, plan, refused, standing, unknown, waits};

const SETTLED: Layout = Layout::Settled;

fn targets(count: usize) -> Plan {
    Plan { targets: vec![TargetPlan { has_during: false }; count], hooks: vec![HOOK], ..plan() }
}

fn write(target: u32) -> Effect {
    Effect::Write { target, layout: SETTLED }
}

fn hook(hook: u32, leg: u32) -> Effect {
    Effect::Hook { hook, layout: SETTLED, leg }
}

fn leg(rotation: &Rotation) -> &Leg {
    rotation.leg.as_ref().expect("a leg")
}

/// The targets in order, then the hooks in order, each told; then it is observed.
#[test]
fn targets_then_hooks_then_observe() {
    let plan = Plan { hooks: vec![HOOK, HOOK], ..targets(2) };
    let mut walk = Walk::from(standing(Phase::Stage, &plan), &plan);
    for target in [0, 1] {
        assert_eq!(walk.rotation.phase, Phase::Stage);
        walk.calls(write(target)).say(Event::Written(target, Answer::Done(())));
        assert_eq!(walk.facts, [Fact::Written { target, layout: SETTLED }]);
    }
    for place in [0, 1] {
        assert_eq!(walk.rotation.phase, Phase::Deploy);
        walk.at(Span::seconds(30)).calls(hook(place, 1)).say(Event::Hooked(place, Answer::Done(())));
        assert_eq!(walk.facts, [Fact::Deployed { hook: place, layout: SETTLED }]);
    }
    let leg = leg(&walk.rotation);
    assert_eq!((walk.rotation.phase, leg.deployed_at, leg.quiet_from), (Phase::Observe, Some(at(30).at), at(30).at));
    assert_eq!((leg.use_next, leg.verifies[0].next, leg.verifies[0].holds), (at(30).at, at(30).at, false));
}

/// A target that fails keeps the others from nothing: each try takes the next one that is missing.
#[test]
fn a_target_that_fails_keeps_no_other_waiting() {
    let plan = targets(3);
    let mut walk = Walk::from(standing(Phase::Stage, &plan), &plan);
    let order = [0, 1, 2, 0];
    for (tries, target) in (1..).zip(order) {
        walk.calls(write(target)).say(Event::Written(target, refused(Class::Unsent)));
        let (count, next) = waits(&walk.rotation);
        assert_eq!((count, walk.why()), (tries, None));
        assert!(next > walk.now.at);
        walk.now = Now::open(next);
    }
    walk.calls(write(1)).say(Event::Written(1, Answer::Done(())));
    assert_eq!((walk.rotation.failures, leg(&walk.rotation).written.clone()), (0, vec![false, true, false]));
    walk.calls(write(0)).say(Event::Written(0, refused(Class::Unsent)));
    assert_eq!(waits(&walk.rotation).0, 1, "counted anew");
    walk.now = Now::open(waits(&walk.rotation).1);
    assert_eq!(walk.due(), Due::Call(write(2)));
}

/// After five failures in a row a person is told; at once where cutover may not write; a write lost to somebody else's is repeated at once.
#[test]
fn a_write_that_fails_is_told_after_five_tries() {
    let plan = targets(1);
    for (class, told, hot) in
        [(Some(Class::Unsent), 5, false), (None, 5, false), (Some(Class::Scope), 1, false), (Some(Class::Exists), 5, true)]
    {
        let mut walk = Walk::from(standing(Phase::Stage, &plan), &plan);
        walk.rotation.leg.as_mut().expect("a leg").touched = false;
        for tries in 1..=told {
            walk.calls(write(0)).say(Event::Written(0, class.map_or_else(unknown, refused)));
            assert!(leg(&walk.rotation).touched, "it may stand there");
            assert_eq!(walk.why().map(|why| why.label()), (tries == told).then_some("store"), "{class:?} {tries}");
            assert_eq!(waits(&walk.rotation).1 == walk.now.at, hot && tries < told, "{class:?} {tries}");
            walk.now = Now::open(waits(&walk.rotation).1);
        }
        walk.calls(write(0)).say(Event::Written(0, Answer::Done(())));
        assert!(walk.facts.iter().any(|fact| matches!(fact, Fact::Recovered { why: Why::Store { target: 0, .. } })));
    }
    let mut walk = Walk::from(standing(Phase::Stage, &plan), &plan);
    walk.calls(write(0));
    assert!(walk.tried(Event::Written(1, Answer::Done(()))).is_err(), "another target is being written");
    walk.say(Event::Foreign(0));
    assert_eq!(walk.why(), Some(Why::Drift { targets: vec![0] }));
}

/// A hook is tried five times. Where it is not known whether it started, it is run again only where that may be done.
#[test]
fn a_hook_is_tried_five_times() {
    for (repeatable, class, told, label) in [
        (true, Some(Class::Refused), 5, "hook"),
        (false, Some(Class::Refused), 5, "hook"),
        (true, None, 5, "hook"),
        (false, None, 1, "hook-unknown"),
    ] {
        let plan = Plan { hooks: vec![HookPlan { repeatable, ..HOOK }], ..plan() };
        let mut rotation = standing(Phase::Deploy, &plan);
        if let Some(leg) = &mut rotation.leg {
            leg.written = vec![true];
        }
        let mut walk = Walk::from(rotation, &plan);
        for tries in 1..=told {
            walk.calls(hook(0, 1)).say(Event::Hooked(0, class.map_or_else(unknown, refused)));
            let detail = class.map_or_else(|| String::from("lost"), |class| format!("{class:?}"));
            assert_eq!(walk.facts.first(), Some(&Fact::HookFailed { hook: 0, detail }));
            assert_eq!(walk.why().map(|why| why.label()), (tries == told).then_some(label), "{repeatable} {class:?} {tries}");
            if tries < told {
                assert_eq!(waits(&walk.rotation).0, tries);
                walk.now = Now::open(waits(&walk.rotation).1);
            }
        }
    }
    let plan = targets(1);
    let mut rotation = standing(Phase::Deploy, &plan);
    if let Some(leg) = &mut rotation.leg {
        (leg.written, leg.hook_failures) = (vec![true], 3);
    }
    let mut walk = Walk::from(rotation, &plan);
    walk.calls(hook(0, 1));
    assert!(walk.tried(Event::Hooked(1, Answer::Done(()))).is_err(), "another hook is under way");
    walk.say(Event::Hooked(0, Answer::Done(())));
    assert_eq!(leg(&walk.rotation).hook_failures, 0);
}

/// At three quarters of the grace what is staged is deployed, once; the missing target stays wanted, and then everything is deployed again.
#[test]
fn with_time_running_out_what_is_staged_is_deployed() {
    let plan = targets(2);
    let late = Span::hours(18);
    let mut rotation = standing(Phase::Stage, &plan);
    rotation.legs = 1;
    if let Some(grace) = &mut rotation.grace {
        grace.told = vec![50, 75];
    }
    let staged = |written: [bool; 2]| {
        let mut rotation = rotation.clone();
        if let Some(leg) = &mut rotation.leg {
            leg.written = written.to_vec();
        }
        Walk::from(rotation, &plan)
    };
    let mut walk = staged([true, false]);
    assert_eq!(walk.at(Span(late.0 - 1)).due(), Due::Call(write(1)), "not yet");
    assert_eq!(staged([false, false]).at(late).due(), Due::Call(write(0)), "nothing is staged");
    let mut moved = staged([true, false]);
    moved.rotation.cutover_at = Some(START);
    assert_eq!(moved.at(late).due(), Due::Call(write(1)), "the grace counts no more");
    walk.at(late).calls(hook(0, 1)).say(Event::Hooked(0, Answer::Done(())));
    let early = leg(&walk.rotation);
    assert_eq!((early.early, early.number, early.hooks_done, early.deployed_at), (true, 2, 0, None));
    assert_eq!(walk.rotation.phase, Phase::Stage);
    walk.calls(write(1)).say(Event::Written(1, Answer::Done(())));
    walk.calls(hook(0, 2)).say(Event::Hooked(0, Answer::Done(())));
    assert_eq!((walk.rotation.phase, walk.rotation.legs), (Phase::Observe, 2));
}

/// Settle waits for the window with its redeploy; nothing else does.
#[test]
fn only_settle_waits_for_the_window() {
    let plan = targets(1);
    for (phase, gated) in [(Phase::Stage, false), (Phase::Settle, true)] {
        let mut rotation = standing(phase, &plan);
        rotation.grace = None;
        if let Some(leg) = &mut rotation.leg {
            (leg.written, leg.hooks_done, leg.deployed_at) = (vec![false], 0, None);
        }
        let opens = at(600).at;
        let mut walk = Walk { now: Now { window: opens, ..at(0) }, ..Walk::from(rotation, &plan) };
        assert_eq!(walk.due(), if gated { Due::Sleep(opens) } else { Due::Call(write(0)) }, "{phase:?}");
        walk.now = Now::open(opens);
        assert_eq!(walk.due(), Due::Call(write(0)), "{phase:?}");
    }
}

/// The layout for both keys is written where there are both and where it differs; otherwise the settled one at once.
#[test]
fn during_is_written_while_both_keys_live() {
    use cutover_machine::state::Proof;
    for (during, old, dead, layout) in [
        (true, true, None, Layout::During),
        (true, true, Some(Proof::Refused), SETTLED),
        (true, false, None, SETTLED),
        (false, true, None, SETTLED),
    ] {
        let plan = Plan { targets: vec![TargetPlan { has_during: during }], ..plan() };
        let mut rotation = standing(Phase::Mint, &plan);
        rotation.new = Some(super::fixture::key("new"));
        rotation.old = rotation.old.filter(|_| old);
        rotation.retire.dead = dead;
        let mut walk = Walk::from(rotation, &plan);
        walk.calls(Effect::ProbeNew).say(Event::Probed(Answer::Done(true)));
        assert_eq!(walk.facts, [Fact::Accepted]);
        assert_eq!(walk.due(), Due::Call(Effect::Write { target: 0, layout }), "{during} {old} {dead:?}");
    }
}

/// "Not accepted" before the settle span is over means "not yet"; after it a person is told. With the old key dead nothing waits.
#[test]
fn a_new_key_may_be_born_late() {
    let plan = plan();
    let settled = at(60).at.plus(plan.provider.declares.settle);
    let probed = |now: Stamp, dead: bool| {
        let mut rotation = standing(Phase::Mint, &plan);
        rotation.new = Some(super::fixture::key("new"));
        rotation.mint.intents = 1;
        rotation.mint.intent = Some(cutover_machine::state::MintIntent { at: START, deadline: at(60).at, grace: plan.grace });
        rotation.retire.dead = dead.then_some(cutover_machine::state::Proof::AtMint);
        let mut walk = Walk { now: Now::open(now), ..Walk::from(rotation, &plan) };
        walk.calls(Effect::ProbeNew);
        assert_eq!(walk.rotation.mint.probed_at, Some(now.plus(Span::MINUTE)), "uses until it can land may be ours");
        walk.now = Now::open(now.plus(Span(1)));
        walk.say(Event::Probed(Answer::Done(false)));
        assert_eq!(walk.rotation.mint.probed_at, Some(walk.now.at));
        (walk.rotation.phase, walk.why(), walk.rotation.call)
    };
    let waits = |until| Call::Ready { tries: 0, not_before: until, after_unknown: false };
    let (early, last) = (at(61).at, settled.minus(Span(2)));
    assert_eq!(probed(early, false), (Phase::Mint, None, waits(early.plus(Span(5_001)))));
    assert_eq!(probed(last, false), (Phase::Mint, None, waits(settled)));
    let held = probed(settled.minus(Span(1)), false);
    assert_eq!((held.0, held.1), (Phase::Mint, Some(Why::NewKeyRefused)));
    assert_eq!(probed(early, true).0, Phase::Stage, "waiting would only keep the application down");
}

/// A probe that is not answered is repeated, and told after five tries.
#[test]
fn a_probe_of_the_new_key_that_fails_is_told_after_five_tries() {
    let plan = plan();
    for class in [None, Some(Class::Throttle)] {
        let mut rotation = standing(Phase::Mint, &plan);
        rotation.new = Some(super::fixture::key("new"));
        let mut walk = Walk::from(rotation, &plan);
        for tries in 1..=5 {
            walk.calls(Effect::ProbeNew).say(Event::Probed(class.map_or_else(unknown, refused)));
            assert_eq!(walk.why().map(|why| why.label()), (tries == 5).then_some("look"), "{class:?} {tries}");
            assert_eq!(waits(&walk.rotation).0, tries);
            walk.now = Now::open(waits(&walk.rotation).1);
        }
    }
}

/// What nothing can show is taken on trust once its birth would be seen; at once where waiting helps nobody.
#[test]
fn a_key_that_no_probe_can_show_waits_for_its_birth() {
    use cutover_machine::plan::Lifecycle;
    for (lifecycle, settle, old, waits) in [
        (Lifecycle::Overlap, 300, true, true),
        (Lifecycle::Set, 300, true, true),
        (Lifecycle::Overlap, 0, true, false),
        (Lifecycle::Overlap, 300, false, false),
        (Lifecycle::Grace, 300, true, false),
    ] {
        let mut plan = plan();
        plan.provider.lifecycle = lifecycle;
        plan.provider.verbs.probe = false;
        plan.provider.declares.settle = Span::seconds(settle);
        let mut rotation = standing(Phase::Mint, &plan);
        rotation.old = rotation.old.filter(|_| old);
        rotation.mint.received = true;
        let mut walk = Walk::from(rotation, &plan);
        let minted = minted();
        walk.say(Event::Read(Answer::Done(minted)));
        if waits {
            assert_eq!(walk.due(), Due::Sleep(at(settle).at), "{lifecycle:?}");
            assert_eq!(walk.at(Span::seconds(settle)).due(), Due::Tell);
            walk.say(Event::Woke);
        }
        assert_eq!(walk.due(), Due::Call(write(0)), "{lifecycle:?} {settle} {old}");
    }
}

/// A refusal may ask for a longer wait than the table's.
#[test]
fn what_a_store_or_a_hook_asks_for_is_waited_for() {
    let plan = targets(1);
    let slow = || Refused { class: Class::Throttle, retry_after: Some(Span::minutes(20)), detail: String::from("slow down") };
    let mut walk = Walk::from(standing(Phase::Stage, &plan), &plan);
    walk.calls(write(0)).say(Event::Written(0, Answer::Refused(slow())));
    assert_eq!(waits(&walk.rotation).1, after(Span::minutes(20)).at);
    let armed = Some(Grace { from: START, end: Stamp::NEVER, told: Vec::new(), ended_told: false });
    let mut rotation = Rotation { grace: armed, ..standing(Phase::Deploy, &plan) };
    if let Some(leg) = &mut rotation.leg {
        leg.written = vec![true];
    }
    let mut walk = Walk::from(rotation, &plan);
    walk.calls(hook(0, 1)).say(Event::Hooked(0, Answer::Refused(slow())));
    assert_eq!(waits(&walk.rotation).1, after(Span::minutes(20)).at);
}
