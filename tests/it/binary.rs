//! The real binary: as a daemon, told by its verbs, against the doubles, a real Vault, moto, real child processes, a real mail server.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cutover::engine::WallClock;
use cutover_api::Secret;
use cutover_fake::{Bondi, CallKind, Calling, Consumer, Fault, How, Keys, Plana, Restarter, Wrapd};

use crate::servers::{self, Server};

const PACE: Option<Duration> = Some(Duration::from_millis(2));

/// A directory with everything one daemon needs.
pub struct Desk {
    pub dir: tempfile::TempDir,
    pub clock: Arc<WallClock>,
}

/// Where the application reads its key.
pub enum Place {
    File,
    Vault(Server),
    Aws(Server),
}

impl Desk {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("providers")).expect("made");
        let desk = Self { dir, clock: WallClock::real() };
        let key = desk.cutover(&["keygen"]);
        assert!(key.status.success(), "{}", String::from_utf8_lossy(&key.stderr));
        desk.write("seal", &String::from_utf8_lossy(&key.stdout));
        desk
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    /// The program with this desk's configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cutover"));
        command
            .args(arguments)
            .env("CUTOVER_CONFIG", self.path("cutover.toml"))
            .env("CUTOVER_PROVIDERS", self.path("providers"))
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .stdin(Stdio::null());
        command
    }

    /// Runs a verb to its end.
    pub fn cutover(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("run")
    }

    /// Runs a verb without holding up the doubles that live in this process.
    pub async fn verb(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || command.output()).await.expect("joined").expect("run")
    }

    /// Starts the daemon and waits until it answers.
    pub async fn daemon(&self) -> Daemon {
        let log = std::fs::File::options().create(true).append(true).open(self.path("log")).expect("a log");
        let child = self.command(&["run"]).stdout(Stdio::null()).stderr(log).spawn().expect("started");
        let daemon = Daemon(child);
        for _ in 0..200 {
            if self.verb(&["status", "--json"]).await.status.code() != Some(1) && self.path("control.sock").exists() {
                return daemon;
            }
            tokio::task::yield_now().await;
        }
        panic!("the daemon does not answer:\n{}", self.log());
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The head of every configuration, with the store for `place`.
    pub fn head(&self, place: &Place) -> String {
        let dir = self.dir.path().display();
        let store = match place {
            Place::File => format!("[store.app]\nkind = \"file\"\nroot = \"{dir}\"\n"),
            Place::Vault(server) => {
                self.write("vault-token", "root");
                format!(
                    "[store.app]\nkind = \"vault\"\naddress = \"http://127.0.0.1:{}\"\nauth = {{ method = \"token\", token = {{ file = \"{dir}/vault-token\" }} }}\n",
                    server.port
                )
            }
            Place::Aws(server) => format!(
                "[store.app]\nkind = \"aws-secrets-manager\"\nregion = \"eu-central-1\"\nendpoint_url = \"http://127.0.0.1:{}\"\n",
                server.port
            ),
        };
        format!(
            "[daemon]\nname = \"test\"\nledger = \"sqlite:{dir}/ledger.db\"\nseal = {{ file = \"{dir}/seal\" }}\nlisten = \"\"\n\
             control = \"{dir}/control.sock\"\n{store}"
        )
    }

    /// A real program that makes the application restart: it knocks at the consumer's door and waits for the answer.
    fn hook(&self, port: u16) -> String {
        use std::os::unix::fs::PermissionsExt;
        let script = format!(
            "#!/bin/bash\nexec 3<>/dev/tcp/127.0.0.1/{port}\nprintf 'POST /deploy HTTP/1.0\\r\\nContent-Length: 0\\r\\n\\r\\n' >&3\ngrep -q ' 200 ' <&3\n"
        );
        self.write("deploy", &script);
        std::fs::set_permissions(self.path("deploy"), std::fs::Permissions::from_mode(0o755)).expect("executable");
        self.path("deploy").display().to_string()
    }

    /// The shipped definition with the times of a test: a last use is told to the second.
    pub fn quick_plana(&self) {
        let shipped = include_str!("../../plugins/providers/plana.toml");
        let quick = shipped.replace("granularity = \"1m\", lag = \"1m\"", "granularity = \"1s\", lag = \"1s\"");
        assert_ne!(shipped, quick, "the definition has changed: change this too");
        self.write("providers/plana.toml", &quick);
    }
}

