//! An application: it reads its keys from a `.env` file when it starts, and never stops calling its provider.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cutover_api::{Clock, Secret, Span, Stamp};
use cutover_fake::{Calling, Consumer, Keys, Tally, keys_in_file};
use tokio::sync::Mutex;

/// Between the end of one call and the next.
const PACE: Duration = Duration::from_millis(3);

/// One application.
pub(super) struct App {
    path: PathBuf,
    fields: &'static [&'static str],
    calling: Calling,
    keys: Keys,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    consumer: Option<Consumer>,
    /// Counted by consumers that are gone.
    before: Tally,
    /// Taken off its calls by a person, since then.
    paused: Option<Stamp>,
    paused_for: Span,
    frozen: bool,
}

/// What became of a restart.
pub(super) enum Restart {
    /// It runs with what its file says now.
    Done,
    /// Deployments are frozen: nothing happened.
    Frozen,
}

impl App {
    /// An application that is not started yet. `fields`: the names it reads, in the order it tries them.
    pub(super) fn new(path: PathBuf, fields: &'static [&'static str], calling: Calling, clock: Arc<dyn Clock>) -> Arc<Self> {
        let keys = keys_in_file(&path, fields);
        Arc::new(Self { path, fields, calling, keys, clock, state: Mutex::default() })
    }

    async fn consumer(&self) -> io::Result<Consumer> {
        Consumer::start(self.calling.clone(), Arc::clone(&self.keys), Arc::clone(&self.clock), Some(PACE)).await
    }

    /// Starts it.
    pub(super) async fn start(&self) -> io::Result<()> {
        let consumer = self.consumer().await?;
        self.state.lock().await.consumer = Some(consumer);
        Ok(())
    }

    /// Reads the file again; a pause is over.
    pub(super) async fn restart(&self) -> io::Result<Restart> {
        let mut state = self.state.lock().await;
        if state.frozen {
            return Ok(Restart::Frozen);
        }
        if let Some(since) = state.paused.take() {
            let consumer = self.consumer().await?;
            state.before = state.tally();
            state.consumer = Some(consumer);
            state.paused_for = state.paused_for.plus(self.clock.now().since(since));
        } else if let Some(consumer) = &state.consumer {
            consumer.restart();
        }
        Ok(Restart::Done)
    }

    /// Its calls wait in a queue from now on, until it is restarted. Its health page stays.
    pub(super) async fn pause(&self) {
        let mut state = self.state.lock().await;
        if let Some(consumer) = &mut state.consumer {
            consumer.stop().await;
            state.paused = Some(self.clock.now());
        }
    }

    /// For how long its calls have waited in a queue.
    pub(super) async fn paused_for(&self) -> Span {
        self.state.lock().await.paused_for
    }

    /// Ends it for good.
    pub(super) async fn end(&self) {
        let mut state = self.state.lock().await;
        if let Some(consumer) = &mut state.consumer {
            consumer.stop().await;
        }
        state.before = state.tally();
        state.consumer = None;
    }

    /// It was started and not ended.
    pub(super) async fn runs(&self) -> bool {
        self.state.lock().await.consumer.is_some()
    }

    /// Restarts are refused while it is frozen.
    pub(super) async fn freeze(&self, frozen: bool) {
        self.state.lock().await.frozen = frozen;
    }

    /// Everything counted so far.
    pub(super) async fn tally(&self) -> Tally {
        self.state.lock().await.tally()
    }

    /// Waits until it has made some more calls; not while it is paused.
    pub(super) async fn some_calls(&self) {
        let state = self.state.lock().await;
        if let Some(consumer) = state.consumer.as_ref().filter(|_| state.paused.is_none()) {
            consumer.more_calls(20).await;
        }
    }

    /// The fingerprints of the keys it runs with, in the order it tries them.
    pub(super) async fn fingerprints(&self) -> Vec<String> {
        self.state.lock().await.consumer.as_ref().map(Consumer::fingerprints).unwrap_or_default()
    }

    /// What its file holds: names and fingerprints, for people.
    pub(super) fn file(&self) -> String {
        let text = Secret::new(std::fs::read_to_string(&self.path).unwrap_or_default());
        let value = |field: &&str| {
            let line = text.expose().lines().find_map(|line| line.trim().split_once('=').filter(|(name, _)| name == field))?;
            Some(Secret::new(line.1.trim().trim_matches(['"', '\'']).to_owned()))
        };
        let held = self.fields.iter().filter_map(|field| Some(format!("{field} {}", value(field)?.fingerprint().0)));
        held.collect::<Vec<_>>().join(", ")
    }
}

impl State {
    fn tally(&self) -> Tally {
        let now = self.consumer.as_ref().map(Consumer::tally).unwrap_or_default();
        Tally {
            calls: self.before.calls + now.calls,
            refused: self.before.refused + now.refused,
            failed: self.before.failed + now.failed,
            fell_back: self.before.fell_back + now.fell_back,
            starts: self.before.starts + now.starts,
        }
    }
}
