//! Values that we choose ourselves: `generate`.

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cutover_api::{Reader, Secret};
use zeroize::Zeroizing;

/// How a value is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generator {
    /// So many of `[A-Za-z0-9]`.
    Alphanumeric(usize),
    /// So many of `[0-9a-f]`.
    Hex(usize),
    /// So many of `[A-Za-z0-9_-]`.
    Base64Url(usize),
    /// A random UUID (version 4).
    Uuid,
}

/// Fewer characters than this can be guessed.
const SHORTEST: usize = 16;
/// More than this no header or form takes.
const LONGEST: usize = 4096;

impl Generator {
    /// Reads `generate`; its only key is `new.secret`.
    pub(crate) fn load(root: &Reader<'_>) -> Option<Self> {
        let table = root.table("generate")?;
        let known = "\"alphanumeric:N\", \"hex:N\", \"base64url:N\" (N characters, from 16 to 4096) or \"uuid\"";
        let text = table.require_text("new.secret", known);
        table.finish();
        let text = text?;
        let made = Self::named(text);
        if made.is_none() {
            table.wrong("new.secret", format!("\"{text}\" is no way to make a value"), known);
        }
        made
    }

    fn named(text: &str) -> Option<Self> {
        if text == "uuid" {
            return Some(Self::Uuid);
        }
        let (kind, length) = text.split_once(':')?;
        let length = length.parse().ok().filter(|n| (SHORTEST..=LONGEST).contains(n))?;
        match kind {
            "alphanumeric" => Some(Self::Alphanumeric(length)),
            "hex" => Some(Self::Hex(length)),
            "base64url" => Some(Self::Base64Url(length)),
            _ => None,
        }
    }

    /// How many characters come out.
    pub(crate) const fn length(self) -> usize {
        match self {
            Self::Alphanumeric(n) | Self::Hex(n) | Self::Base64Url(n) => n,
            Self::Uuid => 36,
        }
    }

    /// A fresh value. `None` only when the system has no randomness to give.
    pub(crate) fn make(self) -> Option<Secret> {
        let text = match self {
            Self::Alphanumeric(length) => alphanumeric(length)?,
            Self::Hex(length) => {
                let mut text = hex::encode(&*random(length.div_ceil(2))?);
                text.truncate(length);
                text
            }
            Self::Base64Url(length) => {
                let mut text = URL_SAFE_NO_PAD.encode(&*random(length)?);
                text.truncate(length);
                text
            }
            Self::Uuid => uuid(&random(16)?),
        };
        Some(Secret::new(text))
    }
}

fn random(length: usize) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    rand::fill(&mut bytes).ok()?;
    Some(bytes)
}

/// Draws again instead of folding, so that every character is equally likely.
fn alphanumeric(length: usize) -> Option<String> {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let fair = random(length)?;
        let fair = fair.iter().filter(|byte| **byte < 248);
        text.extend(fair.take(length - text.len()).map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])));
    }
    Some(text)
}

fn uuid(bytes: &[u8]) -> String {
    let mut bytes = Zeroizing::new(bytes.to_vec());
    if let Some(version) = bytes.get_mut(6) {
        *version = *version & 0x0f | 0x40;
    }
    if let Some(variant) = bytes.get_mut(8) {
        *variant = *variant & 0x3f | 0x80;
    }
    let plain = Zeroizing::new(hex::encode(&*bytes));
    let mut text = String::with_capacity(36);
    for (n, letter) in plain.chars().enumerate() {
        if matches!(n, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(letter);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::Generator;

    #[test]
    fn values_have_the_length_and_the_letters_asked_for() {
        for (said, length, letters) in [
            ("alphanumeric:40", 40, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"),
            ("hex:33", 33, "0123456789abcdef"),
            ("base64url:64", 64, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
            ("uuid", 36, "0123456789abcdef-"),
        ] {
            let generator = Generator::named(said).expect("known");
            let (one, two) = (generator.make().expect("random"), generator.make().expect("random"));
            assert_eq!(one.expose().len(), length, "{said}");
            assert_eq!(generator.length(), length, "{said}");
            assert!(one.expose().chars().all(|c| letters.contains(c)), "{said}");
            assert!(!one.same_as(&two), "{said} gave the same value twice");
        }
    }

    #[test]
    fn a_uuid_says_its_version_and_variant() {
        let made = Generator::Uuid.make().expect("random");
        let parts: Vec<_> = made.expose().split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(&made.expose()[14..15], "4");
        assert!("89ab".contains(&made.expose()[19..20]));
    }

    #[test]
    fn too_short_too_long_and_unknown_are_no_generators() {
        for said in ["hex:15", "hex:4097", "hex:", "hex", "hex:-1", "octal:32", "uuid:36", ""] {
            assert_eq!(Generator::named(said), None, "{said}");
        }
    }
}
