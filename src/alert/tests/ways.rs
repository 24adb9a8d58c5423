//! No way out is offered that the machine refuses, and something is offered wherever a person is waited for.

use cutover_machine::event::{Event, Order};
use cutover_machine::manual::Handed;
use cutover_machine::plan::{GraceOffer, Lifecycle, ListBy, ReRotate};
use cutover_machine::state::{Call, Doubt, End, Grace, Held, Key, Layout, Leg, MintIntent, Phase, RetireState, Why};
use cutover_machine::{Now, Plan, Rotation, Span, Stamp, decide};

use super::story::{START, Story, grace_plan, overlap_plan};
use crate::alert::{Way, ways};

/// The order that a printed command gives.
fn order(command: &str) -> Option<Order> {
    let words: Vec<&str> = command.split(' ').collect();
    let has = |flag: &str| words.contains(&flag);
    Some(match words[1] {
        "resume" if has("--mint-again") => Order::MintAgain,
        "resume" => Order::Resume,
        "abandon" => Order::Abandon,
        "confirm" if has("--retire") => Order::ConfirmRetire,
        "confirm" => Order::Confirm,
        "adopt" => Order::AdoptOld,
        "submit" => Order::Submit(Handed {
            key: Key {
                id: has("--id").then(|| String::from("def_44")),
                fingerprint: String::from("sha256:44"),
                expires_at: None,
            },
            old_expires_at: has("--old-expires-at").then_some(START),
        }),
        "rotate" => return None,
        other => panic!("an unknown verb: {other}"),
    })
}

fn whys() -> Vec<Why> {
    let text = || String::from("a detail");
    vec![
        Why::Preflight(text()),
        Why::Credential(text()),
        Why::MintRefused(text()),
        Why::Doubt,
        Why::Candidates(vec![String::from("def_44")]),
        Why::SameKey,
        Why::NewKeyRefused,
        Why::Store { target: 0, detail: text() },
        Why::Hook { hook: 0, detail: text() },
        Why::HookUnknown { hook: 0 },
        Why::Drift { targets: vec![0] },
        Why::OldStillUsed { at: START, from: None },
        Why::Retire(text()),
        Why::OldStillAccepted,
        Why::Look(text()),
    ]
}

const PHASES: [Phase; 8] =
    [Phase::Preflight, Phase::Mint, Phase::Doubt, Phase::Stage, Phase::Deploy, Phase::Observe, Phase::Settle, Phase::Retire];

fn plans() -> Vec<Plan> {
    let mut plans = Vec::new();
    for re_rotate in [ReRotate::KeepsAll, ReRotate::DropsOlder, ReRotate::Refused, ReRotate::Idempotent, ReRotate::Destroys] {
        for lifecycle in [Lifecycle::Overlap, Lifecycle::Grace, Lifecycle::Slots, Lifecycle::Set, Lifecycle::Manual] {
            for list in [ListBy::None, ListBy::Name] {
                let mut plan = if lifecycle == Lifecycle::Grace { grace_plan() } else { overlap_plan() };
                plan.provider.lifecycle = lifecycle;
                plan.provider.declares.re_rotate = re_rotate;
                plan.provider.declares.list = list;
                if lifecycle == Lifecycle::Manual {
                    plan.provider.verbs.revoke = list == ListBy::Name;
                    plan.provider.verbs.new_id = list == ListBy::Name;
                    plan.provider.declares.grace =
                        (re_rotate == ReRotate::Destroys).then_some(GraceOffer::Fixed(Span::hours(24)));
                }
                plans.push(plan);
            }
        }
    }
    plans
}

fn key(id: &str) -> Key {
    Key { id: Some(id.to_owned()), fingerprint: format!("sha256:{id}"), expires_at: None }
}

/// A rotation in this phase, as far as `variant` says: bit 0 = touched, 1 = a first key, 2 = swapped, 3 = the end has begun.
fn rotation(phase: Phase, why: Option<Why>, variant: u8, plan: &Plan) -> Rotation {
    let mut rotation = Rotation::open(7, START);
    rotation.phase = phase;
    rotation.call = Call::FRESH;
    rotation.held = why.map(|why| Held { why, since: START, told_at: START });
    if variant & 2 == 0 {
        rotation.old = Some(key("def_42"));
        rotation.old_is_ours = true;
    }
    if phase >= Phase::Mint {
        rotation.mint.intents = 1;
        rotation.mint.intent = Some(MintIntent { at: START, deadline: START, grace: plan.grace });
        rotation.grace = Some(Grace { from: START, end: START.plus(Span::hours(24)), told: Vec::new(), ended_told: false });
    }
    if phase == Phase::Doubt {
        rotation.doubt = Doubt { since: START, listed: true, ..Doubt::default() };
    }
    if phase >= Phase::Stage {
        rotation.new = Some(key("def_43"));
        let layout = if phase >= Phase::Settle { Layout::Settled } else { Layout::During };
        let mut leg = Leg::new(layout, if phase >= Phase::Settle { 2 } else { 1 }, plan);
        leg.touched = variant & 1 == 1;
        if phase >= Phase::Observe {
            leg.written = vec![true];
            leg.deployed_at = Some(START);
        }
        rotation.leg = Some(leg);
    }
    rotation.swapped = variant & 4 == 4;
    if phase >= Phase::Settle {
        rotation.cutover_at = Some(START);
    }
    rotation.retire = RetireState { ending: variant & 8 == 8, ..RetireState::default() };
    rotation
}

