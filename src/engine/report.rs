//! What is said of an emergency, and when: every policy that was selected, and every key of it older than the new one.

use cutover_api::{Span, Stamp};
use cutover_config::Config;
use cutover_ledger::{Commit, HistoryEntry};
use cutover_machine::emergency::Cut;
use cutover_machine::state::{Phase, Proof};
use cutover_machine::{Due, Now, Question, due};
use tracing::{info, warn};

use super::Engine;
use super::emergency::{KEPT, Part, Run, note, written};
use super::snapshot::{Record, Snapshot};
use super::story::{About, alert_row, found_by, with_matter};
use crate::alert::report::{KeyReport, KeyStands, PolicyReport, Report, emergency_report};
use crate::alert::{ways, why_in_words};

/// The first report, at the latest; it comes earlier once everything is accounted for.
const FIRST: Span = Span::MINUTE;
/// Between reports of changes: the first few follow closely, later ones within what promise 10 allows.
const SOON: Span = Span::MINUTE;
/// Between later reports of changes.
const LATER: Span = Span::minutes(10);
/// Reports that follow closely.
const CLOSE: u32 = 5;

impl Engine {
    /// The reports of the orders that are open and of the last that are over, the oldest first.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        let runs: Vec<Run> = self.shared.with_emergencies(|runs| runs.values().cloned().collect());
        runs.iter().map(|run| self.report(run)).collect()
    }

    fn report(&self, run: &Run) -> Report {
        let config = self.shared.config();
        Report {
            id: run.id.clone(),
            at: run.at,
            actor: run.actor.clone(),
            reason: run.reason.clone(),
            order: run.order.label().to_owned(),
            policies: run.parts.iter().map(|(name, part)| self.policy_report(name, part, &config)).collect(),
            by_hand: run.by_hand.clone(),
        }
    }

    fn policy_report(&self, name: &str, part: &Part, config: &Config) -> PolicyReport {
        if let Some(said) = &part.said {
            return said.clone();
        }
        let view = part.rotation.as_ref().and_then(|id| self.shared.view(name).filter(|view| view.rotation == *id));
        if let Some(view) = view {
            return self.said(name, &view.rotation, &view.record, &view.snapshot);
        }
        PolicyReport {
            policy: name.to_owned(),
            provider: config.policies.get(name).map(|policy| policy.provider.clone()).unwrap_or_default(),
            rotation: part.rotation.clone(),
            new_key: String::from("not begun"),
            trouble: part.waits.clone(),
            keys: Vec::new(),
            support: None,
            over: false,
        }
    }

    /// What is said of one rotation that answers an order.
    fn said(&self, name: &str, rotation: &str, record: &Record, snapshot: &Snapshot) -> PolicyReport {
        let machine = &record.machine;
        let cut = machine.emergency.iter().flat_map(|emergency| &emergency.cut);
        let closed = machine.phase == Phase::Closed;
        let in_use = machine.cutover_at.is_some() || closed;
        let key = |cut: &Cut| key_report(cut, name, rotation, record, snapshot);
        PolicyReport {
            policy: name.to_owned(),
            provider: snapshot.account.name.clone(),
            rotation: Some(rotation.to_owned()),
            new_key: String::from(if in_use { "in use" } else { machine.phase.label() }),
            trouble: self.trouble(name, rotation, record, snapshot),
            keys: cut.map(key).collect(),
            support: snapshot.plan.support.clone(),
            over: closed,
        }
    }

    /// What it waits for a person with, and the command.
    fn trouble(&self, name: &str, rotation: &str, record: &Record, snapshot: &Snapshot) -> Option<String> {
        let at = self.shared.clock.now();
        let environment = self.shared.environment();
        let about = About { environment: &environment, policy: name, rotation, actor: &record.actor, snapshot, record, at };
        if let Some(held) = &record.machine.held {
            return Some(with_matter(&about, |matter| {
                let way = ways(matter).into_iter().find(|way| !way.command.is_empty());
                let way = way.map(|way| format!("; then: {}", way.command)).unwrap_or_default();
                format!("{}{way}", why_in_words(matter, &held.why))
            }));
        }
        match due(&record.machine, &snapshot.plan, Now::open(at)) {
            Due::Ask(Question::Confirm, _) => {
                Some(format!("is the new key in use? Then: cutover confirm {name} --rotation {rotation}"))
            }
            Due::Ask(Question::ConfirmRetire, _) => Some(format!(
                "end the keys above by hand at the provider, then: cutover confirm {name} --retire --rotation {rotation}"
            )),
            Due::Ask(Question::Submit, _) => Some(with_matter(&about, |matter| {
                let way = ways(matter).into_iter().find(|way| way.command.starts_with("cutover submit "));
                let way = way.map(|way| format!(", then: {}", way.command)).unwrap_or_default();
                format!("make the new key by hand{way}. {}", matter.ask)
            })),
            _ => None,
        }
    }

    /// Looks which rotations are over and sends what is due to be reported. Returns when the next report can be due.
    pub(super) async fn report_all(&self) -> Stamp {
        let mut next = Stamp::NEVER;
        let open: Vec<String> = self
            .shared
            .with_emergencies(|runs| runs.values().filter(|run| run.over.is_none()).map(|run| run.id.clone()).collect());
        for id in open {
            self.settle_parts(&id).await;
            next = next.min(self.report_one(&id).await);
        }
        next
    }

    /// Keeps what is said for good of the rotations that are over; one that only finished what was staged before is followed by another.
    async fn settle_parts(&self, id: &str) {
        let open: Vec<(String, String)> = self.shared.with_emergencies(|runs| {
            let parts = runs.get(id).into_iter().flat_map(|run| &run.parts);
            let open = parts.filter(|(_, part)| part.said.is_none());
            open.filter_map(|(name, part)| Some((name.clone(), part.rotation.clone()?))).collect()
        });
        for (name, rotation) in open {
            let seen = self.shared.view(&name).filter(|view| view.rotation == rotation);
            let closed = match &seen {
                Some(view) if view.record.machine.phase != Phase::Closed => continue,
                Some(view) => Some((view.record.clone(), view.snapshot.clone())),
                None => self.stored(&rotation).await,
            };
            let Some((record, snapshot)) = closed else { continue };
            let again = record.machine.emergency.as_ref().is_some_and(|emergency| emergency.staged);
            let said = self.said(&name, &rotation, &record, &snapshot);
            self.shared.with_emergencies(|runs| {
                let Some(part) = runs.get_mut(id).and_then(|run| run.parts.get_mut(&name)) else { return };
                if again {
                    *part = Part {
                        waits: Some(String::from("the key that was staged before is replaced next")),
                        ..Part::default()
                    };
                } else {
                    part.said = Some(said);
                }
            });
        }
    }

    /// A rotation that is closed, as the ledger keeps it.
    async fn stored(&self, rotation: &str) -> Option<(std::sync::Arc<Record>, std::sync::Arc<Snapshot>)> {
        let row = self.shared.ledger.rotation(rotation).await.ok()??;
        let record: Record = serde_json::from_str(&row.state).ok()?;
        let snapshot: Snapshot = serde_json::from_str(&row.plan).ok()?;
        (record.machine.phase == Phase::Closed).then(|| (record.into(), snapshot.into()))
    }

    /// Sends the report of one order, where it is due. Returns when it can be due next.
    async fn report_one(&self, id: &str) -> Stamp {
        let shared = &self.shared;
        let _keeping = shared.keeping_emergencies().await;
        let now = shared.clock.now();
        // Most looks come from the progress of one rotation among many: nothing is built for those.
        let due = shared.with_emergencies(|runs| {
            let run = runs.get(id)?;
            let over = run.parts.values().all(|part| part.said.as_ref().is_some_and(|said| said.over));
            let at = run.told_at.map_or(run.at.plus(FIRST), |told| told.plus(if run.reports < CLOSE { SOON } else { LATER }));
            Some(if over || at <= now { Ok((run.clone(), over)) } else { Err(at) })
        });
        let (run, over) = match due {
            None => return Stamp::NEVER,
            Some(Err(at)) => return at,
            Some(Ok(run)) => run,
        };
        let report = self.report(&run);
        let says = digest(&report);
        if !over && run.told_at.is_some() && says == run.told {
            // Nothing to say before something changes.
            return Stamp::NEVER;
        }
        let told = emergency_report(&shared.environment(), &report, run.reports + 1, now);
        let row = alert_row(&told.message, &[], &shared.channels(), now);
        let kept = Run { reports: run.reports + 1, told_at: Some(now), told: says, over: over.then_some(now), ..run };
        let mut commit = Commit { alerts: vec![row], ..Commit::default() };
        match written(&kept) {
            Ok(text) => commit.notes.push((note(id), text)),
            Err(detail) => warn!(detail, "an emergency order could not be kept"),
        }
        if over {
            let facts = serde_json::json!({ "emergency": id, "said": report.in_a_line() });
            commit.history.push(HistoryEntry::plain(now, None, "cutover", "emergency-over", &facts));
        }
        let forgotten = self.forgotten(id, over);
        commit.notes.extend(forgotten.iter().map(|id| (note(id), String::new())));
        if let Err(error) = shared.ledger.commit(commit).await {
            warn!(%error, "the report could not be kept; it is made again");
            return now.plus(Span::seconds(5));
        }
        if over {
            info!(emergency = id, said = report.in_a_line(), "everything selected is accounted for");
        }
        shared.with_emergencies(|runs| {
            runs.retain(|id, _| !forgotten.contains(id));
            if let Some(run) = runs.get_mut(id) {
                run.reports = kept.reports;
                run.told_at = kept.told_at;
                run.told = kept.told;
                run.over = kept.over;
            }
        });
        shared.alerts_waiting();
        if over { Stamp::NEVER } else { now.plus(SOON) }
    }

    /// The oldest of the orders that are over, where there are more than are kept.
    fn forgotten(&self, id: &str, over: bool) -> Vec<String> {
        self.shared.with_emergencies(|runs| {
            let ended = runs.values().filter(|run| run.over.is_some() || (over && run.id == id));
            let ended: Vec<String> = ended.map(|run| run.id.clone()).collect();
            ended.iter().take(ended.len().saturating_sub(KEPT)).cloned().collect()
        })
    }
}

