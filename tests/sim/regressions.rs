//! What the simulator has found in the product, each as the short history that showed it. Each broke a check before it was mended.

use cutover_machine::emergency::EmergencyOrder::{CutFirst, DeployFirst};
use cutover_machine::event::Class;
use cutover_machine::plan::ListBy as L;
use cutover_machine::plan::ReRotate as R;
use cutover_machine::time::Span;
use cutover_sim::hunt;
use cutover_sim::kind::{Model as M, Parts, Told as T};
use cutover_sim::script::{Fate, Say, Turn, Upset, When};

const YEAR: i64 = 31_536_000_000;

fn lives(parts: (M, R, L, T, u64), script: &[Turn]) {
    let _unplanted = crate::unplanted();
    let (model, re_rotate, list, told, seed) = parts;
    let kind = Parts { model, re_rotate, list, told, seed }.kind();
    let (sim, broken) = hunt::run(&kind, script, true);
    assert!(broken.is_none(), "{}: {broken:?}\n{}", kind.name, sim.story.unwrap_or_default().join("\n"));
}

const fn at(turn: usize, upset: Upset) -> Turn {
    (When::Turn(turn), upset)
}

const fn call(label: &'static str, upset: Upset) -> Turn {
    (When::Call(label, 0), upset)
}

/// The looks at the targets, every five minutes, put off the question about the uses for ever: a first key never came to its end.
#[test]
fn a_look_at_the_targets_puts_off_no_question_about_uses() {
    lives((M::Set, R::DropsOlder, L::Name, T::Lagging, 0x627b_185e_438e_f5a2), &[]);
}

/// Without a probe a new key was written at once, before the provider accepts it.
#[test]
fn a_key_that_nothing_can_show_is_written_once_it_is_born() {
    lives((M::ManualClock, R::Destroys, L::Time, T::Lying, 0x1da), &[]);
}

/// A replay without an answer was still on its way when the list was looked at: its key was left, and the old key's clock forgotten.
#[test]
fn a_replay_is_waited_for_like_the_first_call() {
    let script = [at(4, Upset::Fate(Fate::LandsLate(Span::seconds(27)))), at(2, Upset::Fate(Fate::NeverArrives))];
    lives((M::Chosen, R::Idempotent, L::Name, T::Lying, 0x3fca_1e29_af6b_84dc), &script);
}

/// "There is one already" took the grace off the alarms although a key may have been made: the old one died and nobody had been told.
#[test]
fn that_a_key_exists_keeps_the_grace_on_the_alarms() {
    let script =
        [at(2, Upset::Fate(Fate::Refused(Class::Exists))), call("replay", Upset::Fate(Fate::LandsLate(Span::seconds(7))))];
    lives((M::Fixed, R::Idempotent, L::Name, T::Lying, 0x4ed5_7d3c_47ac_9072), &script);
}

/// A person told that there is no evidence was told only a day later that their word is asked for.
#[test]
fn a_question_is_told_at_once_after_a_reminder() {
    let script = [at(17, Upset::CredentialDead(Span::hours(50)))];
    lives((M::Overlap, R::DropsOlder, L::None, T::Exact, 0xfcde_b930_114c_6822), &script);
}

/// A key of the cut set whose end nobody knows, at a provider whose clock ends another: it was waited for in silence for ever.
#[test]
fn a_key_without_a_known_end_is_asked_about() {
    let script = [call("survey", Upset::Foreign(0)), at(10, Upset::Emergency(DeployFirst))];
    lives((M::Set, R::DropsOlder, L::None, T::Exact, 0x668e_0009_4b62_1313), &script);
}

/// A person had said that the cut key is ended, and the emergency never closed.
#[test]
fn a_word_about_a_cut_key_closes_the_emergency() {
    let script = [call("cut", Upset::Fate(Fate::Lies)), at(16, Upset::Emergency(DeployFirst))];
    lives((M::Chosen, R::DropsOlder, L::Name, T::Absent, 0x6b27_0244_9c52_f87b), &script);
}

