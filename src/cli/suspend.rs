//! `cutover suspend`: no date starts a rotation for a while.

use cutover_api::{Clock as _, Stamp};
use cutover_config::Selector;
use serde_json::{Value, json};

use super::door::{Door, Need};
use super::exit::{Exit, Failure};
use super::screen::{Screen, ask, print_json, tell};
use super::select::SelectorArgs;
use super::words::counted;
use super::{Common, moment};
use crate::control::Ask;
use crate::engine::times::words;
use crate::engine::{PolicyStatus, Suspended, WallClock, check_until};

/// Policies that are told one by one; more are counted.
const TOLD: usize = 20;

/// Arguments of `suspend`.
#[derive(clap::Args, Clone, Debug)]
pub struct SuspendArgs {
    /// Which policies.
    #[command(flatten)]
    pub select: SelectorArgs,
    /// Until when: a time, a day, or a span from now; at most 90 days
    #[arg(long, value_name = "TIME")]
    pub until: String,
    /// Why; kept in the history
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Do not ask on the terminal
    #[arg(long)]
    pub yes: bool,
}

/// Carries it out.
///
/// # Errors
/// Nothing was suspended.
pub async fn run(common: &Common, args: &SuspendArgs) -> Result<Exit, Failure> {
    let now = WallClock::real().now();
    let until = moment::parse(&args.until, now).map_err(|told| Failure::new(Exit::Usage, format!("--until: {told}")))?;
    check_until(until, now).map_err(|told| Failure::new(Exit::Refused, told))?;
    let selector = args.select.selector();
    if selector.is_empty() {
        return Err(Failure::new(Exit::Usage, cutover_config::NOTHING_SAID));
    }
    let door = Door::open(&common.config, Need::Read).await?;
    let result = through(&door, common, args, &selector, until).await;
    door.close().await;
    result
}

async fn through(door: &Door, common: &Common, args: &SuspendArgs, selector: &Selector, until: Stamp) -> Result<Exit, Failure> {
    let (policies, _): (Vec<PolicyStatus>, Value) = door.all(Ask::Status { selector: selector.clone() }).await?;
    tell(weighed(&policies, until).trim_end());
    if policies.len() > 1 && !args.yes && ask("Go on?").await == Some(false) {
        return Err(Failure::new(Exit::Refused, "nothing was changed"));
    }
    let order = Ask::Suspend { selector: selector.clone(), until, reason: args.reason.clone() };
    let (suspended, _): (Vec<Suspended>, Value) = door.all(order).await?;
    if common.json {
        print_json(&json!({ "version": 1, "suspended": suspended }), false);
    } else {
        let lines = suspended.iter().map(|one| format!("{}: suspended until {}\n", one.policy, words(until)));
        Screen::stdout().print(&lines.collect::<String>());
    }
    Ok(Exit::Done)
}

/// What is put off, and what is not.
fn weighed(policies: &[PolicyStatus], until: Stamp) -> String {
    let mut text = format!(
        "{}: no date starts a rotation until {}. Orders by hand and emergencies still do\n",
        counted(policies.len(), "policy", "policies"),
        words(until)
    );
    for status in policies.iter().take(TOLD) {
        let due = status.next_due.as_deref().and_then(|due| due.parse::<jiff::Timestamp>().ok());
        let put_off = due.filter(|due| due.as_millisecond() < until.0);
        let line = match (put_off, status.phase.as_str()) {
            (_, phase) if phase != "idle" => format!("a rotation is under way (phase {phase}): it goes on"),
            (Some(due), _) => {
                format!("its date {} is put off; it is overdue then, never skipped", words(Stamp(due.as_millisecond())))
            }
            (None, _) => "no date comes before".to_owned(),
        };
        text.push_str(&format!("  {}: {line}\n", status.policy));
    }
    text.push_str("  costs: the keys grow older\n");
    text
}

#[cfg(test)]
mod tests {
    use cutover_api::Stamp;

    use super::weighed;
    use crate::cli::status::tests::status;
    use crate::engine::PolicyStatus;

    #[test]
    fn what_is_put_off_is_told_before() {
        let due = |policy: &str, due: &str| PolicyStatus { next_due: Some(due.into()), ..status(policy, "idle") };
        let policies = [due("crm", "2026-11-21T12:00:00Z"), due("erp", "2027-01-01T00:00:00Z"), status("pay", "observe")];
        let expected = "\
3 policies: no date starts a rotation until 2026-11-22 03:05 UTC. Orders by hand and emergencies still do
  crm: its date 2026-11-21 12:00 UTC is put off; it is overdue then, never skipped
  erp: no date comes before
  pay: a rotation is under way (phase observe): it goes on
  costs: the keys grow older
";
        assert_eq!(weighed(&policies, Stamp(1_795_316_700_000)), expected);
    }
}
