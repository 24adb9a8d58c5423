//! The script of faults: what goes wrong with which of the next calls.

use std::fmt;
use std::sync::Arc;

use cutover_api::{Secret, Span, Stamp};
use tokio::sync::watch;

/// A kind of call that can be scripted.
pub trait Kind: Copy {
    /// Whether a fault scripted on `self` covers a call of kind `call`.
    fn covers(self, call: Self) -> bool;
}

/// The kinds of calls to a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallKind {
    /// The call that makes a new key: issue, rotate, regenerate, set.
    Mint,
    /// The list of keys.
    List,
    /// The call that ends a key.
    Revoke,
    /// A call made *with* a key: a probe of cutover or a use by a consumer, which a provider cannot tell apart.
    Probe,
    /// One key, read ([`crate::FakeProvider`] only).
    Read,
    /// One key's last use ([`crate::FakeProvider`] only).
    LastUsed,
    /// Switched off ([`crate::FakeProvider`] only).
    Deactivate,
    /// Switched on again ([`crate::FakeProvider`] only).
    Activate,
    /// Given up ([`crate::FakeProvider`] only).
    Discard,
    /// The harmless call before a mint ([`crate::FakeProvider`] only).
    Prepare,
    /// Every kind.
    Any,
}

impl Kind for CallKind {
    fn covers(self, call: Self) -> bool {
        self == Self::Any || self == call
    }
}

/// What goes wrong. "Applied" = the effect took place whatever the caller gets to see.
#[derive(Clone)]
pub enum How {
    /// Applied; then the socket is dropped before any byte of the reply.
    LoseReply,
    /// Applied; the head and so many bytes of the body are sent, then the socket is dropped.
    CutReply(usize),
    /// The request is read and thrown away, the socket dropped; not applied.
    NeverArrives,
    /// No reply until the gate is open or the caller has gone. With `applied` the effect is at once and the reply follows when the gate
    /// opens; without, nothing ever happens and the socket is dropped when the gate opens.
    Hang {
        /// The effect takes place.
        applied: bool,
        /// Ends the wait.
        gate: Gate,
    },
    /// Nothing happens until the gate is open; then the call takes effect and is answered, even if the caller has gone: a call that lands late.
    Delay(Gate),
    /// Answered with this status and `{"error":"scripted"}`.
    Status {
        /// The status.
        status: u16,
        /// The effect takes place all the same.
        applied: bool,
    },
    /// 429 with `Retry-After` in seconds; not applied.
    RetryAfter(u64),
    /// Applied; 200 with an HTML page for a body.
    Html200,
    /// Applied; the reply without the fields that hold a secret.
    NoSecret200,
    /// Applied; 200 with a JSON body of so many bytes.
    Huge(usize),
    /// 307 to this address; not applied.
    Redirect(String),
    /// Applied, but the reply shows this value (an old key's) instead of the new one.
    OldKeyAgain(Arc<Secret>),
    /// 200 with `{"ok":false,"error":"internal_error"}`; not applied.
    OkFalse,
    /// 403; not applied.
    ForbiddenRevoke,
    /// 409 with code `name_taken`; not applied.
    NameConflict,
    /// From this call on every session credential made so far is refused (401), for ever.
    CredentialExpired,
    /// The list leaves out keys younger than this.
    ListLag(Span),
    /// The list tells last use as it was known so long ago.
    LastUsedLag(Span),
    /// Every row of the list shows this last use.
    LastUsedLies(Option<Stamp>),
    /// A rotation is refused with this status while a grace of the same key's line is open.
    SecondRotationRefused(u16),
    /// A rotation of a key that was rotated before ends every key of its line, the newest too; the call itself is refused with 401.
    FamilyRevoked,
    /// The key made by this call is not accepted before the span has passed on the clock.
    IssueDelayed {
        /// How long.
        span: Span,
        /// Meanwhile every second call is accepted, as if two nodes took turns (401 first).
        alternating: bool,
    },
    /// The key ended by this call is accepted until the span has passed on the clock.
    RevokeDelayed(Span),
    /// A mint is refused with 400 and code `limit_exceeded` while so many keys live.
    MaxKeys(usize),
    /// The list names this address as its next page (`Link` header; also `next` where the body is an object).
    HostileNextUrl(String),
}

