//! What people do: keys that are made in a dashboard and handed in, a lost key that somebody found, dates that are put off.

use std::sync::Arc;
use std::time::Duration;

use cutover::catalog::Catalog;
use cutover::control::{Ask, Decision, Handler, Items, RefusedKind, Verbs};
use cutover::engine::{References, Submission};
use cutover_api::{Clock as _, Secret, Span, Stamp, Surroundings};
use cutover_config::Selector;
use cutover_fake::{CallKind, Calling, Consumer, Fault, How, Plana, Wrapd, keys_in_file};
use cutover_machine::event::Order;

use crate::House;
use crate::cast::{POLICY, Script, bondi};

const PACE: Option<Duration> = Some(Duration::from_millis(5));

/// A person at a dashboard: what they click is a call to the double.
struct Person {
    base: String,
    session: Secret,
}

impl Person {
    async fn clicks(&self, method: reqwest::Method, path: &str, body: serde_json::Value) -> serde_json::Value {
        let request = reqwest::Client::new().request(method, format!("{}{path}", self.base));
        let request =
            request.bearer_auth(self.session.expose()).header("content-type", "application/json").body(body.to_string());
        let reply = request.send().await.expect("answered");
        assert!(reply.status().is_success(), "{path}: {}", reply.status());
        let text = reply.text().await.expect("text");
        serde_json::from_str(&text).unwrap_or_default()
    }
}

fn text(value: &serde_json::Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_else(|| panic!("no {pointer}")).to_owned()
}

fn stamp(text: &str) -> Stamp {
    Stamp(text.parse::<jiff::Timestamp>().expect("RFC 3339").as_millisecond())
}

fn key(value: &str) -> Submission {
    Submission { value: Secret::new(value.to_owned()), id: None, old_expires_at: None }
}

async fn submit(house: &House, policy: &str, submission: Submission) -> Result<String, String> {
    let taken = house.engine().submit(policy, None, submission, "uid:1000(dana)", Some("clicked")).await;
    taken.map_err(|refused| refused.reason)
}

/// An application, and the policy that rotates its key by hand.
async fn application(house: &House, calling: Calling) -> Consumer {
    let keys = keys_in_file(house.path("app.env"), &["KEY"]);
    let consumer = Consumer::start(calling, keys, house.clock.clone(), PACE).await.expect("a consumer");
    let restarter = consumer.restarter();
    house.on_deploy(move || {
        restarter.restart();
        true
    });
    consumer
}

fn policy(house: &House, account: &str, own: &str, health: &str) -> String {
    format!(
        "[provider.it]\n{account}[policy.api]\nprovider = \"it\"\nquiet = \"5m\"\n{own}\
         [[policy.api.target]]\nstore = \"env\"\npath = \"app.env\"\nfields = {{ KEY = \"{{{{ new.secret }}}}\" }}\n\
         [[policy.api.redeploy]]\nkind = \"http\"\nrequest = \"POST http://127.0.0.1:{port}/deploy\"\ntimeout = \"2m\"\n\
         [[policy.api.verify]]\nkind = \"consumer\"\nrequest = \"GET {health}\"\nfingerprint = \"/fingerprints\"\nevery = \"2m\"\n",
        port = house.port
    )
}

