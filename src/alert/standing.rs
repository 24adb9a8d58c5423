//! Where things stand: which key the application uses, whether anybody is down, until when, and what happens by itself.

use cutover_machine::state::{Call, Layout, Leg, Phase, Proof, Rotation, Why};
use cutover_machine::{Span, Stamp};

use super::Matter;
use super::by_hand;
use super::ways::{new_key, old_key};
use super::words::{beside, counted, time};

/// The provider's clock runs on the old key, and the application has not been seen on the new one.
pub(super) fn clock_runs(matter: &Matter<'_>) -> bool {
    let machine = matter.machine;
    machine.clock_ends_old(matter.plan)
        && machine.old.is_some()
        && machine.cutover_at.is_none()
        && !machine.old_dead()
        && machine.grace.is_some()
}

/// The application is down, or may be.
pub(super) fn maybe_down(matter: &Matter<'_>) -> bool {
    let machine = matter.machine;
    let dead = machine.old_dead() && machine.cutover_at.is_none();
    let over = clock_runs(matter) && machine.grace.as_ref().is_some_and(|grace| grace.end <= matter.at);
    dead || over || switched_off_in_use(machine)
}

/// The old key is switched off and somebody uses it.
fn switched_off_in_use(machine: &Rotation) -> bool {
    let used = matches!(machine.held.as_ref().map(|held| &held.why), Some(Why::OldStillUsed { .. }));
    used && machine.retire.deactivated_at.is_some() && machine.retire.revoked_at.is_none()
}

/// Which key the application uses now, and whether anybody is down.
pub(super) fn in_use(matter: &Matter<'_>) -> String {
    let machine = matter.machine;
    let (old, new) = (old_key(matter), new_key(matter));
    if let Some(Why::Drift { .. }) = machine.held.as_ref().map(|held| &held.why) {
        return format!(
            "Which key the application uses is not known: it may read the foreign value. {}",
            anybody_down(matter, &old)
                .replace("nobody is down because of this", "cutover took none away")
                .replace("Nobody is down because of this", "cutover took no key away")
        );
    }
    if not_surveyed(machine) {
        return String::from("The application uses the key it has. Nobody is down because of this.");
    }
    let written = machine.leg.as_ref().filter(|leg| leg.touched || leg.number > 1);
    let uses = match written {
        _ if machine.cutover_at.is_some() => format!("The application uses {new}."),
        None if machine.old.is_none() => String::from("The application has no key yet: this is the policy's first."),
        None if machine.swapped => format!("The application uses {new}. No target ever held {old}."),
        None if machine.new.is_some() => format!("The application uses {old}. No target holds {new} yet; it is sealed here."),
        None => format!("The application uses {old}."),
        Some(leg) if leg.deployed_at.is_some() => {
            let proof = if leg.evidence(matter.plan) {
                "There is evidence that it is used."
            } else {
                "There is no evidence yet that it is used."
            };
            format!("Every target holds {new} and every hook is done. {proof}")
        }
        Some(leg) => half_way(matter, leg, &old, &new),
    };
    format!("{uses} {}", anybody_down(matter, &old)).trim().to_owned()
}

/// Nothing is known of the key in use yet.
const fn not_surveyed(machine: &Rotation) -> bool {
    machine.old.is_none() && machine.mint.intents == 0 && machine.mint.surveyed_at.0 == 0
}

/// Written or deployed in part.
fn half_way(matter: &Matter<'_>, leg: &Leg, old: &str, new: &str) -> String {
    let done = leg.written.iter().filter(|written| **written).count();
    if done == 0 && leg.number == 1 {
        return format!("No target is known to hold {new} yet. The application uses {old}.");
    }
    let beside = if leg.layout == Layout::During { ", beside the old one" } else { "" };
    let targets = format!("{new} is in {done} of {}{beside}", counted(leg.written.len(), "target"));
    match (matter.plan.hooks.len(), leg.hooks_done) {
        (0, _) => capital(&format!("{targets}. What has not read its target again uses {old}.")),
        (_, 0) if leg.number == 1 => capital(&format!("{targets}. No hook is done yet: the application uses {old}.")),
        (all, done) => {
            capital(&format!("{targets}; {done} of {} done. What has not been redeployed uses {old}.", counted(all, "hook")))
        }
    }
}

