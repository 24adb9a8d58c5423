//! The world around one rotation: a provider with keys, targets, applications, a clock; and a driver that plays the engine.

use std::collections::BTreeMap;

use cutover_machine::emergency::{Cut, EmergencyOrder};
use cutover_machine::event::{Answer, Class, Fact, Holding, Listed, Minted, Order, Refused, Sight, Survey, Use, Uses, Watched};
use cutover_machine::manual::Handed;
use cutover_machine::plan::{
    Declares, GraceOffer, HookPlan, LastUsed, Lifecycle, ListBy, NullUse, ProviderFacts, ReRotate, TargetPlan, Verbs,
    VerifyKind, VerifyPlan,
};
use cutover_machine::state::{End, Key, Layout, Phase};
use cutover_machine::{Due, Effect, Event, Now, Plan, Rotation, Span, Stamp, decide, due};

/// One provider, one layout, one way of seeing evidence.
#[derive(Clone)]
pub struct Kind {
    pub name: String,
    pub plan: Plan,
    pub core: bool,
    pub targets: usize,
    /// Held in doubt, a person finds the key that was made and hands it in.
    pub finds: bool,
}

/// What goes wrong at one boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call is refused: no effect.
    Refused,
    /// The call never arrives, and that is not known.
    NeverArrives,
    /// The call has its effect, the reply is lost.
    ReplyLost,
    /// The process dies after the intent is durable, before the call.
    CrashBefore,
    /// The process dies after the call, before its outcome is durable.
    CrashAfter,
    /// Somebody sets a target back to the old value.
    SetBack,
    /// Somebody writes a value of their own into a target.
    Foreign,
    /// A person says this.
    Person(u8),
    /// A person orders an emergency.
    Emergency(EmergencyOrder),
}

const ORDERS: [Order; 6] =
    [Order::Confirm, Order::ConfirmRetire, Order::Resume, Order::MintAgain, Order::Abandon, Order::AdoptOld];

impl Fault {
    /// The faults that make a difference at this boundary.
    pub fn possible(effect: &Effect) -> Vec<Self> {
        let mut all = vec![Self::CrashAfter, Self::SetBack, Self::Foreign];
        // A reply that was received is read by us: reading it cannot be refused by anyone.
        if *effect != Effect::ReadReply {
            all.push(Self::Refused);
        }
        if effect.needs_intent() {
            all.extend([Self::NeverArrives, Self::ReplyLost, Self::CrashBefore]);
        }
        // `confirm` and `--mint-again` are a person's word: what they say may be wrong, so they are explored apart.
        all.extend([2, 4].map(Self::Person));
        all
    }
}

#[derive(Clone, Debug)]
struct ProviderKey {
    dies_at: Option<Stamp>,
    off: bool,
    used_at: Option<Stamp>,
    made_by_us: bool,
}

/// One run of one rotation through a script of faults.
pub struct Run {
    kind: Kind,
    script: Vec<(usize, Fault)>,
    pub boundaries: Vec<Effect>,
    rotation: Rotation,
    now: Stamp,
    keys: BTreeMap<String, ProviderKey>,
    /// Per target: field → key name. Fields `key` and, while both live, `new`.
    targets: Vec<BTreeMap<&'static str, String>>,
    /// Per target: what the application that reads it runs with.
    apps: Vec<Vec<String>>,
    lost_reply: Option<String>,
    pub mints_sent: u32,
    story: Option<Vec<String>>,
    told: Vec<Fact>,
    outage_allowed: bool,
    resumes: u32,
}

const OLD: &str = "old";

impl Run {
    pub fn new(kind: Kind, script: &[(usize, Fault)]) -> Self {
        let now = Stamp(1_000_000_000);
        let keys =
            BTreeMap::from([(OLD.to_owned(), ProviderKey { dies_at: None, off: false, used_at: Some(now), made_by_us: true })]);
        let target = BTreeMap::from([("key", OLD.to_owned())]);
        Self {
            script: script.to_vec(),
            boundaries: Vec::new(),
            rotation: Rotation::open(7, now),
            now,
            keys,
            targets: vec![target; kind.targets],
            apps: vec![vec![OLD.to_owned()]; kind.targets],
            lost_reply: None,
            mints_sent: 0,
            story: None,
            told: Vec::new(),
            outage_allowed: false,
            resumes: 0,
            kind,
        }
    }

