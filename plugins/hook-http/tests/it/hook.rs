//! What an HTTP hook sends, and what it makes of the answers.

use std::time::Duration;

use cutover_api::{Again, Class, Hook, HookVars, Outcome};
use cutover_hook_http::HttpHook;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{CREDENTIAL, Server, built, built_in, nobody, raw};

fn vars() -> HookVars {
    HookVars {
        policy: "my-crm".to_owned(),
        rotation: "r-42".to_owned(),
        run: "0192f0c1-0000-7000-8000-000000000001".to_owned(),
        key_id: "key_7".to_owned(),
        fingerprint: "sha256:0011223344556677".to_owned(),
    }
}

fn hook(text: &str) -> HttpHook {
    let (hook, problems) = built(text, "policy.crm.redeploy[0]", HttpHook::build);
    assert_eq!(problems, "");
    hook.expect("nothing is wrong with it")
}

fn wrong(text: &str) -> String {
    let (hook, problems) = built(text, "policy.crm.redeploy[0]", HttpHook::build);
    assert!(hook.is_none(), "{text}");
    problems
}

fn label(outcome: Outcome<()>) -> String {
    let text = match &outcome {
        Outcome::Done(()) => "done".to_owned(),
        Outcome::Refused(refusal) => {
            assert_eq!(refusal.step, "redeploy 1");
            format!("refused {}", refusal.class.label())
        }
        Outcome::Unknown(cause) => {
            assert_eq!(cause.step, "redeploy 1");
            format!("unknown {}", cause.label)
        }
    };
    assert!(!format!("{outcome:?}").contains("canary"), "{outcome:?}");
    text
}

#[tokio::test]
async fn a_start_says_what_it_is_about_and_takes_a_word_for_an_answer() {
    let server = Server::start(&[(200, "queued, thank you")]).await;
    let hook = hook(&format!(
        "kind = \"http\"\nrequest = \"POST http://127.0.0.1:{}/deploy/{{{{ policy.name }}}}\"\ncredential = {{ file = \"/run/c\" }}\nauth = {{ bearer = \"{{{{ credential }}}}\" }}\njson = {{ rotation = \"{{{{ rotation.id }}}}\", run = \"{{{{ rotation.uuid }}}}\", id = \"{{{{ new.id? }}}}\", print = \"{{{{ new.fingerprint }}}}\" }}\n",
        server.port
    ));
    assert!(!hook.repeatable());
    assert_eq!(hook.timeout(), Duration::from_secs(30));
    assert_eq!(hook.present().await, Ok(()));
    assert!(server.heard().is_empty(), "looking whether it is there starts nothing");
    assert_eq!(label(hook.run(&vars(), Again::First).await), "done");
    assert_eq!(
        server.heard(),
        [format!(
            "POST /deploy/my-crm Bearer {CREDENTIAL} {}",
            r#"{"id":"key_7","print":"sha256:0011223344556677","rotation":"r-42","run":"0192f0c1-0000-7000-8000-000000000001"}"#
        )]
    );
    let nameless = HookVars { key_id: String::new(), ..vars() };
    assert_eq!(label(hook.run(&nameless, Again::First).await), "done");
    assert!(!server.heard()[1].contains("\"id\""), "a provider without ids leaves the leaf out");
}

