//! The configuration as `init` writes it.

use std::path::Path;

use cutover_api::{ParamNeed, ProviderFacts};
use cutover_machine::plan::{Authority, Lifecycle};

use super::answers::Answers;
use crate::catalog::{Catalog, MAIL_STARTER, WEBHOOK_STARTER, param_in_words};
use crate::cli::words::quoted;
use crate::control::weigh::lifecycle_in_words;

/// Where an installed cutover has its configuration; its state then goes where systemd puts state.
const INSTALLED: &str = "/etc/cutover";

/// A configuration and what belongs to it.
pub struct Draft {
    /// The file.
    pub text: String,
    /// The files that hold secrets: what, and where.
    pub files: Vec<(String, String)>,
    /// The next commands, and what they do.
    pub next: Vec<(String, String)>,
}

impl Draft {
    /// Writes it down.
    pub fn of(file: &Path, answers: &Answers, catalog: &Catalog) -> Self {
        let dir = file.parent().unwrap_or(Path::new("/")).display().to_string();
        let dir = dir.trim_end_matches('/').to_owned();
        let within = |name: &str| format!("{dir}/{name}");
        let seal = within("seal-key");
        let credential = within(&format!("{}-credential", answers.provider));
        let signs = catalog.parsed(&answers.provider).is_none_or(|definition| definition.wants_credential());
        let what = format!("the credential that {} lets you manage keys with", answers.provider);
        let mut files: Vec<(String, String)> = signs.then(|| (what, credential.clone())).into_iter().collect();
        let store = answers
            .place
            .text
            .replace("@ADDRESS@", &quoted(&answers.place.address))
            .replace("@MOUNT@", &quoted(&answers.place.mount));
        let token = within("vault-token");
        let store = if store.contains("@DIR/vault-token@") {
            files.push(("a token that may create, read and update the path".to_owned(), token.clone()));
            store.replace("@DIR/vault-token@", &quoted(&token))
        } else {
            store
        };
        let text = [
            head(file, &dir, answers, &seal),
            notify(answers),
            store,
            provider(answers, signs.then_some(credential.as_str())),
            policy(answers, catalog),
        ];
        let option = if dir == INSTALLED { String::new() } else { format!(" --config {}", file.display()) };
        let next = [
            (
                format!("(umask 077; cutover keygen > {seal})"),
                "the key that seals the ledger: keep a copy elsewhere".to_owned(),
            ),
            (
                format!("cutover check --online{option}"),
                "asks the provider, the store and the channel; changes nothing".to_owned(),
            ),
            (
                format!("cutover rotate {} --dry-run{option}", answers.policy),
                "what a rotation would do, and what is still in its way".to_owned(),
            ),
        ];
        Self { text: text.join("\n"), files, next: next.into() }
    }
}

fn head(file: &Path, dir: &str, answers: &Answers, seal: &str) -> String {
    let places = if dir == INSTALLED {
        "# State and socket are where they are by default: /var/lib/cutover/ledger.db and /run/cutover/control.sock.\n"
            .to_owned()
    } else {
        let ledger = quoted(&format!("sqlite:{dir}/ledger.db"));
        let control = quoted(&format!("{dir}/control.sock"));
        format!("ledger  = {ledger}\ncontrol = {control}\n")
    };
    format!(
        "# {}: written by `cutover init`. config.example.toml in the source explains every key; `cutover check` judges each edit.\n\
         # No secret stands here: {{ file = \"…\" }}, {{ env = \"…\" }} or {{ credential = \"…\" }} (systemd) says where one is read.\n\n\
         [daemon]\n# Stands in every alert, and in the ledger.\nname    = {}\n\
         # Everything secret in the ledger is encrypted with this key; `cutover keygen` makes one.\nseal    = {{ file = {} }}\n{places}",
        file.file_name().unwrap_or_default().to_string_lossy(),
        quoted(&answers.name),
        quoted(seal),
    )
}

fn notify(answers: &Answers) -> String {
    let to = &answers.notify;
    if to.contains("://") {
        return WEBHOOK_STARTER.replace("@TO@", &quoted(&format!("POST {to}")));
    }
    let host = to.rsplit_once('@').map_or("localhost", |(_, host)| host);
    MAIL_STARTER.replace("@TO@", &quoted(to)).replace("@FROM@", &quoted(&format!("cutover@{host}")))
}

fn provider(answers: &Answers, credential: Option<&str>) -> String {
    let table = format!(
        "# One account at the provider; `cutover providers show {0}` tells what its definition knows and assumes.\n[provider.{0}]\n",
        answers.provider
    );
    let Some(credential) = credential else {
        return table + "# No credential stands here: none is needed to make a key.\n";
    };
    let file = quoted(credential);
    table
        + &format!(
            "# What manages keys there, not the key that is rotated. Read at each use: it can be replaced at any time. Where it ends, say when:\n\
             # credential = {{ file = {file}, expires_at = \"2027-06-30T00:00:00Z\" }}\ncredential = {{ file = {file} }}\n"
        )
}

