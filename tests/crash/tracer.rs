//! Runs a process under ptrace and interferes at one of its system calls: what `strace -f -e inject=…` does, but counted over all threads
//! of the process together, so that point N is one moment of it and every moment can be named.
//!
//! Only what changes or tells something outside of the process is a point: writes, barriers, renames, removals, sockets. Left out are
//! waking up another thread, the log, and the control socket (the test's own questions would be points otherwise).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// What a point is: the call, and what it is made on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// The system call.
    pub call: &'static str,
    /// The file's name, or `socket`.
    pub on: String,
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.call, self.on)
    }
}

/// What is done to the process.
#[derive(Clone)]
pub enum Deed {
    /// Nothing: it is only watched.
    Watch,
    /// It is killed when it comes to this point, counted from 1, and what it was about to do is not done.
    Kill(usize),
    /// From this point on, each call that writes to the ledger's files or makes them durable fails with this error, as long as the disk is bad.
    Disk { from: usize, error: i32, bad: Arc<AtomicBool> },
}

/// What was seen of a process, once it has ended.
#[derive(Debug, Default)]
pub struct Seen {
    /// Its points, in their order.
    pub points: Vec<Point>,
    /// It was killed by the deed, at the last point of `points`.
    pub killed: bool,
    /// Its exit status, where it has one.
    pub code: Option<i32>,
}

/// A process under ptrace.
pub struct Traced {
    pid: Pid,
    ended: Arc<AtomicBool>,
    failed: Arc<AtomicUsize>,
    thread: Option<JoinHandle<Seen>>,
}

