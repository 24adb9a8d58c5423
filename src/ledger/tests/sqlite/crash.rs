//! Kills, full disks and failing writes, with the real thing: this test binary runs itself as a child.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cutover_api::Secret;
use cutover_ledger::{Commit, CommitError, Ledger, OpenErrorKind, SealKeys, SqliteLedger};

use super::home::{Home, NOW};
use crate::cases::{entry, rotation, seal, unsealed};

/// Where a child finds its ledger; absent in a run of the tests themselves.
const CHILD_DIR: &str = "CUTOVER_LEDGER_TEST_DIR";
/// The file with the test's sealing key, in that directory.
const KEY_FILE: &str = "key";
const ACK: &str = "ack:";

fn value(n: u64) -> String {
    format!("value of {n} {}", "x".repeat(300))
}

fn numbered(n: u64) -> Commit {
    let id = format!("r{n}");
    Commit {
        rotation: Some(rotation(&id, None, &value(n))),
        seal: vec![seal(&id, "reply", &value(n))],
        history: vec![entry(&id, "minted")],
        notes: vec![("last".to_owned(), n.to_string())],
        ..Commit::default()
    }
}

pub(super) async fn open_child(dir: &Path) -> SqliteLedger {
    let key = Secret::new(std::fs::read_to_string(dir.join(KEY_FILE)).unwrap());
    SqliteLedger::open(&dir.join("ledger.db"), "test", SealKeys::parse(&[key]).unwrap(), std::process::id(), NOW).await.unwrap()
}

/// One line in one write, past the capture of the test harness.
pub(super) fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// This binary again, running only `test`, as a child that is given `home`.
pub(super) fn child(home: &Home, test: &str, wrapper: Option<&[&str]>) -> Child {
    std::fs::write(home.dir().join(KEY_FILE), home.key.expose()).unwrap();
    let exe = std::env::current_exe().unwrap();
    let mut command = match wrapper {
        Some([program, args @ ..]) => {
            let mut command = Command::new(program);
            command.args(args).arg(exe);
            command
        }
        _ => Command::new(exe),
    };
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD_DIR, home.dir());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub(super) fn child_dir() -> Option<std::path::PathBuf> {
    std::env::var_os(CHILD_DIR).map(Into::into)
}

