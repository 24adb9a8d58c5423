//! Which values a step uses, and whether they are there.

use cutover_api::{Place, Problems};

use crate::scope::{Kind, Known, Scope};
use crate::step::{Step, not_yet};
use crate::template::Template;

/// Where a slot's value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// The path of the request.
    Path,
    /// The query.
    Query,
    /// A header, auth included.
    Header,
    /// A leaf of a JSON or form body.
    Leaf,
    /// A text: a text body, a message to be signed, a literal to compare with, a selector of a source.
    Text,
    /// What an `hmac` signs or sends: as a text or header, but `request.*` and `signature` are known too.
    Signed,
}

/// One use of a path by a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The path: `old.id`.
    pub path: String,
    /// It says `?`.
    pub optional: bool,
    /// Where the value goes.
    pub spot: Spot,
    /// The whole path of the key that says it: `issue.json.name`.
    pub key: String,
    /// Where that stands.
    pub place: Place,
}

/// A template and where it is written.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) template: Template,
    pub(crate) key: String,
    pub(crate) place: Place,
}

impl Placed {
    /// Reads a template; reports what is wrong.
    pub(crate) fn load(text: &str, key: &str, place: &Place, problems: &Problems) -> Option<Self> {
        match Template::parse(text) {
            Ok(template) => Some(Self { template, key: key.to_owned(), place: place.clone() }),
            Err(error) => {
                // What this version does not support yet is no mistake of the writer's.
                match error.message.starts_with("not yet:") {
                    true => problems.add(place, key, error.message, not_yet("").1),
                    false => problems.add(place, key, "is no template", error.message),
                }
                None
            }
        }
    }

    /// Reports what is wrong with its slots.
    pub(crate) fn check(&self, spot: Spot, scope: &Scope, problems: &Problems) {
        let errors = match spot {
            Spot::Leaf => self.template.check_leaf(scope),
            Spot::Path => self.template.check_path(scope),
            Spot::Signed => self.template.check(&signed(scope)),
            _ => self.template.check(scope),
        };
        for error in errors {
            problems.add(&self.place, self.key.clone(), "a slot cannot be filled", error.message);
        }
    }
}

/// What an `hmac` may name besides the rest.
fn signed(scope: &Scope) -> Scope {
    let mut scope = scope.clone();
    for name in ["method", "path", "query", "body"] {
        scope.add(format!("request.{name}"), Known::plain(Kind::Text));
    }
    scope.add("request.timestamp", Known::plain(Kind::Integer));
    scope.add("signature", Known::secret());
    scope
}

impl Step {
    /// Every slot of the step, poll, auth, matches and sources included; `request.*` and `signature` of an `hmac` are not.
    #[must_use]
    pub fn paths(&self) -> Vec<Use> {
        let mut all = Vec::new();
        for (spot, placed) in self.placed() {
            for slot in placed.template.slots() {
                if spot == Spot::Signed && (slot.path.starts_with("request.") || slot.path == "signature") {
                    continue;
                }
                let (path, optional) = (slot.path.clone(), slot.optional);
                all.push(Use { path, optional, spot, key: placed.key.clone(), place: placed.place.clone() });
            }
        }
        all
    }

    /// Checks every slot against what is known: unknown paths, values that may be absent, filters that do not fit. What the step keeps
    /// itself (`steps.STEP.NAME`) is known to its poll.
    pub fn check(&self, scope: &Scope, problems: &Problems) {
        for (spot, placed) in self.own_placed() {
            placed.check(spot, scope, problems);
        }
        let mut later = scope.clone();
        for name in self.keeps() {
            later.add(format!("steps.{}.{name}", self.name()), Known::secret());
        }
        for (spot, placed) in self.poll_placed() {
            placed.check(spot, &later, problems);
        }
    }
}
