//! The provider in process follows its facts and its script.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use cutover_api::{
    Call, Class, Clock, GraceAsked, Intent, KeyRecord, KeyRef, MintAnswer, Minted, Outcome, Provider, ProviderFacts, Secret,
    Span,
};
use cutover_fake::{CallKind, FAKE_SLOTS, FakeClock, FakeProvider, Fault, How, Violation, generous_facts};
use cutover_machine::plan::{Authority, GraceOffer, Idempotency, Lifecycle, ReRotate};

use crate::support::{START, clock};

static PARAMS: LazyLock<BTreeMap<String, serde_json::Value>> =
    LazyLock::new(|| BTreeMap::from([("base_name".to_owned(), "sync".into())]));

struct World {
    clock: Arc<FakeClock>,
    provider: FakeProvider,
    old: (KeyRecord, Secret),
}

impl World {
    fn new(facts: ProviderFacts) -> Self {
        let clock = clock();
        let provider = FakeProvider::new("p", facts, clock.clone());
        let (id, value) = provider.seed("old");
        let slot = provider.keys()[0].slot.clone();
        Self { clock, provider, old: (KeyRecord { id: Some(id), slot, ..KeyRecord::default() }, value) }
    }

    fn intent(&self, nonce: &str, grace: Option<Span>) -> Intent {
        let at = self.clock.now();
        Intent {
            rotation_id: "r1".to_owned(),
            uuid: "u1".to_owned(),
            nonce: nonce.to_owned(),
            year: 2026,
            at,
            grace: grace.map(|span| GraceAsked { span, until: at.plus(span) }),
            lifetime: None,
        }
    }

    async fn mint(&self, nonce: &str, grace: Option<Span>, generated: Option<&Secret>) -> MintAnswer {
        let intent = self.intent(nonce, grace);
        let call = Call { params: &PARAMS, intent: Some(&intent), signer: None };
        self.provider.mint(call, Some(key(&self.old)), generated).await
    }

    async fn minted(&self, nonce: &str, grace: Option<Span>) -> Minted {
        let MintAnswer::Reply(raw) = self.mint(nonce, grace, None).await else { panic!("a reply") };
        let Outcome::Done(minted) = self.provider.parse(plain(), None, &raw) else { panic!("readable") };
        minted
    }

    async fn refused(&self, nonce: &str) -> Class {
        match self.mint(nonce, None, None).await {
            MintAnswer::Refused(refusal) => refusal.class,
            _ => panic!("a refusal"),
        }
    }

    fn old_lives(&self) -> bool {
        self.provider.accepts(&self.old.1)
    }
}

/// A call without an intent, signed by the account.
fn plain() -> Call<'static> {
    Call { params: &PARAMS, intent: None, signer: None }
}

fn key(key: &(KeyRecord, Secret)) -> KeyRef<'_> {
    KeyRef { record: &key.0, secret: Some(&key.1), outputs: None }
}

fn grace(re_rotate: ReRotate) -> ProviderFacts {
    let mut facts = generous_facts(Lifecycle::Grace);
    facts.declares.re_rotate = re_rotate;
    facts
}

#[tokio::test]
async fn overlap_issues_beside_the_old_key_and_the_list_carries_the_nonce() {
    let world = World::new(generous_facts(Lifecycle::Overlap));
    let new = world.minted("abc123abc123", None).await;
    assert_eq!(new.record.name.as_deref(), Some("sync (2026-abc123abc123)"));
    let secret = new.secret.expect("a secret");
    assert!(world.old_lives() && world.provider.accepts(&secret));
    let Outcome::Done(list) = world.provider.list(plain()).await else { panic!("a list") };
    assert!(list.rows.iter().any(|row| row.name.as_deref().is_some_and(|name| name.contains("abc123abc123"))));
    assert!(matches!(world.provider.revoke(plain(), key(&world.old)).await, Outcome::Done(())));
    assert!(matches!(world.provider.revoke(plain(), key(&world.old)).await, Outcome::Done(())), "again is done");
    assert!(!world.old_lives());
    let Outcome::Done(list) = world.provider.list(plain()).await else { panic!("a list") };
    assert_eq!((list.rows.len(), list.provider_now), (1, Some(START)));
    let gone = world.provider.read(plain(), key(&world.old)).await;
    assert!(matches!(gone, Outcome::Refused(refusal) if refusal.class == Class::Gone));
}

