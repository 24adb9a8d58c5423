//! cutover: rotates API keys and proves that nobody went down while it did.
//!
//! The floors of the house, arrows only downwards:
//!
//! | floor | rooms |
//! |---|---|
//! | 0 | `cutover-machine`, `cutover-schedule`: pure |
//! | 1 | `cutover-api`, `cutover-http-step`: the contract with plugins |
//! | 2 | the plugins, `cutover-config`, `cutover-ledger` |
//! | 3 | [`catalog`], [`engine`], [`alert`] |
//! | 4 | [`control`], [`cli`], [`web`] |
//! | 5 | `main` |
//!
//! A plugin never sees the ledger or the engine; its name stands only in [`catalog`].

pub mod alert;
pub mod catalog;
pub mod cli;
pub mod control;
pub mod engine;
pub mod web;
