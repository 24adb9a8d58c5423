//! `rotate --wait`: follows rotations until they rest.

use std::time::Duration;

use cutover_api::{Clock as _, Stamp};
use cutover_config::Selector;
use serde::Serialize;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use super::door::{Door, failure};
use super::exit::{Exit, Failure};
use super::screen::tell;
use crate::control::{Ask, AskError};
use crate::engine::times::timestamp;
use crate::engine::{PolicyStatus, WallClock};

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(500);
/// Looks that may fail in a row: a daemon that restarts is waited for a minute.
const FAILED_LOOKS: u32 = 120;
/// Looks that must agree before a rotation counts as closed that was never seen under way: its first step may still be under way.
const AGREEING_LOOKS: u32 = 10;
/// Policies that one look names; a request must fit into a line.
const NAMED: usize = 500;

/// One rotation that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The policy.
    pub policy: String,
    /// The rotation.
    pub rotation: String,
}

/// Where a rotation that is waited for has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Come {
    /// Under way.
    Moving {
        /// The phase.
        phase: String,
        /// What it waits for.
        waits_for: Option<String>,
    },
    /// At rest.
    Rest {
        /// `done`, `first`, `old-left`, `abandoned`, `provider-clock`, `closed`.
        ended: String,
    },
    /// Waits for a person.
    Held {
        /// Stable label.
        why: String,
        /// In words.
        detail: String,
    },
}

impl Come {
    /// Judges a rotation by its policy's status; `None` = the policy is not shown any more.
    #[must_use]
    pub fn judge(wanted: &Wanted, status: Option<&PolicyStatus>) -> Self {
        let rest = |ended: &str| Self::Rest { ended: ended.to_owned() };
        // A policy that went, and a rotation after this one: this one is closed.
        let Some(status) = status else { return rest("closed") };
        if status.rotation.as_deref() != Some(wanted.rotation.as_str()) {
            return rest("closed");
        }
        if let Some(held) = &status.held {
            return Self::Held { why: held.why.clone(), detail: held.detail.clone() };
        }
        match status.phase.as_str() {
            "idle" => rest(status.ended.as_deref().unwrap_or("closed")),
            "retire" if status.at_rest => rest("provider-clock"),
            phase => Self::Moving { phase: phase.to_owned(), waits_for: status.waits_for.clone() },
        }
    }

    /// What it means for the exit status.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Moving { .. } => Exit::Timeout,
            Self::Rest { ended } if ended == "abandoned" => Exit::Failed,
            Self::Rest { .. } => Exit::Done,
            Self::Held { .. } => Exit::Held,
        }
    }

    /// Whether a look can be believed. "Closed" is concluded from what is not shown; `unseen` counts the looks that must agree on it, and
    /// is 0 once the rotation was seen itself.
    fn is_certain(&self, unseen: &mut u32) -> bool {
        if !matches!(self, Self::Rest { ended } if ended == "closed") {
            *unseen = 0;
        }
        *unseen = unseen.saturating_sub(1);
        *unseen == 0
    }

    fn in_words(&self) -> String {
        match self {
            Self::Moving { phase, waits_for: Some(waits_for) } => format!("{phase}: waits for {waits_for}"),
            Self::Moving { phase, waits_for: None } => phase.clone(),
            Self::Held { why, detail } => format!("held ({why}): {detail}"),
            Self::Rest { ended } => ended_in_words(ended).to_owned(),
        }
    }
}

/// How a rotation ended, in words.
#[must_use]
pub fn ended_in_words(ended: &str) -> &'static str {
    match ended {
        "done" => "done: the new key is in use and the old one is dead",
        "first" => "done: the first key is in use",
        "old-left" => "done: the new key is in use; the old one is not cutover's to end",
        "abandoned" => "abandoned: the key from before is in use",
        "provider-clock" => "the new key is in use; only the provider's clock on the old one is left",
        _ => "closed",
    }
}

/// Why waiting has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every rotation rests or is held.
    All,
    /// `--timeout` has passed.
    Timeout,
    /// Ctrl-C or SIGTERM.
    Interrupted,
}

