//! The head: what the ledger as a whole is, in one row that is written with every transaction.
//!
//! A row's own MAC finds a changed row. The head finds what no row can tell: rows that are gone, rows put back from an older copy
//! (it keeps for each table the count and the sum of all row MACs), and a history cut off at its end (it keeps the last entry's number
//! and hash). A whole older copy of all files is not found by it: for that it counts the commits, and `mark.rs` remembers the count outside.

use aws_lc_rs::digest;

use super::table::{Cell, STATE, Stored, encode};
use crate::HistoryEntry;

/// The sum of 256-bit numbers, modulo 2^256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum([u64; 4]);

/// Count and sum of one table's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) count: u64,
    sum: Sum,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) seq: u64,
    pub(super) hash: [u8; 32],
    pub(super) tables: [Tally; STATE.len()],
    /// Commits, in groups, that were made so far.
    pub(super) commits: u64,
}

/// Its length in bytes.
const LENGTH: usize = 48 + STATE.len() * 40;

impl Sum {
    fn limbs(mac: &[u8; 32]) -> [u64; 4] {
        let mut limbs = [0; 4];
        for (limb, bytes) in limbs.iter_mut().zip(mac.chunks_exact(8)) {
            *limb = bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
        }
        limbs
    }

    fn add(&mut self, mac: &[u8; 32]) {
        let mut carry = false;
        for (have, more) in self.0.iter_mut().zip(Self::limbs(mac)) {
            let (sum, over) = have.overflowing_add(more);
            let (sum, over_by_carry) = sum.overflowing_add(u64::from(carry));
            (*have, carry) = (sum, over || over_by_carry);
        }
    }

    fn remove(&mut self, mac: &[u8; 32]) {
        let mut borrow = false;
        for (have, less) in self.0.iter_mut().zip(Self::limbs(mac)) {
            let (rest, under) = have.overflowing_sub(less);
            let (rest, under_by_borrow) = rest.overflowing_sub(u64::from(borrow));
            (*have, borrow) = (rest, under || under_by_borrow);
        }
    }
}

impl Tally {
    pub(super) fn add(&mut self, mac: &[u8; 32]) {
        self.count = self.count.wrapping_add(1);
        self.sum.add(mac);
    }

    pub(super) fn remove(&mut self, mac: &[u8; 32]) {
        self.count = self.count.wrapping_sub(1);
        self.sum.remove(mac);
    }
}

impl Head {
    /// The head of a ledger that holds nothing. The chain starts from the ledger's id, so that no chain continues another's.
    pub(super) fn start(ledger: &[u8; 16]) -> Self {
        let mut first = b"cutover history\0".to_vec();
        first.extend_from_slice(ledger);
        Self { seq: 0, hash: sha256(&first), tables: [Tally::default(); STATE.len()], commits: 0 }
    }

    /// The next link of the chain.
    pub(super) fn link(seq: u64, previous: &[u8; 32], entry: &HistoryEntry) -> [u8; 32] {
        let mut bytes = Vec::with_capacity(256 + entry.facts.len());
        encode(&mut bytes, previous, &entry_cells(seq, entry), "cutover history entry");
        sha256(&bytes)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend_from_slice(&self.seq.to_be_bytes());
        bytes.extend_from_slice(&self.hash);
        for table in &self.tables {
            bytes.extend_from_slice(&table.count.to_be_bytes());
            for limb in table.sum.0 {
                bytes.extend_from_slice(&limb.to_be_bytes());
            }
        }
        bytes.extend_from_slice(&self.commits.to_be_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != LENGTH {
            return None;
        }
        let number = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes);
        let mut tables = [Tally::default(); STATE.len()];
        for (index, table) in tables.iter_mut().enumerate() {
            let at = 40 + index * 40;
            table.count = number(at)?;
            for (limb, value) in table.sum.0.iter_mut().enumerate() {
                *value = number(at + 8 + limb * 8)?;
            }
        }
        Some(Self { seq: number(0)?, hash: bytes[8..40].try_into().ok()?, tables, commits: number(LENGTH - 8)? })
    }
}

/// A history entry as the columns of its row, without the hash.
pub(super) fn entry_cells(seq: u64, entry: &HistoryEntry) -> Vec<Cell> {
    vec![
        Cell::Int(seq.cast_signed()),
        Cell::Int(entry.at.0),
        Cell::maybe_text(entry.policy.as_deref()),
        Cell::maybe_text(entry.rotation.as_deref()),
        Cell::text(&entry.actor),
        Cell::text(&entry.kind),
        Cell::text(&entry.facts),
    ]
}

/// Whether `row` is the next link after `previous`; its hash if so.
pub(super) fn next_link(row: &Stored, seq: u64, previous: &[u8; 32]) -> Option<[u8; 32]> {
    let (entry, hash) = row.cells.split_at_checked(7)?;
    let hash: [u8; 32] = hash.first()?.as_blob().try_into().ok()?;
    let mut bytes = Vec::with_capacity(512);
    encode(&mut bytes, previous, entry, "cutover history entry");
    (entry[0].as_int() == Some(seq.cast_signed()) && sha256(&bytes) == hash).then_some(hash)
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Head, Sum};

    proptest! {
        #[test]
        fn a_sum_does_not_know_the_order_and_what_was_taken_away(macs in prop::collection::vec(any::<[u8; 32]>(), 1..20)) {
            let mut forwards = Sum::default();
            let mut backwards = Sum::default();
            macs.iter().for_each(|mac| forwards.add(mac));
            macs.iter().rev().for_each(|mac| backwards.add(mac));
            prop_assert_eq!(forwards, backwards);
            macs.iter().for_each(|mac| forwards.remove(mac));
            prop_assert_eq!(forwards, Sum::default());
        }
    }

    #[test]
    fn a_sum_carries_over_all_its_width() {
        let mut sum = Sum::default();
        sum.add(&[0xff; 32]);
        let mut one = [0; 32];
        one[0] = 1;
        sum.add(&one);
        assert_eq!(sum, Sum::default());
    }

    #[test]
    fn a_head_reads_as_it_was_written() {
        let mut head = Head::start(&[3; 16]);
        head.seq = 9;
        head.commits = 12;
        head.tables[5].add(&[7; 32]);
        assert_eq!(Head::from_bytes(&head.to_bytes()), Some(head.clone()));
        assert_eq!(Head::from_bytes(&head.to_bytes()[1..]), None);
    }
}
