//! The kinds of world: what a definition declares, what the provider, the stores and the applications really do, and the policy.

use cutover_machine::plan::{
    Authority, Declares, GraceOffer, HookPlan, Idempotency, LastUsed, Lifecycle, ListBy, NullUse, Plan, ProviderFacts,
    ReRotate, TargetPlan, Verbs, VerifyKind, VerifyPlan,
};
use cutover_machine::time::Span;

use crate::dice::Dice;

/// How a provider replaces a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// A new key beside the old one; we revoke the old one.
    Overlap,
    /// The same, with a switch to turn a key off and on again before it is revoked.
    Switched,
    /// The mint starts the provider's clock: a fixed grace.
    Fixed,
    /// The mint starts the provider's clock: one of several graces; it can be revoked earlier.
    Chosen,
    /// The mint ends the old key at once.
    Instant,
    /// We choose the value; the provider's clock ends the old one.
    Set,
    /// A person makes the key and ends the old one.
    Manual,
    /// A person makes the key; the dashboard starts the provider's clock.
    ManualClock,
}

/// Every model.
pub const MODELS: [Model; 8] = [
    Model::Overlap,
    Model::Switched,
    Model::Fixed,
    Model::Chosen,
    Model::Instant,
    Model::Set,
    Model::Manual,
    Model::ManualClock,
];
/// Every answer to a second mint.
pub const RE_ROTATES: [ReRotate; 5] =
    [ReRotate::KeepsAll, ReRotate::DropsOlder, ReRotate::Refused, ReRotate::Idempotent, ReRotate::Destroys];
/// Every list.
pub const LISTS: [ListBy; 3] = [ListBy::Name, ListBy::Time, ListBy::None];
/// Every way of telling the last use.
pub const TOLD: [Told; 4] = [Told::Exact, Told::Lagging, Told::Lying, Told::Absent];

/// How the provider tells a key's last use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// At once, to the granularity.
    Exact,
    /// As late as it declares.
    Lagging,
    /// It forgets uses: nothing can be done about that, and it is said in the documents.
    Lying,
    /// Not at all.
    Absent,
}

/// What stands in a target while both keys live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// The new key at once in the place of the old one.
    Nothing,
    /// The old key stays, the new one stands beside it.
    NewBeside,
    /// The new key takes its place, the old one stands beside it.
    OldBeside,
}

/// How an application comes to its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Anew at every redeploy; the one field.
    AtDeploy,
    /// Some time after the redeploy.
    Late(Span),
    /// At each use.
    AtUse,
    /// Nobody thought of it: no redeploy reaches it and no verify asks it. It is found and mended after so long.
    Forgotten(Span),
}

/// One application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppKind {
    /// The target it reads.
    pub target: usize,
    /// How.
    pub reads: Reads,
    /// It falls back to the key beside where one is refused; otherwise it knows one field only.
    pub falls_back: bool,
    /// The pause between two uses.
    pub every: Span,
}

/// What really is, whatever is declared.
#[derive(Clone, Debug)]
pub struct Truth {
    /// The model.
    pub model: Model,
    /// No key is in use when it begins.
    pub first: bool,
    /// The key in use when it begins was made by cutover or adopted.
    pub ours: bool,
    /// The applications.
    pub apps: Vec<AppKind>,
    /// How last use is told.
    pub told: Told,
    /// What stands in the targets while both keys live.
    pub beside: Beside,
    /// The provider's clock minus the true time, in milliseconds.
    pub skew: i64,
    /// A new key is accepted so late.
    pub birth: Span,
    /// A dead key is refused so late.
    pub death: Span,
    /// A new row is listed so late.
    pub listed: Span,
    /// The policy's window: closed from this hour of the day for so many hours.
    pub closed: Option<(i64, i64)>,
    /// The provider grants this much grace, whatever was asked for, and says so.
    pub grants: Option<Span>,
    /// A person who looks finds the key of a mint in doubt.
    pub finds: bool,
    /// Rotations one after the other.
    pub rotations: u32,
}

/// One kind of world.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Its name in stories.
    pub name: String,
    /// The plan of its rotations.
    pub plan: Plan,
    /// What really is.
    pub truth: Truth,
}

