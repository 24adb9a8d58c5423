//! The contract between cutover and its plugins.
//!
//! A plugin is one of five kinds: [`Provider`], [`Store`], [`Hook`], [`Witness`], [`Notifier`]. It is built by a function that takes
//! its configuration table as a [`Reader`] and its [`Surroundings`]; it never sees the ledger or the engine. Every call that can have
//! an effect answers with an [`Outcome`]; secrets only ever travel as [`Secret`].

pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod hook;
pub mod notify;
pub mod obstacle;
pub mod outcome;
pub mod provider;
pub mod reader;
pub mod reference;
pub mod secret;
pub mod store;
mod syntax;
pub mod table;
pub mod unread;

pub use clock::Clock;
pub use cutover_machine::{Span, Stamp, plan::ProviderFacts};
pub use hook::{Again, Hook, HookVars, Sighting, Witness, WitnessVars};
pub use notify::{Message, Notifier, NotifyError, Severity};
pub use obstacle::{Obstacle, whereto};
pub use outcome::{Cause, Class, Outcome, Refusal};
pub use provider::{
    Call, Credential, GraceAsked, Intent, KeyRecord, KeyRef, LastUse, LifetimeAsked, Listing, MintAnswer, Minted, ParamNeed,
    Provider, RawReply, ReadKey, Verdict,
};
pub use reader::{Problem, Problems, Reader};
pub use reference::{References, SecretRef, Surroundings};
pub use secret::{Fingerprint, Secret};
pub use store::{Change, Reading, Store, TargetSpec};
pub use table::{Entry, Node, Place, Table, Value};
pub use unread::unread;
