//! The crate from outside: definitions as files, accounts as tables, providers as servers on this machine.
#![expect(clippy::expect_used, clippy::panic, reason = "a helper of a test fails the test by panicking")]

mod accounts;
mod by_hand;
mod common;
mod doubles;
mod faults;
mod hostile;
mod logins;
mod round_trips;
mod shipped_and_shared;
