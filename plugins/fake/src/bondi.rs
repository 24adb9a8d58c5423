//! Bondi: one token an integration, and the previous one for 24 hours.

use std::io;
use std::sync::Arc;

use cutover_api::{Clock, Secret, Span, Stamp};
use serde_json::json;

use crate::book::{Book, NewKey};
use crate::controls::controls;
use crate::desk::{Asked, Double, Model, Route, rfc3339};
use crate::dice::Dice;
use crate::fault::CallKind;
use crate::signature::{NotSigned, Signed};
use crate::wire::{Reply, Request};

/// How long the previous token stays valid: "the 24h grace is built in".
const GRACE: Span = Span::hours(24);

/// What a rotation's reply says.
pub const BONDI_TOKEN_WARNING: &str = "Save this token now — it cannot be retrieved again. Update BONDI_INTEGRATION_TOKEN in your \
     environment. The previous token remains valid for 24 hours.";

/// The double of Bondi.
pub struct Bondi {
    double: Double<Studio>,
}

controls!(Bondi);

impl Bondi {
    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When no loopback port can be had; [`Bondi::try_start`] says so instead.
    #[expect(clippy::panic, reason = "a machine without a free loopback port cannot run any double")]
    pub async fn start(clock: Arc<dyn Clock>) -> Self {
        Self::try_start(clock).await.unwrap_or_else(|error| panic!("no free port on 127.0.0.1: {error}"))
    }

    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// No loopback port can be had.
    pub async fn try_start(clock: Arc<dyn Clock>) -> io::Result<Self> {
        Ok(Self { double: Double::start("bondi", Studio::default(), clock).await? })
    }

    /// Adds an integration that was there before, with its token; answers with the integration's id (`def_…`) and the token.
    #[must_use]
    pub fn seed(&self, workspace: &str, slug: &str) -> (String, Secret) {
        let now = self.double.desk.clock.now();
        let mut state = self.double.desk.lock();
        let state = &mut *state;
        let id = format!("def_{}", state.dice.id());
        let (current, value) = state.model.token(&mut state.dice, slug, None, None, now);
        let (workspace, slug) = (workspace.to_owned(), slug.to_owned());
        state.model.integrations.push(Integration { id: id.clone(), workspace, slug, current, previous: None });
        (id, value)
    }

    /// Signs an outbound action call of this integration as Bondi does: always with the newest token, from the moment of rotation on.
    /// `None` when there is no such integration.
    #[must_use]
    pub fn sign(&self, workspace: &str, slug: &str, action: &str, body: &[u8]) -> Option<Signed> {
        let now = self.double.desk.clock.now();
        let state = self.double.desk.lock();
        let at = state.model.place(workspace, slug)?;
        let token = state.model.book.keys[state.model.integrations[at].current].plain.as_ref()?;
        Some(Signed::new(token, action, body, now))
    }

    /// Wipes the previous token at once, as Bondi's support does when asked; whether there was a live one.
    pub fn support_wipes_previous(&self, workspace: &str, slug: &str) -> bool {
        let now = self.double.desk.clock.now();
        let mut state = self.double.desk.lock();
        let model = &mut state.model;
        let Some(previous) = model.place(workspace, slug).and_then(|at| model.integrations[at].previous) else { return false };
        let alive = model.book.keys[previous].alive(now);
        model.book.keys[previous].revoke(now, Span::ZERO);
        alive
    }

    /// The id of an integration: a rotation leaves it as it is ("updated in place").
    #[must_use]
    pub fn integration_id(&self, workspace: &str, slug: &str) -> Option<String> {
        let state = self.double.desk.lock();
        state.model.place(workspace, slug).map(|at| state.model.integrations[at].id.clone())
    }
}

struct Integration {
    id: String,
    workspace: String,
    slug: String,
    current: usize,
    previous: Option<usize>,
}

#[derive(Default)]
struct Studio {
    book: Book,
    integrations: Vec<Integration>,
}

impl Model for Studio {
    fn route(&self, request: &Request) -> Option<Route> {
        match (request.method.as_str(), request.segments().as_slice()) {
            ("POST", ["v1", "workspaces", _, "integrations", "custom-definitions", _, "rotate-token"]) => {
                Some(Route { kind: CallKind::Mint, managed: true })
            }
            ("POST", ["integrations", "custom", _, _, "emit"]) | ("PUT", ["integrations", "custom", _, _, "sync"]) => {
                Some(Route { kind: CallKind::Probe, managed: false })
            }
            _ => None,
        }
    }

