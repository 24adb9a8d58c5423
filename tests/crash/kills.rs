//! Kills at points: every one of a rotation, and again during recovery; alone, and with the power.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::bytes::{Dice, power_cut};
use crate::oracle::judge;
use crate::provider::{Kind, kinds};
use crate::tracer::{Deed, Point, works};
use crate::world::{Ended, World};

/// Worlds at the same time, in all tests of this target together: a rotation mostly waits.
static PLACES: Semaphore = Semaphore::const_new(6);

/// One run: a world, and where its daemons die.
#[derive(Clone, Copy, Debug)]
struct Case {
    kind: Kind,
    /// The point of the first daemon, counted from its start.
    at: usize,
    /// The point of the second, while it recovers.
    again: Option<usize>,
    /// With the power: what was not made durable is lost in part.
    power: Option<u64>,
}

/// What became of a run.
struct Ran {
    /// Where its daemons died.
    died: Vec<Point>,
    /// Sectors that the power took.
    lost: usize,
    held: Vec<String>,
}

async fn run(case: Case) -> Result<Ran, String> {
    let world = World::new(case.kind).await;
    let (mut died, mut lost) = (Vec::new(), 0);
    for at in [Some(case.at), case.again].into_iter().flatten() {
        died.extend(dies_at(&world, at).await?);
        if let Some(seed) = case.power {
            lost += power_cut(world.dir.path(), seed.wrapping_add(u64::from(world.deaths())));
        }
    }
    goes_on(&world).await?;
    let held = world.decided.lock().expect("free").held.clone();
    Ok(Ran { died, lost, held })
}

/// Lets the daemon work to this point, and kills it there; where it had no such point, at rest.
pub async fn dies_at(world: &World, at: usize) -> Result<Option<Point>, String> {
    let daemon = world.daemon(Deed::Kill(at));
    let ended = world.drive(&daemon).await;
    daemon.signal(Signal::SIGKILL);
    let mut seen = daemon.wait();
    if ended == Ended::Died && !seen.killed {
        return Err(format!("the daemon ended by itself with {:?}\n{}", seen.code, world.log()));
    }
    world.died();
    Ok(seen.points.pop().filter(|_| seen.killed))
}

/// The next daemon goes on to rest, stops when it is asked to, and everything is as it must be.
async fn goes_on(world: &World) -> Result<(), String> {
    let daemon = world.daemon(Deed::Watch);
    if world.drive(&daemon).await == Ended::Died {
        return Err(format!("the daemon ended by itself\n{}", world.log()));
    }
    daemon.signal(Signal::SIGTERM);
    let code = daemon.wait().code;
    if code != Some(0) {
        return Err(format!("a stop ended with {code:?}\n{}", world.log()));
    }
    judge(world).await.result().map_err(|wrong| format!("{wrong}\n{}", world.log()))
}

