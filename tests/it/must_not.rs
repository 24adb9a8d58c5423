//! What must not happen, each with at least one test that fails when it does: M1 to M29, what other systems that rotate keys did to the
//! people who trusted them.
//!
//! | id | must not | proven by |
//! |---|---|---|
//! | M1 | lose the only copy of a new key between the reply and a store | `m01_*` |
//! | M2 | send a mint again when its effect is unknown, or without a committed intent | `m02_*`, `m11_a_date_is_one_rotation`; `m2_*` in `lost.rs` |
//! | M3 | rotate again while an old grace is open | `m03_*` |
//! | M4 | end the old key because of a timer | `m04_*` |
//! | M5 | take its own probe for a use | `m05_*` |
//! | M6 | take last use for exact | `m06_*` |
//! | M7 | end a key that is not known to be ours | `m07_*`; `m7_*` in `lost.rs` |
//! | M8 | call it done when a store or a hook failed | `m08_*` |
//! | M9 | leave targets split in silence, or mint again to mend one | `m09_*` |
//! | M10 | write a value of our choice before the provider took it | `m10_*` |
//! | M11 | rotate in a loop: on start, in a crash loop, on a row that cannot be read | `m11_*`; `m11_*` in `lost.rs` |
//! | M12 | ask a provider hotly | `m12_*`; the table of waits in `src/machine/backoff.rs` |
//! | M13 | skip a date that was missed | `m13_*`; `missed_dates_are_one_run_in_the_next_opening` in `src/schedule/tests` |
//! | M14 | panic, skip or double at a change of the clock in a zone | `gap_and_fold_in_berlin`, `cron_dates_are_there_exactly_once_at_every_change`, `span_dates_are_there_exactly_once_at_every_change` in `src/schedule/tests` |
//! | M15 | follow a clock that has leapt | `m15_*`; `a_clock_that_goes_back_gives_no_date_twice_and_one_that_leaps_skips_to_the_next` in `src/schedule/tests` |
//! | M16 | let two instances rotate one key | `m16_*` in `binary.rs` |
//! | M17 | let a secret out | `m17_*`; `the_log_and_counters_show_every_request_and_never_a_secret` and the conformance tests of each plugin |
//! | M18 | not tell, unnoticed | `m18_*`; `a_restart_loses_nothing`, `a_failing_channel_is_told_on_the_others_once_a_day` in `src/alert/tests` |
//! | M19 | a storm of messages, or silence | `m19_*`; `overtaken_thresholds_are_dropped` in `src/alert/tests` |
//! | M20 | deploy in a storm, or lose a deploy | `m20_*`; `m20_equal_hooks_that_wait_together_run_once` in `src/engine/gate.rs` |
//! | M21 | be stuck with no way out | `m21_*`, and every test here that is held: it asks for the ways out |
//! | M22 | block an emergency by a guard | cannot happen yet: this version takes no emergency orders, and says so |
//! | M23 | lock itself out | `m23_*` |
//! | M24 | act on a stale read after a write | `a_read_waits_for_what_was_written` in `plugins/store-vault`; `m08_a_target_that_was_set_back_is_written_again` for the read-back |
//! | M25 | make it worse by going back | `m25_*`; `one_fault_anywhere_breaks_nothing_in_any_model` in `tests/sim` |
//! | M26 | surprise by an edit: ignored, or acted on at once | `m26_*`; `an_edit_makes_nothing_due_at_once` in `src/schedule/tests` |
//! | M27 | look whether it can work after the step that cannot be undone | `m27_*`, `m18_*` |
//! | M28 | report a key dead that is still accepted | `m28_*` |
//! | M29 | believe what was asked for instead of what was granted | `m29_*` |

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
