//! What happened, per reason: a few words for the subject, sentences for the text, and what policies share that have it in common.

use cutover_machine::plan::Lifecycle;
use cutover_machine::state::Why;

use super::Matter;
use super::standing::capital;
use super::ways::{hook, new_key, old_key, target};
use super::words::{beside, clean, counted, listed};

/// The letters of a finding that a subject has room for.
const BRIEF: usize = 60;

/// A reason in words.
pub(super) struct Told {
    /// For the subject.
    pub what: String,
    /// For the subject of a message about many policies; empty = the same words.
    pub shared: String,
    /// For the text.
    pub happened: String,
    /// What many policies can have in common.
    pub cause: String,
}

/// What happened, in one to three sentences: for `status` and wherever else a hold is explained without the whole message.
#[must_use]
pub fn why_in_words(matter: &Matter<'_>, held_for: &Why) -> String {
    why(matter, held_for).happened
}

/// Why it is held.
pub(super) fn why(matter: &Matter<'_>, why: &Why) -> Told {
    let account = clean(matter.account);
    match why {
        Why::Credential(detail) => Told {
            shared: String::new(),
            what: format!("the credential for {account} is dead"),
            happened: format!(
                "The credential that cutover itself uses at {account} is not accepted, or has ended: {}. {}",
                sentence(detail),
                if matter.machine.mint.intents == 0 {
                    "Nothing has happened: no new key was asked for."
                } else {
                    "This rotation waits for another one."
                }
            ),
            cause: account,
        },
        Why::Preflight(_) | Why::MintRefused(_) | Why::Doubt | Why::Candidates(_) | Why::SameKey | Why::NewKeyRefused => {
            before_stage(matter, why, &account)
        }
        Why::Store { .. } | Why::Hook { .. } | Why::HookUnknown { .. } | Why::Drift { .. } => places(matter, why),
        Why::OldStillUsed { at, from } => Told {
            shared: String::new(),
            what: String::from("the old key is still used"),
            happened: format!(
                "{} was used {}{}, although every target holds another key and every hook is done: somewhere it is still \
                 configured. It is not revoked while it is used.",
                capital(&old_key(matter)),
                beside(*at, matter.at),
                from.as_ref().map(|from| format!(" ({account} says of it: \"{}\")", clean(from))).unwrap_or_default()
            ),
            cause: account,
        },
        Why::Retire(detail) => Told {
            shared: String::new(),
            what: String::from("the old key cannot be ended"),
            happened: format!("{} cannot be ended: {}.", capital(&old_key(matter)), sentence(detail)),
            cause: format!("{account}/{}", in_common(matter, detail)),
        },
        Why::OldStillAccepted => Told {
            shared: String::new(),
            what: String::from("the old key is still accepted after its end"),
            happened: format!(
                "{} was ended, and {account} still accepts it, longer than its definition says it may. Treat it as alive.",
                capital(&old_key(matter))
            ),
            cause: account,
        },
        Why::Look(detail) => Told {
            shared: String::new(),
            what: format!("{account} does not answer what must be known"),
            happened: format!(
                "cutover must look something up at {account} before it goes on, and cannot: {}.",
                sentence(detail)
            ),
            cause: format!("{account}/{}", in_common(matter, detail)),
        },
    }
}

fn before_stage(matter: &Matter<'_>, why: &Why, account: &str) -> Told {
    let asked = matter.machine.mint.intent.as_ref().map(|intent| beside(intent.at, matter.at));
    let asked = asked.map_or_else(String::new, |at| format!("cutover asked {account} for a new key at {at}. "));
    match why {
        Why::Preflight(detail) => {
            let nothing = if matter.machine.mint.intents == 0 {
                "Nothing has happened: no new key was asked for."
            } else {
                "No other key was asked for since."
            };
            Told {
                shared: format!("cannot begin: {}", brief(&in_common(matter, detail.lines().next().unwrap_or_default()))),
                what: format!("cannot begin: {}", brief(detail)),
                happened: format!("The rotation cannot begin: {}. {nothing}", sentence(&detail.replace('\n', "; "))),
                cause: in_common(matter, detail),
            }
        }
        Why::MintRefused(detail) => Told {
            shared: String::new(),
            what: format!("{account} refuses to make a new key"),
            happened: format!("{asked}It refused: {}. No key was made, that is certain.", sentence(detail)),
            cause: format!("{account}/{}", in_common(matter, detail)),
        },
        Why::Candidates(ids) => Told {
            shared: String::new(),
            what: format!("{} may be ours, a person must say", counted(ids.len(), "key")),
            happened: format!(
                "{asked}No usable answer came. These keys at {account} may be what it made, or somebody else's: {}.",
                listed(&ids.iter().take(20).map(|id| clean(id)).collect::<Vec<_>>())
            ),
            cause: account.to_owned(),
        },
        Why::SameKey => Told {
            shared: String::new(),
            what: String::from("the new key is one that is known already"),
            happened: format!(
                "{asked}The answer held a key that this policy has or had already, so it is not new. Whether another was made \
                 is not known."
            ),
            cause: account.to_owned(),
        },
        Why::NewKeyRefused => Told {
            shared: String::new(),
            what: format!("{account} does not accept its own new key"),
            happened: format!("{asked}It made {}, and refuses it when it is presented.", new_key(matter)),
            cause: account.to_owned(),
        },
        _ => Told {
            shared: String::new(),
            what: String::from("a new key may have been made, its value is lost"),
            happened: format!(
                "{asked}No usable answer came, so a new key may exist that nobody has. Every look that {account} allows was \
                 made, and none settles it."
            ),
            cause: account.to_owned(),
        },
    }
}

