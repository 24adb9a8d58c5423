//! Scripted policies: what a page is made of, without a daemon behind it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use cutover::alert::Way;
use cutover::control::ReloadError;
use cutover::engine::times::rfc3339;
use cutover::engine::{HeldStatus, PolicyStatus, Suspended, Totals};
use cutover::web::{ChannelStanding, Chronicle, Detail, OpenEmergency, Picture, Source};
use cutover_api::{Span, Stamp};
use cutover_ledger::{HistoryEntry, HistoryRow};

/// 2026-11-21 12:00 UTC.
pub const NOW: Stamp = Stamp(1_795_262_400_000);

/// A source that says what it was told to.
pub struct Stage {
    pub picture: Picture,
    pub history: Vec<HistoryRow>,
    pub lives: AtomicBool,
    pub asked: Arc<AtomicUsize>,
}

#[async_trait]
impl Source for Stage {
    async fn picture(&self) -> Picture {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.picture.clone()
    }

    async fn year(&self) -> Result<Arc<Chronicle>, String> {
        let mut chronicle = Chronicle::default();
        chronicle.take_in(self.history.clone(), NOW);
        Ok(Arc::new(chronicle))
    }

    async fn detail(&self, policy: &str) -> Detail {
        let rows = self.history.iter().filter(|row| row.entry.policy.as_deref() == Some(policy));
        Detail {
            dates: vec!["Sat 2027-01-16 22:10 CET".into(), "Sat 2028-01-15 22:10 CET".into()],
            targets: vec!["vault:apps/crm".into()],
            history: Ok(rows.cloned().collect()),
        }
    }

    async fn lives(&self) -> bool {
        self.lives.load(Ordering::SeqCst)
    }
}

pub fn ago(span: Span) -> Stamp {
    NOW.minus(span)
}

/// An idle policy.
pub fn idle(policy: &str, age_days: i64, due_days: i64) -> PolicyStatus {
    PolicyStatus {
        policy: policy.into(),
        provider: "bondi".into(),
        phase: "idle".into(),
        rotation: Some(format!("rot_{policy}")),
        ended: Some("done".into()),
        rotated_at: Some(rfc3339(ago(Span::DAY.times(age_days)))),
        age_seconds: Some(age_days * 86_400),
        key_id: Some("def_42".into()),
        fingerprint: Some("sha256:0123456789abcdef".into()),
        next_due: Some(rfc3339(NOW.plus(Span::DAY.times(due_days)))),
        waits_for: None,
        grace_end: None,
        grace_percent: None,
        at_rest: true,
        held: None,
        ways: Vec::new(),
        ask: None,
        suspended: None,
    }
}

/// One in its grace.
pub fn observing(policy: &str) -> PolicyStatus {
    PolicyStatus {
        phase: "observe".into(),
        ended: None,
        waits_for: Some("evidence that the new key is in use (looks again 2026-11-21 12:00 UTC)".into()),
        grace_end: Some(rfc3339(NOW.plus(Span::hours(15)))),
        grace_percent: Some(37),
        at_rest: false,
        ways: vec![Way {
            command: format!("cutover confirm {policy} --rotation rot_{policy}"),
            does: "You have seen the application use the new key: goes on without waiting for the evidence.".into(),
            costs: "If it is not so, nobody is told again before the provider ends the old key.".into(),
        }],
        ..idle(policy, 365, 365)
    }
}

/// One that waits for a person, in doubt.
pub fn in_doubt(policy: &str) -> PolicyStatus {
    let ways = vec![
        Way {
            command: format!("cutover resume {policy} --rotation rot_{policy}"),
            does: "Makes every look again and goes on if one settles it. Never mints in doubt.".into(),
            costs: String::new(),
        },
        Way {
            command: format!("cutover resume {policy} --mint-again --rotation rot_{policy}"),
            does: "Asks bondi for another key. The one that may have been made is given up as lost.".into(),
            costs: "If the first call did make a key, the old key (id def_42), which is in use, dies AT ONCE: the application is down \
                    until the target is written and redeployed (the hooks may take up to 10m)."
                .into(),
        },
        Way { command: String::new(), does: "Or ask support@bondi.example: whether a key was made.".into(), costs: String::new() },
    ];
    let detail = "The reply to the call that asks bondi for a new key was lost. Whether a key was made is not known.";
    PolicyStatus {
        phase: "doubt".into(),
        waits_for: Some("a person: it is held".into()),
        grace_end: Some(rfc3339(NOW.plus(Span::hours(3)))),
        grace_percent: Some(88),
        held: Some(HeldStatus {
            why: "doubt".into(),
            detail: detail.into(),
            since: rfc3339(ago(Span::hours(21))),
            retries: false,
            ways: ways.clone(),
        }),
        ways,
        ..observing(policy)
    }
}

/// Never rotated: its first key is still to come.
pub fn first(policy: &str) -> PolicyStatus {
    PolicyStatus {
        rotation: None,
        ended: None,
        rotated_at: None,
        age_seconds: None,
        key_id: None,
        fingerprint: None,
        ..idle(policy, 0, 3)
    }
}

