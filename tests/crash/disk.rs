//! A disk that is full or fails: nothing is lost, nothing is done that cannot be made durable, and with a good disk it goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::libc::{EIO, ENOSPC};
use nix::sys::signal::Signal;

use crate::kills::{Amount, points_of, side_by_side};
use crate::oracle::judge;
use crate::provider::Kind;
use crate::tracer::{Deed, Traced, works};
use crate::world::{Ended, World};

/// One run: from this point on the ledger's disk is bad.
#[derive(Clone, Copy, Debug)]
struct Case {
    kind: Kind,
    from: usize,
    error: i32,
}

/// Lets the daemon run into the bad disk; `false` = it was at rest before.
async fn meets(daemon: &Traced) -> bool {
    let waiting = async {
        while daemon.failed() == 0 && !daemon.ended() {
            // Between two looks at what the tracer has counted.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.is_ok()
}

async fn run(case: Case) -> Result<(), String> {
    let world = World::new(case.kind).await;
    let bad = Arc::new(AtomicBool::new(true));
    let deed = Deed::Disk { from: case.from, error: case.error, bad: Arc::clone(&bad) };
    let daemon = world.daemon(deed);
    let mends = async {
        if meets(&daemon).await && !daemon.ended() {
            // As long as the daemon waits between two tries: a second look at a disk that is still full.
            tokio::time::sleep(Duration::from_secs(6)).await;
        }
        bad.store(false, Ordering::SeqCst);
    };
    let (ended, ()) = tokio::join!(world.drive(&daemon), mends);
    let failed = daemon.failed();
    if ended == Ended::AtRest {
        daemon.signal(Signal::SIGTERM);
        daemon.wait();
    } else {
        // A disk that failed is not written to again by the same process: it ends, and starts anew from what is durable.
        world.died();
        let code = daemon.wait().code;
        if code != Some(1) {
            return Err(format!("it ended with {code:?} after {failed} failed calls\n{}", world.log()));
        }
        // While a first ledger is being made, who does it reads it where it is typed.
        let in_use = world.dir.path().join("ledger.db").exists();
        again_while_bad(&world, case.error).await?;
        let told =
            world.alert_texts().iter().filter(|text| text.contains("cutover ended by itself, or could not begin")).count();
        if told != usize::from(in_use) {
            return Err(format!("it was told {told} times: {:?}\n{}", world.alert_kinds(), world.log()));
        }
        let daemon = world.daemon(Deed::Watch);
        if world.drive(&daemon).await == Ended::Died {
            return Err(format!("it does not start on a good disk\n{}", world.log()));
        }
        daemon.signal(Signal::SIGTERM);
        daemon.wait();
    }
    judge(&world).await.result().map_err(|wrong| format!("{wrong}\nfailed calls: {failed}\n{}", world.log()))
}

/// As a service manager does: it is started again while the disk is still bad. It ends, and nothing is sent.
async fn again_while_bad(world: &World, error: i32) -> Result<(), String> {
    let before = world.provider.mints();
    let daemon = world.daemon(Deed::Disk { from: 1, error, bad: Arc::new(AtomicBool::new(true)) });
    let waiting = async {
        while !daemon.ended() {
            // Between two looks at what the tracer has seen.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(8), waiting).await.is_err() {
        daemon.signal(Signal::SIGKILL);
    }
    let code = daemon.wait().code;
    if matches!(code, Some(code) if code != 1) {
        return Err(format!("on a bad disk it ended with {code:?}\n{}", world.log()));
    }
    let sent = world.provider.mints() - before;
    if sent == 0 { Ok(()) } else { Err(format!("{sent} mints were sent on a bad disk\n{}", world.log())) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_or_failing_disk_at_every_point() {
    if !works() {
        return;
    }
    let amount = Amount::wanted();
    let mut cases = Vec::new();
    for kind in [Kind::Overlap, Kind::FixedGrace] {
        let last = points_of(kind).await;
        for (error, step) in [(ENOSPC, 149), (EIO, 163)] {
            cases.extend(amount.of(last, step).into_iter().map(|from| Case { kind, from, error }));
        }
    }
    side_by_side("bad disks", cases, run).await;
}
