//! What must not happen (M1 to M29 of the survey of other systems), each with at least one test that fails when it does.
//!
//! | id | must not | proven by |
//! |---|---|---|
//! | M1 | lose the only copy of a new key | `m01_*` here; the file store's and the ledger's own tests for the order of writes |
//! | M2 | send a mint twice | `m02_*` here, `m2_*` in `lost.rs` |
//! | M3 | rotate again while a grace is open | `m03_*` here |

mod dates;
mod ending;
mod mint;
mod outpost;
mod people;
mod shop;
mod targets;

use cutover::engine::HeldStatus;

/// M21: what waits for a person says how it is left, with the rotation in the command.
fn assert_ways(held: &HeldStatus, rotation: &str) {
    assert!(!held.detail.is_empty());
    let commands: Vec<&str> = held.ways.iter().map(|way| way.command.as_str()).filter(|command| !command.is_empty()).collect();
    assert!(!commands.is_empty(), "held for {} without a way out: {:?}", held.why, held.ways);
    let named = |command: &&str| command.contains(rotation) || command.contains("--emergency");
    assert!(commands.iter().all(named), "{commands:?}");
    assert!(held.ways.iter().all(|way| !way.does.is_empty()), "{:?}", held.ways);
}