/// An emergency during `abandon` took the key from before for ours and ended it, although it was never adopted.
#[test]
fn an_emergency_during_abandon_ends_nothing_that_is_not_ours() {
    for ours in [14, 15, 16, 17] {
        let script = [at(13, Upset::Person(Say::Abandon)), at(ours, Upset::Emergency(CutFirst))];
        lives((M::Overlap, R::Refused, L::Name, T::Absent, 0xa8ca_becd_ede2_683b), &script);
    }
}

/// An emergency during `abandon`, before anything was written, cut the new key off only: the key from before stayed in use.
#[test]
fn an_emergency_during_abandon_replaces_the_key_from_before() {
    let script =
        [at(3, Upset::ProviderDown(Span::hours(26))), at(11, Upset::Person(Say::Abandon)), at(13, Upset::Emergency(CutFirst))];
    lives((M::Overlap, R::DropsOlder, L::Time, T::Absent, 0x4cad_b3a6_97f9_daa4), &script);
}

/// The clock stepped forward over the time a list takes to show a new key: "no key was made" was believed, and a second one was made.
#[test]
fn no_look_is_believed_by_a_clock_that_stepped() {
    let script = [at(3, Upset::Step(3_600_000)), call("mint", Upset::Fate(Fate::ReplyLost))];
    lives((M::Fixed, R::DropsOlder, L::Name, T::Lagging, 0xe04f_f193_3c06_0847), &script);
}

/// After a clock that was set back the polls knocked without a pause, and back-offs waited until the wrong time came.
#[test]
fn a_clock_set_back_neither_hurries_nor_stops_anything() {
    let script = [at(13, Upset::Step(-YEAR)), at(78, Upset::Crash)];
    lives((M::Switched, R::Refused, L::Name, T::Exact, 0x8043_e7bd_2b29_e0e0), &script);
}

/// A question about uses that was put off by a wrong clock, and could not be answered, was asked without a pause once the clock was right.
#[test]
fn a_question_put_off_by_a_wrong_clock_is_not_asked_without_a_pause() {
    let script = [
        at(19, Upset::Step(YEAR)),
        at(14, Upset::CredentialDead(Span::hours(26))),
        call("read-reply", Upset::Emergency(CutFirst)),
    ];
    lives((M::Fixed, R::DropsOlder, L::None, T::Exact, 0x6f1b_dced_bedf_8f0a), &script);
}

/// A key of a lost mint whose end the provider refuses was given up again every few seconds for ever, and nobody was told.
#[test]
fn a_lost_key_that_cannot_be_given_up_is_told() {
    let script = [
        at(9, Upset::Fate(Fate::LandsLate(Span::seconds(27)))),
        at(2, Upset::Fate(Fate::ReplyLost)),
        call("look-by-list", Upset::Fate(Fate::CrashUncommitted)),
        at(11, Upset::StoreDown(1, Span::minutes(2))),
        at(17, Upset::StoreDown(1, Span::hours(26))),
    ];
    lives((M::Chosen, R::DropsOlder, L::Name, T::Lying, 0xae18_7de4_917c_5886), &script);
}

/// Quiet was counted across a step of the clock.
#[test]
fn no_span_is_counted_across_a_step_of_the_clock() {
    lives((M::Switched, R::Destroys, L::Time, T::Lying, 0x5174_f4d8_7020_e860), &[at(6, Upset::Step(-3_600_000))]);
    lives((M::Manual, R::Destroys, L::Name, T::Exact, 0xdb45_5d37_b2d6_2e21), &[call("probe-new", Upset::Step(YEAR))]);
}

/// After a restart one poll that held was taken for the unbroken run of before, whatever had been seen since the last commit.
#[test]
fn a_restart_begins_the_run_of_polls_anew() {
    let script = [at(15, Upset::VerifiesDown(Span::hours(5))), at(25, Upset::Down(Span::hours(5)))];
    lives((M::Switched, R::Refused, L::None, T::Lying, 0xb522_aa4e_618f_e51c), &script);
}

/// What a verify said in the poll that found a drift was thrown away; and after it nothing was redeployed, though applications may have read
/// the foreign value.
#[test]
fn after_a_drift_everything_is_deployed_and_seen_again() {
    let script = [at(28, Upset::Fate(Fate::Refused(Class::Limit))), at(27, Upset::Foreign(0))];
    lives((M::Switched, R::Idempotent, L::Time, T::Lagging, 0x60a1_c02c_c519_e146), &script);
    let script = [at(28, Upset::Foreign(0)), at(29, Upset::Emergency(DeployFirst)), at(69, Upset::Crash)];
    lives((M::Chosen, R::KeepsAll, L::None, T::Exact, 0x558f_6f45_3226_0cde), &script);
}

