//! What must not happen before and at the mint: M1, M2, M3, M10, M12, M27.

use base64::Engine as _;
use cutover_api::Span;
use cutover_fake::{CallKind, Fault, How};
use cutover_machine::event::Order;

use super::assert_ways;
use super::outpost::{ADMIN, Outpost, define};
use super::shop::{BondiShop, PlanaShop, placed};
use crate::House;

/// M1: the provider's reply is not what the definition says. The key in it is not lost: the raw reply is sealed, survives a stop, and
/// a person gets the key out of it.
#[tokio::test(flavor = "multi_thread")]
async fn m01_a_reply_that_cannot_be_read_is_kept_sealed() {
    let mut shop = BondiShop::open(600).await;
    let shipped = cutover_provider_http::shipped().iter().find(|(name, _)| *name == "bondi").expect("shipped").1;
    let moved = shipped.replace("name      = \"bondi\"", "name = \"moved\"").replace("\"/token\"", "\"/api_token\"");
    let directory = shop.house.path("definitions");
    std::fs::create_dir_all(&directory).expect("made");
    std::fs::write(directory.join("moved.toml"), moved).expect("written");
    let config = shop.policy("moved", "cadence = \"1y\"", "");
    let clock = shop.house.clock.clone();
    shop.house.try_start(&config, &directory, clock.clone()).await.expect("started");
    let rotation = shop.house.rotate("crm").await;
    let held = shop.house.held("crm", "doubt").await;
    assert_ways(&held, &rotation);
    for _ in 0..2 {
        let reply = shop.house.unsealed(&rotation, "reply.1").await.expect("the raw reply is sealed");
        let reply: serde_json::Value = serde_json::from_str(reply.expose()).expect("JSON");
        let body = base64::engine::general_purpose::STANDARD.decode(reply["body"].as_str().expect("a body")).expect("base64");
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let token = cutover_api::Secret::new(body["token"].as_str().expect("the token").to_owned());
        assert!(shop.bondi.accepts(&token) && !token.same_as(&shop.old), "the one copy of the new token opens");
        shop.house.stop().await;
        shop.house.try_start(&config, &directory, clock.clone()).await.expect("started");
        shop.house.held("crm", "doubt").await;
    }
    assert_eq!(shop.bondi.mints(), 1);
    assert!(shop.placed().same_as(&shop.old), "what could not be read is never staged");
    shop.consumer.more_calls(3).await;
    assert_eq!(shop.consumer.refused(), 0);
    shop.close().await;
}

/// M1: the daemon is told to stop while the mint is under way. The reply that comes then is kept, and used after the next start.
#[tokio::test(flavor = "multi_thread")]
async fn m01_a_reply_that_comes_while_the_daemon_stops_is_kept() {
    let mut shop = BondiShop::open(1200).await;
    let config = shop.usual();
    shop.house.start(&config).await;
    let gate = shop.bondi.hang(CallKind::Mint, true);
    shop.house.rotate("crm").await;
    gate.reached_by(1).await;
    tokio::join!(shop.house.stop(), async { gate.open() });
    assert!(shop.placed().same_as(&shop.old));
    shop.house.start(&config).await;
    shop.house.until("crm", |status| status.phase == "retire").await;
    assert_eq!(shop.bondi.mints(), 1, "the key of the first reply is used");
    assert!(shop.bondi.accepts(&shop.placed()) && !shop.placed().same_as(&shop.old));
    shop.consumer.more_calls(3).await;
    assert_eq!(shop.consumer.refused(), 0);
    shop.close().await;
}

/// M1: the new key waits for its store over a stop of the daemon: its only copy is in the ledger, sealed, and arrives later.
#[tokio::test(flavor = "multi_thread")]
async fn m01_a_key_whose_store_is_down_survives_a_stop() {
    let mut shop = BondiShop::open(600).await;
    let config = shop.usual();
    shop.house.start(&config).await;
    let gate = shop.bondi.hang(CallKind::Mint, true);
    let rotation = shop.house.rotate("crm").await;
    gate.reached_by(1).await;
    // The store goes down after the preflight: a directory stands where the file was.
    std::fs::rename(shop.house.path("app.env"), shop.house.path("away")).expect("moved");
    std::fs::create_dir(shop.house.path("app.env")).expect("made");
    gate.open();
    shop.house.held("crm", "store").await;
    shop.house.stop().await;
    shop.house.start(&config).await;
    shop.house.held("crm", "store").await;
    assert!(
        shop.house.unsealed(&rotation, "reply.1").await.is_some(),
        "the reply is kept until the key is read back everywhere"
    );
    std::fs::remove_dir(shop.house.path("app.env")).expect("removed");
    std::fs::rename(shop.house.path("away"), shop.house.path("app.env")).expect("moved");
    shop.house.until("crm", |status| status.phase == "retire").await;
    assert_eq!(shop.bondi.mints(), 1);
    assert!(shop.bondi.accepts(&shop.placed()) && !shop.placed().same_as(&shop.old));
    shop.consumer.more_calls(3).await;
    assert_eq!(shop.consumer.refused(), 0);
    shop.close().await;
}

