//! From files to a [`Config`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cutover_api::{Place, Problem, Problems, Reader, Table};

use crate::policy::{self, World};
use crate::targets::Claims;
use crate::{Config, Kinds, built, clear, include, sections};

/// What only the file itself may hold.
const MAIN_ONLY: [&str; 5] = ["include", "daemon", "notify", "emergency", "defaults"];

/// Reads the configuration at `path` and the files it includes. Opens no reference.
///
/// # Errors
/// Everything that is wrong, in the order of files and lines. While a file cannot be read or is no TOML, nothing behind that is
/// judged: what it would hold is not known.
pub fn load(path: &Path, kinds: &dyn Kinds) -> Result<Config, Vec<Problem>> {
    let problems = Problems::default();
    let mut tables = Vec::new();
    if let Some(main) = read(path, &problems) {
        let included = include::files(path, &Reader::new(&main, "", &problems));
        tables.push(main);
        tables.extend(included.iter().filter_map(|path| read(path, &problems)));
    }
    if problems.count() > 0 {
        return Err(told(&tables, &problems));
    }
    sound(path.to_owned(), &tables, kinds, &problems)
}

/// The same from texts: each file's name and what it holds, the main file first. `include` is not followed.
///
/// # Errors
/// As [`load`].
pub fn parse(files: &[(String, String)], kinds: &dyn Kinds) -> Result<Config, Vec<Problem>> {
    let problems = Problems::default();
    let tables: Vec<_> = files.iter().filter_map(|(file, text)| document(file, text, &problems)).collect();
    if problems.count() > 0 {
        return Err(told(&tables, &problems));
    }
    sound(files.first().map(|(file, _)| PathBuf::from(file)).unwrap_or_default(), &tables, kinds, &problems)
}

fn read(path: &Path, problems: &Problems) -> Option<Table> {
    let file = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => document(&file, &text, problems),
        Err(error) => {
            let (wrong, right) = match error.kind() {
                std::io::ErrorKind::NotFound => (
                    "there is no such file".to_owned(),
                    "write one with `cutover init`, or name yours with --config or CUTOVER_CONFIG",
                ),
                kind => (format!("cannot be read ({kind})"), "a readable file of UTF-8 text"),
            };
            problems.add(&Place::nowhere(), file, wrong, right);
            None
        }
    }
}

fn document(file: &str, text: &str, problems: &Problems) -> Option<Table> {
    match Table::parse(file, text) {
        Ok(table) => Some(table),
        Err(all) => {
            all.into_iter().for_each(|problem| problems.push(problem));
            None
        }
    }
}

/// The problems in order. No secret that stands in a file in clear is repeated by whoever reported something else about it.
fn told(tables: &[Table], problems: &Problems) -> Vec<Problem> {
    let secrets = clear::check(tables, problems);
    let mut all = problems.take();
    secrets.hide(&mut all);
    all
}

fn sound(file: PathBuf, tables: &[Table], kinds: &dyn Kinds, problems: &Problems) -> Result<Config, Vec<Problem>> {
    let notes = Problems::default();
    let config = whole(file, tables, kinds, problems, &notes);
    let all = told(tables, problems);
    match config {
        Some(mut config) if all.is_empty() => {
            config.notes = notes.take();
            Ok(config)
        }
        _ => Err(all),
    }
}

fn whole(file: PathBuf, tables: &[Table], kinds: &dyn Kinds, problems: &Problems, notes: &Problems) -> Option<Config> {
    let roots: Vec<_> = tables.iter().map(|table| Reader::new(table, "", problems)).collect();
    let main = roots.first()?;
    let daemon = sections::daemon(main, notes);
    let notify = built::notify(&gather(roots.get(..1)?, "notify"), kinds);
    let stores = built::stores(&gather(&roots, "store"), kinds);
    let accounts = built::accounts(&gather(&roots, "provider"), kinds);
    let defaults = main.table("defaults");
    if let Some(defaults) = &defaults {
        policy::KEYS.iter().for_each(|key| defaults.known(key));
        defaults.finish();
    }
    let sections = gather(&roots, "policy");
    let world = World {
        kinds,
        stores: &stores,
        accounts: &accounts,
        channels: notify.keys().map(String::as_str).collect(),
        zones: jiff::tz::db(),
        defaults: defaults.as_ref(),
        notes,
    };
    let mut claims = Claims::default();
    let policies: BTreeMap<_, _> = sections
        .iter()
        .filter_map(|section| Some((section.name.clone(), policy::read(section, &world, &mut claims)?)))
        .collect();
    if notify.is_empty() && !sections.is_empty() {
        let right = "add a [notify.NAME], so that a person is told";
        notes.add(&main.table_itself().place, "notify", "no channel is configured: alerts reach nobody", right);
    }
    policy::same_key(&policies, &accounts, notes);
    let named: BTreeSet<_> = sections.iter().map(|section| section.name.as_str()).collect();
    let emergency = sections::emergency(main, &named, &accounts);
    roots.iter().enumerate().for_each(|(n, root)| finish(root, n == 0));
    let config = Config {
        file,
        daemon: daemon?,
        notify,
        stores: stores.into_iter().map(|(name, built)| (name, built.table)).collect(),
        providers: accounts.into_iter().map(|(name, built)| (name, built.table)).collect(),
        policies,
        emergency,
        notes: Vec::new(),
    };
    sections::selects_something(main, &config, notes);
    Some(config)
}

/// Reports what a file may not hold.
fn finish(root: &Reader<'_>, is_main: bool) {
    for key in MAIN_ONLY {
        if is_main || root.has(key) {
            root.known(key);
        }
        if let Some(entry) = root.table_itself().entries.get(key).filter(|_| !is_main) {
            let right = "must stand in the main file; included files hold only policy, provider, store";
            root.problems().add(&entry.key, key, "stands in an included file", right);
        }
    }
    root.finish();
}

/// One named table of the configuration, `[store.vault]`.
pub(crate) struct Section<'a> {
    /// Its name.
    pub(crate) name: String,
    /// Where the name stands.
    pub(crate) place: &'a Place,
    /// Its keys.
    pub(crate) reader: Reader<'a>,
}

/// The tables of one sort over all files, in the order of files and lines. A name that comes twice is reported and counts once.
fn gather<'a>(roots: &[Reader<'a>], sort: &str) -> Vec<Section<'a>> {
    let mut seen: BTreeMap<&str, &Place> = BTreeMap::new();
    let mut all = Vec::new();
    for root in roots {
        let Some(outer) = root.table(sort) else { continue };
        let mut names: Vec<_> = outer.table_itself().entries.iter().collect();
        names.sort_by_key(|(_, entry)| (entry.key.line, entry.key.column));
        for (name, entry) in names {
            if let Some(first) = seen.get(name.as_str()) {
                let wrong = format!("there is a [{sort}.{name}] already, at {first}");
                root.problems().add(&entry.key, outer.path_of(name), wrong, "one of them, or another name");
                continue;
            }
            seen.insert(name, &entry.key);
            if !is_name(name) {
                let right = "must be 1 to 64 letters, digits, `.`, `_` and `-`, a letter or digit first";
                root.problems().add(&entry.key, outer.path_of(name), "is no name", right);
                continue;
            }
            all.extend(outer.table(name).map(|reader| Section { name: name.clone(), place: &entry.key, reader }));
        }
    }
    all
}

/// Names are typed as arguments, shown in alerts, and stand before a colon in `covers`.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
