//! `cutover submit`: a person hands in the key that they have made, or found.

use cutover_api::{Clock as _, Secret, Stamp};
use cutover_config::Selector;

use super::Common;
use super::decide::DecideArgs;
use super::door::{Door, Need};
use super::exit::{Exit, Failure};
use super::screen::{Screen, print_json, tell};
use super::{hidden, moment};
use crate::control::Ask;
use crate::control::weigh::SubmitCost;
use crate::control::wire::Decided;
use crate::engine::WallClock;
use crate::engine::times::{rfc3339, words};

/// Arguments of `submit`.
#[derive(clap::Args, Clone, Debug)]
pub struct SubmitArgs {
    /// The policy
    pub policy: String,
    /// The new key's id at the provider
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Until when the old key lives, as the provider shows it: a time, or a span from now
    #[arg(long, value_name = "TIME")]
    pub old_expires_at: Option<String>,
    /// What every decision takes.
    #[command(flatten)]
    pub decide: DecideArgs,
}

/// Carries it out. The value comes on standard input only.
///
/// # Errors
/// Refused, or nobody to carry it out.
pub async fn run(common: &Common, args: &SubmitArgs) -> Result<Exit, Failure> {
    let now = WallClock::real().now();
    let old_expires_at = args.old_expires_at.as_ref().map(|text| moment::parse(text, now)).transpose();
    let old_expires_at = old_expires_at.map_err(|told| Failure::new(Exit::Usage, format!("--old-expires-at: {told}")))?;
    let selector = Selector { policies: vec![args.policy.clone()], ..Selector::default() };
    let door = Door::open(&common.config, Need::Drive(&selector)).await?;
    let result = through(&door, common, args, old_expires_at).await;
    door.close().await;
    result
}

async fn through(door: &Door, common: &Common, args: &SubmitArgs, old_expires_at: Option<Stamp>) -> Result<Exit, Failure> {
    let weigh = Ask::WeighSubmit { policy: args.policy.clone(), rotation: args.decide.rotation.clone() };
    let (_, cost): (Vec<()>, SubmitCost) = door.all(weigh).await?;
    // What is missing is told before anybody is asked for the value.
    if cost.wants_id && args.id.is_none() {
        return Err(Failure::new(
            Exit::Refused,
            "this provider's keys are known by their id: say --id ID; nothing was changed",
        ));
    }
    if cost.wants_old_end && old_expires_at.is_none() {
        let text = "the old key's clock runs since the new one was made: say --old-expires-at TIME, as the dashboard shows it; \
                    nothing was changed";
        return Err(Failure::new(Exit::Refused, text));
    }
    tell(&in_words(&args.policy, &cost, old_expires_at));
    let value = hidden::read("The new key's value (it is not shown), then Enter:");
    let value = value.await.map_err(|told| Failure::new(Exit::Usage, told))?;
    let decided = hand_in(door, args, &cost, old_expires_at, value).await?;
    if common.json {
        let document = serde_json::json!({
            "version": 1, "policy": args.policy, "rotation": decided.rotation, "old_expires_at": old_expires_at.map(rfc3339),
        });
        print_json(&document, false);
    } else {
        let text = format!("{}: taken and sealed, rotation {}. Clear the clipboard.\n", args.policy, decided.rotation);
        Screen::stdout().print(&text);
    }
    if door.daemon().is_none() {
        tell("No daemon runs here: the rotation goes on when `cutover run` is started.");
    }
    Ok(Exit::Done)
}

async fn hand_in(
    door: &Door,
    args: &SubmitArgs,
    cost: &SubmitCost,
    old_expires_at: Option<Stamp>,
    value: Secret,
) -> Result<Decided, Failure> {
    let ask = Ask::Submit {
        policy: args.policy.clone(),
        // The rotation that was shown is the one that is meant.
        rotation: Some(cost.rotation.clone()),
        id: args.id.clone(),
        old_expires_at,
        reason: args.decide.reason.clone(),
        bytes: value.expose().len(),
    };
    let done = door.submit(ask, value).await.map_err(super::door::failure)?;
    serde_json::from_value(done).map_err(|error| Failure::new(Exit::Failed, format!("the answer is not understood ({error})")))
}

/// What is about to happen.
fn in_words(policy: &str, cost: &SubmitCost, old_expires_at: Option<Stamp>) -> String {
    let mut text = format!("submit of {policy}, rotation {}, phase {}\n", cost.rotation, cost.phase);
    if let Some(ask) = &cost.ask {
        text.push_str(&format!("  asked for: {ask}\n"));
    }
    text.push_str(&format!("  {}", cost.does));
    if !cost.costs.is_empty() {
        text.push_str(&format!("\n  costs: {}", cost.costs));
    }
    if let Some(at) = old_expires_at {
        text.push_str(&format!("\n  the old key ends {}", words(at)));
    }
    text
}

#[cfg(test)]
mod tests {
    use cutover_api::Stamp;

    use super::in_words;
    use crate::control::weigh::SubmitCost;

    #[test]
    fn the_cost_is_told_before_the_value_is_asked_for() {
        let cost = SubmitCost {
            rotation: "rot_1".into(),
            phase: "mint".into(),
            ask: Some("Click Rotate.".into()),
            does: "Writes it everywhere.".into(),
            costs: "The redeploy begins at once.".into(),
            wants_id: false,
            wants_old_end: true,
        };
        let expected = "\
submit of crm, rotation rot_1, phase mint
  asked for: Click Rotate.
  Writes it everywhere.
  costs: The redeploy begins at once.
  the old key ends 2026-11-21 03:05 UTC";
        assert_eq!(in_words("crm", &cost, Some(Stamp(1_795_230_300_000))), expected);
    }
}
