//! `cutover resume`: look again and repeat what is safe.

use super::Common;
use super::decide::{self, DecideArgs};
use super::door::{Door, Need};
use super::exit::{Exit, Failure};
use super::screen::{Screen, print_json};
use crate::control::wire::ClockConfirmed;
use crate::control::{Ask, Decision};

/// Arguments of `resume`.
#[derive(clap::Args, Clone, Debug)]
pub struct ResumeArgs {
    /// The policy; without one, the clock is confirmed as it is now
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
    let result = clock(&door, common).await;
    door.close().await;
    result
}

async fn clock(door: &Door, common: &Common) -> Result<Exit, Failure> {
    if door.daemon().is_none() {
        let text = "no daemon runs here: a clock is confirmed only where one has frozen; nothing was changed";
        return Err(Failure::new(Exit::Refused, text));
    }
    let (_, confirmed): (Vec<()>, ClockConfirmed) = door.all(Ask::ConfirmClock {}).await?;
    if common.json {
        print_json(&serde_json::json!({ "version": 1, "clock": confirmed }), false);
    } else if confirmed.was_frozen {
        Screen::stdout().print("The clock is confirmed: starts and revokes go on within a minute.\n");
    } else {
        Screen::stdout().print("The clock was not frozen: nothing was changed.\n");
    }
    Ok(Exit::Done)
}
