//! What is known of one channel.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cutover_api::{Notifier, Span, Stamp};
use cutover_ledger::DeliveryWrite;

use super::parcel::{FEW, Item};

/// A channel that accepts nothing for so long is told on the others.
const FAILING: Span = Span::minutes(15);
/// After it was told that a channel accepts again, a further failure is told so much later at the earliest: one that comes and goes is
/// told once an hour and not at each turn.
const PAIR: Span = Span::HOUR;
/// An alert waits so long for others with its cause, unless little time is left.
const FIRST: Span = Span::seconds(5);
/// Further alerts with a cause that was told once, twice, … are gathered for so long, so that they come as one message.
const GATHER: [Span; 4] = [Span::minutes(2), Span::minutes(5), Span::minutes(15), Span::minutes(30)];
/// What was not told for so long begins anew.
const FORGET: Span = Span::HOUR;
/// After a handful of messages of one kind within an hour, whatever their causes, the next of the kind are gathered for so long.
const BURST: Span = Span::minutes(10);
/// With less time left than this nothing is gathered.
const HASTE: Span = Span::minutes(15);
/// An alert with a clock running against it is tried at least this often: a channel that is up for a minute must get it.
pub(super) const PRESSING: Span = Span::seconds(45);

/// What nobody shares, or nobody may wait for.
const AT_ONCE: [&str; 3] = ["test", "channel-failing", "emergency-report"];

/// Waits after the first, second, … failure; the last one for ever after.
const WAITS: [Span; 6] =
    [Span::seconds(10), Span::seconds(30), Span::minutes(2), Span::minutes(10), Span::minutes(30), Span::HOUR];

/// The wait after `failures` in a row.
pub(super) fn wait(failures: u32, pressing: bool) -> Span {
    let place = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX).min(WAITS.len() - 1);
    if pressing { WAITS[place].min(PRESSING) } else { WAITS[place] }
}

/// What is known of one channel. Only what a note holds outlives a restart.
#[derive(Default)]
pub(super) struct Line {
    /// Something is being sent.
    pub busy: bool,
    /// Failures in a row.
    pub failures: u32,
    /// How often it was served: what comes first takes turns.
    pub turns: u32,
    /// Nothing is sent before this.
    pub until: Stamp,
    /// When it was tried last without success.
    pub tried: Stamp,
    /// Nothing was accepted since.
    pub failing_since: Option<Stamp>,
    /// The day of failing that the other channels were told of.
    pub told_day: Option<i64>,
    /// When the other channels were told that it accepts again.
    pub recovered: Option<Stamp>,
    /// What it said last.
    pub detail: String,
    /// It accepts again: what was put off is due at once.
    pub sweep: bool,
    /// Accepted, and not yet written to the ledger.
    pub unsaved: Vec<DeliveryWrite>,
    /// When a cause was told last, and how often.
    told: BTreeMap<String, (Stamp, usize)>,
    /// When messages of a kind were told.
    kinds: BTreeMap<String, Vec<Stamp>>,
    /// How it was reached last.
    notifier: Option<Arc<dyn Notifier>>,
}

const NOTE: &str = "channel-failing:";

impl Line {
    /// The line that a note tells of.
    pub(super) fn remembered(note: &str, value: &str) -> Option<(String, Self)> {
        let channel = note.strip_prefix(NOTE)?;
        let mut parts = value.split(' ').map(|part| part.parse().ok());
        let mut part = || parts.next().flatten();
        let (failing_since, told_day, recovered) = (part().map(Stamp), part(), part().map(Stamp));
        failing_since.or(recovered)?;
        let detail = String::from("it failed before the last start");
        Some((channel.to_owned(), Self { failing_since, told_day, recovered, detail, ..Self::default() }))
    }

