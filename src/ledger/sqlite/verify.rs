//! Every check of a ledger, on a connection that cannot write.

use std::collections::BTreeSet;

use cutover_machine::{Span, Stamp};
use sqlx::SqliteConnection;

use super::fault::{Fault, code};
use super::group::OPEN;
use super::head::{Head, Tally, next_link};
use super::meta::{self, Found, Meta, SCHEMA};
use super::rows;
use super::table::{ALERT, DELIVERY, HISTORY, STATE, Stored, Table};
use crate::OpenErrorKind;
use crate::seal::{Keyring, SealKeys};

/// "CUTO", the mark of our files.
const APPLICATION: i64 = 1_129_665_615;
/// How long alerts are kept after they came about, once nothing of them is left to be delivered.
const ALERTS_KEPT: Span = Span(30 * Span::DAY.0);

/// Why a ledger is refused.
pub(super) struct Refusal(pub(super) OpenErrorKind, pub(super) String);

/// A ledger that passed.
pub(super) struct Passed {
    pub(super) ring: Keyring,
    pub(super) meta: Meta,
    /// Alerts that may be forgotten.
    pub(super) prune: Vec<String>,
    /// Rows that an older key of the list made.
    pub(super) older: u64,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        let kind = match &fault {
            Fault::UnknownKey(..) => OpenErrorKind::WrongSealKey,
            Fault::Damaged(_) | Fault::Seal(_) => OpenErrorKind::Damaged,
            Fault::Sql(_) => match fault.code() {
                Some(code::CORRUPT | code::NOT_A_DB | code::ERROR | code::SCHEMA) => OpenErrorKind::Damaged,
                _ if matches!(&fault, Fault::Sql(sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_))) => {
                    OpenErrorKind::Damaged
                }
                _ => OpenErrorKind::Io,
            },
        };
        let advice = match kind {
            OpenErrorKind::Damaged => "; nothing was changed: restore a copy (`cutover ledger copy`)",
            OpenErrorKind::WrongSealKey => "; put that key back into `seal`, after the first",
            _ => "",
        };
        Self(kind, format!("{fault}{advice}"))
    }
}

/// Checks the whole ledger behind `conn`.
pub(super) async fn verify(
    conn: &mut SqliteConnection,
    environment: &str,
    keys: &SealKeys,
    now: Stamp,
) -> Result<Passed, Refusal> {
    let (ring, meta) = identify(conn, environment, keys).await?;
    let (prune, older) = walk(conn, &ring, &meta, now).await?;
    Ok(Passed { ring, meta, prune, older })
}

/// Checks every page, row and link behind `conn` against its head: which alerts may be forgotten, and how many rows older keys made.
pub(super) async fn walk(
    conn: &mut SqliteConnection,
    ring: &Keyring,
    meta: &Meta,
    now: Stamp,
) -> Result<(Vec<String>, u64), Refusal> {
    let report: Vec<String> = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_all(&mut *conn).await.map_err(Fault::from)?;
    if report != ["ok"] {
        return Err(Fault::Damaged("a page is not what SQLite wrote".to_owned()).into());
    }
    let mut walk = Walk { conn, ring, meta, older: 0 };
    let mut alerts = Alerts { old: BTreeSet::new(), before: now.minus(ALERTS_KEPT) };
    let mut tallies = Vec::with_capacity(STATE.len());
    for (index, table) in STATE.iter().enumerate() {
        let tally = walk.table(table, |row| alerts.see(index, row)).await?;
        tallies.push(tally);
    }
    for (table, (found, written)) in STATE.iter().zip(tallies.iter().zip(&meta.head.tables)) {
        if found != written {
            let name = table.name;
            return Err(Fault::Damaged(format!("table {name}: rows are missing, or older than what was written last")).into());
        }
    }
    walk.history().await?;
    Ok((alerts.old.into_iter().collect(), walk.older))
}

/// That it is the file of a ledger; the version of its schema.
pub(super) async fn is_ledger(conn: &mut SqliteConnection) -> Result<i64, Refusal> {
    let (application, version) = (pragma(conn, "PRAGMA application_id").await?, pragma(conn, "PRAGMA user_version").await?);
    if application != APPLICATION {
        return Err(Fault::Damaged("this is not the file of a ledger, or its header was changed".to_owned()).into());
    }
    Ok(version)
}

