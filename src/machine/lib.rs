//! The pure protocol of one rotation: no IO, no clock, no randomness, no secret value.
//!
//! ```text
//!  preflight ─▶ mint ─▶ stage ─▶ deploy ─▶ observe ─▶ settle ─▶ retire ─▶ closed
//!                │
//!              doubt ──▶ look ──▶ held
//! ```
//!
//! [`due`] says what is next, from the durable state alone; the engine commits the intent through [`decide`], makes the call, and
//! commits the outcome through [`decide`] again. So recovery is nothing but loading the row and saying [`Event::Restarted`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod backoff;
mod cut;
mod decide;
mod doubt;
mod drift;
mod due;
pub mod emergency;
mod ending;
pub mod event;
mod fact;
mod leg;
mod legs;
pub mod manual;
mod minting;
#[cfg(feature = "mutants")]
pub mod mutants;
#[cfg(not(feature = "mutants"))]
mod mutants;
mod orders;
pub mod plan;
mod retiring;
pub mod state;
pub mod time;
mod why;

pub use decide::decide;
pub use due::{Due, Now, Question, due};
pub use ending::expiry_by_our_clock as expiry_of_old;
pub use event::{Effect, Event, Fact, Illegal, Step};
pub use manual::Handed;
pub use plan::Plan;
pub use state::Rotation;
pub use time::{Span, Stamp};
