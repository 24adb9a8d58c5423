//! Retire: the old key is ended after evidence and quiet, by us, by the provider's clock or by a person, and seen dead.

use cutover_machine::event::{Answer, Class, Event, Fact, Order, Sight, Use, Uses, Watched};
use cutover_machine::plan::{LastUsed, Lifecycle, NullUse, Plan, VerifyKind};
use cutover_machine::state::{End, Key, MintIntent, Phase, Proof, Why};
use cutover_machine::{Due, Effect, Now, Question, Rotation, Span, Stamp, expiry_of_old};

use super::fixture::{START, Walk, after, at, held, holds, key, plan, refused, standing, unknown, verify, waits};

const SETTLE: Span = Span::minutes(5);

/// Evidence is there, nothing is polled for a while, and a person has said that the old key may go.
fn proven(plan: &Plan) -> Rotation {
    let mut rotation = standing(Phase::Retire, plan);
    rotation.retire.confirmed = true;
    if let Some(leg) = &mut rotation.leg {
        for state in &mut leg.verifies {
            (state.since, state.holds, state.next) = (Some(START), true, at(900).at);
        }
        leg.use_next = at(900).at;
    }
    rotation
}

/// The provider's own clock ends the old key a day after the mint.
fn by_clock() -> Plan {
    let mut plan = plan();
    plan.provider.lifecycle = Lifecycle::Grace;
    plan
}

/// Its old key ends then by what the provider has said.
fn ends(plan: &Plan, end: Stamp) -> Rotation {
    Rotation { old: Some(Key { expires_at: Some(end), ..key("old") }), ..proven(plan) }
}

fn none(rotation: &Rotation) -> (Phase, Option<End>) {
    (rotation.phase, rotation.end)
}

/// Who goes into retire, and whose rotation is over without it.
#[test]
fn what_is_left_to_retire() {
    let at_once = |plan: &Plan, change: fn(&mut Rotation)| {
        let mut rotation = standing(Phase::Observe, plan);
        change(&mut rotation);
        let mut walk = Walk::from(rotation, plan);
        walk.say(Event::Ordered(Order::Confirm));
        none(&walk.rotation)
    };
    let ours = plan();
    assert_eq!(at_once(&ours, |_| ()), (Phase::Retire, None));
    assert_eq!(at_once(&ours, |rotation| rotation.old = None), (Phase::Closed, Some(End::First)));
    assert_eq!(at_once(&ours, |rotation| rotation.retire.dead = Some(Proof::AtMint)), (Phase::Closed, Some(End::Done)));
    assert_eq!(at_once(&ours, |rotation| rotation.old_is_ours = false), (Phase::Closed, Some(End::OldLeft)));
    assert_eq!(at_once(&by_clock(), |rotation| rotation.old_is_ours = false), (Phase::Retire, None), "the clock ends it");
    let mut by_hand = plan();
    (by_hand.provider.lifecycle, by_hand.provider.verbs.revoke) = (Lifecycle::Manual, false);
    assert_eq!(at_once(&by_hand, |rotation| rotation.old_is_ours = false), (Phase::Retire, None), "a person is asked");
}

/// Without a way back and without a sight of its use, the old key goes on a person's word only.
#[test]
fn nothing_is_ended_unseen_without_a_word() {
    let told = Some(LastUsed { granularity: Span::MINUTE, lag: Span::MINUTE, null: NullUse::Unknown });
    let asks = |deactivate: bool, exposed: bool, visible: bool, gone: bool, kind: VerifyKind, confirmed: bool| {
        let mut plan = Plan { verifies: vec![verify(kind)], quiet: Span::ZERO, ..plan() };
        plan.provider.verbs.deactivate = deactivate;
        (plan.provider.verbs.last_used, plan.provider.declares.last_used) = (exposed, told.filter(|_| exposed));
        let mut rotation = proven(&plan);
        rotation.retire.confirmed = confirmed;
        rotation.asked_at = Some(START);
        if let Some(leg) = &mut rotation.leg {
            (leg.use_visible, leg.use_gone, leg.use_answered) = (visible || gone, gone, true);
            leg.quiet_seen_to = (visible && !gone).then_some(at(800).at);
        }
        match (Walk { now: at(300), ..Walk::from(rotation, &plan) }).due() {
            Due::Call(effect) => Some(effect),
            Due::Ask(Question::ConfirmRetire, until) => {
                assert_eq!(until, at(900).at, "it is polled on meanwhile");
                None
            }
            other => panic!("{other:?}"),
        }
    };
    let (off, revoke) = (Some(Effect::Deactivate), Some(Effect::Revoke));
    let consumer = VerifyKind::Consumer;
    for (deactivate, exposed, visible, gone, kind, unasked, confirmed) in [
        (false, false, false, false, consumer, None, revoke.clone()),
        (false, true, false, false, consumer, None, revoke.clone()),
        (true, false, false, false, consumer, off.clone(), off.clone()),
        (false, true, true, false, consumer, revoke.clone(), revoke.clone()),
        (true, true, true, false, VerifyKind::Confirm, None, off.clone()),
        (true, true, false, true, consumer, None, off),
        (false, true, true, false, VerifyKind::Confirm, None, revoke),
    ] {
        let told = format!("{deactivate} {exposed} {visible} {gone} {kind:?}");
        assert_eq!(asks(deactivate, exposed, visible, gone, kind, false), unasked, "{told}");
        assert_eq!(asks(deactivate, exposed, visible, gone, kind, true), confirmed, "{told}, confirmed");
    }
}