pub struct Daemon(Child);

impl Daemon {
    pub async fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("told");
        let status = tokio::task::spawn_blocking(move || Self::wait(&mut self)).await.expect("joined").expect("waited");
        assert!(status.success(), "a stop is no failure: {status}");
    }

    fn wait(&mut self) -> std::io::Result<std::process::ExitStatus> {
        self.0.wait()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // A test that failed leaves no daemon behind.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A door at which the hook knocks.
async fn door(restarter: Restarter) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let app = axum::Router::new().route(
        "/deploy",
        axum::routing::post(move || {
            let restarter = restarter.clone();
            async move { restarter.restart() }
        }),
    );
    tokio::spawn(async move { axum::serve(listener, app).await });
    port
}

/// The store with the old key in it, and how the application reads it.
fn place(
    kind: &str,
    desk: &Desk,
    field: &'static str,
    old: &Secret,
    during: Option<&'static str>,
) -> Option<(Place, &'static str, Keys)> {
    let pick = move |fields: &serde_json::Value| {
        let names = during.into_iter().chain([field]);
        names.filter_map(|name| fields[name].as_str().map(|value| Secret::new(value.to_owned()))).collect::<Vec<_>>()
    };
    let fields = serde_json::json!({ field: old.expose(), "OTHER": "kept" });
    Some(match kind {
        "file" => {
            desk.write("app.env", &format!("{field}={}\nOTHER=kept\n", old.expose()));
            let names: Vec<&str> = during.into_iter().chain([field]).collect();
            (Place::File, "app.env", cutover_fake::keys_in_file(desk.path("app.env"), &names))
        }
        "vault" => {
            let server = servers::vault(desk.dir.path())?;
            let port = server.port;
            servers::vault_put(port, "apps/crm", &fields);
            (Place::Vault(server), "apps/crm", Arc::new(move || pick(&servers::vault_fields(port, "apps/crm"))))
        }
        _ => {
            let server = servers::moto()?;
            let port = server.port;
            servers::aws(port, "CreateSecret", &serde_json::json!({ "Name": "apps/crm", "SecretString": fields.to_string() }));
            (Place::Aws(server), "apps/crm", Arc::new(move || pick(&servers::aws_fields(port, "apps/crm"))))
        }
    })
}

fn other_kept(place: &Place, desk: &Desk) {
    match place {
        Place::File => assert!(std::fs::read_to_string(desk.path("app.env")).expect("there").contains("OTHER=kept")),
        Place::Vault(server) => assert_eq!(servers::vault_fields(server.port, "apps/crm")["OTHER"], "kept"),
        Place::Aws(server) => assert_eq!(servers::aws_fields(server.port, "apps/crm")["OTHER"], "kept"),
    }
}

fn ended_well(output: &Output, desk: &Desk) {
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        desk.log()
    );
}

const NO_ALERTS: &str = "[notify.ops]\nkind = \"webhook\"\nrequest = \"POST http://127.0.0.1:PORT/deploy\"\n";

