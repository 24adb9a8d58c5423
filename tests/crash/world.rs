//! One daemon with everything around it: a provider, an application that never stops calling, a person who answers.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cutover::control::wire::{Ask, Decision, Standing};
use cutover::control::{Client, Reached};
use cutover::engine::{PolicyStatus, WallClock};
use cutover_api::{Clock as _, Secret, Stamp};
use cutover_config::Selector;
use cutover_fake::{Consumer, keys_in_file};
use cutover_ledger::{SealKeys, SqliteLedger};

use crate::provider::{Kind, Person, Provider};
use crate::tracer::{Deed, Traced};

/// Between two calls of the application.
const PACE: Option<Duration> = Some(Duration::from_millis(20));
/// Between two looks at the daemon.
const LOOK: Duration = Duration::from_millis(60);
/// How long a daemon may take to get to rest, however slow the machine is.
const PATIENCE: Duration = Duration::from_secs(120);
/// The longest silence of a daemon that is asked.
const IDLE: Duration = Duration::from_secs(5);
/// The policy.
const POLICY: &str = "crm";

/// How a run of the daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It died.
    Died,
    /// The rotation is over, or only the provider's clock is left.
    AtRest,
}

/// What a person had to do.
#[derive(Default)]
pub struct Decided {
    /// Held for these reasons, each told by status.
    pub held: Vec<String>,
    /// Ordered a further mint, knowing what dies: from then on the application may be refused until it has the new key. How many of its
    /// calls had been refused until then.
    pub mint_again: Option<u64>,
    /// The key that was made by hand.
    pub made: Option<Secret>,
    /// The old key was ended by hand.
    pub ended: bool,
}

