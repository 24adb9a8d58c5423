//! What the calendar promises, checked against oracles that share no code with it.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure ends the test that called them")]

mod common;
mod crons;
mod edges;
mod props;
mod spans;
mod texts;
mod timetable;
mod transitions;
mod windows;
