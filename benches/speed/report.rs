//! The figures on paper: one row a figure, its floor beside it.

use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::Wanted;

/// One figure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// What was measured, with its unit.
    pub what: String,
    /// The figure: the median of the runs.
    pub figure: f64,
    /// The smallest and the largest of the runs.
    pub spread: Option<(f64, f64)>,
    /// What the machine could do at best, measured in the same run; 0 = there is none.
    pub floor: f64,
    /// What the floor is.
    pub floor_is: String,
    /// The aim, as text.
    pub aim: String,
}

impl Row {
    /// A figure without floor and aim.
    pub fn new(what: impl Into<String>, figure: f64) -> Self {
        Self { what: what.into(), figure, spread: None, floor: 0.0, floor_is: String::new(), aim: String::new() }
    }

    /// The median of several runs, with their spread.
    pub fn of(what: impl Into<String>, runs: &[f64]) -> Self {
        let mut sorted = runs.to_vec();
        sorted.sort_by(f64::total_cmp);
        let spread = (sorted.len() > 1).then(|| (sorted[0], sorted[sorted.len() - 1]));
        Self { spread, ..Self::new(what, sorted[sorted.len() / 2]) }
    }

    /// With its floor.
    #[must_use]
    pub fn floor(mut self, floor: f64, floor_is: impl Into<String>) -> Self {
        (self.floor, self.floor_is) = (floor, floor_is.into());
        self
    }

    /// With its aim.
    #[must_use]
    pub fn aim(mut self, aim: &str) -> Self {
        aim.clone_into(&mut self.aim);
        self
    }
}

/// Prints rows so that the process that started this one can read them.
pub fn hand_over(rows: &[Row]) {
    for row in rows {
        println!("{}", serde_json::to_string(row).expect("a row is JSON"));
    }
}

/// Runs one part in a process of its own.
pub fn in_a_process(part: &str, wanted: &Wanted) -> Vec<Row> {
    let me = std::env::current_exe().expect("this program has a path");
    let run = Command::new(me).args(wanted.args()).args(["--bench", "--part", part]).stderr(Stdio::inherit()).output();
    let output = run.expect("this program starts");
    assert!(output.status.success(), "part {part} failed: {}", output.status);
    let text = String::from_utf8(output.stdout).expect("rows are text");
    text.lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
}

/// What it was measured on.
pub fn machine() {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("?", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
    println!("{cores} cores ({model}), Linux {}, load when it began {load}", kernel.trim());
}

/// One part's figures.
pub fn table(part: &str, rows: &[Row]) {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header([
        format!("{part}:"),
        "figure".into(),
        "of the runs".into(),
        "floor".into(),
        "aim".into(),
        "the floor is".into(),
    ]);
    for row in rows {
        let spread = row.spread.map(|(low, high)| format!("{} to {}", number(low), number(high))).unwrap_or_default();
        let floor = if row.floor > 0.0 { number(row.floor) } else { String::new() };
        table.add_row([&row.what, &number(row.figure), &spread, &floor, &row.aim, &row.floor_is]);
    }
    println!("\n{table}");
}

/// Three digits that count.
fn number(n: f64) -> String {
    match n.abs() {
        size if size >= 100.0 => format!("{n:.0}"),
        size if size >= 10.0 => format!("{n:.1}"),
        size if size >= 1.0 => format!("{n:.2}"),
        _ => format!("{n:.3}"),
    }
}
