//! What must be so when a rotation has come to rest, whatever happened on the way, seen from outside: by the provider, the application,
//! the target, and the ledger's bytes.

use std::collections::BTreeSet;

use cutover_fake::KeyView;
use cutover_ledger::{HistoryQuery, HistoryRow, Ledger as _, SqliteLedger};

use crate::provider::{Kind, ended_at};
use crate::world::World;

/// Everything that is not as it must be.
#[derive(Default)]
pub struct Verdict(Vec<String>);

impl Verdict {
    fn must(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(what());
        }
    }

    /// `Err`: all of it, a line each.
    pub fn result(self) -> Result<(), String> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0.join("\n")) }
    }
}

/// Judges a world whose daemon has been stopped.
pub async fn judge(world: &World) -> Verdict {
    let mut verdict = Verdict::default();
    for (name, consumer) in [("application", &world.app), ("reader", &world.reader)] {
        // Calls that begin now are made with what it runs with now.
        consumer.more_calls(3).await;
        let before = consumer.tally().refused;
        consumer.more_calls(3).await;
        verdict.must(consumer.tally().refused == before, || format!("the {name} is refused at the end"));
    }
    outages(world, &mut verdict);
    let keys = world.provider.keys();
    let new = target(world, &mut verdict);
    standing(world, &keys, new.as_ref(), &mut verdict);
    let ledger = world.ledger().await;
    let history = ledger.history(&HistoryQuery::default()).await.expect("readable");
    endings(world, &keys, &history, &mut verdict);
    kept(world, &ledger, new.as_deref(), &mut verdict).await;
    ledger.close().await.expect("closed");
    in_clear(world, &mut verdict);
    verdict
}

/// What must be so also where nothing came to rest: nobody was refused, and what is in use lives.
pub async fn unharmed(world: &World) -> Verdict {
    let mut verdict = Verdict::default();
    for (name, consumer) in [("application", &world.app), ("reader", &world.reader)] {
        consumer.more_calls(3).await;
        let tally = consumer.tally();
        verdict.must(tally.refused == 0, || format!("{} calls of the {name} were refused", tally.refused));
        verdict.must(tally.failed == 0, || format!("{} calls of the {name} failed", tally.failed));
    }
    in_clear(world, &mut verdict);
    verdict
}

/// No call of the application was refused, but for what a person took upon them.
fn outages(world: &World, verdict: &mut Verdict) {
    let decided = world.decided.lock().expect("free");
    for (name, consumer) in [("application", &world.app), ("reader", &world.reader)] {
        let tally = consumer.tally();
        let expected = decided.mint_again.is_some() || world.kind.ends_at_once();
        let refused = if expected { 0 } else { tally.refused };
        verdict.must(refused == 0, || format!("{refused} calls of the {name} were refused"));
        verdict.must(tally.failed == 0, || format!("{} calls of the {name} failed", tally.failed));
    }
    if let Some(before) = decided.mint_again {
        verdict.must(before == 0, || format!("{before} calls were refused before a person ordered a further mint"));
    }
    for why in &decided.held {
        verdict.must(world.kind.may_be_held(why), || format!("held for {why}"));
    }
}

/// The new key alone stands in the target, and what is not ours is as it was; its fingerprint.
fn target(world: &World, verdict: &mut Verdict) -> Option<String> {
    let text = std::fs::read_to_string(world.path("app.env")).unwrap_or_default();
    verdict.must(text.starts_with("# the app\n") && text.contains("\nOTHER=kept\n"), || {
        String::from("what is not ours in the target was not kept")
    });
    verdict.must(world.field("KEY_NEW").is_none(), || String::from("the settled target holds the layout of before"));
    let Some(new) = world.field("KEY") else {
        verdict.must(false, || String::from("the target holds no key"));
        return None;
    };
    verdict.must(!new.same_as(&world.old), || String::from("the target holds the old key"));
    verdict.must(world.provider.accepts(&new), || String::from("the key in the target is not accepted"));
    Some(new.fingerprint().0)
}

/// The keys at the provider: who lives, and why.
fn standing(world: &World, keys: &[KeyView], new: Option<&String>, verdict: &mut Verdict) {
    let decided = world.decided.lock().expect("free");
    let old = world.old.fingerprint().0;
    for key in keys.iter().filter(|key| key.alive) {
        let is_new = Some(&key.fingerprint.0) == new;
        let in_grace =
            key.fingerprint.0 == old && world.kind.ends_by_clock() && (key.expires_at.is_some() || key.id.starts_with("tok"));
        // A key whose reply was lost, and of which a person was told.
        let told = decided.mint_again.is_some() && key.used == 0;
        verdict.must(!is_new || key.refused == 0, || format!("the new key was refused {} times", key.refused));
        verdict.must(is_new || in_grace || told, || format!("key {} lives and nobody knows of it", key.id));
    }
    let made = u64::try_from(keys.len() - 1).unwrap_or(u64::MAX);
    let most = match world.kind {
        Kind::Manual | Kind::Set => 1,
        // Found by its name and removed before another one is made.
        Kind::Overlap => 1 + u64::from(world.deaths()),
        Kind::Grace | Kind::FixedGrace => 1 + u64::from(decided.mint_again.is_some()),
    };
    verdict.must(made <= most, || format!("{made} keys were made, at most {most} may be"));
    // The same value set again changes nothing.
    let most = if world.kind == Kind::Set { most + u64::from(world.deaths()) } else { most };
    verdict
        .must(world.provider.mints() <= most, || format!("{} mints were sent, at most {most} may be", world.provider.mints()));
}

