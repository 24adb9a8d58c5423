//! The shipped definitions against servers that play their providers.

use crate::common::{Asked, NOW, Server, World, call, intent, json, key, params, record, shipped};
use cutover_api::{Call, Class, KeyRecord, MintAnswer, Outcome, Provider, RawReply, Secret, Span, Stamp};
use cutover_provider_http::HttpProvider;

const NEW_BONDI: &str = "bnd_tok_canary_0123456789";
const NEW_PLANA: &str = "pa_live_CANARY7AB2CDEFGHIJKLMNOPQRSTUVWXYZ234567ABCDEFGH";
const NEW_WRAPD: &str = "wrapd_sk_canary0123456789abcdef";

fn raw(answer: MintAnswer) -> RawReply {
    match answer {
        MintAnswer::Reply(raw) => raw,
        MintAnswer::Refused(refusal) => panic!("{refusal}"),
        MintAnswer::Unknown(cause, _) => panic!("{cause}"),
    }
}

fn done<T>(outcome: Outcome<T>) -> T {
    match outcome {
        Outcome::Done(done) => done,
        Outcome::Refused(refusal) => panic!("{refusal}"),
        Outcome::Unknown(cause) => panic!("{cause}"),
    }
}

fn class<T>(outcome: Outcome<T>) -> Class {
    match outcome {
        Outcome::Done(_) => panic!("done"),
        Outcome::Refused(refusal) => refusal.class,
        Outcome::Unknown(_) => Class::Unknown,
    }
}

#[tokio::test]
async fn bondi_rotates_and_its_reply_survives_a_restart() {
    let server = Server::start(|asked| {
        assert_eq!(asked.header("authorization"), "Bearer session-canary");
        let mut answer = json(
            200,
            format!(
                "{{\"slug\":\"my-crm\",\"token\":\"{NEW_BONDI}\",\"tokenWarning\":\"Save\",\"previousTokenValidUntil\":\"2026-11-22T12:00:03.000Z\"}}"
            ),
        );
        answer.headers.push(("date", "Sat, 21 Nov 2026 12:00:03 GMT".to_owned()));
        answer
    })
    .await;
    let world = World::new();
    let definition = shipped("bondi");
    let (params, intent) = (params(&[("workspace", "ws 1ä"), ("slug", "my-crm")]), intent());
    let account = world.at(&definition, &server);
    let old = KeyRecord::default();
    let secret = Secret::new("bnd_tok_old_old_old".to_owned());
    let old = Some(key(&old, Some(&secret)));
    let reply = raw(account.mint(call(&params, &intent), old, None).await);
    assert_eq!(
        server.asked().iter().map(|asked| asked.line.as_str()).collect::<Vec<_>>(),
        ["POST /v1/workspaces/ws%201%C3%A4/integrations/custom-definitions/my-crm/rotate-token"]
    );
    let first = done(account.parse(call(&params, &intent), old, &reply));
    // Another process, which has nothing but the definition's text, the plan and what was sealed.
    let restarted = world.at(&crate::common::parsed("bondi.toml", definition.text()), &server);
    world.clock.set(NOW.plus(Span::hours(5)));
    let again = done(restarted.parse(call(&params, &intent), old, &RawReply(Secret::new(reply.0.expose().to_owned()))));
    for minted in [&first, &again] {
        assert!(minted.secret.as_ref().is_some_and(|secret| secret.expose() == NEW_BONDI));
        assert_eq!(minted.record.fingerprint, Some(Secret::new(NEW_BONDI.to_owned()).fingerprint()));
        let old = minted.old.as_ref().expect("what it says of the old one");
        assert_eq!(old.expires_at, Some(NOW.plus(Span::hours(24)).plus(Span::seconds(3))));
        assert_eq!(minted.provider_now, Some(NOW.plus(Span::seconds(3))));
        assert_eq!(minted.record.id, None);
    }
    assert_eq!(first.record, again.record);
    assert_eq!(server.asked().len(), 1, "parse asks nobody");
}

#[tokio::test]
async fn bondi_answers_about_another_integration_and_is_not_believed() {
    let server = Server::start(|_| json(200, format!("{{\"slug\":\"other\",\"token\":\"{NEW_BONDI}\"}}"))).await;
    let (params, intent) = (params(&[("workspace", "w"), ("slug", "my-crm")]), intent());
    let account = World::new().at(&shipped("bondi"), &server);
    let reply = raw(account.mint(call(&params, &intent), None, None).await);
    assert_eq!(class(account.parse(call(&params, &intent), None, &reply)), Class::Unknown);
}

