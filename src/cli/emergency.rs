//! `rotate --emergency` and `status --emergency`: what an order will do, the order, and its report.

use std::collections::BTreeMap;
use std::time::Duration;

use cutover_config::Selector;
use cutover_machine::emergency::EmergencyOrder;
use serde::Serialize;
use serde_json::{Value, json};

use super::Common;
use super::door::Door;
use super::exit::{Exit, Failure};
use super::rotate::RotateArgs;
use super::screen::{Paint, Screen, ask, print_json, tell};
use super::words::counted;
use crate::alert::report::{ByHand, KeyReport, KeyStands, PolicyReport, Report, Tally};
use crate::control::Ask;
use crate::control::emergency::{EmergencyCost, Told};
use crate::engine::EmergencyTaken;
use crate::engine::times::words;

/// How often a wait looks.
const EVERY: Duration = Duration::from_millis(300);
/// Policies that are told one by one in a cost; more are told by provider.
const TOLD: usize = 20;

/// Reads `cut-first` or `deploy-first`.
pub fn order(text: &str) -> Result<EmergencyOrder, String> {
    match text {
        "cut-first" => Ok(EmergencyOrder::CutFirst),
        "deploy-first" => Ok(EmergencyOrder::DeployFirst),
        _ => Err(String::from("cut-first or deploy-first")),
    }
}

/// An order that is open, in one line.
#[derive(Clone, Debug, Serialize)]
pub struct OpenOrder {
    /// Its id.
    pub id: String,
    /// `cut-first` or `deploy-first`.
    pub order: String,
    /// When it was given.
    pub at: String,
    /// The counts.
    pub tally: Tally,
}

impl OpenOrder {
    /// For a screen.
    #[must_use]
    pub fn in_words(&self) -> String {
        format!(
            "EMERGENCY {} ({}, ordered {}): {} of {} older keys dead, {} of {} policies open. cutover status --emergency {}",
            self.id, self.order, self.at, self.tally.dead, self.tally.keys, self.tally.open, self.tally.policies, self.id
        )
    }
}

/// Carries an order out.
///
/// # Errors
/// Nothing was ordered.
pub async fn run(
    door: &Door,
    common: &Common,
    args: &RotateArgs,
    selector: &Selector,
    order: EmergencyOrder,
) -> Result<Exit, Failure> {
    let weigh = Ask::WeighEmergency { selector: selector.clone(), order };
    let (costs, by_hand): (Vec<EmergencyCost>, Vec<ByHand>) = door.all(weigh).await?;
    if args.dry_run {
        if common.json {
            print_json(&json!({ "version": 1, "dry_run": true, "order": order, "costs": costs, "by_hand": by_hand }), false);
        } else {
            Screen::stdout().print(&(weighed(order, &costs, &by_hand) + "Nothing was ordered.\n"));
        }
        return Ok(Exit::Done);
    }
    tell(weighed(order, &costs, &by_hand).trim_end());
    if !args.yes && ask("Go on?").await == Some(false) {
        return Err(Failure::new(Exit::Refused, "nothing was changed"));
    }
    let give = Ask::Emergency { selector: selector.clone(), order, reason: args.reason.clone() };
    let (_, taken): (Vec<Value>, EmergencyTaken) = door.all(give).await?;
    tell(&format!(
        "Ordered: {}, {}. Its report: cutover status --emergency {}",
        taken.id,
        counted(taken.policies, "policy", "policies"),
        taken.id
    ));
    let here = door.daemon().is_none();
    if !args.wait && !here {
        if common.json {
            print_json(&json!({ "version": 1, "emergency": taken }), false);
        }
        return Ok(Exit::Done);
    }
    if here {
        tell("No daemon runs here: this process carries it out and stays until it rests.");
    }
    let limit = args.timeout.map(|span| Duration::from_millis(u64::try_from(span.0).unwrap_or(0)));
    let (report, ended) = wait(door, &taken.id, limit).await?;
    print(common, &report);
    Ok(exit(&report).worse(ended))
}

