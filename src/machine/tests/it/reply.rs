//! A reply to the mint came: what it says of the new key, and of the old one's end.

use cutover_machine::event::{Answer, Class, Event, Fact, Minted};
use cutover_machine::plan::{GraceOffer, Lifecycle, Plan, ReRotate};
use cutover_machine::state::{Key, Phase, Proof, Why};
use cutover_machine::{Due, Effect, Now, Rotation, Span};

use super::fixture::{START, Walk, after, at, key, minted, plan, refused, standing, unknown, waits};

/// The mint is sent five seconds after the start, and a raw reply came.
fn replied<'a>(rotation: Rotation, plan: &'a Plan) -> Walk<'a> {
    let mut walk = Walk::from(rotation, plan);
    walk.at(Span::seconds(5)).calls(Effect::Mint).say(Event::Replied(Answer::Done(())));
    walk
}

/// What the provider says of the old key counts: its end and its id; an id that it does not tell stays known.
#[test]
fn the_reply_tells_of_the_old_key() {
    let plan = plan();
    let told = at(3_600).at;
    for (old_expires_at, old_id, id, end) in
        [(None, None, "old", None), (Some(told), None, "old", Some(told)), (None, Some("renamed"), "renamed", None)]
    {
        let mut walk = replied(standing(Phase::Mint, &plan), &plan);
        let reply = Minted { old_expires_at, old_id: old_id.map(String::from), ..minted() };
        walk.calls(Effect::ReadReply).say(Event::Read(Answer::Done(reply)));
        let old = walk.rotation.old.clone();
        assert_eq!(old, Some(Key { id: Some(String::from(id)), expires_at: end, ..key("old") }));
        let (id, fingerprint) = (key("new").id, key("new").fingerprint);
        assert_eq!(walk.facts, [Fact::Minted { id, fingerprint, old_expires_at }]);
    }
}

/// The earlier of what was reckoned and what was granted counts, with the provider's clock taken out.
#[test]
fn what_the_provider_granted_counts() {
    let plan = plan();
    let reckoned = at(5).at.plus(Span::hours(24));
    for (told, skew, end) in [
        (None, None, reckoned),
        (Some(Span::hours(3)), None, after(Span::hours(3)).at),
        (Some(Span::hours(3)), Some(60_000), after(Span::minutes(179)).at),
        (Some(Span::hours(50)), None, reckoned),
    ] {
        let mut walk = replied(standing(Phase::Mint, &plan), &plan);
        let reply = Minted { old_expires_at: told.map(|span| START.plus(span)), skew, ..minted() };
        walk.calls(Effect::ReadReply).say(Event::Read(Answer::Done(reply)));
        assert_eq!(walk.rotation.grace.as_ref().map(|grace| grace.end), Some(end), "{told:?} {skew:?}");
        assert_eq!(walk.rotation.retire.provider_skew, skew);
    }
}

/// The key of a lost mint may have taken the old one's place already: then its grace may be over.
#[test]
fn after_a_lost_mint_the_old_key_may_be_dead() {
    for (lifecycle, re_rotate, over) in [
        (Lifecycle::Grace, ReRotate::DropsOlder, true),
        (Lifecycle::Grace, ReRotate::KeepsAll, false),
        (Lifecycle::Overlap, ReRotate::DropsOlder, false),
    ] {
        for lost in [false, true] {
            let mut plan = plan();
            (plan.provider.lifecycle, plan.provider.declares.re_rotate) = (lifecycle, re_rotate);
            let mut rotation = standing(Phase::Mint, &plan);
            rotation.mint.lost = lost;
            let mut walk = replied(rotation, &plan);
            walk.calls(Effect::ReadReply).say(Event::Read(Answer::Done(minted())));
            let end = walk.rotation.grace.as_ref().map(|grace| grace.end);
            assert_eq!(end == Some(at(5).at), over && lost, "{lifecycle:?} {re_rotate:?} {lost}");
        }
    }
}

