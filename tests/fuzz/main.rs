//! Hostile input: whatever a file, a provider, a client of the socket or a damaged ledger holds, reading it ends in a value or a bounded
//! refusal. Inputs that broke something are kept beside this file by proptest, and tried first.
#![expect(clippy::expect_used, reason = "a test says what it expects; its helpers do so too")]

mod mutate;

use std::path::Path;
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use cutover::catalog::Catalog;
use cutover::control::wire::{Line, decode_ask, encode_ask};
use cutover::engine::{References, WallClock};
use cutover_api::{Problem, Problems, Reader, Secret, Surroundings, Table};
use cutover_http_step::{Defaults, Reply, Rows, Step, Template, Vars};
use cutover_machine::event::Event;
use cutover_machine::state::Rotation;
use cutover_machine::{Due, Now, Plan, Span, Stamp, decide, due};
use mutate::{cases, mutated, mutated_text, seed};
use proptest::prelude::*;

/// A refusal is for a person: so many problems, so long each, at most.
const PROBLEMS: usize = 2_000;
const PROBLEM: usize = 4_000;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let around = Surroundings { references: Arc::new(References::from_environment()), clock: WallClock::real() };
    Catalog::open(around, Path::new("/nonexistent/definitions")).expect("the shipped definitions")
});

const TOML: &[&str] = &[
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "\n",
    "\r\n",
    "#",
    ".",
    ",",
    "\\u0000",
    "\\",
    "true",
    "nan",
    "-0",
    "1979-05-27T07:32:00Z",
    "0x",
    "99999999999999999999",
    "policy",
    "provider",
    "store",
    "target",
    "verify",
    "redeploy",
    "notify",
    "daemon",
    "grace",
    "cadence",
    "cron",
    "= \"1y\"",
    "= \"0s\"",
    "= \"99999999y\"",
    "= \"* * * * *\"",
    "{{ new.secret }}",
    "{{",
    "}}",
    "| base64",
    "include = [\"*\"]",
    "kind = \"vault\"",
    "kind = \"command\"",
    "POST https://",
    "request = \"GET /\"",
    "extract",
    "/a/b",
    "\u{202e}",
    "during",
    "covers",
    "adopt",
    "params",
    "lifecycle = \"grace\"",
    "[declares]",
    "[mint]",
    "[rotate]",
    "status = [200]",
    "window",
    "timezone = \"Asia/Kathmandu\"",
    "[emergency]",
    "select = \"all\"",
];

fn bounded(problems: &[Problem]) -> Result<(), TestCaseError> {
    prop_assert!(problems.len() <= PROBLEMS, "{} problems", problems.len());
    for problem in problems {
        let text = problem.to_string();
        prop_assert!(text.len() <= PROBLEM, "{} bytes in one problem", text.len());
        prop_assert!(!text.chars().any(|c| c.is_control()), "a control character would reach the terminal: {text:?}");
    }
    Ok(())
}

fn configurations() -> Vec<String> {
    let readme = "daemon = { name = \"prod\", seal = { credential = \"seal-key\" } }\n\
        notify = { ops = { kind = \"webhook\", request = \"POST https://chat.example.com/hooks/cutover\" } }\n\
        store = { env = { kind = \"file\", root = \"/etc/myapp\" } }\nprovider = { bondi = { credential = { file = \"/run/secrets/b\" } } }\n\
        [policy.crm]\nprovider = \"bondi\"\nparams = { workspace = \"ws_1\", slug = \"my-crm\" }\ncadence = \"1y\"\n\
        target = [{ store = \"env\", path = \"crm.env\", fields = { T = \"{{ new.secret }}\" } }]\n\
        redeploy = [{ kind = \"command\", run = [\"/bin/deploy\"] }]\n\
        verify = [{ kind = \"consumer\", request = \"GET https://crm.example.com/health\", fingerprint = \"/fingerprint\" }]\n";
    vec![include_str!("../../config.example.toml").to_owned(), readme.to_owned()]
}

fn definitions() -> Vec<String> {
    CATALOG.known().values().map(|known| known.text.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(1_500), max_shrink_iters: 4_000, rng_seed: seed(), ..ProptestConfig::default() })]

    #[test]
    fn a_configuration_is_read_or_refused(text in mutated_text(configurations(), TOML)) {
        let read = cutover_config::parse(&[("c.toml".to_owned(), text)], &*CATALOG);
        bounded(&read.err().unwrap_or_default())?;
    }

    #[test]
    fn a_definition_is_read_or_refused(text in mutated_text(definitions(), TOML)) {
        match Catalog::parse_definition("d.toml", &text) {
            Ok(definition) => {
                prop_assert!(!definition.name().is_empty());
                // What was read once is read again in the same way.
                prop_assert!(Catalog::parse_definition("d.toml", &text).is_ok_and(|again| again.name() == definition.name()));
            }
            Err(problems) => bounded(&problems)?,
        }
    }
}

