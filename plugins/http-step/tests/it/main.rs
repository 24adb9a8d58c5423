//! What a step promises, seen from outside: loading, rendering, reading, and every way a call can end.

#![expect(clippy::expect_used, clippy::panic, reason = "tests, and what helps them, end by panicking")]

mod faults;
mod load;
mod outcomes;
mod pages;
mod signing;
mod sources;
mod support;
mod templates;
mod tls;
