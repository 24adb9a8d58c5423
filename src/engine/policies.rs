//! The schedule of every policy: what is due is started, what was missed is reported and run in the next opening.

use std::collections::BTreeMap;

use cutover_api::Stamp;
use cutover_config::{Config, Policy};
use cutover_ledger::{Commit, HistoryEntry};
use cutover_schedule::{Due as Date, Timetable};
use jiff::{Timestamp, Zoned};

use super::shared::Shared;
use super::snapshot::PolicyState;
use super::story::alert_row;
use super::suspend::Suspension;
use super::times::{rfc3339, stamp, timestamp};
use crate::alert;

/// A policy's dates.
pub(super) fn timetable<'a>(policy: &'a Policy, state: &'a PolicyState) -> Timetable<'a> {
    policy.schedule.timetable(&state.seed, timestamp(state.first_loaded), timestamp(state.since))
}

fn date((nominal, at): (Stamp, Stamp)) -> Date {
    Date { nominal: timestamp(nominal), at: timestamp(at) }
}

fn pair(date: Date) -> (Stamp, Stamp) {
    (stamp(date.nominal), stamp(date.at))
}

/// The next dates of a policy, in its zone: the one that is due next first.
#[must_use]
pub fn next_dates(policy: &Policy, state: &PolicyState, limit: usize) -> Vec<Zoned> {
    let Some(due) = state.due.map(date) else { return Vec::new() };
    let first = due.at.to_zoned(policy.schedule.timezone().clone());
    let later = timetable(policy, state).upcoming(due.nominal, Timestamp::MAX, limit);
    let later = later.into_iter().filter(|planned| planned.due.at > due.at).map(|planned| planned.local);
    std::iter::once(first).chain(later).take(limit).collect()
}

/// A policy that is loaded for the first time: nothing that lies before now counts.
fn fresh(policy: &Policy, now: Stamp) -> PolicyState {
    let mut state = PolicyState {
        identity: policy.identity(),
        schedule: policy.schedule.identity(),
        seed: policy.name.clone(),
        first_loaded: now,
        since: now,
        due: None,
        current: None,
        ours: false,
        rotation: None,
        rotated_at: None,
        overdue_told: None,
        suspended: None,
    };
    state.due = timetable(policy, &state).first_due().map(pair);
    state
}

/// An edit of the schedule acts from now on: dates before it do not count, and it never rotates at once.
fn edited(policy: &Policy, state: &PolicyState, now: Stamp) -> PolicyState {
    let mut next = PolicyState { identity: policy.identity(), ..state.clone() };
    if next.due.is_none() && next.schedule == policy.schedule.identity() {
        // It was gone for a while: as a policy that comes, its dates count from now on.
        next.since = now;
        next.due = timetable(policy, &next).next_due(timestamp(now)).map(pair);
    }
    if next.schedule != policy.schedule.identity() {
        next.schedule = policy.schedule.identity();
        next.since = now;
        next.due = timetable(policy, &next).reschedule(state.due.map(date), timestamp(now)).map(pair);
        next.overdue_told = None;
    }
    next
}

/// What would be known of each policy if this configuration was loaded now: nothing is written.
#[must_use]
pub fn prospective(states: &BTreeMap<String, PolicyState>, config: &Config, now: Stamp) -> BTreeMap<String, PolicyState> {
    let known: Vec<(String, String)> = states.iter().map(|(name, state)| (name.clone(), state.identity.clone())).collect();
    let renamed = cutover_config::renames(&known, config);
    let before = |name: &String| states.get(name).or_else(|| states.get(&renamed.iter().find(|(_, to)| to == name)?.0));
    let one = |policy: &Policy| before(&policy.name).map_or_else(|| fresh(policy, now), |state| edited(policy, state, now));
    config.policies.iter().map(|(name, policy)| (name.clone(), one(policy))).collect()
}

/// Brings what is known of the policies in line with a configuration: new ones, edits, renames. One commit; starts nothing.
///
/// # Errors
/// The ledger did not take it.
pub async fn reconcile(shared: &Shared, config: &Config) -> Result<Vec<String>, String> {
    let _all = shared.lock_policies().await;
    let now = shared.clock.now();
    let states = shared.policy_states();
    let known: Vec<(String, String)> = states.iter().map(|(name, state)| (name.clone(), state.identity.clone())).collect();
    let mut commit = Commit::default();
    let mut told = Vec::new();
    let mut moved = Vec::new();
    for (from, to) in cutover_config::renames(&known, config) {
        told.push(format!("policy {from} is named {to} now: its history and its key move along"));
        commit.forget.push(from.clone());
        commit.history.push(HistoryEntry::plain(now, Some(&to), "cutover", "renamed", &serde_json::json!({ "from": from })));
        moved.push((from, to));
    }
    if !moved.is_empty() {
        // The keys move along under the new name: what a policy has had is never taken for fresh.
        let loaded = shared.ledger.load().await.map_err(|error| error.to_string())?;
        for key in loaded.keys {
            if let Some((_, to)) = moved.iter().find(|(from, _)| *from == key.policy) {
                commit.keys.push(cutover_ledger::KeyRow { policy: to.clone(), ..key });
            }
        }
    }
    let mut next = Vec::new();
    for (name, policy) in &config.policies {
        let renamed = moved.iter().find(|(_, to)| to == name).and_then(|(from, _)| states.get(from));
        let state = match states.get(name).or(renamed) {
            Some(state) => edited(policy, state, now),
            None => {
                commit.history.push(HistoryEntry::plain(now, Some(name), "cutover", "policy-loaded", &serde_json::json!({})));
                fresh(policy, now)
            }
        };
        if states.get(name) != Some(&state) {
            commit.policies.push(shared.policy_write(name, &state));
            next.push((name.clone(), state));
        }
    }
    for name in states.keys().filter(|name| !config.policies.contains_key(*name)) {
        if let Some(state) = states.get(name).filter(|state| state.due.is_some() && !moved.iter().any(|(from, _)| from == name))
        {
            // A policy that went keeps what is known of it, and nothing of it is due any more.
            let state = PolicyState { due: None, ..state.clone() };
            commit.policies.push(shared.policy_write(name, &state));
            next.push((name.clone(), state));
        }
    }
    shared.ledger.commit(commit).await.map_err(|error| error.to_string())?;
    for (from, to) in &moved {
        shared.rename(from, to);
    }
    for (name, state) in next {
        shared.put_policy_state(&name, state);
    }
    Ok(told)
}