async fn plana(kind: &str) {
    let desk = Desk::new();
    desk.quick_plana();
    let plana = Plana::start(desk.clock.clone()).await;
    let (old_id, old) = plana.seed("Nightly stock sync (2025)", "dashboard:read");
    let Some((place, path, keys)) = place(kind, &desk, "PLANA_KEY", &old, Some("PLANA_KEY_NEW")) else { return };
    let url = format!("{}/api/v1/dashboard", plana.base_url());
    let mut consumer = Consumer::start(Calling::Bearer(url), keys, desk.clock.clone(), PACE).await.expect("a consumer");
    let port = door(consumer.restarter()).await;
    let (hook, dir) = (desk.hook(port), desk.dir.path().display());
    desk.write("session", plana.session().expose());
    let config = format!(
        "{head}{alerts}[provider.plana]\nbase_url = \"{base}\"\ncredential = {{ file = \"{dir}/session\" }}\n\
         [policy.sync]\nprovider = \"plana\"\ncadence = \"1y\"\nparams = {{ base_name = \"Nightly stock sync\" }}\n\
         grace = \"24h\"\nquiet = \"3s\"\nadopt = {{ id = \"{old_id}\" }}\n\
         [[policy.sync.target]]\nstore = \"app\"\npath = \"{path}\"\nfields = {{ PLANA_KEY = \"{{{{ new.secret }}}}\" }}\n\
         during = {{ PLANA_KEY = \"{{{{ old.secret }}}}\", PLANA_KEY_NEW = \"{{{{ new.secret }}}}\" }}\n\
         [[policy.sync.redeploy]]\nkind = \"command\"\nrun = [\"{hook}\"]\ntimeout = \"1m\"\n\
         [[policy.sync.verify]]\nkind = \"last-used\"\nevery = \"1s\"\n",
        head = desk.head(&place),
        alerts = NO_ALERTS.replace("PORT", &port.to_string()),
        base = plana.base_url(),
    );
    desk.write("cutover.toml", &config);
    ended_well(&desk.verb(&["check"]).await, &desk);
    let daemon = desk.daemon().await;
    ended_well(&desk.verb(&["check", "--online"]).await, &desk);
    ended_well(&desk.verb(&["rotate", "sync", "--wait", "--timeout", "120s"]).await, &desk);
    assert!(!plana.accepts(&old), "the old key is revoked, and seen refused");
    assert_eq!(plana.mints(), 1);
    other_kept(&place, &desk);
    consumer.more_calls(20).await;
    consumer.stop().await;
    assert_eq!(consumer.refused(), 0, "{kind}: no call was refused");
    let history = desk.verb(&["history", "sync", "--verify"]).await;
    ended_well(&history, &desk);
    daemon.stop().await;
    no_secret(&desk, &[old.expose(), plana.session().expose()]);
}

async fn bondi(kind: &str) {
    let desk = Desk::new();
    let bondi = Bondi::start(desk.clock.clone()).await;
    let (_, old) = bondi.seed("ws_1", "my-crm");
    let Some((place, path, keys)) = place(kind, &desk, "BONDI_INTEGRATION_TOKEN", &old, None) else { return };
    let url = format!("{}/integrations/custom/ws_1/my-crm/emit", bondi.base_url());
    let mut consumer = Consumer::start(Calling::Emit(url), keys, desk.clock.clone(), PACE).await.expect("a consumer");
    let port = door(consumer.restarter()).await;
    let (hook, dir) = (desk.hook(port), desk.dir.path().display());
    desk.write("session", bondi.session().expose());
    let config = format!(
        "{head}{alerts}[provider.bondi]\nbase_url = \"{base}\"\ncredential = {{ file = \"{dir}/session\" }}\n\
         [policy.crm]\nprovider = \"bondi\"\ncadence = \"1y\"\nparams = {{ workspace = \"ws_1\", slug = \"my-crm\" }}\n\
         [[policy.crm.target]]\nstore = \"app\"\npath = \"{path}\"\nfields = {{ BONDI_INTEGRATION_TOKEN = \"{{{{ new.secret }}}}\" }}\n\
         [[policy.crm.redeploy]]\nkind = \"command\"\nrun = [\"{hook}\"]\ntimeout = \"1m\"\n\
         [[policy.crm.verify]]\nkind = \"consumer\"\nrequest = \"GET {health}\"\nfingerprint = \"/fingerprints\"\nevery = \"1s\"\nfor = \"2s\"\n",
        head = desk.head(&place),
        alerts = NO_ALERTS.replace("PORT", &port.to_string()),
        base = bondi.base_url(),
        health = consumer.health_url(),
    );
    desk.write("cutover.toml", &config);
    let daemon = desk.daemon().await;
    ended_well(&desk.verb(&["rotate", "crm", "--wait", "--timeout", "120s"]).await, &desk);
    assert!(bondi.accepts(&old), "the previous token lives until the reply's time: only the provider's clock is left");
    assert_eq!(bondi.mints(), 1);
    other_kept(&place, &desk);
    consumer.more_calls(20).await;
    consumer.stop().await;
    assert_eq!(consumer.refused(), 0, "{kind}: no call was refused");
    // M3: within the open grace a second rotation would end the token in use, so it is refused.
    assert_eq!(desk.verb(&["rotate", "crm"]).await.status.code(), Some(4));
    assert_eq!(bondi.mints(), 1);
    daemon.stop().await;
    no_secret(&desk, &[old.expose(), bondi.session().expose()]);
}

