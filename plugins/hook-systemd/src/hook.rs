//! The hook.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cutover_api::{Again, Cause, Class, Hook, HookVars, Outcome, Reader, Refusal, Surroundings};
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::fault::{self, Fault};
use crate::manager::{Manager, Unit};
use crate::settings::{self, Settings};
use crate::unit::{Standing, Verdict};

/// Between two looks at a unit that is to stay active.
const LOOK: Duration = Duration::from_millis(500);

/// The deadline of [`Hook::present`].
const PRESENT: Duration = Duration::from_secs(30);

/// `[[policy.x.redeploy]] kind = "systemd"`: units of this machine that are restarted or reloaded.
#[derive(Debug)]
pub struct SystemdHook {
    settings: Settings,
    /// Another bus than the system's.
    address: Option<String>,
}

impl SystemdHook {
    /// Reads the table: `units`, and `verb` (`restart`, `try-restart`, `reload`, `reload-or-restart`, `try-reload-or-restart`), `settle`
    /// (`"5s"`, from 0s to 1h), `timeout` (`"5m"`, from 1s to 24h). Opens nothing. Every problem is reported; `None` when there was one.
    #[must_use]
    pub fn build(reader: &Reader<'_>, _surroundings: &Surroundings) -> Option<Self> {
        reader.known("kind");
        Some(Self { settings: settings::read(reader)?, address: None })
    }

    /// The same hook on the bus at `address` (`unix:path=…`) instead of the system's.
    #[must_use]
    pub fn on(self, address: impl Into<String>) -> Self {
        Self { address: Some(address.into()), ..self }
    }

    async fn open(&self) -> Result<Manager, Refusal> {
        Manager::open(self.address.as_deref()).await.map_err(|error| match Fault::of(&error) {
            Fault::Answered(_) => Refusal::new(Class::Unsent, &self.settings.step)
                .hint("systemd is not on the system bus: is this machine run by systemd?"),
            Fault::Lost => fault::unreachable(&self.settings.step, &error),
        })
    }

    /// Looks a unit up before anything is asked for: whatever fails here, nothing was started.
    async fn unit(&self, manager: &Manager, name: &str) -> Result<Unit, Refusal> {
        let settings = &self.settings;
        let unit = manager.unit(name).await.map_err(|error| self.unasked(name, &error))?;
        match unit.standing.refuses(settings.verb) {
            None => Ok(unit),
            Some(why) => Err(Refusal::new(Class::Gone, &settings.step).hint(format!("{name} {why}"))),
        }
    }

    /// A call failed that starts nothing.
    fn unasked(&self, unit: &str, error: &zbus::Error) -> Refusal {
        match Fault::of(error) {
            Fault::Answered(name) => fault::refused(&self.settings.step, unit, self.settings.verb.word(), &name),
            Fault::Lost => fault::unreachable(&self.settings.step, error),
        }
    }

    /// Whether every unit is there and the permission is given.
    async fn look_at_all(&self) -> Result<(), Refusal> {
        let manager = self.open().await?;
        for name in &self.settings.units {
            let unit = self.unit(&manager, name).await?;
            if let Err(error) = manager.may(self.settings.verb, &unit).await
                && let Fault::Answered(said) = Fault::of(&error)
                && let refusal = fault::refused(&self.settings.step, name, self.settings.verb.word(), &said)
                && refusal.class == Class::Scope
            {
                return Err(refusal);
            }
        }
        Ok(())
    }

