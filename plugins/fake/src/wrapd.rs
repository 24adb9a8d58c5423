//! Wrapd: API keys and agent tokens, rotated with a grace that the caller chooses.

use std::io;
use std::sync::Arc;

use cutover_api::{Clock, Secret, Span, Stamp};
use serde_json::json;

use crate::book::{Book, Key, NewKey, Presented};
use crate::controls::controls;
use crate::desk::{Asked, Double, Model, Route, rfc3339, rfc3339_or_null};
use crate::dice::Dice;
use crate::fault::{CallKind, Quirks};
use crate::wire::{Reply, Request};

/// The graces there are, in minutes: immediate, 15 minutes, 1, 6 and 24 hours, 3 and 7 days.
pub const WRAPD_GRACES: [i64; 7] = [0, 15, 60, 360, 1_440, 4_320, 10_080];
/// An agent counts as online for so long after its last connection.
const ONLINE: Span = Span::MINUTE;
/// The user whose badge is shown.
const USER: &str = "operator";

/// The two kinds of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrapdKind {
    /// `wrapd_sk_…` in the header `X-API-Key`.
    ApiKey,
    /// `wrapd_at_…` as a bearer.
    AgentToken,
}

impl WrapdKind {
    /// The name its value begins with.
    const fn prefix(self) -> &'static str {
        match self {
            Self::ApiKey => "wrapd_sk_",
            Self::AgentToken => "wrapd_at_",
        }
    }

    /// The name of the list, and of the value in the reply to a mint.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::ApiKey => ("keys", "key"),
            Self::AgentToken => ("agents", "token"),
        }
    }

    fn of(path: &str) -> Self {
        if path == "agents" { Self::AgentToken } else { Self::ApiKey }
    }

    fn owns(self, key: &Key) -> bool {
        key.id.starts_with(self.id_prefix())
    }

    const fn id_prefix(self) -> &'static str {
        match self {
            Self::ApiKey => "ak_",
            Self::AgentToken => "at_",
        }
    }
}

/// The double of Wrapd.
pub struct Wrapd {
    double: Double<Dashboard>,
}

controls!(Wrapd);

impl Wrapd {
    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When no loopback port can be had; [`Wrapd::try_start`] says so instead.
    #[expect(clippy::panic, reason = "a machine without a free loopback port cannot run any double")]
    pub async fn start(clock: Arc<dyn Clock>) -> Self {
        Self::try_start(clock).await.unwrap_or_else(|error| panic!("no free port on 127.0.0.1: {error}"))
    }

    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// No loopback port can be had.
    pub async fn try_start(clock: Arc<dyn Clock>) -> io::Result<Self> {
        Ok(Self { double: Double::start("wrapd", Dashboard::default(), clock).await? })
    }

    /// Adds an API key that was there before; answers with its id and value.
    #[must_use]
    pub fn seed(&self, label: &str, scopes: &[&str]) -> (String, Secret) {
        self.add(WrapdKind::ApiKey, "", label, scopes)
    }

    /// Adds an agent token that was there before; answers with its id and value.
    #[must_use]
    pub fn seed_agent(&self, agent: &str, label: &str) -> (String, Secret) {
        self.add(WrapdKind::AgentToken, agent, label, &[])
    }

    fn add(&self, kind: WrapdKind, agent: &str, label: &str, scopes: &[&str]) -> (String, Secret) {
        let now = self.double.desk.clock.now();
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let mut state = self.double.desk.lock();
        let state = &mut *state;
        let made = Made { kind, agent: agent.to_owned(), label: label.to_owned(), scopes, line: None };
        state.model.make(&mut state.dice, made, None, now)
    }
}

/// What a new credential is made of.
struct Made {
    kind: WrapdKind,
    agent: String,
    label: String,
    scopes: Vec<String>,
    line: Option<u64>,
}

#[derive(Default)]
struct Dashboard {
    book: Book,
    connected_at: Option<Stamp>,
}

impl Model for Dashboard {
    fn route(&self, request: &Request) -> Option<Route> {
        let route = |kind, managed| Some(Route { kind, managed });
        match (request.method.as_str(), request.segments().as_slice()) {
            ("POST", ["api-keys" | "agents"] | ["api-keys" | "agents", _, "rotate"]) => route(CallKind::Mint, true),
            ("GET", ["api-keys" | "agents"]) => route(CallKind::List, true),
            ("DELETE", ["api-keys" | "agents", _]) => route(CallKind::Revoke, true),
            ("GET", ["me"] | ["agents", "connect"]) => route(CallKind::Probe, false),
            ("GET", [USER, "badge.svg"]) => route(CallKind::Read, false),
            _ => None,
        }
    }

