//! Reads a [`Table`] key by key and collects every problem at once.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use cutover_machine::Span;

use crate::reference::SecretRef;
use crate::table::{Node, Place, Table, Value};

/// One thing that is wrong, where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// The key's whole path: `policy.my-crm.grace`.
    pub key: String,
    /// What is wrong.
    pub wrong: String,
    /// What would be right.
    pub right: String,
}

impl fmt::Display for Problem {
    /// `file:line:column: key: what is wrong: what would be right`. On one line: what stands in a file reaches no terminal as it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = Plain(f);
        if self.place.line > 0 {
            write!(line, "{}: ", self.place)?;
        }
        if !self.key.is_empty() {
            write!(line, "{}: ", self.key)?;
        }
        write!(line, "{}: {}", self.wrong, self.right)
    }
}

/// Writes control characters by their names.
struct Plain<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Plain<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars()
            .try_for_each(|c| if c.is_control() { write!(self.0, "{}", c.escape_default()) } else { self.0.write_char(c) })
    }
}

/// Collects problems.
#[derive(Default)]
pub struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    /// Adds one.
    pub fn add(&self, place: &Place, key: impl Into<String>, wrong: impl Into<String>, right: impl Into<String>) {
        self.push(Problem { place: place.clone(), key: key.into(), wrong: wrong.into(), right: right.into() });
    }

    /// Adds one that is already put together.
    pub fn push(&self, problem: Problem) {
        self.0.borrow_mut().push(problem);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.borrow().len()
    }

    /// All of them, in the order of the files' lines.
    #[must_use]
    pub fn take(&self) -> Vec<Problem> {
        let mut all = self.0.take();
        all.sort_by(|a, b| (&a.place, &a.key).cmp(&(&b.place, &b.key)));
        all.dedup();
        all
    }
}

/// Reads one table. Every key that is asked for counts as known; [`Reader::finish`] reports the others.
pub struct Reader<'a> {
    table: &'a Table,
    path: String,
    asked: RefCell<BTreeSet<String>>,
    problems: &'a Problems,
}

impl<'a> Reader<'a> {
    /// Reads `table`, which stands at `path` (`""` = the document).
    #[must_use]
    pub fn new(table: &'a Table, path: impl Into<String>, problems: &'a Problems) -> Self {
        Self { table, path: path.into(), asked: RefCell::default(), problems }
    }

