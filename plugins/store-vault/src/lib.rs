//! The store `vault`: paths of a KV v2 engine of Vault or OpenBao.
//!
//! Every write is one compare-and-set of the whole path: what stands there is read, changed in the named fields only, and written back
//! with the version it was read at. Nothing here retries but one fresh login after a 403; the engine decides what is tried again.

mod kv;
mod path;
mod session;
mod settings;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cutover_api::{Cause, Change, Class, Outcome, Reader, Reading, Refusal, Store, Surroundings, TargetSpec};
use rustify::endpoint::Endpoint;
use vaultrs::api::kv2::requests::ReadSecretRequest;

use crate::kv::{NEVER, Page, Raw};
use crate::session::Sessions;
use crate::settings::Settings;
use crate::wire::{Patience, Reply, Trouble, Wire};

/// How often a read is repeated that shows less than this store wrote, and how long it waits in between (5 s in all).
const CATCH_UP: (u32, Duration) = (20, Duration::from_millis(250));

/// A KV v2 engine.
pub struct VaultStore {
    mount: String,
    wire: Wire,
    sessions: Sessions,
    /// The mount is known to be KV v2. On KV v1 the same requests succeed, compare nothing and write another path.
    versioned: AtomicBool,
    /// The newest version this store wrote, by path: a standby that lags shows an older one.
    written: Mutex<BTreeMap<String, u64>>,
}

impl VaultStore {
    /// Builds the store from its table `[store.x]` (`kind` included) and reports every problem; `None` when there was one.
    /// Opens no file, no reference and no connection.
    #[must_use]
    pub fn build(reader: &Reader<'_>, surroundings: &Surroundings) -> Option<Self> {
        let settings = Settings::read(reader)?;
        Some(Self::new(settings, surroundings.clone(), Patience::default()))
    }

    fn new(settings: Settings, surroundings: Surroundings, patience: Patience) -> Self {
        let Settings { address, mount, namespace, ca, auth } = settings;
        Self {
            mount,
            wire: Wire::new(address, namespace, ca, patience),
            sessions: Sessions::new(auth, surroundings),
            versioned: AtomicBool::new(false),
            written: Mutex::default(),
        }
    }

    /// Makes one request with a token; after a 403 once more with another token. Any reply but 403.
    async fn call<E: Endpoint>(&self, step: &str, verbs: &str, path: &str, make: impl Fn() -> E) -> Result<Reply, Trouble> {
        let mut held = self.sessions.token(&self.wire).await.map_err(Trouble::Refused)?;
        let mut reply = self.wire.send(step, make(), Some(&held.token)).await?;
        if reply.status == 403
            && !held.fresh
            && let Some(another) = self.sessions.another(&self.wire, &held).await.map_err(Trouble::Refused)?
        {
            held = another;
            reply = self.wire.send(step, make(), Some(&held.token)).await?;
        }
        if reply.status != 403 {
            return Ok(reply);
        }
        let (class, hint) = if held.doubtful {
            (
                Class::Auth,
                "the token was not accepted, or its policies allow neither this nor auth/token/lookup-self".to_owned(),
            )
        } else {
            (Class::Scope, format!("a policy of this login must grant {verbs} on \"{path}\""))
        };
        Err(Trouble::Refused(Refusal::new(class, step).status(403).hint(hint)))
    }

    /// What the server answers to a read of the path now.
    async fn fetch(&self, step: &str, path: &str) -> Result<Reply, Trouble> {
        let request = || ReadSecretRequest { mount: self.mount.clone(), path: path.to_owned(), version: None };
        self.call(step, "\"read\"", &format!("{}/data/{path}", self.mount), request).await
    }

