//! Messages about matters without a rotation.

use cutover_api::{Severity, Span, Stamp};
use serde_json::json;

use super::draft::{Composed, Draft, Series, write_ways};
use super::told::sentence;
use super::ways::{Way, renewal};
use super::words::{Letter, beside, clean, counted, listed, time};

/// How many problems of a configuration a message holds.
const PROBLEMS: usize = 20;

pub(super) fn draft<'a>(environment: &'a str, kind: &'static str, stage: String, word: &str, at: Stamp) -> Draft<'a> {
    Draft {
        kind,
        shared_stage: stage.clone(),
        stage,
        severity: Severity::Warning,
        environment,
        policy: None,
        rotation: None,
        word: word.to_owned(),
        what: String::new(),
        shared: String::new(),
        cause: String::new(),
        series: None,
        at,
    }
}

pub(super) fn way(command: impl Into<String>, does: impl Into<String>, costs: impl Into<String>) -> Way {
    Way { command: command.into(), does: does.into(), costs: costs.into() }
}

/// A date was missed; it is run at `will_run`.
#[must_use]
pub fn overdue(environment: &str, policy: &str, was_due: Stamp, will_run: Stamp, at: Stamp) -> Composed {
    let mut draft = draft(environment, "overdue", was_due.0.to_string(), "OVERDUE", at);
    draft.shared_stage = String::from("missed");
    draft.policy = Some(policy);
    draft.what = format!("was due {}", time(was_due));
    draft.shared = String::from("a date was missed");
    let ways = [
        way(format!("cutover rotate {policy}"), "Orders the rotation by hand, now.", ""),
        way(format!("cutover suspend {policy} --until DATE"), "Puts it off.", "The key grows older."),
    ];
    let mut letter = Letter::default();
    letter
        .part("What happened")
        .say(&format!("The rotation of policy {policy} was due {} and has not begun.", beside(was_due, at)))
        .part("Where things stand")
        .say("The application uses the key it has. Nobody is down because of this.")
        .part("What happens by itself")
        .say(&format!("It runs {}. A missed date is never skipped.", beside(will_run, at)));
    write_ways(&mut letter, &ways);
    draft.finish(letter, &ways, json!({ "policy": policy, "was_due": time(was_due), "will_run": time(will_run) }))
}

/// The credential of an account ends at `expires_at`, which is not later than the next date `due`. `days` is the threshold before that
/// date that has passed: 14, 3, 1; 0 = a rotation under way waits for it.
#[must_use]
pub fn credential_expiring(environment: &str, account: &str, expires_at: Stamp, due: Stamp, days: i64, at: Stamp) -> Composed {
    let account = clean(account);
    let dead = expires_at <= at;
    let mut draft = draft(environment, "credential-expiring", format!("{account}.{}.{days}", expires_at.0), "CREDENTIAL", at);
    draft.severity = if dead || days <= 1 { Severity::Critical } else { Severity::Warning };
    draft.what = if dead {
        format!("the one for {account} has expired")
    } else {
        format!("the one for {account} ends {}", time(expires_at))
    };
    draft.cause = account.clone();
    draft.series =
        Some(Series { name: format!("credential/{account}/{}", expires_at.0), place: 1_000_i64.saturating_sub(days) });
    let tense = if dead { "ended" } else { "ends" };
    let next = if due > at { format!("The next date at this account is {}. ", beside(due, at)) } else { String::new() };
    let waits =
        "Rotations at this account wait while it is dead, and go on by themselves as soon as the reference yields a live one.";
    let ways = [
        way("", renewal(&account), ""),
        way(format!("cutover check --online --provider {account}"), "Shows that the new one is accepted and until when.", ""),
    ];
    let mut letter = Letter::default();
    letter
        .part("What happened")
        .say(&format!("The credential that cutover itself uses at {account} {tense} {}.", beside(expires_at, at)))
        .part("Where things stand")
        .say("The applications use the keys they have. Nobody is down because of this.")
        .part("What happens by itself")
        .say(&format!("{next}{waits}"));
    write_ways(&mut letter, &ways);
    let facts = json!({ "account": account, "expires_at": time(expires_at), "due": time(due), "days": days });
    draft.finish(letter, &ways, facts)
}

