//! A policy's schedule as the configuration writes it.

use std::fmt;

use jiff::{
    Timestamp,
    tz::{TimeZone, TimeZoneDatabase},
};

use crate::{
    anchor::Anchor,
    cadence::Cadence,
    cron::CronPattern,
    problem::{Problem, quoted},
    span::{BadSpan, CalendarSpan},
    timetable::Timetable,
    window::{Window, WindowText},
};

/// The texts of one policy that make its schedule.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScheduleText<'a> {
    /// `1y`, `90d`; this or `cron`.
    pub cadence: Option<&'a str>,
    /// Five cron fields; this or `cadence`.
    pub cron: Option<&'a str>,
    /// Where a `cadence` is counted from; absent = drawn when first loaded.
    pub anchor: Option<&'a str>,
    /// An IANA name; absent = UTC.
    pub timezone: Option<&'a str>,
    /// When the policy may act; absent = always.
    pub window: Option<WindowText<'a>>,
    /// How far a date may be spread, a fixed length such as `30m`; absent = not at all.
    pub jitter: Option<&'a str>,
}

/// When a policy is to be rotated: cadence, zone, window and jitter, checked against each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    cadence: Cadence,
    anchor: Option<Anchor>,
    timezone: TimeZone,
    window: Option<Window>,
    jitter: i64,
}

impl Schedule {
    /// Reads a schedule. Zones come from `zones`; hand in `jiff::tz::db()`, which prefers the system's own data.
    ///
    /// # Errors
    /// Everything that is wrong, at once: texts that cannot be read, a cadence missing or named twice, an anchor beside a cron
    /// pattern, a cron pattern that never falls into the window.
    pub fn parse(text: &ScheduleText<'_>, zones: &TimeZoneDatabase) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let timezone = zone(text.timezone, zones).map_err(|p| problems.push(p)).ok();
        let cadence = cadence(text).map_err(|p| problems.push(p)).ok();
        let window = text.window.as_ref().map(Window::parse).transpose().map_err(|all| problems.extend(all)).ok().flatten();
        let jitter = text.jitter.map_or(Ok(0), jitter).map_err(|p| problems.push(p)).unwrap_or(0);
        let at = timezone.clone().unwrap_or(TimeZone::UTC);
        let anchor = text.anchor.map(|text| Anchor::parse(text, &at)).transpose();
        let anchor = anchor.map_err(|(wrong, right)| problems.push(Problem::new("anchor", wrong, right))).ok().flatten();
        if text.anchor.is_some() && text.cron.is_some() && text.cadence.is_none() {
            problems.push(Problem::new(
                "anchor",
                "a cron pattern names its own dates",
                "leave `anchor` out, or give a `cadence` instead",
            ));
        }
        if let (Some(Cadence::Cron(cron)), Some(window)) = (&cadence, &window)
            && !cron.meets(window)
        {
            problems.push(Problem::new(
                "window",
                format!("no date of cron `{cron}` ever falls into the window {window}"),
                "a pattern whose time lies inside the window, or a wider window",
            ));
        }
        // A window that never closes is none.
        let window = window.filter(|window| !window.is_always());
        match (timezone, cadence) {
            (Some(timezone), Some(cadence)) if problems.is_empty() => Ok(Self { cadence, anchor, timezone, window, jitter }),
            _ => Err(problems),
        }
    }

    /// The dates of this schedule for one policy.
    ///
    /// `seed` is the policy's name when it was first loaded (keep it over a rename, so that dates do not move). `first_loaded` is
    /// when the policy was first loaded: an anchor that the configuration does not name is drawn from there. `since` is when the
    /// present schedule was first loaded; dates up to it do not count.
    #[must_use]
    pub fn timetable<'a>(&'a self, seed: &'a str, first_loaded: Timestamp, since: Timestamp) -> Timetable<'a> {
        Timetable::new(self, seed, first_loaded, since)
    }

    /// A lower bound of the distance between two dates, in milliseconds, clock changes of the zone included. Waiting for the window
    /// and jitter are left aside.
    #[must_use]
    pub fn shortest_ms(&self) -> i64 {
        self.cadence.shortest_ms(&self.timezone)
    }

    /// Whether the policy may act at `t`; always without a window.
    #[must_use]
    pub fn is_open(&self, t: Timestamp) -> bool {
        self.window.is_none_or(|window| window.is_open(t, &self.timezone))
    }

    /// `t` itself when the policy may act then, otherwise when it may next; `None` beyond the calendar.
    #[must_use]
    pub fn next_opening(&self, t: Timestamp) -> Option<Timestamp> {
        self.window.map_or(Some(t), |window| window.next_opening(t, &self.timezone))
    }

