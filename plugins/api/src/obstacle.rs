//! Why a line to another machine did not come about, in words: one home for what every plugin says of it.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};

use rustls::{AlertDescription, CertificateError};
use url::Url;

/// What stands between here and another machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Its name has no address.
    Name,
    /// Nothing listens at that port.
    Refused,
    /// Nothing answers, not even with a refusal.
    Silence,
    /// There is no way to it.
    NoRoute,
    /// The connection was there, and closed.
    Closed,
    /// TLS: its certificate comes from nobody who is trusted here.
    Issuer,
    /// TLS: its certificate has ended, or has not begun.
    Dates,
    /// TLS: its certificate is for another host.
    OtherName,
    /// TLS: its certificate is not acceptable for another reason.
    Certificate,
    /// TLS: it wants a client certificate, or another one.
    ClientCertificate,
    /// TLS: what answers there speaks something else.
    NoTls,
    /// TLS: no agreement was reached.
    Handshake,
}

impl Obstacle {
    /// Reads it out of an error of whatever library, with all that caused it. `None`: it tells nothing of a line.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = Self::here(error) {
                return Some(found);
            }
            // What an I/O error wraps is not among its sources.
            next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(wrapped) => Some(wrapped),
                None => error.source(),
            };
        }
        None
    }

    /// By one error of the chain.
    fn here(error: &(dyn Error + 'static)) -> Option<Self> {
        if let Some(error) = error.downcast_ref() {
            return Some(Self::tls(error));
        }
        let text = error.to_string();
        // The standard library has no kind of its own for this, and every client wraps it in another one.
        if text.starts_with("failed to lookup address information") || text.starts_with("dns error") {
            return Some(Self::Name);
        }
        match error.downcast_ref::<io::Error>().map(|error| (error.kind(), error.get_ref().is_some())) {
            Some((ErrorKind::ConnectionRefused, _)) => Some(Self::Refused),
            Some((ErrorKind::TimedOut, _)) => Some(Self::Silence),
            Some((ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown, _)) => {
                Some(Self::NoRoute)
            }
            // One that wraps another says how it ended, and the other one why.
            Some((ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::UnexpectedEof, false)) => {
                Some(Self::Closed)
            }
            Some((ErrorKind::BrokenPipe, _)) => Some(Self::Closed),
            _ if text == "operation timed out" || text == "deadline has elapsed" => Some(Self::Silence),
            _ => None,
        }
    }

    fn tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(why) => match why {
                // An issuer of the same name with another key is another one.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::Issuer,
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::Dates,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::OtherName,
                _ => Self::Certificate,
            },
            rustls::Error::InvalidMessage(_) => Self::NoTls,
            rustls::Error::AlertReceived(
                AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnknownCA
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateRevoked,
            ) => Self::ClientCertificate,
            _ => Self::Handshake,
        }
    }

    /// It is about TLS: the machine was reached.
    #[must_use]
    pub const fn is_tls(self) -> bool {
        matches!(
            self,
            Self::Issuer
                | Self::Dates
                | Self::OtherName
                | Self::Certificate
                | Self::ClientCertificate
                | Self::NoTls
                | Self::Handshake
        )
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "its name has no address (DNS)",
            Self::Refused => "connection refused: nothing listens there",
            Self::Silence => "no connection in time: nothing answers there",
            Self::NoRoute => "there is no route to it",
            Self::Closed => "the connection was closed by the other side",
            Self::Issuer => "TLS: its certificate is not issued by anybody who is trusted here (unknown issuer)",
            Self::Dates => "TLS: its certificate has expired, or is not valid yet by this machine's clock",
            Self::OtherName => "TLS: its certificate is for another host's name",
            Self::Certificate => "TLS: its certificate is not acceptable",
            Self::ClientCertificate => "TLS: it wants a client certificate, or another one than it got",
            Self::NoTls => "TLS: what answers there does not speak TLS",
            Self::Handshake => "TLS: both sides could not agree",
        })
    }
}

/// Where a URL goes, `https://host:port`: all of it that may be told. A path or a query may be a secret.
#[must_use]
pub fn whereto(url: &Url) -> String {
    let port = url.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::io::{self, ErrorKind};

    use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerMisbehaved};

    use super::{Obstacle, whereto};

    fn of(error: impl std::error::Error + 'static) -> Option<Obstacle> {
        Obstacle::of(&error)
    }

    /// All of them were "no connection (refused, timed out, or TLS not agreed)".
    #[test]
    fn what_keeps_a_line_from_coming_about_is_told_apart() {
        let certificate = |why| io::Error::new(ErrorKind::InvalidData, rustls::Error::InvalidCertificate(why));
        let tls = |error: rustls::Error| io::Error::other(error);
        let cases = [
            (ErrorKind::ConnectionRefused.into(), Obstacle::Refused),
            (ErrorKind::TimedOut.into(), Obstacle::Silence),
            (ErrorKind::NetworkUnreachable.into(), Obstacle::NoRoute),
            (ErrorKind::ConnectionReset.into(), Obstacle::Closed),
            (io::Error::other("failed to lookup address information: Name or service not known"), Obstacle::Name),
            (io::Error::other(io::Error::from(ErrorKind::ConnectionRefused)), Obstacle::Refused),
            (certificate(CertificateError::UnknownIssuer), Obstacle::Issuer),
            (certificate(CertificateError::BadSignature), Obstacle::Issuer),
            (certificate(CertificateError::Expired), Obstacle::Dates),
            (certificate(CertificateError::NotValidForName), Obstacle::OtherName),
            (certificate(CertificateError::Revoked), Obstacle::Certificate),
            (tls(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)), Obstacle::NoTls),
            (tls(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)), Obstacle::ClientCertificate),
            (tls(rustls::Error::PeerMisbehaved(PeerMisbehaved::MissingKeyShare)), Obstacle::Handshake),
        ];
        for (error, expected) in cases {
            let shown = error.to_string();
            assert_eq!(of(error), Some(expected), "{shown}");
            assert_eq!(expected.to_string().starts_with("TLS: "), expected.is_tls(), "{expected}");
        }
        assert_eq!(of(io::Error::other("a body that does not fit")), None);
    }

    #[test]
    fn of_a_url_nothing_is_told_but_where_it_goes() {
        let named = |text: &str| whereto(&text.parse().unwrap());
        assert_eq!(named("https://dana:pw@hooks.example.com/services/T0/secret?k=v#x"), "https://hooks.example.com:443");
        assert_eq!(named("http://[::1]:9/x"), "http://[::1]:9");
    }
}
