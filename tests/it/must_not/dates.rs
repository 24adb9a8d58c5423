//! What must not happen to dates: M11, M13, M15, M26.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use cutover::engine::{EngineClock, WallClock};
use cutover_api::{Clock, Span, Stamp};
use cutover_ledger::{Commit, RotationWrite};

use super::outpost::nowhere;
use super::shop::BondiShop;

/// A date as an `anchor` is written.
fn anchor(at: Stamp) -> String {
    cutover::engine::times::timestamp(at).strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

fn due(shop: &BondiShop) -> Stamp {
    let due: jiff::Timestamp = shop.house.status("crm").next_due.expect("a date").parse().expect("RFC 3339");
    Stamp(due.as_millisecond())
}

/// M11: a row that cannot be read stops the start with its name. It is never taken for a rotation that is still to be made.
#[tokio::test(flavor = "multi_thread")]
async fn m11_a_row_that_cannot_be_read_rotates_nothing() {
    let mut shop = BondiShop::open(600).await;
    let config = shop.usual();
    shop.house.start(&config).await;
    let row = RotationWrite {
        id: String::from("rot_strange"),
        policy: String::from("crm"),
        expected: None,
        state: String::from("{\"format\":99}"),
        plan: Some(String::from("{}")),
        phase: String::from("mint"),
        closed: false,
    };
    shop.house.engine().ledger().commit(Commit { rotation: Some(row), ..Commit::default() }).await.expect("written");
    shop.house.stop().await;
    let clock = shop.house.clock.clone();
    let refused = shop.house.try_start(&config, nowhere(), clock).await.expect_err("refused");
    assert!(refused.contains("rot_strange"), "{refused}");
    shop.house.pass(Span::minutes(10)).await;
    assert_eq!(shop.bondi.mints(), 0);
    shop.close().await;
}

/// M11: rotations by the schedule come at their dates and not in a loop: a date is one mint, however often it is started between.
#[tokio::test(flavor = "multi_thread")]
async fn m11_a_date_is_one_rotation() {
    let mut shop = BondiShop::open(28_800).await;
    let now = shop.house.clock.now();
    shop.house.write("session", shop.bondi.session_until(now.plus(Span::DAY.times(60))).expose());
    let own = format!("cadence = \"3d\"\nanchor = \"{}\"\ntimezone = \"UTC\"\nquiet = \"1h\"", anchor(now.plus(Span::DAY)));
    let config = shop.policy("bondi", &own, "");
    shop.house.start(&config).await;
    let first = due(&shop);
    for round in 0..2 {
        let end = first.plus(Span(Span::DAY.0 * (3 * round + 2)));
        while shop.house.clock.now() < end {
            shop.house.pass(Span::hours(20)).await;
            shop.house.stop().await;
            shop.house.start(&config).await;
        }
    }
    let mints = shop.bondi.mints();
    let intents = shop.house.history_kinds().await.iter().filter(|kind| *kind == "mint-intended").count() as u64;
    let rounds = shop.house.clock.now().since(first).0 / Span::DAY.times(3).0 + 1;
    // At this speed two minutes are a few milliseconds: surveys go stale between the guard and the intent, all the time.
    assert!(mints <= intents, "{mints} mints were sent and {intents} intents committed");
    assert!(mints >= 1 && i64::try_from(mints).expect("few") <= rounds, "{mints} mints for {rounds} dates");
    shop.close().await;
}

/// M13: the daemon was down over a date. After the start that is told, and the rotation runs, once.
#[tokio::test(flavor = "multi_thread")]
async fn m13_a_date_that_was_missed_is_told_and_run_once() {
    let mut shop = BondiShop::open(3600).await;
    let own =
        format!("cadence = \"30d\"\nanchor = \"{}\"\ntimezone = \"UTC\"", anchor(shop.house.clock.now().plus(Span::hours(3))));
    let config = shop.policy("bondi", &own, "");
    shop.house.start(&config).await;
    let missed = due(&shop);
    shop.house.stop().await;
    assert_eq!(shop.bondi.mints(), 0);
    shop.house.pass(missed.plus(Span::hours(2)).since(shop.house.clock.now())).await;
    shop.house.start(&config).await;
    let alert = shop.house.alerted("overdue").await;
    assert!(alert["text"].as_str().is_some_and(|text| text.contains("crm")), "{alert}");
    shop.house.until("crm", |status| status.phase == "retire").await;
    assert_eq!(shop.bondi.mints(), 1);
    let next = due(&shop);
    assert!(next.since(missed) >= Span::DAY.times(29), "the next date is the regular one");
    // Started once more, it is not made up for a second time.
    shop.house.stop().await;
    shop.house.start(&config).await;
    shop.house.pass(Span::hours(3)).await;
    assert_eq!(shop.bondi.mints(), 1);
    assert_eq!(shop.house.alert_kinds().iter().filter(|kind| *kind == "overdue").count(), 1);
    assert_eq!(shop.consumer.refused(), 0);
    shop.close().await;
}

/// The house's clock, which can be set.
struct Stepping {
    inner: Arc<WallClock>,
    step: AtomicI64,
}

impl Clock for Stepping {
    fn now(&self) -> Stamp {
        Stamp(self.inner.now().0 + self.step.load(Ordering::SeqCst))
    }
}

#[async_trait]
impl EngineClock for Stepping {
    async fn sleep_until(&self, until: Stamp) {
        self.inner.sleep_until(Stamp(until.0 - self.step.load(Ordering::SeqCst))).await;
    }

    fn boot(&self) -> Span {
        self.inner.boot()
    }

    fn boot_id(&self) -> String {
        self.inner.boot_id()
    }
}

/// M15: the clock leaps over a date. Nothing starts on the word of such a clock until a person has confirmed it; then the date is made
/// up for.
#[tokio::test(flavor = "multi_thread")]
async fn m15_a_clock_that_leaps_starts_nothing_before_it_is_confirmed() {
    let mut shop = BondiShop::open(3600).await;
    let now = shop.house.clock.now();
    shop.house.write("session", shop.bondi.session_until(now.plus(Span::DAY.times(60))).expose());
    let own = format!("cadence = \"30d\"\nanchor = \"{}\"\ntimezone = \"UTC\"", anchor(now.plus(Span::DAY.times(3))));
    let config = shop.policy("bondi", &own, "");
    let clock = Arc::new(Stepping { inner: shop.house.clock.clone(), step: AtomicI64::new(0) });
    shop.house.try_start(&config, nowhere(), clock.clone()).await.expect("started");
    shop.house.pass(Span::minutes(5)).await;
    clock.step.store(Span::DAY.times(4).0, Ordering::SeqCst);
    let alert = shop.house.alerted("held").await;
    assert!(alert["text"].as_str().is_some_and(|text| text.contains("clock")), "{alert}");
    shop.house.engine().look_again();
    shop.house.pass(Span::hours(3)).await;
    assert_eq!(shop.bondi.mints(), 0);
    assert_eq!(shop.house.status("crm").phase, "idle");
    let selector = cutover_config::Selector { all: true, ..Default::default() };
    let by_hand = shop.house.engine().rotate(&selector, "test", None).await;
    assert!(by_hand[0].refused.is_some(), "{by_hand:?}");
    assert!(shop.house.engine().confirm_clock("test", None).await.expect("kept"), "it was frozen");
    shop.house.until("crm", |status| status.phase != "idle").await;
    shop.close().await;
}

/// M15 over restarts: a freeze is not forgotten with the process that saw it, is not told again by the next one, ends by a person's word,
/// and a step while no process ran is seen too.
#[tokio::test(flavor = "multi_thread")]
async fn m15_a_frozen_clock_stays_frozen_over_a_restart() {
    let mut shop = BondiShop::open(3600).await;
    let now = shop.house.clock.now();
    shop.house.write("session", shop.bondi.session_until(now.plus(Span::DAY.times(60))).expose());
    let own = format!("cadence = \"30d\"\nanchor = \"{}\"\ntimezone = \"UTC\"", anchor(now.plus(Span::DAY.times(3))));
    let config = shop.policy("bondi", &own, "");
    let clock = Arc::new(Stepping { inner: shop.house.clock.clone(), step: AtomicI64::new(0) });
    shop.house.try_start(&config, nowhere(), clock.clone()).await.expect("started");
    shop.house.pass(Span::minutes(5)).await;
    assert!(!shop.house.engine().frozen());
    shop.house.stop().await;
    // While nothing runs.
    clock.step.store(Span::DAY.times(4).0, Ordering::SeqCst);
    for start in 1..=3 {
        shop.house.try_start(&config, nowhere(), clock.clone()).await.expect("started");
        assert!(shop.house.engine().frozen(), "start {start}");
        shop.house.alerted("held").await;
        shop.house.pass(Span::hours(1)).await;
        assert_eq!((shop.bondi.mints(), shop.house.status("crm").phase.as_str()), (0, "idle"), "start {start}");
        shop.house.stop().await;
    }
    let frozen = |kinds: Vec<String>| kinds.iter().filter(|kind| *kind == "held").count();
    assert_eq!(frozen(shop.house.alert_kinds()), 1, "{:?}", shop.house.alert_kinds());
    shop.house.try_start(&config, nowhere(), clock.clone()).await.expect("started");
    assert!(shop.house.engine().confirm_clock("test", None).await.expect("kept"), "it was frozen");
    shop.house.alerted("recovered").await;
    shop.house.stop().await;
    shop.house.try_start(&config, nowhere(), clock.clone()).await.expect("started");
    assert!(!shop.house.engine().frozen(), "the word outlives the process too");
    shop.house.until("crm", |status| status.phase != "idle").await;
    shop.close().await;
}

/// M15: a clock that was wrong and is right again needs nobody.
#[tokio::test(flavor = "multi_thread")]
async fn m15_a_clock_that_is_sane_again_after_a_restart_thaws_by_itself() {
    let mut shop = BondiShop::open(3600).await;
    let config = shop.policy("bondi", "cadence = \"1y\"", "");
    let clock = Arc::new(Stepping { inner: shop.house.clock.clone(), step: AtomicI64::new(0) });
    shop.house.try_start(&config, nowhere(), clock.clone()).await.expect("started");
    shop.house.pass(Span::minutes(5)).await;
    clock.step.store(-Span::DAY.0, Ordering::SeqCst);
    shop.house.alerted("held").await;
    shop.house.stop().await;
    clock.step.store(0, Ordering::SeqCst);
    shop.house.try_start(&config, nowhere(), clock.clone()).await.expect("started");
    shop.house.alerted("recovered").await;
    assert!(!shop.house.engine().frozen());
    shop.close().await;
}

/// M26: a changed cadence rotates nothing at once, and is not ignored either.
#[tokio::test(flavor = "multi_thread")]
async fn m26_an_edit_of_the_cadence_acts_at_the_next_date() {
    let mut shop = BondiShop::open(10_800).await;
    let now = shop.house.clock.now();
    let past = anchor(now.minus(Span::DAY.times(100)));
    let with =
        |cadence: &str| shop.policy("bondi", &format!("cadence = \"{cadence}\"\nanchor = \"{past}\"\ntimezone = \"UTC\""), "");
    let (slow, fast, third) = (with("1y"), with("3d"), with("4y"));
    shop.house.start(&slow).await;
    let before = due(&shop);
    assert!(before.since(now) > Span::DAY.times(200));
    let told = shop.house.reload(&fast).await;
    assert!(told.iter().any(|line| line.contains("crm") && line.contains("cadence")), "{told:?}");
    let after = due(&shop);
    assert!(after > shop.house.clock.now() && after.since(now) <= Span(Span::DAY.0 * 3 + Span::HOUR.0), "{}", after.since(now));
    // A hundred days of the new cadence have passed since the anchor: none of them is made up for.
    shop.house.pass(Span::hours(3)).await;
    assert_eq!(shop.bondi.mints(), 0);
    assert_eq!(shop.house.status("crm").phase, "idle");
    // Back again: the date moves back too.
    shop.house.reload(&third).await;
    assert!(due(&shop).since(now) > Span::DAY.times(200));
    shop.house.reload(&fast).await;
    shop.house.until("crm", |status| status.phase == "retire").await;
    assert_eq!(shop.bondi.mints(), 1, "the new cadence is not ignored");
    assert_eq!(shop.consumer.refused(), 0);
    shop.close().await;
}
