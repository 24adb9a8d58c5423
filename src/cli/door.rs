//! Where verbs are carried out: in the running daemon, or in this process under the ledger's lock.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cutover_api::{Clock as _, Secret};
use cutover_config::{Config, Selector};
use cutover_ledger::{Ledger, SealKeys, SqliteLedger};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::exit::{Exit, Failure};
use super::open;
use super::screen::tell;
use crate::control::people::People;
use crate::control::wire::Hello;
use crate::control::{Ask, AskError, Client, Handler, Items, Reached, Verbs};
use crate::engine::{Engine, WallClock};

/// The longest silence of a daemon that looks at providers and stores.
const SILENCE: Duration = Duration::from_secs(300);
/// How long the calls of a one-shot engine may take to end.
const DRAIN: Duration = Duration::from_secs(60);

/// Where verbs are carried out.
pub enum Door {
    /// In the daemon.
    Daemon(Client, Hello),
    /// Here.
    Here(Box<Here>),
}

/// An engine of this process.
pub struct Here {
    verbs: Verbs,
    ledger: Arc<SqliteLedger>,
    actor: String,
    /// The ledger of a look that must not leave one behind.
    _temporary: Option<tempfile::TempDir>,
}

/// What an engine of this process needs.
#[derive(Clone, Copy, Debug)]
pub enum Need<'a> {
    /// The ledger as it is; none is made.
    Read,
    /// A look online: where there is no ledger yet, an empty one that is gone afterwards.
    Look,
    /// The ledger as it is, and the rotations of these policies driven.
    Drive(&'a Selector),
    /// The same; where there is no ledger yet, it is made.
    Begin(&'a Selector),
}

impl Door {
    /// Reaches the daemon; where none answers, opens the ledger here. Whoever has the ledger but does not answer yet is a daemon that is
    /// starting, or another verb: it is waited for.
    ///
    /// # Errors
    /// A daemon that does not answer, a configuration that is wrong, a ledger that does not open.
    pub async fn open(file: &Path, need: Need<'_>) -> Result<Self, Failure> {
        let control = open::control(file);
        let mut tries = 0;
        loop {
            if let Reached::Daemon(client, hello) = Client::reach(&control).await? {
                return Ok(Self::Daemon(client, hello));
            }
            match Here::open(file, need).await {
                Err(failure) if failure.exit == Exit::Refused && tries < open::TRIES => {
                    tries += 1;
                    tokio::time::sleep(open::AGAIN).await;
                }
                opened => return Ok(Self::Here(Box::new(opened?))),
            }
        }
    }

    /// Who answers, where that is a daemon.
    #[must_use]
    pub const fn daemon(&self) -> Option<&Hello> {
        match self {
            Self::Daemon(_, hello) => Some(hello),
            Self::Here(_) => None,
        }
    }

    /// Asks, hands every item on as it comes and returns the end of the answer.
    ///
    /// # Errors
    /// Refused, failed, or the daemon is gone.
    pub async fn ask(&self, ask: Ask, on_item: &mut (dyn FnMut(Value) + Send)) -> Result<Value, AskError> {
        match self {
            Self::Daemon(client, _) => client.ask(&ask, SILENCE, on_item).await,
            Self::Here(here) => here.ask(ask, on_item).await.map_err(AskError::Refused),
        }
    }

    /// Hands a key in: announced by `ask`, sent when it is asked for.
    ///
    /// # Errors
    /// As [`Door::ask`].
    pub async fn submit(&self, ask: Ask, value: Secret) -> Result<Value, AskError> {
        match self {
            Self::Daemon(client, _) => client.submit(&ask, &value, SILENCE).await,
            Self::Here(here) => here.verbs.take_submission(ask, value, &here.actor).await.map_err(AskError::Refused),
        }
    }

    /// Asks for items and for what it was done with.
    ///
    /// # Errors
    /// As [`Door::ask`]; where the daemon is gone, whether it was done is not known.
    pub async fn all<T: DeserializeOwned + Send, D: DeserializeOwned>(&self, ask: Ask) -> Result<(Vec<T>, D), Failure> {
        let mut items = Vec::new();
        let done = self.ask(ask, &mut |item| items.push(item)).await.map_err(failure)?;
        let items: Result<Vec<T>, _> = items.into_iter().map(serde_json::from_value).collect();
        Ok((items.map_err(foreign)?, serde_json::from_value(done).map_err(foreign)?))
    }

    /// Ends the engine of this process, if there is one.
    pub async fn close(self) {
        let Self::Here(here) = self else { return };
        if tokio::time::timeout(DRAIN, here.verbs.engine().stop()).await.is_err() {
            tell("cutover: a call did not end in time; its outcome is looked at when the rotation goes on");
        }
        if let Err(error) = here.ledger.close().await {
            tell(&format!("cutover: {error}"));
        }
    }
}

fn foreign(error: serde_json::Error) -> Failure {
    Failure::new(Exit::Failed, format!("the answer is not understood ({error}): is the daemon another version of cutover?"))
}

/// An answer that did not come, as a failure.
#[must_use]
pub fn failure(error: AskError) -> Failure {
    match error {
        AskError::Refused(refused) => refused.into(),
        AskError::Gone(detail) => {
            Failure::new(Exit::Failed, format!("{detail}; whether it was done is not known: look at `cutover status`"))
        }
    }
}

impl Here {
    async fn open(file: &Path, need: Need<'_>) -> Result<Self, Failure> {
        let clock = WallClock::real();
        let (config, catalog) = open::config(file, &clock).map_err(|problems| open::wrong(file, &problems))?;
        // What may not be looked at is not taken for missing: opening it says what is in the way.
        let missing = matches!(config.daemon.ledger.try_exists(), Ok(false));
        let mut temporary = None;
        let ledger = match need {
            Need::Read | Need::Drive(_) if missing => return Err(nothing_there(&config)),
            Need::Look if missing => {
                // There is no ledger to open with it yet: what is wrong with it would show at the first rotation only.
                open::seal_keys(&config)?;
                let directory = tempfile::tempdir()
                    .map_err(|error| Failure::new(Exit::Failed, format!("no temporary directory ({error})")))?;
                let ledger = passing(&config, directory.path(), &clock).await?;
                temporary = Some(directory);
                ledger
            }
            _ => open::ledger(&config, &clock).await?,
        };
        let driven: Vec<String> = match need {
            Need::Drive(selector) | Need::Begin(selector) => {
                let selected = selector.among(&config).into_iter();
                selected.map(|policy| policy.name.clone()).chain(selector.policies.iter().cloned()).collect()
            }
            Need::Read | Need::Look => Vec::new(),
        };
        let shared: Arc<dyn Ledger> = Arc::<SqliteLedger>::clone(&ledger);
        let engine = Engine::start_quiet(config, catalog.clone(), shared, clock, &driven).await;
        let engine = engine.map_err(|detail| Failure::new(Exit::Failed, detail))?;
        let actor = People::read().actor(rustix::process::getuid().as_raw());
        Ok(Self { verbs: Verbs::new(engine, catalog, file.to_owned()), ledger, actor, _temporary: temporary })
    }

    async fn ask(&self, ask: Ask, on_item: &mut (dyn FnMut(Value) + Send)) -> Result<Value, crate::control::Refused> {
        let (items, mut receiver) = Items::channel();
        let answering = async move {
            let result = self.verbs.handle(ask, &self.actor, &items).await;
            drop(items);
            result
        };
        let taking = async {
            while let Some(item) = receiver.recv().await {
                on_item(item);
            }
        };
        tokio::join!(answering, taking).0
    }
}

fn nothing_there(config: &Config) -> Failure {
    let text = format!(
        "no daemon answers at {}, and there is no ledger at {}: cutover has not run here yet\n\
         `cutover run` starts it and makes the ledger (`systemctl start cutover` where it is installed as a service); `cutover check --online` says \
         first what is not ready",
        config.daemon.control.display(),
        config.daemon.ledger.display(),
    );
    Failure::new(Exit::Failed, text)
}

/// A ledger for a look before the first start.
async fn passing(config: &Config, directory: &Path, clock: &WallClock) -> Result<Arc<SqliteLedger>, Failure> {
    let failed = |detail: String| Failure::new(Exit::Failed, detail);
    let key = SealKeys::generate().map_err(|error| failed(error.to_string()))?;
    let keys = SealKeys::parse(&[key]).map_err(|error| failed(error.to_string()))?;
    let path = directory.join("look.db");
    let opened = SqliteLedger::open(&path, &config.daemon.name, keys, std::process::id(), clock.now()).await;
    opened.map(Arc::new).map_err(|error| failed(error.to_string()))
}
