//! The consumer counts outages and nothing else.

use std::io::Write;
use std::sync::Arc;

use cutover_api::{Secret, Span};
use cutover_fake::{
    Bondi, CallKind, Calling, Consumer, FakeHook, FakeProvider, FakeStore, Fault, How, Plana, Wrapd, generous_facts,
    keys_in_file, keys_in_store,
};
use cutover_machine::plan::Lifecycle;
use serde_json::{Value, json};

use crate::support::{Web, clock, seen};

#[tokio::test]
async fn planas_procedure_loses_no_call() {
    let clock = clock();
    let plana = Plana::start(clock.clone()).await;
    let (id, old) = plana.seed("sync (2025)", "dashboard:read");
    let store = FakeStore::new();
    store.put("apps/sync", "PLANA_KEY", &old);
    let keys = keys_in_store(&store, "apps/sync", &["PLANA_KEY_NEW", "PLANA_KEY"]);
    let calling = Calling::Bearer(format!("{}/api/v1/dashboard", plana.base_url()));
    let consumer = Consumer::start(calling, keys, clock.clone(), None).await.expect("started");
    consumer.more_calls(5).await;
    let web = Web::new(plana.base_url(), plana.session());
    plana.fail(Fault::once(CallKind::Mint, How::IssueDelayed { span: Span::MINUTE, alternating: false }));
    let new = web.managed("POST", "/api/portal/apikeys", json!({ "name": "sync (2026)" })).await.secret("key");
    store.put("apps/sync", "PLANA_KEY_NEW", &new);
    consumer.restart();
    consumer.more_calls(5).await;
    assert!(consumer.tally().fell_back >= 5, "the new key is not accepted yet, the old one serves");
    clock.advance(Span::MINUTE);
    consumer.more_calls(5).await;
    store.put("apps/sync", "PLANA_KEY", &new);
    store.remove("apps/sync", "PLANA_KEY_NEW");
    consumer.restart();
    consumer.more_calls(1).await;
    web.managed("DELETE", &format!("/api/portal/apikeys/{id}"), Value::Null).await;
    consumer.more_calls(5).await;
    let tally = consumer.tally();
    assert_eq!((tally.refused, tally.failed, tally.starts), (0, 0, 3));
}

#[tokio::test]
async fn a_key_that_ends_too_early_is_an_outage_until_the_restart() {
    let clock = clock();
    let wrapd = Wrapd::start(clock.clone()).await;
    let (id, old) = wrapd.seed("production", &[]);
    let store = FakeStore::new();
    store.put("app", "KEY", &old);
    let calling = Calling::Header(format!("{}/me", wrapd.base_url()), "X-API-Key".to_owned());
    let keys = keys_in_store(&store, "app", &["KEY"]);
    let mut consumer = Consumer::start(calling, keys, clock.clone(), None).await.expect("started");
    consumer.more_calls(3).await;
    assert_eq!(consumer.refused(), 0);
    let web = Web::new(wrapd.base_url(), wrapd.session());
    let reply = web.managed("POST", &format!("/api-keys/{id}/rotate"), json!({ "grace_minutes": 0 })).await;
    consumer.until(|tally| tally.refused >= 3).await;
    store.put("app", "KEY", &reply.secret("key"));
    consumer.restart();
    consumer.more_calls(1).await;
    let refused = consumer.refused();
    consumer.more_calls(5).await;
    assert_eq!(consumer.refused(), refused);
    consumer.stop().await;
    let calls = consumer.calls();
    tokio::task::yield_now().await;
    assert_eq!(consumer.calls(), calls);
    assert!(wrapd.refused() >= 3);
}

#[tokio::test]
async fn the_health_page_names_the_keys_it_runs_with_and_not_those_in_the_store() {
    let clock = clock();
    let store = FakeStore::new();
    let (a, b) = (Secret::new("aaaa".to_owned()), Secret::new("bbbb".to_owned()));
    store.put("app", "KEY", &a);
    let calling = Calling::InProcess(Arc::new(|_| true));
    let consumer =
        Consumer::start(calling, keys_in_store(&store, "app", &["KEY"]), clock.clone(), None).await.expect("started");
    let web = reqwest::Client::builder().no_proxy().build().expect("a client");
    let page = async || seen(web.get(consumer.health_url())).await.expect("a page").body;
    store.put("app", "KEY", &b);
    assert_eq!(page().await, json!({ "fingerprints": [a.fingerprint().0] }));
    consumer.restart();
    assert_eq!(page().await, json!({ "fingerprints": [b.fingerprint().0] }));
    assert_eq!(consumer.fingerprints(), [b.fingerprint().0]);
}

