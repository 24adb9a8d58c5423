use std::collections::{BTreeMap, BTreeSet};

use cutover_api::Secret;
use proptest::prelude::*;

use super::{Style, edit, read, scan, value};

fn set(text: &str, name: &str, value: &str) -> Result<String, String> {
    let set = BTreeMap::from([(name.to_owned(), Secret::new(value.to_owned()))]);
    edit(text.as_bytes(), &set, &BTreeSet::new()).map(|new| String::from_utf8_lossy(&new).into_owned())
}

fn remove(text: &str, name: &str) -> Result<String, String> {
    edit(text.as_bytes(), &BTreeMap::new(), &BTreeSet::from([name.to_owned()]))
        .map(|new| String::from_utf8_lossy(&new).into_owned())
}

fn value_of(text: &str, name: &str) -> Result<Option<String>, String> {
    Ok(read(text.as_bytes(), &BTreeSet::from([name.to_owned()]))?.remove(name).map(|secret| secret.expose().to_owned()))
}

#[test]
fn values_are_read_as_every_dialect_reads_them() {
    let cases = [
        ("K=v", Some("v")),
        ("K=v\n", Some("v")),
        ("K=v\r\n", Some("v")),
        ("\u{feff}K=v\n", Some("v")),
        ("  K=v\n", Some("v")),
        ("export K=v\n", Some("v")),
        ("export\tK=v\n", Some("v")),
        ("exportK=v\n", None),
        ("K = v\n", Some("v")),
        ("K=\n", Some("")),
        ("K=   \n", Some("")),
        ("K=''\n", Some("")),
        ("K=\"\"\n", Some("")),
        ("K='a b'\n", Some("a b")),
        ("K=\"a b\"\n", Some("a b")),
        ("K='a \"b\" $c #d'\n", Some("a \"b\" $c #d")),
        ("K=\"it's #1\"\n", Some("it's #1")),
        ("K='a\\b'\n", Some("a\\b")),
        ("K=v # why\n", Some("v")),
        ("K='v' # it's why\n", Some("v")),
        ("K= # only why\n", Some("")),
        ("K=a=b==\n", Some("a=b==")),
        ("#K=old\nK=v\n", Some("v")),
        ("; K=old\nK=v\n", Some("v")),
        ("KK=x\nK=v\nK_=y\n", Some("v")),
        ("K.a=x\nK-b=y\n", None),
        ("A='one\ntwo'\nK=v\n", Some("v")),
        ("A=\"-----BEGIN\nQUJD=\n-----END\"\nK=v\n", Some("v")),
        ("A=it's\nK=v\n", Some("v")),
        ("A=\"say \\\"hi\\\"\"\nK=v\n", Some("v")),
        ("K=v\nexport K\n", Some("v")),
        ("K=schlüssel\n", Some("schlüssel")),
        ("K\n", None),
        ("", None),
        ("=v\n", None),
    ];
    for (text, value) in cases {
        assert_eq!(value_of(text, "K"), Ok(value.map(ToOwned::to_owned)), "{text:?}");
    }
}

#[test]
fn what_dialects_read_differently_is_refused() {
    let cases = [
        ("K=a b\n", "needs quotes"),
        ("K=a#b\n", "needs quotes"),
        ("K=#b\n", "needs quotes"),
        ("K=$HOME\n", "needs quotes"),
        ("K=a;b\n", "needs quotes"),
        ("K=~/x\n", "needs quotes"),
        ("K=a\\b\n", "needs quotes"),
        ("K='a'b\n", "needs quotes"),
        ("K='a\n", "needs quotes"),
        ("K=\"$HOME\"\n", "double quotes"),
        ("K=\"a\\nb\"\n", "double quotes"),
        ("K='a\\\\b'\n", "single quotes"),
        ("K='a\\'\n", "single quotes"),
        ("K='a'\\''b'\n", "single quotes"),
        ("K='a\u{1}b'\n", "control character"),
        ("K='a\u{2028}b'\n", "control character"),
        ("K=1\nA=x\nK=2\n", "lines 1 and 3"),
        ("A='x\nK=v\nB='\n", "line 2 (K)"),
        ("A=x'y\nK=v\nB=z'\n", "line 2 (K)"),
        ("A=x\\\nK=v\n", "line 2 (K)"),
        ("A=`x\nK=v\nB=`\n", "line 2 (K)"),
        ("K='one\ntwo'\n", "line 1 (K)"),
        ("K='x\nB=it's\n", "line 1 (K)"),
        ("A=1\nK=v\\\n", "line 2 (K)"),
    ];
    for (text, why) in cases {
        let error = value_of(text, "K").expect_err(text);
        assert!(error.contains(why), "{text:?}: {error}");
    }
    assert!(read(b"K=\xff\n", &BTreeSet::from(["K".to_owned()])).is_err_and(|error| error.contains("UTF-8")));
}

