//! What people see: tables, colour, marks, questions. Readable when it is piped, and never a control character from elsewhere.

use std::io::{IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets::NOTHING};

/// Marks where a colour begins and ends inside a table; of no width, replaced once the table is laid out.
const MARKS: [(Paint, char); 5] = [
    (Paint::Good, '\u{2061}'),
    (Paint::Warn, '\u{2062}'),
    (Paint::Bad, '\u{2063}'),
    (Paint::Dim, '\u{2064}'),
    (Paint::Strong, '\u{206a}'),
];
const END: char = '\u{206b}';

/// The widest a table is made on a terminal.
const WIDEST: u16 = 200;

/// What a colour means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// All is well.
    Good,
    /// Should be known.
    Warn,
    /// Somebody must act.
    Bad,
    /// Beside the point.
    Dim,
    /// A heading.
    Strong,
}

impl Paint {
    const fn code(self) -> &'static str {
        match self {
            Self::Good => "\u{1b}[32m",
            Self::Warn => "\u{1b}[33m",
            Self::Bad => "\u{1b}[1;31m",
            Self::Dim => "\u{1b}[2m",
            Self::Strong => "\u{1b}[1m",
        }
    }

    const fn mark(self) -> char {
        MARKS[self as usize].1
    }
}

/// One finding's mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Well.
    Ok,
    /// Should be known.
    Note,
    /// Wrong.
    Wrong,
}

/// What standard output can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Colours are shown.
    pub colour: bool,
    /// More than ASCII is shown.
    pub unicode: bool,
    /// The terminal's width; `None` = not a terminal: lines are as long as they are.
    pub width: Option<u16>,
    /// Standard output is a terminal.
    pub terminal: bool,
}

impl Screen {
    /// Standard output as it is.
    #[must_use]
    pub fn stdout() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        let locale =
            ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        let utf8 = locale.is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        let width = rustix::termios::tcgetwinsize(std::io::stdout()).ok().map(|size| size.ws_col).filter(|width| *width > 0);
        Self {
            colour: terminal && !dumb && !set("NO_COLOR"),
            unicode: terminal && utf8,
            width: width.filter(|_| terminal).map(|width| width.min(WIDEST)),
            terminal,
        }
    }

    /// No terminal: neither colour nor width, ASCII only.
    #[must_use]
    pub const fn plain() -> Self {
        Self { colour: false, unicode: false, width: None, terminal: false }
    }

    /// A text in a colour, for use in tables and outside.
    #[must_use]
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        if self.colour { format!("{}{text}{END}", paint.mark()) } else { text.to_owned() }
    }

    /// A mark, in its colour.
    #[must_use]
    pub fn mark(&self, mark: Mark) -> String {
        match mark {
            Mark::Ok => self.paint(Paint::Good, if self.unicode { "✓" } else { "ok" }),
            Mark::Note => self.paint(Paint::Warn, if self.unicode { "!" } else { "note" }),
            Mark::Wrong => self.paint(Paint::Bad, if self.unicode { "✗" } else { "WRONG" }),
        }
    }

    /// A table without lines: the header, then the rows. Cells may hold painted text.
    #[must_use]
    pub fn table(&self, header: &[&str], rows: &[Vec<String>]) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING);
        match self.width {
            Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        table.set_header(header.iter().map(|title| self.paint(Paint::Dim, title)).collect::<Vec<_>>());
        for row in rows {
            table.add_row(row.iter().map(|cell| one_line(cell)).collect::<Vec<_>>());
        }
        let lines: Vec<String> =
            table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned()).collect();
        lines.join("\n") + "\n"
    }

    /// The text as it goes out: marks become colours, control characters become `?`.
    #[must_use]
    pub fn render(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut painted = false;
        for letter in text.chars() {
            if let Some((paint, _)) = MARKS.iter().find(|(_, mark)| *mark == letter) {
                if self.colour {
                    out.push_str(paint.code());
                    painted = true;
                }
            } else if letter == END || (letter == '\n' && painted) {
                if painted {
                    out.push_str("\u{1b}[0m");
                    painted = false;
                }
                if letter == '\n' {
                    out.push('\n');
                }
            } else if letter == '\n' || !is_unsafe(letter) {
                out.push(letter);
            } else {
                out.push('?');
            }
        }
        out
    }

    /// Writes to standard output. A reader that went away is no fault.
    pub fn print(&self, text: &str) {
        put(&mut std::io::stdout().lock(), &self.render(text));
    }

    /// Writes a document to standard output as it is: what is made for programs, and has nothing in it but what its format allows.
    pub fn print_raw(self, text: &str) {
        put(&mut std::io::stdout().lock(), text);
    }

    /// Clears the terminal and writes from its top.
    pub fn redraw(&self, text: &str) {
        let clear = if self.terminal { "\u{1b}[H\u{1b}[2J" } else { "" };
        put(&mut std::io::stdout().lock(), &format!("{clear}{}", self.render(text)));
    }
}

