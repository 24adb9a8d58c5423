//! What `[provider.x]` and a policy's `params` may say, and what an account makes of it.

use crate::common::{self, NOW, Server, World, call, intent, json, key, parsed, record, shipped};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cutover_api::{Call, Class, MintAnswer, Outcome, Problems, Provider, Reader, Secret, Span, Stamp, Table};
use cutover_machine::plan::Authority;
use cutover_provider_http::{Definition, check_params};

const TWO: &str = r#"name = "two"
lifecycle = "overlap"
base_url = "required"
hosts = { sts = "https://sts.example.com" }
credential = ["api_key", "app_key"]
params = { mount = { default = "approle" }, role = "required", hint = "optional", role_id = "optional" }
[auth]
header = { X-Api = "{{ credential.api_key }}", X-App = "{{ credential.app_key }}" }
[issue]
request = "POST /{{ params.mount }}/{{ params.role }}"
json = { hint = "{{ params.hint? }}" }
extract = { "new.id" = "/id", "new.secret" = "/key" }
[revoke]
request = "DELETE sts:/{{ params.role_id }}/{{ key.id }}"
"#;

const SELF: &str = r#"name = "own"
lifecycle = "grace"
base_url = "required"
[declares]
authority = "either"
grace = { fixed = "0s" }
[auth]
bearer = "{{ credential }}"
[rotate]
request = "POST /rotate"
extract = { "new.secret" = "/key" }
"#;

fn two() -> Definition {
    parsed("two.toml", TWO)
}

#[test]
fn every_fault_of_an_account_has_its_place() {
    let world = World::new();
    let cases: &[(&Definition, &str, &[&str])] = &[
        (&shipped("bondi"), "", &["c.toml:1:1: provider.x.credential: missing"]),
        (&shipped("bondi"), "credential = \"canary\"", &["c.toml:1:14: provider.x.credential: a secret stands here in clear"]),
        (
            &shipped("bondi"),
            "credential = { file = \"a\", env = \"B\" }",
            &["c.toml:1:14: provider.x.credential: names 2 places of a secret"],
        ),
        (
            &shipped("bondi"),
            "credential = { file = \"a\", expires = 1 }",
            &["c.toml:1:28: provider.x.credential.expires: unknown key"],
        ),
        (
            &shipped("bondi"),
            "credential = { file = \"a\", expires_at = \"soon\" }",
            &["c.toml:1:41: provider.x.credential.expires_at: is no point in time"],
        ),
        (
            &shipped("bondi"),
            "credential = { file = \"a\", expires_at = 2027-01-01 }",
            &["c.toml:1:41: provider.x.credential.expires_at: is no point in time"],
        ),
        (
            &shipped("bondi"),
            "credential = { file = \"a\" }\nbase_url = \"http://example.com\"",
            &["c.toml:2:12: provider.x.base_url: is no origin"],
        ),
        (
            &shipped("bondi"),
            "credential = { file = \"a\" }\nbase_url = \"https://u:canary@example.com\"",
            &["c.toml:2:12: provider.x.base_url: is no origin"],
        ),
        (
            &shipped("bondi"),
            "credential = { file = \"a\" }\nhosts = { sts = \"https://x.example.com\" }",
            &["c.toml:2:11: provider.x.hosts.sts: unknown key"],
        ),
        (
            &shipped("bondi"),
            "credential = { file = \"a\" }\nmax_in_flight = 0",
            &["c.toml:2:17: provider.x.max_in_flight: is 0"],
        ),
        (
            &shipped("bondi"),
            "credential = { file = \"a\" }\nauthority = \"self\"",
            &["c.toml:2:13: provider.x.authority: is not what the definition knows"],
        ),
        (&shipped("bondi"), "credential = { file = \"a\" }\nca = \"\"", &["c.toml:2:6: provider.x.ca: is empty"]),
        (
            &shipped("bondi"),
            "credential = { file = \"a\" }\nclient_cert = \"canary\"",
            &["c.toml:2:15: provider.x.client_cert: a secret stands here in clear"],
        ),
        (
            &shipped("bondi"),
            "credential = { file = \"a\" }\nclient_cert = { file = \"b\", key = \"c\" }",
            &["c.toml:2:29: provider.x.client_cert.key: unknown key"],
        ),
        (
            &shipped("bondi"),
            "credential = { file = \"a\" }\nbaseurl = \"x\"",
            &["c.toml:2:1: provider.x.baseurl: unknown key: did you mean \"base_url\"?"],
        ),
        (
            &two(),
            "credential = { api_key = { file = \"a\" } }",
            &["c.toml:1:1: provider.x.base_url: missing", "c.toml:1:14: provider.x.credential.app_key: missing"],
        ),
        (
            &parsed("own.toml", &SELF.replace("either", "self")),
            "base_url = \"https://x.example.com\"\ncredential = { file = \"a\" }",
            &["c.toml:2:14: provider.x.credential: is never used"],
        ),
    ];
    for (definition, table, expected) in cases {
        let found = world.try_account(definition, table).map(|_| ()).expect_err(table);
        assert_eq!(found.len(), expected.len(), "{table}: {found:#?}");
        for (found, expected) in found.iter().zip(*expected) {
            assert!(found.starts_with(expected), "{table}: {found}");
            assert!(!found.contains("canary"), "{found}");
        }
    }
}

