//! Whether the spans of a policy fit together, and what is allowed but should be known.

use std::collections::{BTreeMap, BTreeSet};

use cutover_api::{Place, Problems, ProviderFacts, Span};
use cutover_machine::plan::{GraceOffer, VerifyKind};
use jiff::Timestamp;

use crate::layers::Layers;
use crate::{Policy, VerifyTable};

/// The margin of the grace, in percent of what it is added to, and the least.
const MARGIN_PERCENT: i64 = 10;
const LEAST_MARGIN: Span = Span::MINUTE;
/// A cadence above this is noted: a leap year and a day for clock changes.
const YEAR: Span = Span(367 * Span::DAY.0);
/// How many dates are looked at for the longest distance between two.
const DATES: usize = 24;
/// Where the dates are looked at from: any day does, the calendar repeats.
const FROM: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// What a cutover takes at the longest.
struct Need {
    hooks: Span,
    evidence: Span,
    margin: Span,
}

impl Need {
    fn of(policy: &Policy, facts: &ProviderFacts) -> Self {
        let hooks = policy.redeploy.iter().fold(Span::ZERO, |sum, hook| sum.plus(hook.timeout));
        // The verifies are asked side by side: the slowest counts.
        let evidence = policy.verify.iter().map(|verify| lag(verify, facts)).max().unwrap_or_default();
        let margin = hooks.plus(evidence).percent(MARGIN_PERCENT).max(LEAST_MARGIN);
        Self { hooks, evidence, margin }
    }

    fn whole(&self) -> Span {
        self.hooks.plus(self.evidence).plus(self.margin)
    }

    /// The sum as one would write it down.
    fn words(&self) -> String {
        let Self { hooks, evidence, margin } = self;
        format!(
            "redeploy {hooks} + evidence {evidence} + margin {margin} ({MARGIN_PERCENT} %, at least {LEAST_MARGIN}) = {}",
            self.whole()
        )
    }
}

/// How late a verify can see what it looks for.
fn lag(verify: &VerifyTable, facts: &ProviderFacts) -> Span {
    let late = match verify.kind {
        VerifyKind::Confirm => return Span::ZERO,
        VerifyKind::LastUsed => facts.declares.last_used.map_or(Span::ZERO, |told| told.lag.plus(told.granularity)),
        VerifyKind::Consumer | VerifyKind::Command => verify.every,
    };
    late.plus(verify.hold_for)
}

/// Reports spans that cannot work.
pub(crate) fn check(layers: &Layers<'_, '_>, policy: &Policy, facts: &ProviderFacts, notes: &Problems) {
    let offer = facts.declares.grace.as_ref().filter(|_| facts.ends_old_by_clock());
    let need = Need::of(policy, facts);
    // Nothing fits into so short a grace, and there is no other.
    let at_once = matches!(offer, Some(GraceOffer::Fixed(span)) if *span < LEAST_MARGIN);
    if at_once {
        let when =
            if policy.grace_mapped == Span::ZERO { "as soon as".to_owned() } else { format!("{} after", policy.grace_mapped) };
        let wrong = format!("the provider ends the old key {when} a new one is made, whatever is asked for");
        let right =
            format!("expect an outage of up to {} at each rotation; choose a quiet `window`", need.hooks.plus(need.evidence));
        notes.add(&policy.place, format!("policy.{}.grace", policy.name), wrong, right);
    } else if policy.grace_mapped < need.whole() {
        short(layers, policy, offer, &need);
    }
    cadence(layers, policy);
    if let (true, false, Some(told)) = (offer.is_some(), at_once, facts.declares.last_used) {
        let lag = told.lag.plus(told.granularity);
        let seen = policy.quiet.plus(lag);
        if seen > policy.grace_mapped {
            let wrong = format!(
                "quiet {} + what the provider is late with last uses {lag} = {seen}, and the old key lives {} only",
                policy.quiet, policy.grace_mapped
            );
            let most = Span((policy.grace_mapped.0 - lag.0).max(0));
            layers.wrong("quiet", wrong, format!("at most \"{}\", or a longer grace", typed(most)));
        }
    }
    lifetime(layers, policy);
}

fn short(layers: &Layers<'_, '_>, policy: &Policy, offer: Option<&GraceOffer>, need: &Need) {
    let granted = match offer {
        Some(_) if policy.grace != policy.grace_mapped => format!(" (the provider grants \"{}\")", typed(policy.grace_mapped)),
        _ => String::new(),
    };
    let wrong = format!("\"{}\"{granted} is shorter than a cutover can take: {}", typed(policy.grace), need.words());
    let enough = match offer {
        None => Some(round_up(need.whole())),
        Some(offer) => offer.mapped(need.whole()).filter(|mapped| *mapped >= need.whole()),
    };
    let right = match enough {
        Some(enough) => format!("at least \"{}\", or shorter time-outs", typed(enough)),
        None => "shorter time-outs: the provider offers no longer grace".to_owned(),
    };
    layers.wrong("grace", wrong, right);
}

