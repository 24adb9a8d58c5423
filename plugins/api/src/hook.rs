//! Hooks make an application read its target again; witnesses tell which key it runs with.

use std::time::Duration;

use async_trait::async_trait;

use crate::outcome::{Outcome, Refusal};

/// What a hook is told. Never a secret value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookVars {
    /// The policy's name.
    pub policy: String,
    /// The rotation's id.
    pub rotation: String,
    /// The same as a UUID, for idempotent starts; differs between the layouts of one rotation.
    pub run: String,
    /// The new key's id, or empty where the provider has none.
    pub key_id: String,
    /// The new key's fingerprint.
    pub fingerprint: String,
}

/// Which try this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Nothing was started before under this run.
    First,
    /// An earlier start ended unknown (a crash, a lost reply): look for it first where that is possible.
    AfterUnknown,
}

/// Makes an application read its target again.
#[async_trait]
pub trait Hook: Send + Sync {
    /// Its total deadline.
    fn timeout(&self) -> Duration;

    /// It may be run again after an unknown start.
    fn repeatable(&self) -> bool;

    /// Whether it could be started: the program is there and executable, the address resolves. Starts nothing.
    ///
    /// # Errors
    /// Why it could not.
    async fn present(&self) -> Result<(), Refusal>;

    /// Runs it to its end. `Refused` = it ran or could not start, and certainly failed; `Unknown` = it may have worked.
    async fn run(&self, vars: &HookVars, again: Again) -> Outcome<()>;
}

/// What a witness is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessVars {
    /// The policy's name.
    pub policy: String,
    /// The rotation's id; empty when only looked at by `check --online` or preflight.
    pub rotation: String,
    /// The id of the key asked about.
    pub key_id: String,
    /// The fingerprint of the key asked about.
    pub fingerprint: String,
}

/// What a witness saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// The consumer names the fingerprints (or prefixes of keys) it runs with: every element must be the key asked about.
    Names(Vec<String>),
    /// The witness itself says whether it holds.
    Holds(bool),
}

/// Tells which key a consumer runs with.
#[async_trait]
pub trait Witness: Send + Sync {
    /// Looks once. Changes nothing.
    async fn look(&self, vars: &WitnessVars) -> Outcome<Sighting>;
}
