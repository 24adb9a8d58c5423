//! What the rules are tried on: one plan, its rotation at any place, and a walk from call to call.

use cutover_machine::emergency::{Cut, Emergency, EmergencyOrder};
use cutover_machine::event::{Answer, Class, Event, Fact, Holding, Illegal, Minted, Refused};
use cutover_machine::plan::{
    Declares, HookPlan, Lifecycle, Plan, ProviderFacts, ReRotate, TargetPlan, Verbs, VerifyKind, VerifyPlan,
};
use cutover_machine::state::{Call, Doubt, Grace, Held, Key, Layout, Leg, MintIntent, Phase, Why};
use cutover_machine::{Due, Effect, Now, Rotation, Span, Stamp, Step, decide, due};

/// When every rotation here was opened, and its mint intended.
pub const START: Stamp = Stamp(1_795_230_300_000);

/// A redeploy that may be run again.
pub const HOOK: HookPlan = HookPlan { timeout: Span::MINUTE, repeatable: true };

/// What a case changes in the rotation, and in the plan.
pub type Change = fn(&mut Rotation);
pub type PlanChange = fn(&mut Plan);

pub fn key(name: &str) -> Key {
    Key { id: Some(name.to_owned()), fingerprint: format!("sha256:{name}"), expires_at: None }
}

pub fn verify(kind: VerifyKind) -> VerifyPlan {
    VerifyPlan { kind, every: Span::MINUTE, hold_for: Span::MINUTE }
}

/// Keys live side by side, are probed and revoked by id; one target of one layout, no hook, one consumer.
pub fn plan() -> Plan {
    Plan {
        provider: ProviderFacts {
            lifecycle: Lifecycle::Overlap,
            declares: Declares { re_rotate: ReRotate::DropsOlder, ..Declares::default() },
            verbs: Verbs { probe: true, revoke: true, new_id: true, ..Verbs::default() },
            generates: false,
            mint_timeout: Span::seconds(30),
        },
        grace: Span::hours(24),
        shortest_grace: Span::hours(24),
        quiet: Span::hours(6),
        soak: Span::hours(24),
        thresholds: vec![50, 75, 90],
        targets: vec![TargetPlan { has_during: false }],
        hooks: Vec::new(),
        verifies: vec![verify(VerifyKind::Consumer)],
        support: None,
    }
}

/// The window open and the clock sane, so long after [`START`].
pub fn after(span: Span) -> Now {
    Now::open(START.plus(span))
}

/// The same in seconds.
pub fn at(seconds: i64) -> Now {
    after(Span::seconds(seconds))
}

/// A rotation that stands here, as the machine itself leaves it.
pub fn standing(phase: Phase, plan: &Plan) -> Rotation {
    let mut rotation = Rotation::open(7, START);
    rotation.phase = phase;
    if phase >= Phase::Mint {
        rotation.old = Some(key("old"));
        rotation.old_is_ours = true;
        rotation.mint.surveyed_at = START;
    }
    if phase >= Phase::Doubt {
        rotation.mint.intents = 1;
        rotation.mint.intent = Some(MintIntent { at: START, deadline: START, grace: plan.grace });
        rotation.grace = Some(Grace { from: START, end: START.plus(plan.grace), told: Vec::new(), ended_told: false });
    }
    if phase == Phase::Doubt {
        rotation.doubt = Doubt { since: START, ..Doubt::default() };
    }
    if phase >= Phase::Stage {
        rotation.new = Some(key("new"));
        rotation.mint.accepted = true;
        let mut leg = Leg::new(Layout::Settled, 1, plan);
        leg.touched = true;
        if phase >= Phase::Observe {
            leg.written = plan.targets.iter().map(|_| true).collect();
            leg.hooks_done = u32::try_from(plan.hooks.len()).unwrap_or(u32::MAX);
            leg.deployed_at = Some(START);
            leg.quiet_from = START;
        }
        rotation.leg = Some(leg);
    }
    if phase >= Phase::Settle {
        rotation.cutover_at = Some(START);
    }
    rotation
}

