//! The engine behind the definitions: a provider is a TOML file, and this crate speaks HTTP as it says.
//!
//! [`Definition::parse`] reads and checks a definition whole; [`HttpProvider::build`] makes one account of it, which is a
//! [`cutover_api::Provider`]; [`check_params`] reads what a policy tells it; [`shipped`] holds the definitions that are part of the
//! program. The rules a reader of this code must know:
//!
//! * a mint is sent once a call, whatever comes back, and its reply is handed over before anything reads it;
//! * what runs before a step (the credential, a login, a helper) never speaks for the step: when it fails, the step was not sent;
//! * a list that is not whole is `Unknown`, and an answer that is neither accepted nor refused is no verdict;
//! * nothing the other side wrote reaches an error but a cleaned error code.

mod account;
mod before;
mod declared;
mod definition;
mod fields;
mod generate;
mod head;
mod holdings;
mod jwt;
mod line;
mod login;
mod manual;
mod mint;
mod not_yet;
mod notes;
mod offers;
mod order;
mod params;
mod probing;
mod provider;
mod record;
mod rules;
mod said;
mod scopes;
mod shipped;
mod steps;
mod values;

pub use account::HttpProvider;
pub use definition::Definition;
pub use params::check_params;
pub use shipped::shipped;
