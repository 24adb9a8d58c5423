//! The ledger's files: where they are, who may read them, and the lock that keeps it to one process.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use crate::{OpenError, OpenErrorKind};

/// What must be free for another rotation to start.
pub(super) const ROOM: u64 = 16 << 20;

/// The database's real path (no symbolic link) and its directory.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    dir: PathBuf,
}

/// The lock of one process; the kernel releases it with the process.
pub(super) struct Lock {
    pid_file: File,
    /// The database itself is locked too: a second name for it, or a removed lock file, opens no second way in.
    /// Closing it would drop SQLite's own locks on that file, so it stays open until every connection is closed.
    database: Option<File>,
}

/// Which file a path named when the ledger was opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Place {
    pub(super) fn find(path: &Path) -> Result<Self, OpenError> {
        let fail = |error: io::Error, what: &str| refuse(path, OpenErrorKind::Io, format!("{what}: {}", error.kind()));
        let (parent, name) = (path.parent(), path.file_name());
        let (Some(parent), Some(name)) = (parent, name) else {
            return Err(refuse(path, OpenErrorKind::Io, "not the path of a file".to_owned()));
        };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let dir = fs::canonicalize(parent).map_err(|error| {
            fail(error, "its directory cannot be reached; create it, owned by the daemon's user, mode 0700")
        })?;
        match fs::symlink_metadata(dir.join(name)) {
            Ok(found) if found.is_symlink() => {
                let path = fs::canonicalize(dir.join(name)).map_err(|error| fail(error, "a link that leads nowhere"))?;
                let dir = path.parent().unwrap_or(&path).to_path_buf();
                Ok(Self { path, dir })
            }
            Ok(_) => Ok(Self { path: dir.join(name), dir }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self { path: dir.join(name), dir }),
            Err(error) => Err(fail(error, "cannot be looked at")),
        }
    }

    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        path.into()
    }

    pub(super) fn refuse(&self, kind: OpenErrorKind, detail: impl Into<String>) -> OpenError {
        refuse(&self.path, kind, detail.into())
    }

    pub(super) fn io(&self, error: &io::Error, what: &str) -> OpenError {
        self.refuse(OpenErrorKind::Io, format!("{what}: {}", error.kind()))
    }

    /// Refuses a directory in which others could put files in the place of ours.
    pub(super) fn check_directory(&self) -> Result<(), OpenError> {
        let found = fs::metadata(&self.dir).map_err(|error| self.io(&error, "its directory cannot be looked at"))?;
        let euid = rustix::process::geteuid().as_raw();
        if found.mode() & 0o002 != 0 {
            return Err(self.refuse(OpenErrorKind::Mode, "its directory can be written by everybody; use one of mode 0700"));
        }
        if euid != 0 && found.uid() != euid && found.uid() != 0 {
            return Err(self.refuse(OpenErrorKind::Mode, "its directory belongs to another user; use one of the daemon's own"));
        }
        Ok(())
    }

    /// Makes the database and what SQLite keeps beside it readable by its owner only.
    pub(super) fn mend_modes(&self) -> Result<(), OpenError> {
        let euid = rustix::process::geteuid().as_raw();
        for path in ["", "-wal", "-shm"].map(|suffix| self.beside(suffix)) {
            let found = match fs::symlink_metadata(&path) {
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(self.io(&error, "cannot be looked at")),
            };
            if !found.is_file() {
                return Err(self.refuse(OpenErrorKind::Mode, "it, or a -wal or -shm beside it, is not a plain file"));
            }
            if euid != 0 && found.uid() != euid {
                return Err(
                    self.refuse(OpenErrorKind::Mode, "it belongs to another user; run as that user or change its owner")
                );
            }
            if found.mode() & 0o7777 != 0o600 {
                fs::set_permissions(&path, Permissions::from_mode(0o600))
                    .map_err(|_| self.refuse(OpenErrorKind::Mode, "others could read it; set its mode to 0600"))?;
            }
        }
        Ok(())
    }

    /// Creates a file that only its owner can read, from its first moment on and whatever the umask is.
    pub(super) fn create(&self, path: &Path) -> io::Result<File> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        self.own(&file)?;
        Ok(file)
    }

    /// What root creates belongs to the directory's owner: a verb that root ran once must not lock the daemon out.
    pub(super) fn own(&self, file: &File) -> io::Result<()> {
        file.set_permissions(Permissions::from_mode(0o600))?;
        if rustix::process::geteuid().is_root() {
            let dir = fs::metadata(&self.dir)?;
            fchown(file, Some(dir.uid()), Some(dir.gid()))?;
        }
        Ok(())
    }

    pub(super) fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    pub(super) fn identity(&self) -> io::Result<Identity> {
        let found = fs::metadata(&self.path)?;
        Ok(Identity { device: found.dev(), inode: found.ino() })
    }

    /// Whether there is room and the files can be written; a sentence for the operator if not.
    pub(super) fn room(&self, opened: Identity) -> Result<(), String> {
        let shown = self.path.display();
        match self.identity() {
            Ok(now) if now == opened => {}
            _ => return Err(format!("{shown} was moved or replaced while it was in use: restart the daemon")),
        }
        let disk = rustix::fs::statvfs(&self.dir).map_err(|error| format!("{shown}: its disk cannot be looked at: {error}"))?;
        if disk.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
            return Err(format!("{shown} is on a disk that is mounted read-only"));
        }
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < ROOM {
            return Err(format!("{shown}: only {} KiB are free on its disk, {} KiB are needed", free >> 10, ROOM >> 10));
        }
        for path in [&self.path, &self.dir] {
            rustix::fs::access(path, rustix::fs::Access::WRITE_OK)
                .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
        }
        Ok(())
    }
}