/// The longest pause between two uses that the policy counts on.
pub const QUIET: Span = Span::minutes(40);
/// The grace of every model that has one.
pub const GRACE: Span = Span::hours(24);

/// What a kind is made of.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    /// How keys are replaced.
    pub model: Model,
    /// What a second mint does.
    pub re_rotate: ReRotate,
    /// How keys are listed.
    pub list: ListBy,
    /// How last use is told.
    pub told: Told,
    /// Everything else is drawn from this.
    pub seed: u64,
}

impl Parts {
    /// Drawn by chance.
    pub fn draw(dice: &mut Dice) -> Self {
        Self {
            model: dice.pick(&MODELS),
            re_rotate: dice.pick(&RE_ROTATES),
            list: dice.pick(&LISTS),
            told: dice.pick(&TOLD),
            seed: dice.next(),
        }
    }

    /// Every combination, the rest of each drawn from its place.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for model in MODELS {
            for re_rotate in RE_ROTATES {
                for list in LISTS {
                    for told in TOLD {
                        let seed = all.len() as u64;
                        all.push(Self { model, re_rotate, list, told, seed });
                    }
                }
            }
        }
        all
    }

    /// The kind.
    #[must_use]
    pub fn kind(self) -> Kind {
        let mut dice = Dice::of(self.seed);
        let Self { model, re_rotate, list, told, seed } = self;
        let targets = 1 + usize::from(dice.chance(35));
        let beside = dice.pick(&[Beside::Nothing, Beside::NewBeside, Beside::OldBeside]);
        let plan = self.plan(&mut dice, targets, beside);
        let own = plan.provider.declares.authority == Authority::Own;
        let apps = apps(&mut dice, targets, beside, &plan);
        let truth = Truth {
            model,
            first: dice.chance(8) && !own,
            ours: dice.chance(80),
            apps,
            told,
            beside,
            skew: if dice.chance(20) { dice.pick(&[-90_000, -30_000, 45_000, 120_000]) } else { 0 },
            birth: if dice.chance(20) { Span::seconds(8) } else { Span::ZERO },
            death: if dice.chance(20) { Span::seconds(20) } else { Span::ZERO },
            listed: if dice.chance(50) { Span::seconds(9) } else { Span::ZERO },
            closed: dice.chance(15).then(|| (dice.below(24) as i64, 2 + dice.below(16) as i64)),
            grants: (matches!(model, Model::Fixed | Model::Chosen) && dice.chance(20)).then_some(Span::hours(6)),
            finds: dice.chance(50),
            rotations: 1 + u32::from(dice.chance(30)),
        };
        // A provider that puts the new key in the old one's place, and has nothing that would show it, takes it at once: it may use it itself.
        let in_place = plan.provider.lifecycle == Lifecycle::Grace && !plan.provider.verbs.probe;
        let truth = Truth { birth: if in_place { Span::ZERO } else { truth.birth }, ..truth };
        let name = format!("{model:?} {re_rotate:?} list={list:?} used={told:?} {beside:?} targets={targets} ({seed:x})");
        Kind { name, plan, truth }
    }

    fn plan(self, dice: &mut Dice, targets: usize, beside: Beside) -> Plan {
        let Self { model, re_rotate, list, told, .. } = self;
        let clock = matches!(model, Model::Fixed | Model::Chosen | Model::Instant | Model::Set | Model::ManualClock);
        let hand = matches!(model, Model::Manual | Model::ManualClock);
        let seen = told != Told::Absent;
        // What is told wrongly can be no evidence: `check` cannot know that, the operator must.
        let tells = seen && told != Told::Lying;
        let probe = model == Model::Set || dice.chance(80);
        let own = !hand && model != Model::Set && dice.chance(12);
        let grace = if model == Model::Instant { Span::ZERO } else { GRACE };
        let verbs = Verbs {
            list: list != ListBy::None,
            last_used: seen,
            probe,
            revoke: matches!(model, Model::Overlap | Model::Switched | Model::Chosen)
                || (model == Model::Manual && dice.chance(20)),
            revoke_needs_secret: model == Model::Overlap && list == ListBy::None && dice.chance(20),
            deactivate: model == Model::Switched,
            activate: model == Model::Switched,
            new_id: true,
            ..Verbs::default()
        };
        let declares = Declares {
            re_rotate,
            list,
            list_lag: Span::seconds(10),
            reread: list == ListBy::None && !hand && dice.chance(15),
            last_used: seen.then(|| LastUsed {
                granularity: Span::MINUTE,
                lag: Span::minutes(10),
                null: if dice.chance(70) { NullUse::Never } else { NullUse::Unknown },
            }),
            max_live: (!clock && dice.chance(30)).then_some(2),
            authority: if own { Authority::Own } else { Authority::Separate },
            negative_probe: probe && dice.chance(70),
            settle: Span::seconds(30),
            grace: clock.then(|| match model {
                Model::Chosen => GraceOffer::Choices(vec![Span::ZERO, Span::minutes(15), GRACE]),
                _ => GraceOffer::Fixed(grace),
            }),
            idempotency: (re_rotate == ReRotate::Idempotent)
                .then_some(Idempotency { window: Span::HOUR, replays_errors: false }),
        };
        let lifecycle = match model {
            Model::Overlap | Model::Switched => Lifecycle::Overlap,
            Model::Fixed | Model::Chosen | Model::Instant => Lifecycle::Grace,
            Model::Set => Lifecycle::Set,
            Model::Manual | Model::ManualClock => Lifecycle::Manual,
        };
        Plan {
            provider: ProviderFacts {
                lifecycle,
                declares,
                verbs,
                generates: model == Model::Set,
                mint_timeout: Span::seconds(30),
            },
            grace,
            shortest_grace: grace,
            quiet: QUIET,
            soak: Span::minutes(20),
            thresholds: vec![50, 75, 90],
            targets: vec![TargetPlan { has_during: beside != Beside::Nothing }; targets],
            hooks: vec![HookPlan { timeout: Span::MINUTE, repeatable: dice.chance(80) }; usize::from(!dice.chance(15))],
            verifies: verifies(dice, tells && !own),
            support: None,
        }
    }
}

