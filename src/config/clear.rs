//! Secrets that stand in the configuration in clear, where no plugin looks: passwords inside URLs.

use std::collections::BTreeSet;

use cutover_api::{Node, Place, Problem, Problems, Table, Value};

/// What must not be repeated by any message.
#[derive(Default)]
pub(crate) struct Secrets(BTreeSet<String>);

/// Reports every password in a URL, anywhere in the files.
pub(crate) fn check(tables: &[Table], problems: &Problems) -> Secrets {
    let mut secrets = Secrets::default();
    for table in tables {
        in_table(table, "", problems, &mut secrets);
    }
    secrets
}

fn in_table(table: &Table, path: &str, problems: &Problems, secrets: &mut Secrets) {
    for (key, entry) in &table.entries {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        in_node(&entry.node, &path, problems, secrets);
    }
}

fn in_node(node: &Node, path: &str, problems: &Problems, secrets: &mut Secrets) {
    match &node.value {
        Value::Text(text) => in_text(text, &node.place, path, problems, secrets),
        Value::Table(table) => in_table(table, path, problems, secrets),
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                in_node(item, &format!("{path}[{n}]"), problems, secrets);
            }
        }
        _ => {}
    }
}

fn in_text(text: &str, place: &Place, path: &str, problems: &Problems, secrets: &mut Secrets) {
    let Some(password) = password(text) else { return };
    secrets.0.insert(text.to_owned());
    secrets.0.insert(password.to_owned());
    let right = "take it out and give it where a secret belongs: { env = \"NAME\" }, { file = \"/path\" } or { credential = \"NAME\" }";
    problems.add(place, path, "a password stands in this URL", right);
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
    /// Takes them out of what others report.
    pub(crate) fn hide(&self, problems: &mut [Problem]) {
        for problem in problems {
            // The longest first: the whole text before the password in it.
            for text in [&mut problem.wrong, &mut problem.right] {
                let mut all: Vec<_> = self.0.iter().filter(|secret| text.contains(secret.as_str())).collect();
                all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
                for secret in all {
                    *text = text.replace(secret.as_str(), "…");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::password;

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
}
