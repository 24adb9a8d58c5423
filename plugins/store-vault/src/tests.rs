//! What the store makes of a server that misbehaves; the real one is in `tests/live.rs`.

mod fake;
mod sessions;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cutover_api::{Problems, Reader, Store, Table};

use self::fake::{APPROLE, Act, Fake, Log, TOKEN, grant, hasty, json, prove, read, store, version, write, wrote};

/// Answers a lookup of the token; the rest is for `script`.
fn with_token(mut script: impl FnMut(&fake::Seen) -> Act + Send + 'static) -> impl FnMut(&fake::Seen) -> Act + Send + 'static {
    move |seen| {
        if seen.line == "GET /v1/auth/token/lookup-self" {
            return json(200, r#"{"data":{"ttl":0,"renewable":false}}"#);
        }
        script(seen)
    }
}

/// A secret at version 3 whose write is answered by `reply`.
async fn written(reply: Act) -> (String, Fake) {
    let hangs = matches!(reply, Act::Hang);
    let mut reply = Some(reply);
    let fake = Fake::start(with_token(move |seen| {
        if seen.line.starts_with("POST") {
            reply.take().expect("one write")
        } else {
            version(3, r#"{"KEY":"planted-old-value","OTHER":{"n":1}}"#)
        }
    }))
    .await;
    let (store, _) = if hangs { hasty(&fake.address, TOKEN) } else { store(&fake.address, TOKEN) };
    let told = write(&store, "apps/crm", Some("3")).await;
    assert_eq!(fake.count("POST"), 1, "a write is sent once");
    (told, fake)
}

#[tokio::test]
async fn a_write_without_a_sure_answer_is_unknown() {
    let sealed = r#"{"errors":["error performing token check: Vault is sealed"]}"#;
    let html = "<html>planted-html</html>".to_owned();
    for (reply, told) in [
        (json(500, r#"{"errors":["planted-error-text"]}"#), "write: effect unknown (status-5xx, status 500)"),
        (Act::Reply(502, "", html.clone()), "write: effect unknown (status-5xx, status 502)"),
        (json(503, sealed), "write: effect unknown (status-5xx, status 503): the Vault is sealed; unseal it"),
        (Act::Reply(408, "", html.clone()), "write: effect unknown (timeout, status 408)"),
        (Act::Hang, "write: effect unknown (timeout): `address` HERE: no whole answer in time"),
        (
            Act::Cut(""),
            "write: effect unknown (cut): `address` HERE: the connection was closed before the whole answer was there",
        ),
        (
            Act::Cut("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"data\":"),
            "write: effect unknown (cut): `address` HERE: the connection was closed before the whole answer was there",
        ),
        (
            Act::Cut("this is not HTTP\r\n\r\n"),
            "write: effect unknown (cut): `address` HERE: the connection was closed before the whole answer was there",
        ),
        (
            Act::Reply(200, "", html),
            "write: effect unknown (unreadable, status 200): the reply is not one a KV v2 engine gives",
        ),
        (wrote(3), "write: effect unknown (unreadable, status 200): the reply is not one a KV v2 engine gives"),
        (json(204, ""), "write: effect unknown (unreadable, status 204): the reply is not one a KV v2 engine gives"),
        (Act::Reply(200, "", " ".repeat(5 << 20)), "write: effect unknown (too-long, status 200)"),
        (
            Act::Reply(307, "Location: /v1/elsewhere\r\n", String::new()),
            "write: effect unknown (redirect, status 307): the server redirects; `address` must name the active node or a load balancer that finds it",
        ),
    ] {
        let (answer, fake) = written(reply).await;
        assert_eq!(answer.replace(&fake.address, "HERE"), format!("unknown {told}"));
        assert_eq!(fake.count("GET /v1/elsewhere") + fake.count("POST /v1/elsewhere"), 0, "no redirect is followed");
    }
}

#[tokio::test]
async fn a_refused_write_is_refused_with_its_class() {
    for (status, headers, body, told) in [
        (
            400,
            "",
            r#"{"errors":["check-and-set parameter did not match the current version"]}"#,
            "write: exists (status 400): somebody else wrote this path since it was read; nothing was written, it is read again",
        ),
        (
            400,
            "",
            r#"{"errors":["planted-error-text"]}"#,
            "write: refused (status 400): the server refused this write; nothing was written",
        ),
        (429, "Retry-After: 7\r\n", "", "write: throttle (status 429): the server refused this write; nothing was written"),
        (405, "", "", "write: refused (status 405): the server refused this write; nothing was written"),
        (
            403,
            "",
            r#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#,
            "write: scope (status 403): a policy of this login must grant \"create\" and \"update\" on \"secret/data/apps/crm\"",
        ),
    ] {
        let fake = Fake::start(with_token(move |seen| {
            if seen.line.starts_with("POST") { Act::Reply(status, headers, body.to_owned()) } else { version(3, "{}") }
        }))
        .await;
        let (store, _) = store(&fake.address, TOKEN);
        assert_eq!(write(&store, "apps/crm", Some("3")).await, format!("refused {told}"));
    }
}

#[tokio::test]
async fn a_write_that_was_never_sent_is_refused() {
    // The read before the write fails.
    let fake = Fake::start(with_token(|_| json(500, "{}"))).await;
    let (broken, _) = store(&fake.address, TOKEN);
    assert_eq!(
        write(&broken, "apps/crm", Some("3")).await,
        "refused write: refused (status 500): no usable answer (status-5xx): nothing was written"
    );
    assert_eq!(fake.count("POST"), 0);
    // The login before the read fails.
    let fake = Fake::start(|_| Act::Hang).await;
    let (silent, _) = hasty(&fake.address, APPROLE);
    assert_eq!(
        write(&silent, "apps/crm", None).await,
        format!(
            "refused login: refused: no usable answer (timeout): not logged in, nothing was changed; `address` {}: no whole answer in time",
            fake.address
        )
    );
    // Nobody listens.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let (nobody, _) = store(&address, TOKEN);
    let told = write(&nobody, "apps/crm", None).await;
    assert_eq!(told, format!("refused login: unsent: `address` {address}: connection refused: nothing listens there"));
    // The version is not the one expected.
    let fake = Fake::start(with_token(|_| version(4, "{}"))).await;
    let (moved, _) = store(&fake.address, TOKEN);
    for expected in [Some("3"), None] {
        assert!(write(&moved, "apps/crm", expected).await.starts_with("refused write: exists: somebody else wrote"));
    }
    assert!(write(&moved, "apps/crm", Some("x")).await.starts_with("refused write: refused: the expected version"));
    assert_eq!(fake.count("POST"), 0);
}

#[tokio::test]
async fn a_404_is_an_absent_path_only_where_vault_says_so() {
    for (status, body, told) in [
        (404, r#"{"errors":[]}"#, "done None at None".to_owned()),
        (
            404,
            r#"{"data":{"data":null,"metadata":{"version":7,"deletion_time":"x","destroyed":false}}}"#,
            "done None at Some(\"7\")".to_owned(),
        ),
        (404, r#"{"errors":["no handler for route"]}"#, gone()),
        (404, "<html>not found</html>", gone()),
        (404, "{}", gone()),
        (200, r#"{"data":{"KEY":"x"}}"#, unreadable("unreadable", 200)),
        (200, r#"{"data":{"data":{"KEY":"x"},"metadata":{"version":0}}}"#, unreadable("unreadable", 200)),
        (500, "", "unknown read: effect unknown (status-5xx, status 500)".to_owned()),
        (
            503,
            r#"{"errors":["Vault is sealed"]}"#,
            "refused read: refused (status 503): the Vault is sealed; unseal it".to_owned(),
        ),
        (
            200,
            r#"{"data":{"data":{"KEY":7},"metadata":{"version":2}}}"#,
            "refused read: refused: field \"KEY\" holds something that is no string; only strings can be keys".to_owned(),
        ),
        (
            200,
            r#"{"data":{"data":{"KEY":"a\u00e9\n"},"metadata":{"version":2}}}"#,
            "done Some(\"aé\\n\") at Some(\"2\")".to_owned(),
        ),
    ] {
        let fake = Fake::start(with_token(move |_| json(status, body))).await;
        let (store, _) = store(&fake.address, TOKEN);
        assert_eq!(read(&store, "apps/crm").await, told, "{body}");
    }
}

fn gone() -> String {
    "refused read: gone (status 404): no KV v2 engine answers at \"secret\"; check `mount`, `namespace` and `address`"
        .to_owned()
}

fn unreadable(label: &str, status: u16) -> String {
    format!("unknown read: effect unknown ({label}, status {status}): the reply is not one a KV v2 engine gives")
}

/// On KV v1 a write with a version to compare succeeds, compares nothing, and is seen at `data/PATH`.
#[tokio::test]
async fn nothing_is_written_to_a_mount_that_does_not_compare() {
    let fake = Fake::start(with_token(|seen| match seen.line.as_str() {
        "GET /v1/sys/internal/ui/mounts/secret" => json(200, r#"{"data":{"type":"kv","options":{"version":"1"}}}"#),
        line if line.starts_with("GET") => json(404, r#"{"errors":[]}"#),
        _ => wrote(1),
    }))
    .await;
    let (store, _) = store(&fake.address, TOKEN);
    let no_v2 = "refused: \"secret\" is no KV engine of version 2: a write there could not be compared; upgrade it or name another `mount`";
    assert_eq!(prove(&store, "apps/crm").await, format!("refused prove: {no_v2}"));
    assert_eq!(write(&store, "apps/crm", None).await, format!("refused write: {no_v2}"));
    assert_eq!(fake.count("POST"), 0);
}

#[tokio::test]
async fn a_proof_is_a_compare_that_failed_and_nothing_else() {
    let mismatch = r#"{"errors":["check-and-set parameter did not match the current version"]}"#;
    for (status, body, told) in [
        (400, mismatch, "done proof"),
        (400, r#"{"errors":["something else"]}"#, "refused prove: refused (status 400)"),
        (
            200,
            r#"{"data":{"version":4}}"#,
            "unknown prove: effect unknown (unreadable, status 200): the reply is not one a KV v2 engine gives",
        ),
        (
            403,
            r#"{"errors":["permission denied"]}"#,
            "refused prove: scope (status 403): a policy of this login must grant \"create\" and \"update\" on \"secret/data/apps/crm\"",
        ),
    ] {
        let fake = Fake::start(with_token(move |seen| {
            if seen.line.starts_with("POST") { json(status, body) } else { version(3, r#"{"KEY":"v"}"#) }
        }))
        .await;
        let (store, _) = store(&fake.address, TOKEN);
        assert_eq!(prove(&store, "apps/crm").await, told);
        let sent = fake.seen().into_iter().find(|seen| seen.line.starts_with("POST")).expect("sent");
        assert_eq!(sent.body, r#"{"options":{"cas":2147483647},"data":{}}"#);
    }
}

#[tokio::test]
async fn the_token_and_the_namespace_go_with_every_request() {
    let fake = Fake::start(with_token(|seen| {
        if seen.line.starts_with("POST") { wrote(4) } else { version(3, r#"{"KEY":"v","OTHER":1e999}"#) }
    }))
    .await;
    let (store, _) = store(&fake.address, &format!("mount = \"kv/team\"\nnamespace = \"org/team\"\n{TOKEN}"));
    assert_eq!(write(&store, "apps/crm", Some("3")).await, "done Some(\"4\")");
    let seen = fake.seen();
    let lines: Vec<_> = seen.iter().map(|seen| seen.line.as_str()).collect();
    assert_eq!(lines, ["GET /v1/auth/token/lookup-self", "GET /v1/kv/team/data/apps/crm", "POST /v1/kv/team/data/apps/crm"]);
    for seen in &seen {
        assert_eq!(seen.headers["x-vault-namespace"], "org/team");
        assert_eq!(seen.headers["x-vault-token"], "opened-TOKEN");
        assert_eq!(seen.headers["x-vault-request"], "true");
    }
    assert_eq!(seen[2].body, r#"{"options":{"cas":3},"data":{"KEY":"planted-new-value","OTHER":1e999}}"#);
}

/// M24: what was just written must be what is read next, also from a standby that lags.
#[tokio::test]
async fn a_read_waits_for_what_was_written() {
    let gets = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&gets);
    let fake = Fake::start(with_token(move |seen| {
        if seen.line.starts_with("POST") {
            return wrote(4);
        }
        // The first read is before the write; the two after it still show the old version.
        if count.fetch_add(1, Ordering::Relaxed) < 3 { version(3, r#"{"KEY":"old"}"#) } else { version(4, r#"{"KEY":"new"}"#) }
    }))
    .await;
    let (store, _) = store(&fake.address, TOKEN);
    assert_eq!(write(&store, "apps/crm", Some("3")).await, "done Some(\"4\")");
    assert_eq!(read(&store, "apps/crm").await, "done Some(\"new\") at Some(\"4\")");
    assert_eq!(gets.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_path_that_is_no_path_is_never_sent() {
    let fake = Fake::start(|_| json(200, "{}")).await;
    let (store, _) = store(&fake.address, TOKEN);
    for path in ["../sys/seal", "a/../b", "a?version=1", "a%2e", "/a", "a b", ""] {
        let told = read(&store, path).await;
        assert!(told.starts_with("refused read: refused: the path "), "{told}");
        assert!(write(&store, path, None).await.starts_with("refused write: refused: the path "));
        assert!(prove(&store, path).await.starts_with("refused prove: refused: the path "));
    }
    assert_eq!(fake.seen().len(), 0);
}

/// vaultrs and rustify log the server's texts and print secrets with `{:?}`; nothing of either may come through.
///
/// In a process of its own: what other tests do at the same time decides what `tracing` takes for worth logging.
#[test]
fn no_secret_and_no_text_of_the_server_is_logged_or_told() {
    const ALONE: &str = "CUTOVER_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        return runtime.block_on(nothing_is_logged_or_told());
    }
    let again = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "tests::no_secret_and_no_text_of_the_server_is_logged_or_told"])
        .env(ALONE, "1")
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&again.stdout);
    assert!(again.status.success() && told.contains("1 passed"), "{told}");
}

async fn nothing_is_logged_or_told() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut told = Vec::new();
    for (status, body) in [
        (200, r#"{"data":{"version":4},"warnings":["planted-warning"]}"#),
        (200, r#"{"data":"planted-shape"}"#),
        (400, r#"{"errors":["planted-error"]}"#),
        (500, r#"{"errors":["planted-error"]}"#),
        (418, "planted-body"),
    ] {
        let fake = Fake::start(move |seen| match seen.line.as_str() {
            line if line.ends_with("/login") => grant("planted-token", 90),
            line if line.starts_with("POST") => json(status, body),
            _ => version(3, r#"{"KEY":"planted-old","OTHER":"planted-other"}"#),
        })
        .await;
        let auth = "auth = { method = \"approle\", role_id = \"r\", secret_id = { env = \"planted-sid\" } }";
        let (store, _) = store(&fake.address, auth);
        told.push(write(&store, "apps/crm", Some("3")).await);
        told.push(prove(&store, "apps/crm").await);
    }
    let log = log.text();
    assert!(log.contains("reply"), "the log is empty: nothing was proved");
    for text in [log, told.join("\n")] {
        let at = text.find("planted");
        assert!(at.is_none(), "{}", &text[at.unwrap_or(0).saturating_sub(200)..]);
    }
}

#[tokio::test]
async fn a_target_is_read_and_every_problem_told() {
    let (store, _) = store("http://127.0.0.1:1", TOKEN);
    let target = |text: &str| {
        let table = Table::parse("c.toml", text).expect("valid TOML");
        let problems = Problems::default();
        let target = store.target(&Reader::new(&table, "policy.p.target[0]", &problems));
        (target.map(|target| target.path), problems.take().iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(target("store = \"v\"\npath = \"apps/crm\"\nfields = { A = \"x\" }\n"), (Some("apps/crm".to_owned()), vec![]));
    let (none, problems) = target("store = \"v\"\npath = \"apps/../crm\"\nvalue = \"x\"\nformat = \"json\"\n");
    assert_eq!(none, None);
    assert_eq!(
        problems,
        [
            "c.toml:2:8: policy.p.target[0].path: has the segment \"..\": must name every segment",
            "c.toml:3:9: policy.p.target[0].value: a Vault path holds fields, not a bare value: write fields = { NAME = \"{{ new.secret }}\" }",
            "c.toml:4:10: policy.p.target[0].format: is not an option of a target in a vault store: leave it out; it is for file stores",
        ]
    );
    let (none, problems) = target("path = \"secret/data/apps/crm\"\n");
    assert_eq!(none, None);
    assert!(problems[0].starts_with("c.toml:1:8: policy.p.target[0].path: begins with the mount"), "{problems:?}");
    let (none, problems) = target("store = \"v\"\n");
    assert_eq!(none, None);
    assert!(problems[0].contains("policy.p.target[0].path: missing: "), "{problems:?}");
}
