//! One program: whether it could be started, and how it is run.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use cutover_api::{Cause, Class, Outcome, Refusal, unread};
use rustix::fs::Access;
use tokio::process::Command;

use crate::group::Group;

/// The search path a program is given, for what it starts itself.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// No variable that tells a program something is longer than this.
const LONGEST_VALUE: usize = 4096;

/// A program as it stands in the configuration.
#[derive(Debug)]
pub(crate) struct Program {
    /// Its name in outcomes: `redeploy 1`.
    pub(crate) step: String,
    /// The program's absolute path and its arguments; never empty.
    pub(crate) argv: Vec<String>,
    /// What `env` adds.
    pub(crate) env: BTreeMap<String, String>,
    /// Where it runs.
    pub(crate) dir: PathBuf,
    /// How long it may run.
    pub(crate) timeout: Duration,
    /// How long its group may take to end after that.
    pub(crate) kill_grace: Duration,
}

impl Program {
    /// The longest that [`Program::run`] takes.
    pub(crate) fn deadline(&self) -> Duration {
        self.timeout.saturating_add(self.kill_grace)
    }

    /// Whether it could be started as it stands: a regular, executable file that not everybody can replace, and its directory.
    pub(crate) async fn present(&self) -> Result<(), Refusal> {
        let (path, dir) = (PathBuf::from(self.path()), self.dir.clone());
        let found = tokio::task::spawn_blocking(move || startable(&path).and_then(|()| enterable(&dir))).await;
        let hint = match found {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(hint)) => hint,
            Err(_) => "the program could not be looked at: the daemon is shutting down".to_owned(),
        };
        Err(Refusal::new(Class::Unsent, &self.step).hint(hint))
    }

    /// Runs it to its end with `vars` in its environment. `Done` holds its exit code, whatever that is; `Refused` = it was not started;
    /// `Unknown` = it was started and ended by a signal or by its time-out.
    pub(crate) async fn run(&self, vars: &[(&str, &str)]) -> Outcome<i32> {
        if let Some((name, _)) =
            vars.iter().find(|(_, value)| value.len() > LONGEST_VALUE || value.chars().any(char::is_control))
        {
            let hint =
                format!("{name} would hold control characters or more than {LONGEST_VALUE} bytes; the program was not started");
            return Outcome::Refused(Refusal::new(Class::Unsent, &self.step).hint(hint));
        }
        if let Err(refusal) = self.present().await {
            return Outcome::Refused(refusal);
        }
        let mut child = match self.command(vars).spawn() {
            Ok(child) => child,
            Err(error) => {
                let hint = format!("{} could not be started: {}", self.path(), error.kind());
                return Outcome::Refused(Refusal::new(Class::Unsent, &self.step).hint(hint));
            }
        };
        // Declared after the child, so dropped before it: the group is ended while its leader still holds its number.
        let mut group = Group::led_by(&child);
        tracing::debug!(step = self.step, "program started");
        if let Ok(waited) = tokio::time::timeout(self.timeout, child.wait()).await {
            group.let_go();
            return self.judge(waited);
        }
        group.ask_to_end();
        // The leader is not waited for in between, so that the group's number stays ours until everything in it is ended.
        tokio::time::sleep(self.kill_grace).await;
        group.end();
        let hint = format!("it did not end within {:?} and was stopped; it may have worked", self.timeout);
        Outcome::Unknown(Cause::new(&self.step, "timeout").hint(hint))
    }

    fn path(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }

    fn command(&self, vars: &[(&str, &str)]) -> Command {
        let mut command = Command::new(self.path());
        command
            .args(self.argv.iter().skip(1))
            .current_dir(&self.dir)
            .env_clear()
            .env("PATH", PATH)
            .env("LANG", "C.UTF-8")
            .envs(&self.env)
            .envs(vars.iter().copied())
            .stdin(Stdio::null())
            // Not pipes: nobody may see the output, a program left running must not die of a closed pipe, and none can fill up.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    fn judge(&self, waited: std::io::Result<ExitStatus>) -> Outcome<i32> {
        let status = match waited {
            Ok(status) => status,
            Err(error) => {
                let hint = format!("how it ended could not be read ({}); it may have worked", error.kind());
                return Outcome::Unknown(Cause::new(&self.step, "crash").hint(hint));
            }
        };
        tracing::debug!(step = self.step, code = status.code(), signal = status.signal(), "program ended");
        match status.code() {
            Some(code) => Outcome::Done(code),
            None => {
                let hint = format!("it was ended by signal {}; it may have worked", status.signal().unwrap_or_default());
                Outcome::Unknown(Cause::new(&self.step, "killed").hint(hint))
            }
        }
    }
}

/// Why the program at `path` cannot or must not be started.
fn startable(path: &Path) -> Result<(), String> {
    let shown = path.display();
    // The same place the kernel will find, links followed.
    let real = path.canonicalize().map_err(|error| unread(path, &error, "install the program, or correct `run`"))?;
    let meta = real.metadata().map_err(|error| format!("{shown} cannot be looked at ({})", error.kind()))?;
    if !meta.is_file() {
        return Err(format!("{shown} is not a regular file; correct `run`"));
    }
    if meta.permissions().mode() & 0o002 != 0 {
        return Err(format!("everybody may write to {shown}; chmod o-w it"));
    }
    rustix::fs::access(&real, Access::EXEC_OK).map_err(|_| format!("{shown} may not be executed by this user; chmod +x it"))?;
    for dir in real.ancestors().skip(1) {
        let mode = dir
            .metadata()
            .map_err(|error| format!("{} cannot be looked at ({})", dir.display(), error.kind()))?
            .permissions()
            .mode();
        if mode & 0o002 != 0 && mode & 0o1000 == 0 {
            return Err(format!("everybody may replace {shown}: chmod o-w {}", dir.display()));
        }
    }
    Ok(())
}

/// Why a program cannot be started in `dir`.
fn enterable(dir: &Path) -> Result<(), String> {
    let shown = dir.display();
    match dir.metadata() {
        Ok(meta) if !meta.is_dir() => Err(format!("{shown} is not a directory; correct `dir`")),
        Ok(_) => {
            rustix::fs::access(dir, Access::EXEC_OK).map_err(|_| format!("{shown} may not be entered by this user; chmod it"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(format!("there is no directory {shown}: make it, or correct `dir`"))
        }
        Err(error) => Err(unread(dir, &error, "")),
    }
}
