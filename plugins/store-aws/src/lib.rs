//! The store that keeps keys in AWS Secrets Manager.
//!
//! A target's path is the name or ARN of a secret that exists; cutover makes none. A secret with fields is a JSON object whose string
//! members are the fields; everything else in it is kept byte for byte. A bare secret is the whole `SecretString`.
//!
//! Credentials come from the SDK's own chain (environment, shared files, web identity, container and instance roles) at the first
//! call, and the SDK renews them. SSO profiles and `credential_process` are left out: they need a person, or start programs.
//!
//! Permissions: `secretsmanager:GetSecretValue`, `DescribeSecret`, `PutSecretValue`, `UpdateSecretVersionStage` on the secret, and
//! `kms:Decrypt` and `kms:GenerateDataKey` where it has a key of its own.
//!
//! A crash or a lost reply can leave a version of cutover's under `AWSPENDING`; the next write goes on from it or pushes it aside.
//! A pending version of anybody else is left alone, and writes are refused until it is gone.

mod calls;
mod fault;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use cutover_api::{Cause, Change, Class, Outcome, Reader, Reading, Secret, Store, Surroundings, TargetSpec};
use cutover_json_edit::Names;
use tokio::sync::OnceCell;
use url::{Host, Url};

use crate::calls::{CURRENT, Calls, Move, Setup};
use crate::fault::{Fault, Result};
use crate::write::Found;

/// After this long all calls of one operation together are given up on.
const DEADLINE: Duration = Duration::from_secs(90);

/// Keys in AWS Secrets Manager, in one account and region.
pub struct AwsStore {
    setup: Setup,
    calls: OnceCell<Calls>,
}

impl AwsStore {
    /// Reads `[store.NAME]` with `kind = "aws-secrets-manager"`: `region`; `endpoint_url` (for emulators) and `profile` are optional.
    /// Opens nothing and sends nothing. Reports every problem; `None` when there is one.
    #[must_use]
    pub fn build(reader: &Reader<'_>, _surroundings: &Surroundings) -> Option<Self> {
        reader.known("kind");
        reader.known("holders");
        let before = reader.problems().count();
        let region = reader.require_text("region", "must be an AWS region such as \"eu-central-1\"");
        let is_region =
            |text: &str| text.len() <= 32 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if region.is_some_and(|text| !is_region(text)) {
            reader.wrong("region", "is not the name of a region", "must be one such as \"eu-central-1\"");
        }
        let endpoint = reader.text("endpoint_url");
        if let Some(Err((wrong, right))) = endpoint.map(check_endpoint) {
            reader.wrong("endpoint_url", wrong, right);
        }
        let profile = reader.text("profile");
        if profile == Some("") {
            reader.wrong("profile", "is empty", "must be the name of a profile in ~/.aws/config, or be left out");
        }
        reader.finish();
        if reader.problems().count() > before {
            return None;
        }
        let setup = Setup {
            region: region?.to_owned(),
            endpoint: endpoint.map(ToOwned::to_owned),
            profile: profile.map(ToOwned::to_owned),
        };
        Some(Self { setup, calls: OnceCell::new() })
    }

    /// A store that uses this configuration of the SDK as it is, for tests against an emulator. Its retries are replaced: reads are
    /// sent up to three times, writes once.
    #[must_use]
    pub fn with_config(config: &SdkConfig) -> Self {
        let setup = Setup { region: String::new(), endpoint: None, profile: None };
        Self { setup, calls: OnceCell::new_with(Some(Calls::new(config))) }
    }

    async fn calls(&self) -> &Calls {
        self.calls.get_or_init(|| Calls::load(&self.setup)).await
    }

    async fn read_fields(&self, target: &TargetSpec, fields: &BTreeSet<String>) -> Result<Reading> {
        let step = "read";
        let Found::Value(version) = write::find(self.calls().await, &target.path, step).await? else {
            return Ok(Reading { fields: BTreeMap::new(), version: None });
        };
        let found = if fields.is_empty() {
            BTreeMap::new()
        } else if target.bare {
            let whole = fields.contains("").then(|| (String::new(), Secret::new(version.text.as_str().to_owned())));
            whole.into_iter().collect()
        } else {
            cutover_json_edit::read(&version.text, fields, Names::TopLevel)
                .map_err(|error| Fault::refused(Class::Refused, step, error.to_string()))?
        };
        Ok(Reading { fields: found, version: Some(version.id) })
    }

