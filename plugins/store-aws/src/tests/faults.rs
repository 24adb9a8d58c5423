//! Every call of a write goes wrong in every way.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cutover_api::{Class, Outcome, Refusal, Store};
use tracing_subscriber::fmt::MakeWriter;

use super::fake::{Fake, Mishap, Secret};
use super::{hasty, patient_for, spec, write};

/// How long a reply that never comes is waited for.
const BRIEF: Duration = Duration::from_millis(500);
const OLD: &str = "{\"n\": 123456789012345678901234567890, \"KEY\": \"old\"}";
const NEW: &str = "{\"n\": 123456789012345678901234567890, \"KEY\": \"new\"}";
const ALL: [Mishap; 10] = [
    Mishap::CutBefore,
    Mishap::CutAfter,
    Mishap::CutInside,
    Mishap::Silence,
    Mishap::ErrorBefore,
    Mishap::ErrorAfter,
    Mishap::Garbage,
    Mishap::Denied,
    Mishap::Throttled,
    Mishap::Stale,
];

fn secret() -> Secret {
    let mut secret = Secret::default();
    secret.put("v1", OLD, "AWSCURRENT");
    secret
}

fn now(fake: &Fake) -> Secret {
    fake.state.lock().expect("not poisoned").secrets["app"].clone()
}

fn refused<T>(outcome: Outcome<T>, case: &str) -> Refusal {
    match outcome {
        Outcome::Refused(refusal) => {
            assert!(!refusal.to_string().contains("sekrit"), "{case}: text of the other side: {refusal}");
            refusal
        }
        Outcome::Done(_) => panic!("{case}: done"),
        Outcome::Unknown(cause) => panic!("{case}: {cause}"),
    }
}

#[tokio::test]
async fn a_write_makes_one_version_and_leaves_no_pending_label() {
    let fake = Fake::start("app", secret()).await;
    let Outcome::Done(Some(token)) = write(&hasty(&fake.address), &spec("app", false), Some("v1"), "KEY", "new").await else {
        panic!("not written")
    };
    let after = now(&fake);
    assert_eq!(after.current(), (token.as_str(), NEW));
    assert_eq!(
        (after.versions.len(), after.with("AWSPREVIOUS").map(String::as_str), after.with("AWSPENDING")),
        (2, Some("v1"), None)
    );
    let calls = fake.state.lock().expect("not poisoned").calls.clone();
    let writes: Vec<_> = calls.iter().filter(|call| !call.starts_with("Get") && !call.starts_with("Describe")).collect();
    assert_eq!(writes, ["PutSecretValue", "UpdateSecretVersionStage", "UpdateSecretVersionStage"]);
}

/// One write with one mishap (or one that lasts), judged by what stands there afterwards, then sent again without.
async fn go(at: usize, mishap: Mishap, lasts: bool, first: bool) {
    let case = format!(
        "call {at} {mishap:?}{}{}",
        if lasts { " and all after" } else { "" },
        if first { ", first value" } else { "" }
    );
    let fake = Fake::start("app", if first { Secret::default() } else { secret() }).await;
    {
        let mut state = fake.state.lock().expect("not poisoned");
        if lasts {
            state.from = Some((at, mishap));
        } else {
            state.mishaps.insert(at, mishap);
        }
    }
    let (store, target) = (patient_for(BRIEF, &fake.address), spec("app", false));
    let expected = (!first).then_some("v1");
    let outcome = write(&store, &target, expected, "KEY", "new").await;
    let between = now(&fake);
    let written = between.with("AWSCURRENT").is_some_and(|id| id.starts_with("cutover-"));
    match &outcome {
        Outcome::Done(_) => assert!(written, "{case}: done, but not current"),
        Outcome::Refused(refusal) => assert!(!written, "{case}: {refusal}, but it is current"),
        Outcome::Unknown(_) => {}
    }
    {
        let mut state = fake.state.lock().expect("not poisoned");
        (state.from, state.mishaps) = (None, Default::default());
    }
    let again = match write(&hasty(&fake.address), &target, expected, "KEY", "new").await {
        Outcome::Done(Some(token)) => token,
        Outcome::Done(None) => panic!("{case}: no version"),
        Outcome::Refused(refusal) => panic!("{case}: again: {refusal}"),
        Outcome::Unknown(cause) => panic!("{case}: again: {cause}"),
    };
    let after = now(&fake);
    assert_eq!(after.current(), (again.as_str(), if first { "{\"KEY\": \"new\"}" } else { NEW }), "{case}");
    assert_eq!((after.versions.len(), after.with("AWSPENDING")), (if first { 1 } else { 2 }, None), "{case}");
}

