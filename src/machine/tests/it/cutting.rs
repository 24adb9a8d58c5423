//! When each key of a cut set is cut off, how its death is seen, and when the emergency is over.

use cutover_machine::emergency::{Cut, EmergencyOrder};
use cutover_machine::event::{Answer, Class, Event, Fact, Order, Refused};
use cutover_machine::plan::{Authority, Lifecycle, Plan, ReRotate, Verbs};
use cutover_machine::state::{End, Key, Phase, Proof};
use cutover_machine::{Due, Effect, Now, Question, Rotation, Span};

use super::fixture::{START, Walk, after, at, key, ours, plan, refused, standing, the_cut, unknown, urgent};

use EmergencyOrder::{CutFirst, DeployFirst};

const SETTLE: Span = Span::minutes(5);

/// A key of ours whose value is sealed here.
fn sealed(name: &str) -> Cut {
    Cut { sealed: true, ..ours(name) }
}

/// What cutover can end, and what is left to others: not ours, or without a name, and no clock is known to end it.
#[test]
fn what_can_be_cut_off() {
    let verbs = |revoke, revoke_needs_secret, deactivate| Verbs { revoke, revoke_needs_secret, deactivate, ..Verbs::default() };
    for (verbs, sealed, is_ours, id, can) in [
        (verbs(true, false, false), false, true, true, true),
        (verbs(true, true, false), false, true, true, false),
        (verbs(true, true, false), true, true, true, true),
        (verbs(false, false, true), false, true, true, true),
        (verbs(true, true, true), false, true, true, true),
        (verbs(false, false, false), true, true, true, false),
        (verbs(true, false, false), true, false, true, false),
        (verbs(true, false, false), true, true, false, false),
    ] {
        let mut plan = plan();
        plan.provider.verbs = verbs;
        let key = Key { id: id.then(|| String::from("a")), ..key("a") };
        assert_eq!(Cut { sealed, ..Cut::new(key, is_ours) }.can_be_ended(&plan), can, "{verbs:?} {sealed} {is_ours} {id}");
    }
    let expires = |cut: Cut| Cut { key: Key { expires_at: Some(START), ..cut.key.clone() }, ..cut };
    let nameless = Cut::new(Key { id: None, ..key("a") }, true);
    for (cut, left) in [
        (ours("a"), false),
        (Cut::new(key("a"), false), true),
        (nameless.clone(), true),
        (Cut { sealed: true, ..nameless.clone() }, false),
        (expires(nameless), false),
        (expires(Cut::new(key("a"), false)), false),
        (Cut { dead: Some(Proof::Refused), ..Cut::new(key("a"), false) }, false),
        (Cut { by_word: true, ..Cut::new(key("a"), false) }, false),
    ] {
        assert_eq!(cut.is_left(), left, "{cut:?}");
        assert_eq!(cut.settled(), cut.dead.is_some() || cut.by_word);
    }
}

/// Cut first: once the new key is in hand, or none could be made at once by a credential of its own. Deploy first: once it is proven.
#[test]
fn when_the_cut_may_begin() {
    let plan = plan();
    let cuts = |rotation: &Rotation, plan: &Plan| Walk::from(rotation.clone(), plan).due() == Due::Call(Effect::Cut(0));
    let minting = urgent(standing(Phase::Mint, &plan), CutFirst, vec![ours("old")]);
    assert!(!cuts(&minting, &plan), "nothing is cut before there is a new key");
    let with = |change: fn(&mut Rotation)| {
        let mut rotation = minting.clone();
        change(&mut rotation);
        rotation
    };
    assert!(cuts(&with(|rotation| rotation.new = Some(key("new"))), &plan));
    assert!(!cuts(&with(|rotation| (rotation.new, rotation.mint.to_read) = (Some(key("new")), true)), &plan));
    assert!(!cuts(&with(|rotation| (rotation.new, rotation.mint.received) = (Some(key("new")), true)), &plan));
    assert!(cuts(&with(|rotation| rotation.retire.unused = true), &plan));
    let at_once = with(|rotation| rotation.emergency.as_mut().expect("there").at_once = true);
    assert!(cuts(&at_once, &plan));
    let mut own = plan.clone();
    own.provider.declares.authority = Authority::Own;
    assert!(!cuts(&at_once, &own), "it would cut off what signs the mint");
    for (phase, holds, may) in [(Phase::Observe, true, false), (Phase::Retire, false, false), (Phase::Retire, true, true)] {
        let mut rotation = urgent(standing(phase, &plan), DeployFirst, vec![ours("old")]);
        rotation.leg.as_mut().expect("a leg").verifies[0].holds = holds;
        assert_eq!(cuts(&rotation, &plan), may, "{phase:?} {holds}");
    }
}

