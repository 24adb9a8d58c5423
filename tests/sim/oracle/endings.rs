//! What must hold when a key ends, when an application is refused, and when a death is claimed.

use cutover_machine::Step;
use cutover_machine::emergency::EmergencyOrder;
use cutover_machine::state::Proof;
use cutover_machine::time::Span;

use super::sending::{by_hand, contents, new_key};
use super::{Oracle, is_exposed, must};
use crate::engine::{Record, Turned, number};
use crate::kind::{QUIET, Reads};
use crate::world::keys::{Cause, Maker};
use crate::world::{FOREIGN, Value, World};

impl Oracle {
    pub(super) fn ended(&mut self, key: usize, cause: Cause, down: &[usize], world: &World, record: &Record) -> Turned {
        if cause.is_ours() {
            self.was_ours(key, cause, world)?;
        }
        match cause {
            Cause::Revoked | Cause::SwitchedOff | Cause::Discarded | Cause::Cut => {
                self.taken_by_us(key, cause, down, world, record)
            }
            Cause::Evicted => self.evicted(key, down, world, record),
            Cause::Clock => self.ran_out(key, down, world, record),
            Cause::Hand => Ok(()),
        }
    }

    /// I5: by id, from our ledger, or adopted.
    fn was_ours(&self, key: usize, cause: Cause, world: &World) -> Turned {
        let ours = self.adopted.contains(&key)
            || match world.keys[key].maker {
                Maker::Us(intent) => intent > 0,
                Maker::Hand => true,
                Maker::Elder | Maker::Human => false,
            };
        must(ours, "I5 nothing that is not ours is ended", || format!("k{key} by {cause:?}"))
    }

    /// I2: a key in use is never ended by us without evidence.
    fn taken_by_us(&self, key: usize, cause: Cause, down: &[usize], world: &World, record: &Record) -> Turned {
        if self.emergency == Some(EmergencyOrder::CutFirst) || self.excuses.restored {
            return Ok(());
        }
        for app in down {
            let app = &world.apps[*app];
            let blind = self.excuses.blind || !is_exposed(&record.plan, record) || self.emergency.is_some();
            let silent = app.kind.every >= QUIET;
            let unseen = !app.is_seen() || record.plan.verifies.iter().all(|verify| is_partial(verify.kind));
            // A target with somebody else's value holds a deploy-first emergency; its order to cut stands all the same.
            let drifted = self.emergency.is_some() && self.excuses.meddled.is_some();
            // Where nothing shows the use, only the consumers that are asked are seen; and a restart that comes late is seen by quiet alone.
            let excused = drifted
                || self.excuses.wrong_word
                || self.excuses.stale
                || self.excuses.stepped
                || (unseen && (blind || silent));
            must(excused, "I2 no key in use is ended by us", || {
                format!("k{key} by {cause:?}: {:?} runs with {:?} only", app.kind, app.holds)
            })?;
        }
        Ok(())
    }

    /// A mint has ended a key in use.
    fn evicted(&self, key: usize, down: &[usize], world: &World, record: &Record) -> Turned {
        let mint = &record.rotation.mint;
        let at_once = mint.intent.as_ref().is_some_and(|intent| intent.grace == Span::ZERO);
        let ours = |key: &&crate::world::keys::Key| matches!(key.maker, Maker::Us(intent) if record.nonces.contains(&intent));
        let made = world.keys.iter().filter(ours).filter(|key| key.there).count();
        let excused = (at_once && made <= 1)
            || self.mint_was_ordered
            || self.emergency == Some(EmergencyOrder::CutFirst)
            || (self.emergency.is_some() && at_once)
            || self.excuses.restored
            || self.excuses.misnamed
            || by_hand(record);
        must(down.is_empty() || excused, "I2 no mint takes a key in use away", || {
            format!("k{key} was evicted by intent {} and {down:?} had no other", mint.intents)
        })
    }

    /// The provider's clock has ended a key in use: a person is awake since its first threshold.
    fn ran_out(&self, key: usize, down: &[usize], world: &World, record: &Record) -> Turned {
        let at_once = record.rotation.mint.intent.as_ref().is_some_and(|intent| intent.grace <= Span::minutes(15));
        // A key that a person made and could not hand in is that person's to watch.
        let unsaid = world.truth.grants.is_some() && record.rotation.old.as_ref().is_some_and(|old| old.expires_at.is_none());
        let unknown = unsaid || (by_hand(record) && record.rotation.new.is_none());
        let warned = self.alarms.warned || self.emergency.is_some() || at_once || unknown;
        let excused = self.excuses.was_down || self.excuses.stepped || self.excuses.restored || self.excuses.wrong_word;
        let apps = down.iter().all(|_| warned || excused || record.rotation.cutover_at.is_some());
        must(apps, "I10 alarm before expiry", || format!("k{key} ran out, {down:?} had no other and nobody was told"))
    }

