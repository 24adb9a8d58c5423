//! The simulator's runs: `cargo test --test sim`; `tests/README.md` says how to run more.
#![expect(
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and tells how long it took; nothing is decided by that"
)]

mod regressions;

use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;

use cutover_sim::hunt::{self, Found};
use cutover_sim::kind::Parts;
use cutover_sim::mutants::{Killed, hunt_all};

/// A number that was asked for.
fn asked(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.trim().replace('_', "").parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// A planted bug is planted in the whole process: whoever looks for one in the machine as it is waits until it is out again.
static PLANTED: RwLock<()> = RwLock::new(());

fn unplanted() -> RwLockReadGuard<'static, ()> {
    PLANTED.read().unwrap_or_else(PoisonError::into_inner)
}

/// Histories of the ordinary run.
const HISTORIES: u64 = 200_000;
/// The base that seeds are drawn from.
const BASE: u64 = 2026;

#[test]
fn random_histories_break_nothing() {
    let _unplanted = unplanted();
    if let Some(seed) = asked("CUTOVER_SIM_SEED") {
        if let Some(found) = hunt::seed(seed) {
            panic!("{}", hunt::told(&found));
        }
        println!("{}", hunt::lived(seed));
        return;
    }
    let (base, histories) = (asked("CUTOVER_SIM_BASE").unwrap_or(BASE), asked("CUTOVER_SIM_HISTORIES").unwrap_or(HISTORIES));
    let began = Instant::now();
    for place in 0..histories {
        if let Some(found) = hunt::seed(hunt::seed_of(base, place)) {
            panic!("history {place} of base {base}\n{}", hunt::told(&found));
        }
    }
    println!("{histories} random histories from base {base} in {:?}: nothing broken", began.elapsed());
}

fn exhaust(kinds: impl Iterator<Item = Parts>, faults: usize, bold: bool) -> usize {
    kinds
        .map(|parts| {
            hunt::exhaust(&hunt::single(parts), faults, bold)
                .unwrap_or_else(|found: Box<Found>| panic!("{}", hunt::told(&found)))
        })
        .sum()
}

/// Every model of provider × every answer to a second mint × every list × every way of telling the last use.
#[test]
fn one_fault_anywhere_breaks_nothing_in_any_model() {
    let _unplanted = unplanted();
    let began = Instant::now();
    let all = Parts::all();
    let models = all.len();
    let histories = exhaust(all.into_iter(), 1, true);
    println!(
        "{histories} histories with at most one fault in {models} kinds of provider in {:?}: nothing broken",
        began.elapsed()
    );
    assert!(histories > 100_000, "the search has become small: {histories}");
}

/// Two faults of calls or crashes, in a sample of the models; in all of them with `CUTOVER_SIM_PAIRS=calls`, and with what people do beside
/// them with `all`.
#[test]
fn two_faults_anywhere_break_nothing() {
    let _unplanted = unplanted();
    let began = Instant::now();
    let pairs = std::env::var("CUTOVER_SIM_PAIRS").unwrap_or_default();
    let (people, every) = (pairs == "all", pairs == "all" || pairs == "calls");
    let kinds: Vec<Parts> =
        Parts::all().into_iter().enumerate().filter(|(place, _)| every || place % 24 == 7).map(|(_, kind)| kind).collect();
    let models = kinds.len();
    let histories = exhaust(kinds.into_iter(), 2, people);
    println!(
        "{histories} histories with at most two faults in {models} kinds of provider in {:?}: nothing broken",
        began.elapsed()
    );
    assert!(histories > 50_000, "the search has become small: {histories}");
}

/// Without a fault every rotation comes to its end, by one mint.
#[test]
fn every_ordinary_rotation_ends() {
    let _unplanted = unplanted();
    for parts in Parts::all() {
        let mut kind = parts.kind();
        kind.truth.rotations = 1;
        let (sim, broken) = hunt::run(&kind, &[], true);
        let story = || sim.story.clone().unwrap_or_default().join("\n");
        assert!(broken.is_none(), "{}: {broken:?}\n{}", kind.name, story());
        assert!(sim.is_closed(), "{}: {:?}\n{}", kind.name, sim.record.rotation.held, story());
        assert!(sim.intents <= 1, "{}: {} intents\n{}", kind.name, sim.intents, story());
    }
}

/// Every planted bug is found; the table says by which check, in which history.
#[test]
fn every_planted_bug_is_found() {
    let _alone = PLANTED.write().unwrap_or_else(PoisonError::into_inner);
    let began = Instant::now();
    let hunted = hunt_all(BASE, HISTORIES);
    let mut survived = Vec::new();
    println!("planted bug | rule left out | killed by | seed | histories");
    for Killed { mutant, bug, by } in &hunted {
        match by {
            Some((found, histories)) => {
                println!("{mutant:?} | {bug} | {} | {} | {histories}", found.violation.check, found.seed.unwrap_or_default());
            }
            None => survived.push(mutant),
        }
    }
    println!("{} planted bugs in {:?}", hunted.len(), began.elapsed());
    assert!(hunted.len() >= 40, "{} bugs are few", hunted.len());
    assert!(survived.is_empty(), "not found: {survived:?}");
}
