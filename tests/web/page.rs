//! What the page says.

use cutover_api::Span;

use crate::client::Site;
use crate::stage::{self, NOW};

/// Compares with a golden file; `CUTOVER_GOLDEN=write` writes it anew.
fn golden(name: &str, text: &str) {
    let path = format!("{}/tests/web/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("CUTOVER_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, text).expect("written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == expected, "{path} differs; look at it with CUTOVER_GOLDEN=write and git diff");
}

/// The page without its style sheet, which has a test of its own.
fn without_style(page: &str) -> String {
    let (before, rest) = page.split_once("<style>").expect("a style");
    let (_, after) = rest.split_once("</style>").expect("a style");
    format!("{before}{after}")
}

#[tokio::test]
async fn the_pages_are_golden() {
    let site = Site::of(stage::five()).await;
    golden("overview.html", &without_style(&site.get("/").await.body));
    golden("policy-held.html", &without_style(&site.get("/policy/pay").await.body));
    golden("policy-idle.html", &without_style(&site.get("/policy/erp").await.body));
    golden("nothing.html", &without_style(&site.get("/policy/nobody").await.body));
}

#[tokio::test]
async fn what_is_held_stands_first_with_the_commands_that_leave_it() {
    let page = Site::of(stage::five()).await.get("/").await.body;
    let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is missing"));
    assert!(place("<h1>1 policy waits for a person</h1>") < place("Order emg_1, given"));
    assert!(place("<span>--emergency</span> <span>emg_1</span>") < place("About the daemon"));
    assert!(place("Waits for a person (1)") < place("Under way (2)"));
    assert!(place("Under way (2)") < place("Idle (2)"));
    assert!(page.contains(
        "<span>resume</span> <span>pay</span> <span>--mint-again</span> <span>--rotation</span> <span>rot_pay</span>"
    ));
    assert!(page.contains("dies AT ONCE"));
    assert!(page.contains(r#"<span class="late">suspended</span>"#) && page.contains("Make a key in the vendor"));
    assert!(page.contains(r#"value="12" aria-label="Grace left of pay">12 %</meter>"#));
    assert!(page.contains("3h left (12 %)") && page.contains("2026-11-21 15:00 UTC</time> (2026-11-21 16:00 CET)"));
    assert!(page.contains("The clock has stepped") && page.contains("The alert channel ops has accepted nothing for 5h"));
}

#[tokio::test]
async fn a_grace_that_is_over_says_so() {
    let mut stage = stage::three();
    let crm = stage.picture.policies.last_mut().expect("there");
    crm.grace_end = Some(cutover::engine::times::rfc3339(stage::ago(Span::minutes(90))));
    crm.grace_percent = Some(106);
    let page = Site::of(stage).await.get("/").await.body;
    assert!(page.contains("Grace: over for 90m.") && page.contains(r#"value="0" aria-label="Grace left of my-crm""#));
}

#[tokio::test]
async fn what_others_wrote_is_never_markup() {
    let evil = "\"><script>alert(1)</script><img src=x onerror=alert(1)> & '`{{7*7}}</style>\u{202e}\u{0}";
    let mut stage = stage::five();
    stage.picture.environment = evil.into();
    let channel = stage.picture.channels.get_mut("ops").expect("there");
    channel.failing = Some((NOW, evil.into()));
    stage.picture.reload_error.as_mut().expect("there").problems = vec![evil.into()];
    for status in &mut stage.picture.policies {
        status.provider = evil.into();
        status.phase = if status.phase == "idle" { "idle".into() } else { evil.into() };
        status.waits_for = Some(evil.into());
        status.key_id = Some(evil.into());
        status.fingerprint = Some(evil.into());
        status.rotation = Some(evil.into());
        for way in &mut status.ways {
            (way.command, way.does, way.costs) = (evil.into(), evil.into(), evil.into());
        }
        if let Some(held) = &mut status.held {
            (held.why, held.detail, held.since) = (evil.into(), evil.into(), evil.into());
            held.ways.clone_from(&status.ways);
        }
    }
    for row in &mut stage.history {
        (row.entry.actor, row.entry.kind) = (evil.into(), if row.seq % 2 == 0 { evil.into() } else { row.entry.kind.clone() });
        row.entry.rotation = Some(evil.into());
        row.entry.facts = serde_json::json!({ "end": evil, "reason": evil, "why": evil }).to_string();
    }
    let site = Site::of(stage).await;
    for path in ["/", "/policy/pay", "/policy/erp", "/?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "/policy/%3Cscript%3E"] {
        let page = site.get(path).await.body;
        assert!(!page.contains("<script") && !page.contains("<img"), "{path}");
        assert_eq!(page.matches("</style>").count(), 1, "{path}");
    }
}

#[tokio::test]
async fn three_thousand_policies_make_a_light_page() {
    let site = Site::of(stage::thousands()).await;
    let page = site.get("/").await.body;
    println!("3000 policies: {} bytes", page.len());
    assert!(page.len() < 160_000, "{} bytes", page.len());
    assert!(page.contains("1 to 50 of 3,000 policies") && page.contains("6 policies wait for a person"));
    assert!(page.contains("Held <span class=\"count\">6</span>"));
    let last = site.get("/?page=60").await.body;
    assert!(last.contains("2,951 to 3,000 of 3,000") && !last.contains("Next page") && last.contains("Page before"));
    assert!(site.get("/?page=99999").await.body.contains("2,951 to 3,000"), "beyond the end is the end");
    let found = site.get("/?q=SERVICE-0042").await.body;
    assert!(found.contains("1 policy") && found.contains("service-0042.team-8"));
    let held = site.get("/?show=held").await.body;
    assert!(held.contains("Waits for a person (6)") && !held.contains("<table"));
    let oldest = site.get("/?show=idle&sort=age").await.body;
    assert!(oldest.contains(r#"aria-sort="ascending"><a href="/?show=idle&#38;sort=age">Age"#), "the order is told");
}

#[tokio::test]
async fn the_page_loads_itself_anew_only_where_that_was_asked_for() {
    let site = Site::of(stage::three()).await;
    assert!(!site.get("/").await.body.contains("http-equiv"));
    assert!(site.get("/?refresh=60").await.body.contains(r#"<meta http-equiv="refresh" content="60">"#));
    assert!(!site.get("/?refresh=1").await.body.contains("http-equiv"));
}
