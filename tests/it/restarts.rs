//! The real binary: who waits and who watches goes on over restarts of the daemon, and a daemon that hangs keeps nobody beyond their time.

use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use cutover::engine::WallClock;
use cutover_api::{Secret, Stamp};
use cutover_fake::Bondi;
use cutover_ledger::{SealKeys, SqliteLedger};
use rustix::process::{Pid, Signal, kill_process};

/// One policy that waits for a person once its key is deployed.
struct Desk {
    dir: tempfile::TempDir,
    _bondi: Bondi,
}

/// A process that is not left behind by a test that fails.
struct Running(Child);

impl Running {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("told");
    }

    async fn ended(mut self) -> Option<i32> {
        let wait = tokio::task::spawn_blocking(move || self.0.wait());
        wait.await.expect("joined").expect("waited").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A stopped process is woken first, or it would not be gone.
        let _ = kill_process(Pid::from_child(&self.0), Signal::CONT);
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Desk {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let bondi = Bondi::start(WallClock::real()).await;
        let (_, old) = bondi.seed("ws_1", "my-crm");
        let desk = Self { dir, _bondi: bondi };
        let key = desk.command(&["keygen"]).output().expect("run");
        desk.write("seal", &String::from_utf8_lossy(&key.stdout));
        desk.write("app.env", &format!("TOKEN={}\n", old.expose()));
        desk.write("session", desk._bondi.session().expose());
        let dir = desk.dir.path().display();
        let config = format!(
            "[daemon]\nname = \"test\"\nledger = \"sqlite:{dir}/ledger.db\"\nseal = {{ file = \"{dir}/seal\" }}\nlisten = \"\"\n\
             control = \"{dir}/control.sock\"\n[store.app]\nkind = \"file\"\nroot = \"{dir}\"\n\
             [notify.ops]\nkind = \"command-that-is-not\"\n\
             [provider.bondi]\nbase_url = \"{base}\"\ncredential = {{ file = \"{dir}/session\" }}\n\
             [policy.crm]\nprovider = \"bondi\"\ncadence = \"1y\"\nparams = {{ workspace = \"ws_1\", slug = \"my-crm\" }}\n\
             [[policy.crm.target]]\nstore = \"app\"\npath = \"app.env\"\nfields = {{ TOKEN = \"{{{{ new.secret }}}}\" }}\n",
            base = desk._bondi.base_url(),
        );
        // The preflight asks for a channel that takes a login: a receiver that accepts everything.
        let receiver = receiver().await;
        let channel = format!("kind = \"webhook\"\nrequest = \"POST http://127.0.0.1:{receiver}/alert\"");
        desk.write("cutover.toml", &config.replace("kind = \"command-that-is-not\"", &channel));
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cutover"));
        command.args(arguments).env("CUTOVER_CONFIG", self.path("cutover.toml")).stdin(Stdio::null());
        command
    }

    async fn verb(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || command.output()).await.expect("joined").expect("run")
    }

    /// Starts a process whose standard error is kept under this name.
    fn start(&self, arguments: &[&str], name: &str) -> Running {
        let log = std::fs::File::options().create(true).append(true).open(self.path(name)).expect("a file");
        Running(self.command(arguments).stdout(Stdio::null()).stderr(log).spawn().expect("started"))
    }

    /// Starts the daemon and waits until its socket answers.
    async fn daemon(&self) -> Running {
        let daemon = self.start(&["run"], "log");
        self.until("log", || UnixStream::connect(self.path("control.sock")).is_ok()).await;
        daemon
    }

    /// Waits for a condition; shows a file where it does not come about.
    async fn until(&self, shown: &str, holds: impl Fn() -> bool) {
        let waiting = async {
            while !holds() {
                // Between two looks at the condition.
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(90), waiting).await;
        assert!(waited.is_ok(), "{shown}:\n{}\nlog:\n{}", self.read(shown), self.read("log"));
    }

    /// Waits until the file holds the words so many times.
    async fn says(&self, name: &str, words: &str, times: usize) {
        self.until(name, || self.read(name).matches(words).count() >= times).await;
    }
}

