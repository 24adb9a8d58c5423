//! What is wrong with a schedule, in the words of the configuration.

use std::fmt;

/// One fault of a schedule's text. The caller knows file, line and the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key inside the policy: `cadence`, `cron`, `anchor`, `timezone`, `window.days`, `window.from`, `window.to`, `window`, `jitter`.
    pub field: &'static str,
    /// What is wrong.
    pub wrong: String,
    /// What would be right.
    pub right: String,
}

impl Problem {
    pub(crate) fn new(field: &'static str, wrong: impl Into<String>, right: impl Into<String>) -> Self {
        Self { field, wrong: wrong.into(), right: right.into() }
    }
}

impl fmt::Display for Problem {
    /// `field: what is wrong: what would be right`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.field, self.wrong, self.right)
    }
}

impl std::error::Error for Problem {}

/// A text as it is quoted in a problem: shortened, and without control characters.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown: String = text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}
