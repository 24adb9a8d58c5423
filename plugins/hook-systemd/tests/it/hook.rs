//! What the hook asks for, waits for, and makes of the answers.

use cutover_api::{Again, Class, Hook, HookVars, Outcome, conformance};
use cutover_hook_systemd::SystemdHook;

use crate::bus::{Bus, Does, Unit};
use crate::table::hook;

fn vars() -> HookVars {
    HookVars {
        policy: "my-crm".to_owned(),
        rotation: "r-42".to_owned(),
        run: "0192f0c1-0000-7000-8000-000000000001".to_owned(),
        key_id: "key_7".to_owned(),
        fingerprint: "sha256:0011223344556677".to_owned(),
    }
}

/// A hook for one unit that does not wait to see it stay.
fn on(bus: &Bus, more: &str) -> SystemdHook {
    hook(&format!("units = [\"crm.service\"]\nsettle = \"0s\"\n{more}")).on(bus.address())
}

fn label(outcome: Outcome<()>) -> String {
    assert!(!format!("{outcome:?}").contains("canary"), "{outcome:?}");
    match outcome {
        Outcome::Done(()) => "done".to_owned(),
        Outcome::Refused(refusal) => {
            assert!(refusal.step == "redeploy 1" && refusal.hint.is_some(), "{refusal}");
            format!("refused {} {}", refusal.class.label(), refusal.code.unwrap_or_default()).trim_end().to_owned()
        }
        Outcome::Unknown(cause) => {
            assert!(cause.step == "redeploy 1" && cause.hint.is_some(), "{cause}");
            format!("unknown {}", cause.label)
        }
    }
}

async fn run(hook: &SystemdHook) -> String {
    label(hook.run(&vars(), Again::First).await)
}

#[tokio::test]
async fn it_keeps_what_every_hook_promises() {
    let bus = Bus::with(&[("crm.service", Unit::running())]);
    conformance::hook(&on(&bus, ""), || bus.jobs()).await;
}

#[tokio::test]
async fn each_verb_is_asked_for_by_its_own_method() {
    for (verb, method) in [
        ("restart", "RestartUnit"),
        ("try-restart", "TryRestartUnit"),
        ("reload", "ReloadUnit"),
        ("reload-or-restart", "ReloadOrRestartUnit"),
        ("try-reload-or-restart", "ReloadOrTryRestartUnit"),
    ] {
        let bus = Bus::with(&[("crm.service", Unit::running())]);
        assert_eq!(run(&on(&bus, &format!("verb = {verb:?}\n"))).await, "done");
        assert_eq!(bus.heard(), [format!("{method} crm.service replace")]);
    }
}

#[tokio::test]
async fn units_are_done_in_order_and_the_first_failure_is_the_last() {
    let units = "units = [\"b.service\", \"a.service\", \"c.service\"]\nsettle = \"0s\"\n";
    let failing = Unit { does: Does::Ends("failed"), ..Unit::running() };
    let bus = Bus::with(&[("a.service", failing), ("b.service", Unit::running()), ("c.service", Unit::running())]);
    assert_eq!(run(&hook(units).on(bus.address())).await, "refused refused failed");
    assert_eq!(bus.heard(), ["RestartUnit b.service replace", "RestartUnit a.service replace"]);
}

#[tokio::test]
async fn what_systemd_does_with_a_job_keeps_its_meaning() {
    for (does, expected) in [
        (Does::Ends("done"), "done"),
        (Does::Ends("failed"), "refused refused failed"),
        (Does::Ends("dependency"), "refused refused dependency"),
        (Does::Ends("skipped"), "refused refused skipped"),
        (Does::Ends("canceled"), "unknown canceled"),
        (Does::Ends("timeout"), "unknown timeout"),
        (Does::Error("org.freedesktop.DBus.Error.AccessDenied"), "refused scope AccessDenied"),
        (
            Does::Error("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"),
            "refused scope InteractiveAuthorizationRequired",
        ),
        (Does::Error("org.freedesktop.systemd1.UnitMasked"), "refused gone UnitMasked"),
        (Does::Error("org.freedesktop.systemd1.JobTypeNotApplicable"), "refused refused JobTypeNotApplicable"),
        (Does::Error("org.freedesktop.systemd1.Whatever"), "refused refused Whatever"),
        // The bus answers for a systemd that went away with the call in its hands.
        (Does::Error("org.freedesktop.DBus.Error.NoReply"), "unknown cut"),
        (Does::CutAtCall, "unknown cut"),
        (Does::CutAtJob, "unknown cut"),
        (Does::NoAnswer, "unknown timeout"),
        (Does::NoEnd, "unknown timeout"),
        (Does::Lied, "refused refused failed"),
    ] {
        let bus = Bus::with(&[("crm.service", Unit { does, ..Unit::running() })]);
        assert_eq!(run(&on(&bus, "timeout = \"1s\"\n")).await, expected, "{does:?}");
        assert_eq!(bus.heard().len(), 1, "{does:?}: nothing is repeated by itself");
    }
}

