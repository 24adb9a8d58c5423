//! The world around a rotation: keys at a provider, targets in stores, applications that use them, and time. It knows nothing of phases,
//! and nothing here asks the machine.

pub mod keys;
pub mod places;

use cutover_machine::time::{Span, Stamp};

use crate::kind::{AppKind, Reads, Truth};
use keys::{Cause, Key, Maker};
use places::{Content, Target};

/// A value as it stands in a target: a key's number, or from [`FOREIGN`] on something of somebody else's.
pub type Value = usize;
/// Values from here on are no keys.
pub const FOREIGN: Value = 1_000_000;
/// When every history begins: five in the morning of some day.
pub const BEGIN: Stamp = Stamp(1_795_237_200_000);

/// One application.
#[derive(Clone, Debug)]
pub struct App {
    /// What it is like.
    pub kind: AppKind,
    /// The keys it runs with, in the order in which it tries them.
    pub holds: Vec<Value>,
    /// When it reads its target anew.
    pub reload_at: Option<Stamp>,
    /// Its uses are this long after the full pauses.
    phase: i64,
    /// It has no accepted key.
    pub down: bool,
}

impl App {
    /// Whether a verify asks it.
    #[must_use]
    pub const fn is_seen(&self) -> bool {
        !matches!(self.kind.reads, Reads::Forgotten(_))
    }
}

/// What a call changes in the world when it arrives.
#[derive(Clone, Debug)]
pub enum Act {
    /// A mint.
    Mint {
        /// The key it makes.
        key: usize,
        /// The grace it asks for.
        grace: Span,
    },
    /// A key is ended for good.
    End {
        /// Which.
        key: usize,
        /// By which call.
        cause: Cause,
    },
    /// A key is switched off or on.
    Switch {
        /// Which.
        key: usize,
        /// Off.
        off: bool,
    },
    /// A target is written, if it is still what was read.
    Write {
        /// Which.
        target: usize,
        /// What it held when it was read.
        before: u32,
        /// What it holds from now on.
        content: Content,
    },
    /// The applications are restarted.
    Deploy,
}

/// Something that the oracle must hear of.
#[derive(Clone, Debug)]
pub enum Happening {
    /// A key is no longer accepted.
    Ended {
        /// Which.
        key: usize,
        /// Why.
        cause: Cause,
        /// Applications for which it was the only one that was accepted.
        takes_down: Vec<usize>,
    },
    /// An application called with no accepted key, for the first time.
    Refused {
        /// Which.
        app: usize,
        /// What it ran with: each key with its end, as far as it was one.
        with: Vec<(Value, Option<Cause>)>,
    },
    /// A target was written by us and holds something else now.
    Written {
        /// Which.
        target: usize,
    },
    /// The applications were restarted by a hook.
    Deployed,
}

/// Until when what is down.
#[derive(Clone, Debug, Default)]
pub struct Down {
    /// Stores, by target.
    pub stores: Vec<Stamp>,
    /// Hooks.
    pub hooks: Stamp,
    /// Verifies.
    pub verifies: Stamp,
    /// The provider.
    pub provider: Stamp,
    /// The account's credential.
    pub credential: Stamp,
}

/// The world.
#[derive(Clone, Debug)]
pub struct World {
    /// What really is.
    pub truth: Truth,
    /// What the definition declares of a second mint.
    pub re_rotate: cutover_machine::plan::ReRotate,
    /// The provider ends what a mint replaces.
    pub clocked: bool,
    /// How many keys may live.
    pub cap: Option<u32>,
    /// The true time.
    pub now: Stamp,
    /// Our clock minus the true time, in milliseconds.
    pub step: i64,
    /// Keys by number.
    pub keys: Vec<Key>,
    /// The key that the provider holds for the main one.
    pub main: Option<usize>,
    /// Targets.
    pub targets: Vec<Target>,
    /// Applications.
    pub apps: Vec<App>,
    /// Calls that have not arrived yet.
    pub landings: Vec<(Stamp, Act)>,
    /// What is down.
    pub down: Down,
    /// What the oracle has not heard of yet.
    pub happened: Vec<Happening>,
}

impl World {
    /// A world at rest.
    #[must_use]
    pub fn new(kind: &crate::kind::Kind) -> Self {
        let truth = kind.truth.clone();
        let mut world = Self {
            re_rotate: kind.plan.provider.declares.re_rotate,
            clocked: kind.plan.provider_ends_old(),
            cap: kind.plan.provider.declares.max_live,
            now: BEGIN,
            step: 0,
            keys: Vec::new(),
            main: None,
            targets: vec![Target::default(); kind.plan.targets.len()],
            apps: Vec::new(),
            landings: Vec::new(),
            down: Down { stores: vec![Stamp(0); kind.plan.targets.len()], ..Down::default() },
            happened: Vec::new(),
            truth,
        };
        if !world.truth.first {
            let maker = if world.truth.ours { Maker::Us(0) } else { Maker::Elder };
            let mut old = Key::new(maker, BEGIN.minus(Span::DAY.times(90)));
            old.used = Some(BEGIN);
            world.keys.push(old);
            world.main = Some(0);
            for target in &mut world.targets {
                *target = Target::holding(Content { key: Some(0), ..Content::default() });
            }
        }
        for (place, kind) in world.truth.apps.clone().into_iter().enumerate() {
            let mut app = App { kind, holds: Vec::new(), reload_at: None, phase: 7_000 * (place as i64 + 1), down: false };
            app.holds = world.read_by(&app);
            app.down = app.holds.is_empty();
            world.apps.push(app);
        }
        world
    }

