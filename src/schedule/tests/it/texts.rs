//! Reading whole schedules: every problem at once, and what two schedules have in common.

use cutover_schedule::{Schedule, ScheduleText};

use crate::common::{cron, days, parse, span, ts, window};

fn fields(text: &ScheduleText<'_>) -> Vec<&'static str> {
    parse(text).unwrap_err().iter().map(|problem| problem.field).collect()
}

#[test]
fn all_problems_are_told_at_once() {
    let funday = days(&["funday"]);
    let text = ScheduleText {
        cadence: Some("1 year"),
        cron: None,
        anchor: Some("yesterday"),
        timezone: Some("Europe/Atlantis"),
        window: Some(window(Some(&funday), "22", "25:00")),
        jitter: Some("1mo"),
    };
    assert_eq!(fields(&text), ["timezone", "cadence", "window.days", "window.from", "window.to", "jitter", "anchor"]);
    for problem in parse(&text).unwrap_err() {
        assert!(!problem.wrong.is_empty() && !problem.right.is_empty());
        assert_eq!(problem.to_string(), format!("{}: {}: {}", problem.field, problem.wrong, problem.right));
    }
}

#[test]
fn impossible_combinations_are_refused() {
    assert_eq!(fields(&ScheduleText::default()), ["cadence"]);
    assert_eq!(fields(&ScheduleText { cron: Some("0 3 1 * *"), ..span("1y", "2026-01-01", "UTC") }), ["cron"]);
    assert_eq!(fields(&ScheduleText { anchor: Some("2026-01-01"), ..cron("0 3 1 * *", "UTC") }), ["anchor"]);
    for zone in ["", "+02:00", "/etc/passwd", "../../etc/passwd", "Europe/Berlin ", "CET\n", "Etc/Unknown"] {
        assert_eq!(fields(&cron("0 3 1 * *", zone)), ["timezone"], "{zone}");
    }
}

#[test]
fn a_window_and_a_cron_that_never_meet_are_refused() {
    let (weekend, saturday, monday) = (days(&["sat", "sun"]), days(&["sat"]), days(&["mon"]));
    let meets = |pattern, days, from, to| {
        let text = ScheduleText { window: Some(window(days, from, to)), ..cron(pattern, "Europe/Berlin") };
        let read = parse(&text).map_err(|problems| problems.iter().map(|p| p.field).collect::<Vec<_>>());
        assert!(read.as_ref().err().is_none_or(|fields| *fields == ["window"]));
        read.is_ok()
    };
    assert!(!meets("0 12 * * *", None, "22:00", "05:00"));
    assert!(!meets("0 3 * * MON-FRI", Some(&weekend[..]), "02:00", "06:00"));
    assert!(meets("0 3 1 * *", Some(&weekend[..]), "02:00", "06:00"), "some firsts are weekends");
    assert!(meets("0 3 * * SUN", Some(&saturday[..]), "22:00", "05:00"), "Saturday's opening lasts into Sunday");
    assert!(!meets("0 23 * * SUN", Some(&saturday[..]), "22:00", "05:00"));
    assert!(!meets("0 5 * * SUN", Some(&saturday[..]), "22:00", "05:00"), "closed from `to` on");
    assert!(!meets("0 5 * * *", None, "02:00", "05:00"), "also where it closes on the day that it opens on");
    assert!(meets("59 4 * * *", None, "02:00", "05:00"));
    assert!(meets("0 22 * * SAT", Some(&saturday[..]), "22:00", "05:00"), "open from `from` on");
    assert!(meets("0 3 29 2 *", Some(&monday[..]), "02:00", "04:00"), "2044 is not never");
    assert!(!meets("0 3 1-7 * +SUN", Some(&monday[..]), "02:00", "04:00"));
    assert!(meets("0 12 * * *", None, "07:00", "07:00"), "a whole day");
}

#[test]
fn a_span_outside_its_window_waits_and_is_not_refused() {
    let text = ScheduleText { window: Some(window(None, "22:00", "05:00")), ..span("90d", "2026-01-01T12:00:00", "UTC") };
    assert!(parse(&text).is_ok());
}

#[test]
fn the_identity_changes_with_every_part_and_with_nothing_else() {
    let saturday = days(&["sat"]);
    let base = span("90d", "2026-01-01", "Europe/Berlin");
    let texts = [
        base,
        ScheduleText { cadence: Some("91d"), ..base },
        ScheduleText { cadence: None, cron: Some("0 3 1 * *"), anchor: None, ..base },
        ScheduleText { anchor: Some("2026-01-02"), ..base },
        ScheduleText { anchor: None, ..base },
        ScheduleText { timezone: Some("Europe/Paris"), ..base },
        ScheduleText { timezone: None, ..base },
        ScheduleText { jitter: Some("1m"), ..base },
        ScheduleText { window: Some(window(None, "22:00", "05:00")), ..base },
        ScheduleText { window: Some(window(Some(&saturday), "22:00", "05:00")), ..base },
    ];
    let mut all: Vec<String> = texts.iter().map(|text| parse(text).unwrap().identity()).collect();
    assert_eq!(
        all[0],
        parse(&ScheduleText { anchor: Some("2026-01-01T00:00:00"), jitter: Some("0s"), ..base }).unwrap().identity()
    );
    all.sort();
    all.dedup();
    assert_eq!(all.len(), texts.len());
}

#[test]
fn schedules_show_for_people() {
    let weekend = days(&["sat", "sun"]);
    let text = ScheduleText {
        window: Some(window(Some(&weekend), "22:00", "05:00")),
        jitter: Some("30m"),
        ..span("1y", "2026-01-01", "Europe/Berlin")
    };
    assert_eq!(parse(&text).unwrap().to_string(), "every year (Europe/Berlin), in sat,sun 22:00-05:00, spread over 30m");
    assert_eq!(parse(&cron("0 3 1 * *", "UTC")).unwrap().to_string(), "cron `0 3 1 * *` (UTC)");
    for (jitter, shown) in [("2h", "2h"), ("90m", "90m"), ("1m", "1m"), ("61s", "61s"), ("1d12h", "36h"), ("0s", "")] {
        let text = ScheduleText { jitter: Some(jitter), ..cron("0 3 1 * *", "UTC") };
        let shown = if shown.is_empty() { String::new() } else { format!(", spread over {shown}") };
        assert_eq!(parse(&text).unwrap().to_string(), format!("cron `0 3 1 * *` (UTC){shown}"));
    }
}

/// Without a window a policy may always act; with one until it closes, and again from its next opening on.
#[test]
fn a_schedule_says_when_it_may_act() {
    let always = parse(&cron("0 3 1 * *", "UTC")).unwrap();
    let at_night = parse(&ScheduleText { window: Some(window(None, "22:00", "05:00")), ..cron("0 3 1 * *", "UTC") }).unwrap();
    let (noon, opens, closes) = (ts("2026-11-21T12:00:00Z"), ts("2026-11-21T22:00:00Z"), ts("2026-11-22T05:00:00Z"));
    let says = |schedule: &Schedule, t| (schedule.is_open(t), schedule.next_opening(t), schedule.closes_at(t));
    assert_eq!(says(&always, noon), (true, Some(noon), None));
    assert_eq!(says(&at_night, noon), (false, Some(opens), None));
    assert_eq!(says(&at_night, opens), (true, Some(opens), Some(closes)));
}

/// A zone is a name: what looks like a path or an offset is not looked up.
#[test]
fn a_zone_is_a_name() {
    let long = format!("Europe/{}", "a".repeat(60));
    for (name, known) in [
        ("Europe/Berlin", true),
        ("Etc/GMT+5", true),
        ("America/Port-au-Prince", true),
        ("/Europe/Berlin", false),
        ("+02:00", false),
        ("-UTC", false),
        ("Europe/../Europe/Berlin", false),
        ("Europe/Atlantis", false),
        (&long, false),
        ("", false),
    ] {
        assert_eq!(parse(&cron("0 3 1 * *", name)).is_ok(), known, "{name}");
    }
}

/// What is wrong is quoted: on one line, and no longer than it takes to find it.
#[test]
fn what_is_wrong_is_quoted() {
    let wrong = |name: &str| parse(&cron("0 3 1 * *", name)).unwrap_err()[0].to_string();
    let atlantis = wrong("Europe/Atlantis");
    assert!(atlantis.starts_with("timezone: `Europe/Atlantis` is not a known zone: an IANA name"), "{atlantis}");
    assert!(wrong("a\nb").contains("`a b`"));
    assert!(wrong(&"a".repeat(60)).contains(&format!("`{}`", "a".repeat(60))));
    assert!(wrong(&"a".repeat(61)).contains(&format!("`{}…`", "a".repeat(60))));
}