const SLOTS: &[&str] = &[
    "{{",
    "}}",
    "{{ ",
    " }}",
    "new.secret",
    "old.id",
    "?",
    " | ",
    "base64",
    "rfc3339",
    "subpath",
    "params.x",
    "steps.a.b",
    ".",
    "..",
    " ",
    "{{{{",
    "}}}}",
    "\0",
    "\u{202e}",
    "json",
    "lifetime.until?",
    "ä",
];

fn templates() -> Vec<String> {
    let shipped = definitions();
    let slots = shipped.iter().flat_map(|text| text.lines()).filter(|line| line.contains("{{")).map(str::to_owned);
    slots.chain([String::from("{{ a }}"), String::new()]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(20_000), max_shrink_iters: 4_000, rng_seed: seed(), ..ProptestConfig::default() })]

    #[test]
    fn a_template_is_read_or_refused(text in mutated_text(templates(), SLOTS)) {
        match Template::parse(&text) {
            Ok(template) => prop_assert_eq!(template.text(), &text),
            Err(refused) => {
                let said = refused.to_string();
                prop_assert!(said.len() <= PROBLEM && !said.chars().any(char::is_control), "{}", said);
            }
        }
    }
}

const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "null",
    "true",
    "-1",
    "1e400",
    "1e-400",
    "18446744073709551616",
    "\\u0000",
    "\\ud800",
    "\\",
    "[[[[[[[[",
    "{\"a\":{\"a\":",
    "\"id\"",
    "\"key\"",
    "\"expires_at\"",
    "\"2026-02-30T25:61:00Z\"",
    "\"9999999999999\"",
    "\"v\":1",
    "\"selector\"",
    "\"all\":true",
    "\u{202e}",
    "\u{feff}",
    " ",
];

const STEP: &str = r#"
[s]
request = "GET /keys"
rows = "/data"
row = { id = "/id", name = "/name", created_at = "/created", last_used_at = "/used", expires_at = "/expires", revoked = "/revoked" }
expect = { status = [200, 201], body = { "/ok" = [true, "yes"] } }
errors = { at = "/error/code", is = { gone = "gone", later = "throttle" } }
extract = { "new.id" = "/id", "new.secret" = "/key", "old.expires_at" = "/expires" }
keep = { job = "/job", expires_at = "/until" }
paginate = { by = "url", at = "/next" }
"#;

/// A step that reads all there is to read of a reply.
static LIST: LazyLock<(Step, Rows)> = LazyLock::new(|| {
    let table = Table::parse("x.toml", STEP).expect("valid");
    let problems = Problems::default();
    let reader = Reader::new(&table, "", &problems);
    let defaults = Defaults::load(&reader, std::collections::BTreeSet::default(), std::collections::BTreeSet::default());
    let inner = reader.table("s").expect("a table");
    let (rows, step) = (Rows::load(&inner), Step::load(&inner, "list", &defaults, Rows::KEYS));
    let all: Vec<_> = problems.take().iter().map(ToString::to_string).collect();
    assert!(all.is_empty(), "{all:?}");
    (step.expect("a step"), rows.expect("rows"))
});