    /// An application called with nothing that is accepted: not through what we wrote.
    pub(super) fn refused(&self, app: usize, with: &[(Value, Option<Cause>)], world: &World, record: &Record) -> Turned {
        let app = &world.apps[app];
        let foreign = with.iter().any(|(value, _)| *value >= FOREIGN);
        // An end has been judged when it came. What is left: a key that was never accepted, or not yet.
        let judged = with.iter().any(|(_, cause)| cause.is_some());
        let excused = judged
            || foreign
            || self.excuses.meddled.is_some()
            || self.emergency.is_some()
            || self.excuses.restored
            || self.excuses.lied
            || self.excuses.misnamed
            || self.excuses.stepped
            || self.excuses.wrong_word
            || matches!(app.kind.reads, Reads::Forgotten(_));
        // With the old key ended, though somewhere it is still accepted for a moment, waiting for the new one would not help.
        let ended = |first: Value| world.keys.get(first).is_some_and(|key| key.ended.is_some());
        let dead = record.first.is_some_and(|first| ended(first) || !world.accepts(first));
        must(excused || dead, "I1 what is written is accepted", || {
            let keys: Vec<_> = with.iter().map(|(value, _)| (value, world.keys.get(*value))).collect();
            format!("{:?} runs with {keys:?}", app.kind)
        })
    }

    /// We wrote a target: what it is to be used with lives.
    pub(super) fn written(&self, target: usize, world: &World, record: &Record) -> Turned {
        let place = &world.targets[target];
        let new = new_key(record);
        // Whether somebody else's value is accepted anywhere nobody here knows.
        let lives = new.is_some_and(|new| world.lives(new) || new >= FOREIGN);
        let hurt = new.and_then(|new| world.keys.get(new)?.ended).is_some_and(|(_, cause)| !cause.is_ours());
        let excused = hurt || self.excuses.restored || self.excuses.lied || self.excuses.misnamed || self.excuses.wrong_word;
        must(lives || excused || self.emergency.is_some(), "I1 nothing dead is written", || {
            format!("targets hold {:?}", contents(world))
        })?;
        let over = place.before.last().is_some_and(|before| before.values().any(|value| value >= FOREIGN));
        let allowed =
            self.excuses.adopted_targets || self.emergency.is_some() || self.excuses.restored || record.first >= Some(FOREIGN);
        must(!over || allowed, "P1 nothing of somebody else's is written over", || format!("target {target}"))
    }

    /// What the next state claims to be dead is dead.
    pub(super) fn claims(&self, before: &Record, step: &Step, world: &World) -> Turned {
        let (was, is) = (&before.rotation, &step.next);
        let new_proof = is.retire.dead.filter(|_| was.retire.dead.is_none());
        let old = is.old.as_ref().and_then(|old| number(&old.fingerprint));
        if let (Some(proof), Some(old)) = (new_proof, old) {
            self.is_dead(old, proof, world)?;
        }
        let known = was.emergency.iter().flat_map(|emergency| &emergency.cut);
        let known: Vec<_> = known.filter(|cut| cut.dead.is_some()).map(|cut| &cut.key.fingerprint).collect();
        for cut in is.emergency.iter().flat_map(|emergency| &emergency.cut).filter(|cut| !known.contains(&&cut.key.fingerprint))
        {
            let named = number(&cut.key.fingerprint).or_else(|| cut.key.id.as_deref().and_then(number));
            if let (Some(proof), Some(key)) = (cut.dead, named) {
                self.is_dead(key, proof, world)?;
            }
        }
        Ok(())
    }

    fn is_dead(&self, key: Value, proof: Proof, world: &World) -> Turned {
        let there = world.keys.get(key).is_some_and(|key| key.there);
        // That the mint ends it is declared; how late that is seen is declared too.
        let seen = if matches!(proof, Proof::AtMint | Proof::Said) { world.lives(key) } else { world.accepts(key) };
        let lies = match proof {
            Proof::Refused => false,
            Proof::Said => self.excuses.wrong_word,
            Proof::AtMint => self.excuses.lied || self.excuses.misnamed,
            Proof::Revoked => self.excuses.lied || self.excuses.misnamed || self.excuses.stepped,
            Proof::Expired => self.excuses.stepped || self.excuses.wrong_word,
        };
        let excused = lies || self.excuses.restored || !there;
        must(!seen || excused, "P2 what is called dead is dead", || format!("k{key} ({proof:?}) is still accepted"))
    }
}

/// A verify that one application of several can satisfy.
const fn is_partial(kind: cutover_machine::plan::VerifyKind) -> bool {
    matches!(kind, cutover_machine::plan::VerifyKind::LastUsed | cutover_machine::plan::VerifyKind::Confirm)
}