/// No mint was sent without an intent of its own; the old key was ended after the application had the new one and that was written down; any other was never used.
fn endings(world: &World, keys: &[KeyView], history: &[HistoryRow], verdict: &mut Verdict) {
    let old = world.old.fingerprint().0;
    let intended = history.iter().filter(|row| row.entry.kind == "mint-intended").count();
    let by_cutover = match world.kind {
        Kind::Manual => 0,
        // One value, however often it was set.
        Kind::Set => u64::try_from(keys.len() - 1).unwrap_or(u64::MAX),
        _ => world.provider.mints(),
    };
    verdict.must(by_cutover <= u64::try_from(intended).unwrap_or(0), || {
        format!("{by_cutover} mints were sent, {intended} intents are in the history")
    });
    for key in keys {
        let Some(at) = ended_at(key, &world.clock) else { continue };
        if key.fingerprint.0 != old {
            verdict.must(key.used == 0, || format!("key {} was ended although it was in use", key.id));
            continue;
        }
        if world.decided.lock().expect("free").mint_again.is_some() || world.kind.ends_at_once() {
            continue;
        }
        let renewed = *world.renewed.lock().expect("free");
        verdict.must(renewed.is_some_and(|renewed| renewed <= at), || {
            String::from("the old key was ended before the application had the new one")
        });
        let evidence = history.iter().find(|row| row.entry.kind == "evidence").map(|row| row.entry.at);
        verdict.must(evidence.is_some_and(|evidence| evidence <= at), || {
            String::from("the old key was ended before there was evidence for the new one")
        });
    }
}

/// The ledger: its chain fits, it knows the new key, nothing is left over, no intent was sent twice.
async fn kept(world: &World, ledger: &SqliteLedger, new: Option<&str>, verdict: &mut Verdict) {
    let chain = ledger.verify_history().await.expect("readable");
    verdict.must(chain.is_ok(), || format!("the history breaks at {chain:?}"));
    let known = ledger.keys_of(&[String::from("crm")]).await.expect("readable");
    verdict.must(known.iter().any(|key| Some(key.fingerprint.as_str()) == new), || {
        String::from("the ledger does not know the key in the target")
    });
    let loaded = ledger.load().await.expect("readable");
    let open = loaded.rotations.first();
    verdict.must(open.is_some() == world.kind.ends_by_clock(), || format!("{} rotations are open", loaded.rotations.len()));
    let copy = world.path("copy.db");
    let copied = ledger.copy(&copy, cutover_api::Clock::now(world.clock.as_ref())).await.expect("copied");
    // It is made once for each look.
    let _ = std::fs::remove_file(copy);
    let sealed = copied.rows.iter().find(|(table, _)| table == "sealed").map_or(0, |(_, rows)| *rows);
    verdict.must(open.is_some() || sealed == 0, || format!("{sealed} values are still sealed after the end"));
    if let Some(row) = open {
        let record: serde_json::Value = serde_json::from_str(&row.state).expect("JSON");
        let nonces: BTreeSet<&str> = record["nonces"].as_array().into_iter().flatten().filter_map(|n| n.as_str()).collect();
        let intents = u64::try_from(nonces.len()).unwrap_or(0);
        verdict.must(world.provider.mints() <= intents, || {
            format!("{} mints were sent for {intents} intents", world.provider.mints())
        });
        let made = ledger.unseal(&row.id, "made").await.expect("it opens");
        verdict.must(made.is_some_and(|made| Some(made.fingerprint().0.as_str()) == new), || {
            String::from("the new key is not sealed although its rotation is open")
        });
    }
}

/// No key's value in anything that the daemon has written but the target.
fn in_clear(world: &World, verdict: &mut Verdict) {
    let values: Vec<_> = [Some(world.old.duplicate()), world.field("KEY")].into_iter().flatten().collect();
    for name in ["log", "ledger.db", "ledger.db-wal"] {
        let Ok(bytes) = std::fs::read(world.path(name)) else { continue };
        for value in &values {
            let value = value.expose().as_bytes();
            verdict.must(!bytes.windows(value.len()).any(|part| part == value), || format!("a key stands in {name} in clear"));
        }
    }
}