async fn wrapd(kind: &str) {
    let desk = Desk::new();
    let wrapd = Wrapd::start(desk.clock.clone()).await;
    let (old_id, old) = wrapd.seed("production", &["read"]);
    let Some((place, path, keys)) = place(kind, &desk, "WRAPD_KEY", &old, None) else { return };
    let calling = Calling::Header(format!("{}/me", wrapd.base_url()), String::from("X-API-Key"));
    let mut consumer = Consumer::start(calling, keys, desk.clock.clone(), PACE).await.expect("a consumer");
    let port = door(consumer.restarter()).await;
    let (hook, dir) = (desk.hook(port), desk.dir.path().display());
    desk.write("session", wrapd.session().expose());
    let config = format!(
        "{head}{alerts}[provider.wrapd-api-key]\nbase_url = \"{base}\"\ncredential = {{ file = \"{dir}/session\" }}\n\
         [policy.api]\nprovider = \"wrapd-api-key\"\ncadence = \"1y\"\ngrace = \"5h\"\nadopt = {{ id = \"{old_id}\" }}\n\
         [[policy.api.target]]\nstore = \"app\"\npath = \"{path}\"\nfields = {{ WRAPD_KEY = \"{{{{ new.secret }}}}\" }}\n\
         [[policy.api.redeploy]]\nkind = \"command\"\nrun = [\"{hook}\"]\ntimeout = \"1m\"\n\
         [[policy.api.verify]]\nkind = \"consumer\"\nrequest = \"GET {health}\"\nfingerprint = \"/fingerprints\"\nevery = \"1s\"\n",
        head = desk.head(&place),
        alerts = NO_ALERTS.replace("PORT", &port.to_string()),
        base = wrapd.base_url(),
        health = consumer.health_url(),
    );
    desk.write("cutover.toml", &config);
    let daemon = desk.daemon().await;
    ended_well(&desk.verb(&["rotate", "api", "--wait", "--timeout", "120s"]).await, &desk);
    let rotated = wrapd.keys();
    let previous = rotated.iter().find(|key| key.id == old_id).expect("listed");
    assert!(previous.expires_at.is_some(), "5 h asked for became the 6 h on offer");
    other_kept(&place, &desk);
    consumer.more_calls(20).await;
    consumer.stop().await;
    assert_eq!(consumer.refused(), 0, "{kind}: no call was refused");
    daemon.stop().await;
    no_secret(&desk, &[old.expose(), wrapd.session().expose()]);
}

