//! Bondi's token rotation, sentence by sentence.

use std::sync::Arc;

use cutover_api::{Clock, Secret, Span};
use cutover_fake::{Bondi, FakeClock, NotSigned, Signed};
use serde_json::{Value, json};

use crate::support::{Seen, Web, clock, seen};

const ROTATE: &str = "/v1/workspaces/ws_1/integrations/custom-definitions/my-crm/rotate-token";
const BODY: &[u8] = br#"{"event":"x","data":{}}"#;

struct World {
    clock: Arc<FakeClock>,
    bondi: Bondi,
    web: Web,
    first: Secret,
}

impl World {
    async fn new() -> Self {
        let clock = clock();
        let bondi = Bondi::start(clock.clone()).await;
        let (_, first) = bondi.seed("ws_1", "my-crm");
        let web = Web::new(bondi.base_url(), bondi.session());
        Self { clock, bondi, web, first }
    }

    async fn rotate(&self) -> Seen {
        self.web.managed("POST", ROTATE, Value::Null).await
    }

    async fn emit(&self, signed: Signed) -> Seen {
        let request = self.web.request("POST", "/integrations/custom/ws_1/my-crm/emit");
        let request = request.header("x-bondi-timestamp", signed.timestamp).header("x-bondi-action", signed.action);
        seen(request.header("x-bondi-signature", signed.signature).body(BODY)).await.expect("a reply")
    }

    async fn emit_with(&self, token: &Secret) -> u16 {
        self.emit(Signed::new(token, "emit", BODY, self.clock.now())).await.status
    }

    fn signed_by(&self, token: &Secret) -> bool {
        let signed = self.bondi.sign("ws_1", "my-crm", "do", BODY).expect("an integration");
        signed.made_by([token], BODY, self.clock.now()).is_ok()
    }
}

#[tokio::test]
async fn the_response_includes_slug_token_warning_and_previous_token_valid_until() {
    let world = World::new().await;
    let reply = world.rotate().await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.text("/slug"), "my-crm");
    assert!(reply.text("/token").starts_with("bnd_tok_") && reply.text("/token").len() >= 16);
    assert_eq!(
        reply.text("/tokenWarning"),
        "Save this token now — it cannot be retrieved again. Update BONDI_INTEGRATION_TOKEN in your environment. The previous token \
         remains valid for 24 hours."
    );
    assert_eq!(reply.text("/previousTokenValidUntil"), "2026-04-27T12:34:56.000Z");
    assert_eq!(reply.body.as_object().expect("an object").len(), 4);
    assert_eq!(reply.headers["date"], "Sun, 26 Apr 2026 12:34:56 GMT");
}

#[tokio::test]
async fn previous_token_valid_for_exactly_24_hours() {
    let world = World::new().await;
    let second = world.rotate().await.secret("token");
    world.clock.advance(Span(Span::hours(24).0 - 1));
    assert!(world.bondi.accepts(&world.first));
    assert_eq!(world.emit_with(&world.first).await, 200);
    world.clock.advance(Span(1));
    assert!(!world.bondi.accepts(&world.first));
    assert_eq!(world.emit_with(&world.first).await, 401);
    assert_eq!(world.emit_with(&second).await, 200, "only the new one works");
    assert_eq!(world.bondi.refused(), 1);
}

#[tokio::test]
async fn the_receiver_accepts_trigger_emits_signed_with_either_token_at_t0() {
    let world = World::new().await;
    let second = world.rotate().await.secret("token");
    assert_eq!(world.emit_with(&world.first).await, 200);
    assert_eq!(world.emit_with(&second).await, 200);
    assert_eq!(world.emit_with(&Secret::new("bnd_tok_nobody".to_owned())).await, 401);
}

#[tokio::test]
async fn the_sender_signs_outbound_action_calls_with_the_new_token_at_t0() {
    let world = World::new().await;
    assert!(world.signed_by(&world.first));
    let second = world.rotate().await.secret("token");
    assert!(world.signed_by(&second));
    assert!(!world.signed_by(&world.first), "who only knows the old token rejects action calls until the redeploy");
}

