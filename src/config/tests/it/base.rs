//! A sound configuration, and the means to break it.

use cutover_api::Problem;
use cutover_config::{Config, parse};

use crate::kinds::Real;

/// Everything but policies.
pub const AROUND: &str = r#"[daemon]
name = "prod"
seal = { credential = "seal-key" }

[notify.ops]
kind = "smtp"
host = "smtp.example.com"
from = "cutover@example.com"
to = ["ops@example.com"]

[store.vault]
kind = "vault"
address = "https://vault.example.com:8200"
auth = { method = "token", token = { env = "VAULT_TOKEN" } }

[store.aws]
kind = "aws-secrets-manager"
region = "eu-central-1"

[store.env]
kind = "file"
root = "/etc/myapp"

[provider.bondi]
credential = { file = "/run/secrets/bondi-jwt" }

[provider.plana]
credential = { file = "/run/secrets/plana", expires_at = "2027-01-01T00:00:00Z" }

[provider.wrapd]
definition = "wrapd-api-key"
credential = { env = "WRAPD_JWT" }

[provider.at-once]
credential = { env = "X" }

[provider.own-use]

[provider.clocked]
credential = { env = "X" }

[provider.outputs]
credential = { env = "X" }
"#;

/// Loads one file.
pub fn load(text: &str) -> Result<Config, Vec<Problem>> {
    load_all(&[("c.toml", text)])
}

/// Loads several.
pub fn load_all(files: &[(&str, &str)]) -> Result<Config, Vec<Problem>> {
    let files: Vec<_> = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    parse(&files, &Real::new())
}

/// What is wrong with a file, as it is printed.
pub fn problems(text: &str) -> Vec<String> {
    printed(load(text))
}

/// What is wrong, as it is printed.
pub fn printed(loaded: Result<Config, Vec<Problem>>) -> Vec<String> {
    loaded.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

/// A sound configuration.
pub fn sound(text: &str) -> Config {
    load(text).unwrap_or_else(|problems| panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
}

/// The notes on a configuration.
pub fn notes(text: &str) -> Vec<String> {
    sound(text).notes.iter().map(ToString::to_string).collect()
}
