//! It arrives: at least once, on every channel, and not as a storm.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cutover_api::{Severity, Span, Stamp};
use cutover_machine::Effect;
use cutover_machine::event::{Answer, Class, Event, Fact};

use super::outbox::{Hand, Mood, Outbox, Post, Standing, courier};
use super::story::{START, Story, grace_plan, overlap_plan, refused};
use crate::alert::{Composed, Courier, Matter, message, overdue, test_alert};

pub fn seconds(n: i64) -> Span {
    Span::seconds(n)
}

/// Passes and waits until nothing is due before `until`.
pub async fn pass_until(courier: &Courier, clock: &Hand, until: Stamp) {
    for _ in 0..100_000 {
        let next = courier.deliver().await.expect("read");
        if next >= until {
            clock.set(until);
            return;
        }
        clock.set(next.max(cutover_api::Clock::now(clock)));
    }
    panic!("it never comes to rest");
}

/// What a failing store makes of a policy, up to this many messages: held, 50 %, 75 %, 90 %, ended, still held.
fn alerts_of(policy: &str, count: usize) -> Vec<(Composed, Stamp)> {
    alerts_of_all(&[policy.to_owned()], count).into_iter().map(|(mut alerts, at)| (alerts.remove(0), at)).collect()
}

/// The same for many policies: by stage.
fn alerts_of_all(policies: &[String], count: usize) -> Vec<(Vec<Composed>, Stamp)> {
    let mut story = Story::begin(grace_plan());
    let mut all = Vec::new();
    let down = |effect: &Effect| {
        let Effect::Write { target, .. } = effect else { return None };
        Some(Event::Written(*target, Answer::Refused(refused(Class::Unsent, "write: unsent (connect)"))))
    };
    while all.len() < count {
        story.until_told(down);
        let fact = match all.len() {
            0 => Fact::Held { why: story.machine.held.clone().expect("held").why },
            _ => last_fact(&story),
        };
        let told = policies.iter().map(|policy| message(&Matter { policy, ..story.matter() }, &fact).expect("told"));
        all.push((told.collect(), story.now));
    }
    all
}