impl How {
    /// Its name in the log.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::LoseReply => "lose-reply",
            Self::CutReply(_) => "cut-reply",
            Self::NeverArrives => "never-arrives",
            Self::Hang { .. } => "hang",
            Self::Delay(_) => "delay",
            Self::Status { .. } => "status",
            Self::RetryAfter(_) => "retry-after",
            Self::Html200 => "html-200",
            Self::NoSecret200 => "no-secret-200",
            Self::Huge(_) => "huge",
            Self::Redirect(_) => "redirect",
            Self::OldKeyAgain(_) => "old-key-again",
            Self::OkFalse => "ok-false",
            Self::ForbiddenRevoke => "forbidden-revoke",
            Self::NameConflict => "name-conflict",
            Self::CredentialExpired => "credential-expired",
            Self::ListLag(_) => "list-lag",
            Self::LastUsedLag(_) => "last-used-lag",
            Self::LastUsedLies(_) => "last-used-lies",
            Self::SecondRotationRefused(_) => "second-rotation-refused",
            Self::FamilyRevoked => "family-revoked",
            Self::IssueDelayed { .. } => "issue-delayed",
            Self::RevokeDelayed(_) => "revoke-delayed",
            Self::MaxKeys(_) => "max-keys",
            Self::HostileNextUrl(_) => "hostile-next-url",
        }
    }
}

impl fmt::Debug for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// One entry of the script: of the calls that `on` covers, `skip` go well, then `times` go wrong.
#[derive(Clone, Debug)]
pub struct Fault<K = CallKind, H = How> {
    /// Which calls.
    pub on: K,
    /// So many of them go well first.
    pub skip: usize,
    /// So many go wrong then; `usize::MAX` = all.
    pub times: usize,
    /// What goes wrong.
    pub how: H,
}

impl<K, H> Fault<K, H> {
    /// The next such call.
    pub const fn once(on: K, how: H) -> Self {
        Self { on, skip: 0, times: 1, how }
    }

    /// Every such call from now on.
    pub const fn always(on: K, how: H) -> Self {
        Self { on, skip: 0, times: usize::MAX, how }
    }
}

/// Something to wait at until it is opened. Copies are the same gate; it stays open.
#[derive(Clone, Debug)]
pub struct Gate {
    open: Arc<watch::Sender<(bool, usize)>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { open: Arc::new(watch::Sender::new((false, 0))) }
    }
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens it for everyone who waits and who will come.
    pub fn open(&self) {
        self.open.send_modify(|state| state.0 = true);
    }

    /// Waits until it is open.
    pub async fn pass(&self) {
        self.open.send_modify(|state| state.1 += 1);
        let mut seen = self.open.subscribe();
        // `self` keeps the sender, so the channel cannot close while we wait.
        let _ = seen.wait_for(|state| state.0).await;
    }

    /// Waits until so many have come to it, whether they have passed or not: the moment a scripted call is known to hang.
    pub async fn reached_by(&self, callers: usize) {
        let mut seen = self.open.subscribe();
        let _ = seen.wait_for(|state| state.1 >= callers).await;
    }
}

/// The faults that are still to come, in the order they were scripted.
#[derive(Debug)]
pub(crate) struct Script<K, H> {
    faults: Vec<Fault<K, H>>,
}

impl<K, H> Default for Script<K, H> {
    fn default() -> Self {
        Self { faults: Vec::new() }
    }
}

impl<K: Kind, H: Clone> Script<K, H> {
    pub(crate) fn add(&mut self, fault: Fault<K, H>) {
        self.faults.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.faults.clear();
    }

    /// What goes wrong with a call of this kind. Of faults that `exclusive` picks only the first is taken; the others wait their turn.
    pub(crate) fn take(&mut self, call: K, exclusive: impl Fn(&H) -> bool) -> Vec<H> {
        let mut taken = Vec::new();
        let mut excluded = false;
        for fault in self.faults.iter_mut().filter(|fault| fault.on.covers(call)) {
            let alone = exclusive(&fault.how);
            if fault.skip > 0 {
                fault.skip -= 1;
            } else if fault.times > 0 && !(alone && excluded) {
                fault.times = if fault.times == usize::MAX { usize::MAX } else { fault.times - 1 };
                excluded |= alone;
                taken.push(fault.how.clone());
            }
        }
        self.faults.retain(|fault| fault.times > 0);
        taken
    }

