//! Every clock change of every zone over twenty years. Expected instants come from the zone's offsets alone.

use std::collections::{BTreeSet, HashSet};

use cutover_schedule::Schedule;
use jiff::{
    Timestamp, ToSpan,
    civil::{Date, Time, Weekday},
    tz::TimeZone,
};

use crate::common::{Clock, cron, old, parse, span, ts, walk, window, zones};

const DAY: i64 = 86_400;

/// One change of one zone.
struct Change {
    zone: String,
    at: i64,
    clock: Clock,
    date: Date,
}

/// Runs `check` at each change of each zone. Names that stand for the same changes are checked once.
fn at_every_change(mut check: impl FnMut(&Change)) {
    let (from, until) = (ts("2026-01-01T00:00:00Z"), ts("2046-01-01T00:00:00Z"));
    let (mut seen, mut zone_count, mut changes) = (HashSet::new(), 0, 0);
    let zones = zones();
    for name in zones.available() {
        let tz: TimeZone = zones.get(name.as_str()).unwrap();
        zone_count += 1;
        let all: Vec<_> =
            tz.following(from).take_while(|c| c.timestamp() < until).map(|c| (c.timestamp(), c.offset())).collect();
        if !seen.insert((tz.to_offset(from), all.clone())) {
            continue;
        }
        let clock_of = |at: Timestamp| Clock::new(&tz, at - 240.hours(), at + 240.hours());
        let points = if all.is_empty() { vec![from + 4_000.hours()] } else { all.into_iter().map(|(at, _)| at).collect() };
        for at in points {
            changes += 1;
            check(&Change { zone: name.to_string(), at: at.as_second(), clock: clock_of(at), date: tz.to_datetime(at).date() });
        }
    }
    assert!(zone_count > 500 && seen.len() > 50 && changes > 1_000, "{zone_count} zones, {} kinds, {changes}", seen.len());
}

/// The expected seconds of all `times` on dates that match, around a change; several in one gap are one.
fn expected(change: &Change, times: &[Time], matches: impl Fn(Date) -> bool) -> BTreeSet<i64> {
    let dates = (-5..=5).map(|n: i64| change.date + n.days()).filter(|date| matches(*date));
    dates.flat_map(|date| times.iter().map(move |time| change.clock.first(date.to_datetime(*time)))).collect()
}

fn assert_dates(change: &Change, schedule: &Schedule, want: &BTreeSet<i64>) {
    let (from, until) = (change.at - 3 * DAY, change.at + 3 * DAY);
    let table = schedule.timetable("policy", old(), old());
    let found = walk(&table, Timestamp::from_second(from).unwrap(), Timestamp::from_second(until).unwrap());
    let found: Vec<i64> = found.iter().map(|due| due.at.as_second()).collect();
    let want: Vec<i64> = want.iter().copied().filter(|at| (from + 1..until).contains(at)).collect();
    assert_eq!(found, want, "{} at {}: {schedule}", change.zone, Timestamp::from_second(change.at).unwrap());
}

fn times(all: &[(i8, i8)]) -> Vec<Time> {
    all.iter().map(|(h, m)| Time::constant(*h, *m, 0, 0)).collect()
}

#[test]
fn cron_dates_are_there_exactly_once_at_every_change() {
    type Matches = fn(Date) -> bool;
    let every: Matches = |_| true;
    let cases: [(&str, Vec<Time>, Matches); 9] = [
        ("30 2 * * *", times(&[(2, 30)]), every),
        ("0 0 * * *", times(&[(0, 0)]), every),
        ("0 3 * * *", times(&[(3, 0)]), every),
        ("30 23 * * *", times(&[(23, 30)]), every),
        ("15 1,2,14 * * *", times(&[(1, 15), (2, 15), (14, 15)]), every),
        ("0 */6 * * *", times(&[(0, 0), (6, 0), (12, 0), (18, 0)]), every),
        ("*/30 0-3 * * *", times(&[(0, 0), (0, 30), (1, 0), (1, 30), (2, 0), (2, 30), (3, 0), (3, 30)]), every),
        ("30 2 * * SUN", times(&[(2, 30)]), |d| d.weekday() == Weekday::Sunday),
        ("30 23 28-31 * SAT", times(&[(23, 30)]), |d| d.weekday() == Weekday::Saturday || d.day() >= 28),
    ];
    at_every_change(|change| {
        for (pattern, times, matches) in &cases {
            let schedule = parse(&cron(pattern, &change.zone)).unwrap();
            assert_dates(change, &schedule, &expected(change, times, matches));
        }
    });
}

