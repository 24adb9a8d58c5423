//! Opens references to secrets: the environment, files, systemd credentials.

use std::path::{Path, PathBuf};

use cutover_api::{Secret, SecretRef, reference, unread};
use zeroize::Zeroizing;

/// Opens references on this machine.
pub struct References {
    credentials: Option<PathBuf>,
}

/// A secret that is longer is no secret but a mistake.
const LONGEST: u64 = 64 * 1024;

impl References {
    /// With systemd's `$CREDENTIALS_DIRECTORY`, where there is one.
    #[must_use]
    pub fn from_environment() -> Self {
        Self { credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from) }
    }

    fn read(path: &Path, what: &SecretRef) -> Result<Secret, String> {
        let from = match what {
            SecretRef::Credential(name) => format!("`LoadCredentialEncrypted={name}:…` in the unit puts it there"),
            _ => "write the secret into it, mode 0600".to_owned(),
        };
        let told = |error: &std::io::Error| unread(path, error, &from);
        let size = std::fs::metadata(path).map_err(|error| told(&error))?.len();
        if size > LONGEST {
            return Err(format!("{what} is longer than {LONGEST} bytes"));
        }
        let bytes = Zeroizing::new(std::fs::read(path).map_err(|error| told(&error))?);
        let text = std::str::from_utf8(&bytes).map_err(|_| format!("{what} is not text"))?;
        checked(text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text)), what)
    }
}

fn checked(text: &str, what: &SecretRef) -> Result<Secret, String> {
    if text.is_empty() {
        return Err(format!("{what} is empty"));
    }
    Ok(Secret::new(text.to_owned()))
}

impl reference::References for References {
    fn open(&self, reference: &SecretRef) -> Result<Secret, String> {
        match reference {
            SecretRef::Env(name) => {
                let value = std::env::var(name).map_err(|_| format!("{reference} is not set (or not text)"))?;
                checked(&Zeroizing::new(value), reference)
            }
            SecretRef::File(path) => Self::read(Path::new(path), reference),
            SecretRef::Credential(name) => {
                if name.contains('/') || name == ".." || name == "." {
                    return Err(format!("{reference}: a credential's name holds no path"));
                }
                let directory = self.credentials.as_ref().ok_or_else(|| {
                    format!("{reference}: $CREDENTIALS_DIRECTORY is not set; it comes from LoadCredential= in the unit")
                })?;
                Self::read(&directory.join(name), reference)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use cutover_api::SecretRef;
    use cutover_api::reference::References as _;

    use super::References;

    #[test]
    fn one_trailing_newline_is_dropped_and_nothing_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key");
        std::fs::write(&path, " a b \n\n").expect("written");
        let references = References { credentials: Some(directory.path().to_owned()) };
        let file = SecretRef::File(path.display().to_string());
        assert_eq!(references.open(&file).expect("opened").expose(), " a b \n");
        assert_eq!(references.open(&SecretRef::Credential("key".into())).expect("opened").expose(), " a b \n");
        assert!(references.open(&SecretRef::Credential("../key".into())).is_err());
        std::fs::write(&path, "\n").expect("written");
        assert!(references.open(&file).err().expect("refused").contains("is empty"));
    }

    /// "cannot be read (entity not found)" told nobody what to do.
    #[test]
    fn a_secret_that_is_not_there_is_told_with_what_puts_it_there() {
        let directory = tempfile::tempdir().expect("a directory");
        let references = References { credentials: Some(directory.path().to_owned()) };
        let told = |reference: SecretRef| references.open(&reference).err().expect("refused");
        let path = directory.path().join("x").display().to_string();
        assert_eq!(
            told(SecretRef::File(path.clone())),
            format!("there is no file {path}: write the secret into it, mode 0600")
        );
        assert!(told(SecretRef::Credential("x".into())).contains("`LoadCredentialEncrypted=x:…` in the unit"));
    }
}
