//! The ledger in one SQLite file, for one process.
//!
//! * WAL with a full disk barrier at every commit; commits that wait together share it (one writer, `writer.rs`).
//! * Every row carries a MAC, and a head row the count and sum of each table's MACs and the end of the history's chain: a changed,
//!   removed or put-back row is found when it is opened, a changed row also whenever it is read. A whole older copy of all files
//!   fits, and so does a `-wal` that was cut short or removed after a crash: they are noticed by a mark beside them ([`Ledger::behind`]).
//! * After an input/output error other than a full disk it answers [`CommitError::Failed`] to everything until it is opened anew.
//! * The file, `-wal`, `-shm` and `.lock` have mode 0600. The directory must exist and not be writable by everybody.

mod copy;
mod fault;
mod files;
mod glance;
mod group;
mod head;
mod mark;
mod meta;
mod open;
mod read;
mod renew;
mod rows;
mod table;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use cutover_api::Secret;
use cutover_machine::Stamp;
use sqlx::SqlitePool;
use tokio::sync::{mpsc, oneshot};

use self::fault::Fault;
use self::files::{Identity, Place};
use self::group::Prepared;
use self::open::Opening;
use self::read::Reading;
use self::writer::{Shared, Waiting, Work};
use crate::seal::{Keyring, SealKeys};
use crate::{
    Commit, CommitError, Copied, DeliveryRow, HistoryQuery, HistoryRow, KeyRow, Ledger, Loaded, OpenError, OpenErrorKind,
    PolicyWrite, RotationRow,
};

/// A ledger in one SQLite file. Close it with [`SqliteLedger::close`]; dropped, it closes by itself a little later.
pub struct SqliteLedger {
    queue: mpsc::Sender<Work>,
    readers: SqlitePool,
    ring: Arc<Keyring>,
    shared: Arc<Shared>,
    place: Place,
    identity: Identity,
    ledger: [u8; 16],
    created_at: Stamp,
}

impl SqliteLedger {
    /// Opens the ledger at `path`, or creates it. Everything in it is checked before anything is written: whose it is, every page,
    /// every row, the history's chain. `pid` is what a second process is told. Alerts that came about more than 30 days before `now`
    /// and have nothing left to deliver are forgotten. Must be called in a tokio runtime; the writer lives in it.
    ///
    /// # Errors
    /// See [`OpenError`]; its files are as they were, but for modes that let others read them.
    pub async fn open(path: &Path, environment: &str, keys: SealKeys, pid: u32, now: Stamp) -> Result<Self, OpenError> {
        Opening { environment, keys: &keys, now }.open(path, pid).await
    }

    /// The policies' states as the file at `path` shows them: without the sealing key nothing of it is proven, so it is good for a look
    /// ahead and for nothing that acts. Takes no lock, writes nothing, and works beside a running daemon.
    ///
    /// # Errors
    /// It cannot be read, is no ledger, or bears another environment's name.
    pub async fn glance(path: &Path, environment: &str) -> Result<Vec<PolicyWrite>, OpenError> {
        glance::glance(path, environment).await
    }

    /// [`Ledger::copy`] of the file at `from`, without opening it for use: its lock is not needed and nothing in it is changed.
    ///
    /// # Errors
    /// As [`Ledger::copy`]; `from` is damaged, another environment's, or sealed with another key.
    pub async fn copy_file(
        from: &Path,
        environment: &str,
        keys: &SealKeys,
        to: &Path,
        now: Stamp,
    ) -> Result<Copied, OpenError> {
        copy::copy_file(from, environment, keys, to, now).await
    }

    /// Ends what is queued, carries the WAL into the file and gives the lock back. Later calls answer with [`CommitError::Failed`].
    ///
    /// # Errors
    /// The ledger had failed before, or the database could not be closed; what was committed is committed.
    pub async fn close(&self) -> Result<(), CommitError> {
        self.readers.close().await;
        let (done, closed) = oneshot::channel();
        self.queue.send(Work::Close(done)).await.map_err(|_| gone())?;
        closed.await.map_err(|_| gone())?
    }

