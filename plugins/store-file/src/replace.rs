//! Puts new content in a file's place so that no reader ever sees half of it, and no crash leaves anything else than old or new.
//!
//! Everything here runs under the lock of the directory. So a file with our temporary name that is found at the beginning belongs to
//! nobody who lives: it is what a crash left, and is removed.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::access::Access;
use crate::fault::{Fault, Result};
use crate::place::{Content, Place};

const PREFIX: &str = ".cutover-tmp-";
const DIGITS: usize = 16;

/// One system call that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// The temporary file is made.
    Create,
    /// The content goes into it.
    Write,
    /// It gets its owner, group, mode and attributes.
    Give,
    /// It is on disk.
    Sync,
    /// It takes the target's place.
    Rename,
    /// The new name is on disk.
    SyncDirectory,
    /// The temporary file goes.
    Remove,
}

/// Stands before each call that changes something, so that tests can make each of them fail.
pub(crate) trait Gate: Send + Sync {
    /// Lets the call through, or fails in its place.
    fn pass(&self, call: Call) -> std::result::Result<(), Errno>;
}

/// Lets everything through.
pub(crate) struct Open;

impl Gate for Open {
    fn pass(&self, _: Call) -> std::result::Result<(), Errno> {
        Ok(())
    }
}

/// Whether a name is one of our temporary files.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.strip_prefix(PREFIX)
        .is_some_and(|rest| rest.len() == DIGITS && rest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
}

/// Replaces `old` (or makes the file) by `new`.
pub(crate) fn replace(
    place: &Place,
    old: Option<&Content>,
    new: &[u8],
    access: &Access,
    gate: &dyn Gate,
    step: &str,
) -> Result<()> {
    sweep(place);
    let name = temporary(place, new, access, gate, step)?;
    if let Err(fault) = swap(place, old, &name, gate, step) {
        remove(place, &name, gate);
        return Err(fault);
    }
    // Never tried twice: after one failure the kernel may call pages clean that are not on disk.
    gate.pass(Call::SyncDirectory).and_then(|()| rustix::fs::fsync(&place.directory)).map_err(|_| Fault::after(step, "fsync"))
}

/// Does everything that [`replace`] does, but with `size` zeros, and never touches the target.
pub(crate) fn rehearse(place: &Place, size: usize, access: &Access, gate: &dyn Gate, step: &str) -> Result<()> {
    sweep(place);
    let name = temporary(place, &vec![0; size], access, gate, step)?;
    gate.pass(Call::Remove)
        .and_then(|()| rustix::fs::unlinkat(&place.directory, name.as_str(), AtFlags::empty()))
        .map_err(|errno| Fault::before(step, "remove its temporary file beside the target", errno))
}

/// Makes a temporary file that is whole, has its access rights and is on disk. Leaves none behind when it fails.
fn temporary(place: &Place, content: &[u8], access: &Access, gate: &dyn Gate, step: &str) -> Result<String> {
    let mut random = [0_u8; DIGITS / 2];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| Fault::refused(step, "the system has no random numbers"))?;
    let name = format!("{PREFIX}{}", hex::encode(random));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = gate
        .pass(Call::Create)
        .and_then(|()| rustix::fs::openat(&place.directory, name.as_str(), flags, Mode::RUSR | Mode::WUSR))
        .map_err(|errno| Fault::before(step, "create a file beside the target", errno))?;
    let filled = fill(&file, content, access, gate);
    if let Err((doing, errno)) = filled {
        remove(place, &name, gate);
        return Err(Fault::before(step, doing, errno));
    }
    Ok(name)
}

fn fill(file: &OwnedFd, content: &[u8], access: &Access, gate: &dyn Gate) -> std::result::Result<(), (&'static str, Errno)> {
    gate.pass(Call::Write)
        .and_then(|()| write_all(file, content))
        .map_err(|errno| ("write a file beside the target", errno))?;
    gate.pass(Call::Give)
        .and_then(|()| access.give(file))
        .map_err(|errno| ("give a new file the owner, group, mode and attributes it must have", errno))?;
    gate.pass(Call::Sync)
        .and_then(|()| rustix::fs::fsync(file))
        .map_err(|errno| ("bring a file beside the target to disk", errno))
}

fn write_all(file: &OwnedFd, content: &[u8]) -> std::result::Result<(), Errno> {
    let mut rest = content;
    while !rest.is_empty() {
        match rustix::io::write(file, rest) {
            Ok(0) => return Err(Errno::IO),
            Ok(n) => rest = &rest[n..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// The one step that readers see.
fn swap(place: &Place, old: Option<&Content>, name: &str, gate: &dyn Gate, step: &str) -> Result<()> {
    let rename = |flags| rustix::fs::renameat_with(&place.directory, name, &place.directory, place.name.as_str(), flags);
    let renamed = gate.pass(Call::Rename).and_then(|()| {
        // Somebody who takes no lock may have written meanwhile: seen here, up to the moment of the call itself.
        match place.is_still(old, step) {
            Ok(true) => {}
            Ok(false) => return Err(Errno::EXIST),
            Err(_) => return Err(Errno::STALE),
        }
        match old {
            Some(_) => rename(RenameFlags::empty()),
            None => match rename(RenameFlags::NOREPLACE) {
                Err(Errno::INVAL | Errno::NOSYS) => rename(RenameFlags::empty()),
                other => other,
            },
        }
    });
    match renamed {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => Err(Fault::changed(step)),
        // A disk or a server that fails here may have done it.
        Err(Errno::IO | Errno::TIMEDOUT) => Err(Fault::after(step, "rename")),
        Err(errno) => Err(Fault::before(step, "put the new file in the target's place", errno)),
    }
}

/// Removes what a crash left behind. What cannot be removed is in nobody's way.
fn sweep(place: &Place) {
    let Ok(entries) = Dir::read_from(&place.directory) else { return };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().to_str() else { continue };
        let regular = |name: &str| {
            rustix::fs::statat(&place.directory, name, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
        };
        if is_temporary(name) && regular(name) {
            tracing::info!("a temporary file that a crash left behind is removed");
            remove(place, name, &Open);
        }
    }
}

fn remove(place: &Place, name: &str, gate: &dyn Gate) {
    let gone = gate.pass(Call::Remove).and_then(|()| rustix::fs::unlinkat(&place.directory, name, AtFlags::empty()));
    if gone.is_err() {
        tracing::warn!("a temporary file beside the target could not be removed; the next write removes it");
    }
}
