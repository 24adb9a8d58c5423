//! Copies: of a ledger in use and at rest, never over another file, and nothing of one that cannot be proven.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use cutover_ledger::{Commit, Ledger, OpenErrorKind, PolicyWrite, SealKeys, SqliteLedger};
use cutover_machine::Stamp;

use super::home::{Home, NOW};
use crate::cases::{entry, rotation, seal, unsealed};

async fn fill(ledger: &SqliteLedger, from: usize, to: usize) {
    for n in from..to {
        let id = format!("r{n}");
        let commit = Commit {
            rotation: Some(rotation(&id, None, "s")),
            policies: vec![PolicyWrite { name: format!("p{n}"), state: "{}".into(), due_at: Some(Stamp(5)) }],
            seal: vec![seal(&id, "new", &id)],
            history: vec![entry(&id, "minted")],
            ..Commit::default()
        };
        ledger.commit(commit).await.unwrap();
    }
}

async fn opened(path: &Path, home: &Home) -> SqliteLedger {
    SqliteLedger::open(path, "test", home.keys(), 1, NOW).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_ledger_in_use_is_one_moment_of_it() {
    let home = Home::new();
    let ledger = Arc::new(home.open().await);
    fill(&ledger, 0, 20).await;
    let writing = {
        let ledger = Arc::clone(&ledger);
        tokio::spawn(async move { fill(&ledger, 20, 200).await })
    };
    let to = home.dir().join("copy.db");
    let copied = ledger.copy(&to, NOW).await.unwrap();
    writing.await.unwrap();
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(copied.environment, "test");
    assert!(copied.history >= 20, "{copied:?}");
    assert_eq!(copied.rows.iter().find(|(table, _)| table == "rotation").unwrap().1, copied.history, "one moment: {copied:?}");
    assert_eq!(copied.seal_keys.len(), 1);
    ledger.close().await.unwrap();
    let copy = opened(&to, &home).await;
    assert_eq!(copy.verify_history().await.unwrap(), Ok(copied.history));
    assert_eq!(unsealed(&copy, "r19", "new").await, Some("r19".to_owned()), "what is sealed opens with the same key");
    assert_eq!(copy.load().await.unwrap().rotations.len() as u64, copied.history);
    copy.close().await.unwrap();
    let names: Vec<_> =
        fs::read_dir(home.dir()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().all(|name| !name.contains(".copy-")), "nothing is left over: {names:?}");
}

#[tokio::test]
async fn a_copy_never_takes_the_place_of_anything() {
    let home = Home::new();
    let ledger = home.open().await;
    fill(&ledger, 0, 1).await;
    for taken in ["there.db", "there.db-wal"] {
        let path = home.dir().join(taken);
        fs::write(&path, "mine").unwrap();
        let refused = ledger.copy(&home.dir().join("there.db"), NOW).await.expect_err("refused");
        assert_eq!(refused.kind, OpenErrorKind::Exists, "{refused}");
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        fs::remove_file(&path).unwrap();
    }
    let refused = ledger.copy(&home.path(), NOW).await.expect_err("onto itself");
    assert_eq!(refused.kind, OpenErrorKind::Exists);
    let open = home.dir().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(ledger.copy(&open.join("a.db"), NOW).await.expect_err("refused").kind, OpenErrorKind::Mode);
    assert_eq!(ledger.copy(&home.dir().join("no/such/a.db"), NOW).await.expect_err("refused").kind, OpenErrorKind::Io);
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_file_at_rest_or_in_use_is_copied_without_its_lock() {
    let home = Home::new();
    let ledger = home.open().await;
    fill(&ledger, 0, 3).await;
    let in_use = home.dir().join("in-use.db");
    let copied = SqliteLedger::copy_file(&home.path(), "test", &home.keys(), &in_use, NOW).await.unwrap();
    assert_eq!(copied.history, 3, "what stands in the WAL is in the copy");
    ledger.close().await.unwrap();
    let before = home.bytes();
    let at_rest = home.dir().join("at-rest.db");
    SqliteLedger::copy_file(&home.path(), "test", &home.keys(), &at_rest, NOW).await.unwrap();
    assert_eq!(home.bytes()[0], before[0], "the source is as it was");
    // A copy of a copy goes back to where it came from, once that place is free.
    fs::remove_file(home.path()).unwrap();
    SqliteLedger::copy_file(&at_rest, "test", &home.keys(), &home.path(), NOW).await.unwrap();
    let restored = home.open().await;
    assert_eq!(restored.load().await.unwrap().rotations.len(), 3);
    restored.close().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_proven_is_not_copied() {
    let home = Home::new();
    let ledger = home.open().await;
    fill(&ledger, 0, 3).await;
    ledger.close().await.unwrap();
    let to = home.dir().join("copy.db");
    let other = SealKeys::parse(&[SealKeys::generate().unwrap()]).unwrap();
    let wrong = SqliteLedger::copy_file(&home.path(), "test", &other, &to, NOW).await.expect_err("another key");
    assert_eq!(wrong.kind, OpenErrorKind::WrongSealKey);
    let wrong = SqliteLedger::copy_file(&home.path(), "staging", &home.keys(), &to, NOW).await.expect_err("another name");
    assert_eq!(wrong.kind, OpenErrorKind::OtherEnvironment);
    let mut bytes = fs::read(home.path()).unwrap();
    let at = bytes.windows(6).position(|window| window == b"minted").unwrap();
    bytes[at] ^= 1;
    fs::write(home.path(), bytes).unwrap();
    let wrong = SqliteLedger::copy_file(&home.path(), "test", &home.keys(), &to, NOW).await.expect_err("damaged");
    assert_eq!(wrong.kind, OpenErrorKind::Damaged);
    assert!(!to.exists(), "nothing bears the name of a copy that is none");
    assert_eq!(
        fs::read_dir(home.dir())
            .unwrap()
            .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().contains("copy"))
            .count(),
        0
    );
}

#[tokio::test]
async fn a_glance_shows_the_policies_without_key_lock_or_trace() {
    let home = Home::new();
    let ledger = home.open().await;
    fill(&ledger, 0, 2).await;
    let seen = SqliteLedger::glance(&home.path(), "test").await.unwrap();
    assert_eq!(seen.iter().map(|policy| policy.name.as_str()).collect::<Vec<_>>(), ["p0", "p1"], "also beside a daemon");
    ledger.close().await.unwrap();
    let names = || {
        let mut names: Vec<_> = fs::read_dir(home.dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    assert_eq!(SqliteLedger::glance(&home.path(), "test").await.unwrap().len(), 2);
    assert_eq!(names(), before);
    assert_eq!(SqliteLedger::glance(&home.path(), "staging").await.expect_err("refused").kind, OpenErrorKind::OtherEnvironment);
    assert!(SqliteLedger::glance(&home.dir().join("none.db"), "test").await.is_err());
    fs::write(home.dir().join("text.db"), "no database at all, but long enough for a header").unwrap();
    assert!(SqliteLedger::glance(&home.dir().join("text.db"), "test").await.is_err());
}