    /// Every unit in order. `asked` becomes true when systemd is asked for the first job.
    async fn redeploy(&self, asked: &AtomicBool) -> Outcome<()> {
        let manager = match self.open().await {
            Ok(manager) => manager,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        for name in &self.settings.units {
            match self.one(&manager, name, asked).await {
                Outcome::Done(()) => debug!(unit = name, verb = self.settings.verb.word(), "done"),
                other => return other,
            }
        }
        Outcome::Done(())
    }

    /// One unit: asked for, waited for, seen.
    async fn one(&self, manager: &Manager, name: &str, asked: &AtomicBool) -> Outcome<()> {
        let Settings { step, verb, .. } = &self.settings;
        let unit = match self.unit(manager, name).await {
            Ok(unit) => unit,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let ends = match manager.listen(&unit).await {
            Ok(ends) => ends,
            Err(error) => return Outcome::Refused(self.unasked(name, &error)),
        };
        asked.store(true, Ordering::SeqCst);
        let job = match manager.ask(*verb, &unit, ends).await {
            Ok(job) => job,
            Err(error) => {
                return match Fault::of(&error) {
                    Fault::Answered(said) => Outcome::Refused(fault::refused(step, name, verb.word(), &said)),
                    Fault::Lost => Outcome::Unknown(self.cut(name)),
                };
            }
        };
        let Some(result) = job.end().await else { return Outcome::Unknown(self.cut(name)) };
        match fault::ended(step, name, &result) {
            Outcome::Done(()) => self.see(manager, &unit).await,
            other => other,
        }
    }

    /// The job is done: the unit must be active, and stay so for `settle`.
    async fn see(&self, manager: &Manager, before: &Unit) -> Outcome<()> {
        let name = &before.standing.id;
        let Ok(first) = manager.look(before).await else { return Outcome::Unknown(self.cut(name)) };
        match first.judge(self.settings.verb, &before.standing) {
            Verdict::Over => return Outcome::Done(()),
            Verdict::Down(why) => return self.down(name, &why),
            Verdict::Up => {}
        }
        let mut left = self.settings.settle;
        while !left.is_zero() {
            let pause = left.min(LOOK);
            sleep(pause).await;
            left = left.saturating_sub(pause);
            let now: Standing = match manager.look(before).await {
                Ok(now) => now,
                Err(_) => return Outcome::Unknown(self.cut(name)),
            };
            if let Err(why) = now.stays(&first) {
                return self.down(name, &why);
            }
        }
        Outcome::Done(())
    }

    fn down(&self, unit: &str, why: &str) -> Outcome<()> {
        let hint = format!("{unit} {why}; `journalctl -u {unit}` says more");
        Outcome::Refused(Refusal::new(Class::Refused, &self.settings.step).hint(hint))
    }

    fn cut(&self, unit: &str) -> Cause {
        Cause::new(&self.settings.step, "cut").hint(format!("the line to systemd was cut before {unit} was seen done"))
    }
}

#[async_trait]
impl Hook for SystemdHook {
    fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// True: a unit that was restarted bears to be restarted once more.
    fn repeatable(&self) -> bool {
        true
    }

    /// The bus answers, every unit is loaded and knows the verb, and this user is not denied it.
    async fn present(&self) -> Result<(), Refusal> {
        match timeout(PRESENT, self.look_at_all()).await {
            Ok(found) => found,
            Err(_) => Err(Refusal::new(Class::Unsent, &self.settings.step)
                .hint("systemd does not answer on the system bus; `systemctl is-system-running`")),
        }
    }

    /// As [`Hook::run`]. After an unknown start the units are restarted again: nothing tells whose restart the last one was.
    async fn run(&self, _vars: &HookVars, _again: Again) -> Outcome<()> {
        let asked = AtomicBool::new(false);
        let step = &self.settings.step;
        let unanswered = "systemd did not answer in time";
        match timeout(self.settings.timeout, self.redeploy(&asked)).await {
            Ok(outcome) => outcome,
            Err(_) if asked.load(Ordering::SeqCst) => {
                let hint = "not every unit was seen done in time; jobs that are queued go on (`systemctl list-jobs`)";
                Outcome::Unknown(Cause::new(step, "timeout").hint(hint))
            }
            Err(_) => Outcome::Refused(Refusal::new(Class::Unsent, step).hint(unanswered)),
        }
    }
}
