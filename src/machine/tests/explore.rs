//! A small exhaustive explorer: every single fault and every single crash (and every pair of both) at every boundary of a rotation, in
//! every kind of provider; and every order a person can give, at every moment. After each event the world is asked the one question that
//! counts: does every application still hold a key that the provider accepts?
//!
//! The world is written apart from the machine: it knows keys, targets and applications, not phases.

#![expect(clippy::panic, reason = "what the explorer finds is told by panicking, with the whole story")]

mod emergency;
mod world;

use cutover_machine::plan::VerifyKind;
use cutover_machine::state::{Layout, Leg};
use cutover_machine::{Effect, Stamp};
use world::{Fault, Kind, Run, kinds};

/// Every history with at most this many faults is run.
fn explore(kind: &Kind, faults: usize) -> usize {
    let mut histories = 0;
    let mut open: Vec<Vec<(usize, Fault)>> = vec![Vec::new()];
    while let Some(script) = open.pop() {
        let run = Run::new(kind.clone(), &script).finish();
        histories += 1;
        if script.len() >= faults {
            continue;
        }
        let from = script.last().map_or(0, |(at, _)| at + 1);
        for boundary in from..run.boundaries.len() {
            for fault in Fault::possible(&run.boundaries[boundary]) {
                let mut longer = script.clone();
                longer.push((boundary, fault));
                open.push(longer);
            }
        }
    }
    histories
}

#[test]
fn one_fault_or_crash_anywhere_never_takes_a_key_away() {
    let mut histories = 0;
    for kind in kinds() {
        histories += explore(&kind, 1);
    }
    println!("{histories} histories with at most one fault");
    assert!(histories > 3_000, "the explorer has become small: {histories}");
}

#[test]
fn two_faults_anywhere_never_take_a_key_away() {
    let mut histories = 0;
    for kind in kinds().into_iter().filter(|kind| kind.core) {
        histories += explore(&kind, 2);
    }
    println!("{histories} histories with at most two faults");
    assert!(histories > 50_000, "the explorer has become small: {histories}");
}

#[test]
fn every_ordinary_rotation_ends() {
    for kind in kinds() {
        let run = Run::new(kind.clone(), &[]).finish();
        assert!(run.closed(), "{}: {}", kind.name, run.story());
        assert_eq!(run.mints_sent, 1, "{}", kind.name);
    }
}

/// Bondi's lost reply: nothing can be looked at, and a person finds the key. It is handed in, and not one more is minted.
#[test]
fn a_key_that_a_person_found_ends_the_doubt() {
    let mut seen = 0;
    for kind in kinds().into_iter().filter(|kind| kind.finds) {
        let mint = Run::new(kind.clone(), &[]).finish().boundaries.iter().position(|effect| *effect == Effect::Mint);
        let run = Run::new(kind.clone(), &[(mint.expect("one mint"), Fault::ReplyLost)]).finish();
        assert!(run.closed(), "{}: {}", kind.name, run.story());
        assert_eq!(run.mints_sent, 1, "{}", kind.name);
        assert!(run.submitted(), "{}: {}", kind.name, run.story());
        seen += 1;
    }
    assert!(seen >= 10, "{seen}");
}

/// A target that was set back began a second leg, and a `confirm` that nobody had given counted for it.
#[test]
fn a_leg_after_a_set_back_is_not_taken_for_confirmed() {
    let mut plan = kinds()[0].plan.clone();
    plan.verifies[0].kind = VerifyKind::Confirm;
    let mut leg = Leg::new(Layout::Settled, 2, &plan);
    leg.deployed_at = Some(Stamp(1));
    assert!(!leg.evidence(&plan), "nobody has confirmed anything");
    leg.follows = true;
    assert!(leg.evidence(&plan), "after a leg with evidence `confirm --retire` is asked instead");
}

/// Uses closer together than the provider's granularity are told as one: quiet was declared while the old key was still used.
#[test]
fn quiet_allows_for_granularity_and_lag() {
    let seen = kinds().into_iter().find(|kind| kind.plan.provider.declares.last_used.is_some()).expect("a kind that is seen");
    let told = seen.plan.provider.declares.last_used.expect("seen");
    let mut leg = Leg::new(Layout::Settled, 1, &seen.plan);
    leg.deployed_at = Some(Stamp(0));
    let quiet = Stamp(0).plus(seen.plan.quiet).plus(told.lag);
    leg.quiet_seen_to = Some(quiet);
    assert!(!leg.quiet(&seen.plan));
    leg.quiet_seen_to = Some(quiet.plus(told.granularity));
    assert!(leg.quiet(&seen.plan));
}
