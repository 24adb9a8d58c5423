//! The demo's side of every line that cutover calls: the deployer, the applications' health pages, the mail room.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use cutover_api::Message;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use super::app::{App, Restart};

/// More than any alert has.
const LONGEST: usize = 256 * 1_024;
/// How long one conversation may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A listener on 127.0.0.1; dropped, it is gone with every conversation.
pub(super) struct Desk {
    work: JoinHandle<()>,
}

struct Lines {
    apps: BTreeMap<String, Arc<App>>,
    alerts: mpsc::UnboundedSender<Message>,
}

impl Desk {
    /// Binds a free port; with its base URL. Nobody is answered before [`Desk::serve`].
    pub(super) async fn bind() -> io::Result<(TcpListener, String)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let base_url = format!("http://{}", listener.local_addr()?);
        Ok((listener, base_url))
    }

    /// Answers for these applications from now on; alerts go to `alerts`.
    pub(super) fn serve(
        listener: TcpListener,
        apps: BTreeMap<String, Arc<App>>,
        alerts: mpsc::UnboundedSender<Message>,
    ) -> Self {
        let lines = Arc::new(Lines { apps, alerts });
        let work = tokio::spawn(async move {
            let mut open = JoinSet::new();
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    let lines = Arc::clone(&lines);
                    open.spawn(async move { tokio::time::timeout(PATIENCE, lines.converse(stream)).await });
                } else {
                    tokio::task::yield_now().await;
                }
                while open.try_join_next().is_some() {}
            }
        });
        Self { work }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl Lines {
    /// One request, one reply.
    async fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        let Some((method, path, body)) = request(&mut stream).await? else { return Ok(()) };
        let parts: Vec<_> = path.split('/').skip(1).collect();
        let (status, reply) = match (method.as_str(), parts.as_slice()) {
            ("POST", ["apps", name, "restart"]) => self.restart(name).await,
            ("GET", ["apps", name, "health"]) => self.health(name).await,
            ("POST", ["alerts"]) => self.alert(&body),
            _ => ("404 Not Found", json!({ "error": "not_found" })),
        };
        let reply = reply.to_string();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            reply.len()
        );
        stream.write_all(format!("{head}{reply}").as_bytes()).await?;
        stream.shutdown().await
    }

    async fn restart(&self, name: &str) -> (&'static str, serde_json::Value) {
        let Some(app) = self.apps.get(name) else { return ("404 Not Found", json!({ "error": "not_found" })) };
        match app.restart().await {
            Ok(Restart::Done) => ("200 OK", json!({ "restarted": name })),
            Ok(Restart::Frozen) => ("423 Locked", json!({ "error": "deployments_frozen" })),
            Err(_) => ("500 Internal Server Error", json!({ "error": "not_started" })),
        }
    }

    async fn health(&self, name: &str) -> (&'static str, serde_json::Value) {
        match self.apps.get(name) {
            Some(app) => ("200 OK", json!({ "fingerprints": app.fingerprints().await })),
            None => ("404 Not Found", json!({ "error": "not_found" })),
        }
    }

    fn alert(&self, body: &[u8]) -> (&'static str, serde_json::Value) {
        let Ok(message) = serde_json::from_slice(body) else { return ("400 Bad Request", json!({ "error": "no_alert" })) };
        // The story is over where nobody listens any more.
        match self.alerts.send(message) {
            Ok(()) => ("200 OK", json!({ "taken": true })),
            Err(_) => ("503 Service Unavailable", json!({ "error": "closed" })),
        }
    }
}

/// Method, path and body; `None` where it is no request.
async fn request(stream: &mut TcpStream) -> io::Result<Option<(String, String, Vec<u8>)>> {
    let mut buffer = Vec::new();
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at + 4;
        }
        if buffer.len() > LONGEST || stream.read_buf(&mut buffer).await? == 0 {
            return Ok(None);
        }
    };
    let mut body = buffer.split_off(end);
    let head = String::from_utf8_lossy(&buffer).into_owned();
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
    let header = |line: &str| {
        line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))?.1.trim().parse().ok()
    };
    let length: usize = lines.find_map(header).unwrap_or(0);
    if length > LONGEST {
        return Ok(None);
    }
    while body.len() < length {
        if stream.read_buf(&mut body).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some((method.to_owned(), path.to_owned(), body)))
}
