//! `suspend`: no date of a policy starts a rotation until a time; and `resume`, which lifts that, and a clock's freeze.

use cutover_api::{Span, Stamp};
use cutover_config::Selector;
use cutover_ledger::{Commit, HistoryEntry};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Engine;
use super::orders::OrderRefused;
use super::snapshot::PolicyState;
use super::times::{rfc3339, words};

/// The longest suspension: what is put off for longer is not put off but forgotten.
pub const LONGEST: Span = Span(90 * Span::DAY.0);

/// That no date starts a rotation of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// Until when.
    pub until: Stamp,
    /// Since when.
    pub at: Stamp,
    /// By whom.
    pub by: String,
    /// Why, if said.
    pub reason: Option<String>,
    /// The date that has come meanwhile and was told.
    pub told: Option<Stamp>,
}

/// A suspension as people and programs see it. Times are RFC 3339, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspended {
    /// The policy.
    pub policy: String,
    /// Until when.
    pub until: String,
    /// By whom.
    pub by: String,
    /// Why, if said.
    pub reason: Option<String>,
    /// The date that is put off; none where none comes before the end.
    pub puts_off: Option<String>,
    /// The rotation under way, which goes on.
    pub under_way: Option<String>,
}

impl PolicyState {
    /// The suspension in force at `now`.
    #[must_use]
    pub fn suspension(&self, now: Stamp) -> Option<&Suspension> {
        self.suspended.as_ref().filter(|suspension| suspension.until > now)
    }
}

/// Whether a policy may be suspended until then.
///
/// # Errors
/// Why not.
pub fn check_until(until: Stamp, now: Stamp) -> Result<(), String> {
    if until <= now {
        return Err(format!("{} has passed already: suspend until a time to come", words(until)));
    }
    if until > now.plus(LONGEST) {
        return Err(format!(
            "{} is more than 90 days away: a key that nobody rotates for so long is forgotten. Suspend until {} at most, then again, or \
             change the policy's cadence",
            words(until),
            words(now.plus(LONGEST))
        ));
    }
    Ok(())
}

impl Engine {
    /// No date starts a rotation of the selected policies until `until`. What is under way goes on, and a date that comes meanwhile is
    /// overdue afterwards. One commit for all of them.
    ///
    /// # Errors
    /// Why nothing was suspended.
    pub async fn suspend(
        &self,
        selector: &Selector,
        until: Stamp,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<Vec<Suspended>, OrderRefused> {
        let refuse = |reason: String| OrderRefused { reason };
        let shared = &self.shared;
        let now = shared.clock.now();
        check_until(until, now).map_err(refuse)?;
        let _all = shared.lock_policies().await;
        let mut commit = Commit::default();
        let mut states = Vec::new();
        for policy in self.selected(selector) {
            let Some(before) = shared.policy_state(&policy) else { continue };
            let suspension =
                Suspension { until, at: now, by: actor.to_owned(), reason: reason.map(ToOwned::to_owned), told: None };
            let state = PolicyState { suspended: Some(suspension), ..before };
            commit.policies.push(shared.policy_write(&policy, &state));
            let facts = json!({ "until": rfc3339(until), "reason": reason });
            commit.history.push(HistoryEntry::plain(now, Some(&policy), actor, "suspended", &facts));
            states.push((policy, state));
        }
        shared.ledger.commit(commit).await.map_err(|error| refuse(error.to_string()))?;
        let mut suspended = Vec::new();
        for (policy, state) in states {
            suspended.extend(self.suspended(&policy, &state, now));
            shared.put_policy_state(&policy, state);
        }
        shared.wake();
        Ok(suspended)
    }

    /// How a policy is suspended now.
    #[must_use]
    pub fn suspended_of(&self, policy: &str) -> Option<Suspended> {
        self.suspended(policy, &self.shared.policy_state(policy)?, self.shared.clock.now())
    }

    fn suspended(&self, policy: &str, state: &PolicyState, now: Stamp) -> Option<Suspended> {
        let suspension = state.suspension(now)?;
        Some(Suspended {
            policy: policy.to_owned(),
            until: rfc3339(suspension.until),
            by: suspension.by.clone(),
            reason: suspension.reason.clone(),
            puts_off: state.due.filter(|(_, at)| *at < suspension.until).map(|(_, at)| rfc3339(at)),
            under_way: self.open_rotation_of(policy),
        })
    }

    /// Lifts the suspension of these policies. Dates that came meanwhile are overdue: they run at the next opening. Returns whose it was.
    ///
    /// # Errors
    /// The ledger did not take it; nothing has changed.
    pub async fn lift(&self, policies: &[String], actor: &str, reason: Option<&str>) -> Result<Vec<String>, OrderRefused> {
        let shared = &self.shared;
        let _all = shared.lock_policies().await;
        let now = shared.clock.now();
        let mut commit = Commit::default();
        let mut states = Vec::new();
        for policy in policies {
            let Some(before) = shared.policy_state(policy) else { continue };
            let Some(was) = before.suspension(now).map(|suspension| suspension.until) else { continue };
            let state = PolicyState { suspended: None, ..before };
            commit.policies.push(shared.policy_write(policy, &state));
            let facts = json!({ "was_until": rfc3339(was), "reason": reason });
            commit.history.push(HistoryEntry::plain(now, Some(policy), actor, "suspension-lifted", &facts));
            states.push((policy.clone(), state));
        }
        if states.is_empty() {
            return Ok(Vec::new());
        }
        shared.ledger.commit(commit).await.map_err(|error| OrderRefused { reason: error.to_string() })?;
        let lifted = states.iter().map(|(policy, _)| policy.clone()).collect();
        for (policy, state) in states {
            shared.put_policy_state(&policy, state);
        }
        shared.wake();
        Ok(lifted)
    }

    /// `resume` without a policy: the clock as it is now is right. `false` = it was not frozen. Recorded with who said so.
    ///
    /// # Errors
    /// The ledger did not take it; the clock stays frozen.
    pub async fn confirm_clock(&self, actor: &str, reason: Option<&str>) -> Result<bool, OrderRefused> {
        let shared = &self.shared;
        if !shared.clock_frozen() {
            return Ok(false);
        }
        let facts = json!({ "step_ms": shared.clock_mark().off(shared.clock.as_ref()), "reason": reason });
        let row = HistoryEntry::plain(shared.clock.now(), None, actor, "clock-confirmed", &facts);
        let commit = Commit { history: vec![row], ..Commit::default() };
        shared.ledger.commit(commit).await.map_err(|error| OrderRefused { reason: error.to_string() })?;
        shared.thaw();
        Ok(true)
    }

    /// Every policy that is known, loaded or not.
    #[must_use]
    pub fn every_policy(&self) -> Vec<String> {
        self.shared.policy_states().into_keys().collect()
    }
}

#[cfg(test)]
mod tests {
    use cutover_api::{Span, Stamp};

    use super::{LONGEST, check_until};

    #[test]
    fn a_suspension_has_an_end_that_is_near() {
        let now = Stamp(1_795_230_300_000);
        assert!(check_until(now.plus(Span::SECOND), now).is_ok() && check_until(now.plus(LONGEST), now).is_ok());
        assert!(check_until(now, now).expect_err("refused").contains("has passed"));
        let long = check_until(now.plus(LONGEST).plus(Span::SECOND), now).expect_err("refused");
        assert!(long.contains("90 days") && long.contains("2027-02-19"), "{long}");
    }
}
