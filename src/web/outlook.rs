//! The source that is the running daemon.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cutover_config::Selector;
use cutover_ledger::HistoryQuery;
use tokio::sync::Mutex;
use tracing::warn;

use super::source::{ChannelStanding, Detail, OpenEmergency, Picture, Source};
use super::{Chronicle, chronicle};
use crate::control::Verbs;
use crate::engine::PolicyStatus;

/// The loop must come round within this.
const PATIENCE: Duration = Duration::from_secs(5);
/// Next dates that are shown of one policy.
const DATES: usize = 5;
/// History entries that are shown of one policy.
const ENTRIES: usize = 30;

/// The running daemon, seen from outside.
pub struct Outlook {
    verbs: Verbs,
    transactions: Box<dyn Fn() -> u64 + Send + Sync>,
    year: Mutex<Arc<Chronicle>>,
}

impl Outlook {
    /// The daemon behind these verbs; `transactions` tells how many its ledger has made.
    pub fn new(verbs: Verbs, transactions: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self { verbs, transactions: Box::new(transactions), year: Mutex::default() }
    }

    async fn channels(&self) -> BTreeMap<String, ChannelStanding> {
        let engine = self.verbs.engine();
        let open = engine.ledger().open_deliveries().await;
        if let Err(error) = &open {
            warn!(%error, "the alerts that wait could not be counted");
        }
        let config = engine.config();
        let mut channels: BTreeMap<String, ChannelStanding> = BTreeMap::new();
        for name in config.notify.keys() {
            let waiting = open.as_ref().ok().map(|rows| rows.iter().filter(|row| row.channel == *name).count());
            channels.insert(name.clone(), ChannelStanding { waiting, failing: None });
        }
        for trouble in engine.troubles() {
            if let Some(channel) = channels.get_mut(&trouble.channel) {
                channel.failing = Some((trouble.since, trouble.detail));
            }
        }
        channels
    }

    fn emergencies(&self) -> Vec<OpenEmergency> {
        let open = self.verbs.engine().reports().into_iter().filter(|report| report.tally().open > 0);
        let told =
            open.map(|report| OpenEmergency { line: report.in_a_line(), id: report.id, at: report.at, actor: report.actor });
        told.collect()
    }

    async fn policies(&self) -> Vec<PolicyStatus> {
        let engine = self.verbs.engine().clone();
        // With many policies it takes some milliseconds of computing: other requests go on meanwhile.
        let status = tokio::task::spawn_blocking(move || engine.status(&Selector::default()));
        status.await.unwrap_or_default()
    }
}

#[async_trait]
impl Source for Outlook {
    async fn picture(&self) -> Picture {
        let engine = self.verbs.engine();
        let config = engine.config();
        let (reload_error, failed_reloads) = self.verbs.reload_error();
        let zone = |policy: &cutover_config::Policy| policy.schedule.timezone().iana_name().unwrap_or("UTC").to_owned();
        Picture {
            environment: config.daemon.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at: engine.now(),
            started_at: engine.started_at(),
            frozen: engine.frozen(),
            reload_error,
            failed_reloads,
            loaded_at: self.verbs.loaded_at(),
            emergencies: self.emergencies(),
            channels: self.channels().await,
            totals: engine.totals(),
            transactions: (self.transactions)(),
            policies: self.policies().await,
            zones: config.policies.iter().map(|(name, policy)| (name.clone(), zone(policy))).collect(),
        }
    }

    async fn year(&self) -> Result<Arc<Chronicle>, String> {
        let engine = self.verbs.engine();
        let mut year = self.year.lock().await;
        let now = engine.now();
        let rows = engine.ledger().history(&year.query(now)).await.map_err(|error| error.to_string())?;
        if rows.is_empty() {
            return Ok(Arc::clone(&year));
        }
        // What a page under way still shows is not changed under it.
        Arc::make_mut(&mut year).take_in(rows, now);
        Ok(Arc::clone(&year))
    }

    async fn detail(&self, policy: &str) -> Detail {
        let engine = self.verbs.engine();
        let since = Some(engine.now().minus(chronicle::YEAR));
        let query = HistoryQuery { policies: vec![policy.to_owned()], since, limit: ENTRIES, ..HistoryQuery::default() };
        let history = engine.ledger().history(&query).await.map_err(|error| error.to_string());
        let config = engine.config();
        let targets = config
            .policies
            .get(policy)
            .map(|policy| policy.targets.iter().map(|target| format!("{}:{}", target.store, target.spec.path)).collect());
        let dates = engine.next_dates(policy, DATES);
        Detail {
            dates: dates.iter().map(|date| date.strftime("%a %Y-%m-%d %H:%M %Z").to_string()).collect(),
            targets: targets.unwrap_or_default(),
            history,
        }
    }

    async fn lives(&self) -> bool {
        self.verbs.engine().lives(PATIENCE).await
    }
}