    pub fn closed(&self) -> bool {
        self.rotation.phase == Phase::Closed
    }

    /// A person handed a key in.
    pub fn submitted(&self) -> bool {
        self.told.iter().any(|fact| matches!(fact, Fact::Ordered { order } if order == "submit"))
    }

    /// What happened, in words: the same script run once more, told this time.
    pub fn story(&self) -> String {
        match &self.story {
            Some(lines) => format!("{}: script {:?}\n{}", self.kind.name, self.script, lines.join("\n")),
            None => {
                let mut again = Self::new(self.kind.clone(), &self.script);
                again.story = Some(Vec::new());
                let _ = again.finish();
                String::from("the same script ended well the second time")
            }
        }
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(line());
        }
    }

    /// Runs until nothing is left to do, checking the world after each event. A person resumes what is held, a few times.
    pub fn finish(mut self) -> Self {
        for _ in 0..600 {
            let now = Now::open(self.now);
            match due(&self.rotation, &self.kind.plan, now) {
                Due::Rest => break,
                Due::Tell => self.event(Event::Woke),
                Due::Sleep(until) => self.pass(until),
                Due::Ask(_, until) => {
                    if !self.person() {
                        if until == Stamp::NEVER || self.now > Stamp(1_000_000_000).plus(Span::DAY.times(40)) {
                            break;
                        }
                        self.pass(until);
                    }
                }
                Due::Call(effect) => self.call(&effect),
            }
            self.check();
        }
        self.at_rest();
        self
    }

    fn pass(&mut self, until: Stamp) {
        assert!(until > self.now, "it sleeps until a time that has passed: {}", self.story());
        assert!(until < Stamp::NEVER, "it sleeps for ever: {}", self.story());
        self.now = until;
        self.use_keys();
    }

    /// A person does what the alert says, a few times: sets a foreign value back, resumes, confirms what is true.
    fn person(&mut self) -> bool {
        if self.rotation.held.is_none() {
            if self.rotation.phase == Phase::Mint {
                return self.makes_a_key();
            }
            let old = self.rotation.old.as_ref().map_or(String::new(), |key| key.fingerprint.clone());
            let moved = self.apps.iter().all(|app| !app.contains(&old));
            if self.rotation.phase != Phase::Retire {
                return moved && !self.rotation.retire.confirmed && self.order(&Order::Confirm);
            }
            if moved && self.kind.plan.ended_by_hand() && self.rotation.retire.revoked_at.is_none() {
                // First it is ended in the dashboard, then that is said.
                if let Some(key) = self.keys.get_mut(&old) {
                    key.dies_at = Some(self.now);
                }
            }
            return moved && !self.rotation.retire.confirmed && self.order(&Order::ConfirmRetire);
        }
        if self.resumes >= 3 {
            return false;
        }
        self.resumes += 1;
        if self.kind.finds && self.rotation.phase == Phase::Doubt && self.newest() != OLD {
            let order = Order::Submit(Handed { key: key(&self.newest()), old_expires_at: None });
            return self.order(&order);
        }
        for target in &mut self.targets {
            for value in target.values_mut() {
                if value == "foreign" {
                    *value = self.rotation.new.as_ref().map_or(OLD.to_owned(), |new| new.fingerprint.clone());
                }
            }
        }
        self.order(&Order::Resume)
    }

    /// An order to cut the keys off, with the one key that the ledger knows.
    pub fn emergency(&mut self, order: EmergencyOrder) {
        let known = vec![Cut { sealed: false, ..Cut::new(key(OLD), true) }];
        if self.order(&Order::Emergency(order, known)) && order == EmergencyOrder::CutFirst {
            self.outage_allowed = true;
        }
    }

    /// The keys that the provider still accepts, other than the new one.
    pub fn older_alive(&self) -> Vec<String> {
        let new = self.rotation.new.as_ref().map(|new| new.fingerprint.clone());
        self.keys.keys().filter(|name| self.alive(name) && Some(*name) != new.as_ref()).cloned().collect()
    }

    /// The rotation as it stands.
    pub const fn rotation(&self) -> &Rotation {
        &self.rotation
    }

    /// A person clicks in the dashboard, and hands in what it shows.
    fn makes_a_key(&mut self) -> bool {
        self.mint();
        let name = self.newest();
        let old_expires_at = self.keys.get(OLD).and_then(|old| old.dies_at).filter(|_| self.kind.plan.provider_ends_old());
        self.order(&Order::Submit(Handed { key: key(&name), old_expires_at }))
    }

    fn order(&mut self, order: &Order) -> bool {
        let before = self.rotation.clone();
        match decide(Event::Ordered(order.clone()), &before, &self.kind.plan, Now::open(self.now)) {
            Ok(step) => {
                let at = self.now.0;
                self.tell(|| format!("{at} a person says {order:?}"));
                self.rotation = step.next;
                self.told.extend(step.facts);
                true
            }
            Err(_) => false,
        }
    }

    fn event(&mut self, event: Event) {
        let at = self.now.0;
        self.tell(|| format!("{at} {event:?}"));
        let step = decide(event, &self.rotation, &self.kind.plan, Now::open(self.now))
            .unwrap_or_else(|illegal| panic!("{illegal}\n{:?}\n{}", self.rotation, self.story()));
        self.tell(|| format!("      → {} {:?}", step.next.phase.label(), step.facts));
        self.rotation = step.next;
        self.told.extend(step.facts);
    }

    fn call(&mut self, effect: &Effect) {
        let boundary = self.boundaries.len();
        self.boundaries.push(effect.clone());
        let fault = self.script.iter().find(|(at, _)| *at == boundary).map(|(_, fault)| *fault);
        match fault {
            Some(Fault::SetBack) => {
                self.outside("sets a target back", OLD);
                return self.retry_after_outside();
            }
            Some(Fault::Foreign) => {
                self.outside("writes a foreign value", "foreign");
                return self.retry_after_outside();
            }
            Some(Fault::Person(n)) => {
                self.order(&ORDERS[n as usize].clone());
                return;
            }
            Some(Fault::Emergency(order)) => {
                self.emergency(order);
                return;
            }
            _ => {}
        }
        if effect.guarded() {
            let before = self.rotation.clone();
            let holdings = self.holdings();
            self.event(Event::Guarded(holdings));
            if self.rotation != before {
                return;
            }
        }
        if effect.needs_intent() {
            let deadline = self.now.plus(Span::seconds(30));
            self.event(Event::Intended { effect: effect.clone(), deadline });
        }
        if fault == Some(Fault::CrashBefore) {
            self.tell(|| "crash before the call".to_owned());
            self.event(Event::Restarted);
            return;
        }
        let applied = !matches!(fault, Some(Fault::Refused | Fault::NeverArrives));
        let outcome = self.effect(effect, applied, fault);
        self.now = self.now.plus(Span(50));
        if fault == Some(Fault::CrashAfter) {
            self.tell(|| "crash after the call".to_owned());
            self.event(Event::Restarted);
        } else {
            self.event(outcome);
        }
        self.use_keys();
    }

    /// The machine has not seen it yet; the next guard or poll must.
    fn retry_after_outside(&mut self) {
        // An application that restarts by itself now would read what stands there: not ours to prevent, and not counted.
        self.use_keys();
    }

    fn outside(&mut self, what: &str, value: &str) {
        let at = self.now.0;
        self.tell(|| format!("{at} somebody {what}"));
        if let Some(target) = self.targets.first_mut() {
            target.insert("key", value.to_owned());
            target.remove("new");
        }
    }

    fn answer<T>(fault: Option<Fault>, value: T) -> Answer<T> {
        match fault {
            Some(Fault::Refused) => Answer::Refused(Refused { class: Class::Refused, retry_after: None, detail: "no".into() }),
            Some(Fault::NeverArrives | Fault::ReplyLost) => Answer::Unknown("lost".into()),
            _ => Answer::Done(value),
        }
    }

    /// Makes the call in the world, if it arrives, and says what came back.
    fn effect(&mut self, effect: &Effect, applied: bool, fault: Option<Fault>) -> Event {
        match effect {
            Effect::Survey => Event::Surveyed(if fault == Some(Fault::Refused) {
                Err("down".into())
            } else {
                Ok(Survey { old: Some(key(OLD)), old_is_ours: true, old_is_sealed: true })
            }),
            Effect::Mint => {
                if applied {
                    self.mint();
                }
                Event::Replied(Self::answer(fault, ()))
            }
            Effect::ReadReply => {
                let minted = self.lost_reply.clone().map(|name| self.minted(&name));
                Event::Read(match minted {
                    Some(minted) => Self::answer(fault, minted),
                    None => Answer::Unknown("nothing to read".into()),
                })
            }
            Effect::LookByList => Event::Listed(Self::answer(
                fault,
                Listed { orphans: self.orphans(ListBy::Name), candidates: self.orphans(ListBy::Time) },
            )),
            Effect::Reread => {
                let newest = self.newest();
                let found = (newest != OLD).then(|| self.minted(&newest));
                Event::Found(Self::answer(fault, found))
            }
            Effect::Discard(id) => {
                if applied && let Some(key) = self.keys.get_mut(id) {
                    key.dies_at = Some(self.now);
                }
                Event::Discarded(id.clone(), Self::answer(fault, ()))
            }
            Effect::ProbeNew => {
                let alive = self.rotation.new.as_ref().is_some_and(|new| self.alive(&new.fingerprint));
                Event::Probed(Self::answer(fault, alive))
            }
            Effect::ProbeOld => {
                let alive = self.rotation.old.as_ref().is_some_and(|old| self.alive(&old.fingerprint));
                Event::Probed(Self::answer(fault, alive))
            }
            Effect::Write { target, layout } => self.write(*target, *layout, applied, fault),
            Effect::Hook { hook, .. } => {
                if applied {
                    for (app, target) in self.apps.iter_mut().zip(&self.targets) {
                        *app = ["new", "key"].iter().filter_map(|field| target.get(field).cloned()).collect();
                    }
                }
                Event::Hooked(*hook, Self::answer(fault, ()))
            }
            Effect::Watch { verifies, uses } => self.watch(verifies, *uses, fault),
            Effect::Deactivate | Effect::Activate | Effect::Revoke => self.end(effect, applied, fault),
            Effect::ReadClock => Event::Clock(Self::answer(fault, Some(0))),
            Effect::Cut(place) => {
                let name = self.cut_name(*place);
                if applied && let Some(key) = self.keys.get_mut(&name) {
                    key.dies_at = Some(self.now);
                }
                Event::Cut(*place, Self::answer(fault, ()))
            }
            Effect::ProbeCut(place) => {
                let alive = self.alive(&self.cut_name(*place));
                Event::ProbedCut(*place, Self::answer(fault, alive))
            }
            Effect::ReadNew | Effect::Replay | Effect::LookByValue => unreachable!("not in these kinds"),
        }
    }

    fn cut_name(&self, place: u32) -> String {
        let cut = self.rotation.emergency.as_ref().and_then(|emergency| emergency.cut.get(place as usize));
        let cut = cut.unwrap_or_else(|| panic!("no such cut {place}: {}", self.story()));
        cut.key.id.clone().unwrap_or_else(|| panic!("a key without an id is cut: {}", self.story()))
    }

    fn mint(&mut self) {
        let previous = self.newest();
        self.mints_sent += 1;
        let name = format!("key{}", self.mints_sent);
        let grace = self.rotation.mint.intent.as_ref().map_or(self.kind.plan.grace, |intent| intent.grace);
        if self.kind.plan.provider_ends_old() {
            let keeps = self.kind.plan.provider.declares.re_rotate == ReRotate::KeepsAll;
            for (other, key) in &mut self.keys {
                if *other == previous || keeps {
                    key.dies_at = Some(key.dies_at.unwrap_or(Stamp::NEVER).min(self.now.plus(grace)));
                } else {
                    key.dies_at = Some(self.now);
                }
            }
        }
        self.keys.insert(name.clone(), ProviderKey { dies_at: None, off: false, used_at: None, made_by_us: true });
        self.lost_reply = Some(name);
        if grace == Span::ZERO {
            self.outage_allowed = true;
        }
    }

    fn newest(&self) -> String {
        if self.mints_sent == 0 { OLD.to_owned() } else { format!("key{}", self.mints_sent) }
    }

    fn minted(&self, name: &str) -> Minted {
        let before = self.rotation.old.as_ref().map_or(OLD, |old| old.fingerprint.as_str());
        let old = self.keys.get(before).and_then(|old| old.dies_at).filter(|_| self.kind.plan.provider_ends_old());
        Minted { key: key(name), to_read: false, old_expires_at: old, old_id: None, fresh: true, skew: Some(0) }
    }

    fn orphans(&self, by: ListBy) -> Vec<String> {
        if self.kind.plan.provider.declares.list != by {
            return Vec::new();
        }
        let known = self.rotation.new.as_ref().map(|new| new.fingerprint.clone());
        let alive = self.keys.iter().filter(|(_, key)| key.made_by_us && key.dies_at.is_none_or(|at| at > self.now));
        let old = self.rotation.old.as_ref().map(|old| old.fingerprint.clone());
        let unknown = |name: &String| name != OLD && Some(name) != known.as_ref() && Some(name) != old.as_ref();
        alive.map(|(name, _)| name.clone()).filter(unknown).collect()
    }

    fn alive(&self, name: &str) -> bool {
        self.keys.get(name).is_some_and(|key| !key.off && key.dies_at.is_none_or(|at| at > self.now))
    }

    /// The fields of a layout for the rotation's present roles.
    fn layout(&self, layout: Layout) -> BTreeMap<&'static str, String> {
        let new = self.rotation.new.as_ref().map_or(String::new(), |key| key.fingerprint.clone());
        let old = self.rotation.old.as_ref().map_or(String::new(), |key| key.fingerprint.clone());
        match layout {
            Layout::During if self.kind.plan.settles() => BTreeMap::from([("key", old), ("new", new)]),
            _ => BTreeMap::from([("key", new)]),
        }
    }

    fn holdings(&self) -> Vec<Holding> {
        let (during, settled) = (self.layout(Layout::During), self.layout(Layout::Settled));
        let known = |value: &String| value != "foreign";
        self.targets
            .iter()
            .map(|target| Holding {
                readable: true,
                during: *target == during,
                settled: *target == settled,
                known: target.values().all(known),
            })
            .collect()
    }

    fn write(&mut self, target: u32, layout: Layout, applied: bool, fault: Option<Fault>) -> Event {
        let wanted = self.layout(layout);
        let place = &mut self.targets[target as usize];
        if place.values().any(|value| value == "foreign") && self.rotation.emergency.is_none() {
            return Event::Foreign(target);
        }
        if applied {
            *place = wanted;
        }
        Event::Written(target, Self::answer(fault, ()))
    }

    fn watch(&self, verifies: &[u32], uses: bool, fault: Option<Fault>) -> Event {
        let new = self.rotation.new.as_ref().map_or(String::new(), |key| key.fingerprint.clone());
        let old = self.rotation.old.as_ref().map_or(String::new(), |key| key.fingerprint.clone());
        let lost = fault.is_some_and(|fault| fault == Fault::Refused);
        // The consumer names the key it calls with: the first it holds that is accepted.
        let runs = self.apps.iter().all(|app| app.iter().find(|name| self.alive(name)) == Some(&new));
        let sight = match (lost, runs) {
            (true, _) => Sight::Unanswered,
            (_, true) => Sight::Holds,
            _ => Sight::Not,
        };
        let used = |name: &str| match self.keys.get(name).and_then(|key| key.used_at) {
            Some(at) => Use::At(at, None),
            None => Use::Never,
        };
        Event::Watched(Watched {
            began: self.now,
            targets: self.holdings(),
            verifies: verifies.iter().map(|place| (*place, sight)).collect(),
            uses: (uses && !lost).then(|| Uses { new: used(&new), old: used(&old) }),
            skew: Some(0),
        })
    }

    fn end(&mut self, effect: &Effect, applied: bool, fault: Option<Fault>) -> Event {
        let old = self.rotation.old.as_ref().map_or(String::new(), |key| key.fingerprint.clone());
        if applied && let Some(key) = self.keys.get_mut(&old) {
            match effect {
                Effect::Deactivate => key.off = true,
                Effect::Activate => key.off = false,
                _ => key.dies_at = Some(self.now),
            }
        }
        Event::Ended(Self::answer(fault, ()))
    }

    /// Every application calls now, with the first of its keys that is accepted.
    fn use_keys(&mut self) {
        for app in self.apps.clone() {
            if let Some(name) = app.iter().find(|name| self.alive(name))
                && let Some(key) = self.keys.get_mut(name)
            {
                key.used_at = Some(self.now);
            }
        }
    }

    /// The one question: does every application hold a key that is accepted?
    fn check(&self) {
        // Somebody else's value that an application has read is not ours; a provider's clock is measured by its alerts.
        let warned = self.told.iter().any(|fact| matches!(fact, Fact::GraceEnding { .. } | Fact::GraceEnded { .. }));
        let clock = self.kind.plan.provider_ends_old();
        for app in &self.apps {
            if app.iter().any(|name| name == "foreign") {
                continue;
            }
            let ok = app.iter().any(|name| self.alive(name));
            assert!(
                ok || self.outage_allowed || (clock && warned),
                "{}: an application holds only dead keys {app:?}\nscript {:?}\n{}",
                self.kind.name,
                self.script,
                self.story()
            );
        }
    }

    /// When it has come to rest: the targets know one key, it lives, and no key of ours is left over.
    fn at_rest(&self) {
        if !self.closed() {
            assert!(
                self.rotation.held.is_some() || self.rotation.phase == Phase::Observe || self.rotation.phase == Phase::Retire,
                "{}: it neither ends nor is held: {:?}\nscript {:?}\n{}",
                self.kind.name,
                self.rotation,
                self.script,
                self.story()
            );
            return;
        }
        let touched = self.script.iter().any(|(_, fault)| matches!(fault, Fault::SetBack | Fault::Foreign));
        for target in &self.targets {
            let value = target.get("key").cloned().unwrap_or_default();
            assert!(
                touched || (self.alive(&value) && target.len() == 1),
                "{}: at rest a target holds {target:?}\nscript {:?}\n{}",
                self.kind.name,
                self.script,
                self.story()
            );
        }
        if self.rotation.emergency.is_some() {
            return;
        }
        if self.kind.plan.provider.lifecycle == Lifecycle::Manual && self.rotation.end == Some(End::Done) {
            assert!(
                !self.alive(OLD),
                "{}: done, and the old key lives\nscript {:?}\n{}",
                self.kind.name,
                self.script,
                self.story()
            );
        }
        let live = self.keys.keys().filter(|name| self.alive(name)).count();
        let lists = self.kind.plan.provider.declares.list == ListBy::Name;
        assert!(
            !lists || live == 1,
            "{}: {live} keys live at rest\nscript {:?}\n{}",
            self.kind.name,
            self.script,
            self.story()
        );
    }
}

