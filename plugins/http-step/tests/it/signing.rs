use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cutover_api::Secret;
use cutover_http_step::{Origins, Sent, Step, Template, Var, Vars, origin};
use serde_json::json;

use crate::support::{NOW, Server, answer, http, step, vars};

/// The request a server is sent.
async fn sent(step: &Step, vars: &Vars) -> String {
    let server = Server::start(vec![answer("200 OK", "", "{}")]).await;
    let origins = Origins { base: Some(origin(&format!("{}/prefix/", server.base)).expect("loopback")), ..server.origins() };
    assert!(matches!(step.send(&http(), &origins, vars, NOW).await, Sent::Reply(_)));
    server.seen().remove(0)
}

fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    request.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
}

#[tokio::test]
async fn every_place_has_its_encoding() {
    let text = concat!(
        "headers = { Accept = \"application/vnd.api+json\", X-Id = \"{{ id }}\" }\nquery = { v = \"{{ id }}\", n = 3, l = [\"a\", \"b\"] }\n",
        "[s]\nrequest = \"POST /a/{{ id }}/{{ sub | subpath }}/{{ sub | escaped }}\"\njson = { id = \"{{ id }}\", list = \"{{ list }}\", no = \"{{ no? }}\" }\n",
    );
    let mut vars = vars(&[("id", "k y&=?#%\"{}"), ("sub", "g r/p")]);
    vars.set("list", Var::Json(json!([1, true])));
    let request = sent(&step(text), &vars).await;
    let line =
        "POST /prefix/a/k%20y%26%3D%3F%23%25%22%7B%7D/g%20r/p/g%20r%2Fp?l=a&l=b&n=3&v=k%20y%26%3D%3F%23%25%22%7B%7D HTTP/1.1";
    assert_eq!(request.lines().next(), Some(line));
    assert_eq!(header(&request, "x-id"), Some("k y&=?#%\"{}"));
    assert_eq!(header(&request, "accept"), Some("application/vnd.api+json"));
    assert_eq!(header(&request, "content-type"), Some("application/json"));
    assert!(request.ends_with("\r\n\r\n{\"id\":\"k y&=?#%\\\"{}\",\"list\":[1,true]}"), "{request}");
}

#[tokio::test]
async fn a_step_replaces_headers_and_query_whole() {
    let top = "headers = { X-A = \"1\", Content-Type = \"application/vnd.api+json\" }\nquery = { v = \"1\" }\n";
    let request = sent(&step(&format!("{top}[s]\nrequest = \"POST /a\"\njson = {{}}\n")), &Vars::new()).await;
    assert!(request.starts_with("POST /prefix/a?v=1 "));
    assert_eq!((header(&request, "x-a"), header(&request, "content-type")), (Some("1"), Some("application/vnd.api+json")));
    let request = sent(
        &step(&format!("{top}[s]\nrequest = \"POST /a\"\nheaders = {{}}\nquery = {{}}\nform = {{ a = \"b c\" }}\n")),
        &Vars::new(),
    )
    .await;
    assert!(request.starts_with("POST /prefix/a HTTP"));
    assert_eq!((header(&request, "x-a"), header(&request, "content-type")), (None, Some("application/x-www-form-urlencoded")));
    assert!(request.ends_with("a=b%20c"));
}

#[tokio::test]
async fn what_the_top_level_adds_is_for_the_base_only() {
    let server = Server::start(vec![answer("200 OK", "", "{}")]).await;
    let mut origins = server.origins();
    origins.hosts.insert("sts".to_owned(), origin(&server.base).expect("loopback"));
    let step = step("headers = { X-A = \"1\" }\nquery = { v = \"1\" }\n[s]\nrequest = \"GET sts:/who\"\n");
    assert!(matches!(step.send(&http(), &origins, &Vars::new(), NOW).await, Sent::Reply(_)));
    let request = server.seen().remove(0);
    assert!(request.starts_with("GET /who HTTP") && header(&request, "x-a").is_none(), "{request}");
}

#[tokio::test]
async fn text_and_further_headers() {
    let text = "[s]\nrequest = \"PUT /a\"\ntext = \"{{ id }}\\n\"\n";
    let step = step(text).with_header("Idempotency-Key", Template::parse("{{ rotation.nonce }}").expect("parses"));
    let request = sent(&step, &vars(&[("id", "plain"), ("rotation.nonce", "abc")])).await;
    assert_eq!(
        (header(&request, "idempotency-key"), header(&request, "content-type")),
        (Some("abc"), Some("text/plain; charset=utf-8"))
    );
    assert!(request.ends_with("\r\n\r\nplain\n"));
    assert!(step.paths().iter().any(|used| used.path == "rotation.nonce"));
}

#[tokio::test]
async fn a_json_body_is_added_where_there_is_none() {
    let leaf = || Template::parse("{{ alert }}").expect("parses");
    let mut vars = Vars::new();
    vars.set("alert", Var::Json(json!({ "id": 1 })));
    let request = sent(&step("[s]\nrequest = \"POST /a\"\n").with_json(leaf()), &vars).await;
    assert!(
        request.ends_with("\r\n\r\n{\"id\":1}") && header(&request, "content-type") == Some("application/json"),
        "{request}"
    );
    let request = sent(&step("[s]\nrequest = \"POST /a\"\ntext = \"own\"\n").with_json(leaf()), &vars).await;
    assert!(request.ends_with("\r\n\r\nown"), "{request}");
}

