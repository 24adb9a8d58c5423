//! What a reload changes, and which policies it renames.

use cutover_config::{Config, difference, renames};

use crate::base::{AROUND, sound};

const POLICY: &str = r#"
[policy.crm]
provider = "bondi"
params = { workspace = "w", slug = "crm" }
cadence = "1y"
anchor = "2026-01-01"
tags = ["a"]
[[policy.crm.target]]
store = "vault"
path = "crm"
fields = { K = "{{ new.secret }}" }
[[policy.crm.redeploy]]
kind = "command"
run = ["/x"]
[policy.agent]
provider = "wrapd"
cadence = "90d"
grace = "6h"
[[policy.agent.target]]
store = "aws"
path = "agent"
value = "{{ new.secret }}"
"#;

fn before() -> String {
    format!("{AROUND}{POLICY}")
}

fn changes(edits: &[(&str, &str)]) -> Vec<String> {
    let text = edits.iter().fold(before(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    });
    difference(&sound(&before()), &sound(&text))
}

#[test]
fn nothing_changes_when_only_lines_move() {
    assert_eq!(changes(&[("[daemon]", "# a comment\n\n[daemon]")]), Vec::<String>::new());
    assert_eq!(changes(&[("cadence = \"90d\"\ngrace = \"6h\"", "grace = \"6h\"\ncadence = \"90d\"")]), Vec::<String>::new());
    // What is said is what was meant before.
    assert_eq!(changes(&[("tags = [\"a\"]", "tags = [\"a\"]\ngrace = \"24h\"\nverify = []")]), Vec::<String>::new());
}

#[test]
fn an_edit_is_told_in_words() {
    assert_eq!(changes(&[("\"1y\"", "\"6mo\"")]), ["policy crm: cadence changes; acts at the next rotation"]);
    assert_eq!(
        changes(&[("grace = \"6h\"", "grace = \"20h\"\nsoak = \"1h\"")]),
        [
            "policy agent: grace changes from 6h to 20h; acts at the next rotation",
            "policy agent: quiet changes from 1h30m to 6h; acts at the next rotation",
            "policy agent: soak changes from 24h to 1h; acts at the next rotation",
        ]
    );
    assert_eq!(
        changes(&[
            (
                "anchor = \"2026-01-01\"",
                "anchor = \"2026-01-02\"\njitter = \"1m\"\nwindow = { from = \"01:00\", to = \"02:00\" }"
            ),
            ("tags = [\"a\"]", "tags = [\"b\"]"),
            ("run = [\"/x\"]", "run = [\"/y\"]"),
            ("path = \"crm\"", "path = \"crm2\""),
        ]),
        [
            "policy crm: anchor changes; acts at the next rotation",
            "policy crm: window changes; acts at the next rotation",
            "policy crm: jitter changes; acts at the next rotation",
            "policy crm: target changes; acts at the next rotation",
            "policy crm: redeploy changes; acts at the next rotation",
            "policy crm: tags change; counts at once",
        ]
    );
}

#[test]
fn tables_are_told_by_their_keys_only() {
    assert_eq!(
        changes(&[
            ("{ env = \"VAULT_TOKEN\" }", "{ env = \"OTHER_TOKEN\" }"),
            ("name = \"prod\"", "name = \"prod\"\nlisten = \"\"\nmax_in_flight = 8"),
            ("host = \"smtp", "severity = \"info\"\nhost = \"mail"),
            ("definition = \"wrapd-api-key\"", "definition = \"wrapd-agent-token\""),
            ("[store.env]", "[store.env2]"),
        ]),
        [
            "daemon: listen changes; acts at the next start",
            "daemon: max_in_flight changes from 64 to 8",
            "provider wrapd: definition changed; rotations under way keep what they began with",
            "store env2: is new",
            "store vault: auth changed; rotations under way keep what they began with",
            "store env: goes",
            "notify ops: host, severity changed; counts at once",
        ]
    );
}

#[test]
fn a_policy_that_comes_under_another_name_is_renamed() {
    assert_eq!(
        changes(&[
            ("[policy.crm]", "[policy.sales]"),
            ("[[policy.crm.target]]", "[[policy.sales.target]]"),
            ("[[policy.crm.redeploy]]", "[[policy.sales.redeploy]]"),
            ("[policy.agent]", "[policy.robot]"),
            ("[[policy.agent.target]]", "[[policy.robot.target]]"),
            ("provider = \"wrapd\"", "provider = \"plana\"\nparams = { base_name = \"x\" }"),
        ]),
        [
            "policy robot: is new; its dates count from now on",
            "policy sales: was crm; its history moves along",
            "policy agent: goes; no key is revoked, its open work goes on",
        ]
    );
}

fn agents(names: &[&str]) -> Config {
    let policies: String = names
        .iter()
        .map(|name| {
            format!(
                "[policy.{name}]\nprovider = \"wrapd\"\ncadence = \"1y\"\n[[policy.{name}.target]]\nstore = \"aws\"\npath = \"{name}\"\nvalue = \"{{{{ new.secret }}}}\"\n"
            )
        })
        .collect();
    sound(&format!("{AROUND}{policies}"))
}

#[test]
fn nobody_is_renamed_where_several_could_be_meant() {
    let known = |config: &Config| -> Vec<_> { config.policies.values().map(|p| (p.name.clone(), p.identity())).collect() };
    let pair = |a: &str, b: &str| vec![(a.to_owned(), b.to_owned())];
    assert_eq!(renames(&known(&agents(&["a", "b"])), &agents(&["a", "c"])), pair("b", "c"));
    assert_eq!(renames(&known(&agents(&["a", "b"])), &agents(&["c", "d"])), []);
    assert_eq!(renames(&known(&agents(&["a", "b"])), &agents(&["c"])), []);
    assert_eq!(renames(&known(&agents(&["a"])), &agents(&["b", "c"])), []);
    assert_eq!(renames(&known(&agents(&["a"])), &agents(&["a", "b"])), []);
    assert_eq!(renames(&known(&agents(&["a", "b"])), &agents(&["b"])), []);
    assert_eq!(renames(&[("a".to_owned(), "other|{}".to_owned())], &agents(&["b"])), []);
}
