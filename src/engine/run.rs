//! Drives one rotation: what is due → commit the intent → call → commit the outcome.

use std::sync::Arc;

use cutover_api::Stamp;
use cutover_machine::event::Order;
use cutover_machine::{Due, Event, Fact, Now, due};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tracing::warn;

use super::effects::Landed;
use super::learn::Learn;
use super::plugins::Plugins;
use super::shared::Shared;
use super::snapshot::{Record, Snapshot, TargetTable};
use super::values::Values;

/// A person's order to one rotation.
pub struct Ordered {
    /// What.
    pub order: Order,
    /// Who.
    pub actor: String,
    /// Why, if said.
    pub reason: Option<String>,
    /// The plan of the configuration loaded now, for `resume`.
    pub plan: Option<Box<Snapshot>>,
    /// `adopt --from-target`: what stands in the targets now counts as known.
    pub adopt: bool,
    /// For an emergency: which order, and the keys of its cut set as the ledger knows them.
    pub emergency: Option<(String, Vec<cutover_api::KeyRecord>)>,
    /// The value that `submit` hands in.
    pub value: Option<cutover_api::Secret>,
    /// Taken, or refused with the reason.
    pub reply: oneshot::Sender<Result<(), String>>,
}

/// Why a runner stops.
#[derive(Debug)]
pub enum Stop {
    /// Nothing is left to do.
    Closed,
    /// The daemon ends; the ledger has everything.
    Shutdown,
    /// The ledger does not take commits: nothing may be done any more.
    Ledger(String),
}

/// Drives one rotation.
pub struct Runner {
    pub(super) shared: Arc<Shared>,
    pub(super) id: String,
    pub(super) policy: String,
    pub(super) rev: u64,
    pub(super) record: Arc<Record>,
    pub(super) snapshot: Arc<Snapshot>,
    /// The plan as the ledger has it; `None` = not known: it is written with the next step.
    pub(super) kept: Option<Arc<Snapshot>>,
    pub(super) plugins: Arc<Plugins>,
    /// Its places among the calls under way: for one call, and from a look to the act that stands on it.
    pub(super) places: Option<Places>,
    pub(super) values: Arc<Values>,
    pub(super) inbox: mpsc::Receiver<Ordered>,
    pub(super) actor: String,
    pub(super) parked: Option<Ordered>,
    /// The credential that the last call to the provider was made with.
    pub(super) credential: Option<String>,
}

/// Places among the calls under way.
pub(super) struct Places {
    /// Among those of the account, where it is asked.
    pub(super) account: Option<OwnedSemaphorePermit>,
    /// Among all of the daemon's.
    pub(super) _all: OwnedSemaphorePermit,
}

impl Runner {
    /// A runner for a rotation as it stands in the ledger; where something of it is sealed, [`Runner::open_values`] comes next.
    ///
    /// # Errors
    /// Its plugins cannot be built.
    pub fn open(
        shared: Arc<Shared>,
        id: String,
        rev: u64,
        record: Record,
        snapshot: Snapshot,
        inbox: mpsc::Receiver<Ordered>,
    ) -> Result<Self, String> {
        let plugins = shared.workshop().build(&snapshot)?;
        let snapshot = Arc::new(snapshot);
        Ok(Self {
            policy: snapshot.policy.clone(),
            actor: record.actor.clone(),
            shared,
            id,
            rev,
            record: Arc::new(record),
            kept: Some(Arc::clone(&snapshot)),
            snapshot,
            plugins: Arc::new(plugins),
            places: None,
            values: Arc::new(Values::default()),
            inbox,
            parked: None,
            credential: None,
        })
    }

    /// The parts of a key, beside the key itself, that are sealed by name.
    pub(super) fn sealed_names(&self) -> Vec<String> {
        let outputs = self.plugins.account.provider.outputs();
        let mut names: Vec<String> = outputs.into_iter().filter(|(_, secret)| *secret).map(|(name, _)| name).collect();
        // Parts of the key in use are sealed by name too, as they stood in the targets.
        names.extend(self.snapshot.targets.iter().flat_map(super::values::current_fields).map(|(_, name)| name));
        names.sort();
        names.dedup();
        names.retain(|name| name != "secret");
        names
    }

    /// Reads the sealed values.
    ///
    /// # Errors
    /// They do not open.
    pub(super) async fn open_values(&mut self) -> Result<(), String> {
        let names = self.sealed_names();
        let values = Values::open(self.shared.ledger.as_ref(), &self.id, &names).await.map_err(|error| error.to_string())?;
        self.values = Arc::new(values);
        Ok(())
    }

    /// The engine found this row at its start.
    ///
    /// # Errors
    /// Why it stops.
    pub async fn restarted(&mut self) -> Result<(), Stop> {
        // What stands in the ledger may be of an older version, or bear an older name.
        self.kept = None;
        self.step(Event::Restarted.into()).await
    }

    pub(super) fn now(&self) -> Now {
        let at = self.shared.clock.now();
        Now { at, window: self.shared.window(&self.policy, at), frozen: self.shared.frozen() }
    }

