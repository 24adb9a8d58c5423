//! The store against a real file system.

#![expect(clippy::expect_used, clippy::panic, reason = "the helpers of tests tell by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use cutover_api::conformance::{self, StoreTraits};
use cutover_api::{Change, Class, Outcome, Reader, Reading, Refusal, Secret, Store, TargetSpec};
use cutover_store_file::FileStore;
use tempfile::TempDir;

fn root() -> (TempDir, FileStore) {
    let root = tempfile::tempdir().expect("a directory");
    let store = FileStore::at(root.path());
    (root, store)
}

fn spec(path: &str, format: &str) -> TargetSpec {
    let options = BTreeMap::from([("format".to_owned(), format.to_owned())]);
    TargetSpec { path: path.to_owned(), bare: format == "raw", options }
}

async fn read(store: &FileStore, target: &TargetSpec, field: &str) -> Result<(Option<String>, Option<String>), Refusal> {
    match store.read(target, &BTreeSet::from([field.to_owned()])).await {
        Outcome::Done(Reading { mut fields, version }) => Ok((fields.remove(field).map(|s| s.expose().to_owned()), version)),
        Outcome::Refused(refusal) => Err(refusal),
        Outcome::Unknown(cause) => panic!("{cause}"),
    }
}

async fn write(
    store: &FileStore,
    target: &TargetSpec,
    expected: Option<String>,
    field: &str,
    value: &str,
) -> Result<(), Refusal> {
    let value = Secret::new(value.to_owned());
    let set = BTreeMap::from([(field.to_owned(), &value)]);
    match store.write(target, Change { set, remove: BTreeSet::new(), expected, rotation: String::new() }).await {
        Outcome::Done(_) => Ok(()),
        Outcome::Refused(refusal) => Err(refusal),
        Outcome::Unknown(cause) => panic!("{cause}"),
    }
}

/// Reads, then writes over what was read.
async fn put(store: &FileStore, target: &TargetSpec, field: &str, value: &str) -> Result<(), Refusal> {
    let (_, version) = read(store, target, field).await?;
    write(store, target, version, field, value).await
}

fn names(root: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(root)
        .expect("readable")
        .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn json_keeps_every_promise() {
    let (_root, store) = root();
    conformance::store(|name| spec(name, "json"), &store).await;
}

#[tokio::test]
async fn raw_keeps_every_promise() {
    let (_root, store) = root();
    conformance::bare(StoreTraits::default(), |name| spec(name, "raw"), &store).await;
}

/// Spells every value in hex: the suite has values that no dotenv file can hold for every dialect.
struct Hexed(FileStore);

#[async_trait]
impl Store for Hexed {
    fn target(&self, reader: &Reader<'_>) -> Option<TargetSpec> {
        self.0.target(reader)
    }

    async fn read(&self, target: &TargetSpec, fields: &BTreeSet<String>) -> Outcome<Reading> {
        let plain = |secret: Secret| {
            let bytes = secret
                .expose()
                .as_bytes()
                .chunks(2)
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16).expect("hex"));
            Secret::new(String::from_utf8(bytes.collect()).expect("text"))
        };
        self.0.read(target, fields).await.map(|reading| Reading {
            fields: reading.fields.into_iter().map(|(name, value)| (name, plain(value))).collect(),
            version: reading.version,
        })
    }

    async fn prove(&self, target: &TargetSpec) -> Outcome<()> {
        self.0.prove(target).await
    }

    async fn write(&self, target: &TargetSpec, change: Change<'_>) -> Outcome<Option<String>> {
        let spelled: BTreeMap<_, _> = change
            .set
            .iter()
            .map(|(name, value)| {
                let hex: String = value.expose().bytes().map(|b| format!("{b:02x}")).collect();
                (name.clone(), Secret::new(hex))
            })
            .collect();
        let set = spelled.iter().map(|(name, value)| (name.clone(), value)).collect();
        self.0.write(target, Change { set, ..change }).await
    }
}

#[tokio::test]
async fn dotenv_keeps_every_promise() {
    let (_root, store) = root();
    conformance::store(|name| spec(name, "dotenv"), &Hexed(store)).await;
}