/// Promise 7: no secret in the ledger's bytes, the log, or anything else the daemon has written.
fn no_secret(desk: &Desk, secrets: &[&str]) {
    for name in ["log", "ledger.db", "ledger.db-wal"] {
        let Ok(bytes) = std::fs::read(desk.path(name)) else { continue };
        for secret in secrets {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "a secret stands in {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plana_into_a_file() {
    plana("file").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plana_into_a_real_vault() {
    plana("vault").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plana_into_secrets_manager() {
    plana("aws").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bondi_into_a_file() {
    bondi("file").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bondi_into_a_real_vault() {
    bondi("vault").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bondi_into_secrets_manager() {
    bondi("aws").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrapd_into_a_file() {
    wrapd("file").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrapd_into_a_real_vault() {
    wrapd("vault").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrapd_into_secrets_manager() {
    wrapd("aws").await;
}

/// A lost reply, told by a real mail through STARTTLS and a login; and the exit code that says a person is needed.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_is_told_by_mail() {
    let desk = Desk::new();
    let (cert, key, out) = (desk.path("cert.pem"), desk.path("key.pem"), desk.path("mails"));
    let made = rcgen::generate_simple_self_signed(vec![String::from("localhost")]).expect("a certificate");
    std::fs::write(&cert, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let Some(mail) = servers::smtp(&out, &cert, &key) else { return };
    let bondi = Bondi::start(desk.clock.clone()).await;
    let (_, old) = bondi.seed("ws_1", "my-crm");
    desk.write("app.env", &format!("TOKEN={}\n", old.expose()));
    desk.write("session", bondi.session().expose());
    desk.write("password", "hunter2");
    let dir = desk.dir.path().display();
    let config = format!(
        "{head}[notify.mail]\nkind = \"smtp\"\nhost = \"localhost\"\nport = {port}\ntls = \"starttls\"\nca = \"{cert}\"\n\
         from = \"cutover@example.com\"\nto = [\"ops@example.com\"]\nusername = \"cutover\"\npassword = {{ file = \"{dir}/password\" }}\n\
         [provider.bondi]\nbase_url = \"{base}\"\ncredential = {{ file = \"{dir}/session\" }}\n\
         [policy.crm]\nprovider = \"bondi\"\ncadence = \"1y\"\nparams = {{ workspace = \"ws_1\", slug = \"my-crm\" }}\n\
         [[policy.crm.target]]\nstore = \"app\"\npath = \"app.env\"\nfields = {{ TOKEN = \"{{{{ new.secret }}}}\" }}\n",
        head = desk.head(&Place::File),
        port = mail.port,
        cert = cert.display(),
        base = bondi.base_url(),
    );
    desk.write("cutover.toml", &config);
    bondi.fail(Fault::once(CallKind::Mint, How::LoseReply));
    let daemon = desk.daemon().await;
    // The mint's deadline must have passed before anything is decided: about half a minute, waited for.
    let held = desk.verb(&["rotate", "crm", "--wait", "--timeout", "120s"]).await;
    assert_eq!(held.status.code(), Some(3), "{}{}", String::from_utf8_lossy(&held.stderr), desk.log());
    assert_eq!(bondi.mints(), 1);
    let mut mails = String::new();
    for _ in 0..2_000 {
        mails = std::fs::read_to_string(&out).unwrap_or_default();
        if mails.contains("--mint-again") {
            break;
        }
        desk.verb(&["status", "--json"]).await;
    }
    assert!(mails.contains("--mint-again"), "{mails}\n{}", desk.log());
    assert!(mails.contains("\"tls\": true") && mails.contains("\"login\": true"), "{mails}");
    assert!(!mails.contains(old.expose()));
    assert_eq!(desk.verb(&["status"]).await.status.code(), Some(3));
    daemon.stop().await;
}

/// M16: a second process is refused, with the first one's pid.
#[tokio::test(flavor = "multi_thread")]
async fn m16_a_second_daemon_is_refused_with_the_pid_of_the_first() {
    let desk = Desk::new();
    desk.write("app.env", "TOKEN=x\n");
    desk.write("cutover.toml", &desk.head(&Place::File));
    let daemon = desk.daemon().await;
    let second = desk.verb(&["run"]).await;
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains(&daemon.0.id().to_string()), "{said}");
    daemon.stop().await;
}

/// Bad input: refused before anything happens, all problems at once, each with file, line and key.
#[test]
fn bad_configuration_is_refused_with_every_problem() {
    let desk = Desk::new();
    let head = desk.head(&Place::File);
    let bad = format!(
        "{head}[provider.bondi]\ncredential = \"in-clear\"\n[policy.crm]\nprovider = \"bondi\"\ncadance = \"1y\"\ngrace = \"1s\"\n"
    );
    desk.write("cutover.toml", &bad);
    for verb in ["check", "run"] {
        let output = desk.cutover(&[verb]);
        assert_eq!(output.status.code(), Some(2), "{verb}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        for part in ["cadance", "credential", "in clear", "cutover.toml:"] {
            assert!(said.contains(part), "{verb}: {part} is missing in\n{said}");
        }
        assert!(!said.contains("in-clear"), "the value itself is never shown:\n{said}");
    }
    assert!(!Path::new(&desk.path("ledger.db")).exists(), "nothing was touched");
}
