//! The hook.

use std::time::Duration;

use async_trait::async_trait;
use cutover_api::{Again, Class, Hook, HookVars, Outcome, Reader, Refusal, Span, Surroundings};

use crate::program::Program;
use crate::settings;

/// `[[policy.x.redeploy]] kind = "command"`: a program that makes the application read its target again.
#[derive(Debug)]
pub struct CommandHook {
    program: Program,
}

impl CommandHook {
    /// Reads the table: `run`, and `timeout` (`"10m"`, from 1s to 24h), `env` (plain text), `dir` (`"/"`). Opens nothing. Every problem is
    /// reported; `None` when there was one.
    #[must_use]
    pub fn build(reader: &Reader<'_>, _surroundings: &Surroundings) -> Option<Self> {
        reader.known("kind");
        let program = settings::program(reader, reader.step("redeploy"), Span::minutes(10));
        let before = reader.problems().count();
        reader.finish();
        let program = program?;
        (reader.problems().count() == before).then_some(Self { program })
    }
}

#[async_trait]
impl Hook for CommandHook {
    /// `timeout` and the few seconds in which a program that overran is ended.
    fn timeout(&self) -> Duration {
        self.program.deadline()
    }

    /// True: a program must bear to be run twice for one layout; `CUTOVER_RUN` tells it that it is the same.
    fn repeatable(&self) -> bool {
        true
    }

    async fn present(&self) -> Result<(), Refusal> {
        self.program.present().await
    }

    async fn run(&self, vars: &HookVars, _again: Again) -> Outcome<()> {
        let vars = [
            ("CUTOVER_POLICY", vars.policy.as_str()),
            ("CUTOVER_ROTATION", &vars.rotation),
            ("CUTOVER_RUN", &vars.run),
            ("CUTOVER_KEY_ID", &vars.key_id),
            ("CUTOVER_FINGERPRINT", &vars.fingerprint),
        ];
        match self.program.run(&vars).await {
            Outcome::Done(0) => Outcome::Done(()),
            Outcome::Done(code) => {
                let hint = "the program says it failed; its own log says why (cutover keeps no output of programs)";
                Outcome::Refused(Refusal::new(Class::Refused, &self.program.step).status(code).hint(hint))
            }
            Outcome::Refused(refusal) => Outcome::Refused(refusal),
            Outcome::Unknown(cause) => Outcome::Unknown(cause),
        }
    }
}
