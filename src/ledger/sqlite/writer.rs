//! The single writer: one task that takes the commits that wait and makes them durable together.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, Executor as _};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use super::fault::{Fault, Weight, code};
use super::files::Lock;
use super::group::{self, Prepared};
use super::head::Head;
use super::mark::Mark;
use super::renew::Renewal;
use crate::CommitError;
use crate::seal::Keyring;

/// Commits that may wait before the next one has to.
pub(super) const QUEUE: usize = 1_024;
/// Commits that share one transaction.
const GROUP: usize = 256;
/// Pages (about) after which what was written is carried from the WAL into the database.
const CHECKPOINT_EVERY: u64 = 1_000;

/// What the writer is asked to do.
pub(super) enum Work {
    Commit(Box<Waiting>),
    /// A person believes this ledger although it is older than the one that was in use here.
    Trust(oneshot::Sender<()>),
    Close(oneshot::Sender<Result<(), CommitError>>),
}

/// A commit and who waits for it.
pub(super) struct Waiting {
    pub(super) prepared: Prepared,
    pub(super) done: oneshot::Sender<Result<(), CommitError>>,
}

/// What the writer and the readers both know.
#[derive(Default)]
pub(super) struct Shared {
    /// Why nothing may be written or believed any more.
    broken: OnceLock<String>,
    transactions: AtomicU64,
    /// Rows that an older key made.
    older: AtomicU64,
    /// It is older than the one that was in use here.
    behind: AtomicBool,
}

pub(super) struct Writer {
    pub(super) conn: SqliteConnection,
    pub(super) ring: Arc<Keyring>,
    pub(super) head: Head,
    pub(super) shared: Arc<Shared>,
    pub(super) lock: Lock,
    pub(super) mark: Mark,
    /// Pages (about) written since the last checkpoint.
    pub(super) since_checkpoint: u64,
    /// Where the making anew of rows of older keys stands; `None` when there is nothing of it to do.
    pub(super) renewal: Option<Renewal>,
}

impl Shared {
    pub(super) fn new(older: u64, behind: bool) -> Self {
        Self { older: AtomicU64::new(older), behind: AtomicBool::new(behind), ..Self::default() }
    }

    pub(super) fn older(&self) -> u64 {
        self.older.load(Ordering::Relaxed)
    }

    pub(super) fn behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    pub(super) fn transactions(&self) -> u64 {
        self.transactions.load(Ordering::Relaxed)
    }

    /// # Errors
    /// An earlier failure left it unknown what is on disk.
    pub(super) fn check(&self) -> Result<(), CommitError> {
        self.broken.get().map_or(Ok(()), |why| Err(CommitError::Failed(why.clone())))
    }

    /// Fails closed: nothing is written any more until the ledger is opened anew.
    fn break_with(&self, fault: &Fault) -> CommitError {
        let why = self.broken.get_or_init(|| format!("{fault}; nothing more is written until the ledger is opened anew"));
        tracing::error!(%fault, "the ledger failed and is closed to further writes");
        CommitError::Failed(why.clone())
    }
}

