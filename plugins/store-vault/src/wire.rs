//! One request, one reply: the transport below every call.
//!
//! vaultrs makes the requests (paths, headers, bodies); they are sent here and not by its client, because that client has no bound on a
//! reply, no connect timeout, takes unset settings from the environment (`VAULT_SKIP_VERIFY` turns TLS verification off) and logs the
//! server's error texts.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cutover_api::{Cause, Class, Obstacle, Outcome, Refusal, Secret, Span, unread, whereto};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use rustify::endpoint::Endpoint;
use serde::Deserialize;
use url::Url;
use vaultrs::api::EndpointMiddleware;
use zeroize::Zeroizing;

/// The longest reply that is read. Vault itself refuses secrets of more than 1 MiB with its usual storage.
const LONGEST_REPLY: usize = 4 << 20;
/// The longest CA file that is read.
const LONGEST_CA: u64 = 1 << 20;
/// The longest wait that a `Retry-After` is believed.
const LONGEST_WAIT: i64 = 3_600;

/// How long a call may take.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    /// To connect, TLS included.
    pub(crate) connect: Duration,
    /// In all, from the first byte sent to the last one read.
    pub(crate) total: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { connect: Duration::from_secs(3), total: Duration::from_secs(10) }
    }
}

/// Why there is no usable reply.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Certainly nothing happened.
    Refused(Refusal),
    /// Something may have happened.
    Unknown(Cause),
}

impl Trouble {
    pub(crate) fn refused(class: Class, step: &str, hint: impl Into<String>) -> Self {
        Self::Refused(Refusal::new(class, step).hint(hint))
    }

    /// The same where the call was only made to prepare another that was then not made: so that one certainly did not happen.
    pub(crate) fn before(self, what: &str) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            Self::Unknown(Cause { step, label, status, hint }) => {
                let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                Refusal {
                    status,
                    ..Refusal::new(Class::Refused, step).hint(format!("no usable answer ({label}): {what}{hint}"))
                }
            }
        }
    }
}

impl<T> From<Trouble> for Outcome<T> {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Refused(refusal) => Self::Refused(refusal),
            Trouble::Unknown(cause) => Self::Unknown(cause),
        }
    }
}

/// A whole reply. Its body may hold secrets and is wiped.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Zeroizing<Vec<u8>>,
    retry_after: Option<Span>,
}

impl Reply {
    /// Whether one of the server's error texts holds `words`. The texts themselves go nowhere.
    pub(crate) fn says(&self, words: &str) -> bool {
        self.errors().is_some_and(|errors| errors.iter().any(|error| error.contains(words)))
    }

    /// The server's error texts, to be looked at only; `None` when the reply is not a Vault's error.
    pub(crate) fn errors(&self) -> Option<Vec<String>> {
        #[derive(Deserialize)]
        struct Errors {
            errors: Vec<String>,
        }
        serde_json::from_slice::<Errors>(&self.body).ok().map(|body| body.errors)
    }

    /// What a reply means that nobody expected (definitions.md 6).
    pub(crate) fn trouble(&self, step: &str) -> Trouble {
        let class = match self.status {
            401 => Class::Auth,
            403 => Class::Scope,
            404 | 410 => Class::Gone,
            409 => Class::Exists,
            429 => Class::Throttle,
            408 => return self.unknown(step, "timeout", None),
            400..=499 => Class::Refused,
            300..=399 => {
                let hint = "the server redirects; `address` must name the active node or a load balancer that finds it";
                return self.unknown(step, "redirect", Some(hint));
            }
            200..=299 => return self.unknown(step, "unreadable", Some("the reply is not one a KV v2 engine gives")),
            _ => {
                let sealed = self.status == 503 && self.says("Vault is sealed");
                return self.unknown(step, "status-5xx", sealed.then_some("the Vault is sealed; unseal it"));
            }
        };
        let mut refusal = Refusal::new(class, step).status(i32::from(self.status));
        refusal.retry_after = self.retry_after;
        Trouble::Refused(refusal)
    }

    fn unknown(&self, step: &str, label: &str, hint: Option<&str>) -> Trouble {
        let cause = Cause::new(step, label).status(i32::from(self.status));
        Trouble::Unknown(match hint {
            Some(hint) => cause.hint(hint),
            None => cause,
        })
    }
}

/// The way to one server.
pub(crate) struct Wire {
    address: Url,
    ca: Option<String>,
    headers: EndpointMiddleware,
    patience: Patience,
    /// Made at the first call, so that building a store opens no file; made anew after a failure to connect, so that a renewed CA counts.
    client: Mutex<Option<reqwest::Client>>,
}

