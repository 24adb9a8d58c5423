//! What a person decides, on a running engine: weighed first, then taken or refused with the reason.

use cutover_api::{Secret, Stamp};
use cutover_config::Selector;
use cutover_machine::event::Order;
use cutover_machine::manual::Handed;
use cutover_machine::state::Key;
use serde_json::Value;

use super::Verbs;
use super::server::Items;
use super::verbs::value;
use super::weigh::{DecisionCost, SubmitCost};
use super::wire::{Ask, ClockConfirmed, Decided, Decision, Refused};
use crate::engine::{OrderRefused, PolicyStatus, Submission, check_until};

impl Verbs {
    fn status_of(&self, policy: &str) -> Result<PolicyStatus, Refused> {
        let selector = Selector { policies: vec![policy.to_owned()], ..Selector::default() };
        let status = self.engine().status(&selector).into_iter().find(|status| status.policy == policy);
        status.ok_or_else(|| Refused::usage(format!("there is no policy {policy}")))
    }

    /// What a decision would cost; one that would be refused is refused already now.
    pub(super) async fn weigh_decision(&self, policy: &str, decision: Decision) -> Result<Value, Refused> {
        let status = self.status_of(policy)?;
        if lifts(&status, decision) {
            return value(&lifting(&status));
        }
        let rotation = self.engine().would_take(policy, None, &order(decision)).map_err(guard)?;
        let last_use = match decision {
            Decision::ConfirmRetire => self.last_use(policy, &rotation).await?,
            _ => None,
        };
        value(&DecisionCost::of(decision, policy, rotation, status.phase, &status.ways, last_use))
    }

    pub(super) async fn decide(
        &self,
        policy: &str,
        rotation: Option<&str>,
        decision: Decision,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<Value, Refused> {
        let status = self.status_of(policy)?;
        if rotation.is_none() && lifts(&status, decision) {
            self.engine().lift(&[policy.to_owned()], actor, reason).await.map_err(guard)?;
            return value(&Decided { rotation: String::new() });
        }
        let taken = self.engine().order(policy, rotation, order(decision), actor, reason).await;
        taken.map_err(guard).and_then(|rotation| value(&Decided { rotation }))
    }

    /// `resume` without a policy: the clock is right, and no policy is suspended any more.
    pub(super) async fn resume_all(&self, actor: &str, reason: Option<&str>) -> Result<Value, Refused> {
        let was_frozen = self.engine().confirm_clock(actor, reason).await.map_err(guard)?;
        let ledger_trusted = self.engine().trust_ledger(actor, reason).await.map_err(guard)?;
        let every = self.engine().every_policy();
        let lifted = self.engine().lift(&every, actor, reason).await.map_err(guard)?;
        value(&ClockConfirmed { was_frozen, ledger_trusted, lifted })
    }

    pub(super) async fn suspend(
        &self,
        selector: &Selector,
        until: Stamp,
        actor: &str,
        reason: Option<&str>,
        items: &Items,
    ) -> Result<Value, Refused> {
        check_until(until, self.engine().now()).map_err(Refused::guard)?;
        self.selected(selector)?;
        for suspended in self.engine().suspend(selector, until, actor, reason).await.map_err(guard)? {
            items.send(&suspended).await;
        }
        Ok(Value::Null)
    }

    /// What handing a key in would do, and what it takes.
    pub(super) fn weigh_submit(&self, policy: &str, rotation: Option<&str>) -> Result<Value, Refused> {
        let status = self.status_of(policy)?;
        let (wants_id, wants_old_end) = self.engine().submission_wants(policy);
        // Asked with everything that may be wanted: what is missing is told when the key is handed in.
        let trial = trial(wants_id.then(|| String::from("?")), wants_old_end.then(|| self.engine().now()));
        let rotation = self.engine().would_take(policy, rotation, &Order::Submit(trial)).map_err(guard)?;
        let way = status.ways.iter().find(|way| way.command.starts_with("cutover submit "));
        let (does, costs) = way.map(|way| (way.does.clone(), way.costs.clone())).unwrap_or_default();
        value(&SubmitCost { rotation, phase: status.phase, ask: status.ask, does, costs, wants_id, wants_old_end })
    }

    /// Whether a key would be taken, asked before its value crosses.
    pub(super) fn would_take_submission(&self, ask: &Ask) -> Result<Value, Refused> {
        let Ask::Submit { policy, rotation, id, old_expires_at, .. } = ask else {
            return Err(Refused::usage("no key is announced"));
        };
        self.status_of(policy)?;
        let trial = trial(id.clone(), *old_expires_at);
        self.engine().would_take(policy, rotation.as_deref(), &Order::Submit(trial)).map_err(guard)?;
        Ok(Value::Null)
    }

    /// Hands a key in.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn take_submission(&self, ask: Ask, secret: Secret, actor: &str) -> Result<Value, Refused> {
        let Ask::Submit { policy, rotation, id, old_expires_at, reason, .. } = ask else {
            return Err(Refused::usage("no key is announced"));
        };
        let submission = Submission { value: secret, id, old_expires_at };
        submission.check(self.engine().now()).map_err(Refused::usage)?;
        let taken = self.engine().submit(&policy, rotation.as_deref(), submission, actor, reason.as_deref()).await;
        taken.map_err(guard).and_then(|rotation| value(&Decided { rotation }))
    }
}

/// `resume` of a policy that is suspended and not held lifts the suspension.
fn lifts(status: &PolicyStatus, decision: Decision) -> bool {
    decision == Decision::Resume && status.suspended.is_some() && status.held.is_none()
}

fn guard(refused: OrderRefused) -> Refused {
    Refused::guard(refused.reason)
}

/// A key of which nothing but this is known yet.
fn trial(id: Option<String>, old_expires_at: Option<Stamp>) -> Handed {
    Handed { key: Key { id, fingerprint: String::new(), expires_at: None }, old_expires_at }
}

/// What lifting a suspension does.
fn lifting(status: &PolicyStatus) -> DecisionCost {
    let suspended = status.suspended.as_ref();
    let until = suspended.map(|one| one.until.clone()).unwrap_or_default();
    let by = suspended.map(|one| one.by.clone()).unwrap_or_default();
    let date = suspended.and_then(|one| one.puts_off.clone());
    DecisionCost {
        rotation: String::new(),
        phase: status.phase.clone(),
        does: format!("Lifts the suspension until {until}, given by {by}."),
        costs: date
            .map(|date| format!("Its date {date} counts again; one that has passed runs at the next opening."))
            .unwrap_or_default(),
        last_use: None,
    }
}

const fn order(decision: Decision) -> Order {
    match decision {
        Decision::Confirm => Order::Confirm,
        Decision::ConfirmRetire => Order::ConfirmRetire,
        Decision::Resume => Order::Resume,
        Decision::MintAgain => Order::MintAgain,
        Decision::Abandon => Order::Abandon,
    }
}
