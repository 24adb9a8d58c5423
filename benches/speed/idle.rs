//! What it costs when there is nothing to do: memory, start, processor time, `status`; and how soon something is done that is due.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use cutover::engine::WallClock;
use cutover_api::{Clock, Span};
use cutover_config::Selector;

use crate::Wanted;
use crate::house::{House, runtime};
use crate::measure::{Mark, memory, millis, seconds};
use crate::report::Row;
use crate::town::{Keep, Sort, Town};

/// How many times as fast the clock runs while nothing is done: ten seconds are two hours.
const SPEED: u32 = 720;

/// Memory, start, idle and status with many policies.
pub fn measure(wanted: &Wanted) -> Vec<Row> {
    let many = wanted.policies;
    let house = House::new(WallClock::fast(SPEED));
    let town = Town::new(Sort::Overlap, 1, &house.time(), Duration::ZERO);
    let mut policies = String::new();
    (0..many).for_each(|n| policies.push_str(&house.idle_policy(&town, n)));
    let bytes = policies.len() as f64 / many as f64;
    let file = house.configure(&town, &policies);
    drop(policies);
    runtime().block_on(async {
        let mut rows = Vec::new();
        let mut raw = 0.0;
        for (times, label) in ["first start", "start"].into_iter().enumerate() {
            let before = memory();
            let began = Instant::now();
            let mark = Mark::now();
            let catalog = house.catalog();
            let config = house.load(&file, &catalog);
            let loaded = began.elapsed();
            let ledger = house.ledger().await;
            let opened = began.elapsed();
            let running = house.start(config, catalog, ledger, "closed").await;
            let whole = began.elapsed();
            if times == 0 {
                rows.push(Row::new(format!("first start of {many} policies, s"), seconds(whole)));
                rows.extend(kept(many, before, bytes, wanted).await);
                running.stop().await;
                // After the memory: what a parse leaves behind would be used again, and not be counted.
                raw = raw_parse(&file);
                continue;
            }
            let cpu = mark.passed().cpu;
            rows.push(
                Row::new(format!("{label} of {many} policies, s"), seconds(whole))
                    .aim("3")
                    .floor(raw, "its TOML parsed, nothing else"),
            );
            rows.push(Row::new("  CPU of it, s", seconds(cpu)));
            rows.push(Row::new("  configuration, s", seconds(loaded)));
            rows.push(Row::new("  ledger opened and checked, s", seconds(opened - loaded)));
            rows.push(Row::new("  engine, s", seconds(whole - opened)));
            rows.extend(at_rest(&running, many, wanted).await);
            running.stop().await;
        }
        town.close();
        rows
    })
}

/// The same text parsed as TOML, in seconds.
fn raw_parse(file: &std::path::Path) -> f64 {
    let text = std::fs::read_to_string(file).expect("written before");
    let began = Instant::now();
    let table = cutover_api::Table::parse("raw", &text).expect("valid TOML");
    let passed = seconds(began.elapsed());
    assert!(table.get("policy").is_some());
    passed
}

/// What the first start keeps of memory, with what the allocator has not given back.
async fn kept(many: usize, before: u64, bytes: f64, wanted: &Wanted) -> [Row; 2] {
    tokio::time::sleep(if wanted.smoke { Duration::from_millis(10) } else { Duration::from_secs(2) }).await; // the loops have begun
    let used = memory();
    [
        Row::new("memory per idle policy, KiB", used.saturating_sub(before) as f64 / many as f64 / 1024.0)
            .floor(bytes / 1024.0, "its text in the configuration")
            .aim("1"),
        Row::new("memory of the whole process, MiB", used as f64 / 1_048_576.0),
    ]
}

async fn at_rest(running: &crate::house::Running, many: usize, wanted: &Wanted) -> Vec<Row> {
    let span = if wanted.smoke { Duration::from_millis(50) } else { Duration::from_secs(10) };
    // The first looks of every loop are behind us, and what the start used is given back.
    tokio::time::sleep(span / 5).await; // the loops have begun; what comes now is what stays
    let mark = Mark::now();
    tokio::time::sleep(span).await; // this is what is measured
    let idle = mark.passed();
    let asked = Instant::now();
    let all = running.engine.status(&Selector::default());
    let status = asked.elapsed();
    assert_eq!(all.len(), many);
    let json = serde_json::to_vec(&all).expect("JSON").len();
    let told = asked.elapsed();
    let pretended = seconds(idle.wall) * f64::from(SPEED);
    vec![
        Row::new("idle CPU, %", 100.0 * seconds(idle.cpu) / pretended).aim("0.1"),
        Row::new("status of all, ms", millis(status)),
        Row::new(format!("status of all as JSON ({:.1} MiB), ms", json as f64 / 1_048_576.0), millis(told)),
    ]
}

/// From the date of one policy among many to the first byte of the first call for it.
pub fn due(wanted: &Wanted) -> Vec<Row> {
    let (idle, dates) = (wanted.policies.div_ceil(10), if wanted.smoke { 2 } else { 20 });
    let house = House::new(WallClock::real());
    let town = Town::new(Sort::Overlap, dates, &house.time(), Duration::ZERO);
    let keys: Vec<_> = (0..dates).map(|n| town.seed(n)).collect();
    let mut policies = String::new();
    (0..idle).for_each(|n| policies.push_str(&house.idle_policy(&town, n)));
    // One date after the other, far enough apart that the one before is out of the way.
    let lead = if wanted.smoke { 1_500 } else { 6_000 };
    let first = house.clock.now().plus(Span(lead));
    let first = cutover_api::Stamp(first.0 / 1_000 * 1_000);
    for (n, key) in keys.iter().enumerate() {
        let at = first.plus(Span::seconds(n as i64));
        let anchor = jiff::Timestamp::from_millisecond(at.0).expect("a time").to_zoned(jiff::tz::TimeZone::UTC).datetime();
        let text = house.policy(&town, n, key, Keep::Vault);
        let head = format!("[policy.p{n}]\nanchor = \"{anchor}\"\ntimezone = \"UTC\"\n");
        write!(policies, "{}", text.replace(&format!("[policy.p{n}]\n"), &head)).expect("a text grows");
    }
    let file = house.configure(&town, &policies);
    drop(policies);
    let late: Vec<f64> = runtime().block_on(async {
        let ledger = house.ledger().await;
        let catalog = house.catalog();
        let config = house.load(&file, &catalog);
        let running = house.start(config, catalog, ledger, "closed").await;
        assert!(house.clock.now() < first, "the start took longer than the lead: give it fewer policies");
        let mut late = Vec::new();
        for n in 0..dates {
            let at = first.plus(Span::seconds(n as i64));
            let left = at.since(house.clock.now()).0 + 900;
            tokio::time::sleep(Duration::from_millis(u64::try_from(left).unwrap_or(0))).await; // the date has passed
            late.extend(town.first_read(n).map(|micros| (micros - at.0 as f64 * 1e3) / 1e3));
        }
        running.stop().await;
        late
    });
    town.close();
    assert!(!late.is_empty(), "nothing that was due was started");
    vec![Row::of(format!("due to first byte among {idle} policies, ms"), &late).aim("5")]
}
