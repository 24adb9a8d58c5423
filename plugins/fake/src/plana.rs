//! PLANA BOS: workspace API keys that live side by side until a person revokes one.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use cutover_api::{Clock, Secret, Span, Stamp};
use serde_json::json;

use crate::book::{Book, Key, NewKey, Presented};
use crate::controls::controls;
use crate::desk::{Asked, Double, Model, Route, read_rfc3339, rfc3339, rfc3339_or_null};
use crate::dice::Dice;
use crate::fault::{CallKind, Quirks};
use crate::wire::{Reply, Request};

/// The scopes there are; the first is the default.
const SCOPES: [&str; 5] = ["dashboard:read", "agents:invoke", "banking:read", "webhooks:write", "*"];
/// How many calls the execution log remembers.
const EXECUTIONS: usize = 65_536;

/// One line of the execution log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// When.
    pub at: Stamp,
    /// The key's first 12 characters.
    pub prefix: String,
    /// The call's status.
    pub status: u16,
}

/// The double of PLANA BOS.
pub struct Plana {
    double: Double<Portal>,
}

controls!(Plana);

impl Plana {
    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When no loopback port can be had; [`Plana::try_start`] says so instead.
    #[expect(clippy::panic, reason = "a machine without a free loopback port cannot run any double")]
    pub async fn start(clock: Arc<dyn Clock>) -> Self {
        Self::try_start(clock).await.unwrap_or_else(|error| panic!("no free port on 127.0.0.1: {error}"))
    }

    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// No loopback port can be had.
    pub async fn try_start(clock: Arc<dyn Clock>) -> io::Result<Self> {
        Ok(Self { double: Double::start("plana", Portal::default(), clock).await? })
    }

    /// Adds a key that was there before, with this name and scope (`dashboard:read`, `*`, …); answers with its id and value.
    #[must_use]
    pub fn seed(&self, name: &str, scope: &str) -> (String, Secret) {
        let now = self.double.desk.clock.now();
        let mut state = self.double.desk.lock();
        let state = &mut *state;
        state.model.issue(&mut state.dice, name, scope, None, None, now)
    }

    /// Last use is told rounded down to `granularity` and only once it is `lag` ago. Both start at zero.
    pub fn tell_last_used(&self, granularity: Span, lag: Span) {
        let mut state = self.double.desk.lock();
        (state.model.granularity, state.model.lag) = (granularity, lag);
    }

    /// A revoked key is accepted for so long after the call ("stops working within seconds"). Starts at zero.
    pub fn revocation_takes(&self, span: Span) {
        self.double.desk.lock().model.revocation_takes = span;
    }

    /// The execution log: the prefix of the key of every call, the eldest first; the last 65 536.
    #[must_use]
    pub fn execution_log(&self) -> Vec<Execution> {
        self.double.desk.lock().model.executions.iter().cloned().collect()
    }
}

#[derive(Default)]
struct Portal {
    book: Book,
    granularity: Span,
    lag: Span,
    revocation_takes: Span,
    executions: VecDeque<Execution>,
}

impl Model for Portal {
    fn route(&self, request: &Request) -> Option<Route> {
        let route = |kind, managed| Some(Route { kind, managed });
        match (request.method.as_str(), request.segments().as_slice()) {
            ("POST", ["api", "portal", "apikeys"]) => route(CallKind::Mint, true),
            ("GET", ["api", "portal", "apikeys"]) => route(CallKind::List, true),
            ("DELETE", ["api", "portal", "apikeys", _]) => route(CallKind::Revoke, true),
            ("GET", ["api", "v1", "dashboard"]) => route(CallKind::Probe, false),
            _ => None,
        }
    }

    fn answer(&mut self, asked: Asked<'_>) -> Reply {
        match (asked.request.method.as_str(), asked.request.segments().as_slice()) {
            ("POST", _) => self.create(asked),
            ("DELETE", [.., id]) => self.revoke(id, asked.quirks, asked.now),
            ("GET", [.., "dashboard"]) => self.dashboard(asked),
            _ => self.list(asked.quirks, asked.now),
        }
    }

    fn book(&self) -> &Book {
        &self.book
    }
}

