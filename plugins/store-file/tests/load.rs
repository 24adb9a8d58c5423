//! What is checked when the configuration is loaded.

#![expect(clippy::expect_used, reason = "the helpers of tests tell by panicking")]

use std::path::Path;
use std::sync::Arc;

use cutover_api::{Clock, Problems, Reader, References, Secret, SecretRef, Stamp, Store, Surroundings, Table};
use cutover_store_file::FileStore;

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

fn problems(text: &str, read: impl Fn(&Reader<'_>)) -> Vec<String> {
    let table = Table::parse("c.toml", text).expect("TOML");
    let problems = Problems::default();
    let reader = Reader::new(&table, "t", &problems);
    read(&reader);
    reader.finish();
    problems.take().iter().map(ToString::to_string).collect()
}

#[test]
fn a_store_wants_an_absolute_root() {
    let around = Surroundings { references: Arc::new(Nothing), clock: Arc::new(Nothing) };
    let build = |text: &str| problems(text, |reader| drop(FileStore::build(reader, &around)));
    assert!(build("kind = \"file\"\nroot = \"/etc/app\"\n").is_empty());
    assert!(build("kind = \"file\"\nroot = \"/\"\n").is_empty());
    for wrong in ["root = \"etc\"", "root = \"/a/../b\"", "root = \"\"", "root = \"//\\u0001\"", "", "root = 1"] {
        assert_eq!(build(wrong).len(), 1, "{wrong}");
    }
}

#[test]
fn a_target_is_checked_at_load() {
    let store = FileStore::at(Path::new("/nowhere"));
    let load = |text: &str| {
        let spec = std::cell::RefCell::new(None);
        let found = problems(text, |reader| {
            for key in ["store", "fields", "during", "value"] {
                reader.known(key);
            }
            *spec.borrow_mut() = store.target(reader);
        });
        (spec.into_inner(), found)
    };
    for (text, format, bare) in [
        ("path = \"a/.env\"\nfields = { K = \"x\" }", "dotenv", false),
        ("path = \"app.json\"\nfields = { \"/a/b\" = \"x\" }", "json", false),
        ("path = \"key\"\nvalue = \"x\"\nformat = \"raw\"", "raw", true),
        ("path = \"conf\"\nfields = { K = \"x\" }\nformat = \"dotenv\"\nmode = \"0640\"\nowner = \"app\"", "dotenv", false),
    ] {
        let (spec, found) = load(text);
        let spec = spec.unwrap_or_else(|| panic!("{text}: {found:?}"));
        assert!(found.is_empty(), "{text}: {found:?}");
        assert_eq!((spec.options["format"].as_str(), spec.bare), (format, bare));
    }
    for (text, place, why) in [
        ("path = \"/a.env\"", "c.toml:1:8", "absolute"),
        ("path = \"../a.env\"", "c.toml:1:8", "`..`"),
        ("path = \"a.env\"\nvalue = \"x\"", "c.toml:2:9", "raw"),
        ("path = \"a\"\nfields = { K = \"x\" }", "", "by extension"),
        ("path = \"a\"\nfields = { K = \"x\" }\nformat = \"raw\"", "c.toml:3:10", "`value`"),
        ("path = \"a\"\nfields = { K = \"x\" }\nformat = \"yaml\"", "c.toml:3:10", "must be one of"),
        ("path = \"a.env\"\nduring = { \"K-2\" = \"x\" }", "c.toml:2:12", "no name of a variable"),
        ("path = \"a.env\"\nmode = \"0644\"", "c.toml:2:8", "others"),
        ("path = \"a.env\"\nmod = \"0640\"", "c.toml:2:1", "did you mean \"mode\""),
        ("path = \".cutover-tmp-0123456789abcdef\"\nformat = \"dotenv\"", "c.toml:1:8", "temporary"),
    ] {
        let (_, found) = load(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].starts_with(place) && found[0].contains(why), "{text}: {found:?}");
    }
}
