//! Sends a step's request, once.

use std::time::Duration;

use bytes::Bytes;
use cutover_api::{Cause, Class, Obstacle, Refusal, Secret, Stamp, whereto};
use reqwest::header::HeaderMap;
use zeroize::{Zeroize, Zeroizing};

use crate::filter::read_http_date;
use crate::http::{Http, Origins};
use crate::reply::{Form, MAX_BODY, Reply};
use crate::request::{Rendered, Request, Turn};
use crate::step::Step;
use crate::vars::Vars;

/// The longest header value that is kept, and the most of all of them, in bytes.
const MAX_HEADER: usize = 8 * 1024;
const MAX_HEADERS: usize = 64 * 1024;

/// What became of one request.
pub enum Sent {
    /// A whole reply, whatever its status: [`Step::judge`] it.
    Reply(Reply),
    /// Certainly nothing was sent: it could not be rendered (class `refused`), or the line could not be opened (class `unsent`).
    Unsent(Refusal),
    /// It may have been sent; what was received of a reply, if anything.
    Unknown(Cause, Option<Partial>),
}

/// What was received of a reply that did not come whole. It may hold a secret: seal it.
pub struct Partial(pub(crate) Reply);

impl Partial {
    /// As [`Reply::to_sealed`]; read back with [`Reply::from_sealed`] it is judged `unknown` (`cut`), whatever stands in it.
    #[must_use]
    pub fn to_sealed(&self) -> Secret {
        self.0.to_sealed()
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.0.status
    }
}

impl Step {
    /// Sends the request once, under one total deadline, body included. Nothing is ever repeated inside.
    ///
    /// `sent_at`: now, by the caller's clock; relative times of the reply and signatures count from it. A line that is not open within
    /// 10 s is `unsent`; a deadline shorter than that may cut the opening off and then has to say `unknown`.
    pub async fn send(&self, http: &Http, origins: &Origins, vars: &Vars, sent_at: Stamp) -> Sent {
        match self.rendered(&self.request, origins, vars, sent_at, &Turn::First) {
            Ok(rendered) => self.fire(http, rendered, &self.request, sent_at, self.timeout).await,
            Err(refusal) => Sent::Unsent(refusal),
        }
    }

    /// A request of this step, ready to be sent.
    pub(crate) fn rendered(
        &self,
        request: &Request,
        origins: &Origins,
        vars: &Vars,
        sent_at: Stamp,
        turn: &Turn,
    ) -> Result<Rendered, Refusal> {
        let accept = matches!(self.form, Form::Json).then_some("application/json");
        request
            .render(origins, vars, sent_at, accept, turn)
            .map_err(|error| Refusal::new(Class::Refused, self.name()).hint(format!("nothing was sent: {error}")))
    }

    /// Sends what is rendered.
    pub(crate) async fn fire(
        &self,
        http: &Http,
        rendered: Rendered,
        request: &Request,
        sent_at: Stamp,
        deadline: Duration,
    ) -> Sent {
        let mut got: Option<Reply> = None;
        let place = whereto(&rendered.url);
        let sent = tokio::time::timeout(deadline, self.exchange(http, rendered, sent_at, &mut got)).await;
        let ended = sent.unwrap_or(Err(Failed::Unknown("timeout")));
        let status = got.as_ref().map(|reply| i32::from(reply.status));
        let label = match &ended {
            Ok(()) => "whole",
            Err(Failed::Unsent(_)) => "unsent",
            Err(Failed::Unknown(label)) => label,
        };
        tracing::debug!(step = self.name(), request = request.text, status, label, "http step");
        match (ended, got) {
            (Ok(()), Some(mut reply)) => {
                reply.whole = true;
                Sent::Reply(reply)
            }
            (Err(Failed::Unsent(why)), _) => {
                Sent::Unsent(Refusal::new(Class::Unsent, self.name()).hint(format!("{place}: {why}; nothing was sent")))
            }
            (Err(Failed::Unknown(label)), got) => {
                let mut cause = Cause::new(self.name(), label);
                cause.status = status;
                cause.hint = without_answer(label, &place, deadline);
                Sent::Unknown(cause, got.map(Partial))
            }
            (Ok(()), None) => Sent::Unknown(Cause::new(self.name(), "cut"), None),
        }
    }

