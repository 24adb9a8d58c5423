//! Which policies a selector means.

use cutover_config::{Config, Selector};

use crate::base::{AROUND, sound};

fn config() -> Config {
    let policy = |name: &str, provider: &str, tag: &str, holder: &str| {
        format!(
            "[policy.{name}]\nprovider = \"{provider}\"\ncadence = \"1y\"\nanchor = \"2026-01-01\"\ntags = [\"{tag}\"]\nholders = \
             [\"{holder}\"]\nparams = {{ workspace = \"w\", slug = \"{name}\" }}\n[[policy.{name}.target]]\nstore = \"vault\"\npath = \
             \"{name}\"\nfields = {{ K = \"{{{{ new.secret }}}}\" }}\n[[policy.{name}.redeploy]]\nkind = \"command\"\nrun = [\"/x\"]\n"
        )
    };
    sound(&format!(
        "{AROUND}{}{}{}",
        policy("b", "bondi", "eu", "anna"),
        policy("a", "bondi", "us", "anna"),
        policy("c", "bondi", "eu", "bert")
    ))
}

fn names(selector: &Selector) -> Vec<String> {
    let config = config();
    let among: Vec<String> = selector.among(&config).into_iter().map(|policy| policy.name.clone()).collect();
    let asked: Vec<String> =
        config.policies.values().filter(|policy| selector.selects(policy, &config)).map(|policy| policy.name.clone()).collect();
    assert_eq!(among, asked, "the list and the question differ for {selector:?}");
    among
}

#[test]
fn the_list_and_the_question_are_one() {
    let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let nothing = Selector::default();
    assert!(names(&nothing).is_empty());
    assert_eq!(names(&Selector { all: true, ..nothing.clone() }), ["a", "b", "c"]);
    assert_eq!(names(&Selector { policies: list(&["c", "a", "c", "gone"]), ..nothing.clone() }), ["a", "c"]);
    assert_eq!(names(&Selector { tags: list(&["eu"]), ..nothing.clone() }), ["b", "c"]);
    assert_eq!(names(&Selector { tags: list(&["eu"]), holders: list(&["anna"]), ..nothing.clone() }), ["b"]);
    assert_eq!(names(&Selector { policies: list(&["a", "b"]), tags: list(&["eu"]), ..nothing.clone() }), ["b"]);
    assert_eq!(names(&Selector { providers: list(&["bondi"]), ..nothing.clone() }), ["a", "b", "c"]);
    assert!(names(&Selector { policies: list(&["a"]), providers: list(&["wrapd"]), ..nothing }).is_empty());
}