fn anybody_down(matter: &Matter<'_>, old: &str) -> String {
    let machine = matter.machine;
    if machine.old.is_none() {
        return String::new();
    }
    if let Some(off) = machine.retire.deactivated_at.filter(|_| switched_off_in_use(machine)) {
        let undo = if machine.retire.reactivate {
            "cutover switches it on again at once."
        } else {
            "This provider cannot switch it on again."
        };
        return format!(
            "{} is switched off since {}: WHAT STILL USES IT IS DOWN. {undo}",
            capital(old),
            beside(off, matter.at)
        );
    }
    if machine.old_dead() {
        return match machine.cutover_at {
            Some(_) => format!("{} is dead.", capital(old)),
            None => format!("{} is dead: WHAT STILL USES IT IS DOWN.", capital(old)),
        };
    }
    if machine.retire.ending {
        return format!("{} is being ended.", capital(old));
    }
    if maybe_down(matter) {
        return format!("{} may be dead by now: WHAT STILL USES IT MAY BE DOWN.", capital(old));
    }
    if machine.cutover_at.is_none() && written_both(machine) {
        return String::from("Both keys are accepted: nobody is down because of this.");
    }
    String::from("Nobody is down because of this.")
}

const fn written_both(machine: &Rotation) -> bool {
    matches!(&machine.leg, Some(leg) if leg.touched || leg.number > 1)
}

/// Until when the old key can be counted on.
pub(super) fn until(matter: &Matter<'_>) -> String {
    let machine = matter.machine;
    let old = capital(&old_key(matter));
    if not_surveyed(machine) {
        return String::from("No clock runs: nothing has happened.");
    }
    if machine.old.is_none() {
        return String::from("No clock runs: there is no old key.");
    }
    if let Some(said) = by_hand::until(matter) {
        return said;
    }
    if let Some(proof) = machine.retire.dead {
        let how = match proof {
            Proof::Refused => "it was presented and refused",
            Proof::Revoked => "the provider confirmed its revoke",
            Proof::Expired => "its end has passed by the provider's clock",
            Proof::AtMint => "the mint itself ends it",
            Proof::Said => "a person said that they have ended it",
        };
        return format!("{old} is dead: {how}.");
    }
    if let Some(revoked_at) = machine.retire.revoked_at {
        return format!("{old} was revoked {}; that it is dead is not seen yet.", beside(revoked_at, matter.at));
    }
    if machine.clock_ends_old(matter.plan) { by_the_clock(matter, &old) } else { by_us(matter, &old) }
}

fn by_the_clock(matter: &Matter<'_>, old: &str) -> String {
    let machine = matter.machine;
    let told = machine.old.as_ref().and_then(|key| key.expires_at);
    if machine.cutover_at.is_some() {
        return match told {
            Some(end) => format!("The provider ends {} at {}.", lower(old), beside(end, matter.at)),
            None => format!("The provider ends {} by its own clock; it did not say when.", lower(old)),
        };
    }
    let Some(grace) = &machine.grace else {
        return format!("No clock runs: no new key was made, and {} stays accepted.", lower(old));
    };
    if grace.end <= matter.at {
        return format!(
            "The grace ended {}. {old} was accepted until then at least; whether it still is, is not known.",
            beside(grace.end, matter.at)
        );
    }
    let sure = match (told, machine.new.is_some()) {
        (Some(_), _) => "That is what the provider said.",
        (None, true) => "The provider did not say how long it lives: this is the earliest it can end.",
        (None, false) => "If a key was made, this is the earliest it can end; if none was made, it lives on.",
    };
    format!("{old} is accepted until {} at least. {sure}", beside(grace.end, matter.at))
}

fn by_us(matter: &Matter<'_>, old: &str) -> String {
    let machine = matter.machine;
    let mut said = if matter.plan.ended_by_hand() {
        format!("No clock runs: {} is accepted until a person ends it.", lower(old))
    } else if machine.old_is_ours {
        format!("No clock runs: {} is accepted until cutover ends it, which needs evidence for the new key first.", lower(old))
    } else {
        format!("No clock runs: {} is accepted until somebody ends it. It is not ours, so cutover never does.", lower(old))
    };
    if machine.phase == Phase::Closed {
        said = format!("No clock runs: {} is accepted until somebody ends it.", lower(old));
    }
    if let Some(end) = machine.old.as_ref().and_then(|key| key.expires_at) {
        said = format!("The provider ends {} by itself at {}.", lower(old), beside(end, matter.at));
    }
    if let Some(grace) = machine.grace.as_ref().filter(|_| machine.cutover_at.is_none()) {
        let tense = if grace.end <= matter.at { "ended" } else { "ends" };
        said.push_str(&format!(" The grace of this policy, a deadline for people, {tense} {}.", beside(grace.end, matter.at)));
    }
    said
}

