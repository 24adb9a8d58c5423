//! `cutover status`: how the policies stand.

use std::time::Duration;

use cutover_api::{Span, Stamp};
use serde_json::{Value, json};

use super::Common;
use super::door::{Door, Need};
use super::exit::{Exit, Failure};
use super::screen::{Paint, Screen, print_json, tell};
use super::select::SelectorArgs;
use super::words::{counted, read, seen_from, short, time};
use crate::alert::Way;
use crate::control::Ask;
use crate::control::wire::Standing;
use crate::engine::{HeldStatus, PolicyStatus};

/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(2);

/// Arguments of `status`.
#[derive(clap::Args, Clone, Debug)]
pub struct StatusArgs {
    /// Which policies; all, where nothing is said.
    #[command(flatten)]
    pub select: SelectorArgs,
    /// Show the report of an emergency order: the newest, or the one with this id
    #[arg(long, value_name = "ID", num_args = 0..=1, conflicts_with = "watch")]
    pub emergency: Option<Option<String>>,
    /// Show it again whenever it changes, until Ctrl-C; without a daemon nothing changes, and it is shown once
    #[arg(long)]
    pub watch: bool,
}

/// Carries it out.
///
/// # Errors
/// Neither a daemon nor a ledger to ask.
pub async fn run(common: &Common, args: &StatusArgs) -> Result<Exit, Failure> {
    let door = Door::open(&common.config, Need::Read).await?;
    // Watching here would keep the ledger from the daemon, and without one nothing moves.
    if let Some(id) = &args.emergency {
        let result = super::emergency::show(&door, common, id.as_deref()).await;
        door.close().await;
        return result;
    }
    let watched = args.watch && door.daemon().is_some();
    let result = if watched { watch(&door, common, args).await } else { once(&door, common, args).await };
    door.close().await;
    result
}

async fn look(door: &Door, args: &StatusArgs) -> Result<(Vec<PolicyStatus>, Standing), Failure> {
    door.all(Ask::Status { selector: args.select.selector() }).await
}

async fn once(door: &Door, common: &Common, args: &StatusArgs) -> Result<Exit, Failure> {
    let (policies, standing) = look(door, args).await?;
    let open = super::emergency::open_orders(door).await?;
    if common.json {
        let mut document = document(door.daemon().is_some(), &policies, &standing);
        document["emergencies"] = json!(open);
        print_json(&document, false);
    } else {
        let screen = Screen::stdout();
        open.iter().for_each(|one| screen.print(&(screen.paint(Paint::Bad, &one.in_words()) + "\n")));
        screen.print(&in_words(&screen, door.daemon().is_some(), &policies, &standing));
    }
    Ok(exit(&policies))
}

