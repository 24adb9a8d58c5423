//! Logging in, staying logged in, and what is said when that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cutover_api::Span;

use super::fake::{APPROLE, Act, Fake, TOKEN, grant, json, read, store, version};

/// A server that knows one token at a time, counts logins and renewals, and grants 90 s.
async fn approle(renewal: impl Fn() -> Act + Send + 'static) -> Fake {
    let mut logins = 0;
    Fake::start(move |seen| match seen.line.as_str() {
        "POST /v1/auth/approle/login" => {
            logins += 1;
            grant(&format!("t{logins}"), 90)
        }
        "PUT /v1/auth/token/renew-self" | "POST /v1/auth/token/renew-self" => renewal(),
        _ if seen.headers.get("x-vault-token") == Some(&format!("t{logins}")) => version(1, r#"{"KEY":"v"}"#),
        _ => json(403, r#"{"errors":["permission denied"]}"#),
    })
    .await
}

const DONE: &str = "done Some(\"v\") at Some(\"1\")";

#[tokio::test]
async fn many_calls_at_once_log_in_once() {
    let fake = approle(|| json(500, "")).await;
    let (store, _) = store(&fake.address, APPROLE);
    let store = Arc::new(store);
    let calls: Vec<_> = (0..8).map(|n| (n, Arc::clone(&store))).collect();
    let mut running = tokio::task::JoinSet::new();
    for (n, store) in calls {
        running.spawn(async move { read(&store, &format!("apps/{n}")).await });
    }
    for told in running.join_all().await {
        assert_eq!(told, DONE);
    }
    let logins: Vec<_> = fake.seen().into_iter().filter(|seen| seen.line.ends_with("/login")).collect();
    assert_eq!(logins.len(), 1);
    assert_eq!(logins[0].body, r#"{"role_id":"r","secret_id":"opened-SID"}"#);
    assert_eq!(logins[0].headers.get("x-vault-token"), None);
}

#[tokio::test]
async fn a_token_is_renewed_at_two_thirds_of_its_lease() {
    let fake = approle(|| grant("ignored", 90)).await;
    let (store, clock) = store(&fake.address, APPROLE);
    for (forward, renewals) in [(0, 0), (59, 0), (1, 1), (59, 1), (1, 2), (60, 3)] {
        clock.forward(Span::seconds(forward));
        assert_eq!(read(&store, "apps/crm").await, DONE);
        assert_eq!(fake.count("POST /v1/auth/token/renew-self"), renewals);
    }
    assert_eq!(fake.count("POST /v1/auth/approle/login"), 1);
    // Nobody used it for longer than it lives.
    clock.forward(Span::seconds(90));
    assert_eq!(read(&store, "apps/crm").await, DONE);
    assert_eq!(fake.count("POST /v1/auth/approle/login"), 2);
    assert_eq!(fake.count("POST /v1/auth/token/renew-self"), 3);
}

#[tokio::test]
async fn a_renewal_that_gains_nothing_ends_in_a_login() {
    for (renewal, logins) in [(200, 2), (403, 2), (500, 1), (429, 1)] {
        let fake = approle(move || if renewal == 200 { grant("ignored", 30) } else { json(renewal, "") }).await;
        let (store, clock) = store(&fake.address, APPROLE);
        assert_eq!(read(&store, "apps/crm").await, DONE);
        clock.forward(Span::seconds(60));
        assert_eq!(read(&store, "apps/crm").await, DONE);
        assert_eq!(fake.count("POST /v1/auth/approle/login"), logins, "renewal answered {renewal}");
    }
}

#[tokio::test]
async fn a_403_is_followed_by_one_fresh_login() {
    let revoked = Arc::new(AtomicUsize::new(0));
    let (flag, mut logins) = (Arc::clone(&revoked), 0);
    let fake = Fake::start(move |seen| match seen.line.as_str() {
        "POST /v1/auth/approle/login" => {
            logins += 1;
            grant(&format!("t{logins}"), 90)
        }
        _ if seen.headers["x-vault-token"] == "t1" && flag.load(Ordering::Relaxed) == 1 => json(403, "{}"),
        _ if flag.load(Ordering::Relaxed) == 2 => json(403, "{}"),
        _ => version(1, r#"{"KEY":"v"}"#),
    })
    .await;
    let (store, _) = store(&fake.address, APPROLE);
    assert_eq!(read(&store, "apps/crm").await, DONE);
    revoked.store(1, Ordering::Relaxed);
    assert_eq!(read(&store, "apps/crm").await, DONE);
    assert_eq!(fake.count("POST /v1/auth/approle/login"), 2);
    revoked.store(2, Ordering::Relaxed);
    let told = read(&store, "apps/crm").await;
    assert_eq!(
        told,
        "refused read: scope (status 403): a policy of this login must grant \"read\" on \"secret/data/apps/crm\""
    );
    assert_eq!(fake.count("POST /v1/auth/approle/login"), 3);
}

#[tokio::test]
async fn a_login_that_is_refused_says_so() {
    for (status, body, told) in [
        (
            400,
            r#"{"errors":["invalid secret id"]}"#,
            "refused login: auth (status 400): the login at auth/approle was refused: check the role and whether its secret is still valid",
        ),
        (
            404,
            r#"{"errors":[]}"#,
            "refused login: auth (status 404): no such auth method is mounted at auth/approle: check auth.mount and namespace",
        ),
        (503, "", "refused login: refused (status 503): no usable answer (status-5xx): not logged in, nothing was changed"),
        (
            200,
            r#"{"auth":{"client_token":"a b","lease_duration":1,"renewable":true}}"#,
            "refused login: auth: what stands where the token should be is empty, too long or holds characters that no token has",
        ),
        (
            200,
            r#"{"auth":null}"#,
            "refused login: refused (status 200): no usable answer (unreadable): not logged in, nothing was changed; the reply is not one a KV v2 engine gives",
        ),
    ] {
        let fake = Fake::start(move |_| json(status, body)).await;
        let (store, _) = store(&fake.address, APPROLE);
        assert_eq!(read(&store, "apps/crm").await, told);
    }
    let missing = "auth = { method = \"token\", token = { env = \"MISSING\" } }";
    let (store, _) = store("http://127.0.0.1:1", missing);
    assert_eq!(read(&store, "apps/crm").await, "refused login: auth: environment variable MISSING is not set; set it");
}

#[tokio::test]
async fn a_pod_logs_in_with_its_own_token() {
    let fake = Fake::start(|seen| match seen.line.as_str() {
        "POST /v1/auth/k8s/login" => grant("t1", 90),
        _ => version(1, r#"{"KEY":"v"}"#),
    })
    .await;
    let auth = "auth = { method = \"kubernetes\", role = \"cutover\", jwt_file = \"/run/jwt\", mount = \"k8s\" }";
    let (store, _) = store(&fake.address, auth);
    assert_eq!(read(&store, "apps/crm").await, DONE);
    let seen = fake.seen();
    assert_eq!(seen[0].body, r#"{"role":"cutover","jwt":"opened-/run/jwt"}"#);
    assert_eq!(seen[1].headers["x-vault-token"], "t1");
}

#[tokio::test]
async fn a_dead_token_is_told_from_a_missing_policy() {
    let fake = Fake::start(|_| json(403, r#"{"errors":["permission denied"]}"#)).await;
    let (store, _) = store(&fake.address, TOKEN);
    let told = read(&store, "apps/crm").await;
    assert!(told.starts_with("refused read: auth (status 403): the token was not accepted"), "{told}");
}
