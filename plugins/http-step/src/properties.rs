//! Whatever stands in a value, the request keeps its structure; whatever stands in a reply, reading it ends well.

use cutover_api::{Problems, Reader, Stamp, Table};
use proptest::prelude::*;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::http::{Origins, origin};
use crate::judge::Judged;
use crate::reply::{Form, Reply};
use crate::request::{Rendered, Turn};
use crate::rows::Rows;
use crate::source::{Shape, Source};
use crate::step::{Defaults, Step};
use crate::template::Template;
use crate::vars::Vars;

/// Values that mean something to some place or other, and any text at all.
fn hostile() -> impl Strategy<Value = String> {
    let marks = prop::collection::vec(
        prop::sample::select(vec![
            "/",
            "\\",
            ".",
            "..",
            "%",
            "%2e",
            "%2F",
            "?",
            "#",
            "&",
            "=",
            "+",
            ";",
            ":",
            "@",
            " ",
            "\r\n",
            "\n",
            "\0",
            "\"",
            "'",
            "{{",
            "}}",
            "{",
            "}",
            "[",
            "]",
            ",",
            "<",
            ">",
            "//",
            "http://evil",
            "ä",
            "\u{202e}",
            "\u{ff0e}",
            "a",
        ]),
        0..6,
    );
    prop_oneof![marks.prop_map(|marks| marks.concat()), any::<String>()]
}

fn rendered(text: &str, value: &str, other: &str) -> Option<Rendered> {
    let step = loaded(text);
    let mut vars = Vars::new();
    vars.set_text("v", value);
    vars.set_text("w", other);
    let origins = Origins { base: Some(origin("https://api.example.com/base").expect("https")), ..Origins::default() };
    step.rendered(&step.request, &origins, &vars, Stamp(0), &Turn::First).ok()
}

fn loaded(text: &str) -> Step {
    let table = Table::parse("x", text).expect("valid");
    let problems = Problems::default();
    let reader = Reader::new(&table, "", &problems);
    let defaults = Defaults { base: true, ..Defaults::default() };
    let step = Step::load(&reader, "s", &defaults, Rows::KEYS);
    assert_eq!(problems.take(), []);
    step.expect("loads")
}

fn reply(status: u16, body: Vec<u8>, link: &str) -> Reply {
    let headers =
        vec![("link".to_owned(), Zeroizing::new(link.to_owned())), ("retry-after".to_owned(), Zeroizing::new(link.to_owned()))];
    let body = Zeroizing::new(body);
    Reply { status, headers, body, sent_at: Stamp(0), date: None, form: Form::Json, whole: true, polled: false }
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8().expect("UTF-8").into_owned()
}

#[test]
fn every_character_a_literal_path_may_hold_is_sent_as_it_is() {
    let path = "/aZ09-._~!$&'()*+,;=:@/%2F%41/x/";
    let made = rendered(&format!("request = \"GET {path}\"\n"), "", "").expect("renders");
    assert_eq!(made.url.path(), format!("/base{path}"));
}