#[test]
fn a_whole_account_is_taken() {
    let world = World::new();
    let account = world.account(
        &two(),
        "definition = \"two\"\nbase_url = \"https://x.example.com/\"\nhosts = { sts = \"https://y.example.com\" }\nca = \"/ca.pem\"\nclient_cert = { file = \"/me.pem\" }\nmax_in_flight = 3\nholders = [\"dana@example.com\"]\n[credential]\napi_key = { env = \"A\" }\napp_key = { credential = \"B\", expires_at = 2027-01-01T00:00:00Z }\n",
    );
    assert_eq!(account.max_in_flight(), Some(3));
    assert_eq!(
        account.params().iter().map(|need| (need.name.as_str(), need.required)).collect::<Vec<_>>(),
        [("hint", false), ("mount", false), ("role", true), ("role_id", false)]
    );
    assert_eq!(format!("{account:?}"), "HttpProvider { definition: \"two\", base_url: \"https://x.example.com\", .. }");
}

fn jwt(exp: i64) -> String {
    format!("{}.{}.canary", URL_SAFE_NO_PAD.encode("{\"alg\":\"RS256\"}"), URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{exp}}}")))
}

#[tokio::test]
async fn a_credential_tells_its_end_and_is_opened_at_each_use() {
    let world = World::new();
    let account =
        world.account(&shipped("bondi"), "credential = { file = \"session\", expires_at = \"2027-01-01T00:00:00Z\" }");
    assert_eq!(account.credential().await.map(|c| c.expires_at), Ok(Some(Stamp(1_798_761_600_000))));
    world.held.put("session", &jwt(1_800_000_000));
    assert_eq!(
        account.credential().await.map(|c| c.expires_at),
        Ok(Some(Stamp(1_800_000_000_000))),
        "the token itself knows better"
    );
    world.held.put("session", "");
    let refusal = account.credential().await.expect_err("empty");
    assert_eq!(refusal.class, Class::Auth);
    assert!(refusal.to_string().contains("file session is empty"), "{refusal}");
    let away = world.account(&shipped("bondi"), "credential = { env = \"AWAY\" }");
    let refusal = away.credential().await.expect_err("not there");
    assert!(refusal.to_string().contains("environment variable AWAY: not found: create it"), "{refusal}");

    let several = "base_url = \"https://x.example.com\"\ncredential = { api_key = { file = \"a\", expires_at = \"2027-01-01T00:00:00Z\" }, app_key = { file = \"b\" } }";
    world.held.put("a", "a-canary");
    world.held.put("b", &jwt(1_796_000_000));
    assert_eq!(
        world.account(&two(), several).credential().await.map(|c| c.expires_at),
        Ok(Some(Stamp(1_796_000_000_000))),
        "the earliest counts"
    );
}