#[tokio::test]
async fn bearer_header_and_basic() {
    let vars = vars(&[("credential", "s3cret"), ("user", "us er")]);
    let auth = async |auth: &str| sent(&step(&format!("[auth]\n{auth}\n[s]\nrequest = \"GET /\"\n")), &vars).await;
    let request = auth("bearer = \"{{ credential }}\"").await;
    assert_eq!(header(&request, "authorization"), Some("Bearer s3cret"));
    let request = auth("header = { DD-API-KEY = \"{{ credential }}\", Authorization = \"token {{ credential }}\" }").await;
    assert_eq!((header(&request, "dd-api-key"), header(&request, "authorization")), (Some("s3cret"), Some("token s3cret")));
    let request = auth("basic = { user = \"{{ user }}\", password = \"{{ credential }}\" }").await;
    assert_eq!(header(&request, "authorization"), Some(format!("Basic {}", STANDARD.encode("us er:s3cret")).as_str()));
    let request = auth("basic = { user = \"\", password = \"{{ credential }}\" }").await;
    assert_eq!(header(&request, "authorization"), Some(format!("Basic {}", STANDARD.encode(":s3cret")).as_str()));
    let without = sent(&step("[auth]\nbearer = \"{{ credential }}\"\n[s]\nrequest = \"GET /\"\nauth = {}\n"), &vars).await;
    assert_eq!(header(&without, "authorization"), None);
}

#[tokio::test]
async fn a_credential_that_is_no_header_is_not_sent() {
    for (auth, bad) in [
        ("bearer = \"{{ credential }}\"", "a\r\nX: y"),
        ("bearer = \"{{ credential }}\"", ""),
        ("bearer = \"{{ credential }}\"", "a "),
        ("basic = { user = \"{{ credential }}\", password = \"\" }", "a:b"),
    ] {
        let step = step(&format!("[auth]\n{auth}\n[s]\nrequest = \"GET /\"\n"));
        let origins = Origins { base: Some(origin("http://127.0.0.1:1").expect("loopback")), ..Origins::default() };
        let mut vars = Vars::new();
        vars.set("credential", Var::Secret(Secret::new(bad.to_owned())));
        let Sent::Unsent(refusal) = step.send(&http(), &origins, &vars, NOW).await else { panic!("{bad:?}") };
        assert_eq!(refusal.class, cutover_api::Class::Refused, "{bad:?}");
    }
}

#[tokio::test]
async fn an_hmac_signs_what_is_sent() {
    let signed = |key: &str, encoding: &str, algorithm: &str| {
        step(&format!(
            "[s]\nrequest = \"POST /a/{{{{ id }}}}\"\nquery = {{ q = \"x y\" }}\njson = {{ b = 1 }}\n[s.auth.hmac]\nkey = \"{{{{ credential }}}}\"\n\
             key_encoding = \"{key}\"\nalgorithm = \"{algorithm}\"\nencoding = \"{encoding}\"\n\
             message = \"{{{{ request.method }}}}\\n{{{{ request.path }}}}\\n{{{{ request.query }}}}\\n{{{{ request.timestamp }}}}\\n{{{{ request.body }}}}\"\n\
             headers = {{ X-Time = \"{{{{ request.timestamp }}}}\", X-Sig = \"v1={{{{ signature }}}}\" }}\n"
        ))
    };
    let message = b"POST\n/prefix/a/7\nq=x%20y\n1795219200\n{\"b\":1}";
    for (encoded, key_encoding, encoding, algorithm) in
        [("Jefe", "utf8", "hex", "sha256"), ("4a656665", "hex", "base64", "sha512"), ("SmVmZQ==", "base64", "hex", "sha512")]
    {
        let request = sent(&signed(key_encoding, encoding, algorithm), &vars(&[("credential", encoded), ("id", "7")])).await;
        let which = if algorithm == "sha256" { hmac::HMAC_SHA256 } else { hmac::HMAC_SHA512 };
        let tag = hmac::sign(&hmac::Key::new(which, b"Jefe"), message);
        let wanted = if encoding == "hex" { hex::encode(tag.as_ref()) } else { STANDARD.encode(tag.as_ref()) };
        assert_eq!(header(&request, "x-sig"), Some(format!("v1={wanted}").as_str()));
        assert_eq!(header(&request, "x-time"), Some("1795219200"));
    }
}

#[tokio::test]
async fn the_same_intent_renders_the_same_bytes() {
    let text = concat!(
        "[s]\nrequest = \"POST /a\"\nquery = { z = \"1\", a = \"{{ rotation.nonce }}\" }\nheaders = { Z = \"1\", A = \"2\" }\n",
        "json = { z = \"{{ o }}\", a = { y = 1, b = \"{{ rotation.nonce }}\" } }\n",
    );
    let mut vars = vars(&[("rotation.nonce", "abc123")]);
    vars.set("o", Var::Json(json!({ "q": 1, "b": 2 })));
    let port = |request: String| request.lines().filter(|line| !line.starts_with("host: ")).collect::<Vec<_>>().join("\n");
    let first = port(sent(&step(text), &vars).await);
    assert_eq!(first, port(sent(&step(text), &vars).await));
    assert!(first.ends_with(r#"{"a":{"b":"abc123","y":1},"z":{"b":2,"q":1}}"#), "{first}");
}
