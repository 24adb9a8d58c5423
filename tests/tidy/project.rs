//! The files of the project, and what is found in them.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::source::Source;

/// Directories that are no part of the project, for where git cannot tell.
const FOREIGN: [&str; 3] = [".git", "target", ".cache"];

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, relative to the root.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what would be right.
    pub what: String,
}

impl Finding {
    /// A finding at a line.
    pub fn new(file: &str, line: usize, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// The findings, one a line after an empty one; nothing for none.
pub fn list(found: &[Finding]) -> String {
    found.iter().map(|finding| format!("\n{finding}")).collect()
}

/// Every text file of the project.
pub struct Project {
    texts: Vec<(String, String)>,
    sources: Vec<Source>,
}

impl Project {
    /// Reads the project this test was built from.
    pub fn open() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let paths = tracked(root).unwrap_or_else(|| walked(root));
        let texts: Vec<_> = paths
            .into_iter()
            .filter_map(|path| std::fs::read_to_string(root.join(&path)).ok().map(|text| (path, text)))
            .collect();
        let mut sources: Vec<_> =
            texts.iter().filter(|(path, _)| path.ends_with(".rs")).map(|(path, text)| Source::parse(path, text)).collect();
        mark_modules_of_tests(&mut sources);
        Self { texts, sources }
    }

    /// The Rust files.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// All text files: path and text.
    pub fn texts(&self) -> &[(String, String)] {
        &self.texts
    }

    /// The text of one file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.texts.iter().find(|(at, _)| at == path).map(|(_, text)| text.as_str())
    }
}

/// What git tracks or would track. `None`: git is not there, or this is no checkout.
fn tracked(root: &Path) -> Option<Vec<String>> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
    let names = String::from_utf8(output.stdout).ok()?;
    let paths: BTreeSet<_> = names.split('\0').filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect();
    (output.status.success() && !paths.is_empty()).then(|| paths.into_iter().collect())
}

/// Every file below the root that is not in a foreign directory.
fn walked(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(directory) = open.pop() {
        let Ok(entries) = std::fs::read_dir(root.join(&directory)) else { continue };
        for entry in entries.flatten() {
            let path = directory.join(entry.file_name());
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && !FOREIGN.iter().any(|name| path.ends_with(name)) {
                open.push(path);
            } else if kind.is_file() {
                found.extend(path.to_str().map(ToOwned::to_owned));
            }
        }
    }
    found.sort();
    found
}

/// A file that is only a module of tests (`#[cfg(test)] mod x;`) is a test, and so is what is below it.
fn mark_modules_of_tests(sources: &mut [Source]) {
    let modules: Vec<String> = sources.iter().flat_map(Source::modules_of_tests).collect();
    let is_test = |path: &str| {
        modules
            .iter()
            .any(|module| path.strip_prefix(module.as_str()).is_some_and(|rest| rest == ".rs" || rest.starts_with('/')))
    };
    for source in sources.iter_mut().filter(|source| is_test(&source.path)) {
        source.mark_as_test();
    }
}

#[test]
fn a_file_that_is_a_module_of_tests_is_a_test() {
    let mut sources = vec![
        Source::parse("src/a/lib.rs", "#[cfg(test)]\nmod trials;\nmod work;\n"),
        Source::parse("src/a/trials.rs", "fn a() {}\n"),
        Source::parse("src/a/trials/deep.rs", "fn a() {}\n"),
        Source::parse("src/a/work.rs", "#[cfg(test)]\nmod inner;\n\nfn a() {}\n"),
        Source::parse("src/a/work/inner.rs", "fn a() {}\n"),
        Source::parse("src/a/trials_no.rs", "fn a() {}\n"),
    ];
    mark_modules_of_tests(&mut sources);
    let tests: Vec<_> = sources.iter().filter(|s| s.lines.iter().all(|line| line.test)).map(|s| s.path.as_str()).collect();
    assert_eq!(tests, ["src/a/trials.rs", "src/a/trials/deep.rs", "src/a/work/inner.rs"]);
}

#[test]
fn walking_finds_what_git_finds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let walked = walked(root);
    assert!(walked.contains(&"src/lib.rs".to_owned()) && walked.contains(&".ci/run".to_owned()));
    assert!(!walked.iter().any(|path| path.starts_with("target/") || path.starts_with(".git/")));
}