/// What happens by itself, and when.
pub(super) fn by_itself(matter: &Matter<'_>) -> String {
    let machine = matter.machine;
    if machine.phase == Phase::Closed {
        return String::from("Nothing: this rotation is closed.");
    }
    let mut said = match &machine.held {
        Some(held) if matches!(held.why, Why::Credential(_)) => format!(
            "cutover looks every minute whether another credential is there, and goes on with it at once. The present one is tried \
             again too, {}, then at least every hour.",
            next_try(matter)
        ),
        Some(held) if held.why.retries() => tries_again(matter),
        Some(held) if held.why == Why::Doubt => in_doubt(matter),
        Some(_) if machine.retire.reactivate => {
            String::from("cutover switches the old key on again. Then it waits for a person.")
        }
        Some(_) => String::from("Nothing: it waits for a person."),
        None => by_hand::waits(matter).unwrap_or_else(|| goes_on(matter)).to_owned(),
    };
    if let Some(held) = &machine.held {
        said.push_str(&format!(" You are told again at {} if it is still held.", time(held.told_at.plus(Span::DAY))));
    }
    if let Some(next) = next_threshold(matter) {
        said.push_str(&next);
    }
    said
}

fn next_try(matter: &Matter<'_>) -> String {
    match matter.machine.call {
        Call::Ready { not_before, .. } if not_before > matter.at => format!("next {}", beside(not_before, matter.at)),
        _ => String::from("now"),
    }
}

fn tries_again(matter: &Matter<'_>) -> String {
    let machine = matter.machine;
    let mut said =
        format!("cutover tries again, {}, then at least every hour, and goes on when it succeeds.", next_try(matter));
    if let (Some(leg), Some(grace)) = (&machine.leg, &machine.grace)
        && clock_runs(matter)
        && !leg.early
        && leg.written.iter().any(|written| *written)
        && !leg.all_written()
        && grace.at(75) > matter.at
    {
        said.push_str(&format!(
            " If a target is still missing at {}, what is written is deployed then, so that only what is missing goes down.",
            beside(grace.at(75), matter.at)
        ));
    }
    said
}

/// The one thing that a doubt still settles by itself, where the machine does it.
fn in_doubt(matter: &Matter<'_>) -> String {
    match cutover_machine::due(matter.machine, matter.plan, cutover_machine::Now::open(matter.at)) {
        cutover_machine::Due::Call(_) => dead_look("now"),
        _ => match sees_death_at(matter) {
            Some(at) => dead_look(&format!("at {}", beside(at, matter.at))),
            None => {
                String::from("Nothing: nothing more can be looked at, and cutover never mints in doubt. It waits for a person.")
            }
        },
    }
}

fn dead_look(when: &str) -> String {
    format!(
        "cutover presents the old key {when}. If it is refused, a key was made and its value is lost: then, and only then, another \
         is minted, once."
    )
}

/// When the machine, held in doubt, presents the old key by itself; asked of the machine with its reminders taken away.
fn sees_death_at(matter: &Matter<'_>) -> Option<Stamp> {
    let mut quiet = matter.machine.clone();
    quiet.grace = None;
    if let Some(held) = &mut quiet.held {
        held.told_at = Stamp(i64::MAX - Span::DAY.0);
    }
    match cutover_machine::due(&quiet, matter.plan, cutover_machine::Now::open(matter.at)) {
        cutover_machine::Due::Ask(_, at) if at < Stamp(i64::MAX - 1) => Some(at),
        _ => None,
    }
}

const fn goes_on(matter: &Matter<'_>) -> &'static str {
    match matter.machine.phase {
        Phase::Preflight => "cutover checks everything again and begins once all is well.",
        Phase::Mint => "cutover goes on with the new key.",
        Phase::Doubt => "cutover looks whether a key was made. Where that cannot be known it holds and tells you.",
        Phase::Stage => "cutover goes on writing the new key to the targets.",
        Phase::Deploy => "cutover goes on with the hooks.",
        Phase::Observe => "cutover watches until there is evidence for the new key and the old one is quiet.",
        Phase::Settle => "cutover brings the targets to the layout with the new key only, and watches again.",
        Phase::Retire => "cutover ends the old key once that is safe, or waits for the provider's clock.",
        Phase::Closed => "Nothing: this rotation is closed.",
    }
}

fn next_threshold(matter: &Matter<'_>) -> Option<String> {
    let machine = matter.machine;
    let grace = machine.grace.as_ref()?;
    if machine.cutover_at.is_some() || machine.old.is_none() || machine.old_dead() {
        return None;
    }
    let ahead = matter.plan.thresholds.iter().filter(|percent| grace.at(**percent) > matter.at);
    let next = ahead.min()?;
    Some(format!(" Without a cutover you are told again at {next} % of the grace, {}.", time(grace.at(*next))))
}

/// The first letter large.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn lower(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