/// Follows an order until everything of it rests or waits for a person, telling every change.
async fn wait(door: &Door, id: &str, limit: Option<Duration>) -> Result<(Report, Exit), Failure> {
    let over = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(over);
    let mut waited = false;
    let mut told = String::new();
    let mut missed = 0_u32;
    loop {
        let report = match reports(door, Some(id)).await {
            Ok(mut reports) => reports.pop(),
            // A daemon that restarts goes on with the order: it is durable.
            Err(failure) if failure.exit == Exit::Failed && missed < 200 => {
                if missed == 0 {
                    tell("the daemon is gone; waiting for it to come back and go on with the order");
                }
                missed += 1;
                None
            }
            Err(failure) => return Err(failure),
        };
        if let Some(report) = report {
            missed = 0;
            let line = report.in_a_line();
            if line != told {
                tell(&line);
                told = line;
            }
            if report.policies.iter().all(rests) {
                return Ok((report, Exit::Done));
            }
            if waited {
                tell(&format!("The wait is over; the order goes on: cutover status --emergency {id}"));
                return Ok((report, Exit::Timeout));
            }
        }
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Err(Failure::new(Exit::Timeout, format!("no longer waiting; the order goes on: cutover status --emergency {id}"))),
            () = &mut over, if !waited => waited = true,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Nothing more moves without a person or the provider's clock.
fn rests(policy: &PolicyReport) -> bool {
    let moving = |key: &KeyReport| matches!(key.stands, KeyStands::Cutting);
    policy.over
        || (policy.rotation.is_some() && policy.trouble.is_some())
        || (policy.new_key == "in use" && !policy.keys.iter().any(moving))
}

fn exit(report: &Report) -> Exit {
    let waits =
        |policy: &PolicyReport| policy.trouble.is_some() || policy.keys.iter().any(|key| key.stands == KeyStands::ByHand);
    if report.policies.iter().any(waits) { Exit::Held } else { Exit::Done }
}

/// Shows the report of an order.
///
/// # Errors
/// There is none.
pub async fn show(door: &Door, common: &Common, id: Option<&str>) -> Result<Exit, Failure> {
    let Some(report) = reports(door, id).await?.pop() else {
        if common.json {
            print_json(&json!({ "version": 1, "emergency": null }), false);
        } else {
            Screen::stdout().print("No emergency was ordered.\n");
        }
        return Ok(Exit::Done);
    };
    print(common, &report);
    Ok(exit(&report))
}

/// The orders that are open.
///
/// # Errors
/// The daemon does not answer.
pub async fn open_orders(door: &Door) -> Result<Vec<OpenOrder>, Failure> {
    let reports = reports(door, None).await?;
    let open = reports.iter().map(|report| (report, report.tally())).filter(|(_, tally)| tally.open > 0);
    Ok(open
        .map(|(report, tally)| OpenOrder { id: report.id.clone(), order: report.order.clone(), at: words(report.at), tally })
        .collect())
}

async fn reports(door: &Door, id: Option<&str>) -> Result<Vec<Report>, Failure> {
    let (told, _): (Vec<Told>, Value) = door.all(Ask::Emergencies { id: id.map(ToOwned::to_owned) }).await?;
    let mut reports: Vec<Report> = Vec::new();
    for told in told {
        match (told, reports.last_mut()) {
            (Told::Order(report, _), _) => reports.push(*report),
            (Told::Policy(policy), Some(report)) => report.policies.push(*policy),
            (Told::Policy(_), None) => {}
        }
    }
    Ok(reports)
}

fn print(common: &Common, report: &Report) {
    if common.json {
        print_json(&json!({ "version": 1, "emergency": report, "tally": report.tally() }), false);
    } else {
        let screen = Screen::stdout();
        screen.print(&in_words(&screen, report));
    }
}

/// The report on a screen.
fn in_words(screen: &Screen, report: &Report) -> String {
    let reason = report.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let head = format!("EMERGENCY {} ({}) ordered {} by {}{reason}", report.id, report.order, words(report.at), report.actor);
    let over = report.tally().open == 0;
    let mut text = screen.paint(if over { Paint::Strong } else { Paint::Bad }, &head) + "\n";
    text.push_str(&format!("{}{}\n\n", report.in_a_line(), if over { ". Everything is accounted for." } else { "." }));
    let mut rows = Vec::new();
    for policy in &report.policies {
        let row = |key: &str, stands: &str, detail: String| {
            vec![policy.policy.clone(), policy.new_key.clone(), key.to_owned(), stands.to_owned(), detail]
        };
        if policy.keys.is_empty() {
            rows.push(row("-", "-", policy.trouble.clone().unwrap_or_default()));
        }
        for key in &policy.keys {
            let until = key.until.map(|until| format!("until {}: ", words(until))).unwrap_or_default();
            rows.push(row(&key.key, stands(key.stands), format!("{until}{}", key.detail)));
        }
    }
    text.push_str(&screen.table(&["POLICY", "NEW KEY", "OLDER KEY", "STANDS", "HOW"], &rows));
    for policy in &report.policies {
        let alive = policy.keys.iter().any(|key| !matches!(key.stands, KeyStands::Dead | KeyStands::Cutting));
        if let Some(trouble) = &policy.trouble {
            text.push_str(&format!("{} waits for somebody: {trouble}\n", policy.policy));
        }
        if let Some(support) = policy.support.as_ref().filter(|_| alive) {
            text.push_str(&format!("{}: ask {support}\n", policy.policy));
        }
    }
    text + &by_hand_in_words(&report.by_hand)
}

const fn stands(stands: KeyStands) -> &'static str {
    match stands {
        KeyStands::Dead => "dead",
        KeyStands::Cutting => "being cut",
        KeyStands::Until => "ALIVE",
        KeyStands::Failing => "ALIVE, tried again",
        KeyStands::ByHand => "ALIVE, by hand",
        KeyStands::Left => "ALIVE, not ours",
    }
}

fn by_hand_in_words(by_hand: &[ByHand]) -> String {
    if by_hand.is_empty() {
        return String::new();
    }
    let mut text = String::from("Replace by hand (the same people could read these, and cutover does not rotate them):\n");
    by_hand
        .iter()
        .for_each(|one| text.push_str(&format!("  the credential of [{}], read by {}\n", one.table, one.holders.join(", "))));
    text
}

/// What an order will do.
fn weighed(order: EmergencyOrder, costs: &[EmergencyCost], by_hand: &[ByHand]) -> String {
    let mut text = format!("EMERGENCY, {}: {}\n", order.label(), counted(costs.len(), "policy", "policies"));
    let same = |cost: &EmergencyCost| (cost.provider.clone(), cost.old_keys.clone(), cost.down.clone(), cost.support.clone());
    let mut groups: BTreeMap<_, Vec<&EmergencyCost>> = BTreeMap::new();
    costs.iter().for_each(|cost| groups.entry(same(cost)).or_default().push(cost));
    for ((provider, old_keys, down, support), costs) in groups {
        let names: Vec<&str> = costs.iter().map(|cost| cost.policy.as_str()).take(TOLD).collect();
        let more = if costs.len() > TOLD { format!(" and {} more", costs.len() - TOLD) } else { String::new() };
        text.push_str(&format!("  {} at {provider}{more}\n    {old_keys}\n    down: {down}\n", names.join(", ")));
        if let Some(support) = support {
            text.push_str(&format!("    ask {support}\n"));
        }
        for cost in costs.iter().take(TOLD) {
            if let Some(rotation) = &cost.under_way {
                text.push_str(&format!("    {} has rotation {rotation} under way: it answers the order\n", cost.policy));
            }
        }
    }
    text + &by_hand_in_words(by_hand)
}
