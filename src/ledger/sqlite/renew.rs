//! A new first key: every row that an older one made is made anew, a few at a time while nobody waits for the writer, so that the
//! older key can leave the list one day.

use sqlx::SqliteConnection;

use super::fault::Fault;
use super::head::Head;
use super::meta;
use super::rows::{self, Script};
use super::table::{Cell, HISTORY, SEALED, STATE, Stored, Table};
use crate::seal::Keyring;

/// Rows in one step: few, because a commit that comes meanwhile waits for it.
const STEP: usize = 128;

/// Where it stands: the table and the last row that was looked at. The history is the last table.
#[derive(Default)]
pub(super) struct Renewal {
    table: usize,
    last: Option<Stored>,
}

impl Renewal {
    /// One step inside the transaction that is open on `conn`: the head after it, what is left, and how many rows were made anew.
    pub(super) async fn step(
        mut self,
        conn: &mut SqliteConnection,
        ring: &Keyring,
        head: &Head,
    ) -> Result<(Head, Option<Self>, u64), Fault> {
        let mut head = head.clone();
        let table = STATE.get(self.table).unwrap_or(&HISTORY);
        let page = rows::page(conn, table, self.last.as_ref(), STEP).await?;
        let mut renewed = Vec::new();
        for row in &page {
            rows::check(ring, table, row)?;
            if row.key_id == ring.first_id()? {
                continue;
            }
            let fresh = rows::seal_row(ring, table, self.cells(ring, table, row)?)?;
            if let Some(tally) = head.tables.get_mut(self.table) {
                tally.remove(&row.mac);
                tally.add(&fresh.mac);
            }
            renewed.push(fresh);
        }
        let done = renewed.len() as u64;
        if done > 0 {
            let mut script = Script::default();
            script.upsert(table, renewed);
            meta::write_head(&mut script, ring, &head)?;
            script.run(conn, false).await?;
        }
        self.last = page.into_iter().last();
        if self.last.is_none() {
            self.table += 1;
        }
        Ok((head, (self.table <= STATE.len()).then_some(self), done))
    }

    /// The row's columns; a sealed record is opened and sealed again.
    fn cells(&self, ring: &Keyring, table: &'static Table, row: &Stored) -> Result<Vec<Cell>, Fault> {
        let mut cells = row.cells.clone();
        if self.table == SEALED {
            let (rotation, slot) = (cells[0].as_text(), cells[1].as_text());
            let value = ring.open(rotation, slot, cells[2].as_blob()).map_err(|_| Fault::damaged(table, &row.cells))?;
            cells[2] = Cell::Blob(ring.seal(rotation, slot, &value)?);
        }
        Ok(cells)
    }
}
