//! The shipped definitions against the project's own doubles: the two must agree, or the demo and the simulation lie.

use cutover_api::{Call, Class, Intent, KeyRef, MintAnswer, Minted, Outcome, Provider, Secret, Span};
use cutover_fake::{Bondi, CallKind, Fault, How, Plana, Wrapd};
use cutover_provider_http::HttpProvider;

use crate::common::{NOW, World, call, intent, key, params, record, shipped};

fn account(world: &World, name: &str, url: &str, session: &Secret) -> HttpProvider {
    world.held.put("session", session.expose());
    world.account(&shipped(name), &format!("credential = {{ file = \"session\" }}\nbase_url = \"{url}\""))
}

async fn minted(account: &HttpProvider, call: Call<'_>, old: Option<KeyRef<'_>>) -> Minted {
    let MintAnswer::Reply(raw) = account.mint(call, old, None).await else { panic!("no reply") };
    match account.parse(call, old, &raw) {
        Outcome::Done(minted) => minted,
        Outcome::Refused(refusal) => panic!("{refusal}"),
        Outcome::Unknown(cause) => panic!("{cause}"),
    }
}

async fn accepted(account: &HttpProvider, call: Call<'_>, id: &str, secret: &Secret) -> bool {
    let of = record(id);
    match account.probe(call, key(&of, Some(secret))).await {
        Outcome::Done(verdict) => verdict.accepted,
        Outcome::Refused(refusal) => panic!("{refusal}"),
        Outcome::Unknown(cause) => panic!("{cause}"),
    }
}

#[tokio::test]
async fn bondi() {
    let world = World::new();
    let double = Bondi::start(world.clock.clone()).await;
    let (_, old) = double.seed("ws_1", "my-crm");
    let account = account(&world, "bondi", &double.base_url(), &double.session());
    assert_eq!(account.credential().await.map(|alive| alive.expires_at), Ok(Some(NOW.plus(Span::hours(7 * 24)))));
    let (given, intent) = (params(&[("workspace", "ws_1"), ("slug", "my-crm")]), intent());
    let new = minted(&account, call(&given, &intent), None).await;
    assert_eq!(new.old.and_then(|old| old.expires_at), Some(NOW.plus(Span::hours(24))));
    assert_eq!(new.provider_now, Some(NOW));
    assert!(new.secret.is_some_and(|secret| double.accepts(&secret)) && double.accepts(&old));
    double.expire_sessions();
    assert!(matches!(account.mint(call(&given, &intent), None, None).await, MintAnswer::Refused(r) if r.class == Class::Auth));
    assert_eq!(double.mints(), 2);
}

#[tokio::test]
async fn plana() {
    let world = World::new();
    let double = Plana::start(world.clock.clone()).await;
    double.revocation_takes(Span::ZERO);
    let (id, old) = double.seed("Nightly", "dashboard:read");
    let account = account(&world, "plana", &double.base_url(), &double.session());
    let (given, intent) = (params(&[("base_name", "Nightly")]), intent());
    let call = call(&given, &intent);
    let new = minted(&account, call, None).await;
    let (new_id, secret) = (new.record.id.expect("an id"), new.secret.expect("a value"));
    assert!(accepted(&account, call, &new_id, &secret).await && accepted(&account, call, &id, &old).await);
    let Outcome::Done(listing) = account.list(call).await else { panic!("no list") };
    let ours: Vec<_> =
        listing.rows.iter().filter(|row| row.name.as_deref().is_some_and(|name| name.contains(&intent.nonce))).collect();
    assert_eq!(ours.iter().map(|row| row.id.as_deref()).collect::<Vec<_>>(), [Some(new_id.as_str())]);
    assert!(ours[0].created_at.is_some() && ours[0].last_used_at.is_some());
    let of = record(&id);
    for _ in 0..2 {
        assert!(matches!(account.revoke(call, key(&of, None)).await, Outcome::Done(())));
    }
    assert!(!accepted(&account, call, &id, &old).await);
    assert_eq!((double.mints(), double.accepts(&secret)), (1, true));
}

#[tokio::test]
async fn wrapd_keys() {
    let world = World::new();
    let double = Wrapd::start(world.clock.clone()).await;
    let (id, old) = double.seed("ci", &["*"]);
    let account = account(&world, "wrapd-api-key", &double.base_url(), &double.session());
    let (none, day) = (params(&[]), intent());
    let of = record(&id);
    let new = minted(&account, call(&none, &day), Some(key(&of, None))).await;
    assert_eq!(new.old.and_then(|old| old.expires_at), Some(NOW.plus(Span::hours(24))));
    let (new_id, secret) = (new.record.id.expect("an id"), new.secret.expect("a value"));
    assert!(
        accepted(&account, call(&none, &day), &new_id, &secret).await && accepted(&account, call(&none, &day), &id, &old).await
    );
    let Outcome::Done(listing) = account.list(call(&none, &day)).await else { panic!("no list") };
    assert_eq!(listing.rows.len(), 2);
    assert!(matches!(account.revoke(call(&none, &day), key(&of, None)).await, Outcome::Done(())));
    assert!(!accepted(&account, call(&none, &day), &id, &old).await);

    // An emergency asks for no grace at all.
    let at_once = Intent { grace: day.grace.map(|asked| cutover_api::GraceAsked { span: Span::ZERO, ..asked }), ..day.clone() };
    let of = record(&new_id);
    let third = minted(&account, call(&none, &at_once), Some(key(&of, None))).await;
    assert!(!accepted(&account, call(&none, &at_once), &new_id, &secret).await);
    assert!(third.secret.is_some_and(|secret| double.accepts(&secret)));
}

#[tokio::test]
async fn wrapd_agents() {
    let world = World::new();
    let double = Wrapd::start(world.clock.clone()).await;
    let (id, old) = double.seed_agent("builder", "main");
    let account = account(&world, "wrapd-agent-token", &double.base_url(), &double.session());
    let (none, intent, of) = (params(&[]), intent(), record(&id));
    let new = minted(&account, call(&none, &intent), Some(key(&of, None))).await;
    assert!(new.secret.is_some_and(|secret| double.accepts(&secret)) && double.accepts(&old));
    let Outcome::Done(listing) = account.list(call(&none, &intent)).await else { panic!("no list") };
    assert_eq!(listing.rows.iter().filter(|row| row.id == new.record.id).count(), 1);
    assert!(matches!(account.revoke(call(&none, &intent), key(&of, None)).await, Outcome::Done(())));
    assert!(!double.accepts(&old));
}

#[tokio::test]
async fn a_lost_reply_is_unknown_and_the_key_is_found_by_its_name() {
    let world = World::new();
    let double = Plana::start(world.clock.clone()).await;
    let account = account(&world, "plana", &double.base_url(), &double.session());
    let (given, intent) = (params(&[("base_name", "Nightly")]), intent());
    double.fail(Fault::once(CallKind::Mint, How::LoseReply));
    assert!(matches!(account.mint(call(&given, &intent), None, None).await, MintAnswer::Unknown(..)));
    assert_eq!(double.mints(), 1);
    let Outcome::Done(listing) = account.list(call(&given, &intent)).await else { panic!("no list") };
    let ours = listing.rows.iter().find(|row| row.name.as_deref().is_some_and(|name| name.contains(&intent.nonce)));
    let orphan = ours.expect("the orphan").clone();
    assert!(matches!(account.revoke(call(&given, &intent), key(&orphan, None)).await, Outcome::Done(())));
}
