//! Marks of work that is not done, warnings that are silenced, and panics an operator would see.

use super::project::Finding;
use super::source::{Source, words};

/// Words that say that something is left to do. In two parts, so that this file says none.
const UNFINISHED: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];
/// Code that says so.
const UNFINISHED_CODE: [&str; 3] = ["todo!", "unimplemented!", "#[ignore"];
/// What ends the process where an error belongs.
const PANICS: [&str; 4] = [".unwrap()", ".expect(", ".unwrap_err()", ".expect_err("];

/// Warnings that are silenced without a reason.
pub fn silenced(source: &Source) -> Vec<Finding> {
    let lines = source.lines.iter().filter(|line| line.bare.contains("#[allow(") || line.bare.contains("#![allow("));
    let what = "silences a warning: mend it, or write #[expect(…, reason = \"…\")]";
    lines.map(|line| Finding::new(&source.path, line.number, what)).collect()
}

/// `unwrap` and `expect` outside tests.
pub fn panics(source: &Source) -> Vec<Finding> {
    let code = source.shipped().flat_map(|line| {
        let found = PANICS.iter().filter(|panic| line.bare.contains(**panic));
        found.map(|panic| (line.number, format!("{panic} outside a test: return an error")))
    });
    code.map(|(line, what)| Finding::new(&source.path, line, what)).collect()
}

/// Unfinished code and comments that say so.
pub fn unfinished(source: &Source) -> Vec<Finding> {
    let marked = source.lines.iter().flat_map(|line| {
        let code = UNFINISHED_CODE.iter().filter(|mark| line.bare.contains(**mark));
        let comment = UNFINISHED.iter().filter(|mark| words(&line.comment, mark).next().is_some());
        code.chain(comment).map(|mark| (line.number, format!("{mark}: finish it, or leave it out")))
    });
    marked.map(|(line, what)| Finding::new(&source.path, line, what)).collect()
}

/// The same in every other text.
pub fn unfinished_text(path: &str, text: &str) -> Vec<Finding> {
    if path.ends_with(".rs") {
        return Vec::new();
    }
    let marked = text.lines().enumerate().filter(|(_, line)| UNFINISHED.iter().any(|mark| words(line, mark).next().is_some()));
    marked.map(|(n, _)| Finding::new(path, n + 1, "a mark of unfinished work: finish it, or leave it out")).collect()
}

#[test]
fn a_silenced_warning_is_found() {
    let text =
        "#![allow(missing_docs)]\n#[expect(dead_code, reason = \"x\")]\nlet a = \"#[allow(b)]\";\n    #[allow(dead_code)]\n";
    let lines: Vec<_> = silenced(&Source::parse("tests/x.rs", text)).iter().map(|finding| finding.line).collect();
    assert_eq!(lines, [1, 4]);
}

#[test]
fn a_panic_outside_a_test_is_found() {
    let text = "a.unwrap();\na\n    .expect(\"b\");\na.unwrap_or(c); // never .unwrap()\n#[cfg(test)]\nmod t {\n    fn a() { b.unwrap(); }\n}\n";
    let lines: Vec<_> = panics(&Source::parse("src/x.rs", text)).iter().map(|finding| finding.line).collect();
    assert_eq!(lines, [1, 3]);
}

#[test]
fn unfinished_work_is_found() {
    let [left, broken] = UNFINISHED;
    let text = format!(
        "// {left}: later\nlet a = \"{left}\";\n    unimplemented!()\n#[ignore = \"slow\"]\nfn a() {{ todo!() }}\n/* {broken} */\n"
    );
    let lines: Vec<_> = unfinished(&Source::parse("src/x.rs", &text)).iter().map(|finding| finding.line).collect();
    assert_eq!(lines, [1, 3, 4, 5, 6]);
    assert_eq!(unfinished_text("README.md", &format!("a\n{broken} b\nmethod{left}s\n")).len(), 1);
}
