//! What will happen when, as far as the schedules and what is recorded of them tell. Nothing is opened, asked or written for it.

use std::collections::{BTreeMap, BTreeSet};

use cutover_api::Stamp;
use cutover_config::{Config, Policy, Selector};
use cutover_schedule::Moved;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};

use super::Engine;
use super::policies::{prospective, timetable};
use super::snapshot::PolicyState;
use super::status::PolicyStatus;
use super::times::{rfc3339, stamp, timestamp};

/// Dates of one policy that are told at most.
pub const MOST: usize = 400;

/// What is known of each policy beside its configuration, by name.
pub type PolicyStates = BTreeMap<String, PolicyState>;

/// What a policy's schedule goes on from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scheduled {
    /// The policy.
    pub policy: String,
    /// What is recorded of it; the key in use is left out.
    pub state: PolicyState,
}

/// The sorts of things that will happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A rotation starts by the schedule.
    Rotation,
    /// The grace of a rotation under way ends.
    GraceEnd,
    /// The clocks of a zone change.
    ClockChange,
}

/// One thing that will happen. Times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coming {
    /// What.
    pub what: What,
    /// When, UTC.
    pub at: String,
    /// The same in the policy's zone, with that moment's offset.
    pub local: String,
    /// The zone's IANA name.
    pub zone: String,
    /// The policy it is about.
    pub policy: Option<String>,
    /// Its provider.
    pub provider: Option<String>,
    /// The rotation under way it is about.
    pub rotation: Option<String>,
    /// A rotation: the date of the calendar that it stands for, UTC. The same however often it is computed.
    pub nominal: Option<String>,
    /// A rotation: why it is not where the calendar has it: `clock-change`, `window`.
    pub moved: Option<String>,
    /// A rotation: the local time comes twice that day; the offset of `local` tells which is meant.
    pub twice: bool,
    /// A rotation: its time is over, and it has not started.
    pub overdue: bool,
    /// A rotation: nothing is recorded of this schedule yet; the date is that of a policy loaded now.
    pub assumed: bool,
    /// In words.
    pub detail: String,
}

/// How far ahead is looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// From.
    pub now: Stamp,
    /// To.
    pub until: Stamp,
    /// A policy without a date up to then is told with its next one.
    pub at_least_one: bool,
}

/// What will happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ahead {
    /// In the order of time.
    pub coming: Vec<Coming>,
    /// The policies that have more dates than are told.
    pub more: Vec<String>,
}

impl Engine {
    /// What will happen with the selected policies; with all of them, where nothing is said.
    #[must_use]
    pub fn ahead(&self, selector: &Selector, reach: Reach) -> Ahead {
        let config = self.shared.config();
        let mut ahead = ahead(&config, &self.shared.policy_states(), selector, reach);
        let zone = |name: &str| config.policies.get(name).map_or(TimeZone::UTC, |policy| policy.schedule.timezone().clone());
        let ends = self.status(selector).into_iter().filter_map(|status| grace_end(&status, &zone(&status.policy), reach));
        ahead.coming.extend(ends);
        sort(&mut ahead.coming);
        ahead
    }

    /// What each policy's schedule goes on from.
    #[must_use]
    pub fn scheduled(&self) -> Vec<Scheduled> {
        let states = self.shared.policy_states().into_iter();
        states.map(|(policy, state)| Scheduled { policy, state: PolicyState { current: None, ..state } }).collect()
    }
}

/// What the schedules of a configuration will do from what is recorded on, as if it was loaded now.
#[must_use]
pub fn ahead(config: &Config, states: &PolicyStates, selector: &Selector, reach: Reach) -> Ahead {
    let now_known = prospective(states, config, reach.now);
    let mut ahead = Ahead::default();
    let mut zones: BTreeMap<String, (TimeZone, Stamp)> = BTreeMap::new();
    let before: BTreeSet<_> = states.values().map(|state| (&state.seed, state.due)).collect();
    for policy in config.policies.values().filter(|policy| selector.is_empty() || selector.selects(policy, config)) {
        let Some(state) = now_known.get(&policy.name) else { continue };
        // Under whichever name it is recorded.
        let recorded = before.contains(&(&state.seed, state.due));
        let dates = rotations(policy, state, !recorded, reach);
        if dates.len() > MOST {
            ahead.more.push(policy.name.clone());
        }
        let dates: Vec<_> = dates.into_iter().take(MOST).collect();
        if let Some((last, _)) = dates.last() {
            let zone = policy.schedule.timezone();
            let seen = zones.entry(zone_name(zone)).or_insert_with(|| (zone.clone(), *last));
            seen.1 = seen.1.max(*last);
        }
        ahead.coming.extend(dates.into_iter().map(|(_, coming)| coming));
    }
    for (zone, last) in zones.values() {
        ahead.coming.extend(clock_changes(zone, reach.now, *last));
    }
    sort(&mut ahead.coming);
    ahead
}

