//! The calls of the trait, each under the script.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cutover_api::{
    Call, Cause, Class, Credential, KeyRecord, KeyRef, LastUse, Listing, MintAnswer, Minted, Outcome, ParamNeed, Provider,
    ProviderFacts, RawReply, ReadKey, Refusal, Secret, Span, Stamp, Verdict,
};

use super::FakeProvider;
use crate::fault::{CallKind, How, Quirks};
use crate::house::House;

/// A call that ends a key: already gone = done.
fn ended(outcome: Outcome<()>) -> Outcome<()> {
    match outcome {
        Outcome::Refused(refusal) if refusal.class == Class::Gone => Outcome::Done(()),
        other => other,
    }
}

#[async_trait]
impl Provider for FakeProvider {
    fn facts(&self) -> &ProviderFacts {
        &self.facts
    }

    fn params(&self) -> Vec<ParamNeed> {
        vec![ParamNeed { name: "base_name".to_owned(), required: false, default: None }]
    }

    fn outputs(&self) -> Vec<(String, bool)> {
        Vec::new()
    }

    fn support(&self) -> Option<String> {
        self.lock().support.clone()
    }

    fn max_in_flight(&self) -> Option<usize> {
        self.lock().max_in_flight
    }

    async fn credential(&self) -> Result<Credential, Refusal> {
        Ok(Credential { expires_at: self.lock().house.credential_until })
    }

    fn generate(&self) -> Option<Secret> {
        self.facts.generates.then(|| Secret::new(format!("chosen_{}", self.lock().house.dice.base32().to_ascii_lowercase())))
    }

    fn lifetime(&self, wanted: Option<Span>) -> Option<Span> {
        wanted
    }

    async fn prepare(&self, call: Call<'_>) -> Outcome<()> {
        self.ask(CallKind::Prepare, "prepare", |house, _, now| house.authorized(call, "prepare", now)).await
    }

    async fn mint(&self, call: Call<'_>, old: Option<KeyRef<'_>>, generated: Option<&Secret>) -> MintAnswer {
        let apply = |house: &mut House, quirks: &Quirks, now| house.mint(call, old, generated, quirks, now);
        let (outcome, mangling) = self.meet(CallKind::Mint, "mint", apply).await;
        let raw = match outcome {
            Outcome::Done(raw) => raw,
            Outcome::Refused(refusal) => return MintAnswer::Refused(refusal),
            Outcome::Unknown(cause) => return MintAnswer::Unknown(cause, None),
        };
        let sealed = |text: String| RawReply(Secret::new(text));
        match mangling {
            Some(How::CutReply(bytes)) => {
                let cut = raw.chars().take(bytes).collect();
                MintAnswer::Unknown(Cause::new("mint", "cut"), Some(sealed(cut)))
            }
            Some(How::Huge(_)) => MintAnswer::Unknown(Cause::new("mint", "too-long").status(200), None),
            Some(How::Html200) => MintAnswer::Reply(sealed("<!doctype html><title>Sign in</title>".to_owned())),
            Some(How::NoSecret200) => MintAnswer::Reply(sealed(with_secret(&raw, None))),
            Some(How::OldKeyAgain(old)) => MintAnswer::Reply(sealed(with_secret(&raw, Some(&old)))),
            _ => MintAnswer::Reply(sealed(raw)),
        }
    }

    fn parse(&self, _call: Call<'_>, _old: Option<KeyRef<'_>>, raw: &RawReply) -> Outcome<Minted> {
        let Ok(reply) = serde_json::from_str::<serde_json::Value>(raw.0.expose()) else {
            return Outcome::Unknown(Cause::new("mint", "unreadable"));
        };
        let secret = reply["secret"].as_str().map(|value| Secret::new(value.to_owned()));
        let without = self.facts.generates || self.facts.verbs.read_after_mint;
        if reply["id"].as_str().is_none() || secret.is_none() != without {
            return Outcome::Unknown(Cause::new("mint", "unreadable"));
        }
        let text = |field: &str| reply[field].as_str().map(str::to_owned);
        let stamp = |value: &serde_json::Value| value.as_i64().map(Stamp);
        let record = KeyRecord {
            id: text("id"),
            name: text("name"),
            prefix: text("prefix"),
            slot: text("slot"),
            created_at: stamp(&reply["created_at"]),
            expires_at: stamp(&reply["expires_at"]),
            fingerprint: secret.as_ref().map(Secret::fingerprint),
            ..KeyRecord::default()
        };
        let old = reply.get("old").map(|old| KeyRecord {
            id: old["id"].as_str().map(str::to_owned),
            expires_at: stamp(&old["expires_at"]),
            ..KeyRecord::default()
        });
        let provider_now = stamp(&reply["now"]);
        Outcome::Done(Minted { record, secret, outputs: BTreeMap::new(), old, credential: None, provider_now })
    }

