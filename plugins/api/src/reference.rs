//! References to secrets, and what surrounds a plugin when it is built.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::secret::Secret;

/// Where a secret of the configuration is to be found. It is opened at each use, never at load.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file; one trailing newline is dropped.
    File(String),
    /// A file in systemd's `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Credential(name) => write!(f, "credential {name}"),
        }
    }
}

/// Opens references.
pub trait References: Send + Sync {
    /// The secret behind a reference, read now.
    ///
    /// # Errors
    /// One sentence: which reference, what failed, what to do. Never a value.
    fn open(&self, reference: &SecretRef) -> Result<Secret, String>;
}

/// What surrounds a plugin when it is built.
#[derive(Clone)]
pub struct Surroundings {
    /// Opens references.
    pub references: Arc<dyn References>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}
