//! The ways out of where a rotation stands. What the machine would refuse is never offered: each order is tried on it first.

use cutover_machine::event::{Event, Order};
use cutover_machine::plan::{ReRotate, VerifyKind};
use cutover_machine::state::{End, Phase, Why};
use cutover_machine::{Due, Now, Question, Span, decide, due};
use serde::{Deserialize, Serialize};

use super::Matter;
use super::by_hand;
use super::standing::clock_runs;

/// One way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// The command to paste; empty where it is done outside cutover.
    pub command: String,
    /// What it does, one or two sentences.
    pub does: String,
    /// What it costs; empty where it costs nothing.
    pub costs: String,
}

/// A way and the order that the machine must take for it.
struct Offer {
    order: Option<Order>,
    way: Way,
}

/// The ways out of where the rotation stands now, the best first. Empty where there is nothing to decide.
#[must_use]
pub fn ways(matter: &Matter<'_>) -> Vec<Way> {
    let offers = match &matter.machine.held {
        _ if matter.machine.phase == Phase::Closed => closed(matter),
        Some(held) => match &held.why {
            Why::Drift { targets } => drift(matter, targets),
            why => held_ways(matter, why),
        },
        None => running(matter),
    };
    offers.into_iter().filter(|offer| taken(matter, offer.order.as_ref())).map(|offer| offer.way).collect()
}

fn taken(matter: &Matter<'_>, order: Option<&Order>) -> bool {
    let Some(order) = order else { return true };
    decide(Event::Ordered(order.clone()), matter.machine, matter.plan, Now::open(matter.at)).is_ok()
}

/// A command about this rotation.
fn command(matter: &Matter<'_>, verb: &str, flags: &str) -> String {
    let space = if flags.is_empty() { "" } else { " " };
    format!("cutover {verb} {}{space}{flags} --rotation {}", matter.policy, matter.rotation)
}

fn outside(does: impl Into<String>) -> Offer {
    Offer { order: None, way: Way { command: String::new(), does: does.into(), costs: String::new() } }
}

fn resume(matter: &Matter<'_>, does: impl Into<String>, costs: impl Into<String>) -> Offer {
    let way = Way { command: command(matter, "resume", ""), does: does.into(), costs: costs.into() };
    Offer { order: Some(Order::Resume), way }
}

fn held_ways(matter: &Matter<'_>, why: &Why) -> Vec<Offer> {
    let account = matter.account;
    let mut offers = match why {
        Why::Credential(_) => vec![outside(renewal(account))],
        _ => Vec::new(),
    };
    offers.push(match why {
        Why::Credential(_) => resume(matter, "Once it is there: tries now instead of within a minute.", ""),
        Why::Preflight(_) => resume(matter, "Once the check above is mended: checks everything again now and goes on.", ""),
        Why::MintRefused(_) => {
            let does = format!("Once {account} would accept it: checks everything again and asks for a new key once more.");
            resume(matter, does, "")
        }
        Why::Doubt => resume(matter, "Makes every look again and goes on if one settles it. Never mints in doubt.", ""),
        Why::Candidates(_) => {
            let does = format!(
                "Once you have deleted at {account}, by id, those of the keys above that nobody uses: looks again and goes on. \
                 Never mints in doubt."
            );
            resume(matter, does, "Deleting a key that somebody uses takes it away from them. Look at its last use first.")
        }
        Why::SameKey => resume(matter, "Looks again whether a new key was made. Never mints in doubt.", ""),
        Why::NewKeyRefused => resume(matter, "Presents the new key again and goes on if it is accepted now.", ""),
        Why::Store { .. } => {
            let does = "Once the store takes writes: writes now instead of waiting for the next try.";
            resume(matter, does, "")
        }
        Why::Hook { .. } => resume(
            matter,
            "Once the hook is repaired: runs it again, with the hooks of the configuration loaded now, and goes on.",
            "",
        ),
        Why::HookUnknown { .. } => resume(
            matter,
            "Once you have seen whether it ran: runs the hook again and goes on.",
            "If the hook did run, it runs a second time.",
        ),
        Why::Drift { .. } => resume(matter, "Reads the targets again and goes on.", ""),
        Why::OldStillUsed { .. } => resume(
            matter,
            "Once you have found and changed the place that still uses the old key: counts quiet anew and goes on. If the old \
             key is used again later, it holds again.",
            format!("At least {} more of waiting before the old key is ended.", matter.plan.quiet),
        ),
        Why::Retire(_) => resume(matter, "Tries to end the old key again now.", ""),
        Why::OldStillAccepted => resume(matter, "Presents the old key again now.", ""),
        Why::Look(_) => resume(matter, "Once the credential may do this: looks again now and goes on.", ""),
    });
    if matches!(why, Why::OldStillAccepted | Why::Retire(_)) {
        offers.push(outside(format!("Or revoke the old key by hand at {account}, by its id. cutover sees that it is dead.")));
    }
    offers.push(submit(matter));
    offers.push(mint_again(matter));
    offers.push(abandon(matter));
    offers.extend(support(matter, why));
    offers
}

