//! Seen from outside: the status page, `/metrics`, `/healthz`. Read only, and nothing in it is secret.
//!
//! What is shown comes from a [`Source`], which is asked at most once a second however many ask; the [`Server`] bounds what a client can
//! cost. Off loopback there is no page.

mod chronicle;
mod fresh;
mod guard;
mod listener;
mod metrics;
mod outlook;
mod page;
mod server;
mod source;

pub use chronicle::{Chronicle, Hold, Run};
pub use listener::{Door, WebBindError};
pub use metrics::{METRICS, Metric};
pub use outlook::Outlook;
pub use server::{Server, serve};
pub use source::{ChannelStanding, Detail, OpenEmergency, Picture, Source};
