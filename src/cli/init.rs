//! `cutover init`: a first configuration, after five questions. It never asks for a secret and never writes over anything.

mod answers;
mod draft;

use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use self::answers::{Answers, Asker};
use super::Common;
use super::exit::{Exit, Failure};
use super::open;
use super::screen::{Screen, print_json};
use super::words::shell_word;
use crate::engine::WallClock;

/// The configuration holds no secret; whoever runs the daemon must be able to read it.
const MODE: u32 = 0o644;

/// Arguments of `init`. Whatever is not said is asked for, on a terminal.
#[derive(clap::Args, Clone, Debug)]
pub struct InitArgs {
    /// What this environment is called: it stands in every alert
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Who issues the key: `cutover providers` lists them
    #[arg(long, value_name = "PROVIDER")]
    pub provider: Option<String>,
    /// What the provider's definition asks for; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = super::keys::param)]
    pub params: Vec<(String, Value)>,
    /// Where the application reads the key: file:/etc/app/app.env#FIELD, vault:https://HOST:8200/MOUNT/PATH#FIELD, aws:REGION/NAME#FIELD
    #[arg(long, value_name = "PLACE")]
    pub target: Option<String>,
    /// The program that makes the application read it again, with its arguments; none = it reads it at each use
    #[arg(long, value_name = "COMMAND")]
    pub redeploy: Option<String>,
    /// Who is told: a mail address, or the https:// address of a webhook
    #[arg(long, value_name = "WHO")]
    pub notify: Option<String>,
    /// What the policy is called; made up from the target otherwise
    #[arg(long, value_name = "NAME")]
    pub policy: Option<String>,
}

/// Carries it out.
///
/// # Errors
/// There is a configuration already, something was not said, or what was said is not right; then nothing was written.
pub fn run(common: &Common, args: &InitArgs) -> Result<Exit, Failure> {
    let file = absolute(&common.config)?;
    if std::fs::symlink_metadata(&file).is_ok() {
        let text = format!("{} is there already and is never overwritten: name another file with --config", file.display());
        return Err(Failure::new(Exit::Refused, text));
    }
    parent_of(&file)?;
    let clock = WallClock::real();
    let catalog = open::catalog(&clock).map_err(|problems| open::wrong(&file, &problems))?;
    let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let answers = Answers::gather(args, &catalog, if terminal { Asker::Terminal } else { Asker::Nobody })?;
    let draft = draft::Draft::of(&file, &answers, &catalog);
    let judged = cutover_config::parse(&[(file.display().to_string(), draft.text.clone())], &catalog);
    if let Err(problems) = judged {
        let text = "the answers do not make a configuration that is right; nothing was written".to_owned();
        return Err(Failure { problems: open::lines(&problems), ..Failure::new(Exit::Usage, text) });
    }
    write(&file, &draft.text)?;
    if common.json {
        let document =
            json!({ "version": 1, "file": file, "policy": answers.policy, "files": draft.files, "next": draft.next });
        print_json(&document, false);
    } else {
        Screen::stdout().print(&in_words(&file, &draft));
    }
    Ok(Exit::Done)
}

/// A directory that is not there is, as a rule, a name that was mistyped: none is made, and that is said before anything is asked.
fn parent_of(file: &Path) -> Result<(), Failure> {
    let parent = file.parent().unwrap_or(Path::new("/"));
    let said = match std::fs::metadata(parent) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => format!("{} is no directory: name another file with --config", parent.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => format!(
            "there is no directory {0}: `mkdir -p {1}` makes it, or name another file with --config",
            parent.display(),
            shell_word(&parent.display().to_string())
        ),
        Err(error) => format!("{} cannot be looked at ({error})", parent.display()),
    };
    Err(Failure::new(Exit::Usage, said + "; nothing was written"))
}

fn absolute(file: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(file).map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", file.display())))
}

/// Written whole or not at all, and never over anything.
fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        let exit = if error.kind() == std::io::ErrorKind::AlreadyExists { Exit::Refused } else { Exit::Failed };
        Failure::new(exit, format!("{} was not written ({})", file.display(), error.kind()))
    };
    let mut out = std::fs::OpenOptions::new().write(true).create_new(true).mode(MODE).open(file).map_err(failed)?;
    let written = out.write_all(text.as_bytes()).and_then(|()| out.sync_all());
    written.map_err(|error| {
        // Half a configuration is none.
        let _gone = std::fs::remove_file(file);
        failed(error)
    })
}

fn in_words(file: &Path, draft: &draft::Draft) -> String {
    let mut text = format!("Wrote {}: it is commented, and holds no secret.\n", file.display());
    if !draft.files.is_empty() {
        text.push_str("Put the secrets where it says they are read (mode 0600; cutover never asks for them):\n");
        draft.files.iter().for_each(|(what, path)| text.push_str(&format!("  {path}: {what}\n")));
    }
    text.push_str("Next:\n");
    draft.next.iter().for_each(|(command, does)| text.push_str(&format!("  {command}\n      {does}\n")));
    text
}

#[cfg(test)]
mod tests;
