//! Emergencies: compromised keys are cut off, and everything that was selected is accounted for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cutover::alert::report::{KeyStands, Report};
use cutover::engine::EmergencyTaken;
use cutover_api::{Clock as _, Span};
use cutover_config::Selector;
use cutover_fake::CallKind;
use cutover_machine::emergency::EmergencyOrder;

use crate::House;
use crate::cast::{Cast, POLICY, Script, System, bondi, plana, wrapd};

fn crm() -> Selector {
    Selector { policies: vec![String::from(POLICY)], ..Selector::default() }
}

async fn order(house: &House, order: EmergencyOrder) -> EmergencyTaken {
    house.engine().emergency(&crm(), order, "uid:0(root)", Some("a laptop was stolen")).await.expect("taken")
}

fn report(house: &House) -> Report {
    house.engine().reports().pop().expect("a report")
}

/// Waits until the newest order's report is as wanted.
async fn until(house: &House, what: &str, wanted: impl Fn(&Report) -> bool) -> Report {
    let waiting = async {
        loop {
            let report = report(house);
            if wanted(&report) {
                return report;
            }
            let next = house.clock.now().plus(Span::seconds(20));
            house.engine().progressed(next).await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(60), waiting).await {
        Ok(report) => report,
        Err(_) => panic!("{what}: {:#?}\n{:#?}\n{:?}", report(house), house.status(POLICY), house.history_kinds().await),
    }
}

fn over(report: &Report) -> bool {
    report.policies.iter().all(|policy| policy.over)
}

/// The keys of the one policy that stand so.
fn keys(report: &Report, stands: KeyStands) -> usize {
    report.policies[0].keys.iter().filter(|key| key.stands == stands).count()
}

async fn started<P: System>(mut cast: Cast<P>) -> Cast<P> {
    cast.start().await;
    cast.app.more_calls(3).await;
    cast
}

/// PLANA can cut: the old key is dead before anything is written, and the application works again after one redeploy.
#[tokio::test(flavor = "multi_thread")]
async fn plana_is_cut_first_and_repaired_afterwards() {
    let cast = started(plana(Script::default()).await).await;
    let taken = order(&cast.house, EmergencyOrder::CutFirst).await;
    assert_eq!((taken.policies, taken.joined), (1, false));
    let said = until(&cast.house, "over", over).await;
    assert_eq!(keys(&said, KeyStands::Dead), 1, "{said:#?}");
    assert_eq!(said.policies[0].keys[0].detail, "presented, and refused");
    assert!(!cast.provider.accepts(&cast.old) && cast.provider.mints() == 1);
    let new = cast.field("KEY").expect("a key");
    assert!(cast.provider.accepts(&new) && cast.field("KEY_NEW").is_none());
    let revoked = cast.provider.calls_of(CallKind::Revoke)[0];
    let kinds = cast.house.history_kinds().await;
    let place = |kind: &str| kinds.iter().position(|one| one == kind).unwrap_or_else(|| panic!("{kind}: {kinds:?}"));
    assert!(place("cut") < place("written"), "cut first, repaired afterwards: {kinds:?}");
    assert!(revoked <= cast.now());
    let text = cast.told("emergency-report", |text, _| text.contains("EMERGENCY") || text.contains("accounted for")).await;
    assert!(text.contains("a laptop was stolen") && text.contains("Dead: 1 key"), "{text}");
    let before = cast.app.tally().refused;
    cast.app.more_calls(10).await;
    assert_eq!(cast.app.tally().refused, before, "the application is well again");
    cast.end().await;
}

/// Bondi cannot cut: the report says until when the old key lives and whom to ask, and closes the order when it is dead.
#[tokio::test(flavor = "multi_thread")]
async fn bondi_cannot_be_cut_and_the_report_says_so() {
    let cast = started(bondi(Script { speed: 3_000, ..Script::default() }).await).await;
    order(&cast.house, EmergencyOrder::CutFirst).await;
    let said =
        until(&cast.house, "alive", |report| keys(report, KeyStands::Until) == 1 && report.policies[0].new_key == "in use")
            .await;
    let key = &said.policies[0].keys[0];
    let left = key.until.expect("until when").since(said.at);
    assert!(left > Span::hours(23) && left < Span::hours(25), "{left}");
    assert!(said.policies[0].support.as_deref().is_some_and(|support| support.contains("Bondi support")), "{said:#?}");
    assert!(cast.provider.accepts(&cast.old), "it cannot be ended");
    let text = cast.told("emergency-report", |text, _| text.contains("STILL ALIVE") && text.contains("until 20")).await;
    assert!(text.contains("Ask Bondi support"), "{text}");
    let said = until(&cast.house, "dead", over).await;
    assert_eq!((keys(&said, KeyStands::Dead), cast.provider.mints()), (1, 1), "{said:#?}");
    cast.app_is_well("the grace is long enough").await;
    cast.end().await;
}

/// Wrapd is asked for no grace at all, whatever the policy says.
#[tokio::test(flavor = "multi_thread")]
async fn wrapd_is_asked_for_a_grace_of_nothing() {
    let cast = started(wrapd(Script { policy: "grace = \"7d\"\n".into(), ..Script::default() }).await).await;
    order(&cast.house, EmergencyOrder::CutFirst).await;
    let said = until(&cast.house, "over", over).await;
    assert_eq!(keys(&said, KeyStands::Dead), 1, "{said:#?}");
    assert!(!cast.provider.accepts(&cast.old) && cast.provider.mints() == 1);
    assert!(cast.provider.accepts(&cast.field("KEY").expect("a key")));
    let took =
        cast.house.history().await.iter().find(|row| row.entry.kind == "old-dead").expect("dead").entry.at.since(said.at);
    assert!(took < Span::HOUR, "at once, not after the policy's seven days: {took}");
    cast.end().await;
}

/// Deploy-first takes nothing away before the new key is proven in use, and then waits for no quiet: whoever has the key goes on using it.
#[tokio::test(flavor = "multi_thread")]
async fn deploy_first_takes_nothing_away_and_waits_for_no_quiet() {
    let script = Script { policy: "soak = \"20h\"\n".into(), ..Script::default() };
    let cast = started(plana(script).await).await;
    order(&cast.house, EmergencyOrder::DeployFirst).await;
    let said = until(&cast.house, "over", over).await;
    assert_eq!(keys(&said, KeyStands::Dead), 1, "{said:#?}");
    let took = cast.now().since(said.at);
    assert!(took < Span::hours(3), "no soak, no quiet: {took}");
    let kinds = cast.house.history_kinds().await;
    let place = |kind: &str| kinds.iter().position(|one| one == kind).unwrap_or_else(|| panic!("{kind}: {kinds:?}"));
    assert!(place("cutover") < place("cut"), "{kinds:?}");
    cast.app_is_well("deploy-first").await;
    cast.end().await;
}

/// A key that stands in a target already is known to whoever has the old one: both are cut off.
#[tokio::test(flavor = "multi_thread")]
async fn a_staged_key_is_superseded_and_cut_off_too() {
    let script = Script { verify: Some(String::new()), ..Script::default() };
    let cast = started(plana(script).await).await;
    let rotation = cast.house.rotate(POLICY).await;
    cast.house.until(POLICY, |status| status.phase == "observe").await;
    let staged = cast.field("KEY").expect("a key");
    order(&cast.house, EmergencyOrder::CutFirst).await;
    let said = until(&cast.house, "both dead", |report| keys(report, KeyStands::Dead) == 2).await;
    assert_eq!(said.policies[0].rotation.as_deref(), Some(rotation.as_str()), "the rotation under way answers it");
    assert!(!cast.provider.accepts(&cast.old) && !cast.provider.accepts(&staged));
    assert_eq!((cast.provider.mints(), cast.provider.living()), (2, 1));
    let said = until(&cast.house, "asks a person", |report| report.policies[0].trouble.is_some()).await;
    assert!(
        said.policies[0].trouble.as_deref().is_some_and(|trouble| trouble.contains("cutover confirm crm --rotation")),
        "{said:#?}"
    );
    cast.order(cutover_machine::event::Order::Confirm).await.expect("taken");
    until(&cast.house, "over", over).await;
    assert!(cast.provider.accepts(&cast.field("KEY").expect("a key")));
    cast.end().await;
}

/// The store is down: the key is cut all the same, the new one waits sealed and is written when the store is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_down_does_not_stop_the_cut() {
    let cast = started(plana(Script::default()).await).await;
    cast.house.rotate(POLICY).await;
    cast.rotated("an ordinary rotation first, so that the key in use is recorded").await;
    let compromised = cast.field("KEY").expect("a key");
    cast.store_goes();
    order(&cast.house, EmergencyOrder::CutFirst).await;
    until(&cast.house, "dead", |report| keys(report, KeyStands::Dead) >= 1).await;
    assert!(!cast.provider.accepts(&compromised));
    assert_eq!(cast.provider.living(), 1, "the new one, which waits");
    cast.store_comes_back();
    until(&cast.house, "over", over).await;
    assert!(cast.provider.accepts(&cast.field("KEY").expect("a key")));
    cast.end().await;
}

