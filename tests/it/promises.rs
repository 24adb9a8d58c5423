//! The promises of the design, one test each: it fails when the promise is broken. The simulator
//! (`tests/sim`) proves 1, 2, 4 and 5 of every path of the protocol; here the whole of cutover keeps them over real
//! sockets, files and a ledger. The tenth belongs to emergencies, which are not there yet.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cutover_api::Span;
use cutover_fake::{CallKind, Calling, Consumer, Fault, How};
use cutover_machine::event::Order;

use crate::cast::{Cast, POLICY, Script, System, bondi, plana};

const DURING: &str = "{ KEY = \"{{ old.secret }}\", KEY_NEW = \"{{ new.secret }}\" }";
const LAST_USED: &str = "[[policy.crm.verify]]\nkind = \"last-used\"\n";

/// 1. No call, write or restart takes an accepted key away from an application, whatever crashes. Every phase is stopped and started
/// again under an application that never stops calling. `tests/sim` has every other moment; `lost.rs` and
/// `hostile.rs` have the lost and the hostile replies.
#[tokio::test(flavor = "multi_thread")]
async fn promise_1_no_step_takes_an_accepted_key_away() {
    let mut cast = plana(Script { during: DURING.to_owned(), ..Script::default() }).await;
    cast.start().await;
    cast.house.rotate(POLICY).await;
    for phase in ["preflight", "mint", "stage", "deploy", "observe", "settle", "retire"] {
        cast.house.stop().await;
        cast.start().await;
        let there = |status: &cutover::engine::PolicyStatus| {
            status.phase == phase || status.phase == "idle" || later(&status.phase, phase)
        };
        cast.house.until(POLICY, there).await;
    }
    cast.rotated("stopped and started in every phase").await;
    assert_eq!(cast.provider.mints(), 1);
    assert_eq!(cast.provider.revokes(), 1);
    // The old key ended only after the last call that was made with it.
    let revoked = cast.provider.calls_of(CallKind::Revoke)[0];
    let old = cast.provider.keys().remove(0);
    assert!(old.last_used_at.is_some_and(|used| used < revoked), "{old:?}");
    assert_eq!(old.refused, 1, "after its end it was presented once: by cutover, to see it refused");
    cast.end().await;
}

fn later(phase: &str, than: &str) -> bool {
    const ORDER: [&str; 8] = ["preflight", "mint", "doubt", "stage", "deploy", "observe", "settle", "retire"];
    let place = |name: &str| ORDER.iter().position(|one| *one == name);
    place(phase) > place(than)
}

/// 2. Nothing is ended before a consumer was seen with the new key after the last restart. Days, the end of the grace and cutover's own
/// probes are no reason.
#[tokio::test(flavor = "multi_thread")]
async fn promise_2_no_key_is_ended_without_evidence() {
    let mut cast = plana(Script { speed: 20_000, verify: Some(LAST_USED.to_owned()), ..Script::default() }).await;
    // The hook says yes and restarts nobody: the new key is used by cutover's probe alone.
    cast.house.on_deploy(|| true);
    cast.start().await;
    cast.house.rotate(POLICY).await;
    cast.told("grace-ended", |_, _| true).await;
    cast.pass(Span::DAY).await;
    assert_eq!(cast.house.status(POLICY).phase, "observe");
    assert_eq!(cast.provider.revokes(), 0);
    let kinds = cast.house.history_kinds().await;
    assert!(!kinds.iter().any(|kind| ["evidence", "quiet", "cutover", "revoked"].contains(&kind.as_str())), "{kinds:?}");
    assert!(cast.provider.keys()[1].used >= 1, "the new key was used, by cutover");
    cast.app_is_well("without evidence").await;
    // With the application on the new key there is evidence, and only then.
    cast.app.restart();
    cast.house.until(POLICY, |status| status.phase != "observe" || status.held.is_some()).await;
    assert!(cast.house.history_kinds().await.iter().any(|kind| kind == "evidence"));
    cast.end().await;
}

