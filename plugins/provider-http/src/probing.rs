//! A probe: the same call with the key so many times in a row, counted only when all answers are alike.

use cutover_api::{Call, Cause, Clock, KeyRef, Outcome, Refusal, Stamp, Verdict};
use cutover_http_step::{Judged, Reply, Sent};

use crate::account::HttpProvider;
use crate::before::About;
use crate::login::Age;
use crate::provider::turned_away;
use crate::steps::Probe;

impl HttpProvider {
    /// Probes until `consecutive` like answers came in a row; the first that differs ends it, unknown.
    pub(crate) async fn probe_in_a_row(&self, call: Call<'_>, key: KeyRef<'_>) -> Outcome<Verdict> {
        let Some(probe) = &self.definition.steps.probe else { return Outcome::Refused(self.lacking("probe")) };
        let mut seen: Option<bool> = None;
        let mut provider_now = None;
        for n in 0..probe.consecutive {
            if n > 0 {
                tokio::time::sleep(probe.every).await;
            }
            let (accepted, at) = match self.probe_answer(probe, call, key).await {
                Outcome::Done(answer) => answer,
                outcome => return outcome.map(|(accepted, provider_now)| Verdict { accepted, provider_now }),
            };
            if seen.is_some_and(|seen| seen != accepted) {
                let hint = "accepted and refused in turn: the provider has not settled";
                return Outcome::Unknown(Cause::new("probe", "mixed").hint(hint));
            }
            seen = Some(accepted);
            provider_now = at.or(provider_now);
        }
        match seen {
            Some(accepted) => Outcome::Done(Verdict { accepted, provider_now }),
            None => Outcome::Unknown(Cause::new("probe", "mixed")),
        }
    }

    /// One answer; once more with a new login when the login, not the key, was turned away.
    async fn probe_answer(&self, probe: &Probe, call: Call<'_>, key: KeyRef<'_>) -> Outcome<(bool, Option<Stamp>)> {
        let first = self.probe_once(probe, call, key, Age::Lasting).await;
        match first {
            Err(refusal) if probe.loaded.before.login && turned_away(&Outcome::Refused::<()>(refusal.clone())) => {
                told(self.probe_once(probe, call, key, Age::New).await)
            }
            first => told(first),
        }
    }

    /// `Ok`: what the answer means. `Err`: a refusal that says nothing of the key.
    async fn probe_once(
        &self,
        probe: &Probe,
        call: Call<'_>,
        key: KeyRef<'_>,
        age: Age,
    ) -> Result<Outcome<(bool, Option<Stamp>)>, Refusal> {
        let step = &probe.loaded.step;
        let (http, vars) = match self.ready(&probe.loaded, call, About::Key(key), age).await {
            Ok(ready) => ready,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        let clock: &dyn Clock = &*self.surroundings.clock;
        let reply = match step.send(&http, &self.origins, &vars, clock.now()).await {
            Sent::Reply(reply) => reply,
            Sent::Unsent(refusal) => return Ok(Outcome::Refused(refusal)),
            Sent::Unknown(cause, _) => return Ok(Outcome::Unknown(cause)),
        };
        let (accepted, refused) = (probe.accepted.holds(&reply, &vars), probe.refused.holds(&reply, &vars));
        if accepted != refused {
            return Ok(Outcome::Done((accepted, reply.date())));
        }
        match step.judge(&reply, &vars) {
            Judged::Refused(refusal) => Err(refusal),
            Judged::Unknown(cause) => Ok(Outcome::Unknown(cause)),
            Judged::Done => Ok(Outcome::Unknown(neither(&reply))),
        }
    }
}

fn told<T>(answer: Result<Outcome<T>, Refusal>) -> Outcome<T> {
    answer.unwrap_or_else(|refusal| {
        let hint = format!("neither accepted nor refused: {}", refusal.class.label());
        Outcome::Unknown(Cause { status: refusal.status, ..Cause::new("probe", "neither").hint(hint) })
    })
}

fn neither(reply: &Reply) -> Cause {
    Cause::new("probe", "neither").status(i32::from(reply.status())).hint("neither accepted nor refused")
}