#[tokio::test]
async fn a_value_that_dialects_read_differently_changes_nothing() {
    let (root, store) = root();
    let target = spec("app.env", "dotenv");
    put(&store, &target, "KEY", "plain").await.expect("plain");
    for value in ["two\nlines", "both ' and \"", "it's $5", "end\\", "nul\0"] {
        let refusal = put(&store, &target, "KEY", value).await.expect_err(value);
        assert_eq!(refusal.class, Class::Refused);
        assert!(!refusal.to_string().contains(value));
    }
    for value in ["with space", " edge ", "# hash", "$HOME", "it's", "a\tb", "ünï ✓"] {
        put(&store, &target, "KEY", value).await.expect(value);
        assert_eq!(read(&store, &target, "KEY").await.expect("readable").0.as_deref(), Some(value));
    }
    assert_eq!(names(root.path()), ["app.env"]);
}

/// Every printable character, alone and at each place of a value, as a shell that sources the file sees it.
#[tokio::test]
async fn a_shell_reads_what_was_written() {
    let (root, store) = root();
    let target = spec("app.env", "dotenv");
    let all =
        (' '..='~').flat_map(|c| [format!("{c}"), format!("a{c}"), format!("{c}b"), format!("a{c}b"), format!("a {c} b")]);
    let all: Vec<_> = all.chain(["~/x".to_owned(), "a:~/x".to_owned(), "$(id)`id`".to_owned(), "é ✓".to_owned()]).collect();
    let mut script = ". ./app.env\n".to_owned();
    let mut expected = Vec::new();
    for (n, value) in all.iter().enumerate() {
        if put(&store, &target, &format!("K{n}"), value).await.is_ok() {
            script.push_str(&format!("printf '%s\\0' \"$K{n}\"\n"));
            expected.push(value.as_str());
        }
    }
    assert!(expected.len() + 10 > all.len(), "only what no quotes can hold is refused: {} of {}", expected.len(), all.len());
    let output = std::process::Command::new("sh").args(["-c", &script]).current_dir(root.path()).output().expect("a shell");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen = String::from_utf8(output.stdout).expect("text");
    assert_eq!(seen.split_terminator('\0').collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_writers_each_version_is_won_once() {
    let (root, _) = root();
    let path = root.path().to_owned();
    std::fs::write(path.join("n.json"), "{\"n\": \"0\"}\n").expect("written");
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let path = path.clone();
        racers.spawn(async move {
            let (store, target) = (FileStore::at(&path), spec("n.json", "json"));
            let mut won = 0;
            while won < 5 {
                let (value, version) = read(&store, &target, "n").await.expect("readable");
                let n: u32 = value.expect("there").parse().expect("a number");
                match write(&store, &target, version, "n", &(n + 1).to_string()).await {
                    Ok(()) => won += 1,
                    Err(refusal) => assert_eq!(refusal.class, Class::Exists, "{refusal}"),
                }
            }
        });
    }
    while let Some(ended) = racers.join_next().await {
        ended.expect("no racer failed");
    }
    assert_eq!(std::fs::read_to_string(path.join("n.json")).expect("there"), "{\"n\": \"60\"}\n");
    assert_eq!(names(&path), ["n.json"]);
}

#[tokio::test]
async fn readers_never_see_half_a_file() {
    let (root, store) = root();
    let (path, target) = (root.path().join("v"), spec("v", "raw"));
    put(&store, &target, "", &"a".repeat(60_000)).await.expect("first");
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let reader = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let mut seen = BTreeSet::new();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) || seen.is_empty() {
                let text = std::fs::read_to_string(&path).expect("always there");
                assert!(text.len() == 60_000 && text.bytes().all(|b| b == text.as_bytes()[0]), "half a file");
                seen.insert(text.as_bytes()[0]);
            }
        }
    });
    for n in 0..40_u8 {
        put(&store, &target, "", &char::from(b'a' + n % 26).to_string().repeat(60_000)).await.expect("written");
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    reader.join().expect("never half a file");
}