    fn page<'a>(&self, step: &str, reply: &'a Reply) -> Result<Page<'a>, Trouble> {
        let page = Page::of(reply, step, &self.mount)?;
        if page.version.is_some() {
            self.versioned.store(true, Ordering::Relaxed);
        }
        Ok(page)
    }

    /// Reads until the path shows at least what was last written here, or the wait is over: then what is seen is what is there
    /// (somebody deleted the path with all its versions).
    async fn caught_up(&self, step: &str, path: &str) -> Result<Reply, Trouble> {
        let floor = self.written.lock().unwrap_or_else(PoisonError::into_inner).get(path).copied();
        let mut reply = self.fetch(step, path).await?;
        for _ in 0..CATCH_UP.0 {
            if floor.is_none() || self.page(step, &reply)?.version >= floor {
                return Ok(reply);
            }
            tokio::time::sleep(CATCH_UP.1).await;
            reply = self.fetch(step, path).await?;
        }
        if self.page(step, &reply)?.version < floor {
            self.written.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
        }
        Ok(reply)
    }

    /// Makes sure that the mount compares versions, where no read has shown it yet.
    async fn ensure_versioned(&self, step: &str) -> Result<(), Trouble> {
        if self.versioned.load(Ordering::Relaxed) {
            return Ok(());
        }
        let path = format!("sys/internal/ui/mounts/{}", self.mount);
        let reply = self.call(step, "at least one right", &format!("{}/", self.mount), || Raw::mount(&self.mount)).await?;
        if reply.status != 200 {
            let trouble = reply.trouble(step);
            return Err(match trouble {
                Trouble::Refused(refusal) => Trouble::Refused(refusal.hint(format!(
                    "whether \"{}\" is KV v2 cannot be asked at \"{path}\" and no secret there shows it",
                    self.mount
                ))),
                unknown @ Trouble::Unknown(_) => unknown,
            });
        }
        if !kv::is_v2(&reply) {
            let hint = format!(
                "\"{}\" is no KV engine of version 2: a write there could not be compared; upgrade it or name another `mount`",
                self.mount
            );
            return Err(Trouble::refused(Class::Refused, step, hint));
        }
        self.versioned.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn try_read(&self, target: &TargetSpec, fields: &BTreeSet<String>) -> Result<Reading, Trouble> {
        let path = checked("read", target)?;
        let reply = self.caught_up("read", path).await?;
        let page = self.page("read", &reply)?;
        let mut found = BTreeMap::new();
        for field in fields {
            let Ok(text) = page.text(field) else {
                let hint = format!("field \"{field}\" holds something that is no string; only strings can be keys");
                return Err(Trouble::refused(Class::Refused, "read", hint));
            };
            if let Some(text) = text {
                found.insert(field.clone(), text);
            }
        }
        Ok(Reading { fields: found, version: page.version.map(|version| version.to_string()) })
    }

    async fn try_prove(&self, target: &TargetSpec) -> Result<(), Trouble> {
        let path = checked("prove", target)?;
        // A write reads first, so it is proved that this may be read too.
        let reply = self.fetch("prove", path).await?;
        let version = self.page("prove", &reply)?.version.unwrap_or(0);
        if version >= NEVER {
            return Err(Trouble::refused(Class::Refused, "prove", "this path has too many versions to be compared safely"));
        }
        self.ensure_versioned("prove").await?;
        let body = kv::impossible().ok_or_else(|| unbuilt("prove"))?;
        let reply = self.put("prove", path, &body).await?;
        if failed_compare(&reply) {
            return Ok(());
        }
        Err(reply.trouble("prove"))
    }

    async fn put(&self, step: &str, path: &str, body: &[u8]) -> Result<Reply, Trouble> {
        let place = format!("{}/data/{path}", self.mount);
        self.call(step, "\"create\" and \"update\"", &place, || Raw::write(&self.mount, path, body)).await
    }

    async fn try_write(&self, target: &TargetSpec, change: &Change<'_>) -> Result<Option<String>, Trouble> {
        let path = checked("write", target)?;
        // Everything up to the one write below changes nothing, whatever becomes of it.
        let before = |trouble: Trouble| Trouble::Refused(trouble.before("nothing was written"));
        let expected = match change.expected.as_deref().map(str::parse::<u64>) {
            None => 0,
            Some(Ok(version)) if (1..NEVER).contains(&version) => version,
            Some(_) => return Err(Trouble::refused(Class::Refused, "write", "the expected version is not one of this store")),
        };
        let reply = self.caught_up("write", path).await.map_err(before)?;
        let page = self.page("write", &reply).map_err(before)?;
        if page.version.unwrap_or(0) != expected {
            return Err(moved_on(None));
        }
        self.ensure_versioned("write").await.map_err(before)?;
        let body = page.changed(change, expected).ok_or_else(|| unbuilt("write"))?;
        let reply = self.put("write", path, &body).await?;
        if failed_compare(&reply) {
            return Err(moved_on(Some(400)));
        }
        if !matches!(reply.status, 200..=299) {
            return Err(refused_write(&reply));
        }
        let version = kv::written(&reply).filter(|version| *version > expected);
        let version = version.ok_or_else(|| reply.trouble("write"))?;
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), version);
        Ok(Some(version.to_string()))
    }
}

