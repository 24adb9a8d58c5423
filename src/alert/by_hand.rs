//! What people are told where a person makes or ends a key by hand, and where a date waits because a person put it off.

use cutover_api::{Severity, Stamp};
use cutover_machine::Rotation;
use cutover_machine::event::Order;
use cutover_machine::manual::Handed;
use cutover_machine::plan::{Lifecycle, Plan};
use cutover_machine::state::{Key, Phase};
use serde_json::json;

use super::Matter;
use super::draft::{Composed, Draft, write_ways};
use super::told::Told;
use super::ways::{Way, old_key};
use super::words::{Letter, beside, clean, one_line, time};

/// A person makes the key, and has not handed one in yet.
pub(super) fn waits_for_key(machine: &Rotation, plan: &Plan) -> bool {
    plan.provider.lifecycle == Lifecycle::Manual && machine.new.is_none()
}

/// The policy needs a new key, and a person makes it.
pub(super) fn make_it(matter: &Matter<'_>) -> Told {
    let account = clean(matter.account);
    let ask = one_line(matter.ask);
    let ask = if ask.is_empty() { format!("Make a new key at {account}, beside the one in use.") } else { ask };
    Told {
        shared: String::new(),
        what: String::from("make the new key by hand"),
        happened: format!(
            "It is time for a new key, and {account} has no call for it: a person makes it and hands it in. Everything else has been checked, \
             and nothing has happened yet. {ask}"
        ),
        // Each has instructions of its own: many are never told as one.
        cause: format!("{account}/submit/{}", matter.policy),
    }
}

/// The new key is in use, and a person ends the old one.
pub(super) fn end_it(matter: &Matter<'_>) -> Told {
    let account = clean(matter.account);
    let mut happened = format!(
        "The new key alone stands in every target and is in use. {account} has no call that ends a key: end {} there by hand, then say so.",
        old_key(matter)
    );
    if !matter.machine.use_exposed(matter.plan) {
        happened
            .push_str(" Nothing shows here whether anybody still uses it: look at its last use there first, if it is shown.");
    }
    Told {
        shared: String::new(),
        what: String::from("end the old key by hand"),
        happened,
        cause: format!("{account}/end-by-hand/{}", matter.policy),
    }
}

/// `submit`, where a key can be handed in: by whoever made it, or found it after a reply was lost.
pub(super) fn submit(matter: &Matter<'_>) -> (Order, Way) {
    let verbs = matter.plan.provider.verbs;
    let manual = matter.plan.provider.lifecycle == Lifecycle::Manual;
    let clock = matter.machine.old.is_some() && matter.plan.provider_ends_old();
    let mut command = format!("cutover submit {}", matter.policy);
    if verbs.new_id {
        command.push_str(" --id ID");
    }
    if clock && manual {
        command.push_str(" --old-expires-at TIME");
    }
    command.push_str(&format!(" --rotation {}", matter.rotation));
    let (does, costs) = if manual {
        let end = if clock {
            "TIME is the end of the old key as the dashboard shows it: alerts count on it."
        } else {
            "The old key stays as it is until you are asked to end it."
        };
        (
            format!(
                "You have made the key: asks for its value without showing it, then writes it to every target and redeploys. {end}"
            ),
            String::from("The redeploy begins at once, also outside of the policy's window."),
        )
    } else {
        (
            format!(
                "You have the value of the key that {} made after all: asks for it without showing it, then goes on with it as if the \
                 answer had come.",
                clean(matter.account)
            ),
            String::from(
                "If you made it by rotating once more, the key in use may be dead by that already: it is written and deployed at once.",
            ),
        )
    };
    let handed = Handed {
        key: Key { id: Some(String::from("?")), fingerprint: String::from("?"), expires_at: None },
        old_expires_at: clock.then_some(matter.at),
    };
    (Order::Submit(handed), Way { command, does, costs })
}

