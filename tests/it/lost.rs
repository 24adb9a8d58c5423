//! The lost reply of a shown-once key, in each of the three systems; and a stop in the middle.

use std::time::Duration;

use cutover_fake::{Bondi, CallKind, Calling, Consumer, Fault, How, Plana, keys_in_file};
use cutover_machine::event::Order;

use crate::House;
use crate::seeds::bondi_policy;

const PACE: Option<Duration> = Some(Duration::from_millis(2));

/// M2, M3: the reply of Bondi's rotate call is lost. Nothing is sent again, the application goes on with the old token, a person is
/// told until when; and when that person says so, it is rotated again.
#[tokio::test(flavor = "multi_thread")]
async fn m2_bondi_lost_reply_holds_still_and_says_until_when() {
    let mut house = House::new(3600).await;
    let bondi = Bondi::start(house.clock.clone()).await;
    let (_, old) = bondi.seed("ws_1", "my-crm");
    house.write("app.env", &format!("BONDI_INTEGRATION_TOKEN={}\n", old.expose()));
    house.write("session", bondi.session().expose());
    let keys = keys_in_file(house.path("app.env"), &["BONDI_INTEGRATION_TOKEN"]);
    let url = format!("{}/integrations/custom/ws_1/my-crm/emit", bondi.base_url());
    let mut consumer = Consumer::start(Calling::Emit(url), keys, house.clock.clone(), PACE).await.expect("a consumer");
    let restarter = consumer.restarter();
    house.on_deploy(move || {
        restarter.restart();
        true
    });
    bondi.fail(Fault::once(CallKind::Mint, How::LoseReply));
    house.start(&bondi_policy(&house, &bondi.base_url(), consumer.health_url().as_str())).await;
    let rotation = house.rotate("crm").await;
    let status = house.until("crm", |status| status.held.as_ref().is_some_and(|held| held.why == "doubt")).await;
    assert_eq!(bondi.mints(), 1, "an intent to mint is sent once");
    assert!(status.grace_end.is_some(), "the exact time at which the old key dies is known");
    let alert = house.alerted("doubt").await;
    let text = alert["text"].as_str().unwrap_or_default();
    assert!(text.contains("crm") && text.contains(&rotation), "{text}");
    consumer.more_calls(10).await;
    assert_eq!(consumer.refused(), 0, "the application goes on with the old token");
    assert!(bondi.accepts(&old));

    // `resume` looks again, finds nothing to look at, and never sends a mint by itself.
    house.engine().order("crm", Some(&rotation), Order::Resume, "test", None).await.expect("taken");
    house.until("crm", |status| status.held.is_some()).await;
    assert_eq!(bondi.mints(), 1);
    let other = house.engine().order("crm", Some("rot_other"), Order::Resume, "test", None).await;
    assert!(other.is_err(), "another rotation's id is refused");

    // A person orders it: the recovery of Bondi's own page.
    house.engine().order("crm", Some(&rotation), Order::MintAgain, "test", Some("planned")).await.expect("taken");
    house.closed("crm").await;
    assert_eq!(bondi.mints(), 2);
    consumer.stop().await;
    house.stop().await;
}

/// PLANA, lost reply: the orphan is found by the nonce in its name, given up by its id, and another key is minted.
#[tokio::test(flavor = "multi_thread")]
async fn m7_plana_lost_reply_finds_the_orphan_by_its_nonce() {
    let mut house = House::new(1200).await;
    let plana = Plana::start(house.clock.clone()).await;
    let (old_id, old) = plana.seed("Nightly stock sync (2025)", "dashboard:read");
    let (_, theirs) = plana.seed("somebody else's key", "dashboard:read");
    house.write("app.env", &format!("PLANA_KEY={}\n", old.expose()));
    house.write("session", plana.session().expose());
    let keys = keys_in_file(house.path("app.env"), &["PLANA_KEY"]);
    let url = format!("{}/api/v1/dashboard", plana.base_url());
    let mut consumer = Consumer::start(Calling::Bearer(url), keys, house.clock.clone(), PACE).await.expect("a consumer");
    let restarter = consumer.restarter();
    house.on_deploy(move || {
        restarter.restart();
        true
    });
    plana.fail(Fault::once(CallKind::Mint, How::LoseReply));
    let config = format!(
        "[provider.plana]\nbase_url = \"{base}\"\ncredential = {{ file = \"{dir}/session\" }}\n\
         [policy.sync]\nprovider = \"plana\"\ncadence = \"1y\"\nparams = {{ base_name = \"Nightly stock sync\" }}\n\
         grace = \"24h\"\nquiet = \"30m\"\nadopt = {{ id = \"{old_id}\" }}\n\
         [[policy.sync.target]]\nstore = \"env\"\npath = \"app.env\"\nfields = {{ PLANA_KEY = \"{{{{ new.secret }}}}\" }}\n\
         [[policy.sync.redeploy]]\nkind = \"http\"\nrequest = \"POST http://127.0.0.1:{port}/deploy\"\ntimeout = \"1m\"\n\
         [[policy.sync.verify]]\nkind = \"last-used\"\n",
        base = plana.base_url(),
        dir = house.dir.path().display(),
        port = house.port,
    );
    house.start(&config).await;
    house.rotate("sync").await;
    let status = house.closed("sync").await;
    assert_eq!(status.ended.as_deref(), Some("done"));
    assert_eq!(plana.mints(), 2, "the lost one and the one in use");
    assert!(plana.accepts(&theirs), "a key that is not ours is never touched");
    let live = plana.keys().into_iter().filter(|key| key.alive).count();
    assert_eq!(live, 2, "no orphan is left: {:?}", plana.keys());
    let kinds = house.history_kinds().await;
    assert!(kinds.iter().any(|kind| kind == "orphan-discarded"), "{kinds:?}");
    consumer.stop().await;
    assert_eq!(consumer.refused(), 0);
    house.stop().await;
}

/// A stop in the middle and a start: the rotation goes on where it was, and nothing is minted twice.
#[tokio::test(flavor = "multi_thread")]
async fn m11_a_restart_goes_on_and_rotates_nothing_new() {
    let mut house = House::new(3600).await;
    let bondi = Bondi::start(house.clock.clone()).await;
    let (_, old) = bondi.seed("ws_1", "my-crm");
    house.write("app.env", &format!("BONDI_INTEGRATION_TOKEN={}\n", old.expose()));
    house.write("session", bondi.session().expose());
    let keys = keys_in_file(house.path("app.env"), &["BONDI_INTEGRATION_TOKEN"]);
    let url = format!("{}/integrations/custom/ws_1/my-crm/emit", bondi.base_url());
    let mut consumer = Consumer::start(Calling::Emit(url), keys, house.clock.clone(), PACE).await.expect("a consumer");
    let restarter = consumer.restarter();
    house.on_deploy(move || {
        restarter.restart();
        true
    });
    let config = bondi_policy(&house, &bondi.base_url(), consumer.health_url().as_str());
    house.start(&config).await;
    // Starting rotates nothing that is not due, however often.
    for _ in 0..3 {
        house.stop().await;
        house.start(&config).await;
    }
    assert_eq!(bondi.mints(), 0);
    house.rotate("crm").await;
    house.until("crm", |status| status.phase == "observe").await;
    house.stop().await;
    house.start(&config).await;
    house.closed("crm").await;
    assert_eq!(bondi.mints(), 1);
    consumer.stop().await;
    assert_eq!(consumer.refused(), 0);
    house.stop().await;
}
