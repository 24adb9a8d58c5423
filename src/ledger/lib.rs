//! The durable state of cutover: what was intended, what came of it, what is known, what must be told.
//!
//! One [`Ledger`] is used by one process. Everything that belongs together is one [`Commit`]: either all of it is durable when
//! [`Ledger::commit`] returns `Ok`, or none of it is. Secret values are sealed before they reach the database.

mod seal;
mod sqlite;

use std::fmt;
use std::path::Path;

use async_trait::async_trait;
use cutover_api::Secret;
use cutover_machine::Stamp;
use serde::{Deserialize, Serialize};

pub use self::seal::{SealKey, SealKeyError, SealKeys};
pub use self::sqlite::SqliteLedger;

/// One transaction. Empty parts cost nothing.
#[derive(Default)]
pub struct Commit {
    /// A rotation's new state.
    pub rotation: Option<RotationWrite>,
    /// Policies' new states.
    pub policies: Vec<PolicyWrite>,
    /// Policies that are no longer known under this name (renamed or removed): their row and their keys go, their history stays.
    /// Done before anything of this commit is written, so a renamed policy's keys come along under the new name in `keys`.
    pub forget: Vec<String>,
    /// Values to seal and keep.
    pub seal: Vec<SealWrite>,
    /// Sealed values to forget, by rotation and slot; `None` = every slot of the rotation. Done before `seal`. Whoever closes a
    /// rotation erases its values in the same commit.
    pub erase: Vec<(String, Option<String>)>,
    /// Keys learned or changed.
    pub keys: Vec<KeyRow>,
    /// What happened, for the history's hash chain.
    pub history: Vec<HistoryEntry>,
    /// Alerts; one whose `id` is already there is left as it is.
    pub alerts: Vec<AlertRow>,
    /// What became of deliveries. One that is settled already, or that is not known, stays as it is.
    pub deliveries: Vec<DeliveryWrite>,
    /// Small named facts of the daemon itself (clock marks and the like).
    pub notes: Vec<(String, String)>,
}

/// A rotation's new state.
pub struct RotationWrite {
    /// Its id.
    pub id: String,
    /// Its policy.
    pub policy: String,
    /// The revision it was computed from; `None` inserts it. Anything else in the ledger is a conflict.
    pub expected: Option<u64>,
    /// The machine's state as JSON.
    pub state: String,
    /// The plan's snapshot as JSON; `None` keeps the one that is there.
    pub plan: Option<String>,
    /// The phase's name, for people who look into the database.
    pub phase: String,
    /// Nothing is left to do: it is kept for the history and no longer loaded at start.
    pub closed: bool,
}

/// A rotation as it was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationRow {
    /// Its id.
    pub id: String,
    /// Its policy.
    pub policy: String,
    /// Its revision: 1 when it was inserted, one more at every write.
    pub rev: u64,
    /// The machine's state as JSON.
    pub state: String,
    /// The plan's snapshot as JSON; empty when none was ever given.
    pub plan: String,
    /// Closed.
    pub closed: bool,
}

/// A policy's new state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyWrite {
    /// Its name.
    pub name: String,
    /// Its state as JSON.
    pub state: String,
    /// When it is due next; `None` = not scheduled.
    pub due_at: Option<Stamp>,
}

/// A value to be sealed. Its place (rotation, slot) is authenticated: a record moved elsewhere does not open.
pub struct SealWrite {
    /// The rotation it belongs to.
    pub rotation: String,
    /// Its slot: `reply`, `new`, `old`, `new.NAME`, …
    pub slot: String,
    /// The value; dropped (wiped) once it is sealed.
    pub value: Secret,
}

/// A key of a policy, as the ledger knows it. Never its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    /// The policy.
    pub policy: String,
    /// Its fingerprint: the row's identity within the policy.
    pub fingerprint: String,
    /// Its record and standing as JSON.
    pub state: String,
}

/// What happened, as it is handed in; the chain's hashes are made by the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When.
    pub at: Stamp,
    /// The policy, where it is about one.
    pub policy: Option<String>,
    /// The rotation, where it is about one.
    pub rotation: Option<String>,
    /// Who: `schedule`, `signal:USR1`, `uid:1000(dana)`, `cutover`.
    pub actor: String,
    /// What: `rotation-started`, `minted`, `held`, …
    pub kind: String,
    /// The facts as JSON (an object).
    pub facts: String,
}

