//! Sealing: secret values are encrypted under a key that is not in the ledger, each bound to its place.
//!
//! A record is `format (1) | key id (8) | nonce (12) | ciphertext and tag`, AES-256-GCM-SIV. What is authenticated beside the value:
//! the ledger's id, the rotation, the slot, the format and the key id; so a record moved to another place, or to another ledger that
//! has the same key, does not open.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::{digest, hkdf, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cutover_api::Secret;
use zeroize::{Zeroize, Zeroizing};

const PREFIX: &str = "cutover-seal-v1:";
const KEY_LEN: usize = 32;
const ENCODED_LEN: usize = 43;
const CHECK_LEN: usize = 8;
const FORMAT: u8 = 1;
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
const HEADER_LEN: usize = 1 + KeyId::LEN + NONCE_LEN;

/// One sealing key: 32 bytes, wiped when dropped, never printed.
pub struct SealKey(Zeroizing<[u8; KEY_LEN]>);

/// The sealing keys: the first seals, all open.
pub struct SealKeys(Vec<SealKey>);

/// Why a text is not a sealing key. Keys are counted from 1; nothing of them is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealKeyError {
    /// There is no key at all.
    None,
    /// The key of this number is not what `cutover keygen` prints.
    Shape(usize),
    /// The key of this number looks right, but its checksum tells of a typing or copying error.
    Checksum(usize),
    /// The key of this number stands in the list before.
    Twice(usize),
    /// The system gave no random bytes.
    Random,
}

/// Why a record was not sealed or did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SealError {
    /// It was sealed with a key that is not in the list.
    UnknownKey,
    /// It is not a record, or not the record of this place.
    Damaged,
    /// The cipher or the random source failed.
    Crypto,
}

/// Names a key without giving it away: the first bytes of a hash of the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct KeyId(pub(crate) [u8; Self::LEN]);

/// The keys as one ledger uses them: sealing and MAC keys derived for its id.
pub(crate) struct Keyring {
    ledger: [u8; 16],
    keys: Vec<Derived>,
}

struct Derived {
    id: KeyId,
    cipher: RandomizedNonceKey,
    mac: hmac::Key,
}

impl SealKeys {
    /// Reads the keys of the configuration, the sealing one first. White space around a key is ignored.
    ///
    /// # Errors
    /// Which key is not one, and how.
    pub fn parse(texts: &[Secret]) -> Result<Self, SealKeyError> {
        let mut keys: Vec<SealKey> = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let key = SealKey::parse(text, index + 1)?;
            if keys.iter().any(|known| known.id() == key.id()) {
                return Err(SealKeyError::Twice(index + 1));
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(SealKeyError::None) } else { Ok(Self(keys)) }
    }

    /// A new key as text, for `cutover keygen`.
    ///
    /// # Errors
    /// [`SealKeyError::Random`].
    pub fn generate() -> Result<Secret, SealKeyError> {
        let mut key = SealKey(Zeroizing::new([0; KEY_LEN]));
        rand::fill(key.0.as_mut_slice()).map_err(|_| SealKeyError::Random)?;
        // All the room at once: a text that grows leaves copies behind.
        let mut text = String::with_capacity(PREFIX.len() + ENCODED_LEN + 1 + CHECK_LEN);
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(key.0.as_slice(), &mut text);
        text.push('.');
        text.push_str(&key.checksum());
        Ok(Secret::new(text))
    }
}

impl SealKey {
    fn parse(text: &Secret, number: usize) -> Result<Self, SealKeyError> {
        let body = text.expose().trim().strip_prefix(PREFIX).ok_or(SealKeyError::Shape(number))?;
        let (encoded, checksum) = body.split_once('.').ok_or(SealKeyError::Shape(number))?;
        if encoded.len() != ENCODED_LEN || checksum.len() != CHECK_LEN {
            return Err(SealKeyError::Shape(number));
        }
        let mut key = Self(Zeroizing::new([0; KEY_LEN]));
        match URL_SAFE_NO_PAD.decode_slice(encoded, key.0.as_mut_slice()) {
            Ok(KEY_LEN) if key.checksum().eq_ignore_ascii_case(checksum) => Ok(key),
            Ok(KEY_LEN) => Err(SealKeyError::Checksum(number)),
            _ => Err(SealKeyError::Shape(number)),
        }
    }

    fn hash(&self, label: &[u8]) -> digest::Digest {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(label);
        context.update(self.0.as_slice());
        context.finish()
    }

    fn checksum(&self) -> String {
        hex::encode(&self.hash(b"cutover seal key checksum\0").as_ref()[..CHECK_LEN / 2])
    }

    fn id(&self) -> KeyId {
        let mut id = [0; KeyId::LEN];
        id.copy_from_slice(&self.hash(b"cutover seal key id\0").as_ref()[..KeyId::LEN]);
        KeyId(id)
    }