/// The same, held since [`START`].
pub fn held(phase: Phase, why: Why, plan: &Plan) -> Rotation {
    Rotation { held: Some(Held { why, since: START, told_at: START }), ..standing(phase, plan) }
}

/// Why it is held.
pub fn why(rotation: &Rotation) -> Option<Why> {
    rotation.held.as_ref().map(|held| held.why.clone())
}

/// When the next try is made at the earliest, and how many there were.
pub fn waits(rotation: &Rotation) -> (u32, Stamp) {
    match rotation.call {
        Call::Ready { tries, not_before, .. } => (tries, not_before),
        Call::Flying { .. } => panic!("a call is under way: {:?}", rotation.call),
    }
}

/// What a refusal says that asks for no wait.
pub fn refused<T>(class: Class) -> Answer<T> {
    Answer::Refused(Refused { class, retry_after: None, detail: class_named(class) })
}

pub fn class_named(class: Class) -> String {
    format!("{class:?}")
}

pub fn unknown<T>() -> Answer<T> {
    Answer::Unknown(String::from("lost"))
}

/// What a mint gives.
pub fn minted() -> Minted {
    Minted { key: key("new"), to_read: false, old_expires_at: None, old_id: None, fresh: true, skew: None }
}

/// A key of ours that is to be cut off.
pub fn ours(name: &str) -> Cut {
    Cut::new(key(name), true)
}

/// It answers an emergency with these keys to cut off.
pub fn urgent(rotation: Rotation, order: EmergencyOrder, cut: Vec<Cut>) -> Rotation {
    Rotation { emergency: Some(Emergency::new(order, START, cut)), ..rotation }
}

/// One key of the cut set.
pub fn the_cut(rotation: &Rotation, place: usize) -> Cut {
    rotation.emergency.as_ref().and_then(|emergency| emergency.cut.get(place)).cloned().expect("a key to be cut off")
}

/// The cut set by its ids; `?` is a key without one.
pub fn cut_set(rotation: &Rotation) -> Vec<String> {
    let cut = rotation.emergency.iter().flat_map(|emergency| &emergency.cut);
    cut.map(|cut| cut.key.id.clone().unwrap_or_else(|| String::from("?"))).collect()
}

/// A target that holds exactly this layout.
pub fn holds(layout: Layout) -> Holding {
    Holding { readable: true, during: layout == Layout::During, settled: layout == Layout::Settled, known: true }
}

/// A rotation led from call to call at times that the test says.
#[derive(Clone)]
pub struct Walk<'a> {
    pub plan: &'a Plan,
    pub rotation: Rotation,
    pub now: Now,
    /// What was told by the last event.
    pub facts: Vec<Fact>,
}

impl<'a> Walk<'a> {
    /// From here on, at [`START`].
    pub fn from(rotation: Rotation, plan: &'a Plan) -> Self {
        Self { plan, rotation, now: after(Span::ZERO), facts: Vec::new() }
    }

    /// So long after [`START`].
    pub fn at(&mut self, span: Span) -> &mut Self {
        self.now = after(span);
        self
    }

    pub fn due(&self) -> Due {
        due(&self.rotation, self.plan, self.now)
    }

    /// The event fits, and is committed.
    pub fn say(&mut self, event: Event) -> &mut Self {
        let told = format!("{event:?} in {:?}", self.rotation.phase);
        let step = self.tried(event).unwrap_or_else(|illegal| panic!("{told}: {illegal}"));
        (self.rotation, self.facts) = (step.next, step.facts);
        self
    }

    /// What the event would do.
    pub fn tried(&self, event: Event) -> Result<Step, Illegal> {
        decide(event, &self.rotation, self.plan, self.now)
    }

    /// This call is due, and is intended where that must be durable; it can land for a minute.
    pub fn calls(&mut self, effect: Effect) -> &mut Self {
        assert_eq!(self.due(), Due::Call(effect.clone()), "{:?} {:?}", self.rotation.phase, self.rotation.held);
        if effect.needs_intent() {
            let deadline = self.now.at.plus(Span::MINUTE);
            self.say(Event::Intended { effect, deadline });
        }
        self
    }

    /// Why it is held.
    pub fn why(&self) -> Option<Why> {
        why(&self.rotation)
    }
}