/// 2, the other half: evidence alone does not do while the old key is still used somewhere.
#[tokio::test(flavor = "multi_thread")]
async fn promise_2_no_key_is_ended_while_it_is_used() {
    let mut cast = plana(Script { speed: 1_200, policy: String::from("grace = \"48h\"\n"), ..Script::default() }).await;
    let url = format!("{}/api/v1/dashboard", cast.provider.base_url());
    let old = cast.old.duplicate();
    let keys = Arc::new(move || vec![old.duplicate()]);
    let pace = Some(Duration::from_millis(20));
    let mut other = Consumer::start(Calling::Bearer(url), keys, cast.house.clock.clone(), pace).await.expect("another user");
    cast.start().await;
    cast.house.rotate(POLICY).await;
    cast.held("old-still-used").await;
    cast.told_why("held", "old-still-used").await;
    cast.pass(Span::hours(2)).await;
    assert_eq!(cast.provider.revokes(), 0);
    // `resume` forgives what was, and holds again for what comes.
    cast.order(Order::Resume).await.expect("taken");
    cast.house.until(POLICY, |status| status.held.is_none()).await;
    cast.held("old-still-used").await;
    assert_eq!(cast.provider.revokes(), 0);
    assert_eq!(other.refused(), 0, "whoever it is, it is not cut off");
    other.stop().await;
    cast.order(Order::Resume).await.expect("taken");
    cast.rotated("nobody uses it any more").await;
    cast.end().await;
}

/// 3. A key that was received is sealed and on disk before anything reads it: even half a reply, if the key is in that half.
#[tokio::test(flavor = "multi_thread")]
async fn promise_3_a_received_key_is_never_lost() {
    let mut cast = bondi(Script::default()).await;
    cast.provider.fail(Fault::once(CallKind::Mint, How::CutReply(230)));
    cast.start().await;
    let rotation = cast.house.rotate(POLICY).await;
    cast.held("doubt").await;
    cast.house.stop().await;
    cast.start().await;
    let body = cast.received(&rotation).await.expect("what came is kept");
    let from = body.find("bnd_tok_").expect("the key is in it");
    let value = body[from..].split('"').next().expect("a value");
    let received = cutover_api::Secret::new(value.to_owned());
    assert!(cast.provider.accepts(&received), "and it is the key that was made");
    on_disk_only_sealed(&cast, &[value]);
    cast.end().await;

    // A whole reply is kept until every target holds its key and every hook is done, and is gone with the rotation.
    let mut cast = bondi(Script { speed: 7_200, ..Script::default() }).await;
    cast.house.on_deploy(|| false);
    cast.start().await;
    let rotation = cast.house.rotate(POLICY).await;
    cast.held("hook").await;
    let made = cast.sealed(&rotation, "made").await.expect("sealed");
    assert!(cast.field("KEY").expect("written").same_as(&made));
    assert!(cast.received(&rotation).await.is_some_and(|body| body.contains(made.expose())));
    let restarter = cast.app.restarter();
    cast.house.on_deploy(move || {
        restarter.restart();
        true
    });
    cast.order(Order::Resume).await.expect("taken");
    cast.rotated("mended").await;
    for slot in ["reply.1", "reply.1.partial", "reply.2", "made", "first"] {
        assert!(cast.sealed(&rotation, slot).await.is_none(), "{slot} is gone");
    }
    cast.end().await;
}

/// 4. An intent to mint is sent once; a further one is a new intent, after the first one's deadline and a look.
#[tokio::test(flavor = "multi_thread")]
async fn promise_4_an_intent_to_mint_is_sent_once() {
    let mut cast = bondi(Script::default()).await;
    cast.provider.fail(Fault::once(CallKind::Mint, How::LoseReply));
    cast.start().await;
    cast.house.rotate(POLICY).await;
    for _ in 0..3 {
        cast.held("doubt").await;
        cast.order(Order::Resume).await.expect("taken");
        cast.held("doubt").await;
        cast.house.stop().await;
        cast.start().await;
    }
    cast.held("doubt").await;
    assert_eq!(cast.provider.mints(), 1, "it cannot be looked at: held, whatever is tried");
    cast.untouched("held").await;
    cast.end().await;

    let mut cast = plana(Script { speed: 120, ..Script::default() }).await;
    cast.provider.fail(Fault::once(CallKind::Mint, How::LoseReply));
    cast.start().await;
    cast.house.rotate(POLICY).await;
    cast.house.until(POLICY, |status| status.phase == "observe").await;
    let mints = cast.provider.calls_of(CallKind::Mint);
    assert_eq!(mints.len(), 2);
    let history = cast.house.history().await;
    let at = |kind: &str| history.iter().filter(|row| row.entry.kind == kind).map(|row| row.entry.at).collect::<Vec<_>>();
    let (intents, settled) = (at("mint-intended"), at("doubt-settled"));
    assert_eq!(intents.len(), 2, "one intent a call");
    assert!(intents[0] <= mints[0] && intents[1] <= mints[1], "each is durable before its call");
    assert!(
        intents[1].since(intents[0]) >= Span::seconds(30),
        "after the first one's deadline: {:?}",
        intents[1].since(intents[0])
    );
    assert!(settled[0] <= intents[1], "and after the look");
    cast.app_is_well("minted again").await;
    cast.end().await;
}

