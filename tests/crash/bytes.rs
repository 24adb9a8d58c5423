//! Bytes that are lost: what a power cut leaves of the files.

use std::path::Path;

/// Numbers that look random and are the same for the same seed (SplitMix64).
pub struct Dice(u64);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut n = self.0;
        n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    }

    /// Below `most`.
    pub fn below(&mut self, most: usize) -> usize {
        let most = u64::try_from(most.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % most).unwrap_or(0)
    }

    pub fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

/// What a disk writes whole.
const SECTOR: usize = 512;
/// The files whose bytes are at stake; of the target a name can come back that was replaced.
const FILES: [&str; 2] = ["ledger.db", "ledger.db-wal"];

/// The power goes: of everything that was written since the last barrier, each sector is there or not. Answers with how many were lost.
pub fn power_cut(dir: &Path, seed: u64) -> usize {
    let mut dice = Dice::new(seed);
    let mut lost = 0;
    renamed(dir, &mut dice);
    for name in FILES {
        let (there, kept) = (dir.join(name), dir.join("durable").join(name));
        let Ok(written) = std::fs::read(&there) else { continue };
        let durable = std::fs::read(&kept).unwrap_or_default();
        let left = torn(&durable, &written, &mut dice, &mut lost);
        // SQLite's shared memory is no file to recover from: it is made anew.
        if left.is_empty() && durable.is_empty() && name != "ledger.db" {
            std::fs::remove_file(&there).expect("removed");
        } else if left != written {
            std::fs::write(&there, left).expect("written");
        }
    }
    let _ = std::fs::remove_file(dir.join("ledger.db-shm"));
    if dice.coin() {
        // In one step: who reads it while the power is off is the test's own doing.
        std::fs::copy(dir.join("durable/app.env"), dir.join("cut.env")).expect("copied");
        std::fs::rename(dir.join("cut.env"), dir.join("app.env")).expect("renamed");
    }
    lost
}

/// A ledger is made under another name, made durable, and renamed. Until the barrier on its directory it is found under either name, whole.
fn renamed(dir: &Path, dice: &mut Dice) {
    let (made, kept) = (dir.join("durable/ledger.db.new"), dir.join("durable/ledger.db"));
    if !dir.join("ledger.db").exists() || kept.exists() || !made.exists() {
        return;
    }
    std::fs::copy(made, kept).expect("copied");
    if dice.coin() {
        std::fs::rename(dir.join("ledger.db"), dir.join("ledger.db.new")).expect("renamed");
    }
}

/// A file of which what was written since the last barrier is there in part.
fn torn(durable: &[u8], written: &[u8], dice: &mut Dice, lost: &mut usize) -> Vec<u8> {
    let (short, long) = (durable.len().min(written.len()), durable.len().max(written.len()));
    // A length is a sector's worth too.
    let length = short + dice.below((long - short) / SECTOR + 1) * SECTOR;
    let mut left = Vec::with_capacity(length);
    while left.len() < length {
        let at = left.len();
        let end = (at + SECTOR).min(length);
        let part = |bytes: &[u8]| -> Vec<u8> {
            let mut part = bytes.get(at..end.min(bytes.len()).max(at)).unwrap_or_default().to_vec();
            part.resize(end - at, 0);
            part
        };
        let (old, new) = (part(durable), part(written));
        let keeps = old == new || dice.coin();
        *lost += usize::from(!keeps);
        left.extend(if keeps { new } else { old });
    }
    *lost += (written.len().saturating_sub(length)).div_ceil(SECTOR);
    left
}