/// Where another credential comes from.
pub(super) fn renewal(account: &str) -> String {
    format!(
        "Get a new credential at {account} and put it where [provider.{account}] credential points. It is read at each use: nothing \
         needs a restart."
    )
}

fn drift(matter: &Matter<'_>, targets: &[u32]) -> Vec<Offer> {
    let places: Vec<String> = targets.iter().map(|place| target(matter, *place)).collect();
    let places = super::words::listed(&places);
    let adopt = Way {
        command: command(matter, "adopt", "--from-target"),
        does: String::from(
            "The value that stands there is known and may be replaced: goes on and writes this rotation's key over it.",
        ),
        costs: String::from("The value that stands there now is written over. The key behind it is not ended."),
    };
    vec![
        resume(
            matter,
            format!("Put the value back in {places} first. Then this reads the targets again and goes on."),
            "What runs on the foreign value now changes with it.",
        ),
        Offer { order: Some(Order::Resume), way: adopt },
        emergency(matter),
        abandon(matter),
    ]
}

/// The order that writes over whatever stands in a target.
fn emergency(matter: &Matter<'_>) -> Offer {
    let way = Way {
        command: format!("cutover rotate {} --emergency --reason TEXT", matter.policy),
        does: String::from("If the key is compromised: cuts it off, makes another and writes that over whatever stands there."),
        costs: String::from("What uses the old key is down until it has read the new one. It is told before it acts."),
    };
    Offer { order: None, way }
}

/// Not held: what a person may still decide.
fn running(matter: &Matter<'_>) -> Vec<Offer> {
    let due = due(matter.machine, matter.plan, Now::open(matter.at));
    let asks_retire = matches!(due, Due::Ask(Question::ConfirmRetire, _));
    let mut offers = Vec::new();
    if matter.machine.phase == Phase::Mint && by_hand::waits_for_key(matter.machine, matter.plan) {
        offers.push(submit(matter));
    }
    if matter.machine.phase == Phase::Observe {
        let way = Way {
            command: command(matter, "confirm", ""),
            does: String::from("You have seen the application use the new key: goes on without waiting for the evidence."),
            costs: String::from(if matter.machine.clock_ends_old(matter.plan) {
                "If it is not so, nobody is told again before the provider ends the old key."
            } else {
                "Nothing is ended by it. Before the old key goes, evidence is asked for again."
            }),
        };
        if matter.plan.verifies.iter().any(|verify| verify.kind != VerifyKind::Confirm) {
            offers.push(outside("Restart by hand what does not use the new key yet. It is seen at the next poll."));
        }
        offers.push(Offer { order: Some(Order::Confirm), way });
    }
    if asks_retire || (matter.machine.phase == Phase::Retire && matter.plan.ended_by_hand()) {
        let (does, costs) = by_hand::confirm_retire(matter);
        let way = Way { command: command(matter, "confirm", "--retire"), does, costs };
        offers.push(Offer { order: Some(Order::ConfirmRetire), way });
    }
    if !matches!(matter.machine.phase, Phase::Preflight) {
        offers.push(abandon(matter));
    }
    offers
}

fn closed(matter: &Matter<'_>) -> Vec<Offer> {
    if matter.machine.end != Some(End::OldLeft) {
        return Vec::new();
    }
    vec![outside(format!("Leave it: nothing waits for you. Or revoke it by hand at {} once nobody uses it.", matter.account))]
}

fn submit(matter: &Matter<'_>) -> Offer {
    let (order, way) = by_hand::submit(matter);
    Offer { order: Some(order), way }
}

fn mint_again(matter: &Matter<'_>) -> Offer {
    let way = Way {
        command: command(matter, "resume", "--mint-again"),
        does: format!("Asks {} for another key. The one that may have been made is given up as lost.", matter.account),
        costs: mint_again_costs(matter),
    };
    Offer { order: Some(Order::MintAgain), way }
}

/// What dies by a further mint.
fn mint_again_costs(matter: &Matter<'_>) -> String {
    if matter.machine.old.is_none() {
        return String::from("The key that may have been made can stay alive at the provider until somebody deletes it there.");
    }
    if matter.machine.old_dead() {
        return String::from("Nothing more dies: the old key is dead already.");
    }
    let old = old_key(matter);
    let down = downtime(matter);
    match matter.plan.provider.declares.re_rotate {
        ReRotate::DropsOlder => {
            format!("If the first call did make a key, {old}, which is in use, dies AT ONCE: the application is down {down}.")
        }
        ReRotate::Destroys => format!(
            "If the first call did make a key, {old}, which is in use, can die AT ONCE, and so does the key that was made: the \
             application is down {down}."
        ),
        ReRotate::KeepsAll => String::from(
            "No key dies. The key that may have been made stays alive at the provider until somebody deletes it there.",
        ),
        ReRotate::Refused => {
            String::from("No key dies. If the first call did make a key, the provider refuses this one, and it is held again.")
        }
        ReRotate::Idempotent => format!(
            "The provider does not say what a further mint ends. Reckon with {old}, which is in use, dying AT ONCE: the \
             application is down {down}."
        ),
    }
}