/// What makes a report another one.
fn digest(report: &Report) -> String {
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for policy in &report.policies {
        for key in &policy.keys {
            hash.update(format!("{}/{}/{:?}/{:?}\n", policy.policy, key.key, key.stands, key.until).as_bytes());
        }
        let trouble = policy.trouble.is_some();
        let in_use = policy.new_key == "in use";
        hash.update(format!("{}/{in_use}/{trouble}/{}\n", policy.policy, policy.over).as_bytes());
    }
    hex::encode(&hash.finish().as_ref()[..16])
}

fn key_report(cut: &Cut, policy: &str, rotation: &str, record: &Record, snapshot: &Snapshot) -> KeyReport {
    let plan = &snapshot.plan;
    let machine = &record.machine;
    let known = record.cut_key(&cut.key).map(found_by).filter(|found| !found.is_empty());
    let key = known.or_else(|| cut.key.id.as_ref().map(|id| format!("id {id}")));
    let key = key.unwrap_or_else(|| String::from("the key of a mint whose reply was lost"));
    let is_old = machine.old.as_ref().is_some_and(|old| cut.is(old));
    let by_clock = (is_old && machine.clock_ends_old(plan)) || cut.key.expires_at.is_some();
    let report = |stands, detail: String, until| KeyReport { key: key.clone(), stands, detail, until };
    if let Some(proof) = cut.dead {
        return report(KeyStands::Dead, proof_in_words(proof).to_owned(), None);
    }
    if cut.by_word {
        return report(KeyStands::Dead, String::from("a person says that it is ended"), None);
    }
    if cut.is_left() && !by_clock {
        let why = if cut.ours {
            "nobody can name it: look through the provider's list for a key of that time"
        } else {
            "cutover neither made it nor was told to adopt it: end it by hand"
        };
        return report(KeyStands::Left, why.to_owned(), cut.key.expires_at);
    }
    if cut.can_be_ended(plan) {
        return match (&cut.failed, cut.ended_at) {
            (Some(failed), Some(_)) => {
                let seen = format!("its end is confirmed, and that it is dead could not be seen so far: {failed}");
                report(KeyStands::Cutting, seen, None)
            }
            (Some(failed), None) => {
                report(KeyStands::Failing, format!("not ended so far, tried again: {failed}"), cut.key.expires_at)
            }
            (None, Some(_)) => {
                report(KeyStands::Cutting, String::from("its end is confirmed; that it is dead is not seen yet"), None)
            }
            (None, None) => report(KeyStands::Cutting, String::from("it is ended next"), None),
        };
    }
    if by_clock {
        let until = cut.key.expires_at.or_else(|| is_old.then(|| cutover_machine::expiry_of_old(machine)));
        let why = "the provider ends it by its own clock and offers no way to end it earlier";
        return report(KeyStands::Until, why.to_owned(), until.filter(|until| *until != Stamp::NEVER));
    }
    let why = format!(
        "the provider's API cannot end it: end it by hand, then say cutover confirm {policy} --retire --rotation {rotation}"
    );
    report(KeyStands::ByHand, why, None)
}

const fn proof_in_words(proof: Proof) -> &'static str {
    match proof {
        Proof::Refused => "presented, and refused",
        Proof::Revoked => "the provider confirmed its end",
        Proof::Expired => "past its end by the provider's clock",
        Proof::AtMint => "ended by the provider when the new key was made",
        Proof::Said => "a person said that they have ended it",
    }
}
