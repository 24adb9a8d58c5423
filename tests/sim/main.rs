//! The simulator's runs: `cargo test --test sim`; `tests/README.md` says how to run more.
#![expect(clippy::expect_used, clippy::panic, reason = "a test says what it expects; its helpers do so too")]

use cutover_sim::hunt;

/// A number that was asked for.
fn asked(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.trim().replace('_', "").parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// Histories of the ordinary run.
const HISTORIES: u64 = 200_000;
/// The base that seeds are drawn from.
const BASE: u64 = 2026;

#[test]
fn random_histories_break_nothing() {
    if let Some(seed) = asked("CUTOVER_SIM_SEED") {
        if let Some(found) = hunt::seed(seed) {
            panic!("{}", hunt::told(&found));
        }
        println!("seed {seed} breaks nothing");
        return;
    }
    let (base, histories) = (asked("CUTOVER_SIM_BASE").unwrap_or(BASE), asked("CUTOVER_SIM_HISTORIES").unwrap_or(HISTORIES));
    let began = std::time::Instant::now();
    for place in 0..histories {
        if let Some(found) = hunt::seed(hunt::seed_of(base, place)) {
            panic!("history {place} of base {base}\n{}", hunt::told(&found));
        }
    }
    println!("{histories} random histories from base {base} in {:?}: nothing broken", began.elapsed());
}
