//! What the engine does with targets, hooks and verifies: the survey, the write, the poll.

use cutover_machine::event::{Answer, Class, Event, Holding, Sight, Survey, Use, Uses, Watched};
use cutover_machine::plan::{Authority, Lifecycle, ListBy, NullUse, VerifyKind};
use cutover_machine::state::Layout;
use cutover_machine::time::Stamp;

use crate::calls::Reach;
use crate::engine::{Learn, Sim, key};
use crate::kind::Beside;
use crate::script::Fate;
use crate::world::places::Content;
use crate::world::{Act, FOREIGN, Value};

impl Sim {
    /// What a target is to hold; `None`: a value for it is not there.
    fn layout(&self, layout: Layout, turned: bool) -> Option<Content> {
        let (new, old) = if turned { (self.old_key(), self.new_key()) } else { (self.new_key(), self.old_key()) };
        let settled = Content { key: Some(new?), ..Content::default() };
        match (layout, self.kind.truth.beside) {
            (Layout::Settled, _) | (_, Beside::Nothing) => Some(settled),
            (_, Beside::NewBeside) => Some(Content { key: Some(old?), new, previous: None }),
            (_, Beside::OldBeside) => Some(Content { key: new, new: None, previous: Some(old?) }),
        }
    }

    /// What every target holds, as far as it is this rotation's.
    pub fn holdings(&mut self) -> Vec<Holding> {
        let reads: Vec<Option<(Content, u32)>> = (0..self.world.targets.len()).map(|target| self.world.read(target)).collect();
        reads.into_iter().enumerate().map(|(place, read)| self.holding(place, read.map(|(content, _)| content))).collect()
    }

    fn holding(&self, place: usize, content: Option<Content>) -> Holding {
        let Some(content) = content else {
            return Holding { readable: false, during: false, settled: false, known: true };
        };
        let during = self.layout(Layout::During, false);
        let settled = self.layout(Layout::Settled, false);
        let mut known = vec![during, settled, Some(self.record.recorded[place])];
        if self.record.rotation.swapped {
            known.extend([self.layout(Layout::During, true), self.layout(Layout::Settled, true)]);
        }
        let is_known = |(field, value): (usize, &Option<Value>)| {
            value.is_none() || known.iter().flatten().any(|layout| layout.fields()[field] == *value)
        };
        Holding {
            readable: true,
            during: during.is_some_and(|during| during == content),
            settled: settled.is_some_and(|settled| settled == content),
            known: content.fields().iter().enumerate().all(is_known),
        }
    }

    /// The preflight.
    pub(crate) fn survey(&mut self, fate: Option<Fate>) -> (Event, Vec<Learn>) {
        let in_emergency = self.record.rotation.emergency.is_some();
        let fails = |why: &str| (Event::Surveyed(Err(why.into())), Vec::new());
        let mut readings: Vec<Option<Content>> = Vec::new();
        for target in 0..self.world.targets.len() {
            readings.push(self.world.read(target).map(|(content, _)| content));
        }
        let there: Vec<Value> = readings.iter().flatten().filter_map(|content| content.key).collect();
        let agree = there.windows(2).all(|two| two[0] == two[1]);
        let mut first = there.first().copied();
        let recorded = readings.iter().map(|content| content.unwrap_or_default()).collect();
        let current = self.policy.current;
        let drifted = self.policy.ours && current.is_some() && first != current;
        if !in_emergency {
            let now = self.world.now;
            let refused = matches!(fate, Some(Fate::Refused(_) | Fate::NeverArrives | Fate::ReplyLost | Fate::LandsLate(_)));
            if refused || readings.iter().any(Option::is_none) || !agree || drifted {
                return fails("something is not well");
            }
            if self.world.down.hooks > now || self.world.down.verifies > now {
                return fails("a hook or a verify does not answer");
            }
        }
        if first.is_none() && in_emergency {
            first = current;
        }
        let own = self.record.plan.provider.declares.authority == Authority::Own;
        if !own && self.world.down.credential > self.world.now && self.record.plan.provider.lifecycle != Lifecycle::Manual {
            return (Event::Denied("the credential is dead".into()), Vec::new());
        }
        let lists = self.record.plan.provider.declares.list != ListBy::None;
        if self.world.down.provider > self.world.now && !in_emergency {
            return fails("the provider does not answer");
        }
        let full = self.record.plan.provider.declares.max_live.filter(|_| lists && !self.record.plan.provider_ends_old());
        if !in_emergency && full.is_some_and(|cap| self.world.listed().len() >= cap as usize) {
            return fails("no room for another key");
        }
        let ours = first.is_some() && current == first && self.policy.ours;
        let old = first.map(|first| {
            let expires_at = self.world.keys.get(first).and_then(|key| key.expires).filter(|_| lists);
            cutover_machine::state::Key { expires_at: expires_at.map(|at| Stamp(at.0 + self.world.truth.skew)), ..named(first) }
        });
        let baseline = lists.then(|| self.world.listed());
        let learn =
            if self.record.rotation.mint.intents == 0 { vec![Learn::Survey(first, recorded, baseline)] } else { Vec::new() };
        let survey = Survey { old_is_sealed: old.is_some() && !there.is_empty(), old, old_is_ours: ours };
        (Event::Surveyed(Ok(survey)), learn)
    }

