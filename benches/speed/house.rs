//! A whole cutover in this process: the real engine on the real SQLite ledger, as `cutover run` builds them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cutover::catalog::Catalog;
use cutover::engine::{Engine, EngineClock, References, WallClock};
use cutover_api::{Clock, Secret, Surroundings};
use cutover_config::Config;
use cutover_ledger::{SealKeys, SqliteLedger};

use crate::town::{Keep, OF_ACCOUNT, Sort, Town};
use crate::watcher::Watcher;

/// A directory, a sealing key and a clock.
pub struct House {
    dir: tempfile::TempDir,
    seal: Secret,
    /// `max_in_flight`.
    pub in_flight: usize,
    /// The clock of everything.
    pub clock: Arc<WallClock>,
}

/// A started engine and its ledger.
pub struct Running {
    /// The engine.
    pub engine: Engine,
    /// The counter before the ledger.
    pub watcher: Arc<Watcher>,
    ledger: Arc<SqliteLedger>,
}

impl House {
    /// A house on the disk that this project is built on.
    pub fn new(clock: Arc<WallClock>) -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        Self { dir, seal: SealKeys::generate().expect("a key"), in_flight: 64, clock }
    }

    /// A place in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The clock as others know it.
    pub fn time(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock) as Arc<dyn Clock>
    }

    /// Writes a configuration: `policies` beside everything that they name.
    pub fn configure(&self, town: &Town, policies: &str) -> PathBuf {
        let dir = self.dir.path().display();
        let mut text = format!(
            "[daemon]\nname = \"bench\"\nledger = \"sqlite:{dir}/ledger.db\"\nseal = {{ file = \"{dir}/seal\" }}\nlisten = \"\"\n\
             control = \"{dir}/control.sock\"\nmax_starts_per_hour = 1000000\nmax_in_flight = {in_flight}\n\
             [notify.ops]\nkind = \"webhook\"\nrequest = \"POST http://{address}/alert\"\n\
             [store.kv]\nkind = \"vault\"\naddress = \"http://{address}\"\nauth = {{ method = \"token\", token = {{ file = \"{dir}/token\" }} }}\n\
             [store.env]\nkind = \"file\"\nroot = \"{dir}\"\n[defaults]\ncadence = \"1y\"\nquiet = \"1s\"\n",
            address = town.address,
            in_flight = self.in_flight,
        );
        std::fs::write(self.path("token"), "bench-token").expect("written");
        let definition = if town.sort() == Sort::Overlap { "quick-plana" } else { "wrapd-api-key" };
        for (n, url) in town.accounts.iter().enumerate() {
            std::fs::write(self.path(&format!("session{n}")), town.session(n).expose()).expect("written");
            write!(text, "[provider.it{n}]\ndefinition = \"{definition}\"\nbase_url = \"{url}\"\ncredential = {{ file = \"{dir}/session{n}\" }}\n")
                .expect("a text grows");
        }
        text.push_str(policies);
        let file = self.path("cutover.toml");
        std::fs::write(&file, text).expect("written");
        file
    }

    /// The policy of application `n`, which has the key with this id.
    pub fn policy(&self, town: &Town, n: usize, (id, key): &(String, Secret), keep: Keep) -> String {
        let params =
            if town.sort() == Sort::Overlap { format!("params = {{ base_name = \"app {n}\" }}\n") } else { String::new() };
        let (store, path) = match keep {
            Keep::Vault => ("kv", format!("apps/p{n}")),
            Keep::File => {
                std::fs::write(self.path(&format!("apps/p{n}.env")), format!("KEY={}\nOTHER=kept\n", key.expose()))
                    .expect("written");
                ("env", format!("apps/p{n}.env"))
            }
        };
        format!(
            "[policy.p{n}]\nprovider = \"it{}\"\n{params}adopt = {{ id = \"{id}\" }}\n\
             [[policy.p{n}.target]]\nstore = \"{store}\"\npath = \"{path}\"\nfields = {{ KEY = \"{{{{ new.secret }}}}\" }}\n\
             [[policy.p{n}.redeploy]]\nkind = \"http\"\nrequest = \"POST http://{address}/deploy/{n}\"\ntimeout = \"2m\"\n\
             [[policy.p{n}.verify]]\nkind = \"consumer\"\nrequest = \"GET http://{address}/health/{n}\"\nfingerprint = \"/fingerprint\"\nevery = \"5s\"\n",
            n / OF_ACCOUNT,
            address = town.address,
        )
    }

    /// A policy that has nothing to do, like most.
    pub fn idle_policy(&self, town: &Town, n: usize) -> String {
        let address = town.address;
        format!(
            "[policy.idle-{n:06}]\nprovider = \"it0\"\nparams = {{ base_name = \"idle app {n}\" }}\n\
             [[policy.idle-{n:06}.target]]\nstore = \"kv\"\npath = \"idle/{n:06}\"\nfields = {{ KEY = \"{{{{ new.secret }}}}\" }}\n\
             [[policy.idle-{n:06}.redeploy]]\nkind = \"http\"\nrequest = \"POST http://{address}/deploy/{n}\"\n\
             [[policy.idle-{n:06}.verify]]\nkind = \"consumer\"\nrequest = \"GET http://{address}/health/{n}\"\nfingerprint = \"/fingerprint\"\n",
        )
    }

    /// The catalogue that ships, and PLANA without the lags that would be all a run waits for.
    pub fn catalog(&self) -> Catalog {
        let quick = include_str!("../../plugins/providers/plana.toml")
            .replace("name      = \"plana\"", "name = \"quick-plana\"")
            .replace("granularity = \"1m\", lag = \"1m\"", "granularity = \"1s\", lag = \"1s\"")
            .replace("settle    = \"30s\"", "settle = \"1s\"");
        let definitions = self.path("definitions");
        std::fs::create_dir_all(&definitions).expect("a directory");
        std::fs::write(definitions.join("quick-plana.toml"), quick).expect("written");
        let around = Surroundings { references: Arc::new(References::from_environment()), clock: self.time() };
        Catalog::open(around, &definitions).expect("the shipped definitions and one more")
    }

    /// Reads the configuration.
    pub fn load(&self, file: &Path, catalog: &Catalog) -> Config {
        cutover_config::load(file, catalog).unwrap_or_else(|problems| {
            panic!("{}", problems.iter().take(5).map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        })
    }

    /// Opens the ledger.
    pub async fn ledger(&self) -> Arc<SqliteLedger> {
        let keys = SealKeys::parse(&[self.seal.duplicate()]).expect("a key");
        let opened = SqliteLedger::open(&self.path("ledger.db"), "bench", keys, std::process::id(), self.clock.now()).await;
        Arc::new(opened.expect("a ledger"))
    }

    /// Starts the engine; a rotation counts as ended when it is closed or in this phase.
    pub async fn start(&self, config: Config, catalog: Catalog, ledger: Arc<SqliteLedger>, rest: &'static str) -> Running {
        let watcher = Watcher::new(Arc::clone(&ledger), rest);
        let clock = Arc::clone(&self.clock) as Arc<dyn EngineClock>;
        let engine = Engine::start(config, catalog, Arc::clone(&watcher) as _, clock).await.expect("an engine");
        Running { engine, watcher, ledger }
    }
}

impl Running {
    /// Ends it as a stop of the daemon does.
    pub async fn stop(self) {
        self.engine.stop().await;
        self.ledger.close().await.expect("closed");
    }
}

/// Cutover's own threads.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().thread_name("cutover").enable_all().build().expect("threads")
}
