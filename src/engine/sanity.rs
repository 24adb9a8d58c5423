//! Whether the wall clock can be believed, over restarts too: a clock that has stepped starts nothing and ends no key until a person has
//! confirmed it or it is sane again.

use std::sync::Arc;

use cutover_api::{Span, Stamp};
use cutover_ledger::{AlertRow, Commit, HistoryQuery};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::Shared;
use super::clock::EngineClock;
use super::story::alert_row;
use crate::alert;

/// A step of the clock that is more than this against the boot clock freezes what starts and what ends keys, in milliseconds.
const STEP: i64 = 5 * 60 * 1_000;
/// How often it is looked.
const LOOK: Span = Span::seconds(30);
/// How often it is written down that the clock is still sane.
const NOTED: Span = Span::HOUR;
/// The ledger's note.
const NOTE: &str = "clock";

/// What is known of the clock, as it outlives a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Which boot the boot clock counts from; empty = not known.
    boot_id: String,
    /// The boot clock, in milliseconds.
    boot: i64,
    /// What a right wall clock says, or said, at that moment; after a boot the earliest that it can say.
    wall: i64,
    /// Up to how far beyond that it is believed, in milliseconds.
    ahead: i64,
    /// The step for which everything is frozen, in milliseconds; 0 = it is not.
    step: i64,
    /// When that was told last, by the wall clock.
    told: i64,
}

impl Mark {
    /// The clock as it is now is right.
    pub fn sane(clock: &dyn EngineClock) -> Self {
        Self { boot_id: clock.boot_id(), boot: clock.boot().0, wall: clock.now().0, ahead: STEP, step: 0, told: 0 }
    }

    /// How far the wall clock is from what this mark says it should be.
    pub fn off(&self, clock: &dyn EngineClock) -> i64 {
        let right = self.wall.saturating_add(clock.boot().0.saturating_sub(self.boot));
        clock.now().0.saturating_sub(right)
    }

    /// The wall clock can be believed.
    pub fn holds(&self, clock: &dyn EngineClock) -> bool {
        (-STEP..=self.ahead).contains(&self.off(clock))
    }

    /// It is frozen, and that was told.
    pub const fn told_frozen(&self) -> bool {
        self.step != 0
    }

    /// What an earlier process knew, in this one. `newest`: the last time that the ledger holds beside it.
    ///
    /// In the same boot the boot clock has gone on, and a step shows as in a process that never ended. After another one it is only known
    /// that time has not gone back; a freeze of before is over when the clock shows less than the wrong one could.
    fn recalled(self, clock: &dyn EngineClock, newest: Option<Stamp>) -> Self {
        if !self.boot_id.is_empty() && self.boot_id == clock.boot_id() {
            return self;
        }
        let newest = newest.filter(|_| self.step == 0).map_or(self.wall, |at| at.0.max(self.wall));
        let ahead = if self.step > 0 { self.step.saturating_sub(STEP) } else { i64::MAX };
        Self { boot_id: clock.boot_id(), boot: clock.boot().0, wall: newest, ahead, ..self }
    }

    fn note(&self) -> (String, String) {
        (NOTE.to_owned(), serde_json::to_string(self).unwrap_or_default())
    }
}

/// Takes up what an earlier process knew of the clock. Nothing is started before this.
///
/// # Errors
/// The ledger could not be read.
pub async fn recall(shared: &Shared, notes: &[(String, String)]) -> Result<(), String> {
    let clock = shared.clock.as_ref();
    let known = notes.iter().find(|(name, _)| name == NOTE).and_then(|(_, text)| serde_json::from_str::<Mark>(text).ok());
    let Some(known) = known else { return Ok(()) };
    let last = HistoryQuery { limit: 1, ..HistoryQuery::default() };
    let last = shared.ledger.history(&last).await.map_err(|error| error.to_string())?;
    let mark = known.recalled(clock, last.last().map(|row| row.entry.at));
    let mark = if mark.told_frozen() || !mark.holds(clock) { mark } else { Mark::sane(clock) };
    if !mark.holds(clock) {
        warn!(seconds = mark.off(clock) / 1_000, "the clock is not what the ledger knows: nothing starts and no key is ended");
    }
    shared.mark_clock(mark);
    Ok(())
}

/// Tells when the wall clock has stepped, and thaws when it is sane again or confirmed. The freeze itself is seen at every use, by
/// [`Shared::frozen`]. `at_once`: does not wait before the first look.
pub async fn watch(shared: Arc<Shared>, at_once: bool) {
    let mut first = at_once;
    while !shared.stopping() {
        if !std::mem::take(&mut first) {
            tokio::select! {
                () = shared.clock.sleep_until(shared.clock.now().plus(LOOK)) => {}
                () = shared.confirmed() => {}
                () = shared.shutdown.cancelled() => return,
            }
        }
        look(&shared).await;
    }
}

