//! Faults elsewhere than in the mint: stores that go, hooks that fail, targets that somebody else writes, and what people order then.

use cutover_api::{Secret, Span};
use cutover_fake::{Bondi, CallKind, Fault, How, Plana};
use cutover_machine::event::Order;

use crate::cast::{Cast, POLICY, Script, System, bondi, plana};

const DURING: &str = "{ KEY = \"{{ old.secret }}\", KEY_NEW = \"{{ new.secret }}\" }";

fn mints_fit<P: System>(cast: &Cast<P>, mints: u64) {
    assert_eq!(cast.provider.mints(), mints);
}

/// A store that is down before the mint: nothing is minted, a person is told, and it goes on when the store is back.
#[tokio::test(flavor = "multi_thread")]
async fn store_down_before_the_mint_means_no_mint() {
    let mut cast = plana(Script::default()).await;
    cast.start().await;
    cast.store_goes();
    cast.house.rotate(POLICY).await;
    cast.held("preflight").await;
    mints_fit(&cast, 0);
    let text = cast.told_why("held", "preflight").await;
    assert!(text.contains("apps/app.env") && text.contains("Nothing has happened"), "{text}");
    cast.app_is_well("store down").await;
    cast.store_comes_back();
    cast.rotated("store back").await;
    mints_fit(&cast, 1);
    cast.told("recovered", |_, _| true).await;
    cast.end().await;
}

/// A store that goes between the mint and the write: the key is sealed, a person is told while the grace runs, and it goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn store_down_after_the_mint_keeps_the_key_and_goes_on() {
    let mut cast = bondi(Script::default()).await;
    // The reply is let through only once the store is gone.
    let gate = cast.provider.hang(CallKind::Mint, true);
    cast.start().await;
    let rotation = cast.house.rotate(POLICY).await;
    gate.reached_by(1).await;
    cast.store_goes();
    gate.open();
    cast.held("store").await;
    let text = cast.told_why("held", "store").await;
    assert!(text.contains("sealed here: it is not lost") && text.contains("apps/app.env"), "{text}");
    let made = cast.sealed(&rotation, "made").await.expect("the new key is sealed");
    assert!(cast.provider.accepts(&made), "and it is the one that works");
    assert!(cast.received(&rotation).await.is_some(), "the raw reply too, while no target holds the key");
    // A stop and a start lose nothing.
    cast.house.stop().await;
    cast.start().await;
    let again = cast.sealed(&rotation, "made").await.expect("still there");
    assert!(again.same_as(&made));
    cast.app_is_well("store down").await;
    cast.store_comes_back();
    cast.moved("store back").await;
    assert!(cast.field("KEY").is_some_and(|key| key.same_as(&made)));
    mints_fit(&cast, 1);
    cast.told("recovered", |_, _| true).await;
    cast.end().await;
}

/// A store that stays away: thresholds of the grace go off while it is held.
#[tokio::test(flavor = "multi_thread")]
async fn store_down_for_ever_is_told_at_every_threshold() {
    let mut cast = bondi(Script { speed: 7_200, ..Script::default() }).await;
    let gate = cast.provider.hang(CallKind::Mint, true);
    cast.start().await;
    cast.house.rotate(POLICY).await;
    gate.reached_by(1).await;
    cast.store_goes();
    gate.open();
    cast.held("store").await;
    for percent in ["75 %", "90 %"] {
        let text = cast.told("grace-ending", |text, _| text.contains(percent)).await;
        assert!(text.contains("cannot be written"), "it says what it waits for: {text}");
    }
    cast.told("grace-ended", |_, _| true).await;
    mints_fit(&cast, 1);
    // The old key has died by the provider's clock. Nothing was minted for it; when the store is back, the sealed key goes there.
    cast.store_comes_back();
    cast.house.until(POLICY, |status| status.phase == "idle" && status.ended.as_deref() == Some("done")).await;
    let new = cast.field("KEY").expect("a key");
    assert!(cast.provider.accepts(&new));
    mints_fit(&cast, 1);
    cast.end().await;
}

