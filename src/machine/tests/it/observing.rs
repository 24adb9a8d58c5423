//! Observe and settle: what counts as evidence for the new key, what as quiet of the old one, and what is seen against them.

use cutover_machine::event::{Event, Fact, Sight, Use, Uses, Watched};
use cutover_machine::plan::{LastUsed, NullUse, Plan, TargetPlan, VerifyKind, VerifyPlan};
use cutover_machine::state::{Layout, Leg, Phase, Why};
use cutover_machine::{Due, Effect, Now, Question, Rotation, Span, Stamp};

use super::fixture::{START, Walk, after, at, holds, plan, standing, verify};

const LAG: Span = Span::minutes(10);
const GRAIN: Span = Span::MINUTE;

/// The provider tells uses to the minute, and ten minutes late.
fn told() -> Plan {
    let mut plan = plan();
    plan.provider.verbs.last_used = true;
    plan.provider.declares.last_used = Some(LastUsed { granularity: GRAIN, lag: LAG, null: NullUse::Unknown });
    plan
}

fn leg(rotation: &Rotation) -> &Leg {
    rotation.leg.as_ref().expect("a leg")
}

fn poll(now: Now, verifies: &[(u32, Sight)], uses: Option<Uses>) -> Event {
    Event::Watched(Watched {
        began: now.at,
        targets: vec![holds(Layout::Settled)],
        verifies: verifies.to_vec(),
        uses,
        skew: None,
    })
}

fn uses(new: Option<Span>, old: Option<Span>) -> Option<Uses> {
    let told = |span: Option<Span>| span.map_or(Use::Never, |span| Use::At(START.plus(span), None));
    Some(Uses { new: told(new), old: told(old) })
}

impl Walk<'_> {
    /// What is due is a look, and this is what it shows.
    fn sees(&mut self, verifies: &[(u32, Sight)], uses: Option<Uses>) -> &mut Self {
        assert!(matches!(self.due(), Due::Call(Effect::Watch { .. })), "{:?} {:?}", self.due(), self.rotation.phase);
        self.shown(verifies, uses)
    }

    /// A look shows this, due or not.
    fn shown(&mut self, verifies: &[(u32, Sight)], uses: Option<Uses>) -> &mut Self {
        self.say(poll(self.now, verifies, uses))
    }
}

/// It must hold at every poll for its whole span; a poll that does not hold, or is not answered, begins it anew.
#[test]
fn a_verify_holds_for_its_span() {
    let plan = Plan { verifies: vec![VerifyPlan { hold_for: Span::seconds(90), ..verify(VerifyKind::Consumer) }], ..plan() };
    for breaks in [None, Some(Sight::Not), Some(Sight::Unanswered)] {
        let mut walk = Walk::from(standing(Phase::Observe, &plan), &plan);
        walk.sees(&[(0, Sight::Holds)], None);
        assert_eq!(walk.due(), Due::Sleep(at(60).at), "asked every minute");
        walk.at(Span::seconds(60)).sees(&[(0, breaks.unwrap_or(Sight::Holds))], None);
        if breaks.is_some() {
            assert_eq!(walk.due(), Due::Sleep(at(120).at), "{breaks:?}");
            walk.at(Span::seconds(120)).sees(&[(0, Sight::Holds)], None);
            assert_eq!(walk.rotation.phase, Phase::Observe, "{breaks:?}: it begins anew");
            continue;
        }
        assert_eq!(walk.due(), Due::Sleep(at(90).at), "the poll that completes it is not put off");
        let mut early = walk.clone();
        early.at(Span(89_999)).shown(&[(0, Sight::Holds)], None);
        assert_eq!(early.rotation.phase, Phase::Observe);
        walk.at(Span::seconds(90)).sees(&[(0, Sight::Holds)], None);
        let wanted = [Fact::Evidence { verify: 0, layout: Layout::Settled }, Fact::Cutover];
        assert_eq!((walk.rotation.phase, &walk.facts[..]), (Phase::Retire, &wanted[..]));
        assert_eq!(walk.rotation.cutover_at, Some(at(90).at));
    }
}

