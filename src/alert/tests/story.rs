//! A rotation driven through the real machine, and the messages its steps give rise to.

use cutover_api::Stamp;
use cutover_machine::event::{Answer, Class, Fact, Holding, Minted, Refused, Sight, Survey, Use, Uses, Watched};
use cutover_machine::plan::{
    Declares, GraceOffer, HookPlan, LastUsed, Lifecycle, NullUse, ProviderFacts, ReRotate, TargetPlan, Verbs, VerifyKind,
    VerifyPlan,
};
use cutover_machine::state::Key;
use cutover_machine::{Due, Effect, Event, Now, Plan, Rotation, Span, decide, due};

use crate::alert::{Composed, Matter, message};

/// 2026-11-21 03:05 UTC.
pub const START: Stamp = Stamp(1_795_230_300_000);

/// A provider with a clock: one call makes the new key and starts the old one's end; a second call ends the key in use.
pub fn grace_plan() -> Plan {
    let declares = Declares {
        re_rotate: ReRotate::DropsOlder,
        grace: Some(GraceOffer::Fixed(Span::hours(24))),
        negative_probe: false,
        settle: Span::ZERO,
        ..Declares::default()
    };
    plan(Lifecycle::Grace, declares, Verbs { probe: true, ..Verbs::default() })
}

/// A provider without a clock: we revoke the old key, whose last use can be seen.
pub fn overlap_plan() -> Plan {
    let last_used = LastUsed { granularity: Span::minutes(1), lag: Span::minutes(1), null: NullUse::Unknown };
    let declares =
        Declares { re_rotate: ReRotate::KeepsAll, last_used: Some(last_used), settle: Span::ZERO, ..Declares::default() };
    plan(Lifecycle::Overlap, declares, Verbs { list: true, probe: true, revoke: true, ..Verbs::default() })
}

fn plan(lifecycle: Lifecycle, declares: Declares, verbs: Verbs) -> Plan {
    Plan {
        provider: ProviderFacts { lifecycle, declares, verbs, generates: false, mint_timeout: Span::seconds(30) },
        grace: Span::hours(24),
        shortest_grace: Span::hours(24),
        quiet: Span::hours(6),
        soak: Span::hours(24),
        thresholds: vec![50, 75, 90],
        targets: vec![TargetPlan { has_during: true }],
        hooks: vec![HookPlan { timeout: Span::minutes(10), repeatable: true }],
        verifies: vec![VerifyPlan { kind: VerifyKind::Consumer, every: Span::seconds(30), hold_for: Span::minutes(2) }],
        support: Some(String::from("support@bondi.example")),
    }
}

/// One rotation on its way.
pub struct Story {
    pub machine: Rotation,
    pub plan: Plan,
    pub now: Stamp,
    pub told: Vec<Composed>,
    pub targets: Vec<String>,
    pub hooks: Vec<String>,
    pub verifies: Vec<String>,
    pub old_is_ours: bool,
    pub policy: String,
    pub ask: String,
    /// No verify sees the new key, and nothing tells of uses.
    pub silent: bool,
}

impl Story {
    pub fn begin(plan: Plan) -> Self {
        Self {
            machine: Rotation::open(7, START),
            plan,
            now: START,
            told: Vec::new(),
            targets: vec![String::from("vault:apps/crm")],
            hooks: vec![String::from("command /usr/local/bin/deploy crm")],
            verifies: vec![String::from("consumer")],
            old_is_ours: true,
            policy: String::from("my-crm"),
            ask: String::new(),
            silent: false,
        }
    }

    /// The story of a policy with a target of its own.
    pub fn of(policy: &str, plan: Plan) -> Self {
        Self { policy: policy.to_owned(), targets: vec![format!("vault:apps/{policy}")], ..Self::begin(plan) }
    }

