//! A copy of a ledger, made while it is in use, and proven before it bears its name.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use cutover_machine::Stamp;
use rustix::fs::{CWD, RenameFlags};
use sqlx::{Connection as _, SqliteConnection};

use super::fault::Fault;
use super::files::Place;
use super::meta::{Found, Meta};
use super::open::{connect, leaving_no_trace, reading};
use super::table::STATE;
use super::verify::{self, Refusal};
use crate::seal::{Keyring, SealKeys};
use crate::{Copied, OpenError, OpenErrorKind};

/// A copy that is being made; what is there of it goes when it is given up.
struct Draft {
    path: PathBuf,
}

impl Drop for Draft {
    fn drop(&mut self) {
        for suffix in ["", "-journal", "-wal", "-shm"] {
            let mut path = self.path.clone().into_os_string();
            path.push(suffix);
            // One that never came about is gone already.
            let _gone = std::fs::remove_file(path);
        }
    }
}

/// Copies the ledger file at `from`, whether a daemon has it open or not. Nothing in it is changed and its lock is not needed.
pub(super) async fn copy_file(
    from: &Path,
    environment: &str,
    keys: &SealKeys,
    to: &Path,
    now: Stamp,
) -> Result<Copied, OpenError> {
    let source = Place::find(from)?;
    let refused = |Refusal(kind, detail)| source.refuse(kind, detail);
    if !source.path.exists() {
        return Err(source.refuse(OpenErrorKind::Io, "there is no ledger here"));
    }
    let mut conn = connect(&leaving_no_trace(&source)).await.map_err(refused)?;
    let found = verify::identify(&mut conn, environment, keys).await;
    let copied = match found {
        Ok((ring, _)) => copy(&mut conn, &ring, to, now).await,
        Err(refusal) => Err(refused(refusal)),
    };
    conn.close().await.map_err(|error| refused(Fault::from(error).into()))?;
    copied
}

/// Copies the ledger behind `conn` as it is at one moment, proves the copy, and only then gives it its name; never over another file.
pub(super) async fn copy(conn: &mut SqliteConnection, ring: &Keyring, to: &Path, now: Stamp) -> Result<Copied, OpenError> {
    let place = Place::find(to)?;
    place.check_directory()?;
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let path = place.beside(suffix);
        if std::fs::symlink_metadata(&path).is_ok() {
            let detail =
                format!("{} is there already and is never overwritten: name another place, or move it away", path.display());
            return Err(place.refuse(OpenErrorKind::Exists, detail));
        }
    }
    let mut unique = [0; 8];
    aws_lc_rs::rand::fill(&mut unique).map_err(|_| place.refuse(OpenErrorKind::Io, "no random numbers"))?;
    let draft = Draft { path: place.beside(&format!(".copy-{}", hex::encode(unique))) };
    // SQLite writes into an empty file that is there: ours, which nobody else can read from its first moment on.
    let file = place.create(&draft.path).map_err(|error| place.io(&error, "cannot be created"))?;
    let refused = |Refusal(kind, detail)| place.refuse(kind, detail);
    let source = meta_of(conn, ring).await.map_err(refused)?;
    vacuum(conn, &draft.path).await.map_err(|fault| place.refuse(OpenErrorKind::Io, format!("cannot be written: {fault}")))?;
    file.sync_all().map_err(|error| place.io(&error, "cannot be made durable"))?;
    let copied = prove(&draft.path, ring, &source, now).await.map_err(refused)?;
    take_name(&draft.path, &place.path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            place.refuse(OpenErrorKind::Exists, "a file has come there meanwhile and is never overwritten: name another place")
        }
        _ => place.io(&error, "cannot be given its name"),
    })?;
    place.sync_directory().map_err(|error| place.io(&error, "cannot be made durable"))?;
    let bytes = file.metadata().map_or(0, |found| found.size());
    Ok(Copied { place: place.path.display().to_string(), bytes, ..copied })
}

async fn vacuum(conn: &mut SqliteConnection, path: &Path) -> Result<(), Fault> {
    let path = path.to_str().ok_or_else(|| Fault::Damaged("its path is not UTF-8".to_owned()))?;
    sqlx::query("VACUUM INTO ?").bind(path.to_owned()).execute(conn).await?;
    Ok(())
}

async fn meta_of(conn: &mut SqliteConnection, ring: &Keyring) -> Result<Meta, Refusal> {
    Ok(Found::read(conn).await?.understand(ring)?)
}

/// Every page, row and link of the copy is what was written, and it is a copy of this very ledger, not older than `source`.
async fn prove(path: &Path, ring: &Keyring, source: &Meta, now: Stamp) -> Result<Copied, Refusal> {
    let mut conn = connect(&reading(path)).await?;
    let proven = async {
        let meta = meta_of(&mut conn, ring).await?;
        let same = (&meta.environment, meta.ledger, meta.created_at, &meta.keys, meta.schema)
            == (&source.environment, source.ledger, source.created_at, &source.keys, source.schema);
        if !same || meta.head.seq < source.head.seq {
            return Err(Fault::Damaged("the copy is not one of this ledger".to_owned()).into());
        }
        verify::walk(&mut conn, ring, &meta, now).await?;
        Ok::<_, Refusal>(meta)
    };
    let meta = proven.await;
    let closed = conn.close().await.map_err(Fault::from);
    let meta = meta?;
    closed?;
    Ok(Copied {
        place: String::new(),
        environment: meta.environment,
        history: meta.head.seq,
        rows: STATE.iter().zip(&meta.head.tables).map(|(table, tally)| (table.name.to_owned(), tally.count)).collect(),
        seal_keys: meta.keys.iter().map(ToString::to_string).collect(),
        bytes: 0,
    })
}

/// Moves a file to a name that nobody has.
fn take_name(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::hard_link(from, to) {
        Ok(()) => std::fs::remove_file(from),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // A file system without links; there a rename can refuse to replace.
        Err(_) => Ok(rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?),
    }
}
