//! The store against a real server that speaks Vault's API (`tests/servers install`).

#![expect(clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use cutover_api::{Class, Outcome, Span, Store, conformance};
use serde_json::{Value, json};

use self::support::{Server, TOKEN, done, read, refused, shown, target, write};

/// Everything below `secret/` may be read and written.
const WRITER: &str = "path \"secret/data/*\" { capabilities = [\"create\", \"read\", \"update\"] }";

#[tokio::test]
async fn it_keeps_what_every_store_must_keep() {
    let Some(server) = Server::dev().await else { return };
    conformance::store(|name| target(&format!("apps/{name}")), &server.root_store("")).await;
    // The same where the engine itself insists on a version to compare with, below a mount of two names.
    server.must("POST", "sys/mounts/kv/team", json!({"type": "kv", "options": {"version": "2"}})).await;
    configure_cas_required(&server).await;
    conformance::store(target, &server.root_store("mount = \"kv/team\"")).await;
}

/// A new KV v2 mount upgrades itself for a moment, in which it answers 400.
async fn configure_cas_required(server: &Server) {
    for _ in 0..200 {
        if server.ask("POST", "kv/team/config", json!({"cas_required": true})).await.0 == 204 {
            return;
        }
        // Between two looks: the condition decides, not the span.
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the mount does not come up");
}

#[tokio::test]
async fn a_role_reads_and_writes_with_its_own_token() {
    let Some(server) = Server::dev().await else { return };
    let (auth, secret) = server.approle(WRITER, json!({"token_policies": "app", "token_ttl": "1h"})).await;
    let (store, _) = server.store(&auth, &secret);
    done(store.prove(&target("apps/crm")).await);
    assert_eq!(server.versions("apps/crm").await, 0, "a proof made a version");
    let version = done(write(&store, "apps/crm", "one", None).await);
    assert_eq!(version.as_deref(), Some("1"));
    assert_eq!(shown(&done(read(&store, "apps/crm").await)), "one at 1");
    done(store.prove(&target("apps/crm")).await);
    assert_eq!(server.versions("apps/crm").await, 1, "a proof made a version");
    assert_eq!(server.accessors().await.len(), 1, "more than one login");
    let (wrong, _) = server.store(&auth, "0b8f6a52-3d1e-4c57-9a64-5f2f1e0c7d01");
    assert!(refused(read(&wrong, "apps/crm").await).starts_with("login: auth (status 400): "));
}

#[tokio::test]
async fn a_proof_sees_what_the_policy_does_not_grant() {
    let Some(server) = Server::dev().await else { return };
    server.must("POST", "secret/data/apps/crm", json!({"data": {"KEY": "v"}})).await;
    let scope = "a policy of this login must grant";
    for (capabilities, there, absent) in [
        ("\"read\"", "prove: scope (status 403)", "prove: scope (status 403)"),
        ("\"create\", \"update\"", "prove: scope (status 403)", "prove: scope (status 403)"),
        ("\"read\", \"create\"", "prove: scope (status 403)", "done"),
        ("\"read\", \"update\"", "done", "prove: scope (status 403)"),
    ] {
        let policy = format!("path \"secret/data/*\" {{ capabilities = [{capabilities}] }}");
        let (auth, secret) = server.approle(&policy, json!({"token_policies": "app"})).await;
        let (store, _) = server.store(&auth, &secret);
        for (path, told) in [("apps/crm", there), ("apps/absent", absent)] {
            match store.prove(&target(path)).await {
                Outcome::Done(()) => assert_eq!(told, "done", "{capabilities} on {path}"),
                other => {
                    let text = refused(other);
                    assert!(text.starts_with(told) && text.contains(scope), "{capabilities} on {path}: {text}");
                }
            }
        }
    }
    assert_eq!((server.versions("apps/crm").await, server.versions("apps/absent").await), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_writers_at_once_one_wins() {
    let Some(server) = Server::dev().await else { return };
    let store = Arc::new(server.root_store(""));
    for (round, expected) in [None, Some("1")].into_iter().enumerate() {
        let mut running = tokio::task::JoinSet::new();
        for n in 0..20 {
            let store = Arc::clone(&store);
            running.spawn(async move { (n, write(&store, "apps/crm", &format!("writer {n}"), expected).await) });
        }
        let mut winners = Vec::new();
        for (n, outcome) in running.join_all().await {
            match outcome {
                Outcome::Done(version) => winners.push((n, version)),
                Outcome::Refused(refusal) => assert_eq!(refusal.class, Class::Exists, "{refusal}"),
                Outcome::Unknown(cause) => panic!("{cause}"),
            }
        }
        let version = (round + 1).to_string();
        assert_eq!(winners.len(), 1, "{winners:?}");
        assert_eq!(winners[0].1.as_ref(), Some(&version));
        assert_eq!(shown(&done(read(&store, "apps/crm").await)), format!("writer {} at {version}", winners[0].0));
    }
}

#[tokio::test]
async fn fields_of_others_stay_to_the_letter() {
    let Some(server) = Server::dev().await else { return };
    let foreign =
        r#""BIG":123456789012345678901234567890,"FLAG":true,"LIST":[1,"a",null],"NONE":null,"TABLE":{"a":1.50,"b":{}}"#;
    let body = format!(r#"{{"data":{{{foreign},"KEY":"old"}}}}"#);
    assert_eq!(server.ask_text("POST", "secret/data/apps/crm", body).await.0, 200);
    let before = data(&server, "apps/crm").await;
    let store = server.root_store("");
    let reading = done(read(&store, "apps/crm").await);
    assert_eq!(shown(&reading), "old at 1");
    done(write(&store, "apps/crm", "new", reading.version.as_deref()).await);
    assert_eq!(data(&server, "apps/crm").await, before.replace("\"old\"", "\"new\""));
    // A field that is asked for and holds no string is refused, and said by name.
    let asked = store.read(&target("apps/crm"), &["FLAG".to_owned()].into()).await;
    assert_eq!(refused(asked), "read: refused: field \"FLAG\" holds something that is no string; only strings can be keys");
}

/// The `data` of the newest version as the server sends it.
async fn data(server: &Server, path: &str) -> String {
    let (_, text) = server.ask_text("GET", &format!("secret/data/{path}"), String::new()).await;
    let (_, rest) = text.split_once(r#""data":{"data":"#).expect("data");
    rest.split_once(r#","metadata":"#).expect("metadata").0.to_owned()
}

#[tokio::test]
async fn a_deleted_version_reads_empty_and_can_be_written_over() {
    let Some(server) = Server::dev().await else { return };
    let store = server.root_store("");
    done(write(&store, "apps/crm", "one", None).await);
    server.must("DELETE", "secret/data/apps/crm", Value::Null).await;
    assert_eq!(shown(&done(read(&store, "apps/crm").await)), "nothing at 1");
    done(store.prove(&target("apps/crm")).await);
    assert!(refused(write(&store, "apps/crm", "x", None).await).starts_with("write: exists"));
    assert_eq!(done(write(&store, "apps/crm", "two", Some("1")).await).as_deref(), Some("2"));
    assert_eq!(shown(&done(read(&store, "apps/crm").await)), "two at 2");
    server.must("PUT", "secret/destroy/apps/crm", json!({"versions": [2]})).await;
    assert_eq!(shown(&done(read(&store, "apps/crm").await)), "nothing at 2");
    assert_eq!(done(write(&store, "apps/crm", "three", Some("2")).await).as_deref(), Some("3"));
    // A path with metadata but without a version is as good as absent.
    server.must("POST", "secret/metadata/apps/bare", json!({"max_versions": 5})).await;
    assert_eq!(shown(&done(read(&store, "apps/bare").await)), "nothing at no version");
    assert_eq!(done(write(&store, "apps/bare", "one", None).await).as_deref(), Some("1"));
}

#[tokio::test]
async fn a_token_that_died_is_replaced_by_a_fresh_login() {
    let Some(server) = Server::dev().await else { return };
    let (auth, secret) =
        server.approle(WRITER, json!({"token_policies": "app", "token_ttl": "3s", "token_max_ttl": "3s"})).await;
    let (store, clock) = server.store(&auth, &secret);
    done(write(&store, "apps/crm", "one", None).await);
    let first = server.accessors().await.pop().expect("a token");
    for _ in 0..600 {
        if server.token(&first).await.is_null() {
            break;
        }
        // Between two looks: the condition decides, not the span.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(server.token(&first).await.is_null(), "the token does not die");
    server.must("POST", "auth/approle/role/app", json!({"token_ttl": "1h", "token_max_ttl": "1h"})).await;
    // The store's clock stood still: it believes in the token and learns of its death by a 403.
    assert_eq!(shown(&done(read(&store, "apps/crm").await)), "one at 1");
    assert_eq!(server.accessors().await.len(), 1, "not one fresh login");
    // And this time it knows by its clock.
    clock.forward(Span::HOUR);
    assert_eq!(shown(&done(read(&store, "apps/crm").await)), "one at 1");
    assert_eq!(server.accessors().await.len(), 2, "not one fresh login more");
}

#[tokio::test]
async fn a_token_is_renewed_while_it_is_used() {
    let Some(server) = Server::dev().await else { return };
    let (auth, secret) = server.approle(WRITER, json!({"token_policies": "app", "token_ttl": "1h"})).await;
    let made = json!({"policies": ["default", "app"], "period": "1h", "display_name": "given"});
    let given =
        server.must("POST", "auth/token/create", made).await["auth"]["client_token"].as_str().expect("a token").to_owned();
    for (auth, secret) in [(auth.as_str(), secret), (TOKEN, given)] {
        let (store, clock) = server.store(auth, &secret);
        done(read(&store, "apps/crm").await);
        let renewed = async || {
            let mut renewed = 0;
            for accessor in server.accessors().await {
                renewed += usize::from(server.token(&accessor).await["last_renewal_time"].is_u64());
            }
            renewed
        };
        let before = renewed().await;
        clock.forward(Span::seconds(3_600 / 3 * 2 - 1));
        done(read(&store, "apps/crm").await);
        assert_eq!(renewed().await, before, "renewed too early");
        clock.forward(Span::SECOND);
        done(read(&store, "apps/crm").await);
        assert_eq!(renewed().await, before + 1, "not renewed");
    }
}

#[tokio::test]
async fn a_mount_that_is_not_kv_v2_is_told() {
    let Some(server) = Server::dev().await else { return };
    server.must("POST", "sys/mounts/old", json!({"type": "kv", "options": {"version": "1"}})).await;
    let old = server.root_store("mount = \"old\"");
    for told in [refused(old.prove(&target("apps/crm")).await), refused(write(&old, "apps/crm", "x", None).await)] {
        assert!(told.contains("\"old\" is no KV engine of version 2"), "{told}");
    }
    assert_eq!(server.ask("LIST", "old/", Value::Null).await.0, 404, "something was written");
    let nowhere = server.root_store("mount = \"nowhere\"");
    let told = refused(read(&nowhere, "apps/crm").await);
    assert!(told.starts_with("read: gone (status 404): no KV v2 engine answers at \"nowhere\""), "{told}");
}

#[tokio::test]
async fn tls_trusts_the_given_ca_only_and_a_sealed_server_is_told() {
    let (ca, cert, key) = certificates();
    let Some(mut server) = Server::tls(&ca, &cert, &key).await else { return };
    let place = |name: &str| server.home.path().join(name).display().to_string();
    let (good, other) = (place("ca.pem"), place("other.pem"));
    std::fs::write(&good, &ca).expect("written");
    std::fs::write(&other, certificates().0).expect("written");
    let unseal = server.init().await;
    let store = server.root_store(&format!("ca = \"{good}\""));
    let told = refused(read(&store, "apps/crm").await);
    assert!(told.starts_with("login: refused (status 503): ") && told.ends_with("the Vault is sealed; unseal it"), "{told}");
    server.must("PUT", "sys/unseal", json!({"key": unseal})).await;
    server.must("POST", "sys/mounts/secret", json!({"type": "kv", "options": {"version": "2"}})).await;
    for _ in 0..200 {
        if server.ask("GET", "secret/config", Value::Null).await.0 == 200 {
            break;
        }
        // Between two looks: the condition decides, not the span.
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    done(store.prove(&target("apps/crm")).await);
    done(write(&store, "apps/crm", "one", None).await);
    assert_eq!(shown(&done(read(&store, "apps/crm").await)), "one at 1");
    // Logged in and then sealed: a write cannot know that nothing stands between.
    server.must("PUT", "sys/seal", Value::Null).await;
    let told = refused(read(&store, "apps/crm").await);
    assert_eq!(told, "read: refused (status 503): the Vault is sealed; unseal it");
    for (ca, why) in [
        (other.as_str(), "is not issued by anybody who is trusted here"),
        ("/nonexistent/ca.pem", "there is no file /nonexistent/ca.pem: put the CA"),
    ] {
        let told = refused(read(&server.root_store(&format!("ca = \"{ca}\"")), "apps/crm").await);
        assert!(told.starts_with("login: unsent: ") && told.contains(why), "{told}");
    }
    let told = refused(read(&server.root_store(""), "apps/crm").await);
    assert!(told.starts_with("login: unsent: ") && told.contains("(unknown issuer); check `ca`"), "{told}");
}

/// The client library takes what it was not told from the environment; an empty `VAULT_SKIP_VERIFY` turns verification off there.
#[test]
fn the_environment_changes_nothing() {
    let again = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "tls_trusts_the_given_ca_only_and_a_sealed_server_is_told"])
        .env("VAULT_SKIP_VERIFY", "")
        .env("VAULT_ADDR", "http://127.0.0.1:1")
        .env("VAULT_TOKEN", "not-this-one")
        .env("VAULT_NAMESPACE", "elsewhere")
        .env("HTTPS_PROXY", "http://127.0.0.1:1")
        .env("ALL_PROXY", "http://127.0.0.1:1")
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&again.stdout);
    assert!(again.status.success() && told.contains("1 passed"), "{told}");
}

/// A CA and a certificate of 127.0.0.1 from it, with its key; PEM.
fn certificates() -> (String, String, String) {
    let mut ca = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    ca.distinguished_name.push(rcgen::DnType::CommonName, "test CA");
    let ca_key = rcgen::KeyPair::generate().expect("a key");
    let ca_cert = ca.self_signed(&ca_key).expect("a CA");
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let mut server = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    server.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let key = rcgen::KeyPair::generate().expect("a key");
    let cert = server.signed_by(&key, &issuer).expect("a certificate");
    (ca_cert.pem(), cert.pem(), key.serialize_pem())
}