/// A foreign value in a target holds an ordinary rotation; an emergency writes its key over it.
#[tokio::test(flavor = "multi_thread")]
async fn an_emergency_writes_over_drift() {
    let cast = started(plana(Script::default()).await).await;
    cast.house.rotate(POLICY).await;
    cast.rotated("first").await;
    cast.meddle("somebody-elses");
    order(&cast.house, EmergencyOrder::CutFirst).await;
    until(&cast.house, "over", over).await;
    assert!(cast.provider.accepts(&cast.field("KEY").expect("a key")));
    assert_eq!(cast.provider.living(), 1);
    cast.end().await;
}

/// What cutover neither made nor was told to adopt it does not end, not even now; the report says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_ours_is_left_and_reported() {
    let cast = started(plana(Script { adopt: false, ..Script::default() }).await).await;
    order(&cast.house, EmergencyOrder::CutFirst).await;
    let said = until(&cast.house, "over", over).await;
    assert_eq!(keys(&said, KeyStands::Left), 1, "{said:#?}");
    assert!(said.policies[0].keys[0].detail.contains("end it by hand"), "{said:#?}");
    assert!(cast.provider.accepts(&cast.old));
    cast.end().await;
}

/// An order is durable: the daemon that ends right after it goes on with it at the next start, and nothing is made twice.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_survives_a_restart_at_any_moment() {
    let mut cast = started(plana(Script { verify: Some(String::new()), ..Script::default() }).await).await;
    let taken = order(&cast.house, EmergencyOrder::CutFirst).await;
    cast.house.stop().await;
    cast.start().await;
    until(&cast.house, "dead", |report| keys(report, KeyStands::Dead) == 1).await;
    cast.house.until(POLICY, |status| status.phase == "observe").await;
    cast.house.stop().await;
    cast.start().await;
    cast.house.until(POLICY, |status| status.phase == "observe").await;
    cast.pass(Span::minutes(10)).await;
    assert_eq!((cast.provider.mints(), report(&cast.house).id), (1, taken.id), "the order is answered once");
    cast.order(cutover_machine::event::Order::Confirm).await.expect("taken");
    until(&cast.house, "over", over).await;
    cast.house.stop().await;
    cast.start().await;
    until(&cast.house, "what was said for good is said again", over).await;
    cast.pass(Span::minutes(10)).await;
    assert_eq!(cast.provider.mints(), 1);
    cast.end().await;
}

