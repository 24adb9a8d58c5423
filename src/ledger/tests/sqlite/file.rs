//! The SQLite ledger: what every ledger must do, and what only a file can get wrong.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use base64::Engine as _;
use cutover_api::Secret;
use cutover_ledger::{
    AlertRow, Commit, CommitError, DeliveryResult, DeliveryWrite, Ledger, OpenErrorKind, PolicyWrite, SealKeys, SqliteLedger,
};
use cutover_machine::{Span, Stamp};

use super::home::{Home, NOW};
use crate::cases::{self, entry, rotation, seal, unsealed};

#[tokio::test]
async fn it_does_what_every_ledger_must_and_still_does_opened_again() {
    let home = Home::new();
    let ledger = home.open().await;
    cases::all(&ledger).await;
    let loaded = ledger.load().await.unwrap();
    let entries = ledger.verify_history().await.unwrap().unwrap();
    ledger.close().await.unwrap();
    assert!(matches!(
        ledger.commit(Commit { history: vec![entry("x", "y")], ..Commit::default() }).await,
        Err(CommitError::Failed(_))
    ));
    assert!(matches!(ledger.load().await, Err(CommitError::Failed(_))));

    let ledger = home.open().await;
    let again = ledger.load().await.unwrap();
    assert_eq!(
        (again.rotations, again.policies, again.keys, again.notes),
        (loaded.rotations, loaded.policies, loaded.keys, loaded.notes)
    );
    assert_eq!(ledger.verify_history().await.unwrap(), Ok(entries));
    assert_eq!(ledger.created_at(), NOW);
    ledger.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_wait_together_share_transactions() {
    let home = Home::new();
    let ledger = Arc::new(home.open().await);
    let before = ledger.transactions();
    let commits: Vec<_> = (0..500)
        .map(|n| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move {
                let id = format!("r{n}");
                let commit = Commit {
                    rotation: Some(rotation(&id, None, "s")),
                    seal: vec![seal(&id, "new", &id)],
                    history: vec![entry(&id, "minted")],
                    ..Commit::default()
                };
                ledger.commit(commit).await
            })
        })
        .collect();
    for commit in commits {
        commit.await.unwrap().unwrap();
    }
    let transactions = ledger.transactions() - before;
    assert!(transactions < 100, "{transactions} transactions for 500 commits");
    ledger.close().await.unwrap();
    drop(ledger);
    let ledger = home.open().await;
    assert_eq!(ledger.load().await.unwrap().rotations.len(), 500);
    assert_eq!(ledger.verify_history().await.unwrap(), Ok(500));
    for n in 0..500 {
        let id = format!("r{n}");
        assert_eq!(unsealed(&ledger, &id, "new").await, Some(id));
    }
    ledger.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_writers_of_one_revision_one_wins_and_the_group_goes_on() {
    let home = Home::new();
    let ledger = Arc::new(home.open().await);
    ledger.commit(Commit { rotation: Some(rotation("r", None, "start")), ..Commit::default() }).await.unwrap();
    let commits: Vec<_> = (0..64)
        .map(|n: u32| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move {
                let note = (format!("n{n}"), "written".to_owned());
                let write = n.is_multiple_of(2).then(|| rotation("r", Some(1), &format!("by {n}")));
                (n, ledger.commit(Commit { rotation: write, notes: vec![note], ..Commit::default() }).await)
            })
        })
        .collect();
    let mut done = BTreeSet::new();
    for commit in commits {
        let (n, answer) = commit.await.unwrap();
        match answer {
            Ok(()) => assert!(done.insert(n)),
            Err(CommitError::Conflict { .. }) => assert!(n.is_multiple_of(2)),
            Err(other) => panic!("{other}"),
        }
    }
    let winners: Vec<u32> = done.iter().copied().filter(|n| n.is_multiple_of(2)).collect();
    assert_eq!((winners.len(), done.len()), (1, 33));
    let row = ledger.rotation("r").await.unwrap().unwrap();
    assert_eq!((row.rev, row.state), (2, format!("by {}", winners[0])));
    let notes: BTreeSet<u32> = ledger.load().await.unwrap().notes.iter().map(|(name, _)| name[1..].parse().unwrap()).collect();
    assert_eq!(notes, done);
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_cut_its_commit() {
    let home = Home::new();
    let ledger = home.open().await;
    for n in 0..20 {
        let commit = Commit { rotation: Some(rotation(&format!("r{n}"), None, "s")), ..Commit::default() };
        let mut future = Box::pin(ledger.commit(commit));
        // Polled once the commit is queued (the queue has room); then its caller is gone.
        assert!(std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context))).await.is_pending());
        drop(future);
    }
    ledger.close().await.unwrap();
    let ledger = home.open().await;
    assert_eq!(ledger.load().await.unwrap().rotations.len(), 20);
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn many_policies_in_one_commit() {
    let count: usize = std::env::var("CUTOVER_LEDGER_POLICIES").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000);
    let home = Home::new();
    let ledger = home.open().await;
    let policies: Vec<PolicyWrite> = (0..count)
        .map(|n| PolicyWrite { name: format!("p{n:07}"), state: format!("{{\"n\":{n}}}"), due_at: Some(Stamp(n as i64)) })
        .collect();
    ledger.commit(Commit { policies: policies.clone(), ..Commit::default() }).await.unwrap();
    assert_eq!(ledger.transactions(), 1);
    assert!(ledger.load().await.unwrap().policies == policies);
    ledger.close().await.unwrap();
    let ledger = home.open().await;
    assert!(ledger.load().await.unwrap().policies == policies);
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_second_opener_is_told_who_has_it() {
    let home = Home::new();
    let ledger = home.open().await;
    let error = home.try_open().await.err().unwrap();
    assert_eq!(error.kind, OpenErrorKind::Locked);
    assert!(error.detail.contains("process 4321"), "{error}");
    // A removed lock file and a second name open no second way in.
    fs::remove_file(home.dir().join("ledger.db.lock")).unwrap();
    assert_eq!(home.try_open().await.err().unwrap().kind, OpenErrorKind::Locked);
    fs::hard_link(home.path(), home.dir().join("other.db")).unwrap();
    let other = SqliteLedger::open(&home.dir().join("other.db"), "test", home.keys(), 1, NOW).await;
    assert_eq!(other.err().unwrap().kind, OpenErrorKind::Locked);
    std::os::unix::fs::symlink(home.path(), home.dir().join("link.db")).unwrap();
    let link = SqliteLedger::open(&home.dir().join("link.db"), "test", home.keys(), 1, NOW).await;
    assert_eq!(link.err().unwrap().kind, OpenErrorKind::Locked);
    ledger.commit(Commit { history: vec![entry("p", "k")], ..Commit::default() }).await.unwrap();
    ledger.close().await.unwrap();
    home.open().await.close().await.unwrap();
}

