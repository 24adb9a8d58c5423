//! `cutover abandon`: a rotation is given up.

use super::Common;
use super::decide::{self, DecideArgs};
use super::exit::{Exit, Failure};
use crate::control::Decision;

/// Arguments of `abandon`.
#[derive(clap::Args, Clone, Debug)]
pub struct AbandonArgs {
    /// The policy
    pub policy: String,
    /// What every decision takes.
    #[command(flatten)]
    pub decide: DecideArgs,
}

/// Carries it out.
///
/// # Errors
/// Refused, or nobody to carry it out.
pub async fn run(common: &Common, args: &AbandonArgs) -> Result<Exit, Failure> {
    decide::run(common, &args.policy, Decision::Abandon, &args.decide).await
}
