//! The command line's end of the socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cutover_api::Secret;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::frame;
use super::wire::{Ask, Hello, LONGEST_LINE, Line, Refused, encode_ask};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How often a daemon that has no place is asked, and the wait between two tries.
const BUSY_TRIES: usize = 40;
const BUSY_WAIT: Duration = Duration::from_millis(250);

/// A daemon that answers at a socket.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
}

/// What stands behind a socket's path.
#[derive(Debug)]
pub enum Reached {
    /// A daemon.
    Daemon(Client, Hello),
    /// None: there is no socket, or nobody listens.
    Nobody,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskError {
    /// Nobody listens any more, or the answer was cut: whether it was done is not known.
    Gone(String),
    /// Refused.
    Refused(Refused),
}

impl Client {
    /// Looks who answers at `path`.
    ///
    /// # Errors
    /// Somebody is there but does not answer, or not to us.
    pub async fn reach(path: &Path) -> Result<Reached, Refused> {
        let client = Self { path: path.to_owned() };
        match client.connect().await {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused) => {
                return Ok(Reached::Nobody);
            }
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                let why = format!("the control socket {} is not open to you: be root or in group cutover", path.display());
                return Err(Refused::guard(why));
            }
            Err(error) => {
                return Err(Refused::failed(format!("the control socket {} does not answer ({error})", path.display())));
            }
        }
        match client.ask(&Ask::Hello {}, CONNECT, &mut |_| {}).await {
            Ok(done) => match serde_json::from_value(done) {
                Ok(hello) => Ok(Reached::Daemon(client, hello)),
                Err(_) => Err(Refused::failed("what answers at the control socket is not this version of cutover")),
            },
            Err(AskError::Refused(refused)) => Err(refused),
            // It went away between the two connections.
            Err(AskError::Gone(_)) if matches!(client.connect().await, Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused) => {
                Ok(Reached::Nobody)
            }
            Err(AskError::Gone(detail)) => Err(Refused::failed(detail)),
        }
    }

    async fn connect(&self) -> std::io::Result<UnixStream> {
        tokio::time::timeout(CONNECT, UnixStream::connect(&self.path))
            .await
            .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut)))
    }

    /// Asks, hands every item to `on_item` and returns what it was done with. `idle`: the longest silence. A daemon that has no place at
    /// the moment has done nothing: it is asked again for a while.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask(&self, ask: &Ask, idle: Duration, on_item: &mut (dyn FnMut(Value) + Send)) -> Result<Value, AskError> {
        for _ in 1..BUSY_TRIES {
            match self.exchange(ask, None, idle, on_item).await {
                Err(AskError::Refused(refused)) if refused.is_busy() => tokio::time::sleep(BUSY_WAIT).await,
                answer => return answer,
            }
        }
        self.exchange(ask, None, idle, on_item).await
    }

    /// The same for an [`Ask::Submit`]: the value goes over when the daemon asks for it, once it has said that it would be taken.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn submit(&self, ask: &Ask, value: &Secret, idle: Duration) -> Result<Value, AskError> {
        for _ in 1..BUSY_TRIES {
            match self.exchange(ask, Some(value), idle, &mut |_| {}).await {
                Err(AskError::Refused(refused)) if refused.is_busy() => tokio::time::sleep(BUSY_WAIT).await,
                answer => return answer,
            }
        }
        self.exchange(ask, Some(value), idle, &mut |_| {}).await
    }

    async fn exchange(
        &self,
        ask: &Ask,
        mut value: Option<&Secret>,
        idle: Duration,
        on_item: &mut (dyn FnMut(Value) + Send),
    ) -> Result<Value, AskError> {
        let gone = |what: &str| AskError::Gone(format!("the daemon at {} {what}", self.path.display()));
        let request = encode_ask(ask).map_err(AskError::Refused)?;
        let stream = self.connect().await.map_err(|error| gone(&format!("cannot be reached ({error})")))?;
        let (read, mut write) = stream.into_split();
        // A daemon that has turned us away does not read; its line is there all the same.
        let sent = tokio::time::timeout(idle, write.write_all(&request)).await;
        let unsent = !matches!(sent, Ok(Ok(())));
        let mut reader = BufReader::new(read);
        loop {
            let mut line = Vec::new();
            let limit = u64::try_from(LONGEST_LINE).unwrap_or(u64::MAX);
            let mut bounded = (&mut reader).take(limit);
            match tokio::time::timeout(idle, bounded.read_until(b'\n', &mut line)).await {
                Ok(Ok(_)) if line.last() == Some(&b'\n') => {}
                Ok(Ok(_) | Err(_)) if unsent => return Err(gone("did not take the request: nothing was done")),
                Ok(Ok(_) | Err(_)) => return Err(gone("ended before it had answered")),
                Err(_) => return Err(gone("is silent")),
            }
            match Line::decode(&line).map_err(|detail| AskError::Refused(Refused::failed(detail)))? {
                Line::Item(item) => match value.filter(|value| frame::asked(&item) == Some(value.expose().len())) {
                    Some(asked) => {
                        value = None;
                        let sent = tokio::time::timeout(idle, frame::send(&mut write, asked)).await;
                        if !matches!(sent, Ok(Ok(()))) {
                            return Err(gone("did not take the value"));
                        }
                    }
                    None => on_item(item),
                },
                Line::Done(done) => return Ok(done),
                Line::Refused(refused) => return Err(AskError::Refused(refused)),
            }
        }
    }
}
