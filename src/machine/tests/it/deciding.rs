//! What a person's decision does, once it is taken.

use cutover_machine::event::{Answer, Event, Fact, Order};
use cutover_machine::manual::Handed;
use cutover_machine::plan::{GraceOffer, Lifecycle, ListBy, Plan, TargetPlan};
use cutover_machine::state::{End, Layout, Phase, Proof, VerifyState, Why};
use cutover_machine::{Due, Effect, Question, Rotation, Span};

use super::fixture::{Change, START, Walk, after, at, held, key, plan, standing, unknown, waits, why};

fn said(order: Order) -> Event {
    Event::Ordered(order)
}

fn hand_in(name: &str) -> Event {
    said(Order::Submit(Handed { key: key(name), old_expires_at: None }))
}

fn manual() -> Plan {
    let mut plan = plan();
    (plan.provider.lifecycle, plan.provider.verbs.revoke) = (Lifecycle::Manual, false);
    plan
}

/// `resume` looks again: at the doubt from its beginning, at everything before another mint, and at what was seen already.
#[test]
fn resume_looks_again() {
    let mut listing = plan();
    (listing.provider.declares.list, listing.provider.verbs.list) = (ListBy::Time, true);
    for why in [Why::Doubt, Why::Candidates(vec![String::from("key_9")])] {
        let mut rotation = held(Phase::Doubt, why.clone(), &listing);
        (rotation.doubt.listed, rotation.doubt.candidates) = (true, vec![String::from("key_9")]);
        let mut walk = Walk::from(rotation, &listing);
        walk.at(Span::HOUR).say(said(Order::Resume));
        assert_eq!((walk.due(), walk.rotation.doubt.since), (Due::Call(Effect::LookByList), START), "{why:?}");
        assert_eq!(walk.rotation.resumed_at, after(Span::HOUR).at);
    }
    let mut same = held(Phase::Mint, Why::SameKey, &listing);
    same.mint.intent = standing(Phase::Doubt, &listing).mint.intent;
    let mut walk = Walk::from(same, &listing);
    walk.at(Span::HOUR).say(said(Order::Resume));
    assert_eq!((walk.rotation.phase, walk.due()), (Phase::Doubt, Due::Call(Effect::LookByList)));
    let mut walk = Walk::from(held(Phase::Mint, Why::MintRefused(String::from("limit")), &listing), &listing);
    walk.at(Span::MINUTE).say(said(Order::Resume));
    assert_eq!(walk.due(), Due::Call(Effect::Survey), "everything is looked at before another mint");
    let used = Why::OldStillUsed { at: START, from: None };
    let mut rotation = held(Phase::Observe, used, &listing);
    if let Some(leg) = &mut rotation.leg {
        (leg.use_next, leg.verifies[0]) = (at(900).at, VerifyState { next: at(900).at, ..VerifyState::default() });
    }
    let mut walk = Walk::from(rotation, &listing);
    walk.at(Span::MINUTE).say(said(Order::Resume));
    let leg = walk.rotation.leg.as_ref().expect("a leg");
    assert_eq!((leg.quiet_from, leg.use_next, leg.verifies[0].next), (at(60).at, at(60).at, at(60).at));
}

/// A further mint by order: a new intent, after everything was looked at; the lost key may live.
#[test]
fn a_further_mint_is_ordered() {
    let plan = plan();
    for (phase, why, taken) in [
        (Phase::Doubt, Why::Doubt, true),
        (Phase::Doubt, Why::Credential(String::from("401")), true),
        (Phase::Mint, Why::Credential(String::from("401")), false),
        (Phase::Mint, Why::NewKeyRefused, true),
        (Phase::Mint, Why::SameKey, true),
        (Phase::Retire, Why::Look(String::from("down")), false),
        (Phase::Stage, Why::Store { target: 0, detail: String::from("down") }, false),
    ] {
        let mut rotation = held(phase, why.clone(), &plan);
        rotation.mint.intents = 1;
        let mut walk = Walk::from(rotation, &plan);
        assert_eq!(walk.tried(said(Order::MintAgain)).is_ok(), taken, "{phase:?} {why:?}");
        if taken {
            walk.say(said(Order::MintAgain));
            assert_eq!((walk.rotation.mint.lost, walk.why(), walk.due()), (true, None, Due::Call(Effect::Survey)));
            walk.rotation.mint.surveyed_at = START;
            walk.calls(Effect::Mint);
            assert_eq!(walk.rotation.mint.intents, 2);
        }
    }
}

