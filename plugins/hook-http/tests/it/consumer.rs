//! What a consumer is asked, and what counts as its answer.

use cutover_api::{Outcome, Sighting, Witness, WitnessVars};
use cutover_hook_http::ConsumerWitness;

use crate::common::{CREDENTIAL, Server, built, nobody};

fn vars() -> WitnessVars {
    WitnessVars {
        policy: "my-crm".to_owned(),
        rotation: String::new(),
        key_id: "key_7".to_owned(),
        fingerprint: "sha256:0011223344556677".to_owned(),
    }
}

fn witness(port: u16, more: &str) -> ConsumerWitness {
    let text = format!(
        "kind = \"consumer\"\nevery = \"30s\"\nfor = \"2m\"\ncovers = [\"vault:apps/crm\"]\nrequest = \"GET http://127.0.0.1:{port}/health/keys\"\n{more}"
    );
    let (witness, problems) = built(&text, "policy.crm.verify[2]", ConsumerWitness::build);
    assert_eq!(problems, "");
    witness.expect("nothing is wrong with it")
}

async fn seen(status: u16, body: &'static str, fingerprint: &str) -> Result<Vec<String>, String> {
    let server = Server::start(&[(status, body)]).await;
    let outcome = witness(server.port, &format!("fingerprint = {fingerprint:?}\n")).look(&vars()).await;
    assert!(!format!("{outcome:?}").contains("canary"), "{outcome:?}");
    match outcome {
        Outcome::Done(Sighting::Names(names)) => Ok(names),
        Outcome::Done(Sighting::Holds(_)) => panic!("a consumer names keys"),
        Outcome::Refused(refusal) => Err(format!("{}: refused {}", refusal.step, refusal.class.label())),
        Outcome::Unknown(cause) => Err(format!("{}: unknown {}", cause.step, cause.label)),
    }
}

#[tokio::test]
async fn one_key_or_many() {
    assert_eq!(
        seen(200, r#"{"bondi":{"fingerprint":"sha256:00"}}"#, "/bondi/fingerprint").await,
        Ok(vec!["sha256:00".to_owned()])
    );
    assert_eq!(seen(200, r#"{"keys":["pk_1","pk_2"]}"#, "/keys").await, Ok(vec!["pk_1".to_owned(), "pk_2".to_owned()]));
    assert_eq!(seen(200, "{}", "header:X-Key").await, Ok(vec!["sha256:0011223344556677".to_owned()]));
}

#[tokio::test]
async fn anything_else_is_no_answer() {
    let unreadable = Err("verify 3: unknown unreadable".to_owned());
    for body in [
        "{}",
        "no JSON: canary",
        r#"{"keys":[]}"#,
        r#"{"keys":[""]}"#,
        r#"{"keys":["a",1]}"#,
        r#"{"keys":{"a":"b"}}"#,
        r#"{"keys":null}"#,
        r#"{"keys":"two words"}"#,
        r#"{"keys":"line\nbreak"}"#,
        r#"{"keys":true}"#,
    ] {
        assert_eq!(seen(200, body, "/keys").await, unreadable, "{body}");
    }
    let long: &'static str = Box::leak(format!("{{\"keys\":\"{}\"}}", "x".repeat(257)).into_boxed_str());
    assert_eq!(seen(200, long, "/keys").await, unreadable);
    let many: &'static str = Box::leak(format!("{{\"keys\":[{}\"x\"]}}", "\"x\",".repeat(1_000)).into_boxed_str());
    assert_eq!(seen(200, many, "/keys").await, unreadable);
    assert_eq!(seen(404, "canary", "/keys").await, Err("verify 3: refused gone".to_owned()));
    assert_eq!(seen(503, r#"{"keys":"canary"}"#, "/keys").await, Err("verify 3: unknown status-5xx".to_owned()));
    assert_eq!(seen(302, r#"{"keys":"canary"}"#, "/keys").await, Err("verify 3: unknown redirect".to_owned()));
    let outcome = witness(nobody().await, "fingerprint = \"/keys\"\n").look(&vars()).await;
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_consumer_may_be_asked_about_the_key_with_a_credential() {
    let server = Server::start(&[(200, r#""sha256:0011223344556677""#)]).await;
    let more = "credential = { env = \"HEALTH\" }\nauth = { bearer = \"{{ credential }}\" }\nquery = { key = \"{{ new.id }}\" }\nfingerprint = \"\"\n";
    assert!(matches!(witness(server.port, more).look(&vars()).await, Outcome::Done(Sighting::Names(_))));
    assert_eq!(server.heard(), [format!("GET /health/keys?key=key_7 Bearer {CREDENTIAL} ")]);
}

#[test]
fn every_mistake_is_named() {
    let wrong = |text: &str| {
        let (witness, problems) = built(text, "policy.crm.verify[2]", ConsumerWitness::build);
        assert!(witness.is_none(), "{text}");
        problems
    };
    assert!(wrong("request = \"GET https://example.com/\"\n").contains("fingerprint: missing"));
    assert!(wrong("request = \"GET http://crm.internal/health\"\nfingerprint = \"/a\"\n").contains("request"));
    assert!(wrong("request = \"GET https://example.com/\"\nfingerprint = \"/a?\"\n").contains("proves nothing"));
    assert!(wrong("request = \"GET https://example.com/\"\nfingerprint = \"a\"\n").contains("is no source"));
    assert!(
        wrong("request = \"GET https://example.com/{{ new.secret }}\"\nfingerprint = \"/a/[x={{ old.id }}]\"\n")
            .contains("new.secret")
    );
    assert!(wrong("request = \"GET https://example.com/\"\nfingerprint = \"/a/[x={{ old.id }}]\"\n").contains("old.id"));
}
