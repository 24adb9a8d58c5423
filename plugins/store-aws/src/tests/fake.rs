//! A small Secrets Manager that keeps to what AWS documents, and fails on demand at any call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The connection ends before anything is done.
    CutBefore,
    /// It is done, and the connection ends without a reply.
    CutAfter,
    /// It is done, and the reply ends in the middle.
    CutInside,
    /// It is done, and no reply comes.
    Silence,
    /// 500, and nothing is done.
    ErrorBefore,
    /// 500, but it is done.
    ErrorAfter,
    /// 200 with a body that is no JSON, and it is done.
    Garbage,
    /// A definite no.
    Denied,
    /// Too many calls.
    Throttled,
    /// A replica that has not heard of the last write answers a read.
    Stale,
}

/// One version.
#[derive(Clone, Debug, Default)]
pub struct Version {
    pub text: String,
    pub labels: BTreeSet<String>,
}

/// One secret.
#[derive(Clone, Debug, Default)]
pub struct Secret {
    pub versions: BTreeMap<String, Version>,
    pub deleted: bool,
}

impl Secret {
    pub fn with(&self, label: &str) -> Option<&String> {
        self.versions.iter().find(|(_, version)| version.labels.contains(label)).map(|(id, _)| id)
    }

    pub fn current(&self) -> (&str, &str) {
        let id = self.with("AWSCURRENT").expect("a current version");
        (id, &self.versions[id].text)
    }

    pub fn put(&mut self, id: &str, text: &str, label: &str) {
        for version in self.versions.values_mut() {
            version.labels.remove(label);
        }
        self.versions.insert(id.to_owned(), Version { text: text.to_owned(), labels: BTreeSet::from([label.to_owned()]) });
    }
}

/// Everything behind the lock.
#[derive(Default)]
pub struct State {
    pub secrets: BTreeMap<String, Secret>,
    pub calls: Vec<String>,
    /// The authorization header of the last call.
    pub authorization: String,
    /// What happens to which call, counted from 0.
    pub mishaps: BTreeMap<usize, Mishap>,
    /// What happens to every call from this one on.
    pub from: Option<(usize, Mishap)>,
}

/// The server.
#[derive(Clone)]
pub struct Fake {
    pub state: Arc<Mutex<State>>,
    pub address: String,
}

impl Fake {
    /// Starts one with this secret.
    pub async fn start(name: &str, secret: Secret) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let state = Arc::new(Mutex::new(State { secrets: BTreeMap::from([(name.to_owned(), secret)]), ..State::default() }));
        let fake = Self { state, address };
        let server = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(stream));
            }
        });
        fake
    }

    async fn serve(self, mut stream: TcpStream) {
        let Some((action, authorization, body)) = request(&mut stream).await else { return };
        self.state.lock().expect("not poisoned").authorization = authorization;
        let (mishap, (status, reply)) = self.answer(&action, &body);
        let cut = match mishap {
            Some(Mishap::CutBefore | Mishap::CutAfter) => return,
            Some(Mishap::Silence) => return std::future::pending().await,
            Some(Mishap::CutInside) => reply.len() / 2,
            _ => reply.len(),
        };
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            reply.len()
        );
        let _ = stream.write_all(&[head.as_bytes(), &reply.as_bytes()[..cut]].concat()).await;
        let _ = stream.shutdown().await;
    }

    fn answer(&self, action: &str, body: &Value) -> (Option<Mishap>, (u16, String)) {
        let mut state = self.state.lock().expect("not poisoned");
        let n = state.calls.len();
        state.calls.push(action.to_owned());
        let lasting = state.from.and_then(|(from, mishap)| (n >= from).then_some(mishap));
        let mishap = state.mishaps.get(&n).copied().or(lasting);
        let error =
            |status, code: &str| (status, json!({"__type": code, "message": "sekrit text of the other side"}).to_string());
        let reply = match mishap {
            Some(Mishap::CutBefore) => error(500, ""),
            Some(Mishap::ErrorBefore) => error(500, "InternalServiceError"),
            Some(Mishap::Denied) => error(400, "AccessDeniedException"),
            Some(Mishap::Throttled) => error(400, "ThrottlingException"),
            _ => match state.act(action, body, mishap == Some(Mishap::Stale)) {
                Ok(reply) => (200, reply.to_string()),
                Err(code) => error(400, code),
            },
        };
        match mishap {
            Some(Mishap::ErrorAfter) => (mishap, error(500, "InternalServiceError")),
            Some(Mishap::Garbage) => (mishap, (200, "<html>".to_owned())),
            _ => (mishap, reply),
        }
    }
}