#[tokio::test]
async fn a_credential_that_cannot_be_opened_sends_nothing() {
    let server = Server::start(|_| json(200, "{}")).await;
    let world = World::new();
    let account = world
        .account(&shipped("wrapd-api-key"), &format!("credential = {{ file = \"away\" }}\nbase_url = \"{}\"", server.url()));
    let (none, intent, one) = (common::params(&[]), intent(), record("1"));
    assert!(
        matches!(account.mint(call(&none, &intent), Some(key(&one, None)), None).await, MintAnswer::Refused(r) if r.class == Class::Auth)
    );
    assert!(
        matches!(account.revoke(call(&none, &intent), key(&one, None)).await, Outcome::Refused(r) if r.class == Class::Auth)
    );
    assert!(matches!(account.prepare(call(&none, &intent)).await, Outcome::Refused(r) if r.class == Class::Auth));
    assert_eq!(server.asked(), []);
}

/// Regression: a dead key's probe must not hang on a credential that has died as well.
#[tokio::test]
async fn a_probe_with_the_key_alone_needs_no_credential() {
    let server = Server::start(|_| json(401, "{}")).await;
    let world = World::new();
    let account = world
        .account(&shipped("wrapd-api-key"), &format!("credential = {{ file = \"away\" }}\nbase_url = \"{}\"", server.url()));
    let (none, intent, one, secret) = (common::params(&[]), intent(), record("1"), Secret::new("wrapd_sk_canary".to_owned()));
    let verdict = account.probe(call(&none, &intent), key(&one, Some(&secret))).await;
    assert!(matches!(verdict, Outcome::Done(verdict) if !verdict.accepted));
}

#[tokio::test]
async fn a_ca_that_is_not_there_sends_nothing() {
    let world = World::new();
    let account = world.account(&shipped("bondi"), "credential = { file = \"session\" }\nca = \"/away.pem\"");
    let (given, intent) = (common::params(&[("workspace", "w"), ("slug", "s")]), intent());
    match account.mint(call(&given, &intent), None, None).await {
        MintAnswer::Refused(refusal) => {
            assert_eq!((refusal.class, refusal.to_string().contains("/away.pem")), (Class::Unsent, true), "{refusal}")
        }
        _ => panic!("sent"),
    }
}

