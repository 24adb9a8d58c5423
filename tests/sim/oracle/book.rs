//! What evidence there is that the consumers use the new key, worked out from the polls alone.

use cutover_machine::event::{Sight, Use, Watched};
use cutover_machine::plan::{Plan, VerifyKind};
use cutover_machine::time::{Span, Stamp};

use super::is_exposed;
use crate::engine::Record;
use crate::world::World;

/// A run of polls that hold.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    since: Option<Stamp>,
    last: Stamp,
}

/// What was seen since the last write, redeploy or meddling. In true time.
#[derive(Clone, Debug)]
pub struct Book {
    since: Stamp,
    runs: Vec<Run>,
    new_used: bool,
    quiet_from: Stamp,
    quiet_to: Option<Stamp>,
    visible: bool,
    answered: bool,
    /// Our own probe of the new key.
    pub probed: Stamp,
    /// A person's `confirm`.
    pub confirmed: Option<Stamp>,
    /// A person's `confirm --retire`.
    pub confirmed_retire: Option<Stamp>,
}

impl Book {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(plan: &Plan, now: Stamp) -> Self {
        Self {
            since: now,
            runs: vec![Run::default(); plan.verifies.len()],
            new_used: false,
            quiet_from: now,
            quiet_to: None,
            visible: false,
            answered: false,
            probed: Stamp(0),
            confirmed: None,
            confirmed_retire: None,
        }
    }

    /// Whatever was seen before counts no more.
    pub fn anew(&mut self, now: Stamp) {
        self.since = now;
        self.runs.fill(Run::default());
        self.new_used = false;
        self.quiet_from = now;
        self.quiet_to = None;
        self.visible = false;
        self.answered = false;
    }

    /// A crash forgets polls that were not committed; the old run may be continued, so nothing is taken away here but the claim to have
    /// been the last.
    pub const fn forget_polls(&mut self) {}

    /// One poll.
    pub fn polled(&mut self, watched: &Watched, world: &World, plan: &Plan) {
        let now = world.now;
        let _ = plan;
        for (place, sight) in &watched.verifies {
            let Some(run) = self.runs.get_mut(*place as usize) else { continue };
            run.last = now;
            run.since = match sight {
                Sight::Holds => run.since.or(Some(now)),
                _ => None,
            };
        }
        let Some(uses) = &watched.uses else { return };
        self.answered = true;
        // No use is yet to come: what was told before a step of the clock and is read after it would seem to.
        let by_true_clock = |at: Stamp| Stamp(at.0 + world.skew() - world.truth.skew).min(now);
        if let Use::At(at, _) = &uses.new {
            self.new_used |= by_true_clock(*at) > self.since.max(self.probed);
        }
        match &uses.old {
            Use::Unknown => self.quiet_to = None,
            Use::Never => {
                self.visible = true;
                self.quiet_to = Some(now);
            }
            Use::At(at, _) => {
                self.visible = true;
                self.quiet_from = self.quiet_from.max(by_true_clock(*at));
                self.quiet_to = Some(now);
            }
        }
    }

    /// What is missing before a key may be ended; `None`: nothing.
    #[must_use]
    pub fn lacks(&self, record: &Record, slack: Span) -> Option<String> {
        let plan = &record.plan;
        for (place, verify) in plan.verifies.iter().enumerate() {
            let run = self.runs.get(place).copied().unwrap_or_default();
            let held = run.since.is_some_and(|since| run.last.since(since).plus(slack) >= verify.hold_for);
            let ok = match verify.kind {
                VerifyKind::Consumer | VerifyKind::Command => held,
                VerifyKind::LastUsed => self.new_used,
                VerifyKind::Confirm => self.said(),
            };
            if !ok {
                return Some(format!("verify {place} ({:?}) has not held since the last write and redeploy", verify.kind));
            }
        }
        None
    }

    /// A person's word since the last write.
    fn said(&self) -> bool {
        let after = |at: Option<Stamp>| at.is_some_and(|at| at >= self.since);
        after(self.confirmed) || after(self.confirmed_retire)
    }

    /// The same for an emergency that deploys first: a person's word is not asked for a second time.
    #[must_use]
    pub fn lacks_in_emergency(&self, record: &Record, slack: Span) -> Option<String> {
        let asked = Self { confirmed: self.confirmed.map(|at| at.max(self.since)), ..self.clone() };
        asked.lacks(record, slack)
    }

    /// What is missing of the second fact, that the old key is quiet; `None`: nothing.
    #[must_use]
    pub fn lacks_quiet(&self, record: &Record, slack: Span) -> Option<String> {
        let plan = &record.plan;
        let told = plan.provider.declares.last_used.filter(|_| is_exposed(plan, record))?;
        if !self.answered {
            return Some(String::from("the last uses were never told since the last redeploy"));
        }
        let said = self.quiet_to.is_none() && self.confirmed_retire.is_some_and(|at| at >= self.since);
        if !self.visible || said {
            return None;
        }
        let wanted = plan.quiet.plus(told.lag).plus(told.granularity);
        let seen = self.quiet_to.map_or(Span::ZERO, |to| to.since(self.quiet_from));
        (seen.plus(slack) < wanted).then(|| format!("the old key was seen quiet for {seen} of {wanted}"))
    }

    /// What is missing of a person's word, where only that can tell; `None`: nothing.
    #[must_use]
    pub fn lacks_word(&self, record: &Record) -> Option<String> {
        let plan = &record.plan;
        let seen = is_exposed(plan, record) && self.visible;
        let by_word = plan.verifies.iter().any(|verify| verify.kind == VerifyKind::Confirm);
        let wanted = by_word || (!seen && !plan.provider.verbs.deactivate);
        let said = self.confirmed_retire.is_some_and(|at| at >= self.since);
        (wanted && !said).then(|| String::from("nothing shows the old key's use and nobody said `confirm --retire`"))
    }
}