    /// The note that outlives a restart: since when it fails, the day that was told, when it was told to accept again; `-` = never.
    pub(super) fn note(&self, channel: &str) -> (String, String) {
        let word = |value: Option<i64>| value.map_or_else(|| String::from("-"), |value| value.to_string());
        let parts = [self.failing_since.map(|at| at.0), self.told_day, self.recovered.map(|at| at.0)];
        let known = parts.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let value = parts.into_iter().take(known).map(word).collect::<Vec<_>>().join(" ");
        (format!("{NOTE}{channel}"), value)
    }

    /// When the other channels are first told of a failure that began then.
    pub(super) fn told_from(&self, since: Stamp, now: Stamp) -> Stamp {
        let from = since.plus(FAILING);
        self.recovered.filter(|told| *told <= now).map_or(from, |told| from.max(told.plus(PAIR)))
    }

    /// A channel that a reload has built anew is tried at once: it may be mended.
    pub(super) fn reached_by(&mut self, notifier: &Arc<dyn Notifier>) {
        let same = self.notifier.as_ref().is_some_and(|known| Arc::ptr_eq(known, notifier));
        if same {
            return;
        }
        if self.notifier.is_some() {
            self.until = Stamp(0);
            self.sweep = true;
        }
        self.notifier = Some(Arc::clone(notifier));
    }

    /// When the channel may be tried. What has a clock running against it does not wait because something else has failed.
    pub(super) fn waits_until(&self, open: &[Item], now: Stamp) -> Stamp {
        let until = sane(self.until, now);
        if open.iter().any(|item| item.presses(now)) { until.min(self.tried.plus(PRESSING)) } else { until }
    }

    /// When an alert may be sent.
    pub(super) fn not_before(&self, item: &Item, sweep: bool, now: Stamp) -> Stamp {
        let put_off = if sweep { Stamp(0) } else { sane(item.not_before, now) };
        let presses = item.presses(now);
        if presses && item.ends_before(now.plus(HASTE)) || AT_ONCE.contains(&item.message.kind.as_str()) {
            return put_off;
        }
        let gathered = match self.told.get(&item.cause()).filter(|(told, _)| *told <= now) {
            Some((told, times)) => {
                let step = if presses { 0 } else { times.saturating_sub(1).min(GATHER.len() - 1) };
                told.plus(GATHER[step])
            }
            None => sane(item.at.plus(FIRST), now),
        };
        put_off.max(gathered).max(if presses { Stamp(0) } else { self.calm(&item.message.kind, now) })
    }

    /// When a further message of this kind may follow those that were told of late.
    fn calm(&self, kind: &str, now: Stamp) -> Stamp {
        let Some(told) = self.kinds.get(kind) else { return Stamp(0) };
        let recent = || told.iter().filter(|told| **told <= now && now < told.plus(FORGET));
        if recent().count() < FEW { Stamp(0) } else { recent().max().map_or(Stamp(0), |last| last.plus(BURST)) }
    }

    /// A message was accepted that settles these alerts.
    pub(super) fn told(&mut self, items: &[Item], now: Stamp) {
        let causes: BTreeSet<String> = items.iter().map(Item::cause).collect();
        for cause in causes {
            let told = self.told.entry(cause).or_insert((now, 0));
            *told = (now, told.1.saturating_add(1));
        }
        if let Some(item) = items.first() {
            let kind = self.kinds.entry(item.message.kind.clone()).or_default();
            kind.push(now);
            // Only the last few can matter.
            let spare = kind.len().saturating_sub(FEW);
            kind.drain(..spare);
        }
    }

    /// What was told long ago does not count any more.
    pub(super) fn forget(&mut self, now: Stamp) {
        self.told.retain(|_, (told, _)| *told <= now && now < told.plus(FORGET));
        self.kinds.retain(|_, told| told.last().is_some_and(|last| *last <= now && now < last.plus(FORGET)));
    }
}

/// No wait is longer than the longest: one that seems so was reckoned before the clock was set back, and is over.
fn sane(at: Stamp, now: Stamp) -> Stamp {
    if at > now.plus(Span::HOUR) { now } else { at }
}
