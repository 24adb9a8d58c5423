//! What every ledger must do, whatever it stands on. Each case uses names of its own, so all may run on one ledger.

use cutover_api::Secret;
use cutover_ledger::{
    AlertRow, Commit, CommitError, DeliveryResult, DeliveryWrite, HistoryEntry, HistoryQuery, KeyRow, Ledger, PolicyWrite,
    RotationWrite, SealWrite,
};
use cutover_machine::Stamp;

/// Runs every case.
pub async fn all(ledger: &dyn Ledger) {
    rotations_keep_their_plan_and_revision(ledger).await;
    a_conflict_writes_nothing(ledger).await;
    closed_rotations_are_kept_but_not_loaded(ledger).await;
    policies_and_keys_are_replaced_and_forgotten(ledger).await;
    sealed_values_open_in_their_place_until_erased(ledger).await;
    history_is_a_chain_that_can_be_asked(ledger).await;
    an_alert_is_told_once_to_every_channel(ledger).await;
    notes_are_replaced(ledger).await;
    odd_texts_come_back_as_they_were(ledger).await;
    ledger.commit(Commit::default()).await.unwrap();
    ledger.room().await.unwrap();
}

/// A rotation's write with a plan on insertion.
pub fn rotation(id: &str, expected: Option<u64>, state: &str) -> RotationWrite {
    RotationWrite {
        id: id.to_owned(),
        policy: format!("policy of {id}"),
        expected,
        state: state.to_owned(),
        plan: expected.is_none().then(|| format!("{{\"plan\":\"{id}\"}}")),
        phase: "mint".to_owned(),
        closed: false,
    }
}

/// A history entry.
pub fn entry(policy: &str, kind: &str) -> HistoryEntry {
    HistoryEntry {
        at: Stamp(1_700_000_000_000),
        policy: Some(policy.to_owned()),
        rotation: Some(format!("{policy}-r")),
        actor: "schedule".to_owned(),
        kind: kind.to_owned(),
        facts: "{}".to_owned(),
    }
}

/// A value to be sealed.
pub fn seal(rotation: &str, slot: &str, value: &str) -> SealWrite {
    SealWrite { rotation: rotation.to_owned(), slot: slot.to_owned(), value: Secret::new(value.to_owned()) }
}

/// What is sealed in a slot.
pub async fn unsealed(ledger: &dyn Ledger, rotation: &str, slot: &str) -> Option<String> {
    ledger.unseal(rotation, slot).await.unwrap().map(|value| value.expose().to_owned())
}

async fn rotations_keep_their_plan_and_revision(ledger: &dyn Ledger) {
    ledger.commit(Commit { rotation: Some(rotation("rk", None, "one")), ..Commit::default() }).await.unwrap();
    let first = ledger.rotation("rk").await.unwrap().unwrap();
    assert_eq!((first.rev, first.state.as_str(), first.plan.as_str(), first.closed), (1, "one", "{\"plan\":\"rk\"}", false));
    ledger.commit(Commit { rotation: Some(rotation("rk", Some(1), "two")), ..Commit::default() }).await.unwrap();
    let second = ledger.rotation("rk").await.unwrap().unwrap();
    assert_eq!((second.rev, second.state.as_str(), second.plan.as_str()), (2, "two", "{\"plan\":\"rk\"}"));
    let mut write = rotation("rk", Some(2), "three");
    write.plan = Some("{\"plan\":\"new\"}".to_owned());
    ledger.commit(Commit { rotation: Some(write), ..Commit::default() }).await.unwrap();
    let third = ledger.rotation("rk").await.unwrap().unwrap();
    assert_eq!((third.rev, third.plan.as_str()), (3, "{\"plan\":\"new\"}"));
    assert!(ledger.load().await.unwrap().rotations.contains(&third));
    assert_eq!(ledger.rotation("rk-unknown").await.unwrap(), None);
}

