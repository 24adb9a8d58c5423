//! Files with secrets that more people can read than have to. Only their modes are looked at: nothing is opened.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use cutover_api::SecretRef;
use cutover_config::Config;
use serde_json::Value;

use super::words::shell_word;
use crate::catalog;

/// What is said of each of them: which file, its mode, and the command that closes it. What is not there is not told of here.
pub fn open_to_others(config: &Config) -> Vec<String> {
    let secrets = secrets(config).into_iter().filter_map(|path| said(&path, true));
    // An application reads its target by group as a rule: only what everybody can read is too much.
    let targets = targets(config).into_iter().filter_map(|path| said(&path, false));
    secrets.chain(targets).collect()
}

/// The files that the configuration's references name.
fn secrets(config: &Config) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for reference in &config.daemon.seal {
        if let SecretRef::File(path) = reference {
            files.insert(PathBuf::from(path));
        }
    }
    config.notify.values().for_each(|channel| named(&channel.table.to_json(), &mut files));
    config.stores.values().for_each(|store| named(&store.table.to_json(), &mut files));
    config.providers.values().for_each(|provider| named(&provider.table.to_json(), &mut files));
    for policy in config.policies.values() {
        policy.redeploy.iter().for_each(|hook| named(&hook.table.to_json(), &mut files));
        policy.verify.iter().for_each(|verify| named(&verify.table.to_json(), &mut files));
    }
    files
}

/// Every `{ file = "/…" }` in a table.
fn named(value: &Value, files: &mut BTreeSet<PathBuf>) {
    match value {
        Value::Object(entries) => {
            if let Some(path) = entries.get("file").and_then(Value::as_str).filter(|path| path.starts_with('/')) {
                files.insert(PathBuf::from(path));
            }
            entries.values().for_each(|value| named(value, files));
        }
        Value::Array(items) => items.iter().for_each(|value| named(value, files)),
        _ => {}
    }
}

/// The files that are targets.
fn targets(config: &Config) -> BTreeSet<PathBuf> {
    let all = config.policies.values().flat_map(|policy| &policy.targets);
    let file = |target: &cutover_config::Target| {
        let store = config.stores.get(&target.store)?;
        catalog::file_of(&store.kind, &store.table.to_json(), &target.spec.path)
    };
    all.filter_map(file).collect()
}

/// What is said of one file. `group`: whether its group is too many as well.
fn said(path: &Path, group: bool) -> Option<String> {
    let found = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let (mode, by_root) = (found.mode() & 0o777, found.uid() == 0 && found.gid() != 0);
    // What root owns is opened to the daemon by its group: without that the daemon could not read it.
    let group = group && !by_root;
    let who = match (mode & 0o007, mode & 0o070) {
        (0, 0) => return None,
        (0, _) if group => "its group",
        (0, _) => return None,
        _ => "everybody on this machine",
    };
    let close = if group { "chmod 600" } else { "chmod o-rwx" };
    let word = shell_word(&path.display().to_string());
    Some(format!("{}: a secret that {who} can read (mode {mode:04o}): `{close} {word}`", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::open_to_others;
    use crate::cli::open;
    use crate::engine::WallClock;

    /// A key in a file of mode 0644 was nowhere told of.
    #[test]
    fn a_secret_that_others_can_read_is_told_with_what_closes_it() {
        let directory = tempfile::tempdir().unwrap();
        let dir = directory.path().display();
        let text = format!(
            "daemon = {{ name = \"t\", seal = {{ file = \"{dir}/seal\" }} }}\nnotify.ops = {{ kind = \"webhook\", \
             request = \"POST https://chat.example.com/x\", credential = {{ file = \"{dir}/chat\" }}, auth = {{ bearer = \"{{{{ credential }}}}\" }} }}\n\
             store.app = {{ kind = \"file\", root = \"{dir}\" }}\n[provider.bondi]\ncredential = {{ file = \"{dir}/jwt\" }}\n\
             [policy.crm]\nprovider = \"bondi\"\nparams = {{ workspace = \"w\", slug = \"s\" }}\ncadence = \"1y\"\n\
             target = [{{ store = \"app\", path = \"app.env\", fields = {{ KEY = \"{{{{ new.secret }}}}\" }} }}]\n"
        );
        let catalog = open::shipped(&WallClock::real()).unwrap_or_else(|problems| panic!("{problems:?}"));
        let config = cutover_config::parse(&[("c.toml".to_owned(), text)], &catalog);
        let config = config.unwrap_or_else(|problems| panic!("{problems:?}"));
        assert!(open_to_others(&config).is_empty(), "what is not there is not told of");
        let put = |name: &str, mode: u32| {
            let path = directory.path().join(name);
            std::fs::write(&path, "x").unwrap();
            std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        for (name, mode) in [("seal", 0o644), ("chat", 0o600), ("jwt", 0o666), ("app.env", 0o640)] {
            put(name, mode);
        }
        let told = open_to_others(&config);
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(
            told[1],
            format!("{dir}/seal: a secret that everybody on this machine can read (mode 0644): `chmod 600 {dir}/seal`")
        );
        assert!(told[0].contains("/jwt: ") && told[0].contains("(mode 0666)"), "{told:?}");
        put("app.env", 0o644);
        assert!(open_to_others(&config)[2].ends_with(&format!("`chmod o-rwx {dir}/app.env`")), "{:?}", open_to_others(&config));
        for name in ["seal", "jwt", "app.env"] {
            put(name, 0o600);
        }
        assert!(open_to_others(&config).is_empty());
    }
}
