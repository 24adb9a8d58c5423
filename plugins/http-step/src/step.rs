//! A step as it is written, loaded and checked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cutover_api::{Class, Place, Reader};

use crate::auth::Auth;
use crate::body::{Body, Leaf};
use crate::check::{Placed, Spot};
use crate::judge::Errors;
use crate::matching::Match;
use crate::poll::Poll;
use crate::reply::Form;
use crate::request::{Request, header_name, header_table, pair_table};
use crate::source::{Shape, Source};
use crate::template::Template;

/// What a step takes over from the definition that holds it.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    /// Requests are paths on [`crate::Origins::base`] or `NAME:/path` (definitions); `false`: whole URLs (hooks, verifies, webhooks).
    pub base: bool,
    /// The names of `hosts` that a request may say.
    pub hosts: BTreeSet<String>,
    /// Added to every request to the base, unless the step has its own.
    pub(crate) headers: BTreeMap<String, Placed>,
    /// Added to every request to the base, unless the step has its own.
    pub(crate) query: Vec<(String, Leaf)>,
    /// How replies are read.
    pub reply: Form,
    /// What an expected reply is; `None` = any 2xx.
    pub expect: Option<Match>,
    /// The provider's error codes.
    pub errors: Option<Errors>,
    /// Who signs.
    pub auth: Auth,
    /// Outputs of the mint that are secret: read as [`crate::Extracted::Secret`].
    pub secret_outputs: BTreeSet<String>,
}

impl Defaults {
    /// For hooks, verifies and webhooks: whole URLs, no defaults, JSON replies.
    #[must_use]
    pub fn whole_urls() -> Self {
        Self::default()
    }

    /// Reads `headers`, `query`, `reply`, `expect`, `errors`, `auth` of a definition's top level, for steps on its base URL and `hosts`
    /// (whose names the caller passes). Reports what is wrong; does not call [`Reader::finish`].
    #[must_use]
    pub fn load(reader: &Reader<'_>, hosts: BTreeSet<String>, secret_outputs: BTreeSet<String>) -> Self {
        Self {
            base: true,
            hosts,
            headers: header_table(reader, "headers"),
            query: pair_table(reader, "query"),
            reply: reply_form(reader).unwrap_or_default(),
            expect: Match::load(reader, "expect"),
            errors: Errors::load(reader, "errors"),
            auth: Auth::load(reader, "auth").unwrap_or_default(),
            secret_outputs,
        }
    }
}

/// One request and how its reply is read.
#[derive(Clone, Debug)]
pub struct Step {
    pub(crate) name: String,
    pub(crate) request: Request,
    pub(crate) form: Form,
    pub(crate) expect: Match,
    pub(crate) errors: Option<Errors>,
    pub(crate) on_status: BTreeMap<u16, Class>,
    pub(crate) extract: Vec<Field>,
    pub(crate) keep: Vec<Field>,
    pub(crate) timeout: Duration,
    pub(crate) poll: Option<Poll>,
    /// The headers that sources read, which replies must therefore keep.
    pub(crate) wants: Vec<String>,
}

/// A named source and where it is written.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) source: Source,
    key: String,
    place: Place,
}

impl Field {
    /// The same, whose value may be absent.
    pub(crate) fn sparse(self) -> Self {
        Self { source: self.source.sparse(), ..self }
    }

    /// The templates of its source.
    pub(crate) fn placed(&self) -> impl Iterator<Item = Placed> {
        let placed =
            |template: &Template| Placed { template: template.clone(), key: self.key.clone(), place: self.place.clone() };
        self.source.templates().into_iter().map(placed)
    }
}

