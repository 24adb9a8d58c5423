//! The selector, the same for every verb.

use clap::Args;
use cutover_config::Selector;

/// Which policies are meant: alternatives within a flag, all flags must hold.
#[derive(Args, Clone, Debug, Default)]
pub struct SelectorArgs {
    /// Policies by name
    #[arg(value_name = "POLICY")]
    pub policies: Vec<String>,
    /// Policies with this tag; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// Policies whose key this person can read; may be repeated
    #[arg(long = "holder", value_name = "HOLDER")]
    pub holders: Vec<String>,
    /// Policies of this provider; may be repeated
    #[arg(long = "provider", value_name = "PROVIDER")]
    pub providers: Vec<String>,
    /// Every policy
    #[arg(long, conflicts_with_all = ["policies", "tags", "holders", "providers"])]
    pub all: bool,
}

impl SelectorArgs {
    /// As the engine takes it.
    #[must_use]
    pub fn selector(&self) -> Selector {
        Selector {
            policies: self.policies.clone(),
            tags: self.tags.clone(),
            holders: self.holders.clone(),
            providers: self.providers.clone(),
            all: self.all,
        }
    }
}
