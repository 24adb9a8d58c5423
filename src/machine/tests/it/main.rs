//! The rules of one rotation, each by itself: what the simulator (`tests/sim`) plays at random is asked here at its exact bounds.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod clock;
mod cut_set;
mod cutting;
mod deciding;
mod deploying;
mod doubt;
mod drift;
mod emergency;
mod fixture;
mod looking;
mod minting;
mod observing;
mod offers;
mod orders;
mod regressions;
mod reply;
mod retiring;
mod words;
