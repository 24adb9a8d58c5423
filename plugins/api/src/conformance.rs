//! What every [`Store`] and every hook must keep, as suites. A hook's tests call [`hook`]; a store's tests call [`store`] (or [`store_with`],
//! [`bare`]) against the real thing.
//!
//! Each case uses a path of its own, named in [`PATHS`], which must not exist beforehand (or, where [`StoreTraits::creates_paths`] is
//! false, must be there without any field). A broken promise panics with one sentence that names the case.

mod hooks;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use crate::outcome::{Class, Outcome};
use crate::secret::Secret;
use crate::store::{Change, Reading, Store, TargetSpec};

pub use hooks::hook;

/// The names that `make` is called with, for stores whose paths must be made before.
pub const PATHS: [&str; 10] = [
    "conformance-absent",
    "conformance-round-trip",
    "conformance-stale",
    "conformance-remove",
    "conformance-foreign",
    "conformance-prove",
    "conformance-prove-absent",
    "conformance-repeat",
    "conformance-values",
    "conformance-race",
];

/// What a store may honestly differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreTraits {
    /// It takes values that hold a newline. A store that does not must refuse them and change nothing.
    pub newlines: bool,
    /// A write to a path that is not there makes it.
    pub creates_paths: bool,
    /// The compare and the write are one step: of several writers at once that expect the same version exactly one wins.
    pub atomic: bool,
}

impl Default for StoreTraits {
    fn default() -> Self {
        Self { newlines: true, creates_paths: true, atomic: true }
    }
}

const ROTATION: &str = "0b8f6a52-3d1e-4c57-9a64-5f2f1e0c7d01";
const NEXT_ROTATION: &str = "0b8f6a52-3d1e-4c57-9a64-5f2f1e0c7d02";

/// Every case, for a store that keeps all of the promises. `make` turns a name of [`PATHS`] into a target with fields.
pub async fn store(make: impl Fn(&str) -> TargetSpec, store: &dyn Store) {
    store_with(StoreTraits::default(), make, store).await;
}

/// Every case, for a store that differs as `traits` says.
pub async fn store_with(traits: StoreTraits, make: impl Fn(&str) -> TargetSpec, store: &dyn Store) {
    absent_reads_empty(&make(PATHS[0]), traits, store).await;
    round_trip(&make(PATHS[1]), "CONFORMANCE_KEY", store).await;
    stale_is_refused(&make(PATHS[2]), "CONFORMANCE_KEY", store).await;
    remove_only_the_named(&make(PATHS[3]), store).await;
    foreign_fields_survive(&make(PATHS[4]), store).await;
    prove_changes_nothing(&make(PATHS[5]), "CONFORMANCE_KEY", store).await;
    if traits.creates_paths {
        prove_makes_nothing(&make(PATHS[6]), "CONFORMANCE_KEY", store).await;
    }
    a_repeat_is_harmless(&make(PATHS[7]), "CONFORMANCE_KEY", store).await;
    values_survive(&make(PATHS[8]), "CONFORMANCE_KEY", traits, store).await;
    if traits.atomic {
        one_writer_wins(&make(PATHS[9]), "CONFORMANCE_KEY", store).await;
    }
}

/// The cases that make sense for a bare value (its one field is `""`). `make` must set [`TargetSpec::bare`].
pub async fn bare(traits: StoreTraits, make: impl Fn(&str) -> TargetSpec, store: &dyn Store) {
    round_trip(&make(PATHS[1]), "", store).await;
    stale_is_refused(&make(PATHS[2]), "", store).await;
    prove_changes_nothing(&make(PATHS[5]), "", store).await;
    if traits.creates_paths {
        prove_makes_nothing(&make(PATHS[6]), "", store).await;
    }
    a_repeat_is_harmless(&make(PATHS[7]), "", store).await;
    values_survive(&make(PATHS[8]), "", traits, store).await;
    if traits.atomic {
        one_writer_wins(&make(PATHS[9]), "", store).await;
    }
}

