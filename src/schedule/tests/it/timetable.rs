//! Due times over a policy's life: first load, downtime, edits, rotations by hand.

use cutover_schedule::{Anchor, CalendarSpan, ScheduleText};
use jiff::{Timestamp, ToSpan};

use crate::common::{cron, days, due, old, parse, span, ts, tz, window};

#[test]
fn dates_up_to_the_first_load_do_not_count() {
    let schedule = parse(&span("1mo", "2020-01-15T03:00:00", "UTC")).unwrap();
    let loaded = ts("2026-01-15T03:00:00Z");
    let table = schedule.timetable("p", loaded, loaded);
    let first = table.first_due().unwrap();
    assert_eq!(first.at, ts("2026-02-15T03:00:00Z"));
    assert_eq!(table.next_due(old()), Some(first), "whatever is asked for");
    assert_eq!(table.next_due(Timestamp::MIN), Some(first));
}

#[test]
fn an_absent_anchor_spreads_policies_over_the_cadence() {
    let (loaded, berlin) = (ts("2026-11-21T12:34:56.789Z"), tz("Europe/Berlin"));
    for (cadence, length) in [("1y", 365 * 86_400), ("90d", 90 * 86_400), ("1h", 3_600), ("1s", 1)] {
        let span = CalendarSpan::parse(cadence).unwrap();
        let text = ScheduleText { cadence: Some(cadence), timezone: Some("Europe/Berlin"), ..ScheduleText::default() };
        let schedule = parse(&text).unwrap();
        let mut quarters = [0; 4];
        for n in 0..400 {
            let name = format!("policy-{n}");
            let first = schedule.timetable(&name, loaded, loaded).first_due().unwrap();
            let anchor = Anchor::first_loaded(loaded, &name, &span, &berlin).unwrap();
            assert_eq!(first.nominal, anchor.first());
            let wait = first.at.as_second() - loaded.as_second();
            assert!(first.at > loaded && wait <= length, "{cadence} {name}: {wait}");
            quarters[usize::try_from((wait - 1) * 4 / length).unwrap()] += 1;
        }
        assert!(length == 1 || quarters.iter().all(|n| (70..130).contains(n)), "{cadence}: {quarters:?}");
    }
}

#[test]
fn a_restart_or_reload_moves_no_date() {
    let text = ScheduleText { cadence: Some("90d"), jitter: Some("6h"), ..ScheduleText::default() };
    let loaded = ts("2026-11-21T00:00:00Z");
    let first = parse(&text).unwrap().timetable("p", loaded, loaded).first_due().unwrap();
    for hours in [1, 10, 100, 1_000] {
        let schedule = parse(&text).unwrap();
        let table = schedule.timetable("p", loaded, loaded);
        let due = table.next_due(loaded).unwrap();
        assert_eq!(due, first);
        assert!(table.next_due(first.nominal - hours.hours()).unwrap().nominal <= first.nominal);
    }
}

#[test]
fn a_drawn_anchor_stays_over_edits_of_other_parts() {
    let loaded = ts("2026-01-01T00:00:00Z");
    let text = ScheduleText { cadence: Some("1y"), ..ScheduleText::default() };
    let before = parse(&text).unwrap().timetable("p", loaded, loaded).first_due().unwrap();
    let edited = ts("2026-01-05T00:00:00Z");
    assert!(before.nominal > edited);
    let after = parse(&ScheduleText { jitter: Some("1h"), ..text }).unwrap();
    let after = after.timetable("p", loaded, edited).reschedule(Some(before), edited).unwrap();
    assert_eq!(after.nominal, before.nominal);
    // Neither does editing again and again push the date away.
    let again = ts("2026-01-06T00:00:00Z");
    let schedule = parse(&text).unwrap();
    assert_eq!(schedule.timetable("p", loaded, again).reschedule(Some(after), again), Some(before));
}

#[test]
fn an_edit_makes_nothing_due_at_once() {
    let edited = ts("2026-06-20T12:00:00Z");
    let pending = due("2027-01-15T03:00:00Z", "2027-01-15T03:00:00Z");
    // Under the new schedule there were dates in every month before the edit.
    let schedule = parse(&span("1mo", "2026-01-15T03:00:00", "UTC")).unwrap();
    let table = schedule.timetable("p", old(), edited);
    assert_eq!(table.reschedule(Some(pending), edited), Some(due("2026-07-15T03:00:00Z", "2026-07-15T03:00:00Z")));
    assert_eq!(table.reschedule(None, edited), table.first_due());
}

