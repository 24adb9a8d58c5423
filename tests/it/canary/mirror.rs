//! A provider, a vault, an application and a receiver of alerts that throw every secret they are given back at whoever asks.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use cutover::engine::WallClock;
use cutover_api::{Clock as _, Secret};
use serde_json::json;

/// What has gone over the wire.
#[derive(Default)]
pub struct Book {
    /// Every key: its policy's case, its id, its value, whether it is alive.
    pub keys: Vec<(String, String, String, bool)>,
    /// When each was made, RFC 3339, by its number.
    pub births: Vec<String>,
    /// Bodies that came to the channel.
    pub alerts: Vec<u8>,
    /// Calls by what they were.
    pub calls: Vec<String>,
    /// Random numbers for the next keys.
    seed: u64,
    /// Where the applications read.
    pub place: PathBuf,
}

/// The server.
#[derive(Clone, Default)]
pub struct Mirror(Arc<Mutex<Book>>);

impl Mirror {
    pub fn with<T>(&self, with: impl FnOnce(&mut Book) -> T) -> T {
        with(&mut self.0.lock().expect("free"))
    }

    /// A new key of a case. Some of its characters are written differently in a URL, in JSON and in HTML.
    pub fn make(&self, case: &str) -> String {
        self.with(|book| {
            let id = format!("id{}", book.keys.len());
            let value = canary(&mut book.seed, "ck_");
            book.keys.push((case.to_owned(), id, value.clone(), true));
            book.births.push(cutover::engine::times::rfc3339(WallClock::real().now()));
            value
        })
    }

    /// Serves until the test ends; returns the port.
    pub async fn start(&self) -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let app = Router::new()
            .route("/{case}/me", axum::routing::get(probe))
            .route("/{case}/keys", axum::routing::get(list).post(issue))
            .route("/{case}/keys/{id}", axum::routing::delete(revoke))
            .route("/health/{case}", axum::routing::get(health))
            .route("/notify", axum::routing::post(notify))
            .route("/v1/{*path}", axum::routing::any(vault))
            .fallback(reflect)
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        port
    }
}

/// A value that stands nowhere by chance.
pub fn canary(seed: &mut u64, prefix: &str) -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/";
    let mut text = prefix.to_owned();
    for place in 0..44 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let letter = LETTERS[usize::try_from(*seed >> 40).unwrap_or_default() % LETTERS.len()];
        // One of each that is escaped somewhere, well inside.
        text.push(if place == 20 {
            '/'
        } else if place == 30 {
            '+'
        } else {
            char::from(letter)
        });
    }
    text
}

/// Everything that was sent and more, as a page.
fn page(status: StatusCode, method: &Method, uri: &str, headers: &HeaderMap, body: &[u8], more: &str) -> Response {
    let shown: String =
        headers.iter().map(|(name, value)| format!("{name}: {}<br>", String::from_utf8_lossy(value.as_bytes()))).collect();
    let body = String::from_utf8_lossy(body);
    let base64 = base64::engine::general_purpose::STANDARD.encode(format!("{shown}{body}{more}"));
    let html = format!(
        "<html><title>{more}</title>{method} {uri}<br>{shown}<pre>{body}</pre>{more} {base64} {}</html>",
        hex::encode(more)
    );
    (status, [(header::CONTENT_TYPE, "text/html")], html).into_response()
}

fn made(id: &str, births: &[String]) -> String {
    let number = id.trim_start_matches("id").parse::<usize>().unwrap_or_default();
    births.get(number).cloned().unwrap_or_default()
}

fn bearer(headers: &HeaderMap) -> String {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.trim_start_matches("Bearer ").to_owned()
}

