//! Windows: reading, midnight, clock changes, and the dates that wait for them.

use cutover_schedule::{Moved, ScheduleText, Window};
use jiff::Timestamp;

use crate::common::{cron, days, local, old, parse, span, ts, tz, walk, window};

fn read(names: &[&str], from: &str, to: &str) -> Window {
    Window::parse(&window(Some(&days(names)), from, to)).unwrap()
}

#[test]
fn days_are_read_as_names_and_ranges() {
    assert_eq!(read(&["sat", "SUN"], "22:00", "05:00").to_string(), "sat,sun 22:00-05:00");
    assert_eq!(read(&["Saturday"], "22:00", "05:00"), read(&["sat"], "22:00", "05:00"));
    assert_eq!(read(&["fri-mon"], "22:00", "05:00").to_string(), "mon,fri,sat,sun 22:00-05:00");
    assert_eq!(read(&["mon-sun"], "00:00", "24:00").to_string(), "00:00-00:00");
    for (names, from, to, field) in [
        (&[][..], "22:00", "05:00", "window.days"),
        (&["caturday"], "22:00", "05:00", "window.days"),
        (&["mon-"], "22:00", "05:00", "window.days"),
        (&["mon"], "24:00", "05:00", "window.from"),
        (&["mon"], "9:00", "05:00", "window.from"),
        (&["mon"], "09:00", "05:60", "window.to"),
        (&["mon"], "09:00", "24:01", "window.to"),
        (&["mon"], "09:00", "+1:00", "window.to"),
    ] {
        let problems = Window::parse(&window(Some(&days(names)), from, to)).unwrap_err();
        assert_eq!(problems.iter().map(|p| p.field).collect::<Vec<_>>(), [field]);
    }
}

#[test]
fn a_window_over_midnight_opens_on_its_days_and_closes_on_the_next() {
    let (berlin, saturday) = (tz("Europe/Berlin"), read(&["sat"], "22:00", "05:00"));
    // 2026-11-21 is a Saturday.
    for (t, open) in [
        ("2026-11-21T04:30:00+01:00", false),
        ("2026-11-21T21:59:59+01:00", false),
        ("2026-11-21T22:00:00+01:00", true),
        ("2026-11-22T04:59:59+01:00", true),
        ("2026-11-22T05:00:00+01:00", false),
        ("2026-11-22T22:30:00+01:00", false),
    ] {
        assert_eq!(saturday.is_open(ts(t), &berlin), open, "{t}");
    }
    assert_eq!(saturday.next_opening(ts("2026-11-22T05:00:00+01:00"), &berlin), Some(ts("2026-11-28T22:00:00+01:00")));
    assert_eq!(saturday.closes_at(ts("2026-11-21T23:00:00+01:00"), &berlin), Some(ts("2026-11-22T05:00:00+01:00")));
    assert_eq!(saturday.closes_at(ts("2026-11-21T21:00:00+01:00"), &berlin), None);
}

#[test]
fn a_night_window_over_a_clock_change() {
    let (berlin, night) = (tz("Europe/Berlin"), read(&["sat"], "22:00", "05:00"));
    let spring = night.opening(ts("2026-03-28T12:00:00Z"), &berlin).unwrap();
    assert_eq!((spring.opens, spring.closes), (ts("2026-03-28T22:00:00+01:00"), ts("2026-03-29T05:00:00+02:00")));
    let autumn = night.opening(ts("2026-10-24T12:00:00Z"), &berlin).unwrap();
    assert_eq!((autumn.opens, autumn.closes), (ts("2026-10-24T22:00:00+02:00"), ts("2026-10-25T05:00:00+01:00")));
}

