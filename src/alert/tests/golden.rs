//! The whole text of messages, as it arrives.

use std::sync::Arc;

use cutover_api::{Severity, Span};
use cutover_machine::event::{Answer, Class, Event, Holding, Order, Use};
use cutover_machine::manual::Handed;
use cutover_machine::plan::{Lifecycle, Verbs, VerifyKind};
use cutover_machine::state::Key;
use cutover_machine::{Effect, Now, decide};

use super::outbox::{Hand, Mood, Outbox, Post, courier};
use super::story::{START, Story, grace_plan, overlap_plan, refused, unsure};
use crate::alert::{
    Composed, channel_failing, channel_recovered, clock_frozen, clock_thawed, credential_expiring, credential_refused,
    daemon_ended, idle_drift, ledger_behind, ledger_has_room, ledger_no_room, overdue, overdue_suspended, reload_refused,
    test_alert,
};

/// The message as it would be read, and the file that says how it must read.
macro_rules! golden {
    ($name:literal, $composed:expr) => {
        same($name, &$composed, include_str!(concat!("golden/", $name, ".txt")))
    };
}

fn same(name: &str, composed: &Composed, expected: &str) {
    let message = &composed.message;
    let shown = format!(
        "id: {}\nkind: {}\nseverity: {}\nsubject: {}\n\n{}",
        message.id,
        message.kind,
        message.severity.label(),
        message.subject,
        message.text
    );
    for line in message.text.lines() {
        assert!(line.len() <= 76 || line.trim_start().starts_with("cutover "), "{name}: too long: {line}");
        assert!(line.is_ascii(), "{name}: {line}");
    }
    assert!(message.subject.len() <= 110, "{name}: {}", message.subject);
    assert_eq!(shown, expected, "{name} reads now:\n{shown}");
}

#[test]
fn a_reply_that_is_lost_is_told_at_once() {
    let mut story = Story::begin(grace_plan());
    let lost = |effect: &Effect| (*effect == Effect::Mint).then(|| Event::Replied(unsure("mint: effect unknown (timeout)")));
    golden!("doubt-looking", story.until_told(lost));
    golden!("doubt-held", story.until_told(lost));
    golden!("grace-ending-50-doubt", story.until_told(lost));
}

#[test]
fn a_hook_that_fails() {
    let mut story = Story::begin(grace_plan());
    let failing = |effect: &Effect| {
        let Effect::Hook { hook, .. } = effect else { return None };
        Some(Event::Hooked(*hook, Answer::Refused(refused(Class::Refused, "redeploy 1: refused (status 3)"))))
    };
    let held = story.until_told(failing);
    assert_eq!(held.message.severity, Severity::Critical);
    golden!("held-hook", held);
    story.until_told(failing);
    golden!("grace-ending-75-hook", story.until_told(failing));
    golden!("still-held-hook", {
        story.until_told(failing);
        story.until_told(failing);
        story.until_told(failing)
    });
}

#[test]
fn a_foreign_value() {
    let mut story = Story::begin(overlap_plan());
    while !matches!(
        cutover_machine::due(&story.machine, &story.plan, Now::open(story.now)),
        cutover_machine::Due::Call(Effect::Hook { .. })
    ) {
        step(&mut story);
    }
    story.event(Event::Guarded(vec![Holding { readable: true, during: false, settled: false, known: false }]));
    golden!("drift", story.told[0]);
}

fn step(story: &mut Story) {
    match cutover_machine::due(&story.machine, &story.plan, Now::open(story.now)) {
        cutover_machine::Due::Call(effect) => {
            if effect.needs_intent() {
                story.event(Event::Intended { effect: effect.clone(), deadline: story.now.plus(Span::seconds(30)) });
            }
            story.now = story.now.plus(Span::seconds(1));
            story.event(story.good(&effect));
        }
        cutover_machine::Due::Tell => story.event(Event::Woke),
        cutover_machine::Due::Sleep(until) | cutover_machine::Due::Ask(_, until) => story.now = until,
        cutover_machine::Due::Rest => panic!("at rest"),
    }
}

#[test]
fn an_old_key_that_is_still_used() {
    let mut story = Story::begin(overlap_plan());
    let mut now = START;
    let composed = loop {
        if let Some(first) = story.told.iter().find(|told| told.message.kind == "held") {
            break first.clone();
        }
        match cutover_machine::due(&story.machine, &story.plan, Now::open(story.now)) {
            cutover_machine::Due::Call(Effect::Watch { verifies, .. }) => {
                now = now.max(story.now);
                story.event(
                    story.watched(&verifies, Use::At(story.now, Some(String::from("10.0.0.7\n\n    cutover abandon my-crm")))),
                );
                story.now = story.now.plus(Span::seconds(1));
            }
            _ => step(&mut story),
        }
    };
    golden!("old-still-used", composed);
}

