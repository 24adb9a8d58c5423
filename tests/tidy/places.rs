//! Texts that belong to one machine, and words that belong in the README.

use super::project::Finding;

/// Directories of a machine. In two parts, so that this file says none.
const MACHINE: [&str; 3] = [concat!("/wo", "rk"), concat!("/ro", "ot"), concat!("/ho", "me")];
/// Hosts that packages come from. A mirror of one machine is no use on the next, and the tools know the public ones.
const HOSTS: [&str; 8] = [
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("proxy.golang", ".org"),
    concat!("sum.golang", ".org"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("registry.npmjs", ".org"),
    concat!("registry.yarnpkg", ".com"),
];
/// The one origin that a lock file names.
const LOCKED: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
/// What the README must have a word for.
const WORDS: [&str; 7] = ["install", "check", "demo", "rotate", "emergency", "systemd", "test"];

/// Absolute paths of somebody's machine.
pub fn machine_paths(path: &str, text: &str) -> Vec<Finding> {
    let found = text.lines().enumerate().filter_map(|(n, line)| {
        let place =
            MACHINE.iter().find(|place| line.match_indices(**place).any(|(at, _)| is_absolute(line, at, place.len())))?;
        Some(Finding::new(path, n + 1, format!("{place} is a path of one machine")))
    });
    found.collect()
}

/// Whether a path starts here, and goes on below this directory or ends with it.
fn is_absolute(line: &str, at: usize, length: usize) -> bool {
    let before = line[..at].chars().next_back();
    let mut after = line[at + length..].chars();
    let starts = !before.is_some_and(|c| c.is_alphanumeric() || "_-./}~".contains(c));
    let ends = match after.next() {
        None => true,
        Some('/') => after.next().is_some_and(|c| c.is_alphanumeric() || "._-$".contains(c)),
        Some(c) => c.is_whitespace() || "\"'`),;".contains(c),
    };
    starts && ends
}

/// Hosts of package registries, and a lock file that was made with another one.
pub fn registries(path: &str, text: &str) -> Vec<Finding> {
    let wrong = |line: &str| {
        let host = HOSTS.iter().find(|host| line.contains(**host)).map(|host| format!("{host} is a package registry"));
        let origin = path.ends_with("Cargo.lock") && line.starts_with("source = ") && line != LOCKED;
        host.or_else(|| origin.then(|| "a package of another origin than crates.io".to_owned()))
    };
    text.lines().enumerate().filter_map(|(n, line)| Some(Finding::new(path, n + 1, wrong(line)?))).collect()
}

/// The words the README lacks.
pub fn missing_words(readme: &str) -> Vec<&'static str> {
    let readme = readme.to_lowercase();
    WORDS.into_iter().filter(|word| !readme.contains(word)).collect()
}

#[test]
fn a_path_of_a_machine_is_found() {
    let [first, second, third] = MACHINE;
    let bad = format!("cd {first}/main\nHOME={second}\n\"{third}/dana/x\"\n");
    assert_eq!(machine_paths("tests/run", &bad).iter().map(|finding| finding.line).collect::<Vec<_>>(), [1, 2, 3]);
    let good = format!("src{first}/x\n$HOME{second}/x\nhttp:/{second}:x@y\nGET {first}flows\nroot:{second}:x\n{third}page\n");
    assert_eq!(machine_paths("tests/run", &good), []);
}

#[test]
fn a_registry_is_found() {
    let bad = format!("pip install --index-url https://{}/simple\n", HOSTS[4]);
    assert_eq!(registries("tests/servers", &bad).len(), 1);
    let lock = format!("{LOCKED}\nsource = \"registry+https://mirror.example.com/index\"\n");
    assert_eq!(registries("Cargo.lock", &lock).iter().map(|finding| finding.line).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_missing_word_is_found() {
    assert_eq!(missing_words("Install, check, demo, emergency, systemd, test"), ["rotate"]);
}
