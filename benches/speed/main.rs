//! How fast cutover is: each figure beside its floor, measured in the same run on the same machine.
//!
//! `cargo bench` runs everything with sizes that take a few minutes; `cargo bench -- --policies 100000 --rotations 4000` takes more.
//! `cargo bench -- --smoke` runs every part as small as it can be and judges no figure. Every part runs in a process of its own, so that memory and processor time of one are never counted to another.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for one developer's terminal"
)]

mod delay;
mod emergency;
mod floors;
mod house;
mod idle;
mod measure;
mod report;
mod rotations;
mod town;
mod watcher;

use report::Row;

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Rotations of the throughput part.
    pub rotations: usize,
    /// Policies of the idle part.
    pub policies: usize,
    /// Keys of the emergency part.
    pub keys: usize,
    /// Runs of the throughput part.
    pub runs: usize,
    /// One part only.
    pub part: Option<String>,
    /// Everything as small as it can be: only to see that it runs.
    pub smoke: bool,
}

const PARTS: [&str; 6] = ["overlap", "grace", "file", "due", "idle", "emergency"];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // Cargo says this to a bench and not to a test.
    let wanted = if args.iter().any(|arg| arg == "--bench") {
        Wanted::read(args.into_iter())
    } else if is_asked(&args) {
        Wanted::read(std::iter::once("--smoke".to_owned()))
    } else {
        return;
    };
    match &wanted.part {
        Some(part) => report::hand_over(&run(part, &wanted)),
        None => whole(&wanted),
    }
}

/// Whether a run of tests with these arguments is one of this program too: no list is wanted, and no test of another name.
fn is_asked(args: &[String]) -> bool {
    let named: Vec<_> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    !args.iter().any(|arg| arg == "--list") && (named.is_empty() || named.iter().any(|name| "speed".contains(name.as_str())))
}

/// One part in this process.
fn run(part: &str, wanted: &Wanted) -> Vec<Row> {
    match part {
        "overlap" => rotations::measure(wanted, town::Sort::Overlap, town::Keep::Vault),
        "grace" => rotations::measure(wanted, town::Sort::Grace, town::Keep::Vault),
        "file" => rotations::measure(wanted, town::Sort::Overlap, town::Keep::File),
        "due" => idle::due(wanted),
        "idle" => idle::measure(wanted),
        "emergency" => emergency::measure(wanted),
        other => panic!("there is no part {other}: {}", PARTS.join(", ")),
    }
}

/// Every part, each in its own process, and one table of it all.
fn whole(wanted: &Wanted) {
    report::machine();
    for part in PARTS {
        let rows = report::in_a_process(part, wanted);
        report::table(part, &rows);
    }
}

impl Wanted {
    fn read(mut args: impl Iterator<Item = String>) -> Self {
        let mut wanted = Self { rotations: 2_000, policies: 100_000, keys: 1_000, runs: 3, part: None, smoke: false };
        while let Some(arg) = args.next() {
            let mut number = |what: &str| {
                let text = args.next().unwrap_or_default();
                text.parse().unwrap_or_else(|_| panic!("{what} takes a number, not {text:?}"))
            };
            match arg.as_str() {
                "--rotations" => wanted.rotations = number("--rotations"),
                "--policies" => wanted.policies = number("--policies"),
                "--keys" => wanted.keys = number("--keys"),
                "--runs" => wanted.runs = number("--runs"),
                "--part" => wanted.part = args.next(),
                "--smoke" => {
                    wanted = Self { rotations: 6, policies: 50, keys: 6, runs: 1, smoke: true, part: wanted.part.take() };
                }
                "--bench" => {}
                other => panic!(
                    "unknown argument {other}: --rotations N, --policies N, --keys N, --runs N, --smoke, --part {}",
                    PARTS.join("|")
                ),
            }
        }
        wanted
    }

    /// The arguments that say the same to another process.
    fn args(&self) -> Vec<String> {
        let numbers =
            [("--rotations", self.rotations), ("--policies", self.policies), ("--keys", self.keys), ("--runs", self.runs)];
        let smoke = self.smoke.then(|| String::from("--smoke"));
        smoke.into_iter().chain(numbers.into_iter().flat_map(|(name, n)| [name.to_owned(), n.to_string()])).collect()
    }
}
