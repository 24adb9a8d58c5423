//! Empties the outbox: every alert reaches every one of its channels, at least once, however long a channel is away.
//!
//! It works from the ledger alone, so a restart loses nothing: what was not seen accepted is sent again. What it keeps in memory (how
//! often a channel failed in a row) only spares a channel that is down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cutover_api::{Clock, Message, Span, Stamp};
use cutover_ledger::{AlertRow, Commit, DeliveryResult, DeliveryRow, DeliveryWrite, Ledger};
use tokio::sync::{OnceCell, oneshot};
use tokio::task::JoinSet;
use tracing::{error, warn};

use super::lane::{Busy, lane};
use super::line::Line;
use super::parcel::{Item, Read, Turn, overtaken, parcels};
use super::plain::channel_failing;
use super::{Channels, Composed};

/// A pass does not wait longer than this for a channel; the channel goes on by itself, and the others are served by the next pass.
const PATIENCE: Duration = Duration::from_secs(10);
/// After this the next pass looks at a channel that was still sending.
const GLANCE: Span = Span::seconds(10);

/// When the outbox is to be looked at again.
struct Pause(Stamp);

impl Pause {
    fn sooner(&mut self, at: Stamp) {
        self.0 = self.0.min(at);
    }
}

/// A channel that accepts nothing at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The channel.
    pub channel: String,
    /// Since when.
    pub since: Stamp,
    /// What it said last.
    pub detail: String,
}

/// Carries alerts from the ledger to the channels.
pub struct Courier {
    shared: Arc<Shared>,
    lanes: Mutex<JoinSet<()>>,
    read: Mutex<Read>,
    stands: Box<dyn Fn(&Message) -> bool + Send + Sync>,
}

/// What a pass and the channels' lanes share.
pub(super) struct Shared {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) clock: Arc<dyn Clock>,
    channels: Box<dyn Fn() -> Channels + Send + Sync>,
    pub(super) environment: String,
    lines: Mutex<BTreeMap<String, Line>>,
    remembered: OnceCell<()>,
}

impl Shared {
    /// What is known of the channels.
    pub(super) fn lines(&self) -> MutexGuard<'_, BTreeMap<String, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An alert for every channel but one.
    pub(super) fn for_others(&self, composed: &Composed, but: &str, at: Stamp) -> Option<AlertRow> {
        let channels = (self.channels)();
        let others: Vec<String> = channels.iter().map(|(name, _)| name.clone()).filter(|name| name != but).collect();
        let takes =
            |name: &&String| channels.channel(name).is_some_and(|channel| channel.severity <= composed.message.severity);
        let chosen: Vec<String> = others.iter().filter(takes).cloned().collect();
        // That a channel is silent must not itself be lost to a channel's taste.
        let chosen = if chosen.is_empty() { others } else { chosen };
        (!chosen.is_empty()).then(|| alert(&composed.message, chosen, at))
    }
}

fn alert(message: &Message, channels: Vec<String>, at: Stamp) -> AlertRow {
    AlertRow { id: message.id.clone(), at, message: serde_json::to_string(message).unwrap_or_default(), channels }
}

impl Courier {
    /// A courier over this ledger; `channels` is asked at every pass, so that a reload counts at once.
    pub fn new(
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        channels: impl Fn() -> Channels + Send + Sync + 'static,
        environment: impl Into<String>,
    ) -> Self {
        let shared = Shared {
            ledger,
            clock,
            channels: Box::new(channels),
            environment: environment.into(),
            lines: Mutex::default(),
            remembered: OnceCell::new(),
        };
        Self { shared: Arc::new(shared), lanes: Mutex::default(), read: Mutex::default(), stands: Box::new(|_| true) }
    }

    /// Asks `stands`, of an alert that could not be told for long, whether what it tells of still is so. What is not is told for the
    /// record, all of it in one message.
    #[must_use]
    pub fn asking(mut self, stands: impl Fn(&Message) -> bool + Send + Sync + 'static) -> Self {
        self.stands = Box::new(stands);
        self
    }

