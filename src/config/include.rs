//! `include`: which further files are read.
//!
//! The match is made here and not by a crate: a pattern is one directory and a file name with `*`, which is a dozen lines, and what
//! glob crates add to it (`**`, sets of characters, links that lead out) only makes it harder to tell what a daemon reads.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cutover_api::{Node, Reader, Value};

/// The files that `include` of the file at `main` names: for each pattern those it finds, sorted, none twice.
pub(crate) fn files(main: &Path, root: &Reader<'_>) -> Vec<PathBuf> {
    let Some(node) = root.node("include") else { return Vec::new() };
    let one;
    let items: &[Node] = match &node.value {
        Value::Array(items) => items,
        _ => {
            one = [node.clone()];
            &one
        }
    };
    let beside = main.parent().unwrap_or(Path::new(""));
    let mut seen: BTreeSet<PathBuf> = std::fs::canonicalize(main).into_iter().collect();
    let mut all = Vec::new();
    for item in items {
        for path in found(beside, item, root) {
            if seen.insert(std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone())) {
                all.push(path);
            }
        }
    }
    all
}

fn found(beside: &Path, item: &Node, root: &Reader<'_>) -> Vec<PathBuf> {
    let wrong = |wrong: String, right: &str| {
        root.problems().add(&item.place, "include", wrong, right);
        Vec::new()
    };
    let right = "must be paths such as \"policies.d/*.toml\", relative to this file, with * in the file's name only";
    let Value::Text(pattern) = &item.value else {
        return wrong(format!("holds {}", item.value.kind()), right);
    };
    let (directory, name) = pattern.rsplit_once('/').map_or(("", pattern.as_str()), |(directory, name)| (directory, name));
    if name.is_empty() || directory.contains('*') || pattern.contains(['?', '[', '{', '\0']) {
        return wrong(format!("\"{}\" is no such pattern", pattern.escape_debug()), right);
    }
    // A pattern below the root, "/x.toml", keeps its slash.
    let directory = if directory.is_empty() && pattern.starts_with('/') { "/" } else { directory };
    let directory = beside.join(directory);
    if !name.contains('*') {
        let path = directory.join(name);
        return if path.is_file() {
            vec![path]
        } else {
            wrong(
                format!("there is no file {}", path.display()),
                "a file that is there, or a pattern with *, which may find nothing",
            )
        };
    }
    // `read_dir("")` is an error where "" means the working directory.
    let listed = if directory.as_os_str().is_empty() { Path::new(".") } else { directory.as_path() };
    let entries = match std::fs::read_dir(listed) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            return wrong(format!("{} cannot be read ({})", directory.display(), error.kind()), "a readable directory");
        }
    };
    let mut names = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => names.extend(entry.file_name().into_string().ok().filter(|found| matches(name, found))),
            Err(error) => {
                return wrong(format!("{} cannot be read ({})", directory.display(), error.kind()), "a readable directory");
            }
        }
    }
    names.sort_unstable();
    names.into_iter().map(|name| directory.join(name)).filter(|path| !path.is_dir()).collect()
}

/// Whether a file's name fits a pattern in which `*` stands for any characters. Hidden files only fit where the dot is written:
/// editors leave copies under such names.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut pieces: Vec<_> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_is_any_characters() {
        assert!(matches("*.toml", "a.toml"));
        assert!(matches("*.toml", "x.y.toml"));
        assert!(!matches("*.toml", "a.toml~"));
        assert!(!matches("*.toml", ".a.toml"));
        assert!(matches(".*.toml", ".a.toml"));
        assert!(matches("1*2*3", "1--2--3"));
        assert!(!matches("1*2*3", "1--3--2"));
        assert!(!matches("ab*ba", "aba"));
        assert!(matches("a.toml", "a.toml"));
        assert!(!matches("a.toml", "a.tomlx"));
        assert!(matches("*", "anything"));
    }
}