/// A hook that fails for ever: tried five times, then held; thresholds of the grace go on; mended and resumed it goes through.
#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_fails_for_ever_is_held_after_five_tries_and_the_grace_goes_on() {
    let mut cast = bondi(Script { speed: 3_600, ..Script::default() }).await;
    cast.house.on_deploy(|| false);
    cast.start().await;
    let rotation = cast.house.rotate(POLICY).await;
    cast.held("hook").await;
    assert_eq!(cast.house.deploys(), 5);
    let text = cast.told_why("held", "hook").await;
    assert!(
        text.contains("5 times in a row") && text.contains(&format!("cutover resume {POLICY} --rotation {rotation}")),
        "{text}"
    );
    assert!(cast.provider.accepts(&cast.old), "the old key lives");
    cast.app_is_well("held").await;
    cast.told("grace-ending", |text, _| text.contains("50 %")).await;
    assert_eq!(cast.house.deploys(), 5, "it is not tried again by itself");
    let restarter = cast.app.restarter();
    cast.house.on_deploy(move || {
        restarter.restart();
        true
    });
    cast.order(Order::Resume).await.expect("taken");
    cast.house.until(POLICY, |status| status.phase == "retire").await;
    assert_eq!(cast.house.deploys(), 6);
    mints_fit(&cast, 1);
    cast.app_is_well("mended").await;
    cast.end().await;
}

/// Somebody else writes the target before the mint: held, nothing minted. Put back and resumed it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn drift_before_the_mint_holds_it() {
    let mut cast = plana(Script::default()).await;
    // The survey's list is what the mint follows; it waits there while somebody writes.
    let gate = cast.provider.hang(CallKind::List, true);
    cast.start().await;
    cast.house.rotate(POLICY).await;
    gate.reached_by(1).await;
    cast.meddle("somebody-elses");
    gate.open();
    cast.held("drift").await;
    mints_fit(&cast, 0);
    drift_is_told(&cast).await;
    assert_eq!(cast.field("KEY").expect("there").expose(), "somebody-elses", "it is not written over");
    cast.meddle(cast.old.expose());
    cast.order(Order::Resume).await.expect("taken");
    cast.rotated("put back").await;
    mints_fit(&cast, 1);
    cast.end().await;
}

async fn drift_is_told<P: System>(cast: &Cast<P>) {
    let text = cast.told_why("drift", "drift").await;
    assert!(text.contains("apps/app.env") && text.contains("somebody else wrote it"), "{text}");
    assert!(text.contains("--from-target") && text.contains("cutover resume"), "{text}");
    assert!(!text.contains("somebody-elses"), "never the value: {text}");
}

/// Somebody else writes the target between two hook tries: no further hook runs on it.
#[tokio::test(flavor = "multi_thread")]
async fn drift_before_a_hook_holds_it() {
    let mut cast = plana(Script::default()).await;
    let path = cast.house.path(crate::cast::TARGET);
    let meddled = std::sync::atomic::AtomicBool::new(false);
    let restarter = cast.app.restarter();
    cast.house.on_deploy(move || {
        if !meddled.swap(true, std::sync::atomic::Ordering::SeqCst) {
            std::fs::write(&path, "KEY=somebody-elses\n").expect("written");
            return false;
        }
        restarter.restart();
        true
    });
    cast.start().await;
    let rotation = cast.house.rotate(POLICY).await;
    cast.held("drift").await;
    assert_eq!(cast.house.deploys(), 1, "no hook runs on a foreign value");
    drift_is_told(&cast).await;
    cast.app_is_well("held").await;
    let made = cast.sealed(&rotation, "made").await.expect("sealed");
    cast.house.write(crate::cast::TARGET, &format!("# the app\nKEY={}\nOTHER=kept\n", made.expose()));
    cast.order(Order::Resume).await.expect("taken");
    cast.rotated("put back").await;
    mints_fit(&cast, 1);
    cast.end().await;
}

