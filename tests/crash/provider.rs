//! The three systems as a run of this target needs them, and which lifecycle each stands for.

use std::sync::Arc;

use cutover::engine::WallClock;
use cutover_api::{Clock as _, Secret, Stamp};
use cutover_fake::{Bondi, Calling, KeyView, Plana, Wrapd};

use crate::setter::{self, Setter};

/// What is rotated, and how the provider replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// PLANA: both keys live until the old one is revoked; a lost key is found by its name.
    Overlap,
    /// Wrapd: the old key lives for the grace that was asked for; a lost key stands in the list, among others.
    Grace,
    /// Bondi: the old token lives for a day, always; nothing can be looked at.
    FixedGrace,
    /// PLANA by hand: a person makes the key, hands it in, and revokes the old one.
    Manual,
    /// A value of our own that takes the place of the one before at once: the application is refused until it has it.
    Set,
}

/// Every lifecycle that has a double, or those that `CUTOVER_CRASH_KIND` names.
pub fn kinds() -> Vec<Kind> {
    let wanted = std::env::var("CUTOVER_CRASH_KIND").unwrap_or_default();
    let all = [Kind::Overlap, Kind::Grace, Kind::FixedGrace, Kind::Manual, Kind::Set];
    all.into_iter().filter(|kind| wanted.is_empty() || wanted.contains(&format!("{kind:?}"))).collect()
}

/// A double.
pub enum Provider {
    Plana(Plana),
    Wrapd(Wrapd),
    Bondi(Bondi),
    Setter(Setter),
}

/// Does the same with whichever double it is.
macro_rules! each {
    ($provider:expr, $double:ident => $what:expr) => {
        match $provider {
            Provider::Plana($double) => $what,
            Provider::Wrapd($double) => $what,
            Provider::Bondi($double) => $what,
            Provider::Setter($double) => $what,
        }
    };
}

impl Provider {
    /// Starts one with a key in use; its id (empty where keys have none) and its value.
    pub async fn start(kind: Kind, clock: Arc<WallClock>) -> (Self, String, Secret) {
        match kind {
            Kind::Overlap | Kind::Manual => {
                let plana = Plana::start(clock).await;
                let (id, value) = plana.seed("Nightly stock sync (2025)", "dashboard:read");
                (Self::Plana(plana), id, value)
            }
            Kind::Grace => {
                let wrapd = Wrapd::start(clock).await;
                let (id, value) = wrapd.seed("production", &["read"]);
                (Self::Wrapd(wrapd), id, value)
            }
            Kind::FixedGrace => {
                let bondi = Bondi::start(clock).await;
                let (_, value) = bondi.seed("ws_1", "my-crm");
                (Self::Bondi(bondi), String::new(), value)
            }
            Kind::Set => {
                let (setter, value) = Setter::start(clock).await;
                (Self::Setter(setter), String::new(), value)
            }
        }
    }

    pub fn base_url(&self) -> String {
        each!(self, double => double.base_url())
    }

    pub fn session(&self) -> Secret {
        each!(self, double => double.session())
    }

    /// How often a key was asked for.
    pub fn mints(&self) -> u64 {
        each!(self, double => double.mints())
    }

    pub fn accepts(&self, key: &Secret) -> bool {
        each!(self, double => double.accepts(key))
    }

    pub fn keys(&self) -> Vec<KeyView> {
        each!(self, double => double.keys())
    }

    /// How an application calls it.
    pub fn calling(&self) -> Calling {
        let base = self.base_url();
        match self {
            Self::Plana(_) => Calling::Bearer(format!("{base}/api/v1/dashboard")),
            Self::Wrapd(_) => Calling::Header(format!("{base}/me"), String::from("X-API-Key")),
            Self::Setter(_) => Calling::Bearer(format!("{base}/use")),
            Self::Bondi(_) => Calling::Emit(format!("{base}/integrations/custom/ws_1/my-crm/emit")),
        }
    }
}

