//! What can go wrong with the database, and what it means for a commit.

use std::fmt;

use super::table::{Cell, Table, shown_key};
use crate::seal::{KeyId, SealError};

/// Why a statement or a row is not usable.
#[derive(Debug)]
pub(super) enum Fault {
    /// SQLite's own error.
    Sql(sqlx::Error),
    /// A row or the chain is not what was written; names it.
    Damaged(String),
    /// A row was made with a key that is not in the list; names the row and the key.
    UnknownKey(String, String),
    /// Sealing failed.
    Seal(SealError),
}

/// What a fault means for the ledger that met it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// No room on disk: nothing was written, go on when there is room.
    Full,
    /// This statement only: nothing was written, the database is sound.
    Statement,
    /// What is on disk is no longer known: nothing more may be written before the ledger was opened anew.
    Fatal,
}

impl Fault {
    pub(super) fn damaged(table: &Table, cells: &[Cell]) -> Self {
        Self::Damaged(format!("row {} is not what was written", shown_key(table, cells)))
    }

    pub(super) fn unknown_key(table: &Table, cells: &[Cell], key: KeyId) -> Self {
        Self::UnknownKey(format!("row {}", shown_key(table, cells)), key.to_string())
    }

    /// SQLite's primary result code.
    pub(super) fn code(&self) -> Option<u32> {
        let Self::Sql(sqlx::Error::Database(error)) = self else { return None };
        error.code().and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff)
    }

    /// What SQLite's code means, for an operator.
    fn words(&self) -> &'static str {
        match self.code() {
            Some(code::FULL) => "the disk is full",
            Some(code::IO) => "reading or writing the disk failed, or it is full",
            Some(code::BUSY) => "another program holds the database",
            Some(code::READ_ONLY) => "the database cannot be written",
            Some(code::CANNOT_OPEN) => "a file cannot be opened",
            Some(code::CORRUPT) => "the file is damaged",
            Some(code::NOT_A_DB) => "the file is not a database",
            _ => "the statement failed",
        }
    }

    pub(super) fn weight(&self) -> Weight {
        match self.code() {
            Some(code::FULL) => Weight::Full,
            Some(code::BUSY | code::TOO_BIG | code::CONSTRAINT) => Weight::Statement,
            Some(_) => Weight::Fatal,
            None if matches!(self, Self::Seal(_)) => Weight::Statement,
            None => Weight::Fatal,
        }
    }
}

/// Primary result codes of SQLite, by meaning.
pub(super) mod code {
    pub(in crate::sqlite) const ERROR: u32 = 1;
    pub(in crate::sqlite) const BUSY: u32 = 5;
    pub(in crate::sqlite) const READ_ONLY: u32 = 8;
    pub(in crate::sqlite) const IO: u32 = 10;
    pub(in crate::sqlite) const CORRUPT: u32 = 11;
    pub(in crate::sqlite) const FULL: u32 = 13;
    pub(in crate::sqlite) const CANNOT_OPEN: u32 = 14;
    pub(in crate::sqlite) const SCHEMA: u32 = 17;
    pub(in crate::sqlite) const TOO_BIG: u32 = 18;
    pub(in crate::sqlite) const CONSTRAINT: u32 = 19;
    pub(in crate::sqlite) const NOT_A_DB: u32 = 26;
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<SealError> for Fault {
    fn from(error: SealError) -> Self {
        Self::Seal(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The message of SQLite can quote what stands in a damaged file; its code cannot.
            Self::Sql(sqlx::Error::Database(error)) => {
                let extended = error.code();
                write!(f, "{} (SQLite error {})", self.words(), extended.as_deref().unwrap_or("unknown"))
            }
            Self::Sql(sqlx::Error::Io(error)) => write!(f, "input or output failed: {}", error.kind()),
            Self::Sql(sqlx::Error::PoolTimedOut) => f.write_str("no reading connection came free"),
            Self::Sql(sqlx::Error::PoolClosed) => f.write_str("the ledger is closed"),
            Self::Sql(_) => f.write_str("the database connection failed"),
            Self::Damaged(what) => write!(f, "damaged: {what}"),
            Self::UnknownKey(what, key) => {
                write!(f, "{what} was made with the sealing key of id {key}, which is not in the list")
            }
            Self::Seal(error) => write!(f, "sealing: {error}"),
        }
    }
}