async fn all(first: bool) {
    let fake = Fake::start("app", if first { Secret::default() } else { secret() }).await;
    let done = write(&hasty(&fake.address), &spec("app", false), (!first).then_some("v1"), "KEY", "new").await;
    assert!(matches!(done, Outcome::Done(_)));
    let calls = fake.state.lock().expect("not poisoned").calls.len();
    assert!(calls >= 7, "{calls}");
    let mut cases = tokio::task::JoinSet::new();
    for at in 0..calls {
        for mishap in ALL {
            cases.spawn(go(at, mishap, false, first));
            // Lasting silence is a lasting cut that takes longer.
            if mishap != Mishap::Silence {
                cases.spawn(go(at, mishap, true, first));
            }
        }
        while let Some(ended) = cases.join_next().await {
            ended.expect("the case holds");
        }
    }
}

#[tokio::test]
async fn a_write_that_goes_wrong_anywhere_is_told_right_and_healed_by_its_repeat() {
    all(false).await;
}

#[tokio::test]
async fn so_is_the_first_value_of_a_secret() {
    all(true).await;
}

#[tokio::test]
async fn a_lost_reply_to_the_put_is_unknown() {
    for mishap in [Mishap::CutAfter, Mishap::Silence, Mishap::ErrorAfter, Mishap::Garbage, Mishap::CutInside] {
        let fake = Fake::start("app", secret()).await;
        fake.state.lock().expect("not poisoned").mishaps.insert(2, mishap);
        let outcome = write(&patient_for(BRIEF, &fake.address), &spec("app", false), Some("v1"), "KEY", "new").await;
        assert!(matches!(outcome, Outcome::Unknown(_)), "{mishap:?}");
        assert_eq!(
            fake.state.lock().expect("not poisoned").calls.last().map(String::as_str),
            Some("PutSecretValue"),
            "sent once"
        );
    }
}

#[tokio::test]
async fn a_version_that_cannot_be_read_back_does_not_become_current() {
    for mishap in [Mishap::Stale, Mishap::Denied, Mishap::CutBefore, Mishap::Garbage] {
        let fake = Fake::start("app", secret()).await;
        fake.state.lock().expect("not poisoned").from = Some((3, mishap));
        let outcome = write(&hasty(&fake.address), &spec("app", false), Some("v1"), "KEY", "new").await;
        assert!(matches!(outcome, Outcome::Unknown(_)), "{mishap:?}");
        assert_eq!(now(&fake).current(), ("v1", OLD), "{mishap:?}");
        let calls = fake.state.lock().expect("not poisoned").calls.clone();
        assert!(!calls.contains(&"UpdateSecretVersionStage".to_owned()), "{mishap:?}");
    }
}

#[tokio::test]
async fn a_pending_version_of_somebody_else_is_not_pushed_aside() {
    let mut theirs = secret();
    theirs.put("their-rotation", "{}", "AWSPENDING");
    let fake = Fake::start("app", theirs).await;
    let (store, target) = (hasty(&fake.address), spec("app", false));
    assert_eq!(refused(write(&store, &target, Some("v1"), "KEY", "new").await, "theirs").class, Class::Exists);
    assert_eq!(refused(store.prove(&target).await, "theirs").class, Class::Exists);
    assert_eq!(now(&fake).with("AWSPENDING").map(String::as_str), Some("their-rotation"));
    // One on the current version is nobody's rotation, and one of ours is what a crash left.
    for (id, text) in [("v1", OLD), ("cutover-left-by-a-crash", "{}")] {
        let mut ours = secret();
        ours.put(id, text, "AWSPENDING");
        if id == "v1" {
            ours.versions.get_mut(id).expect("there").labels.insert("AWSCURRENT".to_owned());
        }
        let fake = Fake::start("app", ours).await;
        assert!(matches!(write(&hasty(&fake.address), &target, Some("v1"), "KEY", "new").await, Outcome::Done(_)), "{id}");
        assert_eq!(now(&fake).current().1, NEW);
    }
}

#[tokio::test]
async fn a_proof_changes_nothing_and_needs_the_permissions_of_a_write() {
    let fake = Fake::start("app", secret()).await;
    let (store, target) = (hasty(&fake.address), spec("app", false));
    assert!(matches!(store.prove(&target).await, Outcome::Done(())));
    let calls = fake.state.lock().expect("not poisoned").calls.clone();
    assert_eq!(format!("{:?}", now(&fake)), format!("{:?}", secret()));
    for (at, call) in calls.iter().enumerate() {
        let fake = Fake::start("app", secret()).await;
        fake.state.lock().expect("not poisoned").mishaps.insert(at, Mishap::Denied);
        let refusal = refused(hasty(&fake.address).prove(&target).await, call);
        assert_eq!(refusal.class, Class::Scope, "{call}");
        assert!(refusal.hint.is_some_and(|hint| hint.contains(call.as_str())), "{call}: the hint names the permission");
    }
    assert!(calls.contains(&"PutSecretValue".to_owned()) && calls.contains(&"UpdateSecretVersionStage".to_owned()));
}

