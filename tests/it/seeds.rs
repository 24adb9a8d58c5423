//! The three systems the project was made for, rotated to the end under a consumer that never stops calling.

use std::sync::Arc;
use std::time::Duration;

use cutover_fake::{Bondi, Calling, Consumer, Plana, Wrapd, keys_in_file};

use crate::House;

/// A pace that keeps a consumer calling all the time without taking the machine for itself.
const PACE: Option<Duration> = Some(Duration::from_millis(2));

/// PLANA's procedure, step by step as its page has it.
#[tokio::test(flavor = "multi_thread")]
async fn plana_whole_procedure_with_zero_refused_calls() {
    let mut house = House::new(1200).await;
    let plana = Plana::start(house.clock.clone()).await;
    let (old_id, old) = plana.seed("Nightly stock sync (2025)", "dashboard:read");
    house.write("app.env", &format!("# the app\nPLANA_KEY={}\nOTHER=kept\n", old.expose()));
    house.write("session", plana.session().expose());
    let keys = keys_in_file(house.path("app.env"), &["PLANA_KEY_NEW", "PLANA_KEY"]);
    let url = format!("{}/api/v1/dashboard", plana.base_url());
    let mut consumer = Consumer::start(Calling::Bearer(url), keys, house.clock.clone(), PACE).await.expect("a consumer");
    let restarter = consumer.restarter();
    house.on_deploy(move || {
        restarter.restart();
        true
    });
    house.start(&plana_policy(&house, &plana.base_url(), &old_id, consumer.health_url().as_str())).await;
    consumer.more_calls(5).await;
    let rotation = house.rotate("sync").await;

    // Both keys stand side by side while the old one still lives.
    house.until("sync", |status| status.phase == "observe").await;
    let text = house.read("app.env");
    assert!(text.contains("PLANA_KEY_NEW=pa_live_"), "{text}");
    assert!(text.contains(&format!("PLANA_KEY={}", old.expose())), "the old key stays in its field: {text}");

    let status = house.closed("sync").await;
    assert_eq!(status.ended.as_deref(), Some("done"));
    assert_eq!(status.rotation.as_deref(), Some(rotation.as_str()));
    let text = house.read("app.env");
    assert!(!text.contains("PLANA_KEY_NEW"), "what stood only in `during` is gone: {text}");
    assert!(!text.contains(old.expose()) && text.contains("OTHER=kept") && text.starts_with("# the app\n"), "{text}");
    assert!(!plana.accepts(&old), "the old key is dead");
    let names: Vec<String> = plana.keys().into_iter().map(|key| key.name).collect();
    assert!(names.iter().any(|name| name.starts_with("Nightly stock sync (2") && !name.contains("(2025)")), "{names:?}");
    assert_eq!(plana.mints(), 1, "one mint");
    consumer.more_calls(20).await;
    consumer.stop().await;
    assert!(consumer.calls() > 50);
    assert_eq!(consumer.refused(), 0, "no call of the application was refused");

    // The history says on what evidence.
    let kinds = house.history_kinds().await;
    for kind in [
        "rotation-started",
        "mint-intended",
        "minted",
        "accepted",
        "evidence",
        "quiet",
        "cutover",
        "settled",
        "revoked",
        "old-dead",
    ] {
        assert!(kinds.iter().any(|k| k == kind), "{kind} is missing in {kinds:?}");
    }
    let order = |kind: &str| kinds.iter().position(|k| k == kind).expect("there");
    assert!(order("settled") < order("revoked") && order("quiet") < order("revoked"), "{kinds:?}");
    house.stop().await;
}

fn plana_policy(house: &House, base: &str, old_id: &str, health: &str) -> String {
    format!(
        "[provider.plana]\nbase_url = \"{base}\"\ncredential = {{ file = \"{dir}/session\" }}\n\
         [policy.sync]\nprovider = \"plana\"\ncadence = \"1y\"\nparams = {{ base_name = \"Nightly stock sync\" }}\n\
         grace = \"24h\"\nquiet = \"30m\"\nadopt = {{ id = \"{old_id}\" }}\n\
         [[policy.sync.target]]\nstore = \"env\"\npath = \"app.env\"\nfields = {{ PLANA_KEY = \"{{{{ new.secret }}}}\" }}\n\
         during = {{ PLANA_KEY = \"{{{{ old.secret }}}}\", PLANA_KEY_NEW = \"{{{{ new.secret }}}}\" }}\n\
         [[policy.sync.redeploy]]\nkind = \"http\"\nrequest = \"POST http://127.0.0.1:{port}/deploy\"\ntimeout = \"1m\"\n\
         [[policy.sync.verify]]\nkind = \"last-used\"\n\
         [[policy.sync.verify]]\nkind = \"command\"\nrun = [\"/bin/true\"]\nevery = \"5m\"\n# {health}\n",
        dir = house.dir.path().display(),
        port = house.port,
    )
}

/// Bondi: two tokens for 24 hours, the reply's time counts, nothing is pretended beyond it.
#[tokio::test(flavor = "multi_thread")]
async fn bondi_previous_token_lives_until_the_replys_time() {
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
    house.start(&bondi_policy(&house, &bondi.base_url(), consumer.health_url().as_str())).await;
    consumer.more_calls(5).await;
    house.rotate("crm").await;
    let status = house.until("crm", |status| status.phase == "retire").await;
    assert!(status.grace_end.is_some());
    assert!(bondi.accepts(&old), "within its 24 hours the previous token is accepted");
    assert_eq!(bondi.mints(), 1);
    let status = house.closed("crm").await;
    assert_eq!(status.ended.as_deref(), Some("done"));
    assert!(!bondi.accepts(&old));
    consumer.more_calls(5).await;
    consumer.stop().await;
    assert_eq!(consumer.refused(), 0);
    assert_eq!(bondi.mints(), 1, "nothing was rotated twice");
    house.stop().await;
}

