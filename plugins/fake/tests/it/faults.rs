//! Each fault of the wire does what it says, on the wire.

use std::sync::Arc;

use cutover_api::{Secret, Span};
use cutover_fake::{CallKind, FakeClock, Fault, Gate, How, Plana};
use serde_json::{Value, json};

use crate::support::{START, Seen, Web, clock};

const KEYS: &str = "/api/portal/apikeys";

struct World {
    clock: Arc<FakeClock>,
    plana: Plana,
    web: Web,
    id: String,
    key: Secret,
}

impl World {
    async fn new() -> Self {
        let clock = clock();
        let plana = Plana::start(clock.clone()).await;
        let (id, key) = plana.seed("old", "dashboard:read");
        let web = Web::new(plana.base_url(), plana.session());
        Self { clock, plana, web, id, key }
    }

    /// A mint under this fault: what came back, and how many keys there are now.
    async fn mint_under(&self, how: How) -> (reqwest::Result<Seen>, usize) {
        self.plana.fail(Fault::once(CallKind::Mint, how));
        let reply = self.mint().await;
        (reply, self.plana.keys().len())
    }

    async fn mint(&self) -> reqwest::Result<Seen> {
        self.web.manage("POST", KEYS, json!({ "name": "new" })).await
    }

    async fn revoke(&self) -> reqwest::Result<Seen> {
        self.web.manage("DELETE", &format!("{KEYS}/{}", self.id), Value::Null).await
    }
}

#[tokio::test]
async fn lose_reply_applies_and_drops_the_socket_before_any_byte() {
    let world = World::new().await;
    let (reply, keys) = world.mint_under(How::LoseReply).await;
    assert!(reply.expect_err("no reply").is_request());
    assert_eq!(keys, 2);
    assert_eq!(world.plana.mints(), 1);
    assert_eq!(world.mint().await.expect("well again").status, 201);
}

#[tokio::test]
async fn lose_reply_holds_for_revoke_too() {
    let world = World::new().await;
    world.plana.fail(Fault::once(CallKind::Revoke, How::LoseReply));
    assert!(world.revoke().await.is_err());
    assert!(!world.plana.accepts(&world.key));
}

#[tokio::test]
async fn cut_reply_sends_the_head_and_so_many_bytes_of_the_body() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::new().await;
    world.plana.fail(Fault::once(CallKind::Mint, How::CutReply(7)));
    let session = world.plana.session();
    let body = r#"{"name":"new"}"#;
    let request = format!(
        "POST {KEYS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
        session.expose(),
        body.len()
    );
    let address = world.plana.base_url();
    let mut stream = tokio::net::TcpStream::connect(&address["http://".len()..]).await.expect("connected");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.expect("read to the end");
    let (head, sent) = reply.split_once("\r\n\r\n").expect("a whole head");
    assert!(head.starts_with("HTTP/1.1 201 "));
    assert_eq!(sent.len(), 7);
    assert_eq!(world.plana.keys().len(), 2);
}

#[tokio::test]
async fn a_cut_reply_is_an_error_for_a_client() {
    let world = World::new().await;
    let (reply, keys) = world.mint_under(How::CutReply(7)).await;
    assert!(reply.is_err());
    assert_eq!(keys, 2);
}

#[tokio::test]
async fn never_arrives_drops_the_socket_and_applies_nothing() {
    let world = World::new().await;
    let (reply, keys) = world.mint_under(How::NeverArrives).await;
    assert!(reply.is_err());
    assert_eq!(keys, 1);
    assert_eq!(world.plana.mints(), 1, "it was sent once all the same");
    assert_eq!(world.plana.log()[0].status, None);
}

#[tokio::test]
async fn hang_applied_takes_effect_at_once_and_replies_when_released() {
    let world = World::new().await;
    let gate = world.plana.hang(CallKind::Mint, true);
    let (reply, ()) = tokio::join!(world.mint(), async {
        gate.reached_by(1).await;
        assert_eq!(world.plana.keys().len(), 2);
        gate.open();
    });
    assert_eq!(reply.expect("released").status, 201);
}

#[tokio::test]
async fn hang_not_applied_never_takes_effect() {
    let world = World::new().await;
    let gate = world.plana.hang(CallKind::Mint, false);
    let (reply, ()) = tokio::join!(world.mint(), async {
        gate.reached_by(1).await;
        gate.open();
    });
    assert!(reply.is_err());
    assert_eq!(world.plana.keys().len(), 1);
}

#[tokio::test]
async fn delay_lands_late_even_when_the_caller_has_gone() {
    let world = World::new().await;
    let gate = Gate::new();
    world.plana.fail(Fault::once(CallKind::Revoke, How::Delay(gate.clone())));
    tokio::select! {
        _ = world.revoke() => panic!("it must wait"),
        () = gate.reached_by(1) => {}
    }
    assert!(world.plana.accepts(&world.key));
    world.clock.advance(Span::HOUR);
    gate.open();
    while world.plana.accepts(&world.key) {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.plana.keys()[0].revoked_at, Some(START.plus(Span::HOUR)));
}

#[tokio::test]
async fn a_status_comes_with_and_without_effect() {
    let world = World::new().await;
    let (reply, keys) = world.mint_under(How::Status { status: 503, applied: false }).await;
    assert_eq!((reply.expect("a reply").status, keys), (503, 1));
    let (reply, keys) = world.mint_under(How::Status { status: 500, applied: true }).await;
    assert_eq!((reply.expect("a reply").status, keys), (500, 2));
}