fn key(name: &str) -> Key {
    Key { id: Some(name.to_owned()), fingerprint: name.to_owned(), expires_at: None }
}

/// The providers: overlap and grace, each with what it may declare.
pub fn kinds() -> Vec<Kind> {
    let mut kinds = Vec::new();
    let overlap = |list, re_rotate, deactivate| {
        let mut plan = plan(Lifecycle::Overlap, list, re_rotate, Span::hours(24));
        plan.provider.verbs.deactivate = deactivate;
        plan.provider.verbs.activate = deactivate;
        plan
    };
    for (name, list, re_rotate) in [
        ("keeps-all", ListBy::None, ReRotate::KeepsAll),
        ("by-name", ListBy::Name, ReRotate::Destroys),
        ("by-time", ListBy::Time, ReRotate::Destroys),
        ("worst", ListBy::None, ReRotate::Destroys),
    ] {
        for deactivate in [false, true] {
            for during in [false, true] {
                for targets in [1, 2] {
                    for seen in [false, true] {
                        let mut plan = overlap(list, re_rotate, deactivate);
                        layouts(&mut plan, during, targets);
                        if seen {
                            see_uses(&mut plan);
                        }
                        let name = format!("overlap {name} off={deactivate} during={during} targets={targets} seen={seen}");
                        let core = targets == 1 && (list == ListBy::Name || deactivate);
                        kinds.push(Kind { name, plan, core, targets, finds: false });
                    }
                }
            }
        }
    }
    for (name, list, re_rotate) in [
        ("keeps-all", ListBy::None, ReRotate::KeepsAll),
        ("drops-older", ListBy::None, ReRotate::DropsOlder),
        ("by-time", ListBy::Time, ReRotate::Destroys),
        ("reread", ListBy::None, ReRotate::Destroys),
    ] {
        for grace in [Span::ZERO, Span::minutes(15), Span::hours(24)] {
            for during in [false, true] {
                for targets in [1, 2] {
                    let mut plan = plan(Lifecycle::Grace, list, re_rotate, grace);
                    layouts(&mut plan, during, targets);
                    plan.provider.declares.reread = name == "reread";
                    plan.provider.declares.grace = Some(GraceOffer::Fixed(grace));
                    let name = format!("grace {name} {grace} during={during} targets={targets}");
                    let core = targets == 1 && grace == Span::hours(24);
                    kinds.push(Kind { name, plan, core, targets, finds: false });
                }
            }
        }
    }
    kinds.extend(found_kinds(&kinds));
    kinds.extend(manual_kinds());
    kinds
}

