//! Ids and nonces.

use aws_lc_rs::{digest, rand};

/// `n` characters of `[a-z0-9]`, from the system's generator.
///
/// # Errors
/// The generator failed: nothing may be minted.
pub fn random_text(n: usize) -> Result<String, String> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnopqrstuvwxyz0123456";
    let mut bytes = vec![0_u8; n];
    rand::fill(&mut bytes).map_err(|_| String::from("the system's random generator failed"))?;
    Ok(bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect())
}

/// A UUID (version 8) that the same parts always give.
#[must_use]
pub fn derived_uuid(parts: &[&str]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part.as_bytes());
        context.update(&[0]);
    }
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&context.finish().as_ref()[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// A seed that the same text always gives (FNV-1a).
#[must_use]
pub fn seed(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