    /// Something does not answer now.
    #[must_use]
    pub fn is_down(&self) -> bool {
        let down = &self.down;
        let all = down.stores.iter().chain([&down.hooks, &down.verifies, &down.provider, &down.credential]);
        all.into_iter().any(|until| *until > self.now)
    }

    /// Our clock.
    #[must_use]
    pub const fn wall(&self) -> Stamp {
        Stamp(self.now.0.saturating_add(self.step))
    }

    /// The provider's clock minus ours as a reply shows it.
    #[must_use]
    pub const fn skew(&self) -> i64 {
        let off = self.truth.skew - self.step;
        if off >= -2_000 && off <= 2_000 { 0 } else { off }
    }

    /// Time passes; what is on its way arrives, what expires expires, and the applications work.
    pub fn pass(&mut self, until: Stamp) {
        while self.now < until {
            let mut next = until;
            let reloads = self.apps.iter().filter_map(|app| app.reload_at);
            let expiries = self.keys.iter().filter(|key| key.ended.is_none()).filter_map(|key| key.expires);
            let landings = self.landings.iter().map(|(at, _)| *at);
            for at in reloads.chain(expiries).chain(landings).filter(|at| *at > self.now) {
                next = next.min(at);
            }
            self.work(next);
            self.now = next;
            self.arrive();
        }
    }

    /// What is due at this very moment.
    fn arrive(&mut self) {
        let now = self.now;
        for key in 0..self.keys.len() {
            if self.keys[key].ended.is_none() && self.keys[key].expires.is_some_and(|at| at <= now) {
                self.end(key, Cause::Clock);
            }
        }
        while let Some(place) = self.landings.iter().position(|(at, _)| *at <= now) {
            let (_, act) = self.landings.remove(place);
            self.apply(act);
        }
        for place in 0..self.apps.len() {
            if self.apps[place].reload_at.is_some_and(|at| at <= now) {
                self.reload(place);
            }
        }
    }

    /// Every application calls as often as it does until `until`; nothing else changes meanwhile.
    fn work(&mut self, until: Stamp) {
        for place in 0..self.apps.len() {
            let app = &self.apps[place];
            let pause = app.kind.every.0;
            let last = until.0 - (until.0 - app.phase).rem_euclid(pause);
            if last <= self.now.0 {
                continue;
            }
            if app.kind.reads == Reads::AtUse {
                self.apps[place].holds = self.read_by(&self.apps[place]);
            }
            match self.works_with(place) {
                Some(key) => {
                    self.keys[key].used = Some(Stamp(last));
                    self.apps[place].down = false;
                }
                None if !self.apps[place].down && !self.apps[place].holds.is_empty() => {
                    self.apps[place].down = true;
                    let ended = |value: &Value| self.keys.get(*value).and_then(|key| key.ended).map(|(_, cause)| cause);
                    let off = |value: &Value| self.keys.get(*value).filter(|key| key.off).map(|_| Cause::SwitchedOff);
                    let with = self.apps[place].holds.iter().map(|value| (*value, ended(value).or(off(value)))).collect();
                    self.happened.push(Happening::Refused { app: place, with });
                }
                None => {}
            }
        }
    }

    /// The key that an application calls with now: the first it holds that is accepted.
    #[must_use]
    pub fn works_with(&self, app: usize) -> Option<usize> {
        self.apps[app].holds.iter().copied().find(|value| self.accepts(*value))
    }

    /// Applications for which this key is the only one that is accepted.
    fn needing(&self, key: usize) -> Vec<usize> {
        let needs = |app: &usize| {
            let app = &self.apps[*app];
            let holds = if app.kind.reads == Reads::AtUse { self.read_by(app) } else { app.holds.clone() };
            holds.contains(&key) && !holds.iter().any(|value| *value != key && self.accepts(*value))
        };
        (0..self.apps.len()).filter(needs).collect()
    }

    /// Changes the world as a call does when it arrives.
    pub fn apply(&mut self, act: Act) {
        match act {
            Act::Mint { key, grace } => self.mint(key, grace),
            Act::End { key, cause } => self.end(key, cause),
            Act::Switch { key, off } => self.switch(key, off),
            Act::Write { target, before, content } => self.write(target, before, content),
            Act::Deploy => self.deploy(),
        }
    }
}
