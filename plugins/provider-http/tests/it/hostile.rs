//! Whatever a provider answers: a mint is sent once, its class is right, and nothing it wrote is shown.

use crate::common::{Answer, Server, World, call, intent, json, key, params, record};
use cutover_api::{Class, MintAnswer, Outcome, Provider, RawReply, Refusal, Secret, Span};
use cutover_provider_http::Definition;

/// Bondi's shape, with a short deadline.
const BONDI: &str = r#"name = "hasty"
lifecycle = "grace"
base_url = "required"
[declares]
grace = { fixed = "24h" }
secret = { prefix = "bnd_tok_", min_length = 16 }
[errors]
at = "/error"
is = { locked = "limit", broken = "unknown", twice = "exists" }
[auth]
bearer = "{{ credential }}"
[rotate]
request = "POST /rotate"
timeout = "1s"
expect = { status = [200], absent = ["/error"] }
extract = { "new.secret" = "/token", "old.expires_at" = "/until?" }
[probe]
request = "GET /probe"
auth = { bearer = "{{ key.secret }}" }
accepted = { status = [200], body = { "/ok" = true } }
refused = { status = [401] }
consecutive = 3
every = "0s"
[revoke]
request = "DELETE /keys/current"
"#;

fn hasty() -> Definition {
    crate::common::parsed("hasty.toml", BONDI)
}

/// What came of a mint, in one word, and what may be shown of it.
struct Came {
    what: String,
    shown: String,
    held: Option<RawReply>,
    refusal: Option<Refusal>,
}

async fn mint_at(server: &Server) -> Came {
    let (params, intent) = (params(&[]), intent());
    let account = World::new().at(&hasty(), server);
    let (what, shown, held, refusal) = match account.mint(call(&params, &intent), None, None).await {
        MintAnswer::Refused(refusal) => {
            (refusal.class.label().to_owned(), format!("{refusal} {refusal:?}"), None, Some(refusal))
        }
        MintAnswer::Unknown(cause, held) => (format!("unknown {}", cause.label), format!("{cause} {cause:?}"), held, None),
        MintAnswer::Reply(raw) => match account.parse(call(&params, &intent), None, &raw) {
            Outcome::Done(minted) => ("done".to_owned(), format!("{:?}", minted.record), Some(raw), None),
            Outcome::Refused(refusal) => {
                (format!("read {}", refusal.class.label()), format!("{refusal} {refusal:?}"), Some(raw), Some(refusal))
            }
            Outcome::Unknown(cause) => (format!("read unknown {}", cause.label), format!("{cause} {cause:?}"), Some(raw), None),
        },
    };
    Came { what, shown, held, refusal }
}

