//! Every call that changes something fails once, or the process dies there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use cutover_api::{Change, Class, Outcome, Secret, Store, TargetSpec};
use rustix::io::Errno;
use tempfile::TempDir;

use crate::FileStore;
use crate::replace::{Call, Gate, is_temporary};

const CALLS: [Call; 6] = [Call::Create, Call::Write, Call::Give, Call::Sync, Call::Rename, Call::SyncDirectory];

/// Fails one call.
struct Failing(Call, Errno);

impl Gate for Failing {
    fn pass(&self, call: Call) -> Result<(), Errno> {
        if call == self.0 { Err(self.1) } else { Ok(()) }
    }
}

/// Dies before one call: nothing after it runs, as after a SIGKILL.
struct Dying(Call);

impl Gate for Dying {
    fn pass(&self, call: Call) -> Result<(), Errno> {
        if call == self.0 {
            std::panic::panic_any("killed");
        }
        Ok(())
    }
}

/// Somebody without the lock writes just before one call.
struct Meddling(Call, std::path::PathBuf);

impl Gate for Meddling {
    fn pass(&self, call: Call) -> Result<(), Errno> {
        if call == self.0 {
            std::fs::write(&self.1, "KEY=theirs\n").expect("written");
        }
        Ok(())
    }
}

fn spec(path: &str) -> TargetSpec {
    TargetSpec { path: path.to_owned(), bare: false, options: BTreeMap::from([("format".to_owned(), "dotenv".to_owned())]) }
}

fn store(root: &Path, gate: impl Gate + 'static) -> FileStore {
    FileStore { root: root.to_owned(), gate: Arc::new(gate) }
}

async fn write(store: &FileStore, expected: Option<String>, value: &str) -> Outcome<Option<String>> {
    let value = Secret::new(value.to_owned());
    let set = BTreeMap::from([("KEY".to_owned(), &value)]);
    store.write(&spec("app.env"), Change { set, remove: BTreeSet::new(), expected, rotation: String::new() }).await
}

fn leftovers(root: &Path) -> usize {
    let names = std::fs::read_dir(root).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    names.filter(|name| is_temporary(&name.to_string_lossy())).count()
}

fn old() -> (TempDir, Option<String>) {
    let root = tempfile::tempdir().expect("a directory");
    std::fs::write(root.path().join("app.env"), "KEY=old\n").expect("written");
    (root, Some(crate::version(b"KEY=old\n")))
}

fn now(root: &TempDir) -> String {
    std::fs::read_to_string(root.path().join("app.env")).expect("the target")
}

#[tokio::test]
async fn a_failed_call_is_told_and_leaves_old_or_new() {
    for errno in [Errno::NOSPC, Errno::IO, Errno::ROFS, Errno::ACCESS, Errno::PERM] {
        for call in CALLS {
            let (root, version) = old();
            let outcome = write(&store(root.path(), Failing(call, errno)), version, "new").await;
            let case = format!("{call:?} {errno:?}");
            match (call, errno) {
                (Call::SyncDirectory, _) => {
                    assert!(matches!(outcome, Outcome::Unknown(cause) if cause.label == "fsync"), "{case}");
                    assert_eq!(now(&root), "KEY=new\n", "{case}");
                }
                (Call::Rename, Errno::IO) => {
                    assert!(matches!(outcome, Outcome::Unknown(cause) if cause.label == "rename"), "{case}");
                }
                _ => {
                    let Outcome::Refused(refusal) = outcome else { panic!("{case}: not refused") };
                    let denied = matches!(errno, Errno::ACCESS | Errno::PERM);
                    assert_eq!(refusal.class, if denied { Class::Scope } else { Class::Refused }, "{case}");
                    assert!(refusal.hint.is_some_and(|hint| hint.contains("untouched")), "{case}");
                    assert_eq!(now(&root), "KEY=old\n", "{case}");
                }
            }
            assert_eq!(leftovers(root.path()), 0, "{case}");
        }
    }
}

#[tokio::test]
async fn a_crash_leaves_old_or_new_and_the_next_write_cleans_up() {
    for call in CALLS {
        let (root, version) = old();
        let outcome = write(&store(root.path(), Dying(call)), version.clone(), "new").await;
        assert!(matches!(outcome, Outcome::Unknown(cause) if cause.label == "crash"), "{call:?}");
        let done = call == Call::SyncDirectory;
        assert_eq!(now(&root), if done { "KEY=new\n" } else { "KEY=old\n" }, "{call:?}");
        assert_eq!(leftovers(root.path()), usize::from(!done && call != Call::Create), "{call:?}");
        let again = FileStore::at(root.path());
        let outcome = write(&again, version, "new").await;
        match outcome {
            Outcome::Done(_) => assert!(!done, "{call:?}"),
            Outcome::Refused(refusal) => assert!(done && refusal.class == Class::Exists, "{call:?}: {refusal}"),
            Outcome::Unknown(cause) => panic!("{call:?}: {cause}"),
        }
        assert_eq!((now(&root).as_str(), leftovers(root.path())), ("KEY=new\n", 0), "{call:?}");
        assert!(matches!(again.prove(&spec("app.env")).await, Outcome::Done(())), "{call:?}");
    }
}

#[tokio::test]
async fn a_proof_that_fails_or_dies_touches_nothing() {
    for call in [Call::Create, Call::Write, Call::Give, Call::Sync, Call::Remove] {
        let (root, _) = old();
        let refused = store(root.path(), Failing(call, Errno::NOSPC)).prove(&spec("app.env")).await;
        assert!(matches!(refused, Outcome::Refused(_)), "{call:?}");
        let died = store(root.path(), Dying(call)).prove(&spec("app.env")).await;
        assert!(matches!(died, Outcome::Unknown(_)), "{call:?}");
        assert_eq!(now(&root), "KEY=old\n", "{call:?}");
        assert!(matches!(FileStore::at(root.path()).prove(&spec("app.env")).await, Outcome::Done(())), "{call:?}");
        assert_eq!(leftovers(root.path()), 0, "{call:?}");
    }
}

#[tokio::test]
async fn somebody_who_takes_no_lock_is_not_overwritten() {
    for call in [Call::Create, Call::Write, Call::Give, Call::Sync, Call::Rename] {
        let (root, version) = old();
        let outcome = write(&store(root.path(), Meddling(call, root.path().join("app.env"))), version, "new").await;
        assert!(matches!(outcome, Outcome::Refused(refusal) if refusal.class == Class::Exists), "{call:?}");
        assert_eq!(now(&root), "KEY=theirs\n", "{call:?}");
        std::fs::remove_file(root.path().join("app.env")).expect("removed");
        let outcome = write(&store(root.path(), Meddling(call, root.path().join("app.env"))), None, "new").await;
        assert!(matches!(outcome, Outcome::Refused(refusal) if refusal.class == Class::Exists), "{call:?}: new");
        assert_eq!((now(&root).as_str(), leftovers(root.path())), ("KEY=theirs\n", 0), "{call:?}: new");
    }
}
