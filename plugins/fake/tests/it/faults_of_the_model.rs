//! Each fault of the model does what it says: slow births and deaths, lists that lie, caps.

use cutover_api::{Clock, Span, Stamp};
use cutover_fake::{Bondi, CallKind, Fault, How, Plana, Wrapd};
use serde_json::{Value, json};

use crate::support::{START, Web, clock};

const KEYS: &str = "/api/portal/apikeys";
const USE: &str = "/api/v1/dashboard";
const ROTATE: &str = "/v1/workspaces/ws_1/integrations/custom-definitions/my-crm/rotate-token";

#[tokio::test]
async fn credential_expired_ends_every_session_and_a_new_one_works() {
    let clock = clock();
    let bondi = Bondi::start(clock.clone()).await;
    let _ = bondi.seed("ws_1", "my-crm");
    let web = Web::new(bondi.base_url(), bondi.session());
    bondi.fail(Fault { on: CallKind::Mint, skip: 1, times: 1, how: How::CredentialExpired });
    let statuses = [
        web.managed("POST", ROTATE, Value::Null).await.status,
        web.managed("POST", ROTATE, Value::Null).await.status,
        web.managed("POST", ROTATE, Value::Null).await.status,
    ];
    assert_eq!(statuses, [200, 401, 401]);
    let fresh = Web::new(bondi.base_url(), bondi.session());
    assert_eq!(fresh.managed("POST", ROTATE, Value::Null).await.status, 200);
    assert_eq!(bondi.keys().len(), 3);
}

#[tokio::test]
async fn list_lag_hides_young_keys() {
    let clock = clock();
    let plana = Plana::start(clock.clone()).await;
    let _ = plana.seed("old", "*");
    clock.advance(Span::HOUR);
    let web = Web::new(plana.base_url(), plana.session());
    plana.fail(Fault::always(CallKind::List, How::ListLag(Span::seconds(10))));
    web.managed("POST", KEYS, json!({ "name": "new" })).await;
    let rows = async || web.managed("GET", KEYS, Value::Null).await.body.as_array().map(Vec::len);
    assert_eq!(rows().await, Some(1));
    clock.advance(Span::seconds(10));
    assert_eq!(rows().await, Some(2));
}

#[tokio::test]
async fn last_used_lags_and_lies() {
    let clock = clock();
    let plana = Plana::start(clock.clone()).await;
    let (_, key) = plana.seed("old", "*");
    let web = Web::new(plana.base_url(), plana.session());
    web.bearer(USE, &key).await;
    let told = async || web.managed("GET", KEYS, Value::Null).await.body[0]["lastUsedAt"].clone();
    plana.fail(Fault::once(CallKind::List, How::LastUsedLag(Span::MINUTE)));
    assert_eq!(told().await, Value::Null);
    assert_eq!(told().await, "2026-04-26T12:34:56.000Z");
    plana.fail(Fault::once(CallKind::List, How::LastUsedLies(Some(Stamp(0)))));
    assert_eq!(told().await, "1970-01-01T00:00:00.000Z");
    plana.fail(Fault::once(CallKind::List, How::LastUsedLies(None)));
    assert_eq!(told().await, Value::Null);
}

#[tokio::test]
async fn second_rotation_refused_holds_only_while_a_grace_is_open() {
    let clock = clock();
    let bondi = Bondi::start(clock.clone()).await;
    let (_, first) = bondi.seed("ws_1", "my-crm");
    let web = Web::new(bondi.base_url(), bondi.session());
    bondi.fail(Fault::always(CallKind::Mint, How::SecondRotationRefused(409)));
    assert_eq!(web.managed("POST", ROTATE, Value::Null).await.status, 200);
    assert_eq!(web.managed("POST", ROTATE, Value::Null).await.status, 409);
    assert!(bondi.accepts(&first), "a refused rotation evicts nothing");
    clock.advance(Span::hours(24));
    assert_eq!(web.managed("POST", ROTATE, Value::Null).await.status, 200);
}

