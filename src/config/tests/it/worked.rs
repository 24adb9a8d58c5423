//! Three policies as an operator would write them, for the three systems the project was made for.

use std::collections::BTreeMap;

use cutover_api::{Span, TargetSpec};
use cutover_config::{Policy, Target};
use cutover_machine::plan::VerifyKind;
use serde_json::json;

use crate::base::{AROUND, sound};

fn policy(text: &str, name: &str) -> Policy {
    let config = sound(&format!("{AROUND}{text}"));
    config.policies.get(name).expect("there").clone()
}

fn map<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[test]
fn bondi() {
    let policy = policy(
        r#"
[policy.my-crm]
provider = "bondi"
params   = { workspace = "ws_1", slug = "my-crm" }
cadence  = "1y"
anchor   = "2026-01-15T03:00:00"
timezone = "Europe/Berlin"
window   = { days = ["sat", "sun"], from = "22:00", to = "05:00" }
jitter   = "30m"
grace    = "24h"
quiet    = "6h"
soak     = "12h"
tags     = ["prod", "crm"]
holders  = ["dana@example.com"]
adopt    = { id = "def_42" }

[[policy.my-crm.target]]
store  = "vault"
path   = "apps/crm"
fields = { BONDI_INTEGRATION_TOKEN = "{{ new.secret }}" }
during = { BONDI_INTEGRATION_TOKEN = "{{ new.secret }}", BONDI_PREVIOUS_TOKEN = "{{ old.secret }}" }

[[policy.my-crm.redeploy]]
kind    = "command"
run     = ["/usr/local/bin/deploy", "crm"]
timeout = "10m"

[[policy.my-crm.verify]]
kind    = "consumer"
request = "GET https://crm.example.com/health/keys"
fingerprint = "/bondi/fingerprint"
every   = "20s"
for     = "2m"
covers  = ["vault:apps/crm"]

[policy.my-crm.alert]
notify = ["ops"]
at     = ["40%", "80%"]
"#,
        "my-crm",
    );
    assert_eq!((policy.name.as_str(), policy.provider.as_str()), ("my-crm", "bondi"));
    assert_eq!(policy.place.to_string(), "c.toml:45:9");
    assert_eq!(serde_json::to_value(&policy.params).expect("json"), json!({ "workspace": "ws_1", "slug": "my-crm" }));
    assert_eq!(
        policy.schedule.identity(),
        "span 1y; anchor 2026-01-15T03:00:00 2026-01-15T02:00:00Z; zone Europe/Berlin; window sat,sun 22:00-05:00; jitter 1800s"
    );
    assert_eq!((policy.grace, policy.grace_mapped), (Span::hours(24), Span::hours(24)));
    assert_eq!((policy.quiet, policy.soak, policy.lifetime), (Span::hours(6), Span::hours(12), None));
    assert_eq!(policy.tags, ["prod", "crm"]);
    assert_eq!(policy.holders, ["dana@example.com"]);
    assert_eq!(policy.adopt.as_deref(), Some("def_42"));
    let target = Target {
        store: "vault".to_owned(),
        spec: TargetSpec { path: "apps/crm".to_owned(), bare: false, options: BTreeMap::new() },
        fields: map([("BONDI_INTEGRATION_TOKEN", "{{ new.secret }}")]),
        during: Some(map([("BONDI_INTEGRATION_TOKEN", "{{ new.secret }}"), ("BONDI_PREVIOUS_TOKEN", "{{ old.secret }}")])),
    };
    assert_eq!(policy.targets, [target]);
    let [hook] = policy.redeploy.as_slice() else { panic!("another number of hooks") };
    // The time-out and the few seconds in which a program that overran is ended.
    assert_eq!((hook.kind.as_str(), hook.timeout, hook.repeatable), ("command", Span::seconds(605), true));
    assert_eq!(hook.table.to_json(), json!({ "kind": "command", "run": ["/usr/local/bin/deploy", "crm"], "timeout": "10m" }));
    let [verify] = policy.verify.as_slice() else { panic!("another number of verifies") };
    assert_eq!((verify.kind, verify.kind_name.as_str()), (VerifyKind::Consumer, "consumer"));
    assert_eq!((verify.every, verify.hold_for), (Span::seconds(20), Span::minutes(2)));
    assert_eq!(verify.covers, ["vault:apps/crm"]);
    assert_eq!(
        verify.table.to_json(),
        json!({
            "kind": "consumer", "request": "GET https://crm.example.com/health/keys", "fingerprint": "/bondi/fingerprint"
        })
    );
    assert_eq!((policy.notify.as_slice(), policy.at.as_slice()), (["ops".to_owned()].as_slice(), [40, 80].as_slice()));
}

