//! A scripted server on a raw socket, for what a real one does not do on demand, and what else the tests share.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cutover_api::{
    Change, Clock, Outcome, Problems, Reader, References, Secret, SecretRef, Span, Stamp, Store, Surroundings, Table,
    TargetSpec,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::VaultStore;
use crate::settings::Settings;
use crate::wire::Patience;

/// What the server saw of one request.
#[derive(Clone)]
pub(super) struct Seen {
    /// `GET /v1/secret/data/x`.
    pub(super) line: String,
    /// Names in small letters.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

/// What the server does.
pub(super) enum Act {
    /// Status, further headers, body.
    Reply(u16, &'static str, String),
    /// Never answers.
    Hang,
    /// Sends these bytes and closes.
    Cut(&'static str),
}

/// A JSON reply.
pub(super) fn json(status: u16, body: &str) -> Act {
    Act::Reply(status, "Content-Type: application/json\r\n", body.to_owned())
}

/// A version of the secret with this JSON in it.
pub(super) fn version(version: u64, data: &str) -> Act {
    json(200, &format!(r#"{{"request_id":"r","data":{{"data":{data},"metadata":{{"version":{version},"destroyed":false}}}}}}"#))
}

/// The reply to a write.
pub(super) fn wrote(version: u64) -> Act {
    json(200, &format!(r#"{{"data":{{"version":{version},"created_time":"2026-01-01T00:00:00Z"}}}}"#))
}

/// The reply to a login or a renewal.
pub(super) fn grant(token: &str, lease: u32) -> Act {
    json(200, &format!(r#"{{"auth":{{"client_token":"{token}","lease_duration":{lease},"renewable":true,"policies":["p"]}}}}"#))
}

/// The server.
pub(super) struct Fake {
    pub(super) address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Fake {
    pub(super) async fn start(script: impl FnMut(&Seen) -> Act + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (script, log) = (Arc::new(Mutex::new(script)), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, log) = (Arc::clone(&script), Arc::clone(&log));
                tokio::spawn(async move {
                    let Some((mut stream, request)) = request(stream).await else { return };
                    log.lock().expect("log").push(request.clone());
                    let act = (script.lock().expect("script"))(&request);
                    match act {
                        Act::Reply(status, headers, body) => {
                            let length = body.len();
                            let head = format!(
                                "HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
                            );
                            // The other side may hang up on an over-long reply.
                            let _ = stream.write_all(head.as_bytes()).await;
                            let _ = stream.write_all(body.as_bytes()).await;
                        }
                        Act::Hang => std::future::pending().await,
                        Act::Cut(bytes) => {
                            let _ = stream.write_all(bytes.as_bytes()).await;
                        }
                    }
                });
            }
        });
        Self { address, seen }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("log").clone()
    }

    /// How many requests began so.
    pub(super) fn count(&self, line: &str) -> usize {
        self.seen().iter().filter(|seen| seen.line.starts_with(line)).count()
    }
}

async fn request(mut stream: TcpStream) -> Option<(TcpStream, Seen)> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
            let headers: BTreeMap<_, _> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            let length = headers.get("content-length").map_or(0, |length| length.parse().expect("a length"));
            if body.len() >= length {
                return Some((stream, Seen { line, headers, body: body.to_owned() }));
            }
        }
        let mut piece = [0; 4_096];
        match stream.read(&mut piece).await {
            Ok(read) if read > 0 => bytes.extend_from_slice(&piece[..read]),
            _ => return None,
        }
    }
}

/// A clock that stands until it is moved.
pub(super) struct Hand(AtomicI64);

impl Hand {
    pub(super) fn forward(&self, span: Span) {
        self.0.fetch_add(span.0, Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn now(&self) -> Stamp {
        Stamp(self.0.load(Ordering::Relaxed))
    }
}

struct Named;

impl References for Named {
    fn open(&self, reference: &SecretRef) -> Result<Secret, String> {
        match reference {
            SecretRef::Env(name) if name == "MISSING" => Err(format!("environment variable {name} is not set; set it")),
            SecretRef::Env(name) | SecretRef::File(name) | SecretRef::Credential(name) => {
                Ok(Secret::new(format!("opened-{name}")))
            }
        }
    }
}

/// A store that talks to `address`, and the clock it lives by.
pub(super) fn store(address: &str, more: &str) -> (VaultStore, Arc<Hand>) {
    patient(address, more, Duration::from_secs(30))
}

/// One that soon gives up, for servers that never answer.
pub(super) fn hasty(address: &str, more: &str) -> (VaultStore, Arc<Hand>) {
    patient(address, more, Duration::from_millis(1_500))
}

fn patient(address: &str, more: &str, total: Duration) -> (VaultStore, Arc<Hand>) {
    let table = Table::parse("c.toml", &format!("kind = \"vault\"\naddress = \"{address}\"\n{more}\n")).expect("valid TOML");
    let problems = Problems::default();
    let settings = Settings::read(&Reader::new(&table, "store.v", &problems));
    let told: Vec<_> = problems.take().iter().map(ToString::to_string).collect();
    let clock = Arc::new(Hand(AtomicI64::new(1_000_000_000)));
    let surroundings = Surroundings { references: Arc::new(Named), clock: Arc::clone(&clock) as Arc<dyn Clock> };
    let patience = Patience { connect: Duration::from_secs(20), total };
    (VaultStore::new(settings.unwrap_or_else(|| panic!("{told:?}")), surroundings, patience), clock)
}

pub(super) const TOKEN: &str = "auth = { method = \"token\", token = { env = \"TOKEN\" } }";
pub(super) const APPROLE: &str = "auth = { method = \"approle\", role_id = \"r\", secret_id = { env = \"SID\" } }";

pub(super) fn target(path: &str) -> TargetSpec {
    TargetSpec { path: path.to_owned(), bare: false, options: BTreeMap::new() }
}

/// What an outcome says, in a line: `done …`, or its text.
pub(super) fn told<T>(outcome: Outcome<T>, show: impl Fn(T) -> String) -> String {
    match outcome {
        Outcome::Done(value) => format!("done {}", show(value)),
        Outcome::Refused(refusal) => format!("refused {refusal}"),
        Outcome::Unknown(cause) => format!("unknown {cause}"),
    }
}

pub(super) async fn read(store: &VaultStore, path: &str) -> String {
    let outcome = store.read(&target(path), &BTreeSet::from(["KEY".to_owned()])).await;
    told(outcome, |reading| {
        let key = reading.fields.get("KEY").map(|key| key.expose().to_owned());
        format!("{key:?} at {:?}", reading.version)
    })
}

pub(super) async fn prove(store: &VaultStore, path: &str) -> String {
    told(store.prove(&target(path)).await, |()| "proof".to_owned())
}

pub(super) async fn write(store: &VaultStore, path: &str, expected: Option<&str>) -> String {
    let value = Secret::new("planted-new-value".to_owned());
    let change = Change {
        set: BTreeMap::from([("KEY".to_owned(), &value)]),
        remove: BTreeSet::new(),
        expected: expected.map(str::to_owned),
        rotation: "0b8f6a52-3d1e-4c57-9a64-5f2f1e0c7d01".to_owned(),
    };
    told(store.write(&target(path), change).await, |version| format!("{version:?}"))
}

/// Collects what is logged.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("log")).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("log").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
