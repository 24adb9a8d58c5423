//! What goes wrong on the bus, as outcomes.

use cutover_api::{Cause, Class, Outcome, Refusal};
use zbus::{DBusError, Error};

/// What a failed call means.
pub(crate) enum Fault {
    /// The other side answered: it did not do it.
    Answered(String),
    /// No answer came; it may have been done.
    Lost,
}

impl Fault {
    /// Sorts an error of a method call.
    pub(crate) fn of(error: &Error) -> Self {
        let name = match error {
            Error::MethodError(name, ..) => name.as_str().to_owned(),
            Error::FDO(error) => match &**error {
                zbus::fdo::Error::ZBus(inner) => return Self::of(inner),
                known => known.name().as_str().to_owned(),
            },
            _ => return Self::Lost,
        };
        // The bus itself says so when the other side went away with the call in its hands.
        let lost = ["NoReply", "Timeout", "TimedOut", "Disconnected"];
        match name.strip_prefix("org.freedesktop.DBus.Error.") {
            Some(short) if lost.contains(&short) => Self::Lost,
            _ => Self::Answered(name),
        }
    }
}

/// A call about `unit` that systemd answered with the error `name`: certainly nothing was started.
pub(crate) fn refused(step: &str, unit: &str, verb: &str, name: &str) -> Refusal {
    let short = name.rsplit('.').next().unwrap_or_default();
    let (class, hint) = match short {
        "AccessDenied" | "InteractiveAuthorizationRequired" | "AuthFailed" => (
            Class::Scope,
            format!(
                "systemd does not let the daemon's user {verb} {unit}; name the unit in the polkit rule (/etc/polkit-1/rules.d, see the README)"
            ),
        ),
        "NoSuchUnit" | "LoadFailed" | "UnitMasked" => {
            (Class::Gone, format!("{unit} cannot be loaded: `systemctl status {unit}` says why"))
        }
        "JobTypeNotApplicable" => (Class::Refused, format!("{unit} does not know how to {verb}; choose another `verb`")),
        "ServiceUnknown" | "NameHasNoOwner" => (Class::Unsent, "systemd is not on the system bus".to_owned()),
        _ => (Class::Refused, format!("systemd refused to {verb} {unit}: `systemctl status {unit}` says more")),
    };
    Refusal { code: Some(code(short)), ..Refusal::new(class, step).hint(hint) }
}

/// The bus cannot be used: nothing was asked for.
pub(crate) fn unreachable(step: &str, error: &Error) -> Refusal {
    let why = match error {
        Error::InputOutput(error) => error.kind().to_string(),
        Error::Handshake(_) => "the bus did not accept the login".to_owned(),
        Error::Address(_) => "its address is not understood".to_owned(),
        _ => "it does not answer as a bus does".to_owned(),
    };
    Refusal::new(Class::Unsent, step).hint(format!("the system bus cannot be reached ({why}); is dbus.socket running?"))
}

/// The end of a job, as systemd names it.
pub(crate) fn ended(step: &str, unit: &str, result: &str) -> Outcome<()> {
    let hint = match result {
        "done" => return Outcome::Done(()),
        // Somebody else's job took its place, or it goes on after its time: the unit may come up with the new key all the same.
        "canceled" => {
            let hint = format!("another job for {unit} took the place of this one; it is asked for again");
            return Outcome::Unknown(Cause::new(step, "canceled").hint(hint));
        }
        "timeout" => {
            let hint = format!("systemd gave up waiting for {unit}: `systemctl status {unit}`");
            return Outcome::Unknown(Cause::new(step, "timeout").hint(hint));
        }
        "dependency" => format!("a unit that {unit} needs did not start: `systemctl status {unit}`"),
        "skipped" => format!("systemd skipped the job: {unit} is not in a state for it"),
        _ => format!("{unit} did not come up: `journalctl -u {unit}` says why"),
    };
    Outcome::Refused(Refusal { code: Some(code(result)), ..Refusal::new(Class::Refused, step).hint(hint) })
}

/// A code as [`Refusal::code`] may hold it.
fn code(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || "_.:-".contains(*c)).take(64).collect()
}