/// Without the evidence nothing is ended and nobody is asked, whatever a person has said.
#[test]
fn nothing_is_ended_without_evidence() {
    let plan = plan();
    for confirmed in [false, true] {
        let mut rotation = proven(&plan);
        rotation.retire.confirmed = confirmed;
        if let Some(leg) = &mut rotation.leg {
            leg.verifies[0].holds = false;
        }
        assert_eq!(Walk { now: at(300), ..Walk::from(rotation, &plan) }.due(), Due::Sleep(at(900).at));
    }
    // Polls that are due come before any act.
    let walk = Walk { now: at(900), ..Walk::from(proven(&plan), &plan) };
    assert_eq!(walk.due(), Due::Call(Effect::Watch { verifies: vec![0], uses: false }));
}

/// The old key is switched off, left so for the soak, and only then revoked; polls go on meanwhile.
#[test]
fn the_old_key_is_switched_off_before_it_is_revoked() {
    let mut plan = Plan { soak: Span::minutes(10), ..plan() };
    plan.provider.verbs.deactivate = true;
    let mut walk = Walk::from(proven(&plan), &plan);
    walk.calls(Effect::Deactivate);
    assert!(walk.rotation.retire.ending, "it may have happened");
    walk.at(Span::SECOND).say(Event::Ended(Answer::Done(())));
    assert_eq!((walk.rotation.retire.deactivated_at, &walk.facts[..]), (Some(at(1).at), &[Fact::Deactivated][..]));
    assert_eq!(walk.due(), Due::Sleep(at(601).at));
    assert_eq!(walk.at(Span(600_999)).due(), Due::Sleep(at(601).at));
    walk.at(Span::seconds(601)).calls(Effect::Revoke).say(Event::Ended(Answer::Done(())));
    assert_eq!((walk.rotation.retire.revoked_at, &walk.facts[..]), (Some(at(601).at), &[Fact::Revoked][..]));
    let mut polled = proven(&plan);
    polled.retire.deactivated_at = Some(at(500).at);
    assert_eq!(Walk { now: at(501), ..Walk::from(polled.clone(), &plan) }.due(), Due::Sleep(at(900).at), "polled on");
    polled.retire.unused = true;
    assert_eq!(Walk { now: at(501), ..Walk::from(polled, &plan) }.due(), Due::Call(Effect::Revoke), "nobody ever had it");
}

/// While it is switched off, whoever needs the old key gets it back: a use of it, or a consumer that says "not the new one".
#[test]
fn a_key_that_is_missed_is_switched_on_again() {
    let told = LastUsed { granularity: Span::MINUTE, lag: Span::MINUTE, null: NullUse::Unknown };
    let missed = |activate: bool, used: Option<Span>, sight: Sight| {
        let mut plan = plan();
        (plan.provider.verbs.deactivate, plan.provider.verbs.activate) = (true, activate);
        (plan.provider.verbs.last_used, plan.provider.declares.last_used) = (true, Some(told));
        let mut rotation = proven(&plan);
        rotation.retire.deactivated_at = Some(at(600).at);
        let mut walk = Walk { now: at(900), ..Walk::from(rotation, &plan) };
        let old = used.map_or(Use::Never, |used| Use::At(START.plus(used), Some(String::from("10.0.0.9"))));
        let uses = Some(Uses { new: Use::Unknown, old });
        let targets = vec![holds(cutover_machine::state::Layout::Settled)];
        walk.say(Event::Watched(Watched { began: walk.now.at, targets, verifies: vec![(0, sight)], uses, skew: None }));
        (walk.why(), walk.rotation.retire.reactivate, walk.due())
    };
    let (before, late) = (Span::seconds(660), Span(660_001));
    let held = |at, from| Some(Why::OldStillUsed { at, from });
    let address = Some(String::from("10.0.0.9"));
    assert_eq!(missed(true, Some(before), Sight::Holds).0, None, "the provider tells uses to the minute");
    let (why, on, due) = missed(true, Some(late), Sight::Holds);
    assert_eq!((why, on, due), (held(START.plus(late), address.clone()), true, Due::Call(Effect::Activate)));
    let (why, on, due) = missed(false, Some(late), Sight::Holds);
    assert_eq!((why, on, matches!(due, Due::Ask(Question::Held, _))), (held(START.plus(late), address), false, true));
    let (why, on, _) = missed(true, None, Sight::Not);
    assert_eq!((why, on), (held(at(900).at, None), true));
    assert_eq!(missed(true, None, Sight::Unanswered).0, None, "no answer says nothing");
}

