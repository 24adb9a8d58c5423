//! The configuration: as typed, as meant, and every problem of it at once.
//!
//! Nothing here knows a plugin by name: what stands inside `[store.x]` beyond the common keys is read by the plugin that a [`Kinds`]
//! finds for its `kind`. No reference is opened and no file but the configuration is read.

mod built;
mod clear;
mod difference;
mod include;
mod kept;
mod layers;
mod load;
mod policy;
mod redeploy;
mod sections;
mod selector;
mod sums;
mod targets;
mod templates;
mod verify;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use cutover_api::{
    Hook, Notifier, Place, Problem, Provider, Reader, SecretRef, Severity, Span, Store, Table, TargetSpec, Witness,
};
use cutover_machine::plan::VerifyKind;

pub use difference::{difference, renames};
pub use kept::Kept;
pub use load::{load, parse};
pub use selector::{NOTHING_SAID, NOTHING_SELECTED, Selector};

/// Finds the plugins by kind and lets them read their tables. The catalogue is one.
pub trait Kinds {
    /// The kinds of stores, hooks, witnesses and notifiers, in this order.
    fn names(&self) -> [Vec<&'static str>; 4];

    /// Builds a store from its table; `None` = the problems are reported, or the kind is unknown (reported by the caller).
    fn store(&self, kind: &str, reader: &Reader<'_>) -> Option<Box<dyn Store>>;

    /// Builds a hook.
    fn hook(&self, kind: &str, reader: &Reader<'_>) -> Option<Box<dyn Hook>>;

    /// Builds a witness.
    fn witness(&self, kind: &str, reader: &Reader<'_>) -> Option<Box<dyn Witness>>;

    /// Builds a notifier.
    fn notifier(&self, kind: &str, reader: &Reader<'_>) -> Option<Box<dyn Notifier>>;

    /// The definitions that are known.
    fn definitions(&self) -> Vec<String>;

    /// The text of a definition, for the plan's snapshot.
    fn definition(&self, name: &str) -> Option<String>;

    /// Builds an account at a provider from its table and a definition's text.
    fn provider(&self, definition: &str, reader: &Reader<'_>) -> Option<Box<dyn Provider>>;
}

/// The whole configuration as meant.
pub struct Config {
    /// The file it was read from.
    pub file: PathBuf,
    /// `[daemon]`.
    pub daemon: Daemon,
    /// `[notify.NAME]`.
    pub notify: BTreeMap<String, Channel>,
    /// `[store.NAME]`.
    pub stores: BTreeMap<String, StoreTable>,
    /// `[provider.NAME]`.
    pub providers: BTreeMap<String, ProviderTable>,
    /// `[policy.NAME]`.
    pub policies: BTreeMap<String, Policy>,
    /// `[emergency]`: what SIGUSR1 does; absent = nothing but an alert.
    pub emergency: Option<EmergencyTable>,
    /// Things that are allowed and should be known: a target that no verify covers, a key older than a year.
    pub notes: Vec<Problem>,
}

/// `[daemon]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    /// In every alert; a ledger that bears another name is refused.
    pub name: String,
    /// The SQLite file (`sqlite:PATH`).
    pub ledger: PathBuf,
    /// The sealing keys: the first seals, all open.
    pub seal: Vec<SecretRef>,
    /// The control socket.
    pub control: PathBuf,
    /// Where page, metrics and health are served; `None` = off.
    pub listen: Option<Listen>,
    /// Calls under way at once.
    pub max_in_flight: usize,
    /// Rotations started in an hour.
    pub max_starts_per_hour: u32,
}

/// Where page, metrics and health are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A Unix socket (`unix:PATH`).
    Unix(PathBuf),
}

impl Listen {
    /// Only this machine can reach it: the page is served there and nowhere else.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `[notify.NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    /// Its kind.
    pub kind: String,
    /// The lowest severity it takes.
    pub severity: Severity,
    /// Who can read its credential.
    pub holders: Vec<String>,
    /// Its table.
    pub table: Table,
}

/// `[store.NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreTable {
    /// Its kind.
    pub kind: String,
    /// Who can read its credential.
    pub holders: Vec<String>,
    /// Its table.
    pub table: Table,
}

/// `[provider.NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderTable {
    /// The definition's name; the table's name by default.
    pub definition: String,
    /// Who can read its credential.
    pub holders: Vec<String>,
    /// Its table.
    pub table: Table,
}

/// `[emergency]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmergencyTable {
    /// Which policies.
    pub select: Selector,
    /// `cut-first` (default) or `deploy-first`.
    pub deploy_first: bool,
}

/// `[policy.NAME]`.
#[derive(Clone)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// The provider's table.
    pub provider: String,
    /// What the definition asks for.
    pub params: BTreeMap<String, serde_json::Value>,
    /// When it rotates.
    pub schedule: cutover_schedule::Schedule,
    /// The grace as the policy wants it.
    pub grace: Span,
    /// What the provider is asked for, or counted on: the grace mapped up to what it knows.
    pub grace_mapped: Span,
    /// Quiet.
    pub quiet: Span,
    /// Between deactivate and revoke.
    pub soak: Span,
    /// The new key's lifetime, if asked for.
    pub lifetime: Option<Span>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Who can read the key where it lives.
    pub holders: Vec<String>,
    /// The id of the key in use before cutover came, if it counts as ours.
    pub adopt: Option<String>,
    /// Where the application reads it.
    pub targets: Vec<Target>,
    /// The hooks, in order.
    pub redeploy: Vec<HookTable>,
    /// The verifies; one `confirm` where the file has none.
    pub verify: Vec<VerifyTable>,
    /// The channels that are told; empty = every one.
    pub notify: Vec<String>,
    /// Thresholds in percent, ascending.
    pub at: Vec<u8>,
}

/// `[[policy.x.target]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The store's table.
    pub store: String,
    /// The place in it.
    pub spec: TargetSpec,
    /// The settled layout: field → template text. A bare value has the one field `""`.
    pub fields: BTreeMap<String, String>,
    /// The layout while both keys live, where it differs.
    pub during: Option<BTreeMap<String, String>>,
}

/// `[[policy.x.redeploy]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct HookTable {
    /// Its kind.
    pub kind: String,
    /// Its deadline.
    pub timeout: Span,
    /// May be run again after an unknown start.
    pub repeatable: bool,
    /// Its table.
    pub table: Kept,
}

/// `[[policy.x.verify]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifyTable {
    /// What the machine knows it as.
    pub kind: VerifyKind,
    /// Its kind as typed.
    pub kind_name: String,
    /// How often it is asked.
    pub every: Span,
    /// How long it must hold.
    pub hold_for: Span,
    /// The targets it covers, as `store:path`; empty = all.
    pub covers: Vec<String>,
    /// Its table.
    pub table: Kept,
}

impl Policy {
    /// What the whole policy reads as, for telling whether an edit changed it. No secret is in it.
    #[must_use]
    pub fn identity(&self) -> String {
        let params = serde_json::to_string(&self.params).unwrap_or_default();
        format!("{}|{params}", self.provider)
    }
}