/// A poll of a rotation under way was refused for the account's credential; nothing waits for the answer yet.
#[must_use]
pub fn credential_refused(environment: &str, account: &str, detail: &str, at: Stamp) -> Composed {
    let account = clean(account);
    let day = at.0 / Span::DAY.0;
    let mut draft = draft(environment, "credential-expiring", format!("{account}.refused.day-{day}"), "CREDENTIAL", at);
    draft.what = format!("{account} does not accept the one it is asked with");
    draft.cause = account.clone();
    draft.series = Some(Series { name: format!("credential/{account}/refused"), place: day });
    let ways = [
        way("", renewal(&account), ""),
        way(format!("cutover check --online --provider {account}"), "Shows that the new one is accepted and until when.", ""),
    ];
    let mut letter = Letter::default();
    letter
        .part("What happened")
        .say(&format!(
            "{account} refused, at {}, to say when a key was used last: {}. The credential that cutover itself uses there is dead, \
             or may not ask this.",
            time(at),
            sentence(detail)
        ))
        .part("Where things stand")
        .say("The applications use the keys they have. Nobody is down because of this.")
        .part("What happens by itself")
        .say(
            "Rotations at this account go on as far as they can without it, and end no old key. It is asked again at each poll, and \
             everything goes on as soon as it answers. You are told daily.",
        );
    write_ways(&mut letter, &ways);
    draft.finish(letter, &ways, json!({ "account": account }))
}

/// A channel has not accepted anything since `since`, and there is something to tell.
#[must_use]
pub fn channel_failing(environment: &str, channel: &str, detail: &str, since: Stamp, at: Stamp) -> Composed {
    let channel = clean(channel);
    let day = at.since(since).0 / Span::DAY.0;
    let mut draft = draft(environment, "channel-failing", format!("{channel}.{}.day-{day}", since.0), "CHANNEL", at);
    draft.what = format!("{channel} accepts no alerts");
    draft.cause = channel.clone();
    draft.series = Some(Series { name: format!("channel/{channel}/{}", since.0), place: day });
    let ways = [
        way("", format!("Mend the other side, or [notify.{channel}] in the configuration, and reload."), ""),
        way("cutover check --online --send-test-alert", "Shows which channels accept an alert now.", "Everybody gets a test."),
    ];
    let mut letter = Letter::default();
    letter
        .part("What happened")
        .say(&format!(
            "The alert channel {channel} accepts nothing since {}, and there is something to tell. Last: {}.",
            beside(since, at),
            sentence(detail)
        ))
        .part("Where things stand")
        .say(&format!("Whoever reads only {channel} is not told. The rotations go on."))
        .part("What happens by itself")
        .say("cutover keeps every alert and tries again, at least every hour. What many policies share is then one message.");
    write_ways(&mut letter, &ways);
    draft.finish(letter, &ways, json!({ "channel": channel, "since": time(since) }))
}

/// A channel that was told as failing accepts alerts again.
#[must_use]
pub fn channel_recovered(environment: &str, channel: &str, since: Stamp, at: Stamp) -> Composed {
    let channel = clean(channel);
    let mut draft = draft(environment, "recovered", format!("channel.{channel}.{}", since.0), "RECOVERED", at);
    draft.what = format!("channel {channel} accepts alerts again");
    draft.cause = channel.clone();
    draft.series = Some(Series { name: format!("channel/{channel}/{}", since.0), place: i64::MAX });
    let mut letter = Letter::default();
    letter
        .part("What happened")
        .say(&format!("The alert channel {channel}, which accepted nothing since {}, accepts alerts again.", beside(since, at)))
        .part("What happens by itself")
        .say(
            "What waited for it is delivered now: one message for what many policies share, and one for all that is over by now. Should \
             it fail again within the hour, that is told when the hour is over and it still fails.",
        );
    draft.finish(letter, &[], json!({ "channel": channel, "since": time(since) }))
}

/// The clock stepped by `step` milliseconds against the boot clock: starts and revokes are frozen.
#[must_use]
pub fn clock_frozen(environment: &str, step: i64, at: Stamp) -> Composed {
    let mut draft = draft(environment, "held", format!("clock.{}", at.0), "CLOCK", at);
    draft.shared_stage = String::from("clock");
    draft.series = Some(Series { name: String::from("clock"), place: at.0 });
    draft.severity = Severity::Critical;
    let by = Span(step.saturating_abs());
    let way_it_went = if step < 0 { "back" } else { "forward" };
    draft.what = format!("stepped {by} {way_it_went}, nothing starts");
    let ways = [way(
        "cutover resume",
        "The time shown by date -u is right: goes on with it.",
        "If it is wrong, keys can be ended too early by it: mend the clock (NTP) first. It also lifts every suspend.",
    )];
    let mut letter = Letter::default();
    letter
        .part("What happened")
        .say(&format!("The machine's clock stepped {by} {way_it_went}. It now says {}.", time(at)))
        .part("Where things stand")
        .say("No rotation starts and no key is ended. What is under way is written, deployed and watched as before. Nobody is down because of this.")
        .part("Until when")
        .say("The clocks of the providers run on: open graces end at the times told before.")
        .part("What happens by itself")
        .say("If the clock comes back to within 5 minutes, cutover goes on by itself.");
    write_ways(&mut letter, &ways);
    draft.finish(letter, &ways, json!({ "step_ms": step }))
}

