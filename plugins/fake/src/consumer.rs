//! A consumer that never stops calling: what an outage is measured with.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cutover_api::{Clock, Secret};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::signature::Signed;
use crate::store::FakeStore;
use crate::wire::{Delivery, Reply, Request, Server, Service};

/// How long one call to a double may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a consumer presents its key.
#[derive(Clone)]
pub enum Calling {
    /// `GET url` with the key as a bearer: PLANA's dashboard, Wrapd's agent connection.
    Bearer(String),
    /// `GET url` with the key in this header: Wrapd's `/me` with `X-API-Key`.
    Header(String, String),
    /// `POST url` with an event signed with the key: Bondi's emit.
    Emit(String),
    /// No HTTP: this closure says whether the key is accepted. For [`crate::FakeProvider::use_key`].
    InProcess(Arc<dyn Fn(&Secret) -> bool + Send + Sync>),
}

/// Where a consumer reads its keys from when it (re)starts; the order is the order of trying.
pub type Keys = Arc<dyn Fn() -> Vec<Secret> + Send + Sync>;

/// Keys from fields of a path in a [`FakeStore`]; fields that are not there are left out.
#[must_use]
pub fn keys_in_store(store: &FakeStore, path: &str, fields: &[&str]) -> Keys {
    let (store, path) = (store.clone(), path.to_owned());
    let fields: Vec<_> = fields.iter().map(|field| (*field).to_owned()).collect();
    Arc::new(move || fields.iter().filter_map(|field| store.value(&path, field)).collect())
}

/// Keys from lines `NAME=value` of a file, with or without quotes around the value; names that are not there are left out.
#[must_use]
pub fn keys_in_file(path: impl Into<PathBuf>, names: &[&str]) -> Keys {
    let path = path.into();
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    Arc::new(move || {
        let text = Secret::new(std::fs::read_to_string(&path).unwrap_or_default());
        let lines: BTreeMap<_, _> = text.expose().lines().filter_map(|line| line.trim().split_once('=')).collect();
        let value = |name: &String| lines.get(name.as_str()).map(|value| value.trim().trim_matches(['"', '\'']).to_owned());
        names.iter().filter_map(value).filter(|value| !value.is_empty()).map(Secret::new).collect()
    })
}

/// What a consumer has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls made; trying several keys in turn is one call.
    pub calls: u64,
    /// Calls for which every configured key was refused, or none was configured: the outage.
    pub refused: u64,
    /// Calls that got neither yes nor no from the last key tried: the double was not there, or answered something else.
    pub failed: u64,
    /// Calls that the first key tried did not serve but a later one did.
    pub fell_back: u64,
    /// How often the keys were read.
    pub starts: u64,
}

struct Shared {
    read: Keys,
    running: Mutex<Arc<Vec<Secret>>>,
    tally: watch::Sender<Tally>,
}

impl Shared {
    fn running(&self) -> Arc<Vec<Secret>> {
        Arc::clone(&self.running.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn restart(&self) {
        let keys = Arc::new((self.read)());
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = keys;
        self.tally.send_modify(|tally| tally.starts += 1);
    }
}

/// A consumer that never stops calling until it is stopped or dropped.
pub struct Consumer {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    server: Server,
    work: JoinHandle<()>,
}

/// Restarts a consumer from elsewhere: a hook's closure, say.
#[derive(Clone)]
pub struct Restarter {
    shared: Arc<Shared>,
}

impl Restarter {
    /// As [`Consumer::restart`].
    pub fn restart(&self) {
        self.shared.restart();
    }

    /// The fingerprints of the keys it runs with, for a [`crate::FakeWitness`].
    #[must_use]
    pub fn fingerprints(&self) -> Vec<String> {
        fingerprints(&self.shared)
    }
}

impl Consumer {
    /// Starts one: it reads its keys and calls back to back, or with `pace` between the end of one call and the next.
    ///
    /// # Errors
    /// No loopback port for its health page, or no HTTP client.
    pub async fn start(calling: Calling, keys: Keys, clock: Arc<dyn Clock>, pace: Option<Duration>) -> io::Result<Self> {
        let shared = Arc::new(Shared { read: keys, running: Mutex::default(), tally: watch::Sender::new(Tally::default()) });
        shared.restart();
        let server = Server::start(Server::bind().await?, Arc::new(Health(Arc::clone(&shared))))?;
        let caller = Caller { way: Way::of(calling)?, clock: Arc::clone(&clock) };
        let work = tokio::spawn(never_stop(caller, Arc::clone(&shared), pace));
        Ok(Self { shared, clock, server, work })
    }

    /// Reads the keys again. A call that is under way ends with the old ones; every later one uses the new.
    pub fn restart(&self) {
        self.shared.restart();
    }

    /// A handle that restarts it.
    #[must_use]
    pub fn restarter(&self) -> Restarter {
        Restarter { shared: Arc::clone(&self.shared) }
    }

    /// Stops calling. The health page stays.
    pub async fn stop(&mut self) {
        self.work.abort();
        // The task was told to end; how it ended says nothing.
        let _ = (&mut self.work).await;
    }

    /// Everything counted so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        *self.shared.tally.borrow()
    }

    /// How many calls were made.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.tally().calls
    }

