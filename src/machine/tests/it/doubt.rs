//! In doubt: what is looked at, in which order, when at the earliest, and what the looks allow.

use cutover_machine::event::{Class, Event, Fact, Listed, Minted, Order};
use cutover_machine::plan::{Authority, Declares, GraceOffer, Idempotency, Lifecycle, ListBy, Plan, ReRotate, Verbs};
use cutover_machine::state::{Call, End, MintIntent, Phase, Why};
use cutover_machine::{Due, Effect, Now, Rotation, Span, Stamp};

use super::fixture::{PlanChange, START, Walk, at, held, key, minted, plan, refused, standing, unknown, waits};

/// The first call can land until then.
const DEADLINE: Span = Span::seconds(40);

/// In doubt since five seconds after the intent.
fn doubted(plan: &Plan) -> Rotation {
    let mut rotation = standing(Phase::Doubt, plan);
    rotation.mint.intent = Some(MintIntent { at: START, deadline: START.plus(DEADLINE), grace: plan.grace });
    rotation
}

/// A provider that declares this and has these verbs.
fn provider(declares: Declares, verbs: Verbs) -> Plan {
    let mut plan = plan();
    plan.provider.declares = Declares { re_rotate: ReRotate::DropsOlder, settle: Span::minutes(5), ..declares };
    plan.provider.verbs = verbs;
    plan
}

fn listing(list: ListBy) -> Plan {
    let verbs = Verbs { list: true, revoke: true, ..Verbs::default() };
    provider(Declares { list, list_lag: Span::minutes(10), ..Declares::default() }, verbs)
}

fn generating() -> Plan {
    let mut plan = provider(Declares::default(), Verbs { probe: true, ..Verbs::default() });
    plan.provider.generates = true;
    plan
}

fn rereading() -> Plan {
    provider(Declares { reread: true, ..Declares::default() }, Verbs { read: true, ..Verbs::default() })
}

fn replaying() -> Plan {
    let idempotency = Some(Idempotency { window: Span::hours(1), replays_errors: false });
    provider(Declares { idempotency, ..Declares::default() }, Verbs::default())
}

/// Nothing is looked at before the call can have landed, and what is absent is believed only where it would show by then.
#[test]
fn each_look_has_its_time() {
    let settle = DEADLINE.plus(Span::minutes(5));
    let looks = [
        (replaying(), DEADLINE, Effect::Replay),
        (generating(), settle, Effect::LookByValue),
        (listing(ListBy::Name), DEADLINE.plus(Span::minutes(10)), Effect::LookByList),
        (rereading(), settle, Effect::Reread),
    ];
    for (plan, from, effect) in looks {
        let mut walk = Walk::from(doubted(&plan), &plan);
        for early in [Span::seconds(6), DEADLINE, Span(from.0 - 1)].into_iter().filter(|early| *early < from) {
            let until = if early < DEADLINE { DEADLINE } else { from };
            assert_eq!(walk.at(early).due(), Due::Sleep(START.plus(until)), "{effect:?} at {early}");
            let before = walk.rotation.clone();
            assert_eq!(walk.clone().say(Event::Woke).rotation, before, "{effect:?} at {early}: nothing is decided");
        }
        assert_eq!(walk.at(from).due(), Due::Call(effect));
    }
}

/// The provider forgets the idempotency key after a time: from then on a replay would be a second mint.
#[test]
fn a_mint_is_replayed_once_and_within_its_window() {
    let plan = replaying();
    let mut walk = Walk::from(doubted(&plan), &plan);
    assert_eq!(walk.at(Span(Span::HOUR.0 - 1)).due(), Due::Call(Effect::Replay));
    assert_eq!(walk.at(Span::HOUR).due(), Due::Tell, "too late: held");
    assert_eq!(walk.clone().say(Event::Woke).why(), Some(Why::Doubt));
    for answer in [refused(Class::Refused), unknown()] {
        let mut walk = walk.clone();
        let lands = if answer == unknown() { START.plus(Span::minutes(2)) } else { START.plus(DEADLINE) };
        walk.at(Span::MINUTE).calls(Effect::Replay).say(Event::Replied(answer));
        assert!(walk.rotation.doubt.replayed);
        let deadline = walk.rotation.mint.intent.as_ref().map(|intent| intent.deadline);
        assert_eq!(deadline, Some(lands), "a replay without an answer is waited for like the call");
        walk.at(Span::minutes(3)).say(Event::Woke);
        assert_eq!(walk.why(), Some(Why::Doubt), "no second replay, and a refusal proves nothing");
    }
}

