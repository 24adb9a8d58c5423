use cutover_api::{Class, Outcome};
use cutover_http_step::{Judged, Origins, Reply, Sent, Vars, origin};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::{Answer, NOW, Server, Standing, answer, http, step, vars};

const MINT: &str =
    "[s]\nrequest = \"POST /keys\"\njson = { a = 1 }\ntimeout = \"2s\"\nextract = { \"new.secret\" = \"/token\" }\n";

/// What became of a mint against these answers: class or label, and the status.
async fn mint(answers: Vec<Answer>) -> (String, Option<i32>, Option<Reply>, usize) {
    let server = Server::start(answers).await;
    let step = step(MINT);
    let (said, status, reply) = match step.send(&http(), &server.origins(), &Vars::new(), NOW).await {
        Sent::Unsent(refusal) => (refusal.class.label().to_owned(), refusal.status, None),
        Sent::Unknown(cause, partial) => {
            let reply = partial.map(|partial| Reply::from_sealed(&partial.to_sealed()).expect("sealed"));
            (format!("unknown {}", cause.label), cause.status, reply)
        }
        Sent::Reply(reply) => match step.judge(&reply, &Vars::new()) {
            Judged::Done => ("done".to_owned(), None, Some(reply)),
            Judged::Refused(refusal) => (refusal.class.label().to_owned(), refusal.status, Some(reply)),
            Judged::Unknown(cause) => (format!("unknown {}", cause.label), cause.status, Some(reply)),
        },
    };
    (said, status, reply, server.seen().len())
}

fn sealed(reply: Option<Reply>) -> String {
    use base64::Engine as _;
    let sealed = reply.expect("something was received").to_sealed();
    let value: serde_json::Value = serde_json::from_str(sealed.expose()).expect("JSON");
    let body = base64::engine::general_purpose::STANDARD.decode(value["body"].as_str().expect("text")).expect("base 64");
    String::from_utf8_lossy(&body).into_owned()
}

#[tokio::test]
async fn a_whole_reply_is_done() {
    let headers = "Date: Sat, 21 Nov 2026 10:00:00 GMT\r\n";
    let (said, _, reply, sent) = mint(vec![answer("200 OK", headers, r#"{"token":"t"}"#)]).await;
    assert_eq!((said.as_str(), sent), ("done", 1));
    assert_eq!(reply.expect("whole").date().map(|at| at.0), Some(1_795_255_200_000));
}

#[tokio::test]
async fn a_refused_connection_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let origins = Origins { base: Some(origin(&base).expect("loopback")), ..Origins::default() };
    let Sent::Unsent(refusal) = step(MINT).send(&http(), &origins, &Vars::new(), NOW).await else { panic!("unsent") };
    assert_eq!(refusal.class, Class::Unsent);
    let said = format!("s: unsent: {base}: connection refused: nothing listens there; nothing was sent");
    assert_eq!(refusal.to_string(), said, "where to, and nothing behind it");
}

#[tokio::test]
async fn a_host_without_address_sent_nothing() {
    let origins = Origins { base: Some(origin("https://no-such-host.invalid").expect("https")), ..Origins::default() };
    let Sent::Unsent(refusal) = step(MINT).send(&http(), &origins, &Vars::new(), NOW).await else { panic!("unsent") };
    assert_eq!(refusal.class, Class::Unsent);
    assert!(refusal.to_string().contains("https://no-such-host.invalid:443: its name has no address (DNS)"), "{refusal}");
}

#[tokio::test]
async fn what_speaks_no_tls_was_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let base = format!("https://{}", listener.local_addr().expect("bound"));
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await.expect("written");
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard).await;
        heard
    });
    let origins = Origins { base: Some(origin(&base).expect("https")), ..Origins::default() };
    let Sent::Unsent(refusal) = step(MINT).send(&http(), &origins, &Vars::new(), NOW).await else { panic!("unsent") };
    assert_eq!(refusal.class, Class::Unsent);
    assert!(refusal.to_string().contains("what answers there does not speak TLS"), "{refusal}");
    assert!(!String::from_utf8_lossy(&heard.await.expect("ended")).contains("/keys"), "no request in clear");
}

#[tokio::test]
async fn a_line_that_dies_after_the_request_is_unknown_and_not_repeated() {
    let (said, status, reply, sent) = mint(vec![Answer::Drop]).await;
    assert_eq!((said.as_str(), status, sent), ("unknown cut", None, 1));
    assert!(reply.is_none());
}

#[tokio::test]
async fn a_cut_reply_is_unknown_and_what_came_is_kept() {
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"token\":\"bnd_tok_1\"".to_vec();
    let (said, status, reply, sent) = mint(vec![Answer::Send(cut)]).await;
    assert_eq!((said.as_str(), status, sent), ("unknown cut", Some(200), 1));
    assert!(reply.as_ref().is_some_and(|reply| !reply.is_whole()));
    assert_eq!(sealed(reply), "{\"token\":\"bnd_tok_1\"");
}

#[tokio::test]
async fn a_reply_slower_than_the_deadline_is_unknown_and_what_came_is_kept() {
    let stalled = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"token\":".to_vec();
    let (said, status, reply, _) = mint(vec![Answer::Stall(stalled)]).await;
    assert_eq!((said.as_str(), status), ("unknown timeout", Some(200)));
    assert_eq!(sealed(reply), "{\"token\":");
    let (said, status, reply, _) = mint(vec![Answer::Stall(Vec::new())]).await;
    assert_eq!((said.as_str(), status, reply.is_none()), ("unknown timeout", None, true));
}

