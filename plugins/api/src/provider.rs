//! Providers: whoever issues the keys.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cutover_machine::plan::ProviderFacts;
use cutover_machine::{Span, Stamp};
use serde::{Deserialize, Serialize};

use crate::outcome::{Cause, Outcome, Refusal};
use crate::secret::{Fingerprint, Secret};

/// The committed intent of a mint. Every value a request is rendered from comes from here, so the same intent always renders the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Id of the rotation, as printed to people.
    pub rotation_id: String,
    /// The same as a UUID.
    pub uuid: String,
    /// 12 of `[a-z0-9]`, new for each intent.
    pub nonce: String,
    /// Calendar year of the intent in the policy's zone.
    pub year: i16,
    /// When it was committed (`now` in templates).
    pub at: Stamp,
    /// The grace asked for (lifecycles `grace`, `set`).
    pub grace: Option<GraceAsked>,
    /// The lifetime asked for, already rounded down to what the provider takes.
    pub lifetime: Option<LifetimeAsked>,
}

impl Intent {
    /// `YEAR-NONCE`.
    #[must_use]
    pub fn name_suffix(&self) -> String {
        format!("{}-{}", self.year, self.nonce)
    }
}

/// The grace asked for in a mint; already one the provider knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraceAsked {
    /// How long.
    pub span: Span,
    /// From the intent on.
    pub until: Stamp,
}

/// The lifetime asked for in a mint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifetimeAsked {
    /// How long.
    pub span: Span,
    /// From the intent on.
    pub until: Stamp,
}

/// What is known of one key: everything but its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// The provider's id; absent where the provider has none.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// The first characters, as the provider shows them.
    pub prefix: Option<String>,
    /// Another public hint, such as the last four.
    pub hint: Option<String>,
    /// Its slot.
    pub slot: Option<String>,
    /// When it was made.
    pub created_at: Option<Stamp>,
    /// Its last use as told.
    pub last_used_at: Option<Stamp>,
    /// When the provider ends it.
    pub expires_at: Option<Stamp>,
    /// The provider says it is revoked.
    #[serde(default)]
    pub revoked: bool,
    /// The provider says it is inactive.
    #[serde(default)]
    pub inactive: bool,
    /// Of its value, where that was seen.
    pub fingerprint: Option<Fingerprint>,
    /// Other plain facts of the row (`scopes`), and public outputs of the mint.
    #[serde(default)]
    pub facts: BTreeMap<String, serde_json::Value>,
}

/// A key to act on: its record and, where the step needs it, its value.
#[derive(Clone, Copy)]
pub struct KeyRef<'a> {
    /// What is known of it.
    pub record: &'a KeyRecord,
    /// Its value.
    pub secret: Option<&'a Secret>,
    /// Its further secret outputs by name.
    pub outputs: Option<&'a BTreeMap<String, Secret>>,
}

/// What every call to a provider is told besides the key.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The policy's `params`, defaults not yet filled in.
    pub params: &'a BTreeMap<String, serde_json::Value>,
    /// The intent, for the mint and whatever follows it.
    pub intent: Option<&'a Intent>,
    /// Authority `self`: the key that signs. `None`: the account's own credential.
    pub signer: Option<&'a Secret>,
}

/// A received reply before anything parsed it: the engine seals it and makes it durable first. Opaque bytes as text.
pub struct RawReply(pub Secret);

/// What a mint's call gave, before the reply is read.
pub enum MintAnswer {
    /// A reply that may hold the key: seal it, then [`Provider::parse`] it.
    Reply(RawReply),
    /// Certainly no key was made.
    Refused(Refusal),
    /// Perhaps one was. What was received, even if cut, is handed over to be sealed.
    Unknown(Cause, Option<RawReply>),
}

/// A mint's reply, read.
pub struct Minted {
    /// The new key.
    pub record: KeyRecord,
    /// Its value; absent where `verbs.read_after_mint`.
    pub secret: Option<Secret>,
    /// Further secret outputs by name.
    pub outputs: BTreeMap<String, Secret>,
    /// What the reply said of the old key (`old.*`).
    pub old: Option<KeyRecord>,
    /// A replacement for the credential (one-use refresh tokens).
    pub credential: Option<Secret>,
    /// The provider's own time, from its `Date` header.
    pub provider_now: Option<Stamp>,
}

/// The provider's list, complete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The rows.
    pub rows: Vec<KeyRecord>,
    /// The provider's own time.
    pub provider_now: Option<Stamp>,
}

/// One key, read.
pub struct ReadKey {
    /// What it says.
    pub record: KeyRecord,
    /// Its value, where `[read]` yields one.
    pub secret: Option<Secret>,
    /// The provider's own time.
    pub provider_now: Option<Stamp>,
}

