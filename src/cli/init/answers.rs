//! The five questions, and what a person may answer.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use cutover_api::ParamNeed;
use serde_json::Value;

use super::super::exit::{Exit, Failure};
use super::super::screen::{Screen, tell};
use super::InitArgs;
use crate::catalog::{Catalog, STORE_STARTERS, Starter, Typed, param_in_words};

/// How often one question is asked.
const TRIES: usize = 3;
const PLACES: &str = "file:/etc/app/app.env#FIELD, vault:https://HOST:8200/MOUNT/PATH#FIELD or aws:REGION/NAME#FIELD";

/// Who can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A person at a terminal.
    Terminal,
    /// Nobody: what is not said is missing.
    Nobody,
}

/// Where the application reads its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What is written for its store.
    pub text: &'static str,
    /// The directory, the server, the region.
    pub address: String,
    /// Where the engine is mounted, where there is such a thing.
    pub mount: String,
    /// The path in the store.
    pub path: String,
    /// The field.
    pub field: String,
}

/// Everything that was said.
#[derive(Clone, Debug, PartialEq)]
pub struct Answers {
    /// `[daemon] name`.
    pub name: String,
    /// The definition.
    pub provider: String,
    /// Its params.
    pub params: BTreeMap<String, Value>,
    /// Params that may be given and were not.
    pub left_out: Vec<ParamNeed>,
    /// Where the application reads the key.
    pub place: Place,
    /// The program and its arguments; empty = none.
    pub redeploy: Vec<String>,
    /// A mail address or a URL.
    pub notify: String,
    /// What the policy is called.
    pub policy: String,
}

/// A question: the flag that answers it, what is asked, and what an empty answer means.
struct Question<'a> {
    flag: &'a str,
    asks: String,
    default: Option<String>,
}

impl Answers {
    /// Takes what the flags say and asks for the rest.
    ///
    /// # Errors
    /// What was not said and could not be asked, all of it at once; or an answer that is none.
    pub fn gather(args: &InitArgs, catalog: &Catalog, asker: Asker) -> Result<Self, Failure> {
        let known: Vec<&String> = catalog.known().keys().collect();
        let listed = known.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        let mut missing = Vec::new();
        let name = Question::new("--name", "1. What is this environment called?", Some("prod")).answer(
            asker,
            args.name.as_deref(),
            named,
            &mut missing,
        )?;
        let provider = Question::new("--provider", format!("2. Who issues the key? ({listed})"), None).answer(
            asker,
            args.provider.as_deref(),
            |text| {
                let there = catalog.known().contains_key(text);
                if there { Ok(text.to_owned()) } else { Err(format!("there is no definition {text}: one of {listed}")) }
            },
            &mut missing,
        )?;
        let (params, left_out) = params(args, catalog, provider.as_deref(), asker, &mut missing)?;
        let asks = format!("3. Where does the application read it?\n   {PLACES}");
        let place = Question::new("--target", asks, None).answer(asker, args.target.as_deref(), place, &mut missing)?;
        let asks = "4. Which command makes it read the key again? (with its whole path; empty: it reads it at each use)";
        let redeploy =
            Question::new("--redeploy", asks, Some("none")).answer(asker, args.redeploy.as_deref(), command, &mut missing)?;
        let asks = "5. Who is told when a person is needed? (a mail address, or the https:// address of a webhook)";
        let notify = Question::new("--notify", asks, None).answer(asker, args.notify.as_deref(), who, &mut missing)?;
        let (Some(name), Some(provider), Some(place), Some(redeploy), Some(notify)) = (name, provider, place, redeploy, notify)
        else {
            return Err(nobody_to_ask(&missing));
        };
        if !missing.is_empty() {
            return Err(nobody_to_ask(&missing));
        }
        let policy = args.policy.clone().unwrap_or_else(|| policy_name(&place, &provider));
        Ok(Self { name, provider, params, left_out, place, redeploy, notify, policy })
    }
}

fn nobody_to_ask(missing: &[String]) -> Failure {
    let text = format!("nobody can be asked here (no terminal): say {} as well; nothing was written", missing.join(", "));
    Failure::new(Exit::Usage, text)
}