#[test]
fn a_store_that_is_down_after_the_mint() {
    let mut story = Story::begin(grace_plan());
    let down = |effect: &Effect| {
        let Effect::Write { target, .. } = effect else { return None };
        Some(Event::Written(*target, Answer::Refused(refused(Class::Unsent, "write vault:apps/crm: unsent (connect)"))))
    };
    golden!("held-store", story.until_told(down));
    golden!("recovered-store", story.until_told(|_| None));
}

#[test]
fn a_mint_that_is_refused() {
    let mut story = Story::begin(grace_plan());
    let refusing = |effect: &Effect| {
        let answer = Answer::Refused(refused(Class::Refused, "mint: refused (status 422, code workspace_locked)"));
        (*effect == Effect::Mint).then(|| Event::Replied(answer.clone()))
    };
    golden!("held-mint-refused", story.until_told(refusing));
}

#[test]
fn a_preflight_that_fails() {
    let mut story = Story::begin(overlap_plan());
    let bad = |effect: &Effect| {
        (*effect == Effect::Survey)
            .then(|| Event::Surveyed(Err(String::from("vault:apps/crm cannot be read: auth (status 403)"))))
    };
    golden!("held-preflight", story.until_told(bad));
}

#[test]
fn a_credential_that_is_dead() {
    let mut story = Story::begin(grace_plan());
    let dead = |effect: &Effect| {
        (*effect == Effect::Survey).then(|| Event::Denied(String::from("provider bondi: list: auth (status 401)")))
    };
    let told = story.until_told(dead);
    assert_eq!(told.message.kind, "credential-expiring");
    golden!("credential-dead", told);
    golden!("credential-still-dead", story.until_told(dead));
    golden!("recovered-credential", story.until_told(|_| None));
}

/// What reaches a person when many policies share a cause, when it comes late, and when it is over.
#[tokio::test(start_paused = true)]
async fn many_policies_and_late_ones() {
    let at = |hours| START.plus(Span::hours(hours));
    let write = |effect: &Effect| {
        let Effect::Write { target, .. } = effect else { return None };
        Some(Event::Written(*target, Answer::Refused(refused(Class::Unsent, "write vault: unsent (connect)"))))
    };
    let survey = |effect: &Effect| {
        (*effect == Effect::Survey).then(|| Event::Denied(String::from("provider bondi: list: auth (status 401)")))
    };
    let mut stories: Vec<Story> = ["billing", "crm", "shop"].iter().map(|name| Story::of(name, grace_plan())).collect();
    let held: Vec<Composed> = stories.iter_mut().map(|story| story.until_told(write)).collect();
    let back: Vec<Composed> = stories.iter_mut().map(|story| story.until_told(|_| None)).collect();
    let dead: Vec<Composed> =
        ["billing", "crm", "shop"].iter().map(|name| Story::of(name, overlap_plan()).until_told(survey)).collect();
    let missed: Vec<Composed> =
        (1..4).map(|n| overdue("prod", ["billing", "crm", "shop"][n - 1], at(-30), at(20), START)).collect();
    golden!("batch-held-store", sent(&held, START, true).await);
    golden!("batch-recovered-store", sent(&back, START, true).await);
    golden!("batch-credential", sent(&dead, START, true).await);
    golden!("batch-overdue", sent(&missed, START, true).await);
    golden!("late-held-store", sent(&held[..1], at(21), true).await);
    golden!("over", sent(&held, at(21), false).await);
}

/// The one message that a channel gets of these alerts.
async fn sent(alerts: &[Composed], now: cutover_api::Stamp, stands: bool) -> Composed {
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(now), Post::new(Mood::Accepts));
    let courier = courier(&outbox, &clock, &[("ops", &ops)]).asking(move |_| stands);
    for alert in alerts {
        outbox.put(alert, &["ops"], START).await;
    }
    let _ = courier.deliver().await;
    let got = ops.got.lock().expect("alive").clone();
    let [message] = got.as_slice() else { panic!("{:?}", ops.subjects()) };
    Composed { stage: String::new(), message: message.clone() }
}

#[test]
fn a_grace_that_ended() {
    let mut story = Story::begin(grace_plan());
    story.silent = true;
    let mut last = story.until_told(|_| None);
    assert_eq!(last.stage.split('.').next(), Some("50"));
    while last.message.kind != "grace-ended" {
        last = story.until_told(|_| None);
    }
    golden!("grace-ended", last);
}

#[test]
fn an_old_key_that_is_left() {
    let mut story = Story::begin(overlap_plan());
    story.old_is_ours = false;
    golden!("old-left", story.until_told(|_| None));
}

#[test]
fn a_person_is_asked_to_confirm() {
    let mut plan = grace_plan();
    plan.verifies[0].kind = VerifyKind::Confirm;
    let mut story = Story::begin(plan);
    story.verifies = vec![String::from("confirm")];
    golden!("waiting-confirm", story.until_told(|_| None));
    golden!("grace-ending-50-confirm", story.until_told(|_| None));
}