pub fn bondi_policy(house: &House, base: &str, health: &str) -> String {
    format!(
        "[provider.bondi]\nbase_url = \"{base}\"\ncredential = {{ file = \"{dir}/session\" }}\n\
         [policy.crm]\nprovider = \"bondi\"\ncadence = \"1y\"\nparams = {{ workspace = \"ws_1\", slug = \"my-crm\" }}\n\
         [[policy.crm.target]]\nstore = \"env\"\npath = \"app.env\"\n\
         fields = {{ BONDI_INTEGRATION_TOKEN = \"{{{{ new.secret }}}}\" }}\n\
         [[policy.crm.redeploy]]\nkind = \"http\"\nrequest = \"POST http://127.0.0.1:{port}/deploy\"\ntimeout = \"1m\"\n\
         [[policy.crm.verify]]\nkind = \"consumer\"\nrequest = \"GET {health}\"\nfingerprint = \"/fingerprints\"\nevery = \"5m\"\nfor = \"10m\"\n",
        dir = house.dir.path().display(),
        port = house.port,
    )
}

/// Wrapd: each of the seven graces, asked for as it is named and counted as it was granted.
#[tokio::test(flavor = "multi_thread")]
async fn wrapd_each_of_the_seven_graces() {
    // The longer the grace, the faster the clock: each takes some seconds, and a busy machine has room in each of them.
    let graces = [("15m", 90), ("1h", 240), ("6h", 1200), ("24h", 3600), ("3d", 8000), ("7d", 16_000)];
    let rotations = graces.map(|(grace, speed)| tokio::spawn(wrapd_with_grace(grace, speed)));
    for rotation in rotations {
        rotation.await.expect("rotated");
    }
    // Asked for in an ordinary policy, no grace at all is refused at load: no redeploy fits into it.
    let house = House::new(2).await;
    let config = wrapd_policy(&house, "http://127.0.0.1:1", "key_1", "0s", "http://127.0.0.1:1/health");
    let file = house.write("refused.toml", &format!("{}{config}", house.head()));
    let problems = load(&house, &file);
    assert!(problems.iter().any(|p| p.contains("policy.api.grace")), "{problems:?}");
}

async fn wrapd_with_grace(grace: &str, speed: u32) {
    let mut house = House::new(speed).await;
    let wrapd = Wrapd::start(house.clock.clone()).await;
    let (old_id, old) = wrapd.seed("production", &["read", "write"]);
    house.write("app.env", &format!("WRAPD_KEY={}\n", old.expose()));
    house.write("session", wrapd.session().expose());
    let keys = keys_in_file(house.path("app.env"), &["WRAPD_KEY"]);
    let calling = Calling::Header(format!("{}/me", wrapd.base_url()), String::from("X-API-Key"));
    let mut consumer = Consumer::start(calling, keys, house.clock.clone(), PACE).await.expect("a consumer");
    let restarter = consumer.restarter();
    house.on_deploy(move || {
        restarter.restart();
        true
    });
    let config = wrapd_policy(&house, &wrapd.base_url(), &old_id, grace, consumer.health_url().as_str());
    house.start(&config).await;
    house.rotate("api").await;
    let status = house.closed("api").await;
    assert_eq!(status.ended.as_deref(), Some("done"), "{grace}");
    assert!(!wrapd.accepts(&old), "{grace}");
    consumer.more_calls(5).await;
    consumer.stop().await;
    assert_eq!(consumer.refused(), 0, "{grace}: no call was refused");
    assert_eq!(wrapd.mints(), 1, "{grace}");
    let keys = wrapd.keys();
    assert!(keys.iter().all(|key| key.name == "production"), "the new key inherits the label: {keys:?}");
    house.stop().await;
}

fn load(house: &House, file: &str) -> Vec<String> {
    use cutover::catalog::Catalog;
    use cutover::engine::References;
    let around = cutover_api::Surroundings { references: Arc::new(References::from_environment()), clock: house.clock.clone() };
    let catalog = Catalog::open(around, std::path::Path::new("/nonexistent")).expect("the shipped definitions");
    match cutover_config::load(std::path::Path::new(file), &catalog) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

fn wrapd_policy(house: &House, base: &str, old_id: &str, grace: &str, health: &str) -> String {
    let (every, timeout) = if grace == "15m" { ("10s", "1m") } else { ("2m", "2m") };
    format!(
        "[provider.wrapd-api-key]\nbase_url = \"{base}\"\ncredential = {{ file = \"{dir}/session\" }}\n\
         [policy.api]\nprovider = \"wrapd-api-key\"\ncadence = \"1y\"\ngrace = \"{grace}\"\nquiet = \"1m\"\nadopt = {{ id = \"{old_id}\" }}\n\
         [[policy.api.target]]\nstore = \"env\"\npath = \"app.env\"\nfields = {{ WRAPD_KEY = \"{{{{ new.secret }}}}\" }}\n\
         [[policy.api.redeploy]]\nkind = \"http\"\nrequest = \"POST http://127.0.0.1:{port}/deploy\"\ntimeout = \"{timeout}\"\n\
         [[policy.api.verify]]\nkind = \"consumer\"\nrequest = \"GET {health}\"\nfingerprint = \"/fingerprints\"\nevery = \"{every}\"\n",
        dir = house.dir.path().display(),
        port = house.port,
    )
}
