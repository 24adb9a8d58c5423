//! An order to cut comes: what it joins, what it supersedes, and which keys are in its cut set.

use cutover_machine::emergency::{Cut, EmergencyOrder};
use cutover_machine::event::{Event, Fact, Order};
use cutover_machine::plan::{GraceOffer, Lifecycle};
use cutover_machine::state::{Call, Key, MintIntent, Phase, Proof, Why};
use cutover_machine::{Effect, Rotation, Span, Stamp};

use super::fixture::{START, Walk, at, cut_set, held, key, ours, plan, standing, the_cut, urgent};

use EmergencyOrder::{CutFirst, DeployFirst};

fn order(walk: &mut Walk, order: EmergencyOrder, known: Vec<Cut>) {
    walk.say(Event::Ordered(Order::Emergency(order, known)));
}

/// The set is every key known not to be dead and the one in use before; the new key is not in it; what is known of a key is kept.
#[test]
fn the_cut_set_is_every_key_but_the_new_one() {
    let plan = plan();
    let mut rotation = standing(Phase::Mint, &plan);
    (rotation.new, rotation.old_is_sealed) = (Some(key("new")), true);
    let mut walk = Walk::from(rotation, &plan);
    let unnamed = Cut { key: Key { id: None, ..key("old") }, ..Cut::new(key("old"), false) };
    order(&mut walk, DeployFirst, vec![ours("older"), unnamed, ours("new")]);
    assert_eq!(cut_set(&walk.rotation), ["older", "old"]);
    let old = the_cut(&walk.rotation, 1);
    assert_eq!((old.ours, old.sealed, old.dead), (true, true, None), "it is ours: the rotation knows");
    order(&mut walk, CutFirst, vec![ours("older"), ours("oldest")]);
    assert_eq!(cut_set(&walk.rotation), ["older", "old", "oldest"], "none twice");
    let unnamed = Some(Key { id: None, ..key("old") });
    let theirs = Rotation { old_is_ours: false, old: unnamed, ..standing(Phase::Mint, &plan) };
    let mut walk = Walk::from(theirs, &plan);
    order(&mut walk, DeployFirst, vec![ours("old")]);
    assert_eq!(cut_set(&walk.rotation), ["old"], "the ledger knows its name");
    let old = the_cut(&walk.rotation, 0);
    assert_eq!((old.ours, old.sealed), (true, false), "the ledger knows that it is ours");
}

/// That a mint ends the old key is what the definition says; where it can be presented it is seen.
#[test]
fn what_a_mint_should_have_ended_is_seen_dead_where_it_can_be() {
    for (probe, dead, ended) in [(true, None, Some(START)), (false, Some(Proof::AtMint), None)] {
        let mut plan = plan();
        plan.provider.declares.negative_probe = probe;
        let mut rotation = standing(Phase::Stage, &plan);
        (rotation.old_is_sealed, rotation.retire.dead) = (true, Some(Proof::AtMint));
        let mut walk = Walk::from(rotation, &plan);
        order(&mut walk, DeployFirst, Vec::new());
        let cut = the_cut(&walk.rotation, 0);
        assert_eq!((cut.dead, cut.ended_at), (dead, ended));
    }
}

/// The key of a lost mint is to be cut off too; where the provider's clock ends what a mint replaces, the next mint ends it.
#[test]
fn the_key_of_a_lost_mint_is_to_be_cut_off_too() {
    for (lifecycle, end) in [(Lifecycle::Overlap, None), (Lifecycle::Grace, Some(at(60).at.plus(Span::hours(24))))] {
        let mut plan = plan();
        plan.provider.lifecycle = lifecycle;
        let mut rotation = standing(Phase::Mint, &plan);
        rotation.mint.lost = true;
        let mut walk = Walk::from(rotation, &plan);
        let unread = Cut::new(Key { fingerprint: String::new(), ..key("older") }, true);
        let unnamed = Cut::new(Key { id: None, ..key("oldest") }, true);
        order(&mut walk, DeployFirst, vec![unread, unnamed]);
        assert_eq!(cut_set(&walk.rotation), ["older", "?", "old", "?"]);
        walk.calls(Effect::Mint);
        let ends = [0, 1, 2, 3].map(|place| the_cut(&walk.rotation, place).key.expires_at);
        assert_eq!(ends, [None, None, None, end], "{lifecycle:?}: only the key that nobody has seen");
    }
}

/// What is under way: a mint and a hook go on by themselves, anything else is waited for; what is held is held no more.
#[test]
fn an_order_joins_what_is_under_way() {
    let plan = plan();
    let flying = |effect: Effect| {
        let deadline = at(60).at;
        Rotation { call: Call::Flying { effect, since: START, deadline }, failures: 3, ..standing(Phase::Mint, &plan) }
    };
    let event = || Event::Ordered(Order::Emergency(CutFirst, Vec::new()));
    let hook = Effect::Hook { hook: 0, layout: cutover_machine::state::Layout::Settled, leg: 1 };
    for (effect, taken, flies) in [
        (Effect::Mint, true, true),
        (Effect::Replay, true, true),
        (hook, true, false),
        (Effect::Revoke, false, true),
        (Effect::Write { target: 0, layout: cutover_machine::state::Layout::Settled }, false, true),
    ] {
        let mut walk = Walk::from(flying(effect.clone()), &plan);
        assert_eq!(walk.tried(event()).is_ok(), taken, "{effect:?}");
        if taken {
            walk.say(event());
            assert_eq!(matches!(walk.rotation.call, Call::Flying { .. }), flies, "{effect:?}");
            assert_eq!(walk.rotation.failures, 0);
        }
    }
    let mut walk = Walk::from(held(Phase::Mint, Why::MintRefused(String::from("no")), &plan), &plan);
    walk.at(Span::MINUTE).say(event());
    assert_eq!((walk.why(), walk.rotation.resumed_at), (None, at(60).at));
    assert_eq!(walk.facts, [Fact::Ordered { order: String::from("rotate --emergency=cut-first") }]);
}

