//! `cutover rotate`: a rotation now.

use std::time::Duration;

use cutover_api::Span;
use cutover_config::Selector;
use serde_json::{Value, json};

use super::Common;
use super::check::{findings_in_words, worst};
use super::door::{Door, Need};
use super::exit::{Exit, Failure};
use super::screen::{Screen, print_json, tell};
use super::select::SelectorArgs;
use super::wait::{Come, Ended, Wanted, ended_in_words, wait};
use super::words::counted;
use crate::control::Ask;
use crate::control::weigh::RotationCost;
use crate::engine::Started;
use crate::engine::check::Finding;
use cutover_machine::emergency::EmergencyOrder;

/// Costs that are told one by one; more are told by provider.
const TOLD: usize = 20;

/// Arguments of `rotate`.
#[derive(clap::Args, Clone, Debug)]
pub struct RotateArgs {
    /// Which policies.
    #[command(flatten)]
    pub select: SelectorArgs,
    /// Why; kept in the history
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// The keys are compromised: cut them off now, window or not. cut-first: as soon as there are new ones, and what uses them is down until
    /// it has read the new one. deploy-first: once the new ones are proven in use
    #[arg(long, value_name = "ORDER", num_args = 0..=1, require_equals = true, default_missing_value = "cut-first", value_parser = super::emergency::order)]
    pub emergency: Option<EmergencyOrder>,
    /// Do not ask on the terminal
    #[arg(long, requires = "emergency")]
    pub yes: bool,
    /// Look at everything a rotation needs and start none
    #[arg(long, conflicts_with = "wait")]
    pub dry_run: bool,
    /// Wait until each rotation rests: the old key dead, or only the provider's clock left
    #[arg(long)]
    pub wait: bool,
    /// Wait at most so long, e.g. 30m; then the exit status is 5
    #[arg(long, requires = "wait", value_name = "T", value_parser = span)]
    pub timeout: Option<Span>,
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).map_err(|error| error.to_string())
}

/// Carries it out.
///
/// # Errors
/// Nothing was started.
pub async fn run(common: &Common, args: &RotateArgs) -> Result<Exit, Failure> {
    let selector = args.select.selector();
    if selector.is_empty() {
        return Err(Failure::new(Exit::Usage, cutover_config::NOTHING_SAID));
    }
    let need = if args.dry_run { Need::Look } else { Need::Begin(&selector) };
    let door = Door::open(&common.config, need).await?;
    if let Some(order) = args.emergency {
        let result = super::emergency::run(&door, common, args, &selector, order).await;
        door.close().await;
        return result;
    }
    let result = if args.dry_run { dry(&door, common, &selector).await } else { rotate(&door, common, args, &selector).await };
    door.close().await;
    result
}

async fn dry(door: &Door, common: &Common, selector: &Selector) -> Result<Exit, Failure> {
    let (costs, _): (Vec<RotationCost>, Value) = door.all(Ask::WeighRotation { selector: selector.clone() }).await?;
    let (findings, _): (Vec<Finding>, Value) = door.all(Ask::Survey { selector: selector.clone(), channels: true }).await?;
    if common.json {
        print_json(&json!({ "version": 1, "dry_run": true, "costs": costs, "findings": findings }), false);
    } else {
        let screen = Screen::stdout();
        screen.print(&(weighed(&costs) + "\n" + &findings_in_words(&screen, &findings) + "Nothing was started.\n"));
    }
    let refused = if costs.iter().any(|cost| cost.under_way.is_some()) { Exit::Refused } else { Exit::Done };
    Ok(worst(&findings).worse(refused))
}

async fn rotate(door: &Door, common: &Common, args: &RotateArgs, selector: &Selector) -> Result<Exit, Failure> {
    let (costs, _): (Vec<RotationCost>, Value) = door.all(Ask::WeighRotation { selector: selector.clone() }).await?;
    tell(weighed(&costs).trim_end());
    let ask = Ask::Rotate { selector: selector.clone(), reason: args.reason.clone() };
    let (started, _): (Vec<Started>, Value) = door.all(ask).await?;
    let wanted = wanted(&started);
    let here = door.daemon().is_none();
    let mut come = Vec::new();
    let mut ended = Ended::All;
    if (args.wait || here) && !wanted.is_empty() {
        if here && !args.wait {
            tell("No daemon runs here: this process carries the rotation out and stays until it rests.");
        }
        let timeout = args.timeout.map(|span| Duration::from_millis(u64::try_from(span.0).unwrap_or(0)));
        (come, ended) = wait(door, &wanted, timeout).await?;
        tell_end(ended, here, &wanted);
    }
    if common.json {
        print_json(&document(&started, &wanted, &come), false);
    } else {
        Screen::stdout().print(&in_words(&started, &wanted, &come));
    }
    let refused = started.iter().map(|one| if one.refused.is_some() { Exit::Refused } else { Exit::Done });
    let waited = come.iter().map(Come::exit);
    let exit = refused.chain(waited).fold(Exit::Done, Exit::worse);
    Ok(if ended == Ended::All { exit } else { exit.worse(Exit::Timeout) })
}

fn wanted(started: &[Started]) -> Vec<Wanted> {
    let begun = started.iter().filter(|one| one.refused.is_none());
    begun.filter_map(|one| Some(Wanted { policy: one.policy.clone(), rotation: one.rotation.clone()? })).collect()
}

fn tell_end(ended: Ended, here: bool, wanted: &[Wanted]) {
    let policies: Vec<&str> = wanted.iter().map(|wanted| wanted.policy.as_str()).take(TOLD).collect();
    let status = format!("cutover status {}", policies.join(" "));
    let stays = if here {
        "what is under way is durable and goes on when `cutover run` is started".to_owned()
    } else {
        format!("the rotation goes on in the daemon: {status}")
    };
    match ended {
        Ended::All => {}
        Ended::Timeout => tell(&format!("The wait is over; {stays}")),
        Ended::Interrupted => tell(&format!("No longer waiting; {stays}")),
    }
}