/// 5. Only what cutover made or was told to adopt is ended; an orphan of its own only if nobody has used it.
#[tokio::test(flavor = "multi_thread")]
async fn promise_5_only_its_own_keys_are_ended() {
    let mut cast = plana(Script { adopt: false, ..Script::default() }).await;
    // Somebody else's key with a name such as ours.
    let (_, theirs) = cast.provider.seed("Nightly stock sync (2026-abcdefghijkl)", "dashboard:read");
    cast.provider.fail(Fault::once(CallKind::Mint, How::LoseReply));
    cast.start().await;
    cast.house.rotate(POLICY).await;
    let status = cast.house.closed(POLICY).await;
    assert_eq!(status.ended.as_deref(), Some("old-left"), "it was not adopted");
    assert!(cast.provider.accepts(&cast.old) && cast.provider.accepts(&theirs));
    assert_eq!(cast.provider.revokes(), 1, "the orphan of its own, and nothing else");
    cast.told("held", |text, _| text.contains("neither made")).await;
    cast.app_is_well("old left").await;
    // The key that is in use now it has made: that one is ended at the next rotation.
    let made = cast.field("KEY").expect("a key");
    cast.house.rotate(POLICY).await;
    cast.house.until(POLICY, |status| status.phase == "observe").await;
    cast.house.closed(POLICY).await;
    assert!(!cast.provider.accepts(&made));
    assert!(cast.provider.accepts(&cast.old) && cast.provider.accepts(&theirs));
    cast.end().await;
}

/// 5, the orphan that somebody uses: shown, and not ended.
#[tokio::test(flavor = "multi_thread")]
async fn promise_5_an_orphan_in_use_is_not_ended() {
    let mut cast = plana(Script { speed: 10, ..Script::default() }).await;
    cast.provider.fail(Fault::once(CallKind::Mint, How::CutReply(160)));
    cast.start().await;
    let rotation = cast.house.rotate(POLICY).await;
    cast.house.until(POLICY, |status| status.phase == "doubt").await;
    // Whoever was on the line has the key and uses it.
    let body = cast.received(&rotation).await.expect("kept");
    let value = body[body.find("pa_live_").expect("the key")..].split('"').next().expect("a value").to_owned();
    let url = format!("{}/api/v1/dashboard", cast.provider.base_url());
    let used = reqwest::Client::new().get(url).bearer_auth(&value).send().await.expect("sent");
    assert_eq!(used.status().as_u16(), 200);
    cast.held("candidates").await;
    assert_eq!((cast.provider.mints(), cast.provider.revokes()), (1, 0));
    let orphan = cast.provider.keys().pop().expect("made");
    let text = cast.told_why("doubt", "candidates").await;
    assert!(text.contains(&orphan.id) && !text.contains(&value), "{text}");
    cast.end().await;
}