    /// One exchange. What is received stands in `got` from its first byte on, so that a deadline that cuts it off loses nothing.
    async fn exchange(&self, http: &Http, rendered: Rendered, sent_at: Stamp, got: &mut Option<Reply>) -> Result<(), Failed> {
        let Rendered { method, url, headers, body } = rendered;
        let plain = url.scheme() == "http";
        let mut builder = http.client.request(method, url).headers(headers);
        if let Some(body) = body {
            // Handed over with its owner, so that it is wiped once it is sent.
            builder = builder.body(Bytes::from_owner(body));
        }
        let mut response = builder.send().await.map_err(|error| Failed::of(&error))?;
        // In clear, a body that ends with its line cannot be told from one that was cut; TLS tells, and JSON shows it by itself.
        let told_end =
            response.headers().contains_key("content-length") || response.headers().contains_key("transfer-encoding");
        let open_end = plain && !told_end && self.form == Form::Text;
        let reply = got.insert(self.begun(response.status().as_u16(), response.headers(), sent_at));
        let told = response.content_length().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        reply.body = Zeroizing::new(Vec::with_capacity(told.clamp(16 * 1024, MAX_BODY)));
        loop {
            match response.chunk().await {
                Ok(None) if open_end && !reply.body.is_empty() => return Err(Failed::Unknown("cut")),
                Ok(None) => return Ok(()),
                Ok(Some(chunk)) if chunk.len() > MAX_BODY - reply.body.len() => {
                    let fits = MAX_BODY - reply.body.len();
                    append(&mut reply.body, &chunk[..fits]);
                    return Err(Failed::Unknown("too-long"));
                }
                Ok(Some(chunk)) => append(&mut reply.body, &chunk),
                Err(error) => return Err(Failed::Unknown(if error.is_timeout() { "timeout" } else { "cut" })),
            }
        }
    }

    /// A reply of which only the head has come.
    fn begun(&self, status: u16, headers: &HeaderMap, sent_at: Stamp) -> Reply {
        let mut kept = Vec::new();
        let mut room = MAX_HEADERS;
        for (name, value) in headers {
            let wanted = matches!(name.as_str(), "date" | "retry-after" | "link" | "set-cookie" | "content-type")
                || self.wants.iter().any(|wanted| wanted.eq_ignore_ascii_case(name.as_str()));
            match value.to_str().ok().filter(|text| text.len() <= MAX_HEADER.min(room)) {
                Some(text) if wanted => {
                    room -= text.len();
                    kept.push((name.as_str().to_owned(), Zeroizing::new(text.to_owned())));
                }
                // A link that cannot be kept must not look like the end of a list: this is no link, and says so when it is read.
                None if name == "link" => kept.push(("link".to_owned(), Zeroizing::new("?".to_owned()))),
                _ => {}
            }
        }
        let date = headers.get("date").and_then(|value| value.to_str().ok()).and_then(read_http_date);
        let body = Zeroizing::new(Vec::new());
        Reply { status, headers: kept, body, sent_at, date, form: self.form, whole: false, polled: false }
    }
}

/// What is said of an answer that did not come whole; the label alone is said where that is all.
fn without_answer(label: &str, place: &str, deadline: Duration) -> Option<String> {
    match label {
        "timeout" => Some(format!("{place}: no whole answer within {} s", deadline.as_secs_f32())),
        "cut" => Some(format!("{place}: the connection was closed before the whole answer was there")),
        _ => None,
    }
}

/// Why there is no whole reply.
enum Failed {
    Unsent(String),
    Unknown(&'static str),
}

impl Failed {
    /// Nothing but a failure to open the line proves that no request byte left.
    fn of(error: &reqwest::Error) -> Self {
        match error {
            _ if error.is_dns() => Self::Unsent(Obstacle::Name.to_string()),
            _ if error.is_connect() => {
                Self::Unsent(Obstacle::of(error).map_or_else(|| "no connection".to_owned(), |obstacle| obstacle.to_string()))
            }
            _ if error.is_builder() => Self::Unsent("the request could not be put together".to_owned()),
            _ if error.is_timeout() => Self::Unknown("timeout"),
            _ => Self::Unknown("cut"),
        }
    }
}

/// Appends; where the buffer must grow, the old one is wiped.
fn append(buffer: &mut Zeroizing<Vec<u8>>, more: &[u8]) {
    if buffer.capacity() - buffer.len() < more.len() {
        let mut larger =
            Vec::with_capacity((buffer.len() + more.len()).saturating_mul(2).min(MAX_BODY.max(more.len() + buffer.len())));
        larger.extend_from_slice(buffer);
        buffer.zeroize();
        *buffer = Zeroizing::new(larger);
    }
    buffer.extend_from_slice(more);
}