/// What was frozen for the clock goes on: a person has confirmed it (`by_hand`), or it is sane again.
#[must_use]
pub fn clock_thawed(environment: &str, by_hand: bool, at: Stamp) -> Composed {
    let mut draft = draft(environment, "recovered", format!("clock.{}", at.0), "RECOVERED", at);
    draft.shared_stage = String::from("clock");
    draft.severity = Severity::Critical;
    draft.series = Some(Series { name: String::from("clock"), place: at.0 });
    draft.what = String::from(if by_hand { "the clock is confirmed" } else { "the clock is sane again" });
    let why = if by_hand { "A person has confirmed the machine's clock" } else { "The machine's clock is sane again" };
    let mut letter = Letter::default();
    letter.part("What happened").say(&format!("{why}. It says {}.", time(at))).part("What happens by itself").say(
        "Rotations start and keys are ended again, as their dates and proofs allow. What was missed meanwhile is made up for.",
    );
    draft.finish(letter, &[], json!({}))
}

/// Outside of a rotation, targets hold a value that is not the one recorded as current.
#[must_use]
pub fn idle_drift(environment: &str, policy: &str, targets: &[String], at: Stamp) -> Composed {
    let day = at.0 / Span::DAY.0;
    let mut draft = draft(environment, "drift", format!("idle.day-{day}"), "DRIFT", at);
    draft.policy = Some(policy);
    draft.cause = String::from("idle");
    draft.series = Some(Series { name: format!("{policy}/drift"), place: day });
    let names: Vec<String> = targets.iter().map(|name| clean(name)).collect();
    draft.what =
        format!("somebody else wrote {}", if names.len() == 1 { names[0].clone() } else { counted(names.len(), "target") });
    draft.shared = String::from("somebody else wrote targets");
    let ways = [
        way("", format!("The value is wrong: put the recorded one back in {}. cutover sees it by itself.", listed(&names)), ""),
        way(
            format!("cutover adopt {policy} --from-target"),
            "The value is right: it counts as the key in use and as ours from now on.",
            "cutover may end that key once a new one is proven in use.",
        ),
    ];
    let hold = if names.len() == 1 { "holds" } else { "hold" };
    let mut letter = Letter::default();
    letter
        .part("What happened")
        .say(&format!(
            "{} {hold} a value that is not the one recorded as current: somebody else wrote it. Seen {}.",
            listed(&names),
            time(at)
        ))
        .part("Where things stand")
        .say("No rotation is under way. Whether the application is well with that value is not known.")
        .part("What happens by itself")
        .say("Nothing: cutover writes nothing over it. The next rotation does not begin while it is so. You are told daily.");
    write_ways(&mut letter, &ways);
    draft.finish(letter, &ways, json!({ "policy": policy, "targets": names }))
}

/// A reload was refused; the configuration loaded before stays.
#[must_use]
pub fn reload_refused(environment: &str, problems: &[String], at: Stamp) -> Composed {
    let mut draft = draft(environment, "held", format!("reload.{}", at.0), "RELOAD", at);
    draft.shared_stage = String::from("reload");
    draft.series = Some(Series { name: String::from("reload"), place: at.0 });
    draft.what = format!("refused, {}", counted(problems.len(), "problem"));
    let ways = [way("cutover check", "Shows all problems again. When it shows none, reload.", "")];
    let mut letter = Letter::default();
    letter.part("What happened").say(&format!("The configuration was not loaded at {}:", time(at)));
    for problem in problems.iter().take(PROBLEMS) {
        letter.entry(&clean(problem));
    }
    if problems.len() > PROBLEMS {
        letter.say(&format!("and {} more.", problems.len() - PROBLEMS));
    }
    letter
        .part("Where things stand")
        .say("The configuration loaded before stays in force, whole. Nobody is down because of this.")
        .part("What happens by itself")
        .say("Nothing: what was edited waits for a reload that is accepted.");
    write_ways(&mut letter, &ways);
    let shown: Vec<String> = problems.iter().take(PROBLEMS).map(|problem| clean(problem)).collect();
    draft.finish(letter, &ways, json!({ "problems": shown }))
}

/// An alert that was asked for, to see that it arrives.
#[must_use]
pub fn test_alert(environment: &str, at: Stamp) -> Composed {
    let mut draft = draft(environment, "test", at.0.to_string(), "TEST", at);
    draft.severity = Severity::Critical;
    draft.what = String::from("alerts arrive here");
    let mut letter = Letter::default();
    letter.part("What happened").say(&format!(
        "Somebody asked for a test alert at {}. Nothing is wrong. It is marked critical, so that every channel takes it.",
        time(at)
    ));
    draft.finish(letter, &[], json!({}))
}