/// Where the old key signs the calls and must not be presented again nothing can be asked.
#[test]
fn nothing_is_asked_with_a_key_that_must_not_be_presented() {
    for (authority, re_rotate, looks) in [
        (Authority::Own, ReRotate::Destroys, false),
        (Authority::Own, ReRotate::DropsOlder, true),
        (Authority::Separate, ReRotate::Destroys, true),
    ] {
        let mut plan = listing(ListBy::Name);
        (plan.provider.declares.authority, plan.provider.declares.re_rotate) = (authority, re_rotate);
        let walk = Walk { now: at(900), ..Walk::from(doubted(&plan), &plan) };
        let wanted = if looks { Due::Call(Effect::LookByList) } else { Due::Tell };
        assert_eq!(walk.due(), wanted, "{authority:?} {re_rotate:?}");
    }
}

/// A value that cutover chose is looked for by a probe or by `[read]`, where there is either.
#[test]
fn a_chosen_value_is_looked_for_where_it_can_be() {
    for (verbs, looks) in [
        (Verbs { probe: true, ..Verbs::default() }, true),
        (Verbs { read_by_value: true, ..Verbs::default() }, true),
        (Verbs { read: true, ..Verbs::default() }, false),
    ] {
        let plan = Plan { provider: cutover_machine::plan::ProviderFacts { verbs, ..generating().provider }, ..generating() };
        let mut walk = Walk { now: at(900), ..Walk::from(doubted(&plan), &plan) };
        assert_eq!(walk.due() == Due::Call(Effect::LookByValue), looks, "{verbs:?}");
        if !looks {
            continue;
        }
        let seen = walk.calls(Effect::LookByValue).rotation.mint.probed_at;
        assert_eq!(seen, Some(at(960).at), "uses until the look can land may be ours");
        walk.at(Span::seconds(905)).say(Event::Found(cutover_machine::event::Answer::Done(None)));
        assert_eq!(walk.rotation.mint.probed_at, Some(at(905).at));
        assert_eq!(walk.facts, [Fact::DoubtSettled { how: String::from("no key was made") }]);
        assert_eq!((walk.rotation.phase, walk.rotation.mint.lost), (Phase::Mint, false));
    }
}

/// What a look at the list finds: an orphan is given up by its id, a candidate is a person's to judge, and nothing at all is a proof.
#[test]
fn a_list_settles_the_doubt() {
    let ids = |names: &[&str]| names.iter().map(|name| String::from(*name)).collect::<Vec<_>>();
    let (needs_secret, discards) = (true, true);
    for (revoke_needs_secret, discard, orphans, candidates, then) in [
        (false, false, &[][..], &[][..], "mint"),
        (false, false, &["ours"], &[], "discard"),
        (needs_secret, false, &["ours"], &[], "candidates"),
        (needs_secret, discards, &["ours"], &[], "discard"),
        (false, false, &["ours"], &["theirs"], "discard"),
        (false, false, &[], &["theirs"], "candidates"),
    ] {
        let mut plan = listing(ListBy::Name);
        (plan.provider.verbs.revoke_needs_secret, plan.provider.verbs.discard) = (revoke_needs_secret, discard);
        let mut walk = Walk::from(doubted(&plan), &plan);
        walk.at(Span::minutes(11)).calls(Effect::LookByList);
        let listed = Listed { orphans: ids(orphans), candidates: ids(candidates) };
        walk.say(Event::Listed(cutover_machine::event::Answer::Done(listed)));
        let told = format!("{orphans:?} {candidates:?} {revoke_needs_secret} {discard}");
        match then {
            "mint" => assert_eq!((walk.rotation.phase, walk.why()), (Phase::Mint, None), "{told}"),
            "discard" => assert_eq!(walk.due(), Due::Call(Effect::Discard(String::from("ours"))), "{told}"),
            _ => assert_eq!(walk.why(), Some(Why::Candidates(ids(&[orphans, candidates].concat()))), "{told}"),
        }
    }
}

/// An orphan that is gone leaves the doubt settled; where the provider's clock ends what a mint replaces, that it was made is remembered.
#[test]
fn an_orphan_is_given_up_and_then_another_key_is_made() {
    for (lifecycle, runs) in [(Lifecycle::Overlap, false), (Lifecycle::Grace, true)] {
        let mut plan = listing(ListBy::Name);
        plan.provider.lifecycle = lifecycle;
        let mut rotation = doubted(&plan);
        rotation.doubt.listed = true;
        rotation.doubt.orphans = vec![String::from("a"), String::from("b")];
        let mut walk = Walk::from(rotation, &plan);
        for id in ["a", "b"] {
            walk.at(Span::minutes(11)).calls(Effect::Discard(String::from(id)));
            assert!(walk.tried(Event::Discarded(String::from("another"), unknown())).is_err());
            walk.say(Event::Discarded(String::from(id), cutover_machine::event::Answer::Done(())));
            assert!(walk.facts.contains(&Fact::OrphanDiscarded { id: String::from(id) }));
        }
        assert_eq!((walk.rotation.phase, walk.rotation.mint.clock_runs), (Phase::Mint, runs), "{lifecycle:?}");
        assert_eq!(walk.rotation.grace.is_some(), runs, "{lifecycle:?}: the old key's end is counted on if it has begun");
        assert_eq!(walk.due(), Due::Call(Effect::Survey), "everything is looked at anew");
    }
}