    fn answer(&mut self, asked: Asked<'_>) -> Reply {
        match (asked.request.method.as_str(), asked.request.segments().as_slice()) {
            ("POST", [path]) => self.create(WrapdKind::of(path), asked),
            ("POST", [path, id, _]) => self.rotate(WrapdKind::of(path), id, asked),
            ("DELETE", [path, id]) => self.revoke(WrapdKind::of(path), id, asked.quirks, asked.now),
            ("GET", ["me"]) => self.present(WrapdKind::ApiKey, asked),
            ("GET", ["agents", "connect"]) => self.present(WrapdKind::AgentToken, asked),
            ("GET", [_, "badge.svg"]) => self.badge(asked.now),
            ("GET", [path]) => self.list(WrapdKind::of(path), asked.quirks, asked.now),
            _ => Reply::error(404, "not_found"),
        }
    }

    fn book(&self) -> &Book {
        &self.book
    }
}

impl Dashboard {
    fn make(&mut self, dice: &mut Dice, made: Made, delay: Option<(Span, bool)>, now: Stamp) -> (String, Secret) {
        let value = Secret::new(format!("{}{}", made.kind.prefix(), dice.base32().to_ascii_lowercase()));
        let id = format!("{}{}", made.kind.id_prefix(), dice.id());
        let new = NewKey {
            id: id.clone(),
            name: made.label,
            owner: made.agent,
            scopes: made.scopes,
            prefix_chars: 13,
            line: made.line,
            expires_at: None,
            delay,
            keep_plain: false,
        };
        self.book.add(new, &value, now);
        (id, value)
    }

    fn created(&self, kind: WrapdKind, id: &str, value: &Secret, previous: Option<serde_json::Value>) -> Reply {
        let Some(key) = self.book.by_id(id).map(|at| &self.book.keys[at]) else { return Reply::error(500, "lost") };
        let mut body = json!({
            "id": id, "label": key.name, "prefix": key.prefix, "scopes": key.scopes, "created_at": rfc3339(key.created_at),
        });
        body[kind.names().1] = value.expose().into();
        if kind == WrapdKind::AgentToken {
            body["agent"] = key.owner.as_str().into();
        }
        if let Some(previous) = previous {
            body["previous"] = previous;
        }
        Reply::json(201, &body)
    }

    fn create(&mut self, kind: WrapdKind, asked: Asked<'_>) -> Reply {
        let body = asked.request.json();
        let text = |field: &str| body.get(field).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let scopes = body.get("scopes").and_then(serde_json::Value::as_array).cloned().unwrap_or_default();
        let scopes = scopes.iter().filter_map(|scope| Some(scope.as_str()?.to_owned())).collect();
        let made = Made { kind, agent: text("agent"), label: text("label"), scopes, line: None };
        if made.label.is_empty() {
            return Reply::error(400, "label_required");
        }
        if self.full(kind, asked.quirks, asked.now) {
            return Reply::error(400, "limit_exceeded");
        }
        let (id, value) = self.make(asked.dice, made, asked.quirks.issue_delay, asked.now);
        self.created(kind, &id, &value, None)
    }

    fn full(&self, kind: WrapdKind, quirks: &Quirks, now: Stamp) -> bool {
        let live = self.book.keys.iter().filter(|key| kind.owns(key) && !key.ended(now)).count();
        quirks.max_keys.is_some_and(|most| live >= most)
    }

