//! A disk that runs full: somebody is told, whether the alert can still be written down or not, and once a day.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cutover_api::{Clock as _, Span};
use cutover_ledger::{Commit, CommitError};
use tokio::time::timeout;

use crate::House;
use crate::hindered::{Hindered, Hindrance};

/// Longer than any machine is held up.
const NEVER: Duration = Duration::from_secs(60);

/// How full the disk is.
#[derive(Default)]
struct Disk(AtomicU8);

/// There is room.
const ROOM: u8 = 0;
/// There is less than a rotation needs, and more than a commit takes.
const SHORT: u8 = 1;
/// Nothing more can be written.
const FULL: u8 = 2;

#[async_trait]
impl Hindrance for Arc<Disk> {
    async fn before(&self, _: &Commit) -> Result<(), CommitError> {
        if self.0.load(Ordering::SeqCst) == FULL { Err(CommitError::Full("no space left".to_owned())) } else { Ok(()) }
    }

    fn room(&self) -> Option<String> {
        (self.0.load(Ordering::SeqCst) != ROOM).then(|| "/x/ledger.db: only 512 KiB are free on its disk".to_owned())
    }
}

/// A house without policies whose clock makes a minute of a few milliseconds, and the disk under it.
async fn house() -> (House, Arc<Disk>) {
    let mut house = House::new(20_000).await;
    let disk = Arc::new(Disk::default());
    let under = Arc::clone(&disk);
    house.start_on("", |ledger| Arc::new(Hindered { ledger, by: under })).await;
    (house, disk)
}

impl Disk {
    fn is(&self, how: u8) {
        self.0.store(how, Ordering::SeqCst);
    }
}

/// How often the disk was told of.
fn told(house: &House) -> usize {
    house
        .alerts()
        .iter()
        .filter(|alert| alert["facts"]["stage"].as_str().is_some_and(|stage| stage.starts_with("room.")))
        .count()
}

/// Waits until so many alerts about the disk have come; a recovery is one of them.
async fn until_told(house: &House, times: usize) {
    let waiting = async {
        while told(house) < times {
            // Between two looks at what came.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(NEVER, waiting).await.unwrap_or_else(|_| panic!("{times} were awaited: {:#?}", house.alerts()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_runs_short_is_told_daily_and_its_end_once() {
    let (mut house, disk) = house().await;
    let began = house.clock.now();
    disk.is(SHORT);
    until_told(&house, 3).await;
    assert!(house.clock.now().since(began) >= Span::hours(48), "daily, not at each look");
    let first = house.alerts().remove(0);
    assert_eq!((first["kind"].as_str(), first["severity"].as_str()), (Some("held"), Some("critical")), "{first:#}");
    assert!(first["text"].as_str().expect("a text").contains("only 512 KiB are free"), "{first:#}");
    disk.is(ROOM);
    house.alerted("recovered").await;
    house.stop().await;
}

/// What cannot be written down is told all the same, by the channels themselves.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_without_the_ledger() {
    let (mut house, disk) = house().await;
    disk.is(FULL);
    let alert = house.alerted("held").await;
    assert!(alert["subject"].as_str().expect("a subject").contains("LEDGER"), "{alert:#}");
    disk.is(ROOM);
    house.alerted("recovered").await;
    assert_eq!(told(&house), 2, "{:#?}", house.alerts());
    house.stop().await;
}

/// A channel that is down does not take the word of a full disk: it is said at each look until one took it.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_until_somebody_has_heard() {
    let (mut house, disk) = house().await;
    let deaf = Arc::new(AtomicBool::new(true));
    let ears = Arc::clone(&deaf);
    house.on_alert(move || !ears.load(Ordering::SeqCst));
    disk.is(FULL);
    let waiting = async {
        while house.refused() < 2 {
            // Between two looks at what was refused.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(NEVER, waiting).await.expect("it is said again");
    deaf.store(false, Ordering::SeqCst);
    house.alerted("held").await;
    house.stop().await;
}