/// Follows the rotations, telling every change of phase on standard error.
///
/// # Errors
/// The daemon is gone for more than a minute, or does not let us look.
pub async fn wait(door: &Door, wanted: &[Wanted], timeout: Option<Duration>) -> Result<(Vec<Come>, Ended), Failure> {
    let come = vec![None; wanted.len()];
    let unseen = vec![AGREEING_LOOKS; wanted.len()];
    let mut follower = Follower { door, wanted, come, unseen, failed: 0, clock: WallClock::real() };
    let limit = async {
        match timeout {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(limit);
    let caught = signal(SignalKind::terminate());
    let mut terminated = caught.map_err(|error| Failure::new(Exit::Failed, format!("a signal cannot be caught ({error})")))?;
    let ended = loop {
        let round = async {
            let rests = follower.look().await?;
            if !rests {
                tokio::time::sleep(EVERY).await;
            }
            Ok::<bool, Failure>(rests)
        };
        // A look changes nothing and may be dropped: a daemon that hangs keeps nobody beyond their time.
        tokio::select! {
            biased;
            () = &mut limit => break Ended::Timeout,
            _ = tokio::signal::ctrl_c() => break Ended::Interrupted,
            _ = terminated.recv() => break Ended::Interrupted,
            rests = round => if rests? {
                break Ended::All;
            },
        }
    };
    let unknown = || Come::Moving { phase: "not seen yet".to_owned(), waits_for: None };
    Ok((follower.come.into_iter().map(|come| come.unwrap_or_else(unknown)).collect(), ended))
}

struct Follower<'a> {
    door: &'a Door,
    wanted: &'a [Wanted],
    come: Vec<Option<Come>>,
    unseen: Vec<u32>,
    failed: u32,
    clock: std::sync::Arc<WallClock>,
}

impl Follower<'_> {
    /// Looks once; whether nothing moves any more.
    async fn look(&mut self) -> Result<bool, Failure> {
        for part in (0..self.wanted.len()).collect::<Vec<_>>().chunks(NAMED) {
            let policies = part.iter().filter_map(|at| self.wanted.get(*at)).map(|wanted| wanted.policy.clone()).collect();
            let ask = Ask::Status { selector: Selector { policies, ..Selector::default() } };
            let mut items: Vec<Value> = Vec::new();
            match self.door.ask(ask, &mut |item| items.push(item)).await {
                Ok(_) => self.back(),
                Err(AskError::Gone(detail)) if self.failed < FAILED_LOOKS => return Ok(self.missed(&detail)),
                Err(AskError::Refused(refused)) if refused.is_busy() && self.failed < FAILED_LOOKS => {
                    return Ok(self.missed(&refused.reason));
                }
                Err(AskError::Gone(detail)) => return Err(Failure::new(Exit::Failed, given_up(&detail))),
                Err(error) => return Err(failure(error)),
            }
            let all: Vec<PolicyStatus> = items.into_iter().filter_map(|item| serde_json::from_value(item).ok()).collect();
            for at in part {
                self.note(*at, &all);
            }
        }
        Ok(self.come.iter().all(|come| matches!(come, Some(Come::Rest { .. } | Come::Held { .. }))))
    }

    /// A look failed: whoever waits is told once, and keeps waiting.
    fn missed(&mut self, detail: &str) -> bool {
        if self.failed == 0 {
            tell(&format!("{detail}; waiting for it to come back, for a minute. What is under way is durable."));
        }
        self.failed += 1;
        false
    }

    fn back(&mut self) {
        if self.failed > 0 {
            tell("The daemon answers again; still waiting.");
        }
        self.failed = 0;
    }

    fn note(&mut self, at: usize, all: &[PolicyStatus]) {
        let (Some(wanted), Some(before), Some(unseen)) = (self.wanted.get(at), self.come.get_mut(at), self.unseen.get_mut(at))
        else {
            return;
        };
        let come = Come::judge(wanted, all.iter().find(|status| status.policy == wanted.policy));
        if !come.is_certain(unseen) {
            return;
        }
        let changed = match (&before, &come) {
            (Some(Come::Moving { phase: before, .. }), Come::Moving { phase, .. }) => before != phase,
            (before, come) => before.as_ref() != Some(come),
        };
        if changed {
            tell(&progress(self.clock.now(), &wanted.policy, &come));
        }
        *before = Some(come);
    }
}

