//! The ends of the calendar and odd zones.

use cutover_schedule::Anchor;
use jiff::{SignedDuration, Timestamp};

use crate::common::{cron, days, old, parse, span, ts, tz, window};

#[test]
fn the_ends_of_the_calendar_are_none_and_not_a_panic() {
    let weekend = days(&["sat"]);
    let mut texts =
        vec![cron("0 3 1 * *", "Europe/Berlin"), cron("* * * * *", "Pacific/Kiritimati"), cron("0 0 29 2 *", "UTC")];
    texts.extend(["1y", "90d", "1s", "1000y", "999mo"].map(|cadence| span(cadence, "2026-01-31", "America/New_York")));
    for mut text in texts {
        for windowed in [false, true] {
            text.window = windowed.then(|| window(Some(&weekend), "00:00", "24:00"));
            text.jitter = Some("90d");
            let schedule = parse(&text).unwrap();
            for loaded in [Timestamp::MIN, old(), ts("9999-12-30T21:00:00Z"), Timestamp::MAX] {
                let table = schedule.timetable("p", loaded, loaded);
                for t in [Timestamp::MIN, old(), ts("9999-12-30T21:00:00Z"), Timestamp::MAX] {
                    let due = table.next_due(t);
                    assert!(due.is_none_or(|due| due.nominal > t && due.at > t));
                    let due = due.unwrap_or(crate::common::due("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"));
                    let _ = (
                        table.missed(due, t),
                        table.upcoming(t, Timestamp::MAX, 3),
                        schedule.next_opening(t),
                        schedule.closes_at(t),
                    );
                    for made in
                        [table.catch_up(due, t), table.after_rotation(t, due), table.after_run(due, t)].into_iter().flatten()
                    {
                        assert!(made.nominal >= due.nominal.min(t));
                    }
                    let _ = table.reschedule(Some(due), t);
                }
                assert!(table.next_due(Timestamp::MAX).is_none());
            }
            assert!(schedule.shortest_ms() > 0);
        }
    }
}

#[test]
fn an_absent_anchor_beyond_the_calendar_has_no_dates() {
    let mut text = span("1000y", "2026-01-01", "UTC");
    text.anchor = None;
    let schedule = parse(&text).unwrap();
    let late = ts("9500-01-01T00:00:00Z");
    assert_eq!(schedule.timetable("p", late, late).first_due(), None);
}

/// An anchor keeps the local time that is written, also where the clock skips it; its first date is an instant.
#[test]
fn an_anchor_keeps_its_local_time() {
    let berlin = tz("Europe/Berlin");
    for (text, local, first) in [
        ("2026-01-15T03:00:00", "2026-01-15T03:00:00", "2026-01-15T02:00:00Z"),
        ("2026-01-15", "2026-01-15T00:00:00", "2026-01-14T23:00:00Z"),
        ("2026-01-15T03:00:00Z", "2026-01-15T04:00:00", "2026-01-15T03:00:00Z"),
        ("2026-03-29T02:30:00", "2026-03-29T02:30:00", "2026-03-29T01:00:00Z"),
    ] {
        let anchor = Anchor::parse(text, &berlin).unwrap();
        assert_eq!((anchor.local().to_string().as_str(), anchor.first()), (local, ts(first)), "{text}");
    }
    for (text, why) in [("soon", "is not a point in time"), ("1969-12-31", "1970 to 2999"), ("3000-01-01", "1970 to 2999")] {
        let (wrong, right) = Anchor::parse(text, &berlin).unwrap_err();
        assert!(wrong.contains(why) && right.contains("a local time such as"), "{text}: {wrong}: {right}");
    }
    assert!(Anchor::parse("2999-12-31", &berlin).is_ok() && Anchor::parse("1970-01-02", &berlin).is_ok());
}

/// Samoa left out a whole Friday: its window opens where the clock goes on, for as long as it would have been open.
#[test]
fn a_day_that_is_left_out_keeps_its_length() {
    let friday = days(&["fri"]);
    for (from, to, hours) in [("00:00", "00:00", 24), ("09:00", "17:00", 8), ("22:00", "05:00", 7)] {
        let mut text = cron("0 * * * *", "Pacific/Apia");
        text.window = Some(window(Some(&friday), from, to));
        let schedule = parse(&text).unwrap();
        let goes_on = ts("2011-12-30T10:00:00Z");
        assert_eq!(schedule.next_opening(ts("2011-12-30T09:59:00Z")), Some(goes_on), "{from}-{to}");
        let closes = if from == "22:00" { ts("2011-12-30T15:00:00Z") } else { goes_on + SignedDuration::from_hours(hours) };
        assert_eq!(schedule.closes_at(goes_on), Some(closes), "{from}-{to}");
    }
}
