//! The channels by name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cutover_api::{Message, Notifier, Severity};
use tokio::task::JoinSet;
use tracing::warn;

/// How long a channel has for a message that is told without the outbox.
const PATIENCE: Duration = Duration::from_secs(30);

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

    /// Tells every channel that takes it at once, without the outbox: for what cannot be written down. Each is given half a minute.
    /// The channels that accepted it; what the others said is logged.
    pub async fn tell_now(&self, message: &Message) -> Vec<String> {
        let mut tells = JoinSet::new();
        for name in self.chosen(&[], message.severity) {
            let Some(notifier) = self.0.get(&name).map(|channel| Arc::clone(&channel.notifier)) else { continue };
            let message = message.clone();
            tells.spawn(async move {
                let told = tokio::time::timeout(PATIENCE, notifier.tell(&message)).await;
                match told {
                    Ok(Ok(())) => return Some(name),
                    Ok(Err(error)) => warn!(channel = name, %error, "an alert that cannot be kept was not accepted"),
                    Err(_) => warn!(channel = name, "an alert that cannot be kept was not accepted in time"),
                }
                None
            });
        }
        tells.join_all().await.into_iter().flatten().collect()
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