/// The fact behind the story's last message.
fn last_fact(story: &Story) -> Fact {
    let last = story.told.last().expect("told");
    let grace = story.machine.grace.clone().expect("armed");
    match (last.message.kind.as_str(), last.stage.split('.').next()) {
        ("grace-ending", Some(percent)) => Fact::GraceEnding { percent: percent.parse().expect("percent"), end: grace.end },
        ("grace-ended", _) => Fact::GraceEnded { end: grace.end },
        _ => {
            let held = story.machine.held.clone().expect("held");
            Fact::StillHeld { why: held.why, since: held.since }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_tried_again_and_accepted_once() {
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Down));
    let courier = courier(&outbox, &clock, &[("ops", &ops)]);
    let alert = overdue("prod", "my-crm", START, START, START);
    outbox.put(&alert, &["ops"], START).await;
    for (tries, wait) in [(1, 10), (2, 30), (3, 120), (4, 600), (5, 1_800), (6, 3_600), (7, 3_600)] {
        let now = cutover_api::Clock::now(clock.as_ref());
        let _ = courier.deliver().await;
        let next = now.plus(seconds(wait));
        assert_eq!(outbox.standing(&alert.message.id, "ops"), (Standing::Open, tries, next));
        clock.set(Stamp(next.0 - 1));
        let _ = courier.deliver().await;
        assert_eq!(ops.tried(), tries as usize, "not before its time");
        clock.set(next);
    }
    ops.mood(Mood::Accepts);
    let _ = courier.deliver().await;
    assert_eq!(outbox.standing(&alert.message.id, "ops").0, Standing::Accepted);
    assert_eq!(courier.deliver().await, Ok(Stamp::NEVER));
    assert_eq!(ops.subjects(), ["[cutover prod] OVERDUE my-crm: was due 2026-11-21 03:05 UTC"]);
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_hangs_delays_no_other() {
    let (outbox, clock) = (Arc::new(Outbox::default()), Hand::at(START));
    let (stuck, fine) = (Post::new(Mood::Hangs), Post::new(Mood::Accepts));
    let courier = courier(&outbox, &clock, &[("stuck", &stuck), ("fine", &fine)]);
    let first = test_alert("prod", START);
    outbox.put(&first, &["stuck", "fine"], START).await;
    assert_eq!(courier.deliver().await, Ok(START.plus(seconds(10))));
    assert_eq!(fine.subjects().len(), 1);
    assert_eq!(outbox.standing(&first.message.id, "stuck").1, 0, "the pass ended while the channel still hangs");
    let second = overdue("prod", "my-crm", START, START, START);
    outbox.put(&second, &["stuck", "fine"], START).await;
    let _ = courier.deliver().await;
    assert_eq!(fine.subjects().len(), 2, "the other channel is served while the first one hangs");
    assert_eq!(stuck.tried(), 1, "one send at a time a channel");
    // Paused time: it is moved past the send's deadline.
    tokio::time::sleep(std::time::Duration::from_secs(300)).await;
    assert_eq!(outbox.standing(&first.message.id, "stuck").1, 1, "the hanging send was given up");
    stuck.mood(Mood::Accepts);
    clock.set(START.plus(Span::hours(2)));
    pass_until(&courier, &clock, START.plus(Span::hours(2)).plus(Span::MINUTE)).await;
    assert_eq!((stuck.subjects().len(), outbox.open()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn one_cause_over_many_policies_is_one_message() {
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Accepts));
    let courier = courier(&outbox, &clock, &[("ops", &ops)]);
    for policy in ["a", "b", "c"] {
        outbox.put(&alerts_of(policy, 1)[0].0, &["ops"], START).await;
    }
    outbox.put(&overdue("prod", "d", START, START, START), &["ops"], START).await;
    let _ = courier.deliver().await;
    assert_eq!(outbox.open(), 0, "each member's delivery is settled");
    let got = ops.got.lock().expect("alive").clone();
    let subjects: Vec<&str> = got.iter().map(|message| message.subject.as_str()).collect();
    let single = "[cutover prod] OVERDUE d: was due 2026-11-21 03:05 UTC";
    assert_eq!(subjects, ["[cutover prod] HELD 3 policies: vault cannot be written", single]);
    assert_eq!(got[0].policies, ["a", "b", "c"]);
    assert_eq!(got[0].severity, Severity::Critical);
    for policy in ["a", "b", "c"] {
        assert!(got[0].text.contains(&format!("cutover resume {policy} --rotation rot_abc")), "{}", got[0].text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cause_that_was_told_just_now_is_gathered() {
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Accepts));
    let courier = courier(&outbox, &clock, &[("ops", &ops)]);
    outbox.put(&alerts_of("first", 1)[0].0, &["ops"], START).await;
    let _ = courier.deliver().await;
    for n in 0..50 {
        outbox.put(&alerts_of(&format!("p{n}"), 1)[0].0, &["ops"], START).await;
        clock.set(START.plus(seconds(n)));
        assert_eq!(courier.deliver().await, Ok(START.plus(seconds(120))));
    }
    assert_eq!(ops.subjects().len(), 1);
    clock.set(START.plus(seconds(120)));
    let _ = courier.deliver().await;
    assert_eq!(ops.subjects()[1], "[cutover prod] HELD 50 policies: vault cannot be written");
}

#[tokio::test(start_paused = true)]
async fn overtaken_thresholds_are_dropped() {
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Down));
    let courier = courier(&outbox, &clock, &[("ops", &ops)]);
    let alerts = alerts_of("my-crm", 6);
    for (alert, at) in &alerts[..4] {
        clock.set(*at);
        outbox.put(alert, &["ops"], *at).await;
        let _ = courier.deliver().await;
    }
    let standings: Vec<Standing> = alerts[..4].iter().map(|(alert, _)| outbox.standing(&alert.message.id, "ops").0).collect();
    assert_eq!(standings, [Standing::Open, Standing::Dropped, Standing::Dropped, Standing::Open]);
    ops.mood(Mood::Accepts);
    for (alert, at) in &alerts[4..] {
        outbox.put(alert, &["ops"], *at).await;
    }
    pass_until(&courier, &clock, alerts[5].1.plus(Span::hours(2))).await;
    let mut kinds: Vec<String> = ops.got.lock().expect("alive").iter().map(|message| message.subject.clone()).collect();
    kinds.sort();
    assert_eq!(
        kinds,
        [
            "[cutover prod] GRACE ENDED my-crm: vault:apps/crm cannot be written",
            "[cutover prod] STILL HELD my-crm: vault:apps/crm cannot be written",
        ]
    );
    assert_eq!(outbox.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_restart_loses_nothing() {
    let (outbox, clock, ops, pager) =
        (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Down), Post::new(Mood::Accepts));
    let posts = [("ops", &ops), ("pager", &pager)];
    let alert = overdue("prod", "my-crm", START, START, START);
    outbox.put(&alert, &["ops"], START).await;
    let before = courier(&outbox, &clock, &posts);
    let _ = before.deliver().await;
    drop(before);
    clock.set(START.plus(Span::minutes(20)));
    let after = courier(&outbox, &clock, &posts);
    pass_until(&after, &clock, START.plus(Span::minutes(25))).await;
    assert_eq!(after.troubles()[0].since, START, "that the channel fails is remembered");
    assert_eq!(pager.subjects(), ["[cutover prod] CHANNEL: ops accepts no alerts"]);
    ops.mood(Mood::Accepts);
    drop(after);
    clock.set(START.plus(Span::hours(3)));
    let last = courier(&outbox, &clock, &posts);
    pass_until(&last, &clock, START.plus(Span::hours(4))).await;
    assert_eq!(ops.subjects(), [alert.message.subject]);
    assert_eq!(pager.subjects()[1..], ["[cutover prod] RECOVERED: channel ops accepts alerts again"]);
    assert_eq!((outbox.open(), last.troubles()), (0, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_failing_channel_is_told_on_the_others_once_a_day() {
    let (outbox, clock, ops, pager) =
        (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Down), Post::new(Mood::Accepts));
    let courier = courier(&outbox, &clock, &[("ops", &ops), ("pager", &pager)]);
    outbox.put(&overdue("prod", "my-crm", START, START, START), &["ops"], START).await;
    pass_until(&courier, &clock, START.plus(Span::minutes(14))).await;
    assert_eq!(pager.subjects(), Vec::<String>::new(), "not before a quarter of an hour");
    pass_until(&courier, &clock, START.plus(Span::hours(23))).await;
    assert_eq!(pager.subjects().len(), 1);
    pass_until(&courier, &clock, START.plus(Span::hours(71))).await;
    assert_eq!(pager.subjects().len(), 3, "{:?}", pager.subjects());
}

/// A channel that comes and goes filled the others with "accepts no alerts" and "accepts alerts again" at each turn.
#[tokio::test(start_paused = true)]
async fn a_channel_that_comes_and_goes_is_told_once_an_hour() {
    let (outbox, clock, ops, pager) =
        (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Down), Post::new(Mood::Accepts));
    let posts = [("ops", &ops), ("pager", &pager)];
    let mut now = START;
    for turn in 0..8 {
        // Each turn in another process: what is known of it is in the ledger.
        let courier = courier(&outbox, &clock, &posts);
        ops.mood(Mood::Down);
        outbox.put(&overdue("prod", &format!("p{turn}"), now, now, now), &["ops"], now).await;
        pass_until(&courier, &clock, now.plus(Span::minutes(20))).await;
        ops.mood(Mood::Accepts);
        now = now.plus(Span::minutes(45));
        pass_until(&courier, &clock, now).await;
    }
    let subjects = pager.subjects();
    let failing = subjects.iter().filter(|subject| subject.ends_with("ops accepts no alerts")).count();
    assert_eq!((failing, subjects.len()), (4, 8), "eight failures, four of them told, each with its end: {subjects:?}");
    // And one that stays away is told, an hour after it was told to be back at the latest.
    ops.mood(Mood::Down);
    outbox.put(&overdue("prod", "last", now, now, now), &["ops"], now).await;
    pass_until(&courier(&outbox, &clock, &posts), &clock, now.plus(Span::minutes(75))).await;
    assert_eq!(pager.subjects().len(), subjects.len() + 1);
}

#[tokio::test(start_paused = true)]
async fn a_day_of_silence_with_300_policies_ends_in_a_few_messages() {
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Down));
    let courier = courier(&outbox, &clock, &[("ops", &ops)]);
    let policies: Vec<String> = (0..300).map(|n| format!("policy-{n:03}")).collect();
    for (alerts, at) in alerts_of_all(&policies, 6) {
        pass_until(&courier, &clock, at).await;
        for alert in &alerts {
            outbox.put(alert, &["ops"], at).await;
        }
    }
    let tried = ops.tried();
    assert!(tried < 2_100, "a channel that is down is knocked at {tried} times");
    ops.mood(Mood::Accepts);
    let end = cutover_api::Clock::now(clock.as_ref()).plus(Span::hours(2));
    pass_until(&courier, &clock, end).await;
    assert_eq!(outbox.open(), 0);
    assert!(ops.subjects().len() <= 4, "{:?}", ops.subjects());
    let got = ops.got.lock().expect("alive").clone();
    assert!(got.iter().all(|message| message.text.len() < 20_000));
    assert!(got.iter().any(|message| message.policies.len() == 300));
}

#[tokio::test(start_paused = true)]
async fn many_causes_of_one_kind_are_bounded_too() {
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Accepts));
    let courier = courier(&outbox, &clock, &[("ops", &ops)]);
    for n in 0..100 {
        let mut story = Story::begin(overlap_plan());
        story.until_told(|effect| {
            let detail = format!("apps/{n} cannot be read");
            (*effect == Effect::Survey).then_some(Event::Surveyed(Err(detail)))
        });
        let policy = format!("p{n}");
        let fact = Fact::Held { why: story.machine.held.clone().expect("held").why };
        let composed = message(&Matter { policy: &policy, ..story.matter() }, &fact).expect("told");
        outbox.put(&composed, &["ops"], START).await;
    }
    let _ = courier.deliver().await;
    assert_eq!(ops.subjects(), ["[cutover prod] HELD 100 policies: several reasons"]);
    assert_eq!(outbox.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_never_taken_keeps_no_other_from_it() {
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Accepts));
    let courier = courier(&outbox, &clock, &[("ops", &ops)]);
    let bad = test_alert("prod", START);
    ops.poison(&bad.message.id);
    outbox.put(&bad, &["ops"], START).await;
    let _ = courier.deliver().await;
    assert_eq!(outbox.standing(&bad.message.id, "ops"), (Standing::Open, 1, START.plus(Span::HOUR)), "an hour at once");
    outbox.put(&overdue("prod", "my-crm", START, START, START), &["ops"], START).await;
    let _ = courier.deliver().await;
    assert_eq!(ops.subjects().len(), 1);
    assert_eq!(outbox.open(), 1, "and it is never given up");
}

