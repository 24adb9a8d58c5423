use cutover_api::{Secret, Span, Stamp};
use cutover_http_step::{Kind, Known, Scope, Template, Var, Vars};
use serde_json::json;

use crate::support::{NOW, vars};

fn text(template: &str, vars: &Vars) -> Result<String, String> {
    let template = Template::parse(template).map_err(|error| error.message)?;
    template.render_text(vars).map(|secret| secret.expose().to_owned()).map_err(|error| error.to_string())
}

#[test]
fn literals_and_slots_join() {
    let vars = vars(&[("a", "1"), ("b.c-d_e", "2")]);
    assert_eq!(text("x{{ a }}y{{b.c-d_e}}z", &vars).as_deref(), Ok("x1y2z"));
    assert_eq!(text("no slot } {", &vars).as_deref(), Ok("no slot } {"));
    let sole = Template::parse("{{ new.secret }}").expect("parses");
    assert_eq!(sole.sole_path(), Some("new.secret"));
    assert_eq!(Template::parse("{{ a? }}").expect("parses").sole_path(), None);
    assert_eq!(Template::parse("{{ a | lower }}").expect("parses").sole_path(), None);
    assert_eq!(Template::parse(" {{ a }}").expect("parses").sole_slot(), None);
    assert!(Template::parse("{ }").expect("parses").is_literal());
}

#[test]
fn what_is_no_template_says_where() {
    for (bad, offset) in
        [("ab{{ x", 2), ("{{ }}", 0), ("x{{ a b }}", 1), ("{{ a..b }}", 0), ("{{ a | nope }}", 0), ("{{ a | first }}", 0)]
    {
        assert_eq!(Template::parse(bad).expect_err(bad).offset, offset, "{bad}");
    }
    let error = Template::parse("{{ v | sealed_box:steps.k.key }}").expect_err("not yet");
    assert!(error.message.starts_with("not yet:"), "{error}");
}

#[test]
fn every_filter() {
    let mut vars = vars(&[("t", "AbC/dé f"), ("b", "aGk="), ("w", "user_1"), ("n", "a-b")]);
    vars.set("at", Var::Time(Stamp(1_777_293_296_789)));
    vars.set("list", Var::Json(json!(["a", 1])));
    for (template, wanted) in [
        ("{{ t | lower }}", "abc/dé f"),
        ("{{ t | upper }}", "ABC/DÉ F"),
        ("{{ t | first:5 }}", "AbC/d"),
        ("{{ t | after_last:/ }}", "dé f"),
        ("{{ n | after_last:/ }}", "a-b"),
        ("{{ w | is:user_1 }}", "true"),
        ("{{ w | is:other }}", "false"),
        ("{{ w | base64 }}", "dXNlcl8x"),
        ("{{ w | base64url }}", "dXNlcl8x"),
        ("{{ b | base64decode }}", "hi"),
        ("{{ b | base64decode | sha256 }}", "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"),
        ("{{ list | json }}", "[\"a\",1]"),
        ("{{ at }}", "2026-04-27T12:34:56Z"),
        ("{{ at | rfc3339 }}", "2026-04-27T12:34:56Z"),
        ("{{ at | unix }}", "1777293296"),
        ("{{ at | unix_ms }}", "1777293296789"),
        ("{{ at | date }}", "2026-04-27"),
        ("{{ w | word }}", "user_1"),
    ] {
        assert_eq!(text(template, &vars).as_deref(), Ok(wanted), "{template}");
    }
    for bad in
        ["{{ n | word }}", "{{ t | base64decode }}", "{{ at | lower }}", "{{ t | unix }}", "{{ list }}", "{{ list | upper }}"]
    {
        assert!(text(bad, &vars).is_err(), "{bad}");
    }
}

#[test]
fn a_refusal_to_render_never_says_the_value() {
    let mut vars = Vars::new();
    vars.set("credential", Var::Secret(Secret::new("hunter2\u{7}".to_owned())));
    let error = text("{{ credential }}", &vars).expect_err("a control character");
    assert_eq!(error, "{{ credential }} holds control characters");
    assert_eq!(text("{{ gone }}", &vars).expect_err("absent"), "{{ gone }} has no value");
}

#[test]
fn text_takes_newlines_and_nothing_below() {
    assert_eq!(text("{{ k }}", &vars(&[("k", "-----BEGIN\nx")])).as_deref(), Ok("-----BEGIN\nx"));
    assert!(text("{{ k }}", &vars(&[("k", "a\r\nb")])).is_err());
    assert!(text("{{ k }}", &vars(&[("k", "a\u{0}b")])).is_err());
}

