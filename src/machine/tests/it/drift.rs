//! What stands in the targets is not what was left there: looked at before every hook, mint and end, and at every poll.

use cutover_machine::emergency::EmergencyOrder;
use cutover_machine::event::{Event, Fact, Holding, Order, Sight, Watched};
use cutover_machine::plan::{Plan, TargetPlan};
use cutover_machine::state::{Call, Layout, Leg, Phase, Why};
use cutover_machine::{Due, Effect, Rotation, Span, Stamp};

use super::fixture::{HOOK, START, Walk, at, holds, plan, standing, unknown, urgent, waits};

const SETTLED: Holding = Holding { readable: true, during: false, settled: true, known: true };
/// Somebody else's value.
const FOREIGN: Holding = Holding { settled: false, known: false, ..SETTLED };
/// What stood there before this rotation.
const BACK: Holding = Holding { settled: false, ..SETTLED };
const UNREADABLE: Holding = Holding { readable: false, settled: false, known: false, during: false };

fn two_targets() -> Plan {
    Plan { targets: vec![TargetPlan { has_during: false }; 2], hooks: vec![HOOK], ..plan() }
}

fn leg(rotation: &Rotation) -> &Leg {
    rotation.leg.as_ref().expect("a leg")
}

/// Everything written and, from observe on, deployed.
fn written(phase: Phase, plan: &Plan) -> Rotation {
    let mut rotation = standing(phase, plan);
    rotation.legs = 1;
    if let Some(leg) = &mut rotation.leg {
        leg.written = plan.targets.iter().map(|_| true).collect();
    }
    rotation
}

/// A foreign value holds the rotation in every phase; what cannot be read is not taken for one.
#[test]
fn a_foreign_value_is_held_everywhere() {
    let plan = two_targets();
    for phase in [Phase::Mint, Phase::Doubt, Phase::Stage, Phase::Deploy, Phase::Settle, Phase::Retire] {
        for (targets, held) in [
            ([SETTLED, FOREIGN], Some(vec![1])),
            ([FOREIGN, FOREIGN], Some(vec![0, 1])),
            ([SETTLED, SETTLED], None),
            ([SETTLED, UNREADABLE], None),
        ] {
            let mut walk = Walk::from(written(phase, &plan), &plan);
            let before = walk.rotation.clone();
            walk.say(Event::Guarded(targets.to_vec()));
            if targets == [SETTLED, SETTLED] {
                assert_eq!(walk.rotation, before, "{phase:?}: all is well");
            }
            assert_eq!(walk.why(), held.clone().map(|targets| Why::Drift { targets }), "{phase:?} {targets:?}");
        }
    }
}

/// An emergency writes over whatever stands in a target that it has not written yet; over its own key nobody else's is let pass.
#[test]
fn an_emergency_writes_over_what_it_has_not_written() {
    let plan = two_targets();
    for (phase, done, held) in
        [(Phase::Mint, false, None), (Phase::Stage, false, None), (Phase::Deploy, true, Some(Why::Drift { targets: vec![1] }))]
    {
        let rotation = if done { written(phase, &plan) } else { standing(phase, &plan) };
        let mut walk = Walk::from(urgent(rotation, EmergencyOrder::CutFirst, Vec::new()), &plan);
        walk.say(Event::Guarded(vec![SETTLED, FOREIGN]));
        assert_eq!(walk.why(), held, "{phase:?}");
    }
}

/// A target that was set back is written again, and everything after the write starts anew as another leg.
#[test]
fn a_target_set_back_is_written_again() {
    let plan = two_targets();
    for phase in [Phase::Stage, Phase::Deploy, Phase::Settle, Phase::Retire] {
        let mut rotation = written(phase, &plan);
        rotation.retire.confirmed = true;
        let mut walk = Walk::from(rotation, &plan);
        walk.say(Event::Guarded(vec![SETTLED, BACK]));
        assert_eq!(walk.facts, [Fact::SetBack { targets: vec![1] }], "{phase:?}");
        let again = leg(&walk.rotation);
        assert_eq!((&again.written[..], again.touched, again.number, again.deployed_at), (&[true, false][..], true, 2, None));
        let rotation = &walk.rotation;
        assert_eq!((rotation.phase, rotation.legs, rotation.cutover_at), (Phase::Stage, 2, None), "{phase:?}");
        assert!(!rotation.retire.confirmed, "what a person said before counts no more");
        assert_eq!(walk.due(), Due::Call(Effect::Write { target: 1, layout: Layout::Settled }));
    }
    // What is not written yet, or cannot be read, was not set back.
    let mut walk = Walk::from(standing(Phase::Stage, &plan), &plan);
    assert!(walk.say(Event::Guarded(vec![BACK, BACK])).facts.is_empty());
    let mut walk = Walk::from(written(Phase::Deploy, &plan), &plan);
    assert!(walk.say(Event::Guarded(vec![SETTLED, UNREADABLE])).facts.is_empty());
    assert_eq!(leg(&walk.rotation).written, [true, true]);
}

