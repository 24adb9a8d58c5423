//! Values that look random and are not: the same calls in the same order make the same bytes.

use aws_lc_rs::digest::{SHA256, digest};

/// Draws values. They guard nothing: a double's keys are predictable on purpose.
#[derive(Debug)]
pub(crate) struct Dice {
    name: String,
    drawn: u64,
}

impl Dice {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), drawn: 0 }
    }

    /// The next 32 bytes.
    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        self.drawn += 1;
        sha256(format!("{}:{}", self.name, self.drawn).as_bytes())
    }

    /// 52 characters of the base32 alphabet of RFC 4648: 32 bytes.
    pub(crate) fn base32(&mut self) -> String {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let bytes = self.bytes();
        (0..52)
            .map(|at| {
                let bits = (0..5).map(|bit| bytes.get((at * 5 + bit) / 8).map_or(0, |b| b >> (7 - (at * 5 + bit) % 8) & 1));
                char::from(ALPHABET[usize::from(bits.fold(0, |n, bit| n << 1 | bit))])
            })
            .collect()
    }

    /// 12 hex digits, for ids.
    pub(crate) fn id(&mut self) -> String {
        hex::encode(&self.bytes()[..6])
    }
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::Dice;

    #[test]
    fn base32_holds_32_bytes_of_the_alphabet() {
        let text = Dice::new("x").base32();
        assert_eq!(text.len(), 52);
        assert!(text.bytes().all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b)));
        assert_ne!(text, Dice::new("y").base32());
        assert_eq!(text, Dice::new("x").base32());
    }
}
