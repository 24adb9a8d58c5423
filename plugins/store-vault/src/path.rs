//! Which paths may go into a URL of Vault.
//!
//! The client library puts mount and path into the URL as they are and the URL is normalised afterwards, so `a/../b` or `a?b` would reach
//! another secret than the one named. Only what needs no escaping is let through.

/// The longest path that is taken, in bytes.
const LONGEST: usize = 512;

/// Why a text is not a path, and what would be right; `None` when it is one.
pub(crate) fn fault(path: &str) -> Option<(String, &'static str)> {
    if path.is_empty() {
        return Some(("is empty".to_owned(), "must name a path such as \"apps/crm\""));
    }
    if path.len() > LONGEST {
        return Some((format!("is longer than {LONGEST} bytes"), "must be a shorter path"));
    }
    if path.starts_with('/') {
        return Some(("begins with a slash".to_owned(), "must begin with a name: paths are relative to the mount"));
    }
    for segment in path.split('/') {
        match segment {
            "" => return Some(("has an empty segment".to_owned(), "must have one slash between names and none at the end")),
            "." | ".." => return Some((format!("has the segment \"{segment}\""), "must name every segment")),
            _ => {}
        }
    }
    let stranger = path.chars().find(|c| !c.is_ascii_alphanumeric() && !"/-._~!$&'()*+,;=:@".contains(*c))?;
    let shown = if stranger.is_ascii_graphic() { format!("'{stranger}'") } else { format!("U+{:04X}", u32::from(stranger)) };
    Some((format!("holds the character {shown}"), "must hold only letters, digits, / and -._~!$&'()*+,;=:@"))
}

/// The mistake of writing the API's path where the secret's path belongs.
pub(crate) fn names_the_api(mount: &str, path: &str) -> bool {
    path.strip_prefix(mount).is_some_and(|rest| rest.starts_with("/data/") || rest.starts_with("/metadata/"))
}

#[cfg(test)]
mod tests {
    use super::{fault, names_the_api};

    #[test]
    fn only_what_needs_no_escaping_is_a_path() {
        for good in ["apps", "apps/crm", "a.b/c-d_e~f", "team@x/key=1", "...", "a..b", "x/.hidden"] {
            assert_eq!(fault(good), None, "{good}");
        }
        for (bad, wrong) in [
            ("", "is empty"),
            ("/apps", "begins with a slash"),
            ("apps/", "has an empty segment"),
            ("apps//crm", "has an empty segment"),
            ("apps/../other", "has the segment \"..\""),
            ("..", "has the segment \"..\""),
            ("apps/./crm", "has the segment \".\""),
            ("apps/crm?version=1", "holds the character '?'"),
            ("apps#crm", "holds the character '#'"),
            ("apps/%2e%2e/other", "holds the character '%'"),
            ("apps\\..\\other", "holds the character '\\'"),
            ("apps/c rm", "holds the character U+0020"),
            ("apps/crm\r\nX-Vault-Token: x", "holds the character U+000D"),
            ("apps/crm\u{0}", "holds the character U+0000"),
            ("apps/größe", "holds the character U+00F6"),
        ] {
            assert_eq!(fault(bad).map(|(wrong, _)| wrong).as_deref(), Some(wrong), "{bad:?}");
        }
        assert!(fault(&"a".repeat(512)).is_none());
        assert!(fault(&"a".repeat(513)).is_some());
    }

    #[test]
    fn the_path_of_the_api_is_told_apart() {
        assert!(names_the_api("secret", "secret/data/apps"));
        assert!(names_the_api("kv/team", "kv/team/metadata/apps"));
        assert!(!names_the_api("secret", "secret/dat/apps"));
        assert!(!names_the_api("secret", "data/apps"));
        assert!(!names_the_api("secret", "secrets/data/apps"));
    }
}
