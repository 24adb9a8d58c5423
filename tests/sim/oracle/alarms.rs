//! What is told, when, and with what it is committed.

use cutover_machine::event::Fact;
use cutover_machine::state::Rotation;
use cutover_machine::time::{Span, Stamp};
use cutover_machine::{Due, Now, Question, Step};

use super::sending::by_hand;
use super::{Excuses, must};
use crate::engine::{Record, Turned, number};
use crate::world::World;

/// The grace as it must be watched.
#[derive(Clone, Debug)]
struct Watch {
    from: Stamp,
    end: Stamp,
    told: u8,
    ended: bool,
}

/// What was told in this rotation, and what must be. By our clock.
#[derive(Clone, Debug, Default)]
pub struct Alarms {
    watch: Option<Watch>,
    over: bool,
    /// A person was woken for the grace.
    pub warned: bool,
    told_at: Option<Stamp>,
}

impl Alarms {
    /// Whether so much of the grace has passed.
    #[must_use]
    pub fn passed(&self, percent: i64, at: Stamp) -> bool {
        self.watch.as_ref().is_some_and(|watch| at >= watch.from.plus(watch.end.since(watch.from).percent(percent)))
    }

    /// The next time at which somebody must be told, and the last threshold before it that was not.
    fn next(&self, thresholds: &[u8]) -> Option<Stamp> {
        let watch = self.watch.as_ref().filter(|watch| !self.over && !watch.ended)?;
        let open = thresholds.iter().filter(|percent| **percent > watch.told);
        let times = open.map(|percent| watch.from.plus(watch.end.since(watch.from).percent(i64::from(*percent))));
        Some(times.chain([watch.end]).min().unwrap_or(watch.end))
    }

    /// What is due does not sleep over an alarm, and asks nobody who was not told.
    pub(super) fn due(&mut self, due: &Due, record: &Record, wall: Stamp, excuses: &Excuses) -> Turned {
        // What the provider says in its own time cannot be told in ours while our clock is wrong: the grace that was asked for counts then.
        let next = self.next(&record.plan.thresholds).filter(|_| !excuses.restored && !excuses.stepped);
        let until = match due {
            Due::Sleep(until) | Due::Ask(_, until) => Some(*until),
            Due::Call(_) => Some(wall),
            Due::Tell | Due::Rest => None,
        };
        if let (Some(next), Some(until)) = (next, until) {
            must(until <= next.max(wall) && next > wall, "I10 no threshold is slept over", || {
                format!("{next:?} must be told, and what is due is {due:?} at {wall:?}")
            })?;
        }
        let flying = matches!(record.rotation.call, cutover_machine::state::Call::Flying { .. });
        must(!flying || !matches!(due, Due::Call(_)), "I8 one call at a time", || format!("{due:?}"))?;
        if let Due::Ask(question, _) = due {
            let told = self.told_at.is_some_and(|at| wall.since(at) <= Span::DAY.plus(Span::HOUR));
            must(told || excuses.restored || excuses.stepped, "I13 who waits for a person has told one", || {
                format!("{question:?}")
            })?;
        }
        Ok(())
    }

    /// A step and what is told of it.
    pub(super) fn stepped(&mut self, before: &Record, step: &Step, world: &World, now: Now, excuses: &Excuses) -> Turned {
        let (was, is) = (&before.rotation, &step.next);
        let held = |rotation: &Rotation| rotation.held.as_ref().map(|held| held.why.label());
        let newly = held(is).is_some() && held(was) != held(is);
        let told = step.facts.iter().any(|fact| matches!(fact, Fact::Held { .. }));
        must(!newly || told, "I9 the alert is committed with the hold", || format!("{:?}", is.held))?;
        let ordered = step.facts.iter().any(|fact| matches!(fact, Fact::Ordered { .. }));
        let released = held(was).is_some() && held(is).is_none() && !ordered;
        let recovered = step.facts.iter().any(|fact| matches!(fact, Fact::Recovered { .. }));
        must(!released || recovered || newly, "I9 the recovery is told", || format!("{:?}", was.held))?;
        let doubt = |rotation: &Rotation| rotation.phase == cutover_machine::state::Phase::Doubt;
        let said =
            step.facts.iter().any(|fact| matches!(fact, Fact::InDoubt { .. } | Fact::Held { .. } | Fact::Ordered { .. }));
        let replaying =
            matches!(was.call, cutover_machine::state::Call::Flying { effect: cutover_machine::Effect::Replay, .. });
        must(!doubt(is) || doubt(was) || said || replaying, "I4 a doubt is told at once", || format!("{:?}", step.facts))?;
        for fact in &step.facts {
            self.learn(fact, before, step, now.at);
        }
        self.follows_grace(before, step, world, excuses)
    }

