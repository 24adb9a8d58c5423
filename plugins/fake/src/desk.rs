//! What every HTTP double has in common: its script, its counters, its log, its sessions.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cutover_api::{Clock, Secret, Span, Stamp};
use serde_json::json;

use crate::book::Book;
use crate::dice::{Dice, sha256};
use crate::fault::{CallKind, Fault, Gate, How, Quirks, Script};
use crate::wire::{Delivery, Reply, Request, Server, Service, http_date};

/// How many requests the log remembers.
const LOGGED: usize = 65_536;

/// One request as the log shows it. Never a secret: a path segment that looks like a key is withheld, queries and bodies are not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// When, by the double's clock.
    pub at: Stamp,
    /// What kind of call; `None` for a path the double does not serve.
    pub kind: Option<CallKind>,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The status decided on; `None` where none was (the request was thrown away). Written before the reply is handed over.
    pub status: Option<u16>,
    /// The faults that held, by name.
    pub faults: Vec<&'static str>,
}

/// How many calls of which kind a double has received, whatever became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls that ask for a new key.
    pub mints: u64,
    /// Lists.
    pub lists: u64,
    /// Calls that ask for a key's end.
    pub revokes: u64,
    /// Calls made with a key: probes and uses.
    pub probes: u64,
    /// Of those, refused because the key is known but dead or not yet accepted.
    pub refused_dead: u64,
    /// Of those, refused because the key is nobody's.
    pub refused_unknown: u64,
    /// Management calls refused for their session credential.
    pub unauthorized: u64,
}

/// Where a request goes.
pub(crate) struct Route {
    pub(crate) kind: CallKind,
    /// It takes a session credential.
    pub(crate) managed: bool,
}

/// What a double is told with a request.
pub(crate) struct Asked<'a> {
    pub(crate) request: &'a Request,
    pub(crate) quirks: &'a Quirks,
    pub(crate) now: Stamp,
    pub(crate) dice: &'a mut Dice,
    pub(crate) counts: &'a mut Counts,
}

/// The part of a double that differs from the others.
pub(crate) trait Model: Send + 'static {
    /// Where a request goes; `None` where there is nothing.
    fn route(&self, request: &Request) -> Option<Route>;

    /// Carries a request out.
    fn answer(&mut self, asked: Asked<'_>) -> Reply;

    /// The keys.
    fn book(&self) -> &Book;
}

pub(crate) struct State<M> {
    pub(crate) model: M,
    pub(crate) dice: Dice,
    counts: Counts,
    script: Script<CallKind, How>,
    sessions: Vec<([u8; 32], Stamp)>,
    log: VecDeque<Logged>,
}

/// The shared state of a running double.
pub(crate) struct Desk<M> {
    pub(crate) clock: Arc<dyn Clock>,
    state: Mutex<State<M>>,
}

impl<M: Model> Desk<M> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State<M>> {
        // A test that panicked while it held the lock must not hide its own message behind ours.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries a request out now and answers it.
    fn apply(&self, request: &Request, route: &Route, quirks: &Quirks) -> Reply {
        let now = self.clock.now();
        let mut state = self.lock();
        let State { model, dice, counts, sessions, .. } = &mut *state;
        if route.managed && !authorized(sessions, request, now) {
            counts.unauthorized += 1;
            return Reply::error(401, "session_expired");
        }
        model.answer(Asked { request, quirks, now, dice, counts })
    }

    fn note(&self, request: &Request, kind: Option<CallKind>, status: Option<u16>, faults: Vec<&'static str>) {
        let at = self.clock.now();
        let mut state = self.lock();
        if state.log.len() == LOGGED {
            state.log.pop_front();
        }
        let path = request.path.split('/').map(|part| if looks_secret(part) { "(withheld)" } else { part });
        let path = path.collect::<Vec<_>>().join("/");
        state.log.push_back(Logged { at, kind, method: request.method.clone(), path, status, faults });
    }

