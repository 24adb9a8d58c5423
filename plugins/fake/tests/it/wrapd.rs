//! Wrapd's "Key Rotation", sentence by sentence.

use std::sync::Arc;

use cutover_api::{Clock, Secret, Span};
use cutover_fake::{FakeClock, WRAPD_GRACES, Wrapd};
use serde_json::{Value, json};

use crate::support::{Seen, Web, clock, seen};

struct World {
    clock: Arc<FakeClock>,
    wrapd: Wrapd,
    web: Web,
    id: String,
    key: Secret,
    agent_id: String,
    agent: Secret,
}

impl World {
    async fn new() -> Self {
        let clock = clock();
        let wrapd = Wrapd::start(clock.clone()).await;
        let (id, key) = wrapd.seed("production", &["GET /orders", "POST /orders"]);
        let (agent_id, agent) = wrapd.seed_agent("crawler", "eu-1");
        let web = Web::new(wrapd.base_url(), wrapd.session());
        Self { clock, wrapd, web, id, key, agent_id, agent }
    }

    async fn rotate(&self, minutes: i64) -> Seen {
        self.web.managed("POST", &format!("/api-keys/{}/rotate", self.id), json!({ "grace_minutes": minutes })).await
    }

    async fn rotate_agent(&self, minutes: i64) -> Seen {
        self.web.managed("POST", &format!("/agents/{}/rotate", self.agent_id), json!({ "grace_minutes": minutes })).await
    }

    async fn rows(&self, path: &str, name: &str) -> Vec<Value> {
        self.web.managed("GET", path, Value::Null).await.body[name].as_array().expect("rows").clone()
    }

    async fn badge(&self) -> String {
        let reply = seen(self.web.request("GET", "/operator/badge.svg")).await.expect("a reply");
        reply.body.as_str().expect("an image").to_owned()
    }
}

/// The old key works until exactly `minutes` have passed, and stops without anybody doing anything.
async fn old_key_lives_for(minutes: i64) {
    let world = World::new().await;
    let reply = world.rotate(minutes).await;
    assert_eq!(reply.status, 201);
    let ends = world.clock.now().plus(Span::minutes(minutes));
    world.clock.set(ends.minus(Span(1)));
    assert_eq!(world.web.api_key("/me", &world.key).await, 200);
    world.clock.set(ends);
    assert_eq!(world.web.api_key("/me", &world.key).await, 401);
    assert_eq!(world.web.api_key("/me", &reply.secret("key")).await, 200, "only the new credential works");
    assert_eq!(world.wrapd.keys()[0].expires_at, Some(ends));
}

#[tokio::test]
async fn immediate_revoked_instantly() {
    let world = World::new().await;
    let reply = world.rotate(0).await;
    assert_eq!(reply.status, 201);
    assert_eq!(reply.text("/previous/expires_at"), "2026-04-26T12:34:56.000Z");
    assert_eq!(world.web.api_key("/me", &world.key).await, 401);
    assert_eq!(world.web.api_key("/me", &reply.secret("key")).await, 200);
}

#[tokio::test]
async fn fifteen_minutes_valid_for_15_more_minutes() {
    old_key_lives_for(15).await;
}

#[tokio::test]
async fn one_hour_valid_for_1_more_hour() {
    old_key_lives_for(60).await;
}

#[tokio::test]
async fn six_hours_valid_for_6_more_hours() {
    old_key_lives_for(6 * 60).await;
}

#[tokio::test]
async fn twenty_four_hours_valid_for_1_more_day() {
    old_key_lives_for(24 * 60).await;
}

#[tokio::test]
async fn three_days_valid_for_3_more_days() {
    old_key_lives_for(3 * 24 * 60).await;
}

#[tokio::test]
async fn seven_days_valid_for_7_more_days() {
    old_key_lives_for(7 * 24 * 60).await;
}

#[tokio::test]
async fn no_other_grace_is_on_offer() {
    let world = World::new().await;
    assert_eq!(WRAPD_GRACES.len(), 7);
    for minutes in [-1, 1, 14, 30, 120, 1_441, 20_160] {
        assert_eq!(world.rotate(minutes).await.status, 400);
    }
    let path = format!("/api-keys/{}/rotate", world.id);
    assert_eq!(world.web.managed("POST", &path, json!({})).await.status, 400);
    assert_eq!(world.web.managed("POST", &path, json!({ "grace_minutes": "15" })).await.status, 400);
    assert_eq!(world.wrapd.keys().len(), 2, "none was made");
}