/// A param that may be given and was not.
fn left_out(need: &ParamNeed) -> String {
    let words = param_in_words(&need.name);
    let value = match &need.default {
        Some(default) => format!("# {default} is taken where `params` does not say {}", quoted(&need.name)),
        None => format!("# `params` may also say {}", quoted(&need.name)),
    };
    format!("{value}: {words}.\n")
}

/// What becomes of the key in use at the first rotation, and what changes that.
pub(super) fn adopt(provider: &str, facts: Option<&ProviderFacts>) -> String {
    let key = "# adopt  = { id = \"…\" }\n";
    match facts {
        Some(facts) if facts.ends_old_by_clock() && !facts.lists() => {
            "# The provider itself ends the key in use, a while after a new one is made, and lists no keys: nothing is to be adopted.\n"
                .to_owned()
        }
        Some(facts) if facts.ends_old_by_clock() => format!(
            "# The provider itself ends the key in use, a while after a new one is made. Its id (`cutover keys {provider}` shows it) \
             tells the\n# provider which key is meant, and lets an emergency cut it off earlier:\n{key}"
        ),
        Some(facts) if !facts.lists() => format!(
            "# The key in use is not cutover's: it is never ended by it. With its id, as the provider's own pages show it, it counts as \
             ours:\n{key}"
        ),
        _ => format!(
            "# The key in use is not cutover's: it is never ended by it. With its id (`cutover keys {provider}`) it counts as ours:\n{key}"
        ),
    }
}

fn policy(answers: &Answers, catalog: &Catalog) -> String {
    let name = &answers.policy;
    let definition = catalog.parsed(&answers.provider);
    let facts = definition.map(|definition| definition.facts());
    let how = facts.map(|facts| lifecycle_in_words(facts.lifecycle)).unwrap_or_default();
    let params: Vec<String> = answers.params.iter().map(|(name, value)| format!("{} = {value}", quoted(name))).collect();
    let params = if params.is_empty() { String::new() } else { format!("params   = {{ {} }}\n", params.join(", ")) };
    let params = params + &answers.left_out.iter().map(left_out).collect::<String>();
    let both = facts.is_some_and(|facts| facts.lifecycle == Lifecycle::Overlap || facts.lifecycle == Lifecycle::Grace);
    let field = quoted(&answers.place.field);
    let during = if both {
        let previous = quoted(&format!("{}_PREVIOUS", answers.place.field));
        format!(
            "# Where the application can hold two keys at once, how they are laid out while both live:\n\
             # during = {{ {field} = \"{{{{ new.secret }}}}\", {previous} = \"{{{{ old.secret }}}}\" }}\n"
        )
    } else {
        String::new()
    };
    let hook = if answers.redeploy.is_empty() {
        format!(
            "# The application reads the key at each use. Otherwise say what makes it read it again:\n# [[policy.{name}.redeploy]]\n\
             # kind = \"command\"\n# run  = [\"/usr/local/bin/deploy\", \"{name}\"]\n"
        )
    } else {
        let run: Vec<String> = answers.redeploy.iter().map(|word| quoted(word)).collect();
        format!(
            "# Makes the application read the key again; exit 0 = done.\n[[policy.{name}.redeploy]]\nkind = \"command\"\nrun  = [{}]\n",
            run.join(", ")
        )
    };
    let sees_use =
        facts.is_some_and(|facts| facts.declares.last_used.is_some() && facts.declares.authority == Authority::Separate);
    let verify = if sees_use {
        format!("# The provider tells when each key was used last.\n[[policy.{name}.verify]]\nkind = \"last-used\"\n")
    } else {
        format!(
            "# The provider does not tell who uses a key, so a person says `cutover confirm {name}`. Better: the application names the\n\
             # fingerprint of the key it runs with on a page of its own, and then nobody is needed:\n\
             # kind = \"consumer\", request = \"GET https://app.example.com/health/keys\", fingerprint = \"/fingerprint\"\n\
             [[policy.{name}.verify]]\nkind = \"confirm\"\n"
        )
    };
    format!(
        "# One key and how it is rotated. At this provider {how}.\n[policy.{name}]\nprovider = {provider}\n{params}\
         # Once a year, from when the daemon first loads it. With a date of your own: anchor = \"2027-01-15T03:00:00\".\n\
         cadence  = \"1y\"\n\
         {adopt}\n\
         # Where the application reads it. Other fields of the same place stay as they are.\n[[policy.{name}.target]]\nstore  = \"app\"\n\
         path   = {path}\nfields = {{ {field} = \"{{{{ new.secret }}}}\" }}\n{during}\n{hook}\n{verify}",
        provider = quoted(&answers.provider),
        adopt = adopt(&answers.provider, facts),
        path = quoted(&answers.place.path),
    )
}
