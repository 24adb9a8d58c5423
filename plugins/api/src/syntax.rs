//! What is wrong with a document that is no TOML, in the words of somebody who edits one twice a year.

/// What is wrong, and what would be right, by the parser's message and by what stands in the document from there on.
#[must_use]
pub(crate) fn plain(message: &str, rest: &str) -> (String, String) {
    let (said, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let at_end = rest.trim_start_matches([' ', '\t']).chars().next().is_none_or(|c| matches!(c, '\n' | '\r' | '#'));
    let (wrong, right) = match said {
        "string values must be quoted" | "missing value" | "missing value for key" if at_end => (NO_VALUE, A_VALUE),
        "string values must be quoted" if rest.starts_with(['“', '”', '„', '‘', '’', '«']) => {
            ("these quotes are not plain ones", "write \" on both sides, and no other sign")
        }
        "string values must be quoted" => ("this is no number and not true or false, and a text needs quotes", A_TEXT),
        "invalid boolean" => {
            ("this is neither true nor false", "write true or false in small letters, or put a text between double quotes")
        }
        "invalid literal string" | "invalid basic string" if at_end => {
            ("a text is not closed on its line", "end it with the quote that it began with")
        }
        "invalid basic string" if expected.starts_with("non-double-quote") => {
            ("a text holds a sign that cannot be seen", "remove it, or write it as \\uXXXX")
        }
        "invalid literal string" => (NO_VALUE, A_VALUE),
        "invalid multi-line basic string" | "invalid multi-line literal string" => {
            ("a text of several lines is not closed", "end it with the three quotes that it began with")
        }
        "missing escaped value" => (
            "a \\ in a text begins a special sign, and this is none",
            "write \\\\ for a \\, or put the text between single quotes",
        ),
        "key with no value" if rest.starts_with(':') => ("a : stands where TOML has a =", A_LINE),
        "key with no value" => ("there is no = after the key", A_LINE),
        "unexpected key or value" => (
            "something stands after the value",
            "end the line before it, or begin a remark with #; a text stands between double quotes as a whole",
        ),
        "unclosed table" => ("the name of a table is not closed", "close it with ]"),
        "unclosed array table" => ("the name of a table is not closed", "close it with ]]"),
        "unclosed array" => ("a list is not closed", "close it with ]"),
        "unclosed inline table" => ("a table in braces is not closed", "close it with }"),
        "missing comma between array elements" => {
            ("no comma stands between two parts of a list", "put one there, or close the list with ] before this")
        }
        "missing comma between key-value pairs" => {
            ("no comma stands between two keys of a table in braces", "put one there, or close the table with } before this")
        }
        "missing key for inline table element" => ("a table in braces goes on without a key", "close it with } before this"),
        "unexpected `=` in array" => ("a = stands in a list", "close the list with ] before this line"),
        "extra comma in array" | "extra comma in inline table" => ("a comma too many", "remove it"),
        "extra `=`" | "extra assignment between key-value pairs" => {
            ("a = too many", "remove it; a text stands between double quotes")
        }
        "duplicate key" => ("this key or table stands here for the second time", "keep one of the two"),
        "unquoted keys cannot be empty" => ("a name is missing", "write [TABLE], or KEY = VALUE"),
        "invalid unquoted key" => {
            ("a key has a sign that it cannot have", "use letters, digits, - and _, or put the key between double quotes")
        }
        "invalid key-value pair" => ("this is no line of TOML", A_LINE),
        "unexpected leading zero" => ("a number begins with 0", "write it without, or put a text between double quotes"),
        "carriage return must be followed by newline" => {
            ("a carriage return stands alone", "save the file with plain line ends")
        }
        _ if expected.is_empty() || expected == "nothing" => (said, "config.example.toml shows how each key is written"),
        _ => return (said.to_owned(), format!("expected {expected}")),
    };
    (wrong.to_owned(), right.to_owned())
}

const NO_VALUE: &str = "there is no value after the =";
const A_VALUE: &str = "write a text between double quotes, a number, true or false, a list in [ ] or a table in { }";
const A_TEXT: &str = "put a text between double quotes: KEY = \"text\"";
const A_LINE: &str = "write KEY = VALUE, or [TABLE]; a text stands between double quotes";

#[cfg(test)]
mod tests {
    use crate::table::Table;

    fn told(text: &str) -> Vec<String> {
        Table::parse("c.toml", text).expect_err(text).iter().map(ToString::to_string).collect()
    }

    /// All of them ended with "valid TOML".
    #[test]
    fn what_is_no_toml_is_told_with_its_place_and_what_would_be_right() {
        let cases = [
            ("name = prod", "1:8: this is no number and not true or false, and a text needs quotes: put a text between double"),
            ("age = 24h", "1:7: this is no number"),
            ("name =\nx = 1", "1:7: there is no value after the =: write a text between double quotes, a number"),
            ("name = “prod”", "1:8: these quotes are not plain ones: write \" on both sides"),
            ("name = \"prod", "1:13: a text is not closed on its line: end it with the quote"),
            ("name = 'prod", "1:13: a text is not closed on its line"),
            ("a = { b = 1, c }", "1:16: there is no value after the ="),
            ("a = \"x\u{1}\"", "1:7: a text holds a sign that cannot be seen"),
            ("a = \"\\d\"", "1:7: a \\ in a text begins a special sign, and this is none: write \\\\ for a \\"),
            ("name : 1", "1:6: a : stands where TOML has a ="),
            ("my key = 1", "1:4: there is no = after the key: write KEY = VALUE"),
            ("a = 1,", "1:6: something stands after the value: end the line before it"),
            ("[daemon", "1:8: the name of a table is not closed: close it with ]"),
            ("[[policy.a.target]", "1:19: the name of a table is not closed: close it with ]]"),
            ("a = [1, 2", "1:10: a list is not closed: close it with ]"),
            ("a = { b = 1", "1:12: a table in braces is not closed: close it with }"),
            ("[a]\nb = 1\n[a]\nc = 2", "3:2: this key or table stands here for the second time: keep one"),
            ("a = True", "1:5: this is neither true nor false: write true or false in small letters"),
            ("= 1", "1:1: a name is missing"),
            ("{ a = 1 }", "1:1: this is no line of TOML: write KEY = VALUE"),
            ("a = 2026-13-45", "1:5: invalid date: expected month between 01 and 12"),
        ];
        for (text, expected) in cases {
            let told = told(text);
            assert!(told[0].starts_with(&format!("c.toml:{expected}")), "{text:?}: {told:?}");
            assert!(!told.iter().any(|line| line.contains("valid TOML")), "{told:?}");
        }
    }

    /// One unclosed list made five problems of one line.
    #[test]
    fn one_line_is_told_of_once() {
        assert_eq!(told("a = { b = 1 c = 2 }\n").len(), 1);
        let list = told("a = [\"x\"\nb = 2\n");
        assert!(
            list[0].starts_with("c.toml:2:1: no comma stands between two parts of a list: put one there, or close the list")
        );
        assert_eq!(list.len(), 1, "{list:?}");
        assert_eq!(told("a = yes\nb = no\n").len(), 2, "two mistakes are two");
    }
}