    /// Drives it until it is closed or the daemon ends.
    pub async fn run(mut self) -> Stop {
        loop {
            if self.shared.stopping() {
                return Stop::Shutdown;
            }
            if let Some(name) = self.shared.renamed(&self.id) {
                self.policy.clone_from(&name);
                let mut snapshot = (*self.snapshot).clone();
                snapshot.policy = name;
                self.snapshot = Arc::new(snapshot);
                self.publish();
            }
            let result = match due(&self.record.machine, &self.snapshot.plan, self.now()) {
                Due::Rest => return Stop::Closed,
                Due::Tell => self.step(Event::Woke.into()).await,
                // On the word of an older ledger nothing is done: what it says of keys and targets may have been overtaken.
                Due::Call(_) if self.shared.behind() && self.record.machine.emergency.is_none() => {
                    self.wait(self.shared.clock.now().plus(cutover_machine::Span::MINUTE)).await
                }
                Due::Call(effect) => self.call(effect).await,
                Due::Sleep(until) | Due::Ask(_, until) => match self.renewed().await {
                    true => self.step(Event::Renewed.into()).await,
                    false => self.wait(self.next_look(until)).await,
                },
            };
            if let Err(stop) = result {
                return stop;
            }
            // An emergency that came while a call had to be waited for.
            if let Some(parked) = self.parked.take()
                && let Err(stop) = self.ordered(parked).await
            {
                return stop;
            }
        }
    }

    pub(super) async fn wait(&mut self, until: Stamp) -> Result<(), Stop> {
        self.places = None;
        let shared = Arc::clone(&self.shared);
        tokio::select! {
            () = shared.clock.sleep_until(until) => Ok(()),
            () = shared.changed() => Ok(()),
            () = shared.shutdown.cancelled() => Err(Stop::Shutdown),
            ordered = self.inbox.recv() => match ordered {
                Some(ordered) => self.ordered(ordered).await,
                None => Err(Stop::Shutdown),
            },
        }
    }

    pub(super) async fn ordered(&mut self, ordered: Ordered) -> Result<(), Stop> {
        let emergency = matches!(ordered.order, Order::Emergency(..));
        if emergency && self.must_be_waited_for() {
            match &self.parked {
                None => self.parked = Some(ordered),
                Some(_) => {
                    let _ = ordered.reply.send(Err(String::from("another emergency waits for the end of a call")));
                }
            }
            return Ok(());
        }
        let Ordered { order, actor, reason, plan, adopt, emergency, value, reply } = ordered;
        let handed = match &order {
            Order::Submit(handed) => Some(handed.clone()),
            _ => None,
        };
        let event = Event::Ordered(order);
        let step = match cutover_machine::decide(event.clone(), &self.record.machine, &self.snapshot.plan, self.now()) {
            Ok(step) => step,
            Err(illegal) => {
                let _ = reply.send(Err(illegal.to_string()));
                return Ok(());
            }
        };
        let refused = match (&plan, &handed) {
            (Some(plan), _) => self.refuses_plan(plan),
            (_, Some(handed)) => self.refuses_value(handed, value.as_ref()).await,
            _ => None,
        };
        if let Some(refused) = refused {
            let _ = reply.send(Err(refused));
            return Ok(());
        }
        if let Some(plan) = plan {
            self.replan(*plan);
        }
        let before = std::mem::replace(&mut self.actor, actor);
        let superseded = step.facts.iter().find_map(|fact| match fact {
            Fact::Superseded { swapped } => Some(*swapped),
            _ => None,
        });
        let mut landed = match emergency {
            Some((run, gone)) => super::cut::emergency_landed(event, superseded, run, gone, &self.record, &self.values),
            None => Landed::from(event),
        };
        landed.learn.push(Learn::Reason(reason));
        if let (Some(handed), Some(value)) = (&handed, value) {
            self.hand_in(&mut landed, handed, value);
        }
        if adopt {
            let recorded = self.performer_job(|performer| Box::pin(async move { performer.targets().recorded().await })).await;
            landed.learn.push(Learn::Recorded(recorded));
        }
        let result = self.step(landed).await;
        self.actor = before;
        let _ = reply.send(result.as_ref().copied().map_err(|stop| format!("{stop:?}")));
        result
    }

    /// With a layout written, the places it was written to are what the rotation is about: others would be left with a key that dies.
    fn refuses_plan(&self, now: &Snapshot) -> Option<String> {
        let places = |snapshot: &Snapshot| snapshot.targets.iter().map(TargetTable::name).collect::<Vec<_>>();
        let (began, loaded) = (places(&self.snapshot), places(now));
        (self.record.machine.leg.is_some() && began != loaded).then(|| {
            format!(
                "the configuration loaded now names other targets ({}) than this rotation has written ({}): put them back until it is \
                 closed, then change them; nothing was changed",
                loaded.join(", "),
                began.join(", ")
            )
        })
    }

    /// `resume`: targets, redeploy, verify and alert of the configuration loaded now; the provider stays as it was planned.
    fn replan(&mut self, now: Snapshot) {
        let mut snapshot = (*self.snapshot).clone();
        snapshot.targets = now.targets;
        snapshot.plan.targets = now.plan.targets;
        snapshot.stores = now.stores;
        let same_verifies = snapshot.plan.verifies.len() == now.plan.verifies.len();
        if same_verifies || self.record.machine.leg.is_none() {
            snapshot.verifies = now.verifies;
            snapshot.plan.verifies = now.plan.verifies;
        }
        let anew = snapshot.hooks != now.hooks || snapshot.verifies != self.snapshot.verifies;
        snapshot.hooks = now.hooks;
        snapshot.plan.hooks = now.plan.hooks;
        snapshot.notify = now.notify;
        snapshot.plan.thresholds = now.plan.thresholds;
        match self.shared.workshop().build(&snapshot) {
            Ok(plugins) => {
                if anew {
                    // Other hooks or verifies: what the ones before did or saw says nothing for these.
                    let mut record = (*self.record).clone();
                    record.machine.deploy_anew(&snapshot.plan);
                    self.record = Arc::new(record);
                }
                self.plugins = Arc::new(plugins);
                self.snapshot = Arc::new(snapshot);
            }
            Err(detail) => {
                warn!(policy = self.policy, rotation = self.id, detail, "the new plan cannot be used; the old one stays")
            }
        }
    }
}
