//! Tells a person by a webhook.
//!
//! One call a message: a step of `definitions.md` with a whole URL that sees `alert.*` and `credential` (opened at each use) and nothing
//! else. Without a body of its own a `POST`, `PUT` or `PATCH` sends the whole alert as JSON. `Ok` is an expected reply: any 2xx, or what
//! `expect` says.
//!
//! | path | holds |
//! |---|---|
//! | `alert.id` | stable over retries: the one to deduplicate by |
//! | `alert.kind`, `.severity`, `.environment`, `.subject`, `.text`, `.at` | texts |
//! | `alert.policies`, `.facts` | an array and an object, for leaves of `json` |
//! | `alert.policy` | the policies as one text, joined by `, ` |
//! | `alert.rotation` | may be absent: `{{ alert.rotation? }}` |
//! | `alert` | the whole, as it is sent without a body |
//!
//! | label | when | permanent |
//! |---|---|---|
//! | `connect` | no connection, or it was lost before the reply: the alert may have been taken | no |
//! | `tls` | (only greeted) the certificate is not trusted, `ca` cannot be read | no |
//! | `auth` | the credential cannot be opened; 401, 403 | no: the credential's file may be corrected |
//! | `refused` | 429 or a full quota; another 4xx | only the other 4xx |
//! | `status` | 5xx, or 2xx that is not what `expect` says; a redirect, which is never followed | only a redirect |
//! | `timeout` | not done within `timeout` | no |
//!
//! There is no harmless call to a webhook, so a greeting sends none: it proves that the credential can be opened, that the name
//! resolves, that something listens there and, over https, that it shows a trusted certificate. Not that it takes alerts.

mod alert;
mod failure;
mod notifier;
mod reach;

pub use notifier::WebhookNotifier;
