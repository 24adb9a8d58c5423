//! The keys that providers list, beside what the ledger knows of them. Nothing is written.

use std::collections::{BTreeMap, BTreeSet};

use cutover_api::{Call, KeyRecord, Listing, Outcome, Stamp};
use cutover_config::Config;
use cutover_ledger::{HistoryQuery, HistoryRow};
use cutover_machine::plan::Authority;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Engine;
use super::cure::{Side, said};
use super::shared::View;
use super::snapshot::Account;
use super::times::rfc3339;

/// The longest text of a provider that is shown, in characters.
const LONGEST: usize = 120;

/// One part of the answer: an account, followed by its keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Listed {
    /// An account with one set of params.
    Account(ListedAccount),
    /// One of its keys.
    Key(ListedKey),
}

/// One account with one set of params, and how its list was had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListedAccount {
    /// The provider's table.
    pub provider: String,
    /// The params that were asked with.
    pub params: BTreeMap<String, Value>,
    /// The params a policy must give.
    pub required: Vec<String>,
    /// The policies with these params.
    pub policies: Vec<String>,
    /// The provider tells when a key was used last, to somebody who is not that key.
    pub sees_use: bool,
    /// Why there are no keys: what was found, and what to do about it.
    pub problem: Option<(String, String)>,
    /// It has a list, and that could not be had: what is shown is not all there is.
    #[serde(default)]
    pub failed: bool,
    /// Keys in use that the list does not have, by policy: id or fingerprint.
    pub missing: Vec<(String, String)>,
}

/// What the ledger knows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// cutover made it.
    Ours,
    /// cutover was told that it counts as ours.
    Adopted,
    /// Its name is one that cutover gives, and this ledger does not know it.
    Orphan,
    /// Somebody else made it.
    Unknown,
}

/// One key. Texts are bounded, and without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedKey {
    /// What the ledger knows of it.
    pub standing: Standing,
    /// The policy it is or was of.
    pub policy: Option<String>,
    /// It is the one that is recorded as in use.
    pub in_use: bool,
    /// Its id. `None` = the provider shows none, or one that cannot be shown as it is.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its first characters.
    pub prefix: Option<String>,
    /// `live`, `inactive`, `expired`, `revoked`.
    pub state: String,
    /// When it was made, RFC 3339.
    pub created_at: Option<String>,
    /// Its last use, RFC 3339.
    pub last_used_at: Option<String>,
    /// When the provider ends it, RFC 3339.
    pub expires_at: Option<String>,
    /// What should be known of it.
    pub note: Option<String>,
}

impl Engine {
    /// The keys of one provider's table, or of all. `params`: for an account that no policy has yet.
    ///
    /// # Errors
    /// There is no such provider, or the history cannot be read.
    pub async fn keys(&self, provider: Option<&str>, params: &BTreeMap<String, Value>) -> Result<Vec<Listed>, String> {
        let config = self.shared.config();
        if let Some(name) = provider.filter(|name| !config.providers.contains_key(*name)) {
            return Err(format!("there is no provider {name}"));
        }
        let history = self.shared.ledger.history(&HistoryQuery::default()).await.map_err(|error| error.to_string())?;
        let mut listed = Vec::new();
        for name in config.providers.keys().filter(|name| provider.is_none_or(|wanted| wanted == *name)) {
            let known = Known::of(self, &config, name, &history);
            for (params, policies) in asked(&config, name, params) {
                let (account, rows) = self.list(&config, name, params, policies).await;
                listed.extend(told(self.shared.clock.now(), &known, account, rows));
            }
        }
        Ok(listed)
    }

