//! Inputs that nearly make sense: real ones, cut, doubled, spliced and sprinkled with words that mean something.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::RngSeed;

/// How many inputs each target is given: `CUTOVER_FUZZ_CASES`, or what the ordinary run has time for.
pub fn cases(ordinary: u32) -> u32 {
    std::env::var("CUTOVER_FUZZ_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(ordinary)
}

/// The inputs are the same each time, so that a build does not fail by chance; others with `CUTOVER_FUZZ_SEED=NUMBER`.
pub fn seed() -> RngSeed {
    RngSeed::Fixed(std::env::var("CUTOVER_FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(2026))
}

/// One change of a text.
#[derive(Clone, Debug)]
enum Edit {
    Delete(Index, usize),
    Double(Index, usize),
    Insert(Index, String),
    Flip(Index, u8),
    Swap(Index, Index, usize),
    Splice(Index, Index),
}

fn edit(words: &'static [&'static str]) -> impl Strategy<Value = Edit> {
    prop_oneof![
        1 => (any::<Index>(), 0_usize..40).prop_map(|(at, length)| Edit::Delete(at, length)),
        1 => (any::<Index>(), 0_usize..80).prop_map(|(at, length)| Edit::Double(at, length)),
        4 => (any::<Index>(), select(words)).prop_map(|(at, word)| Edit::Insert(at, word.to_owned())),
        1 => (any::<Index>(), any::<String>()).prop_map(|(at, text)| Edit::Insert(at, text)),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Flip(at, byte)),
        1 => (any::<Index>(), any::<Index>(), 1_usize..30).prop_map(|(from, to, length)| Edit::Swap(from, to, length)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Edit::Splice(from, to)),
    ]
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>, other: &[u8]) {
        if bytes.is_empty() {
            bytes.push(b' ');
        }
        let size = bytes.len();
        match self {
            Self::Delete(at, length) => {
                let from = at.index(size);
                bytes.drain(from..(from + length).min(size));
            }
            Self::Double(at, length) => {
                let from = at.index(size);
                let piece = bytes[from..(from + length).min(size)].to_vec();
                bytes.splice(from..from, piece);
            }
            Self::Insert(at, text) => {
                let from = at.index(size);
                bytes.splice(from..from, text.bytes());
            }
            Self::Flip(at, with) => bytes[at.index(size)] ^= with,
            Self::Swap(from, to, length) => {
                let (from, to) = (from.index(size), to.index(size));
                let piece = bytes[from..(from + length).min(size)].to_vec();
                let end = (to + piece.len()).min(size);
                bytes.splice(to..end, piece);
            }
            Self::Splice(from, to) => {
                bytes.truncate(from.index(size));
                if !other.is_empty() {
                    bytes.extend_from_slice(&other[to.index(other.len())..]);
                }
            }
        }
    }
}

/// A seed with up to a dozen changes.
pub fn mutated(seeds: Vec<Vec<u8>>, words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    (select(seeds.clone()), select(seeds), prop::collection::vec(edit(words), 0..12)).prop_map(|(mut bytes, other, edits)| {
        for edit in edits {
            edit.apply(&mut bytes, &other);
        }
        bytes
    })
}

/// The same as text: what is not UTF-8 is refused before any of these is asked.
pub fn mutated_text(seeds: Vec<String>, words: &'static [&'static str]) -> impl Strategy<Value = String> {
    mutated(seeds.into_iter().map(String::into_bytes).collect(), words)
        .prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
