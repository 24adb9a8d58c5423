//! Whether what an alert tells of still is so, for alerts that could not be told in time.

use cutover_api::Message;
use cutover_machine::Rotation;
use cutover_machine::state::Phase;
use serde_json::Value;

use super::Shared;
use super::times::{parsed, rfc3339};

impl Shared {
    /// Whether what a message tells of still is so. What cannot be known counts as so.
    #[must_use]
    pub fn stands(&self, message: &Message) -> bool {
        let fact = |name: &str| message.facts.get(name).and_then(Value::as_str);
        let stage = fact("stage").unwrap_or_default();
        let lasting = matches!(message.kind.as_str(), "recovered" | "emergency-report" | "channel-failing" | "test");
        // An old key that is left alive stays so when its rotation is closed.
        if lasting || stage == "old-left" {
            return true;
        }
        let Some(rotation) = &message.rotation else {
            return match message.kind.as_str() {
                "overdue" => message.policies.iter().any(|policy| self.has_not_begun(policy, message)),
                "held" if stage.starts_with("clock.") => self.clock_frozen(),
                "held" if stage.starts_with("ledger.") => self.behind(),
                _ => true,
            };
        };
        // A rotation that is not known here any more has ended.
        self.view_of(rotation).is_some_and(|view| rotation_stands(&view.record.machine, message, &fact))
    }

    /// No rotation of the policy has begun since.
    fn has_not_begun(&self, policy: &str, message: &Message) -> bool {
        let Some(told) = parsed(&message.at) else { return true };
        let begun = self.view(policy).is_some_and(|view| view.record.machine.opened_at >= told);
        let done = self.policy_state(policy).and_then(|state| state.rotated_at).is_some_and(|at| at >= told);
        !begun && !done
    }
}

fn rotation_stands<'a>(machine: &Rotation, message: &Message, fact: &impl Fn(&str) -> Option<&'a str>) -> bool {
    if machine.phase == Phase::Closed {
        return false;
    }
    if message.kind.starts_with("grace-") {
        return machine.cutover_at.is_none() && !machine.swapped;
    }
    match (fact("why"), fact("held_since")) {
        (Some(why), Some(since)) => {
            machine.held.as_ref().is_some_and(|held| held.why.label() == why && rfc3339(held.since) == since)
        }
        _ if message.kind == "doubt" => machine.phase == Phase::Doubt,
        // It waits for a person without being held.
        _ => machine.asked_at.is_some() || machine.unproven_told_at.is_some(),
    }
}
