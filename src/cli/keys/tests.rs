//! What people read of a provider's keys, and the policies written for them.

use cutover_api::Table;

use super::skeleton::policies;
use super::{Account, in_words, not_listed, outcome};
use crate::cli::exit::Exit;
use crate::cli::screen::Screen;
use crate::engine::keys::{ListedAccount, ListedKey, Standing};

fn key(standing: Standing, id: &str, name: &str) -> ListedKey {
    ListedKey {
        standing,
        policy: None,
        in_use: false,
        id: Some(id.into()),
        name: Some(name.into()),
        prefix: Some("pa_live_A2VG".into()),
        state: "live".into(),
        created_at: Some("2026-01-02T00:00:00Z".into()),
        last_used_at: None,
        expires_at: None,
        note: None,
    }
}

fn account(keys: Vec<ListedKey>) -> Account {
    let head = ListedAccount {
        provider: "plana".into(),
        params: [("region".to_owned(), "eu".into())].into(),
        required: vec!["base_name".into(), "region".into(), "team".into()],
        policies: vec!["sync".into()],
        sees_use: true,
        problem: None,
        failed: false,
        missing: vec![("sync".into(), "key_1".into())],
    };
    Account { head, keys }
}

#[test]
fn the_list_is_golden() {
    let mut ours = key(Standing::Ours, "key_2", "Sync (2026-gtxr11os0v26)");
    (ours.policy, ours.in_use) = (Some("sync".into()), true);
    let refused = ListedAccount {
        provider: "bondi".into(),
        problem: Some(("bondi has no list".into(), "nothing".into())),
        ..account(vec![]).head
    };
    let accounts = [
        account(vec![ours, key(Standing::Unknown, "key_3", "By hand")]),
        Account { head: ListedAccount { params: Default::default(), ..refused }, keys: vec![] },
    ];
    let expected = "\
plana (region = \"eu\"): 2 keys: 1 ours, 0 adopted, 1 unknown, 0 orphan
STANDING  POLICY         NAME                      ID     PREFIX        MADE                  LAST USED  STATE  NOTE
ours      sync (in use)  Sync (2026-gtxr11os0v26)  key_2  pa_live_A2VG  2026-01-02 00:00 UTC             live
unknown                  By hand                   key_3  pa_live_A2VG  2026-01-02 00:00 UTC             live
WRONG sync: the key recorded as in use (key_1) is not among them: `cutover check --online sync`
1 live key that no policy is about: `cutover keys plana --toml` writes policies for them

bondi
  note bondi has no list
      cure: nothing
";
    let screen = Screen::plain();
    assert_eq!(screen.render(&in_words(&screen, &accounts)), expected);
}

/// One provider of two did not answer, and `keys` ended with 0: a script took half a list for all of it.
#[test]
fn a_list_that_could_not_be_had_is_a_failure_and_one_that_does_not_exist_is_none() {
    let failing = |failed: bool| {
        let problem = Some(("plana did not list its keys: list: auth (status 401)".into(), "renew it".into()));
        Account { head: ListedAccount { problem, failed, ..account(vec![]).head }, keys: vec![] }
    };
    let whole = || account(vec![key(Standing::Ours, "k1", "Sync")]);
    assert_eq!(outcome(&[whole(), failing(true)], false), Exit::Failed);
    assert_eq!(outcome(&[whole(), failing(false)], false), Exit::Done, "there is no list to be had");
    assert_eq!(outcome(&[failing(false)], true), Exit::Failed, "and it was asked for by its name");
    assert_eq!(outcome(&[whole()], true), Exit::Done);
    let told = not_listed(&[whole(), failing(true), failing(true), failing(false)]);
    assert_eq!(told, ["cutover: not all keys are shown: plana did not list its keys: list: auth (status 401)"]);
    let screen = Screen::plain();
    assert!(in_words(&screen, &[failing(true)]).contains("\n  WRONG plana did not list its keys"));
}

#[test]
fn the_skeleton_is_toml_whatever_the_provider_says() {
    let mut dead = key(Standing::Unknown, "k5", "dead");
    dead.state = "revoked".into();
    let mut odd = key(Standing::Unknown, "k6", "no id");
    odd.id = None;
    let keys = vec![
        key(Standing::Unknown, "k1", "Nightly \"sync\" \\ {{ x }} # é"),
        key(Standing::Unknown, "k\"2", "sync"),
        key(Standing::Unknown, "k3", "]]]\u{7f}[policy.evil]"),
        key(Standing::Unknown, "k4", ""),
        key(Standing::Orphan, "k7", "x (2026-gtxr11os0v26)"),
        dead,
        odd,
    ];
    let text = policies(&[account(keys)], &["vault".into()]);
    let table = Table::parse("keys.toml", &text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
    let policies = table.get("policy").and_then(|node| match &node.value {
        cutover_api::Value::Table(policies) => Some(policies.entries.keys().cloned().collect::<Vec<_>>()),
        _ => None,
    });
    assert_eq!(
        policies.unwrap(),
        ["nightly-sync-x", "pa-live-a2vg", "plana", "policy-evil", "sync-2"]
            .map(String::from)
            .into_iter()
            .filter(|name| text.contains(&format!("[policy.{name}]")))
            .collect::<Vec<_>>()
    );
    assert_eq!(text.matches("\n[policy.").count(), 4, "{text}");
    assert_eq!(text.matches("# left out: ").count(), 3, "{text}");
    assert!(
        text.contains("store  = \"vault\"") && text.contains("\"team\" = \"FILL-IN\"") && text.contains("\"region\" = \"eu\"")
    );
    assert!(text.contains("adopt    = { id = \"k\\\"2\" }"));
}
