//! One cause over many policies, as it comes about in life: spread over minutes, each policy with its own target, told late, over by now.

use std::collections::BTreeSet;
use std::sync::Arc;

use cutover_api::{Message, Severity, Span, Stamp};
use cutover_machine::Effect;
use cutover_machine::event::{Answer, Class, Event};

use super::courier::{pass_until, seconds};
use super::outbox::{Hand, Mood, Outbox, Post, Standing, courier};
use super::story::{START, Story, grace_plan, overlap_plan, refused};
use crate::alert::{Channel, Channels, Composed, Matter, credential_expiring, message, overdue};

/// What the story tells next, of this policy.
fn next(story: &mut Story, policy: &str, answer: impl FnMut(&Effect) -> Option<Event>) -> Composed {
    story.policy = policy.to_owned();
    story.until_told(answer)
}

fn store_down(policy: &str) -> impl FnMut(&Effect) -> Option<Event> + use<> {
    let detail = format!("write vault:apps/{policy}: unsent (connect)");
    move |effect| {
        let Effect::Write { target, .. } = effect else { return None };
        Some(Event::Written(*target, Answer::Refused(refused(Class::Unsent, &detail))))
    }
}

fn unreadable(policy: &str) -> impl FnMut(&Effect) -> Option<Event> + use<> {
    let detail =
        format!("target vault:apps/{policy} cannot be read: unsent (connect)\nno alert channel accepts a login: ops: down");
    move |effect| (*effect == Effect::Survey).then(|| Event::Surveyed(Err(detail.clone())))
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("policy-{n:03}")).collect()
}

