//! What is read from a reply, and running a step to its end.

use std::collections::BTreeMap;
use std::fmt;

use cutover_api::{Clock, Fingerprint, Outcome, Secret, Stamp};
use serde_json::Value;

use crate::http::{Http, Origins};
use crate::judge::Judged;
use crate::page::Page;
use crate::poll::Polled;
use crate::reply::Reply;
use crate::send::Sent;
use crate::step::{Field, Step};
use crate::vars::{Var, Vars};

/// One value read from a reply.
pub enum Extracted {
    /// A plain text, at most 1024 bytes, no control characters.
    Text(String),
    /// A secret, never empty.
    Secret(Secret),
    /// A point in time.
    Time(Stamp),
    /// True or false.
    Boolean(bool),
    /// Any other plain fact.
    Json(Value),
    /// A text or an array of texts (the `fingerprint` of a consumer).
    Texts(Vec<String>),
    /// What became of a row's `secret`.
    Fingerprint(Fingerprint),
}

/// Why a reply could not be read. Names the field and the pointer, never a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The field: `new.secret`; empty where the whole reply is meant.
    pub field: String,
    /// The source as written.
    pub source: String,
    /// What is wrong.
    pub wrong: &'static str,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.field.is_empty(), self.source.is_empty()) {
            (true, _) => write!(f, "the reply {}", self.wrong),
            (false, true) => write!(f, "{} (the whole reply) {}", self.field, self.wrong),
            (false, false) => write!(f, "{} ({}) {}", self.field, self.source, self.wrong),
        }
    }
}

/// A step that ran to its end.
pub struct StepResult {
    /// `extract`, by FIELD as written (`new.id`, `id`).
    pub extract: BTreeMap<String, Extracted>,
    /// `keep`, by NAME: secrets, but `expires_at`, which is a time.
    pub keep: BTreeMap<String, Extracted>,
    /// The other side's own time.
    pub reply_date: Option<Stamp>,
    /// The reply itself; the last one where the step polls.
    pub reply: Reply,
}

impl Extracted {
    /// As a value for templates; a fingerprint becomes its text, texts become an array.
    #[must_use]
    pub fn into_var(self) -> Var {
        match self {
            Self::Text(text) => Var::Text(text),
            Self::Secret(secret) => Var::Secret(secret),
            Self::Time(at) => Var::Time(at),
            Self::Boolean(b) => Var::Json(b.into()),
            Self::Json(value) => Var::Json(value),
            Self::Texts(texts) => Var::Json(texts.into()),
            Self::Fingerprint(fingerprint) => Var::Text(fingerprint.0),
        }
    }
}

impl Step {
    /// Reads `extract` from an expected reply (the done one where the step polls). FIELDs without a value that may have none are left out.
    ///
    /// # Errors
    /// A needed value is missing or of the wrong kind: the effect of the call is unknown.
    pub fn extract(&self, reply: &Reply, vars: &Vars) -> Result<BTreeMap<String, Extracted>, Unreadable> {
        read_all(&self.extract, &Page::of(reply, self.form), vars)
    }

    /// Reads `keep` from an expected first reply. Everything is [`Extracted::Secret`], but `expires_at`, which is [`Extracted::Time`].
    ///
    /// # Errors
    /// A needed value is missing or of the wrong kind.
    pub fn keep(&self, reply: &Reply, vars: &Vars) -> Result<BTreeMap<String, Extracted>, Unreadable> {
        read_all(&self.keep, &Page::of(reply, self.form), vars)
    }

    /// Sends, judges, polls where the step polls, and reads. `clock` tells when each request is sent.
    pub async fn run(&self, http: &Http, origins: &Origins, vars: &Vars, clock: &dyn Clock) -> Outcome<StepResult> {
        let first = match self.send(http, origins, vars, clock.now()).await {
            Sent::Reply(reply) => reply,
            Sent::Unsent(refusal) => return Outcome::Refused(refusal),
            Sent::Unknown(cause, _) => return Outcome::Unknown(cause),
        };
        match self.judge(&first, vars) {
            Judged::Done => {}
            Judged::Refused(refusal) => return Outcome::Refused(refusal),
            Judged::Unknown(cause) => return Outcome::Unknown(cause),
        }
        let keep = match self.keep(&first, vars) {
            Ok(keep) => keep,
            Err(unreadable) => return Outcome::Unknown(self.unreadable(&unreadable, &first)),
        };
        let reply = if self.polls() {
            match self.poll(http, origins, vars, &first, clock).await {
                Polled::Done(reply) => reply,
                Polled::Refused(refusal) => return Outcome::Refused(refusal),
                Polled::Unknown(cause, _) => return Outcome::Unknown(cause),
            }
        } else {
            first
        };
        match self.extract(&reply, vars) {
            Ok(extract) => Outcome::Done(StepResult { extract, keep, reply_date: reply.date, reply }),
            Err(unreadable) => Outcome::Unknown(self.unreadable(&unreadable, &reply)),
        }
    }

    /// The cause of a reply that could not be read.
    #[must_use]
    pub fn unreadable(&self, unreadable: &Unreadable, reply: &Reply) -> cutover_api::Cause {
        self.cause("unreadable", reply).hint(unreadable.to_string())
    }
}

/// Reads every field, naming the one that cannot be read.
pub(crate) fn read_all(fields: &[Field], page: &Page<'_>, vars: &Vars) -> Result<BTreeMap<String, Extracted>, Unreadable> {
    let mut all = BTreeMap::new();
    for field in fields {
        let read = field.source.read_page(page, vars);
        if let Some(value) = read.map_err(|error| Unreadable { field: field.name.clone(), ..error })? {
            all.insert(field.name.clone(), value);
        }
    }
    Ok(all)
}