/// With the old key switched off, whoever reads the target that was set back needs it: it is switched on again, where that can be done.
#[test]
fn a_key_switched_off_is_switched_on_again_after_a_set_back() {
    for (activate, off, revoked, wanted) in [
        (true, Some(START), None, true),
        (false, Some(START), None, false),
        (true, None, None, false),
        (true, Some(START), Some(START), false),
    ] {
        let mut plan = two_targets();
        plan.provider.verbs.activate = activate;
        let mut rotation = written(Phase::Retire, &plan);
        (rotation.retire.deactivated_at, rotation.retire.revoked_at) = (off, revoked);
        let mut walk = Walk::from(rotation, &plan);
        walk.say(Event::Guarded(vec![SETTLED, BACK]));
        assert_eq!(walk.rotation.retire.reactivate, wanted, "{activate} {off:?} {revoked:?}");
        if wanted {
            assert_eq!(walk.due(), Due::Call(Effect::Activate));
        }
    }
}

/// A target that cannot be read stops mint, hook and end: it is tried again, and told after five tries. Not in an emergency.
#[test]
fn what_cannot_be_read_is_not_acted_on() {
    let plan = two_targets();
    for (phase, tells) in
        [(Phase::Mint, false), (Phase::Stage, true), (Phase::Deploy, true), (Phase::Settle, true), (Phase::Retire, true)]
    {
        let mut rotation = written(phase, &plan);
        rotation.call = Call::Ready { tries: 0, not_before: Stamp(0), after_unknown: true };
        let mut walk = Walk::from(rotation.clone(), &plan);
        for tries in 1..=5 {
            walk.say(Event::Guarded(vec![SETTLED, UNREADABLE]));
            let (count, next) = waits(&walk.rotation);
            assert_eq!((count, next > START), (tries, true), "{phase:?}");
            let store = Why::Store { target: 1, detail: String::from("cannot be read back") };
            assert_eq!(walk.why(), (tries == 5 && tells).then_some(store), "{phase:?} {tries}");
        }
        let unknown = matches!(walk.rotation.call, Call::Ready { after_unknown: true, .. });
        assert_eq!(unknown, tells && phase != Phase::Retire, "{phase:?}: a hook that may have run stays one");
        if phase == Phase::Mint {
            assert_eq!(walk.rotation.mint.surveyed_at, Stamp(0), "everything is looked at anew");
        }
        let mut walk = Walk::from(urgent(rotation, EmergencyOrder::CutFirst, Vec::new()), &plan);
        walk.say(Event::Guarded(vec![SETTLED, UNREADABLE]));
        let waits_too = matches!(phase, Phase::Stage | Phase::Deploy | Phase::Settle);
        assert_eq!(waits(&walk.rotation).0, u32::from(waits_too), "{phase:?} in an emergency");
    }
}

/// With time running out what can be read is deployed.
#[test]
fn with_time_running_out_an_unreadable_target_is_not_waited_for() {
    let plan = two_targets();
    for (hours, tries) in [(17, 1), (18, 0)] {
        let mut rotation = standing(Phase::Stage, &plan);
        if let Some(leg) = &mut rotation.leg {
            leg.written = vec![true, false];
        }
        let mut walk = Walk::from(rotation, &plan);
        walk.at(Span::hours(hours)).say(Event::Guarded(vec![SETTLED, UNREADABLE]));
        assert_eq!(waits(&walk.rotation).0, tries, "after {hours} h");
    }
}