#[test]
fn hourly_cron_counts_hours_that_pass_at_every_change() {
    at_every_change(|change| {
        for minute in [0, 30, 45] {
            let schedule = parse(&cron(&format!("{minute} * * * *"), &change.zone)).unwrap();
            let (from, until) = (change.at - DAY / 2, change.at + DAY / 2);
            let table = schedule.timetable("policy", old(), old());
            let found = walk(&table, Timestamp::from_second(from).unwrap(), Timestamp::from_second(until).unwrap());
            let found: Vec<i64> = found.iter().map(|due| due.at.as_second()).collect();
            assert_eq!(found, change.clock.minute_past(minute, from + 1, until), "{} at {}", change.zone, change.at);
        }
    });
}

#[test]
fn span_dates_are_there_exactly_once_at_every_change() {
    at_every_change(|change| {
        for (h, m) in [(0, 15), (2, 30), (23, 45)] {
            let time = Time::constant(h, m, 0, 0);
            let day = change.date - 1.year();
            let at = |date: Date| date.to_datetime(time).to_string();
            let daily = parse(&span("1d", &at(day), &change.zone)).unwrap();
            assert_dates(change, &daily, &expected(change, &[time], |_| true));
            let weekly = parse(&span("1w", &at(change.date - 70.days()), &change.zone)).unwrap();
            assert_dates(change, &weekly, &expected(change, &[time], |d| d.weekday() == change.date.weekday()));
            let monthly = parse(&span("1mo", &at(day), &change.zone)).unwrap();
            assert_dates(change, &monthly, &expected(change, &[time], |d| d.day() == day.day().min(d.days_in_month())));
            let yearly = parse(&span("1y", &at(day), &change.zone)).unwrap();
            assert_dates(change, &yearly, &expected(change, &[time], |d| d == change.date));
        }
        let anchor = Timestamp::from_second(change.at - 30 * DAY - 1_800).unwrap();
        let hourly = parse(&span("1h", &anchor.to_string(), &change.zone)).unwrap();
        assert_dates(change, &hourly, &(0..).map(|n| anchor.as_second() + n * 3_600).take(24 * 40).collect());
    });
}

#[test]
fn windows_open_once_and_hold_each_date_at_every_change() {
    let cases = [
        ("02:00", "03:00", "30 2 * * *"),
        ("02:15", "02:45", "30 2 * * *"),
        ("01:00", "02:30", "15 2 * * *"),
        ("22:00", "05:00", "15 2 * * *"),
        ("23:00", "00:30", "30 23 * * *"),
        ("23:30", "00:30", "15 0 * * *"),
        ("00:00", "01:00", "30 0 * * *"),
        ("23:00", "24:00", "30 23 * * *"),
    ];
    at_every_change(|change| {
        let tz = zones().get(&change.zone).unwrap();
        for (from, to, pattern) in cases {
            let mut text = cron(pattern, &change.zone);
            text.window = Some(window(None, from, to));
            text.jitter = Some("2h");
            let schedule = parse(&text).unwrap();
            let table = schedule.timetable("policy", old(), old());
            let mut found = walk(
                &table,
                Timestamp::from_second(change.at - 4 * DAY).unwrap(),
                Timestamp::from_second(change.at + 5 * DAY).unwrap(),
            );
            found.sort_by_key(|due| due.at);
            for n in -2..=2 {
                let (opens, closes) = opening_on(change, change.date + n.days(), from, to);
                let label = || format!("{} {from}-{to} on {}", change.zone, change.date + n.days());
                let held = found.iter().filter(|due| (opens..closes).contains(&due.at.as_second())).count();
                assert_eq!(held, 1, "{}: {found:?}", label());
                let window = schedule.window().unwrap();
                let (first, end) = (Timestamp::from_second(opens).unwrap(), Timestamp::from_second(closes).unwrap());
                let opening = window.opening(first, &tz).unwrap();
                assert_eq!((opening.opens, opening.closes), (first, end), "{}", label());
                let second = 1.second();
                assert!(!window.is_open(first - second, &tz) && window.is_open(first, &tz), "{}", label());
                assert!(window.is_open(end - second, &tz) && !window.is_open(end, &tz), "{}", label());
                assert_eq!(window.next_opening(first - second, &tz), Some(first));
                assert_eq!(window.next_opening(first, &tz), Some(first));
                assert_eq!(window.closes_at(end - second, &tz), Some(end));
            }
        }
    });
}

fn opening_on(change: &Change, date: Date, from: &str, to: &str) -> (i64, i64) {
    let time = |text: &str| format!("{}:00", if text == "24:00" { "00:00" } else { text }).parse::<Time>().unwrap();
    let (from, to) = (time(from), time(to));
    let end = if to <= from { date + 1.day() } else { date }.to_datetime(to);
    let start = date.to_datetime(from);
    let (opens, closes) = (change.clock.first(start), change.clock.first(end));
    if closes > opens { (opens, closes) } else { (opens, opens + end.duration_since(start).as_secs()) }
}
