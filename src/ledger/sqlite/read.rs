//! Reading: each answer is one consistent view, and every row of it is checked against its MAC.

use std::collections::BTreeMap;

use cutover_machine::Stamp;
use sqlx::{Connection as _, SqliteConnection};

use super::fault::Fault;
use super::meta;
use super::rows;
use super::table::{ALERT, Cell, DELIVERY, HISTORY, KEY_ROW, NOTE, PLAN, POLICY, ROTATION, SEALED, STATE, Stored, Table};
use super::verify::Chain;
use crate::seal::Keyring;
use crate::{DeliveryRow, HistoryEntry, HistoryQuery, HistoryRow, KeyRow, Loaded, PolicyWrite, RotationRow};

/// A reader's connection with the keys.
pub(super) struct Reading<'a> {
    pub(super) conn: &'a mut SqliteConnection,
    pub(super) ring: &'a Keyring,
}

impl Reading<'_> {
    async fn select(&mut self, table: &'static Table, clause: &str, args: &[Cell]) -> Result<Vec<Stored>, Fault> {
        rows::select(self.conn, self.ring, table, clause, args).await
    }

    async fn whole(&mut self, table: &'static Table) -> Result<Vec<Stored>, Fault> {
        self.select(table, &format!("ORDER BY {}", table.key_list()), &[]).await
    }

    pub(super) async fn load(self) -> Result<Loaded, Fault> {
        let mut view = self.conn.begin().await?;
        let mut reading = Reading { conn: &mut view, ring: self.ring };
        let rotations = reading.select(&STATE[ROTATION], "WHERE closed = 0 ORDER BY id", &[]).await?;
        let plans = reading.select(&STATE[PLAN], "WHERE rotation IN (SELECT id FROM rotation WHERE closed = 0)", &[]).await?;
        let policies = reading.whole(&STATE[POLICY]).await?;
        let keys = reading.whole(&STATE[KEY_ROW]).await?;
        let notes = reading.whole(&STATE[NOTE]).await?;
        let mut plans: BTreeMap<String, String> = plans.into_iter().map(|row| pair(row.cells)).collect();
        let plan_of = |row: &Stored, plans: &mut BTreeMap<String, String>| plans.remove(row.cells[0].as_text());
        Ok(Loaded {
            rotations: rotations
                .into_iter()
                .map(|row| {
                    let plan = plan_of(&row, &mut plans);
                    rotation(row, plan)
                })
                .collect(),
            policies: policies.into_iter().map(policy).collect(),
            keys: keys.into_iter().map(key).collect(),
            notes: notes.into_iter().map(|row| pair(row.cells)).collect(),
        })
    }

    pub(super) async fn rotation(self, id: &str) -> Result<Option<RotationRow>, Fault> {
        let mut view = self.conn.begin().await?;
        let mut reading = Reading { conn: &mut view, ring: self.ring };
        let args = [Cell::text(id)];
        let Some(row) = reading.select(&STATE[ROTATION], "WHERE id = ?", &args).await?.pop() else { return Ok(None) };
        let plan = reading.select(&STATE[PLAN], "WHERE rotation = ?", &args).await?.pop();
        Ok(Some(rotation(row, plan.map(|plan| pair(plan.cells).1))))
    }

    pub(super) async fn keys_of(mut self, policies: &[String]) -> Result<Vec<KeyRow>, Fault> {
        let args = [Cell::Text(json_list(policies))];
        let clause = "WHERE policy IN (SELECT value FROM json_each(?)) ORDER BY policy, fingerprint";
        Ok(self.select(&STATE[KEY_ROW], clause, &args).await?.into_iter().map(key).collect())
    }

    pub(super) async fn sealed(mut self, rotation: &str, slot: &str) -> Result<Option<Vec<u8>>, Fault> {
        let args = [Cell::text(rotation), Cell::text(slot)];
        let row = self.select(&STATE[SEALED], "WHERE rotation = ? AND slot = ?", &args).await?.pop();
        Ok(row.map(|row| row.cells[2].as_blob().to_vec()))
    }

    pub(super) async fn history(mut self, query: &HistoryQuery) -> Result<Vec<HistoryRow>, Fault> {
        let mut wanted = Vec::new();
        let mut args = Vec::new();
        if !query.policies.is_empty() {
            wanted.push("policy IN (SELECT value FROM json_each(?))");
            args.push(Cell::Text(json_list(&query.policies)));
        }
        if let Some(rotation) = &query.rotation {
            wanted.push("rotation = ?");
            args.push(Cell::text(rotation));
        }
        if !query.kinds.is_empty() {
            wanted.push("kind IN (SELECT value FROM json_each(?))");
            args.push(Cell::Text(json_list(&query.kinds)));
        }
        if let Some(since) = query.since {
            wanted.push("at >= ?");
            args.push(Cell::Int(since.0));
        }
        if query.after > 0 {
            wanted.push("seq > ?");
            args.push(Cell::Int(i64::try_from(query.after).unwrap_or(i64::MAX)));
        }
        let filter = if wanted.is_empty() { String::new() } else { format!("WHERE {}", wanted.join(" AND ")) };
        // A negative limit is none, to SQLite.
        args.push(Cell::Int(if query.limit == 0 { -1 } else { i64::try_from(query.limit).unwrap_or(-1) }));
        let found = self.select(&HISTORY, &format!("{filter} ORDER BY seq DESC LIMIT ?"), &args).await?;
        Ok(found.into_iter().rev().map(history).collect())
    }

    /// Follows the chain from its start to its head.
    pub(super) async fn verify_history(self, ledger: &[u8; 16]) -> Result<Result<u64, u64>, Fault> {
        let mut view = self.conn.begin().await?;
        let head = meta::read_head(&mut view, self.ring).await?;
        let mut chain = Chain::start(ledger);
        let mut next = 1;
        let mut page = rows::page(&mut view, &HISTORY, None, rows::PAGE).await?;
        while let Some(last) = page.last() {
            for row in &page {
                if chain.follow(row).is_err() || rows::check(self.ring, &HISTORY, row).is_err() {
                    return Ok(Err(next));
                }
                next += 1;
            }
            page = rows::page(&mut view, &HISTORY, Some(last), rows::PAGE).await?;
        }
        Ok(chain.end(&head))
    }

    pub(super) async fn open_deliveries(self) -> Result<Vec<DeliveryRow>, Fault> {
        let mut view = self.conn.begin().await?;
        let mut reading = Reading { conn: &mut view, ring: self.ring };
        let open = "SELECT alert FROM delivery WHERE standing = 'open'";
        let alerts = reading.select(&STATE[ALERT], &format!("WHERE id IN ({open})"), &[]).await?;
        let deliveries = reading.select(&STATE[DELIVERY], "WHERE standing = 'open' ORDER BY alert, channel", &[]).await?;
        let alerts: BTreeMap<String, Stored> = alerts.into_iter().map(|row| (row.cells[0].as_text().to_owned(), row)).collect();
        let mut found = Vec::with_capacity(deliveries.len());
        for row in deliveries {
            let alert = alerts.get(row.cells[0].as_text()).ok_or_else(|| Fault::damaged(&STATE[DELIVERY], &row.cells))?;
            found.push(delivery(&row, alert));
        }
        found.sort_by_key(|row| row.at);
        Ok(found)
    }
}

