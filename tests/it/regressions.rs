//! Bugs that were found by reading, each named after what went wrong.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::extract::Request;
use cutover::engine::EngineClock;
use cutover_api::{Clock, Span, Stamp};
use cutover_config::Selector;
use cutover_fake::{Bondi, Calling, Consumer, FakeClock, Plana, keys_in_file};
use cutover_machine::emergency::EmergencyOrder;

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

/// How long a call takes at the slow account.
const SLOW: Span = Span::seconds(20);
/// Its policies: one survey of each takes longer than a survey holds.
const CROWD: usize = 8;

/// A clock that moves with the calls to a slow account, and with nothing else.
struct Called {
    time: FakeClock,
    origin: Stamp,
}

impl Clock for Called {
    fn now(&self) -> Stamp {
        self.time.now()
    }
}

#[async_trait]
impl EngineClock for Called {
    async fn sleep_until(&self, until: Stamp) {
        self.time.reached(until).await;
    }

    fn boot(&self) -> Span {
        self.now().since(self.origin)
    }
}

/// PLANA, slow: each call takes its time by the clock before it is handed on.
async fn slow(plana: &Plana, clock: Arc<Called>) -> String {
    let (to, client) = (plana.base_url(), reqwest::Client::new());
    let app = Router::new().fallback(async move |request: Request| {
        clock.time.advance(SLOW);
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
        let answer = client.request(head.method, format!("{to}{}", head.uri)).headers(head.headers).body(body).send().await;
        let answer = answer.expect("an answer");
        (answer.status(), answer.headers().clone(), answer.bytes().await.expect("a body"))
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://127.0.0.1:{port}")
}

/// A house with a crowd of policies on one account that takes one slow call at a time.
async fn crowd() -> (House, Plana, Arc<Called>) {
    let mut house = House::new(2).await;
    let origin = house.clock.now();
    let clock = Arc::new(Called { time: FakeClock::new(origin), origin });
    let plana = Plana::start(clock.clone()).await;
    house.write("session", plana.session().expose());
    let url = slow(&plana, clock.clone()).await;
    let dir = house.dir.path().display().to_string();
    let mut config =
        format!("[provider.plana]\nbase_url = \"{url}\"\nmax_in_flight = 1\ncredential = {{ file = \"{dir}/session\" }}\n");
    for n in 0..CROWD {
        let (id, old) = plana.seed(&format!("app {n} (2025)"), "dashboard:read");
        house.write(&format!("app{n}.env"), &format!("PLANA_KEY={}\n", old.expose()));
        config += &format!(
            "[policy.p{n}]\nprovider = \"plana\"\ncadence = \"1y\"\nquiet = \"2m\"\nparams = {{ base_name = \"app {n}\" }}\nadopt = {{ id = \"{id}\" }}\n\
             [[policy.p{n}.target]]\nstore = \"env\"\npath = \"app{n}.env\"\nfields = {{ PLANA_KEY = \"{{{{ new.secret }}}}\" }}\n\
             [[policy.p{n}.verify]]\nkind = \"command\"\nrun = [\"/usr/bin/true\"]\nevery = \"30s\"\n"
        );
    }
    house.try_start(&config, Path::new("/nonexistent/definitions"), clock.clone()).await.expect("started");
    (house, plana, clock)
}

/// Many rotations of one slow account all surveyed before the first of them minted; then each survey was stale when its turn came to mint,
/// and all surveyed again, for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_at_a_slow_account_mints() {
    let (mut house, plana, _) = crowd().await;
    let everything = Selector { all: true, ..Selector::default() };
    let started = house.engine().rotate(&everything, "test", None).await;
    assert!(started.iter().all(|one| one.refused.is_none()), "{started:?}");
    house.until("p0", |_| plana.mints() == CROWD as u64).await;
    house.stop().await;
}

/// The same in an emergency, where the cuts come between survey and mint.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_in_an_emergency_mints() {
    let (mut house, plana, _) = crowd().await;
    let everything = Selector { all: true, ..Selector::default() };
    house.engine().emergency(&everything, EmergencyOrder::CutFirst, "test", None).await.expect("taken");
    house.until("p0", |_| plana.mints() == CROWD as u64).await;
    house.stop().await;
}

/// The same at the other end: all looked once more before the first of them ended its old key, and then each look was too old.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_at_a_slow_account_ends_its_old_keys() {
    let (mut house, plana, clock) = crowd().await;
    let everything = Selector { all: true, ..Selector::default() };
    house.engine().rotate(&everything, "test", None).await;
    // What is waited for by plan passes too, while nobody calls.
    let passing = tokio::spawn(async move {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        let mut before = clock.now();
        loop {
            pace.tick().await;
            before = if clock.now() == before { clock.time.advance(Span::SECOND) } else { clock.now() };
        }
    });
    house.until("p0", |_| plana.revokes() == CROWD as u64).await;
    passing.abort();
    house.stop().await;
}
