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
    use super::next_try;
    use crate::time::{Span, Stamp};

    #[test]
    fn waits_grow_to_an_hour_and_spread() {
        let now = Stamp(1_000_000);
        for seed in 0..200 {
            let first = next_try(seed, 1, now, None).since(now);
            assert!(first > Span(3_700) && first <= Span::seconds(5), "{first}");
            let late = next_try(seed, 40, now, None).since(now);
            assert!(late > Span::minutes(44) && late <= Span::HOUR, "{late}");
        }
        assert_ne!(next_try(1, 8, now, None), next_try(2, 8, now, None));
    }

    #[test]
    fn what_the_other_side_asks_is_honoured_up_to_an_hour() {
        let now = Stamp(0);
        assert_eq!(next_try(1, 1, now, Some(Span::minutes(7))), now.plus(Span::minutes(7)));
        assert_eq!(next_try(1, 1, now, Some(Span::hours(30))), now.plus(Span::HOUR));
    }
}
