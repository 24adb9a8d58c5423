//! From facts to people: messages, the durable outbox, and the courier that empties it.

mod batch;
mod by_hand;
mod channels;
mod compose;
mod courier;
mod draft;
mod lane;
mod ledger;
mod line;
mod matter;
mod parcel;
mod plain;
pub mod report;
mod standing;
mod told;
mod ways;
mod words;

pub use by_hand::overdue_suspended;
pub use channels::{Channel, Channels};
pub use compose::message;
pub use courier::{Courier, Trouble};
pub use draft::Composed;
pub use ledger::{daemon_ended, ledger_behind, ledger_has_room, ledger_no_room};
pub use matter::Matter;
pub use plain::{
    channel_failing, channel_recovered, clock_frozen, clock_thawed, credential_expiring, credential_refused, idle_drift,
    overdue, reload_refused, test_alert,
};
pub use told::why_in_words;
pub use ways::{Way, ways};

#[cfg(test)]
mod tests;
