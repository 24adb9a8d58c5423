//! The stable names: status, metrics, documents and other people's filters rely on them. And what each call is.

use cutover_machine::Effect;
use cutover_machine::emergency::EmergencyOrder;
use cutover_machine::state::{Layout, Phase, Why};

const SETTLED: Layout = Layout::Settled;

/// Name; whether its intent must be durable; whether the targets are read right before it; whether it takes an accepted key away.
#[test]
fn what_each_call_is() {
    let (o, x) = (false, true);
    let calls = [
        (Effect::Survey, "survey", o, o, o),
        (Effect::Mint, "mint", x, x, o),
        (Effect::ReadReply, "read-reply", o, o, o),
        (Effect::ReadNew, "read-new", o, o, o),
        (Effect::ProbeNew, "probe-new", x, o, o),
        (Effect::Replay, "replay", x, o, o),
        (Effect::LookByValue, "look-by-value", x, o, o),
        (Effect::LookByList, "look-by-list", o, o, o),
        (Effect::Reread, "reread", o, o, o),
        (Effect::Discard(String::from("key_1")), "discard", x, x, x),
        (Effect::Write { target: 0, layout: SETTLED }, "write", x, o, o),
        (Effect::Hook { hook: 0, layout: SETTLED, leg: 1 }, "redeploy", x, x, o),
        (Effect::Watch { verifies: vec![0], uses: true }, "watch", o, o, o),
        (Effect::Deactivate, "deactivate", x, x, x),
        (Effect::Activate, "activate", x, o, o),
        (Effect::Revoke, "revoke", x, x, x),
        (Effect::ProbeOld, "probe-old", x, o, o),
        (Effect::ReadClock, "read-clock", o, o, o),
        (Effect::Cut(0), "cut", x, o, o),
        (Effect::ProbeCut(0), "probe-cut", x, o, o),
    ];
    for (effect, label, intent, guarded, ends) in calls {
        let is = (effect.label(), effect.needs_intent(), effect.guarded(), effect.ends_a_key());
        assert_eq!(is, (label, intent, guarded, ends));
    }
}

/// Its name, and whether it goes on trying by itself.
#[test]
fn what_each_hold_is() {
    let detail = || String::from("a detail");
    let holds = [
        (Why::Preflight(detail()), "preflight", true),
        (Why::Credential(detail()), "credential", true),
        (Why::MintRefused(detail()), "mint-refused", false),
        (Why::Doubt, "doubt", false),
        (Why::Candidates(Vec::new()), "candidates", false),
        (Why::SameKey, "same-key", false),
        (Why::NewKeyRefused, "new-key-refused", false),
        (Why::Store { target: 0, detail: detail() }, "store", true),
        (Why::Hook { hook: 0, detail: detail() }, "hook", false),
        (Why::HookUnknown { hook: 0 }, "hook-unknown", false),
        (Why::Drift { targets: Vec::new() }, "drift", false),
        (Why::OldStillUsed { at: super::fixture::START, from: None }, "old-still-used", false),
        (Why::Retire(detail()), "retire", true),
        (Why::OldStillAccepted, "old-still-accepted", true),
        (Why::Look(detail()), "look", true),
    ];
    for (why, label, retries) in holds {
        assert_eq!((why.label(), why.retries()), (label, retries));
    }
}

#[test]
fn phases_layouts_and_orders_are_named() {
    let phases = [
        (Phase::Preflight, "preflight"),
        (Phase::Mint, "mint"),
        (Phase::Doubt, "doubt"),
        (Phase::Stage, "stage"),
        (Phase::Deploy, "deploy"),
        (Phase::Observe, "observe"),
        (Phase::Settle, "settle"),
        (Phase::Retire, "retire"),
        (Phase::Closed, "closed"),
    ];
    for (phase, label) in phases {
        assert_eq!(phase.label(), label);
    }
    assert_eq!([Layout::During, Layout::Settled].map(Layout::label), ["during", "settled"]);
    assert_eq!(
        [EmergencyOrder::CutFirst, EmergencyOrder::DeployFirst].map(EmergencyOrder::label),
        ["cut-first", "deploy-first"]
    );
}
