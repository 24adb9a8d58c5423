//! A value on standard input that nobody sees: no echo on a terminal, no buffer that is not wiped.

use std::io::IsTerminal as _;
use std::os::fd::{AsFd, BorrowedFd};

use cutover_api::Secret;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::oneshot;
use zeroize::{Zeroize as _, Zeroizing};

use super::screen::tell;
use crate::engine::{LONGEST_VALUE, check_value};

/// What a terminal passes on of one line at most.
const TERMINAL_LINE: usize = 4_095;

/// Reads a value: on a terminal one line, asked for by `prompt` and not shown; else everything, with one line end at its end left out.
///
/// # Errors
/// There is none, or it can be no key; never a part of it. Or it was interrupted.
pub async fn read(prompt: &str) -> Result<Secret, String> {
    let terminal = std::io::stdin().is_terminal();
    let echo = if terminal {
        tell(prompt);
        Some(Echo::off()?)
    } else {
        None
    };
    let (sender, value) = oneshot::channel();
    // A thread of its own: a read that never ends must not keep the process from ending.
    std::thread::spawn(move || {
        let stdin = std::io::stdin();
        // Nobody waits any more when it was interrupted.
        let _interrupted = sender.send(collect(stdin.as_fd(), terminal));
    });
    let read = tokio::select! {
        read = value => read.unwrap_or_else(|_| Err(String::from("standard input cannot be read"))),
        _ = tokio::signal::ctrl_c() => Err(String::from("interrupted: nothing was changed")),
    };
    drop(echo);
    let value = read?;
    check_value(&value)?;
    Ok(value)
}

/// Reads until the end of the line (a terminal) or of the input, without a buffer in between.
fn collect(input: BorrowedFd<'_>, one_line: bool) -> Result<Secret, String> {
    let most = LONGEST_VALUE + 3;
    // Of its whole size from the start: growing would leave a copy behind.
    let mut bytes = Zeroizing::new(vec![0_u8; most]);
    let mut length = 0;
    while length < most {
        match rustix::io::read(input, &mut bytes[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(format!("standard input cannot be read ({error})")),
        }
        if one_line && bytes[..length].contains(&b'\n') {
            break;
        }
    }
    if one_line && length >= TERMINAL_LINE {
        return Err(format!(
            "a terminal passes on {TERMINAL_LINE} bytes of a line at most: feed the value in from a file (`< FILE`)"
        ));
    }
    trimmed(&bytes[..length])
}

/// The value without one line end at its end.
fn trimmed(bytes: &[u8]) -> Result<Secret, String> {
    let value = bytes.strip_suffix(b"\n").map_or(bytes, |line| line.strip_suffix(b"\r").unwrap_or(line));
    match String::from_utf8(value.to_vec()) {
        Ok(text) => Ok(Secret::new(text)),
        Err(wrong) => {
            wrong.into_bytes().zeroize();
            Err(String::from("the value is no text"))
        }
    }
}

/// The terminal's echo, switched off until this is dropped.
struct Echo(Termios);

impl Echo {
    fn off() -> Result<Self, String> {
        let failed = |error: rustix::io::Errno| {
            format!("the terminal cannot be told not to show what is typed ({error}): feed the value in from a file (`< FILE`)")
        };
        let before = tcgetattr(std::io::stdin()).map_err(failed)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &silent).map_err(failed)?;
        Ok(Self(before))
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        if tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0).is_err() {
            tell("the terminal still shows nothing of what is typed: say `stty echo`");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsFd as _;

    use super::{LONGEST_VALUE, collect, trimmed};

    #[test]
    fn one_line_end_is_left_out_and_no_more() {
        for (given, kept) in [("x\n", "x"), ("x\r\n", "x"), ("x", "x"), ("x\n\n", "x\n"), ("", ""), ("\n", ""), (" x ", " x ")]
        {
            assert_eq!(trimmed(given.as_bytes()).unwrap().expose(), kept, "{given:?}");
        }
        assert!(trimmed(&[0xff, 0xfe]).is_err());
    }

    #[test]
    fn it_reads_all_of_a_file_and_never_more_than_the_bound() {
        let read = |text: &str| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            std::io::Seek::rewind(&mut file).unwrap();
            collect(file.as_fd(), false)
        };
        assert_eq!(read("pa_live_x\n").unwrap().expose(), "pa_live_x");
        assert_eq!(read(&"x".repeat(LONGEST_VALUE)).unwrap().expose().len(), LONGEST_VALUE);
        assert!(read(&"x".repeat(LONGEST_VALUE * 4)).unwrap().expose().len() > LONGEST_VALUE, "and the check refuses it");
    }
}
