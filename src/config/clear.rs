//! Secrets that stand in the configuration in clear where no plugin looks for them: passwords inside URLs, literal credentials in requests.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use cutover_api::{Node, Place, Problem, Problems, Table, Value};

/// What must not be repeated by any message, and where it stands.
#[derive(Default)]
pub(crate) struct Secrets {
    texts: BTreeSet<String>,
    places: BTreeSet<Place>,
}

/// Shorter texts are not hidden: too much else reads the same.
const SHORTEST: usize = 4;

/// What is wrong with a password in a URL; also by what our own problems are told from others at the same place.
const IN_URL: &str = "a password stands in this URL";
/// What is wrong with a literal credential.
const LITERAL: &str = "a secret stands here in clear";

/// Reports every such secret, anywhere in the files.
pub(crate) fn check(tables: &[Table], problems: &Problems) -> Secrets {
    let mut search = Search { path: String::new(), problems, secrets: Secrets::default() };
    tables.iter().for_each(|table| search.in_table(table));
    search.secrets
}

/// The search of one file.
struct Search<'a> {
    /// Where it is: the whole path of a key.
    path: String,
    problems: &'a Problems,
    secrets: Secrets,
}

impl Search<'_> {
    /// Looks at what stands below, one step further down the path.
    fn below(&mut self, step: std::fmt::Arguments<'_>, look: impl FnOnce(&mut Self)) {
        let above = self.path.len();
        // Writing to a text cannot fail.
        let _ = self.path.write_fmt(step);
        look(self);
        self.path.truncate(above);
    }

    fn in_table(&mut self, table: &Table) {
        for (key, entry) in &table.entries {
            let credential = is_credential(&self.path, key);
            let dot = if self.path.is_empty() { "" } else { "." };
            self.below(format_args!("{dot}{key}"), |search| match &entry.node.value {
                Value::Text(text) if credential && !text.is_empty() && !text.contains("{{") => {
                    search.secrets.keep(text, &entry.node.place);
                    let right = "write {{ credential }} here, and beside it credential = { env = \"NAME\" }, { file = \"/path\" } or { credential = \"NAME\" }";
                    search.problems.add(&entry.node.place, search.path.as_str(), LITERAL, right);
                }
                _ => search.in_node(&entry.node),
            });
        }
    }

    fn in_node(&mut self, node: &Node) {
        match &node.value {
            Value::Text(text) => {
                if let Some(password) = password(text) {
                    self.secrets.keep(text, &node.place);
                    self.secrets.keep(password, &node.place);
                    let right = "take it out and give it where a secret belongs: { env = \"NAME\" }, { file = \"/path\" } or { credential = \"NAME\" }";
                    self.problems.add(&node.place, self.path.as_str(), IN_URL, right);
                }
            }
            Value::Table(table) => self.in_table(table),
            Value::Array(items) => {
                let before = self.secrets.places.len();
                for (n, item) in items.iter().enumerate() {
                    self.below(format_args!("[{n}]"), |search| search.in_node(item));
                }
                // Readers of an array report it where it begins.
                if self.secrets.places.len() > before {
                    self.secrets.places.insert(node.place.clone());
                }
            }
            _ => {}
        }
    }
}

/// Keys of requests under which a literal can only be a credential.
fn is_credential(path: &str, key: &str) -> bool {
    let (outer, table) = path.rsplit_once('.').unwrap_or(("", path));
    match table {
        "headers" => {
            ["authorization", "proxy-authorization", "cookie", "x-api-key"].iter().any(|name| key.eq_ignore_ascii_case(name))
        }
        "auth" => key == "bearer",
        "basic" => key == "password" && outer.ends_with(".auth"),
        "header" => outer.ends_with(".auth"),
        "hmac" => key == "key" && outer.ends_with(".auth"),
        "sigv4" => ["secret_key", "session_token"].contains(&key) && outer.ends_with(".auth"),
        _ => false,
    }
}

/// The password of the first `scheme://user:password@host` in a text.
fn password(text: &str) -> Option<&str> {
    let (_, mut rest) = text.split_once("://")?;
    loop {
        let word = rest.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>')).next().unwrap_or(rest);
        let authority = word.split(['/', '?', '#']).next().unwrap_or(word);
        // A password with a slash in it: no port, and an @ further on.
        let user = authority.rsplit_once('@').map(|(user, _)| user).or_else(|| {
            let port = authority.rsplit_once(':')?.1;
            let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) || authority.ends_with(']');
            if is_port { None } else { word.rsplit_once('@').map(|(user, _)| user) }
        });
        if let Some(found) = user.and_then(|user| user.split_once(':')).map(|(_, password)| password)
            && !found.is_empty()
        {
            return Some(found);
        }
        rest = rest.split_once("://")?.1;
    }
}

impl Secrets {
    fn keep(&mut self, text: &str, place: &Place) {
        self.places.insert(place.clone());
        for text in [text.to_owned(), text.escape_debug().to_string()] {
            if text.chars().count() >= SHORTEST {
                self.texts.insert(text);
            }
        }
    }

    /// Takes them out of what others report. Whatever else is wrong with a value that holds one is left out: it has to be written anew.
    pub(crate) fn hide(&self, problems: &mut Vec<Problem>) {
        if self.places.is_empty() {
            return;
        }
        problems.retain(|problem| [IN_URL, LITERAL].contains(&problem.wrong.as_str()) || !self.places.contains(&problem.place));
        // The longest first: the whole text before the password in it.
        let mut texts: Vec<_> = self.texts.iter().collect();
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        for problem in problems {
            for said in [&mut problem.key, &mut problem.wrong, &mut problem.right] {
                for text in &texts {
                    if said.contains(text.as_str()) {
                        *said = said.replace(text.as_str(), "…");
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{is_credential, password};

    #[test]
    fn passwords_in_urls_are_found() {
        assert_eq!(password("postgres://cutover:hunter2@db/x"), Some("hunter2"));
        assert_eq!(password("GET https://u:p%40@h/x?y=z"), Some("p%40"));
        assert_eq!(password("https://h/ https://u:pw@h"), Some("pw"));
        assert_eq!(password("https://u:p/w@h/x"), Some("p/w"));
        assert_eq!(password("https://:pw@h"), Some("pw"));
    }

    #[test]
    fn other_texts_are_left_alone() {
        for text in [
            "https://h:8200/a@b:c",
            "https://user@h/",
            "https://[::1]:8200/x@y",
            "https://h/a:b@c",
            "user:password@host",
            "sqlite:/var/x.db",
            "https://h",
            "Ops <ops@example.com>",
            "GET https://h/{{ x }}",
        ] {
            assert_eq!(password(text), None, "{text}");
        }
    }

    #[test]
    fn credentials_of_requests_are_known_by_their_keys() {
        assert!(is_credential("notify.x.headers", "Authorization"));
        assert!(is_credential("notify.x.auth", "bearer"));
        assert!(is_credential("policy.x.verify[0].auth.header", "X-Key"));
        assert!(is_credential("policy.x.verify[0].auth.basic", "password"));
        assert!(!is_credential("policy.x.target[0].fields", "Authorization"));
        assert!(!is_credential("policy.x.params.header", "X-Key"));
        assert!(!is_credential("notify.x.headers", "Content-Type"));
    }
}