/// Commits without end from several tasks, and tells each number once it is acknowledged. Only as a child.
#[test]
fn child_that_commits_until_it_is_killed() {
    let Some(dir) = child_dir() else { return };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let ledger = Arc::new(open_child(&dir).await);
        let next = Arc::new(AtomicU64::new(ledger.load().await.unwrap().rotations.len() as u64 * 1_000));
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (ledger, next) = (Arc::clone(&ledger), Arc::clone(&next));
                tokio::spawn(async move {
                    let mut n = next.fetch_add(1, Ordering::Relaxed);
                    while ledger.commit(numbered(n)).await.is_ok() {
                        tell(&format!("{ACK}{n}"));
                        n = next.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[tokio::test]
async fn what_was_acknowledged_survives_every_kill() {
    if child_dir().is_some() {
        return;
    }
    let home = Home::new();
    let mut acknowledged: Vec<u64> = Vec::new();
    for round in 0_u32..20 {
        let mut child = child(&home, "sqlite::crash::child_that_commits_until_it_is_killed", None);
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        let mut acks = 0;
        // Each round lives for another number of acknowledgements; round 0 dies while or right after the ledger is made.
        while out.read_line(&mut line).unwrap() > 0 {
            if let Some(n) = line.strip_suffix('\n').and_then(|line| line.split_once(ACK)).map(|(_, n)| n.parse().unwrap()) {
                acknowledged.push(n);
                acks += 1;
            }
            line.clear();
            // The first lines are the harness's own.
            if acks >= round * 7 {
                child.kill().unwrap();
            }
        }
        let status = child.wait().unwrap();
        assert!(!status.success(), "the child ended by itself");
        let ledger = home.open().await;
        let entries = ledger.verify_history().await.unwrap().unwrap();
        assert!(entries >= acknowledged.len() as u64);
        for n in &acknowledged {
            let id = format!("r{n}");
            assert_eq!(ledger.rotation(&id).await.unwrap().map(|row| row.state), Some(value(*n)), "round {round}");
            assert_eq!(unsealed(&ledger, &id, "reply").await, Some(value(*n)), "round {round}");
        }
        // What was in flight is there whole or not at all.
        assert_eq!(ledger.load().await.unwrap().rotations.len() as u64, entries);
        ledger.close().await.unwrap();
    }
    assert!(acknowledged.len() > 1_000, "{}", acknowledged.len());
}

#[tokio::test]
async fn a_second_process_is_told_the_first_ones_pid() {
    if child_dir().is_some() {
        return;
    }
    let home = Home::new();
    let mut child = child(&home, "sqlite::crash::child_that_commits_until_it_is_killed", None);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains(ACK) {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "the child ended by itself");
    }
    let error = home.try_open().await.err().unwrap();
    assert!(error.detail.contains(&format!("process {} ", child.id())), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
    home.open().await.close().await.unwrap();
}

#[tokio::test]
async fn a_refusal_after_a_crash_leaves_the_wal_as_it_was() {
    if child_dir().is_some() {
        return;
    }
    let home = Home::new();
    let mut child = child(&home, "sqlite::crash::child_that_commits_until_it_is_killed", None);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains(ACK) {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "the child ended by itself");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = home.bytes();
    assert!(before[1].as_ref().is_some_and(|wal| !wal.is_empty()));
    let stranger = SealKeys::parse(&[SealKeys::generate().unwrap()]).unwrap();
    for (name, keys, kind) in
        [("other", home.keys(), OpenErrorKind::OtherEnvironment), ("test", stranger, OpenErrorKind::WrongSealKey)]
    {
        let error = SqliteLedger::open(&home.path(), name, keys, 1, NOW).await.err().unwrap();
        assert_eq!(error.kind, kind, "{error}");
        assert!(home.bytes() == before, "the refusal changed the files: {error}");
    }
    let ledger = home.open().await;
    assert!(ledger.verify_history().await.unwrap().unwrap() > 0);
    ledger.close().await.unwrap();
}

/// Fills its disk, is told so, makes room and goes on. Only as a child with a small disk mounted on its directory.
#[test]
fn child_on_a_small_disk() {
    let Some(dir) = child_dir() else { return };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let ballast = dir.join("ballast");
        std::fs::write(&ballast, vec![7; 3 << 20]).unwrap();
        let ledger = open_child(&dir).await;
        assert!(ledger.room().await.unwrap_err().contains("are needed"));
        let mut kept = 0;
        let full = loop {
            match ledger.commit(numbered(kept)).await {
                Ok(()) => kept += 1,
                Err(error) => break error,
            }
            assert!(kept < 100_000, "the disk never filled");
        };
        assert!(matches!(full, CommitError::Full(_)), "{full}");
        assert_eq!(ledger.load().await.unwrap().rotations.len() as u64, kept);
        std::fs::remove_file(&ballast).unwrap();
        for n in kept..kept + 50 {
            ledger.commit(numbered(n)).await.unwrap();
        }
        ledger.close().await.unwrap();
        let ledger = open_child(&dir).await;
        assert_eq!(ledger.verify_history().await.unwrap(), Ok(kept + 50));
        for n in 0..kept + 50 {
            assert_eq!(unsealed(&ledger, &format!("r{n}"), "reply").await, Some(value(n)));
        }
        ledger.close().await.unwrap();
        tell("done:full");
    });
}

/// Runs a wrapped child to its end; what it told.
pub(super) fn run(home: &Home, test: &str, wrapper: &[&str]) -> String {
    let output = child(home, test, Some(wrapper)).wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    told
}

#[test]
fn a_full_disk_loses_nothing_and_ends_with_room() {
    if child_dir().is_some() {
        return;
    }
    let namespaces: [&[&str]; 2] = [&["--mount"], &["--mount", "--map-root-user"]];
    let mount = r#"mount -t tmpfs -o size=12m,mode=0700 tmpfs "$1" && cp "$2" "$1/key" && shift 2 && exec "$@""#;
    let home = Home::new();
    let spare = tempfile::tempdir().unwrap();
    let key = spare.path().join(KEY_FILE);
    std::fs::write(&key, home.key.expose()).unwrap();
    let (dir, key) = (home.dir().to_str().unwrap(), key.to_str().unwrap());
    let can = |flags: &&&[&str]| {
        let tried = Command::new("unshare").args(**flags).args(["sh", "-c", r#"mount -t tmpfs tmpfs "$0""#, dir]).output();
        tried.is_ok_and(|output| output.status.success())
    };
    let Some(flags) = namespaces.iter().find(can) else {
        assert!(std::env::var_os("CI").is_none(), "a mount namespace is needed for this test");
        eprintln!("skipped: no mount namespace can be made here");
        return;
    };
    let mut wrapper = vec!["unshare"];
    wrapper.extend(*flags);
    wrapper.extend(["sh", "-c", mount, "sh", dir, key]);
    assert!(run(&home, "sqlite::crash::child_on_a_small_disk", &wrapper).contains("done:full"));
}

/// Meets a write error that is not a full disk, and must then write and say nothing more. Only as a child with a file size limit.
#[test]
fn child_with_a_file_size_limit() {
    let Some(dir) = child_dir() else { return };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let ledger = open_child(&dir).await;
        let mut n = 0;
        let error = loop {
            match ledger.commit(numbered(n)).await {
                Ok(()) => tell(&format!("{ACK}{n}")),
                Err(error) => break error,
            }
            n += 1;
        };
        assert!(matches!(error, CommitError::Failed(_)), "{error}");
        let transactions = ledger.transactions();
        let small = Commit { notes: vec![("small".to_owned(), "1".to_owned())], ..Commit::default() };
        assert!(matches!(ledger.commit(small).await, Err(CommitError::Failed(_))));
        assert!(matches!(ledger.load().await, Err(CommitError::Failed(_))));
        assert!(ledger.room().await.is_err());
        assert_eq!(ledger.transactions(), transactions);
        assert!(ledger.close().await.is_err());
        // Opened anew in the same process it is sound, up to the last commit that was acknowledged.
        let ledger = open_child(&dir).await;
        assert!(ledger.rotation(&format!("r{}", n - 1)).await.unwrap().is_some());
        assert!(ledger.verify_history().await.unwrap().unwrap() >= n);
        tell("done:failed");
    });
}

#[tokio::test]
async fn after_a_write_error_nothing_more_is_written_until_it_is_opened_again() {
    if child_dir().is_some() {
        return;
    }
    let home = Home::new();
    // Made without the limit, so that the first write error meets a commit.
    home.open().await.close().await.unwrap();
    let wrapper = ["sh", "-c", r#"trap '' XFSZ; ulimit -f 2000; exec "$@""#, "sh"];
    let told = run(&home, "sqlite::crash::child_with_a_file_size_limit", &wrapper);
    assert!(told.contains("done:failed"), "{told}");
    let acknowledged = told.lines().filter(|line| line.contains(ACK)).count() as u64;
    assert!(acknowledged > 10);
    let ledger = home.open().await;
    for n in 0..acknowledged {
        assert_eq!(unsealed(&ledger, &format!("r{n}"), "reply").await, Some(value(n)));
    }
    ledger.commit(numbered(acknowledged + 1)).await.unwrap();
    ledger.close().await.unwrap();
}

/// Every file of a ledger that is made and used under a umask that forbids nothing. Only as a child.
#[test]
fn child_without_a_umask() {
    let Some(dir) = child_dir() else { return };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let ledger = open_child(&dir).await;
        ledger.commit(numbered(1)).await.unwrap();
        ledger.load().await.unwrap();
        for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.lock"] {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, 0o600, "{name} has mode {mode:o}");
        }
        ledger.close().await.unwrap();
        tell("done:modes");
    });
}

#[test]
fn files_are_private_whatever_the_umask_is() {
    if child_dir().is_some() {
        return;
    }
    let told = run(&Home::new(), "sqlite::crash::child_without_a_umask", &["sh", "-c", r#"umask 000; exec "$@""#, "sh"]);
    assert!(told.contains("done:modes"), "{told}");
}
