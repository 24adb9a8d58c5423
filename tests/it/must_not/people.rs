//! What must not happen between cutover and people: M17, M18, M19, M21.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use cutover_api::{Secret, Span};
use cutover_fake::{CallKind, Fault, How};
use cutover_machine::event::Order;

use super::assert_ways;
use super::shop::{BondiShop, PlanaShop};
use crate::House;

/// Everything that is logged in this process, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("free").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// M17: no secret in a log, an alert, the history, the status or the ledger's bytes; looked for in clear, in base64 and in hex, while the
/// rotation is under way (when the ledger holds the values, sealed) and after it.
#[tokio::test(flavor = "multi_thread")]
async fn m17_no_secret_leaves_by_any_way() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
    let subscriber = subscriber.with_env_filter("cutover=trace,cutover_http_step=trace,cutover_provider_http=trace,cutover_store_file=trace,cutover_hook_http=trace,cutover_notify_webhook=trace,cutover_ledger=trace,reqwest=debug");
    tracing::subscriber::set_global_default(subscriber.with_writer(move || writer.clone()).finish()).expect("the only one");

    let mut shop = PlanaShop::open(1200).await;
    // An orphan, so that there is a doubt to tell of; a provider that refuses, so that there is an error to tell of.
    shop.plana.fail(Fault::once(CallKind::Mint, How::LoseReply));
    shop.plana.fail(Fault::once(CallKind::Revoke, How::ForbiddenRevoke));
    shop.house.on_deploy({
        let (restarter, tries) = (shop.consumer.restarter(), Mutex::new(0));
        move || {
            let mut tries = tries.lock().expect("free");
            *tries += 1;
            restarter.restart();
            *tries > 5
        }
    });
    shop.house.start(&shop.usual()).await;
    let rotation = shop.house.rotate("sync").await;
    shop.house.held("sync", "hook").await;
    let session = Secret::new(shop.house.read("session"));
    let secrets = [shop.old.duplicate(), shop.placed(), session];
    assert!(!secrets[0].same_as(&secrets[1]));
    shop.house.alerted("held").await;
    assert!(shop.house.unsealed(&rotation, "first").await.is_some(), "the values are in the ledger now, sealed");
    assert_clean(&shop.house, &secrets, &log).await;
    shop.house.engine().order("sync", Some(&rotation), Order::Resume, "test", None).await.expect("taken");
    shop.house
        .until("sync", |status| status.ended.is_some() || status.held.as_ref().is_some_and(|held| held.why == "retire"))
        .await;
    assert_clean(&shop.house, &secrets, &log).await;
    assert!(log.0.lock().expect("free").len() > 1_000, "there is a log to look into");
    assert_eq!(shop.consumer.refused(), 0);
    shop.close().await;
}

async fn assert_clean(house: &House, secrets: &[Secret], log: &Log) {
    let mut sinks: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let alerts = serde_json::to_vec(&house.alerts()).expect("JSON");
    sinks.insert(String::from("alerts"), alerts);
    let history: String = house.history().await.iter().map(|row| format!("{} {}\n", row.entry.kind, row.entry.facts)).collect();
    sinks.insert(String::from("history"), history.into_bytes());
    let status = house.engine().status(&cutover_config::Selector::default());
    sinks.insert(String::from("status"), serde_json::to_vec(&status).expect("JSON"));
    sinks.insert(String::from("log"), log.0.lock().expect("free").clone());
    let mut files = 0;
    for entry in std::fs::read_dir(house.dir.path()).expect("a directory") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("ledger.db") {
            files += 1;
            sinks.insert(name, std::fs::read(entry.path()).expect("readable"));
        }
    }
    assert!(files >= 1, "there is a ledger to look into");
    for secret in secrets {
        let text = secret.expose();
        // Eight bytes are far more than chance; the first ones are what lists show as a prefix.
        let core = &text.as_bytes()[text.len() / 2..];
        let base64 = base64::engine::general_purpose::STANDARD_NO_PAD;
        let mut forms = vec![core.to_vec(), hex::encode(core).into_bytes()];
        forms.extend((0..3).map(|skip| {
            let inner = base64.encode(&core[skip..]).into_bytes();
            inner[..inner.len() - 4].to_vec()
        }));
        for (sink, bytes) in &sinks {
            for form in &forms {
                assert!(!bytes.windows(form.len()).any(|part| part == &form[..]), "a secret stands in: {sink}");
            }
        }
    }
}

