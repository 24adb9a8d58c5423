//! What every test here needs.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cutover_api::{Clock, Problem, Problems, Reader, References, Secret, SecretRef, Stamp, Surroundings, Table};
use cutover_hook_command::{CommandHook, CommandWitness};

struct Still;

impl Clock for Still {
    fn now(&self) -> Stamp {
        Stamp(1_800_000_000_000)
    }
}

impl References for Still {
    fn open(&self, _: &SecretRef) -> Result<Secret, String> {
        Err("a command opens no reference".to_owned())
    }
}

fn built<T>(text: &str, path: &str, build: impl FnOnce(&Reader<'_>, &Surroundings) -> Option<T>) -> (Option<T>, Vec<Problem>) {
    let table = Table::parse("x.toml", text).expect("valid TOML");
    let problems = Problems::default();
    let surroundings = Surroundings { references: Arc::new(Still), clock: Arc::new(Still) };
    let made = build(&Reader::new(&table, path, &problems), &surroundings);
    (made, problems.take())
}

/// A hook from its table, and what is wrong with it.
pub fn hook(text: &str) -> (Option<CommandHook>, Vec<String>) {
    let (hook, problems) = built(text, "policy.crm.redeploy[1]", CommandHook::build);
    (hook, problems.iter().map(ToString::to_string).collect())
}

/// A witness from its table, and what is wrong with it.
pub fn witness(text: &str) -> (Option<CommandWitness>, Vec<String>) {
    let (witness, problems) = built(text, "policy.crm.verify[0]", CommandWitness::build);
    (witness, problems.iter().map(ToString::to_string).collect())
}

/// A `run` line that lets the shell read a script, which is thus never a "text file busy". `more` are its arguments.
pub fn script(dir: &Path, body: &str, more: &[&str]) -> String {
    let path = dir.join("script.sh");
    fs::write(&path, body).expect("writable");
    let words = ["/bin/sh", path.to_str().expect("UTF-8")].into_iter().chain(more.iter().copied());
    let quoted: Vec<String> = words.map(|word| format!("{word:?}")).collect();
    format!("run = [{}]\n", quoted.join(", "))
}

/// Waits until `met`, on a thread that may block. Gives up after half a minute.
pub fn until(what: &str, met: impl Fn() -> bool) {
    for _ in 0..3_000 {
        if met() {
            return;
        }
        // Between two looks: the condition decides, not the span.
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("never came: {what}");
}

/// The number a process wrote into a file, once it is whole.
pub fn number(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.strip_suffix('\n')?.parse().ok()
}

/// Whether a process is still running: neither gone nor waiting to be collected.
pub fn runs(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    !matches!(state, Some('Z' | 'X') | None)
}
