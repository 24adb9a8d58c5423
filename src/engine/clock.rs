//! The one place where a clock is read.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use cutover_api::{Clock, Span, Stamp};

/// A clock that can also be waited for.
#[async_trait]
pub trait EngineClock: Clock {
    /// Returns at `until` or earlier, and at the latest after a minute of waiting: the caller compares the wall clock again, so that
    /// suspended time and clock steps neither skip nor delay what is due.
    async fn sleep_until(&self, until: Stamp);

    /// Time since boot, suspended time included; it never steps.
    fn boot(&self) -> Span;

    /// Which boot that counts from; empty = not known.
    fn boot_id(&self) -> String {
        String::new()
    }
}

/// The longest sleep before the wall clock is compared again.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// The machine's own clock, or one that runs faster from a fixed start (for the demonstration).
pub struct WallClock {
    started: Instant,
    origin: Stamp,
    speed: u32,
}

impl WallClock {
    /// The machine's clock.
    #[must_use]
    pub fn real() -> Arc<Self> {
        Self::build(0)
    }

    /// A clock that starts now and runs `speed` times as fast.
    #[must_use]
    pub fn fast(speed: u32) -> Arc<Self> {
        Self::build(speed.max(2))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the engine's clock")]
    fn build(speed: u32) -> Arc<Self> {
        Arc::new(Self { started: Instant::now(), origin: wall(), speed })
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the engine's clock")]
fn wall() -> Stamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Stamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl Clock for WallClock {
    fn now(&self) -> Stamp {
        if self.speed == 0 {
            return wall();
        }
        let elapsed = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        Stamp(self.origin.0.saturating_add(elapsed.saturating_mul(i64::from(self.speed)) / 1_000))
    }
}

#[async_trait]
impl EngineClock for WallClock {
    async fn sleep_until(&self, until: Stamp) {
        let millis = u64::try_from(until.since(self.now()).0).unwrap_or(0);
        let real = match self.speed {
            0 => Duration::from_millis(millis),
            speed => Duration::from_micros(millis.saturating_mul(1_000) / u64::from(speed) + 1),
        };
        tokio::time::sleep(real.min(LONGEST_SLEEP)).await;
    }

    fn boot(&self) -> Span {
        if self.speed > 0 {
            // A fast clock has no other to be compared with than itself.
            return self.now().since(self.origin);
        }
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Span(time.tv_sec.saturating_mul(1_000).saturating_add(time.tv_nsec / 1_000_000))
    }

    fn boot_id(&self) -> String {
        if self.speed > 0 {
            return format!("fast:{}", self.origin.0);
        }
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        id.trim().to_owned()
    }
}