    pub fn matter(&self) -> Matter<'_> {
        Matter {
            environment: "prod",
            policy: &self.policy,
            rotation: "rot_abc",
            actor: "schedule",
            at: self.now,
            machine: &self.machine,
            plan: &self.plan,
            account: "bondi",
            targets: &self.targets,
            hooks: &self.hooks,
            verifies: &self.verifies,
            old_key: "id def_42",
            ask: &self.ask,
            new_key: if self.machine.new.is_some() { "id def_43" } else { "" },
        }
    }

    pub fn event(&mut self, event: Event) {
        let step = decide(event, &self.machine, &self.plan, Now::open(self.now)).expect("fits");
        self.machine = step.next;
        let told: Vec<Composed> = step.facts.iter().filter_map(|fact: &Fact| message(&self.matter(), fact)).collect();
        self.told.extend(told);
    }

    /// Goes on until something is told (after what was told already), or nothing is left to do. `answer` replaces the good answers.
    pub fn until_told(&mut self, mut answer: impl FnMut(&Effect) -> Option<Event>) -> Composed {
        let before = self.told.len();
        for _ in 0..50_000 {
            if self.told.len() > before {
                return self.told[before].clone();
            }
            match due(&self.machine, &self.plan, Now::open(self.now)) {
                Due::Tell => self.event(Event::Woke),
                Due::Sleep(until) | Due::Ask(_, until) if until < Stamp::NEVER => self.now = until,
                Due::Sleep(_) | Due::Ask(..) | Due::Rest => break,
                Due::Call(effect) => {
                    if effect.needs_intent() {
                        let deadline = self.now.plus(Span::seconds(30));
                        self.event(Event::Intended { effect: effect.clone(), deadline });
                    }
                    self.now = self.now.plus(Span::seconds(1));
                    let event = answer(&effect).unwrap_or_else(|| self.good(&effect));
                    self.event(event);
                }
            }
        }
        panic!("nothing is told: {:?}", self.machine);
    }

    pub fn holds(&self) -> Holding {
        let layout = self.machine.leg.as_ref().map(|leg| leg.layout.label());
        Holding { readable: true, during: layout == Some("during"), settled: layout == Some("settled"), known: true }
    }

    pub fn watched(&self, verifies: &[u32], old: Use) -> Event {
        Event::Watched(Watched {
            began: self.now,
            targets: vec![self.holds()],
            verifies: verifies.iter().map(|place| (*place, if self.silent { Sight::Not } else { Sight::Holds })).collect(),
            uses: (!self.silent).then_some(Uses { new: Use::At(self.now, None), old }),
            skew: None,
        })
    }

    pub fn good(&self, effect: &Effect) -> Event {
        let old = Key { id: Some(String::from("def_42")), fingerprint: String::from("sha256:00"), expires_at: None };
        match effect {
            Effect::Survey => {
                Event::Surveyed(Ok(Survey { old: Some(old), old_is_ours: self.old_is_ours, old_is_sealed: true }))
            }
            Effect::Mint | Effect::Replay => Event::Replied(Answer::Done(())),
            Effect::ReadReply | Effect::ReadNew => {
                let key = Key { id: Some(String::from("def_43")), fingerprint: String::from("sha256:01"), expires_at: None };
                let ends = self.plan.provider_ends_old().then(|| self.now.plus(Span::hours(24)));
                Event::Read(Answer::Done(Minted {
                    key,
                    to_read: false,
                    old_expires_at: ends,
                    old_id: None,
                    fresh: true,
                    skew: None,
                }))
            }
            Effect::Write { target, .. } => Event::Written(*target, Answer::Done(())),
            Effect::Hook { hook, .. } => Event::Hooked(*hook, Answer::Done(())),
            Effect::Watch { verifies, .. } => self.watched(verifies, Use::Unknown),
            Effect::ProbeNew => Event::Probed(Answer::Done(true)),
            Effect::ProbeOld => Event::Probed(Answer::Done(false)),
            Effect::Deactivate | Effect::Activate | Effect::Revoke => Event::Ended(Answer::Done(())),
            Effect::ReadClock => Event::Clock(Answer::Done(Some(0))),
            other => panic!("no answer for {}", other.label()),
        }
    }
}

pub fn refused(class: Class, detail: &str) -> Refused {
    Refused { class, retry_after: None, detail: detail.to_owned() }
}

pub fn unsure<T>(detail: &str) -> Answer<T> {
    Answer::Unknown(detail.to_owned())
}
