//! A store in memory, with versions, compare-and-set and a script.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use cutover_api::{Cause, Change, Class, Outcome, Reader, Reading, Refusal, Secret, Store, TargetSpec};

use crate::fault::{Fault, Gate, Kind, Script};

/// The kinds of calls to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreCall {
    /// [`Store::read`].
    Read,
    /// [`Store::prove`].
    Prove,
    /// [`Store::write`].
    Write,
    /// Every kind.
    Any,
}

impl Kind for StoreCall {
    fn covers(self, call: Self) -> bool {
        self == Self::Any || self == call
    }
}

/// What goes wrong with a call to a store.
#[derive(Clone)]
pub enum StoreHow {
    /// Refused as unsent: no byte left this machine.
    Down,
    /// Unknown (`timeout`).
    Timeout {
        /// A write took effect all the same.
        applied: bool,
    },
    /// Waits at the gate, then goes on as usual.
    Delay(Gate),
    /// A read shows the version before the newest.
    Stale,
    /// A write is refused with class `exists`.
    Conflict,
    /// Right before the call somebody else sets this field of the path.
    Foreign {
        /// The field.
        field: String,
        /// Its value.
        value: Arc<Secret>,
    },
    /// Refused with class `scope`.
    ReadOnly,
    /// Refused with class `auth`.
    CredentialExpired,
}

/// The fields of one version.
type Fields = BTreeMap<String, Secret>;

#[derive(Default)]
struct Path {
    /// Version `n` is at place `n - 1`.
    versions: Vec<Fields>,
}

#[derive(Default)]
struct Inner {
    paths: BTreeMap<String, Path>,
    script: Script<StoreCall, StoreHow>,
    reads: u64,
    proofs: u64,
    writes: u64,
}

/// A store in memory. Copies share their content, so a consumer's closure can read what the engine wrote.
#[derive(Clone, Default)]
pub struct FakeStore {
    inner: Arc<Mutex<Inner>>,
}

impl FakeStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a fault to the script.
    pub fn fail(&self, fault: Fault<StoreCall, StoreHow>) {
        self.lock().script.add(fault);
    }

    /// Empties the script.
    pub fn mend(&self) {
        self.lock().script.clear();
    }

    /// Sets one field as somebody else would: a new version, everything else kept.
    pub fn put(&self, path: &str, field: &str, value: &Secret) {
        self.lock().put(path, field, value);
    }

    /// Removes one field as somebody else would.
    pub fn remove(&self, path: &str, field: &str) {
        let mut inner = self.lock();
        let mut next = inner.newest(path);
        next.remove(field);
        inner.push(path, next);
    }

    /// The newest value of a field; `""` is the bare value.
    #[must_use]
    pub fn value(&self, path: &str, field: &str) -> Option<Secret> {
        self.lock().newest(path).remove(field)
    }

    /// The names of the fields at a path, sorted.
    #[must_use]
    pub fn fields(&self, path: &str) -> Vec<String> {
        self.lock().newest(path).into_keys().collect()
    }

    /// The newest version of a path; 0 = nothing was ever there.
    #[must_use]
    pub fn version(&self, path: &str) -> usize {
        self.lock().paths.get(path).map_or(0, |path| path.versions.len())
    }

    /// How many reads were asked for.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.lock().reads
    }

    /// How many proofs were asked for.
    #[must_use]
    pub fn proofs(&self) -> u64 {
        self.lock().proofs
    }

    /// How many writes were asked for.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.lock().writes
    }

    /// Counts a call, waits where the script says so, and answers with the fault that is left.
    async fn admit(&self, call: StoreCall) -> Option<StoreHow> {
        let how = {
            let mut inner = self.lock();
            match call {
                StoreCall::Read => inner.reads += 1,
                StoreCall::Prove => inner.proofs += 1,
                StoreCall::Write => inner.writes += 1,
                StoreCall::Any => {}
            }
            inner.script.next(call)
        };
        if let Some(StoreHow::Delay(gate)) = how {
            gate.pass().await;
            return None;
        }
        how
    }
}

