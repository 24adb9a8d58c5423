//! A provider that takes the value it is given: one secret, replaced by each call, readable by whoever may set it (as Auth0's clients are).

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use cutover::engine::WallClock;
use cutover_api::{Clock as _, Secret, Stamp};
use cutover_fake::KeyView;
use serde_json::{Value, json};

/// The definition of it, as an operator would write it.
pub const DEFINITION: &str = r#"
name       = "setter"
about      = "A secret whose value the caller chooses"
source     = "tests/crash/setter.rs"
checked    = "2026-11-22"
lifecycle  = "set"
base_url   = "required"
generate   = { "new.secret" = "base64url:32" }

[declares]
re_rotate = "keeps-all"
grace     = { fixed = "0s" }
reread    = true
settle    = "1s"
negative_probe = "allowed"

[auth]
bearer = "{{ credential }}"

[set]
timeout = "1s"
request = "PATCH /secret"
json    = { value = "{{ new.secret }}" }

[read]
request = "GET /secret"
extract = { secret = "/value" }

[probe]
request  = "GET /use"
auth     = { bearer = "{{ key.secret }}" }
accepted = { status = [200] }
refused  = { status = [401] }
consecutive = 2
"#;

/// One value that was set.
struct Held {
    secret: Secret,
    set_at: Stamp,
    ended_at: Option<Stamp>,
    used: u64,
    refused: u64,
}

#[derive(Clone)]
struct Desk {
    clock: Arc<WallClock>,
    session: String,
    values: Arc<Mutex<Vec<Held>>>,
    calls: Arc<Mutex<u64>>,
}

/// The double.
pub struct Setter {
    desk: Desk,
    port: u16,
}

impl Setter {
    /// Starts it with this value set.
    pub async fn start(clock: Arc<WallClock>) -> (Self, Secret) {
        let first = Held {
            secret: Secret::new("the-first-value-0123456789abcdef".to_owned()),
            set_at: clock.now(),
            ended_at: None,
            used: 0,
            refused: 0,
        };
        let old = first.secret.duplicate();
        let desk = Desk {
            clock,
            session: "the-right-to-set-it-0123456789".to_owned(),
            values: Arc::new(Mutex::new(vec![first])),
            calls: Arc::default(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let app = Router::new().route("/secret", get(read).patch(set)).route("/use", get(used)).with_state(desk.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (Self { desk, port }, old)
    }

    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn session(&self) -> Secret {
        Secret::new(self.desk.session.clone())
    }

    /// How often a value was set.
    pub fn mints(&self) -> u64 {
        *self.desk.calls.lock().expect("free")
    }

    pub fn accepts(&self, key: &Secret) -> bool {
        self.desk.values.lock().expect("free").last().is_some_and(|value| value.secret.same_as(key))
    }

    /// Every value that ever was set, the first one first.
    pub fn keys(&self) -> Vec<KeyView> {
        let values = self.desk.values.lock().expect("free");
        values.iter().enumerate().map(|(n, value)| value.view(n)).collect()
    }
}

impl Held {
    fn view(&self, n: usize) -> KeyView {
        KeyView {
            id: format!("value-{n}"),
            name: String::new(),
            prefix: String::new(),
            scopes: Vec::new(),
            slot: None,
            created_at: self.set_at,
            last_used_at: None,
            expires_at: None,
            revoked_at: self.ended_at,
            inactive: false,
            alive: self.ended_at.is_none(),
            used: self.used,
            refused: self.refused,
            fingerprint: self.secret.fingerprint(),
        }
    }
}

/// The bearer of a request.
fn bearer(headers: &HeaderMap) -> &str {
    headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer ")).unwrap_or_default()
}

async fn set(State(desk): State<Desk>, headers: HeaderMap, Json(body): Json<Value>) -> StatusCode {
    if bearer(&headers) != desk.session {
        return StatusCode::UNAUTHORIZED;
    }
    *desk.calls.lock().expect("free") += 1;
    let secret = Secret::new(body["value"].as_str().expect("a value").to_owned());
    let (now, mut values) = (desk.clock.now(), desk.values.lock().expect("free"));
    if values.last().is_some_and(|last| last.secret.same_as(&secret)) {
        return StatusCode::NO_CONTENT;
    }
    if let Some(last) = values.last_mut() {
        last.ended_at = Some(now);
    }
    values.push(Held { secret, set_at: now, ended_at: None, used: 0, refused: 0 });
    StatusCode::NO_CONTENT
}

async fn read(State(desk): State<Desk>, headers: HeaderMap) -> Result<Json<Value>, StatusCode> {
    if bearer(&headers) != desk.session {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let values = desk.values.lock().expect("free");
    Ok(Json(json!({ "value": values.last().map(|value| value.secret.expose()) })))
}

async fn used(State(desk): State<Desk>, headers: HeaderMap) -> StatusCode {
    let mut values = desk.values.lock().expect("free");
    let Some(value) = values.iter_mut().rev().find(|value| value.secret.expose() == bearer(&headers)) else {
        return StatusCode::UNAUTHORIZED;
    };
    if value.ended_at.is_none() {
        value.used += 1;
        StatusCode::OK
    } else {
        value.refused += 1;
        StatusCode::UNAUTHORIZED
    }
}
