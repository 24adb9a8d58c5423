//! A provider in process: the same script and the same keys as the HTTP doubles, without a socket.

mod calls;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cutover_api::{Call, Cause, Class, Clock, KeyRef, Outcome, ProviderFacts, Refusal, Secret, Span, Stamp};
use cutover_machine::plan::{Declares, GraceOffer, LastUsed, Lifecycle, ListBy, NullUse, ReRotate, Verbs};

use crate::book::KeyView;
use crate::desk::Counts;
use crate::fault::{CallKind, Fault, Gate, How, Quirks, Script};
use crate::house::{FAKE_SLOTS, House, Violation};

struct Inner {
    house: House,
    script: Script<CallKind, How>,
    counts: Counts,
    support: Option<String>,
    max_in_flight: Option<usize>,
}

/// A provider in process. Copies share their keys.
#[derive(Clone)]
pub struct FakeProvider {
    clock: Arc<dyn Clock>,
    facts: Arc<ProviderFacts>,
    inner: Arc<Mutex<Inner>>,
}

/// Facts of a provider with this lifecycle that can do everything and declares the best: change what a test is about.
#[must_use]
pub fn generous_facts(lifecycle: Lifecycle) -> ProviderFacts {
    let ends_itself = matches!(lifecycle, Lifecycle::Grace | Lifecycle::Set);
    ProviderFacts {
        lifecycle,
        declares: Declares {
            re_rotate: if ends_itself { ReRotate::DropsOlder } else { ReRotate::KeepsAll },
            list: ListBy::Name,
            list_lag: Span::ZERO,
            last_used: Some(LastUsed { granularity: Span::SECOND, lag: Span::ZERO, null: NullUse::Never }),
            negative_probe: true,
            settle: Span::ZERO,
            grace: ends_itself.then_some(GraceOffer::Fixed(Span::hours(24))),
            ..Declares::default()
        },
        verbs: Verbs {
            list: true,
            read: true,
            last_used: true,
            probe: true,
            deactivate: true,
            activate: true,
            revoke: true,
            ..Verbs::default()
        },
        generates: lifecycle == Lifecycle::Set,
        mint_timeout: Span::seconds(30),
    }
}

