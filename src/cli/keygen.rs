//! `cutover keygen`: a new sealing key on standard output, and nothing else there.

use std::io::{IsTerminal, Write};

use cutover_ledger::SealKeys;

use super::Common;
use super::exit::{Exit, Failure};
use super::screen::{print_json, tell};

const WHERE: &str = "\
Keep it where only root reads it, e.g.: cutover keygen | systemd-creds encrypt --name=seal-key - /etc/credstore.encrypted/seal-key
Then LoadCredentialEncrypted=seal-key in the unit and seal = { credential = \"seal-key\" } under [daemon]. Without it the ledger does not open.";

/// Prints a key.
///
/// # Errors
/// The system gives no random bytes, or standard output does not take it.
pub fn run(common: &Common) -> Result<Exit, Failure> {
    let key = SealKeys::generate().map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    if common.json {
        print_json(&serde_json::json!({ "version": 1, "key": key.expose() }), false);
    } else {
        let mut out = std::io::stdout().lock();
        let written = out.write_all(key.expose().as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
        written
            .map_err(|error| Failure::new(Exit::Failed, format!("the key was not written whole ({error}): use another one")))?;
    }
    if std::io::stderr().is_terminal() {
        tell(WHERE);
    }
    Ok(Exit::Done)
}
