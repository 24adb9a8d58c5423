//! Bytes that had been durable are lost or changed: noticed, or harmless, and never a wrong act.

use std::path::Path;
use std::time::Duration;

use cutover::control::wire::{Ask, Standing};
use cutover::control::{Client, Reached};
use nix::sys::signal::Signal;

use crate::bytes::Dice;
use crate::kills::{Amount, dies_at, points_of, side_by_side};
use crate::oracle::{judge, unharmed};
use crate::provider::Kind;
use crate::tracer::{Deed, Traced, works};
use crate::world::{Ended, World};

/// What is done to the files.
#[derive(Clone, Copy, Debug)]
enum Wound {
    /// The last frames of the WAL are gone.
    Frames(usize),
    /// The WAL ends in the middle of a frame.
    Torn(usize),
    /// There is no WAL.
    NoWal,
    /// A bit somewhere is another one.
    Flip(u64),
    /// What stood there at an earlier point stands there again.
    Old(usize),
}

/// One run: what is done when the daemon has died at this point.
#[derive(Clone, Copy, Debug)]
struct Case {
    kind: Kind,
    at: usize,
    wound: Wound,
}

/// What the next start made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It did not start.
    Refused,
    /// It found the ledger to be older than it was, and did nothing.
    Behind,
    /// Held.
    Held(String),
    /// It went through as if nothing had been.
    Harmless,
}

/// A frame of the WAL, and what stands before the first.
const FRAME: usize = 24 + 4_096;
const HEADER: usize = 32;

fn wound(dir: &Path, wound: Wound) {
    let (db, wal) = (dir.join("ledger.db"), dir.join("ledger.db-wal"));
    let _ = std::fs::remove_file(dir.join("ledger.db-shm"));
    let length = std::fs::metadata(&wal).map_or(0, |wal| usize::try_from(wal.len()).expect("short"));
    let cut = |to: usize| {
        if let Ok(file) = std::fs::File::options().write(true).open(&wal) {
            file.set_len(u64::try_from(to).expect("a length")).expect("cut");
        }
    };
    match wound {
        Wound::Frames(frames) => cut(length.saturating_sub(frames * FRAME).max(HEADER.min(length))),
        Wound::Torn(bytes) => cut(length.saturating_sub(bytes)),
        Wound::NoWal => drop(std::fs::remove_file(&wal)),
        Wound::Flip(seed) => {
            let mut dice = Dice::new(seed);
            let path = if dice.coin() && length > 0 { &wal } else { &db };
            let mut bytes = std::fs::read(path).expect("readable");
            let at = dice.below(bytes.len());
            bytes[at] ^= 1 << dice.below(8);
            std::fs::write(path, bytes).expect("written");
        }
        Wound::Old(_) => {
            let _ = std::fs::remove_file(&wal);
            for name in ["ledger.db", "ledger.db-wal"] {
                let old = dir.join("old").join(name);
                if old.exists() {
                    std::fs::copy(old, dir.join(name)).expect("copied");
                }
            }
        }
    }
}

async fn run(case: Case) -> Result<Fate, String> {
    let world = World::new(case.kind).await;
    if let Wound::Old(early) = case.wound {
        dies_at(&world, early).await?;
        std::fs::create_dir(world.path("old")).expect("made");
        for name in ["ledger.db", "ledger.db-wal"] {
            // One of them may not be there yet.
            let _ = std::fs::copy(world.path(name), world.path("old").join(name));
        }
    }
    dies_at(&world, case.at).await?;
    if !world.path("ledger.db").exists() {
        return Ok(Fate::Harmless);
    }
    wound(world.dir.path(), case.wound);
    let before = (world.provider.mints(), world.provider.keys().iter().filter(|key| key.alive).count());
    let daemon = world.daemon(Deed::Watch);
    let fate = fate(&world, &daemon).await;
    if fate == Fate::Behind {
        stays_still(&world, &daemon).await?;
    }
    daemon.signal(Signal::SIGTERM);
    let code = daemon.wait().code;
    let now = (world.provider.mints(), world.provider.keys().iter().filter(|key| key.alive).count());
    let told = |wrong: String| format!("{fate:?}: {wrong}\n{}", world.log());
    match &fate {
        Fate::Harmless => judge(&world).await.result().map_err(told)?,
        Fate::Refused if code != Some(1) || !world.log().contains("ledger-damaged") => {
            return Err(told(format!("it ended with {code:?}")));
        }
        Fate::Refused | Fate::Behind if before != now => {
            return Err(told(format!("mints and living keys were {before:?} and are {now:?}")));
        }
        _ => unharmed(&world).await.result().map_err(told)?,
    }
    Ok(fate)
}