    /// For how many calls every configured key was refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.tally().refused
    }

    /// Waits until `n` calls have begun and ended from now on; for ever once it is stopped.
    pub async fn more_calls(&self, n: u64) {
        // The one that may be under way does not count.
        let until = self.calls() + n + 1;
        let mut seen = self.shared.tally.subscribe();
        let _ = seen.wait_for(|tally| tally.calls >= until).await;
    }

    /// Waits until the counters satisfy this; for ever if they never do.
    pub async fn until(&self, holds: impl FnMut(&Tally) -> bool) {
        let mut seen = self.shared.tally.subscribe();
        let _ = seen.wait_for(holds).await;
    }

    /// The fingerprints of the keys it runs with, in the order of trying.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<String> {
        fingerprints(&self.shared)
    }

    /// Where `GET /health/keys` answers `{"fingerprints": ["sha256:…"]}`: the whole URL.
    #[must_use]
    pub fn health_url(&self) -> String {
        format!("{}/health/keys", self.server.base_url())
    }

    /// Whether it would take an action call from Bondi, as Bondi's guard judges it: signed with any key it runs with.
    #[must_use]
    pub fn takes(&self, signed: &Signed, body: &[u8]) -> bool {
        signed.made_by(self.shared.running().iter(), body, self.clock.now()).is_ok()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.work.abort();
    }
}

fn fingerprints(shared: &Shared) -> Vec<String> {
    shared.running().iter().map(|key| key.fingerprint().0).collect()
}

struct Health(Arc<Shared>);

impl Service for Health {
    async fn call(&self, request: Request) -> Delivery {
        Delivery::Whole(match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/health/keys") => Reply::json(200, &json!({ "fingerprints": fingerprints(&self.0) })),
            _ => Reply::error(404, "not_found"),
        })
    }
}

/// What one key got.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Accepted,
    Refused,
    Neither,
}

/// [`Calling`] with what it takes to do it.
enum Way {
    Bearer(reqwest::Client, String),
    Header(reqwest::Client, String, String),
    Emit(reqwest::Client, String),
    InProcess(Arc<dyn Fn(&Secret) -> bool + Send + Sync>),
}

impl Way {
    fn of(calling: Calling) -> io::Result<Self> {
        let client = || {
            let none = reqwest::redirect::Policy::none();
            reqwest::Client::builder().no_proxy().redirect(none).timeout(PATIENCE).build().map_err(io::Error::other)
        };
        Ok(match calling {
            Calling::Bearer(url) => Self::Bearer(client()?, url),
            Calling::Header(url, name) => Self::Header(client()?, url, name),
            Calling::Emit(url) => Self::Emit(client()?, url),
            Calling::InProcess(accepted) => Self::InProcess(accepted),
        })
    }
}

struct Caller {
    way: Way,
    clock: Arc<dyn Clock>,
}

impl Caller {
    async fn call(&self, key: &Secret) -> Answer {
        let request = match &self.way {
            Way::InProcess(accepted) => {
                return if accepted(key) { Answer::Accepted } else { Answer::Refused };
            }
            Way::Bearer(client, url) => client.get(url).bearer_auth(key.expose()),
            Way::Header(client, url, name) => client.get(url).header(name, key.expose()),
            Way::Emit(client, url) => {
                let body = br#"{"event":"tick","data":{}}"#;
                let signed = Signed::new(key, "tick", body, self.clock.now());
                let request = client.post(url).header("x-bondi-timestamp", signed.timestamp);
                request.header("x-bondi-action", signed.action).header("x-bondi-signature", signed.signature).body(&body[..])
            }
        };
        let Ok(reply) = request.send().await else { return Answer::Neither };
        let status = reply.status();
        // Read to the end, so that the connection can be used again.
        let whole = reply.bytes().await.is_ok();
        match status.as_u16() {
            200..=299 if whole => Answer::Accepted,
            401 => Answer::Refused,
            _ => Answer::Neither,
        }
    }

    /// PLANA's procedure: try the first key, fall back to the next only on a 401.
    async fn call_with(&self, keys: &[Secret]) -> (Answer, usize) {
        let mut last = (Answer::Refused, 0);
        for (at, key) in keys.iter().enumerate() {
            last = (self.call(key).await, at);
            if last.0 != Answer::Refused {
                break;
            }
        }
        last
    }
}

async fn never_stop(caller: Caller, shared: Arc<Shared>, pace: Option<Duration>) {
    loop {
        let (answer, at) = caller.call_with(&shared.running()).await;
        shared.tally.send_modify(|tally| {
            tally.calls += 1;
            match answer {
                Answer::Accepted => tally.fell_back += u64::from(at > 0),
                Answer::Refused => tally.refused += 1,
                Answer::Neither => tally.failed += 1,
            }
        });
        match pace {
            Some(pace) => tokio::time::sleep(pace).await,
            None => tokio::task::yield_now().await,
        }
    }
}