/// Somebody else writes the target after the cutover: the old key is not revoked while that stands.
#[tokio::test(flavor = "multi_thread")]
async fn drift_before_the_revoke_holds_it() {
    let mut cast = plana(Script { policy: String::from("grace = \"48h\"\n"), ..Script::default() }).await;
    // With the old key in use elsewhere too, quiet takes as long as this test wants.
    cast.start().await;
    let rotation = cast.house.rotate(POLICY).await;
    cast.house.until(POLICY, |status| status.phase == "observe").await;
    let made = cast.field("KEY").expect("the new key");
    cast.meddle("somebody-elses");
    cast.held("drift").await;
    drift_is_told(&cast).await;
    cast.pass(Span::hours(1)).await;
    assert_eq!(cast.provider.revokes(), 0);
    assert!(cast.provider.accepts(&cast.old) && cast.provider.accepts(&made), "both keys live");
    cast.app_is_well("held").await;
    assert!(cast.sealed(&rotation, "made").await.is_some_and(|key| key.same_as(&made)));
    cast.meddle(made.expose());
    cast.order(Order::Resume).await.expect("taken");
    cast.rotated("put back").await;
    cast.end().await;
}

/// Somebody sets the target back to the old key: that value is known, so it is written again, deployed again, and watched anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_set_back_is_written_again() {
    let mut cast = plana(Script { policy: String::from("grace = \"48h\"\n"), ..Script::default() }).await;
    cast.start().await;
    cast.house.rotate(POLICY).await;
    cast.house.until(POLICY, |status| status.phase == "observe").await;
    let made = cast.field("KEY").expect("the new key");
    let deploys = cast.house.deploys();
    cast.meddle(cast.old.expose());
    cast.rotated("set back").await;
    assert!(cast.field("KEY").expect("a key").same_as(&made), "the same new key, not another");
    assert!(cast.house.deploys() > deploys, "deployed again");
    let kinds = cast.house.history_kinds().await;
    let place = |kind: &str| kinds.iter().rposition(|one| one == kind).unwrap_or_else(|| panic!("{kind}: {kinds:?}"));
    assert!(place("set-back") < place("deployed") && place("deployed") < place("evidence"), "{kinds:?}");
    assert!(place("evidence") < place("revoked"), "evidence counts from after the last deploy: {kinds:?}");
    mints_fit(&cast, 1);
    cast.end().await;
}

/// What stands beside our field is kept, through every layout, even when somebody adds to it in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn fields_that_are_not_ours_are_kept() {
    let mut cast = plana(Script { during: DURING.to_owned(), ..Script::default() }).await;
    cast.start().await;
    cast.house.rotate(POLICY).await;
    cast.house.until(POLICY, |status| status.phase == "observe").await;
    assert!(cast.field("KEY").expect("a key").same_as(&cast.old) && cast.field("KEY_NEW").is_some());
    let text = cast.target() + "ADDED=in the middle\n";
    cast.house.write(crate::cast::TARGET, &text);
    cast.rotated("with more fields").await;
    assert!(cast.target().contains("\nADDED=in the middle\n"), "{}", cast.target());
    cast.end().await;
}

/// Back to the key that was in use before, which never stopped working.
async fn back_again(cast: &Cast<Plana>, mints: u64) {
    let status = cast.house.closed(POLICY).await;
    assert_eq!(status.ended.as_deref(), Some("abandoned"));
    mints_fit(cast, mints);
    assert!(cast.field("KEY").is_some_and(|key| key.same_as(&cast.old)), "{}", cast.target());
    assert!(cast.field("KEY_NEW").is_none());
    assert!(cast.provider.accepts(&cast.old));
    assert_eq!(cast.provider.living(), 1, "the key that was made is dead: {:?}", cast.provider.keys());
    cast.app_is_well("abandoned").await;
}

