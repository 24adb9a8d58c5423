//! The due times of one policy.

use jiff::{Timestamp, Zoned};

use crate::{
    anchor::{Anchor, Dated},
    cadence::Cadence,
    dates::Dates,
    draw::draw,
    schedule::Schedule,
    window::{Opening, Window},
    zone::{Occurrence, just_before, plus_seconds, seconds_between},
};

/// Without a window, a start so many seconds after its due time was missed and is no longer just a busy moment.
const PUNCTUAL_SECONDS: i64 = 15 * 60;
/// A date that a gap moved out of its window runs at most so many seconds before the window closes.
const TAIL_SECONDS: i64 = 30 * 60;

/// One due time. Keep both parts; compute the next one from `nominal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Due {
    /// The date of the calendar that this due time stands for.
    pub nominal: Timestamp,
    /// When to act: the date moved into the window and spread by jitter.
    pub at: Timestamp,
}

/// Why a due time is not where the calendar has it, jitter aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// The clock skips the local time of the date.
    ClockChange,
    /// The window was closed.
    Window,
}

/// A due time as a plan shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The due time.
    pub due: Due,
    /// Its `at` in the policy's zone, with the UTC offset of that moment.
    pub local: Zoned,
    /// Why it differs from the nominal date.
    pub moved: Option<Moved>,
}

/// A schedule bound to one policy and to the time since when it counts. Cheap to make at each use.
#[derive(Clone, Copy, Debug)]
pub struct Timetable<'a> {
    schedule: &'a Schedule,
    seed: &'a str,
    since: Timestamp,
    dates: Dates<'a>,
}

impl<'a> Timetable<'a> {
    pub(crate) fn new(schedule: &'a Schedule, seed: &'a str, first_loaded: Timestamp, since: Timestamp) -> Self {
        let tz = schedule.timezone();
        let dates = match schedule.cadence() {
            Cadence::Cron(cron) => Dates::Cron(cron, tz),
            Cadence::Span(span) => schedule
                .anchor()
                .copied()
                .or_else(|| Anchor::first_loaded(first_loaded, seed, span, tz))
                .map_or(Dates::Never, |anchor| Dates::Span(Dated::new(anchor, *span, tz))),
        };
        Self { schedule, seed, since, dates }
    }

    /// The first due time: its date lies strictly after the present schedule was first loaded.
    #[must_use]
    pub fn first_due(&self) -> Option<Due> {
        self.next_due(self.since)
    }

    /// The due time of the first date strictly after `after`; pass the `nominal` of the one before. `None` when the calendar ends.
    ///
    /// Dates that wait for the same opening are one due time, with the last of them as its nominal date.
    #[must_use]
    pub fn next_due(&self, after: Timestamp) -> Option<Due> {
        self.placed_after(after).map(|(due, _)| due)
    }

    /// The due time that follows a rotation which the schedule started at `started_at` for `due`. Dates that passed meanwhile were
    /// served by that one rotation. A clock that went back gives no date a second time.
    #[must_use]
    pub fn after_run(&self, due: Due, started_at: Timestamp) -> Option<Due> {
        self.next_due(due.nominal.max(started_at))
    }

    /// The due time that follows a rotation by hand at `rotated_at`, when `next` was the one to come.
    ///
    /// It counts for every date that has passed, and for the next one if that is under half a cadence away: half the distance from
    /// the date before it.
    #[must_use]
    pub fn after_rotation(&self, rotated_at: Timestamp, next: Due) -> Option<Due> {
        let next = if next.nominal > rotated_at { next } else { self.next_due(rotated_at)? };
        let cadence = match self.dates.before(next.nominal) {
            Some(previous) => seconds_between(previous.at, next.nominal),
            None => self.dates.after(next.nominal).map_or(0, |following| seconds_between(next.nominal, following.at)),
        };
        let away = seconds_between(rotated_at, next.nominal);
        if away.saturating_mul(2) < cadence { self.next_due(next.nominal) } else { Some(next) }
    }

    /// Whether `due` was missed at `now`: the opening it belongs to is over or, without a window, it is more than 15 minutes late.
    /// A due time that is late by less, or whose window is still open, is simply run.
    #[must_use]
    pub fn missed(&self, due: Due, now: Timestamp) -> bool {
        if now <= due.at {
            return false;
        }
        match self.schedule.window() {
            Some(window) => window.closes_at(due.at, self.schedule.timezone()).is_none_or(|closes| closes <= now),
            None => seconds_between(due.at, now) > PUNCTUAL_SECONDS,
        }
    }

    /// Whether `due` is still what the calendar says: its date has come already, or is a date of this timetable. If not, the zone's
    /// rules were changed by an update of its data: treat it as an edit ([`Self::reschedule`]).
    #[must_use]
    pub fn holds(&self, due: Due, now: Timestamp) -> bool {
        due.nominal <= now || self.dates.from(due.nominal).is_some_and(|date| date.at == due.nominal)
    }

