//! Somebody, or something, changed the file: every change is found, or does not matter.

use std::fs;

use cutover_ledger::{Commit, CommitError, HistoryQuery, HistoryRow, Ledger, OpenErrorKind, SqliteLedger};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use super::home::Home;
use crate::cases::{self, entry, rotation, seal, unsealed};

/// A ledger with something in every table, closed.
async fn filled() -> Home {
    let home = Home::new();
    let ledger = home.open().await;
    cases::all(&ledger).await;
    for n in 0..40 {
        let id = format!("f{n}");
        let commit = Commit {
            rotation: Some(rotation(&id, None, &"state ".repeat(n * 3))),
            seal: vec![seal(&id, "reply", &"reply ".repeat(n * 40)), seal(&id, "new", "value")],
            history: vec![entry(&id, "minted")],
            ..Commit::default()
        };
        ledger.commit(commit).await.unwrap();
    }
    // Pages that were given back: a flipped bit in one of them is harmless.
    let erase = (0..40).step_by(2).map(|n| (format!("f{n}"), None)).collect();
    ledger.commit(Commit { erase, ..Commit::default() }).await.unwrap();
    ledger.close().await.unwrap();
    home
}

/// Everything that a ledger tells.
async fn told(ledger: &SqliteLedger) -> Result<(String, Vec<HistoryRow>, Vec<Option<String>>), CommitError> {
    let loaded = ledger.load().await?;
    let mut text = format!("{:?}{:?}{:?}{:?}", loaded.rotations, loaded.policies, loaded.keys, loaded.notes);
    text.push_str(&format!("{:?}{:?}", ledger.open_deliveries().await?, ledger.verify_history().await?));
    let mut values = Vec::new();
    for n in 0..40 {
        for slot in ["reply", "new"] {
            values.push(unsealed(ledger, &format!("f{n}"), slot).await);
        }
    }
    Ok((text, ledger.history(&HistoryQuery::default()).await?, values))
}

/// A small generator with a fixed seed: the same positions in every run.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }
}

#[tokio::test]
async fn a_flipped_bit_is_found_or_harmless() {
    let home = filled().await;
    let ledger = home.open().await;
    let truth = told(&ledger).await.unwrap();
    ledger.close().await.unwrap();
    let sound = fs::read(home.path()).unwrap();
    let mut random = Seeded(20_261_121);
    // The whole header of the file, the first bytes of every page, and anywhere.
    let mut places: Vec<usize> = (0..100).chain((0..sound.len()).step_by(4096).flat_map(|page| page..page + 8)).collect();
    places.extend((0..600).map(|_| random.next(sound.len())));
    let (mut found, mut harmless) = (0, 0);
    for place in places {
        let mut bytes = sound.clone();
        bytes[place] ^= 1 << random.next(8);
        fs::write(home.path(), &bytes).unwrap();
        match home.try_open().await {
            Err(error) => {
                assert_eq!(error.kind, OpenErrorKind::Damaged, "byte {place}: {error}");
                assert!(fs::read(home.path()).unwrap() == bytes, "byte {place}: the refusal changed the file");
                found += 1;
            }
            Ok(ledger) => {
                assert!(told(&ledger).await.unwrap() == truth, "byte {place}: not found, and not harmless");
                ledger.close().await.unwrap();
                harmless += 1;
            }
        }
        for left in ["-wal", "-shm"] {
            drop(fs::remove_file(home.dir().join(format!("ledger.db{left}"))));
        }
    }
    assert!(found > 100 && harmless > 0, "{found} found, {harmless} harmless");
    eprintln!("{found} found, {harmless} harmless");
}

