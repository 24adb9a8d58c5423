//! From the plugins' outcomes to the machine's answers.

use cutover_api::{Class, Outcome, Refusal};
use cutover_machine::event::{Answer, Class as Known, Refused};

/// The machine's answer to an outcome. What is told to people is the plugin's own bounded sentence.
#[must_use]
pub fn answer<T>(outcome: Outcome<T>) -> Answer<T> {
    match outcome {
        Outcome::Done(value) => Answer::Done(value),
        Outcome::Refused(refusal) => refused(&refusal),
        Outcome::Unknown(cause) => Answer::Unknown(cause.to_string()),
    }
}

/// The machine's answer to a refusal.
#[must_use]
pub fn refused<T>(refusal: &Refusal) -> Answer<T> {
    let class = match refusal.class {
        Class::Auth => Known::Auth,
        Class::Scope => Known::Scope,
        Class::Gone => Known::Gone,
        Class::Exists => Known::Exists,
        Class::Limit => Known::Limit,
        Class::Throttle => Known::Throttle,
        Class::Refused => Known::Refused,
        Class::Unsent => Known::Unsent,
        // A refusal is certain; a plugin that calls one unknown is taken at its word.
        Class::Unknown => return Answer::Unknown(refusal.to_string()),
    };
    Answer::Refused(Refused { class, retry_after: refusal.retry_after, detail: refusal.to_string() })
}
