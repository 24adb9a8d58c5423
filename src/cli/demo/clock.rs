//! The demo's clock: it starts at nine in the morning, and how fast it runs is part of the story.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cutover_api::{Clock, Span, Stamp};
use tokio::sync::watch;

use crate::engine::{EngineClock, WallClock};

/// A second is five minutes: calls are made, and everything has time to answer within spans of minutes.
pub(super) const LIVE: i64 = 300;
/// A second is two minutes: signatures that are good for five minutes are under way.
pub(super) const CALM: i64 = 120;
/// A second is eighty minutes: nothing but polls until something has been quiet for long.
pub(super) const LAPSE: i64 = 4_800;
/// A second is four hours: nothing but waiting.
pub(super) const RUSH: i64 = 14_400;
/// The longest sleep, in real time.
const LONGEST: Duration = Duration::from_secs(10);
/// What [`WallClock::fast`] must run at for its milliseconds to be real microseconds.
const MICROSECONDS: u32 = 1_000;

/// A clock whose speed can be changed while it runs. It never steps.
pub(super) struct DemoClock {
    /// Real time, in microseconds.
    real: Arc<WallClock>,
    start: Stamp,
    pace: watch::Sender<Pace>,
}

#[derive(Clone, Copy)]
struct Pace {
    from_real: Stamp,
    from: Stamp,
    rate: i64,
}

impl Pace {
    fn at(self, real: Stamp) -> Stamp {
        let passed = real.since(self.from_real).0.saturating_mul(self.rate) / i64::from(MICROSECONDS);
        self.from.plus(Span(passed))
    }
}

impl DemoClock {
    /// Starts it at nine o'clock UTC of this day.
    pub(super) fn start() -> Arc<Self> {
        let real = WallClock::fast(MICROSECONDS);
        let today = WallClock::real().now();
        let start = today.minus(Span(today.0.rem_euclid(Span::DAY.0))).plus(Span::hours(9));
        let pace = Pace { from_real: real.now(), from: start, rate: LIVE };
        Arc::new(Self { real, start, pace: watch::Sender::new(pace) })
    }

    /// From now on a real second is so many seconds.
    pub(super) fn run_at(&self, rate: i64) {
        self.pace.send_if_modified(|pace| {
            if pace.rate == rate {
                return false;
            }
            let real = self.real.now();
            *pace = Pace { from_real: real, from: pace.at(real), rate: rate.max(1) };
            true
        });
    }

    /// How long a real span is on this clock, at its present speed.
    pub(super) fn span_of(&self, real: Duration) -> Span {
        let millis = i64::try_from(real.as_millis()).unwrap_or(i64::MAX);
        Span(millis.saturating_mul(self.pace.borrow().rate))
    }
}

impl Clock for DemoClock {
    fn now(&self) -> Stamp {
        let pace = *self.pace.borrow();
        pace.at(self.real.now())
    }
}

#[async_trait]
impl EngineClock for DemoClock {
    async fn sleep_until(&self, until: Stamp) {
        let mut changed = self.pace.subscribe();
        let rate = changed.borrow_and_update().rate;
        let micros = until.since(self.now()).0.saturating_mul(i64::from(MICROSECONDS)) / rate;
        let real = Duration::from_micros(u64::try_from(micros).unwrap_or(0).saturating_add(1));
        tokio::select! {
            () = tokio::time::sleep(real.min(LONGEST)) => {}
            _ = changed.changed() => {}
        }
    }

    fn boot(&self) -> Span {
        self.now().since(self.start)
    }
}
