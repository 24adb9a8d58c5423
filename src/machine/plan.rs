//! What one rotation is going to do: a snapshot taken when it starts, so that a reload changes nothing under way.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// How a provider replaces a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lifecycle {
    /// A new key is issued beside the old one; we revoke the old one.
    Overlap,
    /// One call makes the new key and starts the provider's clock on the old one.
    Grace,
    /// Two named slots; the idle one is regenerated.
    Slots,
    /// We choose the value.
    Set,
    /// A person makes the key and hands it in.
    Manual,
}

/// What a second mint does while the first one's key is still new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReRotate {
    /// All keys live on; minting again is safe.
    KeepsAll,
    /// A second mint ends the key in use.
    DropsOlder,
    /// A second mint is refused and changes nothing.
    Refused,
    /// The same idempotency key gives the same answer.
    Idempotent,
    /// A second mint also ends the new key, and the old key must not be presented again. The undeclared worst case.
    #[default]
    Destroys,
}

/// How a key of ours is recognised in the provider's list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListBy {
    /// Its name carries the intent's nonce.
    Name,
    /// The row shows the secret, compared by fingerprint.
    Secret,
    /// Only by being new since the intent: candidates for a person.
    Time,
    /// There is no list.
    #[default]
    None,
}

/// What an absent "last used" means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NullUse {
    /// Nothing can be said.
    #[default]
    Unknown,
    /// It was never used.
    Never,
}

/// How exactly the provider tells a key's last use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastUsed {
    /// Uses are only told apart when they are further apart than this.
    pub granularity: Span,
    /// A use may be told so late.
    pub lag: Span,
    /// What an absent value means.
    pub null: NullUse,
}

/// Which credential signs the calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Authority {
    /// A credential of its own.
    #[default]
    Separate,
    /// The key itself: the old one until the mint is done, then the new one.
    #[serde(rename = "self")]
    Own,
}

/// The grace a provider offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GraceOffer {
    /// Always this much; `0s` = the old key dies at once.
    Fixed(Span),
    /// One of these, ascending.
    Choices(Vec<Span>),
    /// Anything from `min` to `max` in steps of `unit`.
    Range {
        /// The shortest.
        min: Span,
        /// The longest.
        max: Span,
        /// The step.
        unit: Span,
    },
}

impl GraceOffer {
    /// The shortest it knows.
    #[must_use]
    pub fn shortest(&self) -> Span {
        match self {
            Self::Fixed(span) => *span,
            Self::Choices(all) => all.iter().copied().min().unwrap_or(Span::ZERO),
            Self::Range { min, .. } => *min,
        }
    }

    /// What the provider will be asked for when `wanted` is what the policy says: rounded up to what it knows.
    /// `None` when even the longest on offer is shorter.
    #[must_use]
    pub fn mapped(&self, wanted: Span) -> Option<Span> {
        match self {
            Self::Fixed(span) => Some(*span),
            Self::Choices(all) => all.iter().copied().find(|c| *c >= wanted),
            Self::Range { min, max, unit } => {
                let unit = unit.0.max(1);
                let up = Span(wanted.0.max(min.0).saturating_add(unit - 1) / unit * unit);
                (up <= *max).then_some(up)
            }
        }
    }
}

/// An idempotency header and how long the provider remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// The same key gives the same answer for so long after the intent.
    pub window: Span,
    /// An error is replayed too.
    pub replays_errors: bool,
}

/// What a definition declares about its provider; what is not declared is the worst case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declares {
    /// What a second mint does.
    pub re_rotate: ReRotate,
    /// How a key of ours is found in the list.
    pub list: ListBy,
    /// A row may be missing for so long.
    pub list_lag: Span,
    /// `read` yields the secret again.
    pub reread: bool,
    /// How last use is told; `None` = not exposed.
    pub last_used: Option<LastUsed>,
    /// How many keys may live at once, inactive ones included.
    pub max_live: Option<u32>,
    /// Who signs.
    pub authority: Authority,
    /// A dead key may be presented to see it refused.
    pub negative_probe: bool,
    /// Birth and death of a key may be seen so late.
    pub settle: Span,
    /// The grace on offer (lifecycles `grace`, `set`).
    pub grace: Option<GraceOffer>,
    /// The mint may be replayed by its idempotency key.
    pub idempotency: Option<Idempotency>,
}

impl Default for Declares {
    fn default() -> Self {
        Self {
            re_rotate: ReRotate::Destroys,
            list: ListBy::None,
            list_lag: Span::minutes(10),
            reread: false,
            last_used: None,
            max_live: None,
            authority: Authority::Separate,
            negative_probe: false,
            settle: Span::minutes(5),
            grace: None,
            idempotency: None,
        }
    }
}

