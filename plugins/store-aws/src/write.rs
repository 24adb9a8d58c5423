//! The compare-and-set of a secret.
//!
//! Secrets Manager has no conditional write, but it has one conditional step: a label is only moved away from the version it is named
//! to be on. So a new version is put under `AWSPENDING`, read back, and then `AWSCURRENT` is moved from the expected version to it.
//! The version's id is derived from what is to be written, so the same write is recognised when it is sent again.

use cutover_api::{Cause, Change, Class, Secret};
use cutover_json_edit::Names;
use zeroize::Zeroizing;

use crate::calls::{CURRENT, Calls, Move, PENDING, Version, Which};
use crate::fault::{Fault, Result};

const STEP: &str = "write";
/// The largest text a version can hold, in bytes.
const LARGEST: usize = 65_536;
/// The ids of versions that cutover makes begin with this.
pub(crate) const OURS: &str = "cutover-";
/// How often a reply that lags is asked for again.
const LOOKS: u32 = 10;

/// What stands at a path.
pub(crate) enum Found {
    /// No secret.
    Nothing,
    /// A secret without a current version.
    Empty,
    /// A secret with a value.
    Value(Version),
}

impl Found {
    /// The id of the current version.
    pub(crate) fn version(&self) -> Option<&str> {
        match self {
            Self::Value(version) => Some(&version.id),
            Self::Nothing | Self::Empty => None,
        }
    }
}

/// Reads the current version, and tells a secret that is missing from one without a value and from one on its way out.
pub(crate) async fn find(calls: &Calls, secret: &str, step: &str) -> Result<Found> {
    let fault = match calls.get(secret, Which::Current, step).await {
        Ok(version) => return Ok(Found::Value(version)),
        Err(fault) => fault,
    };
    if !matches!(fault.code(), Some("ResourceNotFoundException" | "InvalidRequestException")) {
        return Err(fault);
    }
    match calls.describe(secret, step).await {
        Err(missing) if missing.code() == Some("ResourceNotFoundException") => Ok(Found::Nothing),
        Err(fault) => Err(fault),
        Ok(outline) if outline.deleted => {
            let hint = "the secret is scheduled for deletion; restore it (aws secretsmanager restore-secret) or name another";
            Err(Fault::refused(Class::Refused, step, hint))
        }
        Ok(outline) if outline.labels.contains_key(CURRENT) => Err(fault),
        Ok(_) => Ok(Found::Empty),
    }
}

/// Refuses where another's rotation is under way: its pending version is not ours to push aside.
pub(crate) async fn check_pending(calls: &Calls, secret: &str, step: &str) -> Result<()> {
    let outline = calls.describe(secret, step).await?;
    let current = outline.labels.get(CURRENT);
    match outline.labels.get(PENDING) {
        Some(id) if Some(id) != current && !id.starts_with(OURS) => Err(Fault::refused(
            Class::Exists,
            step,
            "another rotation of this secret is under way (AWSPENDING is on a version that is not cutover's); finish or cancel it",
        )),
        _ => Ok(()),
    }
}

/// Writes; answers with the id of the version that is current afterwards.
pub(crate) async fn write(calls: &Calls, secret: &str, bare: bool, change: &Change<'_>) -> Result<String> {
    let token = token(secret, change);
    let found = find(calls, secret, STEP).await.map_err(Fault::before_writing)?;
    if found.version() == Some(&token) {
        // The reply to this very write was lost, or the daemon crashed after it.
        tidy(calls, secret, &token).await;
        return Ok(token);
    }
    if matches!(found, Found::Nothing) {
        return Err(Fault::refused(Class::Gone, STEP, "the secret is not there; create it first, cutover makes none"));
    }
    if found.version() != change.expected.as_deref() {
        return Err(changed());
    }
    let old = match &found {
        Found::Value(version) => Some(version.text.as_str()),
        Found::Nothing | Found::Empty => None,
    };
    let text = edited(old, bare, change)?;
    if let Found::Value(version) = &found
        && *version.text == *text
    {
        return Ok(version.id.clone());
    }
    check_pending(calls, secret, STEP).await.map_err(Fault::before_writing)?;
    calls.put(secret, &token, &text, PENDING, STEP).await?;
    see_put(calls, secret, &token, &text).await?;
    promote(calls, secret, &token, found.version()).await?;
    tidy(calls, secret, &token).await;
    Ok(token)
}

