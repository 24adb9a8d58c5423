//! A reply as it came, and as it is sealed before anything reads it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cutover_api::{Secret, Stamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The most of a body that is read, in bytes.
pub const MAX_BODY: usize = 1024 * 1024;

/// How replies are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// JSON.
    #[default]
    Json,
    /// The body is one text, at the pointer `""`.
    Text,
    /// The body is not looked at.
    None,
}

/// A reply. Its body and headers are wiped when it is dropped.
pub struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Zeroizing<String>)>,
    pub(crate) body: Zeroizing<Vec<u8>>,
    pub(crate) sent_at: Stamp,
    pub(crate) date: Option<Stamp>,
    pub(crate) form: Form,
    pub(crate) whole: bool,
    pub(crate) polled: bool,
}

/// The sealed form.
#[derive(Serialize)]
struct Sealed<'a> {
    v: u8,
    status: u16,
    headers: Vec<(String, &'a str)>,
    body: &'a str,
    sent_at: Stamp,
    date: Option<Stamp>,
    form: Form,
    whole: bool,
    polled: bool,
}

/// The sealed form as it is read: texts that JSON escaped cannot be borrowed.
#[derive(Deserialize)]
struct Opened {
    v: u8,
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    sent_at: Stamp,
    date: Option<Stamp>,
    form: Form,
    whole: bool,
    polled: bool,
}

impl Reply {
    /// The status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// When the request was sent, by our clock.
    #[must_use]
    pub const fn sent_at(&self) -> Stamp {
        self.sent_at
    }

    /// The other side's own time, from its `Date` header.
    #[must_use]
    pub const fn date(&self) -> Option<Stamp> {
        self.date
    }

    /// Whether all of it came. What did not is never judged anything but `unknown`.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.whole
    }

    /// The first header of this name (any case), where it was kept: `Date`, `Retry-After`, `Link`, `Set-Cookie`, `Content-Type` and
    /// those a source of the step names.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all_headers(name).next()
    }

    pub(crate) fn all_headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The value of the last cookie of this name that the reply sets.
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        let value = |line: &'_ str| -> Option<(usize, usize)> {
            let pair = line.split(';').next()?;
            let (known, value) = pair.split_once('=')?;
            let start = known.len() + 1;
            (known.trim() == name).then_some((start, start + value.len()))
        };
        let line_value =
            self.all_headers("set-cookie").filter_map(|line| value(line).and_then(|(from, to)| line.get(from..to))).last()?;
        Some(line_value.trim()).filter(|value| !value.is_empty())
    }

    /// What is sealed before anything parses it: the whole reply as JSON, its body in base 64.
    #[must_use]
    pub fn to_sealed(&self) -> Secret {
        let body = Zeroizing::new(STANDARD.encode(&self.body));
        let sealed = Sealed {
            v: 1,
            status: self.status,
            headers: self.headers.iter().map(|(name, value)| (name.clone(), value.as_str())).collect(),
            body: &body,
            sent_at: self.sent_at,
            date: self.date,
            form: self.form,
            whole: self.whole,
            polled: self.polled,
        };
        // Sized before the body is copied in: a buffer that grows leaves copies behind.
        let size = 256 + body.len() + self.headers.iter().map(|(name, value)| 16 + name.len() + 6 * value.len()).sum::<usize>();
        let mut text = Vec::with_capacity(size);
        // Writing plain data into memory cannot fail; should it ever, what was written is no reply and is read back as none.
        let written = serde_json::to_writer(&mut text, &sealed);
        debug_assert!(written.is_ok());
        Secret::new(String::from_utf8(text).unwrap_or_default())
    }

    /// Reads back exactly what [`Reply::to_sealed`] made; `None` when it is not that.
    #[must_use]
    pub fn from_sealed(sealed: &Secret) -> Option<Self> {
        let opened: Opened = serde_json::from_str(sealed.expose()).ok()?;
        let headers = opened.headers.into_iter().map(|(name, value)| (name, Zeroizing::new(value))).collect();
        let body = Zeroizing::new(opened.body);
        if opened.v != 1 {
            return None;
        }
        Some(Self {
            status: opened.status,
            headers,
            body: Zeroizing::new(STANDARD.decode(body.as_bytes()).ok()?),
            sent_at: opened.sent_at,
            date: opened.date,
            form: opened.form,
            whole: opened.whole,
            polled: opened.polled,
        })
    }
}
