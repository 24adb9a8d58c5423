//! Why nothing was done.

use serde::{Deserialize, Serialize};

/// What is said where there is no place for another request.
const BUSY: &str = "too many requests at the control socket; try again in a moment";

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Which sort of refusal.
    pub kind: RefusedKind,
    /// For the person who asked.
    pub reason: String,
}

/// The sorts of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusedKind {
    /// The request itself is wrong: exit 2.
    Usage,
    /// A guard says no: exit 4.
    Guard,
    /// It was tried and failed: exit 1.
    Failed,
}

impl Refused {
    /// The request itself is wrong.
    #[must_use]
    pub fn usage(reason: impl Into<String>) -> Self {
        Self { kind: RefusedKind::Usage, reason: reason.into() }
    }

    /// A guard says no.
    #[must_use]
    pub fn guard(reason: impl Into<String>) -> Self {
        Self { kind: RefusedKind::Guard, reason: reason.into() }
    }

    /// There is no place for another request: nothing was done, and it may be sent again in a moment.
    #[must_use]
    pub fn busy() -> Self {
        Self::guard(BUSY)
    }

    /// Whether only a place was missing.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        *self == Self::busy()
    }

    /// It was tried and failed.
    #[must_use]
    pub fn failed(reason: impl Into<String>) -> Self {
        Self { kind: RefusedKind::Failed, reason: reason.into() }
    }
}