/// How many policies the messages of a kind name, each once.
fn named(got: &[Message], kind: &str) -> BTreeSet<String> {
    got.iter().filter(|message| message.kind == kind).flat_map(|message| message.policies.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_for_300_policies_is_one_message_and_so_is_its_end() {
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Accepts));
    let courier = courier(&outbox, &clock, &[("ops", &ops)]);
    let policies = names(300);
    let mut stories: Vec<Story> = policies.iter().map(|policy| Story::of(policy, grace_plan())).collect();
    for (story, policy) in stories.iter_mut().zip(&policies) {
        let held = next(story, policy, store_down(policy));
        assert!(
            held.message.text.contains(&format!("vault:apps/{policy} cannot")) || held.message.text.contains(policy.as_str())
        );
        outbox.put_fresh(&held, &["ops"], START).await;
    }
    pass_until(&courier, &clock, START.plus(Span::minutes(3))).await;
    assert_eq!(ops.subjects(), ["[cutover prod] HELD 300 policies: vault cannot be written"]);
    let held = ops.got.lock().expect("alive")[0].clone();
    assert_eq!((held.policies.len(), held.severity), (300, Severity::Critical));
    assert!(held.text.len() < 24 * 1024, "{}", held.text.len());
    assert!(held.text.contains("cutover resume policy-000 --rotation rot_abc") && held.text.contains("and 260 more"));
    let back = START.plus(Span::minutes(6));
    for (story, policy) in stories.iter_mut().zip(&policies) {
        let recovered = next(story, policy, |_| None);
        assert_eq!(recovered.message.kind, "recovered");
        outbox.put_fresh(&recovered, &["ops"], back).await;
    }
    clock.set(back);
    pass_until(&courier, &clock, back.plus(Span::minutes(3))).await;
    assert_eq!(ops.subjects()[1..], ["[cutover prod] RECOVERED 300 policies: was: vault cannot be written"]);
    assert_eq!(outbox.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_cause_that_arrives_over_half_an_hour_is_a_handful_of_messages_and_the_first_comes_at_once() {
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Accepts));
    let courier = courier(&outbox, &clock, &[("ops", &ops)]);
    for (n, policy) in names(300).iter().enumerate() {
        let at = START.plus(seconds(i64::try_from(n).expect("small") * 6));
        pass_until(&courier, &clock, at).await;
        let held = next(&mut Story::of(policy, grace_plan()), policy, unreadable(policy));
        outbox.put_fresh(&held, &["ops"], at).await;
        if n == 3 {
            assert_eq!(ops.subjects().len(), 1, "the first is told within seconds");
        }
    }
    pass_until(&courier, &clock, START.plus(Span::hours(2))).await;
    let got = ops.got.lock().expect("alive").clone();
    assert!(got.len() <= 5, "{:?}", ops.subjects());
    assert_eq!(named(&got, "held").len(), 300, "nobody is forgotten");
    let together = got.iter().filter(|message| message.policies.len() > 1);
    assert!(
        together.clone().all(|message| message.subject.ends_with("cannot begin: vault cannot be read: unsent (connect)")),
        "{got:?}"
    );
    assert_eq!(outbox.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dead_credential_of_40_policies_is_one_message_that_says_the_renewal_once() {
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Accepts));
    let courier = courier(&outbox, &clock, &[("ops", &ops)]);
    for policy in names(40) {
        let dead = next(&mut Story::of(&policy, grace_plan()), &policy, |effect| {
            (*effect == Effect::Survey).then(|| Event::Denied(String::from("provider bondi: list: auth (status 401)")))
        });
        assert_eq!(dead.message.kind, "credential-expiring");
        outbox.put_fresh(&dead, &["ops"], START).await;
    }
    pass_until(&courier, &clock, START.plus(Span::MINUTE)).await;
    assert_eq!(ops.subjects(), ["[cutover prod] CREDENTIAL 40 policies: the credential for bondi is dead"]);
    let text = ops.got.lock().expect("alive")[0].text.clone();
    let before_the_first = text.split("The first of them").next().expect("there");
    assert_eq!(before_the_first.matches("Get a new credential at bondi").count(), 1, "{text}");
    assert!(before_the_first.contains("cutover status --provider bondi"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn dates_missed_together_are_ordered_by_one_command() {
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Accepts));
    let courier = courier(&outbox, &clock, &[("ops", &ops)]);
    for (n, policy) in ["a", "b", "c"].iter().enumerate() {
        let due = START.minus(Span::hours(i64::try_from(n).expect("small") + 1));
        outbox.put(&overdue("prod", policy, due, START, START), &["ops"], START).await;
    }
    let _ = courier.deliver().await;
    assert_eq!(ops.subjects(), ["[cutover prod] OVERDUE 3 policies: a date was missed"]);
    let text = ops.got.lock().expect("alive")[0].text.clone();
    assert!(text.contains("    cutover rotate a b c\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_recovered_before_anybody_could_be_told_is_told_by_its_end_alone() {
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Down));
    let courier = courier(&outbox, &clock, &[("ops", &ops)]);
    let mut story = Story::of("crm", grace_plan());
    let held = next(&mut story, "crm", store_down("crm"));
    outbox.put(&held, &["ops"], START).await;
    pass_until(&courier, &clock, START.plus(Span::minutes(5))).await;
    let recovered = next(&mut story, "crm", |_| None);
    outbox.put(&recovered, &["ops"], START.plus(Span::minutes(5))).await;
    ops.mood(Mood::Accepts);
    pass_until(&courier, &clock, START.plus(Span::hours(1))).await;
    assert_eq!(ops.subjects(), ["[cutover prod] RECOVERED crm: was: vault:apps/crm cannot be written"]);
    assert_eq!(outbox.standing(&held.message.id, "ops").0, Standing::Dropped);
    assert_eq!(outbox.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_new_hold_after_a_recovery_overtakes_the_recovery_and_not_the_other_way_round() {
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Down));
    let courier = courier(&outbox, &clock, &[("ops", &ops)]);
    let mut story = Story::of("crm", grace_plan());
    story.targets.push(String::from("vault:apps/other"));
    story.plan.targets.push(story.plan.targets[0]);
    let held = next(&mut story, "crm", store_down("crm"));
    let once = std::cell::Cell::new(false);
    let recovered = next(&mut story, "crm", |effect| {
        let one_write = matches!(effect, Effect::Write { .. }) && !once.replace(true);
        if one_write { None } else { store_down("crm")(effect) }
    });
    let again = next(&mut story, "crm", store_down("crm"));
    assert_eq!([&held, &recovered, &again].map(|told| told.message.kind.as_str()), ["held", "recovered", "held"]);
    for told in [&held, &recovered, &again] {
        outbox.put(told, &["ops"], START).await;
    }
    ops.mood(Mood::Accepts);
    pass_until(&courier, &clock, START.plus(Span::hours(1))).await;
    assert_eq!(ops.got.lock().expect("alive").iter().map(|message| message.id.clone()).collect::<Vec<_>>(), [again.message.id]);
}

#[tokio::test(start_paused = true)]
async fn what_is_over_after_a_day_of_silence_is_one_message_for_the_record() {
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Down));
    let stands = |message: &Message| message.policies == ["policy-007"];
    let courier = courier(&outbox, &clock, &[("ops", &ops)]).asking(stands);
    for policy in names(300) {
        let held = next(&mut Story::of(&policy, grace_plan()), &policy, store_down(&policy));
        outbox.put(&held, &["ops"], START).await;
    }
    pass_until(&courier, &clock, START.plus(Span::hours(24))).await;
    ops.mood(Mood::Accepts);
    pass_until(&courier, &clock, START.plus(Span::hours(26))).await;
    let got = ops.got.lock().expect("alive").clone();
    let subjects: Vec<&str> = got.iter().map(|message| message.subject.as_str()).collect();
    assert_eq!(
        subjects,
        [
            "[cutover prod] OVER: 299 alerts that could not be told in time",
            "[cutover prod] HELD policy-007: vault:apps/policy-007 cannot be written",
        ]
        .iter()
        .rev()
        .copied()
        .collect::<Vec<_>>()
    );
    assert_eq!((got[1].kind.as_str(), got[1].policies.len()), ("recovered", 299));
    assert!(got[0].text.starts_with("Told late\n  This came about 2026-11-21 03:0"), "{}", got[0].text);
    assert!(got[0].text.contains("    cutover status policy-007\n"), "{}", got[0].text);
    assert_eq!(outbox.open(), 0);
}