#[tokio::test]
async fn refusals_tell_what_is_wrong_and_change_nothing() {
    let home = Home::new();
    let ledger = home.open().await;
    cases::all(&ledger).await;
    ledger.close().await.unwrap();
    let before = home.bytes();
    let open = async |name: &'static str, key: &Secret| {
        let keys = SealKeys::parse(&[key.duplicate()]).unwrap();
        SqliteLedger::open(&home.path(), name, keys, 1, NOW).await.err().unwrap()
    };
    let stranger = SealKeys::generate().unwrap();
    for (name, key, kind) in [
        ("other", &home.key, OpenErrorKind::OtherEnvironment),
        ("test", &stranger, OpenErrorKind::WrongSealKey),
        ("other", &stranger, OpenErrorKind::OtherEnvironment),
    ] {
        let error = open(name, key).await;
        assert_eq!(error.kind, kind, "{error}");
        let after = home.bytes();
        assert!(after[0] == before[0], "the database was changed by a refusal: {error}");
        assert!(after[1].as_ref().is_none_or(Vec::is_empty), "something was written to the WAL by a refusal: {error}");
    }
    home.open().await.close().await.unwrap();
}

#[tokio::test]
async fn an_empty_or_missing_file_with_leftovers_is_not_taken_for_a_new_ledger() {
    let home = Home::new();
    fs::write(home.path(), b"").unwrap();
    assert_eq!(home.try_open().await.err().unwrap().kind, OpenErrorKind::Damaged);
    fs::write(
        home.path(),
        b"this is not a database, but long enough to have a header of one hundred bytes, or so it is hoped here",
    )
    .unwrap();
    assert_eq!(home.try_open().await.err().unwrap().kind, OpenErrorKind::Damaged);
    fs::remove_file(home.path()).unwrap();
    fs::write(home.dir().join("ledger.db-wal"), b"left").unwrap();
    assert_eq!(home.try_open().await.err().unwrap().kind, OpenErrorKind::Damaged);
    fs::remove_file(home.dir().join("ledger.db-wal")).unwrap();
    // What a crash in the middle of a creation leaves is swept away.
    fs::write(home.dir().join("ledger.db.new"), b"half").unwrap();
    home.open().await.close().await.unwrap();
    assert!(!home.dir().join("ledger.db.new").exists());
    let missing = SqliteLedger::open(&home.dir().join("no/such/dir.db"), "test", home.keys(), 1, NOW).await;
    assert_eq!(missing.err().unwrap().kind, OpenErrorKind::Io);
}

