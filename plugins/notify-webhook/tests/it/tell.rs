//! What a webhook is sent, and what counts as taken.

use cutover_api::{Message, Notifier};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{CREDENTIAL, Server, message, nobody, notifier, raw, read, told};

#[tokio::test]
async fn without_a_body_the_whole_alert_is_sent() {
    let server = Server::start(200, "ok, plain text").await;
    let notifier = notifier(&format!(
        "kind = \"webhook\"\nseverity = \"info\"\nholders = [\"dana@example.com\"]\nrequest = \"POST http://127.0.0.1:{}/hook\"\ncredential = {{ env = \"HOOK\" }}\nauth = {{ bearer = \"{{{{ credential }}}}\" }}\n",
        server.port
    ));
    assert_eq!(notifier.tell(&message()).await, Ok(()));
    let heard = server.heard();
    assert_eq!(heard[0].0, format!("POST /hook application/json Bearer {CREDENTIAL}"));
    let sent: Message = serde_json::from_str(&heard[0].1).expect("a message");
    assert_eq!(sent, message());
}

#[tokio::test]
async fn a_body_of_its_own_is_sent_instead() {
    let server = Server::start(204, "").await;
    let base = format!("request = \"POST http://127.0.0.1:{}/{{{{ alert.severity }}}}\"\n", server.port);
    let json = "json = { text = \"{{ alert.environment }}: {{ alert.subject }}\", dedup = \"{{ alert.id }}\", who = \"{{ alert.policy }}\", all = \"{{ alert.policies }}\", facts = \"{{ alert.facts }}\", rotation = \"{{ alert.rotation? }}\", long = \"{{ alert.text }}\" }\n";
    assert_eq!(notifier(&format!("{base}{json}")).tell(&message()).await, Ok(()));
    let sent: serde_json::Value = serde_json::from_str(&server.heard()[0].1).expect("JSON");
    let expected = serde_json::json!({
        "text": "prod: [prod] „crm“ is held", "dedup": "alert-1", "who": "crm, erp", "all": ["crm", "erp"],
        "facts": { "phase": "mint" }, "long": "two\nlines \"quoted\"\n",
    });
    assert_eq!(sent, expected);
    assert_eq!(server.heard()[0].0, "POST /critical application/json -");

    let without = Message { facts: serde_json::Value::Null, rotation: Some("r1".to_owned()), ..message() };
    assert_eq!(notifier(&format!("{base}{json}")).tell(&without).await, Ok(()), "an alert without facts is sent all the same");
    let sent: serde_json::Value = serde_json::from_str(&server.heard()[1].1).expect("JSON");
    assert_eq!((&sent["facts"], &sent["rotation"]), (&serde_json::json!({}), &serde_json::json!("r1")));

    let text = notifier(&format!("{base}text = \"{{{{ alert.text }}}}\"\n"));
    assert_eq!(text.tell(&message()).await, Ok(()));
    assert_eq!(server.heard()[2].1, message().text);

    let get = notifier(&format!(
        "request = \"GET http://127.0.0.1:{}/push\"\nquery = {{ message = \"{{{{ alert.subject }}}}\" }}\n",
        server.port
    ));
    assert_eq!(get.tell(&message()).await, Ok(()));
    assert_eq!(server.heard()[3].1, "", "a GET gets no body");
}

#[tokio::test]
async fn only_the_expected_answer_is_ok() {
    for (status, body, more, expected) in [
        (200, "canary", "", None),
        (202, "{\"ok\":true}", "expect = { body = { \"/ok\" = true } }\n", None),
        (200, "{\"ok\":false,\"error\":\"canary\"}", "expect = { body = { \"/ok\" = true } }\n", Some(("status", false))),
        (200, "", "expect = { status = [202] }\n", Some(("status", false))),
        (301, "canary", "", Some(("status", true))),
        (400, "canary", "", Some(("refused", true))),
        (401, "canary", "", Some(("auth", false))),
        (403, "canary", "", Some(("auth", false))),
        (404, "canary", "", Some(("refused", true))),
        (408, "canary", "", Some(("status", false))),
        (410, "canary", "", Some(("refused", true))),
        (429, "canary", "", Some(("refused", false))),
        (500, "canary", "", Some(("status", false))),
        (503, "canary", "", Some(("status", false))),
    ] {
        let server = Server::start(status, body).await;
        let result = notifier(&format!("request = \"POST http://127.0.0.1:{}/\"\n{more}", server.port)).tell(&message()).await;
        match expected {
            None => assert_eq!(result, Ok(())),
            Some(expected) => assert_eq!(told(result), expected, "{status}"),
        }
        assert_eq!(server.heard().len(), 1, "{status}: nothing is repeated or followed");
    }
}

#[tokio::test]
async fn without_an_answer_it_was_not_accepted() {
    let (hang, _served) = raw(async |mut stream| {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
    })
    .await;
    let (cut, _served) = raw(async |mut stream| {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncan").await;
    })
    .await;
    let (closed, _served) = raw(async |mut stream| {
        let _ = stream.read(&mut [0; 4096]).await;
    })
    .await;
    for (port, label) in [(hang, "timeout"), (closed, "connect"), (nobody().await, "connect")] {
        let notifier = notifier(&format!("request = \"POST http://127.0.0.1:{port}/\"\ntimeout = \"1s\"\n"));
        assert_eq!(told(notifier.tell(&message()).await), (label, false));
    }
    // Its status came, its body did not.
    let result = notifier(&format!("request = \"POST http://127.0.0.1:{cut}/\"\n")).tell(&message()).await;
    assert!(["connect", "status"].contains(&told(result).0));
}

#[tokio::test]
async fn a_request_that_cannot_be_made_is_permanent_and_a_missing_credential_is_not() {
    let server = Server::start(200, "").await;
    let base = format!("request = \"POST http://127.0.0.1:{}/\"\n", server.port);
    let header = notifier(&format!("{base}headers = {{ X-Text = \"{{{{ alert.text }}}}\" }}\n"));
    assert_eq!(told(header.tell(&message()).await), ("refused", true), "a header holds no line breaks");
    let missing =
        notifier(&format!("{base}credential = {{ file = \"absent\" }}\nauth = {{ bearer = \"{{{{ credential }}}}\" }}\n"));
    assert_eq!(told(missing.tell(&message()).await), ("auth", false));
    assert!(server.heard().is_empty());
}

#[test]
fn every_mistake_is_named() {
    let wrong = |text: &str| {
        let (notifier, problems) = read(text);
        assert!(notifier.is_none(), "{text}");
        problems
    };
    assert!(wrong("kind = \"webhook\"\n").contains("request: missing"));
    assert!(wrong("request = \"POST http://hooks.example.com/\"\n").contains("request"));
    let all = wrong("request = \"POST https://hooks.example.com/\"\nurl = \"x\"\nca = \"ca.pem\"\ncredential = \"hunter2\"\n");
    for part in ["notify.ops.url: unknown key", "ca: \"ca.pem\" is not an absolute path", "a secret stands here in clear"] {
        assert!(all.contains(part), "{part} is not in:\n{all}");
    }
    assert!(!all.contains("hunter2"));
    let slots = wrong(
        "request = \"POST https://hooks.example.com/\"\ncredential = \"hunter2\"\njson = { a = \"{{ new.secret }}\", b = \"{{ credential }}\", c = \"{{ alert.rotation }}\" }\n",
    );
    assert!(slots.contains("new.secret") && slots.contains("alert.rotation"), "{slots}");
    assert!(!slots.contains("unknown path {{ credential }}"), "a credential that is wrong is there all the same: {slots}");
}
