//! The hours in which a policy may act.

use std::fmt;

use jiff::{
    Timestamp, ToSpan,
    civil::{Date, Time, Weekday},
    tz::TimeZone,
};

use crate::{
    problem::{Problem, quoted},
    zone::{first_instant, plus_seconds},
};

const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const EVERY_DAY: u8 = 0b111_1111;

/// A window as the configuration writes it.
#[derive(Clone, Copy, Debug)]
pub struct WindowText<'a> {
    /// `mon` to `sun`, full names, or ranges such as `mon-fri`; absent = every day.
    pub days: Option<&'a [String]>,
    /// `HH:MM`
    pub from: &'a str,
    /// `HH:MM`; not later than `from` = on the next day; `24:00` is midnight.
    pub to: &'a str,
}

/// Weekdays and local times between which a policy may act. The days are those on which it opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Bit 0 is Monday. Never empty.
    days: u8,
    from: Time,
    to: Time,
}

/// One stretch of time in which a window is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The first instant inside.
    pub opens: Timestamp,
    /// The first instant outside again.
    pub closes: Timestamp,
}

impl Window {
    /// Reads days and times.
    ///
    /// # Errors
    /// All that is wrong, with the fields `window.days`, `window.from` and `window.to`.
    pub fn parse(text: &WindowText<'_>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut keep = |problem| problems.push(problem);
        let days = text.days.map_or(Ok(EVERY_DAY), day_set).map_err(&mut keep).unwrap_or_default();
        let from = time_of_day("window.from", text.from, false).map_err(&mut keep).unwrap_or_default();
        let to = time_of_day("window.to", text.to, true).map_err(&mut keep).unwrap_or_default();
        if problems.is_empty() { Ok(Self { days, from, to }) } else { Err(problems) }
    }

    /// Whether `t` lies in an opening.
    #[must_use]
    pub fn is_open(&self, t: Timestamp, tz: &TimeZone) -> bool {
        self.opening(t, tz).is_some_and(|opening| opening.opens <= t)
    }

    /// `t` itself when the window is open then, otherwise when it opens next; `None` beyond the calendar.
    #[must_use]
    pub fn next_opening(&self, t: Timestamp, tz: &TimeZone) -> Option<Timestamp> {
        self.opening(t, tz).map(|opening| opening.opens.max(t))
    }

    /// When the opening that `t` lies in ends: the first instant outside. `None` when the window is closed at `t`.
    #[must_use]
    pub fn closes_at(&self, t: Timestamp, tz: &TimeZone) -> Option<Timestamp> {
        self.opening(t, tz).filter(|opening| opening.opens <= t).map(|opening| opening.closes)
    }

    /// The opening that `t` lies in, otherwise the next one; `None` beyond the calendar. Openings that touch are one.
    #[must_use]
    pub fn opening(&self, t: Timestamp, tz: &TimeZone) -> Option<Opening> {
        if self.is_always() {
            return Some(Opening { opens: Timestamp::MIN, closes: Timestamp::MAX });
        }
        // Openings of whole days touch and can reach back most of a week; others end on the next day.
        let back = if self.from == self.to { 9 } else { 2 };
        let today = tz.to_datetime(t).date();
        let mut date = today.checked_sub(back.days()).unwrap_or(Date::MIN);
        let last = today.checked_add(18.days()).unwrap_or(Date::MAX);
        let mut found: Option<Opening> = None;
        while date < last {
            if let Some(next) = self.opening_on(date, tz) {
                match &mut found {
                    Some(before) if next.opens <= before.closes => before.closes = before.closes.max(next.closes),
                    Some(before) if before.closes > t => return found,
                    _ => found = Some(next),
                }
            }
            date = date.tomorrow().ok()?;
        }
        found.filter(|opening| opening.closes > t)
    }

    /// The stretch that opens on `date`, if one does.
    fn opening_on(&self, date: Date, tz: &TimeZone) -> Option<Opening> {
        if !self.opens_on(date.weekday()) {
            return None;
        }
        let last_day = if self.over_midnight() { date.tomorrow().ok()? } else { date };
        let opens = first_instant(tz, date.to_datetime(self.from))?.at;
        let closes = first_instant(tz, last_day.to_datetime(self.to))?.at;
        // Swallowed whole by a gap: it keeps its length after the gap.
        let closes = if closes > opens { closes } else { plus_seconds(opens, self.length())? };
        Some(Opening { opens, closes })
    }

    /// Whether the local `time` of a `weekday` lies in the window, clock changes left aside.
    pub(crate) fn holds(&self, weekday: Weekday, time: Time) -> bool {
        if !self.over_midnight() {
            return self.opens_on(weekday) && self.from <= time && time < self.to;
        }
        (self.opens_on(weekday) && self.from <= time) || (self.opens_on(weekday.previous()) && time < self.to)
    }

    /// Whether it is open on every day and all day.
    pub(crate) fn is_always(&self) -> bool {
        self.days == EVERY_DAY && self.from == self.to
    }

    fn opens_on(&self, weekday: Weekday) -> bool {
        self.days & (1 << weekday.to_monday_zero_offset()) != 0
    }

    fn over_midnight(&self) -> bool {
        self.to <= self.from
    }

    /// Seconds from `from` to `to` on a day without a clock change.
    fn length(&self) -> i64 {
        let second_of = |t: Time| i64::from(t.hour()) * 3_600 + i64::from(t.minute()) * 60;
        let length = second_of(self.to) - second_of(self.from);
        if length > 0 { length } else { length + 86_400 }
    }
}

impl fmt::Display for Window {
    /// For people: `sat,sun 22:00-05:00`, `22:00-05:00`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != EVERY_DAY {
            let days: Vec<&str> = (0..7).filter(|n| self.days & (1 << n) != 0).map(|n| NAMES[n]).collect();
            write!(f, "{} ", days.join(","))?;
        }
        let (from, to) = (self.from, self.to);
        write!(f, "{:02}:{:02}-{:02}:{:02}", from.hour(), from.minute(), to.hour(), to.minute())
    }
}

fn day_set(days: &[String]) -> Result<u8, Problem> {
    let mut set = 0;
    for item in days {
        let bad =
            || Problem::new("window.days", format!("{} is not a weekday", quoted(item)), "mon, tue, wed, thu, fri, sat, sun");
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (first, last) = weekday(first).zip(weekday(last)).ok_or_else(bad)?;
        let mut day = first;
        set |= 1 << day;
        while day != last {
            day = (day + 1) % 7;
            set |= 1 << day;
        }
    }
    if set == 0 {
        return Err(Problem::new("window.days", "no day is named: the window would never open", "leave it out for every day"));
    }
    Ok(set)
}

/// Monday is 0.
fn weekday(text: &str) -> Option<usize> {
    const FULL: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let text = text.trim().to_ascii_lowercase();
    NAMES.iter().position(|name| *name == text).or_else(|| FULL.iter().position(|name| *name == text))
}

fn time_of_day(field: &'static str, text: &str, may_be_24: bool) -> Result<Time, Problem> {
    let two = |digits: &str| {
        let exact = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        if exact { digits.parse::<i8>().ok() } else { None }
    };
    let parsed = text.trim().split_once(':').and_then(|(h, m)| two(h).zip(two(m)));
    let time = match parsed {
        Some((24, 0)) if may_be_24 => Some(Time::midnight()),
        Some((hour, minute)) => Time::new(hour, minute, 0, 0).ok(),
        None => None,
    };
    time.ok_or_else(|| {
        Problem::new(field, format!("{} is not a time of day", quoted(text)), "hours and minutes, such as \"22:00\"")
    })
}
