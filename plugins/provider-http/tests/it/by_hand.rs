//! Lifecycle `manual`: what a person is asked, what they hand in, and what such a definition cannot say.

use std::collections::BTreeMap;

use cutover_api::{Call, Provider as _, Secret};
use cutover_machine::plan::Lifecycle;
use cutover_provider_http::Definition;

use crate::common;

const HEAD: &str = "name = \"x\"\nabout = \"x\"\nlifecycle = \"manual\"\nbase_url = \"https://api.example.com\"\n";

fn problems(text: &str) -> Vec<String> {
    match Definition::parse("x.toml", text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().map(|problem| format!("{}: {}", problem.key, problem.wrong)).collect(),
    }
}

#[test]
fn a_definition_that_makes_no_call_at_all_is_sound() {
    let text = format!("{HEAD}[manual]\nask = \"Click {{{{ rotation.year }}}}.\"\nfields = [\"secret\"]\n");
    assert_eq!(problems(&text), Vec::<String>::new());
    let definition = common::parsed("x.toml", &text);
    let facts = definition.facts();
    assert_eq!(facts.lifecycle, Lifecycle::Manual);
    assert!(!facts.verbs.new_id && !facts.verbs.read_after_mint && !facts.ends_old_by_clock());
}

#[test]
fn what_a_manual_definition_cannot_say_is_told() {
    let manual = "[manual]\nask = \"Click.\"\nfields = [\"secret\"]\n";
    for (text, key) in [
        (HEAD.to_string(), "manual: missing"),
        (format!("{HEAD}[manual]\nfields = [\"secret\"]\n"), "manual.ask: missing"),
        (format!("{HEAD}[manual]\nask = \"Click.\"\n"), "manual.fields: missing"),
        (format!("{HEAD}[manual]\nask = \"Click.\"\nfields = [\"id\"]\n"), "manual.fields: has no \"secret\""),
        (format!("{HEAD}[manual]\nask = \"Click.\"\nfields = [\"secret\", \"scope\"]\n"), "manual.fields: \"scope\" cannot"),
        (format!("{HEAD}[manual]\nask = \" \"\nfields = [\"secret\"]\n"), "manual.ask: is empty"),
        (
            format!("{HEAD}[manual]\nask = \"{{{{ old.secret }}}}\"\nfields = [\"secret\"]\n"),
            "manual.ask: says {{ old.secret }}",
        ),
        (format!("{HEAD}[manual]\nask = \"{{{{ nothing }}}}\"\nfields = [\"secret\"]\n"), "manual.ask: says what it cannot"),
        (
            format!("{HEAD}[manual]\nask = \"{{{{ grace.choice }}}}\"\nfields = [\"secret\"]\n"),
            "manual.ask: says what it cannot",
        ),
        (format!("{HEAD}{manual}request = \"GET /x\"\n"), "manual.request: unknown key"),
        (format!("{HEAD}{manual}[issue]\nrequest = \"POST /x\"\n"), "issue: does not belong"),
        (
            format!("{HEAD}generate = {{ \"new.secret\" = \"hex:40\" }}\n{manual}"),
            "generate: lifecycle \"manual\" sends no value",
        ),
        (
            format!("{HEAD}{manual}[deactivate]\nrequest = \"POST /{{{{ key.id }}}}\"\n"),
            "deactivate: is there without [revoke]",
        ),
        (format!("{HEAD}{manual}[revoke]\nrequest = \"POST /{{{{ key.id }}}}\"\n"), "manual.fields: has no \"id\""),
    ] {
        let found = problems(&text);
        assert!(found.iter().any(|one| one.starts_with(key)), "{key}: {found:?}\n{text}");
    }
}

#[tokio::test]
async fn a_person_is_asked_in_the_dashboards_own_words() {
    let definition = common::shipped("wrapd-manual");
    let account = common::World::new().account(&definition, "");
    let params = BTreeMap::from([(String::from("label"), serde_json::json!("production"))]);
    let intent = common::intent();
    let call = Call { params: &params, intent: Some(&intent), signer: None };
    let ask = account.ask(call, None).expect("asked");
    assert!(ask.contains("API Keys") && ask.contains("\"production\"") && ask.contains("\"24 hours\""), "{ask}");
    assert!(account.credential().await.is_ok(), "no credential is needed");
    assert!(account.mint_needs().is_empty());
    assert!(account.fits(&Secret::new("wrapd_sk_0123456789abcdef".into())));
    assert!(!account.fits(&Secret::new("pa_live_0123456789abcdef".into())));
    let plana = common::shipped("plana-manual");
    assert!(!plana.facts().ends_old_by_clock() && definition.facts().ends_old_by_clock());
}
