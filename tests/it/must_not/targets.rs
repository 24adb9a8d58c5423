//! What must not happen to targets and hooks: M8, M9, M20, M24.

use cutover_api::Span;
use cutover_fake::CallKind;
use cutover_machine::event::Order;

use super::assert_ways;
use super::shop::{BondiShop, PlanaShop, placed};

/// M8: the hook fails. The rotation is not done, the old key is not touched, and nothing says otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn m08_a_rotation_whose_deploy_failed_is_not_done() {
    let mut shop = PlanaShop::open(600).await;
    shop.house.on_deploy(|| false);
    let config = shop.usual();
    shop.house.start(&config).await;
    let rotation = shop.house.rotate("sync").await;
    shop.house.held("sync", "hook").await;
    let check = |status: cutover::engine::PolicyStatus| {
        assert_eq!(status.phase, "deploy");
        assert_eq!(status.ended, None);
        assert_eq!(status.rotated_at, None, "the new key is not in use");
    };
    check(shop.house.status("sync"));
    let alert = shop.house.alerted("held").await;
    assert!(alert["text"].as_str().is_some_and(|text| text.contains(&rotation)), "{alert}");
    // Each step is its own durable fact: a start goes on at the hook, not at the mint and not at the write.
    shop.house.stop().await;
    shop.house.start(&config).await;
    check(shop.house.status("sync"));
    let kinds = shop.house.history_kinds().await;
    assert!(kinds.iter().any(|kind| kind == "written") && !kinds.iter().any(|kind| kind == "deployed" || kind == "cutover"));
    assert_eq!(shop.plana.mints(), 1);
    assert_eq!(shop.plana.revokes(), 0);
    assert!(shop.plana.accepts(&shop.old));
    assert_eq!(shop.consumer.refused(), 0);
    shop.close().await;
}

/// M8: a target that somebody sets back while the rotation is watched is found and written again before the old key may end.
#[tokio::test(flavor = "multi_thread")]
async fn m08_a_target_that_was_set_back_is_written_again() {
    let mut shop = PlanaShop::open(600).await;
    shop.house.start(&shop.usual()).await;
    shop.house.rotate("sync").await;
    shop.house.until("sync", |status| status.phase == "observe").await;
    let new = shop.placed();
    shop.house.write("app.env", &format!("PLANA_KEY={}\n", shop.old.expose()));
    shop.consumer.restart();
    shop.house.closed("sync").await;
    assert!(shop.placed().same_as(&new));
    let kinds = shop.house.history_kinds().await;
    assert!(kinds.iter().any(|kind| kind == "set-back"), "{kinds:?}");
    shop.consumer.more_calls(3).await;
    assert_eq!(shop.consumer.refused(), 0);
    shop.close().await;
}

/// M9: one of two targets cannot be written. The other gets the new key, a person gets the list, nothing is minted again to mend it,
/// no hook runs on half of it, and it goes on by itself when the target can be written.
#[tokio::test(flavor = "multi_thread")]
async fn m09_targets_that_are_split_are_told_and_only_the_missing_one_is_retried() {
    let mut shop = BondiShop::open(600).await;
    std::fs::create_dir(shop.house.path("b")).expect("made");
    shop.house.write("b/app.env", &format!("TOKEN={}\n", shop.old.expose()));
    let more = "[[policy.crm.target]]\nstore = \"env\"\npath = \"b/app.env\"\nfields = { TOKEN = \"{{ new.secret }}\" }\n";
    shop.house.start(&shop.policy("bondi", "cadence = \"1y\"", more)).await;
    let gate = shop.bondi.hang(CallKind::Mint, true);
    let rotation = shop.house.rotate("crm").await;
    gate.reached_by(1).await;
    // All was well in the preflight; the second store goes away while the mint is under way.
    std::fs::rename(shop.house.path("b"), shop.house.path("away")).expect("moved");
    gate.open();
    let held = shop.house.held("crm", "store").await;
    assert!(held.detail.contains("b/app.env"), "{}", held.detail);
    assert!(held.retries);
    assert_ways(&held, &rotation);
    assert!(
        shop.bondi.accepts(&shop.placed()) && !shop.placed().same_as(&shop.old),
        "the target that is there has the new key"
    );
    let alert = shop.house.alerted("held").await;
    assert!(alert["text"].as_str().is_some_and(|text| text.contains("b/app.env")), "{alert}");
    assert_eq!(shop.house.deploys(), 0, "nothing is deployed while a target is missing");
    let history = shop.house.history().await;
    assert_eq!(history.iter().filter(|row| row.entry.kind == "written").count(), 1);
    std::fs::rename(shop.house.path("away"), shop.house.path("b")).expect("moved");
    shop.house.until("crm", |status| status.phase == "retire").await;
    assert!(placed(&shop.house, "b/app.env", "TOKEN").same_as(&shop.placed()), "both hold the same key");
    assert_eq!(shop.bondi.mints(), 1, "a store is never mended by another mint");
    let history = shop.house.history().await;
    assert_eq!(
        history.iter().filter(|row| row.entry.kind == "written").count(),
        2,
        "the target that had it was not written again"
    );
    shop.house.alerted("recovered").await;
    assert_eq!(shop.consumer.refused(), 0);
    shop.close().await;
}

