//! What an alert is about.

use cutover_api::Stamp;
use cutover_machine::{Plan, Rotation};

/// One rotation at one moment: everything a message needs, and no secret.
#[derive(Clone, Copy)]
pub struct Matter<'a> {
    /// `[daemon] name`.
    pub environment: &'a str,
    /// The policy.
    pub policy: &'a str,
    /// The rotation's id.
    pub rotation: &'a str,
    /// Who ordered it.
    pub actor: &'a str,
    /// When.
    pub at: Stamp,
    /// The machine's state after the step.
    pub machine: &'a Rotation,
    /// The machine's plan.
    pub plan: &'a Plan,
    /// The account's name (`[provider.NAME]`).
    pub account: &'a str,
    /// The targets' names: `store:path`.
    pub targets: &'a [String],
    /// The hooks in words: `command /usr/local/bin/deploy crm`.
    pub hooks: &'a [String],
    /// The verifies' kinds.
    pub verifies: &'a [String],
    /// The old key as people find it at the provider: id, name or prefix.
    pub old_key: &'a str,
    /// The new key, the same.
    pub new_key: &'a str,
    /// Lifecycle `manual`: what a person does to make the new key; empty elsewhere.
    pub ask: &'a str,
}