/// The params that are given, and those that may be and are not. They belong to the second question; what may be left out is offered on
/// a terminal, and an empty answer leaves it out.
fn params(
    args: &InitArgs,
    catalog: &Catalog,
    provider: Option<&str>,
    asker: Asker,
    missing: &mut Vec<String>,
) -> Result<(BTreeMap<String, Value>, Vec<ParamNeed>), Failure> {
    let mut params: BTreeMap<String, Value> = args.params.iter().cloned().collect();
    let mut left_out = Vec::new();
    let definition = provider.and_then(|name| catalog.parsed(name));
    let mut needs = definition.map(|definition| definition.param_needs()).unwrap_or_default();
    needs.sort_by_key(|need| !need.required);
    for need in needs.into_iter().filter(|need| !args.params.iter().any(|(name, _)| *name == need.name)) {
        let flag = format!("--param {}=…", need.name);
        let words = param_in_words(&need.name);
        if need.required {
            let question = Question::new(&flag, format!("   {}: {words}:", need.name), None);
            if let Some(answer) = question.answer(asker, None, some, missing)? {
                params.insert(need.name.clone(), answer.into());
            }
            continue;
        }
        let otherwise = need.default.as_ref().map_or_else(|| "none".to_owned(), plain);
        let asks = format!("   {}: {words} (empty: {otherwise}):", need.name);
        // An empty answer is one, and leaves it to the definition.
        let answer =
            Question::new(&flag, asks, None).answer(asker, Some("").filter(|_| asker == Asker::Nobody), any, missing)?;
        match answer.filter(|answer| !answer.is_empty()) {
            Some(answer) => drop(params.insert(need.name.clone(), answer.into())),
            None => left_out.push(need),
        }
    }
    Ok((params, left_out))
}

/// A value as a person types it.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

impl<'a> Question<'a> {
    fn new(flag: &'a str, asks: impl Into<String>, default: Option<&str>) -> Self {
        Self { flag, asks: asks.into(), default: default.map(ToOwned::to_owned) }
    }

    /// The answer; `None` where nobody can be asked.
    fn answer<T>(
        &self,
        asker: Asker,
        said: Option<&str>,
        judge: impl Fn(&str) -> Result<T, String>,
        missing: &mut Vec<String>,
    ) -> Result<Option<T>, Failure> {
        let wrong = |why: String| Failure::new(Exit::Usage, format!("{}: {why}; nothing was written", self.flag));
        if let Some(text) = said {
            return judge(text.trim()).map(Some).map_err(wrong);
        }
        if asker == Asker::Nobody {
            return match &self.default {
                Some(default) => judge(default).map(Some).map_err(wrong),
                None => {
                    missing.push(self.flag.to_owned());
                    Ok(None)
                }
            };
        }
        let mut last = String::new();
        for _ in 0..TRIES {
            let typed = self.ask()?;
            let text = if typed.is_empty() { self.default.clone().unwrap_or_default() } else { typed };
            match judge(&text) {
                Ok(answer) => return Ok(Some(answer)),
                Err(why) => {
                    tell(&format!("   {why}"));
                    last = why;
                }
            }
        }
        Err(wrong(last))
    }

    fn ask(&self) -> Result<String, Failure> {
        let default = self.default.as_ref().map(|default| format!(" [{default}]")).unwrap_or_default();
        let shown = Screen::plain().render(&format!("{}{default} ", self.asks));
        let mut line = String::new();
        let mut err = std::io::stderr().lock();
        let asked = err.write_all(shown.as_bytes()).and_then(|()| err.flush());
        let read = asked.and_then(|()| std::io::stdin().read_line(&mut line));
        match read {
            Ok(1..) => Ok(line.trim().to_owned()),
            _ => Err(Failure::new(Exit::Usage, "no answer; nothing was written")),
        }
    }
}

fn some(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("it is needed".to_owned()) } else { Ok(text.to_owned()) }
}

fn any(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

fn named(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_control) { Err("a name without control characters".to_owned()) } else { some(text) }
}

fn command(text: &str) -> Result<Vec<String>, String> {
    if text.is_empty() || text == "none" {
        return Ok(Vec::new());
    }
    if !text.starts_with('/') {
        return Err("the whole path of the program, such as /usr/local/bin/deploy, then its arguments; or none".to_owned());
    }
    if text.contains(['"', '\'', '$', '|', ';', '&', '`', '<', '>']) {
        return Err("it is started without a shell: write a small script for what needs one, and name that".to_owned());
    }
    Ok(text.split_whitespace().map(ToOwned::to_owned).collect())
}

