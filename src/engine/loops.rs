//! The engine's own loops: the schedule, the outbox, the backstop of wake-ups.

use std::sync::Arc;

use cutover_api::{Clock, Span, Stamp};
use tokio_cron_scheduler::{Job, JobScheduler};
use tracing::warn;

use super::orders::Openings;
use super::policies::{Call, due, missed, put_off};
use super::{Engine, Shared, room, sanity};
use crate::alert::Courier;

impl Engine {
    /// `schedule`: dates start rotations; otherwise only what is ordered runs.
    pub(super) fn loops(&self, schedule: bool) {
        if schedule {
            let engine = self.clone();
            self.tasks.spawn(async move { engine.schedule().await });
            let engine = self.clone();
            self.tasks.spawn(async move { engine.housekeeping().await });
        }
        let engine = self.clone();
        self.tasks.spawn(async move { engine.emergencies().await });
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move { outbox(shared).await });
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move { sanity::watch(shared, schedule).await });
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move { wake_ups(shared).await });
        if schedule {
            let shared = Arc::clone(&self.shared);
            self.tasks.spawn(async move { room::watch(shared).await });
        }
    }

    /// The drain loop: starts what is due, reports what was missed, sleeps until the next date. It waits for the ledger and for its own
    /// kind, never for a provider, a store or a hook: those have tasks of their own.
    async fn schedule(&self) {
        let shared = &self.shared;
        while !shared.stopping() {
            let now = shared.clock.now();
            let config = shared.config();
            let mut next = now.plus(Span::MINUTE);
            if !shared.frozen() {
                let (calls, at) = due(shared, &config, now);
                next = at;
                let names: Vec<String> = calls.iter().map(|(name, _)| name.clone()).collect();
                let mut openings = Openings::default();
                for (place, (name, call)) in calls.into_iter().enumerate() {
                    let Some(policy) = config.policies.get(&name) else { continue };
                    let was = shared.policy_state(&name).and_then(|state| state.due);
                    let result = match call {
                        Call::Missed(state) => {
                            // It may be due at once: the next round sees that, and must not wait for a wake-up.
                            next = now;
                            missed(shared, policy, *state, was).await
                        }
                        Call::PutOff => put_off(shared, policy).await,
                        Call::Start if !self.may_start(now) => {
                            next = next.min(now.plus(Span::MINUTE));
                            Ok(())
                        }
                        Call::Start => {
                            let actor = String::from("schedule");
                            let opening = super::Opening { actor, reason: None, scheduled: true, emergency: None };
                            openings.begin(self, place, &name, opening);
                            Ok(())
                        }
                    };
                    if let Err(detail) = result {
                        warn!(policy = name, detail, "could not be started; tried again within a minute");
                        next = next.min(now.plus(Span::MINUTE));
                    }
                    shared.turns.turned();
                }
                for (place, opened) in openings.all(|| shared.turns.turned()).await {
                    if let Err(detail) = opened {
                        warn!(policy = names[place], detail, "could not be started; tried again within a minute");
                        next = next.min(now.plus(Span::MINUTE));
                    }
                }
                next = next.min(shared.dates(now).1);
            }
            shared.turns.turned();
            tokio::select! {
                () = shared.clock.sleep_until(next.max(now.plus(Span(200)))) => {}
                () = shared.woken() => {}
                () = shared.turns.next() => {}
                () = shared.shutdown.cancelled() => {}
            }
        }
    }

    /// `max_starts_per_hour`: what is over it waits, and is not lost.
    pub(super) fn may_start(&self, now: Stamp) -> bool {
        let limit = self.shared.config().daemon.max_starts_per_hour as usize;
        let mut starts = self.starts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // In the order of their times, but for a clock that was set back: what it has not reached yet does not count.
        while starts.front().is_some_and(|at| at.plus(Span::HOUR) <= now) {
            starts.pop_front();
        }
        while starts.back().is_some_and(|at| *at > now) {
            starts.pop_back();
        }
        if starts.len() >= limit {
            return false;
        }
        starts.push_back(now);
        true
    }
}

async fn outbox(shared: Arc<Shared>) {
    let for_channels = Arc::clone(&shared);
    let clock = Arc::new(Hand(Arc::clone(&shared)));
    let courier = Courier::new(Arc::clone(&shared.ledger), clock, move || for_channels.channels(), shared.environment());
    let for_standing = Arc::clone(&shared);
    let courier = courier.asking(move |message| for_standing.stands(message));
    while !shared.stopping() {
        let next = match courier.deliver().await {
            Ok(next) => next,
            Err(detail) => {
                warn!(detail, "the outbox could not be read");
                shared.clock.now().plus(Span::seconds(10))
            }
        };
        shared.gauges.tell_troubles(courier.troubles());
        tokio::select! {
            () = shared.clock.sleep_until(next) => {}
            () = shared.alerts() => {}
            () = shared.shutdown.cancelled() => {}
        }
    }
}

/// The engine's clock for those who only want the time.
struct Hand(Arc<Shared>);

impl Clock for Hand {
    fn now(&self) -> Stamp {
        self.0.clock.now()
    }
}

/// A backstop: jobs of the cron crate that only wake the loops. Losing or doubling one is harmless.
async fn wake_ups(shared: Arc<Shared>) {
    let scheduler = match JobScheduler::new().await {
        Ok(scheduler) => scheduler,
        Err(error) => return warn!(%error, "no backstop of wake-ups; the loops wake by themselves"),
    };
    let schedule = Arc::clone(&shared);
    let alerts = Arc::clone(&shared);
    let jobs =
        [Job::new("0 * * * * *", move |_, _| schedule.wake()), Job::new("30 * * * * *", move |_, _| alerts.alerts_waiting())];
    for job in jobs.into_iter().flatten() {
        if let Err(error) = scheduler.add(job).await {
            warn!(%error, "a wake-up job was not taken");
        }
    }
    let mut scheduler = scheduler;
    if let Err(error) = scheduler.start().await {
        warn!(%error, "the wake-up jobs did not start");
    }
    shared.shutdown.cancelled().await;
    if let Err(error) = scheduler.shutdown().await {
        warn!(%error, "the wake-up jobs did not end");
    }
}
