//! SIGHUP: a valid file takes the place of the one before, an invalid one changes nothing.

use std::sync::Arc;

use cutover_ledger::{AlertRow, Commit};
use tracing::{error, info, warn};

use super::open;
use crate::alert;
use crate::control::Verbs;
use crate::engine::{WallClock, channels};

/// Loads the configuration anew. What is wrong with it is logged, alerted and kept for `status`.
pub async fn reload(verbs: &Verbs, clock: &Arc<WallClock>) {
    let problems = match open::config(verbs.file(), clock) {
        Ok((config, catalog)) => {
            let before = verbs.engine().config();
            let fixed = [
                ("ledger", before.daemon.ledger != config.daemon.ledger),
                ("control", before.daemon.control != config.daemon.control),
                ("name", before.daemon.name != config.daemon.name),
                ("seal", before.daemon.seal != config.daemon.seal),
                ("listen", before.daemon.listen != config.daemon.listen),
            ];
            for (key, _) in fixed.iter().filter(|(_, changed)| *changed) {
                warn!(key, "[daemon] {key} has changed: it acts at the next start");
            }
            match verbs.engine().reload(config, catalog.clone()).await {
                Ok(changes) => {
                    verbs.reloaded(catalog);
                    info!(changes = changes.len(), "configuration reloaded");
                    changes.iter().for_each(|change| info!("reload: {change}"));
                    return;
                }
                Err(detail) => detail.lines().map(ToOwned::to_owned).collect(),
            }
        }
        Err(problems) => open::lines(&problems),
    };
    error!(problems = problems.len(), "the configuration was refused; the one before stays in force");
    problems.iter().for_each(|problem| error!("reload: {problem}"));
    tell(verbs, &problems).await;
    verbs.reload_failed(problems);
}

/// An operator who reloads from a script does not read the log.
async fn tell(verbs: &Verbs, problems: &[String]) {
    let engine = verbs.engine();
    let (config, now) = (engine.config(), engine.now());
    let message = alert::reload_refused(&config.daemon.name, problems, now).message;
    let Ok(channels) = channels(&config, &verbs.catalog()) else { return };
    let row = AlertRow {
        id: message.id.clone(),
        at: now,
        channels: channels.chosen(&[], message.severity),
        message: serde_json::to_string(&message).unwrap_or_default(),
    };
    if let Err(error) = engine.ledger().commit(Commit { alerts: vec![row], ..Commit::default() }).await {
        warn!(%error, "the alert about the configuration could not be kept");
    }
    engine.look_again();
}
