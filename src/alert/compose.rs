//! From a step's facts to messages.

use cutover_api::{Severity, Stamp};
use cutover_machine::event::Fact;
use cutover_machine::state::{End, Phase, Why};
use cutover_machine::{Question, Span};
use serde_json::{Value, json};

use super::Matter;
use super::by_hand;
use super::draft::{Composed, Draft, Series, write_ways};
use super::standing::{by_itself, clock_runs, in_use, maybe_down, until};
use super::told::{self, Told, sentence};
use super::ways::{Way, old_key, ways};
use super::words::{Letter, beside, clean};

/// From this part of the grace on somebody must look now.
const LATE: u8 = 75;

/// The message that a fact of this step is told with; `None` for facts that wake nobody.
#[must_use]
pub fn message(matter: &Matter<'_>, fact: &Fact) -> Option<Composed> {
    match fact {
        Fact::Held { why } => Some(held(matter, why, None)),
        Fact::StillHeld { why, since } => Some(held(matter, why, Some(*since))),
        // A doubt that ended in the same step is told by what it ended in.
        Fact::InDoubt { detail, decide_at } if matter.machine.phase == Phase::Doubt && matter.machine.held.is_none() => {
            Some(in_doubt(matter, detail, *decide_at))
        }
        Fact::GraceEnding { percent, end } => Some(grace_ending(matter, *percent, *end)),
        Fact::GraceEnded { end } => Some(grace_ended(matter, *end)),
        Fact::Waiting { question } => Some(waiting(matter, *question)),
        Fact::Recovered { why } => Some(recovered(matter, why)),
        Fact::Closed { end: End::OldLeft } => Some(old_left(matter)),
        _ => None,
    }
}

fn draft<'a>(matter: &Matter<'a>, kind: &'static str, stage: String, shared: String, told: Told) -> Draft<'a> {
    Draft {
        kind,
        stage,
        shared_stage: shared,
        severity: Severity::Warning,
        environment: matter.environment,
        policy: Some(matter.policy),
        rotation: Some(matter.rotation),
        word: kind.to_uppercase().replace('-', " "),
        what: told.what,
        shared: told.shared,
        cause: told.cause,
        series: None,
        at: matter.at,
    }
}

/// How bad a rotation that does not go on is.
fn severity(matter: &Matter<'_>) -> Severity {
    if clock_runs(matter) || maybe_down(matter) { Severity::Critical } else { Severity::Warning }
}

/// The parts that every message about a rotation has after what happened.
fn finish(draft: Draft<'_>, matter: &Matter<'_>, happened: &str, ways: &[Way]) -> Composed {
    let mut letter = Letter::default();
    letter.part("What happened").say(happened);
    letter.part("Where things stand").say(&in_use(matter)).say(&place(matter));
    letter.part("Until when").say(&until(matter));
    letter.part("What happens by itself").say(&by_itself(matter));
    write_ways(&mut letter, ways);
    draft.finish(letter, ways, facts(matter))
}

fn place(matter: &Matter<'_>) -> String {
    format!(
        "Policy {}, rotation {}, phase {}. Begun {} by {}.",
        matter.policy,
        matter.rotation,
        matter.machine.phase.label(),
        beside(matter.machine.opened_at, matter.at),
        clean(matter.actor)
    )
}

fn facts(matter: &Matter<'_>) -> Value {
    let machine = matter.machine;
    let at = |stamp: Option<Stamp>| stamp.map(super::words::rfc3339);
    let old_end = machine.old.as_ref().and_then(|key| key.expires_at);
    json!({
        "policy": matter.policy,
        "rotation": matter.rotation,
        "account": matter.account,
        "actor": clean(matter.actor),
        "phase": machine.phase.label(),
        "why": machine.held.as_ref().map(|held| held.why.label()),
        "held_since": at(machine.held.as_ref().map(|held| held.since)),
        "grace_end": at(machine.grace.as_ref().map(|grace| grace.end)),
        "grace_end_ms": machine.grace.as_ref().filter(|_| clock_runs(matter)).map(|grace| grace.end.0),
        "old_key": clean(matter.old_key),
        "old_key_ends": at(old_end),
        "new_key": clean(matter.new_key),
        "targets": matter.targets,
        "maybe_down": maybe_down(matter),
    })
}