    /// Decides what becomes of a request: what takes effect, and what the caller gets to see.
    async fn handle(&self, request: Request) -> Delivery {
        let Some(route) = self.lock().model.route(&request) else {
            self.note(&request, None, Some(404), Vec::new());
            return Delivery::Whole(Reply::error(404, "not_found"));
        };
        let faults = self.admit(&route);
        let labels: Vec<_> = faults.iter().map(How::label).collect();
        let (quirks, wire) = Quirks::part(faults);
        if let Some(How::Delay(gate)) = &wire {
            gate.pass().await;
        }
        let (status, delivery) = self.bend(&request, &route, &quirks, wire);
        self.note(&request, Some(route.kind), status, labels);
        delivery
    }

    /// Counts a request and takes its faults from the script.
    fn admit(&self, route: &Route) -> Vec<How> {
        let now = self.clock.now();
        let mut state = self.lock();
        match route.kind {
            CallKind::Mint => state.counts.mints += 1,
            CallKind::List => state.counts.lists += 1,
            CallKind::Revoke => state.counts.revokes += 1,
            CallKind::Probe => state.counts.probes += 1,
            _ => {}
        }
        let faults = state.script.take(route.kind, Quirks::is_wire);
        if faults.iter().any(|how| matches!(how, How::CredentialExpired)) {
            state.sessions.iter_mut().for_each(|session| session.1 = session.1.min(now));
        }
        faults
    }

    fn bend(&self, request: &Request, route: &Route, quirks: &Quirks, wire: Option<How>) -> (Option<u16>, Delivery) {
        let apply = || self.apply(request, route, quirks);
        let seen = |reply: Reply| (Some(reply.status), Delivery::Whole(reply));
        match wire {
            None => seen(apply()),
            Some(How::LoseReply) => (Some(apply().status), Delivery::Drop),
            Some(How::CutReply(bytes)) => {
                let reply = apply();
                (Some(reply.status), Delivery::Cut(reply, bytes))
            }
            Some(How::NeverArrives) => (None, Delivery::Drop),
            Some(How::Hang { applied: false, gate }) => (None, Delivery::Held(gate, None)),
            Some(How::Hang { applied: true, gate }) => {
                let reply = apply();
                (Some(reply.status), Delivery::Held(gate, Some(reply)))
            }
            Some(How::Huge(bytes)) => {
                apply();
                let reply = Reply { body: Vec::new(), ..Reply::json(200, &json!({})) };
                (Some(200), Delivery::Huge(reply, bytes))
            }
            Some(other) => seen(replaced(&other, apply)),
        }
    }
}

/// The reply of a call whose fault is in the reply alone.
fn replaced(how: &How, apply: impl FnOnce() -> Reply) -> Reply {
    match how {
        How::Status { status, applied } => {
            if *applied {
                apply();
            }
            Reply::error(*status, "scripted")
        }
        How::RetryAfter(seconds) => Reply::error(429, "too_many_requests").header("Retry-After", seconds.to_string()),
        How::Html200 => {
            apply();
            let page = b"<!doctype html><title>Sign in</title><p>Please sign in.".to_vec();
            Reply { status: 200, headers: vec![("Content-Type", "text/html".to_owned())], body: page }
        }
        How::NoSecret200 => rewritten(apply(), |_| None),
        How::OldKeyAgain(old) => rewritten(apply(), |_| Some(old.expose().into())),
        How::Redirect(url) => Reply::empty(307).header("Location", url.clone()),
        How::OkFalse => Reply::json(200, &json!({ "ok": false, "error": "internal_error" })),
        How::ForbiddenRevoke => Reply::error(403, "forbidden"),
        How::NameConflict => Reply::error(409, "name_taken"),
        // A delay has passed its gate, and the model has seen every other fault.
        _ => apply(),
    }
}

/// The reply with its secret fields changed or taken out. Only a reply of a 2xx holds any.
fn rewritten(mut reply: Reply, change: impl Fn(&str) -> Option<serde_json::Value>) -> Reply {
    let Ok(serde_json::Value::Object(mut body)) = serde_json::from_slice(&reply.body) else { return reply };
    for field in ["key", "token"] {
        if body.remove(field).is_some()
            && let Some(value) = change(field)
        {
            body.insert(field.to_owned(), value);
        }
    }
    reply.body = serde_json::Value::Object(body).to_string().into_bytes();
    reply
}

