//! Which policies are meant: on the command line, at the control socket, and by `[emergency]`.

use std::collections::BTreeSet;

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

    /// The policies that are meant, in the order of their names. An empty selector means none.
    #[must_use]
    pub fn among<'a>(&self, config: &'a Config) -> Vec<&'a Policy> {
        if self.policies.is_empty() {
            return config.policies.values().filter(|policy| self.selects(policy, config)).collect();
        }
        // Whoever names a thousand of ten thousand, in an emergency, must not wait for ten million comparisons.
        let named: BTreeSet<&String> = self.policies.iter().collect();
        let named = named.into_iter().filter_map(|name| config.policies.get(name));
        named.filter(|policy| self.fits(policy, config)).collect()
    }

    /// Whether a policy is meant. An empty selector means none.
    #[must_use]
    pub fn selects(&self, policy: &Policy, config: &Config) -> bool {
        !self.is_empty() && any(&self.policies, std::slice::from_ref(&policy.name)) && self.fits(policy, config)
    }

    /// Whether everything but its name fits.
    fn fits(&self, policy: &Policy, config: &Config) -> bool {
        let held = || {
            let provider = config.providers.get(&policy.provider).into_iter().flat_map(|table| &table.holders);
            let stores = policy.targets.iter().filter_map(|target| config.stores.get(&target.store));
            let stores = stores.flat_map(|store| &store.holders);
            policy.holders.iter().chain(provider).chain(stores).cloned().collect::<Vec<_>>()
        };
        any(&self.tags, &policy.tags)
            && any(&self.providers, std::slice::from_ref(&policy.provider))
            && (self.holders.is_empty() || any(&self.holders, &held()))
    }
}

/// Whether one of the wanted is there, or nothing is wanted.
fn any(wanted: &[String], has: &[String]) -> bool {
    wanted.is_empty() || wanted.iter().any(|one| has.contains(one))
}
