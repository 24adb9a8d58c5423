//! An emergency: many keys at once, at providers that are 50 ms away, with a real clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cutover::engine::WallClock;
use cutover_api::{Clock, Stamp};
use cutover_config::Selector;
use cutover_machine::emergency::EmergencyOrder;

use crate::Wanted;
use crate::house::{House, runtime};
use crate::measure::{Mark, millis, seconds};
use crate::report::Row;
use crate::town::{Keep, Sort, Town};

/// How far away the providers are.
const AWAY: Duration = Duration::from_millis(50);
/// Calls that may be under way, instead of the 64 of an ordinary configuration.
const IN_FLIGHT: usize = 1_024;

/// From the order until every key selected is dead and every application has another one that is accepted.
pub fn measure(wanted: &Wanted) -> Vec<Row> {
    let (keys, idle) = (wanted.keys, wanted.policies.div_ceil(10));
    let mut house = House::new(WallClock::real());
    house.in_flight = IN_FLIGHT;
    let town = Town::new(Sort::Overlap, keys, &house.time(), AWAY);
    let old: Vec<_> = (0..keys).map(|n| town.seed(n)).collect();
    let mut policies: String = old.iter().enumerate().map(|(n, key)| house.policy(&town, n, key, Keep::Vault)).collect();
    (0..idle).for_each(|n| policies.push_str(&house.idle_policy(&town, n)));
    let file = house.configure(&town, &policies);
    runtime().block_on(async {
        let ledger = house.ledger().await;
        let catalog = house.catalog();
        let config = house.load(&file, &catalog);
        let running = house.start(config, catalog, ledger, "closed").await;
        // The daemon has started long ago when such an order comes, and is looked at.
        let looked_at = Instant::now();
        while looked_at.elapsed() < Duration::from_secs(2) {
            assert_eq!(running.engine.status(&Selector::default()).len(), keys + idle);
        }
        let selector = Selector { policies: (0..keys).map(|n| format!("p{n}")).collect(), ..Selector::default() };
        let mark = Mark::now();
        let ordered_ms = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64() * 1e3;
        let (at, began) = (house.clock.now(), Instant::now());
        let taken = running.engine.emergency(&selector, EmergencyOrder::CutFirst, "bench", None).await.expect("taken");
        let durable = began.elapsed();
        assert_eq!(taken.policies, keys);
        let dead = all(&old, began, |n, (_, key)| !town.accepts(n, key)).await;
        let new = all(&old, began, |n, (_, key)| town.has_new(n, key)).await;
        let cpu = mark.passed().cpu;
        let first = town.first_provider_call().map_or(f64::NAN, |first: Stamp| first.since(at).0 as f64);
        let read = (0..keys).filter_map(|n| town.first_read(n)).fold(f64::INFINITY, f64::min) / 1e3 - ordered_ms;
        running.stop().await;
        town.close();
        let way = format!("{} ms there and back, once for the cut and once for the new key", AWAY.as_millis());
        vec![
            Row::new(format!("emergency of {keys} keys, every old key dead, s"), seconds(dead))
                .floor(seconds(AWAY), "one way to the provider"),
            Row::new("  every application with a new key, s", seconds(new.max(dead)))
                .floor(2.0 * seconds(AWAY), way)
                .aim("1.0"),
            Row::new("  CPU per key, ms", millis(cpu) / keys as f64),
            Row::new(format!("  the order durable, ms, {idle} other policies"), millis(durable)),
            Row::new("  order to first call (a target is read), ms", read).aim("10"),
            Row::new("  order to first call at a provider, ms", first).aim("10"),
        ]
    })
}

/// How long after `began` this held for every application.
async fn all(
    old: &[(String, cutover_api::Secret)],
    began: Instant,
    holds: impl Fn(usize, &(String, cutover_api::Secret)) -> bool,
) -> Duration {
    let mut done = 0;
    while let Some(key) = old.get(done) {
        if holds(done, key) {
            done += 1;
            continue;
        }
        assert!(began.elapsed() < Duration::from_secs(100), "application {done} is not done after {:?}", began.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await; // it is looked at again
    }
    began.elapsed()
}
