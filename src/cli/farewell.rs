//! Last words: a daemon that ends over its ledger, or cannot open it, keeps no alert. It says so to the channels itself.

use std::path::Path;

use cutover_api::{Span, Stamp};
use tracing::{info, warn};

use crate::alert::{Channels, daemon_ended};

/// Stands beside the control socket and holds when it was said last, in milliseconds: systemd starts a daemon that fails every five seconds.
const MARK: &str = "ended.told";

/// Tells every channel that the daemon does not run, once a day. Without a place for the mark nobody is told: a message every few seconds
/// would be worse than the service manager's own word.
pub async fn say(channels: &Channels, environment: &str, control: &Path, detail: &str, now: Stamp) {
    let mark = control.with_file_name(MARK);
    if said(&mark, now) {
        return;
    }
    if let Err(error) = std::fs::write(&mark, now.0.to_string()) {
        return warn!(mark = %mark.display(), %error, "nobody is told that the daemon ends: when it was told could not be kept");
    }
    let told = channels.tell_now(&daemon_ended(environment, detail, now).message).await;
    if told.is_empty() {
        warn!("no channel took the word that the daemon ends; it is said again at the next end");
        // Where this fails it is said again tomorrow.
        let _left = std::fs::remove_file(&mark);
    } else {
        info!(channels = told.join(", "), "the channels are told that the daemon ends");
    }
}

/// Whether it was said within a day. A mark from the future is one of a clock that was wrong.
fn said(mark: &Path, now: Stamp) -> bool {
    let kept = std::fs::read_to_string(mark).ok().and_then(|text| text.trim().parse().ok().map(Stamp));
    kept.is_some_and(|at| at <= now && now.since(at) < Span::DAY)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use cutover_api::{Message, Notifier, NotifyError, Severity, Span, Stamp};

    use super::{MARK, say};
    use crate::alert::{Channel, Channels};

    /// A channel that keeps what it takes, or takes nothing.
    #[derive(Default)]
    struct Ear {
        heard: Mutex<Vec<Message>>,
        deaf: bool,
    }

    #[async_trait]
    impl Notifier for Ear {
        async fn tell(&self, message: &Message) -> Result<(), NotifyError> {
            if self.deaf {
                return Err(NotifyError { label: "refused", detail: "deaf".to_owned(), permanent: false });
            }
            self.heard.lock().expect("free").push(message.clone());
            Ok(())
        }

        async fn greet(&self) -> Result<(), NotifyError> {
            Ok(())
        }
    }

    fn channels(ears: &[&Arc<Ear>]) -> Channels {
        let channel = |(n, ear): (usize, &&Arc<Ear>)| {
            let notifier: Arc<dyn Notifier> = Arc::<Ear>::clone(ear);
            (format!("c{n}"), Channel { severity: Severity::Warning, notifier })
        };
        Channels::new(ears.iter().enumerate().map(channel).collect::<BTreeMap<_, _>>())
    }

    const NOW: Stamp = Stamp(1_800_000_000_000);

    #[tokio::test]
    async fn it_is_said_once_a_day_however_often_it_is_started() {
        let place = tempfile::tempdir().expect("a directory");
        let control = place.path().join("control.sock");
        let ear = Arc::new(Ear::default());
        let channels = channels(&[&ear, &Arc::new(Ear { deaf: true, ..Ear::default() })]);
        for seconds in [0, 5, 10, 86_399, 86_400] {
            say(&channels, "prod", &control, "ledger-io: /x: disk I/O error", NOW.plus(Span::seconds(seconds))).await;
        }
        let heard = ear.heard.lock().expect("free");
        assert_eq!(heard.len(), 2, "the first one, and the next day's");
        assert_eq!(heard[0].severity, Severity::Critical);
        assert!(heard[0].text.contains("ledger-io: /x"), "{}", heard[0].text);
        assert_ne!(heard[0].id, heard[1].id);
    }

    #[tokio::test]
    async fn what_nobody_took_is_said_again() {
        let place = tempfile::tempdir().expect("a directory");
        let control = place.path().join("control.sock");
        let deaf = Arc::new(Ear { deaf: true, ..Ear::default() });
        say(&channels(&[&deaf]), "prod", &control, "x", NOW).await;
        assert!(!place.path().join(MARK).exists());
        let ear = Arc::new(Ear::default());
        say(&channels(&[&ear]), "prod", &control, "x", NOW.plus(Span::SECOND)).await;
        assert_eq!(ear.heard.lock().expect("free").len(), 1);
    }

    #[tokio::test]
    async fn without_a_place_for_the_mark_nobody_is_told_every_five_seconds() {
        let place = tempfile::tempdir().expect("a directory");
        let ear = Arc::new(Ear::default());
        say(&channels(&[&ear]), "prod", &place.path().join("gone/control.sock"), "x", NOW).await;
        assert!(ear.heard.lock().expect("free").is_empty());
    }
}
