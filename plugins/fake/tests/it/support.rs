//! What the tests share: a clock that stands in 2026 and an HTTP client.

use std::sync::Arc;

use cutover_api::{Secret, Stamp};
use cutover_fake::FakeClock;
use serde_json::Value;

/// 2026-04-26T12:34:56Z: a day later is the seed's example.
pub const START: Stamp = Stamp(1_777_206_896_000);

pub fn clock() -> Arc<FakeClock> {
    Arc::new(FakeClock::new(START))
}

/// A reply as the tests look at it.
#[derive(Debug)]
pub struct Seen {
    pub status: u16,
    pub body: Value,
    pub headers: reqwest::header::HeaderMap,
}

impl Seen {
    pub fn secret(&self, field: &str) -> Secret {
        Secret::new(self.body[field].as_str().expect("a secret").to_owned())
    }

    pub fn text(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).expect("a text")
    }
}

/// Sends requests; neither follows redirects nor sends anything twice.
pub struct Web {
    client: reqwest::Client,
    base: String,
    session: Secret,
}

impl Web {
    pub fn new(base: String, session: Secret) -> Self {
        let none = reqwest::redirect::Policy::none();
        let client = reqwest::Client::builder().no_proxy().redirect(none).pool_max_idle_per_host(0).build();
        Self { client: client.expect("a client"), base, session }
    }

    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().expect("a method");
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// A management call.
    pub async fn manage(&self, method: &str, path: &str, body: Value) -> reqwest::Result<Seen> {
        let request = self.request(method, path).bearer_auth(self.session.expose());
        seen(if body.is_null() { request } else { request.json(&body) }).await
    }

    /// A management call whose reply must come.
    pub async fn managed(&self, method: &str, path: &str, body: Value) -> Seen {
        self.manage(method, path, body).await.expect("a reply")
    }

    /// A call made with a key as a bearer; its status.
    pub async fn bearer(&self, path: &str, key: &Secret) -> u16 {
        seen(self.request("GET", path).bearer_auth(key.expose())).await.expect("a reply").status
    }

    /// A call made with a key in `X-API-Key`; its status.
    pub async fn api_key(&self, path: &str, key: &Secret) -> u16 {
        seen(self.request("GET", path).header("X-API-Key", key.expose())).await.expect("a reply").status
    }
}

/// Sends and reads to the end.
pub async fn seen(request: reqwest::RequestBuilder) -> reqwest::Result<Seen> {
    let reply = request.send().await?;
    let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
    let body = reply.bytes().await?;
    let body = serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned().into());
    Ok(Seen { status, body, headers })
}
