//! The socket as clients of every sort meet it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cutover_config::Selector;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::places;
use super::wire::{LONGEST_LINE, Line, encode_ask};
use super::{Ask, AskError, Client, Handler, Items, Reached, Refused, RefusedKind, Server};

mod floods;

/// A patience that only a fault outlasts.
const PATIENCE: Duration = Duration::from_secs(60);

/// Answers `hello`; `rotate` sends items until it is let go, and counts how often it came to its end.
#[derive(Default)]
struct Double {
    begun: Notify,
    go: Notify,
    ended: AtomicUsize,
    end: Notify,
}

#[async_trait]
impl Handler for Double {
    async fn handle(&self, ask: Ask, actor: &str, items: &Items) -> Result<Value, Refused> {
        match ask {
            Ask::Hello {} => Ok(json!({ "pid": 1, "version": "test", "environment": actor })),
            Ask::Rotate { .. } => {
                self.begun.notify_one();
                self.go.notified().await;
                for n in 0..200 {
                    items.send(&json!({ "n": n, "fill": "x".repeat(4096) })).await;
                }
                self.ended.fetch_add(1, Ordering::SeqCst);
                self.end.notify_one();
                Ok(Value::Null)
            }
            Ask::Verify {} => Err(Refused::guard("not now")),
            Ask::Status { .. } => {
                for n in 0..300 {
                    items.send(&n).await;
                }
                Ok(json!("end"))
            }
            _ => Ok(Value::String("x".repeat(LONGEST_LINE))),
        }
    }
}

struct Daemon {
    path: PathBuf,
    double: Arc<Double>,
    closing: CancellationToken,
    serving: JoinHandle<()>,
    _directory: tempfile::TempDir,
}

impl Daemon {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let (double, closing) = (Arc::new(Double::default()), CancellationToken::new());
        let handler: Arc<dyn Handler> = Arc::<Double>::clone(&double);
        let serving = tokio::spawn(Server::bind(&path).await.unwrap().serve(handler, closing.clone()));
        Self { path, double, closing, serving, _directory: directory }
    }

    async fn stop(self) {
        self.closing.cancel();
        tokio::time::timeout(PATIENCE, self.serving).await.unwrap().unwrap();
        assert!(!self.path.exists(), "the socket's file goes with its daemon");
    }

    async fn client(&self) -> Client {
        match Client::reach(&self.path).await.unwrap() {
            Reached::Daemon(client, _) => client,
            Reached::Nobody => panic!("nobody answers"),
        }
    }

    /// The daemon still serves.
    async fn serves(&self) {
        let Reached::Daemon(_, hello) = Client::reach(&self.path).await.unwrap() else { panic!("nobody answers") };
        assert!(hello.environment.starts_with("uid:"), "{}", hello.environment);
    }

    /// Sends bytes as they are and reads the whole reply.
    async fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = UnixStream::connect(&self.path).await.unwrap();
        // The daemon may close before it has read all of it.
        let _cut = stream.write_all(bytes).await;
        let _cut = stream.shutdown().await;
        let mut reply = Vec::new();
        let _cut = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut reply)).await.unwrap();
        reply
    }
}

fn rotate() -> Ask {
    Ask::Rotate { selector: Selector { all: true, ..Selector::default() }, reason: None }
}

#[tokio::test]
async fn items_come_in_order_and_the_actor_is_the_peer() {
    let daemon = Daemon::start().await;
    let uid = rustix::process::getuid().as_raw();
    let Reached::Daemon(client, hello) = Client::reach(&daemon.path).await.unwrap() else { panic!("nobody answers") };
    assert!(hello.environment.starts_with(&format!("uid:{uid}")), "{}", hello.environment);
    let mut items = Vec::new();
    let ask = Ask::Status { selector: Selector::default() };
    let done = client.ask(&ask, PATIENCE, &mut |item| items.push(item)).await.unwrap();
    assert_eq!(done, json!("end"));
    assert_eq!(items, (0..300).map(Value::from).collect::<Vec<_>>());
    let refused = client.ask(&Ask::Verify {}, PATIENCE, &mut |_| {}).await.unwrap_err();
    assert_eq!(refused, AskError::Refused(Refused::guard("not now")));
    let long = client.ask(&Ask::TestAlert {}, PATIENCE, &mut |_| {}).await.unwrap_err();
    assert!(matches!(long, AskError::Refused(refused) if refused.kind == RefusedKind::Failed));
    daemon.stop().await;
}

#[tokio::test]
async fn garbage_and_lines_without_end_cost_their_own_connection() {
    let daemon = Daemon::start().await;
    for bytes in [&b"\n"[..], b"\xff\xfe\x00\n", b"{}\n", b"GET / HTTP/1.1\r\n\r\n", b"{\"v\":1,\"verb\":\"hello\",\"x\":1}\n"]
    {
        let reply = daemon.raw(bytes).await;
        assert!(matches!(Line::decode(&reply), Ok(Line::Refused(refused)) if refused.kind == RefusedKind::Usage), "{bytes:?}");
    }
    assert!(daemon.raw(b"").await.is_empty());
    assert!(daemon.raw(b"{\"v\":1,\"verb\"").await.is_empty(), "a line cut in the middle asks for nothing");
    let deep = "[".repeat(LONGEST_LINE - 2) + "\n";
    assert!(matches!(Line::decode(&daemon.raw(deep.as_bytes()).await), Ok(Line::Refused(_))));
    daemon.serves().await;
    daemon.stop().await;
}