    /// Until when the policy may act, when it may at `t`: the first instant at which it may not. `None` without a window and when
    /// it is closed.
    #[must_use]
    pub fn closes_at(&self, t: Timestamp) -> Option<Timestamp> {
        self.window.and_then(|window| window.closes_at(t, &self.timezone))
    }

    /// How often.
    #[must_use]
    pub const fn cadence(&self) -> &Cadence {
        &self.cadence
    }

    /// The anchor that the configuration names.
    #[must_use]
    pub const fn anchor(&self) -> Option<&Anchor> {
        self.anchor.as_ref()
    }

    /// The zone of dates and window.
    #[must_use]
    pub const fn timezone(&self) -> &TimeZone {
        &self.timezone
    }

    /// When the policy may act; `None` = always, also where the configuration has a window of all days and hours.
    #[must_use]
    pub const fn window(&self) -> Option<&Window> {
        self.window.as_ref()
    }

    /// How far a date may be spread, in seconds.
    #[must_use]
    pub const fn jitter_seconds(&self) -> i64 {
        self.jitter
    }

    /// The schedule in one line of fixed form: with the same identity, seed and loading times the due times are the same. Keep it
    /// to notice an edit.
    #[must_use]
    pub fn identity(&self) -> String {
        let cadence = match &self.cadence {
            Cadence::Span(span) => format!("span {span}"),
            Cadence::Cron(cron) => format!("cron {cron}"),
        };
        let anchor = self.anchor.map_or_else(|| "drawn".to_owned(), |anchor| format!("{} {}", anchor.local(), anchor.first()));
        let window = self.window.map_or_else(|| "always".to_owned(), |window| window.to_string());
        format!("{cadence}; anchor {anchor}; zone {}; window {window}; jitter {}s", self.zone_name(), self.jitter)
    }

    fn zone_name(&self) -> &str {
        self.timezone.iana_name().unwrap_or("UTC")
    }
}

impl fmt::Display for Schedule {
    /// For people: `every 90 days (Europe/Berlin), in sat,sun 22:00-05:00, spread over 30m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.cadence, self.zone_name())?;
        if let Some(window) = &self.window {
            write!(f, ", in {window}")?;
        }
        match self.jitter {
            0 => Ok(()),
            s if s % 3_600 == 0 => write!(f, ", spread over {}h", s / 3_600),
            s if s % 60 == 0 => write!(f, ", spread over {}m", s / 60),
            s => write!(f, ", spread over {s}s"),
        }
    }
}

fn zone(name: Option<&str>, zones: &TimeZoneDatabase) -> Result<TimeZone, Problem> {
    let Some(name) = name else { return Ok(TimeZone::UTC) };
    let bad = || {
        Problem::new(
            "timezone",
            format!("{} is not a known zone", quoted(name)),
            "an IANA name such as `Europe/Berlin` or `UTC`",
        )
    };
    // Names only: what looks like a path or an offset is not looked up.
    let plain =
        name.len() <= 64 && !name.contains("..") && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+-".contains(&b));
    if !plain || name.starts_with(['/', '+', '-']) {
        return Err(bad());
    }
    zones.get(name).ok().filter(|zone| !zone.is_unknown()).ok_or_else(bad)
}

fn cadence(text: &ScheduleText<'_>) -> Result<Cadence, Problem> {
    match (text.cadence, text.cron) {
        (Some(_), Some(_)) => Err(Problem::new("cron", "`cadence` and `cron` are both given", "one of them")),
        (None, None) => Err(Problem::new(
            "cadence",
            "neither `cadence` nor `cron` is given",
            "a span such as `90d`, or `cron = \"0 3 1 * *\"`",
        )),
        (Some(span), None) => CalendarSpan::parse(span).map(Cadence::Span).map_err(|bad| {
            Problem::new(
                "cadence",
                format!("{} {bad}", quoted(span)),
                "such as `1y`, `6mo`, `2w`, `90d`, `12h` (`m` is a minute)",
            )
        }),
        (None, Some(pattern)) => {
            CronPattern::parse(pattern).map(Cadence::Cron).map_err(|(wrong, right)| Problem::new("cron", wrong, right))
        }
    }
}

fn jitter(text: &str) -> Result<i64, Problem> {
    CalendarSpan::parse_fixed(text).map_err(|bad: BadSpan| {
        Problem::new("jitter", format!("{} {bad}", quoted(text)), "a fixed length such as `30m`, in s, m, h, d, w")
    })
}