/// A provider without a call for it: a person clicks in a dashboard, and ends the old key there.
fn manual_plan(clock: bool) -> cutover_machine::Plan {
    let mut plan = if clock { grace_plan() } else { overlap_plan() };
    plan.provider.lifecycle = Lifecycle::Manual;
    plan.provider.verbs = Verbs { probe: !clock, ..Verbs::default() };
    plan.provider.declares.last_used = None;
    plan.provider.declares.negative_probe = !clock;
    plan
}

#[test]
fn a_person_is_asked_to_make_the_key() {
    let mut story = Story::begin(manual_plan(true));
    story.ask = String::from(
        "In the Wrapd dashboard, API Keys: click \"production\",\nscroll to Rotate.\n\n    cutover abandon other\nCopy the new key.",
    );
    let asked = story.until_told(|_| None);
    assert!(!asked.message.text.lines().any(|line| line.trim() == "cutover abandon other"), "{}", asked.message.text);
    golden!("waiting-submit", asked);
    story.now = story.now.plus(Span::hours(3));
    let again = story.until_told(|_| None);
    assert_ne!(again.message.id, asked.message.id, "told again daily");
}

#[test]
fn a_person_is_asked_to_end_the_key() {
    let mut story = Story::begin(manual_plan(false));
    story.until_told(|_| None);
    let key = Key { id: None, fingerprint: String::from("sha256:01"), expires_at: None };
    story.event(Event::Ordered(Order::Submit(Handed { key, old_expires_at: None })));
    golden!("waiting-end-by-hand", story.until_told(|_| None));
    story.event(Event::Ordered(Order::ConfirmRetire));
    let accepted = |effect: &Effect| (*effect == Effect::ProbeOld).then_some(Event::Probed(Answer::Done(true)));
    golden!("held-ended-by-hand-still-accepted", story.until_told(accepted));
}

#[test]
fn a_date_that_is_put_off() {
    let until = (START.plus(Span::hours(72)), "uid:1000(dana)");
    golden!("overdue-suspended", overdue_suspended("prod", "my-crm", START, until, START.plus(Span::hours(90)), START));
}

#[test]
fn matters_without_a_rotation() {
    let later = |hours| START.plus(Span::hours(hours));
    golden!("overdue", overdue("prod", "my-crm", later(-30), later(20), START));
    golden!("credential-expiring", credential_expiring("prod", "bondi", later(60), later(71), 3, START));
    golden!("credential-expired", credential_expiring("prod", "bondi", later(-1), START, 0, START));
    golden!(
        "channel-failing",
        channel_failing("prod", "ops", "connect: nothing listens at smtp.example.com:587", later(-25), START)
    );
    golden!("clock-frozen", clock_frozen("prod", -7_200_000, START));
    golden!("idle-drift", idle_drift("prod", "my-crm", &[String::from("vault:apps/crm"), String::from("env:crm.env")], START));
    golden!("credential-refused", credential_refused("prod", "bondi", "last-used: auth (status 401)", START));
    golden!("ledger-behind", ledger_behind("prod", START));
    let short = "/var/lib/cutover/ledger.db: only 512 KiB are free on its disk, 16384 KiB are needed";
    golden!("ledger-no-room", ledger_no_room("prod", short, later(-25), START));
    golden!("ledger-has-room", ledger_has_room("prod", later(-25), START));
    golden!("daemon-ended", daemon_ended("prod", "policy my-crm: rotation 01H: ledger: not written (disk I/O error)", START));
    golden!("clock-thawed", clock_thawed("prod", true, START));
    golden!("channel-recovered", channel_recovered("prod", "ops", later(-25), START));
    let problems = [String::from("cutover.toml:12:1: policy.my-crm.grcae: unknown key: did you mean \"grace\"?")];
    golden!("reload-refused", reload_refused("prod", &problems, START));
    golden!("test", test_alert("prod", START));
}

#[test]
fn the_same_hold_has_one_id_and_a_new_one_another() {
    let mut story = Story::begin(grace_plan());
    let lost = |effect: &Effect| (*effect == Effect::Mint).then(|| Event::Replied(unsure("mint: effect unknown (timeout)")));
    story.until_told(lost);
    let first = story.until_told(lost);
    story.now = story.now.plus(Span::minutes(5));
    let again =
        decide(Event::Ordered(cutover_machine::event::Order::Resume), &story.machine, &story.plan, Now::open(story.now));
    let again = again.expect("held").next;
    assert!(again.held.is_some(), "nothing new can be looked at");
    story.machine = again;
    let fact = cutover_machine::event::Fact::Held { why: story.machine.held.clone().expect("held").why };
    let second = crate::alert::message(&story.matter(), &fact).expect("told");
    let same = crate::alert::message(&story.matter(), &fact).expect("told");
    assert_ne!(first.message.id, second.message.id, "a hold after a resume must not be swallowed as known");
    assert_eq!(second.message.id, same.message.id);
}
