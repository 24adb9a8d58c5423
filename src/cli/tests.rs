//! Arguments, help, and what every verb shares.

use clap::{CommandFactory as _, Parser as _};

use super::{Cli, Verb};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("cutover").chain(line.split_whitespace()))
}

#[test]
fn the_arguments_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn what_is_right_is_taken() {
    let lines = [
        "run",
        "run --config /tmp/c.toml",
        "--config /tmp/c.toml run",
        "demo --json",
        "check",
        "check --online --send-test-alert",
        "check --online --provider bondi",
        "rotate crm",
        "rotate crm erp --reason leaked --dry-run",
        "rotate --tag prod --tag eu --holder dana@example.com --wait --timeout 30m",
        "rotate --all --wait --json",
        "status",
        "status crm --watch",
        "status --json --all",
        "history crm --limit 5",
        "history --verify --json",
        "history --rotation rot_1",
        "confirm crm",
        "confirm crm --retire --rotation rot_1 --reason seen --yes",
        "resume",
        "resume crm --mint-again",
        "resume crm ads --tag prod",
        "resume --provider bondi --reason fixed",
        "abandon crm --rotation rot_1",
        "rotate crm --emergency --reason stolen --yes",
        "rotate --holder dana --emergency=deploy-first --dry-run",
        "status --emergency",
        "status --emergency emg_1",
        "submit crm",
        "submit crm --id key_2 --old-expires-at 24h --rotation rot_1 --reason made",
        "suspend crm --until 2w",
        "suspend --tag prod --until 2026-12-01 --reason freeze --yes",
        "plan",
        "plan crm --until 2027-06-30 --format ics",
        "plan --tag prod --diff next.toml",
        "keys",
        "keys bondi --toml",
        "keys bondi --param workspace=ws_1 --json",
        "init --name prod --provider bondi --param slug=x",
        "completions bash",
        "man",
        "ledger copy --to sqlite:/b/l.db",
        "ledger copy --from sqlite:/b/l.db --to sqlite:/c/l.db --json",
        "providers",
        "providers list --json",
        "providers show bondi",
        "providers test a.toml",
        "keygen",
    ];
    for line in lines {
        assert!(parse(line).is_ok(), "{line}: {}", parse(line).err().map(|error| error.to_string()).unwrap_or_default());
    }
}

#[test]
fn what_is_wrong_is_usage() {
    let lines = [
        "",
        "rotat crm",
        "run crm",
        "rotate crm --all",
        "rotate --all --tag prod",
        "rotate crm --timeout 30m",
        "rotate crm --wait --timeout 5",
        "rotate crm --wait --timeout 6mo",
        "rotate crm --dry-run --wait",
        "rotate --tag",
        "confirm",
        "confirm crm erp",
        "resume --mint-again",
        "resume crm --mint-again --all",
        "resume crm --mint-again --provider bondi",
        "abandon",
        "abandon --all",
        "history --limit many",
        "submit",
        "submit crm pa_live_x",
        "submit crm --value pa_live_x",
        "suspend crm",
        "suspend --all crm --until 1d",
        "providers show",
        "providers test",
        "plan --until soon",
        "plan --format yaml",
        "plan --diff next.toml --format ics",
        "keys --param workspace=ws_1",
        "keys bondi --toml --json",
        "ledger",
        "ledger copy",
        "completions tcsh",
        "rotate crm --emergency=both",
        "rotate crm --emergency cut-first crm --wait --dry-run",
        "rotate crm --yes",
        "keygen --force",
        "status --no-such-flag",
    ];
    for line in lines {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
    for line in ["--help", "--version", "rotate --help"] {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit_code(), 0, "{line}");
        assert!(!error.use_stderr(), "{line}");
    }
}

#[test]
fn the_selector_is_built_from_its_flags() {
    let cli = parse("rotate crm erp --tag prod --holder dana --holder kim --provider bondi").unwrap();
    let Verb::Rotate(args) = cli.verb else { panic!("another verb") };
    let selector = args.select.selector();
    assert_eq!(selector.policies, ["crm", "erp"]);
    assert_eq!(selector.tags, ["prod"]);
    assert_eq!(selector.holders, ["dana", "kim"]);
    assert_eq!(selector.providers, ["bondi"]);
    assert!(!selector.all && !selector.is_empty());
    let Verb::Status(args) = parse("status").unwrap().verb else { panic!("another verb") };
    assert!(args.select.selector().is_empty());
    let Verb::Rotate(args) = parse("rotate --all").unwrap().verb else { panic!("another verb") };
    assert!(args.select.selector().all);
}

#[test]
fn the_help_is_golden() {
    let expected = "\
Rotates API keys and proves that nobody went down while it did

Usage: cutover [OPTIONS] <COMMAND>

Commands:
  run          Run the daemon
  demo         The whole story on an embedded provider, store and consumer; nothing to set up
  init         Write a first configuration, after five questions
  check        Check the configuration; with --online everything it needs
  rotate       Rotate the selected policies now
  status       How the policies stand
  plan         What will happen when; a calendar; what a changed configuration would change
  history      Who rotated what, when, why, on which evidence
  confirm      Say that the new key is in use; with --retire, that the old one may be ended
  resume       Look again and repeat what is safe; without a policy: the clock is right, nothing is suspended
  abandon      Give a rotation up
  adopt        The key that stands in the targets counts as known, or by its id as ours
  submit       Hand in a key you made, or found after an answer was lost; its value on standard input
  suspend      No date starts a rotation of the selected policies for a while
  providers    The providers that are known; a definition checked
  keys         The provider's keys beside the ledger's: ours, adopted, unknown, orphan
  ledger       Copy the ledger: backup, restore, another place
  keygen       Print a new sealing key
  completions  Print the completions for a shell
  man          Print the manual page

Options:
      --config <FILE>  The configuration [env: CUTOVER_CONFIG] [default: /etc/cutover/cutover.toml]
      --json           Print a JSON document instead of text
  -h, --help           Print help
  -V, --version        Print version

Exit status: 0 done, 1 failed, 2 usage or configuration, 3 held: a person is needed, 4 refused by a guard or a
locked ledger, 5 a wait ended too early. Of many results 1 comes before 3 before 4.
";
    assert_eq!(Cli::command().term_width(110).render_help().to_string(), expected);
}
