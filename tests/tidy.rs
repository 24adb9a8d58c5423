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

use std::sync::LazyLock;

use tidy::project::{Finding, Project, list};
use tidy::{floors, marks, names, places, sizes, time};

static PROJECT: LazyLock<Project> = LazyLock::new(Project::open);

/// What every Rust file of the project breaks of a rule.
fn in_rust(rule: impl Fn(&tidy::source::Source) -> Vec<Finding>) -> String {
    list(&PROJECT.sources().iter().flat_map(rule).collect::<Vec<_>>())
}

/// What every text file of the project breaks of a rule.
fn in_text(rule: impl Fn(&str, &str) -> Vec<Finding>) -> String {
    list(&PROJECT.texts().iter().flat_map(|(path, text)| rule(path, text)).collect::<Vec<_>>())
}

#[test]
fn the_project_is_found() {
    assert!(PROJECT.sources().len() > 100, "only {} Rust files were found", PROJECT.sources().len());
    for file in ["src/lib.rs", "src/catalog.rs", "src/machine/lib.rs", "plugins/api/Cargo.toml", "README.md", "tests/run"] {
        assert!(PROJECT.text(file).is_some(), "{file} was not found");
    }
}

#[test]
fn crates_depend_downwards_only() {
    let manifests = PROJECT.texts().iter().filter(|(path, _)| path.ends_with("Cargo.toml"));
    let found: Vec<_> = manifests.flat_map(|(path, text)| floors::manifest(path, text)).collect();
    assert!(found.is_empty(), "{}", list(&found));
}

#[test]
fn modules_use_downwards_only() {
    let found = in_rust(floors::module);
    assert!(found.is_empty(), "{found}");
}

#[test]
fn the_machine_is_pure() {
    let manifests = ["Cargo.toml", "src/machine/Cargo.toml"].map(|path| PROJECT.text(path).unwrap_or_default());
    let mut found = floors::machine_manifest(manifests[0], manifests[1]);
    found.extend(PROJECT.sources().iter().flat_map(floors::machine_source));
    assert!(found.is_empty(), "{}", list(&found));
}

#[test]
fn only_the_engine_reads_a_clock() {
    let found = in_rust(time::clock_reads);
    assert!(found.is_empty(), "{found}");
}

#[test]
fn tests_wait_for_conditions() {
    let found = in_rust(time::sleeps);
    assert!(found.is_empty(), "{found}");
}

#[test]
fn plugins_are_named_in_the_catalog_only() {
    let known = names::Names::gather(PROJECT.texts());
    assert!(known.is_whole(), "the catalog or the plugins were not understood: {known:?}");
    let found: Vec<_> = PROJECT.sources().iter().flat_map(|source| known.check(source)).collect();
    assert!(found.is_empty(), "{}", list(&found));
}

#[test]
fn files_are_short() {
    let found = in_rust(sizes::file);
    assert!(found.is_empty(), "{found}");
}

#[test]
fn functions_are_short() {
    let found = in_rust(sizes::functions);
    assert!(found.is_empty(), "{found}");
}

#[test]
fn no_warning_is_silenced() {
    let found = in_rust(marks::silenced);
    assert!(found.is_empty(), "{found}");
}

#[test]
fn nothing_panics_outside_tests() {
    let found = in_rust(marks::panics);
    assert!(found.is_empty(), "{found}");
}

#[test]
fn nothing_is_unfinished() {
    let mut found = in_rust(marks::unfinished);
    found.push_str(&in_text(marks::unfinished_text));
    assert!(found.is_empty(), "{found}");
}

#[test]
fn no_path_of_a_machine() {
    let found = in_text(places::machine_paths);
    assert!(found.is_empty(), "{found}");
}

#[test]
fn no_host_of_a_registry() {
    let found = in_text(places::registries);
    assert!(found.is_empty(), "{found}");
}

#[test]
fn the_readme_has_a_word_for_everything() {
    let missing = places::missing_words(PROJECT.text("README.md").unwrap_or_default());
    assert!(missing.is_empty(), "README.md:1: has no word for {missing:?}");
}
