//! Policies for keys that are there already: TOML that loads as it is, with the places marked that only a person knows.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Account;
use crate::cli::words::{counted, quoted, time};
use crate::engine::keys::{ListedKey, Standing};

/// What a person puts in.
const MARK: &str = "FILL-IN";
/// The longest name of a policy that is made up.
const LONGEST: usize = 40;

/// Policies for every live key that no policy is about.
pub fn policies(accounts: &[Account], stores: &[String]) -> String {
    let mut names = BTreeSet::new();
    let mut bodies = Vec::new();
    let mut problems = String::new();
    for account in accounts {
        names.extend(account.head.policies.iter().cloned());
        if let Some((text, cure)) = &account.head.problem {
            problems.push_str(&format!("# {}: nothing can be written for it: {cure}.\n", comment(text)));
        }
    }
    for account in accounts {
        for key in &account.keys {
            match standing(key) {
                Ok(()) => bodies.push(policy(account, key, stores, &mut names)),
                Err(why) => problems.push_str(&format!("# left out: {}: {why}\n", described(key))),
            }
        }
    }
    let head = format!(
        "# {} for keys that no policy was about. Every place marked {MARK} has to be filled in; then `cutover check` tells whether\n\
         # it is right, and `cutover check --online` whether the key that is named here is the one that stands there.\n\
         # Delete what is not to be rotated: a key without a policy is left alone.\n",
        counted(bodies.len(), "policy", "policies")
    );
    head + &problems + &bodies.concat()
}

/// Whether a policy is written for it; why not.
fn standing(key: &ListedKey) -> Result<(), String> {
    match (&key.policy, key.standing) {
        _ if key.state != "live" => Err(format!("it is {}", key.state)),
        (Some(policy), _) => Err(format!("policy {policy} is about it")),
        (None, Standing::Orphan) => Err("its name is one that cutover gives: find out whose it is first".to_owned()),
        (None, _) if key.id.is_none() => Err("it has no id that could be written here".to_owned()),
        _ => Ok(()),
    }
}

fn policy(account: &Account, key: &ListedKey, stores: &[String], names: &mut BTreeSet<String>) -> String {
    let head = &account.head;
    let wanted = slug(key.name.as_deref().or(key.prefix.as_deref()).unwrap_or_default());
    let wanted = if wanted.is_empty() { slug(&head.provider) } else { wanted };
    let name = unique(&wanted, names);
    // What is called a name is, as a rule, the key's: another policy's is no good for it.
    let own = |need: &str| key.name.clone().filter(|_| need.contains("name"));
    let given = head.params.iter().map(|(name, value)| (name.clone(), own(name).unwrap_or_else(|| text(value))));
    let lacking = head.required.iter().filter(|need| !head.params.contains_key(*need));
    let filled = lacking.map(|need| (need.clone(), own(need).unwrap_or_else(|| MARK.to_owned())));
    let params: Vec<String> =
        given.chain(filled).map(|(name, value)| format!("{} = {}", quoted(&name), quoted(&value))).collect();
    let params = if params.is_empty() { String::new() } else { format!("params   = {{ {} }}\n", params.join(", ")) };
    let store = if let [only] = stores { only } else { MARK };
    let verify = if head.sees_use {
        format!("\n[[policy.{name}.verify]]\nkind = \"last-used\"\n")
    } else {
        format!(
            "\n# Without a verify a person confirms each rotation. The application's own page is better:\n# [[policy.{name}.verify]]\n\
             # kind = \"consumer\"\n# request = \"GET https://{MARK}/health/keys\"\n# fingerprint = \"/fingerprint\"\n"
        )
    };
    format!(
        "\n# {about}\n[policy.{name}]\nprovider = {provider}\n{params}cadence  = \"1y\"\n\
         # This key counts as ours: cutover ends it once another one is proven in use. Take the line out to end it yourself.\n\
         adopt    = {{ id = {id} }}\n\n\
         # Where the application reads it.\n[[policy.{name}.target]]\nstore  = {store}\npath   = \"{MARK}\"\n\
         fields = {{ \"{MARK}\" = \"{{{{ new.secret }}}}\" }}\n\n\
         # What makes the application read it again; none where it reads it at each use.\n# [[policy.{name}.redeploy]]\n\
         # kind = \"command\"\n# run  = [\"/usr/local/bin/deploy\", \"{name}\"]\n{verify}",
        about = described(key),
        provider = quoted(&head.provider),
        id = quoted(key.id.as_deref().unwrap_or_default()),
        store = quoted(store),
    )
}

/// A key in one line of a comment.
fn described(key: &ListedKey) -> String {
    let parts = [
        key.name.as_ref().map(|name| format!("\"{name}\"")),
        key.id.as_ref().map(|id| format!("id {id}")),
        key.prefix.clone(),
        key.created_at.as_deref().map(|at| format!("made {}", time(at))),
        Some(key.last_used_at.as_deref().map_or_else(|| "no last use told".to_owned(), |at| format!("last used {}", time(at)))),
    ];
    comment(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

/// One line, whatever is in it.
fn comment(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// What a policy may be named after a key: small letters, digits and dashes.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for letter in name.chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() >= LONGEST {
            break;
        }
    }
    slug.trim_end_matches('-').to_owned()
}

fn unique(wanted: &str, names: &mut BTreeSet<String>) -> String {
    let name = std::iter::once(wanted.to_owned())
        .chain((2..).map(|n| format!("{wanted}-{n}")))
        .find(|name| !names.contains(name))
        .unwrap_or_default();
    names.insert(name.clone());
    name
}
