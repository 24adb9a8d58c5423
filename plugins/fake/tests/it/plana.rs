//! PLANA's "Rotate an API key", sentence by sentence.

use std::sync::Arc;

use cutover_api::{Clock, Secret, Span};
use cutover_fake::{FakeClock, Plana};
use serde_json::{Value, json};

use crate::support::{START, Seen, Web, clock};

const KEYS: &str = "/api/portal/apikeys";
const USE: &str = "/api/v1/dashboard";

struct World {
    clock: Arc<FakeClock>,
    plana: Plana,
    web: Web,
    old_id: String,
    old: Secret,
}

impl World {
    async fn new() -> Self {
        let clock = clock();
        let plana = Plana::start(clock.clone()).await;
        let (old_id, old) = plana.seed("Nightly stock sync (2025)", "dashboard:read");
        let web = Web::new(plana.base_url(), plana.session());
        Self { clock, plana, web, old_id, old }
    }

    async fn issue(&self, name: &str) -> Seen {
        self.web.managed("POST", KEYS, json!({ "name": name, "scope": "dashboard:read" })).await
    }

    async fn row(&self, id: &str) -> Value {
        let list = self.web.managed("GET", KEYS, Value::Null).await;
        let rows = list.body.as_array().expect("a bare array").clone();
        rows.into_iter().find(|row| row["id"] == id).expect("a row")
    }

    async fn revoke(&self, id: &str) -> u16 {
        self.web.managed("DELETE", &format!("{KEYS}/{id}"), Value::Null).await.status
    }
}

#[tokio::test]
async fn issue_a_new_key_with_the_same_scope_beside_the_old_one() {
    let world = World::new().await;
    let new = world.issue("Nightly stock sync (2026)").await;
    assert_eq!(new.status, 201);
    assert_eq!(new.text("/name"), "Nightly stock sync (2026)");
    assert_eq!(new.text("/scope"), "dashboard:read");
    assert_eq!(world.web.bearer(USE, &world.old).await, 200);
    assert_eq!(world.web.bearer(USE, &new.secret("key")).await, 200);
}

#[tokio::test]
async fn a_key_is_pa_live_and_32_bytes_of_base32_and_lists_show_12_characters() {
    let world = World::new().await;
    let new = world.issue("n").await;
    let key = new.text("/key");
    let body = key.strip_prefix("pa_live_").expect("the prefix");
    assert_eq!(body.len(), 52);
    assert!(body.bytes().all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b)));
    assert_eq!(new.text("/prefix"), &key[..12]);
    assert_eq!(world.row(new.text("/id")).await["prefix"], key[..12]);
}

#[tokio::test]
async fn the_plaintext_cannot_be_recovered() {
    let world = World::new().await;
    let new = world.issue("n").await;
    let list = world.web.managed("GET", KEYS, Value::Null).await.body.to_string();
    assert!(!list.contains(new.text("/key")) && !list.contains(world.old.expose()));
    let one = world.web.managed("GET", &format!("{KEYS}/{}", new.text("/id")), Value::Null).await;
    assert_eq!(one.status, 404);
}

#[tokio::test]
async fn the_new_keys_last_used_updates_and_the_old_keys_last_used_stops() {
    let world = World::new().await;
    assert_eq!(world.row(&world.old_id).await["lastUsedAt"], Value::Null, "never");
    assert_eq!(world.web.bearer(USE, &world.old).await, 200);
    let new = world.issue("n").await;
    assert_eq!(world.row(new.text("/id")).await["lastUsedAt"], Value::Null);
    world.clock.advance(Span::HOUR);
    assert_eq!(world.web.bearer(USE, &new.secret("key")).await, 200);
    assert_eq!(world.row(new.text("/id")).await["lastUsedAt"], "2026-04-26T13:34:56.000Z");
    assert_eq!(world.row(&world.old_id).await["lastUsedAt"], "2026-04-26T12:34:56.000Z");
}