fn who(text: &str) -> Result<String, String> {
    let is_mail =
        text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.')) && !text.contains(['/', ' ']);
    let is_url = text.starts_with("https://") || text.starts_with("http://127.0.0.1") || text.starts_with("http://localhost");
    if is_mail || is_url {
        Ok(text.to_owned())
    } else {
        Err("a mail address, or an address that begins with https://".to_owned())
    }
}

/// Reads a place: `KIND:ADDRESS#FIELD`.
fn place(text: &str) -> Result<Place, String> {
    let wrong = || format!("it is typed {PLACES}");
    let (place, field) = text.rsplit_once('#').filter(|(_, field)| !field.is_empty()).ok_or_else(wrong)?;
    let (word, rest) = place.split_once(':').ok_or_else(wrong)?;
    let starter: &Starter = STORE_STARTERS.iter().find(|starter| starter.word == word).ok_or_else(wrong)?;
    let whole = |address: &str, mount: &str, path: &str| {
        let filled = !address.is_empty() && !path.is_empty();
        filled.then(|| Place {
            text: starter.text,
            address: address.to_owned(),
            mount: mount.to_owned(),
            path: path.to_owned(),
            field: field.to_owned(),
        })
    };
    let read = match starter.typed {
        Typed::File => rest.rsplit_once('/').filter(|_| rest.starts_with('/')).and_then(|(dir, name)| whole(dir, "", name)),
        Typed::Region => rest.split_once('/').and_then(|(region, path)| whole(region, "", path)),
        Typed::Url => rest.split_once("://").and_then(|(scheme, rest)| {
            let (host, rest) = rest.split_once('/')?;
            let (mount, path) = rest.split_once('/')?;
            whole(&format!("{scheme}://{host}"), mount, path)
        }),
    };
    read.ok_or_else(wrong)
}

/// What a policy is called after its place: the last part of the path, without its ending.
fn policy_name(place: &Place, provider: &str) -> String {
    let stem = Path::new(&place.path).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let name: String = stem.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).take(64).collect();
    if name.is_empty() { provider.to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::{command, place, policy_name, who};

    #[test]
    fn a_place_is_read_as_it_is_typed() {
        let file = place("file:/etc/app/app.env#KEY").unwrap();
        assert_eq!((file.address.as_str(), file.path.as_str(), file.field.as_str()), ("/etc/app", "app.env", "KEY"));
        assert_eq!(policy_name(&file, "x"), "app");
        let url = place("vault:https://v.example.com:8200/secret/apps/crm#KEY").unwrap();
        assert_eq!(
            (url.address.as_str(), url.mount.as_str(), url.path.as_str()),
            ("https://v.example.com:8200", "secret", "apps/crm")
        );
        assert_eq!(policy_name(&url, "x"), "crm");
        let region = place("aws:eu-central-1/apps/crm#KEY").unwrap();
        assert_eq!((region.address.as_str(), region.path.as_str()), ("eu-central-1", "apps/crm"));
        assert_eq!(policy_name(&place("file:/etc/.env#K").unwrap(), "x"), "env");
        for wrong in [
            "",
            "/etc/app.env",
            "file:/etc/app.env",
            "file:app.env#K",
            "file:/etc/#K",
            "s3:x/y#K",
            "vault:https://h/x#K",
            "aws:x#K",
        ] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_needs_a_shell_or_tells_nobody_is_no_answer() {
        assert_eq!(command("none").unwrap(), Vec::<String>::new());
        assert_eq!(command("/bin/deploy crm").unwrap(), ["/bin/deploy", "crm"]);
        for wrong in ["deploy", "/bin/sh -c 'x'", "/bin/a | /bin/b"] {
            assert!(command(wrong).is_err(), "{wrong}");
        }
        for right in ["ops@example.com", "https://chat.example.com/hooks/x"] {
            assert!(who(right).is_ok(), "{right}");
        }
        for wrong in ["", "ops", "@example.com", "http://example.com/x", "ops@localhost"] {
            assert!(who(wrong).is_err(), "{wrong}");
        }
    }
}
