//! Cron patterns: what is read, what is refused, and the traps of cron libraries.

use cutover_schedule::CronPattern;

use crate::common::{cron, local, old, parse, ts, walk};

fn dates(pattern: &str, after: &str, n: usize) -> Vec<String> {
    let all = local(&parse(&cron(pattern, "UTC")).unwrap(), after, n);
    all.into_iter().map(|date| date[..16].to_owned()).collect()
}

#[test]
fn usual_patterns_are_read() {
    assert_eq!(dates("0 3 1 * *", "2026-11-21T00:00:00Z", 2), ["2026-12-01 03:00", "2027-01-01 03:00"]);
    assert_eq!(dates("  15   3 * * MON-WED ", "2026-11-21T00:00:00Z", 2), ["2026-11-23 03:15", "2026-11-24 03:15"]);
    assert_eq!(dates("0 3 * jan,JUL 7", "2026-11-21T00:00:00Z", 1), ["2027-01-03 03:00"]);
    assert_eq!(dates("0 3 L * *", "2026-02-01T00:00:00Z", 2), ["2026-02-28 03:00", "2026-03-31 03:00"]);
    assert_eq!(dates("0 3 15W * *", "2026-08-01T00:00:00Z", 1), ["2026-08-14 03:00"]);
    assert_eq!(dates("0 3 * * MON#1", "2026-11-21T00:00:00Z", 1), ["2026-12-07 03:00"]);
    assert_eq!(dates("0 3 * * 5L", "2026-11-21T00:00:00Z", 1), ["2026-11-27 03:00"]);
    assert_eq!(dates("0 3 ? * 0", "2026-11-21T00:00:00Z", 1), ["2026-11-22 03:00"]);
    assert_eq!(dates("@monthly", "2026-11-21T00:00:00Z", 1), ["2026-12-01 00:00"]);
    assert_eq!(dates("@Yearly", "2026-11-21T00:00:00Z", 1), ["2027-01-01 00:00"]);
}

#[test]
fn two_day_fields_are_alternatives_and_plus_asks_for_both() {
    assert_eq!(dates("0 0 13 * FRI", "2026-02-01T00:00:00Z", 3), ["2026-02-06 00:00", "2026-02-13 00:00", "2026-02-20 00:00"]);
    assert_eq!(dates("0 0 13 * +FRI", "2026-02-01T00:00:00Z", 3), ["2026-02-13 00:00", "2026-03-13 00:00", "2026-11-13 00:00"]);
    assert_eq!(dates("0 0 29 2 +MON", "2026-01-01T00:00:00Z", 2), ["2044-02-29 00:00", "2072-02-29 00:00"]);
}

#[test]
fn what_can_never_fire_is_refused_when_read() {
    for pattern in ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 30 2 +MON", "0 0 31 4 ?"] {
        let (wrong, right) = CronPattern::parse(pattern).unwrap_err();
        assert!(wrong.contains("never run"), "{pattern}: {wrong}");
        assert!(!right.is_empty());
    }
    // Once in four years, or only on the Mondays, is not never.
    assert_eq!(dates("0 0 29 2 *", "2097-01-01T00:00:00Z", 1), ["2104-02-29 00:00"]);
    assert_eq!(dates("0 0 30 2 MON", "2026-01-01T00:00:00Z", 1), ["2026-02-02 00:00"]);
}

#[test]
fn what_is_no_pattern_is_refused_with_a_way_out() {
    for (pattern, part) in [
        ("", "fields"),
        ("0 3 1 *", "4 fields"),
        ("0 0 3 1 * *", "no seconds"),
        ("0 0 3 1 * * 2027", "no years"),
        ("60 3 1 * *", "not a cron pattern"),
        ("0 24 1 * *", "not a cron pattern"),
        ("0 3 0 * *", "not a cron pattern"),
        ("0 3 32 * *", "not a cron pattern"),
        ("0 3 1 13 *", "not a cron pattern"),
        ("0 3 1 * 8", "not a cron pattern"),
        ("0 3 1 * MONDAY", "not a cron pattern"),
        ("5-1 3 * * *", "not a cron pattern"),
        ("*/0 3 * * *", "not a cron pattern"),
        ("H 3 * * *", "not a cron pattern"),
        ("0 3 L-3 * *", "not a cron pattern"),
        ("@reboot", "not known"),
        ("@every 5m", "not known"),
        ("0 3 * * mön", "is not a cron pattern"),
        ("mön", "is not a cron pattern"),
        ("0 3 */2 * MON", "disagree"),
        ("0 3 1 * */2", "disagree"),
    ] {
        let (wrong, right) = CronPattern::parse(pattern).unwrap_err();
        assert!(wrong.contains(part), "{pattern}: {wrong}");
        assert!(!right.is_empty());
    }
    let (wrong, right) = CronPattern::parse(&"0,".repeat(500)).unwrap_err();
    assert!(wrong.contains("is not a cron pattern") && right.starts_with("five fields"), "{wrong}: {right}");
    let longest = format!("10{} 3 1 * *", ",0".repeat(95));
    assert!(longest.len() == 200 && CronPattern::parse(&longest).is_ok());
    assert!(CronPattern::parse("0 3 */2 * *").is_ok() && CronPattern::parse("0 3 1 * +*/2").is_ok());
}

