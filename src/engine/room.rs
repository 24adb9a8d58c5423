//! A ledger that cannot be written, or soon will not be: somebody is told, while there is room for the alert and when there is none.

use std::sync::Arc;

use cutover_api::{Span, Stamp};
use cutover_ledger::Commit;
use tracing::{info, warn};

use super::Shared;
use super::story::alert_row;
use crate::alert::{self, Composed};

/// How often it is looked at.
const LOOK: Span = Span::MINUTE;

/// What is known of the room: since when it is short, and when that was told last.
#[derive(Default)]
struct Short {
    since: Option<Stamp>,
    told: Option<Stamp>,
}

/// Looks at the room each minute. The ledger asks for more than one commit takes, so that the alert itself can nearly always be kept.
pub async fn watch(shared: Arc<Shared>) {
    let mut short = Short::default();
    while !shared.stopping() {
        look(&shared, &mut short).await;
        tokio::select! {
            () = shared.clock.sleep_until(shared.clock.now().plus(LOOK)) => {}
            () = shared.shutdown.cancelled() => {}
        }
    }
}

async fn look(shared: &Shared, short: &mut Short) {
    let now = shared.clock.now();
    let environment = shared.environment();
    match shared.ledger.room().await {
        Err(detail) => {
            let since = *short.since.get_or_insert(now);
            if short.told.is_some_and(|told| told <= now && now.since(told) < Span::DAY) {
                return;
            }
            warn!(detail, "the ledger is short of room");
            if say(shared, &alert::ledger_no_room(&environment, &detail, since, now), now).await {
                short.told = Some(now);
            }
        }
        Ok(()) => {
            if let (Some(since), Some(_)) = (short.since.take(), short.told.take()) {
                info!("the ledger has room again");
                say(shared, &alert::ledger_has_room(&environment, since, now), now).await;
            }
        }
    }
}

/// By way of the ledger, as everything that is told; where it takes nothing, the channels are told at once. Whether somebody will be.
async fn say(shared: &Shared, told: &Composed, now: Stamp) -> bool {
    let row = alert_row(&told.message, &[], &shared.channels(), now);
    match shared.ledger.commit(Commit { alerts: vec![row], ..Commit::default() }).await {
        Ok(()) => {
            shared.alerts_waiting();
            true
        }
        Err(error) => {
            warn!(%error, "the alert could not be kept: the channels are told at once");
            !shared.channels().tell_now(&told.message).await.is_empty()
        }
    }
}
