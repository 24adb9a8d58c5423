//! Rows out of and into the database, always with their MAC.

use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _, Sqlite, SqliteConnection};

use super::fault::Fault;
use super::table::{Cell, Kind, Stored, Table};
use crate::seal::{KeyId, Keyring, SealError};

/// Rows that one page of a walk through the whole ledger holds.
pub(super) const PAGE: usize = 1_000;
/// Rows (or keys) that one statement takes: few sizes, so that the prepared statements stay cached.
const CHUNKS: [usize; 4] = [64, 16, 4, 1];

type Query = sqlx::query::Query<'static, Sqlite, SqliteArguments>;

fn bind(query: Query, cell: Cell) -> Query {
    match cell {
        Cell::Null => query.bind(None::<i64>),
        Cell::Int(int) => query.bind(int),
        Cell::Text(text) => query.bind(text),
        Cell::Blob(blob) => query.bind(blob),
    }
}

/// The rows that `clause` (fixed text with `?`) selects, each checked against its MAC.
pub(super) async fn select(
    conn: &mut SqliteConnection,
    ring: &Keyring,
    table: &'static Table,
    clause: &str,
    args: &[Cell],
) -> Result<Vec<Stored>, Fault> {
    let rows = select_unchecked(conn, table, clause, args).await?;
    for row in &rows {
        check(ring, table, row)?;
    }
    Ok(rows)
}

/// The rows that `clause` selects, their MACs not yet looked at.
pub(super) async fn select_unchecked(
    conn: &mut SqliteConnection,
    table: &'static Table,
    clause: &str,
    args: &[Cell],
) -> Result<Vec<Stored>, Fault> {
    let sql = format!("SELECT {} FROM {} {clause}", table.column_list(), table.name);
    let query = args.iter().cloned().fold(sqlx::query(AssertSqlSafe(sql)), bind);
    query.fetch_all(conn).await?.iter().map(|row| decode(table, row)).collect()
}

fn decode(table: &'static Table, row: &SqliteRow) -> Result<Stored, Fault> {
    let mut cells = Vec::with_capacity(table.columns.len());
    for (index, (_, kind)) in table.columns.iter().enumerate() {
        let cell = match kind {
            Kind::Int => row.try_get(index).map(Cell::Int),
            Kind::MaybeInt => row.try_get(index).map(Cell::maybe_int),
            Kind::Text => row.try_get(index).map(Cell::Text),
            Kind::MaybeText => row.try_get::<Option<String>, _>(index).map(|text| text.map_or(Cell::Null, Cell::Text)),
            Kind::Blob => row.try_get(index).map(Cell::Blob),
        };
        // A value of another kind than its column's: the file was changed.
        cells.push(cell.map_err(|_| Fault::damaged(table, &cells))?);
    }
    let blob = |index: usize| row.try_get::<Vec<u8>, _>(index).map_err(|_| Fault::damaged(table, &cells));
    let key_id = KeyId::from_bytes(&blob(table.columns.len())?).ok_or_else(|| Fault::damaged(table, &cells))?;
    let mac = blob(table.columns.len() + 1)?.try_into().map_err(|_| Fault::damaged(table, &cells))?;
    Ok(Stored { cells, key_id, mac })
}

/// Checks a row against its MAC.
pub(super) fn check(ring: &Keyring, table: &'static Table, row: &Stored) -> Result<(), Fault> {
    ring.verify(row.key_id, &table.canonical(&row.cells), &row.mac).map_err(|error| match error {
        SealError::UnknownKey => Fault::unknown_key(table, &row.cells, row.key_id),
        SealError::Damaged | SealError::Crypto => Fault::damaged(table, &row.cells),
    })
}

/// One page of a walk over a whole table in the order of its key, after `last`; empty at the end. MACs are not yet looked at.
pub(super) async fn page(
    conn: &mut SqliteConnection,
    table: &'static Table,
    last: Option<&Stored>,
    limit: usize,
) -> Result<Vec<Stored>, Fault> {
    let keys = table.key_list();
    match last {
        None => select_unchecked(conn, table, &format!("ORDER BY {keys} LIMIT {limit}"), &[]).await,
        Some(row) => {
            let marks = vec!["?"; table.key].join(", ");
            let clause = format!("WHERE ({keys}) > ({marks}) ORDER BY {keys} LIMIT {limit}");
            select_unchecked(conn, table, &clause, &row.cells[..table.key]).await
        }
    }
}

