//! Planted bugs: each must be found by the random histories, by the check that its rule is about.

use cutover_machine::mutants::{Mutant, plant};

use crate::hunt::{self, Found};

/// What became of a planted bug.
pub struct Killed {
    /// The bug.
    pub mutant: Mutant,
    /// In words.
    pub bug: &'static str,
    /// The first history that shows it, and how many were run; `None`: it survived.
    pub by: Option<(Found, u64)>,
}

/// Plants every bug in turn and hunts it through at most so many histories.
#[must_use]
pub fn hunt_all(base: u64, histories: u64) -> Vec<Killed> {
    let hunted = Mutant::ALL.map(|(mutant, bug)| {
        plant(Some(mutant));
        let found = (0..histories).find_map(|place| hunt::seed(hunt::seed_of(base, place)).map(|found| (found, place + 1)));
        plant(None);
        Killed { mutant, bug, by: found }
    });
    hunted.into()
}
