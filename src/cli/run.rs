//! `cutover run`: the daemon.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cutover_api::Clock as _;
use cutover_config::Config;
use cutover_ledger::{Ledger, SqliteLedger};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::exit::{Exit, Failure};
use super::{Common, farewell, open, reload, service};
use crate::catalog::Catalog;
use crate::control::{Client, Reached, Server, Verbs};
use crate::engine::{Engine, WallClock, channels};
use crate::web;

/// Calls under way may take so long to end.
const DRAIN: Duration = Duration::from_secs(60);

/// Runs until a signal or a fault ends it.
///
/// # Errors
/// It could not start: exit 2 for a wrong configuration, else 1.
pub async fn run(common: &Common) -> Result<Exit, Failure> {
    let clock = WallClock::real();
    let (config, catalog) = open::config(&common.config, &clock).map_err(|problems| open::wrong(&common.config, &problems))?;
    for note in &config.notes {
        warn!("{note}");
    }
    let mut signals = Signals::catch()?;
    let ledger = match ledger(&config, &clock).await {
        Ok(ledger) => ledger,
        Err(failure) => return Err(cannot_begin(&config, &catalog, &clock, failure).await),
    };
    let config = Arc::new(config);
    let (control, listen) = (config.daemon.control.clone(), config.daemon.listen.clone());
    let policies = config.policies.len();
    let shared: Arc<dyn Ledger> = Arc::<SqliteLedger>::clone(&ledger);
    let began = Engine::start(Arc::clone(&config), catalog.clone(), shared, Arc::<WallClock>::clone(&clock)).await;
    let engine = match began {
        Ok(engine) => engine,
        Err(detail) => return Err(cannot_begin(&config, &catalog, &clock, Failure::new(Exit::Failed, detail)).await),
    };
    drop(config);
    let verbs = Verbs::new(engine.clone(), catalog, common.config.clone());
    let server = match Server::bind(&control).await {
        Ok(server) => server,
        Err(error) => {
            end(&engine, &ledger).await;
            return Err(Failure::new(Exit::Failed, error.to_string()));
        }
    };
    let closing = CancellationToken::new();
    let serving = tokio::spawn(server.serve(Arc::new(verbs.clone()), closing.clone()));
    let outside = listen.map(|listen| {
        let ledger = Arc::clone(&ledger);
        let outlook = web::Outlook::new(verbs.clone(), move || ledger.transactions());
        tokio::spawn(web::serve(listen, Arc::new(outlook), closing.clone()))
    });
    info!(policies, pid = std::process::id(), control = %control.display(), "cutover runs");
    service::ready(&verbs);
    let told = service::follow(&verbs);

    let fault = signals.serve(&verbs, &clock).await;

    service::stopping();
    closing.cancel();
    if let Some(detail) = &fault {
        farewell::say(&engine.channels(), &engine.environment(), &control, detail, clock.now()).await;
    }
    end(&engine, &ledger).await;
    if let Some(told) = told {
        told.abort();
    }
    if tokio::time::timeout(DRAIN, serving).await.is_err() {
        warn!("a request at the control socket did not end in time");
    }
    if let Some(outside) = outside {
        // Its connections bound themselves, and nothing that is durable depends on them.
        let _ended = tokio::time::timeout(DRAIN, outside).await;
    }
    info!("cutover ends");
    Ok(if fault.is_some() { Exit::Failed } else { Exit::Done })
}

/// A ledger that was in use cannot be opened or read, and nobody may be looking: the channels are told. Another daemon's is none of it, and
/// who is setting a first one up reads it where it is typed.
async fn cannot_begin(config: &Config, catalog: &Catalog, clock: &WallClock, failure: Failure) -> Failure {
    let path = config.daemon.ledger.strip_prefix("sqlite:").unwrap_or(&config.daemon.ledger);
    if failure.exit != Exit::Refused
        && Path::new(path).exists()
        && let Ok(channels) = channels(config, catalog)
    {
        farewell::say(&channels, &config.daemon.name, &config.daemon.control, &failure.text, clock.now()).await;
    }
    // `run` has no guard to refuse by.
    Failure::new(Exit::Failed, failure.text)
}

/// Opens the ledger. A verb that has it for a moment does not keep the service from starting: it is waited for. Another daemon is not.
async fn ledger(config: &Config, clock: &WallClock) -> Result<Arc<SqliteLedger>, Failure> {
    let mut tries = 0;
    loop {
        let refused = match open::ledger(config, clock).await {
            Err(failure) if failure.exit == Exit::Refused => failure,
            opened => return opened,
        };
        let alone = matches!(Client::reach(&config.daemon.control).await, Ok(Reached::Nobody));
        if !alone || tries == open::TRIES {
            return Err(refused);
        }
        tries += 1;
        if tries == 1 {
            warn!(reason = refused.text, "waits for the ledger");
        }
        tokio::time::sleep(open::AGAIN).await;
    }
}

/// Ends the engine and gives the ledger back.
async fn end(engine: &Engine, ledger: &SqliteLedger) {
    if tokio::time::timeout(DRAIN, engine.stop()).await.is_err() {
        warn!("a call did not end in time; its outcome is looked at at the next start");
    }
    if let Err(error) = ledger.close().await {
        warn!(%error, "the ledger was not closed cleanly; what was committed is committed");
    }
}

/// The signals the daemon listens to, caught before anything is started.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    emergency: Signal,
    look: Signal,
}

impl Signals {
    fn catch() -> Result<Self, Failure> {
        let catch =
            |kind| signal(kind).map_err(|error| Failure::new(Exit::Failed, format!("a signal cannot be caught ({error})")));
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            hangup: catch(SignalKind::hangup())?,
            emergency: catch(SignalKind::user_defined1())?,
            look: catch(SignalKind::user_defined2())?,
        })
    }

    /// Serves them until the daemon ends. What ended it, where it was not asked to.
    async fn serve(&mut self, verbs: &Verbs, clock: &Arc<WallClock>) -> Option<String> {
        let engine = verbs.engine();
        let ended = engine.ended();
        tokio::pin!(ended);
        loop {
            tokio::select! {
                _ = self.terminate.recv() => {
                    info!("SIGTERM: calls under way are ended, the rest goes on at the next start");
                    return None;
                }
                _ = self.interrupt.recv() => {
                    info!("SIGINT: calls under way are ended, the rest goes on at the next start");
                    return None;
                }
                _ = self.hangup.recv() => reloading(verbs, clock).await,
                _ = self.emergency.recv() => match engine.emergency_by_signal().await {
                    Ok(Some(taken)) => {
                        warn!(emergency = taken.id, policies = taken.policies, joined = taken.joined, "SIGUSR1: the configured emergency is answered");
                    }
                    Ok(None) => warn!("SIGUSR1: the configuration has no [emergency]: nothing was changed"),
                    Err(detail) => error!(detail, "SIGUSR1: the emergency was not taken: nothing was changed"),
                },
                _ = self.look.recv() => {
                    info!("SIGUSR2: looks at everything again");
                    engine.look_again();
                }
                detail = &mut ended => {
                    let detail = detail.unwrap_or_else(|| String::from("no reason is known"));
                    error!(detail, "the engine has ended by itself");
                    return Some(detail);
                }
            }
        }
    }
}

/// Reloads, telling systemd before and after.
async fn reloading(verbs: &Verbs, clock: &Arc<WallClock>) {
    info!("SIGHUP: the configuration is loaded anew");
    service::reloading();
    reload::reload(verbs, clock).await;
    service::ready(verbs);
}
