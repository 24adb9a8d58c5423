//! `[store.x]` as typed → as meant.

use cutover_api::{Reader, SecretRef};
use url::{Host, Url};

use crate::path;

/// Where Kubernetes puts a pod's own token.
const JWT_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// A Vault and how to log in to it. Holds references, never a secret.
pub(crate) struct Settings {
    /// Scheme, host and port; no path.
    pub(crate) address: Url,
    /// Where the KV v2 engine is mounted.
    pub(crate) mount: String,
    /// Sent with every request.
    pub(crate) namespace: Option<String>,
    /// A PEM file with the only roots that are trusted; `None` = the platform's.
    pub(crate) ca: Option<String>,
    /// How to log in.
    pub(crate) auth: Auth,
}

/// How to log in.
pub(crate) enum Auth {
    /// A token that somebody else keeps alive, or that is renewed while it is used.
    Token { token: SecretRef },
    /// A role id and a secret id.
    AppRole { mount: String, role_id: String, secret_id: SecretRef },
    /// The service account token of this pod.
    Kubernetes { mount: String, role: String, jwt: SecretRef },
}

impl Settings {
    /// Reads the table and reports every problem; `None` when there was one.
    pub(crate) fn read(reader: &Reader<'_>) -> Option<Self> {
        let before = reader.problems().count();
        reader.known("kind");
        let address = reader.require_text("address", "must be the server's URL such as \"https://vault.example.com:8200\"");
        let address = address.and_then(|text| url(reader, text));
        let mount = plain(reader, "mount", reader.text("mount").unwrap_or("secret"));
        let namespace = reader.text("namespace").and_then(|text| plain(reader, "namespace", text));
        let ca = reader.text("ca").map(str::to_owned);
        if ca.as_deref() == Some("") {
            reader.wrong("ca", "is empty", "must name a PEM file, or be left out");
        }
        let auth = auth(reader);
        reader.finish();
        let settings = Self { address: address?, mount: mount?, namespace, ca, auth: auth? };
        (reader.problems().count() == before).then_some(settings)
    }
}

fn url(reader: &Reader<'_>, text: &str) -> Option<Url> {
    let right = "must be scheme, host and port such as \"https://vault.example.com:8200\"";
    let Ok(url) = Url::parse(text) else {
        reader.wrong("address", "is not a URL", right);
        return None;
    };
    let before = reader.problems().count();
    // Nothing of the text is repeated where it could hold a password.
    if !url.username().is_empty() || url.password().is_some() {
        reader.wrong("address", "holds a user name or password", "must be without; logging in is the business of auth = { … }");
    }
    let loopback = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        "http" => {
            reader.wrong("address", "sends secrets over plain http", "must be https; http is for loopback addresses only")
        }
        _ => reader.wrong("address", "is neither https nor http", right),
    }
    if url.host().is_none() || !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        reader.wrong("address", "is more or less than a server", right);
    }
    (reader.problems().count() == before).then_some(url)
}

fn plain(reader: &Reader<'_>, key: &str, text: &str) -> Option<String> {
    if let Some((wrong, right)) = path::fault(text) {
        reader.wrong(key, wrong, right);
        return None;
    }
    Some(text.to_owned())
}

fn auth(reader: &Reader<'_>) -> Option<Auth> {
    let right = "write auth = { method = \"token\" | \"approle\" | \"kubernetes\", … }";
    if !reader.has("auth") {
        reader.wrong("auth", "missing", right);
    }
    let table = reader.table("auth")?;
    if !table.has("method") {
        table.wrong("method", "missing", right);
    }
    let method = table.choice("method", &[("token", 0), ("approle", 1), ("kubernetes", 2)]);
    let auth = match method? {
        0 => secret(&table, "token").map(|token| Auth::Token { token }),
        1 => {
            let mount = plain(&table, "mount", table.text("mount").unwrap_or("approle"));
            let role_id = table.require_text("role_id", "must be the role's id").map(str::to_owned);
            let secret_id = secret(&table, "secret_id");
            approle(mount, role_id, secret_id)
        }
        _ => {
            let mount = plain(&table, "mount", table.text("mount").unwrap_or("kubernetes"));
            let role = table.require_text("role", "must be the role's name").map(str::to_owned);
            let jwt = table.text("jwt_file").unwrap_or(JWT_FILE).to_owned();
            if jwt.is_empty() {
                table.wrong("jwt_file", "is empty", "must name the file with the service account's token, or be left out");
            }
            let jwt = SecretRef::File(jwt);
            mount.zip(role).map(|(mount, role)| Auth::Kubernetes { mount, role, jwt })
        }
    };
    table.finish();
    auth
}

fn approle(mount: Option<String>, role_id: Option<String>, secret_id: Option<SecretRef>) -> Option<Auth> {
    Some(Auth::AppRole { mount: mount?, role_id: role_id?, secret_id: secret_id? })
}

fn secret(table: &Reader<'_>, key: &str) -> Option<SecretRef> {
    if !table.has(key) {
        let three = "write { env = \"NAME\" }, { file = \"/path\" } or { credential = \"NAME\" }";
        table.wrong(key, "missing", three);
    }
    table.secret(key)
}

#[cfg(test)]
mod tests {
    use cutover_api::{Problems, Reader, SecretRef, Table};

    use super::{Auth, Settings};