fn changed() -> Fault {
    Fault::refused(Class::Exists, STEP, "the secret was changed since it was read; nothing was replaced")
}

/// Waits until the new version can be read, and is what was put.
async fn see_put(calls: &Calls, secret: &str, token: &str, text: &str) -> Result<()> {
    let mut pause = calls.pause;
    for _ in 0..LOOKS {
        match calls.get(secret, Which::Id(token), STEP).await {
            Ok(version) if *version.text == *text => return Ok(()),
            Ok(_) => {
                return Err(Fault::refused(
                    Class::Exists,
                    STEP,
                    "a version with this id holds another content; nothing was replaced",
                ));
            }
            Err(Fault::Refused(refusal)) if !matches!(refusal.class, Class::Gone | Class::Throttle | Class::Unsent) => {
                return Err(Fault::Unknown(Cause::new(STEP, "unreadable").hint(format!(
                    "the new version was put, but reading it back was refused ({}); it is not current yet",
                    refusal.class.label()
                ))));
            }
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = pause * 3 / 2;
    }
    Err(Fault::Unknown(
        Cause::new(STEP, "stale").hint("the new version was put but could not be read back yet; it is not current yet"),
    ))
}

/// Moves `AWSCURRENT` from the expected version to the new one. The one step that readers see, and that AWS itself compares.
async fn promote(calls: &Calls, secret: &str, token: &str, expected: Option<&str>) -> Result<()> {
    let step = Move { label: CURRENT, to: Some(token), from: expected };
    if let Err(fault) = calls.relabel(secret, step, STEP).await {
        // The very first version of a secret becomes current by itself, and a lost reply may have been a yes: the labels tell.
        let Ok(outline) = calls.describe(secret, STEP).await else {
            let hint = "the move of AWSCURRENT was not confirmed, and the labels could not be looked at; look again";
            return Err(Fault::Unknown(Cause::new(STEP, "cut").hint(hint)));
        };
        let now = outline.labels.get(CURRENT).map(String::as_str);
        if now != Some(token) {
            if now == expected {
                return Err(fault);
            }
            tidy(calls, secret, token).await;
            return Err(changed());
        }
    }
    let mut pause = calls.pause;
    for _ in 0..LOOKS {
        match calls.get(secret, Which::Current, STEP).await {
            Ok(version) if version.id == token => return Ok(()),
            _ => tokio::time::sleep(pause).await,
        }
        pause = pause * 3 / 2;
    }
    Err(Fault::Unknown(
        Cause::new(STEP, "stale").hint("the new version was made current, but it is not read as such yet; look again"),
    ))
}

/// Takes `AWSPENDING` off our version, so that it does not stand in the way of others. If that fails it only stays untidy: cutover
/// pushes its own pending versions aside.
async fn tidy(calls: &Calls, secret: &str, token: &str) {
    let pending =
        calls.describe(secret, STEP).await.is_ok_and(|outline| outline.labels.get(PENDING).is_some_and(|id| id == token));
    if pending && calls.relabel(secret, Move { label: PENDING, to: None, from: Some(token) }, STEP).await.is_err() {
        tracing::warn!("AWSPENDING could not be taken off the version that was written");
    }
}

/// The content after the change.
fn edited(old: Option<&str>, bare: bool, change: &Change<'_>) -> Result<Zeroizing<String>> {
    let refused = |hint: String| Fault::refused(Class::Refused, STEP, hint);
    let text = if bare {
        match (change.set.get(""), change.set.len(), change.remove.is_empty()) {
            (Some(value), 1, true) => Zeroizing::new(value.expose().to_owned()),
            _ => return Err(refused("a bare secret holds one value, which can be set and not removed".to_owned())),
        }
    } else {
        let old = old.unwrap_or("{}");
        cutover_json_edit::edit(old, &change.set, &change.remove, Names::TopLevel)
            .map_err(|error| refused(error.to_string()))?
    };
    match text.len() {
        0 => Err(refused("Secrets Manager holds no empty value".to_owned())),
        1..=LARGEST => Ok(text),
        _ => Err(refused("the secret would be larger than the 65,536 bytes that Secrets Manager takes".to_owned())),
    }
}

/// The id of the version that this change makes: the same for the same change of the same version, another for any other.
///
/// The content of a version never changes, so the expected version and what is set and removed stand for the new content. Values
/// go in by their fingerprints only, as the id is visible to whom the values are not.
fn token(secret: &str, change: &Change<'_>) -> String {
    let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let mut part = |kind: &str, text: &str| {
        digest.update(kind.as_bytes());
        digest.update(&(text.len() as u64).to_be_bytes());
        digest.update(text.as_bytes());
    };
    part("rotation", &change.rotation);
    part("secret", secret);
    part(if change.expected.is_some() { "from" } else { "new" }, change.expected.as_deref().unwrap_or_default());
    for (name, value) in &change.set {
        part("set", name);
        part("value", &Secret::fingerprint(value).0);
    }
    change.remove.iter().for_each(|name| part("remove", name));
    let id = hex::encode(digest.finish());
    format!("{OURS}{}", &id[..48])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use cutover_api::{Change, Secret};

    use super::{LARGEST, edited, token};

    fn change<'a>(set: &[(&str, &'a Secret)], remove: &[&str], expected: Option<&str>, rotation: &str) -> Change<'a> {
        Change {
            set: set.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            remove: remove.iter().map(|name| (*name).to_owned()).collect(),
            expected: expected.map(ToOwned::to_owned),
            rotation: rotation.to_owned(),
        }
    }

    #[test]
    fn a_token_is_the_same_for_the_same_change_only() {
        let (v, w) = (Secret::new("v".to_owned()), Secret::new("w".to_owned()));
        let all = [
            token("s", &change(&[("a", &v)], &[], Some("1"), "r")),
            token("t", &change(&[("a", &v)], &[], Some("1"), "r")),
            token("s", &change(&[("a", &w)], &[], Some("1"), "r")),
            token("s", &change(&[("b", &v)], &[], Some("1"), "r")),
            token("s", &change(&[("a", &v)], &["b"], Some("1"), "r")),
            token("s", &change(&[("a", &v)], &[], Some("2"), "r")),
            token("s", &change(&[("a", &v)], &[], Some(""), "r")),
            token("s", &change(&[("a", &v)], &[], None, "r")),
            token("s", &change(&[("a", &v)], &[], Some("1"), "q")),
            token("s", &change(&[("a", &v), ("b", &v)], &[], Some("1"), "r")),
        ];
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        assert_eq!(all[0], token("s", &change(&[("a", &v)], &[], Some("1"), "r")));
        assert!(all.iter().all(|token| (32..=64).contains(&token.len())), "AWS takes 32 to 64 characters");
    }

    #[test]
    fn a_secret_that_does_not_fit_is_refused_before_anything_is_sent() {
        let fits = Secret::new("x".repeat(LARGEST));
        let larger = Secret::new("x".repeat(LARGEST + 1));
        let empty = Secret::new(String::new());
        assert!(edited(None, true, &change(&[("", &fits)], &[], None, "r")).is_ok());
        assert!(edited(None, true, &change(&[("", &larger)], &[], None, "r")).is_err());
        assert!(edited(None, true, &change(&[("", &empty)], &[], None, "r")).is_err());
        assert!(edited(None, true, &change(&[("", &fits)], &["x"], None, "r")).is_err());
        assert!(edited(Some("plain"), false, &change(&[("a", &empty)], &[], None, "r")).is_err());
        let kept = edited(Some("{\"n\": 1e999}"), false, &change(&[("a", &empty)], &[], None, "r"));
        assert!(kept.is_ok_and(|text| text.as_str() == "{\"n\": 1e999,\"a\": \"\"}"));
    }
}
