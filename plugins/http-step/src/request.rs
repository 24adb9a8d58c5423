//! One request: where it goes, what it carries, and how it is rendered.

use std::collections::BTreeMap;

use cutover_api::{Place, Reader, Stamp};
use reqwest::Method;
use reqwest::header::HeaderMap;
use url::Url;
use zeroize::Zeroizing;

use crate::auth::{Auth, headers, insert};
use crate::body::{Body, Leaf, pairs, render_pairs};
use crate::check::{Placed, Spot};
use crate::http::{Origins, origin};
use crate::render::{header_of, path_of};
use crate::source::is_token;
use crate::step::Defaults;
use crate::template::{RenderError, Template};
use crate::vars::Vars;

/// A request as it is written.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) text: String,
    pub(crate) method: Method,
    target: Target,
    path: Placed,
    query: Vec<(String, Leaf)>,
    headers: BTreeMap<String, Placed>,
    pub(crate) body: Body,
    auth: Auth,
}

/// Where a request goes.
#[derive(Clone, Debug)]
enum Target {
    Base,
    Host(String),
    Whole(Url),
}

/// What the next page asks for.
#[derive(Clone, Debug, Default)]
pub(crate) enum Turn {
    /// The request as it is written.
    #[default]
    First,
    /// One more pair, in the form where there is one, else in the query.
    Pair(String, String),
    /// Another query.
    Query(Option<String>),
}

/// A request ready to be sent. It has no `Debug`: it holds secrets.
pub(crate) struct Rendered {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Zeroizing<Vec<u8>>>,
}

impl Request {
    /// Reads `request`, `query`, `headers`, `auth` and the body of a step or its poll. `auth`: who signs when it does not say.
    pub(crate) fn load(reader: &Reader<'_>, defaults: &Defaults, auth: &Auth) -> Option<Self> {
        let text = reader.require_text("request", "must be \"METHOD /path\"");
        let line = text.and_then(|text| Line::parse(text, reader, defaults));
        let own_query = reader.table("query").map(|table| pairs(&table));
        let own_headers = reader.table("headers").map(|table| headers(&table));
        let body = Body::load(reader);
        let auth = if reader.has("auth") { Auth::load(reader, "auth") } else { Some(auth.clone()) };
        let line = line?;
        let on_base = matches!(line.target, Target::Base);
        // What the top level adds belongs to the base: another host is not told it unasked.
        let inherit = |ours: bool| on_base && ours;
        let query = own_query.unwrap_or_else(|| if inherit(true) { defaults.query.clone() } else { Vec::new() });
        let headers = own_headers.unwrap_or_else(|| if inherit(true) { defaults.headers.clone() } else { BTreeMap::new() });
        Some(Self {
            text: text?.to_owned(),
            method: line.method,
            target: line.target,
            path: line.path,
            query,
            headers,
            body,
            auth: auth?,
        })
    }

    /// Who signs it.
    pub(crate) const fn auth(&self) -> &Auth {
        &self.auth
    }

    /// Adds or replaces a header.
    pub(crate) fn set_header(&mut self, name: &str, template: Template) {
        let place = Placed { template, key: format!("headers.{name}"), place: Place::nowhere() };
        self.headers.insert(name.to_ascii_lowercase(), place);
    }

    /// Every template in it.
    pub(crate) fn placed(&self, all: &mut Vec<(Spot, Placed)>) {
        all.push((Spot::Path, self.path.clone()));
        let mut query = Vec::new();
        Body::Form(self.query.clone()).placed(&mut query);
        all.extend(query.into_iter().map(|(_, placed)| (Spot::Query, placed)));
        all.extend(self.headers.values().map(|placed| (Spot::Header, placed.clone())));
        self.body.placed(all);
        self.auth.placed(all);
    }

    /// Renders it. The same values always give the same bytes, signatures aside.
    pub(crate) fn render(
        &self,
        origins: &Origins,
        vars: &Vars,
        sent_at: Stamp,
        accept: Option<&str>,
        turn: &Turn,
    ) -> Result<Rendered, RenderError> {
        let pair = match turn {
            Turn::Pair(name, value) => Some((name.as_str(), value.as_str())),
            _ => None,
        };
        let (form_pair, query_pair) = if self.body.is_form() { (pair, None) } else { (None, pair) };
        let mut url = self.locate(origins, vars)?;
        let query = match turn {
            Turn::Query(query) => query.clone().unwrap_or_default(),
            _ => render_pairs(&self.query, vars, query_pair)?.as_str().to_owned(),
        };
        url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
        let body = self.body.render(vars, form_pair)?;
        let mut headers = HeaderMap::new();
        for (name, value) in [("accept", accept), ("content-type", self.body.content_type())] {
            if let Some(value) = value {
                insert(&mut headers, name, value)?;
            }
        }
        for (name, placed) in &self.headers {
            insert(&mut headers, name, header_of(&placed.template, vars)?.expose())?;
        }
        let mut made = Rendered { method: self.method.clone(), url, headers, body };
        self.auth.sign(&mut made, vars, sent_at)?;
        Ok(made)
    }

