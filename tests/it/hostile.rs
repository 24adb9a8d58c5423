//! A provider that answers the mint with whatever it likes: how many mints are sent, where the rotation stands, what people are told,
//! what is kept, what `resume` does; and that the application never loses an accepted key.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cutover_api::Span;
use cutover_fake::{CallKind, Fault, How};
use cutover_machine::event::Order;
use tokio::task::JoinSet;

use crate::cast::{Cast, POLICY, Script, System, bondi, plana, wrapd};

/// Runs some cases side by side; each names itself when it fails.
async fn side_by_side(cases: impl IntoIterator<Item = impl Future<Output = ()> + Send + 'static>) {
    let mut set = JoinSet::new();
    for case in cases {
        set.spawn(case);
    }
    while let Some(done) = set.join_next().await {
        done.expect("the case holds");
    }
}

/// Replies that do not say what became of the call; `true` = a key was made all the same.
fn unusable() -> Vec<(&'static str, How, bool)> {
    vec![
        ("200 without a secret", How::NoSecret200, true),
        ("200 with a page", How::Html200, true),
        ("10 MB", How::Huge(10_000_000), true),
        ("half a reply", How::CutReply(40), true),
        ("no reply", How::LoseReply, true),
        ("500 and a key", How::Status { status: 500, applied: true }, true),
        ("500 and no key", How::Status { status: 500, applied: false }, false),
        ("a redirect", How::Redirect(String::from("http://127.0.0.1:9/elsewhere")), false),
        ("200 ok:false", How::OkFalse, false),
        ("never arrived", How::NeverArrives, false),
    ]
}

/// What is sealed of a reply that was received but could not be used.
async fn reply_is_kept<P: System>(cast: &Cast<P>, rotation: &str, name: &str) {
    let body = cast.received(rotation).await;
    let holds = |text: &str| body.as_ref().is_some_and(|body| body.contains(text));
    match name {
        "200 without a secret" => assert!(holds("slug") || holds("label"), "{name}: {body:?}"),
        "200 with a page" => assert!(holds("Please sign in"), "{name}: {body:?}"),
        "half a reply" => assert!(holds("{") && !holds("}"), "{name}: the half is kept: {body:?}"),
        "10 MB" => assert!(holds("padding"), "{name}: what fits is kept"),
        _ => {}
    }
}

/// PLANA, unusable replies: what may have been made is looked up by its nonce and given up, and one further key is minted.
#[tokio::test(flavor = "multi_thread")]
async fn plana_unusable_replies_leave_no_orphan_and_no_outage() {
    let case = |(name, how, made): (&'static str, How, bool)| async move {
        let mut cast = plana(Script::default()).await;
        cast.provider.fail(Fault::once(CallKind::Mint, how));
        cast.start().await;
        cast.house.rotate(POLICY).await;
        cast.rotated(name).await;
        assert_eq!(cast.provider.mints(), 2, "{name}: the doubtful one and one more");
        assert_eq!(cast.provider.living(), 1, "{name}: no orphan is left: {:?}", cast.provider.keys());
        let kinds = cast.house.history_kinds().await;
        let discarded = kinds.iter().filter(|kind| *kind == "orphan-discarded").count();
        assert_eq!(discarded, usize::from(made), "{name}: {kinds:?}");
        let intents = kinds.iter().filter(|kind| *kind == "mint-intended").count();
        assert_eq!(intents, 2, "{name}: each call had its own intent");
        let names: Vec<String> = cast.provider.keys().into_iter().map(|key| key.name).collect();
        assert_eq!(names.len(), 2 + usize::from(made), "{name}: {names:?}");
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{name}: each with its own nonce: {names:?}");
        cast.end().await;
    };
    side_by_side(unusable().into_iter().map(case)).await;
}

