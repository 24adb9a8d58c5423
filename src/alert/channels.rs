//! The channels by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover_api::{Notifier, Severity};

/// One channel.
#[derive(Clone)]
pub struct Channel {
    /// The lowest severity it takes.
    pub severity: Severity,
    /// How it tells.
    pub notifier: Arc<dyn Notifier>,
}

/// The channels by name.
#[derive(Clone, Default)]
pub struct Channels(BTreeMap<String, Channel>);

impl Channels {
    /// These channels.
    #[must_use]
    pub const fn new(channels: BTreeMap<String, Channel>) -> Self {
        Self(channels)
    }

    /// One channel.
    #[must_use]
    pub fn channel(&self, name: &str) -> Option<&Channel> {
        self.0.get(name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Channel)> {
        self.0.iter()
    }

    /// The names of those of `wanted` that take this severity; of all, where `wanted` is empty. Where none of the wanted takes it,
    /// every channel that does is told: an alert that nobody would get is worse than one that surprises.
    #[must_use]
    pub fn chosen(&self, wanted: &[String], severity: Severity) -> Vec<String> {
        let takes = |name: &String| self.0.get(name).is_some_and(|channel| channel.severity <= severity);
        let chosen: Vec<String> = self.0.keys().filter(|name| wanted.is_empty() || wanted.contains(name)).cloned().collect();
        let chosen: Vec<String> = chosen.into_iter().filter(takes).collect();
        if chosen.is_empty() { self.0.keys().filter(|name| takes(name)).cloned().collect() } else { chosen }
    }

    /// At least one of these channels accepts a login now.
    ///
    /// # Errors
    /// What every one of them said.
    pub async fn greet_one(&self, wanted: &[String]) -> Result<(), String> {
        let mut said = Vec::new();
        for name in self.chosen(wanted, Severity::Critical) {
            let Some(channel) = self.0.get(&name) else { continue };
            match channel.notifier.greet().await {
                Ok(()) => return Ok(()),
                Err(error) => said.push(format!("{name}: {error}")),
            }
        }
        if said.is_empty() {
            return Err(String::from("no alert channel is configured: nobody would be told. Add a [notify.NAME]"));
        }
        Err(format!("no alert channel accepts a login: {}", said.join("; ")))
    }
}
