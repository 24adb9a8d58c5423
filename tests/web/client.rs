//! A client that sends what it likes.

use std::path::Path;
use std::sync::Arc;

use cutover::web::{Door, Server, Source};
use cutover_config::Listen;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::sync::CancellationToken;

/// A server on loopback that ends with the test.
pub struct Site {
    pub port: u16,
    _end: tokio_util::sync::DropGuard,
}

impl Site {
    pub async fn of(source: impl Source) -> Self {
        let listen = Listen::Tcp("127.0.0.1:0".parse().expect("an address"));
        let door = Door::open(&listen).await.expect("a port");
        let port = door.address().expect("bound").port();
        let end = CancellationToken::new();
        tokio::spawn(Server::new(Arc::new(source)).serve(door, end.clone()));
        Self { port, _end: end.drop_guard() }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.expect("connected")
    }

    /// Gets a path as a browser on this machine does.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", self.port)).await
    }

    /// Sends bytes as they are.
    pub async fn send(&self, request: &str) -> Reply {
        exchange(self.connect().await, request).await
    }
}

/// What came back.
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Over a Unix socket.
pub async fn over_unix(path: &Path, request: &str) -> Reply {
    exchange(UnixStream::connect(path).await.expect("connected"), request).await
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Reply {
    // The server may answer and close before it has read all of it.
    let _cut = stream.write_all(request.as_bytes()).await;
    let mut bytes = Vec::new();
    let _cut = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Reply { status, head: head.to_owned(), body: body.to_owned() }
}