/// What must hold before the old key is let go.
pub fn verifies(dice: &mut Dice, seen: bool) -> Vec<VerifyPlan> {
    let (every, hold_for) = (Span::minutes(10), Span::minutes(10));
    let verify = |kind| VerifyPlan { kind, every, hold_for };
    match dice.below(10) {
        0 => vec![verify(VerifyKind::Confirm)],
        1 => vec![verify(VerifyKind::Command)],
        2 | 3 if seen => vec![verify(VerifyKind::LastUsed)],
        4 if seen => vec![verify(VerifyKind::Consumer), verify(VerifyKind::LastUsed)],
        5 => vec![verify(VerifyKind::Consumer), verify(VerifyKind::Confirm)],
        _ => vec![verify(VerifyKind::Consumer)],
    }
}

fn apps(dice: &mut Dice, targets: usize, beside: Beside, plan: &Plan) -> Vec<AppKind> {
    let mut apps = Vec::new();
    for target in 0..targets {
        let reads = match dice.below(10) {
            _ if plan.hooks.is_empty() => Reads::AtUse,
            0 => Reads::AtUse,
            1 | 2 => Reads::Late(dice.pick(&[Span::minutes(3), Span::minutes(25), Span::hours(2)])),
            _ => Reads::AtDeploy,
        };
        // Where the old key keeps its place, only an application that tries both ever uses the new one.
        let falls_back = beside == Beside::NewBeside || dice.chance(50);
        let every = dice.pick(&[Span::seconds(70), Span::minutes(7), Span::minutes(19)]);
        apps.push(AppKind { target, reads, falls_back, every });
    }
    if dice.chance(20) {
        let reads = Reads::Forgotten(dice.pick(&[Span::hours(5), Span::hours(70)]));
        let every = dice.pick(&[Span::minutes(7), Span::minutes(31), Span::hours(3)]);
        let falls_back = beside == Beside::NewBeside || dice.chance(50);
        apps.push(AppKind { target: 0, reads, falls_back, every });
    }
    apps
}
