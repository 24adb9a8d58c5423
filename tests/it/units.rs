//! The files of the service say the same thing in each of their places.

use cutover_config::Kinds as _;

const ONE: &str = include_str!("../../systemd/cutover.service");
const MANY: &str = include_str!("../../systemd/cutover@.service");
const RULE: &str = include_str!("../../systemd/cutover.rules");

/// The template is the unit with its paths by instance, and nothing else.
#[test]
fn the_template_is_the_unit_by_instance() {
    let (_, one) = ONE.split_once("[Unit]").expect("a unit");
    let (_, many) = MANY.split_once("[Unit]").expect("a unit");
    let by_instance = one
        .replace("Rotates API keys", "Rotates API keys (%i)")
        .replace("/etc/cutover/cutover.toml", "/etc/cutover/%i.toml")
        .replace("StateDirectory=cutover\n", "StateDirectory=cutover-%i\n")
        .replace("RuntimeDirectory=cutover\n", "RuntimeDirectory=cutover-%i\n")
        .replace("cutover.seal-key", "cutover-%i.seal-key");
    assert_eq!(by_instance, many);
}

/// polkit is asked for a verb in systemd's words: one that the rule does not list could never be done.
#[test]
fn the_rule_names_every_verb_and_no_unit() {
    for verb in ["restart", "try-restart", "reload", "reload-or-restart", "reload-or-try-restart"] {
        assert!(RULE.contains(&format!("\"{verb}\"")), "{verb}");
    }
    for verb in ["start", "stop", "kill"] {
        assert!(!RULE.contains(&format!("\"{verb}\"")), "{verb}");
    }
    let list = RULE.split_once("var units = [").and_then(|(_, rest)| rest.split_once(']')).expect("a list").0;
    assert!(list.lines().all(|line| line.trim().is_empty() || line.trim().starts_with("//")), "{list}");
    let around = cutover_api::Surroundings {
        references: std::sync::Arc::new(cutover::engine::References::from_environment()),
        clock: cutover::engine::WallClock::real(),
    };
    let catalog =
        cutover::catalog::Catalog::open(around, std::path::Path::new("/nonexistent")).expect("the shipped definitions");
    assert!(catalog.names()[1].contains(&"systemd"), "the hook that the rule is for");
}
