//! Reading and writing the targets of one rotation.

use std::collections::{BTreeMap, BTreeSet};

use cutover_api::{Change, Class, Fingerprint, Outcome, Reading, Secret};
use cutover_machine::event::{Answer, Event, Holding};
use cutover_machine::state::Layout;

use super::answer::answer;
use super::plugins::Plugins;
use super::snapshot::{Record, Snapshot, TargetTable};
use super::values::{Values, own_fields, render};

/// What is at hand for one rotation's targets.
#[derive(Clone, Copy)]
pub struct Targets<'a> {
    /// The rotation's id.
    pub rotation: &'a str,
    /// Its plan.
    pub snapshot: &'a Snapshot,
    /// Its record.
    pub record: &'a Record,
    /// Its plugins.
    pub plugins: &'a Plugins,
    /// Its values.
    pub values: &'a Values,
}

/// The fields of one target in both layouts.
struct Layouts {
    during: BTreeMap<String, Secret>,
    settled: BTreeMap<String, Secret>,
}

impl Targets<'_> {
    /// What every target holds now.
    pub async fn holdings(&self) -> Vec<Holding> {
        let mut holdings = Vec::with_capacity(self.snapshot.targets.len());
        for (place, target) in self.snapshot.targets.iter().enumerate() {
            holdings.push(match self.read(target).await {
                Ok(Outcome::Done(reading)) => self.holding(place, target, &reading),
                _ => Holding { readable: false, during: false, settled: false, known: true },
            });
        }
        holdings
    }

    /// The fingerprints of what stands in every target now; of what was recorded before, where one cannot be read.
    pub async fn recorded(&self) -> Vec<BTreeMap<String, String>> {
        let mut recorded = Vec::new();
        for (place, target) in self.snapshot.targets.iter().enumerate() {
            let before = self.record.recorded.get(place).cloned().unwrap_or_default();
            recorded.push(match self.read(target).await {
                Ok(Outcome::Done(reading)) => fingerprints(&reading),
                _ => before,
            });
        }
        recorded
    }

    async fn read(&self, target: &TargetTable) -> Result<Outcome<Reading>, String> {
        let store = self.plugins.stores.get(&target.store).ok_or("its store is gone")?;
        Ok(store.read(&target.spec, &own_fields(target)).await)
    }

    fn layouts(&self, target: &TargetTable) -> Result<Layouts, String> {
        // Before the mint there is no new key, and after it there may be no old one: what cannot be made matches nothing.
        let make = |layout| render(target, layout, self.snapshot, self.record, self.values, self.rotation);
        let settled = make(Layout::Settled).map_err(|wrong| format!("field {}: {}", wrong.field, wrong.detail))?;
        let during = make(Layout::During).unwrap_or_default();
        Ok(Layouts { during, settled })
    }

    /// The layouts with the roles as they were before `abandon` swapped them: what was staged until then is this rotation's too.
    fn turned(&self, target: &TargetTable) -> Vec<BTreeMap<String, Secret>> {
        if !self.record.machine.swapped {
            return Vec::new();
        }
        let mut record = self.record.clone();
        record.machine.swapped = false;
        let make = |layout| render(target, layout, self.snapshot, &record, self.values, self.rotation).ok();
        [Layout::During, Layout::Settled].into_iter().filter_map(make).collect()
    }

    fn holding(&self, place: usize, target: &TargetTable, reading: &Reading) -> Holding {
        let layouts = self.layouts(target).unwrap_or(Layouts { during: BTreeMap::new(), settled: BTreeMap::new() });
        let recorded = self.record.recorded.get(place);
        let turned = self.turned(target);
        let known = reading.fields.iter().all(|(field, value)| {
            let same = |layout: &BTreeMap<String, Secret>| layout.get(field).is_some_and(|wanted| wanted.same_as(value));
            let before = recorded.and_then(|fields| fields.get(field)).is_some_and(|print| *print == value.fingerprint().0);
            same(&layouts.during) || same(&layouts.settled) || turned.iter().any(same) || before
        });
        Holding {
            readable: true,
            during: holds(&layouts.during, &BTreeSet::new(), reading),
            settled: holds(&layouts.settled, &only_during(target), reading),
            known,
        }
    }

    /// Brings one target to a layout: read, compare, write by compare-and-set, read back.
    pub async fn write(&self, place: u32, layout: Layout) -> Event {
        let Some(target) = self.snapshot.targets.get(place as usize) else {
            return Event::Written(place, Answer::Unknown(String::from("the plan has no such target")));
        };
        match self.bring(place, target, layout).await {
            Ok(Some(outcome)) => Event::Written(place, answer(outcome)),
            Ok(None) => Event::Foreign(place),
            Err(detail) => Event::Written(place, Answer::Unknown(detail)),
        }
    }

    /// `None` = a foreign value stands there.
    async fn bring(&self, place: u32, target: &TargetTable, layout: Layout) -> Result<Option<Outcome<()>>, String> {
        let store = self.plugins.stores.get(&target.store).ok_or("its store is gone")?;
        let layouts = self.layouts(target)?;
        let (wanted, unwanted) = match layout {
            Layout::During => (&layouts.during, BTreeSet::new()),
            Layout::Settled => (&layouts.settled, only_during(target)),
        };
        let reading = match self.read(target).await? {
            Outcome::Done(reading) => reading,
            Outcome::Refused(refusal) => return Ok(Some(Outcome::Refused(refusal))),
            Outcome::Unknown(cause) => return Ok(Some(Outcome::Unknown(cause))),
        };
        // An emergency writes over whatever stands there.
        if self.record.machine.emergency.is_none() && !self.holding(place as usize, target, &reading).known {
            return Ok(None);
        }
        if holds(wanted, &unwanted, &reading) {
            return Ok(Some(Outcome::Done(())));
        }
        let change = Change {
            set: wanted.iter().map(|(field, value)| (field.clone(), value)).collect(),
            remove: unwanted.clone(),
            expected: reading.version.clone(),
            rotation: self.record.intent.as_ref().map_or_else(|| self.rotation.to_owned(), |intent| intent.uuid.clone()),
        };
        match store.write(&target.spec, change).await {
            Outcome::Done(_) => {}
            Outcome::Refused(refusal) => return Ok(Some(Outcome::Refused(refusal))),
            Outcome::Unknown(cause) => return Ok(Some(Outcome::Unknown(cause))),
        }
        Ok(Some(match self.read(target).await? {
            Outcome::Done(reading) if holds(wanted, &unwanted, &reading) => Outcome::Done(()),
            Outcome::Done(_) => Outcome::Refused(
                cutover_api::Refusal::new(Class::Exists, "read-back").hint("it does not hold what was just written"),
            ),
            other => other.map(|_| ()),
        }))
    }
}

/// Fields that stand only while both keys live.
fn only_during(target: &TargetTable) -> BTreeSet<String> {
    let during = target.during.iter().flat_map(BTreeMap::keys);
    during.filter(|field| !target.fields.contains_key(*field)).cloned().collect()
}

fn holds(wanted: &BTreeMap<String, Secret>, unwanted: &BTreeSet<String>, reading: &Reading) -> bool {
    !wanted.is_empty()
        && wanted.iter().all(|(field, value)| reading.fields.get(field).is_some_and(|there| there.same_as(value)))
        && unwanted.iter().all(|field| !reading.fields.contains_key(field))
}

/// The fingerprints of what stands at a target, to know it again.
#[must_use]
pub fn fingerprints(reading: &Reading) -> BTreeMap<String, String> {
    let prints = reading.fields.iter().map(|(field, value)| {
        let Fingerprint(print) = value.fingerprint();
        (field.clone(), print)
    });
    prints.collect()
}
