//! The drain loop: what is due is started, what is under way is driven, and everything is durable before it is done.

pub mod ahead;
mod answer;
mod beginning;
mod behind;
mod calling;
mod calls;
pub mod check;
pub mod clock;
mod credential;
pub mod cure;
mod cut;
mod effects;
mod emergency;
mod gate;
mod gauges;
mod housekeeping;
mod ids;
mod keeper;
pub mod keys;
mod learn;
mod loops;
mod orders;
mod plugins;
mod policies;
mod report;
mod room;
mod run;
mod sanity;
mod shared;
mod snapshot;
mod standing;
mod states;
mod status;
mod step;
mod story;
mod submit;
mod survey;
mod suspend;
mod targets;
pub mod times;
mod turns;
mod values;
mod watch;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cutover_api::{Problem, Problems, Reader, Stamp};
use cutover_config::{Config, Kinds};
use cutover_ledger::{Commit, HistoryEntry, Ledger, RotationWrite};
use tokio::sync::mpsc;
use tokio::sync::watch::Receiver;
use tokio_util::task::TaskTracker;
use tracing::{error, info};

pub use clock::{EngineClock, WallClock};
pub use emergency::{EmergencyTaken, Run};
pub use gauges::Totals;
pub use keeper::References;
pub use orders::{OrderRefused, Started};
pub use plugins::Workshop;
pub use run::Stop;
use run::{Ordered, Runner};
use shared::Shared;
pub use snapshot::PolicyState;
use snapshot::{Record, Snapshot};
pub use status::{AT_WORK, HeldStatus, PolicyStatus, Tally};
pub use submit::{LONGEST_VALUE, Submission, check_value};
pub use suspend::{Suspended, check_until};

use crate::alert::{Channel, Channels};
use crate::catalog::Catalog;

/// Orders a rotation may have waiting.
const INBOX: usize = 16;

/// How a rotation begins.
struct Opening {
    /// Who.
    actor: String,
    /// Why, if said.
    reason: Option<String>,
    /// By the schedule.
    scheduled: bool,
    /// For an emergency: the order, which run it answers, and the records of the keys to cut off.
    emergency: Option<(cutover_machine::event::Order, String, Vec<cutover_api::KeyRecord>)>,
}

/// The running engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    ended: Arc<Mutex<Option<String>>>,
    starts: Arc<Mutex<VecDeque<Stamp>>>,
}

/// Builds the channels of a configuration.
///
/// # Errors
/// What is wrong with their tables.
pub fn channels(config: &Config, catalog: &Catalog) -> Result<Channels, Vec<Problem>> {
    let problems = Problems::default();
    let mut channels = BTreeMap::new();
    for (name, table) in &config.notify {
        let reader = Reader::new(&table.table, format!("notify.{name}"), &problems);
        if let Some(notifier) = catalog.notifier(&table.kind, &reader) {
            channels.insert(name.clone(), Channel { severity: table.severity, notifier: Arc::from(notifier) });
        }
    }
    if problems.count() > 0 { Err(problems.take()) } else { Ok(Channels::new(channels)) }
}

impl Engine {
    /// Starts the engine: loads the ledger, goes on with what is under way, and starts only what is due.
    ///
    /// # Errors
    /// The ledger cannot be read, a row is of another format, or the channels cannot be built.
    pub async fn start(
        config: impl Into<Arc<Config>>,
        catalog: Catalog,
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn EngineClock>,
    ) -> Result<Self, String> {
        Self::start_as(config.into(), catalog, ledger, clock, None).await
    }

