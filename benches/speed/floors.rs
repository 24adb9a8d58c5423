//! What this machine can do at best at what a rotation is made of, measured beside the rotations.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use cutover_ledger::{Commit, HistoryEntry, Ledger, RotationWrite, SqliteLedger};

use crate::measure::{Mark, Passed, millis, seconds};
use crate::town::Town;

/// The median time of one disk barrier after a write of 4 KiB, in milliseconds.
pub fn barrier(dir: &Path) -> f64 {
    let mut file = std::fs::File::create(dir.join("barrier")).expect("a file");
    let mut times: Vec<f64> = (0..200)
        .map(|_| {
            file.write_all(&[7; 4096]).expect("written");
            let began = Instant::now();
            file.sync_data().expect("on disk");
            millis(began.elapsed())
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// What `calls` calls over loopback take with the HTTP client that cutover uses and a new connection for each, `at_once` at a time.
pub async fn calls(town: &Town, calls: usize, at_once: usize) -> Passed {
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("a client");
    let url = format!("http://{}/health/0", town.address);
    let mark = Mark::now();
    let workers = (0..at_once).map(|_| {
        let (client, url) = (client.clone(), url.clone());
        tokio::spawn(async move {
            for _ in 0..calls / at_once {
                client.get(&url).send().await.expect("answered").bytes().await.expect("whole");
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.expect("ran");
    }
    mark.passed()
}

/// Seconds of wall and processor time for `commits` commits of `bytes` each on an otherwise idle ledger, `at_once` waiting together.
pub async fn commits(ledger: &Arc<SqliteLedger>, commits: usize, bytes: usize, at_once: usize) -> [f64; 2] {
    let mark = Mark::now();
    let workers = (0..at_once).map(|worker| {
        let ledger = Arc::clone(ledger);
        tokio::spawn(async move {
            for n in 0..commits / at_once {
                ledger.commit(one(worker, n, bytes)).await.expect("committed");
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.expect("ran");
    }
    let passed = mark.passed();
    [seconds(passed.wall), seconds(passed.cpu)]
}

fn one(worker: usize, n: usize, bytes: usize) -> Commit {
    let id = format!("floor_{worker}");
    Commit {
        rotation: Some(RotationWrite {
            id: id.clone(),
            policy: id,
            expected: (n > 0).then_some(n as u64),
            state: "x".repeat(bytes),
            plan: None,
            phase: "observe".to_owned(),
            closed: false,
        }),
        history: vec![HistoryEntry {
            at: cutover_api::Stamp(0),
            policy: None,
            rotation: None,
            actor: "bench".to_owned(),
            kind: "floor".to_owned(),
            facts: "{}".to_owned(),
        }],
        ..Commit::default()
    }
}
