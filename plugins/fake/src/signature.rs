//! Bondi's signatures: HMAC-SHA256 over `{timestamp}.{action}.{rawBody}` with the token as the key, in both directions.

use aws_lc_rs::hmac;
use cutover_api::{Secret, Span, Stamp};

/// How far a timestamp may be from the verifier's clock, either way.
const WINDOW: Span = Span::minutes(5);

/// The three headers of a signed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// `x-bondi-timestamp`: unix seconds.
    pub timestamp: String,
    /// `x-bondi-action`.
    pub action: String,
    /// `x-bondi-signature`: `sha256=` and 64 hex digits.
    pub signature: String,
}

/// Why a signed call was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSigned {
    /// A header is not there.
    MissingHeaders,
    /// The timestamp is more than five minutes away, or none.
    ExpiredTimestamp,
    /// No token that is accepted made it.
    InvalidSignature,
}

impl NotSigned {
    /// The reason as the verifier words it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::MissingHeaders => "missing_headers",
            Self::ExpiredTimestamp => "expired_timestamp",
            Self::InvalidSignature => "invalid_signature",
        }
    }
}

impl Signed {
    /// Signs a body at `now`.
    #[must_use]
    pub fn new(token: &Secret, action: &str, body: &[u8], now: Stamp) -> Self {
        let timestamp = now.0.div_euclid(1_000).to_string();
        let tag = hmac::sign(&key(token), &message(&timestamp, action, body));
        Self { timestamp, action: action.to_owned(), signature: format!("sha256={}", hex::encode(tag.as_ref())) }
    }

    /// Which of these tokens made it: the place of the first.
    ///
    /// # Errors
    /// The timestamp is out of the window, or none of them made it.
    pub fn made_by<'a>(
        &self,
        tokens: impl IntoIterator<Item = &'a Secret>,
        body: &[u8],
        now: Stamp,
    ) -> Result<usize, NotSigned> {
        let at = self.timestamp.parse::<i64>().map_err(|_| NotSigned::ExpiredTimestamp)?;
        let at = Stamp(at.saturating_mul(1_000));
        if now.since(at).max(at.since(now)) > WINDOW {
            return Err(NotSigned::ExpiredTimestamp);
        }
        let tag = self.signature.strip_prefix("sha256=").and_then(|hex| hex::decode(hex).ok());
        let tag = tag.ok_or(NotSigned::InvalidSignature)?;
        let message = message(&self.timestamp, &self.action, body);
        let mut tokens = tokens.into_iter();
        tokens.position(|token| hmac::verify(&key(token), &message, &tag).is_ok()).ok_or(NotSigned::InvalidSignature)
    }
}

fn key(token: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, token.expose().as_bytes())
}

fn message(timestamp: &str, action: &str, body: &[u8]) -> Vec<u8> {
    [timestamp.as_bytes(), b".", action.as_bytes(), b".", body].concat()
}

#[cfg(test)]
mod tests {
    use cutover_api::{Secret, Span, Stamp};

    use super::{NotSigned, Signed};

    #[test]
    fn a_signature_holds_for_its_token_its_body_and_five_minutes() {
        let (ours, other) = (Secret::new("bnd_tok_a".to_owned()), Secret::new("bnd_tok_b".to_owned()));
        let now = Stamp(1_000_000_000);
        let signed = Signed::new(&ours, "order.created", b"{}", now);
        assert_eq!(signed.made_by([&other, &ours], b"{}", now), Ok(1));
        assert_eq!(signed.made_by([&other], b"{}", now), Err(NotSigned::InvalidSignature));
        assert_eq!(signed.made_by([&ours], b"{ }", now), Err(NotSigned::InvalidSignature));
        assert_eq!(signed.made_by([&ours], b"{}", now.plus(Span::minutes(5))), Ok(0));
        let late = now.plus(Span::minutes(5)).plus(Span::SECOND);
        assert_eq!(signed.made_by([&ours], b"{}", late), Err(NotSigned::ExpiredTimestamp));
    }

    /// HMAC-SHA256 with key `bnd_tok_test` over `1700000000.ping.{"a":1}`, computed by another implementation.
    #[test]
    fn the_signature_is_the_one_everybody_computes() {
        let token = Secret::new("bnd_tok_test".to_owned());
        let signed = Signed::new(&token, "ping", br#"{"a":1}"#, Stamp(1_700_000_000_999));
        assert_eq!(signed.signature, "sha256=7d9849dbe417d1e1c2ddc66b9615e7e16443b7cbe8b463b9f59fb90508c80a64");
    }
}