async fn a_conflict_writes_nothing(ledger: &dyn Ledger) {
    ledger.commit(Commit { rotation: Some(rotation("rc", None, "one")), ..Commit::default() }).await.unwrap();
    for expected in [None, Some(0), Some(2), Some(u64::MAX)] {
        let commit = Commit {
            rotation: Some(rotation("rc", expected, "never")),
            seal: vec![seal("rc", "new", "never")],
            history: vec![entry("rc", "never")],
            notes: vec![("rc-note".to_owned(), "never".to_owned())],
            ..Commit::default()
        };
        let error = ledger.commit(commit).await.unwrap_err();
        assert!(matches!(&error, CommitError::Conflict { rotation } if rotation == "rc"), "{error}");
    }
    let unknown = Commit { rotation: Some(rotation("rc-unknown", Some(1), "never")), ..Commit::default() };
    assert!(matches!(ledger.commit(unknown).await, Err(CommitError::Conflict { .. })));
    assert_eq!(ledger.rotation("rc").await.unwrap().unwrap().state, "one");
    assert_eq!(unsealed(ledger, "rc", "new").await, None);
    let asked = HistoryQuery { policies: vec!["rc".to_owned()], ..HistoryQuery::default() };
    assert!(ledger.history(&asked).await.unwrap().is_empty());
    assert!(!ledger.load().await.unwrap().notes.iter().any(|(name, _)| name == "rc-note"));
}

async fn closed_rotations_are_kept_but_not_loaded(ledger: &dyn Ledger) {
    ledger.commit(Commit { rotation: Some(rotation("rd", None, "one")), ..Commit::default() }).await.unwrap();
    let closing = RotationWrite { closed: true, ..rotation("rd", Some(1), "done") };
    ledger.commit(Commit { rotation: Some(closing), ..Commit::default() }).await.unwrap();
    let row = ledger.rotation("rd").await.unwrap().unwrap();
    assert!(row.closed && row.plan == "{\"plan\":\"rd\"}");
    assert!(!ledger.load().await.unwrap().rotations.iter().any(|row| row.id == "rd"));
}

async fn policies_and_keys_are_replaced_and_forgotten(ledger: &dyn Ledger) {
    let policy = |name: &str, state: &str, due: Option<i64>| PolicyWrite {
        name: name.to_owned(),
        state: state.to_owned(),
        due_at: due.map(Stamp),
    };
    let key = |policy: &str, fingerprint: &str, state: &str| KeyRow {
        policy: policy.to_owned(),
        fingerprint: fingerprint.to_owned(),
        state: state.to_owned(),
    };
    let first = Commit {
        policies: vec![policy("pf", "a", Some(5)), policy("pf-kept", "b", None)],
        keys: vec![key("pf", "sha256:1", "live"), key("pf", "sha256:2", "live"), key("pf-kept", "sha256:1", "live")],
        ..Commit::default()
    };
    ledger.commit(first).await.unwrap();
    let second =
        Commit { policies: vec![policy("pf", "a2", None)], keys: vec![key("pf", "sha256:1", "dead")], ..Commit::default() };
    ledger.commit(second).await.unwrap();
    let loaded = ledger.load().await.unwrap();
    assert!(loaded.policies.contains(&policy("pf", "a2", None)) && loaded.policies.contains(&policy("pf-kept", "b", None)));
    assert!(loaded.keys.contains(&key("pf", "sha256:1", "dead")) && loaded.keys.contains(&key("pf", "sha256:2", "live")));

    // A rename: the old name goes with its keys, the new one brings them along, in one commit.
    let rename = Commit {
        forget: vec!["pf".to_owned()],
        policies: vec![policy("pg", "a2", None)],
        keys: vec![key("pg", "sha256:2", "live")],
        ..Commit::default()
    };
    ledger.commit(rename).await.unwrap();
    let loaded = ledger.load().await.unwrap();
    assert!(!loaded.policies.iter().any(|p| p.name == "pf") && !loaded.keys.iter().any(|k| k.policy == "pf"));
    assert!(loaded.policies.contains(&policy("pg", "a2", None)) && loaded.keys.contains(&key("pg", "sha256:2", "live")));
    assert!(loaded.keys.contains(&key("pf-kept", "sha256:1", "live")));
}