/// A hook that hangs does not keep an emergency waiting.
#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_hangs_does_not_hold_an_emergency_up() {
    let cast = plana(Script { speed: 60, ..Script::default() }).await;
    let (hanging, restarter) = (Arc::new(AtomicBool::new(true)), cast.app.restarter());
    let flag = Arc::clone(&hanging);
    cast.house.on_deploy(move || {
        while flag.load(Ordering::SeqCst) {
            // Hangs until the test says otherwise.
            std::thread::sleep(Duration::from_millis(5));
        }
        restarter.restart();
        true
    });
    let cast = started(cast).await;
    cast.house.rotate(POLICY).await;
    cast.house.until(POLICY, |status| status.phase == "deploy").await;
    order(&cast.house, EmergencyOrder::CutFirst).await;
    until(&cast.house, "both dead while the hook hangs", |report| keys(report, KeyStands::Dead) == 2).await;
    hanging.store(false, Ordering::SeqCst);
    until(&cast.house, "over", over).await;
    assert!(cast.provider.accepts(&cast.field("KEY").expect("a key")));
    cast.end().await;
}

/// A second order before the new key is in a target joins; one after it queues until that key is in use, and replaces it.
#[tokio::test(flavor = "multi_thread")]
async fn a_later_order_replaces_what_the_earlier_one_made() {
    let cast = started(plana(Script { verify: Some(String::new()), ..Script::default() }).await).await;
    let first = order(&cast.house, EmergencyOrder::CutFirst).await;
    cast.house.until(POLICY, |status| status.phase == "observe").await;
    let second = order(&cast.house, EmergencyOrder::CutFirst).await;
    assert_ne!(first.id, second.id);
    until(&cast.house, "two dead", |report| keys(report, KeyStands::Dead) == 2).await;
    cast.house.until(POLICY, |status| status.phase == "observe").await;
    assert_eq!((cast.provider.mints(), cast.provider.living()), (2, 1));
    cast.order(cutover_machine::event::Order::Confirm).await.expect("taken");
    until(&cast.house, "over", over).await;
    assert!(cast.house.engine().reports().iter().all(over), "both are accounted for");
    cast.end().await;
}