    /// The table itself.
    #[must_use]
    pub const fn table_itself(&self) -> &'a Table {
        self.table
    }

    /// Where the problems go.
    #[must_use]
    pub const fn problems(&self) -> &'a Problems {
        self.problems
    }

    /// The table's own path.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The whole path of one of its keys.
    #[must_use]
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The table's name in outcomes: `redeploy 2` for `what` and its place in the array of tables, `what` alone outside of one.
    #[must_use]
    pub fn step(&self, what: &str) -> String {
        let number =
            self.path.strip_suffix(']').and_then(|path| path.rsplit_once('[')).and_then(|(_, n)| n.parse::<usize>().ok());
        match number {
            Some(n) => format!("{what} {}", n.saturating_add(1)),
            None => what.to_owned(),
        }
    }

    /// Reports a key.
    pub fn wrong(&self, key: &str, wrong: impl Into<String>, right: impl Into<String>) {
        let place = self.table.entries.get(key).map_or(&self.table.place, |entry| &entry.node.place);
        self.problems.add(place, self.path_of(key), wrong, right);
    }

    /// Whether the key is there.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.table.entries.contains_key(key)
    }

    /// The key's value as it stands; marks it as known.
    pub fn node(&self, key: &str) -> Option<&'a Node> {
        self.known(key);
        self.table.get(key)
    }

    /// Reports a required key that is missing.
    fn missing(&self, key: &str, what: &str) {
        if !self.has(key) {
            self.problems.add(&self.table.place, self.path_of(key), "missing", what);
        }
    }

    fn typed<T>(&self, key: &str, what: &str, take: impl FnOnce(&'a Value) -> Option<T>) -> Option<T> {
        let node = self.node(key)?;
        let taken = take(&node.value);
        if taken.is_none() {
            self.wrong(key, format!("is {}", node.value.kind()), format!("must be {what}"));
        }
        taken
    }

    /// A string.
    pub fn text(&self, key: &str) -> Option<&'a str> {
        self.typed(key, "a string", |value| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// A string that must be there and not empty; `what` says what it is for.
    pub fn require_text(&self, key: &str, what: &str) -> Option<&'a str> {
        self.missing(key, what);
        let text = self.text(key)?;
        if text.is_empty() {
            self.wrong(key, "is empty", what);
            return None;
        }
        Some(text)
    }

    /// A boolean.
    pub fn boolean(&self, key: &str) -> Option<bool> {
        self.typed(key, "true or false", |value| match value {
            Value::Boolean(b) => Some(*b),
            _ => None,
        })
    }

    /// An integer within `range`.
    pub fn integer(&self, key: &str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let n = self.typed(key, "an integer", |value| match value {
            Value::Integer(n) => Some(*n),
            _ => None,
        })?;
        if range.contains(&n) {
            return Some(n);
        }
        self.wrong(key, format!("is {n}"), format!("must be from {} to {}", range.start(), range.end()));
        None
    }

    /// A span with a fixed length.
    pub fn span(&self, key: &str) -> Option<Span> {
        let text = self.text(key)?;
        match Span::parse(text) {
            Ok(span) => Some(span),
            Err(error) => {
                self.wrong(key, format!("\"{text}\" is not a span"), error.to_string());
                None
            }
        }
    }

    /// A string or an array of strings.
    pub fn texts(&self, key: &str) -> Option<Vec<String>> {
        self.typed(key, "a string or an array of strings", |value| match value {
            Value::Text(text) => Some(vec![text.clone()]),
            Value::Array(items) => items
                .iter()
                .map(|item| match &item.value {
                    Value::Text(text) => Some(text.clone()),
                    _ => None,
                })
                .collect(),
            _ => None,
        })
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
            self.wrong(key, format!("\"{text}\" is not known"), format!("must be one of {}", names.join(", ")));
        }
        found
    }

    /// A table inside this one.
    pub fn table(&self, key: &str) -> Option<Reader<'a>> {
        let table = self.typed(key, "a table", |value| match value {
            Value::Table(table) => Some(table),
            _ => None,
        })?;
        Some(Reader::new(table, self.path_of(key), self.problems))
    }

    /// Tables named by the keys of this one: `[store.vault]`, `[store.aws]`.
    pub fn named_tables(&self, key: &str) -> Vec<(String, Reader<'a>)> {
        let Some(outer) = self.table(key) else { return Vec::new() };
        let tables = outer.table.entries.keys().filter_map(|name| Some((name.clone(), outer.table(name)?)));
        tables.collect()
    }

    /// An array of tables: `[[policy.x.target]]`.
    pub fn tables(&self, key: &str) -> Vec<Reader<'a>> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let Value::Array(items) = &node.value else {
            self.wrong(key, format!("is {}", node.value.kind()), format!("must be [[{}]]", self.path_of(key)));
            return Vec::new();
        };
        let mut readers = Vec::new();
        for (n, item) in items.iter().enumerate() {
            match &item.value {
                Value::Table(table) => {
                    readers.push(Reader::new(table, format!("{}[{n}]", self.path_of(key)), self.problems));
                }
                other => self.problems.add(
                    &item.place,
                    format!("{}[{n}]", self.path_of(key)),
                    format!("is {}", other.kind()),
                    "must be a table",
                ),
            }
        }
        readers
    }

    /// A reference to a secret. A plain string is a problem that names the three ways.
    pub fn secret(&self, key: &str) -> Option<SecretRef> {
        let node = self.node(key)?;
        let three = "write { env = \"NAME\" }, { file = \"/path\" } or { credential = \"NAME\" }";
        let Value::Table(table) = &node.value else {
            self.wrong(key, "a secret stands here in clear", three);
            return None;
        };
        let reader = Reader::new(table, self.path_of(key), self.problems);
        let found = [
            reader.text("env").map(|name| SecretRef::Env(name.to_owned())),
            reader.text("file").map(|path| SecretRef::File(path.to_owned())),
            reader.text("credential").map(|name| SecretRef::Credential(name.to_owned())),
        ];
        let mut found: Vec<_> = found.into_iter().flatten().collect();
        if found.len() != 1 {
            self.wrong(key, format!("names {} places of a secret", found.len()), three);
            return None;
        }
        found.pop()
    }

    /// Marks a key as known without reading it.
    pub fn known(&self, key: &str) {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(key) {
            asked.insert(key.to_owned());
        }
    }

    /// Reports every key that nobody asked for.
    pub fn finish(&self) {
        let asked = self.asked.borrow();
        for (key, entry) in &self.table.entries {
            if asked.contains(key) {
                continue;
            }
            let near = asked.iter().min_by_key(|known| distance(known, key)).filter(|known| distance(known, key) <= 2);
            let right = match near {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("known here: {}", asked.iter().cloned().collect::<Vec<_>>().join(", ")),
            };
            self.problems.add(&entry.key, self.path_of(key), "unknown key", right);
        }
    }
}

/// How many letters differ (Levenshtein), for "did you mean".
#[must_use]
pub fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = cost.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{Problems, Reader};
    use crate::table::Table;

    #[test]
    fn every_problem_has_its_place() {
        let text = "a = 1\nspan = \"5 parsecs\"\npasword = \"x\"\n[t]\nsecret = \"hunter2\"\n";
        let table = Table::parse("x.toml", text).expect("valid");
        let problems = Problems::default();
        let reader = Reader::new(&table, "", &problems);
        assert_eq!(reader.text("a"), None);
        assert!(reader.span("span").is_none());
        reader.known("password");
        let inner = reader.table("t").expect("there");
        assert!(inner.secret("secret").is_none());
        reader.finish();
        let all: Vec<_> = problems.take().iter().map(ToString::to_string).collect();
        assert_eq!(all[0], "x.toml:1:5: a: is an integer: must be a string");
        assert!(all[1].starts_with("x.toml:2:8: span: \"5 parsecs\" is not a span"), "{}", all[1]);
        assert_eq!(all[2], "x.toml:3:1: pasword: unknown key: did you mean \"password\"?");
        assert!(all[3].starts_with("x.toml:5:10: t.secret: a secret stands here in clear"), "{}", all[3]);
        assert!(!all.join(" ").contains("hunter2"));
    }

    #[test]
    fn a_table_survives_json() {
        let table = Table::parse("x", "a = [1, \"b\"]\n[t]\nc = true\nd = 1.5\n").expect("valid");
        let back = Table::from_json(&table.to_json()).expect("object");
        assert_eq!(back.to_json(), table.to_json());
    }
}