/// Looks that prove it allow up to three intents; a mint that merely does no harm is repeated once.
#[test]
fn mints_are_repeated_a_few_times_only() {
    let again = |plan: &Plan, intents: u32, proven: bool| {
        let mut rotation = doubted(plan);
        rotation.mint.intents = intents;
        rotation.doubt.absent = proven;
        let mut walk = Walk::from(rotation, plan);
        walk.at(Span::HOUR).say(Event::Woke);
        (walk.rotation.phase == Phase::Mint, walk.rotation.mint.lost)
    };
    let mut harmless = provider(Declares::default(), Verbs::default());
    let silent = harmless.clone();
    harmless.provider.declares.re_rotate = ReRotate::KeepsAll;
    for (intents, proven, merely) in [(1, true, true), (2, true, false), (3, false, false)] {
        assert_eq!(again(&silent, intents, true), (proven, false), "proven, {intents}");
        assert_eq!(again(&harmless, intents, false), (merely, merely), "harmless, {intents}: the lost key may live");
        assert_eq!(again(&silent, intents, false), (false, false), "not known, {intents}");
    }
}

/// An abandoned doubt ends with the proof that no key was made.
#[test]
fn an_abandoned_doubt_closes_once_no_key_was_made() {
    let plan = listing(ListBy::Name);
    let mut walk = Walk::from(held(Phase::Doubt, Why::Doubt, &plan), &plan);
    walk.at(Span::minutes(10)).say(Event::Ordered(Order::Abandon));
    assert_eq!((walk.rotation.doubt.since, walk.rotation.doubt.abandon), (START, true));
    walk.calls(Effect::LookByList);
    walk.say(Event::Listed(cutover_machine::event::Answer::Done(Listed::default())));
    assert_eq!((walk.rotation.phase, walk.rotation.end), (Phase::Closed, Some(End::Abandoned)));
}

/// While the clock is not sane no look is believed; once it is, the call is given its whole time again and is not replayed.
#[test]
fn a_clock_that_stepped_gives_the_call_its_time_again() {
    let plan = replaying();
    let mut walk = Walk::from(doubted(&plan), &plan);
    walk.now = Now { frozen: true, ..at(600) };
    assert_eq!(walk.due(), Due::Tell);
    walk.say(Event::Woke);
    assert!(walk.rotation.doubt.stepped);
    assert_eq!(walk.due(), Due::Sleep(at(660).at), "asked again in a minute, not at once");
    walk.at(Span::seconds(700));
    assert_eq!(walk.due(), Due::Tell);
    walk.say(Event::Woke);
    let intent = walk.rotation.mint.intent.as_ref().map(|intent| intent.deadline);
    assert_eq!((walk.rotation.doubt.stepped, walk.rotation.doubt.replayed, intent), (false, true, Some(at(730).at)));
    assert_eq!(walk.due(), Due::Sleep(at(730).at));
}

/// What the old key's death allows: where the new value is lost and the provider's clock has ended the old key, another is made, once.
#[test]
fn held_in_doubt_the_old_key_is_presented_once_it_must_be_dead() {
    let verbs = Verbs { probe: true, ..Verbs::default() };
    let base = {
        let grace = Some(GraceOffer::Fixed(Span::hours(24)));
        let mut plan = provider(Declares { negative_probe: true, grace, ..Declares::default() }, verbs);
        plan.provider.lifecycle = Lifecycle::Grace;
        plan
    };
    let dead_at = DEADLINE.plus(base.grace).plus(Span::minutes(5));
    let asks = |plan: &Plan, change: fn(&mut Rotation)| {
        let mut rotation = held(Phase::Doubt, Why::Doubt, plan);
        rotation.mint.intent = doubted(plan).mint.intent;
        rotation.grace = None;
        change(&mut rotation);
        if let Some(held) = &mut rotation.held {
            held.told_at = START.plus(dead_at);
        }
        let mut walk = Walk::from(rotation, plan);
        let before = walk.at(Span(dead_at.0 - 1)).due();
        (before, walk.at(dead_at).due())
    };
    let told_again = START.plus(dead_at).plus(Span::DAY);
    let waits = Due::Ask(cutover_machine::Question::Held, told_again);
    let presented = (Due::Ask(cutover_machine::Question::Held, START.plus(dead_at)), Due::Call(Effect::ProbeOld));
    assert_eq!(asks(&base, |_| {}), presented);
    assert_eq!(asks(&base, |rotation| rotation.mint.intents = 2), (waits.clone(), waits.clone()), "once");
    assert_eq!(asks(&base, |rotation| rotation.old = None), (waits.clone(), waits.clone()));
    let changes: [(&str, PlanChange); 4] = [
        ("no probe", |plan| plan.provider.verbs.probe = false),
        ("no dead key may be presented", |plan| plan.provider.declares.negative_probe = false),
        ("presenting it ends the new one", |plan| plan.provider.declares.re_rotate = ReRotate::Destroys),
        ("no clock ends it", |plan| plan.provider.lifecycle = Lifecycle::Overlap),
    ];
    for (name, change) in changes {
        let mut plan = base.clone();
        change(&mut plan);
        assert_eq!(asks(&plan, |_| {}), (waits.clone(), waits.clone()), "{name}");
    }
}

