//! The explorer with an emergency: ordered at every boundary of a rotation, in every kind of provider, with any other fault before or after it.
//!
//! Two questions are asked at rest. Is everything older than the new key dead, or does the cut set say of it that it is not? And is what
//! the cut set calls dead dead?

use cutover_machine::Span;
use cutover_machine::emergency::EmergencyOrder;
use cutover_machine::plan::{GraceOffer, Lifecycle};

use crate::world::{Fault, Kind, Run, kinds};

const ORDERS: [EmergencyOrder; 2] = [EmergencyOrder::CutFirst, EmergencyOrder::DeployFirst];

/// Runs one script and asks the questions.
fn run(kind: &Kind, script: &[(usize, Fault)]) -> Run {
    let run = Run::new(kind.clone(), script).finish();
    let Some(emergency) = &run.rotation().emergency else { return run };
    let alive = run.older_alive();
    for cut in &emergency.cut {
        let name = cut.key.id.clone().unwrap_or_default();
        assert!(
            cut.dead.is_none() || !alive.contains(&name),
            "{}: {name} is called dead and lives\nscript {script:?}\n{}",
            kind.name,
            run.story()
        );
    }
    if run.closed() {
        // What a person says to have ended is reported as their word, not as proven.
        let open = emergency.cut.iter().filter(|cut| cut.dead.is_none());
        let open: Vec<String> = open.filter_map(|cut| cut.key.id.clone()).collect();
        let nameless = emergency.cut.iter().any(|cut| !cut.settled() && cut.key.id.is_none());
        // A key whose reply was lost and that nobody can find is accounted for without a name.
        let unsaid: Vec<&String> = alive.iter().filter(|name| !open.contains(name)).collect();
        assert!(
            unsaid.is_empty() || (nameless && unsaid.len() == 1),
            "{}: at rest {unsaid:?} live and nobody was told\nscript {script:?}\n{:?}\n{}",
            kind.name,
            emergency,
            run.story()
        );
    }
    run
}

/// An emergency at every boundary, with every other fault at every other one.
fn explore(kind: &Kind, order: EmergencyOrder, deep: bool) -> usize {
    let mut histories = 0;
    let plain = Run::new(kind.clone(), &[]).finish().boundaries.len();
    for at in 0..=plain {
        let script = vec![(at, Fault::Emergency(order))];
        let first = run(kind, &script);
        histories += 1;
        if !deep {
            continue;
        }
        for (other, effect) in first.boundaries.iter().enumerate() {
            if other == at {
                continue;
            }
            for fault in Fault::possible(effect) {
                let mut longer = vec![script[0], (other, fault)];
                longer.sort_by_key(|(at, _)| *at);
                run(kind, &longer);
                histories += 1;
            }
            for second in ORDERS {
                let mut longer = vec![script[0], (other, Fault::Emergency(second))];
                longer.sort_by_key(|(at, _)| *at);
                run(kind, &longer);
                histories += 1;
            }
        }
    }
    histories
}

fn kinds_in_emergency() -> Vec<Kind> {
    // A manual key's end waits for a person for longer than this explorer looks.
    let mut all: Vec<Kind> = kinds().into_iter().filter(|kind| kind.plan.provider.lifecycle != Lifecycle::Manual).collect();
    let wrapd: Vec<Kind> = all
        .iter()
        .filter(|kind| kind.plan.provider.lifecycle == Lifecycle::Grace && kind.plan.grace == Span::hours(24))
        .cloned()
        .map(|mut kind| {
            kind.plan.provider.declares.grace = Some(GraceOffer::Choices(vec![Span::ZERO, Span::minutes(15), Span::hours(24)]));
            kind.plan.provider.verbs.revoke = true;
            kind.name = format!("{}, chosen and revocable", kind.name);
            kind
        })
        .collect();
    all.extend(wrapd);
    all
}

#[test]
fn an_emergency_accounts_for_every_older_key() {
    let mut histories = 0;
    for kind in kinds_in_emergency() {
        for order in ORDERS {
            histories += explore(&kind, order, kind.core);
        }
    }
    println!("{histories} histories with an emergency");
    assert!(histories > 20_000, "the explorer has become small: {histories}");
}

/// Without any other fault an emergency comes to its end, and where the provider can cut, nothing older lives.
#[test]
fn an_emergency_alone_cuts_everything_that_can_be_cut() {
    for kind in kinds_in_emergency() {
        for order in ORDERS {
            let run = run(&kind, &[(0, Fault::Emergency(order))]);
            assert!(run.closed(), "{} {order:?}: {:?}\n{}", kind.name, run.rotation(), run.story());
            assert!(run.older_alive().is_empty(), "{} {order:?}: {:?}\n{}", kind.name, run.older_alive(), run.story());
        }
    }
}
