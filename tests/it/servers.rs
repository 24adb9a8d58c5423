//! Real servers for the tests, started on free ports of the loopback; and a tiny HTTP client that can be called anywhere.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A server that is killed when it is dropped.
pub struct Server {
    child: Child,
    pub port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where `tests/servers install` has put a program. With `CI` set a missing one fails the test; elsewhere the reason is printed.
fn installed(variable: &str, default: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("CUTOVER_TEST_CACHE").map(PathBuf::from).or_else(|| {
        let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let base = base.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))?;
        Some(base.join("cutover-tests"))
    });
    let path = std::env::var_os(variable).map(PathBuf::from).or_else(|| Some(cache?.join(default)))?;
    if path.is_file() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing: run tests/servers install", path.display());
    println!("skipped: {} is missing; tests/servers install puts it there", path.display());
    None
}

pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

/// Waits until something answers; the server's own end is noticed.
fn answers(server: &mut Server, path: &str) {
    for _ in 0..600 {
        assert!(server.child.try_wait().expect("asked").is_none(), "the server has ended");
        if call(server.port, "GET", path, &[], "").is_ok() {
            return;
        }
        // The server's start is waited for, not a span.
        std::thread::park_timeout(Duration::from_millis(50));
    }
    panic!("the server does not answer");
}

/// A Vault-compatible server with KV v2 at `secret/` and the root token `root`.
pub fn vault(home: &Path) -> Option<Server> {
    let program = installed("CUTOVER_TEST_BAO", "bin/bao")?;
    let port = free_port();
    let child = Command::new(program)
        .args(["server", "-dev", "-dev-root-token-id=root", &format!("-dev-listen-address=127.0.0.1:{port}")])
        .env("HOME", home)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let mut server = Server { child, port };
    answers(&mut server, "/v1/sys/health");
    Some(server)
}

/// The Secrets Manager API as moto serves it.
pub fn moto() -> Option<Server> {
    let program = installed("CUTOVER_TEST_MOTO", "python/bin/moto_server")?;
    let port = free_port();
    let child = Command::new(program)
        .args(["-H", "127.0.0.1", "-p", &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let mut server = Server { child, port };
    answers(&mut server, "/moto-api/data.json");
    Some(server)
}

/// A mail server with STARTTLS and a login; it writes each mail as a line of JSON to `out`.
pub fn smtp(out: &Path, cert: &Path, key: &Path) -> Option<Server> {
    let python = installed("CUTOVER_TEST_PYTHON", "python/bin/python")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/smtp_server.py");
    let mut child = Command::new(python)
        .arg(script)
        .args(["--tls", "starttls", "--user", "cutover", "--password", "hunter2"])
        .arg("--cert")
        .arg(cert)
        .arg("--key")
        .arg(key)
        .arg("--out")
        .arg(out)
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a port");
    let port = line.trim().parse().expect("a port");
    Some(Server { child, port })
}

/// One HTTP call; status and body.
pub fn call(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut request = format!("{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    request.push_str(body);
    stream.write_all(request.as_bytes())?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    let status = reply.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let body = reply.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    Ok((status, body))
}

/// Reads a secret's fields from Vault, as an application does at its start.
pub fn vault_fields(port: u16, path: &str) -> serde_json::Value {
    let (_, body) = call(port, "GET", &format!("/v1/secret/data/{path}"), &[("X-Vault-Token", "root")], "").expect("answered");
    serde_json::from_str::<serde_json::Value>(&body).expect("JSON")["data"]["data"].clone()
}

/// Writes a secret's fields to Vault.
pub fn vault_put(port: u16, path: &str, fields: &serde_json::Value) {
    let body = serde_json::json!({ "data": fields }).to_string();
    let headers = [("X-Vault-Token", "root"), ("Content-Type", "application/json")];
    let (status, reply) = call(port, "POST", &format!("/v1/secret/data/{path}"), &headers, &body).expect("answered");
    assert_eq!(status, 200, "{reply}");
}

/// Calls Secrets Manager on moto.
pub fn aws(port: u16, action: &str, body: &serde_json::Value) -> serde_json::Value {
    let target = format!("secretsmanager.{action}");
    let credential =
        "AWS4-HMAC-SHA256 Credential=test/20260101/eu-central-1/secretsmanager/aws4_request, SignedHeaders=host, Signature=x";
    let headers =
        [("X-Amz-Target", target.as_str()), ("Content-Type", "application/x-amz-json-1.1"), ("Authorization", credential)];
    let (status, reply) = call(port, "POST", "/", &headers, &body.to_string()).expect("answered");
    assert_eq!(status, 200, "{action}: {reply}");
    serde_json::from_str(&reply).expect("JSON")
}

/// Reads a secret's fields from Secrets Manager.
pub fn aws_fields(port: u16, name: &str) -> serde_json::Value {
    let reply = aws(port, "GetSecretValue", &serde_json::json!({ "SecretId": name, "VersionStage": "AWSCURRENT" }));
    serde_json::from_str(reply["SecretString"].as_str().expect("a string")).expect("JSON")
}