/// Whose ledger it is, of which version, and whether the keys fit.
pub(super) async fn identify(
    conn: &mut SqliteConnection,
    environment: &str,
    keys: &SealKeys,
) -> Result<(Keyring, Meta), Refusal> {
    let version = is_ledger(conn).await?;
    let found = Found::read(conn).await?;
    let ring = Keyring::derive(keys, found.ledger()?).map_err(Fault::from)?;
    let key = found.key()?;
    let elsewhere = || {
        let shown: String = String::from_utf8_lossy(found.environment()).chars().take(64).filter(|c| !c.is_control()).collect();
        let detail = format!("it bears the name \"{shown}\", the configuration says \"{environment}\": is `ledger` right?");
        Refusal(OpenErrorKind::OtherEnvironment, detail)
    };
    if !ring.knows(key) {
        // Nothing can be believed without the key; the name tells a wrong path from a wrong key all the same.
        if found.environment() != environment.as_bytes() {
            return Err(elsewhere());
        }
        let detail = format!("it was written with the sealing key of id {key}, which is not in `seal`: put it in the list");
        return Err(Refusal(OpenErrorKind::WrongSealKey, detail));
    }
    let (schema, _) = found.schema(&ring)?;
    if i64::from(schema) != version {
        return Err(Fault::Damaged("the schema's version in the header is not the one that was written".to_owned()).into());
    }
    if schema > SCHEMA {
        let detail =
            format!("its schema is {schema}, this cutover knows {SCHEMA}: run the newer cutover, or restore an older copy");
        return Err(Refusal(OpenErrorKind::Newer, detail));
    }
    let meta = found.understand(&ring)?;
    if meta.environment != environment {
        return Err(elsewhere());
    }
    if meta::definitions(conn).await? != meta.definitions {
        return Err(Fault::Damaged("the definition of a table was changed".to_owned()).into());
    }
    Ok((ring, meta))
}

async fn pragma(conn: &mut SqliteConnection, sql: &'static str) -> Result<i64, Fault> {
    Ok(sqlx::query_scalar(sql).fetch_one(conn).await?)
}

struct Walk<'a> {
    conn: &'a mut SqliteConnection,
    ring: &'a Keyring,
    meta: &'a Meta,
    older: u64,
}

impl Walk<'_> {
    fn check(&mut self, table: &'static Table, row: &Stored) -> Result<(), Fault> {
        self.older += u64::from(self.ring.first_id()? != row.key_id);
        match rows::check(self.ring, table, row) {
            // A key that never wrote here is no key: its id was changed.
            Err(Fault::UnknownKey(..)) if !self.meta.keys.contains(&row.key_id) => Err(Fault::damaged(table, &row.cells)),
            other => other,
        }
    }

    async fn table(&mut self, table: &'static Table, mut see: impl FnMut(&Stored)) -> Result<Tally, Fault> {
        let mut tally = Tally::default();
        let mut page = rows::page(self.conn, table, None, rows::PAGE).await?;
        while let Some(last) = page.last() {
            for row in &page {
                self.check(table, row)?;
                tally.add(&row.mac);
                see(row);
            }
            page = rows::page(self.conn, table, Some(last), rows::PAGE).await?;
        }
        Ok(tally)
    }

    async fn history(&mut self) -> Result<(), Fault> {
        let mut chain = Chain::start(&self.meta.ledger);
        let mut page = rows::page(self.conn, &HISTORY, None, rows::PAGE).await?;
        while let Some(last) = page.last() {
            for row in &page {
                chain.follow(row).map_err(broken)?;
                self.check(&HISTORY, row)?;
            }
            page = rows::page(self.conn, &HISTORY, Some(last), rows::PAGE).await?;
        }
        chain.end(&self.meta.head).map(|_| ()).map_err(broken)
    }
}

fn broken(seq: u64) -> Fault {
    Fault::Damaged(format!("the history's chain does not fit at entry {seq}"))
}

/// The history's chain as it is followed.
pub(super) struct Chain {
    seq: u64,
    hash: [u8; 32],
}

impl Chain {
    pub(super) fn start(ledger: &[u8; 16]) -> Self {
        Self { seq: 0, hash: Head::start(ledger).hash }
    }

    /// The next row; the number that does not fit if it is not the next link.
    pub(super) fn follow(&mut self, row: &Stored) -> Result<(), u64> {
        let seq = self.seq + 1;
        self.hash = next_link(row, seq, &self.hash).ok_or(seq)?;
        self.seq = seq;
        Ok(())
    }

    /// The number of entries, if the chain ends where the head says.
    pub(super) fn end(&self, head: &Head) -> Result<u64, u64> {
        if self.seq == head.seq && self.hash == head.hash {
            return Ok(self.seq);
        }
        Err(if self.seq < head.seq { self.seq + 1 } else { head.seq.max(1) })
    }
}

/// Which alerts may be forgotten; alerts are walked before deliveries.
struct Alerts {
    old: BTreeSet<String>,
    before: Stamp,
}

impl Alerts {
    fn see(&mut self, table: usize, row: &Stored) {
        match table {
            ALERT if row.cells[1].as_int().is_some_and(|at| at < self.before.0) => {
                self.old.insert(row.cells[0].as_text().to_owned());
            }
            DELIVERY if row.cells[2].as_text() == OPEN => {
                self.old.remove(row.cells[0].as_text());
            }
            _ => {}
        }
    }
}
