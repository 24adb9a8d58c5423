//! The witness.

use async_trait::async_trait;
use cutover_api::{Class, Outcome, Reader, Refusal, Sighting, Span, Surroundings, Witness, WitnessVars};

use crate::program::Program;
use crate::settings;

/// `[[policy.x.verify]] kind = "command"`: a program that tells whether the consumer runs with the key. Exit 0 = it does, 1 = it does
/// not (yet), anything else = it could not tell.
#[derive(Debug)]
pub struct CommandWitness {
    program: Program,
}

impl CommandWitness {
    /// Reads the table: `run`, and `timeout` (`"30s"`, from 1s to 24h), `env` (plain text), `dir` (`"/"`). `kind`, `every`, `for` and `covers`
    /// belong to the caller. Opens nothing. Every problem is reported; `None` when there was one.
    #[must_use]
    pub fn build(reader: &Reader<'_>, _surroundings: &Surroundings) -> Option<Self> {
        for key in ["kind", "every", "for", "covers"] {
            reader.known(key);
        }
        let program = settings::program(reader, reader.step("verify"), Span::seconds(30));
        let before = reader.problems().count();
        reader.finish();
        let program = program?;
        (reader.problems().count() == before).then_some(Self { program })
    }
}

#[async_trait]
impl Witness for CommandWitness {
    async fn look(&self, vars: &WitnessVars) -> Outcome<Sighting> {
        let vars = [
            ("CUTOVER_POLICY", vars.policy.as_str()),
            ("CUTOVER_ROTATION", &vars.rotation),
            ("CUTOVER_KEY_ID", &vars.key_id),
            ("CUTOVER_FINGERPRINT", &vars.fingerprint),
        ];
        match self.program.run(&vars).await {
            Outcome::Done(0) => Outcome::Done(Sighting::Holds(true)),
            Outcome::Done(1) => Outcome::Done(Sighting::Holds(false)),
            Outcome::Done(code) => {
                let hint = "the program could not tell: exit 0 means the key is in use, 1 not yet; its own log says why";
                Outcome::Refused(Refusal::new(Class::Refused, &self.program.step).status(code).hint(hint))
            }
            Outcome::Refused(refusal) => Outcome::Refused(refusal),
            Outcome::Unknown(cause) => Outcome::Unknown(cause),
        }
    }
}
