//! Tells a person by mail.
//!
//! One connection a message: TLS as configured and never less, login where there is one, one mail. [`cutover_api::Notifier::tell`] is
//! `Ok` only after the server's 250; when the connection ends before that, the mail may have been taken and is sent again, under the
//! same Message-ID, so that mail programs can show it once.
//!
//! What is wrong is told by a label and the server's status, never in the server's words:
//!
//! | label | when | permanent |
//! |---|---|---|
//! | `connect` | no connection, or it was lost, or what answers speaks no SMTP | no |
//! | `tls` | the server offers no TLS, its certificate is not trusted, `ca` cannot be read | no: certificates are renewed |
//! | `auth` | the password cannot be read or the login was refused | no: the password's file may be corrected |
//! | `refused` | the server answered 4xx or 5xx | only a 5xx to the sender, to every recipient or to the mail itself |
//! | `timeout` | not done within `timeout` | no |
//!
//! A mail goes to every recipient the server takes and counts as told when there is one; the others are named in the log by their
//! position. Where each of several persons must be reached, give each a channel.

mod failure;
mod mail;
mod notifier;
mod session;
mod settings;
mod wire;

pub use notifier::SmtpNotifier;
