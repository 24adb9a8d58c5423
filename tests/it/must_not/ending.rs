//! What must not happen to the old key: M4, M5, M6, M7, M23, M25, M28, M29.

use cutover_api::{Span, Stamp};
use cutover_fake::{CallKind, Fault, How};
use cutover_machine::event::Order;

use super::assert_ways;
use super::outpost::{Outpost, define};
use super::shop::{PlanaShop, placed, plana_consumer};
use crate::House;

/// M4: the application never moves to the new key. However long that lasts, the old key lives; a person is told, before and after the
/// end of the grace. When the application moves at last, late by far, that alone is no surprise that needs a person: the old key is
/// quiet from then on, and the rotation goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn m04_the_old_key_is_never_revoked_by_a_timer() {
    let mut shop = PlanaShop::open(3600).await;
    shop.house.on_deploy(|| true);
    let config = shop.usual();
    shop.house.start(&config).await;
    shop.house.rotate("sync").await;
    shop.house.alerted("grace-ending").await;
    shop.house.alerted("grace-ended").await;
    shop.house.pass(Span::hours(4)).await;
    // A stop and a start is no reason either.
    shop.house.stop().await;
    shop.house.start(&config).await;
    shop.house.pass(Span::hours(2)).await;
    assert_eq!(shop.house.status("sync").phase, "observe");
    assert_eq!(shop.plana.revokes(), 0);
    assert!(shop.plana.accepts(&shop.old));
    assert_eq!(shop.consumer.refused(), 0);
    shop.consumer.restart();
    let status = shop.house.closed("sync").await;
    assert_eq!(status.ended.as_deref(), Some("done"));
    assert_eq!(shop.plana.revokes(), 1);
    assert_eq!(shop.consumer.refused(), 0);
    shop.close().await;
}

/// M4: a second user of the old key that nobody restarted keeps it alive, although the first one has moved.
#[tokio::test(flavor = "multi_thread")]
async fn m04_a_user_that_stays_behind_keeps_the_old_key_alive() {
    let mut shop = PlanaShop::open(2400).await;
    let mut behind = plana_consumer(&shop.house, &shop.plana).await;
    shop.house.start(&shop.usual()).await;
    let rotation = shop.house.rotate("sync").await;
    let held = shop.house.held("sync", "old-still-used").await;
    assert_ways(&held, &rotation);
    shop.house.pass(Span::hours(5)).await;
    assert_eq!(shop.plana.revokes(), 0);
    assert_eq!(behind.refused() + shop.consumer.refused(), 0);
    // M21: the way out that the alert names goes on.
    behind.restart();
    behind.more_calls(2).await;
    shop.house.engine().order("sync", Some(&rotation), Order::Resume, "test", None).await.expect("taken");
    let status = shop.house.closed("sync").await;
    assert_eq!(status.ended.as_deref(), Some("done"));
    assert_eq!(behind.refused() + shop.consumer.refused(), 0);
    behind.stop().await;
    shop.close().await;
}

/// M5: only cutover itself has used the new key. That is no evidence, however long nobody uses the old one.
#[tokio::test(flavor = "multi_thread")]
async fn m05_its_own_probe_is_no_evidence() {
    let mut shop = PlanaShop::open(3600).await;
    shop.consumer.stop().await;
    shop.house.start(&shop.usual()).await;
    shop.house.rotate("sync").await;
    shop.house.until("sync", |status| status.phase == "observe").await;
    shop.house.pass(Span::hours(8)).await;
    let keys = shop.plana.keys();
    let new = keys.iter().find(|key| key.id != shop.old_id).expect("minted");
    assert!(new.used >= 1 && new.last_used_at.is_some(), "the provider did see a use of the new key: cutover's own");
    assert_eq!(shop.house.status("sync").phase, "observe");
    let kinds = shop.house.history_kinds().await;
    assert!(!kinds.iter().any(|kind| kind == "evidence" || kind == "cutover"), "{kinds:?}");
    assert_eq!(shop.plana.revokes(), 0);
    // A use that is not cutover's is evidence.
    let mut user = plana_consumer(&shop.house, &shop.plana).await;
    shop.house.closed("sync").await;
    assert_eq!(user.refused(), 0);
    user.stop().await;
    shop.close().await;
}

