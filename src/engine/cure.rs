//! What stands in the way, each with its cure: what a person does about it.

use std::fmt;

use cutover_api::{Cause, Class, NotifyError, Outcome, Refusal};

/// Something that stands in a rotation's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What was found, without a full stop.
    pub text: String,
    /// What to do about it, one or two sentences without the last full stop.
    pub cure: String,
}

impl Trouble {
    /// What was found, and what to do about it.
    #[must_use]
    pub fn new(text: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { text: text.into(), cure: cure.into() }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.text, self.cure)
    }
}

/// Everything that is wrong in one text, a line each.
#[must_use]
pub fn lines(wrong: &[Trouble]) -> String {
    wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Whom a call went to: the same answer has another cure at each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side<'a> {
    /// The provider with this table.
    Provider(&'a str),
    /// The store with this table.
    Store(&'a str),
    /// A hook, by its place in the policy.
    Hook(usize),
    /// A verify, by its place in the policy.
    Verify(usize),
}

impl Side<'_> {
    /// The table whose keys decide about it.
    fn table(self) -> String {
        match self {
            Self::Provider(name) => format!("[provider.{name}]"),
            Self::Store(name) => format!("[store.{name}]"),
            Self::Hook(place) => format!("redeploy {place} of the policy"),
            Self::Verify(place) => format!("verify {place} of the policy"),
        }
    }

    /// What to do after a call that certainly had no effect.
    #[must_use]
    pub fn refused(self, refusal: &Refusal) -> String {
        let table = self.table();
        match (refusal.class, self) {
            (Class::Auth, _) => {
                format!("put a valid credential where {table} says it is read; it is read at each use, no restart is needed")
            }
            (Class::Scope, Self::Store(_)) => {
                format!("give the credential of {table} the right to create, read and update this path")
            }
            (Class::Scope, _) => format!("give the credential of {table} the right to do this, or name another one there"),
            (Class::Gone, Self::Store(_)) => {
                format!(
                    "correct `path` of the target, or what {table} says of where the store is; create the path if it is new"
                )
            }
            (Class::Gone, Self::Provider(_)) => {
                format!("correct `params` of the policy, or the address in {table}: what they name is not there")
            }
            (Class::Gone, _) => format!("correct the address in {table}: what it names is not there"),
            (Class::Limit, _) => String::from("remove a key that nobody uses at the provider"),
            (Class::Throttle, _) => String::from("wait a minute and look again: too much is asked at once, or a file is busy"),
            (Class::Unsent, Self::Hook(_)) => format!("correct {table}, or install the program that it names"),
            (Class::Unsent, _) => {
                format!("correct the address in {table}, or open the way to it: name, port, firewall, certificate")
            }
            // The system's own error: there is no other side.
            (Class::Refused, Self::Store(_)) if refusal.status.is_none() && refusal.code.is_some() => {
                format!("mend that on this machine, or correct `path` of the target or {table}")
            }
            (Class::Exists | Class::Refused | Class::Unknown, Self::Hook(_) | Self::Verify(_)) => {
                format!("run it by hand to see what it says, then correct it or {table}")
            }
            (Class::Exists | Class::Refused | Class::Unknown, _) => {
                format!("the log of the other side tells why; then correct {table} or the policy")
            }
        }
    }

    /// What to do after a call whose answer could not be had or understood.
    #[must_use]
    pub fn unknown(self, cause: &Cause) -> String {
        let table = self.table();
        match cause.label.as_str() {
            "timeout" | "cut" => {
                format!("look whether the other side is up, and whether the address in {table} is its own; then look again")
            }
            "unreadable" | "too-long" | "redirect" => {
                format!("something else answers than was expected: correct the address in {table}, or how its reply is read")
            }
            _ => format!("the other side is not well: look again in a minute, then at its log and at {table}"),
        }
    }
}

/// What an answer that is not done says, and what to do about it.
#[must_use]
pub fn said<T>(side: Side<'_>, outcome: &Outcome<T>) -> (String, String) {
    match outcome {
        Outcome::Done(_) => (String::new(), String::new()),
        Outcome::Refused(refusal) => (refusal.to_string(), side.refused(refusal)),
        Outcome::Unknown(cause) => (cause.to_string(), side.unknown(cause)),
    }
}

/// What to do about an alert channel that does not accept.
#[must_use]
pub fn channel(name: &str, error: &NotifyError) -> String {
    let table = format!("[notify.{name}]");
    match error.label {
        "auth" => format!("correct the user name in {table}, or put the right password where it is read"),
        "tls" => format!("correct `tls`, `ca` or the host's name in {table}, or the server's certificate"),
        "connect" | "timeout" => format!("correct the address and port in {table}, or open the way to it"),
        _ => format!("the log of the other side tells why; then correct {table}"),
    }
}

#[cfg(test)]
mod tests {
    use cutover_api::{Cause, Class, NotifyError, Refusal};

    use super::{Side, Trouble, channel, lines};

    #[test]
    fn every_class_has_a_cure_at_every_side() {
        let sides = [Side::Provider("bondi"), Side::Store("vault"), Side::Hook(1), Side::Verify(2)];
        let classes = [
            Class::Auth,
            Class::Scope,
            Class::Gone,
            Class::Exists,
            Class::Limit,
            Class::Throttle,
            Class::Refused,
            Class::Unsent,
            Class::Unknown,
        ];
        for side in sides {
            for class in classes {
                let cure = side.refused(&Refusal::new(class, "read"));
                assert!(cure.len() > 20 && !cure.ends_with('.'), "{side:?} {class:?}: {cure}");
            }
            for label in ["timeout", "unreadable", "status-5xx"] {
                assert!(side.unknown(&Cause::new("read", label)).len() > 20);
            }
        }
        assert!(Side::Provider("bondi").refused(&Refusal::new(Class::Auth, "list")).contains("[provider.bondi]"));
        assert!(Side::Store("vault").refused(&Refusal::new(Class::Scope, "read")).contains("[store.vault]"));
    }

    /// A directory that was missing had the cure "the log of the other side tells why".
    #[test]
    fn what_the_system_refuses_is_mended_here() {
        let missing = Refusal { code: Some("ENOENT".into()), ..Refusal::new(Class::Refused, "read") };
        assert!(Side::Store("app").refused(&missing).starts_with("mend that on this machine"));
        let answered = Refusal { status: Some(400), ..missing };
        assert!(Side::Store("vault").refused(&answered).starts_with("the log of the other side"));
    }

    #[test]
    fn a_channels_cure_names_its_table() {
        for label in ["connect", "tls", "auth", "refused", "timeout", "status"] {
            let error = NotifyError { label, detail: String::new(), permanent: false };
            assert!(channel("ops", &error).contains("[notify.ops]"), "{label}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_cure() {
        let wrong = [Trouble::new("a is wrong", "mend a"), Trouble::new("b is wrong", "mend b")];
        assert_eq!(lines(&wrong), "a is wrong: mend a\nb is wrong: mend b");
    }
}