/// Changes the closed ledger with SQL, as somebody with the file could.
async fn tamper(home: &Home, sql: &str) {
    let mut conn = SqliteConnectOptions::new().filename(home.path()).foreign_keys(false).connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

#[tokio::test]
async fn a_changed_removed_or_added_row_is_found_and_named() {
    let home = filled().await;
    let sound = fs::read(home.path()).unwrap();
    for (sql, named) in [
        ("UPDATE rotation SET state = 'x' WHERE id = 'f3'", "rotation/f3"),
        ("UPDATE rotation SET closed = 1 WHERE id = 'f3'", "rotation/f3"),
        ("UPDATE plan SET body = 'x' WHERE rotation = 'f3'", "plan/f3"),
        ("UPDATE policy SET due_at = NULL, name = 'else' WHERE name = 'pg'", "policy/else"),
        ("UPDATE key_row SET state = 'dead' WHERE policy = 'pg'", "key_row/pg/sha256:2"),
        ("UPDATE alert SET message = 'x' WHERE id = 'al-1'", "alert/al-1"),
        (
            "UPDATE delivery SET standing = 'accepted', tries = 9 WHERE alert = 'al-1' AND channel = 'hook'",
            "delivery/al-1/hook",
        ),
        ("UPDATE note SET value = 'x' WHERE name = 'nr'", "note/nr"),
        ("UPDATE sealed SET slot = 'else' WHERE rotation = 'f3' AND slot = 'new'", "sealed/f3/else"),
        (
            "UPDATE sealed SET record = (SELECT record FROM sealed WHERE rotation = 'f5' AND slot = 'new') WHERE rotation = 'f3'",
            "sealed/f3",
        ),
        ("UPDATE note SET mac = zeroblob(32) WHERE name = 'nr'", "note/nr"),
        ("UPDATE note SET key_id = zeroblob(8) WHERE name = 'nr'", "note/nr"),
        ("UPDATE meta SET value = CAST('prod' AS BLOB) WHERE name = 'environment'", "meta/environment"),
        ("DELETE FROM meta WHERE name = 'keys'", "meta/keys"),
        ("DELETE FROM rotation WHERE id = 'f3'", "table rotation"),
        ("DELETE FROM plan WHERE rotation = 'f3'", "table plan"),
        ("DELETE FROM policy WHERE name = 'pg'", "table policy"),
        ("DELETE FROM key_row", "table key_row"),
        ("DELETE FROM sealed WHERE rotation = 'f3'", "table sealed"),
        ("DELETE FROM note", "table note"),
        ("CREATE TRIGGER t AFTER INSERT ON note BEGIN DELETE FROM rotation; END", "definition"),
        ("CREATE VIEW v AS SELECT * FROM sealed", "definition"),
        ("ALTER TABLE note ADD COLUMN more TEXT", "definition"),
        ("PRAGMA user_version = 2", "schema"),
        ("PRAGMA application_id = 7", "not the file of a ledger"),
    ] {
        fs::write(home.path(), &sound).unwrap();
        tamper(&home, sql).await;
        let error = home.try_open().await.err().unwrap_or_else(|| panic!("not found: {sql}"));
        assert_eq!(error.kind, OpenErrorKind::Damaged, "{sql}: {error}");
        assert!(error.detail.contains(named), "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_row_put_back_from_an_older_copy_is_found() {
    let home = Home::new();
    let ledger = home.open().await;
    ledger.commit(Commit { rotation: Some(rotation("r", None, "before the mint")), ..Commit::default() }).await.unwrap();
    ledger.close().await.unwrap();
    fs::copy(home.path(), home.dir().join("older.db")).unwrap();
    let ledger = home.open().await;
    ledger.commit(Commit { rotation: Some(rotation("r", Some(1), "mint intended")), ..Commit::default() }).await.unwrap();
    ledger.close().await.unwrap();
    let older = home.dir().join("older.db");
    let put_back = format!("ATTACH '{}' AS older; REPLACE INTO main.rotation SELECT * FROM older.rotation", older.display());
    tamper(&home, &put_back).await;
    let error = home.try_open().await.err().unwrap();
    assert!(error.kind == OpenErrorKind::Damaged && error.detail.contains("table rotation"), "{error}");
}

#[tokio::test]
async fn a_changed_history_is_found_at_its_first_bad_entry() {
    let home = filled().await;
    let sound = fs::read(home.path()).unwrap();
    let swap = "UPDATE history SET seq = -1 WHERE seq = 7; UPDATE history SET seq = 7 WHERE seq = 8; UPDATE history SET seq = 8 WHERE seq = -1";
    let last = "(SELECT max(seq) FROM history)";
    let count = {
        let ledger = home.open().await;
        let count = ledger.verify_history().await.unwrap().unwrap();
        ledger.close().await.unwrap();
        count
    };
    for (sql, bad) in [
        ("UPDATE history SET actor = 'nobody' WHERE seq = 7".to_owned(), 7),
        ("UPDATE history SET at = at + 1 WHERE seq = 1".to_owned(), 1),
        ("UPDATE history SET policy = NULL WHERE seq = 9".to_owned(), 9),
        ("DELETE FROM history WHERE seq = 7".to_owned(), 7),
        ("DELETE FROM history WHERE seq = 1".to_owned(), 1),
        (swap.to_owned(), 7),
        (format!("DELETE FROM history WHERE seq = {last}"), count),
        ("DELETE FROM history WHERE seq > 5".to_owned(), 6),
        ("DELETE FROM history".to_owned(), 1),
        (
            format!(
                "INSERT INTO history SELECT seq + 1, at, policy, rotation, actor, kind, facts, hash, key_id, mac FROM history WHERE seq = {last}"
            ),
            count + 1,
        ),
    ] {
        fs::write(home.path(), &sound).unwrap();
        tamper(&home, &sql).await;
        let error = home.try_open().await.err().unwrap_or_else(|| panic!("not found: {sql}"));
        assert_eq!(error.kind, OpenErrorKind::Damaged, "{sql}: {error}");
        assert!(
            error.detail.ends_with(&format!("at entry {bad}; nothing was changed: restore a copy (`cutover ledger copy`)")),
            "{sql}: {error}"
        );

        // The same on an open ledger.
        fs::write(home.path(), &sound).unwrap();
        let ledger = home.open().await;
        tamper(&home, &sql).await;
        assert_eq!(ledger.verify_history().await.unwrap(), Err(bad), "{sql}");
        ledger.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_row_that_is_changed_under_an_open_ledger_is_not_believed() {
    let home = filled().await;
    let ledger = home.open().await;
    tamper(&home, "UPDATE rotation SET state = 'x' WHERE id = 'f3'").await;
    let error = ledger.rotation("f3").await.unwrap_err();
    assert!(error.to_string().contains("rotation/f3"), "{error}");
    assert!(ledger.load().await.is_err());
    // Nor is it built upon; and from then on nothing is.
    let build = Commit { rotation: Some(rotation("f3", Some(1), "y")), ..Commit::default() };
    assert!(matches!(ledger.commit(build).await, Err(CommitError::Failed(_))));
    assert!(ledger.room().await.is_err());
    drop(ledger.close().await);
}
