//! Spans: reading, month ends, leap days, shortest distances.

use cutover_schedule::{BadSpan, Cadence, CalendarSpan};

use crate::common::{cron, local, old, parse, span, ts, tz};

#[test]
fn spans_are_read_and_shown_as_written() {
    for text in ["1y", "6mo", "90d", "2w", "12h", "1y6mo", "1mo15d", "1d12h", "45s", "24h"] {
        assert_eq!(CalendarSpan::parse(text).unwrap().to_string(), text);
    }
    let words = |text: &str| CalendarSpan::parse(text).unwrap().words();
    assert_eq!(words("1y"), "year");
    assert_eq!(words("90d"), "90 days");
    assert_eq!(words("1y6mo"), "1 year 6 months");
    assert_eq!(words("14d"), "2 weeks");
    assert_eq!(CalendarSpan::parse("18mo"), CalendarSpan::parse("1y6mo"));
    assert_ne!(CalendarSpan::parse("24h"), CalendarSpan::parse("1d"));
}

#[test]
fn what_is_no_span_is_refused() {
    for (text, bad) in [
        ("", BadSpan::Shape),
        ("1", BadSpan::Shape),
        ("y", BadSpan::Shape),
        ("-1d", BadSpan::Shape),
        ("1.5d", BadSpan::Shape),
        ("1 d", BadSpan::Shape),
        ("P1Y", BadSpan::Shape),
        ("1M", BadSpan::Unit),
        ("1D", BadSpan::Unit),
        ("1min", BadSpan::Unit),
        ("0d", BadSpan::Empty),
        ("0y0s", BadSpan::Empty),
        ("1001y", BadSpan::TooLong),
        ("1000y1mo", BadSpan::TooLong),
        ("366001d", BadSpan::TooLong),
        ("8784000h1s", BadSpan::TooLong),
        ("99999999999999999999d", BadSpan::TooLong),
        ("9223372036854775807y", BadSpan::TooLong),
    ] {
        assert_eq!(CalendarSpan::parse(text), Err(bad), "{text}");
    }
    for text in ["1000y", "12000mo", "366000d", "8784000h"] {
        assert!(CalendarSpan::parse(text).is_ok(), "{text}");
    }
    for (bad, words) in [
        (BadSpan::Shape, "is not a span"),
        (BadSpan::Unit, "has an unknown unit"),
        (BadSpan::Empty, "is no time at all"),
        (BadSpan::TooLong, "is longer than 1000 years"),
        (BadSpan::Calendar, "has months or years, whose length is not fixed"),
    ] {
        assert_eq!(bad.to_string(), words);
    }
}

#[test]
fn a_minute_is_not_a_month() {
    let shortest = |text: &str| Cadence::Span(CalendarSpan::parse(text).unwrap()).shortest_ms(&tz("UTC"));
    assert_eq!(shortest("1m"), 60_000);
    assert_eq!(shortest("1mo"), 28 * 86_400_000);
}

#[test]
fn a_leap_day_comes_back() {
    let yearly = parse(&span("1y", "2024-02-29T03:00:00", "Europe/Berlin")).unwrap();
    assert_eq!(
        local(&yearly, "2024-01-01T00:00:00Z", 6),
        [
            "2024-02-29 03:00+01:00",
            "2025-02-28 03:00+01:00",
            "2026-02-28 03:00+01:00",
            "2027-02-28 03:00+01:00",
            "2028-02-29 03:00+01:00",
            "2029-02-28 03:00+01:00",
        ]
    );
}

