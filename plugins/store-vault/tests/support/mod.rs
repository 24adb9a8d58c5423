//! Starts the real server, talks to it as its root, and builds stores that talk to it as cutover does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use cutover_api::{
    Change, Clock, Outcome, Problems, Reader, Reading, References, Secret, SecretRef, Span, Stamp, Store, Surroundings, Table,
    TargetSpec,
};
use cutover_store_vault::VaultStore;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// A running server, ended when this is dropped.
pub struct Server {
    process: Child,
    pub address: String,
    pub home: tempfile::TempDir,
    root: String,
    client: reqwest::Client,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The server's program; `None`, said on standard error, where there is none and that is allowed.
fn program() -> Option<PathBuf> {
    let cache = || {
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
        let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
        std::env::var_os("CUTOVER_TEST_CACHE").map(PathBuf::from).or_else(|| base.map(|base| base.join("cutover-tests")))
    };
    let named = std::env::var_os("CUTOVER_TEST_BAO").map(PathBuf::from);
    let program = named.or_else(|| cache().map(|cache| cache.join("bin/bao"))).filter(|program| program.is_file());
    if program.is_none() {
        assert!(std::env::var_os("CI").is_none(), "no Vault-compatible server: run tests/servers install");
        eprintln!("skipped: no Vault-compatible server; tests/servers install builds one");
    }
    program
}

impl Server {
    /// A server in dev mode: unsealed, KV v2 at `secret/`, everything in memory.
    pub async fn dev() -> Option<Self> {
        let arguments = |port: u16, _: &tempfile::TempDir| {
            ["server", "-dev", "-dev-root-token-id=root", &format!("-dev-listen-address=127.0.0.1:{port}")]
                .map(str::to_owned)
                .to_vec()
        };
        Self::start("http", reqwest::Client::builder().no_proxy(), arguments).await
    }

    /// A sealed, not yet initialised server that speaks TLS with `cert.pem` and `key.pem`.
    pub async fn tls(ca: &str, cert: &str, key: &str) -> Option<Self> {
        let ca = reqwest::Certificate::from_pem(ca.as_bytes()).expect("a CA");
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([ca]);
        let arguments = |port: u16, home: &tempfile::TempDir| {
            let place = |name: &str| home.path().join(name).display().to_string();
            std::fs::write(place("cert.pem"), cert).expect("written");
            std::fs::write(place("key.pem"), key).expect("written");
            let config = format!(
                "storage \"inmem\" {{}}\ndisable_mlock = true\nlistener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  \
                 tls_cert_file = \"{}\"\n  tls_key_file = \"{}\"\n}}\n",
                place("cert.pem"),
                place("key.pem")
            );
            std::fs::write(place("server.hcl"), config).expect("written");
            vec!["server".to_owned(), format!("-config={}", place("server.hcl"))]
        };
        Self::start("https", client, arguments).await
    }

