//! What happens to a rotation, what it does, and what is told of it.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::emergency::{Cut, EmergencyOrder};
pub use crate::fact::Fact;
use crate::manual::Handed;
use crate::mutants::{Mutant, on, unintended};
use crate::state::{Key, Layout, Phase, Rotation};
use crate::time::{Span, Stamp};

/// A call the engine makes for a rotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Look at everything the rotation will need; changes nothing.
    Survey,
    /// The one call that makes a key.
    Mint,
    /// Read the sealed reply; no network.
    ReadReply,
    /// Read the new key's value by `[read]`.
    ReadNew,
    /// Present the new key, to see it accepted.
    ProbeNew,
    /// Send the mint again under the same idempotency key.
    Replay,
    /// Look for the value we chose, by `[read]` or by a probe.
    LookByValue,
    /// Look for a key of ours in the list.
    LookByList,
    /// Read the present secret again.
    Reread,
    /// Give up a key of ours that no target holds, by id.
    Discard(String),
    /// Bring one target to a layout: read, compare, write by compare-and-set, read back.
    Write {
        /// The target's place in the plan.
        target: u32,
        /// The layout.
        layout: Layout,
    },
    /// Run one hook.
    Hook {
        /// Its place in the plan.
        hook: u32,
        /// The layout it deploys.
        layout: Layout,
        /// The leg's number: a run is one (rotation, leg, hook).
        leg: u32,
    },
    /// Read the targets, ask the verifies that are due, and the last uses if they are.
    Watch {
        /// The verifies' places in the plan.
        verifies: Vec<u32>,
        /// Ask for the last uses too.
        uses: bool,
    },
    /// Switch the old key off, reversibly.
    Deactivate,
    /// Switch it on again.
    Activate,
    /// End the old key.
    Revoke,
    /// Present the old key, to see it refused.
    ProbeOld,
    /// Ask the provider for its clock by the list, to see the old key's expiry pass.
    ReadClock,
    /// Cut off one key of an emergency's cut set, by its place in it.
    Cut(u32),
    /// Present a key that was cut off, to see it refused.
    ProbeCut(u32),
}

impl Effect {
    /// Its name in logs.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Survey => "survey",
            Self::Mint => "mint",
            Self::ReadReply => "read-reply",
            Self::ReadNew => "read-new",
            Self::ProbeNew => "probe-new",
            Self::Replay => "replay",
            Self::LookByValue => "look-by-value",
            Self::LookByList => "look-by-list",
            Self::Reread => "reread",
            Self::Discard(_) => "discard",
            Self::Write { .. } => "write",
            Self::Hook { .. } => "redeploy",
            Self::Watch { .. } => "watch",
            Self::Deactivate => "deactivate",
            Self::Activate => "activate",
            Self::Revoke => "revoke",
            Self::ProbeOld => "probe-old",
            Self::ReadClock => "read-clock",
            Self::Cut(_) => "cut",
            Self::ProbeCut(_) => "probe-cut",
        }
    }

    /// The intent must be durable before the first byte is sent.
    #[must_use]
    pub fn needs_intent(&self) -> bool {
        if unintended(self) {
            return false;
        }
        !matches!(
            self,
            Self::Survey
                | Self::ReadReply
                | Self::ReadNew
                | Self::LookByList
                | Self::Reread
                | Self::Watch { .. }
                | Self::ReadClock
        )
    }

    /// The targets are read right before it, and it is not made when they hold what they should not.
    #[must_use]
    pub fn guarded(&self) -> bool {
        match self {
            Self::Revoke | Self::Deactivate if on(Mutant::RevokeUnguarded) => return false,
            Self::Hook { .. } if on(Mutant::HookUnguarded) => return false,
            Self::Mint if on(Mutant::MintUnguarded) => return false,
            _ => {}
        }
        matches!(self, Self::Mint | Self::Hook { .. } | Self::Deactivate | Self::Revoke | Self::Discard(_))
    }

    /// It takes an accepted key away: not made while the clock is frozen.
    #[must_use]
    pub const fn ends_a_key(&self) -> bool {
        matches!(self, Self::Deactivate | Self::Revoke | Self::Discard(_))
    }
}

/// The classes of a refusal, as the machine tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The credential was not accepted.
    Auth,
    /// The credential may not do this.
    Scope,
    /// Not there.
    Gone,
    /// There already; a failed compare.
    Exists,
    /// No room for another key.
    Limit,
    /// Too many calls.
    Throttle,
    /// Any other reason.
    Refused,
    /// Nothing was sent.
    Unsent,
}

/// Certainly no effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The class.
    pub class: Class,
    /// Wait at least so long.
    pub retry_after: Option<Span>,
    /// For people; holds nothing the other side wrote but a bounded code.
    pub detail: String,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// It happened.
    Done(T),
    /// It certainly had no effect.
    Refused(Refused),
    /// Not known; the text is for people.
    Unknown(String),
}

/// What a survey found, all being well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The key in use; `None` = all targets are empty: a first key.
    pub old: Option<Key>,
    /// It is ours (made by cutover or adopted).
    pub old_is_ours: bool,
    /// Its value was read, and is sealed in this very commit.
    pub old_is_sealed: bool,
}