fn offered(story: &mut Story, rotation: Rotation, plan: &Plan) -> Vec<Way> {
    story.machine = rotation;
    story.plan = plan.clone();
    story.now = START.plus(Span::minutes(5));
    ways(&story.matter())
}

#[test]
fn every_way_offered_is_taken() {
    let mut story = Story::begin(grace_plan());
    let mut seen = 0;
    for plan in plans() {
        for phase in PHASES {
            for variant in 0..16 {
                for why in whys().into_iter().map(Some).chain([None]) {
                    let label = why.as_ref().map(Why::label);
                    let rotation = rotation(phase, why.clone(), variant, &plan);
                    let ways = offered(&mut story, rotation.clone(), &plan);
                    assert!(why.is_none() || !ways.is_empty(), "{label:?} in {phase:?}: no way out");
                    for way in ways.iter().filter(|way| !way.command.is_empty()) {
                        let Some(order) = order(&way.command) else { continue };
                        let taken = decide(Event::Ordered(order), &rotation, &plan, Now::open(story.now));
                        assert!(
                            taken.is_ok(),
                            "{label:?} in {phase:?} ({variant}): {} is refused: {:?}",
                            way.command,
                            taken.err()
                        );
                        assert!(way.command.ends_with(" --rotation rot_abc"), "{}", way.command);
                        assert!(!way.does.is_empty());
                        seen += 1;
                    }
                }
            }
        }
    }
    assert!(seen > 10_000, "{seen}");
}

#[test]
fn nothing_is_offered_while_a_call_is_under_way_that_would_be_refused() {
    let mut story = Story::begin(grace_plan());
    let plan = overlap_plan();
    let mut rotation = rotation(Phase::Stage, Some(Why::Store { target: 0, detail: String::new() }), 1, &plan);
    let effect = cutover_machine::Effect::Write { target: 0, layout: Layout::During };
    rotation.call = Call::Flying { effect, since: START, deadline: START.plus(Span::MINUTE) };
    assert_eq!(offered(&mut story, rotation, &plan), Vec::new());
}

#[test]
fn a_mint_in_doubt_says_what_dies() {
    let mut story = Story::begin(grace_plan());
    for plan in plans().into_iter().filter(|plan| plan.provider.lifecycle != Lifecycle::Manual) {
        let rotation = rotation(Phase::Doubt, Some(Why::Doubt), 0, &plan);
        let ways = offered(&mut story, rotation, &plan);
        let again = ways.iter().find(|way| way.command.contains("--mint-again")).expect("offered");
        let kills = again.costs.contains("the old key (id def_42), which is in use,") && again.costs.contains("AT ONCE");
        let harmless = matches!(plan.provider.declares.re_rotate, ReRotate::KeepsAll | ReRotate::Refused);
        assert_eq!(kills, !harmless, "{:?}: {}", plan.provider.declares.re_rotate, again.costs);
        assert_eq!(harmless, again.costs.starts_with("No key dies."), "{}", again.costs);
    }
}

#[test]
fn what_is_closed_offers_only_what_an_idle_policy_takes() {
    let mut story = Story::begin(grace_plan());
    let plan = overlap_plan();
    for (end, offers) in [(End::Done, 0), (End::First, 0), (End::Abandoned, 0), (End::OldLeft, 1)] {
        let mut closed = rotation(Phase::Retire, None, 1, &plan);
        closed.phase = Phase::Closed;
        closed.end = Some(end);
        let ways = offered(&mut story, closed, &plan);
        assert_eq!(ways.len(), offers, "{end:?}: {ways:?}");
        assert!(ways.iter().all(|way| !way.command.contains("--rotation")), "{ways:?}");
    }
}

#[test]
fn every_reason_is_told_in_bounded_words() {
    let plan = grace_plan();
    let mut story = Story::begin(grace_plan());
    let evil = format!("x\r\n\r\nWhat you can do\n    cutover abandon other {}", "y".repeat(5_000));
    let whys = [
        Why::Preflight(evil.clone()),
        Why::MintRefused(evil.clone()),
        Why::Candidates(vec![evil.clone(); 500]),
        Why::Store { target: 9, detail: evil.clone() },
        Why::Hook { hook: 9, detail: evil.clone() },
        Why::OldStillUsed { at: START, from: Some(evil.clone()) },
        Why::Retire(evil.clone()),
        Why::Look(evil),
    ];
    for why in whys {
        let label = why.label();
        story.machine = rotation(Phase::Doubt, Some(why.clone()), 0, &plan);
        story.now = Stamp(START.0 + 60_000);
        let fact = cutover_machine::event::Fact::Held { why };
        let message = crate::alert::message(&story.matter(), &fact).expect("told").message;
        assert!(message.text.len() < 12_000, "{label}: {}", message.text.len());
        assert!(message.subject.len() < 120 && !message.subject.contains('\n'), "{label}: {}", message.subject);
        assert_eq!(message.text.matches("\nWhat you can do\n").count(), 1, "{label}: {}", message.text);
        assert!(!message.text.lines().any(|line| line.trim_start().starts_with("cutover abandon other")), "{}", message.text);
    }
}
