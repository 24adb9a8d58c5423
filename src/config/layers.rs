//! A policy's own keys before those of `[defaults]`.

use cutover_api::{Reader, Value};

/// The keys of one policy: each from its own table, else from `[defaults]`.
pub(crate) struct Layers<'a, 'd> {
    pub(crate) own: &'d Reader<'a>,
    pub(crate) defaults: Option<&'d Reader<'a>>,
}

impl<'a> Layers<'a, '_> {
    /// The table that a key is to be read from; the policy's own where neither has it.
    pub(crate) fn of(&self, key: &str) -> &Reader<'a> {
        match self.defaults {
            Some(defaults) if !self.own.has(key) && !self.replaced(key) && defaults.has(key) => defaults,
            _ => self.own,
        }
    }

    /// A policy that says when it rotates replaces all that the defaults say about it by the other means.
    fn replaced(&self, key: &str) -> bool {
        match key {
            "cadence" => self.own.has("cron"),
            "cron" => self.own.has("cadence"),
            "anchor" => self.own.has("cron"),
            _ => false,
        }
    }

    /// Whether either has it.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.of(key).has(key)
    }

    /// Reports a key of this policy: where its own stands, else the policy. What only comes out for one policy is reported so, and
    /// names it, also where the key stands in `[defaults]`.
    pub(crate) fn wrong(&self, key: &str, wrong: impl Into<String>, right: impl Into<String>) {
        let wrong = wrong.into();
        let from_defaults = self.has(key) && !self.own.has(key);
        let wrong = if from_defaults { format!("{wrong} (\"{key}\" is that of [defaults])") } else { wrong };
        self.own.wrong(key, wrong, right);
    }

    /// A string, or a date without quotes as it is written.
    pub(crate) fn moment(&self, key: &str) -> Option<&'a str> {
        let reader = self.of(key);
        match reader.node(key).map(|node| &node.value) {
            Some(Value::Datetime(text)) => Some(text),
            _ => reader.text(key),
        }
    }
}