#[tokio::test]
async fn the_new_key_inherits_the_label_and_scopes() {
    let world = World::new().await;
    let reply = world.rotate(60).await;
    assert_eq!(reply.text("/label"), "production");
    assert_eq!(reply.body["scopes"], json!(["GET /orders", "POST /orders"]));
    assert!(reply.text("/key").starts_with("wrapd_sk_"));
    assert_ne!(reply.text("/id"), world.id);
}

#[tokio::test]
async fn the_new_token_keeps_the_same_agent_name_and_label() {
    let world = World::new().await;
    let reply = world.rotate_agent(60).await;
    assert_eq!((reply.text("/agent"), reply.text("/label")), ("crawler", "eu-1"));
    assert!(reply.text("/token").starts_with("wrapd_at_"));
}

#[tokio::test]
async fn during_the_grace_both_tokens_authenticate_and_the_agent_stays_online() {
    let world = World::new().await;
    assert!(world.badge().await.contains("offline"));
    let new = world.rotate_agent(15).await.secret("token");
    assert_eq!(world.web.bearer("/agents/connect", &world.agent).await, 200);
    assert_eq!(world.web.bearer("/agents/connect", &new).await, 200);
    assert!(world.badge().await.contains("online"));
    world.clock.advance(Span::minutes(15));
    assert!(world.badge().await.contains("offline"));
    assert_eq!(world.web.bearer("/agents/connect", &world.agent).await, 401);
    assert!(world.badge().await.contains("offline"), "a refused token keeps no agent online");
    assert_eq!(world.web.bearer("/agents/connect", &new).await, 200);
    assert!(world.badge().await.contains("online"));
}

#[tokio::test]
async fn the_old_credential_gets_an_expires_at_timestamp() {
    let world = World::new().await;
    let reply = world.rotate(15).await;
    assert_eq!(reply.text("/previous/id"), world.id);
    assert_eq!(reply.text("/previous/expires_at"), "2026-04-26T12:49:56.000Z");
    let rows = world.rows("/api-keys", "keys").await;
    assert_eq!(rows.len(), 2, "agent tokens have a list of their own");
    assert_eq!(rows[0]["expires_at"], "2026-04-26T12:49:56.000Z");
    assert_eq!(rows[1]["expires_at"], Value::Null);
    world.clock.advance(Span::minutes(15));
    assert_eq!(world.rows("/api-keys", "keys").await.len(), 1, "no manual cleanup needed");
    assert_eq!(world.rows("/agents", "agents").await.len(), 1);
}

#[tokio::test]
async fn the_new_key_is_shown_once() {
    let world = World::new().await;
    let reply = world.rotate(15).await;
    let list = world.web.managed("GET", "/api-keys", Value::Null).await.body.to_string();
    assert!(!list.contains(reply.text("/key")) && !list.contains(world.key.expose()));
}

#[tokio::test]
async fn revoke_is_immediate_and_final() {
    let world = World::new().await;
    let path = format!("/api-keys/{}", world.id);
    assert_eq!(world.web.managed("DELETE", &path, Value::Null).await.status, 204);
    assert_eq!(world.web.api_key("/me", &world.key).await, 401);
    assert_eq!(world.rotate(15).await.status, 409, "an ended key cannot be rotated");
    let crossed = format!("/api-keys/{}", world.agent_id);
    assert_eq!(world.web.managed("DELETE", &crossed, Value::Null).await.status, 404, "an agent token is no API key");
}

#[tokio::test]
async fn issue_takes_a_label_and_a_key_of_one_kind_does_not_work_as_the_other() {
    let world = World::new().await;
    let key = world.web.managed("POST", "/api-keys", json!({ "label": "ci" })).await.secret("key");
    assert_eq!(world.web.api_key("/me", &key).await, 200);
    assert_eq!(world.web.bearer("/agents/connect", &key).await, 401);
    assert_eq!(world.web.api_key("/me", &world.agent).await, 401);
    assert_eq!(world.web.managed("POST", "/api-keys", json!({})).await.status, 400);
    assert_eq!(world.wrapd.counts().refused_unknown, 2);
}

#[tokio::test]
async fn rotating_the_old_key_again_never_lengthens_its_life() {
    let world = World::new().await;
    world.rotate(15).await;
    let again = world.rotate(60).await;
    assert_eq!(again.text("/previous/expires_at"), "2026-04-26T12:49:56.000Z");
    assert_eq!(world.wrapd.keys().iter().filter(|key| key.alive && key.name == "production").count(), 3);
}
