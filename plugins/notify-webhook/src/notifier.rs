//! The notifier.

use std::path::Path;
use std::sync::OnceLock;

use async_trait::async_trait;
use cutover_api::{Message, Notifier, NotifyError, Obstacle, Outcome, Reader, Secret, SecretRef, Surroundings, unread};
use cutover_http_step::{Defaults, Form, Http, Origins, Step, Tls, Var};

use crate::alert;
use crate::failure::{failure, refused, unknown};
use crate::reach::Address;

/// `[notify.x] kind = "webhook"`.
pub struct WebhookNotifier {
    step: Step,
    address: Address,
    credential: Option<SecretRef>,
    ca: Option<String>,
    surroundings: Surroundings,
    /// The client that trusts the system; made at the first use, so that loading a configuration reads no file.
    system: OnceLock<Http>,
}

impl WebhookNotifier {
    /// Reads the table: a step with a whole URL, `credential` (a reference, opened for each alert), `ca` (PEM, instead of the system's).
    /// `kind`, `severity` and `holders` belong to the caller. Replies are read only where the step says how. Opens nothing. Every problem
    /// is reported; `None` when there was one.
    #[must_use]
    pub fn build(reader: &Reader<'_>, surroundings: &Surroundings) -> Option<Self> {
        let before = reader.problems().count();
        let credential = reader.secret("credential");
        let ca = reader.text("ca");
        if let Some(path) = ca
            && !Path::new(path).is_absolute()
        {
            reader.wrong(
                "ca",
                format!("{path:?} is not an absolute path"),
                "must be a file of PEM certificates; it replaces the system's",
            );
        }
        let table = alert::with_body(reader);
        let whole = Reader::new(&table, reader.path(), reader.problems());
        let step = Step::load(&whole, "tell", &defaults(reader), &["kind", "severity", "holders", "credential", "ca"]);
        if let Some(step) = &step {
            step.check(&alert::scope(reader.has("credential")), reader.problems());
        }
        if reader.problems().count() > before {
            return None;
        }
        let step = step?;
        let address = Address::of(step.request())?;
        Some(Self {
            step,
            address,
            credential,
            ca: ca.map(str::to_owned),
            surroundings: surroundings.clone(),
            system: OnceLock::new(),
        })
    }

    fn credential(&self) -> Result<Option<Secret>, NotifyError> {
        let open = |reference| self.surroundings.references.open(reference).map_err(|why| failure("auth", why));
        self.credential.as_ref().map(open).transpose()
    }

    async fn ca(&self) -> Result<Option<String>, NotifyError> {
        let Some(path) = &self.ca else { return Ok(None) };
        match tokio::fs::read_to_string(path).await {
            Ok(pem) => Ok(Some(pem)),
            Err(error) => {
                Err(failure("tls", unread(Path::new(path), &error, "put the CA's certificate there, or correct `ca`")))
            }
        }
    }

    async fn http(&self) -> Result<Http, NotifyError> {
        let made = |ca| Http::new(&Tls { ca, client_cert: None }).map_err(|why| failure("tls", why));
        let ca = self.ca().await?;
        if ca.is_some() {
            return made(ca);
        }
        if let Some(http) = self.system.get() {
            return Ok(http.clone());
        }
        let http = made(None)?;
        Ok(self.system.get_or_init(|| http).clone())
    }
}

/// Replies of webhooks are often a word of plain text: they are read as JSON only where something in them is asked for.
fn defaults(reader: &Reader<'_>) -> Defaults {
    let table = reader.table("expect");
    let looked_at = reader.has("errors") || table.is_some_and(|expect| expect.has("body") || expect.has("absent"));
    let mut defaults = Defaults::whole_urls();
    defaults.reply = if looked_at { Form::Json } else { Form::None };
    defaults
}

#[async_trait]
impl Notifier for WebhookNotifier {
    /// Connects and shakes hands, without a request: see the crate's documentation for what that proves.
    async fn greet(&self) -> Result<(), NotifyError> {
        self.credential()?;
        let ca = self.ca().await?;
        let late = |_| failure("timeout", format!("{}: {}", self.address.shown(), Obstacle::Silence));
        tokio::time::timeout(self.step.timeout(), self.address.reach(ca.as_deref())).await.map_err(late)?
    }

    async fn tell(&self, message: &Message) -> Result<(), NotifyError> {
        let mut vars = alert::vars(message);
        if let Some(secret) = self.credential()? {
            vars.set("credential", Var::Secret(secret));
        }
        let http = self.http().await?;
        match self.step.run(&http, &Origins::default(), &vars, &*self.surroundings.clock).await {
            Outcome::Done(_) => Ok(()),
            Outcome::Refused(refusal) => Err(refused(&refusal)),
            Outcome::Unknown(cause) => Err(unknown(&cause)),
        }
    }
}
