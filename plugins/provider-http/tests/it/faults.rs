//! Every fault of a definition is found, with its place; all of them at once.

use cutover_provider_http::Definition;

/// A sound definition; each case below replaces one piece of it.
const SOUND: &str = r#"name = "example"
lifecycle = "overlap"
base_url = "https://api.example.com"
params = { workspace = "required", tag = "optional" }

[declares]
re_rotate = "keeps-all"
list = "by-name"

[auth]
bearer = "{{ credential }}"

[issue]
request = "POST /v1/{{ params.workspace }}/keys"
json = { name = "k {{ rotation.nonce }}" }
extract = { "new.id" = "/id", "new.secret" = "/key" }

[list]
request = "GET /v1/keys"
row = { id = "/id", name = "/name" }

[revoke]
request = "DELETE /v1/keys/{{ key.id }}"

[probe]
request = "GET /v1/me"
auth = { bearer = "{{ key.secret }}" }
accepted = { status = [200] }
refused = { status = [401] }
"#;

/// What is replaced, by what, and where the faults of that are.
type Case = (&'static str, &'static str, &'static [&'static str]);

const TOP: &[Case] = &[
    ("name = \"example\"", "", &["1:1: name"]),
    ("name = \"example\"", "name = \"other\"", &["1:8: name"]),
    ("name = \"example\"", "name = \"Example\"", &["1:8: name"]),
    ("lifecycle = \"overlap\"", "", &["1:1: lifecycle"]),
    ("lifecycle = \"overlap\"", "lifecycle = \"overlapping\"", &["2:13: lifecycle"]),
    ("base_url = \"https://api.example.com\"", "", &["1:1: base_url"]),
    ("https://api.example.com", "http://api.example.com", &["3:12: base_url"]),
    ("https://api.example.com", "https://{{ params.workspace }}.example.com", &["3:12: base_url"]),
    ("https://api.example.com", "https://user@api.example.com", &["3:12: base_url"]),
    ("base_url", "sources = \"x\"\nbase_url", &["3:1: sources"]),
    ("base_url", "checked = \"yesterday\"\nbase_url", &["3:11: checked"]),
    ("base_url", "kind = \"provide\"\nbase_url", &["3:8: kind"]),
    ("base_url", "hosts = { sts = \"ftp://sts.example.com\" }\nbase_url", &["3:17: hosts.sts"]),
    ("base_url", "credential = []\nbase_url", &["3:14: credential", "12:10: auth.bearer"]),
    ("base_url", "outputs = { user = \"public\" }\nbase_url", &["3:20: outputs.user"]),
    ("base_url", "outputs = { id = \"public\" }\nbase_url", &["3:18: outputs.id"]),
    ("base_url", "reply = \"yaml\"\nbase_url", &["3:9: reply"]),
    ("tag = \"optional\"", "tag = \"maybe\"", &["4:42: params.tag"]),
    ("tag = \"optional\"", "tag = { defualt = 1 }", &["4:42: params.tag", "4:44: params.tag.defualt"]),
];

const DECLARES: &[Case] = &[
    ("\"keeps-all\"", "\"keep-all\"", &["7:13: declares.re_rotate"]),
    ("\"keeps-all\"", "\"idempotent\"", &["7:13: declares.re_rotate"]),
    ("re_rotate =", "re_rotates =", &["7:1: declares.re_rotates"]),
    ("list = \"by-name\"", "list = \"by-secret\"", &["8:8: declares.list"]),
    ("list = \"by-name\"", "list = \"by-time\"", &["8:8: declares.list"]),
    ("list = \"by-name\"", "", &["6:2: declares.list"]),
    ("rotation.nonce", "rotation.uuid", &["8:8: declares.list"]),
    (", name = \"/name\" }", " }", &["8:8: declares.list"]),
    ("[list]\nrequest = \"GET /v1/keys\"\nrow = { id = \"/id\", name = \"/name\" }\n", "", &["8:8: declares.list"]),
    ("list = \"by-name\"", "list = \"by-name\"\nreread = true", &["9:10: declares.reread"]),
    (
        "[probe]",
        "[read]\nrequest = \"GET /v1/keys/{{ key.id }}\"\nextract = { secret = \"/key\" }\n[probe]",
        &["6:2: declares.reread"],
    ),
    (
        "list = \"by-name\"",
        "list = \"by-name\"\nlast_used = { granularity = \"1m\", lag = \"1m\" }",
        &["9:13: declares.last_used"],
    ),
    (
        "list = \"by-name\"",
        "list = \"by-name\"\nlast_used = { lag = \"soon\" }",
        &["9:13: declares.last_used.granularity", "9:21: declares.last_used.lag"],
    ),
    ("list = \"by-name\"", "list = \"by-name\"\ngrace = { fixed = \"24h\" }", &["9:9: declares.grace"]),
    ("list = \"by-name\"", "list = \"by-name\"\nsettle = \"1y\"", &["9:10: declares.settle"]),
    ("list = \"by-name\"", "list = \"by-name\"\nmax_live = 0", &["9:12: declares.max_live"]),
    ("list = \"by-name\"", "list = \"by-name\"\nauthority = \"selfish\"", &["9:13: declares.authority"]),
    (
        "list = \"by-name\"",
        "list = \"by-name\"\nidempotency = { header = \"Idempotency Key\", window = \"24h\" }",
        &["9:26: declares.idempotency.header"],
    ),
    ("list = \"by-name\"", "list = \"by-name\"\nsecret = { prefix = \"pk_\", length = 3 }", &["9:28: declares.secret.length"]),
    (
        "list = \"by-name\"",
        "list = \"by-name\"\nlifetime = { max = \"1d\", default = \"2d\" }",
        &["9:36: declares.lifetime.default"],
    ),
];