/// Bondi, unusable replies: nothing can be looked at, and a second mint would end the key in use. Held, once, with the time.
#[tokio::test(flavor = "multi_thread")]
async fn bondi_unusable_replies_are_held_and_nothing_is_sent_again() {
    let case = |(name, how, _): (&'static str, How, bool)| async move {
        let mut cast = bondi(Script::default()).await;
        cast.provider.fail(Fault::once(CallKind::Mint, how));
        cast.start().await;
        let rotation = cast.house.rotate(POLICY).await;
        cast.held("doubt").await;
        assert_eq!(cast.provider.mints(), 1, "{name}");
        reply_is_kept(&cast, &rotation, name).await;
        told_until_when(&cast, &rotation, name).await;

        // Neither a person's `resume` nor a start of the daemon sends it again.
        cast.order(Order::Resume).await.expect("taken");
        cast.held("doubt").await;
        cast.house.stop().await;
        cast.start().await;
        cast.held("doubt").await;
        assert_eq!(cast.provider.mints(), 1, "{name}: nothing is sent again");
        assert!(cast.order(Order::Abandon).await.is_err(), "{name}: giving up would hide that the old key's clock may run");
        reply_is_kept(&cast, &rotation, name).await;
        cast.untouched(name).await;
        cast.end().await;
    };
    side_by_side(unusable().into_iter().map(case)).await;
}

/// The alert about a doubt names the policy, the rotation, until when the old key lives, and the commands.
async fn told_until_when<P: System>(cast: &Cast<P>, rotation: &str, name: &str) {
    let text = cast.told_why("doubt", "doubt").await;
    let end = cast.house.status(POLICY).grace_end.expect("a time");
    let end = end.get(..16).expect("long enough").replace('T', " ");
    assert!(text.contains(&end), "{name}: the alert names the time {end}: {text}");
    assert!(text.contains(rotation) && text.contains(POLICY), "{name}: {text}");
    assert!(!text.contains("bnd_tok_") && !text.contains("wrapd_sk_") && !text.contains("pa_live_"), "{name}: {text}");
    let held = cast.house.status(POLICY).held.expect("held");
    let commands: Vec<&str> = held.ways.iter().map(|way| way.command.as_str()).collect();
    assert!(
        commands.contains(&format!("cutover resume {POLICY} --mint-again --rotation {rotation}").as_str()),
        "{name}: {commands:?}"
    );
    let again = held.ways.iter().find(|way| way.command.contains("--mint-again")).expect("there");
    assert!(again.costs.contains("AT ONCE"), "{name}: what it costs is said: {again:?}");
}

/// Wrapd, unusable replies: a new key in the list may be anybody's. Shown to a person and held; without one, minted again.
#[tokio::test(flavor = "multi_thread")]
async fn wrapd_unusable_replies_show_candidates_or_prove_that_there_are_none() {
    let case = |(name, how, made): (&'static str, How, bool)| async move {
        let mut cast = wrapd(Script::default()).await;
        cast.provider.fail(Fault::once(CallKind::Mint, how));
        cast.start().await;
        let rotation = cast.house.rotate(POLICY).await;
        if !made {
            cast.moved(name).await;
            assert_eq!(cast.provider.mints(), 2, "{name}");
            return cast.end().await;
        }
        cast.held("candidates").await;
        assert_eq!(cast.provider.mints(), 1, "{name}");
        reply_is_kept(&cast, &rotation, name).await;
        let candidate = cast.provider.keys().pop().expect("the key that was made");
        let text = cast.told_why("doubt", "candidates").await;
        assert!(text.contains(&candidate.id), "{name}: the candidate is shown: {text}");
        assert!(text.contains("old key") && text.contains(&rotation), "{name}: {text}");
        cast.order(Order::Resume).await.expect("taken");
        cast.held("candidates").await;
        assert_eq!(cast.provider.mints(), 1, "{name}: a person's resume looks again and sends nothing");
        assert_eq!(cast.provider.revokes(), 0, "{name}: what may be somebody else's is not touched");
        cast.app_is_well(name).await;

        // A person deletes it at the provider: now the list proves that nothing is left, and it goes on.
        let gone = reqwest::Client::new()
            .delete(format!("{}/api-keys/{}", cast.provider.base_url(), candidate.id))
            .bearer_auth(cast.provider.session().expose())
            .send()
            .await
            .expect("sent");
        assert_eq!(gone.status().as_u16(), 204);
        cast.order(Order::Resume).await.expect("taken");
        cast.moved(name).await;
        assert_eq!(cast.provider.mints(), 2, "{name}");
        cast.end().await;
    };
    side_by_side(unusable().into_iter().map(case)).await;
}