fn text(cell: Option<Cell>) -> String {
    if let Some(Cell::Text(text)) = cell { text } else { String::new() }
}

fn int(cell: Option<Cell>) -> i64 {
    cell.and_then(|cell| cell.as_int()).unwrap_or_default()
}

fn pair(cells: Vec<Cell>) -> (String, String) {
    let mut cells = cells.into_iter();
    (text(cells.next()), text(cells.next()))
}

fn rotation(row: Stored, plan: Option<String>) -> RotationRow {
    let mut cells = row.cells.into_iter();
    let (id, policy) = (text(cells.next()), text(cells.next()));
    let rev = int(cells.next()).cast_unsigned();
    let closed = int(cells.next()) != 0;
    let state = text(cells.nth(1));
    RotationRow { id, policy, rev, state, plan: plan.unwrap_or_default(), closed }
}

pub(super) fn policy(row: Stored) -> PolicyWrite {
    let mut cells = row.cells.into_iter();
    let name = text(cells.next());
    let due_at = cells.next().and_then(|due| due.as_int()).map(Stamp);
    PolicyWrite { name, state: text(cells.next()), due_at }
}

fn key(row: Stored) -> KeyRow {
    let mut cells = row.cells.into_iter();
    KeyRow { policy: text(cells.next()), fingerprint: text(cells.next()), state: text(cells.next()) }
}

fn history(row: Stored) -> HistoryRow {
    let mut cells = row.cells.into_iter();
    let seq = int(cells.next()).cast_unsigned();
    let at = Stamp(int(cells.next()));
    let mut maybe = || cells.next().filter(|cell| *cell != Cell::Null).map(|cell| text(Some(cell)));
    let (policy, rotation) = (maybe(), maybe());
    let (actor, kind, facts) = (text(cells.next()), text(cells.next()), text(cells.next()));
    let hash = cells.next().map(|hash| hex::encode(hash.as_blob())).unwrap_or_default();
    HistoryRow { seq, entry: HistoryEntry { at, policy, rotation, actor, kind, facts }, hash }
}

fn delivery(row: &Stored, alert: &Stored) -> DeliveryRow {
    DeliveryRow {
        alert: row.cells[0].as_text().to_owned(),
        channel: row.cells[1].as_text().to_owned(),
        message: alert.cells[2].as_text().to_owned(),
        at: Stamp(alert.cells[1].as_int().unwrap_or_default()),
        tries: row.cells[3].as_int().and_then(|tries| u32::try_from(tries).ok()).unwrap_or(u32::MAX),
        not_before: Stamp(row.cells[4].as_int().unwrap_or_default()),
    }
}

/// Texts as a JSON array, for `json_each`: one parameter however many they are.
fn json_list(texts: &[String]) -> String {
    serde_json::Value::from(texts).to_string()
}