/// SIGUSR1: without `[emergency]` nothing changes and somebody is told; with it the second signal joins the first.
#[tokio::test(flavor = "multi_thread")]
async fn the_signal_does_what_the_configuration_says() {
    let cast = started(plana(Script { verify: Some(String::new()), ..Script::default() }).await).await;
    assert_eq!(cast.house.engine().emergency_by_signal().await, Ok(None));
    cast.told("emergency-report", |text, _| text.contains("No key was cut off and none was made")).await;
    assert!(cast.provider.accepts(&cast.old) && cast.provider.mints() == 0);
    let config = cast.says("[policy.crm]", "[emergency]\nselect = \"all\"\norder = \"cut-first\"\n[policy.crm]");
    cast.house.reload(&config).await;
    let first = cast.house.engine().emergency_by_signal().await.expect("taken").expect("configured");
    cast.house.until(POLICY, |status| status.phase == "observe").await;
    let second = cast.house.engine().emergency_by_signal().await.expect("taken").expect("configured");
    assert_eq!((first.id, true), (second.id, second.joined));
    cast.pass(Span::minutes(5)).await;
    assert_eq!(cast.provider.mints(), 1, "the second signal makes no second key");
    let actors: Vec<String> = cast.house.history().await.into_iter().map(|row| row.entry.actor).collect();
    assert!(actors.iter().any(|actor| actor == "signal:USR1"), "{actors:?}");
    cast.end().await;
}

/// What the same people could read elsewhere is listed to be replaced by hand.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_holders_had_elsewhere_is_listed() {
    let cast = plana(Script { policy: "holders = [\"dana@example.com\"]\n".into(), ..Script::default() }).await;
    let config = cast.says("[provider.it]\n", "[provider.it]\nholders = [\"dana@example.com\", \"kim@example.com\"]\n");
    let mut cast = cast;
    cast.house.start(&config).await;
    let selector = Selector { holders: vec![String::from("dana@example.com")], ..Selector::default() };
    let taken = cast.house.engine().emergency(&selector, EmergencyOrder::CutFirst, "uid:0(root)", None).await.expect("taken");
    assert_eq!(taken.policies, 1);
    let said = until(&cast.house, "over", over).await;
    assert_eq!(said.by_hand.len(), 1, "{said:#?}");
    assert_eq!((said.by_hand[0].table.as_str(), said.by_hand[0].holders.len()), ("provider.it", 1));
    let text = cast.told("emergency-report", |text, _| text.contains("REPLACE BY HAND")).await;
    assert!(text.contains("[provider.it], read by dana@example.com"), "{text}");
    let nobody = Selector { holders: vec![String::from("nobody@example.com")], ..Selector::default() };
    assert!(cast.house.engine().emergency(&nobody, EmergencyOrder::CutFirst, "uid:0(root)", None).await.is_err());
    cast.app.stop().await;
    cast.house.stop().await;
}
