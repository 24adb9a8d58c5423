//! `/metrics`: the Prometheus text format, version 0.0.4. docs/metrics.md documents every name.
//!
//! Labels are policies, channels, phases, reasons and ends: what the configuration and the program bound. Never an id, a key, a text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cutover_api::Stamp;
use cutover_machine::state::Phase;

use super::Picture;
use crate::cli::words::read;
use crate::engine::PolicyStatus;

/// The content type of the format.
pub(super) const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Series of single policies are given for at most so many: those under way first.
const POLICIES: usize = 10_000;

/// The phases of a rotation under way.
const PHASES: [Phase; 8] =
    [Phase::Preflight, Phase::Mint, Phase::Doubt, Phase::Stage, Phase::Deploy, Phase::Observe, Phase::Settle, Phase::Retire];

/// The reasons for holding that are there from the start, so that an alert rule sees a 0 before it sees a 1.
const REASONS: [&str; 15] = [
    "candidates",
    "credential",
    "doubt",
    "drift",
    "hook",
    "hook-unknown",
    "look",
    "mint-refused",
    "new-key-refused",
    "old-still-accepted",
    "old-still-used",
    "preflight",
    "retire",
    "same-key",
    "store",
];

/// One metric as it is documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// `gauge` or `counter`.
    pub kind: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: "gauge", labels, help }
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: "counter", labels, help }
}

/// Every metric, in the order of the answer.
pub const METRICS: [Metric; 25] = [
    gauge("cutover_build_info", &["version"], "The version that runs; always 1."),
    gauge("cutover_start_time_seconds", &[], "When the daemon was started, in seconds since 1970."),
    gauge("cutover_policies", &[], "Policies, with those that were removed and have open work."),
    gauge("cutover_policies_left_out", &[], "Policies without series of their own: there are more than 10000."),
    gauge("cutover_rotations_in_phase", &["phase"], "Rotations under way, by phase."),
    gauge("cutover_rotations_held", &["reason"], "Rotations that wait for a person, by reason."),
    counter("cutover_rotations_started_total", &[], "Rotations started since the daemon's start."),
    counter("cutover_cutovers_total", &[], "Cutovers since the daemon's start: a new key is proven in use."),
    counter("cutover_doubts_total", &[], "Mints since the daemon's start whose effect was not known at first."),
    counter("cutover_rotations_closed_total", &["end"], "Rotations closed since the daemon's start, by how they ended."),
    gauge("cutover_emergencies_open", &[], "Emergency orders with something left to do."),
    gauge("cutover_clock_frozen", &[], "1: the clock has stepped; nothing starts and no key is ended until it is confirmed."),
    gauge("cutover_config_last_load_successful", &[], "0: the configuration on disk was refused; the one before is in force."),
    gauge(
        "cutover_config_last_load_timestamp_seconds",
        &[],
        "When the configuration in force was loaded, in seconds since 1970.",
    ),
    counter("cutover_config_failed_loads_total", &[], "Reloads that were refused since the daemon's start."),
    gauge("cutover_alerts_waiting", &["channel"], "Alerts that a channel has not accepted yet."),
    gauge("cutover_channel_failing_seconds", &["channel"], "For how long a channel accepts nothing; 0: it accepts."),
    counter(
        "cutover_ledger_transactions_total",
        &[],
        "Transactions of the ledger since the daemon's start; each is one disk barrier.",
    ),
    gauge("cutover_policy_phase", &["policy", "phase"], "1 for the phase a policy is in; idle: no rotation is under way."),
    gauge("cutover_policy_held", &["policy", "reason"], "1 while a policy's rotation waits for a person."),
    gauge("cutover_policy_key_age_seconds", &["policy"], "How old the key in use is, where that is known."),
    gauge("cutover_policy_since_rotation_seconds", &["policy"], "Since the last cutover, where there was one."),
    gauge("cutover_policy_until_due_seconds", &["policy"], "Until the next date; negative: it has passed."),
    gauge(
        "cutover_policy_grace_left_seconds",
        &["policy"],
        "Until the end of the grace, while a rotation has one; negative: it is over.",
    ),
    gauge(
        "cutover_policy_grace_left_ratio",
        &["policy"],
        "The part of the grace that is left, from 1 to 0; below 0: it is over.",
    ),
];

/// The whole answer.
#[must_use]
pub fn text(picture: &Picture) -> String {
    let shown = shown(&picture.policies);
    let mut out = String::with_capacity(8_192 + shown.len() * 400);
    for metric in &METRICS {
        let _written = writeln!(out, "# HELP {} {}\n# TYPE {} {}", metric.name, metric.help, metric.name, metric.kind);
        let mut sample = |labels: &[&str], value: f64| {
            let named: Vec<(&str, &str)> = metric.labels.iter().copied().zip(labels.iter().copied()).collect();
            line(&mut out, metric.name, &named, value);
        };
        match metric.name.strip_prefix("cutover_policy_") {
            Some(what) => shown.iter().for_each(|status| of_policy(what, status, picture.at, &mut sample)),
            None => of_daemon(metric.name, picture, shown.len(), &mut sample),
        }
    }
    out
}