/// M6: last use is told late and rounded. A use of the new key from before the last restart is no evidence, and a grace that leaves no
/// room for the lag is refused with the arithmetic.
#[tokio::test(flavor = "multi_thread")]
async fn m06_last_used_is_late_and_rounded() {
    let mut shop = PlanaShop::open(1200).await;
    shop.plana.tell_last_used(Span::MINUTE, Span::MINUTE);
    shop.house.start(&shop.usual()).await;
    shop.house.rotate("sync").await;
    shop.house.closed("sync").await;
    shop.consumer.more_calls(3).await;
    assert_eq!(shop.consumer.refused(), 0);
    let history = shop.house.history().await;
    let at = |kind: &str| history.iter().find(|row| row.entry.kind == kind).map(|row| row.entry.at).expect("there");
    assert!(at("evidence").since(at("deployed")) >= Span::MINUTE, "a use counts only from the next grain after the restart");
    assert!(at("quiet").since(at("deployed")) >= Span::minutes(31), "quiet is the span and the lag");
    shop.close().await;

    let mut shop = PlanaShop::open(2).await;
    let short = shop.policy("grace = \"2m\"\nquiet = \"1m\"");
    let clock = shop.house.clock.clone();
    let refused = shop.house.try_start(&short, super::outpost::nowhere(), clock).await.expect_err("refused");
    assert!(refused.contains("policy.sync.grace"), "{refused}");
    shop.close().await;
}

/// M6, M5: a provider that claims a use of the new key which was before the restart is not believed.
#[tokio::test(flavor = "multi_thread")]
async fn m06_a_use_from_before_the_restart_is_no_evidence() {
    let mut shop = PlanaShop::open(3600).await;
    shop.consumer.stop().await;
    let before = cutover_api::Clock::now(shop.house.clock.as_ref());
    shop.plana.fail(Fault::always(CallKind::List, How::LastUsedLies(Some(before))));
    shop.house.start(&shop.usual()).await;
    shop.house.rotate("sync").await;
    shop.house.until("sync", |status| status.phase == "observe").await;
    shop.house.pass(Span::hours(5)).await;
    assert_eq!(shop.house.status("sync").phase, "observe");
    assert_eq!(shop.plana.revokes(), 0);
    shop.close().await;
}

/// M7: a key that cutover neither made nor was told to adopt is left alone, and that is said.
#[tokio::test(flavor = "multi_thread")]
async fn m07_a_key_that_is_not_ours_is_never_ended() {
    let mut shop = PlanaShop::open(1200).await;
    shop.house.start(&shop.policy("grace = \"6h\"\nquiet = \"30m\"")).await;
    shop.house.rotate("sync").await;
    let status = shop.house.closed("sync").await;
    assert_eq!(status.ended.as_deref(), Some("old-left"));
    assert!(shop.plana.accepts(&shop.old));
    assert_eq!(shop.plana.revokes(), 0);
    assert_eq!(shop.consumer.refused(), 0);
    shop.close().await;
}

/// M7: `adopt` names a key whose prefix in the list is not that of the value in the targets: somebody else's. Nothing is minted and
/// nothing is revoked: a mismatch stops.
#[tokio::test(flavor = "multi_thread")]
async fn m07_an_adopted_id_that_is_another_key_stops_the_preflight() {
    let mut shop = PlanaShop::open(1200).await;
    let (their_id, theirs) = shop.plana.seed("somebody else's key", "dashboard:read");
    shop.house.start(&shop.policy(&format!("grace = \"6h\"\nquiet = \"30m\"\nadopt = {{ id = \"{their_id}\" }}"))).await;
    shop.house.rotate("sync").await;
    let status = shop.house.until("sync", |status| status.held.is_some() || status.ended.is_some()).await;
    assert!(shop.plana.accepts(&theirs), "a key that the targets do not hold was revoked: {status:?}");
    assert_eq!(status.held.map(|held| held.why).as_deref(), Some("preflight"));
    assert_eq!(shop.plana.mints(), 0);
    shop.close().await;
}

