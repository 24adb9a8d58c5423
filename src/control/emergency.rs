//! Emergencies at the control socket: what an order will cut and what it cannot, the order itself, and its reports.

use cutover_api::{ProviderFacts, Span};
use cutover_config::Selector;
use cutover_machine::emergency::EmergencyOrder;
use cutover_machine::plan::GraceOffer;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::server::Items;
use super::verbs::{Verbs, value};
use super::weigh::{facts, support};
use super::wire::Refused;
use crate::alert::report::{PolicyReport, Report, Tally};

/// What an emergency would do to one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmergencyCost {
    /// The policy.
    pub policy: String,
    /// Its provider's table.
    pub provider: String,
    /// Its older keys can be cut off by cutover.
    pub can_cut: bool,
    /// What becomes of the older keys.
    pub old_keys: String,
    /// Who is down, and for how long.
    pub down: String,
    /// Whom to ask where the provider's API cannot do it.
    pub support: Option<String>,
    /// The rotation under way, which answers the order.
    pub under_way: Option<String>,
}

/// One line of the reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// An order, its policies left out.
    Order(Box<Report>, Tally),
    /// One policy of the order before.
    Policy(Box<PolicyReport>),
}

impl Verbs {
    pub(super) async fn weigh_emergency(
        &self,
        selector: &Selector,
        order: EmergencyOrder,
        items: &Items,
    ) -> Result<Value, Refused> {
        let selected = self.selected(selector)?;
        let (engine, catalog) = (self.engine(), self.catalog());
        let config = engine.config();
        for policy in selected.iter().filter_map(|name| config.policies.get(name)) {
            let facts = facts(&config, &catalog, policy);
            let support = config.providers.get(&policy.provider).and_then(|table| support(&catalog, &table.definition));
            let (can_cut, old_keys) = facts.as_ref().map_or((false, String::new()), |facts| cuts(facts, order));
            let hooks = policy.redeploy.iter().fold(Span::ZERO, |sum, hook| sum.plus(hook.timeout));
            let cost = EmergencyCost {
                policy: policy.name.clone(),
                provider: policy.provider.clone(),
                can_cut,
                old_keys,
                down: down(order, can_cut, hooks),
                support: support.filter(|_| !can_cut),
                under_way: engine.open_rotation_of(&policy.name),
            };
            items.send(&cost).await;
        }
        value(&engine.by_hand(selector, &selected))
    }

    pub(super) async fn emergency(
        &self,
        selector: &Selector,
        order: EmergencyOrder,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<Value, Refused> {
        self.selected(selector)?;
        let taken = self.engine().emergency(selector, order, actor, reason).await.map_err(Refused::failed)?;
        value(&taken)
    }

    pub(super) async fn emergencies(&self, id: Option<&str>, items: &Items) -> Result<Value, Refused> {
        let reports: Vec<Report> =
            self.engine().reports().into_iter().filter(|report| id.is_none_or(|id| report.id == id)).collect();
        if let Some(id) = id.filter(|_| reports.is_empty()) {
            return Err(Refused::usage(format!("there is no emergency {id}")));
        }
        for mut report in reports {
            let tally = report.tally();
            let policies = std::mem::take(&mut report.policies);
            items.send(&Told::Order(Box::new(report), tally)).await;
            for policy in policies {
                items.send(&Told::Policy(Box::new(policy))).await;
            }
        }
        Ok(Value::Null)
    }
}

/// Whether the older keys can be cut off, and what becomes of them.
fn cuts(facts: &ProviderFacts, order: EmergencyOrder) -> (bool, String) {
    let (verbs, offer) = (facts.verbs, &facts.declares.grace);
    let after = match order {
        EmergencyOrder::CutFirst => "as soon as a new key is made",
        EmergencyOrder::DeployFirst => "once the new key is proven in use",
    };
    match (verbs.revoke || verbs.deactivate, offer) {
        (true, _) => (true, format!("every older key is revoked by its id, {after}")),
        (false, Some(GraceOffer::Fixed(grace))) if *grace > Span::ZERO => (
            false,
            format!(
                "CANNOT BE CUT: the provider keeps the key in use now alive for {grace} more, always, and offers no way to end it"
            ),
        ),
        (false, Some(offer)) => match (offer.shortest(), order) {
            (Span::ZERO, EmergencyOrder::CutFirst) => {
                (true, String::from("the provider ends the key in use when it makes the new one"))
            }
            (shortest, EmergencyOrder::CutFirst) => {
                (false, format!("the key in use lives for {shortest} more: the shortest grace the provider knows"))
            }
            _ => (false, String::from("the provider ends the key in use after the policy's grace")),
        },
        (false, None) => (false, String::from("CANNOT BE CUT by the provider's API: a person ends it by hand")),
    }
}

fn down(order: EmergencyOrder, can_cut: bool, hooks: Span) -> String {
    let redeployed = if hooks == Span::ZERO {
        String::from("has read the new key")
    } else {
        format!("is redeployed (the hooks may take up to {hooks})")
    };
    match order {
        EmergencyOrder::CutFirst if can_cut => format!("what uses the old key is DOWN until it {redeployed}"),
        EmergencyOrder::CutFirst => String::from("nobody while the old key lives"),
        EmergencyOrder::DeployFirst => String::from("nobody; whoever has the old key can use it until then"),
    }
}
