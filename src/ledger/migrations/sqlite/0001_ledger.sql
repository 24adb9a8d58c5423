-- The ledger's first schema. Every row ends with the id of the key that made its MAC and the MAC over the table's name and all its columns.
-- No secondary index: an index is a second copy that a flipped bit can turn into a lie; the tables are small or read in their own order.

PRAGMA application_id = 1129665615; -- "CUTO"
PRAGMA user_version = 1;

-- What the ledger is: schema, environment, ledger id, created_at, keys, check, head.
CREATE TABLE meta (
  name TEXT NOT NULL PRIMARY KEY,
  value BLOB NOT NULL,
  key_id BLOB NOT NULL, mac BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE rotation (
  id TEXT NOT NULL PRIMARY KEY,
  policy TEXT NOT NULL,
  rev INTEGER NOT NULL,
  closed INTEGER NOT NULL,
  phase TEXT NOT NULL,
  state TEXT NOT NULL,
  key_id BLOB NOT NULL, mac BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The plan's snapshot is apart from its rotation: it is written once, the rotation at every step.
CREATE TABLE plan (
  rotation TEXT NOT NULL PRIMARY KEY REFERENCES rotation (id) DEFERRABLE INITIALLY DEFERRED,
  body TEXT NOT NULL,
  key_id BLOB NOT NULL, mac BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE policy (
  name TEXT NOT NULL PRIMARY KEY,
  due_at INTEGER,
  state TEXT NOT NULL,
  key_id BLOB NOT NULL, mac BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE key_row (
  policy TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  state TEXT NOT NULL,
  key_id BLOB NOT NULL, mac BLOB NOT NULL,
  PRIMARY KEY (policy, fingerprint)
) STRICT, WITHOUT ROWID;

CREATE TABLE sealed (
  rotation TEXT NOT NULL,
  slot TEXT NOT NULL,
  record BLOB NOT NULL,
  key_id BLOB NOT NULL, mac BLOB NOT NULL,
  PRIMARY KEY (rotation, slot)
) STRICT, WITHOUT ROWID;

CREATE TABLE alert (
  id TEXT NOT NULL PRIMARY KEY,
  at INTEGER NOT NULL,
  message TEXT NOT NULL,
  key_id BLOB NOT NULL, mac BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- standing: open, accepted, dropped.
CREATE TABLE delivery (
  alert TEXT NOT NULL REFERENCES alert (id) DEFERRABLE INITIALLY DEFERRED,
  channel TEXT NOT NULL,
  standing TEXT NOT NULL,
  tries INTEGER NOT NULL,
  not_before INTEGER NOT NULL,
  done_at INTEGER,
  key_id BLOB NOT NULL, mac BLOB NOT NULL,
  PRIMARY KEY (alert, channel)
) STRICT, WITHOUT ROWID;

CREATE TABLE note (
  name TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL,
  key_id BLOB NOT NULL, mac BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- hash = SHA-256 over the hash before it and this entry.
CREATE TABLE history (
  seq INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  policy TEXT,
  rotation TEXT,
  actor TEXT NOT NULL,
  kind TEXT NOT NULL,
  facts TEXT NOT NULL,
  hash BLOB NOT NULL,
  key_id BLOB NOT NULL, mac BLOB NOT NULL
) STRICT;