#[tokio::test]
async fn grace_runs_on_the_clock_and_is_told() {
    let mut facts = grace(ReRotate::KeepsAll);
    facts.declares.grace = Some(GraceOffer::Choices(vec![Span::ZERO, Span::HOUR]));
    let world = World::new(facts);
    let new = world.minted("n1", Some(Span::HOUR)).await;
    assert_eq!(new.old.expect("of the old one").expires_at, Some(START.plus(Span::HOUR)));
    world.clock.advance(Span(Span::HOUR.0 - 1));
    assert!(world.old_lives());
    world.clock.advance(Span(1));
    assert!(!world.old_lives());
}

#[tokio::test]
async fn drops_older_evicts_what_was_previous() {
    let world = World::new(grace(ReRotate::DropsOlder));
    let second = world.minted("n1", None).await.secret.expect("a secret");
    assert!(world.old_lives() && world.provider.violations().is_empty());
    let third = world.minted("n2", None).await.secret.expect("a secret");
    assert!(!world.old_lives());
    assert!(world.provider.accepts(&second) && world.provider.accepts(&third));
    assert_eq!(world.provider.violations(), [Violation::EvictedLiveKey]);
}

#[tokio::test]
async fn refused_changes_nothing_and_destroys_ends_all() {
    let world = World::new(grace(ReRotate::Refused));
    world.minted("n1", None).await;
    assert_eq!(world.refused("n2").await, Class::Refused);
    assert!(world.old_lives());
    let world = World::new(grace(ReRotate::Destroys));
    let new = world.minted("n1", None).await.secret.expect("a secret");
    assert_eq!(world.refused("n2").await, Class::Auth);
    assert!(!world.old_lives() && !world.provider.accepts(&new));
    assert_eq!(world.provider.violations(), [Violation::EvictedLiveKey]);
}

#[tokio::test]
async fn an_idempotent_replay_gives_the_same_answer_within_its_window() {
    let mut facts = grace(ReRotate::Idempotent);
    facts.declares.idempotency = Some(Idempotency { window: Span::HOUR, replays_errors: false });
    let world = World::new(facts);
    let first = world.minted("n1", None).await.secret.expect("a secret");
    let again = world.minted("n1", None).await.secret.expect("a secret");
    assert!(first.same_as(&again));
    assert_eq!(world.provider.keys().len(), 2);
    world.clock.advance(Span::hours(2));
    assert!(!world.minted("n1", None).await.secret.expect("a secret").same_as(&first));
}

#[tokio::test]
async fn slots_regenerate_the_idle_one_and_revoke_regenerates_the_old() {
    let world = World::new(generous_facts(Lifecycle::Slots));
    assert_eq!(world.old.0.slot.as_deref(), Some(FAKE_SLOTS[0]));
    let new = world.minted("n1", None).await;
    assert_eq!(new.record.slot.as_deref(), Some(FAKE_SLOTS[1]));
    assert!(world.old_lives());
    assert!(!world.provider.keys()[1].alive, "what stood in the idle slot is overwritten");
    assert!(matches!(world.provider.revoke(plain(), key(&world.old)).await, Outcome::Done(())));
    assert!(!world.old_lives());
    let alive: Vec<_> = world.provider.keys().into_iter().filter(|key| key.alive).filter_map(|key| key.slot).collect();
    assert_eq!(alive, [FAKE_SLOTS[1], FAKE_SLOTS[0]]);
}