/// `resume` with other verifies, in retire: what the ones before had seen counted for them.
#[test]
fn other_verifies_see_for_themselves() {
    let script = [at(105, Upset::Person(Say::ResumeChanged)), at(23, Upset::Emergency(CutFirst)), at(86, Upset::Backup(1))];
    lives((M::Overlap, R::Idempotent, L::Time, T::Absent, 0xca85_08ba_51a2_1d7c), &script);
}

/// The old key ran out during settle, its row was gone, and so it was never quiet: settle never ended.
#[test]
fn an_old_key_that_ran_out_needs_not_be_quiet() {
    lives((M::Chosen, R::KeepsAll, L::Name, T::Lying, 0x4708_5c99_c340_3caa), &[at(20, Upset::VerifiesDown(Span::hours(26)))]);
}

/// A provider that told the last use and then did not: nobody was asked, and no word of a person helped.
#[test]
fn uses_that_are_told_no_more_leave_a_way_out() {
    let script = [at(21, Upset::UsesForgotten), call("read-reply", Upset::Crash)];
    lives((M::Overlap, R::Destroys, L::Name, T::Exact, 0xafe0_6c46_827a_a7e3), &script);
    lives((M::Switched, R::Refused, L::None, T::Exact, 0x5c), &[at(35, Upset::UsesForgotten)]);
}

/// A key that was cut off was presented while a mint was in doubt, at a provider that ends the new key for it.
#[test]
fn no_dead_key_is_presented_in_doubt() {
    let script = [(When::During("mint", 0), Upset::Emergency(CutFirst)), call("mint", Upset::Fate(Fate::ReplyLost))];
    lives((M::Switched, R::Destroys, L::None, T::Lying, 0x439b_fe7f_8275_cd6c), &script);
}

/// A deploy-first emergency did not read the targets before the cut: one that was set back lost its key.
#[test]
fn a_deploy_first_cut_reads_the_targets_first() {
    let script = [call("cut", Upset::SetBack(1)), at(4, Upset::Emergency(DeployFirst))];
    lives((M::Switched, R::Destroys, L::None, T::Lying, 0xa74a_6cd7_0b18_be54), &script);
}

/// An old key that is still accepted after its end was presented every second for ten minutes.
#[test]
fn a_key_that_should_be_dead_is_not_presented_all_the_time() {
    for seed in 0..40 {
        let script = [call("revoke", Upset::Fate(Fate::Lies))];
        lives((M::Overlap, R::KeepsAll, L::Name, T::Exact, seed), &script);
    }
}

/// `abandon` closed a rotation whose lost mint had started the old key's clock: it ran out and nobody was told.
#[test]
fn abandon_closes_nothing_whose_clock_runs() {
    let script = [
        at(1, Upset::Fate(Fate::CrashAfter)),
        at(12, Upset::Person(Say::Abandon)),
        call("discard", Upset::StaleRead(1)),
        call("mint", Upset::Fate(Fate::ReplyLost)),
    ];
    lives((M::Chosen, R::DropsOlder, L::Name, T::Exact, 0x3db3_6ed8_7c38_6aa2), &script);
}

/// An emergency while a first key was being given up waited for a new key that nobody makes.
#[test]
fn an_emergency_cuts_a_first_key_that_is_given_up() {
    let script = [at(8, Upset::Person(Say::Abandon)), at(11, Upset::Emergency(CutFirst))];
    lives((M::Overlap, R::Idempotent, L::Name, T::Lagging, 0xf69a_a6ff_4368_6768), &script);
}

/// A mint was refused, its grace given back, and it was replayed: the replay landed late and started the old key's clock, which nobody counted.
#[test]
fn a_replay_counts_the_grace_that_it_may_start() {
    let script = [at(2, Upset::Fate(Fate::Refused(Class::Limit))), at(3, Upset::Fate(Fate::LandsLate(Span::seconds(20))))];
    lives((M::Chosen, R::Idempotent, L::Name, T::Lagging, 0xd9), &script);
}
