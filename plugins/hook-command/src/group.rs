//! A process group that does not outlive the one who waits for it.

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;

/// The group that `Child` leads. Unless it is let go, dropping it ends every process of it.
///
/// Its number is only used while the leader has not been waited for: until then the kernel cannot give the number to a stranger.
pub(crate) struct Group(Option<Pid>);

impl Group {
    /// The group of a child that was started as the leader of one and not waited for.
    pub(crate) fn led_by(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// Asks every process of it to end.
    pub(crate) fn ask_to_end(&self) {
        self.send(Signal::TERM);
    }

    /// Ends every process of it.
    pub(crate) fn end(&self) {
        self.send(Signal::KILL);
    }

    /// Leaves what is left of it alone. To be called as soon as the leader was waited for.
    pub(crate) fn let_go(&mut self) {
        self.0 = None;
    }

    fn send(&self, signal: Signal) {
        let Some(leader) = self.0 else { return };
        match kill_process_group(leader, signal) {
            // No such process: it ended before it was told to.
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => tracing::warn!(%error, "a process group could not be ended"),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}
