//! The real daemon, seen from outside.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use crate::client::{Reply, over_unix};

/// A daemon with one quiet policy, and its directory.
struct Desk {
    dir: tempfile::TempDir,
    child: Option<Child>,
}

impl Desk {
    /// Writes the configuration; `listen` may name the directory as `DIR`.
    fn new(listen: &str) -> Self {
        let desk = Self { dir: tempfile::tempdir().expect("a directory"), child: None };
        let key = desk.command(&["keygen"]).output().expect("run");
        std::fs::write(desk.path("seal"), key.stdout).expect("written");
        std::fs::write(desk.path("app.env"), "PLANA_KEY=pk_old\n").expect("written");
        desk.configure(listen, "");
        desk
    }

    fn configure(&self, listen: &str, more: &str) {
        let dir = self.dir.path().display().to_string();
        let text = format!(
            "[daemon]\nname = \"test\"\nledger = \"sqlite:{dir}/ledger.db\"\nseal = {{ file = \"{dir}/seal\" }}\n\
             listen = \"{}\"\ncontrol = \"{dir}/control.sock\"\n{more}\
             [notify.ops]\nkind = \"webhook\"\nrequest = \"POST http://127.0.0.1:9/alert\"\n\
             [store.app]\nkind = \"file\"\nroot = \"{dir}\"\n\
             [provider.plana]\ncredential = {{ file = \"{dir}/session\" }}\n\
             [policy.sync]\nprovider = \"plana\"\ncadence = \"1y\"\nparams = {{ base_name = \"Sync\" }}\ntimezone = \"Europe/Berlin\"\n\
             [[policy.sync.target]]\nstore = \"app\"\npath = \"app.env\"\nfields = {{ PLANA_KEY = \"{{{{ new.secret }}}}\" }}\n",
            listen.replace("DIR", &dir)
        );
        std::fs::write(self.path("cutover.toml"), text).expect("written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cutover"));
        command.args(arguments).env("CUTOVER_CONFIG", self.path("cutover.toml")).env("NO_COLOR", "1").stdin(Stdio::null());
        command
    }

    async fn verb(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || command.output()).await.expect("joined").expect("run")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Starts the daemon and waits until its log says so.
    async fn start(&mut self, says: &str) {
        let log = std::fs::File::create(self.path("log")).expect("a log");
        self.child = Some(self.command(&["run"]).stdout(Stdio::null()).stderr(log).spawn().expect("started"));
        self.until(says).await;
    }

    async fn until(&self, says: &str) {
        for _ in 0..2_000 {
            if self.log().contains(says) {
                return;
            }
            self.verb(&["--version"]).await;
        }
        panic!("the log never says {says}:\n{}", self.log());
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let child = self.child.as_ref().expect("started");
        rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).expect("told");
    }

    /// Waits until an answer, which may be a second old, says so.
    async fn shows(&self, path: &str, says: &str) {
        for _ in 0..10_000 {
            if self.web(path).await.body.contains(says) {
                return;
            }
        }
        panic!("{path} never says {says}:\n{}", self.log());
    }

    async fn web(&self, path: &str) -> Reply {
        over_unix(&self.path("web.sock"), &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // A test that failed leaves no daemon behind.
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

const READY: &str = "seen from outside";

#[tokio::test]
async fn the_daemon_shows_itself_and_ends_cleanly() {
    let mut desk = Desk::new("unix:DIR/web.sock");
    assert_eq!(desk.verb(&["check"]).await.status.code(), Some(0));
    desk.start(READY).await;
    let page = desk.web("/").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<h1>Nothing is under way</h1>") && page.body.contains("sync"), "{}", page.body);
    let policy = desk.web("/policy/sync").await.body;
    assert!(policy.contains("app:app.env") && policy.contains("policy-loaded"), "{policy}");
    assert!(policy.contains(" CET</li>") || policy.contains(" CEST</li>"), "dates in the policy's zone: {policy}");
    let metrics = desk.web("/metrics").await.body;
    assert!(metrics.contains("cutover_policies 1\n") && metrics.contains("cutover_config_last_load_successful 1\n"));
    assert_eq!(desk.web("/healthz").await.body, "ok\n");
    assert!(!format!("{}{policy}{metrics}", page.body).contains("pk_old"), "no value is shown");

    // A reload that is refused is seen; one that changes `listen` is told.
    desk.configure("unix:DIR/web.sock", "cadense = 1\n");
    desk.signal(rustix::process::Signal::HUP);
    desk.until("the one before stays in force").await;
    desk.until("reload:").await;
    desk.shows("/", "cadense").await;
    desk.shows("/metrics", "cutover_config_failed_loads_total 1\n").await;
    desk.configure("", "");
    desk.signal(rustix::process::Signal::HUP);
    desk.until("[daemon] listen has changed: it acts at the next start").await;
    assert_eq!(desk.web("/healthz").await.status, 200);

    desk.signal(rustix::process::Signal::TERM);
    let mut child = desk.child.take().expect("started");
    let status = tokio::task::spawn_blocking(move || child.wait()).await.expect("joined").expect("waited");
    assert!(status.success(), "{status}\n{}", desk.log());
    assert!(!desk.path("web.sock").exists(), "the socket goes with its daemon");
}

#[tokio::test]
async fn a_taken_port_is_told_and_rotations_go_on_without_it() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut desk = Desk::new(&taken.local_addr().expect("bound").to_string());
    desk.start("another program has this port").await;
    assert!(desk.log().contains("rotations go on without them"), "{}", desk.log());
    desk.until("cutover runs").await;
    assert_eq!(desk.verb(&["status"]).await.status.code(), Some(0));
}

#[tokio::test]
async fn an_address_that_others_reach_is_noted_by_check() {
    let desk = Desk::new("0.0.0.0:9464");
    let output = desk.verb(&["check"]).await;
    assert_eq!(output.status.code(), Some(0));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("daemon.listen: is not on loopback"), "{said}");
}