fn plana(asked: &Asked) -> crate::common::Answer {
    let with_key = asked.header("authorization") == format!("Bearer {NEW_PLANA}");
    match asked.line.as_str() {
        "POST /api/portal/apikeys" => json(201, format!("{{\"id\":\"k2\",\"key\":\"{NEW_PLANA}\"}}")),
        "GET /api/portal/apikeys" => json(
            200,
            r#"[{"id":"k1","name":"Nightly","prefix":"pa_live_AB7K","createdAt":"2025-11-21T12:00:00Z","lastUsedAt":"2026-11-21T11:58:00Z","expiresAt":null,"revoked":false},
                {"id":"k2","name":"Nightly (2026-abcdef012345)","prefix":"pa_live_CANA","createdAt":"2026-11-21T12:00:01Z","revoked":true}]"#,
        ),
        "DELETE /api/portal/apikeys/k1" => json(204, ""),
        "DELETE /api/portal/apikeys/k0" => json(404, "{}"),
        "GET /api/v1/dashboard" if with_key => json(403, "{}"),
        "GET /api/v1/dashboard" => json(401, "{}"),
        _ => json(500, "{}"),
    }
}

#[tokio::test]
async fn plana_issues_lists_probes_and_revokes() {
    let server = Server::start(plana).await;
    let (params, intent) = (params(&[("base_name", "Nightly")]), intent());
    let account = World::new().at(&shipped("plana"), &server);
    let call = call(&params, &intent);
    done(account.prepare(call).await);
    let (one, none) = (record("k1"), record("k0"));
    let old_secret = Secret::new("pa_live_old".to_owned());
    let old = key(&one, Some(&old_secret));
    let minted = done(account.parse(call, Some(old), &raw(account.mint(call, Some(old), None).await)));
    assert_eq!(minted.record.id.as_deref(), Some("k2"));
    let sent = server.asked().into_iter().find(|asked| asked.line.starts_with("POST")).expect("the mint");
    assert_eq!(sent.json(), serde_json::json!({ "name": "Nightly (2026-abcdef012345)", "scope": "dashboard:read" }));

    let listing = done(account.list(call).await);
    assert_eq!(listing.rows.len(), 2);
    assert_eq!(listing.rows[0].last_used_at, Some(NOW.minus(Span::minutes(2))));
    assert_eq!(listing.rows[0].expires_at, None);
    assert_eq!((listing.rows[1].revoked, listing.rows[1].name.as_deref()), (true, Some("Nightly (2026-abcdef012345)")));
    assert_eq!(listing.rows[1].prefix.as_deref(), Some("pa_live_CANA"));
    assert_eq!(done(account.last_used(call, old).await).at, Some(NOW.minus(Span::minutes(2))));
    assert_eq!(class(account.last_used(call, key(&none, None)).await), Class::Gone);

    let new_secret = minted.secret.expect("the value");
    assert!(done(account.probe(call, key(&minted.record, Some(&new_secret))).await).accepted);
    assert!(!done(account.probe(call, old).await).accepted);
    done(account.revoke(call, old).await);
    done(account.revoke(call, key(&none, None)).await);
    assert_eq!(server.count("DELETE"), 2);
    assert_eq!(class(account.deactivate(call, old).await), Class::Refused, "the definition has no such step");
    // Without an id the request cannot be made, and so it is not.
    let nameless = KeyRecord::default();
    assert_eq!(class(account.revoke(call, key(&nameless, None)).await), Class::Refused);
    assert_eq!(server.count("DELETE"), 2);
}

