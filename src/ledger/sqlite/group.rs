//! Many commits as one transaction: what they touch is read, each is decided in memory, and the result is written in bulk.
//!
//! A commit that conflicts is left out before anything was written, so the others of its group need no savepoints.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Executor as _, SqliteConnection};

use super::fault::Fault;
use super::head::{Head, entry_cells};
use super::meta;
use super::rows::{self, Script};
use super::table::{ALERT, Cell, DELIVERY, HISTORY, KEY_ROW, NOTE, PLAN, POLICY, ROTATION, SEALED, STATE, Stored};
use crate::seal::{Keyring, SealError};
use crate::{AlertRow, Commit, CommitError, DeliveryResult, DeliveryWrite, RotationWrite};

/// Commits that make a text of statements that comes again: their kinds are few.
const FEW: usize = 2;
pub(super) const OPEN: &str = "open";
const ACCEPTED: &str = "accepted";
const DROPPED: &str = "dropped";

/// A commit whose secret values are sealed already.
pub(super) struct Prepared {
    commit: Commit,
    sealed: Vec<(String, String, Vec<u8>)>,
    /// Alerts to forget with their deliveries.
    prune: Vec<String>,
}

/// A row that this group touches: the MAC it has in the database, and what it is to be.
#[derive(Default)]
struct Entry {
    base: Option<[u8; 32]>,
    row: Option<Vec<Cell>>,
    changed: bool,
}

/// One table's touched rows by key; the second part is empty where the key has one column.
type Entries = BTreeMap<(String, String), Entry>;

struct Group {
    tables: [Entries; STATE.len()],
    history: Vec<Stored>,
    head: Head,
}

impl Prepared {
    /// Seals the values of `commit` and drops them.
    pub(super) fn new(ring: &Keyring, mut commit: Commit) -> Result<Self, SealError> {
        let mut sealed = Vec::with_capacity(commit.seal.len());
        for write in std::mem::take(&mut commit.seal) {
            let record = ring.seal(&write.rotation, &write.slot, &write.value)?;
            sealed.push((write.rotation, write.slot, record));
        }
        Ok(Self { commit, sealed, prune: Vec::new() })
    }

    pub(super) fn pruning(prune: Vec<String>) -> Self {
        Self { commit: Commit::default(), sealed: Vec::new(), prune }
    }

    pub(super) fn is_empty(&self) -> bool {
        let Commit { rotation, policies, forget, seal, erase, keys, history, alerts, deliveries, notes } = &self.commit;
        rotation.is_none()
            && policies.is_empty()
            && forget.is_empty()
            && seal.is_empty()
            && erase.is_empty()
            && keys.is_empty()
            && history.is_empty()
            && alerts.is_empty()
            && deliveries.is_empty()
            && notes.is_empty()
            && self.sealed.is_empty()
            && self.prune.is_empty()
    }

    /// About how many pages of the database it changes.
    pub(super) fn pages(&self) -> u64 {
        let c = &self.commit;
        let rotation = c.rotation.iter().map(|r| r.state.len() + r.plan.as_ref().map_or(0, String::len));
        let policies = c.policies.iter().map(|policy| 128 + policy.state.len());
        let sealed = self.sealed.iter().map(|(.., record)| record.len());
        let alerts = c.alerts.iter().map(|alert| alert.message.len());
        let history = c.history.iter().map(|entry| 128 + entry.facts.len());
        let bytes: usize = rotation.chain(policies).chain(sealed).chain(alerts).chain(history).sum();
        4 + bytes as u64 / 4_096
    }

    /// The first key columns of the rows that it touches in a table.
    fn firsts(&self, table: usize) -> Vec<&str> {
        let c = &self.commit;
        match table {
            ROTATION => c.rotation.iter().map(|r| r.id.as_str()).collect(),
            PLAN => c.rotation.iter().filter(|r| r.plan.is_some()).map(|r| r.id.as_str()).collect(),
            POLICY => c.policies.iter().map(|p| &p.name).chain(&c.forget).map(String::as_str).collect(),
            KEY_ROW => c.keys.iter().map(|k| &k.policy).chain(&c.forget).map(String::as_str).collect(),
            SEALED => self.sealed.iter().map(|(r, ..)| r).chain(c.erase.iter().map(|(r, _)| r)).map(String::as_str).collect(),
            ALERT => c.alerts.iter().map(|a| &a.id).chain(&self.prune).map(String::as_str).collect(),
            DELIVERY => {
                let known = c.alerts.iter().map(|a| &a.id).chain(&self.prune);
                known.chain(c.deliveries.iter().map(|d| &d.alert)).map(String::as_str).collect()
            }
            _ => c.notes.iter().map(|(name, _)| name.as_str()).collect(),
        }
    }
}

