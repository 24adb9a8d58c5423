//! `cutover completions` and `cutover man`: what a shell and a reader want to know of the command line, on standard output.

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

use super::Cli;
use super::exit::{Exit, Failure};
use super::screen::Screen;

/// Arguments of `completions`.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Prints the completions for a shell.
///
/// # Errors
/// None.
pub fn completions(args: CompletionsArgs) -> Result<Exit, Failure> {
    let mut bytes = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "cutover", &mut bytes);
    Screen::stdout().print_raw(&String::from_utf8_lossy(&bytes));
    Ok(Exit::Done)
}

/// Prints the manual page: the program, then each verb.
///
/// # Errors
/// The page cannot be made.
pub fn man() -> Result<Exit, Failure> {
    let page = page().map_err(|error| Failure::new(Exit::Failed, format!("the manual page cannot be made ({error})")))?;
    Screen::stdout().print_raw(&page);
    Ok(Exit::Done)
}

fn page() -> std::io::Result<String> {
    let mut command = Cli::command().max_term_width(0);
    command.build();
    let mut bytes = Vec::new();
    let main = Man::new(command.clone()).title("CUTOVER").section("8").source("cutover").manual("cutover");
    main.render_title(&mut bytes)?;
    // Long places and flags stand in the text: neither stretched nor cut.
    bytes.extend_from_slice(b".ad l\n.nh\n");
    main.render_name_section(&mut bytes)?;
    main.render_synopsis_section(&mut bytes)?;
    main.render_description_section(&mut bytes)?;
    main.render_options_section(&mut bytes)?;
    verbs(&command, "", &mut bytes)?;
    main.render_extra_section(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Each verb with its own synopsis and options, so that one page has all of them.
fn verbs(command: &clap::Command, before: &str, out: &mut Vec<u8>) -> std::io::Result<()> {
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        let name = format!("{before}{}", verb.get_name());
        let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
        // The options that every verb has stand once, above.
        let own = verb.clone().mut_args(|arg| if arg.is_global_set() { arg.hide(true) } else { arg });
        let page = Man::new(own);
        out.extend_from_slice(format!(".SH \"{}\"\n", name.to_uppercase()).as_bytes());
        out.extend_from_slice(format!("{}\n.PP\n", about.replace('\\', "\\e").replace('-', "\\-")).as_bytes());
        let mut part = Vec::new();
        page.render_synopsis_section(&mut part)?;
        page.render_options_section(&mut part)?;
        let text = String::from_utf8_lossy(&part).replace(".SH SYNOPSIS\n", "").replace(".SH OPTIONS\n", "");
        out.extend_from_slice(text.as_bytes());
        verbs(verb, &format!("{name} "), out)?;
    }
    Ok(())
}
