//! What must hold before a call is sent.

use cutover_machine::emergency::EmergencyOrder;
use cutover_machine::event::Answer;
use cutover_machine::plan::{Authority, Lifecycle, ReRotate};
use cutover_machine::state::Phase;
use cutover_machine::time::{Span, Stamp};
use cutover_machine::{Effect, Now};

use super::{Oracle, must};
use crate::engine::{Record, Turned, number};
use crate::world::keys::Maker;
use crate::world::{FOREIGN, Value, World};

/// The calls that change something, or leave a trace that must be told from somebody else's.
const fn leaves_a_trace(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Mint
            | Effect::Replay
            | Effect::ProbeNew
            | Effect::LookByValue
            | Effect::Discard(_)
            | Effect::Write { .. }
            | Effect::Hook { .. }
            | Effect::Deactivate
            | Effect::Activate
            | Effect::Revoke
            | Effect::ProbeOld
            | Effect::Cut(_)
            | Effect::ProbeCut(_)
    )
}

impl Oracle {
    pub(super) fn sending(
        &mut self,
        effect: &Effect,
        flies: bool,
        guarded: bool,
        world: &World,
        record: &Record,
        now: Now,
    ) -> Turned {
        let label = effect.label();
        must(flies || !leaves_a_trace(effect), "I12 no call without a committed intent", || label.to_owned())?;
        let urgent = self.emergency.is_some();
        let wants_guard = match effect {
            Effect::Mint | Effect::Discard(_) => !urgent,
            Effect::Hook { .. } | Effect::Deactivate | Effect::Revoke => true,
            Effect::Cut(_) => self.emergency == Some(EmergencyOrder::DeployFirst),
            _ => false,
        };
        must(guarded || !wants_guard, "P1 the targets are read before every hook, mint and revoke", || label.to_owned())?;
        self.nothing_foreign(effect, urgent, world, record)?;
        self.not_over_and_over(effect, world.now)?;
        let ends = matches!(effect, Effect::Deactivate | Effect::Revoke | Effect::Discard(_) | Effect::Mint);
        must(!(now.frozen && ends && !urgent), "I14 a clock that stepped starts and ends nothing", || label.to_owned())?;
        match effect {
            Effect::Mint => self.within_window(record, now),
            Effect::Hook { hook, leg, .. } => {
                let open = self.open_hook.is_some_and(|(before, of, _)| (before, of) == (*hook, *leg));
                let repeatable = record.plan.hooks.get(*hook as usize).is_some_and(|plan| plan.repeatable);
                must(
                    !open || repeatable || self.excuses.restored,
                    "M8 a hook that may have run is not run again unasked",
                    || format!("hook {hook} of leg {leg}"),
                )?;
                self.deploying(world, record, now)
            }
            Effect::Deactivate | Effect::Revoke => self.ending(effect, world, record),
            Effect::Discard(id) => self.giving_up(number(id), world, record),
            Effect::ProbeOld | Effect::ProbeCut(_) => self.presenting(effect, record),
            Effect::Cut(place) => self.cutting(*place, world, record),
            _ => Ok(()),
        }
    }

    /// Nothing that counts on the targets is done while one of them holds what is somebody else's.
    fn nothing_foreign(&self, effect: &Effect, urgent: bool, world: &World, record: &Record) -> Turned {
        let counts =
            matches!(effect, Effect::Mint | Effect::Hook { .. } | Effect::Deactivate | Effect::Revoke | Effect::Discard(_));
        let excused = urgent || self.excuses.stale || self.excuses.adopted_targets || self.excuses.restored;
        if !counts || excused {
            return Ok(());
        }
        let known = |value: Value| record.recorded.iter().any(|before| before.values().any(|there| there == value));
        for (place, target) in world.targets.iter().enumerate().filter(|(place, _)| world.down.stores[*place] <= world.now) {
            let foreign = target.content.values().find(|value| *value >= FOREIGN && !known(*value));
            must(foreign.is_none(), "P1 nothing is done over somebody else's value", || {
                format!("{} with target {place} holding {:?}", effect.label(), target.content)
            })?;
        }
        Ok(())
    }

