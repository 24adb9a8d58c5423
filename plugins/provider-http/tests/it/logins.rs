//! Logins are shared while they last, made anew before a mint, and never speak for the step that needs them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{self, NOW, Server, World, call, intent, json, key, params, record};
use cutover_api::{Class, MintAnswer, Outcome, Provider, Span};
use cutover_provider_http::Definition;

const LOGS_IN: &str = r#"name = "logs-in"
lifecycle = "overlap"
base_url = "required"
params = { tenant = "required", other = "optional" }
[declares]
list = "by-time"
[login]
request = "POST /login/{{ params.tenant }}"
json = { secret = "{{ credential }}" }
keep = { token = "/token", expires_at = "/ttl? | in_seconds" }
[auth]
bearer = "{{ steps.login.token }}"
[step.etag]
request = "GET /etag/{{ key.id }}"
keep = { tag = "header:ETag" }
[issue]
request = "POST /keys"
extract = { "new.id" = "/id", "new.secret" = "/key" }
[list]
request = "GET /keys"
row = { id = "/id", created_at = "/at" }
[revoke]
request = "DELETE /keys/{{ key.id }}"
headers = { If-Match = "{{ steps.etag.tag }}" }
"#;

fn definition() -> Definition {
    common::parsed("logs-in.toml", LOGS_IN)
}