fn places(matter: &Matter<'_>, why: &Why) -> Told {
    match why {
        Why::Store { target: place, detail } => {
            let name = target(matter, *place);
            let store = name.split(':').next().unwrap_or(&name).to_owned();
            let kept = match (matter.machine.swapped, matter.plan.provider.lifecycle) {
                (false, Lifecycle::Set) => "The new key is already set at the provider and sealed here: it is not lost.",
                _ => "The key is sealed here: it is not lost.",
            };
            Told {
                shared: format!("{store} cannot be written"),
                what: format!("{name} cannot be written"),
                happened: format!("{} cannot be written to {name}: {}. {kept}", capital(&new_key(matter)), sentence(detail)),
                cause: format!("{store}/{}", in_common(matter, detail)),
            }
        }
        Why::Hook { hook: place, detail } => {
            let name = hook(matter, *place);
            Told {
                shared: String::new(),
                what: String::from("a hook fails"),
                happened: format!("The hook \"{name}\" failed {}, last: {}.", tries(matter), sentence(detail)),
                cause: format!("{name}/{}", in_common(matter, detail)),
            }
        }
        Why::HookUnknown { hook: place } => {
            let name = hook(matter, *place);
            Told {
                shared: String::new(),
                what: String::from("a hook may have run"),
                happened: format!("Whether the hook \"{name}\" ran is not known, and it must not be repeated unasked."),
                cause: name,
            }
        }
        Why::Drift { targets } => {
            let names: Vec<String> = targets.iter().map(|place| target(matter, *place)).collect();
            let hold = if names.len() == 1 { "holds" } else { "hold" };
            Told {
                shared: String::from("somebody else wrote targets"),
                what: format!(
                    "somebody else wrote {}",
                    if names.len() == 1 { names[0].clone() } else { counted(names.len(), "target") }
                ),
                happened: format!(
                    "{} {hold} a value that is neither this rotation's nor the one recorded as current: somebody else wrote it. \
                     cutover touches nothing while that is so.",
                    listed(&names)
                ),
                cause: String::from("drift"),
            }
        }
        _ => Told { shared: String::new(), what: String::new(), happened: String::new(), cause: String::new() },
    }
}

fn tries(matter: &Matter<'_>) -> String {
    match matter.machine.leg.as_ref().map_or(0, |leg| leg.hook_failures) {
        0 | 1 => String::from("again and again"),
        tries => format!("{tries} times in a row"),
    }
}

/// A detail as far as policies can share it: their own targets stand as the store, and what several targets say is said once.
fn in_common(matter: &Matter<'_>, detail: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in detail.lines() {
        let mut line = line.to_owned();
        for target in matter.targets {
            let store = target.split(':').next().unwrap_or(target);
            line = line.replace(&format!("target {target}"), store).replace(target.as_str(), store);
        }
        let line = clean(&line);
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    clean(&lines.join("; "))
}

/// The first finding, as much of it as a telephone's screen shows.
fn brief(detail: &str) -> String {
    let first = clean(detail.lines().next().unwrap_or_default());
    let first = first.strip_prefix("target ").unwrap_or(&first);
    if first.chars().count() <= BRIEF {
        return sentence(first);
    }
    let cut: String = first.chars().take(BRIEF).collect();
    let whole = cut.rsplit_once(' ').map_or(cut.as_str(), |(whole, _)| whole);
    format!("{} ...", whole.trim_end_matches([':', ',', ';']))
}

/// A detail as a part of our sentence: on one line, without a full stop of its own.
pub(super) fn sentence(detail: &str) -> String {
    let cleaned = clean(detail);
    let cut = cleaned.trim_end_matches('.');
    if cut.is_empty() { String::from("no reason was given") } else { cut.to_owned() }
}