async fn absent_reads_empty(target: &TargetSpec, traits: StoreTraits, store: &dyn Store) {
    let reading = read(store, target, &["CONFORMANCE_KEY", "CONFORMANCE_OTHER"]).await;
    assert!(reading.fields.is_empty(), "absent: a path that is not there has fields");
    if traits.creates_paths {
        assert!(reading.version.is_none(), "absent: a path that is not there has a version");
    }
}

async fn round_trip(target: &TargetSpec, field: &str, store: &dyn Store) {
    let first = put(store, target, &[(field, "first value")]).await;
    let read_back = read(store, target, &[field]).await;
    holds(&read_back, field, Some("first value"), "round-trip");
    assert!(read_back.version.is_some(), "round-trip: what is there has no version");
    assert_eq!(read_back.version, first, "round-trip: the write answered another version than is read");
    let second = put(store, target, &[(field, "second value")]).await;
    assert_ne!(second, first, "round-trip: another value has the same version");
    let read_back = read(store, target, &[field]).await;
    holds(&read_back, field, Some("second value"), "round-trip");
    assert_eq!(read_back.version, second, "round-trip: the second write answered another version than is read");
}

async fn stale_is_refused(target: &TargetSpec, field: &str, store: &dyn Store) {
    let before = read(store, target, &[field]).await.version;
    let first = put(store, target, &[(field, "first value")]).await;
    let second = put(store, target, &[(field, "second value")]).await;
    for (stale, case) in [(first, "stale: an older version"), (before, "stale: the version before anything was written")] {
        let value = Secret::new("too late".to_owned());
        let outcome = store.write(target, change(&[(field, &value)], &[], stale, NEXT_ROTATION)).await;
        refused(outcome, Class::Exists, case);
        let now = read(store, target, &[field]).await;
        holds(&now, field, Some("second value"), case);
        assert_eq!(now.version, second, "{case}: the refused write made a version");
    }
}

async fn remove_only_the_named(target: &TargetSpec, store: &dyn Store) {
    let fields = ["CONFORMANCE_KEY", "CONFORMANCE_OLD", "CONFORMANCE_OTHER"];
    put(store, target, &[(fields[0], "new"), (fields[1], "old"), (fields[2], "foreign")]).await;
    let before = read(store, target, &fields).await;
    let value = Secret::new("newer".to_owned());
    let version = done(
        store
            .write(target, change(&[(fields[0], &value)], &[fields[1], "CONFORMANCE_NEVER_THERE"], before.version, ROTATION))
            .await,
        "remove: the write",
    );
    let after = read(store, target, &fields).await;
    holds(&after, fields[0], Some("newer"), "remove: the field set beside it");
    holds(&after, fields[1], None, "remove: the named field");
    holds(&after, fields[2], Some("foreign"), "remove: a field not named");
    assert_eq!(after.version, version, "remove: the version");
}

async fn foreign_fields_survive(target: &TargetSpec, store: &dyn Store) {
    let foreign = "sp ace \"quoted\" 'single' #hash $dollar \\ back = é";
    put(store, target, &[("CONFORMANCE_OTHER", foreign), ("CONFORMANCE_EMPTY", "")]).await;
    put(store, target, &[("CONFORMANCE_KEY", "one")]).await;
    put(store, target, &[("CONFORMANCE_KEY", "two")]).await;
    let after = read(store, target, &["CONFORMANCE_KEY", "CONFORMANCE_OTHER", "CONFORMANCE_EMPTY"]).await;
    holds(&after, "CONFORMANCE_KEY", Some("two"), "foreign: our field");
    holds(&after, "CONFORMANCE_OTHER", Some(foreign), "foreign: another's field");
    holds(&after, "CONFORMANCE_EMPTY", Some(""), "foreign: another's empty field");
    let only = read(store, target, &["CONFORMANCE_KEY"]).await;
    assert_eq!(only.fields.len(), 1, "foreign: a read answers fields that were not asked for");
}

