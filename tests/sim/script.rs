//! What goes wrong, and when.

use cutover_machine::Effect;
use cutover_machine::emergency::EmergencyOrder;
use cutover_machine::event::Class;
use cutover_machine::time::Span;

use crate::dice::Dice;

/// When something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At this turn of the loop.
    Turn(usize),
    /// At the so-many-th call of this kind.
    Call(&'static str, usize),
    /// In the middle of the so-many-th call of this kind: its intent is durable, its outcome is not known.
    During(&'static str, usize),
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Refused: certainly no effect.
    Refused(Class),
    /// It never arrives, and that is not known.
    NeverArrives,
    /// It has its effect, the reply is lost.
    ReplyLost,
    /// Nobody waits for it any more when it has its effect.
    LandsLate(Span),
    /// It takes so long.
    Slow(Span),
    /// It says that it is done, and nothing happened.
    Lies,
    /// A mint's reply cannot be read.
    Garbled,
    /// A mint's reply names a key that is known already.
    SameKey,
    /// The process dies before the intent is durable.
    CrashUncommitted,
    /// The process dies after the intent is durable, before the call.
    CrashBefore,
    /// The process dies after the call, before its outcome is durable.
    CrashAfter,
}

/// What a person says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say {
    /// `confirm`
    Confirm,
    /// `confirm --retire`
    ConfirmRetire,
    /// `resume`
    Resume,
    /// `resume --mint-again`
    MintAgain,
    /// `abandon`
    Abandon,
    /// `adopt --id`
    Adopt,
    /// `adopt --from-target`
    AdoptFromTarget,
    /// `submit`: the newest key that the provider shows, or one that the person makes.
    Submit,
    /// `resume` after a reload that changed hooks and verifies
    ResumeChanged,
}

/// What happens in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upset {
    /// To the call that is made now; nothing where none is.
    Fate(Fate),
    /// A person speaks.
    Person(Say),
    /// A person orders an emergency.
    Emergency(EmergencyOrder),
    /// Somebody sets a target back to the old key.
    SetBack(usize),
    /// Somebody writes a value of their own.
    Foreign(usize),
    /// A target is restored from a backup.
    Backup(usize),
    /// The store answers nothing for so long.
    StoreDown(usize, Span),
    /// The next read of a target shows what stood there before.
    StaleRead(usize),
    /// Somebody writes between our read and our write.
    Conflict(usize),
    /// The hooks fail for so long.
    HooksDown(Span),
    /// The verifies do not answer for so long.
    VerifiesDown(Span),
    /// The provider cannot be reached for so long.
    ProviderDown(Span),
    /// The account's credential is dead for so long.
    CredentialDead(Span),
    /// The provider forgets what it knew of the last uses.
    UsesForgotten,
    /// A human makes a key of their own at the provider.
    HumanKey,
    /// The process dies.
    Crash,
    /// The process is down (or the machine sleeps) for so long.
    Down(Span),
    /// The clock steps, in milliseconds.
    Step(i64),
    /// A person confirms the clock.
    Thaw,
    /// The ledger is restored from the backup taken so many commits ago.
    Restore(usize),
}

/// Something that goes wrong at some moment.
pub type Turn = (When, Upset);

/// The calls that a script can name.
pub const CALLS: [&str; 18] = [
    "survey",
    "mint",
    "read-reply",
    "probe-new",
    "replay",
    "look-by-value",
    "look-by-list",
    "reread",
    "discard",
    "write",
    "redeploy",
    "watch",
    "deactivate",
    "activate",
    "revoke",
    "probe-old",
    "cut",
    "probe-cut",
];

/// What a call can be refused with.
const CLASSES: [Class; 8] =
    [Class::Auth, Class::Scope, Class::Gone, Class::Exists, Class::Limit, Class::Throttle, Class::Refused, Class::Unsent];
/// What a person can say.
pub const WORDS: [Say; 9] = [
    Say::Confirm,
    Say::ConfirmRetire,
    Say::Resume,
    Say::MintAgain,
    Say::Abandon,
    Say::Adopt,
    Say::AdoptFromTarget,
    Say::Submit,
    Say::ResumeChanged,
];
/// Both orders of an emergency.
pub const ORDERS: [EmergencyOrder; 2] = [EmergencyOrder::CutFirst, EmergencyOrder::DeployFirst];

impl Fate {
    /// The fates that make a difference to a call.
    #[must_use]
    pub fn of(effect: &Effect) -> Vec<Self> {
        let mut all = vec![Self::CrashAfter];
        if *effect == Effect::ReadReply {
            all.extend([Self::Garbled, Self::SameKey]);
            return all;
        }
        all.extend([Self::Refused(Class::Refused), Self::Refused(Class::Unsent), Self::NeverArrives]);
        if effect.needs_intent() {
            all.extend([Self::ReplyLost, Self::CrashBefore, Self::LandsLate(Span::seconds(20)), Self::Slow(Span::seconds(25))]);
        }
        if !matches!(effect, Effect::Hook { .. } | Effect::Write { .. } | Effect::Watch { .. } | Effect::Survey) {
            all.extend([Class::Auth, Class::Scope, Class::Throttle].map(Self::Refused));
        }
        if matches!(effect, Effect::Mint) {
            all.extend([Class::Exists, Class::Limit].map(Self::Refused));
        }
        all
    }

