//! Who signs a request.

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cutover_api::{Reader, Stamp, Value as Toml};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;
use zeroize::Zeroizing;

use crate::check::{Placed, Spot};
use crate::render::{header_of, text_of};
use crate::request::{Rendered, header_name};
use crate::step::not_yet;
use crate::template::RenderError;
use crate::vars::{Var, Vars};

/// Exactly one kind of auth, or none.
#[derive(Clone, Debug, Default)]
pub enum Auth {
    /// Nobody signs.
    #[default]
    None,
    /// `Authorization: Bearer …`.
    Bearer(Signer),
    /// Named headers.
    Header(BTreeMap<String, Signer>),
    /// `Authorization: Basic …`.
    Basic {
        /// The user; may be empty.
        user: Signer,
        /// The password; may be empty.
        password: Signer,
    },
    /// A keyed hash of the request.
    Hmac(Box<Hmac>),
}

/// A template of an auth table.
#[derive(Clone, Debug)]
pub struct Signer(Placed);

/// A keyed hash of the request.
#[derive(Clone, Debug)]
pub struct Hmac {
    key: Placed,
    key_encoding: Encoding,
    algorithm: hmac::Algorithm,
    message: Placed,
    encoding: Encoding,
    headers: BTreeMap<String, Placed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Hex,
    Base64,
}

impl Auth {
    /// Reads the table at `key`; `{}` is none. Reports what is wrong; `None` when it is not there or of no use.
    #[must_use]
    pub fn load(reader: &Reader<'_>, key: &str) -> Option<Self> {
        let table = reader.table(key)?;
        let kinds: Vec<&str> = table.table_itself().entries.keys().map(String::as_str).collect();
        let auth = match kinds.as_slice() {
            [] => Some(Self::None),
            ["bearer"] => placed(&table, "bearer").map(|token| Self::Bearer(Signer(token))),
            ["header"] => table
                .table("header")
                .map(|inner| Self::Header(headers(&inner).into_iter().map(|(name, placed)| (name, Signer(placed))).collect())),
            ["basic"] => table.table("basic").and_then(|inner| {
                let pair = (required(&inner, "user"), required(&inner, "password"));
                inner.finish();
                Some(Self::Basic { user: Signer(pair.0?), password: Signer(pair.1?) })
            }),
            ["hmac"] => table.table("hmac").and_then(|inner| {
                let hmac = Hmac::load(&inner);
                inner.finish();
                hmac.map(|hmac| Self::Hmac(Box::new(hmac)))
            }),
            ["sigv4"] => {
                table.known("sigv4");
                let (wrong, right) = not_yet("auth sigv4");
                table.wrong("sigv4", wrong, right);
                None
            }
            [_] => {
                for known in ["bearer", "header", "basic", "hmac", "sigv4"] {
                    table.known(known);
                }
                None
            }
            [_, second, ..] => {
                reader.wrong(
                    key,
                    format!("names a second kind of auth, {second}"),
                    "write exactly one of bearer, header, basic, hmac, sigv4",
                );
                return None;
            }
        };
        table.finish();
        auth
    }

    /// Adds what signs to the headers of a request that is otherwise ready.
    pub(crate) fn sign(&self, made: &mut Rendered, vars: &Vars, sent_at: Stamp) -> Result<(), RenderError> {
        match self {
            Self::None => Ok(()),
            Self::Bearer(Signer(token)) => {
                let token = header_of(&token.template, vars)?;
                if token.expose().is_empty() {
                    return Err(RenderError { path: String::new(), wrong: "the bearer token is empty" });
                }
                let text = Zeroizing::new(format!("Bearer {}", token.expose()));
                insert(&mut made.headers, "authorization", &text)
            }
            Self::Header(all) => all.iter().try_for_each(|(name, Signer(placed))| {
                let value = header_of(&placed.template, vars)?;
                insert(&mut made.headers, name, value.expose())
            }),
            Self::Basic { user: Signer(user), password: Signer(password) } => {
                let user = user.template.render_text(vars)?;
                let password = password.template.render_text(vars)?;
                if user.expose().contains([':', '\n']) || password.expose().contains('\n') {
                    return Err(RenderError {
                        path: String::new(),
                        wrong: "the user or password holds what basic auth cannot carry",
                    });
                }
                let pair = Zeroizing::new(format!("{}:{}", user.expose(), password.expose()));
                let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
                insert(&mut made.headers, "authorization", &text)
            }
            Self::Hmac(hmac) => hmac.sign(made, vars, sent_at),
        }
    }

    /// Every template in it.
    pub(crate) fn placed(&self, all: &mut Vec<(Spot, Placed)>) {
        match self {
            Self::None => {}
            Self::Bearer(Signer(token)) => all.push((Spot::Header, token.clone())),
            Self::Header(headers) => all.extend(headers.values().map(|Signer(placed)| (Spot::Header, placed.clone()))),
            Self::Basic { user, password } => all.extend([(Spot::Header, user.0.clone()), (Spot::Header, password.0.clone())]),
            Self::Hmac(hmac) => {
                all.push((Spot::Text, hmac.key.clone()));
                all.push((Spot::Signed, hmac.message.clone()));
                all.extend(hmac.headers.values().map(|placed| (Spot::Signed, placed.clone())));
            }
        }
    }
}

