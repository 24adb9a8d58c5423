//! Cron patterns on the wall clock of a zone. croner reads the pattern and says which days match; which instant a local time
//! stands for is decided here, because croner leaves out dates at a clock change (several hours in one field, a gap that leads
//! into the next day) and runs others twice.

use std::fmt;

use croner::{
    Cron, Weekday,
    parser::{CronParser, Seconds, Year},
};
use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};

use crate::{
    problem::quoted,
    window::Window,
    zone::{Occurrence, Shifts, first_instant},
};

/// The calendar repeats after so many years, weekdays included: what does not match within them never does.
const CYCLE_YEARS: i16 = 400;
const EVERY_HOUR: u32 = (1 << 24) - 1;
const LONGEST_PATTERN: usize = 200;

/// A cron pattern of five fields that matches at least one date.
#[derive(Clone)]
pub struct CronPattern {
    text: String,
    days: Box<Cron>,
    /// Bit h: hour h matches. Never empty.
    hours: u32,
    /// Bit m: minute m matches. Never empty.
    minutes: u64,
}

impl PartialEq for CronPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for CronPattern {}

impl fmt::Debug for CronPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CronPattern").field(&self.text).finish()
    }
}

impl fmt::Display for CronPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl CronPattern {
    /// Reads minute, hour, day of month, month and day of week, or one of `@hourly @daily @weekly @monthly @yearly @annually`.
    ///
    /// Names of months and days, lists, ranges, steps, `L`, `15W`, `LW`, `MON#1` and `5L` work. When day of month and day of
    /// week are both restricted, either is enough; `+` before the day of week asks for both.
    ///
    /// # Errors
    /// What is wrong and what would be right: another number of fields (there are no seconds and no years), a value out of range,
    /// a stepped `*` in one day field beside a restriction in the other (cron programs disagree about it), or a pattern that
    /// matches no date at all.
    pub fn parse(text: &str) -> Result<Self, (String, String)> {
        let text = text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        check_shape(&text)?;
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(&text).map_err(|e| {
            (
                format!("{} is not a cron pattern ({})", quoted(&text), e.to_string().trim_end_matches('.')),
                "minute hour day-of-month month day-of-week, such as `0 3 1 * *`".to_owned(),
            )
        })?;
        let hours = cron.pattern.hours.values().iter().filter(|h| **h < 24).fold(0, |set, h| set | 1_u32 << h);
        let minutes = cron.pattern.minutes.values().iter().filter(|m| **m < 60).fold(0, |set, m| set | 1_u64 << m);
        let pattern = Self { text, days: Box::new(cron), hours, minutes };
        if hours == 0 || minutes == 0 || pattern.next_date(Date::constant(2000, 1, 1)).is_none() {
            let wrong = format!("{} matches no date: it would never run", quoted(&pattern.text));
            return Err((
                wrong,
                "a day that its months have, such as `0 3 28 2 *`, or `L` for the last day of a month".to_owned(),
            ));
        }
        Ok(pattern)
    }

    /// The first occurrence strictly after `t`.
    pub(crate) fn after(&self, tz: &TimeZone, t: Timestamp) -> Option<Occurrence> {
        if self.hours == EVERY_HOUR {
            return self.passing_hour_after(tz, t).map(|at| Occurrence { at, in_gap: false });
        }
        let mut civil = tz.to_datetime(t);
        loop {
            civil = self.next_civil(civil)?;
            // In the second pass of a fold the first pass of a later local time can still lie before `t`.
            let occurrence = first_instant(tz, civil)?;
            if occurrence.at > t {
                return Some(occurrence);
            }
        }
    }

    /// For patterns of every hour: the wall clock is followed as it runs, with one offset after the other.
    fn passing_hour_after(&self, tz: &TimeZone, t: Timestamp) -> Option<Timestamp> {
        let mut start = t;
        let mut offset = tz.to_offset(t);
        let mut civil = offset.to_datetime(t);
        loop {
            let next = self.next_civil(civil).and_then(|civil| offset.to_timestamp(civil).ok());
            let Some(change) = tz.following(start).next().map(|change| change.timestamp()) else { return next };
            if next.is_none_or(|next| next < change) {
                return next;
            }
            start = change;
            offset = tz.to_offset(change);
            civil = offset.to_datetime(change).checked_sub(SignedDuration::from_nanos(1)).ok()?;
        }
    }

    /// The first matching local time strictly after `after`.
    fn next_civil(&self, after: DateTime) -> Option<DateTime> {
        let date = self.next_date(after.date())?;
        if date > after.date() {
            return Some(date.to_datetime(self.first_time()?));
        }
        match self.time_after(after.time()) {
            Some(time) => Some(date.to_datetime(time)),
            None => Some(self.next_date(date.tomorrow().ok()?)?.to_datetime(self.first_time()?)),
        }
    }

    fn first_time(&self) -> Option<Time> {
        clock(self.hours.trailing_zeros(), self.minutes.trailing_zeros())
    }

    /// The first matching time of day strictly after `time`, on the same day.
    fn time_after(&self, time: Time) -> Option<Time> {
        let (hour, minute) = (u32::try_from(time.hour()).ok()?, u32::try_from(time.minute()).ok()?);
        let later_minutes = self.minutes & !((2_u64 << minute) - 1);
        if self.hours & (1 << hour) != 0 && later_minutes != 0 {
            return clock(hour, later_minutes.trailing_zeros());
        }
        let later_hours = self.hours & !((2_u32 << hour) - 1);
        if later_hours == 0 { None } else { clock(later_hours.trailing_zeros(), self.minutes.trailing_zeros()) }
    }