/// M2: whatever leaves the effect of a mint unknown, it is not sent again: not by time, not by a stop and a start.
#[tokio::test(flavor = "multi_thread")]
async fn m02_a_mint_whose_effect_is_unknown_is_never_sent_again() {
    let hows = [
        How::LoseReply,
        How::CutReply(20),
        How::Status { status: 503, applied: true },
        How::Status { status: 500, applied: false },
        How::Html200,
        How::OkFalse,
        How::Redirect(String::from("http://127.0.0.1:1/elsewhere")),
    ];
    let runs: Vec<_> = hows.into_iter().map(|how| tokio::spawn(unknown_mint(how))).collect();
    for run in runs {
        run.await.expect("ran");
    }
}

async fn unknown_mint(how: How) {
    let label = how.label();
    let mut shop = BondiShop::open(1200).await;
    shop.bondi.fail(Fault::always(CallKind::Mint, how));
    let config = shop.usual();
    shop.house.start(&config).await;
    let rotation = shop.house.rotate("crm").await;
    let held = shop.house.held("crm", "doubt").await;
    assert_ways(&held, &rotation);
    shop.house.pass(Span::hours(2)).await;
    shop.house.stop().await;
    shop.house.start(&config).await;
    shop.house.pass(Span::hours(2)).await;
    assert_eq!(shop.bondi.mints(), 1, "{label}");
    assert!(shop.placed().same_as(&shop.old), "{label}");
    let status = shop.house.status("crm");
    assert!(status.held.is_some_and(|held| held.why == "doubt"), "{label}");
    assert_eq!(shop.consumer.refused(), 0, "{label}");
    shop.close().await;
}

/// M3: while the grace of one rotation is open a second one is refused, by hand as by a date; and it may run once the old key is dead.
#[tokio::test(flavor = "multi_thread")]
async fn m03_no_second_rotation_while_a_grace_is_open() {
    let mut shop = BondiShop::open(3600).await;
    // A date that lies within the grace of the rotation that is ordered now.
    let anchor = cutover::engine::times::timestamp(cutover_api::Clock::now(shop.house.clock.as_ref()).plus(Span::hours(4)));
    let own = format!("cadence = \"3d\"\nanchor = \"{}\"\ntimezone = \"UTC\"", anchor.strftime("%Y-%m-%dT%H:%M:%S"));
    let config = shop.policy("bondi", &own, "");
    shop.house.start(&config).await;
    let first = shop.house.rotate("crm").await;
    shop.house.until("crm", |status| status.phase == "retire").await;
    let selector = cutover_config::Selector { all: true, ..Default::default() };
    let again = shop.house.engine().rotate(&selector, "test", None).await;
    assert!(again[0].refused.is_some(), "{again:?}");
    assert_eq!(again[0].rotation.as_deref(), Some(first.as_str()), "the one that is open is named");
    shop.house.pass(Span::hours(6)).await;
    assert_eq!(shop.bondi.mints(), 1, "the date within the grace did not mint");
    assert!(shop.bondi.accepts(&shop.old));
    shop.house.closed("crm").await;
    assert_eq!(shop.consumer.refused(), 0);
    shop.close().await;
}