/// One key's last use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastUse {
    /// When, by the provider's clock; `None` is read by `declares.last_used.null`.
    pub at: Option<Stamp>,
    /// Where from or which, if told: an address, a service name. Bounded and cleaned.
    pub from: Option<String>,
    /// The provider's own time.
    pub provider_now: Option<Stamp>,
}

/// What a probe saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The key was accepted (`true`) or refused (`false`), `consecutive` times in a row.
    pub accepted: bool,
    /// The provider's own time.
    pub provider_now: Option<Stamp>,
}

/// The state of an account's credential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credential {
    /// When it dies: a JWT's `exp`, else `expires_at` beside it. `None` = not known.
    pub expires_at: Option<Stamp>,
}

/// One parameter a definition takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamNeed {
    /// Its name in `params`.
    pub name: String,
    /// A policy must give it.
    pub required: bool,
    /// What is taken where a policy does not give it. `None`: nothing is.
    pub default: Option<serde_json::Value>,
}

/// Whoever issues the keys: one account at one provider.
#[async_trait]
pub trait Provider: Send + Sync {
    /// The facts the machine plans with.
    fn facts(&self) -> &ProviderFacts;

    /// The parameters a policy gives.
    fn params(&self) -> Vec<ParamNeed>;

    /// Names of further outputs of the mint, and whether each is secret.
    fn outputs(&self) -> Vec<(String, bool)>;

    /// What the mint cannot be sent without, of the key in use: `old.id`. A policy's first key has none of it.
    fn mint_needs(&self) -> Vec<String> {
        Vec::new()
    }

    /// The mint's reply replaces the account's credential (a one-use refresh token).
    fn replaces_credential(&self) -> bool {
        false
    }

    /// Lifecycle `manual`: what a person does to make the new key, rendered for this rotation; nothing secret is in it.
    fn ask(&self, call: Call<'_>, old: Option<KeyRef<'_>>) -> Option<String> {
        let _ = (call, old);
        None
    }

    /// Whether a value can be a key of this provider (`declares.secret`).
    fn fits(&self, value: &Secret) -> bool {
        let _ = value;
        true
    }

    /// Whom to ask where the API cannot do it.
    fn support(&self) -> Option<String>;

    /// One call that must be politely limited: how many at once this account takes; `None` = no limit of its own.
    fn max_in_flight(&self) -> Option<usize>;

    /// Opens the credential now and tells until when it lives.
    ///
    /// # Errors
    /// A refusal of class `auth`, with the reference's name and what to do, never its value.
    async fn credential(&self) -> Result<Credential, Refusal>;

    /// Changes whenever the account's credential does, and says nothing of it; `None` where that cannot be told. Asks nobody but the
    /// references.
    async fn credential_mark(&self) -> Option<String> {
        None
    }

    /// A fresh value where the definition has `generate`; `None` otherwise.
    fn generate(&self) -> Option<Secret>;

    /// A lifetime a policy asks for, rounded down to what the provider takes; `None` where it takes none.
    fn lifetime(&self, wanted: Option<Span>) -> Option<Span>;

    /// A harmless call right before a mint that shows the credential works and the line is open (a fresh login; else the list).
    async fn prepare(&self, call: Call<'_>) -> Outcome<()>;

    /// The one call that makes a new key. Sent exactly once a call of this function, never retried inside.
    /// `generated`: the committed value where the definition generates it.
    async fn mint(&self, call: Call<'_>, old: Option<KeyRef<'_>>, generated: Option<&Secret>) -> MintAnswer;

    /// Reads a sealed reply. Pure: no network.
    fn parse(&self, call: Call<'_>, old: Option<KeyRef<'_>>, raw: &RawReply) -> Outcome<Minted>;

    /// Every key the account shows for these params. A list cut short is `Unknown`.
    async fn list(&self, call: Call<'_>) -> Outcome<Listing>;

    /// One key by id or by value. Class `gone` = absent.
    async fn read(&self, call: Call<'_>, key: KeyRef<'_>) -> Outcome<ReadKey>;

    /// One key's last use. Class `gone` = absent.
    async fn last_used(&self, call: Call<'_>, key: KeyRef<'_>) -> Outcome<LastUse>;

    /// A call made *with* the key. Neither accepted nor refused = `Unknown`.
    async fn probe(&self, call: Call<'_>, key: KeyRef<'_>) -> Outcome<Verdict>;

    /// Switches a key off, reversibly. Already gone = done.
    async fn deactivate(&self, call: Call<'_>, key: KeyRef<'_>) -> Outcome<()>;

    /// Undoes `deactivate`.
    async fn activate(&self, call: Call<'_>, key: KeyRef<'_>) -> Outcome<()>;

    /// Ends a key. Already gone = done.
    async fn revoke(&self, call: Call<'_>, key: KeyRef<'_>) -> Outcome<()>;

    /// Gives a new key up where that is another call than `revoke`.
    async fn discard(&self, call: Call<'_>, key: KeyRef<'_>) -> Outcome<()>;
}