    fn derive(&self, ledger: &[u8; 16], label: &[u8]) -> Result<Zeroizing<[u8; KEY_LEN]>, SealError> {
        let mut out = Zeroizing::new([0; KEY_LEN]);
        hkdf::Salt::new(hkdf::HKDF_SHA256, ledger)
            .extract(self.0.as_slice())
            .expand(&[label], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(out.as_mut_slice()))
            .map_err(|_| SealError::Crypto)?;
        Ok(out)
    }
}

impl KeyId {
    pub(crate) const LEN: usize = 8;

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Keyring {
    pub(crate) fn derive(keys: &SealKeys, ledger: [u8; 16]) -> Result<Self, SealError> {
        let keys = keys.0.iter().map(|key| {
            let cipher = key.derive(&ledger, b"cutover ledger seal v1")?;
            let mac = key.derive(&ledger, b"cutover ledger row mac v1")?;
            Ok(Derived {
                id: key.id(),
                cipher: RandomizedNonceKey::new(&AES_256_GCM_SIV, cipher.as_slice()).map_err(|_| SealError::Crypto)?,
                mac: hmac::Key::new(hmac::HMAC_SHA256, mac.as_slice()),
            })
        });
        Ok(Self { ledger, keys: keys.collect::<Result<_, SealError>>()? })
    }

    /// The key that seals now.
    fn first(&self) -> Result<&Derived, SealError> {
        self.keys.first().ok_or(SealError::Crypto)
    }

    pub(crate) fn first_id(&self) -> Result<KeyId, SealError> {
        Ok(self.first()?.id)
    }

    fn find(&self, id: KeyId) -> Option<&Derived> {
        self.keys.iter().find(|key| key.id == id)
    }

    pub(crate) fn knows(&self, id: KeyId) -> bool {
        self.find(id).is_some()
    }

    /// The MAC of `bytes` with the key that seals now.
    pub(crate) fn mac(&self, bytes: &[u8]) -> Result<(KeyId, [u8; 32]), SealError> {
        let key = self.first()?;
        let mut mac = [0; 32];
        mac.copy_from_slice(hmac::sign(&key.mac, bytes).as_ref());
        Ok((key.id, mac))
    }

    /// Whether `mac` is the MAC of `bytes` with the key `id`.
    pub(crate) fn verify(&self, id: KeyId, bytes: &[u8], mac: &[u8]) -> Result<(), SealError> {
        let key = self.find(id).ok_or(SealError::UnknownKey)?;
        hmac::verify(&key.mac, bytes, mac).map_err(|_| SealError::Damaged)
    }

    fn aad(&self, key: KeyId, rotation: &str, slot: &str) -> Vec<u8> {
        let mut aad = Vec::with_capacity(64 + rotation.len() + slot.len());
        aad.extend_from_slice(b"cutover sealed\0");
        aad.push(FORMAT);
        aad.extend_from_slice(&key.0);
        aad.extend_from_slice(&self.ledger);
        for part in [rotation, slot] {
            aad.extend_from_slice(&(part.len() as u64).to_be_bytes());
            aad.extend_from_slice(part.as_bytes());
        }
        aad
    }

    /// Seals `value` for its place.
    pub(crate) fn seal(&self, rotation: &str, slot: &str, value: &Secret) -> Result<Vec<u8>, SealError> {
        let key = self.first()?;
        let plain = value.expose().as_bytes();
        // Room for the tag from the start: the clear text is overwritten where it stands and nowhere copied by growth.
        let mut body = Vec::with_capacity(plain.len() + TAG_LEN);
        body.extend_from_slice(plain);
        let nonce = match key.cipher.seal_in_place_append_tag(Aad::from(self.aad(key.id, rotation, slot)), &mut body) {
            Ok(nonce) => nonce,
            Err(_) => {
                body.zeroize();
                return Err(SealError::Crypto);
            }
        };
        let mut record = Vec::with_capacity(HEADER_LEN + body.len());
        record.push(FORMAT);
        record.extend_from_slice(&key.id.0);
        record.extend_from_slice(nonce.as_ref());
        record.extend_from_slice(&body);
        Ok(record)
    }

    /// Opens a record in its place.
    pub(crate) fn open(&self, rotation: &str, slot: &str, record: &[u8]) -> Result<Secret, SealError> {
        if record.len() < HEADER_LEN + TAG_LEN || record[0] != FORMAT {
            return Err(SealError::Damaged);
        }
        let id = KeyId::from_bytes(&record[1..=KeyId::LEN]).ok_or(SealError::Damaged)?;
        let key = self.find(id).ok_or(SealError::UnknownKey)?;
        let nonce = Nonce::try_assume_unique_for_key(&record[1 + KeyId::LEN..HEADER_LEN]).map_err(|_| SealError::Damaged)?;
        let mut body = record[HEADER_LEN..].to_vec();
        let Ok(len) =
            key.cipher.open_in_place(nonce, Aad::from(self.aad(id, rotation, slot)), &mut body).map(|plain| plain.len())
        else {
            body.zeroize();
            return Err(SealError::Damaged);
        };
        body.truncate(len);
        String::from_utf8(body).map(Secret::new).map_err(|error| {
            error.into_bytes().zeroize();
            SealError::Damaged
        })
    }
}

impl fmt::Display for SealKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no sealing key is given: make one with `cutover keygen`"),
            Self::Shape(n) => write!(f, "sealing key {n} is not a key that `cutover keygen` printed ({PREFIX}…)"),
            Self::Checksum(n) => write!(f, "sealing key {n} was mistyped or cut: its checksum does not fit"),
            Self::Twice(n) => write!(f, "sealing key {n} stands in the list twice"),
            Self::Random => f.write_str("the system gave no random bytes: no key was made"),
        }
    }
}

