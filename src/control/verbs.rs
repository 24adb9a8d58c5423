//! What each verb does, on a running engine.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;
use cutover_api::{Secret, Stamp};
use cutover_config::Selector;
use cutover_ledger::{HistoryQuery, HistoryRow};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::server::{Handler, Items};
use super::weigh::{RotationCost, facts};
use super::wire::{Ask, Chain, Decided, Hello, Refused, SilentChannel, Standing};
use crate::alert;
use crate::catalog::Catalog;
use crate::engine::check::Finding;
use crate::engine::cure;
use crate::engine::times::rfc3339;
use crate::engine::{Engine, channels};

/// The configuration on disk could not be loaded; the one before is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadError {
    /// When it was tried, RFC 3339.
    pub at: String,
    /// Everything that is wrong with it.
    pub problems: Vec<String>,
}

/// The verbs of one engine. Cheap to clone.
#[derive(Clone)]
pub struct Verbs {
    engine: Engine,
    state: Arc<State>,
}

struct State {
    file: PathBuf,
    catalog: RwLock<Catalog>,
    reload: Mutex<(Option<ReloadError>, u64)>,
    loaded_at: Mutex<Stamp>,
}

impl Verbs {
    /// The verbs of `engine`, which was started with `catalog` and the configuration of `file`.
    #[must_use]
    pub fn new(engine: Engine, catalog: Catalog, file: PathBuf) -> Self {
        let loaded_at = Mutex::new(engine.now());
        let state = State { file, catalog: RwLock::new(catalog), reload: Mutex::default(), loaded_at };
        Self { engine, state: Arc::new(state) }
    }

    /// The engine.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The file the configuration is read from.
    #[must_use]
    pub fn file(&self) -> &PathBuf {
        &self.state.file
    }

