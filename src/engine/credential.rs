//! A dead credential inside a rotation: it is told at once, waited for, and taken up when another one is in its place.

use cutover_api::{Span, Stamp};
use cutover_ledger::Commit;
use cutover_machine::state::{Call, Why};
use tracing::warn;

use super::plugins::AccountLine;
use super::run::Runner;
use super::story::alert_row;
use crate::alert;

/// How often it is looked whether another credential is there.
const LOOK: Span = Span::MINUTE;

impl Runner {
    fn waits_for_credential(&self) -> bool {
        matches!(self.record.machine.held.as_ref().map(|held| &held.why), Some(Why::Credential(_)))
    }

    /// Another credential is there than the one that was refused, and what waits for it is not tried yet. After a start nothing is known
    /// of the one before: it is then tried once.
    pub(super) async fn renewed(&self) -> bool {
        let waits = matches!(self.record.machine.call, Call::Ready { not_before, .. } if not_before > self.shared.clock.now());
        if !waits || !self.waits_for_credential() {
            return false;
        }
        let mark = self.plugins.account.provider.credential_mark().await;
        mark.is_some() && mark != self.credential
    }

    /// When it is to be looked again at the latest.
    pub(super) fn next_look(&self, until: Stamp) -> Stamp {
        if self.waits_for_credential() { until.min(self.shared.clock.now().plus(LOOK)) } else { until }
    }

    /// Tells of a credential that was refused where the rotation goes on without the answer. Once a day, whatever the number of policies.
    pub(super) async fn tell_denied(&self, line: &AccountLine) {
        let Some(detail) = line.take_denied() else { return };
        if self.waits_for_credential() {
            return;
        }
        let now = self.shared.clock.now();
        let account = &self.snapshot.account.name;
        let told = alert::credential_refused(&self.shared.environment(), account, &detail, now);
        let row = alert_row(&told.message, &self.snapshot.notify, &self.shared.channels(), now);
        if let Err(error) = self.shared.ledger.commit(Commit { alerts: vec![row], ..Commit::default() }).await {
            warn!(%error, "an alert could not be kept; it is made again at the next poll");
        }
        self.shared.alerts_waiting();
    }
}