/// Writes `commits` as one transaction: the head after them, and each one's answer. After an error it may still be open.
pub(super) async fn write(
    conn: &mut SqliteConnection,
    ring: &Keyring,
    head: &Head,
    commits: &[&Prepared],
) -> Result<(Head, Vec<Result<(), CommitError>>), Fault> {
    conn.execute("BEGIN IMMEDIATE").await?;
    let mut group = Group::load(conn, ring, head.clone(), commits).await?;
    let mut answers = Vec::with_capacity(commits.len());
    for commit in commits {
        answers.push(group.apply(ring, commit)?);
    }
    group.store(conn, ring, commits.len() <= FEW).await?;
    Ok((group.head, answers))
}

impl Group {
    async fn load(conn: &mut SqliteConnection, ring: &Keyring, head: Head, commits: &[&Prepared]) -> Result<Self, Fault> {
        let mut tables: [Entries; STATE.len()] = Default::default();
        for (index, entries) in tables.iter_mut().enumerate() {
            let firsts: BTreeSet<&str> = commits.iter().flat_map(|commit| commit.firsts(index)).collect();
            let firsts: Vec<&str> = firsts.into_iter().collect();
            for stored in rows::fetch(conn, ring, &STATE[index], &firsts).await? {
                let key = key_of(index, &stored.cells);
                entries.insert(key, Entry { base: Some(stored.mac), row: Some(stored.cells), changed: false });
            }
        }
        Ok(Self { tables, history: Vec::new(), head })
    }

    /// Applies one commit whole, or nothing of it.
    fn apply(&mut self, ring: &Keyring, prepared: &Prepared) -> Result<Result<(), CommitError>, Fault> {
        let commit = &prepared.commit;
        if let Some(write) = &commit.rotation {
            let Some(rev) = self.next_rev(write) else {
                return Ok(Err(CommitError::Conflict { rotation: write.id.clone() }));
            };
            self.rotation(write, rev);
        }
        // First what goes, then what comes: a renamed policy may take its keys along in the same commit.
        for name in &commit.forget {
            self.remove_all(POLICY, name);
            self.remove_all(KEY_ROW, name);
        }
        for (rotation, slot) in &commit.erase {
            match slot {
                Some(slot) => self.remove(SEALED, rotation, slot),
                None => self.remove_all(SEALED, rotation),
            }
        }
        for id in &prepared.prune {
            self.remove_all(DELIVERY, id);
            self.remove_all(ALERT, id);
        }
        for policy in &commit.policies {
            let due = Cell::maybe_int(policy.due_at.map(|at| at.0));
            self.put(POLICY, vec![Cell::text(&policy.name), due, Cell::text(&policy.state)]);
        }
        for (rotation, slot, record) in &prepared.sealed {
            self.put(SEALED, vec![Cell::text(rotation), Cell::text(slot), Cell::Blob(record.clone())]);
        }
        for key in &commit.keys {
            self.put(KEY_ROW, vec![Cell::text(&key.policy), Cell::text(&key.fingerprint), Cell::text(&key.state)]);
        }
        for alert in &commit.alerts {
            self.alert(alert);
        }
        for delivery in &commit.deliveries {
            self.delivery(delivery);
        }
        for (name, value) in &commit.notes {
            self.put(NOTE, vec![Cell::text(name), Cell::text(value)]);
        }
        for entry in &commit.history {
            self.head.seq += 1;
            self.head.hash = Head::link(self.head.seq, &self.head.hash, entry);
            let mut cells = entry_cells(self.head.seq, entry);
            cells.push(Cell::Blob(self.head.hash.to_vec()));
            self.history.push(rows::seal_row(ring, &HISTORY, cells)?);
        }
        Ok(Ok(()))
    }

    /// The revision that `write` makes; `None` when it was computed from another one than stands here.
    fn next_rev(&self, write: &RotationWrite) -> Option<i64> {
        let row = self.tables[ROTATION].get(&(write.id.clone(), String::new())).and_then(|entry| entry.row.as_ref());
        match (row.and_then(|cells| cells[2].as_int()), write.expected) {
            (None, None) => Some(1),
            (Some(have), Some(expected)) if u64::try_from(have) == Ok(expected) => have.checked_add(1),
            _ => None,
        }
    }

