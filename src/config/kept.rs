//! A plugin's table as it is kept between its uses.

use std::fmt;

use cutover_api::Table;

/// A table as JSON text: a tenth of what the table itself takes. A hundred thousand policies keep two or three each, and read them when
/// they rotate.
#[derive(Clone, PartialEq, Eq)]
pub struct Kept(Box<str>);

impl Kept {
    /// Keeps a table; where its keys stood in the file is not kept.
    #[must_use]
    pub fn of(table: &Table) -> Self {
        Self(table.to_json().to_string().into_boxed_str())
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// As a table, to build its plugin from.
    #[must_use]
    pub fn table(&self) -> Table {
        Table::from_json(&self.to_json()).unwrap_or_else(Table::empty)
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