const STEPS: &[Case] = &[
    ("[issue]", "[rotate]", &["1:1: issue", "13:2: rotate"]),
    ("[revoke]\nrequest = \"DELETE /v1/keys/{{ key.id }}\"", "", &["1:1: revoke"]),
    ("DELETE /v1/keys/{{ key.id }}", "DELETE /v1/keys/{{ old.id }}", &["23:11: revoke.request", "23:11: revoke.request"]),
    ("DELETE /v1/keys/{{ key.id }}", "DELETE /v1/keys/current", &["23:11: revoke.request"]),
    ("{{ key.id }}", "{{ key.idd }}", &["23:11: revoke.request"]),
    ("{{ params.workspace }}", "{{ params.worksapce }}", &["14:11: issue.request"]),
    ("{{ credential }}", "{{ credentials }}", &["11:10: auth.bearer"]),
    ("\"new.id\" = \"/id\", ", "", &["16:11: issue.extract"]),
    (", \"new.secret\" = \"/key\"", "", &["16:11: issue.extract"]),
    ("\"new.secret\"", "\"new.sercet\"", &["16:11: issue.extract", "16:31: issue.extract.new.sercet"]),
    ("\"new.id\" = \"/id\"", "\"new.id\" = \"id\"", &["16:24: issue.extract.new.id"]),
    ("POST /v1/", "POST sts:/v1/", &["14:11: issue.request"]),
    ("POST /v1/", "/v1/", &["14:11: issue.request"]),
    ("POST /v1/{{ params.workspace }}/keys", "POST https://{{ params.workspace }}/keys", &["14:11: issue.request"]),
    ("json = ", "form = {}\njson = ", &["15:8: issue.form"]),
    ("json = ", "jsn = ", &["15:1: issue.jsn"]),
    ("json = ", "timeout = \"never\"\njson = ", &["15:11: issue.timeout"]),
    ("json = ", "on_status = { 418 = \"teapot\" }\njson = ", &["15:21: issue.on_status.418"]),
    ("json = ", "expect = { status = [\"200\"] }\njson = ", &["15:21: issue.expect.status"]),
    ("rotation.nonce }}", "rotation.nonce | shout }}", &["15:17: issue.json.name"]),
    (
        "auth = { bearer = \"{{ key.secret }}\" }",
        "auth = { bearer = \"x\", basic = { user = \"\", password = \"{{ key.secret }}\" } }",
        &["27:8: probe.auth"],
    ),
    ("auth = { bearer = \"{{ key.secret }}\" }", "", &["26:11: probe.request"]),
    ("refused = { status = [401] }", "", &["25:2: probe.refused"]),
    ("refused = { status = [401] }", "refused = { status = [401] }\nconsecutive = 0", &["30:15: probe.consecutive"]),
    ("[probe]", "[activate]\nrequest = \"POST /v1/keys/{{ key.id }}/on\"\n[probe]", &["25:2: activate"]),
    (
        "[probe]",
        "[step.etag]\nrequest = \"POST /v1/etag\"\nkeep = { tag = \"header:ETag\" }\n[probe]",
        &["26:11: step.etag.request"],
    ),
    ("[probe]", "[step.etag]\nrequest = \"GET /v1/etag\"\n[probe]", &["25:1: step.etag.keep"]),
    ("[probe]", "[login]\nrequest = \"POST /login\"\nttl = \"10m\"\n[probe]", &["25:2: login.keep"]),
    (
        "[probe]",
        "[last_used]\nrequest = \"GET /v1/keys/{{ key.id }}\"\nextract = { name = \"/name\" }\n[probe]",
        &["27:11: last_used.extract"],
    ),
    ("[probe]", "[errors]\nat = \"/code\"\nis = { E1 = \"gonee\" }\n[probe]", &["27:13: errors.is.E1"]),
    ("row = ", "paginate = { by = \"magic\" }\nrow = ", &["20:19: list.paginate.by"]),
    ("row = { id = \"/id\", ", "row = { ", &["20:7: list.row"]),
];

