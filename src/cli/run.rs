//! `cutover run`: the daemon.

use std::sync::Arc;
use std::time::Duration;

use cutover_config::Config;
use cutover_ledger::{Ledger, SqliteLedger};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::exit::{Exit, Failure};
use super::{Common, open, reload, service};
use crate::control::{Client, Reached, Server, Verbs};
use crate::engine::{Engine, WallClock};
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
    // A locked ledger is a failure like others here: `run` has no guard to refuse by.
    let ledger = ledger(&config, &clock).await.map_err(|failure| Failure::new(Exit::Failed, failure.text))?;
    let (control, listen) = (config.daemon.control.clone(), config.daemon.listen.clone());
    let policies = config.policies.len();
    let shared: Arc<dyn Ledger> = Arc::<SqliteLedger>::clone(&ledger);
    let engine = Engine::start(config, catalog.clone(), shared, Arc::<WallClock>::clone(&clock)).await;
    let engine = engine.map_err(|detail| Failure::new(Exit::Failed, detail))?;
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

    let exit = signals.serve(&verbs, &clock).await;

    service::stopping();
    closing.cancel();
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
    Ok(exit)
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

    /// Serves them until the daemon ends.
    async fn serve(&mut self, verbs: &Verbs, clock: &Arc<WallClock>) -> Exit {
        let engine = verbs.engine();
        let ended = engine.ended();
        tokio::pin!(ended);
        loop {
            tokio::select! {
                _ = self.terminate.recv() => {
                    info!("SIGTERM: calls under way are ended, the rest goes on at the next start");
                    return Exit::Done;
                }
                _ = self.interrupt.recv() => {
                    info!("SIGINT: calls under way are ended, the rest goes on at the next start");
                    return Exit::Done;
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
                    error!(detail, "the engine has ended by itself");
                    return Exit::Failed;
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