    fn learn(&mut self, fact: &Fact, before: &Record, step: &Step, at: Stamp) {
        match fact {
            Fact::Held { .. } | Fact::StillHeld { .. } => self.told_at = Some(at),
            Fact::Waiting { question } if *question != Question::NoEvidence => self.told_at = Some(at),
            Fact::MintIntended { .. }
                if before.rotation.old.is_some() && self.watch.is_none() && step.next.retire.dead.is_none() =>
            {
                let grace = step.next.mint.intent.as_ref().map_or(before.plan.grace, |intent| intent.grace);
                let end = at.plus(grace.min(before.plan.shortest_grace));
                self.watch = Some(Watch { from: at, end, told: 0, ended: false });
                self.over = false;
            }
            Fact::Minted { old_expires_at, .. } => {
                let skew = step.next.retire.provider_skew.unwrap_or(0);
                if by_hand(before) && before.rotation.old.is_some() {
                    let end = old_expires_at.unwrap_or_else(|| at.plus(before.plan.grace)).max(at);
                    self.watch = Some(Watch { from: at, end, told: 0, ended: false });
                } else if let (Some(watch), Some(told)) = (&mut self.watch, old_expires_at) {
                    watch.end = watch.end.min(Stamp(told.0 - skew));
                }
            }
            Fact::GraceEnding { percent, .. } => {
                self.warned = true;
                if let Some(watch) = &mut self.watch {
                    watch.told = watch.told.max(*percent);
                }
            }
            Fact::GraceEnded { .. } => {
                self.warned = true;
                if let Some(watch) = &mut self.watch {
                    watch.ended = true;
                }
            }
            Fact::Cutover | Fact::OldDead { .. } | Fact::Closed { .. } => self.over = true,
            Fact::SetBack { .. } => self.over = step.next.cutover_at.is_some() || step.next.retire.dead.is_some(),
            _ => {}
        }
    }

    /// The grace is watched as long as the old key may be counted on, and never believed to be longer than it is.
    fn follows_grace(&mut self, before: &Record, step: &Step, world: &World, excuses: &Excuses) -> Turned {
        let is = &step.next;
        if is.swapped != before.rotation.swapped || is.mint.superseded != before.rotation.mint.superseded {
            self.watch = None;
        }
        let old = is.old.as_ref().and_then(|old| number(&old.fingerprint)).and_then(|old| world.keys.get(old));
        let excused =
            excuses.restored || excuses.stepped || excuses.misnamed || excuses.lied || is.mint.lost || by_hand(before);
        // What was granted is known once the provider has said it.
        let unsaid = world.truth.grants.is_some() && is.old.as_ref().is_some_and(|old| old.expires_at.is_none());
        let excused = excused || unsaid;
        let clocked = before.plan.provider_ends_old() && !is.swapped;
        let runs = old.filter(|old| clocked && old.ended.is_none()).and_then(|old| old.expires);
        match (&is.grace, self.watch.as_mut()) {
            (None, Some(_)) => {
                // Disarmed: only where no key was made that started the old one's end.
                let landing = world.landings.iter().any(|(_, act)| matches!(act, crate::world::Act::Mint { .. }));
                let disarmed = runs.is_none() && !landing;
                self.watch = None;
                must(disarmed || excused, "I10 the grace is watched until the old key is dead", || {
                    format!("disarmed in {:?} while the old key ends at {runs:?}", is.phase)
                })
            }
            (Some(grace), Some(watch)) => {
                // A mint that took a lost one's place may have ended the old key already: then it is over at once.
                watch.end = watch.end.min(grace.end);
                let latest = runs.map(|at| Stamp(at.0 + world.step).plus(Span::seconds(3)));
                must(
                    excused || latest.is_none_or(|at| grace.end <= at),
                    "I10 the grace is never believed longer than it is",
                    || format!("believed until {:?}, it ends at {runs:?}", grace.end),
                )?;
                must(excuses.stepped || excuses.restored || grace.end <= watch.end, "I10 the earlier end counts", || {
                    format!("{grace:?}, {watch:?}")
                })
            }
            _ => Ok(()),
        }
    }
}
