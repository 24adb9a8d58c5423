//! What a reload changes, in words.

use std::collections::{BTreeMap, BTreeSet};

use cutover_api::{Span, Table};

use crate::sums::typed;
use crate::{Config, Daemon, Policy, VerifyTable};

/// What changes when `new` takes the place of `old`: one sentence each, `policy my-crm: cadence changes; acts at the next rotation`. No
/// secret is in it: tables hold references, and of them only the keys are named.
#[must_use]
pub fn difference(old: &Config, new: &Config) -> Vec<String> {
    let mut said = daemon(&old.daemon, &new.daemon);
    if old.emergency != new.emergency {
        said.push("emergency: changes; counts for the next order".to_owned());
    }
    let known: Vec<_> = old.policies.values().map(|policy| (policy.name.clone(), policy.identity())).collect();
    let renamed = renames(&known, new);
    policies(old, new, &renamed, &mut said);
    let under_way = "rotations under way keep what they began with";
    said.extend(tables("provider", under_way, &old.providers, &new.providers, |table| {
        (vec![("definition", table.definition.clone()), ("holders", table.holders.join("\n"))], &table.table)
    }));
    said.extend(tables("store", under_way, &old.stores, &new.stores, |table| {
        (vec![("holders", table.holders.join("\n"))], &table.table)
    }));
    said.extend(tables("notify", "counts at once", &old.notify, &new.notify, |table| {
        let severity = table.severity.label().to_owned();
        (vec![("severity", severity), ("holders", table.holders.join("\n"))], &table.table)
    }));
    said
}

/// Policies that go while one with the same provider and params comes: `(old name, new name)`. `known`: name and
/// [`Policy::identity`] of each policy as the ledger has it. Where several could be meant on either side, none is renamed.
#[must_use]
pub fn renames(known: &[(String, String)], config: &Config) -> Vec<(String, String)> {
    let names: BTreeSet<_> = known.iter().map(|(name, _)| name.as_str()).collect();
    let mut gone: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, identity) in known.iter().filter(|(name, _)| !config.policies.contains_key(name)) {
        gone.entry(identity).or_default().push(name);
    }
    let mut come: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for policy in config.policies.values().filter(|policy| !names.contains(policy.name.as_str())) {
        come.entry(policy.identity()).or_default().push(&policy.name);
    }
    let mut pairs: Vec<_> = gone
        .into_iter()
        .filter_map(|(identity, gone)| match (gone.as_slice(), come.get(identity).map(Vec::as_slice)) {
            ([from], Some([to])) => Some(((*from).to_owned(), (*to).to_owned())),
            _ => None,
        })
        .collect();
    pairs.sort();
    pairs
}

fn daemon(old: &Daemon, new: &Daemon) -> Vec<String> {
    let restart = [
        ("name", old.name != new.name),
        ("ledger", old.ledger != new.ledger),
        ("seal", old.seal != new.seal),
        ("control", old.control != new.control),
        ("listen", old.listen != new.listen),
    ];
    let mut said = Vec::new();
    let changed: Vec<_> = restart.iter().filter(|(_, changed)| *changed).map(|(key, _)| *key).collect();
    if !changed.is_empty() {
        let verb = if changed.len() == 1 { "changes" } else { "change" };
        said.push(format!("daemon: {} {verb}; acts at the next start", changed.join(", ")));
    }
    if old.max_in_flight != new.max_in_flight {
        said.push(format!("daemon: max_in_flight changes from {} to {}", old.max_in_flight, new.max_in_flight));
    }
    if old.max_starts_per_hour != new.max_starts_per_hour {
        said.push(format!(
            "daemon: max_starts_per_hour changes from {} to {}",
            old.max_starts_per_hour, new.max_starts_per_hour
        ));
    }
    said
}

fn policies(old: &Config, new: &Config, renamed: &[(String, String)], said: &mut Vec<String>) {
    let from: BTreeMap<_, _> = renamed.iter().map(|(from, to)| (to.as_str(), from.as_str())).collect();
    let left: BTreeSet<_> = renamed.iter().map(|(from, _)| from.as_str()).collect();
    for policy in new.policies.values() {
        let before = from.get(policy.name.as_str()).copied().unwrap_or(&policy.name);
        if before != policy.name {
            said.push(format!("policy {}: was {before}; its history moves along", policy.name));
        }
        match old.policies.get(before) {
            None => said.push(format!("policy {}: is new; its dates count from now on", policy.name)),
            Some(before) => edited(before, policy, said),
        }
    }
    for name in old.policies.keys().filter(|name| !new.policies.contains_key(*name) && !left.contains(name.as_str())) {
        said.push(format!("policy {name}: goes; no key is revoked, its open work goes on"));
    }
}

