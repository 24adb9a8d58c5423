//! A whole cutover in this process: real engine, ledger, stores, hooks over HTTP; a fast clock; a receiver for alerts and deploys.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use cutover::catalog::Catalog;
use cutover::engine::{Engine, PolicyStatus, References, WallClock};
use cutover_api::{Secret, Stamp, Surroundings};
use cutover_config::Selector;
use cutover_ledger::{HistoryQuery, HistoryRow, Ledger, SealKeys, SqliteLedger};

/// What a deploy does.
pub type Deploy = Arc<dyn Fn() -> bool + Send + Sync>;

#[derive(Clone)]
struct Desk {
    alerts: Arc<Mutex<Vec<serde_json::Value>>>,
    deploy: Arc<Mutex<Option<Deploy>>>,
    deploys: Arc<Mutex<usize>>,
    ear: Arc<Mutex<Option<Deploy>>>,
    refused: Arc<Mutex<usize>>,
}

/// A whole cutover.
pub struct House {
    pub dir: tempfile::TempDir,
    pub clock: Arc<WallClock>,
    pub port: u16,
    desk: Desk,
    seal: Secret,
    engine: Option<Engine>,
    ledger: Option<Arc<SqliteLedger>>,
}

impl House {
    /// A house whose clock runs `speed` times as fast.
    pub async fn new(speed: u32) -> Self {
        let (deploys, refused) = (Arc::default(), Arc::default());
        let desk = Desk { alerts: Arc::default(), deploy: Arc::default(), deploys, ear: Arc::default(), refused };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let app = Router::new().route("/alert", post(alert)).route("/deploy", post(deploy)).with_state(desk.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let dir = tempfile::tempdir().expect("a directory");
        let seal = SealKeys::generate().expect("a key");
        Self { dir, clock: WallClock::fast(speed), port, desk, seal, engine: None, ledger: None }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("readable")
    }

    /// What the deploy hook does from now on; `false` = it fails.
    pub fn on_deploy(&self, deploy: impl Fn() -> bool + Send + Sync + 'static) {
        *self.desk.deploy.lock().expect("free") = Some(Arc::new(deploy));
    }

    pub fn deploys(&self) -> usize {
        *self.desk.deploys.lock().expect("free")
    }

    /// Whether the channel takes an alert, from now on; `false` = it refuses.
    pub fn on_alert(&self, takes: impl Fn() -> bool + Send + Sync + 'static) {
        *self.desk.ear.lock().expect("free") = Some(Arc::new(takes));
    }

    /// How many alerts it refused.
    pub fn refused(&self) -> usize {
        *self.desk.refused.lock().expect("free")
    }

    /// Every alert that was delivered so far.
    pub fn alerts(&self) -> Vec<serde_json::Value> {
        self.desk.alerts.lock().expect("free").clone()
    }

    pub fn alert_kinds(&self) -> Vec<String> {
        self.alerts().iter().map(|alert| alert["kind"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The head every configuration of a test has; the policies come after it.
    pub fn head(&self) -> String {
        format!(
            "[daemon]\nname = \"test\"\nledger = \"sqlite:{dir}/ledger.db\"\nseal = {{ file = \"{dir}/seal\" }}\nlisten = \"\"\n\
             control = \"{dir}/control.sock\"\n[notify.ops]\nkind = \"webhook\"\nseverity = \"info\"\n\
             request = \"POST http://127.0.0.1:{port}/alert\"\n[store.env]\nkind = \"file\"\nroot = \"{dir}\"\n",
            dir = self.dir.path().display(),
            port = self.port,
        )
    }

    fn catalog(&self) -> Catalog {
        let around = Surroundings { references: Arc::new(References::from_environment()), clock: self.clock.clone() };
        Catalog::open(around, Path::new("/nonexistent/definitions")).expect("the shipped definitions")
    }

    /// Starts the engine on this configuration, and on the ledger of the start before.
    pub async fn start(&mut self, config: &str) {
        self.start_on(config, |ledger| ledger).await;
    }

    /// The same, with something between the engine and the ledger.
    pub async fn start_on(&mut self, config: &str, between: impl FnOnce(Arc<dyn Ledger>) -> Arc<dyn Ledger>) {
        let file = self.write("cutover.toml", &format!("{}{config}", self.head()));
        let catalog = self.catalog();
        let config = cutover_config::load(Path::new(&file), &catalog)
            .unwrap_or_else(|problems| panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")));
        let keys = SealKeys::parse(&[self.seal.duplicate()]).expect("a key");
        let now = cutover_api::Clock::now(self.clock.as_ref());
        let ledger = SqliteLedger::open(&self.path("ledger.db"), "test", keys, std::process::id(), now).await;
        let ledger = Arc::new(ledger.expect("a ledger"));
        self.ledger = Some(Arc::clone(&ledger));
        let engine = Engine::start(config, catalog, between(ledger), self.clock.clone()).await.expect("an engine");
        self.engine = Some(engine);
    }

    /// Ends the engine as a stop of the daemon does.
    pub async fn stop(&mut self) {
        if let Some(engine) = self.engine.take() {
            engine.stop().await;
        }
        if let Some(ledger) = self.ledger.take() {
            ledger.close().await.expect("closed");
        }
    }

    /// Starts the engine with definitions of a directory beside the shipped ones and on another clock, and says why it does not start.
    pub async fn try_start(
        &mut self,
        config: &str,
        definitions: &Path,
        clock: Arc<dyn cutover::engine::EngineClock>,
    ) -> Result<(), String> {
        let around = Surroundings { references: Arc::new(References::from_environment()), clock: self.clock.clone() };
        let words =
            |problems: Vec<cutover_api::Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let catalog = Catalog::open(around, definitions).map_err(words)?;
        let file = self.write("cutover.toml", &format!("{}{config}", self.head()));
        let config = cutover_config::load(Path::new(&file), &catalog).map_err(words)?;
        let keys = SealKeys::parse(&[self.seal.duplicate()]).expect("a key");
        let now = cutover_api::Clock::now(clock.as_ref());
        let ledger = SqliteLedger::open(&self.path("ledger.db"), "test", keys, std::process::id(), now).await;
        let ledger = Arc::new(ledger.expect("a ledger"));
        self.ledger = Some(Arc::clone(&ledger));
        self.engine = Some(Engine::start(config, catalog, ledger, clock).await?);
        Ok(())
    }

    /// Takes another configuration over, as SIGHUP does, and answers with what is told of the change.
    pub async fn reload(&self, config: &str) -> Vec<String> {
        let catalog = self.catalog();
        let file = self.write("cutover.toml", &format!("{}{config}", self.head()));
        let config = cutover_config::load(Path::new(&file), &catalog)
            .unwrap_or_else(|problems| panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")));
        self.engine().reload(config, catalog).await.expect("taken")
    }

    /// Waits until the house's clock has gone on by so much.
    pub async fn pass(&self, span: cutover_api::Span) {
        let until = cutover_api::Clock::now(self.clock.as_ref()).plus(span);
        while cutover_api::Clock::now(self.clock.as_ref()) < until {
            cutover::engine::EngineClock::sleep_until(self.clock.as_ref(), until).await;
        }
    }

    /// Waits until the policy's rotation is held for this reason.
    pub async fn held(&self, policy: &str, why: &str) -> cutover::engine::HeldStatus {
        let status = self.until(policy, |status| status.held.as_ref().is_some_and(|held| held.why == why)).await;
        status.held.expect("held")
    }

    /// A sealed value of a rotation, opened.
    pub async fn unsealed(&self, rotation: &str, slot: &str) -> Option<Secret> {
        self.engine().ledger().unseal(rotation, slot).await.expect("readable")
    }

    pub fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("started")
    }

    pub async fn history(&self) -> Vec<HistoryRow> {
        let ledger = self.ledger.as_ref().expect("started");
        ledger.history(&HistoryQuery::default()).await.expect("a history")
    }

    pub async fn history_kinds(&self) -> Vec<String> {
        self.history().await.into_iter().map(|row| row.entry.kind).collect()
    }

    /// Orders a rotation of one policy and returns its id.
    pub async fn rotate(&self, policy: &str) -> String {
        let selector = Selector { policies: vec![policy.to_owned()], ..Selector::default() };
        let started = self.engine().rotate(&selector, "test", None).await;
        started[0].rotation.clone().unwrap_or_else(|| panic!("{started:?}"))
    }

    pub fn status(&self, policy: &str) -> PolicyStatus {
        let selector = Selector { policies: vec![policy.to_owned()], ..Selector::default() };
        self.engine().status(&selector).pop().expect("a policy")
    }

    /// Waits until the policy's status is as wanted; tells how it stands when that takes too long.
    pub async fn until(&self, policy: &str, wanted: impl Fn(&PolicyStatus) -> bool) -> PolicyStatus {
        let waiting = async {
            loop {
                let status = self.status(policy);
                if wanted(&status) {
                    return status;
                }
                let now = cutover_api::Clock::now(self.clock.as_ref());
                self.engine().progressed(Stamp(now.0 + 60_000)).await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(60), waiting).await {
            Ok(status) => status,
            Err(_) => {
                let history: Vec<String> = self
                    .history()
                    .await
                    .iter()
                    .map(|row| format!("{} {} {}", row.entry.at.0, row.entry.kind, row.entry.facts))
                    .collect();
                panic!("{policy} does not get there: {:#?}\n{}", self.status(policy), history.join("\n"));
            }
        }
    }

    /// Waits until the policy is idle again.
    pub async fn closed(&self, policy: &str) -> PolicyStatus {
        self.until(policy, |status| status.phase == "idle" && status.ended.is_some()).await
    }

    /// Waits until an alert of this kind was delivered.
    pub async fn alerted(&self, kind: &str) -> serde_json::Value {
        let waiting = async {
            loop {
                if let Some(alert) = self.alerts().into_iter().find(|alert| alert["kind"] == kind) {
                    return alert;
                }
                tokio::task::yield_now().await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(30), waiting).await {
            Ok(alert) => alert,
            Err(_) => panic!("no alert of kind {kind}: {:?}", self.alert_kinds()),
        }
    }
}

async fn alert(State(desk): State<Desk>, body: axum::body::Bytes) -> axum::http::StatusCode {
    let alert = serde_json::from_slice(&body).expect("an alert is JSON");
    let ear = desk.ear.lock().expect("free").clone();
    if ear.is_some_and(|takes| !takes()) {
        *desk.refused.lock().expect("free") += 1;
        return axum::http::StatusCode::SERVICE_UNAVAILABLE;
    }
    desk.alerts.lock().expect("free").push(alert);
    axum::http::StatusCode::OK
}

async fn deploy(State(desk): State<Desk>) -> axum::http::StatusCode {
    *desk.deploys.lock().expect("free") += 1;
    let deploy = desk.deploy.lock().expect("free").clone();
    if deploy.is_none_or(|deploy| deploy()) { axum::http::StatusCode::OK } else { axum::http::StatusCode::BAD_REQUEST }
}