impl Step {
    /// Reads a step from its table and reports every problem, unknown keys included (it calls [`Reader::finish`]; `extra` are the keys
    /// that belong to the caller, who may read them before or after). `None` when nothing usable came out.
    ///
    /// `name` is what refusals, causes and logs call it, and the STEP of `steps.STEP.NAME`.
    #[must_use]
    pub fn load(reader: &Reader<'_>, name: &str, defaults: &Defaults, extra: &[&str]) -> Option<Self> {
        let before = reader.problems().count();
        ["auth", "reply", "expect", "errors"].iter().chain(extra).for_each(|key| reader.known(key));
        let request = Request::load(reader, defaults, &defaults.auth);
        let form = if reader.has("reply") { reply_form(reader) } else { Some(defaults.reply) };
        let expect = if reader.has("expect") { Match::load(reader, "expect") } else { defaults.expect.clone() };
        let errors = if reader.has("errors") { Errors::load(reader, "errors") } else { defaults.errors.clone() };
        let extract = fields(reader, "extract", |field| extract_shape(field, &defaults.secret_outputs));
        let keep = fields(reader, "keep", |name| {
            is_name(name).then_some(if name == "expires_at" { Shape::Expiry } else { Shape::Kept })
        });
        let on_status = on_status(reader);
        let timeout = timeout(reader, "timeout", Duration::from_secs(30));
        let poll = reader.table("poll").map(|table| Poll::load(&table, defaults, request.as_ref()));
        reader.finish();
        let wants = extract.iter().chain(&keep).filter_map(|field| field.source.header()).map(str::to_owned).collect();
        let (request, form) = (request?, form?);
        let poll = match poll {
            Some(poll) => Some(poll?),
            None => None,
        };
        let step = Self {
            name: name.to_owned(),
            request,
            form,
            expect: expect.unwrap_or_default(),
            errors,
            on_status,
            extract,
            keep,
            timeout,
            poll,
            wants,
        };
        (reader.problems().count() == before).then_some(step)
    }

    /// The same step, all values of whose `extract` but `id` may be absent (`[last_used]`).
    #[must_use]
    pub fn sparse(mut self) -> Self {
        self.extract = self.extract.into_iter().map(|field| if field.name == "id" { field } else { field.sparse() }).collect();
        self
    }

    /// The same step with one more header, such as an idempotency key; one of this name is replaced. A name that no header may have
    /// changes nothing: check it with [`Step::is_header`] at load.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: Template) -> Self {
        if Self::is_header(name) {
            self.request.set_header(name, value);
        }
        self
    }

    /// The same step, whose body is this one JSON leaf (`{{ alert }}`) where it has none of its own.
    #[must_use]
    pub fn with_json(mut self, leaf: Template) -> Self {
        if !self.has_body() {
            self.request.body = Body::json(leaf);
        }
        self
    }

    /// Whether a step may set a header of this name.
    #[must_use]
    pub fn is_header(name: &str) -> bool {
        header_name(name).is_ok()
    }

    /// The same step, whose replies also keep the headers that this source reads (a caller's own source, such as `fingerprint`).
    #[must_use]
    pub fn keeping(mut self, source: &Source) -> Self {
        self.wants.extend(source.header().map(str::to_owned));
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.request.method.as_str()
    }

    /// The request as written, `"GET /v1/keys/{{ key.id }}"`: what logs and errors may show.
    #[must_use]
    pub fn request(&self) -> &str {
        &self.request.text
    }

    /// It has a body.
    #[must_use]
    pub const fn has_body(&self) -> bool {
        self.request.body.content_type().is_some()
    }

    /// One total deadline from the first byte sent to the end of the reply; where the step polls, of the polling too.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout + self.poll.as_ref().map_or(Duration::ZERO, |poll| poll.timeout)
    }

    /// The FIELDs of `extract`, as written.
    pub fn extracts(&self) -> impl Iterator<Item = &str> {
        self.extract.iter().map(|field| field.name.as_str())
    }

    /// The NAMEs of `keep`.
    pub fn keeps(&self) -> impl Iterator<Item = &str> {
        self.keep.iter().map(|field| field.name.as_str())
    }

    /// Statuses that a 5xx is declared to be certain for: a promise that nothing happened, which `providers test` says.
    pub fn promised(&self) -> impl Iterator<Item = (u16, Class)> {
        self.on_status
            .iter()
            .filter(|(status, class)| **status >= 500 && **class != Class::Unknown)
            .map(|(status, class)| (*status, *class))
    }

    /// Every template of the first request and what is read.
    pub(crate) fn own_placed(&self) -> Vec<(Spot, Placed)> {
        let mut all = Vec::new();
        self.request.placed(&mut all);
        all.extend(self.expect.placed().into_iter().map(|placed| (Spot::Text, placed)));
        if let Some(errors) = &self.errors {
            all.extend(errors.placed().map(|placed| (Spot::Text, placed)));
        }
        all.extend(self.keep.iter().flat_map(Field::placed).map(|placed| (Spot::Text, placed)));
        if self.poll.is_none() {
            all.extend(self.extract.iter().flat_map(Field::placed).map(|placed| (Spot::Text, placed)));
        }
        all
    }

    /// Every template that is rendered after `keep` was read.
    pub(crate) fn poll_placed(&self) -> Vec<(Spot, Placed)> {
        let mut all = Vec::new();
        if let Some(poll) = &self.poll {
            poll.placed(&mut all);
            all.extend(self.extract.iter().flat_map(Field::placed).map(|placed| (Spot::Text, placed)));
        }
        all
    }

    pub(crate) fn placed(&self) -> Vec<(Spot, Placed)> {
        let mut all = self.own_placed();
        all.extend(self.poll_placed());
        all
    }
}