#[tokio::test]
async fn family_revoked_ends_the_newest_key_too() {
    let clock = clock();
    let wrapd = Wrapd::start(clock.clone()).await;
    let (id, old) = wrapd.seed("production", &[]);
    let (_, other) = wrapd.seed("other", &[]);
    let web = Web::new(wrapd.base_url(), wrapd.session());
    wrapd.fail(Fault::always(CallKind::Mint, How::FamilyRevoked));
    let rotate = async || web.managed("POST", &format!("/api-keys/{id}/rotate"), json!({ "grace_minutes": 60 })).await;
    let new = rotate().await.secret("key");
    assert!(wrapd.accepts(&old) && wrapd.accepts(&new));
    assert_eq!(rotate().await.status, 401);
    assert!(!wrapd.accepts(&old) && !wrapd.accepts(&new));
    assert!(wrapd.accepts(&other), "another line is another family");
}

#[tokio::test]
async fn issue_delayed_accepts_only_later_or_every_second_time() {
    let clock = clock();
    let plana = Plana::start(clock.clone()).await;
    let web = Web::new(plana.base_url(), plana.session());
    for alternating in [false, true] {
        plana.fail(Fault::once(CallKind::Mint, How::IssueDelayed { span: Span::seconds(15), alternating }));
        let key = web.managed("POST", KEYS, json!({ "name": "new" })).await.secret("key");
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(web.bearer(USE, &key).await);
        }
        assert_eq!(seen, if alternating { [401, 200, 401, 200] } else { [401; 4] });
        assert!(!plana.accepts(&key));
        clock.advance(Span::seconds(15));
        assert_eq!(web.bearer(USE, &key).await, 200);
    }
    assert_eq!(plana.refused(), 6);
}

#[tokio::test]
async fn revoke_delayed_accepts_the_dead_key_for_a_while() {
    let clock = clock();
    let plana = Plana::start(clock.clone()).await;
    let (id, key) = plana.seed("old", "*");
    let web = Web::new(plana.base_url(), plana.session());
    plana.fail(Fault::once(CallKind::Revoke, How::RevokeDelayed(Span::seconds(9))));
    assert_eq!(web.managed("DELETE", &format!("{KEYS}/{id}"), Value::Null).await.status, 204);
    assert_eq!(web.bearer(USE, &key).await, 200);
    clock.advance(Span::seconds(9));
    assert_eq!(web.bearer(USE, &key).await, 401);
    assert_eq!(plana.keys()[0].revoked_at, Some(START));
}

#[tokio::test]
async fn max_keys_refuses_with_a_code_until_one_has_ended() {
    let clock = clock();
    let plana = Plana::start(clock.clone()).await;
    let (id, _) = plana.seed("old", "*");
    let web = Web::new(plana.base_url(), plana.session());
    plana.fail(Fault::always(CallKind::Mint, How::MaxKeys(2)));
    let mint = async || web.managed("POST", KEYS, json!({ "name": "new" })).await;
    assert_eq!(mint().await.status, 201);
    let full = mint().await;
    assert_eq!((full.status, full.text("/error")), (400, "limit_exceeded"));
    web.managed("DELETE", &format!("{KEYS}/{id}"), Value::Null).await;
    assert_eq!(mint().await.status, 201);
}

#[tokio::test]
async fn hostile_next_url_stands_in_the_link_header_and_the_body() {
    let clock = clock();
    let wrapd = Wrapd::start(clock.clone()).await;
    let web = Web::new(wrapd.base_url(), wrapd.session());
    let url = "http://127.0.0.1:9/api-keys?page=2";
    wrapd.fail(Fault::once(CallKind::List, How::HostileNextUrl(url.to_owned())));
    let list = web.managed("GET", "/api-keys", Value::Null).await;
    assert_eq!(list.text("/next"), url);
    assert_eq!(list.headers["link"], format!("<{url}>; rel=\"next\"").as_str());
    assert_eq!(clock.now(), START);
}