impl Traced {
    /// Starts `command`; its standard error goes where the command says. Files that it makes durable below `dir` are copied to
    /// `dir/durable` as they are then: what a power cut leaves in any case.
    pub fn start(command: Command, dir: &Path, deed: Deed) -> std::io::Result<Self> {
        let (send, receive) = std::sync::mpsc::channel();
        let (ended, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (dir, over, failing) = (dir.to_owned(), Arc::clone(&ended), Arc::clone(&failed));
        // Everything about a traced process is done by the one thread that traces it.
        let thread = std::thread::spawn(move || {
            let seen = match attach(command) {
                Ok(pid) => {
                    let _ = send.send(Ok(pid));
                    Tracer::new(pid, dir, deed, failing).run()
                }
                Err(error) => {
                    let _ = send.send(Err(error));
                    Seen::default()
                }
            };
            over.store(true, Ordering::SeqCst);
            seen
        });
        let pid = receive.recv().map_err(std::io::Error::other)??;
        Ok(Self { pid, ended, failed, thread: Some(thread) })
    }

    /// Whether it has ended.
    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// How many of its calls were made to fail.
    pub fn failed(&self) -> usize {
        self.failed.load(Ordering::SeqCst)
    }

    /// Asks it to end, or ends it.
    pub fn signal(&self, signal: Signal) {
        if !self.ended() {
            // It may end by itself in this very moment.
            let _ = kill(self.pid, signal);
        }
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Seen {
        self.thread.take().map(|thread| thread.join().expect("traced")).unwrap_or_default()
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Whether processes can be traced here; says so where they cannot.
pub fn works() -> bool {
    let dir = std::env::temp_dir();
    let works = Traced::start(Command::new("true"), &dir, Deed::Watch).map(|traced| traced.wait().code == Some(0));
    if matches!(works, Ok(true)) {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "ptrace is needed for this test: {works:?}");
    eprintln!("skipped: no process can be traced here (ptrace): {works:?}");
    false
}

/// Starts the command behind a shell that waits until it is traced, and traces it.
fn attach(command: Command) -> std::io::Result<Pid> {
    let mut shell = Command::new("sh");
    shell.args(["-c", "read -r go && exec \"$@\" </dev/null", "sh"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    let log = command.get_envs().find(|(name, _)| *name == "CRASH_LOG").and_then(|(_, value)| value).map(PathBuf::from);
    let log = std::fs::File::options().create(true).append(true).open(log.unwrap_or_else(|| PathBuf::from("/dev/null")))?;
    let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).spawn()?;
    let pid = Pid::from_raw(i32::try_from(child.id()).map_err(std::io::Error::other)?);
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL;
    if let Err(error) = ptrace::seize(pid, options) {
        child.kill()?;
        child.wait()?;
        return Err(error.into());
    }
    std::io::Write::write_all(&mut child.stdin.take().ok_or_else(|| std::io::Error::other("no pipe"))?, b"go\n")?;
    Ok(pid)
}

struct Tracer {
    pid: Pid,
    dir: PathBuf,
    deed: Deed,
    seen: Seen,
    failed: Arc<AtomicUsize>,
    /// The program itself runs, no longer the shell.
    begun: bool,
    /// Sockets that the control socket has accepted.
    accepted: BTreeSet<u64>,
    /// Calls under way, by thread, with what is done when they return.
    under_way: BTreeMap<i32, After>,
}

/// What is done when a call returns.
enum After {
    Accepted,
    Synced(String),
    Fail(i32),
    Nothing,
}

impl Tracer {
    fn new(pid: Pid, dir: PathBuf, deed: Deed, failed: Arc<AtomicUsize>) -> Self {
        let (seen, accepted, under_way) = (Seen::default(), BTreeSet::new(), BTreeMap::new());
        Self { pid, dir, deed, seen, failed, begun: false, accepted, under_way }
    }

    fn run(mut self) -> Seen {
        // Only what this thread traces: other tests have processes of their own.
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            let status = match waitpid(None, Some(flags)) {
                Ok(status) => status,
                Err(nix::errno::Errno::EINTR) => continue,
                Err(_) => return self.seen,
            };
            match status {
                WaitStatus::Exited(pid, code) if pid == self.pid => {
                    self.seen.code = Some(code);
                    return self.seen;
                }
                WaitStatus::Signaled(pid, ..) if pid == self.pid => return self.seen,
                WaitStatus::PtraceEvent(pid, _, event) => {
                    if event == libc::PTRACE_EVENT_EXEC {
                        self.begun = true;
                        self.under_way.clear();
                    }
                    go_on(pid, None);
                }
                WaitStatus::PtraceSyscall(pid) => {
                    self.syscall(pid);
                    go_on(pid, None);
                }
                WaitStatus::Stopped(pid, signal) => go_on(pid, Some(signal)),
                _ => {}
            }
        }
    }

    fn syscall(&mut self, thread: Pid) {
        let Ok(mut regs) = ptrace::getregs(thread) else { return };
        if regs.rax.cast_signed() != -i64::from(libc::ENOSYS) {
            match self.under_way.remove(&thread.as_raw()) {
                Some(After::Accepted) => {
                    if let Ok(fd) = u64::try_from(regs.rax.cast_signed()) {
                        self.accepted.insert(fd);
                    }
                }
                Some(After::Synced(name)) if regs.rax == 0 => self.keep(&name),
                Some(After::Fail(error)) => {
                    regs.rax = (-i64::from(error)).cast_unsigned();
                    // A thread that is gone needs no answer.
                    let _ = ptrace::setregs(thread, regs);
                }
                _ => {}
            }
            return;
        }
        if !self.begun || self.seen.killed {
            return;
        }
        let (after, point) = self.entered(&regs);
        let mut after = after;
        if let Some(point) = point {
            self.seen.points.push(point);
            let at = self.seen.points.len();
            match &self.deed {
                Deed::Kill(when) if at == *when => {
                    self.seen.killed = true;
                    let _ = kill(self.pid, Signal::SIGKILL);
                }
                Deed::Disk { from, error, bad } if at >= *from && bad.load(Ordering::SeqCst) => {
                    let point = &self.seen.points[at - 1];
                    if point.on.starts_with("ledger.db") && WRITES.contains(&point.call) {
                        self.failed.fetch_add(1, Ordering::SeqCst);
                        regs.orig_rax = u64::MAX;
                        if ptrace::setregs(thread, regs).is_ok() {
                            after = After::Fail(*error);
                        }
                    }
                }
                _ => {}
            }
        }
        if !matches!(after, After::Nothing) {
            self.under_way.insert(thread.as_raw(), after);
        }
    }

    /// A call that begins: what is to be done when it returns, and the point it is.
    fn entered(&mut self, regs: &libc::user_regs_struct) -> (After, Option<Point>) {
        let number = regs.orig_rax.cast_signed();
        if number == libc::SYS_accept4 || number == libc::SYS_accept {
            return (After::Accepted, None);
        }
        if number == libc::SYS_close {
            self.accepted.remove(&regs.rdi);
            return (After::Nothing, None);
        }
        let creates = number == libc::SYS_openat && regs.rdx & u64::from(libc::O_CREAT.cast_unsigned()) != 0;
        if creates {
            return (After::Nothing, Some(Point { call: "openat", on: String::from("create") }));
        }
        if let Some((_, call)) = BY_PATH.iter().find(|(known, _)| *known == number) {
            return (After::Nothing, Some(Point { call, on: String::from("a path") }));
        }
        let Some((_, call)) = BY_FD.iter().find(|(known, _)| *known == number) else { return (After::Nothing, None) };
        let Some(on) = self.named(regs.rdi) else { return (After::Nothing, None) };
        let after = if call.ends_with("sync") { After::Synced(on.clone()) } else { After::Nothing };
        (after, Some(Point { call, on }))
    }

    /// What a descriptor is; `None` where calls on it tell nobody anything.
    fn named(&self, fd: u64) -> Option<String> {
        let link = std::fs::read_link(format!("/proc/{}/fd/{fd}", self.pid)).ok()?;
        let text = link.to_string_lossy();
        if text.starts_with("socket:") {
            return (!self.accepted.contains(&fd)).then(|| String::from("socket"));
        }
        let inside = link.strip_prefix(&self.dir).ok()?;
        match inside.to_string_lossy().as_ref() {
            "log" => None,
            "" => Some(String::from(".")),
            // Temporary names differ from run to run.
            name if name.starts_with("ledger.db") || name == "app.env" => Some(name.to_owned()),
            _ => Some(String::from("file")),
        }
    }

    /// What is durable now outlives a power cut; the barrier on a directory makes the names in it durable.
    fn keep(&self, name: &str) {
        let names: &[&str] = if name == "." { &["app.env", "ledger.db", "ledger.db-wal"] } else { &[name] };
        for name in names {
            let (from, to) = (self.dir.join(name), self.dir.join("durable").join(name));
            // A directory's barrier says nothing about the content of a file that is there already.
            if from.exists() && (names.len() == 1 || *name == "app.env" || !to.exists()) {
                let _ = std::fs::copy(from, to);
            }
        }
    }
}

/// Lets a thread go on to its next call.
fn go_on(thread: Pid, signal: Option<Signal>) {
    // A thread that was killed meanwhile does not go on.
    let _ = ptrace::syscall(thread, signal);
}

/// Calls on a descriptor that are points.
const BY_FD: [(i64, &str); 14] = [
    (libc::SYS_write, "write"),
    (libc::SYS_writev, "writev"),
    (libc::SYS_pwrite64, "pwrite64"),
    (libc::SYS_pwritev, "pwritev"),
    (libc::SYS_fdatasync, "fdatasync"),
    (libc::SYS_fsync, "fsync"),
    (libc::SYS_ftruncate, "ftruncate"),
    (libc::SYS_fallocate, "fallocate"),
    (libc::SYS_sendto, "sendto"),
    (libc::SYS_sendmsg, "sendmsg"),
    (libc::SYS_recvfrom, "recvfrom"),
    (libc::SYS_recvmsg, "recvmsg"),
    (libc::SYS_connect, "connect"),
    (libc::SYS_shutdown, "shutdown"),
];
/// Calls on paths that are points.
const BY_PATH: [(i64, &str); 8] = [
    (libc::SYS_rename, "rename"),
    (libc::SYS_renameat, "renameat"),
    (libc::SYS_renameat2, "renameat2"),
    (libc::SYS_link, "link"),
    (libc::SYS_linkat, "linkat"),
    (libc::SYS_unlink, "unlink"),
    (libc::SYS_unlinkat, "unlinkat"),
    (libc::SYS_mkdir, "mkdir"),
];
/// Calls that a disk can refuse.
const WRITES: [&str; 7] = ["write", "writev", "pwrite64", "pwritev", "fdatasync", "fsync", "fallocate"];
