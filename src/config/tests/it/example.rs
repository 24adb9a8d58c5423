//! `config.example.toml` is the manual. It loads, it names every key, and the defaults it states are those of the code.

use std::collections::{BTreeMap, BTreeSet};

use cutover_config::{Config, Policy};

use crate::base::{load, sound};

const EXAMPLE: &str = include_str!("../../../../config.example.toml");

/// `#key = value`: a stated default.
fn default_line(line: &str) -> Option<&str> {
    line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()) && rest.contains(" = "))
}

/// `# key = value`: an optional key.
fn optional_line(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("# ")?;
    let (key, _) = rest.split_once(" = ")?;
    key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_').then_some(rest)
}

/// What the loader makes of a policy itself, without the tables that plugins read.
fn meant(policy: &Policy) -> String {
    let verifies: Vec<_> = policy.verify.iter().map(|v| (v.kind, &v.kind_name, v.every, v.hold_for, &v.covers)).collect();
    let hooks: Vec<_> = policy.redeploy.iter().map(|hook| (&hook.kind, hook.timeout, hook.repeatable)).collect();
    format!(
        "{} {} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {verifies:?} {hooks:?} {:?} {:?}",
        policy.name,
        policy.identity(),
        policy.schedule,
        policy.grace,
        policy.grace_mapped,
        policy.quiet,
        policy.soak,
        policy.lifetime,
        policy.tags,
        policy.holders,
        policy.adopt,
        policy.targets,
        policy.notify,
        policy.at,
    )
}

fn policies(config: &Config) -> Vec<String> {
    config.policies.values().map(meant).collect()
}

#[test]
fn it_loads_without_a_note_of_something_forgotten() {
    let config = sound(EXAMPLE);
    assert_eq!(config.policies.keys().map(String::as_str).collect::<Vec<_>>(), ["agent", "api-key", "my-crm", "stock-sync"]);
    assert_eq!(config.notes.iter().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn its_defaults_are_those_of_the_code() {
    let stated = EXAMPLE.lines().filter(|line| default_line(line).is_some()).count();
    assert!(stated > 30, "{stated}");
    let said: String = EXAMPLE.lines().map(|line| format!("{}\n", default_line(line).unwrap_or(line))).collect();
    let (short, long) = (sound(EXAMPLE), sound(&said));
    assert_eq!(short.daemon, long.daemon);
    assert_eq!(short.emergency, long.emergency);
    assert_eq!(policies(&short), policies(&long));
    let channels = |config: &Config| -> Vec<_> {
        config.notify.values().map(|channel| (channel.kind.clone(), channel.severity, channel.holders.clone())).collect()
    };
    assert_eq!(channels(&short), channels(&long));
    let stores = |config: &Config| -> Vec<_> {
        config.stores.values().map(|store| (store.kind.clone(), store.holders.clone())).collect()
    };
    assert_eq!(stores(&short), stores(&long));
}

#[test]
fn every_optional_line_can_be_taken_in() {
    let lines: Vec<_> = EXAMPLE.lines().collect();
    let optional: Vec<_> = (0..lines.len()).filter(|n| optional_line(lines[*n]).is_some()).collect();
    assert!(optional.len() > 15, "{}", optional.len());
    for n in optional {
        let mut text = lines.clone();
        text[n] = optional_line(lines[n]).expect("it is one");
        if let Err(problems) = load(&text.join("\n")) {
            panic!("{}: {}", lines[n], problems[0]);
        }
    }
}

/// The text of each table of the example: from its header to the next one, with the comments before it. Tables of one path, and those
/// inside them, are put together by the caller.
fn sections() -> Vec<(String, String)> {
    let mut all = vec![(String::new(), String::new())];
    for line in EXAMPLE.lines() {
        if line.starts_with('[') {
            let path = line.trim_matches(['[', ']']).to_owned();
            all.push((path, String::new()));
        }
        let (_, text) = all.last_mut().expect("never empty");
        text.push_str(line);
        text.push('\n');
    }
    all
}

const STRANGER: &str = "qqqqqqqqqqqqqqqq = 1";

/// Adds a key that nobody knows to the tables that `choose` takes, and gathers what the loader says it knows there: by the number of
/// the table, in the file's order.
fn known(choose: impl Fn(&str) -> bool) -> BTreeMap<usize, BTreeSet<String>> {
    let mut text = String::new();
    let mut headers = BTreeMap::new();
    for (number, (path, section)) in sections().iter().enumerate() {
        let (header, rest) = if path.is_empty() { ("", section.as_str()) } else { section.split_once('\n').expect("a line") };
        text.push_str(header);
        headers.insert(text.lines().count() + 1, number);
        let stranger = if choose(path) { STRANGER } else { "" };
        text.push_str(&format!("\n{stranger}\n{rest}"));
    }
    if choose("") {
        for inline in ["window = { ", "auth = { method", "select = { ", "adopt = { "] {
            let (before, after) = inline.split_once('{').expect("a table");
            text = text.replace(inline, &format!("{before}{{ {STRANGER}, {}", after.trim_start()));
        }
    }
    let mut found: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for problem in load(&text).err().expect("strangers are refused") {
        assert_eq!(problem.wrong, "unknown key", "{problem}");
        let keys = problem.right.strip_prefix("known here: ").unwrap_or_else(|| panic!("{problem}"));
        let number = headers.range(..=problem.place.line).next_back().map_or(0, |(_, number)| *number);
        found.entry(number).or_default().extend(keys.split(", ").map(str::to_owned));
    }
    found
}

#[test]
fn every_key_that_is_known_is_explained() {
    let sections = sections();
    let mut missing = Vec::new();
    // A target's keys are only known while its store is sound.
    let mut known =
        known(|path| path.ends_with(".target")).into_iter().chain(known(|path| !path.ends_with(".target"))).collect::<Vec<_>>();
    known.sort();
    assert_eq!(known.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (0..sections.len()).collect::<Vec<_>>());
    for (number, keys) in known {
        let (path, _) = &sections[number];
        // What is explained once for a kind is not repeated for each of its tables.
        let same = |other: &str| {
            let sort = |path: &str| {
                path.split('.').filter(|part| !["my-crm", "stock-sync", "agent", "api-key"].contains(part)).count()
            };
            other == path || other.split('.').next() == path.split('.').next() && sort(other) >= sort(path)
        };
        let text: String = sections.iter().filter(|(other, _)| same(other)).map(|(_, text)| text.as_str()).collect();
        // The main file holds every table, and [defaults] every key of a policy.
        let text = if path.is_empty() || path == "defaults" { EXAMPLE } else { text.as_str() };
        for key in keys {
            let forms = [format!("{key} = "), format!("`{key}`"), format!(".{key}]"), format!("[{key}")];
            if !forms.iter().any(|form| text.contains(form.as_str())) {
                missing.push(format!("[{path}] {key}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
