//! Finds the lines of a dotenv file that set a variable.

use std::ops::Range;

const MARK: &[u8] = b"\xef\xbb\xbf";

/// How far a value reaches. Readers differ here, so each is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// To the end of the line (Docker).
    Lines,
    /// A quote that begins the value reaches to its partner, over line ends (Node, Python).
    Leading,
    /// So does a quote anywhere in the value, and a backslash before a line end goes on (`sh`, systemd).
    Anywhere,
}

/// One line that sets a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    /// Its number, from 1.
    pub number: usize,
    /// Everything, the line end included.
    pub whole: Range<usize>,
    /// The variable's name.
    pub name: Range<usize>,
    /// The value with its quotes, without the space and the comment around it.
    pub value: Range<usize>,
    /// `export` stands before it.
    pub exported: bool,
}

/// The text without a byte order mark.
pub(super) fn body(text: &[u8]) -> &[u8] {
    text.strip_prefix(MARK).unwrap_or(text)
}

/// Every line that sets a variable.
pub(super) fn assignments(text: &[u8], sight: Sight) -> Vec<Assignment> {
    let mut found = Vec::new();
    let mut at = text.len() - body(text).len();
    let mut number = 1;
    while at < text.len() {
        let end = match assignment(text, at, number, sight) {
            Some(line) => {
                let end = line.whole.end;
                found.push(line);
                end
            }
            None => after(text, line_end(text, at)),
        };
        number += text[at..end].iter().filter(|b| **b == b'\n').count();
        at = end;
    }
    found
}

fn assignment(text: &[u8], start: usize, number: usize, sight: Sight) -> Option<Assignment> {
    let mut at = blanks(text, start);
    let mut exported = false;
    if text[at..].starts_with(b"export") && blanks(text, at + 6) > at + 6 {
        at = blanks(text, at + 6);
        exported = true;
    }
    let name = at..at + text[at..].iter().take_while(|b| b.is_ascii_alphanumeric() || b"_.-".contains(b)).count();
    let sign = blanks(text, name.end);
    let first = *text.get(name.start)?;
    if name.is_empty() || !(first.is_ascii_alphabetic() || first == b'_') || text.get(sign) != Some(&b'=') {
        return None;
    }
    let value = value(text, sign + 1);
    let end = after(text, logical_end(text, value.start, sight));
    Some(Assignment { number, whole: start..end, name, value, exported })
}

/// Where the value stands that follows the sign before `from`.
fn value(text: &[u8], from: usize) -> Range<usize> {
    let start = blanks(text, from);
    if let Some(close) = text.get(start).and_then(|quote| partner(text, start + 1, *quote)) {
        let rest = blanks(text, close + 1);
        let clean = match text.get(rest) {
            None | Some(b'\n' | b'\r') => true,
            Some(b'#') => rest > close + 1,
            Some(_) => false,
        };
        if clean {
            return start..close + 1;
        }
        return start..trimmed(text, start, line_end(text, close));
    }
    let line = line_end(text, from);
    let comment = (from..line).find(|at| text[*at] == b'#' && *at > from && matches!(text[*at - 1], b' ' | b'\t'));
    let end = trimmed(text, from, comment.unwrap_or(line));
    if end <= start { from..from } else { start..end }
}

/// Where the line ends that holds the value at `start`: at its `\n`, or at the end of the text.
fn logical_end(text: &[u8], start: usize, sight: Sight) -> usize {
    let line = line_end(text, start);
    match sight {
        Sight::Lines => line,
        Sight::Leading => {
            text.get(start).and_then(|quote| partner(text, start + 1, *quote)).map_or(line, |close| line_end(text, close))
        }
        Sight::Anywhere => shell_end(text, start).unwrap_or(line),
    }
}

/// Where `sh` sees the end of the line; `None` when a quote has no partner.
fn shell_end(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    while let Some(b) = text.get(at) {
        match b {
            b'\n' => return Some(at),
            b'#' if at > start && matches!(text[at - 1], b' ' | b'\t') => return Some(line_end(text, at)),
            b'\\' if text[at + 1..].starts_with(b"\r\n") => at += 3,
            b'\\' => at += 2,
            b'\'' | b'"' | b'`' => at = partner(text, at + 1, *b)? + 1,
            _ => at += 1,
        }
    }
    Some(text.len())
}

/// The closing partner of a quote, looked for from `at` on. In single quotes a backslash means itself.
fn partner(text: &[u8], at: usize, quote: u8) -> Option<usize> {
    if !matches!(quote, b'\'' | b'"' | b'`') {
        return None;
    }
    let mut at = at;
    loop {
        match *text.get(at)? {
            b if b == quote => return Some(at),
            b'\\' if quote != b'\'' => at += 2,
            _ => at += 1,
        }
    }
}

fn blanks(text: &[u8], at: usize) -> usize {
    at + text.get(at..).unwrap_or_default().iter().take_while(|b| matches!(b, b' ' | b'\t')).count()
}

/// The next `\n` from `at` on, or the end.
fn line_end(text: &[u8], at: usize) -> usize {
    let at = at.min(text.len());
    at + text[at..].iter().take_while(|b| **b != b'\n').count()
}

fn after(text: &[u8], end: usize) -> usize {
    (end + 1).min(text.len())
}

/// `end` moved before the white space that stands there, never before `start`.
fn trimmed(text: &[u8], start: usize, end: usize) -> usize {
    let space = text[start..end].iter().rev().take_while(|b| matches!(b, b' ' | b'\t' | b'\r')).count();
    end - space
}