    fn rotate(&mut self, kind: WrapdKind, id: &str, asked: Asked<'_>) -> Reply {
        let Asked { request, quirks, now, dice, .. } = asked;
        let minutes = request.json().get("grace_minutes").and_then(serde_json::Value::as_i64);
        let Some(minutes) = minutes.filter(|minutes| WRAPD_GRACES.contains(minutes)) else {
            return Reply::error(400, "bad_grace");
        };
        let Some(at) = self.book.by_id(id).filter(|at| kind.owns(&self.book.keys[*at])) else {
            return Reply::error(404, "not_found");
        };
        let (line, rotated) = (self.book.keys[at].line, self.book.keys[at].rotated);
        if quirks.family_revoked && rotated {
            self.book.revoke_line(line, now);
            return Reply::error(401, "reuse_detected");
        }
        if let Some(status) = quirks.second_rotation.filter(|_| self.book.grace_open(line, now)) {
            return Reply::error(status, "rotation_pending");
        }
        if self.book.keys[at].ended(now) {
            return Reply::error(409, "not_active");
        }
        if self.full(kind, quirks, now) {
            return Reply::error(400, "limit_exceeded");
        }
        let old = &mut self.book.keys[at];
        let ends = now.plus(Span::minutes(minutes));
        old.rotated = true;
        if minutes == 0 {
            old.revoke(now, quirks.revoke_delay.unwrap_or_default());
        } else {
            // Rotating twice must not lengthen a life that is already promised to end.
            old.expires_at = Some(old.expires_at.map_or(ends, |known| known.min(ends)));
        }
        let told = old.expires_at.map_or(ends, |known| known.min(ends));
        let previous = json!({ "id": old.id, "expires_at": rfc3339(told) });
        let (agent, label, scopes) = (old.owner.clone(), old.name.clone(), old.scopes.clone());
        let made = Made { kind, agent, label, scopes, line: Some(line) };
        let (id, value) = self.make(dice, made, quirks.issue_delay, now);
        self.created(kind, &id, &value, Some(previous))
    }

    fn list(&self, kind: WrapdKind, quirks: &Quirks, now: Stamp) -> Reply {
        let lag = quirks.list_lag.unwrap_or_default();
        let shown = |key: &&Key| kind.owns(key) && !key.ended(now) && now.since(key.created_at) >= lag;
        let row = |key: &Key| {
            let lag = quirks.last_used_lag.unwrap_or_default();
            let used = quirks.last_used_lie.unwrap_or_else(|| key.last_used(now, Span::SECOND, lag));
            let mut row = json!({
                "id": key.id, "label": key.name, "prefix": key.prefix, "scopes": key.scopes,
                "created_at": rfc3339(key.created_at), "last_used_at": rfc3339_or_null(used),
                "expires_at": rfc3339_or_null(key.expires_at),
            });
            if kind == WrapdKind::AgentToken {
                row["agent"] = key.owner.as_str().into();
            }
            row
        };
        let rows: Vec<_> = self.book.keys.iter().filter(shown).map(row).collect();
        let mut body = json!({});
        body[kind.names().0] = rows.into();
        match &quirks.hostile_next {
            Some(url) => {
                body["next"] = url.as_str().into();
                Reply::json(200, &body).header("Link", format!("<{url}>; rel=\"next\""))
            }
            None => Reply::json(200, &body),
        }
    }

    fn revoke(&mut self, kind: WrapdKind, id: &str, quirks: &Quirks, now: Stamp) -> Reply {
        let Some(at) = self.book.by_id(id).filter(|at| kind.owns(&self.book.keys[*at])) else {
            return Reply::error(404, "not_found");
        };
        self.book.keys[at].revoke(now, quirks.revoke_delay.unwrap_or_default());
        Reply::empty(204)
    }

    fn present(&mut self, kind: WrapdKind, asked: Asked<'_>) -> Reply {
        let value = match kind {
            WrapdKind::ApiKey => asked.request.header("x-api-key").map(|value| Secret::new(value.to_owned())),
            WrapdKind::AgentToken => asked.request.bearer(),
        };
        let Some(value) = value.filter(|value| value.expose().starts_with(kind.prefix())) else {
            asked.counts.refused_unknown += 1;
            return Reply::error(401, "unauthorized");
        };
        match self.book.present(value.expose(), asked.now) {
            Presented::Accepted(at) => {
                let key = &mut self.book.keys[at];
                key.use_at(asked.now);
                if kind == WrapdKind::AgentToken {
                    self.connected_at = Some(asked.now);
                }
                Reply::json(200, &json!({ "label": key.name, "agent": key.owner, "scopes": key.scopes }))
            }
            Presented::Refused(_) => {
                asked.counts.refused_dead += 1;
                Reply::error(401, "unauthorized")
            }
            Presented::Unknown => {
                asked.counts.refused_unknown += 1;
                Reply::error(401, "unauthorized")
            }
        }
    }

    fn badge(&self, now: Stamp) -> Reply {
        let online = self.connected_at.is_some_and(|at| now.since(at) < ONLINE);
        let word = if online { "online" } else { "offline" };
        let body = format!("<svg xmlns=\"http://www.w3.org/2000/svg\"><text>{word}</text></svg>").into_bytes();
        Reply { status: 200, headers: vec![("Content-Type", "image/svg+xml".to_owned())], body }
    }
}
