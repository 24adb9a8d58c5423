//! The daemon's end of the socket. Whatever a client does (hang, flood, talk garbage, go away), it costs at most its own connection.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cutover_api::Secret;
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::frame;
use super::people::{Access, GROUP, Peer, People, supplementary};
use super::places::{Places, Ticket};
use super::socket::{BindError, Socket, SocketFile};
use super::wire::{Ask, LONGEST_LINE, Line, Refused, decode_ask};

/// A request must have come whole within this, and a line of the reply be taken.
const DEADLINE: Duration = Duration::from_secs(10);
/// Items that wait to be sent.
const WAITING: usize = 64;

/// Does what is asked for.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. What it has begun it ends, also when nobody listens any more.
    ///
    /// # Errors
    /// Why nothing was done, or what failed.
    async fn handle(&self, ask: Ask, actor: &str, items: &Items) -> Result<Value, Refused>;

    /// Answers an [`Ask::Submit`], whose value has come. [`Handler::handle`] has been asked about it before and has not refused.
    ///
    /// # Errors
    /// Why it was not taken.
    async fn submit(&self, ask: Ask, value: Secret, actor: &str) -> Result<Value, Refused> {
        let _ = (ask, value, actor);
        Err(Refused::usage("no value is taken here"))
    }
}

/// Where the items of an answer go.
#[derive(Clone)]
pub struct Items(mpsc::Sender<Value>);

impl Items {
    /// Items and their receiving end.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Value>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), receiver)
    }

    /// Sends one item. Nobody listening is no fault.
    pub async fn send(&self, item: &(impl Serialize + Sync)) {
        if let Ok(item) = serde_json::to_value(item) {
            // A receiver that is gone wants no more items.
            let _gone = self.0.send(item).await;
        }
    }
}

/// The open socket. Its file is removed when it is dropped.
pub struct Server {
    listener: UnixListener,
    access: Access,
    _file: SocketFile,
}

impl Server {
    /// Opens the socket at `path`; see [`Socket::open`].
    ///
    /// # Errors
    /// A live daemon has it, something else stands there, or the system refuses.
    pub async fn bind(path: &Path) -> Result<Self, BindError> {
        Self::bind_for(path, &People::read()).await
    }

    /// The same with the group as these files know it.
    pub(super) async fn bind_for(path: &Path, people: &People) -> Result<Self, BindError> {
        let Socket { listener, group, file } = Socket::open(path, "control", people).await?;
        Ok(Self { listener, access: Access { group, ..Access::own() }, _file: file })
    }

    /// Serves until `shutdown`; then the requests under way are ended.
    pub async fn serve(self, handler: Arc<dyn Handler>, shutdown: CancellationToken) {
        let places = Places::new();
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = shutdown.cancelled() => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: they come back when others are closed.
                    warn!(%error, "a connection to the control socket was not accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let connection = Connection { handler: Arc::clone(&handler), access: self.access, places: Arc::clone(&places) };
            match stream.peer_cred() {
                Ok(cred) => {
                    let peer = Peer { uid: cred.uid(), gid: cred.gid(), pid: cred.pid() };
                    let ticket = places.wait(peer.uid);
                    drop(tasks.spawn(async move { connection.serve(stream, peer, ticket).await }));
                }
                Err(error) => debug!(%error, "the kernel does not say who connects"),
            }
        }
        tasks.close();
        tasks.wait().await;
    }
}

/// One accepted connection.
struct Connection {
    handler: Arc<dyn Handler>,
    access: Access,
    places: Arc<Places>,
}

impl Connection {
    async fn serve(&self, stream: UnixStream, peer: Peer, ticket: Ticket) {
        let (read, mut write) = stream.into_split();
        let people = People::read();
        if !self.access.allows(peer, &people, || supplementary(peer.pid)) {
            info!(uid = peer.uid, "refused at the control socket");
            let why = format!("{} may not act here: be root or in group {GROUP}", people.actor(peer.uid));
            send(&mut write, &Line::Refused(Refused::guard(why))).await;
            return;
        }
        let asked = tokio::select! {
            biased;
            asked = request(read) => asked,
            () = ticket.evicted() => Some(Err(Refused::busy())),
        };
        drop(ticket);
        let (ask, mut read) = match asked {
            Some(Ok(asked)) => asked,
            Some(Err(refused)) => {
                send(&mut write, &Line::Refused(refused)).await;
                return;
            }
            None => return,
        };
        let Some(_place) = self.places.answer(peer.uid, self.access.is_own(peer)).await else {
            send(&mut write, &Line::Refused(Refused::busy())).await;
            return;
        };
        let actor = people.actor(peer.uid);
        let (items, mut receiver) = Items::channel();
        let answering = async {
            let result = self.answer(ask, &actor, &items, &mut read).await;
            drop(items);
            match result {
                Ok(done) => Line::Done(done),
                Err(refused) => Line::Refused(refused),
            }
        };
        let sending = async {
            let mut listens = true;
            while let Some(item) = receiver.recv().await {
                // What was begun goes on when the client is gone; only the rest of its answer is dropped.
                listens = listens && send(&mut write, &Line::Item(item)).await;
            }
            (write, listens)
        };
        let (last, (mut write, listens)) = tokio::join!(answering, sending);
        if listens {
            send(&mut write, &last).await;
        }
    }
}

impl Connection {
    /// A `submit` is looked at twice: before its value is asked for, and with it.
    async fn answer(&self, ask: Ask, actor: &str, items: &Items, read: &mut OwnedReadHalf) -> Result<Value, Refused> {
        let Ask::Submit { bytes, .. } = ask else { return self.handler.handle(ask, actor, items).await };
        frame::check_length(bytes)?;
        self.handler.handle(ask.clone(), actor, items).await?;
        items.send(&frame::go_ahead(bytes)).await;
        let value = frame::receive(read, bytes, DEADLINE).await?;
        self.handler.submit(ask, value, actor).await
    }
}

/// The request of a connection, and what it may go on with; `None` when there is none and nobody to tell.
async fn request(read: OwnedReadHalf) -> Option<Result<(Ask, OwnedReadHalf), Refused>> {
    let limit = u64::try_from(LONGEST_LINE).unwrap_or(u64::MAX);
    let mut reader = BufReader::new(read.take(limit));
    let mut line = Vec::new();
    let whole = tokio::time::timeout(DEADLINE, tokio::io::AsyncBufReadExt::read_until(&mut reader, b'\n', &mut line)).await;
    match whole {
        Ok(Ok(0) | Err(_)) => None,
        Ok(Ok(_)) if line.last() == Some(&b'\n') => match decode_ask(&line) {
            // A value that came before it was asked for lies in a buffer that is not wiped: it is not taken.
            Ok(Ask::Submit { .. }) if !reader.buffer().is_empty() => {
                Some(Err(Refused::usage("the request is followed by something that was not asked for")))
            }
            decoded => Some(decoded.map(|ask| (ask, reader.into_inner().into_inner()))),
        },
        Ok(Ok(_)) if line.len() >= LONGEST_LINE => Some(Err(Refused::usage("the request is longer than 64 KiB"))),
        Ok(Ok(_)) => None,
        Err(_) => Some(Err(Refused::usage("the request did not come within 10 s"))),
    }
}

/// Sends one line; whether the client took it.
async fn send(write: &mut OwnedWriteHalf, line: &Line) -> bool {
    matches!(tokio::time::timeout(DEADLINE, write.write_all(&line.encode())).await, Ok(Ok(())))
}
