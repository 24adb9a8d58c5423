//! Every definition that is shipped or shared loads, or is refused for exactly what this version does not do yet.

use std::collections::BTreeMap;
use std::path::Path;

use crate::common::parsed;
use cutover_api::Span;
use cutover_machine::plan::{Authority, GraceOffer, Lifecycle, ListBy, ReRotate};
use cutover_provider_http::{Definition, shipped};

fn fixtures() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/definitions");
    let files = std::fs::read_dir(folder).expect("the fixtures").map(|file| file.expect("a file").path());
    let read = files.map(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        (name, std::fs::read_to_string(path).expect("text"))
    });
    read.collect()
}

#[test]
fn what_is_not_done_yet_is_exactly_this() {
    let mut refused = Vec::new();
    let mut loaded = Vec::new();
    for (file, text) in fixtures() {
        match Definition::parse(&file, &text) {
            Ok(definition) => loaded.push(definition.name().to_owned()),
            Err(problems) => refused
                .extend(problems.into_iter().map(|problem| format!("{}: {}: {}", problem.place, problem.key, problem.wrong))),
        }
    }
    assert_eq!(refused, NOT_YET, "{refused:#?}");
    assert_eq!(loaded, LOADED);
}

const NOT_YET: &[&str] = &[
    "aws-iam-access-key.toml:10:13: reply: not yet: reply = \"xml\" is not supported by this version",
    "aws-iam-access-key.toml:22:1: auth.sigv4: not yet: auth sigv4 is not supported by this version",
    "aws-iam-access-key.toml:70:1: probe.auth.sigv4: not yet: auth sigv4 is not supported by this version",
    "azure-storage.toml:5:13: lifecycle: not yet: lifecycle \"slots\" is not supported by this version",
    "github-actions-secret.toml:1:13: kind: not yet: kind \"store\" is not supported by this version",
    "snowflake-pat.toml:18:1: jwt: not yet: [jwt] is not supported by this version",
];

const LOADED: &[&str] = &[
    "auth0-rotate",
    "auth0-set",
    "bondi",
    "cloudflare-token",
    "datadog-api-key",
    "gitlab-project-token",
    "jupyterhub-token",
    "okta-client-secret",
    "plana-manual",
    "plana",
    "slack-config-token",
    "snyk-service-account",
    "unleash-api-token",
    "vault-approle-secret-id",
    "wrapd-agent-token",
    "wrapd-api-key",
    "wrapd-manual",
];

#[test]
fn a_shared_definition_is_shipped_as_it_is_but_for_comments_and_support() {
    let fixtures = fixtures();
    for (name, text) in shipped() {
        let file = format!("{name}.toml");
        let mine = parsed(&file, text);
        let theirs = parsed(&file, &fixtures[&file]);
        assert_eq!(mine.facts(), theirs.facts(), "{name}");
        assert_eq!(mine.about(), theirs.about(), "{name}");
        let plain = |text: &str| {
            let mut table = cutover_api::Table::parse("x", text).expect("TOML");
            table.entries.remove("support");
            table.to_json()
        };
        assert_eq!(plain(text), plain(&fixtures[&file]), "{name}");
        assert_eq!(mine.name(), *name);
        assert_eq!(mine.text(), *text);
    }
    assert_eq!(shipped().len(), 6);
}

#[test]
fn the_facts_are_what_the_definition_says() {
    let bondi = crate::common::shipped("bondi");
    assert_eq!(bondi.lifecycle(), Lifecycle::Grace);
    assert!(bondi.support().is_some_and(|support| support.contains("Bondi")));
    let facts = bondi.facts();
    assert_eq!(facts.declares.grace, Some(GraceOffer::Fixed(Span::hours(24))));
    assert_eq!(facts.declares.re_rotate, ReRotate::DropsOlder);
    assert_eq!(facts.declares.settle, Span::minutes(5), "undeclared: the worst case");
    assert_eq!(facts.mint_timeout, Span::seconds(30));
    assert!(!facts.verbs.list && !facts.verbs.revoke && !facts.verbs.probe && !facts.verbs.read_after_mint);

    let plana = crate::common::shipped("plana");
    let facts = plana.facts();
    assert_eq!((plana.lifecycle(), facts.declares.list, facts.declares.max_live), (Lifecycle::Overlap, ListBy::Name, None));
    assert!(facts.verbs.list && facts.verbs.revoke && facts.verbs.probe && !facts.verbs.revoke_needs_secret);
    assert_eq!(plana.source(), Some("https://docs.planapulse.com/bos/settings/api-keys"));
    assert_eq!(plana.checked(), Some("2026-11-21"));

    let wrapd = crate::common::shipped("wrapd-api-key");
    assert_eq!(wrapd.facts().declares.re_rotate, ReRotate::Destroys);
    assert_eq!(wrapd.facts().declares.last_used, None);
    assert!(wrapd.facts().declares.negative_probe);
    let Some(GraceOffer::Choices(choices)) = &wrapd.facts().declares.grace else { panic!("choices") };
    assert_eq!((choices.len(), choices[0], choices[6]), (7, Span::ZERO, Span::hours(7 * 24)));
    assert!(!crate::common::shipped("wrapd-agent-token").facts().verbs.probe);
}

#[test]
fn verbs_are_derived_from_the_steps() {
    let fixtures = fixtures();
    let load = |name: &str| parsed(&format!("{name}.toml"), &fixtures[&format!("{name}.toml")]);
    let approle = load("vault-approle-secret-id");
    let verbs = approle.facts().verbs;
    assert!(approle.facts().generates && verbs.read_by_value && !verbs.read && !verbs.read_after_mint);
    let unleash = load("unleash-api-token");
    assert!(unleash.facts().verbs.revoke_needs_secret && unleash.facts().declares.reread);
    assert_eq!(unleash.facts().mint_timeout, Span::seconds(60), "the login before the mint has its time too");
    let gitlab = load("gitlab-project-token");
    assert_eq!(gitlab.facts().declares.authority, Authority::Own);
}

#[test]
fn notes_tell_promises_and_worst_cases() {
    let notes = crate::common::shipped("wrapd-api-key").notes().join("\n");
    for said in ["re_rotate is not declared", "last_used is not declared", "a last use is read, but"] {
        assert!(notes.contains(said), "{said}: {notes}");
    }
    assert!(!notes.contains("settle is not declared"), "{notes}");
    let fixtures = fixtures();
    let approle = parsed("vault-approle-secret-id.toml", &fixtures["vault-approle-secret-id.toml"]).notes().join("\n");
    assert!(approle.contains("read.on_status: 500 = \"gone\" is a promise"), "{approle}");
    assert!(approle.contains("read.on_status: 204 = \"gone\" is a promise"), "{approle}");
    assert!(!approle.contains("404"), "{approle}");
    let plana = crate::common::shipped("plana").notes().join("\n");
    assert!(plana.contains("no lifetime is ever asked for"), "{plana}");
    let text = shipped()[1].1.replace("refused  = { status = [401] }", "refused  = { status = [401, 503] }");
    let hasty = parsed("plana.toml", &text).notes().join("\n");
    assert!(hasty.contains("probe.refused: 503 is taken for an answer"), "{hasty}");
}
