//! A small provider of this test's own, for what the three doubles cannot be: a key that signs for itself, a value that we choose, a
//! grace that is granted shorter than it was asked for.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::extract::{Path as Part, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use cutover_api::{Clock, Secret, Span, Stamp};
use serde_json::{Value, json};

/// What the outpost's management credential is, where keys do not sign for themselves.
pub const ADMIN: &str = "outpost-admin";

struct Key {
    id: String,
    secret: String,
    until: Stamp,
}

struct Inside {
    keys: Vec<Key>,
    /// What was asked for, and the id of the key that signed it.
    calls: Vec<(String, String)>,
    refuses: bool,
    grants: Span,
}

/// The provider.
#[derive(Clone)]
pub struct Outpost {
    clock: Arc<dyn Clock>,
    inside: Arc<Mutex<Inside>>,
    port: u16,
}

impl Outpost {
    /// Starts one with a first key, whose id and value it answers with.
    pub async fn start(clock: Arc<dyn Clock>) -> (Self, String, Secret) {
        let first = Key { id: String::from("op_1"), secret: value(1), until: Stamp::NEVER };
        let secret = Secret::new(first.secret.clone());
        let inside = Inside { keys: vec![first], calls: Vec::new(), refuses: false, grants: Span::hours(24) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let outpost = Self { clock, inside: Arc::new(Mutex::new(inside)), port };
        let app = Router::new()
            .route("/keys", post(issue))
            .route("/rotate", post(rotate))
            .route("/value", put(set))
            .route("/keys/{id}", delete(revoke))
            .route("/me", get(me))
            .with_state(outpost.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (outpost, String::from("op_1"), secret)
    }

    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Whether it refuses every change from now on.
    pub fn refuse(&self, refuses: bool) {
        self.inside.lock().expect("free").refuses = refuses;
    }

    /// The grace it grants, whatever it is asked for.
    pub fn grant(&self, span: Span) {
        self.inside.lock().expect("free").grants = span;
    }

    /// What was asked for so far, and the id of the key that signed it.
    pub fn calls(&self, what: &str) -> Vec<String> {
        let inside = self.inside.lock().expect("free");
        inside.calls.iter().filter(|(call, _)| call == what).map(|(_, signer)| signer.clone()).collect()
    }

    pub fn accepts(&self, key: &str) -> bool {
        self.signer(key).is_some()
    }

    fn signer(&self, key: &str) -> Option<String> {
        let now = self.clock.now();
        let inside = self.inside.lock().expect("free");
        inside.keys.iter().find(|known| known.secret == key && known.until > now).map(|known| known.id.clone())
    }

    /// Who signs a call: a living key of its own, or the administrator.
    fn admit(&self, what: &str, headers: &HeaderMap) -> Result<String, Box<Response>> {
        let header = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let bearer = header.trim_start_matches("Bearer ");
        let signer = if bearer == ADMIN { Some(String::from("admin")) } else { self.signer(bearer) };
        let mut inside = self.inside.lock().expect("free");
        inside.calls.push((what.to_owned(), signer.clone().unwrap_or_else(|| String::from("nobody"))));
        let refuses = inside.refuses;
        drop(inside);
        match signer {
            None => Err(Box::new(self.says(StatusCode::UNAUTHORIZED, &json!({ "error": "unauthorized" })))),
            Some(_) if refuses && what != "me" => {
                Err(Box::new(self.says(StatusCode::BAD_REQUEST, &json!({ "error": "not_now" }))))
            }
            Some(signer) => Ok(signer),
        }
    }

    fn add(&self, secret: Option<String>) -> (String, String) {
        let mut inside = self.inside.lock().expect("free");
        let number = inside.keys.len() + 1;
        let (id, secret) = (format!("op_{number}"), secret.unwrap_or_else(|| value(number)));
        inside.keys.push(Key { id: id.clone(), secret: secret.clone(), until: Stamp::NEVER });
        (id, secret)
    }

    /// Ends every key but the youngest.
    fn end_older(&self, until: Stamp) {
        let mut inside = self.inside.lock().expect("free");
        let older = inside.keys.len() - 1;
        for key in &mut inside.keys[..older] {
            key.until = key.until.min(until);
        }
    }

    fn says(&self, status: StatusCode, body: &Value) -> Response {
        // The clock of the test, not the machine's: who reads the header would find the provider years behind otherwise.
        let now = jiff::Timestamp::from_millisecond(self.clock.now().0).expect("in range");
        let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        (status, [("date", date)], Json(body.clone())).into_response()
    }
}

fn value(number: usize) -> String {
    format!("outpost_{number:0>40}")
}

async fn issue(State(outpost): State<Outpost>, headers: HeaderMap) -> Response {
    if let Err(refused) = outpost.admit("issue", &headers) {
        return *refused;
    }
    let (id, key) = outpost.add(None);
    outpost.says(StatusCode::CREATED, &json!({ "id": id, "key": key }))
}

async fn rotate(State(outpost): State<Outpost>, headers: HeaderMap) -> Response {
    if let Err(refused) = outpost.admit("rotate", &headers) {
        return *refused;
    }
    let until = outpost.clock.now().plus(outpost.inside.lock().expect("free").grants);
    let (id, key) = outpost.add(None);
    outpost.end_older(until);
    let until = jiff::Timestamp::from_millisecond(until.0).expect("in range").to_string();
    outpost.says(StatusCode::CREATED, &json!({ "id": id, "key": key, "old_ends": until }))
}

async fn set(State(outpost): State<Outpost>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if let Err(refused) = outpost.admit("set", &headers) {
        return *refused;
    }
    let value = body["value"].as_str().expect("a value").to_owned();
    outpost.add(Some(value));
    outpost.end_older(outpost.clock.now());
    outpost.says(StatusCode::OK, &json!({}))
}

async fn revoke(State(outpost): State<Outpost>, Part(id): Part<String>, headers: HeaderMap) -> Response {
    if let Err(refused) = outpost.admit("revoke", &headers) {
        return *refused;
    }
    let now = outpost.clock.now();
    let mut inside = outpost.inside.lock().expect("free");
    if let Some(key) = inside.keys.iter_mut().find(|key| key.id == id) {
        key.until = now;
    }
    drop(inside);
    outpost.says(StatusCode::OK, &json!({}))
}

async fn me(State(outpost): State<Outpost>, headers: HeaderMap) -> Response {
    match outpost.admit("me", &headers) {
        Ok(_) => outpost.says(StatusCode::OK, &json!({ "ok": true })),
        Err(refused) => *refused,
    }
}

/// Writes a definition of the outpost into a directory of the house's.
pub fn define(house: &crate::House, name: &str, text: &str) -> PathBuf {
    let directory = house.path("definitions");
    std::fs::create_dir_all(&directory).expect("made");
    let head = format!(
        "name = \"{name}\"\nabout = \"a test's own\"\nsource = \"https://example.com\"\nchecked = \"2026-11-21\"\nbase_url = \"required\"\n"
    );
    std::fs::write(directory.join(format!("{name}.toml")), format!("{head}{text}")).expect("written");
    directory
}

/// No directory of definitions.
pub fn nowhere() -> &'static Path {
    Path::new("/nonexistent/definitions")
}
