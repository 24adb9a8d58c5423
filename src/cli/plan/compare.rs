//! `cutover plan --diff FILE`: what a changed configuration would change.

use std::collections::BTreeSet;
use std::path::Path;

use cutover_api::{Clock as _, Stamp};
use cutover_config::{Config, Selector};
use serde::Serialize;
use serde_json::json;

use super::super::Common;
use super::super::exit::{Exit, Failure};
use super::super::screen::{Mark, Paint, Screen, print_json};
use super::super::words::time;
use super::{Recorded, configuration};
use crate::engine::WallClock;
use crate::engine::ahead::{self, PolicyStates};

/// A policy whose next date is another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// The policy, by its name in the changed file.
    pub policy: String,
    /// Its next date now; `None` = it is not due.
    pub was: Option<String>,
    /// Its next date then.
    pub becomes: Option<String>,
}

pub async fn run(common: &Common, file: &Path, selector: &Selector) -> Result<Exit, Failure> {
    let (old, _) = configuration(common, &common.config)?;
    let (new, _) = configuration(common, file)?;
    let known = Recorded::of(common, &old).await?;
    let unknown = |name: &&String| !old.policies.contains_key(*name) && !new.policies.contains_key(*name);
    if let Some(name) = selector.policies.iter().find(unknown) {
        return Err(Failure::new(Exit::Usage, format!("there is no policy {name}, before or after")));
    }
    let selected: BTreeSet<&String> = [&old, &new]
        .into_iter()
        .flat_map(|config| config.policies.values().filter(|policy| selector.is_empty() || selector.selects(policy, config)))
        .map(|policy| &policy.name)
        .collect();
    let all = cutover_config::difference(&old, &new);
    let is_about = |line: &&String| {
        let policy = line.strip_prefix("policy ").and_then(|rest| rest.split(": ").next());
        selector.is_empty() || policy.is_none_or(|name| selected.iter().any(|one| one.as_str() == name))
    };
    let changes: Vec<&String> = all.iter().filter(is_about).collect();
    let mut dates = moved(&old, &new, &known.states, WallClock::real().now());
    dates.retain(|moved| selector.is_empty() || selected.contains(&moved.policy));
    if common.json {
        let document = json!({
            "version": 1, "from": common.config, "to": file, "source": known.source.label(), "note": known.note,
            "changes": changes, "dates": dates,
        });
        print_json(&document, false);
    } else {
        let screen = Screen::stdout();
        screen.print(&in_words(&screen, &changes, &dates, known.note.as_deref()));
    }
    Ok(Exit::Done)
}

/// The policies whose next date differs.
fn moved(old: &Config, new: &Config, states: &PolicyStates, now: Stamp) -> Vec<Moved> {
    let identities: Vec<_> = old.policies.values().map(|policy| (policy.name.clone(), policy.identity())).collect();
    let renamed = cutover_config::renames(&identities, new);
    let before = |name: &String| renamed.iter().find(|(_, to)| to == name).map_or(name, |(from, _)| from).clone();
    let (was, becomes) = (ahead::next(old, states, now), ahead::next(new, states, now));
    let is_renamed = |name: &&String| renamed.iter().any(|(from, _)| from == *name);
    let gone = old.policies.keys().filter(|name| !new.policies.contains_key(*name) && !is_renamed(name));
    let all = new.policies.keys().map(|name| (name, before(name))).chain(gone.map(|name| (name, name.clone())));
    let moved = all.map(|(name, before)| Moved {
        policy: name.clone(),
        was: was.get(&before).cloned(),
        becomes: becomes.get(name).cloned(),
    });
    moved.filter(|moved| moved.was != moved.becomes).collect()
}

fn in_words(screen: &Screen, changes: &[&String], dates: &[Moved], note: Option<&str>) -> String {
    if changes.is_empty() && dates.is_empty() {
        return "Nothing changes.\n".to_owned();
    }
    let mut text = String::new();
    for change in changes {
        text.push_str(&format!("{change}\n"));
    }
    if !dates.is_empty() {
        text.push_str(&(screen.paint(Paint::Strong, "Next dates") + "\n"));
        let shown = |date: &Option<String>| date.as_deref().map_or_else(|| "none".to_owned(), time);
        let rows: Vec<Vec<String>> =
            dates.iter().map(|moved| vec![moved.policy.clone(), shown(&moved.was), shown(&moved.becomes)]).collect();
        text.push_str(&screen.table(&["POLICY", "IS", "BECOMES"], &rows));
    }
    if let Some(note) = note {
        text.push_str(&format!("{} {note}\n", screen.mark(Mark::Note)));
    }
    text + "Nothing starts by itself because of a reload: dates count from it on.\n"
}
