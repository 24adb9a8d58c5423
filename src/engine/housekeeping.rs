//! Once an hour: targets of idle policies are looked at for drift (each once a day), and credentials for the next date.

use std::collections::BTreeMap;

use cutover_api::{Outcome, Span, Stamp};
use cutover_config::Policy;
use cutover_ledger::Commit;
use cutover_machine::plan::Authority;
use cutover_machine::state::{Phase, Why};
use tracing::warn;

use super::Engine;
use super::snapshot::Snapshot;
use super::story::alert_row;
use super::values::{current_fields, own_fields};
use crate::alert::{self, Composed};

/// Days before a date at which a credential will be dead, when that is told.
const WARNINGS: [i64; 3] = [1, 3, 14];

impl Engine {
    pub(super) async fn housekeeping(&self) {
        let shared = &self.shared;
        while !shared.stopping() {
            let now = shared.clock.now();
            let hour = now.0 / Span::HOUR.0;
            let config = shared.config();
            for policy in config.policies.values() {
                let Some(state) = shared.policy_state(&policy.name) else { continue };
                if shared.inbox(&policy.name).is_some() {
                    self.credential_now(policy, now).await;
                    continue;
                }
                let turn = i64::try_from(super::ids::seed(&state.seed) % 24).unwrap_or(0);
                if hour % 24 == turn
                    && let Some(targets) = self.drifted(policy).await
                {
                    self.tell(&policy.notify, &alert::idle_drift(&shared.environment(), &policy.name, &targets, now)).await;
                }
                if let Some((_, due)) = state.due {
                    self.credential_for(policy, due, now).await;
                }
            }
            let next = Stamp((hour + 1) * Span::HOUR.0);
            while shared.clock.now() < next && !shared.stopping() {
                tokio::select! {
                    () = shared.clock.sleep_until(next) => {}
                    () = shared.shutdown.cancelled() => {}
                }
            }
        }
    }

    /// The targets of an idle policy that hold another key than the one recorded as current.
    async fn drifted(&self, policy: &Policy) -> Option<Vec<String>> {
        let state = self.shared.policy_state(&policy.name)?;
        let current = state.current?.fingerprint?;
        let snapshot: Snapshot = self.snapshot(&self.shared.config(), policy).ok()?;
        let plugins = self.shared.workshop().build(&snapshot).ok()?;
        let mut drifted = Vec::new();
        for target in &snapshot.targets {
            let store = plugins.stores.get(&target.store)?;
            let Outcome::Done(reading) = store.read(&target.spec, &own_fields(target)).await else { continue };
            let secrets: BTreeMap<String, String> =
                current_fields(target).into_iter().filter(|(_, name)| name == "secret").collect();
            let foreign = |field: &String| reading.fields.get(field).is_none_or(|value| value.fingerprint() != current);
            if secrets.keys().any(foreign) {
                drifted.push(target.name());
            }
        }
        (!drifted.is_empty()).then_some(drifted)
    }

    /// Tells 14, 3 and 1 days before a date that the account's credential will be dead on it.
    async fn credential_for(&self, policy: &Policy, due: Stamp, now: Stamp) {
        let days_left = due.since(now).0 / Span::DAY.0;
        let Some(days) = WARNINGS.into_iter().find(|days| days_left < *days) else { return };
        let Some(expires_at) = self.credential_end(policy).await.filter(|at| *at <= due) else { return };
        let told = alert::credential_expiring(&self.shared.environment(), &policy.provider, expires_at, due, days, now);
        self.tell(&policy.notify, &told).await;
    }

    /// Tells at once that the credential is dead while a rotation is under way that will need it, where that rotation does not say so
    /// itself.
    async fn credential_now(&self, policy: &Policy, now: Stamp) {
        let Some(view) = self.shared.view(&policy.name) else { return };
        let told_there = matches!(view.record.machine.held.as_ref().map(|held| &held.why), Some(Why::Credential(_)));
        // While only the provider's clock is waited for nothing is asked of the provider any more that needs it.
        let needed = !(view.record.machine.phase == Phase::Retire && view.record.machine.clock_ends_old(&view.snapshot.plan));
        if told_there || !needed {
            return;
        }
        let Some(expires_at) = self.credential_end(policy).await.filter(|at| *at <= now) else { return };
        let told = alert::credential_expiring(&self.shared.environment(), &policy.provider, expires_at, now, 0, now);
        self.tell(&policy.notify, &told).await;
    }

    /// Until when the account's credential lives, where that is known.
    async fn credential_end(&self, policy: &Policy) -> Option<Stamp> {
        let snapshot = self.snapshot(&self.shared.config(), policy).ok()?;
        if snapshot.plan.provider.declares.authority == Authority::Own {
            return None;
        }
        let line = self.shared.workshop().line(&snapshot.account).ok()?;
        line.provider.credential().await.ok()?.expires_at
    }

    async fn tell(&self, wanted: &[String], told: &Composed) {
        let now = self.shared.clock.now();
        let row = alert_row(&told.message, wanted, &self.shared.channels(), now);
        if let Err(error) = self.shared.ledger.commit(Commit { alerts: vec![row], ..Commit::default() }).await {
            warn!(%error, "an alert could not be kept; it is made again within the hour");
        }
        self.shared.alerts_waiting();
    }
}
