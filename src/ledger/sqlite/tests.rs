//! What needs to write as a newer cutover would.

use cutover_api::Secret;
use cutover_machine::Stamp;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};

use super::SqliteLedger;
use super::meta::Found;
use crate::seal::{Keyring, SealKeys};
use crate::{Commit, Ledger as _, OpenErrorKind};

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let key = SealKeys::generate().unwrap();
    let keys = || SealKeys::parse(&[key.duplicate()]).unwrap();
    let open = || SqliteLedger::open(&path, "test", keys(), 1, Stamp(0));
    open().await.unwrap().close().await.unwrap();

    let mut conn = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let found = Found::read(&mut conn).await.unwrap();
    let ring = Keyring::derive(&keys(), found.ledger().unwrap()).unwrap();
    let mut meta = found.understand(&ring).unwrap();
    meta.schema = 2;
    meta.write(&mut conn, &ring).await.unwrap();
    conn.execute("PRAGMA user_version = 2; CREATE TABLE of_the_future (x)").await.unwrap();
    conn.close().await.unwrap();

    let before = std::fs::read(&path).unwrap();
    let error = open().await.err().unwrap();
    assert_eq!(error.kind, OpenErrorKind::Newer, "{error}");
    assert!(std::fs::read(&path).unwrap() == before);
}

#[tokio::test]
async fn a_row_of_a_key_that_left_the_list_too_early_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let (old, new) = (SealKeys::generate().unwrap(), SealKeys::generate().unwrap());
    let keys = |texts: &[&Secret]| SealKeys::parse(&texts.iter().map(|text| text.duplicate()).collect::<Vec<_>>()).unwrap();
    let ledger = SqliteLedger::open(&path, "test", keys(&[&old]), 1, Stamp(0)).await.unwrap();
    ledger.commit(Commit { notes: vec![("mark".to_owned(), "1".to_owned())], ..Commit::default() }).await.unwrap();
    ledger.close().await.unwrap();

    // As a crash right after the first start with the new key leaves it: what the ledger is, is written with the new key, the rows are not.
    let mut conn = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let found = Found::read(&mut conn).await.unwrap();
    let ring = Keyring::derive(&keys(&[&new, &old]), found.ledger().unwrap()).unwrap();
    let mut meta = found.understand(&ring).unwrap();
    meta.keys.insert(0, ring.first_id().unwrap());
    meta.write(&mut conn, &ring).await.unwrap();
    conn.close().await.unwrap();

    let error = SqliteLedger::open(&path, "test", keys(&[&new]), 1, Stamp(0)).await.err().unwrap();
    assert_eq!(error.kind, OpenErrorKind::WrongSealKey, "{error}");
    assert!(error.detail.contains("note/mark"), "{error}");
    SqliteLedger::open(&path, "test", keys(&[&new, &old]), 1, Stamp(0)).await.unwrap().close().await.unwrap();
}
