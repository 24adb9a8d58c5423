//! Nothing secret is logged or told. Alone in its process: a log that other tests write to at the same time proves nothing.

#![expect(clippy::expect_used, reason = "tests, and what helps them, end by panicking")]

#[path = "it/support.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod support;

use std::io::{Result, Write};
use std::sync::{Arc, Mutex};

use cutover_api::{Outcome, Secret};
use cutover_http_step::{Var, Vars};
use tracing::level_filters::LevelFilter;

use support::{Answer, Server, Standing, answer, http, step};

/// Where the log goes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_value_is_logged_or_told() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let text = concat!(
        "[errors]\nat = \"/error\"\nis = {}\n[s]\nrequest = \"POST /k/{{ key.secret }}\"\nquery = { q = \"{{ key.secret }}\" }\n",
        "headers = { X-A = \"{{ key.secret }}\" }\njson = { s = \"{{ key.secret }}\" }\nextract = { \"new.secret\" = \"/token\" }\n",
        "[s.auth]\nbearer = \"{{ credential }}\"\n",
    );
    let mut vars = Vars::new();
    for path in ["credential", "key.secret"] {
        vars.set(path, Var::Secret(Secret::new("canary-1".to_owned())));
    }
    let cut = b"HTTP/1.1 200 OK\r\nSet-Cookie: canary-2\r\nContent-Length: 99\r\n\r\n{\"token\":\"canary-2".to_vec();
    let answers = vec![
        answer("200 OK", "Set-Cookie: s=canary-2\r\n", r#"{"token":"canary-2"}"#),
        answer("200 OK", "", r#"{"token":["canary-2"]}"#),
        answer("400 Bad", "", r#"{"error":"canary-2 is bad"}"#),
        answer("500 Bad canary-2", "", r#"{"error":"canary-2 is bad"}"#),
        answer("302 Found", "Location: /canary-2\r\n", ""),
        Answer::Send(cut),
        Answer::Send(b"canary-2".to_vec()),
    ];
    let mut told = Vec::new();
    let server = Server::start(answers.clone()).await;
    for _ in &answers {
        told.push(match step(text).run(&http(), &server.origins(), &vars, &Standing).await {
            Outcome::Done(_) => "done".to_owned(),
            Outcome::Refused(refusal) => format!("{refusal} {refusal:?}"),
            Outcome::Unknown(cause) => format!("{cause} {cause:?}"),
        });
    }
    vars.set("credential", Var::Secret(Secret::new("canary-1\n".to_owned())));
    if let Outcome::Refused(refusal) = step(text).run(&http(), &server.origins(), &vars, &Standing).await {
        told.push(format!("{refusal} {refusal:?}"));
    }
    assert_eq!((told.len(), server.seen().len()), (8, 7));
    assert!(!told.join("\n").contains("canary"), "{told:#?}");
    let log = String::from_utf8_lossy(&log.0.lock().expect("not poisoned")).into_owned();
    let ours: Vec<_> = log.lines().filter(|line| line.contains("cutover_http_step")).collect();
    assert!(ours.len() >= 7 && log.contains("POST /k/{{ key.secret }}"), "the template is logged:\n{log}");
    // Whatever the libraries below say at their most talkative counts too.
    assert!(!log.contains("canary"), "{log}");
}
