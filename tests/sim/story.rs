//! What happened, in words.

use cutover_machine::Event;
use cutover_machine::event::Answer;

use crate::kind::Kind;
use crate::oracle::Violation;
use crate::script::Turn;

/// An event in a line.
#[must_use]
pub fn event(event: &Event) -> String {
    match event {
        Event::Intended { effect, .. } => format!("the intent to {} is durable", effect.label()),
        Event::Guarded(holdings) => {
            let odd = holdings.iter().filter(|holding| !holding.readable || !holding.known).count();
            format!("the targets are read: {} of {} not as they should be", odd, holdings.len())
        }
        Event::Watched(watched) => format!("a poll: {:?}, uses {:?}", watched.verifies, watched.uses),
        Event::Replied(answer) => format!("the mint is answered: {}", said(answer)),
        Event::Ended(answer) => format!("the end is answered: {}", said(answer)),
        other => format!("{other:?}"),
    }
}

fn said<T>(answer: &Answer<T>) -> String {
    match answer {
        Answer::Done(_) => String::from("done"),
        Answer::Refused(refused) => format!("refused ({:?})", refused.class),
        Answer::Unknown(_) => String::from("nobody knows"),
    }
}

/// A failing history, whole.
#[must_use]
pub fn whole(seed: Option<u64>, kind: &Kind, script: &[Turn], violation: &Violation, lines: &[String]) -> String {
    let seed = seed.map_or(String::new(), |seed| format!("CUTOVER_SIM_SEED={seed}\n"));
    let script: Vec<String> = script.iter().map(|turn| format!("    {turn:?}")).collect();
    format!(
        "{seed}broken: {}\n  {}\nin a world of {}\n  applications {:?}\n  verifies {:?}, hooks {:?}\n  window {:?}, first {}, ours {}, skew {}\nscript:\n{}\nstory:\n{}\n",
        violation.check,
        violation.detail,
        kind.name,
        kind.truth.apps,
        kind.plan.verifies,
        kind.plan.hooks,
        kind.truth.closed,
        kind.truth.first,
        kind.truth.ours,
        kind.truth.skew,
        script.join("\n"),
        lines.join("\n")
    )
}