    /// How many transactions (disk barriers) were made since it was opened.
    #[must_use]
    pub fn transactions(&self) -> u64 {
        self.shared.transactions()
    }

    /// How many rows an older key of the list still holds. They are made anew with the first key when they are next written, and
    /// otherwise little by little while nobody waits for the writer; at 0 the older keys may leave the list.
    #[must_use]
    pub fn older_rows(&self) -> u64 {
        self.shared.older()
    }

    /// When the ledger was created.
    #[must_use]
    pub fn created_at(&self) -> Stamp {
        self.created_at
    }

    async fn read<T>(&self, what: impl AsyncFnOnce(Reading<'_>) -> Result<T, Fault>) -> Result<T, CommitError> {
        self.shared.check()?;
        let read = async {
            let mut conn = self.readers.acquire().await?;
            what(Reading { conn: &mut conn, ring: &self.ring }).await
        };
        read.await.map_err(|fault| CommitError::Failed(format!("not read: {fault}")))
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        self.shared.check()?;
        // Sealed here, so that no secret value waits in the queue.
        let prepared = Prepared::new(&self.ring, commit)
            .map_err(|error| CommitError::Failed(format!("sealing: {error}; nothing was written")))?;
        if prepared.is_empty() {
            return Ok(());
        }
        let (done, answer) = oneshot::channel();
        // From here on the writer has it: dropping this future cuts nothing.
        self.queue.send(Work::Commit(Box::new(Waiting { prepared, done }))).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    async fn load(&self) -> Result<Loaded, CommitError> {
        self.read(async |reading| reading.load().await).await
    }

    async fn rotation(&self, id: &str) -> Result<Option<RotationRow>, CommitError> {
        self.read(async |reading| reading.rotation(id).await).await
    }

    async fn keys_of(&self, policies: &[String]) -> Result<Vec<KeyRow>, CommitError> {
        self.read(async |reading| reading.keys_of(policies).await).await
    }

    async fn unseal(&self, rotation: &str, slot: &str) -> Result<Option<Secret>, CommitError> {
        let Some(record) = self.read(async |reading| reading.sealed(rotation, slot).await).await? else { return Ok(None) };
        let opened = self.ring.open(rotation, slot, &record);
        opened.map(Some).map_err(|error| CommitError::Failed(format!("a sealed value does not open: {error}")))
    }

    async fn history(&self, query: &HistoryQuery) -> Result<Vec<HistoryRow>, CommitError> {
        self.read(async |reading| reading.history(query).await).await
    }

    async fn verify_history(&self) -> Result<Result<u64, u64>, CommitError> {
        self.read(async |reading| reading.verify_history(&self.ledger).await).await
    }

    async fn open_deliveries(&self) -> Result<Vec<DeliveryRow>, CommitError> {
        self.read(async |reading| reading.open_deliveries().await).await
    }

    async fn copy(&self, to: &Path, now: Stamp) -> Result<Copied, OpenError> {
        let refuse = |kind, detail: String| self.place.refuse(kind, detail);
        self.shared.check().map_err(|error| refuse(OpenErrorKind::Io, error.to_string()))?;
        let conn = self.readers.acquire().await;
        let mut conn = conn.map_err(|error| refuse(OpenErrorKind::Io, Fault::from(error).to_string()))?;
        copy::copy(&mut conn, &self.ring, to, now).await
    }

    fn behind(&self) -> bool {
        self.shared.behind()
    }

    async fn trust(&self) -> Result<(), CommitError> {
        self.shared.check()?;
        let (done, trusted) = oneshot::channel();
        self.queue.send(Work::Trust(done)).await.map_err(|_| gone())?;
        trusted.await.map_err(|_| gone())
    }

    async fn room(&self) -> Result<(), String> {
        self.shared.check().map_err(|error| error.to_string())?;
        self.place.room(self.identity)
    }
}

fn gone() -> CommitError {
    CommitError::Failed("the ledger is closed".to_owned())
}
