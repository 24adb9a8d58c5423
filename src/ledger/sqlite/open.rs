//! Opening a ledger: lock, look at everything on a connection that cannot write, and only then take it into use.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cutover_machine::Stamp;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tokio::sync::mpsc;

use super::SqliteLedger;
use super::fault::Fault;
use super::files::{Lock, Place};
use super::group::Prepared;
use super::head::Head;
use super::mark::Mark;
use super::meta::{self, Meta, SCHEMA};
use super::renew::Renewal;
use super::verify::{self, Passed, Refusal};
use super::writer::{QUEUE, Shared, Writer};
use crate::seal::{Keyring, SealKeys};
use crate::{OpenError, OpenErrorKind};

const FIRST_SCHEMA: &str = include_str!("../migrations/sqlite/0001_ledger.sql");
/// How long another program that looks into the database may hold it.
const BUSY: Duration = Duration::from_secs(5);
/// Readers at the same time; each is a thread.
const READERS: u32 = 2;

/// What `open` was called with.
pub(super) struct Opening<'a> {
    pub(super) environment: &'a str,
    pub(super) keys: &'a SealKeys,
    pub(super) now: Stamp,
}

impl Opening<'_> {
    pub(super) async fn open(&self, path: &Path, pid: u32) -> Result<SqliteLedger, OpenError> {
        let place = Place::find(path)?;
        place.check_directory()?;
        let mut lock = Lock::take(&place, pid)?;
        match self.locked(&place, &mut lock).await {
            Ok((passed, conn)) => self.take_into_use(place, lock, passed, conn).await,
            Err(error) => {
                lock.release();
                Err(error)
            }
        }
    }

    /// Checks, or creates, and opens for writing.
    async fn locked(&self, place: &Place, lock: &mut Lock) -> Result<(Passed, SqliteConnection), OpenError> {
        let refused = |Refusal(kind, detail)| place.refuse(kind, detail);
        match std::fs::symlink_metadata(&place.path) {
            Ok(found) if found.len() == 0 => {
                let detail = "it is empty: no cutover leaves it so; restore a copy, or remove it to start with nothing";
                return Err(place.refuse(OpenErrorKind::Damaged, detail));
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => self.create(place).await?,
            Err(error) => return Err(place.io(&error, "cannot be looked at")),
        }
        place.mend_modes()?;
        lock.take_database(place)?;
        let mut reader = connect(&reading(&place.path)).await.map_err(refused)?;
        let passed = verify::verify(&mut reader, self.environment, self.keys, self.now).await;
        let closed = reader.close().await.map_err(|error| refused(Fault::from(error).into()));
        let passed = passed.map_err(refused)?;
        closed?;
        let conn = connect(&writing(&place.path)).await.map_err(refused)?;
        Ok((passed, conn))
    }

    async fn take_into_use(
        &self,
        place: Place,
        lock: Lock,
        passed: Passed,
        mut conn: SqliteConnection,
    ) -> Result<SqliteLedger, OpenError> {
        let Passed { ring, meta, prune, older } = passed;
        let ready = async {
            // The first thing that is written also proves that it can be.
            let meta = remember_key(&mut conn, &ring, meta).await?;
            let identity = place.identity().map_err(|error| place.io(&error, "cannot be looked at"))?;
            Ok::<_, OpenError>((meta, identity))
        };
        let (meta, identity) = match ready.await {
            Ok(ready) => ready,
            Err(error) => {
                drop(conn.close().await);
                lock.release();
                return Err(OpenError { place: place.path.display().to_string(), ..error });
            }
        };
        let mark = Mark::take(&place, meta.ledger, meta.head.commits);
        let (ring, shared) = (Arc::new(ring), Arc::new(Shared::new(older, mark.is_behind())));
        let mut writer = Writer {
            conn,
            ring: Arc::clone(&ring),
            head: meta.head,
            shared: Arc::clone(&shared),
            lock,
            mark,
            since_checkpoint: 0,
            renewal: (older > 0).then(Renewal::default),
        };
        if !prune.is_empty() {
            // Old alerts do no harm: if they cannot be forgotten now (a full disk), they are at the next start.
            let pruned = writer.commit(&[&Prepared::pruning(prune)]).await;
            tracing::debug!(done = pruned.iter().all(Result::is_ok), "old alerts forgotten");
        }
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(reading(&place.path));
        let (queue, work) = mpsc::channel(QUEUE);
        tokio::spawn(writer.run(work));
        Ok(SqliteLedger { queue, readers, ring, shared, place, identity, ledger: meta.ledger, created_at: meta.created_at })
    }

    /// Makes a new ledger under another name and renames it when it is whole: a file of the ledger's name is never half made.
    async fn create(&self, place: &Place) -> Result<(), OpenError> {
        if place.beside("-wal").exists() {
            let detail =
                "the ledger is gone but its -wal is still there; restore a copy, or remove the -wal to start with nothing";
            return Err(place.refuse(OpenErrorKind::Damaged, detail));
        }
        let path = place.beside(".new");
        for left_over in ["", "-wal", "-shm", "-journal"] {
            let mut path = path.clone().into_os_string();
            path.push(left_over);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(place.io(&error, "what an earlier try left cannot be removed"));
                }
                _ => {}
            }
        }
        let file = place.create(&path).map_err(|error| place.io(&error, "cannot be created"))?;
        let conn = connect(&writing(&path)).await.map_err(|Refusal(kind, detail)| place.refuse(kind, detail))?;
        self.fill(conn).await.map_err(|fault| place.refuse(OpenErrorKind::Io, format!("cannot be created: {fault}")))?;
        let moved = file.sync_all().and_then(|()| std::fs::rename(&path, &place.path)).and_then(|()| place.sync_directory());
        moved.map_err(|error| place.io(&error, "cannot be created"))
    }

    async fn fill(&self, mut conn: SqliteConnection) -> Result<(), Fault> {
        let mut ledger = [0; 16];
        aws_lc_rs::rand::fill(&mut ledger).map_err(|_| crate::seal::SealError::Crypto)?;
        let ring = Keyring::derive(self.keys, ledger)?;
        conn.execute("BEGIN IMMEDIATE").await?;
        conn.execute(sqlx::raw_sql(FIRST_SCHEMA)).await?;
        let meta = Meta {
            schema: SCHEMA,
            definitions: meta::definitions(&mut conn).await?,
            environment: self.environment.to_owned(),
            ledger,
            created_at: self.now,
            keys: vec![ring.first_id()?],
            head: Head::start(&ledger),
        };
        meta.write(&mut conn, &ring).await?;
        conn.execute("COMMIT").await?;
        // The last connection that closes carries the WAL into the file and removes it.
        Ok(conn.close().await?)
    }
}

