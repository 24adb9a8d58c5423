//! One idea a room: files and functions stay short.

use super::project::Finding;
use super::source::Source;

/// Lines of a file, tests not counted.
const LONGEST_FILE: usize = 450;
/// Lines of a function, from `fn` to its closing brace.
const LONGEST_FUNCTION: usize = 90;

/// A file that is too long.
pub fn file(source: &Source) -> Vec<Finding> {
    let lines = source.shipped().count();
    let what = || format!("the file has {lines} lines without its tests, at most {LONGEST_FILE}: make it two");
    if lines > LONGEST_FILE { vec![Finding::new(&source.path, LONGEST_FILE + 1, what())] } else { Vec::new() }
}

/// Functions that are too long.
pub fn functions(source: &Source) -> Vec<Finding> {
    let is_test = |line: usize| source.lines.get(line - 1).is_none_or(|line| line.test);
    let long = source.functions().into_iter().filter(|function| !is_test(function.first));
    long.filter_map(|function| {
        let lines = function.last - function.first + 1;
        let what = format!("fn {} has {lines} lines, at most {LONGEST_FUNCTION}", function.name);
        (lines > LONGEST_FUNCTION).then(|| Finding::new(&source.path, function.first, what))
    })
    .collect()
}

#[test]
fn a_long_file_is_found() {
    let text = "const A: u8 = 0;\n".repeat(LONGEST_FILE);
    assert_eq!(file(&Source::parse("src/x.rs", &text)), []);
    let with_tests = format!("{text}#[cfg(test)]\nmod tests {{\n    fn a() {{}}\n}}\n");
    assert_eq!(file(&Source::parse("src/x.rs", &with_tests)), []);
    let found = file(&Source::parse("src/x.rs", &format!("{text}const B: u8 = 0;\n")));
    assert_eq!(found.len(), 1);
    assert!(found[0].to_string().starts_with("src/x.rs:451: the file has 451 lines"));
}

#[test]
fn a_long_function_is_found() {
    let body = |lines: usize| format!("fn short() {{}}\n\nfn long() {{\n{}}}\n", "    work();\n".repeat(lines));
    assert_eq!(functions(&Source::parse("src/x.rs", &body(LONGEST_FUNCTION - 2))), []);
    let found = functions(&Source::parse("src/x.rs", &body(LONGEST_FUNCTION - 1)));
    assert_eq!(found, [Finding::new("src/x.rs", 3, "fn long has 91 lines, at most 90")]);
    assert_eq!(functions(&Source::parse("tests/x.rs", &body(200))), []);
}
