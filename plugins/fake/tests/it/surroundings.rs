//! The store, the hook, the witness and the notifier in process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cutover_api::{
    Again, Cause, Change, Class, Hook, HookVars, Message, Notifier, Outcome, Problems, Reader, Secret, Severity, Sighting,
    Store, Table, TargetSpec, Witness, WitnessVars,
};
use cutover_fake::{
    FakeHook, FakeNotifier, FakeStore, FakeWitness, Fault, Gate, HookCall, HookHow, NotifyCall, NotifyHow, StoreCall, StoreHow,
};
use serde_json::Value;

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn target() -> TargetSpec {
    TargetSpec { path: "app".to_owned(), bare: false, options: BTreeMap::new() }
}

async fn read(store: &FakeStore) -> (Option<String>, Option<String>) {
    let fields = BTreeSet::from(["A".to_owned()]);
    match store.read(&target(), &fields).await {
        Outcome::Done(reading) => (reading.fields.get("A").map(|value| value.expose().to_owned()), reading.version),
        other => panic!("{:?}", other.map(|_| ())),
    }
}

async fn write(store: &FakeStore, value: &str, expected: Option<&str>) -> Outcome<Option<String>> {
    let value = secret(value);
    let set = BTreeMap::from([("A".to_owned(), &value)]);
    let change = Change {
        set,
        remove: BTreeSet::from(["GONE".to_owned()]),
        expected: expected.map(str::to_owned),
        rotation: "u".to_owned(),
    };
    store.write(&target(), change).await
}

fn class<T>(outcome: Outcome<T>) -> Option<Class> {
    match outcome {
        Outcome::Refused(refusal) => Some(refusal.class),
        _ => None,
    }
}

#[tokio::test]
async fn a_write_compares_sets_removes_and_keeps_the_rest() {
    let store = FakeStore::new();
    assert_eq!(read(&store).await, (None, None));
    assert!(matches!(write(&store, "1", None).await, Outcome::Done(Some(v)) if v == "1"));
    store.put("app", "OTHER", &secret("kept"));
    store.put("app", "GONE", &secret("x"));
    assert_eq!(class(write(&store, "2", Some("1")).await), Some(Class::Exists));
    assert!(matches!(write(&store, "2", Some("3")).await, Outcome::Done(Some(v)) if v == "4"));
    assert_eq!(read(&store).await, (Some("2".to_owned()), Some("4".to_owned())));
    assert_eq!(store.fields("app"), ["A", "OTHER"]);
    assert_eq!((store.writes(), store.version("app")), (3, 4));
}

#[tokio::test]
async fn each_fault_of_the_store() {
    let store = FakeStore::new();
    assert!(matches!(write(&store, "1", None).await, Outcome::Done(_)));
    store.fail(Fault::once(StoreCall::Any, StoreHow::Down));
    assert_eq!(class(write(&store, "2", Some("1")).await), Some(Class::Unsent));
    store.fail(Fault::once(StoreCall::Write, StoreHow::Conflict));
    assert_eq!(class(write(&store, "2", Some("1")).await), Some(Class::Exists));
    store.fail(Fault::always(StoreCall::Any, StoreHow::ReadOnly));
    assert_eq!(class(store.prove(&target()).await), Some(Class::Scope));
    assert_eq!(class(write(&store, "2", Some("1")).await), Some(Class::Scope));
    assert_eq!(read(&store).await.0.as_deref(), Some("1"), "reading still works");
    store.mend();
    store.fail(Fault::once(StoreCall::Write, StoreHow::Timeout { applied: false }));
    assert!(matches!(write(&store, "2", Some("1")).await, Outcome::Unknown(_)));
    assert_eq!(store.version("app"), 1);
    store.fail(Fault::once(StoreCall::Write, StoreHow::Timeout { applied: true }));
    assert!(matches!(write(&store, "2", Some("1")).await, Outcome::Unknown(_)));
    store.fail(Fault::once(StoreCall::Read, StoreHow::Stale));
    assert_eq!(read(&store).await, (Some("1".to_owned()), Some("1".to_owned())));
    assert_eq!(read(&store).await, (Some("2".to_owned()), Some("2".to_owned())));
    let foreign = StoreHow::Foreign { field: "A".to_owned(), value: Arc::new(secret("theirs")) };
    store.fail(Fault::once(StoreCall::Write, foreign));
    assert_eq!(class(write(&store, "3", Some("2")).await), Some(Class::Exists), "somebody was faster");
    assert!(store.value("app", "A").expect("there").same_as(&secret("theirs")));
    store.fail(Fault::once(StoreCall::Prove, StoreHow::CredentialExpired));
    assert_eq!(class(store.prove(&target()).await), Some(Class::Auth));
    assert!(matches!(store.prove(&target()).await, Outcome::Done(())));
}

