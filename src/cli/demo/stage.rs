//! Everything the story needs, set up in a directory of its own and taken down again.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use cutover_api::{Clock, Message, Secret, Span, Stamp, Surroundings};
use cutover_config::{Config, Selector};
use cutover_fake::{Bondi, Calling, Plana, Wrapd};
use cutover_ledger::{Ledger, SealKeys, SqliteLedger};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::app::App;
use super::clock::{DemoClock, LAPSE};
use super::config::{self, Places};
use super::desk::Desk;
use crate::catalog::Catalog;
use crate::engine::{Engine, EngineClock, References};

/// Sessions at the providers outlive the story.
const SESSION: Span = Span::hours(24 * 30);

/// The stage.
pub(super) struct Stage {
    dir: TempDir,
    pub(super) clock: Arc<DemoClock>,
    pub(super) plana: Plana,
    pub(super) bondi: Bondi,
    pub(super) wrapd: Wrapd,
    /// By policy.
    pub(super) apps: BTreeMap<String, Arc<App>>,
    pub(super) alerts: mpsc::UnboundedReceiver<Message>,
    pub(super) engine: Engine,
    ledger: Arc<SqliteLedger>,
    /// Closed last, so that every alert finds its way.
    desk: Desk,
}

/// The providers with a key each that was there before.
struct Providers {
    plana: Plana,
    bondi: Bondi,
    wrapd: Wrapd,
    /// Ids at PLANA and Wrapd.
    ids: [String; 2],
}

fn io_failed(what: &'static str) -> impl Fn(io::Error) -> String {
    move |error| format!("the demo could not be set up: {what} ({error})")
}

impl Stage {
    /// Sets it up: a temporary directory, three doubles, three applications, the ledger, the engine. The applications do not run yet.
    ///
    /// # Errors
    /// What this machine did not allow.
    pub(super) async fn set() -> Result<Self, String> {
        let clock = DemoClock::start();
        let dir = tempfile::Builder::new().prefix("cutover-demo-").tempdir().map_err(io_failed("a temporary directory"))?;
        let time: Arc<dyn Clock> = Arc::<DemoClock>::clone(&clock);
        let providers = Providers::start(dir.path(), &time).await?;
        let (listener, address) = Desk::bind().await.map_err(io_failed("a port on 127.0.0.1"))?;
        let text = config::text(&Places {
            dir: dir.path(),
            desk: &address,
            providers: [&providers.plana.base_url(), &providers.bondi.base_url(), &providers.wrapd.base_url()],
            adopt: [&providers.ids[0], &providers.ids[1]],
        });
        let around = Surroundings { references: Arc::new(References::from_environment()), clock: Arc::clone(&time) };
        let catalog = Catalog::open(around, &dir.path().join("providers")).map_err(|problems| joined(&problems))?;
        let config =
            cutover_config::parse(&[("cutover.toml".to_owned(), text)], &catalog).map_err(|problems| joined(&problems))?;
        let apps = providers.apps(dir.path(), &time);
        let (mail, alerts) = mpsc::unbounded_channel();
        let desk = Desk::serve(listener, apps.clone(), mail);
        let ledger = Arc::new(open_ledger(dir.path(), clock.now()).await?);
        let engine = start(config, catalog, Arc::<SqliteLedger>::clone(&ledger), Arc::<DemoClock>::clone(&clock)).await?;
        let Providers { plana, bondi, wrapd, .. } = providers;
        Ok(Self { dir, clock, plana, bondi, wrapd, apps, alerts, engine, ledger, desk })
    }

    /// The application of a policy.
    pub(super) fn app(&self, policy: &str) -> Result<Arc<App>, String> {
        self.apps.get(policy).cloned().ok_or_else(|| format!("the demo has no application {policy}"))
    }

    /// The ledger.
    pub(super) fn ledger(&self) -> &dyn Ledger {
        self.ledger.as_ref()
    }

    /// Where every rotation stands, in a few words.
    pub(super) fn standing(&self) -> String {
        let all = self.engine.status(&Selector::default()).into_iter();
        let words = all.map(|one| {
            format!("{} is in {}, waits for {}", one.policy, one.phase, one.waits_for.as_deref().unwrap_or("nothing"))
        });
        words.collect::<Vec<_>>().join("; ")
    }

