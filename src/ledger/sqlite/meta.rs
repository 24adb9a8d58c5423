//! What the ledger is: the rows of the table `meta`. Its shape never changes with the schema, so that an older cutover can read
//! that a newer one was here.

use cutover_api::Secret;
use cutover_machine::Stamp;
use sqlx::SqliteConnection;

use super::fault::Fault;
use super::head::{Head, sha256};
use super::rows::{self, Script};
use super::table::{Cell, META, Stored, encode};
use crate::seal::{KeyId, Keyring};

/// The schema that this cutover writes.
pub(super) const SCHEMA: u32 = 1;

const CHECK_SLOT: &str = "ledger check";

/// The rows of `meta`, understood.
pub(super) struct Meta {
    pub(super) schema: u32,
    /// The hash of the tables' definitions as they stand in the file: a trigger or a changed column is found by it.
    pub(super) definitions: [u8; 32],
    pub(super) environment: String,
    pub(super) ledger: [u8; 16],
    pub(super) created_at: Stamp,
    /// The ids of every sealing key that has written here.
    pub(super) keys: Vec<KeyId>,
    pub(super) head: Head,
}

/// The rows of `meta`, as they were found.
pub(super) struct Found(Vec<Stored>);

impl Found {
    pub(super) async fn read(conn: &mut SqliteConnection) -> Result<Self, Fault> {
        Ok(Self(rows::page(conn, &META, None, rows::PAGE).await?))
    }

    fn row(&self, name: &str) -> Option<&Stored> {
        self.0.iter().find(|row| row.cells[0].as_text() == name)
    }

    fn value(&self, name: &str) -> Result<&[u8], Fault> {
        self.row(name).map(|row| row.cells[1].as_blob()).ok_or_else(|| missing(name))
    }

    /// The ledger's id; believed only once a MAC that was derived with it fits.
    pub(super) fn ledger(&self) -> Result<[u8; 16], Fault> {
        self.value("ledger")?.try_into().map_err(|_| missing("ledger"))
    }

    /// The environment's name as it stands there, believed or not.
    pub(super) fn environment(&self) -> &[u8] {
        self.value("environment").unwrap_or_default()
    }

    /// The one key that made all these rows; they are always written together or after all were re-made.
    pub(super) fn key(&self) -> Result<KeyId, Fault> {
        let first = self.0.first().map(|row| row.key_id).ok_or_else(|| missing("ledger"))?;
        if self.0.iter().all(|row| row.key_id == first) {
            return Ok(first);
        }
        Err(Fault::Damaged("the rows of meta were made with different keys".to_owned()))
    }

    /// The schema's version, checked on its own: a newer cutover may have changed all the rest.
    pub(super) fn schema(&self, ring: &Keyring) -> Result<(u32, [u8; 32]), Fault> {
        let row = self.row("schema").ok_or_else(|| missing("schema"))?;
        rows::check(ring, &META, row)?;
        let value = row.cells[1].as_blob();
        let version = value.get(..4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        let definitions = value.get(4..).and_then(|bytes| bytes.try_into().ok());
        version.zip(definitions).ok_or_else(|| missing("schema"))
    }

    /// All rows, each checked.
    pub(super) fn understand(&self, ring: &Keyring) -> Result<Meta, Fault> {
        for row in &self.0 {
            rows::check(ring, &META, row)?;
        }
        let (schema, definitions) = self.schema(ring)?;
        let environment = String::from_utf8(self.value("environment")?.to_vec()).map_err(|_| missing("environment"))?;
        let created_at = self.value("created_at")?.try_into().map_err(|_| missing("created_at"))?;
        let keys = self.value("keys")?.chunks(KeyId::LEN).map(KeyId::from_bytes).collect::<Option<_>>();
        let check = ring.open("", CHECK_SLOT, self.value("check")?).map_err(|_| missing("check"))?;
        if check.expose() != environment {
            return Err(missing("check"));
        }
        Ok(Meta {
            schema,
            definitions,
            environment,
            ledger: self.ledger()?,
            created_at: Stamp(i64::from_be_bytes(created_at)),
            keys: keys.ok_or_else(|| missing("keys"))?,
            head: Head::from_bytes(self.value("head")?).ok_or_else(|| missing("head"))?,
        })
    }
}

impl Meta {
    /// Writes every row with the key that seals now.
    pub(super) async fn write(&self, conn: &mut SqliteConnection, ring: &Keyring) -> Result<(), Fault> {
        let mut schema = self.schema.to_be_bytes().to_vec();
        schema.extend_from_slice(&self.definitions);
        let keys: Vec<u8> = self.keys.iter().flat_map(|key| key.0).collect();
        let check = ring.seal("", CHECK_SLOT, &Secret::new(self.environment.clone()))?;
        let values = [
            ("schema", schema),
            ("environment", self.environment.clone().into_bytes()),
            ("ledger", self.ledger.to_vec()),
            ("created_at", self.created_at.0.to_be_bytes().to_vec()),
            ("keys", keys),
            ("check", check),
            ("head", self.head.to_bytes()),
        ];
        let rows: Vec<Stored> = values.into_iter().map(|(name, value)| row(ring, name, value)).collect::<Result<_, _>>()?;
        let mut script = Script::default();
        script.upsert(&META, rows);
        script.run(conn, false).await
    }
}

/// Writes the head alone.
pub(super) fn write_head(script: &mut Script, ring: &Keyring, head: &Head) -> Result<(), Fault> {
    script.upsert(&META, vec![row(ring, "head", head.to_bytes())?]);
    Ok(())
}

/// The head as it stands in the database that `conn` reads.
pub(super) async fn read_head(conn: &mut SqliteConnection, ring: &Keyring) -> Result<Head, Fault> {
    let rows = rows::select(conn, ring, &META, "WHERE name = ?", &[Cell::text("head")]).await?;
    rows.first().and_then(|row| Head::from_bytes(row.cells[1].as_blob())).ok_or_else(|| missing("head"))
}

/// The hash of the definitions of all tables, indices, views and triggers.
pub(super) async fn definitions(conn: &mut SqliteConnection) -> Result<[u8; 32], Fault> {
    let sql = "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema ORDER BY type, name";
    let mut bytes = Vec::new();
    for (kind, name, table, sql) in sqlx::query_as::<_, (String, String, String, String)>(sql).fetch_all(conn).await? {
        encode(&mut bytes, b"", &[Cell::Text(name), Cell::Text(table), Cell::Text(sql)], &kind);
    }
    Ok(sha256(&bytes))
}

fn row(ring: &Keyring, name: &str, value: Vec<u8>) -> Result<Stored, Fault> {
    rows::seal_row(ring, &META, vec![Cell::text(name), Cell::Blob(value)])
}

fn missing(name: &str) -> Fault {
    Fault::Damaged(format!("row meta/{name} is missing or not what was written"))
}
