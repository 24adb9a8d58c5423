//! What the system answered, as an outcome that tells the operator what to do.

use cutover_api::{Cause, Class, Outcome, Refusal};
use rustix::io::Errno;

/// Why a call did not come to its end.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It certainly had no effect.
    Refused(Refusal),
    /// It may have had one.
    Unknown(Cause),
}

pub(crate) type Result<T> = std::result::Result<T, Fault>;

impl<T> From<Fault> for Outcome<T> {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(refusal) => Self::Refused(refusal),
            Fault::Unknown(cause) => Self::Unknown(cause),
        }
    }
}

impl Fault {
    /// A refusal that a person has to look at.
    pub(crate) fn refused(step: &str, hint: impl Into<String>) -> Self {
        Self::Refused(Refusal::new(Class::Refused, step).hint(hint))
    }

    /// The compare failed.
    pub(crate) fn changed(step: &str) -> Self {
        Self::Refused(Refusal::new(Class::Exists, step).hint("the file was changed since it was read; nothing was replaced"))
    }

    /// A system call failed before anything was replaced; `doing` completes "cutover could not …".
    pub(crate) fn before(step: &str, doing: &str, errno: Errno) -> Self {
        let class = if matches!(errno, Errno::ACCESS | Errno::PERM) { Class::Scope } else { Class::Refused };
        let mut refusal = Refusal::new(class, step);
        refusal.code = Some(code(errno));
        Self::Refused(refusal.hint(format!("could not {doing}: {}; the target is untouched", advice(errno))))
    }

    /// A system call failed when the new content may already be in place.
    pub(crate) fn after(step: &str, label: &str) -> Self {
        Self::Unknown(
            Cause::new(step, label)
                .hint("the new content may or may not be in place, or may not survive a power cut; look again"),
        )
    }
}

/// The name of an error, for the code of a refusal.
fn code(errno: Errno) -> String {
    let name = match errno {
        Errno::ACCESS => "EACCES",
        Errno::BUSY => "EBUSY",
        Errno::DQUOT => "EDQUOT",
        Errno::IO => "EIO",
        Errno::LOOP => "ELOOP",
        Errno::NOENT => "ENOENT",
        Errno::NOSPC => "ENOSPC",
        Errno::NOTDIR => "ENOTDIR",
        Errno::NOTSUP => "ENOTSUP",
        Errno::PERM => "EPERM",
        Errno::ROFS => "EROFS",
        Errno::XDEV => "EXDEV",
        other => return format!("errno-{}", other.raw_os_error()),
    };
    name.to_owned()
}

/// What is wrong and what to do about it.
fn advice(errno: Errno) -> &'static str {
    match errno {
        Errno::ACCESS | Errno::PERM => "not permitted; give cutover's user that right, or let it own the directory",
        Errno::BUSY => "it is in use, perhaps mounted by itself into a container; mount its directory instead",
        Errno::DQUOT | Errno::NOSPC => "the disk or the quota is full; make room",
        Errno::IO => "the disk failed; check it before anything else",
        Errno::LOOP | Errno::NOTDIR => "a symbolic link or a file stands where a directory must be; name the real place",
        Errno::NOENT => "it is not there; create the directory, cutover makes none",
        Errno::NOTSUP | Errno::BADF | Errno::NOLCK => "the file system does not offer that; use a local one",
        Errno::ROFS => "the file system is read-only here; under systemd add the directory to ReadWritePaths=",
        _ => "the system refused",
    }
}