    /// M12: no call is made over and over without a pause.
    fn not_over_and_over(&mut self, effect: &Effect, now: Stamp) -> Turned {
        let (before, at, count) = &mut self.repeats;
        if before.as_ref() == Some(effect) && now.since(*at) < Span::seconds(2) {
            *count += 1;
        } else {
            *count = 0;
        }
        (*before, *at) = (Some(effect.clone()), now);
        must(*count < 9, "M12 no hot retry", || format!("{} ten times without a pause", effect.label()))
    }

    fn within_window(&self, record: &Record, now: Now) -> Turned {
        let opened = now.window <= now.at || self.emergency.is_some() || record.rotation.mint.intents > 1;
        must(opened, "P9 the window gates the mint", || String::from("a mint outside the window"))
    }

    /// A hook runs when every target holds the new key; at three quarters of the grace when some do.
    fn deploying(&self, world: &World, record: &Record, now: Now) -> Turned {
        let new = new_key(record);
        let holds = |content: crate::world::places::Content| content.values().any(|value| Some(value) == new);
        let all = world.targets.iter().all(|target| holds(target.content));
        let some = world.targets.iter().any(|target| holds(target.content));
        let late = self.alarms.passed(75, now.at) && some;
        let excused = self.excuses.stale || self.excuses.lied || self.excuses.restored || self.emergency.is_some();
        must(
            all || late || excused || world.down.stores.iter().any(|at| *at > world.now),
            "M8 a hook runs after every write",
            || format!("targets hold {:?}, the new key is {new:?}", contents(world)),
        )
    }

    /// The old key is about to be ended by us, without an emergency.
    fn ending(&mut self, effect: &Effect, world: &World, record: &Record) -> Turned {
        if record.rotation.retire.unused {
            let old = old_key(record);
            let stands = world.targets.iter().any(|target| target.content.values().any(|value| Some(value) == old));
            let held = world.apps.iter().any(|app| app.holds.iter().any(|value| Some(*value) == old));
            let excused = self.excuses.restored || self.excuses.wrong_word;
            return must(excused || !(stands || held), "I2 a key that stands somewhere is not taken for unused", || {
                format!("{old:?} stands in {:?}", contents(world))
            });
        }
        let relaxed = self.excuses.restored;
        let slack = self.excuses.slack;
        let lacks = self.book.lacks(record, slack);
        must(lacks.is_none() || relaxed, "I2 evidence before the end", || lacks.unwrap_or_default())?;
        let quiet = self.book.lacks_quiet(record, slack);
        must(quiet.is_none() || relaxed, "I2 quiet before the end", || quiet.unwrap_or_default())?;
        let word = self.book.lacks_word(record);
        must(word.is_none() || relaxed, "I2 a person's word where nothing shows the use", || word.unwrap_or_default())?;
        let new = new_key(record);
        let settled = world.targets.iter().all(|target| target.content.values().eq(new));
        let excused = relaxed || self.excuses.stale || world.down.stores.iter().any(|at| *at > world.now);
        must(settled || excused, "P1 the targets are settled before the end", || {
            format!("targets hold {:?}, the new key is {new:?}", contents(world))
        })?;
        self.soaked(effect, world, record, relaxed)
    }

    fn soaked(&mut self, effect: &Effect, world: &World, record: &Record, relaxed: bool) -> Turned {
        if *effect == Effect::Deactivate {
            self.switched_off = Some(world.now);
            return Ok(());
        }
        let Some(off) = self.switched_off.filter(|_| record.plan.provider.verbs.deactivate) else { return Ok(()) };
        let soaked = world.now.since(off).plus(self.excuses.slack) >= record.plan.soak;
        must(soaked || relaxed, "P2 soak between deactivate and revoke", || world.now.since(off).to_string())
    }