/// A channel that takes a message and dies before it says so: at least once, under one id, and the repetitions grow rarer.
#[tokio::test(start_paused = true)]
async fn a_message_that_is_taken_without_an_answer_comes_again_under_the_same_id() {
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::TakesAndDies));
    let courier = courier(&outbox, &clock, &[("ops", &ops)]);
    let alert = overdue("prod", "my-crm", START, START, START);
    outbox.put(&alert, &["ops"], START).await;
    pass_until(&courier, &clock, START.plus(Span::hours(5))).await;
    let ids = || ops.got.lock().expect("alive").iter().map(|message| message.id.clone()).collect::<Vec<_>>();
    assert_eq!(outbox.open(), 1, "nobody said that it was taken");
    let duplicates = ids().len() - 1;
    assert!((6..=10).contains(&duplicates), "10 s, 30 s, 2 m, 10 m, 30 m, then hourly: {duplicates} duplicates in five hours");
    ops.mood(Mood::Accepts);
    pass_until(&courier, &clock, START.plus(Span::hours(7))).await;
    assert_eq!((outbox.open(), ids().len()), (0, duplicates + 2));
    assert!(ids().iter().all(|id| *id == alert.message.id), "a mail program shows them once");
}

#[tokio::test(start_paused = true)]
async fn many_kinds_of_one_hour_are_gathered_by_kind_although_no_cause_is_shared() {
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Accepts));
    let courier = courier(&outbox, &clock, &[("ops", &ops)]);
    for (n, policy) in names(120).iter().enumerate() {
        let at = START.plus(seconds(i64::try_from(n).expect("small") * 20));
        pass_until(&courier, &clock, at).await;
        let mut story = Story::begin(overlap_plan());
        let detail = format!("redeploy 1: exit status {n}");
        let held = next(&mut story, policy, |effect| (*effect == Effect::Survey).then(|| Event::Surveyed(Err(detail.clone()))));
        outbox.put_fresh(&held, &["ops"], at).await;
    }
    pass_until(&courier, &clock, START.plus(Span::hours(2))).await;
    let got = ops.got.lock().expect("alive").clone();
    assert!(got.len() <= 12, "{:?}", ops.subjects());
    assert_eq!((named(&got, "held").len(), outbox.open()), (120, 0));
}

