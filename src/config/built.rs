//! `[notify.*]`, `[store.*]` and `[provider.*]`: tables whose keys are for the greater part those of a plugin. Each is judged by building
//! the plugin from it; what is kept of it is what the plugin reads, so that the same plugin is built from it again later.

use std::collections::BTreeMap;

use cutover_api::{Provider, Reader, Severity, Store, Table};
use cutover_http_step::Scope;

use crate::load::Section;
use crate::{Channel, Kinds, ProviderTable, StoreTable, templates};

/// The severity a channel takes from on, where it does not say.
const SEVERITY: Severity = Severity::Warning;

/// A store's table and the store itself, where the table is sound.
pub(crate) struct BuiltStore {
    pub(crate) table: StoreTable,
    pub(crate) store: Option<Box<dyn Store>>,
    /// Stores with equal tables are one store under two names.
    pub(crate) identity: String,
}

/// A provider's table and the account itself, where the table is sound.
pub(crate) struct BuiltAccount {
    pub(crate) table: ProviderTable,
    pub(crate) provider: Option<Box<dyn Provider>>,
    /// What templates of its policies may name.
    pub(crate) scope: Scope,
    /// What its mint needs of the key in use ([`Provider::mint_needs`]).
    pub(crate) mint_needs: Vec<String>,
}

/// Reads `[notify.*]`.
pub(crate) fn notify(sections: &[Section<'_>], kinds: &dyn Kinds) -> BTreeMap<String, Channel> {
    let [_, _, _, names] = kinds.names();
    let channel = |section: &Section<'_>| {
        let reader = &section.reader;
        let severities = [Severity::Info, Severity::Warning, Severity::Critical].map(|severity| (severity.label(), severity));
        let severity = reader.choice("severity", &severities).unwrap_or(SEVERITY);
        let holders = words(reader, "holders");
        let kind = kind(reader, &names, "channel").unwrap_or_default();
        if !kind.is_empty() {
            kinds.notifier(kind, reader);
        }
        let table = without(reader.table_itself(), &["severity", "holders"]);
        (section.name.clone(), Channel { kind: kind.to_owned(), severity, holders, table })
    };
    sections.iter().map(channel).collect()
}

/// Reads `[store.*]`.
pub(crate) fn stores(sections: &[Section<'_>], kinds: &dyn Kinds) -> BTreeMap<String, BuiltStore> {
    let [names, ..] = kinds.names();
    let store = |section: &Section<'_>| {
        let reader = &section.reader;
        let holders = words(reader, "holders");
        let kind = kind(reader, &names, "store").unwrap_or_default();
        let store = if kind.is_empty() { None } else { kinds.store(kind, reader) };
        let table = without(reader.table_itself(), &["holders"]);
        let identity = if kind.is_empty() { section.name.clone() } else { table.to_json().to_string() };
        (section.name.clone(), BuiltStore { table: StoreTable { kind: kind.to_owned(), holders, table }, store, identity })
    };
    sections.iter().map(store).collect()
}

/// Reads `[provider.*]`.
pub(crate) fn accounts(sections: &[Section<'_>], kinds: &dyn Kinds) -> BTreeMap<String, BuiltAccount> {
    let known = kinds.definitions();
    let account = |section: &Section<'_>| {
        let reader = &section.reader;
        let holders = words(reader, "holders");
        let said = reader.text("definition");
        let definition = said.unwrap_or(&section.name);
        let provider = if known.iter().any(|name| name == definition) {
            kinds.provider(definition, reader)
        } else {
            if said.is_some() || !reader.has("definition") {
                let all = known.join(", ");
                let right = format!("a definition of the catalogue ({all}), as `definition` or as the table's name");
                let wrong = format!("there is no definition \"{}\"", definition.escape_debug());
                if said.is_some() {
                    reader.wrong("definition", wrong, right);
                } else {
                    reader.problems().add(section.place, reader.path(), wrong, right);
                }
            }
            None
        };
        let table = without(reader.table_itself(), &["holders", "definition"]);
        let table = ProviderTable { definition: definition.to_owned(), holders, table };
        let scope = templates::scope(provider.as_deref());
        let mint_needs = provider.iter().flat_map(|provider| provider.mint_needs()).collect();
        (section.name.clone(), BuiltAccount { table, provider, scope, mint_needs })
    };
    sections.iter().map(account).collect()
}

/// `kind`, which must be one of `names`.
pub(crate) fn kind<'a>(reader: &Reader<'a>, names: &[&str], what: &str) -> Option<&'a str> {
    let right = format!("must be one of {}", quoted(names));
    if !reader.has("kind") {
        reader.wrong("kind", "missing", right);
        return None;
    }
    let kind = reader.text("kind")?;
    if names.contains(&kind) {
        return Some(kind);
    }
    reader.wrong("kind", format!("there is no {what} of kind \"{}\"", kind.escape_debug()), right);
    None
}

/// `"a", "b"`.
pub(crate) fn quoted<T: AsRef<str>>(names: &[T]) -> String {
    names.iter().map(|name| format!("\"{}\"", name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// Words such as tags and holders: none empty, none twice.
pub(crate) fn words(reader: &Reader<'_>, key: &str) -> Vec<String> {
    let all = reader.texts(key).unwrap_or_default();
    let mut seen = std::collections::BTreeSet::new();
    for word in &all {
        if word.trim().is_empty() {
            reader.wrong(key, "holds an empty string", "words that are not empty");
        } else if !seen.insert(word) {
            reader.wrong(key, format!("names \"{}\" twice", word.escape_debug()), "each once");
        }
    }
    all
}

/// The table without some keys.
pub(crate) fn without(table: &Table, keys: &[&str]) -> Table {
    let mut kept = table.clone();
    kept.entries.retain(|key, _| !keys.contains(&key.as_str()));
    kept
}
