use cutover_api::Span;
use cutover_http_step::{Extracted, Shape, Source};

use crate::support::{NOW, reply, vars};

/// What a source reads, in words.
fn read(source: &str, shape: Shape, body: &str) -> Result<String, &'static str> {
    let reply =
        reply(200, &[("Location", "/keys/7"), ("set-cookie", "a=1; Path=/"), ("set-cookie", "session=s3=x; HttpOnly")], body);
    let source = Source::parse(source, shape).expect("parses");
    let read = source.read(&reply, &vars(&[("key.slot", "key2")])).map_err(|error| error.wrong)?;
    Ok(match read {
        None => "absent".to_owned(),
        Some(Extracted::Text(text)) => format!("text {text}"),
        Some(Extracted::Secret(secret)) => format!("secret {}", secret.expose()),
        Some(Extracted::Time(at)) => format!("time {}", at.0),
        Some(Extracted::Boolean(b)) => format!("boolean {b}"),
        Some(Extracted::Json(value)) => format!("json {value}"),
        Some(Extracted::Texts(texts)) => format!("texts {}", texts.join(",")),
        Some(Extracted::Fingerprint(fingerprint)) => format!("fingerprint {fingerprint}"),
    })
}

#[test]
fn pointers_follow_rfc_6901() {
    let body = r#"{"a/b":{"~":"x"},"l":["p","q"],"":"e","n":null,"0":"zero"}"#;
    for (source, wanted) in [
        ("/a~1b/~0", Ok("text x")),
        ("/l/1", Ok("text q")),
        ("/l/01", Err("is missing")),
        ("/l/-", Err("is missing")),
        ("/l/2?", Ok("absent")),
        ("/", Ok("text e")),
        ("/0", Ok("text zero")),
        ("/n", Err("is missing")),
        ("/n?", Ok("absent")),
        ("/l/1/x?", Ok("absent")),
    ] {
        assert_eq!(read(source, Shape::Text, body).as_deref().map_err(|wrong| *wrong), wanted, "{source}");
    }
    assert_eq!(read("", Shape::Secret, "\"bare\"").as_deref(), Ok("secret bare"));
    for bad in
        ["a", "/a~", "/a~2", "/{{ x }}", "/[=x]", "header:", "header:a b", "/a | nope", "/a | subpath", "/a | unix | lower"]
    {
        assert!(Source::parse(bad, Shape::Any).is_err(), "{bad}");
    }
    assert!(Source::parse("/a | is:x", Shape::Time).is_err());
    assert!(Source::parse("/a | unix", Shape::Secret).is_err());
}

#[test]
fn a_selector_takes_exactly_one() {
    let body =
        r#"{"keys":[{"keyName":"key1","value":"one"},{"keyName":"key2","value":"two"},{"keyName":"d"},{"keyName":"d"}]}"#;
    assert_eq!(read("/keys/[keyName={{ key.slot }}]/value", Shape::Secret, body).as_deref(), Ok("secret two"));
    assert_eq!(read("/keys/[keyName=none]/value?", Shape::Secret, body), Err("selects no element"));
    assert_eq!(read("/keys/[keyName=d]/value?", Shape::Secret, body), Err("selects more than one element"));
    assert_eq!(read("/keys/[keyName={{ key.gone }}]/value", Shape::Secret, body), Err("selects by a value that is not there"));
}

