//! The notifier.

use std::fmt;

use async_trait::async_trait;
use cutover_api::{Message, Notifier, NotifyError, Reader, Surroundings};

use crate::failure;
use crate::mail;
use crate::session::Session;
use crate::settings::Settings;

/// `[notify.x] kind = "smtp"`.
pub struct SmtpNotifier {
    settings: Settings,
    surroundings: Surroundings,
}

impl SmtpNotifier {
    /// Reads the table: `host`, `port` (587, 465 or 25 by `tls`), `tls` (`"starttls"`, `"implicit"`, or `"none"` on this machine), `from`, `to`,
    /// `username` and `password` (a reference, opened for each mail), `ca` (PEM, instead of the system's), `timeout` (`"30s"`, up to 5m, for
    /// everything until the 250). `kind`, `severity` and `holders` belong to the caller. Opens nothing. Every problem is reported; `None`
    /// when there was one.
    #[must_use]
    pub fn build(reader: &Reader<'_>, surroundings: &Surroundings) -> Option<Self> {
        Some(Self { settings: Settings::read(reader)?, surroundings: surroundings.clone() })
    }

    async fn within<T>(&self, work: impl Future<Output = Result<T, NotifyError>>) -> Result<T, NotifyError> {
        let late = |_| {
            failure::timeout(format!(
                "the mail server was not done within {:?}; a mail may have been taken",
                self.settings.timeout
            ))
        };
        tokio::time::timeout(self.settings.timeout, work).await.map_err(late)?
    }
}

#[async_trait]
impl Notifier for SmtpNotifier {
    async fn greet(&self) -> Result<(), NotifyError> {
        let session = self
            .within(async {
                let mut session = Session::open(&self.settings, &*self.surroundings.references).await?;
                session.noop().await?;
                Ok(session)
            })
            .await?;
        session.close().await;
        Ok(())
    }

    async fn tell(&self, message: &Message) -> Result<(), NotifyError> {
        let settings = &self.settings;
        let Some(mail) = mail::compose(message, &settings.from, &settings.to, self.surroundings.clock.now()) else {
            return Err(NotifyError {
                label: "refused",
                detail: "no mail can be made of from and to as they stand".to_owned(),
                permanent: true,
            });
        };
        let session = self
            .within(async {
                let mut session = Session::open(settings, &*self.surroundings.references).await?;
                session.send(settings, &mail).await?;
                Ok(session)
            })
            .await?;
        // After the 250 nothing may turn the success into a failure: it would be told again.
        session.close().await;
        Ok(())
    }
}

impl fmt::Debug for SmtpNotifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpNotifier").field("settings", &self.settings).finish_non_exhaustive()
    }
}