/// All verifies must hold; each is asked at its own pace, and a complete one is asked on.
#[test]
fn every_verify_must_hold() {
    let at_once = VerifyPlan { hold_for: Span::ZERO, ..verify(VerifyKind::Consumer) };
    let slow = VerifyPlan { every: Span::minutes(5), ..at_once };
    let plan = Plan { verifies: vec![at_once, slow], ..plan() };
    let mut walk = Walk::from(standing(Phase::Observe, &plan), &plan);
    assert_eq!(walk.due(), Due::Call(Effect::Watch { verifies: vec![0, 1], uses: false }));
    walk.sees(&[(0, Sight::Holds), (1, Sight::Not)], None);
    assert_eq!(walk.facts, [Fact::Evidence { verify: 0, layout: Layout::Settled }]);
    assert_eq!(walk.at(Span::MINUTE).due(), Due::Call(Effect::Watch { verifies: vec![0], uses: false }));
    walk.sees(&[(0, Sight::Holds)], None);
    assert!(walk.facts.is_empty(), "told once");
    walk.at(Span::minutes(5)).sees(&[(0, Sight::Not), (1, Sight::Holds)], None);
    assert_eq!(walk.rotation.phase, Phase::Observe, "what held before does not now");
    walk.at(Span::minutes(6)).sees(&[(0, Sight::Holds)], None);
    assert_eq!(walk.rotation.phase, Phase::Retire);
}

/// A use of the new key counts when it is later than the last redeploy, our own probe and what the provider cannot tell apart.
#[test]
fn a_use_counts_once_it_can_only_be_a_consumers() {
    let mut plan = told();
    plan.verifies = vec![VerifyPlan { hold_for: Span::ZERO, ..verify(VerifyKind::LastUsed) }];
    for (probed, used, counts) in [
        (None, GRAIN, false),
        (None, Span(GRAIN.0 + 1), true),
        (Some(Span::seconds(30)), Span::seconds(90), false),
        (Some(Span::seconds(30)), Span(90_001), true),
        (Some(Span::DAY), Span(GRAIN.0 + 1), true),
    ] {
        let mut rotation = standing(Phase::Observe, &plan);
        rotation.mint.probed_at = probed.map(|span| START.plus(span));
        let mut walk = Walk::from(rotation, &plan);
        walk.at(Span::HOUR).sees(&[], uses(Some(used), None));
        assert_eq!(leg(&walk.rotation).verifies[0].holds, counts, "{probed:?} {used:?}: a probe yet to come was set back");
    }
    let mut walk = Walk::from(standing(Phase::Observe, &plan), &plan);
    assert_eq!(walk.due(), Due::Call(Effect::Watch { verifies: vec![0], uses: true }));
    walk.sees(&[], uses(None, None));
    assert_eq!(leg(&walk.rotation).verifies[0].since, None, "never used is no evidence");
    walk.at(Span::minutes(1)).sees(&[], None);
    assert_eq!(leg(&walk.rotation).verifies[0].next, at(120).at, "not answered: asked again at its pace");
}

/// Quiet is counted from the last redeploy and the last use, and seen only as late as the provider tells.
#[test]
fn quiet_is_counted_from_the_last_use() {
    let plan = told();
    let span = plan.quiet.plus(LAG).plus(GRAIN);
    for (used, from) in [(None, Span::ZERO), (Some(Span::minutes(30)), Span::minutes(30))] {
        let complete = from.plus(span);
        let mut walk = Walk::from(standing(Phase::Observe, &plan), &plan);
        walk.at(Span::HOUR).sees(&[(0, Sight::Holds)], uses(None, used));
        assert_eq!(leg(&walk.rotation).quiet_from, START.plus(from));
        let mut early = walk.clone();
        early.at(Span(complete.0 - 1)).sees(&[(0, Sight::Holds)], uses(None, used));
        assert_eq!(early.rotation.phase, Phase::Observe, "{used:?}");
        let next = leg(&early.rotation).use_next;
        assert_eq!(next, START.plus(complete), "the look that completes it is not put off");
        walk.at(complete).sees(&[(0, Sight::Holds)], uses(None, used));
        let wanted =
            [Fact::Evidence { verify: 0, layout: Layout::Settled }, Fact::Quiet { since: START.plus(from) }, Fact::Cutover];
        assert_eq!((walk.rotation.phase, &walk.facts[..]), (Phase::Retire, &wanted[..]), "{used:?}");
    }
}

/// Uses are looked at as often as the provider can tell them apart, an hour at most; the targets alone every five minutes.
#[test]
fn looks_have_their_pace() {
    let pace = |granularity, lag| {
        let mut plan = told();
        plan.verifies = vec![verify(VerifyKind::Confirm)];
        plan.quiet = Span::DAY;
        plan.provider.declares.last_used = Some(LastUsed { granularity, lag, null: NullUse::Unknown });
        let mut walk = Walk::from(standing(Phase::Observe, &plan), &plan);
        walk.sees(&[], uses(None, None));
        leg(&walk.rotation).use_next.since(START)
    };
    assert_eq!(pace(GRAIN, LAG), LAG);
    assert_eq!(pace(Span::minutes(20), LAG), Span::minutes(20));
    assert_eq!(pace(Span::ZERO, Span::ZERO), Span::SECOND);
    assert_eq!(pace(Span::DAY, LAG), Span::HOUR);
    let plan = Plan { verifies: vec![verify(VerifyKind::Confirm)], ..plan() };
    let mut walk = Walk::from(standing(Phase::Observe, &plan), &plan);
    walk.rotation.asked_at = Some(START);
    assert_eq!(walk.due(), Due::Call(Effect::Watch { verifies: Vec::new(), uses: false }));
    walk.sees(&[], None);
    assert_eq!(walk.due(), Due::Ask(Question::Confirm, at(300).at));
}