/// What no survey or mint could bring about at once is not waited for: the cut goes first then.
#[test]
fn the_cut_does_not_wait_for_a_mint_that_fails() {
    let plan = plan();
    for order in [CutFirst, DeployFirst] {
        let rotation = urgent(standing(Phase::Mint, &plan), order, vec![ours("old")]);
        let mut failures: Vec<(&str, Walk)> = Vec::new();
        let mut walk = Walk::from(rotation.clone(), &plan);
        walk.say(Event::Surveyed(Err(String::from("down"))));
        failures.push(("survey", walk));
        let mut walk = Walk::from(rotation.clone(), &plan);
        walk.say(Event::Denied(String::from("401")));
        failures.push(("credential", walk));
        for answer in [refused(Class::Limit), unknown()] {
            let mut walk = Walk::from(rotation.clone(), &plan);
            walk.calls(Effect::Mint).say(Event::Replied(answer));
            failures.push(("mint", walk));
        }
        for (name, walk) in failures {
            let at_once = walk.rotation.emergency.as_ref().is_some_and(|emergency| emergency.at_once);
            assert_eq!(at_once, order == CutFirst, "{name}");
            assert_eq!(walk.due() == Due::Call(Effect::Cut(0)), order == CutFirst, "{name}");
        }
    }
}

/// Where there is no room for another key the cut makes it: a cut-first mint is tried on, ten times in a row.
#[test]
fn a_cut_first_mint_that_is_refused_is_tried_on() {
    let plan = plan();
    for class in [Class::Limit, Class::Gone, Class::Refused] {
        let mut walk = Walk::from(urgent(standing(Phase::Mint, &plan), CutFirst, Vec::new()), &plan);
        walk.rotation.old = None;
        for tries in 1..=10 {
            walk.rotation.mint.surveyed_at = walk.now.at;
            walk.calls(Effect::Mint).say(Event::Replied(refused(class)));
            let (count, next) = super::fixture::waits(&walk.rotation);
            assert_eq!((count, walk.why(), walk.rotation.failures), (tries, None, tries), "{class:?}");
            walk.now = Now::open(next);
        }
        walk.rotation.mint.surveyed_at = walk.now.at;
        walk.calls(Effect::Mint).say(Event::Replied(refused(class)));
        assert_eq!(walk.why().map(|why| why.label()), Some("mint-refused"), "{class:?}");
    }
}

/// A cut that is confirmed is not yet a death: it is seen refused, or, where it may not be presented, its settle span passes.
#[test]
fn a_cut_key_is_seen_dead() {
    for (probed, proof) in [(true, Proof::Refused), (false, Proof::Revoked)] {
        let mut plan = plan();
        plan.provider.declares.negative_probe = probed;
        let cut = vec![sealed("old"), sealed("older")];
        let mut rotation = urgent(standing(Phase::Stage, &plan), CutFirst, cut);
        rotation.old_is_sealed = true;
        let mut walk = Walk::from(rotation, &plan);
        for place in [0, 1] {
            walk.calls(Effect::Cut(place));
            assert!(walk.tried(Event::Cut(place + 1, Answer::Done(()))).is_err(), "another one is being cut off");
            walk.say(Event::Cut(place, Answer::Done(())));
            let id = the_cut(&walk.rotation, place as usize).key.id;
            assert_eq!(walk.facts, [Fact::Cut { id }]);
            assert_eq!(the_cut(&walk.rotation, place as usize).ended_at, Some(START));
            if probed {
                walk.calls(Effect::ProbeCut(place)).say(Event::ProbedCut(place, Answer::Done(false)));
            }
        }
        assert_eq!((walk.rotation.retire.ending, walk.rotation.retire.revoked_at), (true, Some(START)));
        if !probed {
            let mut early = walk.clone();
            early.at(Span(SETTLE.0 - 1)).say(Event::Woke);
            assert_eq!(the_cut(&early.rotation, 1).dead, None);
            assert_eq!(walk.at(SETTLE).due(), Due::Tell);
            walk.say(Event::Woke);
            let dead = [Fact::OldDead { proof }, Fact::CutDead { id: Some(String::from("older")), proof }];
            assert_eq!(walk.facts, dead);
        }
        assert_eq!([0, 1].map(|place| the_cut(&walk.rotation, place).dead), [Some(proof); 2]);
        assert_eq!(walk.rotation.retire.dead, Some(proof));
    }
}

