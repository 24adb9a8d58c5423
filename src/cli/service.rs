//! What the service manager is told: ready, how things stand, that the drain loop turns, the end. Without `$NOTIFY_SOCKET` there is
//! nobody to tell.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinHandle;
use tracing::warn;

use super::words::counted;
use crate::control::Verbs;
use crate::engine::Tally;

/// How old what is told may be.
const FRESH: Duration = Duration::from_secs(10);

/// The daemon does its work; again after each reload.
pub fn ready(verbs: &Verbs) {
    tell(&[NotifyState::Ready, NotifyState::Status(&standing(verbs))]);
}

/// The configuration is being loaded anew; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => warn!(%error, "the service manager is not told of the reload"),
    }
}

/// The daemon ends what is under way.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("ends the calls under way; the rest goes on at the next start")]);
}

/// Tells how things stand, and feeds the watchdog, each time the drain loop has turned, and at no other time: a loop that is stuck is
/// not fed, a provider that is slow does not hold it up. `None` where nobody listens.
pub fn follow(verbs: &Verbs) -> Option<JoinHandle<()>> {
    std::env::var_os("NOTIFY_SOCKET")?;
    let watchdog = sd_notify::watchdog_enabled();
    // Twice in the span, and once more for a machine that is busy.
    let mut turns = verbs.engine().turns(watchdog.map_or(FRESH, |limit| FRESH.min(limit / 3)));
    let verbs = verbs.clone();
    Some(tokio::spawn(async move {
        let mut told = standing(&verbs);
        while turns.changed().await.is_ok() {
            if watchdog.is_some() {
                tell(&[NotifyState::Watchdog]);
            }
            let standing = standing(&verbs);
            if standing != told {
                tell(&[NotifyState::Status(&standing)]);
                told = standing;
            }
        }
    }))
}

/// How things stand, in one line.
fn standing(verbs: &Verbs) -> String {
    let (refused, _) = verbs.reload_error();
    line(verbs.engine().tally(), refused.map(|error| error.problems.len()))
}

fn line(tally: Tally, problems: Option<usize>) -> String {
    let mut parts = vec![counted(tally.policies, "policy", "policies")];
    if tally.under_way > 0 {
        parts.push(format!("{} under way", counted(tally.under_way, "rotation", "rotations")));
    }
    if tally.held > 0 {
        parts.push(format!("{} held: a person is needed (`cutover status`)", tally.held));
    }
    if let Some(problems) = problems {
        parts.push(format!("the configuration on disk was refused: {}", counted(problems, "problem", "problems")));
    }
    parts.join("; ")
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "the service manager is not told");
    }
}

#[cfg(test)]
mod tests {
    use super::line;
    use crate::engine::Tally;

    #[test]
    fn one_line_says_how_things_stand() {
        assert_eq!(line(Tally { policies: 1, under_way: 0, held: 0 }, None), "1 policy");
        assert_eq!(
            line(Tally { policies: 40, under_way: 2, held: 1 }, Some(3)),
            "40 policies; 2 rotations under way; 1 held: a person is needed (`cutover status`); the configuration on disk was \
             refused: 3 problems"
        );
    }
}
