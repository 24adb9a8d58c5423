//! `cutover providers`: the catalogue, and a definition checked.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cutover_api::{ProviderFacts, Table, Value};
use cutover_machine::plan::{GraceOffer, ListBy, NullUse, ReRotate};
use serde_json::json;

use super::Common;
use super::exit::{Exit, Failure};
use super::open;
use super::screen::{Mark, Paint, Screen, print_json, tell};
use super::words::counted;
use crate::catalog::{Catalog, definitions_directory};
use crate::control::weigh::{lifecycle, lifecycle_in_words};
use crate::engine::WallClock;

/// Arguments of `providers`.
#[derive(clap::Args, Clone, Debug)]
pub struct ProvidersArgs {
    /// What to do; without it, list.
    #[command(subcommand)]
    pub what: Option<What>,
}

/// What to do.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum What {
    /// The definitions that are known
    List,
    /// What one of them declares, and which params a policy gives
    Show {
        /// Its name
        name: String,
    },
    /// Check a definition whole
    Test {
        /// The file; its stem must be the definition's name
        file: PathBuf,
    },
}

/// Carries it out.
///
/// # Errors
/// No such definition, or one that is wrong.
pub fn run(common: &Common, args: &ProvidersArgs) -> Result<Exit, Failure> {
    match args.what.clone().unwrap_or(What::List) {
        What::List => list(common),
        What::Show { name } => show(common, &name),
        What::Test { file } => test(common, &file),
    }
}

/// The catalogue; where own definitions are wrong, they are told and the shipped ones alone are there.
fn catalog() -> Result<(Catalog, Exit), Failure> {
    let clock = WallClock::real();
    match open::catalog(&clock) {
        Ok(catalog) => Ok((catalog, Exit::Done)),
        Err(problems) => {
            open::lines(&problems).iter().for_each(|line| tell(line));
            tell(&format!(
                "cutover: the definitions in {} are left out: {}",
                definitions_directory().display(),
                counted(problems.len(), "problem", "problems")
            ));
            let shipped = open::shipped(&clock)
                .map_err(|problems| open::wrong(std::path::Path::new("shipped definitions"), &problems))?;
            Ok((shipped, Exit::Usage))
        }
    }
}

fn list(common: &Common) -> Result<Exit, Failure> {
    let (catalog, exit) = catalog()?;
    let known = catalog.known().iter().filter_map(|(name, known)| {
        let definition = catalog.parsed(name)?;
        let whose = if known.shipped { "shipped" } else { "own" };
        Some([name.clone(), definition.about().to_owned(), lifecycle(definition.lifecycle()).to_owned(), whose.to_owned()])
    });
    let known: Vec<_> = known.collect();
    if common.json {
        let rows = known.iter().map(|[name, about, lifecycle, whose]| {
            json!({ "name": name, "about": about, "lifecycle": lifecycle, "shipped": whose == "shipped" })
        });
        print_json(&json!({ "version": 1, "providers": rows.collect::<Vec<_>>() }), false);
    } else {
        let screen = Screen::stdout();
        let rows: Vec<Vec<String>> = known.iter().map(|row| row.to_vec()).collect();
        screen.print(&screen.table(&["NAME", "ABOUT", "LIFECYCLE", "FROM"], &rows));
    }
    Ok(exit)
}

fn show(common: &Common, name: &str) -> Result<Exit, Failure> {
    let (catalog, exit) = catalog()?;
    let Some(known) = catalog.known().get(name) else {
        return Err(Failure::new(Exit::Usage, format!("there is no definition {name}; `cutover providers` lists them")));
    };
    let definition =
        Catalog::parse_definition(name, &known.text).map_err(|problems| open::wrong(std::path::Path::new(name), &problems))?;
    let declared = declared(definition.facts());
    let params = params(&known.text);
    if common.json {
        let document = json!({
            "version": 1, "name": name, "about": definition.about(), "source": definition.source(), "checked": definition.checked(),
            "support": definition.support(), "shipped": known.shipped, "params": params, "declares": declared,
            "notes": definition.notes(), "facts": definition.facts(),
        });
        print_json(&document, false);
        return Ok(exit);
    }
    let screen = Screen::stdout();
    let mut text = format!("{}: {}\n", screen.paint(Paint::Strong, name), definition.about());
    let source = definition.source().unwrap_or("not said");
    text.push_str(&format!("  source    {source}\n  checked   {}\n", definition.checked().unwrap_or("not said")));
    if let Some(support) = definition.support() {
        text.push_str(&format!("  support   {support}\n"));
    }
    let params = if params.is_empty() {
        "none".to_owned()
    } else {
        params.iter().map(|(name, need)| format!("{name} ({need})")).collect::<Vec<_>>().join(", ")
    };
    text.push_str(&format!("  params    {params}\n  declares\n"));
    declared.iter().for_each(|line| text.push_str(&format!("    {line}\n")));
    definition.notes().iter().for_each(|note| text.push_str(&format!("  {} {note}\n", screen.mark(Mark::Note))));
    screen.print(&text);
    Ok(exit)
}

