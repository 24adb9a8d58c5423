use cutover_api::{Class, Secret, Span};
use cutover_http_step::{Judged, Match, Reply, clean_code};

use crate::support::{reply, step, vars};

const DEFINITION: &str = concat!(
    "[errors]\nat = \"/error/code\"\n",
    "is = { limit_exceeded = \"limit\", 1000 = \"auth\", fatal = \"unknown\", 02000 = \"gone\" }\n",
    "[s]\nrequest = \"POST /keys\"\nexpect = { status = [200, 201], body = { \"/ok\" = true } }\n",
    "on_status = { 204 = \"gone\", 422 = \"exists\", 500 = \"refused\" }\n",
);

fn judged(definition: &str, status: u16, headers: &[(&str, &str)], body: &str) -> String {
    match step(definition).judge(&reply(status, headers, body), &vars(&[])) {
        Judged::Done => "done".to_owned(),
        Judged::Refused(refusal) => {
            assert_eq!(refusal.status, Some(i32::from(status)));
            refusal.class.label().to_owned()
        }
        Judged::Unknown(cause) => format!("unknown {}", cause.label),
    }
}

#[test]
fn the_order_is_match_code_status_default() {
    for (status, body, wanted) in [
        (200, r#"{"ok":true}"#, "done"),
        (201, r#"{"ok":true,"error":{"code":"limit_exceeded"}}"#, "done"),
        (200, r#"{"ok":false,"error":{"code":"limit_exceeded"}}"#, "limit"),
        (200, r#"{"ok":false,"error":{"code":1000}}"#, "auth"),
        (200, r#"{"ok":false,"error":{"code":"02000"}}"#, "gone"),
        (200, r#"{"ok":false,"error":{"code":"fatal"}}"#, "unknown declared"),
        (200, r#"{"ok":false,"error":{"code":"other"}}"#, "unknown unexpected"),
        (202, r#"{"ok":true}"#, "unknown unexpected"),
        (204, "", "gone"),
        (422, r#"{"error":{"code":"limit_exceeded"}}"#, "limit"),
        (422, "nonsense", "exists"),
        (500, "<html>", "refused"),
        (503, "<html>", "unknown status-5xx"),
        (200, "<html>login</html>", "unknown unreadable"),
        (200, "", "unknown unexpected"),
    ] {
        assert_eq!(judged(DEFINITION, status, &[], body), wanted, "{status} {body}");
    }
}

#[test]
fn the_defaults_are_those_of_the_table() {
    let plain = "[s]\nrequest = \"DELETE /k\"\n";
    for (status, wanted) in [
        (200, "done"),
        (204, "done"),
        (301, "unknown redirect"),
        (304, "unknown redirect"),
        (400, "refused"),
        (401, "auth"),
        (403, "scope"),
        (404, "gone"),
        (408, "unknown status-408"),
        (409, "exists"),
        (410, "gone"),
        (418, "refused"),
        (429, "throttle"),
        (500, "unknown status-5xx"),
        (599, "unknown status-5xx"),
        (999, "unknown status"),
    ] {
        assert_eq!(judged(plain, status, &[], ""), wanted, "{status}");
    }
    assert_eq!(judged(plain, 200, &[], "<html>"), "unknown unreadable", "a page where JSON was promised is no answer");
    assert_eq!(judged("reply = \"none\"\n[s]\nrequest = \"DELETE /k\"\n", 200, &[], "<html>"), "done");
    assert_eq!(
        judged("reply = \"text\"\n[s]\nrequest = \"GET /k\"\nexpect = { body = { \"\" = \"ok\" } }\n", 200, &[], "ok\n"),
        "done"
    );
}

#[test]
fn retry_after_is_bounded_and_counts_by_the_providers_clock() {
    let after = |headers: &[(&str, &str)]| {
        let mut with = headers.to_vec();
        with.push(("x", "y"));
        match step("[s]\nrequest = \"GET /k\"\n").judge(&dated(429, &with), &vars(&[])) {
            Judged::Refused(refusal) => refusal.retry_after,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(after(&[("retry-after", "120")]), Some(Span::seconds(120)));
    assert_eq!(after(&[("retry-after", "999999")]), Some(Span::HOUR));
    assert_eq!(after(&[("retry-after", "99999999999999999999999")]), Some(Span::HOUR));
    assert_eq!(after(&[("retry-after", "Sat, 21 Nov 2026 10:05:00 GMT")]), Some(Span::minutes(5)));
    assert_eq!(after(&[("retry-after", "Sat, 21 Nov 2026 09:00:00 GMT")]), Some(Span::ZERO));
    assert_eq!(after(&[("retry-after", "-5")]), None);
    assert_eq!(after(&[("retry-after", "soon")]), None);
    assert_eq!(after(&[]), None);
}

/// A reply whose own clock says 2026-11-21T10:00:00Z.
fn dated(status: u16, headers: &[(&str, &str)]) -> Reply {
    let sealed = serde_json::json!({ "v": 1, "status": status, "headers": headers, "body": "", "sent_at": 5,
        "date": 1_795_255_200_000_i64, "form": "json", "whole": true, "polled": false });
    Reply::from_sealed(&Secret::new(sealed.to_string())).expect("sealed")
}

#[test]
fn an_error_code_is_shown_only_when_it_is_one() {
    assert_eq!(clean_code("Sec.Urity_1:x-2").as_deref(), Some("Sec.Urity_1:x-2"));
    for bad in ["", "a b", "<b>", "päss", "a\nb", &"x".repeat(65)] {
        assert_eq!(clean_code(bad), None, "{bad}");
    }
    let step = step("[errors]\nat = \"/e\"\nis = { \"the key hunter2 is bad\" = \"auth\" }\n[s]\nrequest = \"GET /k\"\n");
    let Judged::Refused(refusal) = step.judge(&reply(400, &[], r#"{"e":"the key hunter2 is bad"}"#), &vars(&[])) else {
        panic!("refused");
    };
    assert_eq!((refusal.class, &refusal.code), (Class::Auth, &None));
    assert!(!refusal.to_string().contains("hunter2"));
}

#[test]
fn a_match_needs_all_its_parts() {
    use cutover_api::{Problems, Reader, Table};
    let holds = |text: &str, status: u16, body: &str| {
        let table = Table::parse("x", &format!("m = {text}\n")).expect("valid");
        let problems = Problems::default();
        let found = Match::load(&Reader::new(&table, "", &problems), "m").expect("a match");
        found.holds(&reply(status, &[], body), &vars(&[("params.slug", "crm")]))
    };
    assert!(holds("{ status = [401], body = { \"/error\" = [\"a\", \"b\"] } }", 401, r#"{"error":"b"}"#));
    assert!(!holds("{ status = [401], body = { \"/error\" = [\"a\", \"b\"] } }", 401, r#"{"error":"c"}"#));
    assert!(!holds("{ status = [401], body = { \"/error\" = \"a\" } }", 200, r#"{"error":"a"}"#));
    assert!(holds("{ body = { \"/slug\" = \"{{ params.slug }}\" } }", 299, r#"{"slug":"crm"}"#));
    assert!(!holds("{ body = { \"/slug\" = \"{{ params.slug }}\" } }", 404, r#"{"slug":"crm"}"#));
    assert!(!holds("{ body = { \"/slug\" = \"{{ params.gone }}\" } }", 200, r#"{"slug":""}"#));
    assert!(holds("{ body = { \"/n\" = 1, \"/f\" = 1.5, \"/b\" = false } }", 200, r#"{"n":1.0,"f":1.5,"b":false}"#));
    assert!(!holds("{ body = { \"/n\" = \"1\" } }", 200, r#"{"n":1}"#), "types do not blur");
    assert!(!holds("{ body = { \"/b\" = true } }", 200, r#"{"b":"true"}"#));
    assert!(holds("{ absent = [\"/error\"] }", 200, r#"{"error":null}"#));
    assert!(!holds("{ absent = [\"/error\"] }", 200, r#"{"error":"x"}"#));
    assert!(holds("{ status = [401] }", 401, "<html>"), "a refusal needs no readable body");
    assert!(!holds("{ status = [200] }", 200, "<html>"), "an acceptance does");
}

#[test]
fn a_sealed_reply_comes_back_exactly() {
    let body = "{\"token\":\"bnd_tok_ä\\u0000\"}";
    let before = reply(201, &[("date", "x\"y"), ("set-cookie", "a=1")], body);
    let sealed = before.to_sealed();
    let after = Reply::from_sealed(&sealed).expect("a reply");
    assert_eq!(after.to_sealed().expose(), sealed.expose());
    assert_eq!((after.status(), after.sent_at(), after.header("DATE")), (201, before.sent_at(), Some("x\"y")));
    assert!(!sealed.expose().contains("bnd_tok_"), "the body is not parsed on the way");
    for bad in ["", "{}", "[]", "{\"v\":2}", &sealed.expose().replace("\"v\":1", "\"v\":9")] {
        assert!(Reply::from_sealed(&Secret::new((*bad).to_owned())).is_none(), "{bad}");
    }
}

#[test]
fn a_reply_that_was_cut_is_never_done() {
    let whole = reply(200, &[], "{}").to_sealed();
    let cut = Secret::new(whole.expose().replace("\"whole\":true", "\"whole\":false"));
    let cut = Reply::from_sealed(&cut).expect("a reply");
    let Judged::Unknown(cause) = step("[s]\nrequest = \"GET /k\"\n").judge(&cut, &vars(&[])) else { panic!("unknown") };
    assert_eq!(cause.label, "cut");
}

#[test]
fn values_are_typed_by_their_name() {
    use cutover_http_step::Extracted;
    let step = step(concat!(
        "[s]\nrequest = \"POST /k\"\nextract = { \"new.id\" = \"/id\", \"new.app_key\" = \"/app\", \"new.region\" = \"/region\", ",
        "\"new.expires_at\" = \"/exp | unix\", credential = \"/next\" }\nkeep = { n = \"/id\", expires_at = \"/in | in_seconds\" }\n",
    ));
    let reply = reply(200, &[], r#"{"id":7,"app":"s","region":"eu","exp":1795219200,"next":"r","in":60}"#);
    let mut read = step.extract(&reply, &vars(&[])).expect("reads");
    assert!(matches!(read.remove("new.id"), Some(Extracted::Text(id)) if id == "7"));
    assert!(matches!(read.remove("new.app_key"), Some(Extracted::Secret(_))), "a secret output");
    assert!(matches!(read.remove("new.region"), Some(Extracted::Json(_))), "a public one");
    assert!(matches!(read.remove("new.expires_at"), Some(Extracted::Time(_))));
    assert!(matches!(read.remove("credential"), Some(Extracted::Secret(_))));
    let mut kept = step.keep(&reply, &vars(&[])).expect("reads");
    assert!(matches!(kept.remove("n"), Some(Extracted::Secret(_))), "kept values are secret whatever they are");
    assert!(matches!(kept.remove("expires_at"), Some(Extracted::Time(at)) if at == crate::support::NOW.plus(Span::MINUTE)));
}

#[test]
fn only_the_id_is_needed_where_the_step_is_sparse() {
    let text = "[s]\nrequest = \"GET /k\"\nextract = { id = \"/id\", last_used_at = \"/used\" }\n";
    let reply = reply(200, &[], r#"{"id":"a","used":null}"#);
    assert!(step(text).extract(&reply, &vars(&[])).is_err());
    assert_eq!(step(text).sparse().extract(&reply, &vars(&[])).map(|all| all.len()).expect("reads"), 1);
}