    fn answer(&mut self, asked: Asked<'_>) -> Reply {
        match asked.request.segments().as_slice() {
            [_, _, workspace, _, _, slug, "rotate-token"] => self.rotate(workspace, slug, asked),
            [_, _, workspace, slug, _] => self.receive(workspace, slug, asked),
            _ => Reply::error(404, "not_found"),
        }
    }

    fn book(&self) -> &Book {
        &self.book
    }
}

impl Studio {
    fn place(&self, workspace: &str, slug: &str) -> Option<usize> {
        self.integrations.iter().position(|known| known.workspace == workspace && known.slug == slug)
    }

    fn token(
        &mut self,
        dice: &mut Dice,
        slug: &str,
        line: Option<u64>,
        delay: Option<(Span, bool)>,
        now: Stamp,
    ) -> (usize, Secret) {
        let value = Secret::new(format!("bnd_tok_{}", dice.base32().to_ascii_lowercase()));
        let new = NewKey {
            id: format!("tok_{}", dice.id()),
            name: slug.to_owned(),
            owner: String::new(),
            scopes: Vec::new(),
            prefix_chars: 12,
            line,
            expires_at: None,
            delay,
            keep_plain: true,
        };
        (self.book.add(new, &value, now), value)
    }

    fn rotate(&mut self, workspace: &str, slug: &str, asked: Asked<'_>) -> Reply {
        let Asked { quirks, now, dice, .. } = asked;
        let Some(at) = self.place(workspace, slug) else { return Reply::error(404, "not_found") };
        let current = self.integrations[at].current;
        let line = self.book.keys[current].line;
        if quirks.family_revoked && self.integrations[at].previous.is_some() {
            self.book.revoke_line(line, now);
            return Reply::error(401, "reuse_detected");
        }
        if let Some(status) = quirks.second_rotation.filter(|_| self.book.grace_open(line, now)) {
            return Reply::error(status, "rotation_pending");
        }
        if quirks.max_keys.is_some_and(|most| self.book.live(now) >= most) {
            return Reply::error(400, "limit_exceeded");
        }
        // One previous token: whatever was previous dies now, the current one takes its place.
        if let Some(evicted) = self.integrations[at].previous {
            self.book.keys[evicted].revoke(now, Span::ZERO);
        }
        let until = now.plus(GRACE);
        let old = &mut self.book.keys[current];
        (old.rotated, old.expires_at) = (true, Some(until));
        let (new, value) = self.token(dice, slug, Some(line), quirks.issue_delay, now);
        let integration = &mut self.integrations[at];
        (integration.previous, integration.current) = (Some(current), new);
        let reply = json!({
            "slug": slug, "token": value.expose(), "tokenWarning": BONDI_TOKEN_WARNING, "previousTokenValidUntil": rfc3339(until),
        });
        Reply::json(200, &reply)
    }

    fn receive(&mut self, workspace: &str, slug: &str, asked: Asked<'_>) -> Reply {
        let Asked { request, now, counts, .. } = asked;
        let Some(at) = self.place(workspace, slug) else { return Reply::error(404, "not_found") };
        let header = |name: &str| request.header(name).map(str::to_owned);
        let (Some(timestamp), Some(action), Some(signature)) =
            (header("x-bondi-timestamp"), header("x-bondi-action"), header("x-bondi-signature"))
        else {
            return refused(NotSigned::MissingHeaders);
        };
        let signed = Signed { timestamp, action, signature };
        let line = self.book.keys[self.integrations[at].current].line;
        let tokens: Vec<_> = (0..self.book.keys.len()).filter(|token| self.book.keys[*token].line == line).collect();
        let plain = tokens.iter().filter_map(|token| self.book.keys[*token].plain.as_ref());
        let maker = match signed.made_by(plain, &request.body, now) {
            Ok(maker) => tokens[maker],
            Err(reason) => {
                counts.refused_unknown += u64::from(reason == NotSigned::InvalidSignature);
                return refused(reason);
            }
        };
        let value = self.book.keys[maker].plain.as_ref().map(Secret::duplicate);
        let accepted =
            value.is_some_and(|value| matches!(self.book.present(value.expose(), now), crate::book::Presented::Accepted(_)));
        if !accepted {
            counts.refused_dead += 1;
            return refused(NotSigned::InvalidSignature);
        }
        self.book.keys[maker].use_at(now);
        Reply::json(200, &json!({ "accepted": true }))
    }
}

fn refused(reason: NotSigned) -> Reply {
    Reply::json(401, &json!({ "error": "unauthorized", "reason": reason.label() }))
}