    async fn list(&self, call: Call<'_>) -> Outcome<Listing> {
        let (outcome, mangling) = self
            .meet(CallKind::List, "list", |house, quirks, now| {
                house.authorized(call, "list", now)?;
                // A next page on another host is never followed, so the list counts as cut short.
                Ok((Listing { rows: house.rows(quirks, now), provider_now: Some(now) }, quirks.hostile_next.is_some()))
            })
            .await;
        match (outcome, mangling) {
            (Outcome::Done(_), Some(_)) => Outcome::Unknown(Cause::new("list", "unreadable")),
            (Outcome::Done((_, true)), None) => Outcome::Unknown(Cause::new("list", "redirect")),
            (outcome, _) => outcome.map(|(listing, _)| listing),
        }
    }

    async fn read(&self, call: Call<'_>, key: KeyRef<'_>) -> Outcome<ReadKey> {
        let shows = self.facts.declares.reread || self.facts.verbs.read_after_mint;
        let outcome = self
            .about(CallKind::Read, "read", call, key, |house, at, quirks, now| {
                let found = &house.book.keys[at];
                let secret = found.plain.as_ref().filter(|_| shows).map(Secret::duplicate);
                let record = house.record(found, quirks, now);
                (!found.ended(now)).then_some(ReadKey { record, secret, provider_now: Some(now) })
            })
            .await;
        found(outcome, "read")
    }

    async fn last_used(&self, call: Call<'_>, key: KeyRef<'_>) -> Outcome<LastUse> {
        let outcome = self
            .about(CallKind::LastUsed, "last_used", call, key, |house, at, quirks, now| {
                let found = &house.book.keys[at];
                let at = house.last_use(found, quirks, now);
                (!found.ended(now)).then_some(LastUse { at, from: None, provider_now: Some(now) })
            })
            .await;
        found(outcome, "last_used")
    }

    async fn probe(&self, _call: Call<'_>, key: KeyRef<'_>) -> Outcome<Verdict> {
        self.ask(CallKind::Probe, "probe", |house, _, now| {
            let value = key.secret.ok_or_else(|| Refusal::new(Class::Unsent, "probe").hint("a probe needs the key's value"))?;
            Ok(Verdict { accepted: house.present(value, true, now), provider_now: Some(now) })
        })
        .await
    }

    async fn deactivate(&self, call: Call<'_>, key: KeyRef<'_>) -> Outcome<()> {
        ended(
            self.about(CallKind::Deactivate, "deactivate", call, key, |house, at, _, _| house.book.keys[at].inactive = true)
                .await,
        )
    }

    async fn activate(&self, call: Call<'_>, key: KeyRef<'_>) -> Outcome<()> {
        self.about(CallKind::Activate, "activate", call, key, |house, at, _, _| house.book.keys[at].inactive = false).await
    }

    async fn revoke(&self, call: Call<'_>, key: KeyRef<'_>) -> Outcome<()> {
        ended(self.about(CallKind::Revoke, "revoke", call, key, |house, at, quirks, now| house.revoke(at, quirks, now)).await)
    }

    async fn discard(&self, call: Call<'_>, key: KeyRef<'_>) -> Outcome<()> {
        ended(self.about(CallKind::Discard, "discard", call, key, |house, at, quirks, now| house.revoke(at, quirks, now)).await)
    }
}

fn found<T>(outcome: Outcome<Option<T>>, step: &str) -> Outcome<T> {
    match outcome {
        Outcome::Done(Some(value)) => Outcome::Done(value),
        Outcome::Done(None) => Outcome::Refused(Refusal::new(Class::Gone, step).status(404)),
        Outcome::Refused(refusal) => Outcome::Refused(refusal),
        Outcome::Unknown(cause) => Outcome::Unknown(cause),
    }
}

/// The raw reply with another secret in it, or none.
fn with_secret(raw: &str, secret: Option<&Secret>) -> String {
    let mut reply: serde_json::Value = serde_json::from_str(raw).unwrap_or_default();
    if let Some(reply) = reply.as_object_mut() {
        reply.remove("secret");
        if let Some(secret) = secret {
            reply.insert("secret".to_owned(), secret.expose().into());
        }
    }
    reply.to_string()
}