/// `kill -9` after so long, and once more after half of it.
async fn run_by_time((kind, after): (Kind, Duration)) -> Result<(), String> {
    let world = World::new(kind).await;
    for after in [after, after / 2] {
        let daemon = world.daemon(Deed::Watch);
        // The moment itself is what is tried, whatever the daemon does then.
        let ended = tokio::time::timeout(after, world.drive(&daemon)).await;
        if ended == Ok(Ended::Died) {
            return Err(format!("the daemon ended by itself\n{}", world.log()));
        }
        daemon.signal(Signal::SIGKILL);
        daemon.wait();
        world.died();
    }
    goes_on(&world).await
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_at_random_moments() {
    if !works() {
        return;
    }
    let amount = Amount::wanted();
    let mut dice = Dice::new(u64::try_from(amount.seed).expect("a number"));
    let (runs, all) = (if amount.all { 400 } else { 12 }, kinds());
    let cases = (0..runs).map(|n| (all[n % all.len()], Duration::from_millis(dice.next() % 6_000)));
    side_by_side("kills at random moments", cases.collect(), run_by_time).await;
}

/// Runs all of these, some at a time; what each gave. Fails when one of them does, after all have run.
pub async fn side_by_side<C, T, F>(what: &str, cases: Vec<C>, run: impl Fn(C) -> F + Copy + Send + 'static) -> Vec<(C, T)>
where
    C: Copy + std::fmt::Debug + Send + 'static,
    T: Send + 'static,
    F: Future<Output = Result<T, String>> + Send + 'static,
{
    let mut runs = JoinSet::new();
    let count = cases.len();
    for case in cases {
        runs.spawn(async move {
            let _place = PLACES.acquire().await.expect("open");
            // In a task of its own, so that one that panics is a result too.
            let ran = tokio::spawn(run(case)).await.unwrap_or_else(|panic| Err(panic.to_string()));
            (case, ran)
        });
    }
    let (mut right, mut wrong) = (Vec::new(), Vec::new());
    while let Some(ran) = runs.join_next().await {
        if (right.len() + wrong.len()) % 100 == 99 {
            eprintln!("{what}: {} of {count}, {} wrong", right.len() + wrong.len() + 1, wrong.len());
        }
        match ran.expect("joined") {
            (case, Ok(ran)) => right.push((case, ran)),
            (case, Err(why)) => {
                eprintln!("{case:?}: {why}");
                wrong.push(case);
            }
        }
    }
    eprintln!("{what}: {count} runs");
    assert!(wrong.is_empty(), "{what}: {} of {count} runs went wrong: {wrong:?}", wrong.len());
    right
}

/// Runs all of these and tells where the daemons died.
async fn run_all(what: &str, cases: Vec<Case>) {
    let (mut points, mut held, mut lost) = (BTreeMap::new(), BTreeMap::new(), 0);
    for (case, ran) in side_by_side(what, cases, run).await {
        for point in ran.died {
            *points.entry((format!("{:?}", case.kind), point)).or_insert(0_usize) += 1;
        }
        for why in ran.held {
            *held.entry((format!("{:?}", case.kind), why)).or_insert(0_usize) += 1;
        }
        lost += ran.lost;
    }
    eprintln!("{what}: {} kills, {lost} sectors lost, held: {held:?}", points.values().sum::<usize>());
    for ((kind, point), times) in points {
        eprintln!("  {times:6} {kind} {point}");
    }
}

/// How many points a rotation of this kind has when nobody is killed.
pub async fn points_of(kind: Kind) -> usize {
    let _place = PLACES.acquire().await.expect("open");
    let world = World::new(kind).await;
    let daemon = world.daemon(Deed::Watch);
    assert_eq!(world.drive(&daemon).await, Ended::AtRest, "{}", world.log());
    daemon.signal(Signal::SIGTERM);
    let points = daemon.wait().points.len();
    judge(&world).await.result().unwrap_or_else(|wrong| panic!("{kind:?}, unharmed: {wrong}\n{}", world.log()));
    points
}

/// How much is run: everything, or a sample whose first point the seed moves.
pub struct Amount {
    pub all: bool,
    pub seed: usize,
    /// One point alone, to look at.
    only: Option<usize>,
}

impl Amount {
    pub fn wanted() -> Self {
        let said = std::env::var("CUTOVER_CRASH").unwrap_or_default();
        let only = said.strip_prefix('@').and_then(|point| point.parse().ok());
        Self { all: said == "all", seed: said.parse().unwrap_or(0), only }
    }

    /// The points from 1 to `last`: all, or every `step`-th.
    pub fn of(&self, last: usize, step: usize) -> Vec<usize> {
        if let Some(point) = self.only {
            return vec![point];
        }
        let step = if self.all { 1 } else { step };
        (1 + self.seed % step..=last).step_by(step).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_every_point() {
    if !works() {
        return;
    }
    let amount = Amount::wanted();
    let mut cases = Vec::new();
    for kind in kinds() {
        let last = points_of(kind).await;
        cases.extend(amount.of(last, 59).into_iter().map(|at| Case { kind, at, again: None, power: None }));
    }
    run_all("kills", cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_it_recovers_from_a_kill() {
    if !works() {
        return;
    }
    let amount = Amount::wanted();
    let mut cases = Vec::new();
    for kind in kinds() {
        let last = points_of(kind).await;
        // A recovery has fewer points than what it recovers from; one that is never reached is a kill at rest.
        for at in amount.of(last, 193).into_iter().step_by(if amount.all { 7 } else { 1 }) {
            let first = 1 + (amount.seed + at) % 31;
            cases.extend((first..=last - at / 2).step_by(if amount.all { 31 } else { 211 }).map(|again| Case {
                kind,
                at,
                again: Some(again),
                power: None,
            }));
        }
    }
    run_all("kills during recovery", cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_at_every_point() {
    if !works() {
        return;
    }
    let amount = Amount::wanted();
    let mut cases = Vec::new();
    for kind in kinds() {
        let last = points_of(kind).await;
        let seed = u64::try_from(amount.seed).expect("a number");
        cases.extend(amount.of(last, 67).into_iter().map(|at| {
            let mut dice = Dice::new(seed ^ u64::try_from(at).expect("a number"));
            Case { kind, at, again: None, power: Some(dice.next()) }
        }));
    }
    run_all("power cuts", cases).await;
}
