//! Reads `[notify.x]`.

use std::net::IpAddr;
use std::time::Duration;

use cutover_api::{Reader, SecretRef, Span};
use lettre::message::Mailbox;
use rustls::pki_types::ServerName;

/// How the connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    /// Plain first, then TLS, which the server must offer.
    StartTls,
    /// TLS from the first byte.
    Implicit,
    /// None; this machine only.
    Plain,
}

/// A login.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) username: String,
    pub(crate) password: SecretRef,
}

/// What stands in the table.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) protection: Protection,
    pub(crate) from: Mailbox,
    /// Never empty.
    pub(crate) to: Vec<Mailbox>,
    pub(crate) login: Option<Login>,
    pub(crate) ca: Option<String>,
    pub(crate) timeout: Duration,
}

/// The deadline of a whole message when none is configured.
const TIMEOUT: Span = Span::seconds(30);

impl Settings {
    /// Reads all of it and reports everything that is wrong.
    pub(crate) fn read(reader: &Reader<'_>) -> Option<Self> {
        let before = reader.problems().count();
        for key in ["kind", "severity", "holders"] {
            reader.known(key);
        }
        let protections = [("starttls", Protection::StartTls), ("implicit", Protection::Implicit), ("none", Protection::Plain)];
        let protection = if reader.has("tls") { reader.choice("tls", &protections) } else { Some(Protection::StartTls) };
        let host = host(reader, protection);
        let port = port(reader, protection);
        let from = reader.require_text("from", "the address mails come from: \"cutover@example.com\"");
        let from = from.and_then(|text| mailbox(reader, "from", text));
        let to = recipients(reader);
        let login = login(reader);
        let ca = ca(reader, protection);
        let timeout = reader.span("timeout").unwrap_or(TIMEOUT);
        if timeout < Span::SECOND || timeout > Span::minutes(5) {
            reader.wrong("timeout", format!("is {timeout}"), "must be from 1s to 5m");
        }
        reader.finish();
        if reader.problems().count() > before {
            return None;
        }
        let timeout = Duration::from_millis(u64::try_from(timeout.0).ok()?);
        Some(Self { host: host?, port: port?, protection: protection?, from: from?, to, login, ca, timeout })
    }
}

fn host(reader: &Reader<'_>, protection: Option<Protection>) -> Option<String> {
    let host = reader.require_text("host", "the mail server's name: \"smtp.example.com\"")?;
    if ServerName::try_from(host).is_err() {
        reader.wrong("host", format!("{host:?} is no host"), "must be a name or an address, without scheme, port or brackets");
        return None;
    }
    if protection == Some(Protection::Plain) && !is_loopback(host) {
        let right =
            "must be \"starttls\" or \"implicit\": without TLS only \"localhost\", 127.0.0.0/8 and ::1 may be spoken to";
        reader.wrong("tls", format!("is \"none\" for {host:?}"), right);
    }
    Some(host.to_owned())
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn port(reader: &Reader<'_>, protection: Option<Protection>) -> Option<u16> {
    if reader.has("port") {
        return reader.integer("port", 1..=65_535).and_then(|port| u16::try_from(port).ok());
    }
    Some(match protection? {
        Protection::StartTls => 587,
        Protection::Implicit => 465,
        Protection::Plain => 25,
    })
}

/// An address, with or without a name before it. ASCII only: not every server takes others, and an alert must arrive.
fn mailbox(reader: &Reader<'_>, key: &str, text: &str) -> Option<Mailbox> {
    let parsed = text
        .parse::<Mailbox>()
        .ok()
        .filter(|mailbox| text.is_ascii() && !text.contains(char::is_control) && mailbox.email.to_string().len() <= 254);
    if parsed.is_none() {
        let right = "must be like \"ops@example.com\" or \"Ops <ops@example.com>\", in ASCII";
        reader.wrong(key, format!("{text:?} is no mail address"), right);
    }
    parsed
}

fn recipients(reader: &Reader<'_>) -> Vec<Mailbox> {
    let right = "the addresses mails go to: [\"ops@example.com\"]";
    if !reader.has("to") {
        reader.wrong("to", "missing", right);
    }
    let Some(texts) = reader.texts("to") else { return Vec::new() };
    if texts.is_empty() || texts.len() > 100 {
        reader.wrong("to", format!("holds {} addresses", texts.len()), "must hold from 1 to 100");
    }
    texts.iter().filter_map(|text| mailbox(reader, "to", text)).collect()
}

fn login(reader: &Reader<'_>) -> Option<Login> {
    let username = reader.text("username");
    let password = if reader.has("password") { reader.secret("password") } else { None };
    match (reader.has("username"), reader.has("password")) {
        (true, false) => {
            reader.wrong("username", "stands without `password`", "a login needs both; without one leave both out")
        }
        (false, true) => {
            reader.wrong("password", "stands without `username`", "a login needs both; without one leave both out")
        }
        _ => {}
    }
    let username = username?;
    if username.is_empty() || username.contains(char::is_control) {
        reader.wrong("username", "is empty or holds control characters", "must be the login's name");
    }
    Some(Login { username: username.to_owned(), password: password? })
}

fn ca(reader: &Reader<'_>, protection: Option<Protection>) -> Option<String> {
    let ca = reader.text("ca")?;
    if !ca.starts_with('/') {
        reader.wrong(
            "ca",
            format!("{ca:?} is not an absolute path"),
            "must be a file of PEM certificates; it replaces the system's",
        );
    }
    if protection == Some(Protection::Plain) {
        reader.wrong("ca", "stands beside tls = \"none\"", "leave it out, or set tls = \"starttls\" or \"implicit\"");
    }
    Some(ca.to_owned())
}