#[test]
fn spans_round_up_so_that_a_short_grace_is_never_none() {
    let mut vars = Vars::new();
    vars.set_span("grace", Span::minutes(15));
    assert_eq!(
        text("{{ grace.seconds }} {{ grace.minutes }} {{ grace.hours }} {{ grace.days }}", &vars).as_deref(),
        Ok("900 15 1 1")
    );
    vars.set_span("grace", Span::ZERO);
    assert_eq!(text("{{ grace.hours }}", &vars).as_deref(), Ok("0"));
    vars.set("s", Var::Span(Span::seconds(90)));
    assert_eq!(text("{{ s }}", &vars).as_deref(), Ok("90"));
}

#[test]
fn leaves_keep_their_type_and_absent_ones_are_left_out() {
    let mut vars = vars(&[("name", "x")]);
    vars.set("scopes", Var::Json(json!(["a", "b"])));
    vars.set("n", Var::Json(json!(30)));
    vars.set("none", Var::Json(json!(null)));
    vars.set("at", Var::Time(NOW));
    let leaf = |text: &str| Template::parse(text).expect("parses").render_leaf(&vars);
    assert_eq!(leaf("{{ scopes }}"), Ok(Some(json!(["a", "b"]))));
    assert_eq!(leaf("{{ n }}"), Ok(Some(json!(30))));
    assert_eq!(leaf("{{ name | is:x }}"), Ok(Some(json!(true))));
    assert_eq!(leaf("{{ at | unix }}"), Ok(Some(json!(1_795_219_200))));
    assert_eq!(leaf("n={{ n }}"), Ok(Some(json!("n=30"))));
    assert_eq!(leaf("{{ gone? | lower }}"), Ok(None));
    assert_eq!(leaf("{{ none? }}"), Ok(None));
    assert!(leaf("{{ none }}").is_err());
    assert!(leaf("x{{ gone }}").is_err());
}

fn scope() -> Scope {
    let mut scope = Scope::new();
    scope.add("old.id", Known::plain(Kind::Text)).add("new.secret", Known::secret());
    scope.add("lifetime.until", Known::plain(Kind::Time).optional()).add("grace.hours", Known::plain(Kind::Integer));
    scope.add("now", Known::plain(Kind::Time)).add("params.workspace", Known::plain(Kind::Any));
    scope.add_all("old", Known::plain(Kind::Any).optional());
    scope
}

#[test]
fn load_finds_what_cannot_fit() {
    let errors = |text: &str| -> Vec<String> {
        Template::parse(text).expect("parses").check(&scope()).into_iter().map(|error| error.message).collect()
    };
    assert!(errors("{{ old.id }} {{ now | date }} {{ params.workspace | lower }} {{ grace.hours }}").is_empty());
    assert_eq!(errors("{{ parms.workspace }}"), ["unknown path {{ parms.workspace }}: did you mean \"params.workspace\"?"]);
    assert_eq!(errors("{{ params.zzzzzzzzz }}"), ["unknown path {{ params.zzzzzzzzz }}: known here: params.workspace"]);
    assert_eq!(errors("{{ old.id | rfc3339 }}"), ["{{ old.id }}: filter rfc3339 does not take a text"]);
    assert_eq!(errors("{{ now | upper }}"), ["{{ now }}: filter upper does not take a time"]);
    assert_eq!(errors("{{ grace.hours | base64 }}").len(), 1);
    assert_eq!(errors("{{ now | unix | lower }}").len(), 1);
    assert_eq!(errors("{{ lifetime.until }}"), ["{{ lifetime.until }} may have no value: use a value that is always there"]);
    assert_eq!(errors("{{ lifetime.until? | rfc3339 }}").len(), 1, "? outside a leaf");
    assert_eq!(errors("{{ old.scopes }}").len(), 1, "a plain fact may be absent");
    assert_eq!(errors("{{ grace.hours | in_hours }}").len(), 1, "sources only");
    assert_eq!(errors("{{ old.id | subpath }}").len(), 1, "path only");
    assert_eq!(errors("{{ bad }} {{ worse }}").len(), 2, "all at once");
}

#[test]
fn only_a_leaf_of_one_slot_may_be_left_out() {
    let errors = |text: &str| Template::parse(text).expect("parses").check_leaf(&scope()).len();
    assert_eq!(errors("{{ lifetime.until? | rfc3339 }}"), 0);
    assert_eq!(errors("{{ old.scopes? }}"), 0);
    assert_eq!(errors("until {{ lifetime.until? }}"), 1);
    assert_eq!(errors("{{ lifetime.until }}"), 1);
}

#[test]
fn what_is_made_from_a_secret_is_secret() {
    let secret = |text: &str| Template::parse(text).expect("parses").is_secret(&scope());
    assert!(secret("x{{ new.secret | sha256 }}"));
    assert!(!secret("{{ old.id }}"));
}
