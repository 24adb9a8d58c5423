//! The command line: arguments → verb → exit status.

mod abandon;
mod adopt;
mod check;
mod completions;
mod confirm;
mod decide;
pub mod demo;
mod door;
mod emergency;
pub mod exit;
pub(crate) mod facts;
mod farewell;
mod harden;
mod hidden;
mod history;
mod init;
mod keygen;
mod keys;
mod ledger;
mod log;
mod modes;
mod moment;
mod open;
mod plan;
mod providers;
mod reload;
mod resume;
mod rotate;
mod run;
mod screen;
mod select;
mod service;
mod status;
mod submit;
mod suspend;
#[cfg(test)]
mod tests;
mod wait;
pub(crate) mod words;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub use exit::{Exit, Failure};

/// Rotates API keys and proves that nobody went down while it did
#[derive(Parser, Debug)]
#[command(name = "cutover", version, disable_help_subcommand = true, max_term_width = 110, after_help = EXITS)]
pub struct Cli {
    /// What every verb knows.
    #[command(flatten)]
    pub common: Common,
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What every verb knows.
#[derive(clap::Args, Clone, Debug)]
pub struct Common {
    /// The configuration
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "CUTOVER_CONFIG",
        hide_env_values = true,
        default_value = "/etc/cutover/cutover.toml"
    )]
    pub config: PathBuf,
    /// Print a JSON document instead of text
    #[arg(long, global = true)]
    pub json: bool,
}

const EXITS: &str = "\
Exit status: 0 done, 1 failed, 2 usage or configuration, 3 held: a person is needed, 4 refused by a guard or a locked ledger, \
5 a wait ended too early. Of many results 1 comes before 3 before 4.";

/// The verbs.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Run the daemon
    Run,
    /// The whole story on an embedded provider, store and consumer; nothing to set up
    Demo,
    /// Write a first configuration, after five questions
    Init(init::InitArgs),
    /// Check the configuration; with --online everything it needs
    Check(check::CheckArgs),
    /// Rotate the selected policies now
    Rotate(rotate::RotateArgs),
    /// How the policies stand
    Status(status::StatusArgs),
    /// What will happen when; a calendar; what a changed configuration would change
    Plan(plan::PlanArgs),
    /// Who rotated what, when, why, on which evidence
    History(history::HistoryArgs),
    /// Say that the new key is in use; with --retire, that the old one may be ended
    Confirm(confirm::ConfirmArgs),
    /// Look again and repeat what is safe; without a policy: the clock is right, nothing is suspended
    Resume(resume::ResumeArgs),
    /// Give a rotation up
    Abandon(abandon::AbandonArgs),
    /// The key that stands in the targets counts as known, or by its id as ours
    Adopt(adopt::AdoptArgs),
    /// Hand in a key you made, or found after an answer was lost; its value on standard input
    Submit(submit::SubmitArgs),
    /// No date starts a rotation of the selected policies for a while
    Suspend(suspend::SuspendArgs),
    /// The providers that are known; a definition checked
    Providers(providers::ProvidersArgs),
    /// The provider's keys beside the ledger's: ours, adopted, unknown, orphan
    Keys(keys::KeysArgs),
    /// Copy the ledger: backup, restore, another place
    Ledger(ledger::LedgerArgs),
    /// Print a new sealing key
    Keygen,
    /// Print the completions for a shell
    Completions(completions::CompletionsArgs),
    /// Print the manual page
    Man,
}

impl Cli {
    /// Carries the verb out.
    pub async fn run(self) -> Exit {
        harden::harden();
        let common = &self.common;
        log::start(!matches!(self.verb, Verb::Run));
        let result = match self.verb {
            Verb::Run => run::run(common).await,
            Verb::Demo => demo::run(common.json).await.map(|()| Exit::Done).map_err(|text| Failure::new(Exit::Failed, text)),
            Verb::Init(args) => init::run(common, &args),
            Verb::Check(args) => check::run(common, &args).await,
            Verb::Rotate(args) => rotate::run(common, &args).await,
            Verb::Status(args) => status::run(common, &args).await,
            Verb::Plan(args) => plan::run(common, &args).await,
            Verb::History(args) => history::run(common, &args).await,
            Verb::Confirm(args) => confirm::run(common, &args).await,
            Verb::Resume(args) => resume::run(common, &args).await,
            Verb::Abandon(args) => abandon::run(common, &args).await,
            Verb::Adopt(args) => adopt::run(common, &args).await,
            Verb::Submit(args) => submit::run(common, &args).await,
            Verb::Suspend(args) => suspend::run(common, &args).await,
            Verb::Providers(args) => providers::run(common, &args),
            Verb::Keys(args) => keys::run(common, &args).await,
            Verb::Ledger(args) => ledger::run(common, &args).await,
            Verb::Keygen => keygen::run(common),
            Verb::Completions(args) => completions::completions(args),
            Verb::Man => completions::man(),
        };
        result.unwrap_or_else(|failure| {
            if common.json {
                let document = serde_json::json!({
                    "version": 1,
                    "error": { "exit": failure.exit as u8, "reason": failure.text, "problems": failure.problems },
                });
                screen::print_json(&document, false);
            }
            failure.problems.iter().for_each(|problem| screen::tell(problem));
            screen::tell(&format!("cutover: {}", failure.text));
            failure.exit
        })
    }
}
