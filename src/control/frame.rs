//! The one thing that crosses the socket and is no line: the value of a `submit`. It is never JSON, never in a request, never buffered by
//! anything that is not wiped.
//!
//! The request announces its length; the daemon says whether it would be taken and asks for it (`{"v":1,"item":{"send":N}}`); then exactly
//! N bytes follow. So a value never crosses that would be refused, and never lies in a buffer of lines.

use std::time::Duration;

use cutover_api::Secret;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::{Zeroize as _, Zeroizing};

use super::wire::Refused;
use crate::engine::LONGEST_VALUE;

/// Asks for the value.
#[must_use]
pub(super) fn go_ahead(bytes: usize) -> Value {
    json!({ "send": bytes })
}

/// How many bytes are asked for, where this item asks for a value.
#[must_use]
pub(super) fn asked(item: &Value) -> Option<usize> {
    item.as_object().filter(|object| object.len() == 1)?.get("send")?.as_u64().and_then(|bytes| usize::try_from(bytes).ok())
}

/// Whether so many bytes may be announced.
///
/// # Errors
/// They may not.
pub(super) fn check_length(bytes: usize) -> Result<(), Refused> {
    if (1..=LONGEST_VALUE).contains(&bytes) {
        return Ok(());
    }
    Err(Refused::usage(format!("a value has 1 to {LONGEST_VALUE} bytes")))
}

/// Reads exactly the announced bytes, within `deadline`.
///
/// # Errors
/// They did not come, or are no text. What came is wiped.
pub(super) async fn receive(from: &mut (impl AsyncRead + Unpin), bytes: usize, deadline: Duration) -> Result<Secret, Refused> {
    check_length(bytes)?;
    let mut value = Zeroizing::new(vec![0_u8; bytes]);
    match tokio::time::timeout(deadline, from.read_exact(&mut value)).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) => return Err(Refused::usage("the value was cut: nothing was changed")),
        Err(_) => return Err(Refused::usage("the value did not come in time: nothing was changed")),
    }
    match String::from_utf8(std::mem::take(&mut *value)) {
        Ok(text) => Ok(Secret::new(text)),
        Err(wrong) => {
            wrong.into_bytes().zeroize();
            Err(Refused::usage("the value is no text: nothing was changed"))
        }
    }
}

/// Sends the value as it is.
///
/// # Errors
/// The other end did not take it.
pub(super) async fn send(to: &mut (impl AsyncWrite + Unpin), value: &Secret) -> std::io::Result<()> {
    to.write_all(value.expose().as_bytes()).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cutover_api::Secret;
    use serde_json::json;

    use super::{LONGEST_VALUE, asked, go_ahead, receive, send};

    const SOON: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn exactly_what_was_announced_is_taken() {
        let (mut client, mut daemon) = tokio::io::duplex(64);
        let value = Secret::new("pa_live_x".into());
        send(&mut client, &value).await.unwrap();
        assert!(receive(&mut daemon, 9, SOON).await.unwrap().same_as(&value));
        send(&mut client, &value).await.unwrap();
        drop(client);
        let cut = receive(&mut daemon, 10, SOON).await.err().unwrap();
        assert!(cut.reason.contains("cut"), "{}", cut.reason);
    }

    #[tokio::test]
    async fn what_is_no_text_or_of_no_length_is_refused_without_being_repeated() {
        let (mut client, mut daemon) = tokio::io::duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut client, &[0xff, 0xfe, b's', b'e']).await.unwrap();
        let refused = receive(&mut daemon, 4, SOON).await.err().unwrap();
        assert!(refused.reason.contains("no text"), "{}", refused.reason);
        assert!(receive(&mut daemon, 0, SOON).await.is_err());
        assert!(receive(&mut daemon, LONGEST_VALUE + 1, SOON).await.is_err());
    }

    #[test]
    fn only_the_go_ahead_asks() {
        assert_eq!(asked(&go_ahead(9)), Some(9));
        for other in [json!({}), json!({ "send": -1 }), json!({ "send": 9, "x": 1 }), json!([9]), json!(null)] {
            assert_eq!(asked(&other), None, "{other}");
        }
    }
}
