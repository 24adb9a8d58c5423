//! The plugins of one plan, built from its snapshot. Equal tables share one instance, and with it one login and one limit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cutover_api::{Hook, Problems, Provider, Reader, Stamp, Store, Table, Witness};
use cutover_config::Kinds;
use tokio::sync::Semaphore;

use super::snapshot::{Account, PluginTable, Snapshot, Verify};
use crate::catalog::Catalog;

/// One account with its limit.
pub struct AccountLine {
    /// The account.
    pub provider: Box<dyn Provider>,
    /// Calls it takes at once.
    pub limit: Arc<Semaphore>,
    paused_until: AtomicI64,
    denied: Mutex<Option<String>>,
}

impl AccountLine {
    /// Until when the provider asked everybody to wait.
    #[must_use]
    pub fn paused_until(&self) -> Stamp {
        Stamp(self.paused_until.load(Ordering::SeqCst))
    }

    /// A call that nothing waits for was refused for the credential.
    pub fn deny(&self, detail: String) {
        *self.denied.lock().unwrap_or_else(PoisonError::into_inner) = Some(detail);
    }

    /// Such a refusal since this was last asked.
    #[must_use]
    pub fn take_denied(&self) -> Option<String> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The provider asked to wait: every rotation of this account does.
    pub fn pause(&self, until: Stamp) {
        self.paused_until.fetch_max(until.0, Ordering::SeqCst);
    }
}

/// Every plugin a rotation needs.
pub struct Plugins {
    /// The account.
    pub account: Arc<AccountLine>,
    /// The stores by name.
    pub stores: BTreeMap<String, Arc<dyn Store>>,
    /// The hooks in order, each with what tells it from others.
    pub hooks: Vec<(String, Arc<dyn Hook>)>,
    /// The witnesses in the verifies' order; `None` for `last-used` and `confirm`.
    pub witnesses: Vec<Option<Arc<dyn Witness>>>,
}

/// Builds plugins and keeps those that are in use.
pub struct Workshop {
    catalog: Catalog,
    /// Kept by [`Workshop::warmed`].
    _system: Option<cutover_http_step::Http>,
    accounts: Mutex<BTreeMap<String, Arc<AccountLine>>>,
    stores: Mutex<BTreeMap<String, Arc<dyn Store>>>,
}

/// Calls an account takes at once where its table sets no limit.
const ACCOUNT_LIMIT: usize = 16;

impl Workshop {
    /// A workshop of this catalogue.
    #[must_use]
    pub fn new(catalog: Catalog) -> Self {
        // A new configuration also means: look at the system's CAs again.
        cutover_http_step::Http::forget_system();
        Self { catalog, _system: None, accounts: Mutex::default(), stores: Mutex::default() }
    }

    /// The same, for a daemon: the first call of an emergency must not wait until the system's CAs are read.
    #[must_use]
    pub fn warmed(self) -> Self {
        // Where it cannot be built, whoever needs it says why.
        Self { _system: cutover_http_step::Http::new(&cutover_http_step::Tls::default()).ok(), ..self }
    }

    /// The catalogue.
    #[must_use]
    pub const fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Builds the plugins of a snapshot.
    ///
    /// # Errors
    /// A sentence with every problem: the snapshot is of another version, or a file it names is gone.
    pub fn build(&self, snapshot: &Snapshot) -> Result<Plugins, String> {
        let mut stores = BTreeMap::new();
        for (name, table) in &snapshot.stores {
            stores.insert(name.clone(), self.store(name, table)?);
        }
        Ok(Plugins {
            account: self.line(&snapshot.account)?,
            stores,
            hooks: snapshot.hooks.iter().map(|hook| self.hook(hook)).collect::<Result<_, _>>()?,
            witnesses: snapshot.verifies.iter().map(|verify| self.witness(verify)).collect::<Result<_, _>>()?,
        })
    }

    /// One account's line; equal accounts share it.
    ///
    /// # Errors
    /// What is wrong with its table or definition.
    pub fn line(&self, account: &Account) -> Result<Arc<AccountLine>, String> {
        let key = format!("{}\n{}\n{}", account.name, account.table, account.definition);
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = accounts.get(&key) {
            return Ok(Arc::clone(line));
        }
        let provider = built(&format!("provider.{}", account.name), &account.table, |reader| {
            self.catalog.account(&account.definition_name, &account.definition, reader)
        })?;
        let limit = provider.max_in_flight().unwrap_or(ACCOUNT_LIMIT).max(1);
        let line = Arc::new(AccountLine {
            provider,
            limit: Arc::new(Semaphore::new(limit)),
            paused_until: AtomicI64::new(0),
            denied: Mutex::default(),
        });
        accounts.insert(key, Arc::clone(&line));
        Ok(line)
    }

    fn store(&self, name: &str, table: &PluginTable) -> Result<Arc<dyn Store>, String> {
        let key = format!("{name}\n{}", table.table);
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(&key) {
            return Ok(Arc::clone(store));
        }
        let path = format!("store.{name}");
        let store: Arc<dyn Store> = Arc::from(built(&path, &table.table, |reader| self.catalog.store(&table.kind, reader))?);
        stores.insert(key, Arc::clone(&store));
        Ok(store)
    }

    fn hook(&self, table: &PluginTable) -> Result<(String, Arc<dyn Hook>), String> {
        let hook = built("redeploy", &table.table, |reader| self.catalog.hook(&table.kind, reader))?;
        Ok((table.table.to_string(), Arc::from(hook)))
    }

    fn witness(&self, verify: &Verify) -> Result<Option<Arc<dyn Witness>>, String> {
        if !self.catalog.names()[2].contains(&verify.kind.as_str()) {
            return Ok(None);
        }
        let witness = built("verify", &verify.table, |reader| self.catalog.witness(&verify.kind, reader))?;
        Ok(Some(Arc::from(witness)))
    }
}

/// Builds one plugin from a table as JSON.
fn built<T>(path: &str, json: &serde_json::Value, build: impl FnOnce(&Reader<'_>) -> Option<T>) -> Result<T, String> {
    let table = Table::from_json(json).ok_or_else(|| format!("{path}: its table cannot be read back"))?;
    let problems = Problems::default();
    let reader = Reader::new(&table, path, &problems);
    let plugin = build(&reader);
    match plugin {
        Some(plugin) => Ok(plugin),
        None => {
            let all: Vec<_> = problems.take().iter().map(ToString::to_string).collect();
            Err(all.join("; "))
        }
    }
}