    fn read(text: &str) -> (Option<Settings>, Vec<String>) {
        let table = Table::parse("c.toml", text).expect("valid TOML");
        let problems = Problems::default();
        let settings = Settings::read(&Reader::new(&table, "store.vault", &problems));
        (settings, problems.take().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let (settings, problems) = read(
            "kind = \"vault\"\naddress = \"https://v.example.com:8200\"\nauth = { method = \"kubernetes\", role = \"r\" }\n",
        );
        assert_eq!(problems, Vec::<String>::new());
        let settings = settings.expect("usable");
        assert_eq!(settings.address.as_str(), "https://v.example.com:8200/");
        assert_eq!((settings.mount.as_str(), settings.namespace, settings.ca), ("secret", None, None));
        let Auth::Kubernetes { mount, role, jwt } = settings.auth else { panic!("another method") };
        assert_eq!((mount.as_str(), role.as_str()), ("kubernetes", "r"));
        assert_eq!(jwt, SecretRef::File("/var/run/secrets/kubernetes.io/serviceaccount/token".to_owned()));
    }

    #[test]
    fn everything_can_be_said() {
        let (settings, problems) = read(
            "kind = \"vault\"\naddress = \"http://[::1]:8200/\"\nmount = \"kv/team\"\nnamespace = \"org/team\"\nca = \"/etc/ca.pem\"\n\
             auth = { method = \"approle\", mount = \"roles\", role_id = \"r\", secret_id = { credential = \"sid\" } }\n",
        );
        assert_eq!(problems, Vec::<String>::new());
        let settings = settings.expect("usable");
        assert_eq!((settings.mount.as_str(), settings.namespace.as_deref()), ("kv/team", Some("org/team")));
        assert_eq!(settings.ca.as_deref(), Some("/etc/ca.pem"));
        let Auth::AppRole { mount, role_id, secret_id } = settings.auth else { panic!("another method") };
        assert_eq!((mount.as_str(), role_id.as_str()), ("roles", "r"));
        assert_eq!(secret_id, SecretRef::Credential("sid".to_owned()));
    }

    #[test]
    fn every_problem_is_told_at_once_with_its_place() {
        let (settings, problems) = read(
            "kind = \"vault\"\naddress = \"http://root:hunter2@vault.example.com/v1?x#y\"\nmount = \"/secret\"\nnamespace = \"a b\"\n\
             adress = \"x\"\nauth = { method = \"token\", token = \"hvs.hunter2\", mount = \"x\" }\n",
        );
        assert!(settings.is_none());
        assert_eq!(
            problems,
            [
                "c.toml:2:11: store.vault.address: holds a user name or password: must be without; logging in is the business of auth = { … }",
                "c.toml:2:11: store.vault.address: sends secrets over plain http: must be https; http is for loopback addresses only",
                "c.toml:2:11: store.vault.address: is more or less than a server: must be scheme, host and port such as \"https://vault.example.com:8200\"",
                "c.toml:3:9: store.vault.mount: begins with a slash: must begin with a name: paths are relative to the mount",
                "c.toml:4:13: store.vault.namespace: holds the character U+0020: must hold only letters, digits, / and -._~!$&'()*+,;=:@",
                "c.toml:5:1: store.vault.adress: unknown key: did you mean \"address\"?",
                "c.toml:6:36: store.vault.auth.token: a secret stands here in clear: write { env = \"NAME\" }, { file = \"/path\" } or { credential = \"NAME\" }",
                "c.toml:6:51: store.vault.auth.mount: unknown key: known here: method, token",
            ]
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let (_, problems) = read("kind = \"vault\"\n");
        assert_eq!(problems.len(), 2);
        assert!(problems[0].contains("store.vault.address: missing: "), "{problems:?}");
        assert!(problems[1].contains("store.vault.auth: missing: "), "{problems:?}");
        let (_, problems) = read("address = \"https://v\"\nauth = { method = \"approle\" }\n");
        assert_eq!(problems.len(), 2);
        assert!(problems[0].contains("store.vault.auth.role_id: missing: "), "{problems:?}");
        assert!(problems[1].contains("store.vault.auth.secret_id: missing: write { env"), "{problems:?}");
        let (_, problems) = read("address = \"https://v\"\nauth = { }\n");
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("store.vault.auth.method: missing: "), "{problems:?}");
        let (_, problems) = read("address = \"https://v\"\nauth = { method = \"ldap\", user = \"x\" }\n");
        assert_eq!(
            problems,
            [
                "c.toml:2:19: store.vault.auth.method: \"ldap\" is not known: must be one of \"token\", \"approle\", \"kubernetes\""
            ]
        );
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        for good in ["http://127.0.0.1:8200", "http://127.9.9.9", "http://localhost:8200", "http://[::1]:1", "https://10.0.0.1"]
        {
            let (settings, problems) =
                read(&format!("address = \"{good}\"\nauth = {{ method = \"token\", token = {{ env = \"T\" }} }}\n"));
            assert!(settings.is_some() && problems.is_empty(), "{good}: {problems:?}");
        }
        for bad in [
            "http://10.0.0.1",
            "http://localhost.example.com",
            "ftp://127.0.0.1",
            "vault.example.com:8200",
            "https://v/vault",
            "/x",
        ] {
            let (settings, problems) =
                read(&format!("address = \"{bad}\"\nauth = {{ method = \"token\", token = {{ env = \"T\" }} }}\n"));
            assert!(settings.is_none() && !problems.is_empty(), "{bad}");
        }
    }
}