/// A look that fails is repeated, and after five tries a person is told; a verb that may not be used at all is told at once.
#[test]
fn a_look_that_fails_is_told_after_five_tries() {
    use cutover_machine::event::Answer;
    let event = |effect: &Effect, class: Option<Class>| match (effect, class) {
        (Effect::LookByList, Some(class)) => Event::Listed(refused(class)),
        (Effect::LookByList, None) => Event::Listed(unknown()),
        (Effect::Discard(id), Some(class)) => Event::Discarded(id.clone(), refused(class)),
        (Effect::Discard(id), None) => Event::Discarded(id.clone(), unknown()),
        (_, Some(class)) => Event::Found(refused::<Option<Minted>>(class)),
        (_, None) => Event::Found(Answer::Unknown(String::from("lost"))),
    };
    let mut discarding = listing(ListBy::Name);
    discarding.provider.verbs.discard = true;
    let orphan = Effect::Discard(String::from("ours"));
    for (plan, effect) in [
        (listing(ListBy::Name), Effect::LookByList),
        (rereading(), Effect::Reread),
        (generating(), Effect::LookByValue),
        (discarding, orphan.clone()),
    ] {
        for (class, holds) in [(Some(Class::Throttle), 5), (None, 5), (Some(Class::Scope), 1), (Some(Class::Auth), 1)] {
            let mut rotation = doubted(&plan);
            if effect == orphan {
                rotation.doubt.orphans = vec![String::from("ours")];
                rotation.doubt.listed = true;
            }
            let mut walk = Walk::from(rotation, &plan);
            let mut now = Span::HOUR;
            for tries in 1..=5 {
                walk.at(now).calls(effect.clone()).say(event(&effect, class));
                let (count, next) = waits(&walk.rotation);
                assert_eq!(count, tries, "{effect:?} {class:?}");
                let held = walk.why().map(|why| why.label());
                let wanted = if class == Some(Class::Auth) { "credential" } else { "look" };
                assert_eq!(held, (tries >= holds).then_some(wanted), "{effect:?} {class:?} {tries}");
                assert!(next > walk.now.at, "{effect:?}: not at once");
                now = next.since(START);
            }
        }
    }
}

/// The key is there after all: in hand like any other; one that was looked for so that it could be given up is given up.
#[test]
fn a_key_that_is_found_is_taken_or_given_up() {
    use cutover_machine::event::Answer;
    let mut plan = rereading();
    (plan.provider.verbs.probe, plan.provider.verbs.revoke) = (true, true);
    let found = minted();
    for abandon in [false, true] {
        let mut rotation = doubted(&plan);
        rotation.doubt.abandon = abandon;
        let mut walk = Walk::from(rotation, &plan);
        walk.at(Span::HOUR).calls(Effect::Reread).say(Event::Found(Answer::Done(Some(found.clone()))));
        assert!(walk.facts.contains(&Fact::DoubtSettled { how: String::from("the key is there") }));
        let in_use = walk.rotation.new.clone().map(|key| key.fingerprint);
        if abandon {
            assert_eq!((walk.due(), in_use), (Due::Call(Effect::Revoke), key("old").fingerprint.into()));
        } else {
            assert_eq!((walk.due(), in_use), (Due::Call(Effect::ProbeNew), key("new").fingerprint.into()));
        }
    }
    let never = Call::Ready { tries: 0, not_before: Stamp(0), after_unknown: false };
    let elsewhere = Rotation { call: never, ..standing(Phase::Stage, &plan) };
    assert!(Walk::from(elsewhere, &plan).tried(Event::Found(Answer::Done(None))).is_err(), "no look is due there");
}