/// The rows whose first key column is one of `firsts`, checked.
pub(super) async fn fetch(
    conn: &mut SqliteConnection,
    ring: &Keyring,
    table: &'static Table,
    firsts: &[&str],
) -> Result<Vec<Stored>, Fault> {
    let column = table.columns[0].0;
    let mut rows = Vec::new();
    for chunk in chunks(firsts) {
        let clause = format!("WHERE {column} IN ({})", vec!["?"; chunk.len()].join(", "));
        let args: Vec<Cell> = chunk.iter().map(|first| Cell::text(first)).collect();
        rows.extend(select(conn, ring, table, &clause, &args).await?);
    }
    Ok(rows)
}

/// A row with its new MAC.
pub(super) fn seal_row(ring: &Keyring, table: &'static Table, cells: Vec<Cell>) -> Result<Stored, Fault> {
    let (key_id, mac) = ring.mac(&table.canonical(&cells))?;
    Ok(Stored { cells, key_id, mac })
}

/// What is to be written, in its order.
#[derive(Default)]
pub(super) struct Script(Vec<(String, Vec<Cell>)>);

impl Script {
    /// Writes rows; one that is there is replaced.
    pub(super) fn upsert(&mut self, table: &'static Table, rows: Vec<Stored>) {
        let sets: Vec<String> = table.columns[table.key..]
            .iter()
            .map(|(name, _)| *name)
            .chain(["key_id", "mac"])
            .map(|name| format!("{name} = excluded.{name}"))
            .collect();
        self.write(table, rows, &format!(" ON CONFLICT ({}) DO UPDATE SET {}", table.key_list(), sets.join(", ")));
    }

    /// Writes rows; one that is there is an error.
    pub(super) fn insert(&mut self, table: &'static Table, rows: Vec<Stored>) {
        self.write(table, rows, "");
    }

    fn write(&mut self, table: &'static Table, rows: Vec<Stored>, tail: &str) {
        let marks = format!("({})", vec!["?"; table.columns.len() + 2].join(", "));
        let cells = rows.into_iter().map(|row| {
            let sealed = [Cell::Blob(row.key_id.0.to_vec()), Cell::Blob(row.mac.to_vec())];
            row.cells.into_iter().chain(sealed).collect()
        });
        self.in_chunks(cells.collect(), |n| {
            let values = vec![marks.as_str(); n].join(", ");
            format!("INSERT INTO {} ({}) VALUES {values}{tail}", table.name, table.column_list())
        });
    }

    /// Deletes rows by their key.
    pub(super) fn delete(&mut self, table: &'static Table, keys: Vec<Vec<Cell>>) {
        let marks = format!("({})", vec!["?"; table.key].join(", "));
        self.in_chunks(keys, |n| {
            let values = vec![marks.as_str(); n].join(", ");
            format!("DELETE FROM {} WHERE ({}) IN (VALUES {values})", table.name, table.key_list())
        });
    }

    fn in_chunks(&mut self, rows: Vec<Vec<Cell>>, sql: impl Fn(usize) -> String) {
        let sizes: Vec<usize> = chunks(&rows).map(<[_]>::len).collect();
        let mut rows = rows.into_iter();
        for size in sizes {
            self.0.push((sql(size), rows.by_ref().take(size).flatten().collect()));
        }
    }

    /// Does it. `at_once`: as one text. That spares two threads waking each other for each statement, which is most of what a small
    /// commit takes; what is prepared is kept by its whole text, so it is for texts that come again.
    pub(super) async fn run(self, conn: &mut SqliteConnection, at_once: bool) -> Result<(), Fault> {
        let statements = if at_once {
            let (texts, cells): (Vec<String>, Vec<Vec<Cell>>) = self.0.into_iter().unzip();
            vec![(texts.join("; "), cells.into_iter().flatten().collect())]
        } else {
            self.0
        };
        for (sql, cells) in statements {
            let query = cells.into_iter().fold(sqlx::query(AssertSqlSafe(sql)), bind);
            query.execute(&mut *conn).await?;
        }
        Ok(())
    }
}

/// Cuts `items` into pieces of the sizes of [`CHUNKS`], the largest first.
fn chunks<T>(mut items: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = CHUNKS.into_iter().find(|size| *size <= items.len())?;
        let (chunk, rest) = items.split_at(size);
        items = rest;
        Some(chunk)
    })
}