async fn prove_changes_nothing(target: &TargetSpec, field: &str, store: &dyn Store) {
    put(store, target, &[(field, "stays")]).await;
    let before = read(store, target, &[field]).await;
    for _ in 0..3 {
        done(store.prove(target).await, "prove");
    }
    let after = read(store, target, &[field]).await;
    holds(&after, field, Some("stays"), "prove: the field");
    assert_eq!(after.version, before.version, "prove: it made a version");
}

async fn prove_makes_nothing(target: &TargetSpec, field: &str, store: &dyn Store) {
    done(store.prove(target).await, "prove on a path that is not there");
    let after = read(store, target, &[field]).await;
    assert!(after.fields.is_empty() && after.version.is_none(), "prove: it made the path");
}

async fn a_repeat_is_harmless(target: &TargetSpec, field: &str, store: &dyn Store) {
    let before = read(store, target, &[field]).await.version;
    let value = Secret::new("written twice".to_owned());
    done(store.write(target, change(&[(field, &value)], &[], before.clone(), ROTATION)).await, "repeat: the first write");
    // As after a lost reply: the very same call again. A store with idempotency tokens says done, one that compares says exists.
    match store.write(target, change(&[(field, &value)], &[], before, ROTATION)).await {
        Outcome::Done(_) => {}
        other => refused(other, Class::Exists, "repeat: the same call again"),
    }
    let now = read(store, target, &[field]).await;
    holds(&now, field, Some("written twice"), "repeat: after the same call again");
    // As after a restart: read anew, then written anew under the same rotation.
    let version = done(
        store.write(target, change(&[(field, &value)], &[], now.version, ROTATION)).await,
        "repeat: the same value over the present version",
    );
    let now = read(store, target, &[field]).await;
    holds(&now, field, Some("written twice"), "repeat: after the third write");
    assert_eq!(now.version, version, "repeat: the version");
}

async fn values_survive(target: &TargetSpec, field: &str, traits: StoreTraits, store: &dyn Store) {
    let lines = [
        "plain",
        "with space",
        " leading and trailing ",
        "\"double\" and 'single' and `back`",
        "$HOME ${HOME} $(id) %PATH%",
        "# not a comment # either",
        "back\\slash \\n \\t \\\" \\",
        "key=value==",
        "{\"json\": [1, true, null]}",
        "ünïcödé ✓ 日本 🔑",
        "tab\there",
        "null",
        "123",
    ];
    for value in lines {
        put(store, target, &[(field, value)]).await;
        holds(&read(store, target, &[field]).await, field, Some(value), "values");
    }
    let last = read(store, target, &[field]).await;
    for value in ["two\nlines", "-----BEGIN KEY-----\nAAAA\n-----END KEY-----\n", "carriage\r\nreturn"] {
        if traits.newlines {
            put(store, target, &[(field, value)]).await;
            holds(&read(store, target, &[field]).await, field, Some(value), "values with newlines");
            continue;
        }
        let secret = Secret::new(value.to_owned());
        match store.write(target, change(&[(field, &secret)], &[], last.version.clone(), NEXT_ROTATION)).await {
            Outcome::Refused(_) => {}
            other => refused(other, Class::Refused, "values with newlines in a store that does not take them"),
        }
        let now = read(store, target, &[field]).await;
        assert_eq!(now.version, last.version, "values: a refused write made a version");
    }
}

async fn one_writer_wins(target: &TargetSpec, field: &str, store: &dyn Store) {
    put(store, target, &[(field, "before the race")]).await;
    let expected = read(store, target, &[field]).await.version;
    let values: Vec<_> = (0..8).map(|n| Secret::new(format!("racer {n}"))).collect();
    let racers = values.iter().enumerate().map(|(n, value)| {
        let rotation = format!("0b8f6a52-3d1e-4c57-9a64-5f2f1e0c7e{n:02}");
        store.write(target, change(&[(field, value)], &[], expected.clone(), &rotation))
    });
    let mut winners = Vec::new();
    for (n, outcome) in together(racers.collect()).await.into_iter().enumerate() {
        match outcome {
            Outcome::Done(version) => winners.push((n, version)),
            other => refused(other, Class::Exists, "race: a loser"),
        }
    }
    assert_eq!(winners.len(), 1, "race: {} writers won", winners.len());
    let now = read(store, target, &[field]).await;
    let (winner, version) = winners.swap_remove(0);
    holds(&now, field, Some(&format!("racer {winner}")), "race: what the winner wrote");
    assert_eq!(now.version, version, "race: the winner's version");
}