proptest! {
    #[test]
    fn a_value_never_leaves_its_path_segment(v in hostile(), w in hostile()) {
        if let Some(made) = rendered("request = \"GET /keys/{{ v }}/of-{{ w }}/end\"\n", &v, &w) {
            let segments: Vec<&str> = made.url.path().split('/').collect();
            prop_assert_eq!(segments.len(), 6);
            prop_assert_eq!((segments[1], segments[2], segments[5]), ("base", "keys", "end"));
            prop_assert_eq!(decoded(segments[3]), v);
            prop_assert_eq!(decoded(segments[4]), format!("of-{w}"));
            prop_assert_eq!(made.url.host_str(), Some("api.example.com"));
            prop_assert_eq!((made.url.query(), made.url.fragment()), (None, None));
        }
    }

    #[test]
    fn a_subpath_keeps_its_segments_and_no_more(v in hostile()) {
        if let Some(made) = rendered("request = \"GET /a/{{ v | subpath }}/end\"\n", &v, "") {
            let inner = made.url.path().strip_prefix("/base/a/").and_then(|tail| tail.strip_suffix("/end")).expect("in its place");
            prop_assert_eq!(inner.split('/').map(decoded).collect::<Vec<_>>(), v.split('/').map(str::to_owned).collect::<Vec<_>>());
            prop_assert!(!v.split('/').any(|segment| matches!(segment, "" | "." | "..")));
        }
    }

    #[test]
    fn an_escaped_value_is_one_segment(v in hostile()) {
        if let Some(made) = rendered("request = \"GET /a/{{ v | escaped }}\"\n", &v, "") {
            prop_assert_eq!(made.url.path().split('/').count(), 4);
            prop_assert_eq!(decoded(made.url.path().strip_prefix("/base/a/").expect("in its place")), v);
        }
    }

    #[test]
    fn a_value_never_leaves_its_pair(v in hostile(), w in hostile()) {
        let text = "request = \"POST /a\"\nquery = { a = \"{{ v }}\", b = \"x{{ w }}\" }\nform = { c = \"{{ w }}\", d = \"{{ v }}\" }\n";
        let made = rendered(text, &v, &w).expect("every text fits a query and a form");
        let pairs = |pairs: url::form_urlencoded::Parse<'_>| pairs.into_owned().collect::<Vec<_>>();
        prop_assert_eq!(pairs(made.url.query_pairs()), vec![("a".to_owned(), v.clone()), ("b".to_owned(), format!("x{w}"))]);
        let body = made.body.expect("a form");
        prop_assert_eq!(pairs(url::form_urlencoded::parse(&body)), vec![("c".to_owned(), w), ("d".to_owned(), v)]);
    }

    #[test]
    fn a_value_never_leaves_its_header(v in hostile()) {
        let count = |headers: &HeaderMap| headers.len();
        let text = "request = \"GET /a\"\nheaders = { X-A = \"{{ v }}\" }\nauth = { bearer = \"{{ v }}\" }\n";
        if let Some(made) = rendered(text, &v, "") {
            prop_assert_eq!(count(&made.headers), 3);
            prop_assert_eq!(made.headers["x-a"].as_bytes(), v.as_bytes());
            prop_assert!(made.headers["x-a"].is_sensitive() && v.bytes().all(|b| (0x20..0x7f).contains(&b)));
        }
    }

    #[test]
    fn a_value_never_leaves_its_leaf(v in hostile(), w in hostile()) {
        let made = rendered("request = \"POST /a\"\njson = { a = [\"{{ v }}\"], b = { c = \"x{{ w }}\" } }\n", &v, &w).expect("every text fits");
        let body: Value = serde_json::from_slice(&made.body.expect("a body")).expect("JSON");
        prop_assert_eq!(body, json!({ "a": [v], "b": { "c": format!("x{w}") } }));
    }

    #[test]
    fn a_text_body_takes_no_controls_but_newline(v in hostile()) {
        let made = rendered("request = \"POST /a\"\ntext = \"[{{ v }}]\"\n", &v, "");
        prop_assert_eq!(made.is_some(), !v.chars().any(|c| c.is_control() && c != '\n'));
        if let Some(made) = made {
            let body = made.body.expect("a body");
            let wanted = format!("[{v}]");
            prop_assert_eq!(body.as_slice(), wanted.as_bytes());
        }
    }

    #[test]
    fn any_text_is_a_template_or_an_error(text in hostile()) {
        if let Ok(template) = Template::parse(&text) {
            prop_assert_eq!(template.text(), text.as_str());
        }
        let _ = Source::parse(&text, Shape::Any);
    }

    #[test]
    fn any_reply_is_judged_and_only_an_expected_one_is_done(status in 100_u16..1000, body in any::<Vec<u8>>(), link in "[ -~]{0,40}") {
        let step = loaded("request = \"GET /a\"\nextract = { id = \"/id\" }\nerrors = { at = \"/e\", is = { x = \"gone\" } }\n");
        let reply = reply(status, body, &link);
        match step.judge(&reply, &Vars::new()) {
            Judged::Done => prop_assert!((200..300).contains(&status)),
            Judged::Refused(refusal) => {
                prop_assert!((400..500).contains(&status));
                prop_assert!(refusal.retry_after.is_none_or(|span| span <= cutover_api::Span::HOUR));
            }
            Judged::Unknown(_) => prop_assert!(!(400..500).contains(&status) || status == 408),
        }
        let _ = step.extract(&reply, &Vars::new());
        let back = Reply::from_sealed(&reply.to_sealed()).expect("a reply");
        prop_assert_eq!(&back.body, &reply.body);
        prop_assert_eq!(&back.headers, &reply.headers);
    }
}
