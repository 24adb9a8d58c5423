//! The plugins that are built in, as the catalogue of the program has them.

use std::sync::Arc;

use cutover_api::{
    Clock, Hook, Notifier, Provider, Reader, References, Secret, SecretRef, Stamp, Store, Surroundings, Witness,
};
use cutover_config::Kinds;
use cutover_hook_command::{CommandHook, CommandWitness};
use cutover_hook_http::{ConsumerWitness, HttpHook};
use cutover_hook_systemd::SystemdHook;
use cutover_notify_smtp::SmtpNotifier;
use cutover_notify_webhook::WebhookNotifier;
use cutover_provider_http::{Definition, HttpProvider, shipped};
use cutover_store_aws::AwsStore;
use cutover_store_file::FileStore;
use cutover_store_vault::VaultStore;

/// Definitions that test what the shipped ones do not have.
const OTHERS: &[(&str, &str)] = &[
    ("at-once", include_str!("definitions/at-once.toml")),
    ("own-use", include_str!("definitions/own-use.toml")),
    ("clocked", include_str!("definitions/clocked.toml")),
    ("outputs", include_str!("definitions/outputs.toml")),
];

/// No reference may be opened and no clock read while a configuration is loaded.
struct Untouched;

impl References for Untouched {
    fn open(&self, reference: &SecretRef) -> Result<Secret, String> {
        panic!("{reference} was opened");
    }
}

impl Clock for Untouched {
    fn now(&self) -> Stamp {
        panic!("the clock was read");
    }
}

pub struct Real(Surroundings);

impl Real {
    pub fn new() -> Self {
        Self(Surroundings { references: Arc::new(Untouched), clock: Arc::new(Untouched) })
    }
}

impl Kinds for Real {
    fn names(&self) -> [Vec<&'static str>; 4] {
        [
            vec!["vault", "aws-secrets-manager", "file"],
            vec!["command", "http", "systemd"],
            vec!["consumer", "command"],
            vec!["smtp", "webhook"],
        ]
    }

    fn store(&self, kind: &str, reader: &Reader<'_>) -> Option<Box<dyn Store>> {
        Some(match kind {
            "vault" => Box::new(VaultStore::build(reader, &self.0)?),
            "aws-secrets-manager" => Box::new(AwsStore::build(reader, &self.0)?),
            "file" => Box::new(FileStore::build(reader, &self.0)?),
            _ => return None,
        })
    }

    fn hook(&self, kind: &str, reader: &Reader<'_>) -> Option<Box<dyn Hook>> {
        Some(match kind {
            "command" => Box::new(CommandHook::build(reader, &self.0)?),
            "http" => Box::new(HttpHook::build(reader, &self.0)?),
            "systemd" => Box::new(SystemdHook::build(reader, &self.0)?),
            _ => return None,
        })
    }

    fn witness(&self, kind: &str, reader: &Reader<'_>) -> Option<Box<dyn Witness>> {
        Some(match kind {
            "consumer" => Box::new(ConsumerWitness::build(reader, &self.0)?),
            "command" => Box::new(CommandWitness::build(reader, &self.0)?),
            _ => return None,
        })
    }

    fn notifier(&self, kind: &str, reader: &Reader<'_>) -> Option<Box<dyn Notifier>> {
        Some(match kind {
            "smtp" => Box::new(SmtpNotifier::build(reader, &self.0)?),
            "webhook" => Box::new(WebhookNotifier::build(reader, &self.0)?),
            _ => return None,
        })
    }

    fn definitions(&self) -> Vec<String> {
        shipped().iter().chain(OTHERS).map(|(name, _)| (*name).to_owned()).collect()
    }

    fn definition(&self, name: &str) -> Option<String> {
        let found = shipped().iter().chain(OTHERS).find(|(known, _)| *known == name);
        found.map(|(_, text)| (*text).to_owned())
    }

    fn provider(&self, definition: &str, reader: &Reader<'_>) -> Option<Box<dyn Provider>> {
        let parsed = Definition::parse(definition, &self.definition(definition)?);
        let parsed = parsed.unwrap_or_else(|problems| panic!("{definition}: {problems:?}"));
        Some(Box::new(HttpProvider::build(&parsed, reader, &self.0)?))
    }
}
