//! `cutover plan`: what will happen when.

mod calendar;
mod compare;

use std::path::PathBuf;

use cutover_api::Clock as _;
use cutover_config::{Config, Selector};
use cutover_ledger::{OpenErrorKind, SqliteLedger};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::Common;
use super::door::Door;
use super::exit::{Exit, Failure};
use super::open;
use super::screen::{Mark, Paint, Screen, print_json};
use super::select::SelectorArgs;
use super::words::{counted, read, short};
use crate::catalog::Catalog;
use crate::control::wire::Planned;
use crate::control::{Ask, Client, Reached, looks};
use crate::engine::WallClock;
use crate::engine::ahead::{self, Coming, PolicyStates, Scheduled, What};
use crate::engine::times::timestamp;

/// Arguments of `plan`.
#[derive(clap::Args, Clone, Debug)]
pub struct PlanArgs {
    /// Which policies; all, where nothing is said.
    #[command(flatten)]
    pub select: SelectorArgs,
    /// Up to when: 2027-06-30 (the end of that day, UTC) or 2027-06-30T12:00:00Z. Without it a year, and of each policy the next date
    #[arg(long, value_name = "DATE", value_parser = until)]
    pub until: Option<String>,
    /// How it is written; ics is a calendar to subscribe to
    #[arg(long, value_enum, default_value_t = Format::Table, conflicts_with = "diff")]
    pub format: Format,
    /// What this configuration would change, in words and dates, for a review
    #[arg(long, value_name = "FILE", conflicts_with = "until")]
    pub diff: Option<PathBuf>,
}

/// How a plan is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// One document; the same as --json
    Json,
    /// A calendar (RFC 5545)
    Ics,
}

/// A day means all of it: as RFC 3339.
fn until(text: &str) -> Result<String, String> {
    if let Ok(day) = text.parse::<jiff::civil::Date>()
        && text.len() == 10
    {
        return day
            .tomorrow()
            .and_then(|next| next.to_zoned(TimeZone::UTC))
            .map(|next| next.timestamp().to_string())
            .map_err(|error| error.to_string());
    }
    let time = text.parse::<jiff::Timestamp>();
    time.map(|time| time.to_string()).map_err(|_| "a day such as 2027-06-30, or a time such as 2027-06-30T12:00:00Z".to_owned())
}

/// Where the dates come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The daemon, as it has them.
    Daemon,
    /// The ledger's file, as it was left.
    Ledger,
    /// Nowhere: nothing is recorded that could be read.
    Nothing,
}

impl Source {
    const fn label(self) -> &'static str {
        match self {
            Self::Daemon => "daemon",
            Self::Ledger => "ledger",
            Self::Nothing => "none",
        }
    }
}

/// A plan as it is shown.
struct Plan {
    source: Source,
    /// Why it is not the daemon's, where that has to be known.
    note: Option<String>,
    planned: Planned,
    coming: Vec<Coming>,
}

/// Carries it out.
///
/// # Errors
/// The configuration is wrong, or the daemon does not answer.
pub async fn run(common: &Common, args: &PlanArgs) -> Result<Exit, Failure> {
    if let Some(file) = &args.diff {
        return compare::run(common, file, &args.select.selector()).await;
    }
    let plan = match Client::reach(&open::control(&common.config)).await? {
        Reached::Daemon(client, hello) => {
            let ask = Ask::Plan { selector: args.select.selector(), until: args.until.clone() };
            let (coming, planned) = Door::Daemon(client, hello).all(ask).await?;
            Plan { source: Source::Daemon, note: None, planned, coming }
        }
        Reached::Nobody => here(common, args).await?,
    };
    let screen = Screen::stdout();
    match args.format {
        _ if common.json => print_json(&document(&plan), false),
        Format::Json => print_json(&document(&plan), false),
        Format::Ics => screen.print_raw(&calendar::calendar(&plan.planned, &plan.coming)),
        Format::Table => screen.print(&in_words(&screen, &plan)),
    }
    Ok(Exit::Done)
}

/// The plan without a daemon. Nothing is opened for it but the configuration and, to read, the ledger's file.
async fn here(common: &Common, args: &PlanArgs) -> Result<Plan, Failure> {
    let (config, catalog) = configuration(common, &common.config)?;
    let known = Recorded::read(&config).await;
    let selector = args.select.selector();
    refuse_unknown(&config, &selector)?;
    let selector = if selector.all { Selector::default() } else { selector };
    let reach = looks::reach(timestamp(WallClock::real().now()), args.until.as_deref())?;
    let ahead = ahead::ahead(&config, &known.states, &selector, reach);
    let (coming, planned) = looks::planned(&config, &catalog, ahead, reach);
    Ok(Plan { source: known.source, note: known.note, planned, coming })
}

fn configuration(common: &Common, file: &std::path::Path) -> Result<(Config, Catalog), Failure> {
    let clock = WallClock::real();
    open::config(file, &clock).map_err(|problems| {
        let wrong = open::wrong(file, &problems);
        if common.json { Failure { text: format!("{}: nothing was planned", wrong.text), ..wrong } } else { wrong }
    })
}

fn refuse_unknown(config: &Config, selector: &Selector) -> Result<(), Failure> {
    let unknown = selector.policies.iter().find(|name| !config.policies.contains_key(*name));
    unknown.map_or(Ok(()), |name| Err(Failure::new(Exit::Usage, format!("there is no policy {name}"))))
}

/// What is recorded of the policies, without a daemon.
struct Recorded {
    states: PolicyStates,
    source: Source,
    note: Option<String>,
}