/// 6. An alert is durable with the state that caused it, and is delivered at least once: over refusals and over stops.
#[tokio::test(flavor = "multi_thread")]
async fn promise_6_an_alert_outlives_its_channel_and_the_daemon() {
    let accepts = Arc::new(AtomicBool::new(false));
    let got: Arc<Mutex<Vec<serde_json::Value>>> = Arc::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/pager", listener.local_addr().expect("bound"));
    let (open, desk) = (Arc::clone(&accepts), Arc::clone(&got));
    let pager = move |body: axum::body::Bytes| async move {
        desk.lock().expect("free").push(serde_json::from_slice(&body).expect("JSON"));
        if open.load(Ordering::SeqCst) { axum::http::StatusCode::OK } else { axum::http::StatusCode::SERVICE_UNAVAILABLE }
    };
    let app = axum::Router::new().route("/pager", axum::routing::post(pager));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let policy = "[policy.crm.alert]\nnotify = [\"pager\"]\n";
    let channel = format!("[notify.pager]\nkind = \"webhook\"\nseverity = \"info\"\nrequest = \"POST {url}\"\n");
    let mut cast = bondi(Script { verify: Some(format!("{policy}{channel}")), ..Script::default() }).await;
    cast.provider.fail(Fault::once(CallKind::Mint, How::LoseReply));
    cast.start().await;
    cast.house.rotate(POLICY).await;
    cast.held("doubt").await;
    let ids = || {
        let all = got.lock().expect("free");
        let held = all.iter().filter(|alert| alert["facts"]["why"] == "doubt");
        held.map(|alert| alert["id"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    wait(&cast, "it is tried", || !ids().is_empty()).await;
    cast.house.stop().await;
    accepts.store(true, Ordering::SeqCst);
    let before = ids().len();
    cast.start().await;
    wait(&cast, "it is tried again after the start", || ids().len() > before).await;
    let all = ids();
    assert!(all.iter().all(|id| *id == all[0]), "the same alert bears the same id: {all:?}");
    // Accepted, it is not sent for ever.
    cast.pass(Span::hours(2)).await;
    assert_eq!(ids().len(), before + 1);
    cast.end().await;
}

async fn wait<P: System>(cast: &Cast<P>, what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            cast.app.more_calls(1).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), waiting).await.is_ok(), "{what}");
}

/// 7. No secret value in logs, errors, alerts, history, status, what hooks are given, or in clear in the ledger's files. Pages, metrics
/// and core dumps belong to their own tests; `plugins/hook-command/tests` has the arguments and the environment whole.
#[tokio::test]
async fn promise_7_no_secret_is_shown_or_kept_in_clear() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new("cutover=trace"))
        .with_writer(move || writer.clone())
        .finish();
    // One thread runs all of it: what is logged anywhere is seen here.
    let _guard = tracing::subscriber::set_default(subscriber);

    let dump = tempfile::NamedTempFile::new().expect("a file");
    let command = format!(
        "[[policy.crm.redeploy]]\nkind = \"command\"\nrun = [\"/bin/sh\", \"-c\", \"env >> {0}; tr '\\\\0' ' ' < /proc/$$/cmdline >> {0}\"]\ntimeout = \"2m\"\n",
        dump.path().display()
    );
    let consumer = |url: String| {
        format!(
            "[[policy.crm.verify]]\nkind = \"consumer\"\nrequest = \"GET {url}\"\nfingerprint = \"/fingerprints/0\"\nevery = \"1m\"\n"
        )
    };
    let mut cast = plana(Script { during: DURING.to_owned(), ..Script::default() }).await;
    let config = cast.says("[[policy.crm.verify]]", &format!("{command}[[policy.crm.verify]]"));
    assert!(config.contains(&consumer(cast.app.health_url())), "{config}");
    // A reply that cannot be read is where careless programs quote it.
    cast.provider.fail(Fault::once(CallKind::Mint, How::CutReply(160)));
    let session = cast.house.read("session");
    cast.house.start(&config).await;
    let rotation = cast.house.rotate(POLICY).await;
    cast.house.until(POLICY, |status| status.phase == "observe").await;
    let made = cast.field("KEY_NEW").expect("the new key");
    assert!(cast.sealed(&rotation, "made").await.is_some_and(|sealed| sealed.same_as(&made)), "sealed while it is under way");
    let secrets = [cast.old.expose().to_owned(), made.expose().to_owned(), session];
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    on_disk_only_sealed(&cast, &secrets);
    cast.rotated("with a log").await;

    let history = format!("{:?}", cast.house.history().await);
    let status = serde_json::to_string(&cast.house.status(POLICY)).expect("JSON");
    let alerts = serde_json::to_string(&cast.house.alerts()).expect("JSON");
    let given = std::fs::read_to_string(dump.path()).expect("the hook ran");
    assert!(given.contains("CUTOVER_ROTATION=") && given.contains(&rotation), "the hook was told which rotation: {given}");
    let log = log.text();
    assert!(log.contains(&rotation) && log.contains("rotation started"), "there is a log: {log}");
    for secret in &secrets {
        // A part of it would do to find it by; the prefix that lists show would not.
        let part = &secret[20..];
        for (place, text) in [("log", &log), ("history", &history), ("status", &status), ("alerts", &alerts), ("hook", &given)]
        {
            assert!(!text.contains(part), "a secret stands in the {place}");
        }
    }
    for slot in ["reply.1", "reply.1.partial", "reply.2", "made", "first"] {
        assert!(
            cast.sealed(&rotation, slot).await.is_none(),
            "{slot}: the ledger holds a value only while a rotation is under way"
        );
    }
    on_disk_only_sealed(&cast, &secrets);
    cast.end().await;
}

