//! The four calls to Secrets Manager that are made, and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_secretsmanager::Client;
use cutover_api::Class;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;
use zeroize::Zeroizing;

use crate::fault::{Fault, Result};

pub(crate) const CURRENT: &str = "AWSCURRENT";
pub(crate) const PENDING: &str = "AWSPENDING";

/// Together with ten looks about eleven seconds: replicas of Secrets Manager have been seen to lag by some seconds.
const PAUSE: Duration = Duration::from_millis(100);

/// One version of a secret.
pub(crate) struct Version {
    pub(crate) id: String,
    pub(crate) text: Zeroizing<String>,
}

/// Which version is asked for.
#[derive(Clone, Copy)]
pub(crate) enum Which<'a> {
    /// The one that applications read. Always asked for by its label: without one an emulator may answer with another.
    Current,
    /// By its id.
    Id(&'a str),
}

/// What is known of a secret without its values.
pub(crate) struct Outline {
    /// It is going to be deleted and takes no writes.
    pub(crate) deleted: bool,
    /// The version that has a label, by label.
    pub(crate) labels: BTreeMap<String, String>,
}

/// Where a label goes.
pub(crate) struct Move<'a> {
    pub(crate) label: &'a str,
    pub(crate) to: Option<&'a str>,
    pub(crate) from: Option<&'a str>,
}

/// How the client is set up.
pub(crate) struct Setup {
    pub(crate) region: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) profile: Option<String>,
}

/// Secrets Manager. A read may be sent three times, a write once: what follows a lost reply is for the engine to decide.
pub(crate) struct Calls {
    reads: Client,
    writes: Client,
    /// The pause before a reply that lags is asked for again; each further one is half as long again.
    pub(crate) pause: Duration,
}

/// Keeps what the SDK logs to itself: at level trace it prints the session token among the headers, the text of errors, and where an
/// environment variable asks for it whole bodies.
async fn quiet<T>(call: impl Future<Output = T>) -> T {
    call.with_subscriber(NoSubscriber::default()).await
}

/// The deadlines of a call.
pub(crate) fn deadlines() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(10))
        .operation_timeout(Duration::from_secs(30))
        .build()
}

impl Calls {
    /// Loads the SDK's configuration: environment, shared files, instance metadata. Sends nothing; credentials come at the first call.
    pub(crate) async fn load(setup: &Setup) -> Self {
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new(setup.region.clone()))
            .timeout_config(deadlines());
        if let Some(endpoint) = &setup.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(profile) = &setup.profile {
            loader = loader.profile_name(profile);
        }
        Self::new(&quiet(loader.load()).await)
    }

    /// With the SDK's configuration as it is, its retries excepted.
    pub(crate) fn new(config: &SdkConfig) -> Self {
        let client = |retries| {
            let builder = aws_sdk_secretsmanager::config::Builder::from(config);
            Client::from_conf(builder.retry_config(retries).build())
        };
        let reads = config.retry_config().cloned().unwrap_or_else(RetryConfig::standard).with_max_attempts(3);
        Self { reads: client(reads), writes: client(RetryConfig::disabled()), pause: PAUSE }
    }

    /// Reads one version. A version without text is refused.
    pub(crate) async fn get(&self, secret: &str, which: Which<'_>, step: &str) -> Result<Version> {
        let call = self.reads.get_secret_value().secret_id(secret);
        let call = match which {
            Which::Current => call.version_stage(CURRENT),
            Which::Id(id) => call.version_id(id),
        };
        let answer = quiet(call.send()).await.map_err(|error| Fault::of(&error, step, "GetSecretValue"))?;
        match (answer.version_id, answer.secret_string) {
            (Some(id), Some(text)) => Ok(Version { id, text: Zeroizing::new(text) }),
            (Some(_), None) => Err(Fault::refused(Class::Refused, step, "the secret holds binary data; store it as text")),
            (None, _) => Err(Fault::refused(Class::Refused, step, "the answer names no version; is this Secrets Manager?")),
        }
    }

    /// Looks at a secret's labels.
    pub(crate) async fn describe(&self, secret: &str, step: &str) -> Result<Outline> {
        let call = self.reads.describe_secret().secret_id(secret);
        let answer = quiet(call.send()).await.map_err(|error| Fault::of(&error, step, "DescribeSecret"))?;
        let versions = answer.version_ids_to_stages.unwrap_or_default();
        let labels = versions.into_iter().flat_map(|(id, labels)| labels.into_iter().map(move |label| (label, id.clone())));
        Ok(Outline { deleted: answer.deleted_date.is_some(), labels: labels.collect() })
    }

    /// Puts a version with this id (the client request token) and one label. With an id and content that are there already it is
    /// nothing; with an id that is there and another content it is refused.
    pub(crate) async fn put(&self, secret: &str, id: &str, text: &str, label: &str, step: &str) -> Result<()> {
        let call = self.writes.put_secret_value().secret_id(secret).client_request_token(id);
        let call = call.secret_string(text).version_stages(label);
        quiet(call.send()).await.map(drop).map_err(|error| Fault::of(&error, step, "PutSecretValue"))
    }

    /// Moves or removes a label. AWS refuses a move of a label that is on another version than `from` says.
    pub(crate) async fn relabel(&self, secret: &str, what: Move<'_>, step: &str) -> Result<()> {
        let call = self.writes.update_secret_version_stage().secret_id(secret).version_stage(what.label);
        let call = call.set_move_to_version_id(what.to.map(ToOwned::to_owned));
        let call = call.set_remove_from_version_id(what.from.map(ToOwned::to_owned));
        quiet(call.send()).await.map(drop).map_err(|error| Fault::of(&error, step, "UpdateSecretVersionStage"))
    }
}