/// To whole minutes, or hours from two hours on: nobody types more here.
fn round_up(span: Span) -> Span {
    let unit = if span < Span::hours(2) { Span::MINUTE.0 } else { Span::HOUR.0 };
    Span(span.0.saturating_add(unit - 1) / unit * unit)
}

/// A span as the configuration takes it, as people write it: `24h`, `90m`, `26h24m`.
pub(crate) fn typed(span: Span) -> String {
    let shown = span.to_string().replace(' ', "");
    // What is shown leaves small parts out.
    if Span::parse(&shown) == Ok(span) { shown } else { cutover_machine::time::typed(span) }
}

fn cadence(layers: &Layers<'_, '_>, policy: &Policy) {
    let shortest = Span(policy.schedule.shortest_ms());
    let taken = policy.grace_mapped.plus(policy.quiet).plus(policy.soak);
    if shortest <= taken {
        let key = if layers.has("cron") && !layers.own.has("cadence") { "cron" } else { "cadence" };
        let wrong = format!(
            "rotates after {shortest} at the soonest, and one rotation takes grace {} + quiet {} + soak {} = {taken}",
            policy.grace_mapped, policy.quiet, policy.soak
        );
        layers.wrong(key, wrong, "rarer dates, or shorter spans");
    }
}

fn lifetime(layers: &Layers<'_, '_>, policy: &Policy) {
    let Some(lifetime) = policy.lifetime else { return };
    let longest = longest(policy);
    if lifetime <= longest {
        let wrong = format!("a key lives {lifetime}, and {longest} can pass until the next one is made");
        let right = "a longer lifetime (the provider may have rounded it down), or more frequent dates";
        layers.wrong(if layers.has("lifetime") { "lifetime" } else { "cadence" }, wrong, right);
    }
}

/// The longest time between two rotations, of a good number of dates.
fn longest(policy: &Policy) -> Span {
    let table = policy.schedule.timetable(&policy.name, FROM, FROM);
    let mut longest = 0;
    let mut due = table.first_due();
    for _ in 0..DATES {
        let Some(this) = due else { break };
        due = table.next_due(this.nominal);
        if let Some(next) = due {
            longest = longest.max(next.at.as_millisecond().saturating_sub(this.at.as_millisecond()));
        }
    }
    Span(longest)
}

/// Notes a policy whose first rotation needs to know the key in use, and nobody has said which it is.
pub(crate) fn first_key(layers: &Layers<'_, '_>, policy: &Policy, mint_needs: &[String], notes: &Problems) {
    if mint_needs.is_empty() || policy.adopt.is_some() {
        return;
    }
    let wrong = format!("the provider's call for a new key needs {} of the key in use", mint_needs.join(", "));
    let right =
        "add adopt = { id = \"…\" }, or run `cutover adopt` before the first rotation, unless cutover knows the key already";
    notes.add(&policy.place, layers.own.path_of("adopt"), wrong, right);
}

/// Notes what is allowed and should be known.
pub(crate) fn notes(layers: &Layers<'_, '_>, policy: &Policy, targets: &BTreeMap<String, Place>, notes: &Problems) {
    let key = |key: &str| layers.own.path_of(key);
    if policy.schedule.shortest_ms() > YEAR.0 {
        let right = "at least once a year";
        notes.add(&policy.place, key("cadence"), format!("rotates {} only", policy.schedule.cadence()), right);
    }
    if policy.verify.iter().all(|verify| verify.kind == VerifyKind::Confirm) {
        let right = "add a verify of another kind where the application or the provider can tell";
        notes.add(&policy.place, key("verify"), "nothing but a person's `confirm` proves the new key", right);
        return;
    }
    let everything = policy.verify.iter().any(|verify| verify.covers.is_empty() && verify.kind != VerifyKind::Confirm);
    if everything {
        return;
    }
    let covered: BTreeSet<_> = policy.verify.iter().flat_map(|verify| &verify.covers).collect();
    for (name, place) in targets.iter().filter(|(name, _)| !covered.contains(name)) {
        notes.add(place, key("target"), format!("no verify covers \"{name}\""), "name it in `covers` of a verify that sees it");
    }
}