/// Which verbs a definition has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "one flag a verb: a set with names")]
pub struct Verbs {
    /// `[list]`
    pub list: bool,
    /// `[read]` by id
    pub read: bool,
    /// `[read]` by value (`key.secret` in its templates)
    pub read_by_value: bool,
    /// the mint yields no secret: `[read]` must follow
    pub read_after_mint: bool,
    /// `[last_used]`
    pub last_used: bool,
    /// `[probe]`
    pub probe: bool,
    /// `[deactivate]`
    pub deactivate: bool,
    /// `[activate]`
    pub activate: bool,
    /// `[revoke]`
    pub revoke: bool,
    /// `[revoke]` uses `key.secret`
    pub revoke_needs_secret: bool,
    /// `[discard]`
    pub discard: bool,
    /// The mint tells the new key's id (`manual`: `fields` asks for it).
    #[serde(default)]
    pub new_id: bool,
}

/// One provider as the machine sees it: no name is switched on, only these facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderFacts {
    /// How it replaces a key.
    pub lifecycle: Lifecycle,
    /// What it declares.
    pub declares: Declares,
    /// What it can do.
    pub verbs: Verbs,
    /// We choose the value; it is sealed and committed before the call.
    pub generates: bool,
    /// The mint's total deadline, poll included: before it has passed nothing is decided about a lost reply.
    pub mint_timeout: Span,
}

/// One target as the machine sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetPlan {
    /// `during` differs from `fields`: settle has something to do here.
    pub has_during: bool,
}

/// One redeploy hook as the machine sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookPlan {
    /// Its total deadline.
    pub timeout: Span,
    /// After an unknown start it may be run again (a command; an http hook with `recover`).
    pub repeatable: bool,
}

/// The kinds of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerifyKind {
    /// The provider says the new key was used.
    LastUsed,
    /// The consumer names the key it runs with.
    Consumer,
    /// A command says so.
    Command,
    /// A person says so.
    Confirm,
}

/// One verify as the machine sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyPlan {
    /// Its kind.
    pub kind: VerifyKind,
    /// How often it is asked.
    pub every: Span,
    /// It must hold at every poll for so long after the last redeploy.
    pub hold_for: Span,
}

/// What one rotation is going to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The provider's facts.
    pub provider: ProviderFacts,
    /// `grace`: what the provider is asked for (already mapped). Others: the deadline that alerts count on.
    pub grace: Span,
    /// The shortest grace the call can have had, should its reply be lost.
    pub shortest_grace: Span,
    /// No use of the old key for so long counts as quiet.
    pub quiet: Span,
    /// Between deactivate and revoke.
    pub soak: Span,
    /// Thresholds of the grace in percent, ascending.
    pub thresholds: Vec<u8>,
    /// The targets, in the configuration's order.
    pub targets: Vec<TargetPlan>,
    /// The hooks, in order.
    pub hooks: Vec<HookPlan>,
    /// The verifies; never empty (absent in the configuration = one `confirm`).
    pub verifies: Vec<VerifyPlan>,
    /// Whom to ask where the provider's API cannot do it.
    pub support: Option<String>,
}

impl ProviderFacts {
    /// It has a list, and this account may ask for it.
    #[must_use]
    pub fn lists(&self) -> bool {
        self.declares.list != ListBy::None && self.verbs.list
    }

    /// The provider's clock, not we, ends the old key; `manual`: its dashboard starts that clock.
    #[must_use]
    pub const fn ends_old_by_clock(&self) -> bool {
        match self.lifecycle {
            Lifecycle::Grace | Lifecycle::Set => true,
            Lifecycle::Manual => self.declares.grace.is_some(),
            Lifecycle::Overlap | Lifecycle::Slots => false,
        }
    }
}

impl Plan {
    /// Whether settle has anything to write.
    #[must_use]
    pub fn settles(&self) -> bool {
        self.targets.iter().any(|t| t.has_during)
    }

    /// Nobody but a person can end the old key: the definition has no call for it.
    #[must_use]
    pub const fn ended_by_hand(&self) -> bool {
        matches!(self.provider.lifecycle, Lifecycle::Manual) && !self.provider.verbs.revoke
    }

    /// The provider's clock, not we, ends the old key.
    #[must_use]
    pub const fn provider_ends_old(&self) -> bool {
        self.provider.ends_old_by_clock()
    }
}
