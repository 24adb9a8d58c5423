//! `cutover check`: the configuration, and online everything it needs.

use cutover_api::{Clock as _, Stamp};
use cutover_config::{Config, Policy, Selector};
use cutover_schedule::Cadence;
use serde_json::{Value, json};

use super::Common;
use super::door::{Door, Need};
use super::exit::{Exit, Failure};
use super::modes;
use super::open;
use super::screen::{Mark, Paint, Screen, print_json};
use super::select::SelectorArgs;
use super::words::{counted, planned};
use crate::catalog::Catalog;
use crate::control::Ask;
use crate::control::weigh::{self, RotationCost};
use crate::engine::WallClock;
use crate::engine::check::Finding;
use crate::engine::times::timestamp;

/// Arguments of `check`.
#[derive(clap::Args, Clone, Debug)]
pub struct CheckArgs {
    /// Which policies; all, where nothing is said.
    #[command(flatten)]
    pub select: SelectorArgs,
    /// Look at targets, stores, credentials, witnesses and alert channels too; writes nothing
    #[arg(long)]
    pub online: bool,
    /// Send a test alert to every channel; implies --online
    #[arg(long)]
    pub send_test_alert: bool,
}

/// Carries it out.
///
/// # Errors
/// The configuration is wrong, or nobody can look online.
pub async fn run(common: &Common, args: &CheckArgs) -> Result<Exit, Failure> {
    let online = args.online || args.send_test_alert;
    let selector = args.select.selector();
    let clock = WallClock::real();
    let loaded = match open::config(&common.config, &clock) {
        Ok(loaded) => Some(loaded),
        // The daemon can read it although we cannot: it is asked about what it has loaded.
        Err(_) if online && unreadable(common) => None,
        Err(problems) => {
            if common.json {
                print_json(&json!({ "version": 1, "ok": false, "problems": open::lines(&problems) }), false);
                return Ok(Exit::Usage);
            }
            return Err(open::wrong(&common.config, &problems));
        }
    };
    let offline = loaded.as_ref().map(|(config, catalog)| Offline::of(config, catalog, &selector, clock.now())).transpose()?;
    let screen = Screen::stdout();
    if let Some(offline) = offline.as_ref().filter(|_| !common.json) {
        screen.print(&offline.in_words(&screen));
    }
    let mut findings = Vec::new();
    if online {
        let door = Door::open(&common.config, Need::Look).await?;
        let result = look(&door, &selector, args.send_test_alert).await;
        door.close().await;
        findings = result?;
    }
    if common.json {
        let findings = online.then_some(&findings);
        let (policies, notes) = offline.map(|offline| (offline.policies, offline.notes)).unzip();
        let document = json!({
            "version": 1, "ok": findings.is_none_or(|all| worst(all) == Exit::Done), "file": common.config,
            "policies": policies, "notes": notes, "findings": findings,
        });
        print_json(&document, false);
    } else if online {
        screen.print(&findings_in_words(&screen, &findings));
    }
    Ok(worst(&findings))
}

