//! `cutover resume`: look again and repeat what is safe.

use cutover_config::Selector;

use super::Common;
use super::decide::{self, DecideArgs};
use super::door::{Door, Need};
use super::exit::{Exit, Failure};
use super::screen::{Screen, print_json, tell};
use crate::control::wire::ClockConfirmed;
use crate::control::{Ask, Decision};
use crate::engine::PolicyStatus;

/// Arguments of `resume`.
#[derive(clap::Args, Clone, Debug)]
pub struct ResumeArgs {
    /// The policy; without one, the clock is confirmed as it is now and every suspension is lifted
    pub policy: Option<String>,
    /// Mint again although the last mint is in doubt; says first what dies
    #[arg(long, requires = "policy")]
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
    if let Some(policy) = &args.policy {
        let decision = if args.mint_again { Decision::MintAgain } else { Decision::Resume };
        return decide::run(common, policy, decision, &args.decide).await;
    }
    if args.decide.rotation.is_some() {
        return Err(Failure::new(Exit::Usage, "--rotation needs the policy it belongs to"));
    }
    let door = Door::open(&common.config, Need::Read).await?;
    let result = everything(&door, common, &args.decide).await;
    door.close().await;
    result
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
    for policy in &confirmed.lifted {
        text.push_str(&format!("{policy}: not suspended any more\n"));
    }
    if text.is_empty() {
        String::from("The clock was not frozen and nothing was suspended: nothing was changed.\n")
    } else {
        text
    }
}
