//! Hooks and witnesses that are a call of somebody's HTTP interface.
//!
//! Both are a step of `definitions.md` with a whole URL, and see these values, never one of a key:
//!
//! | path | holds |
//! |---|---|
//! | `policy.name` | the policy's name |
//! | `rotation.id`, `rotation.uuid` | the rotation; hooks: the UUID is new for each layout that is deployed |
//! | `new.id`, `new.fingerprint` | the new key (witnesses: the key asked about); without a value where the provider has no id |
//! | `credential` | the table's own `credential`, opened at each use |
//!
//! Besides a step's keys both take `ca`: a file of PEM certificates to trust instead of the system's, for services with an authority
//! of their own.

mod consumer;
mod hook;
mod link;

pub use consumer::ConsumerWitness;
pub use hook::HttpHook;
