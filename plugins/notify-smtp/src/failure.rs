//! What a failure is called. Nothing the server wrote is kept but its status.

use cutover_api::{NotifyError, Obstacle};
use lettre::transport::smtp::Error;

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The server's greeting and the first EHLO.
    Greeting,
    /// TLS.
    Tls,
    /// The login.
    Login,
    /// The sender, the recipients, the mail.
    Mail,
    /// Anything else the server must answer.
    Talk,
}

pub(crate) fn connect(detail: impl Into<String>) -> NotifyError {
    failure("connect", detail)
}

pub(crate) fn tls(detail: impl Into<String>) -> NotifyError {
    failure("tls", detail)
}

pub(crate) fn auth(detail: impl Into<String>) -> NotifyError {
    failure("auth", detail)
}

pub(crate) fn timeout(detail: impl Into<String>) -> NotifyError {
    failure("timeout", detail)
}

fn failure(label: &'static str, detail: impl Into<String>) -> NotifyError {
    NotifyError { label, detail: detail.into(), permanent: false }
}

/// The server answered with a status that does not go on.
pub(crate) fn status(stage: Stage, status: u16) -> NotifyError {
    match stage {
        Stage::Tls => tls(format!("the server offers STARTTLS but refused it (status {status})")),
        Stage::Login => auth(format!("the login was refused (status {status}); check username and password")),
        Stage::Greeting | Stage::Talk => failure("refused", format!("the server does not want to talk now (status {status})")),
        Stage::Mail => NotifyError {
            label: "refused",
            detail: format!("the server did not take the mail (status {status}); check from, to and what it allows this login"),
            permanent: (500..600).contains(&status),
        },
    }
}

/// What became of a call of the mail library.
pub(crate) fn of(stage: Stage, error: &Error) -> NotifyError {
    if let Some(code) = error.status() {
        return status(stage, code.into());
    }
    let obstacle = Obstacle::of(error);
    if let Some(obstacle) = obstacle.filter(|obstacle| obstacle.is_tls()) {
        let check = match obstacle {
            Obstacle::NoTls | Obstacle::Handshake => "port and tls",
            _ => "host and ca",
        };
        return tls(format!("{obstacle}; check {check}"));
    }
    match stage {
        Stage::Login if error.is_client() => auth("the server offers no login this side knows (PLAIN, LOGIN)"),
        Stage::Tls if error.is_client() => tls("the server does not offer STARTTLS; nothing was sent without it"),
        Stage::Mail => connect("the connection was lost before the server took the mail; it may have been taken"),
        _ => match obstacle.filter(|obstacle| *obstacle != Obstacle::Closed) {
            Some(obstacle) => connect(format!("{obstacle}; check host and port")),
            None => connect("the connection was lost, or what answers there speaks no SMTP; check host, port and tls"),
        },
    }
}