async fn probe(State(mirror): State<Mirror>, Path(case): Path<String>, headers: HeaderMap) -> Response {
    let shown = bearer(&headers);
    let alive = mirror.with(|book| {
        book.calls.push(format!("probe {case}"));
        book.keys.iter().any(|(_, _, value, alive)| *value == shown && *alive)
    });
    let calls = mirror.with(|book| book.calls.iter().filter(|call| **call == format!("probe {case}")).count());
    if case == "probe500" && calls < 3 {
        return page(StatusCode::INTERNAL_SERVER_ERROR, &Method::GET, "/me", &headers, b"", &shown);
    }
    let status = if alive { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
    page(status, &Method::GET, "/me", &headers, b"", &shown)
}

async fn list(State(mirror): State<Mirror>, Path(case): Path<String>) -> Response {
    let rows = mirror.with(|book| {
        let mine = book.keys.iter().filter(|(of, _, _, alive)| *of == case && *alive);
        mine.map(|(_, id, value, _)| json!({ "id": id, "name": format!("of {case}"), "key": value, "createdAt": made(id, &book.births) })).collect::<Vec<_>>()
    });
    axum::Json(rows).into_response()
}

async fn issue(State(mirror): State<Mirror>, Path(case): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    mirror.with(|book| book.calls.push(format!("issue {case}")));
    let key = mirror.make(&case);
    let id = mirror.with(|book| book.keys.last().map(|(_, id, _, _)| id.clone()).unwrap_or_default());
    let shown = format!("{key} {}", bearer(&headers));
    let reflected = |status| page(status, &Method::POST, &format!("/keys?key={key}"), &headers, &body, &shown);
    match case.as_str() {
        "html500" => reflected(StatusCode::INTERNAL_SERVER_ERROR),
        "html200" => reflected(StatusCode::OK),
        "redirect" => {
            let to = format!("http://127.0.0.1:1/keys?key={}", key.replace('+', "%2B"));
            (StatusCode::FOUND, [(header::LOCATION, to)], shown).into_response()
        }
        "header" => ([("x-new-key", key.clone()), ("set-cookie", format!("key={key}"))], axum::Json(json!({ "id": id })))
            .into_response(),
        "cut" => format!("{{\"id\":\"{id}\",\"key\":\"{key}").into_response(),
        "err400" => {
            let says = json!({ "error": format!("the key {key} is not allowed for {shown}"), "code": key });
            (StatusCode::BAD_REQUEST, axum::Json(says)).into_response()
        }
        "bytes" => [b"\xff\xfe{\"key\":\"".as_slice(), key.as_bytes(), b"\"}"].concat().into_response(),
        "huge" => format!("{{\"id\":\"{id}\",\"key\":\"{key}\",\"more\":\"{}\"}}", shown.repeat(40_000)).into_response(),
        "nokey" => axum::Json(json!({ "id": key, "value": shown })).into_response(),
        "login401" => reflected(StatusCode::UNAUTHORIZED),
        _ => axum::Json(json!({ "id": id, "key": key })).into_response(),
    }
}

async fn revoke(State(mirror): State<Mirror>, Path((case, id)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let (value, first) = mirror.with(|book| {
        let first = !book.calls.contains(&format!("revoke {case}"));
        book.calls.push(format!("revoke {case}"));
        let key = book.keys.iter_mut().find(|(of, its, _, _)| *of == case && *its == id);
        let Some((_, _, value, alive)) = key else { return (String::new(), first) };
        if case != "revoke500" || !first {
            *alive = false;
        }
        (value.clone(), first)
    });
    if case == "revoke500" && first {
        return page(StatusCode::INTERNAL_SERVER_ERROR, &Method::DELETE, &id, &headers, b"", &value);
    }
    page(StatusCode::OK, &Method::DELETE, &id, &headers, b"", &value)
}

/// The application: names what its file holds, as a fingerprint, and says too much beside it.
async fn health(State(mirror): State<Mirror>, Path(case): Path<String>) -> Response {
    let file = mirror.with(|book| book.place.join(format!("{case}.env")));
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let value = text.trim().trim_start_matches("KEY=").trim_matches(['"', '\'']).to_owned();
    let print = Secret::new(value.clone()).fingerprint().0;
    axum::Json(json!({ "fingerprint": print, "debug": value })).into_response()
}

async fn notify(State(mirror): State<Mirror>, headers: HeaderMap, body: Bytes) -> Response {
    let count = mirror.with(|book| {
        book.alerts.extend_from_slice(&body);
        book.calls.push(String::from("notify"));
        book.calls.iter().filter(|call| *call == "notify").count()
    });
    let status = if count % 4 == 1 { StatusCode::BAD_GATEWAY } else { StatusCode::OK };
    page(status, &Method::POST, "/notify", &headers, &body, &bearer(&headers))
}

/// A vault that lets everything be read and nothing be written.
async fn vault(State(mirror): State<Mirror>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
    let path = parts.uri.path().to_owned();
    mirror.with(|book| book.calls.push(format!("vault {} {path}", parts.method)));
    let old =
        mirror.with(|book| book.keys.iter().find(|(case, ..)| case == "vaulterr").map(|key| key.2.clone()).unwrap_or_default());
    if path.ends_with("/capabilities-self") {
        let all = json!(["create", "read", "update", "delete", "list"]);
        return axum::Json(json!({ "capabilities": all, "data": { "capabilities": all } })).into_response();
    }
    if path.contains("/data/") && parts.method == Method::GET {
        let metadata = json!({ "version": 1, "created_time": "2026-01-01T00:00:00Z", "deletion_time": "", "destroyed": false });
        return axum::Json(json!({ "data": { "data": { "KEY": old }, "metadata": metadata } })).into_response();
    }
    if parts.method == Method::GET {
        return axum::Json(
            json!({ "data": { "ttl": 3_600, "renewable": true, "options": { "version": "2" }, "current_version": 1 } }),
        )
        .into_response();
    }
    if !String::from_utf8_lossy(&body).contains("ck_") {
        // The write that must not work, by which it is seen that writing would.
        let says = json!({ "errors": ["check-and-set parameter did not match the current version"] });
        return (StatusCode::BAD_REQUEST, axum::Json(says)).into_response();
    }
    mirror.with(|book| book.calls.push(String::from("vault wrote")));
    page(StatusCode::INTERNAL_SERVER_ERROR, &parts.method, &path, &parts.headers, &body, &old)
}

async fn reflect(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
    page(StatusCode::OK, &parts.method, &parts.uri.to_string(), &parts.headers, &body, &bearer(&parts.headers))
}