#[test]
fn a_window_inside_a_gap_does_not_vanish_and_one_inside_a_fold_opens_once() {
    let (berlin, sunday) = (tz("Europe/Berlin"), read(&["sun"], "02:15", "02:45"));
    let spring = sunday.opening(ts("2026-03-28T12:00:00Z"), &berlin).unwrap();
    assert_eq!((spring.opens, spring.closes), (ts("2026-03-29T03:00:00+02:00"), ts("2026-03-29T03:30:00+02:00")));
    let autumn = sunday.opening(ts("2026-10-24T12:00:00Z"), &berlin).unwrap();
    assert_eq!((autumn.opens, autumn.closes), (ts("2026-10-25T02:15:00+02:00"), ts("2026-10-25T02:45:00+02:00")));
    let next = sunday.next_opening(autumn.closes, &berlin).unwrap();
    assert_eq!(next, ts("2026-11-01T02:15:00+01:00"));
}

#[test]
fn whole_days_in_a_row_are_one_opening() {
    let (berlin, weekend) = (tz("Europe/Berlin"), read(&["sat", "sun"], "00:00", "24:00"));
    let opening = weekend.opening(ts("2026-11-22T12:00:00Z"), &berlin).unwrap();
    assert_eq!((opening.opens, opening.closes), (ts("2026-11-21T00:00:00+01:00"), ts("2026-11-23T00:00:00+01:00")));
    let six = read(&["mon-sat"], "07:00", "07:00");
    for day in 16..=21 {
        let opening = six.opening(ts(&format!("2026-11-{day}T20:00:00Z")), &berlin).unwrap();
        assert_eq!((opening.opens, opening.closes), (ts("2026-11-16T07:00:00+01:00"), ts("2026-11-22T07:00:00+01:00")));
    }
    let always = Window::parse(&window(None, "07:00", "07:00")).unwrap();
    assert!(always.is_open(Timestamp::MIN, &berlin) && always.is_open(old(), &berlin));
    let text = ScheduleText { window: Some(window(None, "07:00", "07:00")), ..cron("0 3 * * *", "UTC") };
    assert_eq!(parse(&text).unwrap().window(), None, "a window that never closes is none");
}

#[test]
fn a_date_outside_waits_for_the_next_opening() {
    let weekend = days(&["sat", "sun"]);
    let text = ScheduleText {
        window: Some(window(Some(&weekend), "22:00", "05:00")),
        ..span("90d", "2026-11-18T03:00:00", "Europe/Berlin")
    };
    let schedule = parse(&text).unwrap();
    let table = schedule.timetable("p", old(), old());
    let due = table.next_due(ts("2026-11-18T00:00:00Z")).unwrap();
    assert_eq!((due.nominal, due.at), (ts("2026-11-18T03:00:00+01:00"), ts("2026-11-21T22:00:00+01:00")));
    // The next one is counted from the calendar, not from Saturday.
    assert_eq!(table.next_due(due.nominal).unwrap().nominal, ts("2027-02-16T03:00:00+01:00"));
    let planned = table.upcoming(ts("2026-11-18T00:00:00Z"), Timestamp::MAX, 1);
    assert_eq!(planned[0].moved, Some(Moved::Window));
}

#[test]
fn dates_that_wait_for_one_opening_are_one_rotation() {
    let saturday = days(&["sat"]);
    let waiting =
        ScheduleText { window: Some(window(Some(&saturday), "08:00", "09:00")), ..span("1d", "2026-01-01T12:00:00", "UTC") };
    let schedule = parse(&waiting).unwrap();
    assert_eq!(
        local(&schedule, "2026-11-21T10:00:00Z", 3),
        ["2026-11-28 08:00+00:00", "2026-12-05 08:00+00:00", "2026-12-12 08:00+00:00"]
    );
    // The same answer from every date of the group.
    let table = schedule.timetable("p", old(), old());
    for day in 21..=26 {
        let due = table.next_due(ts(&format!("2026-11-{day}T12:00:00Z"))).unwrap();
        assert_eq!((due.nominal, due.at), (ts("2026-11-27T12:00:00Z"), ts("2026-11-28T08:00:00Z")), "{day}");
    }
    // A date that lies in the opening by itself stands for those that wait.
    let inside = ScheduleText { window: Some(window(Some(&saturday), "11:00", "13:00")), ..waiting };
    assert_eq!(
        local(&parse(&inside).unwrap(), "2026-11-21T13:00:00Z", 2),
        ["2026-11-28 12:00+00:00", "2026-12-05 12:00+00:00"]
    );
}

