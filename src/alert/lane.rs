//! One channel's way through its parcels, one after the other.

use std::sync::Arc;
use std::time::Duration;

use cutover_api::{Notifier, NotifyError, Stamp};
use cutover_ledger::{Commit, DeliveryResult, DeliveryWrite};
use tracing::warn;

use super::courier::Shared;
use super::line::{PRESSING, wait};
use super::parcel::{Item, Parcel};
use super::plain::channel_recovered;

/// One message is given up for now after this; a notifier's own time-out comes first.
const SEND: Duration = Duration::from_secs(120);
/// After so many failures in a row the channel is left alone for a while.
const IN_A_ROW: u32 = 2;

/// Marks a channel as sending, until it is dropped: however a lane ends, the channel is served again.
pub(super) struct Busy {
    shared: Arc<Shared>,
    channel: String,
}

impl Busy {
    pub(super) const fn new(shared: Arc<Shared>, channel: String) -> Self {
        Self { shared, channel }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(line) = self.shared.lines().get_mut(&self.channel) {
            line.busy = false;
        }
    }
}

/// Sends the parcels. Returns when the channel is to be looked at again, if something is left.
pub(super) async fn lane(
    shared: Arc<Shared>,
    channel: String,
    notifier: Arc<dyn Notifier>,
    parcels: Vec<Parcel>,
) -> Option<Stamp> {
    let mut next = None;
    let mut sooner = |at: Stamp| next = Some(next.map_or(at, |next: Stamp| next.min(at)));
    let began = shared.clock.now();
    // What has a clock running against it does not wait because something else has failed.
    let presses = parcels.iter().flat_map(|parcel| &parcel.items).any(|item| item.presses(began));
    let at_last = |at: Stamp, now: Stamp| if presses { at.min(now.plus(PRESSING)) } else { at };
    // A channel that is known to fail is tried once, another one twice: the first message may be one that it never takes.
    let mut in_a_row = u32::from(shared.lines().get(&channel).is_some_and(|line| line.failures > 0));
    for parcel in parcels {
        if in_a_row >= IN_A_ROW {
            // What is left stays due; the line itself waits.
            let until = shared.lines().get(&channel).map_or(Stamp(0), |line| line.until);
            sooner(at_last(until, shared.clock.now()));
            break;
        }
        let told = tokio::time::timeout(SEND, notifier.tell(&parcel.message)).await.unwrap_or_else(|_| Err(late()));
        let now = shared.clock.now();
        match told {
            Ok(()) => {
                in_a_row = 0;
                if accepted(&shared, &channel, &parcel.items, now).await {
                    sooner(now);
                }
            }
            Err(error) => {
                in_a_row += 1;
                sooner(at_last(refused(&shared, &channel, &parcel.items, &error, now).await, now));
            }
        }
    }
    next
}

fn late() -> NotifyError {
    NotifyError { label: "timeout", detail: format!("not accepted within {} seconds", SEND.as_secs()), permanent: false }
}

fn writes(channel: &str, items: &[Item], result: impl Fn(&Item) -> DeliveryResult) -> Vec<DeliveryWrite> {
    let write = |item: &Item| DeliveryWrite { alert: item.alert.clone(), channel: channel.to_owned(), result: result(item) };
    items.iter().map(write).collect()
}

/// Returns whether the channel had failed before, so that what was put off is due now.
async fn accepted(shared: &Shared, channel: &str, items: &[Item], now: Stamp) -> bool {
    let mut commit = Commit { deliveries: writes(channel, items, |_| DeliveryResult::Accepted(now)), ..Commit::default() };
    let mended = {
        let mut lines = shared.lines();
        let line = lines.entry(channel.to_owned()).or_default();
        line.failures = 0;
        line.until = Stamp(0);
        line.told(items, now);
        let since = line.failing_since.take();
        let told = line.told_day.take().is_some();
        if told {
            line.recovered = Some(now);
        }
        if since.is_some() {
            line.sweep = true;
            commit.notes.push(line.note(channel));
        }
        since.map(|since| (since, told))
    };
    if let Some((since, true)) = mended {
        let composed = channel_recovered(&shared.environment, channel, since, now);
        commit.alerts.extend(shared.for_others(&composed, channel, now));
    }
    let again = commit.deliveries.clone();
    if let Err(error) = shared.ledger.commit(commit).await {
        warn!(channel, %error, "an alert was accepted and that is not written; it is written with the next pass");
        if let Some(line) = shared.lines().get_mut(channel) {
            line.unsaved.extend(again);
        }
        return true;
    }
    mended.is_some()
}

/// Returns when to try again.
async fn refused(shared: &Shared, channel: &str, items: &[Item], error: &NotifyError, now: Stamp) -> Stamp {
    warn!(channel, label = error.label, permanent = error.permanent, alerts = items.len(), "an alert was not accepted");
    let pressing = !error.permanent && items.iter().any(|item| item.presses(now));
    let failures = if error.permanent { u32::MAX } else { 0 };
    let again = |item: &Item| now.plus(wait(failures.max(item.tries.saturating_add(1)), pressing));
    let mut commit =
        Commit { deliveries: writes(channel, items, |item| DeliveryResult::Again(again(item))), ..Commit::default() };
    let until = {
        let mut lines = shared.lines();
        let line = lines.entry(channel.to_owned()).or_default();
        line.failures = line.failures.saturating_add(1);
        line.tried = now;
        line.detail = error.to_string();
        // One message that this channel never takes must not keep the others from it.
        let only_this = error.permanent && line.failures < IN_A_ROW;
        line.until = if only_this { now } else { now.plus(wait(line.failures, pressing)) };
        if line.failing_since.is_none() {
            line.failing_since = Some(now);
            commit.notes.push(line.note(channel));
        }
        line.until
    };
    if let Err(error) = shared.ledger.commit(commit).await {
        warn!(channel, %error, "a try is not written");
    }
    let earliest = items.iter().map(again).min().unwrap_or(until);
    earliest.max(until)
}
