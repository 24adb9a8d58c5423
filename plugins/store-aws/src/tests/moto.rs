//! Against moto, an emulator that many test with. Where it differs from AWS the strict double has the last word.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use cutover_api::conformance::{self, PATHS, StoreTraits};
use cutover_api::{Class, Outcome, Store};

use super::{config, spec, write};
use crate::AwsStore;

/// A running server; it ends with this.
struct Moto {
    child: Child,
    address: String,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Option<PathBuf> {
    let given = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = given("CUTOVER_TEST_CACHE")
        .or_else(|| Some(given("XDG_CACHE_HOME").or_else(|| Some(given("HOME")?.join(".cache")))?.join("cutover-tests")));
    let found = given("CUTOVER_TEST_MOTO").or_else(|| Some(cache?.join("python/bin/moto_server")))?;
    found.is_file().then_some(found)
}

impl Moto {
    /// Starts one on a free port; `None` where it is not installed, which fails in CI.
    fn start() -> Option<Self> {
        let Some(program) = program() else {
            assert!(std::env::var_os("CI").is_none(), "moto is not there: run `tests/servers install`");
            eprintln!("skipped: moto is not there: run `tests/servers install`");
            return None;
        };
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", "0"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("moto starts");
        let lines = BufReader::new(child.stderr.take().expect("piped"));
        let mut moto = Self { child, address: String::new() };
        let mut lines = lines.lines().map_while(Result::ok);
        let line = lines.find_map(|line| Some(line.split_once("Running on ")?.1.trim().to_owned()));
        moto.address = line.expect("moto says where it listens");
        // It goes on to log each request; nobody reading would stop it in the end.
        std::thread::spawn(move || lines.for_each(drop));
        Some(moto)
    }

    fn store(&self) -> AwsStore {
        AwsStore::with_config(&config(&self.address, Duration::from_secs(10)))
    }

    fn client(&self) -> Client {
        Client::new(&config(&self.address, Duration::from_secs(10)))
    }
}

async fn create(client: &Client, name: &str, text: Option<&str>) {
    client.create_secret().name(name).set_secret_string(text.map(ToOwned::to_owned)).send().await.expect("created");
}

#[tokio::test]
async fn the_store_keeps_every_promise() {
    let Some(moto) = Moto::start() else { return };
    let (store, client) = (moto.store(), moto.client());
    for name in PATHS {
        create(&client, name, None).await;
        create(&client, &format!("{name}/bare"), None).await;
    }
    let traits = StoreTraits { creates_paths: false, ..StoreTraits::default() };
    conformance::store_with(traits, |name| spec(name, false), &store).await;
    conformance::bare(traits, |name| spec(&format!("{name}/bare"), true), &store).await;
}

#[tokio::test]
async fn versions_and_labels_end_up_as_people_expect() {
    let Some(moto) = Moto::start() else { return };
    let (store, client) = (moto.store(), moto.client());
    let text = "{\n  \"big\": 123456789012345678901234567890,\n  \"KEY\": \"old\"\n}";
    create(&client, "app", Some(text)).await;
    let target = spec("app", false);
    let Outcome::Done(reading) = store.read(&target, &BTreeSet::from(["KEY".to_owned()])).await else { panic!("not read") };
    let first = reading.version.expect("a version");
    assert!(matches!(store.prove(&target).await, Outcome::Done(())));
    let Outcome::Done(Some(second)) = write(&store, &target, Some(&first), "KEY", "new").await else { panic!("not written") };
    let described = client.describe_secret().secret_id("app").send().await.expect("there");
    let labels = described.version_ids_to_stages.expect("versions");
    assert_eq!(labels.len(), 2, "{labels:?}");
    assert_eq!(
        (labels[&first].as_slice(), labels[&second].as_slice()),
        (&["AWSPREVIOUS".to_owned()][..], &["AWSCURRENT".to_owned()][..])
    );
    let current = client.get_secret_value().secret_id("app").version_stage("AWSCURRENT").send().await.expect("there");
    assert_eq!(current.secret_string.as_deref(), Some(text.replace("old", "new").as_str()));
}

#[tokio::test]
async fn what_cannot_be_written_is_refused() {
    let Some(moto) = Moto::start() else { return };
    let (store, client) = (moto.store(), moto.client());
    create(&client, "plain", Some("not json")).await;
    create(&client, "leaving", Some("{}")).await;
    client.delete_secret().secret_id("leaving").recovery_window_in_days(7).send().await.expect("deleted");
    client
        .create_secret()
        .name("binary")
        .secret_binary(aws_sdk_secretsmanager::primitives::Blob::new([0, 255]))
        .send()
        .await
        .expect("created");
    for (path, why) in [("plain", "JSON"), ("leaving", "scheduled for deletion"), ("binary", "binary data")] {
        let target = spec(path, false);
        let read = store.read(&target, &BTreeSet::from(["KEY".to_owned()])).await;
        let Outcome::Refused(refusal) = read else { panic!("{path} is read") };
        assert!(refusal.to_string().contains(why), "{refusal}");
        assert!(matches!(store.prove(&target).await, Outcome::Refused(_)), "{path}");
        assert!(matches!(write(&store, &target, None, "KEY", "new").await, Outcome::Refused(_)), "{path}");
    }
    assert!(
        matches!(store.read(&spec("missing", false), &BTreeSet::new()).await, Outcome::Done(reading) if reading.version.is_none())
    );
    let missing = write(&store, &spec("missing", false), None, "KEY", "new").await;
    assert!(matches!(missing, Outcome::Refused(refusal) if refusal.class == Class::Gone));
}