    async fn list(
        &self,
        config: &Config,
        name: &str,
        params: BTreeMap<String, Value>,
        policies: Vec<String>,
    ) -> (ListedAccount, Vec<KeyRecord>) {
        let mut account = ListedAccount {
            provider: name.to_owned(),
            params,
            required: Vec::new(),
            policies,
            sees_use: false,
            problem: None,
            failed: false,
            missing: Vec::new(),
        };
        let line = match self.account(config, name) {
            Ok(line) => line,
            Err(detail) => {
                let cure = "`cutover check` tells where in the file".to_owned();
                return (ListedAccount { problem: Some((detail, cure)), failed: true, ..account }, Vec::new());
            }
        };
        let provider = &line.provider;
        let needs = provider.params().into_iter().filter(|need| need.required);
        account.required = needs.map(|need| need.name).collect();
        let facts = provider.facts();
        let own = facts.declares.authority == Authority::Own;
        account.sees_use = facts.declares.last_used.is_some() && !own;
        if !facts.lists() {
            let text = format!("{name} has no list: what keys there are can only be seen in its own console");
            let cure = "nothing; evidence has to come from the application (a verify of kind `consumer`)".to_owned();
            account.problem = Some((text, cure));
            return (account, Vec::new());
        }
        if own {
            let text = format!(
                "{name} lists keys only to the key itself, which stands in the targets and is not taken from there for this"
            );
            account.problem = Some((text, "look into its own console; `check --online` looks with the key in use".to_owned()));
            return (account, Vec::new());
        }
        let call = Call { params: &account.params, intent: None, signer: None };
        match provider.list(call).await {
            Outcome::Done(Listing { rows, .. }) => (account, rows),
            other => {
                let (text, mut cure) = said(Side::Provider(name), &other);
                let lacking: Vec<&String> =
                    account.required.iter().filter(|need| !account.params.contains_key(*need)).collect();
                if !lacking.is_empty() {
                    let names = lacking.iter().map(|need| format!("--param {need}=…")).collect::<Vec<_>>().join(" ");
                    cure.push_str(&format!("; no policy says its params: perhaps {names}"));
                }
                account.problem = Some((format!("{name} did not list its keys: {text}"), cure));
                account.failed = true;
                (account, Vec::new())
            }
        }
    }

    fn account(&self, config: &Config, name: &str) -> Result<std::sync::Arc<super::plugins::AccountLine>, String> {
        let workshop = self.shared.workshop();
        let table = config.providers.get(name).ok_or_else(|| format!("there is no provider {name}"))?;
        let known = workshop.catalog().known().get(&table.definition);
        let definition = known.ok_or_else(|| format!("there is no definition {}", table.definition))?.text.clone();
        workshop.line(&Account {
            name: name.to_owned(),
            definition_name: table.definition.clone(),
            definition,
            table: table.table.to_json(),
        })
    }
}

/// The sets of params to ask a provider with, each with its policies; the given ones where no policy has any.
fn asked(config: &Config, provider: &str, given: &BTreeMap<String, Value>) -> Vec<(BTreeMap<String, Value>, Vec<String>)> {
    let mut sets: Vec<(BTreeMap<String, Value>, Vec<String>)> = Vec::new();
    for policy in config.policies.values().filter(|policy| policy.provider == provider) {
        match sets.iter_mut().find(|(params, _)| *params == policy.params) {
            Some((_, policies)) => policies.push(policy.name.clone()),
            None => sets.push((policy.params.clone(), vec![policy.name.clone()])),
        }
    }
    if sets.is_empty() || !given.is_empty() {
        sets = vec![(given.clone(), Vec::new())];
    }
    sets
}

/// What is known of the keys of one provider.
#[derive(Default)]
struct Known {
    /// By id and by fingerprint.
    marks: BTreeMap<String, (Standing, String)>,
    /// The key in use by policy: id and fingerprint.
    in_use: Vec<(String, KeyRecord)>,
    /// Nonces of the rotations under way.
    nonces: BTreeMap<String, String>,
}

impl Known {
    fn of(engine: &Engine, config: &Config, provider: &str, history: &[HistoryRow]) -> Self {
        let mut known = Self::default();
        // A policy that is gone or renamed has its keys still.
        let elsewhere = |name: &str| config.policies.get(name).is_some_and(|policy| policy.provider != provider);
        for row in history {
            let Some(policy) = row.entry.policy.as_ref().filter(|name| !elsewhere(name)) else { continue };
            let standing = match row.entry.kind.as_str() {
                "minted" => Standing::Ours,
                "adopted" => Standing::Adopted,
                _ => continue,
            };
            let Ok(facts) = serde_json::from_str::<Value>(&row.entry.facts) else { continue };
            let texts = ["id", "fingerprint"].into_iter().filter_map(|key| facts.get(key)?.as_str());
            known.marks.extend(texts.map(|text| (text.to_owned(), (standing, policy.clone()))));
        }
        for policy in config.policies.values().filter(|policy| policy.provider == provider) {
            if let Some(id) = &policy.adopt {
                known.marks.entry(id.clone()).or_insert_with(|| (Standing::Adopted, policy.name.clone()));
            }
            let state = engine.shared.policy_state(&policy.name);
            known.in_use.extend(state.and_then(|state| state.current).map(|key| (policy.name.clone(), *key)));
            if let Some(View { record, .. }) = engine.shared.view(&policy.name) {
                known.nonces.extend(record.nonces.iter().map(|nonce| (nonce.clone(), policy.name.clone())));
            }
        }
        known
    }

