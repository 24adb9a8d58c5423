//! What the tests share: a clock that stands, references from a table, servers that remember what they were asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, StatusCode};
use cutover_api::{
    Call, Clock, GraceAsked, Intent, KeyRecord, KeyRef, Problems, Reader, References, Secret, SecretRef, Span, Stamp,
    Surroundings, Table,
};
use cutover_provider_http::{Definition, HttpProvider};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// 2026-11-21T12:00:00Z.
pub const NOW: Stamp = Stamp(1_795_262_400_000);

/// A clock that stands until it is set.
pub struct Standing(AtomicI64);

impl Standing {
    pub fn set(&self, now: Stamp) {
        self.0.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for Standing {
    fn now(&self) -> Stamp {
        Stamp(self.0.load(Ordering::SeqCst))
    }
}

/// References, by the text of what they name.
#[derive(Default)]
pub struct Held(Mutex<BTreeMap<String, String>>);

impl Held {
    pub fn put(&self, name: &str, value: &str) {
        self.0.lock().expect("not poisoned").insert(name.to_owned(), value.to_owned());
    }
}

impl References for Held {
    fn open(&self, reference: &SecretRef) -> Result<Secret, String> {
        let (SecretRef::Env(name) | SecretRef::File(name) | SecretRef::Credential(name)) = reference;
        let held = self.0.lock().expect("not poisoned");
        held.get(name).map(|value| Secret::new(value.clone())).ok_or_else(|| format!("{reference}: not found: create it"))
    }
}

/// The surroundings, and handles on what is behind them.
pub struct World {
    pub clock: Arc<Standing>,
    pub held: Arc<Held>,
    pub surroundings: Surroundings,
}

impl World {
    pub fn new() -> Self {
        let (clock, held) = (Arc::new(Standing(AtomicI64::new(NOW.0))), Arc::new(Held::default()));
        held.put("session", "session-canary");
        let surroundings = Surroundings { references: held.clone(), clock: clock.clone() };
        Self { clock, held, surroundings }
    }

    /// An account; panics with what is wrong with it.
    pub fn account(&self, definition: &Definition, table: &str) -> HttpProvider {
        self.try_account(definition, table).unwrap_or_else(|wrong| panic!("{wrong:#?}"))
    }

    pub fn try_account(&self, definition: &Definition, table: &str) -> Result<HttpProvider, Vec<String>> {
        let table = Table::parse("c.toml", table).expect("TOML");
        let problems = Problems::default();
        let built = HttpProvider::build(definition, &Reader::new(&table, "provider.x", &problems), &self.surroundings);
        let found: Vec<_> = problems.take().iter().map(ToString::to_string).collect();
        match built {
            Some(built) if found.is_empty() => Ok(built),
            _ => Err(found),
        }
    }

    /// The usual account: one credential, one server.
    pub fn at(&self, definition: &Definition, server: &Server) -> HttpProvider {
        self.account(definition, &format!("credential = {{ file = \"session\" }}\nbase_url = \"{}\"\n", server.url()))
    }
}

/// A shipped definition.
pub fn shipped(name: &str) -> Definition {
    let (_, text) = cutover_provider_http::shipped().iter().find(|(known, _)| *known == name).expect("shipped");
    parsed(&format!("{name}.toml"), text)
}

/// A definition; panics with what is wrong with it.
pub fn parsed(file: &str, text: &str) -> Definition {
    Definition::parse(file, text).unwrap_or_else(|wrong| panic!("{}", lines(&wrong)))
}

pub fn lines(problems: &[cutover_api::Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What a server was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub line: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// What it answers.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

pub fn json(status: u16, body: impl Into<String>) -> Answer {
    Answer { status, headers: vec![("content-type", "application/json".to_owned())], body: body.into() }
}

/// A server on a port of its own; it ends with the test's runtime.
pub struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers each request as `answer` says.
    pub async fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (asked.clone(), Arc::new(answer));
        let router = Router::new().fallback(move |request: Request| {
            let (log, answer) = (log.clone(), answer.clone());
            async move {
                let asked = read(request).await;
                log.lock().expect("not poisoned").push(asked.clone());
                let said = answer(&asked);
                let mut response = Response::builder().status(StatusCode::from_u16(said.status).expect("a status"));
                for (name, value) in said.headers {
                    response = response.header(name, value);
                }
                response.body(Body::from(said.body)).expect("a response")
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, asked }
    }

    /// Reads one request on each connection, writes these bytes, and hangs up.
    pub async fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (log, bytes) = (asked.clone(), Arc::new(bytes.into()));
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (log, bytes) = (log.clone(), bytes.clone());
                tokio::spawn(async move {
                    let mut buffer = vec![0; 65_536];
                    let n = socket.read(&mut buffer).await.unwrap_or(0);
                    if n == 0 {
                        return;
                    }
                    let line = String::from_utf8_lossy(&buffer[..n]).lines().next().unwrap_or_default().to_owned();
                    log.lock().expect("not poisoned").push(Asked { line, headers: BTreeMap::new(), body: String::new() });
                    let _ = socket.write_all(&bytes).await;
                    let _ = socket.shutdown().await;
                });
            }
        });
        Self { address, asked }
    }

    /// Reads requests and never answers.
    pub async fn silent() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let log = asked.clone();
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut buffer = vec![0; 65_536];
                let n = socket.read(&mut buffer).await.unwrap_or(0);
                let line = String::from_utf8_lossy(&buffer[..n]).lines().next().unwrap_or_default().to_owned();
                log.lock().expect("not poisoned").push(Asked { line, headers: BTreeMap::new(), body: String::new() });
                open.push(socket);
            }
        });
        Self { address, asked }
    }

    /// A port on which nobody listens.
    pub async fn absent() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self { address: listener.local_addr().expect("an address"), asked: Arc::default() }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("not poisoned").clone()
    }

    /// How many requests began so: `"POST /rotate"`.
    pub fn count(&self, begin: &str) -> usize {
        self.asked().iter().filter(|asked| asked.line.starts_with(begin)).count()
    }
}

async fn read(request: Request) -> Asked {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    let text = |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Asked {
        line: format!("{} {}", head.method, head.uri),
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    }
}

pub fn intent() -> Intent {
    let until = NOW.plus(Span::hours(24));
    Intent {
        rotation_id: "r-17".to_owned(),
        uuid: "0190e5f6-0000-4000-8000-000000000017".to_owned(),
        nonce: "abcdef012345".to_owned(),
        year: 2026,
        at: NOW,
        grace: Some(GraceAsked { span: Span::hours(24), until }),
        lifetime: None,
    }
}

pub type Params = BTreeMap<String, serde_json::Value>;

pub fn params(given: &[(&str, &str)]) -> Params {
    given.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect()
}

pub fn call<'a>(params: &'a Params, intent: &'a Intent) -> Call<'a> {
    Call { params, intent: Some(intent), signer: None }
}

pub fn record(id: &str) -> KeyRecord {
    KeyRecord { id: Some(id.to_owned()), ..KeyRecord::default() }
}

pub fn key<'a>(record: &'a KeyRecord, secret: Option<&'a Secret>) -> KeyRef<'a> {
    KeyRef { record, secret, outputs: None }
}