/// The parts that the sound one above has not: a grace, helpers, a login, outputs, a poll.
const MORE: &[Case] = &[
    (
        "[probe]",
        "[step.a]\nrequest = \"GET /{{ steps.b.x }}\"\nkeep = { x = \"/x\" }\n[step.b]\nrequest = \"GET /{{ steps.a.x }}\"\nkeep = { x = \"/x\" }\n[probe]",
        &["25:1: step.a", "28:1: step.b"],
    ),
    (
        "[probe]",
        "[login]\nrequest = \"POST /{{ steps.login.token }}\"\nkeep = { token = \"/token\" }\n[probe]",
        &["26:11: login.request"],
    ),
    (
        "[probe]",
        "[last_used]\nrequest = \"GET /{{ key.id }}\"\nextract = { last_used_at = \"/at\", secret = \"/key\" }\n[probe]",
        &["27:35: last_used.extract.secret"],
    ),
    (
        "[probe]",
        "[deactivate]\nrequest = \"POST /{{ key.id }}\"\nextract = { name = \"/name\" }\n[probe]",
        &["27:13: deactivate.extract.name"],
    ),
    ("[probe]", "[deactivate]\nrequest = \"POST /{{ new.id }}/{{ key.id }}\"\n[probe]", &["26:11: deactivate.request"]),
    ("[probe]", "[discard]\nrequest = \"POST /{{ rotation.nonce }}/{{ key.id }}\"\n[probe]", &["26:11: discard.request"]),
    (
        "[probe]",
        "[issue.poll]\nrequest = \"GET /{{ steps.issue.handle }}\"\ndone = { status = [200] }\n[probe]",
        &["26:11: issue.poll.request"],
    ),
    ("base_url", "outputs = { user = \"plain\" }\nbase_url", &["3:20: outputs.user"]),
    ("base_url", "credential = [\"a\", \"a\"]\nbase_url", &["3:14: credential", "12:10: auth.bearer"]),
    ("\"new.id\" = \"/id\"", "\"new.id\" = \"/[a={{ credential }}]/id\"", &["16:24: issue.extract.new.id"]),
    (
        "json = ",
        "expect = { status = [200], body = { \"/who\" = \"{{ credential }}\" } }\njson = ",
        &["15:46: issue.expect.body./who"],
    ),
    (
        "list = \"by-name\"",
        "list = \"by-name\"\nidempotency = { header = \"Host\", window = \"24h\" }",
        &["9:26: declares.idempotency.header"],
    ),
    (
        "list = \"by-name\"",
        "list = \"by-name\"\nidempotency = { header = \"Idempotency-Key\" }",
        &["9:15: declares.idempotency.window"],
    ),
];

/// A provider with a grace, for what only such a one can get wrong.
const GRACE: &str = r#"name = "example"
lifecycle = "grace"
base_url = "required"

[declares]
grace = { choices = ["0s", "24h"] }

[rotate]
request = "POST /keys/{{ old.id }}/rotate"
json = { grace = "{{ grace.minutes }}", days = "{{ lifetime.days? }}" }
extract = { "new.secret" = "/key" }
"#;

const GRACES: &[Case] = &[
    ("{{ old.id }}", "{{ old.name }}", &["9:11: rotate.request"]),
    ("[rotate]", "[step.login]\nrequest = \"GET /csrf\"\nkeep = { x = \"/x\" }\n[rotate]", &["8:1: step.login"]),
    ("[declares]", "[declares]\nslots = [\"a\", \"b\"]", &["6:9: declares.slots"]),
    ("grace = { choices = [\"0s\", \"24h\"] }", "", &["5:2: declares.grace", "10:18: rotate.json.grace"]),
    ("[\"0s\", \"24h\"]", "[\"0s\", \"a day\"]", &["6:28: declares.grace.choices", "10:18: rotate.json.grace"]),
    ("lifetime.days?", "lifetime.days", &["10:48: rotate.json.days"]),
    ("grace.minutes", "grace.minute", &["10:18: rotate.json.grace"]),
    (
        "\"new.secret\" = \"/key\"",
        "\"new.secret\" = \"/key\", \"old.secret\" = \"/old\"",
        &["11:36: rotate.extract.old.secret"],
    ),
    ("[rotate]", "[revoke]\nrequest = \"DELETE /keys/{{ key.id }}\"\n[rotate]", &["13:11: rotate.extract"]),
    ("[declares]", "[declares]\nauthority = \"self\"", &["6:13: declares.authority"]),
    ("{{ old.id }}", "{{ key.id }}", &["9:11: rotate.request"]),
];

