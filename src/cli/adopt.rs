//! `cutover adopt`: a key that cutover did not make counts as known from now on.

use cutover_config::Selector;

use super::Common;
use super::decide::DecideArgs;
use super::door::{Door, Need};
use super::exit::{Exit, Failure};
use super::screen::{Screen, ask, print_json, tell};
use crate::control::Ask;
use crate::control::wire::Decided;

/// Arguments of `adopt`.
#[derive(clap::Args, Clone, Debug)]
pub struct AdoptArgs {
    /// The policy
    pub policy: String,
    /// The key's id at the provider; the key that stands in the targets now counts as this one
    #[arg(long, value_name = "ID", required_unless_present = "from_target")]
    pub id: Option<String>,
    /// The value that stands in the targets now
    #[arg(long, conflicts_with = "id")]
    pub from_target: bool,
    /// What every decision takes.
    #[command(flatten)]
    pub decide: DecideArgs,
}

/// Carries it out.
///
/// # Errors
/// Refused, or nobody to carry it out.
pub async fn run(common: &Common, args: &AdoptArgs) -> Result<Exit, Failure> {
    let selector = Selector { policies: vec![args.policy.clone()], ..Selector::default() };
    let door = Door::open(&common.config, Need::Drive(&selector)).await?;
    let result = through(&door, common, args).await;
    door.close().await;
    result
}

async fn through(door: &Door, common: &Common, args: &AdoptArgs) -> Result<Exit, Failure> {
    tell(&format!(
        "adopt of {}\n  idle: the key in its targets counts as the one in use and as ours\n  held for drift: what stands there is \
         written over by the rotation\n  costs: cutover may end the key once a new one is proven in use",
        args.policy
    ));
    if !args.decide.yes && ask("Go on?").await == Some(false) {
        return Err(Failure::new(Exit::Refused, "nothing was changed"));
    }
    let adopt = Ask::Adopt {
        policy: args.policy.clone(),
        rotation: args.decide.rotation.clone(),
        id: args.id.clone(),
        reason: args.decide.reason.clone(),
    };
    let (_, decided): (Vec<()>, Decided) = door.all(adopt).await?;
    if common.json {
        print_json(&serde_json::json!({ "version": 1, "policy": args.policy, "rotation": decided.rotation }), false);
    } else {
        Screen::stdout().print(&format!("{}: adopted\n", args.policy));
    }
    Ok(Exit::Done)
}