    /// Takes everything down: nothing listens and nothing is left on disk.
    ///
    /// # Errors
    /// What could not be taken down.
    pub(super) async fn strike(self) -> Result<(), String> {
        // Whatever sleeps on this clock wakes soon.
        self.clock.run_at(LAPSE);
        self.engine.stop().await;
        for app in self.apps.values() {
            app.end().await;
        }
        let closed = self.ledger.close().await;
        drop(self.desk);
        let path = self.dir.path().to_owned();
        self.dir.close().map_err(|error| format!("{} could not be removed ({error}); remove it by hand", path.display()))?;
        closed.map_err(|error| error.to_string())
    }
}

impl Providers {
    async fn start(dir: &Path, clock: &Arc<dyn Clock>) -> Result<Self, String> {
        let port = io_failed("a port on 127.0.0.1");
        let plana = Plana::try_start(Arc::clone(clock)).await.map_err(&port)?;
        let bondi = Bondi::try_start(Arc::clone(clock)).await.map_err(&port)?;
        let wrapd = Wrapd::try_start(Arc::clone(clock)).await.map_err(&port)?;
        plana.tell_last_used(Span::MINUTE, Span::MINUTE);
        plana.revocation_takes(Span::seconds(10));
        let until = clock.now().plus(SESSION);
        let (plana_id, plana_key) = plana.seed("Reports", "dashboard:read");
        let (_, bondi_key) = bondi.seed("ws_demo", "crm");
        let (wrapd_id, wrapd_key) = wrapd.seed("builds", &[]);
        let files = [
            ("plana-session", "", plana.session_until(until)),
            ("bondi-session", "", bondi.session_until(until)),
            ("wrapd-session", "", wrapd.session_until(until)),
            ("reports.env", "PLANA_KEY=", plana_key),
            ("crm.env", "BONDI_INTEGRATION_TOKEN=", bondi_key),
            ("builds.env", "WRAPD_API_KEY=", wrapd_key),
        ];
        for (name, before, secret) in &files {
            write(&dir.join(name), before, secret).map_err(io_failed("a file in the temporary directory"))?;
        }
        Ok(Self { plana, bondi, wrapd, ids: [plana_id, wrapd_id] })
    }

    fn apps(&self, dir: &Path, clock: &Arc<dyn Clock>) -> BTreeMap<String, Arc<App>> {
        let app = |name: &str, file: &str, fields, calling| {
            (name.to_owned(), App::new(dir.join(file), fields, calling, Arc::clone(clock)))
        };
        let dashboard = Calling::Bearer(format!("{}/api/v1/dashboard", self.plana.base_url()));
        let emit = Calling::Emit(format!("{}/integrations/custom/ws_demo/crm/emit", self.bondi.base_url()));
        let me = Calling::Header(format!("{}/me", self.wrapd.base_url()), "X-API-Key".to_owned());
        [
            app("reports", "reports.env", &["PLANA_KEY_NEW", "PLANA_KEY"], dashboard),
            app("crm", "crm.env", &["BONDI_INTEGRATION_TOKEN", "BONDI_PREVIOUS_TOKEN"], emit),
            app("builds", "builds.env", &["WRAPD_API_KEY"], me),
        ]
        .into()
    }
}

/// Writes a secret where only its owner can read it.
fn write(path: &Path, before: &str, secret: &Secret) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(before.as_bytes())?;
    file.write_all(secret.expose().as_bytes())?;
    file.write_all(b"\n")
}

async fn open_ledger(dir: &Path, now: Stamp) -> Result<SqliteLedger, String> {
    let unsealed = |error| format!("the demo could not be set up: a sealing key ({error:?})");
    let seal = SealKeys::generate().map_err(unsealed)?;
    write(&dir.join("seal-key"), "", &seal).map_err(io_failed("a file in the temporary directory"))?;
    let keys = SealKeys::parse(&[seal]).map_err(unsealed)?;
    SqliteLedger::open(&dir.join("ledger.db"), "demo", keys, std::process::id(), now).await.map_err(|error| error.to_string())
}

/// The engine; nothing starts by the schedule, whatever the date is.
async fn start(
    config: Config,
    catalog: Catalog,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn EngineClock>,
) -> Result<Engine, String> {
    let policies: Vec<String> = config.policies.keys().cloned().collect();
    Engine::start_quiet(config, catalog, ledger, clock, &policies).await
}

fn joined(problems: &[cutover_api::Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