/// Switched on again it lives as before, and can still be gone back to.
#[test]
fn a_key_switched_on_again_lives_as_before() {
    let mut plan = plan();
    (plan.provider.verbs.deactivate, plan.provider.verbs.activate) = (true, true);
    let mut rotation = proven(&plan);
    (rotation.retire.deactivated_at, rotation.retire.reactivate, rotation.retire.ending) = (Some(START), true, true);
    let mut walk = Walk::from(rotation, &plan);
    walk.at(Span::MINUTE).calls(Effect::Activate).say(Event::Ended(Answer::Done(())));
    assert_eq!(walk.facts, [Fact::Reactivated]);
    let retire = &walk.rotation.retire;
    assert_eq!((retire.deactivated_at, retire.reactivate, retire.ending), (None, false, false));
    assert!(walk.tried(Event::Ordered(Order::Abandon)).is_ok());
}

/// A call that ends a key may be repeated freely: it is, and told after five failures; a dead credential at once.
#[test]
fn an_end_that_fails_is_told_after_five_tries() {
    let plan = plan();
    for (class, told, label) in [
        (Some(Class::Throttle), 5, "retire"),
        (None, 5, "retire"),
        (Some(Class::Scope), 1, "retire"),
        (Some(Class::Auth), 1, "credential"),
    ] {
        let mut walk = Walk::from(proven(&plan), &plan);
        for tries in 1..=told {
            if let Some(leg) = &mut walk.rotation.leg {
                (leg.verifies[0].next, leg.use_next) = (walk.now.at.plus(Span::HOUR), walk.now.at.plus(Span::HOUR));
            }
            walk.calls(Effect::Revoke).say(Event::Ended(class.map_or_else(unknown, refused)));
            assert_eq!(walk.why().map(|why| why.label()), (tries == told).then_some(label), "{class:?} {tries}");
            let (count, next) = waits(&walk.rotation);
            assert_eq!((count, next > walk.now.at), (tries, true), "{class:?}");
            walk.now = Now::open(next);
        }
        if let Some(leg) = &mut walk.rotation.leg {
            (leg.verifies[0].next, leg.use_next) = (walk.now.at.plus(Span::HOUR), walk.now.at.plus(Span::HOUR));
        }
        walk.calls(Effect::Revoke).say(Event::Ended(Answer::Done(())));
        assert_eq!((walk.rotation.failures, walk.why()), (0, None));
        assert!(matches!(walk.facts.first(), Some(Fact::Recovered { .. })), "{:?}", walk.facts);
    }
}

/// A revoked key is dead once it is refused, or, where it may not be presented, once its death would be seen.
#[test]
fn a_revoked_key_is_seen_dead() {
    let revoked = |change: fn(&mut Plan)| {
        let mut plan = plan();
        change(&mut plan);
        let mut rotation = proven(&plan);
        rotation.retire.revoked_at = Some(START);
        (rotation, plan)
    };
    let (rotation, plan) = revoked(|plan| plan.provider.declares.negative_probe = true);
    let mut walk = Walk::from(rotation.clone(), &plan);
    walk.at(SETTLE).say(Event::Woke);
    assert_eq!(walk.rotation.phase, Phase::Retire, "time alone proves nothing where it can be asked");
    walk.calls(Effect::ProbeOld).say(Event::Probed(Answer::Done(false)));
    assert_eq!(walk.facts, [Fact::OldDead { proof: Proof::Refused }, Fact::Closed { end: End::Done }]);
    for change in [(|plan| plan.provider.verbs.probe = false) as fn(&mut Plan), |_| ()] {
        let (rotation, plan) = revoked(change);
        let mut walk = Walk::from(rotation, &plan);
        assert_eq!(walk.at(Span(SETTLE.0 - 1)).due(), Due::Sleep(START.plus(SETTLE)));
        walk.say(Event::Woke);
        assert_eq!(walk.rotation.phase, Phase::Retire, "not yet");
        walk.now = Now { frozen: true, ..after(SETTLE) };
        assert_eq!(walk.due(), Due::Sleep(START.plus(SETTLE).plus(Span::MINUTE)), "no span is believed by a wrong clock");
        walk.say(Event::Woke);
        assert_eq!(walk.rotation.phase, Phase::Retire);
        assert_eq!(walk.at(SETTLE).due(), Due::Tell);
        walk.say(Event::Woke);
        assert_eq!(walk.facts, [Fact::OldDead { proof: Proof::Revoked }, Fact::Closed { end: End::Done }]);
    }
}

