//! The ends of the calendar and odd zones.

use jiff::Timestamp;

use crate::common::{cron, days, old, parse, span, ts, window};

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
