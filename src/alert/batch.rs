//! Many alerts as one message, of bounded size.

use std::collections::BTreeSet;

use cutover_api::{Message, Severity, Stamp};
use serde_json::{Value, json};

use super::parcel::Item;
use super::words::{Letter, beside, clean, counted, listed, rfc3339};

/// So many policies are named in one message; the others are counted.
const NAMED: usize = 40;
/// A text that is longer is cut, at the end of a line.
const LONGEST: usize = 24 * 1024;
/// So many names and ids at most stand in the facts, for programs.
const LISTED: usize = 1_000;
/// Verbs that take several policies.
const SEVERAL: [&str; 3] = ["rotate", "status", "suspend"];

/// What is told in one message: not empty, the earliest first.
pub(super) fn together(items: &[Item]) -> Message {
    let first = &items[0];
    let same_cause = items.iter().all(|item| item.cause() == first.cause());
    let what = match first.fact("shared").or_else(|| first.fact("what")) {
        Some(what) if same_cause => clean(what),
        _ => String::from("several reasons"),
    };
    let word = first.fact("word").map_or_else(|| first.message.kind.to_uppercase(), clean);
    let severity = items.iter().map(|item| item.message.severity).max().unwrap_or(Severity::Warning);
    let number = number(items);
    let mut letter = Letter::default();
    letter.part("What happened").say(&happened(items, &number, &what, same_cause));
    if let Some(first_end) = first_end(items) {
        letter.part("Until when").say(&first_end);
    }
    what_to_do(&mut letter, items, same_cause);
    letter.part("The first of them").say(&first.message.subject).gap();
    let mut text = letter.done();
    text.push_str(&first.message.text);
    let cause = if same_cause { first.cause() } else { first.message.kind.clone() };
    message(items, severity, &word, &format!("{number}: {what}"), bounded(text), cause)
}

/// What came about while it could not be told, and is over: one message, for the record.
pub(super) fn over(items: &[Item], now: Stamp) -> Message {
    let number = counted(items.len(), "alert");
    let mut letter = Letter::default();
    letter.part("What happened").say(&format!(
        "{number} came about while this channel took none, the first {}. What they told of is over by now, and nothing is asked of you.",
        beside(items[0].at, now)
    ));
    letter.part("Each of them, as it was then");
    for item in items.iter().take(NAMED) {
        let subject = clean(&item.message.subject);
        let told = subject.split_once("] ").map_or(subject.as_str(), |(_, told)| told);
        letter.entry(&format!("{}: {told}", super::words::time(item.at)));
    }
    if items.len() > NAMED {
        letter.say(&format!("and {} more.", items.len() - NAMED));
    }
    letter.part("What you can do").command("cutover status").note("", "Shows how everything stands now.");
    letter.command("cutover history").note("", "Shows all that happened.");
    let rest = format!("{number} that could not be told in time");
    let told = message(items, Severity::Warning, "OVER:", &rest, bounded(letter.done()), String::from("over"));
    let members = told.id.rsplit('/').next().unwrap_or_default();
    Message { id: format!("-/-/recovered/over.{members}"), kind: String::from("recovered"), at: rfc3339(now), ..told }
}

/// A message that could not be told when it came about says so first.
pub(super) fn late(message: &Message, at: Stamp, now: Stamp) -> Message {
    let command = match message.policies.as_slice() {
        [one] => format!("cutover status {one}"),
        _ => String::from("cutover status"),
    };
    let mut letter = Letter::default();
    letter
        .part("Told late")
        .say(&format!("This came about {} and could not be told before. It is written as it was then. Now:", beside(at, now)))
        .command(&command)
        .gap();
    let mut text = letter.done();
    text.push_str(&message.text);
    Message { text: bounded(text), ..message.clone() }
}

fn message(items: &[Item], severity: Severity, word: &str, rest: &str, text: String, cause: String) -> Message {
    let first = &items[0];
    let policies: BTreeSet<&String> = items.iter().flat_map(|item| &item.message.policies).collect();
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for item in items {
        hash.update(item.alert.as_bytes());
        hash.update(b"\n");
    }
    let members = hex::encode(&hash.finish().as_ref()[..8]);
    Message {
        id: format!("-/-/{}/{}-{members}", first.message.kind, items.len()),
        kind: first.message.kind.clone(),
        severity,
        environment: first.message.environment.clone(),
        rotation: None,
        subject: format!("[cutover {}] {word} {rest}", first.message.environment),
        text,
        at: first.message.at.clone(),
        facts: json!({
            "what": rest,
            "word": word,
            "cause": cause,
            "count": items.len(),
            "policies": policies.len(),
            "alerts": items.iter().take(LISTED).map(|item| item.alert.as_str()).collect::<Vec<_>>(),
        }),
        policies: policies.into_iter().take(LISTED).cloned().collect(),
    }
}

fn number(items: &[Item]) -> String {
    let policies: BTreeSet<&String> = items.iter().flat_map(|item| &item.message.policies).collect();
    match policies.len() {
        0 => counted(items.len(), "alert"),
        1 => String::from("1 policy"),
        many => format!("{many} policies"),
    }
}

