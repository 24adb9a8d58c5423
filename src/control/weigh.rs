//! What a verb will cost, in words, before it acts.

use cutover_api::{ProviderFacts, Span};
use cutover_config::{Config, Policy};
use cutover_machine::plan::{Authority, GraceOffer, Lifecycle, VerifyKind};
use serde::{Deserialize, Serialize};

use super::wire::Decision;
use crate::alert::Way;
use crate::catalog::Catalog;

/// What a rotation of one policy will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationCost {
    /// The policy.
    pub policy: String,
    /// Its provider's table.
    pub provider: String,
    /// `overlap`, `grace`, `slots`, `set`, `manual`; empty where the definition is not known any more.
    pub lifecycle: String,
    /// The provider's clock, not cutover, ends the old key.
    pub provider_ends_old: bool,
    /// How long both keys live, or what alerts count on, in words.
    pub grace: String,
    /// Where the new key is written.
    pub targets: Vec<String>,
    /// Hooks that will run.
    pub hooks: usize,
    /// How its use is seen.
    pub verify: Vec<String>,
    /// How the old key ends.
    pub old_key: String,
    /// The rotation that is under way already: no second one is started.
    pub under_way: Option<String>,
    /// Suspended until then: an order by hand starts it all the same.
    #[serde(default)]
    pub suspended: Option<String>,
}

/// What handing a key in will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitCost {
    /// The rotation under way.
    pub rotation: String,
    /// Its phase.
    pub phase: String,
    /// What a person does to make the key, where a person makes it.
    pub ask: Option<String>,
    /// What it does.
    pub does: String,
    /// What it costs.
    pub costs: String,
    /// The key is handed in with its id.
    pub wants_id: bool,
    /// The end of the old key is handed in with it.
    pub wants_old_end: bool,
}

/// What a decision about a rotation will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionCost {
    /// The rotation under way.
    pub rotation: String,
    /// Its phase.
    pub phase: String,
    /// What is decided, in words.
    pub does: String,
    /// What it costs; empty = nothing.
    pub costs: String,
    /// The old key's last use, as far as it is known, for `confirm --retire`.
    pub last_use: Option<String>,
}

/// The facts of a policy's provider; `None` where its definition is not known any more.
#[must_use]
pub fn facts(config: &Config, catalog: &Catalog, policy: &Policy) -> Option<ProviderFacts> {
    let name = &config.providers.get(&policy.provider)?.definition;
    catalog.parsed(name).map(|definition| definition.facts().clone())
}

/// Whom to ask at a provider, by its definition.
#[must_use]
pub fn support(catalog: &Catalog, definition: &str) -> Option<String> {
    catalog.parsed(definition)?.support().map(ToOwned::to_owned)
}

impl RotationCost {
    /// Weighs a rotation of `policy` as it is configured now.
    #[must_use]
    pub fn of(policy: &Policy, facts: Option<&ProviderFacts>, under_way: Option<String>) -> Self {
        Self {
            policy: policy.name.clone(),
            provider: policy.provider.clone(),
            lifecycle: facts.map(|facts| lifecycle(facts.lifecycle).to_owned()).unwrap_or_default(),
            provider_ends_old: facts.is_some_and(ProviderFacts::ends_old_by_clock),
            grace: facts.map(|facts| grace(facts, policy.grace_mapped)).unwrap_or_default(),
            targets: policy.targets.iter().map(|target| format!("{}:{}", target.store, target.spec.path)).collect(),
            hooks: policy.redeploy.len(),
            verify: policy.verify.iter().map(|verify| verify.kind_name.clone()).collect(),
            old_key: facts.map(|facts| old_key(facts, policy)).unwrap_or_default(),
            under_way,
            suspended: None,
        }
    }
}

/// A lifecycle's name.
#[must_use]
pub const fn lifecycle(lifecycle: Lifecycle) -> &'static str {
    match lifecycle {
        Lifecycle::Overlap => "overlap",
        Lifecycle::Grace => "grace",
        Lifecycle::Slots => "slots",
        Lifecycle::Set => "set",
        Lifecycle::Manual => "manual",
    }
}

/// What a lifecycle does, in words.
#[must_use]
pub const fn lifecycle_in_words(lifecycle: Lifecycle) -> &'static str {
    match lifecycle {
        Lifecycle::Overlap => "a new key is issued beside the old one",
        Lifecycle::Grace => "one call makes the new key and starts the provider's clock on the old one",
        Lifecycle::Slots => "the idle one of two slots is made anew",
        Lifecycle::Set => "cutover chooses the new value and sets it",
        Lifecycle::Manual => "a person makes the new key and hands it in",
    }
}

/// How long the old key lives beside the new one.
#[must_use]
pub fn grace(facts: &ProviderFacts, mapped: Span) -> String {
    if !facts.ends_old_by_clock() {
        return format!("both keys live until cutover ends the old one; alerts count on {mapped}");
    }
    match &facts.declares.grace {
        Some(GraceOffer::Fixed(span)) if *span == Span::ZERO => {
            "the old key dies at once: the application is down until it is redeployed".to_owned()
        }
        Some(GraceOffer::Fixed(span)) => format!("the provider ends the old key after {span}, always"),
        _ => format!("the provider ends the old key after {mapped}"),
    }
}

