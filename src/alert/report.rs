//! The report that an emergency order is answered by: every policy selected when it came, and every key of it older than the new one.

use cutover_api::{Severity, Span, Stamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::draft::{Composed, Draft, Series};
use super::words::{Letter, beside, clean, counted, listed, time};

/// So many policies of one sort are named in a message; the others are counted.
const NAMED: usize = 40;

/// What is said of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyStands {
    /// Dead, or ended by a person's word.
    Dead,
    /// It lives, and cutover is about to end it.
    Cutting,
    /// It lives until the provider's clock ends it.
    Until,
    /// It could not be ended so far; cutover goes on trying.
    Failing,
    /// Only a person can end it.
    ByHand,
    /// It is not cutover's to end, or nobody can name it.
    Left,
}

impl KeyStands {
    /// Nothing more happens to it by itself.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Dead | Self::Left)
    }
}

/// One key older than the new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyReport {
    /// How people find it at the provider: its name, id, prefix, fingerprint.
    pub key: String,
    /// How it stands.
    pub stands: KeyStands,
    /// How its death was proven, why it lives, what came back.
    pub detail: String,
    /// When the provider ends it.
    pub until: Option<Stamp>,
}

/// One policy that was selected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyReport {
    /// Its name.
    pub policy: String,
    /// Its provider's table.
    pub provider: String,
    /// The rotation that answers the order.
    pub rotation: Option<String>,
    /// Where the new key has come: `not begun`, a phase, `in use`.
    pub new_key: String,
    /// What keeps it from going on, and the command that leaves it.
    pub trouble: Option<String>,
    /// The older keys.
    pub keys: Vec<KeyReport>,
    /// Whom to ask where the provider's API cannot do it.
    pub support: Option<String>,
    /// Everything is done that will be.
    pub over: bool,
}

/// A credential that the same people could read and that cutover does not rotate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByHand {
    /// The table: `provider.bondi`, `store.vault`, `notify.ops`.
    pub table: String,
    /// Who could read it.
    pub holders: Vec<String>,
}

/// The report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The order's id.
    pub id: String,
    /// When it was given.
    pub at: Stamp,
    /// By whom.
    pub actor: String,
    /// Why, if said.
    pub reason: Option<String>,
    /// `cut-first` or `deploy-first`.
    pub order: String,
    /// Every policy that was selected.
    pub policies: Vec<PolicyReport>,
    /// What a person has to replace by hand.
    pub by_hand: Vec<ByHand>,
}

/// How many keys stand how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Policies selected.
    pub policies: usize,
    /// Policies whose new key is in use.
    pub in_use: usize,
    /// Policies with something left to do.
    pub open: usize,
    /// Older keys.
    pub keys: usize,
    /// Of these, dead.
    pub dead: usize,
    /// Of these, alive until the provider's clock ends them.
    pub until: usize,
    /// Of these, alive and waiting for a person.
    pub by_hand: usize,
    /// Of these, alive and still being cut off.
    pub cutting: usize,
}

impl Report {
    /// Counts.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = Tally { policies: self.policies.len(), ..Tally::default() };
        for policy in &self.policies {
            tally.in_use += usize::from(policy.new_key == "in use");
            tally.open += usize::from(!policy.over);
            for key in &policy.keys {
                tally.keys += 1;
                match key.stands {
                    KeyStands::Dead => tally.dead += 1,
                    KeyStands::Until => tally.until += 1,
                    KeyStands::ByHand | KeyStands::Left => tally.by_hand += 1,
                    KeyStands::Cutting | KeyStands::Failing => tally.cutting += 1,
                }
            }
        }
        tally
    }

    /// One line: `3 policies: 2 older keys dead, 1 alive until …; 1 policy open`.
    #[must_use]
    pub fn in_a_line(&self) -> String {
        let tally = self.tally();
        let mut parts = vec![format!("{} of {} older keys dead", tally.dead, tally.keys)];
        let more = [
            (tally.until, "alive until the provider ends it"),
            (tally.cutting, "being cut"),
            (tally.by_hand, "left to a person"),
        ];
        parts.extend(more.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}")));
        parts.push(format!("new key in use in {} of {}", tally.in_use, plural(tally.policies)));
        parts.join(", ")
    }
}

fn plural(policies: usize) -> String {
    if policies == 1 { String::from("1 policy") } else { format!("{policies} policies") }
}

/// The report as a message; `number` counts the reports of this order.
#[must_use]
pub fn emergency_report(environment: &str, report: &Report, number: u32, at: Stamp) -> Composed {
    let tally = report.tally();
    let draft = Draft {
        kind: "emergency-report",
        stage: format!("{}.{number}", report.id),
        shared_stage: report.id.clone(),
        severity: Severity::Critical,
        environment,
        policy: None,
        rotation: None,
        word: String::from(if tally.open == 0 { "EMERGENCY OVER" } else { "EMERGENCY" }),
        what: report.in_a_line(),
        cause: report.id.clone(),
        shared: String::new(),
        series: Some(Series { name: format!("emergency/{}", report.id), place: i64::from(number) }),
        at,
    };
    let mut letter = Letter::default();
    let why = report.reason.as_ref().map(|reason| format!(" Reason: {}.", clean(reason))).unwrap_or_default();
    letter.part("What happened").say(&format!(
        "An emergency ({}) was ordered {} by {} for {}.{why}",
        report.order,
        beside(report.at, at),
        clean(&report.actor),
        plural(report.policies.len())
    ));
    letter.part("Where things stand").say(&format!("{}.", capital(&report.in_a_line())));
    dead(&mut letter, report);
    alive(&mut letter, report, at);
    troubles(&mut letter, report);
    by_hand(&mut letter, report);
    letter.part("What happens by itself").say(if tally.open == 0 {
        "Nothing more: everything that was selected is accounted for. This is the last report of this order."
    } else {
        "cutover goes on with what is open, tries again at least every minute, and reports every change, at most ten minutes late."
    });
    letter
        .part("What you can do")
        .command(&format!("cutover status --emergency {}", report.id))
        .note("", "Shows every key, whole.");
    let facts = json!({ "emergency": report.id, "order": report.order, "tally": tally, "policies": bounded(report), "by_hand": report.by_hand });
    let mut composed = draft.finish(letter, &[], facts);
    composed.message.policies = report.policies.iter().map(|policy| policy.policy.clone()).take(1_000).collect();
    composed
}