/// Drives futures at once, without a runtime of its own.
async fn together<'a, T>(mut futures: Vec<Pin<Box<dyn Future<Output = T> + Send + 'a>>>) -> Vec<T> {
    let mut results: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(move |context| {
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if result.is_none()
                && let Poll::Ready(value) = future.as_mut().poll(context)
            {
                *result = Some(value);
            }
        }
        if results.iter().any(Option::is_none) {
            return Poll::Pending;
        }
        Poll::Ready(results.iter_mut().filter_map(Option::take).collect())
    })
    .await
}

fn change<'a>(set: &[(&str, &'a Secret)], remove: &[&str], expected: Option<String>, rotation: &str) -> Change<'a> {
    Change {
        set: set.iter().map(|(field, value)| ((*field).to_owned(), *value)).collect(),
        remove: remove.iter().map(|field| (*field).to_owned()).collect(),
        expected,
        rotation: rotation.to_owned(),
    }
}

/// Writes over whatever is there now, each time as a rotation of its own, and answers with the new version.
async fn put(store: &dyn Store, target: &TargetSpec, fields: &[(&str, &str)]) -> Option<String> {
    let asked: Vec<_> = fields.iter().map(|(field, _)| *field).collect();
    let expected = read(store, target, &asked).await.version;
    let secrets: BTreeMap<_, _> = fields.iter().map(|(field, value)| (*field, Secret::new((*value).to_owned()))).collect();
    let set: Vec<_> = secrets.iter().map(|(field, value)| (*field, value)).collect();
    let seen: String = expected.iter().map(String::as_str).chain(fields.iter().map(|(_, value)| *value)).collect();
    let rotation = Secret::new(seen).fingerprint().0;
    let hex: String = rotation.chars().skip("sha256:".len()).collect();
    let rotation = format!("{}-{}-4{}-8{}-5f2f1e0c7d01", &hex[..8], &hex[8..12], &hex[12..15], &hex[1..4]);
    done(store.write(target, change(&set, &[], expected, &rotation)).await, "a write over the present version")
}

async fn read(store: &dyn Store, target: &TargetSpec, fields: &[&str]) -> Reading {
    let fields: BTreeSet<_> = fields.iter().map(|field| (*field).to_owned()).collect();
    done(store.read(target, &fields).await, "a read")
}

fn holds(reading: &Reading, field: &str, value: Option<&str>, case: &str) {
    let found = reading.fields.get(field).map(Secret::expose);
    assert_eq!(found, value, "{case}: field \"{field}\"");
}

#[expect(clippy::panic, reason = "a test suite tells by panicking")]
fn done<T>(outcome: Outcome<T>, case: &str) -> T {
    match outcome {
        Outcome::Done(value) => value,
        Outcome::Refused(refusal) => panic!("{case}: refused: {refusal}"),
        Outcome::Unknown(cause) => panic!("{case}: {cause}"),
    }
}

#[expect(clippy::panic, reason = "a test suite tells by panicking")]
fn refused<T>(outcome: Outcome<T>, class: Class, case: &str) {
    match outcome {
        Outcome::Refused(refusal) => assert_eq!(refusal.class, class, "{case}: {refusal}"),
        Outcome::Done(_) => panic!("{case}: done, but must be refused as {}", class.label()),
        Outcome::Unknown(cause) => panic!("{case}: {cause}, but must be refused as {}", class.label()),
    }
}