    /// Starts an engine for one shot: it goes on only with the rotations of these policies and starts nothing by the schedule.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub async fn start_quiet(
        config: Config,
        catalog: Catalog,
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn EngineClock>,
        policies: &[String],
    ) -> Result<Self, String> {
        Self::start_as(Arc::new(config), catalog, ledger, clock, Some(policies)).await
    }

    async fn start_as(
        config: Arc<Config>,
        catalog: Catalog,
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn EngineClock>,
        only: Option<&[String]>,
    ) -> Result<Self, String> {
        let channels = channels(&config, &catalog).map_err(|problems| join(&problems))?;
        let workshop = Workshop::new(catalog);
        // One shot needs no client before its first call.
        let workshop = if only.is_none() { workshop.warmed() } else { workshop };
        let shared = Arc::new(Shared::new(Arc::clone(&config), workshop, channels, ledger, clock));
        let engine = Self { shared, tasks: TaskTracker::new(), ended: Arc::default(), starts: Arc::default() };
        engine.load(&config, only).await?;
        engine.loops(only.is_none());
        Ok(engine)
    }

    async fn load(&self, config: &Config, only: Option<&[String]>) -> Result<(), String> {
        let shared = &self.shared;
        let loaded = shared.ledger.load().await.map_err(|error| error.to_string())?;
        sanity::recall(shared, &loaded.notes).await?;
        behind::tell(shared, &loaded.notes).await?;
        for key in loaded.keys {
            shared.know_key(&key.policy, key.fingerprint);
        }
        self.load_emergencies(&loaded.notes);
        for policy in loaded.policies {
            let state = serde_json::from_str(&policy.state)
                .map_err(|error| format!("ledger: policy {} cannot be read ({error})", policy.name))?;
            shared.put_policy_state(&policy.name, state);
        }
        let before: BTreeMap<String, String> =
            shared.policy_states().into_iter().map(|(name, state)| (state.rotation.unwrap_or_default(), name)).collect();
        for told in policies::reconcile(shared, config).await? {
            info!("{told}");
        }
        let renamed: BTreeMap<String, String> =
            shared.policy_states().into_iter().map(|(name, state)| (state.rotation.unwrap_or_default(), name)).collect();
        for row in loaded.rotations {
            let record: Record = serde_json::from_str(&row.state)
                .map_err(|error| format!("ledger: rotation {} cannot be read ({error}); nothing was changed", row.id))?;
            let mut snapshot: Snapshot = serde_json::from_str(&row.plan).map_err(|error| {
                format!("ledger: the plan of rotation {} cannot be read ({error}); nothing was changed", row.id)
            })?;
            if before.contains_key(&row.id)
                && let Some(name) = renamed.get(&row.id)
            {
                snapshot.policy.clone_from(name);
            }
            if only.is_none_or(|only| only.contains(&snapshot.policy)) {
                let (policy, id) = (snapshot.policy.clone(), row.id.clone());
                self.shared.publish(&policy, &id, &Arc::new(record.clone()), &Arc::new(snapshot.clone()));
                if let Err(detail) = self.drive(row.id, row.rev, record, snapshot, true).await {
                    self.cannot_go_on(&policy, &id, &detail).await;
                }
            } else {
                self.shared.publish(&snapshot.policy.clone(), &row.id, &Arc::new(record), &Arc::new(snapshot));
            }
        }
        Ok(())
    }

    /// One rotation cannot go on; the others must, and somebody is told.
    async fn cannot_go_on(&self, policy: &str, rotation: &str, detail: &str) {
        error!(policy, rotation, detail, "a rotation cannot go on");
        self.shared.stuck(policy, rotation);
        let now = self.shared.clock.now();
        let told = crate::alert::reload_refused(&self.shared.environment(), &[detail.to_owned()], now);
        let row = story::alert_row(&told.message, &[], &self.shared.channels(), now);
        if let Err(error) = self.shared.ledger.commit(Commit { alerts: vec![row], ..Commit::default() }).await {
            error!(%error, "the alert about it could not be kept");
        }
    }

    /// Opens a runner for a rotation and lets it run.
    async fn drive(&self, id: String, rev: u64, record: Record, snapshot: Snapshot, restarted: bool) -> Result<(), String> {
        let (sender, inbox) = mpsc::channel::<Ordered>(INBOX);
        let policy = snapshot.policy.clone();
        let opened = Runner::open(Arc::clone(&self.shared), id.clone(), rev, record, snapshot, inbox);
        let cannot = |detail: String| format!("policy {policy}: rotation {id} cannot go on: {detail}");
        let mut runner = opened.map_err(cannot)?;
        if restarted {
            runner.open_values().await.map_err(cannot)?;
        }
        if restarted && let Err(Stop::Ledger(detail)) = runner.restarted().await {
            return Err(detail);
        }
        // Seen before it takes orders: an order that names its id is then never refused for an older one's.
        runner.publish();
        self.shared.open_inbox(&policy, sender);
        let engine = self.clone();
        self.tasks.spawn(async move {
            let stop = match tokio::spawn(runner.run()).await {
                Ok(stop) => stop,
                // Nothing drives it any more: the process must end and start anew from what is durable.
                Err(error) => Stop::Ledger(format!("its runner ended by itself ({error})")),
            };
            match stop {
                Stop::Closed => {
                    info!(policy, rotation = id, "rotation closed");
                    engine.shared.wake();
                }
                Stop::Shutdown => {}
                Stop::Ledger(detail) => engine.end(format!("policy {policy}: rotation {id}: {detail}")),
            }
        });
        Ok(())
    }

    /// The ledger takes no commits any more: the process must end and start anew from what is durable.
    fn end(&self, detail: String) {
        error!(detail, "the engine stops: nothing may be done that cannot be made durable");
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(detail);
        self.shared.shutdown.cancel();
    }

    /// Opens a rotation: row, plan and schedule in one commit.
    async fn open_rotation(&self, name: &str, opening: Opening) -> Result<String, String> {
        let _one = self.shared.lock_policy(name).await;
        self.open_locked(name, opening).await
    }

    /// [`Engine::open_rotation`] for who holds the policy's lock.
    async fn open_locked(&self, name: &str, opening: Opening) -> Result<String, String> {
        let shared = &self.shared;
        if self.open_rotation_of(name).is_some() {
            return Err(format!("policy {name} has a rotation under way already"));
        }
        let Opening { actor, reason, scheduled, emergency } = opening;
        let config = shared.config();
        let policy = config.policies.get(name).ok_or_else(|| format!("there is no policy {name}"))?;
        let snapshot = self.snapshot(&config, policy)?;
        // Everything it needs can be built: a start that is committed is one that runs.
        shared.workshop().build(&snapshot)?;
        let now = shared.clock.now();
        let id = format!("rot_{}", ids::random_text(10)?);
        let mut record = Record::open(ids::seed(&id), actor.clone(), reason.clone(), now);
        let run = emergency.as_ref().map(|(_, run, _)| run.clone());
        if let Some((order, run, gone)) = emergency {
            let ordered = cutover_machine::Event::Ordered(order);
            let step = cutover_machine::decide(ordered, &record.machine, &snapshot.plan, cutover_machine::Now::open(now));
            record.machine = step.map_err(|illegal| illegal.to_string())?.next;
            record.answers.push(run);
            record.gone = gone;
        }
        let state = shared.policy_state(name).ok_or_else(|| format!("policy {name} is not loaded"))?;
        let state = policies::started(policy, &state, &id, scheduled, now);
        let facts = serde_json::json!({ "reason": reason, "scheduled": scheduled, "emergency": run });
        let commit = Commit {
            rotation: Some(RotationWrite {
                id: id.clone(),
                policy: name.to_owned(),
                expected: None,
                state: serde_json::to_string(&record).map_err(|error| error.to_string())?,
                plan: Some(serde_json::to_string(&snapshot).map_err(|error| error.to_string())?),
                phase: record.machine.phase.label().to_owned(),
                closed: false,
            }),
            policies: vec![shared.policy_write(name, &state)],
            history: vec![HistoryEntry {
                at: now,
                policy: Some(name.to_owned()),
                rotation: Some(id.clone()),
                actor: actor.clone(),
                kind: String::from("rotation-started"),
                facts: facts.to_string(),
            }],
            ..Commit::default()
        };
        shared.ledger.commit(commit).await.map_err(|error| error.to_string())?;
        shared.put_policy_state(name, state);
        shared.gauges.started();
        // A row that was just inserted has revision 1.
        self.drive(id.clone(), 1, record, snapshot, false).await?;
        info!(policy = name, rotation = id, actor, "rotation started");
        Ok(id)
    }

    /// The plan of a policy as it is configured now.
    fn snapshot(&self, config: &Config, policy: &cutover_config::Policy) -> Result<Snapshot, String> {
        let workshop = self.shared.workshop();
        let provider =
            config.providers.get(&policy.provider).ok_or_else(|| format!("there is no provider {}", policy.provider))?;
        let text = workshop
            .catalog()
            .definition(&provider.definition)
            .ok_or_else(|| format!("there is no definition {}", provider.definition))?;
        let line = workshop.line(&snapshot::Account {
            name: policy.provider.clone(),
            definition_name: provider.definition.clone(),
            definition: text.clone(),
            table: provider.table.to_json(),
        })?;
        Snapshot::take(config, policy, text, line.provider.facts(), line.provider.support())
            .ok_or_else(|| format!("policy {} names a store or provider that is not there", policy.name))
    }

    /// Takes a new configuration over. Nothing under way changes and nothing that was not due is started.
    ///
    /// # Errors
    /// The ledger did not take it, or the channels cannot be built; the old configuration stays.
    pub async fn reload(&self, config: Config, catalog: Catalog) -> Result<Vec<String>, String> {
        let channels = channels(&config, &catalog).map_err(|problems| join(&problems))?;
        let before = self.shared.config();
        let mut told = cutover_config::difference(&before, &config);
        told.extend(policies::reconcile(&self.shared, &config).await?);
        let now = self.shared.clock.now();
        let facts = serde_json::json!({ "changes": told });
        let entry = HistoryEntry::plain(now, None, "signal:HUP", "reloaded", &facts);
        let commit = Commit { history: vec![entry], ..Commit::default() };
        self.shared.ledger.commit(commit).await.map_err(|error| error.to_string())?;
        self.shared.reconfigure(Arc::new(config), Workshop::new(catalog).warmed(), channels);
        Ok(told)
    }

    /// The configuration loaded now.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.shared.config()
    }

    /// The ledger.
    #[must_use]
    pub fn ledger(&self) -> &Arc<dyn Ledger> {
        &self.shared.ledger
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Stamp {
        self.shared.clock.now()
    }

    /// The clock has stepped and nobody has confirmed it: nothing starts and no key is ended.
    #[must_use]
    pub fn frozen(&self) -> bool {
        self.shared.clock_frozen()
    }

    /// Looks at everything again now (SIGUSR2).
    pub fn look_again(&self) {
        self.shared.wake();
        self.shared.alerts_waiting();
    }

    /// Changes with every turn of the drain loop, which from now on turns at least once in `span`. A provider, a store or a hook that does
    /// not answer does not hold it up; a ledger that takes no commit does.
    #[must_use]
    pub fn turns(&self, span: Duration) -> Receiver<u64> {
        self.shared.turns.at_least_every(span);
        self.shared.wake();
        self.shared.turns.watch()
    }

    /// The channels of the configuration in force.
    #[must_use]
    pub fn channels(&self) -> Channels {
        self.shared.channels()
    }

    /// `[daemon] name`.
    #[must_use]
    pub fn environment(&self) -> String {
        self.shared.environment()
    }

    /// Returns when the engine has ended by itself or by [`Engine::stop`]; the reason, if it was a fault.
    pub async fn ended(&self) -> Option<String> {
        self.shared.shutdown.cancelled().await;
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the engine: calls under way are waited for, everything else goes on at the next start.
    pub async fn stop(&self) {
        self.shared.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn join(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
