//! The configuration, loaded with the plugins that are built in.
#![expect(clippy::expect_used, clippy::panic, reason = "tests, and what helps them, end by panicking")]

mod base;
mod example;
mod faults;
mod kinds;
mod reload;
mod selector;
mod whole;
mod worked;