/// M9: at three quarters of the grace a target is still missing. What is staged is deployed, so that only what is missing goes down.
#[tokio::test(flavor = "multi_thread")]
async fn m09_what_is_staged_is_deployed_before_the_grace_is_over() {
    let mut shop = BondiShop::open(7200).await;
    std::fs::create_dir(shop.house.path("b")).expect("made");
    shop.house.write("b/app.env", &format!("TOKEN={}\n", shop.old.expose()));
    let more = "[[policy.crm.target]]\nstore = \"env\"\npath = \"b/app.env\"\nfields = { TOKEN = \"{{ new.secret }}\" }\n";
    shop.house.start(&shop.policy("bondi", "cadence = \"1y\"", more)).await;
    let gate = shop.bondi.hang(CallKind::Mint, true);
    shop.house.rotate("crm").await;
    gate.reached_by(1).await;
    std::fs::rename(shop.house.path("b"), shop.house.path("away")).expect("moved");
    gate.open();
    shop.house.held("crm", "store").await;
    let status = shop.house.until("crm", |status| status.grace_percent.is_some_and(|percent| percent >= 95)).await;
    assert!(shop.house.deploys() >= 1, "{status:?}\n{:?}", shop.house.history_kinds().await);
    assert!(shop.bondi.accepts(&shop.old));
    shop.house.until("crm", |status| status.grace_percent.is_some_and(|percent| percent >= 110)).await;
    shop.consumer.more_calls(3).await;
    assert_eq!(shop.consumer.refused(), 0, "the application that reads the first target has moved in time");
    assert_eq!(shop.bondi.mints(), 1);
    shop.close().await;
}

/// M20: a hook that works runs once for one key, over a stop and a start; one that fails is tried five times, then held, not more.
#[tokio::test(flavor = "multi_thread")]
async fn m20_a_hook_runs_once_and_a_failing_one_five_times() {
    let mut shop = BondiShop::open(1200).await;
    let config = shop.usual();
    shop.house.start(&config).await;
    shop.house.rotate("crm").await;
    shop.house.until("crm", |status| status.phase == "retire").await;
    for _ in 0..3 {
        shop.house.stop().await;
        shop.house.start(&config).await;
        shop.house.pass(Span::minutes(20)).await;
    }
    assert_eq!(shop.house.deploys(), 1);
    shop.close().await;

    let mut shop = BondiShop::open(2400).await;
    shop.house.on_deploy(|| false);
    shop.house.start(&shop.usual()).await;
    let rotation = shop.house.rotate("crm").await;
    let held = shop.house.held("crm", "hook").await;
    assert_ways(&held, &rotation);
    shop.house.pass(Span::hours(3)).await;
    assert_eq!(shop.house.deploys(), 5);
    let restarter = shop.consumer.restarter();
    shop.house.on_deploy(move || {
        restarter.restart();
        true
    });
    shop.house.engine().order("crm", Some(&rotation), Order::Resume, "test", None).await.expect("taken");
    shop.house.until("crm", |status| status.phase == "retire").await;
    assert_eq!(shop.house.deploys(), 6);
    assert_eq!(shop.consumer.refused(), 0);
    shop.close().await;
}