    fn rotation(&mut self, write: &RotationWrite, rev: i64) {
        self.put(
            ROTATION,
            vec![
                Cell::text(&write.id),
                Cell::text(&write.policy),
                Cell::Int(rev),
                Cell::Int(i64::from(write.closed)),
                Cell::text(&write.phase),
                Cell::text(&write.state),
            ],
        );
        if let Some(plan) = &write.plan {
            self.put(PLAN, vec![Cell::text(&write.id), Cell::text(plan)]);
        }
    }

    fn alert(&mut self, alert: &AlertRow) {
        let key = (alert.id.clone(), String::new());
        if self.tables[ALERT].get(&key).is_some_and(|entry| entry.row.is_some()) {
            return;
        }
        self.put(ALERT, vec![Cell::text(&alert.id), Cell::Int(alert.at.0), Cell::text(&alert.message)]);
        for channel in &alert.channels {
            self.put(DELIVERY, delivery_cells(&alert.id, channel, OPEN, 0, alert.at.0, None));
        }
    }

    /// A delivery that is settled, or that nobody asked for, stays as it is.
    fn delivery(&mut self, write: &DeliveryWrite) {
        let key = (write.alert.clone(), write.channel.clone());
        let Some(row) = self.tables[DELIVERY].get(&key).and_then(|entry| entry.row.as_ref()) else { return };
        if row[2].as_text() != OPEN {
            return;
        }
        let tries = row[3].as_int().unwrap_or(0);
        let not_before = row[4].as_int().unwrap_or(0);
        let (standing, tries, not_before, done_at) = match write.result {
            DeliveryResult::Accepted(at) => (ACCEPTED, tries.saturating_add(1), not_before, Some(at.0)),
            DeliveryResult::Again(at) => (OPEN, tries.saturating_add(1), at.0, None),
            DeliveryResult::Dropped(at) => (DROPPED, tries, not_before, Some(at.0)),
        };
        self.put(DELIVERY, delivery_cells(&write.alert, &write.channel, standing, tries, not_before, done_at));
    }

    fn put(&mut self, table: usize, cells: Vec<Cell>) {
        let entry = self.tables[table].entry(key_of(table, &cells)).or_default();
        entry.row = Some(cells);
        entry.changed = true;
    }

    fn remove(&mut self, table: usize, first: &str, second: &str) {
        if let Some(entry) = self.tables[table].get_mut(&(first.to_owned(), second.to_owned())) {
            entry.row = None;
            entry.changed = true;
        }
    }

    fn remove_all(&mut self, table: usize, first: &str) {
        for (key, entry) in self.tables[table].range_mut((first.to_owned(), String::new())..) {
            if key.0 != first {
                break;
            }
            entry.row = None;
            entry.changed = true;
        }
    }

    /// Writes all of it and ends the transaction.
    async fn store(&mut self, conn: &mut SqliteConnection, ring: &Keyring, few: bool) -> Result<(), Fault> {
        let mut script = Script::default();
        for (index, entries) in std::mem::take(&mut self.tables).into_iter().enumerate() {
            let table = &STATE[index];
            let tally = &mut self.head.tables[index];
            let (mut written, mut gone) = (Vec::new(), Vec::new());
            for ((first, second), entry) in entries.into_iter().filter(|(_, entry)| entry.changed) {
                if let Some(base) = &entry.base {
                    tally.remove(base);
                }
                match entry.row {
                    Some(cells) => {
                        let row = rows::seal_row(ring, table, cells)?;
                        tally.add(&row.mac);
                        written.push(row);
                    }
                    None if entry.base.is_some() => {
                        let mut key = vec![Cell::Text(first), Cell::Text(second)];
                        key.truncate(table.key);
                        gone.push(key);
                    }
                    None => {}
                }
            }
            script.delete(table, gone);
            script.upsert(table, written);
        }
        script.insert(&HISTORY, std::mem::take(&mut self.history));
        self.head.commits += 1;
        meta::write_head(&mut script, ring, &self.head)?;
        script.run(conn, few).await?;
        // By itself: that a text of statements ends at the first one that fails must not be what keeps half a group from being durable.
        conn.execute("COMMIT").await?;
        Ok(())
    }
}

fn key_of(table: usize, cells: &[Cell]) -> (String, String) {
    let part = |index: usize| if index < STATE[table].key { cells[index].as_text().to_owned() } else { String::new() };
    (part(0), part(1))
}

fn delivery_cells(alert: &str, channel: &str, standing: &str, tries: i64, not_before: i64, done_at: Option<i64>) -> Vec<Cell> {
    vec![
        Cell::text(alert),
        Cell::text(channel),
        Cell::text(standing),
        Cell::Int(tries),
        Cell::Int(not_before),
        Cell::maybe_int(done_at),
    ]
}
