//! What must hold when a history has come to rest.

use cutover_machine::event::{Event, Order};
use cutover_machine::plan::ListBy;
use cutover_machine::state::{End, Phase};
use cutover_machine::{Rotation, decide};

use super::must;
use super::sending::contents;
use crate::engine::{Record, Sim, Turned, number};
use crate::world::keys::Maker;
use crate::world::places::Content;
use crate::world::{Value, World};

/// At rest: closed and right, or held with a way out.
pub fn at_rest(sim: &Sim) -> Turned {
    if sim.record.rotation.phase == Phase::Closed { closed(sim) } else { held(sim) }
}

/// It waits for a person: at least one order takes it on.
fn held(sim: &Sim) -> Turned {
    let rotation = &sim.record.rotation;
    if sim.waits_by_a_wrong_clock() || sim.oracle.excuses.restored {
        // A person has said that a wrong clock is right, and it waits by that clock; or what it knows is not what was done.
        return Ok(());
    }
    // An emergency's report stands open until everything is accounted for.
    let asks = rotation.held.is_some()
        || rotation.asked_at.is_some()
        || rotation.unproven_told_at.is_some()
        || rotation.emergency.is_some();
    let state = || format!("{:?} {:?}", rotation.phase, rotation.held);
    must(asks, "I13 every rotation ends or is held", state)?;
    let orders = [Order::Resume, Order::MintAgain, Order::Abandon, Order::Confirm, Order::ConfirmRetire, Order::AdoptOld];
    let taken = |order: &Order| decide(Event::Ordered(order.clone()), rotation, &sim.record.plan, sim.now()).is_ok();
    let cut = Order::Emergency(cutover_machine::emergency::EmergencyOrder::CutFirst, Vec::new());
    let urgent = rotation.emergency.is_some() && taken(&cut);
    // Given up for a key that somebody else put there and that nobody accepts: evidence for it never comes, and only they can help.
    let hopeless = rotation.swapped && sim.record.first.is_some_and(|first| first >= crate::world::FOREIGN);
    let manual = urgent || hopeless || super::sending::by_hand(&sim.record);
    must(manual || orders.iter().any(taken), "M21 a hold has a way out", state)
}

fn closed(sim: &Sim) -> Turned {
    let (rotation, world, record) = (&sim.record.rotation, &sim.world, &sim.record);
    let excuses = &sim.oracle.excuses;
    if excuses.restored {
        return Ok(());
    }
    let new = rotation.new.as_ref().and_then(|new| number(&new.fingerprint));
    let touched = excuses.meddled.is_some() || excuses.stale || excuses.lied;
    let began = rotation.end != Some(End::Abandoned) || rotation.legs > 0;
    let settled = Content { key: new, ..Content::default() };
    let exact = world.targets.iter().all(|target| target.content == settled);
    must(exact || touched || !began || new.is_none(), "P1 at rest the targets hold the new key alone", || {
        format!("they hold {:?}, the new key is {new:?}", contents(world))
    })?;
    let lives = new.is_none_or(|new| world.lives(new));
    let hurt = excuses.misnamed || excuses.lied || excuses.wrong_word || excuses.mint_ordered;
    must(lives || hurt || !began, "I1 at rest the key in use lives", || format!("{new:?}"))?;
    old_is_dead(sim, rotation, world, record)?;
    orphans(sim, new)?;
    let stood = new.filter(|new| sim.oracle.compromised.contains(new));
    let excused = excuses.lied || excuses.misnamed || excuses.adopted_targets;
    must(stood.is_none() || excused, "P10 what stood in a target when the cut was ordered is replaced", || {
        format!("{stood:?} stood there and is in use")
    })?;
    emergency(sim, rotation, new)
}

fn old_is_dead(sim: &Sim, rotation: &Rotation, world: &World, record: &Record) -> Turned {
    if rotation.end != Some(End::Done) || rotation.emergency.is_some() {
        return Ok(());
    }
    let old = super::sending::old_key(record);
    let alive = old.is_some_and(|old| world.lives(old));
    let excuses = &sim.oracle.excuses;
    let excused = excuses.lied || excuses.misnamed || excuses.wrong_word || excuses.stepped;
    must(!alive || excused, "P2 done means that the old key is dead", || format!("{old:?} lives"))
}

/// I6: where keys of ours can be found by name, none is left over.
fn orphans(sim: &Sim, new: Option<Value>) -> Turned {
    let plan = &sim.record.plan;
    let findable =
        plan.provider.declares.list == ListBy::Name && plan.provider.verbs.revoke && !plan.provider.verbs.revoke_needs_secret;
    let excuses = &sim.oracle.excuses;
    let excused = excuses.misnamed
        || excuses.lied
        || excuses.unnoticed_step()
        || sim.oracle.ordered_mints()
        || sim.record.rotation.emergency.is_some();
    if !findable || excused || sim.oracle.excuses.wrong_word || plan.provider_ends_old() {
        return Ok(());
    }
    let left = |key: &Value| {
        let ours = matches!(sim.world.keys[*key].maker, Maker::Us(1..));
        ours && sim.world.lives(*key) && Some(*key) != new && Some(*key) != sim.record.first && Some(*key) != sim.policy.current
    };
    let left: Vec<Value> = (0..sim.world.keys.len()).filter(left).collect();
    must(left.is_empty(), "I6 no orphan is left", || format!("{left:?} live and nobody uses them"))
}

/// I18: every older key is dead, or said not to be.
fn emergency(sim: &Sim, rotation: &Rotation, new: Option<Value>) -> Turned {
    let Some(emergency) = &rotation.emergency else { return Ok(()) };
    let excuses = &sim.oracle.excuses;
    let ours = |key: &Value| {
        !matches!(sim.world.keys[*key].maker, Maker::Human | Maker::Elder)
            || sim.policy.known.iter().any(|(known, ..)| known == key)
    };
    let alive: Vec<Value> =
        (0..sim.world.keys.len()).filter(|key| sim.world.lives(*key) && Some(*key) != new && ours(key)).collect();
    let open: Vec<Value> = emergency
        .cut
        .iter()
        .filter(|cut| cut.dead.is_none())
        .filter_map(|cut| cut.key.id.as_deref().and_then(number))
        .collect();
    let nameless = emergency.cut.iter().filter(|cut| cut.key.id.is_none()).count();
    let unsaid: Vec<&Value> = alive.iter().filter(|key| !open.contains(key)).collect();
    let excused = excuses.lied || excuses.misnamed || excuses.stepped;
    must(unsaid.len() <= nameless + sim.lost_before || excused, "I18 every older key is accounted for", || {
        format!("{unsaid:?} live and nobody was told; the cut set is {:?}", emergency.cut)
    })
}