    fn draw(dice: &mut Dice) -> Self {
        match dice.below(14) {
            0 | 1 => Self::Refused(dice.pick(&CLASSES)),
            2 => Self::NeverArrives,
            3..=5 => Self::ReplyLost,
            6 => Self::LandsLate(Span::seconds(1 + dice.below(28) as i64)),
            7 => Self::Slow(Span::seconds(1 + dice.below(28) as i64)),
            8 => Self::Lies,
            9 => dice.pick(&[Self::Garbled, Self::SameKey]),
            10 => Self::CrashUncommitted,
            11 => Self::CrashBefore,
            _ => Self::CrashAfter,
        }
    }
}

impl Upset {
    /// What can happen beside a call in an exhaustive search.
    #[must_use]
    pub fn beside(targets: usize) -> Vec<Self> {
        let mut all = vec![Self::Crash, Self::StoreDown(0, Span::minutes(30)), Self::UsesForgotten];
        for target in 0..targets {
            all.extend([Self::SetBack(target), Self::Foreign(target)]);
        }
        all.extend([Say::Resume, Say::Abandon].map(Self::Person));
        all.extend(ORDERS.map(Self::Emergency));
        all
    }

    fn span(dice: &mut Dice) -> Span {
        dice.pick(&[Span::minutes(2), Span::minutes(30), Span::hours(5), Span::hours(26)])
    }

    /// Drawn by chance; `told` is what this history may hold beside faults of calls.
    fn draw(dice: &mut Dice, tame: bool) -> Self {
        let target = dice.below(2);
        match dice.below(if tame { 55 } else { 100 }) {
            0..=39 => Self::Fate(Fate::draw(dice)),
            40..=43 => Self::Crash,
            44 => Self::Down(Self::span(dice)),
            45 | 46 => Self::StoreDown(target, Self::span(dice)),
            47 => Self::StaleRead(target),
            48 | 49 => Self::Conflict(target),
            50 => Self::HooksDown(Self::span(dice)),
            51 => Self::VerifiesDown(Self::span(dice)),
            52 => Self::ProviderDown(Self::span(dice)),
            53 => Self::CredentialDead(Self::span(dice)),
            54 => Self::HumanKey,
            55..=72 => Self::Person(dice.pick(&WORDS)),
            73..=80 => Self::Emergency(dice.pick(&ORDERS)),
            81..=84 => Self::SetBack(target),
            85..=88 => Self::Foreign(target),
            89 | 90 => Self::Backup(target),
            91 | 92 => Self::UsesForgotten,
            93 | 94 => Self::Step(dice.pick(&[-31_536_000_000, -3_600_000, -120_000, 120_000, 3_600_000, 31_536_000_000])),
            95 | 96 => Self::Thaw,
            97 | 98 => Self::Restore(1 + dice.below(12)),
            _ => Self::Down(Self::span(dice)),
        }
    }

    /// What the world does from then on is no more than what was promised: nobody's word, no step of the clock, no restored ledger.
    #[must_use]
    pub const fn is_by_hand(self) -> bool {
        matches!(self, Self::Person(_) | Self::Emergency(_) | Self::Restore(_) | Self::Step(_) | Self::Thaw)
    }
}

/// A script by chance: mostly a few faults, sometimes many.
pub fn draw(dice: &mut Dice) -> Vec<Turn> {
    let many = match dice.below(10) {
        0 => 6 + dice.below(10),
        1..=3 => 3 + dice.below(3),
        _ => 1 + dice.below(3),
    };
    let tame = dice.chance(40);
    let mut script = Vec::new();
    for _ in 0..many {
        let upset = Upset::draw(dice, tame);
        let when = match (dice.below(10), upset) {
            (0..=3, _) => {
                let far = if dice.chance(70) { 30 } else { 120 };
                When::Turn(dice.below(far))
            }
            (4 | 5, upset) if !matches!(upset, Upset::Fate(_)) => When::During(dice.pick(&CALLS), dice.below(2)),
            _ => {
                let often = if dice.chance(70) { 1 } else { 6 };
                When::Call(dice.pick(&CALLS), dice.below(often))
            }
        };
        script.push((when, upset));
    }
    script.extend(theme(dice));
    script
}

/// Now and then things that belong together: each alone is likely, both at the right moment are not.
fn theme(dice: &mut Dice) -> Vec<Turn> {
    let turn = 8 + dice.below(20);
    match dice.below(40) {
        0 => vec![
            (When::Turn(turn), Upset::Person(Say::Abandon)),
            (When::Turn(turn + 1 + dice.below(4)), Upset::Emergency(dice.pick(&ORDERS))),
        ],
        1 => vec![
            (When::Call("mint", 0), Upset::Fate(Fate::Refused(Class::Exists))),
            (When::Call("replay", 0), Upset::Fate(Fate::LandsLate(Span::seconds(1 + dice.below(28) as i64)))),
        ],
        2 => vec![
            (When::Call("mint", 0), Upset::Fate(Fate::ReplyLost)),
            (When::Call(dice.pick(&["look-by-list", "discard", "reread", "replay"]), 0), Upset::Fate(Fate::draw(dice))),
        ],
        3 => vec![
            (When::Turn(turn), Upset::VerifiesDown(Span::minutes(30))),
            (When::Turn(turn + 2 + dice.below(8)), Upset::Down(Span::hours(5))),
        ],
        _ => Vec::new(),
    }
}