#[test]
fn gap_and_fold_in_berlin() {
    let at = |pattern: &str, after: &str, n| local(&parse(&cron(pattern, "Europe/Berlin")).unwrap(), after, n);
    let (spring, autumn) = ("2026-03-28T12:00:00Z", "2026-10-24T12:00:00Z");
    assert_eq!(at("30 2 * * *", spring, 2), ["2026-03-29 03:00+02:00", "2026-03-30 02:30+02:00"]);
    assert_eq!(at("30 2 * * *", autumn, 2), ["2026-10-25 02:30+02:00", "2026-10-26 02:30+01:00"]);
    assert_eq!(at("0 1 * * *", spring, 2), ["2026-03-29 01:00+01:00", "2026-03-30 01:00+02:00"]);
    let (night, fold_night) = ("2026-03-28T23:30:00Z", "2026-10-24T22:30:00Z");
    assert_eq!(at("0 * * * *", night, 3), ["2026-03-29 01:00+01:00", "2026-03-29 03:00+02:00", "2026-03-29 04:00+02:00"]);
    assert_eq!(
        at("0 * * * *", fold_night, 4),
        ["2026-10-25 01:00+02:00", "2026-10-25 02:00+02:00", "2026-10-25 02:00+01:00", "2026-10-25 03:00+01:00"]
    );
}

/// croner drops a run whose gap leads into the next day: the day no longer matches.
#[test]
fn a_gap_that_leads_into_the_next_day_loses_nothing() {
    let nuuk = parse(&cron("30 23 * * SAT", "America/Nuuk")).unwrap();
    assert_eq!(local(&nuuk, "2026-03-27T00:00:00Z", 2), ["2026-03-29 00:00-01:00", "2026-04-04 23:30-01:00"]);
}

/// croner takes several hours in one field for an interval: it leaves out the skipped one and runs the repeated one twice.
#[test]
fn a_list_of_hours_is_neither_left_out_nor_doubled() {
    let twice = parse(&cron("30 2,14 * * *", "Europe/Berlin")).unwrap();
    assert_eq!(local(&twice, "2026-03-29T00:30:00Z", 2), ["2026-03-29 03:00+02:00", "2026-03-29 14:30+02:00"]);
    assert_eq!(local(&twice, "2026-10-24T23:30:00Z", 2), ["2026-10-25 02:30+02:00", "2026-10-25 14:30+01:00"]);
}

#[test]
fn a_search_from_inside_the_second_pass_does_not_go_back() {
    let daily = parse(&cron("30 2 * * *", "Europe/Berlin")).unwrap();
    let table = daily.timetable("p", old(), old());
    for after in ["2026-10-25T00:30:00Z", "2026-10-25T00:59:00Z", "2026-10-25T01:10:00Z", "2026-10-25T01:30:00Z"] {
        assert_eq!(table.next_due(ts(after)).unwrap().at, ts("2026-10-26T02:30:00+01:00"), "{after}");
    }
    let minutes = parse(&cron("*/10 2 * * *", "Europe/Berlin")).unwrap();
    let table = minutes.timetable("p", old(), old());
    let found = walk(&table, ts("2026-10-24T22:00:00Z"), ts("2026-10-25T12:00:00Z"));
    assert_eq!(found.len(), 6);
    let found = walk(&table, ts("2026-03-28T22:00:00Z"), ts("2026-03-29T12:00:00Z"));
    assert_eq!(found.len(), 1, "all six lie in the gap");
}

/// Two patterns are the same when they are written the same, however they are spaced; a pattern shows as it is written.
#[test]
fn a_pattern_is_what_is_written() {
    let read = |text| CronPattern::parse(text).unwrap();
    assert_eq!(read("0 3 1 * *"), read(" 0  3 1 * * "));
    assert_ne!(read("0 3 1 * *"), read("0 3 2 * *"));
    assert_eq!(read("0 3 1 * *").to_string(), "0 3 1 * *");
    assert_eq!(format!("{:?}", read("0 3 1 * *")), r#"CronPattern("0 3 1 * *")"#);
}

/// On Lord Howe the clock skips half an hour: 02:00 is not there that night, and the moment of the change is no full hour.
#[test]
fn a_full_hour_that_a_half_hour_gap_skips_is_left_out() {
    let hours = local(&parse(&cron("0 * * * *", "Australia/Lord_Howe")).unwrap(), "2026-10-03T14:45:00Z", 2);
    assert_eq!(hours, ["2026-10-04 03:00+11:00", "2026-10-04 04:00+11:00"]);
}
