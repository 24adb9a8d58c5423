//! Numbers that look drawn and are the same at every start, on every machine and in every version.

/// A number in `0..=room`, drawn from `seed`, what it is for and a point in time. FNV-1a over the three, then mixed.
pub(crate) fn draw(seed: &str, purpose: &str, point: i64, room: i64) -> i64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut eat = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    // 0xff is in no UTF-8 text, so that two parts never run into each other.
    seed.bytes().chain([0xff]).chain(purpose.bytes()).chain([0xff]).chain(point.to_le_bytes()).for_each(&mut eat);
    // FNV leaves the high bits of short texts alike: mix before they are used.
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^= hash >> 31;
    let Ok(room) = u64::try_from(room) else { return 0 };
    let scaled = (u128::from(hash) * (u128::from(room) + 1)) >> 64;
    i64::try_from(scaled).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::draw;

    #[test]
    fn draws_are_stable_over_versions() {
        // A change here moves every jittered date of every installation: never change these numbers.
        assert_eq!(draw("my-crm", "jitter", 1_792_000_000, 1_800), 843);
        assert_eq!([draw("a", "jitter", 0, 999), draw("b", "jitter", 0, 999), draw("a", "anchor", 0, 999)], [24, 120, 276]);
    }

    #[test]
    fn draws_fill_the_room_evenly() {
        let mut counts = [0; 10];
        for n in 0..10_000 {
            let drawn = draw(&format!("policy-{n}"), "jitter", 1_792_000_000, 9);
            counts[usize::try_from(drawn).unwrap()] += 1;
        }
        assert!(counts.iter().all(|c| (850..1_150).contains(c)), "{counts:?}");
        assert_eq!(draw("a", "jitter", 1, 0), 0);
        assert_eq!(draw("a", "jitter", 1, -5), 0);
        assert!((0..=i64::MAX).contains(&draw("a", "jitter", 1, i64::MAX)));
    }
}