impl Wire {
    pub(crate) fn new(address: Url, namespace: Option<String>, ca: Option<String>, patience: Patience) -> Self {
        // The token is added in `send`: here it would be kept in clear, and a bad one would panic.
        let headers = EndpointMiddleware { token: String::new(), version: "v1".to_owned(), wrap: None, namespace };
        Self { address, ca, headers, patience, client: Mutex::new(None) }
    }

    /// Sends one request and reads its whole reply, whatever its status.
    pub(crate) async fn send<E: Endpoint>(&self, step: &str, endpoint: E, token: Option<&Secret>) -> Result<Reply, Trouble> {
        let unmade = || Trouble::refused(Class::Unsent, step, "the request could not be put together from these settings");
        let request = endpoint.with_middleware(&self.headers).request(self.address.as_str()).map_err(|_| unmade())?;
        let mut request = reqwest::Request::try_from(request).map_err(|_| unmade())?;
        if request.url().query() == Some("") {
            request.url_mut().set_query(None);
        }
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(token.expose()).map_err(|_| unmade())?;
            value.set_sensitive(true);
            request.headers_mut().insert("x-vault-token", value);
        }
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let client = self.client(step)?;
        let response = client.execute(request).await.map_err(|error| self.lost(step, &error))?;
        let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
        let body = self.body(step, response).await?;
        tracing::debug!(step, status, "reply");
        Ok(Reply { status, body, retry_after })
    }

    async fn body(&self, step: &str, mut response: reqwest::Response) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        let status = i32::from(response.status().as_u16());
        let announced = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(4_096);
        let mut body = Zeroizing::new(Vec::with_capacity(announced.min(LONGEST_REPLY)));
        while let Some(chunk) = response.chunk().await.map_err(|error| self.lost(step, &error))? {
            if body.len() + chunk.len() > LONGEST_REPLY {
                return Err(Trouble::Unknown(Cause::new(step, "too-long").status(status)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// What a failure of the transport means. Its own text is dropped: it may hold the URL.
    fn lost(&self, step: &str, error: &reqwest::Error) -> Trouble {
        if error.is_connect() {
            *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
            let why = match Obstacle::of(error) {
                Some(obstacle) if obstacle.is_tls() => format!("{obstacle}; check `ca`"),
                Some(obstacle) => obstacle.to_string(),
                None => "no connection".to_owned(),
            };
            return Trouble::refused(Class::Unsent, step, format!("`address` {}: {why}", whereto(&self.address)));
        }
        let (label, what) = if error.is_timeout() {
            ("timeout", "no whole answer in time")
        } else {
            ("cut", "the connection was closed before the whole answer was there")
        };
        Trouble::Unknown(Cause::new(step, label).hint(format!("`address` {}: {what}", whereto(&self.address))))
    }

    fn client(&self, step: &str) -> Result<reqwest::Client, Trouble> {
        let mut kept = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = kept.as_ref() {
            return Ok(client.clone());
        }
        let https = self.address.scheme() == "https";
        let builder = reqwest::Client::builder()
            .user_agent("cutover")
            .no_proxy()
            .http1_only()
            .https_only(https)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(self.patience.connect)
            .timeout(self.patience.total)
            // A connection that idles is cut by what stands between, and a write on it would end unknown.
            .pool_idle_timeout(Duration::from_secs(5));
        let builder = match &self.ca {
            // Plain http needs no roots; without this line loading the platform's could fail.
            _ if !https => builder.tls_certs_only([]),
            Some(path) => builder.tls_certs_only(roots(path).map_err(|hint| Trouble::refused(Class::Unsent, step, hint))?),
            None => builder,
        };
        let client =
            builder.build().map_err(|_| Trouble::refused(Class::Unsent, step, "no TLS client could be made of `ca`"))?;
        *kept = Some(client.clone());
        Ok(client)
    }
}

fn roots(path: &str) -> Result<Vec<reqwest::Certificate>, String> {
    let unreadable = |error| unread(Path::new(path), &error, "put the CA's certificate there, or correct `ca`");
    if std::fs::metadata(path).map_err(unreadable)?.len() > LONGEST_CA {
        return Err(format!("the file {path} that `ca` names is longer than 1 MiB"));
    }
    let pem = std::fs::read(path).map_err(unreadable)?;
    let roots = reqwest::Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if roots.is_empty() {
        return Err(format!("the file {path} that `ca` names holds no PEM certificate"));
    }
    Ok(roots)
}

fn retry_after(headers: &HeaderMap) -> Option<Span> {
    let seconds: i64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Span::seconds(seconds.clamp(0, LONGEST_WAIT)))
}
