//! Which policies are meant: on the command line, at the control socket, and by `[emergency]`.

use serde::{Deserialize, Serialize};

use crate::{Config, Policy};

/// Nothing was said where something must be.
pub const NOTHING_SAID: &str = "nothing is selected: name policies, or say --tag, --holder, --provider or --all";
/// What was said fits no policy.
pub const NOTHING_SELECTED: &str = "the selection holds no policy: nothing was changed";

/// Which policies are meant: alternatives within a part, all parts that are given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    /// By name.
    #[serde(default)]
    pub policies: Vec<String>,
    /// By tag.
    #[serde(default)]
    pub tags: Vec<String>,
    /// By holder, of the policy or of its provider or stores.
    #[serde(default)]
    pub holders: Vec<String>,
    /// By provider.
    #[serde(default)]
    pub providers: Vec<String>,
    /// Every policy.
    #[serde(default)]
    pub all: bool,
}

impl Selector {
    /// Nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Nothing but names of policies was said.
    #[must_use]
    pub fn only_policies(&self) -> bool {
        *self == Self { policies: self.policies.clone(), ..Self::default() }
    }

    /// Whether a policy is meant. An empty selector means none.
    #[must_use]
    pub fn selects(&self, policy: &Policy, config: &Config) -> bool {
        if self.is_empty() {
            return false;
        }
        let any = |wanted: &[String], has: &[String]| wanted.is_empty() || wanted.iter().any(|one| has.contains(one));
        let held = || {
            let provider = config.providers.get(&policy.provider).into_iter().flat_map(|table| &table.holders);
            let stores = policy.targets.iter().filter_map(|target| config.stores.get(&target.store));
            let stores = stores.flat_map(|store| &store.holders);
            policy.holders.iter().chain(provider).chain(stores).cloned().collect::<Vec<_>>()
        };
        any(&self.policies, std::slice::from_ref(&policy.name))
            && any(&self.tags, &policy.tags)
            && any(&self.providers, std::slice::from_ref(&policy.provider))
            && (self.holders.is_empty() || any(&self.holders, &held()))
    }
}