/// M18: the one channel of a policy takes no login. Nothing is minted before somebody could be told; what there is to tell waits, and is
/// delivered when the channel is back.
#[tokio::test(flavor = "multi_thread")]
async fn m18_without_a_channel_nothing_is_minted_and_nothing_is_forgotten() {
    let mut shop = BondiShop::open(600).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let config = format!(
        "[notify.down]\nkind = \"webhook\"\nseverity = \"info\"\nrequest = \"POST http://127.0.0.1:{port}/alert\"\n{}",
        shop.policy("bondi", "cadence = \"1y\"\nalert = { notify = [\"down\"] }", ""),
    );
    shop.house.start(&config).await;
    let rotation = shop.house.rotate("crm").await;
    let held = shop.house.held("crm", "preflight").await;
    assert!(held.detail.contains("down"), "{}", held.detail);
    assert_ways(&held, &rotation);
    assert_eq!(shop.bondi.mints(), 0);
    // A stop does not lose what was to be told.
    shop.house.stop().await;
    shop.house.start(&config).await;
    let told: Arc<Mutex<Vec<serde_json::Value>>> = Arc::default();
    let desk = Arc::clone(&told);
    let app = axum::Router::new().route(
        "/alert",
        axum::routing::post(move |axum::Json(alert): axum::Json<serde_json::Value>| {
            desk.lock().expect("free").push(alert);
            async {}
        }),
    );
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("the port");
    tokio::spawn(async move { axum::serve(listener, app).await });
    shop.house.until("crm", |status| status.phase == "retire").await;
    assert_eq!(shop.bondi.mints(), 1, "it goes on by itself");
    let kinds = || {
        told.lock().expect("free").iter().map(|alert| alert["kind"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    for _ in 0..120 {
        if kinds().iter().any(|kind| kind == "held" || kind == "recovered") {
            break;
        }
        shop.house.pass(Span::minutes(1)).await;
    }
    assert!(kinds().iter().any(|kind| kind == "held" || kind == "recovered"), "{:?}", kinds());
    assert_eq!(shop.consumer.refused(), 0);
    shop.close().await;
}

/// M19: each threshold is told once, the end once, a hold once and then daily: no storm and no silence.
#[tokio::test(flavor = "multi_thread")]
async fn m19_each_thing_is_told_once() {
    let mut shop = PlanaShop::open(7200).await;
    shop.house.on_deploy(|| true);
    let config = shop.policy(&format!("grace = \"12h\"\nquiet = \"30m\"\nadopt = {{ id = \"{}\" }}", shop.old_id));
    shop.house.start(&config).await;
    shop.house.rotate("sync").await;
    shop.house.alerted("grace-ended").await;
    shop.house.stop().await;
    shop.house.start(&config).await;
    shop.house.pass(Span::hours(12)).await;
    let history = shop.house.history_kinds().await;
    let facts = |kind: &str| history.iter().filter(|one| *one == kind).count();
    assert_eq!(facts("grace-ending"), 3, "50, 75 and 90 percent: {history:?}");
    assert_eq!(facts("grace-ended"), 1, "{history:?}");
    let mut seen = BTreeMap::new();
    for alert in shop.house.alerts() {
        *seen.entry(alert["id"].as_str().unwrap_or_default().to_owned()).or_insert(0) += 1;
    }
    assert!(seen.keys().any(|id| id.contains("grace-ending")), "{seen:?}");
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    shop.close().await;

    let mut shop = BondiShop::open(14_400).await;
    shop.house.on_deploy(|| false);
    shop.house.start(&shop.usual()).await;
    shop.house.rotate("crm").await;
    shop.house.held("crm", "hook").await;
    shop.house.pass(Span(Span::DAY.0 * 5 / 2)).await;
    let reminders = shop.house.history_kinds().await.iter().filter(|kind| *kind == "still-held").count();
    assert_eq!(reminders, 2, "once a day");
    let held = shop.house.alert_kinds().iter().filter(|kind| *kind == "held").count();
    assert!((1..=3).contains(&held), "{:?}", shop.house.alert_kinds());
    shop.close().await;
}

/// M21: a foreign value in a target holds the rotation and says the ways out; put back, `resume` goes on to the end.
#[tokio::test(flavor = "multi_thread")]
async fn m21_drift_holds_and_resume_goes_on() {
    let mut shop = PlanaShop::open(600).await;
    shop.house.start(&shop.usual()).await;
    let rotation = shop.house.rotate("sync").await;
    shop.house.until("sync", |status| status.phase == "observe").await;
    let good = shop.house.read("app.env");
    shop.house.write("app.env", "PLANA_KEY=pa_live_put_there_by_somebody_else\n");
    let held = shop.house.held("sync", "drift").await;
    assert_ways(&held, &rotation);
    assert!(held.detail.contains("app.env"), "{}", held.detail);
    assert_eq!(shop.plana.revokes(), 0);
    // It is never overwritten by itself.
    shop.house.pass(Span::hours(1)).await;
    assert_eq!(shop.house.read("app.env"), "PLANA_KEY=pa_live_put_there_by_somebody_else\n");
    shop.house.write("app.env", &good);
    shop.house.engine().order("sync", Some(&rotation), Order::Resume, "test", None).await.expect("taken");
    let status = shop.house.closed("sync").await;
    assert_eq!(status.ended.as_deref(), Some("done"));
    assert_eq!(shop.consumer.refused(), 0);
    shop.close().await;
}

/// M21: before the mint a rotation can always be given up; and the next one is not stopped by anything it left.
#[tokio::test(flavor = "multi_thread")]
async fn m21_a_rotation_that_was_given_up_leaves_nothing_behind() {
    let mut shop = BondiShop::open(1200).await;
    std::fs::remove_file(shop.house.path("session")).expect("removed");
    shop.house.start(&shop.usual()).await;
    let rotation = shop.house.rotate("crm").await;
    let held = shop.house.held("crm", "credential").await;
    assert_ways(&held, &rotation);
    assert!(held.ways.iter().any(|way| way.command.contains("abandon")), "{:?}", held.ways);
    shop.house.engine().order("crm", Some(&rotation), Order::Abandon, "test", None).await.expect("taken");
    let status = shop.house.closed("crm").await;
    assert_eq!(status.ended.as_deref(), Some("abandoned"));
    shop.house.write("session", shop.bondi.session().expose());
    while shop.house.engine().open_rotation_of("crm").is_some() {
        tokio::task::yield_now().await;
    }
    let second = shop.house.rotate("crm").await;
    assert_ne!(second, rotation);
    shop.house.until("crm", |status| status.phase == "retire").await;
    assert_eq!(shop.bondi.mints(), 1);
    assert_eq!(shop.consumer.refused(), 0);
    shop.close().await;
}