#[test]
fn several_dates_inside_one_opening_all_count() {
    let text = ScheduleText { window: Some(window(None, "22:00", "01:00")), ..cron("0 * * * *", "UTC") };
    let schedule = parse(&text).unwrap();
    assert_eq!(
        local(&schedule, "2026-11-21T12:00:00Z", 4),
        ["2026-11-21 22:00+00:00", "2026-11-21 23:00+00:00", "2026-11-22 00:00+00:00", "2026-11-22 22:00+00:00"]
    );
}

/// Regression for a weekly rotation that a gap would put off for a week: 02:30 becomes 03:00, when the window has just closed.
#[test]
fn a_date_moved_to_the_closing_instant_runs_before_it() {
    let sunday = days(&["sun"]);
    let text = ScheduleText { window: Some(window(Some(&sunday), "01:00", "03:00")), ..cron("30 2 * * SUN", "Europe/Berlin") };
    let schedule = parse(&text).unwrap();
    assert_eq!(local(&schedule, "2026-03-23T00:00:00Z", 2), ["2026-03-29 01:30+01:00", "2026-04-05 02:30+02:00"]);
    let planned = schedule.timetable("p", old(), old()).upcoming(ts("2026-03-23T00:00:00Z"), Timestamp::MAX, 1);
    assert_eq!(planned[0].moved, Some(Moved::ClockChange));
    // Dates of the week that wait for that opening join it.
    let daily = ScheduleText { cron: Some("30 2 * * *"), ..text };
    assert_eq!(local(&parse(&daily).unwrap(), "2026-03-24T00:00:00Z", 2), ["2026-03-29 01:30+01:00", "2026-04-05 02:30+02:00"]);
    // Where the opening has a date of its own that night, it stands for both.
    let two = ScheduleText { cron: Some("15 1,2 * * SUN"), ..text };
    assert_eq!(
        local(&parse(&two).unwrap(), "2026-03-23T00:00:00Z", 3),
        ["2026-03-29 01:15+01:00", "2026-04-05 01:15+02:00", "2026-04-05 02:15+02:00"]
    );
}

#[test]
fn jitter_never_leaves_the_opening_and_never_reaches_the_next_date() {
    let night =
        ScheduleText { window: Some(window(None, "02:00", "03:00")), jitter: Some("12h"), ..cron("50 2 * * *", "Asia/Tokyo") };
    let hourly = ScheduleText { jitter: Some("12h"), ..cron("0 * * * *", "UTC") };
    for (text, room) in [(night, 599), (hourly, 3_599)] {
        let schedule = parse(&text).unwrap();
        let mut most = 0;
        for name in ["a", "b", "c", "my-crm"] {
            let table = schedule.timetable(name, old(), old());
            let found = walk(&table, ts("2026-01-01T00:00:00Z"), ts("2027-01-01T00:00:00Z"));
            assert!(found.windows(2).all(|pair| pair[0].at < pair[1].nominal && pair[0].at < pair[1].at));
            for due in found {
                assert!(schedule.is_open(due.at));
                most = most.max(due.at.as_second() - due.nominal.as_second());
            }
        }
        assert!(most <= room && most > room * 9 / 10, "{most} of {room}: drawn over all the room there is");
    }
}

/// In an opening that a gap leaves only minutes of, what the gap moved to its end runs in the second half of it, not before it.
#[test]
fn a_short_opening_before_a_gap_is_kept() {
    let text = ScheduleText { window: Some(window(None, "01:50", "03:00")), ..cron("30 2 * * *", "Europe/Berlin") };
    let schedule = parse(&text).unwrap();
    let table = schedule.timetable("p", old(), old());
    let due = table.next_due(ts("2026-03-28T12:00:00Z")).unwrap();
    assert_eq!(due.at, ts("2026-03-29T00:55:00Z"), "01:55, between 01:50 and the change at 02:00");
    let following = table.upcoming(due.at, Timestamp::MAX, 1);
    assert!(following[0].due.at > due.at, "a plan shows what is after its beginning");
}