/// Before the mint `abandon` closes; once a mint may have made a key, or its reply waits to be read, it does not.
#[test]
fn abandon_before_the_mint_closes() {
    let plan = plan();
    let mut places: Vec<(&str, Change, bool)> = Vec::new();
    places.push(("nothing was made", |_| (), true));
    places.push(("an earlier mint is lost", |rotation| rotation.mint.lost = true, false));
    places.push(("an orphan was given up", |rotation| rotation.mint.clock_runs = true, false));
    places.push(("a reply waits", |rotation| rotation.mint.received = true, false));
    places.push(("a value must be read", |rotation| rotation.mint.to_read = true, false));
    for (name, change, closes) in places {
        let mut rotation = standing(Phase::Mint, &plan);
        change(&mut rotation);
        let walk = Walk::from(rotation, &plan);
        let end = walk.tried(said(Order::Abandon)).ok().and_then(|step| step.next.end);
        assert_eq!(end, closes.then_some(End::Abandoned), "{name}");
    }
}

/// After the mint the roles are swapped: what no target ever held is given up at once, what was written is written back first.
#[test]
fn abandon_swaps_the_keys() {
    for (touched, number, during, layout) in [
        (false, 1, false, None),
        (true, 1, false, Some(Layout::Settled)),
        (false, 2, false, Some(Layout::Settled)),
        (true, 1, true, Some(Layout::During)),
    ] {
        let plan = Plan { targets: vec![TargetPlan { has_during: during }], ..plan() };
        let mut rotation = standing(Phase::Stage, &plan);
        rotation.legs = number;
        rotation.retire.provider_skew = Some(7);
        if let Some(leg) = &mut rotation.leg {
            (leg.touched, leg.number) = (touched, number);
        }
        let first = Rotation { old: None, ..rotation.clone() };
        assert_eq!(rotation.is_written(), layout.is_some());
        let mut walk = Walk::from(rotation, &plan);
        walk.say(said(Order::Abandon));
        let next = &walk.rotation;
        assert_eq!((next.new.clone(), next.old.clone()), (Some(key("old")), Some(key("new"))));
        assert_eq!((next.swapped, next.old_is_ours, next.retire.provider_skew), (true, true, Some(7)));
        assert_eq!((next.grace.clone(), next.retire.unused), (None, layout.is_none()));
        let due = layout.map_or(Effect::Revoke, |layout| Effect::Write { target: 0, layout });
        assert_eq!(walk.due(), Due::Call(due));
        assert!(walk.tried(said(Order::Abandon)).is_err(), "it goes back already");
        let walk = Walk::from(first, &plan);
        assert_eq!(walk.tried(said(Order::Abandon)).is_ok(), layout.is_none(), "a first key has nothing to go back to");
    }
}

/// Once the old key is being ended, or is dead, there is nothing to go back to; the rotation that went back is told as abandoned.
#[test]
fn abandon_ends_with_the_old_key() {
    let mut plan = plan();
    plan.provider.declares.negative_probe = true;
    for (ending, dead, taken) in [(false, None, true), (true, None, false), (false, Some(Proof::Refused), false)] {
        let mut rotation = standing(Phase::Retire, &plan);
        (rotation.retire.ending, rotation.retire.dead) = (ending, dead);
        assert_eq!(Walk::from(rotation, &plan).tried(said(Order::Abandon)).is_ok(), taken, "{ending} {dead:?}");
    }
    let mut rotation = standing(Phase::Retire, &plan);
    (rotation.swapped, rotation.retire.revoked_at) = (true, Some(START));
    let mut walk = Walk::from(rotation, &plan);
    walk.calls(Effect::ProbeOld).say(Event::Probed(Answer::Done(false)));
    assert_eq!(walk.rotation.end, Some(End::Abandoned));
}