fn authorized(sessions: &[([u8; 32], Stamp)], request: &Request, now: Stamp) -> bool {
    let Some(credential) = request.bearer() else { return false };
    let digest = sha256(credential.expose().as_bytes());
    sessions.iter().any(|(known, until)| *known == digest && now < *until)
}

fn looks_secret(part: &str) -> bool {
    part.len() > 64 || ["pa_live_", "wrapd_", "bnd_tok_", "eyJ"].iter().any(|mark| part.contains(mark))
}

impl<M: Model> Service for Desk<M> {
    async fn call(&self, request: Request) -> Delivery {
        let date = http_date(self.clock.now());
        let dated = |reply: Reply| reply.header("Date", date.clone());
        match self.handle(request).await {
            Delivery::Whole(reply) => Delivery::Whole(dated(reply)),
            Delivery::Cut(reply, bytes) => Delivery::Cut(dated(reply), bytes),
            Delivery::Huge(reply, bytes) => Delivery::Huge(dated(reply), bytes),
            Delivery::Held(gate, reply) => Delivery::Held(gate, reply.map(dated)),
            Delivery::Drop => Delivery::Drop,
        }
    }
}

/// A running double: its desk and its listener.
pub(crate) struct Double<M> {
    pub(crate) desk: Arc<Desk<M>>,
    server: Server,
}

impl<M: Model> Double<M> {
    pub(crate) async fn start(name: &str, model: M, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let listener = Server::bind().await?;
        // The port keeps the keys of two doubles of one kind apart.
        let dice = Dice::new(format!("{name}:{}", listener.local_addr()?.port()));
        let state = State {
            model,
            dice,
            counts: Counts::default(),
            script: Script::default(),
            sessions: Vec::new(),
            log: VecDeque::new(),
        };
        let desk = Arc::new(Desk { clock, state: Mutex::new(state) });
        let server = Server::start(listener, Arc::clone(&desk))?;
        Ok(Self { desk, server })
    }

    pub(crate) fn base_url(&self) -> String {
        self.server.base_url()
    }

    pub(crate) fn session_until(&self, until: Stamp) -> Secret {
        let mut state = self.desk.lock();
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let head = part(json!({ "alg": "HS256", "typ": "JWT" }));
        let claims = part(json!({ "sub": "operator", "exp": until.0.div_euclid(1_000), "jti": state.dice.id() }));
        let signature = URL_SAFE_NO_PAD.encode(state.dice.bytes());
        let credential = Secret::new(format!("{head}.{claims}.{signature}"));
        state.sessions.push((sha256(credential.expose().as_bytes()), until));
        credential
    }

    pub(crate) fn session(&self) -> Secret {
        self.session_until(self.desk.clock.now().plus(Span::DAY.times(7)))
    }

    pub(crate) fn expire_sessions(&self) {
        let now = self.desk.clock.now();
        self.desk.lock().sessions.iter_mut().for_each(|session| session.1 = session.1.min(now));
    }

    pub(crate) fn fail(&self, fault: Fault) {
        self.desk.lock().script.add(fault);
    }

    pub(crate) fn mend(&self) {
        self.desk.lock().script.clear();
    }

    pub(crate) fn hang(&self, on: CallKind, applied: bool) -> Gate {
        let gate = Gate::new();
        self.fail(Fault::once(on, How::Hang { applied, gate: gate.clone() }));
        gate
    }

    pub(crate) fn counts(&self) -> Counts {
        self.desk.lock().counts
    }

    pub(crate) fn log(&self) -> Vec<Logged> {
        self.desk.lock().log.iter().cloned().collect()
    }
}

/// A point in time as RFC 3339 with milliseconds.
pub(crate) fn rfc3339(at: Stamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map(|at| format!("{at:.3}")).unwrap_or_default()
}

/// The same for a field that may be null.
pub(crate) fn rfc3339_or_null(at: Option<Stamp>) -> serde_json::Value {
    at.map_or(serde_json::Value::Null, |at| rfc3339(at).into())
}

/// Reads RFC 3339.
pub(crate) fn read_rfc3339(text: &str) -> Option<Stamp> {
    text.parse::<jiff::Timestamp>().ok().map(|at| Stamp(at.as_millisecond()))
}