#[tokio::test]
async fn no_symbolic_link_leads_out() {
    let outside = tempfile::tempdir().expect("a directory");
    std::fs::write(outside.path().join("app.env"), "KEY=theirs\n").expect("written");
    let (root, store) = root();
    symlink(outside.path(), root.path().join("dir")).expect("linked");
    symlink(outside.path().join("app.env"), root.path().join("app.env")).expect("linked");
    symlink("gone", root.path().join("dangling.env")).expect("linked");
    std::fs::create_dir(root.path().join("real")).expect("made");
    symlink("real", root.path().join("within")).expect("linked");
    for path in
        ["dir/app.env", "app.env", "dangling.env", "within/app.env", "../x.env", "/etc/x.env", "real/../x.env", "a//b", ""]
    {
        let target = spec(path, "dotenv");
        let read = read(&store, &target, "KEY").await.expect_err(path);
        assert!(read.hint.is_some(), "{path}");
        assert_eq!(write(&store, &target, None, "KEY", "v").await.expect_err(path).class, Class::Refused, "{path}");
        assert!(matches!(store.prove(&target).await, Outcome::Refused(_)), "{path}");
    }
    assert_eq!(std::fs::read_to_string(outside.path().join("app.env")).expect("there"), "KEY=theirs\n");
    let by_link = tempfile::tempdir().expect("a directory");
    symlink(root.path(), by_link.path().join("root")).expect("linked");
    put(&FileStore::at(&by_link.path().join("root")), &spec("real/app.env", "dotenv"), "KEY", "v")
        .await
        .expect("the root may be one");
}

#[tokio::test]
async fn a_missing_directory_is_not_made() {
    let (root, store) = root();
    let target = spec("no/app.env", "dotenv");
    for refusal in [
        read(&store, &target, "KEY").await.expect_err("missing"),
        write(&store, &target, None, "KEY", "v").await.expect_err("missing"),
    ] {
        assert_eq!(refusal.code.as_deref(), Some("ENOENT"));
        let place = format!("could not open the directory {}: ", root.path().join("no").display());
        assert!(refusal.hint.is_some_and(|hint| hint.starts_with(&place) && hint.contains("create the directory")));
    }
    assert!(names(root.path()).is_empty());
}

