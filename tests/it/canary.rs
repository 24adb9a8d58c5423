//! No secret anywhere: canaries go through every path of the real binary, with other sides that throw back whatever they are given, and
//! everything that comes out is searched for them in every form that programs write.

mod mirror;
mod sinks;

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::binary::{Desk, Place};
use mirror::{Mirror, canary};
use sinks::{Canaries, Sinks};

/// What the other side does, by the name of the policy.
const CASES: [&str; 16] = [
    "ok",
    "html500",
    "html200",
    "redirect",
    "header",
    "cut",
    "err400",
    "bytes",
    "huge",
    "nokey",
    "login401",
    "revoke500",
    "probe500",
    "hookfail",
    "vaulterr",
    "samekey",
];

/// A provider as far as it is needed, with times of a test.
const DEFINITION: &str = r#"
name = "mirror"
about = "throws everything back"
source = "https://example.com/none"
checked = "2026-11-21"
lifecycle = "overlap"
base_url = "https://example.com"
params = { case = "required" }
[declares]
re_rotate = "keeps-all"
list = "by-time"
list_lag = "0s"
negative_probe = "allowed"
settle = "1s"
secret = { prefix = "ck_", min_length = 30 }
[auth]
bearer = "{{ credential }}"
[issue]
timeout = "2s"
request = "POST /{{ params.case }}/keys"
json = { name = "{{ rotation.name_suffix }}" }
expect = { status = [200, 201] }
extract = { "new.id" = "/id", "new.secret" = "/key" }
[list]
request = "GET /{{ params.case }}/keys"
rows = ""
row = { id = "/id", name = "/name", created_at = "/createdAt" }
[revoke]
request = "DELETE /{{ params.case }}/keys/{{ key.id }}"
reply = "text"
[probe]
request = "GET /{{ params.case }}/me"
auth = { bearer = "{{ key.secret }}" }
reply = "text"
accepted = { status = [200] }
refused = { status = [401] }
"#;

/// Notes what a program of the daemon's is given, says aloud what it deploys, and fails where it is to fail.
const HOOK: &str = r#"#!/bin/bash
here=$(dirname "$0")
{ tr '\0' '\n' < /proc/$$/environ; tr '\0' ' ' < /proc/$$/cmdline; tr '\0' ' ' < /proc/$PPID/cmdline; } >> "$here/given.$CUTOVER_POLICY"
cat "$here/$CUTOVER_POLICY.env"; cat "$here/$CUTOVER_POLICY.env" >&2
[[ $CUTOVER_POLICY != hookfail ]]
"#;

fn policy(case: &str, port: u16, dir: &str) -> String {
    let store = if case == "vaulterr" { "vault" } else { "app" };
    let path = if case == "vaulterr" { String::from("app") } else { format!("{case}.env") };
    format!(
        "[policy.{case}]\nprovider = \"mirror\"\nparams = {{ case = \"{case}\" }}\ncadence = \"1y\"\nquiet = \"1s\"\n\
         [[policy.{case}.target]]\nstore = \"{store}\"\npath = \"{path}\"\nfields = {{ KEY = \"{{{{ new.secret }}}}\" }}\n\
         [[policy.{case}.redeploy]]\nkind = \"command\"\nrun = [\"{dir}/hook\"]\ntimeout = \"20s\"\n\
         [[policy.{case}.redeploy]]\nkind = \"http\"\nrequest = \"POST http://127.0.0.1:{port}/deploy\"\ntimeout = \"20s\"\n\
         credential = {{ file = \"{dir}/hook.token\" }}\nauth = {{ bearer = \"{{{{ credential }}}}\" }}\n\
         [[policy.{case}.verify]]\nkind = \"consumer\"\nrequest = \"GET http://127.0.0.1:{port}/health/{case}\"\n\
         fingerprint = \"/fingerprint\"\nevery = \"1s\"\n"
    )
}

/// The daemon at its most talkative.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