    /// The channels that accept nothing at present, by name.
    #[must_use]
    pub fn troubles(&self) -> Vec<Trouble> {
        let lines = self.shared.lines();
        let trouble = |(channel, line): (&String, &Line)| {
            Some(Trouble { channel: channel.clone(), since: line.failing_since?, detail: line.detail.clone() })
        };
        lines.iter().filter_map(trouble).collect()
    }

    /// One pass over the outbox. Every channel with something due is served on its own; the pass ends when all of them are through, at
    /// the latest after 10 seconds, while a slow channel goes on by itself. Returns when the next pass is due
    /// ([`Stamp::NEVER`]: nothing waits); an alert that is committed is due at once. Passes do not overlap. Dropping the courier ends
    /// what is under way; it is sent again after the next start.
    ///
    /// # Errors
    /// The ledger could not be read, in its own words: nothing was sent by this pass, and the next one may follow in some seconds.
    pub async fn deliver(&self) -> Result<Stamp, String> {
        let now = self.shared.clock.now();
        self.remember().await?;
        let rows = self.shared.ledger.open_deliveries().await.map_err(|error| error.to_string())?;
        let channels = (self.shared.channels)();
        let mut pause = Pause(Stamp::NEVER);
        let mut commit = Commit::default();
        let mut started = Vec::new();
        for (name, items) in self.by_channel(rows) {
            let Some(channel) = channels.channel(&name) else {
                move_on(&channels, &name, &items, now, &mut commit, &mut pause);
                continue;
            };
            self.raise(&name, now, &mut commit, &mut pause);
            let due = self.due(&name, &channel.notifier, items, now, &mut commit, &mut pause);
            let Some((due, turn)) = due else { continue };
            let busy = Busy::new(Arc::clone(&self.shared), name.clone());
            let (done, through) = oneshot::channel();
            let run = lane(Arc::clone(&self.shared), name, Arc::clone(&channel.notifier), parcels(due, now, turn));
            self.lanes.lock().unwrap_or_else(PoisonError::into_inner).spawn(async move {
                let next = run.await;
                drop(busy);
                let _ = done.send(next);
            });
            started.push(through);
        }
        self.settle(commit, &mut pause, now).await;
        self.wait(started, &mut pause).await;
        Ok(pause.0)
    }

    fn by_channel(&self, rows: Vec<DeliveryRow>) -> BTreeMap<String, Vec<Item>> {
        let mut by_channel: BTreeMap<String, Vec<Item>> = BTreeMap::new();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        for (channel, item) in read.items(rows, &self.shared.environment) {
            by_channel.entry(channel).or_default().push(item);
        }
        by_channel
    }

    /// What was known of failing channels before the last stop, once.
    async fn remember(&self) -> Result<(), String> {
        let remembered = self.shared.remembered.get_or_try_init(|| async {
            let loaded = self.shared.ledger.load().await.map_err(|error| error.to_string())?;
            let mut lines = self.shared.lines();
            for (note, value) in &loaded.notes {
                if let Some((channel, line)) = Line::remembered(note, value) {
                    lines.insert(channel, line);
                }
            }
            Ok(())
        });
        remembered.await.copied()
    }

    /// Tells the other channels of one that has failed for long, once a day.
    fn raise(&self, name: &str, now: Stamp, commit: &mut Commit, pause: &mut Pause) {
        let mut lines = self.shared.lines();
        let Some(line) = lines.get_mut(name) else { return };
        let Some(since) = line.failing_since else { return };
        let from = line.told_from(since, now);
        if line.told_day.is_none() && now < from {
            pause.sooner(from);
            return;
        }
        let day = now.since(since).0 / Span::DAY.0;
        if line.told_day == Some(day) {
            return;
        }
        line.told_day = Some(day);
        let note = line.note(name);
        let composed = channel_failing(&self.shared.environment, name, &line.detail, since, now);
        let detail = line.detail.clone();
        drop(lines);
        commit.notes.push(note);
        let told = self.shared.for_others(&composed, name, now);
        if told.is_none() {
            error!(channel = name, detail, "a channel accepts no alerts, and there is no other to say so: nobody is told");
        }
        commit.alerts.extend(told);
    }