/// What this version does not support yet, in the two halves of a problem: what is wrong (it starts with `not yet:`) and what would be
/// right. The one place that says so.
#[must_use]
pub fn not_yet(what: &str) -> (String, String) {
    (format!("not yet: {what} is not supported by this version"), "use another kind".to_owned())
}

/// A table of sources; `shape` says what a name must give, `None` = no such name.
pub(crate) fn fields(reader: &Reader<'_>, key: &str, shape: impl Fn(&str) -> Option<Shape>) -> Vec<Field> {
    let Some(table) = reader.table(key) else { return Vec::new() };
    let mut all = Vec::new();
    for (name, entry) in &table.table_itself().entries {
        let path = table.path_of(name);
        let Some(text) = table.text(name) else { continue };
        let Some(shape) = shape(name) else {
            reader.problems().add(
                &entry.key,
                path,
                "is no name of a value",
                "letters, digits and _, after new. or old. where the step mints",
            );
            continue;
        };
        match Source::parse(text, shape) {
            Ok(source) => all.push(Field { name: name.clone(), source, key: path, place: entry.node.place.clone() }),
            Err(error) => reader.problems().add(&entry.node.place, path, "is no source", error.message),
        }
    }
    all
}

fn extract_shape(field: &str, secret_outputs: &BTreeSet<String>) -> Option<Shape> {
    let name = field.strip_prefix("new.").or_else(|| field.strip_prefix("old.")).unwrap_or(field);
    let shape = if secret_outputs.contains(name) { Shape::Secret } else { Shape::of_field(name) };
    is_name(name).then_some(shape)
}

pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// `reply`.
fn reply_form(reader: &Reader<'_>) -> Option<Form> {
    if reader.text("reply") == Some("xml") {
        let (wrong, right) = not_yet("reply = \"xml\"");
        reader.wrong("reply", wrong, right);
        return None;
    }
    reader.choice("reply", &[("json", Form::Json), ("text", Form::Text), ("none", Form::None)])
}

/// A span that is a deadline or a pause: from a second to a day.
pub(crate) fn timeout(reader: &Reader<'_>, key: &str, default: Duration) -> Duration {
    let Some(span) = reader.span(key) else { return default };
    if !(cutover_api::Span::SECOND..=cutover_api::Span::DAY).contains(&span) {
        reader.wrong(key, format!("is {span}"), "must be from 1s to 1d");
    }
    Duration::from_millis(u64::try_from(span.0).unwrap_or(0))
}

fn on_status(reader: &Reader<'_>) -> BTreeMap<u16, Class> {
    let Some(table) = reader.table("on_status") else { return BTreeMap::new() };
    let mut all = BTreeMap::new();
    for key in table.table_itself().entries.keys() {
        let class = crate::judge::class_at(&table, key);
        match key.parse::<u16>().ok().filter(|status| (200..600).contains(status)) {
            Some(status) => all.extend(class.map(|class| (status, class))),
            None => table.wrong(key, "is no status", "a status from 200 to 599: { 404 = \"gone\" }"),
        }
    }
    all
}