/// A waiting date whose window is edited away must not be forgotten for a whole cadence.
#[test]
fn an_edit_does_not_forget_a_date_that_waits() {
    let (saturday, sunday) = (days(&["sat"]), days(&["sun"]));
    let text =
        ScheduleText { window: Some(window(Some(&saturday), "22:00", "23:00")), ..span("1y", "2026-11-18T03:00:00", "UTC") };
    let schedule = parse(&text).unwrap();
    let pending = schedule.timetable("p", old(), old()).next_due(ts("2026-11-01T00:00:00Z")).unwrap();
    assert_eq!(pending.at, ts("2026-11-21T22:00:00Z"));
    let edited = ts("2026-11-20T00:00:00Z");
    let schedule = parse(&ScheduleText { window: Some(window(Some(&sunday), "22:00", "23:00")), ..text }).unwrap();
    let table = schedule.timetable("p", old(), edited);
    assert_eq!(table.reschedule(Some(pending), edited), Some(due("2026-11-18T03:00:00Z", "2026-11-22T22:00:00Z")));
}

#[test]
fn missed_dates_are_one_run_in_the_next_opening() {
    let weekend = days(&["sat"]);
    let text = ScheduleText {
        window: Some(window(Some(&weekend), "22:00", "05:00")),
        jitter: Some("1h"),
        ..span("1mo", "2026-01-18T03:00:00", "UTC")
    };
    let schedule = parse(&text).unwrap();
    let table = schedule.timetable("p", old(), old());
    let pending = table.next_due(ts("2026-03-01T00:00:00Z")).unwrap();
    let back = ts("2026-06-02T12:00:00Z");
    assert!(table.missed(pending, back));
    let made_up = table.catch_up(pending, back).unwrap();
    assert_eq!(made_up.nominal, ts("2026-05-18T03:00:00Z"), "the last of three");
    assert!(made_up.at >= ts("2026-06-06T22:00:00Z") && made_up.at <= ts("2026-06-06T23:00:00Z"), "{made_up:?}");
    assert_eq!(table.catch_up(pending, back), Some(made_up));
    assert_eq!(table.after_run(made_up, made_up.at).unwrap().nominal, ts("2026-06-18T03:00:00Z"));
    // Back while the window is open: now, spread over what is left of the jitter and the opening.
    let inside = ts("2026-06-07T04:30:00Z");
    let made_up = table.catch_up(pending, inside).unwrap();
    assert!(made_up.at >= inside && made_up.at < ts("2026-06-07T05:00:00Z"), "{made_up:?}");
}

#[test]
fn without_a_window_a_missed_date_runs_now_spread_by_jitter() {
    let plain = parse(&cron("0 3 1 * *", "UTC")).unwrap();
    let table = plain.timetable("p", old(), old());
    let pending = table.next_due(ts("2026-10-15T00:00:00Z")).unwrap();
    let back = ts("2026-11-21T00:00:00Z");
    assert_eq!(table.catch_up(pending, back), Some(due("2026-11-01T03:00:00Z", "2026-11-21T00:00:00Z")));
    let spread = parse(&ScheduleText { jitter: Some("2h"), ..cron("0 3 1 * *", "UTC") }).unwrap();
    let mut starts: Vec<Timestamp> = (0..50)
        .map(|n| spread.timetable(&format!("p{n}"), old(), old()).catch_up(pending, back).unwrap().at)
        .inspect(|at| assert!(*at >= back && *at <= ts("2026-11-21T02:00:00Z")))
        .collect();
    starts.sort();
    starts.dedup();
    assert!(starts.len() > 45, "no herd after downtime");
}

/// Daily at 03:00 in a window from 02:00: after downtime at noon there is one rotation next night, not one at 02:00 and one at 03:00.
#[test]
fn a_missed_date_joins_the_regular_one_of_the_same_opening() {
    let text = ScheduleText { window: Some(window(None, "02:00", "05:00")), ..cron("0 3 * * *", "UTC") };
    let schedule = parse(&text).unwrap();
    let table = schedule.timetable("p", old(), old());
    let pending = due("2026-11-19T03:00:00Z", "2026-11-19T03:00:00Z");
    assert_eq!(table.catch_up(pending, ts("2026-11-21T12:00:00Z")), Some(due("2026-11-22T03:00:00Z", "2026-11-22T03:00:00Z")));
}

#[test]
fn what_counts_as_missed() {
    let windowed = parse(&ScheduleText { window: Some(window(None, "02:00", "05:00")), ..cron("0 3 * * *", "UTC") }).unwrap();
    let plain = parse(&cron("0 3 * * *", "UTC")).unwrap();
    let pending = due("2026-11-21T03:00:00Z", "2026-11-21T03:00:00Z");
    for (t, in_window, without) in [
        ("2026-11-20T03:00:00Z", false, false),
        ("2026-11-21T03:00:00Z", false, false),
        ("2026-11-21T03:15:00Z", false, false),
        ("2026-11-21T03:15:01Z", false, true),
        ("2026-11-21T04:59:59Z", false, true),
        ("2026-11-21T05:00:00Z", true, true),
    ] {
        assert_eq!(windowed.timetable("p", old(), old()).missed(pending, ts(t)), in_window, "{t}");
        assert_eq!(plain.timetable("p", old(), old()).missed(pending, ts(t)), without, "{t}");
    }
}

