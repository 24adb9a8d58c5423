//! Proof that the drain loop turns: for the watchdog, and for nothing else.

use std::time::Duration;

use tokio::sync::watch;

/// The turns of the drain loop.
pub struct Turns {
    count: watch::Sender<u64>,
    every: watch::Sender<Option<Duration>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { count: watch::Sender::new(0), every: watch::Sender::new(None) }
    }
}

impl Turns {
    /// The loop has got on: it has turned, or ended one piece of work of a long turn.
    pub fn turned(&self) {
        self.count.send_modify(|n| *n += 1);
    }

    /// Changes with every turn.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    /// From its next turn on the loop is to turn at least so often, by the machine's own time, whatever the engine's clock says.
    pub fn at_least_every(&self, span: Duration) {
        self.every.send_replace(Some(span));
    }

    /// Returns when the loop is to turn although nothing is due; never, where nobody watches it.
    pub async fn next(&self) {
        let every = *self.every.borrow();
        match every {
            Some(span) => tokio::time::sleep(span).await,
            None => std::future::pending().await,
        }
    }
}