    /// The first matching date from `from` on.
    fn next_date(&self, from: Date) -> Option<Date> {
        let last_year = from.year().saturating_add(CYCLE_YEARS);
        let mut date = from;
        while date.year() <= last_year {
            let month = u32::try_from(date.month()).ok()?;
            if !self.days.pattern.month_match(month).ok()? {
                date = date.last_of_month().tomorrow().ok()?;
                continue;
            }
            let weekday = Weekday::from_days_from_sunday(u32::try_from(date.weekday().to_sunday_zero_offset()).ok()?);
            let day = u32::try_from(date.day()).ok()?;
            if self.days.pattern.day_match(i32::from(date.year()), month, day, weekday).ok()? {
                return Some(date);
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    fn times(&self) -> impl Iterator<Item = Time> {
        let minutes = self.minutes;
        let hours = (0..24).filter(|h| self.hours & (1 << h) != 0);
        hours.flat_map(move |h| (0..60).filter(move |m| minutes & (1 << m) != 0).filter_map(move |m| clock(h, m)))
    }

    /// Whether any occurrence ever lies in `window`, on the wall clock and over the whole cycle of the calendar.
    pub(crate) fn meets(&self, window: &Window) -> bool {
        let fits = |weekday| self.times().any(|time| window.holds(weekday, time));
        let fitting: Vec<bool> = jiff::civil::Weekday::Sunday.cycle_forward().take(7).map(fits).collect();
        if fitting.iter().all(|fits| !fits) {
            return false;
        }
        let mut from = Date::constant(2000, 1, 1);
        while let Some(date) = self.next_date(from).filter(|date| date.year() < 2000 + CYCLE_YEARS) {
            let index = usize::try_from(date.weekday().to_sunday_zero_offset()).unwrap_or(0);
            if fitting[index] {
                return true;
            }
            let Ok(next) = date.tomorrow() else { return false };
            from = next;
        }
        false
    }

    /// A lower bound in seconds of the distance between two occurrences in `tz`, clock changes included.
    pub(crate) fn shortest_seconds(&self, tz: &TimeZone) -> i64 {
        let minute_of = |t: &Time| i64::from(t.hour()) * 60 + i64::from(t.minute());
        let times: Vec<i64> = self.times().map(|t| minute_of(&t)).collect();
        let (first, last) = (times.first().copied().unwrap_or(0), times.last().copied().unwrap_or(0));
        let over_days = self.fewest_days() * 1_440 - last + first;
        let minutes = times.windows(2).map(|pair| pair[1] - pair[0]).chain([over_days]).min().unwrap_or(over_days);
        let shifts = Shifts::of(tz);
        // Hours that pass keep their distance over a change by whole hours.
        let lost = if self.hours == EVERY_HOUR { shifts.odd } else { shifts.forward };
        (minutes * 60 - lost).max(60)
    }

    /// A lower bound of the days between two matching dates. Years come in 14 kinds and any two that can follow each other do so
    /// within 28 years; a longer distance counts as one year.
    fn fewest_days(&self) -> i64 {
        let mut fewest = 365;
        let mut date = Date::constant(2000, 1, 1);
        let mut last: Option<Date> = None;
        while let Some(found) = self.next_date(date).filter(|found| found.year() < 2030) {
            if let Some(last) = last {
                fewest = fewest.min(i64::from((found - last).get_days()));
            }
            if fewest == 1 {
                break;
            }
            last = Some(found);
            let Ok(next) = found.tomorrow() else { break };
            date = next;
        }
        fewest
    }
}

fn clock(hour: u32, minute: u32) -> Option<Time> {
    Time::new(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0).ok()
}

/// What croner would take, or would refuse with less to go by.
fn check_shape(text: &str) -> Result<(), (String, String)> {
    const FIELDS: &str = "five fields: minute hour day-of-month month day-of-week, such as `0 3 1 * *`";
    const NAMES: [&str; 6] = ["@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@annually"];
    if !text.is_ascii() || text.len() > LONGEST_PATTERN {
        return Err((format!("{} is not a cron pattern", quoted(text)), FIELDS.to_owned()));
    }
    if text.contains('@') {
        let known = NAMES.iter().any(|name| name.eq_ignore_ascii_case(text));
        return if known { Ok(()) } else { Err((format!("{} is not known", quoted(text)), NAMES.join(", "))) };
    }
    let fields: Vec<&str> = text.split(' ').collect();
    let [_, _, month_day, _, week_day] = fields.as_slice() else {
        let wrong = match fields.len() {
            6 => format!("{} has six fields: there are no seconds", quoted(text)),
            7 => format!("{} has seven fields: there are no seconds and no years", quoted(text)),
            n => format!("{} has {n} fields", quoted(text)),
        };
        return Err((wrong, FIELDS.to_owned()));
    };
    let any = |field: &str| matches!(field, "*" | "?");
    let stepped = |field: &str| field.starts_with("*/") || field.starts_with("?/");
    if !any(month_day) && !any(week_day) && (stepped(month_day) || stepped(week_day)) {
        return Err((
            format!(
                "{} steps through one day field and restricts the other: cron programs disagree whether both must match",
                quoted(text)
            ),
            "list the days (`1-31/2` instead of `*/2`), or write `+` before the day of week when both must match".to_owned(),
        ));
    }
    Ok(())
}