async fn sealed_values_open_in_their_place_until_erased(ledger: &dyn Ledger) {
    let values = vec![seal("rs", "old", "old value"), seal("rs", "new", "new value"), seal("rs", "reply", "")];
    let commit = Commit { rotation: Some(rotation("rs", None, "one")), seal: values, ..Commit::default() };
    ledger.commit(commit).await.unwrap();
    assert_eq!(unsealed(ledger, "rs", "old").await.as_deref(), Some("old value"));
    assert_eq!(unsealed(ledger, "rs", "reply").await.as_deref(), Some(""));
    assert_eq!(unsealed(ledger, "rs", "none").await, None);
    let replace = Commit {
        seal: vec![seal("rs", "new", "newer value")],
        erase: vec![("rs".to_owned(), Some("reply".to_owned()))],
        ..Commit::default()
    };
    ledger.commit(replace).await.unwrap();
    assert_eq!(unsealed(ledger, "rs", "new").await.as_deref(), Some("newer value"));
    assert_eq!(unsealed(ledger, "rs", "reply").await, None);
    let erase = Commit { erase: vec![("rs".to_owned(), None), ("nobody".to_owned(), None)], ..Commit::default() };
    ledger.commit(erase).await.unwrap();
    for slot in ["old", "new", "reply"] {
        assert_eq!(unsealed(ledger, "rs", slot).await, None);
    }
}

