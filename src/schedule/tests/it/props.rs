//! Properties over random schedules, zones and times.

use cutover_schedule::{CalendarSpan, CronPattern, Schedule, ScheduleText, Window};
use jiff::{Timestamp, tz::TimeZone};
use proptest::prelude::*;

use crate::common::{days, old, parse, walk, window};

const ZONES: [&str; 12] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Nuuk",
    "America/Havana",
    "Asia/Beirut",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "America/Scoresbysund",
];

fn field(lowest: u8, highest: u8) -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just("*".to_owned()),
        3 => (lowest..=highest).prop_map(|n| n.to_string()),
        1 => (lowest..=highest, lowest..=highest).prop_map(|(a, b)| format!("{},{}", a, b)),
        1 => (lowest..=highest, lowest..=highest).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
    ]
}

#[derive(Clone, Debug)]
struct Random {
    cadence: Option<String>,
    cron: Option<String>,
    zone: &'static str,
    window: Option<(Vec<String>, String, String)>,
    jitter: String,
}

impl Random {
    fn read(&self) -> Option<Schedule> {
        parse(&ScheduleText {
            cadence: self.cadence.as_deref(),
            cron: self.cron.as_deref(),
            anchor: self.cadence.as_ref().map(|_| "2024-01-31T02:30:00"),
            timezone: Some(self.zone),
            window: self.window.as_ref().map(|(days, from, to)| window(Some(days), from, to)),
            jitter: Some(&self.jitter),
        })
        .ok()
    }
}

fn schedules() -> impl Strategy<Value = Random> {
    let cron = (field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6))
        .prop_map(|(m, h, d, mo, w)| (None, Some(format!("{m} {h} {d} {mo} {w}"))));
    let unit = prop_oneof![Just("h"), Just("d"), Just("w"), Just("mo"), Just("y")];
    let cadence = (1_u8..30, unit).prop_map(|(n, unit)| (Some(format!("{n}{unit}")), None));
    let names = proptest::sample::subsequence(vec!["mon", "tue", "wed", "thu", "fri", "sat", "sun"], 1..=7);
    let clock = || (0_u8..24, 0_u8..4).prop_map(|(h, q)| format!("{h:02}:{:02}", q * 15));
    let window = proptest::option::of((names.prop_map(|names| days(&names)), clock(), clock()));
    let zone = proptest::sample::select(&ZONES[..]);
    (prop_oneof![cron, cadence], zone, window, 0_u32..7_200).prop_map(|((cadence, cron), zone, window, jitter)| Random {
        cadence,
        cron,
        zone,
        window,
        jitter: format!("{jitter}s"),
    })
}