fn held(matter: &Matter<'_>, why: &Why, still: Option<Stamp>) -> Composed {
    let since = still.or_else(|| matter.machine.held.as_ref().map(|held| held.since)).unwrap_or(matter.at);
    let days = matter.at.since(since).0 / Span::DAY.0;
    let told = told::why(matter, why);
    let kind = match why {
        _ if still.is_some() => "held",
        Why::Doubt | Why::Candidates(_) => "doubt",
        Why::Drift { .. } => "drift",
        Why::Credential(_) => "credential-expiring",
        _ => "held",
    };
    let label = why.label();
    let (stage, shared, happened) = match still {
        None => (format!("{label}.{}", since.0), label.to_owned(), told.happened.clone()),
        Some(_) => (
            format!("{label}.{}.day-{days}", since.0),
            format!("{label}.day-{days}"),
            format!("Still held, since {}. {}", beside(since, matter.at), told.happened),
        ),
    };
    let mut draft = draft(matter, kind, stage, shared, told);
    draft.severity = severity(matter);
    draft.series = Some(hold_series(matter, why, since.0.saturating_add(days)));
    if still.is_some() {
        draft.word = String::from("STILL HELD");
    } else if matches!(why, Why::Credential(_)) {
        draft.word = String::from("CREDENTIAL");
    }
    finish(draft, matter, &happened, &ways(matter))
}

/// It is not held, and goes no further without a person.
fn waiting(matter: &Matter<'_>, question: Question) -> Composed {
    let (what, label) = match question {
        Question::Confirm => ("is the new key in use?", "confirm"),
        Question::ConfirmRetire => ("may the old key be ended?", "confirm-retire"),
        Question::NoEvidence => ("no evidence that the new key alone is in use", "no-evidence"),
        Question::Submit => ("make the new key by hand", "submit"),
        Question::Held => ("a person is needed", "held"),
    };
    let by_hand = match question {
        Question::Submit => Some(by_hand::make_it(matter)),
        Question::ConfirmRetire if matter.plan.ended_by_hand() => Some(by_hand::end_it(matter)),
        _ => None,
    };
    let happened = match question {
        Question::Confirm => {
            "Every target holds the new key and every redeploy is done. This policy asks a person whether the application uses it."
        }
        Question::ConfirmRetire => {
            "The new key is in use. Nothing shows whether anybody still uses the old one, and ending it cannot be undone: a person must say so."
        }
        Question::NoEvidence if matter.machine.old.is_none() || matter.machine.clock_ends_old(matter.plan) => {
            "More than a day has passed since the last redeploy, and what shows that the new key is in use does not hold. Nothing more happens \
             until it does."
        }
        Question::NoEvidence => {
            "More than a day has passed since the last redeploy, and what shows that the new key alone is in use does not hold, or the old key \
             is not quiet. The old key is kept until it does."
        }
        Question::Submit | Question::Held => "It waits for a person.",
    };
    let day = matter.at.0 / Span::DAY.0;
    let leg = matter.machine.leg.as_ref().map_or(0, |leg| leg.number);
    let stage = format!("waiting.{label}.{leg}.day-{day}");
    let told = by_hand.unwrap_or(Told {
        shared: String::new(),
        what: String::from(what),
        happened: String::from(happened),
        cause: format!("{}/{label}", clean(matter.account)),
    });
    let happened = told.happened.clone();
    let mut draft = draft(matter, "held", stage.clone(), stage, told);
    draft.severity = Severity::Warning;
    draft.word = String::from("WAITING");
    finish(draft, matter, &happened, &ways(matter))
}

fn in_doubt(matter: &Matter<'_>, detail: &str, decide_at: Stamp) -> Composed {
    let account = clean(matter.account);
    let asked = matter.machine.mint.intent.as_ref().map_or(matter.at, |intent| intent.at);
    let told = Told {
        shared: String::new(),
        what: String::from("a new key may have been made"),
        happened: String::new(),
        cause: format!("{account}/{}", clean(detail)),
    };
    let happened = format!(
        "cutover asked {account} for a new key at {} and got no usable answer: {}. Whether a key was made is not known. The same \
         request is not sent again.",
        beside(asked, matter.at),
        sentence(detail)
    );
    let since = matter.machine.doubt.since;
    let mut draft = draft(matter, "doubt", format!("looking.{}", since.0), String::from("looking"), told);
    let mut letter = Letter::default();
    letter.part("What happened").say(&happened);
    letter.part("Where things stand").say(&in_use(matter)).say(&place(matter));
    letter.part("Until when").say(&until(matter));
    let begins = if decide_at > matter.at {
        format!("The first call can still land until {}. Nothing is decided before.", beside(decide_at, matter.at))
    } else {
        String::new()
    };
    letter.part("What happens by itself").say(&format!("{begins} {}", by_itself(matter)));
    letter.part("What you can do").say("Nothing is needed now. You are told when it is settled or a person is needed.");
    letter.command(&format!("cutover status {}", matter.policy)).note("", "Shows where it stands.");
    draft.severity = Severity::Warning;
    draft.finish(letter, &[], facts(matter))
}

/// A hold, its daily repetitions and its end are one series: what comes later says more.
fn hold_series(matter: &Matter<'_>, why: &Why, place: i64) -> Series {
    Series { name: format!("{}/{}/held/{}", matter.policy, matter.rotation, why.label()), place }
}

