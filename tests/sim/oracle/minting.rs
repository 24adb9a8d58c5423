//! One mint per intent, and no further intent while nobody knows what became of the last.

use cutover_machine::emergency::EmergencyOrder;
use cutover_machine::event::{Answer, Class, Event};
use cutover_machine::plan::ReRotate;

use super::sending::is_definite;
use super::{Oracle, must};
use crate::engine::{Record, Turned};
use crate::world::keys::Maker;
use crate::world::{Act, Value, World};

impl Oracle {
    /// A mint is about to be sent.
    pub(super) fn minting(&mut self, world: &World, record: &Record) -> Turned {
        let intent = record.rotation.mint.intents;
        must(intent > self.sent, "I4 one call per intent", || format!("intent {intent} was sent already"))?;
        self.sent = intent;
        let unnoticed = self.excuses.unnoticed_step();
        let may_land = world.landings.iter().any(|(_, act)| matches!(act, Act::Mint { .. }));
        let cut_first = self.emergency == Some(EmergencyOrder::CutFirst);
        // An emergency goes on by a clock that has stepped, and so may take a call's deadline for passed.
        let urgent = self.emergency.is_some() && self.excuses.stepped;
        must(
            !may_land || self.excuses.restored || unnoticed || urgent,
            "I4 nothing is decided before the first call's deadline",
            || String::from("an earlier mint can still land"),
        )?;
        let allowed = self.excuses.mint_ordered || cut_first || self.excuses.restored || self.excuses.misnamed || unnoticed;
        let harmless = record.plan.provider.declares.re_rotate == ReRotate::KeepsAll;
        if self.unresolved && !allowed && !harmless {
            must(self.looked, "I4 a mint in doubt is looked up first", || String::from("no look since the mint in doubt"))?;
            let unknown = self.unknown_alive(world, record);
            let dead = record.first.is_none_or(|first| !world.accepts(first));
            must(unknown.is_empty() || dead, "I4 no second mint beside a key that nobody has found", || {
                format!("{unknown:?} live and are not known")
            })?;
        }
        self.mint_was_ordered |= std::mem::take(&mut self.excuses.mint_ordered);
        self.unresolved = true;
        self.looked = false;
        self.orphans = 0;
        Ok(())
    }

    /// Keys of this history's mints that live, that the rotation does not know and nobody was told of.
    fn unknown_alive(&self, world: &World, record: &Record) -> Vec<Value> {
        let known = |key: &Value| Some(*key) == record.first || Some(*key) == record.made || Some(*key) == record.asked;
        let ours = |key: &Value| match world.keys[*key].maker {
            Maker::Us(intent) => record.nonces.contains(&intent),
            _ => false,
        };
        (0..world.keys.len()).filter(|key| world.lives(*key) && ours(key) && !known(key)).collect()
    }

    /// What an outcome says of the last mint.
    pub(super) fn learn_of_mint(&mut self, event: &Event, record: &Record) {
        match event {
            Event::Replied(Answer::Refused(refused)) if !self.looking(record) && refused.class != Class::Exists => {
                self.unresolved = false;
            }
            Event::Read(Answer::Done(minted)) if minted.fresh => self.unresolved = false,
            Event::Found(Answer::Done(Some(_))) => self.unresolved = false,
            Event::Found(Answer::Done(None)) => self.looked = true,
            Event::Listed(Answer::Done(listed)) => {
                self.looked = true;
                self.orphans = listed.orphans.len() + listed.candidates.len();
            }
            Event::Probed(answer) if is_definite(answer) && record.rotation.new.is_none() => self.looked = true,
            _ => {}
        }
    }

    /// The rotation looks what became of a mint: a refusal now says nothing about the first call.
    const fn looking(&self, record: &Record) -> bool {
        matches!(record.rotation.call, cutover_machine::state::Call::Flying { effect: cutover_machine::Effect::Replay, .. })
    }
}