fn unreadable(common: &Common) -> bool {
    std::fs::File::open(&common.config).is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

async fn look(door: &Door, selector: &Selector, test_alert: bool) -> Result<Vec<Finding>, Failure> {
    let selector = if selector.all { Selector::default() } else { selector.clone() };
    let (mut findings, _): (Vec<Finding>, Value) = door.all(Ask::Survey { selector, channels: true }).await?;
    if test_alert {
        let (sent, _): (Vec<Finding>, Value) = door.all(Ask::TestAlert {}).await?;
        findings.extend(sent);
    }
    Ok(findings)
}

/// 1 where anything is wrong.
#[must_use]
pub fn worst(findings: &[Finding]) -> Exit {
    if findings.iter().all(|finding| finding.ok) { Exit::Done } else { Exit::Failed }
}

/// Every finding with its mark, and what they come to.
#[must_use]
pub fn findings_in_words(screen: &Screen, findings: &[Finding]) -> String {
    let mut text = String::new();
    let mut about = "";
    for finding in findings {
        if finding.about != about {
            about = &finding.about;
            text.push_str(&format!("{}\n", screen.paint(Paint::Strong, about)));
        }
        let mark = match (finding.ok, finding.warning) {
            (false, _) => Mark::Wrong,
            (true, true) => Mark::Note,
            (true, false) => Mark::Ok,
        };
        text.push_str(&format!("  {} {}\n", screen.mark(mark), finding.text));
        if let Some(cure) = &finding.cure {
            text.push_str(&format!("      cure: {cure}\n"));
        }
    }
    let wrong = findings.iter().filter(|finding| !finding.ok).count();
    let notes = findings.iter().filter(|finding| finding.ok && finding.warning).count();
    let said = match wrong {
        0 => screen.paint(Paint::Good, "nothing is wrong"),
        wrong => screen.paint(Paint::Bad, &format!("{wrong} wrong")),
    };
    text + &format!("{}: {said}, {}\n", counted(findings.len(), "finding", "findings"), counted(notes, "note", "notes"))
}

/// What a configuration says, without looking anywhere else.
struct Offline {
    counts: String,
    policies: Vec<Value>,
    lines: Vec<String>,
    notes: Vec<String>,
}

impl Offline {
    fn of(config: &Config, catalog: &Catalog, selector: &Selector, now: Stamp) -> Result<Self, Failure> {
        if let Some(unknown) = selector.policies.iter().find(|name| !config.policies.contains_key(*name)) {
            return Err(Failure::new(Exit::Usage, format!("there is no policy {unknown}")));
        }
        let selected = config.policies.values().filter(|policy| selector.is_empty() || selector.selects(policy, config));
        let mut policies = Vec::new();
        let mut lines = Vec::new();
        for policy in selected {
            let facts = weigh::facts(config, catalog, policy);
            let cost = RotationCost::of(policy, facts.as_ref(), None);
            let next = next(policy, now);
            let how = facts.as_ref().map(|facts| weigh::lifecycle_in_words(facts.lifecycle)).unwrap_or_default();
            lines.push(line(policy, &cost, how, next.as_deref()));
            policies.push(json!({
                "policy": policy.name, "schedule": policy.schedule.to_string(), "next": next, "anchor_drawn": drawn(policy), "plan": cost,
            }));
        }
        let count = |n: usize, one: &str, many: &str| counted(n, one, many);
        let counts = [
            count(config.policies.len(), "policy", "policies"),
            count(config.providers.len(), "provider", "providers"),
            count(config.stores.len(), "store", "stores"),
            count(config.notify.len(), "alert channel", "alert channels"),
        ];
        let notes = open::lines(&config.notes).into_iter().chain(modes::open_to_others(config)).collect();
        Ok(Self { counts: counts.join(", "), policies, lines, notes })
    }

    fn in_words(&self, screen: &Screen) -> String {
        let mut text = screen.paint(Paint::Good, "configuration is right") + &format!(": {}\n", self.counts);
        self.notes.iter().for_each(|note| text.push_str(&format!("{} {note}\n", screen.mark(Mark::Note))));
        self.lines.iter().for_each(|line| text.push_str(&format!("{line}\n")));
        text
    }
}

/// The anchor is drawn when the policy is first loaded: only the ledger knows the real date.
fn drawn(policy: &Policy) -> bool {
    policy.schedule.anchor().is_none() && matches!(policy.schedule.cadence(), Cadence::Span(_))
}

fn next(policy: &Policy, now: Stamp) -> Option<String> {
    let now = timestamp(now);
    let table = policy.schedule.timetable(&policy.name, now, now);
    let upcoming = table.upcoming(now, jiff::Timestamp::MAX, 1);
    upcoming.first().map(planned)
}

/// One policy in one line: when, how, where to, how it is seen, how the old key ends.
fn line(policy: &Policy, cost: &RotationCost, how: &str, next: Option<&str>) -> String {
    let next = match next {
        None => "never due".to_owned(),
        Some(next) if drawn(policy) => {
            format!("first about {next}, fixed when the daemon first loads it: `cutover plan` shows it from then on")
        }
        Some(next) => format!("next {next}"),
    };
    let hooks = match cost.hooks {
        0 => "read by the application at each use".to_owned(),
        hooks => format!("then {}", counted(hooks, "hook", "hooks")),
    };
    format!(
        "{}: {}; {next}. At {}: {how}; {}. Written to {}, {hooks}. Seen by {}. Old key: {}.",
        policy.name,
        policy.schedule,
        policy.provider,
        cost.grace,
        cost.targets.join(", "),
        cost.verify.join(", "),
        cost.old_key
    )
}

#[cfg(test)]
mod tests {
    use super::{findings_in_words, worst};
    use crate::cli::Exit;
    use crate::cli::screen::Screen;
    use crate::engine::check::Finding;

    #[test]
    fn findings_are_golden() {
        let findings = [
            Finding::well("notify ops", "accepts a login"),
            Finding::well("policy crm", "targets readable and writable: vault:apps/crm"),
            Finding::note("policy crm", "no witness sees vault:apps/b", "add a verify for it"),
            Finding::wrong("policy crm", "credential: refused (401)", "renew it"),
        ];
        let expected = "\
notify ops
  ok accepts a login
policy crm
  ok targets readable and writable: vault:apps/crm
  note no witness sees vault:apps/b
      cure: add a verify for it
  WRONG credential: refused (401)
      cure: renew it
4 findings: 1 wrong, 1 note
";
        let screen = Screen::plain();
        assert_eq!(findings_in_words(&screen, &findings), expected);
        assert_eq!(worst(&findings), Exit::Failed);
        assert_eq!(worst(&findings[..3]), Exit::Done);
        assert!(findings_in_words(&screen, &findings[..3]).ends_with("3 findings: nothing is wrong, 1 note\n"));
    }
}
