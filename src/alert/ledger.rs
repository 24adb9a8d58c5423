//! Messages about the ledger and about the daemon that cannot go on without it.

use cutover_api::{Severity, Span, Stamp};
use serde_json::json;

use super::draft::{Composed, Series, write_ways};
use super::plain::{draft, way};
use super::told::sentence;
use super::words::{Letter, beside, time};

/// The ledger is older than the one that was in use here: nothing is done on its word.
#[must_use]
pub fn ledger_behind(environment: &str, at: Stamp) -> Composed {
    let mut draft = draft(environment, "held", format!("ledger.{}", at.0), "LEDGER", at);
    draft.severity = Severity::Critical;
    draft.what = String::from("is older than it was, nothing goes on");
    let ways = [way(
        "cutover resume",
        "Goes on with what this ledger says. It also lifts every suspend and takes the clock as right.",
        "Rotations that are not in it have happened all the same: a key that it takes for the one in use may be ended already, and where a \
         provider keeps only two keys a further mint ends the one in use. Look first: `cutover keys` and the provider's console.",
    )];
    let mut letter = Letter::default();
    letter
        .part("What happened")
        .say("The ledger holds less than the one that was in use at the same place before: it was restored from a copy, or its end was lost with a disk.")
        .part("Where things stand")
        .say("Nothing starts, and what was under way does not go on: no key is made, written or ended. Emergencies are answered. Nobody is down because of this.")
        .part("Until when")
        .say("Graces that are open run on at the providers, those that this ledger does not know among them.")
        .part("What happens by itself")
        .say("Nothing. `cutover keys` shows the providers' keys beside the ledger's, `cutover check --online` whether the targets hold what is recorded.");
    write_ways(&mut letter, &ways);
    draft.finish(letter, &ways, json!({}))
}

/// The ledger's disk has no room, or cannot be written, since `since`; `detail` is the ledger's own sentence.
#[must_use]
pub fn ledger_no_room(environment: &str, detail: &str, since: Stamp, at: Stamp) -> Composed {
    let day = at.since(since).0 / Span::DAY.0;
    let mut draft = draft(environment, "held", format!("room.{}.day-{day}", since.0), "LEDGER", at);
    draft.shared_stage = String::from("room");
    draft.series = Some(Series { name: String::from("room"), place: day });
    draft.severity = Severity::Critical;
    draft.what = String::from("cannot be written, or will soon not be");
    let ways = [
        way("", "Make room on that disk, or make it writable again. cutover sees it within a minute.", ""),
        way("cutover status", "Shows what is under way, and which graces end when.", ""),
    ];
    let mut letter = Letter::default();
    letter
        .part("What happened")
        .say(&format!("Since {} the ledger is short of what it needs: {}.", beside(since, at), sentence(detail)))
        .part("Where things stand")
        .say("No rotation begins. What is under way goes on as long as each step can be written down before it is taken, and holds still where it cannot. Nobody is down because of this.")
        .part("Until when")
        .say("Graces that are open run on at the providers. Alerts about them cannot be kept while nothing can be written: look at the status yourself.")
        .part("What happens by itself")
        .say("Everything goes on as soon as there is room. Until then you are told daily.");
    write_ways(&mut letter, &ways);
    draft.finish(letter, &ways, json!({ "since": time(since) }))
}

/// The ledger can be written again.
#[must_use]
pub fn ledger_has_room(environment: &str, since: Stamp, at: Stamp) -> Composed {
    let mut draft = draft(environment, "recovered", format!("room.{}", since.0), "RECOVERED", at);
    draft.shared_stage = String::from("room");
    draft.series = Some(Series { name: String::from("room"), place: i64::MAX });
    draft.severity = Severity::Critical;
    draft.what = String::from("the ledger has room again");
    let mut letter = Letter::default();
    letter
        .part("What happened")
        .say(&format!("The ledger, which was short of room since {}, can be written again.", beside(since, at)))
        .part("What happens by itself")
        .say("Everything goes on. What was missed meanwhile is made up for, and what could not be told is told now.");
    draft.finish(letter, &[], json!({ "since": time(since) }))
}

/// The daemon has ended by itself, or could not begin; `detail` says over what. Told without the ledger, so at most once a day.
#[must_use]
pub fn daemon_ended(environment: &str, detail: &str, at: Stamp) -> Composed {
    let mut draft = draft(environment, "held", format!("daemon.{}", at.0), "DAEMON", at);
    draft.shared_stage = String::from("daemon");
    draft.severity = Severity::Critical;
    draft.what = String::from("cutover does not run");
    let ways = [
        way("systemctl status cutover", "Shows whether it runs again.", ""),
        way("journalctl -u cutover -n 50", "Shows what it says at each try.", ""),
        way(
            "",
            "A ledger that is damaged or gone: stop cutover, put a copy in its place that `cutover ledger copy` made, start it.",
            "What came after the copy is not in it. cutover says so, and waits for `cutover resume`.",
        ),
    ];
    let mut letter = Letter::default();
    letter
        .part("What happened")
        .say(&format!("At {} cutover ended by itself, or could not begin: {}.", time(at), sentence(detail)))
        .part("Where things stand")
        .say("Nothing was sent that was not written down before, and nothing is lost that was. The applications use the keys they have.")
        .part("Until when")
        .say("Graces that are open run on at the providers, and nobody is told of them while cutover does not run.")
        .part("What happens by itself")
        .say("systemd starts it again and again, and it goes on from what is written as soon as it can. You are told of this once a day, at most.");
    write_ways(&mut letter, &ways);
    draft.finish(letter, &ways, json!({}))
}
