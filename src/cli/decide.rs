//! What `confirm`, `resume` and `abandon` share: the cost is shown, a terminal is asked, the decision is sent.

use cutover_config::Selector;

use super::Common;
use super::door::{Door, Need};
use super::exit::{Exit, Failure};
use super::screen::{ask, print_json, tell};
use crate::control::weigh::DecisionCost;
use crate::control::wire::Decided;
use crate::control::{Ask, Decision};

/// What every decision takes.
#[derive(clap::Args, Clone, Debug)]
pub struct DecideArgs {
    /// The rotation that is meant; another one under way is refused
    #[arg(long, value_name = "ID")]
    pub rotation: Option<String>,
    /// Why; kept in the history
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Do not ask on the terminal
    #[arg(long)]
    pub yes: bool,
}

/// Carries a decision out.
///
/// # Errors
/// Refused, or nobody to carry it out.
pub async fn run(common: &Common, policy: &str, decision: Decision, args: &DecideArgs) -> Result<Exit, Failure> {
    let selector = Selector { policies: vec![policy.to_owned()], ..Selector::default() };
    let door = Door::open(&common.config, Need::Drive(&selector)).await?;
    let result = through(&door, common, policy, decision, args).await;
    door.close().await;
    result
}

/// Carries a decision out through a door that is open already.
///
/// # Errors
/// As [`run`].
pub async fn through(
    door: &Door,
    common: &Common,
    policy: &str,
    decision: Decision,
    args: &DecideArgs,
) -> Result<Exit, Failure> {
    let weigh = Ask::WeighDecision { policy: policy.to_owned(), decision };
    let (_, cost): (Vec<()>, DecisionCost) = door.all(weigh).await?;
    if let Some(meant) = args.rotation.as_ref().filter(|meant| **meant != cost.rotation) {
        let text = format!("rotation {meant} is not the one under way: that is {}", cost.rotation);
        return Err(Failure::new(Exit::Refused, text));
    }
    tell(&in_words(policy, decision, &cost));
    if decision.destroys() && !args.yes && ask("Go on?").await == Some(false) {
        return Err(Failure::new(Exit::Refused, "nothing was changed"));
    }
    // The id that was shown is the one that is meant: a rotation that began meanwhile is another.
    let rotation = Some(cost.rotation.clone()).filter(|rotation| !rotation.is_empty());
    let decide = Ask::Decide { policy: policy.to_owned(), rotation, decision, reason: args.reason.clone() };
    let (_, decided): (Vec<()>, Decided) = door.all(decide).await?;
    if common.json {
        let document = serde_json::json!({
            "version": 1, "policy": policy, "rotation": decided.rotation, "decision": decision, "cost": cost,
        });
        print_json(&document, false);
    } else if decided.rotation.is_empty() {
        super::screen::Screen::stdout().print(&format!("{policy}: not suspended any more\n"));
    } else {
        super::screen::Screen::stdout().print(&format!("{policy}: taken, rotation {}\n", decided.rotation));
    }
    if door.daemon().is_none() && !decided.rotation.is_empty() {
        tell("No daemon runs here: what is left of the rotation goes on when `cutover run` is started.");
    }
    Ok(Exit::Done)
}

/// What is about to happen.
fn in_words(policy: &str, decision: Decision, cost: &DecisionCost) -> String {
    let (verb, flag) = decision.typed();
    let space = if flag.is_empty() { "" } else { " " };
    let mut text = format!("{verb}{space}{flag} of {policy}, {}phase {}\n  {}", about(&cost.rotation), cost.phase, cost.does);
    if !cost.costs.is_empty() {
        text.push_str(&format!("\n  costs: {}", cost.costs));
    }
    if decision == Decision::ConfirmRetire {
        let last_use = cost.last_use.as_deref().unwrap_or("its last use is not known here: look at the provider first");
        text.push_str(&format!("\n  the old key: {last_use}"));
    }
    text
}

/// The rotation it is about, where it is about one.
fn about(rotation: &str) -> String {
    if rotation.is_empty() { String::new() } else { format!("rotation {rotation}, ") }
}

#[cfg(test)]
mod tests {
    use super::in_words;
    use crate::control::Decision;
    use crate::control::weigh::DecisionCost;

    #[test]
    fn the_cost_is_told_in_full() {
        let cost = DecisionCost {
            rotation: "rot_1".into(),
            phase: "retire".into(),
            does: "It is ended.".into(),
            costs: "Whatever uses it is refused.".into(),
            last_use: Some("no use of it was seen since 2026-11-20 03:00 UTC".into()),
        };
        let expected = "\
confirm --retire of crm, rotation rot_1, phase retire
  It is ended.
  costs: Whatever uses it is refused.
  the old key: no use of it was seen since 2026-11-20 03:00 UTC";
        assert_eq!(in_words("crm", Decision::ConfirmRetire, &cost), expected);
        let unknown = DecisionCost { last_use: None, ..cost.clone() };
        assert!(in_words("crm", Decision::ConfirmRetire, &unknown).contains("not known here"));
        let free = DecisionCost { costs: String::new(), ..cost };
        assert_eq!(in_words("crm", Decision::Resume, &free), "resume of crm, rotation rot_1, phase retire\n  It is ended.");
    }
}
