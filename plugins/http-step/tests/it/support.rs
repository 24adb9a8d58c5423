//! A step from a text, and a server on the loopback that does what it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use cutover_api::{Clock, Problems, Reader, Secret, Stamp, Table};
use cutover_http_step::{Defaults, Http, Origins, Reply, Rows, Step, Tls, Var, Vars, origin};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// 2026-11-21T00:00:00Z.
pub const NOW: Stamp = Stamp(1_795_219_200_000);

/// A clock that stands.
pub struct Standing;

impl Clock for Standing {
    fn now(&self) -> Stamp {
        NOW
    }
}

/// A definition: top level and a table `s`.
pub fn loaded(text: &str, extra: &[&str]) -> Result<Step, Vec<String>> {
    let table = Table::parse("x.toml", text).map_err(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let problems = Problems::default();
    let reader = Reader::new(&table, "", &problems);
    let hosts = ["sts".to_owned()].into();
    let defaults = Defaults::load(&reader, hosts, ["app_key".to_owned()].into());
    let inner = reader.table("s").expect("table s");
    let step = Step::load(&inner, "s", &defaults, extra);
    reader.finish();
    let all = problems.take();
    if all.is_empty() { Ok(step.expect("no problem, so a step")) } else { Err(all.iter().map(ToString::to_string).collect()) }
}

/// A step that must load.
pub fn step(text: &str) -> Step {
    loaded(text, &[]).expect("loads")
}

/// A list step that must load.
pub fn list(text: &str) -> (Step, Rows) {
    let table = Table::parse("x.toml", text).expect("valid");
    let problems = Problems::default();
    let reader = Reader::new(&table, "", &problems);
    let defaults = Defaults::load(&reader, Default::default(), Default::default());
    let inner = reader.table("s").expect("table s");
    let (rows, step) = (Rows::load(&inner), Step::load(&inner, "list", &defaults, Rows::KEYS));
    reader.finish();
    let all: Vec<_> = problems.take().iter().map(ToString::to_string).collect();
    assert!(all.is_empty(), "{all:?}");
    (step.expect("a step"), rows.expect("rows"))
}

/// The problems of a text that must not load.
pub fn problems(text: &str) -> Vec<String> {
    loaded(text, &[]).err().unwrap_or_default()
}

/// A reply as the engine seals it.
pub fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(body);
    let sealed = serde_json::json!({ "v": 1, "status": status, "headers": headers, "body": body, "sent_at": NOW.0, "date": null,
        "form": "json", "whole": true, "polled": false });
    Reply::from_sealed(&Secret::new(sealed.to_string())).expect("sealed")
}

/// Values.
pub fn vars(all: &[(&str, &str)]) -> Vars {
    let mut vars = Vars::new();
    for (path, text) in all {
        vars.set(*path, Var::Text((*text).to_owned()));
    }
    vars
}

/// What a server does with one connection.
#[derive(Clone)]
pub enum Answer {
    /// Sends these bytes and closes.
    Send(Vec<u8>),
    /// Sends these bytes and then nothing, until the other side is gone.
    Stall(Vec<u8>),
    /// Reads the head and closes at once.
    Drop,
}

/// A whole reply.
pub fn answer(status: &str, headers: &str, body: &str) -> Answer {
    Answer::Send(
        format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).into_bytes(),
    )
}

/// A server that gives its answers in order, the last one for ever, and remembers what it was sent.
pub struct Server {
    pub base: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let port = listener.local_addr().expect("bound").port().to_string();
        let (kept, mut answers) = (Arc::clone(&seen), VecDeque::from(answers));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
                tokio::spawn(serve(stream, told(answer, &port), Arc::clone(&kept)));
            }
        });
        Self { base, seen }
    }

    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("not poisoned").clone()
    }

    pub fn origins(&self) -> Origins {
        Origins { base: Some(origin(&self.base).expect("loopback")), hosts: Default::default() }
    }
}

/// The answer, in which PORT is the server's own.
fn told(answer: Option<Answer>, port: &str) -> Answer {
    match answer {
        Some(Answer::Send(bytes)) => Answer::Send(match String::from_utf8(bytes) {
            Ok(text) => text.replace("PORT", port).into_bytes(),
            Err(error) => error.into_bytes(),
        }),
        other => other.unwrap_or(Answer::Drop),
    }
}

async fn serve(mut stream: TcpStream, answer: Answer, seen: Arc<Mutex<Vec<String>>>) {
    let mut got = Vec::new();
    let mut buffer = [0_u8; 4096];
    loop {
        let text = String::from_utf8_lossy(&got).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
            if body.len() >= length.unwrap_or(0) {
                seen.lock().expect("not poisoned").push(text);
                break;
            }
        }
        match stream.read(&mut buffer).await {
            Ok(n) if n > 0 => got.extend_from_slice(&buffer[..n]),
            _ => return,
        }
    }
    match answer {
        Answer::Drop => {}
        Answer::Send(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            while matches!(stream.read(&mut buffer).await, Ok(n) if n > 0) {}
        }
        Answer::Stall(bytes) => {
            let _ = stream.write_all(&bytes).await;
            while matches!(stream.read(&mut buffer).await, Ok(n) if n > 0) {}
        }
    }
}

/// A client.
pub fn http() -> Http {
    Http::new(&Tls::default()).expect("a client")
}
