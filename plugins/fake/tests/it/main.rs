//! The doubles, held to what the three systems' documentation says, and to what each fault promises.
#![expect(clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test")]

mod bondi;
mod consumer;
mod faults;
mod faults_of_the_model;
mod plana;
mod provider;
mod support;
mod surroundings;
mod wrapd;
