//! The demo's configuration: what an operator would write, with addresses on 127.0.0.1.

use std::path::Path;

/// What the text needs.
pub(super) struct Places<'a> {
    /// The directory of everything.
    pub(super) dir: &'a Path,
    /// Where deployer, health pages and mail room are.
    pub(super) desk: &'a str,
    /// Base URLs of PLANA, Bondi and Wrapd.
    pub(super) providers: [&'a str; 3],
    /// The ids of the keys in use at PLANA and Wrapd: they count as ours.
    pub(super) adopt: [&'a str; 2],
}

/// `cutover.toml`.
pub(super) fn text(places: &Places<'_>) -> String {
    let Places { dir, desk, providers: [plana, bondi, wrapd], adopt: [plana_key, wrapd_key] } = places;
    let file = |name: &str| quoted(&dir.join(name).display().to_string());
    let ledger = quoted(&format!("sqlite:{}", dir.join("ledger.db").display()));
    let hook_and_health = |policy: &str| {
        format!(
            "[[policy.{policy}.redeploy]]\nkind = \"http\"\nrequest = \"POST {desk}/apps/{policy}/restart\"\n\
             [[policy.{policy}.verify]]\nkind = \"consumer\"\nrequest = \"GET {desk}/apps/{policy}/health\"\n\
             fingerprint = \"/fingerprints/0\"\nevery = \"1m\"\nfor = \"2m\"\n"
        )
    };
    format!(
        r#"
[daemon]
name    = "demo"
ledger  = {ledger}
seal    = {{ file = {seal} }}
control = {control}
listen  = ""

[notify.ops]
kind    = "webhook"
request = "POST {desk}/alerts"

[store.env]
kind = "file"
root = {root}

[provider.plana]
base_url   = "{plana}"
credential = {{ file = {plana_session} }}

[provider.bondi]
base_url   = "{bondi}"
credential = {{ file = {bondi_session} }}

[provider.wrapd]
definition = "wrapd-api-key"
base_url   = "{wrapd}"
credential = {{ file = {wrapd_session} }}

[policy.reports]
provider = "plana"
params   = {{ base_name = "Reports" }}
cadence  = "1y"
grace    = "24h"
quiet    = "6h"
adopt    = {{ id = "{plana_key}" }}
[[policy.reports.target]]
store  = "env"
path   = "reports.env"
fields = {{ PLANA_KEY = "{{{{ new.secret }}}}" }}
during = {{ PLANA_KEY = "{{{{ old.secret }}}}", PLANA_KEY_NEW = "{{{{ new.secret }}}}" }}
[[policy.reports.verify]]
kind = "last-used"
{reports}
[policy.crm]
provider = "bondi"
params   = {{ workspace = "ws_demo", slug = "crm" }}
cadence  = "1y"
[[policy.crm.target]]
store  = "env"
path   = "crm.env"
fields = {{ BONDI_INTEGRATION_TOKEN = "{{{{ new.secret }}}}" }}
during = {{ BONDI_INTEGRATION_TOKEN = "{{{{ new.secret }}}}", BONDI_PREVIOUS_TOKEN = "{{{{ old.secret }}}}" }}
{crm}
[policy.builds]
provider = "wrapd"
cadence  = "1y"
grace    = "24h"
adopt    = {{ id = "{wrapd_key}" }}
[[policy.builds.target]]
store  = "env"
path   = "builds.env"
fields = {{ WRAPD_API_KEY = "{{{{ new.secret }}}}" }}
{builds}"#,
        seal = file("seal-key"),
        control = file("control.sock"),
        root = quoted(&dir.display().to_string()),
        plana_session = file("plana-session"),
        bondi_session = file("bondi-session"),
        wrapd_session = file("wrapd-session"),
        reports = hook_and_health("reports"),
        crm = hook_and_health("crm"),
        builds = hook_and_health("builds"),
    )
}

/// A TOML string: TOML's basic strings take what JSON's take.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