#[tokio::test]
async fn answers_keep_their_class() {
    for (status, expected) in [
        (202, "done"),
        (302, "unknown redirect"),
        (400, "refused refused"),
        (401, "refused auth"),
        (403, "refused scope"),
        (404, "refused gone"),
        (429, "refused throttle"),
        (500, "unknown status-5xx"),
    ] {
        let server = Server::start(&[(status, "canary")]).await;
        let hook = hook(&format!("request = \"POST http://127.0.0.1:{}/\"\n", server.port));
        assert_eq!(label(hook.run(&vars(), Again::First).await), expected, "{status}");
        assert_eq!(server.heard().len(), 1, "{status}: nothing is repeated or followed");
    }
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_a_line_that_never_opened_is_not() {
    let cut = raw(async |mut stream| {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ncanary").await;
    })
    .await;
    let closed = raw(async |mut stream| {
        let _ = stream.read(&mut [0; 4096]).await;
    })
    .await;
    let hang = raw(async |mut stream| {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
    })
    .await;
    let nobody = nobody().await;
    for (port, expected) in
        [(cut, "unknown cut"), (closed, "unknown cut"), (hang, "unknown timeout"), (nobody, "refused unsent")]
    {
        let hook = hook(&format!("request = \"POST http://127.0.0.1:{port}/\"\ntimeout = \"1s\"\n"));
        assert_eq!(label(hook.run(&vars(), Again::First).await), expected);
    }
}

const POLL: &str = "keep = { job = \"/job\" }\n[poll]\nrequest = \"GET http://127.0.0.1:PORT/jobs/{{ steps.redeploy.job }}\"\nevery = \"1s\"\ndone = { body = { \"/state\" = \"up\" } }\nfailed = { body = { \"/state\" = \"failed\" } }\n";

#[tokio::test]
async fn polls_see_it_done_or_failed() {
    for (end, expected) in [("{\"state\":\"up\"}", "done"), ("{\"state\":\"failed\"}", "refused refused")] {
        let server = Server::start(&[(202, "{\"job\":\"j1\"}"), (200, end)]).await;
        let port = server.port.to_string();
        let hook = hook(&format!("request = \"POST http://127.0.0.1:PORT/deploy\"\n{POLL}").replace("PORT", &port));
        assert_eq!(hook.timeout(), Duration::from_secs(630));
        assert_eq!(label(hook.run(&vars(), Again::First).await), expected);
        assert_eq!(server.heard()[1], "GET /jobs/j1 - ");
    }
}

fn recovering(port: u16) -> HttpHook {
    hook(&format!(
        "request = \"POST http://127.0.0.1:{port}/deploy\"\n[recover]\nrequest = \"GET http://127.0.0.1:{port}/runs/{{{{ rotation.uuid }}}}\"\nfound = {{ body = {{ \"/run\" = \"{{{{ rotation.uuid }}}}\" }} }}\n"
    ))
}

const THERE: &str = "{\"run\":\"0192f0c1-0000-7000-8000-000000000001\"}";

#[tokio::test]
async fn a_start_that_may_have_happened_is_looked_for_first() {
    let look = "GET /runs/0192f0c1-0000-7000-8000-000000000001 - ";
    for (answers, expected, asked) in [
        (vec![(200, THERE)], "done", vec![look]),
        (vec![(404, "canary"), (200, "")], "done", vec![look, "POST /deploy - "]),
        (vec![(200, "{\"run\":\"another\"}"), (200, "")], "done", vec![look, "POST /deploy - "]),
        (vec![(404, ""), (400, "")], "refused refused", vec![look, "POST /deploy - "]),
        // Whatever leaves it open whether the earlier start happened: no second start.
        (vec![(401, "canary"), (200, "")], "unknown recover", vec![look]),
        (vec![(500, "canary"), (200, "")], "unknown status-5xx", vec![look]),
        (vec![(200, "no JSON, canary"), (200, "")], "unknown unreadable", vec![look]),
        (vec![(302, ""), (200, "")], "unknown redirect", vec![look]),
    ] {
        let server = Server::start(&answers).await;
        let hook = recovering(server.port);
        assert!(hook.repeatable());
        assert_eq!(label(hook.run(&vars(), Again::AfterUnknown).await), expected, "{answers:?}");
        assert_eq!(server.heard(), asked, "{answers:?}");
    }
    assert_eq!(label(recovering(nobody().await).run(&vars(), Again::AfterUnknown).await), "unknown recover");
    let server = Server::start(&[(200, THERE)]).await;
    assert_eq!(label(recovering(server.port).run(&vars(), Again::First).await), "done");
    assert_eq!(server.heard(), ["POST /deploy - "], "a first start looks for nothing");
}

#[tokio::test]
async fn a_start_that_was_found_is_seen_to_its_end() {
    let server = Server::start(&[(200, "{\"id\":\"j9\"}"), (200, "{\"state\":\"up\"}")]).await;
    let port = server.port.to_string();
    let text = format!(
        "request = \"POST http://127.0.0.1:PORT/deploy\"\n{POLL}[recover]\nrequest = \"GET http://127.0.0.1:PORT/runs/{{{{ rotation.uuid }}}}\"\nfound = {{ status = [200] }}\nkeep = {{ job = \"/id\" }}\n[recover.poll]\nrequest = \"GET http://127.0.0.1:PORT/found/{{{{ steps.recover.job }}}}\"\ndone = {{ body = {{ \"/state\" = \"up\" }} }}\n"
    );
    assert_eq!(label(hook(&text.replace("PORT", &port)).run(&vars(), Again::AfterUnknown).await), "done");
    assert_eq!(server.heard()[1], "GET /found/j9 - ", "with the polls of recover where it has them");

    let server = Server::start(&[(200, "{\"job\":\"j3\"}"), (200, "{\"state\":\"failed\"}")]).await;
    let port = server.port.to_string();
    let text = format!(
        "request = \"POST http://127.0.0.1:PORT/deploy\"\n{POLL}[recover]\nrequest = \"GET http://127.0.0.1:PORT/runs/1\"\nfound = {{ status = [200] }}\n"
    );
    assert_eq!(label(hook(&text.replace("PORT", &port)).run(&vars(), Again::AfterUnknown).await), "refused refused");
    assert_eq!(server.heard()[1], "GET /jobs/j3 - ", "else with those of the start");
}

#[tokio::test]
async fn without_recover_an_unknown_start_is_not_repeated() {
    let server = Server::start(&[(200, "")]).await;
    let hook = hook(&format!("request = \"POST http://127.0.0.1:{}/\"\n", server.port));
    assert_eq!(label(hook.run(&vars(), Again::AfterUnknown).await), "unknown recover");
    assert!(server.heard().is_empty());
}

#[tokio::test]
async fn a_credential_that_cannot_be_opened_sends_nothing() {
    let server = Server::start(&[(200, "")]).await;
    let text = format!(
        "request = \"POST http://127.0.0.1:{}/\"\ncredential = {{ file = \"/run/c\" }}\nauth = {{ bearer = \"{{{{ credential }}}}\" }}\n",
        server.port
    );
    let recover =
        format!("{text}[recover]\nrequest = \"GET http://127.0.0.1:{}/\"\nfound = {{ status = [200] }}\n", server.port);
    let refused = Err("file /run/c cannot be read".to_owned());
    let (hook, _) = built_in(refused.clone(), &text, "policy.crm.redeploy[0]", HttpHook::build);
    let hook = hook.expect("valid");
    assert_eq!(hook.present().await.expect_err("no credential").class, Class::Unsent);
    assert_eq!(label(hook.run(&vars(), Again::First).await), "refused unsent");
    let (hook, _) = built_in(refused, &recover, "policy.crm.redeploy[0]", HttpHook::build);
    assert_eq!(
        label(hook.expect("valid").run(&vars(), Again::AfterUnknown).await),
        "unknown recover",
        "the earlier start stays open"
    );
    assert!(server.heard().is_empty());
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_not_present() {
    let refusal = hook("request = \"POST https://no-such-host.invalid/\"\n").present().await.expect_err("no such host");
    assert!(refusal.to_string().contains("no-such-host.invalid"), "{refusal}");
}

#[test]
fn every_mistake_is_named() {
    assert!(wrong("kind = \"http\"\n").contains("request: missing"));
    assert!(wrong("request = \"POST http://example.com/\"\n").contains("request"));
    assert!(wrong("request = \"POST https://{{ policy.name }}.example.com/\"\n").contains("request"));
    assert!(wrong("request = \"POST /path\"\n").contains("request"));
    let all = wrong(
        "request = \"POST https://example.com/\"\nretries = 3\nca = \"ca.pem\"\ncredential = \"plain\"\njson = { a = \"{{ new.secret }}\", b = \"{{ credential }}\" }\n[recover]\nrequest = \"GET https://example.com/{{ old.id }}\"\nfound = { status = [200], body = { \"/a\" = \"{{ new.secret }}\" } }\n",
    );
    for part in [
        "redeploy[0].retries: unknown key",
        "ca: \"ca.pem\" is not an absolute path",
        "credential: a secret stands here in clear",
        "new.secret",
        "old.id",
    ] {
        assert!(all.contains(part), "{part} is not in:\n{all}");
    }
    assert!(
        wrong("request = \"POST https://example.com/\"\n[recover]\nrequest = \"GET https://example.com/\"\n")
            .contains("recover.found: missing")
    );
}
