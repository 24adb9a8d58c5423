//! One account at one provider, built from its table in the configuration.

use std::collections::BTreeMap;

use cutover_api::{ProviderFacts, Reader, SecretRef, Surroundings};
use cutover_http_step::{Origins, origin};
use cutover_machine::plan::Authority;
use tokio::sync::Mutex;

use crate::declared::Signs;
use crate::definition::Definition;
use crate::head::checked_origin;
use crate::holdings::{Holdings, reference};
use crate::line::Line;
use crate::login::Logins;

/// A provider that speaks HTTP as its definition says: one account.
pub struct HttpProvider {
    pub(crate) definition: Definition,
    pub(crate) facts: ProviderFacts,
    pub(crate) base_url: String,
    pub(crate) origins: Origins,
    pub(crate) holdings: Holdings,
    pub(crate) line: Line,
    pub(crate) logins: Mutex<Logins>,
    pub(crate) surroundings: Surroundings,
    max_in_flight: Option<usize>,
}

impl HttpProvider {
    /// Builds an account from its `[provider.NAME]` table and reports every problem of it; opens no reference. `None` when nothing
    /// usable came out. The key `definition` belongs to the caller and only counts as known here.
    #[must_use]
    pub fn build(definition: &Definition, account: &Reader<'_>, surroundings: &Surroundings) -> Option<Self> {
        account.known("definition");
        let base_url = base_url(definition, account);
        let hosts = hosts(definition, account);
        let ca = account.has("ca").then(|| account.require_text("ca", "the path of a file of CA certificates (PEM)"));
        let client_cert = account.has("client_cert").then(|| reference(account, "client_cert"));
        let max_in_flight = account.integer("max_in_flight", 1..=10_000).and_then(|n| usize::try_from(n).ok());
        account.texts("holders");
        let own = own_authority(definition, account);
        let holdings = holdings(definition, account, own);
        account.finish();
        if client_cert.as_ref().is_some_and(Option::is_none) || ca.is_some_and(|path| path.is_none()) {
            return None;
        }
        let ca = ca.flatten().map(|path| SecretRef::File(path.to_owned()));
        let base_url = base_url?;
        let origins = Origins {
            base: origin(&base_url).ok(),
            hosts: hosts?.into_iter().filter_map(|(name, text)| Some((name, origin(&text).ok()?))).collect(),
        };
        let mut facts = definition.facts().clone();
        facts.declares.authority = if own { Authority::Own } else { Authority::Separate };
        Some(Self {
            definition: definition.clone(),
            facts,
            base_url,
            origins,
            holdings: holdings?,
            line: Line::new(ca, client_cert.flatten()),
            logins: Mutex::default(),
            surroundings: surroundings.clone(),
            max_in_flight,
        })
    }

    /// The definition it was built from.
    #[must_use]
    pub const fn definition(&self) -> &Definition {
        &self.definition
    }

    pub(crate) const fn in_flight(&self) -> Option<usize> {
        self.max_in_flight
    }
}

impl std::fmt::Debug for HttpProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpProvider")
            .field("definition", &self.definition.name())
            .field("base_url", &self.base_url)
            .finish_non_exhaustive()
    }
}

fn base_url(definition: &Definition, account: &Reader<'_>) -> Option<String> {
    if account.has("base_url") {
        let text = account.require_text("base_url", "https://…")?;
        return checked_origin(account, "base_url", text);
    }
    account.known("base_url");
    if definition.head().base_url.is_none() {
        let right = format!("https://…: definition \"{}\" leaves it to each account", definition.name());
        account.wrong("base_url", "missing", right);
    }
    definition.head().base_url.clone()
}

/// The definition's hosts, each replaced by the account's own where it names one.
fn hosts(definition: &Definition, account: &Reader<'_>) -> Option<BTreeMap<String, String>> {
    let mut hosts = definition.head().hosts.clone();
    let Some(table) = account.has("hosts").then(|| account.table("hosts")) else {
        account.known("hosts");
        return Some(hosts);
    };
    let table = table?;
    let mut whole = true;
    for (name, host) in &mut hosts {
        let Some(text) = table.text(name) else {
            whole &= !table.has(name);
            continue;
        };
        match checked_origin(&table, name, text) {
            Some(own) => *host = own,
            None => whole = false,
        }
    }
    table.finish();
    whole.then_some(hosts)
}

/// Whether the key itself signs in this account.
fn own_authority(definition: &Definition, account: &Reader<'_>) -> bool {
    let said = account.choice("authority", &[("self", true), ("separate", false)]);
    let declared = match definition.declared.signs {
        Signs::Own => true,
        Signs::Separate => false,
        Signs::Either => return said.unwrap_or(!account.has("credential")),
    };
    if said.is_some_and(|said| said != declared) {
        let only = if declared { "\"self\"" } else { "\"separate\"" };
        account.wrong("authority", "is not what the definition knows", format!("{only}, or no such key"));
    }
    declared
}

fn holdings(definition: &Definition, account: &Reader<'_>, own: bool) -> Option<Holdings> {
    let given = account.has("credential");
    if own || !definition.signs {
        account.known("credential");
        if given {
            let why = if own { "the key itself signs" } else { "the definition says no credential" };
            account.wrong("credential", "is never used", format!("no such key: {why}"));
            return None;
        }
        return Some(Holdings::Nothing);
    }
    if !given {
        account.known("credential");
        let right = match &definition.head().credentials {
            None => "{ env = \"NAME\" }, { file = \"/path\" } or { credential = \"NAME\" }".to_owned(),
            Some(names) => format!("a table with one reference each for {}", names.join(", ")),
        };
        account.wrong("credential", "missing", right);
        return None;
    }
    Holdings::load(account, definition.head().credentials.as_deref())
}