/// The reply shows the old key again: it is not taken for new, and never written anywhere.
#[tokio::test(flavor = "multi_thread")]
async fn the_old_key_in_the_reply_is_not_taken_for_a_new_one() {
    let mut cast = plana(Script::default()).await;
    cast.provider.fail(Fault::once(CallKind::Mint, How::OldKeyAgain(Arc::new(cast.old.duplicate()))));
    cast.start().await;
    cast.house.rotate(POLICY).await;
    cast.held("same-key").await;
    assert_eq!(cast.provider.mints(), 1);
    assert_eq!(cast.house.deploys(), 0, "nothing was deployed");
    cast.app_is_well("held").await;
    cast.order(Order::Resume).await.expect("taken");
    cast.rotated("after resume").await;
    assert_eq!(cast.provider.mints(), 2);
    assert_eq!(cast.provider.living(), 1, "the one whose value nobody has is given up: {:?}", cast.provider.keys());
    cast.end().await;

    let mut cast = bondi(Script::default()).await;
    cast.provider.fail(Fault::once(CallKind::Mint, How::OldKeyAgain(Arc::new(cast.old.duplicate()))));
    cast.start().await;
    let rotation = cast.house.rotate(POLICY).await;
    cast.held("same-key").await;
    let text = cast.told_why("held", "same-key").await;
    assert!(text.contains("has or had already") && text.contains(&rotation), "{text}");
    assert!(!text.contains(cast.old.expose()), "{text}");
    cast.order(Order::Resume).await.expect("taken");
    cast.held("doubt").await;
    assert_eq!(cast.provider.mints(), 1, "nothing is sent again");
    assert_eq!(cast.house.deploys(), 0);
    cast.app_is_well("held").await;
    cast.end().await;

    let mut cast = wrapd(Script::default()).await;
    cast.provider.fail(Fault::once(CallKind::Mint, How::OldKeyAgain(Arc::new(cast.old.duplicate()))));
    cast.start().await;
    cast.house.rotate(POLICY).await;
    cast.held("same-key").await;
    cast.order(Order::Resume).await.expect("taken");
    cast.held("candidates").await;
    assert_eq!(cast.provider.mints(), 1, "nothing is sent again");
    cast.app_is_well("held").await;
    cast.end().await;
}

/// 429 with `Retry-After`: certainly nothing happened; asked again, and not before the time that was named.
#[tokio::test(flavor = "multi_thread")]
async fn throttled_mints_wait_as_long_as_they_were_told() {
    async fn case<P: System>(cast: Cast<P>) {
        let mut cast = cast;
        cast.start().await;
        cast.house.rotate(POLICY).await;
        cast.house.until(POLICY, |status| status.phase == "retire").await;
        let at = cast.provider.calls_of(CallKind::Mint);
        assert_eq!(at.len(), 2, "the refused one and one more");
        assert!(at[1].since(at[0]) >= Span::seconds(1_200), "it waited as long as it was told: {:?}", at[1].since(at[0]));
        let kinds = cast.house.history_kinds().await;
        assert!(!kinds.iter().any(|kind| kind == "in-doubt" || kind == "held"), "{kinds:?}");
        cast.app_is_well("throttled").await;
        cast.end().await;
    }
    let throttle = || Fault::once(CallKind::Mint, How::RetryAfter(1_200));
    let (plana, bondi, wrapd) =
        (plana(Script::default()).await, bondi(Script::default()).await, wrapd(Script::default()).await);
    plana.provider.fail(throttle());
    bondi.provider.fail(throttle());
    wrapd.provider.fail(throttle());
    tokio::join!(case(plana), case(bondi), case(wrapd));
}