/// The first due date of every policy under this configuration: when to act, RFC 3339.
#[must_use]
pub fn next(config: &Config, states: &PolicyStates, now: Stamp) -> BTreeMap<String, String> {
    let known = prospective(states, config, now).into_iter();
    known.filter_map(|(name, state)| Some((name, rfc3339(state.due?.1)))).collect()
}

fn sort(coming: &mut [Coming]) {
    coming.sort_by(|a, b| (&a.at, a.what, &a.policy).cmp(&(&b.at, b.what, &b.policy)));
}

/// The dates of one policy, one more than [`MOST`] at most.
fn rotations(policy: &Policy, state: &PolicyState, assumed: bool, reach: Reach) -> Vec<(Stamp, Coming)> {
    let Some((nominal, at)) = state.due else { return Vec::new() };
    let dates = timetable(policy, state);
    let zone = policy.schedule.timezone();
    let tell = |nominal: Stamp, at: Stamp, moved: Option<Moved>| {
        let local = timestamp(at).to_zoned(zone.clone());
        let coming = Coming {
            policy: Some(policy.name.clone()),
            provider: Some(policy.provider.clone()),
            nominal: Some(rfc3339(nominal)),
            moved: moved.map(|moved| label(moved).to_owned()),
            twice: comes_twice(&local),
            overdue: at < reach.now,
            assumed,
            ..Coming::new(What::Rotation, &local)
        };
        (at, coming)
    };
    let just_before = timestamp(Stamp(nominal.0.saturating_sub(1)));
    let same = |planned: &cutover_schedule::Planned| stamp(planned.due.nominal) == nominal && stamp(planned.due.at) == at;
    let moved = dates.upcoming(just_before, timestamp(at), 2).into_iter().find(same).and_then(|planned| planned.moved);
    let mut told = Vec::new();
    if at <= reach.until || reach.at_least_one {
        told.push(tell(nominal, at, moved));
    }
    // A date that passes before this one has run is served by it.
    let after = timestamp(at.max(reach.now));
    let following = dates.upcoming(after, timestamp(reach.until), MOST);
    told.extend(following.into_iter().map(|planned| tell(stamp(planned.due.nominal), stamp(planned.due.at), planned.moved)));
    told
}

impl Coming {
    fn new(what: What, local: &Zoned) -> Self {
        Self {
            what,
            at: rfc3339(stamp(local.timestamp())),
            local: local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            zone: zone_name(local.time_zone()),
            policy: None,
            provider: None,
            rotation: None,
            nominal: None,
            moved: None,
            twice: false,
            overdue: false,
            assumed: false,
            detail: String::new(),
        }
    }
}

fn grace_end(status: &PolicyStatus, zone: &TimeZone, reach: Reach) -> Option<Coming> {
    let end: Timestamp = status.grace_end.as_deref()?.parse().ok()?;
    if stamp(end) > reach.until {
        return None;
    }
    Some(Coming {
        policy: Some(status.policy.clone()),
        provider: Some(status.provider.clone()),
        rotation: status.rotation.clone(),
        detail: format!("phase {}; until then the old key can be counted on", status.phase),
        ..Coming::new(What::GraceEnd, &end.to_zoned(zone.clone()))
    })
}

/// Where the clocks of a zone change between two moments.
fn clock_changes(zone: &TimeZone, from: Stamp, until: Stamp) -> Vec<Coming> {
    let mut offset = zone.to_offset(timestamp(from));
    let mut all = Vec::new();
    for change in zone.following(timestamp(from)).take_while(|change| stamp(change.timestamp()) <= until).take(MOST) {
        if change.offset() == offset {
            continue;
        }
        let detail = format!("the clocks change from UTC{offset} to UTC{}", change.offset());
        offset = change.offset();
        all.push(Coming { detail, ..Coming::new(What::ClockChange, &change.timestamp().to_zoned(zone.clone())) });
    }
    all
}

fn zone_name(zone: &TimeZone) -> String {
    zone.iana_name().unwrap_or("UTC").to_owned()
}

fn comes_twice(local: &Zoned) -> bool {
    local.time_zone().to_ambiguous_zoned(local.datetime()).is_ambiguous()
}

const fn label(moved: Moved) -> &'static str {
    match moved {
        Moved::ClockChange => "clock-change",
        Moved::Window => "window",
    }
}
