//! The table of the hook.

use std::sync::Arc;
use std::time::Duration;

use cutover_api::{Clock, Hook, Problems, Reader, References, Secret, SecretRef, Stamp, Surroundings, Table};
use cutover_hook_systemd::SystemdHook;

struct Untouched;

impl Clock for Untouched {
    fn now(&self) -> Stamp {
        panic!("the clock was read");
    }
}

impl References for Untouched {
    fn open(&self, reference: &SecretRef) -> Result<Secret, String> {
        panic!("{reference} was opened");
    }
}

fn built(text: &str) -> (Option<SystemdHook>, String) {
    let table = Table::parse("x.toml", text).expect("valid TOML");
    let problems = Problems::default();
    let around = Surroundings { references: Arc::new(Untouched), clock: Arc::new(Untouched) };
    let hook = SystemdHook::build(&Reader::new(&table, "policy.crm.redeploy[0]", &problems), &around);
    (hook, problems.take().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

/// A hook from a sound table.
pub fn hook(text: &str) -> SystemdHook {
    let (hook, problems) = built(text);
    assert_eq!(problems, "");
    hook.expect("nothing is wrong with it")
}

#[test]
fn the_defaults_are_those_of_the_manual() {
    let hook = hook("kind = \"systemd\"\nunits = [\"crm.service\", \"worker@1.service\", \"a\\\\x2db.target\"]\n");
    assert_eq!(hook.timeout(), Duration::from_secs(300));
    assert!(hook.repeatable());
}

#[test]
fn every_mistake_is_named() {
    for (text, part) in [
        ("", "units: missing"),
        ("units = []\n", "names 0 units"),
        ("units = [1]\n", "must be a string or an array of strings"),
        ("units = \"crm\"\n", "\"crm\" has no ending such as .service"),
        ("units = \"crm@.service\"\n", "is a template without an instance"),
        ("units = \"@x.service\"\n", "is no name of a unit"),
        ("units = \".service\"\n", "is no name of a unit"),
        ("units = \"c rm.service\"\n", "is no name of a unit"),
        ("units = \"*.service\"\n", "is no name of a unit"),
        ("units = \"{{ policy.name }}.service\"\n", "is no name of a unit"),
        ("units = \"crm.slice\"\n", "has no ending"),
        ("units = \"cutover.service\"\n", "is cutover itself"),
        ("units = [\"crm.service\", \"cutover@prod.service\"]\n", "is cutover itself"),
        ("units = [\"crm.service\", \"crm.service\"]\n", "stands there twice"),
        ("units = \"crm.service\"\nverb = \"stop\"\n", "\"stop\" is not known: must be one of \"restart\""),
        ("units = \"crm.service\"\nverbs = \"restart\"\n", "unknown key: did you mean \"verb\"?"),
        ("units = \"crm.service\"\nsettle = \"2h\"\n", "settle: is 2h: must be from 0s to 1h"),
        ("units = \"crm.service\"\ntimeout = \"0s\"\n", "timeout: is 0s: must be from 1s to 24h"),
        (
            "units = [\"a.service\", \"b.service\"]\nsettle = \"30s\"\ntimeout = \"1m\"\n",
            "timeout: leaves no time for the jobs",
        ),
    ] {
        let (hook, problems) = built(text);
        assert!(hook.is_none(), "{text}");
        assert!(problems.contains(part), "{part} is not in:\n{problems}");
    }
}
