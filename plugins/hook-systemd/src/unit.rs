//! Units: their names, what can be done with them, and how they stand.

use std::collections::HashMap;

use zbus::{OwnedVariant, Variant};

/// What is done with a unit; the words of `systemctl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Restart,
    TryRestart,
    Reload,
    ReloadOrRestart,
    TryReloadOrRestart,
}

impl Verb {
    pub(crate) const ALL: [Self; 5] =
        [Self::Restart, Self::TryRestart, Self::Reload, Self::ReloadOrRestart, Self::TryReloadOrRestart];

    /// Its name in the configuration.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::TryRestart => "try-restart",
            Self::Reload => "reload",
            Self::ReloadOrRestart => "reload-or-restart",
            Self::TryReloadOrRestart => "try-reload-or-restart",
        }
    }

    /// The manager's method.
    pub(crate) const fn method(self) -> &'static str {
        match self {
            Self::Restart => "RestartUnit",
            Self::TryRestart => "TryRestartUnit",
            Self::Reload => "ReloadUnit",
            Self::ReloadOrRestart => "ReloadOrRestartUnit",
            Self::TryReloadOrRestart => "ReloadOrTryRestartUnit",
        }
    }

    /// A unit that does not run is left so.
    const fn tries(self) -> bool {
        matches!(self, Self::TryRestart | Self::TryReloadOrRestart)
    }

    /// The unit must be in a new invocation afterwards, given how it stood before.
    const fn renews(self, before: &Standing) -> bool {
        match self {
            Self::Restart | Self::TryRestart => true,
            Self::Reload => false,
            Self::ReloadOrRestart | Self::TryReloadOrRestart => !before.can_reload,
        }
    }
}

/// Whether a text can be the name of a unit that is restarted. The error says what it is instead.
pub(crate) fn check(name: &str) -> Result<(), &'static str> {
    const ENDINGS: [&str; 5] = [".service", ".socket", ".target", ".timer", ".path"];
    let Some(stem) = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)) else {
        return Err("has no ending such as .service");
    };
    if stem.is_empty() || name.len() > 255 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b":_.\\@-".contains(&b)) {
        return Err("is no name of a unit");
    }
    match stem.split_once('@') {
        Some((_, "")) => Err("is a template without an instance"),
        Some(("", _)) => Err("is no name of a unit"),
        _ => Ok(()),
    }
}

/// A unit that this daemon is known to run as.
pub(crate) fn is_own(name: &str) -> bool {
    name == "cutover.service" || name.starts_with("cutover@")
}

/// How a unit stands at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Its name as systemd itself calls it: what jobs are reported for.
    pub(crate) id: String,
    load: String,
    active: String,
    invocation: Vec<u8>,
    can_start: bool,
    can_reload: bool,
    /// Of a service: `simple`, `oneshot`, … and what became of its last run.
    kind: String,
    result: String,
}

/// What is to be made of a unit after its job.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is as it should be, and is to stay so.
    Up,
    /// It is as it should be and nothing more is to come: it ran to its end, or was not running before.
    Over,
    /// It is not; why, in words.
    Down(String),
}

impl Standing {
    /// Reads the properties of a unit; `service` those only services have.
    pub(crate) fn read(unit: &HashMap<String, OwnedVariant>, service: &HashMap<String, OwnedVariant>) -> Self {
        let text = |from: &HashMap<String, OwnedVariant>, key: &str| match from.get(key).map(|value| &**value) {
            Some(Variant::Str(text)) => text.as_str().to_owned(),
            _ => String::new(),
        };
        let is = |key: &str| matches!(unit.get(key).map(|value| &**value), Some(Variant::Bool(true)));
        let invocation = unit.get("InvocationID").and_then(|value| Vec::<u8>::try_from(value.clone()).ok());
        Self {
            id: text(unit, "Id"),
            load: text(unit, "LoadState"),
            active: text(unit, "ActiveState"),
            invocation: invocation.unwrap_or_default(),
            can_start: is("CanStart"),
            can_reload: is("CanReload"),
            kind: text(service, "Type"),
            result: text(service, "Result"),
        }
    }

    /// Why the verb cannot be done with it, whatever the permissions.
    pub(crate) fn refuses(&self, verb: Verb) -> Option<&'static str> {
        match (self.load.as_str(), verb) {
            ("loaded", Verb::Reload) if !self.can_reload => Some("cannot be reloaded: it has no ExecReload; use `restart`"),
            ("loaded", Verb::Restart | Verb::TryRestart) if !self.can_start => {
                Some("refuses to be started by hand (RefuseManualStart)")
            }
            ("loaded", _) => None,
            ("not-found", _) => Some("is not there: correct `units`, or install it"),
            ("masked", _) => Some("is masked: `systemctl unmask` it"),
            _ => Some("could not be loaded: `systemctl status` says why"),
        }
    }

    /// What to make of it when its job is done, given how it stood before.
    pub(crate) fn judge(&self, verb: Verb, before: &Self) -> Verdict {
        let renewed = !self.invocation.is_empty() && self.invocation != before.invocation;
        match self.active.as_str() {
            "active" | "reloading" if verb.renews(before) && !renewed => {
                Verdict::Down("is active, but was not started anew".to_owned())
            }
            "active" | "reloading" => Verdict::Up,
            "inactive" if verb.tries() && before.active == "inactive" => Verdict::Over,
            "inactive" if self.kind == "oneshot" && self.result == "success" && renewed => Verdict::Over,
            _ => Verdict::Down(self.words()),
        }
    }

    /// What to make of it later, having been [`Verdict::Up`] as `first`.
    pub(crate) fn stays(&self, first: &Self) -> Result<(), String> {
        match self.active.as_str() {
            "active" | "reloading" if self.invocation == first.invocation => Ok(()),
            "active" | "reloading" => Err("ended soon after and was started anew".to_owned()),
            _ => Err(format!("did not stay active: it {}", self.words())),
        }
    }

    /// `is failed (exit-code)`: only words that systemd itself has.
    fn words(&self) -> String {
        let clean = |text: &str| text.chars().filter(|c| c.is_ascii_lowercase() || *c == '-').take(32).collect::<String>();
        match (clean(&self.active), clean(&self.result)) {
            (active, result) if result.is_empty() || result == "success" => format!("is {active}"),
            (active, result) => format!("is {active} ({result})"),
        }
    }
}
