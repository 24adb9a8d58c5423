//! The floors of the house: crates and modules name only what is below them.
//!
//! | floor | crates, modules of the root package |
//! |---|---|
//! | 0 | machine, schedule |
//! | 1 | plugins/api, plugins/http-step, plugins/json-edit |
//! | 2 | every other plugin, config, ledger |
//! | 3 | alert, catalog, engine |
//! | 4 | control, cli, web |
//! | 5 | main |

use super::project::Finding;
use super::source::{Source, is_of_word, line_of, words};

/// Crates by directory with their floors; `plugins/*` that is not here is on floor 2.
const CRATES: [(&str, u8); 8] = [
    ("src/machine", 0),
    ("src/schedule", 0),
    ("plugins/api", 1),
    ("plugins/http-step", 1),
    ("plugins/json-edit", 1),
    ("src/config", 2),
    ("src/ledger", 2),
    ("tests/sim", 2),
];
/// The floor of a plugin.
const PLUGIN: u8 = 2;
/// The tables of a Cargo.toml whose packages are shipped.
const SHIPPED: [&str; 2] = ["dependencies", "build-dependencies"];
/// Modules of the root package with their floors.
const MODULES: [(&str, u8); 6] = [("alert", 3), ("catalog", 3), ("engine", 3), ("control", 4), ("cli", 4), ("web", 4)];
/// Modules that name nothing of their own floor.
const ALONE: [&str; 2] = ["alert", "catalog"];

/// The floor of a crate, by its directory or its package name.
fn crate_floor(name: &str) -> Option<u8> {
    let directory = name.strip_prefix("cutover-").unwrap_or(name);
    let known =
        CRATES.iter().find(|(path, _)| *path == directory || path.rsplit_once('/').is_some_and(|(_, last)| last == directory));
    known
        .map(|(_, floor)| *floor)
        .or_else(|| (directory.starts_with("plugins/") || name.starts_with("cutover-")).then_some(PLUGIN))
}

/// A crate that depends on one of its own floor or above (on floor 1: on one above), by its Cargo.toml.
pub fn manifest(path: &str, text: &str) -> Vec<Finding> {
    let Some(directory) = path.strip_suffix("/Cargo.toml") else { return Vec::new() };
    let own = text.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).unwrap_or_default();
    let Some(floor) = crate_floor(directory) else {
        return vec![Finding::new(path, 1, "a crate without a floor: give it one in tests/tidy/floors.rs")];
    };
    let mut found = Vec::new();
    for (line, name) in dependencies(text).into_iter().filter(|(_, name)| *name == "cutover" || name.starts_with("cutover-")) {
        let below = match crate_floor(&name) {
            _ if name == "cutover" => false,
            Some(other) if floor == 1 => other <= 1,
            Some(other) => other < floor,
            None => false,
        };
        if !below && name != own {
            found.push(Finding::new(path, line, format!("an arrow up: a crate of floor {floor} depends on {name}")));
        }
    }
    found
}

/// The packages that a Cargo.toml depends on, with their lines. What only tests use does not count.
fn dependencies(text: &str) -> Vec<(usize, String)> {
    let ends_so =
        |section: &str, table: &str| section.strip_suffix(table).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let is_table = |section: &str| !section.starts_with("workspace") && SHIPPED.iter().any(|table| ends_so(section, table));
    let mut found = Vec::new();
    let mut inside = false;
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = is_table(section);
            let one = section.rsplit_once('.').filter(|(table, _)| is_table(table));
            found.extend(one.map(|(_, name)| (n + 1, name.trim_matches('"').to_owned())));
        } else if inside
            && !line.starts_with('#')
            && let Some((name, rest)) = line.split_once(['.', '=', ' '])
        {
            let renamed = rest.split_once("package = \"").and_then(|(_, after)| after.split('"').next());
            found.push((n + 1, renamed.unwrap_or(name).trim_matches('"').to_owned()));
        }
    }
    found
}