/// Every login gives another token; only the newest is accepted.
async fn server(ttl: &'static str) -> (Server, Arc<AtomicUsize>) {
    let newest = Arc::new(AtomicUsize::new(0));
    let count = newest.clone();
    let server = Server::start(move |asked| {
        if asked.line.starts_with("POST /login") {
            assert_eq!(asked.header("authorization"), "", "the login cannot sign itself");
            let n = count.fetch_add(1, Ordering::SeqCst) + 1;
            return json(200, format!("{{\"token\":\"login-canary-{n}\"{ttl}}}"));
        }
        if asked.header("authorization") != format!("Bearer login-canary-{}", count.load(Ordering::SeqCst)) {
            return json(401, "{}");
        }
        match asked.line.as_str() {
            "GET /keys" => json(200, "[]"),
            "GET /etag/k1" => {
                let mut answer = json(200, "{}");
                answer.headers.push(("etag", "etag-canary".to_owned()));
                answer
            }
            "DELETE /keys/k1" if asked.header("if-match") == "etag-canary" => json(204, ""),
            "POST /keys" => json(201, r#"{"id":"k2","key":"new-canary"}"#),
            _ => json(500, "{}"),
        }
    })
    .await;
    (server, newest)
}

fn class<T>(outcome: &Outcome<T>) -> Option<Class> {
    match outcome {
        Outcome::Done(_) => None,
        Outcome::Refused(refusal) => {
            assert!(!format!("{refusal:?}{refusal}").contains("canary"));
            Some(refusal.class)
        }
        Outcome::Unknown(cause) => {
            assert!(!format!("{cause:?}{cause}").contains("canary"));
            Some(Class::Unknown)
        }
    }
}

#[tokio::test]
async fn a_login_is_shared_until_it_ends() {
    let (server, _) = server(",\"ttl\":3600").await;
    let world = World::new();
    let account = world.at(&definition(), &server);
    let (acme, other, intent) = (params(&[("tenant", "acme")]), params(&[("tenant", "acme"), ("other", "x")]), intent());
    let (one, two) = tokio::join!(account.list(call(&acme, &intent)), account.list(call(&other, &intent)));
    assert_eq!((class(&one), class(&two)), (None, None));
    world.clock.set(NOW.plus(Span::seconds(3569)));
    assert_eq!(class(&account.list(call(&acme, &intent)).await), None);
    assert_eq!(server.count("POST /login"), 1, "what the login does not say does not part it");
    world.clock.set(NOW.plus(Span::seconds(3571)));
    assert_eq!(class(&account.list(call(&acme, &intent)).await), None);
    assert_eq!(server.count("POST /login"), 2, "never begun within its last seconds");
    let away = params(&[("tenant", "away")]);
    assert_eq!(class(&account.list(call(&away, &intent)).await), None);
    assert_eq!(server.count("POST /login/away"), 1);
}

#[tokio::test]
async fn another_credential_is_another_login() {
    let (server, _) = server(",\"ttl\":3600").await;
    let world = World::new();
    let account = world.at(&definition(), &server);
    let (acme, intent) = (params(&[("tenant", "acme")]), intent());
    assert_eq!(class(&account.list(call(&acme, &intent)).await), None);
    world.held.put("session", "another-canary");
    assert_eq!(class(&account.list(call(&acme, &intent)).await), None);
    let logins: Vec<_> = server
        .asked()
        .into_iter()
        .filter(|asked| asked.line.starts_with("POST /login"))
        .map(|asked| asked.json()["secret"].clone())
        .collect();
    assert_eq!(logins, ["session-canary", "another-canary"]);
}

#[tokio::test]
async fn a_login_of_unknown_length_serves_one_rotation_for_a_while() {
    let (server, _) = server("").await;
    let world = World::new();
    let account = world.at(&definition(), &server);
    let (acme, mut intent) = (params(&[("tenant", "acme")]), intent());
    for _ in 0..2 {
        assert_eq!(class(&account.list(call(&acme, &intent)).await), None);
    }
    assert_eq!(server.count("POST /login"), 1);
    intent.rotation_id = "r-18".to_owned();
    assert_eq!(class(&account.list(call(&acme, &intent)).await), None);
    assert_eq!(server.count("POST /login"), 2);
    world.clock.set(NOW.plus(Span::minutes(11)));
    assert_eq!(class(&account.list(call(&acme, &intent)).await), None);
    assert_eq!(server.count("POST /login"), 3);
    let nobodys = cutover_api::Call { params: &acme, intent: None, signer: None };
    for _ in 0..2 {
        assert_eq!(class(&account.list(nobodys).await), None);
    }
    assert_eq!(server.count("POST /login"), 5);
}

#[tokio::test]
async fn a_login_that_is_not_accepted_any_more_is_made_once_more_but_never_for_a_mint() {
    let (server, newest) = server(",\"ttl\":3600").await;
    let account = World::new().at(&definition(), &server);
    let (acme, intent) = (params(&[("tenant", "acme")]), intent());
    assert_eq!(class(&account.list(call(&acme, &intent)).await), None);
    newest.fetch_add(7, Ordering::SeqCst);
    assert_eq!(class(&account.list(call(&acme, &intent)).await), None);
    assert_eq!((server.count("POST /login"), server.count("GET /keys")), (2, 3));
    newest.fetch_add(7, Ordering::SeqCst);
    assert!(
        matches!(account.mint(call(&acme, &intent), None, None).await, MintAnswer::Refused(refusal) if refusal.class == Class::Auth)
    );
    assert_eq!((server.count("POST /login"), server.count("POST /keys")), (2, 1));
}

#[tokio::test]
async fn turned_away_twice_is_auth() {
    let server =
        Server::start(
            |asked| if asked.line.starts_with("POST /login") { json(200, r#"{"token":"t"}"#) } else { json(401, "canary") },
        )
        .await;
    let account = World::new().at(&definition(), &server);
    let (acme, intent) = (params(&[("tenant", "acme")]), intent());
    assert_eq!(class(&account.list(call(&acme, &intent)).await), Some(Class::Auth));
    assert_eq!((server.count("POST /login"), server.count("GET /keys")), (2, 2));
}

#[tokio::test]
async fn a_mint_begins_with_a_fresh_login() {
    let (server, _) = server(",\"ttl\":3600").await;
    let world = World::new();
    let account = world.at(&definition(), &server);
    let (acme, intent) = (params(&[("tenant", "acme")]), intent());
    assert_eq!(class(&account.prepare(call(&acme, &intent)).await), None);
    assert_eq!(class(&account.prepare(call(&acme, &intent)).await), None);
    assert_eq!(server.count("POST /login"), 2, "prepare always logs in");
    assert!(matches!(account.mint(call(&acme, &intent), None, None).await, MintAnswer::Reply(_)));
    assert_eq!(server.count("POST /login"), 2, "which is fresh enough for the mint");
    world.clock.set(NOW.plus(Span::minutes(2)));
    assert!(matches!(account.mint(call(&acme, &intent), None, None).await, MintAnswer::Reply(_)));
    assert_eq!(server.count("POST /login"), 3);
}

#[tokio::test]
async fn a_helper_runs_right_before_its_step() {
    let (server, _) = server(",\"ttl\":3600").await;
    let account = World::new().at(&definition(), &server);
    let (acme, intent, one) = (params(&[("tenant", "acme")]), intent(), record("k1"));
    assert_eq!(class(&account.revoke(call(&acme, &intent), key(&one, None)).await), None);
    let lines: Vec<_> = server.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(lines, ["POST /login/acme", "GET /etag/k1", "DELETE /keys/k1"]);
}

/// A login or a helper that answers 404 must not make a revoke "done": the key would live on, believed dead.
#[tokio::test]
async fn a_failure_before_a_step_never_speaks_for_it() {
    for (status, at_login, expected) in [
        (404, true, Class::Refused),
        (410, true, Class::Refused),
        (409, true, Class::Refused),
        (401, true, Class::Auth),
        (403, true, Class::Scope),
        (429, true, Class::Throttle),
        (500, true, Class::Unsent),
        (302, true, Class::Unsent),
        (404, false, Class::Refused),
        (500, false, Class::Unsent),
    ] {
        let server = Server::start(move |asked| match asked.line.as_str() {
            "POST /login/acme" if !at_login => json(200, r#"{"token":"login-canary"}"#),
            "POST /login/acme" | "GET /etag/k1" => json(status, "canary"),
            _ => json(200, "{}"),
        })
        .await;
        let account = World::new().at(&definition(), &server);
        let (acme, intent, one) = (params(&[("tenant", "acme")]), intent(), record("k1"));
        assert_eq!(class(&account.revoke(call(&acme, &intent), key(&one, None)).await), Some(expected), "{status} {at_login}");
        assert_eq!(server.count("DELETE"), 0, "{status} {at_login}");
        if at_login {
            assert!(
                matches!(account.mint(call(&acme, &intent), None, None).await, MintAnswer::Refused(refusal) if refusal.class == expected)
            );
            assert_eq!(class(&account.prepare(call(&acme, &intent)).await), Some(expected));
        }
        assert_eq!(server.count("POST /keys"), 0, "{status} {at_login}");
    }
}

/// A login that needs something looked up first.
const LOOKS_UP: &str = r#"name = "looks-up"
lifecycle = "grace"
base_url = "required"
[declares]
grace = { fixed = "0s" }
[step.form]
request = "GET /form"
auth = {}
keep = { csrf = "header:X-Csrf" }
[login]
request = "POST /login"
form = { csrf = "{{ steps.form.csrf }}", secret = "{{ credential }}" }
keep = { session = "cookie:sid" }
[auth]
header = { Cookie = "sid={{ steps.login.session }}" }
[rotate]
request = "POST /rotate"
extract = { "new.secret" = "/key" }
"#;

#[tokio::test]
async fn a_helper_runs_before_the_login_that_says_it() {
    let server = Server::start(|asked| match asked.line.as_str() {
        "GET /form" => {
            common::Answer { status: 200, headers: vec![("x-csrf", "csrf-canary".to_owned())], body: "{}".to_owned() }
        }
        "POST /login" if asked.body == "csrf=csrf-canary&secret=session-canary" => common::Answer {
            status: 200,
            headers: vec![("set-cookie", "sid=sid-canary; Path=/".to_owned())],
            body: "{}".to_owned(),
        },
        "POST /rotate" if asked.header("cookie") == "sid=sid-canary" => json(200, r#"{"key":"new-canary"}"#),
        _ => json(500, "{}"),
    })
    .await;
    let definition = common::parsed("looks-up.toml", LOOKS_UP);
    assert_eq!(definition.facts().mint_timeout, Span::seconds(90));
    let account = World::new().at(&definition, &server);
    let (none, intent) = (params(&[]), intent());
    assert!(matches!(account.mint(call(&none, &intent), None, None).await, MintAnswer::Reply(_)));
    let lines: Vec<_> = server.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(lines, ["GET /form", "POST /login", "POST /rotate"]);
}