/// A cut or its probe that fails is tried again, a minute later at most but where the other side asks for more; what came back is kept.
#[test]
fn a_cut_that_fails_is_tried_again_soon() {
    let mut plan = plan();
    plan.provider.declares.negative_probe = true;
    let slow = |retry_after| Refused { class: Class::Throttle, retry_after, detail: String::from("slow down") };
    for probe in [false, true] {
        for (answer, least, most) in
            [(None, 45, 60), (Some(slow(None)), 45, 60), (Some(slow(Some(Span::minutes(7)))), 420, 420)]
        {
            let ended_at = probe.then_some(START);
            let cut = vec![Cut { tries: 7, ended_at, ..sealed("older") }];
            let rotation = urgent(standing(Phase::Stage, &plan), CutFirst, cut);
            let mut walk = Walk::from(rotation, &plan);
            let detail = if answer.is_some() { "slow down" } else { "lost" };
            if probe {
                let answer = answer.map_or_else(unknown, Answer::Refused);
                walk.calls(Effect::ProbeCut(0)).say(Event::ProbedCut(0, answer));
            } else {
                walk.calls(Effect::Cut(0)).say(Event::Cut(0, answer.map_or_else(unknown, Answer::Refused)));
            }
            let cut = the_cut(&walk.rotation, 0);
            assert_eq!((cut.tries, cut.failed.as_deref(), cut.dead), (8, Some(detail), None));
            let wait = cut.not_before.since(START);
            assert!(Span::seconds(least) <= wait && wait <= Span::seconds(most), "{wait}");
            assert!(!matches!(walk.due(), Due::Call(Effect::Cut(_) | Effect::ProbeCut(_))), "not at once");
        }
    }
}

/// A key that is still accepted is looked at again soon while its death may be seen late, and counted as a failure after that.
#[test]
fn a_cut_key_that_is_still_accepted_is_looked_at_again() {
    let mut plan = plan();
    plan.provider.declares.negative_probe = true;
    for (now, wait) in [(Span::ZERO, 5_000), (Span(SETTLE.0 - 3_000), 3_000), (Span(SETTLE.0 - 10), 1_000)] {
        let cut = vec![Cut { ended_at: Some(START), ..sealed("older") }];
        let mut walk = Walk::from(urgent(standing(Phase::Stage, &plan), CutFirst, cut), &plan);
        walk.at(now).calls(Effect::ProbeCut(0)).say(Event::ProbedCut(0, Answer::Done(true)));
        let cut = the_cut(&walk.rotation, 0);
        assert_eq!((cut.not_before, cut.tries, cut.failed), (walk.now.at.plus(Span(wait)), 0, None), "{now}");
    }
    let cut = vec![Cut { ended_at: Some(START), ..sealed("older") }];
    let mut walk = Walk::from(urgent(standing(Phase::Stage, &plan), CutFirst, cut), &plan);
    walk.at(SETTLE).calls(Effect::ProbeCut(0)).say(Event::ProbedCut(0, Answer::Done(true)));
    assert_eq!(the_cut(&walk.rotation, 0).tries, 1);
}

/// While a mint is in doubt whose provider ends the new key when an old one is presented, none is.
#[test]
fn no_cut_key_is_presented_where_that_ends_the_new_one() {
    for (phase, re_rotate, presents) in [
        (Phase::Doubt, ReRotate::Destroys, false),
        (Phase::Doubt, ReRotate::DropsOlder, true),
        (Phase::Stage, ReRotate::Destroys, true),
    ] {
        let mut plan = plan();
        (plan.provider.declares.negative_probe, plan.provider.declares.re_rotate) = (true, re_rotate);
        let cut = vec![Cut { ended_at: Some(START), ..sealed("older") }];
        let walk = Walk::from(urgent(standing(phase, &plan), CutFirst, cut), &plan);
        assert_eq!(walk.due() == Due::Call(Effect::ProbeCut(0)), presents, "{phase:?} {re_rotate:?}");
    }
}

