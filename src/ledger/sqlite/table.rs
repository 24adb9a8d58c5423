//! The tables as data: their columns, and what a row's MAC is made over.

use crate::seal::KeyId;

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    MaybeInt,
    Text,
    MaybeText,
    Blob,
}

/// One value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    Null,
    Int(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// One table. The first `key` columns are its primary key; `key_id` and `mac` follow the named columns.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [(&'static str, Kind)],
    pub(super) key: usize,
}

/// A row as it stands in the database.
pub(super) struct Stored {
    pub(super) cells: Vec<Cell>,
    pub(super) key_id: KeyId,
    pub(super) mac: [u8; 32],
}

pub(super) static META: Table = Table { name: "meta", columns: &[("name", Kind::Text), ("value", Kind::Blob)], key: 1 };

pub(super) static HISTORY: Table = Table {
    name: "history",
    columns: &[
        ("seq", Kind::Int),
        ("at", Kind::Int),
        ("policy", Kind::MaybeText),
        ("rotation", Kind::MaybeText),
        ("actor", Kind::Text),
        ("kind", Kind::Text),
        ("facts", Kind::Text),
        ("hash", Kind::Blob),
    ],
    key: 1,
};

/// The tables whose rows change; the head keeps a count and a sum for each, in this order.
pub(super) static STATE: [Table; 8] = [
    Table {
        name: "rotation",
        columns: &[
            ("id", Kind::Text),
            ("policy", Kind::Text),
            ("rev", Kind::Int),
            ("closed", Kind::Int),
            ("phase", Kind::Text),
            ("state", Kind::Text),
        ],
        key: 1,
    },
    Table { name: "plan", columns: &[("rotation", Kind::Text), ("body", Kind::Text)], key: 1 },
    Table { name: "policy", columns: &[("name", Kind::Text), ("due_at", Kind::MaybeInt), ("state", Kind::Text)], key: 1 },
    Table { name: "key_row", columns: &[("policy", Kind::Text), ("fingerprint", Kind::Text), ("state", Kind::Text)], key: 2 },
    Table { name: "sealed", columns: &[("rotation", Kind::Text), ("slot", Kind::Text), ("record", Kind::Blob)], key: 2 },
    Table { name: "alert", columns: &[("id", Kind::Text), ("at", Kind::Int), ("message", Kind::Text)], key: 1 },
    Table {
        name: "delivery",
        columns: &[
            ("alert", Kind::Text),
            ("channel", Kind::Text),
            ("standing", Kind::Text),
            ("tries", Kind::Int),
            ("not_before", Kind::Int),
            ("done_at", Kind::MaybeInt),
        ],
        key: 2,
    },
    Table { name: "note", columns: &[("name", Kind::Text), ("value", Kind::Text)], key: 1 },
];

pub(super) const ROTATION: usize = 0;
pub(super) const PLAN: usize = 1;
pub(super) const POLICY: usize = 2;
pub(super) const KEY_ROW: usize = 3;
pub(super) const SEALED: usize = 4;
pub(super) const ALERT: usize = 5;
pub(super) const DELIVERY: usize = 6;
pub(super) const NOTE: usize = 7;

impl Table {
    /// The columns as they stand in a `SELECT`, `key_id` and `mac` last.
    pub(super) fn column_list(&self) -> String {
        let mut list = String::new();
        for (name, _) in self.columns {
            list.push_str(name);
            list.push_str(", ");
        }
        list + "key_id, mac"
    }

    /// The primary key's columns, `a, b`.
    pub(super) fn key_list(&self) -> String {
        self.columns[..self.key].iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// The bytes a row's MAC is made over: the table's name and every column, each with its type and length.
    pub(super) fn canonical(&self, cells: &[Cell]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64 + cells.iter().map(Cell::size).sum::<usize>());
        encode(&mut bytes, b"cutover row\0", cells, self.name);
        bytes
    }
}

impl Cell {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub(super) fn maybe_text(text: Option<&str>) -> Self {
        text.map_or(Self::Null, Self::text)
    }

    pub(super) fn maybe_int(int: Option<i64>) -> Self {
        int.map_or(Self::Null, Self::Int)
    }

    /// The text, `""` for anything else: kinds were checked when the row was read.
    pub(super) fn as_text(&self) -> &str {
        if let Self::Text(text) = self { text } else { "" }
    }

    pub(super) fn as_int(&self) -> Option<i64> {
        if let Self::Int(int) = self { Some(*int) } else { None }
    }

    pub(super) fn as_blob(&self) -> &[u8] {
        if let Self::Blob(blob) = self { blob } else { &[] }
    }

    pub(super) fn size(&self) -> usize {
        9 + match self {
            Self::Null | Self::Int(_) => 0,
            Self::Text(text) => text.len(),
            Self::Blob(blob) => blob.len(),
        }
    }
}

/// Appends `label`, `name` and `cells` so that no two different rows give the same bytes.
pub(super) fn encode(bytes: &mut Vec<u8>, label: &[u8], cells: &[Cell], name: &str) {
    let sized = |bytes: &mut Vec<u8>, tag: u8, body: &[u8]| {
        bytes.push(tag);
        bytes.extend_from_slice(&(body.len() as u64).to_be_bytes());
        bytes.extend_from_slice(body);
    };
    bytes.extend_from_slice(label);
    sized(bytes, b't', name.as_bytes());
    for cell in cells {
        match cell {
            Cell::Null => bytes.push(b'n'),
            Cell::Int(int) => {
                bytes.push(b'i');
                bytes.extend_from_slice(&int.to_be_bytes());
            }
            Cell::Text(text) => sized(bytes, b't', text.as_bytes()),
            Cell::Blob(blob) => sized(bytes, b'b', blob),
        }
    }
}

/// A row's key as it may stand in an error: what the database holds is not trusted, so it is bounded and reduced to plain characters.
pub(super) fn shown_key(table: &Table, cells: &[Cell]) -> String {
    let mut shown = table.name.to_owned();
    for cell in cells.iter().take(table.key) {
        shown.push('/');
        match cell {
            Cell::Int(int) => shown.push_str(&int.to_string()),
            other => shown.extend(
                other
                    .as_text()
                    .chars()
                    .take(64)
                    .map(|c| if c.is_ascii_alphanumeric() || "_.:@-".contains(c) { c } else { '?' }),
            ),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{Cell, KEY_ROW, STATE};

    #[test]
    fn rows_that_only_differ_in_where_a_text_ends_are_different() {
        let row = |a: &str, b: &str| STATE[KEY_ROW].canonical(&[Cell::text(a), Cell::text(b), Cell::text("")]);
        assert_ne!(row("ab", "c"), row("a", "bc"));
        let table = &STATE[KEY_ROW];
        assert_ne!(table.canonical(&[Cell::Null]), table.canonical(&[Cell::text("")]));
        assert_ne!(table.canonical(&[Cell::Blob(vec![1])]), table.canonical(&[Cell::text("\u{1}")]));
    }
}
