//! What every test here needs.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use cutover_api::{
    Clock, Message, NotifyError, Problems, Reader, References, Secret, SecretRef, Severity, Stamp, Surroundings, Table,
};
use cutover_notify_webhook::WebhookNotifier;
use tokio::net::TcpListener;

/// The credential of these tests; it must never be seen in an error.
pub const CREDENTIAL: &str = "canary-credential-44e0";

/// Hands out the credential, but not from the file "absent", and tells a time that stands still.
struct World;

impl Clock for World {
    fn now(&self) -> Stamp {
        Stamp(1_800_000_000_000)
    }
}

impl References for World {
    fn open(&self, reference: &SecretRef) -> Result<Secret, String> {
        match reference {
            SecretRef::File(path) if path == "absent" => Err("file absent cannot be read".to_owned()),
            _ => Ok(Secret::new(CREDENTIAL.to_owned())),
        }
    }
}

/// A notifier from its table, and what is wrong with it.
pub fn read(text: &str) -> (Option<WebhookNotifier>, String) {
    let table = Table::parse("x.toml", text).expect("valid TOML");
    let problems = Problems::default();
    let world = Arc::new(World);
    let surroundings = Surroundings { references: Arc::<World>::clone(&world), clock: world };
    let made = WebhookNotifier::build(&Reader::new(&table, "notify.ops", &problems), &surroundings);
    (made, problems.take().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

/// A notifier that nothing is wrong with.
pub fn notifier(text: &str) -> WebhookNotifier {
    let (notifier, problems) = read(text);
    assert_eq!(problems, "");
    notifier.expect("nothing is wrong with it")
}

pub fn message() -> Message {
    Message {
        id: "alert-1".to_owned(),
        kind: "held".to_owned(),
        severity: Severity::Critical,
        environment: "prod".to_owned(),
        policies: vec!["crm".to_owned(), "erp".to_owned()],
        rotation: None,
        subject: "[prod] „crm“ is held".to_owned(),
        text: "two\nlines \"quoted\"\n".to_owned(),
        at: "2026-11-21T00:00:00Z".to_owned(),
        facts: serde_json::json!({ "phase": "mint" }),
    }
}

/// Nothing the other side said, and no secret, may stand in an error.
pub fn told(result: Result<(), NotifyError>) -> (&'static str, bool) {
    let error = result.expect_err("not accepted");
    let text = format!("{error} {error:?}");
    assert!(!text.contains("canary"), "{text}");
    (error.label, error.permanent)
}

/// A server that always gives one answer and writes down what it was asked.
#[derive(Clone)]
pub struct Server {
    answer: (u16, &'static str),
    heard: Arc<Mutex<Vec<(String, String)>>>,
    pub port: u16,
}

impl Server {
    pub async fn start(status: u16, body: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let server = Self { answer: (status, body), heard: Arc::default(), port };
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    /// `METHOD /path content-type authorization` and the body of every request.
    pub fn heard(&self) -> Vec<(String, String)> {
        self.heard.lock().expect("no panic holds it").clone()
    }
}

async fn answer(State(server): State<Server>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.expect("a body");
    let header = |name: &str| parts.headers.get(name).map_or("-", |value| value.to_str().expect("text")).to_owned();
    let line = format!("{} {} {} {}", parts.method, parts.uri, header("content-type"), header("authorization"));
    server.heard.lock().expect("no panic holds it").push((line, String::from_utf8_lossy(&body).into_owned()));
    let (status, body) = server.answer;
    (StatusCode::from_u16(status).expect("a status"), [("location", "http://127.0.0.1:1/")], body).into_response()
}

/// A server that does this with its first connection.
pub async fn raw<F>(with: impl FnOnce(tokio::net::TcpStream) -> F + Send + 'static) -> (u16, tokio::task::JoinHandle<F::Output>)
where
    F: Future<Output: Send + 'static> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        with(stream).await
    });
    (port, served)
}

/// A port where nobody listens.
pub async fn nobody() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound").port()
}