fn happened(items: &[Item], number: &str, what: &str, same_cause: bool) -> String {
    let (first, last) = (&items[0], &items[items.len() - 1]);
    let told = if first.message.kind == "recovered" {
        let was = what.strip_prefix("was: ").unwrap_or(what);
        format!("{number} go on by themselves. They were held because: {was}.")
    } else if same_cause {
        format!("{number} have the same trouble: {what}.")
    } else {
        format!("{number} have something to tell, for several reasons.")
    };
    let (from, to) = (super::words::time(first.at), super::words::time(last.at));
    let when = if from == to { format!("At {from}.") } else { format!("The first at {from}, the last at {to}.") };
    format!("{told} {when} It is told here once; the first of them stands in full below.")
}

/// The grace that ends first, where clocks run.
fn first_end(items: &[Item]) -> Option<String> {
    let end = |item: &Item| item.message.facts.get("grace_end_ms").and_then(Value::as_i64);
    let (end, item) = items.iter().filter_map(|item| Some((end(item)?, item))).min_by_key(|(end, _)| *end)?;
    let whose = listed(&item.message.policies.iter().map(|policy| clean(policy)).collect::<Vec<_>>());
    Some(format!("The first grace that ends is that of {whose}: {}.", super::words::time(Stamp(end))))
}

/// The commands that many share are said once; the others stand with their policies.
fn what_to_do(letter: &mut Letter, items: &[Item], same_cause: bool) {
    letter.part("What you can do");
    if items[0].message.kind == "recovered" {
        letter.say("Nothing is asked of you.");
    }
    let shared = same_cause
        .then(|| first_way(&items[0]))
        .flatten()
        .filter(|(_, does)| items.iter().all(|item| first_way(item).is_some_and(|(_, other)| other == *does)));
    if let Some((command, does)) = &shared {
        match several(items).filter(|_| !command.is_empty()) {
            Some(command) => letter.command(&command).note("", does),
            None if command.is_empty() => letter.say(does),
            None => letter.say(&format!("Each of them has its own command below. {does}")),
        };
    }
    let account = |item: &Item| item.fact("account").map(str::to_owned);
    let all = match account(&items[0]) {
        Some(name) if items.iter().all(|item| account(item).as_ref() == Some(&name)) => {
            format!("cutover status --provider {}", clean(&name))
        }
        _ => String::from("cutover status"),
    };
    letter.command(&all).note("", "Shows all of them, with every way out.");
    let bare = several(items).is_some() || shared.as_ref().is_some_and(|(command, _)| command.is_empty());
    letter.part("Each of them");
    for item in items.iter().take(NAMED) {
        entry(letter, item, same_cause, !bare);
    }
    if items.len() > NAMED {
        letter.say(&format!("and {} more.", items.len() - NAMED));
    }
}

/// The first way out: its command (empty = outside cutover) and what it does.
fn first_way(item: &Item) -> Option<(String, String)> {
    let way = item.message.facts.get("ways")?.as_array()?.first()?;
    Some((way.get("command")?.as_str()?.to_owned(), way.get("does")?.as_str()?.to_owned()))
}

/// One command for all of them, where its verb takes several policies and they need no other flags.
fn several(items: &[Item]) -> Option<String> {
    let verb = |item: &Item| {
        let (command, _) = first_way(item)?;
        let words: Vec<&str> = command.split(' ').collect();
        match (words.as_slice(), item.message.policies.as_slice()) {
            (["cutover", verb, policy], [one]) if policy == one && SEVERAL.contains(verb) => Some((*verb).to_owned()),
            _ => None,
        }
    };
    let first = verb(&items[0])?;
    if items.len() > NAMED || !items.iter().all(|item| verb(item).as_deref() == Some(first.as_str())) {
        return None;
    }
    let policies: BTreeSet<String> = items.iter().flat_map(|item| item.message.policies.iter().map(|one| clean(one))).collect();
    Some(format!("cutover {first} {}", policies.into_iter().collect::<Vec<_>>().join(" ")))
}

fn entry(letter: &mut Letter, item: &Item, same_cause: bool, with_command: bool) {
    let name = match item.message.policies.as_slice() {
        [] => clean(&item.message.subject),
        policies => listed(&policies.iter().map(|policy| clean(policy)).collect::<Vec<_>>()),
    };
    let what = item.fact("what").filter(|_| !same_cause).map(|what| format!(": {}", clean(what))).unwrap_or_default();
    let end = item.message.facts.get("grace_end_ms").and_then(Value::as_i64).map(Stamp);
    let end = end.map(|end| format!(", grace ends {}", super::words::time(end))).unwrap_or_default();
    letter.entry(&format!("{name}{what}{end}"));
    if let Some((command, _)) = first_way(item).filter(|(command, _)| with_command && !command.is_empty()) {
        letter.command(&format!("  {}", clean(&command)));
    }
}

/// Cut at the end of a line, and saying so.
pub(super) fn bounded(mut text: String) -> String {
    if text.len() <= LONGEST {
        return text;
    }
    let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= LONGEST).last().unwrap_or(0);
    text.truncate(end);
    text.truncate(text.rfind('\n').map_or(0, |at| at + 1));
    text.push_str("  (cut here; `cutover status` shows all of it)\n");
    text
}
