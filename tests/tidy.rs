//! Keeps the house in order: floors, names, clock, sizes, marks. Each rule is a function over text with a test that shows it can fail;
//! the tests below hold every file of the project against them.

mod tidy {
    pub mod floors;
    pub mod marks;
    pub mod names;
    pub mod places;
    pub mod project;
    pub mod sizes;
    pub mod source;
    pub mod time;
}

use tidy::project::{Finding, Project, list};
use tidy::{floors, marks, names, places, sizes, time};

/// What every Rust file of the project breaks of a rule.
fn in_rust(rule: impl Fn(&tidy::source::Source) -> Vec<Finding>) -> String {
    list(&Project::open().sources().iter().flat_map(rule).collect::<Vec<_>>())
}

/// What every text file of the project breaks of a rule.
fn in_text(rule: impl Fn(&str, &str) -> Vec<Finding>) -> String {
    list(&Project::open().texts().iter().flat_map(|(path, text)| rule(path, text)).collect::<Vec<_>>())
}

#[test]
fn the_project_is_found() {
    let project = Project::open();
    assert!(project.sources().len() > 100, "only {} Rust files were found", project.sources().len());
    for file in ["src/lib.rs", "src/catalog.rs", "src/machine/lib.rs", "plugins/api/Cargo.toml", "README.md", "tests/run"] {
        assert!(project.text(file).is_some(), "{file} was not found");
    }
}

#[test]
fn crates_depend_downwards_only() {
    let project = Project::open();
    let manifests = project.texts().iter().filter(|(path, _)| path.ends_with("Cargo.toml"));
    let found: Vec<_> = manifests.flat_map(|(path, text)| floors::manifest(path, text)).collect();
    assert_eq!(list(&found), "");
}

#[test]
fn modules_use_downwards_only() {
    assert_eq!(in_rust(floors::module), "");
}

#[test]
fn the_machine_is_pure() {
    let project = Project::open();
    let manifests = ["Cargo.toml", "src/machine/Cargo.toml"].map(|path| project.text(path).unwrap_or_default());
    let mut found = floors::machine_manifest(manifests[0], manifests[1]);
    found.extend(project.sources().iter().flat_map(floors::machine_source));
    assert_eq!(list(&found), "");
}

#[test]
fn only_the_engine_reads_a_clock() {
    assert_eq!(in_rust(time::clock_reads), "");
}

#[test]
fn tests_wait_for_conditions() {
    assert_eq!(in_rust(time::sleeps), "");
}

#[test]
fn plugins_are_named_in_the_catalog_only() {
    let project = Project::open();
    let known = names::Names::gather(project.texts());
    assert!(known.is_whole(), "the catalog or the plugins were not understood: {known:?}");
    let found: Vec<_> = project.sources().iter().flat_map(|source| known.check(source)).collect();
    assert_eq!(list(&found), "");
}

#[test]
fn files_are_short() {
    assert_eq!(in_rust(sizes::file), "");
}

#[test]
fn functions_are_short() {
    assert_eq!(in_rust(sizes::functions), "");
}

#[test]
fn no_warning_is_silenced() {
    assert_eq!(in_rust(marks::silenced), "");
}

#[test]
fn nothing_panics_outside_tests() {
    assert_eq!(in_rust(marks::panics), "");
}

#[test]
fn nothing_is_unfinished() {
    let mut found = in_rust(marks::unfinished);
    found.push_str(&in_text(marks::unfinished_text));
    assert_eq!(found, "");
}

#[test]
fn no_path_of_a_machine() {
    assert_eq!(in_text(places::machine_paths), "");
}

#[test]
fn no_host_of_a_registry() {
    assert_eq!(in_text(places::registries), "");
}

#[test]
fn the_readme_has_a_word_for_everything() {
    let project = Project::open();
    let missing = places::missing_words(project.text("README.md").unwrap_or_default());
    assert!(missing.is_empty(), "README.md:1: has no word for {missing:?}");
}