impl Hmac {
    fn load(table: &Reader<'_>) -> Option<Self> {
        let utf8 = [("utf8", Encoding::Utf8), ("hex", Encoding::Hex), ("base64", Encoding::Base64)];
        let key = required(table, "key");
        let message = required(table, "message");
        let key_encoding = if table.has("key_encoding") { table.choice("key_encoding", &utf8) } else { Some(Encoding::Utf8) };
        let algorithms = [("sha256", hmac::HMAC_SHA256), ("sha512", hmac::HMAC_SHA512)];
        let algorithm = if table.has("algorithm") { table.choice("algorithm", &algorithms) } else { Some(hmac::HMAC_SHA256) };
        let encoding = if table.has("encoding") { table.choice("encoding", &utf8[1..]) } else { Some(Encoding::Hex) };
        let headers = table.table("headers").map(|inner| headers(&inner)).unwrap_or_default();
        let says = |placed: &Placed| placed.template.slots().iter().any(|slot| slot.path == "signature");
        if message.as_ref().is_some_and(says) {
            table.wrong("message", "signs the signature itself", "{{ signature }} may stand in `headers` only");
        }
        if !headers.values().any(says) {
            table.wrong("headers", "sends no signature", "write { X-Signature = \"{{ signature }}\" }");
        }
        let (key, message) = (key?, message?);
        Some(Self { key, key_encoding: key_encoding?, algorithm: algorithm?, message, encoding: encoding?, headers })
    }

    fn sign(&self, made: &mut Rendered, vars: &Vars, sent_at: Stamp) -> Result<(), RenderError> {
        let mut seen = vars.duplicate();
        let body = String::from_utf8_lossy(made.body.as_deref().map_or(&[][..], Vec::as_slice)).into_owned();
        seen.set_text("request.method", made.method.as_str());
        for (name, text) in [("path", made.url.path()), ("query", made.url.query().unwrap_or("")), ("body", &body)] {
            seen.set(format!("request.{name}"), Var::Secret(cutover_api::Secret::new(text.to_owned())));
        }
        drop(Zeroizing::new(body));
        seen.set("request.timestamp", Var::Json(json!(sent_at.0.div_euclid(1_000))));
        let key = text_of(&self.key.template, vars)?;
        let bytes = Zeroizing::new(match self.key_encoding {
            Encoding::Utf8 => key.expose().as_bytes().to_vec(),
            Encoding::Hex => hex::decode(key.expose()).map_err(|_| bad_key())?,
            Encoding::Base64 => STANDARD.decode(key.expose()).map_err(|_| bad_key())?,
        });
        if bytes.is_empty() {
            return Err(bad_key());
        }
        let message = text_of(&self.message.template, &seen)?;
        let tag = hmac::sign(&hmac::Key::new(self.algorithm, &bytes), message.expose().as_bytes());
        let signature = match self.encoding {
            Encoding::Base64 => STANDARD.encode(tag.as_ref()),
            _ => hex::encode(tag.as_ref()),
        };
        seen.set("signature", Var::Secret(cutover_api::Secret::new(signature)));
        self.headers.iter().try_for_each(|(name, placed)| {
            let value = header_of(&placed.template, &seen)?;
            insert(&mut made.headers, name, value.expose())
        })
    }
}

fn bad_key() -> RenderError {
    RenderError { path: String::new(), wrong: "the key of the signature is not in its key_encoding, or empty" }
}

/// A required template.
fn required(table: &Reader<'_>, key: &str) -> Option<Placed> {
    if !table.has(key) {
        table.problems().add(&table.table_itself().place, table.path_of(key), "missing", "must be a template");
    }
    placed(table, key)
}

/// The template at `key`.
pub(crate) fn placed(table: &Reader<'_>, key: &str) -> Option<Placed> {
    let text = table.text(key)?;
    let node = table.table_itself().get(key)?;
    Placed::load(text, &table.path_of(key), &node.place, table.problems())
}

/// A table of headers; numbers are taken as they are written.
pub(crate) fn headers(table: &Reader<'_>) -> BTreeMap<String, Placed> {
    let mut all = BTreeMap::new();
    for (name, entry) in &table.table_itself().entries {
        let path = table.path_of(name);
        if let Err((wrong, right)) = header_name(name) {
            table.known(name);
            table.problems().add(&entry.key, path, wrong, right);
            continue;
        }
        let text = match &entry.node.value {
            Toml::Integer(n) => {
                table.known(name);
                Some(n.to_string())
            }
            _ => table.text(name).map(str::to_owned),
        };
        let placed = text.and_then(|text| Placed::load(&text, &path, &entry.node.place, table.problems()));
        let literal = |placed: &Placed| placed.template.text().bytes().all(|b| (0x20..0x7f).contains(&b));
        match placed {
            Some(placed) if literal(&placed) => drop(all.insert(name.to_ascii_lowercase(), placed)),
            Some(_) => table.wrong(name, "holds what no header may hold", "only visible ASCII and spaces"),
            None => {}
        }
    }
    all
}

/// Sets a header whose value is never shown.
pub(crate) fn insert(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), RenderError> {
    let wrong = |wrong| RenderError { path: String::new(), wrong };
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("a header's name is no name"))?;
    let mut value = HeaderValue::from_str(value).map_err(|_| wrong("a header holds what no header may hold"))?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}