#[test]
fn a_month_end_comes_back() {
    let monthly = parse(&span("1mo", "2026-01-31T22:00:00", "UTC")).unwrap();
    let days: Vec<String> = local(&monthly, "2026-01-01T00:00:00Z", 6).iter().map(|d| d[..10].to_owned()).collect();
    assert_eq!(days, ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31", "2026-06-30"]);
}

#[test]
fn a_year_does_not_drift_over_decades() {
    let yearly = parse(&span("1y", "2026-11-21T03:00:00", "America/New_York")).unwrap();
    for day in local(&yearly, "2026-11-21T12:00:00Z", 60) {
        assert!(day.contains("-11-21 03:00"), "{day}");
    }
}

#[test]
fn days_keep_local_time_and_hours_keep_elapsed_time() {
    let day = parse(&span("1d", "2026-03-28T03:30:00", "Europe/Berlin")).unwrap();
    assert_eq!(local(&day, "2026-03-28T12:00:00Z", 2), ["2026-03-29 03:30+02:00", "2026-03-30 03:30+02:00"]);
    let hours = parse(&span("24h", "2026-03-28T03:30:00", "Europe/Berlin")).unwrap();
    assert_eq!(local(&hours, "2026-03-28T12:00:00Z", 2), ["2026-03-29 04:30+02:00", "2026-03-30 04:30+02:00"]);
    let skipped = parse(&span("1d", "2026-03-28T02:30:00", "Europe/Berlin")).unwrap();
    assert_eq!(local(&skipped, "2026-03-28T12:00:00Z", 2), ["2026-03-29 03:00+02:00", "2026-03-30 02:30+02:00"]);
}

#[test]
fn nothing_is_due_before_the_anchor() {
    let later = parse(&span("90d", "2030-01-01", "UTC")).unwrap();
    let table = later.timetable("p", old(), old());
    assert_eq!(table.first_due().unwrap().at, ts("2030-01-01T00:00:00Z"));
}

#[test]
fn an_anchor_is_read_in_the_zone_or_as_an_instant() {
    for anchor in ["2026-01-15T03:00:00", "2026-01-15T02:00:00Z", "2026-01-15T11:00:00+09:00", "2026-01-15 03:00"] {
        let schedule = parse(&span("1mo", anchor, "Europe/Berlin")).unwrap();
        assert_eq!(schedule.anchor().unwrap().first(), ts("2026-01-15T02:00:00Z"), "{anchor}");
        assert_eq!(local(&schedule, "2026-07-01T00:00:00Z", 1), ["2026-07-15 03:00+02:00"], "{anchor}");
    }
    let midnight = parse(&span("1mo", "2026-01-15", "Europe/Berlin")).unwrap();
    assert_eq!(midnight.anchor().unwrap().first(), ts("2026-01-14T23:00:00Z"));
    for bad in ["soon", "2026-02-30", "2026-01-15T25:00:00", "0026-01-15", "9999-01-01", "", "15.01.2026"] {
        let problems = parse(&span("1mo", bad, "UTC")).unwrap_err();
        assert_eq!(problems.iter().map(|p| p.field).collect::<Vec<_>>(), ["anchor"], "{bad}");
    }
}

#[test]
fn an_anchor_in_the_second_pass_of_a_fold_is_that_instant() {
    let schedule = parse(&span("1d", "2026-10-25T02:30:00+01:00", "Europe/Berlin")).unwrap();
    assert_eq!(local(&schedule, "2026-10-24T00:00:00Z", 2), ["2026-10-25 02:30+01:00", "2026-10-26 02:30+01:00"]);
}

#[test]
fn shortest_distances_are_exact_where_it_matters() {
    const DAY: i64 = 86_400_000;
    const HOUR: i64 = 3_600_000;
    let of_span = |text: &str, zone: &str| parse(&span(text, "2026-01-01", zone)).unwrap().shortest_ms();
    assert_eq!(of_span("1y", "UTC"), 365 * DAY);
    assert_eq!(of_span("4y", "UTC"), 1_460 * DAY, "2096 to 2100");
    assert_eq!(of_span("3mo", "UTC"), 89 * DAY, "30 November to 28 February is 90, 30 or 31 January would be longer");
    assert_eq!(of_span("1d", "UTC"), DAY);
    assert_eq!(of_span("1d", "Europe/Berlin"), 23 * HOUR);
    assert_eq!(of_span("1d", "Australia/Lord_Howe"), DAY - HOUR / 2);
    assert_eq!(of_span("24h", "Europe/Berlin"), DAY);
    let of_cron = |text: &str, zone: &str| parse(&cron(text, zone)).unwrap().shortest_ms();
    assert_eq!(of_cron("0 3 1 * *", "UTC"), 28 * DAY);
    assert_eq!(of_cron("0 3 * * *", "UTC"), DAY);
    assert_eq!(of_cron("0 3 * * SUN", "Europe/Berlin"), 7 * DAY - HOUR);
    assert_eq!(of_cron("0 0 1 1 *", "UTC"), 365 * DAY);
    assert_eq!(of_cron("0 1,22 * * *", "UTC"), 3 * HOUR);
    assert_eq!(of_cron("0 * * * *", "Europe/Berlin"), HOUR);
    assert_eq!(of_cron("0 0 1 * FRI", "UTC"), DAY, "a first beside a Friday");
}
