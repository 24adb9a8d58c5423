//! The simulator: the real machine against a seeded world on virtual time, watched by a second oracle.
//!
//! A history is a kind of world ([`kind`]) and a script of what goes wrong in it ([`script`]). The [`engine`]'s double drives the machine as
//! `src/engine` does; the [`world`] knows keys, targets, applications and time, and no phases; the [`oracle`] works out a second time what
//! must hold, and asks after every event. [`hunt`] runs histories by chance and exhaustively, and makes the failing ones short.

mod calls;
pub mod dice;
pub mod engine;
pub mod hunt;
pub mod kind;
mod looks;
#[cfg(feature = "mutants")]
pub mod mutants;
pub mod oracle;
mod persons;
pub mod script;
pub mod story;
pub mod world;
