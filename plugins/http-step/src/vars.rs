//! The values that templates are rendered from.

use std::collections::BTreeMap;

use cutover_api::{Secret, Span, Stamp};
use serde_json::Value;

/// One value.
pub enum Var {
    /// A plain text.
    Text(String),
    /// A secret text.
    Secret(Secret),
    /// A typed value; `null` counts as absent.
    Json(Value),
    /// A point in time; written as RFC 3339 unless a filter says otherwise.
    Time(Stamp),
    /// A span; written as whole seconds, rounded up. See [`Vars::set_span`] for its sub-paths.
    Span(Span),
}

impl Var {
    /// A second copy; by name, because it may copy a secret.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        match self {
            Self::Text(text) => Self::Text(text.clone()),
            Self::Secret(secret) => Self::Secret(secret.duplicate()),
            Self::Json(value) => Self::Json(value.clone()),
            Self::Time(at) => Self::Time(*at),
            Self::Span(span) => Self::Span(*span),
        }
    }

    /// Whether it stands for "no value".
    #[must_use]
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Json(Value::Null))
    }
}

/// Values by their dotted path: `params.workspace`, `old.id`, `credential`.
#[derive(Default)]
pub struct Vars(BTreeMap<String, Var>);

impl Vars {
    /// No values.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one value; an earlier one at this path is replaced.
    pub fn set(&mut self, path: impl Into<String>, var: Var) {
        self.0.insert(path.into(), var);
    }

    /// Sets a plain text.
    pub fn set_text(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.set(path, Var::Text(text.into()));
    }

    /// Sets `PREFIX.seconds`, `.minutes`, `.hours` and `.days` as integers, each rounded up: a short grace or lifetime told in a coarse
    /// unit must not become 0, which providers read as "at once" or "for ever".
    pub fn set_span(&mut self, prefix: &str, span: Span) {
        for (name, unit) in [("seconds", Span::SECOND), ("minutes", Span::MINUTE), ("hours", Span::HOUR), ("days", Span::DAY)] {
            self.set(format!("{prefix}.{name}"), Var::Json(whole(span, unit).into()));
        }
    }

    /// The value at a path; a JSON `null` is no value.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Var> {
        self.0.get(path).filter(|var| !var.is_absent())
    }

    /// Takes a value away.
    pub fn remove(&mut self, path: &str) -> Option<Var> {
        self.0.remove(path)
    }

    /// A second copy; by name, because it copies secrets.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.iter().map(|(path, var)| (path.clone(), var.duplicate())).collect())
    }
}

/// How many whole `unit`s cover `span`.
pub(crate) const fn whole(span: Span, unit: Span) -> i64 {
    let ms = if span.0 > 0 { span.0 } else { 0 };
    ms / unit.0 + if ms % unit.0 == 0 { 0 } else { 1 }
}
