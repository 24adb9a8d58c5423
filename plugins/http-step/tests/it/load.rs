use cutover_api::{Problems, Reader, Table};
use cutover_http_step::{Auth, Defaults, Kind, Known, Match, Scope, Spot, Step, origin};

use crate::support::{loaded, problems, step};

#[test]
fn a_whole_step_loads() {
    let step = step(concat!(
        "headers = { X-V = \"1\" }\nquery = { version = \"2024\" }\n[auth]\nbearer = \"{{ credential }}\"\n",
        "[errors]\nat = \"/error/code\"\nis = { 1000 = \"auth\", Limit = \"limit\" }\n",
        "[s]\nrequest = \"POST /v1/{{ params.workspace }}/keys\"\n",
        "json = { name = \"{{ rotation.nonce }}\", scopes = \"{{ old.scopes? }}\", n = [1, \"{{ now | unix }}\"] }\n",
        "expect = { status = [200, 201], body = { \"/slug\" = \"{{ params.slug }}\" }, absent = [\"/error\"] }\n",
        "extract = { \"new.secret\" = \"/token\", \"old.expires_at\" = \"/until?\" }\nkeep = { handle = \"/h\" }\n",
        "on_status = { 404 = \"gone\", 500 = \"gone\" }\ntimeout = \"5s\"\n",
        "[s.poll]\nrequest = \"GET /jobs/{{ steps.s.handle }}\"\ndone = { status = [200] }\n",
    ));
    assert_eq!((step.name(), step.method(), step.request()), ("s", "POST", "POST /v1/{{ params.workspace }}/keys"));
    assert_eq!(step.extracts().collect::<Vec<_>>(), ["new.secret", "old.expires_at"]);
    assert_eq!(step.keeps().collect::<Vec<_>>(), ["handle"]);
    assert_eq!(step.promised().count(), 1);
    assert_eq!(step.timeout().as_secs(), 605);
    let paths = step.paths();
    let used: Vec<_> = paths.iter().map(|used| (used.path.as_str(), used.spot)).collect();
    for wanted in [
        ("params.workspace", Spot::Path),
        ("rotation.nonce", Spot::Leaf),
        ("old.scopes", Spot::Leaf),
        ("params.slug", Spot::Text),
        ("credential", Spot::Header),
        ("steps.s.handle", Spot::Path),
    ] {
        assert!(used.contains(&wanted), "{wanted:?} in {used:?}");
    }
    let scopes = paths.iter().find(|used| used.path == "old.scopes").expect("used");
    assert!(scopes.optional && scopes.key == "s.json.scopes" && scopes.place.line == 10, "{scopes:?}");
}

#[test]
fn every_problem_is_reported_at_once_with_its_place() {
    let all = problems(concat!(
        "[s]\nrequest = \"FETCH /x\"\njsn = {}\njson = { a = \"{{ x\" }\nform = { a = 1 }\n",
        "expect = { status = [99] }\nextract = { \"new.i-d\" = \"/id\", secret = \"token\" }\n",
        "on_status = { 404 = \"vanished\", 9 = \"gone\" }\ntimeout = \"1ms\"\n",
    ));
    for wanted in [
        "x.toml:2:11: s.request: names no known method: GET, HEAD, POST, PUT, PATCH or DELETE",
        "x.toml:3:1: s.jsn: unknown key: did you mean \"json\"?",
        "x.toml:4:14: s.json.a: is no template: a slot is not closed: write {{ path }}",
        "x.toml:5:8: s.form: is a second body: write one of json, form, text",
        "x.toml:6:21: s.expect.status: names what is no status: must be an array of statuses from 200 to 599: [200, 201]",
        "x.toml:7:13: s.extract.new.i-d: is no name of a value",
        "x.toml:7:41: s.extract.secret: is no source: a pointer is empty or begins with /",
        "x.toml:8:21: s.on_status.404: \"vanished\" is not known",
        "s.on_status.9: is no status",
        "x.toml:9:11: s.timeout: \"1ms\" is not a span",
    ] {
        assert!(all.iter().any(|line| line.contains(wanted)), "{wanted}\nin {all:#?}");
    }
}

#[test]
fn a_request_reaches_what_it_may_and_nothing_else() {
    let request = |line: &str| problems(&format!("[s]\nrequest = \"{line}\"\n"));
    for good in ["GET /", "GET /a/b/", "GET sts:/", "POST /a/{{ x }}.json", "DELETE /a:b@c/{{ x }}-{{ y }}"] {
        assert!(request(good).is_empty(), "{good}: {:?}", request(good));
    }
    for bad in [
        "GET",
        "get /a",
        "GET a",
        "GET /a?b=c",
        "GET /a#b",
        "GET /a b",
        "GET /a/../b",
        "GET /a/%2e%2E/b",
        "GET /a//b",
        "GET //evil.example.com/b",
        "GET /a/{{ x | date | nope }}",
        "GET other:/a",
        "GET https://evil.example.com/a",
        "GET {{ x }}:/a",
        "GET {{ x }}/a",
        "GET /ä",
    ] {
        assert!(!request(bad).is_empty(), "{bad}");
    }
}

#[test]
fn a_whole_url_has_no_slot_in_its_host_and_is_https() {
    let request = |line: &str| {
        let table = Table::parse("x", &format!("request = \"{line}\"\n")).expect("valid");
        let problems = Problems::default();
        let step = Step::load(&Reader::new(&table, "", &problems), "verify", &Defaults::whole_urls(), &[]);
        (step.is_some(), problems.take().len())
    };
    for good in [
        "GET https://crm.example.com/health/keys",
        "GET https://crm.example.com",
        "GET http://127.0.0.1:8080/{{ new.id }}",
        "GET http://[::1]/",
    ] {
        assert_eq!(request(good), (true, 0), "{good}");
    }
    for bad in [
        "GET http://crm.example.com/",
        "GET https://{{ x }}.example.com/",
        "GET https://u:p@crm.example.com/",
        "GET https://crm.example.com?x=1",
        "GET /path",
        "GET ftp://crm.example.com/",
        "GET https:///x",
    ] {
        assert!(!request(bad).0, "{bad}");
    }
}

