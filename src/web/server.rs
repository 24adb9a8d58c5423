//! The HTTP end. Whatever a client does (hang, flood, never read), it costs at most its own connection for half a minute.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cutover_config::Listen;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};

use super::fresh::Fresh;
use super::guard::{Way, judge};
use super::listener::{Door, Stream};
use super::page::{self, Asked};
use super::{Chronicle, Picture, Source, metrics};

/// Connections at once.
const CONNECTIONS: usize = 128;
/// The head of a request must have come within this.
const HEAD: Duration = Duration::from_secs(5);
/// A connection ends after this, whatever is still to be read or sent.
const WHOLE: Duration = Duration::from_secs(30);
/// The head of a request in bytes, and its header lines.
const LARGEST_HEAD: usize = 16 * 1024;
const HEADERS: usize = 64;
/// After each page the next one waits so long: a flood of pages leaves the processor to the rotations.
const REST: Duration = Duration::from_millis(10);
/// An address that cannot be bound is tried again after this.
const AGAIN: Duration = Duration::from_secs(30);

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

type Reply = Response<Full<Bytes>>;

/// Serves on `listen` until `shutdown`. Rotations do not depend on it: where it cannot be opened, that is told and tried again.
pub async fn serve(listen: Listen, source: Arc<dyn Source>, shutdown: CancellationToken) {
    let server = Server::new(source);
    let mut told = false;
    loop {
        match Door::open(&listen).await {
            Ok(door) => {
                let page = if listen.is_local() { "status page, /metrics, /healthz" } else { "/metrics, /healthz" };
                info!(%listen, page, "seen from outside");
                return server.serve(door, shutdown).await;
            }
            Err(error) if !told => {
                told = true;
                error!(%error, "no status page, /metrics or /healthz; rotations go on without them, and it is tried again every 30 s");
            }
            Err(error) => debug!(%error, "still not listening"),
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// Answers requests from a source. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    site: Arc<Site>,
}

struct Site {
    source: Arc<dyn Source>,
    picture: Fresh<Arc<Picture>>,
    year: Fresh<Result<Arc<Chronicle>, String>>,
    metrics: Fresh<Bytes>,
    lives: Fresh<bool>,
    pages: Arc<Semaphore>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Server {
    /// A server of this source.
    #[must_use]
    pub fn new(source: Arc<dyn Source>) -> Self {
        let site = Site {
            source,
            picture: Fresh::default(),
            year: Fresh::default(),
            metrics: Fresh::default(),
            lives: Fresh::default(),
            pages: Arc::new(Semaphore::new(1)),
            headers: headers(),
        };
        Self { site: Arc::new(site) }
    }

    /// Serves until `shutdown`; then the answers under way are ended.
    pub async fn serve(self, door: Door, shutdown: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let tasks = TaskTracker::new();
        let way = door.way();
        loop {
            let accepted = tokio::select! {
                accepted = door.accept() => accepted,
                () = shutdown.cancelled() => break,
            };
            match (accepted, Arc::clone(&places).try_acquire_owned()) {
                (Ok(stream), Ok(place)) => {
                    let (server, shutdown) = (self.clone(), shutdown.clone());
                    tasks.spawn(async move {
                        server.connection(stream, way, shutdown).await;
                        drop(place);
                    });
                }
                (Ok(_), Err(_)) => debug!("too many connections: one is turned away"),
                (Err(error), _) => {
                    // Out of file descriptors, most likely: they come back when others are closed.
                    warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(door);
        tasks.close();
        tasks.wait().await;
    }

    async fn connection(&self, stream: Box<dyn Stream>, way: Way, shutdown: CancellationToken) {
        let site = Arc::clone(&self.site);
        let service = service_fn(move |request: Request<Incoming>| {
            let site = Arc::clone(&site);
            async move { Ok::<_, Infallible>(site.answer(&request, way).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(LARGEST_HEAD)
            .max_headers(HEADERS)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let whole = tokio::time::sleep(WHOLE);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = whole => return debug!("a connection took too long and was ended"),
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                match tokio::time::timeout(HEAD, connection).await {
                    Ok(ended) => ended,
                    Err(_) => return,
                }
            }
        };
        if let Err(error) = ended {
            debug!(%error, "a connection ended early");
        }
    }
}

impl Site {
    async fn answer(&self, request: &Request<Incoming>, way: Way) -> Reply {
        let uri = request.uri();
        if let Err((status, why)) = judge(request.method(), uri, request.headers(), way) {
            return self.reply(status, TEXT, format!("{why}\n"));
        }
        match uri.path() {
            "/healthz" => self.healthz().await,
            "/metrics" => {
                let body = self.metrics.get(async { metrics::text(&*self.picture().await).into() }).await;
                self.reply(StatusCode::OK, metrics::TYPE, body)
            }
            _ if !way.is_local() => self.reply(StatusCode::NOT_FOUND, TEXT, "Here are /metrics and /healthz only.\n"),
            "/" => self.overview(uri.query().unwrap_or_default()).await,
            path => match path.strip_prefix("/policy/") {
                Some(name) => self.policy(name).await,
                None => self.nothing().await,
            },
        }
    }

    async fn picture(&self) -> Arc<Picture> {
        self.picture.get(async { Arc::new(self.source.picture().await) }).await
    }

    async fn year(&self) -> Result<Arc<Chronicle>, String> {
        self.year.get(self.source.year()).await
    }

    async fn healthz(&self) -> Reply {
        if self.lives.get(self.source.lives()).await {
            self.reply(StatusCode::OK, TEXT, "ok\n")
        } else {
            self.reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the daemon's loop does not turn, or it is ending\n")
        }
    }

    async fn overview(&self, query: &str) -> Reply {
        let asked = Asked::parse(query);
        self.paced(async {
            let (picture, year) = (self.picture().await, self.year().await);
            self.html(StatusCode::OK, page::overview(&picture, year.as_deref(), &asked))
        })
        .await
    }

    async fn policy(&self, name: &str) -> Reply {
        self.paced(async {
            let picture = self.picture().await;
            let Some(status) = picture.policies.iter().find(|status| status.policy == name) else {
                return self.html(StatusCode::NOT_FOUND, page::nothing(&picture));
            };
            let (year, detail) = (self.year().await, self.source.detail(name).await);
            self.html(StatusCode::OK, page::policy(&picture, status, year.as_deref(), &detail))
        })
        .await
    }

    async fn nothing(&self) -> Reply {
        self.html(StatusCode::NOT_FOUND, page::nothing(&*self.picture().await))
    }

    /// One page at a time, and a rest after each.
    async fn paced(&self, make: impl Future<Output = Reply>) -> Reply {
        let Ok(place) = Arc::clone(&self.pages).acquire_owned().await else { return make.await };
        let reply = make.await;
        tokio::spawn(async move {
            tokio::time::sleep(REST).await;
            drop(place);
        });
        reply
    }

    fn html(&self, status: StatusCode, page: Result<String, askama::Error>) -> Reply {
        match page {
            Ok(page) => self.reply(status, HTML, page),
            Err(error) => {
                error!(%error, "a page could not be made");
                self.reply(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "The page could not be made; see the log.\n")
            }
        }
    }

    fn reply(&self, status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Reply {
        let mut reply = Response::new(Full::new(body.into()));
        *reply.status_mut() = status;
        let headers = reply.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        headers.extend(self.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        reply
    }
}

/// What every answer bears.
fn headers() -> Vec<(HeaderName, HeaderValue)> {
    let policy = format!(
        "default-src 'none'; style-src '{}'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        page::style_hash()
    );
    let fixed = [
        ("cache-control", "no-store"),
        ("content-security-policy", policy.as_str()),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ];
    let header =
        |(name, value): (&'static str, &str)| Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?));
    fixed.into_iter().filter_map(header).collect()
}
