//! A stolen laptop, told by the real binary over the three systems: one can be cut, one is asked for no grace, one cannot be cut.

use std::time::Duration;

use cutover_api::Secret;
use cutover_fake::{Bondi, Calling, Consumer, Plana, Wrapd, keys_in_file};

use crate::binary::{Desk, Place};

const PACE: Option<Duration> = Some(Duration::from_millis(20));

/// One application: its target, which it reads at each call, and its policy.
async fn application(desk: &Desk, name: &str, calling: Calling, old: &Secret, policy: String) -> (Consumer, String) {
    let target = format!("{name}.env");
    desk.write(&target, &format!("KEY={}\n", old.expose()));
    let app = Consumer::start(calling, keys_in_file(desk.path(&target), &["KEY"]), desk.clock.clone(), PACE)
        .await
        .expect("a consumer");
    let restarter = app.restarter();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let hook = axum::Router::new().route(
        "/deploy",
        axum::routing::post(move || {
            let restarter = restarter.clone();
            async move { restarter.restart() }
        }),
    );
    tokio::spawn(async move { axum::serve(listener, hook).await });
    let text = format!(
        "[policy.{name}]\n{policy}cadence = \"1y\"\nholders = [\"dana@example.com\"]\n\
         [[policy.{name}.target]]\nstore = \"app\"\npath = \"{target}\"\nfields = {{ KEY = \"{{{{ new.secret }}}}\" }}\n\
         [[policy.{name}.redeploy]]\nkind = \"http\"\nrequest = \"POST http://127.0.0.1:{port}/deploy\"\ntimeout = \"1m\"\n\
         [[policy.{name}.verify]]\nkind = \"consumer\"\nrequest = \"GET {}\"\nfingerprint = \"/fingerprints/0\"\nevery = \"1s\"\n",
        app.health_url()
    );
    (app, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_answers_a_stolen_laptop() {
    let desk = Desk::new();
    desk.quick_plana();
    let (plana, bondi, wrapd) = (
        Plana::start(desk.clock.clone()).await,
        Bondi::start(desk.clock.clone()).await,
        Wrapd::start(desk.clock.clone()).await,
    );
    let (plana_id, plana_old) = plana.seed("Nightly stock sync (2025)", "dashboard:read");
    let (_, bondi_old) = bondi.seed("ws_1", "my-crm");
    let (wrapd_id, wrapd_old) = wrapd.seed("production", &["read"]);
    for (name, session) in [("plana", plana.session()), ("bondi", bondi.session()), ("wrapd", wrapd.session())] {
        desk.write(&format!("{name}.session"), session.expose());
    }
    let dir = desk.dir.path().display().to_string();
    let account = |name: &str, definition: &str, url: &str, holders: &str| {
        format!(
            "[provider.{name}]\ndefinition = \"{definition}\"\nbase_url = \"{url}\"\ncredential = {{ file = \"{dir}/{name}.session\" }}\n{holders}"
        )
    };
    let stock = application(
        &desk,
        "stock-sync",
        Calling::Bearer(format!("{}/api/v1/dashboard", plana.base_url())),
        &plana_old,
        format!("provider = \"plana\"\nparams = {{ base_name = \"Nightly stock sync\" }}\nadopt = {{ id = \"{plana_id}\" }}\n"),
    );
    let crm = application(
        &desk,
        "crm",
        Calling::Emit(format!("{}/integrations/custom/ws_1/my-crm/emit", bondi.base_url())),
        &bondi_old,
        String::from("provider = \"bondi\"\nparams = { workspace = \"ws_1\", slug = \"my-crm\" }\n"),
    );
    let ads = application(
        &desk,
        "ads",
        Calling::Header(format!("{}/me", wrapd.base_url()), String::from("X-API-Key")),
        &wrapd_old,
        format!("provider = \"wrapd\"\ngrace = \"7d\"\nadopt = {{ id = \"{wrapd_id}\" }}\n"),
    );
    let ((mut one, stock), (mut two, crm), (mut three, ads)) = tokio::join!(stock, crm, ads);
    let desk_alerts = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = desk_alerts.local_addr().expect("bound").port();
    tokio::spawn(async move {
        axum::serve(desk_alerts, axum::Router::new().route("/alert", axum::routing::post(|| async {}))).await
    });
    let config = [
        desk.head(&Place::File),
        format!("[notify.ops]\nkind = \"webhook\"\nrequest = \"POST http://127.0.0.1:{port}/alert\"\n"),
        account("plana", "plana", &plana.base_url(), ""),
        account("bondi", "bondi", &bondi.base_url(), "holders = [\"dana@example.com\"]\n"),
        account("wrapd", "wrapd-api-key", &wrapd.base_url(), ""),
        stock,
        crm,
        ads,
    ];
    desk.write("cutover.toml", &config.concat());
    let daemon = desk.daemon().await;

    let order = ["rotate", "--holder", "dana@example.com", "--emergency", "--reason", "laptop stolen"];
    let told = |output: &std::process::Output| {
        format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout))
    };
    let dry = desk.verb(&[&order[..], &["--dry-run"]].concat()).await;
    println!("$ cutover {} --dry-run\n{}", order.join(" "), told(&dry));
    assert_eq!((dry.status.code(), plana.mints()), (Some(0), 0), "{}", told(&dry));
    for said in ["CANNOT BE CUT", "ask Bondi support", "[provider.bondi], read by dana@example.com"] {
        assert!(told(&dry).contains(said), "{said}: {}", told(&dry));
    }
    let ordered = desk.verb(&[&order[..], &["--wait"]].concat()).await;
    println!("$ cutover {} --wait\n{}", order.join(" "), told(&ordered));
    assert_eq!(ordered.status.code(), Some(0), "{}\n{}", told(&ordered), desk.log());
    assert!(!plana.accepts(&plana_old) && !wrapd.accepts(&wrapd_old), "what can be cut is dead");
    assert!(bondi.accepts(&bondi_old), "what cannot be cut lives, and that is said");
    let shown = desk.verb(&["status", "--emergency"]).await;
    println!("$ cutover status --emergency\n{}", told(&shown));
    for said in
        ["2 of 3 older keys dead", "presented, and refused", "ALIVE", "ask Bondi support", "new key in use in 3 of 3 policies"]
    {
        assert!(told(&shown).contains(said), "{said}: {}", told(&shown));
    }
    let status = desk.verb(&["status"]).await;
    println!("$ cutover status\n{}", told(&status));
    assert!(told(&status).starts_with("EMERGENCY emg_"), "{}", told(&status));
    let json = desk.verb(&["status", "--emergency", "--json"]).await;
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["tally"]["dead"], 2, "{json}");
    assert_eq!((plana.mints(), bondi.mints(), wrapd.mints()), (1, 1, 1));
    daemon.stop().await;
    for app in [&mut one, &mut two, &mut three] {
        app.stop().await;
    }
}