#[tokio::test]
async fn last_used_counts_successful_calls_only() {
    let world = World::new().await;
    let (id, agents) = world.plana.seed("agents", "agents:invoke");
    assert_eq!(world.web.bearer(USE, &agents).await, 403, "wrong scope");
    assert_eq!(world.row(&id).await["lastUsedAt"], Value::Null);
    let (all_id, all) = world.plana.seed("all", "*");
    assert_eq!(world.web.bearer(USE, &all).await, 200);
    assert_ne!(world.row(&all_id).await["lastUsedAt"], Value::Null);
}

#[tokio::test]
async fn last_used_has_a_granularity_and_a_lag() {
    let world = World::new().await;
    world.plana.tell_last_used(Span::MINUTE, Span::MINUTE);
    assert_eq!(world.web.bearer(USE, &world.old).await, 200);
    world.clock.advance(Span::seconds(59));
    assert_eq!(world.row(&world.old_id).await["lastUsedAt"], Value::Null, "not told yet");
    world.clock.advance(Span::SECOND);
    assert_eq!(world.row(&world.old_id).await["lastUsedAt"], "2026-04-26T12:34:00.000Z");
}

#[tokio::test]
async fn the_execution_log_shows_the_key_prefix_of_each_call() {
    let world = World::new().await;
    let new = world.issue("n").await.secret("key");
    world.web.bearer(USE, &world.old).await;
    world.web.bearer(USE, &new).await;
    world.revoke(&world.old_id).await;
    world.web.bearer(USE, &world.old).await;
    let log: Vec<_> = world.plana.execution_log().into_iter().map(|line| (line.prefix, line.status)).collect();
    let (old, new) = (world.old.expose()[..12].to_owned(), new.expose()[..12].to_owned());
    assert_eq!(log, [(old.clone(), 200), (new, 200), (old, 401)]);
}

#[tokio::test]
async fn the_old_key_stops_working_within_seconds_and_then_returns_401() {
    let world = World::new().await;
    world.plana.revocation_takes(Span::seconds(5));
    assert_eq!(world.revoke(&world.old_id).await, 204);
    assert_eq!(world.web.bearer(USE, &world.old).await, 200);
    world.clock.advance(Span::seconds(5));
    assert_eq!(world.web.bearer(USE, &world.old).await, 401);
    assert_eq!(world.plana.refused(), 1);
    assert_eq!(world.row(&world.old_id).await["revoked"], true);
}

#[tokio::test]
async fn a_revoked_key_cannot_be_re_enabled() {
    let world = World::new().await;
    world.revoke(&world.old_id).await;
    let path = format!("{KEYS}/{}", world.old_id);
    for method in ["PATCH", "PUT", "POST"] {
        assert_eq!(world.web.managed(method, &path, json!({ "revoked": false })).await.status, 404);
    }
    assert_eq!(world.revoke(&world.old_id).await, 204, "again is the same");
    assert_eq!(world.revoke("key_nobody").await, 404);
    assert!(!world.plana.accepts(&world.old));
}

#[tokio::test]
async fn names_may_repeat_and_scope_and_expiry_are_optional() {
    let world = World::new().await;
    let (a, b) = (world.issue("same").await, world.issue("same").await);
    assert_ne!(a.text("/id"), b.text("/id"));
    let bare = world.web.managed("POST", KEYS, json!({ "name": "bare" })).await;
    assert_eq!((bare.text("/scope"), &bare.body["expiresAt"]), ("dashboard:read", &Value::Null));
    let until = world.web.managed("POST", KEYS, json!({ "name": "until", "expiresAt": "2026-04-26T12:35:56Z" })).await;
    assert!(world.plana.accepts(&until.secret("key")));
    assert_eq!(world.clock.now(), START);
    world.clock.advance(Span::MINUTE);
    assert!(!world.plana.accepts(&until.secret("key")));
    for bad in [json!({}), json!({ "name": "x", "scope": "root" }), json!({ "name": "x", "expiresAt": "soon" })] {
        assert_eq!(world.web.managed("POST", KEYS, bad).await.status, 400);
    }
}

#[tokio::test]
async fn a_key_cannot_manage_keys() {
    let world = World::new().await;
    let web = Web::new(world.plana.base_url(), world.old.duplicate());
    assert_eq!(web.managed("POST", KEYS, json!({ "name": "self" })).await.status, 401);
    assert_eq!(world.plana.keys().len(), 1);
}