/// A key that nobody can end is dead past its expiry, by the provider's clock and with a margin.
#[test]
fn a_cut_key_past_its_expiry_is_dead() {
    let plan = plan();
    for (skew, since) in [(None, 300), (Some(60_000), 240)] {
        let older = Key { expires_at: Some(at(1_000).at), ..key("older") };
        let mut rotation = urgent(standing(Phase::Stage, &plan), DeployFirst, vec![Cut::new(older, false)]);
        rotation.retire.provider_skew = skew;
        let mut walk = Walk::from(rotation, &plan);
        walk.at(Span::seconds(1_000 + since).plus(Span(-1))).say(Event::Woke);
        assert_eq!(the_cut(&walk.rotation, 0).dead, None, "{skew:?}");
        walk.at(Span::seconds(1_000 + since)).say(Event::Woke);
        assert_eq!(the_cut(&walk.rotation, 0).dead, Some(Proof::Expired), "{skew:?}");
    }
}

/// A key is presented only where its value is here, a probe exists and a dead key may be presented; else its settle span is waited for.
#[test]
fn where_a_cut_key_may_be_presented() {
    for (sealed, probe, negative, presents) in
        [(true, true, true, true), (false, true, true, false), (true, false, true, false), (true, true, false, false)]
    {
        let mut plan = plan();
        (plan.provider.verbs.probe, plan.provider.declares.negative_probe) = (probe, negative);
        let cut = vec![Cut { ended_at: Some(START), sealed, ..ours("older") }];
        let mut walk = Walk::from(urgent(standing(Phase::Stage, &plan), CutFirst, cut), &plan);
        assert_eq!(walk.due() == Due::Call(Effect::ProbeCut(0)), presents, "{sealed} {probe} {negative}");
        walk.at(SETTLE).say(Event::Woke);
        assert_eq!(the_cut(&walk.rotation, 0).dead, (!presents).then_some(Proof::Revoked));
    }
}

/// In retire: what must be proven first is looked at again, the provider's clock is waited for, and otherwise nothing is due.
#[test]
fn what_an_emergency_waits_for_in_retire() {
    let mut clock = plan();
    clock.provider.lifecycle = Lifecycle::Grace;
    let overlap = plan();
    let open = || vec![Cut { not_before: at(3_000).at, ..ours("older") }];
    let due = |plan: &Plan, order: EmergencyOrder, holds: bool, change: fn(&mut Rotation)| {
        let mut rotation = urgent(standing(Phase::Retire, plan), order, open());
        rotation.old = Some(Key { expires_at: Some(at(9_000).at), ..key("old") });
        let leg = rotation.leg.as_mut().expect("a leg");
        (leg.verifies[0].holds, leg.verifies[0].next, leg.use_next) = (holds, at(0).at, at(500).at);
        change(&mut rotation);
        Walk::from(rotation, plan).due()
    };
    let watch = Due::Call(Effect::Watch { verifies: vec![0], uses: false });
    assert_eq!(due(&overlap, DeployFirst, false, |_| ()), watch);
    assert_eq!(due(&overlap, DeployFirst, true, |_| ()), Due::Sleep(at(3_000).at));
    assert_eq!(due(&overlap, CutFirst, false, |_| ()), Due::Sleep(at(3_000).at), "cutting first waits for no evidence");
    let looked = at(500).at.plus(Span::HOUR);
    let later: fn(&mut Rotation) = |rotation| rotation.emergency.as_mut().expect("there").cut[0].not_before = at(40_000).at;
    let sleeps = |change: fn(&mut Rotation)| {
        let mut rotation = urgent(standing(Phase::Retire, &clock), CutFirst, open());
        rotation.old = Some(Key { expires_at: Some(at(9_000).at), ..key("old") });
        rotation.leg.as_mut().expect("a leg").use_next = at(500).at;
        later(&mut rotation);
        change(&mut rotation);
        Walk::from(rotation, &clock).due()
    };
    assert_eq!(sleeps(|_| ()), Due::Sleep(looked), "the targets are looked at while the clock is waited for");
    assert_eq!(sleeps(|rotation| rotation.retire.dead = Some(Proof::Expired)), Due::Sleep(at(40_000).at));
    assert_eq!(sleeps(|rotation| rotation.retire.revoked_at = Some(START)), Due::Sleep(at(40_000).at));
}

