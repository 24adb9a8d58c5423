//! A ledger with something in its way.

use std::sync::Arc;

use async_trait::async_trait;
use cutover_api::Secret;
use cutover_ledger::{Commit, CommitError, DeliveryRow, HistoryQuery, HistoryRow, KeyRow, Ledger, Loaded, RotationRow};

/// What is in its way.
#[async_trait]
pub trait Hindrance: Send + Sync {
    /// Before a commit: it may take its time, or refuse.
    async fn before(&self, commit: &Commit) -> Result<(), CommitError>;

    /// What it says of its room; `None` = what the ledger says.
    fn room(&self) -> Option<String> {
        None
    }
}

/// The ledger behind it.
pub struct Hindered<H> {
    pub ledger: Arc<dyn Ledger>,
    pub by: H,
}

#[async_trait]
impl<H: Hindrance> Ledger for Hindered<H> {
    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        self.by.before(&commit).await?;
        self.ledger.commit(commit).await
    }

    async fn load(&self) -> Result<Loaded, CommitError> {
        self.ledger.load().await
    }

    async fn rotation(&self, id: &str) -> Result<Option<RotationRow>, CommitError> {
        self.ledger.rotation(id).await
    }

    async fn keys_of(&self, policies: &[String]) -> Result<Vec<KeyRow>, CommitError> {
        self.ledger.keys_of(policies).await
    }

    async fn unseal(&self, rotation: &str, slot: &str) -> Result<Option<Secret>, CommitError> {
        self.ledger.unseal(rotation, slot).await
    }

    async fn history(&self, query: &HistoryQuery) -> Result<Vec<HistoryRow>, CommitError> {
        self.ledger.history(query).await
    }

    async fn verify_history(&self) -> Result<Result<u64, u64>, CommitError> {
        self.ledger.verify_history().await
    }

    async fn open_deliveries(&self) -> Result<Vec<DeliveryRow>, CommitError> {
        self.ledger.open_deliveries().await
    }

    async fn room(&self) -> Result<(), String> {
        match self.by.room() {
            Some(detail) => Err(detail),
            None => self.ledger.room().await,
        }
    }
}