/// 403: certainly nothing happened, and asking again would not help. Held; no clock runs; `resume` asks again.
#[tokio::test(flavor = "multi_thread")]
async fn forbidden_mints_are_held_with_no_clock_running() {
    async fn case<P: System>(mut cast: Cast<P>) {
        cast.start().await;
        let rotation = cast.house.rotate(POLICY).await;
        cast.held("mint-refused").await;
        assert_eq!(cast.provider.mints(), 1);
        assert!(cast.house.status(POLICY).grace_end.is_none(), "no key was made: no clock runs");
        let text = cast.told_why("held", "mint-refused").await;
        assert!(text.contains("No key was made") && text.contains("403") && text.contains(&rotation), "{text}");
        assert!(text.contains(&format!("cutover resume {POLICY} --rotation {rotation}")), "{text}");
        cast.app_is_well("held").await;
        cast.order(Order::Resume).await.expect("taken");
        cast.house.until(POLICY, |status| status.phase == "retire").await;
        assert_eq!(cast.provider.mints(), 2);
        cast.app_is_well("resumed").await;
        cast.end().await;
    }
    let forbidden = || Fault::once(CallKind::Mint, How::Status { status: 403, applied: false });
    let (plana, bondi, wrapd) =
        (plana(Script::default()).await, bondi(Script::default()).await, wrapd(Script::default()).await);
    plana.provider.fail(forbidden());
    bondi.provider.fail(forbidden());
    wrapd.provider.fail(forbidden());
    tokio::join!(case(plana), case(bondi), case(wrapd));
}

/// 409: somebody's is there already. Looked at where there is a list; held where there is none.
#[tokio::test(flavor = "multi_thread")]
async fn conflicts_are_looked_at_or_held() {
    let (mut plana, mut bondi, mut wrapd) =
        (plana(Script::default()).await, bondi(Script::default()).await, wrapd(Script::default()).await);
    plana.provider.fail(Fault::once(CallKind::Mint, How::NameConflict));
    bondi.provider.fail(Fault::once(CallKind::Mint, How::NameConflict));
    wrapd.provider.fail(Fault::once(CallKind::Mint, How::NameConflict));
    for_all(&mut plana, &mut bondi, &mut wrapd).await;
    plana.rotated("plana").await;
    wrapd.moved("wrapd").await;
    assert_eq!((plana.provider.mints(), wrapd.provider.mints()), (2, 2));
    bondi.held("doubt").await;
    assert_eq!(bondi.provider.mints(), 1);
    bondi.app_is_well("held").await;
    plana.end().await;
    bondi.end().await;
    wrapd.end().await;
}

async fn for_all(
    plana: &mut Cast<cutover_fake::Plana>,
    bondi: &mut Cast<cutover_fake::Bondi>,
    wrapd: &mut Cast<cutover_fake::Wrapd>,
) {
    plana.start().await;
    bondi.start().await;
    wrapd.start().await;
    plana.house.rotate(POLICY).await;
    bondi.house.rotate(POLICY).await;
    wrapd.house.rotate(POLICY).await;
}

/// 401: the credential has ended at the provider. Nothing happened; it goes on by itself once the credential's file changes, even
/// days later and with the calls of days refused.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_credential_is_waited_for_and_taken_up_when_its_file_changes() {
    async fn case<P: System>(mut cast: Cast<P>, wait: Span) {
        cast.start().await;
        cast.house.rotate(POLICY).await;
        let held = cast.house.held(POLICY, "credential").await;
        assert!(held.retries && held.detail.contains("credential"), "{held:?}");
        let alert = cast.house.alerted("credential-expiring").await;
        assert_eq!(alert["policies"][0], POLICY, "{alert}");
        cast.pass(wait).await;
        assert!(cast.field("KEY").is_some_and(|key| key.same_as(&cast.old)));
        assert_eq!(cast.provider.living(), 1, "nothing was made");
        cast.house.write("session", cast.provider.session().expose());
        let renewed = cutover_api::Clock::now(cast.house.clock.as_ref());
        cast.house.until(POLICY, |status| status.phase == "retire").await;
        let tried = cast.provider.calls_of(CallKind::Mint).last().copied().expect("minted");
        assert!(
            tried.since(renewed) < Span::minutes(40),
            "by the change of the file, not by the hourly try: {}",
            tried.since(renewed)
        );
        cast.app_is_well("renewed").await;
        assert_eq!(cast.house.status(POLICY).held, None);
        cast.house.alerted("recovered").await;
        let told = |kind: &str| cast.house.alert_kinds().iter().filter(|other| *other == kind).count();
        assert_eq!((told("credential-expiring"), told("recovered")), (1, 1), "{:?}", cast.house.alert_kinds());
        cast.end().await;
    }
    let ended = || Fault::once(CallKind::Mint, How::CredentialExpired);
    let script = || Script { speed: 3_600, ..Script::default() };
    let (plana, bondi, wrapd) = (plana(script()).await, bondi(script()).await, wrapd(script()).await);
    plana.provider.fail(ended());
    bondi.provider.fail(ended());
    wrapd.provider.fail(ended());
    tokio::join!(case(plana, Span::hours(9)), case(bondi, Span::minutes(30)), case(wrapd, Span::hours(9)));
}