/// Writes a line to standard error.
pub fn tell(text: &str) {
    let screen = Screen::plain();
    put(&mut std::io::stderr().lock(), &(screen.render(text) + "\n"));
}

/// Writes a JSON document to standard output, on one line where it is one of many.
pub fn print_json(document: &serde_json::Value, one_line: bool) {
    let text = if one_line { serde_json::to_string(document) } else { serde_json::to_string_pretty(document) };
    put(&mut std::io::stdout().lock(), &(text.unwrap_or_default() + "\n"));
}

fn put(out: &mut impl Write, text: &str) {
    // A closed pipe (`cutover history | head`) ends the writing and nothing else.
    let _closed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Asks on the terminal. `None` = there is no terminal to ask on.
pub async fn ask(question: &str) -> Option<bool> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return None;
    }
    put(&mut std::io::stderr().lock(), &format!("{} [y/N] ", Screen::plain().render(question)));
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    });
    let answer = answer.await.ok().and_then(Result::ok).unwrap_or_default();
    Some(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Control characters, and those that turn the direction of writing around.
fn is_unsafe(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn one_line(cell: &str) -> String {
    cell.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::{Mark, Paint, Screen};

    const TERMINAL: Screen = Screen { colour: true, unicode: true, width: Some(40), terminal: true };

    fn rows() -> Vec<Vec<String>> {
        vec![
            vec!["crm".into(), "observe".into(), "evidence that the new key is in use".into()],
            vec!["payments-eu".into(), "idle".into(), String::new()],
        ]
    }

    #[test]
    fn a_piped_table_has_one_line_a_row_and_no_colour() {
        let screen = Screen::plain();
        let text = screen.render(&screen.table(&["POLICY", "PHASE", "WAITS FOR"], &rows()));
        let expected = "\
POLICY       PHASE    WAITS FOR
crm          observe  evidence that the new key is in use
payments-eu  idle
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_terminal_table_keeps_to_its_width_and_colours_do_not_move_columns() {
        let screen = TERMINAL;
        let mut painted = rows();
        painted[0][1] = screen.paint(Paint::Bad, "observe");
        let text = screen.render(&screen.table(&["POLICY", "PHASE", "WAITS FOR"], &painted));
        assert!(text.contains("\u{1b}[1;31mobserve\u{1b}[0m"), "{text:?}");
        let colourless = Screen { colour: false, ..screen };
        let bare = colourless.render(&colourless.table(&["POLICY", "PHASE", "WAITS FOR"], &rows()));
        let stripped = ["\u{1b}[1;31m", "\u{1b}[2m", "\u{1b}[0m"].iter().fold(text, |text, code| text.replace(code, ""));
        assert_eq!(stripped, bare);
        assert!(bare.lines().all(|line| line.chars().count() <= 40), "{bare}");
    }

    #[test]
    fn nothing_from_elsewhere_reaches_the_terminal_raw() {
        let screen = TERMINAL;
        assert_eq!(screen.render("a\u{1b}]0;owned\u{7}b\u{202e}c\r\n"), "a?]0;owned?b?c?\n");
        assert!(!screen.table(&["A"], &[vec!["x\ny\u{1b}[2J".into()]]).contains('\u{1b}'));
    }

    #[test]
    fn marks_fall_back_to_words() {
        assert_eq!(TERMINAL.render(&TERMINAL.mark(Mark::Ok)), "\u{1b}[32m✓\u{1b}[0m");
        let plain = Screen::plain();
        assert_eq!([Mark::Ok, Mark::Note, Mark::Wrong].map(|mark| plain.mark(mark)), ["ok", "note", "WRONG"].map(String::from));
    }
}
