//! An older copy in the place of the ledger that was in use.

use std::fs;

use cutover_ledger::{Commit, Ledger as _};

use super::home::Home;
use crate::cases::entry;

fn commit(n: u32) -> Commit {
    Commit { history: vec![entry(&format!("r{n}"), "minted")], ..Commit::default() }
}

/// A ledger of two commits, closed; a copy of it with one stands beside it.
async fn used() -> Home {
    let home = Home::new();
    for n in 0..2 {
        let ledger = home.open().await;
        assert!(!ledger.behind(), "nothing is older than it was");
        ledger.commit(commit(n)).await.unwrap();
        ledger.close().await.unwrap();
        if n == 0 {
            fs::copy(home.path(), home.dir().join("older.db")).unwrap();
        }
    }
    home
}

#[tokio::test]
async fn an_older_copy_is_behind_until_a_person_trusts_it() {
    let home = used().await;
    fs::copy(home.dir().join("older.db"), home.path()).unwrap();
    for n in 0..4 {
        let ledger = home.open().await;
        assert!(ledger.behind(), "also when it has made more commits than the one before: {n}");
        ledger.commit(commit(n)).await.unwrap();
        ledger.close().await.unwrap();
    }
    let ledger = home.open().await;
    ledger.trust().await.unwrap();
    assert!(!ledger.behind());
    ledger.commit(commit(9)).await.unwrap();
    ledger.close().await.unwrap();
    let ledger = home.open().await;
    assert!(!ledger.behind(), "a person's word outlives a restart");
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn without_a_mark_that_says_something_of_it_a_ledger_is_believed() {
    let home = used().await;
    let mark = home.dir().join("ledger.db.seen");
    let sound = fs::read_to_string(&mark).unwrap();
    let other = format!("{}{}", "0".repeat(32), &sound[32..]);
    for text in ["", "\0\0\0\0", "garbage", &sound[..40], &other] {
        fs::write(&mark, text).unwrap();
        fs::copy(home.dir().join("older.db"), home.path()).unwrap();
        let ledger = home.open().await;
        assert!(!ledger.behind(), "{text:?}");
        ledger.close().await.unwrap();
    }
    // A mark of before is what a power cut may leave: it says less, and nothing wrong.
    fs::write(&mark, sound).unwrap();
    let ledger = home.open().await;
    ledger.trust().await.unwrap();
    for n in 0..3 {
        ledger.commit(commit(n)).await.unwrap();
    }
    let of_before = fs::read(&mark).unwrap();
    ledger.commit(commit(4)).await.unwrap();
    ledger.close().await.unwrap();
    fs::write(&mark, of_before).unwrap();
    assert!(!home.open().await.behind());
}

#[tokio::test]
async fn a_mark_that_leads_elsewhere_is_not_followed() {
    let home = Home::new();
    let elsewhere = home.dir().join("elsewhere");
    fs::write(&elsewhere, "kept").unwrap();
    std::os::unix::fs::symlink(&elsewhere, home.dir().join("ledger.db.seen")).unwrap();
    let ledger = home.open().await;
    ledger.commit(commit(1)).await.unwrap();
    ledger.close().await.unwrap();
    assert_eq!(fs::read_to_string(elsewhere).unwrap(), "kept");
}