    /// The one fault of a call where no two can hold at once.
    pub(crate) fn next(&mut self, call: K) -> Option<H> {
        self.take(call, |_| true).pop()
    }
}

/// What a call is told of the faults that bend the model and not the wire.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quirks {
    pub(crate) list_lag: Option<Span>,
    pub(crate) last_used_lag: Option<Span>,
    pub(crate) last_used_lie: Option<Option<Stamp>>,
    pub(crate) second_rotation: Option<u16>,
    pub(crate) family_revoked: bool,
    pub(crate) issue_delay: Option<(Span, bool)>,
    pub(crate) revoke_delay: Option<Span>,
    pub(crate) max_keys: Option<usize>,
    pub(crate) hostile_next: Option<String>,
    pub(crate) credential_expired: bool,
}

impl Quirks {
    /// Whether a fault bends the wire; of those only one can hold for a call.
    pub(crate) const fn is_wire(how: &How) -> bool {
        !matches!(
            how,
            How::ListLag(_)
                | How::LastUsedLag(_)
                | How::LastUsedLies(_)
                | How::SecondRotationRefused(_)
                | How::FamilyRevoked
                | How::IssueDelayed { .. }
                | How::RevokeDelayed(_)
                | How::MaxKeys(_)
                | How::HostileNextUrl(_)
                | How::CredentialExpired
        )
    }

    /// Parts the faults of one call: those of the model, and the one of the wire.
    pub(crate) fn part(faults: Vec<How>) -> (Self, Option<How>) {
        let mut quirks = Self::default();
        let mut wire = None;
        for how in faults {
            match how {
                How::ListLag(span) => quirks.list_lag = Some(span),
                How::LastUsedLag(span) => quirks.last_used_lag = Some(span),
                How::LastUsedLies(at) => quirks.last_used_lie = Some(at),
                How::SecondRotationRefused(status) => quirks.second_rotation = Some(status),
                How::FamilyRevoked => quirks.family_revoked = true,
                How::IssueDelayed { span, alternating } => quirks.issue_delay = Some((span, alternating)),
                How::RevokeDelayed(span) => quirks.revoke_delay = Some(span),
                How::MaxKeys(n) => quirks.max_keys = Some(n),
                How::HostileNextUrl(url) => quirks.hostile_next = Some(url),
                How::CredentialExpired => quirks.credential_expired = true,
                other => wire = Some(other),
            }
        }
        (quirks, wire)
    }
}

#[cfg(test)]
mod tests {
    use super::{CallKind, Fault, How, Quirks, Script};

    #[test]
    fn skip_then_times_then_well_again() {
        let mut script = Script::default();
        script.add(Fault { on: CallKind::Mint, skip: 1, times: 2, how: How::LoseReply });
        let bad: Vec<_> = (0..5).map(|_| script.next(CallKind::Mint).is_some()).collect();
        assert_eq!(bad, [false, true, true, false, false]);
    }

    #[test]
    fn a_fault_touches_only_its_kind_and_any_touches_all() {
        let mut script = Script::default();
        script.add(Fault::once(CallKind::Revoke, How::OkFalse));
        assert!(script.next(CallKind::Mint).is_none());
        assert!(script.next(CallKind::Revoke).is_some());
        script.add(Fault::once(CallKind::Any, How::OkFalse));
        assert!(script.next(CallKind::List).is_some());
    }

    #[test]
    fn wire_faults_take_turns_while_quirks_add_up() {
        let mut script = Script::default();
        script.add(Fault::once(CallKind::Any, How::LoseReply));
        script.add(Fault::once(CallKind::Any, How::NeverArrives));
        script.add(Fault::always(CallKind::Mint, How::MaxKeys(2)));
        let (quirks, wire) = Quirks::part(script.take(CallKind::Mint, Quirks::is_wire));
        assert_eq!(quirks.max_keys, Some(2));
        assert!(matches!(wire, Some(How::LoseReply)));
        let (quirks, wire) = Quirks::part(script.take(CallKind::Mint, Quirks::is_wire));
        assert_eq!(quirks.max_keys, Some(2));
        assert!(matches!(wire, Some(How::NeverArrives)));
    }
}