#[tokio::test]
async fn the_key_itself_signs_where_it_has_the_authority() {
    let server = Server::start(|_| json(200, r#"{"key":"new-canary"}"#)).await;
    let world = World::new();
    let definition = parsed("own.toml", SELF);
    let own = world.account(&definition, &format!("base_url = \"{}\"", server.url()));
    assert_eq!(own.facts().declares.authority, Authority::Own);
    assert_eq!(own.credential().await.map(|c| c.expires_at), Ok(None));
    let (none, intent, signer) = (common::params(&[]), intent(), Secret::new("old-canary".to_owned()));
    let signed = Call { params: &none, intent: Some(&intent), signer: Some(&signer) };
    assert!(matches!(own.mint(signed, None, None).await, MintAnswer::Reply(_)));
    assert_eq!(server.asked()[0].header("authorization"), "Bearer old-canary");
    assert!(matches!(own.mint(call(&none, &intent), None, None).await, MintAnswer::Refused(_)), "nothing to sign with");
    assert_eq!(server.asked().len(), 1);
    let separate = world.at(&definition, &server);
    assert_eq!(separate.facts().declares.authority, Authority::Separate);
    let forced = world.account(&definition, &format!("base_url = \"{}\"\nauthority = \"self\"", server.url()));
    assert_eq!(forced.facts().declares.authority, Authority::Own);
}

fn checked(definition: &Definition, table: &str) -> (Vec<String>, Vec<String>) {
    let table = Table::parse("p.toml", table).expect("TOML");
    let problems = Problems::default();
    let given = check_params(definition, &Reader::new(&table, "policy.x.params", &problems));
    (given.into_keys().collect(), problems.take().iter().map(ToString::to_string).collect())
}

#[test]
fn params_are_missing_unknown_or_there() {
    assert_eq!(checked(&two(), "role = \"r\"\nrole_id = \"i\""), (vec!["role".to_owned(), "role_id".to_owned()], vec![]));
    let (_, found) = checked(&two(), "rol = \"r\"\nmount = \"\"\n");
    assert_eq!(
        found,
        [
            "p.toml:1:1: policy.x.params.rol: unknown key: did you mean \"role\"?",
            "p.toml:1:1: policy.x.params.role: missing: definition \"two\" needs it",
            "p.toml:1:1: policy.x.params.role_id: missing: [revoke] of definition \"two\" cannot go without it",
            "p.toml:2:9: policy.x.params.mount: is empty: a value that fits there, or no such key",
        ]
    );
}

#[test]
fn a_param_that_no_path_can_hold_is_found_at_load() {
    for value in ["\"a/b\"", "\"..\"", "\".\"", "\"a\\\\b\"", "\"a\\nb\"", "[\"a\"]", "true"] {
        let (given, found) = checked(&two(), &format!("role = {value}\nrole_id = 7"));
        assert_eq!(given, ["role_id"], "{value}");
        assert_eq!(
            found,
            [
                "p.toml:1:8: policy.x.params.role: cannot be one segment of the path of [issue]: a value that fits there, or no such key"
            ]
        );
    }
}

#[tokio::test]
async fn defaults_are_filled_in_when_a_request_is_rendered() {
    let server = Server::start(|_| json(200, r#"{"id":"1","key":"k"}"#)).await;
    let world = World::new();
    world.held.put("a", "a-canary");
    let account = world.account(
        &two(),
        &format!(
            "base_url = \"{}\"\ncredential = {{ api_key = {{ file = \"a\" }}, app_key = {{ file = \"session\" }} }}",
            server.url()
        ),
    );
    let intent = intent();
    for given in [common::params(&[("role", "r")]), common::params(&[("role", "r"), ("mount", "m"), ("hint", "h")])] {
        assert!(matches!(account.mint(call(&given, &intent), None, None).await, MintAnswer::Reply(_)));
    }
    let asked = server.asked();
    assert_eq!((asked[0].line.as_str(), asked[0].body.as_str()), ("POST /approle/r", "{}"));
    assert_eq!((asked[1].line.as_str(), asked[1].json()), ("POST /m/r", serde_json::json!({ "hint": "h" })));
    assert_eq!((asked[0].header("x-api"), asked[0].header("x-app")), ("a-canary", "session-canary"));
}

#[tokio::test]
async fn a_value_of_our_own_is_sent_as_it_was_committed() {
    const SETS: &str = r#"name = "sets"
lifecycle = "set"
base_url = "required"
generate = { "new.secret" = "alphanumeric:40" }
[declares]
grace = { choices = { "0s" = "NOW", "24h" = "DAY" } }
[auth]
bearer = "{{ credential }}"
[set]
request = "PUT /value"
json = { value = "{{ new.secret }}", grace = "{{ grace.choice }}", until = "{{ grace.until | unix }}" }
"#;
    let server = Server::start(|_| json(200, "{}")).await;
    let account = World::new().at(&parsed("sets.toml", SETS), &server);
    let (none, intent, old) = (common::params(&[]), intent(), record("the-id"));
    let made = account.generate().expect("a value");
    assert_eq!(made.expose().len(), 40);
    let old = Some(key(&old, None));
    let MintAnswer::Reply(raw) = account.mint(call(&none, &intent), old, Some(&made)).await else { panic!("no reply") };
    let until = NOW.plus(Span::hours(24)).0 / 1_000;
    assert_eq!(server.asked()[0].json(), serde_json::json!({ "value": made.expose(), "grace": "DAY", "until": until }));
    let Outcome::Done(minted) = account.parse(call(&none, &intent), old, &raw) else { panic!("unreadable") };
    assert_eq!(
        (minted.record.id.as_deref(), minted.secret.is_none()),
        (Some("the-id"), true),
        "new.id is not told: the key keeps its id"
    );
    assert!(account.facts().generates && !account.facts().verbs.read_after_mint);
}