/// What the daemon makes of what it finds.
async fn fate(world: &World, daemon: &Traced) -> Fate {
    let waiting = async {
        loop {
            if daemon.ended() {
                return Fate::Refused;
            }
            if let Ok(Reached::Daemon(client, _)) = Client::reach(&world.path("control.sock")).await
                && let Some((status, standing)) = world.status(&client).await
            {
                if standing.ledger_behind {
                    return Fate::Behind;
                }
                if let Some(held) = &status.held
                    && !world.kind.may_be_held(&held.why)
                {
                    return Fate::Held(held.why.clone());
                }
                if world.answer(&client, &status).await {
                    return Fate::Harmless;
                }
            }
            // Between two looks at what only another process knows.
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(120), waiting).await;
    waited.unwrap_or_else(|_| panic!("{:?}: no rest\n{}", world.kind, world.log()))
}

/// It is told, a rotation by hand is refused, and nothing moves.
async fn stays_still(world: &World, daemon: &Traced) -> Result<(), String> {
    let still = async {
        while !world.alert_texts().iter().any(|text| text.contains("holds less than")) {
            if daemon.ended() {
                return Err(format!("it ended\n{}", world.log()));
            }
            // Between two looks at what another process sends.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for _ in 0..10 {
            world.app.more_calls(5).await;
            let Ok(Reached::Daemon(client, _)) = Client::reach(&world.path("control.sock")).await else {
                return Err(String::from("it does not answer"));
            };
            let asked = world.status(&client).await;
            let behind = asked.is_some_and(|(_, standing): (_, Standing)| standing.ledger_behind);
            if !behind {
                return Err(String::from("it is not behind any more"));
            }
            let mut started = Vec::new();
            let _ = client.ask(&world.rotate(), Duration::from_secs(5), &mut |item| started.push(item)).await;
            if !started.iter().all(|one| !one["refused"].is_null()) {
                return Err(format!("a rotation was started: {started:?}"));
            }
        }
        Ok(())
    };
    let still = tokio::time::timeout(Duration::from_secs(60), still).await;
    still.unwrap_or_else(|_| Err(format!("nobody was told\n{}", world.log())))
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_had_been_durable_are_lost() {
    if !works() {
        return;
    }
    let amount = Amount::wanted();
    let mut cases = Vec::new();
    for kind in [Kind::Overlap, Kind::FixedGrace] {
        let last = points_of(kind).await;
        for at in amount.of(last, if amount.all { 1 } else { 211 }).into_iter().step_by(if amount.all { 13 } else { 1 }) {
            let mut dice = Dice::new(u64::try_from(amount.seed + at).expect("a number"));
            let frames = [1, 2 + dice.below(6), 10 + dice.below(60)].map(Wound::Frames);
            let flips = [(); 3].map(|()| Wound::Flip(dice.next()));
            let others = [Wound::Torn(1 + dice.below(FRAME)), Wound::NoWal, Wound::Old(at / 2)];
            cases.extend(frames.into_iter().chain(flips).chain(others).map(|wound| Case { kind, at, wound }));
        }
    }
    let fates = side_by_side("lost bytes", cases, run).await;
    let mut seen = std::collections::BTreeMap::new();
    for (case, fate) in fates {
        let wound = format!("{:?}", case.wound);
        let wound = wound.split('(').next().unwrap_or_default().to_owned();
        *seen.entry((wound, format!("{fate:?}"))).or_insert(0_usize) += 1;
    }
    eprintln!("lost bytes: {seen:#?}");
}

/// Regression: a ledger put back from an older copy was believed, and a provider that keeps only one key beside the one in use was asked
/// for another: the key in use would have been the one to go.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_ledger_is_not_believed_until_a_person_says_so() {
    if !works() {
        return;
    }
    let world = World::new(Kind::FixedGrace).await;
    // Nothing is rotated yet when the copy is taken.
    let daemon = world.daemon(Deed::Watch);
    let reached = async {
        while !matches!(Client::reach(&world.path("control.sock")).await, Ok(Reached::Daemon(..))) {
            // Between two looks at what only another process knows.
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reached).await.expect("it answers");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait().code, Some(0));
    std::fs::copy(world.path("ledger.db"), world.path("backup")).expect("copied");
    let daemon = world.daemon(Deed::Watch);
    assert_eq!(world.drive(&daemon).await, Ended::AtRest);
    daemon.signal(Signal::SIGTERM);
    daemon.wait();
    std::fs::copy(world.path("backup"), world.path("ledger.db")).expect("copied");
    for _ in 0..2 {
        // It stays so over a restart.
        let daemon = world.daemon(Deed::Watch);
        assert_eq!(fate(&world, &daemon).await, Fate::Behind, "{}", world.log());
        stays_still(&world, &daemon).await.unwrap_or_else(|wrong| panic!("{wrong}"));
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.wait().code, Some(0));
    }
    assert_eq!(world.provider.mints(), 1);
    let told = world.alert_texts().iter().filter(|text| text.contains("holds less than")).count();
    assert_eq!(told, 1, "it is told once, however often it is started");
    unharmed(&world).await.result().unwrap_or_else(|wrong| panic!("{wrong}\n{}", world.log()));
    let daemon = world.daemon(Deed::Watch);
    assert_eq!(fate(&world, &daemon).await, Fate::Behind);
    let Ok(Reached::Daemon(client, _)) = Client::reach(&world.path("control.sock")).await else { panic!("it answers") };
    let trusted = client.ask(&Ask::ConfirmClock { reason: None }, Duration::from_secs(5), &mut |_| {}).await.expect("taken");
    assert_eq!(trusted["ledger_trusted"], true);
    let (_, standing) = world.status(&client).await.expect("answered");
    assert!(!standing.ledger_behind);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait().code, Some(0));
}
