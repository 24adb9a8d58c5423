//! The mark beside the ledger: how many commits the ledger that was in use here had made.
//!
//! No ledger can tell of itself that it is an older copy, or that a `-wal` was cut off after the last barrier: everything in it fits. The
//! mark can. It is written after each commit and costs no barrier: a power cut may leave an older one, which says less but nothing wrong. It
//! is no secret and no proof; without it a ledger is believed.

use std::fs::File;
use std::io;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;

use super::files::Place;

/// What it says while the ledger is believed, and until a person has said that it may be.
const SOUND: &str = "sound ";
const BEHIND: &str = "behind";

/// See the module.
pub(super) struct Mark {
    file: Option<File>,
    ledger: [u8; 16],
    behind: bool,
}

impl Mark {
    /// Compares the ledger that was opened (its id, its commits) with the one that was in use here before.
    pub(super) fn take(place: &Place, ledger: [u8; 16], commits: u64) -> Self {
        let file = match open(place) {
            Ok(file) => Some(file),
            Err(error) => {
                tracing::warn!(kind = %error.kind(), "the mark beside the ledger cannot be opened: an older copy would not be noticed");
                None
            }
        };
        let mut mark = Self { file, ledger, behind: false };
        let seen = mark.read();
        mark.behind = seen.is_some_and(|(seen, behind)| behind || seen > commits);
        if mark.behind {
            tracing::error!(
                commits,
                seen = seen.map(|(seen, _)| seen),
                "the ledger is older than the one that was in use here"
            );
            // It stays so over restarts, however far this one gets meanwhile.
            mark.write(seen.map_or(commits, |(seen, _)| seen));
            mark.sync();
        } else {
            mark.write(commits);
        }
        mark
    }

    pub(super) const fn is_behind(&self) -> bool {
        self.behind
    }

    /// So many commits are durable.
    pub(super) fn advance(&mut self, commits: u64) {
        if !self.behind {
            self.write(commits);
        }
    }

    /// A person has said that this ledger is to be believed.
    pub(super) fn trust(&mut self, commits: u64) {
        self.behind = false;
        self.write(commits);
        self.sync();
    }

    /// Makes it durable.
    pub(super) fn sync(&self) {
        // It only says less when that fails.
        let _ = self.file.as_ref().map(File::sync_data);
    }

    /// What it says of this ledger, if it does.
    fn read(&self) -> Option<(u64, bool)> {
        let mut text = String::new();
        self.file.as_ref()?.take(128).read_to_string(&mut text).ok()?;
        let mut words = text.split_whitespace();
        let of_this = words.next() == Some(hex::encode(self.ledger).as_str());
        let commits = words.next()?.parse().ok()?;
        of_this.then_some((commits, words.next() == Some(BEHIND)))
    }

    fn write(&self, commits: u64) {
        let Some(file) = &self.file else { return };
        let standing = if self.behind { BEHIND } else { SOUND };
        let text = format!("{} {commits:020} {standing}\n", hex::encode(self.ledger));
        if let Err(error) = file.write_all_at(text.as_bytes(), 0) {
            tracing::debug!(kind = %error.kind(), "the mark beside the ledger could not be written");
        }
    }
}

fn open(place: &Place) -> io::Result<File> {
    let file = place.open_beside(".seen")?;
    place.own(&file)?;
    Ok(file)
}
