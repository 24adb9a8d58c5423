//! Arguments → verb → exit status.

use std::process::ExitCode;

use clap::Parser as _;
use cutover::cli::{Cli, Exit};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            // Where the message cannot be written, the status still tells.
            let _unwritten = error.print();
            return exit.into();
        }
    };
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("cutover: TLS is set up twice; this is a fault of the program");
        return Exit::Failed.into();
    }
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(cli.run()).into(),
        Err(error) => {
            eprintln!("cutover: the runtime does not start ({error})");
            Exit::Failed.into()
        }
    }
}