impl FakeProvider {
    /// A provider with these facts. The name keeps the keys of two providers apart: the same name, the same calls, the same bytes.
    #[must_use]
    pub fn new(name: &str, facts: ProviderFacts, clock: Arc<dyn Clock>) -> Self {
        let inner = Inner {
            house: House::new(name, facts.clone()),
            script: Script::default(),
            counts: Counts::default(),
            support: None,
            max_in_flight: None,
        };
        Self { clock, facts: Arc::new(facts), inner: Arc::new(Mutex::new(inner)) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a key that was there before; answers with its id and value. With slots it stands in the first, and the second is filled too.
    #[must_use]
    pub fn seed(&self, name: &str) -> (String, Secret) {
        let now = self.clock.now();
        let mut inner = self.lock();
        let house = &mut inner.house;
        let at = house.add(name, None, None, &Quirks::default(), now);
        if house.facts.lifecycle == Lifecycle::Slots {
            let line = house.book.keys[at].line;
            let other = house.add("unused", Some(line), None, &Quirks::default(), now);
            house.book.keys[at].slot = Some(FAKE_SLOTS[0].to_owned());
            house.book.keys[other].slot = Some(FAKE_SLOTS[1].to_owned());
        }
        let key = &house.book.keys[at];
        let value = key.plain.as_ref().map_or_else(|| Secret::new(String::new()), Secret::duplicate);
        (key.id.clone(), value)
    }

    /// Ends a key behind cutover's back; whether there was one with this id.
    pub fn kill(&self, id: &str) -> bool {
        let now = self.clock.now();
        let mut inner = self.lock();
        let Some(at) = inner.house.book.by_id(id) else { return false };
        inner.house.book.keys[at].revoke(now, Span::ZERO);
        true
    }

    /// The account's credential lives until this point; `None` = for ever, and nothing is told.
    pub fn credential_until(&self, until: Option<Stamp>) {
        self.lock().house.credential_until = until;
    }

    /// Last use is told only once it is so long ago. Starts at zero.
    pub fn last_used_lag(&self, lag: Span) {
        self.lock().house.last_used_lag = lag;
    }

    /// Whether the list shows keys that have ended. Starts with no.
    pub fn shows_dead(&self, shows: bool) {
        self.lock().house.shows_dead = shows;
    }

    /// What `support` and `max_in_flight` say. Both start with nothing.
    pub fn says(&self, support: Option<&str>, max_in_flight: Option<usize>) {
        let mut inner = self.lock();
        (inner.support, inner.max_in_flight) = (support.map(str::to_owned), max_in_flight);
    }

    /// A call of a consumer: whether it was accepted. Counted, and it moves last use; the script does not touch it.
    #[must_use]
    pub fn use_key(&self, key: &Secret) -> bool {
        let now = self.clock.now();
        self.lock().house.present(key, false, now)
    }

    /// Whether a call made with this key now would be accepted. Counts nothing.
    #[must_use]
    pub fn accepts(&self, key: &Secret) -> bool {
        self.lock().house.book.accepts(key.expose(), self.clock.now())
    }

    /// Every key there ever was, the eldest first.
    #[must_use]
    pub fn keys(&self) -> Vec<KeyView> {
        self.lock().house.book.views(self.clock.now())
    }

    /// How often each kind of call was made: reads and last uses count as lists, deactivations and discards as revokes.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// What cutover did that it must never do.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.lock().house.violations.clone()
    }

    /// Adds a fault to the script.
    pub fn fail(&self, fault: Fault) {
        self.lock().script.add(fault);
    }

    /// Lets the next such call hang; it ends as `timeout` when the gate opens.
    #[must_use]
    pub fn hang(&self, on: CallKind, applied: bool) -> Gate {
        let gate = Gate::new();
        self.fail(Fault::once(on, How::Hang { applied, gate: gate.clone() }));
        gate
    }

    /// Empties the script.
    pub fn mend(&self) {
        self.lock().script.clear();
    }

    fn admit(&self, kind: CallKind) -> (Quirks, Option<How>) {
        let now = self.clock.now();
        let mut inner = self.lock();
        match kind {
            CallKind::Mint => inner.counts.mints += 1,
            CallKind::List | CallKind::Read | CallKind::LastUsed => inner.counts.lists += 1,
            CallKind::Revoke | CallKind::Deactivate | CallKind::Discard => inner.counts.revokes += 1,
            CallKind::Probe => inner.counts.probes += 1,
            _ => {}
        }
        let (quirks, wire) = Quirks::part(inner.script.take(kind, Quirks::is_wire));
        if quirks.credential_expired {
            let until = inner.house.credential_until.map_or(now, |until| until.min(now));
            inner.house.credential_until = Some(until);
        }
        (quirks, wire)
    }

    /// Makes a call under the script. What took effect but whose reply is mangled comes with the fault that mangles it.
    async fn meet<T>(
        &self,
        kind: CallKind,
        step: &str,
        apply: impl FnOnce(&mut House, &Quirks, Stamp) -> Result<T, Refusal>,
    ) -> (Outcome<T>, Option<How>) {
        let (quirks, wire) = self.admit(kind);
        if let Some(How::Delay(gate)) = &wire {
            gate.pass().await;
        }
        let mut apply = Some(apply);
        let mut go = || match apply.take().map(|apply| apply(&mut self.lock().house, &quirks, self.clock.now())) {
            Some(Ok(value)) => Outcome::Done(value),
            Some(Err(refusal)) => Outcome::Refused(refusal),
            None => Outcome::Unknown(Cause::new(step, "crash")),
        };
        let unknown = |label: &str| Outcome::Unknown(Cause::new(step, label));
        let refused = |class, status| Outcome::Refused(Refusal::new(class, step).status(status));
        let outcome = match wire {
            None | Some(How::Delay(_)) => go(),
            Some(How::LoseReply) => {
                drop(go());
                unknown("cut")
            }
            Some(How::NeverArrives) => unknown("cut"),
            Some(How::Hang { applied, gate }) => {
                if applied {
                    drop(go());
                }
                gate.pass().await;
                unknown("timeout")
            }
            Some(How::Status { status, applied }) => {
                if applied {
                    drop(go());
                }
                by_status(step, status)
            }
            Some(How::RetryAfter(seconds)) => {
                let mut refusal = Refusal::new(Class::Throttle, step).status(429);
                refusal.retry_after = Some(Span::seconds(i64::try_from(seconds).unwrap_or(i64::MAX)));
                Outcome::Refused(refusal)
            }
            Some(How::Redirect(_)) => Outcome::Unknown(Cause::new(step, "redirect").status(307)),
            Some(How::OkFalse) => Outcome::Unknown(Cause::new(step, "unreadable").status(200)),
            Some(How::ForbiddenRevoke) => refused(Class::Scope, 403),
            Some(How::NameConflict) => refused(Class::Exists, 409),
            Some(mangling) => return (go(), Some(mangling)),
        };
        (outcome, None)
    }

    /// The same for calls whose reply is read at once.
    async fn ask<T>(
        &self,
        kind: CallKind,
        step: &str,
        apply: impl FnOnce(&mut House, &Quirks, Stamp) -> Result<T, Refusal>,
    ) -> Outcome<T> {
        let (outcome, mangling) = self.meet(kind, step, apply).await;
        match mangling {
            Some(How::CutReply(_)) => Outcome::Unknown(Cause::new(step, "cut")),
            Some(How::Huge(_)) => Outcome::Unknown(Cause::new(step, "too-long").status(200)),
            Some(How::Html200) => Outcome::Unknown(Cause::new(step, "unreadable").status(200)),
            _ => outcome,
        }
    }

    /// The same for calls about one key; a key that is not there is class `gone`.
    async fn about<T>(
        &self,
        kind: CallKind,
        step: &str,
        call: Call<'_>,
        key: KeyRef<'_>,
        apply: impl FnOnce(&mut House, usize, &Quirks, Stamp) -> T,
    ) -> Outcome<T> {
        self.ask(kind, step, |house, quirks, now| {
            house.authorized(call, step, now)?;
            let at = house.place(key).ok_or_else(|| Refusal::new(Class::Gone, step).status(404))?;
            Ok(apply(house, at, quirks, now))
        })
        .await
    }
}

/// The default class of a status (definitions.md 6).
fn by_status<T>(step: &str, status: u16) -> Outcome<T> {
    let class = match status {
        401 => Class::Auth,
        403 => Class::Scope,
        404 | 410 => Class::Gone,
        409 => Class::Exists,
        429 => Class::Throttle,
        400..=499 if status != 408 => Class::Refused,
        _ => {
            let label = if status >= 500 { "status-5xx" } else { "status" };
            return Outcome::Unknown(Cause::new(step, label).status(i32::from(status)));
        }
    };
    Outcome::Refused(Refusal::new(class, step).status(i32::from(status)))
}
