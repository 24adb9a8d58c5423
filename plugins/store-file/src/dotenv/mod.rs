//! Reads and edits `KEY=value` files that are read by more than one dialect.
//!
//! The same file may be read by `sh` (`. ./app.env`), systemd's `EnvironmentFile=`, Node's and Python's dotenv, and they agree on
//! less than it seems. The rule here: what is read or written means the same to all of them, or it is refused with the line that has
//! to change. Foreign lines, comments, order, blank lines, `export`, line ends and a byte order mark are kept byte for byte.
//!
//! * A value of `[A-Za-z0-9_./:@%+=,-]` only is written without quotes (or in the quotes its line has already).
//! * Any other value keeps the quotes of its line where they can hold it, else takes single quotes, else double quotes.
//!   Single quotes hold everything but `'`, control characters and a backslash before `\` or at the end; double quotes everything but
//!   `"`, `\`, `$`, `` ` `` and control characters. What neither can hold is refused.
//! * `docker run --env-file` knows no quotes at all: it reads them as part of the value. It is only safe with values of the first kind.
//! * Space around the sign and a comment behind the value are kept and count as no part of the value; `sh` cannot read the first,
//!   Docker reads both as part of it.
//! * A key of ours that stands there twice, or in a place that is inside a quoted value for some readers, or whose value goes on over
//!   the end of its line, is refused.

mod scan;
mod value;

use std::collections::{BTreeMap, BTreeSet};

use cutover_api::Secret;
use zeroize::Zeroizing;

use self::scan::{Assignment, Sight};
pub(crate) use self::value::Style;

/// Whether a field can be a variable's name in every dialect.
pub(crate) fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_') && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Reads those of the variables that are there.
///
/// # Errors
/// One sentence for the operator, without any value: one of them cannot be read the same way by every dialect.
pub(crate) fn read(text: &[u8], names: &BTreeSet<String>) -> Result<BTreeMap<String, Secret>, String> {
    let mut found = BTreeMap::new();
    for name in names {
        let Some(line) = own(text, name)? else { continue };
        let value = value::decode(&text[line.value.clone()]).map_err(|why| {
            format!("line {} ({name}) is not read the same way by every program: {why}; change that line", line.number)
        })?;
        found.insert(name.clone(), Secret::new(value));
    }
    Ok(found)
}

/// The file with these variables set and those removed; every other byte stays what it was.
///
/// # Errors
/// As [`read`], or a value that not every dialect can hold.
pub(crate) fn edit(
    text: &[u8],
    set: &BTreeMap<String, Secret>,
    remove: &BTreeSet<String>,
) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut text = Zeroizing::new(text.to_vec());
    for name in remove {
        if let Some(line) = own(&text, name)? {
            text = splice(&text, line.whole.start, line.whole.end, &[]);
        }
    }
    for (name, value) in set {
        text = put(&text, name, value.expose())?;
    }
    check(&text, set, remove)?;
    Ok(text)
}

/// Sets one variable.
fn put(text: &[u8], name: &str, value: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let line = own(text, name)?;
    let style = line.as_ref().map_or(Style::Bare, |line| value::style(&text[line.value.clone()]));
    let value = value::encode(value, style).ok_or_else(|| {
        format!(
            "the value for {name} cannot be written so that every program reads it the same; use format = \"json\" or \"raw\""
        )
    })?;
    if let Some(line) = line {
        return Ok(splice(text, line.value.start, line.value.end, &[value.as_bytes()]));
    }
    let end = line_end(text);
    let all = scan::assignments(text, Sight::Leading);
    let export = if !all.is_empty() && all.iter().all(|line| line.exported) { "export " } else { "" };
    let before: &[u8] = if scan::body(text).is_empty() || text.ends_with(b"\n") { b"" } else { end };
    Ok(splice(text, text.len(), text.len(), &[before, export.as_bytes(), name.as_bytes(), b"=", value.as_bytes(), end]))
}

/// Reads the result again, as a last guard: an appended line can land inside what some dialect takes for a continued line.
fn check(text: &[u8], set: &BTreeMap<String, Secret>, remove: &BTreeSet<String>) -> Result<(), String> {
    let found = read(text, &set.keys().chain(remove).cloned().collect())?;
    let right = set.iter().all(|(name, value)| found.get(name).is_some_and(|found| found.same_as(value)));
    if right && found.len() == set.len() {
        return Ok(());
    }
    Err("the file cannot be edited so that every program reads it the same; check its quotes and line ends".to_owned())
}

/// The one line that sets `name`, if there is one.
fn own(text: &[u8], name: &str) -> Result<Option<Assignment>, String> {
    let seen = |sight| -> Vec<Assignment> {
        scan::assignments(text, sight).into_iter().filter(|line| &text[line.name.clone()] == name.as_bytes()).collect()
    };
    let mut lines = seen(Sight::Leading);
    for other in [seen(Sight::Lines), seen(Sight::Anywhere)] {
        if let Some(number) = first_difference(&lines, &other) {
            return Err(format!(
                "line {number} ({name}): programs disagree where its value or a quoted value before it ends; repair the quotes and backslashes there"
            ));
        }
    }
    if lines.len() > 1 {
        let numbers: Vec<_> = lines.iter().map(|line| line.number.to_string()).collect();
        return Err(format!(
            "{name} is set on lines {}; programs disagree on which one counts, remove all but one",
            numbers.join(" and ")
        ));
    }
    Ok(lines.pop())
}

/// The number of the first line that is not the same for two readers.
fn first_difference(one: &[Assignment], other: &[Assignment]) -> Option<usize> {
    let same = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    one.get(same).into_iter().chain(other.get(same)).map(|line| line.number).min()
}

/// How lines end in this file.
fn line_end(text: &[u8]) -> &'static [u8] {
    match text.iter().position(|b| *b == b'\n') {
        Some(at) if at > 0 && text[at - 1] == b'\r' => b"\r\n",
        _ => b"\n",
    }
}

/// The text with `start..end` replaced by `parts`; allocated once, so that no copy is left behind unwiped.
fn splice(text: &[u8], start: usize, end: usize, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let longer: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Zeroizing::new(Vec::with_capacity(text.len() + longer));
    out.extend_from_slice(&text[..start]);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out.extend_from_slice(&text[end..]);
    out
}

#[cfg(test)]
mod tests;