impl State {
    fn act(&mut self, action: &str, body: &Value, stale: bool) -> Result<Value, &'static str> {
        let text = |key: &str| body[key].as_str();
        let name = text("SecretId").expect("a secret is named");
        let secret = self.secrets.get_mut(name).ok_or("ResourceNotFoundException")?;
        match action {
            "DescribeSecret" => {
                let labels: BTreeMap<_, _> = secret.versions.iter().map(|(id, version)| (id, &version.labels)).collect();
                let deleted = secret.deleted.then_some(1.0e9);
                Ok(json!({"Name": name, "VersionIdsToStages": labels, "DeletedDate": deleted}))
            }
            _ if secret.deleted => Err("InvalidRequestException"),
            "GetSecretValue" => {
                let id = match (text("VersionId"), text("VersionStage")) {
                    (Some(_), _) if stale => None,
                    (Some(id), _) => Some(id.to_owned()),
                    (None, Some("AWSCURRENT")) if stale => secret.with("AWSPREVIOUS").or(secret.with("AWSCURRENT")).cloned(),
                    (None, stage) => secret.with(stage.expect("always asked for by its label")).cloned(),
                };
                let id = id.ok_or("ResourceNotFoundException")?;
                let version = secret.versions.get(&id).ok_or("ResourceNotFoundException")?;
                Ok(json!({"Name": name, "VersionId": id, "SecretString": version.text, "VersionStages": version.labels}))
            }
            "PutSecretValue" => {
                let (id, new) = (text("ClientRequestToken").expect("a token"), text("SecretString").expect("a text"));
                let label = body["VersionStages"][0].as_str().expect("a label");
                match secret.versions.get(id) {
                    Some(old) if old.text == new => {}
                    Some(_) => return Err("ResourceExistsException"),
                    None => {
                        let first = secret.versions.is_empty();
                        secret.put(id, new, label);
                        if first {
                            secret.versions.get_mut(id).expect("just put").labels.insert("AWSCURRENT".to_owned());
                        }
                    }
                }
                Ok(json!({"Name": name, "VersionId": id}))
            }
            "UpdateSecretVersionStage" => {
                let label = text("VersionStage").expect("a label").to_owned();
                let (on, to, from) = (secret.with(&label).cloned(), text("MoveToVersionId"), text("RemoveFromVersionId"));
                if on.as_deref() != from || (to.is_none() && label == "AWSCURRENT") || to == from {
                    return Err("InvalidParameterException");
                }
                if to.is_some_and(|to| !secret.versions.contains_key(to)) {
                    return Err("ResourceNotFoundException");
                }
                for version in secret.versions.values_mut() {
                    version.labels.remove(&label);
                    if label == "AWSCURRENT" {
                        version.labels.remove("AWSPREVIOUS");
                    }
                }
                if let Some(to) = to {
                    secret.versions.get_mut(to).expect("there").labels.insert(label.clone());
                }
                if let (Some(from), "AWSCURRENT") = (from, label.as_str()) {
                    secret.versions.get_mut(from).expect("there").labels.insert("AWSPREVIOUS".to_owned());
                }
                Ok(json!({"Name": name}))
            }
            other => panic!("{other} is never called"),
        }
    }
}

/// Reads one request: the action, the authorization in lower case, and the body.
async fn request(stream: &mut TcpStream) -> Option<(String, String, Value)> {
    let mut bytes = Vec::new();
    let head = loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).ok()?.to_ascii_lowercase();
    let header = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let long: usize = header("content-length")?.parse().ok()?;
    while bytes.len() < head + 4 + long {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let names = ["GetSecretValue", "DescribeSecret", "PutSecretValue", "UpdateSecretVersionStage"];
    let target = header("x-amz-target")?.strip_prefix("secretsmanager.")?;
    let action = names.into_iter().find(|name| name.to_ascii_lowercase() == target).unwrap_or(target);
    let authorization = header("authorization").unwrap_or_default().to_owned();
    Some((action.to_owned(), authorization, serde_json::from_slice(&bytes[head + 4..]).ok()?))
}
