//! What runs before a step: the credential is opened, the login made, the helpers run.

use cutover_api::{Call, Cause, Class, KeyRef, Outcome, Refusal};
use cutover_http_step::{Http, Vars};

use crate::account::HttpProvider;
use crate::login::{Age, kept_of};
use crate::steps::Loaded;
use crate::values;

/// The key a step is about, and what its templates call it.
#[derive(Clone, Copy)]
pub(crate) enum About<'a> {
    /// No key.
    Nothing,
    /// `key.*`.
    Key(KeyRef<'a>),
    /// The mint: `old.*`, and the value we chose.
    Mint { old: Option<KeyRef<'a>>, generated: Option<&'a cutover_api::Secret> },
}

impl HttpProvider {
    /// Makes everything ready that a step needs: the client and the values.
    ///
    /// # Errors
    /// Something before the step failed, so the step was certainly not sent.
    pub(crate) async fn ready(
        &self,
        loaded: &Loaded,
        call: Call<'_>,
        about: About<'_>,
        age: Age,
    ) -> Result<(Http, Vars), Refusal> {
        let opened = match call.signer {
            Some(signer) => vec![("credential".to_owned(), signer.duplicate())],
            // A probe with the key alone goes on when the account's credential is gone.
            None if !loaded.before.credential => Vec::new(),
            None => self.holdings.open(&self.surroundings.references)?,
        };
        let http = self.line.open(loaded.step.name(), &self.surroundings.references).await?;
        let mut vars = values::common(&self.definition, &self.base_url, call, &opened);
        set_about(&mut vars, about);
        if let Some(login) = self.definition.steps.login.as_ref().filter(|_| loaded.before.login) {
            self.log_in(login, &http, call, &opened, &mut vars, age).await?;
        }
        self.run_helpers(loaded, &http, &mut vars).await?;
        Ok((http, vars))
    }

    /// Runs the helpers of a step and sets what they kept.
    ///
    /// # Errors
    /// One of them failed, so the step was not sent.
    pub(crate) async fn run_helpers(&self, loaded: &Loaded, http: &Http, vars: &mut Vars) -> Result<(), Refusal> {
        for name in &loaded.before.helpers {
            let Some(helper) = self.definition.steps.helpers.get(name) else { continue };
            let outcome = helper.run(http, &self.origins, vars, &*self.surroundings.clock).await;
            let result = done_before(&format!("step.{name}"), outcome)?;
            values::set_kept(vars, name, &kept_of(result).0);
        }
        Ok(())
    }
}

/// Sets the key a step is about.
pub(crate) fn set_about(vars: &mut Vars, about: About<'_>) {
    match about {
        About::Nothing => {}
        About::Key(key) => values::set_key(vars, "key", key),
        About::Mint { old, generated } => {
            if let Some(old) = old {
                values::set_key(vars, "old", old);
            }
            if let Some(generated) = generated {
                vars.set("new.secret", cutover_http_step::Var::Secret(generated.duplicate()));
            }
        }
    }
}

/// A failure of what runs before a step, as that step's refusal: it was never sent. A class that says something about a key
/// (`gone` = done, `exists`, `limit`) would be believed of the step itself, so it becomes `refused`; a failure whose effect is unknown
/// has had none on the step, so it becomes `unsent`.
pub(crate) fn done_before<T>(before: &str, outcome: Outcome<T>) -> Result<T, Refusal> {
    match outcome {
        Outcome::Done(done) => Ok(done),
        Outcome::Refused(refusal) => {
            let class = match refusal.class {
                Class::Gone | Class::Exists | Class::Limit | Class::Unknown => Class::Refused,
                class => class,
            };
            Err(Refusal { class, step: before.to_owned(), ..refusal })
        }
        Outcome::Unknown(Cause { label, status, .. }) => {
            let hint = format!("no usable answer ({label}); what needs it was not sent");
            Err(Refusal { status, ..Refusal::new(Class::Unsent, before).hint(hint) })
        }
    }
}