#[tokio::test]
async fn what_is_no_plain_file_is_refused() {
    let (root, store) = root();
    std::fs::create_dir(root.path().join("d.env")).expect("made");
    std::fs::write(root.path().join("two.env"), "KEY=v\n").expect("written");
    std::fs::hard_link(root.path().join("two.env"), root.path().join("other")).expect("linked");
    std::fs::write(root.path().join("big.env"), vec![b'\n'; 1024 * 1024 + 1]).expect("written");
    rustix::fs::mknodat(rustix::fs::CWD, root.path().join("pipe.env"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .expect("a pipe");
    for path in ["d.env", "pipe.env", "big.env"] {
        assert_eq!(read(&store, &spec(path, "dotenv"), "KEY").await.expect_err(path).class, Class::Refused, "{path}");
        assert!(matches!(store.prove(&spec(path, "dotenv")).await, Outcome::Refused(_)), "{path}");
    }
    let linked = put(&store, &spec("two.env", "dotenv"), "KEY", "new").await.expect_err("linked twice");
    assert!(linked.to_string().contains("hard link"), "{linked}");
    assert!(matches!(store.prove(&spec("two.env", "dotenv")).await, Outcome::Refused(_)));
}

#[tokio::test]
async fn owner_mode_and_attributes_stay() {
    let (root, store) = root();
    let file = root.path().join("app.env");
    std::fs::write(&file, "# mine\nKEY=old\n").expect("written");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).expect("set");
    let marked = rustix::fs::setxattr(&file, "user.note", b"kept", rustix::fs::XattrFlags::empty()).is_ok();
    let chowned = std::os::unix::fs::chown(&file, Some(12_345), Some(23_456)).is_ok();
    put(&store, &spec("app.env", "dotenv"), "KEY", "new").await.expect("written");
    let found = std::fs::metadata(&file).expect("there");
    assert_eq!(found.mode() & 0o7777, 0o640);
    if chowned {
        assert_eq!((found.uid(), found.gid()), (12_345, 23_456));
    }
    if marked {
        let mut note = [0; 8];
        let long = rustix::fs::getxattr(&file, "user.note", &mut note[..]).expect("there");
        assert_eq!(&note[..long], b"kept");
    }
    assert_eq!(std::fs::read_to_string(&file).expect("there"), "# mine\nKEY=new\n");
}

#[tokio::test]
async fn a_new_file_is_closed_unless_asked() {
    let (root, store) = root();
    put(&store, &spec("closed.env", "dotenv"), "KEY", "v").await.expect("written");
    assert_eq!(std::fs::metadata(root.path().join("closed.env")).expect("there").mode() & 0o7777, 0o600);
    let mut target = spec("group.env", "dotenv");
    let own = std::fs::metadata(root.path()).expect("there");
    for (key, value) in [("mode", "0640".to_owned()), ("owner", own.uid().to_string()), ("group", own.gid().to_string())] {
        target.options.insert(key.to_owned(), value);
    }
    put(&store, &target, "KEY", "v").await.expect("written");
    assert_eq!(std::fs::metadata(root.path().join("group.env")).expect("there").mode() & 0o7777, 0o640);
    target.options.insert("owner".to_owned(), "no-such-user-here".to_owned());
    target.path = "other.env".to_owned();
    let refusal = put(&store, &target, "KEY", "v").await.expect_err("unknown owner");
    assert!(refusal.to_string().contains("/etc/passwd"), "{refusal}");
    assert_eq!(names(root.path()), ["closed.env", "group.env"]);
}

#[tokio::test]
async fn a_raw_file_keeps_its_line_end() {
    let (root, store) = root();
    for (name, before, after) in [("a", "old", "new"), ("b", "old\n", "new\n"), ("c", "old\r\n", "new\r\n"), ("d", "", "new")] {
        std::fs::write(root.path().join(name), before).expect("written");
        let target = spec(name, "raw");
        assert_eq!(read(&store, &target, "").await.expect("readable").0.as_deref(), Some(before.trim_end()));
        put(&store, &target, "", "new").await.expect("written");
        assert_eq!(std::fs::read_to_string(root.path().join(name)).expect("there"), after);
    }
    assert!(put(&store, &spec("b", "raw"), "", "odd\r").await.is_err());
    assert_eq!(std::fs::read_to_string(root.path().join("b")).expect("there"), "new\n");
}

#[tokio::test]
async fn json_keeps_its_layout() {
    let (root, store) = root();
    let before = "\u{feff}{\n\t\"big\": 1234567890123456789012345678901234567890,\n\t\"n\": { \"KEY\" : \"old\" }\n}\n";
    std::fs::write(root.path().join("app.json"), before).expect("written");
    put(&store, &spec("app.json", "json"), "/n/KEY", "new").await.expect("written");
    assert_eq!(std::fs::read_to_string(root.path().join("app.json")).expect("there"), before.replace("old", "new"));
    std::fs::write(root.path().join("bad.json"), "{\"KEY\": 1}").expect("written");
    let refusal = read(&store, &spec("bad.json", "json"), "KEY").await.expect_err("a number");
    assert!(refusal.to_string().contains("not a string"), "{refusal}");
    std::fs::write(root.path().join("bad.json"), "").expect("written");
    assert!(matches!(store.prove(&spec("bad.json", "json")).await, Outcome::Refused(_)));
}

#[tokio::test]
async fn a_version_can_be_read_where_a_value_cannot() {
    let (root, store) = root();
    std::fs::write(root.path().join("app.env"), "KEY=\"$HOME\"\n").expect("written");
    let target = spec("app.env", "dotenv");
    assert!(read(&store, &target, "KEY").await.is_err());
    let Outcome::Done(reading) = store.read(&target, &BTreeSet::new()).await else { panic!("not read") };
    write(&store, &target, reading.version, "KEY", "new").await.expect("written over");
    assert_eq!(std::fs::read_to_string(root.path().join("app.env")).expect("there"), "KEY=\"new\"\n");
}