impl Place {
    /// Opens a file beside the ledger, for reading and writing; made where there is none, for the owner alone. What is in it stays.
    pub(super) fn open_beside(&self, ending: &str) -> std::io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(self.beside(ending))
    }
}

impl Lock {
    /// Takes the lock and leaves `pid` in it for those who come later.
    pub(super) fn take(place: &Place, pid: u32) -> Result<Self, OpenError> {
        let mut pid_file = place.open_beside(".lock").map_err(|error| place.io(&error, "its lock file cannot be opened"))?;
        match flock(&pid_file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(locked(place, &mut pid_file)),
            Err(error) => return Err(place.io(&error.into(), "its lock cannot be taken")),
        }
        let written = place.own(&pid_file).and_then(|()| pid_file.set_len(0)).and_then(|()| pid_file.rewind());
        // The pid is only told to people: on a full disk the lock holds without it.
        if let Err(error) = written.and_then(|()| writeln!(pid_file, "{pid}")) {
            tracing::warn!(kind = %error.kind(), "the ledger's lock file could not be written");
        }
        Ok(Self { pid_file, database: None })
    }

    /// Locks the database itself too. No connection may be open yet.
    pub(super) fn take_database(&mut self, place: &Place) -> Result<(), OpenError> {
        let file = File::open(&place.path).map_err(|error| place.io(&error, "cannot be opened"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let detail = "another process has it under another name or with another lock file";
                return Err(place.refuse(OpenErrorKind::Locked, detail));
            }
            Err(error) => return Err(place.io(&error.into(), "its lock cannot be taken")),
        }
        self.database = Some(file);
        Ok(())
    }

    /// Gives the lock back, once every connection is closed.
    pub(super) fn release(self) {
        // The pid goes first: who reads it after us must not be sent to a process that has nothing to do with the ledger.
        if let Err(error) = self.pid_file.set_len(0) {
            tracing::warn!(kind = %error.kind(), "the ledger's lock file could not be emptied");
        }
        drop(self.database);
        drop(self.pid_file);
    }
}

fn locked(place: &Place, pid_file: &mut File) -> OpenError {
    let mut text = String::new();
    let read = pid_file.take(32).read_to_string(&mut text);
    let pid = read.ok().and_then(|_| text.trim().parse::<u32>().ok());
    let who = pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
    place.refuse(OpenErrorKind::Locked, format!("{who} has it; one ledger serves one process, stop that one or talk to it"))
}

fn refuse(path: &Path, kind: OpenErrorKind, detail: String) -> OpenError {
    OpenError { kind, place: path.display().to_string(), detail }
}