impl HistoryEntry {
    /// An entry that is about no rotation. `facts`: a JSON object.
    #[must_use]
    pub fn plain(at: Stamp, policy: Option<&str>, actor: &str, kind: &str, facts: &impl fmt::Display) -> Self {
        Self {
            at,
            policy: policy.map(ToOwned::to_owned),
            rotation: None,
            actor: actor.to_owned(),
            kind: kind.to_owned(),
            facts: facts.to_string(),
        }
    }
}

/// A history entry as it stands in the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRow {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// The entry.
    pub entry: HistoryEntry,
    /// SHA-256 over the previous hash and this entry, hex.
    pub hash: String,
}

/// An alert, durable in the transaction of the state that caused it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertRow {
    /// Its identity: policy, rotation, kind, stage. The same condition has the same id.
    pub id: String,
    /// When it came about.
    pub at: Stamp,
    /// The message as JSON (`cutover_api::Message`).
    pub message: String,
    /// The channels it must reach, each delivered independently.
    pub channels: Vec<String>,
}

/// An alert on its way to one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    /// The alert.
    pub alert: String,
    /// The channel.
    pub channel: String,
    /// The message as JSON.
    pub message: String,
    /// When the alert came about.
    pub at: Stamp,
    /// How often it was tried.
    pub tries: u32,
    /// Not to be tried before.
    pub not_before: Stamp,
}

/// What became of one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryWrite {
    /// The alert.
    pub alert: String,
    /// The channel.
    pub channel: String,
    /// What became of it.
    pub result: DeliveryResult,
}

/// What became of one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryResult {
    /// Accepted by the other side.
    Accepted(Stamp),
    /// Not accepted: try again no earlier than this.
    Again(Stamp),
    /// Overtaken by a later stage of the same matter, never to be sent.
    Dropped(Stamp),
}

/// Everything a start needs.
#[derive(Default)]
pub struct Loaded {
    /// The rotations that are not closed.
    pub rotations: Vec<RotationRow>,
    /// The policies: name, state, due.
    pub policies: Vec<PolicyWrite>,
    /// The known keys.
    pub keys: Vec<KeyRow>,
    /// The named facts.
    pub notes: Vec<(String, String)>,
}

/// Which history entries are wanted: the newest `limit` that match, oldest first.
#[derive(Clone, Debug, Default)]
pub struct HistoryQuery {
    /// Only these policies; empty = all.
    pub policies: Vec<String>,
    /// Only this rotation.
    pub rotation: Option<String>,
    /// Only these kinds; empty = all.
    pub kinds: Vec<String>,
    /// Only what happened at this time or later.
    pub since: Option<Stamp>,
    /// Only entries with a higher number: what came after one that was seen already.
    pub after: u64,
    /// At most so many; 0 = all.
    pub limit: usize,
}

/// Why a commit was not made.
#[derive(Debug)]
pub enum CommitError {
    /// The rotation's revision was another one: reload and decide anew. Nothing was written.
    Conflict {
        /// The rotation.
        rotation: String,
    },
    /// The disk is full. Nothing was written.
    Full(String),
    /// Anything else: treat the outcome as unknown and reload.
    Failed(String),
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { rotation } => write!(f, "ledger: rotation {rotation} was changed meanwhile: nothing was written"),
            Self::Full(detail) => {
                write!(f, "ledger: no room on disk ({detail}): nothing was written; make room, then it goes on")
            }
            Self::Failed(detail) => write!(f, "ledger: not written ({detail})"),
        }
    }
}

impl std::error::Error for CommitError {}

/// Why a ledger was not opened. Nothing in it was changed.
#[derive(Debug)]
pub struct OpenError {
    /// The kind.
    pub kind: OpenErrorKind,
    /// The ledger's path or URL (never a password).
    pub place: String,
    /// What is wrong and what to do, one or two sentences.
    pub detail: String,
}