#[test]
fn plana() {
    let policy = policy(
        r#"
[policy.stock-sync]
provider = "plana"
params   = { base_name = "Nightly stock sync" }
cadence  = "1y"

[[policy.stock-sync.target]]
store  = "env"
path   = "sync.env"
mode   = "0640"
fields = { PLANA_KEY = "{{ new.secret }}" }
during = { PLANA_KEY = "{{ old.secret }}", PLANA_KEY_NEW = "{{ new.secret }}" }

[[policy.stock-sync.verify]]
kind = "last-used"
"#,
        "stock-sync",
    );
    assert_eq!((policy.grace, policy.grace_mapped, policy.quiet), (Span::hours(24), Span::hours(24), Span::hours(6)));
    assert_eq!((policy.soak, policy.lifetime, policy.adopt.clone()), (Span::hours(24), None, None));
    assert_eq!(policy.schedule.identity(), "span 1y; anchor drawn; zone UTC; window always; jitter 0s");
    let [target] = policy.targets.as_slice() else { panic!("another number of targets") };
    assert_eq!((target.store.as_str(), target.spec.path.as_str(), target.spec.bare), ("env", "sync.env", false));
    assert_eq!(target.spec.options, map([("format", "dotenv"), ("mode", "0640")]));
    assert_eq!(target.fields, map([("PLANA_KEY", "{{ new.secret }}")]));
    let during = map([("PLANA_KEY", "{{ old.secret }}"), ("PLANA_KEY_NEW", "{{ new.secret }}")]);
    assert_eq!(target.during, Some(during));
    assert_eq!(policy.redeploy, []);
    let [verify] = policy.verify.as_slice() else { panic!("another number of verifies") };
    // The definition says granularity 1m and lag 1m.
    assert_eq!((verify.kind, verify.every, verify.hold_for), (VerifyKind::LastUsed, Span::minutes(1), Span::ZERO));
    assert_eq!((policy.notify.as_slice(), policy.at.as_slice()), ([].as_slice(), [50, 75, 90].as_slice()));
}

#[test]
fn wrapd() {
    let policy = policy(
        r#"
[policy.agent]
provider = "wrapd"
cron     = "0 3 1 * *"
timezone = "America/New_York"
grace    = "20h"

[[policy.agent.target]]
store = "aws"
path  = "prod/agent"
value = "{{ new.secret }}"
"#,
        "agent",
    );
    assert_eq!((policy.grace, policy.grace_mapped, policy.quiet), (Span::hours(20), Span::hours(24), Span::hours(6)));
    assert!(policy.params.is_empty());
    let target = Target {
        store: "aws".to_owned(),
        spec: TargetSpec { path: "prod/agent".to_owned(), bare: true, options: BTreeMap::new() },
        fields: map([("", "{{ new.secret }}")]),
        during: None,
    };
    assert_eq!(policy.targets, [target]);
    let [verify] = policy.verify.as_slice() else { panic!("another number of verifies") };
    assert_eq!((verify.kind, verify.kind_name.as_str()), (VerifyKind::Confirm, "confirm"));
}
