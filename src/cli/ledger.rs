//! `cutover ledger copy`: backup, restore, another place.

use cutover_api::Clock as _;
use cutover_ledger::{Copied, OpenErrorKind, SqliteLedger};
use serde_json::json;

use super::Common;
use super::door::Door;
use super::exit::{Exit, Failure};
use super::open;
use super::screen::{Screen, print_json};
use super::words::counted;
use crate::control::{Ask, Client, Reached, looks};
use crate::engine::WallClock;

/// Arguments of `ledger`.
#[derive(clap::Args, Clone, Debug)]
pub struct LedgerArgs {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// What to do.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum What {
    /// Copy the ledger, in use as it is, to a place where nothing is yet; the copy is proven
    Copy {
        /// Where to: sqlite: and an absolute path
        #[arg(long, value_name = "URL")]
        to: String,
        /// Where from, instead of the ledger of the configuration: to put a copy back
        #[arg(long, value_name = "URL")]
        from: Option<String>,
    },
}

/// Carries it out.
///
/// # Errors
/// There is no copy, and nothing was changed.
pub async fn run(common: &Common, args: &LedgerArgs) -> Result<Exit, Failure> {
    let What::Copy { to, from } = &args.what;
    let target = looks::place(to)?;
    let copied = match (from, Client::reach(&open::control(&common.config)).await?) {
        (None, Reached::Daemon(client, hello)) => {
            let (_, copied): (Vec<()>, Copied) = Door::Daemon(client, hello).all(Ask::LedgerCopy { to: to.clone() }).await?;
            copied
        }
        (from, reached) => {
            let clock = WallClock::real();
            let (config, _) =
                open::config(&common.config, &clock).map_err(|problems| open::wrong(&common.config, &problems))?;
            if target == config.daemon.ledger && matches!(reached, Reached::Daemon(..)) {
                let text = "a daemon runs on that ledger: stop it before a copy takes its place";
                return Err(Failure::new(Exit::Refused, text));
            }
            let source = from.as_deref().map(looks::place).transpose()?.unwrap_or_else(|| config.daemon.ledger.clone());
            let keys = open::seal_keys(&config)?;
            let copied = SqliteLedger::copy_file(&source, &config.daemon.name, &keys, &target, clock.now()).await;
            copied.map_err(|error| {
                let exit = if error.kind == OpenErrorKind::Exists { Exit::Refused } else { Exit::Failed };
                Failure::new(exit, format!("{error}; nothing was copied"))
            })?
        }
    };
    if common.json {
        print_json(&json!({ "version": 1, "copied": copied }), false);
    } else {
        Screen::stdout().print(&in_words(&copied));
    }
    Ok(Exit::Done)
}

fn in_words(copied: &Copied) -> String {
    let rows: Vec<String> =
        copied.rows.iter().filter(|(_, count)| *count > 0).map(|(table, count)| format!("{count} {table}")).collect();
    let entries = usize::try_from(copied.history).unwrap_or(usize::MAX);
    let rows = if rows.is_empty() { String::new() } else { format!("; rows: {}", rows.join(", ")) };
    format!(
        "copied and proven: {}\n  environment {}, {} of history, chain intact{rows}\n  it opens with the sealing key {} only: keep that key, \
         and not beside the copy\n",
        copied.place,
        copied.environment,
        counted(entries, "entry", "entries"),
        copied.seal_keys.join(" or "),
    )
}

#[cfg(test)]
mod tests {
    use cutover_ledger::Copied;

    use super::in_words;

    #[test]
    fn what_was_copied_is_golden() {
        let copied = Copied {
            place: "/b/ledger.db".into(),
            environment: "prod".into(),
            history: 1,
            rows: vec![("rotation".into(), 2), ("alert".into(), 0), ("policy".into(), 40)],
            seal_keys: vec!["0badcafe".into()],
            bytes: 4096,
        };
        let expected = "\
copied and proven: /b/ledger.db
  environment prod, 1 entry of history, chain intact; rows: 2 rotation, 40 policy
  it opens with the sealing key 0badcafe only: keep that key, and not beside the copy
";
        assert_eq!(in_words(&copied), expected);
    }
}
