//! A ledger that is older than the one that was in use at its place: restored from a copy, or cut off by a disk that lost what it had called
//! durable. What happened since is not in it, so nothing is done on its word until a person has looked.

use cutover_ledger::{Commit, HistoryEntry};
use tracing::warn;

use super::orders::OrderRefused;
use super::story::alert_row;
use super::{Engine, Shared};
use crate::alert;

impl Shared {
    /// The ledger is older than the one that was in use here, and nobody has said that it may be believed: nothing starts, and of what is
    /// under way only emergencies go on.
    #[must_use]
    pub fn behind(&self) -> bool {
        self.ledger.behind()
    }
}

/// The ledger's note: since when it is told, empty once it is trusted.
const NOTE: &str = "ledger-behind";

/// Tells it before anything goes on; once, however often it is started meanwhile. `notes`: what the ledger has noted.
///
/// # Errors
/// The ledger did not take it.
pub async fn tell(shared: &Shared, notes: &[(String, String)]) -> Result<(), String> {
    if !shared.behind() || notes.iter().any(|(name, since)| name == NOTE && !since.is_empty()) {
        return Ok(());
    }
    warn!("the ledger is older than the one that was in use here: nothing is done on its word until `cutover resume`");
    let now = shared.clock.now();
    let told = alert::ledger_behind(&shared.environment(), now);
    let entry = HistoryEntry::plain(now, None, "cutover", "ledger-behind", &serde_json::json!({}));
    let alerts = vec![alert_row(&told.message, &[], &shared.channels(), now)];
    let notes = vec![(NOTE.to_owned(), now.0.to_string())];
    let commit = Commit { history: vec![entry], alerts, notes, ..Commit::default() };
    shared.ledger.commit(commit).await.map_err(|error| error.to_string())
}

impl Engine {
    /// The ledger is older than the one that was in use here, and nobody has said that it may be believed.
    #[must_use]
    pub fn ledger_behind(&self) -> bool {
        self.shared.behind()
    }

    /// `resume` without a policy: the ledger is to be believed as it is. `false` = it was not in doubt. Recorded with who said so.
    ///
    /// # Errors
    /// The ledger did not take it; nothing goes on.
    pub async fn trust_ledger(&self, actor: &str, reason: Option<&str>) -> Result<bool, OrderRefused> {
        let shared = &self.shared;
        if !shared.behind() {
            return Ok(false);
        }
        let facts = serde_json::json!({ "reason": reason });
        let row = HistoryEntry::plain(shared.clock.now(), None, actor, "ledger-trusted", &facts);
        let commit = Commit { history: vec![row], notes: vec![(NOTE.to_owned(), String::new())], ..Commit::default() };
        let refused = |error: cutover_ledger::CommitError| OrderRefused { reason: error.to_string() };
        shared.ledger.commit(commit).await.map_err(refused)?;
        shared.ledger.trust().await.map_err(refused)?;
        shared.clock_moved();
        Ok(true)
    }
}
