//! What an order to cut changes, and what it leaves: each rule by itself.

use cutover_machine::emergency::{Cut, EmergencyOrder};
use cutover_machine::event::{Answer, Event, Fact, Order};
use cutover_machine::plan::Plan;
use cutover_machine::state::{Call, Grace, Held, Phase, Why};
use cutover_machine::{Due, Effect, Now, Rotation, Span, Step, decide, due};

use super::fixture::{START, at, cut_set, held, key, plan, standing, why};

/// A rotation whose old key is known and whose mint is due.
fn minting() -> Rotation {
    standing(Phase::Mint, &plan())
}

fn ordered(rotation: &Rotation, order: EmergencyOrder, known: &[&str], plan: &Plan, now: Now) -> Step {
    let known = known.iter().map(|name| Cut::new(key(name), true)).collect();
    decide(Event::Ordered(Order::Emergency(order, known)), rotation, plan, now).expect("taken")
}

fn order_of(rotation: &Rotation) -> EmergencyOrder {
    rotation.emergency.as_ref().expect("an emergency").order
}

/// Two orders before anything is written are answered by one key, and the stricter of the two holds.
#[test]
fn the_stricter_of_two_orders_holds() {
    let plan = plan();
    for (first, second) in [
        (EmergencyOrder::DeployFirst, EmergencyOrder::CutFirst),
        (EmergencyOrder::CutFirst, EmergencyOrder::DeployFirst),
        (EmergencyOrder::CutFirst, EmergencyOrder::CutFirst),
    ] {
        let one = ordered(&minting(), first, &["old"], &plan, at(1)).next;
        let both = ordered(&one, second, &["old", "older"], &plan, at(2)).next;
        assert_eq!(order_of(&both), EmergencyOrder::CutFirst, "{first:?}, then {second:?}");
        assert_eq!(cut_set(&both), ["old", "older"], "{first:?}, then {second:?}");
        assert_eq!(both.phase, Phase::Mint);
    }
    let one = ordered(&minting(), EmergencyOrder::DeployFirst, &[], &plan, at(1)).next;
    let both = ordered(&one, EmergencyOrder::DeployFirst, &[], &plan, at(2)).next;
    assert_eq!(order_of(&both), EmergencyOrder::DeployFirst);
}

/// The mint is sent and its reply is lost.
fn lost(rotation: &Rotation, plan: &Plan) -> Rotation {
    let deadline = START.plus(Span::seconds(40));
    let step = decide(Event::Intended { effect: Effect::Mint, deadline }, rotation, plan, at(5)).expect("intended");
    let lost = Event::Replied(Answer::Unknown(String::from("timeout")));
    decide(lost, &step.next, plan, at(35)).expect("lost").next
}

/// What a further mint may end is to be cut off anyway: so cutting first repeats a mint in doubt, once. Deploying first never does.
#[test]
fn only_cutting_first_mints_in_doubt_and_once() {
    let plan = plan();
    let cut = lost(&ordered(&minting(), EmergencyOrder::CutFirst, &["old"], &plan, at(1)).next, &plan);
    let mut cut = woken(cut, &plan, at(60));
    assert_eq!(due(&cut, &plan, at(60)), Due::Call(Effect::Survey), "{:?} {:?}", cut.phase, cut.held);
    cut.mint.surveyed_at = at(60).at;
    assert_eq!(due(&cut, &plan, at(60)), Due::Call(Effect::Mint));
    let deadline = START.plus(Span::seconds(100));
    let again = decide(Event::Intended { effect: Effect::Mint, deadline }, &cut, &plan, at(61)).expect("intended").next;
    let again = decide(Event::Replied(Answer::Unknown(String::from("timeout"))), &again, &plan, at(90)).expect("lost").next;
    let again = woken(again, &plan, at(120));
    assert_eq!(why(&again), Some(Why::Doubt), "a third key would be made");

    let deploy = lost(&ordered(&minting(), EmergencyOrder::DeployFirst, &["old"], &plan, at(1)).next, &plan);
    let deploy = woken(deploy, &plan, at(60));
    assert_eq!(why(&deploy), Some(Why::Doubt));
}

/// Whatever is due without a call has happened, and the old keys are cut off where that is due.
fn woken(mut rotation: Rotation, plan: &Plan, now: Now) -> Rotation {
    loop {
        let event = match due(&rotation, plan, now) {
            Due::Tell => Event::Woke,
            Due::Call(effect @ Effect::Cut(place)) => {
                let deadline = now.at.plus(Span::MINUTE);
                rotation = decide(Event::Intended { effect, deadline }, &rotation, plan, now).expect("intended").next;
                Event::Cut(place, Answer::Done(()))
            }
            _ => return rotation,
        };
        rotation = decide(event, &rotation, plan, now).expect("it was due").next;
    }
}

fn told(facts: &[Fact]) -> Vec<u8> {
    facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::GraceEnding { percent, .. } => Some(*percent),
            Fact::GraceEnded { .. } => Some(100),
            _ => None,
        })
        .collect()
}

/// Every threshold of the grace wakes somebody once, at its time; what was overtaken is told by the last one.
#[test]
fn each_threshold_is_told_once() {
    let plan = plan();
    let mut rotation = minting();
    rotation.phase = Phase::Stage;
    rotation.new = Some(key("new"));
    rotation.mint.accepted = true;
    rotation.held =
        Some(Held { why: Why::Store { target: 0, detail: String::from("down") }, since: START, told_at: at(10 * 86_400).at });
    rotation.grace = Some(Grace { from: START, end: START.plus(Span::hours(10)), told: Vec::new(), ended_told: false });
    let mut seen = Vec::new();
    for hours in [4, 5, 6, 8, 9, 10, 11] {
        let now = at(hours * 3_600);
        let step = decide(Event::Restarted, &rotation, &plan, now).expect("restarted");
        seen.push((hours, told(&step.facts)));
        rotation = step.next;
    }
    let wanted =
        [(4, vec![]), (5, vec![50]), (6, vec![]), (8, vec![75]), (9, vec![90]), (10, vec![100]), (11, vec![])].to_vec();
    assert_eq!(seen, wanted);
}

/// Another credential takes up what waits for one, and nothing else.
#[test]
fn another_credential_moves_what_waits_for_it_only() {
    let plan = plan();
    let mut waits = held(Phase::Mint, Why::Credential(String::from("refused")), &plan);
    waits.call = Call::Ready { tries: 1, not_before: at(3_600).at, after_unknown: false };
    let step = decide(Event::Renewed, &waits, &plan, at(60)).expect("it waits for a credential");
    assert_ne!(step.next, waits);
    assert!(!matches!(due(&step.next, &plan, at(60)), Due::Sleep(until) if until > at(60).at), "it is tried now");
    assert!(decide(Event::Renewed, &minting(), &plan, at(60)).is_err(), "nothing waits for one");
}