#[tokio::test(start_paused = true)]
async fn an_alert_with_a_clock_against_it_is_tried_every_minute() {
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Down));
    let courier = courier(&outbox, &clock, &[("ops", &ops)]);
    let (alert, at) = alerts_of("my-crm", 1).remove(0);
    outbox.put(&alert, &["ops"], at).await;
    pass_until(&courier, &clock, START.plus(Span::hours(5))).await;
    ops.mood(Mood::Accepts);
    pass_until(&courier, &clock, START.plus(Span::hours(5)).plus(Span::MINUTE)).await;
    assert_eq!(ops.subjects().len(), 1, "a channel that is up for a minute gets it");
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_accepts_again_gets_at_once_what_was_put_off() {
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Down));
    outbox.put(&overdue("prod", "my-crm", START, START, START), &["ops"], START).await;
    let before = courier(&outbox, &clock, &[("ops", &ops)]);
    pass_until(&before, &clock, START.plus(Span::minutes(20))).await;
    drop(before);
    ops.mood(Mood::Accepts);
    let after = courier(&outbox, &clock, &[("ops", &ops)]);
    outbox.put(&test_alert("prod", START), &["ops"], START).await;
    let now = START.plus(Span::minutes(20));
    assert_eq!(after.deliver().await, Ok(now), "the older alert is put off further than this");
    assert_eq!(ops.subjects().len(), 1);
    let _ = after.deliver().await;
    assert_eq!((ops.subjects().len(), outbox.open()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_silences_nothing() {
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(START.plus(Span::hours(48))), Post::new(Mood::Down));
    let courier = courier(&outbox, &clock, &[("ops", &ops)]);
    outbox.put(&overdue("prod", "my-crm", START, START, START), &["ops"], START).await;
    let _ = courier.deliver().await;
    clock.set(START);
    ops.mood(Mood::Accepts);
    let _ = courier.deliver().await;
    assert_eq!((ops.subjects().len(), outbox.open()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_the_ledger_could_not_write_is_not_sent_again() {
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Accepts));
    let courier = courier(&outbox, &clock, &[("ops", &ops)]);
    outbox.put(&test_alert("prod", START), &["ops"], START).await;
    outbox.full.store(true, Ordering::SeqCst);
    for _ in 0..5 {
        let _ = courier.deliver().await;
    }
    assert_eq!((ops.subjects().len(), outbox.open()), (1, 1));
    outbox.full.store(false, Ordering::SeqCst);
    let _ = courier.deliver().await;
    assert_eq!((ops.subjects().len(), outbox.open()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_channel_that_is_gone_goes_to_the_others() {
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Accepts));
    let alert = overdue("prod", "my-crm", START, START, START);
    outbox.put(&alert, &["gone"], START).await;
    let nobody = courier(&outbox, &clock, &[]);
    let _ = nobody.deliver().await;
    assert_eq!(outbox.open(), 1, "with nobody to tell it waits");
    let courier = courier(&outbox, &clock, &[("ops", &ops)]);
    assert_eq!(courier.deliver().await, Ok(START));
    let _ = courier.deliver().await;
    assert_eq!((ops.subjects(), outbox.open()), (vec![alert.message.subject], 0));
}

#[tokio::test(start_paused = true)]
async fn no_message_holds_a_secret() {
    const CANARY: &str = "sk_live_canary_0123456789abcdef";
    let mut story = Story::begin(grace_plan());
    // The machine and the matter have no place for a value; what they do have is fingerprints.
    let print = cutover_api::Secret::new(CANARY.to_owned()).fingerprint();
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Accepts));
    let courier = courier(&outbox, &clock, &[("ops", &ops)]);
    for _ in 0..4 {
        story.until_told(|effect| match effect {
            Effect::ReadReply => {
                let Event::Read(Answer::Done(mut minted)) = story_reply() else { return None };
                minted.key.fingerprint = print.0.clone();
                Some(Event::Read(Answer::Done(minted)))
            }
            Effect::Hook { hook, .. } => {
                Some(Event::Hooked(*hook, Answer::Refused(refused(Class::Refused, "redeploy 1: refused (status 1)"))))
            }
            _ => None,
        });
    }
    for composed in &story.told {
        outbox.put(composed, &["ops"], START).await;
    }
    pass_until(&courier, &clock, START.plus(Span::hours(1))).await;
    let sent = serde_json::to_string(&*ops.got.lock().expect("alive")).expect("json");
    assert!(!ops.subjects().is_empty());
    for window in CANARY.as_bytes().windows(8) {
        assert!(!sent.contains(std::str::from_utf8(window).expect("ascii")), "{sent}");
    }
}

/// The good answer to a reply that was received.
fn story_reply() -> Event {
    Story::begin(grace_plan()).good(&Effect::ReadReply)
}
