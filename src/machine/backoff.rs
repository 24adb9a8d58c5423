//! How long to wait between tries: a table with jitter from the rotation's seed, so that many rotations do not knock together.

use crate::time::{Span, Stamp};

/// Waits after the first, second, … failure. Running total: 5 s, 20 s, 65 s, 3 min, 8 min, 23 min, 53 min, then hourly.
const WAITS: [Span; 8] = [
    Span::seconds(5),
    Span::seconds(15),
    Span::seconds(45),
    Span::minutes(2),
    Span::minutes(5),
    Span::minutes(15),
    Span::minutes(30),
    Span::HOUR,
];

/// When the next try may be made after `tries` failures: the table's wait, from three quarters of it up to the whole, never less than
/// what the other side asked for, and that at most an hour.
#[must_use]
pub fn next_try(seed: u64, tries: u32, now: Stamp, asked: Option<Span>) -> Stamp {
    let index = (tries.max(1) as usize - 1).min(WAITS.len() - 1);
    let wait = WAITS[index];
    let spread = i64::try_from(mix(seed ^ u64::from(tries)) % 256).unwrap_or(0);
    let jittered = Span(wait.0 - wait.0 / 4 * spread / 256);
    let asked = asked.unwrap_or(Span::ZERO).min(Span::HOUR);
    now.plus(jittered.max(asked))
}

/// A cheap bit mixer (splitmix64): spreads seeds, hides nothing.
const fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{WAITS, mix, next_try};
    use crate::time::{Span, Stamp};

    const NOW: Stamp = Stamp(1_000_000);

    fn wait(seed: u64, tries: u32) -> Span {
        next_try(seed, tries, NOW, None).since(NOW)
    }

    /// Over many rotations the waits fill the last quarter of the table's, which grows to an hour and stays there.
    #[test]
    fn waits_grow_to_an_hour_and_spread() {
        let table = [5, 15, 45, 120, 300, 900, 1_800, 3_600].map(Span::seconds);
        assert_eq!(WAITS, table);
        for (tries, whole) in (0..).zip([table[0]].into_iter().chain(table).chain([table[7], table[7]])) {
            let waits: Vec<Span> = (0..4_000).map(|seed| wait(seed, tries)).collect();
            assert_eq!(waits.iter().max(), Some(&whole), "after {tries} tries");
            assert_eq!(waits.iter().min(), Some(&Span(whole.0 - whole.0 / 4 * 255 / 256)), "after {tries} tries");
        }
        assert_eq!(wait(7, 1_000), wait(7, 1_000));
    }

    /// Each try of each rotation draws its own part of the quarter, whatever the seed is.
    #[test]
    fn each_try_draws_anew() {
        for seed in [0, 7, u64::MAX] {
            let late: Vec<Span> = (8..40).map(|tries| wait(seed, tries)).collect();
            let first = late.first();
            assert!(late.iter().any(|wait| Some(wait) != first), "seed {seed}: always {first:?}");
        }
    }

    /// The first numbers of splitmix64, as published.
    #[test]
    fn seeds_are_mixed_by_splitmix64() {
        let mixed = [0, 0x9e37_79b9_7f4a_7c15, 1, u64::MAX].map(mix);
        let published = [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x910a_2dec_8902_5cc1, 0xe4d9_7177_1b65_2c20];
        assert_eq!(mixed, published);
    }

    #[test]
    fn what_the_other_side_asks_is_honoured_up_to_an_hour() {
        let asked = |span| next_try(1, 1, NOW, Some(span)).since(NOW);
        assert_eq!(asked(Span::minutes(7)), Span::minutes(7));
        assert_eq!(asked(Span::hours(30)), Span::HOUR);
        assert_eq!(asked(Span::SECOND), wait(1, 1), "the table's own wait is longer");
    }
}