/// What stands in the machine-readable facts: all of a small order, what is open of a large one.
fn bounded(report: &Report) -> Vec<&PolicyReport> {
    let all = report.policies.len() <= NAMED;
    report.policies.iter().filter(|policy| all || !policy.over).take(10 * NAMED).collect()
}

fn dead(letter: &mut Letter, report: &Report) {
    let dead = keys(report, |key| key.stands == KeyStands::Dead);
    if dead.is_empty() {
        return;
    }
    letter.part(&format!("Dead: {}", counted(dead.len(), "key")));
    for (policy, key) in dead.iter().take(NAMED) {
        letter.entry(&format!("{}: {} - {}", policy.policy, clean(&key.key), key.detail));
    }
    rest(letter, dead.len());
}

fn alive(letter: &mut Letter, report: &Report, at: Stamp) {
    let alive = keys(report, |key| key.stands != KeyStands::Dead);
    if alive.is_empty() {
        return;
    }
    letter.part(&format!("STILL ALIVE: {}", counted(alive.len(), "key")));
    for (policy, key) in alive.iter().take(NAMED) {
        let until = key.until.map(|until| format!(" until {}", beside(until, at))).unwrap_or_default();
        letter.entry(&format!("{}: {}{until} - {}", policy.policy, clean(&key.key), clean(&key.detail)));
        if let Some(support) = policy.support.as_ref().filter(|_| !matches!(key.stands, KeyStands::Cutting)) {
            letter.say(&format!("  Ask {}.", clean(support)));
        }
    }
    rest(letter, alive.len());
}

fn troubles(letter: &mut Letter, report: &Report) {
    let stuck: Vec<&PolicyReport> = report.policies.iter().filter(|policy| policy.trouble.is_some()).collect();
    if stuck.is_empty() {
        return;
    }
    letter.part(&format!("Waits for somebody: {}", plural(stuck.len())));
    for policy in stuck.iter().take(NAMED) {
        let trouble = policy.trouble.as_deref().unwrap_or_default();
        letter.entry(&format!("{} ({}): {}", policy.policy, policy.new_key, clean(trouble)));
        if policy.rotation.is_some() {
            letter.command(&format!("cutover status {}", policy.policy));
        }
    }
    rest(letter, stuck.len());
}

fn by_hand(letter: &mut Letter, report: &Report) {
    if report.by_hand.is_empty() {
        return;
    }
    letter.part("REPLACE BY HAND").say("The same people could read these, and cutover does not rotate them:");
    for credential in report.by_hand.iter().take(NAMED) {
        let holders: Vec<String> = credential.holders.iter().map(|holder| clean(holder)).collect();
        letter.entry(&format!("the credential of [{}], read by {}", clean(&credential.table), listed(&holders)));
    }
    rest(letter, report.by_hand.len());
}

fn keys(report: &Report, wanted: impl Fn(&KeyReport) -> bool) -> Vec<(&PolicyReport, &KeyReport)> {
    let all = report.policies.iter().flat_map(|policy| policy.keys.iter().map(move |key| (policy, key)));
    all.filter(|(_, key)| wanted(key)).collect()
}

fn rest(letter: &mut Letter, number: usize) {
    if number > NAMED {
        letter.say(&format!("and {} more.", number - NAMED));
    }
}

fn capital(text: &str) -> String {
    super::standing::capital(text)
}

/// SIGUSR1 came, and the configuration says nothing of emergencies.
#[must_use]
pub fn emergency_unset(environment: &str, actor: &str, at: Stamp) -> Composed {
    let draft = Draft {
        kind: "emergency-report",
        stage: format!("unset.{}", at.0 / Span::MINUTE.0),
        shared_stage: String::from("unset"),
        severity: Severity::Critical,
        environment,
        policy: None,
        rotation: None,
        word: String::from("EMERGENCY REFUSED"),
        what: String::from("the configuration has no [emergency]: nothing was changed"),
        cause: String::from("unset"),
        shared: String::new(),
        series: None,
        at,
    };
    let mut letter = Letter::default();
    letter
        .part("What happened")
        .say(&format!(
            "{} asked for the configured emergency at {}, and the configuration has no [emergency]. No key was cut off and none was made.",
            clean(actor),
            time(at)
        ))
        .part("What happens by itself")
        .say("Nothing.")
        .part("What you can do")
        .command("cutover rotate --all --emergency --reason TEXT")
        .note("", "Cuts off every key cutover knows and makes new ones. Narrow it by name, --tag, --holder or --provider.")
        .note("Costs:", "What uses a key is down from its end until it has read the new one. It is told before it acts.")
        .gap()
        .say("So that the signal works next time, add an [emergency] table to the configuration and reload.");
    draft.finish(letter, &[], json!({}))
}