/// `abandon` before the mint: closed, and nothing has happened.
#[tokio::test(flavor = "multi_thread")]
async fn abandon_before_the_mint_closes() {
    let mut cast = plana(Script::default()).await;
    cast.start().await;
    cast.store_goes();
    cast.house.rotate(POLICY).await;
    cast.held("preflight").await;
    cast.store_comes_back();
    cast.order(Order::Abandon).await.expect("taken");
    back_again(&cast, 0).await;
    assert!(cast.house.deploys() == 0);
    cast.end().await;
}

/// `abandon` with a key in hand that no target holds: it is ended by its id, nothing is deployed.
#[tokio::test(flavor = "multi_thread")]
async fn abandon_after_the_mint_gives_the_new_key_up() {
    let mut cast = plana(Script::default()).await;
    let late = How::IssueDelayed { span: Span::hours(2_000), alternating: false };
    cast.provider.fail(Fault::once(CallKind::Mint, late));
    cast.start().await;
    cast.house.rotate(POLICY).await;
    cast.held("new-key-refused").await;
    cast.untouched("held").await;
    cast.order(Order::Abandon).await.expect("taken");
    back_again(&cast, 1).await;
    cast.untouched("abandoned").await;
    assert_eq!(cast.provider.revokes(), 1, "the key that was made, and no other");
    cast.end().await;
}

/// `abandon` once targets hold the new key: the roles are swapped, and the old key is in use again before the new one ends.
#[tokio::test(flavor = "multi_thread")]
async fn abandon_after_the_write_goes_back_without_a_refused_call() {
    for during in ["", DURING] {
        let mut cast =
            plana(Script { during: during.to_owned(), policy: String::from("grace = \"48h\"\n"), ..Script::default() }).await;
        cast.start().await;
        cast.house.rotate(POLICY).await;
        cast.house.until(POLICY, |status| status.phase == "observe").await;
        cast.app.more_calls(10).await;
        cast.order(Order::Abandon).await.expect("taken");
        assert!(cast.order(Order::Abandon).await.is_err(), "once is enough");
        back_again(&cast, 1).await;
        let kinds = cast.house.history_kinds().await;
        let place = |kind: &str| kinds.iter().rposition(|one| one == kind).unwrap_or_else(|| panic!("{kind}: {kinds:?}"));
        assert!(place("deployed") < place("evidence") && place("evidence") < place("revoked"), "{kinds:?}");
        // The next rotation starts from there and goes through.
        cast.house.rotate(POLICY).await;
        cast.house.until(POLICY, |status| status.phase == "observe").await;
        cast.rotated("the next one").await;
        cast.end().await;
    }
}

/// `abandon` where the mint has started the old key's end: refused with the reason, and nothing changes.
#[tokio::test(flavor = "multi_thread")]
async fn abandon_is_refused_where_nothing_takes_the_mint_back() {
    let mut cast: Cast<Bondi> = bondi(Script::default()).await;
    cast.start().await;
    cast.house.rotate(POLICY).await;
    for phase in ["observe", "retire"] {
        cast.house.until(POLICY, |status| status.phase == phase || status.phase == "retire").await;
        let refused = cast.order(Order::Abandon).await.expect_err("refused");
        assert!(refused.contains("nothing takes back") && refused.contains("resume"), "{refused}");
    }
    cast.moved("not abandoned").await;
    mints_fit(&cast, 1);
    cast.end().await;
}