/// What giving up costs, where a person ends the key that was made.
pub(super) fn abandon(matter: &Matter<'_>, written: bool) -> (String, String) {
    let account = clean(matter.account);
    if written {
        (
            format!(
                "Goes back: writes the key from before to every target, redeploys, and asks you to end the new key at {account} once that is \
                 proven."
            ),
            String::from("The application is redeployed once more, and the key is not rotated before its next date."),
        )
    } else {
        (
            format!("Asks you to end the new key at {account}. No target ever held it, and the key in use stays."),
            String::from("The key is not rotated before its next date."),
        )
    }
}

/// What `confirm --retire` says here.
pub(super) fn confirm_retire(matter: &Matter<'_>) -> (String, String) {
    if !matter.plan.ended_by_hand() {
        return (
            String::from("Nobody uses the old key any more: it is ended."),
            String::from("Whatever still uses the old key is refused from then on."),
        );
    }
    let seen = if matter.plan.provider.verbs.probe && matter.plan.provider.declares.negative_probe {
        "cutover presents it once more, to see it refused."
    } else {
        "Your word is what is recorded: nothing else can tell."
    };
    (
        format!("You have ended {} at {} by hand. {seen}", old_key(matter), clean(matter.account)),
        String::from("What you ended is ended: whatever still used it is refused. Do not say it before you have done it."),
    )
}

/// What happens by itself while a person is waited for.
pub(super) fn waits(matter: &Matter<'_>) -> Option<&'static str> {
    match matter.machine.phase {
        Phase::Mint if waits_for_key(matter.machine, matter.plan) => {
            Some("Nothing: it waits for the new key, as long as it takes. You are told again daily.")
        }
        Phase::Retire if matter.plan.ended_by_hand() && !matter.machine.clock_ends_old(matter.plan) => Some(
            "cutover watches the targets and the evidence, and waits for a person to end the old key. You are told again daily.",
        ),
        _ => None,
    }
}

/// Until when, before the key is there.
pub(super) fn until(matter: &Matter<'_>) -> Option<String> {
    if matter.machine.phase != Phase::Mint || !waits_for_key(matter.machine, matter.plan) || matter.machine.old.is_none() {
        return None;
    }
    Some(if matter.plan.provider_ends_old() {
        String::from(
            "No clock runs before the new key is made. From that moment on the old key's time runs out: hand the new one in at once.",
        )
    } else {
        format!("No clock runs: {} is accepted until a person ends it.", old_key(matter))
    })
}

/// A date has come while the policy is suspended; it is run at `will_run` at the latest.
#[must_use]
pub fn overdue_suspended(
    environment: &str,
    policy: &str,
    was_due: Stamp,
    until: (Stamp, &str),
    will_run: Stamp,
    at: Stamp,
) -> Composed {
    let (until, by) = until;
    let draft = Draft {
        kind: "overdue",
        stage: format!("{}.suspended.{}", was_due.0, until.0),
        shared_stage: String::from("suspended"),
        severity: Severity::Warning,
        environment,
        policy: Some(policy),
        rotation: None,
        word: String::from("OVERDUE"),
        what: format!("due now, suspended until {}", time(until)),
        shared: String::from("due now, suspended"),
        cause: String::new(),
        series: None,
        at,
    };
    let way = |command: String, does: &str, costs: &str| Way { command, does: does.to_owned(), costs: costs.to_owned() };
    let ways = [
        way(
            format!("cutover resume {policy}"),
            "Lifts the suspension: the rotation runs at the next opening of its window.",
            "",
        ),
        way(format!("cutover rotate {policy}"), "Orders this one rotation by hand, now. The suspension stays.", ""),
    ];
    let mut letter = Letter::default();
    letter
        .part("What happened")
        .say(&format!(
            "The rotation of policy {policy} was due {}. It is suspended until {}, by {}.",
            beside(was_due, at),
            beside(until, at),
            clean(by)
        ))
        .part("Where things stand")
        .say("The application uses the key it has. Nobody is down because of this.")
        .part("What happens by itself")
        .say(&format!("It runs {}. A missed date is never skipped.", beside(will_run, at)));
    write_ways(&mut letter, &ways);
    let facts =
        json!({ "policy": policy, "was_due": time(was_due), "suspended_until": time(until), "will_run": time(will_run) });
    draft.finish(letter, &ways, facts)
}