/// A credential that stays expired over a night: a provider without a list shows it only by refusing the mint.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_credential_that_only_the_mint_shows_is_taken_up_after_a_night_too() {
    let mut cast = bondi(Script { speed: 7_200, ..Script::default() }).await;
    cast.provider.fail(Fault::once(CallKind::Mint, How::CredentialExpired));
    cast.start().await;
    cast.house.rotate(POLICY).await;
    cast.pass(Span::hours(12)).await;
    assert_eq!(cast.provider.living(), 1, "nothing was made");
    cast.house.write("session", cast.provider.session().expose());
    cast.house.until(POLICY, |status| status.phase == "retire").await;
    cast.app_is_well("renewed").await;
    cast.end().await;
}

/// No reply for minutes: the call has its own deadline, grace alerts go off while it hangs, and what may have been made is looked up.
#[tokio::test(flavor = "multi_thread")]
async fn a_mint_that_hangs_ends_by_its_deadline_and_alarms_go_off_meanwhile() {
    // The shipped definitions wait 30 s of real time: too long for a test. The process is stopped in the middle instead.
    let mut cast = plana(Script { speed: 3_600, policy: String::from("grace = \"10h\"\n"), ..Script::default() }).await;
    let gate = cast.provider.hang(CallKind::Mint, true);
    cast.start().await;
    cast.house.rotate(POLICY).await;
    gate.reached_by(1).await;
    assert!(cast.order(Order::Abandon).await.is_err(), "a call that is under way is not given up");
    let alert = cast.house.alerted("grace-ending").await;
    assert!(alert["text"].as_str().is_some_and(|text| text.contains("%")), "{alert}");
    assert_eq!(cast.provider.mints(), 1);
    cast.app_is_well("hanging").await;
    // The reply comes after hours: it is a reply all the same.
    gate.open();
    cast.rotated("late").await;
    assert_eq!(cast.provider.mints(), 1);
    cast.end().await;
}

/// The same with a reply that never comes: the deadline of the call (30 s) ends it, and the look finds the orphan or nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_mint_without_a_reply_for_minutes_is_in_doubt_by_its_deadline() {
    let script = || Script { speed: 600, ..Script::default() };
    let (mut plana, mut bondi, mut wrapd) = (plana(script()).await, bondi(script()).await, wrapd(script()).await);
    let gates = [
        plana.provider.hang(CallKind::Mint, true),
        bondi.provider.hang(CallKind::Mint, true),
        wrapd.provider.hang(CallKind::Mint, true),
    ];
    for_all(&mut plana, &mut bondi, &mut wrapd).await;
    for gate in &gates {
        gate.reached_by(1).await;
    }
    let doubted = tokio::time::timeout(Duration::from_secs(50), bondi.held("doubt")).await;
    assert!(doubted.is_ok());
    wrapd.held("candidates").await;
    plana.rotated("plana").await;
    assert_eq!((plana.provider.mints(), bondi.provider.mints(), wrapd.provider.mints()), (2, 1, 1));
    assert_eq!(plana.provider.living(), 1, "{:?}", plana.provider.keys());
    bondi.app_is_well("bondi").await;
    wrapd.app_is_well("wrapd").await;
    plana.end().await;
    bondi.end().await;
    wrapd.end().await;
}