fn replies() -> Vec<Vec<u8>> {
    let texts = [
        r#"{"ok":true,"data":[{"id":"k1","name":"a","created":"2026-01-01T00:00:00Z","used":null,"expires":1790000000,"revoked":false}],"next":"/keys?p=2"}"#,
        r#"{"ok":"yes","id":"k1","key":"pa_live_ABC","expires":"2026-12-01T00:00:00+01:00","job":17,"until":"in 3 days"}"#,
        r#"{"error":{"code":"gone","message":"no such key"}}"#,
        "<html>502</html>",
        "",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(20_000), max_shrink_iters: 4_000, rng_seed: seed(), ..ProptestConfig::default() })]

    #[test]
    fn a_reply_is_judged_and_read_or_not(
        body in mutated(replies(), JSON),
        status in prop_oneof![Just(200_u16), Just(201), Just(401), Just(429), 100_u16..999],
        header in any::<String>(),
        form in prop::sample::select(vec!["json", "text", "none"]),
        whole in any::<bool>(),
    ) {
        let sealed = serde_json::json!({
            "v": 1, "status": status, "headers": [["retry-after", header], ["link", header], ["date", header]],
            "body": base64::engine::general_purpose::STANDARD.encode(&body),
            "sent_at": 1_790_000_000_000_i64, "date": null, "form": form, "whole": whole, "polled": false,
        });
        let reply = Reply::from_sealed(&Secret::new(sealed.to_string())).expect("as it is sealed");
        let (step, rows) = &*LIST;
        let vars = Vars::new();
        let first = format!("{:?}", step.judge(&reply, &vars));
        let _extracted = step.extract(&reply, &vars).is_ok();
        let _kept = step.keep(&reply, &vars).is_ok();
        let _rows = rows.read(&reply, &vars).is_ok();
        // What was sealed says the same after a restart.
        let again = Reply::from_sealed(&reply.to_sealed()).expect("as it is sealed");
        prop_assert_eq!(first, format!("{:?}", step.judge(&again, &vars)));
    }

    #[test]
    fn a_sealed_reply_is_read_back_or_not_taken(text in mutated_text(sealed(), JSON)) {
        if let Some(reply) = Reply::from_sealed(&Secret::new(text)) {
            let _judged = LIST.0.judge(&reply, &Vars::new());
        }
    }

    #[test]
    fn a_request_at_the_socket_is_taken_or_refused(line in mutated(asks(), JSON)) {
        match decode_ask(&line) {
            Ok(ask) => {
                // What is understood is understood the same when it is said again.
                let again = encode_ask(&ask).expect("short");
                prop_assert_eq!(decode_ask(&again).ok(), Some(ask));
            }
            Err(refused) => prop_assert!(refused.reason.len() < 500, "{}", refused.reason),
        }
        let _answer = Line::decode(&line);
    }
}

fn sealed() -> Vec<String> {
    let body = base64::engine::general_purpose::STANDARD.encode("{\"ok\":true}");
    vec![format!(
        "{{\"v\":1,\"status\":200,\"headers\":[[\"date\",\"x\"]],\"body\":\"{body}\",\"sent_at\":1,\"date\":2,\"form\":\"json\",\"whole\":true,\"polled\":false}}"
    )]
}

fn asks() -> Vec<Vec<u8>> {
    use cutover::control::{Ask, Decision};
    let selector = cutover_config::Selector { all: true, ..cutover_config::Selector::default() };
    let decide =
        Ask::Decide { policy: "crm".into(), rotation: Some("rot_1".into()), decision: Decision::MintAgain, reason: None };
    let all = [Ask::Hello {}, Ask::Status { selector }, decide, Ask::ConfirmClock { reason: Some("right".into()) }];
    let mut asks: Vec<Vec<u8>> = all.iter().map(|ask| encode_ask(ask).expect("short")).collect();
    asks.push(b"{\"v\":1,\"item\":{\"a\":1}}\n".to_vec());
    asks.push(b"{\"v\":1,\"refused\":{\"kind\":\"guard\",\"reason\":\"no\"}}\n".to_vec());
    asks
}

/// Rows of a real ledger, one a phase: made by the real program.
const ROWS: &str = include_str!("rows.jsonl");

fn rows(part: &str) -> Vec<String> {
    let row = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("a row")[part].to_string();
    ROWS.lines().map(row).collect()
}

const STATE: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "[]",
    "{}",
    "\"mint\"",
    "\"retire\"",
    "\"doubt\"",
    "\"closed\"",
    "\"stage\"",
    ",",
    ":",
    "4294967295",
];

/// What happens next to a state, whatever it is: a value, never a panic.
fn drive(rotation: Rotation, plan: &Plan, now: i64) {
    let mut state = rotation;
    for step in 0..6 {
        let now = Now::open(Stamp(now.saturating_add(step * 1_000)));
        let event = match due(&state, plan, now) {
            Due::Call(effect) => Event::Intended { effect, deadline: now.at.plus(Span::MINUTE) },
            _ => Event::Woke,
        };
        for event in [event, Event::Restarted] {
            if let Ok(next) = decide(event, &state, plan, now) {
                state = next.next;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(20_000), max_shrink_iters: 4_000, rng_seed: seed(), ..ProptestConfig::default() })]

    #[test]
    fn a_row_of_the_ledger_is_driven_or_not_taken(
        state in mutated_text(rows("rotation"), STATE),
        plan in prop_oneof![3 => proptest::sample::select(rows("plan")), 1 => mutated_text(rows("plan"), STATE)],
        now in any::<i64>(),
    ) {
        let (state, plan) = (serde_json::from_str::<Rotation>(&state), serde_json::from_str::<Plan>(&plan));
        if let (Ok(state), Ok(plan)) = (state, plan) {
            drive(state, &plan, now);
        }
    }
}
