//! What the simulator and its forerunner have found in the machine, each kept small.

use cutover_machine::emergency::{Cut, EmergencyOrder};
use cutover_machine::event::{Answer, Event, Order};
use cutover_machine::plan::{LastUsed, NullUse, Plan, VerifyKind};
use cutover_machine::state::{Layout, Leg, Phase, Why};
use cutover_machine::{Effect, Span, Stamp};

use super::fixture::{self, START, Walk, key, standing, verify, waits};

fn plan(kind: VerifyKind) -> Plan {
    let mut plan = Plan { verifies: vec![verify(kind)], ..fixture::plan() };
    let told = LastUsed { granularity: Span::MINUTE, lag: Span::minutes(10), null: NullUse::Never };
    plan.provider.declares.last_used = Some(told);
    plan
}

/// A target that was set back began a second leg, and a `confirm` that nobody had given counted for it.
#[test]
fn a_leg_after_a_set_back_is_not_taken_for_confirmed() {
    let plan = plan(VerifyKind::Confirm);
    let mut leg = Leg::new(Layout::Settled, 2, &plan);
    leg.deployed_at = Some(Stamp(1));
    assert!(!leg.evidence(&plan), "nobody has confirmed anything");
    leg.follows = true;
    assert!(leg.evidence(&plan), "after a leg with evidence `confirm --retire` is asked instead");
}

/// Uses closer together than the provider's granularity are told as one: quiet was declared while the old key was still used.
#[test]
fn quiet_allows_for_granularity_and_lag() {
    let plan = plan(VerifyKind::Consumer);
    let told = plan.provider.declares.last_used.expect("told");
    let mut leg = Leg::new(Layout::Settled, 1, &plan);
    leg.deployed_at = Some(Stamp(0));
    let quiet = Stamp(0).plus(plan.quiet).plus(told.lag);
    leg.quiet_seen_to = Some(quiet);
    assert!(!leg.quiet(&plan));
    leg.quiet_seen_to = Some(quiet.plus(told.granularity));
    assert!(leg.quiet(&plan));
}

/// Each try of a look for a chosen value was counted as the first: it was repeated every five seconds for ever, and nobody was told.
#[test]
fn a_look_for_a_chosen_value_that_keeps_failing_is_told() {
    let mut plan = fixture::plan();
    plan.provider.generates = true;
    let mut walk = Walk::from(standing(Phase::Doubt, &plan), &plan);
    let mut now = Span::HOUR;
    for _ in 0..5 {
        walk.at(now).calls(Effect::LookByValue).say(Event::Found(Answer::Unknown(String::from("lost"))));
        now = waits(&walk.rotation).1.since(START);
    }
    assert_eq!(walk.why(), Some(Why::Look(String::from("lost"))));
    assert!(now.0 - walk.now.at.since(START).0 > Span::MINUTE.0, "and seldom by now");
}

/// An emergency that came while a rotation was abandoned took the key from before for somebody else's, and left it alive.
#[test]
fn a_key_of_ours_from_before_an_abandon_is_cut_off() {
    let plan = fixture::plan();
    let mut abandoned = standing(Phase::Stage, &plan);
    abandoned.swapped = true;
    let mut walk = Walk::from(abandoned, &plan);
    walk.say(Event::Ordered(Order::Emergency(EmergencyOrder::CutFirst, vec![Cut::new(key("new"), true)])));
    let cut = &walk.rotation.emergency.as_ref().expect("an emergency").cut;
    assert!(cut.iter().any(|cut| cut.is(&key("new")) && cut.can_be_ended(&plan)), "{cut:?}");
}