#[tokio::test]
async fn every_whole_reply_has_its_class_and_the_mint_is_sent_once() {
    let cases: &[(u16, &str, &str)] = &[
        (200, r#"{"token":"bnd_tok_canary_0123"}"#, "done"),
        (200, r#"{"token":"bnd_tok_canary_0123","until":"canary"}"#, "read unknown unreadable"),
        (200, r#"{"message":"canary"}"#, "read unknown unreadable"),
        (200, r#"{"token":""}"#, "read unknown unreadable"),
        (200, r#"{"token":{"canary":1}}"#, "read unknown unreadable"),
        (200, r#"{"token":"canary_of_another_shape"}"#, "read unknown unreadable"),
        (200, r#"{"token":"bnd_tok_canary"}"#, "read unknown unreadable"),
        (200, "<html>canary</html>", "read unknown unreadable"),
        (200, "", "read unknown unreadable"),
        (201, r#"{"token":"bnd_tok_canary_0123"}"#, "read unknown unexpected"),
        (202, r#"{"canary":1}"#, "read unknown unexpected"),
        (200, r#"{"error":"locked","token":"bnd_tok_canary_0123"}"#, "read limit"),
        (200, r#"{"error":"canary canary"}"#, "read unknown unexpected"),
        (204, "", "read unknown unexpected"),
        (400, r#"{"error":"twice"}"#, "exists"),
        (400, r#"{"error":"broken"}"#, "unknown declared"),
        (400, "canary", "refused"),
        (401, r#"{"error":"canary said the provider"}"#, "auth"),
        (403, "{}", "scope"),
        (404, "{}", "gone"),
        (408, "{}", "unknown status-408"),
        (409, "{}", "exists"),
        (422, "{}", "refused"),
        (429, "{}", "throttle"),
        (500, r#"{"token":"bnd_tok_canary_0123"}"#, "unknown status-5xx"),
        (503, "canary", "unknown status-5xx"),
    ];
    for (status, body, expected) in cases {
        let server = Server::start(move |_| json(*status, *body)).await;
        let came = mint_at(&server).await;
        assert_eq!(&came.what, expected, "{status} {body}");
        assert_eq!(server.asked().len(), 1, "{status} {body}");
        assert!(!came.shown.contains("canary"), "{status} {body}: {}", came.shown);
        let may_hold_a_key = !(400..500).contains(status) || came.what.starts_with("unknown");
        assert_eq!(came.held.is_some(), may_hold_a_key, "{status} {body}");
    }
}

#[tokio::test]
async fn retry_after_is_told_and_bounded() {
    for (said, expected) in [("120", Some(Span::seconds(120))), ("999999", Some(Span::HOUR)), ("soon", None)] {
        let server = Server::start(move |_| Answer {
            status: 429,
            headers: vec![("retry-after", said.to_owned())],
            body: String::new(),
        })
        .await;
        let refusal = mint_at(&server).await.refusal.expect("refused");
        assert_eq!((refusal.class, refusal.retry_after), (Class::Throttle, expected), "{said}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start(|_| json(200, r#"{"token":"bnd_tok_canary_0123"}"#)).await;
    let location = elsewhere.url();
    for status in [301, 302, 303, 307, 308] {
        let location = location.clone();
        let server =
            Server::start(move |_| Answer { status, headers: vec![("location", location.clone())], body: String::new() }).await;
        assert_eq!(mint_at(&server).await.what, "unknown redirect");
        assert_eq!(server.asked().len(), 1);
    }
    assert_eq!(elsewhere.asked(), []);
}

#[tokio::test]
async fn a_reply_that_is_cut_is_handed_over_and_never_believed() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 400\r\n\r\n";
    // Cut, although what came is whole JSON by itself.
    let server = Server::raw(format!("{head}{{\"token\":\"bnd_tok_canary_0123\"}}")).await;
    let came = mint_at(&server).await;
    assert_eq!((came.what.as_str(), server.asked().len()), ("unknown cut", 1));
    assert!(!came.shown.contains("canary"));
    let held = came.held.expect("what was received");
    let (params, intent) = (params(&[]), intent());
    let account = World::new().at(&hasty(), &server);
    assert!(matches!(account.parse(call(&params, &intent), None, &held), Outcome::Unknown(cause) if cause.label == "cut"));
}

#[tokio::test]
async fn a_line_that_breaks_before_any_reply_is_unknown() {
    let server = Server::raw("").await;
    let came = mint_at(&server).await;
    assert_eq!((came.what.as_str(), server.asked().len(), came.held.is_none()), ("unknown cut", 1, true));
    let server = Server::raw("SMTP ready\r\n").await;
    assert_eq!((mint_at(&server).await.what.as_str(), server.asked().len()), ("unknown cut", 1));
}

#[tokio::test]
async fn ten_megabytes_are_too_long() {
    let server =
        Server::start(|_| json(200, format!("{{\"token\":\"bnd_tok_canary_0123\",\"pad\":\"{}\"}}", "x".repeat(10 << 20))))
            .await;
    let came = mint_at(&server).await;
    assert_eq!((came.what.as_str(), server.asked().len()), ("unknown too-long", 1));
    assert!(came.held.is_some_and(|held| held.0.expose().len() < 2 << 20), "bounded");
}

#[tokio::test]
async fn no_answer_in_time_is_unknown() {
    let server = Server::silent().await;
    assert_eq!((mint_at(&server).await.what.as_str(), server.asked().len()), ("unknown timeout", 1));
}

#[tokio::test]
async fn nobody_there_is_certainly_unsent() {
    assert_eq!(mint_at(&Server::absent().await).await.what, "unsent");
}

#[tokio::test]
async fn what_was_not_sealed_by_us_is_unreadable() {
    let server = Server::absent().await;
    let (params, intent) = (params(&[]), intent());
    let account = World::new().at(&hasty(), &server);
    for sealed in ["", "{}", "bnd_tok_canary_0123", "[1,2"] {
        match account.parse(call(&params, &intent), None, &RawReply(Secret::new(sealed.to_owned()))) {
            Outcome::Unknown(cause) => assert_eq!(cause.label, "unreadable"),
            _ => panic!("{sealed}"),
        }
    }
}

#[tokio::test]
async fn a_new_key_under_the_old_ones_id_is_never_staged() {
    // Revoking the old key by its id would end the new one.
    let server = Server::start(|_| {
        json(200, r#"{"id":"same","key":"wrapd_sk_canary0123456789","previous":{"expires_at":"2026-11-22T12:00:00Z"}}"#)
    })
    .await;
    let account = World::new().at(&crate::common::shipped("wrapd-api-key"), &server);
    let (params, intent, old) = (params(&[]), intent(), record("same"));
    let MintAnswer::Reply(raw) = account.mint(call(&params, &intent), Some(key(&old, None)), None).await else {
        panic!("a reply")
    };
    match account.parse(call(&params, &intent), Some(key(&old, None)), &raw) {
        Outcome::Unknown(cause) => assert!(cause.to_string().contains("old one's id"), "{cause}"),
        _ => panic!("believed"),
    }
}

async fn verdict(answers: &'static [(u16, &'static str)]) -> (String, usize) {
    let turn = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::start(move |_| {
        let (status, body) = answers[turn.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % answers.len()];
        json(status, body)
    })
    .await;
    let (params, intent, record) = (params(&[]), intent(), record("1"));
    let secret = Secret::new("bnd_tok_canary_0123".to_owned());
    let account = World::new().at(&hasty(), &server);
    let said = match account.probe(call(&params, &intent), key(&record, Some(&secret))).await {
        Outcome::Done(verdict) => verdict.accepted.to_string(),
        Outcome::Refused(refusal) => format!("{refusal}"),
        Outcome::Unknown(cause) => {
            assert!(!format!("{cause:?}").contains("canary"));
            cause.label
        }
    };
    (said, server.asked().len())
}

#[tokio::test]
async fn a_probe_counts_only_like_answers_in_a_row() {
    const YES: (u16, &str) = (200, "{\"ok\":true}");
    const NO: (u16, &str) = (401, "{\"canary\":1}");
    assert_eq!(verdict(&[YES]).await, ("true".to_owned(), 3));
    assert_eq!(verdict(&[NO]).await, ("false".to_owned(), 3));
    assert_eq!(verdict(&[YES, YES, NO]).await, ("mixed".to_owned(), 3));
    assert_eq!(verdict(&[NO, YES]).await, ("mixed".to_owned(), 2));
    assert_eq!(verdict(&[NO, (503, "canary")]).await, ("status-5xx".to_owned(), 2));
    assert_eq!(verdict(&[(403, "canary")]).await, ("neither".to_owned(), 1));
    assert_eq!(verdict(&[(429, "canary")]).await, ("neither".to_owned(), 1));
    assert_eq!(verdict(&[(200, "{\"ok\":false}")]).await, ("neither".to_owned(), 1));
    assert_eq!(verdict(&[(302, "")]).await, ("redirect".to_owned(), 1));
}

#[tokio::test]
async fn a_probe_without_the_keys_value_is_not_made() {
    let server = Server::start(|_| json(200, "{\"ok\":true}")).await;
    let (params, intent, record) = (params(&[]), intent(), record("1"));
    let account = World::new().at(&hasty(), &server);
    assert!(matches!(account.probe(call(&params, &intent), key(&record, None)).await, Outcome::Refused(_)));
    assert_eq!(server.asked(), []);
}

#[tokio::test]
async fn a_revoke_has_its_class_too_and_only_gone_is_done() {
    let cases = [
        (200, "done"),
        (204, "done"),
        (404, "done"),
        (410, "done"),
        (401, "auth"),
        (403, "scope"),
        (409, "exists"),
        (422, "refused"),
        (429, "throttle"),
        (302, "unknown"),
        (408, "unknown"),
        (500, "unknown"),
        (504, "unknown"),
    ];
    for (status, expected) in cases {
        let server = Server::start(move |_| json(status, r#"{"canary":1}"#)).await;
        let (params, intent, record) = (params(&[]), intent(), record("1"));
        let account = World::new().at(&hasty(), &server);
        let said = match account.revoke(call(&params, &intent), key(&record, None)).await {
            Outcome::Done(()) => "done",
            Outcome::Refused(refusal) => refusal.class.label(),
            Outcome::Unknown(cause) => {
                assert!(!format!("{cause:?}").contains("canary"));
                "unknown"
            }
        };
        assert_eq!(said, expected, "{status}");
        assert_eq!(server.asked().len(), 1, "{status}: never repeated inside");
    }
}
