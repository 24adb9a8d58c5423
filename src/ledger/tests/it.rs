//! The ledgers: `cases` is what each of them must do, the other modules what only one of them can get wrong.

#![expect(clippy::unwrap_used, reason = "a test must be able to fail")]

mod cases;
mod sqlite;