#[tokio::test]
async fn retry_after_is_a_429_without_effect() {
    let world = World::new().await;
    let (reply, keys) = world.mint_under(How::RetryAfter(17)).await;
    let reply = reply.expect("a reply");
    assert_eq!((reply.status, keys), (429, 1));
    assert_eq!(reply.headers["retry-after"], "17");
}

#[tokio::test]
async fn html_200_applies_and_answers_with_a_page() {
    let world = World::new().await;
    let (reply, keys) = world.mint_under(How::Html200).await;
    let reply = reply.expect("a reply");
    assert_eq!((reply.status, keys), (200, 2));
    assert!(reply.body.as_str().expect("no JSON").starts_with("<!doctype html>"));
}

#[tokio::test]
async fn no_secret_200_applies_and_leaves_the_secret_out() {
    let world = World::new().await;
    let (reply, keys) = world.mint_under(How::NoSecret200).await;
    let reply = reply.expect("a reply");
    assert_eq!((reply.status, keys), (201, 2));
    assert!(reply.body.get("key").is_none() && reply.body.get("id").is_some());
}

#[tokio::test]
async fn old_key_again_applies_and_shows_the_old_value() {
    let world = World::new().await;
    let (reply, keys) = world.mint_under(How::OldKeyAgain(Arc::new(world.key.duplicate()))).await;
    assert!(reply.expect("a reply").secret("key").same_as(&world.key));
    assert_eq!(keys, 2);
}

#[tokio::test]
async fn huge_is_as_long_as_said() {
    let world = World::new().await;
    let (reply, keys) = world.mint_under(How::Huge(3_000_000)).await;
    let reply = reply.expect("a reply");
    assert_eq!(reply.headers["content-length"], "3000000");
    assert_eq!(reply.body.to_string().len(), 3_000_000);
    assert_eq!(keys, 2);
}

#[tokio::test]
async fn redirect_names_another_place_and_applies_nothing() {
    let world = World::new().await;
    let (reply, keys) = world.mint_under(How::Redirect("http://127.0.0.1:9/elsewhere".to_owned())).await;
    let reply = reply.expect("a reply");
    assert_eq!((reply.status, keys), (307, 1));
    assert_eq!(reply.headers["location"], "http://127.0.0.1:9/elsewhere");
}

#[tokio::test]
async fn ok_false_is_a_200_without_effect() {
    let world = World::new().await;
    let (reply, keys) = world.mint_under(How::OkFalse).await;
    let reply = reply.expect("a reply");
    assert_eq!((reply.status, keys, &reply.body["ok"]), (200, 1, &Value::Bool(false)));
}

#[tokio::test]
async fn forbidden_revoke_and_name_conflict_have_no_effect() {
    let world = World::new().await;
    world.plana.fail(Fault::once(CallKind::Revoke, How::ForbiddenRevoke));
    assert_eq!(world.revoke().await.expect("a reply").status, 403);
    assert!(world.plana.accepts(&world.key));
    let (reply, keys) = world.mint_under(How::NameConflict).await;
    let reply = reply.expect("a reply");
    assert_eq!((reply.status, reply.text("/error"), keys), (409, "name_taken", 1));
}

#[tokio::test]
async fn skip_and_times_count_only_calls_of_the_kind() {
    let world = World::new().await;
    world.plana.fail(Fault { on: CallKind::Mint, skip: 1, times: 1, how: How::OkFalse });
    assert_eq!(world.web.managed("GET", KEYS, Value::Null).await.status, 200);
    let statuses = [world.mint().await, world.mint().await, world.mint().await];
    assert_eq!(statuses.map(|reply| reply.expect("a reply").status), [201, 200, 201]);
    world.plana.fail(Fault::always(CallKind::Any, How::NeverArrives));
    assert!(world.mint().await.is_err() && world.mint().await.is_err());
    world.plana.mend();
    assert!(world.mint().await.is_ok());
}

#[tokio::test]
async fn the_log_and_counters_show_every_request_and_never_a_secret() {
    let world = World::new().await;
    world.plana.fail(Fault::once(CallKind::Mint, How::LoseReply));
    assert!(world.mint().await.is_err());
    world.web.managed("GET", KEYS, Value::Null).await;
    world.web.bearer("/api/v1/dashboard", &world.key).await;
    world.web.managed("DELETE", &format!("{KEYS}/{}", world.key.expose()), Value::Null).await;
    world.web.managed("GET", "/nowhere", Value::Null).await;
    let log = world.plana.log();
    let lines: Vec<_> = log.iter().map(|line| (line.method.as_str(), line.path.as_str(), line.status)).collect();
    let expected = [
        ("POST", KEYS, Some(201)),
        ("GET", KEYS, Some(200)),
        ("GET", "/api/v1/dashboard", Some(200)),
        ("DELETE", "/api/portal/apikeys/(withheld)", Some(404)),
        ("GET", "/nowhere", Some(404)),
    ];
    assert_eq!(lines, expected);
    assert_eq!(log[0].faults, ["lose-reply"]);
    assert_eq!((world.plana.mints(), world.plana.lists(), world.plana.revokes(), world.plana.probes()), (1, 1, 1, 1));
    assert!(!format!("{log:?}{:?}", world.plana.keys()).contains(&world.key.expose()[12..]));
}

#[tokio::test]
async fn a_dropped_double_listens_no_more() {
    let world = World::new().await;
    let address = world.plana.base_url()["http://".len()..].to_owned();
    drop(world);
    while tokio::net::TcpStream::connect(&address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