/// A look that was put off further than it can have been was put off by a wrong clock: it is made now.
#[test]
fn a_look_put_off_by_a_wrong_clock_is_made_now() {
    let plan = told();
    let due = |verify: Span, look: Span| {
        let mut rotation = standing(Phase::Observe, &plan);
        if let Some(leg) = &mut rotation.leg {
            (leg.verifies[0].next, leg.use_next) = (START.plus(verify), START.plus(look));
        }
        Walk::from(rotation, &plan).due()
    };
    let far = Span(Span::HOUR.0 + 1);
    assert_eq!(due(Span::HOUR, Span::HOUR), Due::Sleep(START.plus(Span::HOUR)));
    assert_eq!(due(far, Span::HOUR), Due::Call(Effect::Watch { verifies: vec![0], uses: false }));
    assert_eq!(due(Span::HOUR, far), Due::Call(Effect::Watch { verifies: Vec::new(), uses: true }));
    assert_eq!(due(Span::MINUTE, Span::SECOND), Due::Sleep(at(1).at), "the earlier of the two");
    assert_eq!(due(Span::SECOND, Span::MINUTE), Due::Sleep(at(1).at), "the earlier of the two");
}

/// What the provider does not tell any more is not quiet; what it never told is not waited for once it has answered.
#[test]
fn uses_that_are_not_told_are_not_quiet() {
    let unknown = || Some(Uses { new: Use::Unknown, old: Use::Unknown });
    let plan = told();
    let mut walk = Walk::from(standing(Phase::Observe, &plan), &plan);
    walk.sees(&[(0, Sight::Holds)], uses(None, None));
    walk.at(Span::HOUR).sees(&[(0, Sight::Holds)], unknown());
    let told = leg(&walk.rotation);
    assert_eq!((told.use_gone, told.quiet_seen_to, told.use_visible), (true, None, true));
    assert_eq!(walk.rotation.phase, Phase::Observe);
    let mut never = Walk::from(standing(Phase::Observe, &plan), &plan);
    never.sees(&[(0, Sight::Holds)], None);
    never.at(Span::HOUR).sees(&[(0, Sight::Holds)], None);
    assert_eq!(never.rotation.phase, Phase::Observe, "no answer yet");
    never.at(Span::hours(2)).sees(&[(0, Sight::Holds)], unknown());
    assert_eq!((never.rotation.phase, leg(&never.rotation).use_gone), (Phase::Retire, false));
    let mut back = Walk::from(walk.rotation, &plan);
    back.at(Span::hours(2)).sees(&[(0, Sight::Holds)], uses(None, None));
    assert!(!leg(&back.rotation).use_gone, "it is told again");
    back.at(Span::hours(3)).sees(&[(0, Sight::Holds)], None);
    assert_eq!(leg(&back.rotation).quiet_seen_to, None, "a look that was due and not answered: seen anew");
}

/// The old key is used although everything that was to move has moved and a whole `quiet` has passed: held, with what is told of it.
#[test]
fn a_late_use_of_the_old_key_is_held() {
    let plan = Plan { verifies: vec![VerifyPlan { hold_for: Span::ZERO, ..verify(VerifyKind::Consumer) }], ..told() };
    let late = |moved: Span, resumed: Span, used: Span, sight: Sight| {
        let mut rotation = standing(Phase::Observe, &plan);
        rotation.resumed_at = START.plus(resumed);
        if let Some(leg) = &mut rotation.leg {
            leg.verifies[0].since = Some(START.plus(moved));
        }
        let mut walk = Walk::from(rotation, &plan);
        walk.at(Span::hours(10)).sees(&[(0, sight)], uses(None, Some(used)));
        walk.why()
    };
    let (none, quiet) = (Span::ZERO, plan.quiet);
    let held = |used: Span| Some(Why::OldStillUsed { at: START.plus(used), from: None });
    let over = Span(quiet.0 + 1);
    assert_eq!(late(none, none, quiet, Sight::Holds), None, "quiet is not over");
    assert_eq!(late(none, none, over, Sight::Holds), held(over));
    assert_eq!(late(none, none, over, Sight::Not), None, "the application has not moved");
    assert_eq!(late(Span::HOUR, none, over, Sight::Holds), None, "it moved late");
    assert_eq!(late(none, Span::HOUR, over, Sight::Holds), None, "a person has forgiven it");
    let later = over.plus(Span::HOUR);
    assert_eq!(late(Span::HOUR, none, later, Sight::Holds), held(later));
    assert_eq!(late(none, Span::HOUR, later, Sight::Holds), held(later));
}