impl Recorded {
    /// As the daemon has it, else as the ledger's file shows it, else nothing.
    async fn of(common: &Common, config: &Config) -> Result<Self, Failure> {
        match Client::reach(&open::control(&common.config)).await? {
            Reached::Daemon(client, hello) => {
                let (all, _): (Vec<Scheduled>, Value) = Door::Daemon(client, hello).all(Ask::Schedules {}).await?;
                let states = all.into_iter().map(|one| (one.policy, one.state)).collect();
                Ok(Self { states, source: Source::Daemon, note: None })
            }
            Reached::Nobody => Ok(Self::read(config).await),
        }
    }

    async fn read(config: &Config) -> Self {
        let nothing = |note: String| Self { states: PolicyStates::new(), source: Source::Nothing, note: Some(note) };
        let as_if = "the dates are those of a configuration loaded now for the first time";
        let path = &config.daemon.ledger;
        if !path.exists() {
            return nothing(format!("no daemon answers and there is no ledger yet: {as_if}"));
        }
        let rows = match SqliteLedger::glance(path, &config.daemon.name).await {
            Ok(rows) => rows,
            Err(error) if error.kind == OpenErrorKind::OtherEnvironment => return nothing(format!("{error}; {as_if}")),
            Err(error) => return nothing(format!("no daemon answers and the ledger cannot be read ({error}): {as_if}")),
        };
        let states = rows.into_iter().map(|row| Ok((row.name, serde_json::from_str(&row.state)?)));
        match states.collect::<Result<PolicyStates, serde_json::Error>>() {
            Ok(states) => {
                let note =
                    "no daemon answers: nothing starts until `cutover run` does; dates as the ledger has them".to_owned();
                Self { states, source: Source::Ledger, note: Some(note) }
            }
            Err(_) => nothing(format!("no daemon answers and the ledger was written by another version of cutover: {as_if}")),
        }
    }
}

fn document(plan: &Plan) -> Value {
    json!({
        "version": 1,
        "environment": plan.planned.environment,
        "at": plan.planned.at,
        "until": plan.planned.until,
        "source": plan.source.label(),
        "note": plan.note,
        "coming": plan.coming,
        "more": plan.planned.more,
    })
}

fn in_words(screen: &Screen, plan: &Plan) -> String {
    let rotations: Vec<&Coming> = plan.coming.iter().filter(|one| one.what == What::Rotation).collect();
    let mut policies: Vec<&str> = rotations.iter().filter_map(|one| one.policy.as_deref()).collect();
    policies.sort_unstable();
    policies.dedup();
    let head = format!(
        "{}: {} of {} until {}",
        plan.planned.environment,
        counted(rotations.len(), "rotation", "rotations"),
        counted(policies.len(), "policy", "policies"),
        super::words::time(&plan.planned.until)
    );
    let mut text = screen.paint(Paint::Strong, &head) + "\n";
    if let Some(note) = &plan.note {
        text.push_str(&format!("{} {note}\n", screen.mark(Mark::Note)));
    }
    if plan.coming.is_empty() {
        return text + "Nothing is due.\n";
    }
    let rows: Vec<Vec<String>> = plan.coming.iter().map(|one| row(screen, plan, one)).collect();
    text.push_str(&screen.table(&["WHEN", "IN", "POLICY", "WHAT", "NOTE"], &rows));
    for policy in &plan.planned.more {
        text.push_str(&format!("{policy} has more dates than these: name an earlier --until.\n"));
    }
    text
}

fn row(screen: &Screen, plan: &Plan, one: &Coming) -> Vec<String> {
    let now = read(&plan.planned.at).unwrap_or(cutover_api::Stamp(0));
    let left = match read(&one.at) {
        Some(at) if at > now => short(at.since(now)),
        _ => screen.paint(Paint::Warn, "overdue"),
    };
    let what = match one.what {
        What::Rotation => "rotation".to_owned(),
        What::GraceEnd => screen.paint(Paint::Warn, "grace ends"),
        What::ClockChange => screen.paint(Paint::Dim, "clocks change"),
    };
    let about = one.policy.clone().unwrap_or_else(|| one.zone.clone());
    vec![local(one), left, about, what, note(one)]
}

/// The local time with its zone's abbreviation and offset: `2027-03-28 03:00 CEST (+02:00)`.
fn local(one: &Coming) -> String {
    let time = one.local.parse::<jiff::Timestamp>().ok();
    let zoned = time.and_then(|at| Some(at.to_zoned(TimeZone::get(&one.zone).ok()?)));
    zoned.map_or_else(
        || one.local.clone(),
        |at| {
            let abbreviation = at.strftime("%Z").to_string();
            let offset = at.strftime("%:z").to_string();
            let shown = if abbreviation == "UTC" { abbreviation } else { format!("{abbreviation} ({offset})") };
            format!("{} {shown}", at.strftime("%Y-%m-%d %H:%M"))
        },
    )
}

fn note(one: &Coming) -> String {
    let mut notes = Vec::new();
    if one.overdue {
        notes.push("it starts as soon as it may".to_owned());
    }
    match one.moved.as_deref() {
        Some("clock-change") => notes.push("the clocks skip its local time: this is the first moment after".to_owned()),
        Some("window") => notes.push("waits for its window".to_owned()),
        _ => {}
    }
    if one.twice {
        notes.push("this local time comes twice that day: the offset tells which".to_owned());
    }
    if one.assumed {
        notes.push("if it is loaded now".to_owned());
    }
    if one.what != What::Rotation {
        notes.push(one.rotation.as_ref().map_or_else(|| one.detail.clone(), |id| format!("{id}: {}", one.detail)));
    }
    notes.join("; ")
}

#[cfg(test)]
mod tests;
