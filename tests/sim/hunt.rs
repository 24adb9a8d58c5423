//! Runs histories: by chance, exhaustively, and shorter and shorter.

use cutover_machine::Effect;

use crate::dice::Dice;
use crate::engine::Sim;
use crate::kind::{Kind, Parts};
use crate::oracle::Violation;
use crate::script::{self, Fate, Turn, Upset, When};

/// A history that broke something.
#[derive(Clone, Debug)]
pub struct Found {
    /// The seed that it was drawn from, where it was.
    pub seed: Option<u64>,
    /// The kind of world.
    pub kind: Kind,
    /// What went wrong in it.
    pub script: Vec<Turn>,
    /// What it broke.
    pub violation: Violation,
}

/// One history as drawn from a seed.
#[must_use]
pub fn drawn(seed: u64) -> (Kind, Vec<Turn>) {
    let mut dice = Dice::of(seed);
    let kind = Parts::draw(&mut dice).kind();
    (kind, script::draw(&mut dice))
}

/// Runs one history.
#[must_use]
pub fn run(kind: &Kind, script: &[Turn], told: bool) -> (Sim, Option<Violation>) {
    let mut sim = Sim::new(kind, script, told);
    sim.oracle.fates(script.iter().filter_map(|(_, upset)| if let Upset::Fate(fate) = upset { Some(*fate) } else { None }));
    let broken = sim.run().err();
    (sim, broken)
}

/// Runs the history of a seed.
#[must_use]
pub fn seed(seed: u64) -> Option<Found> {
    let (kind, script) = drawn(seed);
    let (_, broken) = run(&kind, &script, false);
    broken.map(|violation| Found { seed: Some(seed), kind, script, violation })
}

/// The seed of the so-many-th history of a base.
#[must_use]
pub const fn seed_of(base: u64, place: u64) -> u64 {
    Dice::of(base.wrapping_add(place.wrapping_mul(0x0001_0000_0001))).next()
}

/// A kind with one rotation only, for a search through all its moments.
#[must_use]
pub fn single(parts: Parts) -> Kind {
    let mut kind = parts.kind();
    kind.truth.rotations = 1;
    kind
}

/// What an exhaustive search runs at every boundary.
fn possible(effect: Option<&Effect>, targets: usize, bold: bool) -> Vec<Upset> {
    let mut all = Vec::new();
    if let Some(effect) = effect {
        all.extend(Fate::of(effect).into_iter().map(Upset::Fate));
    }
    if bold {
        all.extend(Upset::beside(targets));
    }
    all
}

/// Every history of a kind with at most so many faults; how many there were, or the first that breaks something. `bold`: what people do
/// beside what calls suffer.
///
/// # Errors
/// The first history that breaks something.
pub fn exhaust(kind: &Kind, faults: usize, bold: bool) -> Result<usize, Box<Found>> {
    let mut histories = 0;
    let mut open: Vec<Vec<Turn>> = vec![Vec::new()];
    while let Some(script) = open.pop() {
        let (sim, broken) = run(kind, &script, false);
        histories += 1;
        if let Some(violation) = broken {
            return Err(Box::new(Found { seed: None, kind: kind.clone(), script, violation }));
        }
        if script.len() >= faults {
            continue;
        }
        let from = script.iter().map(|(when, _)| if let When::Turn(turn) = when { *turn } else { 0 }).max().unwrap_or(0);
        for (place, effect) in sim.boundaries.iter().enumerate().skip(from) {
            for upset in possible(effect.as_ref(), kind.plan.targets.len(), bold) {
                let mut longer = script.clone();
                longer.push((When::Turn(place + 1), upset));
                open.push(longer);
            }
        }
    }
    Ok(histories)
}

/// The same fault with less: fewer things that go wrong, an earlier moment, a plainer world.
#[must_use]
pub fn shrink(found: &Found) -> Found {
    let mut best = found.clone();
    loop {
        let Some(smaller) = smaller(&best).into_iter().find_map(|(kind, script)| {
            let (_, broken) = run(&kind, &script, false);
            let violation = broken.filter(|violation| violation.check == best.violation.check)?;
            Some(Found { seed: best.seed, kind, script, violation })
        }) else {
            return best;
        };
        best = smaller;
    }
}

fn smaller(found: &Found) -> Vec<(Kind, Vec<Turn>)> {
    let mut all = Vec::new();
    for place in 0..found.script.len() {
        let mut script = found.script.clone();
        script.remove(place);
        all.push((found.kind.clone(), script));
    }
    let plainer: [fn(&mut Kind) -> bool; 6] = [
        |kind| std::mem::replace(&mut kind.truth.rotations, 1) > 1,
        |kind| kind.truth.closed.take().is_some(),
        |kind| std::mem::take(&mut kind.truth.skew) != 0,
        |kind| kind.truth.apps.len() > kind.plan.targets.len() && kind.truth.apps.pop().is_some(),
        |kind| kind.plan.targets.len() > 1 && one_target(kind),
        |kind| {
            let late = kind.truth.birth != cutover_machine::Span::ZERO || kind.truth.death != cutover_machine::Span::ZERO;
            (kind.truth.birth, kind.truth.death) = Default::default();
            late
        },
    ];
    for make in plainer {
        let mut kind = found.kind.clone();
        if make(&mut kind) {
            all.push((kind, found.script.clone()));
        }
    }
    all
}

fn one_target(kind: &mut Kind) -> bool {
    kind.plan.targets.truncate(1);
    kind.truth.apps.retain(|app| app.target == 0);
    true
}

/// The story of a seed that breaks nothing.
#[must_use]
pub fn lived(seed: u64) -> String {
    let (kind, script) = drawn(seed);
    let (sim, _) = run(&kind, &script, true);
    format!("seed {seed}, {}, {script:?}: nothing broken\n{}", kind.name, sim.story.unwrap_or_default().join("\n"))
}

/// What was found, shrunk, with its story in words.
#[must_use]
pub fn told(found: &Found) -> String {
    let short = shrink(found);
    let (sim, broken) = run(&short.kind, &short.script, true);
    let violation = broken.unwrap_or(short.violation);
    crate::story::whole(short.seed, &short.kind, &short.script, &violation, sim.story.as_deref().unwrap_or_default())
}