/// A module of the root package that names one it may not.
pub fn module(source: &Source) -> Vec<Finding> {
    let Some((own, depth)) = root_module(&source.path) else { return Vec::new() };
    let Some(floor) = module_floor(&own) else {
        return vec![Finding::new(&source.path, 1, "a module without a floor: give it one in tests/tidy/floors.rs")];
    };
    let bare = source.bare();
    let mut found = Vec::new();
    for (at, named) in named_from_root(&bare, depth) {
        let line = line_of(&bare, at);
        let Some(other) = module_floor(&named) else { continue };
        let up = other > floor || (other == floor && named != own && ALONE.contains(&own.as_str()));
        if up && !source.lines.get(line - 1).is_none_or(|line| line.test) {
            found.push(Finding::new(
                &source.path,
                line,
                format!("an arrow up: {own} (floor {floor}) names {named} (floor {other})"),
            ));
        }
    }
    found
}

fn module_floor(name: &str) -> Option<u8> {
    MODULES.iter().find(|(module, _)| *module == name).map(|(_, floor)| *floor)
}

/// The module of the root package that a file belongs to, and how many `super` lead out of it. `None`: another crate, lib or main.
fn root_module(path: &str) -> Option<(String, usize)> {
    let inside = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let inside = inside.strip_suffix("/mod").unwrap_or(inside);
    let module = inside.split('/').next()?;
    let elsewhere = CRATES.iter().any(|(directory, _)| *directory == format!("src/{module}"));
    (!elsewhere && !["lib", "main"].contains(&module)).then(|| (module.to_owned(), inside.split('/').count()))
}

/// The modules of the crate's root that bare code names, by `crate::` or by enough `super::`, in groups too.
fn named_from_root(bare: &str, depth: usize) -> Vec<(usize, String)> {
    let above = "super::".repeat(depth);
    let out = bare.match_indices(above.as_str()).map(|(at, _)| (at, at + above.len()));
    let out = out.filter(|(at, _)| !bare[..*at].ends_with(|c: char| c == ':' || is_of_word(c)));
    let starts = words(bare, "crate").filter(|&at| bare[at..].starts_with("crate::")).map(|at| (at, at + "crate::".len()));
    starts.chain(out).flat_map(|(_, after)| heads(bare, after)).collect()
}