fn given_up(detail: &str) -> String {
    format!(
        "{detail}, for a minute now; no longer waiting. What was begun is durable and goes on when the daemon runs: start it, then \
         look at `cutover status`"
    )
}

/// One line of progress.
fn progress(at: Stamp, policy: &str, come: &Come) -> String {
    format!("{}  {policy}  {}", timestamp(at).strftime("%H:%M:%S"), come.in_words())
}

#[cfg(test)]
mod tests {
    use super::{Come, Wanted, progress};
    use crate::cli::Exit;
    use crate::cli::status::tests::status;
    use crate::engine::{HeldStatus, PolicyStatus};

    fn wanted() -> Wanted {
        Wanted { policy: "crm".into(), rotation: "rot_1".into() }
    }

    #[test]
    fn a_rotation_is_judged_by_its_own_status_only() {
        let now = |phase: &str, rotation: &str| PolicyStatus { rotation: Some(rotation.into()), ..status("crm", phase) };
        let rest = |ended: &str| Come::Rest { ended: ended.into() };
        let judge = |status: PolicyStatus, at_rest| Come::judge(&wanted(), Some(&PolicyStatus { at_rest, ..status }));
        assert!(matches!(judge(now("observe", "rot_1"), false), Come::Moving { phase, .. } if phase == "observe"));
        assert_eq!(judge(now("observe", "rot_2"), false), rest("closed"), "another rotation has begun");
        assert_eq!(judge(now("idle", "rot_1"), false), rest("closed"), "ended before a restart");
        let done = PolicyStatus { ended: Some("done".into()), ..now("idle", "rot_1") };
        assert_eq!(judge(done, false), rest("done"));
        assert!(matches!(judge(now("retire", "rot_1"), false), Come::Moving { .. }));
        assert_eq!(judge(now("retire", "rot_1"), true), rest("provider-clock"));
        let held =
            HeldStatus { why: "drift".into(), detail: "set back".into(), since: String::new(), retries: false, ways: vec![] };
        let held = PolicyStatus { held: Some(held), ..now("retire", "rot_1") };
        assert!(matches!(judge(held, true), Come::Held { why, .. } if why == "drift"));
        assert_eq!(Come::judge(&wanted(), None), rest("closed"));
    }

    #[test]
    fn a_rotation_whose_first_step_is_still_under_way_is_not_taken_for_closed() {
        let closed = Come::Rest { ended: "closed".into() };
        let moving = Come::Moving { phase: "mint".into(), waits_for: None };
        let mut unseen = 3;
        assert!(!closed.is_certain(&mut unseen));
        assert!(moving.is_certain(&mut unseen));
        assert!(closed.is_certain(&mut unseen), "it was seen, so its absence tells");
        let mut never = 3;
        assert_eq!([(); 4].map(|()| closed.is_certain(&mut never)), [false, false, true, true]);
    }

    #[test]
    fn the_exit_status_follows() {
        let rest = |ended: &str| Come::Rest { ended: ended.into() }.exit();
        assert_eq!(
            [rest("done"), rest("old-left"), rest("provider-clock"), rest("abandoned")],
            [Exit::Done, Exit::Done, Exit::Done, Exit::Failed]
        );
        assert_eq!(Come::Held { why: String::new(), detail: String::new() }.exit(), Exit::Held);
        assert_eq!(Come::Moving { phase: "observe".into(), waits_for: None }.exit(), Exit::Timeout);
    }

    #[test]
    fn progress_reads_as_one_line() {
        let come = Come::Moving { phase: "observe".into(), waits_for: Some("evidence that the new key is in use".into()) };
        let line = progress(cutover_api::Stamp(1_700_000_000_000), "crm", &come);
        assert_eq!(line, "22:13:20  crm  observe: waits for evidence that the new key is in use");
    }
}
