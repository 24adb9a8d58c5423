//! The real ledger, with a counter at its door.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cutover_api::Secret;
use cutover_ledger::{
    Commit, CommitError, DeliveryRow, HistoryQuery, HistoryRow, KeyRow, Ledger, Loaded, RotationRow, SqliteLedger,
};
use tokio::sync::watch;

/// Passes everything through and counts it.
pub struct Watcher {
    ledger: Arc<SqliteLedger>,
    commits: AtomicU64,
    bytes: AtomicU64,
    reads: AtomicU64,
    over: Mutex<BTreeSet<String>>,
    ended: watch::Sender<u64>,
    /// The phase that counts as the end of a rotation; closed always does.
    rest: &'static str,
}

impl Watcher {
    /// Before this ledger.
    pub fn new(ledger: Arc<SqliteLedger>, rest: &'static str) -> Arc<Self> {
        let (commits, bytes, reads, over) = Default::default();
        Arc::new(Self { ledger, commits, bytes, reads, over, ended: watch::Sender::new(0), rest })
    }

    /// Commits, bytes of their texts, reads, and transactions (disk barriers) since the start.
    pub fn counts(&self) -> [u64; 4] {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [of(&self.commits), of(&self.bytes), of(&self.reads), self.ledger.transactions()]
    }

    /// Waits until so many rotations have come to their end.
    pub async fn ended(&self, many: u64) {
        self.ended.subscribe().wait_for(|ended| *ended >= many).await.expect("the sender lives");
    }

    /// How many have.
    pub fn ended_now(&self) -> u64 {
        *self.ended.borrow()
    }

    fn read(&self) -> &SqliteLedger {
        self.reads.fetch_add(1, Ordering::Relaxed);
        &self.ledger
    }
}

#[async_trait]
impl Ledger for Watcher {
    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        let write = commit.rotation.as_ref();
        let ended = write.filter(|write| write.closed || write.phase == self.rest).map(|write| write.id.clone());
        let size = write.map_or(0, |write| write.state.len() + write.plan.as_ref().map_or(0, String::len));
        let more: usize = commit.history.iter().map(|entry| entry.facts.len()).sum();
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add((size + more) as u64, Ordering::Relaxed);
        self.ledger.commit(commit).await?;
        if let Some(id) = ended
            && self.over.lock().expect("free").insert(id)
        {
            self.ended.send_modify(|ended| *ended += 1);
        }
        Ok(())
    }

    async fn load(&self) -> Result<Loaded, CommitError> {
        self.read().load().await
    }

    async fn rotation(&self, id: &str) -> Result<Option<RotationRow>, CommitError> {
        self.read().rotation(id).await
    }

    async fn keys_of(&self, policies: &[String]) -> Result<Vec<KeyRow>, CommitError> {
        self.read().keys_of(policies).await
    }

    async fn unseal(&self, rotation: &str, slot: &str) -> Result<Option<Secret>, CommitError> {
        self.read().unseal(rotation, slot).await
    }

    async fn history(&self, query: &HistoryQuery) -> Result<Vec<HistoryRow>, CommitError> {
        self.read().history(query).await
    }

    async fn verify_history(&self) -> Result<Result<u64, u64>, CommitError> {
        self.read().verify_history().await
    }

    async fn open_deliveries(&self) -> Result<Vec<DeliveryRow>, CommitError> {
        self.read().open_deliveries().await
    }

    async fn room(&self) -> Result<(), String> {
        self.ledger.room().await
    }
}