/// Waits until an alert says this, wherever its lines end.
async fn told(house: &House, wanted: &str) -> String {
    let waiting = async {
        loop {
            for alert in house.alerts() {
                let text = alert["text"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
                if text.contains(wanted) {
                    return text;
                }
            }
            // Alerts come by themselves: nothing here wakes when one does.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(30), waiting).await;
    told.unwrap_or_else(|_| panic!("nobody is told \"{wanted}\": {:#?}", house.alerts()))
}

/// Wrapd as it is today, for a year: the date comes, a person is asked by mail, clicks, hands the key in; it is staged, deployed, observed;
/// the old one ends by the dashboard's clock, or by a person who revokes it there. cutover itself calls nobody.
#[tokio::test(flavor = "multi_thread")]
async fn wrapd_by_hand_for_a_year() {
    let both = [false, true].map(|revokes| tokio::spawn(wrapd_by_hand(revokes)));
    for one in both {
        one.await.expect("rotated");
    }
}

async fn wrapd_by_hand(revokes: bool) {
    let mut house = House::new(1200).await;
    let wrapd = Wrapd::start(house.clock.clone()).await;
    let (old_id, old) = wrapd.seed("production", &["read"]);
    house.write("app.env", &format!("KEY={}\n", old.expose()));
    let calling = Calling::Header(format!("{}/me", wrapd.base_url()), String::from("X-API-Key"));
    let mut app = application(&house, calling).await;
    let anchor =
        cutover::engine::times::timestamp(house.clock.now().plus(Span::hours(1))).strftime("%Y-%m-%dT%H:%M:%S").to_string();
    let own = format!(
        "params = {{ label = \"production\" }}\ncadence = \"1y\"\nanchor = \"{anchor}\"\ntimezone = \"UTC\"\ngrace = \"24h\"\n"
    );
    house.start(&policy(&house, "definition = \"wrapd-manual\"\n", &own, app.health_url().as_str())).await;
    // The date comes by itself; everything is looked at, and a person is asked.
    let asks = |waits: &String| waits.contains("cutover submit");
    let status = house.until("api", |status| status.ask.is_some() && status.waits_for.as_ref().is_some_and(asks)).await;
    assert_eq!(status.phase, "mint");
    let mail = told(&house, "a person makes it and hands it in").await;
    assert!(
        mail.contains("click \"production\"")
            && mail.contains("choose the grace period")
            && mail.contains("\"24 hours\"")
            && mail.contains("cutover submit api --old-expires-at TIME"),
        "{mail}"
    );
    // A restart forgets nothing of it.
    let config = house.read("cutover.toml").replace(&house.head(), "");
    house.stop().await;
    house.start(&config).await;
    house.until("api", |status| status.ask.is_some()).await;

    let person = Person { base: wrapd.base_url(), session: wrapd.session() };
    let body = serde_json::json!({ "grace_minutes": 1_440 });
    let shown = person.clicks(reqwest::Method::POST, &format!("/api-keys/{old_id}/rotate"), body).await;
    let (value, ends) = (text(&shown, "/key"), stamp(&text(&shown, "/previous/expires_at")));
    refuses_what_is_no_new_key(&house, &old, &value, ends).await;
    let given = Submission { old_expires_at: Some(ends), ..key(&value) };
    let rotation = submit(&house, "api", given).await.expect("taken");
    let status = house.until("api", |status| status.phase == "retire").await;
    assert_eq!(status.rotation, Some(rotation.clone()));
    // What people are shown is in whole seconds.
    assert_eq!(
        status.grace_end.as_deref().map(stamp),
        Some(Stamp(ends.0 - ends.0 % 1_000)),
        "the dashboard's word is what alerts count on"
    );
    assert!(house.read("app.env").contains(&value) && wrapd.accepts(&old));
    if revokes {
        person.clicks(reqwest::Method::DELETE, &format!("/api-keys/{old_id}"), serde_json::Value::Null).await;
        house.engine().order("api", Some(&rotation), Order::ConfirmRetire, "uid:1000(dana)", None).await.expect("taken");
    }
    while house.status("api").ended.is_none() && house.clock.now() < ends {
        // A day of grace takes longer at this speed than anything else is waited for.
        house.engine().progressed(house.clock.now().plus(Span::hours(1))).await;
    }
    let status = house.closed("api").await;
    assert_eq!(status.ended.as_deref(), Some("done"));
    assert!(!wrapd.accepts(&old));
    app.more_calls(10).await;
    app.stop().await;
    assert_eq!(app.refused(), 0, "no call of the application was refused");
    assert_eq!((wrapd.mints(), wrapd.lists()), (1, 0), "only the person called");
    let kinds = house.history_kinds().await;
    for kind in ["preflight-passed", "waiting", "ordered", "minted", "deployed", "evidence", "cutover", "old-dead", "closed"] {
        assert!(kinds.iter().any(|one| one == kind), "{kind} is missing in {kinds:?}");
    }
    assert_eq!(kinds.iter().any(|kind| kind == "ended-by-hand"), revokes);
    let by: Vec<String> =
        house.history().await.into_iter().filter(|row| row.entry.kind == "ordered").map(|row| row.entry.actor).collect();
    assert!(by.iter().all(|actor| actor == "uid:1000(dana)"), "{by:?}");
    assert!(house.unsealed(&rotation, "made").await.is_none(), "nothing stays sealed");
    house.stop().await;
}

async fn refuses_what_is_no_new_key(house: &House, old: &Secret, new: &str, ends: Stamp) {
    let with = |value: &str| Submission { old_expires_at: Some(ends), ..key(value) };
    for (submission, why) in [
        (key(new), "--old-expires-at"),
        (with(old.expose()), "has or had this key already"),
        (with("pa_live_0123456789012345678901234567890123456789"), "does not look like a key"),
        (with(&format!("{new}\n")), "not printable ASCII"),
        (with(""), "empty"),
    ] {
        let reason = submit(house, "api", submission).await.expect_err(why);
        assert!(reason.contains(why) && !reason.contains(new), "{reason}");
    }
    // What stands in a target already did not come by this rotation.
    let before = house.read("app.env");
    house.write("app.env", &format!("KEY={new}\n"));
    let reason = submit(house, "api", with(new)).await.expect_err("refused");
    assert!(reason.contains("env:app.env") && reason.contains("abandon"), "{reason}");
    house.write("app.env", &before);
    assert!(house.status("api").ask.is_some(), "nothing was changed");
}

/// PLANA as it is today: made in BOS, proven in use, revoked in BOS by a person, and seen refused.
#[tokio::test(flavor = "multi_thread")]
async fn plana_by_hand_is_seen_refused_at_the_end() {
    let mut house = House::new(600).await;
    let plana = Plana::start(house.clock.clone()).await;
    let (old_id, old) = plana.seed("Nightly stock sync (2025)", "dashboard:read");
    house.write("app.env", &format!("KEY={}\n", old.expose()));
    let mut app = application(&house, Calling::Bearer(format!("{}/api/v1/dashboard", plana.base_url()))).await;
    let account = format!("definition = \"plana-manual\"\nbase_url = \"{}\"\n", plana.base_url());
    let own = "params = { base_name = \"Nightly stock sync\" }\ncadence = \"1y\"\n";
    house.start(&policy(&house, &account, own, app.health_url().as_str())).await;
    let rotation = house.rotate("api").await;
    let status = house.until("api", |status| status.ask.is_some()).await;
    assert!(status.ask.as_deref().is_some_and(|ask| ask.contains("Nightly stock sync (20")), "{:?}", status.ask);
    let person = Person { base: plana.base_url(), session: plana.session() };
    // Something that looks like a key and is none: the provider says so, and another one can be handed in.
    let wrong = format!("pa_live_{}", "X".repeat(40));
    submit(&house, "api", key(&wrong)).await.expect("taken");
    house.held("api", "new-key-refused").await;
    let made = serde_json::json!({ "name": "Nightly stock sync (2026)", "scope": "dashboard:read" });
    let shown = person.clicks(reqwest::Method::POST, "/api/portal/apikeys", made).await;
    submit(&house, "api", key(&text(&shown, "/key"))).await.expect("taken");
    let mail = told(&house, "end the old key").await;
    assert!(mail.contains(&format!("cutover confirm api --retire --rotation {rotation}")), "{mail}");
    assert!(plana.accepts(&old), "cutover does not end it");
    person.clicks(reqwest::Method::DELETE, &format!("/api/portal/apikeys/{old_id}"), serde_json::Value::Null).await;
    house.engine().order("api", Some(&rotation), Order::ConfirmRetire, "uid:1000(dana)", None).await.expect("taken");
    assert_eq!(house.closed("api").await.ended.as_deref(), Some("done"));
    let dead = house.history().await.into_iter().find(|row| row.entry.kind == "old-dead").expect("recorded");
    assert!(dead.entry.facts.contains("refused"), "{}", dead.entry.facts);
    app.more_calls(10).await;
    app.stop().await;
    assert_eq!(app.refused(), 0);
    house.stop().await;
}

/// Bondi's reply is cut in the middle; a person gets the token out of what came and hands it in. Nothing is minted again, nobody goes down.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_at_bondi_is_solved_by_submit() {
    let mut cast = bondi(Script { speed: 3_000, ..Script::default() }).await;
    cast.provider.fail(Fault::once(CallKind::Mint, How::CutReply(300)));
    cast.start().await;
    let rotation = cast.house.rotate(POLICY).await;
    let held = cast.house.held(POLICY, "doubt").await;
    assert!(
        held.ways.iter().any(|way| way.command == format!("cutover submit {POLICY} --rotation {rotation}")),
        "{:?}",
        held.ways
    );
    let armed = cast.house.status(POLICY).grace_end.expect("armed");
    let received = cast.received(&rotation).await.expect("sealed");
    let token = received.split('"').find(|part| part.starts_with("bnd_tok_")).expect("in what came").to_owned();
    let other = cast.house.engine().submit(POLICY, Some("rot_other"), key(&token), "test", None).await;
    assert!(other.is_err_and(|refused| refused.reason.contains("is not the one under way")));
    submit(&cast.house, POLICY, key(&token)).await.expect("taken");
    cast.moved("handed in").await;
    assert_eq!(cast.house.status(POLICY).grace_end, Some(armed), "the grace stays as it was armed");
    assert_eq!(cast.provider.mints(), 1, "nothing was sent again");
    cast.rotated("at the end").await;
    let again = submit(&cast.house, POLICY, key(&token)).await.expect_err("refused");
    assert!(again.contains("no rotation under way"), "{again}");
    cast.end().await;
}

/// A suspended policy's date is told and not run, is durable over a restart, and runs when the suspension is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_date_is_told_and_runs_afterwards() {
    let mut cast = bondi(Script { speed: 7200, ..Script::default() }).await;
    let session = cast.provider.session_until(cast.now().plus(Span::DAY.times(60)));
    cast.house.write("session", session.expose());
    let anchor = cutover::engine::times::timestamp(cast.now().plus(Span::hours(6))).strftime("%Y-%m-%dT%H:%M:%S").to_string();
    let config = cast.says("cadence = \"1y\"\n", &format!("cadence = \"30d\"\nanchor = \"{anchor}\"\ntimezone = \"UTC\"\n"));
    cast.house.start(&config).await;
    let selector = Selector { policies: vec![POLICY.to_owned()], ..Selector::default() };
    let engine = cast.house.engine();
    let far = engine.suspend(&selector, cast.now().plus(Span::DAY.times(91)), "dana", None).await.expect_err("refused");
    assert!(far.reason.contains("90 days"), "{}", far.reason);
    let until = cast.now().plus(Span::DAY.times(2));
    let suspended = engine.suspend(&selector, until, "uid:1000(dana)", Some("freeze")).await.expect("suspended");
    assert!(suspended[0].puts_off.is_some() && suspended[0].under_way.is_none(), "{suspended:?}");
    let mail = told(&cast.house, "It is suspended until").await;
    assert!(mail.contains("by uid:1000(dana)") && mail.contains(&format!("cutover resume {POLICY}")), "{mail}");
    cast.house.stop().await;
    cast.house.start(&config).await;
    assert!(cast.house.status(POLICY).suspended.is_some(), "a restart lifts nothing");
    while cast.now() < until.minus(Span::hours(2)) {
        assert_eq!(cast.house.status(POLICY).phase, "idle");
        cast.pass(Span::hours(1)).await;
    }
    assert_eq!(cast.provider.mints(), 0);
    cast.house.until(POLICY, |status| status.phase == "retire").await;
    assert!(cast.now() >= until, "not before its end");
    assert_eq!(cast.provider.mints(), 1, "the date was not skipped");
    let kinds = cast.house.history_kinds().await;
    assert_eq!(kinds.iter().filter(|kind| *kind == "put-off").count(), 1, "told once: {kinds:?}");
    cast.end().await;
}

fn catalog(house: &House) -> Catalog {
    let around = Surroundings { references: Arc::new(References::from_environment()), clock: house.clock.clone() };
    Catalog::open(around, std::path::Path::new("/nonexistent")).expect("the shipped definitions")
}

/// What the verbs behind the socket say, from idle to the end of a rotation by hand: taken, or refused before anything is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn every_verb_is_weighed_and_refused_in_words() {
    let mut house = House::new(600).await;
    let plana = Plana::start(house.clock.clone()).await;
    let (old_id, old) = plana.seed("Nightly stock sync (2025)", "dashboard:read");
    house.write("app.env", &format!("KEY={}\n", old.expose()));
    let mut app = application(&house, Calling::Bearer(format!("{}/api/v1/dashboard", plana.base_url()))).await;
    let account = format!("definition = \"plana-manual\"\nbase_url = \"{}\"\n", plana.base_url());
    let own = "params = { base_name = \"sync\" }\ncadence = \"1y\"\n";
    house.start(&policy(&house, &account, own, app.health_url().as_str())).await;
    let verbs = Verbs::new(house.engine().clone(), catalog(&house), house.path("cutover.toml"));
    let say = |ask: Ask| {
        let verbs = verbs.clone();
        async move {
            let (items, _held) = Items::channel();
            verbs.handle(ask, "uid:1000(dana)", &items).await
        }
    };
    let weigh = |decision| Ask::WeighDecision { policy: String::from("api"), decision };
    let weigh_submit = || Ask::WeighSubmit { policy: String::from("api"), rotation: None };
    let all = [Decision::Confirm, Decision::ConfirmRetire, Decision::Resume, Decision::MintAgain, Decision::Abandon];
    let taken = |expected: &'static [Decision], submits: bool| {
        let say = &say;
        async move {
            for decision in all {
                match say(weigh(decision)).await {
                    Ok(cost) => {
                        assert!(expected.contains(&decision), "{decision:?} is taken");
                        assert!(cost["does"].as_str().is_some_and(|does| !does.is_empty()), "{cost}");
                    }
                    Err(refused) => {
                        assert!(!expected.contains(&decision), "{decision:?}: {}", refused.reason);
                        assert_eq!(refused.kind, RefusedKind::Guard);
                    }
                }
            }
            assert_eq!(say(weigh_submit()).await.is_ok(), submits);
        }
    };
    taken(&[], false).await;
    // Suspended and idle: `resume` lifts it, and says so first.
    let selector = Selector { policies: vec![String::from("api")], ..Selector::default() };
    let until = house.clock.now().plus(Span::DAY.times(3));
    let ask = Ask::Suspend { selector: selector.clone(), until, reason: None };
    say(ask.clone()).await.expect("suspended");
    taken(&[Decision::Resume], false).await;
    let resume = Ask::Decide { policy: String::from("api"), rotation: None, decision: Decision::Resume, reason: None };
    assert_eq!(say(resume).await.expect("lifted")["rotation"], "");
    assert!(house.status("api").suspended.is_none());
    say(ask).await.expect("suspended");
    let everything = say(Ask::ConfirmClock { reason: None }).await.expect("lifted");
    assert_eq!(everything["lifted"], serde_json::json!(["api"]));
    assert_eq!(everything["was_frozen"], false);

    let rotation = house.rotate("api").await;
    house.until("api", |status| status.ask.is_some()).await;
    taken(&[Decision::Abandon], true).await;
    let other = Ask::WeighSubmit { policy: String::from("api"), rotation: Some(String::from("rot_other")) };
    assert!(say(other).await.expect_err("refused").reason.contains("is not the one under way"));
    // A value that would be refused is refused before it crosses.
    let announced = |rotation: &str| Ask::Submit {
        policy: String::from("api"),
        rotation: Some(rotation.to_owned()),
        id: None,
        old_expires_at: None,
        reason: None,
        bytes: 60,
    };
    assert!(say(announced("rot_other")).await.is_err());
    say(announced(&rotation)).await.expect("would be taken");
    let person = Person { base: plana.base_url(), session: plana.session() };
    let made = serde_json::json!({ "name": "sync (2026)", "scope": "dashboard:read" });
    let value = text(&person.clicks(reqwest::Method::POST, "/api/portal/apikeys", made).await, "/key");
    verbs.take_submission(announced(&rotation), Secret::new(value), "uid:1000(dana)").await.expect("taken");
    house.until("api", |status| status.phase == "retire").await;
    taken(&[Decision::ConfirmRetire, Decision::Abandon], false).await;
    person.clicks(reqwest::Method::DELETE, &format!("/api/portal/apikeys/{old_id}"), serde_json::Value::Null).await;
    let retire =
        Ask::Decide { policy: String::from("api"), rotation: Some(rotation), decision: Decision::ConfirmRetire, reason: None };
    say(retire).await.expect("taken");
    house.closed("api").await;
    while house.engine().open_rotation_of("api").is_some() {
        tokio::task::yield_now().await;
    }
    app.stop().await;
    assert_eq!(app.refused(), 0);
    house.stop().await;
}

/// `resume` with other targets than were written would leave whoever reads the old ones with a key that dies: it is refused.
#[tokio::test(flavor = "multi_thread")]
async fn resume_is_refused_while_the_targets_are_others() {
    let mut cast = bondi(Script { speed: 600, ..Script::default() }).await;
    cast.house.on_deploy(|| false);
    cast.start().await;
    cast.house.rotate(POLICY).await;
    cast.held("hook").await;
    let more = format!(
        "{}[[policy.crm.target]]\nstore = \"env\"\npath = \"other.env\"\nfields = {{ KEY = \"{{{{ new.secret }}}}\" }}\n",
        cast.says("[policy.crm]", "[policy.crm]")
    );
    let before = cast.says("[policy.crm]", "[policy.crm]");
    cast.house.reload(&more).await;
    let refused = cast.order(Order::Resume).await.expect_err("refused");
    assert!(refused.contains("env:other.env") && refused.contains("put them back"), "{refused}");
    cast.held("hook").await;
    cast.house.reload(&before).await;
    let restarter = cast.app.restarter();
    cast.house.on_deploy(move || {
        restarter.restart();
        true
    });
    cast.order(Order::Resume).await.expect("taken");
    cast.moved("with its own targets").await;
    cast.end().await;
}
