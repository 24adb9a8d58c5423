//! The configuration.

use std::sync::Arc;

use cutover_api::{Clock, Problems, Reader, References, Secret, SecretRef, Stamp, Store, Surroundings, Table};

use super::hasty;
use crate::AwsStore;

struct Nothing;

impl References for Nothing {
    fn open(&self, _: &SecretRef) -> Result<Secret, String> {
        Err("none here".to_owned())
    }
}

impl Clock for Nothing {
    fn now(&self) -> Stamp {
        Stamp(0)
    }
}

pub(super) fn surroundings() -> Surroundings {
    Surroundings { references: Arc::new(Nothing), clock: Arc::new(Nothing) }
}

fn problems(text: &str, read: impl Fn(&Reader<'_>) -> bool) -> Vec<String> {
    let table = Table::parse("c.toml", text).expect("TOML");
    let problems = Problems::default();
    let usable = read(&Reader::new(&table, "t", &problems));
    let found: Vec<_> = problems.take().iter().map(ToString::to_string).collect();
    assert_eq!(usable, found.is_empty(), "{text}: {found:?}");
    found
}

#[test]
fn a_store_is_checked_at_load() {
    let around = surroundings();
    let build = |text: &str| problems(text, |reader| AwsStore::build(reader, &around).is_some());
    for good in [
        "kind = \"aws-secrets-manager\"\nregion = \"eu-central-1\"\nholders = [\"a@example.com\"]",
        "region = \"us-gov-west-1\"\nprofile = \"ops\"\nendpoint_url = \"http://127.0.0.1:5000\"",
        "region = \"eu-central-1\"\nendpoint_url = \"https://vpce.example.com\"",
        "region = \"eu-central-1\"\nendpoint_url = \"http://[::1]:5000\"",
    ] {
        assert!(build(good).is_empty());
    }
    for (wrong, why) in [
        ("", "region: missing"),
        ("region = \"eu.evil.example/\"", "not the name of a region"),
        ("region = \"r\"\nendpoint_url = \"http://sm.example.com\"", "in clear"),
        ("region = \"r\"\nendpoint_url = \"http://127.0.0.1.example.com\"", "in clear"),
        ("region = \"r\"\nendpoint_url = \"https://me:word@example.com\"", "password"),
        ("region = \"r\"\nendpoint_url = \"127.0.0.1\"", "not a URL"),
        ("region = \"r\"\nprofile = \"\"", "profile: is empty"),
        ("region = \"r\"\nregoin = \"r\"", "did you mean \"region\""),
    ] {
        let found = build(wrong);
        assert!(found.len() == 1 && found[0].contains(why), "{wrong}: {found:?}");
    }
}

#[test]
fn a_target_is_a_name_or_an_arn_of_this_region() {
    let store = hasty("http://127.0.0.1:1");
    let target = |text: &str| problems(text, |reader| store.target(reader).is_some());
    for good in ["prod/app+x=1.y@z-2_3", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/app-AbCdEf"] {
        assert!(target(&format!("path = \"{good}\"")).is_empty());
    }
    for wrong in [
        "",
        "a b",
        "a:b",
        "ä",
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:app",
        "arn:aws:s3:::bucket",
        "arn:aws:secretsmanager:eu-central-1:x:secret:app",
    ] {
        assert_eq!(target(&format!("path = \"{wrong}\"")).len(), 1, "{wrong}");
    }
    let table = Table::parse("c.toml", "path = \"app\"\nvalue = \"x\"").expect("TOML");
    let problems = Problems::default();
    assert!(store.target(&Reader::new(&table, "t", &problems)).is_some_and(|target| target.bare));
}
