//! Against aiosmtpd, with certificates made here.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use cutover_api::{Notifier, NotifyError};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;

use crate::common::{PASSWORD, message, notifier, read, world};

const USER: &str = "cutover";

/// A running mail server; ends with the test.
struct Server {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The Python that has aiosmtpd; `tests/servers install` puts it there.
fn python() -> Option<PathBuf> {
    let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = path("CUTOVER_TEST_CACHE")
        .or_else(|| Some(path("XDG_CACHE_HOME").or_else(|| Some(path("HOME")?.join(".cache")))?.join("cutover-tests")));
    let python = path("CUTOVER_TEST_PYTHON").or_else(|| Some(cache?.join("python/bin/python")))?;
    let usable = Command::new(&python)
        .args(["-c", "import aiosmtpd"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    usable.then_some(python)
}

fn authority(dir: &Path, name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
    std::fs::write(dir.join(name), issuer.pem()).expect("writable");
    issuer
}

/// Starts a server with these further arguments.
fn server(more: &[&str]) -> Option<Server> {
    server_named("localhost", more)
}

/// Starts a server whose certificate is for `name`. `None` when there is no Python for it here; with `CI` set that is a failure.
fn server_named(name: &str, more: &[&str]) -> Option<Server> {
    let Some(python) = python() else {
        assert!(std::env::var_os("CI").is_none(), "no aiosmtpd: run tests/servers install");
        eprintln!("skipped: no aiosmtpd; run tests/servers install");
        return None;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let issuer = authority(dir.path(), "ca.pem");
    authority(dir.path(), "other-ca.pem");
    let key = KeyPair::generate().expect("a key");
    let certificate =
        CertificateParams::new(vec![name.to_owned()]).expect("names").signed_by(&key, &issuer).expect("a certificate");
    std::fs::write(dir.path().join("cert.pem"), certificate.pem()).expect("writable");
    std::fs::write(dir.path().join("key.pem"), key.serialize_pem()).expect("writable");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/smtp_server.py");
    let mut child = Command::new(python)
        .arg(script)
        .args(["--cert", "cert.pem", "--key", "key.pem", "--out", "mails", "--user", USER, "--password", PASSWORD])
        .args(more)
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("text");
    let port = line.trim().parse().expect("the server prints its port");
    Some(Server { child, port, dir })
}

impl Server {
    fn table(&self, more: &str) -> String {
        let ca = self.dir.path().join("ca.pem");
        let base =
            format!("host = \"localhost\"\nport = {}\nfrom = \"Cutover <cutover@example.com>\"\nca = {ca:?}\n", self.port);
        let to = if more.contains("to = ") { "" } else { "to = [\"ops@example.com\"]\n" };
        format!("{base}username = {USER:?}\npassword = {{ credential = \"smtp-password\" }}\n{to}{more}")
    }

    fn mails(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.path().join("mails")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

fn clean(error: &NotifyError) {
    let text = format!("{error} {error:?}");
    assert!(!text.contains(PASSWORD) && !text.contains("canary"), "{text}");
}

fn content(mail: &Value) -> (String, String) {
    let content = mail["content"].as_str().expect("text").replace("\r\n", "\n");
    let (head, body) = content.split_once("\n\n").expect("a head and a body");
    (head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn starttls_and_login() {
    let Some(server) = server(&[]) else { return };
    let notifier = notifier(&server.table("to = [\"ops@example.com\", \"Dana <dana@example.com>\"]\n"));
    assert_eq!(notifier.greet().await, Ok(()));
    assert!(server.mails().is_empty(), "a greeting sends nothing");
    let text = "The key is held.\n.\n..\n.hidden\n\n  cutover resume crm --rotation r1\n";
    assert_eq!(notifier.tell(&message("[prod] crm is held", text)).await, Ok(()));
    assert_eq!(notifier.tell(&message("[prod] crm is held", text)).await, Ok(()));
    let mails = server.mails();
    assert_eq!(mails.len(), 2);
    assert_eq!((&mails[0]["tls"], &mails[0]["login"]), (&Value::Bool(true), &Value::Bool(true)));
    assert_eq!(mails[0]["from"], "cutover@example.com");
    assert_eq!(mails[0]["to"], serde_json::json!(["ops@example.com", "dana@example.com"]));
    let (head, body) = content(&mails[0]);
    assert_eq!(body.trim_end_matches('\n'), text.trim_end_matches('\n'), "lines that begin with dots arrive as they were");
    for line in [
        "Subject: [prod] crm is held",
        "Message-ID: <cutover.alert-1@example.com>",
        "X-Cutover-Alert: alert-1",
        "X-Cutover-Kind: held",
        "Auto-Submitted: auto-generated",
        "Date: Fri, 15 Jan 2027 08:00:00 +0000",
    ] {
        assert!(head.lines().any(|found| found == line), "{line} is not in:\n{head}");
    }
    assert_eq!(mails[0], mails[1], "told again it is the same mail");
}

#[tokio::test]
async fn implicit_tls() {
    let Some(server) = server(&["--tls", "implicit"]) else { return };
    let notifier = notifier(&server.table("tls = \"implicit\"\n"));
    assert_eq!(notifier.greet().await, Ok(()));
    assert_eq!(notifier.tell(&message("s", "t")).await, Ok(()));
    assert_eq!((&server.mails()[0]["tls"], &server.mails()[0]["login"]), (&Value::Bool(true), &Value::Bool(true)));
}

#[tokio::test]
async fn text_of_every_kind_arrives_whole() {
    let Some(server) = server(&[]) else { return };
    let text =
        format!("Schlüssel läuft ab → 日本語 = 100 %\n{}\n{}\n.\n trailing \n", "long line ".repeat(1_000), "é".repeat(3_000));
    assert_eq!(notifier(&server.table("")).tell(&message("Schlüssel „crm“ läuft ab 日本語", &text)).await, Ok(()));
    let out = server.dir.path().join("decoded.json");
    let decode = "import sys, json, email, email.policy\n\
        mail = email.message_from_string(json.loads(open('mails').readline())['content'].replace('\\r\\n', '\\n'), policy=email.policy.default)\n\
        json.dump([mail['subject'], mail.get_content()], open(sys.argv[1], 'w'))\n";
    let status = Command::new(python().expect("it ran the server"))
        .args(["-c", decode])
        .arg(&out)
        .current_dir(server.dir.path())
        .status();
    assert!(status.expect("Python starts").success());
    let decoded: Value = serde_json::from_slice(&std::fs::read(out).expect("written")).expect("JSON");
    assert_eq!(decoded[0], "Schlüssel „crm“ läuft ab 日本語");
    assert_eq!(decoded[1].as_str().expect("text").trim_end_matches('\n'), text.trim_end_matches('\n'));
}

#[tokio::test]
async fn a_wrong_password_may_be_corrected() {
    let Some(server) = server(&[]) else { return };
    let world = world();
    *world.0.lock().expect("free") = Ok("canary-wrong".to_owned());
    let (notifier, _) = read(&server.table(""), &world);
    let notifier = notifier.expect("valid");
    let error = notifier.greet().await.expect_err("a wrong password");
    assert_eq!((error.label, error.permanent), ("auth", false));
    assert!(error.detail.contains("535"), "{error}");
    clean(&error);
    *world.0.lock().expect("free") = Ok(PASSWORD.to_owned());
    assert_eq!(notifier.greet().await, Ok(()), "the reference is opened for each use");
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let Some(server) = server(&[]) else { return };
    let table = server.table("").replace("ca.pem", "other-ca.pem");
    let error = notifier(&table).tell(&message("s", "t")).await.expect_err("not trusted");
    assert_eq!((error.label, error.permanent), ("tls", false));
    // Nor do the system's authorities know it.
    let without: String =
        server.table("").lines().filter(|line| !line.starts_with("ca = ")).map(|line| format!("{line}\n")).collect();
    assert_eq!(notifier(&without).greet().await.expect_err("not trusted").label, "tls");
    for (name, content) in [("empty.pem", Some("nothing\n")), ("absent.pem", None)] {
        if let Some(content) = content {
            std::fs::write(server.dir.path().join(name), content).expect("writable");
        }
        let error = notifier(&server.table("").replace("ca.pem", name)).greet().await.expect_err("nothing to trust");
        assert!(error.label == "tls" && error.detail.contains(name), "{error}");
    }
    assert!(server.mails().is_empty());
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused() {
    let Some(server) = server_named("smtp.example.com", &[]) else { return };
    let error = notifier(&server.table("")).greet().await.expect_err("another host");
    assert_eq!((error.label, error.permanent), ("tls", false));
    assert!(error.detail.contains("for another host's name"), "{error}");
}

#[tokio::test]
async fn refusals_keep_their_meaning() {
    for (reply, permanent) in [("550 5.7.1 canary", true), ("451 4.7.1 canary greylisted", false)] {
        let Some(server) = server(&["--reply", reply]) else { return };
        let error = notifier(&server.table("")).tell(&message("s", "t")).await.expect_err("refused");
        assert_eq!((error.label, error.permanent), ("refused", permanent), "{reply}");
        assert!(error.detail.contains(&reply[..3]), "{error}");
        clean(&error);
    }
}

#[tokio::test]
async fn one_dead_mailbox_does_not_silence_the_channel() {
    let Some(server) = server(&["--refuse", "gone@example.com", "--refuse", "left@example.com"]) else { return };
    let some = notifier(&server.table("to = [\"gone@example.com\", \"ops@example.com\", \"left@example.com\"]\n"));
    assert_eq!(some.tell(&message("s", "t")).await, Ok(()));
    assert_eq!(server.mails()[0]["to"], serde_json::json!(["ops@example.com"]));
    let none = notifier(&server.table("to = [\"gone@example.com\", \"left@example.com\"]\n"));
    let error = none.tell(&message("s", "t")).await.expect_err("nobody took it");
    assert_eq!((error.label, error.permanent), ("refused", true));
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test]
async fn a_server_that_hangs_or_dies_before_its_250_has_not_accepted() {
    let Some(hanging) = server(&["--hang"]) else { return };
    let error = notifier(&hanging.table("timeout = \"2s\"\n")).tell(&message("s", "t")).await.expect_err("no 250");
    assert_eq!((error.label, error.permanent), ("timeout", false));
    let Some(dying) = server(&["--die"]) else { return };
    let error = notifier(&dying.table("")).tell(&message("s", "t")).await.expect_err("no 250");
    assert_eq!((error.label, error.permanent), ("connect", false));
    assert!(error.detail.contains("may have been taken"), "{error}");
}