#[tokio::test]
async fn a_line_that_is_too_long_is_refused() {
    let daemon = Daemon::start().await;
    let mut stream = UnixStream::connect(&daemon.path).await.unwrap();
    stream.write_all("x".repeat(LONGEST_LINE).as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut reply)).await.unwrap().unwrap();
    assert!(matches!(Line::decode(&reply), Ok(Line::Refused(refused)) if refused.reason.contains("64 KiB")));
    daemon.serves().await;
    daemon.stop().await;
}

#[tokio::test]
async fn half_lines_that_hang_hold_up_nobody_and_are_closed() {
    let daemon = Daemon::start().await;
    let mut hanging = Vec::new();
    for _ in 0..20 {
        let mut stream = UnixStream::connect(&daemon.path).await.unwrap();
        stream.write_all(b"{\"v\":1,").await.unwrap();
        hanging.push(stream);
    }
    daemon.serves().await;
    let mut reply = Vec::new();
    tokio::time::timeout(PATIENCE, hanging[0].read_to_end(&mut reply)).await.unwrap().unwrap();
    assert!(matches!(Line::decode(&reply), Ok(Line::Refused(refused)) if refused.reason.contains("within 10 s")));
    daemon.stop().await;
}

#[tokio::test]
async fn of_more_silent_connections_than_may_wait_the_oldest_are_told_and_closed() {
    let daemon = Daemon::start().await;
    let mut open = Vec::new();
    for _ in 0..places::WAITING + 20 {
        open.push(UnixStream::connect(&daemon.path).await.unwrap());
        // Each is known to the daemon before the next one comes.
        daemon.serves().await;
    }
    for stream in open.iter_mut().take(20) {
        let mut reply = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut reply)).await.unwrap().unwrap();
        assert!(matches!(Line::decode(&reply), Ok(Line::Refused(refused)) if refused.is_busy()));
    }
    daemon.stop().await;
}

#[tokio::test]
async fn what_was_begun_is_ended_although_the_client_went_away() {
    let daemon = Daemon::start().await;
    let mut stream = UnixStream::connect(&daemon.path).await.unwrap();
    stream.write_all(&encode_ask(&rotate()).unwrap()).await.unwrap();
    daemon.double.begun.notified().await;
    drop(stream);
    daemon.double.go.notify_one();
    tokio::time::timeout(PATIENCE, daemon.double.end.notified()).await.unwrap();
    assert_eq!(daemon.double.ended.load(Ordering::SeqCst), 1);
    daemon.serves().await;
    daemon.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_no_work() {
    let daemon = Daemon::start().await;
    let mut stream = UnixStream::connect(&daemon.path).await.unwrap();
    stream.write_all(&encode_ask(&rotate()).unwrap()).await.unwrap();
    daemon.double.go.notify_one();
    tokio::time::timeout(PATIENCE, daemon.double.end.notified()).await.unwrap();
    daemon.serves().await;
    drop(stream);
    daemon.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_cut_is_gone_and_not_done() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let cutting = tokio::spawn(async move {
        for reply in [
            &b"{\"v\":1,\"done\":{\"pid\":1,\"version\":\"x\",\"environment\":\"e\"}}\n"[..],
            b"{\"v\":1,\"item\":1}\n{\"v\":1,",
        ] {
            // `reach` connects twice: once to see whether anybody listens.
            if reply.starts_with(b"{\"v\":1,\"done\"") {
                drop(listener.accept().await.unwrap());
            }
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _read = stream.read(&mut request).await.unwrap();
            stream.write_all(reply).await.unwrap();
        }
    });
    let Reached::Daemon(client, _) = Client::reach(&path).await.unwrap() else { panic!("nobody answers") };
    let gone = client.ask(&rotate(), PATIENCE, &mut |_| {}).await.unwrap_err();
    assert!(matches!(gone, AskError::Gone(detail) if detail.contains("ended before it had answered")));
    cutting.await.unwrap();
}

#[tokio::test]
async fn nobody_there_is_told_from_somebody_who_refuses() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    assert!(matches!(Client::reach(&path).await, Ok(Reached::Nobody)));
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(matches!(Client::reach(&path).await, Ok(Reached::Nobody)), "the socket of a dead daemon");
}

#[tokio::test]
async fn a_dead_socket_is_replaced_and_a_live_one_or_a_file_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = Server::bind(&path).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let second = Server::bind(&path).await.err().unwrap();
    assert!(second.to_string().contains("a daemon answers there already"), "{second}");
    assert!(path.exists());
    drop(server);
    assert!(!path.exists());
    std::fs::write(&path, "precious").unwrap();
    assert!(Server::bind(&path).await.err().unwrap().to_string().contains("no socket stands there"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    let nowhere = Server::bind(Path::new("/nonexistent-for-sure/s")).await.err().unwrap();
    assert!(nowhere.to_string().contains("RuntimeDirectory"), "{nowhere}");
}

#[tokio::test]
async fn the_end_of_the_daemon_waits_for_requests_under_way() {
    let daemon = Daemon::start().await;
    let client = daemon.client().await;
    let asking = tokio::spawn(async move {
        let mut items = 0;
        client.ask(&rotate(), PATIENCE, &mut |_| items += 1).await.map(|_| items)
    });
    daemon.double.begun.notified().await;
    daemon.closing.cancel();
    daemon.double.go.notify_one();
    assert_eq!(tokio::time::timeout(PATIENCE, asking).await.unwrap().unwrap(), Ok(200));
    daemon.stop().await;
}