#[tokio::test]
async fn a_target_is_its_path_and_says_when_it_is_missing() {
    let store = FakeStore::new();
    let problems = Problems::default();
    let table = Table::parse("x", "path = \"apps/crm\"\nvalue = \"{{ new.secret }}\"\n").expect("valid");
    let spec = store.target(&Reader::new(&table, "", &problems)).expect("a target");
    assert_eq!((spec.path.as_str(), spec.bare), ("apps/crm", true));
    let empty = Table::parse("x", "").expect("valid");
    assert!(store.target(&Reader::new(&empty, "", &problems)).is_none());
    assert_eq!(problems.count(), 1);
}

fn vars() -> HookVars {
    let text = str::to_owned;
    HookVars { policy: text("p"), rotation: text("r"), run: text("u"), key_id: text("k"), fingerprint: text("sha256:0") }
}

#[tokio::test]
async fn each_fault_of_the_hook() {
    let hook = FakeHook::default().with_repeatable(false);
    let run = async || hook.run(&vars(), Again::First).await;
    let plan = [
        (HookHow::Fail, 0),
        (HookHow::FailAfter, 1),
        (HookHow::Lie, 1),
        (HookHow::Unknown { ran: false }, 1),
        (HookHow::Unknown { ran: true }, 2),
    ];
    let mut outcomes = Vec::new();
    for (how, ran) in plan {
        hook.fail(Fault::once(HookCall::Run, how));
        outcomes.push(match run().await {
            Outcome::Done(()) => "done",
            Outcome::Refused(_) => "refused",
            Outcome::Unknown(_) => "unknown",
        });
        assert_eq!(hook.ran(), ran);
    }
    assert_eq!(outcomes, ["refused", "refused", "done", "unknown", "unknown"]);
    let gate = Gate::new();
    hook.fail(Fault::once(HookCall::Run, HookHow::Hang { ran: true, gate: gate.clone() }));
    let (outcome, ()) = tokio::join!(run(), async {
        gate.reached_by(1).await;
        assert_eq!(hook.ran(), 3);
        gate.open();
    });
    assert!(matches!(outcome, Outcome::Unknown(_)));
    hook.fail(Fault::once(HookCall::Present, HookHow::Fail));
    assert!(hook.present().await.is_err());
    assert!(hook.present().await.is_ok() && !hook.repeatable());
    assert_eq!(hook.calls_with(&vars()), 6);
}

#[tokio::test]
async fn a_witness_says_what_it_is_told() {
    let witness = FakeWitness::new(|vars| Sighting::Names(vec![vars.fingerprint.clone()]));
    let text = str::to_owned;
    let vars = WitnessVars { policy: text("p"), rotation: text("r"), key_id: text("k"), fingerprint: text("sha256:0") };
    witness.answer_next(Outcome::Unknown(Cause::new("verify", "timeout")));
    witness.answer_next(Outcome::Done(Sighting::Holds(false)));
    assert!(matches!(witness.look(&vars).await, Outcome::Unknown(_)));
    assert!(matches!(witness.look(&vars).await, Outcome::Done(Sighting::Holds(false))));
    assert!(matches!(witness.look(&vars).await, Outcome::Done(Sighting::Names(names)) if names == ["sha256:0"]));
    assert_eq!(witness.looks().len(), 3);
}

#[tokio::test]
async fn a_notifier_collects_refuses_loses_and_hangs() {
    let notifier = FakeNotifier::new();
    let text = str::to_owned;
    let message = Message {
        id: text("a1"),
        kind: text("held"),
        severity: Severity::Critical,
        environment: text("test"),
        policies: vec![text("p")],
        rotation: None,
        subject: text("s"),
        text: text("t"),
        at: text("2026-04-26T12:34:56Z"),
        facts: Value::Null,
    };
    notifier.fail(Fault::once(NotifyCall::Any, NotifyHow::Refuse { permanent: true }));
    assert!(notifier.greet().await.expect_err("refused").permanent);
    assert!(notifier.greet().await.is_ok());
    notifier.fail(Fault::once(NotifyCall::Tell, NotifyHow::LoseReply));
    assert_eq!(notifier.tell(&message).await.expect_err("lost").label, "timeout");
    assert!(notifier.tell(&message).await.is_ok());
    assert_eq!(notifier.messages(), [message.clone(), message.clone()], "delivered at least once");
    let gate = Gate::new();
    notifier.fail(Fault::once(NotifyCall::Tell, NotifyHow::Hang(gate.clone())));
    let (told, ()) = tokio::join!(notifier.tell(&message), async {
        gate.reached_by(1).await;
        assert_eq!(notifier.messages().len(), 2);
        gate.open();
    });
    assert!(told.is_ok());
    assert_eq!((notifier.greets(), notifier.tells(), notifier.messages().len()), (2, 3, 3));
}