    /// One target is brought to a layout: read, compare, write what was read, read back.
    pub(crate) fn write(&mut self, target: u32, layout: Layout, fate: Option<Fate>) -> Event {
        let place = target as usize;
        let refused = |class| Event::Written(target, Reach::Refused(class).answer(()));
        match fate {
            Some(Fate::Refused(class)) => return refused(class),
            Some(Fate::Slow(span)) => self.world.pass(self.world.now.plus(span)),
            _ => {}
        }
        let Some((content, version)) = self.world.read(place) else { return refused(Class::Unsent) };
        let Some(wanted) = self.layout(layout, false) else {
            return Event::Written(target, Answer::Unknown("a value is missing".into()));
        };
        if self.record.rotation.emergency.is_none() && !self.holding(place, Some(content)).known {
            return Event::Foreign(target);
        }
        if content == wanted {
            return Event::Written(target, Answer::Done(()));
        }
        if std::mem::take(&mut self.world.targets[place].conflict) {
            let there = self.world.targets[place].content;
            self.world.meddle(place, there);
        }
        let reach = match fate {
            Some(Fate::NeverArrives | Fate::ReplyLost | Fate::LandsLate(_)) => Reach::Unknown,
            _ => Reach::Done,
        };
        self.act(Act::Write { target: place, before: version, content: wanted }, &reach, fate);
        if !matches!(reach, Reach::Done) {
            return Event::Written(target, reach.answer(()));
        }
        match self.world.read(place) {
            Some((content, _)) if content == wanted => Event::Written(target, Answer::Done(())),
            Some(_) => refused(Class::Exists),
            None => Event::Written(target, Answer::Unknown("not read back".into())),
        }
    }

    /// One hook.
    pub(crate) fn hook(&mut self, hook: u32, fate: Option<Fate>) -> Event {
        let reach = match fate {
            Some(Fate::Refused(class)) => Reach::Refused(class),
            Some(Fate::NeverArrives | Fate::ReplyLost | Fate::LandsLate(_)) => {
                self.world.pass(self.world.now.plus(cutover_machine::Span::seconds(5)));
                Reach::Unknown
            }
            _ if self.world.down.hooks > self.world.now => Reach::Refused(Class::Refused),
            _ => Reach::Done,
        };
        if let Some(Fate::Slow(span)) = fate {
            self.world.pass(self.world.now.plus(span));
        }
        self.act(Act::Deploy, &reach, fate);
        Event::Hooked(hook, reach.answer(()))
    }

    /// One poll.
    pub(crate) fn watch(&mut self, verifies: &[u32], uses: bool, fate: Option<Fate>) -> Event {
        let began = self.world.wall();
        let targets = self.holdings();
        let lost = matches!(fate, Some(Fate::Refused(_) | Fate::NeverArrives));
        let silent = lost || self.world.down.verifies > self.world.now;
        let seen = verifies.iter().filter_map(|place| {
            let verify = self.record.plan.verifies.get(*place as usize)?;
            let asked = matches!(verify.kind, VerifyKind::Consumer | VerifyKind::Command);
            asked.then(|| (*place, if silent { Sight::Unanswered } else { self.sight() }))
        });
        let verifies = seen.collect();
        let dead =
            self.record.plan.provider.declares.authority == Authority::Separate && self.world.down.credential > self.world.now;
        let untold = lost || dead || self.world.down.provider > self.world.now;
        let uses = (uses && !untold).then(|| Uses { new: self.told(self.new_key()), old: self.told(self.old_key()) });
        let skew = uses.as_ref().map(|_| self.world.skew());
        Event::Watched(Watched { began, targets, verifies, uses, skew })
    }

    /// What the consumers say: every one of them names the key that it calls with.
    fn sight(&self) -> Sight {
        let new = self.new_key();
        let seen = (0..self.world.apps.len()).filter(|app| self.world.apps[*app].is_seen());
        let mut names = seen.map(|app| self.world.works_with(app));
        if names.all(|name| name.is_some() && name == new) { Sight::Holds } else { Sight::Not }
    }

    fn told(&mut self, key: Option<Value>) -> Use {
        let null = self.record.plan.provider.declares.last_used.map(|told| told.null);
        let skew = self.world.skew();
        match key.filter(|key| *key < FOREIGN).and_then(|key| self.world.tells(key)) {
            Some(Some(at)) => Use::At(Stamp(at.0 - skew), None),
            Some(None) if null == Some(NullUse::Never) => Use::Never,
            _ => Use::Unknown,
        }
    }
}

/// A key as it is known by what stands in a target: a foreign value has no id.
fn named(value: Value) -> cutover_machine::state::Key {
    let known = key(value);
    if value < FOREIGN { known } else { cutover_machine::state::Key { id: None, ..known } }
}