#[tokio::test]
async fn what_is_missing_empty_or_deleted_is_told_apart() {
    let fake = Fake::start("app", Secret::default()).await;
    fake.state.lock().expect("not poisoned").secrets.insert("gone".to_owned(), Secret { deleted: true, ..secret() });
    let store = hasty(&fake.address);
    let key = BTreeSet::from(["KEY".to_owned()]);
    for path in ["app", "nowhere"] {
        let Outcome::Done(reading) = store.read(&spec(path, false), &key).await else { panic!("{path}") };
        assert!(reading.fields.is_empty() && reading.version.is_none(), "{path}");
    }
    assert!(matches!(store.prove(&spec("app", false)).await, Outcome::Done(())));
    assert_eq!(refused(store.prove(&spec("nowhere", false)).await, "nowhere").class, Class::Gone);
    let missing = refused(write(&store, &spec("nowhere", false), None, "KEY", "new").await, "nowhere");
    assert!(missing.to_string().contains("create it first"), "{missing}");
    let deleted = refused(store.read(&spec("gone", false), &key).await, "gone");
    assert!(deleted.to_string().contains("scheduled for deletion"), "{deleted}");
    assert_eq!(refused(write(&store, &spec("gone", false), Some("v1"), "KEY", "new").await, "gone").class, Class::Refused);
}

#[tokio::test]
async fn a_server_that_is_not_there_means_nothing_was_sent() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("bound").port()
    };
    let store = hasty(&format!("http://127.0.0.1:{port}"));
    assert_eq!(refused(store.prove(&spec("app", false)).await, "prove").class, Class::Unsent);
    assert_eq!(refused(write(&store, &spec("app", false), None, "KEY", "new").await, "write").class, Class::Unsent);
}

/// Where the log goes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// At level trace the SDK prints the headers of requests, with the session token, and the text of errors.
#[tokio::test]
async fn no_secret_is_logged_at_any_level() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    let _here = tracing::subscriber::set_default(subscriber);
    tracing::trace!("the log is open");
    let fake = Fake::start("app", secret()).await;
    let (store, target) = (hasty(&fake.address), spec("app", false));
    let canary = "canary-4f1c9a7be2d83056";
    assert!(matches!(write(&store, &target, Some("v1"), "KEY", canary).await, Outcome::Done(_)));
    assert!(matches!(store.prove(&target).await, Outcome::Done(())));
    assert!(matches!(store.read(&target, &BTreeSet::from(["KEY".to_owned()])).await, Outcome::Done(_)));
    let text = String::from_utf8_lossy(&log.0.lock().expect("not poisoned")).into_owned();
    assert!(text.contains("the log is open"));
    for word in ["canary", "99, 97, 110, 97, 114, 121", "sekrit"] {
        assert!(!text.contains(word), "{word} is in the log");
    }
}

/// Credentials come from the SDK's chain: a process of its own, as its environment is what is tested.
#[tokio::test]
async fn credentials_come_from_the_chain_of_the_sdk() {
    const CHILD: &str = "CUTOVER_TEST_CHILD_ENDPOINT";
    if let Ok(endpoint) = std::env::var(CHILD) {
        let text = format!("region = \"eu-central-1\"\nprofile = \"rotator\"\nendpoint_url = \"{endpoint}\"\n");
        let table = cutover_api::Table::parse("c.toml", &text).expect("TOML");
        let problems = cutover_api::Problems::default();
        let reader = cutover_api::Reader::new(&table, "store.aws", &problems);
        let store = crate::AwsStore::build(&reader, &super::build::surroundings()).expect("a good table");
        assert!(matches!(store.prove(&spec("app", false)).await, Outcome::Done(())));
        return;
    }
    let fake = Fake::start("app", secret()).await;
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("credentials");
    std::fs::write(&file, "[rotator]\naws_access_key_id = AKIDFROMPROFILE\naws_secret_access_key = x\n").expect("written");
    let mut child = tokio::process::Command::new(std::env::current_exe().expect("this program"));
    child.args(["--exact", "tests::faults::credentials_come_from_the_chain_of_the_sdk"]);
    child
        .env_clear()
        .env(CHILD, &fake.address)
        .env("AWS_SHARED_CREDENTIALS_FILE", &file)
        .env("AWS_CONFIG_FILE", home.path().join("none"));
    let output = child.output().await.expect("started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let state = fake.state.lock().expect("not poisoned");
    assert!(state.authorization.contains("credential=akidfromprofile/"), "{}", state.authorization);
}
