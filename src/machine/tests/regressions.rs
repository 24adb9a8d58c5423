//! What the simulator and its forerunner have found in the machine, each kept small.

use cutover_machine::plan::{
    Declares, HookPlan, LastUsed, Lifecycle, NullUse, Plan, ProviderFacts, TargetPlan, Verbs, VerifyKind, VerifyPlan,
};
use cutover_machine::state::{Layout, Leg};
use cutover_machine::{Span, Stamp};

fn plan(verify: VerifyKind) -> Plan {
    let told = LastUsed { granularity: Span::MINUTE, lag: Span::minutes(10), null: NullUse::Never };
    Plan {
        provider: ProviderFacts {
            lifecycle: Lifecycle::Overlap,
            declares: Declares { last_used: Some(told), ..Declares::default() },
            verbs: Verbs { probe: true, revoke: true, last_used: true, ..Verbs::default() },
            generates: false,
            mint_timeout: Span::seconds(30),
        },
        grace: Span::hours(24),
        shortest_grace: Span::hours(24),
        quiet: Span::minutes(40),
        soak: Span::minutes(20),
        thresholds: vec![50, 75, 90],
        targets: vec![TargetPlan { has_during: false }],
        hooks: vec![HookPlan { timeout: Span::MINUTE, repeatable: true }],
        verifies: vec![VerifyPlan { kind: verify, every: Span::minutes(10), hold_for: Span::minutes(10) }],
        support: None,
    }
}

/// A target that was set back began a second leg, and a `confirm` that nobody had given counted for it.
#[test]
fn a_leg_after_a_set_back_is_not_taken_for_confirmed() {
    let plan = plan(VerifyKind::Confirm);
    let mut leg = Leg::new(Layout::Settled, 2, &plan);
    leg.deployed_at = Some(Stamp(1));
    assert!(!leg.evidence(&plan), "nobody has confirmed anything");
    leg.follows = true;
    assert!(leg.evidence(&plan), "after a leg with evidence `confirm --retire` is asked instead");
}

/// Uses closer together than the provider's granularity are told as one: quiet was declared while the old key was still used.
#[test]
fn quiet_allows_for_granularity_and_lag() {
    let plan = plan(VerifyKind::Consumer);
    let told = plan.provider.declares.last_used.expect("told");
    let mut leg = Leg::new(Layout::Settled, 1, &plan);
    leg.deployed_at = Some(Stamp(0));
    let quiet = Stamp(0).plus(plan.quiet).plus(told.lag);
    leg.quiet_seen_to = Some(quiet);
    assert!(!leg.quiet(&plan));
    leg.quiet_seen_to = Some(quiet.plus(told.granularity));
    assert!(leg.quiet(&plan));
}
