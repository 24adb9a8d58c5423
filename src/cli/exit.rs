//! How the process ends.

use std::process::ExitCode;

use crate::control::{Refused, RefusedKind};

/// The exit status of every verb; `run` ends only with the first three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// Held: a person is needed.
    Held = 3,
    /// Refused by a guard, or a locked ledger.
    Refused = 4,
    /// A wait ended before what it waited for.
    Timeout = 5,
}

impl Exit {
    /// The worse of two results of many: 1 before 3 before 4, each before done.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        const ORDER: [Exit; 6] = [Exit::Usage, Exit::Failed, Exit::Held, Exit::Refused, Exit::Timeout, Exit::Done];
        ORDER.into_iter().find(|exit| *exit == self || *exit == other).unwrap_or(Self::Done)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a verb ended without doing what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit status.
    pub exit: Exit,
    /// For the person who typed it; may have several lines.
    pub text: String,
    /// What is wrong with a file, one `file:line:column: key: wrong: right` each.
    pub problems: Vec<String>,
}

impl Failure {
    /// A failure with this status.
    #[must_use]
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into(), problems: Vec::new() }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let exit = match refused.kind {
            RefusedKind::Usage => Exit::Usage,
            RefusedKind::Guard => Exit::Refused,
            RefusedKind::Failed => Exit::Failed,
        };
        Self::new(exit, refused.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn of_many_results_one_comes_before_three_before_four() {
        use Exit::{Done, Failed, Held, Refused, Timeout};
        let cases = [
            (vec![], Done),
            (vec![Done, Done], Done),
            (vec![Refused, Done], Refused),
            (vec![Refused, Held, Done], Held),
            (vec![Held, Refused, Failed], Failed),
            (vec![Failed, Held], Failed),
            (vec![Timeout, Refused], Refused),
            (vec![Done, Timeout], Timeout),
        ];
        for (results, expected) in cases {
            assert_eq!(results.iter().copied().fold(Done, Exit::worse), expected, "{results:?}");
            assert_eq!(results.iter().rev().copied().fold(Done, Exit::worse), expected, "{results:?} reversed");
        }
    }
}