#[test]
fn a_secret_is_a_string_that_is_not_empty() {
    assert_eq!(read("/s", Shape::Secret, r#"{"s":""}"#), Err("is empty"));
    assert_eq!(read("/s", Shape::Secret, r#"{"s":7}"#), Err("is no string"));
    assert_eq!(read("/s", Shape::Secret, r#"{"s":["x"]}"#), Err("is no string"));
    assert_eq!(read("/s", Shape::Secret, r#"{}"#), Err("is missing"));
    assert_eq!(read("/s", Shape::Kept, r#"{"s":7}"#).as_deref(), Ok("secret 7"));
    assert_eq!(read("/s | base64decode", Shape::Secret, r#"{"s":"aGk="}"#).as_deref(), Ok("secret hi"));
}

#[test]
fn times_are_rfc_3339_unless_a_filter_says_otherwise() {
    let at = |source: &str, value: &str| read(source, Shape::Time, &format!(r#"{{"t":{value}}}"#));
    assert_eq!(at("/t", r#""2026-04-27T12:34:56Z""#).as_deref(), Ok("time 1777293296000"));
    assert_eq!(at("/t", r#""2026-04-27T14:34:56.5+02:00""#).as_deref(), Ok("time 1777293296500"));
    for bad in [r#""2026-04-27 12:34:56Z""#, r#""2026-04-27""#, r#""2026-04-27T12:34:56""#, r#""soon""#, "1777293296", "true"] {
        assert!(at("/t", bad).is_err(), "{bad}");
    }
    assert_eq!(at("/t | unix", "1777293296").as_deref(), Ok("time 1777293296000"));
    assert_eq!(at("/t | unix", r#""1777293296.5""#).as_deref(), Ok("time 1777293296500"));
    assert_eq!(at("/t | unix_ms", "1777293296789").as_deref(), Ok("time 1777293296789"));
    assert_eq!(at("/t | date", r#""2026-04-27""#).as_deref(), Ok("time 1777248000000"));
    assert!(at("/t | date", r#""2026-04-27T00:00:00Z""#).is_err());
    assert!(at("/t | unix", "1777293296789").is_err(), "milliseconds mistaken for seconds");
    assert!(at("/t | in_seconds", "-1").is_err());
    let soon = |span: Span| format!("time {}", NOW.plus(span).0);
    assert_eq!(at("/t | in_seconds", "90"), Ok(soon(Span::seconds(90))));
    assert_eq!(at("/t | in_minutes", "2"), Ok(soon(Span::minutes(2))));
    assert_eq!(at("/t | in_hours", "1.5"), Ok(soon(Span::minutes(90))));
    assert_eq!(at("/t | in_days", "1"), Ok(soon(Span::DAY)));
}

#[test]
fn an_expiry_of_nothing_is_never() {
    let at = |source: &str, value: &str| read(source, Shape::Expiry, &format!(r#"{{"t":{value}}}"#));
    for never in ["0", r#""""#, r#""0""#, r#""0001-01-01T00:00:00Z""#] {
        assert_eq!(at("/t", never).as_deref(), Ok("absent"), "{never}");
    }
    assert_eq!(at("/t | unix", "0").as_deref(), Ok("absent"));
    assert_eq!(at("/t", "null"), Err("is missing"));
    assert_eq!(at("/t?", "null").as_deref(), Ok("absent"));
    assert_eq!(read("/t", Shape::Time, r#"{"t":""}"#), Err("is missing"));
    assert_eq!(read("/t?", Shape::Time, r#"{"t":"0001-01-01T00:00:00Z"}"#).as_deref(), Ok("absent"));
}

#[test]
fn other_shapes() {
    assert_eq!(read("/i", Shape::Id, r#"{"i":42}"#).as_deref(), Ok("text 42"));
    assert_eq!(read("/i", Shape::Id, r#"{"i":""}"#), Err("is missing"));
    assert_eq!(read("/i", Shape::Id, r#"{"i":"a\nb"}"#), Err("holds control characters"));
    assert_eq!(read("/i", Shape::Text, r#"{"i":"a\nb"}"#).as_deref(), Ok("text a\u{fffd}b"));
    assert_eq!(read("/i", Shape::Id, &format!(r#"{{"i":"{}"}}"#, "x".repeat(1025))), Err("is too long"));
    assert_eq!(read("/b", Shape::Boolean, r#"{"b":true}"#).as_deref(), Ok("boolean true"));
    assert_eq!(read("/b | is:Inactive", Shape::Boolean, r#"{"b":"Inactive"}"#).as_deref(), Ok("boolean true"));
    assert_eq!(read("/b", Shape::Boolean, r#"{"b":"yes"}"#), Err("is neither true nor false"));
    assert_eq!(read("/f", Shape::Texts, r#"{"f":["a","b"]}"#).as_deref(), Ok("texts a,b"));
    assert_eq!(read("/f", Shape::Texts, r#"{"f":"a"}"#).as_deref(), Ok("texts a"));
    assert_eq!(read("/f", Shape::Texts, r#"{"f":[]}"#), Err("is an empty array"));
    assert_eq!(read("/f", Shape::Any, r#"{"f":{"x":1}}"#).as_deref(), Ok("json {\"x\":1}"));
    assert_eq!(read("header:location | after_last:/", Shape::Id, "").as_deref(), Ok("text 7"));
    assert_eq!(read("header:gone?", Shape::Id, "").as_deref(), Ok("absent"));
    assert_eq!(read("cookie:session", Shape::Kept, "").as_deref(), Ok("secret s3=x"));
    assert_eq!(read("cookie:sess", Shape::Kept, ""), Err("is missing"));
}

#[test]
fn a_body_that_is_no_json_or_too_deep_is_unreadable() {
    assert_eq!(read("/a?", Shape::Any, "<html>"), Err("is no JSON"));
    assert_eq!(read("/a?", Shape::Any, "{\"a\":1"), Err("is no JSON"));
    let nested = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
    assert_eq!(read("", Shape::Any, &nested(33)), Err("is nested too deep"));
    assert!(read("", Shape::Any, &nested(32)).is_ok());
    assert!(read("", Shape::Any, &format!("\"{}\"", "[".repeat(99))).is_ok(), "brackets in a text do not nest");
    assert_eq!(read("/a?", Shape::Any, "").as_deref(), Ok("absent"), "no body: nothing stands in it");
}

#[test]
fn an_unreadable_reply_is_told_without_its_values() {
    let step = crate::support::step("[s]\nrequest = \"POST /k\"\nextract = { \"new.secret\" = \"/token\" }\n");
    let error = step.extract(&reply(200, &[], r#"{"token":["hunter2"]}"#), &vars(&[])).map(|_| ()).expect_err("no string");
    assert_eq!(error.to_string(), "new.secret (/token) is no string");
}