impl Inner {
    fn newest(&self, path: &str) -> Fields {
        self.paths.get(path).and_then(|path| path.versions.last()).map(copied).unwrap_or_default()
    }

    fn push(&mut self, path: &str, fields: Fields) {
        self.paths.entry(path.to_owned()).or_default().versions.push(fields);
    }

    fn put(&mut self, path: &str, field: &str, value: &Secret) {
        let mut next = self.newest(path);
        next.insert(field.to_owned(), value.duplicate());
        self.push(path, next);
    }

    fn version(&self, path: &str) -> Option<String> {
        self.paths.get(path).map(|path| path.versions.len().to_string())
    }

    fn write(&mut self, path: &str, change: &Change<'_>) -> Outcome<Option<String>> {
        if change.expected != self.version(path) {
            return Outcome::Refused(Refusal::new(Class::Exists, "write").hint("the path has changed since it was read"));
        }
        let mut next = self.newest(path);
        next.retain(|field, _| !change.remove.contains(field));
        next.extend(change.set.iter().map(|(field, value)| (field.clone(), value.duplicate())));
        self.push(path, next);
        Outcome::Done(self.version(path))
    }
}

fn copied(fields: &Fields) -> Fields {
    fields.iter().map(|(field, value)| (field.clone(), value.duplicate())).collect()
}

/// The outcome of a call that a fault ends; `None` where the call goes on.
fn ended<T>(how: Option<&StoreHow>, step: &str) -> Option<Outcome<T>> {
    let refused = |class| Some(Outcome::Refused(Refusal::new(class, step)));
    match how? {
        StoreHow::Down => refused(Class::Unsent),
        StoreHow::Timeout { .. } => Some(Outcome::Unknown(Cause::new(step, "timeout"))),
        StoreHow::Conflict if step == "write" => refused(Class::Exists),
        StoreHow::ReadOnly if step != "read" => refused(Class::Scope),
        StoreHow::CredentialExpired => refused(Class::Auth),
        _ => None,
    }
}

#[async_trait]
impl Store for FakeStore {
    fn target(&self, reader: &Reader<'_>) -> Option<TargetSpec> {
        let path = reader.require_text("path", "the path inside the store")?.to_owned();
        Some(TargetSpec { path, bare: reader.has("value"), options: BTreeMap::new() })
    }

    async fn read(&self, target: &TargetSpec, fields: &BTreeSet<String>) -> Outcome<Reading> {
        let how = self.admit(StoreCall::Read).await;
        if let Some(outcome) = ended(how.as_ref(), "read") {
            return outcome;
        }
        let mut inner = self.lock();
        if let Some(StoreHow::Foreign { field, value }) = &how {
            inner.put(&target.path, field, value);
        }
        let Some(path) = inner.paths.get(&target.path) else {
            return Outcome::Done(Reading { fields: Fields::new(), version: None });
        };
        let back = usize::from(matches!(how, Some(StoreHow::Stale)) && path.versions.len() > 1);
        let at = path.versions.len() - back;
        let mut shown = path.versions.get(at.saturating_sub(1)).map(copied).unwrap_or_default();
        shown.retain(|field, _| fields.contains(field));
        Outcome::Done(Reading { fields: shown, version: Some(at.to_string()) })
    }

    async fn prove(&self, _target: &TargetSpec) -> Outcome<()> {
        let how = self.admit(StoreCall::Prove).await;
        ended(how.as_ref(), "prove").unwrap_or(Outcome::Done(()))
    }

    async fn write(&self, target: &TargetSpec, change: Change<'_>) -> Outcome<Option<String>> {
        let how = self.admit(StoreCall::Write).await;
        if let Some(outcome) = ended(how.as_ref(), "write") {
            if matches!(how, Some(StoreHow::Timeout { applied: true })) {
                // The caller only learns that it is unknown; a failed compare in here is part of that.
                let _ = self.lock().write(&target.path, &change);
            }
            return outcome;
        }
        let mut inner = self.lock();
        if let Some(StoreHow::Foreign { field, value }) = &how {
            inner.put(&target.path, field, value);
        }
        inner.write(&target.path, &change)
    }
}
