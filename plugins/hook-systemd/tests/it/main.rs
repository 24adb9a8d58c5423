//! The systemd hook against a bus whose systemd does as it is told.
#![expect(clippy::expect_used, clippy::panic, reason = "tests tell by panicking")]

#[cfg(test)]
mod bus;
#[cfg(test)]
mod hook;
#[cfg(test)]
mod table;