fn edited(old: &Policy, new: &Policy, said: &mut Vec<String>) {
    let (was, is) = (&old.schedule, &new.schedule);
    let parts = [
        ("provider", old.provider != new.provider),
        ("params", old.params != new.params),
        ("cadence", was.cadence() != is.cadence()),
        ("anchor", was.anchor() != is.anchor()),
        ("timezone", was.timezone() != is.timezone()),
        ("window", was.window() != is.window()),
        ("jitter", was.jitter_seconds() != is.jitter_seconds()),
        ("target", old.targets != new.targets),
        ("redeploy", hooks(old) != hooks(new)),
        ("verify", verifies(old) != verifies(new)),
        ("adopt", old.adopt != new.adopt),
        ("alert", (&old.notify, &old.at) != (&new.notify, &new.at)),
    ];
    for key in parts.iter().filter(|(_, changed)| *changed).map(|(key, _)| key) {
        said.push(format!("policy {}: {key} changes; acts at the next rotation", new.name));
    }
    let asked = [("grace", old.grace, new.grace), ("quiet", old.quiet, new.quiet), ("soak", old.soak, new.soak)];
    for (key, was, is) in asked.into_iter().filter(|(_, was, is)| was != is) {
        said.push(format!(
            "policy {}: {key} changes from {} to {}; acts at the next rotation",
            new.name,
            typed(was),
            typed(is)
        ));
    }
    if old.grace == new.grace && old.grace_mapped != new.grace_mapped {
        let (was, is) = (typed(old.grace_mapped), typed(new.grace_mapped));
        said.push(format!(
            "policy {}: the grace its provider grants changes from {was} to {is}; acts at the next rotation",
            new.name
        ));
    }
    if old.lifetime != new.lifetime {
        let words = |span: Option<Span>| span.map_or_else(|| "none".to_owned(), typed);
        let (was, is) = (words(old.lifetime), words(new.lifetime));
        said.push(format!("policy {}: lifetime changes from {was} to {is}; acts at the next rotation", new.name));
    }
    // These select, they are no part of a rotation's plan.
    for (key, changed) in [("tags", old.tags != new.tags), ("holders", old.holders != new.holders)] {
        if changed {
            said.push(format!("policy {}: {key} change; counts at once", new.name));
        }
    }
}

/// The hooks without the places they stand at.
fn hooks(policy: &Policy) -> Vec<serde_json::Value> {
    policy.redeploy.iter().map(|hook| hook.table.to_json()).collect()
}

/// The verifies without the places they stand at.
fn verifies(policy: &Policy) -> Vec<(&str, Span, Span, &[String], serde_json::Value)> {
    let one = |verify: &VerifyTable| verify.table.to_json();
    policy.verify.iter().map(|v| (v.kind_name.as_str(), v.every, v.hold_for, v.covers.as_slice(), one(v))).collect()
}

/// What the loader itself reads of a table, by key, and the rest.
type Parts<'a> = (Vec<(&'static str, String)>, &'a Table);

/// Tables that come, go or change; `when`: from when on a change counts.
fn tables<T>(
    sort: &str,
    when: &str,
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
    parts: impl Fn(&T) -> Parts<'_>,
) -> Vec<String> {
    let mut said = Vec::new();
    for (name, table) in new {
        let Some(before) = old.get(name) else {
            said.push(format!("{sort} {name}: is new"));
            continue;
        };
        let ((own, rest), (own_before, rest_before)) = (parts(table), parts(before));
        let mut keys = changed(rest_before, rest);
        let differs = own.into_iter().zip(own_before).filter(|(is, was)| is != was);
        keys.extend(differs.map(|((key, _), _)| key.to_owned()));
        if !keys.is_empty() {
            said.push(format!("{sort} {name}: {} changed; {when}", keys.join(", ")));
        }
    }
    said.extend(old.keys().filter(|name| !new.contains_key(*name)).map(|name| format!("{sort} {name}: goes")));
    said
}

/// The keys whose values differ.
fn changed(old: &Table, new: &Table) -> Vec<String> {
    let keys: BTreeSet<_> = old.entries.keys().chain(new.entries.keys()).collect();
    let value = |table: &Table, key: &str| table.get(key).map(cutover_api::Node::to_json);
    keys.into_iter().filter(|key| value(old, key) != value(new, key)).cloned().collect()
}
