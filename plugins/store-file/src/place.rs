//! Where a target is: found anew at each use, from the root down, through directories only.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use cutover_api::{Class, Refusal};
use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Stat, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::fault::{Fault, Result};

/// The largest file that is read.
const MOST: usize = 1024 * 1024;
/// How often the lock is tried before it is given up, and the pause between.
const TRIES: u32 = 1_000;
const PAUSE: Duration = Duration::from_millis(10);

/// The directory of a target, open, and the target's name in it.
pub(crate) struct Place {
    pub(crate) directory: OwnedFd,
    pub(crate) name: String,
}

/// A file as it was read.
pub(crate) struct Content {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    pub(crate) file: OwnedFd,
    pub(crate) stat: Stat,
}

/// Why a path is not one: `None` when it is.
pub(crate) fn fault_of(path: &str) -> Option<&'static str> {
    if path.starts_with('/') {
        return Some("is absolute");
    }
    if path.chars().any(char::is_control) {
        return Some("holds a control character");
    }
    let bad = |part: &str| part.is_empty() || part == "." || part == ".." || part.len() > 255;
    if path.len() > 1024 || path.split('/').any(bad) {
        return Some("has an empty, a too long, a `.` or a `..` part");
    }
    None
}

impl Place {
    /// Opens the directory of `path` below `root`. No part of the path may be a symbolic link; the root itself may be reached by one.
    pub(crate) fn open(root: &Path, path: &str, step: &str) -> Result<Self> {
        if let Some(wrong) = fault_of(path) {
            return Err(Fault::refused(step, format!("the path {wrong}; nothing was touched")));
        }
        let walk = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let failed = |at: &Path, errno| Fault::before(step, &format!("open the directory {}", at.display()), errno);
        let mut at = root.to_owned();
        let mut directory = rustix::fs::openat(CWD, root, walk, Mode::empty()).map_err(|errno| failed(&at, errno))?;
        let mut parts: Vec<&str> = path.split('/').collect();
        let name = parts.pop().unwrap_or_default().to_owned();
        for part in parts {
            at.push(part);
            let opened = rustix::fs::openat(&directory, part, walk | OFlags::NOFOLLOW, Mode::empty());
            directory = opened.map_err(|errno| failed(&at, errno))?;
        }
        let read = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(&directory, ".", read, Mode::empty()).map_err(|errno| failed(&at, errno))?;
        Ok(Self { directory, name })
    }

    /// Waits, bounded, until this process alone may change the directory. The lock ends with the last copy of the descriptor.
    pub(crate) async fn lock(&self, step: &str) -> Result<()> {
        for _ in 0..TRIES {
            match rustix::fs::flock(&self.directory, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(()),
                Err(Errno::WOULDBLOCK | Errno::INTR) => tokio::time::sleep(PAUSE).await,
                Err(errno) => return Err(Fault::before(step, "lock the target's directory", errno)),
            }
        }
        let hint = "another process has held the lock of the target's directory for 10 s; nothing was touched";
        Err(Fault::Refused(Refusal::new(Class::Throttle, step).hint(hint)))
    }

    /// Reads the whole target; `None` when it is not there.
    pub(crate) fn content(&self, step: &str) -> Result<Option<Content>> {
        let failed = |errno| Fault::before(step, "read the target", errno);
        // A pipe must not make the open wait.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.directory, self.name.as_str(), flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(Fault::refused(step, "the target is a symbolic link; name the file it leads to")),
            Err(errno) => return Err(failed(errno)),
        };
        let stat = rustix::fs::fstat(&file).map_err(failed)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Fault::refused(step, "the target is not a regular file"));
        }
        let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
        if size > MOST {
            return Err(Fault::refused(step, "the target is larger than 1 MiB; is it the right file?"));
        }
        // One byte more than it should be: a file that grows meanwhile is seen, and the buffer never moves.
        let mut bytes = Zeroizing::new(vec![0; size + 1]);
        let mut filled = 0;
        loop {
            match rustix::io::read(&file, &mut bytes[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        if filled != size {
            let hint = "the target was being changed while it was read; nothing was touched";
            return Err(Fault::Refused(Refusal::new(Class::Throttle, step).hint(hint)));
        }
        bytes.truncate(size);
        Ok(Some(Content { bytes, file, stat }))
    }

    /// Whether the target is still the file that was read (or still absent).
    pub(crate) fn is_still(&self, old: Option<&Content>, step: &str) -> Result<bool> {
        match rustix::fs::statat(&self.directory, self.name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(now) => Ok(old.is_some_and(|old| identity(&now) == identity(&old.stat))),
            Err(Errno::NOENT) => Ok(old.is_none()),
            Err(errno) => Err(Fault::before(step, "look at the target", errno)),
        }
    }

    /// Refuses a file that a rename cannot replace, or that another name would go on showing in its old state.
    pub(crate) fn check_replaceable(&self, old: &Content, step: &str) -> Result<()> {
        if old.stat.st_nlink > 1 {
            return Err(Fault::refused(
                step,
                "the target has a second hard link, which would keep the old key; remove one of the links",
            ));
        }
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        // A kernel without statx tells by the rename itself.
        let Ok(found) = rustix::fs::statx(&self.directory, self.name.as_str(), flags, StatxFlags::BASIC_STATS) else {
            return Ok(());
        };
        let set = found.stx_attributes & found.stx_attributes_mask;
        if set.contains(StatxAttributes::MOUNT_ROOT) {
            return Err(Fault::refused(
                step,
                "the target is mounted by itself and cannot be replaced; mount its directory instead",
            ));
        }
        if set.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND) {
            return Err(Fault::refused(step, "the target is marked immutable or append-only; chattr -i -a it"));
        }
        Ok(())
    }
}

/// What changes when somebody writes to the file or puts another in its place.
fn identity(stat: &Stat) -> [i128; 7] {
    [
        stat.st_dev.into(),
        stat.st_ino.into(),
        stat.st_size.into(),
        stat.st_mtime.into(),
        stat.st_mtime_nsec.into(),
        stat.st_ctime.into(),
        stat.st_ctime_nsec.into(),
    ]
}
