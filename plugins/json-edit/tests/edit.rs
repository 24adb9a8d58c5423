//! Edits change the fields they are told to and no other byte.

use std::collections::{BTreeMap, BTreeSet};

use cutover_api::Secret;
use cutover_json_edit::{JsonError, Names, create, edit, read};
use proptest::prelude::*;
use serde_json::{Map, Value};

fn set(text: &str, name: &str, value: &str) -> Result<String, JsonError> {
    let secret = Secret::new(value.to_owned());
    edit(text, &BTreeMap::from([(name.to_owned(), &secret)]), &BTreeSet::new(), Names::Pointers).map(|t| t.to_string())
}

fn remove(text: &str, name: &str) -> Result<String, JsonError> {
    edit(text, &BTreeMap::new(), &BTreeSet::from([name.to_owned()]), Names::Pointers).map(|t| t.to_string())
}

fn value_of(text: &str, name: &str) -> Result<Option<String>, JsonError> {
    let mut found = read(text, &BTreeSet::from([name.to_owned()]), Names::Pointers)?;
    Ok(found.remove(name).map(|secret| secret.expose().to_owned()))
}

#[test]
fn a_value_is_replaced_where_it_stands() {
    let cases = [
        (r#"{"a":"1"}"#, "a", r#"{"a":"N"}"#),
        ("{\n\t\"z\" :  \"1\" , \"a\":2\n}\n", "z", "{\n\t\"z\" :  \"N\" , \"a\":2\n}\n"),
        (
            r#"{"big": 123456789012345678901234567890.10e400, "a": "x"}"#,
            "a",
            r#"{"big": 123456789012345678901234567890.10e400, "a": "N"}"#,
        ),
        (r#"{"\u0061":"x"}"#, "a", r#"{"\u0061":"N"}"#),
        (r#"{"o":{"a":"deep}\"{"},"a":"x"}"#, "a", r#"{"o":{"a":"deep}\"{"},"a":"N"}"#),
        (r#"{"o":{"p":{"a":"x"}}}"#, "/o/p/a", r#"{"o":{"p":{"a":"N"}}}"#),
        (r#"{"o/x":{"~":"x"}}"#, "/o~1x/~0", r#"{"o/x":{"~":"N"}}"#),
    ];
    for (before, name, after) in cases {
        assert_eq!(set(before, name, "N").expect(before), after);
        assert_eq!(value_of(after, name), Ok(Some("N".to_owned())));
    }
}

#[test]
fn a_new_member_is_laid_out_as_its_neighbour() {
    let cases = [
        ("{}", r#"{"n": "N"}"#),
        ("{\n}\n", "{\n  \"n\": \"N\"\n}\n"),
        (r#"{"a":1}"#, r#"{"a":1,"n":"N"}"#),
        (r#"{"a": 1, "b": 2}"#, r#"{"a": 1, "b": 2, "n": "N"}"#),
        ("{\n    \"a\": 1\n}", "{\n    \"a\": 1,\n    \"n\": \"N\"\n}"),
        ("{\r\n\t\"a\": 1,\r\n\t\"b\": [1,\r\n2]\r\n}", "{\r\n\t\"a\": 1,\r\n\t\"b\": [1,\r\n2],\r\n\t\"n\": \"N\"\r\n}"),
    ];
    for (before, after) in cases {
        assert_eq!(set(before, "n", "N").expect(before), after);
        assert_eq!(remove(after, "n").expect(after).replace(['\n', ' '], ""), before.replace(['\n', ' '], ""));
    }
    let secret = Secret::new("v\"\\\u{1}\u{7f}é".to_owned());
    let text = create(&BTreeMap::from([("k".to_owned(), &secret)]), Names::Pointers).expect("a new one");
    assert_eq!(text.as_str(), "{\n  \"k\": \"v\\\"\\\\\\u0001\\u007fé\"\n}\n");
}

#[test]
fn removing_takes_one_comma_along() {
    assert_eq!(remove(r#"{"a":"1"}"#, "a").expect("only"), "{}");
    assert_eq!(remove("{\n  \"a\": \"1\",\n  \"b\": 2\n}", "a").expect("first"), "{\n  \"b\": 2\n}");
    assert_eq!(remove("{\n  \"a\": 1,\n  \"b\": \"2\"\n}", "b").expect("last"), "{\n  \"a\": 1\n}");
    assert_eq!(remove(r#"{"a":1 , "b":"2" , "c":3}"#, "b").expect("middle"), r#"{"a":1 , "c":3}"#);
    assert_eq!(remove(r#"{"a":1}"#, "/o/x").expect("no such object"), r#"{"a":1}"#);
}

#[test]
fn what_cannot_be_certain_is_refused() {
    let name = "a".to_owned();
    assert_eq!(set(r#"{"a":"1","\u0061":"2"}"#, "a", "N"), Err(JsonError::Twice(name.clone())));
    assert_eq!(value_of(r#"{"a":"1","a":"1"}"#, "a"), Err(JsonError::Twice(name.clone())));
    assert_eq!(remove(r#"{"a":"1","a":"1"}"#, "a"), Err(JsonError::Twice(name.clone())));
    for odd in ["1", "null", "{}", "[\"x\"]", "true", r#""\ud800""#] {
        let text = format!("{{\"a\":{odd}}}");
        assert_eq!(set(&text, "a", "N"), Err(JsonError::NotText(name.clone())), "{odd}");
        assert_eq!(remove(&text, "a"), Err(JsonError::NotText(name.clone())), "{odd}");
        assert_eq!(value_of(&text, "a"), Err(JsonError::NotText(name.clone())), "{odd}");
    }
    assert_eq!(set("{\"o\":[]}", "/o/0", "N"), Err(JsonError::NoParent("/o/0".to_owned())));
    assert_eq!(set("{}", "/o/x", "N"), Err(JsonError::NoParent("/o/x".to_owned())));
    assert_eq!(value_of("{}", "/o/x"), Ok(None));
    assert_eq!(set("{}", "/~2", "N"), Err(JsonError::NotAPointer("/~2".to_owned())));
    for broken in ["", "{", "{\"a\":1,}", "nul", "{\"a\":1}}", "\u{feff}{}", "{\"a\":01}"] {
        assert_eq!(set(broken, "a", "N"), Err(JsonError::NotJson), "{broken}");
    }
    for other in ["[]", "\"a\"", "1", "null"] {
        assert_eq!(set(other, "a", "N"), Err(JsonError::NotAnObject), "{other}");
    }
}

/// Any JSON, printed compact, with two spaces, or with space strewn in.
fn document() -> impl Strategy<Value = (Map<String, Value>, String)> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~é\\n\"\\\\{}\\[\\]:,]{0,12}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-d\"{}]{0,3}", inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    });
    let map = prop::collection::btree_map("[a-d\"\\\\{},:]{0,3}", value, 0..6);
    (map, "[ -~é\n]{0,12}", 0..3_u8).prop_map(|(map, own, style)| {
        let mut map: Map<String, Value> = map.into_iter().collect();
        map.insert("own".to_owned(), Value::from(own));
        let value = Value::Object(map.clone());
        let text = match style {
            0 => format!("{value}"),
            1 => format!("{value:#}"),
            _ => format!("{value:#}").replace('\n', "\r\n \t"),
        };
        (map, text)
    })
}

proptest! {
    #[test]
    fn an_edit_is_what_a_map_would_do((mut map, text) in document(), name in "[a-d\"\\\\{},:]{0,3}", value in "\\PC{0,20}", gone in "[a-d\"]{0,2}") {
        let text = match map.get(&name) {
            Some(old) if !old.is_string() => return Ok(()),
            _ => text,
        };
        prop_assume!(gone != name && map.get(&gone).is_none_or(Value::is_string));
        let secret = Secret::new(value.clone());
        let set = BTreeMap::from([(name.clone(), &secret)]);
        let after = edit(&text, &set, &BTreeSet::from([gone.clone()]), Names::TopLevel).expect("a plain document");
        map.remove(&gone);
        map.insert(name.clone(), Value::from(value.clone()));
        let parsed: Map<String, Value> = serde_json::from_str(&after).expect("still JSON");
        prop_assert_eq!(parsed, map);
        let again = edit(&after, &set, &BTreeSet::from([gone]), Names::TopLevel).expect("again");
        prop_assert_eq!(again.as_str(), after.as_str());
    }

    #[test]
    fn replacing_touches_one_span((map, text) in document(), value in "\\PC{0,20}") {
        let name = "own".to_owned();
        let secret = Secret::new(value);
        let after = edit(&text, &BTreeMap::from([(name.clone(), &secret)]), &BTreeSet::new(), Names::TopLevel).expect("plain");
        let old = map.get(&name).and_then(Value::as_str).expect("a string").to_owned();
        let back = Secret::new(old);
        let back = edit(&after, &BTreeMap::from([(name, &back)]), &BTreeSet::new(), Names::TopLevel).expect("plain");
        prop_assert_eq!(back.as_str(), text);
    }

    #[test]
    fn no_text_makes_it_panic(text in "[{}\\[\\]\",:\\\\ a1-]{0,24}", name in "[a1/~]{0,3}") {
        let _ = set(&text, &name, "N");
        let _ = remove(&text, &name);
        let _ = value_of(&text, &name);
    }
}
