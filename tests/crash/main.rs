//! The real binary, killed, and its bytes lost: at every point of a rotation, in every lifecycle, and again while it recovers.
//!
//! `tests/README.md` says what is proven and how to run more of it.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![expect(clippy::expect_used, clippy::panic, reason = "a test says what it expects; its helpers do so too")]

mod bytes;
mod disk;
mod hostile;
mod kills;
mod oracle;
mod provider;
mod setter;
mod tracer;
mod world;
