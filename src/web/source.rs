//! What is shown, and where it comes from.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use cutover_api::Stamp;
use cutover_ledger::HistoryRow;

use super::Chronicle;
use crate::control::ReloadError;
use crate::engine::{PolicyStatus, Totals};

/// One alert channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelStanding {
    /// Alerts that it has not accepted yet; `None` = the ledger could not be read.
    pub waiting: Option<usize>,
    /// Since when it accepts nothing, and what it said last.
    pub failing: Option<(Stamp, String)>,
}

/// An emergency order with something left to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenEmergency {
    /// Its id.
    pub id: String,
    /// When it was given.
    pub at: Stamp,
    /// Who gave it.
    pub actor: String,
    /// How far it has come, in a line.
    pub line: String,
}

/// How everything stands at one moment.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// `[daemon] name`.
    pub environment: String,
    /// The program's version.
    pub version: String,
    /// The moment.
    pub at: Stamp,
    /// When the daemon was started.
    pub started_at: Stamp,
    /// The clock has stepped: nothing starts and no key is ended.
    pub frozen: bool,
    /// The file on disk that was refused, while the one before is in force.
    pub reload_error: Option<ReloadError>,
    /// Reloads that failed since the start.
    pub failed_reloads: u64,
    /// When the configuration in force was loaded.
    pub loaded_at: Stamp,
    /// The emergency orders that are open, the oldest first.
    pub emergencies: Vec<OpenEmergency>,
    /// The alert channels by name.
    pub channels: BTreeMap<String, ChannelStanding>,
    /// What happened since the start.
    pub totals: Totals,
    /// Transactions of the ledger since the start.
    pub transactions: u64,
    /// Every policy, those with open work that were removed too.
    pub policies: Vec<PolicyStatus>,
    /// The zone of each policy that is loaded.
    pub zones: BTreeMap<String, String>,
}

/// What is known of one policy beside its status.
#[derive(Clone, Debug)]
pub struct Detail {
    /// The next dates, in the policy's zone, as they are shown.
    pub dates: Vec<String>,
    /// The targets, as `store:path`.
    pub targets: Vec<String>,
    /// The newest entries of its history, oldest first; why there are none, where the ledger could not be read.
    pub history: Result<Vec<HistoryRow>, String>,
}

/// Where what is shown comes from.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// How everything stands now.
    async fn picture(&self) -> Picture;

    /// The rotations of the last year.
    ///
    /// # Errors
    /// The ledger could not be read, a sentence.
    async fn year(&self) -> Result<Arc<Chronicle>, String>;

    /// What is known of one policy beside its status.
    async fn detail(&self, policy: &str) -> Detail;

    /// Whether the daemon's loop turns.
    async fn lives(&self) -> bool;
}