/// A poll finds a drift and a set-back as well; what the verifies say beside it counts against the evidence.
#[test]
fn a_poll_finds_what_was_changed() {
    let plan = two_targets();
    let seen = |walk: &Walk, targets: [Holding; 2], sight| {
        Event::Watched(Watched {
            began: walk.now.at,
            targets: targets.to_vec(),
            verifies: vec![(0, sight)],
            uses: None,
            skew: None,
        })
    };
    let mut rotation = written(Phase::Observe, &plan);
    if let Some(leg) = &mut rotation.leg {
        leg.verifies[0].since = Some(START);
        leg.verifies[0].holds = true;
    }
    for (sight, kept) in [(Sight::Holds, true), (Sight::Not, false), (Sight::Unanswered, false)] {
        let mut walk = Walk::from(rotation.clone(), &plan);
        walk.say(seen(&walk, [SETTLED, FOREIGN], sight));
        assert_eq!(walk.why(), Some(Why::Drift { targets: vec![1] }));
        let state = leg(&walk.rotation).verifies[0];
        assert_eq!((state.since.is_some(), state.holds), (kept, kept), "{sight:?}");
        assert!(walk.tried(seen(&walk, [SETTLED, SETTLED], Sight::Holds)).is_err(), "held: nothing is watched");
    }
    let mut walk = Walk::from(rotation, &plan);
    walk.say(seen(&walk, [SETTLED, BACK], Sight::Holds));
    assert_eq!((walk.rotation.phase, &walk.facts[..]), (Phase::Stage, &[Fact::SetBack { targets: vec![1] }][..]));
    assert!(walk.tried(seen(&walk, [SETTLED, SETTLED], Sight::Holds)).is_err(), "stage is not watched");
}

/// After a drift was mended, what was deployed already is written, deployed and seen again; what was not simply goes on.
#[test]
fn after_a_drift_what_was_deployed_is_deployed_again() {
    let plan = two_targets();
    for (hooks_done, deployed, again) in [(0, false, false), (1, false, true), (0, true, true)] {
        let mut rotation = written(Phase::Deploy, &plan);
        if let Some(leg) = &mut rotation.leg {
            (leg.hooks_done, leg.deployed_at, leg.hook_failures) = (hooks_done, deployed.then_some(START), 2);
        }
        rotation.held = super::fixture::held(Phase::Deploy, Why::Drift { targets: vec![0] }, &plan).held;
        let mut walk = Walk::from(rotation, &plan);
        walk.at(Span::MINUTE).say(Event::Ordered(Order::Resume));
        assert_eq!((walk.rotation.legs, walk.rotation.resumed_at, walk.why()), (1 + u32::from(again), at(60).at, None));
        assert_eq!(leg(&walk.rotation).hook_failures, 0);
    }
}

/// The targets are read before a call, not while one is under way.
#[test]
fn a_guard_comes_before_the_call() {
    let plan = two_targets();
    let mut walk = Walk::from(standing(Phase::Stage, &plan), &plan);
    walk.calls(Effect::Write { target: 0, layout: Layout::Settled });
    assert!(walk.tried(Event::Guarded(vec![SETTLED, SETTLED])).is_err());
    walk.say(Event::Written(0, unknown())).say(Event::Guarded(vec![holds(Layout::Settled), SETTLED]));
}

/// What is read before which call: a store that is slow keeps no emergency from its new key, and nothing a cut-first one from the cut.
#[test]
fn what_the_targets_are_read_before() {
    let plan = two_targets();
    let hook = Effect::Hook { hook: 0, layout: Layout::Settled, leg: 1 };
    let discard = Effect::Discard(String::from("key_1"));
    let rotation = standing(Phase::Mint, &plan);
    let deploy = urgent(rotation.clone(), EmergencyOrder::DeployFirst, Vec::new());
    let cut = urgent(rotation.clone(), EmergencyOrder::CutFirst, Vec::new());
    for (effect, guarded) in [
        (Effect::Mint, [true, false, false]),
        (discard, [true, false, false]),
        (hook, [true, true, true]),
        (Effect::Revoke, [true, true, true]),
        (Effect::Cut(0), [true, true, false]),
        (Effect::Survey, [false, false, false]),
    ] {
        assert_eq!([&rotation, &deploy, &cut].map(|rotation| rotation.guards(&effect)), guarded, "{effect:?}");
    }
}