async fn history_is_a_chain_that_can_be_asked(ledger: &dyn Ledger) {
    let before = ledger.verify_history().await.unwrap().unwrap();
    let nobody = HistoryEntry { policy: None, rotation: None, ..entry("h", "started") };
    let entries = vec![entry("h1", "minted"), entry("h2", "minted"), nobody.clone(), entry("h1", "settled")];
    ledger.commit(Commit { history: entries.clone(), ..Commit::default() }).await.unwrap();
    assert_eq!(ledger.verify_history().await.unwrap(), Ok(before + 4));
    let newest = ledger.history(&HistoryQuery { limit: 4, ..HistoryQuery::default() }).await.unwrap();
    assert_eq!(newest.iter().map(|row| row.entry.clone()).collect::<Vec<_>>(), entries);
    assert_eq!(newest.iter().map(|row| row.seq).collect::<Vec<_>>(), (before + 1..=before + 4).collect::<Vec<_>>());
    assert!(newest.iter().all(|row| row.hash.len() == 64));
    let ask = |policies: &[&str], rotation: Option<&str>, limit| HistoryQuery {
        policies: policies.iter().map(|name| (*name).to_owned()).collect(),
        rotation: rotation.map(str::to_owned),
        limit,
        ..HistoryQuery::default()
    };
    let kinds = async |query: HistoryQuery| {
        ledger.history(&query).await.unwrap().into_iter().map(|row| row.entry.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(ask(&["h1"], None, 0)).await, ["minted", "settled"]);
    let settled = HistoryQuery { kinds: vec!["settled".to_owned()], ..HistoryQuery::default() };
    assert_eq!(kinds(HistoryQuery { after: before, ..settled.clone() }).await, ["settled"]);
    assert_eq!(kinds(HistoryQuery { after: before + 4, ..settled.clone() }).await, Vec::<String>::new());
    assert_eq!(kinds(HistoryQuery { since: Some(Stamp(i64::MAX)), ..settled }).await, Vec::<String>::new());
    assert_eq!(kinds(ask(&["h1"], None, 1)).await, ["settled"]);
    assert_eq!(kinds(ask(&["h1", "h2"], None, 0)).await, ["minted", "minted", "settled"]);
    assert_eq!(kinds(ask(&[], Some("h2-r"), 0)).await, ["minted"]);
    assert_eq!(kinds(ask(&["h1"], Some("h2-r"), 0)).await, Vec::<String>::new());
    assert_eq!(kinds(ask(&["\"],[\"h1"], None, 0)).await, Vec::<String>::new());
}

async fn an_alert_is_told_once_to_every_channel(ledger: &dyn Ledger) {
    let alert = |id: &str, at: i64, message: &str, channels: &[&str]| AlertRow {
        id: id.to_owned(),
        at: Stamp(at),
        message: message.to_owned(),
        channels: channels.iter().map(|name| (*name).to_owned()).collect(),
    };
    let open = async || {
        let rows = ledger.open_deliveries().await.unwrap();
        rows.into_iter().filter(|row| row.alert.starts_with("al-")).collect::<Vec<_>>()
    };
    let result = |id: &str, channel: &str, result| Commit {
        deliveries: vec![DeliveryWrite { alert: id.to_owned(), channel: channel.to_owned(), result }],
        ..Commit::default()
    };
    let both = vec![alert("al-later", 20, "m2", &["ops"]), alert("al-1", 10, "m1", &["ops", "hook"])];
    ledger.commit(Commit { alerts: both, ..Commit::default() }).await.unwrap();
    let rows = open().await;
    let names: Vec<_> = rows.iter().map(|row| (row.alert.as_str(), row.channel.as_str())).collect();
    assert_eq!(names, [("al-1", "hook"), ("al-1", "ops"), ("al-later", "ops")]);
    assert_eq!((rows[0].message.as_str(), rows[0].at, rows[0].tries, rows[0].not_before), ("m1", Stamp(10), 0, Stamp(10)));

    // The same condition again: nothing changes, also with other channels.
    let again = alert("al-1", 99, "other", &["ops", "third"]);
    ledger.commit(Commit { alerts: vec![again], ..Commit::default() }).await.unwrap();
    assert_eq!(open().await, rows);

    ledger.commit(result("al-1", "ops", DeliveryResult::Again(Stamp(50)))).await.unwrap();
    let rows = open().await;
    assert_eq!((rows[1].tries, rows[1].not_before), (1, Stamp(50)));
    ledger.commit(result("al-1", "ops", DeliveryResult::Accepted(Stamp(60)))).await.unwrap();
    ledger.commit(result("al-later", "ops", DeliveryResult::Dropped(Stamp(61)))).await.unwrap();
    // What is settled stays settled, and what nobody asked for does not come about.
    ledger.commit(result("al-1", "ops", DeliveryResult::Again(Stamp(70)))).await.unwrap();
    ledger.commit(result("al-none", "ops", DeliveryResult::Again(Stamp(70)))).await.unwrap();
    let rows = open().await;
    assert_eq!(rows.iter().map(|row| row.channel.as_str()).collect::<Vec<_>>(), ["hook"]);
    // An alert that is settled everywhere still keeps the same condition from being told again.
    ledger.commit(result("al-1", "hook", DeliveryResult::Accepted(Stamp(80)))).await.unwrap();
    let again = alert("al-1", 99, "m1", &["ops"]);
    ledger.commit(Commit { alerts: vec![again], ..Commit::default() }).await.unwrap();
    assert!(open().await.is_empty());
}

async fn notes_are_replaced(ledger: &dyn Ledger) {
    for value in ["one", "two"] {
        ledger.commit(Commit { notes: vec![("nr".to_owned(), value.to_owned())], ..Commit::default() }).await.unwrap();
    }
    let notes = ledger.load().await.unwrap().notes;
    assert_eq!(notes.into_iter().filter(|(name, _)| name == "nr").collect::<Vec<_>>(), [("nr".to_owned(), "two".to_owned())]);
}

async fn odd_texts_come_back_as_they_were(ledger: &dyn Ledger) {
    for (index, odd) in ["", "'; DROP TABLE note; --", "a\u{0}b", "😀\u{202e}", "\\u0000\n\t\""].into_iter().enumerate() {
        let id = format!("odd{index}{odd}");
        let commit = Commit {
            rotation: Some(rotation(&id, None, odd)),
            seal: vec![seal(&id, odd, odd)],
            notes: vec![(id.clone(), odd.to_owned())],
            history: vec![HistoryEntry { facts: odd.to_owned(), ..entry(&id, odd) }],
            ..Commit::default()
        };
        ledger.commit(commit).await.unwrap();
        assert_eq!(ledger.rotation(&id).await.unwrap().unwrap().state, odd);
        assert_eq!(unsealed(ledger, &id, odd).await.as_deref(), Some(odd));
        assert!(ledger.load().await.unwrap().notes.contains(&(id.clone(), odd.to_owned())));
        let asked = HistoryQuery { policies: vec![id], ..HistoryQuery::default() };
        assert_eq!(ledger.history(&asked).await.unwrap()[0].entry.facts, odd);
    }
    assert!(ledger.verify_history().await.unwrap().is_ok());
}
