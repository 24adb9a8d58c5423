//! `cutover resume`: look again and repeat what is safe.

use cutover_config::Selector;

use super::Common;
use super::decide::{self, DecideArgs};
use super::door::{Door, Need};
use super::exit::{Exit, Failure};
use super::screen::{Screen, print_json, tell};
use super::select::SelectorArgs;
use crate::control::wire::ClockConfirmed;
use crate::control::{Ask, Decision};
use crate::engine::PolicyStatus;

/// Arguments of `resume`.
#[derive(clap::Args, Clone, Debug)]
pub struct ResumeArgs {
    /// Which policies: of these, what is held or suspended goes on. Without any, the clock is confirmed as it is now and every suspension
    /// is lifted
    #[command(flatten)]
    pub select: SelectorArgs,
    /// Mint again although the last mint is in doubt; says first what dies. For one policy, by its name
    #[arg(long, requires = "policies", conflicts_with_all = ["tags", "holders", "providers", "all"])]
    pub mint_again: bool,
    /// What every decision takes.
    #[command(flatten)]
    pub decide: DecideArgs,
}

/// Carries it out.
///
/// # Errors
/// Refused, or nobody to carry it out.
pub async fn run(common: &Common, args: &ResumeArgs) -> Result<Exit, Failure> {
    let selector = args.select.selector();
    if let [policy] = selector.policies.as_slice()
        && selector.only_policies()
    {
        let decision = if args.mint_again { Decision::MintAgain } else { Decision::Resume };
        return decide::run(common, policy, decision, &args.decide).await;
    }
    if args.mint_again || args.decide.rotation.is_some() {
        return Err(Failure::new(Exit::Usage, "--rotation and --mint-again need one policy, by its name"));
    }
    if !selector.is_empty() {
        let door = Door::open(&common.config, Need::Drive(&selector)).await?;
        let result = selected(&door, common, selector, &args.decide).await;
        door.close().await;
        return result;
    }
    let door = Door::open(&common.config, Need::Read).await?;
    let result = everything(&door, common, &args.decide).await;
    door.close().await;
    result
}

/// Of what is selected, what is held or suspended goes on. What is refused for one does not keep the others.
async fn selected(door: &Door, common: &Common, selector: Selector, args: &DecideArgs) -> Result<Exit, Failure> {
    let ask = Ask::Status { selector };
    let (policies, _): (Vec<PolicyStatus>, serde_json::Value) = door.all(ask).await?;
    if policies.is_empty() {
        return Err(Failure::new(Exit::Usage, cutover_config::NOTHING_SELECTED));
    }
    let waiting: Vec<_> = policies.iter().filter(|status| status.held.is_some() || status.suspended.is_some()).collect();
    if waiting.is_empty() {
        tell(&format!("Of {} selected, nothing is held or suspended: nothing was changed.", policies.len()));
    }
    let mut exit = Exit::Done;
    for status in waiting {
        match decide::through(door, common, &status.policy, Decision::Resume, args).await {
            Ok(one) => exit = exit.worse(one),
            Err(failure) => {
                tell(&format!("cutover: {}: {}", status.policy, failure.text));
                exit = exit.worse(failure.exit);
            }
        }
    }
    Ok(exit)
}

async fn everything(door: &Door, common: &Common, args: &DecideArgs) -> Result<Exit, Failure> {
    let standing = weighed(door).await?;
    tell(standing.trim_end());
    let ask = Ask::ConfirmClock { reason: args.reason.clone() };
    let (_, confirmed): (Vec<()>, ClockConfirmed) = door.all(ask).await?;
    if common.json {
        print_json(&serde_json::json!({ "version": 1, "clock": confirmed }), false);
    } else {
        Screen::stdout().print(&in_words(&confirmed));
    }
    Ok(Exit::Done)
}

/// What is lifted.
async fn weighed(door: &Door) -> Result<String, Failure> {
    let ask = Ask::Status { selector: Selector::default() };
    let (policies, _): (Vec<PolicyStatus>, serde_json::Value) = door.all(ask).await?;
    let mut text = String::from("resume: the clock as it is now counts as right, and every suspension is lifted\n");
    for (status, suspended) in policies.iter().filter_map(|status| Some((status, status.suspended.as_ref()?))) {
        text.push_str(&format!("  {}: suspended until {}, by {}\n", status.policy, suspended.until, suspended.by));
    }
    Ok(text)
}

fn in_words(confirmed: &ClockConfirmed) -> String {
    let mut text = String::new();
    if confirmed.was_frozen {
        text.push_str("The clock is confirmed: starts and revokes go on within a minute.\n");
    }
    if confirmed.ledger_trusted {
        text.push_str("The ledger is believed as it is: what was under way goes on.\n");
    }
    for policy in &confirmed.lifted {
        text.push_str(&format!("{policy}: not suspended any more\n"));
    }
    if text.is_empty() {
        String::from("The clock was not frozen and nothing was suspended: nothing was changed.\n")
    } else {
        text
    }
}