/// M23: a key that signs for itself. The mint is signed with the old key, every call after it with the new one; a new key that is not
/// accepted at once is waited for, and the old one is not ended before.
#[tokio::test(flavor = "multi_thread")]
async fn m23_a_key_that_rotates_itself_signs_its_end_with_the_new_key() {
    let mut house = House::new(600).await;
    let (outpost, first_id, old) = Outpost::start(house.clock.clone()).await;
    house.write("app.env", &format!("KEY={}\n", old.expose()));
    let definitions = define(
        &house,
        "outpost-self",
        "lifecycle = \"overlap\"\n[declares]\nre_rotate = \"keeps-all\"\nauthority = \"self\"\nnegative_probe = \"allowed\"\nsettle = \"5s\"\n\
         [auth]\nbearer = \"{{ credential }}\"\n[issue]\nrequest = \"POST /keys\"\nextract = { \"new.id\" = \"/id\", \"new.secret\" = \"/key\" }\n\
         [revoke]\nrequest = \"DELETE /keys/{{ key.id }}\"\n\
         [probe]\nrequest = \"GET /me\"\nauth = { bearer = \"{{ key.secret }}\" }\naccepted = { status = [200] }\nrefused = { status = [401] }\n",
    );
    let config = format!(
        "[provider.outpost-self]\nbase_url = \"{}\"\n\
         [policy.own]\nprovider = \"outpost-self\"\ncadence = \"1y\"\ngrace = \"2h\"\nquiet = \"10m\"\nadopt = {{ id = \"{first_id}\" }}\n\
         [[policy.own.target]]\nstore = \"env\"\npath = \"app.env\"\nfields = {{ KEY = \"{{{{ new.secret }}}}\" }}\n\
         [[policy.own.verify]]\nkind = \"command\"\nrun = [\"/bin/true\"]\nevery = \"1m\"\n",
        outpost.base_url(),
    );
    let clock = house.clock.clone();
    house.try_start(&config, &definitions, clock).await.expect("started");
    let rotation = house.rotate("own").await;
    let retiring = |status: &cutover::engine::PolicyStatus| {
        status.ended.is_some() || status.waits_for.as_deref().is_some_and(|waits| waits.contains("--retire"))
    };
    let status = house.until("own", retiring).await;
    if status.ended.is_none() {
        // Nothing shows the old key's use here, so a person says that it may go.
        assert!(outpost.calls("revoke").is_empty());
        house.engine().order("own", Some(&rotation), Order::ConfirmRetire, "test", None).await.expect("taken");
    }
    house.closed("own").await;
    assert_eq!(outpost.calls("issue"), [first_id], "the mint is signed by the key there was");
    let revokes = outpost.calls("revoke");
    assert!(!revokes.is_empty() && revokes.iter().all(|signer| signer == "op_2"), "{revokes:?}");
    let new = placed(&house, "app.env", "KEY");
    assert!(outpost.accepts(new.expose()) && !outpost.accepts(old.expose()));
    house.stop().await;
}

/// M25: giving a rotation up after the new key was written goes the whole way back, over the same steps, while the old key lives.
#[tokio::test(flavor = "multi_thread")]
async fn m25_going_back_takes_nobody_down() {
    let mut shop = PlanaShop::open(1200).await;
    shop.house.start(&shop.usual()).await;
    let rotation = shop.house.rotate("sync").await;
    shop.house.until("sync", |status| status.phase == "observe").await;
    let made = shop.placed();
    assert!(!made.same_as(&shop.old));
    shop.house.engine().order("sync", Some(&rotation), Order::Abandon, "test", Some("a bad release")).await.expect("taken");
    let status = shop.house.closed("sync").await;
    assert_eq!(status.ended.as_deref(), Some("abandoned"));
    assert!(shop.placed().same_as(&shop.old), "the key from before stands in the target again");
    assert!(shop.plana.accepts(&shop.old) && !shop.plana.accepts(&made), "the one that was made is gone");
    shop.consumer.more_calls(5).await;
    assert_eq!(shop.consumer.refused(), 0);
    shop.close().await;
}