#[tokio::test]
async fn bondis_consumer_emits_and_takes_action_calls_only_with_a_key_it_knows() {
    let clock = clock();
    let bondi = Bondi::start(clock.clone()).await;
    let (_, first) = bondi.seed("ws_1", "my-crm");
    let store = FakeStore::new();
    store.put("crm", "TOKEN", &first);
    let calling = Calling::Emit(format!("{}/integrations/custom/ws_1/my-crm/emit", bondi.base_url()));
    let keys = keys_in_store(&store, "crm", &["TOKEN", "PREVIOUS"]);
    let consumer = Consumer::start(calling, keys, clock.clone(), None).await.expect("started");
    let web = Web::new(bondi.base_url(), bondi.session());
    let path = "/v1/workspaces/ws_1/integrations/custom-definitions/my-crm/rotate-token";
    let second = web.managed("POST", path, Value::Null).await.secret("token");
    consumer.more_calls(3).await;
    let takes = || consumer.takes(&bondi.sign("ws_1", "my-crm", "do", b"{}").expect("signed"), b"{}");
    assert!(!takes(), "the guard only knows the old token until the redeploy");
    store.put("crm", "TOKEN", &second);
    store.put("crm", "PREVIOUS", &first);
    consumer.restart();
    assert!(takes());
    consumer.more_calls(3).await;
    assert_eq!((consumer.refused(), consumer.tally().failed), (0, 0));
}

#[tokio::test]
async fn a_double_that_is_not_there_is_a_failure_and_no_refusal() {
    let clock = clock();
    let plana = Plana::start(clock.clone()).await;
    let (_, key) = plana.seed("k", "*");
    plana.fail(Fault::always(CallKind::Probe, How::Status { status: 503, applied: false }));
    let calling = Calling::Bearer(format!("{}/api/v1/dashboard", plana.base_url()));
    let keys = Arc::new(move || vec![key.duplicate()]);
    let consumer = Consumer::start(calling, keys, clock.clone(), None).await.expect("started");
    consumer.until(|tally| tally.failed >= 2).await;
    drop(plana);
    let failed = consumer.tally().failed;
    consumer.until(|tally| tally.failed >= failed + 2).await;
    assert_eq!(consumer.refused(), 0);
}

#[tokio::test]
async fn without_any_key_every_call_is_refused() {
    let clock = clock();
    let calling = Calling::InProcess(Arc::new(|_| true));
    let consumer = Consumer::start(calling, Arc::new(Vec::new), clock.clone(), None).await.expect("started");
    consumer.more_calls(3).await;
    assert_eq!(consumer.refused(), consumer.calls());
}

#[tokio::test]
async fn a_consumer_in_process_reads_its_file_again_when_a_hook_restarts_it() {
    use cutover_api::{Again, Hook, HookVars, Outcome};
    let clock = clock();
    let provider = FakeProvider::new("p", generous_facts(Lifecycle::Overlap), clock.clone());
    let ((old_id, old), (_, new)) = (provider.seed("old"), provider.seed("new"));
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    writeln!(file, "# app\nOTHER=x\nKEY=\"{}\"", old.expose()).expect("written");
    let accepting = provider.clone();
    let calling = Calling::InProcess(Arc::new(move |key| accepting.use_key(key)));
    let consumer = Consumer::start(calling, keys_in_file(file.path(), &["KEY"]), clock.clone(), None).await.expect("started");
    let restarter = consumer.restarter();
    let hook = FakeHook::on_run(move |_| restarter.restart());
    consumer.more_calls(3).await;
    std::fs::write(file.path(), format!("KEY='{}'\n", new.expose())).expect("written");
    let vars = HookVars {
        policy: "p".to_owned(),
        rotation: "r".to_owned(),
        run: "u".to_owned(),
        key_id: String::new(),
        fingerprint: new.fingerprint().0,
    };
    assert!(matches!(hook.run(&vars, Again::First).await, Outcome::Done(())));
    consumer.more_calls(1).await;
    assert!(provider.kill(&old_id));
    consumer.more_calls(3).await;
    assert_eq!(consumer.refused(), 0);
    assert_eq!(consumer.fingerprints(), [new.fingerprint().0]);
    assert_eq!((hook.ran(), hook.calls_with(&vars)), (1, 1));
}