    /// An orphan is given up only if it is ours, stands nowhere and was never used.
    fn giving_up(&self, key: Option<Value>, world: &World, record: &Record) -> Turned {
        let Some(found) = key.and_then(|key| world.keys.get(key)) else { return Ok(()) };
        let ours = matches!(found.maker, Maker::Us(1..));
        let stands = world.targets.iter().any(|target| target.content.values().any(|value| Some(value) == key));
        let held = world.apps.iter().any(|app| app.holds.iter().any(|value| Some(*value) == key));
        let ok = ours && !stands && !held && key != new_key(record).filter(|_| record.rotation.new.is_some());
        // What is to be cut off at once, with or without a new key, may go this way too.
        let cut = record.rotation.emergency.as_ref().filter(|emergency| emergency.at_once);
        let cut = cut.is_some_and(|emergency| {
            emergency.cut.iter().any(|cut| cut.ours && key.is_some() && cut.key.id.as_deref().and_then(number) == key)
        });
        must(ok || cut || self.excuses.restored, "I5 an orphan is given up only if nobody uses it", || {
            format!("{key:?} {found:?}")
        })
    }

    /// A key that may be dead is presented only where that is allowed.
    fn presenting(&self, effect: &Effect, record: &Record) -> Turned {
        let declares = &record.plan.provider.declares;
        must(declares.negative_probe, "P5 a dead key is not presented where that is forbidden", || effect.label().to_owned())?;
        let destroys = declares.re_rotate == ReRotate::Destroys && record.rotation.phase == Phase::Doubt;
        must(!destroys, "P4 after a mint in doubt the old key is not presented where that destroys", || {
            effect.label().to_owned()
        })
    }

    /// One key of an emergency is about to be cut off.
    fn cutting(&self, place: u32, world: &World, record: &Record) -> Turned {
        let rotation = &record.rotation;
        let cut = rotation.emergency.as_ref().and_then(|emergency| emergency.cut.get(place as usize));
        let key = cut.and_then(|cut| cut.key.id.as_deref()).and_then(number);
        let new = rotation.new.as_ref().and_then(|new| number(&new.fingerprint));
        must(key != new || new.is_none(), "P10 the new key is not cut off", || format!("{key:?}"))?;
        match self.emergency {
            Some(EmergencyOrder::DeployFirst) if !self.excuses.restored => {
                let lacks = self.book.lacks_in_emergency(record, self.excuses.slack);
                must(lacks.is_none() || self.excuses.stepped, "P10 deploy-first cuts after the evidence", || {
                    lacks.unwrap_or_default()
                })
            }
            Some(EmergencyOrder::CutFirst) => {
                // The new key is in hand, or none could be made and the account has a credential of its own.
                let own = record.plan.provider.declares.authority == Authority::Own;
                let at_once = rotation.emergency.as_ref().is_some_and(|emergency| emergency.at_once);
                let _ = world;
                must(
                    new.is_some() || rotation.retire.unused || (at_once && !own),
                    "P10 cut-first cuts with the new key in hand",
                    || format!("{:?}", rotation.phase),
                )
            }
            _ => Ok(()),
        }
    }
}

/// The key that is to be in use.
pub(super) const fn new_key(record: &Record) -> Option<Value> {
    if record.rotation.swapped { record.first } else { record.made }
}

/// The key that is to go.
pub(super) const fn old_key(record: &Record) -> Option<Value> {
    if record.rotation.swapped { record.made } else { record.first }
}

pub(super) fn contents(world: &World) -> Vec<crate::world::places::Content> {
    world.targets.iter().map(|target| target.content).collect()
}

/// Whether a key is made by a person.
pub(super) fn by_hand(record: &Record) -> bool {
    record.plan.provider.lifecycle == Lifecycle::Manual
}

/// Whether an answer settles something.
pub(super) const fn is_definite<T>(answer: &Answer<T>) -> bool {
    matches!(answer, Answer::Done(_))
}
