//! The store against a strict double that fails anywhere, and against a real emulator.

mod build;
mod fake;
mod faults;
mod moto;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use cutover_api::{Change, Outcome, Secret, Store, TargetSpec};
use tokio::sync::OnceCell;

use crate::AwsStore;
use crate::calls::{Calls, Setup};

const ROTATION: &str = "0b8f6a52-3d1e-4c57-9a64-5f2f1e0c7d01";

/// A configuration for a server on this machine.
fn config(address: &str, attempt: Duration) -> SdkConfig {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(attempt).operation_timeout(attempt * 4).build();
    let session = Some("session-canary".to_owned());
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-central-1"))
        .endpoint_url(address)
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("AKIDEXAMPLE", "test", session, None, "test")))
        .sleep_impl(aws_sdk_secretsmanager::config::SharedAsyncSleep::new(Sleeper))
        .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(1)))
        .timeout_config(timeouts)
        .build()
}

/// The SDK's sleep on tokio's timer.
#[derive(Debug)]
struct Sleeper;

impl aws_sdk_secretsmanager::config::AsyncSleep for Sleeper {
    fn sleep(&self, duration: Duration) -> aws_sdk_secretsmanager::config::Sleep {
        // The SDK's own waiting, on paused time.
        aws_sdk_secretsmanager::config::Sleep::new(tokio::time::sleep(duration))
    }
}

/// A store that does not wait long for replies that lag.
fn hasty(address: &str) -> AwsStore {
    patient_for(Duration::from_secs(20), address)
}

/// One that also gives a reply that does not come only so long.
fn patient_for(attempt: Duration, address: &str) -> AwsStore {
    let mut calls = Calls::new(&config(address, attempt));
    calls.pause = Duration::from_millis(1);
    let setup = Setup { region: "eu-central-1".to_owned(), endpoint: None, profile: None };
    AwsStore { setup, calls: OnceCell::new_with(Some(calls)) }
}

fn spec(path: &str, bare: bool) -> TargetSpec {
    TargetSpec { path: path.to_owned(), bare, options: BTreeMap::new() }
}

async fn write(
    store: &AwsStore,
    target: &TargetSpec,
    expected: Option<&str>,
    field: &str,
    value: &str,
) -> Outcome<Option<String>> {
    let value = Secret::new(value.to_owned());
    let set = BTreeMap::from([(field.to_owned(), &value)]);
    let expected = expected.map(ToOwned::to_owned);
    store.write(target, Change { set, remove: BTreeSet::new(), expected, rotation: ROTATION.to_owned() }).await
}