/// A poll that began before the redeploy was done shows nothing; nor does one by a clock that has stepped.
#[test]
fn old_polls_and_wrong_clocks_show_nothing() {
    let plan = told();
    let mut walk = Walk::from(standing(Phase::Observe, &plan), &plan);
    walk.at(Span::SECOND);
    let before = walk.rotation.clone();
    walk.say(poll(Now::open(START.minus(Span(1))), &[(0, Sight::Holds)], uses(None, None)));
    assert_eq!(walk.rotation, before);
    walk.now = Now { frozen: true, ..at(60) };
    walk.shown(&[(0, Sight::Holds)], uses(None, None));
    let frozen = leg(&walk.rotation);
    assert_eq!((frozen.verifies[0].since, frozen.verifies[0].next, frozen.use_next), (None, at(120).at, at(120).at));
    assert_eq!((frozen.quiet_from, frozen.quiet_seen_to), (Stamp::NEVER, None));
    // Believed again: every span is counted from now on.
    walk.at(Span::HOUR).shown(&[(0, Sight::Holds)], uses(None, None));
    let anew = leg(&walk.rotation);
    let now = after(Span::HOUR).at;
    assert_eq!((anew.deployed_at, anew.quiet_from, anew.use_next, anew.verifies[0].next), (Some(now), now, now, now));
    assert_eq!(anew.verifies[0].since, None);
    // Set back behind the redeploy: the same.
    let mut walk = Walk::from(standing(Phase::Observe, &plan), &plan);
    walk.now = Now::open(START.minus(Span::HOUR));
    walk.shown(&[(0, Sight::Holds)], None);
    assert_eq!(leg(&walk.rotation).deployed_at, Some(START.minus(Span::HOUR)));
}

/// Where a layout for both keys stood, the settled one is written, deployed and proven like the first.
#[test]
fn settle_gathers_its_own_evidence() {
    let at_once = VerifyPlan { hold_for: Span::ZERO, ..verify(VerifyKind::Consumer) };
    let plan = Plan { targets: vec![TargetPlan { has_during: true }], verifies: vec![at_once], ..plan() };
    let mut rotation = standing(Phase::Observe, &plan);
    (rotation.legs, rotation.asked_at) = (1, Some(START));
    if let Some(leg) = &mut rotation.leg {
        leg.layout = Layout::During;
    }
    let mut walk = Walk::from(rotation, &plan);
    let seen = |layout| Watched {
        began: START,
        targets: vec![holds(layout)],
        verifies: vec![(0, Sight::Holds)],
        uses: None,
        skew: Some(1_500),
    };
    walk.say(Event::Watched(seen(Layout::During)));
    assert_eq!((walk.rotation.phase, walk.rotation.legs, walk.rotation.asked_at), (Phase::Settle, 2, None));
    assert_eq!(walk.rotation.retire.provider_skew, Some(1_500));
    let settled = leg(&walk.rotation);
    assert_eq!((settled.layout, settled.number, settled.follows, settled.deployed_at), (Layout::Settled, 2, true, None));
    walk.calls(Effect::Write { target: 0, layout: Layout::Settled });
    walk.say(Event::Written(0, cutover_machine::event::Answer::Done(())));
    assert_eq!(walk.rotation.phase, Phase::Settle);
    walk.say(Event::Watched(seen(Layout::Settled)));
    let wanted = [Fact::Evidence { verify: 0, layout: Layout::Settled }, Fact::Settled];
    assert_eq!((walk.rotation.phase, &walk.facts[..]), (Phase::Retire, &wanted[..]));
}

/// A person's word goes on from observe, once everything is deployed and nothing is held.
#[test]
fn confirm_goes_on_from_observe() {
    use cutover_machine::event::Order;
    let plan = Plan { verifies: vec![verify(VerifyKind::Confirm), verify(VerifyKind::Consumer)], ..plan() };
    let mut walk = Walk::from(standing(Phase::Observe, &plan), &plan);
    walk.at(Span::MINUTE).say(Event::Ordered(Order::Confirm));
    let leg = leg(&walk.rotation);
    assert_eq!((walk.rotation.phase, leg.confirmed), (Phase::Retire, true));
    let seen: Vec<_> = leg.verifies.iter().map(|state| (state.holds, state.since)).collect();
    assert_eq!(seen, [(true, Some(at(60).at)), (false, None)], "the consumer has said nothing");
    let mut undeployed = standing(Phase::Observe, &plan);
    if let Some(leg) = &mut undeployed.leg {
        leg.deployed_at = None;
    }
    assert!(Walk::from(undeployed, &plan).tried(Event::Ordered(Order::Confirm)).is_err());
}