fn grace_series(matter: &Matter<'_>, place: i64) -> Series {
    let from = matter.machine.grace.as_ref().map_or(0, |grace| grace.from.0);
    Series { name: format!("{}/{}/grace/{from}", matter.policy, matter.rotation), place }
}

/// What a rotation without a cutover waits for.
fn waits_for(matter: &Matter<'_>) -> Told {
    let missing = match &matter.machine.held {
        Some(held) => return told::why(matter, &held.why),
        None => match matter.machine.phase {
            Phase::Preflight | Phase::Mint => "the new key is not in hand yet",
            Phase::Doubt => "whether a new key was made is not known yet",
            Phase::Stage => "not every target holds the new key yet",
            Phase::Deploy => "not every hook is done yet",
            _ => "there is no evidence yet that the application uses the new key",
        },
    };
    let verifies = match matter.machine.phase {
        Phase::Observe => format!("; asked: {}", super::words::listed(matter.verifies)),
        _ => String::new(),
    };
    Told {
        shared: String::new(),
        what: missing.to_owned(),
        happened: format!("{}{verifies}.", super::standing::capital(missing)),
        cause: format!("{}/{}", clean(matter.account), matter.machine.phase.label()),
    }
}

fn grace_ending(matter: &Matter<'_>, percent: u8, end: Stamp) -> Composed {
    let waits = waits_for(matter);
    let happened = format!(
        "{percent} % of the grace for {} is over, and there is no cutover yet. It ends {}. {}",
        old_key(matter),
        beside(end, matter.at),
        waits.happened
    );
    let from = matter.machine.grace.as_ref().map_or(0, |grace| grace.from.0);
    let mut draft = draft(matter, "grace-ending", format!("{percent}.{from}"), percent.to_string(), waits);
    draft.word = format!("GRACE {percent} %");
    draft.severity = if percent >= LATE && clock_runs(matter) { Severity::Critical } else { severity_of_early(matter) };
    draft.series = Some(grace_series(matter, i64::from(percent)));
    finish(draft, matter, &happened, &ways(matter))
}

/// Before it is late, only what is held already wakes somebody.
fn severity_of_early(matter: &Matter<'_>) -> Severity {
    if matter.machine.held.is_some() { severity(matter) } else { Severity::Warning }
}

fn grace_ended(matter: &Matter<'_>, end: Stamp) -> Composed {
    let waits = waits_for(matter);
    let happened =
        format!("The grace for {} ended {} without a cutover. {}", old_key(matter), beside(end, matter.at), waits.happened);
    let from = matter.machine.grace.as_ref().map_or(0, |grace| grace.from.0);
    let mut draft = draft(matter, "grace-ended", format!("end.{from}"), String::from("end"), waits);
    draft.severity = severity(matter);
    draft.series = Some(grace_series(matter, 101));
    finish(draft, matter, &happened, &ways(matter))
}

fn recovered(matter: &Matter<'_>, why: &Why) -> Composed {
    let told = told::why(matter, why);
    let was = told.what.clone();
    let happened =
        format!("It was held because: {was}. That is over by itself. The rotation goes on; nothing is asked of you.");
    let label = why.label();
    let stage = format!("{label}.{}", matter.at.0);
    let shared = if told.shared.is_empty() { String::new() } else { format!("was: {}", told.shared) };
    let told = Told { what: format!("was: {was}"), shared, ..told };
    let mut draft = draft(matter, "recovered", stage, label.to_owned(), told);
    // Where nobody was told of the trouble yet, its end says it all.
    draft.series = Some(hold_series(matter, why, matter.at.0));
    // Whoever was told of the trouble is told of its end.
    let made = matter.machine.mint.intents > 0 && matter.machine.clock_ends_old(matter.plan) && matter.machine.old.is_some();
    let pressing = made && !matches!(why, Why::Retire(_) | Why::OldStillAccepted | Why::Preflight(_) | Why::Credential(_));
    draft.severity = if pressing { Severity::Critical } else { Severity::Warning };
    finish(draft, matter, &happened, &[])
}

fn old_left(matter: &Matter<'_>) -> Composed {
    let old = old_key(matter);
    let told = Told {
        shared: String::new(),
        what: String::from("the old key is left alive"),
        happened: String::new(),
        cause: clean(matter.account),
    };
    let happened = format!(
        "The rotation is done: the new key is proven in use. But cutover neither made {old} nor was told to adopt it, so it did \
         not end it. It lives on. Nothing waits for you, and this is told once."
    );
    let mut draft = draft(matter, "held", String::from("old-left"), String::from("old-left"), told);
    draft.word = String::from("OLD KEY LEFT");
    finish(draft, matter, &happened, &ways(matter))
}
