//! Bugs that were found by reading, each named after what went wrong.

use std::time::Duration;

use cutover_config::Selector;
use cutover_fake::{Bondi, Calling, Consumer, keys_in_file};

use crate::House;
use crate::seeds::bondi_policy;

const PACE: Option<Duration> = Some(Duration::from_millis(2));

/// A house with Bondi's CRM in it, not started.
async fn crm(speed: u32) -> (House, Bondi, Consumer, String) {
    let house = House::new(speed).await;
    let bondi = Bondi::start(house.clock.clone()).await;
    let (_, old) = bondi.seed("ws_1", "my-crm");
    house.write("app.env", &format!("BONDI_INTEGRATION_TOKEN={}\n", old.expose()));
    house.write("session", bondi.session().expose());
    let keys = keys_in_file(house.path("app.env"), &["BONDI_INTEGRATION_TOKEN"]);
    let url = format!("{}/integrations/custom/ws_1/my-crm/emit", bondi.base_url());
    let consumer = Consumer::start(Calling::Emit(url), keys, house.clock.clone(), PACE).await.expect("a consumer");
    let restarter = consumer.restarter();
    house.on_deploy(move || {
        restarter.restart();
        true
    });
    let config = bondi_policy(&house, &bondi.base_url(), consumer.health_url().as_str());
    (house, bondi, consumer, config)
}

/// Two orders at the same moment opened two rotations, and the second one's mint ended the key that the first had just made.
#[tokio::test(flavor = "multi_thread")]
async fn two_orders_at_once_open_one_rotation() {
    let (mut house, bondi, mut consumer, config) = crm(1200).await;
    house.start(&config).await;
    let selector = Selector { policies: vec![String::from("crm")], ..Selector::default() };
    let begun = {
        let engine = house.engine();
        let [a, b, c, d] = [(); 4].map(|()| engine.rotate(&selector, "test", None));
        let (a, b, c, d) = tokio::join!(a, b, c, d);
        [a, b, c, d].iter().flatten().filter(|started| started.refused.is_none()).count()
    };
    assert_eq!(begun, 1, "one rotation a policy");
    house.until("crm", |status| status.phase == "retire").await;
    assert_eq!(bondi.mints(), 1);
    consumer.stop().await;
    assert_eq!(consumer.refused(), 0);
    house.stop().await;
}

/// A policy that was taken out of the file and put back was never due again, and nobody was told.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_comes_back_is_due_again() {
    let (mut house, _bondi, mut consumer, config) = crm(2).await;
    house.start(&config).await;
    assert!(house.status("crm").next_due.is_some());
    let without = config.split("[policy.crm]").next().expect("a head").to_owned();
    house.reload(&without).await;
    house.reload(&config).await;
    assert!(house.status("crm").next_due.is_some(), "it has dates again");
    consumer.stop().await;
    house.stop().await;
}

/// A policy that was renamed while its rotation was open lost it: nobody could give it an order, and a second one could begin.
#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_policy_keeps_its_open_rotation() {
    let (mut house, bondi, mut consumer, config) = crm(3600).await;
    house.start(&config).await;
    let rotation = house.rotate("crm").await;
    house.until("crm", |status| status.phase == "observe").await;
    let renamed = config.replace("policy.crm", "policy.sales");
    house.reload(&renamed).await;
    let status = house.status("sales");
    assert_eq!(status.rotation.as_deref(), Some(rotation.as_str()));
    let selector = Selector { policies: vec![String::from("sales")], ..Selector::default() };
    let again = house.engine().rotate(&selector, "test", None).await;
    assert!(again[0].refused.is_some(), "its rotation is still the open one: {again:?}");
    let status = house.closed("sales").await;
    assert_eq!(status.ended.as_deref(), Some("done"));
    assert!(status.fingerprint.is_some(), "the key in use is recorded under the new name");
    assert_eq!(bondi.mints(), 1);
    consumer.stop().await;
    assert_eq!(consumer.refused(), 0);
    house.stop().await;
}