fn moments() -> impl Strategy<Value = Timestamp> {
    (1_767_225_600_i64..2_398_377_600, 0..1_000_000_000).prop_map(|(s, n)| Timestamp::new(s, n).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn due_times_are_in_order_inside_the_window_and_the_same_from_wherever_they_are_asked(
        random in schedules(), after in moments(), part in 0.0..1.0_f64,
    ) {
        let Some(schedule) = random.read() else { return Ok(()) };
        let table = schedule.timetable("policy", old(), old());
        let mut last: Option<cutover_schedule::Due> = None;
        let mut from = after;
        for _ in 0..12 {
            let Some(due) = table.next_due(from) else { break };
            prop_assert!(due.nominal > from);
            prop_assert!(schedule.is_open(due.at));
            if let Some(last) = last {
                prop_assert!(due.at > last.at, "{last:?} {due:?}");
            }
            // Asked from anywhere between the two, the answer is the same.
            let between = from.as_second() + ((due.nominal.as_second() - from.as_second()) as f64 * part) as i64;
            if let Ok(between) = Timestamp::from_second(between).map(|t| t.max(from)) && between < due.nominal {
                prop_assert_eq!(table.next_due(between), Some(due));
            }
            last = Some(due);
            from = due.nominal;
        }
    }

    #[test]
    fn the_shortest_distance_is_a_lower_bound(random in schedules(), after in moments()) {
        let plain = Random { window: None, jitter: "0s".to_owned(), ..random };
        let Some(schedule) = plain.read() else { return Ok(()) };
        let table = schedule.timetable("policy", old(), old());
        let shortest = schedule.shortest_ms();
        let mut last: Option<Timestamp> = None;
        let mut from = after;
        for _ in 0..60 {
            let Some(due) = table.next_due(from) else { break };
            if let Some(last) = last {
                let distance = due.nominal.as_millisecond() - last.as_millisecond();
                prop_assert!(distance >= shortest, "{distance} < {shortest} at {}", due.nominal);
            }
            last = Some(due.nominal);
            from = due.nominal;
        }
    }

    #[test]
    fn making_up_is_neither_early_nor_outside_nor_before_what_it_stands_for(random in schedules(), after in moments(), late in 1_i64..50_000_000) {
        let Some(schedule) = random.read() else { return Ok(()) };
        let table = schedule.timetable("policy", old(), old());
        let Some(due) = table.next_due(after) else { return Ok(()) };
        let now = Timestamp::from_second(due.at.as_second() + late).unwrap();
        let Some(made_up) = table.catch_up(due, now) else { return Ok(()) };
        prop_assert!(made_up.at >= now && made_up.nominal >= due.nominal);
        prop_assert!(schedule.is_open(made_up.at));
        let Some(next) = table.after_run(made_up, made_up.at) else { return Ok(()) };
        prop_assert!(next.nominal > made_up.nominal && next.nominal > made_up.at);
        let by_hand = table.after_rotation(now, due);
        prop_assert!(by_hand.is_none_or(|next| next.nominal > now));
        let edited = schedule.timetable("policy", old(), now).reschedule(Some(due), now);
        prop_assert!(edited.is_none_or(|edited| edited.at >= now));
    }

    #[test]
    fn openings_follow_each_other_and_hold_what_they_say(random in schedules(), t in moments()) {
        let (Some(schedule), Some((days, from, to))) = (random.read(), &random.window) else { return Ok(()) };
        let window_read = Window::parse(&window(Some(days), from, to)).unwrap();
        let zone: &TimeZone = schedule.timezone();
        let opening = window_read.opening(t, zone).unwrap();
        prop_assert!(opening.opens < opening.closes && t < opening.closes);
        prop_assert_eq!(window_read.is_open(t, zone), opening.opens <= t);
        prop_assert_eq!(window_read.next_opening(t, zone), Some(opening.opens.max(t)));
        if opening.closes < Timestamp::MAX {
            prop_assert!(!window_read.is_open(opening.closes, zone));
            prop_assert!(window_read.opening(opening.closes, zone).unwrap().opens > opening.closes);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,40}", cronish in "[0-9*/,\\-LW#?+A-Z@ ]{0,30}") {
        for text in [&text, &cronish] {
            let _ = CalendarSpan::parse(text);
            let _ = CronPattern::parse(text);
            let all = [text.clone()];
            let _ = parse(&ScheduleText {
                cadence: Some(text), cron: None, anchor: Some(text), timezone: Some(text),
                window: Some(window(Some(&all), text, text)), jitter: Some(text),
            });
        }
    }

    #[test]
    fn spans_are_shown_as_they_are_read(y in 0_u16..50, mo in 0_u16..12, d in 0_u16..400, h in 0_u16..100) {
        let Ok(span) = CalendarSpan::parse(&format!("{y}y{mo}mo{d}d{h}h")) else { return Ok(()) };
        prop_assert_eq!(CalendarSpan::parse(&span.to_string()), Ok(span));
    }
}

#[test]
fn a_thousand_dates_in_a_row_stay_in_order() {
    for zone in ZONES {
        let schedule = parse(&ScheduleText { jitter: Some("3h"), ..crate::common::cron("30 0,2,23 * * *", zone) }).unwrap();
        let table = schedule.timetable("policy", old(), old());
        let found = walk(&table, "2026-01-01T00:00:00Z".parse().unwrap(), "2027-01-01T00:00:00Z".parse().unwrap());
        assert!(found.windows(2).all(|pair| pair[0].at < pair[1].nominal));
        assert!((365 * 3 - 3..=365 * 3).contains(&found.len()), "{zone}: {}", found.len());
    }
}
