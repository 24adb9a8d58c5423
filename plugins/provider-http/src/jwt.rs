//! Reads when a token dies, without believing anything else it says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cutover_api::{Secret, Stamp};
use zeroize::Zeroizing;

/// Longer than this is no token a header could carry.
const LONGEST: usize = 64 * 1024;

/// A date that late never comes.
const YEAR_10000: f64 = 253_402_300_800.0;

/// `exp` of a JWT; `None` for anything that is not one, or has none. The signature is not checked: only the holder of the token is
/// warned by it, and nothing is allowed because of it.
pub(crate) fn expiry(token: &Secret) -> Option<Stamp> {
    let text = token.expose().trim();
    if text.len() > LONGEST {
        return None;
    }
    let mut parts = text.split('.');
    let (header, claims, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || object(header).is_none() {
        return None;
    }
    let seconds = object(claims)?.get("exp")?.as_f64().filter(|n| n.is_finite() && *n > 0.0)?;
    if seconds >= YEAR_10000 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded by the line above")]
    Some(Stamp((seconds * 1_000.0) as i64))
}

fn object(part: &str) -> Option<serde_json::Map<String, serde_json::Value>> {
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?);
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use cutover_api::{Secret, Stamp};

    use super::expiry;

    fn token(claims: &str) -> Secret {
        Secret::new(format!("{}.{}.sig", URL_SAFE_NO_PAD.encode("{\"alg\":\"HS256\"}"), URL_SAFE_NO_PAD.encode(claims)))
    }

    #[test]
    fn exp_is_read_in_seconds() {
        assert_eq!(expiry(&token("{\"exp\":1800000000}")), Some(Stamp(1_800_000_000_000)));
        assert_eq!(expiry(&token("{\"exp\":1800000000.5}")), Some(Stamp(1_800_000_000_500)));
    }

    #[test]
    fn what_is_no_jwt_tells_nothing() {
        assert_eq!(expiry(&Secret::new("pa_live_abc".into())), None);
        assert_eq!(expiry(&Secret::new("a.b.c".into())), None);
        assert_eq!(expiry(&Secret::new("v1.2.3.4".into())), None);
        assert_eq!(expiry(&token("{}")), None);
        assert_eq!(expiry(&token("{\"exp\":\"soon\"}")), None);
        assert_eq!(expiry(&token("{\"exp\":0}")), None);
        assert_eq!(expiry(&token("{\"exp\":1e300}")), None);
        assert_eq!(expiry(&token("[1]")), None);
    }
}
