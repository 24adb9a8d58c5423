//! Whether something trusted listens at a webhook's address, found out without saying anything to it.

use std::sync::Arc;

use cutover_api::{NotifyError, Obstacle, whereto};
use cutover_http_step::origin;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::failure::failure;

/// A webhook's address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Address {
    host: String,
    port: u16,
    tls: bool,
    /// As it is told: `https://host:port`.
    shown: String,
}

impl Address {
    /// That of `"METHOD https://host:port/path"`; no slot stands in its host.
    pub(crate) fn of(request: &str) -> Option<Self> {
        let (scheme, rest) = request.split_whitespace().nth(1)?.split_once("://")?;
        let url = origin(&format!("{scheme}://{}", rest.split(['/', '?', '#']).next()?)).ok()?;
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Self { host, port: url.port_or_known_default()?, tls: url.scheme() == "https", shown: whereto(&url) })
    }

    /// Connects and, over https, shakes hands; `ca` is the PEM of the only certificates to trust.
    pub(crate) async fn reach(&self, ca: Option<&str>) -> Result<(), NotifyError> {
        let config = if self.tls { Some(config(ca)?) } else { None };
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| {
            let why = Obstacle::of(&error).map_or_else(|| error.kind().to_string(), |obstacle| obstacle.to_string());
            failure("connect", format!("{}: {why}; check request", self.shown))
        })?;
        let Some(config) = config else { return Ok(()) };
        let name = ServerName::try_from(self.host.clone())
            .map_err(|_| failure("tls", "the host is no name a certificate can be for"))?;
        match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let why = Obstacle::of(&error).unwrap_or(Obstacle::Handshake);
                Err(failure("tls", format!("{}: {why}; check request and ca", self.shown)))
            }
        }
    }

    /// As it is told: `https://host:port`. The rest of a webhook's URL is a secret as a rule.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }
}

fn config(ca: Option<&str>) -> Result<ClientConfig, NotifyError> {
    let unusable = |_| failure("tls", "no TLS can be set up here");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(unusable)?;
    let Some(ca) = ca else {
        let none = |_| failure("tls", "the system's certificates could not be loaded; install them, or set ca");
        return Ok(builder.with_platform_verifier().map_err(none)?.with_no_client_auth());
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        let good = certificate.is_ok_and(|certificate| roots.add(certificate).is_ok());
        if !good {
            return Err(failure("tls", "ca holds what is no certificate"));
        }
    }
    if roots.is_empty() {
        return Err(failure("tls", "ca holds no certificate"));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn an_address_is_read_from_a_request() {
        let of = |request: &str| Address::of(request).map(|address| (address.host, address.port, address.tls));
        assert_eq!(
            of("POST https://hooks.example.com/services/{{ credential | subpath }}"),
            Some(("hooks.example.com".to_owned(), 443, true))
        );
        assert_eq!(of("POST https://hooks.example.com:8443"), Some(("hooks.example.com".to_owned(), 8443, true)));
        assert_eq!(of("POST http://[::1]:9/x"), Some(("::1".to_owned(), 9, false)));
        assert_eq!(of("POST http://example.com/x"), None);
        assert_eq!(of("POST /x"), None);
    }
}