/// A world.
pub struct World {
    pub kind: Kind,
    pub dir: tempfile::TempDir,
    pub clock: Arc<WallClock>,
    pub provider: Provider,
    pub old_id: String,
    pub old: Secret,
    /// Reads its keys when it is redeployed.
    pub app: Consumer,
    /// Reads its keys all the time.
    pub reader: Consumer,
    pub decided: Mutex<Decided>,
    /// How often the daemon was killed.
    deaths: AtomicU32,
    alerts: Arc<Mutex<Vec<serde_json::Value>>>,
    /// When the application was first redeployed with another key than the old one.
    pub renewed: Arc<Mutex<Option<Stamp>>>,
    reading: tokio::task::JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl World {
    pub async fn new(kind: Kind) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["providers", "durable"] {
            std::fs::create_dir(dir.path().join(name)).expect("made");
        }
        let clock = WallClock::real();
        let (provider, old_id, old) = Provider::start(kind, clock.clone()).await;
        let target = dir.path().join("app.env");
        std::fs::write(&target, format!("# the app\nKEY={}\nOTHER=kept\n", old.expose())).expect("written");
        std::fs::copy(&target, dir.path().join("durable/app.env")).expect("copied");
        let keys = || keys_in_file(target.clone(), &["KEY_NEW", "KEY"]);
        let app = Consumer::start(provider.calling(), keys(), clock.clone(), PACE).await.expect("a consumer");
        let reader = Consumer::start(provider.calling(), keys(), clock.clone(), PACE).await.expect("a consumer");
        let (alerts, renewed) = (Arc::default(), Arc::default());
        let again = reader.restarter();
        let reading = tokio::spawn(async move {
            loop {
                again.restart();
                // The pace of an application that reads its file at every use.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let world = Self {
            kind,
            dir,
            clock,
            provider,
            old_id,
            old,
            app,
            reader,
            decided: Mutex::default(),
            deaths: AtomicU32::new(0),
            alerts,
            renewed,
            reading,
        };
        world.configure(world.desk().await);
        world
    }

    /// The place that alerts and redeploys come to; its port.
    async fn desk(&self) -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (restarter, renewed, clock) = (self.app.restarter(), Arc::clone(&self.renewed), self.clock.clone());
        let old = self.old.fingerprint().0;
        let deploy = move || {
            restarter.restart();
            let mut renewed = renewed.lock().expect("free");
            if renewed.is_none() && restarter.fingerprints().first().is_some_and(|print| *print != old) {
                *renewed = Some(clock.now());
            }
            std::future::ready(())
        };
        let alerts = Arc::clone(&self.alerts);
        let alert = move |body: axum::body::Bytes| {
            alerts.lock().expect("free").push(serde_json::from_slice(&body).expect("an alert is JSON"));
            std::future::ready(())
        };
        let app = axum::Router::new().route("/deploy", axum::routing::post(deploy)).route("/alert", axum::routing::post(alert));
        tokio::spawn(async move { axum::serve(listener, app).await });
        port
    }

    fn configure(&self, port: u16) {
        let (name, definition) = self.kind.definition();
        std::fs::write(self.path("providers").join(format!("{name}.toml")), definition).expect("written");
        std::fs::write(self.path("seal"), SealKeys::generate().expect("a key").expose()).expect("written");
        std::fs::write(self.path("session"), self.provider.session().expose()).expect("written");
        let dir = self.dir.path().display();
        let session = self.path("session").display().to_string();
        let (account, own) = self.kind.lines(&self.provider.base_url(), &session, &self.old_id);
        let hook = if self.kind.by_command() {
            format!("kind = \"command\"\nrun = [\"{}\"]\n", self.hook(port))
        } else {
            format!("kind = \"http\"\nrequest = \"POST http://127.0.0.1:{port}/deploy\"\n")
        };
        let config = format!(
            "[daemon]\nname = \"test\"\nledger = \"sqlite:{dir}/ledger.db\"\nseal = {{ file = \"{dir}/seal\" }}\nlisten = \"\"\n\
             control = \"{dir}/control.sock\"\n[store.app]\nkind = \"file\"\nroot = \"{dir}\"\n\
             [notify.ops]\nkind = \"webhook\"\nseverity = \"info\"\nrequest = \"POST http://127.0.0.1:{port}/alert\"\n\
             {account}[policy.{POLICY}]\nprovider = \"it\"\ncadence = \"1y\"\nquiet = \"1s\"\n{own}\
             [[policy.{POLICY}.target]]\nstore = \"app\"\npath = \"app.env\"\nfields = {{ KEY = \"{{{{ new.secret }}}}\" }}\n{during}\
             [[policy.{POLICY}.redeploy]]\n{hook}timeout = \"10s\"\n\
             [[policy.{POLICY}.verify]]\nkind = \"consumer\"\nrequest = \"GET {health}\"\nfingerprint = \"/fingerprints/0\"\nevery = \"1s\"\n",
            during = self.kind.during(),
            health = self.app.health_url(),
        );
        std::fs::write(self.path("cutover.toml"), config).expect("written");
    }

    /// A program that redeploys the application: it knocks at the desk and waits for the answer.
    fn hook(&self, port: u16) -> String {
        let path = self.path("deploy");
        let script = format!(
            "#!/bin/bash\nexec 3<>/dev/tcp/127.0.0.1/{port}\nprintf 'POST /deploy HTTP/1.0\\r\\nContent-Length: 0\\r\\n\\r\\n' >&3\ngrep -q ' 200 ' <&3\n"
        );
        std::fs::write(&path, script).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
        path.display().to_string()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The value of a field of the target.
    pub fn field(&self, name: &str) -> Option<Secret> {
        let text = std::fs::read_to_string(self.path("app.env")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned));
        line.map(Secret::new)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// How often the daemon was killed.
    pub fn deaths(&self) -> u32 {
        self.deaths.load(Ordering::SeqCst)
    }

    pub fn alert_kinds(&self) -> Vec<String> {
        let alerts = self.alerts.lock().expect("free");
        alerts.iter().map(|alert| alert["kind"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Every alert so far, wherever its lines end.
    pub fn alert_texts(&self) -> Vec<String> {
        let alerts = self.alerts.lock().expect("free");
        let words = |alert: &serde_json::Value| {
            alert["text"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        alerts.iter().map(words).collect()
    }

    /// The daemon was killed once more.
    pub fn died(&self) {
        self.deaths.fetch_add(1, Ordering::SeqCst);
    }

    /// Starts the daemon under the tracer.
    pub fn daemon(&self, deed: Deed) -> Traced {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cutover"));
        command
            .arg("run")
            .env("CUTOVER_CONFIG", self.path("cutover.toml"))
            .env("CUTOVER_PROVIDERS", self.path("providers"))
            .env("CRASH_LOG", self.path("log"));
        Traced::start(command, self.dir.path(), deed).expect("traced")
    }

    /// Opens the ledger as a daemon does.
    pub async fn ledger(&self) -> SqliteLedger {
        let key = Secret::new(std::fs::read_to_string(self.path("seal")).expect("readable"));
        let keys = SealKeys::parse(&[key]).expect("a key");
        let opened = SqliteLedger::open(&self.path("ledger.db"), "test", keys, std::process::id(), self.clock.now()).await;
        opened.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Lets the daemon work, answers as a person does, and returns when it has died or the rotation is at rest.
    pub async fn drive(&self, daemon: &Traced) -> Ended {
        let driving = async {
            loop {
                if daemon.ended() {
                    return Ended::Died;
                }
                if let Ok(Reached::Daemon(client, _)) = Client::reach(&self.path("control.sock")).await
                    && let Some((status, _)) = self.status(&client).await
                    && self.answer(&client, &status).await
                {
                    return Ended::AtRest;
                }
                // Between two looks at what only another process knows.
                tokio::time::sleep(LOOK).await;
            }
        };
        match tokio::time::timeout(PATIENCE, driving).await {
            Ok(ended) => ended,
            Err(_) => panic!("{:?}: no rest\n{}", self.kind, self.story(daemon).await),
        }
    }

    /// What is told when something is not as it should be.
    async fn story(&self, daemon: &Traced) -> String {
        let status = match Client::reach(&self.path("control.sock")).await {
            Ok(Reached::Daemon(client, _)) => self.status(&client).await.map(|(status, _)| status),
            _ => None,
        };
        format!("ended: {}\n{status:#?}\n{:?}\n{}", daemon.ended(), self.alert_kinds(), self.log())
    }

    /// How the policy and the daemon stand.
    pub async fn status(&self, client: &Client) -> Option<(PolicyStatus, Standing)> {
        let mut found = Vec::new();
        let ask = Ask::Status { selector: Selector::default() };
        let done = client.ask(&ask, IDLE, &mut |item| found.push(item)).await.ok()?;
        Some((serde_json::from_value(found.pop()?).ok()?, serde_json::from_value(done).ok()?))
    }

    /// The order to rotate.
    pub fn rotate(&self) -> Ask {
        let selector = Selector { policies: vec![POLICY.to_owned()], ..Selector::default() };
        Ask::Rotate { selector, reason: None }
    }

    /// Does what a person has to do; whether nothing is left to do.
    pub async fn answer(&self, client: &Client, status: &PolicyStatus) -> bool {
        if status.phase == "idle" {
            if status.rotated_at.is_none() {
                // It may die of it, or be under way already: the next look tells.
                let _ = client.ask(&self.rotate(), IDLE, &mut |_| {}).await;
            }
            return status.rotated_at.is_some();
        }
        if status.at_rest {
            return true;
        }
        if let Some(held) = &status.held {
            self.held(client, &held.why).await;
        } else if status.ask.is_some() {
            self.hand_in(client).await;
        } else if self.kind == Kind::Manual && status.waits_for.as_ref().is_some_and(|waits| waits.contains("--retire")) {
            if !std::mem::replace(&mut self.decided.lock().expect("free").ended, true) {
                Person::at(&self.provider).revokes(&self.old_id).await;
            }
            self.decide(client, Decision::ConfirmRetire).await;
        }
        false
    }

    async fn held(&self, client: &Client, why: &str) {
        let first = {
            let mut decided = self.decided.lock().expect("free");
            let first = decided.held.last().is_none_or(|last| last != why);
            if first {
                decided.held.push(why.to_owned());
            }
            first
        };
        match why {
            // A person acts when they are told.
            "doubt" | "candidates" if self.alert_kinds().iter().any(|kind| kind == "doubt" || kind == "held") => {
                let refused = self.app.refused() + self.reader.refused();
                self.decided.lock().expect("free").mint_again.get_or_insert(refused);
                self.decide(client, Decision::MintAgain).await;
            }
            "doubt" | "candidates" => {}
            _ if first => self.decide(client, Decision::Resume).await,
            _ => {}
        }
    }

    async fn hand_in(&self, client: &Client) {
        let made = self.decided.lock().expect("free").made.as_ref().map(Secret::duplicate);
        let value = match made {
            Some(value) => value,
            None => {
                let value = Person::at(&self.provider).makes().await;
                self.decided.lock().expect("free").made = Some(value.duplicate());
                value
            }
        };
        let ask = Ask::Submit {
            policy: POLICY.to_owned(),
            rotation: None,
            id: None,
            old_expires_at: None,
            reason: None,
            bytes: value.expose().len(),
        };
        // Whether it was taken shows in the next look.
        let _ = client.submit(&ask, &value, IDLE).await;
    }

    async fn decide(&self, client: &Client, decision: Decision) {
        let ask = Ask::Decide { policy: POLICY.to_owned(), rotation: None, decision, reason: None };
        // Whether it was taken shows in the next look.
        let _ = client.ask(&ask, IDLE, &mut |_| {}).await;
    }
}