    /// Where a missed `due` is made up for, seen from `now`: in the opening that is open or comes next, spread by jitter. However
    /// many dates were missed it is one due time, whose nominal date is the last of them. If the window is closed and the next
    /// regular date lies in the opening that comes, that one stands for all.
    ///
    /// Keep the result in place of `due`: asked again later, the answer is later too.
    #[must_use]
    pub fn catch_up(&self, due: Due, now: Timestamp) -> Option<Due> {
        let last = plus_seconds(now, 1).and_then(|soon| self.dates.before(soon)).map(|date| date.at).filter(|at| *at <= now);
        let nominal = last.map_or(due.nominal, |last| last.max(due.nominal));
        let Some(window) = self.schedule.window() else {
            return self.spread(now, None, nominal, now);
        };
        let opening = window.opening(now, self.schedule.timezone())?;
        if opening.opens <= now {
            return self.spread(now, Some(opening), nominal, now);
        }
        if let Some(regular) = self.next_due(now).filter(|regular| regular.at < opening.closes) {
            return Some(regular);
        }
        self.spread(opening.opens, Some(opening), nominal, now)
    }

    /// The due time after an edit at `edited_at`, on the timetable of the new schedule (whose `since` is the edit). `pending` is the
    /// due time under the old schedule.
    ///
    /// Dates before the edit do not count, so an edit makes nothing due at once. A date that had already come and was still waiting
    /// for its opening or its jitter is not forgotten: it is placed anew.
    #[must_use]
    pub fn reschedule(&self, pending: Option<Due>, edited_at: Timestamp) -> Option<Due> {
        match pending {
            Some(due) if due.nominal <= edited_at => self.catch_up(due, edited_at),
            _ => self.next_due(edited_at),
        }
    }

    /// The due times after `from` and up to `until`, `limit` at most, as a plan shows them. A date that came before `from` and still
    /// waits is not among them: the caller holds it.
    #[must_use]
    pub fn upcoming(&self, from: Timestamp, until: Timestamp, limit: usize) -> Vec<Planned> {
        let mut after = from;
        let mut all = Vec::new();
        while all.len() < limit {
            let Some((due, moved)) = self.placed_after(after) else { break };
            if due.at > until {
                break;
            }
            after = due.nominal;
            if due.at > from {
                all.push(Planned { due, local: due.at.to_zoned(self.schedule.timezone().clone()), moved });
            }
        }
        all
    }

    fn placed_after(&self, after: Timestamp) -> Option<(Due, Option<Moved>)> {
        let mut after = after.max(self.since);
        loop {
            let date = self.dates.after(after)?;
            let clock = date.in_gap.then_some(Moved::ClockChange);
            let Some(window) = self.schedule.window() else {
                return Some((self.spread(date.at, None, date.at, date.at)?, clock));
            };
            let opening = window.opening(date.at, self.schedule.timezone())?;
            if opening.opens <= date.at {
                return Some((self.spread(date.at, Some(opening), date.at, date.at)?, clock));
            }
            if let Some(closed) = self.closed_by_gap(window, date) {
                if self.dates.from(closed.opens).is_some_and(|first| first.at < date.at) {
                    // The gap pushed it out of an opening that has a date of its own: that one stands for both.
                    after = date.at;
                    continue;
                }
                return Some((self.before_closing(closed, date.at)?, clock));
            }
            return self.waiting(window, opening, date);
        }
    }

    /// `date` comes before `opening`: the due time that stands for all that act in that opening only because they wait.
    fn waiting(&self, window: &Window, opening: Opening, date: Occurrence) -> Option<(Due, Option<Moved>)> {
        if let Some(first) = self.dates.from(opening.opens) {
            let clock = first.in_gap.then_some(Moved::ClockChange);
            if first.at < opening.closes {
                return Some((self.spread(first.at, Some(opening), first.at, first.at)?, clock));
            }
            if self.closed_by_gap(window, first) == Some(opening) {
                return Some((self.before_closing(opening, first.at)?, clock));
            }
        }
        let last = self.dates.before(opening.opens).unwrap_or(date);
        Some((self.spread(opening.opens, Some(opening), last.at, last.at)?, Some(Moved::Window)))
    }

    /// The opening that would have held `date`, had a gap not moved it to the instant at which that opening closes.
    fn closed_by_gap(&self, window: &Window, date: Occurrence) -> Option<Opening> {
        if !date.in_gap {
            return None;
        }
        let before = just_before(date.at);
        window.opening(before, self.schedule.timezone()).filter(|opening| opening.opens <= before && opening.closes == date.at)
    }

    fn before_closing(&self, opening: Opening, nominal: Timestamp) -> Option<Due> {
        let tail = (seconds_between(opening.opens, opening.closes) / 2).min(TAIL_SECONDS);
        self.spread(plus_seconds(opening.closes, -tail)?, Some(opening), nominal, nominal)
    }

    /// `place` plus a drawn part of what is smallest: the jitter, the rest of the opening, the time to the date that follows `after`.
    fn spread(&self, place: Timestamp, opening: Option<Opening>, nominal: Timestamp, after: Timestamp) -> Option<Due> {
        let mut room = self.schedule.jitter_seconds();
        if room > 0 {
            let following = self.dates.after(after).map(|date| date.at);
            for end in opening.map(|opening| opening.closes).into_iter().chain(following) {
                room = room.min(seconds_between(place, just_before(end)));
            }
        }
        let at = plus_seconds(place, draw(self.seed, "jitter", nominal.as_second(), room.max(0)))?;
        Some(Due { nominal, at })
    }
}