    async fn start(
        scheme: &str,
        client: reqwest::ClientBuilder,
        arguments: impl Fn(u16, &tempfile::TempDir) -> Vec<String>,
    ) -> Option<Self> {
        let program = program()?;
        let client = client.build().expect("a client");
        for _ in 0..5 {
            let home = tempfile::tempdir().expect("a directory");
            // Between here and the server's own bind another process may take the port: then the next one is tried.
            let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
            let process = Command::new(&program)
                .args(arguments(port, &home))
                .env_clear()
                .env("HOME", home.path())
                .current_dir(home.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("the server starts");
            let address = format!("{scheme}://127.0.0.1:{port}");
            let mut server = Self { process, address, home, root: "root".to_owned(), client: client.clone() };
            if server.answers().await {
                return Some(server);
            }
        }
        panic!("the server does not start");
    }

    /// Waits until it answers at all; false when it ended.
    async fn answers(&mut self) -> bool {
        for _ in 0..600 {
            if self.process.try_wait().expect("its state").is_some() {
                return false;
            }
            let url = format!("{}/v1/sys/health?uninitcode=200&sealedcode=200", self.address);
            if self.client.get(url).send().await.is_ok_and(|reply| reply.status() == StatusCode::OK) {
                return true;
            }
            // Between two looks: the condition decides, not the span.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server did not answer in time");
    }

    /// Initialises a new server. Answers with the unseal key.
    pub async fn init(&mut self) -> String {
        let (_, made) = self.ask("PUT", "sys/init", json!({"secret_shares": 1, "secret_threshold": 1})).await;
        self.root = made["root_token"].as_str().expect("a token").to_owned();
        made["keys"][0].as_str().expect("a key").to_owned()
    }

    /// One call as root; status and body.
    pub async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let (status, text) = self.ask_text(method, path, body.to_string()).await;
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// One call as root, body and reply to the letter.
    pub async fn ask_text(&self, method: &str, path: &str, body: String) -> (u16, String) {
        let request = self.client.request(Method::from_bytes(method.as_bytes()).expect("a method"), self.url(path));
        let reply = request.header("x-vault-token", &self.root).body(body).send().await.expect("a reply");
        (reply.status().as_u16(), reply.text().await.expect("a body"))
    }

    fn url(&self, path: &str) -> String {
        format!("{}/v1/{path}", self.address)
    }

    /// One call as root that must succeed.
    pub async fn must(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, reply) = self.ask(method, path, body).await;
        assert!((200..300).contains(&status), "{method} {path}: {status}");
        reply
    }

    /// The newest version's number of a path of `secret/`, 0 where there is no such path.
    pub async fn versions(&self, path: &str) -> u64 {
        let (_, reply) = self.ask("GET", &format!("secret/metadata/{path}"), Value::Null).await;
        reply["data"]["current_version"].as_u64().unwrap_or(0)
    }

    /// An AppRole whose tokens have `policy`; answers with the store's `auth` and its secret id.
    pub async fn approle(&self, policy: &str, role: Value) -> (String, String) {
        self.ask("POST", "sys/auth/approle", json!({"type": "approle"})).await;
        self.must("PUT", "sys/policies/acl/app", json!({"policy": policy})).await;
        self.must("POST", "auth/approle/role/app", role).await;
        let id = self.must("GET", "auth/approle/role/app/role-id", Value::Null).await;
        let secret = self.must("POST", "auth/approle/role/app/secret-id", json!({})).await;
        let id = id["data"]["role_id"].as_str().expect("an id");
        let secret = secret["data"]["secret_id"].as_str().expect("a secret").to_owned();
        (format!("auth = {{ method = \"approle\", role_id = \"{id}\", secret_id = {{ env = \"SECRET\" }} }}"), secret)
    }

    /// The accessors of all tokens but root's.
    pub async fn accessors(&self) -> Vec<String> {
        let all = self.must("LIST", "auth/token/accessors", Value::Null).await;
        let mut found = Vec::new();
        for accessor in all["data"]["keys"].as_array().expect("a list") {
            let (status, token) = self.ask("POST", "auth/token/lookup-accessor", json!({"accessor": accessor})).await;
            if status == 200 && token["data"]["policies"] != json!(["root"]) {
                found.push(accessor.as_str().expect("a text").to_owned());
            }
        }
        found
    }

    /// What the server knows of a token; `Null` once it is dead.
    pub async fn token(&self, accessor: &str) -> Value {
        let (_, token) = self.ask("POST", "auth/token/lookup-accessor", json!({"accessor": accessor})).await;
        token["data"].clone()
    }

    /// A store that talks to this server; `{ env = "SECRET" }` opens to `secret`.
    pub fn store(&self, more: &str, secret: &str) -> (VaultStore, Arc<Hand>) {
        let text = format!("kind = \"vault\"\naddress = \"{}\"\n{more}\n", self.address);
        let table = Table::parse("c.toml", &text).expect("valid TOML");
        let problems = Problems::default();
        let clock = Arc::new(Hand(AtomicI64::new(1_000_000_000)));
        let references = Arc::new(One(secret.to_owned()));
        let surroundings = Surroundings { references, clock: Arc::clone(&clock) as Arc<dyn Clock> };
        let store = VaultStore::build(&Reader::new(&table, "store.v", &problems), &surroundings);
        let told: Vec<_> = problems.take().iter().map(ToString::to_string).collect();
        (store.unwrap_or_else(|| panic!("{told:?}")), clock)
    }

    /// A store that logs in as root.
    pub fn root_store(&self, more: &str) -> VaultStore {
        self.store(&format!("{TOKEN}\n{more}"), &self.root).0
    }
}

pub const TOKEN: &str = "auth = { method = \"token\", token = { env = \"SECRET\" } }";

/// A clock that stands until it is moved.
pub struct Hand(AtomicI64);

impl Hand {
    pub fn forward(&self, span: Span) {
        self.0.fetch_add(span.0, Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn now(&self) -> Stamp {
        Stamp(self.0.load(Ordering::Relaxed))
    }
}

struct One(String);

impl References for One {
    fn open(&self, _: &SecretRef) -> Result<Secret, String> {
        Ok(Secret::new(self.0.clone()))
    }
}

pub fn target(path: &str) -> TargetSpec {
    TargetSpec { path: path.to_owned(), bare: false, options: BTreeMap::new() }
}

pub fn done<T>(outcome: Outcome<T>) -> T {
    match outcome {
        Outcome::Done(value) => value,
        Outcome::Refused(refusal) => panic!("refused: {refusal}"),
        Outcome::Unknown(cause) => panic!("{cause}"),
    }
}

/// The text of a refusal.
pub fn refused<T>(outcome: Outcome<T>) -> String {
    match outcome {
        Outcome::Refused(refusal) => refusal.to_string(),
        Outcome::Done(_) => panic!("done"),
        Outcome::Unknown(cause) => panic!("{cause}"),
    }
}

pub async fn read(store: &VaultStore, path: &str) -> Outcome<Reading> {
    store.read(&target(path), &BTreeSet::from(["KEY".to_owned()])).await
}

pub async fn write(store: &VaultStore, path: &str, value: &str, expected: Option<&str>) -> Outcome<Option<String>> {
    let value = Secret::new(value.to_owned());
    let change = Change {
        set: BTreeMap::from([("KEY".to_owned(), &value)]),
        remove: BTreeSet::new(),
        expected: expected.map(str::to_owned),
        rotation: "0b8f6a52-3d1e-4c57-9a64-5f2f1e0c7d01".to_owned(),
    };
    store.write(&target(path), change).await
}

/// The field and the version, as text.
pub fn shown(reading: &Reading) -> String {
    let key = reading.fields.get("KEY").map_or("nothing", |key| key.expose());
    format!("{key} at {}", reading.version.as_deref().unwrap_or("no version"))
}