/// What is to be done about a policy now.
pub enum Call {
    /// Start it for this date.
    Start,
    /// It was missed: it runs at the new time instead, and that is told.
    Missed(Box<PolicyState>),
    /// It has come while the policy is suspended: told once, and overdue afterwards.
    PutOff,
}

/// The policies that are due, and when the next one is.
pub fn due(shared: &Shared, config: &Config, now: Stamp) -> (Vec<(String, Call)>, Stamp) {
    let (names, mut next) = shared.dates(now);
    let mut call = |name: &str| {
        let policy = config.policies.get(name)?;
        let state = shared.policy_state(name).filter(|_| !shared.is_under_way(name))?;
        let at = state.due?;
        if let Some(suspension) = state.suspension(now) {
            next = next.min(suspension.until);
            return (suspension.told != Some(at.0)).then_some(Call::PutOff);
        }
        let dates = timetable(policy, &state);
        if dates.missed(date(at), timestamp(now)) && state.overdue_told != Some(at.0) {
            let caught = dates.catch_up(date(at), timestamp(now)).map(pair);
            return Some(Call::Missed(Box::new(PolicyState { due: caught, overdue_told: Some(at.0), ..state.clone() })));
        }
        Some(Call::Start)
    };
    let calls = names.iter().filter_map(|name| Some((name.to_string(), call(name)?))).collect();
    (calls, next)
}

/// Tells that a date was missed, and moves it; both in one commit.
///
/// # Errors
/// The ledger did not take it.
pub async fn missed(shared: &Shared, policy: &Policy, state: PolicyState, was: Option<(Stamp, Stamp)>) -> Result<(), String> {
    let _one = shared.lock_policy(&policy.name).await;
    // What was decided on may have been started or edited meanwhile.
    let Some(present) = shared.policy_state(&policy.name).filter(|present| present.due == was) else { return Ok(()) };
    let state = PolicyState { due: state.due, overdue_told: state.overdue_told, ..present };
    let now = shared.clock.now();
    let mut commit = Commit::default();
    let will = state.due.map_or(now, |(_, at)| at);
    let was_due = was.map_or(now, |(_, at)| at);
    let told = alert::overdue(&shared.environment(), &policy.name, was_due, will, now);
    commit.alerts.push(alert_row(&told.message, &policy.notify, &shared.channels(), now));
    let facts = serde_json::json!({ "was_due": rfc3339(was_due), "runs_at": rfc3339(will) });
    commit.history.push(HistoryEntry::plain(now, Some(&policy.name), "cutover", "overdue", &facts));
    commit.policies.push(shared.policy_write(&policy.name, &state));
    shared.ledger.commit(commit).await.map_err(|error| error.to_string())?;
    shared.put_policy_state(&policy.name, state);
    shared.alerts_waiting();
    Ok(())
}

/// Tells that a date has come while its policy is suspended. The date stays due: when the suspension is over it is overdue.
///
/// # Errors
/// The ledger did not take it.
pub async fn put_off(shared: &Shared, policy: &Policy) -> Result<(), String> {
    let _one = shared.lock_policy(&policy.name).await;
    let now = shared.clock.now();
    let Some(mut state) = shared.policy_state(&policy.name) else { return Ok(()) };
    let (Some(due), Some(suspension)) = (state.due, state.suspension(now).cloned()) else { return Ok(()) };
    let will =
        timetable(policy, &state).catch_up(date(due), timestamp(suspension.until)).map_or(suspension.until, |at| stamp(at.at));
    let ends = (suspension.until, suspension.by.as_str());
    let told = alert::overdue_suspended(&shared.environment(), &policy.name, due.1, ends, will, now);
    let facts = serde_json::json!({
        "was_due": rfc3339(due.1), "suspended_until": rfc3339(suspension.until), "runs_at": rfc3339(will),
    });
    state.suspended = Some(Suspension { told: Some(due.0), ..suspension.clone() });
    let commit = Commit {
        alerts: vec![alert_row(&told.message, &policy.notify, &shared.channels(), now)],
        history: vec![HistoryEntry::plain(now, Some(&policy.name), "cutover", "put-off", &facts)],
        policies: vec![shared.policy_write(&policy.name, &state)],
        ..Commit::default()
    };
    shared.ledger.commit(commit).await.map_err(|error| error.to_string())?;
    shared.put_policy_state(&policy.name, state);
    shared.alerts_waiting();
    Ok(())
}

/// The state of a policy whose rotation starts now: by the schedule, or by hand.
#[must_use]
pub fn started(policy: &Policy, state: &PolicyState, rotation: &str, scheduled: bool, now: Stamp) -> PolicyState {
    let dates = timetable(policy, state);
    let due = match state.due {
        Some(at) if scheduled => dates.after_run(date(at), timestamp(now)),
        Some(at) => dates.after_rotation(timestamp(now), date(at)),
        None => dates.next_due(timestamp(now)),
    };
    PolicyState { due: due.map(pair), rotation: Some(rotation.to_owned()), overdue_told: None, ..state.clone() }
}
