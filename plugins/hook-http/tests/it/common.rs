//! What every test here needs.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use cutover_api::{Clock, Problems, Reader, References, Secret, SecretRef, Stamp, Surroundings, Table};
use tokio::net::TcpListener;

/// The credential of these tests; it must never be seen in an outcome.
pub const CREDENTIAL: &str = "canary-credential-91c2";

/// Hands out the credential, or says why not, and tells a time that stands still.
struct World(Result<(), String>);

impl Clock for World {
    fn now(&self) -> Stamp {
        Stamp(1_800_000_000_000)
    }
}

impl References for World {
    fn open(&self, _: &SecretRef) -> Result<Secret, String> {
        self.0.clone().map(|()| Secret::new(CREDENTIAL.to_owned()))
    }
}

/// Builds something from its table; what is wrong with it comes beside it.
pub fn built<T>(text: &str, path: &str, build: impl FnOnce(&Reader<'_>, &Surroundings) -> Option<T>) -> (Option<T>, String) {
    built_in(Ok(()), text, path, build)
}

/// The same, in a world where the credential can be opened, or not.
pub fn built_in<T>(
    credential: Result<(), String>,
    text: &str,
    path: &str,
    build: impl FnOnce(&Reader<'_>, &Surroundings) -> Option<T>,
) -> (Option<T>, String) {
    let table = Table::parse("x.toml", text).expect("valid TOML");
    let problems = Problems::default();
    let world = Arc::new(World(credential));
    let surroundings = Surroundings { references: Arc::<World>::clone(&world), clock: world };
    let made = build(&Reader::new(&table, path, &problems), &surroundings);
    (made, problems.take().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

/// One answer of a server.
pub type Answer = (u16, &'static str);

/// A server that gives its answers in order, the last one again and again, and writes down what it was asked.
#[derive(Clone, Default)]
pub struct Server {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    heard: Arc<Mutex<Vec<String>>>,
    pub port: u16,
}

impl Server {
    pub async fn start(answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let server = Self { answers: Arc::new(Mutex::new(answers.iter().copied().collect())), heard: Arc::default(), port };
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    /// `METHOD /path authorization body` of every request.
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("no panic holds it").clone()
    }
}

async fn answer(State(server): State<Server>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = to_bytes(body, 1 << 20).await.expect("a body");
    let authorization = parts.headers.get("authorization").map_or("-", |value| value.to_str().expect("text"));
    let line = format!("{} {} {authorization} {}", parts.method, parts.uri, String::from_utf8_lossy(&body));
    server.heard.lock().expect("no panic holds it").push(line);
    let mut answers = server.answers.lock().expect("no panic holds it");
    let (status, body) = if answers.len() > 1 { answers.pop_front() } else { answers.front().copied() }.expect("an answer");
    let location = [("location", "http://127.0.0.1:1/elsewhere"), ("x-key", "sha256:0011223344556677")];
    (StatusCode::from_u16(status).expect("a status"), location, body).into_response()
}

/// A server that accepts one connection and does this with it.
pub async fn raw<F>(with: impl FnOnce(tokio::net::TcpStream) -> F + Send + 'static) -> u16
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        with(stream).await;
    });
    port
}

/// A port where nobody listens.
pub async fn nobody() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound").port()
}