    fn standing(&self, row: &KeyRecord) -> (Standing, Option<String>) {
        let print = row.fingerprint.as_ref().map(|print| &print.0);
        if let Some((standing, policy)) = row.id.iter().chain(print).find_map(|text| self.marks.get(text)) {
            return (*standing, Some(policy.clone()));
        }
        let name = row.name.as_deref().unwrap_or_default();
        if let Some((_, policy)) = self.nonces.iter().find(|(nonce, _)| name.contains(nonce.as_str())) {
            return (Standing::Ours, Some(policy.clone()));
        }
        (if has_suffix(name) { Standing::Orphan } else { Standing::Unknown }, None)
    }
}

fn is_same(row: &KeyRecord, key: &KeyRecord) -> bool {
    match (&row.id, &key.id) {
        (Some(id), Some(other)) => id == other,
        _ => row.fingerprint.is_some() && row.fingerprint == key.fingerprint,
    }
}

/// Whether a name holds what cutover puts into the names of its keys: `2026-` and twelve of `[a-z0-9]`.
fn has_suffix(name: &str) -> bool {
    let part = |part: &str| {
        let Some((year, nonce)) = part.split_once('-') else { return false };
        year.len() == 4
            && year.bytes().all(|byte| byte.is_ascii_digit())
            && nonce.len() == 12
            && nonce.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
    };
    name.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-').any(part)
}

fn told(now: Stamp, known: &Known, mut account: ListedAccount, rows: Vec<KeyRecord>) -> Vec<Listed> {
    let here: BTreeSet<&String> = account.policies.iter().collect();
    if account.problem.is_none() {
        let lost =
            known.in_use.iter().filter(|(policy, key)| here.contains(policy) && !rows.iter().any(|row| is_same(row, key)));
        let named = lost.filter_map(|(policy, key)| {
            Some((policy.clone(), key.id.clone().or_else(|| key.fingerprint.as_ref().map(|print| print.0.clone()))?))
        });
        account.missing = named.collect();
    }
    let mut keys: Vec<ListedKey> = rows.iter().map(|row| key(now, known, row)).collect();
    keys.sort_by(|a, b| (a.state != "live", a.standing, &a.name, &a.id).cmp(&(b.state != "live", b.standing, &b.name, &b.id)));
    std::iter::once(Listed::Account(account)).chain(keys.into_iter().map(Listed::Key)).collect()
}

fn key(now: Stamp, known: &Known, row: &KeyRecord) -> ListedKey {
    let (standing, mut policy) = known.standing(row);
    let user = known.in_use.iter().find(|(_, key)| is_same(row, key)).map(|(policy, _)| policy.clone());
    let in_use = user.is_some();
    policy = user.or(policy);
    let state = match row {
        _ if row.revoked => "revoked",
        _ if row.expires_at.is_some_and(|at| at <= now) => "expired",
        _ if row.inactive => "inactive",
        _ => "live",
    };
    let (id, mut note) = match row.id.as_deref() {
        Some(id) if clean(id) == id => (Some(id.to_owned()), None),
        Some(_) => (None, Some("its id cannot be shown as it is".to_owned())),
        None => (None, None),
    };
    if standing == Standing::Orphan {
        note = Some("its name is one that cutover gives: another environment's key, or one whose reply was lost".to_owned());
    } else if standing == Standing::Unknown && in_use {
        note = Some("in use; cutover did not make it and will not end it".to_owned());
    }
    let text = |text: &Option<String>| text.as_deref().map(clean);
    ListedKey {
        standing,
        policy,
        in_use,
        id,
        name: text(&row.name),
        prefix: text(&row.prefix).or_else(|| text(&row.hint)),
        state: state.to_owned(),
        created_at: row.created_at.map(rfc3339),
        last_used_at: row.last_used_at.map(rfc3339),
        expires_at: row.expires_at.map(rfc3339),
        note,
    }
}

