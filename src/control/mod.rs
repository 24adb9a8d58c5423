//! The control socket: how verbs reach the running daemon.
//!
//! One connection carries one request line, for `submit` a value after it, and its reply lines, JSON, each at most [`wire::LONGEST_LINE`] bytes. What a verb does is
//! written once, in [`Verbs`]; the daemon offers it behind the socket ([`Server`]), and where no daemon runs the command line calls it in its own
//! process.

mod client;
mod deciding;
pub mod emergency;
mod frame;
pub mod looks;
pub mod people;
mod places;
mod refused;
mod server;
pub mod socket;
#[cfg(test)]
mod tests;
mod verbs;
pub mod weigh;
pub mod wire;

pub use client::{AskError, Client, Reached};
pub use server::{Handler, Items, Server};
pub use socket::BindError;
pub use verbs::{ReloadError, Verbs};
pub use wire::{Ask, Decision, Refused, RefusedKind};