async fn json(desk: &Desk, verb: &[&str]) -> Value {
    let output = desk.verb(verb).await;
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

/// Waits until nothing moves any more without a person, or is tried again only later.
async fn at_rest(desk: &Desk) {
    let resting = |policy: &Value| {
        // These are tried again and again.
        let trying = [("vaulterr", "stage"), ("hookfail", "deploy"), ("err400", "mint")];
        policy["phase"] == "idle"
            || !policy["held"].is_null()
            || trying.iter().any(|(name, phase)| policy["policy"] == *name && policy["phase"] == *phase)
    };
    let waiting = async {
        loop {
            let status = json(desk, &["status", "--json"]).await;
            let policies = status["policies"].as_array().cloned().unwrap_or_default();
            if policies.len() == CASES.len() && policies.iter().all(resting) {
                return;
            }
        }
    };
    if tokio::time::timeout(Duration::from_secs(120), waiting).await.is_err() {
        panic!("{:#}\n{}", json(desk, &["status", "--json"]).await, desk.log());
    }
}

/// Everything a person or a program can ask for.
async fn ask_everything(desk: &Desk, sinks: &mut Sinks, port: u16) {
    let copy = format!("sqlite:{}", desk.path("copy.db").display());
    let verbs: [&[&str]; 14] = [
        &["status"],
        &["status", "--json"],
        &["status", "--emergency", "--json"],
        &["status", "--emergency"],
        &["history"],
        &["history", "--json"],
        &["history", "--verify"],
        &["keys"],
        &["keys", "--json"],
        &["keys", "mirror", "--toml"],
        &["check", "--online"],
        &["plan", "--json"],
        &["rotate", "--all", "--dry-run"],
        &["ledger", "copy", "--to", &copy],
    ];
    for verb in verbs {
        let output = desk.verb(verb).await;
        sinks.add(format!("cutover {}", verb[..verb.len().min(2)].join(" ")), [output.stdout, output.stderr].concat());
    }
    for path in ["/", "/metrics", "/healthz", "/nothing?key=1"] {
        let reply = reqwest::get(format!("http://127.0.0.1:{port}{path}")).await.expect("served");
        let headers = format!("{:?}", reply.headers());
        sinks.add(format!("GET {path}"), [headers.into_bytes(), reply.bytes().await.expect("read").to_vec()].concat());
    }
}

/// What the kernel shows of the daemon and its children, and what it holds open.
fn processes(pid: u32, sinks: &mut Sinks) {
    let proc = std::path::PathBuf::from(format!("/proc/{pid}"));
    for name in ["cmdline", "environ", "comm", "status", "limits"] {
        sinks.add(format!("/proc/PID/{name}"), std::fs::read(proc.join(name)).unwrap_or_default());
    }
    for fd in std::fs::read_dir(proc.join("fd")).expect("readable").flatten() {
        let to = std::fs::read_link(fd.path()).unwrap_or_default();
        if std::fs::metadata(fd.path()).is_ok_and(|held| held.is_file()) {
            sinks.add(format!("open file {}", to.display()), std::fs::read(fd.path()).unwrap_or_default());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_leaves_by_any_way_whatever_the_other_side_does() {
    let desk = Desk::new();
    let mirror = Mirror::default();
    mirror.with(|book| book.place = desk.dir.path().to_owned());
    let port = mirror.start().await;
    let mut seed = 20_261_121;
    let dir = desk.dir.path().display().to_string();
    let mut secrets: Vec<(String, String)> = Vec::new();
    for name in ["session", "hook.token", "notify.token", "vault.token"] {
        let value = canary(&mut seed, "tok_");
        desk.write(name, &value);
        secrets.push((name.to_owned(), value));
    }
    secrets.push((String::from("sealing key"), std::fs::read_to_string(desk.path("seal")).expect("there").trim().to_owned()));
    for case in CASES {
        let old = mirror.make(case);
        desk.write(&format!("{case}.env"), &format!("KEY={old}\n"));
    }
    desk.write("providers/mirror.toml", DEFINITION);
    desk.write("hook", HOOK);
    std::fs::set_permissions(desk.path("hook"), std::fs::Permissions::from_mode(0o755)).expect("executable");
    let page = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let head = desk.head(&Place::File).replace("listen = \"\"", &format!("listen = \"127.0.0.1:{page}\""));
    let policies: String = CASES.iter().map(|case| policy(case, port, &dir)).collect();
    desk.write(
        "cutover.toml",
        &format!(
            "{head}[store.vault]\nkind = \"vault\"\naddress = \"http://127.0.0.1:{port}\"\n\
             auth = {{ method = \"token\", token = {{ file = \"{dir}/vault.token\" }} }}\n\
             [notify.ops]\nkind = \"webhook\"\nrequest = \"POST http://127.0.0.1:{port}/notify\"\n\
             credential = {{ file = \"{dir}/notify.token\" }}\nauth = {{ bearer = \"{{{{ credential }}}}\" }}\n\
             [provider.mirror]\nbase_url = \"http://127.0.0.1:{port}\"\ncredential = {{ file = \"{dir}/session\" }}\n{policies}"
        ),
    );
    let log = std::fs::File::create(desk.path("log")).expect("a log");
    let out = log.try_clone().expect("a log");
    let mut command = desk.command(&["run"]);
    command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full").stdout(Stdio::from(out)).stderr(Stdio::from(log));
    command.current_dir(desk.dir.path());
    let mut daemon = Daemon(command.spawn().expect("started"));
    let pid = daemon.0.id();
    while std::os::unix::net::UnixStream::connect(desk.path("control.sock")).is_err() {
        assert!(daemon.0.try_wait().expect("waited").is_none(), "{}", desk.log());
        tokio::task::yield_now().await;
    }
    let rotated = desk.verb(&["rotate", "--all", "--reason", "canaries"]).await;
    assert_eq!(rotated.status.code(), Some(0), "{}", String::from_utf8_lossy(&rotated.stderr));
    at_rest(&desk).await;
    let mut sinks = Sinks::default();
    ask_everything(&desk, &mut sinks, page).await;
    processes(pid, &mut sinks);
    // An emergency over everything, whatever state it is in.
    let ordered = desk.verb(&["rotate", "--all", "--emergency", "--reason", "canaries", "--yes"]).await;
    assert_eq!(ordered.status.code(), Some(0), "{}", String::from_utf8_lossy(&ordered.stderr));
    sinks.add("cutover rotate --emergency", [ordered.stdout, ordered.stderr].concat());
    let reported = async {
        // Every part of the order is under way before anything is at rest.
        while json(&desk, &["status", "--emergency", "--json"]).await.to_string().contains("not begun") {}
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), reported).await.is_ok());
    at_rest(&desk).await;
    ask_everything(&desk, &mut sinks, page).await;
    processes(pid, &mut sinks);

    // Killed as by a fault of its own: what was in its memory is not written anywhere.
    rustix::process::kill_process(rustix::process::Pid::from_child(&daemon.0), rustix::process::Signal::ABORT).expect("told");
    let ended = daemon.0.wait().expect("waited");
    assert_eq!(ended.signal(), Some(6), "{ended}");
    assert!(!ended.core_dumped(), "no core is dumped");

    let kept = |name: &str| name.ends_with(".env") || name.ends_with(".token") || name == "session" || name == "seal";
    sinks.files(desk.dir.path(), &kept);
    sinks.add("alerts", mirror.with(|book| book.alerts.clone()));
    mirror.with(|book| {
        secrets.extend(book.keys.iter().map(|(case, id, value, _)| (format!("key {id} of {case}"), value.clone())))
    });
    looked_at_enough(&mirror, &sinks, &secrets);
    let hits = sinks.hits(&Canaries::of(&secrets));
    assert!(hits.is_empty(), "{} bytes searched: {hits:#?}", sinks.total());
    println!("{} secrets, {} bytes searched, no hit", secrets.len(), sinks.total());
}

/// The search means something: every case was reached, and there is much to look into.
fn looked_at_enough(mirror: &Mirror, sinks: &Sinks, secrets: &[(String, String)]) {
    let called = |call: &str| mirror.with(|book| book.calls.iter().any(|one| one.contains(call)));
    for case in CASES {
        assert!(called(&format!("issue {case}")), "no key was asked for in {case}");
    }
    for call in ["vault wrote", "revoke ok", "revoke revoke500", "probe ok", "notify"] {
        assert!(called(call), "never called: {call}");
    }
    assert!(secrets.len() > 2 * CASES.len(), "{}", secrets.len());
    for (sink, least) in
        [("file log", 100_000), ("alerts", 5_000), ("file ledger.db", 10_000), ("GET /", 5_000), ("file given.ok", 100)]
    {
        let found = sinks.bytes(sink).len();
        assert!(found > least, "{sink}: {found} bytes");
    }
    let given = String::from_utf8_lossy(sinks.bytes("file given.ok")).into_owned();
    assert!(given.contains("CUTOVER_POLICY=ok"), "{given}");
    assert!(!given.contains("AWS_SECRET_ACCESS_KEY"), "a hook is not given the daemon's own environment: {given}");
    let log = String::from_utf8_lossy(sinks.bytes("file log")).into_owned();
    assert!(log.contains("DEBUG"), "it is at its most talkative: nothing of cutover is below that, and libraries may not be");
}
