//! What the watchdog is fed by: the drain loop turns while a provider hangs, and stands still while the ledger does.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cutover_fake::{Bondi, CallKind};
use cutover_ledger::{Commit, CommitError};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::House;
use crate::hindered::{Hindered, Hindrance};
use crate::seeds::bondi_policy;

/// So often the loop is to turn.
const TURN: Duration = Duration::from_millis(20);
/// Longer than any machine is held up.
const NEVER: Duration = Duration::from_secs(60);

/// A house with Bondi in it, and a policy that nobody has rotated yet.
async fn crm(speed: u32) -> (House, Bondi, String) {
    let house = House::new(speed).await;
    let bondi = Bondi::start(house.clock.clone()).await;
    let (_, old) = bondi.seed("ws_1", "my-crm");
    house.write("app.env", &format!("BONDI_INTEGRATION_TOKEN={}\n", old.expose()));
    house.write("session", bondi.session().expose());
    let health = format!("http://127.0.0.1:{}/deploy", house.port);
    let config = bondi_policy(&house, &bondi.base_url(), &health);
    (house, bondi, config)
}

/// A provider that takes its time is no reason to restart the daemon.
#[tokio::test(flavor = "multi_thread")]
async fn the_loop_turns_while_a_provider_hangs() {
    let (mut house, bondi, config) = crm(1).await;
    // The application need not answer here: the mint comes after preflight, which asks it.
    let config = config.split("[[policy.crm.verify]]").next().expect("a head").to_owned();
    let gate = bondi.hang(CallKind::Mint, false);
    house.start(&config).await;
    house.rotate("crm").await;
    gate.reached_by(1).await;
    let mut turns = house.engine().turns(TURN);
    for turn in 0..5 {
        timeout(NEVER, turns.changed()).await.unwrap_or_else(|_| panic!("turn {turn} never came")).expect("the engine runs");
    }
    assert_eq!(house.engine().tally().under_way, 1, "the mint still hangs");
    gate.open();
    house.stop().await;
}

/// No new rotation is taken as long as it is closed.
struct Closing {
    open: watch::Receiver<bool>,
    waiting: watch::Sender<u32>,
}

#[async_trait]
impl Hindrance for Closing {
    async fn before(&self, commit: &Commit) -> Result<(), CommitError> {
        if commit.rotation.as_ref().is_some_and(|rotation| rotation.expected.is_none()) {
            self.waiting.send_modify(|n| *n += 1);
            let mut gate = self.open.clone();
            // A gate that is gone is open.
            let _gone = gate.wait_for(|open| *open).await.is_err();
        }
        Ok(())
    }
}

/// A loop that waits for ever in its own work is stuck, whatever timers still run: the watchdog must go hungry.
#[tokio::test(flavor = "multi_thread")]
async fn the_loop_stands_still_while_the_ledger_does() {
    let (mut house, _bondi, config) = crm(2_000_000).await;
    let (gate, open) = watch::channel(false);
    let (waiting, mut waits) = watch::channel(0);
    house.start_on(&config, |ledger| Arc::new(Hindered { ledger, by: Closing { open, waiting } })).await;
    let mut turns = house.engine().turns(TURN);
    timeout(NEVER, turns.changed()).await.expect("it turns while nothing is due").expect("the engine runs");
    timeout(NEVER, waits.wait_for(|n| *n > 0)).await.expect("the policy comes due").expect("the ledger is there");
    turns.mark_unchanged();
    // Many spans in which a timer of its own would have come round.
    assert!(timeout(TURN * 25, turns.changed()).await.is_err(), "a stuck loop must not be seen turning");
    gate.send(true).expect("the ledger is there");
    timeout(NEVER, turns.changed()).await.expect("it goes on").expect("the engine runs");
    house.stop().await;
}