#[tokio::test]
async fn a_reply_of_10_mb_is_read_to_1_mib() {
    let body = "x".repeat(10_000_000);
    let (said, _, reply, _) = mint(vec![answer("200 OK", "", &body)]).await;
    assert_eq!(said, "unknown too-long");
    assert_eq!(sealed(reply).len(), 1024 * 1024);
    let exact = format!("\"{}\"", "x".repeat(1024 * 1024 - 2));
    assert_eq!(mint(vec![answer("200 OK", "", &exact)]).await.0, "done", "exactly 1 MiB is read");
}

#[tokio::test]
async fn a_text_that_ends_with_its_line_may_be_cut() {
    let text = step("[s]\nrequest = \"POST /keys\"\nreply = \"text\"\nextract = { \"new.secret\" = \"\" }\n");
    let bare = Answer::Send(b"HTTP/1.1 200 OK\r\n\r\nbnd_tok_12".to_vec());
    let server = Server::start(vec![bare, answer("200 OK", "", "bnd_tok_123")]).await;
    let Outcome::Unknown(cause) = text.run(&http(), &server.origins(), &Vars::new(), &Standing).await else {
        panic!("unknown")
    };
    assert_eq!(cause.label, "cut");
    assert!(matches!(text.run(&http(), &server.origins(), &Vars::new(), &Standing).await, Outcome::Done(_)));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start(vec![answer("200 OK", "", "{}")]).await;
    let headers = format!("Location: {}/keys\r\n", elsewhere.base);
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        assert_eq!(mint(vec![answer(status, &headers, "")]).await.0, "unknown redirect", "{status}");
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn errors_of_the_server_are_unknown_and_asked_once() {
    for (status, wanted) in
        [("500 No", "unknown status-5xx"), ("503 Busy", "unknown status-5xx"), ("408 Late", "unknown status-408")]
    {
        let (said, _, _, sent) = mint(vec![answer(status, "", "")]).await;
        assert_eq!((said.as_str(), sent), (wanted, 1));
    }
}

#[tokio::test]
async fn pages_and_deep_replies_are_unknown() {
    assert_eq!(mint(vec![answer("200 OK", "", "<html><body>Sign in</body></html>")]).await.0, "unknown unreadable");
    let deep = format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000));
    assert_eq!(mint(vec![answer("200 OK", "", &deep)]).await.0, "unknown unreadable");
}

#[tokio::test]
async fn garbage_instead_of_http_is_unknown() {
    assert_eq!(mint(vec![Answer::Send(b"SSH-2.0-OpenSSH\r\n".to_vec())]).await.0, "unknown cut");
}

#[tokio::test]
async fn a_missing_value_is_unknown() {
    let server = Server::start(vec![answer("200 OK", "", r#"{"token":""}"#)]).await;
    let Outcome::Unknown(cause) = step(MINT).run(&http(), &server.origins(), &Vars::new(), &Standing).await else {
        panic!("unknown")
    };
    assert_eq!(cause.label, "unreadable");
    assert_eq!(cause.hint.as_deref(), Some("new.secret (/token) is empty"));
}

#[tokio::test]
async fn what_cannot_be_rendered_is_not_sent() {
    let server = Server::start(vec![answer("200 OK", "", "{}")]).await;
    let step = step("[s]\nrequest = \"GET /keys/{{ key.id }}\"\n");
    for bad in ["", ".", "..", "a/b", "a\\b", "a\nb"] {
        let Sent::Unsent(refusal) = step.send(&http(), &server.origins(), &vars(&[("key.id", bad)]), NOW).await else {
            panic!("{bad:?}")
        };
        assert_eq!(refusal.class, Class::Refused);
        assert!(refusal.hint.expect("a hint").starts_with("nothing was sent: {{ key.id }} "));
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_first_reply_is_polled_to_its_end() {
    let text = concat!(
        "[s]\nrequest = \"POST /jobs\"\nexpect = { status = [200, 202] }\nkeep = { handle = \"/h\" }\nextract = { \"new.secret\" = \"/token\" }\n",
        "[s.auth]\nbearer = \"{{ credential }}\"\n",
        "[s.poll]\nrequest = \"GET /jobs/{{ steps.s.handle }}\"\ndone = { status = [200], body = { \"/state\" = \"done\" } }\n",
        "failed = { status = [200], body = { \"/state\" = \"failed\" } }\nevery = \"1s\"\ntimeout = \"30s\"\n",
    );
    let first = answer("202 Accepted", "", r#"{"h":"j 1"}"#);
    let state = |state: &str| answer("200 OK", "", &format!(r#"{{"state":"{state}","token":"t1"}}"#));
    let server = Server::start(vec![first.clone(), state("running"), answer("503 Busy", "", ""), state("done")]).await;
    let step_one = step(text);
    assert!(step_one.polls());
    let run =
        async |server: &Server| step(text).run(&http(), &server.origins(), &vars(&[("credential", "c")]), &Standing).await;
    let Outcome::Done(done) = run(&server).await else { panic!("done") };
    assert_eq!(done.extract.len(), 1);
    let seen = server.seen();
    assert_eq!(seen.len(), 4);
    assert!(seen[3].starts_with("GET /jobs/j%201 ") && seen[3].contains("authorization: Bearer c"), "{}", seen[3]);
    assert!(done.reply.to_sealed().expose().contains("\"polled\":true"));
    assert_eq!(step_one.judge(&done.reply, &Vars::new()), Judged::Done, "the sealed reply is judged by `done`");

    let failing = Server::start(vec![first.clone(), state("failed")]).await;
    assert!(matches!(run(&failing).await, Outcome::Refused(refusal) if refusal.class == Class::Refused));
    let lost = Server::start(vec![first, answer("404 Gone", "", "")]).await;
    assert!(matches!(run(&lost).await, Outcome::Unknown(cause) if cause.label == "poll"));
}