    /// The catalogue in use.
    #[must_use]
    pub fn catalog(&self) -> Catalog {
        self.state.catalog.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A reload has succeeded with this catalogue.
    pub fn reloaded(&self, catalog: Catalog) {
        *self.state.catalog.write().unwrap_or_else(PoisonError::into_inner) = catalog;
        *self.state.loaded_at.lock().unwrap_or_else(PoisonError::into_inner) = self.engine.now();
        self.state.reload.lock().unwrap_or_else(PoisonError::into_inner).0 = None;
    }

    /// When the configuration in force was loaded.
    #[must_use]
    pub fn loaded_at(&self) -> Stamp {
        *self.state.loaded_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reload has failed: `status` shows it until one succeeds.
    pub fn reload_failed(&self, problems: Vec<String>) {
        let error = ReloadError { at: rfc3339(self.engine.now()), problems };
        let mut reload = self.state.reload.lock().unwrap_or_else(PoisonError::into_inner);
        *reload = (Some(error), reload.1.saturating_add(1));
    }

    /// The last reload that failed with none after it that succeeded, and how many failed since the start.
    #[must_use]
    pub fn reload_error(&self) -> (Option<ReloadError>, u64) {
        self.state.reload.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hello(&self) -> Hello {
        Hello {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            environment: self.engine.config().daemon.name.clone(),
        }
    }

    fn standing(&self) -> Standing {
        let (mut reload_error, failed_reloads) = self.reload_error();
        if let Some(error) = &mut reload_error {
            // One line of the socket holds it in any case; the log has all of them.
            error.problems.truncate(50);
            error.problems.iter_mut().for_each(|problem| *problem = problem.chars().take(500).collect());
        }
        let silent = self.engine.troubles().into_iter().take(50).map(|trouble| SilentChannel {
            channel: trouble.channel,
            since: rfc3339(trouble.since),
            detail: trouble.detail.chars().take(300).collect(),
        });
        Standing {
            hello: self.hello(),
            at: rfc3339(self.engine.now()),
            reload_error,
            failed_reloads,
            silent_channels: silent.collect(),
            clock_frozen: self.engine.frozen(),
            ledger_behind: self.engine.ledger_behind(),
        }
    }

    /// Names that are meant literally must exist; whatever is selected must be something.
    pub(super) fn selected(&self, selector: &Selector) -> Result<Vec<String>, Refused> {
        if selector.is_empty() {
            return Err(Refused::usage(cutover_config::NOTHING_SAID));
        }
        let config = self.engine.config();
        let unknown: Vec<&str> =
            selector.policies.iter().filter(|name| !config.policies.contains_key(*name)).map(String::as_str).collect();
        if !unknown.is_empty() {
            let known = near(&unknown, config.policies.keys());
            return Err(Refused::usage(format!("there is no policy {}{known}", unknown.join(", "))));
        }
        if let Some(unknown) = selector.providers.iter().find(|name| !config.providers.contains_key(*name)) {
            return Err(Refused::usage(format!("there is no provider {unknown}")));
        }
        let selected = self.engine.selected(selector);
        if selected.is_empty() {
            return Err(Refused::usage(cutover_config::NOTHING_SELECTED));
        }
        Ok(selected)
    }

    async fn status(&self, selector: &Selector, items: &Items) -> Result<Value, Refused> {
        let all = self.engine.status(selector);
        if !selector.is_empty() {
            let known = |name: &String| {
                all.iter().any(|status| status.policy == *name) || self.engine.config().policies.contains_key(name)
            };
            if let Some(unknown) = selector.policies.iter().find(|name| !known(name)) {
                return Err(Refused::usage(format!("there is no policy {unknown}")));
            }
            if all.is_empty() {
                return Err(Refused::usage(cutover_config::NOTHING_SELECTED));
            }
        }
        for status in &all {
            items.send(status).await;
        }
        value(&self.standing())
    }

    async fn history(
        &self,
        selector: &Selector,
        rotation: Option<String>,
        limit: usize,
        items: &Items,
    ) -> Result<Value, Refused> {
        let policies = match selector {
            _ if selector.is_empty() => Vec::new(),
            // A policy that was removed keeps its history.
            _ if selector.only_policies() => {
                self.in_history(&selector.policies).await?;
                selector.policies.clone()
            }
            _ => self.selected(selector)?,
        };
        let query = HistoryQuery { policies, rotation, limit, ..HistoryQuery::default() };
        let rows = self.rows(&query).await?;
        if let (Some(id), []) = (&query.rotation, rows.as_slice()) {
            let of = if query.policies.is_empty() { String::new() } else { format!(" of {}", query.policies.join(", ")) };
            return Err(Refused::usage(format!("the history has no rotation {id}{of}")));
        }
        for row in &rows {
            items.send(row).await;
        }
        Ok(Value::Null)
    }

    /// Names must be those of policies that are configured, or that the history tells of.
    async fn in_history(&self, names: &[String]) -> Result<(), Refused> {
        let config = self.engine.config();
        let mut unknown = Vec::new();
        for name in names.iter().filter(|name| !config.policies.contains_key(*name)) {
            let query = HistoryQuery { policies: vec![name.clone()], limit: 1, ..HistoryQuery::default() };
            if self.rows(&query).await?.is_empty() {
                unknown.push(name.as_str());
            }
        }
        if unknown.is_empty() {
            return Ok(());
        }
        let known = near(&unknown, config.policies.keys());
        Err(Refused::usage(format!("there is no policy {}, and the history has none of that name{known}", unknown.join(", "))))
    }

    async fn rows(&self, query: &HistoryQuery) -> Result<Vec<HistoryRow>, Refused> {
        self.engine.ledger().history(query).await.map_err(|error| Refused::failed(error.to_string()))
    }

    async fn verify(&self) -> Result<Value, Refused> {
        let chain = self.engine.ledger().verify_history().await.map_err(|error| Refused::failed(error.to_string()))?;
        value(&match chain {
            Ok(entries) => Chain { entries: Some(entries), first_broken: None },
            Err(first) => Chain { entries: None, first_broken: Some(first) },
        })
    }

    async fn weigh_rotation(&self, selector: &Selector, items: &Items) -> Result<Value, Refused> {
        let selected = self.selected(selector)?;
        let (config, catalog) = (self.engine.config(), self.catalog());
        for policy in selected.iter().filter_map(|name| config.policies.get(name)) {
            let under_way = self.engine.open_rotation_of(&policy.name);
            let suspended = self.engine.suspended_of(&policy.name).map(|suspended| suspended.until);
            let cost = RotationCost::of(policy, facts(&config, &catalog, policy).as_ref(), under_way);
            items.send(&RotationCost { suspended, ..cost }).await;
        }
        Ok(Value::Null)
    }

    /// What the history of a rotation tells of the old key's use.
    pub(super) async fn last_use(&self, policy: &str, rotation: &str) -> Result<Option<String>, Refused> {
        let query =
            HistoryQuery { policies: vec![policy.to_owned()], rotation: Some(rotation.to_owned()), ..HistoryQuery::default() };
        Ok(self.rows(&query).await?.iter().rev().find_map(last_use))
    }

    async fn rotate(&self, selector: &Selector, actor: &str, reason: Option<&str>, items: &Items) -> Result<Value, Refused> {
        self.selected(selector)?;
        for started in self.engine.rotate(selector, actor, reason).await {
            items.send(&started).await;
        }
        Ok(Value::Null)
    }

    async fn survey(&self, selector: &Selector, channels_too: bool, items: &Items) -> Result<Value, Refused> {
        let everything = Selector { all: true, ..Selector::default() };
        let policies = if selector.is_empty() { self.engine.selected(&everything) } else { self.selected(selector)? };
        if channels_too {
            for finding in self.engine.check(&[], true).await {
                items.send(&finding).await;
            }
        }
        // One by one, so that who waits sees how far it has come.
        for policy in policies {
            for finding in self.engine.check(&[policy], false).await {
                items.send(&finding).await;
            }
        }
        Ok(Value::Null)
    }

    async fn test_alert(&self, items: &Items) -> Result<Value, Refused> {
        let config = self.engine.config();
        let channels = channels(&config, &self.catalog())
            .map_err(|problems| Refused::failed(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
        let message = alert::test_alert(&config.daemon.name, self.engine.now()).message;
        for (name, channel) in channels.iter() {
            let about = format!("notify {name}");
            items
                .send(&match channel.notifier.tell(&message).await {
                    Ok(()) => Finding::well(&about, "accepted the test alert"),
                    Err(error) => {
                        let text = format!("did not accept the test alert: {error}");
                        Finding::wrong(&about, text, cure::channel(name, &error))
                    }
                })
                .await;
        }
        if config.notify.is_empty() {
            let text = "no alert channel is configured: nobody would be told";
            items.send(&Finding::wrong("notify", text, "add a [notify.NAME]")).await;
        }
        Ok(Value::Null)
    }
}

#[async_trait]
impl Handler for Verbs {
    async fn handle(&self, ask: Ask, actor: &str, items: &Items) -> Result<Value, Refused> {
        match ask {
            Ask::Hello {} => value(&self.hello()),
            Ask::Status { selector } => self.status(&selector, items).await,
            Ask::History { selector, rotation, limit } => self.history(&selector, rotation, limit, items).await,
            Ask::Verify {} => self.verify().await,
            Ask::WeighRotation { selector } => self.weigh_rotation(&selector, items).await,
            Ask::WeighDecision { policy, decision } => self.weigh_decision(&policy, decision).await,
            Ask::Rotate { selector, reason } => self.rotate(&selector, actor, reason.as_deref(), items).await,
            Ask::WeighEmergency { selector, order } => self.weigh_emergency(&selector, order, items).await,
            Ask::Emergency { selector, order, reason } => self.emergency(&selector, order, actor, reason.as_deref()).await,
            Ask::Emergencies { id } => self.emergencies(id.as_deref(), items).await,
            Ask::Survey { selector, channels } => self.survey(&selector, channels, items).await,
            Ask::TestAlert {} => self.test_alert(items).await,
            Ask::Decide { policy, rotation, decision, reason } => {
                self.decide(&policy, rotation.as_deref(), decision, actor, reason.as_deref()).await
            }
            Ask::Adopt { policy, rotation, id, reason } => {
                let taken = self.engine.adopt(&policy, rotation.as_deref(), id.as_deref(), actor, reason.as_deref()).await;
                taken.map_err(|refused| Refused::guard(refused.reason)).and_then(|rotation| value(&Decided { rotation }))
            }
            Ask::ConfirmClock { reason } => self.resume_all(actor, reason.as_deref()).await,
            Ask::WeighSubmit { policy, rotation } => self.weigh_submit(&policy, rotation.as_deref()),
            Ask::Submit { .. } => self.would_take_submission(&ask),
            Ask::Suspend { selector, until, reason } => self.suspend(&selector, until, actor, reason.as_deref(), items).await,
            Ask::Plan { selector, until } => self.plan(&selector, until.as_deref(), items).await,
            Ask::Schedules {} => self.schedules(items).await,
            Ask::Keys { provider, params } => self.keys(provider.as_deref(), &params, items).await,
            Ask::LedgerCopy { to } => self.ledger_copy(&to, actor).await,
        }
    }

    async fn submit(&self, ask: Ask, value: Secret, actor: &str) -> Result<Value, Refused> {
        self.take_submission(ask, value, actor).await
    }
}

pub(super) fn value(done: &impl Serialize) -> Result<Value, Refused> {
    serde_json::to_value(done).map_err(|error| Refused::failed(error.to_string()))
}

/// What one entry tells of the old key's use.
fn last_use(row: &HistoryRow) -> Option<String> {
    let facts: Value = serde_json::from_str(&row.entry.facts).ok()?;
    let time = |value: &Value| value.as_i64().map(|at| crate::engine::times::words(cutover_api::Stamp(at)));
    match row.entry.kind.as_str() {
        "quiet" => Some(format!("no use of it was seen since {}", time(facts.get("since")?)?)),
        "held" => {
            let still = facts.get("why")?.get("old-still-used")?;
            let from = still.get("from").and_then(Value::as_str).map(|from| format!(", from {from}")).unwrap_or_default();
            Some(format!("it was used last {}{from}", time(still.get("at")?)?))
        }
        _ => None,
    }
}

/// `; did you mean crm?`, where one of the known names is near.
fn near<'a>(unknown: &[&str], known: impl Iterator<Item = &'a String>) -> String {
    let Some(first) = unknown.first() else { return String::new() };
    let close = |name: &&String| name.starts_with(first) || first.starts_with(name.as_str());
    let mut known = known.peekable();
    known.find(close).map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use cutover_api::Stamp;
    use cutover_ledger::{HistoryEntry, HistoryRow};

    use super::last_use;

    fn row(kind: &str, facts: &str) -> HistoryRow {
        let entry = HistoryEntry {
            at: Stamp(0),
            policy: None,
            rotation: None,
            actor: "cutover".into(),
            kind: kind.into(),
            facts: facts.into(),
        };
        HistoryRow { seq: 1, entry, hash: String::new() }
    }

    #[test]
    fn the_history_tells_the_old_keys_last_use() {
        let quiet = row("quiet", r#"{"since":1700000000000}"#);
        assert_eq!(last_use(&quiet).unwrap(), "no use of it was seen since 2023-11-14 22:13 UTC");
        let used = row("held", r#"{"why":{"old-still-used":{"at":1700000000000,"from":"203.0.113.9"}}}"#);
        assert_eq!(last_use(&used).unwrap(), "it was used last 2023-11-14 22:13 UTC, from 203.0.113.9");
        assert_eq!(last_use(&row("held", r#"{"why":"doubt"}"#)), None);
        assert_eq!(last_use(&row("minted", "not json")), None);
    }
}