#[tokio::test]
async fn a_job_that_is_done_is_not_believed_without_the_unit() {
    let up = ("active", "success");
    for (unit, verb, expected) in [
        (Unit { becomes: vec![("failed", "exit-code")], ..Unit::running() }, "restart", "refused refused"),
        (Unit { becomes: vec![("activating", "exit-code")], ..Unit::running() }, "restart", "refused refused"),
        (Unit { renews: false, ..Unit::running() }, "restart", "refused refused"),
        (Unit { renews: false, ..Unit::running() }, "reload", "done"),
        (Unit { renews: false, ..Unit::running() }, "reload-or-restart", "done"),
        (Unit { renews: false, can_reload: false, ..Unit::running() }, "reload-or-restart", "refused refused"),
        (Unit { active: "inactive", ..Unit::running() }, "restart", "done"),
        // It does not run, and is not to be started.
        (
            Unit { active: "inactive", becomes: vec![("inactive", "success")], renews: false, ..Unit::running() },
            "try-restart",
            "done",
        ),
        (Unit { becomes: vec![("inactive", "success")], ..Unit::running() }, "try-restart", "refused refused"),
        // It runs to its end, and did.
        (Unit { kind: "oneshot", becomes: vec![("inactive", "success")], ..Unit::running() }, "restart", "done"),
        (Unit { kind: "oneshot", becomes: vec![("failed", "exit-code")], ..Unit::running() }, "restart", "refused refused"),
        // It ends soon after it came up.
        (Unit { becomes: vec![up, ("activating", "exit-code")], ..Unit::running() }, "restart", "refused refused"),
        (Unit { becomes: vec![up, up, ("inactive", "success")], ..Unit::running() }, "restart", "refused refused"),
    ] {
        let bus = Bus::with(&[("crm.service", unit.clone())]);
        let settling = hook(&format!("units = \"crm.service\"\nverb = {verb:?}\nsettle = \"1s\"\n")).on(bus.address());
        assert_eq!(run(&settling).await, expected, "{verb} {unit:?}");
    }
}

#[tokio::test]
async fn nothing_is_asked_for_where_it_cannot_be_done() {
    for (unit, verb, expected) in [
        (Unit { load: "not-found", ..Unit::running() }, "restart", "refused gone"),
        (Unit { load: "masked", ..Unit::running() }, "restart", "refused gone"),
        (Unit { load: "bad-setting", ..Unit::running() }, "restart", "refused gone"),
        (Unit { can_reload: false, ..Unit::running() }, "reload", "refused gone"),
    ] {
        let bus = Bus::with(&[("crm.service", unit)]);
        let hook = on(&bus, &format!("verb = {verb:?}\n"));
        assert_eq!(run(&hook).await, expected);
        assert_eq!(label(hook.present().await.map_or_else(Outcome::Refused, Outcome::Done)), expected);
        assert_eq!(bus.heard(), Vec::<String>::new());
    }
    let bus = Bus::with(&[]);
    assert_eq!(run(&on(&bus, "")).await, "refused gone");
    bus.leave();
    assert_eq!(run(&on(&bus, "")).await, "refused unsent");
    let nowhere = hook("units = \"crm.service\"\n").on("unix:path=/nonexistent/bus");
    assert_eq!(run(&nowhere).await, "refused unsent");
    assert_eq!(nowhere.present().await.expect_err("no bus").class, Class::Unsent);
}

/// The commonest mistake of a new installation must not be found out when the new key is already made.
#[tokio::test]
async fn a_permission_that_is_missing_is_seen_before_anything_starts() {
    let bus = Bus::with(&[("crm.service", Unit::running())]);
    let hook = on(&bus, "");
    assert_eq!(hook.present().await, Ok(()));
    bus.deny();
    let refusal = hook.present().await.expect_err("denied");
    assert_eq!(refusal.class, Class::Scope);
    assert!(refusal.to_string().contains("polkit"), "{refusal}");
    assert_eq!(run(&hook).await, "refused scope AccessDenied");
    assert_eq!(bus.jobs(), 0);
}

#[tokio::test]
async fn after_an_unknown_start_it_is_restarted_again() {
    let bus = Bus::with(&[("crm.service", Unit { does: Does::CutAtJob, ..Unit::running() })]);
    let hook = on(&bus, "");
    assert!(hook.repeatable());
    assert_eq!(run(&hook).await, "unknown cut");
    bus.change("crm.service", |unit| unit.does = Does::Ends("done"));
    assert_eq!(label(hook.run(&vars(), Again::AfterUnknown).await), "done");
    assert_eq!(bus.heard().len(), 2);
}
