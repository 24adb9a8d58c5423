//! The three formats of a file.

use std::collections::{BTreeMap, BTreeSet};

use cutover_api::Secret;
use cutover_json_edit::{JsonError, Names};
use zeroize::Zeroizing;

use crate::dotenv;

const MARK: &str = "\u{feff}";

/// How fields stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `KEY=value` lines.
    Dotenv,
    /// Members of a JSON object.
    Json,
    /// The whole content is the one bare value.
    Raw,
}

impl Format {
    /// The names in the configuration.
    pub(crate) const NAMES: [(&'static str, Self); 3] = [("dotenv", Self::Dotenv), ("json", Self::Json), ("raw", Self::Raw)];

    /// By its name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, format)| format)
    }

    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Dotenv => "dotenv",
            Self::Json => "json",
            Self::Raw => "raw",
        }
    }

    /// By the end of a path.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        [(".env", Self::Dotenv), (".json", Self::Json)]
            .into_iter()
            .find(|(end, _)| path.ends_with(end))
            .map(|(_, format)| format)
    }

    /// Reads those of the fields that are there.
    ///
    /// # Errors
    /// One sentence for the operator, without any value.
    pub(crate) fn read(self, bytes: &[u8], fields: &BTreeSet<String>) -> Result<BTreeMap<String, Secret>, String> {
        match self {
            Self::Dotenv => dotenv::read(bytes, fields),
            Self::Json => {
                let text = utf8(bytes)?;
                let text = text.strip_prefix(MARK).unwrap_or(text);
                if fields.is_empty() {
                    return Ok(BTreeMap::new());
                }
                cutover_json_edit::read(text, fields, Names::Pointers).map_err(|error| error.to_string())
            }
            Self::Raw if fields.contains("") => {
                Ok(BTreeMap::from([(String::new(), Secret::new(raw_value(utf8(bytes)?).to_owned()))]))
            }
            Self::Raw => Ok(BTreeMap::new()),
        }
    }

    /// The content with these fields set and those removed, everything else as it is. `None` = there is no file yet.
    ///
    /// # Errors
    /// One sentence for the operator, without any value.
    pub(crate) fn edit(
        self,
        old: Option<&[u8]>,
        set: &BTreeMap<String, Secret>,
        remove: &BTreeSet<String>,
    ) -> Result<Zeroizing<Vec<u8>>, String> {
        match self {
            Self::Dotenv => match set.keys().find(|name| !dotenv::is_name(name)) {
                Some(name) => Err(format!("field {name:?} cannot be a variable's name; use letters, digits and _")),
                None => dotenv::edit(old.unwrap_or_default(), set, remove),
            },
            Self::Json => json_edit(old, set, remove).map_err(|error| error.to_string()),
            Self::Raw => raw_edit(old, set, remove),
        }
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "the content is not UTF-8; convert it".to_owned())
}

fn json_edit(
    old: Option<&[u8]>,
    set: &BTreeMap<String, Secret>,
    remove: &BTreeSet<String>,
) -> Result<Zeroizing<Vec<u8>>, JsonError> {
    let set = set.iter().map(|(name, value)| (name.clone(), value)).collect();
    let Some(old) = old else {
        return cutover_json_edit::create(&set, Names::Pointers).map(|text| Zeroizing::new(text.as_bytes().to_vec()));
    };
    let text = std::str::from_utf8(old).map_err(|_| JsonError::NotJson)?;
    let (mark, text) = text.strip_prefix(MARK).map_or(("", text), |rest| (MARK, rest));
    let text = cutover_json_edit::edit(text, &set, remove, Names::Pointers)?;
    Ok(Zeroizing::new([mark.as_bytes(), text.as_bytes()].concat()))
}

/// The value in a file: all of it but one line end.
fn raw_value(text: &str) -> &str {
    let value = text.strip_suffix('\n').unwrap_or(text);
    if value.len() < text.len() { value.strip_suffix('\r').unwrap_or(value) } else { value }
}

/// A new file is written without a line end; a file that has one keeps it.
fn raw_edit(
    old: Option<&[u8]>,
    set: &BTreeMap<String, Secret>,
    remove: &BTreeSet<String>,
) -> Result<Zeroizing<Vec<u8>>, String> {
    let value = match (set.get(""), set.len(), remove.is_empty()) {
        (Some(value), 1, true) => value.expose(),
        _ => return Err("a file in raw format holds one bare value, which can be set and not removed".to_owned()),
    };
    let old = old.unwrap_or_default();
    let end = match old {
        [.., b'\r', b'\n'] => "\r\n",
        [.., b'\n'] => "\n",
        _ if value.ends_with('\n') => "\n",
        _ => "",
    };
    let new = [value, end].concat();
    let new = Zeroizing::new(new.into_bytes());
    if raw_value(utf8(&new)?) != value {
        return Err("the value ends with a carriage return, which readers drop; it cannot be written as it is".to_owned());
    }
    Ok(new)
}
