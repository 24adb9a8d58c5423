//! Seen from outside: the page, the metrics and the server, over real sockets; in a real browser; of a real daemon.
#![expect(clippy::expect_used, clippy::panic, reason = "a test says what it expects; its helpers do so too")]

mod accessible;
mod browser;
mod client;
mod daemon;
mod metrics;
mod page;
mod server;
mod stage;