/// Kinds in which a mint is held in doubt, once more: this time a person finds the key.
fn found_kinds(kinds: &[Kind]) -> Vec<Kind> {
    let held = kinds.iter().filter(|kind| {
        let declares = &kind.plan.provider.declares;
        declares.re_rotate != ReRotate::KeepsAll && declares.list != ListBy::Name && !declares.reread && kind.targets == 1
    });
    held.map(|kind| Kind { name: format!("{} found", kind.name), finds: true, core: false, ..kind.clone() }).collect()
}

/// A person makes the key: the old one ended by hand (seen refused, or by their word), or by the clock that the dashboard starts.
fn manual_kinds() -> Vec<Kind> {
    let mut kinds = Vec::new();
    for (name, probe, clock) in
        [("seen", true, false), ("word", false, false), ("clock", true, true), ("blind clock", false, true)]
    {
        for during in [false, true] {
            for targets in [1, 2] {
                let mut plan = plan(Lifecycle::Manual, ListBy::None, ReRotate::Destroys, Span::hours(24));
                layouts(&mut plan, during, targets);
                plan.provider.verbs.probe = probe;
                plan.provider.declares.negative_probe = probe;
                plan.provider.declares.grace = clock.then_some(GraceOffer::Fixed(Span::hours(24)));
                let name = format!("manual {name} during={during} targets={targets}");
                kinds.push(Kind { name, plan, core: targets == 1, targets, finds: false });
            }
        }
    }
    kinds
}