#[test]
fn an_edit_keeps_the_line_as_it_is() {
    let cases = [
        ("K=v", "K=N"),
        ("K=v\r\nA=x\r\n", "K=N\r\nA=x\r\n"),
        ("\u{feff}K=v\n", "\u{feff}K=N\n"),
        ("  export K =  v   # why\n", "  export K =  N   # why\n"),
        ("K='v'\n", "K='N'\n"),
        ("K=\"v\" # why\n", "K=\"N\" # why\n"),
        ("K= # why\n", "K=N # why\n"),
        ("K=\n", "K=N\n"),
        ("K=$(cat /run/k)\n", "K=N\n"),
        ("K='a'\\''b'\n", "K='N'\n"),
        ("#K=o\n\nA=\"x\ny\"\nK=v\n\n# end", "#K=o\n\nA=\"x\ny\"\nK=N\n\n# end"),
        ("A=x", "A=x\nK=N\n"),
        ("A=x\r\nB=y", "A=x\r\nB=y\r\nK=N\r\n"),
        ("export A=x\nexport B=y\n", "export A=x\nexport B=y\nexport K=N\n"),
        ("export A=x\nB=y\n", "export A=x\nB=y\nK=N\n"),
        ("", "K=N\n"),
        ("\u{feff}", "\u{feff}K=N\n"),
        ("# only why", "# only why\nK=N\n"),
    ];
    for (before, after) in cases {
        assert_eq!(set(before, "K", "N"), Ok(after.to_owned()), "{before:?}");
    }
    assert!(set("K=1\nK=2\n", "K", "N").is_err());
    assert!(set("A=x\\", "K", "N").is_err(), "the new line would go on from the last one");
}

#[test]
fn removing_takes_the_whole_line() {
    assert_eq!(remove("A=x\nexport K='v' # why\nB=y\n", "K"), Ok("A=x\nB=y\n".to_owned()));
    assert_eq!(remove("A=x\nK=v", "K"), Ok("A=x\n".to_owned()));
    assert_eq!(remove("A=x\r\nK=v\r\n", "K"), Ok("A=x\r\n".to_owned()));
    assert_eq!(remove("A=x\n", "K"), Ok("A=x\n".to_owned()));
    assert!(remove("K=1\nK=2\n", "K").is_err());
}

#[test]
fn a_value_takes_the_quotes_it_needs() {
    let long = [
        ("abcXYZ_./:@%+=,-09", Style::Bare, Some("abcXYZ_./:@%+=,-09")),
        ("", Style::Bare, Some("")),
        ("plain", Style::Single, Some("'plain'")),
        ("plain", Style::Double, Some("\"plain\"")),
        ("a b", Style::Bare, Some("'a b'")),
        ("it's", Style::Bare, Some("\"it's\"")),
        ("it's", Style::Single, Some("\"it's\"")),
        ("$x", Style::Double, Some("'$x'")),
        ("a\tb", Style::Bare, Some("'a\tb'")),
        ("~", Style::Bare, Some("'~'")),
        ("é", Style::Bare, Some("'é'")),
        ("a\\b", Style::Bare, Some("'a\\b'")),
        ("a\\\\b", Style::Bare, None),
        ("a\\", Style::Bare, None),
        ("'\"", Style::Bare, None),
        ("'$", Style::Bare, None),
        ("a\nb", Style::Single, None),
        ("a\rb", Style::Single, None),
        ("a\0b", Style::Single, None),
        ("a\u{85}b", Style::Double, None),
    ];
    for (text, wanted, written) in long {
        assert_eq!(value::encode(text, wanted).as_deref().map(String::as_str), written, "{text:?}");
    }
}