/// A grace of nothing ends the old key with the mint itself.
#[test]
fn a_grace_of_nothing_ends_the_old_key_at_the_mint() {
    for (lifecycle, grace, old, dies) in [
        (Lifecycle::Grace, Span::ZERO, true, true),
        (Lifecycle::Set, Span::ZERO, true, true),
        (Lifecycle::Grace, Span::HOUR, true, false),
        (Lifecycle::Overlap, Span::ZERO, true, false),
        (Lifecycle::Set, Span::ZERO, false, false),
    ] {
        let mut plan = Plan { grace, shortest_grace: grace, ..plan() };
        plan.provider.lifecycle = lifecycle;
        plan.provider.declares.grace = Some(GraceOffer::Fixed(grace));
        let mut rotation = standing(Phase::Mint, &plan);
        rotation.old = rotation.old.filter(|_| old);
        let mut walk = replied(rotation, &plan);
        walk.say(Event::Read(Answer::Done(minted())));
        let proof = dies.then_some(Proof::AtMint);
        assert_eq!(walk.rotation.retire.dead, proof, "{lifecycle:?} {grace}");
        assert_eq!(walk.facts.contains(&Fact::OldDead { proof: Proof::AtMint }), dies);
    }
}

/// A value that is known already is not a new key; one that must still be read is judged when it is.
#[test]
fn a_known_value_is_no_new_key() {
    let plan = plan();
    for (fresh, to_read, held, due) in [
        (true, false, None, Some(Effect::ProbeNew)),
        (false, false, Some(Why::SameKey), None),
        (false, true, None, Some(Effect::ReadNew)),
    ] {
        let mut walk = replied(standing(Phase::Mint, &plan), &plan);
        walk.calls(Effect::ReadReply).say(Event::Read(Answer::Done(Minted { fresh, to_read, ..minted() })));
        assert_eq!(walk.why(), held);
        assert_eq!(walk.rotation.new.is_some(), fresh && !to_read);
        if let Some(effect) = due {
            assert_eq!(walk.due(), Due::Call(effect));
        }
    }
}

/// A reply that cannot be read is doubt until the first call's deadline; one that says no is a refusal like any other.
#[test]
fn a_reply_that_gives_no_key_is_judged_like_the_call() {
    let plan = plan();
    let mut walk = replied(standing(Phase::Mint, &plan), &plan);
    walk.calls(Effect::ReadReply);
    let mut unread = walk.clone();
    unread.say(Event::Read(unknown()));
    assert_eq!((unread.rotation.phase, unread.rotation.mint.received), (Phase::Doubt, false));
    let in_doubt = Fact::InDoubt { detail: String::from("lost"), decide_at: at(65).at };
    assert!(unread.facts.contains(&in_doubt), "{:?}", unread.facts);
    walk.say(Event::Read(refused(Class::Scope)));
    assert_eq!((walk.rotation.phase, walk.rotation.mint.received), (Phase::Mint, false));
    assert_eq!(walk.why(), Some(Why::MintRefused(String::from("Scope"))));
    assert!(walk.tried(Event::Read(unknown())).is_err(), "no reply waits to be read");
}

/// Reading the value of a key that is made already may fail: it is repeated, and told after five tries, at once where it may not be done.
#[test]
fn a_value_that_cannot_be_read_is_told() {
    let plan = plan();
    for (class, told, why) in [
        (None, 5, "look"),
        (Some(Class::Throttle), 5, "look"),
        (Some(Class::Scope), 1, "look"),
        (Some(Class::Auth), 1, "credential"),
    ] {
        let mut rotation = standing(Phase::Mint, &plan);
        rotation.mint.to_read = true;
        let mut walk = Walk::from(rotation, &plan);
        for tries in 1..=told {
            walk.calls(Effect::ReadNew).say(Event::Read(class.map_or_else(unknown, refused)));
            assert_eq!(walk.why().map(|why| why.label()), (tries == told).then_some(why), "{class:?} {tries}");
            assert_eq!(waits(&walk.rotation).0, tries);
            walk.now = Now::open(waits(&walk.rotation).1);
        }
    }
}