/// The policies that have series of their own.
fn shown(policies: &[PolicyStatus]) -> Vec<&PolicyStatus> {
    let (idle, open): (Vec<_>, Vec<_>) = policies.iter().partition(|status| status.phase == "idle");
    open.into_iter().chain(idle).take(POLICIES).collect()
}

#[expect(clippy::cast_precision_loss, reason = "the format knows only floating point; nothing here comes near 2^53")]
fn of_daemon(name: &str, picture: &Picture, shown: usize, sample: &mut impl FnMut(&[&str], f64)) {
    let count = |of: usize| of as f64;
    let bit = |is: bool| f64::from(u8::from(is));
    let totals = &picture.totals;
    match name {
        "cutover_build_info" => sample(&[&picture.version], 1.0),
        "cutover_start_time_seconds" => sample(&[], seconds(picture.started_at)),
        "cutover_policies" => sample(&[], count(picture.policies.len())),
        "cutover_policies_left_out" => sample(&[], count(picture.policies.len() - shown)),
        "cutover_rotations_in_phase" => {
            for phase in PHASES {
                let label = phase.label();
                sample(&[label], count(picture.policies.iter().filter(|status| status.phase == label).count()));
            }
        }
        "cutover_rotations_held" => {
            let mut held: BTreeMap<&str, usize> = REASONS.iter().map(|reason| (*reason, 0)).collect();
            for one in picture.policies.iter().filter_map(|status| status.held.as_ref()) {
                *held.entry(&one.why).or_default() += 1;
            }
            held.into_iter().for_each(|(reason, n)| sample(&[reason], count(n)));
        }
        "cutover_rotations_started_total" => sample(&[], totals.started as f64),
        "cutover_cutovers_total" => sample(&[], totals.cutovers as f64),
        "cutover_doubts_total" => sample(&[], totals.doubts as f64),
        "cutover_rotations_closed_total" => {
            let ends = [
                ("done", totals.done),
                ("old-left", totals.old_left),
                ("first", totals.first),
                ("abandoned", totals.abandoned),
            ];
            ends.into_iter().for_each(|(end, n)| sample(&[end], n as f64));
        }
        "cutover_emergencies_open" => sample(&[], count(picture.emergencies.len())),
        "cutover_clock_frozen" => sample(&[], bit(picture.frozen)),
        "cutover_config_last_load_successful" => sample(&[], bit(picture.reload_error.is_none())),
        "cutover_config_last_load_timestamp_seconds" => sample(&[], seconds(picture.loaded_at)),
        "cutover_config_failed_loads_total" => sample(&[], picture.failed_reloads as f64),
        "cutover_alerts_waiting" => {
            let waiting = picture.channels.iter().filter_map(|(name, channel)| Some((name, channel.waiting?)));
            waiting.for_each(|(name, waiting)| sample(&[name], count(waiting)));
        }
        "cutover_channel_failing_seconds" => {
            for (name, channel) in &picture.channels {
                let since = channel.failing.as_ref().map_or(0, |(since, _)| picture.at.since(*since).as_seconds().max(1));
                sample(&[name], since as f64);
            }
        }
        "cutover_ledger_transactions_total" => sample(&[], picture.transactions as f64),
        _ => {}
    }
}

#[expect(clippy::cast_precision_loss, reason = "the format knows only floating point; nothing here comes near 2^53")]
fn of_policy(what: &str, status: &PolicyStatus, now: Stamp, sample: &mut impl FnMut(&[&str], f64)) {
    let policy = status.policy.as_str();
    let at = |text: &Option<String>| text.as_deref().and_then(read);
    let value = match what {
        "phase" => return sample(&[policy, &status.phase], 1.0),
        "held" => return status.held.iter().for_each(|held| sample(&[policy, &held.why], 1.0)),
        "key_age_seconds" => status.age_seconds.map(|age| age as f64),
        "since_rotation_seconds" => at(&status.rotated_at).map(|at| now.since(at).as_seconds() as f64),
        "until_due_seconds" => at(&status.next_due).map(|at| at.since(now).as_seconds() as f64),
        "grace_left_seconds" => at(&status.grace_end).map(|at| at.since(now).as_seconds() as f64),
        "grace_left_ratio" => status.grace_percent.map(|gone| (100 - gone) as f64 / 100.0),
        _ => None,
    };
    if let Some(value) = value {
        sample(&[policy], value);
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 stay below 2^53")]
fn seconds(at: Stamp) -> f64 {
    at.0 as f64 / 1_000.0
}

fn line(out: &mut String, name: &str, labels: &[(&str, &str)], value: f64) {
    out.push_str(name);
    for (n, (label, text)) in labels.iter().enumerate() {
        out.push_str(if n == 0 { "{" } else { "," });
        let _written = write!(out, "{label}=\"{}\"", escaped(text));
    }
    if !labels.is_empty() {
        out.push('}');
    }
    let _written = writeln!(out, " {value}");
}

/// A label's value as the format wants it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
