//! A Rust file as the rules see it: line by line, with comments and the contents of strings told apart from code.

/// One line.
pub struct Line {
    /// Counted from 1.
    pub number: usize,
    /// The code with its strings; comments are blank.
    pub code: String,
    /// The code; comments and the contents of strings are blank.
    pub bare: String,
    /// The comments; everything else is blank.
    pub comment: String,
    /// It belongs to a test.
    pub test: bool,
}

/// A Rust file.
pub struct Source {
    /// Relative to the root.
    pub path: String,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line of `fn`, from 1.
    pub first: usize,
    /// The line of its closing brace.
    pub last: usize,
}

impl Source {
    /// Reads a file. It need not compile.
    pub fn parse(path: &str, text: &str) -> Self {
        let in_tests = is_path_of_tests(path);
        let lines = split(text).into_iter().enumerate();
        let lines =
            lines.map(|(n, [code, bare, comment])| Line { number: n + 1, code, bare, comment, test: in_tests }).collect();
        let mut source = Self { path: path.to_owned(), lines };
        source.mark_items_of_tests();
        source
    }

    /// All of it is a test.
    pub fn mark_as_test(&mut self) {
        self.lines.iter_mut().for_each(|line| line.test = true);
    }

    /// The lines that are no test.
    pub fn shipped(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| !line.test)
    }

    /// The whole bare code, each line ended by a newline.
    pub fn bare(&self) -> String {
        self.lines.iter().flat_map(|line| [line.bare.as_str(), "\n"]).collect()
    }

    /// Every function with a body.
    pub fn functions(&self) -> Vec<Function> {
        let bare = self.bare();
        words(&bare, "fn")
            .filter_map(|at| {
                let after = bare[at + 2..].trim_start();
                let name: String = after.chars().take_while(|&c| is_of_word(c)).collect();
                let (_, end) = item_end(&bare, at).filter(|(braced, _)| *braced && !name.is_empty())?;
                Some(Function { name, first: line_of(&bare, at), last: line_of(&bare, end) })
            })
            .collect()
    }

    /// The paths, without ending, of the modules that are declared for tests only.
    pub fn modules_of_tests(&self) -> Vec<String> {
        let (directory, file) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let stem = file.trim_end_matches(".rs");
        let home = if ["lib", "main", "mod"].contains(&stem) { directory.to_owned() } else { format!("{directory}/{stem}") };
        let declared = self.lines.iter().filter(|line| line.test).filter_map(|line| {
            let name = line.bare.trim().trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';')?;
            Some(format!("{home}/{name}"))
        });
        declared.collect()
    }

    fn mark_items_of_tests(&mut self) {
        let bare = self.bare();
        for attribute in ["#[cfg(test)]", "#[cfg(all(test,"] {
            for (at, _) in bare.match_indices(attribute) {
                let end = item_end(&bare, at + attribute.len()).map_or(bare.len(), |(_, end)| end);
                let lines = line_of(&bare, at)..=line_of(&bare, end);
                self.lines.iter_mut().filter(|line| lines.contains(&line.number)).for_each(|line| line.test = true);
            }
        }
        if bare.contains("#![cfg(test)]") {
            self.mark_as_test();
        }
    }
}

/// Whether a path says that the file is a test, a bench or an example.
fn is_path_of_tests(path: &str) -> bool {
    let (directory, file) = path.rsplit_once('/').unwrap_or(("", path));
    directory.split('/').any(|part| ["tests", "benches", "examples"].contains(&part))
        || ["tests.rs", "_test.rs", "_tests.rs"].iter().any(|ending| file.ends_with(ending))
}

/// Whether a character may be part of an identifier.
pub fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `word` stands in a text as a whole word.
pub fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let free = |c: Option<char>| !c.is_some_and(is_of_word);
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |&at| free(text[..at].chars().next_back()) && free(text[at + word.len()..].chars().next()))
}

/// The line of a byte offset, from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// The end of the item that follows `at` in bare code, and whether it is the end of a braced body. `None`: it does not end.
fn item_end(bare: &str, at: usize) -> Option<(bool, usize)> {
    let (mut round, mut braces) = (0_i32, 0_i32);
    for (n, c) in bare[at..].char_indices() {
        match c {
            '(' | '[' => round += 1,
            ')' | ']' => round -= 1,
            '{' => braces += 1,
            '}' => {
                braces -= 1;
                if braces <= 0 {
                    return Some((braces == 0, at + n));
                }
            }
            ';' if braces == 0 && round <= 0 => return Some((false, at + n)),
            _ => {}
        }
    }
    None
}

/// What a character belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Code,
    LineComment,
    /// How deep.
    BlockComment(usize),
    Text,
    /// How many `#` close it.
    RawText(usize),
}

/// The lines of a text, each as code with strings, bare code, and comments.
fn split(text: &str) -> Vec<[String; 3]> {
    let chars: Vec<char> = text.chars().collect();
    let mut lines = vec![<[String; 3]>::default()];
    let mut mode = Mode::Code;
    let mut at = 0;
    while at < chars.len() {
        let (taken, inside, next) = step(&chars, at, mode);
        for &c in &chars[at..(at + taken).min(chars.len())] {
            put(&mut lines, c, inside);
        }
        at += taken;
        mode = next;
    }
    if text.ends_with('\n') {
        lines.pop();
    }
    lines
}