/// How the old key ends.
#[must_use]
pub fn old_key(facts: &ProviderFacts, policy: &Policy) -> String {
    let verbs = facts.verbs;
    if facts.ends_old_by_clock() {
        return "ended by the provider's clock".to_owned();
    }
    if !verbs.revoke && !verbs.deactivate {
        return "cannot be ended by the provider's API: a person ends it".to_owned();
    }
    let mut how = if verbs.deactivate {
        let revoked = if verbs.revoke { ", then revoked" } else { "" };
        format!("deactivated, left so for {}{revoked}", policy.soak)
    } else {
        "revoked by its id".to_owned()
    };
    let sees_use = facts.declares.last_used.is_some() && facts.declares.authority == Authority::Separate;
    let witnessed = policy.verify.iter().any(|verify| verify.kind != VerifyKind::Confirm);
    how.push_str(&match (sees_use, witnessed) {
        (true, _) => format!(", once the new one is seen in use and the old one is quiet for {}", policy.quiet),
        (false, true) if verbs.deactivate => ", once every witness sees the new one".to_owned(),
        _ => ", once a person says `cutover confirm --retire`".to_owned(),
    });
    how
}

impl DecisionCost {
    /// Weighs a decision: in the words of the way that offers it, else in general ones.
    #[must_use]
    pub fn of(
        decision: Decision,
        policy: &str,
        rotation: String,
        phase: String,
        ways: &[Way],
        last_use: Option<String>,
    ) -> Self {
        let offered = ways.iter().find(|way| offers(&way.command, decision, policy));
        let (does, costs) = offered.map_or_else(|| general(decision), |way| (way.does.clone(), way.costs.clone()));
        let last_use = last_use.filter(|_| decision == Decision::ConfirmRetire);
        Self { rotation, phase, does, costs, last_use }
    }
}

/// Whether a command of a way is this decision.
fn offers(command: &str, decision: Decision, policy: &str) -> bool {
    let (verb, flag) = decision.typed();
    let words: Vec<&str> = command.split_whitespace().collect();
    let flags = ["--retire", "--mint-again"];
    words.get(1) == Some(&verb)
        && words.get(2) == Some(&policy)
        && words.iter().filter(|word| flags.contains(word)).copied().collect::<String>() == flag
}

fn general(decision: Decision) -> (String, String) {
    let (does, costs) = match decision {
        Decision::Confirm => (
            "The new key is in use: goes on to settle.",
            "Nothing is ended by it. Before the old key goes, evidence is asked for again.",
        ),
        Decision::ConfirmRetire => {
            ("The old key is not used any more: it is ended.", "Whatever still uses the old key is refused from then on.")
        }
        Decision::Resume => ("Looks again and repeats what is safe.", ""),
        Decision::MintAgain => (
            "Asks the provider for another key although the last call is in doubt.",
            "A key that the last call may have made is given up as lost. Where the provider drops older keys, the key in use can die at once.",
        ),
        Decision::Abandon => (
            "Gives this rotation up: before the mint it is closed; after it the new key is ended, or the old one is put back first.",
            "The key is not rotated before its next date.",
        ),
    };
    (does.to_owned(), costs.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{DecisionCost, offers};
    use crate::alert::Way;
    use crate::control::Decision;

    #[test]
    fn a_way_is_told_from_its_neighbours() {
        let plain = "cutover resume crm --rotation rot_1";
        let again = "cutover resume crm --mint-again --rotation rot_1";
        assert!(offers(plain, Decision::Resume, "crm") && !offers(again, Decision::Resume, "crm"));
        assert!(offers(again, Decision::MintAgain, "crm") && !offers(plain, Decision::MintAgain, "crm"));
        assert!(offers("cutover confirm crm --retire --rotation r", Decision::ConfirmRetire, "crm"));
        assert!(!offers("cutover confirm crm --rotation r", Decision::ConfirmRetire, "crm"));
        assert!(!offers(plain, Decision::Resume, "crm2"));
        assert!(!offers("", Decision::Abandon, "crm"));
    }

    #[test]
    fn the_words_of_the_way_are_used_where_there_is_one() {
        let way =
            Way { command: "cutover abandon crm --rotation r".into(), does: "Goes back.".into(), costs: "A redeploy.".into() };
        let weigh = |ways: &[Way], decision| {
            DecisionCost::of(decision, "crm", "r".into(), "observe".into(), ways, Some("never".into()))
        };
        assert_eq!(weigh(std::slice::from_ref(&way), Decision::Abandon).costs, "A redeploy.");
        assert!(weigh(&[], Decision::Abandon).costs.contains("next date"));
        assert_eq!(weigh(&[], Decision::Abandon).last_use, None);
        assert_eq!(weigh(&[], Decision::ConfirmRetire).last_use, Some("never".into()));
    }
}