async fn watch(door: &Door, common: &Common, args: &StatusArgs) -> Result<Exit, Failure> {
    let screen = Screen::stdout();
    let mut shown: Option<Vec<PolicyStatus>> = None;
    let mut told = false;
    loop {
        let looked = tokio::select! {
            looked = look(door, args) => looked,
            _ = tokio::signal::ctrl_c() => return Ok(shown.as_deref().map_or(Exit::Done, exit)),
        };
        match looked {
            Ok((policies, standing)) => {
                if std::mem::take(&mut told) {
                    tell("The daemon answers again.");
                }
                // Ages move at every look; only a terminal, which is drawn anew, shows them.
                let changed = shown.as_ref().is_none_or(|before| moved(before, &policies));
                if common.json && changed {
                    print_json(&document(door.daemon().is_some(), &policies, &standing), true);
                } else if !common.json && (screen.terminal || changed) {
                    screen.redraw(&in_words(&screen, door.daemon().is_some(), &policies, &standing));
                }
                shown = Some(policies);
            }
            // The daemon may be restarting: whoever watches wants to see it come back.
            Err(failure) if shown.is_some() && failure.exit == Exit::Failed => {
                if !told {
                    let why = failure.text.split(';').next().unwrap_or_default();
                    tell(&format!("{why}; still watching, until Ctrl-C. What is shown is how it stood before."));
                    told = true;
                }
            }
            Err(failure) => return Err(failure),
        }
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(shown.as_deref().map_or(Exit::Done, exit)),
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

fn moved(before: &[PolicyStatus], now: &[PolicyStatus]) -> bool {
    let still = |status: &PolicyStatus| PolicyStatus { age_seconds: None, grace_percent: None, ..status.clone() };
    before.iter().map(still).ne(now.iter().map(still))
}

fn exit(policies: &[PolicyStatus]) -> Exit {
    if policies.iter().any(|status| status.held.is_some()) { Exit::Held } else { Exit::Done }
}

fn document(daemon: bool, policies: &[PolicyStatus], standing: &Standing) -> Value {
    let daemon = daemon.then(|| json!({ "pid": standing.hello.pid, "version": standing.hello.version }));
    json!({
        "version": 1,
        "environment": standing.hello.environment,
        "at": standing.at,
        "daemon": daemon,
        "reload_error": standing.reload_error,
        "failed_reloads": standing.failed_reloads,
        "silent_channels": standing.silent_channels,
        "clock_frozen": standing.clock_frozen,
        "ledger_behind": standing.ledger_behind,
        "policies": policies,
    })
}

fn in_words(screen: &Screen, daemon: bool, policies: &[PolicyStatus], standing: &Standing) -> String {
    let now = read(&standing.at).unwrap_or(Stamp(0));
    let mut text = head(screen, daemon, policies, standing);
    if let Some(error) = &standing.reload_error {
        let count = counted(error.problems.len(), "problem", "problems");
        let line = format!("The configuration on disk was refused {} ({count}); the one before is in force.", time(&error.at));
        text.push_str(&(screen.paint(Paint::Bad, &line) + "\n"));
        error.problems.iter().for_each(|problem| text.push_str(&format!("  {problem}\n")));
    }
    if standing.clock_frozen {
        let line = "The clock has stepped: nothing starts and no key is ended. If `date -u` is right: cutover resume";
        text.push_str(&(screen.paint(Paint::Bad, line) + "\n"));
    }
    if standing.ledger_behind {
        let line = "The ledger is older than the one that was in use here (restored, or cut): nothing is done on its word. Look: cutover keys. Then: cutover resume";
        text.push_str(&(screen.paint(Paint::Bad, line) + "\n"));
    }
    for silent in &standing.silent_channels {
        let line = format!("Alerts do not get out by {} since {}: {}", silent.channel, time(&silent.since), silent.detail);
        text.push_str(&(screen.paint(Paint::Bad, &line) + "\n"));
    }
    if policies.is_empty() {
        return text + "No policies.\n";
    }
    let rows: Vec<Vec<String>> = policies.iter().map(|status| row(screen, now, status)).collect();
    text.push_str(&screen.table(&["POLICY", "PHASE", "AGE", "NEXT DUE", "GRACE LEFT", "WAITS FOR"], &rows));
    policies.iter().for_each(|status| text.push_str(&asked_in_words(screen, status)));
    for (status, held) in policies.iter().filter_map(|status| Some((status, status.held.as_ref()?))) {
        text.push_str(&held_in_words(screen, status, held));
    }
    text
}

fn head(screen: &Screen, daemon: bool, policies: &[PolicyStatus], standing: &Standing) -> String {
    let open = policies.iter().filter(|status| status.phase != "idle").count();
    let held = policies.iter().filter(|status| status.held.is_some()).count();
    let who = if daemon { format!("daemon {} runs", standing.hello.pid) } else { "no daemon runs".to_owned() };
    let mut line = format!(
        "{}: {}, {open} under way, {held} held; {who}",
        standing.hello.environment,
        counted(policies.len(), "policy", "policies")
    );
    if !daemon {
        line.push_str(": nothing is rotated until `cutover run` is started");
    }
    let paint = if held > 0 || !daemon { Paint::Warn } else { Paint::Strong };
    screen.paint(paint, &line) + "\n"
}

fn row(screen: &Screen, now: Stamp, status: &PolicyStatus) -> Vec<String> {
    let phase = match (&status.held, status.phase.as_str()) {
        (Some(_), phase) => screen.paint(Paint::Bad, &format!("{phase}:held")),
        (None, "idle") => screen.paint(Paint::Dim, "idle"),
        (None, phase) => screen.paint(Paint::Good, phase),
    };
    let age = status.age_seconds.map_or_else(|| "unknown".to_owned(), |seconds| short(Span::seconds(seconds)));
    let suspended = status.suspended.as_ref().map(|one| format!("suspended until {}", time(&one.until)));
    let waits = [status.waits_for.clone(), suspended].into_iter().flatten().collect::<Vec<_>>().join("; ");
    let due = status.next_due.as_deref().map_or_else(|| "never".to_owned(), |due| seen_from(now, due));
    vec![status.policy.clone(), phase, age, due, grace(screen, now, status), waits]
}

fn grace(screen: &Screen, now: Stamp, status: &PolicyStatus) -> String {
    let Some(end) = status.grace_end.as_deref().and_then(read) else { return String::new() };
    let percent = status.grace_percent.unwrap_or_default();
    if end <= now {
        return screen.paint(Paint::Bad, &format!("over for {}", short(now.since(end))));
    }
    let text = format!("{} ({percent}% gone)", short(end.since(now)));
    match percent {
        90.. => screen.paint(Paint::Bad, &text),
        50.. => screen.paint(Paint::Warn, &text),
        _ => text,
    }
}

/// What a person is asked to do by hand.
fn asked_in_words(screen: &Screen, status: &PolicyStatus) -> String {
    let Some(ask) = status.ask.as_ref().filter(|_| status.held.is_none()) else { return String::new() };
    let rotation = status.rotation.as_deref().unwrap_or("unknown");
    let title = format!("{} waits for a key that you make by hand, rotation {rotation}", status.policy);
    let mut text =
        format!("\n{}\n  {}\n", screen.paint(Paint::Warn, &title), ask.split_whitespace().collect::<Vec<_>>().join(" "));
    text.push_str(&ways_in_words(screen, &status.ways));
    text
}

fn held_in_words(screen: &Screen, status: &PolicyStatus, held: &HeldStatus) -> String {
    let rotation = status.rotation.as_deref().unwrap_or("unknown");
    let title = format!("{} is held ({}) since {}, rotation {rotation}", status.policy, held.why, time(&held.since));
    let mut text = format!("\n{}\n  {}\n", screen.paint(Paint::Bad, &title), held.detail);
    if held.retries {
        text.push_str("  It is tried again by itself.\n");
    }
    text.push_str(&ways_in_words(screen, &held.ways));
    text
}

fn ways_in_words(screen: &Screen, ways: &[Way]) -> String {
    let mut text = String::new();
    for way in ways {
        if way.command.is_empty() {
            text.push_str(&format!("  - {}\n", way.does));
        } else {
            text.push_str(&format!("  - {}\n      {}\n", screen.paint(Paint::Strong, &way.command), way.does));
        }
        if !way.costs.is_empty() {
            text.push_str(&format!("      costs: {}\n", way.costs));
        }
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::{document, exit, in_words, moved};
    use crate::alert::Way;
    use crate::cli::Exit;
    use crate::cli::screen::Screen;
    use crate::control::ReloadError;
    use crate::control::wire::{Hello, Standing};
    use crate::engine::{HeldStatus, PolicyStatus};

    pub(in crate::cli) fn status(policy: &str, phase: &str) -> PolicyStatus {
        PolicyStatus {
            policy: policy.into(),
            provider: "bondi".into(),
            phase: phase.into(),
            rotation: None,
            ended: None,
            rotated_at: None,
            age_seconds: None,
            key_id: None,
            fingerprint: None,
            next_due: None,
            waits_for: None,
            grace_end: None,
            grace_percent: None,
            at_rest: phase == "idle",
            held: None,
            ways: Vec::new(),
            ask: None,
            suspended: None,
        }
    }

    fn standing() -> Standing {
        Standing {
            hello: Hello { pid: 7, version: "0.1.0".into(), environment: "prod".into() },
            at: "2026-11-21T12:00:00Z".into(),
            reload_error: None,
            failed_reloads: 0,
            silent_channels: Vec::new(),
            clock_frozen: false,
            ledger_behind: false,
        }
    }

    fn three() -> Vec<PolicyStatus> {
        let way = Way {
            command: "cutover resume pay --rotation rot_2".into(),
            does: "Looks again.".into(),
            costs: "Nothing.".into(),
        };
        let ask = Way { command: String::new(), does: "Or ask support.".into(), costs: String::new() };
        let held = HeldStatus {
            why: "doubt".into(),
            detail: "Whether a key was made is not known.".into(),
            since: "2026-11-21T11:00:00Z".into(),
            retries: false,
            ways: vec![way, ask],
        };
        vec![
            PolicyStatus {
                rotation: Some("rot_1".into()),
                age_seconds: Some(94 * 86_400),
                next_due: Some("2026-12-03T03:00:00Z".into()),
                grace_end: Some("2026-11-22T00:00:00Z".into()),
                grace_percent: Some(50),
                waits_for: Some("evidence".into()),
                ..status("crm", "observe")
            },
            PolicyStatus { age_seconds: Some(60), ..status("erp", "idle") },
            PolicyStatus {
                rotation: Some("rot_2".into()),
                held: Some(held),
                grace_end: Some("2026-11-21T11:00:00Z".into()),
                grace_percent: Some(120),
                ..status("pay", "doubt")
            },
        ]
    }

    #[test]
    fn the_table_is_golden() {
        let screen = Screen::plain();
        let expected = "\
prod: 3 policies, 2 under way, 1 held; daemon 7 runs
POLICY  PHASE       AGE      NEXT DUE                       GRACE LEFT      WAITS FOR
crm     observe     94d      in 11d (2026-12-03 03:00 UTC)  12h (50% gone)  evidence
erp     idle        60s      never
pay     doubt:held  unknown  never                          over for 60m

pay is held (doubt) since 2026-11-21 11:00 UTC, rotation rot_2
  Whether a key was made is not known.
  - cutover resume pay --rotation rot_2
      Looks again.
      costs: Nothing.
  - Or ask support.
";
        assert_eq!(screen.render(&in_words(&screen, true, &three(), &standing())), expected);
    }

    #[test]
    fn a_refused_reload_and_a_missing_daemon_are_told_first() {
        let screen = Screen::plain();
        let error =
            ReloadError { at: "2026-11-21T11:30:00Z".into(), problems: vec!["cutover.toml:3:1: x: unknown key: y".into()] };
        let standing = Standing { reload_error: Some(error), failed_reloads: 1, ..standing() };
        let expected = "\
prod: 0 policies, 0 under way, 0 held; no daemon runs: nothing is rotated until `cutover run` is started
The configuration on disk was refused 2026-11-21 11:30 UTC (1 problem); the one before is in force.
  cutover.toml:3:1: x: unknown key: y
No policies.
";
        assert_eq!(in_words(&screen, false, &[], &standing), expected);
    }

    #[test]
    fn the_document_is_golden() {
        let document = document(true, &three()[1..2], &standing());
        let expected = serde_json::json!({
            "version": 1, "environment": "prod", "at": "2026-11-21T12:00:00Z",
            "daemon": { "pid": 7, "version": "0.1.0" }, "reload_error": null, "failed_reloads": 0, "silent_channels": [], "clock_frozen": false, "ledger_behind": false,
            "policies": [{
                "policy": "erp", "provider": "bondi", "phase": "idle", "rotation": null, "ended": null, "rotated_at": null,
                "age_seconds": 60, "key_id": null, "fingerprint": null, "next_due": null, "waits_for": null,
                "grace_end": null, "grace_percent": null, "at_rest": true, "held": null, "ways": [], "ask": null,
                "suspended": null,
            }],
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn held_is_three_and_age_alone_is_no_change() {
        assert_eq!(exit(&three()), Exit::Held);
        assert_eq!(exit(&three()[..2]), Exit::Done);
        let mut older = three();
        older[0].age_seconds = Some(95 * 86_400);
        assert!(!moved(&three(), &older));
        older[0].phase = "settle".into();
        assert!(moved(&three(), &older));
    }
}