#[test]
fn origins_are_https_or_loopback() {
    for good in [
        "https://api.example.com",
        "https://api.example.com:8443/gitlab",
        "http://127.0.0.1:1",
        "http://localhost:8000",
        "http://[::1]:1",
    ] {
        assert!(origin(good).is_ok(), "{good}");
    }
    for bad in [
        "http://api.example.com",
        "https://user@h.example",
        "https://u:hunter2@h.example",
        "https://h.example?x",
        "https://h.example#x",
        "file:///x",
        "h.example",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
    ] {
        let error = origin(bad).expect_err(bad);
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn auth_is_exactly_one_kind() {
    let auth = |text: &str| problems(&format!("[s]\nrequest = \"GET /\"\nauth = {text}\n"));
    for good in [
        "{}",
        "{ bearer = \"{{ credential }}\" }",
        "{ header = { X-Key = \"{{ credential }}\", X-App = \"a\" } }",
        "{ basic = { user = \"\", password = \"{{ credential }}\" } }",
        "{ hmac = { key = \"{{ credential }}\", message = \"{{ request.body }}\", headers = { X-Sig = \"{{ signature }}\" } } }",
    ] {
        assert!(auth(good).is_empty(), "{good}: {:?}", auth(good));
    }
    for bad in [
        "{ bearer = \"a\", header = { A = \"b\" } }",
        "{ digest = {} }",
        "{ bearer = 7 }",
        "{ header = { Host = \"a\" } }",
        "{ header = { \"a b\" = \"a\" } }",
        "{ basic = { user = \"a\" } }",
        "{ hmac = { key = \"k\", message = \"{{ signature }}\", headers = { A = \"{{ signature }}\" } } }",
        "{ hmac = { key = \"k\", message = \"m\", headers = { A = \"b\" } } }",
        "{ hmac = { key = \"k\", message = \"m\", algorithm = \"md5\", headers = { A = \"{{ signature }}\" } } }",
    ] {
        assert!(!auth(bad).is_empty(), "{bad}");
    }
}

#[test]
fn what_comes_later_says_so() {
    for (text, key) in [
        ("reply = \"xml\"\n[s]\nrequest = \"GET /\"\n", "reply"),
        ("[s]\nrequest = \"GET /\"\nreply = \"xml\"\n", "s.reply"),
        ("[s]\nrequest = \"PUT /\"\njson = { v = \"{{ field.value | sealed_box:steps.k.key }}\" }\n", "s.json.v"),
        ("[s]\nrequest = \"GET /\"\n[s.auth.sigv4]\nservice = \"iam\"\n", "s.auth.sigv4"),
    ] {
        let all = problems(text);
        assert!(all.len() == 1 && all[0].contains(&format!("{key}: not yet: ")), "{all:?}");
    }
}

#[test]
fn an_empty_auth_table_is_none() {
    let table = Table::parse("x", "[auth]\n").expect("valid");
    let problems = Problems::default();
    assert!(matches!(Auth::load(&Reader::new(&table, "", &problems), "auth"), Some(Auth::None)));
    assert_eq!(problems.count(), 0);
}

#[test]
fn extra_keys_belong_to_the_caller() {
    let text = "[s]\nrequest = \"GET /\"\naccepted = { status = [200] }\n";
    assert!(loaded(text, &[]).is_err());
    assert!(loaded(text, &["accepted", "refused"]).is_ok());
    let table = Table::parse("x", "accepted = { status = [200], stats = 1 }\n").expect("valid");
    let problems = Problems::default();
    assert!(Match::load(&Reader::new(&table, "", &problems), "accepted").is_none());
    assert_eq!(problems.count(), 1);
}

#[test]
fn slots_are_checked_where_they_stand() {
    let step = step(concat!(
        "[s]\nrequest = \"GET /{{ old.id | subpath }}\"\nquery = { a = \"{{ old.id | subpath }}\" }\n",
        "json = { a = \"{{ old.scopes? }}\", b = \"x{{ old.scopes? }}\" }\nkeep = { h = \"/h\" }\n",
        "extract = { id = \"/l/[a={{ steps.s.h }}]/id\" }\n",
        "[s.auth.hmac]\nkey = \"{{ credential }}\"\nmessage = \"{{ request.body }}{{ request.timestamp }}{{ now | date }}\"\n",
        "headers = { X-Sig = \"{{ signature }}\", X-T = \"{{ request.nope }}\" }\n",
        "[s.poll]\nrequest = \"GET /j/{{ steps.s.h }}\"\ndone = {}\n",
    ));
    let mut scope = Scope::new();
    scope.add("old.id", Known::plain(Kind::Text)).add("old.scopes", Known::plain(Kind::Any).optional());
    scope.add("credential", Known::secret()).add("now", Known::plain(Kind::Time));
    let problems = Problems::default();
    step.check(&scope, &problems);
    let all: Vec<_> = problems.take().iter().map(|problem| problem.key.clone()).collect();
    assert_eq!(all, ["s.query.a", "s.json.b", "s.auth.hmac.headers.X-T"]);
}

#[test]
fn headers_of_the_connection_are_not_for_steps() {
    assert!(!Step::is_header("Transfer-Encoding") && !Step::is_header("content-length") && !Step::is_header("a b"));
    assert!(Step::is_header("Idempotency-Key"));
}
