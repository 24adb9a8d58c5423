//! Calendar arithmetic for rotation schedules: when a policy is due, and where in its window.
//!
//! Pure: no IO, no clock, no state. Time is an argument, zones come from a database the caller hands in, and everything that
//! leaves is a UTC [`jiff::Timestamp`]. What lies beyond the calendar (the years -9999 to 9999) is `None`, never a panic.
//!
//! # From the configuration to a due time
//!
//! 1. [`Schedule::parse`] reads the policy's texts and reports all [`Problem`]s at once.
//! 2. [`Schedule::timetable`] binds it to what the ledger knows: the policy's name when it was first loaded, that time, and the
//!    time its present schedule was first loaded. Dates up to the latter do not count.
//! 3. [`Timetable::next_due`] gives a [`Due`]: the *nominal* date of the calendar and the time to act, `at`. Both are to be kept;
//!    the next one is always computed from `nominal`, never from `at`, so that waiting and jitter cannot pile up.
//!
//! # Dates
//!
//! A span (`1y`, `90d`) is anchored, never chained: date *n* is anchor + *n* × span on the wall clock of the policy's zone. A key
//! that is due on 29 February or on the 31st is due on the last day of a shorter month and comes back to its day afterwards.
//! Years, months, weeks and days are calendar units; hours, minutes and seconds are elapsed time (`1d` keeps its local time over a
//! clock change, `24h` does not).
//!
//! A cron pattern has the five usual fields, read on the wall clock of the policy's zone. Day of month and day of week are
//! alternatives when both are restricted.
//!
//! # Clock changes
//!
//! One rule for spans, cron patterns and windows alike: a local time stands for **the first instant at which the wall clock shows
//! it or something later**. So
//!
//! * a time that the clock skips (a gap) means the instant right after the gap: 02:30 is 03:00 that night. It is not lost, also when
//!   the gap leads into the next day, and several times in one gap are one date;
//! * a time that comes twice (a fold) means its first pass. Nothing is due twice.
//!
//! The one exception: a cron pattern whose hour field names every hour counts hours that pass, not hours of the wall clock. It
//! runs in both passes of a fold and leaves out the hour that a gap skips.
//!
//! An opening of a window is one unbroken stretch, from the first instant of `from` to the first instant of `to`. It never opens
//! twice, and it closes when the clock first shows `to`. Where a gap swallows the whole opening, it begins after the gap and keeps
//! its length.
//!
//! # Windows
//!
//! A date outside the window waits for the next opening. All dates that come to act in one opening only because they waited are one
//! rotation; they join the first date that lies in the opening by itself, if there is one. A date that would lie in the window had
//! a gap not moved it to the very instant the window closes runs shortly before that instant: it is not put off for a week because
//! of the clock.
//!
//! Jitter is drawn from the policy's name and the date, so it is the same at every start. It never leads out of the opening and
//! never reaches the following date.

mod anchor;
mod cadence;
mod cron;
mod dates;
mod draw;
mod problem;
mod schedule;
mod span;
mod timetable;
mod window;
mod zone;

pub use anchor::Anchor;
pub use cadence::Cadence;
pub use cron::CronPattern;
pub use problem::Problem;
pub use schedule::{Schedule, ScheduleText};
pub use span::{BadSpan, CalendarSpan};
pub use timetable::{Due, Moved, Planned, Timetable};
pub use window::{Opening, Window, WindowText};
