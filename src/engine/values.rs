//! The secret values of one rotation and the layouts that are made of them. They live in memory only while something needs them.

use std::collections::{BTreeMap, BTreeSet};

use cutover_api::{Intent, KeyRecord, KeyRef, Secret};
use cutover_http_step::{Template, Var, Vars};
use cutover_ledger::{CommitError, Ledger};
use cutover_machine::state::Layout;

use super::snapshot::{Record, Snapshot, TargetTable};

/// One key's values.
#[derive(Default)]
pub struct KeyValues {
    /// The secret.
    pub secret: Option<Secret>,
    /// Further secret outputs by name.
    pub outputs: BTreeMap<String, Secret>,
}

impl KeyValues {
    fn duplicate(&self) -> Self {
        let outputs = self.outputs.iter().map(|(name, value)| (name.clone(), value.duplicate()));
        Self { secret: self.secret.as_ref().map(Secret::duplicate), outputs: outputs.collect() }
    }

    /// Opens what is sealed for a key under `slot` (`made`, `first`).
    async fn open(ledger: &dyn Ledger, rotation: &str, slot: &str, names: &[String]) -> Result<Self, CommitError> {
        let mut outputs = BTreeMap::new();
        for name in names {
            if let Some(value) = ledger.unseal(rotation, &format!("{slot}.{name}")).await? {
                outputs.insert(name.clone(), value);
            }
        }
        Ok(Self { secret: ledger.unseal(rotation, slot).await?, outputs })
    }

    /// This key with its record, for a call.
    #[must_use]
    pub fn key<'a>(&'a self, record: &'a KeyRecord) -> KeyRef<'a> {
        KeyRef { record, secret: self.secret.as_ref(), outputs: Some(&self.outputs) }
    }
}

/// Both keys' values: the one that was in use when the rotation began, and the one that was made.
#[derive(Default)]
pub struct Values {
    /// The key in use when it began.
    pub first: KeyValues,
    /// The key that was made.
    pub made: KeyValues,
}

impl Values {
    /// These values and what has just been sealed beside them: what [`Values::open`] would read back.
    #[must_use]
    pub fn with(&self, sealed: Vec<(String, Secret)>, secret_outputs: &[String]) -> Self {
        let mut values = Self { first: self.first.duplicate(), made: self.made.duplicate() };
        for (slot, value) in sealed {
            let (slot, name) = slot.split_once('.').map_or((slot.as_str(), None), |(slot, name)| (slot, Some(name)));
            let key = match slot {
                "first" => &mut values.first,
                "made" => &mut values.made,
                _ => continue,
            };
            match name {
                None => key.secret = Some(value),
                Some(name) if secret_outputs.iter().any(|known| known == name) => {
                    key.outputs.insert(name.to_owned(), value);
                }
                Some(_) => {}
            }
        }
        values
    }

    /// Opens everything that is sealed for a rotation.
    ///
    /// # Errors
    /// The ledger could not be read, or a record does not open.
    pub async fn open(ledger: &dyn Ledger, rotation: &str, secret_outputs: &[String]) -> Result<Self, CommitError> {
        Ok(Self {
            first: KeyValues::open(ledger, rotation, "first", secret_outputs).await?,
            made: KeyValues::open(ledger, rotation, "made", secret_outputs).await?,
        })
    }

    /// The key that is to be in use.
    #[must_use]
    pub const fn new_key(&self, record: &Record) -> &KeyValues {
        if record.machine.swapped { &self.first } else { &self.made }
    }

    /// The key that is to go.
    #[must_use]
    pub const fn old_key(&self, record: &Record) -> &KeyValues {
        if record.machine.swapped { &self.made } else { &self.first }
    }
}

/// Why a layout cannot be made: which field, and what is missing in it.
#[derive(Debug)]
pub struct Unrendered {
    /// The field.
    pub field: String,
    /// The slot or the fault, as the template names it.
    pub detail: String,
}

/// The fields of one target in one layout. `None` = the layout needs a value that is not there.
///
/// # Errors
/// The first field that cannot be made.
pub fn render(
    target: &TargetTable,
    layout: Layout,
    snapshot: &Snapshot,
    record: &Record,
    values: &Values,
    rotation: &str,
) -> Result<BTreeMap<String, Secret>, Unrendered> {
    let vars = variables(snapshot, record, values, rotation);
    let templates = match (layout, &target.during) {
        (Layout::During, Some(during)) => during,
        _ => &target.fields,
    };
    let mut fields = BTreeMap::new();
    for (field, text) in templates {
        let wrong = |detail: String| Unrendered { field: field.clone(), detail };
        let template = Template::parse(text).map_err(|error| wrong(error.message))?;
        let value = template.render_text(&vars).map_err(|error| wrong(format!("{} {}", error.path, error.wrong)))?;
        fields.insert(field.clone(), value);
    }
    Ok(fields)
}

fn variables(snapshot: &Snapshot, record: &Record, values: &Values, rotation: &str) -> Vars {
    let mut vars = Vars::new();
    set_key(&mut vars, "new", record.new_key(), values.new_key(record));
    set_key(&mut vars, "old", record.old_key(), values.old_key(record));
    vars.set_text("policy.name", &snapshot.policy);
    vars.set_text("rotation.id", rotation);
    if let Some(Intent { uuid, nonce, year, .. }) = &record.intent {
        vars.set_text("rotation.uuid", uuid);
        vars.set_text("rotation.nonce", nonce);
        vars.set("rotation.year", Var::Json((*year).into()));
        vars.set_text("rotation.name_suffix", format!("{year}-{nonce}"));
    }
    vars
}

fn set_key(vars: &mut Vars, namespace: &str, record: &KeyRecord, values: &KeyValues) {
    let texts = [
        ("id", &record.id),
        ("name", &record.name),
        ("prefix", &record.prefix),
        ("hint", &record.hint),
        ("slot", &record.slot),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            vars.set_text(format!("{namespace}.{name}"), text);
        }
    }
    for (name, at) in [("created_at", record.created_at), ("expires_at", record.expires_at)] {
        if let Some(at) = at {
            vars.set(format!("{namespace}.{name}"), Var::Time(at));
        }
    }
    for (name, value) in &record.facts {
        vars.set(format!("{namespace}.{name}"), Var::Json(value.clone()));
    }
    if let Some(secret) = &values.secret {
        vars.set(format!("{namespace}.secret"), Var::Secret(secret.duplicate()));
    }
    for (name, secret) in &values.outputs {
        vars.set(format!("{namespace}.{name}"), Var::Secret(secret.duplicate()));
    }
}

/// Every field of a target that is ours, in either layout.
#[must_use]
pub fn own_fields(target: &TargetTable) -> BTreeSet<String> {
    target.fields.keys().chain(target.during.iter().flat_map(BTreeMap::keys)).cloned().collect()
}

/// Settled fields whose template is exactly `{{ new.X }}`: what stands there now is `old.X`.
#[must_use]
pub fn current_fields(target: &TargetTable) -> Vec<(String, String)> {
    let plain = target.fields.iter().filter_map(|(field, text)| {
        let template = Template::parse(text).ok()?;
        let name = template.sole_path()?.strip_prefix("new.")?.to_owned();
        Some((field.clone(), name))
    });
    plain.collect()
}
