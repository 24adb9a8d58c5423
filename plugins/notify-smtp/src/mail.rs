//! One alert as one mail.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cutover_api::{Message, Stamp};
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox};

/// The longest subject.
const SUBJECT: usize = 400;

/// The mail's bytes; `None` when the library will not put it together.
pub(crate) fn compose(message: &Message, from: &Mailbox, to: &[Mailbox], now: Stamp) -> Option<Vec<u8>> {
    let header = |name: &'static str, value: String| HeaderValue::new(HeaderName::new_from_ascii_str(name), value);
    let mut mail = lettre::Message::builder()
        .from(from.clone())
        .subject(one_line(&message.subject, SUBJECT))
        .date(time(now))
        .message_id(Some(message_id(&message.id, from)))
        .raw_header(header("X-Cutover-Alert", one_line(&message.id, SUBJECT)))
        .raw_header(header("X-Cutover-Kind", one_line(&message.kind, SUBJECT)))
        .raw_header(header("Auto-Submitted", "auto-generated".to_owned()))
        .header(ContentType::TEXT_PLAIN);
    if let Some(rotation) = &message.rotation {
        // No mail bears this id: mail programs show those that refer to it as one conversation.
        mail = mail.references(message_id(&format!("rotation/{rotation}"), from));
    }
    for mailbox in to {
        mail = mail.to(mailbox.clone());
    }
    Some(mail.body(body(&message.text)?).ok()?.formatted())
}

/// As it is where every line is short ASCII, so that commands can be pasted even from the raw mail; else quoted-printable.
fn body(text: &str) -> Option<Body> {
    let text: String = text.chars().filter(|c| *c == '\n' || *c == '\t' || !c.is_control()).collect();
    Body::new_with_encoding(text.clone(), ContentTransferEncoding::SevenBit)
        .or_else(|_| Body::new_with_encoding(text, ContentTransferEncoding::QuotedPrintable))
        .ok()
}

/// Text without line breaks and other controls, which could begin another header.
fn one_line(text: &str, most: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect()
}

/// The same alert always bears the same id. Letters, digits, `-` and `_` stand as they are, other bytes as `=XX`, so two alerts never
/// share one.
fn message_id(id: &str, from: &Mailbox) -> String {
    let mut local = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => local.push(char::from(byte)),
            other => local.push_str(&format!("={other:02X}")),
        }
    }
    format!("<cutover.{local}@{}>", from.email.domain())
}

fn time(now: Stamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(now.0).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use cutover_api::{Message, Severity, Stamp};

    use super::compose;

    fn message(id: &str, kind: &str, subject: &str, text: &str) -> Message {
        Message {
            id: id.to_owned(),
            kind: kind.to_owned(),
            severity: Severity::Warning,
            environment: "prod".to_owned(),
            policies: vec!["crm".to_owned()],
            rotation: None,
            subject: subject.to_owned(),
            text: text.to_owned(),
            at: "2026-11-21T00:00:00Z".to_owned(),
            facts: serde_json::Value::Null,
        }
    }

    fn mail(message: &Message) -> String {
        let from = "Cutover <cutover@example.com>".parse().expect("an address");
        let to = ["ops@example.com".parse().expect("an address"), "dana@example.com".parse().expect("an address")];
        String::from_utf8(compose(message, &from, &to, Stamp(1_800_000_000_000)).expect("a mail")).expect("ASCII")
    }

    #[test]
    fn a_plain_alert_is_plain_to_read() {
        let mail = mail(&message("a1", "held", "[prod] crm is held", "cutover resume crm --rotation r1\n"));
        let expected = "From: Cutover <cutover@example.com>\r\n\
            Subject: [prod] crm is held\r\n\
            Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n\
            Message-ID: <cutover.a1@example.com>\r\n\
            X-Cutover-Alert: a1\r\n\
            X-Cutover-Kind: held\r\n\
            Auto-Submitted: auto-generated\r\n\
            Content-Type: text/plain; charset=utf-8\r\n\
            To: ops@example.com, dana@example.com\r\n\
            Content-Transfer-Encoding: 7bit\r\n\
            \r\n\
            cutover resume crm --rotation r1\r\n";
        assert_eq!(mail, expected);
    }

    #[test]
    fn no_text_can_begin_a_header() {
        for line_break in ["\r\n", "\n", "\r", "\r\n\r\n", "\u{0b}", "\u{85}"] {
            let evil = format!("x{line_break}Bcc: evil@example.org");
            let mail = mail(&message(&evil, &evil, &evil, "text\n"));
            let head = mail.split_once("\r\n\r\n").expect("a head and a body").0;
            assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
            assert_eq!(head.lines().filter(|line| !line.starts_with(' ')).count(), 10, "{head}");
            assert!(!head.replace("\r\n", "").contains(['\r', '\n']));
        }
    }

    #[test]
    fn two_alerts_never_share_a_message_id() {
        let id = |id: &str| {
            let mail = mail(&message(id, "held", "s", "t"));
            mail.lines().find(|line| line.starts_with("Message-ID")).expect("there").to_owned()
        };
        assert_eq!(id("a b"), id("a b"));
        assert_ne!(id("a b"), id("a_b"));
        assert_ne!(id("a=20b"), id("a b"));
        assert_eq!(id("é>x"), "Message-ID: <cutover.=C3=A9=3Ex@example.com>");
    }

    #[test]
    fn the_mails_of_one_rotation_are_one_conversation() {
        let references = |rotation: Option<&str>, id: &str| {
            let message = Message { rotation: rotation.map(str::to_owned), ..message(id, "held", "s", "t") };
            mail(&message).lines().find(|line| line.starts_with("References")).map(str::to_owned)
        };
        let expected = Some("References: <cutover.rotation=2Frot_1@example.com>".to_owned());
        assert_eq!(references(Some("rot_1"), "a"), expected);
        assert_eq!(references(Some("rot_1"), "b"), expected);
        assert_ne!(references(Some("rot_2"), "a"), expected);
        assert_eq!(references(None, "a"), None);
    }

    #[test]
    fn no_line_is_longer_than_mail_allows() {
        let long = format!("{}\n{}\n", "word ".repeat(2_000), "ü".repeat(5_000));
        let mail = mail(&message("a1", "held", &"subject ".repeat(200), &long));
        assert!(mail.split("\r\n").all(|line| line.len() <= 998 && line.is_ascii()));
        assert!(mail.contains("quoted-printable"));
    }
}
