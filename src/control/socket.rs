//! A Unix socket of the daemon's: closed to others from its first moment on, and gone with its owner.

use std::fmt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};
use tracing::{info, warn};

use super::people::{GROUP, People, give_to_group};

/// Why a socket could not be opened.
#[derive(Debug)]
pub struct BindError {
    /// The key of `[daemon]` that names it.
    pub key: &'static str,
    /// The socket.
    pub path: PathBuf,
    /// What is wrong and what to do.
    pub detail: String,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} socket {}: {}", self.key, self.path.display(), self.detail)
    }
}

impl std::error::Error for BindError {}

/// An open socket.
pub struct Socket {
    /// Where connections come in.
    pub listener: UnixListener,
    /// The group it was given to.
    pub group: Option<u32>,
    /// Its file, which goes when this is dropped.
    pub file: SocketFile,
}

/// The socket's file, removed with its owner as long as it is still the same file.
pub struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_some_and(|identity| identity == self.identity) {
            // Nothing depends on it: the next start replaces a stale file.
            let _left = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

impl Socket {
    /// Opens the socket that `[daemon] KEY` names, at `path`: mode 0660, group `cutover` where there is one; without it only root and the
    /// daemon's own user can use it. The file of a dead daemon is replaced. The file is closed to others from its first moment on.
    ///
    /// # Errors
    /// A live daemon has it, something else stands there, or the system refuses.
    pub async fn open(path: &Path, key: &'static str, people: &People) -> Result<Self, BindError> {
        let wrong = |detail: String| BindError { key, path: path.to_owned(), detail };
        clear(path, key).await.map_err(&wrong)?;
        // Only for the moment of the bind: what the daemon starts later keeps the umask it was given.
        let given = rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
        let bound = UnixListener::bind(path);
        rustix::process::umask(given);
        let listener = bound.map_err(|error| wrong(refused(path, key, &error)))?;
        let file = SocketFile { path: path.to_owned(), identity: identity(path).unwrap_or_default() };
        let group = people.group(GROUP).filter(|group| match give_to_group(path, *group) {
            Ok(()) => true,
            Err(error) => {
                warn!(group = GROUP, key, %error, "the socket could not be given to the group: only root and the daemon's own user can use it");
                false
            }
        });
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
            .map_err(|error| wrong(format!("its mode cannot be set ({error})")))?;
        Ok(Self { listener, group, file })
    }
}

/// Makes room for the socket: nothing there, or the socket of a daemon that is dead.
async fn clear(path: &Path, key: &str) -> Result<(), String> {
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused(path, key, &error)),
    };
    if !found.file_type().is_socket() {
        return Err(format!("something that is no socket stands there; move it away or set `[daemon] {key}`"));
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err("a daemon answers there already; one socket serves one daemon".to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            info!(path = %path.display(), "the {key} socket of a dead daemon is replaced");
            std::fs::remove_file(path).map_err(|error| format!("the socket of a dead daemon cannot be removed ({error})"))
        }
        Err(error) => Err(refused(path, key, &error)),
    }
}

fn refused(path: &Path, key: &str, error: &std::io::Error) -> String {
    let parent = path.parent().unwrap_or(Path::new("/"));
    if error.kind() == std::io::ErrorKind::NotFound {
        return format!(
            "the directory {} does not exist; the unit makes it with RuntimeDirectory=cutover, or set `[daemon] {key}`",
            parent.display()
        );
    }
    format!("cannot be opened ({error}); is {} the daemon's own?", parent.display())
}