/// M28: a revoked key that is still accepted is not reported dead: a person is told, and it is dead when it is refused.
#[tokio::test(flavor = "multi_thread")]
async fn m28_a_revoked_key_is_dead_only_when_it_is_refused() {
    let mut shop = PlanaShop::open(600).await;
    let lingers = Span::minutes(40);
    shop.plana.revocation_takes(lingers);
    shop.house.start(&shop.usual()).await;
    let rotation = shop.house.rotate("sync").await;
    let held = shop.house.held("sync", "old-still-accepted").await;
    assert_ways(&held, &rotation);
    assert!(held.retries);
    assert!(shop.plana.accepts(&shop.old));
    assert_eq!(shop.house.status("sync").ended, None);
    shop.house.alerted("held").await;
    shop.house.closed("sync").await;
    assert!(!shop.plana.accepts(&shop.old));
    let history = shop.house.history().await;
    let at = |kind: &str| history.iter().find(|row| row.entry.kind == kind).map(|row| row.entry.at).expect("there");
    // The double counts from the call, the history from its reply.
    assert!(at("old-dead").since(at("revoked")) >= Span(lingers.0 - Span::minutes(5).0));
    assert_eq!(shop.consumer.refused(), 0);
    shop.close().await;
}

/// M29: the provider grants less grace than it was asked for. What it granted counts, for the status as for the alerts.
#[tokio::test(flavor = "multi_thread")]
async fn m29_the_grace_that_was_granted_counts() {
    let mut house = House::new(1200).await;
    let (outpost, first_id, old) = Outpost::start(house.clock.clone()).await;
    outpost.grant(Span::hours(3));
    house.write("app.env", &format!("KEY={}\n", old.expose()));
    house.write("admin", super::outpost::ADMIN);
    let definitions = define(
        &house,
        "outpost-grace",
        "lifecycle = \"grace\"\n[declares]\nre_rotate = \"keeps-all\"\ngrace = { choices = [\"1h\", \"24h\"] }\nsettle = \"5s\"\n\
         [auth]\nbearer = \"{{ credential }}\"\n[rotate]\nrequest = \"POST /rotate\"\njson = { minutes = \"{{ grace.minutes }}\" }\n\
         extract = { \"new.id\" = \"/id\", \"new.secret\" = \"/key\", \"old.expires_at\" = \"/old_ends\" }\n",
    );
    let config = format!(
        "[provider.outpost-grace]\nbase_url = \"{}\"\ncredential = {{ file = \"{}/admin\" }}\n\
         [policy.own]\nprovider = \"outpost-grace\"\ncadence = \"1y\"\ngrace = \"24h\"\nquiet = \"10m\"\nadopt = {{ id = \"{first_id}\" }}\n\
         [[policy.own.target]]\nstore = \"env\"\npath = \"app.env\"\nfields = {{ KEY = \"{{{{ new.secret }}}}\" }}\n\
         [[policy.own.verify]]\nkind = \"command\"\nrun = [\"/bin/false\"]\nevery = \"5m\"\n",
        outpost.base_url(),
        house.dir.path().display(),
    );
    let clock = house.clock.clone();
    house.try_start(&config, &definitions, clock).await.expect("started");
    house.rotate("own").await;
    let status = house.until("own", |status| status.phase == "observe").await;
    let end: jiff::Timestamp = status.grace_end.expect("known").parse().expect("RFC 3339");
    let history = house.history().await;
    let minted = history.iter().find(|row| row.entry.kind == "minted").expect("minted").entry.at;
    let granted = Stamp(end.as_millisecond()).since(minted);
    assert!(granted <= Span::hours(3) && granted >= Span(Span::hours(3).0 - Span::minutes(10).0), "{granted}");
    house.alerted("grace-ending").await;
    house.alerted("grace-ended").await;
    assert!(!outpost.accepts(old.expose()), "the alert about the end is not before the end");
    let history = house.history().await;
    let ending = history.iter().find(|row| row.entry.kind == "grace-ending").expect("told before").entry.at;
    assert!(ending.0 < end.as_millisecond(), "a person is woken while there is grace left");
    house.stop().await;
}
