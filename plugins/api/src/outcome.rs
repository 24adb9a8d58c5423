//! What became of a call: done, certainly without effect, or unknown.

use std::fmt;

use cutover_machine::Span;
use serde::{Deserialize, Serialize};

/// What became of a call that can have an effect.
#[derive(Debug)]
#[must_use = "an outcome that is dropped is an effect that is forgotten"]
pub enum Outcome<T> {
    /// It happened.
    Done(T),
    /// It certainly had no effect.
    Refused(Refusal),
    /// It may or may not have happened; only a look settles it.
    Unknown(Cause),
}

impl<T> Outcome<T> {
    /// Maps the value of `Done`.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Self::Done(value) => Outcome::Done(f(value)),
            Self::Refused(refusal) => Outcome::Refused(refusal),
            Self::Unknown(cause) => Outcome::Unknown(cause),
        }
    }
}

/// The class of a reply (definitions.md 6). All but `unknown` are certain to have had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The credential was not accepted.
    Auth,
    /// The credential may not do this.
    Scope,
    /// The thing is not there (any more).
    Gone,
    /// It exists already, or a compare failed.
    Exists,
    /// No room for another key.
    Limit,
    /// Too many calls.
    Throttle,
    /// Refused for any other reason.
    Refused,
    /// No request byte left this machine.
    Unsent,
    /// Nothing certain can be said.
    Unknown,
}

impl Class {
    /// Its name in definitions, logs and documents.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Scope => "scope",
            Self::Gone => "gone",
            Self::Exists => "exists",
            Self::Limit => "limit",
            Self::Throttle => "throttle",
            Self::Refused => "refused",
            Self::Unsent => "unsent",
            Self::Unknown => "unknown",
        }
    }

    /// Reads a class by its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [
            Self::Auth,
            Self::Scope,
            Self::Gone,
            Self::Exists,
            Self::Limit,
            Self::Throttle,
            Self::Refused,
            Self::Unsent,
            Self::Unknown,
        ]
        .into_iter()
        .find(|class| class.label() == name)
    }
}

/// A call that certainly had no effect, and why. Holds nothing a provider wrote but an error code of at most 64 `[A-Za-z0-9_.:-]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The class; never [`Class::Unknown`].
    pub class: Class,
    /// Which step: `mint`, `write`, `redeploy 1`.
    pub step: String,
    /// The HTTP status or exit code, where there was one.
    pub status: Option<i32>,
    /// The provider's error code, bounded and cleaned.
    pub code: Option<String>,
    /// Wait at least so long before the next try.
    pub retry_after: Option<Span>,
    /// One sentence of our own for the operator: what to do about it. Never text from the other side.
    pub hint: Option<String>,
}

impl Refusal {
    /// A refusal of `class` at `step`, with nothing else known.
    #[must_use]
    pub fn new(class: Class, step: impl Into<String>) -> Self {
        Self { class, step: step.into(), status: None, code: None, retry_after: None, hint: None }
    }

    /// The same with a hint for the operator.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with a status or exit code.
    #[must_use]
    pub const fn status(mut self, status: i32) -> Self {
        self.status = Some(status);
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.class.label())?;
        if let Some(status) = self.status {
            write!(f, " (status {status}")?;
            match &self.code {
                Some(code) => write!(f, ", code {code})")?,
                None => f.write_str(")")?,
            }
        } else if let Some(code) = &self.code {
            write!(f, " (code {code})")?;
        }
        match &self.hint {
            Some(hint) => write!(f, ": {hint}"),
            None => Ok(()),
        }
    }
}

/// Why the effect of a call is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Which step.
    pub step: String,
    /// Stable label: `timeout`, `cut`, `status-5xx`, `unreadable`, `too-long`, `redirect`, `crash`, `killed`.
    pub label: String,
    /// The HTTP status, where there was one.
    pub status: Option<i32>,
    /// One sentence of our own.
    pub hint: Option<String>,
}

impl Cause {
    /// A cause at `step`, named by a stable label.
    #[must_use]
    pub fn new(step: impl Into<String>, label: impl Into<String>) -> Self {
        Self { step: step.into(), label: label.into(), status: None, hint: None }
    }

    /// The same with a hint for the operator.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with a status.
    #[must_use]
    pub const fn status(mut self, status: i32) -> Self {
        self.status = Some(status);
        self
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: effect unknown ({}", self.step, self.label)?;
        if let Some(status) = self.status {
            write!(f, ", status {status}")?;
        }
        f.write_str(")")?;
        match &self.hint {
            Some(hint) => write!(f, ": {hint}"),
            None => Ok(()),
        }
    }
}