/// M3: a provider that refuses because somebody's rotation is open (409) is not asked again and again; a person decides.
#[tokio::test(flavor = "multi_thread")]
async fn m03_a_409_is_a_rotation_that_is_open_already() {
    let mut shop = BondiShop::open(3600).await;
    shop.bondi.fail(Fault::always(CallKind::Mint, How::NameConflict));
    shop.house.start(&shop.usual()).await;
    let rotation = shop.house.rotate("crm").await;
    let held = shop.house.until("crm", |status| status.held.is_some()).await.held.expect("held");
    assert_ways(&held, &rotation);
    shop.house.pass(Span::hours(8)).await;
    assert_eq!(shop.bondi.mints(), 1);
    assert!(shop.placed().same_as(&shop.old));
    assert_eq!(shop.consumer.refused(), 0);
    shop.close().await;
}

/// M10: where we choose the value, no target holds it before the provider has taken it.
#[tokio::test(flavor = "multi_thread")]
async fn m10_a_chosen_value_is_written_only_after_the_provider_took_it() {
    let mut house = House::new(600).await;
    let (outpost, _, old) = Outpost::start(house.clock.clone()).await;
    house.write("app.env", &format!("KEY={}\n", old.expose()));
    house.write("admin", ADMIN);
    let definitions = define(
        &house,
        "outpost-set",
        "lifecycle = \"set\"\ngenerate = { \"new.secret\" = \"alphanumeric:32\" }\n\
         [declares]\nre_rotate = \"keeps-all\"\ngrace = { fixed = \"0s\" }\nnegative_probe = \"allowed\"\nsettle = \"5s\"\n\
         [auth]\nbearer = \"{{ credential }}\"\n[set]\nrequest = \"PUT /value\"\njson = { value = \"{{ new.secret }}\" }\n\
         [probe]\nrequest = \"GET /me\"\nauth = { bearer = \"{{ key.secret }}\" }\naccepted = { status = [200] }\nrefused = { status = [401] }\n",
    );
    let config = format!(
        "[provider.outpost-set]\nbase_url = \"{}\"\ncredential = {{ file = \"{}/admin\" }}\n\
         [policy.own]\nprovider = \"outpost-set\"\ncadence = \"1y\"\ngrace = \"0s\"\nquiet = \"1m\"\n\
         [[policy.own.target]]\nstore = \"env\"\npath = \"app.env\"\nfields = {{ KEY = \"{{{{ new.secret }}}}\" }}\n\
         [[policy.own.verify]]\nkind = \"command\"\nrun = [\"/bin/true\"]\nevery = \"1m\"\n",
        outpost.base_url(),
        house.dir.path().display(),
    );
    outpost.refuse(true);
    let clock = house.clock.clone();
    house.try_start(&config, &definitions, clock).await.expect("started");
    let rotation = house.rotate("own").await;
    let held = house.held("own", "mint-refused").await;
    assert_ways(&held, &rotation);
    assert!(!outpost.calls("set").is_empty());
    assert!(placed(&house, "app.env", "KEY").same_as(&old), "a value that was refused is in no target");
    assert!(outpost.accepts(old.expose()));
    outpost.refuse(false);
    house.engine().order("own", Some(&rotation), Order::Resume, "test", None).await.expect("taken");
    house.closed("own").await;
    let new = placed(&house, "app.env", "KEY");
    assert!(!new.same_as(&old) && outpost.accepts(new.expose()), "the value the provider took is the one in the target");
    house.stop().await;
}

/// M12: a provider that says "too many" is asked as rarely as it wants, a bounded number of times, and then a person is called.
#[tokio::test(flavor = "multi_thread")]
async fn m12_throttled_mints_wait_as_told_and_end() {
    let mut shop = BondiShop::open(2400).await;
    shop.bondi.fail(Fault::always(CallKind::Mint, How::RetryAfter(600)));
    shop.house.start(&shop.usual()).await;
    let rotation = shop.house.rotate("crm").await;
    let held = shop.house.held("crm", "mint-refused").await;
    assert_ways(&held, &rotation);
    let mints = shop.bondi.mints();
    assert!(mints <= 10, "{mints}");
    let log = shop.bondi.log();
    let times: Vec<_> = log.iter().filter(|call| call.kind == Some(CallKind::Mint)).map(|call| call.at).collect();
    for pair in times.windows(2) {
        assert!(pair[1].since(pair[0]) >= Span::seconds(599), "asked again after {}", pair[1].since(pair[0]));
    }
    shop.house.pass(Span::hours(6)).await;
    assert_eq!(shop.bondi.mints(), mints, "held is held");
    // And it goes on when a person says so.
    shop.bondi.mend();
    shop.house.engine().order("crm", Some(&rotation), Order::Resume, "test", None).await.expect("taken");
    shop.house.until("crm", |status| status.phase == "retire").await;
    assert_eq!(shop.consumer.refused(), 0);
    shop.close().await;
}