/// What a mint gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minted {
    /// The new key; its fingerprint is empty while its value must still be read.
    pub key: Key,
    /// The value must still be read by `[read]`.
    pub to_read: bool,
    /// When the provider ends the old key, if it said so.
    pub old_expires_at: Option<Stamp>,
    /// The old key's id, if the mint changed it.
    pub old_id: Option<String>,
    /// The value differs from every known key of the policy.
    pub fresh: bool,
    /// The provider's clock minus ours, in milliseconds.
    pub skew: Option<i64>,
}

/// A look at the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Keys that are certainly ours and not in use: by nonce or fingerprint; never used as far as the provider tells.
    pub orphans: Vec<String>,
    /// Keys that may be ours.
    pub candidates: Vec<String>,
}

/// What one target holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four independent facts about one place")]
pub struct Holding {
    /// It could be read.
    pub readable: bool,
    /// Exactly the layout `during`.
    pub during: bool,
    /// Exactly the layout `fields`.
    pub settled: bool,
    /// Only values of this rotation, or those recorded before it, or nothing.
    pub known: bool,
}

impl Holding {
    /// Whether it holds exactly `layout`.
    #[must_use]
    pub const fn holds(self, layout: Layout) -> bool {
        match layout {
            Layout::During => self.during,
            Layout::Settled => self.settled,
        }
    }
}

/// What a verify said in one poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It holds.
    Holds,
    /// It does not.
    Not,
    /// It could not be asked.
    Unanswered,
}

/// A key's last use as told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// Nothing can be said.
    Unknown,
    /// Never.
    Never,
    /// At this time, by our clock (the provider's skew taken out).
    At(Stamp, Option<String>),
}

/// The last uses of both keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uses {
    /// The new key's.
    pub new: Use,
    /// The old key's.
    pub old: Use,
}

/// One poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// When it began: it shows nothing later than this.
    pub began: Stamp,
    /// What the targets hold.
    pub targets: Vec<Holding>,
    /// What the verifies said, by their place in the plan.
    pub verifies: Vec<(u32, Sight)>,
    /// The last uses; `None` = not asked or not answered.
    pub uses: Option<Uses>,
    /// The provider's clock minus ours, if it told.
    pub skew: Option<i64>,
}

/// What a person orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// The new key is in use: go on to settle.
    Confirm,
    /// The old key may be ended.
    ConfirmRetire,
    /// Look again and repeat what is safe.
    Resume,
    /// Mint again although the last mint is in doubt.
    MintAgain,
    /// Give this rotation up.
    Abandon,
    /// The old key counts as ours.
    AdoptOld,
    /// Cut the policy's keys off.
    Emergency(EmergencyOrder, Vec<Cut>),
    /// Here is the new key.
    Submit(Handed),
}

/// What happens to a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time has passed.
    Woke,
    /// A process started and found this row.
    Restarted,
    /// The engine is about to make this call; the call follows only once this is durable.
    Intended {
        /// The call.
        effect: Effect,
        /// After this it cannot land any more.
        deadline: Stamp,
    },
    /// The targets were read right before a guarded call.
    Guarded(Vec<Holding>),
    /// [`Effect::Survey`]: all is well, or what is not.
    Surveyed(Result<Survey, String>),
    /// [`Effect::Survey`]: the account's credential is dead, whatever else is not well.
    Denied(String),
    /// Another credential is where the dead one was.
    Renewed,
    /// [`Effect::Mint`], [`Effect::Replay`]: a raw reply was received and is sealed in this very commit, or none was.
    Replied(Answer<()>),
    /// [`Effect::ReadReply`], [`Effect::ReadNew`].
    Read(Answer<Minted>),
    /// [`Effect::LookByValue`], [`Effect::Reread`]: the key is there (`Some`), or certainly is not (`None`).
    Found(Answer<Option<Minted>>),
    /// [`Effect::LookByList`].
    Listed(Answer<Listed>),
    /// [`Effect::Discard`].
    Discarded(String, Answer<()>),
    /// [`Effect::ProbeNew`], [`Effect::ProbeOld`]: accepted or not; with the provider's skew.
    Probed(Answer<bool>),
    /// [`Effect::Write`]: the target holds the layout.
    Written(u32, Answer<()>),
    /// [`Effect::Write`] found a foreign value and wrote nothing.
    Foreign(u32),
    /// [`Effect::Hook`].
    Hooked(u32, Answer<()>),
    /// [`Effect::Watch`].
    Watched(Watched),
    /// [`Effect::Deactivate`], [`Effect::Activate`], [`Effect::Revoke`].
    Ended(Answer<()>),
    /// [`Effect::ReadClock`]: the provider's clock minus ours.
    Clock(Answer<Option<i64>>),
    /// [`Effect::Cut`].
    Cut(u32, Answer<()>),
    /// [`Effect::ProbeCut`]: accepted or not.
    ProbedCut(u32, Answer<bool>),
    /// A person's order.
    Ordered(Order),
}

/// The next state and what is to be told of it; both are committed together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a step takes effect only once it is committed"]
pub struct Step {
    /// The next state.
    pub next: Rotation,
    /// What is told.
    pub facts: Vec<Fact>,
}

/// An event that does not fit the state. Nothing changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Illegal {
    /// Where the rotation stands.
    pub phase: Phase,
    /// Why not, for people.
    pub reason: String,
}