#[tokio::test]
async fn set_takes_the_value_we_chose() {
    let world = World::new(generous_facts(Lifecycle::Set));
    let chosen = world.provider.generate().expect("generated");
    let MintAnswer::Reply(raw) = world.mint("n1", None, Some(&chosen)).await else { panic!("a reply") };
    let Outcome::Done(minted) = world.provider.parse(plain(), None, &raw) else { panic!("readable") };
    assert!(minted.secret.is_none() && world.provider.accepts(&chosen) && world.old_lives());
    assert!(matches!(world.mint("n2", None, None).await, MintAnswer::Refused(_)));
}

#[tokio::test]
async fn manual_has_no_mint_and_a_full_account_says_limit() {
    let world = World::new(generous_facts(Lifecycle::Manual));
    assert_eq!(world.refused("n1").await, Class::Refused);
    let mut facts = generous_facts(Lifecycle::Overlap);
    facts.declares.max_live = Some(2);
    let world = World::new(facts);
    world.minted("n1", None).await;
    assert_eq!(world.refused("n2").await, Class::Limit);
}

#[tokio::test]
async fn a_mint_that_yields_no_secret_is_followed_by_a_read() {
    let mut facts = generous_facts(Lifecycle::Overlap);
    facts.verbs.read_after_mint = true;
    let world = World::new(facts);
    let minted = world.minted("n1", None).await;
    assert!(minted.secret.is_none());
    let about = KeyRef { record: &minted.record, secret: None, outputs: None };
    let Outcome::Done(read) = world.provider.read(plain(), about).await else { panic!("a key") };
    assert!(world.provider.accepts(&read.secret.expect("a secret")));
}

#[tokio::test]
async fn deactivate_is_reversible_and_probes_move_last_use() {
    let world = World::new(generous_facts(Lifecycle::Overlap));
    assert!(matches!(world.provider.deactivate(plain(), key(&world.old)).await, Outcome::Done(())));
    assert!(!world.provider.use_key(&world.old.1));
    assert!(matches!(world.provider.activate(plain(), key(&world.old)).await, Outcome::Done(())));
    let before = world.provider.last_used(plain(), key(&world.old)).await;
    assert!(matches!(before, Outcome::Done(use_) if use_.at.is_none()));
    let probe = world.provider.probe(plain(), key(&world.old)).await;
    assert!(matches!(probe, Outcome::Done(verdict) if verdict.accepted));
    let after = world.provider.last_used(plain(), key(&world.old)).await;
    assert!(matches!(after, Outcome::Done(use_) if use_.at == Some(START)));
}

#[tokio::test]
async fn a_dead_key_presented_where_that_is_forbidden_is_a_violation() {
    let mut facts = generous_facts(Lifecycle::Overlap);
    facts.declares.negative_probe = false;
    facts.declares.authority = Authority::Own;
    let world = World::new(facts);
    assert!(world.provider.kill(world.old.0.id.as_deref().expect("an id")));
    assert!(!world.provider.use_key(&world.old.1), "a consumer's call is no violation");
    assert!(world.provider.violations().is_empty());
    let probe = world.provider.probe(plain(), key(&world.old)).await;
    assert!(matches!(probe, Outcome::Done(verdict) if !verdict.accepted));
    let signed = Call { signer: Some(&world.old.1), ..plain() };
    assert!(matches!(world.provider.list(signed).await, Outcome::Refused(refusal) if refusal.class == Class::Auth));
    assert_eq!(world.provider.violations(), [Violation::DeadKeyPresented, Violation::DeadSigner]);
}

