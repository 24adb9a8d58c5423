//! The draft as a person reads it.

use super::answers::{Answers, Asker};
use super::draft::Draft;
use super::{InitArgs, in_words};
use crate::cli::open;
use crate::engine::WallClock;

fn args() -> InitArgs {
    InitArgs {
        name: Some("prod".into()),
        provider: Some("plana".into()),
        params: vec![("base_name".into(), "Sync".into())],
        target: Some("vault:https://vault.example.com:8200/secret/apps/crm#KEY".into()),
        redeploy: None,
        notify: Some("ops@example.com".into()),
        policy: None,
    }
}

#[test]
fn what_comes_next_is_golden() {
    let catalog = open::shipped(&WallClock::real()).unwrap_or_else(|problems| panic!("{problems:?}"));
    let answers = Answers::gather(&args(), &catalog, Asker::Nobody).unwrap();
    let file = std::path::Path::new("/srv/c.toml");
    let expected = "\
Wrote /srv/c.toml: it is commented, and holds no secret.
Put the secrets where it says they are read (mode 0600; cutover never asks for them):
  /srv/plana-credential: the credential that plana lets you manage keys with
  /srv/vault-token: a token that may create, read and update the path
Next:
  (umask 077; cutover keygen > /srv/seal-key)
      the key that seals the ledger: keep a copy elsewhere
  cutover check --online --config /srv/c.toml
      asks the provider, the store and the channel; changes nothing
  cutover rotate crm --dry-run --config /srv/c.toml
      what a rotation would do, and what is still in its way
";
    assert_eq!(in_words(file, &Draft::of(file, &answers, &catalog)), expected);
    let installed = std::path::Path::new("/etc/cutover/cutover.toml");
    let draft = Draft::of(installed, &answers, &catalog);
    assert!(!draft.text.contains("\nledger") && draft.next[1].0 == "cutover check --online", "where it is found by itself");
    assert!(!draft.text.contains('@') || draft.text.matches('@').count() == 2, "every mark was filled in: {}", draft.text);
}

#[test]
fn everything_that_is_missing_is_told_at_once() {
    let catalog = open::shipped(&WallClock::real()).unwrap_or_else(|problems| panic!("{problems:?}"));
    let nothing = InitArgs { provider: None, target: None, notify: None, params: Vec::new(), ..args() };
    let failure = Answers::gather(&nothing, &catalog, Asker::Nobody).expect_err("nobody to ask");
    assert!(failure.text.contains("--provider, --target, --notify"), "{}", failure.text);
}

/// A definition without a credential got one, and the answers were refused after all questions.
#[test]
fn whoever_issues_the_key_the_answers_make_a_right_configuration() {
    let catalog = open::shipped(&WallClock::real()).unwrap_or_else(|problems| panic!("{problems:?}"));
    let file = std::path::Path::new("/srv/c.toml");
    let mut without = Vec::new();
    for name in catalog.known().keys() {
        let needs = catalog.parsed(name).map(|definition| definition.param_needs()).unwrap_or_default();
        let params = needs.into_iter().filter(|need| need.required).map(|need| (need.name, "x".into())).collect();
        let answers =
            Answers::gather(&InitArgs { provider: Some(name.clone()), params, ..args() }, &catalog, Asker::Nobody).unwrap();
        let draft = Draft::of(file, &answers, &catalog);
        let judged = cutover_config::parse(&[("c.toml".to_owned(), draft.text.clone())], &catalog);
        let problems = judged.err().unwrap_or_default();
        // What is wrong with a definition itself (a kind of signature that is not there yet) is not the draft's doing.
        let own: Vec<_> = problems.iter().map(ToString::to_string).filter(|problem| !problem.contains("not yet:")).collect();
        assert!(own.is_empty(), "{name}: {own:?}\n{}", draft.text);
        if !draft.files.iter().any(|(what, _)| what.contains("lets you manage keys")) {
            without.push(name.clone());
        }
    }
    assert!(without.contains(&"wrapd-manual".to_owned()) && !without.contains(&"plana".to_owned()), "{without:?}");
}

/// PLANA's scope is not asked for by anybody else, and a wrong one is found at the first rotation only.
#[test]
fn a_param_that_may_be_left_out_stands_in_the_file_as_a_remark() {
    let catalog = open::shipped(&WallClock::real()).unwrap_or_else(|problems| panic!("{problems:?}"));
    let drawn = |params: Vec<(String, serde_json::Value)>, provider: &str| {
        let args = InitArgs { params, provider: Some(provider.into()), ..args() };
        let answers = Answers::gather(&args, &catalog, Asker::Nobody).unwrap();
        Draft::of(std::path::Path::new("/srv/c.toml"), &answers, &catalog).text
    };
    let without = drawn(args().params, "plana");
    assert!(
        without.contains("# \"dashboard:read\" is taken where `params` does not say \"scope\": the scope of the key"),
        "{without}"
    );
    let given = drawn(vec![("base_name".into(), "Sync".into()), ("scope".into(), "*".into())], "plana");
    assert!(given.contains("\"scope\" = \"*\"") && !given.contains("is taken where"), "{given}");
}

/// Bondi's file said that its key is never ended, and where its id stands; Bondi ends it, and shows no id.
#[test]
fn what_is_said_of_adopt_fits_the_provider() {
    let catalog = open::shipped(&WallClock::real()).unwrap_or_else(|problems| panic!("{problems:?}"));
    let said = |provider: &str| super::draft::adopt(provider, catalog.parsed(provider).map(|definition| definition.facts()));
    assert!(said("bondi").contains("nothing is to be adopted") && !said("bondi").contains("id ="), "{}", said("bondi"));
    assert!(said("plana").contains("never ended by it") && said("plana").contains("`cutover keys plana`"));
    assert!(said("wrapd-api-key").contains("The provider itself ends") && said("wrapd-api-key").contains("adopt  = { id"));
    assert!(!said("plana-manual").contains("cutover keys"), "{}", said("plana-manual"));
}

/// It made every directory of a mistyped path.
#[test]
fn no_directory_is_made_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("no such/dir");
    let refused = super::parent_of(&missing.join("c.toml")).expect_err("there is none");
    assert_eq!(refused.exit, crate::cli::exit::Exit::Usage);
    assert!(refused.text.contains("there is no directory") && refused.text.contains("`mkdir -p '"), "{}", refused.text);
    assert!(!missing.exists() && super::parent_of(&directory.path().join("c.toml")).is_ok());
}
