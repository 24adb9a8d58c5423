//! The world outside: providers, a KV store, applications, a place for alerts. All of it is real HTTP over loopback, on threads of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use cutover_api::{Clock, Secret, Stamp};
use cutover_fake::{Plana, Wrapd};
use serde_json::{Value, json};

use crate::delay;

/// How the provider replaces a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// PLANA: both live until the old one is revoked.
    Overlap,
    /// Wrapd: the old one ends by the provider's clock.
    Grace,
}

/// Where the applications read their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// A KV v2 engine over HTTP.
    Vault,
    /// Files on the same disk as the ledger.
    File,
}

/// Keys of one account: what a list of it shows.
pub const OF_ACCOUNT: usize = 20;

/// One path of the KV store.
#[derive(Default)]
struct Page {
    version: u64,
    data: BTreeMap<String, Value>,
    first_read: Option<f64>,
}

#[derive(Default)]
struct Desk {
    pages: Mutex<BTreeMap<String, Page>>,
    calls: AtomicU64,
    /// Where the applications' files are, if they read files.
    files: OnceLock<PathBuf>,
}

enum Double {
    Plana(Plana),
    Wrapd(Wrapd),
}

/// The world outside.
pub struct Town {
    desk: Arc<Desk>,
    doubles: Vec<Double>,
    /// Where each account answers.
    pub accounts: Vec<String>,
    /// The store, the applications and the place for alerts.
    pub address: SocketAddr,
    /// Its threads; kept while it is needed.
    runtime: tokio::runtime::Runtime,
    sort: Sort,
}

impl Town {
    /// A town with `keys` keys at providers that are `away`.
    pub fn new(sort: Sort, keys: usize, clock: &Arc<dyn Clock>, away: Duration) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name(crate::measure::OUTSIDE)
            .enable_all()
            .build()
            .expect("threads");
        let desk = Arc::new(Desk::default());
        let (doubles, accounts, address) = runtime.block_on(async {
            let (mut doubles, mut accounts) = (Vec::new(), Vec::new());
            for _ in 0..keys.div_ceil(OF_ACCOUNT) {
                let (double, url) = match sort {
                    Sort::Overlap => {
                        let plana = Plana::start(Arc::clone(clock)).await;
                        let url = plana.base_url();
                        (Double::Plana(plana), url)
                    }
                    Sort::Grace => {
                        let wrapd = Wrapd::start(Arc::clone(clock)).await;
                        let url = wrapd.base_url();
                        (Double::Wrapd(wrapd), url)
                    }
                };
                doubles.push(double);
                accounts.push(far(url, away).await);
            }
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("bound");
            let app = routes(Arc::clone(&desk));
            tokio::spawn(async move { axum::serve(listener, app).await });
            (doubles, accounts, address)
        });
        Self { desk, doubles, accounts, address, runtime, sort }
    }

    /// The credential of an account.
    pub fn session(&self, account: usize) -> Secret {
        match &self.doubles[account] {
            Double::Plana(plana) => plana.session(),
            Double::Wrapd(wrapd) => wrapd.session(),
        }
    }

    /// Gives application `n` a key: its id and value. It stands in the KV store too.
    pub fn seed(&self, n: usize) -> (String, Secret) {
        let (id, key) = match &self.doubles[n / OF_ACCOUNT] {
            Double::Plana(plana) => plana.seed(&format!("app {n}"), "dashboard:read"),
            Double::Wrapd(wrapd) => wrapd.seed(&format!("app-{n}"), &["read"]),
        };
        let data = BTreeMap::from([("KEY".to_owned(), key.expose().into()), ("OTHER".to_owned(), "kept".into())]);
        self.desk.pages.lock().expect("free").insert(format!("apps/p{n}"), Page { version: 1, data, first_read: None });
        (id, key)
    }

    /// Whether the provider still accepts this key of application `n`.
    pub fn accepts(&self, n: usize, key: &Secret) -> bool {
        match &self.doubles[n / OF_ACCOUNT] {
            Double::Plana(plana) => plana.accepts(key),
            Double::Wrapd(wrapd) => wrapd.accepts(key),
        }
    }

    /// When the first call came to any provider, by the clock of all.
    pub fn first_provider_call(&self) -> Option<Stamp> {
        let first = |double: &Double| match double {
            Double::Plana(plana) => plana.log().first().map(|call| call.at),
            Double::Wrapd(wrapd) => wrapd.log().first().map(|call| call.at),
        };
        self.doubles.iter().filter_map(first).min()
    }

    /// The applications read their keys from files in `dir`.
    pub fn files(&self, dir: PathBuf) {
        self.desk.files.set(dir).expect("said once");
    }

    /// How the provider replaces a key.
    pub const fn sort(&self) -> Sort {
        self.sort
    }

    /// Calls to the store and the applications, and calls to the providers, so far.
    pub fn calls(&self) -> (u64, u64) {
        let of = |double: &Double| {
            let counts = match double {
                Double::Plana(plana) => plana.counts(),
                Double::Wrapd(wrapd) => wrapd.counts(),
            };
            counts.mints + counts.lists + counts.revokes + counts.probes
        };
        (self.desk.calls.load(Ordering::Relaxed), self.doubles.iter().map(of).sum())
    }

    /// Whether the key that stands in the store for application `n` is accepted, and that it is not the one it began with.
    pub fn has_new(&self, n: usize, old: &Secret) -> bool {
        let now = self.desk.key_of(n).map(Secret::new);
        now.is_some_and(|now| !now.same_as(old) && self.accepts(n, &now))
    }

    /// When the key of application `n` was first read in the store, in microseconds since 1970.
    pub fn first_read(&self, n: usize) -> Option<f64> {
        self.desk.pages.lock().expect("free").get(&format!("apps/p{n}"))?.first_read
    }

    /// Ends it.
    pub fn close(self) {
        drop(self.doubles);
        self.runtime.shutdown_background();
    }
}