/// The kinds of [`OpenError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenErrorKind {
    /// Another process has it; the detail names its pid.
    Locked,
    /// Written by a newer cutover.
    Newer,
    /// Bears another environment's name.
    OtherEnvironment,
    /// None of the sealing keys opens it.
    WrongSealKey,
    /// A row, a page or the history's chain is not what was written.
    Damaged,
    /// The file's owner or mode would let others read it, and could not be mended.
    Mode,
    /// There is a file already where one is to be made.
    Exists,
    /// It could not be opened or created.
    Io,
}

impl OpenErrorKind {
    /// Its stable label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Locked => "ledger-locked",
            Self::Newer => "ledger-newer",
            Self::OtherEnvironment => "ledger-other-environment",
            Self::WrongSealKey => "ledger-wrong-seal-key",
            Self::Damaged => "ledger-damaged",
            Self::Mode => "ledger-mode",
            Self::Exists => "ledger-exists",
            Self::Io => "ledger-io",
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.kind.label(), self.place, self.detail)
    }
}

impl std::error::Error for OpenError {}

/// A copy that was made and proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// Where it is.
    pub place: String,
    /// The environment's name in it.
    pub environment: String,
    /// Entries of its history; the chain fits to the last of them.
    pub history: u64,
    /// Rows by table.
    pub rows: Vec<(String, u64)>,
    /// The ids of the sealing keys that have written in it; the copy opens with those of the ledger, no others.
    pub seal_keys: Vec<String>,
    /// Its size.
    pub bytes: u64,
}

/// The durable state.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Makes everything in `commit` durable, or nothing of it. Commits that wait together share one disk barrier.
    ///
    /// # Errors
    /// See [`CommitError`].
    async fn commit(&self, commit: Commit) -> Result<(), CommitError>;

    /// Everything a start needs.
    ///
    /// # Errors
    /// The database could not be read.
    async fn load(&self) -> Result<Loaded, CommitError>;

    /// One rotation, closed or not.
    ///
    /// # Errors
    /// The database could not be read.
    async fn rotation(&self, id: &str) -> Result<Option<RotationRow>, CommitError>;

    /// The known keys of these policies.
    ///
    /// # Errors
    /// The database could not be read.
    async fn keys_of(&self, policies: &[String]) -> Result<Vec<KeyRow>, CommitError>;

    /// Opens a sealed value; `None` when there is none in this slot.
    ///
    /// # Errors
    /// The database could not be read, or the record does not open in its place.
    async fn unseal(&self, rotation: &str, slot: &str) -> Result<Option<Secret>, CommitError>;

    /// History entries.
    ///
    /// # Errors
    /// The database could not be read.
    async fn history(&self, query: &HistoryQuery) -> Result<Vec<HistoryRow>, CommitError>;

    /// Checks the whole chain; the number of entries, or the first entry that does not fit.
    ///
    /// # Errors
    /// The database could not be read.
    async fn verify_history(&self) -> Result<Result<u64, u64>, CommitError>;

    /// Deliveries that are neither accepted nor dropped, oldest first.
    ///
    /// # Errors
    /// The database could not be read.
    async fn open_deliveries(&self) -> Result<Vec<DeliveryRow>, CommitError>;

    /// Copies the whole ledger to the file `to` as it is at one moment, while it is in use. The copy is proven (every row, the chain,
    /// the environment's name, the sealing keys' ids), durable, readable by its owner only, and never written over another file.
    ///
    /// # Errors
    /// There is no copy: something is there already, the place cannot be written, or what was written is not what stands here.
    async fn copy(&self, to: &Path, now: Stamp) -> Result<Copied, OpenError> {
        let (_, detail) = (now, "this ledger cannot be copied into a file: use its database's own tools".to_owned());
        Err(OpenError { kind: OpenErrorKind::Io, place: to.display().to_string(), detail })
    }

    /// Whether it is older than the one that was in use at this place: restored from a copy, or cut off by a crash that lost what had been
    /// made durable. Stays so, over restarts too, until [`Ledger::trust`].
    fn behind(&self) -> bool {
        false
    }

    /// A person has looked and believes this ledger as it is.
    ///
    /// # Errors
    /// The ledger is closed or broken.
    async fn trust(&self) -> Result<(), CommitError> {
        Ok(())
    }

    /// Whether there is room for another rotation's sealed reply (at least 16 MiB free and the files writable).
    ///
    /// # Errors
    /// A sentence for the operator.
    async fn room(&self) -> Result<(), String>;
}