/// A text of somebody else's: one line of bounded length, without control characters and without what turns the direction of writing.
fn clean(text: &str) -> String {
    let odd = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut cleaned: String = text.chars().take(LONGEST).map(|letter| if odd(letter) { '?' } else { letter }).collect();
    if text.chars().nth(LONGEST).is_some() {
        cleaned.push('…');
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use cutover_api::{Fingerprint, KeyRecord, Stamp};

    use super::{Known, Listed, ListedAccount, Standing, clean, has_suffix, told};

    fn row(id: &str, name: &str) -> KeyRecord {
        KeyRecord { id: Some(id.into()), name: Some(name.into()), ..KeyRecord::default() }
    }

    #[test]
    fn each_key_stands_where_the_ledger_knows_it() {
        let mut known = Known::default();
        known.marks.insert("k1".into(), (Standing::Ours, "crm".into()));
        known.marks.insert("sha256:02".into(), (Standing::Adopted, "erp".into()));
        known.nonces.insert("aaaabbbbcccc".into(), "pay".into());
        known.in_use.push(("crm".into(), row("k1", "x")));
        known.in_use.push(("lost".into(), row("k9", "x")));
        let account = ListedAccount {
            provider: "plana".into(),
            params: Default::default(),
            required: vec![],
            policies: vec!["crm".into(), "lost".into()],
            sees_use: true,
            problem: None,
            failed: false,
            missing: vec![],
        };
        let rows = vec![
            row("k1", "a"),
            KeyRecord { fingerprint: Some(Fingerprint("sha256:02".into())), ..row("k2", "b") },
            row("k3", "pay (2026-aaaabbbbcccc)"),
            row("k4", "pay (2026-gtxr11os0v26)"),
            row("k5", "by hand (2026)"),
            KeyRecord { revoked: true, ..row("k6", "a") },
        ];
        let all = told(Stamp(0), &known, account, rows);
        let Listed::Account(account) = &all[0] else { panic!("no account") };
        assert_eq!(account.missing, [("lost".to_owned(), "k9".to_owned())]);
        let keys: Vec<_> = all[1..]
            .iter()
            .map(|listed| {
                let Listed::Key(key) = listed else { panic!("no key") };
                (key.id.clone().unwrap(), key.standing, key.policy.clone().unwrap_or_default(), key.in_use, key.state.clone())
            })
            .collect();
        let expected = [
            ("k1", Standing::Ours, "crm", true, "live"),
            ("k3", Standing::Ours, "pay", false, "live"),
            ("k2", Standing::Adopted, "erp", false, "live"),
            ("k4", Standing::Orphan, "", false, "live"),
            ("k5", Standing::Unknown, "", false, "live"),
            ("k6", Standing::Unknown, "", false, "revoked"),
        ];
        assert_eq!(
            keys,
            expected.map(|(id, standing, policy, used, state)| (id.into(), standing, policy.into(), used, state.into()))
        );
    }

    #[test]
    fn a_hostile_text_is_bounded_and_cleaned() {
        assert_eq!(clean("a\u{1b}[2J\nb\u{202e}c"), "a?[2J?b?c");
        assert_eq!(clean(&"x".repeat(1_000_000)).chars().count(), 121);
        let all = told(Stamp(0), &Known::default(), empty(), vec![row("id\n[policy.x]", "n")]);
        let Listed::Key(key) = &all[1] else { panic!("no key") };
        assert_eq!(key.id, None, "an id that is not the whole id is none");
        assert!(key.note.is_some());
    }

    fn empty() -> ListedAccount {
        ListedAccount {
            provider: "p".into(),
            params: Default::default(),
            required: vec![],
            policies: vec![],
            sees_use: false,
            problem: None,
            failed: false,
            missing: vec![],
        }
    }

    #[test]
    fn a_name_of_ours_is_told_by_its_shape() {
        assert!(has_suffix("Nightly (2026-gtxr11os0v26)") && has_suffix("2026-gtxr11os0v26"));
        assert!(!has_suffix("2026-11-21") && !has_suffix("x2026-gtxr11os0v26y") && !has_suffix("2026-GTXR11OS0V26"));
    }
}
