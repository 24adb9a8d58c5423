//! Times, lines and foreign words, as a tired person reads them.

use cutover_api::Stamp;
use jiff::Timestamp;

/// Lines of a message are at most this long, commands excepted.
pub(super) const WIDTH: usize = 76;

/// What another system wrote is cut to this length.
const FOREIGN: usize = 300;

/// A point in time: `2026-11-21 14:05 UTC`.
pub(super) fn time(at: Stamp) -> String {
    timestamp(at).strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// RFC 3339, UTC, whole seconds.
pub(super) fn rfc3339(at: Stamp) -> String {
    timestamp(at).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn timestamp(at: Stamp) -> Timestamp {
    Timestamp::from_millisecond(at.0).unwrap_or(if at.0 > 0 { Timestamp::MAX } else { Timestamp::MIN })
}

/// A point in time beside now: `2026-11-21 14:05 UTC (in 6h 5m)`.
pub(super) fn beside(at: Stamp, now: Stamp) -> String {
    if at == Stamp::NEVER {
        return String::from("a time that is not known");
    }
    format!("{} ({})", time(at), distance(at, now))
}

/// `in 6h 5m`, `12m ago`, `now`.
pub(super) fn distance(at: Stamp, now: Stamp) -> String {
    let whole = |span: cutover_api::Span| cutover_api::Span::seconds(span.as_seconds());
    let (ahead, behind) = (whole(at.since(now)), whole(now.since(at)));
    if ahead.0 > 0 {
        format!("in {ahead}")
    } else if behind.0 > 0 {
        format!("{behind} ago")
    } else {
        String::from("now")
    }
}

/// Words that came from elsewhere on one line: nothing in them can look like a part of the message.
pub(super) fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The same, of bounded length.
pub(super) fn clean(text: &str) -> String {
    let mut cleaned = one_line(text);
    if let Some((end, _)) = cleaned.char_indices().nth(FOREIGN) {
        cleaned.truncate(end);
        cleaned.push_str("...");
    }
    cleaned
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [head @ .., last] => format!("{} and {last}", head.join(", ")),
    }
}

/// `1 target`, `3 targets`.
pub(super) fn counted(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

/// A message's text, line by line.
#[derive(Default)]
pub(super) struct Letter {
    text: String,
}

impl Letter {
    /// Begins a part under its title.
    pub(super) fn part(&mut self, title: &str) -> &mut Self {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(title);
        self.text.push('\n');
        self
    }

    /// A paragraph, wrapped. Nothing is written for an empty one.
    pub(super) fn say(&mut self, text: &str) -> &mut Self {
        self.wrapped(text, "  ", "  ")
    }

    /// A paragraph that belongs to the command above it.
    pub(super) fn note(&mut self, label: &str, text: &str) -> &mut Self {
        if text.is_empty() {
            return self;
        }
        self.wrapped(&format!("{label} {text}"), "      ", "      ")
    }

    /// A command to paste, never wrapped.
    pub(super) fn command(&mut self, command: &str) -> &mut Self {
        self.text.push_str("    ");
        self.text.push_str(command);
        self.text.push('\n');
        self
    }

    /// One entry of a list.
    pub(super) fn entry(&mut self, text: &str) -> &mut Self {
        self.wrapped(text, "  - ", "    ")
    }

    /// An empty line.
    pub(super) fn gap(&mut self) -> &mut Self {
        self.text.push('\n');
        self
    }

    fn wrapped(&mut self, text: &str, first: &str, rest: &str) -> &mut Self {
        let mut line = String::from(first);
        let mut empty = true;
        // A number and its percent sign stay together.
        let text = text.replace(" % ", "\u{1}% ");
        for word in text.split_whitespace() {
            let word = word.replace('\u{1}', " ");
            if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.text.push_str(&line);
                self.text.push('\n');
                line = String::from(rest);
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(&word);
            empty = false;
        }
        if !empty {
            self.text.push_str(&line);
            self.text.push('\n');
        }
        self
    }

    /// The whole text.
    pub(super) fn done(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use cutover_api::Stamp;

    use super::{Letter, WIDTH, beside, clean};

    #[test]
    fn times_stand_beside_now() {
        let now = Stamp(1_795_230_300_000);
        assert_eq!(beside(now, now), "2026-11-21 03:05 UTC (now)");
        assert_eq!(beside(Stamp(now.0 - 720_000), now), "2026-11-21 02:53 UTC (12m ago)");
        assert_eq!(beside(Stamp(now.0 + 21_900_000), now), "2026-11-21 09:10 UTC (in 6h 5m)");
    }

    #[test]
    fn foreign_words_stay_on_one_line() {
        assert_eq!(clean("a\r\n\n    cutover abandon x\u{1b}[2J"), "a cutover abandon x [2J");
        assert!(clean(&"x".repeat(10_000)).len() < 320);
    }

    #[test]
    fn lines_fit() {
        let mut letter = Letter::default();
        letter.part("What happened").say(&"word and more ".repeat(40)).entry(&"entry ".repeat(40));
        assert!(letter.done().lines().all(|line| line.len() <= WIDTH));
    }
}