impl std::error::Error for SealKeyError {}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownKey => "made with a sealing key that is not in the list",
            Self::Damaged => "not what was written in this place",
            Self::Crypto => "the cipher or the random source failed",
        })
    }
}

#[cfg(test)]
mod tests {
    use cutover_api::Secret;
    use proptest::prelude::*;

    use super::{Keyring, SealError, SealKeyError, SealKeys};

    fn keys(texts: &[&Secret]) -> SealKeys {
        let texts: Vec<Secret> = texts.iter().map(|text| text.duplicate()).collect();
        SealKeys::parse(&texts).unwrap()
    }

    #[test]
    fn a_generated_key_parses_and_a_typo_is_told() {
        let text = SealKeys::generate().unwrap();
        assert!(SealKeys::parse(&[Secret::new(format!("  {}\n", text.expose()))]).is_ok());
        let mut other = text.expose().to_owned();
        let at = 20;
        let swapped = if &other[at..=at] == "A" { "B" } else { "A" };
        other.replace_range(at..=at, swapped);
        assert_eq!(SealKeys::parse(&[Secret::new(other)]).err(), Some(SealKeyError::Checksum(1)));
        assert_eq!(SealKeys::parse(&[Secret::new("hunter2".to_owned())]).err(), Some(SealKeyError::Shape(1)));
        assert_eq!(SealKeys::parse(&[text.duplicate(), text]).err(), Some(SealKeyError::Twice(2)));
        assert_eq!(SealKeys::parse(&[]).err(), Some(SealKeyError::None));
    }

    #[test]
    fn a_record_opens_only_in_its_place_and_ledger() {
        let text = SealKeys::generate().unwrap();
        let ring = Keyring::derive(&keys(&[&text]), [7; 16]).unwrap();
        let record = ring.seal("r1", "new", &Secret::new("value".to_owned())).unwrap();
        assert_eq!(ring.open("r1", "new", &record).unwrap().expose(), "value");
        assert_eq!(ring.open("r2", "new", &record).err(), Some(SealError::Damaged));
        assert_eq!(ring.open("r1", "old", &record).err(), Some(SealError::Damaged));
        assert_eq!(ring.open("r1n", "ew", &record).err(), Some(SealError::Damaged));
        let elsewhere = Keyring::derive(&keys(&[&text]), [8; 16]).unwrap();
        assert_eq!(elsewhere.open("r1", "new", &record).err(), Some(SealError::Damaged));
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let (old, new) = (SealKeys::generate().unwrap(), SealKeys::generate().unwrap());
        let before = Keyring::derive(&keys(&[&old]), [0; 16]).unwrap();
        let both = Keyring::derive(&keys(&[&new, &old]), [0; 16]).unwrap();
        let after = Keyring::derive(&keys(&[&new]), [0; 16]).unwrap();
        let record = before.seal("r", "s", &Secret::new("v".to_owned())).unwrap();
        assert_eq!(both.open("r", "s", &record).unwrap().expose(), "v");
        assert_eq!(after.open("r", "s", &record).err(), Some(SealError::UnknownKey));
        let again = both.seal("r", "s", &Secret::new("v".to_owned())).unwrap();
        assert_eq!(after.open("r", "s", &again).unwrap().expose(), "v");
    }

    proptest! {
        #[test]
        fn every_flipped_bit_is_found(value in ".{0,200}", bit in any::<prop::sample::Index>()) {
            let ring = Keyring::derive(&keys(&[&SealKeys::generate().unwrap()]), [1; 16]).unwrap();
            let mut record = ring.seal("r", "s", &Secret::new(value.clone())).unwrap();
            let opened = ring.open("r", "s", &record).unwrap();
            prop_assert_eq!(opened.expose(), value.as_str());
            let bit = bit.index(record.len() * 8);
            record[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(ring.open("r", "s", &record).is_err());
        }
    }
}
