//! `paginate`: how the next page is asked for. Only the query (or form) of the step's own request may differ.

use cutover_api::Reader;
use serde_json::Value;
use url::Url;

use crate::page::Page;
use crate::pointer::Pointer;
use crate::reply::Reply;
use crate::request::Turn;
use crate::vars::Vars;

/// How the next page is asked for.
#[derive(Clone, Debug)]
pub struct Paginate {
    by: By,
    max_pages: u64,
}

#[derive(Clone, Debug)]
enum By {
    /// The value at a pointer goes into a pair.
    Cursor { at: Pointer, into: String },
    /// Numbers go into a pair, until a page has no rows.
    Page { into: String, first: i64 },
    /// The next URL stands in the body.
    Url { at: Pointer },
    /// The next URL stands in the Link header.
    Link,
}

/// What comes after a page.
pub(crate) enum Next {
    End,
    Turn(Turn),
}

impl Paginate {
    /// Reads the table; reports what is wrong.
    pub(crate) fn load(table: &Reader<'_>) -> Option<Self> {
        let by = table.require_text("by", "must be \"cursor\", \"page\", \"url\" or \"link\"");
        let max_pages = table.integer("max_pages", 1..=10_000).unwrap_or(100);
        let by = match by? {
            "cursor" => pointer(table).zip(into(table)).map(|(at, into)| By::Cursor { at, into }),
            "page" => into(table).map(|into| By::Page { into, first: table.integer("first", 0..=1_000_000).unwrap_or(1) }),
            "url" => pointer(table).map(|at| By::Url { at }),
            "link" => Some(By::Link),
            _ => {
                table.wrong("by", "is not known", "must be \"cursor\", \"page\", \"url\" or \"link\"");
                None
            }
        };
        table.finish();
        Some(Self { by: by?, max_pages: u64::try_from(max_pages).unwrap_or(1) })
    }

    pub(crate) const fn max_pages(&self) -> u64 {
        self.max_pages
    }

    /// What the first page asks for.
    pub(crate) fn first(&self) -> Turn {
        match &self.by {
            By::Page { into, first } => Turn::Pair(into.clone(), first.to_string()),
            _ => Turn::First,
        }
    }

    /// What comes after the page `number` (from 0), which was asked for by `turn` at `url` and has so many rows.
    pub(crate) fn next(
        &self,
        page: &Page<'_>,
        vars: &Vars,
        rows: usize,
        number: u64,
        turn: &Turn,
        url: &Url,
    ) -> Result<Next, &'static str> {
        match &self.by {
            By::Cursor { at, into } => match page.find(at, vars)? {
                None => Ok(Next::End),
                Some(Value::String(text)) if text.is_empty() => Ok(Next::End),
                Some(Value::String(text)) => again(turn, into, text.clone()),
                Some(Value::Number(n)) => again(turn, into, n.to_string()),
                Some(_) => Err("is named by what is neither a text nor a number"),
            },
            By::Page { .. } if rows == 0 => Ok(Next::End),
            By::Page { into, first } => {
                let next = i64::try_from(number).ok().and_then(|n| first.checked_add(n)).and_then(|n| n.checked_add(1));
                Ok(Next::Turn(Turn::Pair(into.clone(), next.ok_or("has too high a number")?.to_string())))
            }
            By::Url { at } => match page.find(at, vars)? {
                None => Ok(Next::End),
                Some(Value::String(text)) if text.is_empty() => Ok(Next::End),
                Some(Value::String(text)) => same_place(url, text),
                Some(_) => Err("is named by what is no text"),
            },
            By::Link => match next_link(page.reply)? {
                None => Ok(Next::End),
                Some(text) => same_place(url, &text),
            },
        }
    }
}

fn again(turn: &Turn, into: &str, value: String) -> Result<Next, &'static str> {
    match turn {
        Turn::Pair(_, before) if *before == value => Err("is the same again"),
        _ => Ok(Next::Turn(Turn::Pair(into.to_owned(), value))),
    }
}

/// The next page may differ from this one in its query only: a foreign address would be told the credential.
fn same_place(url: &Url, text: &str) -> Result<Next, &'static str> {
    let next = url.join(text).map_err(|_| "has no usable address")?;
    let same = next.scheme() == url.scheme()
        && next.host() == url.host()
        && next.port_or_known_default() == url.port_or_known_default()
        && next.path() == url.path()
        && next.username().is_empty()
        && next.password().is_none();
    match (same, next.query() == url.query()) {
        (false, _) => Err("stands at another address"),
        (true, true) => Err("is the same again"),
        (true, false) => Ok(Next::Turn(Turn::Query(next.query().map(str::to_owned)))),
    }
}

/// The address with `rel="next"` in the Link headers (RFC 8288).
fn next_link(reply: &Reply) -> Result<Option<String>, &'static str> {
    const BAD: &str = "stands in a Link header that cannot be read";
    let mut found = None;
    for header in reply.all_headers("link") {
        let mut rest = header.trim();
        while !rest.is_empty() {
            let inner = rest.strip_prefix('<').ok_or(BAD)?;
            let (address, tail) = inner.split_once('>').ok_or(BAD)?;
            let (params, after) = link_params(tail);
            if params.iter().any(|(name, value)| name == "rel" && value.split(' ').any(|rel| rel.eq_ignore_ascii_case("next")))
            {
                if found.is_some() {
                    return Err("is named twice");
                }
                found = Some(address.to_owned());
            }
            rest = after.trim_start_matches([',', ' ', '\t']);
        }
    }
    Ok(found)
}

/// The parameters of one link, and what follows its comma.
fn link_params(tail: &str) -> (Vec<(String, String)>, &str) {
    let (mut quoted, mut end) = (false, tail.len());
    for (at, c) in tail.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    let pair = |text: &str| {
        let (name, value) = text.split_once('=')?;
        Some((name.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_owned()))
    };
    (tail[..end].split(';').filter_map(pair).collect(), &tail[end..])
}

fn into(table: &Reader<'_>) -> Option<String> {
    table.require_text("into", "must be the name of the query's or form's pair").map(str::to_owned)
}

fn pointer(table: &Reader<'_>) -> Option<Pointer> {
    match Pointer::parse(table.require_text("at", "must be a pointer")?) {
        Ok(at) if at.templates().next().is_none() => Some(at),
        Ok(_) => {
            table.wrong("at", "holds a slot", "a plain pointer");
            None
        }
        Err(error) => {
            table.wrong("at", "is no pointer", error.message);
            None
        }
    }
}
