//! How the story is told: plain lines, on a terminal and in a pipe alike.

use std::io::{IsTerminal, Write};

use cutover_api::{Message, Stamp};

use crate::engine::times::timestamp;

/// Lines are not longer than this where it can be.
const WIDTH: usize = 80;
/// What stands before the text of a line with a time.
const MARGIN: usize = 11;

/// Where the story is told.
pub(super) struct Voice {
    sink: Option<Box<dyn Write + Send>>,
    bold: bool,
}

impl Voice {
    /// On standard output; headings are bold on a terminal, unless `NO_COLOR` is set.
    pub(super) fn aloud() -> Self {
        let bold = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { sink: Some(Box::new(std::io::stdout())), bold }
    }

    /// To nobody.
    pub(super) fn silent() -> Self {
        Self { sink: None, bold: false }
    }

    /// Into a buffer of the caller's.
    #[cfg(test)]
    pub(super) fn into(sink: Box<dyn Write + Send>) -> Self {
        Self { sink: Some(sink), bold: false }
    }

    /// A line as it is.
    ///
    /// # Errors
    /// Nobody listens any more.
    pub(super) fn line(&mut self, text: &str) -> Result<(), String> {
        let Some(sink) = &mut self.sink else { return Ok(()) };
        // Each line at once: it is told while it happens.
        let written = writeln!(sink, "{text}").and_then(|()| sink.flush());
        written.map_err(|error| format!("the story cannot be told any further: standard output is closed ({})", error.kind()))
    }

    /// A scene's heading and what it is about.
    pub(super) fn scene(&mut self, title: &str, about: &str) -> Result<(), String> {
        let (on, off) = if self.bold { ("\u{1b}[1m", "\u{1b}[0m") } else { ("", "") };
        self.line("")?;
        self.line(&format!("{on}{title}{off}"))?;
        self.text(about)?;
        self.line("")
    }

    /// A paragraph.
    pub(super) fn text(&mut self, text: &str) -> Result<(), String> {
        self.wrapped(text, "", "")
    }

    /// What happened when.
    pub(super) fn at(&mut self, at: Stamp, text: &str) -> Result<(), String> {
        let when = timestamp(at).strftime("%a %H:%M").to_string();
        self.wrapped(text, &format!("{when:MARGIN$}"), &" ".repeat(MARGIN))
    }

    /// What follows from the line before.
    pub(super) fn more(&mut self, text: &str) -> Result<(), String> {
        self.wrapped(text, &" ".repeat(MARGIN), &" ".repeat(MARGIN))
    }

    /// An alert, as a mail would look; of those the story does not turn on, the head only.
    pub(super) fn mail(&mut self, message: &Message, whole: bool) -> Result<(), String> {
        self.line("")?;
        self.line(&format!("  | To:      ops  ({}, {})", message.kind, message.severity.label()))?;
        self.line(&format!("  | Subject: {}", message.subject))?;
        if whole {
            self.line("  |")?;
            for line in message.text.lines() {
                self.line(format!("  | {line}").trim_end())?;
            }
        } else {
            self.line(&format!("  | ({} lines, left out here)", message.text.lines().count()))?;
        }
        self.line("")
    }

    fn wrapped(&mut self, text: &str, first: &str, others: &str) -> Result<(), String> {
        let mut line = first.to_owned();
        let mut empty = true;
        for word in text.split_whitespace() {
            if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.line(&line)?;
                line = others.to_owned();
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
            empty = false;
        }
        self.line(&line)
    }
}