#[tokio::test]
async fn the_script_decides_what_is_known_of_a_mint() {
    let cases = [
        (How::LoseReply, "cut", 2),
        (How::NeverArrives, "cut", 1),
        (How::CutReply(5), "cut", 2),
        (How::Huge(1), "too-long", 2),
        (How::Redirect(String::new()), "redirect", 1),
        (How::OkFalse, "unreadable", 1),
        (How::Status { status: 502, applied: true }, "status-5xx", 2),
        (How::Status { status: 408, applied: false }, "status", 1),
    ];
    for (how, label, keys) in cases {
        let world = World::new(generous_facts(Lifecycle::Overlap));
        world.provider.fail(Fault::once(CallKind::Mint, how.clone()));
        let MintAnswer::Unknown(cause, raw) = world.mint("n1", None, None).await else { panic!("{how:?} is unknown") };
        assert_eq!((cause.label.as_str(), world.provider.keys().len()), (label, keys), "{how:?}");
        assert_eq!(raw.is_some(), matches!(how, How::CutReply(_)));
    }
    let cases = [
        (How::RetryAfter(9), Class::Throttle),
        (How::ForbiddenRevoke, Class::Scope),
        (How::NameConflict, Class::Exists),
        (How::MaxKeys(1), Class::Limit),
        (How::CredentialExpired, Class::Auth),
        (How::Status { status: 422, applied: false }, Class::Refused),
    ];
    for (how, class) in cases {
        let world = World::new(generous_facts(Lifecycle::Overlap));
        world.provider.fail(Fault::once(CallKind::Mint, how.clone()));
        assert_eq!(world.refused("n1").await, class, "{how:?}");
        assert_eq!(world.provider.keys().len(), 1);
    }
}

#[tokio::test]
async fn an_unusable_reply_is_unreadable_and_the_key_is_there() {
    for how in [How::Html200, How::NoSecret200] {
        let world = World::new(generous_facts(Lifecycle::Overlap));
        world.provider.fail(Fault::once(CallKind::Mint, how));
        let MintAnswer::Reply(raw) = world.mint("n1", None, None).await else { panic!("a reply") };
        assert!(matches!(world.provider.parse(plain(), None, &raw), Outcome::Unknown(_)));
        assert_eq!(world.provider.keys().len(), 2);
    }
    let world = World::new(generous_facts(Lifecycle::Overlap));
    world.provider.fail(Fault::once(CallKind::Mint, How::OldKeyAgain(Arc::new(world.old.1.duplicate()))));
    assert!(world.minted("n1", None).await.secret.expect("a secret").same_as(&world.old.1));
}

#[tokio::test]
async fn a_hang_ends_as_a_timeout_and_a_delay_lands_late() {
    let world = World::new(generous_facts(Lifecycle::Overlap));
    let gate = world.provider.hang(CallKind::Mint, true);
    let (answer, ()) = tokio::join!(world.mint("n1", None, None), async {
        gate.reached_by(1).await;
        assert_eq!(world.provider.keys().len(), 2);
        gate.open();
    });
    assert!(matches!(answer, MintAnswer::Unknown(cause, None) if cause.label == "timeout"));
    let gate = cutover_fake::Gate::new();
    world.provider.fail(Fault::once(CallKind::Mint, How::Delay(gate.clone())));
    let (minted, ()) = tokio::join!(world.minted("n2", None), async {
        gate.reached_by(1).await;
        assert_eq!(world.provider.keys().len(), 2);
        world.clock.advance(Span::HOUR);
        gate.open();
    });
    assert_eq!(minted.record.created_at, Some(START.plus(Span::HOUR)));
}

#[tokio::test]
async fn a_hostile_next_page_makes_the_list_unknown() {
    let world = World::new(generous_facts(Lifecycle::Overlap));
    world.provider.fail(Fault::once(CallKind::List, How::HostileNextUrl("http://127.0.0.1:9".to_owned())));
    assert!(matches!(world.provider.list(plain()).await, Outcome::Unknown(_)));
    assert!(matches!(world.provider.list(plain()).await, Outcome::Done(_)));
}

#[tokio::test]
async fn the_same_name_and_the_same_calls_make_the_same_bytes() {
    let (a, b) = (World::new(grace(ReRotate::KeepsAll)), World::new(grace(ReRotate::KeepsAll)));
    let (x, y) = (a.minted("n1", None).await, b.minted("n1", None).await);
    assert_eq!(x.record, y.record);
    assert!(x.secret.expect("a secret").same_as(&y.secret.expect("a secret")));
    let other = FakeProvider::new("q", grace(ReRotate::KeepsAll), a.clock.clone());
    assert!(!other.seed("old").1.same_as(&a.old.1));
}
