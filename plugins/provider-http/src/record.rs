//! What was read from a reply, as key records.

use std::collections::BTreeMap;

use cutover_api::{KeyRecord, Secret};
use cutover_http_step::Extracted;

/// One key as a reply tells it.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) record: KeyRecord,
    pub(crate) secret: Option<Secret>,
    pub(crate) outputs: BTreeMap<String, Secret>,
}

impl Told {
    /// Takes over fields by their plain names: `id`, `secret`, an output, a fact.
    pub(crate) fn from_fields(fields: impl IntoIterator<Item = (String, Extracted)>) -> Self {
        let mut told = Self::default();
        for (name, value) in fields {
            told.take(name, value);
        }
        told
    }

    fn take(&mut self, name: String, value: Extracted) {
        let record = &mut self.record;
        match (name.as_str(), value) {
            ("secret", Extracted::Secret(secret)) => {
                record.fingerprint = Some(secret.fingerprint());
                self.secret = Some(secret);
            }
            (_, Extracted::Secret(secret)) => {
                self.outputs.insert(name, secret);
            }
            (_, Extracted::Fingerprint(fingerprint)) => record.fingerprint = Some(fingerprint),
            ("id", Extracted::Text(text)) => record.id = Some(text),
            ("name", Extracted::Text(text)) => record.name = Some(text),
            ("prefix", Extracted::Text(text)) => record.prefix = Some(text),
            ("hint", Extracted::Text(text)) => record.hint = Some(text),
            ("slot", Extracted::Text(text)) => record.slot = Some(text),
            ("created_at", Extracted::Time(at)) => record.created_at = Some(at),
            ("last_used_at", Extracted::Time(at)) => record.last_used_at = Some(at),
            ("expires_at", Extracted::Time(at)) => record.expires_at = Some(at),
            ("revoked", Extracted::Boolean(yes)) => record.revoked = yes,
            ("inactive", Extracted::Boolean(yes)) => record.inactive = yes,
            (_, Extracted::Text(text)) => {
                record.facts.insert(name, text.into());
            }
            (_, Extracted::Boolean(yes)) => {
                record.facts.insert(name, yes.into());
            }
            (_, Extracted::Json(value)) => {
                record.facts.insert(name, value);
            }
            (_, Extracted::Texts(texts)) => {
                record.facts.insert(name, texts.into());
            }
            (_, Extracted::Time(at)) => {
                if let Ok(at) = jiff::Timestamp::from_millisecond(at.0) {
                    record.facts.insert(name, at.to_string().into());
                }
            }
        }
    }
}

/// A mint's fields, parted into `new.*`, `old.*` and `credential`.
pub(crate) fn parted(fields: BTreeMap<String, Extracted>) -> (Told, Option<Told>, Option<Secret>) {
    let (mut new, mut old, mut credential) = (Vec::new(), Vec::new(), None);
    for (field, value) in fields {
        match (field.split_once('.'), value) {
            (Some(("new", name)), value) => new.push((name.to_owned(), value)),
            (Some(("old", name)), value) => old.push((name.to_owned(), value)),
            (_, Extracted::Secret(secret)) => credential = Some(secret),
            _ => {}
        }
    }
    let old = (!old.is_empty()).then(|| Told::from_fields(old));
    (Told::from_fields(new), old, credential)
}
