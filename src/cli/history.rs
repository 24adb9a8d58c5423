//! `cutover history`: who rotated what, when, why, on which evidence.

use cutover_ledger::HistoryRow;
use serde_json::{Value, json};

use super::Common;
use super::door::{Door, Need};
use super::exit::{Exit, Failure};
use super::facts::in_words;
use super::screen::{Paint, Screen, print_json};
use super::select::SelectorArgs;
use super::words::counted;
use crate::control::Ask;
use crate::control::wire::Chain;
use crate::engine::times::{rfc3339, words};

/// Arguments of `history`.
#[derive(clap::Args, Clone, Debug)]
pub struct HistoryArgs {
    /// Which policies; all, where nothing is said.
    #[command(flatten)]
    pub select: SelectorArgs,
    /// Only this rotation
    #[arg(long, value_name = "ID")]
    pub rotation: Option<String>,
    /// At most so many of the newest entries; 0 = all
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: usize,
    /// Check the whole hash chain instead
    #[arg(long)]
    pub verify: bool,
}

/// Carries it out.
///
/// # Errors
/// The ledger cannot be read.
pub async fn run(common: &Common, args: &HistoryArgs) -> Result<Exit, Failure> {
    let door = Door::open(&common.config, Need::Read).await?;
    let result = if args.verify { verify(&door, common).await } else { show(&door, common, args).await };
    door.close().await;
    result
}

async fn show(door: &Door, common: &Common, args: &HistoryArgs) -> Result<Exit, Failure> {
    let mut selector = args.select.selector();
    if selector.all {
        selector = cutover_config::Selector::default();
    }
    let ask = Ask::History { selector, rotation: args.rotation.clone(), limit: args.limit };
    let (rows, _): (Vec<HistoryRow>, Value) = door.all(ask).await?;
    if common.json {
        print_json(&json!({ "version": 1, "entries": rows.iter().map(entry).collect::<Vec<_>>() }), false);
    } else {
        let screen = Screen::stdout();
        screen.print(&table(&screen, &rows));
    }
    Ok(Exit::Done)
}

fn entry(row: &HistoryRow) -> Value {
    let facts: Value = serde_json::from_str(&row.entry.facts).unwrap_or(Value::Null);
    json!({
        "seq": row.seq,
        "at": rfc3339(row.entry.at),
        "policy": row.entry.policy,
        "rotation": row.entry.rotation,
        "actor": row.entry.actor,
        "kind": row.entry.kind,
        "facts": facts,
        "hash": row.hash,
    })
}

fn table(screen: &Screen, rows: &[HistoryRow]) -> String {
    if rows.is_empty() {
        return "No entries yet.\n".to_owned();
    }
    let cells = rows.iter().map(|row| {
        let entry = &row.entry;
        let kind = match entry.kind.as_str() {
            "held" | "still-held" | "grace-ended" | "in-doubt" => screen.paint(Paint::Bad, &entry.kind),
            "hook-failed" | "mint-refused" | "preflight-failed" | "grace-ending" | "overdue" => {
                screen.paint(Paint::Warn, &entry.kind)
            }
            "cutover" | "closed" | "old-dead" | "recovered" => screen.paint(Paint::Good, &entry.kind),
            kind => kind.to_owned(),
        };
        vec![
            words(entry.at),
            entry.policy.clone().unwrap_or_default(),
            entry.rotation.clone().unwrap_or_default(),
            entry.actor.clone(),
            kind,
            in_words(&entry.kind, &entry.facts),
        ]
    });
    screen.table(&["TIME", "POLICY", "ROTATION", "ACTOR", "WHAT", "FACTS"], &cells.collect::<Vec<_>>())
}

async fn verify(door: &Door, common: &Common) -> Result<Exit, Failure> {
    let (_, chain): (Vec<()>, Chain) = door.all(Ask::Verify {}).await?;
    let exit = if chain.entries.is_some() { Exit::Done } else { Exit::Failed };
    if common.json {
        let document =
            json!({ "version": 1, "intact": exit == Exit::Done, "entries": chain.entries, "first_broken": chain.first_broken });
        print_json(&document, false);
    } else {
        let screen = Screen::stdout();
        screen.print(&chain_in_words(&screen, chain));
    }
    Ok(exit)
}

fn chain_in_words(screen: &Screen, chain: Chain) -> String {
    match (chain.entries, chain.first_broken) {
        (Some(entries), _) => {
            let entries = usize::try_from(entries).unwrap_or(usize::MAX);
            screen.paint(Paint::Good, &format!("{}, chain intact", counted(entries, "entry", "entries"))) + "\n"
        }
        (None, first) => {
            let first = first.map_or_else(|| "an entry".to_owned(), |first| format!("entry {first}"));
            let text = format!(
                "chain broken: {first} does not fit the one before it. What stands from there on is not what was written."
            );
            screen.paint(Paint::Bad, &text) + "\n"
        }
    }
}

#[cfg(test)]
mod tests {
    use cutover_api::Stamp;
    use cutover_ledger::{HistoryEntry, HistoryRow};

    use super::{chain_in_words, entry, table};
    use crate::cli::screen::Screen;
    use crate::control::wire::Chain;

    fn row(seq: u64, policy: Option<&str>, kind: &str, facts: &str) -> HistoryRow {
        HistoryRow {
            seq,
            entry: HistoryEntry {
                at: Stamp(1_700_000_000_000),
                policy: policy.map(Into::into),
                rotation: policy.map(|_| "rot_1".into()),
                actor: "uid:1000(dana)".into(),
                kind: kind.into(),
                facts: facts.into(),
            },
            hash: "ab".into(),
        }
    }

    #[test]
    fn the_table_is_golden() {
        let rows = [
            row(1, Some("crm"), "rotation-started", r#"{"reason":"leaked","scheduled":false}"#),
            row(2, None, "reloaded", r#"{"changes":["policy crm: grace changes"]}"#),
        ];
        let expected = "\
TIME                  POLICY  ROTATION  ACTOR           WHAT              FACTS
2023-11-14 22:13 UTC  crm     rot_1     uid:1000(dana)  rotation-started  by hand: leaked
2023-11-14 22:13 UTC                    uid:1000(dana)  reloaded          policy crm: grace changes
";
        let screen = Screen::plain();
        assert_eq!(screen.render(&table(&screen, &rows)), expected);
        assert_eq!(table(&screen, &[]), "No entries yet.\n");
    }

    #[test]
    fn the_document_is_golden() {
        let expected = serde_json::json!({
            "seq": 1, "at": "2023-11-14T22:13:20Z", "policy": "crm", "rotation": "rot_1", "actor": "uid:1000(dana)",
            "kind": "minted", "facts": { "id": "k" }, "hash": "ab",
        });
        assert_eq!(entry(&row(1, Some("crm"), "minted", r#"{"id":"k"}"#)), expected);
    }

    #[test]
    fn a_broken_chain_is_told() {
        let screen = Screen::plain();
        let intact = Chain { entries: Some(12), first_broken: None };
        assert_eq!(chain_in_words(&screen, intact), "12 entries, chain intact\n");
        let broken = Chain { entries: None, first_broken: Some(7) };
        assert!(chain_in_words(&screen, broken).starts_with("chain broken: entry 7 does not fit"));
    }
}
