//! The pure protocol of one rotation: no IO, no clock, no randomness, no secret value.
#![no_std]

extern crate alloc;

pub mod plan;
pub mod time;

pub use time::{Span, Stamp};
