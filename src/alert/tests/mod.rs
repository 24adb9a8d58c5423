//! What people read, what they may do, and that it reaches them.

mod batch;
mod courier;
mod golden;
mod outbox;
mod story;
mod ways;
