//! What a call needs besides its step: a client, a credential, a name.

use std::path::Path;
use std::sync::OnceLock;

use cutover_api::{Cause, Class, Outcome, Reader, Refusal, SecretRef, Surroundings, unread};
use cutover_http_step::{Defaults, Form, Http, Kind, Known, Origins, Scope, Tls, Var, Vars};

/// The keys of a table that [`Link::read`] reads.
pub(crate) const KEYS: [&str; 2] = ["ca", "credential"];

/// The origins of a step with a whole URL: there are none to choose from.
pub(crate) fn no_origins() -> Origins {
    Origins::default()
}

/// What a call needs besides its step.
pub(crate) struct Link {
    /// Its name in outcomes: `redeploy 1`.
    pub(crate) label: String,
    pub(crate) surroundings: Surroundings,
    /// There is a `credential`, be it right or wrong: its templates are not to be blamed.
    has_credential: bool,
    credential: Option<SecretRef>,
    ca: Option<String>,
    /// The client that trusts the system; made at the first use, so that loading a configuration reads no file.
    system: OnceLock<Http>,
}

impl Link {
    /// Reads `ca` and `credential`; reports what is wrong.
    pub(crate) fn read(reader: &Reader<'_>, what: &str, surroundings: &Surroundings) -> Self {
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
        Self {
            label: reader.step(what),
            surroundings: surroundings.clone(),
            has_credential: reader.has("credential"),
            credential: reader.secret("credential"),
            ca: ca.map(str::to_owned),
            system: OnceLock::new(),
        }
    }

    /// What the step's templates may name.
    pub(crate) fn scope(&self) -> Scope {
        let mut scope = Scope::new();
        for path in ["policy.name", "rotation.id", "rotation.uuid", "new.id", "new.fingerprint"] {
            scope.add(path, Known::plain(Kind::Text));
        }
        if self.has_credential {
            scope.add("credential", Known::secret());
        }
        scope
    }

    /// Opens the credential into `vars` and makes the client.
    ///
    /// # Errors
    /// Which of them could not be had; nothing was sent.
    pub(crate) async fn open(&self, vars: &mut Vars) -> Result<Http, Refusal> {
        let unsent = |hint: String| Refusal::new(Class::Unsent, &self.label).hint(hint);
        if let Some(reference) = &self.credential {
            let secret = self.surroundings.references.open(reference).map_err(unsent)?;
            vars.set("credential", Var::Secret(secret));
        }
        self.http().await.map_err(unsent)
    }

    async fn http(&self) -> Result<Http, String> {
        if let Some(path) = &self.ca {
            let ca = tokio::fs::read_to_string(path)
                .await
                .map_err(|error| unread(Path::new(path), &error, "put the CA's certificate there, or correct `ca`"))?;
            return Http::new(&Tls { ca: Some(ca), client_cert: None });
        }
        if let Some(http) = self.system.get() {
            return Ok(http.clone());
        }
        let http = Http::new(&Tls::default())?;
        Ok(self.system.get_or_init(|| http).clone())
    }

    /// The outcome under this call's own name.
    pub(crate) fn name<T>(&self, outcome: Outcome<T>) -> Outcome<T> {
        match outcome {
            Outcome::Done(value) => Outcome::Done(value),
            Outcome::Refused(refusal) => Outcome::Refused(Refusal { step: self.label.clone(), ..refusal }),
            Outcome::Unknown(cause) => Outcome::Unknown(self.cause(cause)),
        }
    }

    /// The cause under this call's own name.
    pub(crate) fn cause(&self, cause: Cause) -> Cause {
        Cause { step: self.label.clone(), ..cause }
    }
}

/// Sets a value that templates may name, where there is one.
pub(crate) fn set(vars: &mut Vars, path: &str, text: &str) {
    if !text.is_empty() {
        vars.set_text(path, text);
    }
}

/// How replies are read when the step does not say: as JSON where anything is read from them, else not at all, because many services
/// answer a start with a word or two.
pub(crate) fn defaults(reader: &Reader<'_>, reads: &[&str]) -> Defaults {
    let expects = reader.table_itself().get("expect").is_some_and(|node| match &node.value {
        cutover_api::Value::Table(table) => table.get("body").is_some() || table.get("absent").is_some(),
        _ => false,
    });
    let looked_at = expects || ["extract", "keep", "errors", "poll"].iter().chain(reads).any(|key| reader.has(key));
    let mut defaults = Defaults::whole_urls();
    defaults.reply = if looked_at { Form::Json } else { Form::None };
    defaults
}
