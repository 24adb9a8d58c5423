//! The verbs that look ahead, at providers' lists, and at the ledger as a whole. None of them rotates anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cutover_config::{Config, Selector};
use cutover_ledger::{Commit, HistoryEntry};
use jiff::{Timestamp, Zoned};
use serde_json::Value;
use tracing::info;

use super::server::Items;
use super::verbs::{Verbs, value};
use super::weigh::{RotationCost, facts};
use super::wire::{Planned, Refused};
use crate::catalog::Catalog;
use crate::engine::ahead;
use crate::engine::ahead::{Ahead, Reach, What};
use crate::engine::times::{rfc3339, stamp, timestamp};

impl Verbs {
    pub(super) async fn plan(&self, selector: &Selector, until: Option<&str>, items: &Items) -> Result<Value, Refused> {
        let selector = if selector.all { &Selector::default() } else { selector };
        if !selector.is_empty() {
            self.selected(selector)?;
        }
        let reach = reach(timestamp(self.engine().now()), until)?;
        let (ahead, config) = (self.engine().ahead(selector, reach), self.engine().config());
        let (coming, planned) = planned(&config, &self.catalog(), ahead, reach);
        for one in &coming {
            items.send(one).await;
        }
        value(&planned)
    }

    pub(super) async fn schedules(&self, items: &Items) -> Result<Value, Refused> {
        for scheduled in self.engine().scheduled() {
            items.send(&scheduled).await;
        }
        Ok(Value::Null)
    }

    pub(super) async fn keys(
        &self,
        provider: Option<&str>,
        params: &BTreeMap<String, Value>,
        items: &Items,
    ) -> Result<Value, Refused> {
        if let Some(name) = provider.filter(|name| !self.engine().config().providers.contains_key(*name)) {
            return Err(Refused::usage(format!("there is no provider {name}")));
        }
        for listed in self.engine().keys(provider, params).await.map_err(Refused::failed)? {
            items.send(&listed).await;
        }
        Ok(Value::Null)
    }

    pub(super) async fn ledger_copy(&self, to: &str, actor: &str) -> Result<Value, Refused> {
        let (path, now) = (place(to)?, self.engine().now());
        let ledger = self.engine().ledger();
        let copied = ledger.copy(&path, now).await.map_err(|error| match error.kind {
            cutover_ledger::OpenErrorKind::Exists => Refused::guard(error.to_string()),
            _ => Refused::failed(error.to_string()),
        })?;
        info!(actor, place = copied.place, "the ledger was copied");
        let entry = HistoryEntry {
            at: now,
            policy: None,
            rotation: None,
            actor: actor.to_owned(),
            kind: "ledger-copied".to_owned(),
            facts: serde_json::json!({ "to": copied.place }).to_string(),
        };
        let commit = Commit { history: vec![entry], ..Commit::default() };
        // The copy is there either way; that it could not be noted must not make it look as if it was not.
        if let Err(error) = ledger.commit(commit).await {
            tracing::warn!(%error, "the copy could not be noted in the history");
        }
        value(&copied)
    }
}

/// The file that a ledger's URL names: `sqlite:` and an absolute path.
///
/// # Errors
/// It is another URL, with what this version takes.
pub fn place(url: &str) -> Result<PathBuf, Refused> {
    let path = url.strip_prefix("sqlite:").map(|rest| rest.strip_prefix("//").unwrap_or(rest));
    match path {
        Some(path) if path.starts_with('/') && path.len() > 1 => Ok(Path::new(path).to_owned()),
        Some(_) => {
            Err(Refused::usage("a ledger's place is `sqlite:` and an absolute path, such as sqlite:/var/backups/ledger.db"))
        }
        None if url.starts_with("postgres") => {
            Err(Refused::usage("this version keeps ledgers in SQLite only: sqlite: and an absolute path"))
        }
        None => Err(Refused::usage(
            "a ledger's place is a URL: `sqlite:` and an absolute path, such as sqlite:/var/backups/ledger.db",
        )),
    }
}

/// How far a plan reaches: to `until` (RFC 3339), else a year, and then at least to each policy's next date.
///
/// # Errors
/// `until` is no time, or not one to come.
pub fn reach(now: Timestamp, until: Option<&str>) -> Result<Reach, Refused> {
    let Some(text) = until else {
        let year = now.in_tz("UTC").and_then(|now: Zoned| now.checked_add(jiff::Span::new().years(1)));
        let until = year.map_or(Timestamp::MAX, |year| year.timestamp());
        return Ok(Reach { now: stamp(now), until: stamp(until), at_least_one: true });
    };
    let until: Timestamp =
        text.parse().map_err(|_| Refused::usage("--until is no time: 2027-06-30, or 2027-06-30T12:00:00Z"))?;
    if until <= now {
        return Err(Refused::usage("--until has passed: name a time to come"));
    }
    Ok(Reach { now: stamp(now), until: stamp(until), at_least_one: false })
}

/// A look ahead as it is told: what each rotation does, in words.
#[must_use]
pub fn planned(config: &Config, catalog: &Catalog, ahead: Ahead, reach: Reach) -> (Vec<ahead::Coming>, Planned) {
    let mut does: BTreeMap<String, String> = BTreeMap::new();
    let mut coming = ahead.coming;
    for one in coming.iter_mut().filter(|one| one.what == What::Rotation) {
        let Some(policy) = one.policy.as_ref().and_then(|name| config.policies.get(name)) else { continue };
        let words = does.entry(policy.name.clone()).or_insert_with(|| {
            let cost = RotationCost::of(policy, facts(config, catalog, policy).as_ref(), None);
            let hooks = match cost.hooks {
                0 => String::new(),
                1 => ", then 1 hook".to_owned(),
                hooks => format!(", then {hooks} hooks"),
            };
            format!("writes {}{hooks}; {}; old key: {}", cost.targets.join(", "), cost.grace, cost.old_key)
        });
        one.detail.clone_from(words);
    }
    let planned = Planned {
        environment: config.daemon.name.clone(),
        at: rfc3339(reach.now),
        until: rfc3339(reach.until),
        more: ahead.more,
    };
    (coming, planned)
}

#[cfg(test)]
mod tests {
    use super::{place, reach};

    #[test]
    fn a_ledgers_place_is_an_absolute_path() {
        assert_eq!(place("sqlite:/a/b.db").unwrap().to_str(), Some("/a/b.db"));
        assert_eq!(place("sqlite:///a/b.db").unwrap().to_str(), Some("/a/b.db"));
        for wrong in ["sqlite:", "sqlite:/", "sqlite:b.db", "/a/b.db", "postgres://x/y", "http://x"] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_plan_reaches_a_year_or_to_a_time_to_come() {
        let now = "2028-02-29T12:00:00Z".parse().unwrap();
        let year = reach(now, None).unwrap();
        assert!(year.at_least_one);
        assert_eq!(crate::engine::times::rfc3339(year.until), "2029-02-28T12:00:00Z");
        assert!(reach(now, Some("2028-02-29T12:00:00Z")).is_err());
        assert!(reach(now, Some("tomorrow")).is_err());
        assert!(!reach(now, Some("2028-03-01T00:00:00+01:00")).unwrap().at_least_one);
    }
}
