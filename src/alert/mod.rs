//! From facts to people: messages, the durable outbox, and the courier that empties it.

mod channels;
mod matter;

pub use channels::{Channel, Channels};
pub use matter::Matter;
