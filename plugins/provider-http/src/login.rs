//! Logins, kept for as long as they last.

use std::collections::BTreeMap;

use cutover_api::{Call, Clock, Fingerprint, Refusal, Span, Stamp};
use cutover_http_step::{Extracted, Http, StepResult, Var, Vars};

use crate::account::HttpProvider;
use crate::before::done_before;
use crate::holdings::Opened;
use crate::steps::Login;
use crate::values::set_kept;

/// A login that ends sooner than this is not begun with.
const MARGIN: Span = Span::seconds(30);
/// So long a login counts as fresh for a mint: `prepare` has just made it.
const FRESH: Span = Span::MINUTE;
/// So long a login of unknown length is kept within one rotation.
const UNTOLD: Span = Span::minutes(10);
/// More different logins than this are not kept at once.
const MOST: usize = 256;

/// How old a login may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// As old as it lasts.
    Lasting,
    /// Made just now: for a mint.
    Fresh,
    /// Made for this very call.
    New,
}

/// The logins of one account, by what they were made with.
#[derive(Default)]
pub(crate) struct Logins(BTreeMap<(Vec<Fingerprint>, String), Kept>);

struct Kept {
    made: Stamp,
    /// Until when it lasts; `None`: not told.
    until: Option<Stamp>,
    rotation: Option<String>,
    values: Vec<(String, Var)>,
}

impl Kept {
    fn serves(&self, age: Age, now: Stamp, rotation: Option<&str>) -> bool {
        let lasts = match self.until {
            Some(until) => now < until.minus(MARGIN),
            None => rotation.is_some() && self.rotation.as_deref() == rotation && now < self.made.plus(UNTOLD),
        };
        match age {
            Age::New => false,
            Age::Fresh => now >= self.made && now < self.made.plus(FRESH) && (lasts || self.until.is_none()),
            Age::Lasting => now >= self.made && lasts,
        }
    }
}

impl HttpProvider {
    /// Sets `steps.login.*`. One login at a time: whoever comes meanwhile takes what the first one got.
    ///
    /// # Errors
    /// The login failed, so whatever needed it was not sent.
    pub(crate) async fn log_in(
        &self,
        login: &Login,
        http: &Http,
        call: Call<'_>,
        opened: &Opened,
        vars: &mut Vars,
        age: Age,
    ) -> Result<(), Refusal> {
        let clock: &dyn Clock = &*self.surroundings.clock;
        let rotation = call.intent.map(|intent| intent.rotation_id.as_str());
        let key = (opened.iter().map(|(_, secret)| secret.fingerprint()).collect(), self.params_of(login, call));
        let mut logins = self.logins.lock().await;
        if let Some(kept) = logins.0.get(&key).filter(|kept| kept.serves(age, clock.now(), rotation)) {
            set_kept(vars, "login", &kept.values);
            return Ok(());
        }
        logins.0.remove(&key);
        let made = clock.now();
        self.run_helpers(&login.loaded, http, vars).await?;
        let result = done_before("login", login.loaded.step.run(http, &self.origins, vars, clock).await)?;
        let (values, told) = kept_of(result);
        let until = match (told, login.ttl.map(|ttl| made.plus(ttl))) {
            (Some(told), Some(ttl)) => Some(told.min(ttl)),
            (told, ttl) => told.or(ttl),
        };
        set_kept(vars, "login", &values);
        let now = clock.now();
        logins.0.retain(|_, kept| kept.until.unwrap_or_else(|| kept.made.plus(UNTOLD)) > now);
        if logins.0.len() < MOST {
            logins.0.insert(key, Kept { made, until, rotation: rotation.map(str::to_owned), values });
        }
        Ok(())
    }

    /// The parameters the login says, as text.
    fn params_of(&self, login: &Login, call: Call<'_>) -> String {
        let mut filled = self.definition.params().filled(call.params);
        filled.retain(|name, _| login.params.contains(name));
        serde_json::to_string(&filled).unwrap_or_default()
    }
}

/// What was kept, and `expires_at` beside it.
pub(crate) fn kept_of(result: StepResult) -> (Vec<(String, Var)>, Option<Stamp>) {
    let mut told = None;
    let kept = result.keep.into_iter().map(|(name, value)| {
        if let ("expires_at", Extracted::Time(at)) = (name.as_str(), &value) {
            told = Some(*at);
        }
        (name, value.into_var())
    });
    let kept = kept.collect();
    (kept, told)
}
