//! Whole rotations with full durability: from the order until the old key is dead, or only the provider's clock is left.

use std::time::Duration;

use cutover::engine::WallClock;
use cutover_config::Selector;

use crate::Wanted;
use crate::floors;
use crate::house::{House, runtime};
use crate::measure::{Mark, Passed, millis, seconds};
use crate::report::Row;
use crate::town::{Keep, Sort, Town};

/// How many times as fast the clock runs: what a rotation waits for by plan (quiet, lags, settling) is half a second then.
const SPEED: u32 = 10;
/// Calls and commits that wait together where a floor is measured.
const AT_ONCE: usize = 64;

/// What one run gave.
struct Run {
    passed: Passed,
    rotations: f64,
    /// Commits, bytes, reads, transactions.
    ledger: [f64; 4],
    calls: f64,
    floor: Floor,
}

/// The floors that were measured with it.
struct Floor {
    barrier: f64,
    call: Passed,
    commits: [f64; 2],
}

/// The figures of this lifecycle and this store.
pub fn measure(wanted: &Wanted, sort: Sort, keep: Keep) -> Vec<Row> {
    let many = if keep == Keep::File { wanted.rotations.div_ceil(4) } else { wanted.rotations };
    let runs: Vec<Run> = (0..wanted.runs).map(|_| run(many, sort, keep)).collect();
    let of = |figure: &dyn Fn(&Run) -> f64| runs.iter().map(figure).collect::<Vec<_>>();
    let median = |figure: &dyn Fn(&Run) -> f64| Row::of("", &of(figure)).figure;
    let each = |run: &Run, what: f64| what / run.rotations;
    let loopback = |run: &Run| each(run, run.calls) * seconds(run.floor.call.wall) / FLOOR_CALLS as f64;
    let call_cpu = |run: &Run| each(run, run.calls) * millis(run.floor.call.cpu) / FLOOR_CALLS as f64;
    let commit_cpu = |run: &Run| each(run, run.ledger[0]) * run.floor.commits[1] * 1e3 / FLOOR_COMMITS as f64;
    let aimed = keep == Keep::Vault && sort == Sort::Overlap;
    let aim = |text: &str| if aimed { text.to_owned() } else { String::new() };
    vec![
        Row::of(format!("rotations/s, {many} at once"), &of(&|run| run.rotations / seconds(run.passed.wall)))
            .floor(1.0 / median(&loopback), "its HTTP calls alone, same client, same machine")
            .aim(&aim("1000")),
        Row::of("CPU per rotation, ms", &of(&|run| millis(run.passed.cpu) / run.rotations))
            .floor(median(&|run| call_cpu(run) + commit_cpu(run)), "its calls and its commits alone")
            .aim(&aim("1")),
        Row::of("  of the doubles outside, ms", &of(&|run| millis(run.passed.outside) / run.rotations)),
        Row::of("HTTP calls per rotation", &of(&|run| each(run, run.calls))).floor(5.0, "mint, write, hook, verify, revoke"),
        Row::of("commits per rotation", &of(&|run| each(run, run.ledger[0])))
            .floor(3.0, "before mint, after it, before revoke"),
        Row::of("disk barriers per rotation", &of(&|run| each(run, run.ledger[3]))).floor(0.01, "256 commits share one"),
        Row::of("KiB committed per rotation", &of(&|run| each(run, run.ledger[1]) / 1024.0)),
        Row::of("ledger reads per rotation", &of(&|run| each(run, run.ledger[2]))),
        Row::of("one disk barrier, ms", &of(&|run| run.floor.barrier)),
        Row::of("commits/s, ledger alone", &of(&|run| FLOOR_COMMITS as f64 / run.floor.commits[0])),
        Row::of("HTTP calls/s, client alone", &of(&|run| FLOOR_CALLS as f64 / seconds(run.floor.call.wall))),
    ]
}

/// Calls and commits that a floor is measured with.
const FLOOR_CALLS: usize = 64 * 40;
const FLOOR_COMMITS: usize = 64 * 40;

fn run(many: usize, sort: Sort, keep: Keep) -> Run {
    let house = House::new(WallClock::fast(SPEED));
    let town = Town::new(sort, many, &house.time(), Duration::ZERO);
    if keep == Keep::File {
        std::fs::create_dir_all(house.path("apps")).expect("a directory");
        town.files(house.path("apps"));
    }
    let keys: Vec<_> = (0..many).map(|n| town.seed(n)).collect();
    let policies: String = keys.iter().enumerate().map(|(n, key)| house.policy(&town, n, key, keep)).collect();
    let file = house.configure(&town, &policies);
    let rest = if sort == Sort::Grace { "retire" } else { "closed" };
    runtime().block_on(async {
        let barrier = floors::barrier(&house.path(""));
        let call = floors::calls(&town, FLOOR_CALLS, AT_ONCE).await;
        let ledger = house.ledger().await;
        let catalog = house.catalog();
        let config = house.load(&file, &catalog);
        let running = house.start(config, catalog, ledger, rest).await;
        let (counts, calls) = (running.watcher.counts(), town.calls());
        let mark = Mark::now();
        let everything = Selector { all: true, ..Selector::default() };
        let started = running.engine.rotate(&everything, "bench", None).await;
        let refused = started.iter().find(|one| one.rotation.is_none());
        assert!(refused.is_none(), "not started: {refused:?}");
        until(&running, many as u64).await;
        let passed = mark.passed();
        let after = running.watcher.counts();
        let ledger = [0, 1, 2, 3].map(|at| (after[at] - counts[at]) as f64);
        let (store, provider) = town.calls();
        let calls = (store - calls.0 + provider - calls.1) as f64;
        let wrong = keys.iter().enumerate().find(|(n, (_, old))| !town.has_new(*n, old));
        assert!(wrong.is_none(), "application {:?} has no new key that is accepted", wrong.map(|(n, _)| n));
        running.stop().await;
        let bytes = (ledger[1] / ledger[0]) as usize;
        let alone = house.ledger().await;
        let commits = floors::commits(&alone, FLOOR_COMMITS, bytes, AT_ONCE).await;
        alone.close().await.expect("closed");
        town.close();
        Run { passed, rotations: many as f64, ledger, calls, floor: Floor { barrier, call, commits } }
    })
}

/// Waits for the end of so many rotations, and says how they stand when that takes too long.
async fn until(running: &crate::house::Running, many: u64) {
    if tokio::time::timeout(Duration::from_secs(120), running.watcher.ended(many)).await.is_ok() {
        return;
    }
    let open = running.engine.status(&Selector::default()).into_iter().find(|status| status.phase != "idle");
    panic!("{} of {many} rotations came to their end in two minutes; one that did not: {open:#?}", running.watcher.ended_now());
}
