//! `cutover keys`: the provider's keys beside the ledger's.

mod skeleton;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Common;
use super::door::{Door, Need};
use super::exit::{Exit, Failure};
use super::open;
use super::screen::{Mark, Paint, Screen, print_json, tell};
use super::words::{counted, time};
use crate::control::Ask;
use crate::engine::WallClock;
use crate::engine::keys::{Listed, ListedAccount, ListedKey, Standing};

/// Arguments of `keys`.
#[derive(clap::Args, Clone, Debug)]
pub struct KeysArgs {
    /// The name of a [provider.NAME]; all, where nothing is said
    #[arg(value_name = "PROVIDER")]
    pub provider: Option<String>,
    /// Print policies for the keys that none is about yet, to be filled in
    #[arg(long, conflicts_with = "json")]
    pub toml: bool,
    /// A param to ask with where no policy says it; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = param, requires = "provider")]
    pub params: Vec<(String, Value)>,
}

/// `NAME=VALUE`, the value a text.
pub(super) fn param(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.into())),
        _ => Err("NAME=VALUE, such as workspace=ws_1".to_owned()),
    }
}

/// One account with its keys.
struct Account {
    head: ListedAccount,
    keys: Vec<ListedKey>,
}

/// Carries it out.
///
/// # Errors
/// There is no such provider, or nobody can look.
pub async fn run(common: &Common, args: &KeysArgs) -> Result<Exit, Failure> {
    let door = Door::open(&common.config, Need::Look).await?;
    let params: BTreeMap<String, Value> = args.params.iter().cloned().collect();
    let asked = door.all(Ask::Keys { provider: args.provider.clone(), params }).await;
    door.close().await;
    let (listed, _): (Vec<Listed>, Value) = asked?;
    let accounts = together(listed);
    let exit = outcome(&accounts, args.provider.is_some());
    let screen = Screen::stdout();
    if common.json {
        print_json(&document(&accounts), false);
    } else if args.toml {
        let config = open::config(&common.config, &WallClock::real());
        let stores: Vec<String> = config.map(|(config, _)| config.stores.into_keys().collect()).unwrap_or_default();
        screen.print(&skeleton::policies(&accounts, &stores));
    } else {
        screen.print(&in_words(&screen, &accounts));
    }
    not_listed(&accounts).iter().for_each(|line| tell(line));
    Ok(exit)
}

/// A provider without a list is no failure of anything, unless it was asked for by its name; one that did not answer is.
fn outcome(accounts: &[Account], named: bool) -> Exit {
    let fails = |account: &Account| account.head.failed || (named && account.head.problem.is_some());
    if accounts.iter().any(fails) { Exit::Failed } else { Exit::Done }
}

/// What could not be had, for whoever reads the rest as if it were all.
fn not_listed(accounts: &[Account]) -> Vec<String> {
    let failed = accounts.iter().filter(|account| account.head.failed);
    let said = failed.filter_map(|account| account.head.problem.as_ref());
    let mut said: Vec<String> = said.map(|(what, _)| format!("cutover: not all keys are shown: {what}")).collect();
    // One provider is asked once for each set of params.
    said.dedup();
    said
}

fn together(listed: Vec<Listed>) -> Vec<Account> {
    let mut accounts: Vec<Account> = Vec::new();
    for one in listed {
        match one {
            Listed::Account(head) => accounts.push(Account { head, keys: Vec::new() }),
            Listed::Key(key) => {
                if let Some(account) = accounts.last_mut() {
                    account.keys.push(key);
                }
            }
        }
    }
    accounts
}

fn document(accounts: &[Account]) -> Value {
    let account = |account: &Account| {
        let problem = account.head.problem.as_ref().map(|(text, cure)| json!({ "text": text, "cure": cure }));
        let missing: Vec<Value> =
            account.head.missing.iter().map(|(policy, key)| json!({ "policy": policy, "key": key })).collect();
        json!({
            "provider": account.head.provider, "params": account.head.params, "policies": account.head.policies,
            "problem": problem, "missing": missing, "keys": account.keys,
        })
    };
    json!({ "version": 1, "accounts": accounts.iter().map(account).collect::<Vec<_>>() })
}

fn in_words(screen: &Screen, accounts: &[Account]) -> String {
    if accounts.is_empty() {
        return "No provider is configured: add a [provider.NAME].\n".to_owned();
    }
    accounts.iter().map(|account| account_in_words(screen, account)).collect::<Vec<_>>().join("\n")
}

fn account_in_words(screen: &Screen, Account { head, keys }: &Account) -> String {
    let params: Vec<String> = head.params.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let params = if params.is_empty() { String::new() } else { format!(" ({})", params.join(", ")) };
    let mut text = screen.paint(Paint::Strong, &format!("{}{params}", head.provider));
    if let Some((what, cure)) = &head.problem {
        let mark = screen.mark(if head.failed { Mark::Wrong } else { Mark::Note });
        return text + &format!("\n  {mark} {what}\n      cure: {cure}\n");
    }
    let count = |standing: Standing| keys.iter().filter(|key| key.standing == standing).count();
    let counts = [
        (Standing::Ours, "ours"),
        (Standing::Adopted, "adopted"),
        (Standing::Unknown, "unknown"),
        (Standing::Orphan, "orphan"),
    ];
    let counts: Vec<String> = counts.into_iter().map(|(standing, word)| format!("{} {word}", count(standing))).collect();
    text.push_str(&format!(": {}: {}\n", counted(keys.len(), "key", "keys"), counts.join(", ")));
    if !keys.is_empty() {
        let rows: Vec<Vec<String>> = keys.iter().map(|key| row(screen, key)).collect();
        text.push_str(
            &screen.table(&["STANDING", "POLICY", "NAME", "ID", "PREFIX", "MADE", "LAST USED", "STATE", "NOTE"], &rows),
        );
    }
    for (policy, key) in &head.missing {
        let said = format!("{policy}: the key recorded as in use ({key}) is not among them");
        text.push_str(&format!("{} {said}: `cutover check --online {policy}`\n", screen.mark(Mark::Wrong)));
    }
    let unknown =
        keys.iter().filter(|key| key.standing == Standing::Unknown && key.state == "live" && key.policy.is_none()).count();
    if unknown > 0 {
        let who = counted(unknown, "live key that no policy is about", "live keys that no policy is about");
        text.push_str(&format!("{who}: `cutover keys {} --toml` writes policies for them\n", head.provider));
    }
    text
}

fn row(screen: &Screen, key: &ListedKey) -> Vec<String> {
    let standing = match key.standing {
        Standing::Ours => screen.paint(Paint::Good, "ours"),
        Standing::Adopted => screen.paint(Paint::Good, "adopted"),
        Standing::Orphan => screen.paint(Paint::Bad, "orphan"),
        Standing::Unknown => screen.paint(Paint::Warn, "unknown"),
    };
    let policy = key.policy.clone().map(|policy| if key.in_use { format!("{policy} (in use)") } else { policy });
    let when = |at: &Option<String>| at.as_deref().map(time).unwrap_or_default();
    let state = match (&key.expires_at, key.state.as_str()) {
        (Some(at), "live") => format!("live until {}", time(at)),
        (_, state) => state.to_owned(),
    };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    vec![
        standing,
        policy.unwrap_or_default(),
        text(&key.name),
        text(&key.id),
        text(&key.prefix),
        when(&key.created_at),
        when(&key.last_used_at),
        state,
        text(&key.note),
    ]
}

#[cfg(test)]
mod tests;
