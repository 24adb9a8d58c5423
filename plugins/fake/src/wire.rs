//! HTTP/1.1 on a loopback socket, by hand: only so can a socket be dropped at exactly the moment a script says.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use cutover_api::{Secret, Stamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::fault::Gate;

/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 16 * 1_024;
/// The longest body of a request, in bytes.
const MAX_BODY: usize = 1_024 * 1_024;

/// A request.
pub(crate) struct Request {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// A header's value; the name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The bearer credential.
    pub(crate) fn bearer(&self) -> Option<Secret> {
        self.header("authorization")?.strip_prefix("Bearer ").map(|value| Secret::new(value.to_owned()))
    }

    /// The path's segments.
    pub(crate) fn segments(&self) -> Vec<&str> {
        self.path.split('/').filter(|part| !part.is_empty()).collect()
    }

    /// The body as a JSON object; empty when it is none.
    pub(crate) fn json(&self) -> serde_json::Map<String, serde_json::Value> {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A reply.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// A reply with a JSON body.
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        let headers = vec![("Content-Type", "application/json".to_owned())];
        Self { status, headers, body: body.to_string().into_bytes() }
    }

    /// A reply with `{"error": code}`.
    pub(crate) fn error(status: u16, code: &str) -> Self {
        Self::json(status, &serde_json::json!({ "error": code }))
    }

    /// A reply without a body.
    pub(crate) const fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// The same with a header.
    pub(crate) fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    fn head(&self, length: usize) -> Vec<u8> {
        use std::fmt::Write;
        let mut head = format!("HTTP/1.1 {} Double\r\n", self.status);
        if self.status != 204 {
            let _ = write!(head, "Content-Length: {length}\r\n");
        }
        for (name, value) in &self.headers {
            // Writing into a String cannot fail.
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

/// The `Date` header for a point in time.
pub(crate) fn http_date(at: Stamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map(|at| at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()).unwrap_or_default()
}

/// How a reply is handed over.
pub(crate) enum Delivery {
    /// As it should be.
    Whole(Reply),
    /// The head and so many bytes of the body, then the socket is dropped.
    Cut(Reply, usize),
    /// With a body of so many bytes in all.
    Huge(Reply, usize),
    /// The socket is dropped.
    Drop,
    /// Nothing until the gate opens or the caller goes; then this reply, or the socket dropped.
    Held(Gate, Option<Reply>),
}

/// Answers requests.
pub(crate) trait Service: Send + Sync + 'static {
    /// Answers one.
    fn call(&self, request: Request) -> impl Future<Output = Delivery> + Send;
}

/// A listening double; dropping it ends it and every connection it has.
pub(crate) struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens on a free port of 127.0.0.1.
    pub(crate) async fn bind() -> io::Result<TcpListener> {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await
    }

    /// Serves on this listener.
    pub(crate) fn start(listener: TcpListener, service: Arc<impl Service>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        Ok(Self { address, task: tokio::spawn(accept(listener, service)) })
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, service: Arc<impl Service>) {
    // Aborting this task drops the set, and with it every connection.
    let mut connections = JoinSet::new();
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            connections.spawn(converse(stream, Arc::clone(&service)));
        } else {
            tokio::task::yield_now().await;
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(mut stream: TcpStream, service: Arc<impl Service>) {
    // Small replies must not wait for the caller's acknowledgement.
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    while let Ok(Some(request)) = read(&mut stream, &mut buffer).await {
        let delivery = service.call(request).await;
        if !matches!(deliver(&mut stream, delivery).await, Ok(true)) {
            return;
        }
    }
}

/// The next request; `None` when the caller has gone or what it says is not a request we take.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at + 4;
        }
        if buffer.len() > MAX_HEAD || stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let Some(mut request) = parse(&head) else { return Ok(None) };
    let length = match request.header("content-length").map(str::parse::<usize>) {
        None => 0,
        Some(Ok(length)) if length <= MAX_BODY => length,
        Some(_) => return Ok(None),
    };
    while buffer.len() < end + length {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    request.body = buffer[end..end + length].to_vec();
    buffer.drain(..end + length);
    Ok(Some(request))
}

fn parse(head: &str) -> Option<Request> {
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    if words.next() != Some("HTTP/1.1") || !target.starts_with('/') {
        return None;
    }
    let mut headers = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    if headers.iter().any(|(name, _)| name == "transfer-encoding") {
        return None;
    }
    let path = target.split('?').next()?.to_owned();
    Some(Request { method: method.to_owned(), path, headers, body: Vec::new() })
}

/// Hands a reply over; whether the connection lives on.
async fn deliver(stream: &mut TcpStream, delivery: Delivery) -> io::Result<bool> {
    match delivery {
        Delivery::Whole(reply) => whole(stream, &reply).await,
        Delivery::Drop => Ok(false),
        Delivery::Cut(reply, bytes) => {
            let mut sent = reply.head(reply.body.len());
            sent.extend_from_slice(&reply.body[..bytes.min(reply.body.len())]);
            stream.write_all(&sent).await?;
            Ok(false)
        }
        Delivery::Huge(reply, bytes) => {
            const OPEN: &[u8] = b"{\"padding\":\"";
            const CLOSE: &[u8] = b"\"}";
            let length = bytes.max(OPEN.len() + CLOSE.len());
            stream.write_all(&reply.head(length)).await?;
            stream.write_all(OPEN).await?;
            let mut left = length - OPEN.len() - CLOSE.len();
            while left > 0 {
                let chunk = left.min(64 * 1_024);
                stream.write_all(&vec![b'x'; chunk]).await?;
                left -= chunk;
            }
            stream.write_all(CLOSE).await?;
            Ok(true)
        }
        Delivery::Held(gate, reply) => {
            let mut byte = [0];
            tokio::select! {
                () = gate.pass() => match reply {
                    Some(reply) => whole(stream, &reply).await,
                    None => Ok(false),
                },
                // The caller has given up (or talks out of turn): either way this conversation is over.
                _ = stream.read(&mut byte) => Ok(false),
            }
        }
    }
}

async fn whole(stream: &mut TcpStream, reply: &Reply) -> io::Result<bool> {
    let mut sent = reply.head(reply.body.len());
    sent.extend_from_slice(&reply.body);
    stream.write_all(&sent).await?;
    Ok(true)
}