async fn look(shared: &Shared) {
    let clock = shared.clock.as_ref();
    let (now, mark) = (clock.now(), shared.clock_mark());
    let (off, holds) = (mark.off(clock), mark.holds(clock));
    let environment = shared.environment();
    if shared.take_thaw() && (mark.told_frozen() || !holds) {
        info!("the clock is confirmed");
        let told = alert::clock_thawed(&environment, true, now);
        keep(shared, Mark::sane(clock), Some(&told)).await;
    } else if mark.told_frozen() && holds {
        info!("the clock is sane again");
        let told = alert::clock_thawed(&environment, false, now);
        keep(shared, Mark::sane(clock), Some(&told)).await;
    } else if !holds {
        let again = mark.told_frozen() && (now.0 < mark.told || now.since(Stamp(mark.told)) >= Span::DAY);
        if !mark.told_frozen() || again {
            warn!(
                seconds = off / 1_000,
                "the clock has stepped: nothing starts and no key is ended until it is confirmed or sane again"
            );
            let told = alert::clock_frozen(&environment, off, now);
            keep(shared, Mark { step: off, told: now.0, ..mark }, Some(&told)).await;
        }
    } else {
        // Slow drift (NTP slewing) moves the mark along.
        let sane = Mark::sane(clock);
        let noted = shared.clock_noted();
        if noted.is_none_or(|noted| now < noted || now.since(noted) >= NOTED) {
            keep(shared, sane, None).await;
        } else {
            shared.mark_clock(sane);
        }
    }
}

/// Writes a mark down together with the alert about it. Where that fails everything stays as it was, and the next look tries again.
async fn keep(shared: &Shared, mark: Mark, told: Option<&alert::Composed>) {
    let now = shared.clock.now();
    let row = |told: &alert::Composed| -> AlertRow { alert_row(&told.message, &[], &shared.channels(), now) };
    let commit = Commit { notes: vec![mark.note()], alerts: told.map(row).into_iter().collect(), ..Commit::default() };
    let frozen = mark.told_frozen();
    match shared.ledger.commit(commit).await {
        Ok(()) => {
            shared.mark_clock(mark);
            shared.clock_was_noted(now);
        }
        Err(error) if frozen => warn!(%error, "the alert about the clock could not be kept; it is made again"),
        Err(error) => warn!(%error, "what is known of the clock could not be kept; it is written again"),
    }
    if told.is_some() {
        shared.clock_moved();
        shared.alerts_waiting();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use cutover_api::{Clock, Span, Stamp};

    use super::{Mark, STEP};
    use crate::engine::EngineClock;

    /// A machine: its wall clock, its boot clock, its boot.
    struct Machine(Mutex<(i64, i64, &'static str)>);

    impl Machine {
        fn at(wall: i64, boot: i64, id: &'static str) -> Self {
            Self(Mutex::new((wall, boot, id)))
        }
        fn state(&self) -> (i64, i64, &'static str) {
            *self.0.lock().expect("alive")
        }
    }

    impl Clock for Machine {
        fn now(&self) -> Stamp {
            Stamp(self.state().0)
        }
    }

    #[async_trait]
    impl EngineClock for Machine {
        async fn sleep_until(&self, _: Stamp) {}
        fn boot(&self) -> Span {
            Span(self.state().1)
        }
        fn boot_id(&self) -> String {
            self.state().2.to_owned()
        }
    }

    const YEAR: i64 = 365 * 24 * 3_600_000;
    const HOUR: i64 = 3_600_000;
    const NOW: i64 = 50 * YEAR;

    /// The mark of a sane machine, seen again on another one after a restart.
    fn after(step: i64, then: &Machine) -> bool {
        let mark = Mark { step, ..Mark::sane(&Machine::at(NOW, HOUR, "a")) };
        mark.recalled(then, None).holds(then)
    }

    #[test]
    fn within_one_boot_a_step_shows_over_a_restart_in_both_directions() {
        for (wall, boot, holds) in [
            (NOW + HOUR, 2 * HOUR, true),
            (NOW + 9 * YEAR, HOUR + 9 * YEAR, true),
            (NOW + HOUR + STEP, 2 * HOUR, true),
            (NOW + HOUR + STEP + 1, 2 * HOUR, false),
            (NOW + YEAR, 2 * HOUR, false),
            (NOW, 2 * HOUR, false),
            (NOW - YEAR, 2 * HOUR, false),
        ] {
            assert_eq!(after(0, &Machine::at(wall, boot, "a")), holds, "{wall} {boot}");
            assert_eq!(after(YEAR, &Machine::at(wall, boot, "a")), holds, "frozen before: {wall} {boot}");
        }
    }

    #[test]
    fn after_another_boot_time_has_not_gone_back() {
        for (wall, holds) in [(NOW - STEP, true), (NOW + YEAR, true), (NOW - STEP - 1, false), (0, false)] {
            assert_eq!(after(0, &Machine::at(wall, 7, "b")), holds, "{wall}");
            assert_eq!(after(-YEAR, &Machine::at(wall, 7, "b")), holds, "was back: {wall}");
            assert_eq!(after(0, &Machine::at(wall, 7, "")), holds, "a machine that does not tell its boot: {wall}");
        }
    }

    #[test]
    fn after_another_boot_a_freeze_for_a_leap_ends_only_below_what_the_wrong_clock_shows() {
        for (wall, holds) in
            [(NOW, true), (NOW + HOUR, true), (NOW + YEAR, false), (NOW + YEAR + HOUR, false), (NOW - YEAR, false)]
        {
            assert_eq!(after(YEAR, &Machine::at(wall, 7, "b")), holds, "{wall}");
        }
    }

    #[test]
    fn the_last_entry_of_the_ledger_counts_where_it_is_later() {
        let then = Machine::at(NOW + HOUR, 7, "b");
        let mark = Mark::sane(&Machine::at(NOW, HOUR, "a"));
        assert!(mark.clone().recalled(&then, Some(Stamp(NOW + HOUR))).holds(&then));
        assert!(!mark.recalled(&then, Some(Stamp(NOW + 2 * HOUR))).holds(&then));
    }
}