/// A dead key that is still accepted is looked at again, soon at first; ten minutes after its death should be seen a person is told.
#[test]
fn a_key_that_is_still_accepted_is_told() {
    let mut plan = plan();
    plan.provider.declares.negative_probe = true;
    let accepted = |now: Span| {
        let mut rotation = proven(&plan);
        rotation.retire.revoked_at = Some(START);
        let mut walk = Walk::from(rotation, &plan);
        walk.at(now).calls(Effect::ProbeOld).say(Event::Probed(Answer::Done(true)));
        (walk.why(), waits(&walk.rotation))
    };
    let wait = |now: Span, wait: Span| (None, (0, START.plus(now).plus(wait)));
    for (now, left) in [
        (Span::ZERO, Span::seconds(30)),
        (Span(SETTLE.0 - 12_000), Span::seconds(12)),
        (Span(SETTLE.0 - 10), Span::SECOND),
        (SETTLE, Span::seconds(30)),
        (Span(SETTLE.0 + 599_999), Span::seconds(30)),
    ] {
        assert_eq!(accepted(now), wait(now, left), "{now}");
    }
    let (why, (tries, next)) = accepted(SETTLE.plus(Span::minutes(10)));
    assert_eq!((why, tries, next > after(Span::minutes(15)).at), (Some(Why::OldStillAccepted), 1, true));
}

/// A probe of the old key, or a look at the provider's clock, that fails is repeated, and told after ten tries.
#[test]
fn a_look_for_the_death_that_fails_is_told_after_ten_tries() {
    let mut plan = by_clock();
    for (probe, class, told, label) in [
        (true, Some(Class::Throttle), 10, "look"),
        (true, None, 10, "look"),
        (false, Some(Class::Throttle), 10, "look"),
        (false, None, 10, "look"),
        (false, Some(Class::Auth), 1, "credential"),
    ] {
        (plan.provider.declares.negative_probe, plan.provider.verbs.probe, plan.provider.verbs.list) = (probe, probe, true);
        let effect = if probe { Effect::ProbeOld } else { Effect::ReadClock };
        let mut walk = Walk::from(ends(&plan, START), &plan);
        for tries in 1..=told {
            walk.calls(effect.clone());
            let event = match class {
                Some(class) if probe => Event::Probed(refused(class)),
                None if probe => Event::Probed(unknown()),
                Some(class) => Event::Clock(refused(class)),
                None => Event::Clock(unknown()),
            };
            walk.say(event);
            assert_eq!(walk.why().map(|why| why.label()), (tries == told).then_some(label), "{effect:?} {class:?} {tries}");
            assert_eq!(waits(&walk.rotation).0, tries, "{effect:?}");
            walk.now = Now::open(waits(&walk.rotation).1);
        }
    }
    assert!(Walk::from(standing(Phase::Observe, &plan), &plan).tried(Event::Clock(unknown())).is_err(), "only in retire");
}

/// The old key's end by the provider's clock: what it said, with the clocks' difference taken out; else the latest it can be.
#[test]
fn when_the_old_key_ends() {
    let plan = by_clock();
    let end = |told: Option<Stamp>, skew: Option<i64>, intent: bool| {
        let mut rotation = proven(&plan);
        rotation.old = Some(Key { expires_at: told, ..key("old") });
        rotation.retire.provider_skew = skew;
        rotation.mint.intent = intent.then_some(MintIntent { at: START, deadline: at(60).at, grace: Span::HOUR });
        expiry_of_old(&rotation)
    };
    assert_eq!(end(Some(at(500).at), None, true), at(500).at);
    assert_eq!(end(Some(at(500).at), Some(20_000), true), at(480).at);
    assert_eq!(end(None, Some(20_000), true), at(3_660).at);
    assert_eq!(end(None, None, false), Stamp::NEVER);
}

