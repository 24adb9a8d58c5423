//! Notifiers: how a person is told.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look today.
    Warning,
    /// Somebody must look now.
    Critical,
}

impl Severity {
    /// Its name in the configuration.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// One alert, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Stable over retries and channels: the same alert has the same id.
    pub id: String,
    /// The kind: `held`, `grace-ending`, …
    pub kind: String,
    /// How bad.
    pub severity: Severity,
    /// `[daemon] name`.
    pub environment: String,
    /// The policies it is about.
    pub policies: Vec<String>,
    /// The rotation, where it is about one.
    pub rotation: Option<String>,
    /// One line.
    pub subject: String,
    /// The text, plain, lines of at most 76 characters where it can be.
    pub text: String,
    /// When it came about, RFC 3339.
    pub at: String,
    /// The facts as data, for webhooks (`alert.*` in templates).
    pub facts: serde_json::Value,
}

/// Why a message was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifyError {
    /// Stable label: `connect`, `tls`, `auth`, `refused`, `timeout`, `status`.
    pub label: &'static str,
    /// One sentence of our own, with a status code where there was one.
    pub detail: String,
    /// Trying again later cannot help before somebody changes the configuration.
    pub permanent: bool,
}

impl fmt::Display for NotifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.label, self.detail)
    }
}

/// How a person is told.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Logs in and out again, without sending anything.
    ///
    /// # Errors
    /// Why a message would not be accepted now.
    async fn greet(&self) -> Result<(), NotifyError>;

    /// Hands one message over; `Ok` only once the other side has accepted it (2xx, SMTP 250).
    ///
    /// # Errors
    /// It was not accepted, or that is not known.
    async fn tell(&self, message: &Message) -> Result<(), NotifyError>;
}