#[tokio::test]
async fn wrapd_is_asked_for_the_grace_and_tells_the_old_ones_end() {
    let server = Server::start(|asked| match asked.line.as_str() {
        "POST /api-keys/old-1/rotate" => json(
            200,
            format!("{{\"id\":\"new-1\",\"key\":\"{NEW_WRAPD}\",\"previous\":{{\"id\":\"old-1\",\"expires_at\":\"2026-11-22T12:00:00Z\"}}}}"),
        ),
        "GET /api-keys" => json(200, r#"{"keys":[{"id":"old-1","label":"ci","prefix":"wrapd_sk_ab","created_at":"2026-01-01T00:00:00Z","last_used_at":null,"expires_at":""}]}"#),
        "GET /me" if asked.header("x-api-key") == NEW_WRAPD => json(200, "{}"),
        "GET /me" => json(401, "{}"),
        "DELETE /api-keys/old-1" => json(410, ""),
        _ => json(500, "{}"),
    })
    .await;
    let (params, intent) = (params(&[]), intent());
    let account = World::new().at(&shipped("wrapd-api-key"), &server);
    let call = call(&params, &intent);
    let one = record("old-1");
    let minted = done(account.parse(call, Some(key(&one, None)), &raw(account.mint(call, Some(key(&one, None)), None).await)));
    assert_eq!(server.asked()[0].json(), serde_json::json!({ "grace_minutes": 1440 }));
    assert_eq!(minted.old.expect("told").expires_at, Some(NOW.plus(Span::hours(24))));
    let listing = done(account.list(call).await);
    assert_eq!((listing.rows[0].expires_at, listing.rows[0].last_used_at), (None, None));
    assert_eq!(listing.rows[0].created_at, Some(Stamp(1_767_225_600_000)));
    let secret = minted.secret.expect("the value");
    assert!(done(account.probe(call, key(&minted.record, Some(&secret))).await).accepted);
    done(account.revoke(call, key(&one, None)).await);
}

#[tokio::test]
async fn wrapd_agent_tokens_go_their_own_way() {
    let server = Server::start(|asked| match asked.line.as_str() {
        "POST /agents/a1/rotate" => {
            json(201, r#"{"id":"a2","token":"wrapd_at_canary0123456789","previous":{"expires_at":"2026-11-22T12:00:00Z"}}"#)
        }
        "GET /agents" => json(200, r#"{"agents":[{"id":"a1"},{"id":"a2"}]}"#),
        "DELETE /agents/a1" => json(200, ""),
        _ => json(500, "{}"),
    })
    .await;
    let (params, intent, one) = (params(&[]), intent(), record("a1"));
    let account = World::new().at(&shipped("wrapd-agent-token"), &server);
    let call = call(&params, &intent);
    let minted = done(account.parse(call, Some(key(&one, None)), &raw(account.mint(call, Some(key(&one, None)), None).await)));
    assert_eq!(minted.record.id.as_deref(), Some("a2"));
    assert_eq!(done(account.list(call).await).rows.len(), 2);
    done(account.revoke(call, key(&one, None)).await);
    let secret = Secret::new("wrapd_at_canary0123456789".to_owned());
    assert_eq!(class(account.probe(call, key(&one, Some(&secret))).await), Class::Refused, "there is no probe");
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn the_same_intent_always_renders_the_same_bytes() {
    let server = Server::start(plana).await;
    let (params, intent) = (params(&[("base_name", "Nightly")]), intent());
    let world = World::new();
    for hours in 0..3 {
        world.clock.set(NOW.plus(Span::hours(hours)));
        let account = world.at(&shipped("plana"), &server);
        let _ = raw(account.mint(call(&params, &intent), None, None).await);
    }
    let asked = server.asked();
    assert_eq!((asked[0].body.as_str(), &asked[0].line), (asked[1].body.as_str(), &asked[2].line));
    assert_eq!(asked[1].body, asked[2].body);
}

/// A definition of every small thing that the shipped ones do not use.
const RICH: &str = r#"name = "rich"
lifecycle = "overlap"
base_url = "required"
outputs = { user = "public", pin = "secret" }

[declares]
re_rotate = "idempotent"
idempotency = { header = "Idempotency-Key", window = "24h" }
list = "by-secret"
lifetime = { max = "30d", unit = "1d" }

[auth]
bearer = "{{ credential }}"

[issue]
request = "POST /keys"
json = { days = "{{ lifetime.days? }}", scopes = "{{ old.scopes? }}" }
extract = { "new.id" = "/id", "new.secret" = "/key", "new.user" = "/user", "new.pin" = "/pin", "new.expires_at" = "/ttl | in_seconds", "credential" = "/refresh?" }

[list]
request = "GET /keys"
rows = "/keys"
row = { id = "/id", secret = "/key", scopes = "/scopes" }
paginate = { by = "url", at = "/next" }

[read]
request = "GET /keys/{{ key.id }}"
extract = { name = "/name", expires_at = "/expires_at?" }

[last_used]
request = "GET /keys/{{ key.id }}/use"
extract = { last_used_at = "/at" }

[deactivate]
request = "POST /keys/{{ key.id }}/off"

[activate]
request = "POST /keys/{{ key.id }}/on"

[revoke]
request = "DELETE /keys/{{ key.id }}"

[discard]
request = "POST /keys/{{ key.id }}/discard"
"#;

fn rich(server: &Server) -> HttpProvider {
    World::new().at(&crate::common::parsed("rich.toml", RICH), server)
}

#[tokio::test]
async fn outputs_facts_relative_times_and_the_idempotency_key() {
    let server = Server::start(|_| {
        json(201, r#"{"id":7,"key":"new-canary","user":"u1","pin":"pin-canary","ttl":60,"refresh":"refresh-canary"}"#)
    })
    .await;
    let account = rich(&server);
    let (params, mut intent) = (params(&[]), intent());
    intent.lifetime = Some(cutover_api::LifetimeAsked { span: Span::hours(48), until: NOW.plus(Span::hours(48)) });
    let mut old = record("6");
    old.facts.insert("scopes".to_owned(), serde_json::json!(["a", "b"]));
    let call = call(&params, &intent);
    let minted = done(account.parse(call, Some(key(&old, None)), &raw(account.mint(call, Some(key(&old, None)), None).await)));
    let asked = server.asked();
    assert_eq!(asked[0].header("idempotency-key"), "abcdef012345");
    assert_eq!(asked[0].json(), serde_json::json!({ "days": 2, "scopes": ["a", "b"] }));
    assert_eq!(minted.record.id.as_deref(), Some("7"));
    assert_eq!(minted.record.facts.get("user"), Some(&serde_json::json!("u1")));
    assert!(minted.outputs["pin"].expose() == "pin-canary");
    assert!(minted.credential.is_some_and(|credential| credential.expose() == "refresh-canary"));
    assert_eq!(minted.record.expires_at, Some(NOW.plus(Span::MINUTE)), "counted from when the request was sent");
    assert_eq!(account.outputs(), [("pin".to_owned(), true), ("user".to_owned(), false)]);
    assert_eq!(account.lifetime(Some(Span::hours(49))), Some(Span::hours(48)));
}

#[tokio::test]
async fn verbs_about_a_key_and_a_key_that_is_gone() {
    let server = Server::start(|asked| match asked.line.as_str() {
        "GET /keys/1" => json(200, r#"{"name":"one","expires_at":"2027-01-01T00:00:00Z"}"#),
        "GET /keys/1/use" => json(200, r#"{"at":null}"#),
        line if line.contains("/keys/1") => json(200, "{}"),
        _ => json(404, "{}"),
    })
    .await;
    let account = rich(&server);
    let (params, intent) = (params(&[]), intent());
    // Long after the intent, or without one.
    for call in [call(&params, &intent), Call { params: &params, intent: None, signer: None }] {
        let (one, gone) = (record("1"), record("0"));
        let read = done(account.read(call, key(&one, None)).await);
        assert_eq!((read.record.name.as_deref(), read.record.expires_at), (Some("one"), Some(Stamp(1_798_761_600_000))));
        assert_eq!(done(account.last_used(call, key(&one, None)).await).at, None);
        assert_eq!(class(account.read(call, key(&gone, None)).await), Class::Gone);
        assert_eq!(class(account.last_used(call, key(&gone, None)).await), Class::Gone);
        for of in [&one, &gone] {
            done(account.deactivate(call, key(of, None)).await);
            done(account.activate(call, key(of, None)).await);
            done(account.revoke(call, key(of, None)).await);
            done(account.discard(call, key(of, None)).await);
        }
    }
}

#[tokio::test]
async fn a_list_is_whole_or_unknown() {
    let server = Server::start(|asked| {
        let row = |id: &str| format!("{{\"id\":\"{id}\",\"key\":\"row-canary-{id}\",\"scopes\":[\"s\"]}}");
        match asked.line.as_str() {
            "GET /keys" => json(200, format!("{{\"keys\":[{}],\"next\":\"/keys?page=2\"}}", row("1"))),
            "GET /keys?page=2" => json(200, format!("{{\"keys\":[{}],\"next\":\"/keys?page=3\"}}", row("2"))),
            _ => json(200, format!("{{\"keys\":[{}],\"next\":null}}", row("3"))),
        }
    })
    .await;
    let account = rich(&server);
    let (params, intent) = (params(&[]), intent());
    let listing = done(account.list(call(&params, &intent)).await);
    assert_eq!(listing.rows.iter().map(|row| row.id.as_deref().unwrap_or("")).collect::<Vec<_>>(), ["1", "2", "3"]);
    assert_eq!(listing.rows[2].fingerprint, Some(Secret::new("row-canary-3".to_owned()).fingerprint()));
    assert_eq!(listing.rows[0].facts.get("scopes"), Some(&serde_json::json!(["s"])));
    assert!(!format!("{listing:?}").contains("row-canary"));
}

#[tokio::test]
async fn a_next_page_elsewhere_is_never_fetched() {
    let elsewhere = Server::start(|_| json(200, r#"{"keys":[],"next":null}"#)).await;
    let thief = elsewhere.url();
    let server = Server::start(move |asked| match asked.line.as_str() {
        "GET /keys" => json(200, r#"{"keys":[{"id":"1"}],"next":"/keys?page=2"}"#),
        _ => json(200, format!("{{\"keys\":[{{\"id\":\"2\"}}],\"next\":\"{thief}/keys?page=3\"}}")),
    })
    .await;
    let (params, intent) = (params(&[]), intent());
    assert_eq!(class(rich(&server).list(call(&params, &intent)).await), Class::Unknown);
    assert_eq!(elsewhere.asked(), [], "the credential went nowhere else");
}

#[tokio::test]
async fn rows_that_are_missing_are_never_no_keys() {
    for body in [r#"{}"#, r#"{"keys":null}"#, r#"{"keys":{}}"#, r#"{"keys":[{"name":"no id"}]}"#, "<html>", "[]", ""] {
        let server = Server::start(move |_| json(200, body)).await;
        let (params, intent) = (params(&[]), intent());
        assert_eq!(class(rich(&server).list(call(&params, &intent)).await), Class::Unknown, "{body}");
    }
    let server = Server::start(|_| json(200, r#"{"keys":[]}"#)).await;
    let (params, intent) = (params(&[]), intent());
    assert_eq!(done(rich(&server).list(call(&params, &intent)).await).rows, []);
}

/// A provider that answers later, and whose mint's reply has no value: `[read]` follows it.
const LATER: &str = r#"name = "later"
lifecycle = "overlap"
base_url = "required"
[declares]
reread = true
secret = { prefix = "key_" }
[issue]
request = "POST /jobs"
expect = { status = [202] }
keep = { job = "/job" }
extract = { "new.id" = "/key/id" }
[issue.poll]
request = "GET /jobs/{{ steps.issue.job }}"
done = { status = [200], body = { "/state" = "done" } }
failed = { status = [200], body = { "/state" = "failed" } }
every = "1s"
timeout = "5s"
[read]
request = "GET /keys/{{ key.id }}"
extract = { secret = "/value" }
[revoke]
request = "DELETE /keys/{{ key.id }}"
"#;

async fn later(state: &'static str, value: &'static str) -> (Server, HttpProvider) {
    let server = Server::start(move |asked| match asked.line.as_str() {
        "POST /jobs" => json(202, r#"{"job":"j1"}"#),
        "GET /jobs/j1" if state == "lost" => json(404, "{}"),
        "GET /jobs/j1" => json(200, format!("{{\"state\":\"{state}\",\"key\":{{\"id\":\"k9\"}}}}")),
        "GET /keys/k9" => json(200, format!("{{\"value\":\"{value}\"}}")),
        _ => json(500, "{}"),
    })
    .await;
    let account =
        World::new().account(&crate::common::parsed("later.toml", LATER), &format!("base_url = \"{}\"", server.url()));
    (server, account)
}

#[tokio::test]
async fn a_mint_that_ends_later_is_sealed_when_it_is_done_and_read_after_it() {
    let (server, account) = later("done", "key_canary").await;
    let (params, intent) = (params(&[]), intent());
    let call = call(&params, &intent);
    assert!(account.facts().verbs.read_after_mint);
    assert_eq!(account.facts().mint_timeout, Span::seconds(35), "the polling is part of the mint");
    let minted = done(account.parse(call, None, &raw(account.mint(call, None, None).await)));
    assert_eq!((minted.record.id.as_deref(), minted.secret.is_none()), (Some("k9"), true));
    let read = done(account.read(call, key(&minted.record, None)).await);
    assert!(read.secret.is_some_and(|secret| secret.expose() == "key_canary"));
    assert_eq!(server.count("POST"), 1);
}

#[tokio::test]
async fn a_mint_whose_end_is_not_seen_is_unknown_and_not_sent_again() {
    let (params, intent) = (params(&[]), intent());
    let (server, account) = later("lost", "").await;
    assert!(matches!(account.mint(call(&params, &intent), None, None).await, MintAnswer::Unknown(_, Some(_))));
    assert_eq!(server.count("POST"), 1);
    let (server, account) = later("failed", "").await;
    assert!(
        matches!(account.mint(call(&params, &intent), None, None).await, MintAnswer::Refused(r) if r.class == Class::Refused)
    );
    assert_eq!(server.count("POST"), 1);
}

#[tokio::test]
async fn a_value_read_again_must_look_like_a_key_too() {
    let (_server, account) = later("done", "canary of another shape").await;
    let (params, intent, nine) = (params(&[]), intent(), record("k9"));
    match account.read(call(&params, &intent), key(&nine, None)).await {
        Outcome::Unknown(cause) => assert!(cause.label == "unreadable" && !cause.to_string().contains("canary"), "{cause}"),
        _ => panic!("believed"),
    }
}