/// What a rotation of these policies will do.
fn weighed(costs: &[RotationCost]) -> String {
    let mut text = format!("{} selected\n", counted(costs.len(), "policy", "policies"));
    if costs.len() > TOLD {
        let mut providers: Vec<&str> = costs.iter().map(|cost| cost.provider.as_str()).collect();
        providers.sort_unstable();
        providers.dedup();
        for provider in providers {
            let of: Vec<&RotationCost> = costs.iter().filter(|cost| cost.provider == provider).collect();
            let hooks: usize = of.iter().map(|cost| cost.hooks).sum();
            let (policies, hooks) = (counted(of.len(), "policy", "policies"), counted(hooks, "hook", "hooks"));
            text.push_str(&format!("  {provider}: {policies}, {hooks}\n"));
        }
        return text;
    }
    for cost in costs {
        let hooks = if cost.hooks == 0 { String::new() } else { format!(", then {}", counted(cost.hooks, "hook", "hooks")) };
        text.push_str(&format!("  {} ({}, {}): {}\n", cost.policy, cost.provider, cost.lifecycle, cost.grace));
        text.push_str(&format!("    writes {}{hooks}; old key: {}\n", cost.targets.join(", "), cost.old_key));
        if let Some(rotation) = &cost.under_way {
            text.push_str(&format!("    rotation {rotation} is under way already: no second one is started\n"));
        }
        if let Some(until) = &cost.suspended {
            text.push_str(&format!("    suspended until {until}: this order starts it all the same\n"));
        }
    }
    text
}

fn document(started: &[Started], wanted: &[Wanted], come: &[Come]) -> Value {
    let rotations = started.iter().map(|one| {
        let come = wanted.iter().zip(come).find(|(wanted, _)| wanted.policy == one.policy).map(|(_, come)| come);
        json!({ "policy": one.policy, "rotation": one.rotation, "refused": one.refused, "come": come })
    });
    json!({ "version": 1, "rotations": rotations.collect::<Vec<_>>() })
}

fn in_words(started: &[Started], wanted: &[Wanted], come: &[Come]) -> String {
    let mut text = String::new();
    for one in started {
        let id = one.rotation.as_deref().unwrap_or("none");
        let come = wanted.iter().zip(come).find(|(wanted, _)| wanted.policy == one.policy).map(|(_, come)| come);
        let line = match (&one.refused, come) {
            (Some(why), _) => format!("{}: not started: {why}", one.policy),
            (None, None) => format!("{}: started, rotation {id}", one.policy),
            (None, Some(Come::Moving { phase, .. })) => format!("{}: in phase {phase}, rotation {id}", one.policy),
            (None, Some(Come::Held { why, .. })) => {
                format!("{}: held ({why}), rotation {id}; `cutover status {}` lists the ways out", one.policy, one.policy)
            }
            (None, Some(Come::Rest { ended })) => format!("{}: {}, rotation {id}", one.policy, ended_in_words(ended)),
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{document, in_words, wanted, weighed};
    use crate::cli::wait::Come;
    use crate::control::weigh::RotationCost;
    use crate::engine::Started;

    fn cost(policy: &str) -> RotationCost {
        RotationCost {
            policy: policy.into(),
            provider: "bondi".into(),
            lifecycle: "grace".into(),
            provider_ends_old: true,
            grace: "the provider ends the old key after 24h".into(),
            targets: vec!["vault:apps/crm".into()],
            hooks: 1,
            verify: vec!["consumer".into()],
            old_key: "ended by the provider's clock".into(),
            under_way: None,
            suspended: None,
        }
    }

    #[test]
    fn the_cost_is_told_before() {
        let mut busy = cost("erp");
        busy.under_way = Some("rot_9".into());
        let expected = "\
2 policies selected
  crm (bondi, grace): the provider ends the old key after 24h
    writes vault:apps/crm, then 1 hook; old key: ended by the provider's clock
  erp (bondi, grace): the provider ends the old key after 24h
    writes vault:apps/crm, then 1 hook; old key: ended by the provider's clock
    rotation rot_9 is under way already: no second one is started
";
        assert_eq!(weighed(&[cost("crm"), busy]), expected);
        let many: Vec<_> = (0..30).map(|n| cost(&format!("p{n}"))).collect();
        assert_eq!(weighed(&many), "30 policies selected\n  bondi: 30 policies, 30 hooks\n");
    }

    #[test]
    fn the_result_is_told_in_words_and_as_json() {
        let started = [
            Started { policy: "crm".into(), rotation: Some("rot_1".into()), refused: None },
            Started { policy: "erp".into(), rotation: Some("rot_9".into()), refused: Some("under way already".into()) },
        ];
        let wanted = wanted(&started);
        assert_eq!(wanted.len(), 1);
        let come = [Come::Rest { ended: "done".into() }];
        let expected = "\
crm: done: the new key is in use and the old one is dead, rotation rot_1
erp: not started: under way already
";
        assert_eq!(in_words(&started, &wanted, &come), expected);
        let expected = serde_json::json!({ "version": 1, "rotations": [
            { "policy": "crm", "rotation": "rot_1", "refused": null, "come": { "state": "rest", "ended": "done" } },
            { "policy": "erp", "rotation": "rot_9", "refused": "under way already", "come": null },
        ]});
        assert_eq!(document(&started, &wanted, &come), expected);
        assert_eq!(in_words(&started[..1], &wanted, &[]), "crm: started, rotation rot_1\n");
    }
}