fn layouts(plan: &mut Plan, during: bool, targets: usize) {
    plan.targets = vec![TargetPlan { has_during: during }; targets];
}

fn see_uses(plan: &mut Plan) {
    plan.provider.verbs.list = true;
    plan.provider.verbs.last_used = true;
    plan.provider.declares.last_used =
        Some(LastUsed { granularity: Span::MINUTE, lag: Span::minutes(10), null: NullUse::Never });
}

fn plan(lifecycle: Lifecycle, list: ListBy, re_rotate: ReRotate, grace: Span) -> Plan {
    Plan {
        provider: ProviderFacts {
            lifecycle,
            declares: Declares {
                re_rotate,
                list,
                list_lag: Span::seconds(10),
                negative_probe: true,
                settle: Span::seconds(30),
                ..Declares::default()
            },
            verbs: Verbs {
                list: list != ListBy::None,
                probe: true,
                revoke: lifecycle == Lifecycle::Overlap,
                ..Verbs::default()
            },
            generates: false,
            mint_timeout: Span::seconds(30),
        },
        grace,
        shortest_grace: grace,
        quiet: Span::minutes(40),
        soak: Span::minutes(20),
        thresholds: vec![50, 75, 90],
        targets: Vec::new(),
        hooks: vec![HookPlan { timeout: Span::MINUTE, repeatable: true }],
        verifies: vec![VerifyPlan { kind: VerifyKind::Consumer, every: Span::minutes(10), hold_for: Span::minutes(10) }],
        support: None,
    }
}
