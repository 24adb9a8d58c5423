//! `rows` and `row`: a list of keys, whole or not at all.

use std::collections::BTreeMap;

use cutover_api::{Cause, Clock, Outcome, Problems, Reader, Stamp};
use serde_json::Value;

use crate::check::Spot;
use crate::extract::{Extracted, Unreadable};
use crate::http::{Http, Origins};
use crate::judge::Judged;
use crate::page::Page;
use crate::paginate::{Next, Paginate};
use crate::pointer::Pointer;
use crate::reply::Reply;
use crate::scope::Scope;
use crate::send::Sent;
use crate::source::{Shape, Source};
use crate::step::{Field, Step, fields, is_name};
use crate::vars::Vars;

/// One row, by FIELD. `id` is always there; a `secret` has become [`Extracted::Fingerprint`].
pub type Row = BTreeMap<String, Extracted>;

/// `rows`, `row` and `paginate` of a list step.
#[derive(Clone, Debug)]
pub struct Rows {
    at: Pointer,
    row: Vec<Field>,
    paginate: Option<Paginate>,
}

/// A whole list.
pub struct Listed {
    /// Every row of every page.
    pub rows: Vec<Row>,
    /// The other side's own time, of the first page: what is not in the list was not there then.
    pub reply_date: Option<Stamp>,
}

impl Rows {
    /// The keys of a list step that are read here; pass them to [`Step::load`] as `extra`.
    pub const KEYS: &[&str] = &["rows", "row", "paginate"];

    /// Reads `rows`, `row` and `paginate`; reports what is wrong.
    #[must_use]
    pub fn load(reader: &Reader<'_>) -> Option<Self> {
        let at = match Pointer::parse(reader.text("rows").unwrap_or("")) {
            Ok(at) if at.templates().next().is_none() => Some(at),
            Ok(_) => {
                reader.wrong("rows", "holds a slot", "a plain pointer");
                None
            }
            Err(error) => {
                reader.wrong("rows", "is no pointer", error.message);
                None
            }
        };
        let row: Vec<Field> = fields(reader, "row", |name| is_name(name).then(|| Shape::of_field(name)))
            .into_iter()
            .map(|field| if field.name == "id" { field } else { field.sparse() })
            .collect();
        if row.iter().any(|field| !field.source.is_of_body()) {
            reader.wrong("row", "reads a header or cookie", "every row has its own values: write pointers");
        }
        if !row.iter().any(|field| field.name == "id") {
            reader.wrong("row", "has no id", "write row = { id = \"/id\" }");
            return None;
        }
        let paginate = reader.table("paginate").map(|table| Paginate::load(&table));
        let paginate = match paginate {
            Some(paginate) => Some(paginate?),
            None => None,
        };
        Some(Self { at: at?, row, paginate })
    }

    /// The FIELDs of a row.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.row.iter().map(|field| field.name.as_str())
    }

    /// The source of a FIELD.
    #[must_use]
    pub fn source(&self, field: &str) -> Option<&Source> {
        self.row.iter().find(|known| known.name == field).map(|known| &known.source)
    }

    /// Whether it reads more than one page.
    #[must_use]
    pub const fn paginates(&self) -> bool {
        self.paginate.is_some()
    }

    /// Checks the slots of `row` as [`Step::check`] does.
    pub fn check(&self, scope: &Scope, problems: &Problems) {
        for placed in self.row.iter().flat_map(Field::placed) {
            placed.check(Spot::Text, scope, problems);
        }
    }

    /// The rows of one page.
    ///
    /// # Errors
    /// `rows` is missing or no array, or a row cannot be read: never "no keys".
    pub fn read(&self, reply: &Reply, vars: &Vars) -> Result<Vec<Row>, Unreadable> {
        self.read_page(&Page::of(reply, reply.form), vars)
    }

    pub(crate) fn read_page(&self, page: &Page<'_>, vars: &Vars) -> Result<Vec<Row>, Unreadable> {
        let wrong = |wrong| Unreadable { field: "rows".to_owned(), source: self.at.text().to_owned(), wrong };
        match page.find(&self.at, vars) {
            Ok(Some(Value::Array(items))) => items.iter().map(|item| self.row(item, page, vars)).collect(),
            Ok(Some(_)) => Err(wrong("is no array")),
            Ok(None) => Err(wrong("is missing")),
            Err(why) => Err(wrong(why)),
        }
    }

    fn row(&self, item: &Value, page: &Page<'_>, vars: &Vars) -> Result<Row, Unreadable> {
        let mut row = Row::new();
        for field in &self.row {
            let read = field.source.read_row(item, page, vars);
            let value = read.map_err(|error| Unreadable { field: format!("row.{}", field.name), ..error })?;
            let value = match value {
                // A key's value is never carried further than this line.
                Some(Extracted::Secret(secret)) => Some(Extracted::Fingerprint(secret.fingerprint())),
                other => other,
            };
            row.extend(value.map(|value| (field.name.clone(), value)));
        }
        Ok(row)
    }

    /// Runs a list step through all its pages. A list cut short is `Unknown`.
    pub async fn run(&self, step: &Step, http: &Http, origins: &Origins, vars: &Vars, clock: &dyn Clock) -> Outcome<Listed> {
        let mut listed = Listed { rows: Vec::new(), reply_date: None };
        let mut turn = self.paginate.as_ref().map(Paginate::first).unwrap_or_default();
        let most = self.paginate.as_ref().map_or(1, Paginate::max_pages);
        for number in 0..most {
            let sent_at = clock.now();
            let rendered = match step.rendered(&step.request, origins, vars, sent_at, &turn) {
                Ok(rendered) => rendered,
                Err(refusal) => return Outcome::Refused(refusal),
            };
            let url = rendered.url.clone();
            let reply = match step.fire(http, rendered, &step.request, sent_at, step.timeout).await {
                Sent::Reply(reply) => reply,
                Sent::Unsent(refusal) => return Outcome::Refused(refusal),
                Sent::Unknown(cause, _) => return Outcome::Unknown(cause),
            };
            let page = Page::of(&reply, step.form);
            match step.judge_page(&page, vars) {
                Judged::Done => {}
                Judged::Refused(refusal) => return Outcome::Refused(refusal),
                Judged::Unknown(cause) => return Outcome::Unknown(cause),
            }
            let rows = match self.read_page(&page, vars) {
                Ok(rows) => rows,
                Err(unreadable) => return Outcome::Unknown(step.unreadable(&unreadable, &reply)),
            };
            if number == 0 {
                listed.reply_date = reply.date;
            }
            let next = self
                .paginate
                .as_ref()
                .map_or(Ok(Next::End), |paginate| paginate.next(&page, vars, rows.len(), number, &turn, &url));
            listed.rows.extend(rows);
            match next {
                Ok(Next::End) => return Outcome::Done(listed),
                Ok(Next::Turn(next)) => turn = next,
                Err(wrong) => return Outcome::Unknown(step.cause("cut-short", &reply).hint(format!("the next page {wrong}"))),
            }
        }
        Outcome::Unknown(Cause::new(step.name(), "cut-short").hint("the list has more pages than max_pages"))
    }
}