    /// What a channel is to be sent now; `None` = nothing, or it is still sending.
    fn due(
        &self,
        name: &str,
        notifier: &Arc<dyn cutover_api::Notifier>,
        items: Vec<Item>,
        now: Stamp,
        commit: &mut Commit,
        pause: &mut Pause,
    ) -> Option<(Vec<Item>, Turn)> {
        let mut lines = self.shared.lines();
        let line = lines.entry(name.to_owned()).or_default();
        if line.busy {
            pause.sooner(now.plus(GLANCE));
            return None;
        }
        line.reached_by(notifier);
        // Accepted by the channel, but not yet by the ledger: never sent twice for that.
        commit.deliveries.extend(line.unsaved.iter().cloned());
        let gone = overtaken(&items);
        let write = |alert: &String| DeliveryWrite {
            alert: alert.clone(),
            channel: name.to_owned(),
            result: DeliveryResult::Dropped(now),
        };
        commit.deliveries.extend(gone.iter().map(write));
        let saved: BTreeSet<&String> = line.unsaved.iter().map(|write| &write.alert).collect();
        let open: Vec<Item> =
            items.into_iter().filter(|item| !gone.contains(&item.alert) && !saved.contains(&item.alert)).collect();
        if open.is_empty() {
            return None;
        }
        let until = line.waits_until(&open, now);
        if until > now {
            pause.sooner(until);
            return None;
        }
        let sweep = std::mem::take(&mut line.sweep);
        line.forget(now);
        let mut due = Vec::new();
        for mut item in open {
            item.over = item.is_late(now) && !(self.stands)(&item.message);
            let from = line.not_before(&item, sweep, now);
            if from <= now { due.push(item) } else { pause.sooner(from) }
        }
        if due.is_empty() {
            return None;
        }
        line.busy = true;
        line.turns = line.turns.wrapping_add(1);
        Some((due, if line.turns.is_multiple_of(2) { Turn::LeastTried } else { Turn::MostSevere }))
    }

    async fn settle(&self, commit: Commit, pause: &mut Pause, now: Stamp) {
        if commit.deliveries.is_empty() && commit.alerts.is_empty() && commit.notes.is_empty() {
            return;
        }
        let saved: BTreeSet<(String, String)> =
            commit.deliveries.iter().map(|write| (write.channel.clone(), write.alert.clone())).collect();
        let raised = !commit.alerts.is_empty();
        match self.shared.ledger.commit(commit).await {
            Ok(()) => {
                for (name, line) in self.shared.lines().iter_mut() {
                    line.unsaved.retain(|write| !saved.contains(&(name.clone(), write.alert.clone())));
                }
                if raised {
                    pause.sooner(now);
                }
            }
            Err(error) => {
                warn!(%error, "what became of alerts is not written; it is written with the next pass");
                for line in self.shared.lines().values_mut() {
                    line.told_day = None;
                }
                pause.sooner(now.plus(GLANCE));
            }
        }
    }

    /// Waits for the channels that were started, for a while.
    async fn wait(&self, started: Vec<oneshot::Receiver<Option<Stamp>>>, pause: &mut Pause) {
        let all = async {
            for through in started {
                if let Ok(Some(next)) = through.await {
                    pause.sooner(next);
                }
            }
        };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            pause.sooner(self.shared.clock.now().plus(GLANCE));
        }
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        while lanes.try_join_next().is_some() {}
    }
}

/// A channel that the configuration no longer has: what waited for it goes to those that there are.
fn move_on(channels: &Channels, gone: &str, items: &[Item], now: Stamp, commit: &mut Commit, pause: &mut Pause) {
    for item in items {
        let mut to = channels.chosen(&[], item.message.severity);
        if to.is_empty() {
            to = channels.iter().map(|(name, _)| name.clone()).collect();
        }
        if to.is_empty() {
            // Nobody to tell: it waits for a configuration with a channel.
            pause.sooner(now.plus(Span::HOUR));
            continue;
        }
        let moved = AlertRow { id: format!("{}/moved", item.alert), ..alert(&item.message, to, item.at) };
        commit.alerts.push(moved);
        let result = DeliveryResult::Dropped(now);
        commit.deliveries.push(DeliveryWrite { alert: item.alert.clone(), channel: gone.to_owned(), result });
    }
}
