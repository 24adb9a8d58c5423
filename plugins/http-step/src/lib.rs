//! One HTTP request and how its reply is read.
//!
//! Provider definitions, `http` hooks, `consumer` verifies and webhooks are all made of [`Step`]s: a request rendered from typed
//! templates, a match that says whether the reply is the expected one, and sources that read values out of it. Everything is checked
//! at load against a [`Scope`]; nothing of a rendered request and nothing the other side wrote ever reaches an error or a log, but an
//! error code of at most 64 `[A-Za-z0-9_.:-]`.
//!
//! The order of use is: [`Defaults::load`], [`Step::load`], [`Step::check`]; then, for each call, [`Step::send`], [`Step::judge`],
//! [`Step::extract`] (or [`Step::run`] for all of them at once).

pub mod auth;
mod body;
mod check;
pub mod extract;
pub mod filter;
pub mod http;
pub mod judge;
pub mod matching;
mod page;
pub mod paginate;
mod pointer;
mod poll;
#[cfg(test)]
mod properties;
mod render;
pub mod reply;
mod request;
pub mod rows;
pub mod scope;
pub mod send;
pub mod source;
pub mod step;
pub mod template;
pub mod vars;

pub use auth::Auth;
pub use check::{Spot, Use};
pub use extract::{Extracted, StepResult, Unreadable};
pub use filter::Filter;
pub use http::{Http, Origins, Tls, origin};
pub use judge::{Errors, Judged, clean_code};
pub use matching::Match;
pub use paginate::Paginate;
pub use poll::Polled;
pub use reply::{Form, Reply};
pub use rows::{Listed, Row, Rows};
pub use scope::{Kind, Known, Scope};
pub use send::{Partial, Sent};
pub use source::{Shape, Source};
pub use step::{Defaults, Step, not_yet};
pub use template::{RenderError, Slot, Template, TemplateError};
pub use vars::{Var, Vars};