    /// The URL without its query. The path that comes out is exactly the one that was rendered, on the origin that was meant.
    fn locate(&self, origins: &Origins, vars: &Vars) -> Result<Url, RenderError> {
        let wrong = |wrong| RenderError { path: String::new(), wrong };
        let base = match &self.target {
            Target::Base => origins.base.as_ref().ok_or_else(|| wrong("base_url is not configured"))?,
            Target::Host(name) => origins.hosts.get(name).ok_or_else(|| wrong("this host is not configured"))?,
            Target::Whole(url) => url,
        };
        let path = path_of(&self.path.template, vars)?;
        let whole = Zeroizing::new(format!("{}{}", base.path().trim_end_matches('/'), path.expose()));
        let mut url = base.clone();
        url.set_path(&whole);
        if url.path() != whole.as_str() || url.origin() != base.origin() {
            return Err(wrong("the path would not be sent as it is rendered"));
        }
        Ok(url)
    }
}

struct Line {
    method: Method,
    target: Target,
    path: Placed,
}

impl Line {
    /// `METHOD /path`, `METHOD NAME:/path`, or `METHOD https://host/path`.
    fn parse(text: &str, reader: &Reader<'_>, defaults: &Defaults) -> Option<Self> {
        let wrong = |wrong: String, right: &str| -> Option<Self> {
            reader.wrong("request", wrong, right);
            None
        };
        let form = if defaults.base {
            "write \"METHOD /path\" or \"METHOD NAME:/path\""
        } else {
            "write \"METHOD https://host/path\""
        };
        let Some((method, rest)) = text.split_once(' ') else { return wrong("has no method".to_owned(), form) };
        let rest = rest.trim_start();
        let method = match method {
            "GET" => Method::GET,
            "HEAD" => Method::HEAD,
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "PATCH" => Method::PATCH,
            "DELETE" => Method::DELETE,
            _ => return wrong("names no known method".to_owned(), "GET, HEAD, POST, PUT, PATCH or DELETE"),
        };
        let (target, path) = if defaults.base {
            match rest.split_once(":/") {
                Some((name, _)) if !name.starts_with('/') && !name.contains("{{") => {
                    if rest.contains("://") {
                        return wrong(
                            "names a whole URL".to_owned(),
                            "requests reach `base_url` and `hosts` only: write NAME:/path",
                        );
                    }
                    if !defaults.hosts.contains(name) {
                        return wrong("names a host that `hosts` does not have".to_owned(), form);
                    }
                    (Target::Host(name.to_owned()), &rest[name.len() + 1..])
                }
                _ if rest.starts_with('/') => (Target::Base, rest),
                _ => return wrong("has no path".to_owned(), form),
            }
        } else {
            let after = rest.find("://").map_or(0, |n| n + 3);
            let slash = rest[after..].find('/').map_or(rest.len(), |n| after + n);
            let url = match (after, rest[..slash].contains("{{")) {
                (0, _) => return wrong("is no whole URL".to_owned(), form),
                (_, true) => return wrong("has a slot in its host".to_owned(), "no slot ever stands in a host"),
                _ => origin(&rest[..slash]),
            };
            match url {
                Ok(url) => (Target::Whole(url), if slash == rest.len() { "/" } else { &rest[slash..] }),
                Err(message) => return wrong("has no usable host".to_owned(), &message),
            }
        };
        let place = &reader.table_itself().get("request")?.place;
        let placed = Placed::load(path, &reader.path_of("request"), place, reader.problems())?;
        match bad_path(&placed.template) {
            Some((bad, right)) => wrong(bad.to_owned(), right),
            None => Some(Self { method, target, path: placed }),
        }
    }
}

/// What is wrong with the literal part of a path.
fn bad_path(template: &Template) -> Option<(&'static str, &'static str)> {
    // Every slot as one harmless letter: what is left is literal.
    let mut literal = String::new();
    let mut rest = template.text();
    while let Some((before, after)) = rest.split_once("{{") {
        literal.push_str(before);
        literal.push('x');
        rest = after.split_once("}}").map_or("", |(_, tail)| tail);
    }
    literal.push_str(rest);
    if literal.contains('?') {
        return Some(("holds a query", "write it in `query`"));
    }
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&b);
    if !literal.bytes().all(good) {
        return Some(("holds what no path may hold", "percent-encode it"));
    }
    let dots = |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    let mut segments = literal.trim_start_matches('/').split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if dots(segment) || (segment.is_empty() && !last) {
            return Some(("has an empty, \".\" or \"..\" segment", "write the path as it is meant"));
        }
    }
    literal.starts_with("//").then_some(("begins with two slashes", "write the path as it is meant"))
}

/// Whether a header may be set by a step.
pub(crate) fn header_name(name: &str) -> Result<(), (&'static str, &'static str)> {
    const OURS: &[&str] = &[
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "keep-alive",
        "proxy-connection",
    ];
    if !is_token(name) {
        return Err(("is no header's name", "letters, digits and -"));
    }
    if OURS.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(("is set by the client itself", "leave it out"));
    }
    Ok(())
}

/// The header table at `key`.
pub(crate) fn header_table(reader: &Reader<'_>, key: &str) -> BTreeMap<String, Placed> {
    reader.table(key).map(|table| headers(&table)).unwrap_or_default()
}

/// The pair table at `key`.
pub(crate) fn pair_table(reader: &Reader<'_>, key: &str) -> Vec<(String, Leaf)> {
    reader.table(key).map(|table| pairs(&table)).unwrap_or_default()
}
