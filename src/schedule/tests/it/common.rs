//! Short ways to write schedules and times, and an oracle for local times.

use cutover_schedule::{Due, Problem, Schedule, ScheduleText, Timetable, WindowText};
use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{Offset, TimeZone, TimeZoneDatabase},
};

pub fn zones() -> TimeZoneDatabase {
    TimeZoneDatabase::bundled()
}

pub fn tz(name: &str) -> TimeZone {
    zones().get(name).unwrap()
}

pub fn ts(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Long ago, for schedules whose loading time does not matter.
pub fn old() -> Timestamp {
    ts("2000-01-01T00:00:00Z")
}

pub fn parse(text: &ScheduleText<'_>) -> Result<Schedule, Vec<Problem>> {
    Schedule::parse(text, &zones())
}

pub fn cron<'a>(pattern: &'a str, zone: &'a str) -> ScheduleText<'a> {
    ScheduleText { cron: Some(pattern), timezone: Some(zone), ..ScheduleText::default() }
}

pub fn span<'a>(cadence: &'a str, anchor: &'a str, zone: &'a str) -> ScheduleText<'a> {
    ScheduleText { cadence: Some(cadence), anchor: Some(anchor), timezone: Some(zone), ..ScheduleText::default() }
}

pub fn window<'a>(days: Option<&'a [String]>, from: &'a str, to: &'a str) -> WindowText<'a> {
    WindowText { days, from, to }
}

pub fn days(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub fn due(nominal: &str, at: &str) -> Due {
    Due { nominal: ts(nominal), at: ts(at) }
}

pub fn walk(table: &Timetable<'_>, after: Timestamp, until: Timestamp) -> Vec<Due> {
    let mut all = Vec::new();
    let mut last = after;
    while let Some(due) = table.next_due(last).filter(|due| due.nominal < until) {
        assert!(due.nominal > last, "strictly after {last}: {due:?}");
        last = due.nominal;
        all.push(due);
    }
    all
}

/// The next `n` due times after `after` in local time.
pub fn local(schedule: &Schedule, after: &str, n: usize) -> Vec<String> {
    let table = schedule.timetable("p", old(), old());
    let planned = table.upcoming(ts(after), Timestamp::MAX, n);
    planned.iter().map(|p| p.local.strftime("%F %H:%M%:z").to_string()).collect()
}

/// The offsets of a zone over some time, as plain segments.
pub struct Clock {
    segments: Vec<(i64, i64, i64)>,
}

impl Clock {
    pub fn new(tz: &TimeZone, from: Timestamp, until: Timestamp) -> Self {
        let mut segments = Vec::new();
        let (mut start, mut offset) = (i64::MIN / 4, tz.to_offset(from));
        for change in tz.following(from).take_while(|change| change.timestamp() < until) {
            segments.push((start, change.timestamp().as_second(), i64::from(offset.seconds())));
            (start, offset) = (change.timestamp().as_second(), change.offset());
        }
        segments.push((start, i64::MAX / 4, i64::from(offset.seconds())));
        Self { segments }
    }

    /// The first second at which the wall clock shows `civil` or something later.
    pub fn first(&self, civil: DateTime) -> i64 {
        let wall = Offset::UTC.to_timestamp(civil).unwrap().as_second();
        self.segments.iter().map(|(start, end, offset)| ((wall - offset).max(*start), end)).find(|(u, end)| u < end).unwrap().0
    }

    /// All seconds at which the wall clock shows `minute` past the hour.
    pub fn minute_past(&self, minute: i64, from: i64, until: i64) -> Vec<i64> {
        let mut all = Vec::new();
        for (start, end, offset) in &self.segments {
            let (start, end) = ((*start).max(from), (*end).min(until));
            let first = start + (minute * 60 - start - offset).rem_euclid(3_600);
            all.extend((first..end).step_by(3_600));
        }
        all
    }
}
