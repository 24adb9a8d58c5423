//! `cutover confirm`: a person has seen what no witness can.

use super::Common;
use super::decide::{self, DecideArgs};
use super::exit::{Exit, Failure};
use crate::control::Decision;

/// Arguments of `confirm`.
#[derive(clap::Args, Clone, Debug)]
pub struct ConfirmArgs {
    /// The policy
    pub policy: String,
    /// The old key is not used any more and may be ended; shows its last use first
    #[arg(long)]
    pub retire: bool,
    /// What every decision takes.
    #[command(flatten)]
    pub decide: DecideArgs,
}

/// Carries it out.
///
/// # Errors
/// Refused, or nobody to carry it out.
pub async fn run(common: &Common, args: &ConfirmArgs) -> Result<Exit, Failure> {
    let decision = if args.retire { Decision::ConfirmRetire } else { Decision::Confirm };
    decide::run(common, &args.policy, decision, &args.decide).await
}