/// Without a verify a person says that the new key is in use, and says again that the old one may go.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_verify_a_person_confirms_twice() {
    let mut cast = plana(Script { verify: Some(String::new()), during: DURING.to_owned(), ..Script::default() }).await;
    cast.start().await;
    assert!(cast.order(Order::Confirm).await.is_err(), "nothing is under way");
    cast.house.rotate(POLICY).await;
    let asked = |what: &'static str| {
        move |status: &cutover::engine::PolicyStatus| status.waits_for.as_deref().is_some_and(|waits| waits.contains(what))
    };
    cast.house.until(POLICY, asked("`cutover confirm`")).await;
    assert!(cast.order(Order::ConfirmRetire).await.is_err(), "not yet");
    cast.pass(Span::hours(2)).await;
    assert_eq!(cast.house.status(POLICY).phase, "observe", "time alone is never a reason");
    cast.order(Order::Confirm).await.expect("taken");
    cast.house.until(POLICY, asked("`cutover confirm --retire`")).await;
    cast.pass(Span::hours(2)).await;
    assert_eq!(cast.provider.revokes(), 0, "the first word does not stand for the second");
    assert!(cast.provider.accepts(&cast.old));
    assert!(cast.order(Order::Confirm).await.is_err(), "the wrong word is refused");
    cast.order(Order::ConfirmRetire).await.expect("taken");
    cast.rotated("confirmed").await;
    cast.end().await;
}

/// The application was restarted late, by hand, as the alerts say: the old key's use before that is nothing to hold for.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_restart_is_not_held_against_the_old_key() {
    let mut cast = plana(Script { policy: String::from("grace = \"48h\"\n"), ..Script::default() }).await;
    cast.house.on_deploy(|| true);
    cast.start().await;
    cast.house.rotate(POLICY).await;
    cast.house.until(POLICY, |status| status.phase == "observe").await;
    cast.pass(Span::hours(2)).await;
    assert_eq!(cast.house.status(POLICY).phase, "observe", "the application still runs on the old key");
    assert_eq!(cast.provider.revokes(), 0);
    cast.app.restart();
    let there = |status: &cutover::engine::PolicyStatus| status.held.is_some() || status.phase == "idle";
    let status = cast.house.until(POLICY, there).await;
    assert_eq!(status.held, None, "nobody has to be asked");
    cast.rotated("restarted late").await;
    cast.end().await;
}

/// A person's `confirm` never replaces the evidence before the old key goes, where there is a verify to ask.
#[tokio::test(flavor = "multi_thread")]
async fn confirm_does_not_replace_evidence_before_the_retire() {
    let never = "[[policy.crm.verify]]\nkind = \"command\"\nrun = [\"/bin/false\"]\nevery = \"1m\"\n";
    let mut cast = plana(Script { verify: Some(never.to_owned()), ..Script::default() }).await;
    cast.start().await;
    cast.house.rotate(POLICY).await;
    cast.house.until(POLICY, |status| status.phase == "observe").await;
    cast.order(Order::Confirm).await.expect("taken");
    cast.house.until(POLICY, |status| status.phase == "retire").await;
    let _ = cast.order(Order::ConfirmRetire).await;
    cast.pass(Span::hours(3)).await;
    assert_eq!(cast.provider.revokes(), 0, "no evidence, no end of the old key");
    assert!(cast.provider.accepts(&cast.old));
    cast.app_is_well("waiting").await;
    cast.end().await;
}

/// A file that vanishes while a key is recorded is drift, not a first key.
#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_target_is_not_taken_for_a_first_key() {
    let mut cast = plana(Script::default()).await;
    cast.start().await;
    cast.house.rotate(POLICY).await;
    cast.rotated("first").await;
    let now: Secret = cast.field("KEY").expect("a key");
    std::fs::remove_file(cast.house.path(crate::cast::TARGET)).expect("removed");
    cast.house.rotate(POLICY).await;
    cast.held("preflight").await;
    mints_fit(&cast, 1);
    cast.house.write(crate::cast::TARGET, &format!("# the app\nKEY={}\nOTHER=kept\n", now.expose()));
    cast.house.until(POLICY, |status| status.held.is_none() && status.phase == "observe" || status.phase == "retire").await;
    mints_fit(&cast, 2);
    cast.end().await;
}
