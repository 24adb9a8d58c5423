//! The control socket: how verbs reach the running daemon.
//!
//! One connection carries one request line and its reply lines, JSON, each at most [`wire::LONGEST_LINE`] bytes. What a verb does is
//! written once, in [`Verbs`]; the daemon offers it behind the socket ([`Server`]), and where no daemon runs the command line calls it in its own
//! process.

mod client;
pub mod emergency;
pub mod looks;
pub mod people;
mod places;
mod server;
#[cfg(test)]
mod tests;
mod verbs;
pub mod weigh;
pub mod wire;

pub use client::{AskError, Client, Reached};
pub use server::{BindError, Handler, Items, Server};
pub use verbs::{ReloadError, Verbs};
pub use wire::{Ask, Decision, Refused, RefusedKind};