/// M12: a provider that is down for a day is asked a few times an hour at most, and the rotation goes on by itself when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn m12_a_provider_that_is_down_is_asked_seldom() {
    let mut shop = PlanaShop::open(7200).await;
    shop.plana.fail(Fault::always(CallKind::List, How::Status { status: 503, applied: false }));
    shop.house.start(&shop.usual()).await;
    let rotation = shop.house.rotate("sync").await;
    let held = shop.house.held("sync", "preflight").await;
    assert_ways(&held, &rotation);
    assert!(held.retries);
    shop.house.pass(Span::hours(20)).await;
    let asked = shop.plana.lists();
    assert!(asked <= 40, "{asked} calls in a day");
    assert_eq!(shop.plana.mints(), 0);
    shop.plana.mend();
    shop.house.until("sync", |status| status.phase == "observe" || status.phase == "retire").await;
    assert_eq!(shop.plana.mints(), 1);
    shop.close().await;
}

/// The word that names what is wrong, and how the configuration is made wrong.
type Case = (&'static str, fn(&BondiShop) -> String);

/// M27: everything a rotation will need is looked at before the one step that cannot be undone.
#[tokio::test(flavor = "multi_thread")]
async fn m27_nothing_is_minted_when_anything_later_cannot_work() {
    let cases: [Case; 6] = [
        ("redeploy 2", |shop| {
            shop.policy(
                "bondi",
                "cadence = \"1y\"",
                "[[policy.crm.redeploy]]\nkind = \"command\"\nrun = [\"/nonexistent/deploy\"]\ntimeout = \"1m\"\n",
            )
        }),
        ("verify 2", |shop| {
            shop.policy("bondi", "cadence = \"1y\"", "[[policy.crm.verify]]\nkind = \"consumer\"\nrequest = \"GET http://127.0.0.1:1/health\"\nfingerprint = \"/f\"\nevery = \"2m\"\n")
        }),
        ("away/app.env", |shop| {
            let more =
                "[[policy.crm.target]]\nstore = \"env\"\npath = \"away/app.env\"\nfields = { TOKEN = \"{{ new.secret }}\" }\n";
            shop.policy("bondi", "cadence = \"1y\"", more)
        }),
        ("credential", |shop| {
            let soon = cutover_api::Clock::now(shop.house.clock.as_ref()).plus(Span::minutes(5));
            shop.house.write("session", shop.bondi.session_until(soon).expose());
            shop.usual()
        }),
        ("credential", |shop| {
            std::fs::remove_file(shop.house.path("session")).expect("removed");
            shop.usual()
        }),
        ("field OTHER holds another", |shop| {
            shop.house.write("other.env", "OTHER=bnd_tok_something_else_entirely\n");
            let more =
                "[[policy.crm.target]]\nstore = \"env\"\npath = \"other.env\"\nfields = { OTHER = \"{{ new.secret }}\" }\n";
            shop.policy("bondi", "cadence = \"1y\"", more)
        }),
    ];
    let runs: Vec<_> = cases.into_iter().map(|(word, config)| tokio::spawn(refused_before_mint(word, config))).collect();
    for run in runs {
        run.await.expect("ran");
    }
}

async fn refused_before_mint(word: &'static str, config: fn(&BondiShop) -> String) {
    let mut shop = BondiShop::open(600).await;
    let config = config(&shop);
    shop.house.start(&config).await;
    let rotation = shop.house.rotate("crm").await;
    // What is wrong with the credential has a name of its own.
    let before = |why: &str| ["preflight", "credential"].contains(&why);
    let status = shop.house.until("crm", |status| status.held.as_ref().is_some_and(|held| before(&held.why))).await;
    let held = status.held.expect("held");
    assert!(held.detail.contains(word), "{word} is not named: {}", held.detail);
    assert_ways(&held, &rotation);
    assert_eq!(shop.bondi.mints(), 0, "{word}");
    assert_eq!(shop.house.deploys(), 0, "{word}");
    assert!(shop.placed().same_as(&shop.old), "{word}");
    assert_eq!(shop.consumer.refused(), 0, "{word}");
    shop.close().await;
}
