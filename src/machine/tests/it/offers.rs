//! What a plan says of its provider: the grace on offer, and who ends the old key.

use cutover_machine::Span;
use cutover_machine::plan::{Declares, GraceOffer, Lifecycle, ListBy, Plan, ProviderFacts, TargetPlan, Verbs};

use super::fixture::plan;

fn h(hours: i64) -> Span {
    Span::hours(hours)
}

/// What the policy wants is rounded up to what the provider knows, never down; `None` where it knows nothing so long.
#[test]
fn a_wish_for_grace_is_rounded_up() {
    let fixed = GraceOffer::Fixed(h(1));
    let choices = GraceOffer::Choices(vec![h(1), h(24), h(72)]);
    let range = GraceOffer::Range { min: h(2), max: h(7), unit: h(1) };
    let coarse = GraceOffer::Range { min: Span::ZERO, max: h(7), unit: h(2) };
    let any = GraceOffer::Range { min: Span::ZERO, max: h(7), unit: Span::ZERO };
    let wishes = [
        (&fixed, h(24), Some(h(1))),
        (&choices, Span::ZERO, Some(h(1))),
        (&choices, h(1), Some(h(1))),
        (&choices, Span(h(1).0 + 1), Some(h(24))),
        (&choices, h(72), Some(h(72))),
        (&choices, h(73), None),
        (&range, Span::ZERO, Some(h(2))),
        (&range, h(3), Some(h(3))),
        (&range, Span(h(3).0 + 1), Some(h(4))),
        (&range, h(7), Some(h(7))),
        (&range, Span(h(7).0 + 1), None),
        (&coarse, h(3), Some(h(4))),
        (&coarse, h(7), None),
        (&any, Span(1), Some(Span(1))),
    ];
    for (offer, wanted, mapped) in wishes {
        assert_eq!(offer.mapped(wanted), mapped, "{offer:?} for {wanted}");
    }
}

#[test]
fn the_shortest_grace_on_offer() {
    assert_eq!(GraceOffer::Fixed(h(1)).shortest(), h(1));
    assert_eq!(GraceOffer::Choices(vec![h(24), h(3)]).shortest(), h(3));
    assert_eq!(GraceOffer::Choices(Vec::new()).shortest(), Span::ZERO);
    assert_eq!(GraceOffer::Range { min: h(2), max: h(7), unit: h(1) }.shortest(), h(2));
}

/// Who ends the old key: the provider's clock, cutover by a call, or a person.
#[test]
fn who_ends_the_old_key() {
    let grace = Some(GraceOffer::Fixed(h(24)));
    for (lifecycle, grace, revoke, by_clock, by_hand) in [
        (Lifecycle::Overlap, None, true, false, false),
        (Lifecycle::Overlap, None, false, false, false),
        (Lifecycle::Slots, None, true, false, false),
        (Lifecycle::Grace, grace.clone(), false, true, false),
        (Lifecycle::Set, grace.clone(), false, true, false),
        (Lifecycle::Manual, grace, false, true, true),
        (Lifecycle::Manual, None, false, false, true),
        (Lifecycle::Manual, None, true, false, false),
    ] {
        let provider = ProviderFacts {
            lifecycle,
            declares: Declares { grace, ..Declares::default() },
            verbs: Verbs { revoke, ..Verbs::default() },
            ..plan().provider
        };
        let plan = Plan { provider, ..plan() };
        assert_eq!((plan.provider_ends_old(), plan.ended_by_hand()), (by_clock, by_hand), "{lifecycle:?} {revoke}");
    }
}

/// A list that is declared and may be asked for; a layout of its own while both keys live.
#[test]
fn what_the_provider_and_the_targets_have() {
    for (list, verb, lists) in
        [(ListBy::Name, true, true), (ListBy::Name, false, false), (ListBy::None, true, false), (ListBy::None, false, false)]
    {
        let mut plan = plan();
        (plan.provider.declares.list, plan.provider.verbs.list) = (list, verb);
        assert_eq!(plan.provider.lists(), lists, "{list:?} {verb}");
    }
    let targets = |during: &[bool]| during.iter().map(|has_during| TargetPlan { has_during: *has_during }).collect();
    for (during, settles) in [(&[false, false][..], false), (&[false, true], true), (&[], false)] {
        assert_eq!(Plan { targets: targets(during), ..plan() }.settles(), settles, "{during:?}");
    }
}
