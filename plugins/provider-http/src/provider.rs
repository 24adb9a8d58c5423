//! The contract's verbs, each one step of the definition.

use async_trait::async_trait;
use cutover_api::{
    Call, Cause, Class, Credential, KeyRecord, KeyRef, LastUse, Listing, MintAnswer, Minted, Outcome, ParamNeed, Provider,
    ProviderFacts, RawReply, ReadKey, Refusal, Secret, Span, Verdict,
};
use cutover_http_step::StepResult;

use crate::account::HttpProvider;
use crate::before::About;
use crate::generate::Generator;
use crate::login::Age;
use crate::mint::NO_SUCH_SHAPE;
use crate::order::Before;
use crate::record::Told;
use crate::steps::Loaded;

#[async_trait]
impl Provider for HttpProvider {
    fn facts(&self) -> &ProviderFacts {
        &self.facts
    }

    fn params(&self) -> Vec<ParamNeed> {
        self.definition.params().needs()
    }

    fn outputs(&self) -> Vec<(String, bool)> {
        self.definition.head().outputs.iter().map(|(name, secret)| (name.clone(), *secret)).collect()
    }

    fn mint_needs(&self) -> Vec<String> {
        let steps = &self.definition.steps;
        if let Some(by_hand) = &steps.by_hand {
            let said = by_hand.ask.slots().iter().map(|slot| slot.path.clone());
            return said.filter(|path| path.starts_with("old.")).collect();
        }
        let uses = steps.mint.iter().flat_map(|mint| mint.step.paths());
        let needed = uses.filter(|said| !said.optional && said.path.starts_with("old.")).map(|said| said.path);
        // The key in use has a value wherever there is a key in use.
        needed.filter(|path| path != "old.secret").collect()
    }

    fn replaces_credential(&self) -> bool {
        self.definition.steps.mint.iter().any(|mint| mint.step.extracts().any(|field| field == "credential"))
    }

    fn ask(&self, call: Call<'_>, old: Option<KeyRef<'_>>) -> Option<String> {
        self.asked(call, old)
    }

    fn fits(&self, value: &Secret) -> bool {
        self.definition.declared.shape.fits(value)
    }

    fn support(&self) -> Option<String> {
        self.definition.support().map(str::to_owned)
    }

    fn max_in_flight(&self) -> Option<usize> {
        self.in_flight()
    }

    async fn credential(&self) -> Result<Credential, Refusal> {
        self.holdings.alive(&self.surroundings.references)
    }

    async fn credential_mark(&self) -> Option<String> {
        Some(self.holdings.mark(&self.surroundings.references))
    }

    fn generate(&self) -> Option<Secret> {
        self.definition.head().generator.and_then(Generator::make)
    }

    fn lifetime(&self, wanted: Option<Span>) -> Option<Span> {
        self.definition.declared.lifetime.and_then(|offer| offer.rounded(wanted))
    }