    /// Puts the current version's own content under its own id and label, which Secrets Manager takes as a repeat and ignores; then
    /// asks for the label to go where it is. The second is answered with success or with a complaint about the parameters, and
    /// without `RemoveFromVersionId` it can never take the label from another version; both need exactly the permissions of a write.
    async fn prove_write(&self, target: &TargetSpec) -> Result<()> {
        let step = "prove";
        let (calls, secret) = (self.calls().await, target.path.as_str());
        let found = write::find(calls, secret, step).await?;
        if matches!(found, Found::Nothing) {
            return Err(Fault::refused(Class::Gone, step, "the secret is not there; create it first, cutover makes none"));
        }
        write::check_pending(calls, secret, step).await?;
        // A secret without a value has no version to repeat: its first write is the proof.
        let Found::Value(version) = found else { return Ok(()) };
        if !target.bare {
            cutover_json_edit::edit(&version.text, &BTreeMap::new(), &BTreeSet::new(), Names::TopLevel)
                .map_err(|error| Fault::refused(Class::Refused, step, error.to_string()))?;
        }
        calls.put(secret, &version.id, &version.text, CURRENT, step).await?;
        let same = Move { label: CURRENT, to: Some(&version.id), from: None };
        match calls.relabel(secret, same, step).await {
            Err(fault) if !matches!(fault.code(), Some("InvalidParameterException" | "InvalidRequestException")) => Err(fault),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Store for AwsStore {
    /// Reads `path`, the name or ARN of a secret. Looks at `value` only to know whether it is bare; that key belongs to the caller.
    fn target(&self, reader: &Reader<'_>) -> Option<TargetSpec> {
        let path = reader.require_text("path", "must be the name or ARN of a secret")?;
        if let Err((wrong, right)) = check_path(path, &self.setup.region) {
            reader.wrong("path", wrong, right);
            return None;
        }
        Some(TargetSpec { path: path.to_owned(), bare: reader.has("value"), options: BTreeMap::new() })
    }

    async fn read(&self, target: &TargetSpec, fields: &BTreeSet<String>) -> Outcome<Reading> {
        within("read", self.read_fields(target, fields)).await
    }

    async fn prove(&self, target: &TargetSpec) -> Outcome<()> {
        within("prove", self.prove_write(target)).await
    }

    async fn write(&self, target: &TargetSpec, change: Change<'_>) -> Outcome<Option<String>> {
        within("write", async { write::write(self.calls().await, &target.path, target.bare, &change).await }).await.map(Some)
    }
}

/// The outcome of an operation that has a deadline. One that is dropped in the middle is healed by its repeat.
async fn within<T>(step: &str, work: impl Future<Output = Result<T>> + Send) -> Outcome<T> {
    match tokio::time::timeout(DEADLINE, work).await {
        Ok(result) => result.map_or_else(Outcome::from, Outcome::Done),
        Err(_) => Outcome::Unknown(Cause::new(step, "timeout").hint("AWS did not answer in 90 s")),
    }
}

/// What is wrong with a key and what would be right.
type Wrong = (String, &'static str);

/// An endpoint other than AWS's own must be https, as secrets go there; an emulator on this machine may do without.
fn check_endpoint(text: &str) -> std::result::Result<(), Wrong> {
    let right = "must be https://HOST, or http://127.0.0.1:PORT for an emulator on this machine";
    let url = Url::parse(text).map_err(|_| ("is not a URL".to_owned(), right))?;
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(("holds a user name or a password".to_owned(), right));
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if local => Ok(()),
        _ => Err(("would send secrets in clear".to_owned(), right)),
    }
}

/// The name of a secret, or its ARN in the store's region.
fn check_path(path: &str, region: &str) -> std::result::Result<(), Wrong> {
    let right = "must be a name of at most 512 letters, digits and /_+=.@-, or a secret's ARN in the store's region";
    let name = |text: &str, most: usize| {
        !text.is_empty() && text.len() <= most && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+=.@-".contains(&b))
    };
    let Some(arn) = path.strip_prefix("arn:") else {
        return if name(path, 512) { Ok(()) } else { Err(("is not the name of a secret".to_owned(), right)) };
    };
    match arn.split(':').collect::<Vec<_>>()[..] {
        [_, "secretsmanager", place, account, "secret", id] if name(id, 519) && account.bytes().all(|b| b.is_ascii_digit()) => {
            if region.is_empty() || place == region {
                return Ok(());
            }
            Err((format!("is in region {place:?}, and the store is in {region:?}"), right))
        }
        _ => Err(("is not the ARN of a secret".to_owned(), right)),
    }
}

#[cfg(test)]
mod tests;
