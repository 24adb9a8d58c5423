//! What is told of a step.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::due::Question;
use crate::state::{End, Layout, Proof, Why};
use crate::time::Stamp;

/// What is told of a step: for the history, the alerts and the log. Written in the same transaction as the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names of the fields say it; each variant is explained")]
pub enum Fact {
    /// The survey found all well.
    PreflightPassed { first: bool },
    /// The survey found something wrong; nothing has happened.
    PreflightFailed { detail: String },
    /// The intent to mint is durable.
    MintIntended { intent: u32, old_until: Stamp },
    /// The mint was refused: certainly no key was made.
    MintRefused { detail: String },
    /// Whether a key was made is not known.
    InDoubt { detail: String, decide_at: Stamp },
    /// A look settled the doubt.
    DoubtSettled { how: String },
    /// A key of ours that nobody uses was given up.
    OrphanDiscarded { id: String },
    /// A new key is in hand.
    Minted { id: Option<String>, fingerprint: String, old_expires_at: Option<Stamp> },
    /// The provider accepts it.
    Accepted,
    /// A target holds the layout.
    Written { target: u32, layout: Layout },
    /// A hook is done.
    Deployed { hook: u32, layout: Layout },
    /// A hook failed.
    HookFailed { hook: u32, detail: String },
    /// A verify's evidence is complete.
    Evidence { verify: u32, layout: Layout },
    /// The old key is quiet.
    Quiet { since: Stamp },
    /// Evidence for the new key after all targets and redeploys are done.
    Cutover,
    /// The targets know only the new key.
    Settled,
    /// A target was set back to an older value; it is written again.
    SetBack { targets: Vec<u32> },
    /// The old key was deactivated.
    Deactivated,
    /// The old key was activated again, because it turned out to be used.
    Reactivated,
    /// The old key was revoked.
    Revoked,
    /// A person said that they have ended the old key.
    EndedByHand,
    /// The old key is dead.
    OldDead { proof: Proof },
    /// Waits for a person.
    Held { why: Why },
    /// Still waits; told daily.
    StillHeld { why: Why, since: Stamp },
    /// What it was held for is over.
    Recovered { why: Why },
    /// It waits for what only a person can give or mend; told at once, then daily.
    Waiting { question: Question },
    /// A person's order was taken.
    Ordered { order: String },
    /// An emergency found the new key in a target already: it is to be cut off too, and another is made.
    Superseded { swapped: bool },
    /// The provider confirmed the end of a key of the cut set.
    Cut { id: Option<String> },
    /// A key of the cut set, other than the one in use before, is dead.
    CutDead { id: Option<String>, proof: Proof },
    /// A threshold of the grace has passed without a cutover.
    GraceEnding { percent: u8, end: Stamp },
    /// The grace has ended by our clock without a cutover.
    GraceEnded { end: Stamp },
    /// Nothing is left to do.
    Closed { end: End },
}