#[tokio::test]
async fn rotating_again_evicts_the_older_token_and_gives_another_24_hours() {
    let world = World::new().await;
    let second = world.rotate().await.secret("token");
    world.clock.advance(Span::HOUR);
    let third = world.rotate().await;
    assert_eq!(third.text("/previousTokenValidUntil"), "2026-04-27T13:34:56.000Z");
    assert!(!world.bondi.accepts(&world.first), "one previous token: the one before it dies at once");
    assert_eq!(world.emit_with(&world.first).await, 401);
    assert_eq!(world.emit_with(&second).await, 200);
    assert_eq!(world.emit_with(&third.secret("token")).await, 200);
}

#[tokio::test]
async fn recovery_after_the_old_token_has_expired_is_to_rotate_again() {
    let world = World::new().await;
    let lost = world.rotate().await.secret("token");
    world.clock.advance(Span::hours(25));
    let third = world.rotate().await.secret("token");
    assert!(world.bondi.accepts(&lost) && world.bondi.accepts(&third));
    assert!(!world.bondi.accepts(&world.first));
}

#[tokio::test]
async fn the_token_is_shown_once_and_cannot_be_retrieved() {
    let world = World::new().await;
    world.rotate().await;
    for (method, path) in [("GET", ROTATE), ("GET", "/v1/workspaces/ws_1/integrations/custom-definitions/my-crm")] {
        assert_eq!(world.web.managed(method, path, Value::Null).await.status, 404);
    }
}

#[tokio::test]
async fn there_is_no_rotation_without_grace_but_support_wipes_the_previous_token() {
    let world = World::new().await;
    let reply = world.web.managed("POST", ROTATE, json!({ "grace": 0 })).await;
    assert_eq!(reply.text("/previousTokenValidUntil"), "2026-04-27T12:34:56.000Z");
    assert!(world.bondi.support_wipes_previous("ws_1", "my-crm"));
    assert!(!world.bondi.accepts(&world.first));
    assert!(world.bondi.accepts(&reply.secret("token")));
    assert!(!world.bondi.support_wipes_previous("ws_1", "my-crm"));
}

#[tokio::test]
async fn rotation_leaves_the_integration_in_place() {
    let world = World::new().await;
    let before = world.bondi.integration_id("ws_1", "my-crm");
    world.rotate().await;
    assert!(before.is_some());
    assert_eq!(world.bondi.integration_id("ws_1", "my-crm"), before);
}

#[tokio::test]
async fn each_environment_has_its_own_integration_with_its_own_token() {
    let world = World::new().await;
    let (_, staging) = world.bondi.seed("ws_1", "my-crm-staging");
    world.rotate().await;
    world.rotate().await;
    assert!(world.bondi.accepts(&staging));
    assert_eq!(world.emit_with(&staging).await, 401, "another integration's token signs nothing here");
}

#[tokio::test]
async fn the_three_reasons_of_a_401() {
    let world = World::new().await;
    let bare = world.web.request("POST", "/integrations/custom/ws_1/my-crm/emit").body(BODY);
    assert_eq!(seen(bare).await.expect("a reply").text("/reason"), NotSigned::MissingHeaders.label());
    let early = world.clock.now().minus(Span::minutes(6));
    let old = world.emit(Signed::new(&world.first, "emit", BODY, early)).await;
    assert_eq!((old.status, old.text("/reason")), (401, "expired_timestamp"));
    let other = world.emit(Signed::new(&world.first, "emit", b"{}", world.clock.now())).await;
    assert_eq!((other.status, other.text("/reason")), (401, "invalid_signature"));
}

#[tokio::test]
async fn rotate_takes_a_session_that_has_not_expired_and_the_token_is_none() {
    let world = World::new().await;
    let short = Web::new(world.bondi.base_url(), world.bondi.session_until(world.clock.now().plus(Span::MINUTE)));
    world.clock.advance(Span::MINUTE);
    assert_eq!(short.managed("POST", ROTATE, Value::Null).await.status, 401);
    let token = Web::new(world.bondi.base_url(), world.first.duplicate());
    assert_eq!(token.managed("POST", ROTATE, Value::Null).await.status, 401);
    assert_eq!(world.bondi.counts().unauthorized, 2);
    assert_eq!(world.bondi.keys().len(), 1);
}
