//! A TOML document that remembers where everything stands.
//!
//! Configuration and definitions are both read through it, so that every problem has a file, a line and a column; and a part of it
//! (a provider's table, say) can be kept as JSON in a plan's snapshot and read back later.

use std::fmt;
use std::sync::Arc;

use litemap::LiteMap;
use toml::de::{DeTable, DeValue};

use crate::reader::Problem;
use crate::syntax::plain;

/// Where something stands. Lines and columns count from 1; 0 = nowhere (read back from a snapshot).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file as it was named.
    pub file: Arc<str>,
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Place {
    /// The place of things that stand in no file.
    #[must_use]
    pub fn nowhere() -> Self {
        Self { file: Arc::from(""), line: 0, column: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A string.
    Text(String),
    /// An integer.
    Integer(i64),
    /// A float.
    Float(f64),
    /// A boolean.
    Boolean(bool),
    /// A date, time or both, as written.
    Datetime(String),
    /// An array.
    Array(Vec<Node>),
    /// A table.
    Table(Table),
}

impl Value {
    /// What kind it is, in the words of a message.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Boolean(_) => "a boolean",
            Self::Datetime(_) => "a date",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where.
    pub place: Place,
}

/// A key's value and where the key stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where the key stands.
    pub key: Place,
    /// The value.
    pub node: Node,
}

/// A table.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The entries by key. Tables of a configuration are many and small: an ordered vector takes a fraction of a tree's memory.
    pub entries: LiteMap<String, Entry>,
    /// Where the table begins.
    pub place: Place,
}

impl Table {
    /// A table without entries.
    #[must_use]
    pub fn empty() -> Self {
        Self { entries: LiteMap::new_vec(), place: Place::nowhere() }
    }

    /// Reads a TOML document.
    ///
    /// # Errors
    /// The first syntax error of every line that has one, each with its place.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let lines = Lines::new(file, text);
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let mut problems: Vec<Problem> = errors.iter().map(|error| lines.problem(error)).collect();
            // What follows on the same line is, as a rule, wrong only because of what came before it.
            problems.dedup_by_key(|problem| problem.place.line);
            return Err(problems);
        }
        Ok(lines.table(table.get_ref(), table.span().start))
    }

    /// One entry's value.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries.get(key).map(|entry| &entry.node)
    }

    /// The same as JSON, without places. Dates become strings.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::Value::Object(self.entries.iter().map(|(key, entry)| (key.clone(), entry.node.to_json())).collect())
    }

    /// Reads back what [`Table::to_json`] made. `None` when it is no object or holds a null.
    #[must_use]
    pub fn from_json(json: &serde_json::Value) -> Option<Self> {
        match Node::from_json(json)?.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }
}

impl Node {
    /// The same as JSON, without places.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Text(text) | Value::Datetime(text) => text.clone().into(),
            Value::Integer(n) => (*n).into(),
            Value::Float(n) => (*n).into(),
            Value::Boolean(b) => (*b).into(),
            Value::Array(items) => items.iter().map(Self::to_json).collect(),
            Value::Table(table) => table.to_json(),
        }
    }

    /// Reads back what [`Node::to_json`] made.
    #[must_use]
    pub fn from_json(json: &serde_json::Value) -> Option<Self> {
        let value = match json {
            serde_json::Value::Null => return None,
            serde_json::Value::Bool(b) => Value::Boolean(*b),
            serde_json::Value::Number(n) => match n.as_i64() {
                Some(n) => Value::Integer(n),
                None => Value::Float(n.as_f64()?),
            },
            serde_json::Value::String(text) => Value::Text(text.clone()),
            serde_json::Value::Array(items) => Value::Array(items.iter().map(Self::from_json).collect::<Option<_>>()?),
            serde_json::Value::Object(entries) => {
                let mut table = Table::empty();
                for (key, value) in entries {
                    table.entries.insert(key.clone(), Entry { key: Place::nowhere(), node: Self::from_json(value)? });
                }
                Value::Table(table)
            }
        };
        Some(Self { value, place: Place::nowhere() })
    }
}

/// Turns byte offsets into places.
struct Lines<'a> {
    file: Arc<str>,
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(file: &str, text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file: Arc::from(file), text, starts }
    }

    fn problem(&self, error: &toml::de::Error) -> Problem {
        let at = error.span().map_or(0, |span| span.start);
        let (wrong, right) = plain(error.message(), self.text.get(at..).unwrap_or_default());
        Problem { place: self.place(at), key: String::new(), wrong, right }
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        Place { file: Arc::clone(&self.file), line, column }
    }

    fn table(&self, table: &DeTable<'_>, at: usize) -> Table {
        let entries = table.iter().map(|(key, value)| {
            let node = Node { value: self.value(value.get_ref(), value.span().start), place: self.place(value.span().start) };
            (key.get_ref().to_string(), Entry { key: self.place(key.span().start), node })
        });
        Table { entries: entries.collect(), place: self.place(at) }
    }

    fn value(&self, value: &DeValue<'_>, at: usize) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(n) => match i64::from_str_radix(n.as_str(), n.radix()) {
                Ok(n) => Value::Integer(n),
                Err(_) => Value::Text(n.as_str().to_owned()),
            },
            DeValue::Float(n) => n.as_str().parse().map_or_else(|_| Value::Text(n.as_str().to_owned()), Value::Float),
            DeValue::Boolean(b) => Value::Boolean(*b),
            DeValue::Datetime(datetime) => Value::Datetime(datetime.to_string()),
            DeValue::Array(items) => Value::Array(
                items
                    .iter()
                    .map(|item| Node {
                        value: self.value(item.get_ref(), item.span().start),
                        place: self.place(item.span().start),
                    })
                    .collect(),
            ),
            DeValue::Table(table) => Value::Table(self.table(table, at)),
        }
    }
}
