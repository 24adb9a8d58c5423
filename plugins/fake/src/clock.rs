//! A clock that only moves when it is told to.

use cutover_api::{Clock, Span, Stamp};
use tokio::sync::watch;

/// A settable clock. It never reads the real one; everything that waits for it waits for [`FakeClock::set`] or [`FakeClock::advance`].
#[derive(Debug)]
pub struct FakeClock {
    now: watch::Sender<Stamp>,
}

impl FakeClock {
    /// A clock that stands at `at`.
    #[must_use]
    pub fn new(at: Stamp) -> Self {
        Self { now: watch::Sender::new(at) }
    }

    /// Sets it, back as well as forth.
    pub fn set(&self, at: Stamp) {
        self.now.send_replace(at);
    }

    /// Moves it forward by `span`; answers with the new time.
    pub fn advance(&self, span: Span) -> Stamp {
        let mut now = Stamp(0);
        self.now.send_modify(|at| {
            *at = at.plus(span);
            now = *at;
        });
        now
    }

    /// Waits until it stands at `at` or later.
    pub async fn reached(&self, at: Stamp) {
        let mut seen = self.now.subscribe();
        // The sender is borrowed for as long as we wait, so the channel cannot close.
        let _ = seen.wait_for(|now| *now >= at).await;
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Stamp {
        *self.now.borrow()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cutover_api::{Clock, Span, Stamp};

    use super::FakeClock;

    #[tokio::test]
    async fn it_moves_only_when_told_and_wakes_who_waits() {
        let clock = Arc::new(FakeClock::new(Stamp(1_000)));
        assert_eq!(clock.now(), Stamp(1_000));
        let waiter = tokio::spawn({
            let clock = Arc::clone(&clock);
            async move { clock.reached(Stamp(61_000)).await }
        });
        clock.advance(Span::SECOND);
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        assert_eq!(clock.advance(Span::MINUTE), Stamp(62_000));
        waiter.await.expect("woken");
        clock.set(Stamp(5));
        assert_eq!(clock.now(), Stamp(5), "a clock may step back");
    }
}
