//! What has to happen before a step, read off what it says.

use std::collections::BTreeSet;

use cutover_api::Table;

use crate::rules::{inner, said_by};
use crate::scopes::helpers;

/// What has to happen before a step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Before {
    /// The account's credential is opened.
    pub(crate) credential: bool,
    /// A login is made.
    pub(crate) login: bool,
    /// These helpers run, each after those it says itself.
    pub(crate) helpers: Vec<String>,
}

impl Before {
    /// Reads it off a step and the helpers it says.
    pub(crate) fn of(root: &Table, step: &Table) -> Self {
        let mut before = Self::default();
        before.visit(root, step, &mut BTreeSet::new());
        if before.login
            && let Some(login) = inner(root, "login")
        {
            let mut of_login = Self::default();
            of_login.visit(root, login, &mut BTreeSet::new());
            before.credential |= of_login.credential;
        }
        before
    }

    fn visit(&mut self, root: &Table, step: &Table, seen: &mut BTreeSet<String>) {
        let said = said_by(root, step);
        let says =
            |space: &str| said.iter().any(|slot| slot.path.strip_prefix(space).is_some_and(|rest| rest.starts_with('.')));
        self.login |= says("steps.login");
        self.credential |= says("credential") || said.iter().any(|slot| slot.path == "credential");
        for (name, helper) in helpers(root) {
            if says(&format!("steps.{name}")) && seen.insert(name.clone()) {
                self.visit(root, helper, seen);
                self.helpers.push(name.clone());
            }
        }
    }
}