/// Puts a character where it belongs, and a blank everywhere else.
fn put(lines: &mut Vec<[String; 3]>, c: char, inside: Mode) {
    if c == '\n' {
        lines.push(<[String; 3]>::default());
    } else if let Some([code, bare, comment]) = lines.last_mut() {
        let (in_code, in_bare) = match inside {
            Mode::Code => (true, true),
            Mode::Text | Mode::RawText(_) => (true, false),
            Mode::LineComment | Mode::BlockComment(_) => (false, false),
        };
        code.push(if in_code { c } else { ' ' });
        bare.push(if in_bare { c } else { ' ' });
        comment.push(if in_code { ' ' } else { c });
    }
}

/// The next token: how many characters, what they belong to, and the mode after them.
fn step(chars: &[char], at: usize, mode: Mode) -> (usize, Mode, Mode) {
    let ahead = |n: usize| chars.get(at + n).copied().unwrap_or('\0');
    let two = (ahead(0), ahead(1));
    match mode {
        Mode::LineComment if ahead(0) == '\n' => (1, mode, Mode::Code),
        Mode::LineComment => (1, mode, mode),
        Mode::BlockComment(depth) => match two {
            ('/', '*') => (2, mode, Mode::BlockComment(depth + 1)),
            ('*', '/') if depth == 1 => (2, mode, Mode::Code),
            ('*', '/') => (2, mode, Mode::BlockComment(depth - 1)),
            _ => (1, mode, mode),
        },
        Mode::Text => match two.0 {
            '\\' => (2, mode, mode),
            '"' => (1, Mode::Code, Mode::Code),
            _ => (1, mode, mode),
        },
        Mode::RawText(hashes) if ahead(0) == '"' && (1..=hashes).all(|n| ahead(n) == '#') => {
            (1 + hashes, Mode::Code, Mode::Code)
        }
        Mode::RawText(_) => (1, mode, mode),
        Mode::Code => match two {
            ('/', '/') => (2, Mode::LineComment, Mode::LineComment),
            ('/', '*') => (2, Mode::BlockComment(1), Mode::BlockComment(1)),
            ('"', _) => (1, mode, Mode::Text),
            // A character, not a lifetime: `'x'` or an escape.
            ('\'', '\\') => (escaped_char(chars, at), Mode::Text, mode),
            ('\'', _) if ahead(2) == '\'' => (3, Mode::Text, mode),
            ('r', '#' | '"') if at == 0 || !is_of_word(chars[at - 1]) || is_byte_prefix(chars, at) => {
                let hashes = chars[at + 1..].iter().take_while(|&&c| c == '#').count();
                if ahead(1 + hashes) == '"' { (2 + hashes, mode, Mode::RawText(hashes)) } else { (1, mode, mode) }
            }
            _ => (1, mode, mode),
        },
    }
}

/// The length of the escaped character that starts here.
fn escaped_char(chars: &[char], at: usize) -> usize {
    let rest = chars.iter().skip(at + 3).position(|&c| c == '\'');
    rest.map_or(1, |n| n + 4)
}

/// Whether the character before is the `b` or `c` of `br"…"`.
fn is_byte_prefix(chars: &[char], at: usize) -> bool {
    ['b', 'c'].contains(&chars[at - 1]) && (at == 1 || !is_of_word(chars[at - 2]))
}

#[test]
fn comments_and_strings_are_told_apart() {
    let text = "let a = \"x // y\"; // z \"q\"\nlet b = r#\"say \"hi\" \\\"#; /* one /* two */ still */ let c = '\"'; let d: &'a str;\n";
    let source = Source::parse("src/x.rs", text);
    let [first, second] = source.lines.as_slice() else { panic!("{} lines", source.lines.len()) };
    assert_eq!(first.bare.trim_end(), "let a = \"      \";");
    assert_eq!(first.code.trim_end(), "let a = \"x // y\";");
    assert_eq!(first.comment.trim(), "// z \"q\"");
    assert!(second.bare.contains("; ") && second.bare.contains("let c =") && second.bare.contains("let d: &'a str;"));
    assert!(!second.bare.contains("hi") && !second.bare.contains("still"));
}

#[test]
fn a_string_over_lines_and_an_escape_do_not_end_early() {
    let source = Source::parse("src/x.rs", "let a = \"one \\\" \\\\\n fn two() {\";\nlet b = '\\'';\nfn three() {}\n");
    let names: Vec<_> = source.functions().into_iter().map(|function| function.name).collect();
    assert_eq!(names, ["three"]);
}

#[test]
fn only_the_item_under_cfg_test_is_a_test() {
    let source = Source::parse(
        "src/x.rs",
        "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n#[cfg(test)]\nmod t;\nfn d() {}\n",
    );
    let tests: Vec<_> = source.lines.iter().filter(|line| line.test).map(|line| line.number).collect();
    assert_eq!(tests, [2, 3, 4, 5, 7, 8]);
    assert!(Source::parse("src/x/tests/y.rs", "fn a() {}\n").lines[0].test);
}

#[test]
fn functions_are_found_with_their_ends() {
    let source = Source::parse(
        "src/x.rs",
        "trait A {\n    fn a(&self, b: [u8; 2]);\n    fn c<F: Fn(u8)>(f: fn(u8)) -> [u8; 2] {\n        { f(1) }\n    }\n}\n",
    );
    assert_eq!(source.functions(), [Function { name: "c".to_owned(), first: 3, last: 5 }]);
}
