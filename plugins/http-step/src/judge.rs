//! The class of a reply (definitions.md 6).

use std::collections::BTreeMap;

use cutover_api::{Cause, Class, Place, Reader, Refusal, Span};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::check::Placed;
use crate::filter::read_http_date;
use crate::page::Page;
use crate::pointer::Pointer;
use crate::reply::Reply;
use crate::step::Step;
use crate::vars::Vars;

/// The longest a Retry-After is believed.
const MAX_RETRY_AFTER: Span = Span::HOUR;

/// What a reply means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// `expect` holds; the values are still to be read.
    Done,
    /// Certainly no effect; the class, the cleaned error code and Retry-After are in it.
    Refused(Refusal),
    /// Nothing certain can be said.
    Unknown(Cause),
}

/// `[errors]`: where the provider's error code stands and what it means.
#[derive(Clone, Debug)]
pub struct Errors {
    at: Pointer,
    is: BTreeMap<String, Class>,
    key: String,
    place: Place,
}

impl Errors {
    /// Reads the table at `key`; reports what is wrong. `None` when it is not there or of no use.
    #[must_use]
    pub fn load(reader: &Reader<'_>, key: &str) -> Option<Self> {
        let table = reader.table(key)?;
        let at = table.require_text("at", "must be the pointer to the provider's error code");
        let place = table.table_itself().get("at").map_or(&table.table_itself().place, |node| &node.place).clone();
        let pointer = at.and_then(|text| match Pointer::parse(text) {
            Ok(pointer) => Some(pointer),
            Err(error) => {
                table.wrong("at", "is no pointer", error.message);
                None
            }
        });
        let mut is = BTreeMap::new();
        if let Some(codes) = table.table("is") {
            is.extend(codes.table_itself().entries.keys().filter_map(|code| Some((code.clone(), class_at(&codes, code)?))));
        }
        table.finish();
        Some(Self { at: pointer?, is, key: table.path_of("at"), place })
    }

    /// The code in a reply, as the provider wrote it.
    fn code(&self, page: &Page<'_>, vars: &Vars) -> Option<Zeroizing<String>> {
        match page.find(&self.at, vars).ok()?? {
            Value::String(text) => Some(Zeroizing::new(text.clone())),
            Value::Number(n) => Some(Zeroizing::new(n.to_string())),
            _ => None,
        }
    }

    pub(crate) fn placed(&self) -> impl Iterator<Item = Placed> {
        self.at.templates().map(|t| Placed { template: t.clone(), key: self.key.clone(), place: self.place.clone() })
    }
}

/// An error code that may be shown: 1 to 64 of `[A-Za-z0-9_.:-]`; anything else is dropped whole.
#[must_use]
pub fn clean_code(code: &str) -> Option<String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
    ((1..=64).contains(&code.len()) && code.bytes().all(good)).then(|| code.to_owned())
}

/// A class that a definition may name.
pub(crate) fn class_at(table: &Reader<'_>, key: &str) -> Option<Class> {
    let classes =
        [Class::Auth, Class::Scope, Class::Gone, Class::Exists, Class::Limit, Class::Throttle, Class::Refused, Class::Unknown];
    table.choice(key, &classes.map(|class| (class.label(), class)))
}

impl Step {
    /// Judges a whole reply: MATCH first, then `errors.is[code]`, then `on_status`, then the default. A sealed reply that was cut is
    /// `unknown`. Pure.
    #[must_use]
    pub fn judge(&self, reply: &Reply, vars: &Vars) -> Judged {
        self.judge_page(&Page::of(reply, self.form), vars)
    }

    pub(crate) fn judge_page(&self, page: &Page<'_>, vars: &Vars) -> Judged {
        let reply = page.reply;
        if !reply.whole {
            return Judged::Unknown(self.cause("cut", reply));
        }
        let expected = match &self.poll {
            Some(poll) if reply.polled => &poll.done,
            _ => &self.expect,
        };
        if expected.holds_page(page, vars) {
            return Judged::Done;
        }
        let code = self.errors.as_ref().and_then(|errors| errors.code(page, vars));
        let coded = code.as_ref().and_then(|code| self.errors.as_ref()?.is.get(code.as_str()).copied());
        let declared = coded.or_else(|| self.on_status.get(&reply.status).copied());
        let class = declared.unwrap_or_else(|| default_class(reply.status));
        let code = code.and_then(|code| clean_code(&code));
        tracing::debug!(
            step = self.name(),
            request = self.request(),
            status = reply.status,
            class = class.label(),
            code,
            "http reply"
        );
        if class == Class::Unknown {
            let label = match (declared, reply.status) {
                (Some(_), _) => "declared",
                (None, 200..300) if page.unreadable().is_some() => "unreadable",
                (None, 200..300) => "unexpected",
                (None, 300..400) => "redirect",
                (None, 408) => "status-408",
                (None, 500..600) => "status-5xx",
                _ => "status",
            };
            let cause = self.cause(label, reply);
            return Judged::Unknown(match code {
                Some(code) => cause.hint(format!("the provider's error code is {code}")),
                None => cause,
            });
        }
        let mut refusal = Refusal::new(class, self.name()).status(i32::from(reply.status));
        refusal.code = code;
        refusal.retry_after = retry_after(reply);
        Judged::Refused(refusal)
    }

    /// A cause at this step.
    pub(crate) fn cause(&self, label: &str, reply: &Reply) -> Cause {
        Cause::new(self.name(), label).status(i32::from(reply.status))
    }
}

const fn default_class(status: u16) -> Class {
    match status {
        401 => Class::Auth,
        403 => Class::Scope,
        404 | 410 => Class::Gone,
        409 => Class::Exists,
        429 => Class::Throttle,
        408 => Class::Unknown,
        400..500 => Class::Refused,
        _ => Class::Unknown,
    }
}

/// Retry-After, in seconds or as a date by the provider's own clock; at most an hour.
fn retry_after(reply: &Reply) -> Option<Span> {
    let text = reply.header("retry-after")?.trim();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let span = if digits {
        // More digits than a number holds is longer than what is believed.
        text.parse::<i64>().map_or(MAX_RETRY_AFTER, Span::seconds)
    } else {
        read_http_date(text)?.since(reply.date.unwrap_or(reply.sent_at))
    };
    Some(span.min(MAX_RETRY_AFTER))
}