/// A line of a file that somebody else writes.
fn foreign() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ \t]{0,3}",
        "# [ -~é]{0,20}",
        "(export )?[A-J][A-Z_]{0,5} ?= ?[a-z0-9$#\\\\; ]{0,12}",
        "[A-J][A-Z]{0,3}='[ -&(-~é\n]{0,12}'",
        "[A-J][A-Z]{0,3}=\"[ !#%-\\[\\]-~é\n]{0,12}\"( # [a-z' ]{0,8})?",
        "[ -~]{0,16}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn an_edit_of_our_key_changes_no_other_byte(
        before in prop::collection::vec(foreign(), 0..5),
        after in prop::collection::vec(foreign(), 0..5),
        line in prop_oneof![Just("KEY="), Just("export KEY="), Just("  KEY =")],
        quote in prop_oneof![Just(""), Just("'"), Just("\"")],
        end in prop_oneof![Just("\n"), Just("\r\n")],
        old in "[a-zA-Z0-9_./-]{0,12}",
        new in "[ -~é]{0,16}",
    ) {
        let mut head: String = before.iter().map(|l| format!("{}{end}", l.replace('\n', end))).collect();
        head.push_str(line);
        let tail: String = std::iter::once(end.to_owned()).chain(after.iter().map(|l| format!("{}{end}", l.replace('\n', end)))).collect();
        let text = format!("{head}{quote}{old}{quote}{tail}");
        // Files that dialects disagree about are refused as a whole; everything else must come out exact.
        let Ok(found) = value_of(&text, "KEY") else { return Ok(()) };
        prop_assert_eq!(found.as_deref(), Some(old.as_str()));
        let Ok(edited) = set(&text, "KEY", &new) else { return Ok(()) };
        prop_assert!(edited.starts_with(&head) && edited.ends_with(&tail), "{:?} became {:?}", text, edited);
        prop_assert_eq!(value_of(&edited, "KEY"), Ok(Some(new)));
        let back = set(&edited, "KEY", &old).expect("what was there");
        prop_assert!(back.starts_with(&head) && back.ends_with(&tail));
    }

    #[test]
    fn appending_and_removing_is_nothing(lines in prop::collection::vec(foreign(), 0..6), new in "[ -~]{0,16}") {
        let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
        let Ok(edited) = set(&text, "KEY", &new) else { return Ok(()) };
        prop_assert!(edited.starts_with(&text));
        prop_assert_eq!(remove(&edited, "KEY"), Ok(text));
    }

    #[test]
    fn a_value_that_can_be_written_reads_back(new in "\\PC{0,24}", wanted in prop_oneof![Just(Style::Bare), Just(Style::Single), Just(Style::Double)]) {
        if let Some(written) = value::encode(&new, wanted) {
            prop_assert_eq!(value::decode(written.as_bytes()), Ok(new));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(text in prop::collection::vec(prop_oneof![Just(b'K'), Just(b'='), Just(b'\''), Just(b'"'), Just(b'\\'), Just(b'\n'), Just(b'\r'), Just(b'#'), Just(b' '), Just(b'`'), any::<u8>()], 0..24)) {
        for sight in [scan::Sight::Lines, scan::Sight::Leading, scan::Sight::Anywhere] {
            for line in scan::assignments(&text, sight) {
                prop_assert!(line.whole.start <= line.name.start && line.name.end < line.value.start.max(line.name.end + 1));
            }
        }
        let set = BTreeMap::from([("K".to_owned(), Secret::new("N".to_owned()))]);
        let _ = edit(&text, &set, &BTreeSet::new());
        let _ = edit(&text, &BTreeMap::new(), &BTreeSet::from(["K".to_owned()]));
    }
}