/// None of these values stands in clear in any file of the ledger.
fn on_disk_only_sealed<P: System>(cast: &Cast<P>, secrets: &[&str]) {
    let mut seen = 0;
    for entry in std::fs::read_dir(cast.house.dir.path()).expect("a directory").flatten() {
        if !entry.file_name().to_string_lossy().starts_with("ledger.db") {
            continue;
        }
        let bytes = std::fs::read(entry.path()).expect("readable");
        seen += bytes.len();
        for secret in secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "a value stands in clear in {}", entry.path().display());
        }
    }
    assert!(seen > 10_000, "there is a ledger");
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("free")).into_owned()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("free").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// 8. Starting, reloading or crash-looping the daemon rotates nothing that was not due.
#[tokio::test(flavor = "multi_thread")]
async fn promise_8_starting_and_reloading_rotate_nothing() {
    let mut cast = plana(Script::default()).await;
    for _ in 0..4 {
        cast.start().await;
        cast.house.stop().await;
    }
    cast.start().await;
    let due = cast.house.status(POLICY).next_due;
    let same = cast.says("cadence", "cadence");
    assert!(cast.house.reload(&same).await.is_empty(), "nothing has changed");
    assert_eq!(cast.house.status(POLICY).next_due, due, "and nothing is due at another time");
    // Another schedule, another grace, another name: an edit acts at the next date.
    for (from, to) in
        [("cadence = \"1y\"", "cadence = \"2mo\""), ("quiet = \"5m\"", "quiet = \"7m\""), ("policy.crm", "policy.shop")]
    {
        assert!(!cast.house.reload(&cast.says(from, to)).await.is_empty(), "{to}");
        cast.house.engine().look_again();
        cast.pass(Span::hours(1)).await;
    }
    let renamed = cast.says("policy.crm", "policy.shop");
    for _ in 0..3 {
        cast.house.stop().await;
        cast.house.start(&renamed).await;
    }
    cast.pass(Span::hours(1)).await;
    assert_eq!(cast.provider.mints(), 0);
    assert!(!cast.house.history_kinds().await.iter().any(|kind| kind == "rotation-started"));
    cast.untouched("started and reloaded").await;
    cast.end().await;
}

/// 9. A missed schedule is run or reported, never skipped.
#[tokio::test(flavor = "multi_thread")]
async fn promise_9_a_missed_date_is_told_and_run() {
    let lines = String::from("grace = \"1h\"\nsoak = \"1m\"\n");
    let mut cast = plana(Script { speed: 3_600, policy: lines, ..Script::default() }).await;
    let config = cast.says("cadence = \"1y\"", "cadence = \"4h\"");
    cast.house.start(&config).await;
    let due: cutover_api::Stamp = stamp(&cast.house.status(POLICY).next_due.expect("a date"));
    cast.house.stop().await;
    // The daemon is not there when the date comes.
    let gone = due.since(cast.now()).plus(Span::hours(9));
    cast.pass(gone).await;
    assert_eq!(cast.provider.mints(), 0);
    cast.house.start(&config).await;
    cast.told("overdue", |text, _| text.contains(POLICY)).await;
    cast.house.until(POLICY, |status| status.ended.as_deref() == Some("done")).await;
    assert!(cast.provider.mints() >= 1);
    let history = cast.house.history().await;
    let started = history.iter().find(|row| row.entry.kind == "rotation-started").expect("started");
    assert_eq!(started.entry.actor, "schedule");
    let overdue = history.iter().position(|row| row.entry.kind == "overdue").expect("told");
    let began = history.iter().position(|row| row.entry.kind == "rotation-started").expect("started");
    assert!(overdue < began);
    assert_eq!(history.iter().filter(|row| row.entry.kind == "overdue").count(), 1, "dates that were missed together are one");
    assert!(
        stamp(&cast.house.status(POLICY).next_due.expect("a date")) > history[began].entry.at,
        "and the next one lies ahead"
    );
    cast.app_is_well("caught up").await;
    cast.end().await;
}

fn stamp(text: &str) -> cutover_api::Stamp {
    cutover_api::Stamp(text.parse::<jiff::Timestamp>().expect("a time").as_millisecond())
}
