//! One policy as the page shows it.

use cutover_api::{Span, Stamp};

use super::when::{Moment, distance, given, moment, moment_in};
use super::year::{Strip, strip};
use crate::alert::Way;
use crate::cli::words::short;
use crate::engine::{AT_WORK, PolicyStatus, Suspended};
use crate::web::{Chronicle, Picture};

/// The phases as a path; a doubt stands where the mint is.
const PATH: [&str; 7] = ["preflight", "mint", "stage", "deploy", "observe", "settle", "retire"];

/// One step of the path.
pub(super) struct Step {
    /// Its phase.
    pub label: &'static str,
    /// `past`, `now` or `next`.
    pub state: &'static str,
}

/// How much of the grace is left.
pub(super) struct Grace {
    /// In percent, from 0 to 100.
    pub left: i64,
    /// In words: `12h left`.
    pub words: String,
    /// When it ends, in UTC and in the policy's zone where that is another.
    pub end: Moment,
    /// The end in the policy's zone.
    pub local: Option<String>,
}

/// The next date.
pub(super) struct Due {
    /// When.
    pub at: Moment,
    /// `in 12d`.
    pub distance: String,
    /// It has passed.
    pub late: bool,
}

/// Why it waits for a person.
pub(super) struct Hold {
    /// The stable label.
    pub why: String,
    /// What happened.
    pub detail: String,
    /// Since when.
    pub since: Option<Moment>,
    /// `3h ago`.
    pub ago: String,
    /// It is tried again by itself.
    pub retries: bool,
}

/// One policy.
pub(super) struct Entry<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its provider.
    pub provider: &'a str,
    /// `held`, `open` or `idle`.
    pub state: &'static str,
    /// Its phase.
    pub phase: &'a str,
    /// What it does now or waits for.
    pub what: String,
    /// The path, while a rotation is under way.
    pub steps: Vec<Step>,
    /// How old the key in use is.
    pub age: String,
    /// The rotation under way, or the last one.
    pub rotation: Option<&'a String>,
    /// The fingerprint of the key in use.
    pub fingerprint: Option<&'a String>,
    /// The provider's id of the key in use.
    pub key_id: Option<&'a String>,
    /// The next date.
    pub due: Option<Due>,
    /// What is left of the grace.
    pub grace: Option<Grace>,
    /// Why it waits for a person.
    pub held: Option<Hold>,
    /// Lifecycle `manual`: what a person does to make the new key.
    pub ask: Option<&'a String>,
    /// No new rotation is started: until when, by whom, why.
    pub suspended: Option<String>,
    /// What a person may do.
    pub ways: &'a [Way],
    /// The last year; none, where the history could not be read.
    pub year: Option<Strip>,
}

impl<'a> Entry<'a> {
    /// A policy of the picture.
    pub(super) fn new(status: &'a PolicyStatus, picture: &'a Picture, year: Result<&Chronicle, &String>) -> Self {
        let now = picture.at;
        let zone = picture.zones.get(&status.policy);
        let idle = status.phase == "idle";
        let held = status.held.as_ref().map(|held| {
            let since = given(Some(&held.since));
            Hold {
                why: held.why.clone(),
                detail: held.detail.clone(),
                since: since.map(moment),
                ago: since.map(|since| short(now.since(since))).unwrap_or_default(),
                retries: held.retries,
            }
        });
        Self {
            name: &status.policy,
            provider: &status.provider,
            state: if held.is_some() {
                "held"
            } else if idle {
                "idle"
            } else {
                "open"
            },
            phase: &status.phase,
            what: what(status),
            steps: if idle { Vec::new() } else { steps(&status.phase) },
            age: status.age_seconds.map_or_else(|| "not known".to_owned(), |age| short(Span::seconds(age))),
            rotation: status.rotation.as_ref(),
            fingerprint: status.fingerprint.as_ref(),
            key_id: status.key_id.as_ref(),
            due: given(status.next_due.as_ref()).map(|due| Due {
                at: moment_in(due, zone),
                distance: distance(due, now),
                late: due < now,
            }),
            grace: given(status.grace_end.as_ref()).map(|end| grace(status, end, now, zone)),
            ways: status.held.as_ref().map_or(&status.ways, |held| &held.ways),
            held,
            ask: status.ask.as_ref(),
            suspended: status.suspended.as_ref().map(suspended),
            year: strip(status, year, now),
        }
    }
}

fn suspended(one: &Suspended) -> String {
    let until = given(Some(&one.until)).map_or_else(|| one.until.clone(), |until| moment(until).words);
    let reason = one.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!("Suspended: no rotation is started until {until}, by {}{reason}", one.by)
}

fn grace(status: &PolicyStatus, end: Stamp, now: Stamp, zone: Option<&String>) -> Grace {
    let left = (100 - status.grace_percent.unwrap_or_default()).clamp(0, 100);
    let words = if end > now {
        format!("{} left ({left} %)", short(end.since(now)))
    } else {
        format!("over for {}", short(now.since(end)))
    };
    let (utc, local) = (moment(end), moment_in(end, zone));
    let local = Some(local.words).filter(|words| *words != utc.words);
    Grace { left, words, end: utc, local }
}

fn steps(phase: &str) -> Vec<Step> {
    let phase = if phase == "doubt" { "mint" } else { phase };
    let now = PATH.iter().position(|step| *step == phase).unwrap_or_default();
    let state = |n: usize| match n.cmp(&now) {
        std::cmp::Ordering::Less => "past",
        std::cmp::Ordering::Equal => "now",
        std::cmp::Ordering::Greater => "next",
    };
    PATH.iter().enumerate().map(|(n, label)| Step { label, state: state(n) }).collect()
}

/// What it does now, or what it waits for.
fn what(status: &PolicyStatus) -> String {
    match status.waits_for.as_deref() {
        None | Some(AT_WORK | "nothing") => doing(&status.phase).to_owned(),
        Some(waits) => format!("It waits for {waits}"),
    }
}

/// What a phase does.
fn doing(phase: &str) -> &'static str {
    match phase {
        "preflight" => "It checks that everything is ready; nothing has happened yet",
        "mint" => "It asks the provider for the new key",
        "doubt" => "It is not known whether a new key was made",
        "stage" => "It writes the new key to where it is read",
        "deploy" => "It makes the application read the new key",
        "observe" => "It looks for evidence that the new key is in use",
        "settle" => "It takes the old key out of the places it is read from",
        "retire" => "It ends the old key",
        _ => "Nothing is under way",
    }
}