impl Desk {
    fn count(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    fn key_of(&self, n: usize) -> Option<String> {
        if let Some(dir) = self.files.get() {
            let text = std::fs::read_to_string(dir.join(format!("p{n}.env"))).ok()?;
            return text.lines().find_map(|line| line.strip_prefix("KEY=")).map(str::to_owned);
        }
        let pages = self.pages.lock().expect("free");
        Some(pages.get(&format!("apps/p{n}"))?.data.get("KEY")?.as_str()?.to_owned())
    }
}

/// The same account, `away`.
async fn far(url: String, away: Duration) -> String {
    if away.is_zero() {
        return url;
    }
    let near = url.trim_start_matches("http://").trim_end_matches('/').parse().expect("host and port");
    format!("http://{}", delay::before(near, away).await)
}

fn routes(desk: Arc<Desk>) -> Router {
    let told = || async { StatusCode::OK };
    Router::new()
        .route("/v1/secret/data/{*path}", get(read).post(write))
        .route("/v1/auth/token/lookup-self", get(async || Json(json!({ "data": { "ttl": 0, "renewable": false } }))))
        .route(
            "/v1/sys/internal/ui/mounts/secret",
            get(async || Json(json!({ "data": { "type": "kv", "options": { "version": "2" } } }))),
        )
        .route("/health/{n}", get(health))
        .route("/deploy/{n}", post(deploy))
        .route("/alert", post(told))
        .with_state(desk)
}

async fn read(State(desk): State<Arc<Desk>>, Path(path): Path<String>) -> (StatusCode, Json<Value>) {
    desk.count();
    let mut pages = desk.pages.lock().expect("free");
    match pages.get_mut(&path) {
        None => (StatusCode::NOT_FOUND, Json(json!({ "errors": [] }))),
        Some(page) => {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
            page.first_read.get_or_insert(since.as_secs_f64() * 1e6);
            let metadata = json!({ "version": page.version, "destroyed": false, "deletion_time": "" });
            (StatusCode::OK, Json(json!({ "data": { "data": page.data, "metadata": metadata } })))
        }
    }
}

async fn write(State(desk): State<Arc<Desk>>, Path(path): Path<String>, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    desk.count();
    let mut pages = desk.pages.lock().expect("free");
    let page = pages.entry(path).or_default();
    if body["options"]["cas"].as_u64() != Some(page.version) {
        let error = "check-and-set parameter did not match the current version";
        return (StatusCode::BAD_REQUEST, Json(json!({ "errors": [error] })));
    }
    page.version += 1;
    page.data = serde_json::from_value(body["data"].clone()).unwrap_or_default();
    (StatusCode::OK, Json(json!({ "data": { "version": page.version } })))
}

/// The application names the key that it reads from the store.
async fn health(State(desk): State<Arc<Desk>>, Path(n): Path<usize>) -> Json<Value> {
    desk.count();
    let key = desk.key_of(n).map(|key| Secret::new(key).fingerprint().0);
    Json(json!({ "fingerprint": key }))
}

async fn deploy(State(desk): State<Arc<Desk>>, Path(_): Path<usize>) -> StatusCode {
    desk.count();
    StatusCode::OK
}