/// For how long the application is down when its key dies at the mint.
fn downtime(matter: &Matter<'_>) -> String {
    let hooks = matter.plan.hooks.iter().fold(Span::ZERO, |sum, hook| sum.plus(hook.timeout));
    let targets = match matter.plan.targets.len() {
        0 | 1 => String::from("the target is"),
        many => format!("all {many} targets are"),
    };
    let read = if matter.plan.hooks.is_empty() {
        String::from("read again")
    } else {
        format!("redeployed (the hooks may take up to {hooks})")
    };
    let mut said = format!("until {targets} written and {read}");
    if let Some(grace) = matter.machine.grace.as_ref().filter(|grace| clock_runs(matter) && grace.end > matter.at) {
        said.push_str(&format!(
            ". Choose a quiet hour before {}: if a key was made, the old one dies then anyway",
            super::words::time(grace.end)
        ));
    }
    said
}

fn abandon(matter: &Matter<'_>) -> Offer {
    let machine = matter.machine;
    let account = matter.account;
    let unmade = machine.new.is_none() && !machine.mint.received && !machine.mint.to_read;
    let written = machine.leg.as_ref().is_some_and(|leg| leg.number > 1 || leg.touched);
    let (does, costs) = match machine.phase {
        Phase::Mint if by_hand::waits_for_key(machine, matter.plan) => (
            format!(
                "Closes this rotation. If you have made a key at {account} already, end it there by hand, or hand it in instead."
            ),
            String::from("The key is not rotated before its next date."),
        ),
        _ if matter.plan.ended_by_hand() && machine.new.is_some() => by_hand::abandon(matter, written),
        Phase::Preflight | Phase::Mint if unmade => (
            String::from("Closes this rotation. No new key was made, and the key in use stays."),
            String::from("The key is not rotated before its next date."),
        ),
        Phase::Doubt => (
            format!("Looks once more, gives up the key that {account} may have made, and closes this rotation."),
            String::from("The key is not rotated before its next date."),
        ),
        _ if written => (
            String::from(
                "Goes back: writes the key from before to every target, redeploys, and ends the new key once that is proven.",
            ),
            String::from("The application is redeployed once more, and the key is not rotated before its next date."),
        ),
        _ => (
            format!("Gives the new key up at {account}. No target ever held it, and the key in use stays."),
            String::from("The key is not rotated before its next date."),
        ),
    };
    Offer { order: Some(Order::Abandon), way: Way { command: command(matter, "abandon", ""), does, costs } }
}

/// Whom to ask where nothing that cutover can do is sure to help.
fn support(matter: &Matter<'_>, why: &Why) -> Option<Offer> {
    let support = matter.plan.support.as_ref()?;
    let asks = match why {
        Why::Doubt | Why::Candidates(_) | Why::SameKey => "whether a key was made, and until when the old one lives",
        Why::NewKeyRefused => "why the new key is refused",
        Why::MintRefused(_) => "why no new key is made",
        Why::Retire(_) | Why::OldStillAccepted => "to end the old key",
        _ => return None,
    };
    Some(outside(format!("Or ask {}: {asks}.", super::words::clean(support))))
}

/// A target's name, or its number where the plan has changed.
pub(super) fn target(matter: &Matter<'_>, place: u32) -> String {
    let named = usize::try_from(place).ok().and_then(|place| matter.targets.get(place));
    named.map_or_else(|| format!("target {}", place.saturating_add(1)), |name| super::words::clean(name))
}

/// A hook in words, or its number where the plan has changed.
pub(super) fn hook(matter: &Matter<'_>, place: u32) -> String {
    let named = usize::try_from(place).ok().and_then(|place| matter.hooks.get(place));
    named.map_or_else(|| format!("hook {}", place.saturating_add(1)), |name| super::words::clean(name))
}

/// The key that is to go, named so that people find it at the provider.
pub(super) fn old_key(matter: &Matter<'_>) -> String {
    named(if matter.machine.swapped { "the key made by this rotation" } else { "the old key" }, matter.old_key)
}

/// The key that is to be in use.
pub(super) fn new_key(matter: &Matter<'_>) -> String {
    named(if matter.machine.swapped { "the key from before" } else { "the new key" }, matter.new_key)
}

fn named(role: &str, found_by: &str) -> String {
    if found_by.is_empty() { role.to_owned() } else { format!("{role} ({})", super::words::clean(found_by)) }
}