pub fn row(seq: u64, at: Stamp, policy: &str, rotation: &str, kind: &str, facts: &str) -> HistoryRow {
    let entry = HistoryEntry {
        at,
        policy: Some(policy.into()),
        rotation: Some(rotation.into()),
        actor: "schedule".into(),
        kind: kind.into(),
        facts: facts.into(),
    };
    HistoryRow { seq, entry, hash: String::new() }
}

/// A whole rotation, `days` ago, held for `held` days in between.
fn past(rows: &mut Vec<HistoryRow>, policy: &str, days: i64, held: i64) {
    let at = |days: i64| ago(Span::DAY.times(days));
    let rotation = format!("rot_{policy}{days}");
    let mut say = |at: Stamp, kind: &str, facts: &str| {
        rows.push(row(rows.len() as u64 + 1, at, policy, &rotation, kind, facts));
    };
    say(at(days), "rotation-started", r#"{"scheduled":true}"#);
    if held > 0 {
        say(at(days - 1), "held", r#"{"why":{"hook":{"hook":0,"detail":"exit status 1"}}}"#);
        say(at(days - 1 - held), "ordered", r#"{"order":"resume"}"#);
    }
    say(at(days - 2 - held), "cutover", "{}");
    say(at(days - 3 - held), "closed", r#"{"end":"done"}"#);
}

/// A daemon with these policies.
pub fn stage(policies: Vec<PolicyStatus>) -> Stage {
    let mut history = Vec::new();
    for (n, status) in policies.iter().enumerate().filter(|(_, status)| status.rotation.is_some()).take(200) {
        let n = i64::try_from(n % 60).unwrap_or(0);
        past(&mut history, &status.policy, 340 - n, if n % 3 == 0 { 9 } else { 0 });
        past(&mut history, &status.policy, 160 - n, 0);
        if status.phase != "idle" {
            let (seq, rotation) = (history.len() as u64, status.rotation.clone().unwrap_or_default());
            history.push(row(seq + 1, ago(Span::hours(24)), &status.policy, &rotation, "rotation-started", "{}"));
            if status.held.is_some() {
                history.push(row(seq + 2, ago(Span::hours(21)), &status.policy, &rotation, "held", r#"{"why":"doubt"}"#));
            }
        }
    }
    let zones: BTreeMap<String, String> =
        policies.iter().map(|status| (status.policy.clone(), "Europe/Berlin".to_owned())).collect();
    let channels = BTreeMap::from([
        ("chat".to_owned(), ChannelStanding { waiting: Some(0), failing: None }),
        ("ops".to_owned(), ChannelStanding { waiting: Some(2), failing: None }),
    ]);
    let picture = Picture {
        environment: "prod".into(),
        version: "0.1.0".into(),
        at: NOW,
        started_at: ago(Span::DAY.times(9)),
        loaded_at: ago(Span::DAY),
        channels,
        totals: Totals { started: 7, cutovers: 5, doubts: 1, done: 4, old_left: 0, first: 1, abandoned: 0 },
        transactions: 1_234,
        policies,
        zones,
        ..Picture::default()
    };
    Stage { picture, history, lives: AtomicBool::new(true), asked: Arc::default() }
}

/// Five that show every part of a page.
pub fn five() -> Stage {
    let removed = PolicyStatus { provider: String::new(), ..observing("gone-from-the-file") };
    let mut stage = stage(vec![idle("erp", 94, 11), first("new-one"), observing("crm"), in_doubt("pay"), removed]);
    stage.picture.frozen = true;
    stage.picture.policies[0].suspended = Some(Suspended {
        policy: "erp".into(),
        until: rfc3339(NOW.plus(Span::DAY.times(30))),
        by: "uid:1000(dana)".into(),
        reason: Some("freeze".into()),
        puts_off: None,
        under_way: None,
    });
    stage.picture.policies[4].ask = Some("Make a key in the vendor's dashboard.".into());
    stage.picture.emergencies = vec![OpenEmergency {
        id: "emg_1".into(),
        at: ago(Span::minutes(4)),
        actor: "uid:1000(dana)".into(),
        line: "1 of 2 older keys dead, 1 being cut, new key in use in 1 of 2 policies".into(),
    }];
    stage.picture.failed_reloads = 2;
    stage.picture.reload_error = Some(ReloadError {
        at: rfc3339(ago(Span::hours(2))),
        problems: vec!["cutover.toml:3:1: policy.x.cadense: unknown key: cadence".into(), "cutover.toml:9:1: y: z: w".into()],
    });
    let ops = stage.picture.channels.get_mut("ops").expect("there");
    ops.failing = Some((ago(Span::hours(5)), "connect: nothing listens at smtp.example.com:587".into()));
    stage
}

/// Three quiet ones, one of them under way.
pub fn three() -> Stage {
    stage(vec![idle("erp", 94, 11), idle("stock-sync", 20, 160), observing("my-crm")])
}

/// Three thousand: some held, some under way.
pub fn thousands() -> Stage {
    let policies = (0..3_000).map(|n| {
        let name = format!("service-{n:04}.team-{}", n % 17);
        match n {
            _ if n % 500 == 7 => in_doubt(&name),
            _ if n % 100 == 3 => observing(&name),
            _ => idle(&name, i64::from(n % 365), i64::from(1 + n % 300)),
        }
    });
    stage(policies.collect())
}
