//! Time is an argument: one file reads the clock, and no test sleeps for luck.

use super::project::Finding;
use super::source::{Line, Source, words};

/// The one file that reads the clock.
const CLOCK: &str = "src/engine/clock.rs";

/// What reads a clock.
const READS: [&str; 6] = ["SystemTime::now", "Instant::now", "Timestamp::now", "Zoned::now", "Utc::now", "clock_gettime"];

/// Reads of a clock outside the engine's.
pub fn clock_reads(source: &Source) -> Vec<Finding> {
    if source.path == CLOCK {
        return Vec::new();
    }
    let reads = source.shipped().flat_map(|line| {
        let named = READS.iter().filter(|read| words(&line.bare, read).next().is_some());
        named
            .map(|read| (line.number, format!("reads the clock ({read}): take the time as an argument; only {CLOCK} reads it")))
    });
    reads.map(|(line, what)| Finding::new(&source.path, line, what)).collect()
}

/// Sleeps in tests without a comment, on the line or right above it, that says why.
pub fn sleeps(source: &Source) -> Vec<Finding> {
    let says_why = |n: usize| {
        let own_line = |line: &&Line| line.bare.trim().is_empty();
        let above = n.checked_sub(1).and_then(|above| source.lines.get(above)).filter(own_line);
        [source.lines.get(n), above].into_iter().flatten().any(|line| !line.comment.trim().is_empty())
    };
    let slept = source.lines.iter().enumerate().filter(|(n, line)| line.test && sleeps_in(&line.bare) && !says_why(*n));
    slept
        .map(|(_, line)| Finding::new(&source.path, line.number, "sleeps: wait for a condition, or say in a comment why not"))
        .collect()
}

/// Whether a line calls `sleep(` of a library: by path or as an imported name, but no method and no definition.
fn sleeps_in(bare: &str) -> bool {
    let imported = |at: usize| {
        let before = bare[..at].trim_end();
        bare[at..].starts_with("sleep(") && !before.ends_with('.') && !before.ends_with("fn")
    };
    words(bare, "sleep").any(|at| bare[..at].ends_with("thread::") || bare[..at].ends_with("time::") || imported(at))
}

#[test]
fn a_read_of_the_clock_is_found() {
    let text =
        "// Instant::now is refused\nlet a = std::time::Instant::now();\nlet b = Some(0).map_or_else(Timestamp::now, f);\n";
    let lines: Vec<_> = clock_reads(&Source::parse("src/engine/run.rs", text)).iter().map(|finding| finding.line).collect();
    assert_eq!(lines, [2, 3]);
    assert_eq!(clock_reads(&Source::parse(CLOCK, text)), []);
    assert_eq!(clock_reads(&Source::parse("src/config/tests/x.rs", text)), []);
}

#[test]
fn a_sleep_in_a_test_is_found() {
    let text = "std::thread::sleep(A);\ntokio::time::sleep(A).await;\nsleep(A).await;\nclock.sleep(A).await;\nasync fn sleep(a: A) {}\n\
                sleep(A).await; // the server rounds to seconds\n// The file system's own clock ticks so slowly.\nthread::sleep(A);\n";
    let lines = |path| sleeps(&Source::parse(path, text)).iter().map(|finding| finding.line).collect::<Vec<_>>();
    assert_eq!(lines("src/a/tests/x.rs"), [1, 2, 3]);
    assert!(lines("src/a/x.rs").is_empty());
}
