//! Opens what a verb needs in its own process: catalogue, configuration, sealing keys, ledger.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cutover_api::reference::References as _;
use cutover_api::{Clock as _, Problem, SecretRef, Surroundings, Table, Value};
use cutover_config::Config;
use cutover_ledger::{OpenErrorKind, SealKeys, SqliteLedger};

use super::exit::{Exit, Failure};
use super::words::shell_word;
use crate::catalog::{Catalog, definitions_directory};
use crate::engine::{References, WallClock};

/// Where the control socket is when the configuration cannot tell.
const CONTROL: &str = "/run/cutover/control.sock";

/// How often a ledger that somebody else has is tried again, where no daemon answers: a verb that looks, or a daemon that is starting, has
/// it for a moment. With [`AGAIN`] between: ten seconds.
pub const TRIES: u32 = 100;
/// How long until it is tried again.
pub const AGAIN: Duration = Duration::from_millis(100);

/// Problems, one a line.
#[must_use]
pub fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

/// The catalogue with the operator's own definitions.
///
/// # Errors
/// Everything that is wrong with a definition.
pub fn catalog(clock: &Arc<WallClock>) -> Result<Catalog, Vec<Problem>> {
    Catalog::open(around(clock), &definitions_directory())
}

/// The catalogue with the shipped definitions alone.
///
/// # Errors
/// As [`catalog`].
pub fn shipped(clock: &Arc<WallClock>) -> Result<Catalog, Vec<Problem>> {
    // A path below a file names no directory, whatever is on the disk.
    Catalog::open(around(clock), Path::new("/dev/null/none"))
}

fn around(clock: &Arc<WallClock>) -> Surroundings {
    let clock = Arc::<WallClock>::clone(clock);
    Surroundings { references: Arc::new(References::from_environment()), clock }
}

/// Catalogue and configuration.
///
/// # Errors
/// Everything that is wrong with either.
pub fn config(file: &Path, clock: &Arc<WallClock>) -> Result<(Config, Catalog), Vec<Problem>> {
    let catalog = catalog(clock)?;
    let config = cutover_config::load(file, &catalog)?;
    Ok((config, catalog))
}

/// All problems as one failure.
#[must_use]
pub fn wrong(file: &Path, problems: &[Problem]) -> Failure {
    let count = super::words::counted(problems.len(), "problem", "problems");
    let text = format!("{}: not usable: {count}", file.display());
    Failure { problems: lines(problems), ..Failure::new(Exit::Usage, text) }
}

/// The ledger of a configuration.
///
/// # Errors
/// A sealing key that is none, or a ledger that does not open; a locked one with exit 4.
pub async fn ledger(config: &Config, clock: &WallClock) -> Result<Arc<SqliteLedger>, Failure> {
    let keys = seal_keys(config)?;
    let opened = SqliteLedger::open(&config.daemon.ledger, &config.daemon.name, keys, std::process::id(), clock.now()).await;
    opened.map(Arc::new).map_err(|error| {
        let exit = if error.kind == OpenErrorKind::Locked { Exit::Refused } else { Exit::Failed };
        Failure::new(exit, error.to_string())
    })
}

/// The sealing keys of a configuration.
///
/// # Errors
/// A reference that does not open, or holds no key.
pub fn seal_keys(config: &Config) -> Result<SealKeys, Failure> {
    let references = References::from_environment();
    let failed = |detail: String| Failure::new(Exit::Failed, format!("sealing key: {detail}"));
    let cure = |file: &str| {
        let made = format!("`(umask 077; cutover keygen > {file})` makes one for a new ledger");
        format!("{made}; a ledger that is there needs the one it was made with ([daemon] seal says where it is read)")
    };
    let opened = |reference: &SecretRef| match reference {
        SecretRef::File(path) if matches!(Path::new(path).try_exists(), Ok(false)) => {
            Err(format!("there is no file {path}: {}", cure(&shell_word(path))))
        }
        reference => references.open(reference).map_err(|detail| format!("{detail}: {}", cure("FILE"))),
    };
    let texts: Result<Vec<_>, String> = config.daemon.seal.iter().map(opened).collect();
    SealKeys::parse(&texts.map_err(failed)?).map_err(|error| failed(format!("{error}: {}", cure("FILE"))))
}

/// The control socket that the configuration names. Read on its own, so that a running daemon is reached also while the file is being edited.
#[must_use]
pub fn control(file: &Path) -> PathBuf {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let table = Table::parse(&file.display().to_string(), &text).ok();
    let named = table.as_ref().and_then(|table| match &table.get("daemon")?.value {
        Value::Table(daemon) => match &daemon.get("control")?.value {
            Value::Text(path) if path.starts_with('/') => Some(PathBuf::from(path)),
            _ => None,
        },
        _ => None,
    });
    named.unwrap_or_else(|| PathBuf::from(CONTROL))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::control;

    #[test]
    fn the_socket_is_found_in_a_file_that_is_wrong_otherwise() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cutover.toml");
        let default = Path::new("/run/cutover/control.sock");
        assert_eq!(control(&file), default);
        std::fs::write(&file, "[daemon]\nnam = \"typo\"\ncontrol = \"/tmp/x.sock\"\n[policy.a]\n").unwrap();
        assert_eq!(control(&file), Path::new("/tmp/x.sock"));
        std::fs::write(&file, "[daemon]\ncontrol = 5\n").unwrap();
        assert_eq!(control(&file), default);
        std::fs::write(&file, "[daemon\n").unwrap();
        assert_eq!(control(&file), default);
    }
}