/// What stands in a target may be known to whoever has the old key: cut first supersedes it; deploy first finishes it, then replaces it.
#[test]
fn a_staged_key_is_superseded_by_cutting_first() {
    let plan = plan();
    let mut staged = standing(Phase::Observe, &plan);
    (staged.mint.accepted, staged.mint.lost, staged.retire.provider_skew) = (true, true, Some(7));
    staged.cutover_at = Some(START);
    let mut walk = Walk::from(staged.clone(), &plan);
    order(&mut walk, CutFirst, Vec::new());
    let next = &walk.rotation;
    assert_eq!(cut_set(next)[..2], ["old", "?"], "and the key of the lost mint");
    assert!(cut_set(next).contains(&String::from("new")));
    assert_eq!((next.phase, next.old.clone(), next.new.clone(), next.leg.clone()), (Phase::Mint, Some(key("new")), None, None));
    assert_eq!((next.grace.clone(), next.cutover_at, next.mint.superseded), (None, None, 1));
    assert_eq!((next.mint.accepted, next.mint.lost, next.mint.surveyed_at), (false, false, Stamp(0)));
    assert_eq!((next.old_is_ours, next.old_is_sealed, next.retire.provider_skew), (true, true, Some(7)));
    assert_eq!(walk.facts.last(), Some(&Fact::Superseded { swapped: false }));
    for (order_, phase, is_staged) in [(DeployFirst, Phase::Observe, true), (DeployFirst, Phase::Mint, false)] {
        let mut walk = Walk::from(if phase == Phase::Mint { standing(phase, &plan) } else { staged.clone() }, &plan);
        order(&mut walk, order_, Vec::new());
        assert_eq!(walk.rotation.phase, phase);
        assert_eq!(walk.rotation.emergency.as_ref().map(|emergency| emergency.staged), Some(is_staged));
    }
    let mut again = staged.clone();
    (again.leg.as_mut().expect("a leg").touched, again.leg.as_mut().expect("a leg").number) = (false, 2);
    assert!(again.is_written(), "an earlier leg may have been written");
    // In hand, in a leg, and in no target yet: it is the emergency's, written settled at once.
    let mut unwritten = standing(Phase::Stage, &plan);
    unwritten.leg.as_mut().expect("a leg").touched = false;
    assert!(!unwritten.is_written() && staged.is_written());
    let mut walk = Walk::from(unwritten, &plan);
    order(&mut walk, CutFirst, Vec::new());
    assert_eq!((walk.rotation.phase, walk.rotation.new.clone(), walk.rotation.legs), (Phase::Stage, Some(key("new")), 1));
}

/// While the roles are swapped the key from before is compromised too, and need not be ours.
#[test]
fn an_order_while_it_is_abandoned() {
    let plan = plan();
    for (known_as_ours, unused) in [(true, false), (false, false), (true, true)] {
        let is_ours = known_as_ours;
        let mut swapped = standing(Phase::Stage, &plan);
        swapped.swapped = true;
        if unused {
            (swapped.phase, swapped.leg, swapped.retire.unused) = (Phase::Retire, None, true);
        }
        let mut walk = Walk::from(swapped, &plan);
        assert!(walk.tried(Event::Ordered(Order::Emergency(DeployFirst, Vec::new()))).is_err(), "it waits for the end");
        order(&mut walk, CutFirst, vec![Cut::new(key("new"), known_as_ours)]);
        assert_eq!((walk.rotation.swapped, walk.rotation.old_is_ours), (false, is_ours));
        assert_eq!(walk.facts.last(), Some(&Fact::Superseded { swapped: true }));
    }
}

/// The shortest grace is asked for where the keys are cut first; what the last mint asked for counts once there was one.
#[test]
fn cutting_first_asks_for_the_shortest_grace() {
    let mut plan = plan();
    plan.provider.declares.grace = Some(GraceOffer::Range { min: Span::HOUR, max: Span::DAY, unit: Span::HOUR });
    let rotation = standing(Phase::Mint, &plan);
    let cut = urgent(rotation.clone(), CutFirst, Vec::new());
    let deploy = urgent(rotation.clone(), DeployFirst, Vec::new());
    assert_eq!([&rotation, &deploy, &cut].map(|rotation| rotation.grace_to_ask(&plan)), [Span::DAY, Span::DAY, Span::HOUR]);
    assert_eq!(cut.grace_asked(&plan), Span::HOUR);
    let mut minted = cut;
    minted.mint.intent = Some(MintIntent { at: START, deadline: START, grace: Span::MINUTE });
    assert_eq!(minted.grace_asked(&plan), Span::MINUTE);
    plan.provider.declares.grace = None;
    assert_eq!(urgent(rotation, CutFirst, Vec::new()).grace_to_ask(&plan), Span::DAY);
}

/// A key is known by its fingerprint; by its id only while its value was never seen.
#[test]
fn a_key_is_known_by_its_fingerprint() {
    let named =
        |id: Option<&str>, print: &str| Key { id: id.map(String::from), fingerprint: String::from(print), expires_at: None };
    for (one, other, same) in [
        (named(Some("a"), "p"), named(Some("b"), "p"), true),
        (named(Some("a"), "p"), named(Some("a"), "q"), false),
        (named(Some("a"), ""), named(Some("a"), "q"), true),
        (named(Some("a"), ""), named(Some("b"), ""), false),
        (named(None, ""), named(None, ""), false),
    ] {
        assert_eq!(Cut::new(one.clone(), true).is(&other), same, "{one:?} {other:?}");
    }
}
