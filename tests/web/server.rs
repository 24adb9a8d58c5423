//! The server as clients of every sort meet it.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cutover::web::{Door, Server};
use cutover_config::Listen;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use crate::client::{Site, over_unix};
use crate::stage;

#[tokio::test]
async fn every_answer_is_closed_to_other_pages() {
    let site = Site::of(stage::three()).await;
    for path in ["/", "/metrics", "/healthz", "/policy/erp", "/nothing", "/policy/nobody"] {
        let reply = site.get(path).await;
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(reply.header("x-frame-options"), Some("DENY"), "{path}");
        let policy = reply.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("script"), "{policy}");
        assert_eq!(reply.header("set-cookie"), None, "{path}");
        assert_eq!(reply.header("access-control-allow-origin"), None, "{path}");
    }
}

#[tokio::test]
async fn a_page_from_elsewhere_is_turned_away_by_its_host() {
    let site = Site::of(stage::three()).await;
    for host in ["evil.example", "127.0.0.1.nip.io", "localhost.evil.example:80"] {
        for path in ["/", "/metrics", "/healthz"] {
            let reply = site.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            assert_eq!(reply.status, 421, "{host} {path}");
            assert!(!reply.body.contains("erp"), "{host} {path}");
        }
    }
    assert_eq!(site.send("GET / HTTP/1.1\r\n\r\n").await.status, 400);
    assert_eq!(site.send("GET / HTTP/1.0\r\n\r\n").await.status, 400);
    assert_eq!(site.send("GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n").await.status, 400);
}

#[tokio::test]
async fn only_looks_are_taken() {
    let site = Site::of(stage::three()).await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        let reply = site.send(&format!("{method} / HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    let reply = site.send("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc").await;
    assert_eq!(reply.status, 413);
    let head = site.send("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let length: usize = head.header("content-length").expect("a length").parse().expect("a number");
    assert_eq!(length, site.get("/").await.body.len());
}

#[tokio::test]
async fn what_is_too_large_or_no_http_is_refused_and_the_server_serves_on() {
    let site = Site::of(stage::three()).await;
    let long = "x".repeat(40_000);
    let headers: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    for request in [
        format!("GET /?q={long} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"),
        "\u{16}\u{3}\u{1}garbage\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ] {
        let reply = site.send(&request).await;
        // The reply can be lost where the client still sends: what counts is that nothing was shown.
        assert!(reply.status == 0 || (400..=431).contains(&reply.status), "{}", reply.status);
        assert_eq!(site.get("/healthz").await.status, 200);
    }
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_ended_and_costs_others_nothing() {
    let site = Site::of(stage::three()).await;
    let mut slow = Vec::new();
    for _ in 0..60 {
        let mut stream = site.connect().await;
        stream.write_all(b"GET / HT").await.expect("sent");
        slow.push(stream);
    }
    assert_eq!(site.get("/").await.status, 200);
    // Ended by the server's own time-out, which is what is waited for.
    let mut rest = Vec::new();
    let _cut = slow.remove(0).read_to_end(&mut rest).await;
    assert!(!String::from_utf8_lossy(&rest).contains(" 200 "));
}

#[tokio::test]
async fn too_many_are_turned_away_and_places_come_back() {
    let site = Site::of(stage::three()).await;
    let mut all = Vec::new();
    for _ in 0..140 {
        all.push(site.connect().await);
    }
    assert_eq!(site.get("/healthz").await.status, 0, "no place is left");
    drop(all);
    // A closed connection gives its place back as soon as the server sees it.
    let mut served = false;
    for _ in 0..10_000 {
        served = site.get("/healthz").await.status == 200;
        if served {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(served);
}

#[tokio::test]
async fn a_flood_asks_the_engine_seldom() {
    let stage = stage::thousands();
    let asked = Arc::clone(&stage.asked);
    let site = Site::of(stage).await;
    for n in 0..100 {
        assert_eq!(site.get(&format!("/?page={n}")).await.status, 200);
    }
    let asked = asked.load(Ordering::SeqCst);
    assert!(asked < 50, "{asked} times for 100 pages");
}

#[tokio::test]
async fn health_is_whether_the_loop_turns() {
    let stage = stage::three();
    stage.lives.store(false, Ordering::SeqCst);
    let site = Site::of(stage).await;
    let reply = site.get("/healthz").await;
    assert_eq!((reply.status, reply.header("content-type")), (503, Some("text/plain; charset=utf-8")));
    let site = Site::of(stage::three()).await;
    let reply = site.get("/healthz").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "ok\n"));
}

#[tokio::test]
async fn off_loopback_there_is_no_page() {
    let listen = Listen::Tcp("0.0.0.0:0".parse().expect("an address"));
    let door = Door::open(&listen).await.expect("a port");
    let port = door.address().expect("bound").port();
    let end = CancellationToken::new();
    tokio::spawn(Server::new(Arc::new(stage::three())).serve(door, end.clone()));
    let get = async |path: &str| {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("connected");
        let request = format!("GET {path} HTTP/1.1\r\nHost: cutover.internal\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.expect("answered");
        reply
    };
    assert!(get("/metrics").await.starts_with("HTTP/1.1 200 "));
    assert!(get("/healthz").await.starts_with("HTTP/1.1 200 "));
    for path in ["/", "/policy/erp", "/x"] {
        let reply = get(path).await;
        assert!(reply.starts_with("HTTP/1.1 404 ") && !reply.contains("erp"), "{path}");
    }
    end.cancel();
}

#[tokio::test]
async fn a_unix_socket_is_closed_to_others_and_goes_with_its_server() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("web.sock");
    let door = Door::open(&Listen::Unix(path.clone())).await.expect("opened");
    let mode = std::fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let end = CancellationToken::new();
    let serving = tokio::spawn(Server::new(Arc::new(stage::three())).serve(door, end.clone()));
    let reply = over_unix(&path, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(reply.status, 200);
    assert!(reply.body.contains("stock-sync"));
    end.cancel();
    serving.await.expect("ended");
    assert!(!path.exists());
}

#[tokio::test]
async fn an_address_that_is_taken_is_told() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = taken.local_addr().expect("bound");
    let error = Door::open(&Listen::Tcp(address)).await.err().expect("refused");
    let told = format!("listen {address}: another program has this port; set another `[daemon] listen`, or \"\" for none");
    assert_eq!(error.to_string(), told);
}
