//! MATCH: whether a reply is one that was described.

use cutover_api::{Node, Place, Problems, Reader, Value as Toml};
use serde_json::Value;

use crate::check::{Placed, Spot};
use crate::page::Page;
use crate::pointer::Pointer;
use crate::render::text_of;
use crate::reply::Reply;
use crate::scope::Scope;
use crate::vars::Vars;

/// `{ status = [int…], body = { POINTER = LITERAL or [LITERAL…] }, absent = [POINTER…] }`; all parts must hold. Without `status`: any 2xx.
#[derive(Clone, Debug, Default)]
pub struct Match {
    status: Vec<u16>,
    body: Vec<(Aim, Vec<Literal>)>,
    absent: Vec<Aim>,
}

/// A pointer and where it is written.
#[derive(Clone, Debug)]
struct Aim {
    pointer: Pointer,
    key: String,
    place: Place,
}

#[derive(Clone, Debug)]
enum Literal {
    Text(Placed),
    Integer(i64),
    Float(f64),
    Boolean(bool),
}

impl Match {
    /// Reads the match at `key`; reports what is wrong. `None` when it is not there or of no use.
    #[must_use]
    pub fn load(reader: &Reader<'_>, key: &str) -> Option<Self> {
        let table = reader.table(key)?;
        let before = reader.problems().count();
        let mut made = Self { status: statuses(&table), ..Self::default() };
        if let Some(body) = table.table("body") {
            for (pointer, entry) in &body.table_itself().entries {
                body.known(pointer);
                let Some(aim) = Aim::load(pointer, &body.path_of(pointer), &entry.key, reader.problems()) else { continue };
                made.body.push((aim, literals(&entry.node, &body.path_of(pointer), reader.problems())));
            }
        }
        if let Some(node) = table.node("absent") {
            let path = table.path_of("absent");
            match &node.value {
                Toml::Array(items) => {
                    for item in items {
                        match &item.value {
                            Toml::Text(text) => made.absent.extend(Aim::load(text, &path, &item.place, reader.problems())),
                            other => reader.problems().add(
                                &item.place,
                                path.clone(),
                                format!("is {}", other.kind()),
                                "must be a pointer",
                            ),
                        }
                    }
                }
                other => table.wrong("absent", format!("is {}", other.kind()), "must be an array of pointers"),
            }
        }
        table.finish();
        (reader.problems().count() == before).then_some(made)
    }

    /// Whether all its parts hold, the body read as the reply's step says. A 2xx whose body cannot be read never matches.
    #[must_use]
    pub fn holds(&self, reply: &Reply, vars: &Vars) -> bool {
        self.holds_page(&Page::of(reply, reply.form), vars)
    }

    pub(crate) fn holds_page(&self, page: &Page<'_>, vars: &Vars) -> bool {
        let status = page.reply.status;
        let good = (200..300).contains(&status);
        let expected = if self.status.is_empty() { good } else { self.status.contains(&status) };
        if !expected || !page.reply.whole || (good && page.unreadable().is_some()) {
            return false;
        }
        let is = |(aim, literals): &(Aim, Vec<Literal>)| match page.find(&aim.pointer, vars) {
            Ok(Some(value)) => literals.iter().any(|literal| literal.equals(value, vars)),
            _ => false,
        };
        let missing = |aim: &Aim| matches!(page.find(&aim.pointer, vars), Ok(None));
        self.body.iter().all(is) && self.absent.iter().all(missing)
    }

    /// Checks the slots of its literals and pointers as [`crate::Step::check`] does.
    pub fn check(&self, scope: &Scope, problems: &Problems) {
        for placed in self.placed() {
            placed.check(Spot::Text, scope, problems);
        }
    }

    /// Every template in it.
    pub(crate) fn placed(&self) -> Vec<Placed> {
        let aims = self.body.iter().map(|(aim, _)| aim).chain(&self.absent);
        let mut all: Vec<Placed> = aims
            .flat_map(|aim| {
                aim.pointer.templates().map(|t| Placed { template: t.clone(), key: aim.key.clone(), place: aim.place.clone() })
            })
            .collect();
        for (_, literals) in &self.body {
            all.extend(literals.iter().filter_map(|literal| match literal {
                Literal::Text(placed) => Some(placed.clone()),
                _ => None,
            }));
        }
        all
    }

    /// The statuses it names; empty = any 2xx.
    #[must_use]
    pub fn statuses(&self) -> &[u16] {
        &self.status
    }
}

impl Aim {
    fn load(text: &str, key: &str, place: &Place, problems: &Problems) -> Option<Self> {
        match Pointer::parse(text) {
            Ok(pointer) => Some(Self { pointer, key: key.to_owned(), place: place.clone() }),
            Err(error) => {
                problems.add(place, key, "is no pointer", error.message);
                None
            }
        }
    }
}

impl Literal {
    fn equals(&self, value: &Value, vars: &Vars) -> bool {
        match (self, value) {
            (Self::Text(placed), Value::String(text)) => {
                text_of(&placed.template, vars).is_ok_and(|wanted| wanted.expose() == text)
            }
            (Self::Integer(n), Value::Number(m)) => m.as_i64() == Some(*n) || m.as_f64() == Some(*n as f64),
            (Self::Float(n), Value::Number(m)) => m.as_f64() == Some(*n),
            (Self::Boolean(a), Value::Bool(b)) => a == b,
            _ => false,
        }
    }
}

fn statuses(table: &Reader<'_>) -> Vec<u16> {
    let right = "must be an array of statuses from 200 to 599: [200, 201]";
    let Some(node) = table.node("status") else { return Vec::new() };
    let Toml::Array(items) = &node.value else {
        table.wrong("status", format!("is {}", node.value.kind()), right);
        return Vec::new();
    };
    let status = |item: &Node| match &item.value {
        Toml::Integer(n) => u16::try_from(*n).ok().filter(|n| (200..600).contains(n)),
        _ => None,
    };
    let found: Vec<u16> = items.iter().filter_map(status).collect();
    if found.len() != items.len() || found.is_empty() {
        table.wrong("status", "names what is no status", right);
    }
    found
}

fn literals(node: &Node, key: &str, problems: &Problems) -> Vec<Literal> {
    match &node.value {
        Toml::Array(items) if !items.is_empty() => items.iter().filter_map(|item| literal(item, key, problems)).collect(),
        _ => literal(node, key, problems).into_iter().collect(),
    }
}

fn literal(node: &Node, key: &str, problems: &Problems) -> Option<Literal> {
    match &node.value {
        Toml::Text(text) => Placed::load(text, key, &node.place, problems).map(Literal::Text),
        Toml::Integer(n) => Some(Literal::Integer(*n)),
        Toml::Float(n) => Some(Literal::Float(*n)),
        Toml::Boolean(b) => Some(Literal::Boolean(*b)),
        other => {
            problems.add(
                &node.place,
                key,
                format!("is {}", other.kind()),
                "must be a string, number or boolean, or an array of them",
            );
            None
        }
    }
}
