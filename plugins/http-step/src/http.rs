//! The client and the origins it may reach.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use cutover_api::Secret;
use reqwest::{Certificate, Client, Identity, redirect, retry};
use url::Host;
pub use url::Url;

/// What is trusted and shown in TLS, from `[provider.x]`: `ca`, `client_cert`.
#[derive(Default)]
pub struct Tls {
    /// PEM of the only CAs to trust; `None`: those of the system.
    pub ca: Option<String>,
    /// PEM of a client certificate chain and its key.
    pub client_cert: Option<Secret>,
}

/// An HTTP client: no redirects, no retries, no proxy, no cookies. Every call opens its own connection, so that a line that died while
/// it was idle is never mistaken for a lost request.
#[derive(Clone)]
pub struct Http {
    pub(crate) client: Arc<Client>,
}

/// The client that trusts the system, for as long as somebody has it. Reading the system's CAs takes milliseconds and megabytes: a
/// thousand hooks and consumers read them once. No connection is shared with it, for none is kept.
static SYSTEM: Mutex<Weak<Client>> = Mutex::new(Weak::new());

impl Http {
    /// Builds a client. Installs aws-lc-rs as the process's crypto provider where there is none yet.
    ///
    /// # Errors
    /// One sentence: what is wrong with the certificates. Never a key.
    pub fn new(tls: &Tls) -> Result<Self, String> {
        if tls.ca.is_some() || tls.client_cert.is_some() {
            return Ok(Self { client: Arc::new(build(tls)?) });
        }
        let mut system = SYSTEM.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = system.upgrade() {
            return Ok(Self { client });
        }
        let client = Arc::new(build(tls)?);
        *system = Arc::downgrade(&client);
        Ok(Self { client })
    }

    /// Whoever asks for a client from now on gets one that has read the system's CAs anew.
    pub fn forget_system() {
        *SYSTEM.lock().unwrap_or_else(PoisonError::into_inner) = Weak::new();
    }
}

fn build(tls: &Tls) -> Result<Client, String> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Somebody else may install one in between: then theirs is used, and that is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
    let mut builder = Client::builder()
        .user_agent(concat!("cutover/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .no_proxy()
        .pool_max_idle_per_host(0)
        .connect_timeout(Duration::from_secs(10));
    if let Some(pem) = &tls.ca {
        let certificates =
            Certificate::from_pem_bundle(pem.as_bytes()).map_err(|_| "ca is no PEM of certificates".to_owned())?;
        if certificates.is_empty() {
            return Err("ca holds no certificate".to_owned());
        }
        builder = builder.tls_certs_only(certificates);
    }
    if let Some(pem) = &tls.client_cert {
        let identity = Identity::from_pem(pem.expose().as_bytes())
            .map_err(|_| "client_cert is no PEM of a certificate and its key".to_owned())?;
        builder = builder.identity(identity);
    }
    builder.build().map_err(|_| "the HTTP client cannot be built: look at ca and client_cert".to_owned())
}

/// Where requests may go: the base and further origins by name, nothing else.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    /// Where `"METHOD /path"` goes. Build it with [`origin`].
    pub base: Option<Url>,
    /// Where `"METHOD NAME:/path"` goes. Build them with [`origin`].
    pub hosts: BTreeMap<String, Url>,
}

/// Reads an origin: `https://host[:port][/prefix]`, plain `http` for loopback only; no user, password, query or fragment.
///
/// # Errors
/// What would be right. The text itself is not repeated: it may hold a password.
pub fn origin(text: &str) -> Result<Url, String> {
    let shape = "write https://host[:port][/prefix]";
    let url = Url::parse(text).map_err(|_| format!("is no URL: {shape}"))?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => return Err(format!("names no host: {shape}")),
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        "http" => return Err("plain http is for loopback only: write https://".to_owned()),
        _ => return Err(format!("is neither https nor http: {shape}")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user or password: secrets are configured as references".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() || text.contains(['?', '#', '{']) {
        return Err(format!("holds more than an origin: {shape}"));
    }
    Ok(url)
}
