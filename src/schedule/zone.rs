//! Local times and the instants they stand for.

use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};

/// An instant of a schedule, and whether its local time is one that the clock skips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Occurrence {
    pub(crate) at: Timestamp,
    pub(crate) in_gap: bool,
}

/// The first instant at which the wall clock of `tz` shows `civil` or something later.
pub(crate) fn first_instant(tz: &TimeZone, civil: DateTime) -> Option<Occurrence> {
    match tz.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
            Some(Occurrence { at: offset.to_timestamp(civil).ok()?, in_gap: false })
        }
        AmbiguousOffset::Gap { after, .. } => {
            // Read with the offset that holds after the gap, a skipped time lies before the change.
            let before_change = after.to_timestamp(civil).ok()?;
            Some(Occurrence { at: tz.following(before_change).next()?.timestamp(), in_gap: true })
        }
    }
}

/// How the clock of a zone is changed, in seconds, over the years 2020 to 2045.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shifts {
    /// The furthest it is put forward.
    pub(crate) forward: i64,
    /// The furthest that it is moved beside whole hours.
    pub(crate) odd: i64,
}

impl Shifts {
    pub(crate) fn of(tz: &TimeZone) -> Self {
        const FROM: i64 = 1_577_836_800;
        const UNTIL: i64 = 2_398_377_600;
        let mut shifts = Self::default();
        let Ok(from) = Timestamp::from_second(FROM) else { return shifts };
        let mut offset = tz.to_offset(from);
        for change in tz.following(from).take_while(|change| change.timestamp().as_second() < UNTIL) {
            let shift = i64::from(change.offset().seconds()) - i64::from(offset.seconds());
            shifts.forward = shifts.forward.max(shift);
            shifts.odd = shifts.odd.max(shift.abs() % 3_600);
            offset = change.offset();
        }
        shifts
    }
}

/// The instant one nanosecond earlier: makes an exclusive bound inclusive.
pub(crate) fn just_before(t: Timestamp) -> Timestamp {
    t.checked_sub(jiff::SignedDuration::from_nanos(1)).unwrap_or(Timestamp::MIN)
}

/// `t` moved by whole seconds.
pub(crate) fn plus_seconds(t: Timestamp, seconds: i64) -> Option<Timestamp> {
    t.checked_add(jiff::SignedDuration::from_secs(seconds)).ok()
}

/// Whole seconds from `from` to `to`, rounded down.
pub(crate) fn seconds_between(from: Timestamp, to: Timestamp) -> i64 {
    let nanos = to.as_nanosecond() - from.as_nanosecond();
    i64::try_from(nanos.div_euclid(1_000_000_000)).unwrap_or(i64::MAX)
}