/// A receiver of alerts.
async fn receiver() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let app = axum::Router::new().route("/alert", axum::routing::post(|| async { "" }));
    tokio::spawn(async move { axum::serve(listener, app).await });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_and_who_watches_goes_on_over_restarts_of_the_daemon() {
    let desk = Desk::new().await;
    let mut daemon = desk.daemon().await;
    let waits = desk.start(&["rotate", "crm", "--wait", "--timeout", "10m"], "wait");
    let watches = desk.start(&["status", "--watch"], "watch");
    desk.says("wait", "observe", 1).await;
    for (times, signal) in [(1, Signal::KILL), (2, Signal::TERM)] {
        daemon.signal(signal);
        let code = daemon.ended().await;
        assert_eq!(code, (signal == Signal::TERM).then_some(0), "a kill has no status, a stop is no failure");
        for name in ["wait", "watch"] {
            let words = if name == "wait" { "waiting for it to come back" } else { "still watching" };
            desk.says(name, words, times).await;
        }
        daemon = desk.daemon().await;
        for name in ["wait", "watch"] {
            desk.says(name, "The daemon answers again", times).await;
        }
    }
    let confirmed = desk.verb(&["confirm", "crm", "--yes"]).await;
    let said = String::from_utf8_lossy(&confirmed.stderr).into_owned();
    assert_eq!(confirmed.status.code(), Some(0), "{said}");
    assert_eq!(waits.ended().await, Some(0), "{}", desk.read("wait"));
    watches.signal(Signal::INT);
    assert_eq!(watches.ended().await, Some(0), "{}", desk.read("watch"));
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_in_time_also_when_the_daemon_hangs() {
    let desk = Desk::new().await;
    let daemon = desk.daemon().await;
    let in_time = desk.verb(&["rotate", "crm", "--wait", "--timeout", "1s"]).await;
    assert_eq!(in_time.status.code(), Some(5), "{}", String::from_utf8_lossy(&in_time.stderr));
    let abandoned = desk.verb(&["status", "crm", "--json"]).await;
    assert!(String::from_utf8_lossy(&abandoned.stdout).contains("observe"), "the rotation goes on in the daemon");
    drop(daemon);
    // Another one, and a daemon that is stopped in the middle of the wait.
    let desk = Desk::new().await;
    let daemon = desk.daemon().await;
    let waits = desk.start(&["rotate", "crm", "--wait", "--timeout", "4s"], "wait");
    desk.says("wait", "observe", 1).await;
    daemon.signal(Signal::STOP);
    assert_eq!(waits.ended().await, Some(5), "{}", desk.read("wait"));
    daemon.signal(Signal::CONT);
}

/// Where the tests run as root: a user outside the group is refused, and told why.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_outside_the_group_is_refused_by_a_guard() {
    use std::os::unix::fs::PermissionsExt as _;
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let desk = Desk::new().await;
    let daemon = desk.daemon().await;
    // The way to the socket is open to all, so that only the socket itself refuses; so is a copy of the program.
    std::fs::set_permissions(desk.dir.path(), std::fs::Permissions::from_mode(0o755)).expect("set");
    std::fs::copy(env!("CARGO_BIN_EXE_cutover"), desk.path("cutover")).expect("copied");
    let mut command = Command::new(desk.path("cutover"));
    command.args(["status"]).env("CUTOVER_CONFIG", desk.path("cutover.toml")).current_dir("/").uid(65_534).gid(65_534);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("joined").expect("run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("be root or in group cutover"), "{said}");
    drop(daemon);
}

/// Regression: a verb that looked into the ledger in the moment of the daemon's start made it end with `ledger-locked`; and a verb in the
/// moment before the daemon's socket was there was refused. Each waits for the other now.
#[tokio::test(flavor = "multi_thread")]
async fn a_verb_that_has_the_ledger_does_not_keep_the_daemon_from_starting() {
    let desk = Desk::new().await;
    let keys = SealKeys::parse(&[Secret::new(desk.read("seal"))]).expect("keys");
    let held = SqliteLedger::open(&desk.path("ledger.db"), "test", keys, 4711, Stamp(1_700_000_000_000)).await.expect("opened");
    let early = desk.start(&["status"], "early");
    let daemon = desk.start(&["run"], "log");
    desk.says("log", "process 4711 has it", 1).await;
    held.close().await.expect("closed");
    desk.says("log", "cutover runs", 1).await;
    assert_eq!(early.ended().await, Some(0), "{}", desk.read("early"));
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ended().await, Some(0));
}