/// The first word after `crate::`, or the first word of each member of the group there.
fn heads(bare: &str, at: usize) -> Vec<(usize, String)> {
    let word = |at: usize| bare[at..].chars().take_while(|&c| is_of_word(c)).collect::<String>();
    let Some(group) = bare[at..].strip_prefix('{') else { return vec![(at, word(at))] };
    let mut found = Vec::new();
    let (mut depth, mut fresh) = (1, true);
    for (n, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => fresh = true,
            c if fresh && is_of_word(c) => {
                found.push((at + 1 + n, word(at + 1 + n)));
                fresh = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

/// The machine's own dependencies: serde without std, and nothing else.
pub fn machine_manifest(root: &str, machine: &str) -> Vec<Finding> {
    const OWN: &str = "src/machine/Cargo.toml";
    let mut found = Vec::new();
    for (line, name) in dependencies(machine) {
        let text = machine.lines().nth(line - 1).unwrap_or_default();
        if name != "serde" {
            found.push(Finding::new(OWN, line, format!("the machine depends on {name}: it may depend on serde only")));
        } else if text.contains("\"std\"") || text.contains("default-features = true") {
            found.push(Finding::new(OWN, line, "the machine takes serde with std"));
        }
    }
    let shared = root.lines().enumerate().find(|(_, line)| line.starts_with("serde = "));
    if let Some((n, line)) = shared.filter(|(_, line)| !line.contains("default-features = false") || line.contains("\"std\"")) {
        found.push(Finding::new("Cargo.toml", n + 1, format!("the machine's serde comes with std: {line}")));
    }
    found
}

/// What would bring std into the machine.
pub fn machine_source(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    if source.path == "src/machine/lib.rs" && !source.lines.iter().any(|line| line.bare.trim() == "#![no_std]") {
        found.push(Finding::new(&source.path, 1, "the machine is not #![no_std]"));
    }
    if source.path.starts_with("src/machine/") {
        let lines = source.shipped().filter(|line| line.bare.contains("extern crate std"));
        found.extend(lines.map(|line| Finding::new(&source.path, line.number, "the machine uses std")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(found: &[Finding]) -> Vec<usize> {
        found.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_crate_that_depends_upwards_is_found() {
        let text = "[package]\nname = \"cutover-x\"\n\n[dependencies]\ncutover-api.workspace = true\ncutover-config = { path = \"../x\" }\nserde = \"1\"\n\
                    odd = { package = \"cutover-ledger\", path = \"y\" }\n\n[target.'cfg(unix)'.dependencies]\ncutover-fake.workspace = true\n\n\
                    [workspace.dependencies]\ncutover-fake = \"1\"\n\n[target.'cfg(unix)'.dev-dependencies]\ncutover-fake = \"1\"\n\n[dependencies.cutover]\npath = \"../..\"\n\n[dev-dependencies]\ncutover-fake.workspace = true\n";
        assert_eq!(lines(&manifest("plugins/x/Cargo.toml", text)), [6, 8, 11, 19]);
        assert_eq!(lines(&manifest("src/config/Cargo.toml", text)), [6, 8, 11, 19]);
        assert_eq!(lines(&manifest("plugins/http-step/Cargo.toml", text)), [6, 8, 11, 19]);
        assert_eq!(lines(&manifest("src/machine/Cargo.toml", text)), [5, 6, 8, 11, 19]);
        assert_eq!(manifest("Cargo.toml", text), []);
        assert_eq!(lines(&manifest("src/odd/Cargo.toml", text)), [1]);
    }

    #[test]
    fn a_module_that_names_one_above_is_found() {
        let text = "use crate::cli::Verb;\nuse crate::{\n    alert::{Words, control},\n    catalog::Catalog,\n};\nuse super::run;\nlet a = super::super::web::page();\n\
                    // crate::cli\n#[cfg(test)]\nmod tests {\n    use crate::cli;\n}\n";
        assert_eq!(lines(&module(&Source::parse("src/engine/x.rs", text))), [1, 7]);
        assert_eq!(lines(&module(&Source::parse("src/alert/x.rs", text))), [1, 4, 7]);
        assert_eq!(
            lines(&module(&Source::parse(
                "src/catalog.rs",
                "use crate::engine::Engine;\nuse super::alert;\nuse crate::catalog::X;\n"
            ))),
            [1, 2]
        );
        assert_eq!(module(&Source::parse("src/cli/x.rs", text)), []);
        assert_eq!(module(&Source::parse("src/config/x.rs", text)), []);
        assert_eq!(lines(&module(&Source::parse("src/odd.rs", ""))), [1]);
    }

    #[test]
    fn an_impure_machine_is_found() {
        let root = "serde = { version = \"1\", default-features = false }\n";
        assert_eq!(machine_manifest(root, "[dependencies]\nserde.workspace = true\n"), []);
        assert_eq!(lines(&machine_manifest(root, "[dependencies]\nserde.workspace = true\njiff = \"1\"\n")), [3]);
        assert_eq!(lines(&machine_manifest(root, "[dependencies]\nserde = { workspace = true, features = [\"std\"] }\n")), [2]);
        assert_eq!(lines(&machine_manifest("serde = \"1\"\n", "[dependencies]\nserde.workspace = true\n")), [1]);
        assert_eq!(lines(&machine_source(&Source::parse("src/machine/lib.rs", "//! #![no_std]\nextern crate std;\n"))), [1, 2]);
        assert_eq!(machine_source(&Source::parse("src/machine/lib.rs", "#![no_std]\n")), []);
    }
}
