//! The core knows no plugin and no vendor: their names stand in the catalog only.

use super::project::Finding;
use super::source::{Source, is_of_word, words};

/// The one file that names plugins.
const CATALOG: &str = "src/catalog.rs";
/// What shows the whole story may name the double, the vendors it plays, and the kinds in the configuration it writes.
const DEMO: [&str; 2] = ["src/cli/demo.rs", "src/cli/demo/"];
/// The crate of the double.
const DOUBLE: &str = "cutover_fake";
/// Kinds that are words of the configuration's own language too: a way of a reference, kinds of evidence, the step's protocol.
const COMMON: [&str; 4] = ["file", "command", "consumer", "http"];
/// Crates below `plugins` that are no plugins but what plugins are made of.
const SHARED: [&str; 3] = ["plugins/api/", "plugins/http-step/", "plugins/json-edit/"];

/// The names that the core may not say.
#[derive(Debug, Default)]
pub struct Names {
    /// The plugins' crates, as Rust names them.
    crates: Vec<String>,
    /// The plugins' kinds.
    kinds: Vec<String>,
    /// The vendors that have a definition.
    vendors: Vec<String>,
}

impl Names {
    /// Reads the names from the project: the plugins' manifests, the catalog's rows, the definitions' files.
    pub fn gather(texts: &[(String, String)]) -> Self {
        let mut names = Self::default();
        for (path, text) in texts {
            if let Some(file) = path.strip_prefix("plugins/providers/") {
                names.vendors.extend(file.strip_suffix(".toml").and_then(|stem| stem.split('-').next()).map(ToOwned::to_owned));
            } else if path.starts_with("plugins/")
                && path.ends_with("/Cargo.toml")
                && !SHARED.iter().any(|dir| path.starts_with(dir))
            {
                let name = text.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
                names.crates.extend(name.map(|name| name.replace('-', "_")));
            } else if path == CATALOG {
                names.kinds = kinds(text);
            }
        }
        names.vendors.sort();
        names.vendors.dedup();
        names
    }

    /// Whether every sort of name was found.
    pub fn is_whole(&self) -> bool {
        !self.crates.is_empty() && !self.kinds.is_empty() && !self.vendors.is_empty()
    }

    /// Names in a file of the core that has no business with them.
    pub fn check(&self, source: &Source) -> Vec<Finding> {
        let is_demo = DEMO.iter().any(|place| source.path.starts_with(place));
        if !source.path.starts_with("src/") {
            return Vec::new();
        }
        let mut found = Vec::new();
        for line in source.shipped() {
            let mut say =
                |name: &str| found.push(Finding::new(&source.path, line.number, format!("{name} is named outside {CATALOG}")));
            if source.path != CATALOG {
                let of_demo = |name: &&String| is_demo && name.as_str() == DOUBLE;
                let crates = self.crates.iter().filter(|name| words(&line.bare, name).next().is_some());
                crates.filter(|name| !of_demo(name)).for_each(|name| say(name));
                self.kinds
                    .iter()
                    .filter(|kind| !is_demo && line.code.contains(&format!("\"{kind}\"")))
                    .for_each(|kind| say(kind));
            }
            if !is_demo {
                self.vendors.iter().filter(|vendor| says(&line.code, vendor)).for_each(|vendor| say(vendor));
            }
        }
        found
    }
}

/// The kinds in the catalog's rows: `("kind", |reader, …| …)`.
fn kinds(catalog: &str) -> Vec<String> {
    let rows = catalog.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split_once("\", |"));
    let mut kinds: Vec<_> = rows.map(|(kind, _)| kind.to_owned()).filter(|kind| !COMMON.contains(&kind.as_str())).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

/// Whether code says a vendor's name: as a word, or at the head of a name such as `VendorThing`.
fn says(code: &str, vendor: &str) -> bool {
    let lower = code.to_ascii_lowercase();
    lower.match_indices(vendor).any(|(at, _)| {
        let after = code[at + vendor.len()..].chars().next();
        !code[..at].ends_with(is_of_word) && !after.is_some_and(|c| c.is_ascii_lowercase() || c == '_')
    })
}

#[test]
fn a_plugin_named_in_the_core_is_found() {
    let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let names = Names::gather(&[
        file("plugins/store-cellar/Cargo.toml", "[package]\nname = \"cutover-store-cellar\"\n"),
        file("plugins/fake/Cargo.toml", "[package]\nname = \"cutover-fake\"\n"),
        file("plugins/api/Cargo.toml", "[package]\nname = \"cutover-api\"\n"),
        file(CATALOG, "    (\"cellar\", |reader, around| x),\n    (\"file\", |reader, around| x),\n"),
        file("plugins/providers/acme-token.toml", ""),
    ]);
    assert!(names.is_whole());
    let text = "use cutover_api::X;\nuse cutover_store_cellar::Cellar;\n// cutover_store_cellar\nlet a = \"cellar\";\nlet b = \"file\";\n\
                let c = \"Acme says\";\nlet d = AcmeKey;\nlet e = acmeist + acme_lc;\nuse cutover_fake::Desk;\n";
    let lines = |path| names.check(&Source::parse(path, text)).iter().map(|finding| finding.line).collect::<Vec<_>>();
    assert_eq!(lines("src/engine/x.rs"), [2, 4, 6, 7, 9]);
    assert_eq!(lines("src/config/x.rs"), [2, 4, 6, 7, 9]);
    assert_eq!(lines(CATALOG), [6, 7]);
    assert_eq!(lines("src/cli/demo.rs"), [2]);
    assert_eq!(lines("src/cli/demo/scene.rs"), [2]);
    assert_eq!(lines("src/cli/demolish.rs"), [2, 4, 6, 7, 9]);
    assert!(lines("src/engine/tests/x.rs").is_empty() && lines("plugins/x/src/lib.rs").is_empty());
}
