//! A directory with a ledger and its keys, for tests.

use std::fs;
use std::path::{Path, PathBuf};

use cutover_api::Secret;
use cutover_ledger::{OpenError, SealKeys, SqliteLedger};
use cutover_machine::Stamp;

/// The point in time at which tests open ledgers.
pub const NOW: Stamp = Stamp(1_800_000_000_000);

/// A directory of its own with a ledger's path and a sealing key.
pub struct Home {
    dir: tempfile::TempDir,
    /// The key's text.
    pub key: Secret,
}

impl Home {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), key: SealKeys::generate().unwrap() }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("ledger.db")
    }

    pub fn keys(&self) -> SealKeys {
        SealKeys::parse(&[self.key.duplicate()]).unwrap()
    }

    pub async fn try_open(&self) -> Result<SqliteLedger, OpenError> {
        SqliteLedger::open(&self.path(), "test", self.keys(), 4_321, NOW).await
    }

    pub async fn open(&self) -> SqliteLedger {
        self.try_open().await.unwrap()
    }

    /// The database and its WAL, byte by byte.
    pub fn bytes(&self) -> [Option<Vec<u8>>; 2] {
        ["ledger.db", "ledger.db-wal"].map(|name| fs::read(self.dir().join(name)).ok())
    }
}