const VALUES: &[Case] = &[
    (
        "base_url",
        "generate = { \"new.secret\" = \"hex:8\" }\nbase_url",
        &["3:29: generate.new.secret", "15:11: issue.request", "17:11: issue.extract"],
    ),
    ("base_url", "generate = { \"new.secret\" = \"hex:32\" }\nbase_url", &["15:11: issue.request", "17:11: issue.extract"]),
    ("lifecycle = \"overlap\"", "lifecycle = \"set\"", &["1:1: generate", "1:1: set", "13:2: issue"]),
];

fn placed(text: &str) -> Vec<String> {
    let problems = Definition::parse("example.toml", text).err().unwrap_or_default();
    problems.iter().map(|problem| format!("{}:{}: {}", problem.place.line, problem.place.column, problem.key)).collect()
}

#[test]
fn the_sound_one_is_sound() {
    assert_eq!(placed(SOUND), Vec::<String>::new());
}

#[test]
fn every_fault_has_its_place() {
    let mut wrong = Vec::new();
    assert_eq!(placed(GRACE), Vec::<String>::new());
    let sound = [TOP, DECLARES, STEPS, MORE, VALUES].concat().into_iter().map(|case| (SOUND, case));
    let all: Vec<_> = sound.chain(GRACES.iter().map(|case| (GRACE, *case))).collect();
    assert!(all.len() > 80);
    for (base, (from, to, expected)) in all {
        assert!(base.contains(from), "{from}");
        let text = base.replacen(from, to, 1);
        if placed(&text) != *expected {
            let said = Definition::parse("example.toml", &text).err().unwrap_or_default();
            let said: Vec<_> = said.iter().map(ToString::to_string).collect();
            wrong.push(format!(
                "{from}  ->  {to}\n  expected {expected:?}\n  found {:?}\n  {}",
                placed(&text),
                said.join("\n  ")
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn all_faults_are_told_at_once() {
    let text = SOUND
        .replace("\"keeps-all\"", "\"keep-all\"")
        .replace("{{ params.workspace }}", "{{ params.worksapce }}")
        .replace("refused = { status = [401] }", "refsued = { status = [401] }");
    assert_eq!(
        placed(&text),
        ["7:13: declares.re_rotate", "14:11: issue.request", "25:2: probe.refused", "29:1: probe.refsued"]
    );
    let said = Definition::parse("example.toml", &text).err().unwrap_or_default();
    let said = said.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(said.contains("did you mean \"params.workspace\"?"), "{said}");
    assert!(said.contains("did you mean \"refused\"?"), "{said}");
}

#[test]
fn what_is_no_toml_has_its_place_too() {
    assert_eq!(placed("name = \n"), ["1:8: "]);
}

#[test]
fn without_a_lifecycle_the_steps_are_checked_all_the_same() {
    let text = SOUND.replace("lifecycle = \"overlap\"", "").replace("{{ key.id }}", "{{ key.idd }}");
    assert_eq!(placed(&text), ["1:1: lifecycle", "23:11: revoke.request"]);
    assert_eq!(placed("name = \"example\"\nbase_url = \"required\"\n[revoke]\n"), ["1:1: lifecycle"]);
}

/// Whatever is taken away from a definition, what comes is problems with places or a definition, never a panic.
#[test]
fn a_definition_with_a_line_missing_is_judged_all_the_same() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/definitions");
    let (mut sound, mut refused) = (0, 0);
    for file in std::fs::read_dir(folder).expect("the fixtures") {
        let path = file.expect("a file").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let text = std::fs::read_to_string(&path).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        for missing in 0..lines.len() {
            let rest: Vec<&str> = lines.iter().enumerate().filter(|(n, _)| *n != missing).map(|(_, line)| *line).collect();
            match Definition::parse(&name, &rest.join("\n")) {
                Ok(_) => sound += 1,
                Err(problems) => {
                    refused += 1;
                    assert!(!problems.is_empty(), "{name} without line {missing}");
                    assert!(
                        problems.iter().all(|problem| problem.place.line > 0),
                        "{name} without line {missing}: {problems:?}"
                    );
                }
            }
        }
    }
    assert!(sound > 100 && refused > 100, "{sound} {refused}");
}
