//! Stores: where the application reads its key from.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;
use crate::reader::Reader;
use crate::secret::Secret;

/// One place in a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetSpec {
    /// The path inside the store.
    pub path: String,
    /// A bare value stands there, not fields; its one field is named `""`.
    pub bare: bool,
    /// Further keys of the target's table that belong to the store's kind (`format`, `owner`, `mode`).
    pub options: BTreeMap<String, String>,
}

/// What stands at a target.
pub struct Reading {
    /// The fields that were asked for and are there.
    pub fields: BTreeMap<String, Secret>,
    /// What the store calls this version; `None` when nothing is there yet. Given back in [`Change::expected`].
    pub version: Option<String>,
}

/// A write: fields set, fields removed, everything else at the path kept as it is.
pub struct Change<'a> {
    /// Fields to set.
    pub set: BTreeMap<String, &'a Secret>,
    /// Fields to remove.
    pub remove: BTreeSet<String>,
    /// The version this was computed from; the write is refused with class `exists` when it is no longer that.
    pub expected: Option<String>,
    /// UUID of the rotation: for stores that take an idempotency token (derive one per version from it).
    pub rotation: String,
}

/// Where the application reads its key from. No write is ever seen half done.
#[async_trait]
pub trait Store: Send + Sync {
    /// Reads a target's own keys from the configuration, reports what is wrong; `None` when nothing usable came out.
    fn target(&self, reader: &Reader<'_>) -> Option<TargetSpec>;

    /// Reads these fields (`""` = the bare value). Reads what was written last: a store that lags waits, bounded.
    /// A path that is not there is `Done` with no fields and no version.
    async fn read(&self, target: &TargetSpec, fields: &BTreeSet<String>) -> Outcome<Reading>;

    /// Proves that a write would be accepted, by a write that changes nothing and that nobody sees.
    async fn prove(&self, target: &TargetSpec) -> Outcome<()>;

    /// Writes by compare-and-set; answers with the new version. A failed compare is class `exists`.
    async fn write(&self, target: &TargetSpec, change: Change<'_>) -> Outcome<Option<String>>;
}