impl Kind {
    /// The shipped definition with the times of a test.
    pub fn definition(self) -> (&'static str, String) {
        let (name, shipped, changes): (_, _, &[(&str, &str)]) = match self {
            Self::Overlap => (
                "plana",
                include_str!("../../plugins/providers/plana.toml"),
                &[
                    ("granularity = \"1m\", lag = \"1m\"", "granularity = \"1s\", lag = \"1s\""),
                    ("list_lag  = \"10s\"", "list_lag  = \"1s\""),
                    ("settle    = \"30s\"", "settle    = \"1s\""),
                    ("[issue]\n", "[issue]\ntimeout = \"1s\"\n"),
                ],
            ),
            Self::Grace => (
                "wrapd-api-key",
                include_str!("../../plugins/providers/wrapd-api-key.toml"),
                &[
                    ("list_lag  = \"10s\"", "list_lag  = \"1s\""),
                    ("settle    = \"5s\"", "settle    = \"1s\""),
                    ("[rotate]\n", "[rotate]\ntimeout = \"1s\"\n"),
                ],
            ),
            Self::FixedGrace => {
                ("bondi", include_str!("../../plugins/providers/bondi.toml"), &[("[rotate]\n", "[rotate]\ntimeout = \"1s\"\n")])
            }
            Self::Manual => (
                "plana-manual",
                include_str!("../../plugins/providers/plana-manual.toml"),
                &[("settle    = \"30s\"", "settle    = \"1s\"")],
            ),
            Self::Set => ("setter", setter::DEFINITION, &[]),
        };
        let quick = changes.iter().fold(shipped.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{name} has changed: change {from:?} here too");
            text.replace(from, to)
        });
        (name, quick)
    }

    /// The account's and the policy's own lines.
    pub fn lines(self, base_url: &str, session: &str, old_id: &str) -> (String, String) {
        let credential = format!("credential = {{ file = \"{session}\" }}\n");
        let (credential, own) = match self {
            Self::Overlap => (
                credential,
                format!(
                    "params = {{ base_name = \"Nightly stock sync\" }}\nadopt = {{ id = \"{old_id}\" }}\ngrace = \"24h\"\n"
                ),
            ),
            Self::Grace => (credential, format!("adopt = {{ id = \"{old_id}\" }}\ngrace = \"1h\"\n")),
            Self::FixedGrace => (credential, String::from("params = { workspace = \"ws_1\", slug = \"my-crm\" }\n")),
            Self::Set => (credential, String::new()),
            Self::Manual => (String::new(), String::from("params = { base_name = \"Nightly stock sync\" }\n")),
        };
        let (name, _) = self.definition();
        (format!("[provider.it]\ndefinition = \"{name}\"\nbase_url = \"{base_url}\"\n{credential}"), own)
    }

    /// The target's layout while both keys live, where the application of this kind knows one.
    pub const fn during(self) -> &'static str {
        match self {
            Self::Overlap | Self::Manual => "during = { KEY = \"{{ old.secret }}\", KEY_NEW = \"{{ new.secret }}\" }\n",
            Self::Grace | Self::FixedGrace | Self::Set => "",
        }
    }

    /// The mint itself ends the old key: the application is refused from then until it has the new one.
    pub const fn ends_at_once(self) -> bool {
        matches!(self, Self::Set)
    }

    /// Its redeploy is a command, which may be repeated after a crash; otherwise an HTTP call, which a person is asked about then.
    pub const fn by_command(self) -> bool {
        matches!(self, Self::Overlap | Self::FixedGrace | Self::Set)
    }

    /// Whether a kill may leave it held for this reason: whether a key was made, or a redeploy began, is not known and cannot be looked at.
    pub fn may_be_held(self, why: &str) -> bool {
        match why {
            "doubt" | "candidates" => self.ends_by_clock(),
            "hook-unknown" => !self.by_command(),
            _ => false,
        }
    }

    /// Nothing is left but the provider's clock when the new key is proven: the old one ends by itself.
    pub const fn ends_by_clock(self) -> bool {
        matches!(self, Self::Grace | Self::FixedGrace)
    }
}

/// What a person does in the provider's dashboard: a call like any other.
pub struct Person {
    base: String,
    session: Secret,
}

impl Person {
    pub fn at(provider: &Provider) -> Self {
        Self { base: provider.base_url(), session: provider.session() }
    }

    async fn clicks(&self, method: reqwest::Method, path: &str, body: serde_json::Value) -> serde_json::Value {
        let request = reqwest::Client::new().request(method, format!("{}{path}", self.base));
        let request = request.bearer_auth(self.session.expose()).header("content-type", "application/json");
        let reply = request.body(body.to_string()).send().await.expect("answered");
        assert!(reply.status().is_success(), "{path}: {}", reply.status());
        serde_json::from_str(&reply.text().await.expect("text")).unwrap_or_default()
    }

    /// Makes a key; its value.
    pub async fn makes(&self) -> Secret {
        let body = serde_json::json!({ "name": "Nightly stock sync (2026)", "scope": "dashboard:read" });
        let shown = self.clicks(reqwest::Method::POST, "/api/portal/apikeys", body).await;
        Secret::new(shown["key"].as_str().expect("a key").to_owned())
    }

    /// Ends a key.
    pub async fn revokes(&self, id: &str) {
        self.clicks(reqwest::Method::DELETE, &format!("/api/portal/apikeys/{id}"), serde_json::Value::Null).await;
    }
}

/// When a key's end was asked for, or it ended by itself before now.
pub fn ended_at(key: &KeyView, clock: &WallClock) -> Option<Stamp> {
    key.revoked_at.or_else(|| key.expires_at.filter(|at| *at <= clock.now()))
}
