//! The nominal dates of a schedule, window and jitter left aside.

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    anchor::Dated,
    cron::CronPattern,
    zone::{Occurrence, just_before, plus_seconds, seconds_between},
};

/// All dates of one schedule.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dates<'a> {
    Span(Dated<'a>),
    Cron(&'a CronPattern, &'a TimeZone),
    /// A span whose anchor lies beyond the calendar.
    Never,
}

impl Dates<'_> {
    /// The first date strictly after `t`.
    pub(crate) fn after(&self, t: Timestamp) -> Option<Occurrence> {
        match self {
            Self::Span(dated) => dated.nth(dated.index_after(t)),
            Self::Cron(cron, tz) => cron.after(tz, t),
            Self::Never => None,
        }
    }

    /// The first date at `t` or after it.
    pub(crate) fn from(&self, t: Timestamp) -> Option<Occurrence> {
        self.after(just_before(t))
    }

    /// The last date strictly before `t`.
    pub(crate) fn before(&self, t: Timestamp) -> Option<Occurrence> {
        match self {
            Self::Span(dated) => dated.nth(dated.index_after(just_before(t)) - 1),
            Self::Cron(..) => self.looked_back_from(t),
            Self::Never => None,
        }
    }

    /// Looks back further and further until there is a date, then forward to the last one.
    fn looked_back_from(&self, t: Timestamp) -> Option<Occurrence> {
        const HOUR: i64 = 3_600;
        const CYCLE: i64 = 401 * 366 * 24 * HOUR;
        let mut back = HOUR;
        loop {
            let from = plus_seconds(t, -back).unwrap_or(Timestamp::MIN);
            if let Some(first) = self.after(from).filter(|found| found.at < t) {
                return Some(self.last_between(first, t));
            }
            if back > CYCLE || from == Timestamp::MIN {
                return None;
            }
            back *= 4;
        }
    }

    /// The last date before `t`, where `first` is one. Halves the time, so that thousands of dates cost no more than a few.
    fn last_between(&self, first: Occurrence, t: Timestamp) -> Occurrence {
        let (mut last, mut end) = (first, t);
        while let Some(next) = self.after(last.at).filter(|found| found.at < t) {
            last = next;
            let middle = plus_seconds(last.at, seconds_between(last.at, end) / 2).unwrap_or(end);
            match self.after(middle).filter(|found| found.at < t) {
                Some(later) => last = later,
                // None lies between the middle and `t`.
                None => end = middle,
            }
        }
        last
    }
}
