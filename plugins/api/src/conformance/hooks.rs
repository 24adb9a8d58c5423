//! What every [`Hook`] must keep.

use std::time::Duration;

use super::done;
use crate::hook::{Again, Hook, HookVars};

/// Every case, for a hook whose world lets it succeed. `starts` tells how often it has started something so far.
pub async fn hook(hook: &dyn Hook, starts: impl Fn() -> u32) {
    let deadline = hook.timeout();
    assert!(deadline > Duration::ZERO, "deadline: a hook without one can hold a rotation for ever");
    assert!(deadline < Duration::from_secs(7 * 86_400), "deadline: it must fit into a grace");

    let before = starts();
    for _ in 0..2 {
        let present = hook.present().await;
        assert!(present.is_ok(), "present: {present:?}");
    }
    assert_eq!(starts(), before, "present: it started something");

    done(hook.run(&vars(1), Again::First).await, "a first run");
    assert!(starts() > before, "a first run: nothing was started");
    let first = starts();
    done(hook.run(&vars(2), Again::First).await, "the next layout");
    assert!(starts() > first, "the next layout: nothing was started");
    if hook.repeatable() {
        done(hook.run(&vars(2), Again::AfterUnknown).await, "a run after one of unknown effect");
    }
    assert_eq!(hook.timeout(), deadline, "deadline: it changed");
}

fn vars(run: u8) -> HookVars {
    HookVars {
        policy: "conformance".to_owned(),
        rotation: "rot_conformance".to_owned(),
        run: format!("0b8f6a52-3d1e-4c57-9a64-5f2f1e0c7d0{run}"),
        key_id: "key_1".to_owned(),
        fingerprint: "sha256:0011223344556677".to_owned(),
    }
}
