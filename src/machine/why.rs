//! What a rotation waits for a person with.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::time::Stamp;

/// Why a rotation waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// A check of the preflight fails. Nothing has happened; it is tried again by itself.
    Preflight(String),
    /// The account's credential is dead. It goes on by itself as soon as another one is in its place.
    Credential(String),
    /// The mint is refused.
    MintRefused(String),
    /// Whether a key was made is not known, and nothing more can be looked at.
    Doubt,
    /// Keys that may be ours; a person must say.
    Candidates(Vec<String>),
    /// The reply held a key this policy already knows.
    SameKey,
    /// The provider does not accept the new key.
    NewKeyRefused,
    /// A target cannot be written. The key is sealed here; it is tried again by itself.
    Store {
        /// The target's place in the plan.
        target: u32,
        /// What came back.
        detail: String,
    },
    /// A hook failed five times.
    Hook {
        /// The hook's place in the plan.
        hook: u32,
        /// What came back.
        detail: String,
    },
    /// Whether a hook started is not known and it must not be repeated.
    HookUnknown {
        /// The hook's place in the plan.
        hook: u32,
    },
    /// A target holds a value that is neither this rotation's nor the one recorded as current.
    Drift {
        /// The targets' places in the plan.
        targets: Vec<u32>,
    },
    /// The old key is still used where it should be quiet.
    OldStillUsed {
        /// Its last use, by our clock.
        at: Stamp,
        /// What the provider tells of it.
        from: Option<String>,
    },
    /// The old key cannot be ended: what came back.
    Retire(String),
    /// The old key is still accepted long after it was ended.
    OldStillAccepted,
    /// A look needs a verb that is refused: what came back.
    Look(String),
}

impl Why {
    /// Its stable label.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Preflight(_) => "preflight",
            Self::Credential(_) => "credential",
            Self::MintRefused(_) => "mint-refused",
            Self::Doubt => "doubt",
            Self::Candidates(_) => "candidates",
            Self::SameKey => "same-key",
            Self::NewKeyRefused => "new-key-refused",
            Self::Store { .. } => "store",
            Self::Hook { .. } => "hook",
            Self::HookUnknown { .. } => "hook-unknown",
            Self::Drift { .. } => "drift",
            Self::OldStillUsed { .. } => "old-still-used",
            Self::Retire(_) => "retire",
            Self::OldStillAccepted => "old-still-accepted",
            Self::Look(_) => "look",
        }
    }

    /// It goes on trying by itself, seldom: what it waits for may come back without a person.
    #[must_use]
    pub const fn retries(&self) -> bool {
        matches!(
            self,
            Self::Preflight(_)
                | Self::Credential(_)
                | Self::Store { .. }
                | Self::OldStillAccepted
                | Self::Retire(_)
                | Self::Look(_)
        )
    }
}

/// Waiting for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Why.
    pub why: Why,
    /// Since when.
    pub since: Stamp,
    /// When a person was last told.
    pub told_at: Stamp,
}