/// What is looked at before a person is asked to make a key is two minutes old at most.
#[test]
fn a_person_is_asked_after_a_fresh_look() {
    let plan = manual();
    let mut walk = Walk::from(standing(Phase::Mint, &plan), &plan);
    assert_eq!(walk.at(Span(120_001)).due(), Due::Call(Effect::Survey));
    assert_eq!(walk.at(Span::minutes(2)).due(), Due::Tell, "told at once");
    walk.say(Event::Woke);
    assert_eq!(walk.facts, [Fact::Waiting { question: Question::Submit }]);
}

/// Where a key is handed in: in doubt, or where a manual rotation waits for it. A refusal says what to do instead.
#[test]
fn where_a_key_is_handed_in() {
    let detail = || String::from("a detail");
    let (ours, by_hand) = (plan(), manual());
    let places = [
        (&ours, Phase::Doubt, Some(Why::Doubt), Ok(())),
        (&ours, Phase::Doubt, Some(Why::Look(detail())), Ok(())),
        (&ours, Phase::Doubt, Some(Why::Credential(detail())), Err("it still looks for the key")),
        (&ours, Phase::Doubt, None, Err("it still looks for the key")),
        (&ours, Phase::Mint, Some(Why::SameKey), Ok(())),
        (&ours, Phase::Mint, Some(Why::NewKeyRefused), Err("no key is waited for here")),
        (&ours, Phase::Mint, Some(Why::Look(detail())), Err("no key is waited for here")),
        (&ours, Phase::Mint, None, Err("no key is waited for here")),
        (&ours, Phase::Preflight, None, Err("no key is waited for here")),
        (&ours, Phase::Stage, None, Err("in hand already")),
        (&by_hand, Phase::Mint, None, Ok(())),
        (&by_hand, Phase::Mint, Some(Why::NewKeyRefused), Ok(())),
        (&by_hand, Phase::Mint, Some(Why::Look(detail())), Ok(())),
        (&by_hand, Phase::Preflight, None, Err("the preflight has not passed")),
        (&by_hand, Phase::Stage, None, Err("in hand already")),
    ];
    for (plan, phase, why, wanted) in places {
        let rotation = Rotation { held: why.clone().and_then(|why| held(phase, why, plan).held), ..standing(phase, plan) };
        let told = format!("{:?} {phase:?} {why:?}", plan.provider.lifecycle);
        match (Walk::from(rotation, plan).tried(hand_in("given")), wanted) {
            (Ok(_), Ok(())) => {}
            (Err(illegal), Err(words)) => assert!(illegal.reason.contains(words), "{told}: {}", illegal.reason),
            (step, wanted) => panic!("{told}: {:?}, not {wanted:?}", step.is_ok()),
        }
    }
    // In hand and presented, and the provider has not answered: another one may be handed in.
    for why in [Why::NewKeyRefused, Why::Look(detail())] {
        let rotation = Rotation { new: Some(key("typo")), ..held(Phase::Mint, why, &by_hand) };
        assert!(Walk::from(rotation, &by_hand).tried(hand_in("given")).is_ok());
    }
    let rotation = Rotation { new: Some(key("typo")), ..standing(Phase::Mint, &by_hand) };
    assert!(Walk::from(rotation, &by_hand).tried(hand_in("given")).is_err(), "it is being presented");
}

