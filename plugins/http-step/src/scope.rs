//! What a template may name: known paths, their kinds, and whether they are secret or may be absent.

use cutover_api::reader::distance;
use std::collections::BTreeMap;

/// The kind of a value, as far as it is known at load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// An integer.
    Integer,
    /// True or false.
    Boolean,
    /// A point in time.
    Time,
    /// A span, written as whole seconds.
    Span,
    /// Only known when it is rendered (a policy's `params`, a row's plain fact).
    Any,
}

impl Kind {
    /// In the words of a message.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Integer => "an integer",
            Self::Boolean => "true or false",
            Self::Time => "a time",
            Self::Span => "a span",
            Self::Any => "a value",
        }
    }
}

/// What is known of a path at load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its kind.
    pub kind: Kind,
    /// It is secret, and so is all that is made from it.
    pub secret: bool,
    /// It may have no value: using it anywhere but in a JSON or form leaf with `?` is an error at load. Say `false` where the absence
    /// is found later, in preflight (a policy's optional parameter).
    pub optional: bool,
}

impl Known {
    /// Public, always there.
    #[must_use]
    pub const fn plain(kind: Kind) -> Self {
        Self { kind, secret: false, optional: false }
    }

    /// A secret text, always there.
    #[must_use]
    pub const fn secret() -> Self {
        Self { kind: Kind::Text, secret: true, optional: false }
    }

    /// The same, but it may be absent.
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }
}

/// Every path a template may name.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    paths: BTreeMap<String, Known>,
    spaces: BTreeMap<String, Known>,
}

impl Scope {
    /// Nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one path.
    pub fn add(&mut self, path: impl Into<String>, known: Known) -> &mut Self {
        self.paths.insert(path.into(), known);
        self
    }

    /// Adds every path one level below `prefix`: `add_all("old", …)` knows `old.scopes`. Paths added by name win.
    pub fn add_all(&mut self, prefix: impl Into<String>, known: Known) -> &mut Self {
        self.spaces.insert(prefix.into(), known);
        self
    }

    /// What is known of a path; `None` = the path does not exist here.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Known> {
        let below = || path.rsplit_once('.').and_then(|(prefix, _)| self.spaces.get(prefix));
        self.paths.get(path).or_else(below).copied()
    }

    /// Whether the path is there and secret.
    #[must_use]
    pub fn is_secret(&self, path: &str) -> bool {
        self.get(path).is_some_and(|known| known.secret)
    }

    /// What would be right instead of an unknown path: the nearest known one, or all that share its first part.
    #[must_use]
    pub fn advice(&self, path: &str) -> String {
        let near = self.paths.keys().map(|known| (distance(known, path), known)).min();
        if let Some((apart, known)) = near
            && apart <= 3.min(path.len() / 2)
        {
            return format!("did you mean \"{known}\"?");
        }
        let first = path.split('.').next().unwrap_or(path);
        let dotted = format!("{first}.");
        let mut same: Vec<_> = self.paths.keys().filter(|known| known.starts_with(&dotted)).map(String::as_str).collect();
        if same.is_empty() {
            same = self.paths.keys().map(|known| known.split('.').next().unwrap_or(known)).collect();
            same.dedup();
        }
        if same.is_empty() { "nothing can be named here".to_owned() } else { format!("known here: {}", same.join(", ")) }
    }
}