/// With the grace nearly over nothing is gathered.
#[tokio::test(start_paused = true)]
async fn with_little_time_left_an_alert_goes_out_at_once() {
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Accepts));
    let courier = courier(&outbox, &clock, &[("ops", &ops)]);
    let mut story = Story::of("crm", grace_plan());
    let mut last = next(&mut story, "crm", store_down("crm"));
    while last.stage.split('.').next() != Some("90") {
        last = next(&mut story, "crm", store_down("crm"));
    }
    let end = story.machine.grace.clone().expect("armed").end;
    let now = end.minus(Span::minutes(14));
    clock.set(now);
    outbox.put_fresh(&last, &["ops"], now).await;
    let _ = courier.deliver().await;
    assert_eq!(ops.subjects(), ["[cutover prod] GRACE 90 % crm: vault:apps/crm cannot be written"]);
}

/// A message is bounded whatever it is made of.
#[tokio::test(start_paused = true)]
async fn a_message_about_five_thousand_policies_is_bounded() {
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Accepts));
    let courier = courier(&outbox, &clock, &[("ops", &ops)]);
    let story = {
        let mut story = Story::of("crm", grace_plan());
        next(&mut story, "crm", store_down("crm"));
        story
    };
    let fact = cutover_machine::event::Fact::Held { why: story.machine.held.clone().expect("held").why };
    for n in 0..5_000 {
        let policy = format!("a-policy-with-a-rather-long-name-{n}-{}", "x".repeat(30));
        let composed = message(&Matter { policy: &policy, ..story.matter() }, &fact).expect("told");
        outbox.put(&composed, &["ops"], START).await;
    }
    let _ = courier.deliver().await;
    let got = ops.got.lock().expect("alive").clone();
    assert_eq!((got.len(), outbox.open()), (1, 0));
    assert_eq!(got[0].facts["policies"], 5_000);
    assert!(got[0].text.len() <= 25 * 1024 && got[0].policies.len() == 1_000);
    assert!(serde_json::to_string(&got[0]).expect("json").len() < 512 * 1024);
    let subject = &got[0].subject;
    assert!(subject.len() < 100 && subject.contains("5000 policies"), "{subject}");
}

/// The threshold that passed is part of the id, and the account's policies share it.
#[tokio::test(start_paused = true)]
async fn later_warnings_of_a_credential_overtake_earlier_ones() {
    let (outbox, clock, ops) = (Arc::new(Outbox::default()), Hand::at(START), Post::new(Mood::Down));
    let courier = courier(&outbox, &clock, &[("ops", &ops)]);
    let (ends, due) = (START.plus(Span::DAY.times(20)), START.plus(Span::DAY.times(21)));
    let warning = |days: i64| {
        let at = Stamp(due.0 - Span::DAY.times(days).0);
        (credential_expiring("prod", "bondi", ends, due, days, at), at)
    };
    for days in [14, 3, 1] {
        let (told, at) = warning(days);
        pass_until(&courier, &clock, at).await;
        outbox.put(&told, &["ops"], at).await;
    }
    ops.mood(Mood::Accepts);
    pass_until(&courier, &clock, due).await;
    assert_eq!((ops.subjects().len(), outbox.open()), (1, 0), "{:?}", ops.subjects());
    assert_eq!(ops.got.lock().expect("alive")[0].id, warning(1).0.message.id);
}

/// A channel's floor: it is sent what is at least so bad, and what nobody wanted would take goes to whoever takes it.
#[test]
fn a_channel_takes_what_is_bad_enough_and_nothing_is_told_to_nobody() {
    let channel = |severity| Channel { severity, notifier: Post::new(Mood::Accepts) };
    let all = [("chat", Severity::Info), ("ops", Severity::Warning), ("pager", Severity::Critical)];
    let channels = Channels::new(all.map(|(name, severity)| (name.to_owned(), channel(severity))).into());
    let chosen = |wanted: &[&str], severity| {
        channels.chosen(&wanted.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), severity)
    };
    assert_eq!(chosen(&[], Severity::Info), ["chat"]);
    assert_eq!(chosen(&[], Severity::Warning), ["chat", "ops"]);
    assert_eq!(chosen(&[], Severity::Critical), ["chat", "ops", "pager"]);
    assert_eq!(chosen(&["pager"], Severity::Critical), ["pager"]);
    assert_eq!(chosen(&["pager"], Severity::Warning), ["chat", "ops"], "better to surprise than to be silent");
}