impl Writer {
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Work>) {
        let mut group = Vec::new();
        let mut closing = None;
        while closing.is_none() {
            let first = match queue.try_recv() {
                // Nobody waits: time for one step of what can wait.
                Err(TryRecvError::Empty) if self.renewal.is_some() => {
                    self.renew().await;
                    continue;
                }
                Err(_) => queue.recv().await,
                Ok(work) => Some(work),
            };
            match first {
                Some(Work::Commit(waiting)) => group.push(*waiting),
                Some(Work::Trust(done)) => self.trust(done),
                Some(Work::Close(done)) => closing = Some(done),
                None => break,
            }
            while closing.is_none() && group.len() < GROUP {
                match queue.try_recv() {
                    Ok(Work::Commit(waiting)) => group.push(*waiting),
                    Ok(Work::Trust(done)) => self.trust(done),
                    Ok(Work::Close(done)) => closing = Some(done),
                    Err(_) => break,
                }
            }
            self.answer(std::mem::take(&mut group)).await;
        }
        let closed = self.close().await;
        if let Some(done) = closing {
            // Nobody may be waiting any more; the ledger is closed all the same.
            let _ = done.send(closed);
        }
    }

    fn trust(&mut self, done: oneshot::Sender<()>) {
        self.mark.trust(self.head.commits);
        self.shared.behind.store(false, Ordering::Relaxed);
        // Who asked may have gone; it is so all the same.
        let _ = done.send(());
    }

    /// Commits a group and tells everybody in it, after it is on disk.
    async fn answer(&mut self, group: Vec<Waiting>) {
        if group.is_empty() {
            return;
        }
        let commits: Vec<&Prepared> = group.iter().map(|waiting| &waiting.prepared).collect();
        let answers = self.commit(&commits).await;
        for (waiting, answer) in group.into_iter().zip(answers) {
            // Who waited may have gone; what was committed stays committed.
            let _ = waiting.done.send(answer);
        }
        self.checkpoint_when_due().await;
    }

    /// Commits a group; where one of its commits spoils it for all, each by itself.
    pub(super) async fn commit(&mut self, commits: &[&Prepared]) -> Vec<Result<(), CommitError>> {
        let error = match self.transact(commits).await {
            Ok(answers) => return answers,
            Err(error) => error,
        };
        let full = matches!(error, CommitError::Full(_));
        if full {
            // What the WAL holds beside the database makes room, once it is carried over.
            self.checkpoint().await;
        }
        if self.shared.check().is_err() || (commits.len() == 1 && !full) {
            return commits.iter().map(|_| Err(copy(&error))).collect();
        }
        let mut answers = Vec::with_capacity(commits.len());
        for commit in commits {
            answers.push(self.transact(std::slice::from_ref(commit)).await.unwrap_or_else(|error| vec![Err(error)]));
        }
        answers.into_iter().flatten().collect()
    }

    /// One transaction. An error means that nothing of it was written, unless the ledger is broken since.
    async fn transact(&mut self, commits: &[&Prepared]) -> Result<Vec<Result<(), CommitError>>, CommitError> {
        self.shared.check()?;
        self.since_checkpoint += 4 + commits.iter().map(|commit| commit.pages()).sum::<u64>();
        let written = group::write(&mut self.conn, &self.ring, &self.head, commits).await;
        match written {
            Ok((head, answers)) => {
                self.head = head;
                self.mark.advance(self.head.commits);
                self.shared.transactions.fetch_add(1, Ordering::Relaxed);
                Ok(answers)
            }
            Err(fault) => Err(self.give_up(&fault).await),
        }
    }

    /// Rolls back and says what the fault means. A failed disk barrier is never tried again on the same handle: what the kernel then
    /// calls written need not be. (To roll back needs none.)
    async fn give_up(&mut self, fault: &Fault) -> CommitError {
        let rolled_back = self.conn.execute("ROLLBACK").await.map_err(Fault::from);
        if fault.weight() == Weight::Fatal {
            return self.shared.break_with(fault);
        }
        match rolled_back {
            // SQLite has rolled back by itself: there is no transaction left to end.
            Err(error) if error.code() != Some(code::ERROR) => self.shared.break_with(&error),
            _ if fault.weight() == Weight::Full => CommitError::Full(fault.to_string()),
            _ => CommitError::Failed(format!("{fault}; nothing was written")),
        }
    }

    async fn checkpoint_when_due(&mut self) {
        if self.since_checkpoint >= CHECKPOINT_EVERY {
            self.checkpoint().await;
        }
    }

    /// SQLite's own checkpoints would swallow a failed disk barrier, so they are off and made here.
    async fn checkpoint(&mut self) {
        if self.shared.check().is_err() {
            return;
        }
        self.since_checkpoint = 0;
        if let Err(error) = self.conn.execute("PRAGMA wal_checkpoint(PASSIVE)").await {
            let fault = Fault::from(error);
            // A full or busy disk only puts it off: the WAL keeps everything.
            if fault.weight() == Weight::Fatal {
                self.shared.break_with(&fault);
            }
        }
    }

    /// One step of making rows of older keys anew with the first.
    async fn renew(&mut self) {
        let Some(renewal) = self.renewal.take() else { return };
        match self.try_renew(renewal).await {
            Ok((head, next, done)) => {
                self.head = head;
                self.renewal = next;
                self.shared.older.fetch_sub(done.min(self.shared.older()), Ordering::Relaxed);
                self.since_checkpoint += 4 + done;
                self.checkpoint_when_due().await;
            }
            Err(fault) => {
                // It goes on at the next start; the older keys are still in the list.
                let error = self.give_up(&fault).await;
                tracing::warn!(%error, "rows of older sealing keys were not made anew");
            }
        }
    }

    async fn try_renew(&mut self, renewal: Renewal) -> Result<(Head, Option<Renewal>, u64), Fault> {
        self.conn.execute("BEGIN IMMEDIATE").await?;
        let renewed = renewal.step(&mut self.conn, &self.ring, &self.head).await?;
        self.conn.execute("COMMIT").await?;
        Ok(renewed)
    }

    async fn close(self) -> Result<(), CommitError> {
        let Self { conn, shared, lock, mark, .. } = self;
        if let Err(error) = shared.check() {
            // Closing would carry the WAL into the database and sync it on the very handles that failed.
            std::mem::forget(conn);
            lock.release();
            return Err(error);
        }
        let closed = conn.close().await;
        mark.sync();
        lock.release();
        closed.map_err(|error| CommitError::Failed(Fault::from(error).to_string()))
    }
}

fn copy(error: &CommitError) -> CommitError {
    match error {
        CommitError::Conflict { rotation } => CommitError::Conflict { rotation: rotation.clone() },
        CommitError::Full(detail) => CommitError::Full(detail.clone()),
        CommitError::Failed(detail) => CommitError::Failed(detail.clone()),
    }
}