impl Portal {
    fn issue(
        &mut self,
        dice: &mut Dice,
        name: &str,
        scope: &str,
        expires_at: Option<Stamp>,
        delay: Option<(Span, bool)>,
        now: Stamp,
    ) -> (String, Secret) {
        let value = Secret::new(format!("pa_live_{}", dice.base32()));
        let new = NewKey {
            id: format!("key_{}", dice.id()),
            name: name.to_owned(),
            owner: "operator".to_owned(),
            scopes: vec![scope.to_owned()],
            prefix_chars: 12,
            line: None,
            expires_at,
            delay,
            keep_plain: false,
        };
        let id = new.id.clone();
        self.book.add(new, &value, now);
        (id, value)
    }

    fn create(&mut self, asked: Asked<'_>) -> Reply {
        let body = asked.request.json();
        let text = |field: &str| body.get(field).and_then(serde_json::Value::as_str);
        let Some(name) = text("name").filter(|name| !name.is_empty()) else { return Reply::error(400, "name_required") };
        let scope = text("scope").unwrap_or(SCOPES[0]);
        if !SCOPES.contains(&scope) {
            return Reply::error(400, "unknown_scope");
        }
        let expires_at = text("expiresAt").map(read_rfc3339);
        if expires_at == Some(None) {
            return Reply::error(400, "bad_expiry");
        }
        if asked.quirks.max_keys.is_some_and(|most| self.book.live(asked.now) >= most) {
            return Reply::error(400, "limit_exceeded");
        }
        let (id, value) = self.issue(asked.dice, name, scope, expires_at.flatten(), asked.quirks.issue_delay, asked.now);
        let mut reply = json!({ "id": id, "key": value.expose(), "name": name, "scope": scope });
        reply["prefix"] = value.expose().chars().take(12).collect::<String>().into();
        reply["createdAt"] = rfc3339(asked.now).into();
        reply["expiresAt"] = rfc3339_or_null(expires_at.flatten());
        Reply::json(201, &reply)
    }

    fn row(&self, key: &Key, quirks: &Quirks, now: Stamp) -> serde_json::Value {
        let lag = self.lag.max(quirks.last_used_lag.unwrap_or_default());
        let used = quirks.last_used_lie.unwrap_or_else(|| key.last_used(now, self.granularity, lag));
        json!({
            "id": key.id, "name": key.name, "prefix": key.prefix, "scope": key.scopes.first(),
            "createdBy": key.owner, "createdAt": rfc3339(key.created_at), "lastUsedAt": rfc3339_or_null(used),
            "expiresAt": rfc3339_or_null(key.expires_at), "revoked": key.revoked_at.is_some(),
        })
    }

    fn list(&self, quirks: &Quirks, now: Stamp) -> Reply {
        let lag = quirks.list_lag.unwrap_or_default();
        let known = self.book.keys.iter().filter(|key| now.since(key.created_at) >= lag);
        let rows: Vec<_> = known.map(|key| self.row(key, quirks, now)).collect();
        let reply = Reply::json(200, &rows.into());
        match &quirks.hostile_next {
            Some(url) => reply.header("Link", format!("<{url}>; rel=\"next\"")),
            None => reply,
        }
    }

    fn revoke(&mut self, id: &str, quirks: &Quirks, now: Stamp) -> Reply {
        let Some(at) = self.book.by_id(id) else { return Reply::error(404, "not_found") };
        self.book.keys[at].revoke(now, quirks.revoke_delay.unwrap_or(self.revocation_takes));
        Reply::empty(204)
    }

    fn dashboard(&mut self, asked: Asked<'_>) -> Reply {
        let Some(value) = asked.request.bearer() else { return Reply::error(401, "unauthorized") };
        let (status, prefix) = match self.book.present(value.expose(), asked.now) {
            Presented::Unknown => {
                asked.counts.refused_unknown += 1;
                return Reply::error(401, "unauthorized");
            }
            Presented::Refused(at) => {
                asked.counts.refused_dead += 1;
                (401, self.book.keys[at].prefix.clone())
            }
            Presented::Accepted(at) => {
                let key = &mut self.book.keys[at];
                let allowed = key.scopes.iter().any(|scope| scope == "dashboard:read" || scope == "*");
                if allowed {
                    key.use_at(asked.now);
                }
                (if allowed { 200 } else { 403 }, key.prefix.clone())
            }
        };
        if self.executions.len() == EXECUTIONS {
            self.executions.pop_front();
        }
        self.executions.push_back(Execution { at: asked.now, prefix, status });
        match status {
            200 => Reply::json(200, &json!({ "widgets": [] })),
            403 => Reply::error(403, "wrong_scope"),
            _ => Reply::error(401, "unauthorized"),
        }
    }
}