#[tokio::test]
async fn a_directory_that_everybody_can_write_is_refused_and_a_loose_mode_is_mended() {
    let home = Home::new();
    home.open().await.close().await.unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o644)).unwrap();
    home.open().await.close().await.unwrap();
    assert_eq!(fs::metadata(home.path()).unwrap().permissions().mode() & 0o7777, 0o600);
    fs::set_permissions(home.dir(), fs::Permissions::from_mode(0o1777)).unwrap();
    assert_eq!(home.try_open().await.err().unwrap().kind, OpenErrorKind::Mode);
}

#[tokio::test]
async fn a_new_first_key_takes_everything_over_and_the_old_one_may_go() {
    let home = Home::new();
    let ledger = home.open().await;
    let commit = Commit {
        rotation: Some(rotation("r", None, "one")),
        seal: vec![seal("r", "old", "sealed by the old key")],
        history: (0..300).map(|n| entry("p", &format!("k{n}"))).collect(),
        notes: (0..300).map(|n| (format!("n{n}"), String::new())).collect(),
        ..Commit::default()
    };
    ledger.commit(commit).await.unwrap();
    ledger.close().await.unwrap();

    let new = SealKeys::generate().unwrap();
    let open = async |keys: &[&Secret]| {
        let keys: Vec<Secret> = keys.iter().map(|key| key.duplicate()).collect();
        SqliteLedger::open(&home.path(), "test", SealKeys::parse(&keys).unwrap(), 1, NOW).await
    };
    let ledger = open(&[&new, &home.key]).await.unwrap();
    assert_eq!(unsealed(&ledger, "r", "old").await.as_deref(), Some("sealed by the old key"));
    ledger.commit(Commit { seal: vec![seal("r", "new", "sealed by the new key")], ..Commit::default() }).await.unwrap();
    // Bounded by the harness: a renewal that never ends is a failure.
    while ledger.older_rows() > 0 {
        tokio::task::yield_now().await;
    }
    ledger.close().await.unwrap();

    assert_eq!(open(&[&home.key]).await.err().unwrap().kind, OpenErrorKind::WrongSealKey);
    let ledger = open(&[&new]).await.unwrap();
    assert_eq!(ledger.older_rows(), 0);
    for (slot, value) in [("old", "sealed by the old key"), ("new", "sealed by the new key")] {
        assert_eq!(unsealed(&ledger, "r", slot).await.as_deref(), Some(value));
    }
    assert_eq!(ledger.verify_history().await.unwrap(), Ok(300));
    assert_eq!(ledger.load().await.unwrap().notes.len(), 300);
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_secret_is_in_no_file_in_any_form() {
    let home = Home::new();
    let ledger = home.open().await;
    let canary = "CANARY-9f31c6d7e8b24a50-Zq";
    let commit = Commit { rotation: Some(rotation("r", None, "s")), seal: vec![seal("r", "new", canary)], ..Commit::default() };
    ledger.commit(commit).await.unwrap();
    let forms = [
        canary.to_owned(),
        hex::encode(canary),
        hex::encode_upper(canary),
        base64::engine::general_purpose::STANDARD_NO_PAD.encode(canary),
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(canary),
    ];
    // Any eight bytes of it are too many.
    let windows: Vec<Vec<u8>> = forms.iter().flat_map(|form| form.as_bytes().windows(8).map(<[u8]>::to_vec)).collect();
    let scan = |when: &str| {
        for file in fs::read_dir(home.dir()).unwrap() {
            let path = file.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let found: BTreeSet<&[u8]> = bytes.windows(8).collect();
            assert!(!windows.iter().any(|window| found.contains(window.as_slice())), "{when}: {}", path.display());
        }
    };
    scan("sealed");
    assert_eq!(unsealed(&ledger, "r", "new").await.as_deref(), Some(canary));
    ledger.commit(Commit { erase: vec![("r".to_owned(), None)], ..Commit::default() }).await.unwrap();
    scan("erased");
    ledger.close().await.unwrap();
    scan("closed");
}

#[tokio::test]
async fn old_alerts_are_forgotten_once_they_are_told() {
    let home = Home::new();
    let ledger = home.open().await;
    let alert =
        |id: &str, at: Stamp| AlertRow { id: id.to_owned(), at, message: "m".to_owned(), channels: vec!["ops".to_owned()] };
    let old = NOW.minus(Span::DAY.times(31));
    let accepted =
        |id: &str| DeliveryWrite { alert: id.to_owned(), channel: "ops".to_owned(), result: DeliveryResult::Accepted(NOW) };
    let alerts = vec![alert("old-told", old), alert("old-open", old), alert("new-told", NOW)];
    ledger.commit(Commit { alerts, ..Commit::default() }).await.unwrap();
    let deliveries = vec![accepted("old-told"), accepted("new-told")];
    ledger.commit(Commit { deliveries, ..Commit::default() }).await.unwrap();
    ledger.close().await.unwrap();
    // The forgotten one is new when it comes again, the others are not.
    let ledger = home.open().await;
    let again = vec![alert("old-told", NOW), alert("old-open", NOW), alert("new-told", NOW)];
    ledger.commit(Commit { alerts: again, ..Commit::default() }).await.unwrap();
    let open: Vec<(String, Stamp)> =
        ledger.open_deliveries().await.unwrap().into_iter().map(|row| (row.alert, row.at)).collect();
    assert_eq!(open, [("old-open".to_owned(), old), ("old-told".to_owned(), NOW)]);
    ledger.close().await.unwrap();
    home.open().await.close().await.unwrap();
}

#[tokio::test]
async fn a_ledger_that_was_moved_away_has_no_room() {
    let home = Home::new();
    let ledger = home.open().await;
    ledger.room().await.unwrap();
    fs::rename(home.path(), home.dir().join("elsewhere.db")).unwrap();
    assert!(ledger.room().await.unwrap_err().contains("moved or replaced"));
    fs::rename(home.dir().join("elsewhere.db"), home.path()).unwrap();
    ledger.room().await.unwrap();
    ledger.close().await.unwrap();
}