/// The server compared and found another version.
fn failed_compare(reply: &Reply) -> bool {
    reply.status == 400 && reply.says("check-and-set parameter did not match")
}

fn moved_on(status: Option<i32>) -> Trouble {
    let hint = "somebody else wrote this path since it was read; nothing was written, it is read again";
    Trouble::Refused(Refusal { status, ..Refusal::new(Class::Exists, "write").hint(hint) })
}

fn refused_write(reply: &Reply) -> Trouble {
    match reply.trouble("write") {
        Trouble::Refused(refusal) if refusal.hint.is_none() => {
            Trouble::Refused(refusal.hint("the server refused this write; nothing was written"))
        }
        other => other,
    }
}

/// A sealed Vault does nothing. For a read and for a proof, which have no effect anyway, that is certain enough; for a write it is
/// not, since a 503 may come from something in between.
fn sealed(step: &str, trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Unknown(Cause { status: Some(503), hint: Some(hint), .. }) => {
            Trouble::Refused(Refusal::new(Class::Refused, step).status(503).hint(hint))
        }
        other => other,
    }
}

fn unbuilt(step: &str) -> Trouble {
    Trouble::refused(Class::Unsent, step, "the request could not be put together")
}

/// The target's path, checked again: a plan may come from an older snapshot, and what goes into a URL must be plain.
fn checked<'a>(step: &str, target: &'a TargetSpec) -> Result<&'a str, Trouble> {
    if target.bare {
        return Err(Trouble::refused(Class::Refused, step, "a Vault path holds fields, not a bare value"));
    }
    match path::fault(&target.path) {
        Some((wrong, right)) => Err(Trouble::refused(Class::Refused, step, format!("the path {wrong}: {right}"))),
        None => Ok(&target.path),
    }
}

#[async_trait]
impl Store for VaultStore {
    fn target(&self, reader: &Reader<'_>) -> Option<TargetSpec> {
        let before = reader.problems().count();
        for option in ["format", "owner", "mode"] {
            if reader.node(option).is_some() {
                reader.wrong(option, "is not an option of a target in a vault store", "leave it out; it is for file stores");
            }
        }
        if reader.has("value") {
            reader.wrong(
                "value",
                "a Vault path holds fields, not a bare value",
                "write fields = { NAME = \"{{ new.secret }}\" }",
            );
        }
        let path = reader.require_text("path", "must name a path below the mount such as \"apps/crm\"")?;
        if let Some((wrong, right)) = path::fault(path) {
            reader.wrong("path", wrong, right);
        } else if path::names_the_api(&self.mount, path) {
            reader.wrong("path", "begins with the mount and the API's own part", "must be the path below the mount only");
        }
        let target = TargetSpec { path: path.to_owned(), bare: false, options: BTreeMap::new() };
        (reader.problems().count() == before).then_some(target)
    }

    async fn read(&self, target: &TargetSpec, fields: &BTreeSet<String>) -> Outcome<Reading> {
        self.try_read(target, fields).await.map_err(|trouble| sealed("read", trouble)).map_or_else(Outcome::from, Outcome::Done)
    }

    async fn prove(&self, target: &TargetSpec) -> Outcome<()> {
        self.try_prove(target).await.map_err(|trouble| sealed("prove", trouble)).map_or_else(Outcome::from, Outcome::Done)
    }

    async fn write(&self, target: &TargetSpec, change: Change<'_>) -> Outcome<Option<String>> {
        self.try_write(target, &change).await.map_or_else(Outcome::from, Outcome::Done)
    }
}

#[cfg(test)]
mod tests;