#[test]
fn a_rotation_by_hand_counts_when_the_date_is_near() {
    let schedule = parse(&cron("0 0 1 * *", "UTC")).unwrap();
    let table = schedule.timetable("p", old(), old());
    let (december, january) =
        (due("2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z"), due("2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z"));
    // November has 30 days: the middle is the 16th at midnight.
    assert_eq!(table.after_rotation(ts("2026-11-15T23:59:59Z"), december), Some(december));
    assert_eq!(table.after_rotation(ts("2026-11-16T00:00:00Z"), december), Some(december), "exactly half is not under half");
    assert_eq!(table.after_rotation(ts("2026-11-16T00:00:01Z"), december), Some(january));
    // Overdue since 1 December: it counts for that, and for January only when January is near.
    assert_eq!(table.after_rotation(ts("2026-12-10T00:00:00Z"), december), Some(january));
    assert_eq!(table.after_rotation(ts("2026-12-20T00:00:00Z"), december).unwrap().nominal, ts("2027-02-01T00:00:00Z"));
}

#[test]
fn a_rotation_by_hand_before_the_very_first_date() {
    let schedule = parse(&span("1y", "2027-01-15", "UTC")).unwrap();
    let table = schedule.timetable("p", old(), ts("2026-01-01T00:00:00Z"));
    let first = table.first_due().unwrap();
    assert_eq!(table.after_rotation(ts("2026-06-01T00:00:00Z"), first), Some(first));
    assert_eq!(table.after_rotation(ts("2026-12-01T00:00:00Z"), first).unwrap().nominal, ts("2028-01-15T00:00:00Z"));
}

#[test]
fn a_clock_that_goes_back_gives_no_date_twice_and_one_that_leaps_skips_to_the_next() {
    let schedule = parse(&cron("0 3 * * *", "UTC")).unwrap();
    let table = schedule.timetable("p", old(), old());
    let ran = due("2026-11-21T03:00:00Z", "2026-11-21T03:00:00Z");
    assert_eq!(table.after_run(ran, ts("2026-11-20T02:00:00Z")).unwrap().nominal, ts("2026-11-22T03:00:00Z"));
    assert_eq!(table.after_run(ran, ts("2026-11-24T04:00:00Z")).unwrap().nominal, ts("2026-11-25T03:00:00Z"));
}

#[test]
fn a_plan_shows_local_times_with_their_offsets() {
    let schedule = parse(&cron("30 2 * * *", "Europe/Berlin")).unwrap();
    let table = schedule.timetable("p", old(), old());
    let shown: Vec<String> = table
        .upcoming(ts("2026-10-24T12:00:00Z"), ts("2026-10-27T12:00:00Z"), 100)
        .iter()
        .map(|planned| planned.local.to_string())
        .collect();
    assert_eq!(
        shown,
        [
            "2026-10-25T02:30:00+02:00[Europe/Berlin]",
            "2026-10-26T02:30:00+01:00[Europe/Berlin]",
            "2026-10-27T02:30:00+01:00[Europe/Berlin]"
        ]
    );
    assert_eq!(table.upcoming(old(), Timestamp::MAX, 7).len(), 7);
    assert!(table.upcoming(ts("2026-10-24T12:00:00Z"), ts("2026-10-24T13:00:00Z"), 7).is_empty());
    let next = table.next_due(ts("2026-10-24T12:00:00Z")).unwrap().at;
    let until = |until| table.upcoming(ts("2026-10-24T12:00:00Z"), until, 7).len();
    assert_eq!((until(next), until(next - jiff::SignedDuration::from_secs(1))), (1, 0), "up to `until`, itself among them");
}

/// The zone's data were updated between two starts: a date kept under the old rules is no date any more.
#[test]
fn a_date_that_the_zone_no_longer_has_does_not_hold() {
    let schedule = parse(&cron("0 3 * * *", "Europe/Berlin")).unwrap();
    let table = schedule.timetable("p", old(), old());
    let now = ts("2026-07-01T12:00:00Z");
    let kept = due("2026-07-02T01:00:00Z", "2026-07-02T01:00:00Z");
    let under_other_rules = due("2026-07-02T02:00:00Z", "2026-07-02T02:00:00Z");
    assert!(table.holds(kept, now));
    assert!(!table.holds(under_other_rules, now));
    assert_eq!(table.reschedule(Some(under_other_rules), now), Some(kept));
    assert!(table.holds(under_other_rules, ts("2026-07-03T00:00:00Z")), "it has come: it is run, not moved again");
}

#[test]
fn looking_back_over_a_dense_pattern_finds_the_last_date() {
    let schedule = parse(&cron("* * 1 1 *", "Europe/Berlin")).unwrap();
    let table = schedule.timetable("p", old(), old());
    let made_up = table.catch_up(due("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"), ts("2026-11-21T00:00:00Z")).unwrap();
    assert_eq!(made_up.nominal, ts("2026-01-01T22:59:00Z"));
    let inside = table.catch_up(due("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"), ts("2026-01-01T13:14:15Z")).unwrap();
    assert_eq!(inside.nominal, ts("2026-01-01T13:14:00Z"));
}