/// An emergency that found no key in use ends with the policy's first one.
#[test]
fn an_emergency_without_an_old_key_ends_with_a_first_one() {
    let plan = plan();
    let rotation = Rotation { old: None, ..standing(Phase::Retire, &plan) };
    for cut in [Vec::new(), vec![Cut::new(key("theirs"), false)]] {
        let mut walk = Walk::from(urgent(rotation.clone(), CutFirst, cut), &plan);
        walk.say(Event::Woke);
        assert_eq!(walk.rotation.end, Some(End::First));
    }
}

/// A person is asked about what cutover cannot end, or could not in five tries; their word settles it, and nothing else.
#[test]
fn a_person_ends_what_cutover_cannot() {
    let mut unendable = plan();
    unendable.provider.verbs.revoke = false;
    let asked = |plan: &Plan, cut: Cut| urgent(standing(Phase::Retire, plan), CutFirst, vec![cut]).cut_needs_person(plan);
    let endable = plan();
    assert!(asked(&unendable, ours("older")));
    assert!(!asked(&endable, ours("older")));
    assert!(!asked(&endable, Cut { tries: 4, ..ours("older") }));
    assert!(asked(&endable, Cut { tries: 5, ..ours("older") }));
    assert!(!asked(&endable, Cut { tries: 5, dead: Some(Proof::Refused), ..ours("older") }));
    assert!(!asked(&endable, Cut { tries: 5, ..Cut::new(key("older"), false) }), "left to others");
    let ends = |name: &str| Cut { key: Key { expires_at: Some(START), ..key(name) }, ..ours(name) };
    assert!(!asked(&unendable, ends("older")), "a clock ends it");
    let mut clock = unendable.clone();
    clock.provider.lifecycle = Lifecycle::Grace;
    assert!(!asked(&clock, ours("old")), "the mint started the old key's clock");
    assert!(asked(&clock, ours("older")), "not another one's");

    let rotation = urgent(standing(Phase::Retire, &unendable), CutFirst, vec![ours("old"), ends("older")]);
    let mut walk = Walk::from(rotation, &unendable);
    assert!(matches!(walk.due(), Due::Tell | Due::Ask(Question::ConfirmRetire, _)));
    walk.say(Event::Ordered(Order::ConfirmRetire));
    assert_eq!((walk.rotation.phase, walk.rotation.end), (Phase::Closed, Some(End::Done)), "{:?}", walk.rotation.emergency);
    let tried = Cut { tries: 1, ..ours("older") };
    let rotation = urgent(standing(Phase::Retire, &endable), CutFirst, vec![ours("old"), tried]);
    let mut walk = Walk::from(rotation, &endable);
    walk.say(Event::Ordered(Order::ConfirmRetire));
    assert_eq!([0, 1].map(|place| the_cut(&walk.rotation, place).by_word), [false, true], "what can be ended is");
}

/// It is over once every key is dead, said to be, or none that cutover may or can name; the old key's clock is waited for.
#[test]
fn when_the_cut_is_over() {
    let dead = |cut: Cut| Cut { dead: Some(Proof::Refused), ..cut };
    let left = || Cut::new(key("theirs"), false);
    let ours_only = plan();
    let mut clock = plan();
    clock.provider.lifecycle = Lifecycle::Grace;
    for (plan, cut, old_dead, over) in [
        (&ours_only, vec![dead(ours("old")), left()], false, true),
        (&ours_only, vec![dead(ours("old")), ours("older")], false, false),
        (&clock, vec![left()], false, false),
        (&clock, vec![left()], true, true),
        (&clock, vec![dead(ours("old"))], false, true),
        (&clock, vec![Cut::new(key("old"), false), dead(ours("older"))], false, false),
    ] {
        let mut rotation = urgent(standing(Phase::Retire, plan), CutFirst, cut.clone());
        rotation.retire.dead = old_dead.then_some(Proof::Expired);
        assert_eq!(rotation.cut_is_over(plan), over, "{cut:?}");
        let walk = Walk { now: after(Span::HOUR), ..Walk::from(rotation, plan) };
        if over {
            assert_eq!(walk.due(), Due::Tell);
            let step = walk.clone().say(Event::Woke).rotation.clone();
            let end = if cut.iter().any(|cut| !cut.settled()) { End::OldLeft } else { End::Done };
            assert_eq!((step.phase, step.end), (Phase::Closed, Some(end)), "{cut:?}");
        }
    }
}