/// Records the key that seals from now on, before anything is sealed with it, and proves that the database can be written.
async fn remember_key(conn: &mut SqliteConnection, ring: &Keyring, mut meta: Meta) -> Result<Meta, OpenError> {
    let written = async {
        conn.execute("BEGIN IMMEDIATE").await?;
        let first = ring.first_id()?;
        if meta.keys.first() != Some(&first) {
            meta.keys.retain(|key| *key != first);
            meta.keys.insert(0, first);
            meta.write(conn, ring).await?;
        }
        conn.execute("COMMIT").await?;
        Ok::<_, Fault>(meta)
    };
    written.await.map_err(|fault| {
        let detail = format!("it can be read but not written: {fault}");
        OpenError { kind: OpenErrorKind::Io, place: String::new(), detail }
    })
}

pub(super) async fn connect(options: &SqliteConnectOptions) -> Result<SqliteConnection, Refusal> {
    options.connect().await.map_err(|error| Fault::from(error).into())
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(BUSY)
        .statement_cache_capacity(256)
        .foreign_keys(true)
        .pragma("secure_delete", "ON")
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging()
}

pub(super) fn reading(path: &Path) -> SqliteConnectOptions {
    options(path).read_only(true)
}

/// For a look at a file that this process does not hold. Without a WAL all there is stands in the file itself, and read so, SQLite puts
/// nothing beside it; a daemon that writes meanwhile can make what is read fit together badly, but not so that its MACs fit.
pub(super) fn leaving_no_trace(place: &Place) -> SqliteConnectOptions {
    let still = std::fs::metadata(place.beside("-wal")).map_or(true, |wal| wal.len() == 0);
    reading(&place.path).immutable(still)
}

fn writing(path: &Path) -> SqliteConnectOptions {
    options(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "0")
        .pragma("journal_size_limit", "67108864")
}