/// What is handed in settles the doubt, and is the one mint of a manual rotation.
#[test]
fn what_is_handed_in_counts_like_a_mint() {
    let settled = Fact::DoubtSettled { how: String::from("a person found the key") };
    let plan = plan();
    let mut walk = Walk::from(held(Phase::Doubt, Why::Doubt, &plan), &plan);
    walk.say(hand_in("given"));
    assert!(walk.facts.contains(&settled));
    assert_eq!((walk.rotation.mint.intents, walk.rotation.new.clone()), (1, Some(key("given"))));
    let plan = manual();
    for rotation in [
        standing(Phase::Mint, &plan),
        Rotation { new: Some(key("typo")), ..held(Phase::Mint, Why::Look(String::new()), &plan) },
    ] {
        let mut walk = Walk::from(rotation, &plan);
        walk.say(hand_in("given"));
        assert!(!walk.facts.contains(&settled));
        assert_eq!(walk.rotation.mint.intents, 1);
    }
}

/// A grace of nothing: what was made, and is handed in, has ended the old key.
#[test]
fn a_key_found_after_a_mint_without_grace_has_ended_the_old_one() {
    for (grace, dead, told) in [(Span::ZERO, None, true), (Span::HOUR, None, false), (Span::ZERO, Some(Proof::Refused), false)]
    {
        let mut plan = Plan { grace, ..plan() };
        plan.provider.lifecycle = Lifecycle::Set;
        plan.provider.declares.grace = Some(GraceOffer::Fixed(grace));
        let mut rotation = held(Phase::Doubt, Why::Doubt, &plan);
        rotation.retire.dead = dead;
        let mut walk = Walk::from(rotation, &plan);
        walk.say(hand_in("given"));
        assert_eq!(walk.facts.contains(&Fact::OldDead { proof: Proof::AtMint }), told, "{grace} {dead:?}");
    }
}

/// The new value is lost: with the old key refused another one is made; accepted, it proves that no key was made only where a mint would
/// have ended it.
#[test]
fn what_the_old_key_tells_in_doubt() {
    let told = |grace: Span, answer: Answer<bool>| {
        let mut plan = Plan { grace, shortest_grace: grace, ..plan() };
        plan.provider.lifecycle = Lifecycle::Grace;
        plan.provider.declares.negative_probe = true;
        let mut rotation = held(Phase::Doubt, Why::Doubt, &plan);
        rotation.grace = None;
        let mut walk = Walk::from(rotation, &plan);
        walk.at(Span::hours(23)).say(Event::Woke).at(Span::DAY.plus(Span::minutes(5)));
        walk.rotation.held.as_mut().expect("held").told_at = walk.now.at;
        walk.calls(Effect::ProbeOld).say(Event::Probed(answer));
        (walk.rotation, walk.facts, walk.now.at)
    };
    let (dead, facts, _) = told(Span::hours(24), Answer::Done(false));
    assert_eq!((dead.phase, dead.mint.lost, dead.old_dead()), (Phase::Mint, true, true));
    assert!(facts.contains(&Fact::OldDead { proof: Proof::Refused }));
    let (unmade, ..) = told(Span::ZERO, Answer::Done(true));
    assert_eq!((unmade.phase, unmade.mint.lost, why(&unmade)), (Phase::Mint, false, None));
    for (answer, tries, least) in [
        (Answer::Done(true), 9, Span::minutes(45)),
        (super::fixture::refused(cutover_machine::event::Class::Throttle), 6, Span::minutes(11)),
        (unknown(), 6, Span::minutes(11)),
    ] {
        let (unclear, _, now) = told(Span::hours(24), answer);
        let (count, next) = waits(&unclear);
        assert_eq!((unclear.phase, why(&unclear), count), (Phase::Doubt, Some(Why::Doubt), tries));
        assert!(next.since(now) > least, "looked at again, seldom: {}", next.since(now));
    }
}

/// `adopt` says that the old key is ours.
#[test]
fn adopt_makes_the_old_key_ours() {
    let plan = plan();
    let theirs = Rotation { old_is_ours: false, ..held(Phase::Retire, Why::Retire(String::new()), &plan) };
    let mut walk = Walk::from(theirs, &plan);
    walk.say(said(Order::AdoptOld));
    assert!(walk.rotation.old_is_ours);
}
