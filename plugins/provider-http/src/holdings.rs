//! The account's credentials: references, opened at each use, and until when they live.

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover_api::{Class, Credential, Node, Reader, References, Refusal, Secret, SecretRef, Stamp, Value};

use crate::jwt;

/// One reference, and what stands beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    reference: SecretRef,
    expires_at: Option<Stamp>,
}

/// What the account has to sign with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holdings {
    /// Nothing: the key itself signs, or no call is signed.
    Nothing,
    /// `{{ credential }}`.
    One(Held),
    /// `{{ credential.NAME }}`.
    Named(BTreeMap<String, Held>),
}

/// Opened credentials, by the path a template names them with.
pub(crate) type Opened = Vec<(String, Secret)>;

impl Holdings {
    /// Reads `credential` of an account: one reference, or one for each of `names`.
    pub(crate) fn load(account: &Reader<'_>, names: Option<&[String]>) -> Option<Self> {
        let Some(names) = names else { return held(account, "credential").map(Self::One) };
        let table = account.table("credential")?;
        let mut all = BTreeMap::new();
        for name in names {
            if table.has(name) {
                all.extend(held(&table, name).map(|held| (name.clone(), held)));
            } else {
                table.known(name);
                table.wrong(name, "missing", "{ env = \"NAME\" }, { file = \"/path\" } or { credential = \"NAME\" }");
            }
        }
        table.finish();
        (all.len() == names.len()).then_some(Self::Named(all))
    }

    /// Opens all of them now.
    pub(crate) fn open(&self, references: &Arc<dyn References>) -> Result<Opened, Refusal> {
        let open = |path: String, held: &Held| Ok((path, opened(held, references)?));
        match self {
            Self::Nothing => Ok(Vec::new()),
            Self::One(held) => Ok(vec![open("credential".to_owned(), held)?]),
            Self::Named(all) => all.iter().map(|(name, held)| open(format!("credential.{name}"), held)).collect(),
        }
    }

    /// Changes whenever one of them does.
    pub(crate) fn mark(&self, references: &Arc<dyn References>) -> String {
        let each: Vec<&Held> = match self {
            Self::Nothing => Vec::new(),
            Self::One(held) => vec![held],
            Self::Named(all) => all.values().collect(),
        };
        let one = |held: &&Held| opened(held, references).map_or_else(|_| "-".to_owned(), |secret| secret.fingerprint().0);
        each.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// Until when they live, all together: the earliest end that is known.
    pub(crate) fn alive(&self, references: &Arc<dyn References>) -> Result<Credential, Refusal> {
        let each: Vec<&Held> = match self {
            Self::Nothing => Vec::new(),
            Self::One(held) => vec![held],
            Self::Named(all) => all.values().collect(),
        };
        let mut earliest: Option<Stamp> = None;
        for held in each {
            let end = jwt::expiry(&opened(held, references)?).or(held.expires_at);
            earliest = match (earliest, end) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        Ok(Credential { expires_at: earliest })
    }
}

fn opened(held: &Held, references: &Arc<dyn References>) -> Result<Secret, Refusal> {
    let secret = references.open(&held.reference).map_err(|said| Refusal::new(Class::Auth, "credential").hint(said))?;
    if secret.expose().is_empty() {
        let hint = format!("{} is empty: put the credential there, it is read at each use", held.reference);
        return Err(Refusal::new(Class::Auth, "credential").hint(hint));
    }
    Ok(secret)
}

/// A reference with nothing beside it.
pub(crate) fn reference(table: &Reader<'_>, key: &str) -> Option<SecretRef> {
    let reference = table.secret(key);
    let Some(Node { value: Value::Table(_), .. }) = table.node(key) else { return None };
    let beside = table.table(key)?;
    ["env", "file", "credential"].into_iter().for_each(|way| beside.known(way));
    beside.finish();
    reference
}

fn held(table: &Reader<'_>, key: &str) -> Option<Held> {
    let reference = table.secret(key);
    let Some(Node { value: Value::Table(_), .. }) = table.node(key) else { return None };
    let beside = table.table(key)?;
    for way in ["env", "file", "credential"] {
        beside.known(way);
    }
    let expires_at = time(&beside, "expires_at");
    beside.finish();
    Some(Held { reference: reference?, expires_at: expires_at.ok()? })
}

/// A point in time, quoted or not. `Err` when it is there and is none.
fn time(table: &Reader<'_>, key: &str) -> Result<Option<Stamp>, ()> {
    let text = match table.node(key).map(|node| &node.value) {
        None => return Ok(None),
        Some(Value::Text(text) | Value::Datetime(text)) => text,
        Some(other) => {
            table.wrong(key, format!("is {}", other.kind()), "a time such as \"2027-01-01T00:00:00Z\"");
            return Err(());
        }
    };
    match text.parse::<jiff::Timestamp>() {
        Ok(at) => Ok(Some(Stamp(at.as_millisecond()))),
        Err(_) => {
            table.wrong(key, "is no point in time", "with a zone, such as \"2027-01-01T00:00:00Z\"");
            Err(())
        }
    }
}