fn test(common: &Common, file: &std::path::Path) -> Result<Exit, Failure> {
    let shown = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::new(Exit::Usage, format!("{shown}: cannot be read ({error})")))?;
    let (notes, problems) = match Catalog::parse_definition(&shown, &text) {
        Ok(definition) => (definition.notes(), Vec::new()),
        Err(problems) => (Vec::new(), open::lines(&problems)),
    };
    let exit = if problems.is_empty() { Exit::Done } else { Exit::Usage };
    if common.json {
        print_json(
            &json!({ "version": 1, "ok": exit == Exit::Done, "file": shown, "problems": problems, "notes": notes }),
            false,
        );
        return Ok(exit);
    }
    let screen = Screen::stdout();
    notes.iter().for_each(|note| screen.print(&format!("{} {note}\n", screen.mark(Mark::Note))));
    problems.iter().for_each(|problem| tell(problem));
    if exit == Exit::Done {
        screen.print(&format!("{}: the definition is right\n", screen.paint(Paint::Good, &shown)));
    } else {
        tell(&format!("cutover: {shown}: not usable: {}", counted(problems.len(), "problem", "problems")));
    }
    Ok(exit)
}

/// The params of a definition: name → `required`, `optional`, `default …`.
fn params(text: &str) -> BTreeMap<String, String> {
    let Ok(table) = Table::parse("definition", text) else { return BTreeMap::new() };
    let Some(Value::Table(params)) = table.get("params").map(|node| &node.value) else { return BTreeMap::new() };
    let need = |value: &Value| match value {
        Value::Text(need) => need.clone(),
        Value::Table(table) => format!("default {}", table.to_json().get("default").unwrap_or(&serde_json::Value::Null)),
        _ => String::new(),
    };
    params.entries.iter().map(|(name, entry)| (name.clone(), need(&entry.node.value))).collect()
}

/// What a provider declares, one fact a line.
fn declared(facts: &ProviderFacts) -> Vec<String> {
    let declares = &facts.declares;
    let verbs = facts.verbs;
    let mut lines = vec![format!("lifecycle {}: {}", lifecycle(facts.lifecycle), lifecycle_in_words(facts.lifecycle))];
    if let Some(grace) = &declares.grace {
        lines.push(match grace {
            GraceOffer::Fixed(span) => format!("grace: always {span}"),
            GraceOffer::Choices(spans) => {
                format!("grace: one of {}", spans.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            }
            GraceOffer::Range { min, max, unit } => format!("grace: from {min} to {max} in steps of {unit}"),
        });
    }
    lines.push(format!(
        "a second mint while the first one's key is new: {}",
        match declares.re_rotate {
            ReRotate::KeepsAll => "all keys live on",
            ReRotate::DropsOlder => "ends the key in use",
            ReRotate::Refused => "is refused and changes nothing",
            ReRotate::Idempotent => "gives the same answer under the same idempotency key",
            ReRotate::Destroys => "ends the new key too, and the old one (the worst case)",
        }
    ));
    lines.push(match declares.list {
        ListBy::Name => "a key of ours is found in the list by its name".to_owned(),
        ListBy::Secret => "a key of ours is found in the list by its value".to_owned(),
        ListBy::Time => "a key of ours is found in the list only by being new: a person judges".to_owned(),
        ListBy::None => "there is no list to find a key of ours in".to_owned(),
    });
    lines.push(match declares.last_used {
        Some(last) => {
            let null = if last.null == NullUse::Never { "absent means never" } else { "absent means nothing" };
            format!("last use is told to {}, up to {} late; {null}", last.granularity, last.lag)
        }
        None => "last use is not told".to_owned(),
    });
    lines.extend(declares.max_live.map(|max| format!("at most {max} keys at once")));
    lines.extend(declares.idempotency.map(|key| format!("a mint may be replayed by its idempotency key for {}", key.window)));
    let probe = match (verbs.probe, declares.negative_probe) {
        (false, _) => "a key cannot be presented to see it accepted",
        (true, false) => "a key can be presented to see it accepted; a dead one must not be",
        (true, true) => "a key can be presented, alive or dead",
    };
    lines.push(probe.to_owned());
    let can = [("deactivate", verbs.deactivate), ("activate", verbs.activate), ("revoke", verbs.revoke), ("read", verbs.read)];
    let can: Vec<&str> = can.into_iter().filter(|(_, has)| *has).map(|(verb, _)| verb).collect();
    lines.push(format!("besides the mint it can: {}", if can.is_empty() { "nothing".to_owned() } else { can.join(", ") }));
    lines
}

#[cfg(test)]
mod tests {
    use super::{declared, params};
    use crate::catalog::Catalog;
    use crate::cli::open;
    use crate::engine::WallClock;

    #[test]
    fn params_are_read_with_their_needs() {
        let text = "params = { workspace = \"required\", scopes = { default = [\"inherit\"] }, note = \"optional\" }\n";
        let params: Vec<_> = params(text).into_iter().collect();
        let expected = [("note", "optional"), ("scopes", "default [\"inherit\"]"), ("workspace", "required")];
        assert_eq!(params, expected.map(|(name, need)| (name.to_owned(), need.to_owned())));
    }

    #[test]
    fn every_shipped_definition_can_be_shown() {
        let catalog = open::shipped(&WallClock::real()).expect("shipped definitions are right");
        assert!(!catalog.known().is_empty());
        for (name, known) in catalog.known() {
            assert!(known.shipped);
            let definition = Catalog::parse_definition(name, &known.text).expect(name);
            assert!(declared(definition.facts()).len() >= 5, "{name}");
            assert!(!definition.about().is_empty(), "{name} says what it is about");
        }
    }
}