/// Until the provider's clock ends the old key the targets are looked at every hour; then it is seen dead, by a probe, by the provider's
/// own clock, or five minutes later.
#[test]
fn the_providers_clock_is_waited_for() {
    let end = after(Span::hours(20)).at;
    let mut plan = by_clock();
    let mut rotation = ends(&plan, end);
    rotation.failures = 0;
    let looked = at(900).at.plus(Span::HOUR);
    let mut walk = Walk::from(rotation.clone(), &plan);
    assert_eq!(walk.due(), Due::Sleep(looked));
    walk.now = Now::open(looked);
    assert_eq!(walk.due(), Due::Call(Effect::Watch { verifies: Vec::new(), uses: false }));
    rotation.leg = None;
    let near = |plan: &Plan, skew: Option<i64>, now: Now| {
        let mut rotation = rotation.clone();
        rotation.retire.provider_skew = skew;
        Walk { now, ..Walk::from(rotation, plan) }.due()
    };
    let margin = end.plus(Span::minutes(5));
    assert_eq!(near(&plan, None, Now::open(end.minus(Span(1)))), Due::Sleep(end));
    assert_eq!(near(&plan, None, Now::open(end)), Due::Sleep(margin));
    assert_eq!(near(&plan, None, Now::open(margin.minus(Span(1)))), Due::Sleep(margin.minus(Span(1)).plus(Span::MINUTE)));
    assert_eq!(near(&plan, None, Now::open(margin)), Due::Tell);
    let frozen = Now { frozen: true, ..Now::open(margin) };
    assert_eq!(near(&plan, None, frozen), Due::Sleep(margin.plus(Span::MINUTE)));
    plan.provider.verbs.list = true;
    assert_eq!(near(&plan, None, Now::open(end)), Due::Call(Effect::ReadClock));
    assert_eq!(near(&plan, Some(0), Now::open(end)), Due::Sleep(margin));
    plan.provider.declares.negative_probe = true;
    assert_eq!(near(&plan, None, Now::open(end)), Due::Call(Effect::ProbeOld));
}

/// Past its expiry by the provider's own `Date`, with a margin: dead. A reply without a date leaves our own clock.
#[test]
fn past_its_expiry_the_old_key_is_dead() {
    let plan = by_clock();
    let end = at(3_600).at;
    for (skew, since) in [(Some(0), 300), (Some(-60_000), 360), (None, 300)] {
        let dead = |now: Now| {
            let mut walk = Walk { now, ..Walk::from(ends(&plan, end), &plan) };
            walk.say(Event::Clock(Answer::Done(skew)));
            assert_eq!(walk.rotation.retire.provider_skew, Some(skew.unwrap_or(0)));
            (walk.rotation.phase == Phase::Closed, walk.rotation.retire.dead)
        };
        let from = end.plus(Span::seconds(since));
        assert_eq!(dead(Now::open(from.minus(Span(1)))), (false, None), "{skew:?}");
        assert_eq!(dead(Now { frozen: true, ..Now::open(from) }), (false, None), "{skew:?}");
        assert_eq!(dead(Now::open(from)), (true, Some(Proof::Expired)), "{skew:?}");
    }
}

/// While only the provider's clock ends the old key, that it is still used holds nothing up.
#[test]
fn a_used_old_key_does_not_stop_the_clock() {
    let why = Why::OldStillUsed { at: START, from: None };
    let (clock, ours) = (by_clock(), plan());
    for (plan, phase, stands) in [(&clock, Phase::Retire, false), (&ours, Phase::Retire, true), (&clock, Phase::Observe, true)]
    {
        let held = Rotation { held: held(phase, why.clone(), plan).held, ..standing(phase, plan) };
        let due = Walk { now: at(600), ..Walk::from(held, plan) }.due();
        assert_eq!(matches!(due, Due::Ask(Question::Held, _)), stands, "{phase:?}: {due:?}");
    }
}

/// A person's word is for retire, before the revoke, and where a call or a word ends the key.
#[test]
fn confirm_retire_is_for_what_a_person_can_end() {
    let plan = plan();
    let word = Event::Ordered(Order::ConfirmRetire);
    let mut walk = Walk::from(standing(Phase::Retire, &plan), &plan);
    walk.say(word.clone());
    assert!(walk.rotation.retire.confirmed);
    let mut revoked = standing(Phase::Retire, &plan);
    revoked.retire.revoked_at = Some(START);
    assert!(Walk::from(revoked, &plan).tried(word).is_err());
}