    async fn prepare(&self, call: Call<'_>) -> Outcome<()> {
        let steps = &self.definition.steps;
        if let Some(login) = &steps.login {
            let before = Before { credential: login.loaded.before.credential, login: true, helpers: Vec::new() };
            let loaded = Loaded { step: login.loaded.step.clone(), before };
            return match self.ready(&loaded, call, About::Nothing, Age::New).await {
                Ok(_) => Outcome::Done(()),
                Err(refusal) => Outcome::Refused(refusal),
            };
        }
        if steps.list.is_some() {
            return self.list(call).await.map(|_| ());
        }
        match self.credential().await {
            Ok(_) => Outcome::Done(()),
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    async fn mint(&self, call: Call<'_>, old: Option<KeyRef<'_>>, generated: Option<&Secret>) -> MintAnswer {
        self.mint_once(call, old, generated).await
    }

    fn parse(&self, call: Call<'_>, old: Option<KeyRef<'_>>, raw: &RawReply) -> Outcome<Minted> {
        self.read_mint(call, old, raw)
    }

    async fn list(&self, call: Call<'_>) -> Outcome<Listing> {
        let Some(list) = &self.definition.steps.list else { return Outcome::Refused(self.lacking("list")) };
        let first = self.list_once(call, Age::Lasting).await;
        if list.loaded.before.login && turned_away(&first) { self.list_once(call, Age::New).await } else { first }
    }

    async fn read(&self, call: Call<'_>, key: KeyRef<'_>) -> Outcome<ReadKey> {
        let result = match self.verb("read", call, key).await {
            Outcome::Done(result) => result,
            Outcome::Refused(refusal) => return Outcome::Refused(refusal),
            Outcome::Unknown(cause) => return Outcome::Unknown(cause),
        };
        let told = Told::from_fields(result.extract);
        if told.secret.as_ref().is_some_and(|secret| !self.definition.declared.shape.fits(secret)) {
            let status = Some(i32::from(result.reply.status()));
            return Outcome::Unknown(Cause { status, ..Cause::new("read", "unreadable").hint(NO_SUCH_SHAPE) });
        }
        Outcome::Done(ReadKey { record: told.record, secret: told.secret, provider_now: result.reply_date })
    }

    async fn last_used(&self, call: Call<'_>, key: KeyRef<'_>) -> Outcome<LastUse> {
        if !self.facts.verbs.last_used {
            return self.last_used_in_list(call, key).await;
        }
        self.verb("last_used", call, key).await.map(|result| {
            let record = Told::from_fields(result.extract).record;
            LastUse { at: record.last_used_at, from: None, provider_now: result.reply_date }
        })
    }

    async fn probe(&self, call: Call<'_>, key: KeyRef<'_>) -> Outcome<Verdict> {
        self.probe_in_a_row(call, key).await
    }

    async fn deactivate(&self, call: Call<'_>, key: KeyRef<'_>) -> Outcome<()> {
        gone_is_done(self.verb("deactivate", call, key).await)
    }

    async fn activate(&self, call: Call<'_>, key: KeyRef<'_>) -> Outcome<()> {
        gone_is_done(self.verb("activate", call, key).await)
    }

    async fn revoke(&self, call: Call<'_>, key: KeyRef<'_>) -> Outcome<()> {
        gone_is_done(self.verb("revoke", call, key).await)
    }

    async fn discard(&self, call: Call<'_>, key: KeyRef<'_>) -> Outcome<()> {
        gone_is_done(self.verb("discard", call, key).await)
    }
}

impl HttpProvider {
    /// Runs a verb about one key; once more with a new login when the first one is not accepted any more.
    async fn verb(&self, name: &str, call: Call<'_>, key: KeyRef<'_>) -> Outcome<StepResult> {
        let Some(loaded) = self.definition.steps.verbs.get(name) else { return Outcome::Refused(self.lacking(name)) };
        let first = self.verb_once(loaded, call, key, Age::Lasting).await;
        if loaded.before.login && turned_away(&first) { self.verb_once(loaded, call, key, Age::New).await } else { first }
    }

    async fn verb_once(&self, loaded: &Loaded, call: Call<'_>, key: KeyRef<'_>, age: Age) -> Outcome<StepResult> {
        match self.ready(loaded, call, About::Key(key), age).await {
            Ok((http, vars)) => loaded.step.run(&http, &self.origins, &vars, &*self.surroundings.clock).await,
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    async fn list_once(&self, call: Call<'_>, age: Age) -> Outcome<Listing> {
        let Some(list) = &self.definition.steps.list else { return Outcome::Refused(self.lacking("list")) };
        let (http, vars) = match self.ready(&list.loaded, call, About::Nothing, age).await {
            Ok(ready) => ready,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let listed = list.rows.run(&list.loaded.step, &http, &self.origins, &vars, &*self.surroundings.clock).await;
        listed.map(|listed| Listing {
            rows: listed.rows.into_iter().map(|row| Told::from_fields(row).record).collect(),
            provider_now: listed.reply_date,
        })
    }

    /// The last use as the key's row tells it, for definitions without `[last_used]`.
    async fn last_used_in_list(&self, call: Call<'_>, key: KeyRef<'_>) -> Outcome<LastUse> {
        let wanted = key.record;
        let fingerprint = wanted.fingerprint.clone().or_else(|| key.secret.map(Secret::fingerprint));
        let listing = match self.list(call).await {
            Outcome::Done(listing) => listing,
            outcome => return outcome.map(|_| LastUse { at: None, from: None, provider_now: None }),
        };
        let same = |row: &&KeyRecord| match &wanted.id {
            Some(id) => row.id.as_ref() == Some(id),
            None => row.fingerprint.is_some() && row.fingerprint == fingerprint,
        };
        match listing.rows.iter().find(same) {
            Some(row) => Outcome::Done(LastUse { at: row.last_used_at, from: None, provider_now: listing.provider_now }),
            None => Outcome::Refused(Refusal::new(Class::Gone, "last_used").hint("the list has no such key")),
        }
    }

    /// A verb that the definition does not have.
    pub(crate) fn lacking(&self, verb: &str) -> Refusal {
        let definition = self.definition.name();
        Refusal::new(Class::Refused, verb).hint(format!("definition \"{definition}\" has no [{verb}]"))
    }
}

/// The step was refused because of who asked. A refusal of the login itself is not: a second one would be refused alike.
pub(crate) fn turned_away<T>(outcome: &Outcome<T>) -> bool {
    matches!(outcome, Outcome::Refused(refusal) if refusal.class == Class::Auth && !matches!(refusal.step.as_str(), "login" | "credential"))
}

/// For the verbs that end a key: one that is not there has ended.
fn gone_is_done(outcome: Outcome<StepResult>) -> Outcome<()> {
    match outcome {
        Outcome::Refused(refusal) if refusal.class == Class::Gone => Outcome::Done(()),
        outcome => outcome.map(|_| ()),
    }
}
